/*
 * test_adoption.c - the folder's meta, and its switch from a log that was given up to a new one.
 */
#include "adoption_fixture.h"

/* ---- meta ---- */

static void meta_is_durable_once_it_is_said_to_be_written(void)
{
    struct meta meta = old_meta;
    meta.sealed_epoch = 9;
    meta.sealed_node = 5;
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    CU_ASSERT_FALSE(housekeeper_write_meta(housekeeper, &old_meta));
    CU_ASSERT(facts().meta_pending && facts().metas_written == 0);
    steps(1);
    CU_ASSERT(!facts().meta_pending && facts().metas_written == 1 && facts().meta_error == 0);
    CU_ASSERT_EQUAL(housekeeper_meta(housekeeper)->sealed_epoch, 9);
    struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_NOTHING, 1);
    struct disk found = sim_disk_disk(image);
    CU_ASSERT(meta_read(&meta, &found) == 0 && meta.sealed_epoch == 9 && meta.sealed_node == 5);
    sim_disk_destroy(image);
}

static void meta_that_cannot_be_written_is_told_and_may_be_tried_again(void)
{
    struct meta meta = old_meta;
    meta.history[0].before_lsn = 3;
    sim_disk_fail_sync(sim, 1, EIO, false);
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    steps(1);
    CU_ASSERT(!facts().meta_pending && facts().metas_failed == 1 && facts().meta_error == -EIO);
    CU_ASSERT_EQUAL(housekeeper_meta(housekeeper)->history[0].before_lsn, 0);
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    steps(1);
    CU_ASSERT(facts().metas_written == 1 && facts().meta_error == 0);
    CU_ASSERT_EQUAL(meta_on_disk().history[0].before_lsn, 3);
}

static void a_promise_is_not_taken_back_and_the_begin_of_the_log_is_not_controls(void)
{
    struct meta meta = old_meta;
    meta.sealed_epoch = 9;
    meta.sealed_node = 5;
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    steps(1);
    meta.sealed_epoch = 8;
    meta.sealed_node = 4;
    meta.base_segment = 77;
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    steps(1);
    CU_ASSERT_EQUAL(facts().metas_written, 2);
    meta = meta_on_disk();
    CU_ASSERT(meta.sealed_epoch == 9 && meta.sealed_node == 5 && meta.base_segment == 1);
}

static void meta_of_another_log_is_refused(void)
{
    struct meta meta = old_meta;
    meta.stamp = NEW_STAMP;
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    steps(1);
    CU_ASSERT(facts().metas_failed == 1 && facts().meta_error == -ESTALE);
    CU_ASSERT_EQUAL(meta_on_disk().stamp, OLD_STAMP);
}

/* ---- adoption ---- */

static void expect_old_log(void)
{
    CU_ASSERT_EQUAL(meta_on_disk().stamp, OLD_STAMP);
    for (uint64_t segment = 1; segment <= END_SEGMENT; segment++)
        CU_ASSERT_TRUE(has_segment(segment));
}

static void expect_new_log(void)
{
    struct meta meta = meta_on_disk();
    CU_ASSERT(meta.stamp == NEW_STAMP && meta.count == 2 && meta.base_segment == base &&
              meta.adopted_lsn == NEW_NEXT - 1);
    for (uint64_t segment = 1; segment + 1 < base; segment++)
        CU_ASSERT_FALSE(has_segment(segment));
    CU_ASSERT(has_segment(base) && has_snapshot(NEW_NEXT - 1) && !is_there(SNAPSHOT_TEMPORARY));
    CU_ASSERT(facts().adoption == ADOPTION_DONE && facts().adoption_error == 0);
    CU_ASSERT(facts().snapshot_lsn == NEW_NEXT - 1 && facts().snapshot_segment == base);
    CU_ASSERT_EQUAL(facts().oldest_segment, base);
    uint64_t oldest, newest;
    housekeeper_segments(housekeeper, &oldest, &newest);
    CU_ASSERT_EQUAL(oldest, base);
}

/* What a start finds in the folder as it is. */
static int recover(struct recovery_facts *out, uint64_t *items)
{
    struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_KILL, 1);
    int step = recover_image(image, out, items);
    sim_disk_destroy(image);
    return step;
}

static void the_folder_is_the_old_logs_until_snapshot_and_new_log_are_durable(void)
{
    struct adoption adoption = new_log();
    struct recovery_facts found;
    uint64_t items;
    CU_ASSERT_EQUAL(base, END_SEGMENT + 2);
    housekeeper_tell_durable(housekeeper, UINT64_MAX); /* the old log's word does not count */
    begin(&adoption);
    CU_ASSERT_EQUAL(facts().adoption, ADOPTION_RUNNING);
    steps(STEPS);
    expect_old_log();
    make_base();
    steps(STEPS);
    expect_old_log(); /* not durable to the snapshot's end */
    CU_ASSERT_TRUE(is_there(SNAPSHOT_TEMPORARY));
    CU_ASSERT_EQUAL(recover(&found, &items), 0);
    CU_ASSERT(found.lsn == OLD_FIRST + 29 && items == 30 && found.snapshot_lsn == 0);
    new_log_is_durable();
    steps(STEPS);
    expect_new_log();
    CU_ASSERT_EQUAL(recover(&found, &items), 0);
    CU_ASSERT(found.lsn == NEW_NEXT && items == ITEMS && found.snapshot_lsn == NEW_NEXT - 1);
    CU_ASSERT(found.oldest_segment == base && found.newest_segment == base + 1);
}

static void the_switch_waits_for_the_new_logs_first_segment(void)
{
    struct adoption adoption = new_log();
    begin(&adoption);
    new_log_is_durable();
    steps(STEPS);
    expect_old_log();
    CU_ASSERT_EQUAL(facts().adoption, ADOPTION_RUNNING);
    make_base();
    steps(STEPS);
    expect_new_log();
}

/* All that the primary ever had is in the log: there is nothing to take a snapshot of. */
static void a_log_that_begins_with_the_first_history_needs_no_snapshot(void)
{
    struct recovery_facts found;
    uint64_t items;
    from_nothing = true;
    struct adoption adoption = new_log();
    begin(&adoption);
    make_base();
    steps(STEPS);
    CU_ASSERT(facts().adoption == ADOPTION_DONE && facts().snapshot_lsn == 0);
    struct meta meta = meta_on_disk();
    CU_ASSERT(meta.base_segment == base && meta.adopted_lsn == 0 && !has_segment(1) && has_segment(base));
    CU_ASSERT_FALSE(is_there(SNAPSHOT_TEMPORARY));
    CU_ASSERT_EQUAL(recover(&found, &items), 0);
    CU_ASSERT(found.lsn == OLD_FIRST + 9 && items == 10 && found.end.segment == base);
}

static void no_snapshot_is_taken_of_a_log_that_was_given_up(void)
{
    struct snapshot_facts asked = {.position = {.segment = 3, .next_lsn = OLD_FIRST + 20, .history = 11}};
    CU_ASSERT_TRUE(housekeeper_snapshot(housekeeper, &asked));
    steps(5);
    CU_ASSERT_TRUE(is_there(SNAPSHOT_TEMPORARY));
    CU_ASSERT_FALSE(housekeeper_give_up(housekeeper));
    CU_ASSERT_FALSE(housekeeper_snapshot(housekeeper, &asked));
    steps(2);
    CU_ASSERT_TRUE(housekeeper_give_up(housekeeper));
    CU_ASSERT(!is_there(SNAPSHOT_TEMPORARY) && !facts().snapshot_running);
    CU_ASSERT(facts().snapshots == 0 && facts().snapshots_failed == 0);
    CU_ASSERT_FALSE(housekeeper_snapshot(housekeeper, &asked));
    struct adoption adoption = new_log();
    begin(&adoption);
    CU_ASSERT_FALSE(housekeeper_snapshot(housekeeper, &asked));
    make_base();
    new_log_is_durable();
    steps(STEPS);
    expect_new_log();
    asked.position = (struct wal_position){.segment = base, .next_lsn = NEW_NEXT + 1, .history = 22};
    CU_ASSERT_TRUE(housekeeper_snapshot(housekeeper, &asked));
    steps(STEPS);
    CU_ASSERT(has_snapshot(NEW_NEXT) && has_snapshot(NEW_NEXT - 1) && facts().snapshots == 1);
}

/* A snapshot of the old log's has the LSN of the new one's, and one a higher. */
static void snapshots_of_the_old_log_go_with_it(void)
{
    struct snapshot_facts asked = {.position = {.segment = 3, .next_lsn = NEW_NEXT, .history = 11}};
    struct adoption adoption = new_log();
    housekeeper_tell_durable(housekeeper, UINT64_MAX);
    for (unsigned i = 0; i < 2; i++) {
        asked.position.next_lsn = NEW_NEXT + 5 * i;
        CU_ASSERT_TRUE(housekeeper_snapshot(housekeeper, &asked));
        steps(STEPS);
    }
    CU_ASSERT(has_snapshot(NEW_NEXT - 1) && has_snapshot(NEW_NEXT + 4));
    begin(&adoption);
    make_base();
    new_log_is_durable();
    steps(STEPS);
    expect_new_log();
    CU_ASSERT_FALSE(has_snapshot(NEW_NEXT + 4));
}

static void what_control_learns_meanwhile_is_in_the_new_meta(void)
{
    struct adoption adoption = new_log();
    struct meta meta = old_meta;
    begin(&adoption);
    meta.sealed_epoch = 6; /* a promise: of the folder as it is */
    meta.sealed_node = 3;
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    steps(2);
    CU_ASSERT(meta_on_disk().sealed_epoch == 6 && meta_on_disk().stamp == OLD_STAMP);
    meta = adoption.meta; /* a history: of the new log */
    meta.count = 3;
    meta.history[2] = (struct history){
        .id = 33, .first_lsn = UINT64_C(3) << 32, .node_id = 8, .before_lsn = NEW_NEXT, .epoch = 3};
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &meta));
    steps(2);
    CU_ASSERT(facts().metas_written == 2 && meta_on_disk().stamp == OLD_STAMP && meta_on_disk().count == 1);
    make_base();
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT_EQUAL(facts().adoption, ADOPTION_DONE);
    meta = meta_on_disk();
    CU_ASSERT(meta.stamp == NEW_STAMP && meta.count == 3 && meta.sealed_epoch == 6 && meta.sealed_node == 3);
    CU_ASSERT(meta.base_segment == base && meta.adopted_lsn == NEW_NEXT - 1);
    CU_ASSERT_TRUE(housekeeper_write_meta(housekeeper, &old_meta)); /* from before the switch */
    steps(1);
    CU_ASSERT(facts().meta_error == -ESTALE && meta_on_disk().stamp == NEW_STAMP);
}

static void an_adoption_that_fails_leaves_the_old_log_and_is_tried_again_from_further_on(void)
{
    struct adoption adoption = new_log();
    begin(&adoption);
    make_base();
    sim_disk_fail_write(sim, 1, ENOSPC, true);
    steps(STEPS);
    CU_ASSERT(facts().adoption == ADOPTION_FAILED && facts().adoption_error == -ENOSPC);
    expect_old_log();
    CU_ASSERT_FALSE(is_there(SNAPSHOT_TEMPORARY));
    sim_disk_fail_write(sim, 0, 0, false);
    uint64_t first = base;
    base = first + 1;
    make_base(); /* the log has come so far meanwhile */
    adoption.start.segment = base;
    CU_ASSERT_TRUE(housekeeper_adopt(housekeeper, &adoption));
    new_log_is_durable();
    steps(STEPS);
    expect_new_log();
}

static void a_switch_that_may_have_happened_is_tried_until_it_has(void)
{
    struct adoption adoption = new_log();
    begin(&adoption);
    make_base();
    stubborn = META_FILE;
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT(facts().adoption == ADOPTION_RUNNING && facts().adoption_error == -EPERM);
    CU_ASSERT_FALSE(housekeeper_give_up(housekeeper));
    steps(STEPS);
    CU_ASSERT_FALSE(housekeeper_give_up(housekeeper));
    CU_ASSERT_TRUE(is_there(SNAPSHOT_TEMPORARY));
    stubborn = NULL;
    steps(STEPS);
    CU_ASSERT(housekeeper_give_up(housekeeper) && has_snapshot(NEW_NEXT - 1));
    CU_ASSERT(facts().adoption == ADOPTION_AWAITED && facts().stamp == NEW_STAMP);
    CU_ASSERT(meta_on_disk().stamp == NEW_STAMP && facts().adoption_error == 0);
}

static void the_snapshot_gets_its_name_at_last(void)
{
    struct adoption adoption = new_log();
    struct recovery_facts found;
    uint64_t items;
    char name[DISK_NAME_BYTES];
    begin(&adoption);
    make_base();
    meta_snapshot_name(name, NEW_NEXT - 1);
    stubborn = name;
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT(facts().adoption == ADOPTION_RUNNING && meta_on_disk().stamp == NEW_STAMP);
    CU_ASSERT(has_segment(1) && !has_snapshot(NEW_NEXT - 1));
    CU_ASSERT_EQUAL(recover(&found, &items), 0);
    CU_ASSERT(found.lsn == NEW_NEXT && items == ITEMS && found.oldest_segment == base);
    stubborn = NULL;
    steps(STEPS);
    expect_new_log();
}

/* What it had made is removed when the next begins, not at the end only: replicas may begin anew again and again. */
static void an_adoption_that_is_given_up_leaves_nothing(void)
{
    struct adoption adoption = new_log();
    begin(&adoption);
    make_base();
    steps(STEPS);
    CU_ASSERT_TRUE(is_there(SNAPSHOT_TEMPORARY));
    give_up();
    CU_ASSERT_FALSE(is_there(SNAPSHOT_TEMPORARY));
    expect_old_log();
    CU_ASSERT_EQUAL(housekeeper_next_base(housekeeper), base + 1);
    uint64_t first = base;
    base++;
    adoption.start.segment = base;
    adoption.meta.stamp = NEW_STAMP + 1;
    CU_ASSERT_TRUE(housekeeper_adopt(housekeeper, &adoption));
    steps(STEPS);
    CU_ASSERT_FALSE(has_segment(first));
    expect_old_log();
    make_base();
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT(facts().adoption == ADOPTION_DONE && meta_on_disk().stamp == NEW_STAMP + 1);
    CU_ASSERT(!has_segment(1) && has_segment(base) && has_snapshot(NEW_NEXT - 1));
}

/* ---- tails ---- */

static void what_the_primary_lacks_is_set_aside(void)
{
    struct adoption adoption = new_log();
    adoption.keep_tail = true;
    adoption.common_lsn = OLD_FIRST + 13; /* the second segment has 10 to 19 */
    begin(&adoption);
    make_base();
    new_log_is_durable();
    steps(STEPS);
    expect_new_log();
    CU_ASSERT(!is_there(OLD_TAIL "wal-0000000000000001") && is_there(OLD_TAIL "wal-0000000000000002") &&
              is_there(OLD_TAIL "wal-0000000000000003") && !is_there(OLD_TAIL "wal-0000000000000004"));
    CU_ASSERT(is_there(OLD_TAIL "meta") && !is_there(OLD_MARKER "0000000000000002"));
    CU_ASSERT(facts().tail_stamp == OLD_STAMP && facts().tail_segments == 2);
}

/* Killed behind the switch, before the tail was set aside: the next start does it. */
static void a_start_goes_on_with_the_tail(void)
{
    struct adoption adoption = new_log();
    struct recovery_facts found;
    uint64_t items;
    adoption.keep_tail = true;
    adoption.common_lsn = OLD_FIRST + 13;
    begin(&adoption);
    make_base();
    stubborn = OLD_TAIL "wal-0000000000000003";
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT(facts().adoption == ADOPTION_DONE && facts().removal_error == -EPERM);
    CU_ASSERT(is_there(OLD_MARKER "0000000000000002") && is_there(OLD_TAIL "wal-0000000000000002"));
    CU_ASSERT_TRUE(has_segment(1)); /* nothing is removed before */
    CU_ASSERT_EQUAL(recover(&found, &items), 0);
    CU_ASSERT(found.lsn == NEW_NEXT && items == ITEMS && found.oldest_segment == base);
    stubborn = NULL;
    steps(STEPS);
    expect_new_log();
    CU_ASSERT(is_there(OLD_TAIL "wal-0000000000000003") && is_there(OLD_TAIL "meta"));
}

static void a_marker_of_a_switch_that_did_not_happen_is_removed(void)
{
    struct adoption adoption = new_log();
    struct recovery_facts found;
    uint64_t items;
    adoption.keep_tail = true;
    adoption.common_lsn = OLD_FIRST + 13;
    begin(&adoption);
    make_base();
    stubborn = META_FILE;
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT_TRUE(is_there(OLD_MARKER "0000000000000002"));
    CU_ASSERT_EQUAL(recover(&found, &items), 0);
    CU_ASSERT(found.lsn == OLD_FIRST + 29 && items == 30);
}

/* More than recovery looks at, and of higher LSNs than the new one's. */
static void a_start_does_not_take_old_snapshots_for_the_newest(void)
{
    struct adoption adoption = new_log();
    struct snapshot_facts asked = {.position = {.segment = 3, .history = 11}};
    struct recovery_facts found;
    uint64_t items;
    begin(&adoption);
    make_base();
    new_log_is_durable();
    steps(STEPS);
    expect_new_log();
    for (unsigned i = 0; i < 2 * RECOVERY_SNAPSHOTS_MAX; i++) {
        struct snapshot_writer *writer;
        memcpy(asked.cluster_id, old_meta.cluster_id, sizeof asked.cluster_id);
        asked.position.next_lsn = NEW_NEXT + 10 + i;
        writer = snapshot_writer_create(&disk, fixture.table, &asked);
        while (snapshot_writer_step(writer, 100, UINT64_MAX) != SNAPSHOT_PUBLISHED)
            ;
        snapshot_writer_destroy(writer);
    }
    CU_ASSERT_EQUAL(recover(&found, &items), 0);
    CU_ASSERT(found.lsn == NEW_NEXT && items == ITEMS && found.snapshot_lsn == NEW_NEXT - 1);
    CU_ASSERT_EQUAL(found.snapshots, 1);
}

static void a_new_log_without_its_snapshot_is_damaged(void)
{
    struct adoption adoption = new_log();
    struct recovery_facts found;
    uint64_t items;
    char name[DISK_NAME_BYTES];
    begin(&adoption);
    make_base();
    new_log_is_durable();
    steps(STEPS);
    meta_snapshot_name(name, NEW_NEXT - 1);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, name), 0);
    CU_ASSERT_EQUAL(recover(&found, &items), -EBADMSG);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(meta_is_durable_once_it_is_said_to_be_written),
                           TEST(meta_that_cannot_be_written_is_told_and_may_be_tried_again),
                           TEST(a_promise_is_not_taken_back_and_the_begin_of_the_log_is_not_controls),
                           TEST(meta_of_another_log_is_refused),
                           TEST(the_folder_is_the_old_logs_until_snapshot_and_new_log_are_durable),
                           TEST(the_switch_waits_for_the_new_logs_first_segment),
                           TEST(a_log_that_begins_with_the_first_history_needs_no_snapshot),
                           TEST(no_snapshot_is_taken_of_a_log_that_was_given_up),
                           TEST(snapshots_of_the_old_log_go_with_it),
                           TEST(what_control_learns_meanwhile_is_in_the_new_meta),
                           TEST(an_adoption_that_fails_leaves_the_old_log_and_is_tried_again_from_further_on),
                           TEST(a_switch_that_may_have_happened_is_tried_until_it_has),
                           TEST(the_snapshot_gets_its_name_at_last),
                           TEST(an_adoption_that_is_given_up_leaves_nothing),
                           TEST(what_the_primary_lacks_is_set_aside),
                           TEST(a_start_goes_on_with_the_tail),
                           TEST(a_marker_of_a_switch_that_did_not_happen_is_removed),
                           TEST(a_start_does_not_take_old_snapshots_for_the_newest),
                           TEST(a_new_log_without_its_snapshot_is_damaged),
                           CU_TEST_INFO_NULL};
    return suite_run_each("adoption", set_up, tear_down, tests);
}
