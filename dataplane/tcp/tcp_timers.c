/*
 * tcp_timers.c - the wheel of tcp_timers.h.
 *
 * `tick` is the time of the wheel: ticks before it are over and fired. Level l has a slot for each of the
 * next 64 spans of 64^l ticks; when `tick` enters a span of level l > 0, its slot is emptied into the levels
 * below. Nothing happens between two such moments, so next() walks from one to the next by the bit masks, not
 * tick by tick.
 */
#include "tcp/tcp_timers.h"

#include <assert.h>
#include <stddef.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

enum { SLOT_SHIFT = 6 };
static_assert(1 << SLOT_SHIFT == TIMER_SLOTS, "slots are counted in bits");
#define TICKS_MAX (UINT64_C(1) << SLOT_SHIFT * TIMER_LEVELS)

static uint64_t rotate_right(uint64_t mask, unsigned bits)
{
    return mask >> bits | mask << (-bits & 63);
}

void tcp_timers_init(struct tcp_timers *timers, uint64_t now_ns)
{
    *timers = (struct tcp_timers){.tick = now_ns >> TIMER_TICK_SHIFT};
}

static void link_entry(struct tcp_timers *timers, struct tcp_timer_entry *entry)
{
    uint64_t due = entry->at_ns >> TIMER_TICK_SHIFT;
    if (due < timers->tick)
        due = timers->tick;
    if (due - timers->tick >= TICKS_MAX)
        due = timers->tick + TICKS_MAX - 1;
    unsigned level = 0;
    for (uint64_t ticks = due - timers->tick; ticks >= TIMER_SLOTS; ticks >>= SLOT_SHIFT)
        level++;
    unsigned slot = due >> SLOT_SHIFT * level & (TIMER_SLOTS - 1);
    struct tcp_timer_entry **head = &timers->slot[level][slot];
    entry->next = *head;
    entry->link = head;
    if (entry->next != NULL)
        entry->next->link = &entry->next;
    *head = entry;
    timers->used[level] |= UINT64_C(1) << slot;
}

static void unlink_entry(struct tcp_timers *timers, struct tcp_timer_entry *entry)
{
    *entry->link = entry->next;
    if (entry->next != NULL)
        entry->next->link = entry->link;
    struct tcp_timer_entry **first = &timers->slot[0][0];
    if (entry->next == NULL && entry->link >= first && entry->link < first + TIMER_LEVELS * TIMER_SLOTS) {
        size_t slot = (size_t)(entry->link - first); /* it was the only one of its slot */
        timers->used[slot / TIMER_SLOTS] &= ~(UINT64_C(1) << slot % TIMER_SLOTS);
    }
    entry->next = NULL;
    entry->link = NULL;
}

void tcp_timers_arm(struct tcp_timers *timers, struct tcp_timer_entry *entry, uint64_t at_ns)
{
    if (entry->link != NULL)
        unlink_entry(timers, entry);
    entry->at_ns = at_ns;
    link_entry(timers, entry);
}

void tcp_timers_cancel(struct tcp_timers *timers, struct tcp_timer_entry *entry)
{
    if (entry->link != NULL)
        unlink_entry(timers, entry);
    entry->at_ns = UINT64_MAX;
}

/* The tick at which a level has something to do: level 0 when a used slot is current, others when a slot's
 * span begins (the current one was emptied then, so what is in it now is for the next round). UINT64_MAX:
 * never. */
static uint64_t level_tick(const struct tcp_timers *timers, unsigned level)
{
    if (timers->used[level] == 0)
        return UINT64_MAX;
    uint64_t first = (timers->tick >> SLOT_SHIFT * level) + (level > 0);
    uint64_t ahead_mask = rotate_right(timers->used[level], first & (TIMER_SLOTS - 1));
    return (first + (unsigned)__builtin_ctzll(ahead_mask)) << SLOT_SHIFT * level;
}

/* `tick` has come to the beginning of spans: their slots are to go down. */
static void spans_begin(struct tcp_timers *timers)
{
    for (unsigned level = 1; level < TIMER_LEVELS; level++) {
        unsigned shift = SLOT_SHIFT * level;
        if (timers->tick & ((UINT64_C(1) << shift) - 1))
            return;
        unsigned slot = timers->tick >> shift & (TIMER_SLOTS - 1);
        struct tcp_timer_entry *first = timers->slot[level][slot];
        timers->slot[level][slot] = NULL;
        timers->used[level] &= ~(UINT64_C(1) << slot);
        timers->moving[level] = first;
        if (first != NULL)
            first->link = &timers->moving[level];
    }
}

/* False: there are more. */
static bool move_down(struct tcp_timers *timers)
{
    unsigned moves = 0;
    for (unsigned level = 1; level < TIMER_LEVELS; level++) {
        struct tcp_timer_entry *entry;
        while ((entry = timers->moving[level]) != NULL) {
            if (moves++ == TIMER_MOVES_MAX)
                return false;
            unlink_entry(timers, entry);
            link_entry(timers, entry);
        }
    }
    return true;
}

struct tcp_timer_entry *tcp_timers_next(struct tcp_timers *timers, uint64_t now_ns)
{
    uint64_t now = now_ns >> TIMER_TICK_SHIFT;
    if (likely(timers->tick >= now))
        return NULL;
    while (timers->tick < now && move_down(timers)) {
        struct tcp_timer_entry *entry = timers->slot[0][timers->tick & (TIMER_SLOTS - 1)];
        if (entry != NULL) {
            unlink_entry(timers, entry);
            entry->at_ns = UINT64_MAX;
            return entry;
        }
        /* the slot of level 0 is empty and what begins with this tick has gone down: on to the next moment */
        uint64_t next = now;
        for (unsigned level = 0; level < TIMER_LEVELS; level++)
            next = RTE_MIN(next, level_tick(timers, level));
        timers->tick = next;
        spans_begin(timers);
    }
    return NULL;
}

uint64_t tcp_timers_earliest(const struct tcp_timers *timers)
{
    /* those of level 0 fire when their tick is over; spans go down when they begin */
    uint64_t next = level_tick(timers, 0);
    if (next != UINT64_MAX)
        next++;
    for (unsigned level = 1; level < TIMER_LEVELS; level++) {
        if (timers->moving[level] != NULL)
            next = timers->tick + 1; /* they may be due with this tick */
    }
    for (unsigned level = 1; level < TIMER_LEVELS; level++)
        next = RTE_MIN(next, level_tick(timers, level));
    return next == UINT64_MAX ? UINT64_MAX : next << TIMER_TICK_SHIFT;
}
