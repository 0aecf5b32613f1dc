#include "item.h"

#include <rte_prefetch.h>

enum { LINES_AHEAD = 4 };

/*
 * A line's number is in the line before it, so each would be waited for in turn. But the lines of an item
 * mostly have ascending numbers (lines.c hands them out so): where two follow each other, so may the next
 * ones.
 */
static inline void prefetch_ahead(struct line_view view, uint32_t number, uint32_t next, size_t left)
{
    if (next == number + 1 && left > LINES_AHEAD * ITEM_CONTINUATION_BYTES && next + LINES_AHEAD < view.end)
        rte_prefetch0(&view.line[next + LINES_AHEAD]);
}

bool item_copy(struct line_view view, const struct line *line, size_t from, size_t length, uint8_t *out)
{
    size_t start = ITEM_DATA_WORD * 8;
    uint32_t number = (uint32_t)(line - view.line);
    uint32_t next = shape_next(word_load(&line->word[ITEM_SHAPE_WORD]));
    for (;;) {
        size_t room = LINE_BYTES - start;
        prefetch_ahead(view, number, next, from + length);
        if (from < room) {
            size_t part = length < room - from ? length : room - from;
            line_copy(out, line->word, start + from, part);
            out += part;
            length -= part;
            from = room;
        }
        if (length == 0)
            return true;
        from -= room;
        if (next == 0 || next >= view.end)
            return false;
        number = next;
        line = &view.line[number];
        next = (uint32_t)word_load(&line->word[0]);
        start = CONTINUATION_DATA_WORD * 8;
    }
}

void item_prefetch_rest(struct line_view view, const struct line *line, uint64_t shape)
{
    uint32_t number = (uint32_t)(line - view.line), next = shape_next(shape);
    unsigned lines = item_lines(shape_key_length(shape) + shape_value_length(shape));
    if (next == 0 || next >= view.end)
        return;
    unsigned ahead = next != number + 1 ? 1 : lines - 1 < LINES_AHEAD ? lines - 1 : LINES_AHEAD;
    for (unsigned i = 0; i < ahead; i++)
        rte_prefetch0(&view.line[next + i]);
}

bool item_short_key_equals(const struct line *line, const uint8_t *key, size_t length)
{
    uint64_t differences = word_load(&line->word[ITEM_DATA_WORD]) ^ load_below_8(key, length);
    return (differences & (((uint64_t)1 << 8 * length) - 1)) == 0;
}

bool item_long_key_equals(struct line_view view, const struct line *line, const uint8_t *key, size_t length)
{
    uint8_t stored[KEY_BYTES_MAX];
    return item_copy(view, line, 0, length, stored) && memcmp(stored, key, length) == 0;
}
