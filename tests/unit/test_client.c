/*
 * test_client.c - how libwild behaves towards a node that answers, and towards one that does not
 * (client_responder.h, over loopback). No pass or fail depends on how long something took, but for bounds that
 * only a hang exceeds.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "client_responder.h"
#include "suite.h"

#define SECRET "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* CUnit's fixtures have no argument: one pair at a time, made by `begin`. */
struct fixture {
    struct responder *node;
    struct wild_client *client;
    struct responder_entry log[RESPONDER_LOG_MAX];
};

static struct wild_client *open_client(const struct responder *node, uint32_t timeout_ms, bool sealed)
{
    char error[WILD_ERROR_BYTES];
    struct wild_options options = {.endpoint = responder_endpoint(node),
                                   .secret = SECRET,
                                   .timeout_ms = timeout_ms,
                                   .connect_timeout_ms = 10000,
                                   .sealed = sealed};
    struct wild_client *client = wild_connect(&options, error);
    if (client == NULL)
        fprintf(stderr, "%s\n", error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    return client;
}

static void begin_with(struct fixture *f, uint32_t timeout_ms, bool sealed)
{
    f->node = responder_start(SECRET, "127.0.0.1");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->node);
    f->client = open_client(f->node, timeout_ms, sealed);
}

static void begin(struct fixture *f)
{
    begin_with(f, 20000, false);
}

static void end(struct fixture *f)
{
    wild_close(f->client);
    responder_stop(f->node);
}

static struct wild_statistics statistics(const struct fixture *f)
{
    struct wild_statistics s;
    wild_statistics(f->client, &s);
    return s;
}

static unsigned count_opcode(struct fixture *f, unsigned opcode, unsigned *executed)
{
    unsigned n = responder_log(f->node, f->log), found = 0;
    *executed = 0;
    for (unsigned i = 0; i < n; i++)
        if (f->log[i].opcode == opcode)
            found++, *executed += f->log[i].executed;
    return found;
}

/* Takes every result; false when one of them is not `status`. */
static bool drain(struct fixture *f, enum wild_status status, unsigned expected)
{
    struct wild_result results[WILD_PIPELINE_MAX];
    bool all = true;
    unsigned n = 0;
    while (wild_in_flight(f->client) > 0) {
        size_t got = wild_poll(f->client, results, WILD_PIPELINE_MAX, 20000);
        for (size_t i = 0; i < got; i++, n++)
            all = all && results[i].status == status;
    }
    return all && n == expected;
}

static enum wild_status set(struct fixture *f, const char *key, const char *value)
{
    return wild_set(f->client, key, strlen(key), value, strlen(value), NULL, NULL);
}

static bool holds(struct fixture *f, const char *key, const char *value)
{
    struct wild_result result;
    return wild_get(f->client, key, strlen(key), &result) == WILD_OK &&
           result.value_length == strlen(value) && memcmp(result.value, value, strlen(value)) == 0;
}

/* ---- plain operations ---- */

static void test_every_operation_has_its_answer(void)
{
    struct fixture f;
    struct wild_result result;
    struct wild_health health;
    begin(&f);
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, &result), WILD_NOT_FOUND);
    CU_ASSERT_PTR_NULL(result.value);
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "v", 1, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.version, 1);
    CU_ASSERT_EQUAL(result.history, 42);
    CU_ASSERT(holds(&f, "k", "v"));
    struct wild_write_options absent = {.if_absent = true}, version = {.if_version = true, .version = 99};
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "w", 1, &absent, &result), WILD_EXISTS);
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "w", 1, &version, &result), WILD_VERSION_MISMATCH);
    version.version = result.version;
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "w", 1, &version, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_touch(f.client, "k", 1, 5000, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_delete(f.client, "k", 1, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_delete(f.client, "k", 1, NULL, NULL), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, -5, 3, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, -2);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 10, 3, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 8);
    CU_ASSERT_EQUAL(wild_health(f.client, &health), WILD_OK);
    CU_ASSERT_EQUAL(health.items, 1);
    CU_ASSERT_EQUAL(health.epoch, 7);
    CU_ASSERT_STRING_EQUAL(health.state, "serving");
    CU_ASSERT_EQUAL(wild_flush(f.client, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_get(f.client, "n", 1, &result), WILD_NOT_FOUND);
    end(&f);
}

static void test_keys_and_values_of_every_size_pass_unchanged(void)
{
    struct fixture f;
    struct wild_result result;
    uint8_t bytes[WILD_VALUE_MAX + 1];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    begin(&f);
    for (size_t size = 0; size <= WILD_VALUE_MAX; size += size < 20 ? 1 : 67) {
        size_t key_length = 1 + size % WILD_KEY_MAX;
        CU_ASSERT_EQUAL(wild_set(f.client, bytes, key_length, bytes, size, NULL, NULL), WILD_OK);
        CU_ASSERT_EQUAL(wild_get(f.client, bytes, key_length, &result), WILD_OK);
        CU_ASSERT_EQUAL(result.value_length, size);
        CU_ASSERT(size == 0 || memcmp(result.value, bytes, size) == 0);
    }
    CU_ASSERT_EQUAL(wild_set(f.client, bytes, WILD_KEY_MAX, bytes, WILD_VALUE_MAX, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_get(f.client, bytes, WILD_KEY_MAX, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.value_length, WILD_VALUE_MAX);
    unsigned executed, before = count_opcode(&f, OPCODE_SET, &executed);
    CU_ASSERT(before > 0);
    CU_ASSERT_EQUAL(wild_set(f.client, bytes, WILD_KEY_MAX + 1, bytes, 1, NULL, NULL), WILD_TOO_LARGE);
    CU_ASSERT_EQUAL(wild_set(f.client, bytes, 1, bytes, WILD_VALUE_MAX + 1, NULL, NULL), WILD_TOO_LARGE);
    CU_ASSERT_EQUAL(wild_set(f.client, bytes, 0, bytes, 1, NULL, NULL), WILD_BAD_REQUEST);
    struct wild_write_options two = {.if_absent = true, .if_present = true};
    CU_ASSERT_EQUAL(wild_set(f.client, bytes, 1, bytes, 1, &two, NULL), WILD_BAD_REQUEST);
    CU_ASSERT_EQUAL(wild_get(f.client, "absent", 6, NULL), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(count_opcode(&f, OPCODE_SET, &executed), 0); /* none of these was sent */
    end(&f);
}

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
    struct wild_result results[WILD_PIPELINE_MAX];
    unsigned accepted = 0, finished = 0;
    begin(&f);
    for (unsigned i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(wild_set(f.client, &"abcdefgh"[i], 1, "some value", i, NULL, NULL), WILD_OK);
    responder_order(f.node, (struct responder_orders){.garbage = 40});
    for (unsigned round = 0; round < 200; round++) {
        struct wild_request request = {.operation = WILD_OP_GET + round % 5,
                                       .key = &"abcdefgh"[round % 8],
                                       .key_length = 1,
                                       .value = "another value",
                                       .value_length = round % 14};
        wild_batch_begin(f.client);
        for (unsigned i = 0; i <= round % 5; i++)
            accepted += wild_submit(f.client, &request) == WILD_OK;
        wild_batch_end(f.client);
        while (wild_in_flight(f.client) > 0) {
            size_t n = wild_poll(f.client, results, WILD_PIPELINE_MAX, 20000);
            for (size_t i = 0; i < n; i++, finished++) {
                volatile uint8_t sum = 0; /* every byte of a value can be read */
                for (size_t at = 0; at < results[i].value_length; at++)
                    sum = (uint8_t)(sum + ((const uint8_t *)results[i].value)[at]);
                CU_ASSERT(results[i].value_length <= WILD_VALUE_MAX);
            }
        }
    }
    CU_ASSERT(accepted > 0);
    CU_ASSERT_EQUAL(finished, accepted);
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
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_BUSY);
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

/* In doubt about the session, an INCR that was never sent waits for the outcome instead of becoming unknown. */
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
    while (statistics(&f).retransmissions < 4) /* by now a handshake is under way */
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

/* ---- pipelines and batches ---- */

static void test_the_pipeline_has_an_end(void)
{
    struct fixture f;
    begin(&f);
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    for (int i = 0; i < WILD_PIPELINE_MAX; i++)
        CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_PIPELINE_FULL);
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, NULL), WILD_PIPELINE_FULL);
    CU_ASSERT(drain(&f, WILD_NOT_FOUND, WILD_PIPELINE_MAX));
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, NULL), WILD_NOT_FOUND);
    end(&f);
}

static void test_the_oldest_unanswered_write_holds_the_newest_within_one_window(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    responder_order(f.node, (struct responder_orders){.park_first_write = true});
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    for (int i = 1; i < RETRY_WINDOW_IDS; i++)
        CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_PIPELINE_FULL);
    CU_ASSERT(holds(&f, "k", "v")); /* reads are not held back */
    CU_ASSERT_EQUAL(wild_in_flight(f.client), 1);
    responder_restart(f.node); /* the only way to make it answer */
    CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
    CU_ASSERT_EQUAL(result.status, WILD_UNKNOWN);
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    end(&f);
}

static void test_a_batch_shares_datagrams(void)
{
    struct fixture f;
    begin(&f);
    char names[40][8];
    wild_batch_begin(f.client);
    for (unsigned i = 0; i < 40; i++) {
        struct wild_request request = {
            .operation = WILD_OP_SET, .key = names[i], .value = "0123456789", .value_length = 10};
        request.key_length = (size_t)snprintf(names[i], sizeof(names[i]), "k%u", i);
        CU_ASSERT_EQUAL(wild_submit(f.client, &request), WILD_OK);
    }
    CU_ASSERT_EQUAL(responder_log(f.node, f.log), 0);
    wild_batch_end(f.client);
    CU_ASSERT(drain(&f, WILD_OK, 40));
    unsigned n = responder_log(f.node, f.log);
    CU_ASSERT_FATAL(n >= 40); /* more if the machine was so slow that they were sent again */
    CU_ASSERT_EQUAL(f.log[0].datagram, f.log[1].datagram);
    CU_ASSERT_EQUAL(f.log[39].datagram, 2); /* 40 x 45 bytes in two messages of at most 1,340 */
    end(&f);
}

/* Twenty values of 1,000 bytes do not fit one reply: what MORE answers is asked for again, by itself. */
static void test_a_batch_whose_answers_do_not_fit_is_completed(void)
{
    for (unsigned hold = 0; hold < 3; hold++) { /* answers of a batch that was sent again come twice */
        struct fixture f;
        uint8_t value[1000];
        memset(value, 'x', sizeof(value));
        begin(&f);
        for (unsigned i = 0; i < 20; i++)
            CU_ASSERT_EQUAL(wild_set(f.client, &(char){(char)('a' + i)}, 1, value, sizeof(value), NULL, NULL),
                            WILD_OK);
        responder_order(f.node, (struct responder_orders){.hold_replies = hold});
        wild_batch_begin(f.client);
        for (unsigned i = 0; i < 20; i++) {
            char key = (char)('a' + i);
            struct wild_request get = {.operation = WILD_OP_GET, .key = &key, .key_length = 1};
            CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
        }
        wild_batch_end(f.client);
        CU_ASSERT(drain(&f, WILD_OK, 20));
        end(&f);
    }
}

/* Once it has seen how large values are, a client puts as few GETs into a datagram as can be answered. */
static void test_a_batch_is_no_larger_than_its_answer_can_be(void)
{
    struct fixture f;
    uint8_t value[600];
    memset(value, 'x', sizeof(value));
    begin(&f);
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, value, sizeof(value), NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, NULL), WILD_OK);
    responder_log(f.node, f.log);
    wild_batch_begin(f.client);
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    for (unsigned i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    wild_batch_end(f.client);
    CU_ASSERT(drain(&f, WILD_OK, 20));
    CU_ASSERT(responder_log(f.node, f.log) >= 20);
    CU_ASSERT_EQUAL(f.log[0].datagram, f.log[1].datagram);
    CU_ASSERT_EQUAL(f.log[0].datagram + 1, f.log[2].datagram); /* two values of 600 bytes an answer */
    end(&f);
}

static void test_a_call_may_stand_amid_a_pipeline(void)
{
    struct fixture f;
    struct wild_result results[4];
    begin(&f);
    struct wild_request request = {
        .operation = WILD_OP_SET, .key = "p", .key_length = 1, .value = "1", .value_length = 1, .tag = 77};
    wild_batch_begin(f.client);
    CU_ASSERT_EQUAL(wild_submit(f.client, &request), WILD_OK);
    CU_ASSERT_EQUAL(set(&f, "c", "2"), WILD_OK); /* sends what the batch holds as well */
    CU_ASSERT_EQUAL(wild_poll(f.client, results, 4, 20000), 1);
    CU_ASSERT_EQUAL(results[0].tag, 77);
    CU_ASSERT_EQUAL(results[0].status, WILD_OK);
    wild_batch_end(f.client);
    end(&f);
}

static void test_a_read_may_ask_for_a_version(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "v", 1, NULL, &result), WILD_OK);
    struct wild_request get = {
        .operation = WILD_OP_GET, .key = "k", .key_length = 1, .min_lsn = result.version};
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    CU_ASSERT(drain(&f, WILD_OK, 1));
    get.min_lsn = 1000;
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    CU_ASSERT(drain(&f, WILD_STALE, 1));
    end(&f);
}

static void test_the_descriptor_is_readable_when_there_is_work(void)
{
    struct fixture f;
    struct wild_result result;
    begin(&f);
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
    size_t n = 0;
    while (n == 0) {
        struct pollfd descriptor = {.fd = wild_descriptor(f.client), .events = POLLIN};
        poll(&descriptor, 1, 10);
        n = wild_poll(f.client, &result, 1, 0);
    }
    CU_ASSERT_EQUAL(result.status, WILD_NOT_FOUND);
    end(&f);
}

/* ---- sessions ---- */

static void test_a_handshake_survives_loss_and_cookies(void)
{
    for (unsigned lose = 0; lose < 4; lose++) {
        struct fixture f;
        f.node = responder_start(SECRET, "127.0.0.1");
        responder_order(f.node, (struct responder_orders){.lose_handshake = lose, .cookie = true});
        f.client = open_client(f.node, 20000, false);
        CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
        end(&f);
    }
}

static void test_a_sealed_client_sends_only_sealed_datagrams(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct fixture f;
        begin_with(&f, 20000, sealed);
        CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
        CU_ASSERT(holds(&f, "k", "v"));
        unsigned n = responder_log(f.node, f.log);
        CU_ASSERT(n >= 2);
        for (unsigned i = 0; i < n; i++)
            CU_ASSERT_EQUAL(f.log[i].kind, sealed ? DATAGRAM_SEALED : DATAGRAM_DATA);
        end(&f);
    }
}

static void test_closing_tells_the_node(void)
{
    struct fixture f;
    begin(&f);
    wild_close(f.client);
    for (int i = 0; i < 2000 && responder_closes(f.node) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    CU_ASSERT_EQUAL(responder_closes(f.node), 1);
    responder_stop(f.node);
    wild_close(NULL);
}

static void test_a_duplicate_is_a_session_of_its_own(void)
{
    struct fixture f;
    char error[WILD_ERROR_BYTES];
    begin(&f);
    struct wild_client *other = wild_duplicate(f.client, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other);
    CU_ASSERT_EQUAL(wild_set(other, "k", 1, "v", 1, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(responder_sessions(f.node), 2);
    wild_close(other);
    end(&f);
}

static void test_ipv6_endpoints_work(void)
{
    struct fixture f;
    f.node = responder_start(SECRET, "::1");
    if (f.node == NULL) {
        CU_PASS("this machine has no IPv6 loopback");
        return;
    }
    f.client = open_client(f.node, 20000, false);
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    end(&f);
}

static void expect_refusal(struct wild_options options, const char *expected)
{
    char error[WILD_ERROR_BYTES] = "";
    options.connect_timeout_ms = 150;
    struct wild_client *client = wild_connect(&options, error);
    CU_ASSERT_PTR_NULL(client);
    if (strstr(error, expected) == NULL)
        fprintf(stderr, "got \"%s\", expected \"%s\"\n", error, expected);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, expected));
    CU_ASSERT_PTR_NULL(strchr(error, '\n'));
    wild_close(client);
}

static void test_what_cannot_connect_says_why_in_one_line(void)
{
    struct responder *node = responder_start(SECRET, "127.0.0.1");
    const char *endpoint = responder_endpoint(node);
    expect_refusal((struct wild_options){.endpoint = endpoint}, "no secret");
    expect_refusal((struct wild_options){.endpoint = endpoint, .secret = "a", .insecure_no_auth = true},
                   "not several");
    expect_refusal((struct wild_options){.endpoint = endpoint, .insecure_no_auth = true},
                   "node down, or the secret or cluster name differs");
    expect_refusal((struct wild_options){.endpoint = "127.0.0.1:1", .insecure_no_auth = true},
                   "no answer from 127.0.0.1:1");
    expect_refusal((struct wild_options){.endpoint = "127.0.0.1:70000", .insecure_no_auth = true},
                   "endpoint");
    expect_refusal((struct wild_options){.endpoint = "[::1", .insecure_no_auth = true}, "endpoint");
    expect_refusal((struct wild_options){.endpoint = "", .insecure_no_auth = true}, "endpoint");
    expect_refusal((struct wild_options){.secret_file = "/nonexistent/secret"}, "/nonexistent/secret");
    CU_ASSERT_EQUAL(responder_sessions(node), 0);
    responder_stop(node);
}

static void test_a_secret_file_must_be_private(void)
{
    struct fixture f;
    char path[] = "/tmp/wild-test-secret-XXXXXX", error[WILD_ERROR_BYTES];
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0 && write(fd, SECRET "\n", sizeof(SECRET)) == sizeof(SECRET));
    f.node = responder_start(SECRET, "127.0.0.1");
    struct wild_options options = {.endpoint = responder_endpoint(f.node), .secret_file = path};
    CU_ASSERT_EQUAL(fchmod(fd, 0644), 0);
    CU_ASSERT_PTR_NULL(wild_connect(&options, error));
    CU_ASSERT_PTR_NULL(strstr(error, "wild1:"));
    CU_ASSERT_EQUAL(fchmod(fd, 0600), 0);
    f.client = wild_connect(&options, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f.client);
    end(&f);
    close(fd);
    unlink(path);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every operation has its answer", test_every_operation_has_its_answer},
        {"keys and values of every size pass unchanged", test_keys_and_values_of_every_size_pass_unchanged},
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
        {"the pipeline has an end", test_the_pipeline_has_an_end},
        {"the oldest unanswered write holds the newest within one window",
         test_the_oldest_unanswered_write_holds_the_newest_within_one_window},
        {"a batch shares datagrams", test_a_batch_shares_datagrams},
        {"a batch whose answers do not fit is completed", test_a_batch_whose_answers_do_not_fit_is_completed},
        {"a batch is no larger than its answer can be", test_a_batch_is_no_larger_than_its_answer_can_be},
        {"a call may stand amid a pipeline", test_a_call_may_stand_amid_a_pipeline},
        {"a read may ask for a version", test_a_read_may_ask_for_a_version},
        {"the descriptor is readable when there is work", test_the_descriptor_is_readable_when_there_is_work},
        {"a handshake survives loss and cookies", test_a_handshake_survives_loss_and_cookies},
        {"a sealed client sends only sealed datagrams", test_a_sealed_client_sends_only_sealed_datagrams},
        {"closing tells the node", test_closing_tells_the_node},
        {"a duplicate is a session of its own", test_a_duplicate_is_a_session_of_its_own},
        {"IPv6 endpoints work", test_ipv6_endpoints_work},
        {"what cannot connect says why in one line", test_what_cannot_connect_says_why_in_one_line},
        {"a secret file must be private", test_a_secret_file_must_be_private},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client", tests);
}
