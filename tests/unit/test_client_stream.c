/* test_client_stream.c - libwild over TCP: the same operations, and a node that cuts, delays, damages, mixes
 * up and ends what it sends. */
#include <poll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client_fixture.h"
#include "record.h"

static void take_all(struct fixture *f, struct wild_result *results, unsigned wanted)
{
    unsigned n = 0;
    while (n < wanted && wild_in_flight(f->client) > 0)
        n += (unsigned)wild_poll(f->client, results + n, wanted - n, 20000);
    CU_ASSERT_EQUAL(n, wanted);
}

/*
 * As if the time-outs of all that was submitted had gone by, without anybody's clock: a machine may be slow.
 * `silence`: and as if nothing had come meanwhile, so that the connection is given up, too.
 */
static void run_out_of_time(struct fixture *f, bool silence)
{
    struct wild_client *client = f->client;
    struct stream *stream = &client->stream;
    for (unsigned i = 0; i < FLIGHTS_MAX; i++)
        client->flight[i].deadline_ns = 0;
    client->timer_ns = 0;
    if (!silence)
        return;
    stream->heard_ns = 0;
    for (unsigned i = 0; i < stream->due_count; i++)
        stream->due[(stream->due_head + i) % ANSWERS_DUE_MAX].sent_ns = 0;
}

static bool submit_incr(struct fixture *f)
{
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    return wild_submit(f->client, &incr) == WILD_OK;
}

/* ---- a node that does as it should ---- */

static void test_every_operation_has_its_answer(void)
{
    struct fixture f;
    struct wild_result result;
    struct wild_health health;
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(wild_get(f.client, "k", 1, &result), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "v", 1, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.version, 1);
    CU_ASSERT_EQUAL(result.history, 42);
    CU_ASSERT(holds(&f, "k", "v"));
    struct wild_write_options absent = {.if_absent = true};
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, "w", 1, &absent, NULL), WILD_EXISTS);
    CU_ASSERT_EQUAL(wild_touch(f.client, "k", 1, 5000, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, -5, 3, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, -2);
    CU_ASSERT_EQUAL(wild_health(f.client, &health), WILD_OK);
    CU_ASSERT_EQUAL(health.items, 2);
    CU_ASSERT_EQUAL(wild_delete(f.client, "k", 1, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_flush(f.client, NULL), WILD_OK);
    uint8_t bytes[WILD_VALUE_MAX];
    for (size_t size = 0; size <= sizeof(bytes); size += 256) {
        memset(bytes, (int)size / 5, sizeof(bytes));
        CU_ASSERT_EQUAL(wild_set(f.client, bytes, WILD_KEY_MAX, bytes, size, NULL, NULL), WILD_OK);
        CU_ASSERT_EQUAL(wild_get(f.client, bytes, WILD_KEY_MAX, &result), WILD_OK);
        CU_ASSERT(result.value_length == size && memcmp(result.value, bytes, size) == 0);
    }
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    CU_ASSERT_EQUAL(statistics(&f).datagrams_refused, 0);
    CU_ASSERT_EQUAL(statistics(&f).retransmissions, 0);
    end(&f);
}

static void test_a_batch_is_one_record(void)
{
    struct fixture f;
    begin_stream(&f, 20000);
    wild_batch_begin(f.client);
    for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++) {
        char name[8];
        struct wild_request request = {
            .operation = WILD_OP_SET, .key = name, .value = "0123456789", .value_length = 10};
        request.key_length = (size_t)snprintf(name, sizeof(name), "k%u", i);
        CU_ASSERT_EQUAL(wild_submit(f.client, &request), WILD_OK);
    }
    CU_ASSERT_EQUAL(responder_log(f.node, f.log), 0);
    wild_batch_end(f.client);
    CU_ASSERT(drain(&f, WILD_OK, WILD_PIPELINE_MAX));
    CU_ASSERT_EQUAL_FATAL(responder_log(f.node, f.log), WILD_PIPELINE_MAX);
    CU_ASSERT_EQUAL(f.log[0].kind, RECORD_DATA);
    CU_ASSERT_EQUAL(f.log[WILD_PIPELINE_MAX - 1].datagram, f.log[0].datagram);
    end(&f);
}

/* 128 values of 1,000 bytes fill eight records of answers: nothing is left out, nothing asked for twice
 * unless MORE said so. */
static void test_answers_that_fill_records_come_whole(void)
{
    struct fixture f;
    struct wild_result results[WILD_PIPELINE_MAX];
    uint8_t value[1000];
    memset(value, 'x', sizeof(value));
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(wild_set(f.client, "k", 1, value, sizeof(value), NULL, NULL), WILD_OK);
    for (int round = 0; round < 2; round++) { /* first without knowing how large values are */
        wild_batch_begin(f.client);
        struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
        for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++)
            CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
        wild_batch_end(f.client);
        take_all(&f, results, WILD_PIPELINE_MAX);
        for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++)
            CU_ASSERT(results[i].status == WILD_OK && results[i].value_length == sizeof(value));
    }
    end(&f);
}

static void test_results_come_in_the_order_of_submission(void)
{
    struct fixture f;
    struct wild_result results[WILD_PIPELINE_MAX];
    begin_stream(&f, 20000);
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++) {
        incr.tag = i;
        CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    }
    take_all(&f, results, WILD_PIPELINE_MAX);
    for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++)
        CU_ASSERT(results[i].tag == i && results[i].integer == i + 1);
    end(&f);
}

/* The node reads a few bytes at a time, and the kernel takes only parts of what is written. */
static void test_writes_that_the_kernel_takes_in_parts_arrive_whole(void)
{
    struct fixture f;
    uint8_t value[WILD_VALUE_MAX];
    struct wild_result result;
    begin_stream(&f, 20000);
    int room = 4096;
    CU_ASSERT_EQUAL(setsockopt(f.client->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    responder_order(f.node, (struct responder_orders){.read_bytes = 777});
    bool stalled = false;
    for (unsigned round = 0; round < 10; round++) {
        wild_batch_begin(f.client);
        for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++) {
            char name[8];
            struct wild_request request = {
                .operation = WILD_OP_SET, .key = name, .value = value, .value_length = sizeof(value)};
            request.key_length = (size_t)snprintf(name, sizeof(name), "k%u", i);
            memset(value, (int)(round + i), sizeof(value));
            CU_ASSERT_EQUAL(wild_submit(f.client, &request), WILD_OK);
        }
        wild_batch_end(f.client);
        stalled = stalled || f.client->stream.send_at < f.client->stream.send_end;
        CU_ASSERT(drain(&f, WILD_OK, WILD_PIPELINE_MAX));
    }
    CU_ASSERT(stalled);
    for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++) {
        char name[8];
        size_t length = (size_t)snprintf(name, sizeof(name), "k%u", i);
        memset(value, (int)(9 + i), sizeof(value));
        CU_ASSERT_EQUAL(wild_get(f.client, name, length, &result), WILD_OK);
        CU_ASSERT(result.value_length == sizeof(value) && memcmp(result.value, value, sizeof(value)) == 0);
    }
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    end(&f);
}

/* Handshake, answers and CLOSE, split after every byte of the first record's length. */
static void test_what_comes_in_parts_is_put_together_at_every_split(void)
{
    enum { REPLY_BYTES = RECORD_OVERHEAD_BYTES + MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + 5 };
    struct fixture f;
    begin_stream(&f, 20000);
    CU_ASSERT_EQUAL(set(&f, "k", "value"), WILD_OK);
    for (unsigned at = 1; at < HANDSHAKE_RESPONSE_BYTES; at++) {
        char error[WILD_ERROR_BYTES];
        responder_order(f.node, (struct responder_orders){.always_split = true, .at = at, .cookie = at % 2});
        if (at < REPLY_BYTES)
            CU_ASSERT(holds(&f, "k", "value"));
        struct wild_client *other = wild_duplicate(f.client, error);
        CU_ASSERT_PTR_NOT_NULL_FATAL(other);
        CU_ASSERT_EQUAL(wild_get(other, "k", 1, NULL), WILD_OK);
        wild_close(other);
    }
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    end(&f);
}

static void test_keys_are_changed_when_they_are_used_up(void)
{
    static const struct record_limits few = {.records = 7, .bytes = 1 << 20};
    struct fixture f;
    begin_stream(&f, 20000);
    responder_limits(f.node, &few);
    responder_restart(f.node);
    f.client->stream.limits = &few;
    for (unsigned i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    CU_ASSERT(holds(&f, "k", "v"));
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 1);
    end(&f);
}

static void test_the_descriptor_outlives_connections(void)
{
    struct fixture f;
    struct wild_result result;
    begin_stream(&f, 20000);
    int descriptor = wild_descriptor(f.client);
    unsigned woken = 0;
    for (int round = 0; round < 3; round++) {
        struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
        CU_ASSERT_EQUAL(wild_submit(f.client, &get), WILD_OK);
        while (wild_poll(f.client, &result, 1, 0) == 0) {
            struct pollfd readable = {.fd = wild_descriptor(f.client), .events = POLLIN};
            woken += poll(&readable, 1, 10) == 1;
        }
        CU_ASSERT_EQUAL(result.status, WILD_NOT_FOUND);
        CU_ASSERT_EQUAL(wild_descriptor(f.client), descriptor);
        responder_restart(f.node);
    }
    CU_ASSERT(woken > 0);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 2);
    end(&f);
}

static void test_closing_tells_the_node(void)
{
    struct fixture f;
    begin_stream(&f, 20000);
    wild_close(f.client);
    for (int i = 0; i < 2000 && responder_closes(f.node) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    CU_ASSERT_EQUAL(responder_closes(f.node), 1);
    responder_stop(f.node);
}

/* ---- a connection that ends ---- */

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

static void test_damaged_messages_in_true_records_do_no_harm(void)
{
    struct fixture f;
    struct wild_result results[WILD_PIPELINE_MAX];
    unsigned accepted = 0, finished = 0;
    begin_stream(&f, 20000);
    for (unsigned round = 0; round < 200; round++) {
        struct wild_request request = {.operation = WILD_OP_GET + round % 5,
                                       .key = &"abcdefgh"[round % 8],
                                       .key_length = 1,
                                       .value = "another value",
                                       .value_length = round % 14};
        responder_order(f.node, (struct responder_orders){.garbage = round % 3});
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

/* ---- time ---- */

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

static void test_busy_is_tried_again_by_calls_and_shown_to_pipelines(void)
{
    struct fixture f;
    struct wild_result result;
    begin_stream(&f, 20000);
    responder_order(f.node, (struct responder_orders){.busy = 4});
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    responder_order(f.node, (struct responder_orders){.busy = 1});
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    CU_ASSERT(drain(&f, WILD_BUSY, 1));
    end(&f);
}

/* Two processes that seal with one key, or read from one stream, would ruin each other. */
static void test_a_child_process_touches_nothing_of_its_parents(void)
{
    struct fixture f;
    struct wild_result result;
    int status = -1;
    begin_stream(&f, 20000);
    responder_order(f.node, (struct responder_orders){.park_writes = true});
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    CU_ASSERT_EQUAL(wild_submit(f.client, &incr), WILD_OK);
    responder_order(f.node, (struct responder_orders){0});
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
    CU_ASSERT_EQUAL(wild_poll(f.client, &result, 1, 20000), 1);
    CU_ASSERT(result.status == WILD_OK && result.integer == 1);
    CU_ASSERT_EQUAL(wild_incr(f.client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 2);
    CU_ASSERT_EQUAL(statistics(&f).reconnects, 0);
    end(&f);
}

/* ---- connecting ---- */

static void expect_refusal(struct wild_options options, const char *expected)
{
    char error[WILD_ERROR_BYTES] = "";
    options.connect_timeout_ms = options.connect_timeout_ms != 0 ? options.connect_timeout_ms : 20000;
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
    struct responder *node = responder_start_stream(CLIENT_SECRET, "127.0.0.1");
    const char *endpoint = responder_endpoint(node);
    expect_refusal((struct wild_options){.endpoint = endpoint, .insecure_no_auth = true},
                   "the secret or cluster name differs");
    expect_refusal((struct wild_options){.endpoint = "127.0.0.1:1", .insecure_no_auth = true},
                   "no answer from 127.0.0.1:1: nothing listens on that port");
    responder_order(node, (struct responder_orders){.silent = true});
    expect_refusal(
        (struct wild_options){.endpoint = endpoint, .secret = CLIENT_SECRET, .connect_timeout_ms = 300},
        "no answer from");
    CU_ASSERT_EQUAL(responder_sessions(node), 0);
    responder_stop(node);
}

static void test_ipv6_and_cookies_work(void)
{
    struct fixture f;
    f.node = responder_start_stream(CLIENT_SECRET, "::1");
    if (f.node == NULL) {
        CU_PASS("this machine has no IPv6 loopback");
        return;
    }
    responder_order(f.node, (struct responder_orders){.cookie = true});
    f.client = open_client(f.node, 20000, false);
    CU_ASSERT_EQUAL(set(&f, "k", "v"), WILD_OK);
    end(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every operation has its answer", test_every_operation_has_its_answer},
        {"a batch is one record", test_a_batch_is_one_record},
        {"answers that fill records come whole", test_answers_that_fill_records_come_whole},
        {"results come in the order of submission", test_results_come_in_the_order_of_submission},
        {"writes that the kernel takes in parts arrive whole",
         test_writes_that_the_kernel_takes_in_parts_arrive_whole},
        {"what comes in parts is put together at every split",
         test_what_comes_in_parts_is_put_together_at_every_split},
        {"keys are changed when they are used up", test_keys_are_changed_when_they_are_used_up},
        {"the descriptor outlives connections", test_the_descriptor_outlives_connections},
        {"closing tells the node", test_closing_tells_the_node},
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
        {"requests that a dying node never read are repeated in order",
         test_requests_that_a_dying_node_never_read_are_repeated_in_order},
        {"a node that ends every session is not stormed", test_a_node_that_ends_every_session_is_not_stormed},
        {"a silent node ends in a time-out and a new connection",
         test_a_silent_node_ends_in_a_time_out_and_a_new_connection},
        {"a late answer meets nobody", test_a_late_answer_meets_nobody},
        {"answers due are bounded", test_answers_due_are_bounded},
        {"an end while idle is noticed before a write is sent",
         test_an_end_while_idle_is_noticed_before_a_write_is_sent},
        {"a long idle connection is not trusted with a write",
         test_a_long_idle_connection_is_not_trusted_with_a_write},
        {"BUSY is tried again by calls and shown to pipelines",
         test_busy_is_tried_again_by_calls_and_shown_to_pipelines},
        {"a child process touches nothing of its parent's",
         test_a_child_process_touches_nothing_of_its_parents},
        {"what cannot connect says why in one line", test_what_cannot_connect_says_why_in_one_line},
        {"IPv6 and cookies work", test_ipv6_and_cookies_work},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_stream", tests);
}
