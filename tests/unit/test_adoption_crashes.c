/*
 * test_adoption_crashes.c - crashes at every I/O boundary of an adoption, in every way the disk can, and once more during the
 * start that follows: one log or the other is found, whole, and its tail is not lost.
 */
#include "adoption_fixture.h"

enum { IMAGES = 10, STARTS = 6, RECOVERY_BOUNDARIES = 16 };

static bool keep_tail;
static unsigned found_old, found_new;

static bool has_file(struct sim_disk *on, const char *name)
{
    struct disk there = sim_disk_disk(on);
    int file = there.call->open(there.state, name, DISK_READ, 0);
    if (file >= 0)
        there.call->close(there.state, file);
    return file >= 0;
}

static void expect_one_or_the_other(struct sim_disk *image)
{
    struct recovery_facts found;
    uint64_t items;
    CU_ASSERT_EQUAL(recover_image(image, &found, &items), 0);
    if (found.meta.stamp == OLD_STAMP) {
        CU_ASSERT(found.lsn == OLD_FIRST + 29 && items == 30);
        found_old++;
        return;
    }
    uint64_t lsn = from_nothing ? OLD_FIRST + 9 : NEW_NEXT;
    CU_ASSERT(found.lsn == lsn && items == (from_nothing ? 10 : ITEMS));
    if (keep_tail)
        CU_ASSERT(has_file(image, OLD_TAIL "wal-0000000000000002") &&
                  has_file(image, OLD_TAIL "wal-0000000000000003") && has_file(image, OLD_TAIL "meta"));
    found_new++;
}

/* A start that is crashed at a boundary of its own, and the next one. */
static void crash_the_start(struct sim_disk *image, uint64_t *random)
{
    struct recovery_facts found;
    uint64_t items;
    struct sim_disk *first = sim_disk_image(image, SIM_CRASH_KILL, 1);
    sim_disk_crash_at(first, sim_disk_boundaries(first) + seeded_below(random, RECOVERY_BOUNDARIES));
    (void)recover_image(first, &found, &items);
    /* Any set of what was not durable yet finds most. */
    enum sim_crash kind =
        seeded_below(random, 2) ? SIM_CRASH_SUBSET : (enum sim_crash)seeded_below(random, SIM_CRASHES);
    struct sim_disk *second = sim_disk_image(first, kind, seeded_next(random));
    expect_one_or_the_other(second);
    sim_disk_destroy(second);
    sim_disk_destroy(first);
}

/* From a folder that is at rest, with the new log's first segment made: what follows is made durable by nobody else. */
static void begin_the_adoption(void)
{
    give_up();
    make_base();
    steps(STEPS);
    struct adoption adoption = new_log();
    adoption.keep_tail = keep_tail;
    adoption.common_lsn = OLD_FIRST + 13;
    CU_ASSERT_TRUE_FATAL(housekeeper_adopt(housekeeper, &adoption));
    new_log_is_durable();
}

static void set_up_again(bool nothing)
{
    tear_down();
    set_up();
    from_nothing = nothing;
    begin_the_adoption();
}

static void crash_everywhere(bool nothing, bool tail)
{
    uint64_t random = seeded_start(seeded_from_environment(1));
    keep_tail = tail;
    set_up_again(nothing);
    uint64_t first = sim_disk_boundaries(sim);
    steps(STEPS);
    CU_ASSERT_EQUAL(facts().adoption, ADOPTION_DONE);
    uint64_t last = sim_disk_boundaries(sim);
    found_old = found_new = 0;
    for (uint64_t boundary = first; boundary <= last; boundary++) {
        set_up_again(nothing);
        sim_disk_crash_at(sim, boundary);
        steps(STEPS / 10);
        for (unsigned i = 0; i < IMAGES; i++) {
            struct sim_disk *image =
                sim_disk_image(sim, (enum sim_crash)(i % SIM_CRASHES), seeded_next(&random));
            for (unsigned j = 0; j < (i % SIM_CRASHES == SIM_CRASH_KILL ? STARTS : 1); j++)
                crash_the_start(image, &random);
            expect_one_or_the_other(image);
            sim_disk_destroy(image);
        }
    }
    CU_ASSERT(found_old > 0 && found_new > 0);
}

static void a_crash_finds_the_old_log_or_the_new_one(void)
{
    crash_everywhere(false, false);
}

static void a_crash_does_not_lose_the_tail(void)
{
    crash_everywhere(false, true);
}

static void a_crash_of_a_log_that_begins_with_the_first_history(void)
{
    crash_everywhere(true, false);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_crash_finds_the_old_log_or_the_new_one),
                           TEST(a_crash_does_not_lose_the_tail),
                           TEST(a_crash_of_a_log_that_begins_with_the_first_history), CU_TEST_INFO_NULL};
    return suite_run_each("adoption_crashes", set_up, tear_down, tests);
}
