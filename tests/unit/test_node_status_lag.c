/* test_node_status_lag.c - changes are counted across histories, between which there is nothing. */
#include "node_status_lag.h"

#include "suite.h"

#define AT(history, n) (((uint64_t)(history) << 32) + (n))

/* Three: the first lost what it had above 7; the second took nothing; the third goes on. */
static const struct meta three = {
    .count = 3,
    .history = {{.id = 1, .first_lsn = AT(1, 0)},
                {.id = 2, .first_lsn = AT(2, 0), .before_lsn = AT(1, 7)},
                {.id = 3, .first_lsn = AT(3, 0), .before_lsn = AT(1, 7)}},
};

static void within_a_history_it_is_the_difference(void)
{
    CU_ASSERT_EQUAL(changes_between(&three, AT(3, 4), AT(3, 9)), 5);
    CU_ASSERT_EQUAL(changes_between(&three, AT(3, 9), AT(3, 9)), 0);
    CU_ASSERT_EQUAL(changes_between(&three, AT(3, 9), AT(3, 4)), 0);
    CU_ASSERT_EQUAL(changes_between(&three, AT(1, 2), AT(1, 5)), 3);
}

static void across_histories_what_lies_between_does_not_count(void)
{
    CU_ASSERT_EQUAL(changes_between(&three, AT(1, 7), AT(3, 0)), 1);
    CU_ASSERT_EQUAL(changes_between(&three, AT(1, 5), AT(3, 4)), 2 + 5);
    /* Nothing was written since: where the next one begins is no change. */
    CU_ASSERT_EQUAL(changes_between(&three, AT(1, 7), AT(3, 0) - 1), 0);
    CU_ASSERT_EQUAL(changes_between(&three, AT(1, 5), AT(3, 0) - 1), 2);
    CU_ASSERT_EQUAL(changes_between(&three, AT(3, 0) - 1, AT(3, 2)), 3);
}

static void without_histories_it_is_the_difference(void)
{
    CU_ASSERT_EQUAL(changes_between(NULL, 5, 9), 4);
    CU_ASSERT_EQUAL(changes_between(NULL, 9, 5), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(within_a_history_it_is_the_difference),
        TEST(across_histories_what_lies_between_does_not_count),
        TEST(without_histories_it_is_the_difference),
        CU_TEST_INFO_NULL,
    };
    return suite_run("node status lag", tests);
}
