/*
 * replica_log.h - a replica's own log, as replication sees it: what it may do with one, given as a table. app/ joins it
 * with the store's log and its folder; a test with a list.
 *
 * All on the control lcore; nothing waits: what takes time is asked for again, each turn and before each message.
 *
 *   FOLLOWING          learn() after each WELCOME that resumes, then for each block room(), append(), apply
 *   begin of a         give_up(): the old log ends, as it is on disk; given_up(); the table is emptied and loaded, and
 *   bootstrap          nothing is appended
 *   it has become      adopt(): a new log, which append() goes on with at once, while the snapshot that it goes on from
 *   whole              is written; durable() is 0 until the folder has been switched to it
 *   before it is, another bootstrap: give_up() again, which gives up both
 *
 * A log that has failed (or has no disk any more) may go on taking everything and keep nothing: durable() then stays where
 * it is for ever, so this node's readers are served, and no write waits for it.
 */
#ifndef WILD_REPLICA_LOG_H
#define WILD_REPLICA_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "meta.h"

struct replica_log {
    void *state;
    /*
     * The histories of the primary whose line we are on (and its cluster id and node id): merged into the folder's meta
     * before anything of them is written. True: they are durable there. False: not yet, nor while a log is adopted; no
     * input is taken till then. Asked again with the same, or by a later session with others, which count then.
     */
    bool (*learn)(void *state, const struct meta *histories);
    /* Whether the next append() will be taken, whatever a block may hold. */
    bool (*room)(void *state);
    /*
     * Records of one history in a row (at least one), the first with that LSN; not applied yet. All of it or nothing: false
     * ends the session. What is entered of later histories, and marks, are not told: the history of the first record that
     * is another than the last one's says so.
     */
    bool (*append)(void *state, uint64_t history, uint64_t first_lsn, const uint8_t *records, size_t bytes,
                   uint32_t count);
    /*
     * The log ends. keep_tail: what the folder holds above common_lsn is on no primary's line, and is to be set aside once
     * the next log is adopted. Also where there is no log yet, or none any more; what is said last counts.
     */
    void (*give_up)(void *state, bool keep_tail, uint64_t common_lsn);
    /* Nothing of it is on its way any more, and nobody walks the table for a snapshot. */
    bool (*given_up)(void *state);
    /* The table is whole, at last_lsn (0: it has seen no change): a log that begins in this history with next_lsn. */
    void (*adopt)(void *state, const struct meta *histories, uint64_t history, uint64_t last_lsn,
                  uint64_t next_lsn);
    /* All up to it is on stable storage, whatever happens to this node. Ascends, but for a log that begins anew. 0: nothing
     * yet, or a log is being adopted; once it is, at least adopt()'s last_lsn. */
    uint64_t (*durable)(void *state);
};

#endif
