/*
 * native_peer.h - a whole native UDP service in memory, and clients that speak to it: for tests of anything
 * above the service face. Virtual clock, seeded randomness, no sockets, no frames.
 *
 * Everything is a static inline function, so that a test takes what it needs.
 */
#ifndef WILD_TEST_NATIVE_PEER_H
#define WILD_TEST_NATIVE_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seeded.h"
#include "service/native_udp.h"
#include "service/session.h"

/* ---- the node ---- */

#define NATIVE_PEER_HISTORY UINT64_C(0x1122334455667788)
#define NATIVE_PEER_SECRET  "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NATIVE_PEER_SECRET2 "wild1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"

enum { NATIVE_ROOM = 2048, NATIVE_OUTBOX_MAX = 512, NATIVE_LOG_BYTES = 1 << 16 };

/* The part of the node that its workers share. */
struct native_shared {
    struct table *table;
    struct role_keys keys[2];
    struct published_state published;
    struct handshake_identity identity;
    struct handshake_helper *helper;
    struct key_arena *arena;
    uint64_t entropy;
    struct random_source random;
    struct instant now;
    struct durable_point durable; /* options.rules.log or reads_wait: for the test to move */
};

struct native_sent {
    struct return_path path;
    uint16_t length;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
};

/* One worker's service. */
struct native_node {
    struct native_shared *shared;
    struct log_ring *log;
    struct execute_context *execute;
    struct counters counters;
    struct native_udp *service;
    struct udp_service face;
    struct native_sent outbox[NATIVE_OUTBOX_MAX]; /* sent unprompted */
    unsigned sent;
    bool refuse_to_send;
};

struct native_options {
    unsigned workers, sessions_max;
    uint64_t capacity, seed;
    bool bench_mode, second_secret, huge_pages;
    struct durability_rules rules;
};

static inline void native_check(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "native_peer: %s\n", what);
        abort();
    }
}

static inline bool native_send(void *state, const struct return_path *path, const uint8_t *payload,
                               uint16_t length)
{
    struct native_node *node = state;
    if (node->refuse_to_send || node->sent == NATIVE_OUTBOX_MAX || length > sizeof(node->outbox[0].bytes))
        return false;
    struct native_sent *sent = &node->outbox[node->sent++];
    sent->path = *path;
    sent->length = length;
    memcpy(sent->bytes, payload, length);
    return true;
}

/* What workers share; in `options`, 0 stands for 1 worker and 1024 one-line items. */
static inline void native_shared_start(struct native_shared *shared, const struct native_options *options,
                                       size_t arena_bytes)
{
    char error[256] = "no helper";
    unsigned workers = options->workers != 0 ? options->workers : 1;
    memset(shared, 0, sizeof(*shared));
    native_check(keys_start() == 0, "keys_start");
    shared->entropy = seeded_start(options->seed);
    shared->random = seeded_source(&shared->entropy);
    shared->now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    native_check(keys_from_secret(&shared->keys[0], NATIVE_PEER_SECRET, strlen(NATIVE_PEER_SECRET), "wild",
                                  error, sizeof(error)) == 0,
                 error);
    native_check(keys_from_secret(&shared->keys[1], NATIVE_PEER_SECRET2, strlen(NATIVE_PEER_SECRET2), "wild",
                                  error, sizeof(error)) == 0,
                 error);
    shared->identity.node_id = 7;
    memset(shared->identity.cluster_id, 0xC1, sizeof(shared->identity.cluster_id));
    published_state_set(&shared->published, &(struct state_view){.history = NATIVE_PEER_HISTORY,
                                                                 .epoch = 3,
                                                                 .mode = MODE_STANDALONE,
                                                                 .state = STATE_SERVING});
    struct table_config table = {.capacity = options->capacity != 0 ? options->capacity : 1024,
                                 .first_lsn = UINT64_C(1) << 32,
                                 .workers = workers,
                                 .numa_node = -1,
                                 .huge_pages = options->huge_pages};
    memset(table.hash_key, 0x5A, sizeof(table.hash_key));
    struct table_info info;
    native_check(table_create(&shared->table, &table, &info) == 0, "table_create");
    shared->helper = handshake_helper_create(workers, &shared->identity, &shared->random);
    shared->arena = key_arena_create(arena_bytes, error, sizeof(error));
    native_check(shared->helper != NULL && shared->arena != NULL, error);
}

/* After everything that the workers own. */
static inline void native_shared_stop(struct native_shared *shared)
{
    handshake_helper_destroy(shared->helper);
    key_arena_destroy(shared->arena);
    table_destroy(shared->table);
}

/* nodes: one per worker. */
static inline void native_start(struct native_shared *shared, struct native_node *nodes,
                                const struct native_options *options)
{
    unsigned workers = options->workers != 0 ? options->workers : 1;
    unsigned sessions_max = options->sessions_max != 0 ? options->sessions_max : 16;
    native_shared_start(shared, options, workers * native_udp_arena_bytes(sessions_max));
    for (unsigned i = 0; i < workers; i++) {
        struct native_node *node = &nodes[i];
        memset(node, 0, sizeof(*node));
        node->shared = shared;
        node->log = log_ring_create(NATIVE_LOG_BYTES, -1);
        node->execute = execute_context_create(shared->table, i, node->log);
        struct native_udp_config config = {
            .table = shared->table,
            .execute = node->execute,
            .published = &shared->published,
            .keys = {&shared->keys[0], options->second_secret ? &shared->keys[1] : NULL},
            .arena = shared->arena,
            .random = &shared->random,
            .handshakes = handshake_helper_lane(shared->helper, i),
            .counters = &node->counters,
            .transmit = {.state = node, .send = native_send},
            .durability = options->rules,
            .durable = options->rules.log || options->rules.reads_wait ? &shared->durable : NULL,
            .started_mono_ns = shared->now.mono_ns,
            .numa_node = -1,
            .sessions_max = sessions_max,
            .bench_mode = options->bench_mode,
        };
        node->service = native_udp_create(&config);
        native_check(node->log != NULL && node->execute != NULL && node->service != NULL, "no memory");
        node->face = native_udp_service(node->service);
    }
}

static inline void native_stop(struct native_shared *shared, struct native_node *nodes, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        native_udp_destroy(nodes[i].service);
        execute_context_destroy(nodes[i].execute);
        log_ring_destroy(nodes[i].log);
    }
    native_shared_stop(shared);
}

/* The log becomes durable up to there. */
static inline void native_durable(struct native_shared *shared, uint64_t lsn)
{
    durable_point_set(&shared->durable, lsn, false);
}

static inline void native_discard_log(struct native_node *node)
{
    size_t length;
    while (log_ring_peek(node->log, &length) != NULL)
        log_ring_pop(node->log);
}

/* The helper works off what is queued, then the worker takes a turn. */
static inline void native_turn(struct native_node *node)
{
    while (handshake_helper_step(node->shared->helper)) {
    }
    node->face.turn(node->face.state, node->shared->now);
    native_discard_log(node);
}

static inline void native_pass_time(struct native_shared *shared, uint64_t ns)
{
    shared->now.mono_ns += ns;
    shared->now.wall_ms += ns / 1000000;
}

static inline uint64_t native_counter(const struct native_node *node, enum counter which)
{
    return counter_get(&node->counters, which);
}

static inline uint64_t native_lsn(const struct native_shared *shared)
{
    struct table_counts counts;
    table_counts(shared->table, &counts);
    return counts.lsn;
}

/* Sum of all reasons for which a datagram is dropped. */
static inline uint64_t native_drops(const struct native_node *node)
{
    uint64_t sum = 0;
    for (unsigned i = COUNTER_native_drop_length; i <= COUNTER_native_drop_message; i++)
        sum += counter_get(&node->counters, (enum counter)i);
    for (unsigned i = COUNTER_native_init_refused; i <= COUNTER_native_init_role; i++)
        sum += counter_get(&node->counters, (enum counter)i);
    return sum + native_counter(node, COUNTER_native_confirm_refused);
}

/* One datagram through the service; `bytes` has NATIVE_ROOM. Returns the reply's length (in `bytes`). */
static inline size_t native_exchange(struct native_node *node, const struct return_path *path, uint8_t *bytes,
                                     size_t length)
{
    struct udp_datagram datagram = {
        .payload = bytes, .length = (uint16_t)length, .room = NATIVE_ROOM, .path = *path};
    node->face.burst(node->face.state, &datagram, 1, node->shared->now);
    native_discard_log(node);
    return datagram.length;
}

/* ---- a client ---- */

struct native_peer {
    struct native_node *node;
    struct return_path path;
    struct role_keys keys;
    uint64_t entropy;
    struct random_source random;
    struct handshake_client handshake;
    struct session_keys session;
    struct replay_window replay;
    uint64_t counter;
    uint64_t request_id;
    uint64_t min_lsn_history; /* goes into messages */
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    struct message_header header; /* of the last reply */
    uint8_t reply[NATIVE_ROOM];   /* what replies' values point into */
};

static inline struct return_path native_path(rte_be32_t ip4, uint16_t port)
{
    return (struct return_path){.flow = {.peer = address_from_ip4(ip4),
                                         .local = address_from_ip4(RTE_BE32(0xC6120001)),
                                         .peer_port = rte_cpu_to_be_16(port),
                                         .local_port = RTE_BE16(7878)},
                                .vlan_tci = VLAN_NONE};
}

/* Addresses: 198.18.n.n; each number has a /24 of its own. */
static inline void native_peer_init(struct native_peer *peer, struct native_node *node, const char *secret,
                                    unsigned number, uint16_t port)
{
    char error[256];
    memset(peer, 0, sizeof(*peer));
    peer->node = node;
    peer->path = native_path(rte_cpu_to_be_32(0xC6120002 + (number << 8)), port);
    native_check(keys_from_secret(&peer->keys, secret, strlen(secret), "wild", error, sizeof(error)) == 0,
                 error);
    peer->entropy = seeded_start((uint64_t)number << 16 | port);
    peer->random = seeded_source(&peer->entropy);
}

static inline void native_peer_begin(struct native_peer *peer, unsigned suites)
{
    native_check(handshake_start(&peer->handshake, &peer->keys, ROLE_CLIENT, TRANSPORT_UDP, suites,
                                 &peer->random) == 0,
                 "handshake_start");
    peer->counter = 0;
    peer->request_id = 0;
    memset(&peer->replay, 0, sizeof(peer->replay));
}

/* Sends the INIT; follows a COOKIE once. What came back at once (RESPONSE to a repeated INIT): in `out`. */
static inline size_t native_peer_send_init(struct native_peer *peer, uint8_t out[NATIVE_ROOM])
{
    for (unsigned i = 0; i < 2; i++) {
        memcpy(out, peer->handshake.init, HANDSHAKE_INIT_BYTES);
        size_t length = native_exchange(peer->node, &peer->path, out, HANDSHAKE_INIT_BYTES);
        if (length != HANDSHAKE_COOKIE_BYTES || out[1] != DATAGRAM_COOKIE)
            return length;
        if (handshake_take_cookie(&peer->handshake, &peer->keys, out, length) != 0)
            return 0;
    }
    return 0;
}

/* The RESPONSE that the node sent unprompted to this peer, if any. */
static inline const struct native_sent *native_peer_response(const struct native_peer *peer)
{
    for (unsigned i = peer->node->sent; i-- > 0;)
        if (flow_equal(&peer->node->outbox[i].path.flow, &peer->path.flow))
            return &peer->node->outbox[i];
    return NULL;
}

/* A RESPONSE arrived: makes the session and the CONFIRM. */
static inline bool native_peer_take_response(struct native_peer *peer, const uint8_t *bytes, size_t length)
{
    struct handshake_identity server;
    return handshake_finish(&peer->handshake, &peer->keys, bytes, length, peer->confirm, &peer->session,
                            &server) == 0;
}

static inline bool native_peer_confirm(struct native_peer *peer)
{
    uint8_t bytes[NATIVE_ROOM];
    memcpy(bytes, peer->confirm, sizeof(peer->confirm));
    size_t length = native_exchange(peer->node, &peer->path, bytes, sizeof(peer->confirm));
    return length > 0 && handshake_ready_check(&peer->session, bytes, length) == 0;
}

/* INIT to RESPONSE. */
static inline bool native_peer_respond(struct native_peer *peer, unsigned suites)
{
    uint8_t bytes[NATIVE_ROOM];
    native_peer_begin(peer, suites);
    native_peer_send_init(peer, bytes);
    peer->node->sent = 0;
    native_turn(peer->node);
    const struct native_sent *response = native_peer_response(peer);
    return response != NULL && native_peer_take_response(peer, response->bytes, response->length);
}

static inline bool native_peer_connect(struct native_peer *peer, unsigned suites)
{
    bool ready = native_peer_respond(peer, suites) && native_peer_confirm(peer);
    handshake_end(&peer->handshake);
    return ready;
}

/* The datagram of a message of `count` operations; `out` has NATIVE_ROOM. */
static inline size_t native_peer_seal(struct native_peer *peer, const struct operation *operations,
                                      unsigned count, uint8_t *out)
{
    struct message_writer writer;
    struct message_header header = {
        .version = peer->session.version, .count = (uint16_t)count, .history = peer->min_lsn_history};
    message_begin(&writer, out + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    for (unsigned i = 0; i < count; i++)
        native_check(message_add_operation(&writer, &operations[i]) == 0, "operations do not fit a message");
    size_t length = message_finish(&writer, &header);
    return datagram_seal(&peer->session.send, 0, peer->session.version, peer->session.session,
                         peer->counter++, out, length);
}

/* Opens a reply datagram (copied into peer->reply). Returns the number of replies, 0 if it is not good. */
static inline unsigned native_peer_open(struct native_peer *peer, const uint8_t *bytes, size_t length,
                                        struct reply *replies, unsigned room)
{
    uint8_t *message;
    size_t message_length;
    struct message_reader reader;
    if (length == 0 || length > sizeof(peer->reply))
        return 0;
    memcpy(peer->reply, bytes, length);
    if (datagram_open(&peer->session.receive, &peer->replay, peer->session.version, peer->reply, length,
                      &message, &message_length) != 0 ||
        message_open(&reader, &peer->header, message, message_length, false) != 0)
        return 0;
    unsigned count = 0;
    while (count < room && message_next_reply(&reader, &replies[count]) == 1)
        count++;
    return count == peer->header.count ? count : 0;
}

/* Sends operations in one datagram; returns the number of replies. */
static inline unsigned native_peer_ask(struct native_peer *peer, const struct operation *operations,
                                       unsigned count, struct reply *replies)
{
    uint8_t bytes[NATIVE_ROOM];
    size_t length = native_peer_seal(peer, operations, count, bytes);
    length = native_exchange(peer->node, &peer->path, bytes, length);
    return native_peer_open(peer, bytes, length, replies, MESSAGE_OPERATIONS_MAX);
}

/* One operation; the request id is the next one unless it is given. status 255: no (good) answer. */
static inline struct reply native_peer_do(struct native_peer *peer, struct operation operation)
{
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    if (operation.request_id == 0)
        operation.request_id = ++peer->request_id;
    if (native_peer_ask(peer, &operation, 1, replies) != 1 || replies[0].request_id != operation.request_id ||
        replies[0].opcode != operation.opcode)
        return (struct reply){.status = 255};
    return replies[0];
}

static inline struct operation native_get(const char *key)
{
    return (struct operation){
        .opcode = OPCODE_GET, .key = (const uint8_t *)key, .key_length = (uint8_t)strlen(key)};
}

static inline struct operation native_set(const char *key, const char *value)
{
    return (struct operation){.opcode = OPCODE_SET,
                              .key = (const uint8_t *)key,
                              .key_length = (uint8_t)strlen(key),
                              .value = (const uint8_t *)value,
                              .value_length = (uint16_t)strlen(value)};
}

static inline struct operation native_delete(const char *key)
{
    return (struct operation){
        .opcode = OPCODE_DELETE, .key = (const uint8_t *)key, .key_length = (uint8_t)strlen(key)};
}

/* `operand`: INCR_OPERAND_BYTES of room that outlive the operation. */
static inline struct operation native_incr(const char *key, int64_t delta, int64_t initial, uint8_t *operand)
{
    incr_operand_encode(operand, delta, initial);
    return (struct operation){.opcode = OPCODE_INCR,
                              .key = (const uint8_t *)key,
                              .key_length = (uint8_t)strlen(key),
                              .value = operand,
                              .value_length = INCR_OPERAND_BYTES};
}

static inline struct operation native_touch(const char *key, uint64_t ttl_ms)
{
    return (struct operation){.opcode = OPCODE_TOUCH,
                              .key = (const uint8_t *)key,
                              .key_length = (uint8_t)strlen(key),
                              .ttl_ms = ttl_ms};
}

static inline bool native_value_is(const struct reply *reply, const char *value)
{
    return reply->status == STATUS_OK && reply->value_length == strlen(value) &&
           memcmp(reply->value, value, reply->value_length) == 0;
}

/* Ends the session at the node; no answer. */
static inline void native_peer_close(struct native_peer *peer)
{
    uint8_t bytes[NATIVE_ROOM];
    size_t length = datagram_seal(&peer->session.send, DATAGRAM_CLOSE, peer->session.version,
                                  peer->session.session, peer->counter++, bytes, 0);
    native_exchange(peer->node, &peer->path, bytes, length);
}

#endif
