/*
 * native_tcp.h - the native protocol over byte streams on one worker, and the door to HTTP on the same port.
 * Sits on stream.h: our own TCP and the kernel's look alike from here.
 *
 *   SNIFF --0xF7--> INIT <--> (COOKIE) --mac1--> COMPUTING --RESPONSE--> CONFIRM --> LIVE
 *     |               \--PLAIN (bench mode)--------------------------------------> LIVE
 *     |--a method--> http.h
 *     \--anything else, or nothing for 1 s: reset
 *   LIVE --CLOSE, idle, end, not in order--> CLOSING --> gone
 *
 *   SNIFF, INIT, CONFIRM   unconfirmed: a quarter of the places at most. When they are used up, the source
 *                          that holds most (source.h) loses its oldest, at once; for a newcomer of its own
 *                          only one older than NATIVE_TCP_GRACE_NS. 5 s from accepting to CONFIRM
 *   COMPUTING              the helper writes to the place's keys: the place outlives its stream until the
 *                          job is back
 *   LIVE                   records in, records out, in order. Ended after 10 minutes without a message. An eighth of
 *                          the places, 64 at most, is not for them. When the others are used up, who has just
 *                          shaken hands gets the place of a session of the source that holds most: of the
 *                          network, then its host, the one that was idle for longest of those looked at. It
 *                          is closed in order. If the newcomer's own network holds no fewer, the host is one of
 *                          that; if the newcomer's own host holds no fewer, it is closed itself
 *   CLOSING                nothing more is read; what was answered is still sent; 5 s at most. When no more than half
 *                          of that eighth is free, each newcomer has the oldest of these reset, of the source that
 *                          has most of them. They count as room: unconfirmed ones make room as if there were none
 *
 * What is not in order before LIVE is met with a reset. After it, the replies to what came before are sent
 * and the stream is closed without a CLOSE record.
 *
 * Requests are executed together with their look-ups: those of one delivery, and where bytes last (stream.h)
 * those of a burst, whichever connections they came by.
 *
 * Backpressure. A connection with more than NATIVE_TCP_UNSENT_MAX bytes of unread replies is held back: no
 * more of its bytes are taken (its window closes), and no other connection notices. It goes on when half of
 * them are read, and is reset if that takes 30 s. A record that came in part waits in a buffer from a pool;
 * if none is free, or the source has half of them, the connection is held back until one is. A record that is
 * not whole in NATIVE_TCP_RECORD_GRACE_NS makes room for those who wait: the oldest first, of sources that
 * hold no fewer than theirs. If it is not whole in 10 s in which the connection is not held back, it is
 * reset. Before a message is executed there are buffers for its reply, in the stream or here: while those
 * that all streams share are short, connections are held back and answered in the order in which they came,
 * as acknowledgements set buffers free. None is reset for that.
 * Replies that depend on what the log has not made durable yet (native_engine.h) wait in parked.h, and with
 * them every later reply of their connection: order is kept. They count as unread replies do. While a
 * connection has some it is held back, too, when there is no room for the replies of another batch, or its
 * source has its share of it; one that has none is told BUSY. Whatever ends the connection in order waits for
 * them: CLOSE, the peer's end, draining. The stream's own send limit should be NATIVE_TCP_SEND_BYTES at
 * least; below it, replies wait in buffers of the pool.
 *
 * Memory, all taken at creation, for connections_max connections: sizeof(struct native_connection) (<= 512
 * bytes) each; keys in the arena (struct session_keys); a retry window of 4.3 KiB that an unused connection
 * does not touch.
 */
#ifndef WILD_NATIVE_TCP_H
#define WILD_NATIVE_TCP_H

#include <stdbool.h>

#include "counters.h"
#include "durability.h"
#include "execute.h"
#include "handshake.h"
#include "instant.h"
#include "published_state.h"
#include "service/handshake_helper.h"
#include "service/http.h"
#include "stream.h"

#define NATIVE_TCP_SNIFF_NS        UINT64_C(1000000000)
#define NATIVE_TCP_HANDSHAKE_NS    UINT64_C(5000000000)
#define NATIVE_TCP_GRACE_NS        UINT64_C(250000000)
#define NATIVE_TCP_IDLE_NS         UINT64_C(600000000000)
#define NATIVE_TCP_STALL_NS        UINT64_C(30000000000)
#define NATIVE_TCP_RECORD_NS       UINT64_C(10000000000)
#define NATIVE_TCP_RECORD_GRACE_NS UINT64_C(1000000000)
#define NATIVE_TCP_CLOSING_NS      UINT64_C(5000000000)
/* LIVE connections that are held back or have sent a record in part are looked at this often: their limits
 * are kept to within it. The others' timers come when they may have been idle for too long. */
#define NATIVE_TCP_CHECK_NS UINT64_C(2500000000)

enum {
    NATIVE_TCP_CONNECTIONS_LIMIT = 1 << 20,
    NATIVE_TCP_UNSENT_MAX = 32768,
    NATIVE_TCP_BATCH_BYTES = 32768, /* of replies to what is executed together */
    NATIVE_TCP_SEND_BYTES = NATIVE_TCP_UNSENT_MAX + NATIVE_TCP_BATCH_BYTES + 4096,
};

struct native_tcp_config {
    struct table *table;             /* borrowed, like every pointer here; all outlive the service */
    struct execute_context *execute; /* this worker's */
    const struct published_state *published;
    const struct role_keys *keys[2];    /* secrets in force: keys[1] may be NULL (rotation) */
    struct key_arena *arena;            /* native_tcp_arena_bytes() are taken from here at creation */
    const struct random_source *random; /* this worker's */
    struct handshake_lane *handshakes;  /* a lane of this service's own: not the one of native_udp */
    struct counters *counters;          /* this worker's */
    struct http *http;                  /* NULL: --http off */
    uint64_t started_mono_ns;           /* for uptime in HEALTH */
    unsigned connections_max;           /* 4..NATIVE_TCP_CONNECTIONS_LIMIT */
    unsigned small_buffers,
        large_buffers; /* NATIVE_BUFFER_SMALL_BYTES and _LARGE_BYTES, at least 1 of each */
    uint64_t idle_ns;  /* 0: NATIVE_TCP_IDLE_NS */
    bool bench_mode;   /* answer PLAIN (--insecure-no-auth) */

    struct durability_rules durability;  /* without a log: all false */
    const struct durable_point *durable; /* NULL: there is no log */
    int numa_node;                       /* of the memory for replies that wait; -1: wherever */
};

struct native_tcp;

/* NULL: memory or arena is short. */
struct native_tcp *native_tcp_create(const struct native_tcp_config *config, struct instant now);
/* The streams below end first (tcp_destroy()), and the helper has stopped: its jobs write to keys here. */
void native_tcp_destroy(struct native_tcp *service);
size_t native_tcp_arena_bytes(unsigned connections_max);
/* How many of the places sessions may have. The others are for those who want one. */
unsigned native_tcp_live_max(unsigned connections_max);

struct stream_acceptor native_tcp_acceptor(struct native_tcp *service);

/* Once a turn, before its events: the time, answers to handshakes, held-back connections, http's pieces.
 * True: there was something to do. */
bool native_tcp_turn(struct native_tcp *service, struct instant now);

/*
 * As native_udp_drain(): no new sessions; those there are go on being answered. Where there are pages,
 * streams are accepted all the same: /health tells them why, and those that turn out to want a session are
 * reset.
 */
void native_tcp_drain(struct native_tcp *service);

/*
 * The end of draining: every session gets a CLOSE record behind its last reply, and its stream is closed; so
 * are those of pages. What is unconfirmed is reset, and nothing more is accepted. A few turns let that leave.
 */
void native_tcp_close_all(struct native_tcp *service);

struct native_tcp_counts {
    unsigned connections, unconfirmed, live, held_back;
    unsigned lingering;                    /* CLOSING */
    unsigned small_buffers, large_buffers; /* in use */
    unsigned parked;                       /* replies that wait for the log */
};
struct native_tcp_counts native_tcp_counts(const struct native_tcp *service);

#endif
