#include "apply.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>

#include "check.h"
#include "context.h"

enum {
    APPLY_GROUP = 16,           /* records whose memory accesses overlap */
    APPLY_RECLAIM_BUCKETS = 64, /* for a record that finds no room, before it is tried again */
};

int apply_begin(struct execute_context *context)
{
    struct table *table = context->table;
    if (region_open_tail(&table->bucket_region) != 0)
        return -ENOMEM;
    if (region_open_tail(&table->line_region) != 0) {
        region_close_tail(&table->bucket_region);
        return -ENOMEM;
    }
    bucket_open_tail(&table->buckets);
    lines_open_tail(&table->lines, lines_rebuild_limit(table->capacity));
    context->end_moves = false;
    return 0;
}

/*
 * Nobody else writes, but a copy for a snapshot may hold the bucket (table_copy_bucket_locked()): for as long as a few items
 * take, and waiting for nothing. If its thread was put to sleep meanwhile, on our own processor perhaps, it is let run: a
 * record cannot be left out, and there is nobody to say BUSY to.
 */
static void lock_bucket(struct bucket *main)
{
    while (!bucket_lock(main))
        (void)sched_yield();
}

/* Takes away some of what a FLUSH hid; false: there is none. It stops at a bucket that a copy holds, as above. */
static bool reclaim_some(struct execute_context *context, unsigned buckets)
{
    struct table *table = context->table;
    if (atomic_load_explicit(&table->reclaimed_lsn, memory_order_relaxed) == table_flush_lsn(table))
        return false;
    if (reclaim_step(context, buckets) == 0)
        rte_pause();
    return true;
}

static int apply_set(struct execute_context *context, const struct log_record *record, uint64_t hash)
{
    struct table *table = context->table;
    struct bucket *main = table_bucket(table, hash);
    struct found found;

    /* Until there is room, or nothing hidden is left: the chains are others after each step. */
    do {
        lock_bucket(main);
        place_find(table, main, hash_tag(hash), record->key, record->key_length, &found);
        bool newer = found.line == 0 || found.version < record->lsn;
        int more = newer ? place_more_lines(&found, record->key_length, record->value_length) : 0;
        bool admitted = more <= 0 || lines_admit(&table->lines, (uint64_t)more);
        if (newer && admitted)
            place_store(context, main, hash_tag(hash), &found, record);
        bucket_unlock(main);
        if (admitted)
            return 0;
    } while (reclaim_some(context, APPLY_RECLAIM_BUCKETS));
    return -ENOSPC;
}

static void apply_delete(struct execute_context *context, const struct log_record *record, uint64_t hash)
{
    struct table *table = context->table;
    struct bucket *main = table_bucket(table, hash);
    struct found found;

    lock_bucket(main);
    place_find(table, main, hash_tag(hash), record->key, record->key_length, &found);
    if (found.line != 0 && found.version < record->lsn)
        place_remove(context, main, &found);
    if (word_load(&main->last_lsn) < record->lsn)
        word_store(&main->last_lsn, record->lsn);
    bucket_unlock(main);
}

/* A snapshot that copies what is applied next must not end below it. Each change comes after (release, by its bucket's lock
 * or by flush_lsn). */
static void announce(struct table *table, uint64_t lsn)
{
    if (atomic_load_explicit(&table->applying_lsn, memory_order_relaxed) < lsn)
        atomic_store_explicit(&table->applying_lsn, lsn, memory_order_relaxed);
}

/* hash: of its key, if its type has one. */
static int apply_hashed(struct execute_context *context, const struct log_record *record, uint64_t hash)
{
    struct table *table = context->table;
    uint64_t flush_lsn = table_flush_lsn(table);
    int outcome = 0;

    switch (record->type) {
    case LOG_SET:
        if (record->lsn >= flush_lsn)
            outcome = apply_set(context, record, hash);
        break;
    case LOG_DELETE:
        apply_delete(context, record, hash);
        break;
    case LOG_FLUSH:
        if (record->lsn > flush_lsn)
            /* release: pairs with acquire in table_flush_lsn() */
            atomic_store_explicit(&table->flush_lsn, record->lsn, memory_order_release);
        break;
    default: /* LOG_NOP, LOG_MEMBER */
        break;
    }
    if (atomic_load_explicit(&table->next_lsn, memory_order_relaxed) <= record->lsn)
        atomic_store_explicit(&table->next_lsn, record->lsn + 1, memory_order_relaxed);
    return outcome;
}

int apply_record(struct execute_context *context, const struct log_record *record)
{
    uint64_t hash = record->key_length ? table_hash(context->table, record->key, record->key_length) : 0;
    announce(context->table, record->lsn);
    return apply_hashed(context, record, hash);
}

int apply_records(struct execute_context *context, const uint8_t *records, size_t bytes)
{
    struct log_record record[APPLY_GROUP];
    struct table_probe probe[APPLY_GROUP];
    for (size_t at = 0; at < bytes;) {
        unsigned count = 0, keys = 0;
        int whole = 0;
        for (; count < APPLY_GROUP && at < bytes; count++, at += (size_t)whole) {
            whole = log_record_decode(&record[count], records + at, bytes - at);
            if (whole < 0)
                break;
            if (record[count].key_length)
                probe[keys++] =
                    (struct table_probe){.key = record[count].key, .key_length = record[count].key_length};
        }
        table_probe_hash(context->table, probe, keys);
        table_probe_find(context->table, probe, keys);
        for (unsigned i = 0, key = 0; i < count; i++) {
            announce(context->table, record[i].lsn);
            uint64_t hash = record[i].key_length ? probe[key++].hash : 0;
            int outcome = apply_hashed(context, &record[i], hash);
            if (outcome != 0)
                return outcome;
        }
        if (whole < 0)
            return whole;
    }
    return 0;
}

void apply_next_lsn(struct execute_context *context, uint64_t lsn)
{
    _Atomic uint64_t *next_lsn = &context->table->next_lsn;
    CHECK(atomic_load_explicit(next_lsn, memory_order_relaxed) <= lsn);
    atomic_store_explicit(next_lsn, lsn, memory_order_relaxed);
}

void apply_take_back(struct execute_context *context, uint64_t lsn)
{
    _Atomic uint64_t *next_lsn = &context->table->next_lsn;
    CHECK(atomic_load_explicit(next_lsn, memory_order_relaxed) >= lsn);
    atomic_store_explicit(next_lsn, lsn, memory_order_relaxed);
}

void apply_clock(struct execute_context *context, uint64_t wall_ms)
{
    (void)table_clock(context->table, wall_ms);
}

/* An ordinary line in place of one in the tail, with the same content. */
static uint32_t move_line(struct execute_context *context, uint32_t from)
{
    struct lines *lines = &context->table->lines;
    uint32_t to;
    lines_take(lines, &context->cache, &to, 1);
    CHECK(!lines_in_tail(lines, to));
    for (unsigned i = 0; i < LINE_WORDS; i++)
        word_store(&lines->line[to].word[i], word_load(&lines->line[from].word[i]));
    return to;
}

/* Moves an item's lines out of the tail; under its bucket's lock. */
static void move_item(struct execute_context *context, struct slot slot)
{
    struct lines *lines = &context->table->lines;
    uint32_t number = bucket_line(slot.bucket, slot.index);
    if (lines_in_tail(lines, number)) {
        number = move_line(context, number);
        chain_set_line(slot, number);
    }
    /* The link is the lower half of a word in every line; in the first it shares the word with the lengths. */
    for (unsigned link = ITEM_SHAPE_WORD;; link = 0) {
        _Atomic uint64_t *word = &lines->line[number].word[link];
        number = (uint32_t)word_load(word);
        if (number == 0)
            return;
        if (lines_in_tail(lines, number)) {
            number = move_line(context, number);
            word_store(word, (word_load(word) & ~(uint64_t)UINT32_MAX) | number);
        }
    }
}

static void move_chain(struct execute_context *context, struct bucket *main)
{
    struct bucket_array *buckets = &context->table->buckets;
    lock_bucket(main);
    chain_leave_tail(buckets, main);
    for (struct bucket *bucket = main;;) {
        for (unsigned i = 0, count = bucket_count(bucket); i < count; i++)
            move_item(context, (struct slot){bucket, i});
        uint32_t next = bucket_next(bucket);
        if (next == 0)
            break;
        bucket = &buckets->bucket[next];
    }
    bucket_unlock(main);
}

/*
 * Two rounds over the buckets. What is hidden goes first; then all fits into ordinary memory, and from there on nothing
 * else is taken, whatever is applied meanwhile: of lines there is one for each that the capacity admits, of overflow
 * buckets as many as they can need. So what a bucket was moved out of does not fill again behind the second round.
 */
int apply_end_step(struct execute_context *context, unsigned buckets)
{
    struct table *table = context->table;

    if (!context->end_moves) {
        if (reclaim_some(context, buckets))
            return 1;
        if (lines_used(&table->lines) > table->capacity)
            return -ENOSPC;
        lines_set_limit(&table->lines, table->capacity);
        context->end_moves = true;
        context->end_bucket = 0;
    }
    for (; buckets > 0 && context->end_bucket < table->buckets.main_count; buckets--)
        move_chain(context, &table->buckets.bucket[context->end_bucket++]);
    if (context->end_bucket < table->buckets.main_count)
        return 1;
    bucket_close_tail(&table->buckets);
    lines_close_tail(&table->lines);
    region_close_tail(&table->bucket_region);
    region_close_tail(&table->line_region);
    context->end_moves = false;
    return 0;
}

int apply_end(struct execute_context *context)
{
    int outcome;
    while ((outcome = apply_end_step(context, UINT_MAX)) > 0)
        ;
    return outcome;
}
