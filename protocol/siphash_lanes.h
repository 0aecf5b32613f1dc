/*
 * siphash_lanes.h - SipHash-2-4-128 (https://www.aumasson.jp/siphash/siphash.pdf, with the 128-bit output of its
 * reference code) of several messages at once: four in the lanes of a vector, whose chains of operations overlap.
 * The same tags as libsodium's crypto_shorthash_siphashx24(), which computes one.
 */
#ifndef WILD_SIPHASH_LANES_H
#define WILD_SIPHASH_LANES_H

#include <stddef.h>
#include <stdint.h>

enum { SIPHASH_LANES = 4, SIPHASH_TAG_BYTES = 16 };

struct siphash_job {
    const uint8_t *key; /* 16 bytes */
    const uint8_t *bytes;
    size_t length;
    uint8_t tag[SIPHASH_TAG_BYTES]; /* out */
};

/* Any count; fastest for multiples of SIPHASH_LANES whose messages have equal lengths. */
void siphash_lanes(struct siphash_job *jobs, unsigned count);

#endif
