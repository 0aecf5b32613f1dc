/*
 * checksum.h - the Internet checksum (RFC 1071), the only one in the tree.
 *
 * One's complement sums do not care about byte order (RFC 1071 2 (B)) nor about word size, as 2^64 - 1 is a
 * multiple of 2^16 - 1: so bytes are added as the machine loads them, eight at a time with end-around carry,
 * and folded to 16 bits once. A folded sum is stored as it is, without a swap.
 */
#ifndef WILD_CHECKSUM_H
#define WILD_CHECKSUM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tails are padded on the side where a word ends");

static inline uint64_t checksum_load64(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint32_t checksum_load32(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint64_t checksum_add(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

/* Adds the last 1..7 bytes of a range, zero-padded to a word. */
static inline uint64_t checksum_add_tail(uint64_t sum, const uint8_t *bytes, size_t length)
{
    uint64_t word = 0;
    if (length & 4) {
        word = checksum_load32(bytes);
        bytes += 4;
    }
    unsigned shift = (length & 4) * 8;
    if (length & 2) {
        word |= ((uint64_t)bytes[0] | (uint64_t)bytes[1] << 8) << shift;
        bytes += 2;
        shift += 16;
    }
    if (length & 1)
        word |= (uint64_t)bytes[0] << shift;
    return checksum_add(sum, word);
}

/* Adds `length` bytes, which start at an even offset of the covered data. */
static inline uint64_t checksum_add_bytes(uint64_t sum, const uint8_t *bytes, size_t length)
{
    uint64_t other = 0; /* two chains of carries, so that additions overlap */
    while (length >= 32) {
        sum = checksum_add(sum, checksum_load64(bytes));
        other = checksum_add(other, checksum_load64(bytes + 8));
        sum = checksum_add(sum, checksum_load64(bytes + 16));
        other = checksum_add(other, checksum_load64(bytes + 24));
        bytes += 32;
        length -= 32;
    }
    if (length & 16) {
        sum = checksum_add(sum, checksum_load64(bytes));
        other = checksum_add(other, checksum_load64(bytes + 8));
        bytes += 16;
    }
    if (length & 8) {
        sum = checksum_add(sum, checksum_load64(bytes));
        bytes += 8;
    }
    if (length & 7)
        sum = checksum_add_tail(sum, bytes, length & 7);
    return checksum_add(sum, other);
}

/* 64 bits of sum to 16, not complemented. */
static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)sum;
}

/* What goes into the checksum field, in memory order. */
static inline uint16_t checksum_finish(uint64_t sum)
{
    return (uint16_t)~checksum_fold(sum);
}

/* Whether data that includes its checksum field adds up. */
static inline int checksum_valid(uint64_t sum)
{
    return checksum_fold(sum) == 0xFFFF;
}

/* An IPv4 header without options: 20 bytes. */
static inline uint64_t checksum_ip4_header(const uint8_t *header)
{
    uint64_t sum = checksum_add(checksum_load64(header), checksum_load64(header + 8));
    return checksum_add(sum, checksum_load32(header + 16));
}

/* The pseudo-header of UDP and TCP over IPv4 (RFC 768): `addresses` points at source and destination as they
 * stand in the IPv4 header; length in host order. */
static inline uint64_t checksum_ip4_pseudo(const uint8_t *addresses, uint8_t protocol, uint16_t length)
{
    uint64_t words = (uint64_t)protocol << 8;
    words += (uint16_t)(length << 8 | length >> 8);
    return checksum_add(checksum_load64(addresses), words);
}

/* RFC 1624 eqn. 3: the field `checksum` after a 16-bit word changed from `before` to `after` (all in memory
 * order). */
static inline uint16_t checksum_update16(uint16_t checksum, uint16_t before, uint16_t after)
{
    return checksum_finish((uint64_t)(uint16_t)~checksum + (uint16_t)~before + after);
}

#endif
