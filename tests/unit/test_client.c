/* test_client.c - libwild towards a node that answers: operations, pipelines, batches, sessions. */
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client_fixture.h"

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
        f.node = responder_start(CLIENT_SECRET, "127.0.0.1");
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
    f.node = responder_start(CLIENT_SECRET, "::1");
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
    options.transport = WILD_TRANSPORT_UDP;
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
    struct responder *node = responder_start(CLIENT_SECRET, "127.0.0.1");
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
    CU_ASSERT_FATAL(fd >= 0 && write(fd, CLIENT_SECRET "\n", sizeof(CLIENT_SECRET)) == sizeof(CLIENT_SECRET));
    f.node = responder_start(CLIENT_SECRET, "127.0.0.1");
    struct wild_options options = {
        .endpoint = responder_endpoint(f.node), .secret_file = path, .transport = WILD_TRANSPORT_UDP};
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
