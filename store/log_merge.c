#include "log_merge.h"

#include "check.h"
#include "wire.h"

void log_merge_init(struct log_merge *merge, struct log_ring *const *rings, unsigned count,
                    uint64_t first_lsn)
{
    CHECK(count >= 1 && count <= TABLE_WORKERS_MAX);
    *merge = (struct log_merge){.count = count, .next_lsn = first_lsn};
    for (unsigned i = 0; i < count; i++)
        merge->rings[i] = rings[i];
}

const uint8_t *log_merge_peek(struct log_merge *merge, size_t *length)
{
    /* A worker that logs tends to log again: its ring is tried first. */
    for (unsigned i = 0, ring = merge->last; i < merge->count; i++) {
        const uint8_t *record = log_ring_peek(merge->rings[ring], length);
        if (record) {
            uint64_t lsn = wire_u64(record);
            CHECK(lsn >= merge->next_lsn); /* lower: published twice, or not in order */
            if (lsn == merge->next_lsn) {
                merge->last = ring;
                return record;
            }
        }
        if (++ring == merge->count)
            ring = 0;
    }
    return NULL;
}

void log_merge_pop(struct log_merge *merge)
{
    log_ring_pop(merge->rings[merge->last]);
    merge->next_lsn++;
}
