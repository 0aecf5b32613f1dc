/*
 * handshake_helper.h - X25519 off the workers. Each worker has a lane to one helper; the helper takes jobs
 * from the lanes in turn, so a flooded worker does not starve the others.
 *
 * A lane is one ring of jobs with three cursors, for jobs finish in the order in which they came:
 *
 *     released <= finished <= submitted <= released + HANDSHAKE_LANE_JOBS
 *     (worker)    (helper)    (worker)
 *
 * Jobs between finished and submitted are the helper's, all others the worker's.
 *
 * In the product a thread calls handshake_helper_step() and naps when there was nothing to do; in a
 * simulation the scheduler calls it.
 */
#ifndef WILD_HANDSHAKE_HELPER_H
#define WILD_HANDSHAKE_HELPER_H

#include <stdbool.h>

#include "handshake.h"
#include "net/endpoint.h"

enum {
    HANDSHAKE_LANE_JOBS = 256,       /* jobs in flight per worker; more are dropped and counted */
    HANDSHAKE_COOKIE_THRESHOLD = 64, /* jobs in flight above which an INIT needs a cookie */
};

struct handshake_job {
    struct return_path path;
    uint32_t session;             /* id chosen by the worker */
    const struct role_keys *keys; /* the secret whose mac1 verified */
    uint8_t init[HANDSHAKE_INIT_BYTES];
    /* results */
    int outcome; /* of handshake_respond() */
    uint8_t response[HANDSHAKE_RESPONSE_BYTES];
    struct session_keys *result; /* where to put the keys: the session's place in the arena */
};

struct handshake_helper;
struct handshake_lane;

/* identity: copied. random is borrowed, outlives the helper, and is the helper's alone. NULL: no memory. */
struct handshake_helper *handshake_helper_create(unsigned workers, const struct handshake_identity *identity,
                                                 const struct random_source *random);
void handshake_helper_destroy(struct handshake_helper *helper);
/*
 * Handshakes from now on tell of another identity: the node has read whose its log is, or joined a cluster.
 * Any one thread. False: the helper is just looking at it; later.
 */
bool handshake_helper_identify(struct handshake_helper *helper, const struct handshake_identity *identity);
struct handshake_lane *handshake_helper_lane(struct handshake_helper *helper, unsigned worker);

/*
 * Called on the helper's side after each job, once the result can be seen: for workers that sleep until
 * somebody wakes them. Before the first step; without it nobody is told.
 */
struct handshake_notice {
    void *state;
    void (*finished)(void *state, unsigned worker);
};
void handshake_helper_notify(struct handshake_helper *helper, struct handshake_notice notice);

/* Helper side: at most one job; false if there was none. */
bool handshake_helper_step(struct handshake_helper *helper);

/*
 * Worker side. take: the place for the next job, or NULL when the lane is full (taking again without a submit
 * gives the same place); submit: hands it over. in_flight: submitted and not yet released.
 */
struct handshake_job *handshake_lane_take(struct handshake_lane *lane);
void handshake_lane_submit(struct handshake_lane *lane, struct handshake_job *job);
unsigned handshake_lane_in_flight(const struct handshake_lane *lane);
/* Finished jobs come back here, oldest first; give each back with release. */
struct handshake_job *handshake_lane_finished(struct handshake_lane *lane);
void handshake_lane_release(struct handshake_lane *lane, struct handshake_job *job);

#endif
