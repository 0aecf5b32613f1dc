/*
 * sweep.c - housekeeping in small steps: removes what has expired (logged) and what a FLUSH hid (not logged:
 * the FLUSH itself said so).
 *
 * Reclaiming is a round over all buckets, shared by the workers, one at a time. Every FLUSH begins a new one
 * where the last one has come to: however often FLUSH is called, every bucket gets its turn. An item that
 * FLUSH F hides got its LSN under its bucket's lock, before F was visible; so once every bucket has been
 * locked after that, none is left: reclaimed_lsn = F.
 */
#include "context.h"

enum visit {
    VISIT_DONE,
    VISIT_TAKEN, /* the bucket is locked by another worker */
    VISIT_STOP,  /* the ring is full */
};

/* Whether anything in the chain looks expired or hidden: a look without the lock, so that buckets with
 * nothing to do stay unwritten. */
static bool looks_dirty(const struct table *table, struct bucket *main, uint64_t clock_ms)
{
    uint32_t sequence = bucket_read_begin(main);
    uint64_t flush_lsn = table_flush_lsn(table);
    if (sequence & 1)
        return false; /* a chain under change may lead into the free list */
    for (const struct bucket *bucket = main;;) {
        for (unsigned i = 0, count = bucket_count(bucket); i < count; i++) {
            const struct line *line = &table->lines.line[bucket_line(bucket, i)];
            if (word_load(&line->word[ITEM_VERSION_WORD]) < flush_lsn ||
                item_expired(word_load(&line->word[ITEM_EXPIRY_WORD]), clock_ms))
                return true;
        }
        uint32_t next = bucket_next(bucket);
        if (next == 0 || !bucket_read_valid(main, sequence))
            return false; /* changing right now: the next round will see */
        bucket = &table->buckets.bucket[next];
    }
}

/* Visits every item of a locked chain. clock_ms 0: leaves expired items alone. */
static enum visit clean_chain(struct execute_context *context, struct bucket *main, uint64_t clock_ms,
                              unsigned *removed)
{
    struct table *table = context->table;
    struct flush_view view;
    /* Unsettled: what is visible already is hidden for good; what is expired can wait. */
    bool settled = flush_view_try(table, &view);
    struct slot slot = {main, 0};
    for (;;) {
        if (slot.index == bucket_count(slot.bucket)) {
            uint32_t next = bucket_next(slot.bucket);
            if (next == 0)
                return VISIT_DONE;
            slot = (struct slot){&table->buckets.bucket[next], 0};
            continue;
        }
        struct found found;
        place_load(table, slot, &found);
        bool lone = slot.index == 0 && slot.bucket != main && bucket_count(slot.bucket) == 1;
        if (found.version < view.flush_lsn) {
            place_remove(context, main, &found);
            counter_bump(&context->counters.reclaimed);
        } else if (settled && item_expired(found.expiry_ms, clock_ms)) {
            enum removal removal = remove_logged(context, &view, main, &found, LOG_REASON_EXPIRED);
            if (removal != REMOVAL_DONE)
                return removal == REMOVAL_LOG_FULL ? VISIT_STOP : VISIT_DONE;
            counter_bump(&context->counters.expired);
        } else {
            slot.index++;
            continue;
        }
        ++*removed;
        if (lone)
            return VISIT_DONE; /* its bucket left the chain with it */
    }
}

static enum visit clean_bucket(struct execute_context *context, uint32_t number, uint64_t clock_ms,
                               unsigned *removed)
{
    struct bucket *main = &context->table->buckets.bucket[number];
    if (!bucket_try_lock(main))
        return VISIT_TAKEN;
    enum visit visit = clean_chain(context, main, clock_ms, removed);
    bucket_unlock(main);
    return visit;
}

unsigned reclaim_step(struct execute_context *context, unsigned buckets)
{
    struct table *table = context->table;
    uint32_t unlocked = 0;
    /* acquire: pairs with release below */
    if (!atomic_compare_exchange_strong_explicit(&table->reclaim_lock, &unlocked, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return 0;
    uint64_t flush_lsn = table_flush_lsn(table);
    if (table->reclaim_lsn != flush_lsn) {
        table->reclaim_lsn = flush_lsn;
        table->reclaim_left = table->buckets.main_count;
    }
    unsigned removed = 0;
    for (; buckets > 0 && table->reclaim_left > 0; buckets--, table->reclaim_left--) {
        if (clean_bucket(context, table->reclaim_bucket, 0, &removed) != VISIT_DONE)
            break;
        if (++table->reclaim_bucket == table->buckets.main_count)
            table->reclaim_bucket = 0;
    }
    if (table->reclaim_left == 0)
        /* release: pairs with acquire in flush_view_try(): the lines are released */
        atomic_store_explicit(&table->reclaimed_lsn, flush_lsn, memory_order_release);
    atomic_store_explicit(&table->reclaim_lock, 0, memory_order_release);
    return removed;
}

unsigned execute_sweep(struct execute_context *context, unsigned buckets, uint64_t now_ms)
{
    struct table *table = context->table;
    uint64_t clock_ms = table_clock(table, now_ms);
    unsigned removed = 0;

    if (atomic_load_explicit(&table->reclaimed_lsn, memory_order_relaxed) < table_flush_lsn(table))
        return reclaim_step(context, buckets);
    uint64_t at = atomic_fetch_add_explicit(&table->sweep_bucket, buckets, memory_order_relaxed);
    for (unsigned i = 0; i < buckets; i++) {
        uint32_t number = (uint32_t)((at + i) % table->buckets.main_count);
        if (looks_dirty(table, &table->buckets.bucket[number], clock_ms) &&
            clean_bucket(context, number, clock_ms, &removed) == VISIT_STOP)
            break;
    }
    return removed;
}
