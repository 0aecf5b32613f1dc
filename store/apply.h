/*
 * apply.h - replays log records into a table: recovery and replicas. Idempotent: a record counts only above
 * the item's version, and above the last FLUSH.
 *
 * While a table is being rebuilt it may hold more than its capacity, since a fuzzy snapshot mixes states
 * (lines_rebuild_limit() has the sum): apply_begin() opens an overflow region in ordinary memory; apply_end()
 * moves what is left there back and fails if the final set exceeds the capacity: the region stays open then.
 * One thread applies, nobody else writes; readers may run, and copies for a snapshot (table_walk.h), which hold a bucket for
 * as long as some items take: that is waited for.
 */
#ifndef WILD_APPLY_H
#define WILD_APPLY_H

#include <stdbool.h>

#include "execute.h"
#include "log_record.h"

/* 0 or -ENOMEM. Again, after apply_clear() and without an end: what was begun before is given up. */
int apply_begin(struct execute_context *context);
/* 0, or -ENOSPC: this is not the log of an equal table (between begin and end: the overflow region is used up
 * as well). */
int apply_record(struct execute_context *context, const struct log_record *record);
/*
 * The same for encoded records in a row: a block's, a chunk's. Faster: their memory accesses overlap. Stops
 * at the first that cannot be applied; -EBADMSG: it is not a valid record.
 */
int apply_records(struct execute_context *context, const uint8_t *records, size_t bytes);
/*
 * The end in steps, of so many buckets: 1: not yet, to be called again; 0; -ENOSPC: the table is of no use. Between steps
 * records may be applied, of the same log: it is one that a table of this capacity has room for.
 */
int apply_end_step(struct execute_context *context, unsigned buckets);
int apply_end(struct execute_context *context); /* all of it: 0 or -ENOSPC */

/*
 * clear.c: empties the table, up to `buckets` buckets a call; false: not done yet, to be called again. True: it is as
 * table_create() made it, LSNs included, but for its expiry clock; the next call begins another clearing.
 * Nobody else writes, no snapshot is taken, and nobody's answer may depend on what readers find meanwhile (a replica
 * that begins anew). Between apply_begin() and apply_end() too, for a rebuild that is given up: the overflow region is
 * empty then as well, and apply_end() cannot fail.
 */
bool apply_clear(struct execute_context *context, unsigned buckets);

/* After apply_end(), before anybody else executes: the next change gets this LSN (a new history's first). It is
 * above every LSN that was applied. */
void apply_next_lsn(struct execute_context *context, uint64_t lsn);

/* Takes back a history that was begun and in which nothing was changed: this LSN is the next again. Likewise. */
void apply_take_back(struct execute_context *context, uint64_t lsn);

/* Shows the expiry clock the wall time that came with the log (a block's, a heartbeat's). */
void apply_clock(struct execute_context *context, uint64_t wall_ms);

#endif
