/*
 * wal_writer_fixture.h - a writer on a disk in memory, as a start makes it where recovery found the log's
 * end; a test gives it segments, records and turns, and completes its writes. And the log read back.
 */
#ifndef WILD_TESTS_WAL_WRITER_FIXTURE_H
#define WILD_TESTS_WAL_WRITER_FIXTURE_H

#include "memory_disk.h"
#include "suite.h"
#include "wal_blocks.h"
#include "wal_reader.h"
#include "wal_writer.h"

enum {
    SEGMENT_BYTES = 2 * WAL_BLOCK_BYTES_MAX,
    FOUND_SEGMENT = 4, /* where the log ended */
    BIG = 1000,        /* bytes of value, with a key of up to 8 bytes */
    BIG_RECORD = 1032,
    BIG_A_BLOCK = (WAL_BLOCK_BYTES_MAX - WAL_BLOCK_HEADER_BYTES) / BIG_RECORD,
};
static const uint64_t first_lsn = (uint64_t)9 << 32, history = 77, found_history = 66,
                      found_lsn = ((uint64_t)8 << 32) + 1234;

static struct memory_disk memory;
static struct wal_writer *writer;
static uint64_t now_ns, wall_ms, next_lsn;

static inline struct wal_position found_end(void)
{
    return (struct wal_position){.segment = FOUND_SEGMENT,
                                 .next_lsn = found_lsn + 1,
                                 .history = found_history,
                                 .offset = 5 * DISK_BLOCK_BYTES,
                                 .previous_crc = 0xabcd1234};
}

static inline void set_up(void)
{
    memset(&memory, 0, sizeof memory);
    now_ns = 1;
    wall_ms = 1700000000000;
    next_lsn = first_lsn;
    struct wal_writer_config config = {.queue = memory_queue(&memory),
                                       .start = found_end(),
                                       .history = history,
                                       .first_lsn = first_lsn,
                                       .durable_lsn = found_lsn,
                                       .segment_bytes = SEGMENT_BYTES};
    writer = wal_writer_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(writer);
}

static inline void tear_down(void)
{
    wal_writer_destroy(writer);
    memory_disk_free(&memory);
}

static inline unsigned turn(void)
{
    now_ns++;
    return wal_writer_turn(writer, now_ns, wall_ms);
}

static inline struct wal_writer_facts facts(void)
{
    return wal_writer_facts(writer);
}

static inline int give(void)
{
    char name[DISK_NAME_BYTES];
    uint64_t wanted = wal_writer_wants(writer);
    CU_ASSERT_NOT_EQUAL_FATAL(wanted, 0);
    meta_segment_name(name, wanted);
    int file = memory_make(&memory, name, SEGMENT_BYTES);
    wal_writer_give(writer, file);
    return file;
}

static inline bool append(unsigned value_length)
{
    uint8_t record[LOG_RECORD_BYTES_MAX];
    size_t length = numbered_record(record, next_lsn, value_length);
    bool taken = wal_writer_append(writer, record, length);
    next_lsn += taken;
    return taken;
}

static inline void append_a_block(void)
{
    for (unsigned i = 0; i < BIG_A_BLOCK; i++)
        CU_ASSERT_FATAL(append(BIG));
}

static inline void complete_all(void)
{
    while (memory.queued_count > 0)
        memory_complete(&memory, 0, 0);
}

/* Until nothing happens by itself any more; the disk does what it is told. */
static inline void settle(void)
{
    do
        complete_all();
    while (turn() > 0 || memory.queued_count > 0);
}

/* The history's mark is durable: what every test but the mark's own begins with. */
static inline void start(void)
{
    give();
    settle();
    CU_ASSERT_FATAL(facts().started);
}

static inline const uint8_t *submitted(unsigned n, struct wal_block *out)
{
    const struct disk_write *write = &memory.queued[n];
    char name[DISK_NAME_BYTES];
    uint64_t segment = 0;
    CU_ASSERT_FATAL(n < memory.queued_count);
    snprintf(name, sizeof name, "%s", memory.file[write->file].name);
    CU_ASSERT(meta_is_segment(name, &segment));
    CU_ASSERT_EQUAL(wal_block_decode(out, write->bytes, write->length, segment, (uint32_t)write->offset),
                    WAL_WHOLE);
    CU_ASSERT_EQUAL((uintptr_t)write->bytes % DISK_BLOCK_BYTES, 0);
    CU_ASSERT(write->offset % DISK_BLOCK_BYTES == 0 && write->length % DISK_BLOCK_BYTES == 0);
    return write->bytes;
}

/* Reads what is on the disk, from where recovery found the log's end: how many records, and the verdict. */
static inline struct wal_verdict_at_end read_back(uint64_t *records)
{
    struct meta meta = {.cluster_id = {1}, .node_id = 1};
    meta_add(&meta, &(struct history){
                        .id = found_history, .first_lsn = (uint64_t)8 << 32, .node_id = 1, .epoch = 1});
    meta_add(
        &meta,
        &(struct history){
            .id = history, .first_lsn = first_lsn, .node_id = 1, .before_lsn = first_lsn - 1, .epoch = 2});
    struct disk disk = memory_disk(&memory);
    struct wal_position from = found_end();
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &from);
    struct wal_block block;
    *records = 0;
    while (wal_reader_next(reader, &block) == 1)
        *records += block.count;
    struct wal_verdict_at_end verdict = wal_reader_judge(reader);
    wal_reader_destroy(reader);
    return verdict;
}

#endif
