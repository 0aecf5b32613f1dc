/*
 * epoch.h - who may lead, as a number: its upper 16 bits are the term, one for each promotion; the lower 16
 * count the starts of the one node that the term belongs to. A cluster begins with epoch 1: term 0, of the
 * node that made it.
 *
 * A start as primary takes the next number within the term: it asks nobody, so it must never reach a number
 * that somebody else may have been promised. A promotion takes the first of the next term, and only who has
 * promised himself to that node for that term (meta.h: sealed) follows it. So however often an old primary
 * is started, those who have gone on to a later term are never taken back by it.
 */
#ifndef WILD_EPOCH_H
#define WILD_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

enum { EPOCH_START_BITS = 16 };

static inline uint32_t epoch_term(uint32_t epoch)
{
    return epoch >> EPOCH_START_BITS;
}

/* Of the next start of the node that has opened `last`; 0: the term has no more, the node must be
 * promoted. */
static inline uint32_t epoch_of_start(uint32_t last)
{
    return epoch_term(last + 1) == epoch_term(last) ? last + 1 : 0;
}

/* Of a promotion after `highest`; 0: terms are used up. */
static inline uint32_t epoch_of_promotion(uint32_t highest)
{
    return (epoch_term(highest) + 1) << EPOCH_START_BITS;
}

/*
 * Whether who has promised himself to `node` for `promised` (has sealed it, or has followed a history of it;
 * 0: nothing yet) may follow a history of `other` with that epoch: of the same term only that node's.
 */
static inline bool epoch_may_follow(uint32_t promised, uint64_t node, uint32_t epoch, uint64_t other)
{
    if (promised == 0 || epoch_term(epoch) > epoch_term(promised))
        return true;
    return epoch >= promised && other == node;
}

/*
 * Whether a node may promise `epoch` to `node`: whose last history has the epoch `last`, and who has promised
 * `sealed` to `sealed_node` (0: nothing to nobody). The same again is no other promise.
 */
static inline bool epoch_may_promise(uint32_t last, uint32_t sealed, uint64_t sealed_node, uint32_t epoch,
                                     uint64_t node)
{
    return epoch > last && epoch == epoch_term(epoch) << EPOCH_START_BITS &&
           (epoch > sealed || (epoch == sealed && node == sealed_node));
}

#endif
