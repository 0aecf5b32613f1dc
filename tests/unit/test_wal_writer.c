/*
 * test_wal_writer.c - on a disk that does as it is told: when blocks go out and what they say, marks,
 * segments one after another, and what holds a writer up.
 */
#include "wal_writer_fixture.h"

static void a_history_begins_with_a_mark_in_a_new_segment(void)
{
    struct wal_block block;
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 1);
    CU_ASSERT(!wal_writer_idle(writer));
    int file = give();
    CU_ASSERT_EQUAL(wal_writer_wants(writer), 0);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 2);
    submitted(0, &block);
    CU_ASSERT(memory.queued_count == 1 && memory.queued[0].file == file);
    CU_ASSERT(block.count == 0 && block.first_lsn == first_lsn && block.durable_lsn == found_lsn);
    CU_ASSERT(block.history == history && block.previous_crc == 0xabcd1234 && block.wall_ms == wall_ms);
    CU_ASSERT(block.segment == FOUND_SEGMENT + 1 && block.offset == 0);
    CU_ASSERT(!facts().started && facts().durable_lsn == found_lsn && facts().in_flight == 1);
    CU_ASSERT_EQUAL(wal_writer_position(writer).segment, FOUND_SEGMENT);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(facts().started && facts().durable_lsn == first_lsn - 1 && wal_writer_idle(writer));
    CU_ASSERT(facts().marks == 1 && facts().blocks == 1 && facts().bytes == DISK_BLOCK_BYTES);
    struct wal_position position = wal_writer_position(writer);
    CU_ASSERT(position.segment == FOUND_SEGMENT + 1 && position.offset == DISK_BLOCK_BYTES);
    CU_ASSERT(position.next_lsn == first_lsn && position.history == history);
    CU_ASSERT_EQUAL(position.previous_crc, block.crc);
    now_ns += 100 * (uint64_t)WAL_MARK_IDLE_NS;
    CU_ASSERT_EQUAL(turn(), 0); /* one mark is enough */
}

static void a_record_goes_out_at_once_and_counts_when_it_is_durable(void)
{
    struct wal_block block;
    start();
    CU_ASSERT(append(10));
    CU_ASSERT_EQUAL(facts().appended_lsn, first_lsn);
    CU_ASSERT_EQUAL(turn(), 1);
    submitted(0, &block);
    CU_ASSERT(block.count == 1 && block.first_lsn == first_lsn && block.durable_lsn == first_lsn - 1);
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn - 1);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(facts().durable_lsn == first_lsn && facts().records == 1 && wal_writer_idle(writer));
}

static void with_few_in_flight_blocks_close_early_and_with_more_they_fill(void)
{
    struct wal_block block;
    start();
    give();
    for (unsigned i = 0; i < WAL_EAGER_BLOCKS; i++) {
        append(1);
        turn();
    }
    CU_ASSERT_EQUAL(memory.queued_count, WAL_EAGER_BLOCKS);
    for (unsigned i = 0; i < 50; i++) {
        append(1);
        CU_ASSERT_EQUAL(turn(), 0);
    }
    memory_complete(&memory, 1, 0); /* any of them makes room */
    turn();
    CU_ASSERT_EQUAL(memory.queued_count, WAL_EAGER_BLOCKS);
    submitted(1, &block);
    CU_ASSERT_EQUAL(block.count, 50);
    append_a_block();
    append(BIG); /* does not fit any more: the block is full */
    turn();
    CU_ASSERT_EQUAL(memory.queued_count, WAL_EAGER_BLOCKS + 1);
    submitted(2, &block);
    CU_ASSERT(block.count == BIG_A_BLOCK && block.durable_lsn == first_lsn - 1);
}

static void all_buffers_busy_means_no_room_and_nothing_is_lost(void)
{
    uint64_t records;
    start();
    give();
    unsigned taken = 0;
    while (append(BIG)) {
        taken++;
        turn();
        if (wal_writer_wants(writer) != 0)
            give();
        CU_ASSERT_FATAL(taken <= WAL_BLOCKS * BIG_A_BLOCK);
    }
    turn();
    CU_ASSERT_EQUAL(facts().in_flight, WAL_BLOCKS);
    CU_ASSERT(!append(BIG));
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(append(BIG));
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn + taken);
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, taken + 1);
}

static void an_idle_log_says_once_what_is_durable(void)
{
    struct wal_block block;
    start();
    for (unsigned round = 0; round < 3; round++) {
        append(1);
        settle();
        now_ns += WAL_MARK_IDLE_NS - 10;
        CU_ASSERT_EQUAL(turn(), 0);
        now_ns += 20;
        CU_ASSERT_EQUAL(turn(), 1);
        submitted(0, &block);
        CU_ASSERT(block.count == 0 && block.durable_lsn == next_lsn - 1 && block.first_lsn == next_lsn);
        settle();
        now_ns += 10 * (uint64_t)WAL_MARK_IDLE_NS;
        CU_ASSERT_EQUAL(turn(), 0);
        CU_ASSERT_EQUAL(facts().marks, round + 2);
    }
}

static void a_busy_log_has_no_idle_marks(void)
{
    start();
    for (unsigned i = 0; i < 100; i++) {
        append(1);
        now_ns += WAL_MARK_IDLE_NS / 2;
        settle();
    }
    CU_ASSERT_EQUAL(facts().marks, 1);
}

static void a_finished_log_ends_in_a_mark(void)
{
    struct wal_block block;
    uint64_t records;
    start();
    for (unsigned i = 0; i < 4; i++)
        append(1), turn();
    wal_writer_finish(writer);
    CU_ASSERT(!append(1) && !wal_writer_idle(writer));
    for (unsigned i = 0; i < 3; i++) {
        turn();
        CU_ASSERT_EQUAL(memory.queued_count, 3); /* what was open too */
    }
    complete_all();
    turn();
    CU_ASSERT(memory.queued_count == 1 && !wal_writer_idle(writer));
    submitted(0, &block);
    CU_ASSERT(block.count == 0 && block.durable_lsn == next_lsn - 1);
    complete_all();
    turn();
    CU_ASSERT(wal_writer_idle(writer) && turn() == 0);
    CU_ASSERT_EQUAL(read_back(&records).watermark, 0);
    CU_ASSERT_EQUAL(records, 4);
}

static void a_log_without_a_record_needs_no_further_mark(void)
{
    start();
    wal_writer_finish(writer);
    CU_ASSERT(wal_writer_idle(writer));
    CU_ASSERT_EQUAL(turn(), 0);
}

static void a_block_that_does_not_fit_goes_to_the_next_segment(void)
{
    struct wal_block block;
    uint64_t records;
    start();
    int second = give();
    CU_ASSERT_EQUAL(wal_writer_done_with(writer), -1);
    append_a_block(), turn();
    append_a_block(), turn(); /* its 4 KiB were taken by the mark */
    CU_ASSERT_EQUAL_FATAL(memory.queued_count, 2);
    submitted(0, &block);
    CU_ASSERT(block.segment == FOUND_SEGMENT + 1 && block.offset == DISK_BLOCK_BYTES);
    submitted(1, &block);
    CU_ASSERT(block.segment == FOUND_SEGMENT + 2 && block.offset == 0 && memory.queued[1].file == second);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 3);
    memory_complete(&memory, 1, 0);
    turn();
    CU_ASSERT_EQUAL(wal_writer_done_with(writer), -1); /* the block in the first one is under way still */
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT_EQUAL(memory.file[wal_writer_done_with(writer)].size, SEGMENT_BYTES);
    CU_ASSERT_EQUAL(wal_writer_done_with(writer), -1);
    CU_ASSERT_EQUAL(wal_writer_position(writer).segment, FOUND_SEGMENT + 2);
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, 2 * BIG_A_BLOCK);
}

static void a_block_may_fill_its_segment_to_the_last_byte(void)
{
    struct wal_block block;
    start();
    append_a_block(), settle();
    for (unsigned i = 0; i < 31; i++) { /* 31 times 4 KiB are left */
        append(1);
        turn();
        submitted(0, &block);
        CU_ASSERT_EQUAL(block.segment, FOUND_SEGMENT + 1);
        settle();
    }
    append(1);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, SEGMENT_BYTES);
    give();
    settle();
    CU_ASSERT_EQUAL(wal_writer_position(writer).segment, FOUND_SEGMENT + 2);
}

static void without_a_segment_it_waits_and_loses_nothing(void)
{
    uint64_t records;
    start();
    while (append(BIG))
        settle();
    CU_ASSERT(facts().state == WAL_RUNNING && !wal_writer_idle(writer) && !append(BIG));
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 2);
    now_ns += 10 * (uint64_t)WAL_RETRY_NS;
    CU_ASSERT_EQUAL(turn(), 0);
    while (facts().durable_lsn != next_lsn - 1) {
        give();
        settle();
    }
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, next_lsn - first_lsn);
}

static void files_that_nobody_collects_hold_it_up(void)
{
    start();
    unsigned given = 1;
    for (unsigned turns = 0; turns < 1000; turns++) {
        while (append(BIG))
            ;
        if (wal_writer_wants(writer) != 0 && given < MEMORY_FILES) {
            give();
            given++;
        }
        settle();
    }
    CU_ASSERT_EQUAL(given, WAL_BLOCKS + 2); /* those left, the current one and the next */
    CU_ASSERT(wal_writer_done_with(writer) >= 0);
    CU_ASSERT(turn() > 0);
}

static void a_queue_without_room_delays_and_no_more(void)
{
    uint64_t records;
    memory.queue_room = 1;
    start();
    for (unsigned i = 0; i < 300; i++) {
        while (!append(500)) {
            if (memory.queued_count > 0)
                memory_complete(&memory, 0, 0);
            turn();
        }
        if (wal_writer_wants(writer) != 0)
            give();
        if (i % 3 == 0)
            turn();
    }
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, next_lsn - 1);
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, 300);
}

static void a_snapshot_starts_after_the_last_durable_block(void)
{
    start();
    uint32_t before = wal_writer_position(writer).offset;
    append(1), turn();
    append(1), turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before + DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(wal_writer_position(writer).next_lsn, first_lsn + 1);
    append(1), append(1), turn();
    memory_complete(&memory, 1, 0); /* the later one */
    turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before + DISK_BLOCK_BYTES);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before + 3 * DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(wal_writer_position(writer).next_lsn, first_lsn + 4);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_history_begins_with_a_mark_in_a_new_segment),
                           TEST(a_record_goes_out_at_once_and_counts_when_it_is_durable),
                           TEST(with_few_in_flight_blocks_close_early_and_with_more_they_fill),
                           TEST(all_buffers_busy_means_no_room_and_nothing_is_lost),
                           TEST(an_idle_log_says_once_what_is_durable),
                           TEST(a_busy_log_has_no_idle_marks),
                           TEST(a_finished_log_ends_in_a_mark),
                           TEST(a_log_without_a_record_needs_no_further_mark),
                           TEST(a_block_that_does_not_fit_goes_to_the_next_segment),
                           TEST(a_block_may_fill_its_segment_to_the_last_byte),
                           TEST(without_a_segment_it_waits_and_loses_nothing),
                           TEST(files_that_nobody_collects_hold_it_up),
                           TEST(a_queue_without_room_delays_and_no_more),
                           TEST(a_snapshot_starts_after_the_last_durable_block),
                           CU_TEST_INFO_NULL};
    return suite_run_each("wal_writer", set_up, tear_down, tests);
}
