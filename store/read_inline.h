/*
 * read_inline.h - the GET that nearly all are, inlined into execute(): an item of one line, found in its main
 * bucket at the first tag that matches, its key whole words, and no writer about. read.c answers the others.
 */
#ifndef WILD_READ_INLINE_H
#define WILD_READ_INLINE_H

#include "table_internal.h"

/* Tell the clock (evict.c); only the first time, so that hot items' buckets stay unwritten. */
static inline void read_mark_referenced(const struct table *table, struct bucket *bucket, unsigned slot)
{
    if (table->evict == EVICT_CLOCK && !(bucket_tag(bucket, slot) & TAG_REFERENCED))
        atomic_fetch_or_explicit(&bucket->tags[slot / 4], (uint64_t)TAG_REFERENCED << (slot & 3) * 16,
                                 memory_order_relaxed);
}

/* Up to 40 bytes; unrolled, because a loop's last turn costs a mispredicted branch. */
static inline void read_value(uint8_t *restrict out, const _Atomic uint64_t *word, size_t length)
{
    switch (length / 8) {
    case 5:
        store_8(out + 32, word_load(&word[4]));
        /* fall through */
    case 4:
        store_8(out + 24, word_load(&word[3]));
        /* fall through */
    case 3:
        store_8(out + 16, word_load(&word[2]));
        /* fall through */
    case 2:
        store_8(out + 8, word_load(&word[1]));
        /* fall through */
    case 1:
        store_8(out, word_load(&word[0]));
    }
    if (length % 8 != 0)
        store_up_to_8(out + (length & ~(size_t)7), word_load(&word[length / 8]), length % 8);
}
static_assert(ITEM_FIRST_BYTES == 5 * 8, "the longest value of one line");

/* True: answered OK. False: nothing is decided, table_read() starts anew; only the value's room was written. */
static inline bool read_one_line(const struct table *table, const struct operation *operation, uint64_t hash,
                                 uint64_t clock_ms, struct result *result)
{
    struct bucket *main = table_bucket(table, hash);
    uint32_t sequence = bucket_read_begin(main);
    unsigned match = bucket_match(main, hash_tag(hash));
    if ((sequence & 1) != 0 || match == 0)
        return false;
    unsigned slot = (unsigned)__builtin_ctz(match);
    const struct line *line = &table->lines.line[bucket_line(main, slot)];
    uint64_t shape = word_load(&line->word[ITEM_SHAPE_WORD]);
    size_t key_length = operation->key_length, length = shape_value_length(shape);

    if (shape_key_length(shape) != key_length || key_length % 8 != 0 ||
        key_length + length > ITEM_FIRST_BYTES || length > result->room)
        return false;
    const _Atomic uint64_t *word = &line->word[ITEM_DATA_WORD];
    const uint8_t *key = operation->key, *key_end = key + key_length;
    for (; key != key_end; key += 8)
        if (word_load(word++) != load_8(key))
            return false;
    STORE_YIELD_POINT(YIELD_READ_MATCHED);
    uint64_t version = word_load(&line->word[ITEM_VERSION_WORD]);
    uint64_t expiry_ms = word_load(&line->word[ITEM_EXPIRY_WORD]);
    uint64_t bucket_lsn = word_load(&main->last_lsn);
    /* After the item's words: a FLUSH that is visible by now hides what was copied. */
    uint64_t flush_lsn = table_flush_lsn(table);
    if (version < flush_lsn || item_expired(expiry_ms, clock_ms))
        return false;
    read_value(result->value, word, length);
    STORE_YIELD_POINT(YIELD_READ);
    if (!bucket_read_valid(main, sequence))
        return false;
    result->value_length = (uint16_t)length;
    result->version = version;
    result->bucket_lsn = bucket_lsn > flush_lsn ? bucket_lsn : flush_lsn;
    read_mark_referenced(table, main, slot);
    return true;
}

#endif
