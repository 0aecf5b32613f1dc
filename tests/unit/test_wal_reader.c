/*
 * test_wal_reader.c - what is there is read: from every position, across files and histories, up to an end
 * that the disk may make too.
 */
#include "wal_laid.h"

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
    CU_TestInfo tests[] = {TEST(nothing_there_is_a_clean_end),
                           TEST(a_log_is_read_from_every_position_in_it),
                           TEST(a_log_larger_than_what_is_read_ahead_comes_whole),
                           TEST(a_later_history_goes_on_and_no_other),
                           TEST(an_unknown_history_does_not_go_on),
                           TEST(a_history_that_meta_forgot_is_read_on_from_a_position),
                           TEST(histories_that_meta_had_no_room_for_go_on),
                           TEST(files_may_be_shorter_or_longer_than_expected),
                           TEST(asked_again_at_the_end_it_looks_again),
                           TEST(positions_that_cannot_be_are_an_end),
                           TEST(every_error_of_the_disk_is_told_from_an_end),
                           TEST(after_an_error_there_is_no_next),
                           CU_TEST_INFO_NULL};
    return suite_run_each("wal_reader", set_up, tear_down, tests);
}
