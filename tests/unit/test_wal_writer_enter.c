/*
 * test_wal_writer_enter.c - a log that goes on: with the history that it ended in, with a later one in the middle of a run, and
 * anew in the same memory.
 */
#include "wal_writer_fixture.h"

static const uint64_t later_history = 88, later_lsn = (uint64_t)12 << 32;

static bool enter_later(void)
{
    bool entered = wal_writer_enter(writer, later_history, later_lsn);
    if (entered)
        next_lsn = later_lsn;
    return entered;
}

/* All histories, and the log from where recovery found its end. */
static struct wal_verdict_at_end read_all(uint64_t *records, uint64_t *marks)
{
    struct meta meta = {.cluster_id = {1}, .node_id = 1};
    const struct history histories[] = {
        {.id = found_history, .first_lsn = (uint64_t)8 << 32},
        {.id = history, .first_lsn = first_lsn, .before_lsn = found_lsn},
        {.id = later_history, .first_lsn = later_lsn, .before_lsn = first_lsn}};
    for (unsigned i = 0; i < 3; i++) {
        meta_add(&meta, &histories[i]);
        meta.history[i].node_id = 1;
        meta.history[i].epoch = i + 1;
    }
    struct disk disk = memory_disk(&memory);
    struct wal_position from = found_end();
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &from);
    struct wal_block block;
    *records = *marks = 0;
    while (wal_reader_next(reader, &block) == 1) {
        *records += block.count;
        *marks += block.count == 0;
    }
    struct wal_verdict_at_end verdict = wal_reader_judge(reader);
    wal_reader_destroy(reader);
    return verdict;
}

static void restart(const struct wal_position *from, uint64_t in_history, uint64_t lsn)
{
    int file;
    while ((file = wal_writer_done_with(writer)) >= 0)
        CU_ASSERT_EQUAL(memory.file[file].size, SEGMENT_BYTES);
    struct wal_writer_config config = {.queue = memory_queue(&memory),
                                       .start = *from,
                                       .history = in_history,
                                       .first_lsn = lsn,
                                       .durable_lsn = lsn - 1,
                                       .segment_bytes = SEGMENT_BYTES};
    wal_writer_restart(writer, &config);
    next_lsn = lsn;
}

static void a_log_goes_on_with_its_history_in_a_new_segment(void)
{
    struct wal_block block;
    struct wal_position end = found_end();
    uint64_t records, marks;
    wal_writer_finish(writer); /* of the fixture's: nothing was given, so nothing was written */
    wal_writer_destroy(writer);
    writer = wal_writer_create(&(struct wal_writer_config){.queue = memory_queue(&memory),
                                                           .start = end,
                                                           .history = found_history,
                                                           .first_lsn = end.next_lsn,
                                                           .durable_lsn = found_lsn,
                                                           .segment_bytes = SEGMENT_BYTES});
    next_lsn = end.next_lsn;
    give();
    turn();
    submitted(0, &block);
    CU_ASSERT(block.count == 0 && block.history == found_history && block.first_lsn == found_lsn + 1);
    CU_ASSERT(block.segment == FOUND_SEGMENT + 1 && block.offset == 0 && block.durable_lsn == found_lsn);
    CU_ASSERT(block.previous_crc == end.previous_crc && facts().appended_lsn == found_lsn);
    settle();
    CU_ASSERT(facts().started && facts().durable_lsn == found_lsn && wal_writer_idle(writer));
    now_ns += 10 * (uint64_t)WAL_MARK_IDLE_NS;
    CU_ASSERT_EQUAL(turn(), 0); /* all that there is, was durable before */
    CU_ASSERT(append(10) && append(20));
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, found_lsn + 2);
    CU_ASSERT_EQUAL(read_all(&records, &marks).end, WAL_END_CLEAN);
    CU_ASSERT(records == 2 && marks == 1);
}

/* Before and after; the mark stands between, and nothing of both is in one block. */
static void a_history_is_entered_between_two_records(void)
{
    struct wal_block before, mark, after;
    uint64_t records, marks;
    start();
    CU_ASSERT(append(1) && append(2));
    CU_ASSERT(enter_later());
    CU_ASSERT(append(3));
    CU_ASSERT_EQUAL(facts().appended_lsn, later_lsn);
    turn();
    CU_ASSERT_EQUAL_FATAL(memory.queued_count, 2);
    submitted(0, &before);
    submitted(1, &mark);
    CU_ASSERT(before.count == 2 && before.first_lsn == first_lsn && before.history == history);
    CU_ASSERT(mark.count == 0 && mark.first_lsn == later_lsn && mark.history == later_history);
    CU_ASSERT(mark.segment == before.segment && mark.previous_crc == before.crc);
    CU_ASSERT_EQUAL(mark.durable_lsn, first_lsn - 1);
    memory_complete(&memory, 1, 0); /* the mark alone says nothing */
    turn();
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn - 1);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT_EQUAL(facts().durable_lsn, later_lsn - 1);
    CU_ASSERT(wal_writer_position(writer).next_lsn == later_lsn &&
              wal_writer_position(writer).history == later_history);
    submitted(0, &after);
    CU_ASSERT(after.count == 1 && after.first_lsn == later_lsn && after.history == later_history);
    settle();
    CU_ASSERT_EQUAL(read_all(&records, &marks).end, WAL_END_CLEAN);
    CU_ASSERT(records == 3 && marks == 2);
}

/* What was written just before is said to be durable once, though nothing comes after. */
static void a_history_without_a_record_leaves_no_record_without_a_watermark(void)
{
    struct wal_block block;
    start();
    append(1);
    turn();
    CU_ASSERT(enter_later());
    turn(); /* the mark goes out before the record is durable */
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, later_lsn - 1);
    now_ns += 2 * (uint64_t)WAL_MARK_IDLE_NS;
    turn();
    submitted(0, &block);
    CU_ASSERT(block.count == 0 && block.first_lsn == later_lsn && block.durable_lsn == later_lsn - 1);
    settle();
    now_ns += 2 * (uint64_t)WAL_MARK_IDLE_NS;
    CU_ASSERT_EQUAL(turn(), 0);
    wal_writer_finish(writer);
    CU_ASSERT(wal_writer_idle(writer) && !wal_writer_enter(writer, 99, (uint64_t)99 << 32));
}

static void an_idle_log_enters_a_history_and_needs_no_further_mark(void)
{
    struct wal_block block;
    start();
    CU_ASSERT(enter_later());
    CU_ASSERT(!wal_writer_idle(writer));
    turn();
    submitted(0, &block);
    CU_ASSERT(block.count == 0 && block.history == later_history && block.first_lsn == later_lsn);
    settle();
    now_ns += 2 * (uint64_t)WAL_MARK_IDLE_NS;
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(facts().marks, 2);
    wal_writer_finish(writer);
    CU_ASSERT(wal_writer_idle(writer));
}

static void a_mark_that_does_not_fit_opens_its_history_in_the_next_segment(void)
{
    struct wal_block block;
    uint64_t records, marks;
    start();
    append_a_block(), settle();
    for (unsigned i = 0; i < 31; i++) /* 31 times 4 KiB are left */
        append(1), settle();
    CU_ASSERT_EQUAL_FATAL(wal_writer_position(writer).offset, SEGMENT_BYTES);
    CU_ASSERT(enter_later() && append(1));
    CU_ASSERT_EQUAL(turn(), 0);
    give();
    turn();
    submitted(0, &block);
    CU_ASSERT(block.count == 0 && block.segment == FOUND_SEGMENT + 2 && block.offset == 0);
    CU_ASSERT(block.history == later_history && block.first_lsn == later_lsn);
    settle();
    CU_ASSERT_EQUAL(read_all(&records, &marks).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, BIG_A_BLOCK + 32);
}

static void without_a_buffer_a_history_waits(void)
{
    uint64_t records, marks;
    start();
    give();
    while (append(BIG)) {
        turn();
        if (wal_writer_wants(writer) != 0)
            give();
    }
    CU_ASSERT(!enter_later() && !enter_later());
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(enter_later());
    CU_ASSERT(!append(1)); /* the mark has the buffer */
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(append(1));
    if (wal_writer_wants(writer) != 0)
        give();
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, later_lsn);
    CU_ASSERT_EQUAL(read_all(&records, &marks).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(marks, 2);
}

/* The open block takes the last buffer but one, or the last: what was open is closed once. */
static void a_history_that_waits_closes_what_is_open_once(void)
{
    start();
    for (unsigned i = 0; i < WAL_BLOCKS - 1; i++) {
        append_a_block();
        if (wal_writer_wants(writer) != 0)
            give();
        turn();
    }
    CU_ASSERT(append(BIG)); /* the last buffer */
    turn();
    CU_ASSERT_EQUAL(facts().in_flight, WAL_BLOCKS - 1);
    CU_ASSERT(!enter_later() && !append(1) && !enter_later());
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(enter_later());
    if (wal_writer_wants(writer) != 0)
        give();
    settle();
    CU_ASSERT_EQUAL(facts().records, (WAL_BLOCKS - 1) * BIG_A_BLOCK + 1);
    CU_ASSERT(facts().marks == 2 && facts().blocks == WAL_BLOCKS + 2);
}

static void a_failed_log_takes_a_history_and_throws_it_away(void)
{
    start();
    append(1);
    turn();
    memory_complete(&memory, 0, -EIO);
    turn();
    CU_ASSERT_EQUAL(facts().state, WAL_FAILED);
    CU_ASSERT(enter_later() && append(1));
    CU_ASSERT_EQUAL(facts().appended_lsn, later_lsn);
    CU_ASSERT(turn() == 0 && facts().durable_lsn == first_lsn - 1);
}

static void a_log_that_ended_gives_its_files_back_and_begins_anew(void)
{
    struct wal_position base = {.segment = 40, .history = later_history, .next_lsn = later_lsn + 7};
    struct wal_block block;
    start();
    give();
    append(1), settle();
    CU_ASSERT(!wal_writer_ended(writer) && wal_writer_done_with(writer) == -1);
    wal_writer_finish(writer);
    CU_ASSERT(!wal_writer_ended(writer));
    settle();
    CU_ASSERT(wal_writer_ended(writer) && wal_writer_wants(writer) == 0);
    uint64_t blocks = facts().blocks, bytes = facts().bytes;
    restart(&base, later_history, later_lsn + 7);
    CU_ASSERT(!facts().started && facts().state == WAL_RUNNING && facts().in_flight == 0);
    CU_ASSERT(facts().durable_lsn == later_lsn + 6 && facts().appended_lsn == later_lsn + 6);
    CU_ASSERT(facts().blocks == blocks && facts().bytes == bytes); /* counted on */
    CU_ASSERT_EQUAL(wal_writer_wants(writer), 41);
    give();
    CU_ASSERT(append(1));
    turn();
    submitted(0, &block);
    CU_ASSERT(block.count == 0 && block.segment == 41 && block.offset == 0 && block.previous_crc == 0);
    CU_ASSERT(block.history == later_history && block.first_lsn == later_lsn + 7);
    settle();
    CU_ASSERT(facts().started && facts().durable_lsn == later_lsn + 7 && facts().blocks == blocks + 2);
}

static void a_failed_log_begins_anew_once_nothing_is_in_flight(void)
{
    struct wal_position base = {.segment = 40};
    start();
    append(1), turn();
    append(1), turn();
    memory_complete(&memory, 1, -EIO);
    turn();
    CU_ASSERT(facts().state == WAL_FAILED && !wal_writer_ended(writer) && wal_writer_done_with(writer) == -1);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(wal_writer_ended(writer));
    restart(&base, later_history, later_lsn);
    CU_ASSERT(facts().state == WAL_RUNNING && facts().error == 0);
    give();
    CU_ASSERT(append(1));
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, later_lsn);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_log_goes_on_with_its_history_in_a_new_segment),
                           TEST(a_history_is_entered_between_two_records),
                           TEST(a_history_without_a_record_leaves_no_record_without_a_watermark),
                           TEST(an_idle_log_enters_a_history_and_needs_no_further_mark),
                           TEST(a_mark_that_does_not_fit_opens_its_history_in_the_next_segment),
                           TEST(without_a_buffer_a_history_waits),
                           TEST(a_history_that_waits_closes_what_is_open_once),
                           TEST(a_failed_log_takes_a_history_and_throws_it_away),
                           TEST(a_log_that_ended_gives_its_files_back_and_begins_anew),
                           TEST(a_failed_log_begins_anew_once_nothing_is_in_flight),
                           CU_TEST_INFO_NULL};
    return suite_run_each("wal_writer_enter", set_up, tear_down, tests);
}
