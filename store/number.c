#include "number.h"

#include <string.h>

bool number_parse(const uint8_t *text, size_t length, int64_t *out)
{
    bool negative = length > 0 && text[0] == '-';
    size_t digits = length - negative;
    const uint8_t *at = text + negative;
    if (digits == 0 || length > DECIMAL_BYTES_MAX || (at[0] == '0' && (digits > 1 || negative)))
        return false;
    /* Counted down, because INT64_MIN has no positive counterpart. */
    int64_t number = 0;
    for (size_t i = 0; i < digits; i++) {
        if (at[i] < '0' || at[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, at[i] - '0', &number))
            return false;
    }
    return !__builtin_mul_overflow(number, negative ? 1 : -1, out);
}

size_t number_print(uint8_t out[DECIMAL_BYTES_MAX], int64_t number)
{
    uint8_t text[DECIMAL_BYTES_MAX];
    size_t at = DECIMAL_BYTES_MAX;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        text[--at] = (uint8_t)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0)
        text[--at] = '-';
    memcpy(out, text + at, DECIMAL_BYTES_MAX - at);
    return DECIMAL_BYTES_MAX - at;
}
