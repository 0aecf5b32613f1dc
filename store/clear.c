/*
 * clear.c - empties the table in steps, for a replica that begins anew.
 *
 * Bucket by bucket under its lock, so that readers find an item whole or not at all. What hides items
 * (flush_lsn) goes last: by then there is none left that it could show again.
 */
#include "apply.h"

#include "context.h"

/* Gives back what a locked chain holds: all of it, alive or hidden. */
static void clear_chain(struct execute_context *context, struct bucket *main)
{
    struct table *table = context->table;
    uint64_t lines = 0;
    int64_t items = 0;

    for (struct bucket *bucket = main;;) {
        unsigned count = bucket_count(bucket);
        for (unsigned i = 0; i < count; i++) {
            struct found found;
            uint32_t number[ITEM_LINES_MAX];
            place_load(table, (struct slot){bucket, i}, &found);
            unsigned had = place_lines(table, &found, number);
            lines_put(&table->lines, &context->cache, number, had);
            lines += had;
        }
        items += count;
        uint32_t next = bucket_next(bucket);
        if (next == 0)
            break;
        bucket = &table->buckets.bucket[next];
    }
    /* The overflow buckets go before the count, as in place_remove(). */
    chain_clear(&table->buckets, main);
    if (lines > 0)
        lines_release(&table->lines, lines);
    /* Others' shares stay as they are: the sum counts. */
    _Atomic int64_t *share = &table->share[context->worker].items;
    atomic_store_explicit(share, atomic_load_explicit(share, memory_order_relaxed) - items,
                          memory_order_relaxed);
}

/* No bucket holds anything. */
static void forget_the_past(struct table *table)
{
    table->reclaim_bucket = table->reclaim_left = 0;
    table->reclaim_lsn = 0;
    atomic_store_explicit(&table->sweep_bucket, 0, memory_order_relaxed);
    atomic_store_explicit(&table->next_lsn, table->first_lsn, memory_order_relaxed);
    atomic_store_explicit(&table->applying_lsn, 0, memory_order_relaxed);
    /* release: pairs with acquire in table_flush_lsn(): who finds nothing hidden finds empty buckets, too */
    atomic_store_explicit(&table->flush_lsn, 0, memory_order_release);
    /* release: pairs with acquire in flush_view_try() */
    atomic_store_explicit(&table->reclaimed_lsn, 0, memory_order_release);
}

bool apply_clear(struct execute_context *context, unsigned buckets)
{
    struct table *table = context->table;

    for (; buckets > 0 && context->clear_bucket < table->buckets.main_count; buckets--) {
        struct bucket *main = &table->buckets.bucket[context->clear_bucket];
        if (!bucket_lock(main)) /* by a copy (table_walk.h), for a snapshot that is being given up */
            return false;
        clear_chain(context, main);
        word_store(&main->last_lsn, 0);
        bucket_unlock(main);
        context->clear_bucket++;
    }
    if (context->clear_bucket < table->buckets.main_count)
        return false;
    context->clear_bucket = 0;
    lines_return_cache(&table->lines, &context->cache);
    forget_the_past(table);
    return true;
}
