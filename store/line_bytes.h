/*
 * line_bytes.h - a line's bytes as lock-free readers take them: from any offset, in the widths that the CPU
 * likes best.
 *
 * Whether such a load is torn does not matter, since what was copied counts only if the bucket's sequence did
 * not move (item.h). What matters is order, and that is x86-64's own: loads come after earlier loads, stores
 * after earlier stores, vectors too. The compiler is held to it by word_load() before and bucket_read_valid()
 * after. ThreadSanitizer, which knows C's rules only, gets the same bytes from atomic words.
 */
#ifndef WILD_LINE_BYTES_H
#define WILD_LINE_BYTES_H

#include <string.h>

#include "item.h"

#if !defined(__x86_64__)
#error "readers rely on x86-64's order of loads and stores"
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LINE_BYTES_FROM_WORDS 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define LINE_BYTES_FROM_WORDS 1
#endif

typedef uint64_t line_pair __attribute__((vector_size(16)));

static inline uint64_t line_load_8(const struct line *line, size_t at)
{
#ifdef LINE_BYTES_FROM_WORDS
    unsigned shift = (unsigned)(at % 8) * 8;
    uint64_t low = word_load(&line->word[at / 8]);
    return shift == 0 ? low : low >> shift | word_load(&line->word[at / 8 + 1]) << (64 - shift);
#else
    return load_8((const uint8_t *)line + at);
#endif
}

static inline line_pair line_load_16(const struct line *line, size_t at)
{
#ifdef LINE_BYTES_FROM_WORDS
    return (line_pair){line_load_8(line, at), line_load_8(line, at + 8)};
#else
    line_pair pair;
    memcpy(&pair, (const uint8_t *)line + at, sizeof pair);
    return pair;
#endif
}

static inline void line_store_16(uint8_t *out, line_pair pair)
{
    memcpy(out, &pair, sizeof pair);
}

#endif
