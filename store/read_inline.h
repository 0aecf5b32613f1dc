/*
 * read_inline.h - the look-up that nearly all are: an item of one line, found in its main bucket at the first
 * tag that matches, and no writer about. In two steps, so that a burst's memory accesses overlap:
 * probe_match() finds the line, read_probed() reads it. read.c answers the others.
 */
#ifndef WILD_READ_INLINE_H
#define WILD_READ_INLINE_H

#include "table_internal.h"

/*
 * Tell the clock (evict.c); only the first time, so that hot items' buckets stay unwritten. Nor in a bucket
 * of the tail, the only memory that is taken away while readers run (apply_end()): what they still read there
 * is zeros, but it cannot be written to.
 */
static inline void read_mark_referenced(const struct table *table, struct bucket *bucket, unsigned slot)
{
    if (!LIKELY(table->evict != EVICT_CLOCK) && !(bucket_tag(bucket, slot) & TAG_REFERENCED) &&
        !bucket_in_tail(&table->buckets, (uint32_t)(bucket - table->buckets.bucket)))
        atomic_fetch_or_explicit(&bucket->tags[slot / 4], (uint64_t)TAG_REFERENCED << (slot & 3) * 16,
                                 memory_order_relaxed);
}

/* Fills in what the probe's bucket says. False, and line NULL, if it has no such tag. */
static inline bool probe_match(const struct table *table, struct table_probe *probe)
{
    const struct bucket *main = probe->bucket;
    /* Even: if the bucket is locked right now, this is no sequence that read_probed() could find. */
    probe->sequence = bucket_read_begin(main) & ~UINT32_C(1);
    unsigned match = bucket_match(main, hash_tag(probe->hash));
    if (!LIKELY(match != 0)) {
        probe->line = NULL;
        return false;
    }
    probe->slot = (uint8_t)match_slot(match);
    probe->line = &table->lines.line[match_line(main, match)];
    return true;
}

/* The rest of read_value() for values below eight bytes. */
static __attribute__((noinline)) bool read_short_value(const struct line *line, size_t at, size_t length,
                                                       const struct table_probe *probe, uint8_t *out)
{
    uint64_t word = line_load_below_8(line->word, at, length);
    STORE_YIELD_POINT(YIELD_READ);
    if (!bucket_read_valid(probe->bucket, probe->sequence))
        return false;
    store_up_to_8(out, word, length);
    return true;
}

/*
 * Copies a value of up to 40 bytes out, if the bucket is what it was when its sequence was read: all of the
 * value is in registers before that is checked, and nothing of it is written before.
 */
static inline bool read_value(const struct line *line, size_t at, size_t length,
                              const struct table_probe *probe, uint8_t *out)
{
    const _Atomic uint64_t *word = line->word;
    if (LIKELY(length >= 16)) {
        line_quad quad;
        line_pair pair, last;
        uint64_t first = line_load_8(word, at);
        if (length >= 32) {
            line_load_32(word, at + length - 32, &quad);
        } else {
            pair = line_load_16(word, at);
            last = line_load_16(word, at + length - 16);
        }
        STORE_YIELD_POINT(YIELD_READ);
        if (!LIKELY(bucket_read_valid(probe->bucket, probe->sequence)))
            return false;
        if (length >= 32) {
            line_store_32(out + length - 32, &quad);
        } else {
            line_store_16(out, pair);
            line_store_16(out + length - 16, last);
        }
        /* Once more, last and from an ordinary register: who waits for the value's first word gets it at once
         * from such a store, but some eight cycles later from a vector's. */
        __asm__ volatile("" : "+r"(first));
        store_8(out, first);
        return true;
    }
    if (!LIKELY(length >= 8))
        return read_short_value(line, at, length, probe, out);
    uint64_t first = line_load_8(word, at), last = line_load_8(word, at + length - 8);
    STORE_YIELD_POINT(YIELD_READ);
    if (!LIKELY(bucket_read_valid(probe->bucket, probe->sequence)))
        return false;
    store_8(out, first);
    store_8(out + length - 8, last);
    return true;
}

/* True: answered OK. False: nothing is decided and no value written; table_read() starts anew. */
static inline bool read_probed(const struct table *table, const struct table_probe *probe, uint64_t clock_ms,
                               struct result *result)
{
    const struct line *line = probe->line;
    if (!LIKELY(line != NULL))
        return false;
    size_t key_length = probe->key_length;
    /* Any other key length leaves bits far above a value's length. */
    size_t length = (word_load(&line->word[ITEM_SHAPE_WORD]) ^ item_shape(0, key_length, 0)) >> 32;
    if (!LIKELY(key_length + length <= ITEM_FIRST_BYTES && length <= result->room &&
                item_first_line_key_equals(line, probe->key, key_length)))
        return false;
    STORE_YIELD_POINT(YIELD_READ_MATCHED);
    uint64_t version = word_load(&line->word[ITEM_VERSION_WORD]);
    uint64_t expiry_ms = word_load(&line->word[ITEM_EXPIRY_WORD]);
    uint64_t bucket_lsn = word_load(&probe->bucket->last_lsn);
    /* After the item's words: a FLUSH that is visible by now hides what is copied. */
    uint64_t flush_lsn = table_flush_lsn(table);
    if (!LIKELY(version >= flush_lsn && !item_expired(expiry_ms, clock_ms)))
        return false;
    result->value_length = (uint16_t)length;
    result->version = version;
    result->bucket_lsn = bucket_lsn > flush_lsn ? bucket_lsn : flush_lsn;
    if (!LIKELY(read_value(line, ITEM_DATA_WORD * 8 + key_length, length, probe, result->value)))
        return false;
    read_mark_referenced(table, probe->bucket, probe->slot);
    return true;
}

#endif
