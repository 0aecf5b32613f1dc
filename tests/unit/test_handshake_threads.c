/* test_handshake_threads.c - lanes between workers and the helper: order, bounds, fairness, threads. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "seeded.h"
#include "service/handshake_helper.h"
#include "suite.h"

static struct role_keys keys;
static const struct handshake_identity identity = {.node_id = 1};

static void make_init(uint8_t init[HANDSHAKE_INIT_BYTES], uint64_t seed)
{
    struct handshake_client client;
    uint64_t state = seeded_start(seed);
    struct random_source random = seeded_source(&state);
    CU_ASSERT_EQUAL_FATAL(handshake_start(&client, &keys, ROLE_CLIENT, TRANSPORT_UDP, SUITE_MAC, &random), 0);
    memcpy(init, client.init, HANDSHAKE_INIT_BYTES);
    handshake_end(&client);
}

static bool submit(struct handshake_lane *lane, uint32_t session, const uint8_t *init,
                   struct session_keys *result)
{
    struct handshake_job *job = handshake_lane_take(lane);
    if (job == NULL)
        return false;
    job->session = session;
    job->keys = &keys;
    job->result = result;
    memcpy(job->init, init, HANDSHAKE_INIT_BYTES);
    handshake_lane_submit(lane, job);
    return true;
}

/* The next finished job is `session`, and was answered. */
static bool finished(struct handshake_lane *lane, uint32_t session)
{
    struct handshake_job *job = handshake_lane_finished(lane);
    if (job == NULL || job->session != session || job->outcome != 0 || job->result->session != session)
        return false;
    handshake_lane_release(lane, job);
    return true;
}

static void test_a_lane_holds_so_many_jobs_and_gives_them_back_in_order(void)
{
    uint64_t state = seeded_start(1);
    struct random_source random = seeded_source(&state);
    struct handshake_helper *helper = handshake_helper_create(1, &identity, &random);
    struct handshake_lane *lane = handshake_helper_lane(helper, 0);
    uint8_t init[HANDSHAKE_INIT_BYTES];
    static struct session_keys results[HANDSHAKE_LANE_JOBS];
    make_init(init, 2);
    CU_ASSERT_FALSE(handshake_helper_step(helper));
    CU_ASSERT_PTR_NULL(handshake_lane_finished(lane));
    for (uint32_t i = 0; i < HANDSHAKE_LANE_JOBS; i++)
        CU_ASSERT(submit(lane, i, init, &results[i]));
    CU_ASSERT_PTR_NULL(handshake_lane_take(lane));
    CU_ASSERT_EQUAL(handshake_lane_in_flight(lane), HANDSHAKE_LANE_JOBS);
    CU_ASSERT(handshake_helper_step(helper));
    CU_ASSERT_PTR_NULL(handshake_lane_take(lane)); /* finished, but not released */
    CU_ASSERT(finished(lane, 0));
    CU_ASSERT_PTR_NULL(handshake_lane_finished(lane));
    CU_ASSERT(submit(lane, 1000, init, &results[0]));
    while (handshake_helper_step(helper)) {
    }
    for (uint32_t i = 1; i < HANDSHAKE_LANE_JOBS; i++)
        CU_ASSERT(finished(lane, i));
    CU_ASSERT(finished(lane, 1000));
    CU_ASSERT_EQUAL(handshake_lane_in_flight(lane), 0);
    handshake_helper_destroy(helper);
}

static void test_a_flooded_lane_does_not_starve_the_others(void)
{
    uint64_t state = seeded_start(3);
    struct random_source random = seeded_source(&state);
    struct handshake_helper *helper = handshake_helper_create(3, &identity, &random);
    uint8_t init[HANDSHAKE_INIT_BYTES];
    static struct session_keys results[200];
    make_init(init, 4);
    for (uint32_t i = 0; i < 100; i++)
        submit(handshake_helper_lane(helper, 0), i, init, &results[i]);
    for (uint32_t i = 0; i < 3; i++)
        submit(handshake_helper_lane(helper, 2), i, init, &results[100 + i]);
    for (unsigned i = 0; i < 6; i++)
        CU_ASSERT(handshake_helper_step(helper));
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT(finished(handshake_helper_lane(helper, 2), i));
        CU_ASSERT(finished(handshake_helper_lane(helper, 0), i));
    }
    handshake_helper_destroy(helper);
}

static unsigned told[3];
static struct handshake_lane *told_of[3];

static void note(void *state, unsigned worker)
{
    CU_ASSERT_PTR_EQUAL(state, &identity);
    CU_ASSERT_PTR_NOT_NULL(handshake_lane_finished(told_of[worker])); /* there to be seen */
    told[worker]++;
}

static void test_whoever_wants_to_know_is_told_whose_job_is_done(void)
{
    uint64_t state = seeded_start(6);
    struct random_source random = seeded_source(&state);
    struct handshake_helper *helper = handshake_helper_create(3, &identity, &random);
    uint8_t init[HANDSHAKE_INIT_BYTES];
    static struct session_keys results[3];
    make_init(init, 7);
    for (unsigned i = 0; i < 3; i++)
        told_of[i] = handshake_helper_lane(helper, i);
    handshake_helper_notify(helper, (struct handshake_notice){(void *)(uintptr_t)&identity, note});
    CU_ASSERT_FALSE(handshake_helper_step(helper));
    submit(told_of[2], 1, init, &results[0]);
    submit(told_of[2], 2, init, &results[1]);
    submit(told_of[1], 3, init, &results[2]);
    while (handshake_helper_step(helper)) {
    }
    CU_ASSERT(told[0] == 0 && told[1] == 1 && told[2] == 2);
    handshake_helper_destroy(helper);
}

/* Two workers and the helper as threads: every job comes back once, in order, whole. For TSan above all. */
enum { JOBS = 400, WINDOW = 32, WORKERS = 2 };

struct worker_thread {
    struct handshake_lane *lane;
    uint8_t init[HANDSHAKE_INIT_BYTES];
    struct session_keys results[WINDOW];
    bool good;
};

static void *work(void *state)
{
    struct worker_thread *worker = state;
    uint32_t sent = 0, done = 0;
    worker->good = true;
    while (done < JOBS && worker->good) {
        while (sent < JOBS && sent - done < WINDOW &&
               submit(worker->lane, sent, worker->init, &worker->results[sent % WINDOW]))
            sent++;
        if (handshake_lane_finished(worker->lane) == NULL)
            sched_yield();
        else
            worker->good = finished(worker->lane, done++);
    }
    return NULL;
}

struct helper_thread {
    struct handshake_helper *helper;
    atomic_bool stop;
};

static void *help(void *state)
{
    struct helper_thread *helper = state;
    while (!atomic_load(&helper->stop))
        if (!handshake_helper_step(helper->helper))
            sched_yield();
    return NULL;
}

static void test_workers_and_helper_run_as_threads(void)
{
    static struct worker_thread workers[WORKERS];
    uint64_t state = seeded_start(5);
    struct random_source random = seeded_source(&state);
    struct helper_thread helper = {.helper = handshake_helper_create(WORKERS, &identity, &random)};
    pthread_t helper_id, worker_ids[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].lane = handshake_helper_lane(helper.helper, i);
        make_init(workers[i].init, 10 + i);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&worker_ids[i], NULL, work, &workers[i]), 0);
    }
    CU_ASSERT_EQUAL_FATAL(pthread_create(&helper_id, NULL, help, &helper), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(worker_ids[i], NULL);
        CU_ASSERT(workers[i].good);
    }
    atomic_store(&helper.stop, true);
    pthread_join(helper_id, NULL);
    handshake_helper_destroy(helper.helper);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a lane holds so many jobs and gives them back in order",
         test_a_lane_holds_so_many_jobs_and_gives_them_back_in_order},
        {"a flooded lane does not starve the others", test_a_flooded_lane_does_not_starve_the_others},
        {"whoever wants to know is told whose job is done",
         test_whoever_wants_to_know_is_told_whose_job_is_done},
        {"workers and helper run as threads", test_workers_and_helper_run_as_threads},
        CU_TEST_INFO_NULL,
    };
    if (keys_start() != 0)
        return 1;
    keys_insecure(&keys);
    return suite_run("handshake helper", tests);
}
