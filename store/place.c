/*
 * place.c - puts items into lines and slots, and takes them out.
 */
#include "context.h"

#include <string.h>

void place_load(const struct table *table, struct slot slot, struct found *out)
{
    out->slot = slot;
    out->line = bucket_line(slot.bucket, slot.index);
    const struct line *line = &table->lines.line[out->line];
    out->version = word_load(&line->word[ITEM_VERSION_WORD]);
    out->expiry_ms = word_load(&line->word[ITEM_EXPIRY_WORD]);
    out->shape = word_load(&line->word[ITEM_SHAPE_WORD]);
}

void place_find(const struct table *table, struct bucket *main, unsigned tag, const uint8_t *key,
                size_t key_length, struct found *out)
{
    struct line_view view = lines_view(&table->lines);
    for (struct bucket *bucket = main;;) {
        for (unsigned match = bucket_match(bucket, tag); match; match = match_rest(match)) {
            place_load(table, (struct slot){bucket, match_slot(match)}, out);
            if (shape_key_length(out->shape) == key_length &&
                item_key_equals(view, &view.line[out->line], key, key_length))
                return;
        }
        uint32_t next = bucket_next(bucket);
        if (next == 0)
            break;
        bucket = &table->buckets.bucket[next];
    }
    out->line = 0;
}

void place_key(const struct table *table, const struct found *found, uint8_t out[KEY_BYTES_MAX])
{
    struct line_view view = lines_view(&table->lines);
    (void)item_copy(view, &view.line[found->line], 0, shape_key_length(found->shape), out);
}

void place_value(const struct table *table, const struct found *found, uint8_t out[VALUE_BYTES_MAX])
{
    struct line_view view = lines_view(&table->lines);
    (void)item_copy(view, &view.line[found->line], shape_key_length(found->shape),
                    shape_value_length(found->shape), out);
}

static unsigned found_lines(const struct found *found)
{
    if (found->line == 0)
        return 0;
    return item_lines(shape_key_length(found->shape) + shape_value_length(found->shape));
}

int place_more_lines(const struct found *found, size_t key_length, size_t value_length)
{
    return (int)item_lines(key_length + value_length) - (int)found_lines(found);
}

unsigned place_lines(const struct table *table, const struct found *found, uint32_t out[ITEM_LINES_MAX])
{
    unsigned count = found_lines(found);
    uint32_t number = found->line;
    for (unsigned i = 0; i < count; i++) {
        out[i] = number;
        const struct line *line = &table->lines.line[number];
        number = (uint32_t)word_load(&line->word[i == 0 ? ITEM_SHAPE_WORD : 0]);
    }
    return count;
}

static void write_words(struct line *line, unsigned from, const uint8_t **at, size_t *left)
{
    for (unsigned i = from; i < LINE_WORDS && *left; i++, *at += 8, *left -= 8)
        word_store(&line->word[i], load_8(*at));
}

static void write_lines(struct execute_context *context, const uint32_t *number, unsigned count,
                        const struct log_record *record)
{
    struct line *lines = context->table->lines.line, *first = &lines[number[0]];
    size_t bytes = (size_t)record->key_length + record->value_length, left = (bytes + 7) / 8 * 8;
    const uint8_t *at = context->packed;

    memcpy(context->packed, record->key, record->key_length);
    if (record->value_length)
        memcpy(context->packed + record->key_length, record->value, record->value_length);
    memset(context->packed + bytes, 0, left - bytes);

    word_store(&first->word[ITEM_VERSION_WORD], record->lsn);
    word_store(&first->word[ITEM_EXPIRY_WORD], record->expiry_ms);
    word_store(&first->word[ITEM_SHAPE_WORD],
               item_shape(count > 1 ? number[1] : 0, record->key_length, record->value_length));
    write_words(first, ITEM_DATA_WORD, &at, &left);
    for (unsigned i = 1; i < count; i++) {
        struct line *line = &lines[number[i]];
        word_store(&line->word[0], i + 1 < count ? number[i + 1] : 0);
        write_words(line, CONTINUATION_DATA_WORD, &at, &left);
    }
}

void place_store(struct execute_context *context, struct bucket *main, unsigned tag,
                 const struct found *found, const struct log_record *record)
{
    struct table *table = context->table;
    uint32_t number[ITEM_LINES_MAX];
    unsigned had = place_lines(table, found, number);
    unsigned needs = item_lines((size_t)record->key_length + record->value_length);

    if (needs > had)
        lines_take(&table->lines, &context->cache, number + had, needs - had);
    write_lines(context, number, needs, record);
    if (needs < had) {
        lines_put(&table->lines, &context->cache, number + needs, had - needs);
        lines_release(&table->lines, had - needs);
    }
    if (found->line == 0) {
        chain_append(&table->buckets, main, tag, number[0]);
        _Atomic int64_t *items = &table->share[context->worker].items;
        atomic_store_explicit(items, atomic_load_explicit(items, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    }
    if (word_load(&main->last_lsn) < record->lsn)
        word_store(&main->last_lsn, record->lsn);
}

void place_remove(struct execute_context *context, struct bucket *main, const struct found *found)
{
    struct table *table = context->table;
    uint32_t number[ITEM_LINES_MAX];
    unsigned had = place_lines(table, found, number);

    /* The overflow bucket goes before the count: spare buckets suffice as long as items <= lines in use. */
    chain_remove(&table->buckets, main, found->slot);
    lines_put(&table->lines, &context->cache, number, had);
    lines_release(&table->lines, had);
    _Atomic int64_t *items = &table->share[context->worker].items;
    atomic_store_explicit(items, atomic_load_explicit(items, memory_order_relaxed) - 1, memory_order_relaxed);
}

enum removal remove_logged(struct execute_context *context, const struct flush_view *view,
                           struct bucket *main, const struct found *found, enum log_reason reason)
{
    unsigned key_length = shape_key_length(found->shape);
    uint64_t lsn;

    if (!log_ring_reserve(context->log, 1, log_record_bytes(key_length, 0)))
        return REMOVAL_LOG_FULL;
    if (!lsn_take(context, view, &lsn))
        return REMOVAL_FLUSHED;
    place_key(context->table, found, context->key);
    place_remove(context, main, found);
    word_store(&main->last_lsn, lsn);
    STORE_YIELD_POINT(YIELD_ITEM_WRITTEN);
    log_ring_append(context->log, &(struct log_record){.lsn = lsn,
                                                       .type = LOG_DELETE,
                                                       .reason = (uint8_t)reason,
                                                       .key = context->key,
                                                       .key_length = (uint8_t)key_length});
    STORE_YIELD_POINT(YIELD_PUBLISHED);
    return REMOVAL_DONE;
}
