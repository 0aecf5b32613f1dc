/*
 * snapshot_format.h - head, chunk and foot of a snapshot as bytes (snapshot.h has the tables). Not for other
 * folders.
 */
#ifndef WILD_SNAPSHOT_FORMAT_H
#define WILD_SNAPSHOT_FORMAT_H

#include "snapshot.h"

enum {
    SNAPSHOT_HEAD_BYTES = SNAPSHOT_HEADER_BYTES + META_CLUSTER_ID_BYTES + 3 * 8 + 2 * 4 + 2 * 8,
    SNAPSHOT_FOOT_BYTES = SNAPSHOT_HEADER_BYTES + 2 * 8 + 2 * 4,
};
static_assert((int)SNAPSHOT_HEAD_BYTES <= (int)DISK_BLOCK_BYTES, "a head is one block");
static_assert((int)SNAPSHOT_FOOT_BYTES <= (int)DISK_BLOCK_BYTES, "a foot is one block");
static_assert(SNAPSHOT_CHUNK_BYTES_MAX % DISK_BLOCK_BYTES == 0, "chunks are whole blocks");
static_assert((int)SNAPSHOT_CHUNK_BYTES_MAX >= (int)SNAPSHOT_HEADER_BYTES + (int)LOG_RECORD_BYTES_MAX,
              "any record fits a chunk");

enum snapshot_part { SNAPSHOT_HEAD, SNAPSHOT_CHUNK, SNAPSHOT_FOOT };

/* What runs through a file from its head to its foot, in the writer as in the reader. */
struct snapshot_run {
    uint64_t start_lsn, items, offset; /* of the next part */
    uint32_t index;                    /* of the next part */
    uint32_t crc;                      /* over the parts' crcs */
};

/*
 * Closes a part whose content stands at bytes + SNAPSHOT_HEADER_BYTES, up to `length`: fills in header and
 * padding. Returns the padded bytes, for which there is room; `run` goes on behind it.
 */
size_t snapshot_part_close(uint8_t *bytes, size_t length, enum snapshot_part part, struct snapshot_run *run);
/* Contents, with their lengths (header included). */
size_t snapshot_head_encode(uint8_t *bytes, const struct snapshot_facts *facts);
size_t snapshot_foot_encode(uint8_t *bytes, uint64_t end_lsn, const struct snapshot_run *run);

/*
 * Judges the part at `bytes`, of which `there` are there: its length without padding and *part, with `run`
 * behind it; or -EBADMSG, -EPROTONOSUPPORT (whole, but of a newer format). Its content is judged by the
 * functions below. Where run->index is 0 a head is expected, and run->start_lsn set.
 */
int64_t snapshot_part_open(const uint8_t *bytes, size_t there, enum snapshot_part *part,
                           struct snapshot_run *run);
/* Contents: 0 or -EBADMSG. */
int snapshot_head_decode(const uint8_t *bytes, struct snapshot_facts *facts);
/* Counts its records in; highest_lsn rises to the highest. */
int snapshot_chunk_check(const uint8_t *bytes, size_t length, uint64_t flush_lsn, uint64_t *highest_lsn,
                         struct snapshot_run *run);
/* run: as it was before this part. */
int snapshot_foot_decode(const uint8_t *bytes, const struct snapshot_run *run, struct snapshot_facts *facts);

static inline size_t snapshot_padded(size_t length)
{
    return (length + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
}

#endif
