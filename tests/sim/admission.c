/*
 * admission.c - any set that one table admits fits every table of equal capacity.
 *
 *   admission [--trials N]      WILD_SEED=S
 *
 * Each trial fills a table to the FULL boundary with items of mixed sizes, some of them replaced and deleted on
 * the way; then puts the surviving set into a second table, under another hash key and in another order. Every
 * SET must be admitted, and both must then have exactly the same room left.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "execute.h"

enum { ITEMS_MAX = 512 };

struct item {
    bool stored;
    uint8_t key_length;
    uint16_t value_length;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

struct side {
    struct table *table;
    struct log_ring *ring;
    struct execute_context *context;
};

static enum status perform(struct side *side, enum opcode opcode, unsigned number, const struct item *item)
{
    static const uint8_t value[VALUE_BYTES_MAX];
    uint8_t key[KEY_BYTES_MAX] = {(uint8_t)number, (uint8_t)(number >> 8)};
    struct operation operation = {.opcode = (uint8_t)opcode,
                                  .key = key,
                                  .key_length = item->key_length,
                                  .value = value,
                                  .value_length = opcode == OPCODE_SET ? item->value_length : 0};
    struct result result = {0};
    enum status status =
        execute(side->context, &operation, table_hash(side->table, key, item->key_length), 1, &result);
    size_t length;
    while (log_ring_peek(side->ring, &length))
        log_ring_pop(side->ring);
    return status;
}

static bool side_open(struct side *side, uint64_t capacity, uint64_t *random, bool equal)
{
    struct table_config config = {.capacity = capacity,
                                  .first_lsn = (uint64_t)1 << 32,
                                  .workers = 1,
                                  .numa_node = -1,
                                  .force_equal_hashes = equal};
    uint64_t key[2] = {next_random(random), next_random(random)};
    memcpy(config.hash_key, key, sizeof key);
    side->ring = log_ring_create(LOG_RING_BYTES_MIN, -1);
    if (side->ring == NULL || table_create(&side->table, &config, NULL) != 0)
        return false;
    side->context = execute_context_create(side->table, 0, side->ring);
    return side->context != NULL;
}

static void side_close(struct side *side)
{
    execute_context_destroy(side->context);
    log_ring_destroy(side->ring);
    table_destroy(side->table);
}

/* Random SETs and DELETEs until FULL was met several times. */
static void fill(struct side *side, struct item items[ITEMS_MAX], uint64_t *random, unsigned value_max)
{
    for (unsigned full = 0; full < 8;) {
        unsigned number = next_random(random) % ITEMS_MAX;
        struct item *item = &items[number];
        uint16_t before = item->value_length;
        if (item->stored && next_random(random) % 8 == 0) {
            item->stored = perform(side, OPCODE_DELETE, number, item) != STATUS_OK;
            continue;
        }
        item->value_length = (uint16_t)(next_random(random) % (value_max + 1));
        if (perform(side, OPCODE_SET, number, item) == STATUS_OK) {
            item->stored = true;
        } else {
            item->value_length = before;
            full++;
        }
    }
}

static bool trial(uint64_t *random)
{
    static const unsigned value_max[] = {16, 60, 300, VALUE_BYTES_MAX};
    struct item items[ITEMS_MAX];
    unsigned order[ITEMS_MAX];
    struct side first, second;
    uint64_t capacity = TABLE_CAPACITY_MIN + next_random(random) % 200;
    unsigned largest = value_max[next_random(random) % 4];
    for (unsigned i = 0; i < ITEMS_MAX; i++) {
        items[i] =
            (struct item){.key_length = (uint8_t)(2 + next_random(random) % (largest < 100 ? 20 : 249))};
        order[i] = i;
    }
    if (!side_open(&first, capacity, random, next_random(random) % 8 == 0) ||
        !side_open(&second, capacity, random, next_random(random) % 8 == 0))
        return false;
    fill(&first, items, random, largest);
    for (unsigned i = ITEMS_MAX - 1; i > 0; i--) {
        unsigned k = next_random(random) % (i + 1), swapped = order[i];
        order[i] = order[k];
        order[k] = swapped;
    }
    bool good = true;
    for (unsigned i = 0; i < ITEMS_MAX && good; i++)
        if (items[order[i]].stored)
            good = perform(&second, OPCODE_SET, order[i], &items[order[i]]) == STATUS_OK;
    struct table_counts a, b;
    table_counts(first.table, &a);
    table_counts(second.table, &b);
    good = good && a.items == b.items && a.lines_used == b.lines_used;
    /* The boundary is at the same place: one-line items fit both until both are full. */
    for (unsigned i = 0; good && i <= capacity; i++) {
        struct item extra = {.key_length = 3};
        enum status x = perform(&first, OPCODE_SET, ITEMS_MAX + i, &extra);
        good = x == perform(&second, OPCODE_SET, ITEMS_MAX + i, &extra);
        if (x == STATUS_FULL) {
            table_counts(first.table, &a);
            good = good && a.lines_used == capacity;
            break;
        }
    }
    side_close(&first);
    side_close(&second);
    return good;
}

int main(int argc, char **argv)
{
    uint64_t trials = 10000;
    static const struct option options[] = {{"trials", required_argument, NULL, 't'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "t:", options, NULL)) != -1;) {
        if (c != 't')
            return 2;
        trials = strtoull(optarg, NULL, 10);
    }
    const char *text = getenv("WILD_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL), random = seed;
    printf("admission: WILD_SEED=%" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < trials; i++) {
        if (!trial(&random)) {
            fprintf(stderr, "admission: trial %" PRIu64 " failed, WILD_SEED=%" PRIu64 "\n", i, seed);
            return 1;
        }
    }
    printf("admission: %" PRIu64 " sets fitted\n", trials);
    return 0;
}
