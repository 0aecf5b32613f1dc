/*
 * adoption_fixture.h - a folder with a log in it, a block a segment and made by hand, that is given up for another; a table as
 * that other one has it. What a start finds is asked of a recovery.
 */
#ifndef WILD_TESTS_ADOPTION_FIXTURE_H
#define WILD_TESTS_ADOPTION_FIXTURE_H

#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#include "apply.h"
#include "housekeeper.h"
#include "recovery.h"
#include "sim_disk.h"
#include "table_fixture.h"
#include "wal_blocks.h"

enum {
    SEGMENT_BYTES = WAL_BLOCK_BYTES_MAX,
    END_SEGMENT = 3, /* the old log's last; 4 is ready */
    STEPS = 3000,
    ITEMS = 20,
};
#define OLD_STAMP  UINT64_C(0x01d)
#define NEW_STAMP  UINT64_C(0x2e8)
#define OLD_FIRST  (UINT64_C(1) << 32)
#define NEW_FIRST  (UINT64_C(2) << 32)
#define NEW_NEXT   (NEW_FIRST + 100)
#define OLD_TAIL   "kept-tail-000000000000001d-"
#define OLD_MARKER "tail-000000000000001d-"

static struct fixture fixture;
static struct sim_disk *sim;
static struct disk disk;
static struct disk_calls calls; /* the simulated disk's, but for rename() */
static const char *stubborn;    /* a file that does not get this name */
static struct housekeeper *housekeeper;
static struct meta old_meta;
static uint64_t base;     /* the new log's first segment */
static bool from_nothing; /* it begins with the first history */

static inline int rename_or_not(void *state, const char *from, const char *to)
{
    if (stubborn != NULL && strcmp(to, stubborn) == 0)
        return -EPERM;
    return sim_disk_disk(sim).call->rename(state, from, to);
}

/* Writes the segment's first block into the file: of so many records. Returns its crc. */
static inline uint32_t write_first(int file, uint64_t segment, uint64_t stamp, uint64_t history,
                                   uint64_t first_lsn, uint32_t count, uint32_t previous_crc)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX] __attribute__((aligned(DISK_BLOCK_BYTES)));
    struct wal_block block = {.segment = segment,
                              .stamp = stamp,
                              .history = history,
                              .first_lsn = first_lsn,
                              .count = count,
                              .durable_lsn = first_lsn - 1,
                              .previous_crc = previous_crc};
    size_t padded = make_block(bytes, &block, 10);
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, 0, bytes, padded), 0);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    CU_ASSERT_EQUAL(wal_block_decode(&block, bytes, padded, segment, 0), WAL_WHOLE);
    return block.crc;
}

static inline uint32_t put_segment(uint64_t segment, uint64_t stamp, uint64_t history, uint64_t first_lsn,
                                   uint32_t count, uint32_t previous_crc)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    int file = disk.call->open(disk.state, name, DISK_CREATE, SEGMENT_BYTES);
    CU_ASSERT_FATAL(file >= 0);
    uint32_t crc = write_first(file, segment, stamp, history, first_lsn, count, previous_crc);
    disk.call->close(disk.state, file);
    return crc;
}

static inline bool is_there(const char *name)
{
    int file = disk.call->open(disk.state, name, DISK_READ, 0);
    if (file >= 0)
        disk.call->close(disk.state, file);
    return file >= 0;
}

static inline bool has_segment(uint64_t segment)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    return is_there(name);
}

static inline bool has_snapshot(uint64_t lsn)
{
    char name[DISK_NAME_BYTES];
    meta_snapshot_name(name, lsn);
    return is_there(name);
}

static inline struct meta meta_on_disk(void)
{
    struct meta meta;
    CU_ASSERT_EQUAL_FATAL(meta_read(&meta, &disk), 0);
    return meta;
}

static inline void apply(uint64_t lsn)
{
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    size_t length = numbered_record(bytes, lsn, 5);
    CU_ASSERT_EQUAL(apply_records(fixture.context, bytes, length), 0);
}

/* The old log: a block in each of three segments, the fourth is ready. */
static inline void set_up(void)
{
    fixture_open(&fixture, &(struct table_config){.capacity = 1000});
    sim = sim_disk_create(1, UINT64_C(1) << 30);
    disk = sim_disk_disk(sim);
    calls = *disk.call;
    calls.rename = rename_or_not;
    disk.call = &calls;
    stubborn = NULL;
    from_nothing = false;
    old_meta =
        (struct meta){.cluster_id = {1}, .node_id = 7, .stamp = OLD_STAMP, .base_segment = 1, .count = 1};
    old_meta.history[0] = (struct history){.id = 11, .first_lsn = OLD_FIRST, .node_id = 7, .epoch = 1};
    CU_ASSERT_EQUAL_FATAL(meta_write(&old_meta, &disk), 0);
    uint32_t crc = 0;
    for (uint64_t segment = 1; segment <= END_SEGMENT; segment++)
        crc = put_segment(segment, OLD_STAMP, 11, OLD_FIRST + (segment - 1) * 10, 10, crc);
    int file = disk.call->open(disk.state, "wal-0000000000000004", DISK_CREATE, SEGMENT_BYTES);
    CU_ASSERT_FATAL(file >= 0);
    disk.call->close(disk.state, file);
    CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), 0);
    struct recovery_facts found = {.meta = old_meta,
                                   .end = {.segment = END_SEGMENT},
                                   .lsn = OLD_FIRST + 29,
                                   .oldest_segment = 1,
                                   .newest_segment = END_SEGMENT + 1};
    struct housekeeper_config config = {.disk = disk,
                                        .table = fixture.table,
                                        .found = &found,
                                        .segment_bytes = SEGMENT_BYTES,
                                        .snapshot_buckets = 16};
    housekeeper = housekeeper_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(housekeeper);
    for (unsigned i = 0; i < ITEMS; i++) /* the last one's record is in the new log */
        apply(NEW_NEXT + 1 - ITEMS + i);
    base = housekeeper_next_base(housekeeper);
}

static inline void tear_down(void)
{
    housekeeper_destroy(housekeeper);
    sim_disk_destroy(sim);
    fixture_close(&fixture);
}

static inline void steps(unsigned count)
{
    while (count-- > 0)
        (void)housekeeper_step(housekeeper);
}

static inline struct housekeeper_facts facts(void)
{
    return housekeeper_facts(housekeeper);
}

static inline struct adoption new_log(void)
{
    struct adoption adoption = {
        .meta = old_meta, .start = {.segment = base, .next_lsn = NEW_NEXT, .history = 22}, .wall_ms = 5};
    adoption.meta.stamp = NEW_STAMP;
    adoption.meta.count = 2;
    adoption.meta.history[1] = (struct history){
        .id = 22, .first_lsn = NEW_FIRST, .node_id = 8, .before_lsn = OLD_FIRST + 10, .epoch = 2};
    if (from_nothing) {
        adoption.start = (struct wal_position){.segment = base, .next_lsn = 1};
        adoption.meta.history[1].before_lsn = OLD_FIRST + 9;
    }
    return adoption;
}

static inline void give_up(void)
{
    for (unsigned i = 0; !housekeeper_give_up(housekeeper); i++) {
        CU_ASSERT_FATAL(i < STEPS);
        steps(1);
    }
}

static inline void begin(const struct adoption *adoption)
{
    give_up();
    CU_ASSERT_TRUE_FATAL(housekeeper_adopt(housekeeper, adoption));
}

/* The new log's first segment, and its first record. */
static inline void make_base(void)
{
    int file;
    housekeeper_want_segment(housekeeper, base);
    for (unsigned i = 0; !housekeeper_take_segment(housekeeper, base, &file); i++) {
        CU_ASSERT_FATAL(i < STEPS);
        steps(1);
    }
    CU_ASSERT_FATAL(file >= 0);
    if (from_nothing)
        write_first(file, base, NEW_STAMP, 11, OLD_FIRST, 10, 0);
    else
        write_first(file, base, NEW_STAMP, 22, NEW_NEXT, 1, 0);
    CU_ASSERT_TRUE(housekeeper_close_file(housekeeper, file));
}

static inline void new_log_is_durable(void)
{
    housekeeper_tell_durable(housekeeper, NEW_NEXT);
}

/* What a start finds there: 0, or why it refuses. */
static inline int recover_image(struct sim_disk *image, struct recovery_facts *out, uint64_t *items)
{
    struct table_counts counts;
    struct fixture second;
    uint64_t seed = 4;
    fixture_open(&second, &(struct table_config){.capacity = 1000});
    struct recovery_config config = {.disk = sim_disk_disk(image),
                                     .apply = second.context,
                                     .random = seeded_source(&seed),
                                     .folder = "folder",
                                     .segment_bytes = SEGMENT_BYTES};
    struct recovery *recovery = recovery_create(&config);
    int step;
    while ((step = recovery_step(recovery)) == 1)
        ;
    *out = *recovery_facts(recovery);
    table_counts(second.table, &counts);
    *items = counts.items;
    recovery_destroy(recovery);
    fixture_close(&second);
    return step;
}

#endif
