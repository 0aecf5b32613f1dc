#include "suite.h"

#include <errno.h>

#include "apply.h"
#include "table_fixture.h"
#include "table_internal.h"
#include "table_walk.h"

enum { ROOM = 1 << 20 };

static void set_number(struct fixture *f, const char *kind, unsigned number, unsigned value_length)
{
    char key[32], value[VALUE_BYTES_MAX + 1];
    snprintf(key, sizeof key, "%s-%u", kind, number);
    memset(value, 'v', value_length);
    value[value_length] = 0;
    CU_ASSERT_EQUAL_FATAL(fixture_set(f, key, value, 0, 0), STATUS_OK);
}

static void delete_number(struct fixture *f, const char *kind, unsigned number)
{
    char key[32];
    snprintf(key, sizeof key, "%s-%u", kind, number);
    (void)fixture_delete(f, key);
}

/* Counts the items of that kind among the records, once each: `seen` has a place for every number. */
static void see(const uint8_t *records, size_t bytes, const char *kind, bool *seen)
{
    size_t length = strlen(kind);
    for (size_t at = 0; at < bytes;) {
        struct log_record record;
        char key[KEY_BYTES_MAX + 1] = {0};
        int whole = log_record_decode(&record, records + at, bytes - at);
        CU_ASSERT_FATAL(whole > 0 && record.type == LOG_SET);
        memcpy(key, record.key, record.key_length);
        if (strncmp(key, kind, length) == 0)
            seen[strtoul(key + length + 1, NULL, 10)] = true;
        at += (size_t)whole;
    }
}

static unsigned copy_table(const struct table *table, uint8_t *out)
{
    unsigned items = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++) {
        for (uint32_t below = TABLE_COPY_ALL; below > 0;) {
            int64_t bytes = table_copy_bucket(table, bucket, &below, out, ROOM);
            CU_ASSERT_FATAL(bytes >= 0);
            for (size_t at = 0; at < (size_t)bytes; items++)
                at += log_record_encoded_bytes(out + at);
        }
    }
    return items;
}

/* One long chain is copied in parts of all sizes, while others come and go before, in and behind what is
 * copied. */
static void what_stays_is_in_some_part(void)
{
    enum { STABLE = 150, PASSING = 450 };
    static uint8_t out[32768];
    uint64_t seed = seeded_start(seeded_from_environment(1));
    for (unsigned round = 0; round < 40; round++) {
        struct fixture f;
        bool seen[STABLE] = {false};
        unsigned parts = 0;
        fixture_open(&f, &(struct table_config){.capacity = 15000, .force_equal_hashes = true});
        for (unsigned i = 0; i < STABLE + PASSING; i++) {
            bool stable = i % 4 == 1;
            set_number(&f, stable ? "stable" : "passing", stable ? i / 4 : i,
                       (unsigned)seeded_below(&seed, 200));
        }
        for (uint32_t below = TABLE_COPY_ALL; below > 0; parts++) {
            size_t room = LOG_RECORD_BYTES_MAX + seeded_below(&seed, sizeof out - LOG_RECORD_BYTES_MAX);
            int64_t bytes = round % 2 ? table_copy_bucket(f.table, 0, &below, out, room)
                                      : table_copy_bucket_locked(f.table, 0, &below, out, room);
            CU_ASSERT_FATAL(bytes >= 0);
            see(out, (size_t)bytes, "stable", seen);
            for (unsigned i = 0; i < 60; i++) {
                unsigned number = (unsigned)seeded_below(&seed, STABLE + PASSING);
                if (number % 4 == 1)
                    set_number(&f, "stable", number / 4, (unsigned)seeded_below(&seed, 200));
                else if (seeded_below(&seed, 3) == 0)
                    set_number(&f, "passing", number, (unsigned)seeded_below(&seed, 200));
                else
                    delete_number(&f, "passing", number);
            }
        }
        CU_ASSERT(parts > 2);
        for (unsigned i = 0; i < STABLE; i++)
            CU_ASSERT_TRUE(seen[i]);
        fixture_close(&f);
    }
}

static void a_part_takes_what_fits_and_at_least_one_item(void)
{
    struct fixture f;
    uint8_t *out = malloc(ROOM);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    fixture_open(&f, &(struct table_config){.capacity = 1000, .force_equal_hashes = true});
    uint32_t below = TABLE_COPY_ALL;
    CU_ASSERT_EQUAL(table_copy_bucket(f.table, 0, &below, out, 0), 0);
    CU_ASSERT_EQUAL(below, 0);
    for (unsigned i = 0; i < 20; i++)
        set_number(&f, "k", i, 100); /* records of 128 bytes */
    below = TABLE_COPY_ALL;
    CU_ASSERT_EQUAL(table_copy_bucket(f.table, 0, &below, out, 127), -ENOBUFS);
    CU_ASSERT_EQUAL(below, TABLE_COPY_ALL);
    for (unsigned i = 20; i-- > 0;) {
        CU_ASSERT_EQUAL(table_copy_bucket(f.table, 0, &below, out, 255), 128);
        CU_ASSERT_EQUAL(below, i);
    }
    below = TABLE_COPY_ALL;
    CU_ASSERT_EQUAL(table_copy_bucket(f.table, 0, &below, out, ROOM), 20 * 128);
    CU_ASSERT_EQUAL(below, 0);
    /* a chain that has become shorter than what was left of it */
    below = 17;
    for (unsigned i = 0; i < 15; i++)
        delete_number(&f, "k", i);
    CU_ASSERT_EQUAL(table_copy_bucket(f.table, 0, &below, out, ROOM), 5 * 128);
    fixture_close(&f);
    free(out);
}

static void a_bucket_that_is_locked_is_busy(void)
{
    static uint8_t out[LOG_RECORD_BYTES_MAX];
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 1000, .force_equal_hashes = true});
    set_number(&f, "k", 1, 10);
    struct bucket *main = &f.table->buckets.bucket[0];
    uint32_t below = TABLE_COPY_ALL;
    CU_ASSERT_TRUE(bucket_try_lock(main));
    CU_ASSERT_EQUAL(table_copy_bucket(f.table, 0, &below, out, sizeof out), -EAGAIN);
    CU_ASSERT_EQUAL(table_copy_bucket_locked(f.table, 0, &below, out, sizeof out), -EAGAIN);
    CU_ASSERT_EQUAL(below, TABLE_COPY_ALL);
    bucket_unlock(main);
    CU_ASSERT(table_copy_bucket_locked(f.table, 0, &below, out, sizeof out) > 0);
    CU_ASSERT_EQUAL(below, 0);
    set_number(&f, "k", 1, 20); /* the lock was given back */
    fixture_close(&f);
}

static void items_in_the_overflow_region_are_copied_too(void)
{
    enum { CAPACITY = 600 };
    static const uint8_t value[VALUE_BYTES_MAX];
    uint8_t *out = malloc(ROOM);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    for (unsigned equal = 0; equal < 2; equal++) {
        struct fixture f;
        fixture_open(&f, &(struct table_config){.capacity = CAPACITY, .force_equal_hashes = equal});
        CU_ASSERT_EQUAL(apply_begin(f.context), 0);
        for (unsigned i = 0; i < CAPACITY; i++) {
            struct log_record record = {.lsn = FIXTURE_FIRST_LSN + i,
                                        .type = LOG_SET,
                                        .key = (const uint8_t *)&i,
                                        .key_length = sizeof i,
                                        .value = value,
                                        .value_length = 100};
            CU_ASSERT_EQUAL(apply_record(f.context, &record), 0);
        }
        struct table_counts counts;
        table_counts(f.table, &counts);
        CU_ASSERT(counts.lines_used == 3 * CAPACITY && counts.overflow_buckets > 0);
        CU_ASSERT_EQUAL(copy_table(f.table, out), CAPACITY);
        fixture_close(&f);
    }
    free(out);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"what stays is in some part", what_stays_is_in_some_part},
        {"a part takes what fits, and at least one item", a_part_takes_what_fits_and_at_least_one_item},
        {"a bucket that is locked is busy", a_bucket_that_is_locked_is_busy},
        {"items in the overflow region are copied too", items_in_the_overflow_region_are_copied_too},
        CU_TEST_INFO_NULL,
    };
    return suite_run("walk", tests);
}
