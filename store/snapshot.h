/*
 * snapshot.h - the table in a file, taken while it is written to.
 *
 * Fuzzy: the walk copies bucket by bucket, each whole, while workers go on. It starts from a position of the
 * log (all records before it are in the table when the walk starts) and ends at the highest LSN that was
 * assigned when the walk was over: loading it and replaying the log from its position to its end, or beyond,
 * gives the table at that LSN. So it is published (written as snapshot.tmp, synced, renamed, folder synced)
 * only when the log is durable to its end, and of use only if the log reaches its end.
 *
 * The file: a head, chunks, and a foot, each a multiple of DISK_BLOCK_BYTES with zeros behind its length.
 *
 *   offset size  field            head, chunk and foot begin alike
 *   0      4     magic            "WSH1", "WSC1", "WSF1"
 *   4      4     crc              CRC32C of everything after it, padding included
 *   8      4     length           bytes without padding
 *   12     4     index            0 the head, 1.. chunks, then the foot
 *   16     2     format           SNAPSHOT_FORMAT
 *   18     6     reserved         zero
 *   24     8     start_lsn        of the walk; the same in all parts
 *
 *   32     ...   chunk: records   log_record.h, LOG_SET with the item's version as LSN, in no order
 *
 *   32           head:  16 cluster_id | segment u64 | history u64 | offset u32 | previous_crc u32 (the
 *                       position; next_lsn is start_lsn + 1) | flush_lsn u64 | capacity u64 | wall_ms u64
 *   32           foot:  end_lsn u64 | items u64 | crc u32 over all parts' crc fields in order | reserved u32
 *
 * Valid if and only if every part is (as in wal_block.h), indexes ascend from 0 without a gap, the foot is
 * the last thing in the file, and its counts and crc are right.
 */
#ifndef WILD_SNAPSHOT_H
#define WILD_SNAPSHOT_H

#include <stdbool.h>

#include "disk.h"
#include "execute.h"
#include "meta.h"
#include "wal_position.h"

enum {
    SNAPSHOT_FORMAT = 1,
    SNAPSHOT_HEADER_BYTES = 32,
    SNAPSHOT_CHUNK_BYTES_MAX = 256 * 1024, /* with padding */
    SNAPSHOTS_KEPT = 2,
};

struct snapshot_facts {
    uint8_t cluster_id[META_CLUSTER_ID_BYTES];
    struct wal_position position; /* position.next_lsn = start_lsn + 1 */
    uint64_t end_lsn, flush_lsn, capacity, items, wall_ms, bytes;
};

/* ---- writing: a state machine that the housekeeper steps; each step may block on the disk ---- */

struct snapshot_writer;

/* facts: cluster_id, position, wall_ms and capacity. NULL: memory is short. The table is borrowed. */
struct snapshot_writer *snapshot_writer_create(const struct disk *disk, const struct table *table,
                                               const struct snapshot_facts *facts);
/* Removes snapshot.tmp if it was not published. */
void snapshot_writer_destroy(struct snapshot_writer *writer);

enum snapshot_progress {
    SNAPSHOT_GOING_ON = 1,
    SNAPSHOT_WALKED = 2,    /* all is written; waits for the log to be durable to end_lsn */
    SNAPSHOT_PUBLISHED = 3, /* durable under its name */
};
/* Copies up to `buckets` buckets (a bucket that is being written is waited for, bounded, and left for the next
 * step), or syncs, or publishes once durable_lsn >= end_lsn. Progress, or -errno: it is of no use any more. */
int snapshot_writer_step(struct snapshot_writer *writer, unsigned buckets, uint64_t durable_lsn);
struct snapshot_facts snapshot_writer_facts(const struct snapshot_writer *writer);

/* ---- reading ---- */

struct snapshot_reader;

/* 0 and *out; -EBADMSG: its head is not valid (a newer format: -EPROTONOSUPPORT); other -errno. */
int snapshot_reader_open(struct snapshot_reader **out, const struct disk *disk, const char *name);
void snapshot_reader_close(struct snapshot_reader *reader);
struct snapshot_facts snapshot_reader_facts(const struct snapshot_reader *reader); /* end_lsn: after the foot */
/* 1 and a chunk's records (valid until the next call), 0: it was valid to the end, or -EBADMSG, -errno. */
int snapshot_reader_next(struct snapshot_reader *reader, const uint8_t **records, size_t *bytes);
/* Reads all of it without using it: 0, or as snapshot_reader_next(). Rewinds. */
int snapshot_reader_check(struct snapshot_reader *reader);

/* ---- the table's part: store/walk.c ---- */

/*
 * Copies the items of one bucket with its overflow buckets, as it stands at one moment, as encoded records
 * (LOG_SET): bytes written; -EAGAIN: being written to, try again; -ENOBUFS: `room` is too small. Items that
 * are expired or flushed are left out. Lock-free: any thread.
 */
int64_t table_copy_bucket(const struct table *table, uint32_t bucket, uint8_t *out, size_t room);
uint32_t table_bucket_count(const struct table *table);

#endif
