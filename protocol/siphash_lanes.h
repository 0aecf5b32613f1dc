/*
 * siphash_lanes.h - SipHash-2-4-128 (https://www.aumasson.jp/siphash/siphash.pdf, with the 128-bit output of
 * its reference code) of several messages at once: four in the lanes of a vector, and two vectors side by
 * side, so that their chains of operations overlap. The same tags as libsodium's
 * crypto_shorthash_siphashx24(), which computes one.
 */
#ifndef WILD_SIPHASH_LANES_H
#define WILD_SIPHASH_LANES_H

#include <stddef.h>
#include <stdint.h>

enum { SIPHASH_LANES = 8, SIPHASH_TAG_BYTES = 16 };

struct siphash_job {
    const uint8_t *key; /* 16 bytes */
    const uint8_t *bytes;
    size_t length;
    uint8_t *tag; /* where SIPHASH_TAG_BYTES are written; may follow the message at once */
};

/* Any count; fastest for multiples of SIPHASH_LANES whose messages have equal lengths. */
void siphash_lanes(const struct siphash_job *jobs, unsigned count);

#endif
