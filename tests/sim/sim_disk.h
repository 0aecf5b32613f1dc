/*
 * sim_disk.h - a folder in memory as disk.h, that crashes at will. Everything it does is decided by its seed.
 *
 * It keeps for every file what is visible, what is durable, and in order the writes, creations, renames and
 * removals in between. Every call that changes something is an I/O boundary with a number; a crash may be set
 * for any of them: from there on every call fails with -EIO, and completions stay away, so that the code under test can be
 * thrown away. sim_disk_image() then makes the disk that a restarted node would find.
 */
#ifndef WILD_SIM_DISK_H
#define WILD_SIM_DISK_H

#include "disk.h"

struct sim_disk;

struct sim_disk *sim_disk_create(uint64_t seed, uint64_t space_bytes); /* aborts without memory: a test's tool */
void sim_disk_destroy(struct sim_disk *disk);
struct disk sim_disk_disk(struct sim_disk *disk);
struct disk_queue sim_disk_queue(struct sim_disk *disk);

/* Queued writes complete in random order, each after 0..latency_max calls of completions(). */
void sim_disk_set_latency(struct sim_disk *disk, unsigned latency_max);

uint64_t sim_disk_boundaries(const struct sim_disk *disk); /* so far */
void sim_disk_crash_at(struct sim_disk *disk, uint64_t boundary); /* UINT64_MAX: never */
bool sim_disk_crashed(const struct sim_disk *disk);

enum sim_crash {
    SIM_CRASH_KILL,    /* the process alone: all that was written is visible, what was not synced is not durable */
    SIM_CRASH_NOTHING, /* power: nothing that was not durable survives */
    SIM_CRASH_PREFIX,  /* power: a prefix of the operations, in the order they were issued */
    SIM_CRASH_SUBSET,  /* power: any subset of sectors and of name changes */
    SIM_CRASH_TORN,    /* power: as PREFIX, the last write torn at a sector, older bytes or zeros behind */
    SIM_CRASHES
};
/* A new disk, as found after that crash; which prefix or subset, by `seed`. The old one is left as it is. */
struct sim_disk *sim_disk_image(const struct sim_disk *disk, enum sim_crash crash, uint64_t seed);

/* ---- faults ---- */

/* The n-th next write (queued or not) or sync fails with that errno, and, if `sticky`, all after it. */
void sim_disk_fail_write(struct sim_disk *disk, unsigned n, int error, bool sticky);
void sim_disk_fail_sync(struct sim_disk *disk, unsigned n, int error, bool sticky);
void sim_disk_set_space(struct sim_disk *disk, uint64_t bytes); /* below what is used: nothing more can be had */

/* For tests that damage: the visible and durable bytes of a file. NULL: no such file. */
uint8_t *sim_disk_bytes(struct sim_disk *disk, const char *name, uint64_t *length);

#endif
