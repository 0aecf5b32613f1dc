/*
 * tcp_stream.c - a connection as its user sees it (stream.h): sending into frames, delivery of what arrived,
 * holding it back, and the window that follows from that.
 *
 * Users may call any function of any stream of this stack from within any event. So whoever tells an event
 * looks at TCP_MARK_CLOSING when it returns; what a connection keeps is freed when it is buried, after all
 * events.
 */
#include <rte_branch_prediction.h>

#include "check.h"
#include "tcp/tcp_internal.h"

/* ---- sending ---- */

static bool may_write(const struct tcp_connection *c)
{
    return !(c->marks & (TCP_MARK_CLOSING | TCP_MARK_DETACHED | TCP_MARK_FIN_QUEUED));
}

/* Payload that one frame should hold. Before the peer has said its MSS, and below stream.h's promise, what
 * STREAM_RESERVE_MAX promises: such frames leave in pieces. */
static uint32_t frame_payload_max(const struct tcp_connection *c)
{
    bool known = c->state >= TCP_ESTABLISHED && c->mss > STREAM_RESERVE_MAX;
    return known ? c->mss : STREAM_RESERVE_MAX;
}

static uint32_t unacknowledged(const struct tcp_connection *c)
{
    /* an acknowledged FIN lies beyond the data, our SYN before it */
    if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED)
        return c->send_bytes;
    return seq_before(c->snd_una, c->snd_end) ? c->snd_end - c->snd_una : 0;
}

/* Bytes behind the end of a frame that may be filled still. */
static uint32_t frame_room(const struct tcp_connection *c, struct tcp_frame *frame)
{
    uint32_t payload_max = frame_payload_max(c);
    uint32_t buffer = tcp_frame_mbuf(frame)->buf_len - (uint32_t)frame->offset - frame->length;
    return frame->length >= payload_max ? 0 : RTE_MIN(payload_max - frame->length, buffer);
}

/* The frame at the end of the queue, if it was never sent, has room and nobody else has it. */
static struct tcp_frame *open_tail(const struct tcp_connection *c, size_t least)
{
    struct tcp_frame *tail = c->send_tail;
    return tail != NULL && !(tail->marks & TCP_FRAME_SENT) && frame_room(c, tail) >= least ? tail : NULL;
}

static struct tcp_frame *frame_for_sending(struct tcp *tcp)
{
    if (tcp->send_frames >= tcp->config.send_frames_max)
        return NULL;
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(tcp->config.pool);
    if (mbuf == NULL)
        return NULL;
    struct tcp_frame *frame = tcp_frame_of(mbuf);
    *frame = (struct tcp_frame){.offset = mbuf->data_off};
    return frame;
}

static uint8_t *starve(struct tcp *tcp, struct tcp_connection *c, enum counter why)
{
    tcp_count(tcp, why);
    c->marks |= TCP_MARK_STARVED;
    return NULL;
}

static uint8_t *reserve(struct stream *stream, size_t least, size_t *room)
{
    struct tcp_connection *c = tcp_connection_of(stream);
    struct tcp *tcp = c->tcp;
    CHECK(least <= STREAM_RESERVE_MAX);
    if (unlikely(!may_write(c)))
        return NULL;
    uint32_t unsent = unacknowledged(c), limit = tcp->config.send_bytes_max;
    if (unlikely(unsent >= limit || limit - unsent < least))
        return starve(tcp, c, COUNTER_tcp_send_full);
    least = least > 0 ? least : 1;
    /* commit() looks for it in the same order */
    struct tcp_frame *frame = c->reserved != NULL ? c->reserved : open_tail(c, least);
    if (frame == NULL) {
        if (unlikely(tcp_hogs_frames(tcp, c)))
            return starve(tcp, c, COUNTER_tcp_send_share);
        frame = c->reserved = frame_for_sending(tcp);
        if (unlikely(frame == NULL)) {
            tcp_arm(tcp, c, TCP_TIMER_STARVED, tcp->now.mono_ns + TCP_STARVED_NS);
            return starve(tcp, c, COUNTER_tcp_send_no_frame);
        }
        tcp_dirty(tcp, c); /* what is not committed goes back when this call ends */
    }
    uint32_t free_bytes = frame_room(c, frame);
    *room = RTE_MIN(free_bytes, limit - unsent);
    return tcp_frame_bytes(frame) + frame->length;
}

static void commit(struct stream *stream, size_t length)
{
    struct tcp_connection *c = tcp_connection_of(stream);
    struct tcp *tcp = c->tcp;
    if (length == 0 || !may_write(c))
        return;
    struct tcp_frame *frame = c->reserved;
    if (frame == NULL) {
        frame = c->send_tail;
        CHECK(frame != NULL && !(frame->marks & TCP_FRAME_SENT) && length <= frame_room(c, frame));
    } else {
        CHECK(length <= frame_room(c, frame));
        c->reserved = NULL;
        frame->seq = c->snd_end;
        if (c->send_tail != NULL)
            c->send_tail->next = frame;
        else
            c->send_head = frame;
        c->send_tail = frame;
        if (c->send_next == NULL)
            c->send_next = frame;
        c->send_frames++;
        tcp->send_frames++;
    }
    frame->length = (uint16_t)(frame->length + length);
    c->send_bytes += (uint32_t)length;
    c->snd_end += (uint32_t)length;
    tcp_dirty(tcp, c);
}

static size_t unsent_bytes(const struct stream *stream)
{
    return unacknowledged((const struct tcp_connection *)stream);
}

/* As frame_for_sending() and tcp_hogs_frames() would have it, one frame after the other. */
static size_t spare_bytes(const struct stream *stream)
{
    const struct tcp_connection *c = (const struct tcp_connection *)stream;
    const struct tcp *tcp = c->tcp;
    unsigned used = tcp->send_frames, max = tcp->config.send_frames_max, plenty = max - max / 8;
    unsigned until_short = used < plenty ? plenty - used : 0;
    unsigned share = c->send_frames < TCP_HOG_FRAMES ? TCP_HOG_FRAMES - c->send_frames : 0;
    unsigned allowed = RTE_MAX(until_short, share), there = used < max ? max - used : 0;
    return (size_t)RTE_MIN(allowed, there) * frame_payload_max(c);
}

static bool room_again(const struct tcp *tcp, const struct tcp_connection *c)
{
    uint32_t unsent = unacknowledged(c), limit = tcp->config.send_bytes_max;
    uint32_t wanted = RTE_MIN((uint32_t)STREAM_RESERVE_MAX, limit);
    return unsent <= limit - wanted && tcp->send_frames < tcp->config.send_frames_max &&
           !tcp_hogs_frames(tcp, c);
}

bool tcp_tell_writable(struct tcp *tcp, struct tcp_connection *c)
{
    if (!(c->marks & TCP_MARK_STARVED) || !room_again(tcp, c))
        return true;
    c->marks &= (uint16_t)~TCP_MARK_STARVED;
    c->timer_at[TCP_TIMER_STARVED] = 0;
    if (may_write(c))
        c->stream.events->writable(&c->stream);
    return !(c->marks & TCP_MARK_CLOSING);
}

void tcp_starved_timeout(struct tcp *tcp, struct tcp_connection *c)
{
    if (!(c->marks & TCP_MARK_STARVED) || !may_write(c))
        return;
    /* asking costs a frame for an instant, and says whether there is one */
    struct tcp_frame *frame = frame_for_sending(tcp);
    if (frame == NULL) {
        tcp_arm(tcp, c, TCP_TIMER_STARVED, tcp->now.mono_ns + TCP_STARVED_NS);
        return;
    }
    rte_pktmbuf_free(tcp_frame_mbuf(frame));
    tcp_tell_writable(tcp, c);
}

/* ---- receiving ---- */

/* Copies into the last held frame, so that a peer of small segments cannot hold a frame with each. */
static bool hold_in_tail(struct tcp_connection *c, const uint8_t *bytes, uint32_t length)
{
    struct tcp_frame *tail = c->held_tail;
    if (c->held_head == NULL)
        return false;
    struct rte_mbuf *mbuf = tcp_frame_mbuf(tail);
    if (rte_mbuf_refcnt_read(mbuf) != 1 || !RTE_MBUF_DIRECT(mbuf) ||
        mbuf->buf_len - (uint32_t)tail->offset - tail->length < length)
        return false;
    memcpy(tcp_frame_bytes(tail) + tail->length, bytes, length);
    tail->length = (uint16_t)(tail->length + length);
    c->held_bytes += length;
    return true;
}

static void hold_frame(struct tcp_connection *c, struct tcp_frame *frame)
{
    frame->next = NULL;
    if (c->held_head != NULL)
        c->held_tail->next = frame;
    else
        c->held_head = frame;
    c->held_tail = frame;
    c->held_bytes += frame->length;
}

/* Gives bytes to the user; returns how many it took. Fewer than all: TCP_MARK_HELD. */
static uint32_t give(struct tcp_connection *c, uint8_t *bytes, uint32_t length)
{
    size_t taken = c->stream.events->received(&c->stream, bytes, length);
    CHECK(taken <= length);
    if (unlikely(taken < length))
        c->marks |= TCP_MARK_HELD;
    return (uint32_t)taken;
}

/* The last eighth of the frames is for connections that hold none yet: services that do not read for some
 * peers, as these do not read their replies, can still put off a first record of others. */
static bool may_hold_frame(const struct tcp *tcp, const struct tcp_connection *c)
{
    unsigned max = tcp->config.receive_frames_max;
    return tcp->receive_frames < (c->held_head != NULL ? max - max / 8 : max);
}

void tcp_deliver(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment)
{
    uint32_t length = segment->payload_bytes, taken = 0;
    c->rcv_nxt += length;
    if (likely(!(c->marks & TCP_MARK_HELD) && c->held_head == NULL)) {
        taken = give(c, segment->payload, length);
        if (likely(taken == length) || (c->marks & TCP_MARK_CLOSING))
            return;
    }
    segment->seq += taken;
    segment->payload += taken;
    segment->payload_bytes = (uint16_t)(length - taken);
    if (hold_in_tail(c, segment->payload, segment->payload_bytes))
        return;
    if (may_hold_frame(tcp, c)) {
        hold_frame(c, tcp_received_keep(tcp, segment));
    } else {
        /* not received: nothing has acknowledged it yet, the peer will send it again */
        c->rcv_nxt -= segment->payload_bytes;
        tcp_count(tcp, COUNTER_tcp_held_no_frame);
    }
}

/* `ended` is told when nothing before it is left; then a connection that only waited for that ends. */
static void tell_ended(struct tcp *tcp, struct tcp_connection *c)
{
    if (c->held_head != NULL || !(c->marks & TCP_MARK_FIN_RECEIVED))
        return;
    if (!(c->marks & TCP_MARK_ENDED)) {
        c->marks |= TCP_MARK_ENDED;
        c->stream.events->ended(&c->stream);
    }
    if ((c->marks & TCP_MARK_DETACHED) && !(c->marks & TCP_MARK_CLOSING))
        tcp_connection_end(tcp, c, STREAM_END_CLOSED);
}

void tcp_deliver_held(struct tcp *tcp, struct tcp_connection *c)
{
    if (c->marks & TCP_MARK_CLOSING)
        return;
    bool lasting = c->stream.lasting;
    c->stream.lasting = false; /* a held frame is freed as soon as it is taken */
    while (c->held_head != NULL && !(c->marks & TCP_MARK_HELD)) {
        struct tcp_frame *frame = c->held_head;
        uint32_t taken = give(c, tcp_frame_bytes(frame), frame->length);
        if (c->marks & TCP_MARK_CLOSING)
            return;
        c->held_bytes -= taken;
        if (taken < frame->length) {
            frame->seq += taken;
            frame->offset = (uint16_t)(frame->offset + taken);
            frame->length = (uint16_t)(frame->length - taken);
            break;
        }
        c->held_head = frame->next;
        tcp_received_free(tcp, frame);
    }
    c->stream.lasting = lasting;
    tell_ended(tcp, c);
    if (c->marks & (TCP_MARK_CLOSING | TCP_MARK_DETACHED))
        return;
    /* RFC 9293 3.8.6.2.2: the window has opened by enough to say so */
    if (!(c->marks & TCP_MARK_FIN_RECEIVED) && tcp_receive_window(tcp, c) > c->rcv_adv - c->rcv_nxt) {
        c->marks |= TCP_MARK_ACK_NOW;
        tcp_dirty(tcp, c);
    }
}

void tcp_deliver_gaps(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_frame *frame;
    while ((frame = tcp_gap_next(tcp, c)) != NULL) {
        bool fin = frame->marks & TCP_FRAME_FIN;
        c->rcv_nxt += frame->length;
        if (frame->length > 0 && !hold_in_tail(c, tcp_frame_bytes(frame), frame->length))
            hold_frame(c, frame);
        else
            tcp_received_free(tcp, frame);
        if (fin) {
            tcp_gaps_drop(tcp, c); /* nothing is behind a FIN */
            tcp_fin_received(tcp, c);
            return;
        }
    }
    tcp_deliver_held(tcp, c);
}

uint32_t tcp_receive_window(const struct tcp *tcp, const struct tcp_connection *c)
{
    bool opening =
        c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED; /* a SYN's window is not scaled */
    uint32_t unit = opening ? 1 : 1u << c->rcv_shift;
    uint32_t buffer = tcp->config.receive_bytes_max;
    uint32_t space = c->held_bytes < buffer ? buffer - c->held_bytes : 0;
    uint32_t most = (uint32_t)UINT16_MAX * unit;
    uint32_t room = RTE_MIN(space, most) & ~(unit - 1);

    /* What was offered stays offered (RFC 9293 3.8.6): rounded up, as the scale cannot say it exactly, but
     * not byte after byte to more than there is room for. Then it seems to shrink by less than a unit, as RFC
     * 7323 2.4 allows; up to rcv_adv everything is taken even so. */
    uint32_t promised = seq_before(c->rcv_nxt, c->rcv_adv) ? c->rcv_adv - c->rcv_nxt : 0;
    uint32_t offered = (promised + unit - 1) & ~(unit - 1);
    if (offered > promised && offered >= space + unit)
        offered -= unit;
    offered = RTE_MIN(offered, most);
    if (room <= offered)
        return offered;
    /* RFC 9293 3.8.6.2.2: not in small steps */
    uint32_t step = RTE_MIN(buffer / 2, (uint32_t)c->mss);
    return room - offered >= step ? room : offered;
}

void tcp_frames_drop(struct tcp *tcp, struct tcp_connection *c)
{
    for (struct tcp_frame *next, *frame = c->send_head; frame != NULL; frame = next) {
        next = frame->next;
        tcp_sent_free(tcp, c, frame);
    }
    for (struct tcp_frame *next, *frame = c->held_head; frame != NULL; frame = next) {
        next = frame->next;
        tcp_received_free(tcp, frame);
    }
    tcp_gaps_drop(tcp, c);
    if (c->reserved != NULL)
        rte_pktmbuf_free(tcp_frame_mbuf(c->reserved));
    c->send_head = c->send_next = c->send_tail = c->held_head = c->held_tail = c->reserved = NULL;
}

/* ---- the rest of stream.h ---- */

static void resume(struct stream *stream)
{
    struct tcp_connection *c = tcp_connection_of(stream);
    if (c->marks & TCP_MARK_CLOSING)
        return;
    c->marks |= TCP_MARK_RESUME;
    tcp_dirty(c->tcp, c);
}

static void close_stream(struct stream *stream)
{
    struct tcp_connection *c = tcp_connection_of(stream);
    if (may_write(c))
        tcp_close(c->tcp, c);
}

static void abort_stream(struct stream *stream)
{
    struct tcp_connection *c = tcp_connection_of(stream);
    if (!(c->marks & TCP_MARK_CLOSING))
        tcp_connection_abort(c->tcp, c, STREAM_END_ABORTED);
}

static void set_deadline(struct stream *stream, uint64_t mono_ns)
{
    struct tcp_connection *c = tcp_connection_of(stream);
    struct tcp *tcp = c->tcp;
    if (c->marks & TCP_MARK_CLOSING)
        return;
    /* one that has passed comes with the next turn, so that `expired` may set it again and again */
    tcp_arm(tcp, c, TCP_TIMER_USER, mono_ns == 0 ? 0 : RTE_MAX(mono_ns, tcp->now.mono_ns));
}

const struct stream_functions tcp_stream_functions = {
    .reserve = reserve,
    .commit = commit,
    .unsent = unsent_bytes,
    .spare = spare_bytes,
    .resume = resume,
    .close = close_stream,
    .abort = abort_stream,
    .set_deadline = set_deadline,
};
