/*
 * crash_trail.h - how a simulation got to where it is: its seed, and the crashes one within the other.
 * Printed when something is wrong, and enough to get there again.
 */
#ifndef WILD_TESTS_CRASH_TRAIL_H
#define WILD_TESTS_CRASH_TRAIL_H

#include <stdint.h>

#include "sim_disk.h"

enum { TRAIL_DEPTH_MAX = 4 };

/* The disk of a life, as an image of it was taken: before that boundary, or after its end in order. */
#define TRAIL_END UINT64_MAX
struct trail_crash {
    uint64_t boundary;
    enum sim_crash kind;
};

struct trail {
    const char *program;
    uint64_t seed;
    unsigned depth;
    struct trail_crash crash[TRAIL_DEPTH_MAX];
};

const char *trail_crash_name(enum sim_crash kind);
/* Says what is wrong and how to see it again, and ends the program. */
void trail_fail(const struct trail *trail, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* Of the simulation itself: ends the program without a trail. */
void crash_must(bool condition, const char *what);
void *crash_memory(void *old, size_t bytes); /* realloc() that does not fail */

/* "412:torn,7:kill" as trail_fail() prints it: 0, or -1. */
int trail_parse(struct trail *out, const char *text);

#endif
