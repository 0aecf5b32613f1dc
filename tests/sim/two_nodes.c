/*
 * two_nodes.c - two whole nodes in one process, joined by net_ring ports, under a virtual clock: each passes
 * the request tests, over a clean link and over one that loses, repeats and reorders; the same seed gives the
 * same run, frame by frame; nothing is left behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/seeded.h"
#include "../unit/suite.h"
#include "../unit/test_eal.h"
#include "hub.h"
#include "request_tests.h"

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const char other_secret[] = "wild1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";

static struct rte_mempool *pool;
static uint64_t seed;
static struct hub hub;

/* Empties the table, so that each test finds nothing. */
static bool flush(struct test_client *client)
{
    struct operation operation = {.opcode = OPCODE_FLUSH};
    struct reply replies[TEST_CLIENT_OPERATIONS];

    return test_client_request(client, &operation, 1, replies) == 1 && replies[0].status == STATUS_OK;
}

/* Every request test against node `which`, over the link as it is now. */
static void run_request_tests(unsigned which, unsigned suites)
{
    struct datagram_link link;
    struct test_client client;
    uint64_t entropy = seeded_start(seed + 1000);

    hub.talks_to = which;
    hub.inbox_count = 0;
    link = hub_link(&hub);
    CU_ASSERT_FATAL(test_client_connect(&client, &link, secret, suites, seeded_source(&entropy)));
    for (unsigned i = 0; i < request_tests_count; i++) {
        const char *wrong = flush(&client) ? request_tests[i].run(&client) : "FLUSH was not answered";

        if (wrong != NULL) {
            fprintf(stderr, "node %u, %s: not so: %s (WILD_SEED=%llu)\n", which, request_tests[i].name, wrong,
                    (unsigned long long)seed);
            CU_FAIL("a request test");
        }
    }
    test_client_close(&client);
    /* The session's end needs no answer, only time to arrive. */
    link.pass_time(link.state, 5);
}

/* Frames in hub and nodes are given back: what is in use before is in use after. */
static void with_two_nodes(const struct hub_faults *faults, void (*test)(void))
{
    unsigned before = rte_mempool_avail_count(pool);

    hub_start(&hub, pool, 2, seed, secret);
    hub.faults = *faults;
    test();
    hub_stop(&hub);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), before);
}

static void both_nodes(void)
{
    run_request_tests(0, SUITE_MAC);
    run_request_tests(1, SUITE_AES_256_GCM | SUITE_CHACHA20_POLY1305);
    CU_ASSERT_EQUAL(hub.unexpected_frames, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct node_facts facts;

        node_facts(hub.nodes[i].node, &facts);
        /* The log that control took is the whole log. */
        CU_ASSERT_EQUAL(facts.lsn + 1 - (UINT64_C(1) << 32), facts.log_records);
        CU_ASSERT_TRUE(facts.log_records > 0);
        /* Frames between the client and the other node were seen, and left alone. */
        CU_ASSERT_TRUE(node_counter(hub.nodes[i].node, COUNTER_eth_not_ours) > 0);
    }
}

static void both_nodes_pass_the_request_tests_over_a_clean_link(void)
{
    with_two_nodes(&(struct hub_faults){0}, both_nodes);
}

static void both_nodes_pass_the_request_tests_over_a_bad_link(void)
{
    with_two_nodes(&(struct hub_faults){.lose_percent = 8, .repeat_percent = 8, .delay_steps_max = 20},
                   both_nodes);
}

static uint64_t trace_of_a_run(void)
{
    with_two_nodes(&(struct hub_faults){.lose_percent = 3, .repeat_percent = 3, .delay_steps_max = 5},
                   both_nodes);
    return hub.trace;
}

static void the_same_seed_gives_the_same_frames(void)
{
    uint64_t first = trace_of_a_run();

    CU_ASSERT_EQUAL(trace_of_a_run(), first);
    seed++;
    CU_ASSERT_NOT_EQUAL(trace_of_a_run(), first);
    seed--;
}

static void drain(void)
{
    struct datagram_link link = hub_link(&hub);
    struct test_client client, late;
    uint64_t entropy = seeded_start(seed);
    struct operation operation = {.opcode = OPCODE_SET, .key = (const uint8_t *)"k", .key_length = 1};
    struct reply replies[TEST_CLIENT_OPERATIONS];

    CU_ASSERT_FATAL(test_client_connect(&client, &link, secret, SUITE_MAC, seeded_source(&entropy)));
    CU_ASSERT_EQUAL(test_client_request(&client, &operation, 1, replies), 1);
    CU_ASSERT_FALSE(node_drained(hub.nodes[0].node));
    /* A request is in the receive ring when the signal comes: it is answered. */
    operation.request_id = 0;
    node_drain(hub.nodes[0].node);
    CU_ASSERT_EQUAL(test_client_request(&client, &operation, 1, replies), 1);
    CU_ASSERT_EQUAL(replies[0].status, STATUS_OK);
    for (unsigned i = 0; i < 3; i++)
        hub_step(&hub);
    CU_ASSERT_TRUE(node_drained(hub.nodes[0].node));
    CU_ASSERT_FALSE(test_client_connect(&late, &link, secret, SUITE_MAC, seeded_source(&entropy)));
    hub.talks_to = 1; /* the other node is another node */
    CU_ASSERT_FALSE(node_drained(hub.nodes[1].node));
    CU_ASSERT_TRUE(test_client_connect(&late, &link, secret, SUITE_MAC, seeded_source(&entropy)));
}

static void a_draining_node_answers_what_it_received_and_takes_no_one_new(void)
{
    with_two_nodes(&(struct hub_faults){0}, drain);
}

static void strangers(void)
{
    struct datagram_link link = hub_link(&hub);
    struct test_client client;
    uint64_t entropy = seeded_start(seed);
    uint64_t sent = node_counter(hub.nodes[0].node, COUNTER_udp_replies);

    CU_ASSERT_FALSE(test_client_connect(&client, &link, other_secret, SUITE_MAC, seeded_source(&entropy)));
    CU_ASSERT_FALSE(test_client_connect(&client, &link, NULL, SUITE_MAC, seeded_source(&entropy)));
    CU_ASSERT_EQUAL(node_counter(hub.nodes[0].node, COUNTER_udp_replies), sent);
}

static void a_wrong_secret_is_met_with_silence(void)
{
    with_two_nodes(&(struct hub_faults){0}, strangers);
}

static void many_rounds(void)
{
    struct datagram_link link = hub_link(&hub);
    uint64_t entropy = seeded_start(seed);

    for (unsigned i = 0; i < 1000; i++) {
        struct operation operation = {.opcode = OPCODE_SET, .key = (const uint8_t *)"k", .key_length = 1};
        struct reply replies[TEST_CLIENT_OPERATIONS];
        struct test_client client;

        CU_ASSERT_FATAL(test_client_connect(&client, &link, secret, SUITE_MAC, seeded_source(&entropy)));
        CU_ASSERT_EQUAL(test_client_request(&client, &operation, 1, replies), 1);
        test_client_close(&client);
    }
}

static void a_thousand_sessions_one_after_the_other_leave_nothing_behind(void)
{
    with_two_nodes(&(struct hub_faults){0}, many_rounds);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"both_nodes_pass_the_request_tests_over_a_clean_link",
         both_nodes_pass_the_request_tests_over_a_clean_link},
        {"both_nodes_pass_the_request_tests_over_a_bad_link",
         both_nodes_pass_the_request_tests_over_a_bad_link},
        {"the_same_seed_gives_the_same_frames", the_same_seed_gives_the_same_frames},
        {"a_draining_node_answers_what_it_received_and_takes_no_one_new",
         a_draining_node_answers_what_it_received_and_takes_no_one_new},
        {"a_wrong_secret_is_met_with_silence", a_wrong_secret_is_met_with_silence},
        {"a_thousand_sessions_one_after_the_other_leave_nothing_behind",
         a_thousand_sessions_one_after_the_other_leave_nothing_behind},
        CU_TEST_INFO_NULL,
    };

    seed = seeded_from_environment(42);
    printf("WILD_SEED=%llu\n", (unsigned long long)seed);
    if (keys_start() != 0)
        return 1;
    test_eal_start();
    pool = test_eal_pool("two_nodes", 8192);
    return suite_run("two_nodes", tests);
}
