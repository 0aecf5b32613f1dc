/*
 * test_primary_hostile.c - replicas that say what cannot be: each is cut off and counted, and costs the
 * others nothing.
 */
#include "scripted_feeder.h"

#include "primary_fixture.h"

static struct feeder feeder;

static void start(void)
{
    memset(&feeder, 0, sizeof feeder);
    fixture_start(&feeder);
    fixture_block(10, 20);
}

/* It was cut off for that, at once. */
static void is_cut_off(struct peer *peer)
{
    static uint64_t before;
    link_pair_run(peer->link);
    before = counted(REPLICATION_not_in_order);
    CU_ASSERT_EQUAL(before, 1);
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 0);
    CU_ASSERT_EQUAL(feeder.opened, feeder.closed);
    peer_free(peer);
    fixture_stop();
}

static void an_acknowledgement_of_what_was_not_sent(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer_ack(peer, fixture.next_lsn, 0, peer->stamp_ns);
    is_cut_off(peer);
}

static void an_acknowledgement_of_a_block_of_which_half_is_sent(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer->link->end[0].limit = 5000;
    fixture_big_block();
    fixture_turn();
    CU_ASSERT_TRUE(peer->link->end[0].length > 4000);
    peer_ack(peer, fixture.next_lsn - 1, 0, peer->stamp_ns);
    link_pair_move(peer->link, 1, SIZE_MAX);
    is_cut_off(peer);
}

static void an_acknowledgement_of_a_history_whose_beginning_is_not_reached(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello_at(1, OLD_HISTORY, OLD_LAST_LSN - 1);
    peer_says(peer, &hello); /* it waits for a feed: one change is missing */
    CU_ASSERT_EQUAL(peer->welcomes, 1);
    peer_ack(peer, FIRST_LSN - 1, 0, peer->stamp_ns);
    is_cut_off(peer);
}

static void a_durable_lsn_above_what_was_sent(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello_at(1, HISTORY, fixture.next_lsn - 1);
    hello.hello.flags |= HELLO_HAS_LOG;
    peer_says(peer, &hello);
    peer_ack(peer, fixture.next_lsn - 1, fixture.next_lsn, peer->stamp_ns);
    is_cut_off(peer);
}

static void a_durable_lsn_of_a_node_without_a_log(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer_ack(peer, fixture.next_lsn - 1, fixture.next_lsn - 1, peer->stamp_ns);
    is_cut_off(peer);
}

static void an_echo_of_a_time_that_was_not_sent(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer_ack(peer, fixture.next_lsn - 1, 0, peer->stamp_ns + 1);
    is_cut_off(peer);
}

static void an_acknowledgement_that_takes_one_back(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer_ack(peer, fixture.next_lsn - 1, 0, peer->stamp_ns);
    peer_settle(peer);
    CU_ASSERT_PTR_NOT_NULL(peer->session);
    peer_ack(peer, fixture.next_lsn - 2, 0, peer->stamp_ns);
    is_cut_off(peer);
}

static void an_acknowledgement_of_changes_before_the_table_is_empty(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello(1);
    peer_says(peer, &hello);
    peer_ack(peer, OLD_LAST_LSN, 0, 0);
    is_cut_off(peer);
}

static void an_acknowledgement_before_the_welcome_is_sent(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello(1);
    peer->link->end[0].no_room = true;
    peer_send(peer, &hello);
    link_pair_move(peer->link, 1, SIZE_MAX);
    fixture_turn();
    CU_ASSERT_EQUAL(peer->welcomes, 0);
    peer_ack(peer, 0, 0, 0);
    is_cut_off(peer);
}

static void an_acknowledgement_instead_of_a_hello(void)
{
    start();
    struct peer *peer = peer_open(1);
    peer_ack(peer, 0, 0, 0);
    is_cut_off(peer);
}

static void hello_twice_at_once(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello(1);
    peer_send(peer, &hello);
    peer_send(peer, &hello);
    is_cut_off(peer);
}

static void hello_twice(void)
{
    start();
    struct peer *peer = peer_streams(1);
    struct replication_message hello = peer_hello(2);
    peer_send(peer, &hello);
    is_cut_off(peer);
}

static void a_message_that_only_a_primary_sends(void)
{
    start();
    struct peer *peer = peer_streams(1);
    struct replication_message message = {.type = REPLICATION_HEARTBEAT};
    peer_send(peer, &message);
    is_cut_off(peer);
}

static void a_message_longer_than_a_replica_has(void)
{
    start();
    struct peer *peer = peer_streams(1);
    static uint8_t bytes[1000];
    struct replication_message message = {.type = REPLICATION_SNAPSHOT_CHUNK, .payload_bytes = sizeof bytes};
    channel_send(&peer->channel, &message, bytes, NULL, NULL);
    is_cut_off(peer);
}

static void garbage_after_the_hello(void)
{
    start();
    struct peer *peer = peer_streams(1);
    link_pair_inject(peer->link, 1, "garbage, and more of it than a record's header", 46);
    is_cut_off(peer);
}

static void a_record_that_was_changed_on_its_way(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer_ack(peer, fixture.next_lsn - 1, 0, peer->stamp_ns);
    link_pair_corrupt(peer->link, 1, 20, 1);
    is_cut_off(peer);
}

static void who_is_turned_away_is_not_listened_to_any_more(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello(1);
    hello.hello.capacity = 1;
    peer->link->end[0].no_room = true;
    peer_send(peer, &hello);
    link_pair_move(peer->link, 1, SIZE_MAX);
    fixture_turn();
    hello = peer_hello(1);
    peer_send(peer, &hello);
    link_pair_move(peer->link, 1, SIZE_MAX);
    peer->link->end[0].no_room = false;
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->refusals, 1);
    CU_ASSERT_EQUAL(peer->welcomes, 0);
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_not_in_order), 0);
    peer_free(peer);
    fixture_stop();
}

/* ---- one that stands still ---- */

static unsigned reserves;

static uint8_t *counting_reserve(void *stream, size_t least, size_t *room)
{
    reserves++;
    return link_pair_reserve(stream, least, room);
}

static void a_frozen_replica_costs_one_look_a_turn_and_the_others_nothing(void)
{
    start();
    struct link_functions counting = link_pair_functions;
    counting.reserve = counting_reserve;
    struct peer *frozen = peer_connect_from(1), *well = peer_streams(2);
    /* Its link is asked through us. */
    peer_free(frozen);
    frozen = calloc(1, sizeof *frozen);
    frozen->link = link_pair_new(20000);
    frozen->link->end[0].link.functions = &counting;
    link_pair_user(frozen->link, 0, &primary_end, frozen);
    link_pair_user(frozen->link, 1, &peer_end, frozen);
    frozen->session = primary_accept(fixture.primary, &frozen->link->end[0].link, fixture.now_ns);
    peer_begin(frozen, &fixture.keys);
    link_pair_run(frozen->link);
    struct replication_message hello = peer_hello_at(1, HISTORY, fixture.next_lsn - 1);
    frozen->next_lsn = fixture.next_lsn;
    peer_says(frozen, &hello);
    CU_ASSERT_EQUAL_FATAL(frozen->welcomes, 1);

    /* From here on it takes nothing. */
    well->answers = true;
    for (unsigned i = 0; i < 5; i++) {
        fixture_big_block();
        peer_settle(well);
    }
    CU_ASSERT_EQUAL(well->next_lsn, fixture.next_lsn);
    reserves = 0;
    for (unsigned i = 0; i < 1000; i++) {
        fixture.now_ns += MS / 4;
        fixture_block(1, 100);
        fixture_turn();
        link_pair_run(well->link);
    }
    CU_ASSERT_TRUE(reserves <= 1000);
    CU_ASSERT_EQUAL(well->next_lsn, fixture.next_lsn);
    CU_ASSERT_EQUAL(well->batches, 1005);
    CU_ASSERT_EQUAL(fixture_turn(), 0); /* what cannot go is nothing done: the lcore may rest */
    CU_ASSERT_PTR_NOT_NULL(frozen->session);
    peer_free(frozen);
    peer_free(well);
    fixture_stop();
}

static void a_turn_sends_so_much_and_no_more_and_each_has_its_share(void)
{
    start();
    enum { PEERS = 5 };
    struct peer *peer[PEERS];
    uint64_t least = UINT64_MAX, most = 0;

    for (unsigned i = 0; i < PEERS; i++) {
        peer[i] = peer_streams(i + 1);
        peer[i]->link->end[0].limit = SIZE_MAX / 2;
    }
    for (unsigned i = 0; i < 9; i++)
        fixture_big_block();
    for (unsigned turn = 0; turn < 10; turn++) {
        uint64_t before = counted(REPLICATION_sent_bytes);
        fixture_turn();
        uint64_t given = counted(REPLICATION_sent_bytes) - before;
        CU_ASSERT_TRUE(given >= PRIMARY_TURN_BYTES && given < PRIMARY_TURN_BYTES + WAL_BLOCK_BYTES_MAX);
    }
    for (unsigned i = 0; i < PEERS; i++) {
        uint64_t has = peer[i]->link->end[0].committed;
        least = has < least ? has : least;
        most = has > most ? has : most;
    }
    CU_ASSERT_TRUE(least > 0 && most - least <= 2 * WAL_BLOCK_BYTES_MAX);
    for (unsigned i = 0; i < PEERS; i++) {
        peer_settle(peer[i]);
        CU_ASSERT_EQUAL(peer[i]->batches, 9);
        peer_free(peer[i]);
    }
    fixture_stop();
}

static void those_who_can_go_on_all_at_once_do_so_in_turn(void)
{
    start();
    enum { PEERS = 8 };
    struct peer *peer[PEERS];

    for (unsigned i = 0; i < PEERS; i++) {
        peer[i] = peer_streams(i + 1);
        peer[i]->link->end[0].limit = 5000;
    }
    fixture_big_block();
    for (unsigned i = 0; i < PEERS; i++)
        fixture_turn();
    for (unsigned i = 0; i < PEERS; i++) {
        CU_ASSERT_TRUE(peer[i]->link->end[0].length > 4000); /* half of it is on its way to each */
        peer[i]->link->end[0].limit = SIZE_MAX / 2;
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        uint64_t before = counted(REPLICATION_sent_bytes);
        fixture_turn();
        CU_ASSERT_TRUE(counted(REPLICATION_sent_bytes) - before < PRIMARY_TURN_BYTES + WAL_BLOCK_BYTES_MAX);
    }
    for (unsigned i = 0; i < PEERS; i++) {
        peer_settle(peer[i]);
        CU_ASSERT_EQUAL(peer[i]->batches, 1);
        peer_free(peer[i]);
    }
    fixture_stop();
}

static void who_wants_little_is_not_kept_waiting_by_who_wants_much(void)
{
    start();
    struct peer *large = peer_streams(1), *small = peer_streams(2);

    large->link->end[0].limit = SIZE_MAX / 2;
    large->link->end[0].no_room = true;
    for (unsigned i = 0; i < 8; i++) {
        fixture_big_block();
        fixture_turn();
        link_pair_run(small->link);
    }
    large->link->end[0].no_room = false;
    fixture_block(1, 10);
    fixture_turn();
    fixture_turn();
    link_pair_run(small->link);
    link_pair_run(large->link);
    CU_ASSERT_EQUAL(small->next_lsn, fixture.next_lsn);
    CU_ASSERT_TRUE(large->batches > 1 && large->batches < 8);
    peer_free(large);
    peer_free(small);
    fixture_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"an acknowledgement of what was not sent", an_acknowledgement_of_what_was_not_sent},
        {"an acknowledgement of a block of which half is sent",
         an_acknowledgement_of_a_block_of_which_half_is_sent},
        {"an acknowledgement of a history whose beginning is not reached",
         an_acknowledgement_of_a_history_whose_beginning_is_not_reached},
        {"a durable LSN above what was sent", a_durable_lsn_above_what_was_sent},
        {"a durable LSN of a node without a log", a_durable_lsn_of_a_node_without_a_log},
        {"an echo of a time that was not sent", an_echo_of_a_time_that_was_not_sent},
        {"an acknowledgement that takes one back", an_acknowledgement_that_takes_one_back},
        {"an acknowledgement of changes before the table is empty",
         an_acknowledgement_of_changes_before_the_table_is_empty},
        {"an acknowledgement before the welcome is sent", an_acknowledgement_before_the_welcome_is_sent},
        {"an acknowledgement instead of a HELLO", an_acknowledgement_instead_of_a_hello},
        {"HELLO twice at once", hello_twice_at_once},
        {"HELLO twice", hello_twice},
        {"a message that only a primary sends", a_message_that_only_a_primary_sends},
        {"a message longer than a replica has", a_message_longer_than_a_replica_has},
        {"garbage after the HELLO", garbage_after_the_hello},
        {"a record that was changed on its way", a_record_that_was_changed_on_its_way},
        {"who is turned away is not listened to any more", who_is_turned_away_is_not_listened_to_any_more},
        {"a frozen replica costs one look a turn, and the others nothing",
         a_frozen_replica_costs_one_look_a_turn_and_the_others_nothing},
        {"a turn sends so much and no more, and each has its share",
         a_turn_sends_so_much_and_no_more_and_each_has_its_share},
        {"those who can go on all at once do so in turn", those_who_can_go_on_all_at_once_do_so_in_turn},
        {"who wants little is not kept waiting by who wants much",
         who_wants_little_is_not_kept_waiting_by_who_wants_much},
        CU_TEST_INFO_NULL};
    return suite_run("primary_hostile", tests);
}
