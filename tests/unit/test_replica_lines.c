/*
 * test_replica_lines.c - whose line a replica with a log is on: how far two logs hold the same, what of its own is set aside
 * when it is loaded anew, whom it follows after a seal, and when it does not follow for a while.
 */
#include "epoch.h"
#include "lineage.h"
#include "member.h"
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

/* ---- two lists ---- */

#define LSN(history, n) ((uint64_t)(history) << 32 | (n))

/* A log: its histories "id before" in order of their first LSNs, 2^32 each; its last change. */
struct line {
    struct {
        unsigned id, first;
        uint64_t before_lsn;
    } history[4];
    uint64_t last_lsn;
};

static struct meta meta_of(const struct line *line)
{
    struct meta meta = {.count = 0};
    for (unsigned i = 0; i < 4 && line->history[i].id != 0; i++)
        meta.history[meta.count++] = (struct history){.id = line->history[i].id,
                                                      .first_lsn = LSN(line->history[i].first, 0),
                                                      .before_lsn = line->history[i].before_lsn,
                                                      .node_id = 1,
                                                      .epoch = i + 1};
    return meta;
}

static void two_logs_hold_the_same_up_to_where_their_lines_part(void)
{
    static const struct {
        const char *what;
        struct line ours, theirs;
        uint64_t common_lsn;
    } cases[] = {
        {"equal", {{{1, 1, 0}}, LSN(1, 9)}, {{{1, 1, 0}}, LSN(1, 9)}, LSN(1, 9)},
        {"ours is behind", {{{1, 1, 0}}, LSN(1, 4)}, {{{1, 1, 0}}, LSN(1, 9)}, LSN(1, 4)},
        {"ours is ahead", {{{1, 1, 0}}, LSN(1, 9)}, {{{1, 1, 0}}, LSN(1, 4)}, LSN(1, 4)},
        {"theirs has a history more, from our end on",
         {{{1, 1, 0}}, LSN(1, 9)},
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 3)},
         LSN(1, 9)},
        {"theirs has one more, from below our end on: we had a tail",
         {{{1, 1, 0}}, LSN(1, 9)},
         {{{1, 1, 0}, {2, 2, LSN(1, 6)}}, LSN(2, 3)},
         LSN(1, 6)},
        {"each has one of its own, after the same change",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 5)},
         {{{1, 1, 0}, {3, 3, LSN(1, 9)}}, LSN(3, 1)},
         LSN(1, 9)},
        {"each has one of its own, theirs from further down",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 5)},
         {{{1, 1, 0}, {3, 3, LSN(1, 7)}}, LSN(3, 1)},
         LSN(1, 7)},
        {"each has one of its own, ours without a change",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(1, 9)},
         {{{1, 1, 0}, {3, 3, LSN(1, 9)}}, LSN(3, 1)},
         LSN(1, 9)},
        {"ours has more histories, with changes",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 5)},
         {{{1, 1, 0}}, LSN(1, 20)},
         LSN(1, 9)},
        {"both have the last",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 5)},
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 3)},
         LSN(2, 3)},
        {"theirs was repaired to end in the first since",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 5)},
         {{{1, 1, 0}, {2, 2, LSN(1, 3)}, {3, 3, LSN(1, 3)}}, LSN(3, 8)},
         LSN(1, 3)},
        {"the oldest are forgotten there",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}, {3, 3, LSN(2, 2)}}, LSN(3, 5)},
         {{{3, 3, LSN(2, 2)}, {4, 4, LSN(3, 4)}}, LSN(4, 1)},
         LSN(3, 4)},
        {"none that both remember",
         {{{1, 1, 0}, {2, 2, LSN(1, 9)}}, LSN(2, 5)},
         {{{3, 3, LSN(2, 2)}, {4, 4, LSN(3, 4)}}, LSN(4, 1)},
         0},
        {"nothing here", {{{0}}, 0}, {{{1, 1, 0}}, LSN(1, 4)}, 0},
        {"nothing there", {{{1, 1, 0}}, LSN(1, 4)}, {{{0}}, 0}, 0},
        {"no change here yet", {{{1, 1, 0}}, 0}, {{{1, 1, 0}}, LSN(1, 4)}, 0},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct meta ours = meta_of(&cases[i].ours), theirs = meta_of(&cases[i].theirs);
        uint64_t found = lineage_common(&ours, cases[i].ours.last_lsn, &theirs, cases[i].theirs.last_lsn);
        uint64_t back = lineage_common(&theirs, cases[i].theirs.last_lsn, &ours, cases[i].ours.last_lsn);
        if (found != cases[i].common_lsn)
            printf("%s: %llx\n", cases[i].what, (unsigned long long)found);
        CU_ASSERT(found == cases[i].common_lsn && back == found);
    }
}

/* ---- what is set aside ---- */

/* The primary has a history that began before the last changes of this node. */
static void diverge(uint64_t before_lsn)
{
    stage_second_history(s, before_lsn);
    stage_until_hello(s);
    stage_refuse(s, REFUSE_DIVERGED, "");
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_LOG | HELLO_HAS_DATA | HELLO_BOOTSTRAP);
    stage_welcome(s, WELCOME_BOOTSTRAP);
}

static void load(uint64_t before_lsn)
{
    unsigned items = (unsigned)(before_lsn - STAGE_FIRST + 1);
    stage_begin(s, STAGE_SECOND - 1, 0);
    stage_chunk(s, STAGE_FIRST, items);
    stage_end(s, STAGE_SECOND - 1, items);
}

static void a_tail_is_set_aside_from_where_the_lines_part(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    diverge(STAGE_FIRST + 6);
    CU_ASSERT(own.give_ups == 1 && own.keep_tail && own.common_lsn == STAGE_FIRST + 6);
    CU_ASSERT_EQUAL(stage_lines_with(s, "set aside"), 1);
    load(STAGE_FIRST + 6);
    CU_ASSERT(own.adopts == 1 && own.adopted.history == 0x22 && own.adopted.last_lsn == STAGE_FIRST + 6 &&
              own.adopted.next_lsn == STAGE_SECOND);
    CU_ASSERT_TRUE(s->view.serving);
}

static void what_is_on_the_line_is_not_set_aside(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_primary_has(s, 1000);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP); /* its log does not reach back so far */
    CU_ASSERT(own.give_ups == 1 && !own.keep_tail);
    CU_ASSERT_EQUAL(stage_lines_with(s, "set aside"), 0);
}

/* The session is over halfway: what the folder holds is still the old log. */
static void a_tail_is_not_forgotten_when_the_bootstrap_begins_again(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    diverge(STAGE_FIRST + 6);
    stage_begin(s, STAGE_SECOND - 1, 0);
    stage_cut(s);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_LOG);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 2 && own.keep_tail && own.common_lsn == STAGE_FIRST + 6);
    stage_cut(s);
    /* another primary's line, which parts from ours above: the lowest place counts, whichever log is there */
    s->history[1].id = 0x33;
    s->history[1].before_lsn = STAGE_FIRST + 8;
    s->history[1].epoch = s->welcome.epoch = 3;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 3 && own.keep_tail && own.common_lsn == STAGE_FIRST + 6);
    load(STAGE_FIRST + 8);
    own_switch(&own);
    stage_run(s);
    /* from now on the folder holds the new one */
    stage_cut(s);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 4 && !own.keep_tail);
}

/* Nobody knows whether the folder has been switched to it. */
static void the_tail_of_a_log_that_was_being_adopted_is_set_aside_too(void)
{
    stage_follow(s, 10);
    CU_ASSERT_TRUE(own.adopting);
    stage_cut(s);
    diverge(STAGE_FIRST + 4);
    CU_ASSERT(own.keep_tail && own.common_lsn == STAGE_FIRST + 4);
}

static void a_log_of_another_cluster_is_not_given_up_even_with_an_empty_table(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_cut(s);
    memcpy(s->welcome.cluster_id, "another cluster", CLUSTER_ID_BYTES);
    stage_until_hello(s);
    CU_ASSERT(s->hello.flags == HELLO_HAS_LOG && s->hello.epoch == 1);
    CU_ASSERT(memcmp(s->hello.cluster_id, "cluster of test", CLUSTER_ID_BYTES) == 0);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 1 && stage_facts(s).phase == REPLICA_WAITING);
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_FOREIGN_CLUSTER)), 1);
}

/* ---- seals ---- */

static void an_epoch_below_a_sealed_one_is_followed_no_longer(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_primary_has(s, 10);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    replica_sealed(s->replica, 5, 77);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.epoch, 5);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_STALE_EPOCH)), 1);
    CU_ASSERT_TRUE(s->view.serving); /* what it has, it keeps showing */
}

static void offer(uint32_t epoch, uint64_t node_id)
{
    s->history[1].epoch = s->welcome.epoch = epoch;
    s->history[1].node_id = s->welcome.node_id = node_id;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
}

static void of_a_sealed_term_only_the_node_it_was_sealed_for_is_followed(void)
{
    uint32_t term = epoch_of_promotion(1);
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    replica_sealed(s->replica, term, 77);
    replica_sealed(s->replica, term - 1, 78); /* below: nothing new */
    stage_second_history(s, STAGE_FIRST + 9);
    for (unsigned later = 0; later < 3; later++) {
        offer(term + later, 78);
        CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    }
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_RIVAL)), 1);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_refused), 3);
    offer(term + 1, 77); /* it has started again since */
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    stage_block(s, 0x22, STAGE_SECOND, 3);
    CU_ASSERT(own.records == 3 && s->view.serving && s->view.epoch == term + 1);
}

/* Without a seal: whom it has followed it does not leave for another either, until one is promoted. */
static void a_later_start_of_another_node_is_not_followed_but_a_promotion_is(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_second_history(s, STAGE_FIRST + 9);
    offer(2, 78);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_RIVAL)), 1);
    offer(epoch_of_promotion(1), 78);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
}

/* ---- members ---- */

static unsigned members_told, members_applied;

static void on_member(void *state, const struct log_record *record)
{
    struct member member;
    struct member_list head = {0};
    unsigned index = 0;
    CU_ASSERT(state == s && member_decode(&member, &head, &index, record));
    CU_ASSERT(index == members_told && head.count == 2 && member.node_id == 100 + index);
    members_applied += stage_facts(s).applied_lsn == STAGE_FIRST + 4;
    members_told++;
}

static void members_come_with_the_log(void)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    struct wal_block block = {.first_lsn = STAGE_FIRST, .history = 0x11, .count = 5};
    struct member_list list = {
        .count = 2,
        .member = {{.node_id = 100, .part = MEMBER_STAYS}, {.node_id = 101, .part = MEMBER_STAYS}}};
    uint8_t *at = bytes + WAL_BLOCK_HEADER_BYTES;
    replica_destroy(s->replica);
    s->config.host.member = on_member;
    s->replica = replica_create(&s->config);
    members_told = members_applied = 0;
    for (unsigned i = 0; i < 5; i++) {
        uint8_t room[MEMBER_ROOM_BYTES];
        struct log_record record;
        if (i % 2 == 0) {
            at += numbered_record(at, STAGE_FIRST + i, 20);
            continue;
        }
        member_record(&record, &list, i / 2, room);
        record.lsn = STAGE_FIRST + i;
        at += log_record_encode(at, &record);
    }
    block.records_bytes = (uint32_t)(at - bytes - WAL_BLOCK_HEADER_BYTES);
    wal_block_encode(bytes, &block);
    stage_follow(s, 0);
    stage_send_block(s, bytes, block.length);
    stage_run(s);
    CU_ASSERT(members_told == 2 && members_applied == 2 && stage_items(s) == 3);
    CU_ASSERT_EQUAL(own.records, 5);
}

static void a_seal_is_known_again_after_a_start(void)
{
    struct meta meta = {.node_id = 55,
                        .cluster_id = "cluster of test",
                        .count = 1,
                        .sealed_epoch = 5,
                        .sealed_node = 77,
                        .history = {{.id = 0x11, .first_lsn = STAGE_FIRST, .node_id = 7, .epoch = 1}}};
    replica_recovered(s->replica, &meta, &(struct replica_place){0x11, 0, STAGE_FIRST});
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.epoch, 5);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    CU_ASSERT_EQUAL(stage_lines_with(s, refuse_text(REFUSE_STALE_EPOCH)), 1);
}

/* ---- not following ---- */

static void while_it_does_not_follow_no_session_is_begun(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_primary_has(s, 10);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    replica_stop_following(s->replica);
    replica_stop_following(s->replica);
    stage_run(s);
    CU_ASSERT(s->primary.end == CHANNEL_CLOSED && !stage_facts(s).link_there);
    unsigned connects = s->connects;
    s->events[0] = 0;
    stage_pass(s, 5000);
    replica_reconnect(s->replica);
    stage_pass(s, 1000);
    CU_ASSERT_EQUAL(s->connects, connects);
    CU_ASSERT_STRING_EQUAL(s->events, "");
    replica_follow_again(s->replica);
    replica_follow_again(s->replica);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.lsn, STAGE_FIRST + 9);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
}

/* What a promotion waits for. */
static void a_session_that_ends_in_order_does_not_wait_for_a_primary_that_is_frozen(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_primary_has(s, 10);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    s->frozen = true;
    replica_stop_following(s->replica);
    stage_pass(s, 1000);
    CU_ASSERT_TRUE(stage_facts(s).link_there);
    stage_pass(s, 2);
    CU_ASSERT_FALSE(stage_facts(s).link_there);
}

/* It was promoted, wrote, and was demoted: the table and the log went on without us. */
static void a_node_that_was_a_primary_follows_from_what_it_has_written(void)
{
    own_recovered(&own, 0x11, STAGE_FIRST + 9);
    stage_primary_has(s, 10);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_heartbeat(s, STAGE_FIRST + 9);
    CU_ASSERT_TRUE(s->view.serving);
    replica_stop_following(s->replica);
    stage_run(s);
    stage_second_history(s, STAGE_FIRST + 9); /* ours; and then another's */
    CU_ASSERT_EQUAL_FATAL(
        apply_record(s->table.context, &(struct log_record){.lsn = STAGE_SECOND + 4, .type = LOG_NOP}), 0);
    own_recovered(&own, 0x22, STAGE_SECOND + 4);
    s->history[2] = (struct replication_history){.id = 0x33,
                                                 .first_lsn = STAGE_THIRD,
                                                 .node_id = 8,
                                                 .before_lsn = STAGE_SECOND + 4,
                                                 .epoch = epoch_of_promotion(2)};
    s->welcome.histories = 3;
    s->welcome.epoch = s->history[2].epoch;
    s->welcome.durable_lsn = s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_THIRD - 1;
    replica_follow_again(s->replica);
    stage_until_hello(s);
    CU_ASSERT_FALSE(s->view.serving); /* until its primary says what is acknowledged */
    CU_ASSERT(s->hello.history == 0x22 && s->hello.lsn == STAGE_SECOND + 4 && s->hello.epoch == 2);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x33, STAGE_THIRD, 0);
    CU_ASSERT(s->view.serving && s->view.history == 0x33 && s->point == STAGE_THIRD - 1);
    stage_block(s, 0x33, STAGE_THIRD, 2);
    CU_ASSERT(own.records == 2 && s->ack.durable_lsn == STAGE_THIRD + 1);
}

static void a_folder_without_anything_binds_to_nobody(void)
{
    struct meta meta = {.node_id = 55};
    replica_recovered(s->replica, &meta, &(struct replica_place){.next_lsn = 1});
    stage_until_hello(s);
    CU_ASSERT(s->hello.flags == HELLO_HAS_LOG && s->hello.epoch == 0);
    CU_ASSERT(wire_is_zero(s->hello.cluster_id, CLUSTER_ID_BYTES));
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(own.give_ups == 1 && !own.keep_tail);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"two logs hold the same up to where their lines part",
         two_logs_hold_the_same_up_to_where_their_lines_part},
        {"a tail is set aside from where the lines part", a_tail_is_set_aside_from_where_the_lines_part},
        {"what is on the line is not set aside", what_is_on_the_line_is_not_set_aside},
        {"a tail is not forgotten when the bootstrap begins again",
         a_tail_is_not_forgotten_when_the_bootstrap_begins_again},
        {"the tail of a log that was being adopted is set aside, too",
         the_tail_of_a_log_that_was_being_adopted_is_set_aside_too},
        {"a log of another cluster is not given up, even with an empty table",
         a_log_of_another_cluster_is_not_given_up_even_with_an_empty_table},
        {"an epoch below a sealed one is followed no longer",
         an_epoch_below_a_sealed_one_is_followed_no_longer},
        {"of a sealed term only the node it was sealed for is followed",
         of_a_sealed_term_only_the_node_it_was_sealed_for_is_followed},
        {"a later start of another node is not followed, but a promotion is",
         a_later_start_of_another_node_is_not_followed_but_a_promotion_is},
        {"members come with the log", members_come_with_the_log},
        {"a seal is known again after a start", a_seal_is_known_again_after_a_start},
        {"while it does not follow no session is begun", while_it_does_not_follow_no_session_is_begun},
        {"a session that ends in order does not wait for a primary that is frozen",
         a_session_that_ends_in_order_does_not_wait_for_a_primary_that_is_frozen},
        {"a node that was a primary follows from what it has written",
         a_node_that_was_a_primary_follows_from_what_it_has_written},
        {"a folder without anything binds to nobody", a_folder_without_anything_binds_to_nobody},
        CU_TEST_INFO_NULL};
    return suite_run_each("replica_lines", set_up, tear_down, tests);
}
