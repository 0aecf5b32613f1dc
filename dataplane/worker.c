/*
 * worker.c - the hot half: plain datagrams in, answers out. Everything else is worker_slow.c.
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
    counter_add(worker->counters, COUNTER_tx_frames, sent);
    if (unlikely(sent < count)) {
        counter_add(worker->counters, COUNTER_tx_ring_full, count - sent);
        for (unsigned i = sent; i < count; i++)
            bytes -= link->tx[i]->pkt_len;
        rte_pktmbuf_free_bulk(link->tx + sent, count - sent);
    }
    counter_add(worker->counters, COUNTER_tx_bytes, bytes);
}

void worker_send(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame)
{
    if (unlikely(link->tx_count == WORKER_TX_FRAMES))
        worker_flush(worker, link);
    link->tx[link->tx_count++] = frame;
}

/*
 * The predicate between hot and cold: one segment, untagged, for our MAC, IPv4 without options or fragments,
 * UDP for the service's port, every length, address and checksum right. What fails here is judged, and its
 * reason counted, in worker_slow_frame(). True: `out` is filled. A device's word replaces our sum only if it
 * was asked for it and says GOOD, or NONE ("the sum in the packet is not right, but the data was verified":
 * guests of a local hypervisor), of which GOOD is one bit; BAD and UNKNOWN are verified here.
 */
static inline bool frame_is_plain_datagram(const struct worker *worker, const struct worker_link *link,
                                           const struct rte_mbuf *frame, struct udp_datagram *out)
{
    uint8_t *bytes = rte_pktmbuf_mtod(frame, uint8_t *);
    uint32_t length = frame->data_len;
    uint64_t flags = link->rx_checksum_offload ? frame->ol_flags : 0;
    if (frame->nb_segs != 1 || length < PLAIN_HEADERS_BYTES || length > link->plain_bytes_max ||
        (frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
        return false;

    /* destination, the first two bytes of the source, then the source whole */
    uint64_t destination = checksum_load64(bytes), source = checksum_load64(bytes + 6) << 16 >> 16;
    if (destination << 16 >> 16 != link->mac_word || (source & 1) || source == link->mac_word)
        return false;
    /* type IPv4, then version 4 with 5 words of header; TOS does not matter */
    if ((checksum_load32(bytes + 12) & 0xFFFFFF) != 0x450008)
        return false;

    const uint8_t *ip4_bytes = bytes + 14;
    const struct rte_ipv4_hdr *ip4 = (const struct rte_ipv4_hdr *)ip4_bytes;
    uint8_t *udp_bytes = bytes + 14 + IP4_HEADER_BYTES;
    const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)udp_bytes;
    uint32_t total = rte_be_to_cpu_16(ip4->total_length), udp_length = rte_be_to_cpu_16(udp->dgram_len);
    if (total > length - 14 || udp_length < UDP_HEADER_BYTES || udp_length + IP4_HEADER_BYTES > total ||
        ip4->next_proto_id != IP4_PROTOCOL_UDP || (ip4->fragment_offset & RTE_BE16(IP4_FRAGMENT_MASK)))
        return false;
    if (ip4->dst_addr != link->ip4.address || udp->dst_port != worker->udp_port || udp->src_port == 0 ||
        !ip4_source_acceptable(&link->ip4, ip4->src_addr))
        return false;
    if (!(flags & RTE_MBUF_F_RX_IP_CKSUM_GOOD) && !checksum_valid(checksum_ip4_header(ip4_bytes)))
        return false;
    if (!(flags & RTE_MBUF_F_RX_L4_CKSUM_GOOD) && udp->dgram_cksum != 0 &&
        !checksum_valid(udp_ip4_sum(ip4_bytes + 12, udp_bytes, (uint16_t)udp_length)))
        return false;

    uint8_t *payload = udp_bytes + UDP_HEADER_BYTES;
    out->payload = payload;
    out->length = (uint16_t)(udp_length - UDP_HEADER_BYTES);
    out->room = frame_payload_room(link, frame, payload);
    out->path.flow.peer = address_from_ip4(ip4->src_addr);
    out->path.flow.local = link->address;
    out->path.flow.peer_port = udp->src_port;
    out->path.flow.local_port = udp->dst_port;
    memcpy(out->path.peer_mac, bytes + 6, 6);
    out->path.vlan_tci = VLAN_NONE;
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

static unsigned link_turn(struct worker *worker, struct worker_link *link)
{
    struct rte_mbuf *frames[PORT_BURST_MAX];
    unsigned count = link->queue.receive(link->queue.state, frames, PORT_BURST_MAX);
    if (count == 0)
        return 0;

    uint64_t bytes = 0;
    unsigned datagrams = 0;
    for (unsigned i = 0; i < RTE_MIN(count, (unsigned)PREFETCH_AHEAD); i++)
        rte_prefetch0(rte_pktmbuf_mtod(frames[i], void *));
    for (unsigned i = 0; i < count; i++) {
        if (i + PREFETCH_AHEAD < count)
            rte_prefetch0(rte_pktmbuf_mtod(frames[i + PREFETCH_AHEAD], void *));
        bytes += frames[i]->pkt_len;
        struct udp_datagram *datagram = &worker->datagram[datagrams];
        if (likely(frame_is_plain_datagram(worker, link, frames[i], datagram)) ||
            worker_slow_frame(worker, link, frames[i], datagram))
            worker->datagram_frame[datagrams++] = frames[i];
    }
    counter_add(worker->counters, COUNTER_rx_frames, count);
    counter_add(worker->counters, COUNTER_rx_bytes, bytes);
    if (datagrams > 0)
        answer_datagrams(worker, link, datagrams);
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
    for (unsigned i = 0; i < worker->links; i++) {
        if (worker->link[i].from_control)
            handled += forward_from_control(worker, &worker->link[i]);
        worker_flush(worker, &worker->link[i]);
    }
    return handled + worker->deferred;
}
