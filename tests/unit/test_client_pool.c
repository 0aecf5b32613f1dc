/* test_client_pool.c - threads share a pool's clients. What counts is the run under ThreadSanitizer. */
#include <pthread.h>
#include <time.h>

#include "client_fixture.h"

enum { THREADS = 8, ROUNDS = 40 };

static struct wild_pool *open_pool(const struct responder *node, uint32_t most, uint32_t connect_timeout_ms)
{
    char error[WILD_ERROR_BYTES];
    struct wild_options options = {.endpoint = responder_endpoint(node),
                                   .secret = CLIENT_SECRET,
                                   .timeout_ms = 20000,
                                   .connect_timeout_ms = connect_timeout_ms,
                                   .connections_max = most};
    struct wild_pool *pool = wild_pool_create(&options, error);
    if (pool == NULL)
        fprintf(stderr, "%s\n", error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    return pool;
}

struct worker {
    pthread_t thread;
    struct wild_pool *pool;
    unsigned done, abandon;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    char error[WILD_ERROR_BYTES];
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct wild_client *client = wild_pool_take(worker->pool, error);
        if (client == NULL)
            return NULL;
        worker->done += wild_incr(client, "n", 1, 1, 0, NULL, NULL) == WILD_OK;
        if (worker->abandon > 0 && i % worker->abandon == 0) {
            struct wild_request get = {.operation = WILD_OP_GET, .key = "n", .key_length = 1};
            wild_submit(client, &get);
        }
        wild_pool_give(worker->pool, client);
    }
    return NULL;
}

static void work_all(struct responder *node, uint32_t connections, unsigned abandon)
{
    struct wild_pool *pool = open_pool(node, connections, 20000);
    struct worker workers[THREADS];
    char error[WILD_ERROR_BYTES];
    struct wild_result result;
    unsigned done = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.pool = pool, .abandon = abandon};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
    }
    CU_ASSERT_EQUAL(done, THREADS * ROUNDS);
    struct wild_client *client = wild_pool_take(pool, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    CU_ASSERT_EQUAL(wild_incr(client, "n", 1, 0, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, THREADS * ROUNDS);
    wild_pool_give(pool, client);
    wild_pool_destroy(pool);
}

static void test_threads_share_few_connections(void)
{
    struct responder *node = responder_start_stream(CLIENT_SECRET, "127.0.0.1");
    work_all(node, 3, 0);
    CU_ASSERT(responder_sessions(node) <= 3);
    responder_stop(node);
}

/* The next owner never meets what another left behind. */
static void test_a_client_given_back_with_operations_in_flight_is_replaced(void)
{
    struct responder *node = responder_start_stream(CLIENT_SECRET, "127.0.0.1");
    work_all(node, 2, 10);
    responder_stop(node);

    node = responder_start_stream(CLIENT_SECRET, "127.0.0.1");
    struct wild_pool *pool = open_pool(node, 1, 20000);
    char error[WILD_ERROR_BYTES];
    struct wild_client *client = wild_pool_take(pool, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    CU_ASSERT_EQUAL(wild_submit(client, &get), WILD_OK);
    wild_pool_give(pool, client);
    client = wild_pool_take(pool, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    CU_ASSERT_EQUAL(wild_in_flight(client), 0);
    CU_ASSERT_EQUAL(wild_get(client, "k", 1, NULL), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(responder_sessions(node), 2);
    wild_pool_give(pool, client);
    wild_pool_destroy(pool);
    responder_stop(node);
}

static void test_the_maximum_holds_and_says_so(void)
{
    struct responder *node = responder_start_stream(CLIENT_SECRET, "127.0.0.1");
    struct wild_pool *pool = open_pool(node, 2, 1000);
    char error[WILD_ERROR_BYTES];
    struct wild_client *first = wild_pool_take(pool, error), *second = wild_pool_take(pool, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    CU_ASSERT_PTR_NOT_EQUAL(first, second);
    CU_ASSERT_PTR_NULL(wild_pool_take(pool, error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "all 2 connections to 127.0.0.1"));
    wild_pool_give(pool, first);
    CU_ASSERT_PTR_EQUAL(wild_pool_take(pool, error), first);
    wild_pool_give(pool, second);
    wild_pool_give(pool, first);
    wild_pool_give(pool, NULL);
    wild_pool_destroy(pool);
    wild_pool_destroy(NULL);
    responder_stop(node);
}

static void test_a_place_whose_client_does_not_connect_is_free_again(void)
{
    struct responder *node = responder_start_stream(CLIENT_SECRET, "127.0.0.1");
    struct wild_pool *pool = open_pool(node, 2, 20000);
    char error[WILD_ERROR_BYTES];
    struct wild_client *first = wild_pool_take(pool, error);
    responder_order(node, (struct responder_orders){.end_handshakes = 3});
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_PTR_NULL(wild_pool_take(pool, error));
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "ended the handshake"));
    }
    struct wild_client *second = wild_pool_take(pool, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    wild_pool_give(pool, first);
    wild_pool_give(pool, second);
    wild_pool_destroy(pool);
    responder_stop(node);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"threads share few connections", test_threads_share_few_connections},
        {"a client given back with operations in flight is replaced",
         test_a_client_given_back_with_operations_in_flight_is_replaced},
        {"the maximum holds and says so", test_the_maximum_holds_and_says_so},
        {"a place whose client does not connect is free again",
         test_a_place_whose_client_does_not_connect_is_free_again},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_pool", tests);
}
