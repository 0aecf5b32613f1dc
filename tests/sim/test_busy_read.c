/*
 * test_busy_read.c - a GET that is disturbed at every attempt gives up with nothing but BUSY: what it copied
 * last may be torn, and of an item that took the line meanwhile.
 */
#include <string.h>

#include "execute.h"
#include "suite.h"
#include "yield.h"

enum { KEY_BYTES = 3, READER = 0, WRITER = 1, WORKERS = 2 };

static struct execute_context *disturber; /* store_yield() has no parameter to reach it by */
static unsigned disturbances;
static struct operation set = {.opcode = OPCODE_SET,
                               .key = (const uint8_t *)"key",
                               .key_length = KEY_BYTES,
                               .value = (const uint8_t *)"value",
                               .value_length = 5};
static uint64_t hash;

void store_yield(enum yield_point point)
{
    struct result unused = {.room = 0};
    if (point != YIELD_READ || disturber == NULL)
        return;
    disturbances++;
    CU_ASSERT_EQUAL(execute(disturber, &set, hash, 1, &unused), STATUS_OK);
}

static void test_a_reader_that_gives_up_hands_out_no_value(void)
{
    struct table_config config = {.capacity = 64, .first_lsn = UINT64_C(1) << 32, .workers = WORKERS};
    struct table *table;
    struct table_info info;
    struct log_ring *ring[WORKERS];
    struct execute_context *context[WORKERS];
    uint8_t value[VALUE_BYTES_MAX];
    config.numa_node = -1;
    CU_ASSERT_EQUAL_FATAL(table_create(&table, &config, &info), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        ring[i] = log_ring_create(LOG_RING_BYTES_MIN, -1);
        context[i] = execute_context_create(table, i, ring[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(context[i]);
    }
    hash = table_hash(table, set.key, KEY_BYTES);
    struct result result = {.value = value, .room = sizeof(value)};
    CU_ASSERT_EQUAL(execute(context[WRITER], &set, hash, 1, &result), STATUS_OK);

    struct operation get = {.opcode = OPCODE_GET, .key = set.key, .key_length = KEY_BYTES};
    disturber = context[WRITER];
    CU_ASSERT_EQUAL(execute(context[READER], &get, hash, 1, &result), STATUS_BUSY);
    disturber = NULL;
    CU_ASSERT_EQUAL(disturbances, TABLE_READ_RETRIES_MAX);
    CU_ASSERT_EQUAL(result.value_length, 0);
    CU_ASSERT_EQUAL(result.version, 0);
    CU_ASSERT_EQUAL(execute(context[READER], &get, hash, 1, &result), STATUS_OK);
    CU_ASSERT_EQUAL(result.value_length, 5);

    for (unsigned i = 0; i < WORKERS; i++) {
        execute_context_destroy(context[i]);
        log_ring_destroy(ring[i]);
    }
    table_destroy(table);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a reader that gives up hands out no value", test_a_reader_that_gives_up_hands_out_no_value},
        CU_TEST_INFO_NULL,
    };
    return suite_run("disturbed readers", tests);
}
