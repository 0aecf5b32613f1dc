/*
 * read.c - GET: the look-up that takes no lock and changes nothing a reader could see. Any item; those of one
 * line were mostly answered by read_inline.h already.
 */
#include "read_inline.h"

enum outcome { READ_FOUND, READ_ABSENT, READ_NO_ROOM, READ_TORN };

struct place {
    struct bucket *bucket;
    unsigned slot;
};

/* The item in one slot: copied out if it is the one. READ_ABSENT: another key, or not alive any more. */
static inline enum outcome read_item(const struct table *table, const struct line *line, const uint8_t *key,
                                     size_t key_length, uint64_t clock_ms, struct result *result,
                                     bool *another)
{
    struct line_view view = lines_view(&table->lines);
    uint64_t shape = word_load(&line->word[ITEM_SHAPE_WORD]);
    size_t length = shape_value_length(shape);

    *another = true;
    if (shape_key_length(shape) != key_length || !item_key_equals(view, line, key, key_length))
        return READ_ABSENT;
    *another = false;
    STORE_YIELD_POINT(YIELD_READ_MATCHED);
    uint64_t version = word_load(&line->word[ITEM_VERSION_WORD]);
    uint64_t expiry_ms = word_load(&line->word[ITEM_EXPIRY_WORD]);
    /* After the item's words: a FLUSH that is visible by now hides what was copied. */
    if (version < table_flush_lsn(table) || item_expired(expiry_ms, clock_ms))
        return READ_ABSENT;
    if (length > result->room)
        return READ_NO_ROOM;
    if (!item_copy(view, line, key_length, length, result->value))
        return READ_TORN;
    result->value_length = (uint16_t)length;
    result->version = version;
    return READ_FOUND;
}

static inline enum outcome read_chain(const struct table *table, struct bucket *main, uint32_t sequence,
                                      unsigned tag, const uint8_t *key, size_t key_length, uint64_t clock_ms,
                                      struct result *result, struct place *where)
{
    for (struct bucket *bucket = main;;) {
        for (unsigned match = bucket_match(bucket, tag); match; match = match_rest(match)) {
            unsigned slot = match_slot(match);
            bool another;
            enum outcome outcome = read_item(table, &table->lines.line[bucket_line(bucket, slot)], key,
                                             key_length, clock_ms, result, &another);
            if (!another) {
                *where = (struct place){bucket, slot};
                return outcome;
            }
        }
        uint32_t next = bucket_next(bucket);
        if (next == 0)
            return READ_ABSENT;
        STORE_YIELD_POINT(YIELD_READ_NEXT);
        /* Checked at every step: a chain that is being changed might lead round and round. */
        if (!bucket_read_valid(main, sequence))
            return READ_TORN;
        bucket = &table->buckets.bucket[next];
    }
}

/* table_read() without a probe, from the bucket on. */
static __attribute__((noinline)) enum status read_anew(struct table *table, const uint8_t *key,
                                                       size_t key_length, uint64_t hash, uint64_t clock_ms,
                                                       struct result *result)
{
    struct bucket *main = table_bucket(table, hash);
    unsigned tag = hash_tag(hash);

    for (unsigned attempt = 0; attempt < TABLE_READ_RETRIES_MAX; attempt++) {
        uint32_t sequence = bucket_read_begin(main);
        if (sequence & 1) {
            STORE_YIELD_POINT(YIELD_LOCK_SPIN);
            rte_pause();
            continue;
        }
        result->value_length = 0;
        result->version = 0;
        struct place where;
        enum outcome outcome =
            read_chain(table, main, sequence, tag, key, key_length, clock_ms, result, &where);
        result->bucket_lsn = table_bucket_lsn(table, main);
        STORE_YIELD_POINT(YIELD_READ);
        if (outcome == READ_TORN || !bucket_read_valid(main, sequence))
            continue;
        if (outcome == READ_NO_ROOM)
            return STATUS_MORE;
        if (outcome == READ_ABSENT)
            return STATUS_NOT_FOUND;
        read_mark_referenced(table, where.bucket, where.slot);
        return STATUS_OK;
    }
    /* What the last attempt copied may be torn, and of another key. */
    result->value_length = 0;
    result->version = 0;
    return STATUS_BUSY;
}

enum status table_read(struct table *table, const struct table_probe *probe, const uint8_t *key,
                       uint64_t clock_ms, struct result *result)
{
    if (LIKELY(probe->line != NULL && bucket_read_valid(probe->bucket, probe->sequence))) {
        bool another;
        enum outcome outcome =
            read_item(table, probe->line, key, probe->key_length, clock_ms, result, &another);
        result->bucket_lsn = table_bucket_lsn(table, probe->bucket);
        STORE_YIELD_POINT(YIELD_READ);
        if (LIKELY(outcome == READ_FOUND && bucket_read_valid(probe->bucket, probe->sequence))) {
            read_mark_referenced(table, probe->bucket, probe->slot);
            return STATUS_OK;
        }
    }
    return read_anew(table, key, probe->key_length, probe->hash, clock_ms, result);
}
