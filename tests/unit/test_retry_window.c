/* test_retry_window.c - the window against a plain model that remembers every id. */
#include "service/retry_window.h"
#include "suite.h"

static struct retry_outcome outcome_of(uint64_t id)
{
    return (struct retry_outcome){.status = STATUS_OK, .version = id * 3, .integer = -(int64_t)id};
}

static void record(struct retry_window *window, uint64_t id)
{
    struct retry_outcome outcome = outcome_of(id);
    retry_window_record(window, id, &outcome);
}

static bool repeats(const struct retry_window *window, uint64_t id)
{
    struct retry_outcome outcome, expected = outcome_of(id);
    return retry_window_check(window, id, &outcome) == RETRY_REPEATED && outcome.status == expected.status &&
           outcome.version == expected.version && outcome.integer == expected.integer;
}

static enum retry_verdict verdict(const struct retry_window *window, uint64_t id)
{
    struct retry_outcome outcome;
    return retry_window_check(window, id, &outcome);
}

static void test_a_fresh_window_knows_no_id(void)
{
    struct retry_window window = {0};
    CU_ASSERT_EQUAL(verdict(&window, 0), RETRY_NEW);
    CU_ASSERT_EQUAL(verdict(&window, 1), RETRY_NEW);
    CU_ASSERT_EQUAL(verdict(&window, UINT64_MAX), RETRY_NEW);
}

static void test_a_recorded_outcome_is_repeated_whole(void)
{
    struct retry_window window = {0};
    struct retry_outcome outcome = {.status = STATUS_EXISTS, .version = UINT64_MAX, .integer = INT64_MIN},
                         got;
    retry_window_record(&window, 0, &outcome);
    CU_ASSERT_EQUAL(retry_window_check(&window, 0, &got), RETRY_REPEATED);
    CU_ASSERT_EQUAL(got.status, STATUS_EXISTS);
    CU_ASSERT_EQUAL(got.version, UINT64_MAX);
    CU_ASSERT_EQUAL(got.integer, INT64_MIN);
}

static void test_exactly_the_last_256_ids_are_in_the_window(void)
{
    struct retry_window window = {0};
    for (uint64_t id = 1; id <= 1000; id++)
        record(&window, id);
    CU_ASSERT_EQUAL(verdict(&window, 1000 - RETRY_WINDOW_IDS), RETRY_TOO_OLD);
    CU_ASSERT(repeats(&window, 1000 - RETRY_WINDOW_IDS + 1));
    CU_ASSERT(repeats(&window, 1000));
    CU_ASSERT_EQUAL(verdict(&window, 1001), RETRY_NEW);
    CU_ASSERT_EQUAL(verdict(&window, 0), RETRY_TOO_OLD);
}

static void test_ids_that_were_passed_over_are_new_when_they_come_late(void)
{
    struct retry_window window = {0};
    record(&window, 10);
    record(&window, 100);
    CU_ASSERT_EQUAL(verdict(&window, 50), RETRY_NEW);
    record(&window, 50);
    CU_ASSERT(repeats(&window, 50));
    CU_ASSERT(repeats(&window, 10));
    CU_ASSERT(repeats(&window, 100));
}

static void test_a_jump_forgets_everything_before_it(void)
{
    struct retry_window window = {0};
    for (uint64_t id = 1; id <= 256; id++)
        record(&window, id);
    record(&window, UINT64_MAX);
    CU_ASSERT(repeats(&window, UINT64_MAX));
    CU_ASSERT_EQUAL(verdict(&window, UINT64_MAX - 1), RETRY_NEW);
    CU_ASSERT_EQUAL(verdict(&window, UINT64_MAX - 255), RETRY_NEW);
    CU_ASSERT_EQUAL(verdict(&window, UINT64_MAX - 256), RETRY_TOO_OLD);
    CU_ASSERT_EQUAL(verdict(&window, 256), RETRY_TOO_OLD);
}

static void test_what_was_not_tried_is_not_recorded_and_does_not_move_the_window(void)
{
    static const enum status not_tried[] = {
        STATUS_TOO_LARGE, STATUS_NOT_PRIMARY, STATUS_STALE, STATUS_LOST,        STATUS_BUSY,
        STATUS_READ_ONLY, STATUS_TIMEOUT,     STATUS_MORE,  STATUS_BAD_REQUEST, STATUS_AUTH};
    struct retry_window window = {0};
    record(&window, 1);
    for (unsigned i = 0; i < sizeof(not_tried) / sizeof(not_tried[0]); i++) {
        retry_window_record(&window, 5000, &(struct retry_outcome){.status = not_tried[i]});
        CU_ASSERT_EQUAL(verdict(&window, 5000), RETRY_NEW);
    }
    CU_ASSERT(repeats(&window, 1));
}

static void test_every_outcome_that_the_table_decides_is_recorded(void)
{
    static const enum status decided[] = {STATUS_OK,     STATUS_NOT_FOUND,
                                          STATUS_EXISTS, STATUS_VERSION_MISMATCH,
                                          STATUS_FULL,   STATUS_NOT_A_NUMBER};
    struct retry_window window = {0};
    for (unsigned i = 0; i < sizeof(decided) / sizeof(decided[0]); i++) {
        struct retry_outcome got;
        retry_window_record(&window, i, &(struct retry_outcome){.status = decided[i]});
        CU_ASSERT_EQUAL(retry_window_check(&window, i, &got), RETRY_REPEATED);
        CU_ASSERT_EQUAL(got.status, decided[i]);
    }
}

static void test_a_reset_window_is_as_good_as_new(void)
{
    struct retry_window window = {0};
    for (uint64_t id = 1; id <= 600; id++)
        record(&window, id);
    retry_window_reset(&window);
    for (uint64_t id = 0; id <= 600; id++)
        CU_ASSERT_EQUAL(verdict(&window, id), RETRY_NEW);
}

/* Random ids around a moving centre; the model is an array of all ids ever recorded. */
static void test_it_agrees_with_a_model_over_random_ids(void)
{
    enum { IDS = 20000 };
    static bool recorded[IDS + 700];
    uint64_t seed = seeded_from_environment(11), random = seeded_start(seed), highest = 0;
    printf("seed %llu ", (unsigned long long)seed);
    struct retry_window window = {0};
    for (uint64_t step = 0; step < IDS; step++) {
        uint64_t centre = step, id = centre + seeded_below(&random, 600);
        id = id > 300 ? id - 300 : 0;
        enum retry_verdict expected = id > highest                       ? RETRY_NEW
                                      : highest - id >= RETRY_WINDOW_IDS ? RETRY_TOO_OLD
                                      : recorded[id]                     ? RETRY_REPEATED
                                                                         : RETRY_NEW;
        enum retry_verdict got = verdict(&window, id);
        CU_ASSERT_EQUAL_FATAL(got, expected);
        if (got == RETRY_REPEATED)
            CU_ASSERT_FATAL(repeats(&window, id));
        if (got == RETRY_NEW && seeded_below(&random, 4) != 0) {
            record(&window, id);
            recorded[id] = true;
            highest = id > highest ? id : highest;
        }
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a fresh window knows no id", test_a_fresh_window_knows_no_id},
        {"a recorded outcome is repeated whole", test_a_recorded_outcome_is_repeated_whole},
        {"exactly the last 256 ids are in the window", test_exactly_the_last_256_ids_are_in_the_window},
        {"ids passed over are new when they come late",
         test_ids_that_were_passed_over_are_new_when_they_come_late},
        {"a jump forgets everything before it", test_a_jump_forgets_everything_before_it},
        {"what was not tried is not recorded",
         test_what_was_not_tried_is_not_recorded_and_does_not_move_the_window},
        {"every outcome that the table decides is recorded",
         test_every_outcome_that_the_table_decides_is_recorded},
        {"a reset window is as good as new", test_a_reset_window_is_as_good_as_new},
        {"it agrees with a model over random ids", test_it_agrees_with_a_model_over_random_ids},
        CU_TEST_INFO_NULL,
    };
    return suite_run("retry window", tests);
}
