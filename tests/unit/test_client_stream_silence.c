/*
 * test_client_stream_silence.c - libwild over TCP when answers come late or not at all, and when a connection
 * ended or lost its peer while nothing was asked.
 */
#include <time.h>

#include "client_stream_fixture.h"

static void test_a_silent_node_ends_in_a_time_out_and_a_new_connection(void)
{
    struct fixture f;
    struct wild_result result;
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    responder_order(f.node, (struct responder_orders){.silent = true});
    f.client->timeout_ns = 100 * MS_NS;
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, &result), WILD_NO_ANSWER);
    CU_ASSERT(result.latency_ns >= 100 * MS_NS);
    for (int i = 0; i < 10; i++)
        CU_ASSERT(submit_incr(&f));
    CU_ASSERT(drain(&f, WILD_NO_ANSWER, 10));
    CU_ASSERT_EQUAL(statistics(&f).timeouts, 11);
    responder_order(f.node, (struct responder_orders){0});
    f.client->timeout_ns = 20000 * MS_NS;
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    CU_ASSERT(statistics(&f).reconnects >= 1);
    end(&f);
}

/* A late answer comes on a connection that lives on, and its request has been given up: the next ones get
 * theirs. */
static void test_a_late_answer_meets_nobody(void)
{
    struct fixture f;
    struct wild_result result;
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(set(&f, "a", "old"), WILD_OK);
    CU_ASSERT_EQUAL(set(&f, "b", "new"), WILD_OK);
    for (unsigned round = 0; round < 20; round++) {
        responder_order(f.node, (struct responder_orders){.park_writes = true}); /* and all answers behind */
        CU_ASSERT(submit_incr(&f));
        run_out_of_time(&f, false);
        struct wild_request get = {.operation = WILD_OP_GET, .key = "a", .key_length = 1};
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
        CU_ASSERT_EQUAL(result.status, WILD_NO_ANSWER);
        CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK); /* takes the flight that is free again */
        responder_order(f.node, (struct responder_orders){0});
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
        CU_ASSERT(result.status == WILD_OK && result.value_length == 3 &&
                  memcmp(result.value, "old", 3) == 0);
        CU_ASSERT(holds(&f, "b", "new"));
    }
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    CU_ASSERT_EQUAL(statistics(&f).timeouts, 20);
    end(&f);
}

/* More than the ring of answers due can hold: the rest waits, and nothing is sent that no ring remembers. */
static void test_answers_due_are_bounded(void)
{
    struct fixture f;
    struct wild_result results[WILD_PIPELINE_MAX];
    begin_stream(&f, 20000);
    responder_order(f.node, (struct responder_orders){.park_writes = true});
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++)
            CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
        run_out_of_time(&f, false);
        take_all(&f, results, WILD_PIPELINE_MAX);
        CU_ASSERT(f.client->stream.due_count <= ANSWERS_DUE_MAX);
    }
    CU_ASSERT(f.client->stream.due_count > ANSWERS_DUE_MAX - FLIGHTS_MAX);
    responder_order(f.node, (struct responder_orders){0});
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, NULL), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    end(&f);
}

static void test_an_end_while_idle_is_noticed_before_a_write_is_sent(void)
{
    struct fixture f;
    struct wild_result result;
    begin_stream(&f, 20000);
    f.client->doubt_ns = 0;
    for (int round = 1; round <= 10; round++) {
        CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
        CU_ASSERT_EQUAL(result.integer, 1);
        responder_restart(f.node);
    }
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 9);
    end(&f);
}

/* Its host is gone without a word: even an INCR is safe, as only a probe was sent on the old connection. */
static void test_a_long_idle_connection_is_not_trusted_with_a_write(void)
{
    struct fixture f;
    struct wild_result result;
    unsigned executed;
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    f.client->doubt_ns = 0;
    responder_order(f.node, (struct responder_orders){.silent = true});
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    CU_ASSERT(submit_incr(&f));
    CU_ASSERT(f.client->stream.doubted && f.client->outbox.count == 1);
    f.client->stream.retry_ns = 0; /* the probe's time is over */
    unsigned state = STREAM_LIVE;
    while (state == STREAM_LIVE) { /* the probe is given up */
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 5), 0);
        state = f.client->stream.state;
    }
    responder_order(f.node, (struct responder_orders){0});
    responder_restart(f.node); /* forgets what it took in while it was silent */
    CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
    CU_ASSERT_EQUAL(result.status, WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    CU_ASSERT_EQUAL(count_opcode(&f, OPCODE_INCR, &executed), 1);
    end(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a silent node ends in a time-out and a new connection",
         test_a_silent_node_ends_in_a_time_out_and_a_new_connection},
        {"a late answer meets nobody", test_a_late_answer_meets_nobody},
        {"answers due are bounded", test_answers_due_are_bounded},
        {"an end while idle is noticed before a write is sent",
         test_an_end_while_idle_is_noticed_before_a_write_is_sent},
        {"a long idle connection is not trusted with a write",
         test_a_long_idle_connection_is_not_trusted_with_a_write},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_stream_silence", tests);
}
