/*
 * test_wal_writer_faults.c - a disk that says no: full, which is tried again, or anything else, which is for
 * good; of a block's write and of a new segment.
 */
#include "wal_writer_fixture.h"

static void a_full_disk_is_tried_again_with_the_same_bytes_in_order(void)
{
    struct wal_block block;
    uint8_t *kept[2];
    start();
    give();
    append_a_block(), turn(), append_a_block(), turn();
    append(1), turn();
    CU_ASSERT_EQUAL_FATAL(memory.queued_count, 2);
    struct disk_write write[2] = {memory.queued[0], memory.queued[1]};
    for (unsigned i = 0; i < 2; i++) {
        kept[i] = malloc(write[i].length);
        memcpy(kept[i], submitted(i, &block), write[i].length);
    }
    memory_complete(&memory, 1, -ENOSPC);
    memory_complete(&memory, 0, -ENOSPC);
    turn();
    CU_ASSERT(facts().state == WAL_DISK_FULL && facts().error == -ENOSPC && facts().in_flight == 0);
    for (unsigned again = 0; again < 3; again++) {
        append(1);
        CU_ASSERT_EQUAL(turn(), 0);
        now_ns += WAL_RETRY_NS;
        CU_ASSERT_EQUAL(turn(), 2);
        CU_ASSERT_EQUAL_FATAL(memory.queued_count, 2);
        for (unsigned i = 0; i < 2; i++) {
            const struct disk_write *now = &memory.queued[i];
            CU_ASSERT(now->file == write[i].file && now->offset == write[i].offset);
            CU_ASSERT(now->token == write[i].token && now->length == write[i].length);
            CU_ASSERT(memcmp(now->bytes, kept[i], now->length) == 0);
        }
        memory_complete(&memory, 1, again == 1 ? 0 : -ENOSPC);
        turn();
        CU_ASSERT_EQUAL(facts().state, WAL_DISK_FULL);
        memory_complete(&memory, 0, -ENOSPC);
        turn();
        if (again == 1)
            break;
    }
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn - 1);
    now_ns += WAL_RETRY_NS;
    CU_ASSERT_EQUAL(turn(), 1); /* the other one is on disk */
    memory_complete(&memory, 0, 0);
    CU_ASSERT(turn() > 0);
    CU_ASSERT(facts().state == WAL_RUNNING && facts().error == 0);
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn + 2 * BIG_A_BLOCK - 1);
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, next_lsn - 1);
    free(kept[0]), free(kept[1]);
}

static void another_error_is_for_good(void)
{
    start();
    append(1), turn(), append(1), turn();
    append(1);
    memory_complete(&memory, 0, -EIO);
    turn();
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EIO && facts().in_flight == 1);
    CU_ASSERT(!wal_writer_idle(writer) && wal_writer_wants(writer) == 0);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(facts().durable_lsn == first_lsn - 1 && wal_writer_idle(writer));
    for (unsigned i = 0; i < 20 * BIG_A_BLOCK; i++)
        CU_ASSERT(append(BIG)); /* thrown away */
    now_ns += 10 * (uint64_t)WAL_RETRY_NS;
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT(memory.queued_count == 0 && facts().durable_lsn == first_lsn - 1);
    CU_ASSERT_EQUAL(facts().appended_lsn, next_lsn - 1);
    wal_writer_deny(writer, -ENOSPC);
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EIO);
    wal_writer_finish(writer);
    CU_ASSERT(wal_writer_idle(writer));
}

static void an_error_while_the_disk_is_full_is_for_good_too(void)
{
    start();
    append(1), turn();
    memory_complete(&memory, 0, -ENOSPC);
    turn();
    now_ns += WAL_RETRY_NS;
    turn();
    memory_complete(&memory, 0, -EIO);
    turn();
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EIO && wal_writer_idle(writer));
}

static void a_segment_denied_for_space_lets_the_current_one_be_filled(void)
{
    start();
    wal_writer_deny(writer, -ENOSPC);
    CU_ASSERT(facts().state == WAL_DISK_FULL && facts().error == -ENOSPC);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 2);
    append(1);
    settle();
    CU_ASSERT(facts().durable_lsn == first_lsn && facts().state == WAL_DISK_FULL);
    append_a_block(), append_a_block();
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn + BIG_A_BLOCK);
    give();
    CU_ASSERT(facts().state == WAL_RUNNING && facts().error == 0);
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, next_lsn - 1);
}

static void a_segment_denied_otherwise_is_for_good(void)
{
    start();
    wal_writer_deny(writer, -EACCES);
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EACCES && wal_writer_wants(writer) == 0);
    CU_ASSERT(append(1));
    CU_ASSERT_EQUAL(turn(), 0);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_full_disk_is_tried_again_with_the_same_bytes_in_order),
                           TEST(another_error_is_for_good),
                           TEST(an_error_while_the_disk_is_full_is_for_good_too),
                           TEST(a_segment_denied_for_space_lets_the_current_one_be_filled),
                           TEST(a_segment_denied_otherwise_is_for_good),
                           CU_TEST_INFO_NULL};
    return suite_run_each("wal_writer_faults", set_up, tear_down, tests);
}
