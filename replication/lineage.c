/* lineage.c - how far two logs hold the same. */
#include "lineage.h"

uint64_t lineage_end(const struct meta *line, unsigned history, uint64_t last_lsn)
{
    uint64_t end = last_lsn;

    for (unsigned i = history + 1; i < line->count; i++)
        end = line->history[i].before_lsn < end ? line->history[i].before_lsn : end;
    return end;
}

uint64_t lineage_common(const struct meta *ours, uint64_t our_last_lsn, const struct meta *theirs,
                        uint64_t their_last_lsn)
{
    /* The latest that both have: whatever either has after it, the other does not. */
    for (unsigned i = ours->count; i-- > 0;)
        for (unsigned j = theirs->count; j-- > 0;)
            if (ours->history[i].id == theirs->history[j].id) {
                uint64_t our_end = lineage_end(ours, i, our_last_lsn);
                uint64_t their_end = lineage_end(theirs, j, their_last_lsn);
                return our_end < their_end ? our_end : their_end;
            }
    return 0;
}
