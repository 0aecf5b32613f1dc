#include "histogram.h"

/* Values below 2^SUB_BITS have a bucket each; of larger ones the top SUB_BITS + 1 bits choose it. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < (1U << HISTOGRAM_SUB_BITS))
        return (unsigned)ns;
    unsigned octave = 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    if (octave >= HISTOGRAM_OCTAVES)
        return HISTOGRAM_BUCKETS - 1;
    return ((octave + 1) << HISTOGRAM_SUB_BITS) + (unsigned)(ns >> octave) - (1U << HISTOGRAM_SUB_BITS);
}

static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < (1U << HISTOGRAM_SUB_BITS))
        return bucket;
    unsigned octave = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t step = (bucket & ((1U << HISTOGRAM_SUB_BITS) - 1)) + (1U << HISTOGRAM_SUB_BITS);
    return ((step + 1) << octave) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t ns)
{
    histogram->count++;
    histogram->bucket[bucket_of(ns)]++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

void histogram_add(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille)
{
    uint64_t wanted = (histogram->count * per_mille + 999) / 1000, seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen >= wanted && seen > 0)
            return bucket_top(i) < histogram->max_ns && i < HISTOGRAM_BUCKETS - 1 ? bucket_top(i)
                                                                                  : histogram->max_ns;
    }
    return 0;
}
