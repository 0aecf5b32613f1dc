/*
 * housekeeper.h - what the log needs done that may block: segments made ready before the writer gets there,
 * files closed, snapshots taken and published, what is no longer needed used again or removed. A thread of
 * its own steps it (in a simulation, the scheduler does).
 *
 * Mailboxes between it and the control lcore, each one word with one writer; neither side ever waits:
 *
 *   control -> housekeeper   wanted segment, file to close, snapshot to take, durable LSN, meta to write, log to adopt
 *   housekeeper -> control   the segment's file (or -errno), what was snapshot, what came of meta and of the log
 *
 * Kept are SNAPSHOTS_KEPT snapshots and every segment from the older one's position on (with fewer snapshots:
 * every segment). A segment that is not kept becomes the next spare: renamed to the number wanted, at most one; others
 * are removed. Its stale blocks never continue a log (wal_block.h). Besides, what others still read is kept as long as they
 * say so.
 *
 * A log that begins anew (a replica that sets out from its primary's snapshot). The folder's log is given up, its last block
 * is on the disk; the table becomes whole by what the primary sends; then a new log is begun in segments above all that the
 * folder has, with a stamp of its own, and adopted: the housekeeper takes a snapshot of the table as it is then, and when that
 * and the new log, to the snapshot's end, are durable, replaces meta: the switch. Before it the folder is the old log's,
 * whole; after it the new one's; a start finds one or the other (recovery_adopted.c). So nothing of the new log counts as
 * durable before the adoption is DONE.
 *
 *   NONE, DONE --give_up--> AWAITED --adopt--> RUNNING --> DONE
 *                              ^                  | \--> FAILED --adopt--> RUNNING
 *                              \----- give_up ----/         |
 *                               \------- give_up -----------/
 *
 * NONE, DONE   the log that is written is the folder's
 * AWAITED      it was given up: no snapshot is under way, none is taken, nothing is removed. The table may be cleared
 * RUNNING      give_up() is answered a little later: when it has been dropped, or, behind the switch, is DONE
 * FAILED       for adoption_error; the folder's log is the old one. The new log may go on meanwhile, in memory of the next
 *              try: which begins from where it is then, a position like any snapshot's
 *
 * A folder that was not in its place once (disk.h: found()) is given up until the next start, also if it comes back: no
 * segment is made, nothing is renamed or removed in it, no snapshot is published; what was asked for is denied with -ENOENT.
 * It is looked at before each of those, and every 64 steps besides, so what bounds how late it is noticed is the longest
 * that those steps and the pauses between them take: a step may wait for the disk.
 */
#ifndef WILD_HOUSEKEEPER_H
#define WILD_HOUSEKEEPER_H

#include <stdbool.h>

#include "recovery.h"
#include "snapshot.h"

struct housekeeper_config {
    struct disk disk;
    const struct table *table;
    const struct recovery_facts *found; /* read during create only */
    uint64_t segment_bytes;
    unsigned snapshot_buckets; /* copied a step: the throttle, with the driver's pause between steps */
    /* Others who read the folder, asked from inside housekeeper_step(). NULL: nobody does. */
    uint64_t (*needs_segment)(const void *readers); /* the oldest that they need; UINT64_MAX: none */
    bool (*needs_snapshot)(const void *readers, uint64_t lsn);
    const void *readers;
};

struct housekeeper;

struct housekeeper *housekeeper_create(const struct housekeeper_config *config); /* NULL: memory is short */
void housekeeper_destroy(struct housekeeper *housekeeper); /* closes every file it has opened */

/* ---- its own thread ---- */

enum housekeeper_step {
    HOUSEKEEPER_IDLE = 0,   /* nothing to do: look again in a while */
    HOUSEKEEPER_WORKED = 1, /* more may be waiting */
    HOUSEKEEPER_PAUSE =
        2, /* a part of a snapshot or of a new segment: leave disk and table to others for a moment */
};
enum housekeeper_step housekeeper_step(struct housekeeper *housekeeper);
/* The segments that the log has a file for: from the oldest that is kept to the newest that is ready for it. */
void housekeeper_segments(const struct housekeeper *housekeeper, uint64_t *oldest, uint64_t *newest);
/* As last written. The same place for ever; changes in housekeeper_step() only. */
const struct meta *housekeeper_meta(const struct housekeeper *housekeeper);

/* ---- the control lcore ---- */

/* Asks for that segment; again and again is fine. Another one: once this one has been taken. */
void housekeeper_want_segment(struct housekeeper *housekeeper, uint64_t number);
/* Once it is there: true and the file, or -errno (it goes on trying, once a want). */
bool housekeeper_take_segment(struct housekeeper *housekeeper, uint64_t number, int *file);
/* False: the mailbox is taken; later. */
bool housekeeper_close_file(struct housekeeper *housekeeper, int file);
void housekeeper_tell_durable(struct housekeeper *housekeeper, uint64_t durable_lsn);
/*
 * Up to where no failover takes anything back (--min-replicas); all that is durable, if never told. A snapshot is published
 * only then: what was removed before it began has left no trace in it, by which readers could be made to wait for the removal
 * after a start. What was removed since is in the log, and leaves one. An adoption does not wait for that: others may count
 * on this node to acknowledge, which it cannot before the switch.
 */
void housekeeper_tell_acknowledged(struct housekeeper *housekeeper, uint64_t lsn);
/* False: one is being taken, or the log is not the folder's. facts: as for snapshot_writer_create(). */
bool housekeeper_snapshot(struct housekeeper *housekeeper, const struct snapshot_facts *facts);

/*
 * Replaces the folder's meta; copied. False: the last is not answered yet (facts.meta_pending). Answered: metas_written has
 * risen, and it is durable; or metas_failed, for meta_error, and the old one or the new one is there: to be asked again.
 *
 * By its stamp it is that of the folder's log, or that of the log which is being adopted: then it is only taken note of, and
 * the switch writes it. Any other: -ESTALE; there was a switch meanwhile. base_segment and adopted_lsn are not looked at.
 * sealed_epoch does not go down: what was promised stays, also over a switch.
 */
bool housekeeper_write_meta(struct housekeeper *housekeeper, const struct meta *meta);

/* ---- the control lcore: a log that begins anew ---- */

/* The folder's log was given up; or the one that is being adopted. True: AWAITED. False: ask again, every turn. */
bool housekeeper_give_up(struct housekeeper *housekeeper);
/* A segment number above every one of the folder: where an adopted log begins. */
uint64_t housekeeper_next_base(const struct housekeeper *housekeeper);

struct adoption {
    /* Stamp, cluster, histories, members: what the folder's is to be. base_segment and adopted_lsn are filled in. */
    struct meta meta;
    /* Of the new log: its begin in next_base (offset 0, previous_crc 0), or where it is by now. All records below
     * start.next_lsn are in the table. next_lsn 1 and no history: all that ever happened is in the log, and no snapshot is
     * taken. */
    struct wal_position start;
    uint64_t wall_ms;
    /* The folder's log has something behind common_lsn that the new one lacks: set aside, as kept-tail-... (kept_tail.h). */
    bool keep_tail;
    uint64_t common_lsn;
};
/* Copied. False: not AWAITED or FAILED yet (it asks to give up, if need be): ask again. From here on housekeeper_tell_durable()
 * tells of the new log. */
bool housekeeper_adopt(struct housekeeper *housekeeper, const struct adoption *adoption);

enum adoption_state { ADOPTION_NONE, ADOPTION_AWAITED, ADOPTION_RUNNING, ADOPTION_DONE, ADOPTION_FAILED };

/* The next step looks whether the folder is still there; look_pending until it has. Any thread. */
void housekeeper_look_at_folder(struct housekeeper *housekeeper);

struct housekeeper_facts {
    uint64_t snapshots; /* published since the start */
    uint64_t snapshots_failed;
    uint64_t snapshot_lsn;     /* start of the newest; 0: none */
    uint64_t snapshot_segment; /* its position's */
    uint64_t oldest_segment;
    int snapshot_error; /* -errno of the last failure, 0 after a success */
    int removal_error;  /* likewise, of snapshots and segments that are no longer kept */
    int folder_error;   /* -ENOENT: the folder was not where the next start looks for it; stays so */
    uint64_t metas_written, metas_failed;
    uint64_t stamp;     /* of the folder's meta: whose log it is */
    int meta_error;     /* -errno of the last that failed, 0 after a success */
    int adoption_error; /* FAILED: why. RUNNING: the switch is tried again because of this */
    enum adoption_state adoption;
    uint64_t tail_stamp,
        tail_segments;   /* the last that was set aside, by its stamp (0: none), and of how many */
    uint64_t free_bytes; /* that the folder can still take, a while ago; UINT64_MAX: not known */
    bool snapshot_running, look_pending, meta_pending;
};
struct housekeeper_facts housekeeper_facts(const struct housekeeper *housekeeper); /* any thread */

#endif
