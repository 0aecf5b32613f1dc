/*
 * test_replica_sessions.c - whom a replica follows and whom it turns down; how sessions begin, end and begin anew; what
 * operators are told of it.
 */
#include "replica_fixture.h"

static struct stage *s;

static void set_up(void)
{
    s = aligned_alloc(64, sizeof *s);
    stage_open(s);
}

static void tear_down(void)
{
    stage_close_all(s);
    free(s);
}

static void every_reason_to_be_refused_is_told_once_and_asked_again(void)
{
    for (unsigned reason = REFUSE_VERSION; reason <= REFUSE_STALE_EPOCH; reason++) {
        char text[32];
        snprintf(text, sizeof text, "because %u", reason);
        for (unsigned attempt = 0; attempt < 3; attempt++) {
            stage_until_hello(s);
            stage_refuse(s, reason, text);
            CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
            CU_ASSERT_PTR_NOT_NULL(strstr(stage_facts(s).refusal, refuse_text(reason)));
            CU_ASSERT_PTR_NOT_NULL(strstr(stage_facts(s).refusal, text));
        }
        CU_ASSERT_EQUAL(stage_lines_with(s, text), 1);
        CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(reason)), 1);
        CU_ASSERT_EQUAL(s->lines, reason);
    }
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_refused), 3 * 8);
    stage_follow(s, 3);
    CU_ASSERT_STRING_EQUAL(stage_facts(s).refusal, "");
    CU_ASSERT_EQUAL(s->lines, 8);
    stage_pass(s, 900);
    stage_heartbeat(s, STAGE_FIRST + 2);
    stage_pass(s, 102);
    CU_ASSERT(s->lines == 9 && stage_lines_with(s, "follows the primary") == 1);
}

static void who_has_diverged_asks_for_a_snapshot_and_serves_until_it_comes(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_until_hello(s);
    stage_refuse(s, REFUSE_DIVERGED, "history 11 ended at 4294967299");
    CU_ASSERT_TRUE(s->view.serving);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_DATA | HELLO_BOOTSTRAP);
    CU_ASSERT_TRUE(s->view.serving);
    stage_cut(s); /* also when it is cut meanwhile */
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_DATA | HELLO_BOOTSTRAP);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT_FALSE(s->view.serving);
    stage_begin(s, STAGE_FIRST + 3, 0);
    stage_chunk(s, STAGE_FIRST, 4);
    stage_end(s, STAGE_FIRST + 3, 4);
    stage_block(s, 0x11, STAGE_FIRST + 4, 16);
    CU_ASSERT(s->view.serving && stage_items(s) == 20);
    stage_cut(s);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_DATA);
}

static void who_asked_for_a_snapshot_takes_nothing_else(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_until_hello(s);
    stage_refuse(s, REFUSE_DIVERGED, "");
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_not_in_order), 1);
    CU_ASSERT(stage_facts(s).phase == REPLICA_WAITING && stage_items(s) == 20);
}

/* An emptied primary comes back: same secret, same address, another cluster. */
static void data_is_not_given_up_for_another_cluster(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    memcpy(s->welcome.cluster_id, "another cluster", CLUSTER_ID_BYTES);
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        stage_until_hello(s);
        stage_welcome(s, attempt % 2 ? WELCOME_RESUME : WELCOME_BOOTSTRAP);
        CU_ASSERT(s->view.serving && stage_items(s) == 20);
        CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    }
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_FOREIGN_CLUSTER)), 1);
    CU_ASSERT_EQUAL(stage_lines_with(s, "kept and served"), 2); /* and of the cut */
    CU_ASSERT_EQUAL(s->welcomed, 1);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_refused), 4);
    memcpy(s->welcome.cluster_id, "cluster of test", CLUSTER_ID_BYTES);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
}

static void an_epoch_below_one_that_was_seen_is_turned_down(void)
{
    stage_second_history(s, STAGE_FIRST + 9);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_SECOND - 1, 0);
    stage_chunk(s, STAGE_FIRST, 10);
    stage_end(s, STAGE_SECOND - 1, 10);
    CU_ASSERT_TRUE(s->view.serving);
    CU_ASSERT_EQUAL(stage_facts(s).epoch, 2);
    stage_cut(s);
    s->welcome.histories = 1; /* the old primary */
    s->welcome.epoch = 1;
    for (unsigned attempt = 0; attempt < 3; attempt++) {
        stage_until_hello(s);
        CU_ASSERT_EQUAL(s->hello.epoch, 2);
        stage_welcome(s, attempt == 0 ? WELCOME_BOOTSTRAP : WELCOME_RESUME);
        CU_ASSERT(s->view.serving && stage_items(s) == 10);
    }
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_STALE_EPOCH)), 1);
}

/* Two nodes on copies of one folder. Also where it has not heard a change of the first one's. */
static void of_two_primaries_with_one_epoch_the_first_is_followed(void)
{
    stage_follow(s, 10);
    stage_cut(s);
    s->history[0].id = 0x12;
    for (unsigned attempt = 0; attempt < 3; attempt++) {
        stage_until_hello(s);
        stage_welcome(s, attempt == 0 ? WELCOME_RESUME : WELCOME_BOOTSTRAP);
        CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
        CU_ASSERT(s->view.serving && s->view.history == 0x11 && stage_items(s) == 10);
        stage_until_hello(s);
        stage_refuse(s, REFUSE_RIVAL, "");
        CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_DATA);
    }
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_RIVAL)), 1);
    s->history[0].id = 0x11;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
}

/* A snapshot that was begun has taken the data: another cluster may give us its own, but ours not an older state. */
static void without_data_any_cluster_will_do_but_not_an_older_epoch_of_ours(void)
{
    stage_second_history(s, STAGE_FIRST + 9);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_SECOND - 1, 0);
    stage_cut(s);
    s->welcome.histories = 1;
    s->welcome.epoch = 1;
    stage_until_hello(s);
    CU_ASSERT(s->hello.flags == 0 && s->hello.epoch == 0);
    CU_ASSERT(wire_is_zero(s->hello.cluster_id, CLUSTER_ID_BYTES));
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_STALE_EPOCH)), 1);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    memcpy(s->welcome.cluster_id, "another cluster", CLUSTER_ID_BYTES);
    stage_follow(s, 5);
    CU_ASSERT_EQUAL(memcmp(stage_facts(s).cluster_id, "another cluster", CLUSTER_ID_BYTES), 0);
    CU_ASSERT_EQUAL(stage_facts(s).epoch, 1);
}

static void a_primary_with_a_larger_table_is_turned_down(void)
{
    s->welcome.capacity = STAGE_CAPACITY + 1;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT_EQUAL(stage_lines_with(s, "raise --capacity"), 1);
    CU_ASSERT_EQUAL(s->asked_quiescent, 0);
    s->welcome.capacity = STAGE_CAPACITY - 100;
    stage_follow(s, 5);
}

static void a_primary_that_says_nothing_is_given_up(void)
{
    stage_until_hello(s);
    uint64_t began = s->now_ns;
    while (stage_counted(s, REPLICATION_timed_out) == 0 && s->now_ns - began < 5000 * UINT64_C(1000000))
        stage_pass(s, 1);
    CU_ASSERT(s->now_ns - began > 2990 * UINT64_C(1000000) && s->now_ns - began < 3010 * UINT64_C(1000000));
    stage_follow(s, 20);
    for (unsigned i = 0; i < 30; i++) { /* as long as it is heard of it is followed */
        stage_pass(s, STAGE_HEARTBEAT_MS);
        stage_heartbeat(s, STAGE_FIRST + 19);
    }
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    stage_pass(s, STAGE_TIMEOUT_MS);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    stage_pass(s, 2);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_timed_out), 2);
    CU_ASSERT_TRUE(s->view.serving);
    CU_ASSERT_EQUAL(stage_lines_with(s, "nothing was heard of it in time"), 2);
}

static void who_was_stopped_itself_does_not_call_it_silence(void)
{
    stage_follow(s, 20);
    s->now_ns += 60 * UINT64_C(1000000000);
    stage_run(s);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    stage_pass(s, STAGE_TIMEOUT_MS + 2);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_timed_out), 1);
}

/* Milliseconds until the next attempt. */
static unsigned delay_ms(void)
{
    unsigned before = s->connects, ms = 0;
    while (s->connects == before && ms < 4000) {
        stage_pass(s, 1);
        ms++;
    }
    return ms;
}

static void attempts_are_ever_rarer_until_one_was_followed(void)
{
    unsigned sum = 0, most = 50, different = 0, last = 0;
    s->no_primary = true;
    stage_run(s); /* the first at once */
    CU_ASSERT_EQUAL(s->connects, 1);
    for (unsigned i = 0; i < 40; i++) {
        unsigned ms = delay_ms();
        CU_ASSERT(ms >= most / 2 && ms <= most);
        different += ms != last;
        sum += ms;
        last = ms;
        most = most < 1000 ? 2 * most : 2000;
    }
    CU_ASSERT(different > 30 && sum > 40000 && sum < 70000);
    CU_ASSERT_EQUAL(s->lines, 1);
    CU_ASSERT_EQUAL(stage_lines_with(s, "it cannot be reached; there is nothing to serve yet"), 1);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_connects), 41);
    s->no_primary = false;
    stage_follow(s, 5);
    stage_cut(s);
    CU_ASSERT(delay_ms() <= 50);
    CU_ASSERT(s->lines == 2 && stage_lines_with(s, "cut; what we have is kept and served") == 1);
    /* a session that got no further than HELLO changes nothing */
    stage_cut(s);
    CU_ASSERT(delay_ms() >= 50);
}

static void a_node_that_has_no_address_yet_asks_again(void)
{
    s->connect_fails = true;
    for (unsigned i = 0; i < 5; i++)
        delay_ms();
    CU_ASSERT(s->connects >= 5 && s->lines == 1);
    s->connect_fails = false;
    stage_follow(s, 5);
}

static void lines_come_again_after_a_while(void)
{
    stage_follow(s, 5);
    stage_cut(s);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_cut(s); /* a link that flaps is not told each time */
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_lines_with(s, "the connection was cut"), 1);
    CU_ASSERT_EQUAL(stage_lines_with(s, "follows the primary"), 1);
    for (unsigned i = 0; i < 11; i++) {
        stage_pass(s, 100);
        stage_heartbeat(s, STAGE_FIRST + 4);
    }
    CU_ASSERT_EQUAL(stage_lines_with(s, "follows the primary"), 2);
    stage_cut(s);
    CU_ASSERT_EQUAL(stage_lines_with(s, "the connection was cut"), 2);
}

static void who_stops_says_so_and_asks_no_more(void)
{
    stage_follow(s, 20);
    unsigned lines = s->lines, connects = s->connects;
    replica_stop(s->replica);
    stage_run(s);
    CU_ASSERT(!s->primary_up && s->primary.end == CHANNEL_CLOSED && s->primary.shaken);
    CU_ASSERT_FALSE(s->linked);
    stage_pass(s, 3000);
    CU_ASSERT(s->connects == connects && s->lines == lines);
    replica_reconnect(s->replica);
    stage_pass(s, 3000);
    CU_ASSERT_EQUAL(s->connects, connects);
}

static void who_stops_while_it_connects_ends_what_comes_of_it(void)
{
    s->hold_connect = true;
    stage_run(s);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_CONNECTING);
    replica_stop(s->replica);
    s->hold_connect = false;
    stage_pass(s, 100);
    CU_ASSERT(!s->linked && s->hellos == 0 && s->connects == 1);
    CU_ASSERT_EQUAL(s->lines, 0);
}

static void another_address_is_asked_at_once(void)
{
    stage_follow(s, 20);
    unsigned connects = s->connects, lines = s->lines;
    replica_reconnect(s->replica);
    stage_run(s);
    CU_ASSERT_EQUAL(s->connects, connects + 1);
    CU_ASSERT_EQUAL(s->lines, lines);
    CU_ASSERT(s->hello.flags == HELLO_HAS_DATA && s->view.serving);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    /* where the first still opens */
    stage_cut(s);
    s->hold_connect = true;
    stage_pass(s, 60);
    connects = s->connects;
    replica_reconnect(s->replica);
    stage_pass(s, 10);
    CU_ASSERT_EQUAL(s->connects, connects); /* one link at a time */
    s->hold_connect = false;
    stage_run(s);
    CU_ASSERT_EQUAL(s->connects, connects + 1);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_GREETING);
    /* where it waits for the next attempt */
    s->no_primary = true;
    stage_cut(s);
    for (unsigned i = 0; i < 8; i++)
        delay_ms();
    connects = s->connects;
    s->no_primary = false;
    replica_reconnect(s->replica);
    stage_run(s);
    CU_ASSERT_EQUAL(s->connects, connects + 1);
}

static void a_primary_that_takes_no_goodbye_is_left_all_the_same(void)
{
    stage_follow(s, 20);
    unsigned connects = s->connects;
    s->pair->end[STAGE_REPLICA].no_room = true;
    replica_reconnect(s->replica);
    stage_pass(s, 990);
    CU_ASSERT_EQUAL(s->connects, connects);
    stage_pass(s, 20);
    CU_ASSERT_EQUAL(s->connects, connects + 1);
}

static void another_secret_is_told_and_asked_again(void)
{
    s->primary_config.keys[0] = &s->other_keys;
    for (unsigned i = 0; i < 4; i++)
        delay_ms();
    CU_ASSERT_EQUAL(s->hellos, 0);
    CU_ASSERT(s->lines == 1 && stage_lines_with(s, "is its secret ours") == 1);
    CU_ASSERT_EQUAL(s->primary.end, CHANNEL_BAD_KEY);
    s->primary_config.keys[0] = &s->keys;
    stage_follow(s, 5);
}

static void of_two_secrets_the_primary_may_have_either(void)
{
    replica_destroy(s->replica);
    s->config.keys[1] = &s->other_keys;
    s->replica = replica_create(&s->config);
    s->primary_config.keys[0] = &s->other_keys;
    stage_follow(s, 5);
    CU_ASSERT_EQUAL(s->connects, 2);
    stage_cut(s);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->connects, 3); /* it knows by now */
}

static void garbage_is_not_taken_for_a_primary(void)
{
    s->hold_connect = true;
    stage_run(s);
    s->hold_connect = false;
    s->piece = 1;
    stage_answer_connect(s);
    link_pair_inject(s->pair, STAGE_PRIMARY, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    stage_run(s);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_bad_key), 1);
    CU_ASSERT_EQUAL(stage_lines_with(s, "does not have our secret"), 1);
    s->piece = 0;
    stage_follow(s, 5);
}

static void a_replica_may_be_destroyed_in_any_phase(void)
{
    static const uint8_t phases = REPLICA_FOLLOWING + 1;
    for (unsigned phase = 0; phase < phases; phase++) {
        s->hold_connect = phase == REPLICA_CONNECTING;
        s->hold_quiescence = phase == REPLICA_HIDING;
        if (phase == REPLICA_CONNECTING)
            stage_run(s);
        if (phase >= REPLICA_GREETING)
            stage_until_hello(s);
        if (phase >= REPLICA_HIDING)
            stage_welcome(s, WELCOME_BOOTSTRAP);
        if (phase == REPLICA_FOLLOWING) {
            stage_begin(s, 0, 0);
            stage_end(s, 0, 0);
        }
        CU_ASSERT(stage_facts(s).phase == phase || phase == REPLICA_CLEARING);
        CU_ASSERT_STRING_NOT_EQUAL(replica_phase_name(stage_facts(s).phase), "unknown");
        stage_close_all(s);
        stage_open(s);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every reason to be refused is told once and asked again",
         every_reason_to_be_refused_is_told_once_and_asked_again},
        {"who has diverged asks for a snapshot and serves until it comes",
         who_has_diverged_asks_for_a_snapshot_and_serves_until_it_comes},
        {"who asked for a snapshot takes nothing else", who_asked_for_a_snapshot_takes_nothing_else},
        {"data is not given up for another cluster", data_is_not_given_up_for_another_cluster},
        {"an epoch below one that was seen is turned down", an_epoch_below_one_that_was_seen_is_turned_down},
        {"of two primaries with one epoch the first is followed",
         of_two_primaries_with_one_epoch_the_first_is_followed},
        {"without data any cluster will do but not an older epoch of ours",
         without_data_any_cluster_will_do_but_not_an_older_epoch_of_ours},
        {"a primary with a larger table is turned down", a_primary_with_a_larger_table_is_turned_down},
        {"a primary that says nothing is given up", a_primary_that_says_nothing_is_given_up},
        {"who was stopped itself does not call it silence", who_was_stopped_itself_does_not_call_it_silence},
        {"attempts are ever rarer until one was followed", attempts_are_ever_rarer_until_one_was_followed},
        {"a node that has no address yet asks again", a_node_that_has_no_address_yet_asks_again},
        {"lines come again after a while", lines_come_again_after_a_while},
        {"who stops says so and asks no more", who_stops_says_so_and_asks_no_more},
        {"who stops while it connects ends what comes of it",
         who_stops_while_it_connects_ends_what_comes_of_it},
        {"another address is asked at once", another_address_is_asked_at_once},
        {"a primary that takes no goodbye is left all the same",
         a_primary_that_takes_no_goodbye_is_left_all_the_same},
        {"another secret is told and asked again", another_secret_is_told_and_asked_again},
        {"of two secrets the primary may have either", of_two_secrets_the_primary_may_have_either},
        {"garbage is not taken for a primary", garbage_is_not_taken_for_a_primary},
        {"a replica may be destroyed in any phase", a_replica_may_be_destroyed_in_any_phase},
        CU_TEST_INFO_NULL};
    return suite_run_each("replica_sessions", set_up, tear_down, tests);
}
