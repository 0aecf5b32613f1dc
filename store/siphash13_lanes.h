/*
 * siphash13_lanes.h - SipHash-1-3 of eight messages at once: four in the lanes of each of two vectors, whose
 * steps overlap. The same results as siphash13(). The vectors are the compiler's own: registers
 * with AVX2 (which every build that meson makes has), pairs of them without.
 *
 *   start, then for every 8-byte word of the messages: absorb, then absorb the closing words, then finish
 */
#ifndef WILD_SIPHASH13_LANES_H
#define WILD_SIPHASH13_LANES_H

#include "siphash13.h"

enum { SIPHASH13_LANES = 8 };

typedef uint64_t siphash_lanes64 __attribute__((vector_size(32)));
typedef uint32_t siphash_lanes32 __attribute__((vector_size(32)));
typedef uint16_t siphash_lanes16 __attribute__((vector_size(32)));

/* Messages 0 to 3, and 4 to 7. */
struct siphash13_lanes {
    siphash_lanes64 v0[2], v1[2], v2[2], v3[2];
};

/* One word of each message. */
struct siphash13_words {
    siphash_lanes64 word[2];
};

#define SIPHASH_INLINE          __attribute__((always_inline)) static inline
#define SIPHASH_ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

/* Whole 32- and 16-bit parts move: one shuffle instead of two shifts and an or. */
SIPHASH_INLINE void siphash_lanes_rotate32(siphash_lanes64 *x)
{
    siphash_lanes32 y = (siphash_lanes32)*x;
    *x = (siphash_lanes64)__builtin_shufflevector(y, y, 1, 0, 3, 2, 5, 4, 7, 6);
}

SIPHASH_INLINE void siphash_lanes_rotate16(siphash_lanes64 *x)
{
    siphash_lanes16 y = (siphash_lanes16)*x;
    *x = (siphash_lanes64)__builtin_shufflevector(y, y, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}

/* Line by line for both halves: neither waits for the other. */
SIPHASH_INLINE void siphash13_lanes_round(struct siphash13_lanes *s)
{
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        s->v0[h] += s->v1[h];
        s->v2[h] += s->v3[h];
        siphash_lanes_rotate16(&s->v3[h]);
        s->v1[h] = SIPHASH_ROTATE(s->v1[h], 13) ^ s->v0[h];
        s->v3[h] ^= s->v2[h];
        siphash_lanes_rotate32(&s->v0[h]);
        s->v2[h] += s->v1[h];
        s->v0[h] += s->v3[h];
        s->v1[h] = SIPHASH_ROTATE(s->v1[h], 17) ^ s->v2[h];
        s->v3[h] = SIPHASH_ROTATE(s->v3[h], 21) ^ s->v0[h];
        siphash_lanes_rotate32(&s->v2[h]);
    }
}

SIPHASH_INLINE void siphash13_lanes_start(struct siphash13_lanes *s, const struct siphash_state *start)
{
    for (unsigned h = 0; h < 2; h++) {
        s->v0[h] = (siphash_lanes64){start->v0, start->v0, start->v0, start->v0};
        s->v1[h] = (siphash_lanes64){start->v1, start->v1, start->v1, start->v1};
        s->v2[h] = (siphash_lanes64){start->v2, start->v2, start->v2, start->v2};
        s->v3[h] = (siphash_lanes64){start->v3, start->v3, start->v3, start->v3};
    }
}

SIPHASH_INLINE void siphash13_lanes_absorb(struct siphash13_lanes *s, const struct siphash13_words *words)
{
    for (unsigned h = 0; h < 2; h++)
        s->v3[h] ^= words->word[h];
    siphash13_lanes_round(s);
    for (unsigned h = 0; h < 2; h++)
        s->v0[h] ^= words->word[h];
}

SIPHASH_INLINE void siphash13_lanes_finish(struct siphash13_lanes *s, uint64_t hash[SIPHASH13_LANES])
{
    for (unsigned h = 0; h < 2; h++)
        s->v2[h] ^= 0xFF;
    for (unsigned i = 0; i < 3; i++)
        siphash13_lanes_round(s);
    for (unsigned h = 0; h < 2; h++) {
        siphash_lanes64 out = s->v0[h] ^ s->v1[h] ^ s->v2[h] ^ s->v3[h];
        memcpy(&hash[4 * h], &out, sizeof out);
    }
}

#endif
