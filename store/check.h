/*
 * check.h - CHECK(): an invariant of our own that stays checked in release. Never for what a peer or a file
 * says. LIKELY(): what the compiler may lay the code out for.
 */
#ifndef WILD_CHECK_H
#define WILD_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define LIKELY(condition) __builtin_expect(!!(condition), 1)

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (__builtin_expect(!(condition), 0)) {                                                             \
            fprintf(stderr, "wild: %s:%d: broken invariant: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
