/*
 * session.h - the sessions of one worker: who may speak, with which keys, and what they said lately.
 *
 *            INIT accepted       helper done         CONFIRM
 *     FREE ----------------> COMPUTING ----------> PENDING ----------> LIVE
 *      ^                         | low order          | late (5 s),       | CLOSE, idle (10 min),
 *      +-------------------------+--------------------+ displaced --------+ recycled, replaced
 *
 *   FREE       on the free list; its keys are wiped
 *   COMPUTING  the helper writes to its keys: it cannot end before the job comes back
 *   PENDING    RESPONSE stored and sent (again for a repeated INIT); no data is accepted
 *   LIVE       keys confirmed by both sides
 *
 * Ids. The low bits are the place in the table, the high bits count the place's uses from a random start: an
 * id of an ended session misses. What an id finds is then compared with the 4-tuple.
 *
 * Shares. A quarter of the places is for COMPUTING and PENDING, the rest for LIVE: no number of INITs can end
 * a live session. Confirming when every live place is taken ends the one that was idle for longest, but none
 * that was used within SESSION_RECYCLE_IDLE_NS. Looking for it walks the table, so one walk finds the next
 * SESSION_RECYCLE_BATCH of them: many clients that come back at once cost few walks.
 *
 * Fairness among the not yet confirmed, by source prefix (IPv4 /24, IPv6 /64, hashed with a random seed into
 * SESSION_PREFIXES): when their places are all taken, a newcomer displaces the oldest PENDING one of the
 * prefix that holds most. If that is the newcomer's own prefix, only one older than
 * SESSION_PENDING_GRACE_NS makes room (its client had its chance to confirm); otherwise the newcomer waits.
 * One flow has at most SESSION_FLOW_UNCONFIRMED_MAX of them, by the same rule: a client that starts anew has
 * given up what it began before, and the chains of the flow index stay short whatever one sender does.
 *
 * Keys live in an array in the key arena, one struct session_keys a place, and are wiped when a session ends.
 */
#ifndef WILD_SESSION_H
#define WILD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "counters.h"
#include "datagram.h"
#include "handshake.h"
#include "net/endpoint.h"
#include "service/retry_window.h"
#include "service/source.h"

#define SESSION_PENDING_NS       UINT64_C(5000000000)
#define SESSION_PENDING_GRACE_NS UINT64_C(250000000)
#define SESSION_IDLE_NS          UINT64_C(600000000000)
#define SESSION_RECYCLE_IDLE_NS  UINT64_C(10000000000)

enum {
    SESSIONS_MIN = 4,
    SESSIONS_LIMIT = 1 << 20,
    SESSION_PREFIXES = 256,
    SESSION_NONE = -1,
    SESSION_INIT_BYTES = 64, /* what makes two INITs the same: all before mac1 */
    SESSION_SWEEP_MAX = 64,  /* places looked at per turn */
    SESSION_RECYCLE_BATCH = 32,
    SESSION_FLOW_UNCONFIRMED_MAX = 4,
};

enum session_state { SESSION_FREE = 0, SESSION_COMPUTING, SESSION_PENDING, SESSION_LIVE };

struct session {
    /* One line: all that a datagram's checks and its reply need besides the keys. */
    _Alignas(64) struct flow flow;
    uint32_t id;
    uint8_t state; /* enum session_state */
    uint8_t version;
    uint8_t prefix; /* COMPUTING, PENDING: its place in session_table.prefixes */
    uint8_t reserved;
    struct source source;
    uint64_t used_ns;      /* last accepted datagram; before LIVE: creation */
    uint64_t send_counter; /* of the next datagram to the client */

    struct replay_window replay;

    /* Cold. Links are places in the table or SESSION_NONE. */
    int32_t flow_next;      /* others with the same flow hash */
    int32_t next, previous; /* FREE: the free list (next); COMPUTING, PENDING: the prefix's, oldest first */
    uint8_t init[SESSION_INIT_BYTES];
    uint8_t response[HANDSHAKE_RESPONSE_BYTES];
    uint32_t
        parked_bytes; /* of replies that wait for the log (parked.h), each with what it takes there at most */
    struct retry_window retry;
};
static_assert(offsetof(struct session, replay) == 64, "the hot part is one line");

struct session_prefix {
    int32_t oldest, newest;
    uint32_t unconfirmed; /* COMPUTING and PENDING */
    uint32_t computing;
};

/* A live session as a walk of the table saw it: still the one idle for longest if it was not used since. */
struct session_idle {
    uint64_t used_ns;
    uint32_t id;
};

struct session_table {
    struct session *sessions;
    struct session_keys *keys; /* borrowed: the arena's */
    uint32_t mask;
    uint32_t seed; /* of the flow and prefix hashes */
    int32_t free;
    uint32_t unconfirmed, live, unconfirmed_max, live_max;
    uint32_t sweep_at;
    uint64_t swept_ns;
    uint64_t recycle_from_ns; /* no live session can have been idle long enough before this */
    struct session_idle idle[SESSION_RECYCLE_BATCH]; /* longest idle first */
    unsigned idle_at, idle_count;
    int32_t *flow_heads;
    struct counters *counters; /* borrowed */
    struct session_prefix prefixes[SESSION_PREFIXES];
};

/* sessions_max: a power of two, SESSIONS_MIN..SESSIONS_LIMIT; keys: as many. 0, -EINVAL or -ENOMEM. */
int session_table_init(struct session_table *table, unsigned sessions_max, struct session_keys *keys,
                       const struct random_source *random, struct counters *counters);
/* Ends every session (COMPUTING ones too: the helper must have stopped) and frees the memory. */
void session_table_fini(struct session_table *table);

static inline uint64_t flow_word(const struct flow *flow, unsigned which)
{
    uint64_t word;
    memcpy(&word, (const uint8_t *)flow + 8 * which, 8);
    return word;
}

static inline bool flow_equal(const struct flow *a, const struct flow *b)
{
    static_assert(sizeof(*a) == 4 * 8 + sizeof(a->peer_port) + sizeof(a->local_port),
                  "a flow has no padding");
    return ((flow_word(a, 0) ^ flow_word(b, 0)) | (flow_word(a, 1) ^ flow_word(b, 1)) |
            (flow_word(a, 2) ^ flow_word(b, 2)) | (flow_word(a, 3) ^ flow_word(b, 3)) |
            (uint64_t)(a->peer_port ^ b->peer_port) | (uint64_t)(a->local_port ^ b->local_port)) == 0;
}

/* The place that an id names, whoever has it now. */
static inline struct session *session_place(const struct session_table *table, uint32_t id)
{
    return &table->sessions[id & table->mask];
}

static inline struct session_keys *session_keys_place(const struct session_table *table, uint32_t id)
{
    return &table->keys[id & table->mask];
}

static inline struct session_keys *session_keys_of(const struct session_table *table,
                                                   const struct session *session)
{
    return &table->keys[session - table->sessions];
}

/* Of a source: its place in table->prefixes. */
unsigned session_prefix_of(const struct session_table *table, const struct address *source);

/* The session of this flow that began with this INIT, in any state; or NULL. */
struct session *session_find_init(const struct session_table *table, const struct flow *flow,
                                  const uint8_t init[SESSION_INIT_BYTES]);

/* A COMPUTING session for an INIT, or NULL when none is to be had. */
struct session *session_begin(struct session_table *table, const struct flow *flow,
                              const uint8_t init[SESSION_INIT_BYTES], uint64_t now_ns);

/* COMPUTING -> PENDING. The response is kept for repeated INITs; the time to confirm starts now. */
void session_responded(struct session_table *table, struct session *session,
                       const uint8_t response[HANDSHAKE_RESPONSE_BYTES], uint64_t now_ns);

/* PENDING -> LIVE, ending an older live session of the same flow. False (counted) if there is no live place.
 */
bool session_confirm(struct session_table *table, struct session *session, uint64_t now_ns);

/* Any state -> FREE: keys wiped. Not counted: the caller knows the reason. */
void session_end(struct session_table *table, struct session *session);

/* Bounded: ends late PENDING and idle LIVE sessions, each found within about a second. */
void session_sweep(struct session_table *table, uint64_t now_ns);

/* Ends every PENDING session at once (draining). COMPUTING ones end when their job comes back. */
void session_end_pending(struct session_table *table);

#endif
