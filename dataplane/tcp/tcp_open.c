/*
 * tcp_open.c - how connections begin: segments that belong to none (RFC 9293 3.10.7.1 and 3.10.7.2), those of
 * SYN_SENT (3.10.7.3), and the moment when a connection is established.
 */
#include "check.h"
#include "tcp/tcp_internal.h"

uint8_t tcp_window_shift(const struct tcp *tcp)
{
    uint8_t shift = 0;
    while (shift < TCP_WINDOW_SHIFT_MAX && tcp->config.receive_bytes_max >> shift > UINT16_MAX)
        shift++;
    return shift;
}

void tcp_negotiate(struct tcp *tcp, struct tcp_connection *c, const struct tcp_options *options)
{
    c->marks &= (uint16_t) ~(TCP_MARK_TIMESTAMPS | TCP_MARK_SACK | TCP_MARK_SCALE);
    c->snd_shift = c->rcv_shift = 0;
    /* each only if both sides have said it (RFC 7323 2.2 and 3.2, RFC 2018 2); we always do */
    if (options->has_timestamps) {
        c->marks |= TCP_MARK_TIMESTAMPS;
        c->ts_recent = options->ts_value;
    }
    if (options->sack_permitted)
        c->marks |= TCP_MARK_SACK;
    if (options->has_window_scale) {
        c->marks |= TCP_MARK_SCALE;
        c->snd_shift = options->window_shift;
        c->rcv_shift = tcp_window_shift(tcp);
    }
    uint16_t mss = options->mss != 0 ? options->mss : TCP_MSS_DEFAULT;
    c->peer_mss = RTE_MAX(mss, (uint16_t)TCP_MSS_MIN);
    tcp_path_set_mss(tcp, c);
}

static void take_window(struct tcp_connection *c, const struct tcp_segment *segment, unsigned shift)
{
    c->snd_wnd = (uint32_t)segment->window << shift;
    c->snd_wnd_max = c->snd_wnd;
    c->snd_wl1 = segment->seq;
    c->snd_wl2 = segment->flags & TCP_ACK ? segment->ack : c->iss;
}

/* ---- LISTEN ---- */

void tcp_listen_syn(struct tcp *tcp, const struct tcp_segment *segment, const struct tcp_arrival *arrival,
                    const uint32_t *iss_after)
{
    const struct flow *flow = &arrival->path.flow;
    if (!tcp->listening) {
        tcp_count(tcp, COUNTER_tcp_syn_draining);
        return;
    }
    /* SYN with FIN is a scan, nobody's opening, and port 0 cannot be answered */
    if ((segment->flags & TCP_FIN) || flow->peer_port == 0) {
        tcp_count(tcp, COUNTER_tcp_syn_odd);
        return;
    }
    if (tcp_source_full(&tcp->sources, &flow->peer)) {
        tcp_count(tcp, COUNTER_tcp_source_full);
        tcp_send_reset(tcp, segment, arrival);
        return;
    }
    enum tcp_memory memory = tcp_memory(tcp);
    if (memory == TCP_MEMORY_FEW) {
        tcp_cookie_send(tcp, segment, arrival);
        return;
    }
    struct tcp_connection *c = memory == TCP_MEMORY_PLENTY ? tcp_connection_new(tcp, &arrival->path) : NULL;
    if (c == NULL) {
        tcp_count(tcp, COUNTER_tcp_syn_no_room);
        return;
    }
    tcp_count(tcp, COUNTER_tcp_syn);
    uint32_t iss = tcp_initial_sequence(tcp, flow, &c->ts_offset);
    if (iss_after != NULL && seq_at_or_before(iss, *iss_after))
        iss = *iss_after + 1; /* RFC 9293 3.10.7.4 by RFC 1122 4.2.2.13 (BSD): above the last incarnation's */
    /* Payload of the SYN is not acknowledged: it comes again once there is a connection (RFC 9293 3.10.7.2).
     * */
    tcp_connection_begin(c, iss, segment->seq);
    c->state = TCP_SYN_RECEIVED;
    c->marks |= TCP_MARK_PASSIVE;
    tcp->half_open++;
    tcp_negotiate(tcp, c, &segment->options);
    take_window(c, segment, 0);
    tcp_send_syn(tcp, c);
}

/* An ACK to a listener: the last step of a handshake by cookie, or stray. */
static void listen_ack(struct tcp *tcp, struct tcp_segment *segment, const struct tcp_arrival *arrival)
{
    bool ours = false;
    struct tcp_connection *c = NULL;
    if (!(segment->flags & TCP_SYN))
        c = tcp_cookie_accept(tcp, segment, arrival, &ours);
    if (c != NULL) {
        tcp_slow_path(tcp, c, segment, arrival);
    } else if (!ours) {
        tcp_count(tcp, COUNTER_tcp_stray);
        tcp_send_reset(tcp, segment, arrival);
    }
}

void tcp_segment_of_none(struct tcp *tcp, struct tcp_segment *segment, const struct tcp_arrival *arrival)
{
    if (segment->flags & TCP_RST) { /* never answered, and no cookie is completed by it */
        tcp_count(tcp, COUNTER_tcp_reset_ignored);
        return;
    }
    if (tcp_listener_at(tcp, arrival->path.flow.local_port) == NULL) {
        tcp_count(tcp, COUNTER_tcp_closed_port);
        tcp_send_reset(tcp, segment, arrival);
        return;
    }
    /* RFC 9293 3.10.7.2: RST, then ACK, then SYN, else dropped */
    if (segment->flags & TCP_ACK)
        listen_ack(tcp, segment, arrival);
    else if (segment->flags & TCP_SYN)
        tcp_listen_syn(tcp, segment, arrival, NULL);
    else
        tcp_count(tcp, COUNTER_tcp_stray);
}

/* ---- SYN_SENT ---- */

/* The peer's SYN: what it says about the connection. */
static void syn_taken(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment)
{
    c->irs = segment->seq;
    c->rcv_nxt = c->last_ack_sent = segment->seq + 1;
    c->rcv_adv = c->rcv_nxt + RTE_MIN(tcp->config.receive_bytes_max, (uint32_t)UINT16_MAX); /* our SYN's */
    c->received_ns = tcp->now.mono_ns;
    tcp_negotiate(tcp, c, &segment->options);
    take_window(c, segment, 0); /* RFC 7323 2.2: never scaled in a SYN */
}

bool tcp_syn_sent(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment,
                  const struct tcp_arrival *arrival)
{
    /* Nobody can answer what has not left. */
    if (unlikely(!tcp_syn_left(c))) {
        tcp_count(tcp, COUNTER_tcp_stray);
        return false;
    }
    /* RFC 9293 3.10.7.3, first: ACK */
    bool ack = segment->flags & TCP_ACK;
    if (ack && segment->ack != c->snd_nxt) {
        tcp_count(tcp, COUNTER_tcp_bad_syn_ack);
        if (!(segment->flags & TCP_RST))
            tcp_send_reset(tcp, segment, arrival);
        return false;
    }
    /* second: RST, believed only with an ACK of our SYN (RFC 5961 3.2) */
    if (segment->flags & TCP_RST) {
        if (ack) {
            tcp_count(tcp, COUNTER_tcp_refused);
            tcp_connection_end(tcp, c, STREAM_END_REFUSED);
        } else {
            tcp_count(tcp, COUNTER_tcp_reset_elsewhere);
        }
        return false;
    }
    /* fourth: SYN; fifth: neither SYN nor RST */
    if (!(segment->flags & TCP_SYN)) {
        tcp_count(tcp, COUNTER_tcp_stray);
        return false;
    }
    syn_taken(tcp, c, segment);
    if (!ack) { /* simultaneous open */
        c->state = TCP_SYN_RECEIVED;
        tcp->half_open++;
        tcp_send_syn(tcp, c);
        return false;
    }
    c->snd_una = segment->ack;
    c->marks |= TCP_MARK_ACK_NOW;
    tcp_dirty(tcp, c);
    if (!tcp_established(tcp, c))
        return false;
    segment->seq++; /* what follows the SYN */
    segment->flags &= (uint8_t)~TCP_SYN;
    return true;
}

/* ---- ESTABLISHED ---- */

/* Its listener's service wants it, or not. */
static bool accept_passive(struct tcp *tcp, struct tcp_connection *c)
{
    const struct tcp_listener *listener = tcp_listener_at(tcp, c->stream.flow.local_port);
    if (!tcp->listening || listener == NULL) {
        tcp_count(tcp, COUNTER_tcp_unwanted);
        return false;
    }
    if (!tcp_source_take(&tcp->sources, &c->stream.flow.peer)) {
        tcp_count(tcp, COUNTER_tcp_source_full);
        return false;
    }
    c->stream.lasting = listener->acceptor.delivered != NULL;
    if (!listener->acceptor.accepted(listener->acceptor.state, &c->stream)) {
        tcp_source_give_back(&tcp->sources, &c->stream.flow.peer);
        tcp_count(tcp, COUNTER_tcp_unwanted);
        return false;
    }
    CHECK(c->stream.events != NULL);
    c->marks |= TCP_MARK_ACCEPTED; /* `closed` is owed, and the source's share given back, from now on */
    tcp_count(tcp, COUNTER_tcp_accepted);
    return true;
}

bool tcp_established(struct tcp *tcp, struct tcp_connection *c)
{
    tcp->half_open -= c->state == TCP_SYN_RECEIVED;
    c->state = TCP_ESTABLISHED;
    tcp_recovery_start(tcp, c);
    if (tcp->config.keepalive)
        tcp_arm(tcp, c, TCP_TIMER_IDLE, tcp->now.mono_ns + TCP_KEEPALIVE_IDLE_NS);
    if (c->marks & TCP_MARK_FIN_QUEUED) /* closed while it was SYN_RECEIVED (RFC 9293 3.10.4) */
        c->state = TCP_FIN_WAIT_1;
    if (c->send_head != NULL || (c->marks & TCP_MARK_FIN_QUEUED)) /* written before there was a connection */
        tcp_dirty(tcp, c);
    if (c->marks & TCP_MARK_PASSIVE) {
        if (!accept_passive(tcp, c)) {
            tcp_connection_abort(tcp, c, STREAM_END_ABORTED);
            return false;
        }
    } else {
        tcp_count(tcp, COUNTER_tcp_connected);
        c->stream.events->connected(&c->stream);
    }
    return !(c->marks & TCP_MARK_CLOSING);
}
