/*
 * suite.h - the main() that every unit test shares: a table of named tests, run by CUnit; exit status 1 when
 * anything failed or nothing ran. Also a small seeded generator, for tests that need reproducible "random".
 */
#ifndef WILD_TESTS_SUITE_H
#define WILD_TESTS_SUITE_H

#include <CUnit/Basic.h>
#include <stdint.h>
#include <string.h>

#include "random.h"

/* `tests` ends in CU_TEST_INFO_NULL. */
static inline int suite_run(const char *name, CU_TestInfo *tests)
{
    CU_SuiteInfo suites[] = {{.pName = name, .pTests = tests}, CU_SUITE_INFO_NULL};
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int failed = CU_get_number_of_tests_failed() != 0 || CU_get_number_of_asserts() == 0;
    CU_cleanup_registry();
    return failed;
}

/* xorshift64*, as a random source: the same bytes in every run. The state must not be zero. */
static inline uint64_t seeded_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline void seeded_fill(void *state, void *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)(seeded_next(state) >> 56);
}

static inline struct random_source seeded_source(uint64_t *state)
{
    return (struct random_source){.fill = seeded_fill, .state = state};
}

#endif
