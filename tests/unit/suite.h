/*
 * suite.h - the main() that every unit test shares: a table of named tests, run by CUnit; exit status 1 when
 * anything failed or nothing ran. */
#ifndef WILD_TESTS_SUITE_H
#define WILD_TESTS_SUITE_H

#include <CUnit/Basic.h>
#include <stdint.h>
#include <string.h>

#include "seeded.h"

/* `tests` ends in CU_TEST_INFO_NULL; set_up and tear_down run around each test, NULL: nothing to do. */
static inline int suite_run_each(const char *name, CU_SetUpFunc set_up, CU_TearDownFunc tear_down,
                                 CU_TestInfo *tests)
{
    CU_SuiteInfo suites[] = {
        {.pName = name, .pSetUpFunc = set_up, .pTearDownFunc = tear_down, .pTests = tests},
        CU_SUITE_INFO_NULL};
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int failed = CU_get_number_of_tests_failed() != 0 || CU_get_number_of_asserts() == 0;
    CU_cleanup_registry();
    return failed;
}

static inline int suite_run(const char *name, CU_TestInfo *tests)
{
    return suite_run_each(name, NULL, NULL, tests);
}

#endif
