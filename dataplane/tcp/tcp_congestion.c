/*
 * tcp_congestion.c - the congestion window: slow start and congestion avoidance (RFC 5681) by bytes (RFC
 * 3465), ten segments at first (RFC 6928), proportional rate reduction in recovery (RFC 6937).
 */
#include "tcp/tcp_recovery.h"

enum {
    CWND_MAX = 1 << 30,
    INITIAL_WINDOW_BYTES = 14600, /* RFC 6928 2 */
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t initial_window(const struct tcp_connection *c)
{
    uint32_t mss = c->mss;
    return least(TCP_INITIAL_WINDOW_SEGMENTS * mss, most(2 * mss, INITIAL_WINDOW_BYTES));
}

/* RFC 6928 2: one SYN sent again may have been too early, more were lost. */
void tcp_congestion_start(struct tcp_connection *c, bool syn_was_lost)
{
    struct tcp_recovery *r = &c->recovery;
    r->cwnd = syn_was_lost ? c->mss : initial_window(c);
    r->ssthresh = CWND_MAX;
    r->limited_end = c->snd_nxt;
}

void tcp_congestion_grow(struct tcp_connection *c, const struct tcp_news *news)
{
    struct tcp_recovery *r = &c->recovery;
    /* Only data sent when the window was what held more back says that a larger one would do (RFC 7661 4). */
    if (r->phase != TCP_LOSS && !seq_before(news->una, r->limited_end))
        return;
    if (r->cwnd < r->ssthresh) {
        /* RFC 3465 2.3: L = 2 segments, after a time-out 1 */
        uint32_t limit = r->phase == TCP_LOSS ? c->mss : 2u * c->mss;
        r->cwnd = least(r->cwnd + least(news->acked, limit), CWND_MAX);
        return;
    }
    r->bytes_acked += least(news->acked, r->cwnd);
    if (r->bytes_acked >= r->cwnd) {
        r->bytes_acked -= r->cwnd;
        r->cwnd = least(r->cwnd + c->mss, CWND_MAX);
    }
}

/* RFC 5681 (4). What limited transmit let out beyond the window does not count (3.2, step 1). */
static uint32_t half_of_flight(const struct tcp_connection *c)
{
    return most(least(tcp_flight(c), c->recovery.cwnd) / 2, 2u * c->mss);
}

void tcp_congestion_reduce(struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    r->ssthresh = half_of_flight(c);
    r->recover_flight = most(tcp_flight(c), 1);
    r->prr_delivered = 0;
    r->prr_sent = 0;
    r->bytes_acked = 0;
}

/* RFC 6937 3, with the slow start reduction bound. first: the segment found lost leaves in any case. */
void tcp_congestion_proportional(struct tcp_connection *c, uint32_t delivered, bool first)
{
    struct tcp_recovery *r = &c->recovery;
    uint32_t pipe = tcp_pipe(c), count = 0;
    r->prr_delivered += delivered;
    if (pipe > r->ssthresh) {
        uint64_t share =
            ((uint64_t)r->prr_delivered * r->ssthresh + r->recover_flight - 1) / r->recover_flight;
        if (share > r->prr_sent)
            count = (uint32_t)(share - r->prr_sent);
    } else {
        uint32_t unsent = r->prr_delivered > r->prr_sent ? r->prr_delivered - r->prr_sent : 0;
        count = least(r->ssthresh - pipe, most(unsent, delivered) + c->mss);
    }
    if (first)
        count = most(count, c->mss);
    r->cwnd = least(pipe + count, CWND_MAX);
}

void tcp_congestion_recovered(struct tcp_connection *c)
{
    c->recovery.cwnd = c->recovery.ssthresh;
}

/* RFC 5681 3.1: the same segment timing out again is the same loss. */
void tcp_congestion_timeout(struct tcp_connection *c, bool first)
{
    struct tcp_recovery *r = &c->recovery;
    if (first)
        r->ssthresh = half_of_flight(c);
    r->cwnd = c->mss;
    r->bytes_acked = 0;
}

uint32_t tcp_recovery_allowance(const struct tcp_connection *c)
{
    uint32_t pipe = tcp_pipe(c);
    return c->recovery.cwnd > pipe ? c->recovery.cwnd - pipe : 0;
}

/* RFC 5681 4.1: no acknowledgements have clocked the window for longer than RTO. */
void tcp_recovery_idle(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    if (tcp->now.mono_ns - r->sent_ns > r->rto_ns)
        r->cwnd = least(r->cwnd, initial_window(c));
}
