/*
 * stream.h - byte streams as services see them. Two implementations stand below: our own TCP (tcp/) and the
 * kernel's sockets (kernel/); everything above - native protocol, HTTP, replication - cannot tell which.
 *
 * One thread owns a stream and everything that happens to it: events are called from that thread's turns,
 * and functions are only called on it.
 *
 *   acceptor.accepted --> received*  --> ended --> closed          the peer ended first
 *   connect --> connected --> received* ...    --> closed          we opened
 *
 * closed comes exactly once for every stream that was accepted (true) or opened, is its last event, and is
 * never called from inside one of the functions below nor from inside another event: a service may close or
 * abort anywhere.
 *
 * Sending. reserve gives contiguous room in the next segment, commit makes its first bytes part of the
 * stream; they leave when the events of the current burst are done (no Nagle, one segment for the replies of
 * one burst). When the send limit is reached or there is no buffer, reserve gives NULL, and writable comes
 * once there is room again.
 *
 * Receiving. received gets bytes in order, once, in memory that is the service's to change until it returns
 * (records are decrypted in place). It returns how many it took. If not all: the rest is held, the window
 * closes as it fills, and after resume the rest comes again, with whatever followed it, by further calls of
 * received. A service that needs a record whole keeps its first part itself.
 *
 * Where stream.lasting says so, the bytes stay until the acceptor's `delivered`, which comes once for all
 * streams of a burst, before anything that was committed leaves. So a service may put off what it does with
 * requests, and do it for many connections together.
 */
#ifndef WILD_STREAM_H
#define WILD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/endpoint.h"

struct stream;

enum stream_end {
    STREAM_END_CLOSED,      /* both directions ended in order */
    STREAM_END_RESET,       /* by the peer */
    STREAM_END_TIMED_OUT,   /* the peer no longer answers */
    STREAM_END_REFUSED,     /* opening: nobody listens there */
    STREAM_END_UNREACHABLE, /* opening: the network says so */
    STREAM_END_ABORTED,     /* by our own abort, or to make room */
};

struct stream_events {
    void (*connected)(struct stream *stream); /* opened by us: it is established. NULL where nothing opens */
    size_t (*received)(struct stream *stream, uint8_t *bytes, size_t length);
    void (*ended)(struct stream *stream); /* the peer sends no more; we still may */
    void (*writable)(struct stream *stream);
    void (*expired)(struct stream *stream); /* the deadline has passed; it is off now */
    void (*closed)(struct stream *stream, enum stream_end end);
};

struct stream_functions {
    /* At least `least` bytes (<= STREAM_RESERVE_MAX), *room of them; NULL: not now. They are there until the
     * event returns, outside of events until the stack runs again. */
    uint8_t *(*reserve)(struct stream *stream, size_t least, size_t *room);
    void (*commit)(struct stream *stream, size_t length); /* of the last reserve; at most its room */
    /* Bytes committed that the peer is yet to take: not acknowledged (tcp/), or not sent (kernel/). */
    size_t (*unsent)(const struct stream *stream);
    /* Bytes for which this stream would get buffers now, out of those that it shares with others. What it
     * alone may have unsent does not count, nor what the others reserve before they commit. */
    size_t (*spare)(const struct stream *stream);
    void (*resume)(struct stream *stream); /* deliver what received left; from within the next turn */
    /* No more from us; what was committed is sent, receiving goes on. A peer that sends nothing new for a
     * minute is given up then, unless the user holds bytes back or has a deadline running. */
    void (*close)(struct stream *stream);
    void (*abort)(struct stream *stream);                          /* now, and the peer is told */
    void (*set_deadline)(struct stream *stream, uint64_t mono_ns); /* one per stream; 0: none */
};

/* What every implementation's connection begins with. */
struct stream {
    const struct stream_functions *functions;
    const struct stream_events *events; /* the user's, set in accepted or given to connect */
    void *user;                         /* the user's */
    struct flow flow;                   /* who is at the other end */
    bool lasting;                       /* what received is given now stays until `delivered` */
};

struct stream_acceptor {
    void *state;
    /* A peer has connected. True: events (and user) are set. False: the peer is reset. */
    bool (*accepted)(void *state, struct stream *stream);
    /* The bytes of a burst have all been given. NULL: the service puts nothing off. */
    void (*delivered)(void *state);
};

enum {
    /* Any peer's smallest segment has this room: RFC 9293 3.7.1, 536 less 12 of time stamps. Larger writes go
     * in pieces. */
    STREAM_RESERVE_MAX = 524,
};

static inline uint8_t *stream_reserve(struct stream *stream, size_t least, size_t *room)
{
    return stream->functions->reserve(stream, least, room);
}

static inline void stream_commit(struct stream *stream, size_t length)
{
    stream->functions->commit(stream, length);
}

static inline size_t stream_unsent(const struct stream *stream)
{
    return stream->functions->unsent(stream);
}

static inline size_t stream_spare(const struct stream *stream)
{
    return stream->functions->spare(stream);
}

static inline void stream_resume(struct stream *stream)
{
    stream->functions->resume(stream);
}

static inline void stream_close(struct stream *stream)
{
    stream->functions->close(stream);
}

static inline void stream_abort(struct stream *stream)
{
    stream->functions->abort(stream);
}

static inline void stream_set_deadline(struct stream *stream, uint64_t mono_ns)
{
    stream->functions->set_deadline(stream, mono_ns);
}

/* Copies; returns how many bytes were taken: fewer than `length` when reserve gave NULL in between. */
size_t stream_write(struct stream *stream, const uint8_t *bytes, size_t length);

#endif
