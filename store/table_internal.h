/*
 * table_internal.h - the table's struct and what the files of store/ share about it. Not for other folders.
 */
#ifndef WILD_TABLE_INTERNAL_H
#define WILD_TABLE_INTERNAL_H

#include "bucket.h"
#include "execute.h"
#include "item.h"
#include "lines.h"
#include "message.h"
#include "region.h"
#include "siphash13.h"
#include "table.h"

/* One worker's share of a sum; on a line of its own. */
struct table_share {
    _Alignas(LINE_BYTES) _Atomic int64_t items; /* writer: the worker; readers: table_counts() */
};

struct table {
    /* constant after creation (but see lines.h and bucket.h on recovery) */
    struct bucket_array buckets;
    struct lines lines;
    struct siphash_state hash_start; /* under the table's key */
    struct region bucket_region, line_region;
    uint64_t capacity, first_lsn;
    unsigned workers;
    enum evict evict;
    bool force_equal_hashes;

    /* writers: every mutation. The LSN that the next mutation gets. */
    _Alignas(LINE_BYTES) _Atomic uint64_t next_lsn;
    _Atomic uint64_t applying_lsn; /* highest that apply.c is about to apply, or has; its thread writes it */

    /* Read by every operation, written seldom: the clock once a millisecond, the others by FLUSH. */
    _Alignas(LINE_BYTES) _Atomic uint64_t clock_ms; /* highest time shown; only rises */
    _Atomic uint64_t flush_lsn; /* items with a lower version are gone; only rises, until a clear */
    _Atomic uint64_t flushes_begun, flushes_visible; /* flush.c */
    _Atomic uint64_t
        reclaimed_lsn; /* no item is left that a FLUSH up to this LSN hid; writers: sweep.c, clear.c */

    /* housekeeping: writers are the workers that sweep; reclaim_* belong to whoever holds reclaim_lock */
    _Alignas(LINE_BYTES) _Atomic uint32_t reclaim_lock;
    uint32_t reclaim_bucket, reclaim_left; /* next to visit; how many until the round is complete */
    uint64_t reclaim_lsn;
    _Alignas(LINE_BYTES) _Atomic uint64_t sweep_bucket;

    struct table_share share[TABLE_WORKERS_MAX];
};

static inline struct bucket *table_bucket(const struct table *table, uint64_t hash)
{
    return bucket_of(table->buckets.bucket, table->buckets.main_count, hash);
}

/* The expiry clock, shown this time. */
static inline uint64_t table_clock(struct table *table, uint64_t now_ms)
{
    uint64_t clock = atomic_load_explicit(&table->clock_ms, memory_order_relaxed);
    while (__builtin_expect(now_ms > clock, 0))
        if (atomic_compare_exchange_weak_explicit(&table->clock_ms, &clock, now_ms, memory_order_relaxed,
                                                  memory_order_relaxed))
            return now_ms;
    return clock;
}

static inline uint64_t table_flush_lsn(const struct table *table)
{
    /* acquire: pairs with release in flush.c */
    return atomic_load_explicit(&table->flush_lsn, memory_order_acquire);
}

/* What a bucket's content depends on: its own last mutation, and the last FLUSH. */
static inline uint64_t table_bucket_lsn(const struct table *table, const struct bucket *main)
{
    uint64_t own = word_load(&main->last_lsn), flush = table_flush_lsn(table);
    return own > flush ? own : flush;
}

static inline bool item_expired(uint64_t expiry_ms, uint64_t clock_ms)
{
    return expiry_ms != 0 && expiry_ms <= clock_ms;
}

/* read.c: GET, from what probe_match() found. key: the probe's, where the value does not land on it.
 * clock_ms: the expiry clock. OK, NOT_FOUND, MORE or BUSY. */
enum status table_read(struct table *table, const struct table_probe *probe, const uint8_t *key,
                       uint64_t clock_ms, struct result *result);

#endif
