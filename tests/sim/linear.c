#include "linear.h"

#include <stdlib.h>
#include <string.h>

/*
 * Wing and Gong's search: of the calls that are left, any may be the next that has been invoked before the
 * first of them returned. States that led nowhere are remembered: which calls were placed, and the value
 * after them.
 *
 * Two rules keep it small and lose nothing. A call that only looks is placed as soon as it may be: it changes
 * nothing, and later it may not be possible any more. Of optional calls whose value nobody asks for any more,
 * one is as good as another: only the first is tried, and only where somebody needs the value that there is
 * to be gone.
 */
enum { WORDS = LINEAR_CALLS_MAX / 64, SEEN_MAX = 1 << 14, STEPS_MAX = 1 << 20 };

struct seen {
    uint64_t placed[WORDS], value;
    bool used;
};

struct search {
    const struct linear_call *calls;
    unsigned count, steps;
    uint64_t placed[WORDS], value;
    struct seen *seen;
    unsigned seen_count;
    bool too_hard;
};

static bool is_placed(const struct search *search, unsigned i)
{
    return search->placed[i / 64] >> i % 64 & 1;
}

static void place(struct search *search, unsigned i)
{
    search->placed[i / 64] |= UINT64_C(1) << i % 64;
    if (search->calls[i].sets)
        search->value = search->calls[i].value;
}

static bool holds(const struct linear_call *call, uint64_t value)
{
    return call->need == LINEAR_ANY || (call->need == LINEAR_IS) == (call->expected == value);
}

/* Calls invoked later than that must wait for one that has returned. */
static uint64_t horizon(const struct search *search)
{
    uint64_t first = LINEAR_NEVER;

    for (unsigned i = 0; i < search->count; i++)
        if (!is_placed(search, i) && search->calls[i].returned < first)
            first = search->calls[i].returned;
    return first;
}

static bool whole(const struct search *search)
{
    for (unsigned i = 0; i < search->count; i++)
        if (!is_placed(search, i) && !search->calls[i].optional)
            return false;
    return true;
}

/* Those who only look, as far as they find what they need. */
static void look(struct search *search)
{
    for (bool more = true; more;) {
        uint64_t until = horizon(search);

        more = false;
        for (unsigned i = 0; i < search->count && search->calls[i].invoked <= until; i++)
            if (!is_placed(search, i) && !search->calls[i].sets && holds(&search->calls[i], search->value)) {
                place(search, i);
                more = true;
            }
    }
}

/* Somebody who is left needs exactly that value. */
static bool is_asked_for(const struct search *search, uint64_t value)
{
    for (unsigned i = 0; i < search->count; i++)
        if (!is_placed(search, i) && search->calls[i].need == LINEAR_IS && search->calls[i].expected == value)
            return true;
    return false;
}

static bool is_in_the_way(const struct search *search, uint64_t until)
{
    for (unsigned i = 0; i < search->count && search->calls[i].invoked <= until; i++)
        if (!is_placed(search, i) && search->calls[i].need == LINEAR_IS_NOT &&
            search->calls[i].expected == search->value)
            return true;
    return false;
}

/* False: this has been tried, and led nowhere; or there is no room to remember it. */
static bool is_new(struct search *search)
{
    uint64_t hash = search->value * UINT64_C(0x9E3779B97F4A7C15);

    for (unsigned i = 0; i < WORDS; i++)
        hash = (hash ^ search->placed[i] ^ hash >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
    for (size_t at = hash % SEEN_MAX;; at = (at + 1) % SEEN_MAX) {
        struct seen *seen = &search->seen[at];

        if (!seen->used) {
            if (search->seen_count == SEEN_MAX / 2) {
                search->too_hard = true;
                return false;
            }
            search->seen_count++;
            seen->used = true;
            seen->value = search->value;
            memcpy(seen->placed, search->placed, sizeof seen->placed);
            return true;
        }
        if (seen->value == search->value && memcmp(seen->placed, search->placed, sizeof seen->placed) == 0)
            return false;
    }
}

static bool find(struct search *search)
{
    uint64_t until, value, placed[WORDS];
    bool spare_tried = false, spare_helps;

    look(search);
    if (whole(search))
        return true;
    if (search->too_hard || !is_new(search))
        return false;
    if (++search->steps == STEPS_MAX)
        search->too_hard = true;
    until = horizon(search);
    spare_helps = is_in_the_way(search, until);
    value = search->value;
    memcpy(placed, search->placed, sizeof placed);
    for (unsigned pass = 0; pass < 2; pass++) /* what has happened before what may have */
        for (unsigned i = 0; i < search->count && search->calls[i].invoked <= until; i++) {
            const struct linear_call *call = &search->calls[i];

            if (is_placed(search, i) || !call->sets || call->optional != (pass == 1) || !holds(call, value))
                continue;
            if (call->optional && !is_asked_for(search, call->value)) {
                if (!spare_helps || spare_tried || call->value == value)
                    continue;
                spare_tried = call->need == LINEAR_ANY;
            }
            place(search, i);
            if (find(search))
                return true;
            search->value = value;
            memcpy(search->placed, placed, sizeof placed);
        }
    return false;
}

static int by_invocation(const void *a, const void *b)
{
    const struct linear_call *first = a, *second = b;

    return (first->invoked > second->invoked) - (first->invoked < second->invoked);
}

/* Whether a beginning with that value is to be tried: of those that nobody asks for one is as good as
 * another. */
static bool is_worth_trying(const struct search *search, uint64_t value, bool *other_tried)
{
    if (value == 0)
        return true;
    for (unsigned i = 0; i < search->count; i++)
        if (search->calls[i].need != LINEAR_ANY && search->calls[i].expected == value)
            return true;
    if (*other_tried)
        return false;
    *other_tried = true;
    return true;
}

enum linear_verdict linear_check(struct linear_call *calls, unsigned count, const uint64_t *initial,
                                 unsigned initials)
{
    struct search search = {.calls = calls, .count = count};
    bool found = false, too_hard = false, other_tried = false;

    if (count > LINEAR_CALLS_MAX)
        return LINEAR_TOO_HARD;
    qsort(calls, count, sizeof calls[0], by_invocation);
    for (unsigned i = 0; i < initials && !found; i++) {
        if (!is_worth_trying(&search, initial[i], &other_tried))
            continue;
        search = (struct search){.calls = calls, .count = count, .value = initial[i]};
        search.seen = calloc(SEEN_MAX, sizeof search.seen[0]); /* what is not touched costs nothing */
        if (search.seen == NULL)
            return LINEAR_TOO_HARD;
        found = find(&search);
        too_hard |= search.too_hard;
        free(search.seen);
    }
    return found ? LINEAR_YES : too_hard ? LINEAR_TOO_HARD : LINEAR_NO;
}
