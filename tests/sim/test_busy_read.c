/*
 * test_busy_read.c - a GET that is disturbed at every attempt gives up with nothing but BUSY: what it copied
 * last may be torn, and of an item that took the line meanwhile. One that is disturbed once answers with the
 * new value.
 */
#include <limits.h>
#include <string.h>

#include "execute.h"
#include "suite.h"
#include "yield.h"

enum { KEY_BYTES = 3, READER = 0, WRITER = 1, WORKERS = 2 };

static struct execute_context *disturber; /* store_yield() has no parameter to reach it by */
static unsigned disturbances, disturbances_max = UINT_MAX;
static enum yield_point disturbed_at = YIELD_READ;
static struct operation set = {.opcode = OPCODE_SET,
                               .key = (const uint8_t *)"key",
                               .key_length = KEY_BYTES,
                               .value = (const uint8_t *)"value",
                               .value_length = 5};
static uint64_t hash;

void store_yield(enum yield_point point)
{
    struct result unused = {.room = 0};
    if (point != disturbed_at || disturber == NULL || disturbances == disturbances_max)
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
    CU_ASSERT_EQUAL(disturbances, 1 + TABLE_READ_RETRIES_MAX); /* read_inline.h's attempt, then read.c's */
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

/* `length` bytes of value become `length_after`. in_place: the value's room begins where the key is. */
static void check_one_disturbance(enum yield_point point, unsigned length, unsigned length_after,
                                  bool in_place)
{
    static const uint8_t key[] = "eightby.";
    uint8_t before[VALUE_BYTES_MAX], after[VALUE_BYTES_MAX];
    memset(before, 'b', sizeof(before));
    memset(after, 'a', sizeof(after));
    struct table_config config = {
        .capacity = 64, .first_lsn = UINT64_C(1) << 32, .workers = WORKERS, .numa_node = -1};
    struct table *table;
    struct log_ring *ring[WORKERS];
    struct execute_context *context[WORKERS];
    uint8_t value[VALUE_BYTES_MAX];
    CU_ASSERT_EQUAL_FATAL(table_create(&table, &config, NULL), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        ring[i] = log_ring_create(LOG_RING_BYTES_MIN, -1);
        context[i] = execute_context_create(table, i, ring[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(context[i]);
    }
    hash = table_hash(table, key, 8);
    set = (struct operation){
        .opcode = OPCODE_SET, .key = key, .key_length = 8, .value = before, .value_length = (uint16_t)length};
    struct result result = {.value = value, .room = sizeof(value)};
    CU_ASSERT_EQUAL(execute(context[WRITER], &set, hash, 1, &result), STATUS_OK);
    uint64_t version = result.version;

    memcpy(value, key, 8);
    struct operation get = {.opcode = OPCODE_GET, .key = in_place ? value : key, .key_length = 8};
    set.value = after;
    set.value_length = (uint16_t)length_after;
    disturbances = 0;
    disturbances_max = 1;
    disturbed_at = point;
    disturber = context[WRITER];
    CU_ASSERT_EQUAL(execute(context[READER], &get, hash, 1, &result), STATUS_OK);
    disturber = NULL;
    CU_ASSERT_EQUAL(disturbances, 1);
    CU_ASSERT_EQUAL(result.value_length, length_after);
    CU_ASSERT_EQUAL(result.version, version + 1);
    CU_ASSERT_EQUAL(memcmp(value, after, length_after), 0);

    for (unsigned i = 0; i < WORKERS; i++) {
        execute_context_destroy(context[i]);
        log_ring_destroy(ring[i]);
    }
    table_destroy(table);
}

static void test_a_reader_disturbed_once_answers_with_the_new_value(void)
{
    /* Below and above 8, 16, 32 bytes; one line, and several. */
    static const unsigned lengths[] = {3, 9, 24, 32, 64, 1000};
    enum { COUNT = sizeof(lengths) / sizeof(lengths[0]) };
    for (unsigned i = 0; i < 2 * COUNT * COUNT; i++) {
        unsigned before = lengths[i / 2 % COUNT], after = lengths[i / 2 / COUNT];
        check_one_disturbance(YIELD_READ_MATCHED, before, after, i % 2);
        check_one_disturbance(YIELD_READ, before, after, i % 2);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a reader that gives up hands out no value", test_a_reader_that_gives_up_hands_out_no_value},
        {"a reader disturbed once answers with the new value",
         test_a_reader_disturbed_once_answers_with_the_new_value},
        CU_TEST_INFO_NULL,
    };
    return suite_run("disturbed readers", tests);
}
