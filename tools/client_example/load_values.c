#include "load_values.h"

#include <string.h>

#include "wild.h"

uint64_t load_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

void load_key_fill(char out[LOAD_KEY_BYTES], uint64_t number)
{
    memcpy(out, "load:", 5);
    for (int i = LOAD_KEY_BYTES - 1; i >= 5; i--, number /= 10)
        out[i] = (char)('0' + number % 10);
}

void load_value_fill(uint8_t *out, size_t length, uint64_t number, uint32_t version, uint32_t run)
{
    uint64_t words[2] = {number, (uint64_t)run << 32 | version};
    uint64_t state = number ^ words[1] * UINT64_C(0xD6E8FEB86659FD93);
    memcpy(out, words, length < sizeof(words) ? length : sizeof(words));
    for (size_t at = sizeof(words); at < length; at += 8) {
        uint64_t word = load_random(&state);
        memcpy(out + at, &word, length - at < 8 ? length - at : 8);
    }
}

bool load_value_is(const uint8_t *value, size_t length, size_t expected_length, uint64_t number,
                   uint32_t version, uint32_t run)
{
    uint8_t expected[WILD_VALUE_MAX];
    if (length != expected_length)
        return false;
    load_value_fill(expected, length, number, version, run);
    return length == 0 || memcmp(value, expected, length) == 0;
}

enum load_write load_write_kind(uint64_t number, uint32_t version, uint32_t run, unsigned delete_percent,
                                bool some_expire)
{
    uint64_t state = number << 32 ^ ((uint64_t)run << 32 | version);
    if (version <= 1)
        return LOAD_STORE;
    if (load_random(&state) % 100 < delete_percent)
        return LOAD_DELETE;
    return some_expire && load_random(&state) % 2 == 0 ? LOAD_STORE_EXPIRING : LOAD_STORE;
}
