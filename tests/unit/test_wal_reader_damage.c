/*
 * test_wal_reader_damage.c - where a block is torn or spoilt, or its segment lost: a tail if nobody was told
 * that it is durable, damage if a later watermark says so.
 */
#include "wal_laid.h"

/* Six blocks, n of which is spoilt by `spoil`; the later ones say that all before them was durable, or
 * nothing. */
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

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {
        TEST(whatever_spoils_a_block_tells_damage_from_a_torn_tail_by_later_watermarks),
        TEST(swapped_blocks_are_noticed),
        TEST(every_flipped_bit_below_a_watermark_is_damage),
        TEST(a_torn_block_with_a_whole_one_behind_is_a_tail_until_a_later_watermark_says_more),
        TEST(a_lost_segment_is_damage_when_a_later_one_is_there),
        CU_TEST_INFO_NULL};
    return suite_run_each("wal_reader_damage", set_up, tear_down, tests);
}
