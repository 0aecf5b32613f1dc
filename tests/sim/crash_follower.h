/*
 * crash_follower.h - everything of a replica that has to do with its log, in one thread: a table, what is applied to it,
 * log, housekeeper and recovery on a simulated disk; its primary is a line (crash_line.h). It follows; now and then the
 * primary begins another history, or the replica begins anew: from further on of the same line, or from another line which
 * left its own below what it has, so that it gives up its log, and the table with it, and adopts a new one. A seeded scheduler
 * steps all of it.
 *
 * What may be found after a crash is kept in `folder` and `other`: the log that the folder is known to be of, and the one that
 * is being adopted; each with the least that must be there, and the most that can.
 */
#ifndef WILD_TESTS_CRASH_FOLLOWER_H
#define WILD_TESTS_CRASH_FOLLOWER_H

#include "crash_disk.h"
#include "crash_line.h"
#include "durable_log.h"
#include "recovery.h"

struct follower_plan {
    uint64_t capacity, segment_bytes;
    unsigned keys, batch_max;
    unsigned snapshot_segments, snapshot_buckets, latency_max;
    unsigned anew_odds; /* of so many steps, the replica begins anew at one */
    bool space;         /* the disk fills up and is emptied again */
};

/* A log on disk. */
struct copy {
    struct line line;
    uint64_t stamp;       /* 0: there is none; of a folder in which nothing has begun: not known */
    uint64_t least, most; /* LSNs: promised to the primary; written */
    bool keeps_tail;      /* beyond common_lsn, of the one before: what that has on disk, from tail_lsn on */
    uint64_t common_lsn, tail_lsn;
};

struct follower_counts {
    uint64_t records, histories, begun_anew, forks, adopted, from_nothing, failed, given_up, learned;
};

struct follower {
    const struct follower_plan *plan;
    const struct trail *trail;
    struct crash_disk disk;
    struct table *table;
    struct execute_context *context;
    struct recovery *recovery;
    struct housekeeper *housekeeper;
    struct durable_log *log;
    struct meta meta; /* as control knows it: of the log that is written */
    struct line line; /* that is followed */
    struct line_place at;
    struct copy folder, other;
    struct wal_position begin; /* of the log that begins anew */
    enum { FOLLOWS, LEARNS, GIVES_UP, BEGINS, ADOPTS } state;
    unsigned learned; /* eras of the line that are in meta */
    uint64_t metas;   /* answers of the housekeeper that have been seen */
    uint64_t random, mono_ns, wall_ms, steps;
    bool nothing; /* it has no log at all */
    bool filled;
    unsigned weight[3]; /* the scheduler's */
    struct follower_counts counts;
};

void follower_open(struct follower *f, const struct follower_plan *plan, const struct trail *trail,
                   struct sim_disk *disk, uint64_t seed, uint64_t wall_ms);
void follower_close(struct follower *f); /* if the log runs, the disk crashes first */

int follower_recover(struct follower *f); /* to the end: 0, or what recovery_step() said */
/* After that; found: which log it was, with the LSN that was recovered as its least and most. */
void follower_start(struct follower *f, const struct copy *found);
void follower_step(struct follower *f);
/* Stops in order; an adoption that runs comes to its end before. */
void follower_finish(struct follower *f);

#endif
