/* native_udp_parked.c - replies of the UDP service that wait for the log: parked, released, given up. */
#include "message_inline.h"
#include "service/native_internal.h"

/* Whom a reply is for. */
struct udp_owner {
    struct return_path path;
    uint32_t session_id;
    bool plain;
    uint8_t header[DATAGRAM_HEADER_BYTES]; /* PLAIN: the request's, which is the reply's too */
};
static_assert(sizeof(struct udp_owner) <= PARKED_OWNER_BYTES_MAX, "parked.h");
enum {
    SESSION_OWNER_BYTES = offsetof(struct udp_owner, header),
    /* Left free by those who have their share: any newcomer's first reply, wherever the ring stands. */
    SPARE_BYTES = 4 * DATAGRAM_BYTES_MAX,
};

static struct source source_of_work(const struct native_udp *service, const struct native_work *work)
{
    return work->session != NULL ? work->session->source
                                 : source_of(&work->datagram->path.flow.peer, service->sessions.seed);
}

bool native_may_park(const struct native_udp *service, const struct native_work *work, size_t message_bytes)
{
    if (service->parked == NULL || !parked_room(service->parked, message_bytes) ||
        !parked_fair(service->parked, source_of_work(service, work), message_bytes, SPARE_BYTES))
        return false;
    return work->session == NULL ||
           work->session->parked_bytes + parked_entry_bytes(message_bytes) <= PARKED_SESSION_BYTES;
}

enum status native_lone_get_waits(struct native_udp *service, const struct native_work *work,
                                  enum status status, struct result *result)
{
    struct native_engine *engine = &service->engine;
    engine->wait_lsn = 0;
    engine->may_park = native_may_park(service, work, (size_t)LONE_REPLY_VALUE + result->value_length);
    enum status told = native_read_waits(engine, status, native_depends_on(status, result));
    if (told != status) {
        result->version = 0;
        result->value_length = 0;
    }
    return told;
}

void native_park(struct native_udp *service, const struct native_work *work, const uint8_t *message,
                 size_t length)
{
    struct udp_owner owner = {.path = work->datagram->path};
    size_t owner_bytes = SESSION_OWNER_BYTES;
    if (work->kind == DATAGRAM_PLAIN) {
        owner.plain = true;
        owner_bytes = sizeof(owner);
        memcpy(owner.header, work->datagram->payload, sizeof(owner.header));
    } else {
        owner.session_id = work->session_id;
        work->session->parked_bytes += (uint32_t)parked_entry_bytes(length);
    }
    parked_add(service->parked, service->engine.wait_lsn, service->engine.now.mono_ns,
               source_of_work(service, work), &owner, owner_bytes, message, length);
    service->parked_of_burst++;
    native_count(service, COUNTER_native_parked);
}

/* The live session that the reply is for; NULL: it has ended, and its place may be another's. */
static struct session *session_of(const struct native_udp *service, uint32_t id)
{
    struct session *session = session_place(&service->sessions, id);
    return session->id == id && session->state == SESSION_LIVE ? session : NULL;
}

/* The datagram around the message at service->reply + DATAGRAM_HEADER_BYTES. session: NULL for PLAIN. */
static size_t finish(struct native_udp *service, struct session *session, const struct udp_owner *owner,
                     size_t length)
{
    if (session == NULL) {
        memcpy(service->reply, owner->header, sizeof(owner->header));
        return DATAGRAM_HEADER_BYTES + length;
    }
    /* A datagram that then cannot leave has used its counter up: the next try is another datagram. */
    return datagram_seal(&session_keys_place(&service->sessions, session->id)->send, 0, session->version,
                         session->id, session->send_counter++, service->reply, length);
}

/* False: not now. The entry is not changed by that, and is tried again. */
static bool send_entry(struct native_udp *service, const struct parked_entry *entry)
{
    const struct udp_owner *owner = entry->owner; /* of a session's, what comes before `header` */
    struct session *session = owner->plain ? NULL : session_of(service, owner->session_id);
    struct parked_given_up given_up = {0};
    size_t length = entry->message_bytes;
    if (!owner->plain && session == NULL) {
        native_count(service, COUNTER_native_parked_dropped);
        return true;
    }
    uint8_t *message = service->reply + DATAGRAM_HEADER_BYTES;
    memcpy(message, entry->message, length);
    if (entry->given_up)
        length = parked_give_up(message, length, service->engine.log.durable_lsn, &given_up);
    length = finish(service, session, owner, length);
    if (!service->config.transmit.send(service->config.transmit.state, &owner->path, service->reply,
                                       (uint16_t)length)) {
        native_count(service, COUNTER_native_parked_unsent);
        return false;
    }
    if (session != NULL)
        session->parked_bytes -= (uint32_t)parked_entry_bytes(entry->message_bytes);
    counter_add(service->config.counters, COUNTER_native_parked_timeout, given_up.writes);
    counter_add(service->config.counters, COUNTER_native_parked_stale, given_up.reads);
    return true;
}

void native_send_parked(struct native_udp *service)
{
    const struct native_log *log = &service->engine.log;
    struct parked_entry entry;
    if (service->parked == NULL || parked_count(service->parked) == 0)
        return;
    native_read_durable(&service->engine);
    for (unsigned i = 0; i < NATIVE_PARKED_PER_TURN; i++) {
        if (!parked_next(service->parked, log->durable_lsn, log->failed, service->engine.now.mono_ns,
                         &entry) ||
            !send_entry(service, &entry))
            return;
        parked_pop(service->parked);
    }
}
