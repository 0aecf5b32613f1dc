/*
 * test_apply_threads.c - readers look up while a table is rebuilt beyond its capacity, brought back into ordinary
 * memory, and emptied, again and again: what they find is whole, and of the key that they asked for. And a snapshot is
 * copied while the log goes on. Under ThreadSanitizer besides. WILD_SEED=S
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "apply.h"
#include "lines.h"
#include "suite.h"
#include "table_fixture.h"
#include "table_walk.h"

enum { READERS = 2, CAPACITY = 250, KEYS = 700, ROUNDS = 8, VALUE_MAX = 300 };

struct shared {
    struct table *table;
    struct execute_context *context[READERS + 1];
    struct log_ring *ring[READERS + 1];
    _Atomic bool stop;
    _Atomic unsigned ready;
    uint64_t seed;
};

struct reader {
    struct shared *shared;
    unsigned number;
    _Atomic unsigned long found; /* writer: the reader */
    unsigned long torn;
    pthread_t thread;
};

static unsigned key_of(uint8_t out[32], unsigned number)
{
    /* some keys are longer than what an item's first line holds */
    unsigned length = number % 7 == 0 ? 24 : 4;
    memset(out, 'k', 32);
    memcpy(out, &number, 4);
    return length;
}

/* A value tells its key, its version and its own length. */
static unsigned value_of(uint8_t out[VALUE_MAX], unsigned number, uint64_t lsn)
{
    unsigned length = number % 5 == 0 ? 12 + (unsigned)(lsn % (VALUE_MAX - 12)) : 12;
    memcpy(out, &number, 4);
    memcpy(out + 4, &lsn, 8);
    memset(out + 12, (int)(lsn & 0xff), length - 12);
    return length;
}

static bool value_is_whole(const uint8_t *value, unsigned length, unsigned number, uint64_t version)
{
    uint8_t expected[VALUE_MAX];
    return length == value_of(expected, number, version) && memcmp(value, expected, length) == 0;
}

static void *read_on(void *argument)
{
    struct reader *reader = argument;
    struct shared *shared = reader->shared;
    uint64_t seed = seeded_start(shared->seed + 1 + reader->number);
    uint8_t key[32], value[VALUE_BYTES_MAX];

    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        unsigned number = (unsigned)seeded_below(&seed, KEYS);
        struct operation get = {.opcode = OPCODE_GET, .key = key};
        get.key_length = (uint8_t)key_of(key, number);
        struct result result = {.value = value, .room = sizeof value};
        enum status status = execute(shared->context[reader->number], &get,
                                     table_hash(shared->table, key, get.key_length), 1000, &result);
        if (status != STATUS_OK)
            continue;
        atomic_fetch_add_explicit(&reader->found, 1, memory_order_relaxed);
        reader->torn += !value_is_whole(value, result.value_length, number, result.version);
    }
    return NULL;
}

static int apply_one(struct shared *shared, uint64_t lsn, unsigned number, bool set)
{
    uint8_t key[32], value[VALUE_MAX];
    struct log_record record = {.lsn = lsn, .type = set ? LOG_SET : LOG_DELETE, .key = key};
    record.key_length = (uint8_t)key_of(key, number);
    if (set) {
        record.value = value;
        record.value_length = (uint16_t)value_of(value, number, lsn);
    } else {
        record.reason = LOG_REASON_REQUEST;
    }
    return apply_record(shared->context[READERS], &record);
}

/* As a replica's bootstrap: more than the capacity at first, then what the log takes away, then all of it ordinary. */
static void rebuild(struct shared *shared, uint64_t *seed)
{
    struct execute_context *context = shared->context[READERS];
    uint64_t lsn = FIXTURE_FIRST_LSN;
    struct table_counts counts;
    unsigned number = 0;

    CU_ASSERT_EQUAL_FATAL(apply_begin(context), 0);
    do {
        (void)apply_one(shared, lsn++, number++ % KEYS, true);
        table_counts(shared->table, &counts);
    } while (counts.lines_used + 10 < lines_rebuild_limit(CAPACITY) && lsn < FIXTURE_FIRST_LSN + 3 * KEYS);
    CU_ASSERT(counts.lines_used > 2 * CAPACITY);
    for (number = 0; counts.lines_used > CAPACITY - 40; number++, table_counts(shared->table, &counts))
        CU_ASSERT_EQUAL_FATAL(apply_one(shared, lsn++, number % KEYS, false), 0);
    CU_ASSERT_EQUAL_FATAL(apply_end(context), 0);
    /* and as the log goes on */
    for (unsigned i = 0; i < 2000; i++) {
        number = (unsigned)seeded_below(seed, KEYS);
        table_counts(shared->table, &counts);
        CU_ASSERT_EQUAL_FATAL(apply_one(shared, lsn++, number, counts.lines_used + 10 < CAPACITY), 0);
    }
}

static void readers_find_whole_items_while_a_table_is_rebuilt_and_emptied(bool equal)
{
    struct shared shared = {.seed = seeded_from_environment(1)};
    struct reader readers[READERS] = {0};
    struct table_info info;
    struct table_config config = {.capacity = CAPACITY,
                                  .first_lsn = FIXTURE_FIRST_LSN,
                                  .workers = READERS + 1,
                                  .numa_node = -1,
                                  .force_equal_hashes = equal};
    uint64_t seed = seeded_start(shared.seed);
    unsigned rounds = equal ? 1 : ROUNDS;

    CU_ASSERT_EQUAL_FATAL(table_create(&shared.table, &config, &info), 0);
    for (unsigned i = 0; i <= READERS; i++) {
        shared.ring[i] = log_ring_create(LOG_RING_BYTES_MIN, -1);
        shared.context[i] = execute_context_create(shared.table, i, shared.ring[i]);
        CU_ASSERT_FATAL(shared.ring[i] != NULL && shared.context[i] != NULL);
    }
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].shared = &shared;
        readers[i].number = i;
        CU_ASSERT_EQUAL_FATAL(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    while (atomic_load(&shared.ready) < READERS)
        sched_yield();
    for (unsigned round = 0; round < rounds; round++) {
        rebuild(&shared, &seed);
        for (unsigned i = 0; i < READERS; i++) /* on a busy machine they may not have had their turn yet */
            for (unsigned long before = readers[i].found; readers[i].found == before;)
                sched_yield();
        while (!apply_clear(shared.context[READERS], 7))
            ;
        struct table_counts counts;
        table_counts(shared.table, &counts);
        CU_ASSERT(counts.items == 0 && counts.lines_used == 0 && counts.overflow_buckets == 0);
    }
    atomic_store(&shared.stop, true);
    unsigned long found = 0, torn = 0;
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        found += readers[i].found;
        torn += readers[i].torn;
    }
    CU_ASSERT(found > 0);
    CU_ASSERT_EQUAL(torn, 0);
    for (unsigned i = 0; i <= READERS; i++) {
        execute_context_destroy(shared.context[i]);
        log_ring_destroy(shared.ring[i]);
    }
    table_destroy(shared.table);
}

static void of_any_keys(void)
{
    readers_find_whole_items_while_a_table_is_rebuilt_and_emptied(false);
}

static void of_keys_in_one_long_chain(void)
{
    readers_find_whole_items_while_a_table_is_rebuilt_and_emptied(true);
}

/* A snapshot that does not come to its end leaves more than the capacity behind, in the overflow region too. */
static void a_rebuild_that_is_given_up_is_emptied_where_it_stands(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = CAPACITY});
    struct shared shared = {.table = f.table, .context = {[READERS] = f.context}};
    for (unsigned round = 0; round < 3; round++) {
        struct table_counts counts;
        CU_ASSERT_EQUAL_FATAL(apply_begin(f.context), 0);
        for (unsigned i = 0; apply_one(&shared, FIXTURE_FIRST_LSN + i, i, true) == 0; i++)
            ;
        CU_ASSERT_EQUAL(apply_end(f.context), -ENOSPC);
        while (!apply_clear(f.context, 11))
            ;
        table_counts(f.table, &counts);
        CU_ASSERT(counts.items == 0 && counts.lines_used == 0 && counts.overflow_buckets == 0);
        CU_ASSERT_EQUAL(apply_end(f.context), 0);
        /* nothing was lost: it takes as many items as it has lines, and not one more */
        unsigned took = 0;
        for (unsigned i = 1; took <= CAPACITY; i++)
            if (i % 5 != 0 && i % 7 != 0) {
                if (apply_one(&shared, FIXTURE_FIRST_LSN + i, i, true) != 0)
                    break;
                took++;
            }
        CU_ASSERT_EQUAL(took, CAPACITY);
        while (!apply_clear(f.context, UINT32_MAX))
            ;
    }
    fixture_close(&f);
}

/* ---- beside a copy for a snapshot ---- */

struct copier {
    struct table *table;
    _Atomic bool stop;
    _Atomic unsigned long copied, torn; /* writer: the copier */
    pthread_t thread;
};

static void *copy_on(void *argument)
{
    struct copier *copier = argument;
    uint8_t out[4096];

    while (!atomic_load_explicit(&copier->stop, memory_order_relaxed))
        for (uint32_t bucket = 0, below = TABLE_COPY_ALL; bucket < table_bucket_count(copier->table);) {
            int64_t bytes = table_copy_bucket_locked(copier->table, bucket, &below, out, sizeof out);
            struct log_record record;
            for (int64_t at = 0; at < bytes;
                 at += log_record_decode(&record, out + at, (size_t)(bytes - at))) {
                unsigned number;
                CU_ASSERT_FATAL(log_record_decode(&record, out + at, (size_t)(bytes - at)) > 0);
                memcpy(&number, record.key, 4);
                copier->torn += !value_is_whole(record.value, record.value_length, number, record.lsn);
                copier->copied++;
            }
            if (bytes >= 0 && below == 0) {
                bucket++;
                below = TABLE_COPY_ALL;
            }
        }
    return NULL;
}

static int apply_flush(struct execute_context *context, uint64_t lsn)
{
    return apply_record(context, &(struct log_record){.lsn = lsn, .type = LOG_FLUSH});
}

/* Which holds each bucket again and again. Small items, and a FLUSH whenever the table is full: all the room that it gives
 * back is needed at once. */
static void what_is_applied_waits_for_a_copy(bool equal)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = CAPACITY, .force_equal_hashes = equal});
    struct shared shared = {.table = f.table, .context = {[READERS] = f.context}};
    struct copier copier = {.table = f.table};
    uint64_t lsn = FIXTURE_FIRST_LSN;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&copier.thread, NULL, copy_on, &copier), 0);
    for (unsigned round = 0; round < (equal ? 4 : 12) || copier.copied < 1000; round++) {
        for (unsigned i = 0, took = 0; took < CAPACITY; i++) {
            if (i % 5 == 0 || i % 7 == 0)
                continue;
            CU_ASSERT_EQUAL_FATAL(apply_one(&shared, lsn++, i, true), 0);
            if (++took % 10 != 0)
                continue;
            CU_ASSERT_EQUAL_FATAL(apply_one(&shared, lsn++, i, false), 0);
            CU_ASSERT_EQUAL_FATAL(apply_one(&shared, lsn++, i, true), 0);
        }
        CU_ASSERT_EQUAL_FATAL(apply_flush(f.context, lsn++), 0);
    }
    atomic_store(&copier.stop, true);
    pthread_join(copier.thread, NULL);
    CU_ASSERT(copier.copied >= 1000 && copier.torn == 0);
    fixture_close(&f);
}

static void of_any_bucket(void)
{
    what_is_applied_waits_for_a_copy(false);
}

static void of_one_long_chain(void)
{
    what_is_applied_waits_for_a_copy(true);
}

int main(void)
{
    CU_TestInfo tests[] = {{"readers find whole items while a table is rebuilt and emptied", of_any_keys},
                           {"and in one long chain", of_keys_in_one_long_chain},
                           {"a rebuild that is given up is emptied where it stands",
                            a_rebuild_that_is_given_up_is_emptied_where_it_stands},
                           {"what is applied waits for a copy of any bucket", of_any_bucket},
                           {"and of one long chain", of_one_long_chain},
                           CU_TEST_INFO_NULL};
    return suite_run("apply_threads", tests);
}
