/*
 * table_walk.h - the table's items, bucket by bucket, as log records, while it is written to. For snapshots.
 *
 * What a copy of all buckets is worth: every item is whole, with its version, and so far as it was there from
 * the walk's start to its end it is among them. What was changed meanwhile may be there in any state it had.
 * The records of the log since the walk's start bring all of it up to date (apply.h), whatever the order.
 */
#ifndef WILD_TABLE_WALK_H
#define WILD_TABLE_WALK_H

#include "log_record.h"
#include "table.h"

enum { TABLE_COPY_ALL = UINT32_MAX };

uint32_t table_bucket_count(const struct table *table); /* without overflow buckets */

/*
 * Copies the items of one bucket with its overflow buckets, as they stand at one moment, as encoded records
 * (LOG_SET): bytes written to `out`, at most `room`. Items that are flushed are left out. Expired ones are
 * not: no record of the log says that they are gone, so a node that began without them would admit more than
 * a replay from further back has room for.
 *
 * A chain of any length goes in parts, from its end to its start: a removal moves a chain's last item
 * forward, never back, so what is moved between two parts is copied again or still to come; and what is added
 * at the end is in the log. (A chain that takes two parts of some KiB is seen only where a test forces all
 * keys into one bucket.)
 *
 *   *below   in: TABLE_COPY_ALL, or what the part before left; out: 0 if that was all
 *
 * -EAGAIN: being written to, try again; -ENOBUFS: `room` is too small for the next item. *below stays.
 * Lock-free: any thread.
 */
int64_t table_copy_bucket(const struct table *table, uint32_t bucket, uint32_t *below, uint8_t *out,
                          size_t room);

/*
 * The same under the bucket's lock, for a bucket that is written to all the time: some worker's counter may
 * leave no gap as long as a copy takes, and a log that cannot be cut for want of a snapshot grows without
 * end. Not the first choice: a thread that is put to sleep meanwhile makes workers say BUSY. `room` should
 * therefore be small, one part after another. -EAGAIN: the lock could not be had.
 */
int64_t table_copy_bucket_locked(const struct table *table, uint32_t bucket, uint32_t *below, uint8_t *out,
                                 size_t room);

#endif
