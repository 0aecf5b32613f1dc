/*
 * seeded.h - reproducible "random" for tests: the same numbers in every run of a seed.
 */
#ifndef WILD_TESTS_SEEDED_H
#define WILD_TESTS_SEEDED_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "random.h"

/* xorshift64*, as a random source: the same bytes in every run. The state must not be zero. */
static inline uint64_t seeded_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline void seeded_fill(void *state, void *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)(seeded_next(state) >> 56);
}

static inline struct random_source seeded_source(uint64_t *state)
{
    return (struct random_source){.fill = seeded_fill, .state = state};
}

/* A state that is far from those of neighbouring seeds. */
static inline uint64_t seeded_start(uint64_t seed)
{
    uint64_t state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
    for (unsigned i = 0; i < 4; i++)
        seeded_next(&state);
    return state;
}

/* 0..bound - 1 */
static inline uint64_t seeded_below(uint64_t *state, uint64_t bound)
{
    return seeded_next(state) % bound;
}

/* The run's seed: WILD_SEED from the environment, or the one given. */
static inline uint64_t seeded_from_environment(uint64_t otherwise)
{
    const char *text = getenv("WILD_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

#endif
