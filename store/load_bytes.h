/*
 * load_bytes.h - unaligned little-endian loads and stores of up to eight bytes that never touch a byte
 * outside their range. The store's packed words and the hash are defined little-endian.
 */
#ifndef WILD_LOAD_BYTES_H
#define WILD_LOAD_BYTES_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are stored as the CPU has them");

static inline uint64_t load_8(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word;
}

static inline void store_8(uint8_t *bytes, uint64_t word)
{
    memcpy(bytes, &word, 8);
}

/* The `count` bytes (0..7) at `bytes`, zero-extended. */
static inline uint64_t load_below_8(const uint8_t *bytes, size_t count)
{
    if (count >= 4) {
        uint32_t low, high;
        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + count - 4, 4);
        return low | (uint64_t)high << 8 * (count - 4);
    }
    if (count == 0)
        return 0;
    return bytes[0] | (uint64_t)bytes[count / 2] << 8 * (count / 2) |
           (uint64_t)bytes[count - 1] << 8 * (count - 1);
}

/* The last length % 8 bytes of bytes[0..length), zero-extended: one load where the length allows it. */
static inline uint64_t load_tail(const uint8_t *bytes, size_t length)
{
    size_t count = length & 7;
    if (length >= 8)
        return count ? load_8(bytes + length - 8) >> 8 * (8 - count) : 0;
    return load_below_8(bytes, count);
}

/* memcpy() of short runs, without the call. */
static inline void copy_words(uint8_t *restrict out, const uint8_t *restrict bytes, size_t length)
{
    size_t at = 0;
    for (; at + 8 <= length; at += 8)
        store_8(out + at, load_8(bytes + at));
    if (at < length && length >= 8)
        store_8(out + length - 8, load_8(bytes + length - 8));
    else
        for (; at < length; at++)
            out[at] = bytes[at];
}

/* Writes the low `count` bytes (0..8) of `word`. */
static inline void store_up_to_8(uint8_t *bytes, uint64_t word, size_t count)
{
    if (count & 8) {
        memcpy(bytes, &word, 8);
        return;
    }
    if (count & 4) {
        memcpy(bytes, &word, 4);
        bytes += 4;
        word >>= 32;
    }
    if (count & 2) {
        memcpy(bytes, &word, 2);
        bytes += 2;
        word >>= 16;
    }
    if (count & 1)
        *bytes = (uint8_t)word;
}

#endif
