/*
 * snapshot.h - the table in a file, taken while it is written to.
 *
 * Fuzzy: the walk (table_walk.h) copies bucket by bucket while workers go on. It starts from a position of
 * the log (all records before it are in the table when the walk starts) and ends at the highest LSN that
 * was assigned when the walk was over: loading it and replaying the log from its position to its end, or
 * beyond, gives the table at that LSN. So it is published (written as snapshot.tmp, synced, renamed, folder
 * synced) only when the log is durable to its end, and acknowledged (housekeeper.h), and of use only if the
 * log reaches its end.
 *
 * Loading: apply_begin(); a LOG_FLUSH with flush_lsn, if that is not 0; all records, in any order; then the
 * log; apply_end().
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
 *   32     ...   chunk: records   log_record.h, LOG_SET, the item's version as LSN; at least one, no order
 *
 *   32           head:  16 cluster_id | segment u64 | history u64 | offset u32 | previous_crc u32 (the
 *                       position; next_lsn is start_lsn + 1) | flush_lsn u64 | capacity u64 | wall_ms u64
 *   32           foot:  end_lsn u64 | items u64 | crc u32 over all parts' crc fields in order | reserved u32
 *
 * Little-endian. Valid if and only if every part is: magic, format and crc are right; length is that of a
 * head or a foot, or exactly that of the chunk's records and at most SNAPSHOT_CHUNK_BYTES_MAX; reserved bytes
 * and padding are zero; start_lsn is the head's. And: indexes ascend from 0 without a gap; the foot is the
 * last thing in the file, its counts and crc are right; flush_lsn <= every record's LSN <= end_lsn <=
 * SNAPSHOT_LSN_MAX; flush_lsn and start_lsn <= end_lsn; capacity is one that a table can have.
 */
#ifndef WILD_SNAPSHOT_H
#define WILD_SNAPSHOT_H

#include <stdbool.h>

#include "disk.h"
#include "meta.h"
#include "table_walk.h"
#include "wal_position.h"

#define SNAPSHOT_TEMPORARY "snapshot.tmp"

enum {
    SNAPSHOT_FORMAT = 1,
    SNAPSHOT_HEADER_BYTES = 32,
    SNAPSHOT_CHUNK_BYTES_MAX = 256 * 1024, /* with padding */
    SNAPSHOTS_KEPT = 2,
};
#define SNAPSHOT_LSN_MAX ((uint64_t)INT64_MAX) /* no log gets there: what says so is not one of ours */

struct snapshot_facts {
    uint8_t cluster_id[META_CLUSTER_ID_BYTES];
    struct wal_position position; /* position.next_lsn = start_lsn + 1 */
    uint64_t end_lsn, flush_lsn, capacity, items, wall_ms, bytes;
};

/* ---- writing: a state machine that the housekeeper steps; each step may block on the disk ---- */

struct snapshot_writer;

/* facts: cluster_id, position and wall_ms are taken, the others are the table's. NULL: memory is short. Disk
 * and table are borrowed; nothing is written yet. */
struct snapshot_writer *snapshot_writer_create(const struct disk *disk, const struct table *table,
                                               const struct snapshot_facts *facts);
/* Removes snapshot.tmp if it was not published and not left. NULL is fine. */
void snapshot_writer_destroy(struct snapshot_writer *writer);
/* Its snapshot.tmp stays where it is, as after a crash: the next walk removes it. No step may follow. */
void snapshot_writer_leave(struct snapshot_writer *writer);

enum snapshot_progress {
    SNAPSHOT_GOING_ON = 1,
    SNAPSHOT_WALKED = 2,    /* all is written; waits for the log to be durable to end_lsn */
    SNAPSHOT_PUBLISHED = 3, /* durable under its name */
};
/*
 * Copies up to `buckets` buckets (>= 1), or syncs, or publishes once durable_lsn >= end_lsn. Progress, or
 * -errno: it is of no use any more. A bucket that is being written to is tried again, bounded, and left for
 * the next step; one that is found so in several steps is copied under its lock (table_walk.h says why).
 */
int snapshot_writer_step(struct snapshot_writer *writer, unsigned buckets, uint64_t durable_lsn);
struct snapshot_facts snapshot_writer_facts(const struct snapshot_writer *writer);

/* ---- reading ---- */

struct snapshot_reader;

/* 0 and *out; -EBADMSG: its head is not valid (a newer format: -EPROTONOSUPPORT); other -errno, -ENOMEM among
 * them. The disk is borrowed. */
int snapshot_reader_open(struct snapshot_reader **out, const struct disk *disk, const char *name);
void snapshot_reader_close(struct snapshot_reader *reader); /* NULL is fine */
/* end_lsn and items: once snapshot_reader_next() or snapshot_reader_check() said 0. */
struct snapshot_facts snapshot_reader_facts(const struct snapshot_reader *reader);
/*
 * 1 and a chunk's records, each valid (until the next call); 0: the file was valid to its end; -EBADMSG,
 * -errno. That it is valid is known at its end only: who must not load a part of a broken one checks first.
 */
int snapshot_reader_next(struct snapshot_reader *reader, const uint8_t **records, size_t *bytes);
/* Reads all of it without using it: 0, or as snapshot_reader_next(). Rewinds. */
int snapshot_reader_check(struct snapshot_reader *reader);
/* The next chunk is the first again. */
void snapshot_reader_rewind(struct snapshot_reader *reader);

#endif
