/*
 * tcp_rack.c - losses found by time (RFC 8985 6): what was sent before something that has arrived, by more
 * than a reordering window, is lost.
 */
#include "tcp/tcp_recovery.h"

enum {
    /* RFC 8985 6.2, step 4: a wider window is given up after so many recoveries without a DSACK */
    REORDERING_PERSIST = 16,
    REORDERING_WINDOWS_MAX = 255,
};

static bool sent_after(uint64_t a_ns, uint32_t a_end, uint64_t b_ns, uint32_t b_end)
{
    return a_ns > b_ns || (a_ns == b_ns && seq_before(b_end, a_end));
}

/* RFC 8985 6.2, step 2: an acknowledgement that comes too early for what was sent again belongs to what
 * was sent first. */
static bool is_of_first_sending(const struct tcp_connection *c, const struct tcp_frame *frame,
                                const struct tcp_news *news, uint32_t rtt_us)
{
    if (!(frame->marks & TCP_FRAME_RETRANSMITTED))
        return false;
    if (c->marks & TCP_MARK_TIMESTAMPS && news->segment->options.has_timestamps) {
        uint32_t sent = (uint32_t)(frame->sent_ns / TCP_MS) + c->ts_offset;
        if (seq_before(news->segment->options.ts_echo, sent))
            return true;
    }
    return rtt_us < c->recovery.rtt_min_us;
}

/* RFC 8985 6.2, steps 1 to 3. */
void tcp_rack_arrived(struct tcp *tcp, struct tcp_connection *c, const struct tcp_frame *frame,
                      const struct tcp_news *news)
{
    struct tcp_recovery *r = &c->recovery;
    uint64_t rtt_long_us = (tcp->now.mono_ns - frame->sent_ns) / 1000;
    uint32_t rtt_us = rtt_long_us < UINT32_MAX ? (uint32_t)rtt_long_us : UINT32_MAX;
    uint32_t end = tcp_frame_end(frame);
    if (seq_before(r->fack, end))
        r->fack = end;
    else if (seq_before(end, r->fack) && !(frame->marks & TCP_FRAME_RETRANSMITTED))
        r->marks |= TCP_RECOVERY_REORDERING_SEEN;
    if (is_of_first_sending(c, frame, news, rtt_us))
        return;
    if (!(frame->marks & TCP_FRAME_RETRANSMITTED) && (rtt_us < r->rtt_min_us || r->rtt_min_us == 0))
        r->rtt_min_us = rtt_us > 0 ? rtt_us : 1;
    if (!(r->marks & TCP_RECOVERY_RACK) || sent_after(frame->sent_ns, end, r->rack_sent_ns, r->rack_end)) {
        r->marks |= TCP_RECOVERY_RACK;
        r->rack_sent_ns = frame->sent_ns;
        r->rack_end = end;
        r->rack_rtt_us = rtt_us;
    }
}

/* RFC 8985 6.2, step 4: a duplicate at the peer means that something was sent again too early. */
void tcp_rack_dsack(struct tcp_connection *c, const struct tcp_news *news)
{
    struct tcp_recovery *r = &c->recovery;
    if (r->marks & TCP_RECOVERY_DSACK_ROUND && seq_at_or_before(r->dsack_round, c->snd_una))
        r->marks &= (uint8_t)~TCP_RECOVERY_DSACK_ROUND;
    if (!news->dsack || r->marks & TCP_RECOVERY_DSACK_ROUND)
        return;
    r->marks |= TCP_RECOVERY_DSACK_ROUND;
    r->dsack_round = c->snd_nxt;
    r->reordering_persist = REORDERING_PERSIST;
    if (r->reordering_windows < REORDERING_WINDOWS_MAX)
        r->reordering_windows++;
}

void tcp_rack_recovery_over(struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    if (r->reordering_persist > 0)
        r->reordering_persist--;
    if (r->reordering_persist == 0)
        r->reordering_windows = 1;
}

static uint64_t reordering_window_ns(const struct tcp_connection *c)
{
    const struct tcp_recovery *r = &c->recovery;
    /* Until reordering has been seen, three that overtook are enough, as ever (RFC 5681 3.2). */
    if (!(r->marks & TCP_RECOVERY_REORDERING_SEEN) &&
        (r->phase >= TCP_RECOVERY || r->sacked_frames >= TCP_DUP_ACKS))
        return 0;
    uint64_t window_us = (uint64_t)r->reordering_windows * r->rtt_min_us / 4;
    return 1000 * (window_us < r->srtt_us ? window_us : r->srtt_us);
}

/* RFC 8985 6.2, step 5. */
uint64_t tcp_rack_detect(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    if (!(r->marks & TCP_RECOVERY_RACK))
        return 0;
    uint64_t patience_ns = 1000 * (uint64_t)r->rack_rtt_us + reordering_window_ns(c);
    uint64_t again_ns = 0;
    for (struct tcp_frame *frame = c->send_head; frame != c->send_next; frame = frame->next) {
        if (frame->marks & (TCP_FRAME_SACKED | TCP_FRAME_LOST) ||
            !sent_after(r->rack_sent_ns, r->rack_end, frame->sent_ns, tcp_frame_end(frame)))
            continue;
        uint64_t due_ns = frame->sent_ns + patience_ns;
        if (due_ns <= tcp->now.mono_ns)
            tcp_scoreboard_mark_lost(c, frame);
        else if (due_ns - tcp->now.mono_ns > again_ns)
            again_ns = due_ns - tcp->now.mono_ns;
    }
    return again_ns;
}

/* RFC 8985 6.3: the oldest, and what was sent long enough ago; without a measure of "long enough", all. */
void tcp_rack_detect_at_timeout(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    bool measured = c->marks & TCP_MARK_SACK && r->marks & TCP_RECOVERY_RACK;
    uint64_t patience_ns = measured ? 1000 * (uint64_t)r->rack_rtt_us + reordering_window_ns(c) : 0;
    for (struct tcp_frame *frame = c->send_head; frame != c->send_next; frame = frame->next)
        if (frame == c->send_head || frame->sent_ns + patience_ns <= tcp->now.mono_ns)
            tcp_scoreboard_mark_lost(c, frame);
}
