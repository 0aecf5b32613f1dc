/* replay_window.c - which of a peer's last counters were seen: a ring of bits, indexed by counter. */
#include "datagram.h"

enum { WORDS = REPLAY_WINDOW_COUNTERS / 64 };

static uint64_t *word_of(struct replay_window *window, uint64_t counter)
{
    return &window->seen[counter / 64 % WORDS];
}

bool replay_window_is_new(const struct replay_window *window, uint64_t counter)
{
    if (counter == DATAGRAM_COUNTER_NEVER)
        return false;
    if (counter >= window->next)
        return true;
    if (window->next - counter > REPLAY_WINDOW_COUNTERS)
        return false; /* at or below highest - 1024: forgotten, so refused */
    return (window->seen[counter / 64 % WORDS] >> (counter % 64) & 1) == 0;
}

/* Counters that were jumped over: their bits still show what was seen one ring's length earlier. */
static void forget(struct replay_window *window, uint64_t first, uint64_t count)
{
    if (count > REPLAY_WINDOW_COUNTERS)
        count = REPLAY_WINDOW_COUNTERS;
    while (count > 0) {
        uint64_t bit = first % 64, bits = 64 - bit < count ? 64 - bit : count;
        *word_of(window, first) &= ~(UINT64_MAX >> (64 - bits) << bit);
        first += bits;
        count -= bits;
    }
}

void replay_window_accept(struct replay_window *window, uint64_t counter)
{
    if (counter >= window->next) {
        forget(window, window->next, counter - window->next);
        window->next = counter + 1;
    }
    *word_of(window, counter) |= UINT64_C(1) << (counter % 64);
}
