/*
 * table_load.h - keys and values for tests of the table under load: of all lengths, and a value says whose
 * it is.
 */
#ifndef WILD_TESTS_TABLE_LOAD_H
#define WILD_TESTS_TABLE_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol_limits.h"

enum { VALUE_MIN = 16 };

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s: line %d: not so: %s\n", __FILE__, __LINE__, #condition);                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Keys of all kinds of lengths; the first bytes are the number. */
static inline unsigned make_key(unsigned number, uint8_t out[KEY_BYTES_MAX])
{
    unsigned length = number % 5 == 0 ? 3 + number % 200 : 3 + number % 30;
    memset(out, (int)(number * 7), length);
    out[0] = (uint8_t)number;
    out[1] = (uint8_t)(number >> 8);
    return length;
}

static inline void make_value(unsigned number, uint64_t nonce, uint8_t *out, unsigned length)
{
    uint64_t state = number * 1000003 + nonce;
    memcpy(out, &nonce, 8);
    for (unsigned i = 8; i < length; i += 8) {
        uint64_t word = next_random(&state);
        memcpy(out + i, &word, length - i < 8 ? length - i : 8);
    }
}

static inline bool value_is_whole(unsigned number, const uint8_t *value, unsigned length)
{
    uint8_t expected[VALUE_BYTES_MAX];
    uint64_t nonce;
    if (length < VALUE_MIN)
        return false;
    memcpy(&nonce, value, 8);
    make_value(number, nonce, expected, length);
    return memcmp(expected, value, length) == 0;
}

#endif
