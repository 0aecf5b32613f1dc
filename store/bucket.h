/*
 * bucket.h - the index: buckets of eight slots, their sequence lock, and chains of overflow buckets.
 *
 *   0   sequence u32     odd = locked by a writer (main buckets only)
 *   4   overflow u32     number of the chain's next bucket, 0 = none (bucket 0 is a main bucket)
 *   8   last_lsn u64     LSN of the last mutation (main buckets only)
 *   16  8 tags u16       0 = empty slot; else bit 0 is 1 and bits 1 to 14 are the hash's. Bit 15: used since
 *                        the clock passed
 *   32  8 lines u32      the items' first lines
 *
 * A chain is packed: the slots in use come first, in every bucket but the last all eight are in use, and an
 * overflow bucket is never empty. So overflow buckets in use <= floor(items / 8), whatever the distribution.
 * With capacity / 5 buckets the load at FULL is 5 items a bucket (of 8 slots): 2.4 % of the items then lie in
 * overflow buckets, 6.8 % of the main buckets have one (Poisson). tests/unit/test_bucket.c checks the
 * figures.
 *
 * Words that lock-free readers may see are written by word_store() and read by word_load() (item.h), and half
 * words likewise.
 */
#ifndef WILD_BUCKET_H
#define WILD_BUCKET_H

#include <emmintrin.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_pause.h>

#include "line_bytes.h"
#include "yield.h"

enum {
    BUCKET_SLOTS = 8,
    BUCKET_ITEMS_AT_FULL = 5, /* main buckets = capacity / this, rounded up */
    TAG_MASK = 0x7FFF,
    TAG_REFERENCED = 0x8000,
    BUCKET_LOCK_SPINS_MAX = 4096,
};

struct bucket {
    _Alignas(LINE_BYTES) _Atomic uint32_t sequence;
    _Atomic uint32_t overflow;
    _Atomic uint64_t last_lsn;
    _Atomic uint64_t tags[2];
    _Atomic uint32_t lines[BUCKET_SLOTS];
};
static_assert(sizeof(struct bucket) == LINE_BYTES, "a bucket is a cache line");
static_assert(offsetof(struct bucket, tags) == 16 && offsetof(struct bucket, lines) == 32, "layout as above");

struct bucket_array {
    struct bucket *bucket; /* main buckets, then overflow buckets, then (recovery) their tail */
    uint32_t main_count;
    uint32_t ordinary_end; /* main and overflow buckets end here */
    uint32_t tail_start, end;

    _Alignas(LINE_BYTES) _Atomic uint64_t free_head; /* any writer: change count (32) | bucket (32) */
    _Atomic uint64_t overflow_used;

    _Alignas(LINE_BYTES) uint32_t tail_unused; /* the applying thread alone, as in struct lines */
    uint32_t tail_free;
    bool tail_open;
};

uint64_t bucket_main_count(uint64_t capacity);
uint64_t bucket_overflow_count(uint64_t capacity);
/* `bucket` is zeroed memory. */
void bucket_array_init(struct bucket_array *array, struct bucket *bucket, uint64_t capacity,
                       uint32_t tail_start, uint32_t end);
void bucket_open_tail(struct bucket_array *array);
void bucket_close_tail(struct bucket_array *array); /* none of its buckets is in use */

static inline bool bucket_in_tail(const struct bucket_array *array, uint32_t number)
{
    return number >= array->tail_start;
}

/* Which main bucket, from the hash's upper bits; the tag is its lowest. */
static inline struct bucket *bucket_of(struct bucket *bucket, uint64_t main_count, uint64_t hash)
{
    return &bucket[(uint64_t)((unsigned __int128)hash * main_count >> 64)];
}

static inline unsigned hash_tag(uint64_t hash)
{
    return (hash & TAG_MASK) | 1;
}

/*
 * The slots that carry this tag, as bits 2i and 2i + 1 of slot i: match_slot() is the first of them (if there
 * is one), match_line() its item, match_rest() the other slots. TAG_REFERENCED is set on both sides of the
 * comparison.
 */
static inline unsigned bucket_match(const struct bucket *bucket, unsigned tag)
{
    __m128i referenced = _mm_set1_epi16((short)TAG_REFERENCED);
    __m128i tags = _mm_or_si128((__m128i)line_load_16(bucket->tags, 0), referenced);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi16(tags, _mm_set1_epi16((short)(tag | TAG_REFERENCED))));
}

static inline unsigned match_slot(unsigned match)
{
    return (unsigned)__builtin_ctz(match) / 2;
}

static inline unsigned match_rest(unsigned match)
{
    match &= match - 1;
    return match & (match - 1);
}

/* Slots in use; under the lock, or for what it is worth. */
static inline unsigned bucket_count(const struct bucket *bucket)
{
    return match_slot(bucket_match(bucket, 0) | 1u << 2 * BUCKET_SLOTS);
}

static inline uint32_t bucket_line(const struct bucket *bucket, unsigned slot)
{
    /* acquire: pairs with release in set_slot() */
    return atomic_load_explicit(&bucket->lines[slot], memory_order_acquire);
}

static inline unsigned bucket_tag(const struct bucket *bucket, unsigned slot)
{
    return (uint16_t)(word_load(&bucket->tags[slot / 4]) >> (slot & 3) * 16);
}

/* bucket_line() of match_slot(), without a step between the bits and the address: look-ups wait for it. */
static inline uint32_t match_line(const struct bucket *bucket, unsigned match)
{
    const uint8_t *lines = (const uint8_t *)bucket->lines;
    size_t at = (size_t)__builtin_ctz(match) * (sizeof bucket->lines[0] / 2);
    return atomic_load_explicit((const _Atomic uint32_t *)(lines + at), memory_order_acquire);
}

static inline uint32_t bucket_next(const struct bucket *bucket)
{
    /* acquire: pairs with release in chain_append() and chain_remove() */
    return atomic_load_explicit(&bucket->overflow, memory_order_acquire);
}

/* Readers. The sequence before the copy (odd: locked, try again), and whether it is still the same after. */
static inline uint32_t bucket_read_begin(const struct bucket *main)
{
    /* acquire: pairs with release in bucket_unlock() */
    return atomic_load_explicit(&main->sequence, memory_order_acquire);
}

static inline bool bucket_read_valid(const struct bucket *main, uint32_t sequence)
{
    /* Relaxed is enough: every load of the copy was an acquire (or line_bytes.h's, which the fence stops
     * here), so this one comes after them all; and if one of them saw a word that a writer stored (release)
     * after locking, this one sees the lock at least. */
    atomic_signal_fence(memory_order_acquire);
    return atomic_load_explicit(&main->sequence, memory_order_relaxed) == sequence;
}

/* Writers. A writer that holds one bucket may only try another. */
static inline bool bucket_try_lock(struct bucket *main)
{
    uint32_t sequence = atomic_load_explicit(&main->sequence, memory_order_relaxed);
    /* acquire: pairs with release in bucket_unlock(). */
    return (sequence & 1) == 0 &&
           atomic_compare_exchange_strong_explicit(&main->sequence, &sequence, sequence + 1,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* False after BUCKET_LOCK_SPINS_MAX attempts. */
static inline bool bucket_lock(struct bucket *main)
{
    for (unsigned spins = 0; spins < BUCKET_LOCK_SPINS_MAX; spins++) {
        if (bucket_try_lock(main))
            return true;
        STORE_YIELD_POINT(YIELD_LOCK_SPIN);
        rte_pause();
    }
    return false;
}

static inline void bucket_unlock(struct bucket *main)
{
    uint32_t sequence = atomic_load_explicit(&main->sequence, memory_order_relaxed);
    /* release: pairs with acquire in bucket_try_lock() and bucket_read_begin() */
    atomic_store_explicit(&main->sequence, sequence + 1, memory_order_release);
}

/* Where an item hangs. */
struct slot {
    struct bucket *bucket;
    unsigned index;
};

/* The following change a chain, under its main bucket's lock. */

/* Adds an item at the chain's end. Cannot fail for an item whose lines were admitted. */
void chain_append(struct bucket_array *array, struct bucket *main, unsigned tag, uint32_t line);
/* Takes the slot out: the chain's last slot moves into the hole. Before the item's lines are released. */
void chain_remove(struct bucket_array *array, struct bucket *main, struct slot slot);
/* The item in the slot now starts at another line. */
void chain_set_line(struct slot slot, uint32_t line);
/* Takes every slot out, and gives the overflow buckets back. Before the items' lines are released. */
void chain_clear(struct bucket_array *array, struct bucket *main);
/* Moves overflow buckets of this chain that lie in the tail to ordinary ones. */
void chain_leave_tail(struct bucket_array *array, struct bucket *main);

#endif
