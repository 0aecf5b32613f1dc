/*
 * wal_reader.h - reads the log from a position, block by block, and judges its end. Used by recovery, by
 * wildctl, and for replicas that are behind. Calls block.
 *
 * The end is where no block continues the log (wal_position.h). Then everything behind it, in that segment
 * and all later ones that the folder has, is searched for whole blocks, at every multiple of DISK_BLOCK_BYTES
 * that does not lie within one; the highest durable_lsn among them is the watermark:
 *
 *   watermark < next_lsn    the end of the log. If a block lies there, whole or broken, it was in flight when
 *                           the node died: a torn tail, none of it was acknowledged.
 *   watermark >= next_lsn   damage: the block that is missing here had been durable.
 *
 * Only blocks that carry the log's stamp count: values of clients that look like blocks, in a torn block or
 * in a file that is used again, cannot.
 *
 * (A block carries what was durable when it was submitted, and a record is acknowledged only then, so an
 * acknowledged record lies below a watermark as soon as anything was written after it.)
 *
 * Stale blocks are not behind the end: those of a file's earlier use are out of place (wal_block.h), those of
 * a tail that was cut off at an earlier start have LSNs below next_lsn.
 */
#ifndef WILD_WAL_READER_H
#define WILD_WAL_READER_H

#include <stdbool.h>

#include "meta.h"
#include "wal_block.h"
#include "wal_position.h"

struct wal_reader; /* opaque; reads ahead WAL_READ_BYTES */

enum { WAL_READ_BYTES = 512 * 1024 };

enum wal_end {
    WAL_END_CLEAN = 1, /* nothing behind it */
    WAL_END_TORN,      /* something behind it that never counted */
    WAL_END_DAMAGED,   /* something is missing that had been durable */
    WAL_END_FORMAT,    /* a block of a newer format lies behind it */
    WAL_END_ERROR,     /* the disk says no: `error` */
};

struct wal_verdict_at_end {
    enum wal_end end;
    int error;
    struct wal_position position; /* of the end: the log is good up to here */
    uint64_t watermark;           /* highest durable_lsn found behind it */
    uint64_t bytes_behind;        /* of blocks behind it, whole or broken, with padding; 0: CLEAN */
    uint64_t wall_ms;             /* of the last good block */
    /* More of the log lies behind the end in the same segment, so what is missing was there; else it was
     * there, or at the start of the next segment. */
    bool same_segment;
};

/* meta: borrowed; its histories say which first LSNs may follow. NULL: memory is short. */
struct wal_reader *wal_reader_create(const struct disk *disk, const struct meta *meta,
                                     const struct wal_position *from);
void wal_reader_destroy(struct wal_reader *reader);

/* 1 and the next block (valid until the next call, its bytes at wal_reader_bytes()), or 0: the end. Asked
 * again at the end, it looks again: there may be more by then. Not after an error of the disk. */
int wal_reader_next(struct wal_reader *reader, struct wal_block *out);
/* -errno of the disk at which it ended for good; 0: none. */
int wal_reader_error(const struct wal_reader *reader);
const uint8_t *wal_reader_bytes(const struct wal_reader *reader, size_t *padded_length);
struct wal_position wal_reader_position(const struct wal_reader *reader); /* after that block */

/* After the end was reached: judges it. Reads whatever lies behind it. A log that is being written to has no
 * end to judge. */
struct wal_verdict_at_end wal_reader_judge(struct wal_reader *reader);

#endif
