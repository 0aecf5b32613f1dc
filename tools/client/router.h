/*
 * router.h - inside libwild: the router, and what its files offer one another.
 *
 *   router.c            options; makes and destroys routers
 *   router_choice.c     what is known of the nodes: whom to ask, who leads, what an answer says of its node
 *   router_monitor.c    the thread: health checks of all nodes, at once and without waiting for one
 *   router_names.c      another thread: names that a name server has to be asked for
 *   router_calls.c      one request: attempts, one node after the other
 *   router_pipeline.c   many requests: the same, as states
 *   router_statistics.c what is known, for people
 *
 * All of it is bookkeeping below one lock that is held for no longer than that; whoever talks to a node holds
 * a client of its pool and no lock. Threads wait on `changed` for a primary, for checks, for calls to end.
 */
#ifndef WILD_ROUTER_INTERNAL_H
#define WILD_ROUTER_INTERNAL_H

#include <pthread.h>

#include "client.h"
#include "histogram.h"
#include "wild_router.h"

enum {
    ENDPOINTS_MAX = WILD_ENDPOINTS_MAX,
    ENDPOINT_NONE = ENDPOINTS_MAX,
    WEIGHT_MAX = 1000,
    LAG_SAMPLES = 256,
    BUSY_TRIES = 4, /* of a read at one node, while there is another */
};
static_assert(ENDPOINTS_MAX <= 128, "a set of endpoints is two words");
static_assert(ENDPOINTS_MAX >= 1 + WILD_REPLICAS_MAX, "all that options name, and more");

#define RECHECK_SPACING_NS   (25 * MS_NS) /* however many requests fail there */
#define RECHECK_MIN_NS       (100 * MS_NS)
#define RECHECK_MAX_NS       (5000 * MS_NS)
#define LAG_SPACING_NS       MS_NS
#define NEAREST_SLACK_NS     (50 * UINT64_C(1000))
#define PRIMARY_PAUSE_MIN_NS (5 * MS_NS)
#define PRIMARY_PAUSE_MAX_NS (100 * MS_NS)

struct endpoint_set {
    uint64_t word[2];
};

static inline bool endpoint_set_has(const struct endpoint_set *set, unsigned index)
{
    return set->word[index / 64] >> index % 64 & 1;
}

static inline void endpoint_set_add(struct endpoint_set *set, unsigned index)
{
    set->word[index / 64] |= UINT64_C(1) << index % 64;
}

/* A health check under way; the monitor's thread's alone. */
struct check {
    struct wild_client *client; /* NULL: none, or its connection was of no use */
    bool running;
    bool looking;           /* up the addresses */
    unsigned flight, tried; /* addresses of this check */
    uint64_t wanted;
    unsigned address_at;
    struct address_list addresses; /* none: to be resolved */
};

/* An endpoint's name on its way to the addresses that it stands for; below the router's lock. */
struct name {
    bool wanted, done;
    int outcome; /* done: 0, or -1 and why */
    struct address_list addresses;
    char why[WILD_ERROR_BYTES];
};

/*
 *              a check succeeds
 *   UNKNOWN --------------------> UP <---------+
 *      |                          |            | a check succeeds
 *      +--------------------------+--> DOWN ---+
 *        a check fails, or a request there
 */
enum endpoint_state { ENDPOINT_UNKNOWN = 0, ENDPOINT_UP, ENDPOINT_DOWN };

struct endpoint {
    /* never changes once it is in the router's list */
    char text[WILD_ENDPOINT_BYTES];
    uint32_t weight;
    bool configured_primary, learned;
    struct wild_pool *pool;

    /* below the router's lock */
    enum endpoint_state state;
    bool alias; /* learned, and another name of one that was there: not used */
    bool has_health;
    struct health health;
    struct wild_node node;
    uint64_t health_ns, check_ns; /* when it was answered, and after how long */
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char why[WILD_ERROR_BYTES];
    int64_t turn;              /* smooth weighted round robin: the highest is next */
    uint64_t latency_ns;       /* smoothed; 0: not known */
    uint64_t due_ns, pause_ns; /* of the next check */
    uint64_t checked_ns;
    uint64_t wanted, checked; /* check number `wanted` was asked for; so many are done */
    uint64_t requests_before; /* the latest check */
    uint64_t requests, errors, stale, failovers, checks, checks_failed;
    struct histogram latency;
    struct name name;

    struct check check;
};

struct lag_sample {
    uint64_t ns, lsn;
};

struct wild_router {
    /* never change after wild_router_create() */
    struct wild_client *pattern; /* keys, time-outs, transport; no connection */
    uint64_t timeout_ns, interval_ns;
    uint32_t connections;
    enum wild_read_preference preference;
    bool reads_may_be_stale;
    pthread_t thread;
    bool has_thread;
    pthread_t names; /* if has_names: starter: the monitor's thread */
    bool has_names;
    int wake_fd; /* an eventfd: the monitor is to look at its list */

    _Atomic bool stop; /* writer: wild_router_destroy(); readers: everybody who waits */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned calls; /* in progress */
    unsigned endpoint_count;
    struct endpoint *endpoint[ENDPOINTS_MAX]; /* only grows */
    unsigned primary;
    uint32_t epoch; /* highest that the cluster's nodes have shown */
    struct wild_token token;
    struct random_source random;
    unsigned lag_head, lag_count;
    struct lag_sample lag[LAG_SAMPLES]; /* the primary's LSN at times, oldest first */
    struct wild_router_statistics statistics;
};

/* After fork() nothing of a router may be touched, not even its lock. */
static inline bool router_is_ours(const struct wild_router *router)
{
    return router->pattern->secrets->present;
}

/* router.c */
/* Adds to the list; the endpoint's index, or ENDPOINT_NONE when there is no room or no memory. Below the lock
 * (or before there are threads). */
unsigned router_add(struct wild_router *router, const char *text, uint32_t weight, bool learned);
bool router_enter(
    struct wild_router *router); /* false: nothing may begin any more; else with the lock held */
void router_leave(struct wild_router *router);
/* Below the lock: waits for a change, at most until then. */
void router_wait(struct wild_router *router, uint64_t until_ns);
void router_wake_monitor(struct wild_router *router);

/* router_choice.c: all below the lock */

/* Where a read that has met `tried` goes next; ENDPOINT_NONE: there is nobody. *left: how many more. */
unsigned router_reader(struct wild_router *router, const struct endpoint_set *tried, unsigned *left);
bool endpoint_serves(const struct wild_router *router, unsigned index);
const char *endpoint_useless(const struct wild_router *router, unsigned index); /* why not; NULL: it serves */
void router_check_all(struct wild_router *router, uint64_t now);                /* soon; numbers them */
void endpoint_check_soon(struct wild_router *router, unsigned index, uint64_t now);
void endpoint_answered(struct wild_router *router, unsigned index, const struct health *health,
                       const struct wild_client *client, uint64_t took_ns, uint64_t now);
void endpoint_failed(struct wild_router *router, unsigned index, const char *why, uint64_t now);
void router_hint(struct wild_router *router, const char *text, size_t length, uint64_t now);

/* What happened to one request at one node. */
struct attempt {
    unsigned endpoint;
    bool write, asked_min_lsn;
    uint32_t epoch; /* highest that its client has seen */
    int failure;    /* UNREACHABLE, NO_ANSWER: why, -errno */
    uint64_t latency_ns;
    const struct wild_result *result;
};
enum verdict { VERDICT_FINAL, VERDICT_NEXT, VERDICT_PRIMARY /* wait for another, or for this one */ };
/* Takes down what the attempt says of its node, and what becomes of the request. */
enum verdict router_judge(struct wild_router *router, const struct attempt *attempt, uint64_t now);
void router_finished(struct wild_router *router, bool write, uint64_t asked_lsn, unsigned endpoint,
                     const struct wild_result *result, struct wild_token *token);
/* The least that a read asks for: of its request, or the token. */
struct wild_token router_least(const struct wild_router *router, const struct wild_request *request,
                               const struct wild_token *token);

static inline bool request_is_write(const struct wild_request *request)
{
    return request->operation != WILD_OP_GET;
}

/* router_names.c: takes the lock */
int router_look_up(struct wild_router *router, struct endpoint *e); /* 0, or an errno: no thread for it */
bool router_looked_up(struct wild_router *router, struct endpoint *e, struct name *out); /* false: not yet */

/* router_monitor.c */
void *router_monitor(void *router);

#endif
