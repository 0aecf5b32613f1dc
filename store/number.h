/*
 * number.h - signed 64-bit integers as INCR stores them: strict decimal text, so that GET shows a number.
 *
 * Valid: an optional '-', then digits without a leading zero ("0" itself apart); not "-0"; within int64_t.
 */
#ifndef WILD_NUMBER_H
#define WILD_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol_limits.h"

bool number_parse(const uint8_t *text, size_t length, int64_t *out);
size_t number_print(uint8_t out[DECIMAL_BYTES_MAX], int64_t number); /* returns the length */

#endif
