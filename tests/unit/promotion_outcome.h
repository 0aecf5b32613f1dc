/*
 * promotion_outcome.h - for tests of promotions: begins one, and looks at what came of it.
 */
#ifndef WILD_TESTS_PROMOTION_OUTCOME_H
#define WILD_TESTS_PROMOTION_OUTCOME_H

#include "promotion_town.h"

#define FIRST_TERM  UINT32_C(0x10000) /* the epoch of a promotion after epoch 1 */
#define SECOND_TERM UINT32_C(0x20000)

static inline bool text_has(const struct town *town, unsigned number, const char *part)
{
    bool has = strstr(town_result(town, number)->text, part) != NULL;
    if (!has)
        printf("\n    \"%s\" is not in: %s\n", part, town_result(town, number)->text);
    return has;
}

static inline unsigned seals(const struct town *town)
{
    unsigned count = 0;
    for (unsigned i = 0; i < TOWN_NODES; i++)
        count += town->node[i].seals;
    return count;
}

static inline bool is_lost(const struct town *town, unsigned number, enum promotion_why why)
{
    const struct promotion_result *result = town_result(town, number);
    if (result->state == PROMOTION_LOST && result->why == why)
        return true;
    printf("\n    state %d, why %d: %s\n", result->state, result->why, result->text);
    return false;
}

static inline bool is_won(const struct town *town, unsigned number, uint32_t epoch)
{
    const struct promotion_result *result = town_result(town, number);
    if (result->state == PROMOTION_WON && result->why == PROMOTION_NONE && result->epoch == epoch)
        return true;
    printf("\n    state %d, why %d, epoch %u: %s\n", result->state, result->why, result->epoch, result->text);
    return false;
}

static inline void promote(struct town *town, unsigned number)
{
    struct promotion_order order = town_order(town, number);
    town_begin(town, number, &order);
}

static inline void promote_by_force(struct town *town, unsigned number)
{
    struct promotion_order order = town_order(town, number);
    order.force = true;
    town_begin(town, number, &order);
}

/* Until it is asked for its own promise, which is held back. */
static inline void promote_up_to_own_seal(struct town *town, unsigned number, bool force)
{
    uint32_t epoch;
    town->node[number].own_seal_ms = TOWN_NEVER;
    if (force)
        promote_by_force(town, number);
    else
        promote(town, number);
    for (unsigned ms = 0; ms < 1000 && !promotion_wants_seal(town->node[number].promotion, &epoch); ms++)
        town_pass(town, 1);
    CU_ASSERT_TRUE_FATAL(promotion_wants_seal(town->node[number].promotion, &epoch));
    town->node[number].own_seal_ms = 0;
}

#endif
