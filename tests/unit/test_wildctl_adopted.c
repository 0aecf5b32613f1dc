/*
 * test_wildctl_adopted.c - a folder whose log is being given up for another, under wildctl's offline commands: before, in the
 * midst of and after the switch it is one log or the other, and fine.
 */
#include "adoption_fixture.h"

#include "wal_commands.h"

static int run(int (*command)(const struct disk *, const struct wal_options *), char *text, size_t room)
{
    memset(text, 0, room);
    FILE *out = fmemopen(text, room - 1, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    int outcome = command(&disk, &(struct wal_options){.path = "folder", .to_lsn = UINT64_MAX, .out = out});
    fclose(out);
    return outcome;
}

static void expect(const char *end, const char *record, const char *no_record)
{
    static char text[65536];
    CU_ASSERT_EQUAL(run(wal_check, text, sizeof text), EXIT_FINE);
    CU_ASSERT_EQUAL(run(wal_info, text, sizeof text), EXIT_FINE);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, end));
    CU_ASSERT_EQUAL(run(wal_dump, text, sizeof text), EXIT_FINE);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, record));
    CU_ASSERT_PTR_NULL(strstr(text, no_record));
    CU_ASSERT_EQUAL(run(wal_repair, text, sizeof text), EXIT_FINE);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "nothing to repair"));
}

/* LSNs as they are printed. */
#define OLD_END    "end: clean, at lsn 4294967325"
#define OLD_RECORD "4294967325"
#define NEW_END    "end: clean, at lsn 8589934692"
#define NEW_RECORD "8589934692"

static void a_folder_is_of_one_log_or_the_other(void)
{
    struct adoption adoption = new_log();
    char name[DISK_NAME_BYTES];
    begin(&adoption);
    make_base();
    steps(STEPS);
    CU_ASSERT_TRUE(is_there(SNAPSHOT_TEMPORARY));
    expect(OLD_END, OLD_RECORD, NEW_RECORD);
    meta_snapshot_name(name, NEW_NEXT - 1);
    stubborn = name; /* behind the switch, and not done yet */
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT(has_segment(1) && is_there(SNAPSHOT_TEMPORARY));
    expect(NEW_END, NEW_RECORD, OLD_RECORD);
    stubborn = NULL;
    steps(STEPS);
    CU_ASSERT(!has_segment(1) && has_snapshot(NEW_NEXT - 1));
    expect(NEW_END, NEW_RECORD, OLD_RECORD);
}

static void a_log_that_begins_with_the_first_history_goes_back_to_its_start(void)
{
    from_nothing = true;
    struct adoption adoption = new_log();
    begin(&adoption);
    make_base();
    steps(STEPS);
    CU_ASSERT_EQUAL(facts().adoption, ADOPTION_DONE);
    expect("end: clean, at lsn 4294967305", "4294967305", OLD_RECORD);
}

static void a_snapshot_that_lacks_is_damage(void)
{
    static char text[65536];
    struct adoption adoption = new_log();
    char name[DISK_NAME_BYTES];
    begin(&adoption);
    make_base();
    new_log_is_durable();
    steps(STEPS);
    meta_snapshot_name(name, NEW_NEXT - 1);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, name), 0);
    CU_ASSERT_EQUAL(run(wal_check, text, sizeof text), EXIT_DAMAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "no snapshot"));
}

static void rename_file(const char *from, const char *to)
{
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, from, to), 0);
}

/* In a folder of its own, under its old names. */
static void a_tail_that_was_set_aside_can_be_read(void)
{
    static char text[65536];
    struct adoption adoption = new_log();
    char name[DISK_NAME_BYTES];
    adoption.keep_tail = true;
    adoption.common_lsn = OLD_FIRST + 13;
    begin(&adoption);
    make_base();
    new_log_is_durable();
    steps(STEPS);
    CU_ASSERT_EQUAL(facts().tail_segments, 2);
    meta_snapshot_name(name, NEW_NEXT - 1);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, name), 0);
    meta_segment_name(name, base);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, name), 0);
    rename_file(OLD_TAIL "meta", META_FILE);
    rename_file(OLD_TAIL "wal-0000000000000002", "wal-0000000000000002");
    rename_file(OLD_TAIL "wal-0000000000000003", "wal-0000000000000003");
    CU_ASSERT_EQUAL(run(wal_dump, text, sizeof text), EXIT_DAMAGE); /* it is not all of the log */
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "4294967306"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, OLD_RECORD));
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_folder_is_of_one_log_or_the_other),
                           TEST(a_log_that_begins_with_the_first_history_goes_back_to_its_start),
                           TEST(a_snapshot_that_lacks_is_damage), TEST(a_tail_that_was_set_aside_can_be_read),
                           CU_TEST_INFO_NULL};
    return suite_run_each("wildctl_adopted", set_up, tear_down, tests);
}
