/*
 * bench_table.c - what a GET costs, as ratios within one run:
 *
 *   table_single_LOAD    GET hits, each key taken from the value before (a dependent chain)
 *                        ÷ a chase through as many lines of the same two kinds: bucket line, item line, ...
 *   table_batched_LOAD   GET hits, 32 at a time, through table_probe_hash() and table_probe_find() together
 *                        ÷ rte_hash_lookup_bulk_data() of 32 keys and a copy of their values
 *
 * at 0.5 and 0.9 of the capacity, 8-byte keys, 32-byte values; all three over memory of the same kind of
 * pages. Then the cost of larger values, per byte. `--capacity N`. The default
 * takes a quarter of the L3, so that all contenders can stay in it.
 */
#include <getopt.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_malloc.h>

#include "bench_window.h"
#include "execute.h"
#include "l3.h"

enum {
    BATCH = 32,
    VALUE_BYTES = 32,
    WINDOWS = 21,
    WINDOW_OPERATIONS = 100000,
    HUGE_PAGE_BYTES = 2 << 20,
    LINE_WORDS = LINE_BYTES / 8,
};

struct bench {
    struct table *table;
    struct log_ring *ring;
    struct execute_context *context;
    struct rte_hash *hash;
    uint8_t (*values)[VALUE_BYTES]; /* what rte_hash's data points to */
    uint64_t *buckets, *items;      /* the chase's lines */
    uint64_t *order;                /* keys in a random order that repeats */
    uint64_t *chase;
    uint64_t capacity, count, at, random, key, sum;
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
    fprintf(stderr, "bench_table: %s\n", what);
    exit(1);
}

/* Zeroed memory of the kind that the table gets: huge pages where the kernel gives them on request. */
static void *map(size_t bytes)
{
    bytes = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    uint8_t *at =
        mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        die("no memory");
    at = (uint8_t *)(((uintptr_t)at + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES);
    (void)madvise(at, bytes, MADV_HUGEPAGE);
    memset(at, 0, bytes);
    return at;
}

/* A heap of such memory for rte_hash, so that it is not slowed by small pages either. Returns its socket. */
static int hash_heap(size_t bytes)
{
    bytes = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (rte_malloc_heap_create("bench") != 0 ||
        rte_malloc_heap_memory_add("bench", map(bytes), bytes, NULL, 0, HUGE_PAGE_BYTES) != 0)
        die("no heap for rte_hash");
    return rte_malloc_heap_get_socket("bench");
}

static uint64_t key_of(uint64_t i)
{
    return (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

static void table_set(struct bench *b, uint64_t key, const uint8_t *value, uint16_t length)
{
    struct operation set = {.opcode = OPCODE_SET,
                            .key = (uint8_t *)&key,
                            .key_length = 8,
                            .value = value,
                            .value_length = length};
    struct result result = {0};
    if (execute(b->context, &set, table_hash(b->table, set.key, 8), 1, &result) != STATUS_OK)
        die("a SET failed");
    size_t bytes;
    while (log_ring_peek(b->ring, &bytes))
        log_ring_pop(b->ring);
}

static void shuffle(struct bench *b, uint64_t *what)
{
    for (uint64_t i = b->count - 1; i > 0; i--) {
        uint64_t k = next_random(&b->random) % (i + 1), swapped = what[i];
        what[i] = what[k];
        what[k] = swapped;
    }
}

/*
 * Each value opens with the key of the item after it in a random cycle. Items are stored in an order that has
 * nothing to do with the cycle's: else neighbours in the cycle would be neighbours in memory.
 */
static void fill(struct bench *b)
{
    uint8_t value[VALUE_BYTES] = {0};
    uint64_t *next = calloc(b->count, sizeof *next);
    if (next == NULL)
        die("no memory");
    for (uint64_t i = 0; i < b->count; i++)
        next[b->order[i]] = b->order[(i + 1) % b->count];
    for (uint64_t i = 0; i < b->count; i++) {
        uint64_t key = key_of(i), key_after = key_of(next[i]);
        memcpy(value, &key_after, 8);
        table_set(b, key, value, VALUE_BYTES);
        memcpy(b->values[i], value, VALUE_BYTES);
        if (rte_hash_add_key_data(b->hash, &key, (void *)(uintptr_t)i) != 0)
            die("rte_hash is full");
    }
    b->key = key_of(0);
    free(next);
}

/* As many lines of each kind as the table's look-ups touch: a bucket line's word leads to an item line, whose
 * word leads to some bucket line's word. */
static void lay_chase(struct bench *b)
{
    uint64_t buckets = (b->capacity + 4) / 5, *place = calloc(b->count, sizeof *place);
    uint8_t *used = calloc(buckets, 1);
    if (place == NULL || used == NULL)
        die("no memory");
    for (uint64_t i = 0; i < b->count; i++) {
        uint64_t bucket;
        do
            bucket = next_random(&b->random) % buckets;
        while (used[bucket] == LINE_WORDS);
        place[i] = bucket * LINE_WORDS + used[bucket]++;
    }
    uint64_t *line = calloc(b->count, sizeof *line);
    if (line == NULL)
        die("no memory");
    for (uint64_t i = 0; i < b->count; i++)
        line[i] = i;
    shuffle(b, line);
    for (uint64_t i = 0; i < b->count; i++) {
        b->buckets[place[i]] = (uintptr_t)&b->items[line[i] * LINE_WORDS];
        b->items[line[i] * LINE_WORDS] = (uintptr_t)&b->buckets[place[(i + 1) % b->count]];
    }
    b->chase = &b->buckets[place[0]];
    free(place);
    free(used);
    free(line);
}

static void setup(struct bench *b, double load)
{
    struct table_config config = {.capacity = b->capacity,
                                  .first_lsn = (uint64_t)1 << 32,
                                  .workers = 1,
                                  .numa_node = -1,
                                  .huge_pages = true};
    b->count = (uint64_t)(load * (double)b->capacity);
    next_random(&b->random);
    memcpy(config.hash_key, &b->random, 8);
    b->ring = log_ring_create(1 << 20, -1);
    if (b->ring == NULL || table_create(&b->table, &config, NULL) != 0)
        die("no table");
    b->context = execute_context_create(b->table, 0, b->ring);
    b->order = map(b->count * 8);
    for (uint64_t i = 0; i < b->count; i++)
        b->order[i] = i;
    shuffle(b, b->order);
    rte_hash_reset(b->hash);
    fill(b);
    for (uint64_t i = 0; i < b->count; i++)
        b->order[i] = key_of(b->order[i]);
    lay_chase(b);
    b->at = 0;
}

static void teardown(struct bench *b)
{
    execute_context_destroy(b->context);
    table_destroy(b->table);
    log_ring_destroy(b->ring);
}

/* ---- one window each: operations done ---- */

static void single_get(struct bench *b)
{
    uint8_t value[VALUE_BYTES];
    uint64_t key = b->key;
    struct operation get = {.opcode = OPCODE_GET, .key = (uint8_t *)&key, .key_length = 8};
    struct result result = {.value = value, .room = sizeof value};
    for (unsigned i = 0; i < WINDOW_OPERATIONS; i++) {
        if (execute(b->context, &get, table_hash(b->table, get.key, 8), 1, &result) != STATUS_OK)
            die("a GET missed");
        memcpy(&key, value, 8);
    }
    b->key = key;
}

static void single_chase(struct bench *b)
{
    uint64_t *at = b->chase;
    for (unsigned i = 0; i < 2 * WINDOW_OPERATIONS; i++)
        at = (uint64_t *)(uintptr_t) * (volatile uint64_t *)at;
    b->chase = at;
}

static const uint64_t *next_keys(struct bench *b)
{
    if (b->at + BATCH > b->count)
        b->at = 0;
    const uint64_t *keys = &b->order[b->at];
    b->at += BATCH;
    return keys;
}

static void batched_get(struct bench *b)
{
    uint8_t value[BATCH][VALUE_BYTES];
    struct table_probe probe[BATCH];
    for (unsigned n = 0; n < WINDOW_OPERATIONS; n += BATCH) {
        const uint64_t *keys = next_keys(b);
        for (unsigned i = 0; i < BATCH; i++) {
            probe[i].key = (const uint8_t *)&keys[i];
            probe[i].key_length = 8;
        }
        table_probe_hash(b->table, probe, BATCH);
        table_probe_find(b->table, probe, BATCH);
        for (unsigned i = 0; i < BATCH; i++) {
            struct result result = {.value = value[i], .room = VALUE_BYTES};
            if (execute_get(b->context, &probe[i], 1, &result) != STATUS_OK)
                die("a GET missed");
        }
        b->sum += value[n / BATCH % BATCH][0];
    }
}

static void batched_rte_hash(struct bench *b)
{
    uint8_t value[BATCH][VALUE_BYTES];
    const void *key[BATCH];
    void *data[BATCH];
    for (unsigned n = 0; n < WINDOW_OPERATIONS; n += BATCH) {
        const uint64_t *keys = next_keys(b);
        uint64_t hits = 0;
        for (unsigned i = 0; i < BATCH; i++)
            key[i] = &keys[i];
        if (rte_hash_lookup_bulk_data(b->hash, key, BATCH, &hits, data) != BATCH)
            die("rte_hash missed");
        for (unsigned i = 0; i < BATCH; i++)
            memcpy(value[i], b->values[(uintptr_t)data[i]], VALUE_BYTES);
        b->sum += value[n / BATCH % BATCH][0];
    }
}

/* ---- measuring ---- */

static uint64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Cycles per operation in one window, from the time that the thread had a core. */
static double window(struct bench *b, void (*run)(struct bench *))
{
    uint64_t start = thread_ns();
    run(b);
    return (double)(thread_ns() - start) * (double)rte_get_tsc_hz() / 1e9 / WINDOW_OPERATIONS;
}

static void compare(struct bench *b, const char *name, double load, double bar, void (*ours)(struct bench *),
                    void (*theirs)(struct bench *))
{
    double a[WINDOWS], c[WINDOWS];
    char label[64];
    for (unsigned i = 0; i < WINDOWS; i++) {
        /* Once around, untimed, brings a contender's memory back into the cache. */
        for (uint64_t n = 0; n < b->count; n += WINDOW_OPERATIONS)
            ours(b);
        a[i] = window(b, ours);
        for (uint64_t n = 0; n < b->count; n += WINDOW_OPERATIONS)
            theirs(b);
        c[i] = window(b, theirs);
    }
    double x = bench_quantile(a, WINDOWS, 0.5), y = bench_quantile(c, WINDOWS, 0.5);
    printf("  %s at %.1f: %.0f cycles against %.0f\n", name, load, x, y);
    snprintf(label, sizeof label, "table_%s_%.1f", name, load);
    bench_print(label, x / y, bar);
}

/* ---- larger values ---- */

static double sized_get(struct bench *b, uint64_t items, uint16_t length)
{
    uint8_t value[BATCH][VALUE_BYTES_MAX];
    double cycles[WINDOWS];
    for (unsigned w = 0; w < WINDOWS; w++) {
        uint64_t start = thread_ns();
        enum { ROUNDS = 200 };
        for (unsigned round = 0; round < ROUNDS; round++) {
            uint64_t key[BATCH];
            struct table_probe probe[BATCH];
            for (unsigned i = 0; i < BATCH; i++) {
                key[i] = key_of(next_random(&b->random) % items);
                probe[i].key = (uint8_t *)&key[i];
                probe[i].key_length = 8;
            }
            table_probe_hash(b->table, probe, BATCH);
            table_probe_find(b->table, probe, BATCH);
            for (unsigned i = 0; i < BATCH; i++) {
                struct result result = {.value = value[i], .room = VALUE_BYTES_MAX};
                if (execute_get(b->context, &probe[i], 1, &result) != STATUS_OK ||
                    result.value_length != length)
                    die("a GET missed");
            }
        }
        cycles[w] = (double)(thread_ns() - start) * (double)rte_get_tsc_hz() / 1e9 / (ROUNDS * BATCH);
    }
    return bench_quantile(cycles, WINDOWS, 0.5);
}

static void larger_values(struct bench *b)
{
    static const uint16_t lengths[] = {32, 64, 128, 256, 512, 1024};
    uint8_t value[VALUE_BYTES_MAX];
    double smallest = 0;
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct table_config config = {.capacity = b->capacity,
                                      .first_lsn = (uint64_t)1 << 32,
                                      .workers = 1,
                                      .numa_node = -1,
                                      .huge_pages = true};
        b->ring = log_ring_create(1 << 20, -1);
        if (b->ring == NULL || table_create(&b->table, &config, NULL) != 0)
            die("no table");
        b->context = execute_context_create(b->table, 0, b->ring);
        uint64_t items = b->capacity / 2 / (1 + lengths[i] / 56);
        for (uint64_t k = 0; k < items; k++)
            table_set(b, key_of(k), value, lengths[i]);
        double cycles = sized_get(b, items, lengths[i]);
        if (i == 0)
            smallest = cycles;
        printf("  value of %4u bytes, 32 at a time: %.0f cycles a GET, %.2f a byte beyond the first 32\n",
               lengths[i], cycles, i ? (cycles - smallest) / (lengths[i] - 32) : 0.0);
        teardown(b);
    }
}

int main(int argc, char **argv)
{
    struct bench *b = calloc(1, sizeof *b);
    unsigned cpu = 0;
    uint64_t l3 = 0;
    char prefix[48];
    if (b == NULL)
        return 1;
    b->random = 1;
    static const struct option options[] = {{"capacity", required_argument, NULL, 'c'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (c != 'c')
            return 2;
        b->capacity = strtoull(optarg, NULL, 10);
    }
    if (b->capacity == 0)
        b->capacity = table_capacity_for(l3_bytes("/sys", &cpu, 1, &l3) == 0 ? l3 / 4 : 8 << 20);
    snprintf(prefix, sizeof prefix, "--file-prefix=bench%d", (int)getpid());
    char *eal[] = {argv[0], "--no-huge", "--no-shconf", "--no-telemetry",    "--no-pci",
                   "-m",    "256",       prefix,        "--log-level=error", "-l",
                   "0"};
    if (rte_eal_init(sizeof eal / sizeof eal[0], eal) < 0)
        die("EAL does not start");
    rmdir(rte_eal_get_runtime_dir()); /* nothing is shared in it, and the EAL would leave it */

    struct rte_hash_parameters parameters = {.name = "bench",
                                             .entries = (uint32_t)b->capacity,
                                             .key_len = 8,
                                             .socket_id = hash_heap(b->capacity * 64 + (64 << 20))};
    b->hash = rte_hash_create(&parameters);
    if (b->hash == NULL)
        die("no rte_hash");
    b->values = map(b->capacity * VALUE_BYTES);
    b->buckets = map((b->capacity + 4) / 5 * LINE_BYTES);
    b->items = map(b->capacity * LINE_BYTES);
    printf("bench_table: capacity %lu one-line items, L3 %lu KiB\n", (unsigned long)b->capacity,
           (unsigned long)(l3 >> 10));

    static const double loads[] = {0.5, 0.9};
    for (unsigned i = 0; i < 2; i++) {
        setup(b, loads[i]);
        compare(b, "single", loads[i], 1.5, single_get, single_chase);
        compare(b, "batched", loads[i], 0.5, batched_get, batched_rte_hash);
        teardown(b);
    }
    larger_values(b);
    rte_hash_free(b->hash);
    rte_eal_cleanup();
    free(b);
    return 0;
}
