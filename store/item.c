/*
 * item.c - the uncommon items: keys and values that are not aligned in their words, or take several lines.
 */
#include "item.h"

bool item_copy_packed(struct line_view view, const struct line *line, size_t from, size_t length,
                      uint8_t *out)
{
    const _Atomic uint64_t *word = &line->word[ITEM_DATA_WORD];
    const _Atomic uint64_t *end = &line->word[LINE_WORDS];
    uint32_t next = shape_next(word_load(&line->word[ITEM_SHAPE_WORD]));
    size_t room = ITEM_FIRST_BYTES;

    if (length == 0)
        return true;
    for (; from >= room; room = ITEM_CONTINUATION_BYTES) {
        from -= room;
        if (next == 0 || next >= view.end)
            return false;
        line = &view.line[next];
        next = (uint32_t)word_load(&line->word[0]);
        word = &line->word[CONTINUATION_DATA_WORD];
        end = &line->word[LINE_WORDS];
    }
    word += from / 8;

    /* `carry` holds the `held` next bytes; each turn completes eight with the low bytes of the next word. */
    unsigned shift = (unsigned)(from & 7) * 8;
    size_t held = 8 - (from & 7);
    uint64_t carry = word_load(word++) >> shift;
    while (length > held) {
        if (word == end) {
            if (next == 0 || next >= view.end)
                return false;
            line = &view.line[next];
            next = (uint32_t)word_load(&line->word[0]);
            word = &line->word[CONTINUATION_DATA_WORD];
            end = &line->word[LINE_WORDS];
        }
        uint64_t low = word_load(word++);
        uint64_t whole = carry | low << 1 << (63 - shift);
        if (length < 8) {
            store_up_to_8(out, whole, length);
            return true;
        }
        store_8(out, whole);
        out += 8;
        length -= 8;
        carry = low >> shift;
        if (length == 0)
            return true;
    }
    store_up_to_8(out, carry, length);
    return true;
}

bool item_long_key_equals(struct line_view view, const struct line *line, const uint8_t *key, size_t length)
{
    uint8_t stored[KEY_BYTES_MAX];
    return item_copy_packed(view, line, 0, length, stored) && memcmp(stored, key, length) == 0;
}
