/*
 * durable_log.h - the log as the control lcore minds it: written, announced as durable; segments and snapshots asked for in
 * time. Joins log_merge.h, wal_writer.h and housekeeper.h. Owner: the control lcore; nothing here blocks.
 *
 * Records come from one of two sources, never from both:
 *
 *   leads     the workers' rings, merged by LSN: a primary's
 *   follows   durable_log_append(): what a replica got and is about to apply
 *
 *   (nothing) --begin()--> follows --lead()--> leads --follow()--> follows ...
 *   (nothing) --create()-> follows or leads      either --finish()--> finished --begin()--> follows
 *
 * create() begins the log where recovery says. A replica that had no log has none until begin(), and one whose log is given up
 * finishes it and begins another.
 */
#ifndef WILD_DURABLE_LOG_H
#define WILD_DURABLE_LOG_H

#include <stdatomic.h>

#include "housekeeper.h"
#include "log_merge.h"
#include "wal_writer.h"

struct durable_log_config {
    struct disk_queue queue;
    struct log_merge *merge;            /* leads: the next record is the history's first */
    struct housekeeper *housekeeper;    /* its thread runs */
    const struct recovery_facts *found; /* read during create only */
    const struct table *table; /* where what was appended is applied. A log that only leads needs none */
    bool follows;              /* as recovery_config.follows was */
    uint64_t segment_bytes;
    uint64_t snapshot_segments;    /* a snapshot whenever the log has grown by this many; 0: never */
    uint64_t snapshot_interval_ms; /* and at least so often, if anything was written; 0: not by time */
    void (*durable)(void *state, const struct wal_block *block,
                    const uint8_t *bytes); /* wal_writer.h; may be NULL */
    void *durable_state;
};

struct durable_log;

/* NULL: memory is short. It has begun, unless it follows and recovery found no block. */
struct durable_log *durable_log_create(const struct durable_log_config *config);
void durable_log_destroy(struct durable_log *log);

struct durable_log_begin {
    struct wal_position start;  /* the log goes on behind it, in segment start.segment + 1 */
    uint64_t history, next_lsn; /* of the first record: wal_writer.h */
    uint64_t durable_lsn;       /* what facts say until the first block is durable */
    uint64_t stamp;             /* meta.h */
    uint8_t cluster_id[META_CLUSTER_ID_BYTES];
};
/* Nothing has begun, or it is finished: from now on it follows there. False: files of the one before are not closed yet; again
 * after a turn. */
bool durable_log_begin(struct durable_log *log, const struct durable_log_begin *begin);

/* ---- follows ---- */

/* Whether durable_log_append() takes up to WAL_BLOCK_BYTES_MAX of records now, a history's begin included. */
bool durable_log_room(const struct durable_log *log);
/*
 * Takes `count` encoded records in a row (none: a mark), whose LSNs follow what was taken. A history other than the last one's begins just
 * before them, and first_lsn is its first. All of it or nothing (false: no room now, nothing has begun, or finished). They are
 * applied later, and in the same order: a snapshot waits for that.
 */
bool durable_log_append(struct durable_log *log, uint64_t history, uint64_t first_lsn, const uint8_t *records,
                        size_t bytes, uint32_t count);
/* All that was appended is applied, the folder's meta has the history (meta.h), and nobody writes yet: it begins, and records
 * come from the rings from now on, with its first LSN. False: no room now; later. */
bool durable_log_lead(struct durable_log *log, const struct history *next);

/* ---- leads ---- */

/* Whether every record of the rings that can be taken was: all, once workers write no more. */
bool durable_log_drained(const struct durable_log *log);
/* Workers write no more, and it is drained: records come by append() from now on. */
void durable_log_follow(struct durable_log *log);

/* ---- both ---- */

/* Takes up to `records` from the rings, writes, minds segments and snapshots. Things done: 0 means idle. */
unsigned durable_log_turn(struct durable_log *log, unsigned records, uint64_t mono_ns, uint64_t wall_ms);
/* An operator wants a snapshot: one starts as soon as none is running. */
void durable_log_snapshot(struct durable_log *log);
/* Ends the log in order, once workers write no more: turns go on until durable_log_finished(). */
void durable_log_finish(struct durable_log *log);
bool durable_log_finished(const struct durable_log *log);
/* Whether records come from the rings. */
bool durable_log_leads(const struct durable_log *log);

/* Where a snapshot that begins now goes on from, and an adoption that is tried again (housekeeper.h). False: what lies before
 * is not in the table yet; later. */
bool durable_log_position(const struct durable_log *log, struct wal_position *out);

struct wal_writer_facts durable_log_facts(const struct durable_log *log);

#endif
