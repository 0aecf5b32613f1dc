/*
 * item.h - how an item lies in 64-byte lines, and lock-free reads of it.
 *
 *   first line                                      continuation line
 *   0   version u64      LSN of the last change     0   next u32 | zero u32
 *   8   expiry_ms u64    absolute, 0 = never        8   56 bytes of key and value
 *   16  next u32 | value_length u16 | key_length u8 | zero u8
 *   24  40 bytes of key and value
 *
 * Key and value are packed: the value follows the key's last byte. `next` is the number of the next line,
 * 0 at the end; line numbers start at 1. Bytes after the value's last, up to the next multiple of 8, are
 * zero.
 *
 * Readers take no lock, so they may see lines that are being rewritten or that already belong to another
 * item: whatever they copy counts only if the bucket's sequence did not move. line_bytes.h makes that check
 * sound.
 */
#ifndef WILD_ITEM_H
#define WILD_ITEM_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "line_bytes.h"
#include "protocol_limits.h"
#include "table.h"

enum {
    ITEM_VERSION_WORD = 0,
    ITEM_EXPIRY_WORD = 1,
    ITEM_SHAPE_WORD = 2,
    ITEM_DATA_WORD = 3,         /* first line */
    CONTINUATION_DATA_WORD = 1, /* further lines; word 0 is the link */
    ITEM_FIRST_BYTES = (LINE_WORDS - ITEM_DATA_WORD) * 8,
    ITEM_CONTINUATION_BYTES = (LINE_WORDS - CONTINUATION_DATA_WORD) * 8,
    ITEM_BYTES_MAX = KEY_BYTES_MAX + VALUE_BYTES_MAX,
    ITEM_LINES_MAX =
        1 + (ITEM_BYTES_MAX - ITEM_FIRST_BYTES + ITEM_CONTINUATION_BYTES - 1) / ITEM_CONTINUATION_BYTES,
};

struct line {
    _Alignas(LINE_BYTES) _Atomic uint64_t word[LINE_WORDS];
};

static_assert(sizeof(struct line) == LINE_BYTES, "a line is a cache line");
static_assert(ITEM_FIRST_BYTES == 40 && ITEM_CONTINUATION_BYTES == 56, "layout as in the comment above");
static_assert((int)ITEM_LINES_MAX <= (int)TABLE_CAPACITY_MIN, "the largest item fits the smallest table");

static inline unsigned item_lines(size_t key_and_value_bytes)
{
    if (key_and_value_bytes <= ITEM_FIRST_BYTES)
        return 1;
    return 1 + (unsigned)((key_and_value_bytes - ITEM_FIRST_BYTES + ITEM_CONTINUATION_BYTES - 1) /
                          ITEM_CONTINUATION_BYTES);
}

static inline uint64_t item_shape(uint32_t next, size_t key_length, size_t value_length)
{
    return next | (uint64_t)value_length << 32 | (uint64_t)key_length << 48;
}

static inline uint32_t shape_next(uint64_t shape)
{
    return (uint32_t)shape;
}

static inline unsigned shape_value_length(uint64_t shape)
{
    return (uint16_t)(shape >> 32);
}

static inline unsigned shape_key_length(uint64_t shape)
{
    return (uint8_t)(shape >> 48);
}

/* The array of lines, as readers need it: numbers below `end` may be followed. */
struct line_view {
    struct line *line;
    uint32_t end;
};

/*
 * Copies `length` packed bytes from offset `from` of the item whose first line is given. False if a link
 * leads nowhere, which only a reader that raced with a writer can see.
 */
bool item_copy(struct line_view view, const struct line *line, size_t from, size_t length, uint8_t *out);
/* Brings an item's further lines closer, if it has any. */
void item_prefetch_rest(struct line_view view, const struct line *line, uint64_t shape);

bool item_short_key_equals(const struct line *line, const uint8_t *key, size_t length); /* below 8 bytes */
bool item_long_key_equals(struct line_view view, const struct line *line, const uint8_t *key, size_t length);

/* Whether the item's key is this one, of up to ITEM_FIRST_BYTES; its length is compared elsewhere. */
static inline bool item_first_line_key_equals(const struct line *line, const uint8_t *key, size_t length)
{
    const _Atomic uint64_t *data = &line->word[ITEM_DATA_WORD];
    if (!LIKELY(length >= 8))
        return item_short_key_equals(line, key, length);
    size_t at = 0;
    do {
        if (line_load_8(data, at) != load_8(key + at))
            return false;
        at += 8;
    } while (at + 8 <= length);
    return at == length || line_load_8(data, length - 8) == load_8(key + length - 8);
}

/* The same for keys of any length. False also for torn links. */
static inline bool item_key_equals(struct line_view view, const struct line *line, const uint8_t *key,
                                   size_t length)
{
    return length <= ITEM_FIRST_BYTES ? item_first_line_key_equals(line, key, length)
                                      : item_long_key_equals(view, line, key, length);
}

#endif
