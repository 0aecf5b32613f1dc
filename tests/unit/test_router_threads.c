/*
 * test_router_threads.c - many threads on one router, pipelines, its end while requests wait, and fork().
 * What counts is the run under ThreadSanitizer.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "router_fixture.h"

enum { THREADS = 8, ROUNDS = 60 };

struct worker {
    pthread_t thread;
    struct cluster *cluster;
    unsigned number, done, wrong;
    bool pipelined;
};

static void one_by_one(struct worker *worker)
{
    struct wild_router *router = worker->cluster->router;
    struct wild_result result;
    char key[16], value[WILD_VALUE_MAX];
    for (unsigned i = 0; i < ROUNDS; i++) {
        int length = snprintf(key, sizeof(key), "%u.%u", worker->number, i);
        worker->done += wild_router_incr(router, "n", 1, 1, 0, NULL, NULL) == WILD_OK;
        worker->done +=
            wild_router_set(router, key, (size_t)length, key, (size_t)length, NULL, NULL) == WILD_OK;
        worker->done += wild_router_get(router, key, (size_t)length, value, &result) == WILD_OK;
        worker->wrong +=
            result.value_length != (size_t)length || memcmp(result.value, key, (size_t)length) != 0;
    }
}

static void many_at_once(struct worker *worker)
{
    char error[WILD_ERROR_BYTES];
    struct wild_pipeline *pipeline = wild_pipeline_open(worker->cluster->router, error);
    struct wild_result results[8];
    if (pipeline == NULL)
        return;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
        struct wild_request get = {.operation = WILD_OP_GET, .key = "n", .key_length = 1};
        wild_pipeline_batch_begin(pipeline);
        worker->wrong += wild_pipeline_submit(pipeline, &incr) != WILD_OK;
        worker->wrong += wild_pipeline_submit(pipeline, &get) != WILD_OK;
        worker->wrong += wild_pipeline_submit(pipeline, &get) != WILD_OK;
        wild_pipeline_batch_end(pipeline);
        while (wild_pipeline_in_flight(pipeline) > 0) {
            size_t n = wild_pipeline_poll(pipeline, results, 8, 20000);
            for (size_t j = 0; j < n; j++)
                worker->done += results[j].status == WILD_OK;
        }
    }
    wild_pipeline_close(pipeline);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    if (worker->pipelined)
        many_at_once(worker);
    else
        one_by_one(worker);
    return NULL;
}

/* Meanwhile the second replica comes and goes, if it is to. */
static void work_all(bool pipelined, bool trouble)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    struct worker workers[THREADS];
    struct wild_result result;
    unsigned done = 0, wrong = 0;
    cluster_start(&c, 3, true);
    struct wild_router_options options = router_options(&c, replicas);
    options.max_connections_per_endpoint = pipelined ? THREADS : 3;
    options.health_check_interval_ms = 20;
    router_open(&c, &options);
    wild_router_incr(c.router, "n", 1, 0, 0, NULL, NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cluster = &c, .number = i, .pipelined = pipelined};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; trouble && i < 6; i++) {
        responder_order(c.node[2], (struct responder_orders){.down = i % 2 == 0});
        nap_ms(20);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        wrong += workers[i].wrong;
    }
    CU_ASSERT_EQUAL(done, THREADS * ROUNDS * 3);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(wild_router_incr(c.router, "n", 1, 0, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, THREADS * ROUNDS);
    if (!trouble)
        for (unsigned i = 0; i < 3; i++)
            CU_ASSERT(responder_sessions(c.node[i]) <= options.max_connections_per_endpoint + 1);
    cluster_end(&c);
}

static void test_threads_share_a_router(void)
{
    work_all(false, false);
}

static void test_threads_share_a_router_while_a_replica_comes_and_goes(void)
{
    work_all(false, true);
}

static void test_threads_have_pipelines_of_one_router(void)
{
    work_all(true, false);
}

static void test_pipelines_outlive_a_replica_that_comes_and_goes(void)
{
    work_all(true, true);
}

/* ---- a pipeline's requests move on as single ones do ---- */

static unsigned poll_all(struct wild_pipeline *pipeline, enum wild_status wanted)
{
    struct wild_result results[WILD_PIPELINE_MAX];
    unsigned right = 0;
    while (wild_pipeline_in_flight(pipeline) > 0) {
        size_t n = wild_pipeline_poll(pipeline, results, WILD_PIPELINE_MAX, 20000);
        for (size_t i = 0; i < n; i++)
            right += results[i].status == wanted;
    }
    return right;
}

static void submit_many(struct wild_pipeline *pipeline, enum wild_operation operation, unsigned n)
{
    struct wild_request request = {.operation = operation, .key = "k", .key_length = 1, .delta = 1};
    for (unsigned i = 0; i < n; i++)
        CU_ASSERT_EQUAL(wild_pipeline_submit(pipeline, &request), WILD_OK);
}

static void test_a_pipelines_reads_take_turns(void)
{
    struct cluster c;
    char error[WILD_ERROR_BYTES];
    cluster_begin(&c, 3);
    wild_router_incr(c.router, "k", 1, 1, 0, NULL, NULL);
    struct wild_pipeline *pipeline = wild_pipeline_open(c.router, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipeline);
    forget_logs(&c);
    submit_many(pipeline, WILD_OP_GET, 100);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_OK), 100);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_GET), 50);
    CU_ASSERT_EQUAL(executed(&c, 2, OPCODE_GET), 50);
    wild_pipeline_close(pipeline);
    cluster_end(&c);
}

static void test_a_full_pipeline_says_so(void)
{
    struct cluster c;
    char error[WILD_ERROR_BYTES];
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    cluster_begin(&c, 1);
    struct wild_pipeline *pipeline = wild_pipeline_open(c.router, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipeline);
    submit_many(pipeline, WILD_OP_GET, WILD_PIPELINE_MAX);
    CU_ASSERT_EQUAL(wild_pipeline_submit(pipeline, &get), WILD_PIPELINE_FULL);
    get.key_length = 0;
    CU_ASSERT_EQUAL(wild_pipeline_submit(pipeline, &get), WILD_BAD_REQUEST);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_NOT_FOUND), WILD_PIPELINE_MAX);
    wild_pipeline_close(pipeline);
    wild_pipeline_close(NULL);
    cluster_end(&c);
}

static void test_a_pipelines_requests_move_on(void)
{
    struct cluster c;
    char error[WILD_ERROR_BYTES];
    cluster_begin(&c, 3);
    wild_router_incr(c.router, "k", 1, 0, 0, NULL, NULL);
    struct wild_pipeline *pipeline = wild_pipeline_open(c.router, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipeline);
    submit_many(pipeline, WILD_OP_GET, 10);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_OK), 10);
    /* a replica dies with reads in flight */
    responder_order(c.node[1], (struct responder_orders){.deaf = true});
    submit_many(pipeline, WILD_OP_GET, 20);
    responder_order(c.node[1], (struct responder_orders){.down = true});
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_OK), 20);
    /* the other is behind, and busy */
    struct wild_request ahead = {
        .operation = WILD_OP_GET, .key = "k", .key_length = 1, .min_lsn = 1000, .min_history = 42};
    CU_ASSERT_EQUAL(wild_pipeline_submit(pipeline, &ahead), WILD_OK);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_STALE), 1);
    responder_order(c.node[2], (struct responder_orders){.busy = 100});
    submit_many(pipeline, WILD_OP_GET, 1);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_OK), 1);
    /* and the primary hands over */
    struct responder_role old = role_of(0, MODE_REPLICA, 8);
    snprintf(old.primary, sizeof(old.primary), "%s", responder_endpoint(c.node[2]));
    responder_order(c.node[2], (struct responder_orders){0});
    responder_role(c.node[0], &old);
    set_role(&c, 2, MODE_PRIMARY, 8);
    submit_many(pipeline, WILD_OP_INCR, 10);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_OK), 10);
    CU_ASSERT_EQUAL(executed(&c, 2, OPCODE_INCR), 10);
    /* with their session gone, what may have been executed is unknown */
    responder_order(c.node[2], (struct responder_orders){.close_replies = 1});
    submit_many(pipeline, WILD_OP_INCR, 1);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_UNKNOWN), 1);
    wild_pipeline_close(pipeline);
    cluster_end(&c);
}

static void test_a_pipelines_requests_end_in_time(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    char error[WILD_ERROR_BYTES];
    cluster_start(&c, 2, true);
    struct wild_router_options options = router_options(&c, replicas);
    options.timeout_ms = 1000;
    router_open(&c, &options);
    struct wild_pipeline *pipeline = wild_pipeline_open(c.router, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipeline);
    submit_many(pipeline, WILD_OP_GET, 1);
    submit_many(pipeline, WILD_OP_INCR, 1);
    CU_ASSERT(poll_all(pipeline, WILD_OK) >= 1); /* the read may come first: NOT_FOUND */
    responder_order(c.node[0], (struct responder_orders){.silent = true});
    responder_order(c.node[1], (struct responder_orders){.silent = true});
    submit_many(pipeline, WILD_OP_GET, 3);
    submit_many(pipeline, WILD_OP_INCR, 3);
    CU_ASSERT(poll_all(pipeline, WILD_NO_ANSWER) >= 3);
    responder_order(c.node[0], (struct responder_orders){.down = true});
    responder_order(c.node[1], (struct responder_orders){.down = true});
    nap_ms(20);
    submit_many(pipeline, WILD_OP_GET, 3);
    submit_many(pipeline, WILD_OP_INCR, 3);
    CU_ASSERT_EQUAL(poll_all(pipeline, WILD_UNREACHABLE), 6);
    wild_pipeline_close(pipeline);
    cluster_end(&c);
}

/* ---- the end ---- */

static void *wait_for_an_answer(void *argument)
{
    struct worker *worker = argument;
    struct wild_router *router = worker->cluster->router;
    enum wild_status status = worker->number % 2 == 0 ? wild_router_get(router, "k", 1, NULL, NULL)
                                                      : wild_router_incr(router, "k", 1, 1, 0, NULL, NULL);
    worker->done = status == WILD_NO_ANSWER || status == WILD_UNREACHABLE || status == WILD_BUSY;
    return NULL;
}

static void test_requests_that_wait_end_with_the_router(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    struct worker workers[THREADS];
    cluster_start(&c, 2, true);
    struct wild_router_options options = router_options(&c, replicas);
    options.max_connections_per_endpoint = 2; /* some wait for a connection */
    options.timeout_ms = options.connect_timeout_ms = 3600 * 1000;
    router_open(&c, &options);
    wild_router_incr(c.router, "k", 1, 1, 0, NULL, NULL);
    responder_order(c.node[0], (struct responder_orders){.silent = true});
    responder_order(c.node[1], (struct responder_orders){.silent = true});
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cluster = &c, .number = i};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[i].thread, NULL, wait_for_an_answer, &workers[i]), 0);
    }
    nap_ms(100);
    wild_router_destroy(c.router);
    c.router = NULL;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        CU_ASSERT_EQUAL(workers[i].done, 1);
    }
    cluster_end(&c);
}

static void test_a_child_process_gets_no_answers_and_harms_nobody(void)
{
    struct cluster c;
    struct wild_result result;
    cluster_begin(&c, 2);
    CU_ASSERT_EQUAL(wild_router_incr(c.router, "n", 1, 1, 0, NULL, NULL), WILD_OK);
    pid_t child = fork();
    if (child == 0) {
        char error[WILD_ERROR_BYTES];
        bool right = wild_router_incr(c.router, "n", 1, 1, 0, NULL, NULL) == WILD_NO_ANSWER &&
                     wild_pipeline_open(c.router, error) == NULL && !wild_router_check(c.router, 1000) &&
                     wild_router_endpoints(c.router, NULL, 0) == 0;
        wild_router_destroy(c.router);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CU_ASSERT_EQUAL(wild_router_incr(c.router, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 2);
    cluster_end(&c);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"threads share a router", test_threads_share_a_router},
        {"threads share a router while a replica comes and goes",
         test_threads_share_a_router_while_a_replica_comes_and_goes},
        {"threads have pipelines of one router", test_threads_have_pipelines_of_one_router},
        {"pipelines outlive a replica that comes and goes",
         test_pipelines_outlive_a_replica_that_comes_and_goes},
        {"a pipeline's reads take turns", test_a_pipelines_reads_take_turns},
        {"a full pipeline says so", test_a_full_pipeline_says_so},
        {"a pipeline's requests move on", test_a_pipelines_requests_move_on},
        {"a pipeline's requests end in time", test_a_pipelines_requests_end_in_time},
        {"requests that wait end with the router", test_requests_that_wait_end_with_the_router},
        {"a child process gets no answers and harms nobody",
         test_a_child_process_gets_no_answers_and_harms_nobody},
        CU_TEST_INFO_NULL,
    };
    return suite_run("router_threads", tests);
}
