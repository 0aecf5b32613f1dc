/*
 * wal_laid.h - a log laid out by hand: block after block, each where the last one ended unless a test says
 * otherwise; and what a reader finds in it, checked against that.
 */
#ifndef WILD_TESTS_WAL_LAID_H
#define WILD_TESTS_WAL_LAID_H

#include "memory_disk.h"
#include "suite.h"
#include "wal_blocks.h"
#include "wal_reader.h"

enum {
    FIRST_SEGMENT = 3,
    SEGMENT_BYTES = 512 * 1024,
    LAID_MAX = 600,
    OLD = 0, /* histories, by their place in meta */
    NOW,
    NEXT,
};

struct laid {
    struct wal_block block;
    uint64_t segment;
    uint32_t offset;
    size_t padded;
};

static struct memory_disk memory;
static struct disk disk;
static struct meta meta;
static struct wal_position at; /* where the next block is laid */
static struct laid laid[LAID_MAX];
static unsigned laid_count;
static uint64_t durable_lsn; /* what the next block says */

static inline void make_segment(uint64_t segment, uint64_t bytes)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    CU_ASSERT_FATAL(memory_make(&memory, name, bytes) >= 0);
}

static inline struct memory_file *segment_file(uint64_t segment)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    int file = memory_find(&memory, name);
    CU_ASSERT_FATAL(file >= 0);
    return &memory.file[file];
}

static inline void set_up(void)
{
    memset(&memory, 0, sizeof memory);
    disk = memory_disk(&memory);
    meta = (struct meta){.cluster_id = {1}, .node_id = 1, .stamp = 0x5eed};
    for (unsigned i = OLD; i <= NEXT; i++)
        meta_add(&meta, &(struct history){
                            .id = 100 + i, .first_lsn = (uint64_t)(i + 1) << 32, .node_id = 1, .epoch = i});
    at = (struct wal_position){.segment = FIRST_SEGMENT, .next_lsn = meta.history[NOW].first_lsn};
    durable_lsn = 0;
    laid_count = 0;
    make_segment(FIRST_SEGMENT, SEGMENT_BYTES);
}

static inline void tear_down(void)
{
    CU_ASSERT_EQUAL(memory.open_files, 0);
    memory_disk_free(&memory);
}

/* A block with that many records at `at`, which moves behind it. */
static inline struct laid *lay(uint32_t count, unsigned value_length)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    CU_ASSERT_FATAL(laid_count < LAID_MAX);
    struct laid *new = &laid[laid_count++];
    if (at.history == 0)
        at.history = meta.history[NOW].id;
    new->block = (struct wal_block){.first_lsn = at.next_lsn,
                                    .history = at.history,
                                    .stamp = meta.stamp,
                                    .wall_ms = 5000 + laid_count,
                                    .durable_lsn = durable_lsn,
                                    .segment = at.segment,
                                    .offset = at.offset,
                                    .count = count,
                                    .previous_crc = at.previous_crc};
    new->segment = at.segment;
    new->offset = at.offset;
    new->padded = make_block(bytes, &new->block, value_length);
    struct memory_file *file = segment_file(at.segment);
    CU_ASSERT_FATAL(at.offset + new->padded <= file->size);
    memcpy(file->bytes + at.offset, bytes, new->padded);
    at.offset += (uint32_t) new->padded;
    at.next_lsn += count;
    at.previous_crc = new->block.crc;
    return new;
}

static inline void next_segment(void)
{
    at.segment++;
    at.offset = 0;
    make_segment(at.segment, SEGMENT_BYTES);
}

/* The next block belongs to that history. */
static inline void next_history(unsigned place)
{
    at.history = meta.history[place].id;
    at.next_lsn = meta.history[place].first_lsn;
}

static inline uint8_t *bytes_of(const struct laid *block)
{
    return segment_file(block->segment)->bytes + block->offset;
}

static inline struct wal_position log_start(void)
{
    return (struct wal_position){.segment = FIRST_SEGMENT, .next_lsn = 1};
}

/* What a reader finds from there: blocks, and the verdict on the end. Checks each against what was laid. */
static inline struct wal_verdict_at_end read_from(struct wal_position from, unsigned first, unsigned *blocks)
{
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
    struct wal_block block;
    unsigned count = 0;
    for (; wal_reader_next(reader, &block) == 1; count++) {
        size_t padded;
        CU_ASSERT_FATAL(first + count < laid_count);
        const struct laid *expected = &laid[first + count];
        CU_ASSERT(block.crc == expected->block.crc && block.count == expected->block.count);
        CU_ASSERT(memcmp(wal_reader_bytes(reader, &padded), bytes_of(expected), expected->padded) == 0);
        CU_ASSERT_EQUAL(padded, expected->padded);
        struct wal_position after = wal_reader_position(reader);
        CU_ASSERT(after.segment == expected->segment && after.offset == expected->offset + padded);
        CU_ASSERT_EQUAL(after.next_lsn, expected->block.first_lsn + expected->block.count);
        CU_ASSERT(after.history == expected->block.history && after.previous_crc == expected->block.crc);
    }
    struct wal_verdict_at_end verdict = wal_reader_judge(reader);
    wal_reader_destroy(reader);
    CU_ASSERT_EQUAL(memory.open_files, 0);
    *blocks = count;
    return verdict;
}

/* From the log's start: as many blocks as expected, and that end. */
static inline struct wal_verdict_at_end expect(unsigned blocks, enum wal_end end)
{
    unsigned found;
    struct wal_verdict_at_end verdict = read_from(log_start(), 0, &found);
    if (found != blocks || verdict.end != end)
        printf("\n%u blocks instead of %u, end %d instead of %d\n", found, blocks, verdict.end, end);
    CU_ASSERT_EQUAL(found, blocks);
    CU_ASSERT_EQUAL(verdict.end, end);
    return verdict;
}

static inline void zero(struct laid *block)
{
    memset(bytes_of(block), 0, block->padded);
}

#endif
