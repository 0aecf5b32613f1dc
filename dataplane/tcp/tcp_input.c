/*
 * tcp_input.c - a burst's segments, one by one to the connections they belong to, and the path that almost
 * all of them take: established, in order, nothing odd. Everything else is tcp_slow_path.c and tcp_open.c.
 */
#include <rte_prefetch.h>

#include "check.h"
#include "net/checksum.h"
#include "tcp/tcp_internal.h"

enum {
    PREFETCH_AHEAD = 4,
    /* connections of which more must be looked at than the fast path does */
    SLOW_MARKS = TCP_MARK_HELD | TCP_MARK_RESUME | TCP_MARK_STARVED,
    /* NOP, NOP, kind 8, length 10 as a little-endian word (RFC 7323 appendix A): how everyone writes them */
    TIMESTAMPS_WORD = 0x0A080101,
};

/* True: the options are what the connection expects, time stamps alone or none, and these are not old. */
static inline bool plain_options(const struct tcp_connection *c, struct tcp_segment *segment)
{
    segment->options.has_timestamps = c->marks & TCP_MARK_TIMESTAMPS;
    segment->options.sack_blocks = 0;
    if (!segment->options.has_timestamps)
        return segment->header_bytes == TCP_HEADER_BYTES;
    const uint8_t *option = segment->payload - TCP_TIMESTAMPS_BYTES;
    if (segment->header_bytes != TCP_HEADER_BYTES + TCP_TIMESTAMPS_BYTES ||
        checksum_load32(option) != TIMESTAMPS_WORD)
        return false;
    segment->options.ts_value = rte_be_to_cpu_32(checksum_load32(option + 4));
    segment->options.ts_echo = rte_be_to_cpu_32(checksum_load32(option + 8));
    return !seq_before(segment->options.ts_value, c->ts_recent);
}

static inline bool same_station(const struct tcp_connection *c, const struct return_path *path)
{
    return c->vlan_tci == path->vlan_tci && memcmp(c->peer_mac, path->peer_mac, sizeof c->peer_mac) == 0;
}

/*
 * The predicate between hot and cold. What passes needs no answer but an acknowledgement, changes no state,
 * and every check of RFC 9293 3.10.7.4 and RFC 5961 is known to hold.
 */
static inline bool is_plain(const struct tcp_connection *c, struct tcp_segment *segment,
                            const struct tcp_arrival *arrival)
{
    uint32_t acked = segment->ack - c->snd_una;
    return c->state == TCP_ESTABLISHED && (segment->flags & ~TCP_PSH) == TCP_ACK &&
           segment->seq == c->rcv_nxt && acked <= c->snd_nxt - c->snd_una &&
           (acked > 0 || segment->payload_bytes > 0) && segment->payload_bytes <= c->rcv_adv - c->rcv_nxt &&
           !(c->marks & SLOW_MARKS) && c->gaps == 0 && c->recovery.phase == TCP_OPEN &&
           same_station(c, &arrival->path) && plain_options(c, segment);
}

static inline void fast_path(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment)
{
    tcp_count(tcp, COUNTER_tcp_fast);
    c->received_ns = tcp->now.mono_ns;
    /* RFC 7323 4.3 (2) */
    if ((c->marks & TCP_MARK_TIMESTAMPS) && seq_at_or_before(segment->seq, c->last_ack_sent))
        c->ts_recent = segment->options.ts_value;
    if (segment->ack != c->snd_una)
        tcp_recovery_ack_plain(tcp, c, segment);
    /* RFC 9293 3.10.7.4, fifth: the window, unless a later segment has told a newer one */
    if (!seq_before(segment->seq, c->snd_wl1)) {
        c->snd_wnd = (uint32_t)segment->window << c->snd_shift;
        c->snd_wnd_max = RTE_MAX(c->snd_wnd_max, c->snd_wnd);
        c->snd_wl1 = segment->seq;
        c->snd_wl2 = segment->ack;
    }
    if (c->snd_nxt != c->snd_end)
        tcp_dirty(tcp, c);
    if (segment->payload_bytes == 0)
        return;
    tcp_deliver(tcp, c, segment);
    c->marks |= ++c->acks_owed >= 2 ? TCP_MARK_ACK_NOW : TCP_MARK_ACK_DELAYED;
    tcp_dirty(tcp, c);
}

static void segment_arrived(struct tcp *tcp, struct tcp_segment *segment, const struct tcp_arrival *arrival,
                            uint32_t hash)
{
    uint32_t number = tcp_find(tcp, &arrival->path.flow, hash);
    struct tcp_connection *c = number < tcp->config.connections_max ? &tcp->connections[number] : NULL;
    if (likely(c != NULL) && likely(is_plain(c, segment, arrival))) {
        fast_path(tcp, c, segment);
        return;
    }
    tcp_options_decode(&segment->options, segment, arrival->header);
    if (c != NULL)
        tcp_slow_path(tcp, c, segment, arrival);
    else if (number != TCP_DEMUX_NONE)
        tcp_time_wait_segment(tcp, number, segment, arrival);
    else
        tcp_segment_of_none(tcp, segment, arrival);
}

/* The connection that this segment will probably want (the burst may yet change whose it is), or NULL. */
static inline const struct tcp_connection *prefetch_connection(const struct tcp *tcp, uint32_t hash)
{
    uint32_t at = 0, number = tcp_demux_find(&tcp->demux, hash, &at);
    if (number >= tcp->config.connections_max)
        return NULL;
    const uint8_t *bytes = (const uint8_t *)&tcp->connections[number];
    for (unsigned i = 0; i < sizeof(struct tcp_connection); i += 64)
        rte_prefetch0(bytes + i);
    return &tcp->connections[number];
}

/* What it will probably acknowledge: that frame is freed, and as pools work it carries the next reply. */
static inline void prefetch_sent(const struct tcp_connection *c)
{
    if (c == NULL || c->send_head == NULL)
        return;
    const uint8_t *frame = (const uint8_t *)tcp_frame_mbuf(c->send_head);
    const uint8_t *payload = frame + sizeof(struct rte_mbuf) + TCP_FRAME_PRIVATE_BYTES + RTE_PKTMBUF_HEADROOM;
    rte_prefetch0(frame);
    rte_prefetch0(frame + 64);
    rte_prefetch0(c->send_head);
    rte_prefetch0(payload - 1); /* its headers */
    rte_prefetch0(payload + 63);
}

/* Services that have put off what this burst asked do it now: the frames are still there. */
static inline void tell_delivered(const struct tcp *tcp)
{
    for (unsigned i = 0; i < tcp->listeners; i++) {
        const struct stream_acceptor *acceptor = &tcp->listener[i].acceptor;
        if (acceptor->delivered != NULL)
            acceptor->delivered(acceptor->state);
    }
}

void tcp_input(struct tcp *tcp, struct tcp_arrival *arrivals, unsigned count, struct instant now)
{
    struct tcp_segment segment[TCP_BURST_MAX];
    uint32_t hash[TCP_BURST_MAX];
    struct rte_mbuf *done[TCP_BURST_MAX];
    const struct tcp_connection *probable[TCP_BURST_MAX];
    unsigned done_count = 0;
    CHECK(count <= TCP_BURST_MAX);
    tcp->now = now;
    tcp->segments_sent = 0;
    for (unsigned i = 0; i < count; i++) {
        hash[i] = tcp_flow_hash(&tcp->demux, &arrivals[i].path.flow);
        tcp_demux_prefetch(&tcp->demux, hash[i]);
    }
    for (unsigned i = 0; i < count; i++)
        probable[i] = prefetch_connection(tcp, hash[i]);
    for (unsigned i = 0; i < count; i++) {
        if (i + PREFETCH_AHEAD < count)
            prefetch_sent(probable[i + PREFETCH_AHEAD]);
        if (unlikely(!tcp_segment_decode(&segment[i], &arrivals[i]))) {
            tcp_count(tcp, COUNTER_tcp_malformed);
            done[done_count++] = arrivals[i].frame;
            continue;
        }
        segment_arrived(tcp, &segment[i], &arrivals[i], hash[i]);
        if (segment[i].frame != NULL)
            done[done_count++] = segment[i].frame;
    }
    counter_add(tcp->config.counters, COUNTER_tcp_segments, count);
    tell_delivered(tcp);
    tcp_finish(tcp);
    rte_pktmbuf_free_bulk(done, done_count);
}
