/*
 * wal_block.h - the unit in which the log goes to disk and to replicas: header, records, zeros.
 *
 *   offset size  field
 *   0      4     magic        "WLB1"
 *   4      4     crc          CRC32C of everything after it, padding included
 *   8      4     previous_crc crc of the block before it in the log; the chain
 *   12     4     length       bytes of header and records
 *   16     2     format       WAL_FORMAT
 *   18     2     reserved     zero
 *   20     4     count        records; 0: a mark, which carries the fields below and nothing else
 *   24     8     first_lsn    of the first record; a mark: the LSN that comes next
 *   32     8     history      (histories: meta.h)
 *   40     8     wall_ms      wall clock when the block was closed
 *   48     8     durable_lsn  highest LSN known to be on stable storage when the block was submitted
 *   56     8     segment      number of the file it was written to
 *   64     4     offset       in that file
 *   68     4     reserved     zero
 *   72     8     stamp        meta.h: a secret that no client knows, so none can make a block of its values
 *   80     ...   records      log_record.h, LSNs without a gap
 *   ...          zeros to a multiple of DISK_BLOCK_BYTES
 *
 * Little-endian. A block is whole if and only if: magic, format and crc are right; length is in
 * [WAL_BLOCK_HEADER_BYTES, WAL_BLOCK_BYTES_MAX]; reserved bytes and padding are zero; exactly `count` valid
 * records with the LSNs first_lsn, first_lsn + 1, ... fill it; durable_lsn < first_lsn + count; history is
 * not zero; segment and offset are where it was found. It continues a log if and only if besides previous_crc
 * is the crc of the log's last block, its stamp is the log's, and its history and first_lsn are what comes
 * next: the same history and the LSN after the last, or a later history's first (meta.h).
 *
 * A later format keeps magic, crc, length with its limit, format, segment, offset and stamp as they are: so
 * its blocks are known for what they are.
 *
 * So a block that is stale (a file used again), misdirected, or of a tail that was cut off never continues a
 * log, whatever it holds.
 */
#ifndef WILD_WAL_BLOCK_H
#define WILD_WAL_BLOCK_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "log_record.h"

enum {
    WAL_FORMAT = 1,
    WAL_BLOCK_HEADER_BYTES = 80,
    WAL_BLOCK_BYTES_MAX = 128 * 1024, /* with padding */
    WAL_SEGMENT_BYTES = 64 * 1024 * 1024,
};
static_assert(WAL_BLOCK_BYTES_MAX % DISK_BLOCK_BYTES == 0 && WAL_SEGMENT_BYTES % DISK_BLOCK_BYTES == 0,
              "disk.h");
static_assert((int)WAL_BLOCK_BYTES_MAX >= (int)WAL_BLOCK_HEADER_BYTES + (int)LOG_RECORD_BYTES_MAX,
              "any record fits a block");

struct wal_block {
    uint64_t first_lsn, history, wall_ms, durable_lsn, segment, stamp;
    const uint8_t *records; /* into the bytes that were decoded */
    size_t records_bytes;
    uint32_t offset, count, length, crc, previous_crc;
};

/* Bytes that a block of this length takes on disk. */
static inline size_t wal_block_padded(size_t length)
{
    return (length + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
}

uint32_t wal_crc(uint32_t crc, const void *bytes, size_t length); /* CRC32C; start with 0 */

/*
 * Closes a block whose records stand at bytes + WAL_BLOCK_HEADER_BYTES: fills header and padding in. block:
 * all but `crc`, `length` and `records`, which are set. Returns the padded bytes; the buffer has
 * room for them.
 */
size_t wal_block_encode(uint8_t *bytes, struct wal_block *block);

enum wal_verdict {
    WAL_WHOLE,
    WAL_NO_BLOCK,     /* no magic here */
    WAL_NEWER_FORMAT, /* magic, place and crc are right, the format is later than this program's */
    WAL_SHORT,        /* the bytes end before the block does */
    WAL_BROKEN,       /* anything else */
};
/* Judges the block at `bytes` as above, but for the chain. length: bytes there are. *out is filled in unless
 * it is WAL_NO_BLOCK or too short for a header; only if it is WAL_WHOLE may it be relied upon. */
enum wal_verdict wal_block_decode(struct wal_block *out, const uint8_t *bytes, size_t length,
                                  uint64_t segment, uint32_t offset);
/*
 * The same for a block that came another way than from its file: where it was written does not matter, and of
 * its padding, which is zeros, nothing came: `length` bytes are the block.
 */
enum wal_verdict wal_block_decode_bare(struct wal_block *out, const uint8_t *bytes, size_t length);

#endif
