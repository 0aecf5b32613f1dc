#include "suite.h"

#include "memory_disk.h"
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

/* A log laid out by hand: block after block, each where the last one ended unless a test says otherwise. */
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

static void make_segment(uint64_t segment, uint64_t bytes)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    CU_ASSERT_FATAL(memory_make(&memory, name, bytes) >= 0);
}

static struct memory_file *segment_file(uint64_t segment)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    int file = memory_find(&memory, name);
    CU_ASSERT_FATAL(file >= 0);
    return &memory.file[file];
}

static void set_up(void)
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

static void tear_down(void)
{
    CU_ASSERT_EQUAL(memory.open_files, 0);
    memory_disk_free(&memory);
}

/* A block with that many records at `at`, which moves behind it. */
static struct laid *lay(uint32_t count, unsigned value_length)
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

static void next_segment(void)
{
    at.segment++;
    at.offset = 0;
    make_segment(at.segment, SEGMENT_BYTES);
}

/* The next block belongs to that history. */
static void next_history(unsigned place)
{
    at.history = meta.history[place].id;
    at.next_lsn = meta.history[place].first_lsn;
}

static uint8_t *bytes_of(const struct laid *block)
{
    return segment_file(block->segment)->bytes + block->offset;
}

static struct wal_position log_start(void)
{
    return (struct wal_position){.segment = FIRST_SEGMENT, .next_lsn = 1};
}

/* What a reader finds from there: blocks, and the verdict on the end. Checks each against what was laid. */
static struct wal_verdict_at_end read_from(struct wal_position from, unsigned first, unsigned *blocks)
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
static struct wal_verdict_at_end expect(unsigned blocks, enum wal_end end)
{
    unsigned found;
    struct wal_verdict_at_end verdict = read_from(log_start(), 0, &found);
    if (found != blocks || verdict.end != end)
        printf("\n%u blocks instead of %u, end %d instead of %d\n", found, blocks, verdict.end, end);
    CU_ASSERT_EQUAL(found, blocks);
    CU_ASSERT_EQUAL(verdict.end, end);
    return verdict;
}

/* ---- what is there is read ---- */

static void nothing_there_is_a_clean_end(void)
{
    struct wal_verdict_at_end verdict = expect(0, WAL_END_CLEAN);
    CU_ASSERT(verdict.position.segment == FIRST_SEGMENT && verdict.position.offset == 0);
    tear_down();
    memset(&memory, 0, sizeof memory); /* not even a file */
    expect(0, WAL_END_CLEAN);
}

static void a_log_is_read_from_every_position_in_it(void)
{
    unsigned found;
    for (unsigned i = 0; i < 30; i++) {
        if (i % 8 == 7)
            next_segment();
        lay(i % 5, 100);
    }
    struct wal_verdict_at_end verdict = expect(30, WAL_END_CLEAN);
    CU_ASSERT(verdict.position.next_lsn == at.next_lsn && verdict.position.offset == at.offset);
    CU_ASSERT(verdict.wall_ms == 5030 && verdict.bytes_behind == 0 && verdict.watermark == 0);
    for (unsigned i = 0; i < 30; i++) {
        struct wal_position from = {.segment = laid[i].segment,
                                    .next_lsn = laid[i].block.first_lsn + laid[i].block.count,
                                    .history = laid[i].block.history,
                                    .offset = laid[i].offset + (uint32_t)laid[i].padded,
                                    .previous_crc = laid[i].block.crc};
        CU_ASSERT_EQUAL(read_from(from, i + 1, &found).end, WAL_END_CLEAN);
        CU_ASSERT_EQUAL(found, 29 - i);
    }
}

static void a_log_larger_than_what_is_read_ahead_comes_whole(void)
{
    uint64_t seed = seeded_start(seeded_from_environment(3));
    unsigned segments = 1;
    for (bool more = true; more;) {
        uint32_t count = (uint32_t)seeded_below(&seed, 120);
        if (at.offset + WAL_BLOCK_BYTES_MAX > segment_file(at.segment)->size) {
            more = segments++ < 5 && laid_count + 100 < LAID_MAX;
            at.segment++;
            at.offset = 0;
            make_segment(at.segment, 5 * WAL_READ_BYTES / 2);
        }
        lay(count, (unsigned)seeded_below(&seed, VALUE_BYTES_MAX + 1));
    }
    CU_ASSERT_FATAL(laid_count > 50);
    expect(laid_count, WAL_END_CLEAN);
}

static void a_later_history_goes_on_and_no_other(void)
{
    lay(3, 1);
    next_segment();
    next_history(NEXT);
    lay(0, 0);
    lay(2, 1);
    expect(3, WAL_END_CLEAN);

    static const struct {
        unsigned place;
        uint64_t add;
    } wrong[] = {{OLD, 0}, {NEXT, 1}, {NOW, 0}};
    for (unsigned i = 0; i < 3; i++) {
        tear_down(), set_up();
        lay(3, 1);
        next_segment();
        next_history(wrong[i].place);
        at.next_lsn += wrong[i].add;
        durable_lsn = at.next_lsn - 1;
        lay(1, 0);
        unsigned found;
        read_from(log_start(), 0, &found);
        CU_ASSERT_EQUAL(found, 1);
    }
}

static void an_unknown_history_does_not_go_on(void)
{
    unsigned found;
    lay(3, 1);
    next_history(NEXT);
    at.history = 999;
    lay(2, 1);
    read_from(log_start(), 0, &found);
    CU_ASSERT_EQUAL(found, 1);
}

/* A reader that forgot the history which it is in (of many starts ago) reads on in it. */
static void a_history_that_meta_forgot_is_read_on_from_a_position(void)
{
    unsigned found;
    lay(3, 1);
    struct wal_position from = at;
    lay(3, 1), lay(3, 1);
    meta.history[NOW].id = 555;
    read_from(from, 1, &found);
    CU_ASSERT_EQUAL(found, 2);
}

/* As many starts without a snapshot as meta can tell of, and one more. */
static void histories_that_meta_had_no_room_for_go_on(void)
{
    unsigned found;
    lay(3, 1);
    next_history(NEXT);
    lay(2, 1);
    for (unsigned i = 0; i < META_HISTORIES_MAX; i++) {
        meta_add(&meta, &(struct history){.id = 1000 + i,
                                          .first_lsn = (uint64_t)(i + 4) << 32,
                                          .before_lsn = laid[1].block.first_lsn + 1,
                                          .node_id = 1,
                                          .epoch = 10 + i});
        CU_ASSERT_EQUAL(meta_is_forgotten(&meta, laid[1].block.first_lsn), i == META_HISTORIES_MAX - 1);
    }
    next_history(0);
    lay(1, 1);
    read_from(log_start(), 0, &found);
    CU_ASSERT_EQUAL(found, 3);
}

static void files_may_be_shorter_or_longer_than_expected(void)
{
    for (unsigned i = 0; i < 6; i++)
        lay(40, 100);
    memory_resize(segment_file(FIRST_SEGMENT), at.offset); /* ends with its last block */
    expect(6, WAL_END_CLEAN);
    memory_resize(segment_file(FIRST_SEGMENT), at.offset - 1); /* within it */
    expect(5, WAL_END_TORN);
    memory_resize(segment_file(FIRST_SEGMENT), at.offset - laid[5].padded + 40); /* within its header */
    expect(5, WAL_END_CLEAN);
    memory_resize(segment_file(FIRST_SEGMENT), 0);
    expect(0, WAL_END_CLEAN);
}

static void asked_again_at_the_end_it_looks_again(void)
{
    struct wal_position from = log_start();
    struct wal_block block;
    lay(1, 1);
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &from);
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 1);
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 0);
    lay(2, 1);
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 1);
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 0);
    next_segment();
    lay(3, 1);
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 1);
    CU_ASSERT_EQUAL(block.count, 3);
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 0);
    wal_reader_destroy(reader);
}

static void positions_that_cannot_be_are_an_end(void)
{
    static const struct wal_position from[] = {
        {.segment = FIRST_SEGMENT, .offset = 1},
        {.segment = FIRST_SEGMENT, .offset = UINT32_MAX},
        {.segment = FIRST_SEGMENT, .offset = UINT32_MAX - DISK_BLOCK_BYTES + 1},
        {.segment = FIRST_SEGMENT, .offset = SEGMENT_BYTES},
        {.segment = UINT64_MAX},
        {.segment = UINT64_MAX, .next_lsn = UINT64_MAX, .offset = 4096},
        {.segment = FIRST_SEGMENT, .next_lsn = UINT64_MAX},
    };
    unsigned found;
    lay(1, 1);
    for (unsigned i = 0; i < sizeof from / sizeof from[0]; i++) {
        read_from(from[i], 0, &found);
        CU_ASSERT_EQUAL(found, 0);
    }
}

/* ---- torn or damaged ---- */

/* Six blocks, n of which is spoilt by `spoil`; the later ones say that all before them was durable, or nothing. */
static void spoil_each(void (*spoil)(struct laid *block), bool acknowledged)
{
    for (unsigned n = 0; n < 6; n++) {
        tear_down(), set_up();
        for (unsigned i = 0; i < 6; i++) {
            if (i == 3)
                next_segment();
            if (acknowledged)
                durable_lsn = at.next_lsn - 1;
            lay(20, 300);
        }
        spoil(&laid[n]);
        bool noticed = acknowledged && n < 5;
        unsigned found;
        struct wal_verdict_at_end verdict = read_from(log_start(), 0, &found);
        CU_ASSERT_EQUAL(found, n);
        if (noticed)
            CU_ASSERT_EQUAL(verdict.end, WAL_END_DAMAGED)
        else
            CU_ASSERT(verdict.end == WAL_END_TORN || (n == 5 && verdict.end == WAL_END_CLEAN));
        if (n > 0) {
            CU_ASSERT_EQUAL(verdict.position.segment, laid[n - 1].segment);
            CU_ASSERT_EQUAL(verdict.position.offset, laid[n - 1].offset + laid[n - 1].padded);
        }
        CU_ASSERT_EQUAL(verdict.watermark >= laid[n].block.first_lsn, noticed);
    }
}

static void flip_in_records(struct laid *block)
{
    bytes_of(block)[block->padded / 2] ^= 4;
}

static void flip_in_header(struct laid *block)
{
    bytes_of(block)[30] ^= 128;
}

static void zero(struct laid *block)
{
    memset(bytes_of(block), 0, block->padded);
}

static void tear(struct laid *block)
{
    memset(bytes_of(block) + DISK_SECTOR_BYTES, 0, block->padded - DISK_SECTOR_BYTES);
}

static void tear_off_the_head(struct laid *block)
{
    memset(bytes_of(block), 0, DISK_SECTOR_BYTES);
}

/* A block of another place of this log: whole, but not here. */
static void misdirect(struct laid *block)
{
    const struct laid *other = block == &laid[0] ? &laid[5] : &laid[0];
    memcpy(bytes_of(block), bytes_of(other), block->padded);
}

/* What was written here when this file was a segment of the past: of the same shape, in another place. */
static void stale(struct laid *block)
{
    struct wal_block past = block->block;
    past.segment -= 2;
    past.first_lsn -= 100000;
    past.durable_lsn = past.first_lsn - 1;
    make_block(bytes_of(block), &past, 300);
}

/* Whole, in its place, but of a log that took another course before it. */
static void unchain(struct laid *block)
{
    wire_put_u32(bytes_of(block) + 8, 0x12345678);
    fix_crc(bytes_of(block), block->padded);
}

static void whatever_spoils_a_block_tells_damage_from_a_torn_tail_by_later_watermarks(void)
{
    static void (*const spoils[])(struct laid *) = {flip_in_records, flip_in_header,    zero,  tear,
                                                    misdirect,       tear_off_the_head, stale, unchain};
    for (unsigned i = 0; i < sizeof spoils / sizeof spoils[0]; i++)
        for (unsigned acknowledged = 0; acknowledged < 2; acknowledged++)
            spoil_each(spoils[i], acknowledged);
}

static void swapped_blocks_are_noticed(void)
{
    static uint8_t kept[WAL_BLOCK_BYTES_MAX];
    for (unsigned i = 0; i < 5; i++) {
        durable_lsn = at.next_lsn - 1;
        lay(20, 300);
    }
    CU_ASSERT_EQUAL_FATAL(laid[1].padded, laid[2].padded);
    memcpy(kept, bytes_of(&laid[1]), laid[1].padded);
    memcpy(bytes_of(&laid[1]), bytes_of(&laid[2]), laid[1].padded);
    memcpy(bytes_of(&laid[2]), kept, laid[1].padded);
    CU_ASSERT_EQUAL(expect(1, WAL_END_DAMAGED).watermark, laid[4].block.durable_lsn);
}

static void every_flipped_bit_below_a_watermark_is_damage(void)
{
    lay(0, 0), lay(3, 20);
    durable_lsn = at.next_lsn - 1;
    lay(0, 0);
    for (unsigned bit = 0; bit < 8 * DISK_BLOCK_BYTES; bit += bit < 1000 ? 1 : 61) {
        bytes_of(&laid[1])[bit / 8] ^= (uint8_t)(1 << bit % 8);
        unsigned found;
        if (read_from(log_start(), 0, &found).end != WAL_END_DAMAGED || found != 1)
            CU_FAIL("a flipped bit passes");
        bytes_of(&laid[1])[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    expect(3, WAL_END_CLEAN);
}

/* The same bytes on disk but for one later block: only the watermark makes the difference. */
static void a_torn_block_with_a_whole_one_behind_is_a_tail_until_a_later_watermark_says_more(void)
{
    lay(5, 5);
    uint64_t before = at.next_lsn - 1;
    durable_lsn = before;
    lay(100, 100), lay(100, 100);
    tear(&laid[1]);
    struct wal_verdict_at_end verdict = expect(1, WAL_END_TORN);
    CU_ASSERT_EQUAL(verdict.watermark, before);
    CU_ASSERT_EQUAL(verdict.bytes_behind, laid[1].padded + laid[2].padded);
    durable_lsn = at.next_lsn - 1;
    lay(0, 0);
    CU_ASSERT_EQUAL(expect(1, WAL_END_DAMAGED).watermark, durable_lsn);
}

static void a_lost_segment_is_damage_when_a_later_one_is_there(void)
{
    char name[DISK_NAME_BYTES];
    lay(5, 5);
    next_segment();
    durable_lsn = at.next_lsn - 1;
    lay(5, 5);
    next_segment();
    durable_lsn = at.next_lsn - 1;
    lay(5, 5);
    meta_segment_name(name, FIRST_SEGMENT + 1);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, name), 0);
    CU_ASSERT_EQUAL(expect(1, WAL_END_DAMAGED).watermark, durable_lsn);
    meta_segment_name(name, FIRST_SEGMENT);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, name), 0);
    expect(0, WAL_END_DAMAGED);
}

static void a_file_used_again_has_nothing_behind_the_end(void)
{
    for (unsigned i = 0; i < 10; i++) {
        durable_lsn = at.next_lsn - 1;
        lay(20, 100);
    }
    struct memory_file *spare = segment_file(FIRST_SEGMENT);
    meta_segment_name(spare->name, FIRST_SEGMENT + 1); /* renamed: it is the next one now */
    make_segment(FIRST_SEGMENT, SEGMENT_BYTES);
    laid_count = 0;
    at = (struct wal_position){.segment = FIRST_SEGMENT, .next_lsn = meta.history[NEXT].first_lsn};
    at.history = meta.history[NEXT].id;
    durable_lsn = at.next_lsn - 1;
    lay(1, 1);
    struct wal_verdict_at_end verdict = expect(1, WAL_END_CLEAN);
    CU_ASSERT(verdict.watermark == 0 && verdict.bytes_behind == 0);
    at.segment++; /* and while it is written over */
    at.offset = 0;
    lay(1, 1);
    verdict = expect(2, WAL_END_CLEAN);
    CU_ASSERT(verdict.watermark == 0 && verdict.bytes_behind == 0);
}

/* Whole blocks that were in flight when a node died stay where they are; the next history begins in the segment
 * that they may lie in, and ends before them. */
static void blocks_in_flight_of_an_earlier_history_never_count(void)
{
    lay(5, 5);
    durable_lsn = at.next_lsn - 1;
    struct wal_position end = at;
    lay(100, 5); /* lost */
    next_segment();
    lay(100, 5);
    lay(100, 5);
    zero(&laid[1]);
    CU_ASSERT_EQUAL(expect(1, WAL_END_TORN).bytes_behind, laid[2].padded + laid[3].padded);
    laid_count = 1;
    at = end;
    at.segment++;
    at.offset = 0;
    next_history(NEXT);
    lay(0, 0); /* over the first of the two; the second stays */
    struct wal_verdict_at_end verdict = expect(2, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(verdict.position.next_lsn, meta.history[NEXT].first_lsn);
    CU_ASSERT(verdict.watermark < meta.history[NEXT].first_lsn && verdict.watermark > 0);
}

static size_t put_record(uint8_t *out, uint64_t lsn, unsigned value_length, bool header_alone)
{
    static const uint8_t value[VALUE_BYTES_MAX];
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    struct log_record record = {.lsn = lsn,
                                .type = LOG_SET,
                                .key = (const uint8_t *)"8 bytes.",
                                .key_length = 8,
                                .value = value,
                                .value_length = (uint16_t)value_length};
    size_t length = log_record_encode(bytes, &record);
    memcpy(out, bytes, header_alone ? LOG_RECORD_HEADER_BYTES + 8 : length);
    return length;
}

/*
 * A client may choose values so that they make a whole block, at a place within a block where one could begin:
 * its records take the real ones' headers for their values. As long as the real block is whole nobody looks
 * there.
 */
static void a_block_made_of_clients_values_is_not_looked_at_in_a_whole_one(void)
{
    enum { HEAD = LOG_RECORD_HEADER_BYTES + 8, VALUE = 1000, AT = DISK_BLOCK_BYTES };
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    lay(5, 5);
    durable_lsn = at.next_lsn - 1;
    struct laid *torn = lay(5, 5);
    struct wal_block real = {.first_lsn = at.next_lsn,
                             .stamp = meta.stamp,
                             .history = at.history,
                             .durable_lsn = durable_lsn,
                             .segment = at.segment,
                             .offset = at.offset,
                             .previous_crc = at.previous_crc};
    /* the fifth record's value begins at AT */
    size_t end = WAL_BLOCK_HEADER_BYTES;
    for (unsigned i = 0; i < 9; i++)
        end += put_record(bytes + end, real.first_lsn + real.count++, i == 0 ? VALUE - 144 : VALUE, false);
    real.records_bytes = end - WAL_BLOCK_HEADER_BYTES;

    struct wal_block lie = {.first_lsn = at.next_lsn + 1000,
                            .history = at.history,
                            .durable_lsn = at.next_lsn + 500,
                            .segment = at.segment,
                            .offset = at.offset + AT};
    uint8_t *forged = bytes + AT;
    end = WAL_BLOCK_HEADER_BYTES;
    for (unsigned i = 0; i < 4; i++)
        end += put_record(forged + end, lie.first_lsn + lie.count++, i < 3 ? VALUE_BYTES_MAX : 816, true);
    CU_ASSERT_EQUAL_FATAL(end, DISK_BLOCK_BYTES);
    lie.records_bytes = end - WAL_BLOCK_HEADER_BYTES;
    wal_block_encode(forged, &lie);
    CU_ASSERT_EQUAL(wal_block_decode(&lie, forged, end, lie.segment, lie.offset), WAL_WHOLE);

    size_t padded = wal_block_encode(bytes, &real);
    CU_ASSERT_EQUAL(wal_block_decode(&real, bytes, padded, real.segment, real.offset), WAL_WHOLE);
    uint8_t *there = segment_file(at.segment)->bytes + at.offset;
    memcpy(there, bytes, padded);
    zero(torn);
    CU_ASSERT_EQUAL(expect(1, WAL_END_TORN).watermark, durable_lsn);
    /* The real one is torn too: then somebody does look there, and misses the stamp. */
    memset(there, 0, DISK_SECTOR_BYTES);
    CU_ASSERT_EQUAL(expect(1, WAL_END_CLEAN).watermark, 0);
    wire_put_u16(there + AT + 16, WAL_FORMAT + 1);
    fix_crc(there + AT, DISK_BLOCK_BYTES);
    expect(1, WAL_END_CLEAN);
}

/* Nor in a file that is used again, by the number that it was going to have: those can be foreseen. */
static void a_block_of_a_client_in_a_file_used_again_does_not_count(void)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    lay(5, 5);
    struct wal_block lie = {.first_lsn = at.next_lsn + 1000,
                            .count = 1,
                            .history = at.history,
                            .durable_lsn = at.next_lsn + 500,
                            .segment = at.segment + 1};
    make_segment(lie.segment, SEGMENT_BYTES);
    for (lie.offset = 0; lie.offset < SEGMENT_BYTES; lie.offset += DISK_BLOCK_BYTES) {
        size_t padded = make_block(bytes, &lie, 5);
        memcpy(segment_file(lie.segment)->bytes + lie.offset, bytes, padded);
    }
    struct wal_verdict_at_end verdict = expect(1, WAL_END_CLEAN);
    CU_ASSERT(verdict.watermark == 0 && verdict.bytes_behind == 0);
    /* One that even has the right place, link and LSN does not go on with the log. */
    lie = (struct wal_block){.first_lsn = at.next_lsn,
                             .count = 1,
                             .history = at.history,
                             .segment = at.segment,
                             .offset = at.offset,
                             .previous_crc = at.previous_crc};
    memcpy(segment_file(at.segment)->bytes + at.offset, bytes, make_block(bytes, &lie, 5));
    expect(1, WAL_END_CLEAN);
}

static void a_block_of_a_newer_format_is_told(void)
{
    lay(5, 5), lay(5, 5);
    wire_put_u16(bytes_of(&laid[1]) + 16, WAL_FORMAT + 1);
    fix_crc(bytes_of(&laid[1]), laid[1].padded);
    expect(1, WAL_END_FORMAT);
    bytes_of(&laid[1])[DISK_BLOCK_BYTES - 1] ^= 1; /* unless it is broken as well */
    expect(1, WAL_END_TORN);
}

/* ---- the disk says no ---- */

static void every_error_of_the_disk_is_told_from_an_end(void)
{
    for (unsigned i = 0; i < 3; i++)
        lay(100, 1000 - 300 * i);
    next_segment();
    lay(1, 1);
    for (const char *call = "ORSL"; *call != '\0'; call++) {
        unsigned errors = 0;
        for (unsigned after = 0; after < 20; after++) {
            unsigned found;
            memory.fail_call = *call;
            memory.fail_after = after;
            memory.fail_error = -EIO;
            struct wal_verdict_at_end verdict = read_from(log_start(), 0, &found);
            CU_ASSERT(verdict.end == (verdict.error != 0 ? WAL_END_ERROR : WAL_END_CLEAN));
            CU_ASSERT(verdict.error == 0 || verdict.error == -EIO);
            CU_ASSERT(verdict.error != 0 || found == 4);
            errors += verdict.error != 0;
        }
        CU_ASSERT(errors > 0 && errors < 20);
    }
}

static void after_an_error_there_is_no_next(void)
{
    struct wal_position from = log_start();
    struct wal_block block;
    lay(1, 1);
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &from);
    memory.fail_call = 'R';
    memory.fail_error = -EIO;
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 0);
    memory.fail_call = 0;
    CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 0);
    CU_ASSERT_EQUAL(wal_reader_judge(reader).error, -EIO);
    wal_reader_destroy(reader);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {
        TEST(nothing_there_is_a_clean_end),
        TEST(a_log_is_read_from_every_position_in_it),
        TEST(a_log_larger_than_what_is_read_ahead_comes_whole),
        TEST(a_later_history_goes_on_and_no_other),
        TEST(an_unknown_history_does_not_go_on),
        TEST(a_history_that_meta_forgot_is_read_on_from_a_position),
        TEST(histories_that_meta_had_no_room_for_go_on),
        TEST(files_may_be_shorter_or_longer_than_expected),
        TEST(asked_again_at_the_end_it_looks_again),
        TEST(positions_that_cannot_be_are_an_end),
        TEST(whatever_spoils_a_block_tells_damage_from_a_torn_tail_by_later_watermarks),
        TEST(swapped_blocks_are_noticed),
        TEST(every_flipped_bit_below_a_watermark_is_damage),
        TEST(a_torn_block_with_a_whole_one_behind_is_a_tail_until_a_later_watermark_says_more),
        TEST(a_lost_segment_is_damage_when_a_later_one_is_there),
        TEST(a_file_used_again_has_nothing_behind_the_end),
        TEST(blocks_in_flight_of_an_earlier_history_never_count),
        TEST(a_block_made_of_clients_values_is_not_looked_at_in_a_whole_one),
        TEST(a_block_of_a_client_in_a_file_used_again_does_not_count),
        TEST(a_block_of_a_newer_format_is_told),
        TEST(every_error_of_the_disk_is_told_from_an_end),
        TEST(after_an_error_there_is_no_next),
        CU_TEST_INFO_NULL};
    return suite_run_each("wal_reader", set_up, tear_down, tests);
}
