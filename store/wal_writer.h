/*
 * wal_writer.h - the log's way to disk: takes records in LSN order, closes blocks, keeps several in flight,
 * and announces what is durable in order. A pure state machine: disk, time and segments are given to it.
 * Owner: the control lcore. Nothing here blocks or allocates after wal_writer_create().
 *
 * Group commit without a delay: a block is closed and submitted as soon as fewer than WAL_EAGER_BLOCKS are in
 * flight, with whatever has arrived by then; while more are in flight only when it is full. So one client
 * alone waits for one write, and under load blocks grow by themselves.
 *
 *   records -> open block -> (closed) -> submitted -> complete, in any order -> durable_lsn, in order
 *
 * No block is ever written over another; each starts at a multiple of DISK_BLOCK_BYTES. When all that was
 * written is durable and the last block on disk does not say so yet, a mark does (at once if nothing else
 * arrives within WAL_MARK_IDLE_NS; not again until there was another record): what is rotten below a mark
 * is told from a torn tail.
 *
 * The first block is a mark too: it opens the history, or goes on with the one that the log ends in (a replica's that was
 * started again), at the start of a new segment, behind what recovery found. Once it is durable (wal_writer_facts: started)
 * so is all that lies below first_lsn, since there is nothing between: durable_lsn is first_lsn - 1, and every later block
 * says so. A later history, that of a replica's next primary or of its own promotion, is entered by a mark between two blocks
 * (wal_writer_enter()).
 *
 * Segments: the writer asks for the one after the current (wal_writer_wants()) as soon as it starts on a
 * segment, and is given it long before it gets there. If it is not there in time, the writer waits: the rings
 * fill up, and writes are told BUSY.
 *
 * Errors. A write that fails is not repeated, except after -ENOSPC:
 *   RUNNING -> DISK_FULL   -ENOSPC of a write: blocks stay as they are, and the same are submitted again
 *                          every WAL_RETRY_NS, others not until they have succeeded -> RUNNING. Or no segment
 *                          could be allocated: what fits into the current one is written meanwhile -> RUNNING
 *                          once one is given
 *   RUNNING -> FAILED      any other error. durable_lsn stays where it is for good; later completions do not
 *                          count, records are taken and thrown away (who waits for them is told TIMEOUT).
 */
#ifndef WILD_WAL_WRITER_H
#define WILD_WAL_WRITER_H

#include <stdbool.h>

#include "disk.h"
#include "wal_block.h"
#include "wal_position.h"

enum {
    WAL_BLOCKS = 8, /* buffers: one open, the others in flight. The most that a torn tail can hold */
    WAL_EAGER_BLOCKS = 2,
    WAL_MARK_IDLE_NS = 10 * 1000 * 1000,
    WAL_RETRY_NS = 500 * 1000 * 1000,
};
static_assert((int)WAL_BLOCKS <= (int)DISK_QUEUE_WRITES_MAX, "disk.h");

enum wal_state { WAL_RUNNING, WAL_DISK_FULL, WAL_FAILED };

struct wal_writer_config {
    struct disk_queue queue;
    struct wal_position start; /* the end of what recovery found; that segment is not written again */
    /* The first record's history and LSN. start.history: the log goes on with it, first_lsn is start.next_lsn; else the
     * history begins. */
    uint64_t history, first_lsn;
    uint64_t durable_lsn; /* what recovery found, durable */
    uint64_t stamp;       /* of every block: meta.h */
    /* Of every file that it is given: WAL_SEGMENT_BYTES, in tests less, but any block fits. */
    uint64_t segment_bytes;
    /* Called for every block, marks included, in the order of the log, when it and all before it are durable: from inside
     * wal_writer_turn(). bytes: header and records, block->length of them, good until it returns. NULL: nobody asks. */
    void (*durable)(void *state, const struct wal_block *block, const uint8_t *bytes);
    void *durable_state;
};

struct wal_writer; /* opaque; about WAL_BLOCKS * WAL_BLOCK_BYTES_MAX */

/* NULL: memory is short. The log goes on in segment start.segment + 1. Without a history nothing has begun: it is as one
 * that has ended, until wal_writer_restart(). */
struct wal_writer *wal_writer_create(const struct wal_writer_config *config);
void wal_writer_destroy(struct wal_writer *writer); /* nothing may be in flight, or the queue is gone */
/* As if it was destroyed and created, but in the same memory, and what was counted is counted on. It has ended
 * (wal_writer_ended()) and its files are collected. */
void wal_writer_restart(struct wal_writer *writer, const struct wal_writer_config *config);

/* Number of the segment that the writer has no file for yet; 0: it has all it wants. */
uint64_t wal_writer_wants(const struct wal_writer *writer);
/* Gives it the one that it wants: an open file of segment_bytes, whose name is durable and whose bytes
 * are allocated. Ownership of the file comes back by wal_writer_done_with(). */
void wal_writer_give(struct wal_writer *writer, int file);
/* The segment that could not be made: -errno. -ENOSPC: DISK_FULL until one is given; others: FAILED. */
void wal_writer_deny(struct wal_writer *writer, int error);
/* A file whose blocks are all durable and that the writer has left: to be closed. -1: none. To be asked for:
 * it enters no further segment with WAL_BLOCKS files uncollected. Once it has ended, every file that it has. */
int wal_writer_done_with(struct wal_writer *writer);

/* Takes one encoded record with the next LSN. False: no room now, later; or finished. */
bool wal_writer_append(struct wal_writer *writer, const uint8_t *record, size_t length);
/* A later history begins behind what was taken: the next record is its, with that LSN, which is above all that were taken.
 * False: no room now, later; or finished. */
bool wal_writer_enter(struct wal_writer *writer, uint64_t history, uint64_t first_lsn);
/* Buffers that are not on their way, the open one among them: so many calls that begin a block succeed. FAILED: all. */
unsigned wal_writer_room(const struct wal_writer *writer);
/* Submits and completes. Once a turn of the control lcore. Returns things done: 0 means idle. */
unsigned wal_writer_turn(struct wal_writer *writer, uint64_t mono_ns, uint64_t wall_ms);
/* Ends a log in order: a mark after all that was taken. Then turns, until wal_writer_idle(). */
void wal_writer_finish(struct wal_writer *writer);
/* Nothing open, nothing in flight. FAILED: nothing in flight. */
bool wal_writer_idle(const struct wal_writer *writer);
/* Idle after wal_writer_finish(), or FAILED: nothing will be written any more. */
bool wal_writer_ended(const struct wal_writer *writer);

struct wal_writer_facts {
    uint64_t durable_lsn;                   /* every record up to it is on stable storage */
    uint64_t appended_lsn;                  /* last record taken */
    uint64_t blocks, bytes, marks, records; /* durable so far; blocks with marks, bytes with padding */
    enum wal_state state;
    int error; /* -errno of DISK_FULL and FAILED */
    unsigned in_flight;
    bool started;     /* its first mark is durable: serve */
    uint64_t history; /* of the next record; 0: nothing has begun */
};
struct wal_writer_facts wal_writer_facts(const struct wal_writer *writer);

/* Where a snapshot that starts now begins to replay: after the last block that is durable, so that no log can
 * be without it. All records before it, up to next_lsn - 1, have been taken, so they are in the table. */
struct wal_position wal_writer_position(const struct wal_writer *writer);

#endif
