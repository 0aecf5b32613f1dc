/*
 * feeder.h - reads snapshot and log from disk for replicas that the memory tail cannot serve. Runs where the disk may be
 * waited for, on the housekeeper's thread (disk.h: one thread at a time), and hands what it has read to the control
 * lcore: a few feeds at a time, two buffers each, one word a mailbox, nobody waits.
 *
 *   control                                 feeder
 *     open(from) ------------------------->  finds the place, reads
 *     <------------------------------ item   BEGIN, CHUNK*, END of a snapshot; BLOCKS of the log; or ENDED
 *     give back ---------------------------> reads on
 *     close ------------------------------->  closes its files
 *
 * Only blocks that control has said to be durable are handed out. A feed that has come to the last of these waits for
 * more; control closes it when the memory tail goes on from there. Segments from a feed's place on are kept while it lives
 * (feeder_needs_segment()), but for its sake not more than FEED_SEGMENTS_MAX behind the newest. A feed whose place is
 * gone ends with -ENOENT, and its replica starts anew; but with -ESTALE if it is gone together with the log's folder: then
 * what the replica has may be all that there is.
 *
 * A snapshot is checked to its end before any of it is handed out; one that is broken is passed over for the one before
 * it. Where there is none at all BEGIN and END say so (start_lsn and end_lsn 0), and the log comes from its first segment.
 */
#ifndef WILD_FEEDER_H
#define WILD_FEEDER_H

#include <stdbool.h>

#include "disk.h"
#include "meta.h"
#include "replication_message.h"

enum {
    FEEDS_MAX = 4,
    FEED_BUFFERS = 2,
    FEED_BUFFER_BYTES = REPLICATION_PAYLOAD_BYTES_MAX,
    FEED_SEGMENTS_MAX = 64,
};

struct feeder;

struct feeder_config {
    struct disk disk;
    const struct meta *
        meta; /* borrowed, changes on the feeder's thread alone: the histories of the log. NULL: feeder_of() */
    uint64_t capacity; /* of our table: what BEGIN says where there is no snapshot */
};

struct feeder *feeder_create(const struct feeder_config *config); /* NULL: memory is short */
/* Before its thread steps it: the folder's meta (housekeeper_meta()), of a housekeeper that was made after the feeder. */
void feeder_of(struct feeder *feeder, const struct meta *meta);
void feeder_destroy(struct feeder *feeder); /* no thread steps it any more */

/* ---- the thread that may wait ---- */

/* One small job for each feed; false: nothing to do, look again in a while. oldest, newest: segments that the folder has
 * now and that are part of the log (not what lies behind it of a tail that was cut off). */
bool feeder_step(struct feeder *feeder, uint64_t oldest_segment, uint64_t newest_segment);
/* Something was missing, and so was the log's folder: whoever minds that should look. Same thread. */
bool feeder_misses_folder(const struct feeder *feeder);
/* The oldest segment that a feed still reads; UINT64_MAX: none. Same thread. */
uint64_t feeder_needs_segment(const struct feeder *feeder);
/* Snapshots' files that feeds read (by their LSN): not to be removed. Same thread. */
bool feeder_needs_snapshot(const struct feeder *feeder, uint64_t lsn);

/* ---- the control lcore ---- */

enum feed_start {
    FEED_LOG,       /* from the record after `lsn` on */
    FEED_BOOTSTRAP, /* the newest valid snapshot, or nothing where there is none yet; then the log from there */
};

/* A feed's number, or -EBUSY: all are taken; later. */
int feeder_open(struct feeder *feeder, enum feed_start start, uint64_t lsn);
/* Frees the number, as soon as the feeder has seen it. Items that were handed out are no longer good. */
void feeder_close(struct feeder *feeder, int feed);
void feeder_tell_durable(struct feeder *feeder, uint64_t durable_lsn);

enum feed_item_type {
    FEED_BEGIN = 1, /* `begin` */
    FEED_CHUNK,     /* bytes: a chunk's records */
    FEED_END,       /* `end`; the log follows from begin.start_lsn + 1 */
    FEED_BLOCKS,    /* bytes: blocks in a row, each without padding: header and records (wal_block.h) */
    /* No more comes: `error` (-ENOENT: the log does not reach back so far: bootstrap; -ESTALE: its folder is gone;
     * -EBADMSG: a block that is durable cannot be read) */
    FEED_ENDED,
};

struct feed_item {
    enum feed_item_type type;
    int error;
    struct replication_snapshot_begin begin;
    struct replication_snapshot_end end;
    const uint8_t *bytes; /* until it is given back */
    uint32_t length;
    uint64_t next_lsn; /* BLOCKS: of what follows them */
};

/* The feed's next item, the same until it is given back, and good until then; NULL: not yet. Only of an open feed. */
const struct feed_item *feeder_take(struct feeder *feeder, int feed);
void feeder_give_back(struct feeder *feeder, int feed);

#endif
