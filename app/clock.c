#include "clock.h"

#include <time.h>

#include <rte_cycles.h>

enum { CALIBRATION_NS = 20 * 1000 * 1000 };

static uint64_t system_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A pair of readings whose gap is the smallest of a few tries: the thread was not interrupted between. */
static void read_pair(uint64_t *cycles, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 8; i++) {
        uint64_t before = rte_rdtsc_precise(), middle = system_ns(CLOCK_MONOTONIC_RAW), after = rte_rdtsc();

        if (after - before < best) {
            best = after - before;
            *cycles = before + best / 2;
            *ns = middle;
        }
    }
}

void clock_start(struct clock *clock)
{
    uint64_t cycles = 0, ns = 0;
    struct timespec wait = {.tv_nsec = CALIBRATION_NS};

    read_pair(&clock->base_cycles, &clock->base_ns);
    nanosleep(&wait, NULL);
    read_pair(&cycles, &ns);
    clock->ns_per_cycle_q32 =
        (uint64_t)(((unsigned __int128)(ns - clock->base_ns) << 32) / (cycles - clock->base_cycles));
    clock_refresh_wall(clock);
}

static uint64_t mono_ns(const struct clock *clock)
{
    return clock->base_ns +
           (uint64_t)(((unsigned __int128)(rte_rdtsc() - clock->base_cycles) * clock->ns_per_cycle_q32) >>
                      32);
}

void clock_refresh_wall(struct clock *clock)
{
    int64_t wall_ms = (int64_t)(system_ns(CLOCK_REALTIME) / 1000000);

    atomic_store_explicit(&clock->wall_offset_ms, wall_ms - (int64_t)(mono_ns(clock) / 1000000),
                          memory_order_relaxed);
}

struct instant clock_now(const struct clock *clock)
{
    uint64_t ns = mono_ns(clock);
    int64_t offset_ms = atomic_load_explicit(&clock->wall_offset_ms, memory_order_relaxed);

    return (struct instant){.mono_ns = ns, .wall_ms = (uint64_t)((int64_t)(ns / 1000000) + offset_ms)};
}
