/*
 * random.h - randomness as a parameter.
 *
 * Nothing below app/ draws random bytes by itself: whoever needs them is handed a source, so that a
 * simulation can replay a run from its seed. random_system() is the one source that products use.
 */
#ifndef WILD_RANDOM_H
#define WILD_RANDOM_H

#include <stddef.h>

struct random_source {
    /* Fills `bytes` bytes at `out`; cannot fail (the system's source aborts the process if it has to). */
    void (*fill)(void *state, void *out, size_t bytes);
    void *state; /* owned by whoever made the source; NULL for the system's */
};

static inline void random_fill(const struct random_source *source, void *out, size_t bytes)
{
    source->fill(source->state, out, bytes);
}

/* The kernel's generator through libsodium. keys_start() must have run. Safe from any thread. */
struct random_source random_system(void);

#endif
