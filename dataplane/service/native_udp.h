/*
 * native_udp.h - the native protocol over UDP on one worker: datagram in, session, operations, datagram out.
 *
 * Per burst: (1) every datagram is recognised, its session looked up, its tag verified, its first operation
 * decoded and hashed, and the bucket prefetched; (2) the likely items are prefetched; (3) operations are
 * executed, replies written and sealed. No message reaches the table before its tag has verified; what does
 * not verify is met with silence and counted.
 *
 * Replies that depend on what the log has not made durable yet (native_engine.h) wait in parked.h and leave
 * in a later turn, sealed then. Who ended its session meanwhile gets none.
 *
 * Handshakes: INIT is checked (mac1, cookie under load) here, its mathematics run in handshake_helper.h, and
 * the RESPONSE leaves in a later turn. A session belongs to this worker and to the 4-tuple that confirmed it.
 */
#ifndef WILD_NATIVE_UDP_H
#define WILD_NATIVE_UDP_H

#include <stdbool.h>

#include "counters.h"
#include "durability.h"
#include "execute.h"
#include "handshake.h"
#include "published_state.h"
#include "service/handshake_helper.h"
#include "service/udp_service.h"

struct native_udp_config {
    struct table *table;             /* borrowed, like every pointer here; all outlive the service */
    struct execute_context *execute; /* this worker's */
    const struct published_state *published;
    const struct role_keys *keys[2];    /* secrets in force: keys[1] may be NULL (rotation) */
    struct key_arena *arena;            /* session keys are taken from here at creation */
    const struct random_source *random; /* this worker's */
    struct handshake_lane *handshakes;  /* this worker's lane to the helper */
    struct counters *counters;          /* this worker's */
    struct udp_transmit transmit;
    struct durability_rules durability;  /* without a log: all false */
    const struct durable_point *durable; /* NULL: there is no log */
    uint64_t started_mono_ns;            /* for uptime in HEALTH */
    int numa_node;                       /* of the memory for replies that wait; -1: wherever */
    unsigned
        sessions_max; /* a power of two, at least SESSIONS_MIN (session.h says how they are shared out) */
    bool bench_mode;  /* answer PLAIN and ECHO (--insecure-no-auth) */
};

struct native_udp;

struct native_udp *native_udp_create(
    const struct native_udp_config *config); /* NULL: memory or arena is short */
/* Ends every session and wipes its keys. The helper must have stopped: its jobs write to those keys. */
void native_udp_destroy(struct native_udp *service);
struct udp_service native_udp_service(struct native_udp *service);
unsigned native_udp_parked(const struct native_udp *service); /* replies that wait for the log */
size_t native_udp_arena_bytes(unsigned sessions_max);         /* what creation takes from the arena */
/*
 * From now on no new session (SIGTERM): handshakes under way end, live sessions are still answered for as
 * long as the worker turns, so that what was received gets its answer. Called by the worker itself once the
 * published state is STATE_DRAINING; by others only while the worker does not turn.
 */
void native_udp_drain(struct native_udp *service);

#endif
