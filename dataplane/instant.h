/*
 * instant.h - time as a parameter. Whoever drives a worker reads the clocks once a turn (app/) or makes them
 * up (tests).
 */
#ifndef WILD_INSTANT_H
#define WILD_INSTANT_H

#include <stdint.h>

struct instant {
    uint64_t mono_ns; /* monotonic, for time-outs and rates */
    uint64_t wall_ms; /* wall clock since 1970, for expiry alone; may jump */
};

#endif
