/*
 * probe.c - the first steps of a burst's look-ups: hashes, eight at a time where the keys allow it, buckets,
 * candidate lines.
 */
#include <rte_prefetch.h>

#include "read_inline.h"
#include "siphash13_lanes.h"

/* One word of each of eight keys, all of them at the same offset. */
SIPHASH_INLINE void gather(const struct table_probe *p, size_t at, struct siphash13_words *out)
{
    for (unsigned h = 0; h < 2; h++)
        out->word[h] = (siphash_lanes64){load_8(p[4 * h].key + at), load_8(p[4 * h + 1].key + at),
                                         load_8(p[4 * h + 2].key + at), load_8(p[4 * h + 3].key + at)};
}

SIPHASH_INLINE void gather_last(const struct table_probe *p, struct siphash13_words *out)
{
    uint64_t last[SIPHASH13_LANES];
    for (unsigned i = 0; i < SIPHASH13_LANES; i++)
        last[i] = siphash_last_word(p[i].key, p[i].key_length);
    memcpy(out->word, last, sizeof last);
}

/* Eight keys of `words` whole words and a rest. whole: all have this length, so that there is no rest. */
SIPHASH_INLINE void hash_eight(const struct table *table, struct table_probe *p, size_t words, bool whole)
{
    struct siphash13_lanes s;
    struct siphash13_words word;
    uint64_t hash[SIPHASH13_LANES];
    siphash13_lanes_start(&s, &table->hash_start);
    for (size_t i = 0; i < words; i++) {
        gather(p, 8 * i, &word);
        siphash13_lanes_absorb(&s, &word);
    }
    if (whole) {
        uint64_t last = (uint64_t)words << 59; /* the length, in the top byte */
        for (unsigned h = 0; h < 2; h++)
            word.word[h] = (siphash_lanes64){last, last, last, last};
    } else {
        gather_last(p, &word);
    }
    siphash13_lanes_absorb(&s, &word);
    siphash13_lanes_finish(&s, hash);
    struct bucket *bucket = table->buckets.bucket;
    uint64_t bucket_count = table->buckets.main_count;
    for (unsigned i = 0; i < SIPHASH13_LANES; i++) {
        p[i].hash = hash[i];
        p[i].bucket = bucket_of(bucket, bucket_count, hash[i]);
        rte_prefetch0(p[i].bucket);
    }
}

static __attribute__((noinline)) void hash_one(const struct table *table, struct table_probe *probe)
{
    probe->hash = table_hash(table, probe->key, probe->key_length);
    probe->bucket = table_bucket(table, probe->hash);
    rte_prefetch0(probe->bucket);
}

/* The lanes serve eight keys with equal numbers of whole words; others are hashed one by one. */
static __attribute__((noinline)) void hash_eight_of_any_length(const struct table *table,
                                                               struct table_probe *p)
{
    unsigned words = p[0].key_length / 8, differences = 0;
    for (unsigned i = 1; i < SIPHASH13_LANES; i++)
        differences |= words ^ p[i].key_length / 8;
    if (differences == 0) {
        hash_eight(table, p, words, false);
        return;
    }
    for (unsigned i = 0; i < SIPHASH13_LANES; i++)
        hash_one(table, &p[i]);
}

void table_probe_hash(const struct table *table, struct table_probe *probes, unsigned count)
{
    struct table_probe *p = probes, *end = probes + count;
    if (!table->force_equal_hashes) {
        for (; end - p >= SIPHASH13_LANES; p += SIPHASH13_LANES) {
            unsigned length = p[0].key_length, differences = 0;
            for (unsigned i = 1; i < SIPHASH13_LANES; i++)
                differences |= length ^ p[i].key_length;
            if (differences == 0 && length == 8)
                hash_eight(table, p, 1, true);
            else if (differences == 0 && length == 16)
                hash_eight(table, p, 2, true);
            else
                hash_eight_of_any_length(table, p);
        }
    }
    for (; p < end; p++)
        hash_one(table, p);
}

void table_probe_find(const struct table *table, struct table_probe *probes, unsigned count)
{
    for (struct table_probe *p = probes, *end = probes + count; p < end; p++) {
        if (LIKELY(probe_match(table, p)))
            rte_prefetch0(p->line);
        else if (bucket_next(p->bucket))
            rte_prefetch0(&table->buckets.bucket[bucket_next(p->bucket)]);
    }
    for (struct table_probe *p = probes, *end = probes + count; p < end; p++) {
        uint64_t shape = p->line ? word_load(&p->line->word[ITEM_SHAPE_WORD]) : 0;
        if (shape_next(shape) != 0)
            item_prefetch_rest(lines_view(&table->lines), p->line, shape);
    }
}
