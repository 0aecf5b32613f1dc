/*
 * context.h - a worker's execute_context, and the steps that every logged change shares. Not for other
 * folders.
 */
#ifndef WILD_CONTEXT_H
#define WILD_CONTEXT_H

#include "table_internal.h"

enum { PACKED_BYTES = (ITEM_BYTES_MAX + 7) / 8 * 8 };

struct execute_context {
    /* One writer each: the worker. Others only read `counters`. */
    _Alignas(LINE_BYTES) struct table *table;
    struct log_ring *log;
    unsigned worker;
    uint32_t evict_bucket; /* the clock's hand: next bucket to visit */
    uint32_t clear_bucket; /* next one that a clear that is under way visits */
    uint32_t end_bucket;   /* next one whose items the end of a rebuild moves, if end_moves */
    bool end_moves;
    struct execute_counters counters;
    struct line_cache cache;
    uint8_t key[KEY_BYTES_MAX];
    uint8_t value[VALUE_BYTES_MAX];
    uint8_t packed[PACKED_BYTES];
};

/* One writer: no locked instruction. */
static inline void counter_bump(_Atomic uint64_t *counter)
{
    uint64_t count = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, count + 1, memory_order_relaxed);
}

/*
 * What an operation knows of FLUSH. A FLUSH (flush.c) announces itself, takes its LSN, becomes visible, and
 * says so. An operation may decide what is alive only while none is in between; and if one announces itself
 * before the operation has its own LSN, the operation decides again.
 */
struct flush_view {
    uint64_t begun;
    uint64_t flush_lsn;
    bool reclaimed; /* nothing that a FLUSH hid holds lines any more */
};

/* False if a FLUSH is under way. */
static inline bool flush_view_try(const struct table *table, struct flush_view *view)
{
    /* In this order: begun == visible then means that none is under way when `begun` is read.
     * acquire: pairs with release in execute_flush() */
    uint64_t visible = atomic_load_explicit(&table->flushes_visible, memory_order_acquire);
    view->begun = atomic_load_explicit(&table->flushes_begun, memory_order_acquire);
    view->flush_lsn = table_flush_lsn(table);
    /* acquire: pairs with release in reclaim_step() */
    view->reclaimed = atomic_load_explicit(&table->reclaimed_lsn, memory_order_acquire) >= view->flush_lsn;
    return visible == view->begun;
}

static inline bool flush_view_stands(const struct table *table, const struct flush_view *view)
{
    return atomic_load_explicit(&table->flushes_begun, memory_order_acquire) == view->begun;
}

/*
 * Takes the next LSN, under the bucket's lock and with ring room reserved. False: a FLUSH began since `view`;
 * the LSN has been logged as NOP, and the caller decides anew. From here to the append nothing waits or
 * fails.
 */
static inline bool lsn_take(struct execute_context *context, const struct flush_view *view, uint64_t *lsn)
{
    STORE_YIELD_POINT(YIELD_RESERVED);
    /* acquire and release: orders flushes_begun against next_lsn, here and in execute_flush() */
    *lsn = atomic_fetch_add_explicit(&context->table->next_lsn, 1, memory_order_acq_rel);
    STORE_YIELD_POINT(YIELD_LSN_TAKEN);
    if (flush_view_stands(context->table, view))
        return true;
    log_ring_append(context->log, &(struct log_record){.lsn = *lsn, .type = LOG_NOP});
    return false;
}

/* An item as found in its chain, under the lock. */
struct found {
    struct slot slot;
    uint64_t version, expiry_ms, shape;
    uint32_t line; /* 0: no such item; then the rest has no meaning */
};

/* place.c - all under the main bucket's lock */
void place_find(const struct table *table, struct bucket *main, unsigned tag, const uint8_t *key,
                size_t key_length, struct found *out);
void place_load(const struct table *table, struct slot slot, struct found *out); /* the item in a slot */
/* Copies key and value of an item out. */
void place_key(const struct table *table, const struct found *found, uint8_t out[KEY_BYTES_MAX]);
void place_value(const struct table *table, const struct found *found, uint8_t out[VALUE_BYTES_MAX]);
/* Numbers of the item's lines, in order; returns how many. */
unsigned place_lines(const struct table *table, const struct found *found, uint32_t out[ITEM_LINES_MAX]);
/* Lines that the item's new state takes beyond those it has; these must be admitted first. */
int place_more_lines(const struct found *found, size_t key_length, size_t value_length);
/* Puts the state of `record` in place of what was found (or adds it), and releases lines it leaves over. */
void place_store(struct execute_context *context, struct bucket *main, unsigned tag,
                 const struct found *found, const struct log_record *record);
void place_remove(struct execute_context *context, struct bucket *main, const struct found *found);

enum removal {
    REMOVAL_DONE,
    REMOVAL_LOG_FULL,
    REMOVAL_FLUSHED, /* a FLUSH interfered */
};
/* Removes an item and logs it. Under the lock. */
enum removal remove_logged(struct execute_context *context, const struct flush_view *view,
                           struct bucket *main, const struct found *found, enum log_reason reason);

/* write.c: SET, DELETE, INCR, TOUCH. clock_ms: the expiry clock. */
enum status execute_write(struct execute_context *context, const struct operation *operation, uint64_t hash,
                          uint64_t clock_ms, struct result *result);

/* flush.c */
enum status execute_flush(struct execute_context *context, struct result *result);

/* evict.c: frees `lines` lines if it can: OK or (counted) BUSY. The operation's own key is spared. No lock
 * is held. */
enum status evict_make_room(struct execute_context *context, const struct operation *operation,
                            uint64_t clock_ms, unsigned lines);

/* sweep.c: goes on removing what the last FLUSH hid, for up to `buckets` buckets. Items removed. No lock is
 * held. */
unsigned reclaim_step(struct execute_context *context, unsigned buckets);

#endif
