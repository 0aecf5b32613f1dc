/*
 * tcp_slow_path.c - every segment of a connection that the fast path does not take, in the order of RFC 9293
 * 3.10.7.4: sequence check, RST, SYN, ACK, payload, FIN.
 */
#include "tcp/tcp_internal.h"

/* A reason to send an ACK now that many segments of a burst may share: one goes, at its end. */
static void acknowledge_soon(struct tcp *tcp, struct tcp_connection *c)
{
    c->marks |= TCP_MARK_ACK_NOW;
    tcp_dirty(tcp, c);
}

/*
 * An unacceptable segment is acknowledged (RFC 9293 3.10.7.4). If it has no length it may be such an
 * acknowledgement itself: two ends that disagree must not answer each other without limit.
 */
static void answer_unacceptable(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment)
{
    if (tcp_segment_length(segment) == 0 || c->state == TCP_SYN_RECEIVED) /* where nothing leaves by itself */
        tcp_send_challenge(tcp, c);
    else
        acknowledge_soon(tcp, c);
}

/* RFC 7323 5.3 R1 (PAWS) and 3.2. RSTs are judged by their number alone. */
static bool check_time_stamp(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment)
{
    if (!(c->marks & TCP_MARK_TIMESTAMPS) || (segment->flags & TCP_RST))
        return true;
    if (!segment->options.has_timestamps) {
        tcp_count(tcp, COUNTER_tcp_no_time_stamp);
        return false;
    }
    if (seq_before(segment->options.ts_value, c->ts_recent) &&
        tcp->now.mono_ns - c->received_ns < TCP_PAWS_LIFE_NS) {
        tcp_count(tcp, COUNTER_tcp_old_time_stamp);
        answer_unacceptable(tcp, c, segment);
        return false;
    }
    return true;
}

/* RFC 7323 4.3 (2); for segments whose numbers, both, have been found good. */
static void take_time_stamp(struct tcp_connection *c, const struct tcp_segment *segment)
{
    if ((c->marks & TCP_MARK_TIMESTAMPS) && seq_at_or_before(segment->seq, c->last_ack_sent) &&
        !seq_before(segment->options.ts_value, c->ts_recent))
        c->ts_recent = segment->options.ts_value;
}

/* Whether any of it may be inside the window. */
static bool in_window(const struct tcp_connection *c, const struct tcp_segment *segment)
{
    uint32_t length = tcp_segment_length(segment), window = c->rcv_adv - c->rcv_nxt;
    if (length == 0) {
        /* The right edge itself counts: a peer that has filled our window acknowledges from there, and if a
         * segment of its window was lost, this is all that tells us so. */
        return segment->seq - c->rcv_nxt <= window;
    }
    return seq_before(segment->seq, c->rcv_adv) && seq_before(c->rcv_nxt, segment->seq + length);
}

/* First, sequence number (and SYNs and RSTs, as RFC 5961 has them). False: dropped. */
static bool check_sequence(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment)
{
    if (segment->flags & TCP_RST) {
        uint32_t window = c->rcv_adv - c->rcv_nxt;
        if (segment->seq == c->rcv_nxt)
            return true;
        if (seq_in(segment->seq, c->rcv_nxt, window)) { /* RFC 5961 3.2 */
            tcp_count(tcp, COUNTER_tcp_reset_doubtful);
            tcp_send_challenge(tcp, c);
        } else {
            tcp_count(tcp, COUNTER_tcp_reset_elsewhere);
        }
        return false;
    }
    if (segment->flags & TCP_SYN) {
        if (c->state == TCP_SYN_RECEIVED && segment->seq == c->irs && !(segment->flags & TCP_ACK)) {
            /* our SYN+ACK was lost: an ACK, as the RFC has it, would mean nothing to a peer in SYN_SENT */
            tcp_count(tcp, COUNTER_tcp_syn_repeated);
            tcp_send_syn(tcp, c);
            return false;
        }
        if (!(c->state == TCP_SYN_RECEIVED && segment->seq == c->irs)) {
            tcp_count(tcp, COUNTER_tcp_syn_in_connection); /* RFC 5961 4.2 */
            tcp_send_challenge(tcp, c);
            return false;
        }
        /* simultaneous open: the peer's SYN+ACK, whose SYN we have */
        segment->seq++;
        segment->flags &= (uint8_t)~TCP_SYN;
    }
    if (in_window(c, segment))
        return true;
    /* A closed window: what it says about our data counts even so (RFC 9293 3.10.7.4), else two ends whose
     * windows are both closed would never open. */
    if (segment->seq == c->rcv_nxt && c->rcv_adv == c->rcv_nxt)
        return true;
    tcp_count(tcp, COUNTER_tcp_out_of_window);
    answer_unacceptable(tcp, c, segment);
    return false;
}

/* What we have already and what is beyond the window is cut off. It is in the window, or that is closed. */
static void trim(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment)
{
    if (seq_before(segment->seq, c->rcv_nxt)) {
        uint32_t had = c->rcv_nxt - segment->seq;
        segment->seq += had;
        segment->payload += had;
        segment->payload_bytes = (uint16_t)(segment->payload_bytes - had);
        acknowledge_soon(tcp, c);
    }
    uint32_t room = c->rcv_adv - segment->seq;
    if (unlikely(tcp_segment_length(segment) > room)) {
        tcp_count(tcp, COUNTER_tcp_beyond_window);
        segment->payload_bytes = (uint16_t)RTE_MIN((uint32_t)segment->payload_bytes, room);
        segment->flags &= (uint8_t)~TCP_FIN;
        acknowledge_soon(tcp, c);
    }
}

/* Second, RST: at rcv_nxt exactly. */
static void reset_received(struct tcp *tcp, struct tcp_connection *c)
{
    bool opening = c->state == TCP_SYN_RECEIVED;
    tcp_count(tcp, opening && !(c->marks & TCP_MARK_PASSIVE) ? COUNTER_tcp_refused : COUNTER_tcp_reset);
    tcp_connection_end(tcp, c, opening ? STREAM_END_REFUSED : STREAM_END_RESET);
}

/* Fifth, ACK in SYN_RECEIVED. */
static bool complete_handshake(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment,
                               const struct tcp_arrival *arrival)
{
    if (segment->ack != c->snd_nxt) {
        tcp_count(tcp, COUNTER_tcp_bad_syn_ack);
        tcp_send_reset(tcp, segment, arrival);
        return false;
    }
    take_time_stamp(c, segment);
    c->snd_una = segment->ack;
    c->snd_wnd = (uint32_t)segment->window << c->snd_shift;
    c->snd_wnd_max = RTE_MAX(c->snd_wnd_max, c->snd_wnd);
    c->snd_wl1 = segment->seq;
    c->snd_wl2 = segment->ack;
    return tcp_established(tcp, c);
}

static void update_window(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment)
{
    if (!seq_before(c->snd_wl1, segment->seq) &&
        (c->snd_wl1 != segment->seq || seq_before(segment->ack, c->snd_wl2)))
        return;
    uint32_t window = (uint32_t)segment->window << c->snd_shift;
    if (window != c->snd_wnd)
        tcp_dirty(tcp, c);
    c->snd_wnd = window;
    c->snd_wnd_max = RTE_MAX(c->snd_wnd_max, window);
    c->snd_wl1 = segment->seq;
    c->snd_wl2 = segment->ack;
}

/* Fifth, ACK in synchronised states. False: the segment is dropped, or the connection is over. */
static bool take_ack(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment)
{
    /* RFC 5961 5.2: snd_una - max.snd.wnd <= ack <= snd_nxt */
    if (seq_before(c->snd_nxt, segment->ack) || seq_before(segment->ack, c->snd_una - c->snd_wnd_max)) {
        tcp_count(tcp, COUNTER_tcp_ack_unacceptable);
        tcp_send_challenge(tcp, c);
        return false;
    }
    take_time_stamp(c, segment);
    if (seq_before(segment->ack, c->snd_una))
        return true; /* old news about our data; its payload may be new */
    bool news = segment->ack != c->snd_una;
    bool pure = !news && segment->payload_bytes == 0 && !(segment->flags & TCP_FIN);
    bool idle = c->snd_una == c->snd_nxt;
    /* RFC 5681 2 */
    bool duplicate = pure && !idle && (uint32_t)segment->window << c->snd_shift == c->snd_wnd;
    /* with nothing in flight, one may tell that a tail probe was needless (RFC 8985 7.4.2) */
    if (news || duplicate || (pure && idle) ||
        (segment->options.sack_blocks > 0 && (c->marks & TCP_MARK_SACK))) {
        tcp_recovery_ack(tcp, c, segment, duplicate);
        tcp_dirty(tcp, c);
    }
    update_window(tcp, c, segment);
    if (!tcp_tell_writable(tcp, c))
        return false;
    if (news && (c->marks & TCP_MARK_FIN_QUEUED) && c->snd_una == c->snd_end + 1)
        return tcp_fin_acknowledged(tcp, c);
    return true;
}

/* Replies go to the station that the peer's segments come from (endpoint.h), once one is known to be the
 * peer's. */
static void take_path(struct tcp *tcp, struct tcp_connection *c, const struct tcp_arrival *arrival)
{
    const struct return_path *path = &arrival->path;
    if (c->vlan_tci == path->vlan_tci && memcmp(c->peer_mac, path->peer_mac, sizeof c->peer_mac) == 0)
        return;
    tcp_count(tcp, COUNTER_tcp_moved);
    c->vlan_tci = path->vlan_tci;
    memcpy(c->peer_mac, path->peer_mac, sizeof c->peer_mac);
}

/* Seventh and eighth: payload and FIN. */
static void take_payload(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment)
{
    bool fin = segment->flags & TCP_FIN;
    if (segment->payload_bytes == 0 && !fin)
        return;
    if (c->marks & TCP_MARK_FIN_RECEIVED) {
        tcp_count(tcp, COUNTER_tcp_after_fin);
        acknowledge_soon(tcp, c);
        return;
    }
    if (segment->seq != c->rcv_nxt) {
        /* RFC 5681 4.2: at once and for each, so that the peer can count them */
        tcp_gap_store(tcp, c, segment);
        tcp_send_ack(tcp, c);
        return;
    }
    if (c->state == TCP_FIN_WAIT_2) /* it has not forgotten us */
        tcp_arm(tcp, c, TCP_TIMER_IDLE, tcp->now.mono_ns + TCP_FIN_WAIT_2_NS);
    uint32_t end = segment->seq + segment->payload_bytes;
    if (segment->payload_bytes > 0) {
        bool gap = c->gaps > 0;
        tcp_deliver(tcp, c, segment);
        if (c->marks & TCP_MARK_CLOSING)
            return;
        /* RFC 9293 3.8.6.3, RFC 5681 4.2: every second, at once when it fills a gap or was not taken */
        if (++c->acks_owed >= 2 || gap || c->rcv_nxt != end)
            c->marks |= TCP_MARK_ACK_NOW;
        else
            c->marks |= TCP_MARK_ACK_DELAYED;
        tcp_dirty(tcp, c);
    }
    if (c->rcv_nxt != end)
        return;
    if (fin) {
        tcp_gaps_drop(tcp, c); /* nothing is behind a FIN */
        tcp_fin_received(tcp, c);
    } else if (c->gaps > 0) {
        tcp_deliver_gaps(tcp, c);
    }
}

void tcp_slow_path(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment,
                   const struct tcp_arrival *arrival)
{
    if (c->state == TCP_SYN_SENT) {
        if (tcp_syn_sent(tcp, c, segment, arrival)) {
            trim(tcp, c, segment);
            take_payload(tcp, c, segment);
        }
        return;
    }
    if (!check_time_stamp(tcp, c, segment) || !check_sequence(tcp, c, segment))
        return;
    if (segment->flags & TCP_RST) {
        reset_received(tcp, c);
        return;
    }
    if (!(segment->flags & TCP_ACK)) {
        tcp_count(tcp, COUNTER_tcp_no_ack);
        return;
    }
    if (c->state == TCP_SYN_RECEIVED && !complete_handshake(tcp, c, segment, arrival))
        return;
    if (!take_ack(tcp, c, segment))
        return;
    c->received_ns = tcp->now.mono_ns;
    take_path(tcp, c, arrival);
    trim(tcp, c, segment);
    take_payload(tcp, c, segment); /* URG has no meaning here: RFC 6093 */
}
