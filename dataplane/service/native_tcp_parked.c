/* native_tcp_parked.c - replies of the TCP service that wait for the log, in the order of their
 * connection. */
#include "service/native_tcp_internal.h"

/* Whom a reply is for: a place's use, which never comes again. */
struct tcp_owner {
    uint32_t id;
};
static_assert(sizeof(struct tcp_owner) <= PARKED_OWNER_BYTES_MAX, "parked.h");

enum { BATCH_REPLIES_BYTES_MAX = NATIVE_TCP_BATCH_MAX * RECORD_MESSAGE_BYTES_MAX };
static_assert((int)BATCH_REPLIES_BYTES_MAX <= (int)PARKED_RING_BYTES / 4,
              "whoever is held back for room finds it");

/* What the ring takes for it, at most. */
static size_t batch_bytes(void)
{
    return (NATIVE_TCP_BATCH_MAX + 2) * parked_entry_bytes(RECORD_MESSAGE_BYTES_MAX);
}

/* Room for a whole batch. Whoever has something parked is only read while this holds, so what follows in
 * order finds room. */
bool native_tcp_may_park(const struct native_tcp *service)
{
    return service->parked != NULL &&
           parked_room_for(service->parked, NATIVE_TCP_BATCH_MAX, BATCH_REPLIES_BYTES_MAX);
}

bool native_tcp_park_is_fair(const struct native_connection *c)
{
    const struct native_tcp *service = c->service;
    return parked_fair(service->parked, c->source, RECORD_MESSAGE_BYTES_MAX, batch_bytes());
}

void native_tcp_park(struct native_connection *c, size_t length, uint64_t wait_lsn)
{
    struct native_tcp *service = c->service;
    struct tcp_owner owner = {c->id};
    parked_add(service->parked, wait_lsn, service->engine.now.mono_ns, c->source, &owner, sizeof(owner),
               service->reply + RECORD_HEADER_BYTES, length);
    c->parked++;
    c->parked_bytes += (uint32_t)(length + RECORD_OVERHEAD_BYTES);
    native_tcp_count(service, COUNTER_native_parked);
}

/* The connection was to be closed behind the last reply, which has been sent. */
static void finish_close(struct native_connection *c)
{
    uint8_t record[RECORD_OVERHEAD_BYTES];
    if (c->close_follows)
        native_tcp_send(c, record, record_close(&c->writer, record));
    if (c->state != CONNECTION_CLOSING)
        return;
    if (c->unsent_first == NULL)
        stream_close(c->stream);
    stream_set_deadline(c->stream, c->service->engine.now.mono_ns + NATIVE_TCP_CLOSING_NS);
}

static void send_entry(struct native_tcp *service, const struct parked_entry *entry)
{
    const struct tcp_owner *owner = entry->owner;
    struct native_connection *c = &service->connections[owner->id & ((UINT32_C(1) << service->bits) - 1)];
    size_t length = entry->message_bytes;
    if (c->id != owner->id || (c->state != CONNECTION_LIVE && c->state != CONNECTION_CLOSING)) {
        native_tcp_count(service, COUNTER_native_parked_dropped);
        return;
    }
    uint8_t *message = service->reply + RECORD_HEADER_BYTES;
    memcpy(message, entry->message, length);
    c->parked--;
    c->parked_bytes -= (uint32_t)(length + RECORD_OVERHEAD_BYTES);
    if (entry->given_up) {
        struct parked_given_up given_up;
        length = parked_give_up(message, length, service->engine.log.durable_lsn, &given_up);
        counter_add(service->config.counters, COUNTER_native_parked_timeout, given_up.writes);
        counter_add(service->config.counters, COUNTER_native_parked_stale, given_up.reads);
    }
    native_tcp_send_reply(c, length);
    if (c->parked == 0 && c->state == CONNECTION_CLOSING)
        finish_close(c);
}

bool native_tcp_send_parked(struct native_tcp *service)
{
    const struct native_log *log = &service->engine.log; /* read with the gate, this turn */
    struct parked_entry entry;
    size_t bytes = 0;
    if (service->parked == NULL || parked_count(service->parked) == 0)
        return false;
    for (unsigned i = 0; i < NATIVE_TCP_PARKED_PER_TURN && bytes < NATIVE_TCP_PARKED_BYTES_PER_TURN; i++) {
        if (!parked_next(service->parked, log->durable_lsn, log->failed, service->engine.now.mono_ns, &entry))
            return i > 0;
        bytes += entry.message_bytes;
        send_entry(service, &entry);
        parked_pop(service->parked);
    }
    return true;
}
