/*
 * lines.h - item lines: how many are in use (the one count that decides FULL), and which ones are free.
 *
 * The two questions are kept apart. Admission counts lines against the capacity in one atomic word; an
 * admitted operation is then sure to find free lines, because there are more lines than capacity: as many
 * more as all workers' caches can hold. So FULL never depends on which cache holds a line.
 *
 *   order of calls:  lines_admit() -> lines_take() -> ... -> lines_put() -> lines_release()
 *
 * Free lines lie in the workers' caches and, in bundles of up to LINE_BUNDLE, on one lock-free stack. During
 * recovery an overflow tail of lines (apply.h) serves when the ordinary ones are used up.
 */
#ifndef WILD_LINES_H
#define WILD_LINES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "item.h"

enum { LINE_BUNDLE = 32, LINE_CACHE_MAX = 2 * LINE_BUNDLE, LINES_REBUILD_MIN = 64 * ITEM_LINES_MAX };
static_assert((int)ITEM_LINES_MAX <= (int)LINE_BUNDLE, "one bundle serves any operation");
static_assert(3 * (uint64_t)TABLE_CAPACITY_MAX + LINES_REBUILD_MIN < UINT32_MAX - (64 << 20) / LINE_BYTES,
              "line numbers take 32 bits; caches and pages' rests are far below 64 MiB");

/* A worker's own free lines; part of its execute_context. */
struct line_cache {
    uint32_t count;
    uint32_t line[LINE_CACHE_MAX];
};

struct lines {
    /* constant between apply_begin() and apply_end_step(), and outside of them */
    struct line *line;     /* [0, end): number 0 is not used */
    uint64_t limit;        /* lines that may be in use */
    uint32_t ordinary_end; /* first number behind the ordinary lines */
    uint32_t tail_start, end;

    _Alignas(LINE_BYTES) _Atomic uint64_t used;      /* any worker: lines_admit(), lines_release() */
    _Alignas(LINE_BYTES) _Atomic uint64_t free_head; /* any worker: change count (32) | first line (32) */

    /* the applying thread alone */
    _Alignas(LINE_BYTES) uint32_t tail_unused; /* tail lines from here on were never taken */
    uint32_t tail_free;                        /* freed tail lines, linked by word 0 */
    bool tail_open;
};

/* Lines to be mapped for this capacity, number 0 included. */
uint64_t lines_ordinary_count(uint64_t capacity, unsigned workers);
/* Every ordinary line becomes free. `line` is zeroed memory. */
void lines_init(struct lines *lines, struct line *line, uint64_t capacity, unsigned workers,
                uint32_t tail_start, uint32_t end);

/* Counts `count` more lines as used, unless that exceeds the limit. */
bool lines_admit(struct lines *lines, uint64_t count);
void lines_release(struct lines *lines, uint64_t count);
uint64_t lines_used(const struct lines *lines);

/* Free lines to `out`, for lines that were admitted: cannot fail. */
void lines_take(struct lines *lines, struct line_cache *cache, uint32_t *out, unsigned count);
/* Gives lines back; before lines_release(). */
void lines_put(struct lines *lines, struct line_cache *cache, const uint32_t *line, unsigned count);
/* Empties a cache onto the stack. */
void lines_return_cache(struct lines *lines, struct line_cache *cache);

void lines_open_tail(struct lines *lines, uint64_t limit);
/* What may be in use, the tail's included; at the capacity or below nothing more is taken from the tail. */
void lines_set_limit(struct lines *lines, uint64_t limit);
void lines_close_tail(
    struct lines *lines); /* none of its lines is in use, and the limit is the capacity again */

/*
 * Lines that may be in use while a table is rebuilt from a fuzzy snapshot and the log since that began.
 *
 *   capacity   what the log had at some moment of the walk, of buckets copied later
 *   capacity   what the snapshot has of those buckets: anything else, if everything was replaced meanwhile
 *   capacity   buckets were copied at different moments, so a full table's snapshot has `capacity` lines only
 *              on average (nobody can aim at buckets); this is many times the deviation,
 *   and some   largest items: of a tiny table, too
 */
static inline uint64_t lines_rebuild_limit(uint64_t capacity)
{
    return 3 * capacity + LINES_REBUILD_MIN;
}

static inline bool lines_in_tail(const struct lines *lines, uint32_t line)
{
    return line >= lines->tail_start;
}

static inline struct line_view lines_view(const struct lines *lines)
{
    return (struct line_view){.line = lines->line, .end = lines->end};
}

#endif
