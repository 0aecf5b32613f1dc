/*
 * test_housekeeper.c - what is kept of the folder, and what others who read it keep besides. Segments and
 * snapshots are asked for as control does; no log is written.
 */
#include "suite.h"

#include "housekeeper.h"
#include "sim_disk.h"
#include "table_fixture.h"
#include "wal_block.h"

enum { SEGMENT_BYTES = WAL_BLOCK_BYTES_MAX, FOUND_SEGMENT = 3, STEPS = 300 };

static struct fixture fixture;
static struct sim_disk *sim;
static struct disk disk;
static struct housekeeper *housekeeper;
static uint64_t needed_segment, needed_snapshot; /* what others read */

static uint64_t needs_segment(const void *readers)
{
    CU_ASSERT_PTR_EQUAL(readers, &fixture);
    return needed_segment;
}

static bool needs_snapshot(const void *readers, uint64_t lsn)
{
    CU_ASSERT_PTR_EQUAL(readers, &fixture);
    return lsn == needed_snapshot;
}

static void open_housekeeper(bool readers)
{
    struct recovery_facts found = {.end = {.segment = FOUND_SEGMENT}, .oldest_segment = 1};
    struct housekeeper_config config = {.disk = disk,
                                        .table = fixture.table,
                                        .found = &found,
                                        .segment_bytes = SEGMENT_BYTES,
                                        .snapshot_buckets = 64,
                                        .needs_segment = readers ? needs_segment : NULL,
                                        .needs_snapshot = readers ? needs_snapshot : NULL,
                                        .readers = readers ? &fixture : NULL};
    housekeeper_destroy(housekeeper);
    housekeeper = housekeeper_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(housekeeper);
    housekeeper_tell_durable(housekeeper, UINT64_MAX);
}

static void set_up(void)
{
    fixture_open(&fixture, &(struct table_config){.capacity = 100});
    sim = sim_disk_create(1, UINT64_C(1) << 30);
    disk = sim_disk_disk(sim);
    housekeeper = NULL;
    needed_segment = UINT64_MAX;
    needed_snapshot = 0;
    for (uint64_t segment = 1; segment <= FOUND_SEGMENT + 1; segment++) {
        char name[DISK_NAME_BYTES];
        meta_segment_name(name, segment);
        int file = disk.call->open(disk.state, name, DISK_CREATE, SEGMENT_BYTES);
        CU_ASSERT_FATAL(file >= 0);
        disk.call->close(disk.state, file);
    }
    int file = disk.call->open(disk.state, META_FILE, DISK_CREATE, 0);
    CU_ASSERT_FATAL(file >= 0);
    disk.call->close(disk.state, file);
    open_housekeeper(true);
}

static void tear_down(void)
{
    housekeeper_destroy(housekeeper);
    sim_disk_destroy(sim);
    fixture_close(&fixture);
}

static void rest(void)
{
    for (unsigned i = 0; i < STEPS; i++)
        (void)housekeeper_step(housekeeper);
}

static bool is_there(const char *name)
{
    int file = disk.call->open(disk.state, name, DISK_READ, 0);
    if (file >= 0)
        disk.call->close(disk.state, file);
    return file >= 0;
}

static bool has_segment(uint64_t segment)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    return is_there(name);
}

static bool has_snapshot(uint64_t lsn)
{
    char name[DISK_NAME_BYTES];
    meta_snapshot_name(name, lsn);
    return is_there(name);
}

/* As the log gets there: made, written, left. */
static void make_segment(uint64_t segment)
{
    int file;
    housekeeper_want_segment(housekeeper, segment);
    rest();
    CU_ASSERT_FATAL(housekeeper_take_segment(housekeeper, segment, &file) && file >= 0);
    CU_ASSERT(housekeeper_close_file(housekeeper, file));
    rest();
}

/* From a position in that segment, after that LSN. */
static void take_snapshot(uint64_t segment, uint64_t lsn)
{
    struct snapshot_facts facts = {.position = {.segment = segment, .next_lsn = lsn + 1, .history = 1}};
    CU_ASSERT_FATAL(housekeeper_snapshot(housekeeper, &facts));
    rest();
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).snapshot_lsn, lsn);
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).snapshots_failed, 0);
}

/* Exactly these. One below what is kept may wait to be used again. */
static void expect_segments(uint64_t oldest, uint64_t newest)
{
    uint64_t first, last;
    housekeeper_segments(housekeeper, &first, &last);
    CU_ASSERT_EQUAL(first, oldest);
    CU_ASSERT_EQUAL(last, newest);
    for (uint64_t segment = 1; segment < newest + 5; segment++)
        CU_ASSERT_EQUAL(has_segment(segment), segment >= oldest && segment <= newest);
}

static void what_two_snapshots_need_is_kept(void)
{
    for (unsigned readers = 0; readers < 2; readers++) {
        if (readers)
            set_up();
        open_housekeeper(readers != 0);
        expect_segments(1, 4);
        make_segment(5);
        make_segment(6);
        expect_segments(1, 6);
        take_snapshot(3, 30);
        expect_segments(1, 6);
        take_snapshot(5, 50);
        expect_segments(2, 6);
        make_segment(7); /* 2 became 7 */
        expect_segments(3, 7);
        take_snapshot(6, 60);
        expect_segments(4, 7);
        CU_ASSERT(!has_snapshot(30) && has_snapshot(50) && has_snapshot(60));
        if (!readers)
            tear_down();
    }
}

static void a_segment_that_is_read_is_neither_removed_nor_used_again(void)
{
    needed_segment = 2;
    make_segment(5);
    take_snapshot(3, 30);
    take_snapshot(5, 50);
    expect_segments(1, 5); /* the spare */
    make_segment(6);       /* is used */
    expect_segments(2, 6);
    make_segment(7);
    make_segment(8);
    expect_segments(2, 8);
    take_snapshot(7, 70);
    take_snapshot(8, 80);
    expect_segments(2, 8);
    needed_segment = 4; /* its reader has gone on */
    rest();
    expect_segments(3, 8);
    needed_segment = UINT64_MAX;
    rest();
    expect_segments(6, 8);
    needed_segment = 1; /* gone already: no harm */
    make_segment(9);
    expect_segments(6, 9);
    needed_segment = UINT64_MAX;
    rest();
    make_segment(10);
    expect_segments(7, 10);
}

static void a_snapshot_that_is_read_is_not_removed(void)
{
    make_segment(5);
    take_snapshot(3, 30);
    take_snapshot(4, 40);
    needed_snapshot = 40;
    take_snapshot(5, 50);
    take_snapshot(5, 51);
    CU_ASSERT(!has_snapshot(30) && has_snapshot(40) && has_snapshot(50) && has_snapshot(51));
    take_snapshot(5, 52);
    take_snapshot(5, 53);
    CU_ASSERT(has_snapshot(40) && !has_snapshot(50) && !has_snapshot(51) && has_snapshot(52) &&
              has_snapshot(53));
    expect_segments(4, 5); /* what follows a snapshot is its reader's to ask for */
    needed_snapshot = 0;
    rest();
    CU_ASSERT(!has_snapshot(40) && has_snapshot(52) && has_snapshot(53));
}

/* The others come and go meanwhile. */
static void a_snapshot_may_be_read_for_long(void)
{
    take_snapshot(4, 40);
    needed_snapshot = 40;
    for (uint64_t lsn = 41; lsn < 41 + 3 * RECOVERY_SNAPSHOTS_MAX; lsn++) {
        take_snapshot(4, lsn);
        CU_ASSERT(has_snapshot(40) && has_snapshot(lsn) && (lsn < 44 || !has_snapshot(lsn - 2)));
    }
    needed_snapshot = 0;
    rest();
    CU_ASSERT(!has_snapshot(40));
}

/* A failover might take back what it has forgotten, and readers be told so already. */
static void a_snapshot_is_not_published_before_all_of_it_is_acknowledged(void)
{
    struct snapshot_facts facts = {.position = {.segment = 3, .next_lsn = 31, .history = 1}};
    make_segment(3);
    housekeeper_tell_acknowledged(housekeeper, 29);
    CU_ASSERT_FATAL(housekeeper_snapshot(housekeeper, &facts));
    rest();
    CU_ASSERT(!has_snapshot(30) && housekeeper_facts(housekeeper).snapshot_running);
    housekeeper_tell_durable(housekeeper, 29);
    housekeeper_tell_acknowledged(housekeeper, 40);
    rest();
    CU_ASSERT_FALSE(has_snapshot(30)); /* nor before it is durable */
    housekeeper_tell_durable(housekeeper, UINT64_MAX);
    rest();
    CU_ASSERT_FALSE(has_snapshot(30)); /* it ends where the table is, above */
    housekeeper_tell_acknowledged(housekeeper, UINT64_MAX);
    rest();
    CU_ASSERT(has_snapshot(30) && !housekeeper_facts(housekeeper).snapshot_running);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(what_two_snapshots_need_is_kept),
                           TEST(a_segment_that_is_read_is_neither_removed_nor_used_again),
                           TEST(a_snapshot_that_is_read_is_not_removed),
                           TEST(a_snapshot_may_be_read_for_long),
                           TEST(a_snapshot_is_not_published_before_all_of_it_is_acknowledged),
                           CU_TEST_INFO_NULL};
    return suite_run_each("housekeeper", set_up, tear_down, tests);
}
