/*
 * line_bytes.h - what lines are made of, as writers store it and as lock-free readers load it.
 *
 * Every word is an 8-byte atomic. Readers load with acquire and writers store with release (both are plain
 * moves on x86): a reader that saw one word of a change then also sees that the bucket's sequence moved.
 *
 * Readers also take bytes from any offset, in the widths that the CPU likes best. Whether such a load is torn
 * does not matter, since what was copied counts only if the sequence did not move. What matters is order, and
 * that is x86-64's own: loads come after earlier loads, stores after earlier stores, vectors too. The
 * compiler is held to it by word_load() before and bucket_read_valid() after. ThreadSanitizer, which knows
 * C's rules only, gets the same bytes from atomic words.
 */
#ifndef WILD_LINE_BYTES_H
#define WILD_LINE_BYTES_H

#include <stdatomic.h>
#include <string.h>

#include "load_bytes.h"
#include "table.h"

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

enum { LINE_WORDS = LINE_BYTES / 8 };

typedef uint64_t line_pair __attribute__((vector_size(16)));
typedef uint64_t line_quad __attribute__((vector_size(32)));

/* `at`: offset in bytes from the first word of the line. */
static inline uint64_t line_load_8(const _Atomic uint64_t *word, size_t at)
{
#ifdef LINE_BYTES_FROM_WORDS
    unsigned shift = (unsigned)(at % 8) * 8;
    uint64_t low = word_load(&word[at / 8]);
    return shift == 0 ? low : low >> shift | word_load(&word[at / 8 + 1]) << (64 - shift);
#else
    return load_8((const uint8_t *)word + at);
#endif
}

static inline line_pair line_load_16(const _Atomic uint64_t *word, size_t at)
{
#ifdef LINE_BYTES_FROM_WORDS
    return (line_pair){line_load_8(word, at), line_load_8(word, at + 8)};
#else
    line_pair pair;
    memcpy(&pair, (const uint8_t *)word + at, sizeof pair);
    return pair;
#endif
}

/* By pointer: vectors wider than all x86-64s have are not passed by value. */
static inline void line_load_32(const _Atomic uint64_t *word, size_t at, line_quad *out)
{
#ifdef LINE_BYTES_FROM_WORDS
    *out = (line_quad){line_load_8(word, at), line_load_8(word, at + 8), line_load_8(word, at + 16),
                       line_load_8(word, at + 24)};
#else
    memcpy(out, (const uint8_t *)word + at, sizeof *out);
#endif
}

static inline void line_store_16(uint8_t *out, line_pair pair)
{
    memcpy(out, &pair, sizeof pair);
}

static inline void line_store_32(uint8_t *out, const line_quad *quad)
{
    memcpy(out, quad, sizeof *quad);
}

/* The eight bytes that end with a copy's last, cut to its `length` (0..7). They begin before it: at >= 8. */
static inline uint64_t line_load_below_8(const _Atomic uint64_t *word, size_t at, size_t length)
{
    return line_load_8(word, at + length - 8) >> 1 >> (63 - 8 * length);
}

/* Copies up to LINE_BYTES bytes. Two loads of one width cover any length of up to twice that. */
static inline void line_copy(uint8_t *out, const _Atomic uint64_t *word, size_t at, size_t length)
{
    if (length >= sizeof(line_quad)) {
        line_quad first, last;
        line_load_32(word, at, &first);
        line_load_32(word, at + length - sizeof last, &last);
        line_store_32(out, &first);
        line_store_32(out + length - sizeof last, &last);
    } else if (length >= sizeof(line_pair)) {
        line_pair first = line_load_16(word, at), last = line_load_16(word, at + length - sizeof last);
        line_store_16(out, first);
        line_store_16(out + length - sizeof last, last);
    } else if (length >= 8) {
        uint64_t first = line_load_8(word, at), last = line_load_8(word, at + length - 8);
        store_8(out, first);
        store_8(out + length - 8, last);
    } else {
        store_up_to_8(out, line_load_below_8(word, at, length), length);
    }
}

#endif
