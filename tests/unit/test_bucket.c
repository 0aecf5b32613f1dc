#include "suite.h"

#include <math.h>

#include "bucket.h"
#include "lines.h"
#include "region.h"

/* Lines and buckets over the same memory, as table.c lays them out. */
struct memory {
    struct region buckets, lines;
    struct bucket_array array;
    struct lines line;
};

static void memory_open(struct memory *m, uint64_t capacity, unsigned workers)
{
    struct region_config buckets = {.bytes = (bucket_main_count(capacity) + bucket_overflow_count(capacity)) *
                                             LINE_BYTES,
                                    .numa_node = -1};
    struct region_config lines = {.bytes = lines_ordinary_count(capacity, workers) * LINE_BYTES,
                                  .numa_node = -1};
    memset(m, 0, sizeof *m);
    CU_ASSERT_EQUAL_FATAL(region_create(&m->buckets, &buckets), 0);
    CU_ASSERT_EQUAL_FATAL(region_create(&m->lines, &lines), 0);
    uint32_t bucket_end = (uint32_t)(m->buckets.bytes / LINE_BYTES),
             end = (uint32_t)(m->lines.bytes / LINE_BYTES);
    bucket_array_init(&m->array, (struct bucket *)m->buckets.start, capacity, bucket_end, bucket_end);
    lines_init(&m->line, (struct line *)m->lines.start, capacity, workers, end, end);
}

static void memory_close(struct memory *m)
{
    region_destroy(&m->buckets);
    region_destroy(&m->lines);
}

static void every_admitted_line_is_found_whatever_the_caches_hold(void)
{
    enum { CAPACITY = 100, CACHES = 3 };
    struct memory m;
    memory_open(&m, CAPACITY, CACHES);
    static struct line_cache cache[CACHES];
    static uint32_t held[CACHES][CAPACITY];
    static bool taken[CAPACITY + CACHES * LINE_CACHE_MAX + 1];
    unsigned count[CACHES] = {0};
    uint64_t seed = 5;
    memset(cache, 0, sizeof cache);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned worker = seeded_next(&seed) % CACHES, n = 1 + seeded_next(&seed) % ITEM_LINES_MAX;
        if (seeded_next(&seed) % 2) {
            bool fits = lines_used(&m.line) + n <= CAPACITY;
            CU_ASSERT_EQUAL_FATAL(lines_admit(&m.line, n), fits);
            if (!fits)
                continue;
            lines_take(&m.line, &cache[worker], &held[worker][count[worker]], n);
            for (unsigned k = 0; k < n; k++) {
                uint32_t line = held[worker][count[worker]++];
                CU_ASSERT_FATAL(line >= 1 && line < m.line.ordinary_end && !taken[line]);
                taken[line] = true;
            }
        } else {
            n = n < count[worker] ? n : count[worker];
            count[worker] -= n;
            for (unsigned k = 0; k < n; k++)
                taken[held[worker][count[worker] + k]] = false;
            lines_put(&m.line, &cache[worker], &held[worker][count[worker]], n);
            lines_release(&m.line, n);
        }
    }
    for (unsigned i = 0; i < CACHES; i++)
        lines_return_cache(&m.line, &cache[i]);
    memory_close(&m);
}

static unsigned chain_items(const struct bucket_array *array, const struct bucket *main, unsigned *buckets)
{
    unsigned items = 0;
    *buckets = 1;
    for (const struct bucket *b = main;; ++*buckets) {
        unsigned count = bucket_count(b);
        uint32_t next = bucket_next(b);
        items += count;
        if (next == 0)
            return items;
        CU_ASSERT_EQUAL(count, BUCKET_SLOTS); /* packed: only the last may have room */
        b = &array->bucket[next];
        CU_ASSERT(bucket_count(b) > 0);
    }
}

static void chains_stay_packed_and_give_empty_buckets_back(void)
{
    struct memory m;
    memory_open(&m, 400, 1);
    struct bucket *main = &m.array.bucket[3];
    uint64_t seed = 9;
    unsigned items = 0;
    for (unsigned i = 0; i < 50000; i++) {
        unsigned buckets;
        if (items < 400 && seeded_next(&seed) % 2) {
            chain_append(&m.array, main, 1 + seeded_next(&seed) % TAG_MASK, 1 + items);
            items++;
        } else if (items > 0) {
            unsigned at = seeded_next(&seed) % items;
            struct slot slot = {main, at % BUCKET_SLOTS};
            for (unsigned hops = at / BUCKET_SLOTS; hops > 0; hops--)
                slot.bucket = &m.array.bucket[bucket_next(slot.bucket)];
            chain_remove(&m.array, main, slot);
            items--;
        }
        CU_ASSERT_EQUAL_FATAL(chain_items(&m.array, main, &buckets), items);
        CU_ASSERT_EQUAL_FATAL(buckets - 1, atomic_load(&m.array.overflow_used));
        CU_ASSERT(buckets - 1 <= items / BUCKET_SLOTS);
    }
    memory_close(&m);
}

static void a_reference_bit_does_not_change_what_a_slot_holds(void)
{
    struct bucket bucket;
    memset(&bucket, 0, sizeof bucket);
    struct bucket_array array = {.bucket = &bucket};
    chain_append(&array, &bucket, 7, 70);
    chain_append(&array, &bucket, 9, 90);
    /* A late reader may mark an empty slot as well. */
    atomic_fetch_or(&bucket.tags[0], (uint64_t)TAG_REFERENCED << 16 | (uint64_t)TAG_REFERENCED << 32);
    CU_ASSERT_EQUAL(bucket_count(&bucket), 2);
    CU_ASSERT_EQUAL(bucket_match(&bucket, 9), 3 << 2);
    CU_ASSERT_EQUAL(bucket_line(&bucket, 1), 90);
    chain_remove(&array, &bucket, (struct slot){&bucket, 0});
    CU_ASSERT_EQUAL(bucket_count(&bucket), 1);
    CU_ASSERT_EQUAL(bucket_match(&bucket, 9), 3 << 0);
}

static void the_share_in_overflow_at_full_is_as_documented(void)
{
    double p = exp(-BUCKET_ITEMS_AT_FULL), overflowing = 1, excess = 0;
    for (unsigned k = 0; k < 60; k++) {
        if (k > 0)
            p *= (double)BUCKET_ITEMS_AT_FULL / k;
        if (k <= BUCKET_SLOTS)
            overflowing -= p;
        else
            excess += p * (k - BUCKET_SLOTS);
    }
    CU_ASSERT_DOUBLE_EQUAL(excess / BUCKET_ITEMS_AT_FULL, 0.024, 0.0006);
    CU_ASSERT_DOUBLE_EQUAL(overflowing, 0.068, 0.0006);
}

static void a_writer_excludes_others_and_is_seen_by_readers(void)
{
    struct bucket bucket;
    memset(&bucket, 0, sizeof bucket);
    uint32_t before = bucket_read_begin(&bucket);
    CU_ASSERT_TRUE(bucket_lock(&bucket));
    CU_ASSERT_FALSE(bucket_try_lock(&bucket));
    CU_ASSERT_FALSE(bucket_lock(&bucket)); /* bounded: it gives up */
    CU_ASSERT_FALSE(bucket_read_valid(&bucket, before));
    bucket_unlock(&bucket);
    CU_ASSERT_FALSE(bucket_read_valid(&bucket, before));
    CU_ASSERT_EQUAL(bucket_read_begin(&bucket) & 1, 0);
    CU_ASSERT_TRUE(bucket_try_lock(&bucket));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every admitted line is found", every_admitted_line_is_found_whatever_the_caches_hold},
        {"chains stay packed, give empty buckets back", chains_stay_packed_and_give_empty_buckets_back},
        {"a reference bit changes no slot", a_reference_bit_does_not_change_what_a_slot_holds},
        {"the overflow share at FULL is as documented", the_share_in_overflow_at_full_is_as_documented},
        {"a writer excludes others, readers see it", a_writer_excludes_others_and_is_seen_by_readers},
        CU_TEST_INFO_NULL,
    };
    return suite_run("bucket", tests);
}
