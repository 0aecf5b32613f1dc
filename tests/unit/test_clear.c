/*
 * test_clear.c - a table that was cleared, against one that was just made: the same log in both, whatever the
 * first one held before, gives the same bytes.
 */
#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#include "apply.h"
#include "table_fixture.h"
#include "table_walk.h"

enum { CAPACITY = 3000, LOG_BYTES = 150000, COPY_BYTES = 1 << 20 };

/* A log from first_lsn on of all types of records, some of them with keys that other logs have, too. */
static size_t write_log(uint8_t *out, uint64_t first_lsn, uint64_t *seed)
{
    uint64_t lsn = first_lsn;
    size_t used = 0;
    while (used + LOG_RECORD_BYTES_MAX <= LOG_BYTES) {
        uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
        struct log_record record = {.lsn = lsn++, .type = LOG_SET, .key = key, .value = value};
        uint64_t kind = seeded_below(seed, 300), number = seeded_below(seed, 900);
        record.key_length = (uint8_t)(4 + number % (number % 50 == 0 ? 200 : 12));
        memset(key, (int)number, record.key_length);
        key[0] = (uint8_t)number;
        key[1] = (uint8_t)(number >> 8);
        if (kind < 2) {
            record = (struct log_record){.lsn = record.lsn, .type = kind == 0 ? LOG_FLUSH : LOG_NOP};
        } else if (kind < 60) {
            record.type = LOG_DELETE;
            record.reason = LOG_REASON_REQUEST;
        } else {
            record.value_length = (uint16_t)seeded_below(seed, seeded_below(seed, 10) == 0 ? 1025 : 60);
            seeded_fill(seed, value, record.value_length);
            record.expiry_ms = seeded_below(seed, 4) == 0 ? 5000 : 0;
        }
        used += log_record_encode(out + used, &record);
    }
    return used;
}

static size_t copy_table(const struct table *table, uint8_t *out)
{
    size_t used = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++) {
        for (uint32_t below = TABLE_COPY_ALL; below > 0;) {
            int64_t bytes = table_copy_bucket(table, bucket, &below, out + used, COPY_BYTES - used);
            CU_ASSERT_FATAL(bytes >= 0);
            used += (size_t)bytes;
        }
    }
    return used;
}

static void expect_equal(const struct table *one, const struct table *other)
{
    static uint8_t copy[2][COPY_BYTES];
    size_t bytes = copy_table(one, copy[0]);
    struct table_counts a, b;
    CU_ASSERT_EQUAL_FATAL(copy_table(other, copy[1]), bytes);
    CU_ASSERT(memcmp(copy[0], copy[1], bytes) == 0);
    table_counts(one, &a);
    table_counts(other, &b);
    CU_ASSERT(a.items == b.items && a.lines_used == b.lines_used && a.capacity == b.capacity);
    CU_ASSERT(a.lsn == b.lsn && a.flush_lsn == b.flush_lsn && a.overflow_buckets == b.overflow_buckets);
}

static void clear(struct fixture *f, uint64_t *seed)
{
    uint32_t left = table_bucket_count(f->table);
    for (;;) {
        unsigned step = 1 + (unsigned)seeded_below(seed, 200);
        bool done = apply_clear(f->context, step);
        CU_ASSERT_EQUAL(done, step >= left);
        if (done)
            break;
        left -= step;
    }
}

/* Life after life in one table, each with lower LSNs than the one before, each against a table of its own. */
static void live(const struct table_config *config, uint64_t *seed)
{
    enum { LIVES = 6 };
    uint8_t *log = malloc(LOG_BYTES);
    struct fixture again, fresh;
    CU_ASSERT_FATAL(log != NULL);
    fixture_open(&again, config);
    for (unsigned life = 0; life < LIVES; life++) {
        size_t bytes = write_log(log, FIXTURE_FIRST_LSN + (uint64_t)(LIVES - life) * 1000000, seed);
        bool rebuilt = life % 2 == 1;
        fixture_open(&fresh, config);
        expect_equal(again.table, fresh.table);
        struct fixture *both[2] = {&again, &fresh};
        for (unsigned i = 0; i < 2; i++) {
            if (rebuilt)
                CU_ASSERT_EQUAL(apply_begin(both[i]->context), 0);
            CU_ASSERT_EQUAL(apply_records(both[i]->context, log, bytes), 0);
            if (rebuilt)
                CU_ASSERT_EQUAL(apply_end(both[i]->context), 0);
        }
        expect_equal(again.table, fresh.table);
        struct table_counts counts;
        table_counts(fresh.table, &counts);
        CU_ASSERT(counts.items > 0);
        fixture_close(&fresh);
        clear(&again, seed);
    }
    fixture_close(&again);
    free(log);
}

static void a_second_life_equals_a_new_table(void)
{
    uint64_t seed = seeded_start(seeded_from_environment(1));
    for (unsigned i = 0; i < 4; i++)
        live(&(struct table_config){.capacity = CAPACITY, .hash_key = {(uint8_t)i}}, &seed);
    live(&(struct table_config){.capacity = CAPACITY, .evict = EVICT_CLOCK}, &seed);
}

static void one_chain_is_cleared_like_many(void)
{
    uint64_t seed = seeded_start(seeded_from_environment(2));
    live(&(struct table_config){.capacity = CAPACITY, .force_equal_hashes = true}, &seed);
}

static enum status set_number(struct fixture *f, unsigned number)
{
    uint8_t key[4] = {'k', (uint8_t)number, (uint8_t)(number >> 8)};
    struct operation set = {.opcode = OPCODE_SET, .key = key, .key_length = sizeof key};
    return fixture_execute(f, &set);
}

/* Every life of the table admits exactly what the first one did: no line or overflow bucket was lost, or
 * is there twice. */
static void fill(bool equal, unsigned capacity)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = capacity, .force_equal_hashes = equal});
    for (unsigned life = 0; life < 20; life++) {
        f.merge.next_lsn = FIXTURE_FIRST_LSN;
        for (unsigned i = 0; i < capacity; i++)
            CU_ASSERT_EQUAL(set_number(&f, life * 7 + i), STATUS_OK);
        CU_ASSERT_EQUAL(f.result.version, FIXTURE_FIRST_LSN + capacity - 1);
        CU_ASSERT_EQUAL(set_number(&f, life * 7 + capacity), STATUS_FULL);
        while (!apply_clear(f.context, 1 + life))
            ;
        CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_NOT_FOUND);
        CU_ASSERT_EQUAL(f.result.bucket_lsn, 0);
        struct table_counts counts;
        table_counts(f.table, &counts);
        CU_ASSERT(counts.items == 0 && counts.lines_used == 0 && counts.overflow_buckets == 0);
        CU_ASSERT_EQUAL(counts.lsn, FIXTURE_FIRST_LSN - 1);
    }
    fixture_close(&f);
}

static void nothing_is_lost_however_often(void)
{
    fill(false, 64);
    fill(false, 1001);
    fill(true, 333);
}

static void what_a_flush_hid_goes_with_the_rest(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 200});
    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(set_number(&f, i), STATUS_OK);
    struct operation flush = {.opcode = OPCODE_FLUSH};
    CU_ASSERT_EQUAL(fixture_execute(&f, &flush), STATUS_OK);
    for (unsigned i = 50; i < 150; i++)
        CU_ASSERT_EQUAL(set_number(&f, i), STATUS_OK);
    (void)execute_sweep(f.context, 7, f.now_ms); /* a round that reclaims is half way */
    while (!apply_clear(f.context, 3))
        ;
    struct table_counts counts;
    table_counts(f.table, &counts);
    CU_ASSERT(counts.items == 0 && counts.lines_used == 0 && counts.flush_lsn == 0);
    f.merge.next_lsn = FIXTURE_FIRST_LSN;
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "v", 0, 0), STATUS_OK); /* far below that FLUSH */
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_OK);
    CU_ASSERT_EQUAL(execute_sweep(f.context, 1000, f.now_ms), 0);
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_OK);
    fixture_close(&f);
}

/* A bootstrap that broke off, with far more than the capacity in the table. */
static void a_rebuild_that_is_given_up_leaves_nothing(void)
{
    for (unsigned equal = 0; equal < 2; equal++) {
        struct table_config config = {.capacity = 500, .force_equal_hashes = equal != 0};
        struct fixture again, fresh;
        fixture_open(&again, &config);
        fixture_open(&fresh, &config);
        for (unsigned round = 0; round < 3; round++) {
            CU_ASSERT_EQUAL(apply_begin(again.context), 0);
            for (unsigned i = 0; i < 1500; i++) {
                uint8_t key[4] = {'k', (uint8_t)i, (uint8_t)(i >> 8)};
                struct log_record record = {
                    .lsn = FIXTURE_FIRST_LSN + i, .type = LOG_SET, .key = key, .key_length = sizeof key};
                CU_ASSERT_EQUAL(apply_record(again.context, &record), 0);
            }
            while (!apply_clear(again.context, 7))
                ;
            CU_ASSERT_EQUAL(apply_end(again.context), 0);
            expect_equal(again.table, fresh.table);
        }
        for (unsigned i = 0; i < 500; i++)
            CU_ASSERT_EQUAL(set_number(&again, i), STATUS_OK);
        CU_ASSERT_EQUAL(set_number(&again, 500), STATUS_FULL);
        fixture_close(&again);
        fixture_close(&fresh);
    }
}

static void time_does_not_go_back(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    apply_clock(f.context, 900000);
    while (!apply_clear(f.context, 5))
        ;
    f.merge.next_lsn = FIXTURE_FIRST_LSN;
    struct log_record expired = {.lsn = FIXTURE_FIRST_LSN,
                                 .type = LOG_SET,
                                 .key = (const uint8_t *)"k",
                                 .key_length = 1,
                                 .expiry_ms = 900000};
    CU_ASSERT_EQUAL(apply_record(f.context, &expired), 0);
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_NOT_FOUND);
    fixture_close(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a second life equals a new table", a_second_life_equals_a_new_table},
        {"one chain is cleared like many", one_chain_is_cleared_like_many},
        {"nothing is lost, however often", nothing_is_lost_however_often},
        {"what a FLUSH hid goes with the rest", what_a_flush_hid_goes_with_the_rest},
        {"a rebuild that is given up leaves nothing", a_rebuild_that_is_given_up_leaves_nothing},
        {"time does not go back", time_does_not_go_back},
        CU_TEST_INFO_NULL,
    };
    return suite_run("clear", tests);
}
