/*
 * load_connection.h - one connection of a load test: a session and a thread with keys of its own, so that it
 * knows
 * what every one of its keys holds. A key with an operation in flight is not chosen again (answers are
 * unordered), so there is always exactly one right state. Only writes whose outcome is unknown leave several:
 * each of
 * theirs and the one before, until the next acknowledged write.
 */
#ifndef WILD_EXAMPLE_LOAD_CONNECTION_H
#define WILD_EXAMPLE_LOAD_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>

#include "histogram.h"
#include "journal.h"
#include "load_values.h"
#include "options.h"

/* What a connection's operations go through: a session with one node, or a router's pipeline. */
struct load_port {
    struct wild_client *client; /* one of the two */
    struct wild_pipeline *pipeline;
};

/* What one connection knows of one of its keys. */
struct load_key {
    uint32_t stored,
        attempted; /* versions; they differ while the outcome of the writes in between is unknown */
    bool in_flight;
    uint64_t lsn, history; /* of the latest write that was acknowledged: a replica must have got there */
    uint64_t expires_ns;   /* the first of those to expire does not before this; LOAD_NEVER: none does */
};
#define LOAD_NEVER UINT64_MAX

/* One operation under way; the request's tag is its index. */
struct load_operation {
    uint64_t begin_ns;
    uint32_t key; /* index among the connection's keys */
    bool get, used;
};

struct load_connection {
    pthread_t thread;
    struct load_port port; /* used by this thread alone */
    const struct load_options *options;
    unsigned number;
    uint32_t run;
    uint64_t timeout_ns, random;
    _Atomic bool *stop; /* writers: the main thread; with a journal, connections whose node is gone */

    /* writer: this thread; reader: the main thread's progress line */
    _Atomic uint64_t operations, errors, mismatches;

    struct load_key *keys;
    uint32_t key_count, next_key;
    unsigned in_flight;
    struct load_operation operation[WILD_PIPELINE_MAX];
    uint64_t answer_ns; /* when the node last answered */
    struct histogram histogram;
    enum wild_status first_error;
    bool preloaded;
    struct journal journal;
};

uint64_t load_now_ns(void); /* monotonic */

/* Stores every key once: `preloaded` if all could be, else the first error ends it. */
void load_connection_preload(struct load_connection *connection);
/* Reads and writes until `stop`; takes every answer before it returns. */
void load_connection_run(struct load_connection *connection);

#endif
