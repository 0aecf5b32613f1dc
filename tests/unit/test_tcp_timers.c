/*
 * test_tcp_timers.c - the timer wheel against a list that is searched: the same entries fire, none early,
 * none more than a tick and a call late.
 */
#include "tcp/tcp_timers.h"

#include <stdio.h>

#include "seeded.h"
#include "suite.h"

#define TICK_NS (UINT64_C(1) << TIMER_TICK_SHIFT)
#define HOUR_NS (UINT64_C(3600) * 1000000000)

static bool fires_alone(struct tcp_timers *timers, const struct tcp_timer_entry *entry, uint64_t now_ns)
{
    return tcp_timers_next(timers, now_ns) == entry && tcp_timers_next(timers, now_ns) == NULL;
}

static void an_entry_fires_after_its_time_and_only_once(void)
{
    struct tcp_timers timers;
    struct tcp_timer_entry entry = {0};
    tcp_timers_init(&timers, 12345);
    CU_ASSERT_EQUAL(tcp_timers_earliest(&timers), UINT64_MAX);
    tcp_timers_arm(&timers, &entry, 10 * TICK_NS + 5);
    CU_ASSERT_PTR_NULL(tcp_timers_next(&timers, 10 * TICK_NS + 4));
    CU_ASSERT_PTR_NULL(tcp_timers_next(&timers, 11 * TICK_NS - 1));
    CU_ASSERT(fires_alone(&timers, &entry, 11 * TICK_NS));
    CU_ASSERT_EQUAL(entry.at_ns, UINT64_MAX);
    CU_ASSERT_PTR_NULL(entry.link);
    CU_ASSERT_EQUAL(tcp_timers_earliest(&timers), UINT64_MAX);
}

static void an_entry_in_the_past_fires_with_the_next_tick(void)
{
    struct tcp_timers timers;
    struct tcp_timer_entry entry = {0};
    tcp_timers_init(&timers, 100 * TICK_NS);
    tcp_timers_arm(&timers, &entry, 1);
    CU_ASSERT_PTR_NULL(tcp_timers_next(&timers, 100 * TICK_NS));
    CU_ASSERT(fires_alone(&timers, &entry, 101 * TICK_NS));
}

static void moving_and_cancelling_leave_nothing_behind(void)
{
    struct tcp_timers timers;
    struct tcp_timer_entry entry = {0}, other = {0};
    tcp_timers_init(&timers, 0);
    tcp_timers_arm(&timers, &entry, 5 * TICK_NS);
    tcp_timers_arm(&timers, &other, 5 * TICK_NS);
    tcp_timers_arm(&timers, &entry, 500 * TICK_NS);
    CU_ASSERT(fires_alone(&timers, &other, 6 * TICK_NS));
    tcp_timers_cancel(&timers, &entry);
    tcp_timers_cancel(&timers, &entry);
    CU_ASSERT_EQUAL(entry.at_ns, UINT64_MAX);
    CU_ASSERT_EQUAL(tcp_timers_earliest(&timers), UINT64_MAX);
    CU_ASSERT_PTR_NULL(tcp_timers_next(&timers, HOUR_NS));
}

static void every_level_fires_on_time(void)
{
    /* around each level's borders, started at an odd tick so that slots wrap */
    static const uint64_t ticks[] = {0,      1,        62,       63,       64,       65,
                                     4094,   4095,     4096,     4097,     262143,   262144,
                                     262145, 16777214, 16777215, 16777216, 16777217, 40000000};
    for (uint64_t start = 0; start < 130; start += 43) {
        for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++) {
            struct tcp_timers timers;
            struct tcp_timer_entry entry = {0};
            tcp_timers_init(&timers, start * TICK_NS);
            uint64_t due = start + ticks[i];
            tcp_timers_arm(&timers, &entry, due * TICK_NS);
            CU_ASSERT_PTR_NULL(tcp_timers_next(&timers, (due + 1) * TICK_NS - 1));
            CU_ASSERT(fires_alone(&timers, &entry, (due + 1) * TICK_NS));
        }
    }
}

static void waiting_for_earliest_arrives_in_few_steps(void)
{
    struct tcp_timers timers;
    struct tcp_timer_entry entry = {0};
    tcp_timers_init(&timers, 77 * TICK_NS);
    tcp_timers_arm(&timers, &entry, 30 * HOUR_NS); /* beyond the wheel: it waits in the last slot */
    uint64_t now_ns = 77 * TICK_NS;
    unsigned steps = 0;
    while (tcp_timers_next(&timers, now_ns) == NULL && steps < 100) {
        uint64_t next_ns = tcp_timers_earliest(&timers);
        CU_ASSERT_FATAL(next_ns > now_ns);
        now_ns = next_ns;
        steps++;
    }
    CU_ASSERT(now_ns >= 30 * HOUR_NS && now_ns <= 30 * HOUR_NS + 2 * TICK_NS);
    CU_ASSERT(steps < 20);
}

static void many_at_once_are_served_in_portions(void)
{
    enum { MANY = 10 * TIMER_MOVES_MAX };
    static struct tcp_timer_entry entries[MANY];
    struct tcp_timers timers;
    tcp_timers_init(&timers, 0);
    memset(entries, 0, sizeof entries);
    for (unsigned i = 0; i < MANY; i++)
        tcp_timers_arm(&timers, &entries[i], 5000 * TICK_NS + i);
    uint64_t now_ns = 5002 * TICK_NS;
    unsigned fired = 0, calls_without = 0;
    while (fired < MANY && calls_without < 100) {
        CU_ASSERT(tcp_timers_earliest(&timers) <= now_ns);
        if (calls_without == 3) { /* one that is on its way is cancelled, another put off */
            tcp_timers_cancel(&timers, &entries[MANY - 1]);
            tcp_timers_arm(&timers, &entries[0], 9000 * TICK_NS);
            fired += 2;
        }
        if (tcp_timers_next(&timers, now_ns) != NULL)
            fired++;
        else
            calls_without++;
    }
    CU_ASSERT_EQUAL(fired, MANY);
    CU_ASSERT(calls_without >= 2 * MANY / TIMER_MOVES_MAX - 3); /* two levels */
    CU_ASSERT_PTR_NULL(tcp_timers_next(&timers, now_ns));
    CU_ASSERT(tcp_timers_earliest(&timers) > now_ns);
    CU_ASSERT(fires_alone(&timers, &entries[0], 9001 * TICK_NS));
}

enum { ENTRIES = 300, STEPS = 4000 };

struct model {
    struct tcp_timers timers;
    struct tcp_timer_entry entry[ENTRIES];
    uint64_t at_ns[ENTRIES]; /* UINT64_MAX: off */
    uint64_t now_ns;
};

static uint64_t random_delay_ns(uint64_t *random)
{
    unsigned bits = 10 + (unsigned)seeded_below(random, 36); /* 1 us to 19 h, each magnitude as often */
    return seeded_next(random) & ((UINT64_C(1) << bits) - 1);
}

/* Takes what the wheel says is due and compares with the list. */
static void model_fire(struct model *model, uint64_t *random)
{
    do {
        struct tcp_timer_entry *entry = tcp_timers_next(&model->timers, model->now_ns);
        if (entry == NULL)
            continue; /* or there was enough for one call */
        size_t i = (size_t)(entry - model->entry);
        CU_ASSERT_FATAL(i < ENTRIES);
        CU_ASSERT_FATAL(model->at_ns[i] <= model->now_ns);
        model->at_ns[i] = UINT64_MAX;
        if (seeded_below(random, 3) == 0) { /* as owners do, from where they are called */
            model->at_ns[i] = model->now_ns + random_delay_ns(random);
            tcp_timers_arm(&model->timers, entry, model->at_ns[i]);
        }
    } while (tcp_timers_earliest(&model->timers) <= model->now_ns);
    uint64_t earliest_ns = tcp_timers_earliest(&model->timers);
    for (size_t i = 0; i < ENTRIES; i++) {
        CU_ASSERT_FATAL(model->at_ns[i] == UINT64_MAX ||
                        (model->at_ns[i] | (TICK_NS - 1)) >= (model->now_ns & ~(TICK_NS - 1)));
        CU_ASSERT_FATAL(model->at_ns[i] == UINT64_MAX || earliest_ns <= model->at_ns[i] + TICK_NS);
        CU_ASSERT_FATAL((model->at_ns[i] == UINT64_MAX) == (model->entry[i].link == NULL));
    }
    CU_ASSERT_FATAL(earliest_ns > model->now_ns);
}

static void the_wheel_fires_what_a_searched_list_would(void)
{
    uint64_t seed = seeded_from_environment(1);
    printf("seed %llu ", (unsigned long long)seed);
    uint64_t random = seeded_start(seed);
    static struct model model;
    memset(&model, 0, sizeof model);
    model.now_ns = random_delay_ns(&random);
    tcp_timers_init(&model.timers, model.now_ns);
    for (size_t i = 0; i < ENTRIES; i++)
        model.at_ns[i] = UINT64_MAX;
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = seeded_below(&random, ENTRIES);
        switch (seeded_below(&random, 4)) {
        case 0:
        case 1:
            model.at_ns[i] = model.now_ns + random_delay_ns(&random);
            tcp_timers_arm(&model.timers, &model.entry[i], model.at_ns[i]);
            break;
        case 2:
            model.at_ns[i] = UINT64_MAX;
            tcp_timers_cancel(&model.timers, &model.entry[i]);
            break;
        default:
            model.now_ns += random_delay_ns(&random) >> 2;
            model_fire(&model, &random);
            break;
        }
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"an entry fires after its time, and only once", an_entry_fires_after_its_time_and_only_once},
        {"an entry in the past fires with the next tick", an_entry_in_the_past_fires_with_the_next_tick},
        {"moving and cancelling leave nothing behind", moving_and_cancelling_leave_nothing_behind},
        {"every level fires on time", every_level_fires_on_time},
        {"waiting for the earliest arrives in few steps", waiting_for_earliest_arrives_in_few_steps},
        {"many at once are served in portions", many_at_once_are_served_in_portions},
        {"the wheel fires what a searched list would", the_wheel_fires_what_a_searched_list_would},
        CU_TEST_INFO_NULL,
    };
    return suite_run("tcp timers", tests);
}
