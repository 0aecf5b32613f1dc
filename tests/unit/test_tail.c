/*
 * test_tail.c - the log's end in memory: what is found in it, and when it is gone.
 */
#include "tail.h"

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>

#include "replication_message.h"
#include "wal_block.h"

enum { RING_BYTES = 4 * REPLICATION_PAYLOAD_BYTES_MAX };
#define FIRST (UINT64_C(1) << 32)

static uint8_t bytes[WAL_BLOCK_BYTES_MAX];

static void put(struct tail *tail, uint64_t history, uint64_t first_lsn, uint32_t count, uint32_t length)
{
    memset(bytes, (int)(first_lsn & 0xff), length);
    tail_append(tail, bytes, length, history, first_lsn, count);
}

static uint64_t found(const struct tail *tail, uint64_t lsn)
{
    uint64_t number;
    return tail_find(tail, lsn, &number) ? number : UINT64_MAX;
}

static void an_empty_tail_knows_only_where_the_log_ended(void)
{
    struct tail *tail = tail_create(RING_BYTES, 41);
    struct tail_block block;

    CU_ASSERT_EQUAL(found(tail, 40), UINT64_MAX);
    CU_ASSERT_EQUAL(found(tail, 41), 0);
    CU_ASSERT_EQUAL(found(tail, 42), UINT64_MAX);
    CU_ASSERT_FALSE(tail_at(tail, 0, &block));
    tail_destroy(tail);
}

static void who_has_the_log_before_it_goes_on_at_the_mark_that_opens_the_history(void)
{
    struct tail *tail = tail_create(RING_BYTES, 41);
    struct tail_block block;

    put(tail, 7, FIRST, 0, WAL_BLOCK_HEADER_BYTES);
    put(tail, 7, FIRST, 3, 200);
    CU_ASSERT_EQUAL(found(tail, 41), 0);
    CU_ASSERT_TRUE_FATAL(tail_at(tail, 0, &block));
    CU_ASSERT_EQUAL(block.first_lsn, FIRST);
    CU_ASSERT_EQUAL(block.next_lsn, FIRST);
    CU_ASSERT_EQUAL(block.history, 7);
    CU_ASSERT_TRUE(tail_at(tail, 1, &block));
    CU_ASSERT_EQUAL(block.next_lsn, FIRST + 3);
    CU_ASSERT_EQUAL(block.length, 200);
    CU_ASSERT_EQUAL(block.bytes[199], 0);
    tail_destroy(tail);
}

static void each_lsn_leads_to_the_block_that_holds_the_next(void)
{
    struct tail *tail = tail_create(RING_BYTES, 0);

    put(tail, 7, FIRST, 0, WAL_BLOCK_HEADER_BYTES);
    put(tail, 7, FIRST, 2, 200);
    put(tail, 7, FIRST + 2, 0, WAL_BLOCK_HEADER_BYTES); /* a mark leads nowhere */
    put(tail, 7, FIRST + 2, 2, 200);
    CU_ASSERT_EQUAL(found(tail, FIRST - 1), 1);
    CU_ASSERT_EQUAL(found(tail, FIRST), 1);
    CU_ASSERT_EQUAL(found(tail, FIRST + 1), 3);
    CU_ASSERT_EQUAL(found(tail, FIRST + 2), 3);
    CU_ASSERT_EQUAL(found(tail, FIRST + 3), 4);
    CU_ASSERT_EQUAL(found(tail, FIRST + 4), UINT64_MAX);
    CU_ASSERT_TRUE(tail_holds(tail, 4));
    CU_ASSERT_FALSE(tail_holds(tail, 5));
    tail_destroy(tail);
}

static void the_oldest_blocks_make_room_and_are_found_no_more(void)
{
    struct tail *tail = tail_create(RING_BYTES, 0);
    struct tail_block block;
    uint64_t lsn = FIRST, numbers = 0;

    srand(3);
    for (unsigned i = 0; i < 5000; i++) {
        uint32_t count = 1 + (uint32_t)rand() % 9;
        uint32_t length =
            WAL_BLOCK_HEADER_BYTES + (uint32_t)rand() % (WAL_BLOCK_BYTES_MAX - WAL_BLOCK_HEADER_BYTES);

        put(tail, 7, lsn, count, length);
        CU_ASSERT_TRUE_FATAL(tail_holds(tail, i));
        CU_ASSERT_TRUE_FATAL(tail_at(tail, i, &block));
        CU_ASSERT_EQUAL_FATAL(block.length, length);
        CU_ASSERT_EQUAL_FATAL(memcmp(block.bytes, bytes, length), 0);
        lsn += count;
    }
    /* What is held is whole: every block has its own bytes. */
    for (uint64_t i = 0; i < 5000; i++) {
        if (!tail_holds(tail, i))
            continue;
        numbers++;
        CU_ASSERT_TRUE_FATAL(tail_at(tail, i, &block));
        CU_ASSERT_EQUAL_FATAL(block.bytes[0], (uint8_t)block.first_lsn);
        CU_ASSERT_EQUAL_FATAL(block.bytes[block.length - 1], (uint8_t)block.first_lsn);
        CU_ASSERT_EQUAL_FATAL(found(tail, block.first_lsn - 1), i);
    }
    CU_ASSERT_TRUE(numbers >= 4 && numbers < 64);
    CU_ASSERT_EQUAL(found(tail, FIRST), UINT64_MAX);
    tail_destroy(tail);
}

static void a_restarted_tail_has_nothing_of_before(void)
{
    struct tail *tail = tail_create(RING_BYTES, 41);
    struct tail_block block;

    put(tail, 7, FIRST, 3, 200);
    tail_restart(tail, FIRST + 9);
    CU_ASSERT_EQUAL(found(tail, FIRST + 2), UINT64_MAX);
    CU_ASSERT_EQUAL(found(tail, FIRST + 9), 1);
    CU_ASSERT_FALSE(tail_at(tail, 1, &block));
    put(tail, 8, 2 * FIRST, 1, 200);
    CU_ASSERT_EQUAL(found(tail, FIRST + 9), 1);
    CU_ASSERT_TRUE_FATAL(tail_at(tail, 1, &block));
    CU_ASSERT_EQUAL(block.first_lsn, 2 * FIRST);
    tail_destroy(tail);
}

static void many_small_blocks_do_not_outgrow_the_entries(void)
{
    struct tail *tail = tail_create(RING_BYTES, 0);
    struct tail_block block;
    uint64_t last = RING_BYTES / 40;

    for (uint64_t i = 0; i < last; i++)
        put(tail, 7, FIRST + i, 1, WAL_BLOCK_HEADER_BYTES);
    CU_ASSERT_EQUAL(found(tail, FIRST + last - 1), last);
    CU_ASSERT_EQUAL(found(tail, FIRST + last - 2), last - 1);
    CU_ASSERT_TRUE(tail_at(tail, last - 1, &block));
    CU_ASSERT_EQUAL(block.first_lsn, FIRST + last - 1);
    tail_destroy(tail);
}

static void how_near_a_block_is_to_being_forgotten_is_told_by_bytes_or_by_entries(void)
{
    struct tail *tail = tail_create(RING_BYTES, 0);

    CU_ASSERT_EQUAL(tail_behind(tail, 0), 0);
    put(tail, 7, FIRST, 1, RING_BYTES / 16);
    CU_ASSERT_EQUAL(tail_behind(tail, 0), 1024 / 16);
    CU_ASSERT_EQUAL(tail_behind(tail, 1), 0);
    for (uint64_t i = 1; i < 16; i++)
        put(tail, 7, FIRST + i, 1, RING_BYTES / 16);
    CU_ASSERT_EQUAL(tail_behind(tail, 0), 1024); /* the next makes it go */
    CU_ASSERT_EQUAL(tail_behind(tail, 8), 512);
    put(tail, 7, FIRST + 16, 1, RING_BYTES / 16);
    CU_ASSERT_FALSE(tail_holds(tail, 0));
    tail_destroy(tail);

    /* Blocks of a mark's size use up the entries first. */
    tail = tail_create(RING_BYTES, 0);
    for (uint64_t i = 0; i < RING_BYTES / 128 / 2; i++)
        put(tail, 7, FIRST + i, 1, WAL_BLOCK_HEADER_BYTES);
    CU_ASSERT_EQUAL(tail_behind(tail, 0), 512);
    tail_destroy(tail);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite suite = CU_add_suite("tail", NULL, NULL);
    CU_ADD_TEST(suite, an_empty_tail_knows_only_where_the_log_ended);
    CU_ADD_TEST(suite, who_has_the_log_before_it_goes_on_at_the_mark_that_opens_the_history);
    CU_ADD_TEST(suite, each_lsn_leads_to_the_block_that_holds_the_next);
    CU_ADD_TEST(suite, the_oldest_blocks_make_room_and_are_found_no_more);
    CU_ADD_TEST(suite, a_restarted_tail_has_nothing_of_before);
    CU_ADD_TEST(suite, many_small_blocks_do_not_outgrow_the_entries);
    CU_ADD_TEST(suite, how_near_a_block_is_to_being_forgotten_is_told_by_bytes_or_by_entries);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
