/*
 * crash_disk.h - a simulated disk with somebody looking on: told before every call that changes something,
 * and before every completion that is handed out. So one run is crashed at each of its boundaries, by images,
 * instead of once for each.
 */
#ifndef WILD_TESTS_CRASH_DISK_H
#define WILD_TESTS_CRASH_DISK_H

#include "sim_disk.h"

#define CRASH_CALLS(X)                                                                                       \
    X(create)                                                                                                \
    X(write)                                                                                                 \
    X(sync)                                                                                                  \
    X(rename)                                                                                                \
    X(remove)                                                                                                \
    X(sync_folder)                                                                                           \
    X(submit)                                                                                                \
    X(completion)
enum crash_call {
#define CRASH_ENUM(name) CRASH_##name,
    CRASH_CALLS(CRASH_ENUM)
#undef CRASH_ENUM
        CRASH_CALLS_COUNT
};

struct crash_disk {
    struct sim_disk *sim;
    struct disk real;
    struct disk_queue real_queue;
    /* boundary: the number that the call which follows has. It must not change the disk. */
    void (*before)(void *context, enum crash_call call, uint64_t boundary);
    void *context;
    unsigned in_flight, open;            /* writes; files */
    uint64_t reused, created, published; /* segments renamed to a new number, made; snapshots */
    uint64_t removed;                    /* segments and snapshots */
};

void crash_disk_init(struct crash_disk *disk, struct sim_disk *sim);
struct disk crash_disk_disk(struct crash_disk *disk);
struct disk_queue crash_disk_queue(struct crash_disk *disk);

#endif
