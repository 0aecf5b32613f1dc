/*
 * lineage.h - lines of histories (store/meta.h): what a log holds of each, and how far two logs hold the same.
 *
 * A line is the sequence of changes that a log holds: of each history all up to where it ended, which is what the log
 * had when any later one began (before_lsn; a repair may have lowered it since). One node wrote each history, so what two
 * lines hold of it is the same as far as both go.
 */
#ifndef WILD_LINEAGE_H
#define WILD_LINEAGE_H

#include "meta.h"

/* The last LSN of a line that had just ended that history (a number, not an id) and whose log ends at last_lsn: it may lie
 * below the history's first, if none of it is there. */
uint64_t lineage_end(const struct meta *line, unsigned history, uint64_t last_lsn);

/*
 * The last LSN up to which two logs of one cluster hold the same, each with its list and the LSN of its last change. A log
 * whose last change lies above has a tail that the other does not have. 0: nothing that both are known to have, either:
 * they share no history, or none that both have room to remember.
 */
uint64_t lineage_common(const struct meta *ours, uint64_t our_last_lsn, const struct meta *theirs,
                        uint64_t their_last_lsn);

#endif
