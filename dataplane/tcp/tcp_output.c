/*
 * tcp_output.c - what may leave, leaves: lost data first, then new data as congestion window and peer's
 * window allow, FIN, else the acknowledgement that is owed. No Nagle: a reply never waits for an
 * acknowledgement.
 */
#include "tcp/tcp_recovery.h"

enum {
    /* With so many segments out, only full ones follow: tiny ones would make each acknowledgement with
     * SACK cost a walk past thousands of them, and a hostile peer chooses how many it gets and how often
     * it acknowledges. */
    SMALL_FRAMES_IN_FLIGHT_MAX = 128,
    CHALLENGE_PERIOD_MS = 1000,
};
#define NO_FRAME_RETRY_NS  (10 * TCP_MS)
#define PERSIST_GIVE_UP_NS (3 * TCP_RTO_MAX_NS) /* of silence: at least three probes */

static_assert(RTE_PKTMBUF_HEADROOM >= TCP_HEADERS_BYTES_MAX + 40 + 18,
              "a frame's headroom holds TCP, IP of either version and tagged Ethernet headers");

/* ---- one segment ---- */

static void leave(struct tcp *tcp, struct rte_mbuf *mbuf, const uint8_t *start, const uint8_t *end,
                  const struct return_path *path)
{
    mbuf->data_off = (uint16_t)(start - (const uint8_t *)mbuf->buf_addr);
    mbuf->data_len = (uint16_t)(end - start);
    mbuf->pkt_len = mbuf->data_len;
    tcp->segments_sent++;
    tcp->config.output.send(tcp->config.output.state, mbuf, path);
}

static struct rte_mbuf *fresh_frame(struct tcp *tcp)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(tcp->config.pool);
    if (mbuf == NULL)
        tcp_count(tcp, COUNTER_tcp_no_frame);
    return mbuf;
}

/* What the header's window field says, and rcv_adv with it: never less than was promised (RFC 9293 3.8.6). */
static uint16_t window_field(struct tcp *tcp, struct tcp_connection *c, bool syn)
{
    unsigned shift = syn ? 0 : c->rcv_shift; /* RFC 7323 2.2 */
    uint32_t window = tcp_receive_window(tcp, c), promised = c->rcv_adv - c->rcv_nxt;
    if (c->state == TCP_SYN_SENT)
        return (uint16_t)RTE_MIN(window, (uint32_t)UINT16_MAX); /* rcv_nxt is not known yet */
    if (seq_before(c->rcv_nxt, c->rcv_adv) && promised > window)
        window = promised;
    uint32_t field = RTE_MIN(window >> shift, (uint32_t)UINT16_MAX);
    c->rcv_adv = seq_later(c->rcv_adv, c->rcv_nxt + (field << shift));
    return (uint16_t)field;
}

static unsigned sack_room(const struct tcp_connection *c, unsigned payload_bytes)
{
    unsigned taken = tcp_ip_header_bytes(&c->stream.flow) + TCP_HEADER_BYTES + payload_bytes;
    unsigned options = c->marks & TCP_MARK_TIMESTAMPS ? TCP_TIMESTAMPS_BYTES : 0;
    if (taken + options + 12 > c->path_mtu)
        return 0;
    unsigned room = RTE_MIN(c->path_mtu - taken - options, (unsigned)TCP_OPTIONS_BYTES_MAX - options);
    return RTE_MIN((room - 4) / 8, (unsigned)TCP_SACK_BLOCKS_SENT_MAX);
}

/* Header and options of a segment that acknowledges, ending at `end`; the acknowledgement that was owed
 * is paid. Returns where it starts. */
static uint8_t *header_put(struct tcp *tcp, struct tcp_connection *c, uint8_t *end, uint32_t seq,
                           uint8_t flags, unsigned payload_bytes)
{
    struct tcp_options options;
    options.mss = 0;
    options.has_window_scale = options.sack_permitted = false;
    options.has_timestamps = c->marks & TCP_MARK_TIMESTAMPS;
    options.ts_value = tcp_timestamp(tcp, c);
    options.ts_echo = c->ts_recent;
    options.sack_blocks = 0;
    bool untold = false; /* SACK blocks that had no room beside the data */
    if (unlikely(c->gaps > 0) && c->marks & TCP_MARK_SACK) {
        unsigned room = sack_room(c, payload_bytes);
        options.sack_blocks = (uint8_t)tcp_gap_blocks(c, options.sack, room);
        untold = room == 0;
    }
    struct tcp_header header = {
        .seq = seq, .ack = c->rcv_nxt, .window = window_field(tcp, c, false), .flags = flags | TCP_ACK};
    c->last_ack_sent = c->rcv_nxt;
    if (!untold) {
        c->marks &= (uint16_t) ~(TCP_MARK_ACK_NOW | TCP_MARK_ACK_DELAYED);
        c->acks_owed = 0;
        c->timer_at[TCP_TIMER_ACK] = 0;
    }
    return tcp_header_write(end, &c->stream.flow, &header, &options);
}

static uint32_t window_end(const struct tcp_connection *c)
{
    return c->snd_una + c->snd_wnd;
}

/* FIN goes with the last byte (RFC 9293 3.9.1) if the window has room for it, or had. */
static bool fin_follows(const struct tcp_connection *c, uint32_t end)
{
    return c->marks & TCP_MARK_FIN_QUEUED && end == c->snd_end &&
           (tcp_fin_sent(c) || seq_before(end, window_end(c)));
}

bool tcp_send_frame(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame)
{
    if (frame->length > c->mss && !tcp_scoreboard_split(tcp, c, frame, c->mss))
        return false;
    bool again = frame->marks & TCP_FRAME_SENT;
    struct rte_mbuf *mbuf = tcp_frame_mbuf(frame);
    uint8_t *payload = tcp_frame_bytes(frame);
    if (again && rte_mbuf_refcnt_read(mbuf) > 1) { /* a device still holds it, headers and all */
        mbuf = fresh_frame(tcp);
        if (mbuf == NULL)
            return false;
        payload = memcpy(rte_pktmbuf_mtod(mbuf, uint8_t *), payload, frame->length);
    } else {
        mbuf->ol_flags = 0; /* what a device was asked to do the last time */
        rte_mbuf_refcnt_update(mbuf, 1);
    }
    tcp_count(tcp, again ? COUNTER_tcp_data_sent_again : COUNTER_tcp_data_sent);
    uint32_t end = tcp_frame_end(frame);
    bool fin = fin_follows(c, end);
    uint8_t flags = (uint8_t)((frame->next == NULL ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));
    uint8_t *start = header_put(tcp, c, payload, frame->seq, flags, frame->length);
    if (!again) {
        c->send_next = frame->next;
        c->snd_nxt = end;
    }
    if (fin) {
        c->snd_nxt = c->snd_end + 1;
        c->recovery.marks &= (uint8_t)~TCP_RECOVERY_FIN_LOST;
    }
    tcp_recovery_sent(tcp, c, frame);
    struct return_path path = tcp_path_back(c);
    leave(tcp, mbuf, start, payload + frame->length, &path);
    return true;
}

/* A segment without data of the stream; `bytes` zero bytes as payload. */
static bool send_control(struct tcp *tcp, struct tcp_connection *c, uint32_t seq, uint8_t flags,
                         unsigned bytes)
{
    struct rte_mbuf *mbuf = fresh_frame(tcp);
    if (mbuf == NULL)
        return false;
    uint8_t *payload = rte_pktmbuf_mtod(mbuf, uint8_t *);
    memset(payload, 0, bytes);
    uint8_t *start = header_put(tcp, c, payload, seq, flags, bytes);
    struct return_path path = tcp_path_back(c);
    leave(tcp, mbuf, start, payload + bytes, &path);
    return true;
}

/* ---- what may leave ---- */

static bool congestion_allows(const struct tcp_connection *c, uint32_t bytes)
{
    /* with nothing on its way one segment may go, or nothing would ever come back */
    return bytes <= tcp_recovery_allowance(c) || tcp_pipe(c) == 0;
}

/* How much of the next new frame the peer's window takes now. RFC 9293 3.8.6.2.1: if not all of it, then
 * at least half of the largest window there was, or it waits; `override`: it has waited long enough. */
static uint16_t window_allows(const struct tcp_connection *c, const struct tcp_frame *frame, bool override)
{
    uint32_t flight = tcp_flight(c), length = RTE_MIN(frame->length, c->mss);
    uint32_t usable = c->snd_wnd > flight ? c->snd_wnd - flight : 0;
    if (usable >= length)
        return (uint16_t)length;
    return override || usable >= c->snd_wnd_max / 2 ? (uint16_t)usable : 0;
}

static bool is_one_too_many(const struct tcp_connection *c, const struct tcp_frame *frame)
{
    return c->recovery.sent_frames >= SMALL_FRAMES_IN_FLIGHT_MAX && frame->next == NULL &&
           frame->length < c->mss / 2;
}

/* False: there was no frame for a copy. */
static bool send_lost(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_frame *frame;
    while ((frame = tcp_recovery_next_lost(c)) != NULL) {
        if (!congestion_allows(c, RTE_MIN(frame->length, c->mss)))
            break;
        /* A window taken back (RFC 9293 3.8.6): the oldest alone goes on, as its probe. */
        if (frame != c->send_head && seq_before(window_end(c), tcp_frame_end(frame)))
            break;
        if (!tcp_send_frame(tcp, c, frame))
            return false;
    }
    return true;
}

static bool send_new(struct tcp *tcp, struct tcp_connection *c, bool override)
{
    struct tcp_frame *frame;
    if (c->send_next != NULL && tcp_flight(c) == 0)
        tcp_recovery_idle(tcp, c);
    while ((frame = c->send_next) != NULL && c->recovery.lost_bytes == 0) {
        uint16_t bytes = window_allows(c, frame, override);
        if (bytes == 0 || !congestion_allows(c, bytes) || is_one_too_many(c, frame))
            break;
        if (bytes < frame->length && !tcp_scoreboard_split(tcp, c, frame, bytes))
            return false;
        if (!tcp_send_frame(tcp, c, frame))
            return false;
    }
    if (tcp_recovery_allowance(c) < c->mss)
        c->recovery.limited_end = c->snd_nxt;
    return true;
}

/* FIN by itself: data had left before it was queued, or it is all that is missing. */
static bool send_fin(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    if (!(c->marks & TCP_MARK_FIN_QUEUED) || c->send_next != NULL || r->lost_bytes > 0)
        return true;
    if (tcp_fin_sent(c) ? !(r->marks & TCP_RECOVERY_FIN_LOST) : !seq_before(c->snd_nxt, window_end(c)))
        return true;
    if (!send_control(tcp, c, c->snd_end, TCP_FIN, 0))
        return false;
    c->snd_nxt = c->snd_end + 1;
    r->marks &= (uint8_t)~TCP_RECOVERY_FIN_LOST;
    tcp_recovery_arm_control(tcp, c);
    return true;
}

/* RFC 9293 3.8.6.1, RFC 1122 4.2.2.17 */
static uint64_t persist_delay(const struct tcp_recovery *r)
{
    uint64_t delay_ns = r->rto_ns << RTE_MIN(r->persist_backoff, 16);
    return RTE_MIN(delay_ns, TCP_PERSIST_MAX_NS);
}

static void send_data(struct tcp *tcp, struct tcp_connection *c, bool override)
{
    bool had_frames = send_lost(tcp, c) && send_new(tcp, c, override) && send_fin(tcp, c);
    bool fin_waits = c->marks & TCP_MARK_FIN_QUEUED && c->snd_nxt == c->snd_end;
    if (tcp_flight(c) > 0 || !(c->send_next != NULL || fin_waits)) {
        c->timer_at[TCP_TIMER_PERSIST] = 0;
        c->recovery.persist_backoff = 0;
    } else if (c->timer_at[TCP_TIMER_PERSIST] == 0) {
        uint64_t delay_ns = had_frames ? persist_delay(&c->recovery) : NO_FRAME_RETRY_NS;
        tcp_arm(tcp, c, TCP_TIMER_PERSIST, tcp->now.mono_ns + delay_ns);
    }
}

void tcp_output_connection(struct tcp *tcp, struct tcp_connection *c)
{
    if (c->state >= TCP_ESTABLISHED) {
        if (unlikely(c->path_lowered_s != 0))
            tcp_path_raise(tcp, c);
        send_data(tcp, c, false);
    }
    /* RFC 9293 3.8.6.3: at least every second full segment is acknowledged */
    if (c->marks & TCP_MARK_ACK_NOW || c->acks_owed >= 2)
        tcp_send_ack(tcp, c);
}

void tcp_persist_timeout(struct tcp *tcp, struct tcp_connection *c)
{
    c->timer_at[TCP_TIMER_PERSIST] = 0;
    if (c->state < TCP_ESTABLISHED || tcp_flight(c) > 0)
        return;
    bool fin_waits = c->marks & TCP_MARK_FIN_QUEUED && c->snd_nxt == c->snd_end;
    if (c->send_next == NULL && !fin_waits)
        return;
    if (c->snd_wnd == 0) {
        if (tcp->now.mono_ns - c->received_ns > PERSIST_GIVE_UP_NS) {
            tcp_count(tcp, COUNTER_tcp_given_up);
            tcp_connection_end(tcp, c, STREAM_END_TIMED_OUT);
            return;
        }
        if (c->recovery.persist_backoff >= TCP_HOG_TRIES && tcp_hogs_frames(tcp, c)) {
            tcp_count(tcp, COUNTER_tcp_hogs);
            tcp_connection_abort(tcp, c, STREAM_END_ABORTED);
            return;
        }
        tcp_count(tcp, COUNTER_tcp_window_probes);
        tcp_send_probe(tcp, c);
        c->recovery.persist_backoff = (uint8_t)RTE_MIN(c->recovery.persist_backoff + 1, 16);
    }
    send_data(tcp, c, true);
}

/* ---- acknowledgements, probes, control ---- */

void tcp_send_ack(struct tcp *tcp, struct tcp_connection *c)
{
    /* A number beyond a window that was taken back would make the peer ignore it all: with both windows
     * closed nobody would ever learn of an opening. */
    uint32_t seq = c->snd_nxt;
    if (c->state >= TCP_ESTABLISHED && seq_before(window_end(c), seq))
        seq = window_end(c);
    if (send_control(tcp, c, seq, 0, 0)) {
        tcp_count(tcp, COUNTER_tcp_acks_sent);
    } else {
        c->marks |= TCP_MARK_ACK_NOW;
        tcp_arm(tcp, c, TCP_TIMER_ACK, tcp->now.mono_ns + NO_FRAME_RETRY_NS);
    }
}

void tcp_send_challenge(struct tcp *tcp, struct tcp_connection *c)
{
    uint32_t now_ms = (uint32_t)(tcp->now.mono_ns / TCP_MS);
    if (now_ms - c->challenge_ms >= CHALLENGE_PERIOD_MS) {
        c->challenge_ms = now_ms;
        c->challenges = 0;
    }
    if (c->challenges >= TCP_CHALLENGE_ACKS_PER_SECOND) {
        tcp_count(tcp, COUNTER_tcp_challenges_limited);
        return;
    }
    c->challenges++;
    tcp_count(tcp, COUNTER_tcp_challenges_sent);
    tcp_send_ack(tcp, c);
}

void tcp_send_probe(struct tcp *tcp, struct tcp_connection *c)
{
    send_control(tcp, c, c->snd_una - 1, 0, 1);
}

void tcp_send_segment(struct tcp *tcp, const struct return_path *path, const struct tcp_header *header,
                      const struct tcp_options *options)
{
    struct rte_mbuf *mbuf = fresh_frame(tcp);
    if (mbuf == NULL)
        return;
    uint8_t *end = rte_pktmbuf_mtod(mbuf, uint8_t *);
    leave(tcp, mbuf, tcp_header_write(end, &path->flow, header, options), end, path);
}

void tcp_send_syn(struct tcp *tcp, struct tcp_connection *c)
{
    bool answers = c->state == TCP_SYN_RECEIVED;
    struct tcp_header header = {
        .seq = c->iss,
        .ack = answers ? c->rcv_nxt : 0,
        .window = window_field(tcp, c, true),
        .flags = answers ? TCP_SYN | TCP_ACK : TCP_SYN,
    };
    struct tcp_options options = {
        .mss = tcp_mss_offered(&c->stream.flow, c->path_mtu),
        .has_window_scale = c->marks & TCP_MARK_SCALE,
        .window_shift = c->rcv_shift,
        .sack_permitted = c->marks & TCP_MARK_SACK,
        .has_timestamps = c->marks & TCP_MARK_TIMESTAMPS,
        .ts_value = tcp_timestamp(tcp, c),
        .ts_echo = answers ? c->ts_recent : 0,
    };
    struct return_path path = tcp_path_back(c);
    c->snd_nxt = c->iss + 1;
    c->last_ack_sent = c->rcv_nxt;
    c->marks &= (uint16_t) ~(TCP_MARK_ACK_NOW | TCP_MARK_ACK_DELAYED);
    c->acks_owed = 0;
    c->timer_at[TCP_TIMER_ACK] = 0;
    tcp_send_segment(tcp, &path, &header, &options);
    tcp_recovery_arm_control(tcp, c);
}

/* RFC 9293 3.10.7.1 */
void tcp_send_reset(struct tcp *tcp, const struct tcp_segment *segment, const struct tcp_arrival *arrival)
{
    if (segment->flags & TCP_RST)
        return;
    struct tcp_header header = {.flags = TCP_RST};
    if (segment->flags & TCP_ACK) {
        header.seq = segment->ack;
    } else {
        header.ack = segment->seq + tcp_segment_length(segment);
        header.flags = TCP_RST | TCP_ACK;
    }
    tcp_count(tcp, COUNTER_tcp_resets_sent);
    tcp_send_segment(tcp, &arrival->path, &header, &(struct tcp_options){0});
}
