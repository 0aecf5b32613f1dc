/*
 * durability.h - what workers know of the log: how far it is durable, and what that means for replies.
 *
 * Writer: the control lcore. Readers: workers, once a turn.
 */
#ifndef WILD_DURABILITY_H
#define WILD_DURABILITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "meta.h"

/* Fixed at start. */
struct durability_rules {
    bool log;         /* there is a write-ahead log: a write may ask for DURABILITY_LOCAL */
    bool replicated;  /* every write waits for replicas: it may ask for DURABILITY_REPLICATED */
    bool writes_wait; /* --durability sync: every write's reply waits until it is durable */
    bool reads_wait;  /* and reads of what is not durable yet wait too (--reads durable) */
};

struct durable_point {
    /* Every change up to it is on stable storage, and on as many replicas' as it takes; on a replica, its
     * primary has said so. release: pairs with acquire in durable_point_get() */
    _Atomic uint64_t lsn;
    /* It will not move, for now or ever: who waits for more gets TIMEOUT (writes) or STALE (reads) */
    _Atomic bool failed;
    /* What a read's min_lsn is judged by; NULL until the log is read, or on a replica until the primary has
     * told. Set by control: release, pairs with acquire below. Stays until every worker has begun another
     * turn. */
    const struct meta *_Atomic histories;
};

static inline void durable_point_set(struct durable_point *point, uint64_t lsn, bool failed)
{
    atomic_store_explicit(&point->failed, failed, memory_order_relaxed);
    atomic_store_explicit(&point->lsn, lsn, memory_order_release);
}

/* Whether that LSN was given to a change that a tail took with it, before the node started. What a history
 * began with, which a node that has changed nothing yet shows as its last, was given to none. */
static inline bool durable_point_lost(const struct durable_point *point, uint64_t lsn)
{
    const struct meta *meta = atomic_load_explicit(&point->histories, memory_order_acquire);
    return meta != NULL && lsn < meta->history[meta->count - 1].first_lsn && (uint32_t)(lsn + 1) != 0 &&
           meta_lsn_is_lost(meta, lsn);
}

/* The last change, from a table's last LSN: what a history begins with is none. */
static inline uint64_t durable_point_last_change(const struct durable_point *point, uint64_t table_lsn)
{
    const struct meta *meta = atomic_load_explicit(&point->histories, memory_order_acquire);
    return meta != NULL && (uint32_t)(table_lsn + 1) == 0 ? meta_last_lsn(meta, table_lsn + 1) : table_lsn;
}

struct durable_view {
    uint64_t lsn;
    bool failed;
};

static inline struct durable_view durable_point_get(const struct durable_point *point)
{
    /* acquire: pairs with release in durable_point_set() */
    uint64_t lsn = atomic_load_explicit(&point->lsn, memory_order_acquire);
    return (struct durable_view){lsn, atomic_load_explicit(&point->failed, memory_order_relaxed)};
}

#endif
