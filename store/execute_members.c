/* execute_members.c - the list of members into the log, all of it or nothing. The table does not change. */
#include "context.h"
#include "member.h"

static_assert((size_t)MEMBERS_MAX * ((LOG_RECORD_HEADER_BYTES + MEMBER_ROOM_BYTES + 7) & ~7) +
                      LOG_RECORD_BYTES_MAX <=
                  LOG_RING_BYTES_MIN,
              "the longest list fits an empty ring");

enum status execute_members(struct execute_context *context, struct member_list *list)
{
    uint8_t room[MEMBER_ROOM_BYTES];
    struct log_record record;
    size_t bytes = 0;

    for (unsigned i = 0; i < list->count; i++) {
        member_record(&record, list, i, room);
        bytes += log_record_bytes(record.key_length, record.value_length);
    }
    if (!log_ring_reserve(context->log, list->count, bytes)) {
        counter_bump(&context->counters.busy_log_full);
        return STATUS_BUSY;
    }
    for (unsigned i = 0; i < list->count; i++) {
        member_record(&record, list, i, room);
        /* acquire and release: as in lsn_take(). From here to the append nothing waits or fails */
        record.lsn = atomic_fetch_add_explicit(&context->table->next_lsn, 1, memory_order_acq_rel);
        log_ring_append(context->log, &record);
        if (i == 0)
            list->first_lsn = record.lsn;
        list->last_lsn = record.lsn;
    }
    return STATUS_OK;
}
