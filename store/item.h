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
 * 0 at the end; line numbers start at 1. Bytes after the value's last, up to the next multiple of 8, are zero.
 *
 * Every word is an 8-byte atomic. Readers take no lock, so they may see lines that are being rewritten or that
 * already belong to another item: whatever they copy counts only if the bucket's sequence did not move. To
 * make that check sound, readers load with acquire and writers store with release (both are plain moves on
 * x86): a reader that saw one word of a change then also sees that the sequence moved.
 */
#ifndef WILD_ITEM_H
#define WILD_ITEM_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_bytes.h"
#include "protocol_limits.h"
#include "table.h"

enum {
    LINE_WORDS = LINE_BYTES / 8,
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

/* acquire: pairs with word_store() */
static inline uint64_t word_load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

/* release: pairs with word_load() */
static inline void word_store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

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

/* item.c: any offset, any length, any number of lines; and keys longer than the first line. */
bool item_copy_packed(struct line_view view, const struct line *line, size_t from, size_t length,
                      uint8_t *out);
bool item_long_key_equals(struct line_view view, const struct line *line, const uint8_t *key, size_t length);

/*
 * Copies `length` packed bytes from offset `from` of the item whose first line is given. False if a link leads
 * nowhere, which only a reader that raced with a writer can see. Reads at most the words that hold the bytes.
 */
static inline bool item_copy(struct line_view view, const struct line *line, size_t from, size_t length,
                             uint8_t *out)
{
    if ((from & 7) != 0 || from + length > ITEM_FIRST_BYTES)
        return item_copy_packed(view, line, from, length, out);
    const _Atomic uint64_t *word = &line->word[ITEM_DATA_WORD + from / 8];
    for (; length >= 8; length -= 8, out += 8)
        store_8(out, word_load(word++));
    if (length)
        store_up_to_8(out, word_load(word), length);
    return true;
}

/* Whether the item's key is this one; its length has been compared already. False also for torn links. */
static inline bool item_key_equals(struct line_view view, const struct line *line, const uint8_t *key,
                                   size_t length)
{
    if (length <= ITEM_FIRST_BYTES) {
        const _Atomic uint64_t *word = &line->word[ITEM_DATA_WORD];
        const uint8_t *at = key;
        for (size_t left = length; left >= 8; left -= 8, at += 8)
            if (word_load(word++) != load_8(at))
                return false;
        if ((length & 7) == 0)
            return true;
        uint64_t mask = ((uint64_t)1 << 8 * (length & 7)) - 1;
        return ((word_load(word) ^ load_tail(key, length)) & mask) == 0;
    }
    return item_long_key_equals(view, line, key, length);
}

#endif
