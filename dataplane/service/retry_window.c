#include "service/retry_window.h"

#include <string.h>

enum { ID_MASK = RETRY_WINDOW_IDS - 1 };

void retry_window_reset(struct retry_window *window)
{
    window->highest = 0;
    memset(window->mark, 0, sizeof(window->mark));
}

enum retry_verdict retry_window_check(const struct retry_window *window, uint64_t id,
                                      struct retry_outcome *out)
{
    if (id > window->highest)
        return RETRY_NEW;
    if (window->highest - id >= RETRY_WINDOW_IDS)
        return RETRY_TOO_OLD;
    unsigned at = id & ID_MASK;
    if (window->mark[at] == 0)
        return RETRY_NEW;
    out->status = (enum status)(window->mark[at] - 1);
    out->version = window->version[at];
    out->integer = window->integer[at];
    return RETRY_REPEATED;
}

static bool decided_by_the_table(enum status status)
{
    switch (status) {
    case STATUS_OK:
    case STATUS_NOT_FOUND:
    case STATUS_EXISTS:
    case STATUS_VERSION_MISMATCH:
    case STATUS_FULL:
    case STATUS_NOT_A_NUMBER:
        return true;
    default:
        return false;
    }
}

/* The ids that the window passes over have no outcome (yet): a late one of them is still new. */
static void advance(struct retry_window *window, uint64_t id)
{
    uint64_t steps = id - window->highest;
    if (steps >= RETRY_WINDOW_IDS) {
        memset(window->mark, 0, sizeof(window->mark));
    } else {
        for (uint64_t i = window->highest + 1; i != id + 1; i++)
            window->mark[i & ID_MASK] = 0;
    }
    window->highest = id;
}

void retry_window_record(struct retry_window *window, uint64_t id, const struct retry_outcome *outcome)
{
    if (!decided_by_the_table(outcome->status))
        return;
    if (id > window->highest)
        advance(window, id);
    unsigned at = id & ID_MASK;
    window->mark[at] = (uint8_t)(outcome->status + 1);
    window->version[at] = outcome->version;
    window->integer[at] = outcome->integer;
}
