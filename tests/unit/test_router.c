/*
 * test_router.c - where a router's requests go: turns and weights, preferences, what a read may not miss, and
 * options that are refused.
 */
#include "router_fixture.h"

static void test_writes_go_to_the_primary_and_reads_to_replicas(void)
{
    struct cluster c;
    struct wild_result result;
    cluster_begin(&c, 3);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT_EQUAL(wild_router_incr(c.router, "n", 1, 41, 1, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 42);
    CU_ASSERT_EQUAL(wild_router_touch(c.router, "k", 1, 5000, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_router_delete(c.router, "k", 1, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(look(&c, "k"), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(wild_router_flush(c.router, NULL), WILD_OK);
    CU_ASSERT_EQUAL(look(&c, "n"), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(executed(&c, 0, OPCODE_GET), 0);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_GET) + executed(&c, 2, OPCODE_GET), 3);
    CU_ASSERT_EQUAL(router_statistics(&c).writes, 5);
    CU_ASSERT_EQUAL(router_statistics(&c).reads, 3);
    CU_ASSERT_EQUAL(endpoint(&c, 0).is_primary, true);
    CU_ASSERT_STRING_EQUAL(endpoint(&c, 1).mode, "replica");
    CU_ASSERT_EQUAL(endpoint(&c, 1).node.node_id, 101);
    cluster_end(&c);
}

static void test_the_same_over_datagrams(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 3, false);
    struct wild_router_options options = router_options(&c, replicas);
    options.max_connections_per_endpoint = 1; /* a datagram responder has one session: the latest */
    router_open(&c, &options);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    CU_ASSERT(reads(&c, "k", "v"));
    cluster_end(&c);
}

/* All reads, by one thread: what each replica has got. */
static void read_many(struct cluster *c, unsigned n)
{
    forget_logs(c);
    for (unsigned i = 0; i < n; i++)
        CU_ASSERT_EQUAL(look(c, "k"), WILD_OK);
}

static void test_reads_take_turns_within_two_percent(void)
{
    struct cluster c;
    cluster_begin(&c, 4);
    put(&c, "k", "v");
    read_many(&c, 1000);
    for (unsigned i = 1; i < 4; i++) {
        unsigned n = executed(&c, i, OPCODE_GET);
        CU_ASSERT(n * 100 >= 333 * 98 && n * 100 <= 334 * 102);
    }
    cluster_end(&c);
}

static void test_weights_are_kept(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 4, true);
    struct wild_router_options options = router_options(&c, replicas);
    replicas[1].weight = 2;
    replicas[2].weight = 5;
    router_open(&c, &options);
    put(&c, "k", "v");
    read_many(&c, 800);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_GET), 100);
    CU_ASSERT_EQUAL(executed(&c, 2, OPCODE_GET), 200);
    CU_ASSERT_EQUAL(executed(&c, 3, OPCODE_GET), 500);
    CU_ASSERT_EQUAL(endpoint(&c, 3).weight, 5);
    cluster_end(&c);
}

/* GETs at each node under a preference that asks for no figures, of 300. */
static void prefer(enum wild_read_preference preference, unsigned gets[3])
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 3, true);
    struct wild_router_options options = router_options(&c, replicas);
    options.read_preference = preference;
    router_open(&c, &options);
    put(&c, "k", "v");
    read_many(&c, 300);
    for (unsigned i = 0; i < 3; i++)
        gets[i] = executed(&c, i, OPCODE_GET);
    cluster_end(&c);
}

static void test_preferences(void)
{
    unsigned gets[3];
    prefer(WILD_READ_REPLICA, gets);
    CU_ASSERT(gets[0] == 0 && gets[1] == 150 && gets[2] == 150);
    prefer(WILD_READ_PRIMARY, gets);
    CU_ASSERT(gets[0] == 300 && gets[1] == 0 && gets[2] == 0);
    prefer(WILD_READ_ANY, gets);
    CU_ASSERT(gets[0] == 100 && gets[1] == 100 && gets[2] == 100);
}

/* Far more than a slow machine takes for an answer on loopback: who is near is no matter of luck. */
enum { FAR_MS = 30, READS_ROUND = 10 };

static void set_distance(struct cluster *c, unsigned node, unsigned ms)
{
    responder_order(c->node[node], (struct responder_orders){.late_ms = ms});
}

/* Whether nearly all reads go there. The machine may stand still for a moment, and make somebody else the nearest. */
static bool is_read(struct cluster *c, unsigned node)
{
    read_many(c, READS_ROUND);
    return executed(c, node, OPCODE_GET) >= READS_ROUND * 8 / 10;
}

static bool becomes_read(struct cluster *c, unsigned node)
{
    for (unsigned i = 0; i < 20; i++) {
        if (is_read(c, node))
            return true;
        nap_ms(20); /* health checks tell of nodes that nobody reads */
    }
    return false;
}

/* check_ms 0: by default, which is longer than the test. */
static void begin_with_distances(struct cluster *c, const unsigned ms[3], uint32_t check_ms)
{
    struct wild_replica replicas[NODES_MAX];
    cluster_start(c, 3, true);
    for (unsigned i = 0; i < 3; i++)
        set_distance(c, i, ms[i]);
    struct wild_router_options options = router_options(c, replicas);
    options.read_preference = WILD_READ_NEAREST;
    options.health_check_interval_ms = check_ms;
    router_open(c, &options);
    put(c, "k", "v");
}

static void test_the_nearest_node_is_read_whichever_it_is(void)
{
    struct cluster c;
    for (unsigned near = 0; near < 3; near++) { /* the primary is one of them */
        unsigned ms[3] = {FAR_MS, FAR_MS, FAR_MS};
        ms[near] = 0;
        begin_with_distances(&c, ms, 0);
        CU_ASSERT(is_read(&c, near));
        cluster_end(&c);
    }
}

static void test_a_node_that_gets_slower_is_left_as_reads_there_take_longer(void)
{
    static const unsigned ms[3] = {4 * FAR_MS, 0, FAR_MS};
    struct cluster c;
    begin_with_distances(&c, ms, 0);
    CU_ASSERT(is_read(&c, 1));
    set_distance(&c, 1, 6 * FAR_MS);
    CU_ASSERT(becomes_read(&c, 2));
    CU_ASSERT_EQUAL(router_statistics(&c).failed, 0);
    cluster_end(&c);
}

/* Nobody reads there: its health checks tell how far it is now. */
static void test_a_node_that_has_become_the_nearest_is_found(void)
{
    static const unsigned ms[3] = {FAR_MS, 0, FAR_MS};
    struct cluster c;
    begin_with_distances(&c, ms, 20);
    CU_ASSERT(is_read(&c, 1));
    set_distance(&c, 1, FAR_MS);
    set_distance(&c, 2, 0);
    CU_ASSERT(becomes_read(&c, 2));
    set_distance(&c, 2, FAR_MS);
    set_distance(&c, 1, 0);
    CU_ASSERT(becomes_read(&c, 1));
    cluster_end(&c);
}

static void test_a_node_with_data_of_its_own_is_no_replica(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 3, true);
    set_role(&c, 1, MODE_STANDALONE, 99);
    struct wild_router_options options = router_options(&c, replicas);
    router_open(&c, &options);
    put(&c, "k", "v");
    read_many(&c, 20);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_GET), 0);
    CU_ASSERT_EQUAL(executed(&c, 2, OPCODE_GET), 20);
    CU_ASSERT_PTR_NOT_NULL(strstr(endpoint(&c, 1).why, "not a replica"));
    CU_ASSERT_EQUAL(router_statistics(&c).epoch, 7); /* nor does its epoch count */
    cluster_end(&c);
}

static void test_one_standalone_node_is_enough(void)
{
    struct cluster c;
    struct wild_router_options options;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 1, true);
    set_role(&c, 0, MODE_STANDALONE, 1);
    options = router_options(&c, replicas);
    router_open(&c, &options);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    CU_ASSERT(reads(&c, "k", "v"));
    cluster_end(&c);
}

static void test_nodes_have_names(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    char name[64];
    cluster_start(&c, 1, true);
    struct wild_router_options options = router_options(&c, replicas);
    snprintf(name, sizeof(name), "localhost:%s", strchr(responder_endpoint(c.node[0]), ':') + 1);
    options.primary = name;
    replicas[0] = (struct wild_replica){.endpoint = "no-such-host.invalid:7879"};
    options.replica_count = 1;
    router_open(&c, &options);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    CU_ASSERT(reads(&c, "k", "v"));
    for (unsigned i = 0; i < 4000 && endpoint(&c, 1).checks == 0; i++)
        nap_ms(5);
    CU_ASSERT_PTR_NOT_NULL(strstr(endpoint(&c, 1).why, "cannot resolve no-such-host.invalid:7879"));
    cluster_end(&c);
}

/* ---- what was written is read ---- */

static void test_a_replica_that_is_behind_passes_the_read_on(void)
{
    struct cluster c;
    cluster_begin(&c, 3);
    put(&c, "k", "old");
    struct wild_token token = {.lsn = 1, .history = 42};
    struct wild_request request = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    CU_ASSERT_EQUAL(wild_router_call(c.router, &request, &token, NULL, NULL), WILD_OK);
    forget_logs(&c);
    token.lsn = 1000000; /* nobody has that, the primary is asked last */
    CU_ASSERT_EQUAL(wild_router_call(c.router, &request, &token, NULL, NULL), WILD_STALE);
    unsigned at[3];
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = responder_log(c.node[i], c.log);
        at[i] = 0;
        for (unsigned j = 0; j < n; j++)
            if (c.log[j].opcode == OPCODE_GET) {
                at[i]++;
                CU_ASSERT(c.log[j].flags & FLAG_MIN_LSN);
                CU_ASSERT_EQUAL(c.log[j].version, 1000000);
            }
    }
    CU_ASSERT(at[0] == 1 && at[1] == 1 && at[2] == 1);
    CU_ASSERT_EQUAL(endpoint(&c, 1).stale, 1);
    CU_ASSERT(endpoint(&c, 1).serves); /* to be behind is no illness */
    cluster_end(&c);
}

static void test_reads_ask_for_what_was_written(void)
{
    struct cluster c;
    struct wild_result result;
    struct wild_replica replicas[NODES_MAX];
    cluster_begin(&c, 2);
    CU_ASSERT_EQUAL(wild_router_set(c.router, "k", 1, "v", 1, NULL, &result), WILD_OK);
    forget_logs(&c);
    look(&c, "k");
    CU_ASSERT(responder_log(c.node[1], c.log) >= 1);
    CU_ASSERT_EQUAL(c.log[0].opcode, OPCODE_GET);
    CU_ASSERT_EQUAL(c.log[0].flags, FLAG_MIN_LSN);
    CU_ASSERT_EQUAL(c.log[0].version, result.version);
    CU_ASSERT_EQUAL(c.log[0].epoch, 7);
    wild_router_destroy(c.router);

    struct wild_router_options options = router_options(&c, replicas);
    options.reads_may_be_stale = true;
    router_open(&c, &options);
    put(&c, "k", "w");
    forget_logs(&c);
    look(&c, "k");
    CU_ASSERT(responder_log(c.node[1], c.log) >= 1);
    CU_ASSERT_EQUAL(c.log[0].flags, 0);
    cluster_end(&c);
}

static void test_tokens_keep_users_apart(void)
{
    struct cluster c;
    struct wild_result result;
    struct wild_token mine = {0}, yours = {0};
    struct wild_request set = {
        .operation = WILD_OP_SET, .key = "k", .key_length = 1, .value = "v", .value_length = 1};
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    cluster_begin(&c, 2);
    CU_ASSERT_EQUAL(wild_router_call(c.router, &set, &mine, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(mine.lsn, result.version);
    CU_ASSERT_EQUAL(mine.history, 42);
    forget_logs(&c);
    CU_ASSERT_EQUAL(wild_router_call(c.router, &get, &yours, NULL, NULL), WILD_OK);
    CU_ASSERT(responder_log(c.node[1], c.log) >= 1);
    CU_ASSERT_EQUAL(c.log[0].flags, 0);
    CU_ASSERT_EQUAL(yours.lsn, 0);
    cluster_end(&c);
}

static void test_what_is_lost_is_said_once(void)
{
    struct cluster c;
    cluster_begin(&c, 2);
    put(&c, "k", "v");
    responder_order(c.node[1], (struct responder_orders){.lost = 1});
    CU_ASSERT_EQUAL(look(&c, "k"), WILD_LOST);
    responder_order(c.node[1], (struct responder_orders){.lost = 1});
    CU_ASSERT_EQUAL(look(&c, "k"), WILD_OK); /* asks for nothing any more */
    put(&c, "k", "v");
    CU_ASSERT_EQUAL(look(&c, "k"), WILD_LOST); /* and again for what was written since */
    cluster_end(&c);
}

static void test_lag_is_told(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 1, true);
    c.node[1] = responder_start_stream(ROUTER_SECRET, "127.0.0.1"); /* nobody tells it anything */
    CU_ASSERT_PTR_NOT_NULL_FATAL(c.node[1]);
    c.count = 2;
    set_role(&c, 1, MODE_REPLICA, 7);
    struct wild_router_options options = router_options(&c, replicas);
    router_open(&c, &options);
    CU_ASSERT_EQUAL(endpoint(&c, 1).lag_lsn, 0);
    for (unsigned i = 0; i < 3; i++)
        put(&c, "k", "v");
    nap_ms(5);
    CU_ASSERT(wild_router_check(c.router, ROUTER_TIMEOUT_MS)); /* maybe the replica first */
    CU_ASSERT(wild_router_check(c.router, ROUTER_TIMEOUT_MS));
    CU_ASSERT_EQUAL(endpoint(&c, 0).lag_lsn, 0);
    CU_ASSERT_EQUAL(endpoint(&c, 0).lsn, 3);
    CU_ASSERT_EQUAL(endpoint(&c, 1).lag_lsn, 3);
    CU_ASSERT(endpoint(&c, 1).lag_us > 0);
    CU_ASSERT(reads(&c, "k", "v")); /* of the primary: the replica says STALE */
    CU_ASSERT_EQUAL(endpoint(&c, 1).stale, 1);
    cluster_end(&c);
}

/* What a replica of that epoch and LSN is said to lack. */
static uint64_t lag_at(struct cluster *c, uint32_t epoch, uint64_t lsn)
{
    set_role(c, 1, MODE_REPLICA, epoch);
    responder_lsn(c->node[1], lsn);
    for (unsigned i = 0; i < 2; i++)
        CU_ASSERT(wild_router_check(c->router, ROUTER_TIMEOUT_MS)); /* maybe the replica first */
    return endpoint(c, 1).lag_lsn;
}

static void test_lag_counts_no_lsns_between_histories(void)
{
    const uint64_t history = UINT64_C(1) << 32;
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 1, true);
    c.node[1] = responder_start_stream(ROUTER_SECRET, "127.0.0.1");
    CU_ASSERT_PTR_NOT_NULL_FATAL(c.node[1]);
    c.count = 2;
    set_role(&c, 0, MODE_PRIMARY, 8);
    responder_lsn(c.node[0], 3 * history + 9);
    set_role(&c, 1, MODE_REPLICA, 7);
    struct wild_router_options options = router_options(&c, replicas);
    router_open(&c, &options);
    CU_ASSERT_EQUAL(lag_at(&c, 7, history + 4), 10);     /* and what there was in histories between */
    CU_ASSERT_EQUAL(lag_at(&c, 8, 3 * history - 1), 10); /* all before the last history */
    CU_ASSERT_EQUAL(lag_at(&c, 8, 3 * history + 5), 4);
    CU_ASSERT_EQUAL(lag_at(&c, 8, 3 * history + 9), 0);
    CU_ASSERT_EQUAL(lag_at(&c, 7, 3 * history + 8),
                    1); /* as long as the primary has had no change in its own */
    CU_ASSERT_EQUAL(lag_at(&c, 8, 2 * history + 1), history + 8); /* of a history so long */
    cluster_end(&c);
}

/* ---- options ---- */

static void expect_refused(const struct wild_router_options *options, const char *says)
{
    char error[WILD_ERROR_BYTES];
    struct wild_router *router = wild_router_create(options, error);
    CU_ASSERT_PTR_NULL(router);
    if (strstr(error, says) == NULL)
        fprintf(stderr, "\"%s\" is not in \"%s\"\n", says, error);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, says));
    CU_ASSERT_PTR_NULL(strchr(error, '\n'));
    wild_router_destroy(router);
}

static void test_wrong_options_are_one_line(void)
{
    struct wild_replica twice[] = {{.endpoint = "127.0.0.1:1"}, {.endpoint = "127.0.0.1:1"}};
    struct wild_replica many[WILD_REPLICAS_MAX + 1] = {0};
    struct wild_replica bad = {.endpoint = "a:b:c:"}, none = {0}, heavy = {"127.0.0.1:2", 1001};
    struct wild_router_options good = {
        .primary = "127.0.0.1:1", .secret = ROUTER_SECRET, .connect_timeout_ms = 2000, .timeout_ms = 200};
    struct wild_router_options options = good;
    expect_refused(&options, "nothing listens");
    options.secret = NULL;
    expect_refused(&options, "no secret");
    options = good;
    options.insecure_no_auth = true;
    expect_refused(&options, "not several");
    options = good;
    options.primary = "127.0.0.1:99999";
    expect_refused(&options, "primary \"127.0.0.1:99999\" is not HOST:PORT");
    options = good;
    options.replicas = &bad;
    options.replica_count = 1;
    expect_refused(&options, "replica \"a:b:c:\" is not");
    options.replicas = &none;
    expect_refused(&options, "replica \"\" is not");
    options.replicas = &heavy;
    expect_refused(&options, "weight of replica 127.0.0.1:2 is 1001");
    options.replicas = twice;
    expect_refused(&options, "127.0.0.1:1 is given twice: as primary and as replica");
    options.primary = "127.0.0.1:3";
    options.replica_count = 2;
    expect_refused(&options, "127.0.0.1:1 is given twice: as replica");
    options.replicas = many;
    options.replica_count = WILD_REPLICAS_MAX + 1;
    expect_refused(&options, "65 replicas");
    options = good;
    options.max_connections_per_endpoint = 1001;
    expect_refused(&options, "max_connections_per_endpoint is 1001");
    options = good;
    options.health_check_interval_ms = 100000000;
    expect_refused(&options, "health_check_interval_ms is 100000000");
    options = good;
    options.read_preference = 4;
    expect_refused(&options, "read_preference 4");
}

static void test_a_router_may_start_alone(void)
{
    struct wild_replica replica = {.endpoint = "127.0.0.1:2"};
    struct wild_router_options options = {.primary = "127.0.0.1:1",
                                          .replicas = &replica,
                                          .replica_count = 1,
                                          .secret = ROUTER_SECRET,
                                          .timeout_ms = 100,
                                          .may_start_alone = true};
    struct cluster c = {0};
    router_open(&c, &options);
    CU_ASSERT_EQUAL(look(&c, "k"), WILD_UNREACHABLE);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_UNREACHABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(endpoint(&c, 1).why, "127.0.0.1:2"));
    CU_ASSERT_EQUAL(router_statistics(&c).failed, 2);
    cluster_end(&c);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"writes go to the primary, and reads to replicas",
         test_writes_go_to_the_primary_and_reads_to_replicas},
        {"the same over datagrams", test_the_same_over_datagrams},
        {"reads take turns within two percent", test_reads_take_turns_within_two_percent},
        {"weights are kept", test_weights_are_kept},
        {"preferences", test_preferences},
        {"the nearest node is read, whichever it is", test_the_nearest_node_is_read_whichever_it_is},
        {"a node that gets slower is left, as reads there take longer",
         test_a_node_that_gets_slower_is_left_as_reads_there_take_longer},
        {"a node that has become the nearest is found", test_a_node_that_has_become_the_nearest_is_found},
        {"a node with data of its own is no replica", test_a_node_with_data_of_its_own_is_no_replica},
        {"nodes have names", test_nodes_have_names},
        {"one standalone node is enough", test_one_standalone_node_is_enough},
        {"a replica that is behind passes the read on", test_a_replica_that_is_behind_passes_the_read_on},
        {"reads ask for what was written", test_reads_ask_for_what_was_written},
        {"tokens keep users apart", test_tokens_keep_users_apart},
        {"what is lost is said once", test_what_is_lost_is_said_once},
        {"lag is told", test_lag_is_told},
        {"lag counts no LSNs between histories", test_lag_counts_no_lsns_between_histories},
        {"wrong options are one line", test_wrong_options_are_one_line},
        {"a router may start alone", test_a_router_may_start_alone},
        CU_TEST_INFO_NULL,
    };
    return suite_run("router", tests);
}
