/*
 * execute.h - operation in, result out: the only code that changes the table (apply.h replays what it
 * logged).
 *
 * One execute_context per worker. For every mutation, in this order:
 *   1. lock the bucket, look the key up, check conditions;
 *   2. reserve: log-ring room for every record of the operation (else BUSY), table lines (else evict, or
 *      FULL or BUSY);
 *   3. take the next LSN (under the bucket lock: per-key order is log order);
 *   4. write the item with version = LSN, publish the record to the worker's ring, unlock.
 * Between 3 and the publication nothing can fail, wait or lock, so the merge of the rings by LSN has no hole
 * and is always live.
 *
 * FLUSH takes its LSN without locking buckets. A writer that finds, after taking its own LSN, that a FLUSH
 * began meanwhile publishes that LSN as a NOP record and starts over, so log order and visibility agree.
 *
 * Log records carry resulting states (log_record.h): INCR and TOUCH log the item they leave behind.
 */
#ifndef WILD_EXECUTE_H
#define WILD_EXECUTE_H

#include <stdatomic.h>
#include <stdint.h>

#include "log_ring.h"
#include "member.h"
#include "message.h"
#include "table.h"

/* Why operations failed for want of a resource; one writer (the worker), read by whoever reports. */
struct execute_counters {
    _Atomic uint64_t busy_readers;   /* GET gave up after TABLE_READ_RETRIES_MAX */
    _Atomic uint64_t busy_log_full;  /* no room in the log ring */
    _Atomic uint64_t busy_contended; /* a lock, eviction or reclaim lost every race, or FLUSH interfered */
    _Atomic uint64_t full;
    _Atomic uint64_t evicted, expired, reclaimed; /* items: by the clock, by time, after FLUSH */
};

struct execute_context; /* opaque; holds the worker's free-line cache and its hands */

/*
 * worker: 0..config.workers-1, each used once. log: the worker's ring (owned by the caller, outlives the
 * context). NULL when memory is short.
 */
struct execute_context *execute_context_create(struct table *table, unsigned worker, struct log_ring *log);
void execute_context_destroy(struct execute_context *context); /* gives cached lines back to the table */
const struct execute_counters *execute_counters(const struct execute_context *context);

/* Where a result goes. The caller gives `value` and `room` (the reply's space for a value). */
struct result {
    uint8_t *value;        /* in: VALUE_BYTES_MAX bytes or less of room */
    uint16_t room;         /* in */
    uint16_t value_length; /* out: bytes written at value */
    uint64_t version;      /* out: as the reply's version field (message.h) */
    uint64_t bucket_lsn; /* out: LSN of the last mutation of the bucket that was read or written: a read must
                            wait for it */
};

/*
 * Executes one operation that passed operation_check(); opcodes GET, SET, DELETE, INCR, TOUCH, FLUSH (others:
 * BAD_REQUEST). hash = table_hash() of its key. now_ms: wall clock. Never blocks beyond bounded spins. MORE
 * if the value (GET, INCR) does not fit `room`: then nothing was executed. min_lsn and durability are the
 * caller's business, retries too (retry window).
 */
enum status execute(struct execute_context *context, const struct operation *operation, uint64_t hash,
                    uint64_t now_ms, struct result *result);

/*
 * A GET whose probe went through table_probe_hash() and table_probe_find(): the same answer as execute() of a
 * GET with that key at this moment, whatever happened to the table since. For GET, here and in execute(), the
 * value's room may overlap the key's bytes: a reply may be written over its request.
 */
enum status execute_get(struct execute_context *context, const struct table_probe *probe, uint64_t now_ms,
                        struct result *result);

/*
 * Bounded housekeeping, on a worker of a primary: visits the next `buckets` buckets, removes expired items
 * (logged) and items older than the last FLUSH (not logged). Returns items removed. Skips locked buckets and
 * stops when the ring is full.
 */
unsigned execute_sweep(struct execute_context *context, unsigned buckets, uint64_t now_ms);

/*
 * Logs a list of members (valid), whole: OK, and its LSNs are set; or BUSY, and nothing of it: the ring is
 * full. The table stays as it is. For a primary's control lcore, by a context with a ring of its own.
 */
enum status execute_members(struct execute_context *context, struct member_list *list);

#endif
