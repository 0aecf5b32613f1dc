/* native_udp.c - bursts of datagrams: recognised, verified, executed, sealed; and the service's life. */
#include "service/native_get.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_branch_prediction.h>
#include <rte_prefetch.h>

enum { PROBES_AT_ONCE = 8 }; /* that table_probe_hash() hashes in its lanes */

/* ---- phase 1a: what is it? ---- */

static inline void prefetch_session(const struct native_udp *service, const struct session *session,
                                    uint32_t id, uint64_t counter)
{
    const struct session_keys *keys = session_keys_place(&service->sessions, id);
    rte_prefetch0(session);
    rte_prefetch0(&session->replay);
    rte_prefetch0(&session->replay.seen[counter / 64 % RTE_DIM(session->replay.seen)]);
    rte_prefetch0(&keys->receive);
    rte_prefetch0(&keys->send);
}

/* Any message but a lone GET. */
static bool take_request(struct native_udp *service, const struct native_work *work, const uint8_t *message,
                         size_t length, uint8_t version)
{
    struct native_request *request = native_request_of(service, work);
    struct native_step *first = &request->first;
    if (!native_decode(request, message, length, version, work->kind == DATAGRAM_PLAIN))
        return false;
    if (native_has_key(first))
        first->probe = native_probe(service, first->operation.key, first->operation.key_length);
    return true;
}

/* A message that is the client's: decoded, its first key among the burst's look-ups. False (counted) if it
 * is malformed. */
static inline bool take_message(struct native_udp *service, struct native_work *work, const uint8_t *message,
                                size_t length, uint8_t version)
{
    if (likely(native_take_lone_get(service, work, message, length, version)) ||
        take_request(service, work, message, length, version))
        return true;
    native_count(service, COUNTER_native_drop_message);
    return false;
}

static inline bool recognise_plain(struct native_udp *service, const struct udp_datagram *datagram,
                                   const struct datagram_header *header, struct native_work *work)
{
    if (!service->config.bench_mode) {
        native_count(service, COUNTER_native_drop_bench_off);
        return false;
    }
    if (!datagram_plain_is_well_formed(header, datagram->payload)) {
        native_count(service, COUNTER_native_drop_plain_header);
        return false;
    }
    work->session = NULL;
    return take_message(service, work, datagram->payload + DATAGRAM_HEADER_BYTES,
                        (size_t)datagram->length - DATAGRAM_HEADER_BYTES, PROTOCOL_VERSION_MAX);
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
        prefetch_session(service, work->session, header.session, header.counter);
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

/* Its tag and counter are right: nothing is left of it but its message, if that is well-formed. */
static inline bool take_opened(struct native_udp *service, struct native_work *work)
{
    const struct udp_datagram *datagram = work->datagram;
    work->session->used_ns = service->engine.now.mono_ns;
    return work->kind == DATAGRAM_CLOSE ||
           take_message(service, work, datagram->payload + DATAGRAM_HEADER_BYTES,
                        (size_t)datagram->length - DATAGRAM_OVERHEAD_BYTES, work->session->version);
}

static __rte_noinline bool open_sealed(struct native_udp *service, struct native_work *work,
                                       const struct direction_key *key)
{
    uint8_t *message;
    size_t message_length;
    struct session *session = work->session;
    int outcome = datagram_open(key, &session->replay, session->version, work->datagram->payload,
                                work->datagram->length, &message, &message_length);
    if (outcome == 0)
        return take_opened(service, work);
    native_count(service, outcome == -EALREADY ? COUNTER_native_drop_replayed : COUNTER_native_drop_tag);
    return false;
}

static inline bool verify(struct native_udp *service, struct native_work *work, unsigned which)
{
    const struct udp_datagram *datagram = work->datagram;
    if (!datagram_tag_is_right(&service->expected, which, datagram->payload, datagram->length)) {
        native_count(service, COUNTER_native_drop_tag);
        return false;
    }
    if (!replay_window_take(&work->session->replay, wire_u64(datagram->payload + DATAGRAM_AT_COUNTER))) {
        native_count(service, COUNTER_native_drop_replayed);
        return false;
    }
    return take_opened(service, work);
}

static inline void drop(struct native_work *work)
{
    work->datagram->length = 0;
    work->kind = 0;
}

/* Hashes keys, as many at once as the lanes take, whose buckets then come while other tags are computed. */
static inline void hash_ahead(struct native_udp *service)
{
    unsigned count = (unsigned)(service->next_probe - service->next_hash) / PROBES_AT_ONCE * PROBES_AT_ONCE;
    table_probe_hash(service->config.table, service->next_hash, count);
    service->next_hash += count;
}

static __rte_noinline void verify_opened(struct native_udp *service)
{
    unsigned count = service->expected.count;
    datagram_tags_make(&service->expected);
    for (unsigned i = 0; i < count; i++)
        if (unlikely(!verify(service, service->opened[i], i)))
            drop(service->opened[i]);
    hash_ahead(service);
}

/* True: it is open, or (SUITE_MAC) its tag is checked with the others, in verify_opened(). */
static inline bool open_datagram(struct native_udp *service, struct native_work *work)
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
    const struct direction_key *key = &session_keys_place(&service->sessions, work->session_id)->receive;
    if (key->suite != SUITE_MAC)
        return open_sealed(service, work, key);
    if (!datagram_is_well_formed(key, session->version, datagram->payload, datagram->length)) {
        native_count(service, COUNTER_native_drop_tag);
        return false;
    }
    service->opened[service->expected.count] = work;
    datagram_tag_expect(&service->expected, key, datagram->payload, datagram->length);
    if (datagram_tags_are_full(&service->expected))
        verify_opened(service);
    return true;
}

/*
 * Handshake datagrams get their answer here; the others are executed in phase 3 if they verify. A handshake
 * may open or end sessions, so what came before it is verified before it.
 */
static inline void verify_or_answer(struct native_udp *service, struct native_work *work)
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
        if (!open_datagram(service, work))
            drop(work);
    }
}

/* ---- phase 3: executed and answered ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static __rte_noinline size_t answer_message(struct native_udp *service, struct native_work *work,
                                            uint8_t *message, size_t room)
{
    /* The reply grows over the request if that is a single operation, which is decoded by then; replies to
     * several would overrun those that are still to be read. */
    const struct native_request *request = native_request_of(service, work);
    service->engine.may_park = native_may_park(service, work, room);
    struct retry_window *retry = work->session != NULL ? &work->session->retry : NULL;
    size_t length;
    if (request->count == 1) {
        length = native_execute(&service->engine, request, retry, message, room);
    } else {
        length = native_execute(&service->engine, request, retry, service->reply, room);
        memcpy(message, service->reply, length);
    }
    return service->engine.wait_lsn == 0 ? length : length | NATIVE_WAITS;
}

/* No reply now: it waits, or there is no room for any. Returns whether the message was executed. */
static __rte_noinline bool answer_later(struct native_udp *service, const struct native_work *work,
                                        const uint8_t *message, size_t length)
{
    if (length != 0)
        native_park(service, work, message, length & (NATIVE_WAITS - 1));
    work->datagram->length = 0;
    return length != 0;
}

/* No more of this session's datagrams: the reply is silence. */
static __rte_noinline void close_session(struct native_udp *service, const struct native_work *work)
{
    work->datagram->length = 0;
    if (work->session->id != work->session_id) { /* an earlier datagram of this burst ended it */
        native_count(service, COUNTER_native_drop_unknown_session);
        return;
    }
    native_count(service, COUNTER_native_session_closed);
    datagram_tags_make(&service->made); /* with keys that end here */
    session_end(&service->sessions, work->session);
}

/* Executes the message and writes the reply over it; returns how many operations are answered. */
static inline unsigned answer(struct native_udp *service, struct native_work *work)
{
    struct udp_datagram *datagram = work->datagram;
    struct session *session = work->session;
    size_t room, length;
    if (work->kind == DATAGRAM_PLAIN) {
        /* Not authenticated: never larger than the request. */
        room = smaller(datagram->length, datagram->room) - DATAGRAM_HEADER_BYTES;
    } else if (likely(work->kind != DATAGRAM_CLOSE && session->id == work->session_id)) {
        room = smaller(DATAGRAM_BYTES_MAX, datagram->room) - DATAGRAM_OVERHEAD_BYTES;
    } else {
        close_session(service, work);
        return 0;
    }

    uint8_t *payload = datagram->payload, *message = payload + DATAGRAM_HEADER_BYTES;
    unsigned operations = 1;
    if (likely(work->lone_get)) {
        length = native_answer_lone_get(service, work, message, room);
    } else {
        operations = native_request_of(service, work)->count;
        length = answer_message(service, work, message, room);
    }
    if (unlikely(length - 1 >= NATIVE_WAITS - 1)) /* 0 or above: one comparison */
        return answer_later(service, work, message, length) ? operations : 0;

    if (work->kind == DATAGRAM_PLAIN) { /* its header is the reply's too */
        datagram->length = (uint16_t)(DATAGRAM_HEADER_BYTES + length);
        return operations;
    }
    const struct direction_key *key = &session_keys_place(&service->sessions, work->session_id)->send;
    datagram->length = (uint16_t)datagram_seal_with(&service->made, key, session->version, work->session_id,
                                                    session->send_counter++, payload, length);
    return operations;
}

/* ---- the burst ---- */

/* The phases are functions of their own, so that each has the registers for itself. */
static __rte_noinline unsigned recognise_all(struct native_udp *service, struct udp_datagram *datagrams,
                                             unsigned count)
{
    unsigned works = 0;
    for (unsigned i = 0; i < count; i++)
        works += recognise(service, &datagrams[i], &service->work[works]);
    return works;
}

static __rte_noinline void verify_all(struct native_udp *service, unsigned works)
{
    for (unsigned i = 0; i < works; i++)
        verify_or_answer(service, &service->work[i]);
    verify_opened(service);
}

static __rte_noinline void look_up_all(struct native_udp *service)
{
    unsigned rest = (unsigned)(service->next_probe - service->next_hash);
    table_probe_hash(service->config.table, service->next_hash, rest);
    table_probe_find(service->config.table, service->probe, (unsigned)(service->next_probe - service->probe));
}

static __rte_noinline void answer_all(struct native_udp *service, unsigned works)
{
    unsigned operations = 0, replies = 0;
    for (unsigned i = 0; i < works; i++) {
        if (service->work[i].kind == 0)
            continue;
        unsigned answered = answer(service, &service->work[i]);
        operations += answered;
        replies += answered > 0;
    }
    datagram_tags_make(&service->made);
    counter_add(service->config.counters, COUNTER_native_operations, operations);
    counter_add(service->config.counters, COUNTER_native_replies, replies - service->parked_of_burst);
    service->parked_of_burst = 0;
}

static void burst(void *state, struct udp_datagram *datagrams, unsigned count, struct instant now)
{
    struct native_udp *service = state;
    service->engine.now = now;
    service->next_probe = service->next_hash = service->probe;
    native_read_gate(&service->engine);
    counter_add(service->config.counters, COUNTER_native_datagrams, count);
    unsigned works = recognise_all(service, datagrams, count);
    verify_all(service, works);
    look_up_all(service);
    answer_all(service, works);
}

static void turn(void *state, struct instant now)
{
    struct native_udp *service = state;
    service->engine.now = now;
    if (published_state_get(service->config.published).state == STATE_DRAINING)
        native_udp_drain(service);
    cookie_secrets_refresh(service->cookies, service->config.random, now.mono_ns);
    native_send_responses(service);
    native_send_parked(service);
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
    service->engine =
        (struct native_engine){.table = config->table,
                               .execute = config->execute,
                               .published = config->published,
                               .counters = config->counters,
                               .started_mono_ns = config->started_mono_ns,
                               .log = {.rules = config->durability, .durable = config->durable}};
    service->cookies = key_arena_take(config->arena, sizeof(*service->cookies));
    struct session_keys *keys = key_arena_take(config->arena, keys_bytes(config->sessions_max));
    if (service->cookies == NULL || keys == NULL ||
        session_table_init(&service->sessions, config->sessions_max, keys, config->random,
                           config->counters) != 0) {
        free(service);
        return NULL;
    }
    if (config->durable != NULL) {
        service->parked = parked_create(PARKED_RING_BYTES, config->numa_node);
        if (service->parked == NULL) {
            native_udp_destroy(service);
            return NULL;
        }
    }
    cookie_secrets_refresh(service->cookies, config->random, config->started_mono_ns);
    return service;
}

void native_udp_destroy(struct native_udp *service)
{
    if (service == NULL)
        return;
    session_table_fini(&service->sessions);
    parked_destroy(service->parked);
    keys_wipe(service->cookies, sizeof(*service->cookies));
    keys_wipe(service->reply, sizeof(service->reply));
    free(service);
}

unsigned native_udp_parked(const struct native_udp *service)
{
    return service->parked != NULL ? parked_count(service->parked) : 0;
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
