/*
 * test_client_stream_faults.c - libwild over TCP with a node that cuts, damages, mixes up and ends what it
 * sends.
 */
#include <time.h>

#include "client_stream_fixture.h"

/* For each way in which an answer can fail to come, after the request was executed. */
static const struct responder_orders broken_answers[] = {
    {.cut_replies = 1, .at = 0},                  /* nothing of it, then FIN */
    {.cut_replies = 1, .at = 1},                  /* one byte */
    {.cut_replies = 1, .at = 3},                  /* within the header */
    {.cut_replies = 1, .at = 30},                 /* within the message */
    {.cut_replies = 1, .at = 30, .resets = true}, /* RST in the middle */
    {.cut_replies = 1, .at = 0, .resets = true},  /* RST alone */
    {.flip_replies = 1, .at = 0},                 /* magic */
    {.flip_replies = 1, .at = 1},                 /* kind */
    {.flip_replies = 1, .at = 20},                /* message */
    {.flip_replies = 1, .at = 45},                /* tag */
    {.close_replies = 1},                         /* CLOSE instead */
};
enum { BROKEN = sizeof(broken_answers) / sizeof(broken_answers[0]) };

static void test_a_broken_answer_to_a_safe_operation_is_asked_for_again(void)
{
    struct fixture f;
    unsigned executed;
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(set(&f, "k", "value"), WILD_OK);
    for (unsigned i = 0; i < BROKEN; i++) {
        responder_log(f.node, f.log);
        responder_order(f.node, broken_answers[i]);
        CU_ASSERT(holds(&f, "k", "value"));
        CU_ASSERT_EQUAL(count_opcode(&f, OPCODE_GET, &executed), 2);
        responder_order(f.node, broken_answers[i]);
        CU_ASSERT_EQUAL(set(&f, "k", "value"), WILD_OK);
        CU_ASSERT_EQUAL(count_opcode(&f, OPCODE_SET, &executed), 2);
    }
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 2 * BROKEN);
    CU_ASSERT_EQUAL(statistics(&f).retransmissions, 2 * BROKEN);
    end(&f);
}

static void test_a_broken_answer_to_an_unsafe_write_is_unknown_and_it_is_not_sent_again(void)
{
    struct fixture f;
    struct wild_result result;
    unsigned executed;
    struct wild_write_options absent = {.if_absent = true};
    begin_stream(&f, 20000);
    for (unsigned i = 0; i < BROKEN; i++) {
        responder_order(f.node, broken_answers[i]);
        CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, NULL), WILD_UNKNOWN);
        CU_ASSERT_EQUAL(count_opcode(&f, OPCODE_INCR, &executed), 1);
        CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 0, 0, NULL, &result), WILD_OK);
        CU_ASSERT_EQUAL(result.integer, i + 1); /* this one did happen, once */
        responder_order(f.node, broken_answers[i]);
        CU_ASSERT_EQUAL(wild_set(f.client, "c", 1, "v", 1, &absent, NULL), WILD_UNKNOWN);
        responder_order(f.node, broken_answers[i]);
        CU_ASSERT_EQUAL(wild_flush(f.client, NULL), WILD_UNKNOWN);
        CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, i + 1, 0, NULL, &result), WILD_OK);
        CU_ASSERT_EQUAL(result.integer, i + 1);
        responder_log(f.node, f.log);
    }
    end(&f);
}

/* Its record now wants a byte more than there is: nothing whole comes any more, as from a silent node. */
static void test_a_damaged_length_ends_in_a_time_out_and_a_new_connection(void)
{
    struct fixture f;
    struct wild_result result;
    begin_stream(&f, 20000);
    responder_order(f.node, (struct responder_orders){.flip_replies = 1, .at = 2});
    CU_ASSERT(submit_incr(&f));
    for (int i = 0; i < 4000 && responder_orders_left(f.node).flip_replies > 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 0), 0); /* what came is no answer */
    run_out_of_time(&f, true);
    CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
    CU_ASSERT_EQUAL(result.status, WILD_NO_ANSWER);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 2);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 1);
    end(&f);
}

/* Two operations, two records; the second is answered in the place of the first. */
static void test_answers_in_the_wrong_order_are_nobodys(void)
{
    struct fixture f;
    struct wild_result results[2];
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(set(&f, "a", "1"), WILD_OK);
    CU_ASSERT_EQUAL(set(&f, "b", "2"), WILD_OK);
    responder_order(f.node, (struct responder_orders){.swap_replies = 1});
    struct wild_request get = {.operation = WILD_OP_GET, .key = "a", .key_length = 1, .tag = 0};
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    for (int i = 0; i < 2000 && responder_log(f.node, f.log) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    get.key = "b";
    get.tag = 1;
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    take_all(&f, results, 2);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(results[i].status, WILD_OK);
        CU_ASSERT(results[i].value_length == 1 &&
                  *(const char *)results[i].value == (results[i].tag == 0 ? '1' : '2'));
    }
    CU_ASSERT_EQUAL(statistics(&f).datagrams_refused, 1);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 1);
    end(&f);
}

static void order_some_garbage(struct fixture *f, unsigned round)
{
    responder_order(f->node, (struct responder_orders){.garbage = round % 3});
}

static void test_damaged_messages_in_true_records_do_no_harm(void)
{
    struct fixture f;
    begin_stream(&f, 20000);
    expect_every_answer(&f, order_some_garbage);
    end(&f);
}

/* The first record was taken whole by the kernel, a later one was not: only the fate of the first is unknown.
 * */
static void test_what_was_not_written_whole_is_sent_again_whatever_it_is(void)
{
    struct fixture f;
    struct wild_result results[WILD_PIPELINE_MAX], result;
    unsigned unknown = 0, ok = 0;
    uint8_t key[WILD_KEY_MAX] = {'n'};
    begin_stream(&f, 20000);
    int room = 4096;
    CU_ASSERT_EQUAL(setsockopt(f.client->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    responder_order(f.node, (struct responder_orders){.deaf = true});
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = key, .key_length = sizeof(key), .delta = 1};
    /* More than both sockets hold. */
    wild_batch_begin(f.client);
    for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++)
        CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    wild_batch_end(f.client);
    uint64_t written = f.client->stream.written;
    CU_ASSERT(written < f.client->stream.made);
    responder_restart(f.node);
    responder_order(f.node, (struct responder_orders){0});
    responder_log(f.node, f.log);
    take_all(&f, results, WILD_PIPELINE_MAX);
    for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++) {
        unknown += results[i].status == WILD_UNKNOWN;
        ok += results[i].status == WILD_OK;
    }
    CU_ASSERT_EQUAL(unknown + ok, WILD_PIPELINE_MAX);
    CU_ASSERT(ok > 0);
    CU_ASSERT_EQUAL(wild_incr(f.client, key, sizeof(key), 0, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, ok);
    end(&f);
}

/* It was promoted over: what the session before executed, if anything, nobody can say any more. */
static void test_a_write_that_a_session_which_is_gone_may_have_executed_is_unknown_where_the_next_refuses_it(
    void)
{
    struct fixture f;
    struct wild_result results[2];
    struct wild_request set = {
        .operation = WILD_OP_SET, .key = "k", .key_length = 1, .value = "v", .value_length = 1};
    begin_stream(&f, 20000);
    responder_order(f.node, (struct responder_orders){.deaf = true});
    CU_ASSERT_EQUAL(wild_submit(f.client, &set), WILD_OK);
    CU_ASSERT_EQUAL(wild_poll(f.client, results, 2, 0), 0); /* it is on its way */
    responder_role(
        f.node, &(struct responder_role){
                    .mode = MODE_REPLICA, .state = STATE_SERVING, .epoch = 8, .history = 43, .node_id = 3});
    responder_restart(f.node);
    responder_order(f.node, (struct responder_orders){0});
    take_all(&f, results, 1);
    CU_ASSERT_EQUAL(results[0].status, WILD_UNKNOWN);
    /* Of one that was sent to the replica alone there is no doubt. */
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "v", 1, NULL, NULL), WILD_NOT_PRIMARY);
    end(&f);
}

static void test_requests_that_a_dying_node_never_read_are_repeated_in_order(void)
{
    struct fixture f;
    struct wild_result results[20];
    begin_stream(&f, 20000);
    for (unsigned round = 0; round < 4; round++) {
        responder_order(f.node, (struct responder_orders){.drop_records = 1, .resets = round % 2});
        for (unsigned i = 0; i < 20; i++) {
            char value[4];
            struct wild_request request = {
                .operation = WILD_OP_SET, .key = "k", .key_length = 1, .value = value, .tag = i};
            request.value_length = (size_t)snprintf(value, sizeof(value), "%u", i);
            CU_ASSERT_EQUAL(wild_submit(f.client, &request), WILD_OK);
        }
        take_all(&f, results, 20);
        for (unsigned i = 0; i < 20; i++)
            CU_ASSERT_EQUAL(results[i].status, WILD_OK);
        CU_ASSERT(holds(&f, "k", "19"));
    }
    end(&f);
}

static void test_a_node_that_ends_every_session_is_not_stormed(void)
{
    struct fixture f;
    struct wild_result result;
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    begin_stream(&f, 20000);
    responder_order(f.node, (struct responder_orders){.end_sessions = 1000000});
    responder_restart(f.node);
    unsigned before = responder_sessions(f.node);
    uint64_t started_ns = client_now();
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    while (responder_sessions(f.node) - before < 6 && wild_poll(f.client, &result, 1, 1) == 0)
        ;
    CU_ASSERT(responder_sessions(f.node) - before >= 6);
    /* With pauses of 5, 10 ... 160 ms before them; a slow machine only makes them longer. */
    CU_ASSERT(client_now() - started_ns >= (5 + 10 + 20 + 40 + 80 + 160) * MS_NS);
    run_out_of_time(&f, false);
    CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
    CU_ASSERT_EQUAL(result.status, WILD_NO_ANSWER);
    responder_order(f.node, (struct responder_orders){.end_handshakes = 3});
    for (int i = 0; i < 2; i++) /* READY and the end of the last one, if they have come */
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 0), 0);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, NULL), WILD_OK); /* it was never sent before */
    end(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a broken answer to a safe operation is asked for again",
         test_a_broken_answer_to_a_safe_operation_is_asked_for_again},
        {"a broken answer to an unsafe write is unknown and it is not sent again",
         test_a_broken_answer_to_an_unsafe_write_is_unknown_and_it_is_not_sent_again},
        {"a damaged length ends in a time-out and a new connection",
         test_a_damaged_length_ends_in_a_time_out_and_a_new_connection},
        {"answers in the wrong order are nobody's", test_answers_in_the_wrong_order_are_nobodys},
        {"damaged messages in true records do no harm", test_damaged_messages_in_true_records_do_no_harm},
        {"what was not written whole is sent again whatever it is",
         test_what_was_not_written_whole_is_sent_again_whatever_it_is},
        {"a write that a session which is gone may have executed is unknown where the next refuses it",
         test_a_write_that_a_session_which_is_gone_may_have_executed_is_unknown_where_the_next_refuses_it},
        {"requests that a dying node never read are repeated in order",
         test_requests_that_a_dying_node_never_read_are_repeated_in_order},
        {"a node that ends every session is not stormed", test_a_node_that_ends_every_session_is_not_stormed},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_stream_faults", tests);
}
