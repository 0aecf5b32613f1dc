/*
 * fake_stream.h - a stream in memory, for tests of what sits on streams: the test is the peer and the clock.
 * It keeps stream.h's promises and is hard on its user: bytes come in blocks of their exact size, room is a
 * block of its own, and every rule of stream.h that a user can break is checked.
 */
#ifndef WILD_TEST_FAKE_STREAM_H
#define WILD_TEST_FAKE_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

struct fake_stream {
    struct stream stream;
    uint64_t deadline_ns;
    size_t segment;    /* room of a reserve at most */
    size_t send_limit; /* bytes that may wait for the peer */
    size_t piece;      /* held bytes come again in pieces of this size at most */
    bool no_buffers;   /* reserve gives nothing */
    size_t spare;      /* what the buffers that all share are said to have left */
    /* to the peer */
    uint8_t *out;
    size_t out_length, out_taken, out_room;
    uint8_t *place; /* of the last reserve */
    size_t place_room;
    bool place_given, wants_writable, close_asked, abort_asked;
    /* from the peer */
    uint8_t *in;
    size_t in_length;
    uint8_t *lasting[64]; /* given while stream.lasting: they stay until fake_delivered() */
    unsigned lasting_count;
    bool paused, resume_asked, peer_ended, ended_told, peer_reset;
    bool in_event, closed;
    enum stream_end end;
};

static inline void fake_check(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fake_stream: %s\n", what);
        abort();
    }
}

static inline struct fake_stream *fake_of(const struct stream *stream)
{
    return (struct fake_stream *)(uintptr_t)stream; /* it is the first member */
}

static inline bool fake_may_send(const struct fake_stream *f)
{
    return !f->close_asked && !f->abort_asked && !f->peer_reset && !f->closed;
}

static inline uint8_t *fake_reserve(struct stream *stream, size_t least, size_t *room)
{
    struct fake_stream *f = fake_of(stream);
    fake_check(least > 0 && least <= STREAM_RESERVE_MAX, "reserve: least is in its range");
    fake_check(!f->closed, "reserve: after closed");
    size_t unsent = f->out_length - f->out_taken;
    if (!fake_may_send(f))
        return NULL;
    if (f->no_buffers || unsent >= f->send_limit || least > f->segment) {
        f->wants_writable = true;
        return NULL;
    }
    free(f->place);
    f->place = malloc(f->segment);
    f->place_room = f->segment;
    f->place_given = true;
    *room = f->segment;
    return f->place;
}

static inline void fake_commit(struct stream *stream, size_t length)
{
    struct fake_stream *f = fake_of(stream);
    fake_check(f->place_given && length <= f->place_room, "commit: of the last reserve, within its room");
    if (f->out_length + length > f->out_room) {
        f->out_room = 2 * (f->out_length + length);
        f->out = realloc(f->out, f->out_room);
    }
    memcpy(f->out + f->out_length, f->place, length);
    f->out_length += length;
    f->place_given = false;
}

static inline size_t fake_unsent(const struct stream *stream)
{
    const struct fake_stream *f = fake_of(stream);
    return f->out_length - f->out_taken;
}

static inline size_t fake_spare(const struct stream *stream)
{
    return fake_of(stream)->spare;
}

static inline void fake_resume(struct stream *stream)
{
    fake_check(!fake_of(stream)->closed, "resume: after closed");
    fake_of(stream)->resume_asked = true;
}

static inline void fake_close(struct stream *stream)
{
    fake_check(!fake_of(stream)->closed, "close: after closed");
    fake_of(stream)->close_asked = true;
}

static inline void fake_abort(struct stream *stream)
{
    fake_check(!fake_of(stream)->closed, "abort: after closed");
    fake_of(stream)->abort_asked = true;
}

static inline void fake_set_deadline(struct stream *stream, uint64_t mono_ns)
{
    fake_check(!fake_of(stream)->closed, "set_deadline: after closed");
    fake_of(stream)->deadline_ns = mono_ns;
}

static const struct stream_functions fake_functions = {.reserve = fake_reserve,
                                                       .commit = fake_commit,
                                                       .unsent = fake_unsent,
                                                       .spare = fake_spare,
                                                       .resume = fake_resume,
                                                       .close = fake_close,
                                                       .abort = fake_abort,
                                                       .set_deadline = fake_set_deadline};

/* ---- the peer ---- */

static inline struct fake_stream *fake_new(uint32_t peer_ip4, uint16_t peer_port)
{
    struct fake_stream *f = calloc(1, sizeof(*f));
    f->stream.functions = &fake_functions;
    f->stream.flow = (struct flow){.peer = address_from_ip4(rte_cpu_to_be_32(peer_ip4)),
                                   .local = address_from_ip4(rte_cpu_to_be_32(0xC6120001)),
                                   .peer_port = rte_cpu_to_be_16(peer_port),
                                   .local_port = rte_cpu_to_be_16(7878)};
    f->segment = 1448;
    f->send_limit = 1 << 16;
    f->piece = f->spare = SIZE_MAX;
    return f;
}

static inline void fake_free(struct fake_stream *f)
{
    free(f->out);
    free(f->in);
    free(f->place);
    free(f);
}

static inline bool fake_is_over(const struct fake_stream *f)
{
    return f->abort_asked || f->peer_reset || f->closed;
}

/* Gives what is held, in pieces, until the user leaves some. */
static inline void fake_give(struct fake_stream *f)
{
    while (f->in_length > 0 && !f->paused && !fake_is_over(f)) {
        size_t length = f->in_length < f->piece ? f->in_length : f->piece;
        uint8_t *block = malloc(length);
        memcpy(block, f->in, length);
        f->in_event = true;
        size_t taken = f->stream.events->received(&f->stream, block, length);
        f->in_event = false;
        fake_check(taken <= length, "received: took more than there was");
        if (f->stream.lasting) {
            fake_check(f->lasting_count < 64, "more pieces than a burst has");
            f->lasting[f->lasting_count++] = block;
        } else {
            free(block);
        }
        memmove(f->in, f->in + taken, f->in_length - taken);
        f->in_length -= taken;
        f->paused = taken < length;
    }
}

/* The burst is over: the user has been told. */
static inline void fake_delivered(struct fake_stream *f)
{
    while (f->lasting_count > 0)
        free(f->lasting[--f->lasting_count]);
    f->stream.lasting = false;
}

static inline void fake_send(struct fake_stream *f, const void *bytes, size_t length)
{
    if (fake_is_over(f))
        return;
    f->in = realloc(f->in, f->in_length + length + 1);
    memcpy(f->in + f->in_length, bytes, length);
    f->in_length += length;
    fake_give(f);
}

static inline void fake_closed(struct fake_stream *f, enum stream_end end)
{
    f->closed = true;
    f->end = end;
    f->stream.events->closed(&f->stream, end);
}

/* A turn: what was put off happens. Call it until nothing changes; false: nothing did. */
static inline bool fake_turn(struct fake_stream *f, uint64_t now_ns)
{
    if (f->closed)
        return false;
    if (f->abort_asked || f->peer_reset) {
        fake_closed(f, f->abort_asked ? STREAM_END_ABORTED : STREAM_END_RESET);
        return true;
    }
    if (f->deadline_ns != 0 && f->deadline_ns <= now_ns) {
        f->deadline_ns = 0;
        f->stream.events->expired(&f->stream);
        return true;
    }
    if (f->wants_writable && !f->no_buffers && fake_may_send(f) &&
        f->out_length - f->out_taken < f->send_limit) {
        f->wants_writable = false;
        f->stream.events->writable(&f->stream);
        return true;
    }
    if (f->resume_asked) {
        f->resume_asked = false;
        f->paused = false;
        fake_give(f);
        return true;
    }
    if (f->peer_ended && !f->ended_told && f->in_length == 0) {
        f->ended_told = true;
        f->stream.events->ended(&f->stream);
        return true;
    }
    if (f->close_asked && f->ended_told && f->out_taken == f->out_length) {
        fake_closed(f, STREAM_END_CLOSED);
        return true;
    }
    return false;
}

/* The peer reads: up to `most` bytes of what waits for it. The bytes stay readable in f->out. */
static inline size_t fake_take(struct fake_stream *f, size_t most)
{
    size_t there = f->out_length - f->out_taken;
    size_t taken = there < most ? there : most;
    f->out_taken += taken;
    return taken;
}

static inline void fake_end(struct fake_stream *f)
{
    f->peer_ended = true;
}

#endif
