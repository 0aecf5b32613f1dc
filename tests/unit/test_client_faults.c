/* test_client_faults.c - libwild over a link that loses, repeats and forges, and with a node that waits, is
 * busy or forgets. */
#include <sys/wait.h>

#include "client_fixture.h"

/* ---- a bad network ---- */

static void test_a_lost_request_is_sent_again_with_its_id(void)
{
    struct fixture f;
    struct wild_result result;
    unsigned executed;
    begin(&f);
    responder_order(f.node, (struct responder_orders){.lose_requests = 1});
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    CU_ASSERT(statistics(&f).retransmissions >= 1);
    CU_ASSERT(count_opcode(&f, OPCODE_INCR, &executed) >= 1);
    CU_ASSERT_EQUAL(executed, 1);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    end(&f);
}

static void test_a_lost_answer_is_asked_for_again_and_the_write_happens_once(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    for (int round = 1; round <= 5; round++) {
        responder_order(f.node, (struct responder_orders){.lose_replies = 1});
        CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
        CU_ASSERT_EQUAL(result.integer, round);
    }
    unsigned n = responder_log(f.node, f.log), executed = 0;
    for (unsigned i = 0; i < n; i++) {
        executed += f.log[i].opcode == OPCODE_INCR && f.log[i].executed;
        for (unsigned j = 0; j < i; j++) /* the same id and the same write, or another id */
            CU_ASSERT(f.log[i].opcode != OPCODE_INCR || !f.log[i].executed ||
                      f.log[i].request_id != f.log[j].request_id);
    }
    CU_ASSERT_EQUAL(executed, 5);
    CU_ASSERT(n >= 10);
    end(&f);
}

static void test_a_replayed_answer_is_refused(void)
{
    struct fixture f;
    begin(&f);
    responder_order(f.node, (struct responder_orders){.duplicate_replies = 1});
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    CU_ASSERT(holds(&f, "k", "v")); /* receives the copy on the way */
    CU_ASSERT_EQUAL(statistics(&f).datagrams_refused, 1);
    end(&f);
}

static void test_a_forged_answer_is_refused_whatever_byte_was_changed(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct fixture f;
        begin_with(&f, 20000, sealed);
        /* header, message with its one reply, tag: each byte was changed once */
        unsigned bytes = DATAGRAM_OVERHEAD_BYTES + MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES;
        responder_order(f.node, (struct responder_orders){.forge_replies = 1});
        CU_ASSERT_EQUAL(set(&f, "key", "value"), WILD_OK);
        CU_ASSERT_EQUAL(statistics(&f).datagrams_refused, bytes);
        responder_order(f.node, (struct responder_orders){.forge_replies = 1});
        CU_ASSERT(holds(&f, "key", "value"));
        CU_ASSERT(statistics(&f).datagrams_refused >= 2 * bytes);
        end(&f);
    }
}

/* A node that lies within its own session may be believed, but not with memory that is not there. */
static void test_damaged_answers_with_true_tags_do_no_harm(void)
{
    struct fixture f;
    begin(&f);
    for (unsigned i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(wild_set(f.client, &"abcdefgh"[i], 1, "some value", i, NULL, NULL), WILD_OK);
    responder_order(f.node, (struct responder_orders){.garbage = 40});
    expect_every_answer(&f, NULL);
    end(&f);
}

/* An answer belongs to an operation by its whole id and its opcode, not by the place where it would stand. */
static void test_an_answer_to_another_operation_is_none(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    wild_batch_begin(f.client); /* so that nothing is sent */
    struct wild_request requests[] = {
        {.operation = WILD_OP_GET, .key = "k", .key_length = 1},
        {.operation = WILD_OP_SET, .key = "k", .key_length = 1},
    };
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(wild_submit(f.client, &requests[i]), WILD_OK);
        unsigned index = flight_queue_take(&f.client->outbox);
        struct operation *operation = &f.client->flight[index].operation;
        struct reply reply = {.opcode = operation->opcode, .request_id = operation->request_id};
        pipeline_answer(f.client, &reply, 42, client_now());
        CU_ASSERT_EQUAL(f.client->done.count, 0); /* it was not sent yet */
        pipeline_sent(f.client, index, client_now());
        for (unsigned bit = 0; bit < 64; bit++) {
            reply.request_id = operation->request_id ^ UINT64_C(1) << bit;
            pipeline_answer(f.client, &reply, 42, client_now());
        }
        reply.request_id = operation->request_id;
        reply.opcode = OPCODE_TOUCH;
        pipeline_answer(f.client, &reply, 42, client_now());
        CU_ASSERT_EQUAL(f.client->done.count, 0);
        reply.opcode = operation->opcode;
        pipeline_answer(f.client, &reply, 42, client_now());
        CU_ASSERT_EQUAL(f.client->done.count, 1);
        pipeline_answer(f.client, &reply, 42, client_now()); /* once more, late */
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 0), 1);
        CU_ASSERT_EQUAL(result.status, WILD_OK);
    }
    CU_ASSERT_EQUAL(wild_in_flight(f.client), 0);
    end(&f);
}

static void test_answers_in_any_order_find_their_operations(void)
{
    struct fixture f;
    struct wild_result results[WILD_PIPELINE_MAX];
    bool seen[100] = {false};
    begin(&f);
    for (unsigned i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof(name), "k%u", i);
        CU_ASSERT_EQUAL(set(&f, name, name), WILD_OK);
    }
    responder_order(f.node,
                    (struct responder_orders){.reverse = true, .duplicate_replies = 30, .lose_replies = 5});
    for (unsigned i = 0; i < 100; i++) {
        char name[8];
        struct wild_request get = {.operation = WILD_OP_GET, .key = name, .tag = i};
        get.key_length = (size_t)snprintf(name, sizeof(name), "k%u", i);
        CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    }
    CU_ASSERT_EQUAL(wild_in_flight(f.client), 100);
    while (wild_in_flight(f.client) > 0) {
        size_t n = wild_poll(f.client, results, 7, 20000);
        CU_ASSERT(n > 0 && n <= 7);
        for (size_t i = 0; i < n; i++) {
            char name[8];
            uint64_t tag = results[i].tag;
            CU_ASSERT_FATAL(results[i].status == WILD_OK && tag < 100 && !seen[tag]);
            seen[tag] = true;
            CU_ASSERT_EQUAL(results[i].value_length,
                            (size_t)snprintf(name, sizeof(name), "k%u", (unsigned)tag));
            CU_ASSERT_EQUAL(memcmp(results[i].value, name, results[i].value_length), 0);
        }
    }
    CU_ASSERT_EQUAL(wild_poll(f.client, results, 7, 0), 0);
    end(&f);
}

static void test_a_silent_node_ends_in_a_time_out(void)
{
    struct fixture f;
    struct wild_result result;
    begin_with(&f, 80, false);
    responder_order(f.node, (struct responder_orders){.silent = true});
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, &result), WILD_NO_ANSWER);
    CU_ASSERT(result.latency_ns >= 80 * UINT64_C(1000000));
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    CU_ASSERT(drain(&f, WILD_NO_ANSWER, 10));
    CU_ASSERT_EQUAL(statistics(&f).timeouts, 11);
    CU_ASSERT_EQUAL(statistics(&f).operations, 11);
    /* and the client is as good as new when the node is */
    responder_order(f.node, (struct responder_orders){0});
    enum wild_status status = WILD_NO_ANSWER;
    for (int i = 0; i < 100 && status != WILD_OK; i++)
        status = set(&f, "k", "v");
    CU_ASSERT_EQUAL(status, WILD_OK);
    end(&f);
}

/* ---- a node that waits, is busy, or forgets ---- */

static void test_busy_is_tried_again_by_calls_and_shown_to_pipelines(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    responder_order(f.node, (struct responder_orders){.busy = 4});
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    responder_order(f.node, (struct responder_orders){.busy = 1});
    struct wild_request get = {.operation = WILD_OP_GET, .key = "n", .key_length = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    CU_ASSERT(drain(&f, WILD_BUSY, 1));
    end(&f);

    begin_with(&f, 60, false);
    responder_order(f.node, (struct responder_orders){.busy = 1000000});
    /* On a crowded machine the answer to the last try may come too late: then the call does not know. */
    enum wild_status status = set(&f, "k", "v");
    for (unsigned again = 0; status == WILD_NO_ANSWER && again < 50; again++)
        status = set(&f, "k", "v");
    CU_ASSERT_EQUAL(status, WILD_BUSY);
    end(&f);
}

/* BUSY comes late, when a second copy is on its way, which the node executes: had the call started over with a
 * new id, the write would have happened twice. */
static void test_busy_for_one_copy_says_nothing_about_the_others(void)
{
    struct fixture f;
    struct wild_result result;
    unsigned executed;
    begin(&f);
    responder_order(f.node, (struct responder_orders){.busy = 1, .hold_replies = 1});
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    CU_ASSERT(count_opcode(&f, OPCODE_INCR, &executed) >= 2);
    CU_ASSERT_EQUAL(executed, 1);

    /* The same in a pipeline, where BUSY would be handed out for a write that happens. */
    responder_order(f.node, (struct responder_orders){.busy = 1, .hold_replies = 1});
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    CU_ASSERT(drain(&f, WILD_OK, 1));

    /* The copy that was lost might have been executed as well: the id is repeated. */
    responder_order(f.node, (struct responder_orders){.busy = 1, .lose_requests = 1});
    CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    CU_ASSERT(drain(&f, WILD_OK, 1));
    CU_ASSERT(holds(&f, "n", "3"));
    end(&f);
}

/* Two processes that seal with one key would repeat counters, and with them an AEAD's nonces. */
static void test_a_child_process_cannot_speak_for_its_parent(void)
{
    struct fixture f;
    struct wild_result result;
    int status = -1;
    begin_with(&f, 20000, true);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        f.client->timeout_ns = 50 * MS_NS;
        bool silent = wild_incr(f.client, "n", 1, 1, 0, NULL, NULL) == WILD_NO_ANSWER;
        wild_close(f.client);
        _exit(silent ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CU_ASSERT_EQUAL(responder_closes(f.node), 0);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    end(&f);
}

/* A write that waits for the disk is no lost session: a probe tells them apart. */
static void test_a_write_that_waits_does_not_cost_the_session(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    responder_order(f.node, (struct responder_orders){.park_writes = true});
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    while (statistics(&f).retransmissions < 6)
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 10), 0);
    responder_order(f.node, (struct responder_orders){0});
    CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
    CU_ASSERT_EQUAL(result.status, WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    CU_ASSERT_EQUAL(responder_sessions(f.node), 1);
    end(&f);
}

/* A link that lost everything for long enough to raise doubt: the session was there all the time. */
static void test_a_bad_stretch_of_link_does_not_cost_the_session(void)
{
    for (unsigned lose = 3; lose < 8; lose++) {
        struct fixture f;
        struct wild_result result;
        begin(&f);
        responder_order(f.node, (struct responder_orders){.lose_replies = lose});
        CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
        CU_ASSERT_EQUAL(result.integer, 1);
        CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
        end(&f);
    }
}

static void test_after_a_restart_safe_operations_are_sent_again(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    CU_ASSERT_EQUAL(set(&f, "k", "old"), WILD_OK);
    responder_restart(f.node);
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, &result), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 1);
    responder_restart(f.node);
    CU_ASSERT_EQUAL(set(&f, "k", "new"), WILD_OK);
    CU_ASSERT(holds(&f, "k", "new"));
    responder_restart(f.node);
    CU_ASSERT_EQUAL(wild_delete(f.client, "k", 1, NULL, NULL), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 3);
    CU_ASSERT_EQUAL(responder_sessions(f.node), 4);
    end(&f);
}

static void test_after_a_restart_unsafe_writes_are_unknown_and_not_sent_again(void)
{
    struct fixture f;
    struct wild_result results[8];
    unsigned executed, ended = 0;
    begin(&f);
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    responder_order(f.node, (struct responder_orders){.park_writes = true});
    struct wild_request requests[] = {
        {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1, .tag = 0},
        {.operation = WILD_OP_FLUSH, .tag = 1},
        {.operation = WILD_OP_SET, .key = "c", .key_length = 1, .options = {.if_absent = true}, .tag = 2},
        {.operation = WILD_OP_SET, .key = "s", .key_length = 1, .value = "1", .value_length = 1, .tag = 3},
    };
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(wild_submit(f.client, &requests[i]), WILD_OK);
    while (statistics(&f).retransmissions < 4) /* so they arrived, and were executed */
        CU_ASSERT_EQUAL(wild_poll(f.client, results, 8, 10), 0);
    responder_restart(f.node);
    CU_ASSERT(responder_log(f.node, f.log) >= 4);
    responder_order(f.node, (struct responder_orders){0});
    while (wild_in_flight(f.client) > 0) {
        size_t n = wild_poll(f.client, results, 8, 20000);
        for (size_t i = 0; i < n; i++, ended++)
            CU_ASSERT_EQUAL(results[i].status, results[i].tag == 3 ? WILD_OK : WILD_UNKNOWN);
    }
    CU_ASSERT_EQUAL(ended, 4);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 1);
    CU_ASSERT_EQUAL(count_opcode(&f, OPCODE_INCR, &executed), 0);
    CU_ASSERT(holds(&f, "s", "1"));
    end(&f);
}

/* In doubt about the session, an INCR that was never sent waits for the outcome. */
static void test_what_was_never_sent_survives_the_loss_of_the_session(void)
{
    struct fixture f;
    struct wild_result result;
    unsigned executed;
    begin(&f);
    responder_restart(f.node);
    responder_order(f.node, (struct responder_orders){.silent = true});
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1, .tag = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    while (statistics(&f).retransmissions < 6) /* by now a handshake is under way */
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 10), 0);
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1, .tag = 2};
    CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    responder_order(f.node, (struct responder_orders){0});
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
        CU_ASSERT_EQUAL(result.status, result.tag == 1 ? WILD_NOT_FOUND : WILD_OK);
    }
    CU_ASSERT(count_opcode(&f, OPCODE_INCR, &executed) >= 1);
    CU_ASSERT_EQUAL(executed, 1);
    end(&f);
}

/* The node forgot an idle session: even an INCR is safe, as nothing was sent on the old one. */
static void test_a_long_idle_session_is_not_trusted_with_a_write(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    f.client->doubt_ns = 0; /* whatever pause there was, it was long */
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    responder_restart(f.node);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    CU_ASSERT(responder_sessions(f.node) >= 2);
    end(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a lost request is sent again with its id", test_a_lost_request_is_sent_again_with_its_id},
        {"a lost answer is asked for again and the write happens once",
         test_a_lost_answer_is_asked_for_again_and_the_write_happens_once},
        {"a replayed answer is refused", test_a_replayed_answer_is_refused},
        {"a forged answer is refused whatever byte was changed",
         test_a_forged_answer_is_refused_whatever_byte_was_changed},
        {"damaged answers with true tags do no harm", test_damaged_answers_with_true_tags_do_no_harm},
        {"an answer to another operation is none", test_an_answer_to_another_operation_is_none},
        {"answers in any order find their operations", test_answers_in_any_order_find_their_operations},
        {"a silent node ends in a time-out", test_a_silent_node_ends_in_a_time_out},
        {"BUSY is tried again by calls and shown to pipelines",
         test_busy_is_tried_again_by_calls_and_shown_to_pipelines},
        {"BUSY for one copy says nothing about the others",
         test_busy_for_one_copy_says_nothing_about_the_others},
        {"a child process cannot speak for its parent", test_a_child_process_cannot_speak_for_its_parent},
        {"a write that waits does not cost the session", test_a_write_that_waits_does_not_cost_the_session},
        {"a bad stretch of link does not cost the session",
         test_a_bad_stretch_of_link_does_not_cost_the_session},
        {"after a restart safe operations are sent again",
         test_after_a_restart_safe_operations_are_sent_again},
        {"after a restart unsafe writes are unknown and not sent again",
         test_after_a_restart_unsafe_writes_are_unknown_and_not_sent_again},
        {"what was never sent survives the loss of the session",
         test_what_was_never_sent_survives_the_loss_of_the_session},
        {"a long idle session is not trusted with a write",
         test_a_long_idle_session_is_not_trusted_with_a_write},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_faults", tests);
}
