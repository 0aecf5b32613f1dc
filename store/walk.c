/*
 * walk.c - copies of buckets, for who writes a snapshot.
 */
#include "table_walk.h"

#include <errno.h>

#include "table_internal.h"

enum { PART_BUCKETS = 32 }; /* of a chain, copied at once at most */

uint32_t table_bucket_count(const struct table *table)
{
    return table->buckets.main_count;
}

/* One item as a record: its bytes, 0 if it is not alive, -ENOBUFS, or -EAGAIN for what can only be torn. */
static int64_t copy_item(const struct table *table, uint32_t number, uint8_t *out, size_t room)
{
    struct line_view view = lines_view(&table->lines);
    const struct line *line = &view.line[number];
    uint64_t shape = word_load(&line->word[ITEM_SHAPE_WORD]);
    size_t key_length = shape_key_length(shape), value_length = shape_value_length(shape);
    uint8_t bytes[ITEM_BYTES_MAX];

    struct log_record record = {.lsn = word_load(&line->word[ITEM_VERSION_WORD]),
                                .expiry_ms = word_load(&line->word[ITEM_EXPIRY_WORD]),
                                .type = LOG_SET,
                                .key = bytes,
                                .key_length = (uint8_t)key_length,
                                .value = bytes + key_length,
                                .value_length = (uint16_t)value_length};
    /* After the item's words: a FLUSH that is visible by now hides it, and the walk ends above its LSN. */
    if (record.lsn < table_flush_lsn(table))
        return 0;
    if (key_length < KEY_BYTES_MIN || key_length > KEY_BYTES_MAX || value_length > VALUE_BYTES_MAX)
        return -EAGAIN;
    if (log_record_bytes(key_length, value_length) > room)
        return -ENOBUFS;
    if (!item_copy(view, line, 0, key_length + value_length, bytes))
        return -EAGAIN;
    return (int64_t)log_record_encode(out, &record);
}

/* The chain's buckets up to the one with slot `below - 1`: the last of them, at their number modulo
 * PART_BUCKETS. Returns how many there are; 0: the chain is changing. */
static uint32_t list_chain(const struct table *table, struct bucket *main, uint32_t sequence, uint32_t below,
                           const struct bucket *list[PART_BUCKETS])
{
    const struct bucket *bucket = main;
    for (uint32_t count = 0;;) {
        list[count++ % PART_BUCKETS] = bucket;
        uint32_t next = bucket_next(bucket);
        if (next == 0 || (uint64_t)count * BUCKET_SLOTS >= below)
            return count;
        STORE_YIELD_POINT(YIELD_READ_NEXT);
        /* At every step: a chain that is being changed might lead round and round. */
        if (!bucket_read_valid(main, sequence))
            return 0;
        bucket = &table->buckets.bucket[next];
    }
}

static int64_t copy_part(const struct table *table, struct bucket *main, uint32_t sequence, uint32_t *below,
                         uint8_t *out, size_t room)
{
    const struct bucket *list[PART_BUCKETS];
    uint32_t count = list_chain(table, main, sequence, *below, list);
    if (count == 0)
        return -EAGAIN;
    uint32_t slots = (count - 1) * BUCKET_SLOTS + bucket_count(list[(count - 1) % PART_BUCKETS]);
    uint32_t end = count > PART_BUCKETS ? (count - PART_BUCKETS) * BUCKET_SLOTS : 0;
    uint32_t at = *below < slots ? *below : slots;
    size_t used = 0;
    int64_t bytes = 0;
    while (at > end) {
        const struct bucket *bucket = list[(at - 1) / BUCKET_SLOTS % PART_BUCKETS];
        bytes = copy_item(table, bucket_line(bucket, (at - 1) % BUCKET_SLOTS), out + used, room - used);
        if (bytes < 0)
            break;
        used += (size_t)bytes;
        at--;
    }
    STORE_YIELD_POINT(YIELD_READ);
    if (bytes == -EAGAIN || !bucket_read_valid(main, sequence))
        return -EAGAIN;
    if (bytes == -ENOBUFS && used == 0)
        return -ENOBUFS;
    *below = at;
    return (int64_t)used;
}

int64_t table_copy_bucket(const struct table *table, uint32_t bucket, uint32_t *below, uint8_t *out,
                          size_t room)
{
    struct bucket *main = &table->buckets.bucket[bucket];
    uint32_t sequence = bucket_read_begin(main);
    return sequence & 1 ? -EAGAIN : copy_part(table, main, sequence, below, out, room);
}

int64_t table_copy_bucket_locked(const struct table *table, uint32_t bucket, uint32_t *below, uint8_t *out,
                                 size_t room)
{
    struct bucket *main = &table->buckets.bucket[bucket];
    if (!bucket_lock(main))
        return -EAGAIN;
    int64_t bytes = copy_part(table, main, bucket_read_begin(main), below, out, room);
    bucket_unlock(main);
    return bytes;
}
