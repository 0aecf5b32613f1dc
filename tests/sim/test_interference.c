/*
 * test_interference.c - what one worker does exactly at another's yield points (yield.h): cases too rare, or
 * too long, for the walks of explore_append.c. All in one thread.
 */
#include "suite.h"

#include <string.h>

#include "apply.h"
#include "execute.h"
#include "log_merge.h"
#include "yield.h"

enum { WORKERS = 2, CAPACITY = 64 };

struct pair {
    struct table *table;
    struct log_ring *ring[WORKERS];
    struct execute_context *context[WORKERS];
    struct log_merge merge;
    uint8_t value[VALUE_BYTES_MAX];
    struct result result; /* of the operation that others interfere with */
    unsigned points;      /* yield points met */
    enum status other;    /* what the interfering operation answered */
    struct result other_result;
};

/* store_yield() has no parameter to reach the test by. */
static struct pair *running;
static void (*interfere)(struct pair *pair, enum yield_point point);

void store_yield(enum yield_point point)
{
    static bool inside;
    if (interfere == NULL || inside)
        return;
    inside = true;
    interfere(running, point);
    inside = false;
}

static void pair_open(struct pair *pair, enum evict evict)
{
    struct table_config config = {.capacity = CAPACITY,
                                  .first_lsn = (uint64_t)1 << 32,
                                  .workers = WORKERS,
                                  .evict = evict,
                                  .numa_node = -1,
                                  .force_equal_hashes = true};
    memset(pair, 0, sizeof *pair);
    CU_ASSERT_EQUAL_FATAL(table_create(&pair->table, &config, NULL), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        pair->ring[i] = log_ring_create(LOG_RING_BYTES_MIN, -1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pair->ring[i]);
        pair->context[i] = execute_context_create(pair->table, i, pair->ring[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pair->context[i]);
    }
    log_merge_init(&pair->merge, pair->ring, WORKERS, config.first_lsn);
    running = pair;
}

/* Records in the log; it has no hole. */
static unsigned pair_drain(struct pair *pair)
{
    unsigned records = 0;
    size_t length;
    struct table_counts counts;
    for (; log_merge_peek(&pair->merge, &length) != NULL; records++)
        log_merge_pop(&pair->merge);
    table_counts(pair->table, &counts);
    CU_ASSERT_EQUAL(pair->merge.next_lsn, counts.lsn + 1);
    return records;
}

static void pair_close(struct pair *pair)
{
    interfere = NULL;
    (void)pair_drain(pair);
    for (unsigned i = 0; i < WORKERS; i++) {
        execute_context_destroy(pair->context[i]);
        log_ring_destroy(pair->ring[i]);
    }
    table_destroy(pair->table);
}

static enum status run(struct pair *pair, unsigned worker, struct operation operation, const char *key,
                       uint64_t now_ms, struct result *result)
{
    static uint8_t out[VALUE_BYTES_MAX];
    operation.key = (const uint8_t *)key;
    operation.key_length = (uint8_t)strlen(key);
    *result = (struct result){.value = result == &pair->result ? pair->value : out, .room = VALUE_BYTES_MAX};
    return execute(pair->context[worker], &operation,
                   table_hash(pair->table, operation.key, operation.key_length), now_ms, result);
}

static struct operation set_of(const char *value)
{
    return (struct operation){
        .opcode = OPCODE_SET, .value = (const uint8_t *)value, .value_length = (uint16_t)strlen(value)};
}

static const struct operation get = {.opcode = OPCODE_GET};

/* ---- the clock ---- */

static void time_passes_while_room_is_made(struct pair *pair, enum yield_point point)
{
    if (point != YIELD_ROOM || pair->points++ > 0)
        return;
    pair->other = run(pair, 1, get, "key", 2000, &pair->other_result);
}

static void what_was_seen_to_have_expired_does_not_come_back(void)
{
    struct pair pair;
    struct operation operation = set_of("value");
    pair_open(&pair, EVICT_CLOCK);
    operation.ttl_ms = 500;
    CU_ASSERT_EQUAL(run(&pair, 0, operation, "key", 1000, &pair.result), STATUS_OK);
    for (unsigned i = 1; i < CAPACITY; i++) {
        char key[2] = {(char)i, 0};
        CU_ASSERT_EQUAL(run(&pair, 0, set_of("other"), key, 1000, &pair.result), STATUS_OK);
    }
    /* A second line is not free: the write makes room, and meanwhile the item's time is over. */
    interfere = time_passes_while_room_is_made;
    operation = set_of("a value that is too long for the one line that the item has");
    operation.flags = FLAG_IF_PRESENT;
    CU_ASSERT_EQUAL(run(&pair, 0, operation, "key", 1000, &pair.result), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(pair.points, 1);
    CU_ASSERT_EQUAL(pair.other, STATUS_NOT_FOUND);
    pair_close(&pair);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"what was seen to have expired does not come back",
         what_was_seen_to_have_expired_does_not_come_back},
        CU_TEST_INFO_NULL,
    };
    return suite_run("interference", tests);
}
