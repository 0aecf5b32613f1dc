/*
 * fuzz_native.c - the native service behind its face, in and out of bench mode, with sessions of both kinds
 * alive and one unconfirmed. The input is a program: a mode, then steps, each a datagram (any bytes, or a
 * genuine one that is then perhaps damaged, perhaps sealed again) or a change of time or state; datagrams
 * gather into bursts. Every program starts from the same node. Half of the nodes have a log, which programs
 * let lag, catch up and fail.
 *
 * Checked: replies keep to their room; who did not prove anything gets no more bytes than it sent and changes
 * nothing in the table; replies to genuine datagrams verify, at once or late; no write is acknowledged above
 * the durable point; sessions never exceed their shares.
 *
 * Buffers are heap blocks of exactly the room they offer.
 */
#include <sodium.h>

#include "fuzz.h"
#include "native_peer.h"
#include "service/native_internal.h"

enum { SESSIONS = 16, STEPS_MAX = 96, PEERS = 4 };
enum who { MAC_PEER, SEALED_PEER, UNCONFIRMED_PEER, STRANGER };

/* What a program may change of a node, kept aside. */
struct snapshot {
    struct native_udp *service;
    struct session sessions[SESSIONS];
    struct session_keys keys[SESSIONS];
    struct cookie_secrets cookies;
    int32_t flow_heads[SESSIONS];
    struct native_peer peers[PEERS];
    uint64_t entropy;
};

struct world {
    struct native_shared shared;
    struct native_node node;
    struct native_peer peers[PEERS];
    struct snapshot kept;
};

struct burst {
    struct udp_datagram datagrams[NATIVE_BURST_MAX];
    uint16_t sent[NATIVE_BURST_MAX];
    uint8_t kind[NATIVE_BURST_MAX];
    bool proven[NATIVE_BURST_MAX]; /* sealed by a session's own keys: may change the table, may get more */
    unsigned count;
    bool table_may_change;
};

enum { BENCH_MODE = 1, WITH_LOG = 2, WORLDS = 4 }; /* a world's bits */
static struct world worlds[WORLDS];

/* ---- the node, and the same node again ---- */

static void keep(struct world *world)
{
    struct native_udp *service = world->node.service;
    struct snapshot *kept = &world->kept;
    kept->service = aligned_alloc(_Alignof(struct native_udp), sizeof(*service));
    MUST(kept->service != NULL);
    memcpy(kept->service, service, sizeof(*service));
    memcpy(kept->sessions, service->sessions.sessions, sizeof(kept->sessions));
    memcpy(kept->keys, service->sessions.keys, sizeof(kept->keys));
    memcpy(kept->flow_heads, service->sessions.flow_heads, sizeof(kept->flow_heads));
    kept->cookies = *service->cookies;
    memcpy(kept->peers, world->peers, sizeof(kept->peers));
    kept->entropy = world->shared.entropy;
}

static void restore(struct world *world)
{
    struct native_udp *service = world->node.service;
    const struct snapshot *kept = &world->kept;
    memcpy(service, kept->service, sizeof(*service));
    memcpy(service->sessions.sessions, kept->sessions, sizeof(kept->sessions));
    memcpy(service->sessions.keys, kept->keys, sizeof(kept->keys));
    memcpy(service->sessions.flow_heads, kept->flow_heads, sizeof(kept->flow_heads));
    *service->cookies = kept->cookies;
    memcpy(world->peers, kept->peers, sizeof(kept->peers));
    world->shared.entropy = kept->entropy;
    world->shared.now = service->engine.now;
    world->node.sent = 0;
}

static void set_state(struct world *world, unsigned mode, unsigned state)
{
    published_state_set(&world->shared.published, &(struct state_view){.history = NATIVE_PEER_HISTORY,
                                                                       .epoch = 1,
                                                                       .mode = (uint8_t)mode,
                                                                       .state = (uint8_t)state});
}

static void make_world(struct world *world, unsigned bits)
{
    bool log = bits & WITH_LOG;
    native_start(&world->shared, &world->node,
                 &(struct native_options){.seed = 1,
                                          .sessions_max = SESSIONS,
                                          .bench_mode = bits & BENCH_MODE,
                                          .capacity = 256,
                                          .rules = {.log = log, .writes_wait = log, .reads_wait = log}});
    for (unsigned i = 0; i < PEERS; i++)
        native_peer_init(&world->peers[i], &world->node, NATIVE_PEER_SECRET, i, 1000);
    MUST(native_peer_connect(&world->peers[MAC_PEER], SUITE_MAC));
    MUST(native_peer_connect(&world->peers[SEALED_PEER], SUITE_CHACHA20_POLY1305));
    MUST(native_peer_respond(&world->peers[UNCONFIRMED_PEER], SUITE_MAC));
    native_peer_begin(&world->peers[STRANGER], SUITE_ALL);
    keep(world);
}

/* ---- bursts ---- */

/* A datagram to whoever has that flow. */
static void check_reply(struct world *world, const struct return_path *path, const uint8_t *bytes,
                        size_t length)
{
    uint64_t durable =
        world->node.service->parked != NULL ? atomic_load(&world->shared.durable.lsn) : UINT64_MAX;
    for (unsigned p = MAC_PEER; length > 0 && p <= UNCONFIRMED_PEER; p++) {
        struct reply replies[MESSAGE_OPERATIONS_MAX];
        if (!flow_equal(&world->peers[p].path.flow, &path->flow))
            continue;
        unsigned count = native_peer_open(&world->peers[p], bytes, length, replies, MESSAGE_OPERATIONS_MAX);
        MUST(count > 0);
        for (unsigned i = 0; i < count; i++)
            MUST(replies[i].opcode == OPCODE_GET || replies[i].status != STATUS_OK ||
                 replies[i].version <= durable);
    }
}

/* Replies that have waited. */
static void check_outbox(struct world *world)
{
    for (unsigned i = 0; i < world->node.sent; i++) {
        const struct native_sent *sent = &world->node.outbox[i];
        MUST(sent->length > DATAGRAM_HEADER_BYTES && sent->length <= DATAGRAM_BYTES_MAX);
        if (sent->bytes[1] == DATAGRAM_DATA || sent->bytes[1] == DATAGRAM_SEALED)
            check_reply(world, &sent->path, sent->bytes, sent->length);
    }
    world->node.sent = 0;
}

static void check_answer(struct world *world, const struct burst *burst, unsigned i)
{
    const struct udp_datagram *datagram = &burst->datagrams[i];
    MUST(datagram->length <= datagram->room && datagram->length <= DATAGRAM_BYTES_MAX);
    if (!burst->proven[i]) {
        uint8_t kind = burst->kind[i];
        MUST(datagram->length <= burst->sent[i]);
        MUST(datagram->length == 0 || kind == DATAGRAM_INIT || kind == DATAGRAM_CONFIRM ||
             kind == DATAGRAM_PLAIN || kind == DATAGRAM_ECHO);
        return;
    }
    check_reply(world, &datagram->path, datagram->payload, datagram->length);
}

static void check_shares(const struct world *world)
{
    const struct session_table *sessions = &world->node.service->sessions;
    MUST(sessions->live <= sessions->live_max && sessions->unconfirmed <= sessions->unconfirmed_max);
}

static void send_burst(struct world *world, struct burst *burst)
{
    uint64_t lsn = native_lsn(&world->shared);
    if (burst->count > 0)
        world->node.face.burst(world->node.face.state, burst->datagrams, burst->count, world->shared.now);
    MUST(burst->table_may_change || native_lsn(&world->shared) == lsn);
    for (unsigned i = 0; i < burst->count; i++) {
        check_answer(world, burst, i);
        free(burst->datagrams[i].payload);
    }
    check_shares(world);
    native_discard_log(&world->node);
    burst->count = 0;
    burst->table_may_change = false;
}

static void add(struct world *world, struct burst *burst, struct fuzz_input *input, const uint8_t *bytes,
                size_t length, const struct return_path *path, bool proven)
{
    static const uint16_t spare[4] = {0, 1, 40, NATIVE_ROOM};
    if (burst->count == NATIVE_BURST_MAX)
        send_burst(world, burst);
    unsigned i = burst->count++;
    uint16_t room = (uint16_t)(length + spare[fuzz_u8(input) & 3]);
    uint8_t *payload = malloc(room > 0 ? room : 1);
    MUST(payload != NULL);
    memcpy(payload, bytes, length);
    burst->datagrams[i] =
        (struct udp_datagram){.payload = payload, .length = (uint16_t)length, .room = room, .path = *path};
    burst->sent[i] = (uint16_t)length;
    burst->kind[i] = length > 1 ? bytes[1] : 0;
    burst->proven[i] = proven;
    burst->table_may_change |= proven || burst->kind[i] == DATAGRAM_PLAIN;
}

/* ---- steps ---- */

static size_t take_bytes(struct fuzz_input *input, uint8_t *out, size_t most)
{
    size_t length = fuzz_u16(input) % (most + 1);
    for (size_t i = 0; i < length; i++)
        out[i] = fuzz_u8(input);
    return length;
}

/* Perhaps. True if the datagram is another one then. */
static bool damage(struct fuzz_input *input, uint8_t bytes[NATIVE_ROOM], size_t *length, size_t most)
{
    uint8_t before[NATIVE_ROOM];
    size_t length_before = *length;
    memcpy(before, bytes, length_before);
    for (unsigned left = fuzz_u8(input) & 3; left > 0; left--) {
        uint8_t flip = fuzz_u8(input);
        bytes[fuzz_u16(input) % length_before] ^= flip;
    }
    if ((fuzz_u8(input) & 15) == 15)
        *length = fuzz_u16(input) % (most + 1);
    return *length != length_before || memcmp(before, bytes, length_before) != 0;
}

static size_t take_operations(struct fuzz_input *input, struct native_peer *peer, uint8_t *out)
{
    static const uint8_t keys[] = "abcdefghijklmnopqrstuvwxyz", values[VALUE_BYTES_MAX] = "12";
    struct message_writer writer;
    struct message_header header = {.version = fuzz_u8(input) < 250 ? 1 : 2, .history = fuzz_u8(input)};
    message_begin(&writer, out, MESSAGE_BYTES_MAX);
    unsigned count = 1 + (fuzz_u8(input) & 15);
    for (unsigned i = 0; i < count; i++) {
        uint8_t shape = fuzz_u8(input);
        struct operation operation = {.opcode = fuzz_u8(input) % 10,
                                      .flags = fuzz_u8(input),
                                      .key = keys,
                                      .key_length = shape % 27,
                                      .value = values,
                                      .value_length = shape & 128 ? fuzz_u16(input) % 1025 : shape % 17,
                                      .request_id = peer->request_id + fuzz_u8(input) - 3u,
                                      .ttl_ms = fuzz_u8(input) * 10u,
                                      .version = native_lsn(peer->node->shared) + fuzz_u8(input) - 100u};
        if (operation.opcode == OPCODE_INCR)
            operation.value_length = INCR_OPERAND_BYTES;
        if (message_add_operation(&writer, &operation) != 0)
            break;
        peer->request_id++;
    }
    header.count = writer.count;
    return message_finish(&writer, &header);
}

static void step_session(struct world *world, struct burst *burst, struct fuzz_input *input, bool any_message)
{
    uint8_t bytes[NATIVE_ROOM] = {0};
    struct native_peer *peer = &world->peers[fuzz_u8(input) % STRANGER];
    size_t length = any_message ? take_bytes(input, bytes + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX)
                                : take_operations(input, peer, bytes + DATAGRAM_HEADER_BYTES);
    bool close = fuzz_u8(input) == 255;
    length = datagram_seal(&peer->session.send, close ? DATAGRAM_CLOSE : 0, peer->session.version,
                           peer->session.session, peer->counter++, bytes, close ? 0 : length);
    bool damaged = damage(input, bytes, &length, 1500);
    add(world, burst, input, bytes, length, &peer->path, !damaged);
    if ((fuzz_u8(input) & 7) == 7) /* again, from the same or another place: proves nothing new */
        add(world, burst, input, bytes, length, &world->peers[fuzz_u8(input) % PEERS].path, false);
}

static void step_init(struct world *world, struct burst *burst, struct fuzz_input *input)
{
    uint8_t bytes[NATIVE_ROOM] = {0};
    const struct native_peer *stranger = &world->peers[STRANGER];
    size_t length = HANDSHAKE_INIT_BYTES;
    struct return_path path = stranger->path;
    memcpy(bytes, stranger->handshake.init, length);
    damage(input, bytes, &length, 200);
    if (fuzz_u8(input) & 1) /* a holder of the secret may say anything */
        crypto_shorthash_siphashx24(bytes + 64, bytes, 64, stranger->keys.mac1[1 + (fuzz_u8(input) & 1)]);
    path.flow.peer.bytes[14] ^= fuzz_u8(input);
    add(world, burst, input, bytes, length, &path, false);
}

static void step_confirm(struct world *world, struct burst *burst, struct fuzz_input *input)
{
    uint8_t bytes[NATIVE_ROOM] = {0};
    const struct native_peer *peer = &world->peers[fuzz_u8(input) % STRANGER];
    size_t length = HANDSHAKE_CONFIRM_BYTES;
    memcpy(bytes, peer->confirm, length);
    damage(input, bytes, &length, 100);
    add(world, burst, input, bytes, length, &peer->path, false);
}

static void step_plain(struct world *world, struct burst *burst, struct fuzz_input *input)
{
    uint8_t bytes[NATIVE_ROOM] = {0};
    struct native_peer *stranger = &world->peers[STRANGER];
    size_t length = fuzz_u8(input) & 1 ? take_bytes(input, bytes + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX)
                                       : take_operations(input, stranger, bytes + DATAGRAM_HEADER_BYTES);
    length = datagram_plain(bytes, 1, 2, length);
    size_t padding = fuzz_u8(input) & 63;
    if (length + padding <= DATAGRAM_BYTES_MAX) {
        memset(bytes + length, 0, padding);
        length += padding;
    }
    if ((fuzz_u8(input) & 7) == 0)
        bytes[1] = DATAGRAM_ECHO;
    add(world, burst, input, bytes, length, &stranger->path, false);
}

static void step_time(struct world *world, struct burst *burst, struct fuzz_input *input)
{
    static const uint64_t steps_ns[4] = {1000000, 300000000, SESSION_PENDING_NS + 1, SESSION_IDLE_NS + 1};
    send_burst(world, burst);
    unsigned what = fuzz_u8(input);
    native_pass_time(&world->shared, steps_ns[what & 3]);
    if (what & 4)
        set_state(world, fuzz_u8(input) % 3, fuzz_u8(input) % 6);
    world->node.refuse_to_send = what & 8;
    if (what & 16) {
        uint64_t lsn = native_lsn(&world->shared) - fuzz_u8(input) % 16;
        if (lsn > atomic_load(&world->shared.durable.lsn))
            durable_point_set(&world->shared.durable, lsn, what & 32);
    }
    native_turn(&world->node);
    check_outbox(world);
    check_shares(world);
}

static void step_bytes(struct world *world, struct burst *burst, struct fuzz_input *input)
{
    uint8_t bytes[NATIVE_ROOM] = {0};
    size_t length = take_bytes(input, bytes, 1500);
    add(world, burst, input, bytes, length, &world->peers[fuzz_u8(input) % PEERS].path, false);
}

static void step(struct world *world, struct burst *burst, struct fuzz_input *input)
{
    uint8_t what = fuzz_u8(input);
    switch (what & 7) {
    case 0:
        step_bytes(world, burst, input);
        break;
    case 1:
        step_init(world, burst, input);
        break;
    case 2:
        step_confirm(world, burst, input);
        break;
    case 3:
        step_session(world, burst, input, true);
        break;
    case 4:
    case 5:
        step_session(world, burst, input, false);
        break;
    case 6:
        step_plain(world, burst, input);
        break;
    default:
        step_time(world, burst, input);
    }
    if (what & 128)
        send_burst(world, burst);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (worlds[0].node.service == NULL)
        for (unsigned i = 0; i < WORLDS; i++)
            make_world(&worlds[i], i);
    struct fuzz_input input = {.at = data, .end = data + size};
    struct world *world = &worlds[fuzz_u8(&input) % WORLDS];
    static struct burst burst;
    restore(world);
    native_durable(&world->shared, native_lsn(&world->shared));
    set_state(world, MODE_PRIMARY, STATE_SERVING);
    for (unsigned i = 0; i < STEPS_MAX && fuzz_left(&input) > 0; i++)
        step(world, &burst, &input);
    send_burst(world, &burst);
    /* No job may be under way when the next program begins. */
    world->node.refuse_to_send = true;
    while (handshake_lane_in_flight(handshake_helper_lane(world->shared.helper, 0)) > 0)
        native_turn(&world->node);
    world->node.refuse_to_send = false;
    native_durable(&world->shared, native_lsn(&world->shared));
    for (unsigned turns = 0; native_udp_parked(world->node.service) > 0; turns++) {
        MUST(turns < 1000);
        native_turn(&world->node);
        check_outbox(world);
    }
    return 0;
}
