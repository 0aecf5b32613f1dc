/*
 * bench_window.h - measuring on a machine that others use too: short windows, in turn for each contender, and
 * medians of what they say.
 */
#ifndef WILD_BENCH_WINDOW_H
#define WILD_BENCH_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BENCH_WINDOWS_MAX = 256 };

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts `values`. fraction 0.5: the median. */
static inline double bench_quantile(double *values, unsigned count, double fraction)
{
    qsort(values, count, sizeof *values, bench_compare);
    return values[(unsigned)(fraction * (count - 1) + 0.5)];
}

/* The line that tests/run reads. */
static inline void bench_line(const char *name, double value, double bar, bool pass)
{
    printf("bench %s %.3f bar %.2f %s\n", name, value, bar, pass ? "pass" : "short");
    fflush(stdout);
}

/* A cost: smaller is better. */
static inline void bench_print(const char *name, double value, double bar)
{
    bench_line(name, value, bar, value <= bar);
}

/* A rate: more is better. */
static inline void bench_print_rate(const char *name, double value, double bar)
{
    bench_line(name, value, bar, value >= bar);
}

#endif
