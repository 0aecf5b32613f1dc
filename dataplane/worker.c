/*
 * worker.c - the hot half: plain datagrams and segments in, answers out. Everything else is worker_slow.c.
 */
#include "worker_internal.h"

#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

enum { PREFETCH_AHEAD = 4, PLAIN_HEADERS_BYTES = 14 + UDP_IP4_HEADERS_BYTES };

void worker_drop(struct worker *worker, struct rte_mbuf *frame, unsigned reason)
{
    counter_add(worker->counters, (enum counter)reason, 1);
    rte_pktmbuf_free(frame);
}

void worker_flush(struct worker *worker, struct worker_link *link)
{
    unsigned count = link->tx_count, sent = 0;
    if (count == 0)
        return;
    link->tx_count = 0;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += link->tx[i]->pkt_len;
    for (unsigned tries = 0; sent < count && tries <= WORKER_TX_RETRIES_MAX; tries++)
        sent += link->queue.transmit(link->queue.state, link->tx + sent, (uint16_t)(count - sent));
    if (unlikely(sent < count)) {
        counter_add(worker->counters, COUNTER_tx_ring_full, count - sent);
        for (unsigned i = sent; i < count; i++)
            bytes -= link->tx[i]->pkt_len;
        rte_pktmbuf_free_bulk(link->tx + sent, count - sent);
    }
    if (unlikely(link->tx_relayed))
        return;
    counter_add(worker->counters, COUNTER_tx_frames, sent);
    counter_add(worker->counters, COUNTER_tx_bytes, bytes);
}

void worker_send(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame)
{
    if (unlikely(link->tx_count == WORKER_TX_FRAMES))
        worker_flush(worker, link);
    link->tx[link->tx_count++] = frame;
}

/*
 * The predicates between hot and cold. plain_ip4(): one segment, untagged, for our MAC, IPv4 without options
 * or fragments, every length and address right. plain_datagram(), plain_segment(): UDP for the service's
 * port, or TCP that is not the control lcore's, and the checksum right. What fails here is judged, and its
 * reason counted, in worker_slow_frame(). A device's word replaces our sum only if it was asked for it and
 * says GOOD, or NONE ("the sum in the packet is not right, but the data was verified": guests of a local
 * hypervisor), of which GOOD is one bit; BAD and UNKNOWN are verified here.
 */
static inline const struct rte_ipv4_hdr *plain_ip4(const struct worker_link *link,
                                                   const struct rte_mbuf *frame)
{
    const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);
    uint32_t length = frame->data_len;
    if (frame->nb_segs != 1 || length < PLAIN_HEADERS_BYTES || length > link->plain_bytes_max ||
        (frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
        return NULL;

    /* destination, the first two bytes of the source, then the source whole */
    uint64_t destination = checksum_load64(bytes), source = checksum_load64(bytes + 6) << 16 >> 16;
    if (destination << 16 >> 16 != link->mac_word || (source & 1) || source == link->mac_word)
        return NULL;
    /* type IPv4, then version 4 with 5 words of header; TOS does not matter */
    if ((checksum_load32(bytes + 12) & 0xFFFFFF) != 0x450008)
        return NULL;

    const struct rte_ipv4_hdr *ip4 = (const struct rte_ipv4_hdr *)(bytes + 14);
    if (rte_be_to_cpu_16(ip4->total_length) > length - 14 ||
        (ip4->fragment_offset & RTE_BE16(IP4_FRAGMENT_MASK)) || ip4->dst_addr != link->ip4.address ||
        !ip4_source_acceptable(&link->ip4, ip4->src_addr))
        return NULL;
    uint64_t flags = link->rx_checksum_offload ? frame->ol_flags : 0;
    if (!(flags & RTE_MBUF_F_RX_IP_CKSUM_GOOD) && !checksum_valid(checksum_ip4_header((const uint8_t *)ip4)))
        return NULL;
    return ip4;
}

/* Who sent a frame, as the answer will need it. */
static inline void plain_path(const struct worker_link *link, const struct rte_ipv4_hdr *ip4,
                              rte_be16_t source_port, rte_be16_t destination_port, struct return_path *out)
{
    out->flow.peer = address_from_ip4(ip4->src_addr);
    out->flow.local = link->address;
    out->flow.peer_port = source_port;
    out->flow.local_port = destination_port;
    memcpy(out->peer_mac, (const uint8_t *)ip4 - 8, 6);
    out->vlan_tci = VLAN_NONE;
}

/* True: `out` is filled. */
static inline bool plain_datagram(const struct worker *worker, const struct worker_link *link,
                                  const struct rte_mbuf *frame, const struct rte_ipv4_hdr *ip4,
                                  struct udp_datagram *out)
{
    uint8_t *udp_bytes = (uint8_t *)(uintptr_t)(ip4 + 1);
    const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)udp_bytes;
    uint32_t udp_length = rte_be_to_cpu_16(udp->dgram_len);
    uint64_t flags = link->rx_checksum_offload ? frame->ol_flags : 0;
    if (udp_length < UDP_HEADER_BYTES ||
        udp_length + IP4_HEADER_BYTES > rte_be_to_cpu_16(ip4->total_length) ||
        udp->dst_port != worker->udp_port || udp->src_port == 0)
        return false;
    if (!(flags & RTE_MBUF_F_RX_L4_CKSUM_GOOD) && udp->dgram_cksum != 0 &&
        !checksum_valid(udp_ip4_sum((const uint8_t *)&ip4->src_addr, udp_bytes, (uint16_t)udp_length)))
        return false;

    uint8_t *payload = udp_bytes + UDP_HEADER_BYTES;
    out->payload = payload;
    out->length = (uint16_t)(udp_length - UDP_HEADER_BYTES);
    out->room = frame_payload_room(link, frame, payload);
    plain_path(link, ip4, udp->src_port, udp->dst_port, &out->path);
    return true;
}

static inline bool plain_segment(const struct worker *worker, const struct worker_link *link,
                                 struct rte_mbuf *frame, const struct rte_ipv4_hdr *ip4,
                                 struct tcp_arrival *out)
{
    uint8_t *segment = (uint8_t *)(uintptr_t)(ip4 + 1);
    const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)segment;
    uint32_t length = rte_be_to_cpu_16(ip4->total_length) - (uint32_t)IP4_HEADER_BYTES;
    uint64_t flags = link->rx_checksum_offload ? frame->ol_flags : 0;
    if (worker->tcp == NULL || ((tcp->dst_port ^ worker->udp_port) & worker->own_port_mask) ||
        tcp_ip4_validate(segment, length, (const uint8_t *)&ip4->src_addr,
                         flags & RTE_MBUF_F_RX_L4_CKSUM_GOOD) != NET_ACCEPT)
        return false;
    out->frame = frame;
    out->header = segment;
    out->length = (uint16_t)length;
    plain_path(link, ip4, tcp->src_port, tcp->dst_port, &out->path);
    return true;
}

/* The service's answers become frames, in place; what it did not answer is freed. */
static void answer_datagrams(struct worker *worker, struct worker_link *link, unsigned count)
{
    unsigned answered = 0;
    worker->service.burst(worker->service.state, worker->datagram, count, worker->now);
    for (unsigned i = 0; i < count; i++) {
        struct udp_datagram *datagram = &worker->datagram[i];
        struct rte_mbuf *frame = worker->datagram_frame[i];
        RTE_VERIFY(datagram->length <= datagram->room);
        if (datagram->length == 0) {
            rte_pktmbuf_free(frame);
            continue;
        }
        frame_finish_datagram(worker, link, frame, datagram->payload, datagram->length, &datagram->path);
        worker_send(worker, link, frame);
        answered++;
    }
    counter_add(worker->counters, COUNTER_udp_datagrams, count);
    counter_add(worker->counters, COUNTER_udp_replies, answered);
    counter_add(worker->counters, COUNTER_udp_unanswered, count - answered);
}

/* Whom a burst's frames are for. */
struct sorted {
    unsigned datagrams, segments;
};

static inline void sort_frame(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame,
                              struct sorted *sorted)
{
    struct udp_datagram *datagram = &worker->datagram[sorted->datagrams];
    struct tcp_arrival *arrival = &worker->arrival[sorted->segments];
    const struct rte_ipv4_hdr *ip4 = plain_ip4(link, frame);
    enum frame_owner owner = FRAME_CONSUMED;

    if (likely(ip4 != NULL && ip4->next_proto_id == IP4_PROTOCOL_UDP &&
               plain_datagram(worker, link, frame, ip4, datagram)))
        owner = FRAME_DATAGRAM;
    else if (ip4 != NULL && ip4->next_proto_id == IP4_PROTOCOL_TCP &&
             plain_segment(worker, link, frame, ip4, arrival))
        owner = FRAME_SEGMENT;
    else
        owner = worker_slow_frame(worker, link, frame, datagram, arrival);
    if (owner == FRAME_DATAGRAM)
        worker->datagram_frame[sorted->datagrams++] = frame;
    else if (owner == FRAME_SEGMENT)
        sorted->segments++;
}

static unsigned link_turn(struct worker *worker, struct worker_link *link)
{
    struct rte_mbuf *frames[PORT_BURST_MAX];
    unsigned count = link->queue.receive(link->queue.state, frames, PORT_BURST_MAX);
    if (count == 0)
        return 0;

    uint64_t bytes = 0;
    struct sorted sorted = {0};
    for (unsigned i = 0; i < RTE_MIN(count, (unsigned)PREFETCH_AHEAD); i++)
        rte_prefetch0(rte_pktmbuf_mtod(frames[i], void *));
    for (unsigned i = 0; i < count; i++) {
        if (i + PREFETCH_AHEAD < count)
            rte_prefetch0(rte_pktmbuf_mtod(frames[i + PREFETCH_AHEAD], void *));
        bytes += frames[i]->pkt_len;
        sort_frame(worker, link, frames[i], &sorted);
    }
    if (likely(!link->rx_relayed)) {
        counter_add(worker->counters, COUNTER_rx_frames, count);
        counter_add(worker->counters, COUNTER_rx_bytes, bytes);
    }
    if (sorted.datagrams > 0)
        answer_datagrams(worker, link, sorted.datagrams);
    if (sorted.segments > 0) {
        counter_add(worker->counters, COUNTER_tcp_arrivals, sorted.segments);
        tcp_input(worker->tcp, worker->arrival, sorted.segments, worker->now);
    }
    worker_flush(worker, link);
    return count;
}

static unsigned forward_from_control(struct worker *worker, struct worker_link *link)
{
    struct rte_mbuf *frames[PORT_BURST_MAX];
    unsigned count = rte_ring_dequeue_burst(link->from_control, (void **)frames, PORT_BURST_MAX, NULL);
    for (unsigned i = 0; i < count; i++)
        worker_send(worker, link, frames[i]);
    return count;
}

unsigned worker_turn(struct worker *worker, struct instant now)
{
    unsigned handled = 0;
    worker->now = now;
    worker->deferred = 0;
    for (unsigned i = 0; i < worker->links; i++)
        handled += link_turn(worker, &worker->link[i]);
    worker->service.turn(worker->service.state, now);
    if (worker->tcp != NULL) {
        if (unlikely(worker->icmp_errors != NULL && !rte_ring_empty(worker->icmp_errors)))
            worker_take_icmp_errors(worker);
        worker->deferred += tcp_turn(worker->tcp, now);
    }
    for (unsigned i = 0; i < worker->links; i++) {
        if (worker->link[i].from_control)
            handled += forward_from_control(worker, &worker->link[i]);
        worker_flush(worker, &worker->link[i]);
    }
    return handled + worker->deferred;
}
