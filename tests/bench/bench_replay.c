/*
 * bench_replay.c - how fast a log is replayed from memory, in million records a second, as recovery does it:
 * decoded, hashed, applied.
 *
 *   replay_set       SETs of new keys: a snapshot, or a log's first time
 *   replay_mixed     SETs of keys that are there, one DELETE in eight: a log's tail
 *
 * 8-byte keys, 32-byte values, keys in random order, a table of 32 MiB; more is better. `--capacity N`.
 */
#include <getopt.h>
#include <string.h>
#include <time.h>

#include "apply.h"
#include "bench_window.h"

enum { VALUE_BYTES = 32, WINDOWS = 7 };

struct bench {
    struct table *table;
    struct execute_context *context;
    uint8_t *log;
    size_t bytes;
    uint64_t capacity, records, random, lsn;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_replay: %s\n", what);
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void write_record(struct bench *b, enum log_record_type type, uint64_t number)
{
    static const uint8_t value[VALUE_BYTES];
    uint64_t key = (number + 1) * UINT64_C(0x9E3779B97F4A7C15);
    struct log_record record = {
        .lsn = b->lsn++, .type = (uint8_t)type, .key = (uint8_t *)&key, .key_length = 8};
    if (type == LOG_SET) {
        record.value = value;
        record.value_length = VALUE_BYTES;
    } else {
        record.reason = LOG_REASON_REQUEST;
    }
    b->bytes += log_record_encode(b->log + b->bytes, &record);
    b->records++;
}

static uint64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Million records a second. */
static double replay(struct bench *b)
{
    uint64_t start = thread_ns();
    if (apply_records(b->context, b->log, b->bytes) != 0)
        die("the log cannot be applied");
    return (double)b->records * 1e3 / (double)(thread_ns() - start);
}

static void open_table(struct bench *b)
{
    struct table_config config = {.capacity = b->capacity,
                                  .first_lsn = (uint64_t)1 << 32,
                                  .workers = 1,
                                  .numa_node = -1,
                                  .huge_pages = true};
    next_random(&b->random);
    memcpy(config.hash_key, &b->random, 8);
    if (table_create(&b->table, &config, NULL) != 0)
        die("no table");
    b->context = execute_context_create(b->table, 0, NULL);
    if (b->context == NULL || apply_begin(b->context) != 0)
        die("no memory");
}

/* Milliseconds for the end of it. */
static double close_table(struct bench *b)
{
    uint64_t start = thread_ns();
    if (apply_end(b->context) != 0)
        die("the table does not end");
    double ended = (double)(thread_ns() - start) / 1e6;
    execute_context_destroy(b->context);
    table_destroy(b->table);
    return ended;
}

int main(int argc, char **argv)
{
    struct bench b = {.random = 1, .lsn = (uint64_t)1 << 32};
    double fresh[WINDOWS], mixed[WINDOWS], ended[WINDOWS];
    static const struct option options[] = {{"capacity", required_argument, NULL, 'c'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (c != 'c')
            return 2;
        b.capacity = strtoull(optarg, NULL, 10);
    }
    if (b.capacity == 0)
        b.capacity = table_capacity_for(32 << 20);
    b.log = malloc(b.capacity * log_record_bytes(8, VALUE_BYTES));
    if (b.log == NULL)
        die("no memory");
    for (unsigned i = 0; i < WINDOWS; i++) {
        open_table(&b);
        b.bytes = b.records = 0;
        for (uint64_t k = 0; k < b.capacity; k++)
            write_record(&b, LOG_SET, k);
        fresh[i] = replay(&b);
        b.bytes = b.records = 0;
        for (uint64_t k = 0; k < b.capacity; k++)
            write_record(&b, k % 8 == 7 ? LOG_DELETE : LOG_SET, next_random(&b.random) % b.capacity);
        mixed[i] = replay(&b);
        ended[i] = close_table(&b);
    }
    double a = bench_quantile(fresh, WINDOWS, 0.5), m = bench_quantile(mixed, WINDOWS, 0.5);
    printf("bench_replay: capacity %lu, %.0f ns a new item, %.0f ns a changed one, %.1f ms for the end\n",
           (unsigned long)b.capacity, 1e3 / a, 1e3 / m, bench_quantile(ended, WINDOWS, 0.5));
    bench_print_rate("replay_set", a, 5);
    bench_print_rate("replay_mixed", m, 5);
    free(b.log);
    return 0;
}
