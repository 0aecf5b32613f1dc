/*
 * test_replica_log.c - a replica with a log of its own: what comes is there before it is applied, the primary is told what
 * is durable, and where the log has no room, the session stands still and is kept.
 */
#include "replica_log_fixture.h"

static struct stage *s;
static struct own_log own;

static void set_up(void)
{
    s = aligned_alloc(64, sizeof *s);
    own_open(&own, s);
}

static void tear_down(void)
{
    stage_close_all(s);
    free(s);
}

/* ---- beginning with nothing ---- */

static void a_log_is_adopted_when_the_table_is_whole(void)
{
    stage_primary_has(s, 120);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_LOG);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 1 && !own.keep_tail);
    CU_ASSERT(own.learn_asked == 0 && s->acks == 1 && s->ack.durable_lsn == 0);
    stage_begin(s, STAGE_FIRST + 99, 0);
    stage_chunk(s, STAGE_FIRST, 100);
    stage_end(s, STAGE_FIRST + 109, 100);
    CU_ASSERT_EQUAL(own.adopts, 0);
    stage_block(s, 0x11, STAGE_FIRST + 100, 10);
    CU_ASSERT(own.adopts == 1 && own.appends == 0);
    CU_ASSERT(own.adopted.history == 0x11 && own.adopted.last_lsn == STAGE_FIRST + 109 &&
              own.adopted.next_lsn == STAGE_FIRST + 110);
    CU_ASSERT(own.histories.count == 1 && own.histories.history[0].id == 0x11);
    CU_ASSERT(memcmp(own.histories.cluster_id, "cluster of test", CLUSTER_ID_BYTES) == 0);
    /* the new log is written while it is adopted, and nothing of it counts */
    stage_block(s, 0x11, STAGE_FIRST + 110, 10);
    CU_ASSERT(own.records == 10 && s->view.serving && stage_facts(s).adopting);
    CU_ASSERT(s->ack.applied_lsn == STAGE_FIRST + 119 && s->ack.durable_lsn == 0);
    own_switch(&own);
    stage_run(s);
    CU_ASSERT(s->ack.durable_lsn == STAGE_FIRST + 119 && !stage_facts(s).adopting);
}

/* A promotion waits for it, and its primary may be gone. */
static void an_adoption_ends_without_a_session_too(void)
{
    stage_primary_has(s, 10);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_FIRST + 9, 0);
    stage_chunk(s, STAGE_FIRST, 10);
    stage_end(s, STAGE_FIRST + 9, 10);
    CU_ASSERT_TRUE(stage_facts(s).adopting);
    replica_stop_following(s->replica);
    stage_pass(s, 10);
    CU_ASSERT(stage_facts(s).adopting && !stage_facts(s).link_there);
    own_switch(&own);
    stage_run(s);
    CU_ASSERT_FALSE(stage_facts(s).adopting);
}

static void a_log_without_a_change_begins_with_the_first_history(void)
{
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, 0, 0);
    stage_end(s, 0, 0);
    CU_ASSERT(own.adopts == 1 && own.adopted.history == 0x11 && own.adopted.last_lsn == 0 &&
              own.adopted.next_lsn == STAGE_FIRST);
    stage_block(s, 0x11, STAGE_FIRST, 0);
    CU_ASSERT_EQUAL(own.appends, 0);
    stage_block(s, 0x11, STAGE_FIRST, 3);
    CU_ASSERT(own.records == 3 && s->view.serving);
    own_switch(&own);
    stage_run(s);
    CU_ASSERT_EQUAL(s->ack.durable_lsn, STAGE_FIRST + 2);
}

/* Somebody may be walking the table for a snapshot of the old log. */
static void nothing_is_cleared_before_the_old_log_has_ended(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    own.gives_up = false;
    stage_until_hello(s);
    unsigned acks = s->acks;
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 1 && stage_facts(s).phase == REPLICA_CLEARING);
    stage_heartbeat(s, STAGE_FIRST + 9);
    CU_ASSERT(stage_items(s) == 10 && s->acks == acks);
    own.gives_up = true;
    stage_run(s);
    CU_ASSERT(stage_items(s) == 0 && s->acks == acks + 1 && own.give_ups == 1);
}

static void an_adoption_that_another_bootstrap_overtakes_is_given_up(void)
{
    stage_follow(s, 10);
    CU_ASSERT(own.adopts == 1 && own.adopting);
    stage_cut(s);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_LOG | HELLO_HAS_DATA);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 2 && !own.keep_tail && own.adopts == 1 && stage_items(s) == 0);
    stage_cut(s); /* and again, before the table is whole */
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 3 && own.adopts == 1);
    stage_begin(s, STAGE_FIRST + 19, 0);
    stage_chunk(s, STAGE_FIRST, 20);
    stage_end(s, STAGE_FIRST + 19, 20);
    CU_ASSERT(own.adopts == 2 && own.adopted.last_lsn == STAGE_FIRST + 19);
    own_switch(&own);
    stage_run(s);
    CU_ASSERT_EQUAL(s->ack.durable_lsn, STAGE_FIRST + 19);
}

/* A list that forgot the history of the snapshot's place: what the log's first block should say is not known. */
static void a_snapshot_of_a_history_without_a_name_is_not_adopted(void)
{
    stage_second_history(s, STAGE_FIRST + 9);
    s->history[0] = s->history[1];
    s->welcome.histories = 1;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_FIRST + 4, 0);
    stage_chunk(s, STAGE_FIRST, 5);
    stage_end(s, STAGE_FIRST + 4, 5);
    CU_ASSERT(own.adopts == 0 && stage_facts(s).phase == REPLICA_WAITING && !stage_facts(s).has_data);
}

/* ---- going on ---- */

static void resume_from(uint64_t last_lsn, uint64_t durable)
{
    own_recovered(&own, 0x11, last_lsn);
    stage_primary_has(s, (unsigned)(durable - STAGE_FIRST + 1));
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL_FATAL(stage_facts(s).phase, REPLICA_FOLLOWING);
}

static void what_the_folder_held_is_resumed_from(void)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 19);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_LOG | HELLO_HAS_DATA);
    CU_ASSERT(s->hello.history == 0x11 && s->hello.lsn == STAGE_FIRST + 9 && s->hello.epoch == 1);
    CU_ASSERT(memcmp(s->hello.cluster_id, "cluster of test", CLUSTER_ID_BYTES) == 0);
    CU_ASSERT(own.give_ups == 0 && own.adopts == 0);
    CU_ASSERT_EQUAL(s->ack.durable_lsn, STAGE_FIRST + 9); /* at once: a write may wait for it */
    stage_block(s, 0x11, STAGE_FIRST + 10, 10);
    CU_ASSERT(own.records == 10 && s->view.serving && s->ack.durable_lsn == STAGE_FIRST + 19);
}

/* With --min-replicas the end of the log may not be acknowledged; who was removed there has left no trace. */
static void what_the_folder_held_is_shown_once_all_of_it_is_acknowledged(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_primary_has(s, 10);
    s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_FIRST + 5;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_heartbeat(s, STAGE_FIRST + 9);
    CU_ASSERT_FALSE(s->view.serving);
    CU_ASSERT_EQUAL(s->ack.durable_lsn, STAGE_FIRST + 9);
    s->acknowledged_lsn = STAGE_FIRST + 9;
    stage_heartbeat(s, STAGE_FIRST + 9);
    CU_ASSERT(s->view.serving && s->point == STAGE_FIRST + 9);
}

static void what_is_there_already_is_not_written_again(void)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 19);
    stage_block(s, 0x11, STAGE_FIRST + 5, 10); /* cut otherwise than ours */
    CU_ASSERT(own.records == 5 && own.next_lsn == STAGE_FIRST + 15);
    stage_block(s, 0x11, STAGE_FIRST + 17, 3); /* a gap */
    CU_ASSERT(own.records == 5 && stage_facts(s).phase == REPLICA_WAITING);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.lsn, STAGE_FIRST + 14);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x11, STAGE_FIRST + 15, 5);
    CU_ASSERT(own.records == 10 && stage_items(s) == 20);
}

static void a_history_is_entered_by_its_first_record(void)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 9);
    stage_cut(s);
    stage_second_history(s, STAGE_FIRST + 9);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT(own.histories.count == 2 && own.histories.history[1].id == 0x22);
    stage_block(s, 0x22, STAGE_SECOND, 0);
    CU_ASSERT(own.appends == 0 && own.history == 0x11);
    /* no change is missing on this disk: so it is durable up to where the history begins */
    CU_ASSERT(s->ack.applied_lsn == STAGE_SECOND - 1 && s->ack.durable_lsn == STAGE_SECOND - 1);
    stage_block(s, 0x22, STAGE_SECOND, 4);
    CU_ASSERT(own.records == 4 && own.history == 0x22 && s->ack.durable_lsn == STAGE_SECOND + 3);
}

static void what_is_applied_and_not_durable_yet_is_told_when_it_is(void)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 9);
    own.lazy = true;
    stage_block(s, 0x11, STAGE_FIRST + 10, 10);
    CU_ASSERT(s->ack.applied_lsn == STAGE_FIRST + 19 && s->ack.durable_lsn == STAGE_FIRST + 9);
    unsigned acks = s->acks;
    stage_run(s);
    CU_ASSERT_EQUAL(s->acks, acks);
    own.durable_lsn = STAGE_FIRST + 13;
    stage_run(s);
    CU_ASSERT(s->acks == acks + 1 && s->ack.durable_lsn == STAGE_FIRST + 13);
    own.durable_lsn = STAGE_FIRST + 19;
    stage_run(s);
    CU_ASSERT(s->acks == acks + 2 && s->ack.durable_lsn == STAGE_FIRST + 19);
    CU_ASSERT_EQUAL(s->ack.applied_lsn, STAGE_FIRST + 19);
}

/* A log that begins anew from the table as it is has nothing durable; the folder still has what was told of the old one. */
static void what_was_told_to_be_durable_is_not_taken_back(void)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 9);
    own.lazy = true;
    own.durable_lsn = 0;
    stage_block(s, 0x11, STAGE_FIRST + 10, 5);
    CU_ASSERT(s->ack.applied_lsn == STAGE_FIRST + 14 && s->ack.durable_lsn == STAGE_FIRST + 9);
    own.durable_lsn = STAGE_FIRST + 14;
    stage_run(s);
    CU_ASSERT_EQUAL(s->ack.durable_lsn, STAGE_FIRST + 14);
}

/* ---- standing still ---- */

/* Longer than the session's time-out, with blocks and heartbeats on the way, in pieces of any size. */
static void stand_still(size_t piece)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 9);
    s->piece = piece;
    own.has_room = false;
    unsigned acks = s->acks;
    uint64_t now_ns = s->now_ns;
    for (unsigned i = 0; i < 30; i++) {
        stage_block(s, 0x11, STAGE_FIRST + 10 + 5 * i, 5);
        stage_pass(s, STAGE_HEARTBEAT_MS);
        stage_heartbeat(s, STAGE_FIRST + 14 + 5 * i);
    }
    CU_ASSERT(s->now_ns - now_ns > 2 * STAGE_TIMEOUT_MS * UINT64_C(1000000));
    CU_ASSERT(own.appends == 0 && stage_items(s) == 10 && stage_facts(s).waits);
    CU_ASSERT_FALSE(replica_wants_input(s->replica));
    CU_ASSERT(s->acks > acks + 4 && s->acks < acks + 30); /* it lives; and does not say so without end */
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_log_waits), 1);
    own.has_room = true;
    stage_run(s);
    CU_ASSERT(own.records == 150 && stage_items(s) == 160 && !stage_facts(s).waits);
    CU_ASSERT(s->hellos == 1 && s->ack.durable_lsn == STAGE_FIRST + 159);
    CU_ASSERT_EQUAL(s->ack.echo_ns, s->sent_ns);
}

static void without_room_it_stands_still_and_loses_nothing(void)
{
    stand_still(0);
}

static void nor_where_the_bytes_come_in_pieces(void)
{
    stand_still(700);
}

static void nor_where_they_come_one_by_one(void)
{
    stand_still(1);
}

/* room() is asked before each message, not for what a record or a segment brings. */
static void room_for_one_block_lets_one_block_pass(void)
{
    static uint8_t bytes[3][WAL_BLOCK_BYTES_MAX];
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 9);
    own.has_room = false;
    for (unsigned i = 0; i < 3; i++)
        stage_send_block(s, bytes[i], stage_make_block(s, bytes[i], 0x11, STAGE_FIRST + 10 + i, 1));
    stage_run(s);
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(own.records, i);
        own.has_room = true;
        replica_turn(s->replica, s->now_ns, s->wall_ms);
        own.has_room = false;
        stage_run(s);
    }
}

static void a_session_that_stands_still_may_end(void)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 9);
    own.has_room = false;
    stage_block(s, 0x11, STAGE_FIRST + 10, 5);
    stage_block(s, 0x11, STAGE_FIRST + 15, 5);
    stage_cut(s);
    CU_ASSERT_TRUE(replica_wants_input(s->replica));
    own.has_room = true;
    stage_until_hello(s);
    CU_ASSERT(s->hello.lsn == STAGE_FIRST + 9 && own.records == 0);
    stage_primary_has(s, 20);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x11, STAGE_FIRST + 10, 10);
    CU_ASSERT(own.records == 10 && stage_items(s) == 20);
}

static void nothing_is_written_before_the_histories_are_learned(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    own.learns = false;
    stage_primary_has(s, 10);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x11, STAGE_FIRST + 10, 5);
    stage_heartbeat(s, STAGE_FIRST + 14);
    CU_ASSERT(own.learn_asked > 0 && own.records == 0 && stage_items(s) == 10);
    stage_pass(s, 2 * STAGE_TIMEOUT_MS);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    /* another session, meanwhile, of a primary that has begun anew */
    stage_cut(s);
    stage_second_history(s, STAGE_FIRST + 9);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x22, STAGE_SECOND, 0);
    stage_block(s, 0x22, STAGE_SECOND, 5);
    CU_ASSERT_EQUAL(own.records, 0);
    unsigned asked = own.learn_asked;
    own.learns = true;
    stage_run(s);
    CU_ASSERT(own.learn_asked == asked + 1 && own.histories.count == 2);
    CU_ASSERT(own.records == 5 && s->ack.durable_lsn == STAGE_SECOND + 4);
}

static void a_log_that_does_not_take_a_block_ends_the_session_and_nothing_is_applied(void)
{
    resume_from(STAGE_FIRST + 9, STAGE_FIRST + 9);
    own.takes = false;
    stage_block(s, 0x11, STAGE_FIRST + 10, 5);
    CU_ASSERT(stage_facts(s).phase == REPLICA_WAITING && stage_items(s) == 10 && s->view.serving);
    CU_ASSERT_EQUAL(stage_lines_with(s, "our own log"), 1);
    own.takes = true;
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.lsn, STAGE_FIRST + 9);
    stage_primary_has(s, 15);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x11, STAGE_FIRST + 10, 5);
    CU_ASSERT(own.records == 5 && stage_items(s) == 15);
}

/* ---- a primary that gives place ---- */

static uint32_t handed_epoch;

static void on_handover(void *state, uint32_t epoch)
{
    CU_ASSERT_PTR_EQUAL(state, s);
    handed_epoch = epoch;
}

static void hand_over(void)
{
    struct replication_message message = {.type = REPLICATION_HANDOVER, .handover = {.epoch = 0x10000}};
    stage_send(s, &message, NULL);
    stage_run(s);
}

static void a_primary_that_gives_place_is_told_on(void)
{
    s->config.host.handover = on_handover;
    s->config.replication_port = 9002;
    replica_destroy(s->replica);
    s->replica = replica_create(&s->config);
    handed_epoch = 0;
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.replication_port, 9002);
    stage_primary_has(s, 10);
    stage_welcome(s, WELCOME_RESUME);
    hand_over();
    CU_ASSERT_EQUAL(handed_epoch, 0x10000);
    stage_block(s, 0x11, STAGE_FIRST + 10, 5); /* the session goes on */
    CU_ASSERT_EQUAL(own.records, 5);
}

static void who_cannot_take_a_place_is_not_offered_one(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.replication_port, 0);
    stage_primary_has(s, 10);
    stage_welcome(s, WELCOME_RESUME);
    hand_over();
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_not_in_order), 1);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a log is adopted when the table is whole", a_log_is_adopted_when_the_table_is_whole},
        {"an adoption ends without a session, too", an_adoption_ends_without_a_session_too},
        {"a log without a change begins with the first history",
         a_log_without_a_change_begins_with_the_first_history},
        {"nothing is cleared before the old log has ended", nothing_is_cleared_before_the_old_log_has_ended},
        {"an adoption that another bootstrap overtakes is given up",
         an_adoption_that_another_bootstrap_overtakes_is_given_up},
        {"a snapshot of a history without a name is not adopted",
         a_snapshot_of_a_history_without_a_name_is_not_adopted},
        {"what the folder held is resumed from", what_the_folder_held_is_resumed_from},
        {"what the folder held is shown once all of it is acknowledged",
         what_the_folder_held_is_shown_once_all_of_it_is_acknowledged},
        {"what is there already is not written again", what_is_there_already_is_not_written_again},
        {"a history is entered by its first record", a_history_is_entered_by_its_first_record},
        {"what is applied and not durable yet is told when it is",
         what_is_applied_and_not_durable_yet_is_told_when_it_is},
        {"what was told to be durable is not taken back", what_was_told_to_be_durable_is_not_taken_back},
        {"without room it stands still and loses nothing", without_room_it_stands_still_and_loses_nothing},
        {"nor where the bytes come in pieces", nor_where_the_bytes_come_in_pieces},
        {"nor where they come one by one", nor_where_they_come_one_by_one},
        {"room for one block lets one block pass", room_for_one_block_lets_one_block_pass},
        {"a session that stands still may end", a_session_that_stands_still_may_end},
        {"nothing is written before the histories are learned",
         nothing_is_written_before_the_histories_are_learned},
        {"a log that does not take a block ends the session, and nothing is applied",
         a_log_that_does_not_take_a_block_ends_the_session_and_nothing_is_applied},
        {"a primary that gives place is told on", a_primary_that_gives_place_is_told_on},
        {"who cannot take a place is not offered one", who_cannot_take_a_place_is_not_offered_one},
        CU_TEST_INFO_NULL};
    return suite_run_each("replica_log", set_up, tear_down, tests);
}
