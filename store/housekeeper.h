/*
 * housekeeper.h - what the log needs done that may block: segments made ready before the writer gets there,
 * files closed, snapshots taken and published, what is no longer needed used again or removed. A thread of
 * its own steps it (in a simulation, the scheduler does).
 *
 * Mailboxes between it and the control lcore, each one word with one writer; neither side ever waits:
 *
 *   control -> housekeeper   wanted segment, file to close, snapshot to take, durable LSN
 *   housekeeper -> control   the segment's file (or -errno), what was snapshot
 *
 * Kept are SNAPSHOTS_KEPT snapshots and every segment from the older one's position on (with fewer snapshots:
 * every segment). A segment that is not kept becomes the next spare: renamed to the number wanted, at most one; others
 * are removed. Its stale blocks never continue a log (wal_block.h). Besides, what others still read is kept as long as they
 * say so.
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

/* ---- the control lcore ---- */

/* Asks for that segment; again and again is fine. */
void housekeeper_want_segment(struct housekeeper *housekeeper, uint64_t number);
/* Once it is there: true and the file, or -errno (it goes on trying, once a want). */
bool housekeeper_take_segment(struct housekeeper *housekeeper, uint64_t number, int *file);
/* False: the mailbox is taken; later. */
bool housekeeper_close_file(struct housekeeper *housekeeper, int file);
void housekeeper_tell_durable(struct housekeeper *housekeeper, uint64_t durable_lsn);
/* False: one is being taken. facts: as for snapshot_writer_create(). */
bool housekeeper_snapshot(struct housekeeper *housekeeper, const struct snapshot_facts *facts);

/* The next step looks whether the folder is still there; look_pending until it has. Any thread. */
void housekeeper_look_at_folder(struct housekeeper *housekeeper);

struct housekeeper_facts {
    uint64_t snapshots; /* published since the start */
    uint64_t snapshots_failed;
    uint64_t snapshot_lsn;     /* start of the newest; 0: none */
    uint64_t snapshot_segment; /* its position's */
    uint64_t oldest_segment;
    int snapshot_error;  /* -errno of the last failure, 0 after a success */
    int removal_error;   /* likewise, of snapshots and segments that are no longer kept */
    int folder_error;    /* -ENOENT: the folder was not where the next start looks for it; stays so */
    uint64_t free_bytes; /* that the folder can still take, a while ago; UINT64_MAX: not known */
    bool snapshot_running, look_pending;
};
struct housekeeper_facts housekeeper_facts(const struct housekeeper *housekeeper); /* any thread */

#endif
