/*
 * test_native_bursts.c - how datagrams gather into bursts, and which way a message takes through the service,
 * changes no answer: two nodes with the same secrets, clock and randomness get the same datagrams, one node
 * each by itself and every lone GET with a flag that sends it the general way, the other in bursts. Every
 * reply is the same to the byte, tag included, and so are the counters. Repeats get silence, and who has no
 * session gets no more bytes than it sent. WILD_SEED=S
 */
#include <sodium.h>
#include <stdio.h>

#include "native_peer.h"
#include "suite.h"

enum { PEERS = 4, BURST_MAX = 64, ROUNDS = 1500, KEYS = 24, OPERATION_AT = MESSAGE_HEADER_BYTES };
enum { FLAGS_AT = OPERATION_AT + 1 }; /* of a message's first operation, see message.h */

struct side {
    struct native_shared shared;
    struct native_node node;
    struct native_peer peers[PEERS], stranger;
    uint8_t *bytes[BURST_MAX]; /* blocks of exactly the room they offer */
    struct udp_datagram datagrams[BURST_MAX];
};

enum { APART, TOGETHER, SIDES };

struct play {
    uint64_t seed, random;
    struct side side[SIDES];
    uint16_t most[BURST_MAX]; /* bytes that an answer may have */
    unsigned count;
    bool closed[PEERS];
};

static uint64_t below(struct play *play, uint64_t bound)
{
    return seeded_below(&play->random, bound);
}

/* ---- the two nodes ---- */

static void connect_peers(struct play *play, bool all)
{
    static const unsigned suites[PEERS] = {SUITE_MAC, SUITE_CHACHA20_POLY1305, SUITE_MAC, SUITE_MAC};
    for (unsigned p = 0; p < PEERS; p++) {
        if (!all && !play->closed[p])
            continue;
        for (unsigned s = 0; s < SIDES; s++)
            CU_ASSERT_FATAL(native_peer_connect(&play->side[s].peers[p], suites[p]));
        CU_ASSERT_EQUAL_FATAL(memcmp(&play->side[APART].peers[p].session,
                                     &play->side[TOGETHER].peers[p].session, sizeof(struct session_keys)),
                              0);
        play->closed[p] = false;
    }
}

static void start(struct play *play, bool bench_mode)
{
    for (unsigned s = 0; s < SIDES; s++) {
        struct side *side = &play->side[s];
        native_start(&side->shared, &side->node,
                     &(struct native_options){
                         .seed = play->seed, .sessions_max = 32, .bench_mode = bench_mode, .capacity = 200});
        for (unsigned p = 0; p < PEERS; p++)
            native_peer_init(&side->peers[p], &side->node, NATIVE_PEER_SECRET, p, 1000);
        native_peer_init(&side->stranger, &side->node, NATIVE_PEER_SECRET, PEERS, 1000);
    }
    connect_peers(play, true);
}

static void set_state(struct play *play)
{
    static const uint8_t states[] = {STATE_SERVING, STATE_SERVING,   STATE_SERVING,   STATE_SERVING,
                                     STATE_FENCED,  STATE_READ_ONLY, STATE_RECOVERING};
    struct state_view view = {.history = NATIVE_PEER_HISTORY,
                              .epoch = (uint32_t)below(play, 9),
                              .mode = below(play, 8) == 0 ? MODE_REPLICA : MODE_PRIMARY,
                              .state = states[below(play, sizeof(states))]};
    for (unsigned s = 0; s < SIDES; s++)
        published_state_set(&play->side[s].shared.published, &view);
}

/* ---- datagrams ---- */

static unsigned make_key(unsigned number, uint8_t out[KEY_BYTES_MAX])
{
    static const uint8_t lengths[] = {8, 8, 8, 16, 1, 7, 9, 15, 17, 31, 32, 39, 40, 41, 56, 96, 97, 250};
    unsigned length = lengths[number % sizeof(lengths)];
    for (unsigned i = 0; i < length; i++)
        out[i] = (uint8_t)(number + i);
    return length;
}

static struct operation any_operation(struct play *play, struct native_peer *peer, uint8_t opcode,
                                      uint8_t key[KEY_BYTES_MAX], uint8_t value[VALUE_BYTES_MAX])
{
    struct operation operation = {.opcode = opcode, .key = key, .value = value};
    operation.key_length = (uint8_t)make_key((unsigned)below(play, below(play, 3) == 0 ? KEYS : 4), key);
    operation.request_id = ++peer->request_id - (below(play, 20) == 0);
    if (below(play, 8) == 0)
        operation.ttl_ms = 1 + below(play, 3);
    if (opcode == OPCODE_SET || opcode == OPCODE_ECHO) {
        uint64_t most = below(play, 3) == 0 ? VALUE_BYTES_MAX : 48;
        operation.value_length = (uint16_t)below(play, most + 1);
        memset(value, (int)below(play, 256), operation.value_length);
        if (opcode == OPCODE_SET && below(play, 6) == 0)
            operation.flags = (uint8_t)(1u << below(play, 3));
    } else if (opcode == OPCODE_INCR) {
        incr_operand_encode(value, 1, 0);
        operation.value_length = INCR_OPERAND_BYTES;
    } else if (opcode == OPCODE_GET && below(play, 8) == 0) {
        operation.flags = FLAG_MIN_LSN;
        operation.version = native_lsn(&play->side[APART].shared) + below(play, 6) - 3;
    }
    if (opcode == OPCODE_FLUSH || opcode == OPCODE_HEALTH || opcode == OPCODE_ECHO)
        operation.key_length = 0;
    return operation;
}

/* A message; *lone: it is one GET without flags. */
static size_t make_message(struct play *play, struct native_peer *peer, uint8_t *out, bool *lone)
{
    static const uint8_t opcodes[] = {OPCODE_GET,  OPCODE_GET,    OPCODE_GET,   OPCODE_SET,
                                      OPCODE_SET,  OPCODE_SET,    OPCODE_TOUCH, OPCODE_INCR,
                                      OPCODE_ECHO, OPCODE_HEALTH, OPCODE_DELETE};
    static uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
    struct message_writer writer;
    struct message_header header = {.version = peer->session.version, .history = below(play, 2)};
    unsigned count = below(play, 5) == 0 ? 1 + (unsigned)below(play, 12) : 1;
    *lone = false;
    message_begin(&writer, out, MESSAGE_BYTES_MAX);
    for (unsigned i = 0; i < count; i++) {
        uint8_t opcode = below(play, 2) ? OPCODE_GET : opcodes[below(play, sizeof(opcodes))];
        if (below(play, 2000) == 0)
            opcode = OPCODE_FLUSH;
        struct operation operation = any_operation(play, peer, opcode, key, value);
        *lone = count == 1 && opcode == OPCODE_GET && operation.flags == 0;
        if (message_add_operation(&writer, &operation) != 0)
            break;
    }
    header.count = writer.count;
    size_t length = message_finish(&writer, &header);
    if (below(play, 12) == 0) { /* any field wrong */
        out[below(play, length < 60 ? length : 60)] ^= (uint8_t)(1u << below(play, 8));
        *lone = false;
    }
    if (below(play, 20) == 0) { /* padding, which only bench mode allows */
        size_t padding = 1 + below(play, 9);
        memset(out + length, 0, padding);
        length += length + padding <= MESSAGE_BYTES_MAX ? padding : 0;
    }
    return length;
}

static void add(struct play *play, const uint8_t *bytes, const uint8_t *apart_bytes, size_t length,
                const struct return_path *path, uint16_t most)
{
    static const uint16_t spare[] = {0, 1, 7, 40, 900, NATIVE_ROOM - DATAGRAM_BYTES_MAX};
    uint16_t room = (uint16_t)(length + spare[below(play, sizeof(spare) / sizeof(spare[0]))]);
    for (unsigned s = 0; s < SIDES; s++) {
        struct side *side = &play->side[s];
        side->bytes[play->count] = malloc(room);
        CU_ASSERT_PTR_NOT_NULL_FATAL(side->bytes[play->count]);
        memset(side->bytes[play->count], 0xA5, room);
        memcpy(side->bytes[play->count], s == APART ? apart_bytes : bytes, length);
        side->datagrams[play->count] = (struct udp_datagram){
            .payload = side->bytes[play->count], .length = (uint16_t)length, .room = room, .path = *path};
    }
    play->most[play->count++] = most;
}

static void add_session_datagram(struct play *play)
{
    static uint8_t bytes[SIDES][NATIVE_ROOM];
    unsigned p = (unsigned)below(play, PEERS);
    struct native_peer *peer = &play->side[TOGETHER].peers[p];
    bool lone = false, close = below(play, 150) == 0;
    size_t message = close ? 0 : make_message(play, peer, bytes[TOGETHER] + DATAGRAM_HEADER_BYTES, &lone),
           length = 0;
    memcpy(bytes[APART], bytes[TOGETHER], NATIVE_ROOM);
    if (lone)
        bytes[APART][DATAGRAM_HEADER_BYTES + FLAGS_AT] |= FLAG_READ_MEMORY;
    play->closed[p] |= close;
    for (unsigned s = 0; s < SIDES; s++)
        length = datagram_seal(&peer->session.send, close ? DATAGRAM_CLOSE : 0, peer->session.version,
                               peer->session.session, peer->counter, bytes[s], message);
    peer->counter += below(play, 40) == 0 ? 1 + below(play, 1100) : 1;
    if (below(play, 25) == 0) {
        size_t at = below(play, length);
        for (unsigned s = 0; s < SIDES; s++)
            bytes[s][at] ^= 0x10;
    }
    const struct return_path *path = &play->side[TOGETHER].peers[below(play, 30) == 0 ? 0 : p].path;
    add(play, bytes[TOGETHER], bytes[APART], length, path, close ? 0 : DATAGRAM_BYTES_MAX);
    while (play->count < BURST_MAX && below(play, 12) == 0) /* the network says it twice */
        add(play, bytes[TOGETHER], bytes[APART], length, path, 0);
}

static void add_plain(struct play *play)
{
    static uint8_t bytes[SIDES][NATIVE_ROOM];
    struct native_peer *stranger = &play->side[TOGETHER].stranger;
    bool lone;
    stranger->session.version = PROTOCOL_VERSION_MAX;
    memset(bytes[TOGETHER], 0, NATIVE_ROOM);
    size_t length = make_message(play, stranger, bytes[TOGETHER] + DATAGRAM_HEADER_BYTES, &lone);
    length = datagram_plain(bytes[TOGETHER], (uint32_t)below(play, 9), below(play, 9), length);
    size_t padding = below(play, 2) ? below(play, 100) : 0;
    if (length + padding <= DATAGRAM_BYTES_MAX) {
        length += padding;
        if (padding > 0 && below(play, 10) == 0)
            bytes[TOGETHER][length - 1 - below(play, padding)] = 1;
    }
    memcpy(bytes[APART], bytes[TOGETHER], NATIVE_ROOM);
    if (lone)
        bytes[APART][DATAGRAM_HEADER_BYTES + FLAGS_AT] |= FLAG_READ_MEMORY;
    add(play, bytes[TOGETHER], bytes[APART], length, &stranger->path, (uint16_t)length);
}

/* A CONFIRM said again, or an INIT. Not behind a CLOSE: a burst answers handshakes before it closes. */
static void add_handshake(struct play *play)
{
    for (unsigned p = 0; p < PEERS; p++)
        if (play->closed[p])
            return;
    struct side *side = &play->side[TOGETHER];
    unsigned p = (unsigned)below(play, PEERS);
    if (below(play, 2)) {
        add(play, side->peers[p].confirm, side->peers[p].confirm, HANDSHAKE_CONFIRM_BYTES,
            &side->peers[p].path, HANDSHAKE_CONFIRM_BYTES);
        return;
    }
    native_peer_begin(&side->stranger, SUITE_ALL);
    add(play, side->stranger.handshake.init, side->stranger.handshake.init, HANDSHAKE_INIT_BYTES,
        &side->stranger.path, HANDSHAKE_INIT_BYTES);
    handshake_end(&side->stranger.handshake);
}

/* ---- both ways ---- */

static void compare_counters(const struct play *play)
{
    /* What is wrong with more than one thing may be dropped for any of them. */
    const struct native_node *apart = &play->side[APART].node, *together = &play->side[TOGETHER].node;
    CU_ASSERT_EQUAL_FATAL(native_drops(apart), native_drops(together));
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        if (i < COUNTER_native_drop_length || i > COUNTER_native_drop_message)
            CU_ASSERT_EQUAL_FATAL(counter_get(&apart->counters, (enum counter)i),
                                  counter_get(&together->counters, (enum counter)i));
}

static unsigned send_all(struct play *play)
{
    struct side *apart = &play->side[APART], *together = &play->side[TOGETHER];
    unsigned answered = 0;
    for (unsigned i = 0; i < play->count; i++)
        apart->node.face.burst(apart->node.face.state, &apart->datagrams[i], 1, apart->shared.now);
    together->node.face.burst(together->node.face.state, together->datagrams, play->count,
                              together->shared.now);
    for (unsigned i = 0; i < play->count; i++) {
        size_t length = together->datagrams[i].length;
        CU_ASSERT_EQUAL_FATAL(apart->datagrams[i].length, length);
        CU_ASSERT_EQUAL_FATAL(memcmp(apart->bytes[i], together->bytes[i], length), 0);
        CU_ASSERT_FATAL(length <= play->most[i]);
        answered += length > 0;
        for (unsigned s = 0; s < SIDES; s++)
            free(play->side[s].bytes[i]);
    }
    CU_ASSERT_EQUAL_FATAL(native_lsn(&apart->shared), native_lsn(&together->shared));
    play->count = 0;
    compare_counters(play);
    return answered;
}

static void play_round(struct play *play, bool bench_mode, uint64_t *answered)
{
    unsigned count = 1 + (unsigned)below(play, BURST_MAX);
    set_state(play);
    while (play->count < count)
        if (bench_mode && below(play, 3) == 0)
            add_plain(play);
        else if (below(play, 60) == 0)
            add_handshake(play);
        else
            add_session_datagram(play);
    *answered += send_all(play);
    for (unsigned s = 0; s < SIDES; s++) {
        struct side *side = &play->side[s];
        native_pass_time(&side->shared, 1000000);
        side->node.sent = 0;
        native_turn(&side->node);
    }
    connect_peers(play, false);
}

static void play_all(bool bench_mode)
{
    static struct play play;
    uint64_t answered = 0;
    memset(&play, 0, sizeof(play));
    play.seed = seeded_from_environment(1) + bench_mode;
    play.random = seeded_start(play.seed);
    printf("WILD_SEED=%llu ", (unsigned long long)play.seed - bench_mode);
    fflush(stdout);
    start(&play, bench_mode);
    for (unsigned round = 0; round < ROUNDS; round++)
        play_round(&play, bench_mode, &answered);
    CU_ASSERT(answered > ROUNDS * 20); /* it did not only compare silence */
    for (unsigned s = 0; s < SIDES; s++)
        native_stop(&play.side[s].shared, &play.side[s].node, 1);
}

static void test_bursts_answer_as_their_datagrams_do_apart(void)
{
    play_all(false);
}

static void test_so_do_those_of_bench_mode(void)
{
    play_all(true);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"bursts answer as their datagrams do apart", test_bursts_answer_as_their_datagrams_do_apart},
        {"so do those of bench mode", test_so_do_those_of_bench_mode},
        CU_TEST_INFO_NULL,
    };
    return suite_run("native bursts", tests);
}
