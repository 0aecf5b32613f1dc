/*
 * wal_find.h - where in the log the record after an LSN stands: for who must read on from there. Calls block.
 */
#ifndef WILD_WAL_FIND_H
#define WILD_WAL_FIND_H

#include "disk.h"
#include "meta.h"
#include "wal_position.h"

/*
 * The start of the last segment, of those from `oldest` to `newest`, whose first block does not lie behind
 * lsn + 1: a wal_reader (with the same meta) from there comes to the block that holds lsn + 1, or that opens
 * a later history, after blocks to be skipped. A block that opens a history begins where the log before it
 * ended (meta.h, before_lsn): who has all of that needs none of it.
 *
 * 0 and *out; -ENOENT: what is there of the log does not reach back so far; -errno. Where the log ends is not
 * asked: a reader for an lsn above that comes to the end without a block for it.
 *
 * Stale blocks (wal_block.h) are nobody's first block. The log may be written meanwhile: segments whose first
 * block is not whole are taken for not written yet, those that are missing for removed since `oldest` was
 * looked up (or, the last ones, for not there yet).
 */
int wal_find(struct wal_position *out, const struct disk *disk, const struct meta *meta, uint64_t oldest,
             uint64_t newest, uint64_t lsn);

#endif
