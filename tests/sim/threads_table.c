/*
 * threads_table.c - several workers and readers on one table at once, made for ThreadSanitizer, and useful
 * without it.
 *
 *   threads_table [--operations N]     per worker; WILD_SEED=S
 *
 * Every value says whose it is: its key's number, a nonce, and bytes that follow from both; so a torn or
 * misplaced read is seen. A key's version never goes back, neither for readers nor in the log. A control thread
 * merges the rings and replays them into a second table: in the end both hold the same.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apply.h"
#include "execute.h"
#include "log_merge.h"
#include "table_load.h"

enum {
    WORKERS = 3,
    KEYS = 300,
    CAPACITY = 700, /* too little for all large values: FULL or evictions */
    RING_BYTES = 32768,
    ROUNDS = 4,
};

struct shared {
    struct table *table, *replica;
    struct log_ring *ring[WORKERS];
    struct execute_context *apply;
    _Atomic bool finished, started;
    uint64_t seed, operations, first_lsn;
    bool flushes;
};

struct worker {
    struct shared *shared;
    struct execute_context *context;
    unsigned number;
    pthread_t thread;
    uint64_t random, statuses[STATUS_COUNT];
    uint64_t seen[KEYS]; /* highest version of each key */
    uint64_t flushed_lsn;
};

static void check_answer(struct worker *worker, unsigned number, const struct operation *operation,
                         enum status status, const struct result *result)
{
    worker->statuses[status]++;
    if (status == STATUS_OK && operation->opcode == OPCODE_GET) {
        EXPECT(value_is_whole(number, result->value, result->value_length));
        EXPECT(result->version >= worker->seen[number]);
        EXPECT(result->version >= worker->flushed_lsn);
        EXPECT(result->bucket_lsn >= result->version);
    }
    if (status == STATUS_OK && operation->opcode != OPCODE_GET)
        EXPECT(result->version > worker->seen[number]);
    if (result->version > worker->seen[number])
        worker->seen[number] = result->version;
}

static void one_operation(struct worker *worker)
{
    static const uint8_t opcodes[] = {OPCODE_GET, OPCODE_GET, OPCODE_GET,    OPCODE_GET,
                                      OPCODE_SET, OPCODE_SET, OPCODE_DELETE, OPCODE_TOUCH};
    struct shared *shared = worker->shared;
    uint64_t random = next_random(&worker->random);
    /* Few keys most of the time: contention is the point. */
    unsigned number = random & 1 ? (unsigned)(random >> 8) % KEYS : (unsigned)(random >> 8) % 8;
    uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX], out[VALUE_BYTES_MAX];
    struct operation operation = {.key = key, .value = value, .opcode = opcodes[random >> 1 & 7]};
    struct result result = {.value = out, .room = sizeof out};

    if (shared->flushes && (random >> 40) % 3000 == 0) {
        struct operation flush = {.opcode = OPCODE_FLUSH};
        if (execute(worker->context, &flush, 0, 1, &result) == STATUS_OK)
            worker->flushed_lsn = result.version;
        return;
    }
    if ((random >> 40) % 100 == 1)
        (void)execute_sweep(worker->context, 16, 1);
    operation.key_length = (uint8_t)make_key(number, key);
    if (operation.opcode == OPCODE_SET) {
        unsigned length = VALUE_MIN + (random >> 16) % (random >> 30 & 3 ? 40 : VALUE_BYTES_MAX - VALUE_MIN);
        make_value(number, random, value, length);
        operation.value_length = (uint16_t)length;
        operation.flags = (random >> 33 & 7) == 0 ? FLAG_IF_ABSENT : 0;
    }
    enum status status = execute(worker->context, &operation,
                                 table_hash(shared->table, key, operation.key_length), 1, &result);
    check_answer(worker, number, &operation, status, &result);
}

/* A burst of GETs; between its steps others, and this worker itself, change what the probes found. */
static void burst_of_gets(struct worker *worker)
{
    enum { BURST = 12 };
    struct table_probe probe[BURST];
    uint8_t key[BURST][KEY_BYTES_MAX], out[VALUE_BYTES_MAX];
    unsigned number[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        number[i] = (unsigned)(next_random(&worker->random) >> 8) % (i % 2 ? KEYS : 8);
        probe[i] = (struct table_probe){.key = key[i], .key_length = (uint8_t)make_key(number[i], key[i])};
    }
    table_probe_hash(worker->shared->table, probe, BURST);
    table_probe_find(worker->shared->table, probe, BURST);
    for (unsigned i = 0; i < BURST; i++) {
        struct operation get = {.opcode = OPCODE_GET};
        struct result result = {.value = out, .room = sizeof out};
        enum status status = execute_get(worker->context, &probe[i], 1, &result);
        check_answer(worker, number[i], &get, status, &result);
        if (i == BURST / 2)
            one_operation(worker);
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&worker->shared->started))
        ;
    for (uint64_t i = 0; i < worker->shared->operations; i++)
        if (i % 16 == 0)
            burst_of_gets(worker);
        else
            one_operation(worker);
    return NULL;
}

/* Merges and replays, as the control lcore does. */
static void *control_main(void *argument)
{
    struct shared *shared = argument;
    struct log_merge merge;
    uint64_t last[KEYS] = {0};
    log_merge_init(&merge, shared->ring, WORKERS, shared->first_lsn);
    for (;;) {
        bool finished = atomic_load(&shared->finished);
        size_t length;
        const uint8_t *bytes = log_merge_peek(&merge, &length);
        if (bytes == NULL && finished)
            break;
        if (bytes == NULL) {
            sched_yield();
            continue;
        }
        struct log_record record;
        EXPECT(log_record_decode(&record, bytes, length) == (int)length);
        if (record.key_length) {
            unsigned number = record.key[0] | (unsigned)record.key[1] << 8;
            EXPECT(record.lsn > last[number]);
            last[number] = record.lsn;
        }
        EXPECT(apply_record(shared->apply, &record) == 0);
        log_merge_pop(&merge);
    }
    struct table_counts counts;
    table_counts(shared->table, &counts);
    EXPECT(merge.next_lsn == counts.lsn + 1);
    return NULL;
}

static void compare(struct shared *shared, struct execute_context *context)
{
    struct table *tables[] = {shared->table, shared->replica};
    struct execute_context *contexts[] = {context, shared->apply};
    for (unsigned number = 0; number < KEYS; number++) {
        uint8_t key[KEY_BYTES_MAX], value[2][VALUE_BYTES_MAX];
        struct operation get = {.opcode = OPCODE_GET, .key = key};
        struct result result[2];
        enum status status[2];
        get.key_length = (uint8_t)make_key(number, key);
        for (unsigned i = 0; i < 2; i++) {
            result[i] = (struct result){.value = value[i], .room = sizeof value[i]};
            status[i] = execute(contexts[i], &get, table_hash(tables[i], key, get.key_length), 1, &result[i]);
        }
        EXPECT(status[0] == status[1] && (status[0] == STATUS_OK || status[0] == STATUS_NOT_FOUND));
        EXPECT(result[0].version == result[1].version && result[0].value_length == result[1].value_length);
        EXPECT(memcmp(value[0], value[1], result[0].value_length) == 0);
    }
    struct table_counts counts[2];
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < 10; k++)
            (void)execute_sweep(contexts[i], CAPACITY, 1);
        table_counts(tables[i], &counts[i]);
    }
    EXPECT(counts[0].items == counts[1].items && counts[0].lines_used == counts[1].lines_used);
    EXPECT(counts[0].lines_used <= CAPACITY);
}

static void play_round(struct shared *shared, unsigned round, uint64_t statuses[STATUS_COUNT])
{
    struct table_config config = {.capacity = CAPACITY,
                                  .first_lsn = shared->first_lsn,
                                  .workers = WORKERS,
                                  .evict = round & 1 ? EVICT_CLOCK : EVICT_NONE,
                                  .numa_node = -1,
                                  .force_equal_hashes = round == ROUNDS - 1};
    struct worker *workers = calloc(WORKERS, sizeof *workers);
    pthread_t control;
    EXPECT(workers != NULL);
    shared->flushes = (round & 2) != 0;
    memcpy(config.hash_key, &shared->seed, sizeof shared->seed);
    EXPECT(table_create(&shared->table, &config, NULL) == 0 &&
           table_create(&shared->replica, &config, NULL) == 0);
    shared->apply = execute_context_create(shared->replica, 0, NULL);
    EXPECT(shared->apply != NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        shared->ring[i] = log_ring_create(RING_BYTES, -1);
        EXPECT(shared->ring[i] != NULL);
        workers[i].shared = shared;
        workers[i].number = i;
        workers[i].random = shared->seed * 1000 + round * 10 + i;
        workers[i].context = execute_context_create(shared->table, i, shared->ring[i]);
        EXPECT(workers[i].context != NULL);
    }
    atomic_store(&shared->started, false);
    atomic_store(&shared->finished, false);
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) == 0);
    EXPECT(pthread_create(&control, NULL, control_main, shared) == 0);
    atomic_store(&shared->started, true);
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT(pthread_join(workers[i].thread, NULL) == 0);
    atomic_store(&shared->finished, true);
    EXPECT(pthread_join(control, NULL) == 0);

    compare(shared, workers[0].context);
    for (unsigned i = 0; i < WORKERS; i++) {
        for (unsigned s = 0; s < STATUS_COUNT; s++)
            statuses[s] += workers[i].statuses[s];
        execute_context_destroy(workers[i].context);
        log_ring_destroy(shared->ring[i]);
    }
    execute_context_destroy(shared->apply);
    table_destroy(shared->table);
    table_destroy(shared->replica);
    free(workers);
}

int main(int argc, char **argv)
{
    struct shared shared = {.operations = 30000, .first_lsn = (uint64_t)1 << 32};
    static const struct option options[] = {{"operations", required_argument, NULL, 'n'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (c != 'n')
            return 2;
        shared.operations = strtoull(optarg, NULL, 10);
    }
    const char *seed = getenv("WILD_SEED");
    shared.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("threads_table: WILD_SEED=%" PRIu64 ", %u workers, %u rounds of %" PRIu64 " operations each\n",
           shared.seed, WORKERS, ROUNDS, shared.operations);
    fflush(stdout);
    uint64_t statuses[STATUS_COUNT] = {0};
    for (unsigned round = 0; round < ROUNDS; round++)
        play_round(&shared, round, statuses);
    for (unsigned i = 0; i < STATUS_COUNT; i++)
        if (statuses[i])
            printf("  %-16s %" PRIu64 "\n", status_name(i), statuses[i]);
    return 0;
}
