/*
 * tcp_close.c - how connections end: FIN and half-close, RST, TIME-WAIT, idle ones.
 */
#include "tcp/tcp_internal.h"

void tcp_connection_end(struct tcp *tcp, struct tcp_connection *c, enum stream_end end)
{
    if (c->marks & TCP_MARK_CLOSING)
        return;
    if (!(c->marks & TCP_MARK_DETACHED)) {
        tcp_demux_remove(&tcp->demux, c->hash, tcp_number(tcp, c));
        tcp->connections_used--;
        tcp->half_open -= c->state == TCP_SYN_RECEIVED;
    }
    memset(c->timer_at, 0, sizeof c->timer_at);
    tcp_timers_cancel(&tcp->timers, &c->timer);
    c->state = TCP_CLOSED;
    c->marks |= TCP_MARK_CLOSING;
    c->end = (uint8_t)end;
    tcp_dirty(tcp, c);
}

static void send_reset(struct tcp *tcp, struct tcp_connection *c)
{
    struct return_path path = tcp_path_back(c);
    struct tcp_header header = {.seq = c->snd_nxt, .ack = c->rcv_nxt, .flags = TCP_RST | TCP_ACK};
    /* RFC 7323 3.2: a RST should carry time stamps where they are spoken */
    struct tcp_options options = {
        .has_timestamps = c->marks & TCP_MARK_TIMESTAMPS,
        .ts_value = tcp_timestamp(tcp, c),
        .ts_echo = c->ts_recent,
    };
    tcp_send_segment(tcp, &path, &header, &options);
}

/* RFC 9293 3.10.5: nothing is said before a SYN was answered, nor after both sides have sent their FIN. */
static bool peer_is_told(const struct tcp_connection *c)
{
    switch ((enum tcp_state)c->state) {
    case TCP_SYN_RECEIVED:
    case TCP_ESTABLISHED:
    case TCP_FIN_WAIT_1:
    case TCP_FIN_WAIT_2:
    case TCP_CLOSE_WAIT:
        return true;
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        return c->snd_nxt != c->snd_end + 1; /* ours is still queued behind data */
    default:
        return false;
    }
}

void tcp_connection_abort(struct tcp *tcp, struct tcp_connection *c, enum stream_end end)
{
    if (c->marks & TCP_MARK_CLOSING)
        return;
    if (peer_is_told(c))
        send_reset(tcp, c);
    tcp_connection_end(tcp, c, end);
}

void tcp_close(struct tcp *tcp, struct tcp_connection *c)
{
    c->marks &= (uint16_t)~TCP_MARK_STARVED;
    switch ((enum tcp_state)c->state) {
    case TCP_SYN_SENT:
        tcp_connection_end(tcp, c, STREAM_END_ABORTED); /* RFC 9293 3.10.4: nothing is there to be closed */
        return;
    case TCP_ESTABLISHED:
        c->state = TCP_FIN_WAIT_1;
        break;
    case TCP_CLOSE_WAIT:
        c->state = TCP_LAST_ACK;
        break;
    default:
        break; /* SYN_RECEIVED: when it is established */
    }
    c->marks |= TCP_MARK_FIN_QUEUED;
    tcp_dirty(tcp, c);
}

/* ---- TIME-WAIT ---- */

void tcp_time_wait_end(struct tcp *tcp, uint32_t record)
{
    tcp_demux_remove(&tcp->demux, tcp->time_waits.record[record].hash, tcp_time_wait_number(tcp, record));
    tcp_time_wait_free(&tcp->time_waits, record);
}

/* The flow's place in the demultiplexer goes from the connection to a record. */
static void time_wait_begin(struct tcp *tcp, struct tcp_connection *c)
{
    uint32_t displaced;
    uint64_t ends_ns = tcp->now.mono_ns + TCP_TIME_WAIT_NS;
    uint32_t record = tcp_time_wait_take(&tcp->time_waits, ends_ns, &displaced);
    if (displaced != UINT32_MAX) {
        tcp_count(tcp, COUNTER_tcp_time_wait_displaced);
        tcp_demux_remove(&tcp->demux, tcp->time_waits.record[displaced].hash,
                         tcp_time_wait_number(tcp, displaced));
    }
    if (record == UINT32_MAX) {
        tcp_demux_remove(&tcp->demux, c->hash, tcp_number(tcp, c));
        return;
    }
    tcp_count(tcp, COUNTER_tcp_time_waits);
    struct tcp_time_wait *wait = &tcp->time_waits.record[record];
    wait->path = tcp_path_back(c);
    wait->hash = c->hash;
    wait->snd_nxt = c->snd_nxt;
    wait->rcv_nxt = c->rcv_nxt;
    wait->rcv_wnd = RTE_MIN((c->rcv_adv - c->rcv_nxt) >> c->rcv_shift, (uint32_t)UINT16_MAX);
    wait->timestamps = c->marks & TCP_MARK_TIMESTAMPS;
    wait->ts_recent = c->ts_recent;
    wait->ts_recent_ns = c->received_ns;
    wait->ts_offset = c->ts_offset;
    tcp_demux_replace(&tcp->demux, c->hash, tcp_number(tcp, c), tcp_time_wait_number(tcp, record));
}

void tcp_connection_detach(struct tcp *tcp, struct tcp_connection *c)
{
    if (c->state == TCP_LAST_ACK)
        tcp_demux_remove(&tcp->demux, c->hash, tcp_number(tcp, c));
    else
        time_wait_begin(tcp, c);
    tcp->connections_used--;
    c->state = TCP_CLOSED;
    c->marks = (uint16_t)((c->marks | TCP_MARK_DETACHED) & ~(TCP_MARK_ACK_NOW | TCP_MARK_ACK_DELAYED));
    uint64_t deadline = c->timer_at[TCP_TIMER_USER];
    memset(c->timer_at, 0, sizeof c->timer_at);
    c->timer_at[TCP_TIMER_USER] = deadline;
    tcp_gaps_drop(tcp, c);
    tcp_deliver_held(tcp, c);
}

static void time_wait_acknowledge(struct tcp *tcp, const struct tcp_time_wait *wait,
                                  const struct tcp_arrival *arrival)
{
    tcp_count(tcp, COUNTER_tcp_time_wait_acked);
    struct tcp_header header = {
        .seq = wait->snd_nxt, .ack = wait->rcv_nxt, .window = (uint16_t)wait->rcv_wnd, .flags = TCP_ACK};
    struct tcp_options options = {
        .has_timestamps = wait->timestamps,
        .ts_value = (uint32_t)(tcp->now.mono_ns / TCP_MS) + wait->ts_offset,
        .ts_echo = wait->ts_recent,
    };
    tcp_send_segment(tcp, &arrival->path, &header, &options);
}

/* RFC 6191 3: a SYN that cannot be of the last incarnation, by its time stamp, else by its number. */
static bool may_begin_again(const struct tcp_time_wait *wait, const struct tcp_segment *segment)
{
    if (wait->timestamps && segment->options.has_timestamps && segment->options.ts_value != wait->ts_recent)
        return seq_before(wait->ts_recent, segment->options.ts_value);
    return seq_before(wait->rcv_nxt, segment->seq);
}

void tcp_time_wait_segment(struct tcp *tcp, uint32_t number, struct tcp_segment *segment,
                           const struct tcp_arrival *arrival)
{
    uint32_t record = number - tcp->config.connections_max;
    struct tcp_time_wait *wait = &tcp->time_waits.record[record];
    if (segment->flags & TCP_RST) { /* RFC 1337: whoever believes it lets old segments in */
        tcp_count(tcp, COUNTER_tcp_time_wait_reset);
        return;
    }
    bool syn_alone = (segment->flags & (TCP_SYN | TCP_ACK | TCP_FIN)) == TCP_SYN;
    if (syn_alone && may_begin_again(wait, segment) &&
        tcp_listener_at(tcp, arrival->path.flow.local_port) != NULL) {
        tcp_count(tcp, COUNTER_tcp_time_wait_reused);
        uint32_t snd_nxt = wait->snd_nxt;
        tcp_time_wait_end(tcp, record);
        tcp_listen_syn(tcp, segment, arrival, &snd_nxt);
        return;
    }
    /* Segments without length are never answered: two ends that disagree would answer each other for ever. */
    bool old = wait->timestamps && segment->options.has_timestamps &&
               seq_before(segment->options.ts_value, wait->ts_recent) &&
               tcp->now.mono_ns - wait->ts_recent_ns < TCP_PAWS_LIFE_NS;
    /* RFC 7323 3.2 */
    bool unstamped = wait->timestamps && !segment->options.has_timestamps && !(segment->flags & TCP_SYN);
    if (tcp_segment_length(segment) == 0 || unstamped || !(segment->flags & (TCP_SYN | TCP_ACK))) {
        tcp_count(tcp, COUNTER_tcp_time_wait_dropped);
        return;
    }
    /* the peer's FIN again: it has not seen our acknowledgement, so its wait begins anew (RFC 9293 3.10.7.4)
     * */
    if ((segment->flags & (TCP_FIN | TCP_SYN)) == TCP_FIN && !old &&
        segment->seq + tcp_segment_length(segment) == wait->rcv_nxt)
        tcp_time_wait_again(&tcp->time_waits, record, tcp->now.mono_ns + TCP_TIME_WAIT_NS);
    time_wait_acknowledge(tcp, wait, arrival);
}

/* ---- FIN ---- */

void tcp_fin_received(struct tcp *tcp, struct tcp_connection *c)
{
    c->rcv_nxt++;
    c->marks |= TCP_MARK_FIN_RECEIVED | TCP_MARK_ACK_NOW;
    tcp_dirty(tcp, c);
    switch ((enum tcp_state)c->state) {
    case TCP_ESTABLISHED:
        c->state = TCP_CLOSE_WAIT;
        break;
    case TCP_FIN_WAIT_1: /* ours is not acknowledged: both ends have closed at once */
        c->state = TCP_CLOSING;
        break;
    case TCP_FIN_WAIT_2:
        tcp_send_ack(tcp, c);
        tcp_connection_detach(tcp, c);
        return;
    default:
        break;
    }
    tcp_deliver_held(tcp, c);
}

bool tcp_fin_acknowledged(struct tcp *tcp, struct tcp_connection *c)
{
    switch ((enum tcp_state)c->state) {
    case TCP_FIN_WAIT_1:
        c->state = TCP_FIN_WAIT_2;
        tcp_arm(tcp, c, TCP_TIMER_IDLE, tcp->now.mono_ns + TCP_FIN_WAIT_2_NS);
        return true;
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        tcp_connection_detach(tcp, c);
        return false;
    default:
        return true;
    }
}

/* ---- idle ---- */

/* Half-closed connections live as long as somebody at our end wants something of them (RFC 9293 3.6): it is
 * yet to take what has come, or has said itself how long it waits. */
static bool user_waits(const struct tcp_connection *c)
{
    return c->held_head != NULL || c->timer_at[TCP_TIMER_USER] != 0;
}

void tcp_idle_timeout(struct tcp *tcp, struct tcp_connection *c)
{
    uint64_t now_ns = tcp->now.mono_ns;
    if (c->state == TCP_FIN_WAIT_2 && !user_waits(c)) {
        /* Its end is ours to set: RFC 9293 has none, and a peer that never closes would keep us for ever. */
        tcp_count(tcp, COUNTER_tcp_fin_wait_ended);
        tcp_connection_end(tcp, c, STREAM_END_TIMED_OUT);
        return;
    }
    if (!tcp->config.keepalive && c->state == TCP_FIN_WAIT_2)
        tcp_arm(tcp, c, TCP_TIMER_IDLE, now_ns + TCP_FIN_WAIT_2_NS); /* the user may wait no more by then */
    if (!tcp->config.keepalive || c->state < TCP_ESTABLISHED)
        return;
    /* RFC 1122 4.2.3.6. What is in flight, or waits for a window, has its own time-outs. */
    bool quiet = c->snd_una == c->snd_nxt && c->timer_at[TCP_TIMER_PERSIST] == 0;
    if (!quiet || now_ns - c->received_ns < TCP_KEEPALIVE_IDLE_NS) {
        if (quiet)
            c->probes = 0;
        tcp_arm(tcp, c, TCP_TIMER_IDLE, (quiet ? c->received_ns : now_ns) + TCP_KEEPALIVE_IDLE_NS);
        return;
    }
    if (c->probes >= TCP_KEEPALIVE_PROBES) {
        tcp_count(tcp, COUNTER_tcp_dead);
        tcp_connection_abort(tcp, c, STREAM_END_TIMED_OUT);
        return;
    }
    c->probes++;
    tcp_count(tcp, COUNTER_tcp_keepalives);
    tcp_send_probe(tcp, c);
    tcp_arm(tcp, c, TCP_TIMER_IDLE, now_ns + TCP_KEEPALIVE_STEP_NS);
}
