/*
 * test_router_faults.c - nodes of a router that are silent, gone, back, behind, demoted, promoted.
 */
#include <pthread.h>

#include "router_fixture.h"

static const struct responder_orders healthy, silent = {.silent = true}, down = {.down = true};

/* Checks that come soon, where a test waits for one that nobody asks for. */
static void begin_watchful(struct cluster *c, unsigned count, uint32_t timeout_ms)
{
    struct wild_replica replicas[NODES_MAX];
    cluster_start(c, count, true);
    struct wild_router_options options = router_options(c, replicas);
    options.timeout_ms = timeout_ms;
    options.health_check_interval_ms = 20;
    router_open(c, &options);
}

/* ---- reads ---- */

static void test_a_read_at_a_silent_replica_moves_on_within_its_time(void)
{
    struct cluster c;
    begin_watchful(&c, 3, 2000);
    put(&c, "k", "v");
    responder_order(c.node[1], silent);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT(reads(&c, "k", "v"));
    struct wild_endpoint e = endpoint(&c, 1);
    CU_ASSERT(!e.serves);
    CU_ASSERT(e.why[0] != '\0');
    CU_ASSERT(e.failovers <= 1); /* by then a health check may have found out */
    CU_ASSERT_EQUAL(router_statistics(&c).failed, 0);
    cluster_end(&c);
}

static void test_a_read_at_a_replica_that_is_gone_moves_on_at_once(void)
{
    struct cluster c;
    cluster_begin(&c, 3); /* whose time-out is longer than the test may last */
    put(&c, "k", "v");
    look(&c, "k");
    look(&c, "k");
    responder_order(c.node[1], down);
    uint64_t begun = milliseconds();
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT(milliseconds() - begun < ROUTER_TIMEOUT_MS / 4);
    CU_ASSERT(!endpoint(&c, 1).serves);
    cluster_end(&c);
}

static void test_a_replica_that_comes_back_is_used_again(void)
{
    struct cluster c;
    begin_watchful(&c, 3, ROUTER_TIMEOUT_MS);
    put(&c, "k", "v");
    responder_order(c.node[1], down);
    CU_ASSERT(becomes(&c, 1, false));
    forget_logs(&c);
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_GET), 0);
    CU_ASSERT_EQUAL(executed(&c, 2, OPCODE_GET), 10);
    responder_order(c.node[1], healthy);
    CU_ASSERT(becomes(&c, 1, true));
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_GET), 5);
    CU_ASSERT(endpoint(&c, 1).checks_failed > 0);
    cluster_end(&c);
}

static void test_without_replicas_the_primary_is_read(void)
{
    struct cluster c;
    cluster_begin(&c, 3);
    put(&c, "k", "v");
    responder_order(c.node[1], down);
    responder_order(c.node[2], down);
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT_EQUAL(executed(&c, 0, OPCODE_GET), 10);
    CU_ASSERT_EQUAL(router_statistics(&c).fallbacks, 10);
    cluster_end(&c);
}

static void test_reads_go_on_without_the_primary(void)
{
    struct cluster c;
    cluster_begin(&c, 2);
    put(&c, "k", "v");
    responder_order(c.node[0], down);
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(reads(&c, "k", "v"));
    cluster_end(&c);
}

static void test_a_replica_that_catches_up_is_left_alone(void)
{
    struct cluster c;
    begin_watchful(&c, 3, ROUTER_TIMEOUT_MS);
    put(&c, "k", "v");
    struct responder_role role = role_of(1, MODE_REPLICA, 7);
    role.state = STATE_CATCHING_UP;
    responder_role(c.node[1], &role);
    CU_ASSERT(becomes(&c, 1, false));
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT_STRING_EQUAL(endpoint(&c, 1).state, "catching up");
    set_role(&c, 1, MODE_REPLICA, 7);
    CU_ASSERT(becomes(&c, 1, true));
    cluster_end(&c);
}

static void test_a_read_that_is_stale_without_asking_tells_of_a_replica_that_catches_up(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 2, true);
    struct wild_router_options options = router_options(&c, replicas);
    options.reads_may_be_stale = true;
    router_open(&c, &options);
    put(&c, "k", "v");
    struct responder_role role = role_of(1, MODE_REPLICA, 7);
    role.state = STATE_CATCHING_UP;
    responder_role(c.node[1], &role);
    CU_ASSERT(reads(&c, "k", "v")); /* of the primary */
    CU_ASSERT(!endpoint(&c, 1).serves);
    CU_ASSERT_EQUAL(endpoint(&c, 1).stale, 1);
    cluster_end(&c);
}

static void test_a_busy_replica_is_asked_a_few_times_and_passed_over(void)
{
    struct cluster c;
    cluster_begin(&c, 2);
    put(&c, "k", "v");
    responder_order(c.node[1], (struct responder_orders){.busy = 2});
    CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT_EQUAL(endpoint(&c, 1).failovers, 0);
    responder_order(c.node[1], (struct responder_orders){.busy = 1000000});
    CU_ASSERT(reads(&c, "k", "v"));
    CU_ASSERT_EQUAL(endpoint(&c, 1).failovers, 1);
    CU_ASSERT(endpoint(&c, 1).serves);
    cluster_end(&c);
}

/* ---- the primary ---- */

static void hand_over(struct cluster *c, bool hint)
{
    struct responder_role old = role_of(0, MODE_REPLICA, 8);
    if (hint)
        snprintf(old.primary, sizeof(old.primary), "%s", responder_endpoint(c->node[1]));
    responder_role(c->node[0], &old);
    set_role(c, 1, MODE_PRIMARY, 8);
}

static void test_a_new_primary_is_learned_of_a_hint(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    struct wild_result result;
    cluster_start(&c, 2, true);
    struct wild_router_options options = router_options(&c, replicas);
    options.replica_count = 0; /* nobody but the node itself says who that is */
    router_open(&c, &options);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    hand_over(&c, true);
    CU_ASSERT_EQUAL(wild_router_incr(c.router, "n", 1, 5, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 5);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_INCR), 1);
    CU_ASSERT(endpoint(&c, 1).is_primary && endpoint(&c, 1).learned);
    CU_ASSERT_EQUAL(router_statistics(&c).primary_changes, 1);
    CU_ASSERT_EQUAL(router_statistics(&c).epoch, 8);
    cluster_end(&c);
}

static void test_a_new_primary_is_found_without_a_hint(void)
{
    struct cluster c;
    cluster_begin(&c, 3);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    hand_over(&c, false);
    CU_ASSERT_EQUAL(put(&c, "k", "w"), WILD_OK);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_SET), 1);
    CU_ASSERT(endpoint(&c, 1).is_primary);
    cluster_end(&c);
}

static void test_a_write_goes_to_the_node_that_was_promoted_when_the_primary_is_gone(void)
{
    struct cluster c;
    cluster_begin(&c, 3);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    responder_order(c.node[0], down);
    set_role(&c, 1, MODE_PRIMARY, 8);
    CU_ASSERT_EQUAL(wild_router_incr(c.router, "n", 1, 1, 0, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_INCR), 1);
    /* back with its old epoch, it is refused */
    responder_order(c.node[0], healthy);
    for (unsigned i = 0; i < 2000 && !endpoint(&c, 0).healthy; i++)
        nap_ms(5);
    CU_ASSERT(endpoint(&c, 0).healthy);
    CU_ASSERT(!endpoint(&c, 0).is_primary && !endpoint(&c, 0).serves);
    CU_ASSERT(router_statistics(&c).primaries_refused >= 1);
    forget_logs(&c);
    CU_ASSERT_EQUAL(put(&c, "k", "w"), WILD_OK);
    CU_ASSERT_EQUAL(executed(&c, 0, OPCODE_SET), 0);
    cluster_end(&c);
}

static void test_an_epoch_below_one_seen_does_not_lead(void)
{
    struct cluster c;
    begin_watchful(&c, 3, 1000);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    set_role(&c, 2, MODE_REPLICA, 9); /* it has seen more than the primary */
    CU_ASSERT(becomes(&c, 2, true));
    while (router_statistics(&c).epoch != 9)
        nap_ms(5);
    responder_order(c.node[0], down);
    set_role(&c, 1, MODE_PRIMARY, 8);
    CU_ASSERT_EQUAL(put(&c, "k", "w"), WILD_UNREACHABLE);
    CU_ASSERT(endpoint(&c, 0).is_primary);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_SET), 0);
    set_role(&c, 1, MODE_PRIMARY, 10);
    responder_order(c.node[0], healthy); /* of epoch 7 */
    while (!endpoint(&c, 1).is_primary)
        nap_ms(5);
    CU_ASSERT_EQUAL(put(&c, "k", "w"), WILD_OK);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_SET), 1);
    cluster_end(&c);
}

static void test_requests_carry_the_highest_epoch(void)
{
    struct cluster c;
    begin_watchful(&c, 2, ROUTER_TIMEOUT_MS);
    put(&c, "k", "v");
    set_role(&c, 1, MODE_REPLICA, 9);
    while (router_statistics(&c).epoch != 9)
        nap_ms(5);
    forget_logs(&c);
    put(&c, "k", "v");
    unsigned n = responder_log(c.node[0], c.log), sets = 0;
    for (unsigned i = 0; i < n; i++)
        if (c.log[i].opcode == OPCODE_SET) {
            CU_ASSERT_EQUAL(c.log[i].epoch, 9);
            sets++;
        }
    CU_ASSERT_EQUAL(sets, 1);
    cluster_end(&c);
}

static void test_a_hint_that_is_no_address_changes_nothing(void)
{
    static const char *const hints[] = {"", "nonsense:", "127.0.0.1:99999999", "a b:c:d"};
    for (unsigned i = 0; i < 4; i++) {
        struct cluster c;
        begin_watchful(&c, 1, 300);
        struct responder_role role = role_of(0, MODE_REPLICA, 7);
        snprintf(role.primary, sizeof(role.primary), "%s", hints[i]);
        responder_role(c.node[0], &role);
        CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_NOT_PRIMARY);
        CU_ASSERT_EQUAL(wild_router_endpoints(c.router, NULL, 0), 1);
        cluster_end(&c);
    }
}

static void test_the_name_that_a_primary_gives_itself_is_no_second_node(void)
{
    struct cluster c;
    char other_name[64];
    cluster_begin(&c, 2);
    struct responder_role old = role_of(0, MODE_REPLICA, 8);
    snprintf(other_name, sizeof(other_name), "localhost:%s", strchr(responder_endpoint(c.node[1]), ':') + 1);
    snprintf(old.primary, sizeof(old.primary), "%s", other_name);
    responder_role(c.node[0], &old);
    set_role(&c, 1, MODE_PRIMARY, 8);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    CU_ASSERT(endpoint(&c, 1).is_primary || endpoint(&c, 2).is_primary);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_SET), 1);
    cluster_end(&c);
}

/* ---- what is not sent again ---- */

static void test_a_write_whose_session_is_lost_is_unknown_and_not_sent_again(void)
{
    struct cluster c;
    begin_watchful(&c, 2, ROUTER_TIMEOUT_MS);
    put(&c, "k", "v");
    wild_router_incr(c.router, "n", 1, 1, 0, NULL, NULL);
    forget_logs(&c);
    /* executed, and its connection ends in place of the answer; the replica is promoted meanwhile */
    responder_order(c.node[0], (struct responder_orders){.close_replies = 1000});
    set_role(&c, 1, MODE_PRIMARY, 8);
    enum wild_status status = wild_router_incr(c.router, "n", 1, 1, 0, NULL, NULL);
    unsigned at_old = executed(&c, 0, OPCODE_INCR), at_new = executed(&c, 1, OPCODE_INCR);
    /* unless the promotion was noticed first */
    CU_ASSERT((status == WILD_UNKNOWN && at_old == 1 && at_new == 0) ||
              (status == WILD_OK && at_old == 0 && at_new == 1));
    cluster_end(&c);
}

static void test_a_write_that_is_not_answered_is_not_sent_elsewhere(void)
{
    struct cluster c;
    begin_watchful(&c, 2, 1000);
    put(&c, "k", "v");
    responder_order(c.node[0], (struct responder_orders){.park_writes = true});
    CU_ASSERT_EQUAL(put(&c, "k", "w"), WILD_NO_ANSWER);
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_SET), 0);
    responder_order(c.node[0], healthy);
    cluster_end(&c);
}

static void test_no_more_connections_than_allowed_and_one_for_checks(void)
{
    struct cluster c;
    struct wild_replica replicas[NODES_MAX];
    cluster_start(&c, 1, true);
    struct wild_router_options options = router_options(&c, replicas);
    options.max_connections_per_endpoint = 1;
    options.timeout_ms = 1000;
    router_open(&c, &options);
    char error[WILD_ERROR_BYTES];
    struct wild_pipeline *pipeline = wild_pipeline_open(c.router, error);
    struct wild_request get = {.operation = WILD_OP_GET, .key = "k", .key_length = 1};
    struct wild_result result;
    CU_ASSERT_EQUAL(wild_pipeline_submit(pipeline, &get), WILD_OK); /* takes it, and keeps it */
    CU_ASSERT_EQUAL(wild_pipeline_poll(pipeline, &result, 1, 20000), 1);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_BUSY);
    CU_ASSERT_EQUAL(endpoint(&c, 0).connections, 1);
    CU_ASSERT_EQUAL(responder_sessions(c.node[0]), 2);
    wild_pipeline_close(pipeline);
    CU_ASSERT_EQUAL(put(&c, "k", "v"), WILD_OK);
    CU_ASSERT_EQUAL(responder_sessions(c.node[0]), 2);
    cluster_end(&c);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a read at a silent replica moves on within its time",
         test_a_read_at_a_silent_replica_moves_on_within_its_time},
        {"a read at a replica that is gone moves on at once",
         test_a_read_at_a_replica_that_is_gone_moves_on_at_once},
        {"a replica that comes back is used again", test_a_replica_that_comes_back_is_used_again},
        {"without replicas the primary is read", test_without_replicas_the_primary_is_read},
        {"reads go on without the primary", test_reads_go_on_without_the_primary},
        {"a replica that catches up is left alone", test_a_replica_that_catches_up_is_left_alone},
        {"a read that is stale without asking tells of a replica that catches up",
         test_a_read_that_is_stale_without_asking_tells_of_a_replica_that_catches_up},
        {"a busy replica is asked a few times and passed over",
         test_a_busy_replica_is_asked_a_few_times_and_passed_over},
        {"a new primary is learned of a hint", test_a_new_primary_is_learned_of_a_hint},
        {"a new primary is found without a hint", test_a_new_primary_is_found_without_a_hint},
        {"a write goes to the node that was promoted when the primary is gone",
         test_a_write_goes_to_the_node_that_was_promoted_when_the_primary_is_gone},
        {"an epoch below one seen does not lead", test_an_epoch_below_one_seen_does_not_lead},
        {"requests carry the highest epoch", test_requests_carry_the_highest_epoch},
        {"a hint that is no address changes nothing", test_a_hint_that_is_no_address_changes_nothing},
        {"the name that a primary gives itself is no second node",
         test_the_name_that_a_primary_gives_itself_is_no_second_node},
        {"a write whose session is lost is unknown, and not sent again",
         test_a_write_whose_session_is_lost_is_unknown_and_not_sent_again},
        {"a write that is not answered is not sent elsewhere",
         test_a_write_that_is_not_answered_is_not_sent_elsewhere},
        {"no more connections than allowed, and one for checks",
         test_no_more_connections_than_allowed_and_one_for_checks},
        CU_TEST_INFO_NULL,
    };
    return suite_run("router_faults", tests);
}
