/*
 * apply.h - replays log records into a table: recovery and replicas. Idempotent: a record counts only above
 * the item's version.
 *
 * While a table is being rebuilt it may hold more than its capacity (a fuzzy snapshot mixes states):
 * apply_begin() opens an overflow region in ordinary memory, of equal size; apply_end() moves what is left
 * there back and fails if the final set exceeds the capacity. One thread applies; readers may run.
 */
#ifndef WILD_APPLY_H
#define WILD_APPLY_H

#include "execute.h"
#include "log_record.h"

int apply_begin(struct execute_context *context); /* 0 or -ENOMEM */
/* 0; -ENOSPC (also the overflow region is used up: not a log of an equal table). Shows the expiry clock the
 * record's time. */
int apply_record(struct execute_context *context, const struct log_record *record);
int apply_end(struct execute_context *context); /* 0 or -ENOSPC */

#endif
