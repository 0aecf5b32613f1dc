/*
 * tcp_script_user.c - the player's outer world: segments that leave are checked and noted, users write and
 * are told, time passes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tcp_script_player.h"

/* ---- what happened, and what went wrong ---- */

void player_note(struct player *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = LOG_BYTES - p->log_used;
    int used = snprintf(p->log + p->log_used, room, "  %10.3f ms  ",
                        (double)(p->now.mono_ns - PLAYER_START_NS) / 1e6);
    if (used > 0 && (size_t)used < room) {
        p->log_used += (size_t)used;
        used = vsnprintf(p->log + p->log_used, room - (size_t)used, format, arguments);
        p->log_used += used > 0 ? (size_t)used : 0;
    }
    if (p->log_used >= LOG_BYTES - 256)
        p->log_used = (size_t)sprintf(p->log, "  ...\n");
    else
        p->log[p->log_used++] = '\n';
    p->log[p->log_used] = '\0';
    va_end(arguments);
}

void player_fail(struct player *p, const char *format, ...)
{
    if (p->failed)
        return;
    p->failed = true;
    int used = 0;
    if (p->step != NULL)
        used = snprintf(p->failure, sizeof p->failure, "line %u: %s\n    ", p->step->line, p->step->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->failure + used, sizeof p->failure - (size_t)used, format, arguments);
    va_end(arguments);
}

/* ---- segments that leave ---- */

static uint64_t sum_of(const uint8_t *bytes, size_t length)
{
    uint64_t sum = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    return sum;
}

/* A device has sent it at last: nobody may have written into it. */
void player_release(struct player *p, struct sent *sent)
{
    if (sent->frame == NULL)
        return;
    if (sum_of(sent->bytes, sent->length) != sent->sum)
        player_fail(p, "a frame changed after it had been sent");
    rte_pktmbuf_free(sent->frame);
    sent->frame = NULL;
}

static void keep(struct player *p, const struct sent *sent)
{
    struct sent *place = &p->kept[p->kept_at++ % KEPT_MAX];
    player_release(p, place);
    *place = *sent;
}

struct conversation *player_conversation_of(struct player *p, const struct flow *flow)
{
    for (unsigned i = 0; i < p->conversations_used; i++) {
        struct conversation *c = &p->conversations[i];
        if (memcmp(&c->path.flow.peer, &flow->peer, sizeof flow->peer) == 0 &&
            c->path.flow.peer_port == flow->peer_port)
            return c;
    }
    return NULL;
}

static const char *payload_wrong(const struct conversation *c, const struct script_sent *sent)
{
    uint32_t first = sent->seq - c->origin.local + ((sent->flags & TCP_SYN) != 0);
    /* keepalives and window probes: one byte of garbage that was acknowledged long ago (RFC 1122 4.2.3.6) */
    if (sent->length == 1 && (int32_t)(first + 1 - c->acked) <= 0)
        return NULL;
    for (uint32_t i = 0; i < sent->length; i++) {
        if (sent->payload[i] != script_byte(first + i))
            return "other bytes than the user's";
    }
    return NULL;
}

static const char *path_wrong(const struct player *p, const struct conversation *c, const struct sent *sent,
                              const struct return_path *path)
{
    if (memcmp(sent->bytes, &path->flow.local_port, 2) != 0 ||
        memcmp(sent->bytes + 2, &path->flow.peer_port, 2) != 0)
        return "ports in the header are not the path's";
    if (memcmp(path->peer_mac, c->path.peer_mac, 6) != 0 || path->vlan_tci != c->path.vlan_tci)
        return "not sent to the station that the peer's segments come from";
    if (sent->length + 20 > p->link_mtu)
        return "longer than the link's MTU";
    return NULL;
}

static void learn(struct conversation *c, const struct script_sent *sent)
{
    if ((sent->flags & TCP_SYN) && !c->origin.local_known) {
        c->origin.later = (int32_t)(sent->seq - c->highest_sent) > 0;
        c->origin.local = sent->seq;
        c->origin.local_known = true;
    }
    if (sent->options.ts && !c->origin.clock_known) {
        c->origin.clock = sent->options.ts_value.value;
        c->origin.clock_known = true;
    }
    uint32_t end = sent->seq + sent->length;
    if (c->origin.local_known && (int32_t)(end - c->highest_sent) > 0)
        c->highest_sent = end;
    if (c->origin.local_known && (sent->flags & TCP_SYN))
        c->highest_sent = end;
}

void player_output_send(void *state, struct rte_mbuf *frame, const struct return_path *path)
{
    struct player *p = state;
    struct sent sent = {.frame = frame,
                        .bytes = rte_pktmbuf_mtod(frame, const uint8_t *),
                        .length = rte_pktmbuf_data_len(frame),
                        .conversation = player_conversation_of(p, &path->flow)};
    sent.sum = sum_of(sent.bytes, sent.length);
    struct script_sent decoded;
    const char *wrong = script_segment_read(&decoded, sent.bytes, sent.length);
    if (wrong == NULL && (frame->nb_segs != 1 || frame->pkt_len != frame->data_len))
        wrong = "a frame in pieces";
    if (wrong == NULL && sent.conversation == NULL)
        wrong = "sent to nobody";
    if (wrong == NULL)
        wrong = path_wrong(p, sent.conversation, &sent, path);
    if (wrong == NULL) {
        char text[200];
        learn(sent.conversation, &decoded);
        script_segment_print(text, sizeof text, &decoded, &sent.conversation->origin);
        player_note(p, "> %s", text);
        wrong = payload_wrong(sent.conversation, &decoded);
    }
    if (wrong == NULL && p->sent_count == SENT_MAX)
        wrong = "a storm of segments";
    if (wrong != NULL) {
        player_fail(p, "a segment left that is wrong: %s", wrong);
        keep(p, &sent);
        return;
    }
    p->sent[p->sent_count++] = sent;
}

uint16_t player_output_mtu(void *state, const struct return_path *path)
{
    const struct player *p = state;
    (void)path;
    return p->link_mtu;
}

/* The next one that left, or NULL. */
const struct sent *player_peek(const struct player *p)
{
    return p->sent_taken < p->sent_count ? &p->sent[p->sent_taken] : NULL;
}

void player_take(struct player *p)
{
    keep(p, &p->sent[p->sent_taken++]);
    if (p->sent_taken == p->sent_count)
        p->sent_taken = p->sent_count = 0;
}

void player_describe(const struct sent *sent, char *out, size_t room)
{
    struct script_sent decoded;
    if (script_segment_read(&decoded, sent->bytes, sent->length) == NULL)
        script_segment_print(out, room, &decoded, &sent->conversation->origin);
}

void player_expect_nothing(struct player *p)
{
    const struct sent *sent = player_peek(p);
    if (sent == NULL)
        return;
    char text[200] = "";
    player_describe(sent, text, sizeof text);
    player_fail(p, "before this step:\n    expected  nothing\n    got       > %s", text);
}

/* ---- our user ---- */

size_t player_write(struct conversation *c, uint64_t length)
{
    uint8_t bytes[4096];
    uint64_t done = 0;
    while (done < length) {
        size_t piece = length - done < sizeof bytes ? (size_t)(length - done) : sizeof bytes;
        for (size_t i = 0; i < piece; i++)
            bytes[i] = script_byte(c->write_at + (uint32_t)i);
        bool outer = c->player->in_function;
        c->player->in_function = true;
        size_t taken = stream_write(c->stream, bytes, piece);
        c->player->in_function = outer;
        c->write_at += (uint32_t)taken;
        done += taken;
        if (taken < piece)
            break;
    }
    return (size_t)done;
}

void player_does(struct conversation *c, enum script_kind kind, uint64_t number)
{
    struct player *p = c->player;
    if (c->stream == NULL) {
        player_fail(p, "there is no stream to do this with");
        return;
    }
    bool outer = p->in_function;
    p->in_function = true;
    if (kind == STEP_CLOSE)
        stream_close(c->stream);
    else if (kind == STEP_ABORT)
        stream_abort(c->stream);
    else if (kind == STEP_RESUME)
        stream_resume(c->stream);
    else if (kind == STEP_DEADLINE)
        stream_set_deadline(c->stream, number);
    p->in_function = outer;
    if (kind == STEP_HOLD) {
        c->holding = true;
        c->hold_left = number;
    }
    if (kind == STEP_SEND && player_write(c, number) != number)
        player_fail(p, "not all was taken");
}

/* NULL: the stream is not one that may be told anything; it has failed then. */
static struct conversation *event_begins(struct stream *stream, enum script_event event)
{
    static const char *const names[EVENTS] = {"accepted", "connected", "received", "ended",
                                              "writable", "expired",   "closed"};
    struct conversation *c = stream->user;
    struct player *p = c->player;
    player_note(p, "event: %s", names[event]);
    if (c->stream != stream || c->over)
        player_fail(p, "%s was told of a stream that is not open", names[event]);
    else if (p->in_function || p->in_event)
        player_fail(p, "%s was told from inside %s", names[event],
                    p->in_event ? "another event" : "a function");
    p->in_event = true;
    c->told[event]++;
    return c;
}

static void event_ends(struct conversation *c, enum script_event event)
{
    struct reaction reaction = c->reaction[event];
    c->reaction[event].set = false;
    if (reaction.set)
        player_does(c, reaction.kind, reaction.number);
    c->player->in_event = false;
}

static void on_connected(struct stream *stream)
{
    struct conversation *c = event_begins(stream, EVENT_CONNECTED);
    c->read_at = tcp_connection_of(stream)->irs + 1 - c->origin.peer;
    event_ends(c, EVENT_CONNECTED);
}

static size_t on_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct conversation *c = event_begins(stream, EVENT_RECEIVED);
    if (length == 0)
        player_fail(c->player, "received was told of nothing");
    event_ends(c, EVENT_RECEIVED);
    if (c->told[EVENT_ENDED] > 0)
        player_fail(c->player, "received after ended");
    size_t taken = length;
    if (c->holding && taken > c->hold_left)
        taken = (size_t)c->hold_left;
    c->hold_left -= c->holding ? taken : 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != script_byte(c->read_at + (uint32_t)i))
            player_fail(c->player, "byte %zu of %zu delivered is not the peer's", i, length);
    }
    memset(bytes, 0xEE, taken); /* it is the user's memory until we return */
    c->read_at += (uint32_t)taken;
    c->received += taken;
    return taken;
}

static void on_ended(struct stream *stream)
{
    event_ends(event_begins(stream, EVENT_ENDED), EVENT_ENDED);
}

static void on_writable(struct stream *stream)
{
    event_ends(event_begins(stream, EVENT_WRITABLE), EVENT_WRITABLE);
}

static void on_expired(struct stream *stream)
{
    event_ends(event_begins(stream, EVENT_EXPIRED), EVENT_EXPIRED);
}

static void on_closed(struct stream *stream, enum stream_end end)
{
    struct conversation *c = event_begins(stream, EVENT_CLOSED);
    c->player->in_event = false;
    c->end = end;
    c->stream = NULL;
    c->over = true;
}

const struct stream_events player_events = {.connected = on_connected,
                                            .received = on_received,
                                            .ended = on_ended,
                                            .writable = on_writable,
                                            .expired = on_expired,
                                            .closed = on_closed};

bool player_accepted(void *state, struct stream *stream)
{
    struct player *p = state;
    struct conversation *c = player_conversation_of(p, &stream->flow);
    player_note(p, "event: accepted%s", p->refuse ? ", refused" : "");
    if (c == NULL || p->in_event || p->in_function)
        player_fail(p, "accepted: nobody we know, or from inside something else");
    if (c == NULL || p->refuse)
        return false;
    if (c->stream != NULL)
        player_fail(p, "accepted twice");
    c->stream = stream;
    c->over = false;
    memset(c->told, 0, sizeof c->told);
    c->told[EVENT_ACCEPTED]++;
    c->write_at = 1;
    c->read_at = tcp_connection_of(stream)->irs + 1 - c->origin.peer;
    stream->events = &player_events;
    stream->user = c;
    p->in_event = true;
    event_ends(c, EVENT_ACCEPTED);
    return true;
}

/* ---- time ---- */

void player_turn(struct player *p)
{
    tcp_turn(p->tcp, p->now);
}

/* To `to_ns`, stopping at every timer on the way; with `until_sent`, no further than the next segment. */
void player_advance(struct player *p, uint64_t to_ns, bool until_sent)
{
    for (unsigned turns = 0; !p->failed && !(until_sent && player_peek(p) != NULL); turns++) {
        if (turns == TURNS_MAX) {
            player_fail(p, "tcp_next_ns() and tcp_turn() go round without end");
            return;
        }
        uint64_t next = tcp_next_ns(p->tcp);
        if (next <= p->now.mono_ns)
            next = p->now.mono_ns + (UINT64_C(1) << TIMER_TICK_SHIFT);
        bool last = next >= to_ns;
        p->now.mono_ns = last ? to_ns : next;
        p->now.wall_ms = p->now.mono_ns / 1000000;
        player_turn(p);
        if (last)
            return;
    }
}
