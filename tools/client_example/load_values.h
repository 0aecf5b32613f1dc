/*
 * load_values.h - what a load test stores: values that say what they are, so that every one read back can be
 * verified to the last byte.
 *
 *   offset 0   key's number, 8 bytes          (as much of it as the value size has room for)
 *   offset 8   version, 4 bytes: counts the writes of this key in this run
 *   offset 12  the run's random number, 4 bytes
 *   offset 16  a stream that is a function of the three
 */
#ifndef WILD_EXAMPLE_LOAD_VALUES_H
#define WILD_EXAMPLE_LOAD_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_KEY_BYTES = 16 };

void load_key_fill(char out[LOAD_KEY_BYTES], uint64_t number);
void load_value_fill(uint8_t *out, size_t length, uint64_t number, uint32_t version, uint32_t run);
bool load_value_is(const uint8_t *value, size_t length, size_t expected_length, uint64_t number,
                   uint32_t version, uint32_t run);

/* What write number `version` of a key does is decided by the three as well. The first stores. */
enum load_write {
    LOAD_STORE,
    LOAD_STORE_EXPIRING, /* every second one, if any expire */
    LOAD_DELETE,
};
enum load_write load_write_kind(uint64_t number, uint32_t version, uint32_t run, unsigned delete_percent,
                                bool some_expire);

/* splitmix64: a stream of well-mixed words from any state. */
uint64_t load_random(uint64_t *state);

#endif
