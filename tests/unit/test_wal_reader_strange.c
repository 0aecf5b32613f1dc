/*
 * test_wal_reader_strange.c - whole blocks that this log does not go on with: of a file's earlier use, of a
 * history that ended before them, made of a client's values, of a newer format.
 */
#include "wal_laid.h"

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

/* Whole blocks that were in flight when a node died stay where they are; the next history begins in the
 * segment that they may lie in, and ends before them. */
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
 * A client may choose values so that they make a whole block, at a place within a block where one could
 * begin: its records take the real ones' headers for their values. As long as the real block is whole nobody
 * looks there.
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

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_file_used_again_has_nothing_behind_the_end),
                           TEST(blocks_in_flight_of_an_earlier_history_never_count),
                           TEST(a_block_made_of_clients_values_is_not_looked_at_in_a_whole_one),
                           TEST(a_block_of_a_client_in_a_file_used_again_does_not_count),
                           TEST(a_block_of_a_newer_format_is_told),
                           CU_TEST_INFO_NULL};
    return suite_run_each("wal_reader_strange", set_up, tear_down, tests);
}
