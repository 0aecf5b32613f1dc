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

/* splitmix64: a stream of well-mixed words from any state. */
uint64_t load_random(uint64_t *state);

#endif
