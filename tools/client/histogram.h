/*
 * histogram.h - latencies in bounded memory: buckets that are linear within an octave, octaves that double.
 * Every value is known to 1/64 of itself; recording is a few instructions.
 */
#ifndef WILD_HISTOGRAM_H
#define WILD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_OCTAVES = 34, /* up to 2^40 ns = 18 minutes; above counts as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_OCTAVES + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count, max_ns;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *histogram, uint64_t ns);
void histogram_add(struct histogram *into, const struct histogram *from);
/* The least value that `per_mille` thousandths of all values do not exceed, to the resolution (never below
 * the true one, never above the maximum). 0 when nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille);

#endif
