/*
 * cluster.h - what the parts of the cluster simulator share. One struct is one seed's run.
 *
 *   cluster.c           seeds and rounds, one after the other; sums; stories without dice
 *   cluster_client.c    clients at once, each with one call at a time, and the journal of their calls
 *   cluster_journal.c   what the journal must be: during the run, and at its end
 *   cluster_watch.c     what clients cannot see: who led when, what was acknowledged, whether it is on the
 *   line; tables cluster_faults.c    links, disks, deaths cluster_operator.c  orders, restarts in another
 *   part, and how all becomes well again
 *
 * A seed is `strict` or not. A strict one's operator does nothing that gives up what was acknowledged: no
 * --force, and a replica's folder is started with --mode primary only where it holds all of it and the old
 * primary comes back as a replica. Then nothing may be lost, whatever else happens, at any --min-replicas.
 * One that is not strict does all of it: what may be lost then is what the new primary never had, and it is
 * LOST or absent, never something else.
 */
#ifndef WILD_CLUSTER_H
#define WILD_CLUSTER_H

#include "hub.h"
#include "node_internal.h"
#include "node_order.h"

enum {
    NODES_MAX = HUB_NODES_MAX,
    CLIENTS = 3,
    SHARED_KEYS = 16, /* any client writes them; then some that one alone does */
    OWN_KEYS = 3,
    KEYS = SHARED_KEYS + CLIENTS * OWN_KEYS,
    COUNTERS = 4,
    LINES_MAX = 128, /* histories that were acknowledged */
    SPACE = 24 << 20,
    VALUE_MAX = 900,
};

/* ---- calls ---- */

enum call_kind { CALL_GET, CALL_SET, CALL_ADD, CALL_CHANGE, CALL_DELETE, CALL_INCR, CALL_COUNT };
enum call_end {
    CALL_OPEN,
    CALL_ANSWERED,
    CALL_REFUSED, /* it has not happened, and will not */
    CALL_UNKNOWN, /* it may have happened, or will */
};

/* A call as its client saw it. Times are steps of the hub. */
struct call {
    uint64_t invoked, returned;
    uint64_t value;            /* that it sets, or was shown; 0: absent. INCR: the result */
    uint64_t expected;         /* CHANGE: the value that had the version */
    uint64_t asked;            /* GET: min_lsn, 0: none. CHANGE: the version */
    uint64_t version, history; /* of the answer */
    uint8_t kind, end, status, client, node;
    uint16_t key; /* INCR: a counter */
    bool once;    /* no more than one copy of it was ever on its way */
};

/* What a value of a key is known by. */
struct known_value {
    uint64_t value, version; /* version 0: nobody was told yet */
    uint64_t seen;           /* when a reader was first shown it: it had happened by then; LINEAR_NEVER */
};

struct session {
    enum { SESSION_NONE, SESSION_INIT, SESSION_CONFIRM, SESSION_READY } phase;
    bool broken; /* the node has died: what is asked gets no answer */
    struct handshake_client handshake;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    struct session_keys keys;
    struct replay_window replay;
    uint64_t counter, next_request_id, history;
};

struct client {
    struct session session[NODES_MAX];
    unsigned leader; /* who takes writes, as it believes */
    unsigned left;   /* calls that it is to make */
    bool busy;       /* call[at] is on its way */
    unsigned at, tries;
    uint64_t due_ns; /* when it says it again, or makes the next one */
    struct operation operation;
    uint64_t asked_history; /* that the call's min_lsn comes from */
    char key[16];
    uint8_t value[VALUE_MAX];
    uint64_t known[KEYS]; /* the last value that it has set or seen, and its version */
    uint64_t known_version[KEYS], known_history[KEYS];
};

/* ---- who led ---- */

/* A history whose beginning was acknowledged, in the order in which they were. */
struct line {
    uint64_t history, acknowledged, began; /* step */
    unsigned node, stretch;                /* lines of one stretch have lost nothing of each other */
};

struct node_watch {
    uint64_t revive_ns; /* dead: when it is started again */
    bool ordered;       /* an order of the operator's is under way */
    enum node_order_kind order;
    bool forced;
    uint64_t shown[KEYS]; /* the version that this node has shown last */
};

#define CLUSTER_COUNTS(X)                                                                                    \
    X(writes, "writes")                                                                                      \
    X(reads, "reads")                                                                                        \
    X(incrs, "INCRs")                                                                                        \
    X(unknown, "not answered")                                                                               \
    X(refused, "refused")                                                                                    \
    X(stale, "STALE")                                                                                        \
    X(lost, "LOST")                                                                                          \
    X(judged, "calls judged")                                                                                \
    X(deaths, "deaths")                                                                                      \
    X(falls, "deaths in a disk's call")                                                                      \
    X(pauses, "pauses")                                                                                      \
    X(cuts, "cuts")                                                                                          \
    X(full, "full disks")                                                                                    \
    X(disk_errors, "failing disks")                                                                          \
    X(promoted, "promotions")                                                                                \
    X(promote_refused, "promotions refused")                                                                 \
    X(forced, "forced promotions")                                                                           \
    X(force_refused, "forced promotions refused")                                                            \
    X(demoted, "demotions")                                                                                  \
    X(demote_refused, "demotions refused")                                                                   \
    X(followed, "follow orders")                                                                             \
    X(follow_refused, "follow orders refused")                                                               \
    X(died_on_order, "orders that ended with the node")                                                      \
    X(restarts, "failovers by restart")                                                                      \
    X(untied, "terms begun for who was promised to another")                                                 \
    X(lines, "histories")                                                                                    \
    X(losses, "of them, with a loss")                                                                        \
    X(lost_writes, "acknowledged writes that were given up")                                                 \
    X(disk_feeds, "catch-ups from disk")                                                                     \
    X(tail_batches, "blocks from memory")                                                                    \
    X(bootstraps, "snapshots sent or loaded")                                                                \
    X(gaps, "gaps")                                                                                          \
    X(waited_ms, "ms till all was well, in sum")
struct cluster_counts {
#define CLUSTER_COUNT(name, text) uint64_t name;
    CLUSTER_COUNTS(CLUSTER_COUNT)
#undef CLUSTER_COUNT
};

struct cluster {
    struct hub hub;
    struct rte_mempool *pool;
    uint64_t seed, entropy;
    bool tell;
    /* The plan. */
    unsigned nodes, logged, min_replicas;
    bool ack_applied, strict;
    /* Clients. */
    struct role_keys keys;
    struct client client[CLIENTS];
    struct call *call;
    unsigned calls, calls_room;
    struct known_value *known[KEYS];
    unsigned known_count[KEYS], known_room[KEYS];
    uint64_t next_value;
    /* Who led. */
    struct line line[LINES_MAX];
    unsigned lines;
    struct meta newest; /* of the last of them */
    struct node_watch watch[NODES_MAX];
    unsigned leader; /* who led last, as far as the operator knows */
    bool may_lose;   /* something was done that gives up what others have */
    bool hands_off;  /* the dead stay dead till somebody starts them */
    struct cluster_counts counts;
    struct hub_fault_counts faults;
};

/* ---- cluster.c ---- */

uint64_t below(struct cluster *c, uint64_t bound);
/* Ends the program, unless it holds, with what is wrong and how to see it again. */
#define must(c, holds, ...) ((holds) ? (void)0 : fail(c, __VA_ARGS__))
void fail(const struct cluster *c, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
void tell(const struct cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Everybody's time passes: nodes, clients, operator. */
void pass_ms(struct cluster *c, unsigned ms);

/* ---- cluster_client.c ---- */

void clients_start(struct cluster *c, const char *secret);
void clients_turn(struct cluster *c);
bool clients_idle(const struct cluster *c);
/* Its sessions are gone with it. */
void clients_note_death(struct cluster *c, unsigned node);
/* One call of client 0's, to its end: asked at that node until it is answered OK or NOT_FOUND. Returns its
 * index. */
unsigned clients_read(struct cluster *c, unsigned node, unsigned key);
/* Likewise, a counter's value. */
uint64_t clients_count(struct cluster *c, unsigned node, unsigned counter);

/* ---- cluster_journal.c ---- */

/* A value that somebody sets. */
void journal_note(struct cluster *c, unsigned key, uint64_t value);
/* It has ended. */
void journal_ended(struct cluster *c, struct call *call);
/* All of it together; what the counters are at last. */
void journal_check(struct cluster *c, const uint64_t counter[COUNTERS]);

/* ---- cluster_watch.c ---- */

void watch_turn(struct cluster *c);
/* Whether what was acknowledged in that history up to that LSN is on the line of `meta`. */
bool watch_on_line(const struct meta *meta, const struct meta *own, uint64_t lsn);
/* The line that history is; NULL: its beginning was never acknowledged. */
const struct line *watch_line(const struct cluster *c, uint64_t history);
struct state_view watch_view(const struct cluster *c, unsigned node);
bool watch_runs(const struct cluster *c, unsigned node);
/* It leads, serves, and nobody was ever heard later. */
bool watch_leads(const struct cluster *c, unsigned node);
/* A follower has all that is durable at the leader. */
bool watch_is_level(const struct cluster *c, unsigned node, unsigned leader);
void watch_tell(const struct cluster *c); /* on stderr: where each node stands */
/* Every table is the leader's, item by item, version by version. */
void watch_compare_tables(struct cluster *c, unsigned leader);
void watch_add_counts(struct cluster *c, unsigned node);

/* ---- cluster_faults.c ---- */

void heal(struct cluster *c);
void bad_links(struct cluster *c);
void cut_links(struct cluster *c);
void disk_trouble(struct cluster *c);
/* It dies now, or in some call of its disk's; for so long. */
void die(struct cluster *c, unsigned node, unsigned ms);
void die_soon(struct cluster *c, unsigned node);
void revive(struct cluster *c, unsigned node);
void stop_for_a_while(struct cluster *c, unsigned node);
/* Who has fallen dies, who was dead long enough lives. */
void faults_turn(struct cluster *c);

/* ---- cluster_operator.c ---- */

void operator_turn(struct cluster *c);
void operate(struct cluster *c);
/* All is well again, for good: somebody leads, the others follow it. Returns who. */
unsigned operator_mends(struct cluster *c);
/* Some node does not follow that leader though all is well: what an operator does then. Returns who leads. */
unsigned operator_unties(struct cluster *c, unsigned leader);

#endif
