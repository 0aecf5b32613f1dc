/*
 * wild_router.h - libwild's router: one primary and its replicas, used as one database.
 *
 *   struct wild_replica replicas[] = {{.endpoint = "replica1.example.com:7879"},
 *                                     {.endpoint = "replica2.example.com:7880", .weight = 2}};
 *   struct wild_router_options options = {.primary = "primary.example.com:7878",
 *                                         .replicas = replicas, .replica_count = 2,
 *                                         .secret_file = "/etc/wild/secret"};
 *   char error[WILD_ERROR_BYTES], value[WILD_VALUE_MAX];
 *   struct wild_router *router = wild_router_create(&options, error);
 *   struct wild_result result;
 *   wild_router_set(router, "key", 3, "value", 5, NULL, &result);
 *   wild_router_get(router, "key", 3, value, &result);   // result.value_length bytes in `value`
 *   wild_router_destroy(router);
 *
 * Threads. Everything that takes a wild_router may be called by any number of threads at once, but for
 * wild_router_destroy(). A wild_pipeline belongs to one thread at a time. A router has one thread of its own,
 * for health checks, and another if there are names to look up. After fork() a router is the parent's alone:
 * what a child asks of it ends as WILD_NO_ANSWER at once, and what it destroys is left as it is. A child
 * makes routers of its own.
 *
 * Where a request goes. Writes go to the primary. Reads go in turn, by weight, to the replicas that are
 * healthy and serve, and to the primary when there is none (enum wild_read_preference has other ways). Every
 * request ends within timeout_ms. A read whose node does not answer, cannot be reached, is behind (STALE),
 * still catching up, or stays BUSY moves on to the next replica and at last to the primary; a silent node
 * costs it at most half of the time that it has left. What libwild promises about retries (wild.h) holds: a
 * write is sent to another node only if it has certainly not been executed, so that INCR, FLUSH and
 * conditional writes end as WILD_UNKNOWN when their session is lost, and any write as WILD_NO_ANSWER when
 * its time ran out.
 *
 * Who the primary is. The one in the options, until nodes say otherwise: a NOT_PRIMARY answer names the
 * primary's address, and health checks show every node's mode and epoch. The primary is the node that says
 * so with the highest epoch; one with an epoch below the highest seen is refused. Requests carry that epoch,
 * so that an old primary that comes back learns of it. A write that meets no primary waits, within its
 * time-out, for one to appear: a promotion costs writes some time, and fails those that it outlasts.
 *
 * Health. Every node is asked for its health each health_check_interval_ms over a connection that is not of
 * its pool, and at once when a request has failed there; one that is down with growing, jittered pauses
 * (100 ms, doubling, to the interval but at most 5 s), until it answers and is used again.
 *
 * Reading what was written. A router remembers the highest LSN that its writes were acknowledged with, and
 * its reads ask for at least that: a replica that has not got there answers STALE and the next is asked, at
 * last the primary. LOST says that the write is gone for good: it was acknowledged by a primary whose last
 * part of the log was lost in a failover. It is reported once, then the router asks for nothing older again.
 * Many independent users of one router make each other's reads more demanding than they need be: those give
 * wild_router_call() a token of their own.
 */
#ifndef WILD_ROUTER_H
#define WILD_ROUTER_H

#include "wild.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WILD_REPLICAS_MAX  64
#define WILD_ENDPOINTS_MAX 80 /* those of the options, and primaries that were learned */

struct wild_router;

enum wild_read_preference {
    WILD_READ_REPLICA = 0, /* healthy replicas, else the primary */
    WILD_READ_PRIMARY = 1, /* the primary alone */
    WILD_READ_ANY = 2,     /* replicas and primary alike */
    WILD_READ_NEAREST =
        3, /* of those, the ones that answer fastest: within a quarter and 50 us of the best */
};

struct wild_replica {
    const char *endpoint; /* "HOST:PORT", "[IPv6]:PORT" or "HOST" (port 7878) */
    uint32_t weight;      /* its share of the reads, 1..1000; 0: 1 */
};

/* Zeros are defaults. Exactly one of secret, secret_file and insecure_no_auth must be given. */
struct wild_router_options {
    const char *primary; /* NULL: 127.0.0.1:7878 */
    const struct wild_replica *replicas;
    uint32_t replica_count;
    const char *secret, *secret_file; /* these: see struct wild_options */
    bool insecure_no_auth;
    const char *cluster_name;
    enum wild_transport transport;
    bool sealed;
    uint32_t timeout_ms;                   /* of a request, however many nodes it meets; 0: 1000 */
    uint32_t connect_timeout_ms;           /* wild_router_create() waits so long for the nodes; 0: 3000 */
    uint32_t max_connections_per_endpoint; /* 0: 10; health checks have one more */
    uint32_t health_check_interval_ms;     /* 0: 30000 */
    enum wild_read_preference read_preference;
    bool reads_may_be_stale; /* does not ask for what was written, unless a token or a request does */
    bool may_start_alone;    /* wild_router_create() succeeds even if no node can be reached yet */
};

/*
 * Reads the secret, starts the thread, and waits until every node was asked for its health once. NULL with
 * one line in `error` (never a secret) that names the option that is wrong, or if no node could be reached.
 * Nothing of `options` is needed afterwards.
 */
struct wild_router *wild_router_create(const struct wild_router_options *options,
                                       char error[WILD_ERROR_BYTES]);
/*
 * Requests that wait in other threads end as WILD_NO_ANSWER (those that cannot have been executed as
 * WILD_UNREACHABLE); no new one may begin, and every pipeline must have been closed. Waits for a name server
 * that is being asked. NULL is fine.
 */
void wild_router_destroy(struct wild_router *router);

/* ---- one request ---- */

/*
 * As in wild.h, but for values: GET copies the value to `value`, which has room for WILD_VALUE_MAX bytes
 * (NULL: it is not wanted), and result->value points there. WILD_BUSY also says that all connections to a
 * node stayed taken.
 */
enum wild_status wild_router_get(struct wild_router *router, const void *key, size_t key_length, void *value,
                                 struct wild_result *result);
enum wild_status wild_router_set(struct wild_router *router, const void *key, size_t key_length,
                                 const void *value, size_t value_length,
                                 const struct wild_write_options *options, struct wild_result *result);
enum wild_status wild_router_delete(struct wild_router *router, const void *key, size_t key_length,
                                    const struct wild_write_options *options, struct wild_result *result);
enum wild_status wild_router_incr(struct wild_router *router, const void *key, size_t key_length,
                                  int64_t delta, int64_t initial, const struct wild_write_options *options,
                                  struct wild_result *result);
enum wild_status wild_router_touch(struct wild_router *router, const void *key, size_t key_length,
                                   uint64_t ttl_ms, struct wild_result *result);
enum wild_status wild_router_flush(struct wild_router *router, struct wild_result *result);

/*
 * What a user of the router has written: begins as zeros, and may travel (in a cookie, say) to other
 * processes. Its reads see at least that.
 */
struct wild_token {
    uint64_t lsn, history;
};
/*
 * Any request. Reads ask for request->min_lsn, or where that is 0 for the token's LSN; writes move the token
 * on. The token is the caller's (one thread at a time); NULL: the router's own. LOST sets it to zeros.
 */
enum wild_status wild_router_call(struct wild_router *router, const struct wild_request *request,
                                  struct wild_token *token, void *value, struct wild_result *result);

/* ---- many requests at once ---- */

/*
 * Like a client's pipeline (wild.h), over all nodes: each request goes where a single one would, moves on as
 * that would, and finishes exactly once. A pipeline takes at most one connection of each pool, and keeps it.
 * BUSY to a write is handed out at once. It has a token of its own, which begins as the router's.
 */
struct wild_pipeline;
struct wild_pipeline *wild_pipeline_open(struct wild_router *router, char error[WILD_ERROR_BYTES]);
void wild_pipeline_close(struct wild_pipeline *pipeline); /* NULL is fine */
/* WILD_OK: accepted. Waits where the request needs a new connection, within its time-out. */
enum wild_status wild_pipeline_submit(struct wild_pipeline *pipeline, const struct wild_request *request);
void wild_pipeline_batch_begin(struct wild_pipeline *pipeline);
void wild_pipeline_batch_end(struct wild_pipeline *pipeline);
/* Values stay valid until the next call with this pipeline. */
size_t wild_pipeline_poll(struct wild_pipeline *pipeline, struct wild_result *results, size_t room,
                          uint32_t timeout_ms);
size_t wild_pipeline_in_flight(const struct wild_pipeline *pipeline);

/* ---- how it goes ---- */

struct wild_endpoint {
    char endpoint[WILD_ENDPOINT_BYTES];
    char why[WILD_ERROR_BYTES]; /* why it is not healthy, or not used; empty: nothing is wrong */
    uint32_t weight;
    bool is_primary; /* writes go there now */
    bool learned;    /* not of the options */
    bool healthy;    /* the latest health check, and every request since, went well */
    bool serves;     /* reads may go there: healthy, in order, of the right mode */
    bool checked;    /* the fields from here on to uptime_ms come from its latest answer to a health check */
    const char *mode, *state;
    uint32_t epoch;
    struct wild_node node;
    uint64_t lsn, items, capacity, lines_used, uptime_ms;
    uint64_t age_ms;      /* how old that answer is */
    uint64_t lag_lsn;     /* at least so many changes behind the primary at that time, as far as is known */
    uint64_t lag_us;      /* and so long past that LSN, at least */
    uint64_t check_us;    /* how long it took */
    uint32_t connections; /* of its pool */
    uint64_t requests;    /* sent there; one that moves on counts at every node that it met */
    uint64_t
        errors; /* of those: no answer, not reached, BUSY, READ_ONLY, NOT_PRIMARY, TIMEOUT, UNKNOWN, AUTH */
    uint64_t stale;     /* reads that were answered STALE */
    uint64_t failovers; /* reads that moved on from there to another node */
    uint64_t checks, checks_failed;
    uint64_t p50_us, p90_us, p99_us, p999_us, max_us; /* of requests that were answered */
};
/* Fills as many as there is room for; returns how many there are. The first is the options' primary. */
size_t wild_router_endpoints(struct wild_router *router, struct wild_endpoint *out, size_t room);

struct wild_router_statistics {
    uint64_t reads, writes;     /* finished */
    uint64_t failed;            /* of those: without an answer from any node */
    uint64_t fallbacks;         /* reads that ended at the primary because no replica could serve them */
    uint64_t primary_changes;   /* learned */
    uint64_t primaries_refused; /* health checks that found a primary below the epoch */
    uint32_t epoch;             /* highest seen */
};
void wild_router_statistics(struct wild_router *router, struct wild_router_statistics *out);

/* Has every node checked now, and waits for that up to timeout_ms. False: some have not answered yet. */
bool wild_router_check(struct wild_router *router, uint32_t timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
