/*
 * tcp_script_suite.c - the main() of a file of scripts.
 */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcp_script.h"
#include "test_eal.h"

enum { REPORT_BYTES = 70000 };

/* What the test functions, which CUnit calls without arguments, look their script up in. */
static struct {
    const struct tcp_script *scripts;
    size_t count;
    bool check;
} suite;

static void play_current(void)
{
    const char *name = CU_get_current_test()->pName;
    char *report = malloc(REPORT_BYTES);
    for (size_t i = 0; i < suite.count; i++) {
        if (strcmp(suite.scripts[i].name, name) != 0)
            continue;
        bool good = suite.check ? tcp_script_check(&suite.scripts[i], report, REPORT_BYTES)
                                : tcp_script_play(&suite.scripts[i], report, REPORT_BYTES);
        if (!good)
            printf("\n%s", report);
        CU_ASSERT_TRUE(good);
        free(report);
        return;
    }
    free(report);
    CU_FAIL("no such script");
}

static bool wanted(const char *name, int argc, char **argv)
{
    bool named = false;
    for (int i = 1; i < argc; i++) {
        named |= argv[i][0] != '-';
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return !named;
}

int tcp_script_suite(const char *name, const struct tcp_script *scripts, size_t count, int argc, char **argv)
{
    suite.scripts = scripts;
    suite.count = count;
    for (int i = 1; i < argc; i++)
        suite.check |= strcmp(argv[i], "--check") == 0;
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite cunit = CU_add_suite(name, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        if (wanted(scripts[i].name, argc, argv) &&
            CU_add_test(cunit, scripts[i].name, play_current) == NULL) {
            fprintf(stderr, "two scripts are called %s\n", scripts[i].name);
            return 1;
        }
    }
    if (!suite.check)
        test_eal_start();
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    int failed = CU_get_number_of_tests_failed() != 0 || CU_get_number_of_asserts() == 0;
    CU_cleanup_registry();
    return failed;
}
