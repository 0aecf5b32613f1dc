/*
 * snapshot_threads.c - snapshots of a table while several workers write to it. Made for ThreadSanitizer, and
 * useful without it.
 *
 *   snapshot_threads [--operations N]     per worker and round; WILD_SEED=S
 *
 * A control thread merges the rings into one log and keeps it; another thread takes snapshot after snapshot,
 * each from where the log is. When the workers are done, every snapshot is loaded into a new table, with
 * another hash key and readers about, and the log replayed: up to the snapshot's end, where it must equal the
 * log alone, and up to the log's end, where it must equal the table that the workers wrote. Items are
 * compared byte for byte: keys, values, versions, expiry.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <time.h>

#include "../unit/snapshot_bytes.h"
#include "../unit/snapshot_load.h"
#include "log_merge.h"
#include "sim_disk.h"
#include "table_load.h"

enum {
    WORKERS = 3,
    CAPACITY = 700, /* too little for all large values: FULL or evictions */
    RING_BYTES = 32768,
    SNAPSHOTS_MAX = 6,
    LOADERS = 2, /* contexts of a table that is being loaded: who applies, who reads */
    TTL_MS = 60,
    BUSY_MAX = 100,
};
#define FIRST_LSN ((uint64_t)1 << 32)

struct round {
    const char *name;
    uint64_t capacity, operations;
    unsigned keys;
    enum evict evict;
    bool equal_hashes, flushes;
};

/* Few keys: each is written again and again. Many: all items of a full table are replaced during a walk. */
static const struct round rounds[] = {
    {.name = "full", .capacity = CAPACITY, .keys = 400, .operations = 6000},
    {.name = "evict clock", .capacity = CAPACITY, .keys = 20000, .operations = 6000, .evict = EVICT_CLOCK},
    {.name = "flushes", .capacity = CAPACITY, .keys = 400, .operations = 6000, .flushes = true},
    {.name = "flushes, evict clock",
     .capacity = CAPACITY,
     .keys = 2000,
     .operations = 6000,
     .evict = EVICT_CLOCK,
     .flushes = true},
    {.name = "roomy", .capacity = 20 * CAPACITY, .keys = 1000, .operations = 6000},
    {.name = "one chain",
     .capacity = 20 * CAPACITY,
     .keys = 400,
     .operations = 1500,
     .equal_hashes = true,
     .flushes = true},
    {.name = "tiny, evict clock", .capacity = 64, .keys = 20000, .operations = 6000, .evict = EVICT_CLOCK},
};

struct shared {
    const struct round *round;
    struct table *table;
    struct log_ring *ring[WORKERS];
    _Atomic bool started, finished;
    _Atomic uint64_t now_ms, merged_lsn; /* of the last record in the log */
    uint8_t *log;                        /* the control thread's until it is joined */
    size_t log_bytes, log_room;
    uint64_t seed, operations;
    struct disk disk;
    unsigned snapshots;
    struct snapshot_facts facts[SNAPSHOTS_MAX];
};

struct worker {
    struct shared *shared;
    struct execute_context *context;
    pthread_t thread;
    uint64_t random;
};

static void one_operation(struct worker *worker)
{
    static const uint8_t opcodes[] = {OPCODE_GET, OPCODE_SET, OPCODE_SET,    OPCODE_SET,
                                      OPCODE_SET, OPCODE_SET, OPCODE_DELETE, OPCODE_TOUCH};
    struct shared *shared = worker->shared;
    uint64_t random = next_random(&worker->random);
    unsigned keys = random & 3 ? shared->round->keys : 8, number = (unsigned)(random >> 8) % keys;
    uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX], out[VALUE_BYTES_MAX];
    struct operation operation = {.key = key, .value = value, .opcode = opcodes[random >> 1 & 7]};
    struct result result = {.value = out, .room = sizeof out};
    uint64_t now_ms = atomic_load(&shared->now_ms);

    if ((random >> 40) % 100 == 0)
        atomic_fetch_add(&shared->now_ms, 1);
    if (shared->round->flushes && (random >> 40) % 3000 == 1)
        operation.opcode = OPCODE_FLUSH;
    if ((random >> 40) % 50 == 2)
        (void)execute_sweep(worker->context, 16, now_ms);
    operation.key_length = (uint8_t)make_key(number, key);
    if (operation.opcode == OPCODE_SET) {
        unsigned length = VALUE_MIN + (random >> 16) % (random >> 30 & 3 ? 40 : VALUE_BYTES_MAX - VALUE_MIN);
        make_value(number, random, value, length);
        operation.value_length = (uint16_t)length;
    }
    if (operation.opcode == OPCODE_SET || operation.opcode == OPCODE_TOUCH)
        operation.ttl_ms = (random >> 33 & 3) == 0 ? 1 + (random >> 50) % TTL_MS : 0;
    uint64_t hash = table_hash(shared->table, key, operation.key_length);
    /* BUSY is mostly a full ring: the control thread has to run. */
    for (unsigned i = 0; i < BUSY_MAX; i++) {
        if (execute(worker->context, &operation, hash, now_ms, &result) != STATUS_BUSY)
            break;
        sched_yield();
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&worker->shared->started))
        ;
    for (uint64_t i = 0; i < worker->shared->operations; i++)
        one_operation(worker);
    return NULL;
}

static void keep(struct shared *shared, const uint8_t *record, size_t length)
{
    if (shared->log_bytes + length > shared->log_room) {
        shared->log_room = 2 * shared->log_room + length;
        shared->log = realloc(shared->log, shared->log_room);
        EXPECT(shared->log != NULL);
    }
    memcpy(shared->log + shared->log_bytes, record, length);
    shared->log_bytes += length;
}

static void *control_main(void *argument)
{
    struct shared *shared = argument;
    struct log_merge merge;
    log_merge_init(&merge, shared->ring, WORKERS, FIRST_LSN);
    for (;;) {
        bool finished = atomic_load(&shared->finished);
        size_t length;
        const uint8_t *record = log_merge_peek(&merge, &length);
        if (record) {
            keep(shared, record, length);
            log_merge_pop(&merge);
            atomic_store(&shared->merged_lsn, merge.next_lsn - 1);
        } else if (finished) {
            return NULL;
        } else {
            sched_yield();
        }
    }
}

static void take_snapshot(struct shared *shared, uint64_t *random)
{
    struct snapshot_facts facts = {.position.next_lsn = atomic_load(&shared->merged_lsn) + 1};
    struct snapshot_writer *writer = snapshot_writer_create(&shared->disk, shared->table, &facts);
    EXPECT(writer != NULL);
    /* At most so many buckets a step: from one that is over at once to one that sees everything replaced. */
    unsigned most = 1u << next_random(random) % 9;
    for (;;) {
        int progress = snapshot_writer_step(writer, 1 + (unsigned)(next_random(random) % most),
                                            atomic_load(&shared->merged_lsn));
        EXPECT(progress > 0);
        if (progress == SNAPSHOT_PUBLISHED)
            break;
        if (progress == SNAPSHOT_WALKED || next_random(random) % 4 == 0)
            sched_yield();
    }
    shared->facts[shared->snapshots++] = snapshot_writer_facts(writer);
    EXPECT(shared->facts[shared->snapshots - 1].end_lsn <= atomic_load(&shared->merged_lsn));
    snapshot_writer_destroy(writer);
}

static void *snapshot_main(void *argument)
{
    struct shared *shared = argument;
    uint64_t random = shared->seed * 77 + 5;
    while (shared->snapshots < SNAPSHOTS_MAX && !atomic_load(&shared->finished)) {
        uint64_t before = atomic_load(&shared->merged_lsn), pause = 1 + next_random(&random) % 3000;
        take_snapshot(shared, &random);
        while (atomic_load(&shared->merged_lsn) < before + pause && !atomic_load(&shared->finished))
            sched_yield();
    }
    return NULL;
}

/* ---- what a table holds ---- */

struct dump {
    uint8_t *bytes;
    const uint8_t *record[40000];
    unsigned count;
};

static int compare_keys(const void *left, const void *right)
{
    const uint8_t *a = *(const uint8_t *const *)left, *b = *(const uint8_t *const *)right;
    unsigned a_length = a[17], b_length = b[17];
    int order = memcmp(a + LOG_RECORD_HEADER_BYTES, b + LOG_RECORD_HEADER_BYTES,
                       a_length < b_length ? a_length : b_length);
    return order != 0 ? order : (int)a_length - (int)b_length;
}

static void dump_table(struct dump *dump, const struct table *table)
{
    enum { ROOM = 4 << 20 };
    size_t used = 0;
    dump->bytes = malloc(ROOM);
    EXPECT(dump->bytes != NULL);
    dump->count = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++) {
        for (uint32_t below = TABLE_COPY_ALL; below > 0;) {
            int64_t bytes = table_copy_bucket(table, bucket, &below, dump->bytes + used, ROOM - used);
            EXPECT(bytes >= 0);
            for (size_t end = used + (size_t)bytes; used < end; dump->count++) {
                dump->record[dump->count] = dump->bytes + used;
                used += log_record_encoded_bytes(dump->bytes + used);
            }
        }
    }
    qsort(dump->record, dump->count, sizeof dump->record[0], compare_keys);
}

static void expect_equal(const struct table *one, const struct table *other)
{
    static struct dump dumps[2];
    dump_table(&dumps[0], one);
    dump_table(&dumps[1], other);
    EXPECT(dumps[0].count == dumps[1].count);
    for (unsigned i = 0; i < dumps[0].count; i++) {
        size_t bytes = log_record_encoded_bytes(dumps[0].record[i]);
        EXPECT(memcmp(dumps[0].record[i], dumps[1].record[i], bytes) == 0);
    }
    free(dumps[0].bytes);
    free(dumps[1].bytes);
}

/* ---- loading ---- */

struct loading {
    struct table *table;
    struct execute_context *apply, *read;
    _Atomic bool over;
    uint64_t random;
    unsigned keys;
    pthread_t reader;
};

/* Whatever a reader is told while a table is rebuilt, it is whole. */
static void *reader_main(void *argument)
{
    struct loading *loading = argument;
    while (!atomic_load(&loading->over)) {
        uint8_t key[KEY_BYTES_MAX], out[VALUE_BYTES_MAX];
        unsigned number = (unsigned)(next_random(&loading->random) >> 8) % loading->keys;
        struct operation get = {.opcode = OPCODE_GET, .key = key};
        struct result result = {.value = out, .room = sizeof out};
        get.key_length = (uint8_t)make_key(number, key);
        enum status status =
            execute(loading->read, &get, table_hash(loading->table, key, get.key_length), 0, &result);
        EXPECT(status != STATUS_OK || value_is_whole(number, out, result.value_length));
    }
    return NULL;
}

static void open_loading(struct loading *loading, const struct shared *shared, unsigned number)
{
    struct table_config config = {.capacity = shared->round->capacity,
                                  .first_lsn = FIRST_LSN,
                                  .workers = LOADERS,
                                  .evict = shared->round->evict,
                                  .numa_node = -1,
                                  .force_equal_hashes = shared->round->equal_hashes};
    memcpy(config.hash_key, &number, sizeof number);
    *loading = (struct loading){.random = shared->seed + number, .keys = shared->round->keys};
    EXPECT(table_create(&loading->table, &config, NULL) == 0);
    loading->apply = execute_context_create(loading->table, 0, NULL);
    loading->read = execute_context_create(loading->table, 1, NULL);
    EXPECT(loading->apply != NULL && loading->read != NULL);
    EXPECT(pthread_create(&loading->reader, NULL, reader_main, loading) == 0);
    EXPECT(apply_begin(loading->apply) == 0);
}

static void close_loading(struct loading *loading)
{
    execute_context_destroy(loading->apply);
    execute_context_destroy(loading->read);
    table_destroy(loading->table);
}

static void replay(const struct shared *shared, struct execute_context *context, uint64_t from, uint64_t to)
{
    for (size_t at = 0; at < shared->log_bytes;) {
        struct log_record record;
        at += (size_t)log_record_decode(&record, shared->log + at, shared->log_bytes - at);
        if (record.lsn >= from && record.lsn <= to)
            EXPECT(apply_record(context, &record) == 0);
    }
}

static void end_loading(struct shared *shared, struct loading *loading)
{
    EXPECT(apply_end(loading->apply) == 0);
    atomic_store(&loading->over, true);
    EXPECT(pthread_join(loading->reader, NULL) == 0);
    apply_clock(loading->apply, atomic_load(&shared->now_ms));
}

static void check_snapshot(struct shared *shared, unsigned number)
{
    const struct snapshot_facts *facts = &shared->facts[number];
    uint64_t ends[] = {facts->end_lsn, UINT64_MAX};
    char name[DISK_NAME_BYTES];
    meta_snapshot_name(name, facts->position.next_lsn - 1);
    for (unsigned i = 0; i < 2; i++) {
        struct loading loaded, replayed;
        struct snapshot_facts read;
        open_loading(&loaded, shared, 2 * number + i + 1);
        EXPECT(snapshot_load(loaded.apply, &shared->disk, name, &read) == 0);
        EXPECT(read.end_lsn == facts->end_lsn && read.items == facts->items && read.bytes == facts->bytes);
        replay(shared, loaded.apply, facts->position.next_lsn, ends[i]);
        end_loading(shared, &loaded);
        if (i == 0) {
            open_loading(&replayed, shared, 1000);
            replay(shared, replayed.apply, 0, ends[i]);
            end_loading(shared, &replayed);
            expect_equal(loaded.table, replayed.table);
            close_loading(&replayed);
        } else {
            expect_equal(loaded.table, shared->table);
        }
        close_loading(&loaded);
    }
}

static void run_threads(struct shared *shared, struct worker *workers)
{
    pthread_t control, snapshots;
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) == 0);
    EXPECT(pthread_create(&control, NULL, control_main, shared) == 0);
    EXPECT(pthread_create(&snapshots, NULL, snapshot_main, shared) == 0);
    atomic_store(&shared->started, true);
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT(pthread_join(workers[i].thread, NULL) == 0);
    atomic_store(&shared->finished, true);
    EXPECT(pthread_join(control, NULL) == 0);
    EXPECT(pthread_join(snapshots, NULL) == 0);
}

static void play_round(struct shared *shared, const struct round *round)
{
    struct table_config config = {.capacity = round->capacity,
                                  .first_lsn = FIRST_LSN,
                                  .workers = WORKERS,
                                  .evict = round->evict,
                                  .numa_node = -1,
                                  .force_equal_hashes = round->equal_hashes};
    struct worker *workers = calloc(WORKERS, sizeof *workers);
    struct sim_disk *sim = sim_disk_create(shared->seed, (uint64_t)1 << 30);
    EXPECT(workers != NULL);
    memcpy(config.hash_key, &shared->seed, sizeof shared->seed);
    EXPECT(table_create(&shared->table, &config, NULL) == 0);
    shared->round = round;
    shared->disk = sim_disk_disk(sim);
    shared->snapshots = 0;
    shared->log_bytes = 0;
    if (shared->operations == 0)
        shared->operations = round->operations;
    atomic_store(&shared->merged_lsn, FIRST_LSN - 1);
    atomic_store(&shared->now_ms, 1);
    atomic_store(&shared->started, false);
    atomic_store(&shared->finished, false);
    for (unsigned i = 0; i < WORKERS; i++) {
        shared->ring[i] = log_ring_create(RING_BYTES, -1);
        EXPECT(shared->ring[i] != NULL);
        workers[i].shared = shared;
        workers[i].random = shared->seed * 1000 + (uint64_t)(round - rounds) * 10 + i;
        workers[i].context = execute_context_create(shared->table, i, shared->ring[i]);
        EXPECT(workers[i].context != NULL);
    }
    run_threads(shared, workers);
    apply_clock(workers[0].context, atomic_load(&shared->now_ms));
    for (unsigned i = 0; i < shared->snapshots; i++)
        check_snapshot(shared, i);
    printf("  %-22s %u snapshots, %" PRIu64 " records\n", round->name, shared->snapshots,
           atomic_load(&shared->merged_lsn) - FIRST_LSN + 1);
    fflush(stdout);
    EXPECT(shared->snapshots > 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        execute_context_destroy(workers[i].context);
        log_ring_destroy(shared->ring[i]);
    }
    table_destroy(shared->table);
    sim_disk_destroy(sim);
    free(workers);
}

int main(int argc, char **argv)
{
    struct shared shared = {0};
    uint64_t operations = 0;
    static const struct option options[] = {{"operations", required_argument, NULL, 'n'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (c != 'n')
            return 2;
        operations = strtoull(optarg, NULL, 10);
    }
    const char *seed = getenv("WILD_SEED");
    shared.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("snapshot_threads: WILD_SEED=%" PRIu64 "\n", shared.seed);
    fflush(stdout);
    for (unsigned i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        shared.operations = operations;
        play_round(&shared, &rounds[i]);
    }
    free(shared.log);
    return 0;
}
