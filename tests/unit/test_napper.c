/*
 * test_napper.c - how long idle loops rest.
 */
#include "napper.h"
#include "suite.h"

enum { LONGEST_NS = 50 * 1000, TURN_NS = 1000 };

/* Idle turns up to the longest nap; returns how many of them there were. */
static unsigned fall_asleep(struct napper *napper, uint64_t *now_ns)
{
    unsigned turns = 0;
    uint32_t nap_ns;

    do {
        nap_ns = napper_turn(napper, false, *now_ns);
        *now_ns += TURN_NS + nap_ns;
    } while (nap_ns < LONGEST_NS && ++turns < 1000);
    return turns;
}

static void a_loop_that_was_never_busy_falls_asleep(void)
{
    struct napper napper;
    uint64_t now_ns = 1;

    napper_init(&napper, LONGEST_NS);
    CU_ASSERT(fall_asleep(&napper, &now_ns) < 100);
}

static void a_busy_loop_never_sleeps_and_spins_before_its_first_nap(void)
{
    struct napper napper;
    uint64_t now_ns = 1, idle_ns;

    napper_init(&napper, LONGEST_NS);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10; i++, now_ns += TURN_NS)
            CU_ASSERT_EQUAL(napper_turn(&napper, true, now_ns), 0);
        for (idle_ns = now_ns; now_ns - idle_ns < NAPPER_SPIN_NS; now_ns += TURN_NS)
            CU_ASSERT_EQUAL(napper_turn(&napper, false, now_ns), 0);
        CU_ASSERT_EQUAL(napper_turn(&napper, false, now_ns), NAPPER_FIRST_NS);
        fall_asleep(&napper, &now_ns);
    }
}

static void naps_double_up_to_the_longest_and_no_further(void)
{
    struct napper napper;
    uint64_t now_ns = 1;
    uint32_t wanted = NAPPER_FIRST_NS;

    napper_init(&napper, LONGEST_NS);
    napper_turn(&napper, false, now_ns);
    now_ns += NAPPER_SPIN_NS;
    for (int i = 0; i < 12; i++) {
        CU_ASSERT_EQUAL(napper_turn(&napper, false, now_ns), wanted);
        wanted = wanted * 2 < LONGEST_NS ? wanted * 2 : LONGEST_NS;
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a loop that was never busy falls asleep", a_loop_that_was_never_busy_falls_asleep},
        {"a busy loop never sleeps, and spins before its first nap",
         a_busy_loop_never_sleeps_and_spins_before_its_first_nap},
        {"naps double up to the longest and no further", naps_double_up_to_the_longest_and_no_further},
        CU_TEST_INFO_NULL,
    };

    return suite_run("napper", tests);
}
