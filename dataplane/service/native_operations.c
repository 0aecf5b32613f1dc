/*
 * native_operations.c - messages to replies: what may be executed, when, and how often. The lone GET, which
 * most messages are, has its own way in native_get.h.
 */
#include "service/native_engine.h"

#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "message_inline.h"

/*
 * State and mode decide what this node may answer:
 *   RECOVERING, CATCHING_UP   the table is incomplete: reads STALE, writes BUSY
 *   READ_ONLY                 writes READ_ONLY
 *   FENCED, or a replica      writes NOT_PRIMARY
 *   DRAINING                  as before it: what was received is answered
 */
void native_read_gate(struct native_engine *engine)
{
    struct state_view view = published_state_get(engine->published);
    struct native_gate *gate = &engine->gate;
    *gate = (struct native_gate){.history = view.history,
                                 .epoch = view.epoch,
                                 .mode = view.mode,
                                 .state = view.state,
                                 .read = STATUS_OK,
                                 .write = STATUS_OK};
    if (unlikely(view.table_generation != engine->known_generation)) {
        engine->known_generation = view.table_generation;
        engine->known_lsn = 0;
    }
    switch (view.state) {
    case STATE_RECOVERING:
    case STATE_CATCHING_UP:
        gate->read = STATUS_STALE;
        gate->write = STATUS_BUSY;
        break;
    case STATE_READ_ONLY:
        gate->write = STATUS_READ_ONLY;
        break;
    case STATE_FENCED:
        gate->write = STATUS_NOT_PRIMARY;
        break;
    default:
        break;
    }
    if (view.mode == MODE_REPLICA)
        gate->write = STATUS_NOT_PRIMARY;
    native_read_durable(engine);
    if (engine->log.failed && gate->write == STATUS_OK) /* control is about to say so */
        gate->write = STATUS_READ_ONLY;
}

void native_read_durable(struct native_engine *engine)
{
    struct native_log *log = &engine->log;
    struct durable_view view = {.lsn = UINT64_MAX};
    if (log->durable != NULL)
        view = durable_point_get(log->durable);
    log->durable_lsn = view.lsn;
    log->failed = view.failed;
    log->reads_above = log->rules.reads_wait ? view.lsn : UINT64_MAX;
}

static void count_one(struct native_engine *engine, enum counter which)
{
    counter_add(engine->counters, which, 1);
}

/* ---- decoding ---- */

static inline void step_judge(struct native_step *step)
{
    step->status = (uint8_t)operation_check_inline(&step->operation);
    step->probe = NULL;
}

/* Whether `left` operations and nothing else stand there. */
static __rte_noinline bool rest_is_whole(const uint8_t *at, const uint8_t *end, unsigned left, bool padding)
{
    struct message_reader reader = {.at = at, .end = end, .left = (uint16_t)left, .allow_padding = padding};
    struct operation skipped;
    int more;
    do {
        more = message_next_operation_inline(&reader, &skipped);
    } while (more == 1);
    return more == 0;
}

bool native_decode(struct native_request *request, const uint8_t *message, size_t length, uint8_t version,
                   bool may_be_padded)
{
    struct message_header header;
    struct message_reader reader;
    if (message_open_inline(&reader, &header, message, length, may_be_padded) != 0)
        return false;
    if (header.version != version || message_next_operation_inline(&reader, &request->first.operation) != 1)
        return false;
    /* The whole message is read before any of it is executed. */
    if ((reader.left != 0 || reader.at != reader.end) &&
        !rest_is_whole(reader.at, reader.end, reader.left, reader.allow_padding))
        return false;
    request->count = header.count;
    request->history = header.history;
    request->version = version;
    request->rest = reader.at;
    request->end = reader.end;
    step_judge(&request->first);
    return true;
}

/* ---- executing ---- */

/* Whether this node has what a GET with FLAG_MIN_LSN wants to be on top of. */
static __rte_noinline enum status min_lsn_reached(struct native_engine *engine, uint64_t history,
                                                  uint64_t min_lsn)
{
    if (engine->log.durable != NULL && unlikely(durable_point_lost(engine->log.durable, min_lsn)))
        return STATUS_LOST;
    if (min_lsn <= engine->known_lsn)
        return STATUS_OK;
    struct table_counts counts;
    table_counts(engine->table, &counts);
    engine->known_lsn = counts.lsn;
    if (min_lsn <= counts.lsn)
        return STATUS_OK;
    /* It may come from a history of the primary's that a replica, or who was a primary, is yet to hear of. */
    if (engine->gate.mode == MODE_REPLICA || engine->gate.state == STATE_FENCED)
        return STATUS_STALE;
    /* Nor does a primary know of one that was promoted while it heard of nobody: its LSNs are of a higher range (meta.h). */
    if (engine->gate.mode != MODE_STANDALONE && min_lsn >> 32 > (counts.lsn + 1) >> 32)
        return STATUS_STALE;
    /* Of those up to there the node knows one history, its own. An LSN above all it has that comes from another one can
     * only be from a tail that this node's history does not continue. */
    return history != 0 && history != engine->gate.history ? STATUS_LOST : STATUS_STALE;
}

/* ---- waiting for the log ---- */

/* OK: the reply waits. Else it must not be given at all, and this is what is. */
static __rte_noinline enum status wait_for(struct native_engine *engine, uint64_t lsn, bool read)
{
    if (engine->log.failed) {
        count_one(engine, read ? COUNTER_native_parked_stale : COUNTER_native_parked_timeout);
        return read ? STATUS_STALE : STATUS_TIMEOUT;
    }
    if (!engine->may_park) {
        count_one(engine, COUNTER_native_parked_refused);
        return STATUS_BUSY;
    }
    engine->wait_lsn = RTE_MAX(engine->wait_lsn, lsn);
    return STATUS_OK;
}

enum status native_read_waits(struct native_engine *engine, enum status status, uint64_t lsn)
{
    enum status waits = wait_for(engine, lsn, true);
    return waits == STATUS_OK ? status : waits;
}

/* Whether a write's reply waits for what it depends on. */
static bool write_waits(const struct native_engine *engine, const struct operation *operation,
                        enum status status)
{
    const struct durability_rules *rules = &engine->log.rules;
    return rules->writes_wait || operation->durability >= DURABILITY_LOCAL ||
           (rules->reads_wait && status != STATUS_OK);
}

/* A write's outcome, which depends on `lsn`: as it is, or what is told instead. */
static enum status write_settle(struct native_engine *engine, const struct operation *operation,
                                enum status status, uint64_t lsn, struct reply *reply)
{
    if (lsn <= engine->log.durable_lsn || !write_waits(engine, operation, status))
        return status;
    enum status waits = wait_for(engine, lsn, false);
    if (waits == STATUS_OK)
        return status;
    reply->version = 0;
    reply->value_length = 0;
    return waits;
}

/* Room for the reply is made sure of before the write: once it has its LSN, it has happened. */
static bool write_has_room(struct native_engine *engine, const struct operation *operation)
{
    if (engine->may_park || !write_waits(engine, operation, STATUS_NOT_FOUND))
        return true;
    count_one(engine, COUNTER_native_parked_refused);
    return false;
}

/* Without a log nothing survives the node: a write that asks for more is not told it was done. */
static bool durability_is_offered(struct native_engine *engine, const struct operation *operation)
{
    const struct durability_rules *rules = &engine->log.rules;
    enum durability most = rules->replicated ? DURABILITY_REPLICATED
                           : rules->log      ? DURABILITY_LOCAL
                                             : DURABILITY_MEMORY;
    if (operation->durability <= most)
        return true;
    count_one(engine, COUNTER_native_refused_durability);
    return false;
}

/* ---- operations ---- */

/* *lsn: what the outcome depends on. */
static inline enum status run(struct native_engine *engine, const struct native_step *step, uint8_t *value,
                              size_t room, struct reply *reply, uint64_t *lsn)
{
    struct execute_context *context = engine->execute;
    struct result result = {.value = value, .room = (uint16_t)room};
    uint64_t hash = step->probe != NULL ? step->probe->hash : 0; /* FLUSH has no key */
    enum status status = step->operation.opcode == OPCODE_GET
                             ? execute_get(context, step->probe, engine->now.wall_ms, &result)
                             : execute(context, &step->operation, hash, engine->now.wall_ms, &result);
    reply->version = result.version;
    reply->value_length = result.value_length;
    *lsn = native_depends_on(status, &result);
    return status;
}

static_assert(REPLY_HEADER_BYTES + INCR_RESULT_BYTES <= OPERATION_HEADER_BYTES,
              "in place, INCR's result lands on the request's header, not on its operands");
static inline enum status run_get(struct native_engine *engine, uint64_t history,
                                  const struct native_step *step, uint8_t *value, size_t room,
                                  struct reply *reply)
{
    if (engine->gate.read != STATUS_OK)
        return (enum status)engine->gate.read;
    if (step->operation.flags & FLAG_MIN_LSN) {
        enum status status = min_lsn_reached(engine, history, step->operation.version);
        if (status != STATUS_OK)
            return status;
    }
    uint64_t lsn;
    enum status status = run(engine, step, value, room, reply, &lsn);
    if (unlikely(lsn > engine->log.reads_above) && !(step->operation.flags & FLAG_READ_MEMORY)) {
        enum status told = native_read_waits(engine, status, lsn);
        if (told != status)
            *reply = (struct reply){.value = value, .request_id = reply->request_id, .opcode = reply->opcode};
        status = told;
    }
    return status;
}

/* A write that has had its outcome: the same answer again, when the first may leave. Never, if a tail that was
 * cut off since, on a node that was a primary then, took with it what the outcome depends on. */
static __rte_noinline enum status repeat(struct native_engine *engine, const struct native_step *step,
                                         const struct retry_outcome *outcome, uint8_t *value, size_t room,
                                         struct reply *reply)
{
    if (!durability_is_offered(engine, &step->operation))
        return STATUS_BAD_REQUEST;
    uint64_t lsn = outcome->status == STATUS_OK ? outcome->version : (uint64_t)outcome->integer;
    if (engine->log.durable != NULL && unlikely(durable_point_lost(engine->log.durable, lsn)))
        return STATUS_TIMEOUT;
    if (step->operation.opcode == OPCODE_INCR && outcome->status == STATUS_OK) {
        if (room < INCR_RESULT_BYTES)
            return STATUS_MORE;
        incr_result_encode(value, outcome->integer);
        reply->value_length = INCR_RESULT_BYTES;
    }
    reply->version = outcome->version;
    return write_settle(engine, &step->operation, outcome->status, lsn, reply);
}

/* Who it is that takes writes, if that is known and fits. */
static __rte_noinline enum status not_primary(struct native_engine *engine, uint8_t *value, size_t room,
                                              struct reply *reply)
{
    const char *primary = published_primary(engine->published);
    size_t length = primary != NULL ? strlen(primary) : 0;
    if (length > 0 && length <= room) {
        memcpy(value, primary, length);
        reply->value_length = (uint16_t)length;
    }
    return STATUS_NOT_PRIMARY;
}

static __rte_noinline enum status run_write(struct native_engine *engine, struct retry_window *retry,
                                            const struct native_step *step, uint8_t *value, size_t room,
                                            struct reply *reply)
{
    const struct operation *operation = &step->operation;
    struct retry_outcome outcome;
    if (retry != NULL) {
        switch (retry_window_check(retry, operation->request_id, &outcome)) {
        case RETRY_REPEATED:
            count_one(engine, COUNTER_native_retry_repeated);
            return repeat(engine, step, &outcome, value, room, reply);
        case RETRY_TOO_OLD:
            count_one(engine, COUNTER_native_retry_too_old);
            return STATUS_TIMEOUT;
        case RETRY_NEW:
            break;
        }
    }
    if (engine->gate.write == STATUS_NOT_PRIMARY)
        return not_primary(engine, value, room, reply);
    if (engine->gate.write != STATUS_OK)
        return (enum status)engine->gate.write;
    if (!durability_is_offered(engine, operation))
        return STATUS_BAD_REQUEST;
    if (!write_has_room(engine, operation))
        return STATUS_BUSY;
    uint64_t lsn;
    enum status status = run(engine, step, value, room, reply, &lsn);
    if (retry != NULL) {
        outcome = (struct retry_outcome){.status = status, .version = reply->version};
        if (status != STATUS_OK)
            outcome.integer = (int64_t)lsn;
        else
            incr_result_decode(value, reply->value_length,
                               &outcome.integer); /* only INCR's has that length */
        retry_window_record(retry, operation->request_id, &outcome);
    }
    return write_settle(engine, operation, status, lsn, reply);
}

static __rte_noinline enum status run_health(struct native_engine *engine, uint8_t *value, size_t room,
                                             struct reply *reply)
{
    if (room < HEALTH_REPLY_BYTES)
        return STATUS_MORE;
    struct table_counts counts;
    table_counts(engine->table, &counts);
    const struct durable_point *durable = engine->log.durable;
    struct health health = {
        .lsn = durable != NULL ? durable_point_last_change(durable, counts.lsn) : counts.lsn,
        .items = counts.items,
        .capacity = counts.capacity,
        .lines_used = counts.lines_used,
        .uptime_ms = (engine->now.mono_ns - engine->started_mono_ns) / 1000000,
        .epoch = engine->gate.epoch,
        .mode = engine->gate.mode,
        .state = engine->gate.state,
    };
    health_encode(value, &health);
    reply->value_length = HEALTH_REPLY_BYTES;
    return STATUS_OK;
}

static __rte_noinline enum status run_echo(const struct native_step *step, uint8_t *value, size_t room,
                                           struct reply *reply)
{
    if (room < step->operation.value_length)
        return STATUS_MORE;
    memmove(value, step->operation.value, step->operation.value_length); /* the reply may be in place */
    reply->value_length = step->operation.value_length;
    return STATUS_OK;
}

void native_count_refusal(struct native_engine *engine, enum status status)
{
    switch (status) {
    case STATUS_BAD_REQUEST:
        count_one(engine, COUNTER_native_refused_request);
        break;
    case STATUS_TOO_LARGE:
        count_one(engine, COUNTER_native_refused_large);
        break;
    case STATUS_MORE:
        count_one(engine, COUNTER_native_refused_more);
        break;
    case STATUS_BUSY:
        count_one(engine, COUNTER_native_refused_busy);
        break;
    case STATUS_FULL:
        count_one(engine, COUNTER_native_refused_full);
        break;
    case STATUS_NOT_PRIMARY:
        count_one(engine, COUNTER_native_refused_not_primary);
        break;
    case STATUS_READ_ONLY:
        count_one(engine, COUNTER_native_refused_read_only);
        break;
    case STATUS_STALE:
        count_one(engine, COUNTER_native_refused_stale);
        break;
    case STATUS_LOST:
        count_one(engine, COUNTER_native_refused_lost);
        break;
    default:
        break; /* answers, and TIMEOUT, which is counted where it is decided */
    }
}

static inline void step_execute(struct native_engine *engine, const struct native_request *request,
                                struct retry_window *retry, const struct native_step *step,
                                struct message_writer *writer)
{
    const struct operation *operation = &step->operation;
    size_t room = 0; /* native_execute() has made sure of a bare reply: value is never NULL */
    uint8_t *value = message_reply_value_inline(writer, &room);
    struct reply reply = {.value = value, .request_id = operation->request_id, .opcode = operation->opcode};
    enum status status = (enum status)step->status;
    if (status == STATUS_OK) {
        switch (operation->opcode) {
        case OPCODE_GET:
            status = run_get(engine, request->history, step, value, room, &reply);
            break;
        case OPCODE_ECHO:
            status = run_echo(step, value, room, &reply);
            break;
        case OPCODE_HEALTH:
            status = run_health(engine, value, room, &reply);
            break;
        default: /* operation_check() lets no others pass than these and the writes */
            status = run_write(engine, retry, step, value, room, &reply);
            break;
        }
    }
    if (status > STATUS_VERSION_MISMATCH)
        native_count_refusal(engine, status);
    reply.status = (uint8_t)status;
    message_add_reply_inline(writer, &reply);
}

/* A message of several: their buckets and items are fetched together, like a burst's. */
static __rte_noinline void rest_execute(struct native_engine *engine, const struct native_request *request,
                                        struct retry_window *retry, struct message_writer *writer,
                                        uint8_t *end)
{
    unsigned left = request->count - 1u;
    struct message_reader reader = {.at = request->rest, .end = request->end, .left = (uint16_t)left};
    while (left > 0) {
        unsigned count = RTE_MIN(left, (unsigned)NATIVE_STEPS_AT_ONCE), probes = 0;
        for (unsigned i = 0; i < count; i++) {
            struct native_step *step = &engine->steps[i];
            message_next_operation_inline(&reader, &step->operation);
            step_judge(step);
            if (native_has_key(step)) {
                step->probe = &engine->step_probe[probes++];
                step->probe->key = step->operation.key;
                step->probe->key_length = step->operation.key_length;
            }
        }
        table_probe_hash(engine->table, engine->step_probe, probes);
        table_probe_find(engine->table, engine->step_probe, probes);
        for (unsigned i = 0; i < count; i++) {
            left--;
            writer->end = end - (size_t)left * REPLY_HEADER_BYTES;
            step_execute(engine, request, retry, &engine->steps[i], writer);
        }
    }
}

size_t native_execute(struct native_engine *engine, const struct native_request *request,
                      struct retry_window *retry, uint8_t *out, size_t room)
{
    unsigned count = request->count;
    engine->wait_lsn = 0;
    /* Every operation is sure of a bare reply: what one may fill ends where the later ones' begin. */
    size_t bare = (size_t)MESSAGE_HEADER_BYTES + (size_t)count * REPLY_HEADER_BYTES;
    if (room < bare)
        return 0;
    struct message_writer writer;
    message_begin_inline(&writer, out, room);
    uint8_t *end = writer.end;
    writer.end = end - (size_t)(count - 1) * REPLY_HEADER_BYTES;
    step_execute(engine, request, retry, &request->first, &writer);
    if (count > 1)
        rest_execute(engine, request, retry, &writer, end);
    const struct message_header header = {.history = engine->gate.history,
                                          .epoch = engine->gate.epoch,
                                          .count = (uint16_t)count,
                                          .version = request->version};
    return message_finish_inline(&writer, &header);
}
