/*
 * test_primary_lineage.c - who may follow a primary, and who is turned away with which reason.
 */
#include "scripted_feeder.h"

#include "epoch.h"
#include "primary_fixture.h"

static struct feeder feeder;

static void start(void)
{
    memset(&feeder, 0, sizeof feeder);
    fixture_start(&feeder);
    fixture_block(10, 20); /* FIRST_LSN .. FIRST_LSN + 9 */
}

/* Nothing refuses that: it is told where it begins. */
static uint8_t welcomed(const struct replication_message *hello)
{
    struct peer *peer = peer_open(1);
    peer_says(peer, hello);
    CU_ASSERT_EQUAL(peer->refusals, 0);
    CU_ASSERT_EQUAL_FATAL(peer->welcomes, 1);
    uint8_t how = peer->welcome.start;
    peer_free(peer);
    return how;
}

/* The reason that it is told, before the connection is closed in order. */
static uint16_t refused(const struct replication_message *hello)
{
    uint64_t before = counted(REPLICATION_refused);
    struct peer *peer = peer_open((uint8_t)hello->hello.node_id);
    peer_says(peer, hello);
    CU_ASSERT_EQUAL(peer->welcomes, 0);
    CU_ASSERT_EQUAL_FATAL(peer->refusals, 1);
    CU_ASSERT_EQUAL(peer->channel.end, CHANNEL_CLOSED);
    CU_ASSERT_TRUE(peer->refuse.text[0] != '\0');
    CU_ASSERT_EQUAL(counted(REPLICATION_refused), before + 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 0);
    uint16_t reason = peer->refuse.reason;
    peer_free(peer);
    return reason;
}

static uint16_t refused_at(uint64_t history, uint64_t lsn)
{
    struct replication_message hello = peer_hello_at(1, history, lsn);
    hello.hello.epoch = EPOCH - 1; /* it has not followed us since */
    return refused(&hello);
}

static uint8_t welcomed_at(uint64_t history, uint64_t lsn)
{
    struct replication_message hello = peer_hello_at(1, history, lsn);
    return welcomed(&hello);
}

static void data_of_our_line_is_resumed_from(void)
{
    start();
    CU_ASSERT_EQUAL(welcomed_at(HISTORY, FIRST_LSN), WELCOME_RESUME);
    CU_ASSERT_EQUAL(welcomed_at(HISTORY, FIRST_LSN + 9), WELCOME_RESUME);
    CU_ASSERT_EQUAL(welcomed_at(OLD_HISTORY, OLD_FIRST_LSN), WELCOME_RESUME);
    CU_ASSERT_EQUAL(welcomed_at(OLD_HISTORY, OLD_LAST_LSN), WELCOME_RESUME);
    /* Of a history, its mark alone. */
    CU_ASSERT_EQUAL(welcomed_at(HISTORY, FIRST_LSN - 1), WELCOME_RESUME);
    CU_ASSERT_EQUAL(welcomed_at(HISTORY, OLD_LAST_LSN), WELCOME_RESUME);
    CU_ASSERT_EQUAL(welcomed_at(OLD_HISTORY, OLD_FIRST_LSN - 1), WELCOME_RESUME);
    CU_ASSERT_EQUAL(welcomed_at(OLD_HISTORY, 0), WELCOME_RESUME);
    fixture_stop();
}

static void a_history_that_is_not_ours_has_diverged(void)
{
    start();
    CU_ASSERT_EQUAL(refused_at(0xcccc, FIRST_LSN), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(0, 0), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(fixture_said("is turned away: history 000000000000cccc is not one of ours"), 1);
    fixture_stop();
}

static void changes_above_where_a_history_ended_have_diverged(void)
{
    start();
    CU_ASSERT_EQUAL(refused_at(OLD_HISTORY, OLD_LAST_LSN + 1), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(OLD_HISTORY, FIRST_LSN), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(OLD_HISTORY, UINT64_MAX), REFUSE_DIVERGED);
    fixture_stop();
}

static void changes_above_what_is_durable_here_have_diverged(void)
{
    start();
    CU_ASSERT_EQUAL(refused_at(HISTORY, FIRST_LSN + 10), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(HISTORY, UINT64_MAX), REFUSE_DIVERGED);
    fixture_stop();
}

static void an_lsn_that_its_history_does_not_have_has_diverged(void)
{
    start();
    CU_ASSERT_EQUAL(refused_at(HISTORY, FIRST_LSN - 2), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(HISTORY, OLD_LAST_LSN - 1), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(OLD_HISTORY, OLD_FIRST_LSN - 2), REFUSE_DIVERGED);
    fixture_stop();
}

static void what_a_repair_gave_up_has_diverged_in_all_histories_before(void)
{
    start();
    /* A third history, which began after the end of the log had been given up from the middle of the first
     * on. */
    fixture.meta.history[2] = (struct history){.id = 0xdddd,
                                               .first_lsn = UINT64_C(3) << 32,
                                               .before_lsn = OLD_FIRST_LSN + 49,
                                               .node_id = PRIMARY_ID,
                                               .epoch = EPOCH + 1};
    fixture.meta.count = 3;
    CU_ASSERT_EQUAL(welcomed_at(OLD_HISTORY, OLD_FIRST_LSN + 49), WELCOME_RESUME);
    CU_ASSERT_EQUAL(refused_at(OLD_HISTORY, OLD_FIRST_LSN + 50), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(OLD_HISTORY, OLD_LAST_LSN), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(HISTORY, FIRST_LSN + 3), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(refused_at(HISTORY, FIRST_LSN - 1),
                    REFUSE_DIVERGED); /* its mark, behind what was given up */
    fixture_stop();
}

static void who_has_diverged_may_begin_anew(void)
{
    start();
    struct replication_message hello = peer_hello_at(1, 0xcccc, FIRST_LSN);
    hello.hello.flags |= HELLO_BOOTSTRAP;
    CU_ASSERT_EQUAL(welcomed(&hello), WELCOME_BOOTSTRAP);
    hello = peer_hello_at(1, HISTORY, FIRST_LSN); /* or whoever likes */
    hello.hello.flags |= HELLO_BOOTSTRAP;
    CU_ASSERT_EQUAL(welcomed(&hello), WELCOME_BOOTSTRAP);
    fixture_stop();
}

static void another_clusters_node_is_turned_away_whatever_it_has(void)
{
    start();
    struct replication_message hello = peer_hello_at(1, HISTORY, FIRST_LSN);
    hello.hello.cluster_id[3]++;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_FOREIGN_CLUSTER);
    CU_ASSERT_EQUAL(
        fixture_said("is turned away: cluster 6120636c75737465... here, 6120636d75737465... there"), 1);
    hello.hello.flags |= HELLO_BOOTSTRAP;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_FOREIGN_CLUSTER);
    hello.hello.flags = 0;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_FOREIGN_CLUSTER);
    /* Data without a cluster are nobody's. */
    hello.hello.flags = HELLO_HAS_DATA;
    memset(hello.hello.cluster_id, 0, CLUSTER_ID_BYTES);
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_FOREIGN_CLUSTER);
    fixture_stop();
}

static void an_empty_node_of_ours_or_of_no_cluster_is_bootstrapped(void)
{
    start();
    struct replication_message hello = peer_hello(1);
    CU_ASSERT_EQUAL(welcomed(&hello), WELCOME_BOOTSTRAP);
    memcpy(hello.hello.cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES);
    CU_ASSERT_EQUAL(welcomed(&hello), WELCOME_BOOTSTRAP);
    fixture_stop();
}

static void a_smaller_table_is_turned_away(void)
{
    start();
    struct replication_message hello = peer_hello(1);
    hello.hello.capacity = FIXTURE_CAPACITY - 1;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_CAPACITY);
    CU_ASSERT_EQUAL(fixture_said("1000 items here, 999 there"), 1);
    hello = peer_hello_at(1, HISTORY, FIRST_LSN);
    hello.hello.capacity = 0;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_CAPACITY);
    hello.hello.capacity = UINT64_MAX;
    CU_ASSERT_EQUAL(welcomed(&hello), WELCOME_RESUME);
    fixture_stop();
}

static void another_version_is_turned_away(void)
{
    start();
    struct replication_message hello = peer_hello(1);
    hello.hello.version = REPLICATION_VERSION + 1;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_VERSION);
    fixture_stop();
}

/* A folder that goes away takes back what is acknowledged, not what replicas were sent. */
static void what_was_durable_once_has_not_diverged_when_we_count_on_less(void)
{
    start();
    fixture_turn();
    fixture.log.durable_lsn = fixture.log.acknowledged_lsn = FIRST_LSN + 3;
    CU_ASSERT_EQUAL(welcomed_at(HISTORY, FIRST_LSN + 9), WELCOME_RESUME);
    CU_ASSERT_EQUAL(refused_at(HISTORY, FIRST_LSN + 10), REFUSE_DIVERGED);
    fixture_stop();
}

static void nobody_gives_up_what_he_has_for_a_folder_that_is_gone(void)
{
    start();
    fixture.log.folder_gone = true;
    fixture_turn();
    struct replication_message hello = peer_hello(1);
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_NOT_READY);
    hello = peer_hello_at(1, HISTORY, FIRST_LSN);
    hello.hello.flags |= HELLO_BOOTSTRAP;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_NOT_READY);
    CU_ASSERT_EQUAL(welcomed_at(HISTORY, FIRST_LSN), WELCOME_RESUME); /* it is in memory */
    fixture_stop();
}

/* Two nodes on copies of one folder: both take the same epoch. */
static void who_has_followed_another_of_our_epoch_is_not_told_to_begin_anew(void)
{
    start();
    struct replication_message hello = peer_hello_at(1, 0xcccc, FIRST_LSN);
    hello.hello.epoch = EPOCH;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_RIVAL);
    hello.hello.epoch = EPOCH - 1;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_DIVERGED);
    fixture_stop();
}

/* He knows our epoch by his promise, not because he has followed somebody in it. */
static void who_has_promised_himself_to_us_and_has_a_tail_sets_it_aside(void)
{
    start();
    fixture.meta.history[fixture.meta.count - 1].epoch = epoch_of_promotion(EPOCH);
    struct replication_message hello = peer_hello_at(1, 0xcccc, FIRST_LSN);
    hello.hello.epoch = epoch_of_promotion(EPOCH);
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_DIVERGED);
    fixture_stop();
}

static void who_has_seen_a_higher_epoch_does_not_follow_us(void)
{
    start();
    struct replication_message hello = peer_hello_at(1, HISTORY, FIRST_LSN);
    hello.hello.epoch = EPOCH + 1;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_STALE_EPOCH);
    hello.hello.epoch = EPOCH - 1;
    CU_ASSERT_EQUAL(welcomed(&hello), WELCOME_RESUME);
    hello = peer_hello(1);
    hello.hello.epoch = EPOCH + 1;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_STALE_EPOCH);
    fixture_stop();
}

static void a_node_of_our_own_id_is_turned_away(void)
{
    start();
    struct replication_message hello = peer_hello_at(fixture.meta.node_id, HISTORY, FIRST_LSN - 1);

    CU_ASSERT_EQUAL(refused(&hello), REFUSE_SAME_NODE);
    hello.hello.flags |= HELLO_BOOTSTRAP;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_SAME_NODE);
    hello = peer_hello(fixture.meta.node_id);
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_SAME_NODE);
    CU_ASSERT_EQUAL(fixture_said("is the primary's own"), 1);
    fixture_stop();
}

static void a_refusal_is_said_once_a_minute_for_each_node_and_reason(void)
{
    start();
    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(refused_at(0xcccc, FIRST_LSN), REFUSE_DIVERGED);
    CU_ASSERT_EQUAL(fixture_said("is turned away"), 1);
    struct replication_message hello = peer_hello(1);
    hello.hello.capacity = 3;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_CAPACITY);
    CU_ASSERT_EQUAL(fixture_said("is turned away"), 2);
    hello.hello.node_id = 2;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_CAPACITY);
    CU_ASSERT_EQUAL(fixture_said("is turned away"), 3);
    fixture.now_ns += 60 * 1000 * MS;
    CU_ASSERT_EQUAL(refused(&hello), REFUSE_CAPACITY);
    CU_ASSERT_EQUAL(fixture_said("is turned away"), 4);
    /* However many say that they are others. */
    for (unsigned i = 100; i < 190; i++) {
        hello.hello.node_id = i;
        CU_ASSERT_EQUAL(refused(&hello), REFUSE_CAPACITY);
        fixture.now_ns += 10 * MS;
    }
    CU_ASSERT_TRUE(fixture_said("is turned away") < 20);
    fixture_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"data of our line is resumed from", data_of_our_line_is_resumed_from},
        {"a history that is not ours has diverged", a_history_that_is_not_ours_has_diverged},
        {"changes above where a history ended have diverged",
         changes_above_where_a_history_ended_have_diverged},
        {"changes above what is durable here have diverged",
         changes_above_what_is_durable_here_have_diverged},
        {"an LSN that its history does not have has diverged",
         an_lsn_that_its_history_does_not_have_has_diverged},
        {"what a repair gave up has diverged, in all histories before",
         what_a_repair_gave_up_has_diverged_in_all_histories_before},
        {"who has diverged may begin anew", who_has_diverged_may_begin_anew},
        {"another cluster's node is turned away, whatever it has",
         another_clusters_node_is_turned_away_whatever_it_has},
        {"an empty node, of ours or of no cluster, is bootstrapped",
         an_empty_node_of_ours_or_of_no_cluster_is_bootstrapped},
        {"a smaller table is turned away", a_smaller_table_is_turned_away},
        {"another version is turned away", another_version_is_turned_away},
        {"what was durable once has not diverged when we count on less",
         what_was_durable_once_has_not_diverged_when_we_count_on_less},
        {"nobody gives up what he has for a folder that is gone",
         nobody_gives_up_what_he_has_for_a_folder_that_is_gone},
        {"who has followed another of our epoch is not told to begin anew",
         who_has_followed_another_of_our_epoch_is_not_told_to_begin_anew},
        {"who has promised himself to us and has a tail sets it aside",
         who_has_promised_himself_to_us_and_has_a_tail_sets_it_aside},
        {"who has seen a higher epoch does not follow us", who_has_seen_a_higher_epoch_does_not_follow_us},
        {"a node of our own id is turned away", a_node_of_our_own_id_is_turned_away},
        {"a refusal is said once a minute for each node and reason",
         a_refusal_is_said_once_a_minute_for_each_node_and_reason},
        CU_TEST_INFO_NULL};
    return suite_run("primary_lineage", tests);
}
