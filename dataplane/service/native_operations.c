/*
 * native_operations.c - messages to replies: what may be executed, when, and how often. The lone GET, which most
 * messages are, has its own way in native_get.h.
 */
#include "service/native_internal.h"

#include <rte_common.h>

#include "message_inline.h"

/*
 * State and mode decide what this node may answer:
 *   RECOVERING, CATCHING_UP   the table is incomplete: reads STALE, writes BUSY
 *   READ_ONLY                 writes READ_ONLY
 *   FENCED, or a replica      writes NOT_PRIMARY
 *   DRAINING                  as before it: what was received is answered
 */
void native_read_gate(struct native_udp *service)
{
    struct state_view view = published_state_get(service->config.published);
    struct native_gate *gate = &service->gate;
    *gate = (struct native_gate){.history = view.history,
                                 .epoch = view.epoch,
                                 .mode = view.mode,
                                 .state = view.state,
                                 .read = STATUS_OK,
                                 .write = STATUS_OK};
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
}

/* ---- decoding ---- */

/* Judges the operation; true if its key is to be looked up. */
static inline bool step_prepare(struct native_step *step)
{
    step->status = (uint8_t)operation_check_inline(&step->operation);
    step->probe = NULL;
    return step->status == STATUS_OK && step->operation.key_length > 0;
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

bool native_message(struct native_udp *service, struct native_work *work, const uint8_t *message,
                    size_t length)
{
    struct native_request *request = native_request_of(service, work);
    struct message_header header;
    struct message_reader reader;
    if (message_open_inline(&reader, &header, message, length, work->session == NULL) != 0)
        return false;
    if (header.version != native_version(work) ||
        message_next_operation_inline(&reader, &request->first.operation) != 1)
        return false;
    /* The whole message is read before any of it is executed. */
    if ((reader.left != 0 || reader.at != reader.end) &&
        !rest_is_whole(reader.at, reader.end, reader.left, reader.allow_padding))
        return false;
    request->count = header.count;
    request->history = header.history;
    request->rest = reader.at;
    request->end = reader.end;
    struct native_step *first = &request->first;
    if (step_prepare(first))
        first->probe = native_probe(service, first->operation.key, first->operation.key_length);
    return true;
}

/* ---- executing ---- */

/* Whether this node has what a GET with FLAG_MIN_LSN wants to be on top of. */
static __rte_noinline enum status min_lsn_reached(struct native_udp *service, uint64_t history,
                                                  uint64_t min_lsn)
{
    if (min_lsn <= service->known_lsn)
        return STATUS_OK;
    struct table_counts counts;
    table_counts(service->config.table, &counts);
    service->known_lsn = counts.lsn;
    if (min_lsn <= counts.lsn)
        return STATUS_OK;
    /* The node knows one history, its own. An LSN above all it has that comes from another one can only be
     * from a tail that this node's history does not continue. */
    return history != 0 && history != service->gate.history ? STATUS_LOST : STATUS_STALE;
}

static inline enum status run(struct native_udp *service, const struct native_step *step, uint8_t *value,
                              size_t room, struct reply *reply)
{
    struct execute_context *context = service->config.execute;
    struct result result = {.value = value, .room = (uint16_t)room};
    uint64_t hash = step->probe != NULL ? step->probe->hash : 0; /* FLUSH has no key */
    enum status status = step->operation.opcode == OPCODE_GET
                             ? execute_get(context, step->probe, service->now.wall_ms, &result)
                             : execute(context, &step->operation, hash, service->now.wall_ms, &result);
    reply->version = result.version;
    reply->value_length = result.value_length;
    return status;
}

static_assert(REPLY_HEADER_BYTES + INCR_RESULT_BYTES <= OPERATION_HEADER_BYTES,
              "in place, INCR's result lands on the request's header, not on its operands");
static inline enum status run_get(struct native_udp *service, uint64_t history,
                                  const struct native_step *step, uint8_t *value, size_t room,
                                  struct reply *reply)
{
    if (service->gate.read != STATUS_OK)
        return (enum status)service->gate.read;
    if (step->operation.flags & FLAG_MIN_LSN) {
        enum status status = min_lsn_reached(service, history, step->operation.version);
        if (status != STATUS_OK)
            return status;
    }
    return run(service, step, value, room, reply);
}

/* A write that has had its outcome: the same answer again. */
static __rte_noinline enum status repeat(const struct native_step *step, const struct retry_outcome *outcome,
                                         uint8_t *value, size_t room, struct reply *reply)
{
    if (step->operation.opcode == OPCODE_INCR && outcome->status == STATUS_OK) {
        if (room < INCR_RESULT_BYTES)
            return STATUS_MORE;
        incr_result_encode(value, outcome->integer);
        reply->value_length = INCR_RESULT_BYTES;
    }
    reply->version = outcome->version;
    return outcome->status;
}

static __rte_noinline enum status run_write(struct native_udp *service, struct session *session,
                                            const struct native_step *step, uint8_t *value, size_t room,
                                            struct reply *reply)
{
    const struct operation *operation = &step->operation;
    struct retry_outcome outcome;
    if (session != NULL) {
        switch (retry_window_check(&session->retry, operation->request_id, &outcome)) {
        case RETRY_REPEATED:
            native_count(service, COUNTER_native_retry_repeated);
            return repeat(step, &outcome, value, room, reply);
        case RETRY_TOO_OLD:
            native_count(service, COUNTER_native_retry_too_old);
            return STATUS_TIMEOUT;
        case RETRY_NEW:
            break;
        }
    }
    if (service->gate.write != STATUS_OK)
        return (enum status)service->gate.write;
    /* Nothing here survives the node yet: a write that asks for more is not told it was done. */
    if (operation->durability > DURABILITY_MEMORY) {
        native_count(service, COUNTER_native_refused_durability);
        return STATUS_BAD_REQUEST;
    }
    enum status status = run(service, step, value, room, reply);
    if (session != NULL) {
        outcome = (struct retry_outcome){.status = status, .version = reply->version};
        incr_result_decode(value, reply->value_length, &outcome.integer); /* only INCR's has that length */
        retry_window_record(&session->retry, operation->request_id, &outcome);
    }
    return status;
}

static __rte_noinline enum status run_health(struct native_udp *service, uint8_t *value, size_t room,
                                             struct reply *reply)
{
    if (room < HEALTH_REPLY_BYTES)
        return STATUS_MORE;
    struct table_counts counts;
    table_counts(service->config.table, &counts);
    struct health health = {
        .lsn = counts.lsn,
        .items = counts.items,
        .capacity = counts.capacity,
        .lines_used = counts.lines_used,
        .uptime_ms = (service->now.mono_ns - service->config.started_mono_ns) / 1000000,
        .epoch = service->gate.epoch,
        .mode = service->gate.mode,
        .state = service->gate.state,
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

void native_count_refusal(struct native_udp *service, enum status status)
{
    switch (status) {
    case STATUS_BAD_REQUEST:
        native_count(service, COUNTER_native_refused_request);
        break;
    case STATUS_TOO_LARGE:
        native_count(service, COUNTER_native_refused_large);
        break;
    case STATUS_MORE:
        native_count(service, COUNTER_native_refused_more);
        break;
    case STATUS_BUSY:
        native_count(service, COUNTER_native_refused_busy);
        break;
    case STATUS_FULL:
        native_count(service, COUNTER_native_refused_full);
        break;
    case STATUS_NOT_PRIMARY:
        native_count(service, COUNTER_native_refused_not_primary);
        break;
    case STATUS_READ_ONLY:
        native_count(service, COUNTER_native_refused_read_only);
        break;
    case STATUS_STALE:
        native_count(service, COUNTER_native_refused_stale);
        break;
    case STATUS_LOST:
        native_count(service, COUNTER_native_refused_lost);
        break;
    default:
        break; /* answers, and TIMEOUT, which is counted where it is decided */
    }
}

static inline void step_execute(struct native_udp *service, const struct native_work *work,
                                const struct native_step *step, struct message_writer *writer)
{
    const struct operation *operation = &step->operation;
    size_t room = 0; /* native_execute() has made sure of a bare reply: value is never NULL */
    uint8_t *value = message_reply_value_inline(writer, &room);
    struct reply reply = {.value = value, .request_id = operation->request_id, .opcode = operation->opcode};
    enum status status = (enum status)step->status;
    if (status == STATUS_OK) {
        switch (operation->opcode) {
        case OPCODE_GET:
            status = run_get(service, native_request_of(service, work)->history, step, value, room, &reply);
            break;
        case OPCODE_ECHO:
            status = run_echo(step, value, room, &reply);
            break;
        case OPCODE_HEALTH:
            status = run_health(service, value, room, &reply);
            break;
        default: /* operation_check() lets no others pass than these and the writes */
            status = run_write(service, work->session, step, value, room, &reply);
            break;
        }
    }
    if (status > STATUS_VERSION_MISMATCH)
        native_count_refusal(service, status);
    reply.status = (uint8_t)status;
    message_add_reply_inline(writer, &reply);
}

/* A message of several: their buckets and items are fetched together, like a burst's. */
static __rte_noinline void rest_execute(struct native_udp *service, const struct native_work *work,
                                        struct message_writer *writer, uint8_t *end)
{
    const struct native_request *request = native_request_of(service, work);
    unsigned count = request->count - 1u;
    struct message_reader reader = {.at = request->rest, .end = request->end, .left = (uint16_t)count};
    unsigned probes = 0;
    for (unsigned i = 0; i < count; i++) {
        struct native_step *step = &service->steps[i];
        message_next_operation_inline(&reader, &step->operation);
        if (step_prepare(step)) {
            step->probe = &service->step_probe[probes++];
            step->probe->key = step->operation.key;
            step->probe->key_length = step->operation.key_length;
        }
    }
    table_probe_hash(service->config.table, service->step_probe, probes);
    table_probe_find(service->config.table, service->step_probe, probes);
    for (unsigned i = 0; i < count; i++) {
        writer->end = end - (size_t)(count - 1 - i) * REPLY_HEADER_BYTES;
        step_execute(service, work, &service->steps[i], writer);
    }
}

size_t native_execute(struct native_udp *service, struct native_work *work, uint8_t *out, size_t room)
{
    struct native_request *request = native_request_of(service, work);
    unsigned count = request->count;
    /* Every operation is sure of a bare reply: what one may fill ends where the later ones' begin. */
    size_t bare = (size_t)MESSAGE_HEADER_BYTES + (size_t)count * REPLY_HEADER_BYTES;
    if (room < bare)
        return 0;
    struct message_writer writer;
    message_begin_inline(&writer, out, room);
    uint8_t *end = writer.end;
    writer.end = end - (size_t)(count - 1) * REPLY_HEADER_BYTES;
    step_execute(service, work, &request->first, &writer);
    if (count > 1)
        rest_execute(service, work, &writer, end);
    const struct message_header header = {.history = service->gate.history,
                                          .epoch = service->gate.epoch,
                                          .count = (uint16_t)count,
                                          .version = native_version(work)};
    return message_finish_inline(&writer, &header);
}
