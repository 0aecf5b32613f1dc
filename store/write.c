/*
 * write.c - SET, DELETE, INCR and TOUCH: decide under the bucket's lock, reserve, take the LSN, change, log.
 */
#include "context.h"

#include <string.h>

#include "number.h"

enum {
    WRITE_ATTEMPTS_MAX = 16,
    FLUSH_WAIT_SPINS_MAX = 4096,
    RECLAIM_BUCKETS = 64, /* that one write may clear after a FLUSH, when it finds no room */
};

enum change { CHANGE_NONE, CHANGE_STORE, CHANGE_REMOVE };

/* What an operation does to the item it found. */
struct decision {
    enum change change;
    enum status status;
    const uint8_t *value; /* CHANGE_STORE: the item's next state */
    uint16_t value_length;
    uint64_t expiry_ms;
    int64_t integer; /* INCR's result */
};

static enum status check_conditions(const struct operation *operation, bool alive, uint64_t version)
{
    switch (operation->flags & FLAG_CONDITIONS) {
    case FLAG_IF_ABSENT:
        return alive ? STATUS_EXISTS : STATUS_OK;
    case FLAG_IF_PRESENT:
        return alive ? STATUS_OK : STATUS_NOT_FOUND;
    case FLAG_IF_VERSION:
        if (!alive)
            return STATUS_NOT_FOUND;
        return version == operation->version ? STATUS_OK : STATUS_VERSION_MISMATCH;
    default:
        return STATUS_OK;
    }
}

static uint64_t expiry_from(uint64_t clock_ms, uint64_t ttl_ms)
{
    uint64_t expiry_ms;
    if (ttl_ms == 0)
        return 0;
    return __builtin_add_overflow(clock_ms, ttl_ms, &expiry_ms) ? UINT64_MAX : expiry_ms;
}

static void decide_incr(struct execute_context *context, const struct operation *operation,
                        const struct found *found, bool alive, uint64_t clock_ms, uint16_t room,
                        struct decision *out)
{
    int64_t delta, number;
    if (!incr_operand_decode(operation->value, operation->value_length, &delta, &number)) {
        out->status = STATUS_BAD_REQUEST;
        return;
    }
    out->expiry_ms = expiry_from(clock_ms, operation->ttl_ms);
    if (alive) {
        size_t length = shape_value_length(found->shape);
        out->expiry_ms = found->expiry_ms;
        out->status = STATUS_NOT_A_NUMBER;
        if (length > DECIMAL_BYTES_MAX)
            return;
        place_value(context->table, found, context->value);
        if (!number_parse(context->value, length, &number))
            return;
    }
    if (__builtin_add_overflow(number, delta, &out->integer)) {
        out->status = STATUS_NOT_A_NUMBER;
        return;
    }
    if (room < INCR_RESULT_BYTES) {
        out->status = STATUS_MORE;
        return;
    }
    out->status = STATUS_OK;
    out->change = CHANGE_STORE;
    out->value_length = (uint16_t)number_print(context->value, out->integer);
    out->value = context->value;
}

static void decide(struct execute_context *context, const struct operation *operation,
                   const struct found *found, bool alive, uint64_t clock_ms, uint16_t room,
                   struct decision *out)
{
    *out = (struct decision){.status = check_conditions(operation, alive, found->version)};
    if (out->status != STATUS_OK)
        return;
    switch (operation->opcode) {
    case OPCODE_SET:
        out->change = CHANGE_STORE;
        out->value = operation->value;
        out->value_length = operation->value_length;
        out->expiry_ms = expiry_from(clock_ms, operation->ttl_ms);
        return;
    case OPCODE_INCR:
        decide_incr(context, operation, found, alive, clock_ms, room, out);
        return;
    case OPCODE_DELETE:
        out->change = alive ? CHANGE_REMOVE : CHANGE_NONE;
        out->status = alive ? STATUS_OK : STATUS_NOT_FOUND;
        return;
    default: /* TOUCH */
        if (!alive) {
            out->status = STATUS_NOT_FOUND;
            return;
        }
        place_value(context->table, found, context->value);
        out->change = CHANGE_STORE;
        out->value = context->value;
        out->value_length = (uint16_t)shape_value_length(found->shape);
        out->expiry_ms = expiry_from(clock_ms, operation->ttl_ms);
    }
}

/* Between LSN and publication: nothing here can fail or wait. */
static void commit(struct execute_context *context, struct bucket *main, unsigned tag,
                   const struct found *found, enum change change, const struct log_record *record)
{
    if (change == CHANGE_STORE) {
        place_store(context, main, tag, found, record);
    } else {
        place_remove(context, main, found);
        word_store(&main->last_lsn, record->lsn);
    }
    STORE_YIELD_POINT(YIELD_ITEM_WRITTEN);
    log_ring_append(context->log, record);
    STORE_YIELD_POINT(YIELD_PUBLISHED);
}

enum outcome {
    WRITE_DONE,
    WRITE_AGAIN,   /* a FLUSH interfered */
    WRITE_NO_ROOM, /* `lines` more were needed */
};

struct attempt {
    enum status status; /* WRITE_DONE */
    unsigned lines;     /* WRITE_NO_ROOM */
};

/* The part under the bucket's lock. */
static enum outcome write_locked(struct execute_context *context, const struct operation *operation,
                                 struct bucket *main, unsigned tag, uint64_t clock_ms,
                                 const struct flush_view *view, struct attempt *attempt,
                                 struct result *result)
{
    struct table *table = context->table;
    struct found found;
    place_find(table, main, tag, operation->key, operation->key_length, &found);
    bool flushed = found.line != 0 && found.version < view->flush_lsn;
    bool expired = found.line != 0 && !flushed && item_expired(found.expiry_ms, clock_ms);
    bool alive = found.line != 0 && !flushed && !expired;

    struct decision decision;
    decide(context, operation, &found, alive, clock_ms, result->room, &decision);
    attempt->status = decision.status;
    if (decision.change == CHANGE_NONE) {
        result->version = alive ? found.version : 0;
        result->bucket_lsn = table_bucket_lsn(table, main);
        return WRITE_DONE;
    }

    struct log_record record = {.expiry_ms = decision.expiry_ms,
                                .key = operation->key,
                                .key_length = operation->key_length,
                                .value = decision.value,
                                .value_length = decision.value_length,
                                .type = LOG_SET};
    int more = 0;
    if (decision.change == CHANGE_STORE) {
        more = place_more_lines(&found, record.key_length, record.value_length);
    } else {
        record.type = LOG_DELETE;
        record.reason = LOG_REASON_REQUEST;
    }
    if (!log_ring_reserve(context->log, 1, log_record_bytes(record.key_length, record.value_length))) {
        counter_bump(&context->counters.busy_log_full);
        attempt->status = STATUS_BUSY;
        return WRITE_DONE;
    }
    if (more > 0 && !lines_admit(&table->lines, (uint64_t)more)) {
        attempt->lines = (unsigned)more;
        result->bucket_lsn = table_bucket_lsn(table, main); /* FULL tells that the conditions hold */
        return WRITE_NO_ROOM;
    }
    if (!lsn_take(context, view, &record.lsn)) {
        if (more > 0)
            lines_release(&table->lines, (uint64_t)more);
        return WRITE_AGAIN;
    }
    commit(context, main, tag, &found, decision.change, &record);
    if (flushed)
        counter_bump(&context->counters.reclaimed);
    if (expired)
        counter_bump(&context->counters.expired);
    if (operation->opcode == OPCODE_INCR) {
        incr_result_encode(result->value, decision.integer);
        result->value_length = INCR_RESULT_BYTES;
    }
    result->version = result->bucket_lsn = record.lsn;
    return WRITE_DONE;
}

/* After a refused admission: OK to try again, else the answer, which has been counted. */
static enum status make_room(struct execute_context *context, const struct operation *operation,
                             uint64_t clock_ms, const struct flush_view *view, unsigned lines)
{
    struct table *table = context->table;
    STORE_YIELD_POINT(YIELD_ROOM);
    /* The count may include items that a FLUSH has hidden: then it says nothing about FULL. The view was
     * taken before the refusal and still stands after it, so it holds for the refusal. */
    if (!view->reclaimed || !flush_view_stands(table, view)) {
        struct flush_view now;
        (void)reclaim_step(context, RECLAIM_BUCKETS);
        bool settled = flush_view_try(table, &now) && now.reclaimed;
        if (settled || lines_used(&table->lines) + lines <= table->lines.limit)
            return STATUS_OK;
        counter_bump(&context->counters.busy_contended);
        return STATUS_BUSY;
    }
    if (table->evict == EVICT_CLOCK)
        return evict_make_room(context, operation, clock_ms, lines);
    counter_bump(&context->counters.full);
    return STATUS_FULL;
}

static bool flush_view_wait(const struct table *table, struct flush_view *view)
{
    for (unsigned spins = 0; spins < FLUSH_WAIT_SPINS_MAX; spins++) {
        if (flush_view_try(table, view))
            return true;
        STORE_YIELD_POINT(YIELD_LOCK_SPIN);
        rte_pause();
    }
    return false;
}

enum status execute_write(struct execute_context *context, const struct operation *operation, uint64_t hash,
                          uint64_t clock_ms, struct result *result)
{
    struct table *table = context->table;
    struct bucket *main = table_bucket(table, hash);

    for (unsigned i = 0; i < WRITE_ATTEMPTS_MAX; i++) {
        struct flush_view view;
        struct attempt attempt = {0};
        if (!flush_view_wait(table, &view) || !bucket_lock(main))
            break;
        /* Again, under the lock: what another worker has called expired meanwhile must not come back. */
        clock_ms = table_clock(table, clock_ms);
        enum outcome outcome =
            write_locked(context, operation, main, hash_tag(hash), clock_ms, &view, &attempt, result);
        bucket_unlock(main);
        if (outcome == WRITE_DONE)
            return attempt.status;
        if (outcome == WRITE_AGAIN)
            continue;
        enum status status = make_room(context, operation, clock_ms, &view, attempt.lines);
        if (status != STATUS_OK)
            return status;
    }
    counter_bump(&context->counters.busy_contended);
    return STATUS_BUSY;
}
