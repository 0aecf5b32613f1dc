/*
 * native_tcp_peer.h - a native TCP service on streams in memory, and clients that speak to it. Virtual clock,
 * seeded randomness; builders of operations are native_peer.h's.
 */
#ifndef WILD_TEST_NATIVE_TCP_PEER_H
#define WILD_TEST_NATIVE_TCP_PEER_H

#include "fake_stream.h"
#include "native_peer.h"
#include "record.h"
#include "service/native_tcp.h"

enum { TCP_STREAMS_MAX = 1100, TCP_REPLIES_MAX = 2048 };

struct tcp_node_options {
    unsigned connections, small_buffers, large_buffers;
    bool bench, http, second_secret;
    struct durability_rules rules; /* .log: shared.durable is the test's to move */
    uint64_t idle_ns;
};

struct tcp_node {
    struct native_shared shared; /* not its helper's lanes: one, for this service */
    struct log_ring *log;
    struct execute_context *execute;
    struct counters counters;
    struct native_tcp *service;
    struct http *http;
    struct fake_stream *streams[TCP_STREAMS_MAX]; /* the clients': turned with the node */
    unsigned count;
    bool helper_stopped;
};

static inline uint64_t tcp_no_number(void *state, enum counter which)
{
    (void)state;
    return which;
}

static inline uint64_t tcp_no_gauge(void *state, enum stats_gauge which)
{
    (void)state;
    return which;
}

static inline struct stats_node tcp_stats_node(void *state)
{
    (void)state;
    return (struct stats_node){.state = STATE_SERVING};
}

static const struct stats_source tcp_stats = {
    .version = "1", .counter = tcp_no_number, .gauge = tcp_no_gauge, .node = tcp_stats_node};

static inline struct tcp_node *tcp_node_start(const struct tcp_node_options *options)
{
    struct tcp_node *node = aligned_alloc(64, (sizeof(*node) + 63) & ~(size_t)63);
    struct native_shared *s = &node->shared;
    unsigned connections = options->connections != 0 ? options->connections : 16;
    memset(node, 0, sizeof(*node));
    native_shared_start(s, &(struct native_options){.capacity = 4096, .seed = 99},
                        native_tcp_arena_bytes(connections));
    node->log = log_ring_create(NATIVE_LOG_BYTES, -1);
    node->execute = execute_context_create(s->table, 0, node->log);
    if (options->http)
        node->http = http_create(
            &(struct http_config){.source = &tcp_stats, .counters = &node->counters, .connections_max = 4},
            s->now);
    struct native_tcp_config config = {
        .table = s->table,
        .execute = node->execute,
        .published = &s->published,
        .keys = {&s->keys[0], options->second_secret ? &s->keys[1] : NULL},
        .arena = s->arena,
        .random = &s->random,
        .handshakes = handshake_helper_lane(s->helper, 0),
        .counters = &node->counters,
        .http = node->http,
        .durability = options->rules,
        .durable = options->rules.log ? &s->durable : NULL,
        .started_mono_ns = s->now.mono_ns,
        .numa_node = -1,
        .idle_ns = options->idle_ns,
        .connections_max = connections,
        .small_buffers = options->small_buffers != 0 ? options->small_buffers : 8,
        .large_buffers = options->large_buffers != 0 ? options->large_buffers : 8,
        .bench_mode = options->bench,
    };
    node->service = native_tcp_create(&config, s->now);
    native_check(node->service != NULL && node->execute != NULL, "no memory");
    return node;
}

static inline void tcp_discard_log(struct tcp_node *node)
{
    size_t length;
    while (log_ring_peek(node->log, &length) != NULL)
        log_ring_pop(node->log);
}

/* Turns until everything rests. */
static inline void tcp_node_turn(struct tcp_node *node)
{
    bool any = true;
    for (unsigned i = 0; any; i++) {
        native_check(i < 100000, "it does not come to rest");
        any = !node->helper_stopped && handshake_helper_step(node->shared.helper);
        any |= native_tcp_turn(node->service, node->shared.now);
        for (unsigned s = 0; s < node->count; s++)
            any |= fake_turn(node->streams[s], node->shared.now.mono_ns);
        tcp_discard_log(node);
    }
}

static inline void tcp_node_pass(struct tcp_node *node, uint64_t ns)
{
    native_pass_time(&node->shared, ns);
    tcp_node_turn(node);
}

static inline uint64_t tcp_counted(const struct tcp_node *node, enum counter which)
{
    return counter_get(&node->counters, which);
}

/* Every stream is reset; nothing may be left. */
static inline void tcp_node_stop(struct tcp_node *node)
{
    node->helper_stopped = false;
    for (unsigned s = 0; s < node->count; s++)
        node->streams[s]->peer_reset = true;
    tcp_node_turn(node);
    struct native_tcp_counts counts = native_tcp_counts(node->service);
    native_check(counts.connections == 0 && counts.live == 0 && counts.unconfirmed == 0 &&
                     counts.lingering == 0 && counts.held_back == 0 && counts.small_buffers == 0 &&
                     counts.large_buffers == 0,
                 "something is left");
    for (unsigned s = 0; s < node->count; s++)
        fake_free(node->streams[s]);
    native_tcp_destroy(node->service);
    http_destroy(node->http);
    execute_context_destroy(node->execute);
    log_ring_destroy(node->log);
    native_shared_stop(&node->shared);
    free(node);
}

/* ---- a client ---- */

struct tcp_client {
    struct tcp_node *node;
    struct fake_stream *stream;
    struct role_keys keys;
    uint64_t entropy;
    struct random_source random;
    struct handshake_client handshake;
    struct session_keys session;
    struct record_reader reader;
    struct record_writer writer;
    uint64_t request_id;
    unsigned cookies;
    bool ready, closed, refused;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    uint8_t buffer[RECORD_BYTES_MAX];
    /* replies, in the order in which they came; values are copied */
    struct reply replies[TCP_REPLIES_MAX];
    uint8_t *values[TCP_REPLIES_MAX];
    unsigned count, messages;
};

/* Numbers are addresses of /24 networks of their own. */
static inline struct tcp_client *tcp_client_make(struct tcp_node *node, unsigned number)
{
    char error[256];
    struct tcp_client *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
    memset(c, 0, sizeof(*c));
    c->node = node;
    c->stream = fake_new(0xC6120002 + (number << 8), 40000);
    c->entropy = seeded_start(number + 1);
    c->random = seeded_source(&c->entropy);
    native_check(keys_from_secret(&c->keys, NATIVE_PEER_SECRET, strlen(NATIVE_PEER_SECRET), "wild", error,
                                  sizeof(error)) == 0,
                 error);
    c->reader = record_reader_start(RECORD_KIND_BIT(DATAGRAM_COOKIE) | RECORD_KIND_BIT(DATAGRAM_RESPONSE) |
                                        RECORD_KIND_BIT(RECORD_PLAIN),
                                    &record_limits_default);
    record_reader_lend(&c->reader, c->buffer, sizeof(c->buffer));
    return c;
}

/* NULL: the node did not accept. */
static inline struct tcp_client *tcp_client_open(struct tcp_node *node, unsigned number)
{
    struct tcp_client *c = tcp_client_make(node, number);
    struct stream_acceptor acceptor = native_tcp_acceptor(node->service);
    if (!acceptor.accepted(acceptor.state, &c->stream->stream)) {
        fake_free(c->stream);
        free(c);
        return NULL;
    }
    native_check(node->count < TCP_STREAMS_MAX, "too many streams");
    node->streams[node->count++] = c->stream;
    return c;
}

/* The stream stays the node's. */
static inline void tcp_client_free(struct tcp_client *c)
{
    for (unsigned i = 0; i < c->count; i++)
        free(c->values[i]);
    handshake_end(&c->handshake);
    free(c);
}

static inline void tcp_client_send(struct tcp_client *c, const void *bytes, size_t length)
{
    fake_send(c->stream, bytes, length);
    tcp_discard_log(c->node);
}

static inline void tcp_client_start(struct tcp_client *c)
{
    native_check(
        handshake_start(&c->handshake, &c->keys, ROLE_CLIENT, TRANSPORT_TCP, SUITE_ALL, &c->random) == 0,
        "handshake_start");
}

static inline void tcp_client_take_replies(struct tcp_client *c, const struct record_item *item)
{
    struct message_reader reader;
    struct message_header header;
    struct reply reply;
    native_check(message_open(&reader, &header, item->bytes, item->length, false) == 0, "a reply message");
    c->messages++;
    int more;
    while ((more = message_next_reply(&reader, &reply)) == 1) {
        native_check(c->count < TCP_REPLIES_MAX, "too many replies");
        c->values[c->count] = malloc(reply.value_length + 1u);
        memcpy(c->values[c->count], reply.value, reply.value_length);
        reply.value = c->values[c->count];
        c->replies[c->count++] = reply;
    }
    native_check(more == 0, "a whole reply message");
}

static inline void tcp_client_take_handshake(struct tcp_client *c, const struct record_item *item)
{
    struct handshake_identity server;
    switch (item->kind) {
    case DATAGRAM_COOKIE:
        c->cookies++;
        native_check(handshake_take_cookie(&c->handshake, &c->keys, item->bytes, item->length) == 0,
                     "COOKIE");
        tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
        break;
    case DATAGRAM_RESPONSE:
        native_check(handshake_finish(&c->handshake, &c->keys, item->bytes, item->length, c->confirm,
                                      &c->session, &server) == 0,
                     "RESPONSE");
        c->reader.expected = RECORD_KIND_BIT(DATAGRAM_READY);
        c->writer = record_writer_start(&c->session.send, &record_limits_default);
        break;
    default:
        native_check(handshake_ready_check(&c->session, item->bytes, item->length) == 0, "READY");
        record_reader_key(&c->reader, &c->session.receive);
        c->ready = true;
        break;
    }
}

/* Reads up to `most` bytes of what the node has sent. */
static inline void tcp_client_read(struct tcp_client *c, size_t most)
{
    size_t from = c->stream->out_taken, length = fake_take(c->stream, most);
    uint8_t *bytes = malloc(length + 1), *at = bytes;
    if (length > 0)
        memcpy(bytes, c->stream->out + from, length);
    for (;;) {
        struct record_item item;
        switch (record_next(&c->reader, &at, bytes + length, &item)) {
        case RECORD_HANDSHAKE:
            tcp_client_take_handshake(c, &item);
            continue;
        case RECORD_MESSAGE:
            tcp_client_take_replies(c, &item);
            continue;
        case RECORD_CLOSED:
            c->closed = true;
            continue;
        case RECORD_REKEYED:
            continue;
        case RECORD_REFUSED:
            c->refused = true;
            break;
        default:
            break;
        }
        break;
    }
    free(bytes);
}

/* Reads all there is and lets the node turn, until nothing more comes. */
static inline void tcp_client_rest(struct tcp_client *c)
{
    do {
        tcp_client_read(c, SIZE_MAX);
        tcp_node_turn(c->node);
    } while (c->stream->out_taken < c->stream->out_length);
}

/* INIT to RESPONSE: c->confirm is to be sent. */
static inline void tcp_client_respond(struct tcp_client *c)
{
    tcp_client_start(c);
    tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
    tcp_node_turn(c->node);
    tcp_client_rest(c);
}

static inline bool tcp_client_connect(struct tcp_client *c)
{
    tcp_client_respond(c);
    tcp_client_send(c, c->confirm, sizeof(c->confirm));
    tcp_client_rest(c);
    return c->ready;
}

static inline struct tcp_client *tcp_client_new(struct tcp_node *node, unsigned number)
{
    struct tcp_client *c = tcp_client_open(node, number);
    native_check(c != NULL && tcp_client_connect(c), "a session");
    return c;
}

/*
 * The record of a message of `count` operations; ids are given to those that have none. `out` has the room.
 */
static inline size_t tcp_client_seal(struct tcp_client *c, struct operation *operations, unsigned count,
                                     uint8_t *out)
{
    struct message_writer writer;
    message_begin(&writer, out + RECORD_HEADER_BYTES, RECORD_MESSAGE_BYTES_MAX);
    for (unsigned i = 0; i < count; i++) {
        if (operations[i].request_id == 0)
            operations[i].request_id = ++c->request_id;
        native_check(message_add_operation(&writer, &operations[i]) == 0, "operations do not fit a message");
    }
    size_t length = message_finish(&writer, &(struct message_header){.version = 1, .count = (uint16_t)count});
    return record_seal(&c->writer, out + RECORD_HEADER_BYTES, length, out);
}

static inline void tcp_client_say(struct tcp_client *c, struct operation *operations, unsigned count)
{
    uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    tcp_client_send(c, record, tcp_client_seal(c, operations, count, record));
}

/* One operation and its reply; status 255: none. */
static inline struct reply tcp_client_do(struct tcp_client *c, struct operation operation)
{
    unsigned before = c->count;
    tcp_client_say(c, &operation, 1);
    tcp_client_rest(c);
    return c->count == before + 1 ? c->replies[before] : (struct reply){.status = 255};
}

#endif
