/*
 * durable_log.h - the log as the control lcore minds it: workers' rings merged by LSN, written, announced as
 * durable; segments and snapshots asked for in time. Joins log_merge.h, wal_writer.h and housekeeper.h. Owner:
 * the control lcore; nothing here blocks.
 */
#ifndef WILD_DURABLE_LOG_H
#define WILD_DURABLE_LOG_H

#include <stdatomic.h>

#include "housekeeper.h"
#include "log_merge.h"
#include "wal_writer.h"

struct durable_log_config {
    struct disk_queue queue;
    struct log_merge *merge;         /* the next record is the history's first */
    struct housekeeper *housekeeper; /* its thread runs */
    const struct recovery_facts *found;
    uint64_t segment_bytes;
    uint64_t snapshot_segments;    /* a snapshot whenever the log has grown by this many; 0: never */
    uint64_t snapshot_interval_ms; /* and at least so often, if anything was written; 0: not by time */
    void (*durable)(void *state, const struct wal_block *block,
                    const uint8_t *bytes); /* wal_writer.h; may be NULL */
    void *durable_state;
};

struct durable_log;

struct durable_log *durable_log_create(const struct durable_log_config *config); /* NULL: memory is short */
void durable_log_destroy(struct durable_log *log);

/* Takes up to `records` from the rings, writes, minds segments and snapshots. Things done: 0 means idle. */
unsigned durable_log_turn(struct durable_log *log, unsigned records, uint64_t mono_ns, uint64_t wall_ms);
/* An operator wants a snapshot: one starts as soon as none is running. */
void durable_log_snapshot(struct durable_log *log);
/* Ends the log in order, once workers write no more: turns go on until durable_log_finished(). */
void durable_log_finish(struct durable_log *log);
bool durable_log_finished(const struct durable_log *log);

struct wal_writer_facts durable_log_facts(const struct durable_log *log);

#endif
