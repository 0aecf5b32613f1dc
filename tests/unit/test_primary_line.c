/*
 * test_primary_line.c - more replicas are to be fed from disk than there are feeds: each has its time, whatever the
 * others' links do.
 */
#include "primary_feed_fixture.h"
#include "primary_internal.h"

enum { WAITING_PEERS = 3, FED_PEERS = FEEDS_MAX + WAITING_PEERS };

static void free_all(struct peer **peer, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        peer_free(peer[i]);
    CU_ASSERT_EQUAL(feeder.opened, feeder.closed);
    fixture_stop();
}

/* Their links take what there is, the disk has nothing new for them, and they are not level: each has its time. */
static void who_waits_for_a_feed_has_one_in_time_however_many_there_are(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer[FED_PEERS];

    for (unsigned i = 0; i < FED_PEERS; i++) {
        peer[i] = peer_behind(i + 1);
        peer[i]->answers = true;
    }
    feed_blocks(scripted_open(&feeder, 1), 0, 2);
    fixture_pass(3990, peer, FED_PEERS);
    CU_ASSERT_EQUAL(peer[1]->batches, 2);
    CU_ASSERT_EQUAL(feeder.closed, 0);
    fixture_pass(30, peer, FED_PEERS);
    CU_ASSERT_EQUAL(feeder.closed, FEEDS_MAX); /* those who waited, and then one of those who do now */
    CU_ASSERT_EQUAL(feeder.opened, 2 * FEEDS_MAX);
    fixture_pass(3900, peer, FED_PEERS);
    CU_ASSERT_EQUAL(feeder.opened, 2 * FEEDS_MAX);
    fixture_pass(100, peer, FED_PEERS);
    /* Who was sent something goes on where it was. */
    bool again = false;
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        again |= feeder.feed[i].open && feeder.feed[i].lsn == fixture.block[1].next_lsn - 1;
    CU_ASSERT_TRUE(again);
    fixture_pass(20000, peer, FED_PEERS);
    CU_ASSERT_TRUE(feeder.opened >= 7 * FEEDS_MAX);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), FED_PEERS);
    CU_ASSERT_EQUAL(counted(REPLICATION_too_slow), 0);
    free_all(peer, FED_PEERS);
}

/* It says that it is there, and takes nothing. */
static void pass_without(struct peer *stuck, uint64_t ms, struct peer **others, unsigned count)
{
    for (; ms > 0; ms -= 100) {
        stuck->session->alive_ns = fixture.now_ns;
        fixture_pass(100, others, count);
    }
}

static void a_link_that_takes_nothing_keeps_its_feed_until_others_have_waited_long(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer[FEEDS_MAX + 1];

    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        peer[i] = peer_behind(i + 1);
        peer[i]->answers = true;
    }
    peer[0]->link->end[0].limit = 5000;
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        feed_blocks(scripted_open(&feeder, i), 0, 2);
    pass_without(peer[0], 20000, peer + 1, FEEDS_MAX - 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer[0]->session); /* nobody waits */
    CU_ASSERT_EQUAL(peer[0]->batches, 0);
    CU_ASSERT_EQUAL(peer[1]->batches, 2);
    peer[FEEDS_MAX] = peer_behind(FEEDS_MAX + 1);
    fixture_pass(2, peer + 1, FEEDS_MAX);
    link_pair_run(peer[0]->link);
    CU_ASSERT_PTR_NULL(peer[0]->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_too_slow), 1);
    CU_ASSERT_EQUAL(fixture_said("or others wait"), 1);
    CU_ASSERT_EQUAL(feeder.opened, FEEDS_MAX + 1);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    free_all(peer, FEEDS_MAX + 1);
}

/* Of a snapshot all would be lost. */
static void a_snapshot_is_given_up_later_than_blocks(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer[FEEDS_MAX + 2];

    for (unsigned i = 0; i < FEEDS_MAX - 1; i++) {
        peer[i] = peer_empty(i + 1);
        peer[i]->answers = true;
    }
    peer[0]->link->end[0].limit = 5000;
    put_snapshot(scripted_open(&feeder, 0), fixture.block[2].next_lsn - 1, fixture.block[4].next_lsn - 1);
    for (unsigned i = FEEDS_MAX - 1; i < FEEDS_MAX + 2; i++) { /* one that is fed, two that wait */
        peer[i] = peer_behind(i + 1);
        peer[i]->answers = true;
    }
    pass_without(peer[0], 29000, peer + 1, FEEDS_MAX + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer[0]->session);
    CU_ASSERT_TRUE(feeder.opened >= FEEDS_MAX + 6); /* the log's feed went round meanwhile */
    CU_ASSERT_EQUAL(peer[0]->ends, 0);
    pass_without(peer[0], 1200, peer + 1, FEEDS_MAX + 1);
    link_pair_run(peer[0]->link);
    CU_ASSERT_PTR_NULL(peer[0]->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_too_slow), 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), FEEDS_MAX + 1);
    free_all(peer, FEEDS_MAX + 2);
}

static void snapshots_leave_a_feed_to_the_log(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer[FEEDS_MAX + 1];

    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        peer[i] = peer_empty(i + 1);
        peer[i]->answers = true;
    }
    CU_ASSERT_EQUAL(feeder.opened, FEEDS_MAX - 1);
    peer[FEEDS_MAX] = peer_behind(FEEDS_MAX + 1);
    peer[FEEDS_MAX]->answers = true;
    CU_ASSERT_EQUAL(feeder.opened, FEEDS_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(scripted_open(&feeder, FEEDS_MAX - 1));
    CU_ASSERT_EQUAL(scripted_open(&feeder, FEEDS_MAX - 1)->start, FEED_LOG);
    fixture_pass(10000, peer, FEEDS_MAX + 1);
    CU_ASSERT_EQUAL(feeder.opened,
                    FEEDS_MAX); /* nobody could have the log's, and nobody's was given up for it */
    /* Whose snapshot is sent is fed the log, and another's can begin. */
    put_snapshot(scripted_open(&feeder, 0), fixture.block[2].next_lsn - 1, fixture.block[4].next_lsn - 1);
    fixture_pass(3900, peer, FEEDS_MAX + 1);
    CU_ASSERT_EQUAL(peer[0]->ends, 1);
    CU_ASSERT_EQUAL(feeder.opened, FEEDS_MAX + 1);
    free_all(peer, FEEDS_MAX + 1);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"who waits for a feed has one in time, however many there are",
         who_waits_for_a_feed_has_one_in_time_however_many_there_are},
        {"a link that takes nothing keeps its feed until others have waited long",
         a_link_that_takes_nothing_keeps_its_feed_until_others_have_waited_long},
        {"a snapshot is given up later than blocks", a_snapshot_is_given_up_later_than_blocks},
        {"snapshots leave a feed to the log", snapshots_leave_a_feed_to_the_log},
        CU_TEST_INFO_NULL};
    return suite_run("primary_line", tests);
}
