/*
 * clock.h - time for the lcores without a system call: the CPU's cycle counter, measured against
 * CLOCK_MONOTONIC_RAW (the advertised frequency is rounded), and the wall clock as an offset that the control
 * lcore refreshes.
 */
#ifndef WILD_CLOCK_H
#define WILD_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#include "instant.h"

struct clock {
    uint64_t base_cycles, base_ns;
    uint64_t ns_per_cycle_q32; /* 32.32 fixed point */
    /* Wall clock minus monotonic; writer: control lcore, readers: workers. */
    _Atomic int64_t wall_offset_ms;
};

/* Measures for about 20 ms. */
void clock_start(struct clock *clock);
void clock_refresh_wall(struct clock *clock);
struct instant clock_now(const struct clock *clock);

#endif
