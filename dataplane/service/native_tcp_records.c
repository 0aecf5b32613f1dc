/* native_tcp_records.c - bytes to messages, messages to replies, replies to bytes. */
#include "service/native_tcp_internal.h"

#include <rte_branch_prediction.h>
#include <rte_common.h>

/* ---- out ---- */

/* What must be sent and cannot leave yet. False: no buffer. */
static bool keep_unsent(struct native_connection *c, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        struct native_buffer *last = c->unsent_last;
        if (last == NULL || last->length == last->size) {
            struct native_buffer *more =
                native_buffer_take(&c->service->buffers, NATIVE_BUFFER_LARGE_BYTES, NATIVE_BUFFER_REPLY);
            if (more == NULL)
                return false;
            if (last == NULL)
                c->unsent_first = more;
            else
                last->next = more;
            c->unsent_last = last = more;
        }
        size_t part = RTE_MIN(length, (size_t)(last->size - last->length));
        memcpy(last->bytes + last->length, bytes, part);
        last->length += (uint32_t)part;
        bytes += part;
        length -= part;
    }
    return true;
}

void native_tcp_send(struct native_connection *c, const uint8_t *bytes, size_t length)
{
    size_t written = c->unsent_first == NULL ? stream_write(c->stream, bytes, length) : 0;
    if (written < length && !keep_unsent(c, bytes + written, length - written))
        native_tcp_abort(c, COUNTER_native_tcp_no_buffer);
}

void native_tcp_send_unsent(struct native_connection *c)
{
    while (c->unsent_first != NULL) {
        struct native_buffer *first = c->unsent_first;
        first->taken += (uint32_t)stream_write(c->stream, first->bytes + first->taken,
                                               (size_t)first->length - first->taken);
        if (first->taken < first->length)
            return;
        c->unsent_first = first->next;
        if (c->unsent_first == NULL)
            c->unsent_last = NULL;
        native_buffer_give(&c->service->buffers, first);
    }
}

/* Into the segment itself, if that has the room. */
void native_tcp_send_reply(struct native_connection *c, size_t length)
{
    uint8_t *record = c->service->reply;
    const uint8_t *message = record + RECORD_HEADER_BYTES;
    size_t most = length + RECORD_ROOM_BYTES, room = 0;
    uint8_t *place = NULL;
    if (c->unsent_first == NULL)
        place = stream_reserve(c->stream, most <= STREAM_RESERVE_MAX ? most : 1, &room);
    if (place != NULL && room >= most)
        stream_commit(c->stream, record_seal(&c->writer, message, length, place));
    else
        native_tcp_send(c, record, record_seal(&c->writer, message, length, record));
}

bool native_tcp_is_blocked(const struct native_connection *c, size_t mark)
{
    return c->unsent_first != NULL || stream_unsent(c->stream) + c->parked_bytes > mark ||
           (c->parked > 0 && !(native_tcp_may_park(c->service) && native_tcp_park_is_fair(c)));
}

void native_tcp_close_in_order(struct native_connection *c)
{
    uint8_t record[RECORD_OVERHEAD_BYTES];
    if (c->parked > 0 && !c->plain) { /* native_tcp_parked.c comes back here */
        c->close_follows = true;
        native_tcp_close(c);
        return;
    }
    size_t length = c->plain ? 0 : record_close(&c->writer, record);
    if (length > 0)
        native_tcp_send(c, record, length);
    if (c->state == CONNECTION_LIVE)
        native_tcp_close(c);
}

void native_tcp_give_buffers(struct native_connection *c)
{
    native_tcp_give_back(c);
    while (c->unsent_first != NULL) {
        struct native_buffer *first = c->unsent_first;
        c->unsent_first = first->next;
        native_buffer_give(&c->service->buffers, first);
    }
    c->unsent_last = NULL;
}

/* ---- messages ---- */

/* Bytes that the reply may take at most. */
static size_t reply_bytes_max(const struct native_request *request)
{
    size_t most = MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES;
    if (request->count > 1)
        return RECORD_MESSAGE_BYTES_MAX;
    switch (request->first.operation.opcode) {
    case OPCODE_GET:
        return most + VALUE_BYTES_MAX;
    case OPCODE_ECHO:
        return most + request->first.operation.value_length;
    default:
        return most + HEALTH_REPLY_BYTES;
    }
}

/* The retry window of a session that has said something. */
static struct retry_window *retry_of(struct native_connection *c)
{
    if (c->plain)
        return NULL;
    struct retry_window *retry = &c->service->retries[native_tcp_place(c)];
    if (!c->retry_ready)
        retry_window_reset(retry);
    c->retry_ready = true;
    return retry;
}

static void hold_back_if_blocked(struct native_connection *c)
{
    if (c->state != CONNECTION_LIVE || c->held_back || !native_tcp_is_blocked(c, NATIVE_TCP_UNSENT_MAX))
        return;
    native_tcp_count(c->service, COUNTER_native_tcp_blocked);
    c->blocked_ns = c->service->engine.now.mono_ns;
    native_tcp_hold_back(c);
    native_tcp_watch(c);
}

/* Look-ups together, then one message after the other. */
void native_tcp_execute(struct native_tcp *service)
{
    unsigned count = service->batch, messages = 0, operations = 0;
    if (count == 0)
        return;
    table_probe_hash(service->config.table, service->probe, service->probes);
    table_probe_find(service->config.table, service->probe, service->probes);
    bool room = native_tcp_may_park(service);
    for (unsigned i = 0; i < count; i++) {
        struct native_connection *c = service->asker[i];
        c->batch_bytes = 0;
        if (c->state != CONNECTION_LIVE)
            continue;
        /* Who has a reply there is not told BUSY, but held back before the next. */
        service->engine.may_park = room && (c->parked > 0 || native_tcp_park_is_fair(c));
        size_t length = native_execute(&service->engine, &service->request[i], retry_of(c),
                                       service->reply + RECORD_HEADER_BYTES, RECORD_MESSAGE_BYTES_MAX);
        messages++;
        operations += service->request[i].count;
        if (likely(service->engine.wait_lsn == 0 && c->parked == 0))
            native_tcp_send_reply(c, length);
        else
            native_tcp_park(c, length, service->engine.wait_lsn);
        if (i + 1 == count || service->asker[i + 1] != c)
            hold_back_if_blocked(c);
    }
    counter_add(service->config.counters, COUNTER_native_tcp_messages, messages);
    counter_add(service->config.counters, COUNTER_native_operations, operations);
    service->batch = service->probes = 0;
}

static_assert(MESSAGE_HEADER_BYTES + MESSAGE_OPERATIONS_MAX * REPLY_HEADER_BYTES <= RECORD_MESSAGE_BYTES_MAX,
              "bare replies always fit");

/* False: it is malformed. */
static bool batch_add(struct native_connection *c, const struct record_item *item)
{
    struct native_tcp *service = c->service;
    struct native_request *request = &service->request[service->batch];
    struct native_step *first = &request->first;
    uint8_t version = c->plain ? (uint8_t)PROTOCOL_VERSION_MAX : native_tcp_keys(c)->version;
    if (!native_decode(request, item->bytes, item->length, version, false))
        return false;
    if (native_has_key(first)) {
        first->probe = &service->probe[service->probes++];
        first->probe->key = first->operation.key;
        first->probe->key_length = first->operation.key_length;
    }
    service->asker[service->batch++] = c;
    c->batch_bytes += (uint32_t)reply_bytes_max(request) + RECORD_OVERHEAD_BYTES;
    return true;
}

/* There is no place for another message of this connection, or its replies might be too many. */
static bool batch_is_full(const struct native_connection *c)
{
    return c->service->batch == NATIVE_TCP_BATCH_MAX ||
           c->batch_bytes + RECORD_BYTES_MAX > NATIVE_TCP_BATCH_BYTES;
}

/* ---- in ---- */

static bool lies_in(const struct record_item *item, const uint8_t *bytes, size_t length)
{
    return item->bytes >= bytes && item->bytes < bytes + length;
}

/*
 * A message that was opened in a buffer of ours would stay there until somebody's next record. A pool's
 * buffer that went back meanwhile has been wiped then, and may be another's already: with what it has yet to
 * send in it.
 */
static void wipe_opened(struct native_connection *c, const struct record_item *item)
{
    if (lies_in(item, c->inline_bytes, NATIVE_TCP_INLINE_BYTES))
        keys_wipe(item->bytes, item->length);
    else
        native_tcp_wipe_opened(c);
}

/* Between records the buffer is somebody else's. */
static void give_back(struct native_connection *c)
{
    if (c->buffer == NULL || c->reader.held > 0)
        return;
    record_reader_lend(&c->reader, NULL, 0);
    native_tcp_give_back(c);
}

/* The first PLAIN record is the handshake of a bench client. */
static void first_plain(struct native_connection *c)
{
    c->plain = true;
    c->writer = record_writer_start(NULL, NULL);
    native_tcp_live(c);
    native_tcp_share_out(c);
}

/* A message. False: the connection is not to be read on now. */
static bool take_message(struct native_connection *c, const struct record_item *item, bool in_place)
{
    struct native_tcp *service = c->service;
    if (c->state == CONNECTION_INIT)
        first_plain(c);
    if (c->state != CONNECTION_LIVE) /* there are too many */
        return false;
    c->since_ns = service->engine.now.mono_ns;
    c->partial_ns = 0;
    bool good = batch_add(c, item);
    /* What lies in the buffer must be done before that is used again. */
    if (good && in_place && !batch_is_full(c))
        return true;
    if (!in_place && !c->plain && c->buffer != NULL)
        c->buffer->length = (uint32_t)(item->bytes - c->buffer->bytes) + item->length;
    native_tcp_execute(service);
    if (!in_place && !c->plain)
        wipe_opened(c, item);
    if (!good) {
        native_tcp_count(service, COUNTER_native_drop_message);
        if (c->state == CONNECTION_LIVE)
            native_tcp_close(c);
        return false;
    }
    return c->state == CONNECTION_LIVE && !c->held_back;
}

static void take_closed(struct native_connection *c)
{
    native_tcp_execute(c->service);
    if (c->state != CONNECTION_LIVE)
        return;
    native_tcp_count(c->service, COUNTER_native_tcp_closed);
    native_tcp_close_in_order(c);
}

static void take_refused(struct native_connection *c)
{
    native_tcp_execute(c->service);
    if (c->state != CONNECTION_LIVE) {
        if (c->state != CONNECTION_ABORTED)
            native_tcp_abort(c, COUNTER_native_tcp_refused);
        return;
    }
    native_tcp_count(c->service, COUNTER_native_tcp_refused);
    native_tcp_close(c);
}

/* No more for now; whether a record is left in part. What the bytes asked waits for the burst's end, if
 * they do. */
static void settle(struct native_connection *c)
{
    if (!c->stream->lasting)
        native_tcp_execute(c->service);
    if (c->state == CONNECTION_ABORTED || c->state == CONNECTION_CLOSING)
        return;
    give_back(c);
    if (c->reader.held == 0) {
        c->partial_ns = 0;
        return;
    }
    if (c->partial_ns == 0) {
        native_tcp_record_begun(c);
        if (!c->held_back)
            c->partial_ns = c->service->engine.now.mono_ns;
    }
    native_tcp_watch(c);
}

bool native_tcp_can_spare(const struct native_connection *c)
{
    const struct native_buffer_class *large = &c->service->buffers.large;
    size_t spare = stream_spare(c->stream);
    return spare >= RECORD_BYTES_MAX || (spare >= NATIVE_TCP_SPARE_BYTES && large->free != NULL);
}

/*
 * The reply to the next message will find buffers. If not, the connection waits behind those that wait for
 * the same; whoever comes later does so too, or what is acknowledged would go to the quickest askers again
 * and again.
 */
static bool can_reply(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    bool in_turn = service->starved == 0 || c->called;
    if (likely(in_turn && stream_spare(c->stream) >= (size_t)(service->batch + 1) * RECORD_BYTES_MAX))
        return true;
    native_tcp_execute(service); /* their replies may need less than they might have */
    if (c->state != CONNECTION_LIVE || c->held_back)
        return false;
    if (in_turn && native_tcp_can_spare(c))
        return true;
    native_tcp_count(service, COUNTER_native_tcp_starved);
    c->starved = true;
    service->starved++;
    native_tcp_hold_back(c);
    return false;
}

/*
 * What follows something parked is parked behind it, for which there must be room when the batch is executed;
 * only that takes room, so it is enough to look when a message joins the batch. If others have taken it, the
 * connection waits.
 */
static bool can_park(struct native_connection *c)
{
    if (likely(c->parked == 0) || (native_tcp_may_park(c->service) && native_tcp_park_is_fair(c)))
        return true;
    native_tcp_execute(c->service);
    if (c->state != CONNECTION_LIVE || c->held_back)
        return false;
    native_tcp_count(c->service, COUNTER_native_tcp_blocked);
    c->blocked_ns = c->service->engine.now.mono_ns;
    native_tcp_hold_back(c);
    native_tcp_watch(c);
    return false;
}

static size_t take(struct native_connection *c, uint8_t *bytes, size_t length)
{
    uint8_t *at = bytes;
    const uint8_t *end = bytes + length;
    if (c->held_back)
        return 0;
    for (;;) {
        struct record_item item;
        bool ended = false;
        if (c->state == CONNECTION_LIVE && at < end && !(can_reply(c) && can_park(c))) {
            give_back(c);
            return c->held_back ? (size_t)(at - bytes) : length;
        }
        switch (record_next(&c->reader, &at, end, &item)) {
        case RECORD_NEEDS_BYTES:
            settle(c);
            return length;
        case RECORD_NEEDS_BUFFER:
            if (native_tcp_lend(c, item.length))
                break;
            native_tcp_count(c->service, COUNTER_native_tcp_buffer_waits);
            settle(c);
            if (c->state == CONNECTION_ABORTED) /* what it asked before has ended it */
                return length;
            c->wants = item.length;
            native_tcp_hold_back(c);
            return (size_t)(at - bytes);
        case RECORD_HANDSHAKE:
            native_tcp_handshake(c, &item);
            ended = c->state == CONNECTION_ABORTED || c->state == CONNECTION_CLOSING;
            break;
        case RECORD_MESSAGE:
            ended = !take_message(c, &item, lies_in(&item, bytes, length));
            break;
        case RECORD_REKEYED:
            native_tcp_count(c->service, COUNTER_native_tcp_rekeys);
            break;
        case RECORD_CLOSED:
            take_closed(c);
            ended = true;
            break;
        case RECORD_REFUSED:
            take_refused(c);
            ended = true;
            break;
        }
        if (ended) {
            give_back(c);
            return c->held_back ? (size_t)(at - bytes) : length;
        }
    }
}

size_t native_tcp_take(struct native_connection *c, uint8_t *bytes, size_t length)
{
    size_t taken = take(c, bytes, length);
    c->called = false;
    return taken;
}
