/*
 * test_client_stream.c - libwild over TCP, from connecting to closing: the same operations, batches, keys and
 * descriptors.
 */
#include <poll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client_stream_fixture.h"
#include "record.h"

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
