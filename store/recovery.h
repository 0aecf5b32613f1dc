/*
 * recovery.h - from a folder to a table: the newest valid snapshot, then the log from its position on.
 *
 * Steps, so that a simulation can stop between any two, and progress can be told: each step blocks on the
 * disk for one part of a snapshot or one read of the log. One thread; readers of the table may run and must be told
 * STALE meanwhile.
 *
 *   folder empty             a new node id, and a primary's: a new cluster id; nothing to load
 *   meta, no segment         damage: the first segment is made before meta is, and the last is never removed
 *   newest snapshot broken   the older one, with more log; the broken one becomes kept-snapshot-... (a line says so). All
 *                            broken: damage, unless the log is there from its start
 *   log ends before the snapshot's end_lsn   damage: a snapshot is published only when the log is durable to there
 *   log ends before what an earlier start found   damage: its last segments are gone
 *   log damaged              refused, with file and offset and what to do
 *   log torn                 cut there, by where the log goes on; a line says so
 *
 * The segment that the log goes on in (end.segment + 1) is made last, empty (or kept: the one that was ready when the node
 * stopped, if the log's end was clean, so that no block is in it), then meta is written: from then on the folder is ready for
 * wal_writer.h.
 *
 * A primary opens a new history. A replica (`follows`) opens none: it goes on with the one that its log ends in, and its meta
 * is written only if there was none, or the log has a later list of members than meta; in an empty folder, and where no block
 * has come yet, there is nothing to go on with. A folder may be started either way, whatever it was before.
 *
 * Before anybody reads a recovered value it is durable: recovery_step() syncs every file that it has read from,
 * names included, since after the death of the process alone they may live in the kernel's memory only.
 */
#ifndef WILD_RECOVERY_H
#define WILD_RECOVERY_H

#include "disk.h"
#include "execute.h"
#include "meta.h"
#include "random.h"
#include "wal_position.h"

enum { RECOVERY_TEXT_BYTES = 512 };

struct recovery_config {
    struct disk disk;
    struct execute_context *apply; /* a context of its own: workers' contexts + 1. Its log is not used */
    struct random_source random;   /* ids */
    const char *folder;            /* as the operator named it: for messages */
    uint64_t segment_bytes;        /* of the segment that it makes */
    bool follows;                  /* a replica's */
    /* A primary's: whether it may open the next history, asked once the log is read. NULL: it may. If not, the folder is
     * left as a replica's. */
    bool (*may_lead)(const struct meta *meta);
};

enum { RECOVERY_SNAPSHOTS_MAX = 8 };

/* What was found; complete when the last step is done. */
struct recovery_facts {
    struct meta meta;           /* as it is on the disk now */
    struct wal_position end;    /* where the log ends */
    uint64_t lsn;               /* last one recovered; 0: none */
    bool follows;               /* no history was opened */
    uint64_t history, next_lsn; /* of the record that comes next; follows, and there was no block: 0 */
    uint64_t snapshot_lsn;      /* start of the snapshot that was used; 0: none */
    /* Snapshots that are there, newest first; the first one was used, of the others only the head was looked at. */
    unsigned snapshots;
    struct {
        uint64_t lsn, segment; /* of its position */
    } snapshot[RECOVERY_SNAPSHOTS_MAX];
    uint64_t oldest_segment;          /* there is; 0: none */
    uint64_t newest_segment;          /* there is; those above end.segment + 1 are to be made anew */
    uint64_t records;                 /* of the log that were replayed */
    uint64_t bytes_read, bytes_total; /* progress: bytes of snapshot and log */
    uint64_t dropped_bytes;           /* of a torn tail */
    unsigned snapshots_broken;
    /* A list of members of which the log has the begin only: the rest may come with what is followed
     * (member_collect()), and it counts then. */
    struct member_collector collecting;
};

struct recovery;

struct recovery *recovery_create(const struct recovery_config *config); /* NULL: memory is short */
void recovery_destroy(struct recovery *recovery);
/*
 * 1: there is more to do; 0: done; -errno: it cannot be, and recovery_error() says why and what to do: -EBADMSG
 * damage, -EPROTONOSUPPORT newer format, -ENOSPC more items than the capacity, others from the disk.
 */
int recovery_step(struct recovery *recovery);
const struct recovery_facts *recovery_facts(const struct recovery *recovery);
const char *recovery_error(const struct recovery *recovery);
/* One line about what was noticed (torn tail, broken snapshot) since the last call; NULL: nothing. */
const char *recovery_notice(struct recovery *recovery);

#endif
