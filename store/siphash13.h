/*
 * siphash13.h - SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012), inlined: the
 * keyed function that chooses buckets. One compression and three finalisation rounds suffice against
 * collisions where outputs are never shown; nothing here authenticates anything.
 *
 * The rounds are parameters so that tests can check the same code against the published 2-4 vectors.
 */
#ifndef WILD_SIPHASH13_H
#define WILD_SIPHASH13_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "load_bytes.h"

struct siphash_key {
    uint64_t k0, k1; /* the 16 key bytes, little-endian */
};

struct siphash_state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void siphash_rounds(struct siphash_state *s, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = siphash_rotate(s->v1, 13) ^ s->v0;
        s->v3 = siphash_rotate(s->v3, 16) ^ s->v2;
        s->v0 = siphash_rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = siphash_rotate(s->v1, 17) ^ s->v2;
        s->v3 = siphash_rotate(s->v3, 21) ^ s->v0;
        s->v2 = siphash_rotate(s->v2, 32);
    }
}

/* The state before the first word: made once for a key that hashes many messages. */
static inline struct siphash_state siphash_start(const struct siphash_key *key)
{
    return (struct siphash_state){
        .v0 = key->k0 ^ 0x736f6d6570736575ULL,
        .v1 = key->k1 ^ 0x646f72616e646f6dULL,
        .v2 = key->k0 ^ 0x6c7967656e657261ULL,
        .v3 = key->k1 ^ 0x7465646279746573ULL,
    };
}

/* The word that closes a message: its length in the top byte above what is left of it. */
static inline uint64_t siphash_last_word(const uint8_t *bytes, size_t length)
{
    return (uint64_t)length << 56 | load_tail(bytes, length);
}

__attribute__((always_inline)) static inline uint64_t siphash_from(const struct siphash_state *start,
                                                                   const uint8_t *bytes, size_t length,
                                                                   unsigned compression,
                                                                   unsigned finalisation)
{
    struct siphash_state s = *start;
    uint64_t last = siphash_last_word(bytes, length);
    for (size_t left = length; left >= 8; left -= 8, bytes += 8) {
        uint64_t word = load_8(bytes);
        s.v3 ^= word;
        siphash_rounds(&s, compression);
        s.v0 ^= word;
    }
    s.v3 ^= last;
    siphash_rounds(&s, compression);
    s.v0 ^= last;
    s.v2 ^= 0xFF;
    siphash_rounds(&s, finalisation);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

__attribute__((always_inline)) static inline uint64_t siphash(const struct siphash_key *key,
                                                              const uint8_t *bytes, size_t length,
                                                              unsigned compression, unsigned finalisation)
{
    struct siphash_state start = siphash_start(key);
    return siphash_from(&start, bytes, length, compression, finalisation);
}

/* Lengths that are usual for keys, and known where this is compiled, leave no loop and no tail. */
static inline uint64_t siphash13(const struct siphash_state *start, const uint8_t *bytes, size_t length)
{
    if (length == 8)
        return siphash_from(start, bytes, 8, 1, 3);
    if (length == 16)
        return siphash_from(start, bytes, 16, 1, 3);
    return siphash_from(start, bytes, length, 1, 3);
}

#endif
