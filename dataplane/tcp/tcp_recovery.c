/*
 * tcp_recovery.c - what an acknowledgement means and what a time-out does: round trips and RTO (RFC
 * 6298), the phases of tcp_recovery.h, NewReno for peers without SACK (RFC 6582).
 */
#include "tcp/tcp_recovery.h"

enum { CLOCK_GRANULARITY_US = 1000 }; /* G of RFC 6298: the timer wheel's tick */

static void rtt_sample(struct tcp_recovery *r, uint64_t sample_us)
{
    /* RFC 6298 2.2, 2.3; a sample of an hour would do as well as any longer one */
    uint32_t rtt_us = sample_us == 0 ? 1 : sample_us < UINT32_MAX / 8 ? (uint32_t)sample_us : UINT32_MAX / 8;
    if (r->srtt_us == 0) {
        r->srtt_us = rtt_us;
        r->rttvar_us = rtt_us / 2;
    } else {
        uint32_t difference = r->srtt_us > rtt_us ? r->srtt_us - rtt_us : rtt_us - r->srtt_us;
        r->rttvar_us = (uint32_t)(((uint64_t)r->rttvar_us * 3 + difference) / 4);
        r->srtt_us = (uint32_t)(((uint64_t)r->srtt_us * 7 + rtt_us) / 8);
        if (r->srtt_us == 0)
            r->srtt_us = 1;
    }
    uint64_t variance_us = 4 * (uint64_t)r->rttvar_us;
    if (variance_us < CLOCK_GRANULARITY_US)
        variance_us = CLOCK_GRANULARITY_US;
    uint64_t rto_ns = RTE_MAX(1000 * (r->srtt_us + variance_us), TCP_RTO_MIN_NS);
    r->rto_ns = RTE_MIN(rto_ns, TCP_RTO_MAX_NS);
}

void tcp_recovery_start(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    unsigned syn_retries = r->retries;
    uint64_t syn_sent_ns = r->sent_ns;
    *r = (struct tcp_recovery){
        .recover = c->iss,
        .fack = c->snd_nxt,
        .reordering_windows = 1,
        .rto_ns = syn_retries > 0 ? TCP_RTO_AFTER_SYN_NS : TCP_RTO_INITIAL_NS,
        .sent_ns = tcp->now.mono_ns,
    };
    if (syn_retries == 0 && syn_sent_ns != 0)
        rtt_sample(r, (tcp->now.mono_ns - syn_sent_ns) / 1000);
    tcp_congestion_start(c, syn_retries > 1);
    c->timer_at[TCP_TIMER_RETRANSMIT] = 0;
}

/* ---- the timer ---- */

static void timer_set(struct tcp *tcp, struct tcp_connection *c, enum tcp_retransmit_kind kind,
                      uint64_t at_ns)
{
    c->recovery.kind = (uint8_t)kind;
    tcp_arm(tcp, c, TCP_TIMER_RETRANSMIT, at_ns);
}

void tcp_recovery_timer(struct tcp *tcp, struct tcp_connection *c, bool restart, bool fresh,
                        uint64_t reordering_ns)
{
    struct tcp_recovery *r = &c->recovery;
    uint64_t now_ns = tcp->now.mono_ns, delay_ns;
    uint64_t armed_ns = c->timer_at[TCP_TIMER_RETRANSMIT];
    if (tcp_flight(c) == 0) {
        r->rto_at_ns = 0;
        c->timer_at[TCP_TIMER_RETRANSMIT] = 0;
        return;
    }
    if (restart || r->rto_at_ns == 0)
        r->rto_at_ns = now_ns + r->rto_ns;
    if (reordering_ns != 0 && now_ns + reordering_ns < r->rto_at_ns) {
        timer_set(tcp, c, TCP_RETRANSMIT_REORDERING, now_ns + reordering_ns);
    } else if ((delay_ns = tcp_tail_probe_delay(c)) != 0) {
        uint64_t at_ns = now_ns + delay_ns;
        if (!fresh && r->kind == TCP_RETRANSMIT_PROBE && armed_ns != 0)
            at_ns = armed_ns; /* duplicates do not put it off */
        /* RFC 8985 7.2: the probe takes the place of a time-out that would come first */
        timer_set(tcp, c, TCP_RETRANSMIT_PROBE, RTE_MIN(at_ns, r->rto_at_ns));
    } else {
        timer_set(tcp, c, TCP_RETRANSMIT_RTO, r->rto_at_ns);
    }
}

void tcp_recovery_sent(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame)
{
    struct tcp_recovery *r = &c->recovery;
    bool again = frame->marks & TCP_FRAME_SENT;
    frame->sent_ns = tcp->now.mono_ns;
    r->sent_ns = tcp->now.mono_ns;
    if (frame->marks & TCP_FRAME_LOST)
        r->lost_bytes -= frame->length;
    frame->marks &= (uint8_t)~TCP_FRAME_LOST;
    frame->marks |= again ? TCP_FRAME_RETRANSMITTED : TCP_FRAME_SENT;
    r->sent_frames = (uint16_t)(r->sent_frames + !again);
    if (r->phase == TCP_RECOVERY)
        r->prr_sent += frame->length;
    /* RFC 6298 5.1; the oldest being sent again gets the time to arrive (as RFC 6582 3.2, step 5 has it) */
    bool restart = again && frame == c->send_head;
    if (r->kind == TCP_RETRANSMIT_REORDERING && c->timer_at[TCP_TIMER_RETRANSMIT] != 0) {
        if (restart)
            r->rto_at_ns = tcp->now.mono_ns + r->rto_ns;
        return;
    }
    tcp_recovery_timer(tcp, c, restart, !again, 0);
}

void tcp_recovery_arm_control(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    r->sent_ns = tcp->now.mono_ns;
    if (c->state >= TCP_ESTABLISHED) {
        tcp_recovery_timer(tcp, c, false, true, 0);
        return;
    }
    if (r->rto_ns == 0)
        r->rto_ns = TCP_RTO_INITIAL_NS;
    r->rto_at_ns = tcp->now.mono_ns + r->rto_ns;
    timer_set(tcp, c, TCP_RETRANSMIT_RTO, r->rto_at_ns);
}

/* ---- acknowledgements ---- */

/*
 * RFC 6298 3 (Karn): an acknowledgement of what was sent twice measures nothing, nor do others that it
 * covers (they waited for it), unless the time stamp that it echoes says that the last sending caused it
 * (RFC 7323 4). An echo from before that is of an acknowledgement that was lost or late: as a sample it
 * would be the time-out itself, and the next one the longer for it. Without a sample the backed-off RTO
 * stays.
 */
static void measure(struct tcp *tcp, struct tcp_connection *c, const struct tcp_news *news)
{
    const struct tcp_options *options = &news->segment->options;
    uint64_t sent_ns = news->first_sent_ns;
    if (news->sent_again_ns != 0) {
        uint32_t stamp = (uint32_t)(news->sent_again_ns / TCP_MS) + c->ts_offset;
        bool told = c->marks & TCP_MARK_TIMESTAMPS && options->has_timestamps &&
                    seq_at_or_before(stamp, options->ts_echo);
        sent_ns = told ? news->sent_again_ns : 0;
    }
    if (sent_ns == 0)
        return;
    rtt_sample(&c->recovery, (tcp->now.mono_ns - sent_ns) / 1000);
    if (unlikely(c->recovery.marks & TCP_RECOVERY_BACKED_OFF)) {
        c->recovery.marks &= (uint8_t)~TCP_RECOVERY_BACKED_OFF;
        if (c->path_lowered_s != 0)
            tcp_path_raise(tcp, c); /* before what is written next is cut to size */
    }
}

static void progress(struct tcp *tcp, struct tcp_connection *c, const struct tcp_news *news)
{
    struct tcp_recovery *r = &c->recovery;
    r->retries = 0;
    r->dup_acks = 0;
    if (!seq_before(news->una, r->limited_end))
        r->limited_end = c->snd_una; /* never so old that it seems to lie ahead */
    if (r->phase < TCP_RECOVERY && seq_before(r->recover, c->snd_una))
        r->recover = c->snd_una - 1; /* nor this */
    if (c->snd_una == c->snd_end + 1)
        r->marks &= (uint8_t)~TCP_RECOVERY_FIN_LOST;
    measure(tcp, c, news);
}

/* NewReno's notion of what has arrived (RFC 5681 3.2, RFC 6582): one segment for each duplicate ACK. It
 * lets new data out for the first two (RFC 3042) and for those after the third. */
static void without_sack(struct tcp_connection *c, struct tcp_news *news, bool duplicate)
{
    struct tcp_recovery *r = &c->recovery;
    uint32_t segment_bytes = r->sent_frames > 0 ? tcp_flight(c) / r->sent_frames : 0;
    if (news->acked > 0) {
        /* what duplicates had announced is now acknowledged, but for the segment that was missing */
        uint32_t announced = news->acked > segment_bytes ? news->acked - segment_bytes : 0;
        if (r->phase != TCP_RECOVERY || announced > r->assumed_bytes)
            r->assumed_bytes = 0;
        else
            r->assumed_bytes -= announced;
    } else if (duplicate && r->phase != TCP_LOSS && r->sent_frames > 0) {
        r->dup_acks = (uint16_t)(r->dup_acks + (r->dup_acks < UINT16_MAX));
        if (r->assumed_bytes + r->lost_bytes + segment_bytes <= tcp_flight(c)) {
            r->assumed_bytes += segment_bytes;
            news->delivered += segment_bytes;
        }
    }
    if (c->send_head == c->send_next)
        return;
    bool third =
        r->phase <= TCP_DISORDER && r->dup_acks >= TCP_DUP_ACKS && seq_before(r->recover, c->snd_una);
    bool partial = r->phase == TCP_RECOVERY && news->acked > 0 && seq_before(c->snd_una, r->recover);
    if (third || partial) /* RFC 6582 3.2, steps 2 and 3 */
        tcp_scoreboard_mark_lost(c, c->send_head);
}

static void recovery_begin(struct tcp *tcp, struct tcp_connection *c, uint32_t delivered)
{
    struct tcp_recovery *r = &c->recovery;
    tcp_count(tcp, COUNTER_tcp_recoveries);
    r->phase = TCP_RECOVERY;
    r->recover = c->snd_nxt;
    r->marks &= (uint8_t) ~(TCP_RECOVERY_PROBED | TCP_RECOVERY_PROBED_AGAIN);
    tcp_congestion_reduce(c);
    tcp_congestion_proportional(c, delivered, true);
}

static void recovery_end(struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    r->assumed_bytes = 0;
    r->phase = r->sacked_bytes > 0 ? TCP_DISORDER : TCP_OPEN;
    tcp_rack_recovery_over(c);
}

static void phase_step(struct tcp *tcp, struct tcp_connection *c, const struct tcp_news *news,
                       bool losses_found)
{
    struct tcp_recovery *r = &c->recovery;
    bool over = r->phase >= TCP_RECOVERY && !seq_before(c->snd_una, r->recover);
    if (over && r->phase == TCP_RECOVERY)
        tcp_congestion_recovered(c);
    else if (news->acked > 0 && r->phase != TCP_RECOVERY && !losses_found)
        tcp_congestion_grow(c, news);
    if (over) {
        recovery_end(c);
        losses_found = r->lost_bytes > 0; /* of what was sent since: a loss of its own */
    }
    /* RFC 6582 3.2, step 3: without SACK a partial acknowledgement sends the next segment again in any
     * case */
    bool partial = losses_found && !(c->marks & TCP_MARK_SACK);
    if (r->phase == TCP_RECOVERY)
        tcp_congestion_proportional(c, news->delivered, partial);
    else if (r->phase != TCP_LOSS && losses_found)
        recovery_begin(tcp, c, news->delivered);
    else if (r->phase != TCP_LOSS)
        r->phase = r->sacked_bytes + r->assumed_bytes > 0 ? TCP_DISORDER : TCP_OPEN;
}

void tcp_recovery_ack(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment,
                      bool duplicate)
{
    struct tcp_recovery *r = &c->recovery;
    struct tcp_news news = {.segment = segment, .una = c->snd_una};
    uint32_t lost_before;
    uint64_t reordering_ns = 0;
    /* in order of sequence numbers, so that only what is out of order looks like it (RFC 8985 6.2, step 3) */
    if (segment->ack != c->snd_una) {
        tcp_scoreboard_acknowledge(tcp, c, &news);
        progress(tcp, c, &news);
    }
    if (!(c->marks & TCP_MARK_SACK)) {
        lost_before = r->lost_bytes;
        without_sack(c, &news, duplicate);
    } else {
        if (segment->options.sack_blocks > 0)
            tcp_scoreboard_sack(tcp, c, &news);
        tcp_rack_dsack(c, &news);
        lost_before = r->lost_bytes;
        if (r->phase != TCP_OPEN || r->sacked_frames > 0)
            reordering_ns = tcp_rack_detect(tcp, c);
    }
    bool repaired = tcp_tail_probe_acknowledged(c, &news);
    phase_step(tcp, c, &news, r->lost_bytes > lost_before);
    if (repaired && r->phase < TCP_RECOVERY) {
        tcp_congestion_reduce(c);
        tcp_congestion_recovered(c);
    }
    tcp_recovery_timer(tcp, c, news.acked > 0, news.acked > 0, reordering_ns);
    tcp_dirty(tcp, c);
}

void tcp_recovery_ack_plain(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment)
{
    struct tcp_recovery *r = &c->recovery;
    struct tcp_news news = {.segment = segment, .una = c->snd_una};
    tcp_scoreboard_acknowledge(tcp, c, &news);
    progress(tcp, c, &news);
    if (r->marks & TCP_RECOVERY_PROBED && tcp_tail_probe_acknowledged(c, &news)) {
        tcp_congestion_reduce(c);
        tcp_congestion_recovered(c);
    } else {
        tcp_congestion_grow(c, &news);
    }
    tcp_recovery_timer(tcp, c, true, true, 0);
    if (c->send_next != NULL || c->marks & TCP_MARK_FIN_QUEUED)
        tcp_dirty(tcp, c);
}

/* ---- time-outs ---- */

static void give_up(struct tcp *tcp, struct tcp_connection *c)
{
    tcp_count(tcp, COUNTER_tcp_given_up);
    tcp_connection_end(
        tcp, c, c->state == TCP_SYN_SENT && c->soft_error ? STREAM_END_UNREACHABLE : STREAM_END_TIMED_OUT);
}

static void back_off(struct tcp_recovery *r)
{
    r->retries++;
    r->rto_ns = RTE_MIN(2 * r->rto_ns, TCP_RTO_MAX_NS); /* RFC 6298 5.5 */
    r->marks |= TCP_RECOVERY_BACKED_OFF;
}

static void syn_timeout(struct tcp *tcp, struct tcp_connection *c)
{
    unsigned retries_max = c->state == TCP_SYN_SENT ? TCP_SYN_RETRIES : TCP_SYN_ACK_RETRIES;
    if (c->recovery.retries >= retries_max) {
        give_up(tcp, c);
        return;
    }
    back_off(&c->recovery);
    tcp_send_syn(tcp, c);
}

/* R2 (RFC 9293 3.8.3), but a peer that has taken its window back and still answers is only slow (RFC 1122
 * 4.2.2.16, 4.2.2.17). */
static bool is_hopeless(const struct tcp *tcp, struct tcp_connection *c)
{
    if (c->recovery.retries < TCP_RETRIES)
        return false;
    return c->snd_wnd != 0 || tcp->now.mono_ns - c->received_ns > 2 * TCP_RTO_MAX_NS;
}

static void retransmission_timeout(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    if (is_hopeless(tcp, c)) {
        give_up(tcp, c);
        return;
    }
    if (r->retries >= TCP_HOG_TRIES && tcp_hogs_frames(tcp, c)) {
        tcp_count(tcp, COUNTER_tcp_hogs);
        tcp_connection_abort(tcp, c, STREAM_END_ABORTED);
        return;
    }
    tcp_count(tcp, COUNTER_tcp_timeouts);
    if (r->retries < TCP_RETRIES)
        back_off(r);
    if (r->sacked_frames > 0)
        tcp_count(tcp, COUNTER_tcp_sack_forgotten);
    tcp_scoreboard_forget_sack(c);
    tcp_path_suspect(tcp, c);
    tcp_congestion_timeout(c, r->retries == 1);
    r->phase = TCP_LOSS;
    r->recover = c->snd_nxt;
    r->assumed_bytes = 0;
    r->dup_acks = 0;
    r->marks &= (uint8_t) ~(TCP_RECOVERY_PROBED | TCP_RECOVERY_PROBED_AGAIN);
    tcp_rack_detect_at_timeout(tcp, c);
    if (tcp_fin_sent(c))
        r->marks |= TCP_RECOVERY_FIN_LOST;
    tcp_recovery_timer(tcp, c, true, true, 0);
    /* RFC 6298 5.4: the oldest leaves, whatever else is thought to be on its way */
    if (c->send_head != c->send_next)
        tcp_send_frame(tcp, c, c->send_head);
}

void tcp_recovery_timeout(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    c->timer_at[TCP_TIMER_RETRANSMIT] = 0;
    if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED) {
        syn_timeout(tcp, c);
        return;
    }
    if (tcp_flight(c) == 0)
        return;
    if (r->kind == TCP_RETRANSMIT_PROBE) {
        tcp_tail_probe_send(tcp, c);
        tcp_recovery_timer(tcp, c, true, true, 0);
    } else if (r->kind == TCP_RETRANSMIT_REORDERING) {
        uint32_t lost_before = r->lost_bytes;
        uint64_t again_ns = tcp_rack_detect(tcp, c);
        if (r->lost_bytes > lost_before && r->phase < TCP_RECOVERY)
            recovery_begin(tcp, c, 0);
        else if (r->lost_bytes > lost_before && r->phase == TCP_RECOVERY)
            tcp_congestion_proportional(c, 0, false);
        tcp_recovery_timer(tcp, c, false, false, again_ns);
    } else {
        retransmission_timeout(tcp, c);
    }
    if (c->state != TCP_CLOSED && !(c->marks & TCP_MARK_CLOSING))
        tcp_dirty(tcp, c);
}
