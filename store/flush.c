/*
 * flush.c - FLUSH: one LSN hides every older item at once; sweep.c and writers reclaim what it hid.
 *
 * No bucket is locked. Instead FLUSH announces itself before it takes its LSN F. A writer that got an LSN
 * above F therefore finds the announcement when it looks after taking its LSN; if it had looked at the items
 * before F was visible, it drops that LSN (NOP) and decides again (context.h). A writer that got an LSN below
 * F is older than the FLUSH, whenever its item appears: the version says so.
 */
#include "context.h"

enum status execute_flush(struct execute_context *context, struct result *result)
{
    struct table *table = context->table;
    if (!log_ring_reserve(context->log, 1, log_record_bytes(0, 0))) {
        counter_bump(&context->counters.busy_log_full);
        return STATUS_BUSY;
    }
    /* acquire and release: pairs with flush_view_try() and lsn_take() */
    atomic_fetch_add_explicit(&table->flushes_begun, 1, memory_order_acq_rel);
    STORE_YIELD_POINT(YIELD_FLUSH);
    uint64_t lsn = atomic_fetch_add_explicit(&table->next_lsn, 1, memory_order_acq_rel);
    STORE_YIELD_POINT(YIELD_FLUSH);
    uint64_t before = atomic_load_explicit(&table->flush_lsn, memory_order_relaxed);
    /* release: pairs with acquire in table_flush_lsn() */
    while (before < lsn && !atomic_compare_exchange_weak_explicit(&table->flush_lsn, &before, lsn,
                                                                  memory_order_release, memory_order_relaxed))
        ;
    /* release: pairs with acquire in flush_view_try() */
    atomic_fetch_add_explicit(&table->flushes_visible, 1, memory_order_release);
    log_ring_append(context->log, &(struct log_record){.lsn = lsn, .type = LOG_FLUSH});
    STORE_YIELD_POINT(YIELD_PUBLISHED);
    result->version = result->bucket_lsn = lsn;
    return STATUS_OK;
}
