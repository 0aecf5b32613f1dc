#include "lines.h"

#include "check.h"

/*
 * A bundle on the stack is a chain of free lines. Each line's word 0 holds the next line of the bundle; the
 * first line's words 1 and 2 hold the next bundle and the bundle's size. The head's upper half counts
 * changes, so that a head which went away and came back is not mistaken for an unchanged one (it would take
 * 2^32 changes within one pop to fool it).
 */
enum { BUNDLE_NEXT_LINE = 0, BUNDLE_NEXT_BUNDLE = 1, BUNDLE_SIZE = 2 };

uint64_t lines_ordinary_count(uint64_t capacity, unsigned workers)
{
    return 1 + capacity + (uint64_t)workers * LINE_CACHE_MAX;
}

static void push_bundle(struct lines *lines, const uint32_t *line, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        word_store(&lines->line[line[i]].word[BUNDLE_NEXT_LINE], i + 1 < count ? line[i + 1] : 0);
    struct line *first = &lines->line[line[0]];
    word_store(&first->word[BUNDLE_SIZE], count);
    uint64_t head = atomic_load_explicit(&lines->free_head, memory_order_relaxed);
    uint64_t changed;
    do {
        word_store(&first->word[BUNDLE_NEXT_BUNDLE], (uint32_t)head);
        changed = ((head >> 32) + 1) << 32 | line[0];
        /* release: pairs with acquire in pop_bundle() */
    } while (!atomic_compare_exchange_weak_explicit(&lines->free_head, &head, changed, memory_order_release,
                                                    memory_order_relaxed));
}

/* Returns the size, 0 if the stack is empty. */
static unsigned pop_bundle(struct lines *lines, uint32_t *out)
{
    /* acquire: pairs with release in push_bundle() */
    uint64_t head = atomic_load_explicit(&lines->free_head, memory_order_acquire);
    uint64_t changed;
    do {
        if ((uint32_t)head == 0)
            return 0;
        /* May be an item's word by now; then the head has changed and the exchange fails. */
        uint64_t next = word_load(&lines->line[(uint32_t)head].word[BUNDLE_NEXT_BUNDLE]);
        changed = ((head >> 32) + 1) << 32 | (uint32_t)next;
    } while (!atomic_compare_exchange_weak_explicit(&lines->free_head, &head, changed, memory_order_acquire,
                                                    memory_order_acquire));
    uint32_t line = (uint32_t)head;
    unsigned size = (unsigned)word_load(&lines->line[line].word[BUNDLE_SIZE]);
    for (unsigned i = 0; i < size; i++) {
        out[i] = line;
        line = (uint32_t)word_load(&lines->line[line].word[BUNDLE_NEXT_LINE]);
    }
    return size;
}

void lines_init(struct lines *lines, struct line *line, uint64_t capacity, unsigned workers,
                uint32_t tail_start, uint32_t end)
{
    lines->line = line;
    lines->limit = capacity;
    lines->ordinary_end = (uint32_t)lines_ordinary_count(capacity, workers);
    lines->tail_start = tail_start;
    lines->end = end;
    atomic_init(&lines->used, 0);
    atomic_init(&lines->free_head, 0);
    lines->tail_open = false;
    /* Pushed from the end, so that a fresh table hands out ascending neighbours. */
    uint32_t bundle[LINE_BUNDLE];
    for (uint32_t at = lines->ordinary_end; at > 1;) {
        unsigned count = at - 1 < LINE_BUNDLE ? at - 1 : LINE_BUNDLE;
        at -= count;
        for (unsigned i = 0; i < count; i++)
            bundle[i] = at + i;
        push_bundle(lines, bundle, count);
    }
}

bool lines_admit(struct lines *lines, uint64_t count)
{
    /* Compare-and-exchange rather than add-and-undo: an undone excess would show others a FULL that is
     * not. */
    uint64_t used = atomic_load_explicit(&lines->used, memory_order_relaxed);
    do {
        if (used + count > lines->limit)
            return false;
        /* acquire: pairs with release in lines_release(): what was freed before can be taken */
    } while (!atomic_compare_exchange_weak_explicit(&lines->used, &used, used + count, memory_order_acquire,
                                                    memory_order_relaxed));
    return true;
}

void lines_release(struct lines *lines, uint64_t count)
{
    /* release: pairs with acquire in lines_admit() */
    uint64_t before = atomic_fetch_sub_explicit(&lines->used, count, memory_order_release);
    CHECK(before >= count);
}

uint64_t lines_used(const struct lines *lines)
{
    return atomic_load_explicit(&lines->used, memory_order_relaxed);
}

static uint32_t take_tail(struct lines *lines)
{
    uint32_t line = lines->tail_free;
    if (line) {
        lines->tail_free = (uint32_t)word_load(&lines->line[line].word[0]);
        return line;
    }
    CHECK(lines->tail_open && lines->tail_unused < lines->end);
    return lines->tail_unused++;
}

void lines_take(struct lines *lines, struct line_cache *cache, uint32_t *out, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (cache->count == 0) {
            cache->count = pop_bundle(lines, cache->line);
            /* Bundles list their lines in the order to hand out; caches are used from the end. */
            for (unsigned low = 0, high = cache->count; low + 1 < high; low++, high--) {
                uint32_t swapped = cache->line[low];
                cache->line[low] = cache->line[high - 1];
                cache->line[high - 1] = swapped;
            }
        }
        out[i] = cache->count ? cache->line[--cache->count] : take_tail(lines);
    }
}

void lines_put(struct lines *lines, struct line_cache *cache, const uint32_t *line, unsigned count)
{
    /* From the last to the first, so that they are handed out in this order again. */
    for (unsigned i = count; i-- > 0;) {
        if (lines_in_tail(lines, line[i])) {
            word_store(&lines->line[line[i]].word[0], lines->tail_free);
            lines->tail_free = line[i];
            continue;
        }
        if (cache->count == LINE_CACHE_MAX) {
            push_bundle(lines, cache->line, LINE_BUNDLE);
            cache->count -= LINE_BUNDLE;
            for (unsigned k = 0; k < cache->count; k++)
                cache->line[k] = cache->line[k + LINE_BUNDLE];
        }
        cache->line[cache->count++] = line[i];
    }
}

void lines_return_cache(struct lines *lines, struct line_cache *cache)
{
    while (cache->count) {
        unsigned count = cache->count < LINE_BUNDLE ? cache->count : LINE_BUNDLE;
        push_bundle(lines, &cache->line[cache->count - count], count);
        cache->count -= count;
    }
}

void lines_open_tail(struct lines *lines, uint64_t limit)
{
    lines->tail_unused = lines->tail_start;
    lines->tail_free = 0;
    lines->tail_open = true;
    lines->limit = limit;
}

void lines_set_limit(struct lines *lines, uint64_t limit)
{
    lines->limit = limit;
}

void lines_close_tail(struct lines *lines)
{
    lines->tail_unused = lines->end;
    lines->tail_free = 0;
    lines->tail_open = false;
}
