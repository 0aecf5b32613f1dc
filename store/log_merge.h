/*
 * log_merge.h - turns the workers' rings into one totally ordered log: yields records in LSN order without a
 * gap.
 *
 * Each ring's records ascend, and every LSN is published exactly once, so the next record is always at the
 * head of some ring or about to be. Owner: the control lcore.
 */
#ifndef WILD_LOG_MERGE_H
#define WILD_LOG_MERGE_H

#include <stdint.h>

#include "log_ring.h"
#include "table.h"

struct log_merge {
    struct log_ring *rings[TABLE_WORKERS_MAX]; /* borrowed */
    unsigned count;
    unsigned last;     /* ring that had the last record: tried first */
    uint64_t next_lsn; /* the record to find next */
};

void log_merge_init(struct log_merge *merge, struct log_ring *const *rings, unsigned count,
                    uint64_t first_lsn);
/* The record with next_lsn, or NULL if its worker has not published it yet. Valid until log_merge_pop(). */
const uint8_t *log_merge_peek(struct log_merge *merge, size_t *length);
void log_merge_pop(struct log_merge *merge);

#endif
