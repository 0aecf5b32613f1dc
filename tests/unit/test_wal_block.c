#include "suite.h"

#include "wal_blocks.h"

static uint8_t bytes[WAL_BLOCK_BYTES_MAX] __attribute__((aligned(DISK_BLOCK_BYTES)));

enum { SEGMENT = 7, OFFSET = 3 * DISK_BLOCK_BYTES };

static struct wal_block sample(uint32_t count)
{
    return (struct wal_block){.first_lsn = ((uint64_t)5 << 32) + 17,
                              .history = 0x1122334455667788,
                              .wall_ms = 1700000000123,
                              .durable_lsn = ((uint64_t)5 << 32) + 9,
                              .segment = SEGMENT,
                              .offset = OFFSET,
                              .count = count,
                              .previous_crc = 0xdeadbeef};
}

static enum wal_verdict judge(size_t length)
{
    struct wal_block out;
    return wal_block_decode(&out, bytes, length, SEGMENT, OFFSET);
}

static void blocks_of_every_size_come_back(void)
{
    static const unsigned counts[] = {0, 1, 2, 90, 91, 92, 1000};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct wal_block in = sample(counts[i]), out;
        memset(bytes, 0xee, sizeof bytes);
        size_t padded = make_block(bytes, &in, 3);
        CU_ASSERT_EQUAL(padded, wal_block_padded(in.length));
        CU_ASSERT_EQUAL(padded % DISK_BLOCK_BYTES, 0);
        CU_ASSERT_EQUAL(wal_block_decode(&out, bytes, padded, SEGMENT, OFFSET), WAL_WHOLE);
        CU_ASSERT(out.first_lsn == in.first_lsn && out.history == in.history && out.wall_ms == in.wall_ms);
        CU_ASSERT(out.durable_lsn == in.durable_lsn && out.segment == SEGMENT && out.offset == OFFSET);
        CU_ASSERT(out.count == in.count && out.length == in.length && out.crc == in.crc);
        CU_ASSERT(out.previous_crc == 0xdeadbeef && out.records == in.records);
        CU_ASSERT(out.records_bytes == in.records_bytes);
        /* more bytes behind it do not matter, fewer do */
        CU_ASSERT_EQUAL(judge(sizeof bytes), WAL_WHOLE);
        CU_ASSERT_EQUAL(judge(padded - 1), WAL_SHORT);
        CU_ASSERT_EQUAL(judge(WAL_BLOCK_HEADER_BYTES - 1), WAL_SHORT);
        CU_ASSERT_EQUAL(judge(3), WAL_SHORT);
    }
}

static void a_block_may_fill_its_last_byte(void)
{
    static const uint8_t text[VALUE_BYTES_MAX] = "text";
    enum { KEY = 8, STEP = 1000, LEAST = LOG_RECORD_HEADER_BYTES + KEY };
    struct wal_block in = sample(0), out;
    size_t at = WAL_BLOCK_HEADER_BYTES;
    while (at < sizeof bytes) {
        size_t left = sizeof bytes - at, whole = left < STEP + LEAST ? left : STEP;
        struct log_record record = {.lsn = in.first_lsn + in.count++,
                                    .type = LOG_SET,
                                    .key = text,
                                    .key_length = KEY,
                                    .value = text,
                                    .value_length = (uint16_t)(whole - LEAST)};
        at += log_record_encode(bytes + at, &record);
    }
    CU_ASSERT_EQUAL(at, sizeof bytes);
    in.records_bytes = at - WAL_BLOCK_HEADER_BYTES;
    CU_ASSERT_EQUAL(wal_block_encode(bytes, &in), sizeof bytes);
    CU_ASSERT_EQUAL(wal_block_decode(&out, bytes, sizeof bytes, SEGMENT, OFFSET), WAL_WHOLE);
}

static void every_flipped_bit_is_noticed(void)
{
    struct wal_block in = sample(40);
    size_t padded = make_block(bytes, &in, 10);
    for (size_t bit = 0; bit < padded * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (judge(padded) == WAL_WHOLE)
            CU_FAIL("a flipped bit passes");
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CU_ASSERT_EQUAL(judge(padded), WAL_WHOLE);
}

/* What stands in the header must be right also when the crc is: each change, and what it is taken for. */
static void every_wrong_field_is_noticed_though_the_crc_is_right(void)
{
    static const struct {
        const char *what;
        unsigned offset, bytes;
        uint64_t value;
        enum wal_verdict verdict;
    } changes[] = {
        {"magic", 3, 1, '2', WAL_NO_BLOCK},
        {"length: less", 12, 4, 80 + 32, WAL_BROKEN},
        {"length: more", 12, 4, 80 + 5 * 32, WAL_BROKEN},
        {"length: not of records", 12, 4, 80 + 4 * 32 - 1, WAL_BROKEN},
        {"length: no header", 12, 4, 79, WAL_BROKEN},
        {"length: zero", 12, 4, 0, WAL_BROKEN},
        {"length: beyond the bytes", 12, 4, DISK_BLOCK_BYTES + 1, WAL_SHORT},
        {"length: beyond any block", 12, 4, WAL_BLOCK_BYTES_MAX + 1, WAL_BROKEN},
        {"length: huge", 12, 4, UINT32_MAX, WAL_BROKEN},
        {"format: newer", 16, 2, WAL_FORMAT + 1, WAL_NEWER_FORMAT},
        {"format: newest", 16, 2, UINT16_MAX, WAL_NEWER_FORMAT},
        {"format: none", 16, 2, 0, WAL_BROKEN},
        {"reserved", 18, 2, 1, WAL_BROKEN},
        {"count: less", 20, 4, 3, WAL_BROKEN},
        {"count: more", 20, 4, 5, WAL_BROKEN},
        {"count: a mark", 20, 4, 0, WAL_BROKEN},
        {"count: huge", 20, 4, UINT32_MAX, WAL_BROKEN},
        {"first LSN", 24, 8, ((uint64_t)5 << 32) + 16, WAL_BROKEN},
        {"first LSN: wraps", 24, 8, UINT64_MAX - 1, WAL_BROKEN},
        {"history: none", 32, 8, 0, WAL_BROKEN},
        {"durable: its own last", 48, 8, ((uint64_t)5 << 32) + 20, WAL_WHOLE},
        {"durable: beyond itself", 48, 8, ((uint64_t)5 << 32) + 21, WAL_BROKEN},
        {"durable: highest", 48, 8, UINT64_MAX, WAL_BROKEN},
        {"segment: the one before", 56, 8, SEGMENT - 1, WAL_BROKEN},
        {"segment: high half", 60, 4, 1, WAL_BROKEN},
        {"offset", 64, 4, OFFSET + DISK_BLOCK_BYTES, WAL_BROKEN},
        {"offset: zero", 64, 4, 0, WAL_BROKEN},
        {"reserved end: first", 68, 1, 1, WAL_BROKEN},
        {"reserved end: last", 71, 1, 1, WAL_BROKEN},
        {"a record's LSN", 80, 8, 0, WAL_BROKEN},
        {"a record's type", 80 + 16, 1, 9, WAL_BROKEN},
        {"a record's lengths", 80 + 18, 2, 2000, WAL_BROKEN},
        {"padding: first", 80 + 4 * 32, 1, 1, WAL_BROKEN},
        {"padding: last", DISK_BLOCK_BYTES - 1, 1, 1, WAL_BROKEN},
    };
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct wal_block in = sample(4);
        size_t padded = make_block(bytes, &in, 2);
        CU_ASSERT_EQUAL_FATAL(in.length, 80 + 4 * 32);
        for (unsigned b = 0; b < changes[i].bytes; b++)
            bytes[changes[i].offset + b] = (uint8_t)(changes[i].value >> 8 * b);
        fix_crc(bytes, padded);
        enum wal_verdict verdict = judge(padded);
        if (verdict != changes[i].verdict) {
            printf("\n%s: %d instead of %d\n", changes[i].what, verdict, changes[i].verdict);
            CU_FAIL("a wrong field");
        }
    }
}

static void a_mark_is_valid_only_without_records(void)
{
    struct wal_block in = sample(0), out;
    size_t padded = make_block(bytes, &in, 0);
    CU_ASSERT_EQUAL(padded, DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(wal_block_decode(&out, bytes, padded, SEGMENT, OFFSET), WAL_WHOLE);
    CU_ASSERT(out.count == 0 && out.records_bytes == 0 && out.first_lsn == in.first_lsn);
    wire_put_u64(bytes + 48, in.first_lsn); /* what comes next cannot be durable */
    fix_crc(bytes, padded);
    CU_ASSERT_EQUAL(judge(padded), WAL_BROKEN);
    wire_put_u64(bytes + 48, 0);
    wire_put_u64(bytes + 24, 0); /* nothing has LSN 0 */
    fix_crc(bytes, padded);
    CU_ASSERT_EQUAL(judge(padded), WAL_BROKEN);
}

static void zeros_are_no_block_and_lost_sectors_break_one(void)
{
    memset(bytes, 0, sizeof bytes);
    CU_ASSERT_EQUAL(judge(sizeof bytes), WAL_NO_BLOCK);
    struct wal_block in = sample(300);
    size_t padded = make_block(bytes, &in, 5);
    CU_ASSERT_FATAL(in.length > 2 * DISK_BLOCK_BYTES && padded <= 32 * DISK_SECTOR_BYTES);
    for (size_t sector = 0; sector * DISK_SECTOR_BYTES < in.length; sector++) {
        uint8_t kept[DISK_SECTOR_BYTES], *at = bytes + sector * DISK_SECTOR_BYTES;
        memcpy(kept, at, sizeof kept);
        memset(at, 0, sizeof kept);
        CU_ASSERT_EQUAL(judge(padded), sector == 0 ? WAL_NO_BLOCK : WAL_BROKEN);
        memcpy(at, kept, sizeof kept);
    }
    CU_ASSERT_EQUAL(judge(padded), WAL_WHOLE);
}

static void a_block_without_its_padding_is_judged_alike(void)
{
    for (unsigned count = 0; count < 150; count += 50) {
        struct wal_block in = sample(count), out;
        size_t padded = make_block(bytes, &in, 10);
        CU_ASSERT_EQUAL(wal_block_decode_bare(&out, bytes, in.length), WAL_WHOLE);
        CU_ASSERT(out.first_lsn == in.first_lsn && out.count == count && out.crc == in.crc);
        CU_ASSERT(out.records == in.records && out.records_bytes == in.records_bytes);
        CU_ASSERT(out.segment == SEGMENT && out.offset == OFFSET && out.history == in.history);
        for (size_t length = 0; length < in.length; length++)
            if (wal_block_decode_bare(&out, bytes, length) != WAL_SHORT)
                CU_FAIL("a short block passes");
        CU_ASSERT_EQUAL(wal_block_decode_bare(&out, bytes, in.length + 1), WAL_BROKEN);
        CU_ASSERT_EQUAL(wal_block_decode_bare(&out, bytes, padded), WAL_BROKEN);
        for (size_t bit = 0; bit < (size_t)in.length * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (wal_block_decode_bare(&out, bytes, in.length) == WAL_WHOLE)
                CU_FAIL("a flipped bit passes");
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    /* records that are not valid under a right crc */
    struct wal_block in = sample(3), out;
    size_t padded = make_block(bytes, &in, 10);
    bytes[WAL_BLOCK_HEADER_BYTES + 16] = 99; /* the first one's type */
    fix_crc(bytes, padded);
    CU_ASSERT_EQUAL(wal_block_decode_bare(&out, bytes, in.length), WAL_BROKEN);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"blocks of every size come back", blocks_of_every_size_come_back},
        {"a block may fill its last byte", a_block_may_fill_its_last_byte},
        {"every flipped bit is noticed", every_flipped_bit_is_noticed},
        {"every wrong field is noticed though the crc is right",
         every_wrong_field_is_noticed_though_the_crc_is_right},
        {"a mark is valid only without records", a_mark_is_valid_only_without_records},
        {"zeros are no block, and lost sectors break one", zeros_are_no_block_and_lost_sectors_break_one},
        {"a block without its padding is judged alike", a_block_without_its_padding_is_judged_alike},
        CU_TEST_INFO_NULL};
    return suite_run("wal_block", tests);
}
