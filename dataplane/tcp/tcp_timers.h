/*
 * tcp_timers.h - a hierarchical timer wheel (Varghese, Lauck: "Hashed and Hierarchical Timing Wheels", 1987):
 * 4 levels of 64 slots, ticks of 2^20 ns (about 1 ms), so up to about 4.9 hours; later ones wait in the last
 * slot and are looked at again.
 *
 * An entry has one place in the wheel, at or before the earliest of its owner's deadlines. A deadline that
 * moves later leaves it where it is: when the entry fires too early, its owner puts it back. So arming the
 * retransmit timer with every segment costs a store.
 */
#ifndef WILD_TCP_TIMERS_H
#define WILD_TCP_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TIMER_TICK_SHIFT = 20,
    TIMER_LEVELS = 4,
    TIMER_SLOTS = 64,
    TIMER_MOVES_MAX = 64, /* entries that one call moves to lower levels */
};

/* Zeroed: not in the wheel. */
struct tcp_timer_entry {
    struct tcp_timer_entry *next, **link; /* link: the pointer that points here; NULL: not in the wheel */
    uint64_t at_ns;                       /* when it fires; UINT64_MAX when not in the wheel */
};

struct tcp_timers {
    uint64_t tick;               /* everything before it has fired */
    uint64_t used[TIMER_LEVELS]; /* bit: the slot has entries */
    struct tcp_timer_entry *slot[TIMER_LEVELS][TIMER_SLOTS];
    struct tcp_timer_entry *moving[TIMER_LEVELS]; /* on their way to lower levels */
};

void tcp_timers_init(struct tcp_timers *timers, uint64_t now_ns);
/* Moves or inserts; never fires before at_ns, and at the first tcp_timers_next() that is a tick or more
 * after. */
void tcp_timers_arm(struct tcp_timers *timers, struct tcp_timer_entry *entry, uint64_t at_ns);
void tcp_timers_cancel(struct tcp_timers *timers, struct tcp_timer_entry *entry);
/* One entry that is due, taken out of the wheel. NULL: no more, or enough for now (100,000 connections that
 * were opened in one second do not stop everything when their time comes). O(1) when nothing is due. */
struct tcp_timer_entry *tcp_timers_next(struct tcp_timers *timers, uint64_t now_ns);
/* When to call tcp_timers_next() again: nothing fires earlier. UINT64_MAX: empty; a time that has passed:
 * there was enough for one call. */
uint64_t tcp_timers_earliest(const struct tcp_timers *timers);

#endif
