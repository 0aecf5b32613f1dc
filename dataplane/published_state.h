/*
 * published_state.h - what workers may know of the node's role: one word, so that it changes at one instant.
 * Writer: the control lcore. Readers: workers, once a burst.
 *
 * table_generation changes when the table is emptied and filled anew: what a worker remembers of it is void.
 */
#ifndef WILD_PUBLISHED_STATE_H
#define WILD_PUBLISHED_STATE_H

#include <stdatomic.h>
#include <stdint.h>

#include "message.h"

struct published_state {
    _Atomic uint64_t word; /* epoch (32) | table generation (16) | enum mode (8) | enum serving_state (8) */
    _Atomic uint64_t history; /* changes only together with a new epoch, written before the word (release) */
    /* Where writes are taken, "host:port"; NULL: not known. The text stays until every worker has begun
     * another turn. release: pairs with acquire in published_primary() */
    const char *_Atomic primary;
};

struct state_view {
    uint64_t history;
    uint32_t epoch;
    uint16_t table_generation;
    uint8_t mode, state;
};

static inline void published_state_set(struct published_state *published, const struct state_view *view)
{
    atomic_store_explicit(&published->history, view->history, memory_order_relaxed);
    /* release: pairs with acquire in published_state_get() */
    atomic_store_explicit(&published->word,
                          (uint64_t)view->epoch << 32 | (uint64_t)view->table_generation << 16 |
                              (uint64_t)view->mode << 8 | view->state,
                          memory_order_release);
}

static inline struct state_view published_state_get(const struct published_state *published)
{
    uint64_t word = atomic_load_explicit(&published->word, memory_order_acquire);
    return (struct state_view){
        .history = atomic_load_explicit(&published->history, memory_order_relaxed),
        .epoch = (uint32_t)(word >> 32),
        .table_generation = (uint16_t)(word >> 16),
        .mode = (uint8_t)(word >> 8),
        .state = (uint8_t)word,
    };
}

enum { PUBLISHED_PRIMARY_BYTES = 22 }; /* "255.255.255.255:65535" and its end */

static inline void published_primary_set(struct published_state *published, const char *text)
{
    atomic_store_explicit(&published->primary, text, memory_order_release);
}

static inline const char *published_primary(const struct published_state *published)
{
    return atomic_load_explicit(&published->primary, memory_order_acquire);
}

#endif
