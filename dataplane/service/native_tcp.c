/* native_tcp.c - connections: accepted, told apart, timed, ended; and the service's life. */
#include "service/native_tcp_internal.h"

#include <stdlib.h>

static uint64_t now_ns(const struct native_connection *c)
{
    return c->service->engine.now.mono_ns;
}

/* ---- lists ---- */

static void queue_held(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    int32_t place = native_tcp_place(c);
    c->queued = true;
    c->held_next = NOBODY;
    if (service->held_first == NOBODY)
        service->held_first = place;
    else
        service->connections[service->held_last].held_next = place;
    service->held_last = place;
}

void native_tcp_watch(struct native_connection *c)
{
    if (c->watched || c->state != CONNECTION_LIVE)
        return;
    c->watched = true;
    stream_set_deadline(c->stream, now_ns(c) + NATIVE_TCP_CHECK_NS);
}

void native_tcp_hold_back(struct native_connection *c)
{
    if (c->held_back)
        return;
    c->held_back = true;
    c->partial_ns = 0; /* it is not the client that keeps us waiting */
    c->service->held_back++;
    if (!c->queued)
        queue_held(c);
}

static void let_go(struct native_connection *c)
{
    if (!c->held_back)
        return;
    c->held_back = false;
    c->service->held_back--;
    c->service->starved -= c->starved;
    c->called = c->starved;
    c->starved = false;
    c->wants = 0;
    c->blocked_ns = 0;
    c->partial_ns = c->reader.held > 0 ? now_ns(c) : 0;
}

/* ---- states ---- */

void native_tcp_release(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    if (c->computing || c->queued)
        return;
    keys_wipe(native_tcp_keys(c), sizeof(struct session_keys));
    c->state = CONNECTION_FREE;
    c->id += UINT32_C(1) << service->bits; /* the place's next use */
    c->next = service->free;
    service->free = native_tcp_place(c);
    service->used--;
}

/* What is held for reading and answering is given up. */
static void give_up(struct native_connection *c)
{
    native_tcp_leave(c);
    let_go(c);
}

void native_tcp_abort(struct native_connection *c, enum counter why)
{
    native_tcp_count(c->service, why);
    give_up(c);
    native_tcp_give_buffers(c);
    c->state = CONNECTION_ABORTED;
    stream_abort(c->stream);
}

void native_tcp_close(struct native_connection *c)
{
    give_up(c);
    native_tcp_give_back(c);
    c->state = CONNECTION_CLOSING;
    native_tcp_join(c, CROWD_LINGERING);
    if (c->unsent_first == NULL && c->parked == 0)
        stream_close(c->stream);
    stream_resume(c->stream); /* what was left is thrown away, or the peer's end would wait behind it */
    stream_set_deadline(c->stream, now_ns(c) + NATIVE_TCP_CLOSING_NS);
}

static uint64_t idle_limit_ns(const struct native_connection *c)
{
    return c->service->config.idle_ns != 0 ? c->service->config.idle_ns : NATIVE_TCP_IDLE_NS;
}

void native_tcp_live(struct native_connection *c)
{
    native_tcp_leave(c);
    native_tcp_join(c, CROWD_LIVE);
    c->state = CONNECTION_LIVE;
    c->since_ns = now_ns(c);
    stream_set_deadline(c->stream, c->since_ns + idle_limit_ns(c));
    native_tcp_count(c->service, COUNTER_native_tcp_opened);
}

/* ---- SNIFF ---- */

/* The stream is http's now, and the place free. */
static size_t hand_to_http(struct native_connection *c, uint8_t *bytes, size_t length)
{
    struct stream *stream = c->stream;
    uint8_t first[HTTP_SNIFF_BYTES];
    size_t sniffed = c->sniffed;
    memcpy(first, c->inline_bytes, sniffed);
    if (!http_adopt(c->service->config.http, stream)) {
        native_tcp_abort(c, COUNTER_native_tcp_full);
        return length;
    }
    native_tcp_leave(c);
    native_tcp_release(c);
    if (sniffed > 0)
        stream->events->received(stream, first, sniffed); /* less than a method: it takes them all */
    return stream->events->received(stream, bytes, length);
}

static size_t begin_native(struct native_connection *c, uint8_t *bytes, size_t length)
{
    if (c->service->draining) {
        native_tcp_abort(c, COUNTER_native_init_draining);
        return length;
    }
    uint32_t expected = RECORD_KIND_BIT(DATAGRAM_INIT);
    if (c->service->config.bench_mode)
        expected |= RECORD_KIND_BIT(RECORD_PLAIN);
    c->reader = record_reader_start(expected, &record_limits_default);
    c->state = CONNECTION_INIT;
    stream_set_deadline(c->stream, c->since_ns + NATIVE_TCP_HANDSHAKE_NS);
    return native_tcp_take(c, bytes, length);
}

static size_t sniff(struct native_connection *c, uint8_t *bytes, size_t length)
{
    uint8_t first[HTTP_SNIFF_BYTES];
    if (length == 0)
        return 0;
    if (c->sniffed == 0 && bytes[0] == DATAGRAM_MAGIC)
        return begin_native(c, bytes, length);
    size_t sniffed = c->sniffed, more = HTTP_SNIFF_BYTES - sniffed;
    more = more < length ? more : length;
    memcpy(first, c->inline_bytes, sniffed);
    memcpy(first + sniffed, bytes, more);
    int verdict = c->service->config.http != NULL ? http_sniff(first, sniffed + more) : -1;
    if (verdict > 0)
        return hand_to_http(c, bytes, length);
    if (verdict < 0) {
        native_tcp_abort(c, COUNTER_native_tcp_unknown);
        return length;
    }
    memcpy(c->inline_bytes + sniffed, bytes, more);
    c->sniffed += (uint8_t)more;
    return more; /* all: HTTP_SNIFF_BYTES tell */
}

/* ---- events ---- */

static struct native_connection *connection_of(const struct stream *stream)
{
    return stream->user;
}

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct native_connection *c = connection_of(stream);
    switch (c->state) {
    case CONNECTION_SNIFF:
        return sniff(c, bytes, length);
    case CONNECTION_CLOSING:
    case CONNECTION_ABORTED:
        return length;
    default:
        return native_tcp_take(c, bytes, length);
    }
}

static void ended(struct stream *stream)
{
    struct native_connection *c = connection_of(stream);
    native_tcp_execute(c->service); /* what it asked before */
    if (c->state == CONNECTION_LIVE) {
        if (!c->plain) /* no CLOSE came: it was cut off, or its user was */
            native_tcp_count(c->service, COUNTER_native_tcp_truncated);
        native_tcp_close(c);
    } else if (c->state < CONNECTION_LIVE) {
        native_tcp_abort(c, COUNTER_native_tcp_left);
    }
}

static void writable(struct stream *stream)
{
    struct native_connection *c = connection_of(stream);
    if (c->state == CONNECTION_ABORTED || c->unsent_first == NULL)
        return;
    native_tcp_send_unsent(c);
    if (c->state == CONNECTION_CLOSING && c->unsent_first == NULL && c->parked == 0)
        stream_close(stream); /* native_tcp_close() left it open for them */
}

static bool passed(const struct native_connection *c, uint64_t since_ns, uint64_t limit_ns)
{
    return since_ns != 0 && now_ns(c) - since_ns >= limit_ns;
}

static void check_live(struct native_connection *c)
{
    uint64_t idle_ns = idle_limit_ns(c);
    c->watched = false;
    if (passed(c, c->blocked_ns, NATIVE_TCP_STALL_NS)) {
        native_tcp_abort(c, COUNTER_native_tcp_stalled);
    } else if (passed(c, c->partial_ns, NATIVE_TCP_RECORD_NS)) {
        native_tcp_abort(c, COUNTER_native_tcp_unfinished);
    } else if (passed(c, c->since_ns, idle_ns) && !c->held_back && c->parked == 0) {
        native_tcp_count(c->service, COUNTER_native_tcp_idle);
        native_tcp_close_in_order(c);
    } else if (c->held_back || c->partial_ns != 0 || c->parked > 0) {
        native_tcp_watch(c);
    } else {
        stream_set_deadline(c->stream, c->since_ns + idle_ns);
    }
}

static void expired(struct stream *stream)
{
    struct native_connection *c = connection_of(stream);
    switch (c->state) {
    case CONNECTION_SNIFF:
        native_tcp_abort(c, COUNTER_native_tcp_silent);
        break;
    case CONNECTION_LIVE:
        check_live(c);
        break;
    case CONNECTION_CLOSING:
        native_tcp_abort(c, COUNTER_native_tcp_lingered);
        break;
    case CONNECTION_ABORTED:
        break;
    default:
        native_tcp_abort(c, COUNTER_native_pending_expired);
        break;
    }
}

static void closed(struct stream *stream, enum stream_end end)
{
    struct native_connection *c = connection_of(stream);
    if (c->state == CONNECTION_LIVE && end != STREAM_END_ABORTED)
        native_tcp_count(c->service, COUNTER_native_tcp_lost);
    give_up(c);
    native_tcp_give_buffers(c);
    if (!c->computing)
        keys_wipe(native_tcp_keys(c), sizeof(struct session_keys));
    c->state = CONNECTION_GONE;
    native_tcp_release(c);
}

static const struct stream_events events = {
    .received = received, .ended = ended, .writable = writable, .expired = expired, .closed = closed};

/* ---- accepting ---- */

static bool accepted(void *state, struct stream *stream)
{
    struct native_tcp *service = state;
    if (service->closing || (service->draining && service->config.http == NULL)) {
        native_tcp_count(service, COUNTER_native_init_draining);
        return false;
    }
    struct source source = source_of(&stream->flow.peer, service->source_seed);
    if (!native_tcp_make_room(service, source)) {
        native_tcp_count(service, COUNTER_native_tcp_full);
        return false;
    }
    struct native_connection *c = &service->connections[service->free];
    service->free = c->next;
    service->used++;
    *c = (struct native_connection){.service = service,
                                    .stream = stream,
                                    .id = c->id,
                                    .since_ns = service->engine.now.mono_ns,
                                    .source = source,
                                    .crowd = CROWD_NONE,
                                    .state = CONNECTION_SNIFF};
    native_tcp_begin_unconfirmed(c);
    stream->user = c;
    stream->events = &events;
    stream_set_deadline(stream, c->since_ns + NATIVE_TCP_SNIFF_NS);
    native_tcp_count(service, COUNTER_native_tcp_connections);
    return true;
}

static void delivered(void *state)
{
    native_tcp_execute(state);
}

struct stream_acceptor native_tcp_acceptor(struct native_tcp *service)
{
    return (struct stream_acceptor){.state = service, .accepted = accepted, .delivered = delivered};
}

/* ---- time ---- */

/*
 * A buffer that it waits for is its own from now on, whoever else wants one before it is told. While its
 * replies are unread that has its limit, whatever it was held back for.
 */
static bool may_go_on(struct native_connection *c)
{
    if (native_tcp_is_blocked(c, NATIVE_TCP_UNSENT_MAX / 2)) {
        if (c->blocked_ns == 0)
            c->blocked_ns = now_ns(c);
        native_tcp_watch(c);
        return false;
    }
    c->blocked_ns = 0;
    return (c->wants == 0 || native_tcp_lend(c, c->wants)) && (!c->starved || native_tcp_can_spare(c));
}

/* The time in which it was held back is not its own. */
static void go_on(struct native_connection *c)
{
    if (c->state == CONNECTION_LIVE)
        c->since_ns = now_ns(c);
    if (c->partial_ns != 0)
        native_tcp_watch(c);
    stream_resume(c->stream);
}

/* Looks at some of those held back, each in its turn. */
static bool look_at_held(struct native_tcp *service)
{
    bool any = false;
    for (unsigned i = 0; i < NATIVE_TCP_HELD_PER_TURN && service->held_first != NOBODY; i++) {
        struct native_connection *c = &service->connections[service->held_first];
        service->held_first = c->held_next;
        c->queued = false;
        if (c->state == CONNECTION_GONE) {
            native_tcp_release(c);
            any = true;
        } else if (c->held_back && may_go_on(c)) {
            let_go(c);
            go_on(c);
            any = true;
        } else if (c->held_back) {
            queue_held(c);
        }
    }
    return any;
}

bool native_tcp_turn(struct native_tcp *service, struct instant now)
{
    service->engine.now = now;
    native_read_gate(&service->engine);
    if (service->engine.gate.state == STATE_DRAINING)
        native_tcp_drain(service);
    cookie_secrets_refresh(service->cookies, service->config.random, now.mono_ns);
    bool any = native_tcp_responses(service);
    any |= native_tcp_send_parked(service);
    any |= look_at_held(service);
    if (service->config.http != NULL)
        any |= http_turn(service->config.http, now);
    return any;
}

/* Those in SNIFF, too, if `all`: they may be about to ask http why. */
static void turn_away_unconfirmed(struct native_tcp *service, bool all)
{
    for (unsigned i = 0; i < service->config.connections_max; i++) {
        struct native_connection *c = &service->connections[i];
        if (c->unconfirmed && (all || c->state != CONNECTION_SNIFF))
            native_tcp_abort(c, COUNTER_native_init_draining);
    }
}

void native_tcp_drain(struct native_tcp *service)
{
    if (service->draining)
        return;
    service->draining = true;
    turn_away_unconfirmed(service, false);
    if (service->config.http != NULL)
        http_drain(service->config.http);
}

void native_tcp_close_all(struct native_tcp *service)
{
    native_tcp_drain(service);
    service->closing = true;
    turn_away_unconfirmed(service, true);
    if (service->config.http != NULL)
        http_close_all(service->config.http);
    for (unsigned i = 0; i < service->config.connections_max; i++)
        if (service->connections[i].state == CONNECTION_LIVE)
            native_tcp_close_in_order(&service->connections[i]);
}

struct native_tcp_counts native_tcp_counts(const struct native_tcp *service)
{
    return (struct native_tcp_counts){.connections = service->used,
                                      .unconfirmed = service->unconfirmed,
                                      .live = service->crowds[CROWD_LIVE],
                                      .lingering = service->crowds[CROWD_LINGERING],
                                      .held_back = service->held_back,
                                      .small_buffers = service->buffers.small.used,
                                      .large_buffers = service->buffers.large.used,
                                      .parked = service->parked != NULL ? parked_count(service->parked) : 0};
}

/* ---- life ---- */

/* The arena hands out pieces of whole lines. */
static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

size_t native_tcp_arena_bytes(unsigned connections_max)
{
    return whole_lines(connections_max * sizeof(struct session_keys)) +
           whole_lines(sizeof(struct cookie_secrets));
}

/* calloc: what no connection touches stays unmapped. */
static bool take_memory(struct native_tcp *service)
{
    const struct native_tcp_config *config = &service->config;
    service->cookies = key_arena_take(config->arena, sizeof(*service->cookies));
    service->keys = key_arena_take(config->arena, config->connections_max * sizeof(*service->keys));
    service->connections = calloc(config->connections_max, sizeof(*service->connections));
    service->retries = calloc(config->connections_max, sizeof(*service->retries));
    service->hosts = calloc((size_t)SOURCE_NETWORKS * SOURCE_HOSTS, sizeof(*service->hosts));
    if (config->durable != NULL)
        service->parked = parked_create(PARKED_RING_BYTES, config->numa_node);
    return (service->parked != NULL || config->durable == NULL) && service->cookies != NULL &&
           service->keys != NULL && service->connections != NULL && service->retries != NULL &&
           service->hosts != NULL &&
           native_buffers_init(&service->buffers, config->small_buffers, config->large_buffers);
}

static void make_places(struct native_tcp *service)
{
    unsigned count = service->config.connections_max;
    uint32_t first_use;
    while ((UINT32_C(1) << service->bits) < count)
        service->bits++;
    random_fill(service->config.random, &first_use, sizeof(first_use));
    random_fill(service->config.random, &service->source_seed, sizeof(service->source_seed));
    for (unsigned i = 0; i < count; i++) {
        service->connections[i].service = service;
        service->connections[i].id = first_use << service->bits | i;
        service->connections[i].next = i + 1 < count ? (int32_t)i + 1 : NOBODY;
    }
    service->held_first = service->held_last = NOBODY;
    service->unconfirmed_max = count / 4;
    service->live_max = native_tcp_live_max(count);
    for (unsigned class = 0; class < 2; class ++) {
        unsigned most = native_buffers_for_requests(&service->buffers, class == 1);
        unsigned half = most / 2 + most % 2;
        service->holders[class] =
            (struct native_holders){NOBODY, NOBODY, (uint16_t)(half < UINT16_MAX ? half : UINT16_MAX)};
    }
}

static void give_memory(struct native_tcp *service)
{
    native_buffers_fini(&service->buffers);
    parked_destroy(service->parked);
    free(service->connections);
    free(service->retries);
    free(service->hosts);
    free(service);
}

struct native_tcp *native_tcp_create(const struct native_tcp_config *config, struct instant now)
{
    if (config->connections_max < 4 || config->connections_max > NATIVE_TCP_CONNECTIONS_LIMIT)
        return NULL;
    struct native_tcp *service = aligned_alloc(_Alignof(struct native_tcp), sizeof(*service));
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
                               .now = now,
                               .log = {.rules = config->durability, .durable = config->durable}};
    if (!take_memory(service)) {
        give_memory(service);
        return NULL;
    }
    make_places(service);
    native_read_gate(&service->engine);
    cookie_secrets_refresh(service->cookies, config->random, now.mono_ns);
    return service;
}

void native_tcp_destroy(struct native_tcp *service)
{
    if (service == NULL)
        return;
    keys_wipe(service->keys, service->config.connections_max * sizeof(*service->keys));
    keys_wipe(service->cookies, sizeof(*service->cookies));
    keys_wipe(service->reply, sizeof(service->reply));
    give_memory(service);
}
