/*
 * test_primary_feed.c - from disk to memory and back: replicas that the tail
 * cannot serve, from a feeder that the test plays; and what becomes of what is
 * half sent when its bytes go.
 */
#include "primary_feed_fixture.h"

/* It streams, and its link holds a part of the block that is being sent. */
static struct peer *peer_with_a_block_half_sent(void)
{
    struct peer *peer = peer_streams(1);

    peer->link->end[0].limit = 5000;
    fixture_big_block();
    fixture_turn();
    return peer;
}

static void feed_ended(struct scripted_feed *feed, int error)
{
    struct feed_item item = {.type = FEED_ENDED, .error = error};
    scripted_put(feed, &item);
}

static uint8_t state_of(const struct peer *peer)
{
    struct primary_replica facts[PRIMARY_REPLICAS_MAX];
    unsigned count = primary_replicas(fixture.primary, fixture.now_ns, facts, PRIMARY_REPLICAS_MAX);
    for (unsigned i = 0; i < count; i++)
        if (facts[i].address[15] == peer->link->end[0].link.peer_address[15])
            return facts[i].state;
    return 0;
}

static void who_is_behind_the_tail_is_fed_from_disk_and_then_from_memory(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);
    struct scripted_feed *feed = scripted_open(&feeder, 0);

    CU_ASSERT_EQUAL(peer->welcome.start, WELCOME_RESUME);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feed);
    CU_ASSERT_EQUAL(feed->start, FEED_LOG);
    CU_ASSERT_EQUAL(feed->lsn, OLD_LAST_LSN);
    CU_ASSERT_EQUAL(feeder.durable_lsn, fixture.next_lsn - 1);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_CATCH_UP);
    CU_ASSERT_EQUAL(peer->batches, 0);
    feed_blocks(feed, 0, 3);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 3);
    /* Block 3 is in the tail, but not for long: only from its newer half on is it
   * taken from there. */
    feed_blocks(feed, 3, 2);
    feed_blocks(feed, 5, 2);
    peer_settle(peer);
    CU_ASSERT_TRUE(feed->open);
    feed_blocks(feed, 7, 2);
    feed_blocks(feed, 9, 2);
    peer_settle(peer);
    CU_ASSERT_FALSE(feed->open);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    CU_ASSERT_EQUAL(peer->batches, 13);
    CU_ASSERT_TRUE(counted(REPLICATION_tail_batches) > 0);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_STREAMING);
    CU_ASSERT_EQUAL(counted(REPLICATION_feeds), 1);
    peer_free(peer);
    fixture_stop();
}

static void a_feed_that_comes_to_the_logs_end_leads_to_memory(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);
    struct scripted_feed *feed = scripted_open(&feeder, 0);

    for (unsigned i = 0; i < 12; i += 2)
        feed_blocks(feed, i, 2);
    feed_blocks(feed, 12, 1);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    CU_ASSERT_EQUAL(peer->batches, 13);
    CU_ASSERT_FALSE(feed->open);
    fixture_block(3, 3);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    peer_free(peer);
    fixture_stop();
}

static void who_is_slower_than_the_log_is_fed_from_disk_before_the_tail_passes(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer->link->end[0].limit = 60000; /* about half a block a turn */

    for (unsigned i = 0; i < 40; i++) {
        fixture_big_block();
        fixture_turn();
        link_pair_move(peer->link, 0, SIZE_MAX);
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer->session);
        if (scripted_open(&feeder, 0) != NULL)
            break;
    }
    struct scripted_feed *feed = scripted_open(&feeder, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feed);
    CU_ASSERT_EQUAL(feed->start, FEED_LOG);
    CU_ASSERT_EQUAL(feed->lsn + 1, peer->next_lsn);
    CU_ASSERT_EQUAL(counted(REPLICATION_too_slow), 0);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_CATCH_UP);

    unsigned next = 0;
    while (fixture.block[next].first_lsn != peer->next_lsn || fixture.block[next].next_lsn == peer->next_lsn)
        next++;
    for (; next < fixture.blocks; next++) {
        if (!feed->open)
            break;
        feed_blocks(feed, next, 1);
        peer_settle(peer);
    }
    CU_ASSERT_FALSE(feed->open);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_STREAMING);
    peer_free(peer);
    fixture_stop();
}

static void without_a_feed_it_is_served_from_memory_as_long_as_that_goes(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer->link->end[0].no_room = true;
    feeder.busy = true;

    for (unsigned i = 0; i < 10; i++)
        fixture_big_block();
    /* One of the ten is more than seven eighths behind. */
    peer->link->end[0].no_room = false;
    peer_settle(peer);
    CU_ASSERT_TRUE(feeder.refused > 0);
    CU_ASSERT_EQUAL(peer->batches, 10);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    peer_free(peer);
    fixture_stop();
}

static void who_has_fallen_behind_the_tail_between_blocks_waits_for_a_feed(void)
{
    start();
    struct peer *peer = peer_streams(1);
    feeder.busy = true;

    outgrow_the_tail();
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 0);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_CATCH_UP);
    CU_ASSERT_PTR_NOT_NULL(peer->session);
    feeder.busy = false;
    peer_settle(peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(scripted_open(&feeder, 0));
    CU_ASSERT_EQUAL(scripted_open(&feeder, 0)->lsn, FIRST_LSN - 1);
    peer_free(peer);
    fixture_stop();
}

static void a_block_half_sent_when_the_tail_passes_ends_the_session(void)
{
    start();
    struct peer *peer = peer_with_a_block_half_sent();

    for (unsigned i = 0; i < 9; i++)
        fixture_big_block();
    fixture_turn();
    CU_ASSERT_FALSE(peer->link->end[0].aborted); /* it is still there, the oldest */
    fixture_big_block();
    uint64_t before = peer->link->end[0].committed;
    primary_writable(peer->session);
    CU_ASSERT_TRUE(peer->link->end[0].aborted);
    CU_ASSERT_EQUAL(peer->link->end[0].committed, before);
    CU_ASSERT_EQUAL(counted(REPLICATION_too_slow), 1);
    CU_ASSERT_EQUAL(fixture_said("it is so slow"), 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 0);
    link_pair_run(peer->link);
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(peer->batches, 0);
    peer_free(peer);
    fixture_stop();
}

static void a_block_of_the_feeders_may_be_half_sent_for_as_long_as_it_takes(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);
    struct scripted_feed *feed = scripted_open(&feeder, 0);

    peer->link->end[0].limit = 5000;
    feed_blocks(feed, 0, 2);
    fixture_turn();
    for (unsigned i = 0; i < 30; i++)
        fixture_big_block();
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 2);
    CU_ASSERT_PTR_NOT_NULL(peer->session);
    peer_free(peer);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    fixture_stop();
}

static void a_session_that_ends_with_a_block_half_sent_gives_its_feed_back(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);

    peer->link->end[0].limit = 5000;
    feed_blocks(scripted_open(&feeder, 0), 0, 2);
    fixture_turn();
    fixture_turn();
    peer_free(peer);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    CU_ASSERT_EQUAL(fixture_turn(), 0);
    fixture_stop();
}

static void a_bootstrap_is_the_snapshot_and_then_the_log_from_its_start(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_empty(1);
    struct scripted_feed *feed = scripted_open(&feeder, 0);

    CU_ASSERT_PTR_NOT_NULL_FATAL(feed);
    CU_ASSERT_EQUAL(feed->start, FEED_BOOTSTRAP);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_BOOTSTRAP);
    put_snapshot(feed, fixture.block[2].next_lsn - 1, fixture.block[4].next_lsn - 1);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->begins, 1);
    CU_ASSERT_EQUAL(peer->begin.start_lsn, fixture.block[2].next_lsn - 1);
    CU_ASSERT_EQUAL(peer->begin.flush_lsn, 17);
    CU_ASSERT_EQUAL(peer->begin.capacity, FIXTURE_CAPACITY);
    CU_ASSERT_EQUAL(peer->begin.wall_ms, 99);
    CU_ASSERT_EQUAL(peer->begin.bytes, 300000);
    CU_ASSERT_EQUAL(peer->chunks, 2);
    CU_ASSERT_EQUAL(peer->chunk_bytes, FEED_BUFFER_BYTES + 8);
    CU_ASSERT_EQUAL(peer->chunk_sum, 3 * (FEED_BUFFER_BYTES + 8));
    CU_ASSERT_EQUAL(peer->ends, 1);
    CU_ASSERT_EQUAL(peer->end.end_lsn, fixture.block[4].next_lsn - 1);
    CU_ASSERT_EQUAL(peer->end.items, 44);
    CU_ASSERT_EQUAL(counted(REPLICATION_bootstraps), 1);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_CATCH_UP);

    CU_ASSERT_EQUAL(peer->batches, 0);
    peer->next_lsn = fixture.block[3].first_lsn;
    for (unsigned i = 3; i < 11; i += 2)
        feed_blocks(feed, i, 2);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_STREAMING);
    peer_ack(peer, fixture.next_lsn - 1, 0, peer->stamp_ns);
    peer_settle(peer);
    CU_ASSERT_EQUAL(primary_replicated_lsn(fixture.primary, 1, true), fixture.next_lsn - 1);
    peer_free(peer);
    fixture_stop();
}

static void a_bootstrap_from_a_young_log_goes_on_from_memory(void)
{
    start();
    fixture_block(5, 5);
    struct peer *peer = peer_empty(1);

    put_snapshot(scripted_open(&feeder, 0), OLD_LAST_LSN, OLD_LAST_LSN);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->ends, 1);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    CU_ASSERT_EQUAL(peer->batches, 2);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    peer_free(peer);
    fixture_stop();
}

static void heartbeats_come_between_the_parts_of_a_snapshot(void)
{
    start();
    struct peer *peer = peer_empty(1);
    struct scripted_feed *feed = scripted_open(&feeder, 0);
    static uint8_t chunk[1000];
    struct feed_item item = {.type = FEED_BEGIN};

    scripted_put(feed, &item);
    item = (struct feed_item){.type = FEED_CHUNK, .bytes = chunk, .length = sizeof chunk};
    unsigned before = peer->heartbeats;
    for (unsigned i = 0; i < 1000; i++) {
        scripted_put(feed, &item);
        if (i % 300 == 0)
            peer_ack(peer, 0, 0, peer->stamp_ns);
        fixture_pass(1, &peer, 1);
    }
    CU_ASSERT_EQUAL(peer->chunks, 1000);
    CU_ASSERT_TRUE(peer->heartbeats >= before + 9);
    peer_free(peer);
    fixture_stop();
}

static void where_the_log_is_gone_the_replica_is_bootstrapped_when_it_comes_again(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);

    feed_ended(scripted_open(&feeder, 0), -ENOENT);
    peer_settle(peer);
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(peer->channel.end, CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(counted(REPLICATION_feed_ended), 1);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    peer_free(peer);

    peer = peer_behind(1);
    CU_ASSERT_EQUAL(peer->welcome.start, WELCOME_BOOTSTRAP);
    peer_free(peer);
    /* Who has one change more may still find it. */
    peer = peer_open(2);
    struct replication_message hello = peer_hello_at(2, HISTORY, FIRST_LSN);
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL(peer->welcome.start, WELCOME_RESUME);
    peer_free(peer);
    /* And who is served from memory needs no disk. */
    peer = peer_streams(3);
    CU_ASSERT_EQUAL(peer->welcome.start, WELCOME_RESUME);
    peer_free(peer);
    fixture_stop();
}

static void where_the_folder_is_gone_the_replica_keeps_what_it_has(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);

    feed_ended(scripted_open(&feeder, 0), -ESTALE);
    peer_settle(peer);
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(fixture_said("cannot be read from the log: its folder is gone"), 1);
    peer_free(peer);

    peer = peer_behind(1);
    CU_ASSERT_EQUAL(peer->welcome.start, WELCOME_RESUME);
    peer_free(peer);
    fixture_stop();
}

static void a_log_that_cannot_be_read_is_said_and_tried_again(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);

    feed_ended(scripted_open(&feeder, 0), -EIO);
    peer_settle(peer);
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(fixture_said("cannot be read from the log"), 1);
    CU_ASSERT_EQUAL(fixture.warnings, 1);
    peer_free(peer);
    peer = peer_behind(1);
    CU_ASSERT_EQUAL(peer->welcome.start, WELCOME_RESUME);
    CU_ASSERT_PTR_NOT_NULL(scripted_open(&feeder, 0));
    peer_free(peer);
    fixture_stop();
}

static void who_waits_for_a_feed_is_heard_from_and_served_in_turn(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer[FEEDS_MAX + 3];

    for (unsigned i = 0; i < FEEDS_MAX + 3; i++) {
        peer[i] = peer_behind(i + 1);
        peer[i]->answers = true;
        CU_ASSERT_EQUAL(peer[i]->welcome.start, WELCOME_RESUME);
    }
    CU_ASSERT_EQUAL(feeder.opened, FEEDS_MAX);
    unsigned before = peer[FEEDS_MAX]->heartbeats;
    fixture_pass(3 * TIMEOUT_MS, peer, FEEDS_MAX + 3);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), FEEDS_MAX + 3);
    CU_ASSERT_TRUE(peer[FEEDS_MAX]->heartbeats >= before + 29);

    /* Two feeds are free again: for those who came first. */
    peer_free(peer[1]);
    peer_free(peer[2]);
    fixture_pass(2, peer + 3, FEEDS_MAX);
    CU_ASSERT_EQUAL(feeder.opened, FEEDS_MAX + 2);
    feed_blocks(&feeder.feed[1], 0, 1);
    feed_blocks(&feeder.feed[2], 0, 1);
    fixture_pass(2, peer + 3, FEEDS_MAX);
    CU_ASSERT_EQUAL(peer[FEEDS_MAX]->batches, 1);
    CU_ASSERT_EQUAL(peer[FEEDS_MAX + 1]->batches, 1);
    CU_ASSERT_EQUAL(peer[FEEDS_MAX + 2]->batches, 0);
    peer_free(peer[0]);
    for (unsigned i = 3; i < FEEDS_MAX + 3; i++)
        peer_free(peer[i]);
    CU_ASSERT_EQUAL(feeder.opened, feeder.closed);
    fixture_stop();
}

/* The item that it left for memory was sent in part. */
static void who_left_a_feed_in_the_middle_of_an_item_is_fed_again_from_its_start(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);

    for (unsigned i = 0; i < 11; i += 2)
        feed_blocks(scripted_open(&feeder, 0), i, i + 2 <= 12 ? 2 : 1);
    peer_settle(peer);
    CU_ASSERT_EQUAL(state_of(peer), PRIMARY_REPLICA_STREAMING);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    unsigned from = fixture.blocks;
    outgrow_the_tail();
    peer_settle(peer);
    struct scripted_feed *feed = scripted_open(&feeder, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(feed);
    CU_ASSERT_EQUAL(feed->lsn, peer->next_lsn - 1);
    feed_blocks(feed, from, 2);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.block[from + 2].first_lsn);
    peer_free(peer);
    fixture_stop();
}

static void closing_sends_a_fed_block_to_its_end_before_the_feed_goes(void)
{
    start();
    outgrow_the_tail();
    struct peer *peer = peer_behind(1);

    peer->link->end[0].limit = 5000;
    feed_blocks(scripted_open(&feeder, 0), 0, 2);
    fixture_turn();
    peer_settle(peer);
    feed_blocks(scripted_open(&feeder, 0), 2, 1);
    fixture_turn();
    primary_close_all(fixture.primary);
    CU_ASSERT_EQUAL(feeder.closed, 0);
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 3);
    CU_ASSERT_EQUAL(peer->channel.end, CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    peer_free(peer);
    fixture_stop();
}

static void closing_does_not_send_bytes_that_the_tail_has_given_up(void)
{
    start();
    struct peer *peer = peer_with_a_block_half_sent();

    primary_close_all(fixture.primary);
    outgrow_the_tail();
    uint64_t before = peer->link->end[0].committed;
    link_pair_move(peer->link, 0, SIZE_MAX);
    fixture_turn();
    CU_ASSERT_TRUE(peer->link->end[0].aborted);
    CU_ASSERT_EQUAL(peer->link->end[0].committed, before);
    CU_ASSERT_EQUAL(counted(REPLICATION_too_slow), 1);
    peer_free(peer);
    fixture_stop();
}

static void closing_does_not_go_on_with_a_block_that_the_tail_has_given_up(void)
{
    start();
    struct peer *peer = peer_with_a_block_half_sent();

    outgrow_the_tail();
    uint64_t before = peer->link->end[0].committed;
    link_pair_move(peer->link, 0, SIZE_MAX); /* there is room, and nobody was told yet */
    primary_close_all(fixture.primary);
    CU_ASSERT_TRUE(peer->link->end[0].aborted);
    CU_ASSERT_EQUAL(peer->link->end[0].committed, before);
    peer_free(peer);
    fixture_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"who is behind the tail is fed from disk, and then from memory",
         who_is_behind_the_tail_is_fed_from_disk_and_then_from_memory},
        {"a feed that comes to the log's end leads to memory",
         a_feed_that_comes_to_the_logs_end_leads_to_memory},
        {"who is slower than the log is fed from disk before the tail passes",
         who_is_slower_than_the_log_is_fed_from_disk_before_the_tail_passes},
        {"without a feed it is served from memory as long as that goes",
         without_a_feed_it_is_served_from_memory_as_long_as_that_goes},
        {"who has fallen behind the tail between blocks waits for a feed",
         who_has_fallen_behind_the_tail_between_blocks_waits_for_a_feed},
        {"a block half sent when the tail passes ends the session",
         a_block_half_sent_when_the_tail_passes_ends_the_session},
        {"a block of the feeder's may be half sent for as long as it takes",
         a_block_of_the_feeders_may_be_half_sent_for_as_long_as_it_takes},
        {"a session that ends with a block half sent gives its feed back",
         a_session_that_ends_with_a_block_half_sent_gives_its_feed_back},
        {"closing does not go on with a block that the tail has given up",
         closing_does_not_go_on_with_a_block_that_the_tail_has_given_up},
        {"a bootstrap is the snapshot, and then the log from its start",
         a_bootstrap_is_the_snapshot_and_then_the_log_from_its_start},
        {"a bootstrap from a young log goes on from memory",
         a_bootstrap_from_a_young_log_goes_on_from_memory},
        {"heartbeats come between the parts of a snapshot", heartbeats_come_between_the_parts_of_a_snapshot},
        {"where the log is gone the replica is bootstrapped when it comes again",
         where_the_log_is_gone_the_replica_is_bootstrapped_when_it_comes_again},
        {"where the folder is gone the replica keeps what it has",
         where_the_folder_is_gone_the_replica_keeps_what_it_has},
        {"a log that cannot be read is said, and tried again",
         a_log_that_cannot_be_read_is_said_and_tried_again},
        {"who waits for a feed is heard from, and served in turn",
         who_waits_for_a_feed_is_heard_from_and_served_in_turn},
        {"who left a feed in the middle of an item is fed again from its start",
         who_left_a_feed_in_the_middle_of_an_item_is_fed_again_from_its_start},
        {"closing sends a fed block to its end before the feed goes",
         closing_sends_a_fed_block_to_its_end_before_the_feed_goes},
        {"closing does not send bytes that the tail has given up",
         closing_does_not_send_bytes_that_the_tail_has_given_up},
        CU_TEST_INFO_NULL};
    return suite_run("primary_feed", tests);
}
