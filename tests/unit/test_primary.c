/*
 * test_primary.c - a primary's sessions from HELLO to their end: what is welcomed, streamed, heard, timed out
 * and told.
 */
#include "scripted_feeder.h"

#include "primary_fixture.h"

static struct feeder feeder;

static void start(void)
{
    memset(&feeder, 0, sizeof feeder);
    fixture_start(&feeder);
}

static void an_empty_node_is_welcomed_to_a_bootstrap_and_fed_once_its_table_is_empty(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello(1);

    peer_says(peer, &hello);
    CU_ASSERT_EQUAL(peer->welcomes, 1);
    CU_ASSERT_EQUAL(peer->welcome.start, WELCOME_BOOTSTRAP);
    CU_ASSERT_EQUAL(feeder.opened, 0);
    CU_ASSERT_EQUAL(counted(REPLICATION_sessions), 1);
    CU_ASSERT_EQUAL(fixture_said("begins anew"), 1);

    peer_ack(peer, 0, 0, 0);
    peer_settle(peer);
    CU_ASSERT_EQUAL(feeder.opened, 1);
    CU_ASSERT_EQUAL(scripted_open(&feeder, 0)->start, FEED_BOOTSTRAP);
    peer_free(peer);
    CU_ASSERT_EQUAL(feeder.closed, 1);
    fixture_stop();
}

static void a_welcome_says_who_we_are_and_what_we_have(void)
{
    start();
    fixture_block(3, 10);
    struct peer *peer = peer_streams(1);
    const struct replication_welcome *welcome = &peer->welcome;

    CU_ASSERT_EQUAL(welcome->version, REPLICATION_VERSION);
    CU_ASSERT_EQUAL(welcome->start, WELCOME_RESUME);
    CU_ASSERT_EQUAL(welcome->node_id, PRIMARY_ID);
    CU_ASSERT_EQUAL(memcmp(welcome->cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES), 0);
    CU_ASSERT_EQUAL(welcome->capacity, FIXTURE_CAPACITY);
    CU_ASSERT_EQUAL(welcome->durable_lsn, FIRST_LSN + 2);
    CU_ASSERT_EQUAL(welcome->acknowledged_lsn, FIRST_LSN + 2);
    CU_ASSERT_EQUAL(welcome->epoch, EPOCH);
    CU_ASSERT_EQUAL(welcome->wall_ms, fixture.wall_ms);
    CU_ASSERT_EQUAL(welcome->heartbeat_ms, HEARTBEAT_MS);
    CU_ASSERT_EQUAL(welcome->timeout_ms, TIMEOUT_MS);
    CU_ASSERT_EQUAL(welcome->client_port, 7878);
    CU_ASSERT_EQUAL(welcome->client_address[15], 7);
    CU_ASSERT_EQUAL(welcome->histories, 2);
    CU_ASSERT_EQUAL(peer->first_history.id, OLD_HISTORY);
    CU_ASSERT_EQUAL(peer->last_history.id, HISTORY);
    CU_ASSERT_EQUAL(peer->last_history.first_lsn, FIRST_LSN);
    CU_ASSERT_EQUAL(peer->last_history.before_lsn, OLD_LAST_LSN);
    CU_ASSERT_EQUAL(peer->last_history.node_id, PRIMARY_ID);
    CU_ASSERT_EQUAL(peer->last_history.epoch, EPOCH);
    peer_free(peer);
    fixture_stop();
}

static void a_welcome_with_as_many_histories_as_a_log_remembers_comes_whole(void)
{
    start();
    primary_destroy(fixture.primary);
    fixture.meta.count = META_HISTORIES_MAX;
    for (unsigned i = 0; i < META_HISTORIES_MAX; i++)
        fixture.meta.history[i] = (struct history){.id = i + 1,
                                                   .first_lsn = (uint64_t)(i + 2) << 32,
                                                   .node_id = PRIMARY_ID,
                                                   .before_lsn = i > 0 ? (uint64_t)(i + 1) << 32 : 5,
                                                   .epoch = i + 1};
    struct primary_config config = fixture_config();
    fixture.primary = primary_create(&config);
    fixture_turn();

    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello(1);
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL(peer->welcome.histories, META_HISTORIES_MAX);
    CU_ASSERT_EQUAL(peer->welcome.epoch, META_HISTORIES_MAX);
    CU_ASSERT_EQUAL(peer->first_history.id, 1);
    CU_ASSERT_EQUAL(peer->last_history.id, META_HISTORIES_MAX);
    peer_free(peer);
    fixture_stop();
}

static void who_has_all_of_it_is_sent_what_becomes_durable_and_nothing_else(void)
{
    start();
    fixture_block(3, 10);
    struct peer *peer = peer_streams(1);

    CU_ASSERT_EQUAL(peer->batches, 0);
    CU_ASSERT_EQUAL(fixture_said("goes on after LSN 8589934594"), 1);
    for (unsigned i = 0; i < 50; i++) {
        fixture_block(1 + i % 5, i);
        if (i % 3 == 0)
            peer_settle(peer);
    }
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 50);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    CU_ASSERT_EQUAL(peer->acknowledged_lsn, fixture.next_lsn - 1);
    CU_ASSERT_EQUAL(counted(REPLICATION_tail_batches), 50);
    CU_ASSERT_EQUAL(counted(REPLICATION_feeds), 0);
    peer_free(peer);
    fixture_stop();
}

/* The log's writer may say so of blocks in a folder that is gone (node_log.c). */
static void what_the_node_does_not_count_on_is_not_sent(void)
{
    start();
    fixture_block(10, 20);
    struct peer *peer = peer_streams(1);
    struct primary_log log = fixture.log;
    fixture_block(10, 20);
    struct primary_log later = fixture.log;
    fixture.log = log;
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 0);
    fixture.log = later;
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 1);
    peer_free(peer);
    fixture_stop();
}

static void who_has_a_part_of_what_is_in_memory_goes_on_from_there(void)
{
    start();
    for (unsigned i = 0; i < 10; i++)
        fixture_block(4, 20);
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello_at(1, HISTORY, FIRST_LSN + 15);

    peer->next_lsn = FIRST_LSN + 16;
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL(peer->batches, 6);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    CU_ASSERT_EQUAL(feeder.opened, 0);
    peer_free(peer);
    fixture_stop();
}

static void who_ends_with_the_history_before_is_sent_the_mark_that_opens_ours(void)
{
    start();
    fixture_block(2, 20);
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello_at(1, OLD_HISTORY, OLD_LAST_LSN);

    peer_says(peer, &hello);
    CU_ASSERT_EQUAL(peer->batches, 2); /* the mark, and the two changes */
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    peer_free(peer);
    fixture_stop();
}

static void an_acknowledgement_between_histories_is_of_all_before_them(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello_at(1, OLD_HISTORY, OLD_LAST_LSN);

    peer_says(peer, &hello);
    /* It has had the mark before, in another session. */
    peer_ack(peer, FIRST_LSN - 1, 0, peer->stamp_ns);
    peer_settle(peer);
    CU_ASSERT_PTR_NOT_NULL(peer->session);
    CU_ASSERT_EQUAL(primary_replicated_lsn(fixture.primary, 1, true), FIRST_LSN - 1);
    peer_free(peer);
    fixture_stop();
}

static void blocks_come_whole_however_little_room_there_is(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer->link->end[0].limit = 700;
    peer->link->end[0].segment = 600;
    for (unsigned i = 0; i < 5; i++)
        fixture_big_block();
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 5);
    CU_ASSERT_EQUAL(peer->next_lsn, fixture.next_lsn);
    peer_free(peer);
    fixture_stop();
}

static void heartbeats_come_when_nothing_else_does(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer->answers = true;
    unsigned before = peer->heartbeats;

    fixture_pass(HEARTBEAT_MS * 5, &peer, 1);
    CU_ASSERT_EQUAL(peer->heartbeats, before + 5);
    CU_ASSERT_EQUAL(peer->durable_lsn, fixture.log.durable_lsn);
    /* Blocks are as good as heartbeats. */
    for (unsigned i = 0; i < 5 * HEARTBEAT_MS; i++) {
        fixture_block(1, 8);
        fixture_pass(1, &peer, 1);
    }
    CU_ASSERT_EQUAL(peer->heartbeats, before + 5);
    CU_ASSERT_EQUAL(peer->batches, 5 * HEARTBEAT_MS);
    peer_free(peer);
    fixture_stop();
}

static void what_is_acknowledged_is_told_at_once_even_if_nothing_else_is_to_say(void)
{
    start();
    struct peer *peer = peer_streams(1);

    fixture_block(1, 8);
    fixture.log.acknowledged_lsn--; /* other replicas do not have it yet */
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 1);
    CU_ASSERT_EQUAL(peer->acknowledged_lsn, fixture.next_lsn - 2);
    unsigned before = peer->heartbeats;
    fixture.log.acknowledged_lsn++;
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->heartbeats, before + 1);
    CU_ASSERT_EQUAL(peer->acknowledged_lsn, fixture.next_lsn - 1);
    peer_free(peer);
    fixture_stop();
}

static void who_is_not_heard_of_in_time_is_given_up(void)
{
    start();
    struct peer *answering = peer_streams(1), *silent = peer_streams(2);
    struct peer *both[] = {answering, silent};

    answering->answers = true;
    fixture_pass(TIMEOUT_MS - 1, both, 2);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 2);
    fixture_pass(2, both, 2);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 1);
    CU_ASSERT_PTR_NULL(silent->session);
    CU_ASSERT_PTR_NOT_NULL(answering->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_timed_out), 1);
    CU_ASSERT_EQUAL(fixture_said("nothing was heard of it in time"), 1);
    peer_free(answering);
    peer_free(silent);
    fixture_stop();
}

/* SIGSTOP, a machine that was moved: what replicas have said meanwhile comes with the next turns. */
static void who_was_not_there_itself_gives_nobody_up_for_it(void)
{
    start();
    struct peer *peer = peer_streams(1);

    fixture_pass(TIMEOUT_MS / 2, &peer, 1);
    fixture.now_ns += TIMEOUT_MS * MS * 3 / 4;
    fixture_turn();
    CU_ASSERT_PTR_NOT_NULL(peer->session);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 1);
    fixture_pass(TIMEOUT_MS - 1, &peer, 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 1);
    fixture_pass(1, &peer, 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 0);
    CU_ASSERT_EQUAL(counted(REPLICATION_timed_out), 1);
    peer_free(peer);
    fixture_stop();
}

static void who_empties_its_table_is_given_time_and_told_that_we_are_there(void)
{
    start();
    struct peer *peer = peer_open(1);
    struct replication_message hello = peer_hello(1);

    peer_says(peer, &hello);
    fixture_pass(10 * TIMEOUT_MS, &peer, 1);
    CU_ASSERT_PTR_NOT_NULL(peer->session);
    CU_ASSERT_TRUE(peer->heartbeats >= 10 * TIMEOUT_MS / HEARTBEAT_MS);
    for (uint64_t passed_ns = 0; passed_ns < PRIMARY_EMPTY_NS; passed_ns += TIMEOUT_MS / 4 * MS) {
        fixture.now_ns += TIMEOUT_MS / 4 * MS;
        fixture_pass(1, &peer, 1);
    }
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_timed_out), 1);
    peer_free(peer);
    fixture_stop();
}

static void a_link_that_takes_a_block_slowly_is_not_silence(void)
{
    start();
    struct peer *peer = peer_streams(1);
    peer->link->end[0].limit = 1000;
    fixture_big_block();
    fixture_turn();
    /* 1,000 bytes each 100 ms: ten seconds for the block, and no word back before it is there. */
    for (unsigned i = 0; i < 95; i++) {
        for (unsigned ms = 0; ms < 100; ms++) {
            fixture.now_ns += MS;
            fixture_turn();
        }
        CU_ASSERT_EQUAL_FATAL(primary_replica_count(fixture.primary), 1);
        link_pair_move(peer->link, 0, 1000);
    }
    CU_ASSERT_EQUAL(peer->batches, 0);
    /* And one that takes no more is. */
    for (unsigned ms = 0; ms < TIMEOUT_MS + 200; ms++) {
        fixture.now_ns += MS;
        fixture_turn();
    }
    link_pair_run(peer->link);
    CU_ASSERT_PTR_NULL(peer->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_timed_out), 1);
    peer_free(peer);
    fixture_stop();
}

static void a_link_that_goes_without_a_word_is_counted_and_one_that_is_closed_is_not(void)
{
    start();
    struct peer *cut = peer_streams(1), *closing = peer_streams(2);

    link_pair_cut(cut->link);
    CU_ASSERT_PTR_NULL(cut->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_cut), 1);
    channel_close(&closing->channel);
    link_pair_run(closing->link);
    CU_ASSERT_PTR_NULL(closing->session);
    CU_ASSERT_EQUAL(counted(REPLICATION_cut), 1);
    CU_ASSERT_EQUAL(fixture_said("it has said goodbye"), 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 0);
    peer_free(cut);
    peer_free(closing);
    fixture_stop();
}

static void a_node_that_comes_again_replaces_its_old_session(void)
{
    start();
    struct peer *old = peer_streams(1), *other = peer_streams(2);
    peer_ack(old, FIRST_LSN - 1, 0, old->stamp_ns);
    peer_settle(old);
    struct peer *new = peer_streams(1);

    link_pair_run(old->link);
    CU_ASSERT_PTR_NULL(old->session);
    CU_ASSERT_TRUE(old->left);
    CU_ASSERT_PTR_NOT_NULL(new->session);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 2);
    CU_ASSERT_EQUAL(counted(REPLICATION_replaced), 1);
    peer_free(old);
    peer_free(new);
    peer_free(other);
    fixture_stop();
}

/* What the newcomer, who says so, is told; 0: it follows, and the one that was there is gone. */
static uint16_t comes_as(struct peer *there, uint8_t host, const struct replication_message *hello)
{
    uint64_t refused = counted(REPLICATION_refused), replaced = counted(REPLICATION_replaced);
    struct peer *newcomer = peer_open(host);
    peer_says(newcomer, hello);
    link_pair_run(there->link);
    uint16_t reason = newcomer->refusals > 0 ? newcomer->refuse.reason : 0;
    CU_ASSERT_EQUAL(newcomer->welcomes, reason == 0);
    CU_ASSERT_EQUAL(counted(REPLICATION_refused), refused + (reason != 0));
    CU_ASSERT_EQUAL(counted(REPLICATION_replaced), replaced + (reason == 0));
    CU_ASSERT_EQUAL(there->session == NULL, reason == 0);
    if (reason != 0)
        CU_ASSERT_PTR_NOT_NULL(strstr(newcomer->refuse.text, "is that of r ("));
    peer_free(newcomer);
    return reason;
}

static void two_nodes_of_one_id_do_not_take_turns(void)
{
    start();
    struct peer *there = peer_streams(1);
    struct replication_message same = peer_hello_at(1, HISTORY, fixture.next_lsn - 1), renamed = same,
                               moved = same;

    renamed.hello.name[0] = 's';
    moved.hello.client_port++;
    CU_ASSERT_EQUAL(comes_as(there, 1, &renamed), REFUSE_SAME_NODE);
    CU_ASSERT_EQUAL(comes_as(there, 1, &moved), REFUSE_SAME_NODE);
    CU_ASSERT_EQUAL(comes_as(there, 2, &same), REFUSE_SAME_NODE);
    CU_ASSERT_EQUAL(fixture_said("is turned away: node id 0000000000000001 is that of r ("), 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 1);
    CU_ASSERT_EQUAL(comes_as(there, 1, &same), 0);
    peer_free(there);
    fixture_stop();
}

static void a_node_that_has_moved_follows_when_its_former_session_is_silent(void)
{
    start();
    struct peer *there = peer_streams(1);
    struct replication_message hello = peer_hello_at(1, HISTORY, fixture.next_lsn - 1);

    CU_ASSERT_EQUAL(comes_as(there, 2, &hello), REFUSE_SAME_NODE);
    for (unsigned i = 0; i < 2; i++) { /* in two steps: in one it would be the primary that was away */
        fixture.now_ns += TIMEOUT_MS / 2 * MS;
        peer_settle(there);
    }
    CU_ASSERT_EQUAL(counted(REPLICATION_timed_out), 1);
    peer_free(there);
    there = peer_open(2);
    peer_says(there, &hello);
    CU_ASSERT_EQUAL(there->welcomes, 1);
    peer_free(there);
    fixture_stop();
}

/* Its former session, which may be silent for a minute while its table is emptied. */
static void a_node_that_has_moved_does_not_wait_for_a_table_that_nobody_empties(void)
{
    start();
    struct replication_message hello = peer_hello(1);
    struct peer *there = peer_open(1);

    peer_says(there, &hello);
    CU_ASSERT_EQUAL(there->welcomes, 1);
    for (unsigned i = 0; i < 2; i++) {
        fixture.now_ns += TIMEOUT_MS / 2 * MS;
        peer_settle(there);
    }
    CU_ASSERT_PTR_NOT_NULL(there->session);
    CU_ASSERT_EQUAL(comes_as(there, 2, &hello), 0);
    peer_free(there);
    fixture_stop();
}

static void close_all_tells_them_and_nobody_comes_after(void)
{
    start();
    struct peer *replica = peer_streams(1), *shaking = peer_connect_from(2), *open = peer_open(3);

    fixture_big_block();
    fixture_turn();
    primary_close_all(fixture.primary);
    for (unsigned i = 0; i < 4; i++) {
        link_pair_run(replica->link);
        fixture_turn();
    }
    link_pair_run(shaking->link);
    link_pair_run(open->link);
    CU_ASSERT_EQUAL(replica->batches, 1); /* what was on its way came whole */
    CU_ASSERT_EQUAL(replica->channel.end, CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(open->channel.end, CHANNEL_CLOSED);
    CU_ASSERT_PTR_NULL(replica->session);
    CU_ASSERT_PTR_NULL(shaking->session);
    CU_ASSERT_PTR_NULL(open->session);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 0);
    CU_ASSERT_PTR_NULL(peer_connect_from(4));
    peer_free(replica);
    peer_free(shaking);
    peer_free(open);
    fixture_stop();
}

static void who_does_not_hang_up_is_cut_off_in_the_end(void)
{
    start();
    struct peer *peer = peer_streams(1);

    fixture_big_block();
    peer->link->end[0].limit = 5000; /* it takes nothing any more */
    fixture_turn();
    primary_close_all(fixture.primary);
    fixture_turn();
    CU_ASSERT_FALSE(peer->link->end[0].aborted);
    fixture.now_ns += PRIMARY_END_NS;
    fixture_turn();
    CU_ASSERT_TRUE(peer->link->end[0].aborted);
    CU_ASSERT_EQUAL(fixture_turn(), 0);
    link_pair_run(peer->link);
    CU_ASSERT_PTR_NULL(peer->session);
    peer_free(peer);
    fixture_stop();
}

static void destroying_aborts_what_is_there(void)
{
    start();
    struct peer *peer[] = {peer_streams(1), peer_streams(2), peer_connect_from(3)};

    peer_ack(peer[0], fixture.next_lsn, 0,
             0); /* of what was not sent: it is cut off, its link is about to go */
    link_pair_move(peer[0]->link, 1, SIZE_MAX);
    CU_ASSERT_TRUE(peer[0]->link->end[0].aborted);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 1);
    primary_destroy(fixture.primary);
    fixture.primary = NULL;
    CU_ASSERT_TRUE(peer[1]->link->end[0].aborted);
    CU_ASSERT_TRUE(peer[2]->link->end[0].aborted);
    for (unsigned i = 0; i < 3; i++) {
        peer[i]->link->end[0].functions = NULL;
        peer[i]->session = NULL;
        peer_free(peer[i]);
    }
    fixture_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"an empty node is welcomed to a bootstrap, and fed once its table is empty",
         an_empty_node_is_welcomed_to_a_bootstrap_and_fed_once_its_table_is_empty},
        {"a welcome says who we are and what we have", a_welcome_says_who_we_are_and_what_we_have},
        {"a welcome with as many histories as a log remembers comes whole",
         a_welcome_with_as_many_histories_as_a_log_remembers_comes_whole},
        {"who has all of it is sent what becomes durable, and nothing else",
         who_has_all_of_it_is_sent_what_becomes_durable_and_nothing_else},
        {"what the node does not count on is not sent", what_the_node_does_not_count_on_is_not_sent},
        {"who was not there itself gives nobody up for it", who_was_not_there_itself_gives_nobody_up_for_it},
        {"who has a part of what is in memory goes on from there",
         who_has_a_part_of_what_is_in_memory_goes_on_from_there},
        {"who ends with the history before is sent the mark that opens ours",
         who_ends_with_the_history_before_is_sent_the_mark_that_opens_ours},
        {"an acknowledgement between histories is of all before them",
         an_acknowledgement_between_histories_is_of_all_before_them},
        {"blocks come whole, however little room there is", blocks_come_whole_however_little_room_there_is},
        {"heartbeats come when nothing else does", heartbeats_come_when_nothing_else_does},
        {"what is acknowledged is told at once, even if nothing else is to say",
         what_is_acknowledged_is_told_at_once_even_if_nothing_else_is_to_say},
        {"who is not heard of in time is given up", who_is_not_heard_of_in_time_is_given_up},
        {"who empties its table is given time, and told that we are there",
         who_empties_its_table_is_given_time_and_told_that_we_are_there},
        {"a link that takes a block slowly is not silence", a_link_that_takes_a_block_slowly_is_not_silence},
        {"a link that goes without a word is counted, and one that is closed is not",
         a_link_that_goes_without_a_word_is_counted_and_one_that_is_closed_is_not},
        {"a node that comes again replaces its old session",
         a_node_that_comes_again_replaces_its_old_session},
        {"two nodes of one id do not take turns", two_nodes_of_one_id_do_not_take_turns},
        {"a node that has moved follows when its former session is silent",
         a_node_that_has_moved_follows_when_its_former_session_is_silent},
        {"a node that has moved does not wait for a table that nobody empties",
         a_node_that_has_moved_does_not_wait_for_a_table_that_nobody_empties},
        {"close_all tells them, and nobody comes after", close_all_tells_them_and_nobody_comes_after},
        {"who does not hang up is cut off in the end", who_does_not_hang_up_is_cut_off_in_the_end},
        {"destroying aborts what is there", destroying_aborts_what_is_there},
        CU_TEST_INFO_NULL};
    return suite_run("primary", tests);
}
