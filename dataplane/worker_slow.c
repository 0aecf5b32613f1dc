/*
 * worker_slow.c - the cold half: every frame that is not a plain datagram for the service. Each is answered
 * (ARP, ICMP), passed on, or dropped under the one counter that says why.
 */
#include "worker_internal.h"

#include <rte_malloc.h>
#include <rte_ring.h>

#include "net/arp.h"
#include "net/icmp.h"

/* A frame on its way through the layers. */
struct slow_frame {
    struct rte_mbuf *mbuf;
    uint8_t *ethernet, *payload; /* the frame's start; what follows the Ethernet header and tag */
    size_t payload_bytes;
    uint16_t vlan_tci;
    uint16_t type;
    bool broadcast;
    bool ip4_checksum_good, l4_checksum_good; /* the device said so */
    /* where the frame's contents go if it is for a service after all, and whose it is then */
    struct udp_datagram *datagram;
    struct tcp_arrival *arrival;
    enum frame_owner owner;
};

/* What the device has verified: see the predicates in worker.c. */
static void read_device_verdicts(const struct worker_link *link, struct slow_frame *slow)
{
    uint64_t flags = link->rx_checksum_offload ? slow->mbuf->ol_flags : 0;
    slow->ip4_checksum_good = flags & RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    slow->l4_checksum_good = flags & RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

/* One segment, with a tag that the device took out put back: from here on a frame is bytes. */
static unsigned frame_make_plain(struct rte_mbuf *mbuf)
{
    if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0)
        return COUNTER_rx_multi_segment;
    if (mbuf->data_len < sizeof(struct rte_ether_hdr))
        return COUNTER_eth_runt;
    if (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
        uint8_t *start = (uint8_t *)rte_pktmbuf_prepend(mbuf, sizeof(struct rte_vlan_hdr));
        if (start == NULL)
            return COUNTER_rx_multi_segment;
        memmove(start, start + sizeof(struct rte_vlan_hdr), 12);
        rte_be16_t tag[2] = {RTE_BE16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(mbuf->vlan_tci)};
        memcpy(start + 12, tag, sizeof tag);
        mbuf->ol_flags &= ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
    }
    return NET_ACCEPT;
}

static unsigned parse_ethernet(const struct worker_link *link, struct slow_frame *slow)
{
    unsigned verdict = frame_make_plain(slow->mbuf);
    if (verdict != NET_ACCEPT)
        return verdict;
    uint8_t *bytes = rte_pktmbuf_mtod(slow->mbuf, uint8_t *);
    uint64_t destination = eth_mac_word(bytes), source = eth_mac_word(bytes + 6);
    slow->ethernet = bytes;
    slow->broadcast = destination == 0xFFFFFFFFFFFF;
    if (!slow->broadcast && destination != link->mac_word)
        return eth_mac_is_group(bytes) ? COUNTER_eth_multicast : COUNTER_eth_not_ours;
    if (eth_mac_is_group(bytes + 6) || source == link->mac_word)
        return COUNTER_eth_bad_source;

    size_t header_bytes = sizeof(struct rte_ether_hdr);
    rte_be16_t type;
    memcpy(&type, bytes + 12, 2);
    slow->vlan_tci = VLAN_NONE;
    if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
        header_bytes += sizeof(struct rte_vlan_hdr);
        if (slow->mbuf->data_len < header_bytes)
            return COUNTER_vlan_truncated;
        rte_be16_t tci;
        memcpy(&tci, bytes + 14, 2);
        memcpy(&type, bytes + 16, 2);
        slow->vlan_tci = rte_be_to_cpu_16(tci);
        /* VLAN 4095 is reserved (802.1Q 9.6), which frees 0xFFFF to mean "no tag" */
        if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || type == RTE_BE16(RTE_ETHER_TYPE_QINQ) ||
            (slow->vlan_tci & 0xFFF) == 0xFFF)
            return COUNTER_vlan_nested;
    }
    slow->type = rte_be_to_cpu_16(type);
    slow->payload = bytes + header_bytes;
    slow->payload_bytes = slow->mbuf->data_len - header_bytes;
    return slow->payload_bytes <= link->mtu ? (unsigned)NET_ACCEPT : (unsigned)COUNTER_eth_oversized;
}

static unsigned pass_to_control(struct worker *worker, struct worker_link *link, struct rte_mbuf *mbuf)
{
    mbuf->port = (uint16_t)(link - worker->link);
    if (worker->to_control == NULL || rte_ring_enqueue(worker->to_control, mbuf) != 0)
        return COUNTER_arp_control_full;
    counter_add(worker->counters, COUNTER_arp_to_control, 1);
    return NET_ACCEPT;
}

/*
 * RFC 826, with the neighbour table on the control lcore: requests for our address are answered here; what
 * concerns the table (answers to us, gratuitous ARP) or our address (a conflict) goes to control.
 */
static unsigned slow_arp(struct worker *worker, struct worker_link *link, struct slow_frame *slow)
{
    struct arp_packet arp;
    unsigned verdict = arp_decode(&arp, slow->payload, slow->payload_bytes);
    if (verdict != NET_ACCEPT)
        return verdict;
    bool conflict = arp.sender == link->ip4.address, gratuitous = arp.sender == arp.target;
    if (!conflict && arp.operation == ARP_REQUEST && arp.target == link->ip4.address) {
        struct arp_packet reply = {.operation = ARP_REPLY, .sender = arp.target, .target = arp.sender};
        memcpy(reply.sender_mac, link->mac, 6);
        memcpy(reply.target_mac, arp.sender_mac, 6);
        arp_encode(slow->payload, &reply);
        eth_header_write(slow->payload, slow->ethernet + 6, link->mac, slow->vlan_tci, RTE_ETHER_TYPE_ARP);
        frame_finish(slow->mbuf, slow->ethernet, eth_header_bytes(slow->vlan_tci) + ARP_BYTES, 0, 0);
        counter_add(worker->counters, COUNTER_arp_answered, 1);
        worker_send(worker, link, slow->mbuf);
        return NET_ACCEPT;
    }
    if (!conflict && !gratuitous && arp.target != link->ip4.address)
        return COUNTER_arp_not_ours;
    if (slow->vlan_tci != VLAN_NONE)
        return COUNTER_arp_tagged;
    return pass_to_control(worker, link, slow->mbuf);
}

/* An ICMP message that stands at `message` goes back to where the frame came from. */
static void send_icmp(struct worker *worker, struct worker_link *link, const struct slow_frame *slow,
                      uint8_t *message, size_t message_bytes, rte_be32_t destination)
{
    uint8_t peer_mac[6];
    memcpy(peer_mac, slow->ethernet + 6, 6);
    bool offload = link->tx_checksum_offload;
    uint8_t *ip4 = message - IP4_HEADER_BYTES;
    ip4_header_write(ip4, (uint16_t)(IP4_HEADER_BYTES + message_bytes), worker->ip4_id++, IP4_PROTOCOL_ICMP,
                     link->ip4.address, destination, !offload);
    uint8_t *start = eth_header_write(ip4, peer_mac, link->mac, slow->vlan_tci, RTE_ETHER_TYPE_IPV4);
    frame_finish(slow->mbuf, start, (uint32_t)(message + message_bytes - start),
                 offload ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM : 0, eth_header_bytes(slow->vlan_tci));
    worker_send(worker, link, slow->mbuf);
}

static unsigned answer_echo(struct worker *worker, struct worker_link *link, struct slow_frame *slow,
                            const struct ip4_view *ip4)
{
    unsigned verdict = icmp_echo_check(ip4->payload, ip4->payload_bytes);
    if (verdict != NET_ACCEPT)
        return verdict;
    if (!token_bucket_take(&worker->echo_limit, worker->now.mono_ns))
        return COUNTER_icmp_rate_limited;
    uint8_t *message = slow->payload + ip4->header_bytes;
    icmp_echo_reply(message);
    counter_add(worker->counters, COUNTER_icmp_echo_answered, 1);
    send_icmp(worker, link, slow, message, ip4->payload_bytes, ip4->source);
    return NET_ACCEPT;
}

/* RFC 5927: whoever can send it need not be on the path; TCP decides what it believes. */
static unsigned hear_icmp_error(struct worker *worker, struct worker_link *link, struct slow_frame *slow,
                                const struct ip4_view *ip4)
{
    struct icmp_error error;
    unsigned verdict = icmp_error_decode(&error, ip4->payload, ip4->payload_bytes);
    if (verdict != NET_ACCEPT)
        return verdict;
    if (worker->tcp == NULL || error.protocol != IP4_PROTOCOL_TCP || error.source != link->ip4.address)
        return COUNTER_icmp_not_ours;
    if (!token_bucket_take(&worker->icmp_error_limit, worker->now.mono_ns))
        return COUNTER_icmp_rate_limited;
    struct tcp_icmp_error about = {
        .flow = {.peer = address_from_ip4(error.destination),
                 .local = link->address,
                 .peer_port = error.destination_port,
                 .local_port = error.source_port},
        .seq = error.seq,
        .type = error.type,
        .code = error.code,
        .mtu = error.mtu,
    };
    counter_add(worker->counters, COUNTER_icmp_errors, 1);
    tcp_icmp(worker->tcp, &about, worker->now);
    for (unsigned i = 0; i < worker->workers; i++)
        if (worker->icmp_errors_of[i] != NULL && worker->icmp_errors_of[i] != worker->icmp_errors)
            (void)rte_ring_enqueue_elem(worker->icmp_errors_of[i], &about, sizeof about);
    rte_pktmbuf_free(slow->mbuf);
    return NET_ACCEPT;
}

void worker_take_icmp_errors(struct worker *worker)
{
    struct tcp_icmp_error error;
    for (unsigned i = 0; i < PORT_BURST_MAX; i++) {
        if (rte_ring_dequeue_elem(worker->icmp_errors, &error, sizeof error) != 0)
            return;
        tcp_icmp(worker->tcp, &error, worker->now);
    }
}

static unsigned slow_icmp(struct worker *worker, struct worker_link *link, struct slow_frame *slow,
                          const struct ip4_view *ip4)
{
    if (ip4->payload_bytes > 0 && icmp_is_error(ip4->payload[0]))
        return hear_icmp_error(worker, link, slow, ip4);
    return answer_echo(worker, link, slow, ip4);
}

/*
 * RFC 1122 3.2.2.1 and 4.1.3.1. What must not be answered (broadcasts, fragments, odd sources, ICMP) was
 * dropped before. The answer is quoted into the request's own buffer, so it needs headroom for two headers.
 */
static unsigned refuse_port(struct worker *worker, struct worker_link *link, struct slow_frame *slow,
                            const struct ip4_view *ip4)
{
    size_t quote = icmp_unreachable_quote(ip4->header_bytes + ip4->payload_bytes, ip4->header_bytes);
    if (quote == 0)
        return COUNTER_icmp_suppressed;
    if (!token_bucket_take(&worker->unreachable_limit, worker->now.mono_ns))
        return COUNTER_icmp_rate_limited;
    if (rte_pktmbuf_headroom(slow->mbuf) < IP4_HEADER_BYTES + ICMP_HEADER_BYTES)
        return COUNTER_tx_no_buffer;
    rte_be32_t destination = ip4->source;
    uint8_t *message = slow->payload - ICMP_HEADER_BYTES;
    /* the Ethernet header lies where the ICMP header goes: keep a copy for its addresses */
    uint8_t ethernet[sizeof(struct rte_ether_hdr)];
    memcpy(ethernet, slow->ethernet, sizeof ethernet);
    slow->ethernet = ethernet;
    icmp_unreachable_port(message, quote);
    counter_add(worker->counters, COUNTER_icmp_unreachable_sent, 1);
    send_icmp(worker, link, slow, message, ICMP_HEADER_BYTES + quote, destination);
    return NET_ACCEPT;
}

static struct return_path slow_path_of(const struct worker_link *link, const struct slow_frame *slow,
                                       const struct ip4_view *ip4)
{
    struct return_path path = {.flow = {.peer = address_from_ip4(ip4->source), .local = link->address},
                               .vlan_tci = slow->vlan_tci};
    memcpy(&path.flow.peer_port, ip4->payload, 2);
    memcpy(&path.flow.local_port, ip4->payload + 2, 2);
    memcpy(path.peer_mac, slow->ethernet + 6, 6);
    return path;
}

static unsigned slow_udp(struct worker *worker, struct worker_link *link, struct slow_frame *slow,
                         const struct ip4_view *ip4)
{
    const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)ip4->payload;
    uint16_t length;
    unsigned verdict =
        udp_validate(ip4->payload, ip4->payload_bytes, ip4->header + 12, slow->l4_checksum_good, &length);
    if (verdict != NET_ACCEPT)
        return verdict;
    if (udp->dst_port != worker->udp_port) {
        counter_add(worker->counters, COUNTER_udp_closed_port, 1);
        return refuse_port(worker, link, slow, ip4);
    }
    uint8_t *payload = slow->payload + ip4->header_bytes + UDP_HEADER_BYTES;
    *slow->datagram = (struct udp_datagram){
        .payload = payload,
        .length = length,
        .room = frame_payload_room(link, slow->mbuf, payload),
        .path = slow_path_of(link, slow, ip4),
    };
    slow->owner = FRAME_DATAGRAM;
    return NET_ACCEPT;
}

static unsigned slow_tcp(struct worker *worker, struct worker_link *link, struct slow_frame *slow,
                         const struct ip4_view *ip4)
{
    if (worker->handover != NULL && ip4->payload_bytes >= TCP_HEADER_BYTES_MIN) {
        enum worker_handover_rank rank = worker_handover_of(worker, ip4->source, ip4->payload);
        if (rank != HANDOVER_NONE) {
            worker_hand_over(worker, link, slow->mbuf, rank);
            return NET_ACCEPT;
        }
    }
    unsigned verdict =
        tcp_ip4_validate(ip4->payload, ip4->payload_bytes, ip4->header + 12, slow->l4_checksum_good);
    if (verdict != NET_ACCEPT)
        return verdict;
    if (worker->tcp == NULL)
        return COUNTER_tcp_absent;
    *slow->arrival = (struct tcp_arrival){.frame = slow->mbuf,
                                          .header = slow->payload + ip4->header_bytes,
                                          .length = ip4->payload_bytes,
                                          .path = slow_path_of(link, slow, ip4)};
    slow->owner = FRAME_SEGMENT;
    return NET_ACCEPT;
}

static unsigned slow_ip4(struct worker *worker, struct worker_link *link, struct slow_frame *slow)
{
    struct ip4_view ip4;
    unsigned verdict = ip4_validate(&ip4, &link->ip4, slow->payload, slow->payload_bytes, slow->broadcast,
                                    slow->ip4_checksum_good);
    if (verdict != NET_ACCEPT)
        return verdict;
    switch (ip4.protocol) {
    case IP4_PROTOCOL_UDP:
        return slow_udp(worker, link, slow, &ip4);
    case IP4_PROTOCOL_TCP:
        return slow_tcp(worker, link, slow, &ip4);
    case IP4_PROTOCOL_ICMP:
        return slow_icmp(worker, link, slow, &ip4);
    default:
        return COUNTER_ip4_unknown_protocol;
    }
}

enum frame_owner worker_slow_frame(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame,
                                   struct udp_datagram *datagram, struct tcp_arrival *arrival)
{
    struct slow_frame slow = {
        .mbuf = frame, .datagram = datagram, .arrival = arrival, .owner = FRAME_CONSUMED};
    read_device_verdicts(link, &slow);
    unsigned verdict = parse_ethernet(link, &slow);
    if (verdict == NET_ACCEPT) {
        switch (slow.type) {
        case RTE_ETHER_TYPE_ARP:
            verdict = slow_arp(worker, link, &slow);
            break;
        case RTE_ETHER_TYPE_IPV4:
            verdict = slow_ip4(worker, link, &slow);
            break;
        default:
            verdict = COUNTER_eth_unknown_type;
        }
    }
    if (verdict != NET_ACCEPT)
        worker_drop(worker, frame, verdict);
    return slow.owner;
}

/* ---- frames that the worker originates ---- */

enum {
    ORIGINATED_HEADERS_BYTES =
        sizeof(struct rte_ether_hdr) + sizeof(struct rte_vlan_hdr) + UDP_IP4_HEADERS_BYTES,
};

/* The port that owns the path's local address, else `otherwise`. */
static struct worker_link *link_of(struct worker *worker, const struct return_path *path, unsigned otherwise)
{
    for (unsigned i = 0; i < worker->links; i++)
        if (worker->link[i].ip4.address == address_ip4(&path->flow.local))
            return &worker->link[i];
    return &worker->link[otherwise];
}

static bool transmit_send(void *state, const struct return_path *path, const uint8_t *payload,
                          uint16_t length)
{
    const struct worker_transmit_handle *handle = state;
    struct worker *worker = handle->worker;
    struct worker_link *link = link_of(worker, path, handle->link);
    struct rte_mbuf *frame = rte_pktmbuf_alloc(worker->pool);
    if (frame == NULL) {
        counter_add(worker->counters, COUNTER_tx_no_buffer, 1);
        return false;
    }
    uint8_t *place = (uint8_t *)frame->buf_addr + RTE_PKTMBUF_HEADROOM + ORIGINATED_HEADERS_BYTES;
    if (length > frame_payload_room(link, frame, place)) {
        worker_drop(worker, frame, COUNTER_tx_too_long);
        return true;
    }
    memcpy(place, payload, length);
    frame_finish_datagram(worker, link, frame, place, length, path);
    counter_add(worker->counters, COUNTER_udp_replies, 1);
    worker->deferred++;
    worker_send(worker, link, frame);
    return true;
}

struct udp_transmit worker_transmit(struct worker *worker, unsigned port)
{
    RTE_VERIFY(port < worker->links);
    return (struct udp_transmit){.state = &worker->transmit[port], .send = transmit_send};
}

/* ---- TCP's segments ---- */

static_assert(IP4_HEADER_BYTES + sizeof(struct rte_ether_hdr) + sizeof(struct rte_vlan_hdr) +
                      TCP_HEADERS_BYTES_MAX <=
                  RTE_PKTMBUF_HEADROOM,
              "a segment's headers fit in front of a payload that starts where buffers' data does");

static void segment_send(void *state, struct rte_mbuf *frame, const struct return_path *path)
{
    struct worker *worker = state;
    struct worker_link *link = link_of(worker, path, 0);
    bool offload = link->tx_checksum_offload;
    uint8_t *segment = rte_pktmbuf_mtod(frame, uint8_t *);
    uint16_t length = frame->data_len;
    uint8_t *start = tcp_ip4_headers_write(segment, length, path, link->mac, worker->ip4_id++, offload);
    frame_finish(frame, start, (uint32_t)(segment + length - start),
                 offload ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM : 0,
                 eth_header_bytes(path->vlan_tci));
    worker_send(worker, link, frame);
}

static uint16_t segment_mtu(void *state, const struct return_path *path)
{
    return link_of(state, path, 0)->mtu;
}

struct tcp_output worker_tcp_output(struct worker *worker)
{
    return (struct tcp_output){.state = worker, .send = segment_send, .mtu = segment_mtu};
}

void worker_set_tcp(struct worker *worker, struct tcp *tcp)
{
    worker->tcp = tcp;
}

/* ---- life ---- */

static void link_init(struct worker_link *link, const struct worker_port *port)
{
    RTE_VERIFY(port->mtu > UDP_IP4_HEADERS_BYTES);
    *link = (struct worker_link){
        .mac_word = eth_mac_word(port->mac.addr_bytes),
        .ip4 = ip4_local_make(address_ip4(&port->address), port->prefix_length),
        .rx_checksum_offload = port->rx_checksum_offload,
        .tx_checksum_offload = port->tx_checksum_offload,
        .mtu = port->mtu,
        .plain_bytes_max = port->mtu + sizeof(struct rte_ether_hdr),
        .address = port->address,
        .queue = port->queue,
        .from_control = port->from_control,
        .to_streams = port->to_streams,
        .rx_relayed = port->rx_relayed,
        .tx_relayed = port->tx_relayed,
    };
    memcpy(link->mac, port->mac.addr_bytes, 6);
}

struct worker *worker_create(const struct worker_config *config, int numa_node)
{
    RTE_VERIFY(config->ports <= WORKER_PORTS_MAX);
    RTE_VERIFY(rte_pktmbuf_data_room_size(config->pool) > RTE_PKTMBUF_HEADROOM + ORIGINATED_HEADERS_BYTES);
    struct worker *worker = rte_zmalloc_socket("worker", sizeof *worker, 64, numa_node);
    if (worker == NULL)
        return NULL;
    worker->service = udp_service_mute();
    worker->counters = config->counters;
    worker->udp_port = rte_cpu_to_be_16(config->udp_port);
    worker->links = config->ports;
    worker->pool = config->pool;
    worker->to_control = config->to_control;
    worker->handover = config->handover;
    worker->own_port_mask = config->handover != NULL ? UINT16_MAX : 0;
    worker->echo_limit = token_bucket_make(WORKER_ECHO_PER_SECOND, WORKER_ECHO_BURST);
    worker->icmp_error_limit = token_bucket_make(WORKER_ICMP_ERRORS_PER_SECOND, WORKER_ICMP_ERRORS_BURST);
    worker->workers = config->workers;
    memcpy(worker->icmp_errors_of, config->icmp_errors_of, sizeof worker->icmp_errors_of);
    worker->icmp_errors = config->icmp_errors_of[config->id];
    worker->unreachable_limit = token_bucket_make(WORKER_UNREACHABLE_PER_SECOND, WORKER_UNREACHABLE_BURST);
    for (unsigned i = 0; i < config->ports; i++) {
        link_init(&worker->link[i], &config->port[i]);
        worker->transmit[i] = (struct worker_transmit_handle){.worker = worker, .link = i};
    }
    return worker;
}

void worker_destroy(struct worker *worker)
{
    if (worker == NULL)
        return;
    /* What was sent outside of turns, and none came any more. */
    for (unsigned i = 0; i < worker->links; i++)
        rte_pktmbuf_free_bulk(worker->link[i].tx, worker->link[i].tx_count);
    rte_free(worker);
}

void worker_set_service(struct worker *worker, struct udp_service service)
{
    worker->service = service;
}
