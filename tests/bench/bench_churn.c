/*
 * bench_churn.c - whether deletes leave anything behind: what a look-up costs in a table that has seen N
 * pairs of SET and DELETE, as a ratio to a fresh one with the same items.
 *
 *   bench_churn [--pairs N]
 */
#include <getopt.h>
#include <string.h>

#include <rte_cycles.h>

#include "bench_window.h"
#include "execute.h"

enum {
    CAPACITY = 65536,
    RESIDENT = CAPACITY / 2,
    WINDOWS = 101,
    LOOKUPS = 20000,
    CHURN_KEYS = 1 << 20,
    ALIVE = 16384
};

struct contender {
    struct table *table;
    struct log_ring *ring;
    struct execute_context *context;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_churn: %s\n", what);
    exit(1);
}

static void perform(struct contender *c, enum opcode opcode, uint64_t key, uint16_t length)
{
    static const uint8_t value[VALUE_BYTES_MAX];
    uint8_t out[VALUE_BYTES_MAX];
    struct operation operation = {.opcode = (uint8_t)opcode,
                                  .key = (uint8_t *)&key,
                                  .key_length = 8,
                                  .value = value,
                                  .value_length = length};
    struct result result = {.value = out, .room = sizeof out};
    if (execute(c->context, &operation, table_hash(c->table, operation.key, 8), 1, &result) != STATUS_OK)
        die("an operation failed");
    size_t bytes;
    if (opcode != OPCODE_GET && log_ring_peek(c->ring, &bytes))
        log_ring_pop(c->ring);
}

static void open_contender(struct contender *c)
{
    struct table_config config = {.capacity = CAPACITY,
                                  .first_lsn = (uint64_t)1 << 32,
                                  .workers = 1,
                                  .numa_node = -1,
                                  .huge_pages = true};
    c->ring = log_ring_create(LOG_RING_BYTES_MIN, -1);
    if (c->ring == NULL || table_create(&c->table, &config, NULL) != 0)
        die("no table");
    c->context = execute_context_create(c->table, 0, c->ring);
    for (uint64_t key = 0; key < RESIDENT; key++)
        perform(c, OPCODE_SET, key, 32);
}

/* Each pair sets a key and deletes one that was set ALIVE pairs ago; every eighth item is of several
 * lines. */
static void churn(struct contender *c, uint64_t pairs)
{
    for (uint64_t i = 0; i < pairs; i++) {
        perform(c, OPCODE_SET, ((uint64_t)1 << 32) + i % CHURN_KEYS, i % 8 == 0 ? 80 : 32);
        if (i >= ALIVE)
            perform(c, OPCODE_DELETE, ((uint64_t)1 << 32) + (i - ALIVE) % CHURN_KEYS, 0);
    }
    for (uint64_t i = pairs > ALIVE ? pairs - ALIVE : 0; i < pairs; i++)
        perform(c, OPCODE_DELETE, ((uint64_t)1 << 32) + i % CHURN_KEYS, 0);
}

static double window(struct contender *c, uint64_t *random)
{
    uint64_t start = rte_rdtsc();
    for (unsigned i = 0; i < LOOKUPS; i++)
        perform(c, OPCODE_GET, next_random(random) % RESIDENT, 0);
    return (double)(rte_rdtsc() - start) / LOOKUPS;
}

int main(int argc, char **argv)
{
    uint64_t pairs = 2000000, random = 1;
    static const struct option options[] = {{"pairs", required_argument, NULL, 'p'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "p:", options, NULL)) != -1;) {
        if (c != 'p')
            return 2;
        pairs = strtoull(optarg, NULL, 10);
    }
    struct contender fresh, churned;
    open_contender(&fresh);
    open_contender(&churned);
    uint64_t start = rte_rdtsc();
    churn(&churned, pairs);
    printf("bench_churn: %lu pairs, %.0f cycles each\n", (unsigned long)pairs,
           (double)(rte_rdtsc() - start) / (double)pairs);
    struct table_counts counts;
    table_counts(churned.table, &counts);
    if (counts.items != RESIDENT || counts.lines_used != RESIDENT)
        die("lines leaked");

    double a[WINDOWS], b[WINDOWS];
    for (unsigned i = 0; i < WINDOWS; i++) {
        (void)window(&churned, &random);
        a[i] = window(&churned, &random);
        (void)window(&fresh, &random);
        b[i] = window(&fresh, &random);
    }
    double x = bench_quantile(a, WINDOWS, 0.5), y = bench_quantile(b, WINDOWS, 0.5);
    printf("  look-up: %.0f cycles after, %.0f fresh\n", x, y);
    bench_print("table_after_churn", x / y, 1.10);
    struct contender *all[] = {&fresh, &churned};
    for (unsigned i = 0; i < 2; i++) {
        execute_context_destroy(all[i]->context);
        log_ring_destroy(all[i]->ring);
        table_destroy(all[i]->table);
    }
    return 0;
}
