/*
 * wal_find.h - where in the log the record after an LSN stands: for who must read on from there. Calls block.
 */
#ifndef WILD_WAL_FIND_H
#define WILD_WAL_FIND_H

#include "disk.h"
#include "meta.h"
#include "wal_position.h"

/*
 * The start of the last segment, of those from `oldest` to `newest`, whose first block does not lie behind lsn + 1: a
 * wal_reader from there comes to the block that holds lsn + 1, or that opens a later history, after blocks to be skipped.
 * 0 and *out; -ENOENT: the log does not reach back so far, or lsn is above it; -errno. A segment whose first block is not
 * whole is taken for one that is not written yet; meta: the log's, for its stamp and histories.
 */
int wal_find(struct wal_position *out, const struct disk *disk, const struct meta *meta, uint64_t oldest,
             uint64_t newest, uint64_t lsn);

#endif
