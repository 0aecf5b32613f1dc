/*
 * durable_set.h - how a SET that waits for the disk is compared with what the disk takes by itself.
 */
#ifndef WILD_DURABLE_SET_H
#define WILD_DURABLE_SET_H

#include <stdio.h>

#include "bench_window.h"

/* raw, set: microseconds of `count` writes each; sorted afterwards. */
static inline void durable_set_print(const char *name, double *raw, double *set, unsigned count)
{
    double raw_p50 = bench_quantile(raw, count, 0.5), set_p50 = bench_quantile(set, count, 0.5);
    printf(
        "# pwrite and fdatasync: p10 %.0f p50 %.0f p90 %.0f us; durable SET: p10 %.0f p50 %.0f p90 %.0f us\n",
        bench_quantile(raw, count, 0.1), raw_p50, bench_quantile(raw, count, 0.9),
        bench_quantile(set, count, 0.1), set_p50, bench_quantile(set, count, 0.9));
    bench_print(name, set_p50 / raw_p50, 1.5);
}

#endif
