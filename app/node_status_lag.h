/*
 * node_status_lag.h - how many changes lie between two LSNs: histories begin far apart, and there is nothing between.
 */
#ifndef WILD_NODE_STATUS_LAG_H
#define WILD_NODE_STATUS_LAG_H

#include "meta.h"

/* Changes above `from` up to `to`. histories: NULL, or those of the log that both are of. */
static inline uint64_t changes_between(const struct meta *histories, uint64_t from, uint64_t to)
{
    uint64_t changes = 0;

    if (histories != NULL) /* where a history begins, there may be no change yet */
        to = meta_last_lsn(histories, to + 1);
    for (unsigned i = histories != NULL ? histories->count : 0; i > 0 && to > from; i--) {
        const struct history *history = &histories->history[i - 1];

        if (to < history->first_lsn)
            continue;
        if (from >= history->first_lsn - 1)
            break;
        changes += to - (history->first_lsn - 1);
        to = history->before_lsn;
    }
    return to > from ? changes + (to - from) : changes;
}

#endif
