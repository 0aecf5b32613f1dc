/*
 * evict.c - --evict clock: makes room by removing items that were not read since the clock's hand last
 * passed.
 *
 * Each worker has a hand of its own. Evictions are operations of their own, each logged before the write that
 * wanted the room is tried again, so replicas need not know the policy. The writer holds no lock meanwhile,
 * and buckets are only tried: one that is taken is passed over.
 */
#include "context.h"

#include <string.h>

enum {
    EVICT_BUCKETS_MAX = 64, /* visited for one write; then BUSY */
    EVICT_PATIENCE = 16,    /* buckets after which reference bits no longer protect: they may all be set */
};

static bool room_for(const struct table *table, unsigned lines)
{
    return lines_used(&table->lines) + lines <= table->lines.limit;
}

/* Clears the slot's reference bit; false if it was not set. */
static bool take_reference(struct slot slot)
{
    uint64_t bit = (uint64_t)TAG_REFERENCED << (slot.index & 3) * 16;
    _Atomic uint64_t *word = &slot.bucket->tags[slot.index / 4];
    uint64_t tags = word_load(word);
    if ((tags & bit) == 0)
        return false;
    word_store(word, tags & ~bit);
    return true;
}

static bool is_own_key(const struct table *table, const struct found *found,
                       const struct operation *operation)
{
    struct line_view view = lines_view(&table->lines);
    return shape_key_length(found->shape) == operation->key_length &&
           item_key_equals(view, &view.line[found->line], operation->key, operation->key_length);
}

/* What to do with one item: true if it went (then the chain's last item has taken its slot). */
static bool evict_item(struct execute_context *context, const struct flush_view *view, struct bucket *main,
                       const struct operation *operation, const struct found *found, uint64_t clock_ms,
                       bool patient, enum removal *removal)
{
    *removal = REMOVAL_DONE;
    if (found->version < view->flush_lsn) {
        place_remove(context, main, found);
        counter_bump(&context->counters.reclaimed);
        return true;
    }
    if (is_own_key(context->table, found, operation))
        return false;
    bool expired = item_expired(found->expiry_ms, clock_ms);
    if (!expired && patient && take_reference(found->slot))
        return false;
    *removal = remove_logged(context, view, main, found, expired ? LOG_REASON_EXPIRED : LOG_REASON_EVICTED);
    if (*removal != REMOVAL_DONE)
        return false;
    counter_bump(expired ? &context->counters.expired : &context->counters.evicted);
    return true;
}

/* Visits a locked bucket's chain until there is room. False: no use in going on (the ring is full). */
static bool evict_chain(struct execute_context *context, struct bucket *main,
                        const struct operation *operation, uint64_t clock_ms, unsigned lines, bool patient)
{
    struct table *table = context->table;
    struct flush_view view;
    if (!flush_view_try(table, &view))
        return true;
    struct slot slot = {main, 0};
    while (!room_for(table, lines)) {
        if (slot.index == bucket_count(slot.bucket)) {
            uint32_t next = bucket_next(slot.bucket);
            if (next == 0)
                break;
            slot = (struct slot){&table->buckets.bucket[next], 0};
            continue;
        }
        struct found found;
        enum removal removal;
        place_load(table, slot, &found);
        /* When the chain's last bucket went with its only item, the slot is no longer part of the chain. */
        bool lone = slot.index == 0 && slot.bucket != main && bucket_count(slot.bucket) == 1;
        if (!evict_item(context, &view, main, operation, &found, clock_ms, patient, &removal))
            slot.index++;
        else if (lone)
            break;
        if (removal == REMOVAL_LOG_FULL)
            return false;
        if (removal == REMOVAL_FLUSHED)
            break;
    }
    return true;
}

enum status evict_make_room(struct execute_context *context, const struct operation *operation,
                            uint64_t clock_ms, unsigned lines)
{
    struct table *table = context->table;
    bool log_full = false;
    for (unsigned visited = 0; visited < EVICT_BUCKETS_MAX && !room_for(table, lines); visited++) {
        struct bucket *main = &table->buckets.bucket[context->evict_bucket];
        if (++context->evict_bucket == table->buckets.main_count)
            context->evict_bucket = 0;
        if (!bucket_try_lock(main))
            continue;
        bool go_on = evict_chain(context, main, operation, clock_ms, lines, visited < EVICT_PATIENCE);
        bucket_unlock(main);
        if (!go_on) {
            log_full = true;
            break;
        }
    }
    if (room_for(table, lines))
        return STATUS_OK;
    counter_bump(log_full ? &context->counters.busy_log_full : &context->counters.busy_contended);
    return STATUS_BUSY;
}
