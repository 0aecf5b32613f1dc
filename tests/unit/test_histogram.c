/* test_histogram.c - the load test's latency histogram and its self-describing values. */
#include <stdlib.h>

#include "histogram.h"
#include "load_values.h"
#include "suite.h"

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_quantiles_are_within_one_part_in_64_of_the_true_ones(void)
{
    enum { VALUES = 20000 };
    static const unsigned per_mille[] = {0, 1, 10, 500, 900, 990, 999, 1000};
    uint64_t *values = malloc(VALUES * sizeof(*values)), random = 42;
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    for (unsigned i = 0; i < VALUES; i++) {
        values[i] = load_random(&random) >> (24 + load_random(&random) % 40); /* 0 .. 2^40 */
        histogram_record(histogram, values[i]);
    }
    qsort(values, VALUES, sizeof(*values), ascending);
    CU_ASSERT_EQUAL(histogram->max_ns, values[VALUES - 1]);
    for (size_t i = 0; i < sizeof(per_mille) / sizeof(per_mille[0]); i++) {
        unsigned rank = (VALUES * per_mille[i] + 999) / 1000;
        uint64_t exact = values[rank > 0 ? rank - 1 : 0], found = histogram_quantile(histogram, per_mille[i]);
        CU_ASSERT(found >= exact && found <= exact + exact / 64);
    }
    free(values);
    free(histogram);
}

static void test_the_empty_and_the_enormous_are_fine(void)
{
    struct histogram *a = calloc(2, sizeof(*a)), *b = a + 1;
    CU_ASSERT_EQUAL(histogram_quantile(a, 990), 0);
    histogram_record(a, UINT64_MAX);
    CU_ASSERT_EQUAL(histogram_quantile(a, 500), UINT64_MAX);
    histogram_record(b, 5);
    histogram_add(b, a);
    CU_ASSERT_EQUAL(b->count, 2);
    CU_ASSERT_EQUAL(histogram_quantile(b, 500), 5);
    CU_ASSERT_EQUAL(histogram_quantile(b, 1000), UINT64_MAX);
    free(a);
}

static void test_a_value_is_known_from_every_other(void)
{
    uint8_t value[1024];
    for (size_t size = 0; size <= sizeof(value); size += 93) {
        load_value_fill(value, size, 7, 3, 99);
        CU_ASSERT(load_value_is(value, size, size, 7, 3, 99));
        CU_ASSERT(!load_value_is(value, size, size + 1, 7, 3, 99));
        if (size == 0)
            continue;
        CU_ASSERT(!load_value_is(value, size, size, 8, 3, 99));
        CU_ASSERT(!load_value_is(value, size, size, 7, 4, 99));
        CU_ASSERT(!load_value_is(value, size, size, 7, 3, 98));
        for (size_t at = 0; at < size; at++) {
            value[at] ^= 0x10;
            CU_ASSERT(!load_value_is(value, size, size, 7, 3, 99));
            value[at] ^= 0x10;
        }
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"quantiles are within one part in 64 of the true ones",
         test_quantiles_are_within_one_part_in_64_of_the_true_ones},
        {"the empty and the enormous are fine", test_the_empty_and_the_enormous_are_fine},
        {"a value is known from every other", test_a_value_is_known_from_every_other},
        CU_TEST_INFO_NULL,
    };
    return suite_run("histogram", tests);
}
