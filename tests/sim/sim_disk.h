/*
 * sim_disk.h - a folder in memory as disk.h, that crashes at will. Everything it does is decided by its seed.
 *
 * It keeps for every file what is visible, what is durable, and in order the writes, creations, renames
 * and removals in between. Every call that changes something, and every completion that is handed out,
 * is an I/O boundary with a number; a crash may be set for any of them: from there on every call fails
 * with -EIO (space: 0), and completions stay away, so that the code under test can be thrown away.
 * sim_disk_image() then makes the disk that a restarted node would find.
 *
 * What the model says beyond disk.h, always to the code's disadvantage:
 *   a created file's size is as volatile as its bytes: durable by sync(), or up to the end of a completed
 *     queued write
 *   a name change may be durable before sync_folder(), and an earlier one not, but never one that builds on
 *     the other (the same name); rename shows one name or the other, not both, not none
 *   a sync that fails has made any part durable, and the rest is lost for later syncs, though visible
 *   a queued write is visible when it completes; after a kill any prefix of it may be
 * Wrong use of the queue (alignment, bytes changed in flight, a file closed under it) ends the program.
 *
 * One thread at a time, images of one disk included: they share its bytes.
 */
#ifndef WILD_SIM_DISK_H
#define WILD_SIM_DISK_H

#include "disk.h"

struct sim_disk;

/* Aborts without memory: a test's tool. */
struct sim_disk *sim_disk_create(uint64_t seed, uint64_t space_bytes);
void sim_disk_destroy(struct sim_disk *disk);
struct disk sim_disk_disk(struct sim_disk *disk);
struct disk_queue sim_disk_queue(struct sim_disk *disk);

/* Queued writes complete in random order, each after 0..latency_max calls of completions(). */
void sim_disk_set_latency(struct sim_disk *disk, unsigned latency_max);

uint64_t sim_disk_boundaries(const struct sim_disk *disk); /* so far */
/* The call that would be that boundary (the first is 0) does nothing and fails. UINT64_MAX: never. */
void sim_disk_crash_at(struct sim_disk *disk, uint64_t boundary);
bool sim_disk_crashed(const struct sim_disk *disk);

enum sim_crash {
    SIM_CRASH_KILL,    /* the process alone: what was written is visible, and no more durable than before */
    SIM_CRASH_NOTHING, /* power: nothing that was not durable survives */
    SIM_CRASH_PREFIX,  /* power: a prefix of the operations, in the order they were issued */
    SIM_CRASH_SUBSET,  /* power: any subset of sectors and of name changes */
    SIM_CRASH_TORN,    /* power: as PREFIX, the last write torn at a sector, older bytes or zeros behind */
    SIM_CRASHES
};
/* A new disk, as found after that crash; which prefix or subset, by `seed`. The old one is left as it is,
 * so any number of images can be made, of a disk that has crashed or not, also of an image. Faults are
 * not carried over. */
struct sim_disk *sim_disk_image(const struct sim_disk *disk, enum sim_crash crash, uint64_t seed);

/* ---- faults ---- */

/* The n-th next write (queued or not) or sync (of a file or the folder) fails with that errno, and, if
 * `sticky`, all after it. n = 1: the very next; 0: none. A queued write's turn is at submit(). */
void sim_disk_fail_write(struct sim_disk *disk, unsigned n, int error, bool sticky);
void sim_disk_fail_sync(struct sim_disk *disk, unsigned n, int error, bool sticky);
/* Below what is used: nothing more can be had. */
void sim_disk_set_space(struct sim_disk *disk, uint64_t bytes);

/* For tests that damage: the bytes of a file, to be changed until the next call on this disk, or its image;
 * they are durable then. Of several files at a time is fine. NULL: no such file. */
uint8_t *sim_disk_bytes(struct sim_disk *disk, const char *name, uint64_t *length);

#endif
