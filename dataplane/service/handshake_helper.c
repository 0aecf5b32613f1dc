#include "service/handshake_helper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { JOB_MASK = HANDSHAKE_LANE_JOBS - 1 };
static_assert((HANDSHAKE_LANE_JOBS & JOB_MASK) == 0, "cursors are mapped to jobs by mask");

struct handshake_lane {
    /* Worker's line. submitted: written by the worker, read by the helper; released: the worker's own. */
    _Alignas(64) _Atomic uint32_t submitted;
    uint32_t released;
    /* Helper's line. Written by the helper, read by the worker. */
    _Alignas(64) _Atomic uint32_t finished;
    _Alignas(64) struct handshake_job jobs[HANDSHAKE_LANE_JOBS];
};

struct handshake_helper {
    pthread_mutex_t identity_lock; /* of `identity`, taken to copy it */
    struct handshake_identity identity;
    const struct random_source *random;
    unsigned workers;
    unsigned next; /* lane to look at first */
    struct handshake_lane *lanes;
    struct handshake_notice notice;
};

struct handshake_helper *handshake_helper_create(unsigned workers, const struct handshake_identity *identity,
                                                 const struct random_source *random)
{
    struct handshake_helper *helper = calloc(1, sizeof(*helper));
    if (helper == NULL)
        return NULL;
    size_t bytes = workers * sizeof(struct handshake_lane);
    helper->lanes = aligned_alloc(_Alignof(struct handshake_lane), bytes);
    if (helper->lanes == NULL) {
        free(helper);
        return NULL;
    }
    memset(helper->lanes, 0, bytes);
    helper->identity = *identity;
    pthread_mutex_init(&helper->identity_lock, NULL);
    helper->random = random;
    helper->workers = workers;
    return helper;
}

void handshake_helper_destroy(struct handshake_helper *helper)
{
    if (helper == NULL)
        return;
    pthread_mutex_destroy(&helper->identity_lock);
    free(helper->lanes);
    free(helper);
}

bool handshake_helper_identify(struct handshake_helper *helper, const struct handshake_identity *identity)
{
    if (pthread_mutex_trylock(&helper->identity_lock) != 0)
        return false;
    helper->identity = *identity;
    pthread_mutex_unlock(&helper->identity_lock);
    return true;
}

struct handshake_lane *handshake_helper_lane(struct handshake_helper *helper, unsigned worker)
{
    return &helper->lanes[worker];
}

void handshake_helper_notify(struct handshake_helper *helper, struct handshake_notice notice)
{
    helper->notice = notice;
}

static bool lane_step(struct handshake_helper *helper, struct handshake_lane *lane)
{
    uint32_t finished = atomic_load_explicit(&lane->finished, memory_order_relaxed);
    /* acquire: pairs with release in handshake_lane_submit() */
    if (finished == atomic_load_explicit(&lane->submitted, memory_order_acquire))
        return false;
    struct handshake_job *job = &lane->jobs[finished & JOB_MASK];
    pthread_mutex_lock(&helper->identity_lock);
    struct handshake_identity identity = helper->identity;
    pthread_mutex_unlock(&helper->identity_lock);
    job->outcome = handshake_respond(job->keys, &identity, helper->random, job->session, job->init,
                                     job->response, job->result);
    /* release: pairs with acquire in handshake_lane_finished() */
    atomic_store_explicit(&lane->finished, finished + 1, memory_order_release);
    return true;
}

bool handshake_helper_step(struct handshake_helper *helper)
{
    for (unsigned i = 0; i < helper->workers; i++) {
        unsigned at = helper->next;
        helper->next = at + 1 == helper->workers ? 0 : at + 1;
        if (!lane_step(helper, &helper->lanes[at]))
            continue;
        if (helper->notice.finished != NULL)
            helper->notice.finished(helper->notice.state, at);
        return true;
    }
    return false;
}

struct handshake_job *handshake_lane_take(struct handshake_lane *lane)
{
    if (handshake_lane_in_flight(lane) == HANDSHAKE_LANE_JOBS)
        return NULL;
    return &lane->jobs[atomic_load_explicit(&lane->submitted, memory_order_relaxed) & JOB_MASK];
}

void handshake_lane_submit(struct handshake_lane *lane, struct handshake_job *job)
{
    (void)job; /* it is the one at `submitted`: take gives no other */
    uint32_t submitted = atomic_load_explicit(&lane->submitted, memory_order_relaxed);
    /* release: pairs with acquire in lane_step() */
    atomic_store_explicit(&lane->submitted, submitted + 1, memory_order_release);
}

unsigned handshake_lane_in_flight(const struct handshake_lane *lane)
{
    return atomic_load_explicit(&lane->submitted, memory_order_relaxed) - lane->released;
}

struct handshake_job *handshake_lane_finished(struct handshake_lane *lane)
{
    /* acquire: pairs with release in lane_step() */
    if (lane->released == atomic_load_explicit(&lane->finished, memory_order_acquire))
        return NULL;
    return &lane->jobs[lane->released & JOB_MASK];
}

void handshake_lane_release(struct handshake_lane *lane, struct handshake_job *job)
{
    (void)job; /* the oldest finished one */
    lane->released++;
}
