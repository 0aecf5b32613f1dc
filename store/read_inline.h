/*
 * read_inline.h - the look-up that nearly all are: an item of one line, found in its main bucket at the first
 * tag that matches, and no writer about. In two steps, so that a burst's memory accesses overlap:
 * probe_match() finds the line, read_probed() reads it. read.c answers the others.
 */
#ifndef WILD_READ_INLINE_H
#define WILD_READ_INLINE_H

#include "line_bytes.h"
#include "table_internal.h"

/* Tell the clock (evict.c); only the first time, so that hot items' buckets stay unwritten. */
static inline void read_mark_referenced(const struct table *table, struct bucket *bucket, unsigned slot)
{
    if (table->evict == EVICT_CLOCK && !(bucket_tag(bucket, slot) & TAG_REFERENCED))
        atomic_fetch_or_explicit(&bucket->tags[slot / 4], (uint64_t)TAG_REFERENCED << (slot & 3) * 16,
                                 memory_order_relaxed);
}

/* Fills in what the probe's bucket says: line NULL if it is locked, or has no such tag. */
static inline void probe_match(const struct table *table, struct table_probe *probe)
{
    const struct bucket *main = probe->bucket;
    probe->sequence = bucket_read_begin(main);
    unsigned match = bucket_match(main, hash_tag(probe->hash));
    probe->line = NULL;
    if (__builtin_expect((probe->sequence & 1) != 0 || match == 0, 0))
        return;
    probe->slot = (uint8_t)__builtin_ctz(match);
    probe->line = &table->lines.line[bucket_line(main, probe->slot)];
}

static inline bool read_key_equals(const struct line *line, const uint8_t *key, size_t length)
{
    enum { AT = ITEM_DATA_WORD * 8 };
    if (length < 8)
        return ((line_load_8(line, AT) ^ load_below_8(key, length)) & (((uint64_t)1 << 8 * length) - 1)) == 0;
    size_t at = 0;
    for (; at + 8 <= length; at += 8)
        if (line_load_8(line, AT + at) != load_8(key + at))
            return false;
    return at == length || line_load_8(line, AT + length - 8) == load_8(key + length - 8);
}

/*
 * Copies a value of up to 40 bytes out, if the bucket is what it was when its sequence was read: all of the
 * value is in registers before that is checked, and nothing of it is written before.
 */
static inline bool read_value(const struct line *line, size_t at, size_t length, const struct bucket *main,
                              uint32_t sequence, uint8_t *out)
{
    if (length > 16) {
        line_pair first = line_load_16(line, at), last = line_load_16(line, at + length - 16);
        line_pair middle = first;
        if (length > 32)
            middle = line_load_16(line, at + 16);
        STORE_YIELD_POINT(YIELD_READ);
        if (!bucket_read_valid(main, sequence))
            return false;
        line_store_16(out, first);
        if (length > 32)
            line_store_16(out + 16, middle);
        line_store_16(out + length - 16, last);
        return true;
    }
    if (length >= 8) {
        uint64_t first = line_load_8(line, at), last = line_load_8(line, at + length - 8);
        STORE_YIELD_POINT(YIELD_READ);
        if (!bucket_read_valid(main, sequence))
            return false;
        store_8(out, first);
        store_8(out + length - 8, last);
        return true;
    }
    /* The eight bytes that end with the value's last; they begin in the line. */
    uint64_t word = line_load_8(line, at + length - 8) >> 1 >> (63 - 8 * length);
    STORE_YIELD_POINT(YIELD_READ);
    if (!bucket_read_valid(main, sequence))
        return false;
    store_up_to_8(out, word, length);
    return true;
}

/* True: answered OK. False: nothing is decided and nothing written; table_read() starts anew. */
static inline bool read_probed(const struct table *table, const struct table_probe *probe, uint64_t clock_ms,
                               struct result *result)
{
    const struct line *line = probe->line;
    if (__builtin_expect(line == NULL, 0))
        return false;
    size_t key_length = probe->key_length;
    /* Any other key length leaves bits far above a value's length. */
    uint64_t shape = word_load(&line->word[ITEM_SHAPE_WORD]) ^ item_shape(0, key_length, 0);
    size_t length = shape >> 32;
    if (key_length + length > ITEM_FIRST_BYTES || length > result->room ||
        !read_key_equals(line, probe->key, key_length))
        return false;
    STORE_YIELD_POINT(YIELD_READ_MATCHED);
    uint64_t version = word_load(&line->word[ITEM_VERSION_WORD]);
    uint64_t expiry_ms = word_load(&line->word[ITEM_EXPIRY_WORD]);
    uint64_t bucket_lsn = word_load(&probe->bucket->last_lsn);
    /* After the item's words: a FLUSH that is visible by now hides what is copied. */
    uint64_t flush_lsn = table_flush_lsn(table);
    if (version < flush_lsn || item_expired(expiry_ms, clock_ms))
        return false;
    if (!read_value(line, ITEM_DATA_WORD * 8 + key_length, length, probe->bucket, probe->sequence,
                    result->value))
        return false;
    result->value_length = (uint16_t)length;
    result->version = version;
    result->bucket_lsn = bucket_lsn > flush_lsn ? bucket_lsn : flush_lsn;
    read_mark_referenced(table, probe->bucket, probe->slot);
    return true;
}

#endif
