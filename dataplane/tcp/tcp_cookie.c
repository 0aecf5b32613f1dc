/*
 * tcp_cookie.c - initial sequence numbers, and SYN cookies (RFC 4987 3.6): when too many connections are half
 * open, what has to be remembered of a SYN goes into our initial number instead, and comes back with the ACK.
 *
 *   bits  the number of a cookie
 *   0-2   the peer's MSS, rounded down to one of cookie_mss
 *   3-6   the period of 4 s in which it was made, modulo 16
 *   7-31  keyed hash of flow, peer's initial number, period and the MSS's index
 *
 *   bits  our time stamp beside it, if the peer speaks them (nothing else survives without)
 *   0-3   the peer's window shift; 15: it does not scale
 *   4     SACK permitted
 *   5-31  our clock; all of it at most one unit of bit 5 behind the true one, never ahead
 *
 * A cookie of this period or one of the last 15 is believed: it lives 60 s at least and 64 s at most.
 */
#include "tcp/tcp_internal.h"

enum { COOKIE_MSS_BITS = 0x7, COOKIE_PERIOD_SHIFT = 3, COOKIE_PERIODS = 16, COOKIE_CLEAR_BITS = 0x7F };
enum { STAMP_SHIFT_BITS = 0xF, STAMP_NO_SCALE = 15, STAMP_SACK = 0x10, STAMP_BITS = 0x1F };
#define COOKIE_PERIOD_NS (TCP_COOKIE_LIFE_NS / COOKIE_PERIODS)
static_assert((int)TCP_WINDOW_SHIFT_MAX < STAMP_NO_SCALE, "15 is no shift");

/* tunnels, PPPoE, Ethernet, jumbo frames */
static const uint16_t cookie_mss[] = {TCP_MSS_MIN, TCP_MSS_DEFAULT, 1220, 1360, 1400, 1440, 1460, 8960};
static_assert(sizeof cookie_mss / sizeof *cookie_mss == COOKIE_MSS_BITS + 1, "three bits say which");

/* Outputs are shown to strangers: SipHash-2-4 (RFC 6528 3 wants a function whose outputs tell nothing). */
static uint64_t strong_hash(const struct siphash_key *key, const void *bytes, size_t length)
{
    return siphash(key, bytes, length, 2, 4);
}

uint32_t tcp_initial_sequence(const struct tcp *tcp, const struct flow *flow, uint32_t *ts_offset)
{
    uint64_t hash = strong_hash(&tcp->isn_key, flow, sizeof *flow);
    *ts_offset = (uint32_t)(hash >> 32);
    return (uint32_t)hash + (uint32_t)(tcp->now.mono_ns / 4000); /* RFC 6528 3: M ticks every 4 us */
}

static uint32_t cookie_make(const struct tcp *tcp, const struct flow *flow, uint32_t peer_isn,
                            uint32_t period, uint32_t mss_index)
{
    struct {
        struct flow flow;
        uint32_t peer_isn, period, mss_index;
    } covered = {*flow, peer_isn, period, mss_index};
    static_assert(sizeof covered == sizeof *flow + 12, "no padding: hashed as bytes");
    uint32_t hash = (uint32_t)strong_hash(&tcp->cookie_key, &covered, sizeof covered);
    return (hash & ~(uint32_t)COOKIE_CLEAR_BITS) | period % COOKIE_PERIODS << COOKIE_PERIOD_SHIFT | mss_index;
}

/* Our time stamp that carries what the peer's SYN said. */
static uint32_t stamp_make(const struct tcp *tcp, uint32_t ts_offset, const struct tcp_options *options)
{
    uint32_t now = (uint32_t)(tcp->now.mono_ns / TCP_MS) + ts_offset;
    uint32_t says = options->has_window_scale ? options->window_shift : STAMP_NO_SCALE;
    says |= options->sack_permitted ? STAMP_SACK : 0;
    uint32_t stamp = (now & ~(uint32_t)STAMP_BITS) | says;
    return seq_before(now, stamp) ? stamp - STAMP_BITS - 1 : stamp;
}

void tcp_cookie_send(struct tcp *tcp, const struct tcp_segment *segment, const struct tcp_arrival *arrival)
{
    const struct tcp_options *offered = &segment->options;
    const struct flow *flow = &arrival->path.flow;
    uint32_t mss = offered->mss != 0 ? offered->mss : TCP_MSS_DEFAULT, index = COOKIE_MSS_BITS;
    while (index > 0 && cookie_mss[index] > mss)
        index--;
    uint32_t ts_offset;
    tcp_initial_sequence(tcp, flow, &ts_offset);
    uint32_t period = (uint32_t)(tcp->now.mono_ns / COOKIE_PERIOD_NS);
    struct tcp_header header = {
        .seq = cookie_make(tcp, flow, segment->seq, period, index),
        .ack = segment->seq + 1,
        .window = (uint16_t)RTE_MIN(tcp->config.receive_bytes_max, (uint32_t)UINT16_MAX),
        .flags = TCP_SYN | TCP_ACK,
    };
    uint16_t mtu = tcp->config.output.mtu(tcp->config.output.state, &arrival->path);
    struct tcp_options options = {.mss = tcp_mss_offered(flow, mtu)};
    if (offered->has_timestamps) {
        options.has_timestamps = true;
        options.ts_value = stamp_make(tcp, ts_offset, offered);
        options.ts_echo = offered->ts_value;
        options.sack_permitted = offered->sack_permitted;
        options.has_window_scale = offered->has_window_scale;
        options.window_shift = tcp_window_shift(tcp);
    }
    tcp_send_segment(tcp, &arrival->path, &header, &options);
    tcp->cookies_until_ns = tcp->now.mono_ns + TCP_COOKIE_LIFE_NS;
    tcp_count(tcp, COUNTER_tcp_cookie_sent);
}

/* What the peer's SYN said, as far as cookie and time stamp tell. */
static struct tcp_options options_told(uint32_t cookie, const struct tcp_options *options)
{
    struct tcp_options told = {.mss = cookie_mss[cookie & COOKIE_MSS_BITS]};
    if (options->has_timestamps) {
        uint32_t shift = options->ts_echo & STAMP_SHIFT_BITS;
        told.has_timestamps = true;
        told.ts_value = options->ts_value;
        told.sack_permitted = options->ts_echo & STAMP_SACK;
        told.has_window_scale = shift != STAMP_NO_SCALE;
        told.window_shift = (uint8_t)(told.has_window_scale ? shift : 0);
    }
    return told;
}

struct tcp_connection *tcp_cookie_accept(struct tcp *tcp, const struct tcp_segment *segment,
                                         const struct tcp_arrival *arrival, bool *ours)
{
    const struct flow *flow = &arrival->path.flow;
    uint32_t cookie = segment->ack - 1, peer_isn = segment->seq - 1;
    *ours = false;
    if (tcp->now.mono_ns >= tcp->cookies_until_ns) /* none is out: nobody may guess (RFC 4987 3.6) */
        return NULL;
    uint32_t period = (uint32_t)(tcp->now.mono_ns / COOKIE_PERIOD_NS);
    period -= (period - (cookie >> COOKIE_PERIOD_SHIFT)) % COOKIE_PERIODS;
    if (cookie != cookie_make(tcp, flow, peer_isn, period, cookie & COOKIE_MSS_BITS)) {
        tcp_count(tcp, COUNTER_tcp_cookie_refused);
        return NULL;
    }
    *ours = true;
    struct tcp_connection *c = tcp->listening ? tcp_connection_new(tcp, &arrival->path) : NULL;
    if (c == NULL) {
        tcp_count(tcp, COUNTER_tcp_cookie_no_room);
        return NULL;
    }
    tcp_count(tcp, COUNTER_tcp_cookie_accepted);
    tcp_initial_sequence(tcp, flow, &c->ts_offset);
    tcp_connection_begin(c, cookie, peer_isn);
    c->state = TCP_SYN_RECEIVED;
    c->marks |= TCP_MARK_PASSIVE;
    c->snd_nxt = cookie + 1;
    c->rcv_adv = c->rcv_nxt + RTE_MIN(tcp->config.receive_bytes_max, (uint32_t)UINT16_MAX);
    c->last_ack_sent = c->rcv_nxt;
    tcp->half_open++;
    struct tcp_options told = options_told(cookie, &segment->options);
    tcp_negotiate(tcp, c, &told);
    return c;
}
