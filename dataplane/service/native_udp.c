/* native_udp.c - bursts of datagrams: recognised, verified, executed, sealed; and the service's life. */
#include "service/native_internal.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_prefetch.h>

#include "datagram_inline.h"

/* ---- phase 1a: what is it? ---- */

static inline void prefetch_session(const struct native_udp *service, const struct session *session,
                                    uint64_t counter)
{
    const struct session_keys *keys = session_keys_of(&service->sessions, session);
    rte_prefetch0(session);
    rte_prefetch0(&session->replay);
    rte_prefetch0(&session->replay.seen[counter / 64 % RTE_DIM(session->replay.seen)]);
    rte_prefetch0(&keys->receive);
    rte_prefetch0(&keys->receive.suite);
    rte_prefetch0(&keys->send);
    rte_prefetch0(&keys->send.suite);
}

static inline bool recognise_plain(struct native_udp *service, struct udp_datagram *datagram,
                                   const struct datagram_header *header, struct native_work *work)
{
    if (!service->config.bench_mode) {
        native_count(service, COUNTER_native_drop_bench_off);
        return false;
    }
    uint8_t *message;
    size_t length;
    if (datagram_plain_open_inline(datagram->payload, datagram->length, &message, &length) != 0) {
        native_count(service, COUNTER_native_drop_plain_header);
        return false;
    }
    work->session = NULL;
    work->session_id = header->session;
    work->counter = header->counter;
    if (!native_message(service, work, message, length)) {
        native_count(service, COUNTER_native_drop_message);
        return false;
    }
    return true;
}

/* True: *work is filled in and goes on to the next phase; else the datagram has its answer or none. */
static inline bool recognise(struct native_udp *service, struct udp_datagram *datagram,
                             struct native_work *work)
{
    uint16_t length = datagram->length;
    uint8_t *payload = datagram->payload;
    struct datagram_header header;
    if (length < DATAGRAM_HEADER_BYTES || length > DATAGRAM_BYTES_MAX) {
        native_count(service, COUNTER_native_drop_length);
        goto drop;
    }
    if (!datagram_peek_inline(&header, payload, length)) {
        native_count(service, COUNTER_native_drop_magic);
        goto drop;
    }
    work->datagram = datagram;
    work->kind = header.kind;
    switch (header.kind) {
    case DATAGRAM_ECHO:
        if (service->config.bench_mode) {
            payload[1] = DATAGRAM_ECHO_REPLY;
            native_count(service, COUNTER_native_echoes);
            return false;
        }
        native_count(service, COUNTER_native_drop_bench_off);
        goto drop;
    case DATAGRAM_PLAIN:
        if (recognise_plain(service, datagram, &header, work))
            return true;
        goto drop;
    case DATAGRAM_DATA:
    case DATAGRAM_SEALED:
    case DATAGRAM_CLOSE:
        work->session = session_place(&service->sessions, header.session);
        work->session_id = header.session;
        prefetch_session(service, work->session, header.counter);
        return true;
    case DATAGRAM_INIT:
    case DATAGRAM_CONFIRM:
        return true;
    default:
        native_count(service, COUNTER_native_drop_kind);
        goto drop;
    }
drop:
    datagram->length = 0;
    return false;
}

/* ---- phase 1b: is it the session's? ---- */

/* True: its tag is checked with the others, in verify_opened(). */
static bool queue_opening(struct native_udp *service, struct native_work *work)
{
    struct session *session = work->session;
    struct udp_datagram *datagram = work->datagram;
    if (session->id != work->session_id || session->state == SESSION_FREE) {
        native_count(service, COUNTER_native_drop_unknown_session);
        return false;
    }
    if (!flow_equal(&session->flow, &datagram->path.flow)) {
        native_count(service, COUNTER_native_drop_wrong_peer);
        return false;
    }
    if (session->state != SESSION_LIVE) {
        native_count(service, COUNTER_native_drop_unconfirmed);
        return false;
    }
    service->opened[service->openings] = work;
    service->opening[service->openings++] = (struct datagram_opening){
        .key = &session_keys_of(&service->sessions, session)->receive,
        .window = &session->replay,
        .version = session->version,
        .bytes = datagram->payload,
        .length = datagram->length,
    };
    return true;
}

static bool take_opened(struct native_udp *service, struct native_work *work,
                        const struct datagram_opening *opening)
{
    if (opening->outcome != 0) {
        bool replayed = opening->outcome == -EALREADY;
        native_count(service, replayed ? COUNTER_native_drop_replayed : COUNTER_native_drop_tag);
        return false;
    }
    work->session->used_ns = service->now.mono_ns;
    if (work->kind == DATAGRAM_CLOSE)
        return true;
    if (!native_message(service, work, opening->message, opening->message_length)) {
        native_count(service, COUNTER_native_drop_message);
        return false;
    }
    return true;
}

static void verify_opened(struct native_udp *service)
{
    datagram_open_batch(service->opening, service->openings);
    for (unsigned i = 0; i < service->openings; i++) {
        struct native_work *work = service->opened[i];
        if (!take_opened(service, work, &service->opening[i])) {
            work->datagram->length = 0;
            work->kind = 0;
        }
    }
    service->openings = 0;
}

/*
 * Handshake datagrams get their answer here; the others are executed in phase 3 if they verify. A handshake
 * may open or end sessions, so what came before it is verified before it.
 */
static void verify_or_answer(struct native_udp *service, struct native_work *work)
{
    switch (work->kind) {
    case DATAGRAM_PLAIN:
        return; /* nothing to verify; decoded already */
    case DATAGRAM_INIT:
        verify_opened(service);
        native_init(service, work->datagram);
        work->kind = 0;
        return;
    case DATAGRAM_CONFIRM:
        verify_opened(service);
        native_confirm(service, work->datagram);
        work->kind = 0;
        return;
    default:
        if (!queue_opening(service, work)) {
            work->datagram->length = 0;
            work->kind = 0;
        }
    }
}

/* ---- phase 3: executed and answered ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Where the reply grows: over the request if that is a single operation, which is decoded by then; replies to
 * several would overrun those that are still to be read.
 */
static inline uint8_t *reply_place(struct native_udp *service, const struct native_work *work)
{
    return work->count == 1 ? work->datagram->payload : service->reply;
}

static inline void finish(const struct native_work *work, const uint8_t *reply, size_t length)
{
    if (reply != work->datagram->payload)
        memcpy(work->datagram->payload, reply, length);
    work->datagram->length = (uint16_t)length;
}

static inline void answer_plain(struct native_udp *service, struct native_work *work)
{
    const struct udp_datagram *datagram = work->datagram;
    uint8_t *reply = reply_place(service, work);
    /* Not authenticated: never larger than the request. */
    size_t room = smaller(datagram->length, datagram->room) - DATAGRAM_HEADER_BYTES;
    size_t length = native_execute(service, work, reply + DATAGRAM_HEADER_BYTES, room);
    if (length > 0)
        length = datagram_plain_inline(reply, work->session_id, work->counter, length);
    finish(work, reply, length);
}

/* Headers and tags around the messages that stand in place. */
static void seal_replies(struct native_udp *service)
{
    datagram_seal_batch(service->sealing, service->sealings);
    service->sealings = 0;
}

static inline void answer_session(struct native_udp *service, struct native_work *work)
{
    struct udp_datagram *datagram = work->datagram;
    struct session *session = work->session;
    if (session->id != work->session_id) { /* an earlier datagram of this burst ended it */
        native_count(service, COUNTER_native_drop_unknown_session);
        datagram->length = 0;
        return;
    }
    if (work->kind == DATAGRAM_CLOSE) {
        native_count(service, COUNTER_native_session_closed);
        seal_replies(service); /* with keys that end here */
        session_end(&service->sessions, session);
        datagram->length = 0;
        return;
    }
    uint8_t *reply = reply_place(service, work);
    size_t room = smaller(DATAGRAM_BYTES_MAX, datagram->room) - DATAGRAM_OVERHEAD_BYTES;
    size_t length = native_execute(service, work, reply + DATAGRAM_HEADER_BYTES, room);
    if (length == 0) {
        datagram->length = 0;
        return;
    }
    service->sealing[service->sealings++] = (struct datagram_sealing){
        .key = &session_keys_of(&service->sessions, session)->send,
        .out = datagram->payload,
        .message_length = length,
        .counter = session->send_counter++,
        .session = session->id,
        .version = session->version,
    };
    finish(work, reply, length + DATAGRAM_OVERHEAD_BYTES);
}

static void burst(void *state, struct udp_datagram *datagrams, unsigned count, struct instant now)
{
    struct native_udp *service = state;
    struct native_work *work = service->work;
    unsigned works = 0, operations = 0, replies = 0;
    service->now = now;
    native_read_gate(service);

    for (unsigned i = 0; i < count; i++)
        works += recognise(service, &datagrams[i], &work[works]);
    for (unsigned i = 0; i < works; i++)
        verify_or_answer(service, &work[i]);
    verify_opened(service);
    for (unsigned i = 0; i < works; i++)
        if (work[i].kind != 0 && work[i].kind != DATAGRAM_CLOSE && work[i].first.keyed)
            table_prefetch_item(service->config.table, work[i].first.hash);
    for (unsigned i = 0; i < works; i++) {
        if (work[i].kind == 0)
            continue;
        if (work[i].kind == DATAGRAM_PLAIN)
            answer_plain(service, &work[i]);
        else
            answer_session(service, &work[i]);
        if (work[i].datagram->length > 0) {
            operations += work[i].count;
            replies++;
        }
    }
    seal_replies(service);
    counter_add(service->config.counters, COUNTER_native_datagrams, count);
    counter_add(service->config.counters, COUNTER_native_operations, operations);
    counter_add(service->config.counters, COUNTER_native_replies, replies);
}

static void turn(void *state, struct instant now)
{
    struct native_udp *service = state;
    service->now = now;
    if (published_state_get(service->config.published).state == STATE_DRAINING)
        native_udp_drain(service);
    cookie_secrets_refresh(service->cookies, service->config.random, now.mono_ns);
    native_send_responses(service);
    session_sweep(&service->sessions, now.mono_ns);
}

/* ---- life ---- */

static size_t keys_bytes(unsigned sessions_max)
{
    return sessions_max * sizeof(struct session_keys);
}

/* The arena hands out pieces of whole lines. */
static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

size_t native_udp_arena_bytes(unsigned sessions_max)
{
    return whole_lines(keys_bytes(sessions_max)) + whole_lines(sizeof(struct cookie_secrets));
}

struct native_udp *native_udp_create(const struct native_udp_config *config)
{
    struct native_udp *service = aligned_alloc(_Alignof(struct native_udp), sizeof(*service));
    if (service == NULL)
        return NULL;
    memset(service, 0, sizeof(*service));
    service->config = *config;
    service->cookies = key_arena_take(config->arena, sizeof(*service->cookies));
    struct session_keys *keys = key_arena_take(config->arena, keys_bytes(config->sessions_max));
    if (service->cookies == NULL || keys == NULL ||
        session_table_init(&service->sessions, config->sessions_max, keys, config->random,
                           config->counters) != 0) {
        free(service);
        return NULL;
    }
    cookie_secrets_refresh(service->cookies, config->random, config->started_mono_ns);
    return service;
}

void native_udp_destroy(struct native_udp *service)
{
    if (service == NULL)
        return;
    session_table_fini(&service->sessions);
    keys_wipe(service->cookies, sizeof(*service->cookies));
    keys_wipe(service->reply, sizeof(service->reply));
    free(service);
}

struct udp_service native_udp_service(struct native_udp *service)
{
    return (struct udp_service){.state = service, .burst = burst, .turn = turn};
}

void native_udp_drain(struct native_udp *service)
{
    if (service->draining)
        return;
    service->draining = true;
    session_end_pending(&service->sessions);
}
