/*
 * The simulator's checker of registers: it finds what cannot have been, and nothing else.
 */
#include <stdio.h>

#include "../sim/linear.h"
#include "suite.h"

enum { BRUTE_CALLS = 6, ROUNDS = 3000, LONG_CALLS = 300 };

#define SET(from, to, v)                                                                                     \
    ((struct linear_call){.invoked = (from), .returned = (to), .sets = true, .value = (v)})
#define LOST(from, v)                                                                                        \
    ((struct linear_call){                                                                                   \
        .invoked = (from), .returned = LINEAR_NEVER, .sets = true, .value = (v), .optional = true})
#define GET(from, to, v)                                                                                     \
    ((struct linear_call){.invoked = (from), .returned = (to), .need = LINEAR_IS, .expected = (v)})
#define EXISTS(from, to) ((struct linear_call){.invoked = (from), .returned = (to), .need = LINEAR_IS_NOT})
#define DELETE(from, to)                                                                                     \
    ((struct linear_call){.invoked = (from), .returned = (to), .need = LINEAR_IS_NOT, .sets = true})
#define ADD(from, to, v)                                                                                     \
    ((struct linear_call){.invoked = (from), .returned = (to), .need = LINEAR_IS, .sets = true, .value = (v)})
#define CHANGE(from, to, was, v)                                                                             \
    ((struct linear_call){.invoked = (from),                                                                 \
                          .returned = (to),                                                                  \
                          .need = LINEAR_IS,                                                                 \
                          .expected = (was),                                                                 \
                          .sets = true,                                                                      \
                          .value = (v)})

static enum linear_verdict check(struct linear_call *calls, unsigned count)
{
    uint64_t absent = 0;

    return linear_check(calls, count, &absent, 1);
}
#define CHECK_CALLS(...)                                                                                     \
    check((struct linear_call[]){__VA_ARGS__},                                                               \
          sizeof((struct linear_call[]){__VA_ARGS__}) / sizeof(struct linear_call))
#define IS_FINE(...)  CU_ASSERT_EQUAL(CHECK_CALLS(__VA_ARGS__), LINEAR_YES)
#define IS_WRONG(...) CU_ASSERT_EQUAL(CHECK_CALLS(__VA_ARGS__), LINEAR_NO)

static void what_was_acknowledged_is_read_from_then_on(void)
{
    IS_FINE(SET(1, 2, 7), GET(3, 4, 7));
    IS_WRONG(SET(1, 2, 7), GET(3, 4, 0));
    IS_WRONG(SET(1, 2, 7), SET(3, 4, 8), GET(5, 6, 7));
    IS_WRONG(GET(1, 2, 7), SET(3, 4, 7));
    IS_WRONG(GET(1, 2, 7));
}

static void calls_at_once_come_in_either_order(void)
{
    IS_FINE(SET(1, 9, 7), SET(2, 8, 8), GET(10, 11, 7));
    IS_FINE(SET(1, 9, 7), SET(2, 8, 8), GET(10, 11, 8));
    IS_FINE(SET(1, 9, 7), GET(2, 3, 7), GET(4, 5, 7));
    IS_FINE(SET(1, 9, 7), GET(2, 3, 0), GET(4, 5, 7));
    IS_WRONG(SET(1, 9, 7), GET(2, 3, 7), GET(4, 5, 0));
    IS_WRONG(SET(1, 9, 7), SET(1, 9, 8), GET(10, 11, 7), GET(12, 13, 8));
    IS_WRONG(SET(1, 9, 7), SET(1, 9, 8), GET(2, 3, 7), GET(4, 5, 8), GET(6, 7, 7));
}

static void what_was_not_answered_happens_late_or_never(void)
{
    IS_FINE(LOST(1, 7), GET(2, 3, 0), GET(4, 5, 0));
    IS_FINE(LOST(1, 7), GET(2, 3, 0), GET(4, 5, 7));
    IS_FINE(LOST(1, 7), SET(2, 3, 8), GET(4, 5, 8), GET(6, 7, 7));
    IS_WRONG(LOST(1, 7), GET(2, 3, 7), GET(4, 5, 0));
    IS_WRONG(GET(1, 2, 7), LOST(3, 7));
    IS_FINE(SET(1, 2, 6), LOST(3, 0), GET(4, 5, 6), GET(6, 7, 0));
}

static void conditions_hold_when_they_are_said_to(void)
{
    IS_FINE(ADD(1, 2, 7), EXISTS(3, 4), DELETE(5, 6), ADD(7, 8, 9), GET(9, 10, 9));
    IS_WRONG(SET(1, 2, 7), ADD(3, 4, 8));
    IS_WRONG(SET(1, 2, 7), DELETE(3, 4), DELETE(5, 6));
    IS_WRONG(EXISTS(1, 2));
    IS_FINE(SET(1, 2, 7), CHANGE(3, 4, 7, 8), GET(5, 6, 8));
    IS_WRONG(SET(1, 2, 7), CHANGE(3, 4, 7, 8), CHANGE(5, 6, 7, 9));
    /* One who was not answered may be why the second finds something. */
    IS_FINE(SET(1, 2, 7), LOST(1, 9), DELETE(3, 4), DELETE(5, 6));
    IS_WRONG(SET(1, 2, 7), LOST(1, 9), DELETE(3, 4), DELETE(5, 6), DELETE(7, 8));
}

static void it_begins_with_one_of_the_values_that_are_given(void)
{
    const uint64_t initial[] = {4, 5, 6};
    struct linear_call one[] = {GET(1, 2, 5), GET(3, 4, 5)}, two[] = {GET(1, 2, 5), GET(3, 4, 6)};
    struct linear_call none[] = {GET(1, 2, 0)}, some[] = {DELETE(1, 2), GET(3, 4, 0)};

    CU_ASSERT_EQUAL(linear_check(one, 2, initial, 3), LINEAR_YES);
    CU_ASSERT_EQUAL(linear_check(two, 2, initial, 3), LINEAR_NO);
    CU_ASSERT_EQUAL(linear_check(none, 1, initial, 3), LINEAR_NO);
    CU_ASSERT_EQUAL(linear_check(some, 2, initial, 3), LINEAR_YES);
}

/* Every order of every choice, one after the other. */
static bool some_order_works(const struct linear_call *calls, unsigned count, unsigned placed, uint64_t value)
{
    bool rest = false;

    for (unsigned i = 0; i < count; i++)
        rest |= !(placed >> i & 1) && !calls[i].optional;
    if (!rest)
        return true;
    for (unsigned i = 0; i < count; i++) {
        const struct linear_call *call = &calls[i];
        bool next = !(placed >> i & 1) &&
                    (call->need == LINEAR_ANY || (call->need == LINEAR_IS) == (call->expected == value));

        for (unsigned j = 0; j < count && next; j++)
            next = (placed >> j & 1) || calls[j].returned >= call->invoked;
        if (next && some_order_works(calls, count, placed | 1u << i, call->sets ? call->value : value))
            return true;
    }
    return false;
}

static struct linear_call any_call(uint64_t *random, uint64_t *next)
{
    uint64_t from = seeded_below(random, 12), to = from + seeded_below(random, 6),
             seen = seeded_below(random, 4);

    switch (seeded_below(random, 8)) {
    case 0:
    case 1:
        return GET(from, to, seen);
    case 2:
        return EXISTS(from, to);
    case 3:
        return DELETE(from, to);
    case 4:
        return ADD(from, to, ++*next);
    case 5:
        return LOST(from, seeded_below(random, 3) == 0 ? 0 : ++*next);
    case 6:
        return CHANGE(from, to, seen, ++*next);
    default:
        return SET(from, to, ++*next);
    }
}

static void it_says_what_trying_every_order_says(void)
{
    uint64_t random = seeded_start(seeded_from_environment(1));
    unsigned fine = 0, wrong = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct linear_call calls[BRUTE_CALLS];
        uint64_t next = 0;

        for (unsigned i = 0; i < BRUTE_CALLS; i++)
            calls[i] = any_call(&random, &next);
        bool works = some_order_works(calls, BRUTE_CALLS, 0, 0);
        CU_ASSERT_EQUAL_FATAL(check(calls, BRUTE_CALLS), works ? LINEAR_YES : LINEAR_NO);
        fine += works;
        wrong += !works;
    }
    CU_ASSERT(fine > ROUNDS / 20 && wrong > ROUNDS / 20);
}

/* A register that is one, seen by clients at once, some of whom get no answer; then one of their answers is made older. */
static void long_journals_are_judged(void)
{
    enum { CLIENTS = 4 };
    static struct linear_call calls[LONG_CALLS], changed[LONG_CALLS];
    uint64_t random = seeded_start(seeded_from_environment(1)), value = 0, before = 0, free_at[CLIENTS] = {0};
    unsigned last_read = 0, sets_since = 0;

    for (unsigned i = 0; i < LONG_CALLS; i++) {
        unsigned client = i % CLIENTS;
        uint64_t at = 10 * (i + 1), from = at - seeded_below(&random, 40),
                 to = at + seeded_below(&random, 40);

        from = from > free_at[client] && from < at ? from : free_at[client] < at ? free_at[client] + 1 : at;
        free_at[client] = to;
        if (seeded_below(&random, 2) == 0) {
            calls[i] = GET(from, to, value);
            last_read = sets_since >= 12 ? i : last_read;
            continue;
        }
        bool lost = seeded_below(&random, 6) == 0, happened = !lost || seeded_below(&random, 2) == 0;
        calls[i] = lost ? LOST(from, i + 1) : SET(from, to, i + 1);
        if (happened) {
            sets_since++;
            before = before == 0 ? i + 1 : before;
            value = i + 1;
        }
    }
    CU_ASSERT_FATAL(last_read != 0);
    memcpy(changed, calls, sizeof calls);
    changed[last_read].expected = before;
    CU_ASSERT_EQUAL(check(calls, LONG_CALLS), LINEAR_YES);
    CU_ASSERT_EQUAL(check(changed, LONG_CALLS), LINEAR_NO);
}

static void more_than_it_can_hold_is_not_said_to_be_fine(void)
{
    static struct linear_call calls[LINEAR_CALLS_MAX + 1];

    for (unsigned i = 0; i <= LINEAR_CALLS_MAX; i++)
        calls[i] = GET(i, i, 0);
    CU_ASSERT_EQUAL(check(calls, LINEAR_CALLS_MAX + 1), LINEAR_TOO_HARD);
    CU_ASSERT_EQUAL(check(calls, LINEAR_CALLS_MAX), LINEAR_YES);
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(what_was_acknowledged_is_read_from_then_on),
        TEST(calls_at_once_come_in_either_order),
        TEST(what_was_not_answered_happens_late_or_never),
        TEST(conditions_hold_when_they_are_said_to),
        TEST(it_begins_with_one_of_the_values_that_are_given),
        TEST(it_says_what_trying_every_order_says),
        TEST(long_journals_are_judged),
        TEST(more_than_it_can_hold_is_not_said_to_be_fine),
#undef TEST
        CU_TEST_INFO_NULL,
    };

    printf("WILD_SEED=%llu\n", (unsigned long long)seeded_from_environment(1));
    return suite_run("linear", tests);
}
