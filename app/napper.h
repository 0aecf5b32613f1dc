/*
 * napper.h - how long an idle loop rests: it spins first, then naps, longer and longer. Knows no clock and does
 * not sleep itself.
 */
#ifndef WILD_NAPPER_H
#define WILD_NAPPER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    NAPPER_SPIN_NS = 50 * 1000,
    NAPPER_FIRST_NS = 1000,
};

struct napper {
    uint64_t idle_since_ns; /* 0: busy */
    uint32_t nap_ns, longest_ns;
};

static inline void napper_init(struct napper *napper, uint32_t longest_ns)
{
    *napper = (struct napper){.nap_ns = NAPPER_FIRST_NS, .longest_ns = longest_ns};
}

/* After a turn that did something or not: how long to sleep before the next one; 0: not at all. */
static inline uint32_t napper_turn(struct napper *napper, bool busy, uint64_t now_ns)
{
    uint32_t nap_ns = napper->nap_ns;

    if (busy) {
        napper_init(napper, napper->longest_ns);
        return 0;
    }
    if (napper->idle_since_ns == 0)
        napper->idle_since_ns = now_ns;
    if (now_ns - napper->idle_since_ns < NAPPER_SPIN_NS)
        return 0;
    napper->nap_ns = nap_ns * 2 < napper->longest_ns ? nap_ns * 2 : napper->longest_ns;
    return nap_ns;
}

#endif
