/*
 * test_native_hostile.c - datagrams that must be refused: each is answered by silence or by no more bytes
 * than it had, is counted, and leaves table and session as they were.
 */
#include <sodium.h>

#include "native_peer.h"
#include "suite.h"

struct world {
    struct native_shared shared;
    struct native_node nodes[2]; /* two workers of one node */
    struct native_peer peer;
};

static void start(struct world *world, unsigned suites)
{
    native_start(&world->shared, world->nodes, &(struct native_options){.seed = 1, .workers = 2});
    native_peer_init(&world->peer, &world->nodes[0], NATIVE_PEER_SECRET, 1, 40000);
    if (suites != 0)
        CU_ASSERT_FATAL(native_peer_connect(&world->peer, suites));
}

static void stop(struct world *world)
{
    native_stop(&world->shared, world->nodes, 2);
}

/* Silence, one count, and an untouched table. */
static bool refused(struct world *world, struct native_node *node, const struct return_path *path,
                    const uint8_t *bytes, size_t length)
{
    uint8_t copy[NATIVE_ROOM];
    uint64_t lsn = native_lsn(&world->shared), drops = native_drops(node);
    memcpy(copy, bytes, length);
    size_t reply = native_exchange(node, path, copy, length);
    return reply == 0 && native_drops(node) == drops + 1 && native_lsn(&world->shared) == lsn;
}

static bool refused_here(struct world *world, const uint8_t *bytes, size_t length)
{
    return refused(world, &world->nodes[0], &world->peer.path, bytes, length);
}

static size_t make_set(struct native_peer *peer, uint8_t out[NATIVE_ROOM])
{
    struct operation set = native_set("key", "value");
    set.request_id = ++peer->request_id;
    return native_peer_seal(peer, &set, 1, out);
}

static bool accepted(struct world *world, const uint8_t *bytes, size_t length)
{
    uint8_t copy[NATIVE_ROOM];
    struct reply reply;
    memcpy(copy, bytes, length);
    size_t got = native_exchange(&world->nodes[0], &world->peer.path, copy, length);
    return native_peer_open(&world->peer, copy, got, &reply, 1) == 1 && reply.status == STATUS_OK;
}

/* Every single bit, then the datagram as it was: it still counts as new. */
static void flip_every_bit(struct world *world, uint8_t *bytes, size_t length)
{
    for (size_t bit = 0; bit < 8 * length; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_FATAL(refused_here(world, bytes, length));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_flipped_bit_in_data(unsigned suites)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, suites);
    size_t length = make_set(&w.peer, bytes);
    flip_every_bit(&w, bytes, length);
    CU_ASSERT(accepted(&w, bytes, length));
    stop(&w);
}

static void test_a_flipped_bit_in_data_is_refused(void)
{
    a_flipped_bit_in_data(SUITE_MAC);
}

static void test_a_flipped_bit_in_sealed_data_is_refused(void)
{
    a_flipped_bit_in_data(SUITE_AES_256_GCM | SUITE_CHACHA20_POLY1305);
    a_flipped_bit_in_data(SUITE_CHACHA20_POLY1305);
}

static void test_a_flipped_bit_in_init_is_refused_or_asked_for_a_cookie(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, 0);
    native_peer_begin(&w.peer, SUITE_MAC);
    for (size_t bit = 0; bit < 8 * HANDSHAKE_INIT_BYTES; bit++) {
        memcpy(bytes, w.peer.handshake.init, HANDSHAKE_INIT_BYTES);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (bit / 8 < 80) {
            CU_ASSERT(refused_here(&w, bytes, HANDSHAKE_INIT_BYTES));
            continue;
        }
        /* mac2 stands outside mac1: a cookie that is not ours is answered by a good one */
        uint64_t cookies = native_counter(&w.nodes[0], COUNTER_native_init_cookie);
        size_t reply = native_exchange(&w.nodes[0], &w.peer.path, bytes, HANDSHAKE_INIT_BYTES);
        CU_ASSERT_EQUAL(reply, HANDSHAKE_COOKIE_BYTES);
        CU_ASSERT_EQUAL(native_counter(&w.nodes[0], COUNTER_native_init_cookie), cookies + 1);
    }
    native_turn(&w.nodes[0]);
    CU_ASSERT_EQUAL(w.nodes[0].sent, 0);
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_a_flipped_bit_in_confirm_is_refused(void)
{
    struct world w;
    start(&w, 0);
    CU_ASSERT_FATAL(native_peer_respond(&w.peer, SUITE_MAC));
    flip_every_bit(&w, w.peer.confirm, sizeof(w.peer.confirm));
    CU_ASSERT_EQUAL(native_counter(&w.nodes[0], COUNTER_native_session_opened), 0);
    CU_ASSERT(native_peer_confirm(&w.peer));
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_a_flipped_bit_in_close_is_refused(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, SUITE_MAC);
    size_t length = datagram_seal(&w.peer.session.send, DATAGRAM_CLOSE, w.peer.session.version,
                                  w.peer.session.session, w.peer.counter++, bytes, 0);
    flip_every_bit(&w, bytes, length);
    CU_ASSERT_EQUAL(native_counter(&w.nodes[0], COUNTER_native_session_closed), 0);
    native_exchange(&w.nodes[0], &w.peer.path, bytes, length);
    CU_ASSERT_EQUAL(native_counter(&w.nodes[0], COUNTER_native_session_closed), 1);
    stop(&w);
}

static void test_a_replayed_datagram_is_refused(void)
{
    struct world w;
    uint8_t old[NATIVE_ROOM], bytes[NATIVE_ROOM];
    start(&w, SUITE_MAC);
    size_t old_length = make_set(&w.peer, old);
    CU_ASSERT(accepted(&w, old, old_length));
    for (unsigned i = 0; i < REPLAY_WINDOW_COUNTERS + 10; i++) {
        size_t length = make_set(&w.peer, bytes);
        CU_ASSERT_FATAL(accepted(&w, bytes, length));
        CU_ASSERT_FATAL(refused_here(&w, bytes, length));
        CU_ASSERT_FATAL(refused_here(&w, old, old_length));
    }
    CU_ASSERT_EQUAL(native_counter(&w.nodes[0], COUNTER_native_drop_replayed),
                    2 * (REPLAY_WINDOW_COUNTERS + 10));
    stop(&w);
}

static void test_datagrams_may_overtake_each_other_within_the_window(void)
{
    enum { AHEAD = 600 };
    struct world w;
    static uint8_t bytes[AHEAD][256];
    size_t lengths[AHEAD];
    start(&w, SUITE_MAC);
    for (unsigned i = 0; i < AHEAD; i++) {
        uint8_t made[NATIVE_ROOM];
        struct operation get = native_get("absent");
        lengths[i] = native_peer_seal(&w.peer, &get, 1, made);
        memcpy(bytes[i], made, lengths[i]);
    }
    struct native_node *node = &w.nodes[0];
    for (unsigned i = AHEAD; i-- > 0;) {
        uint8_t copy[NATIVE_ROOM];
        memcpy(copy, bytes[i], lengths[i]);
        CU_ASSERT(native_exchange(node, &w.peer.path, copy, lengths[i]) > 0);
        CU_ASSERT(refused_here(&w, bytes[i], lengths[i]));
    }
    stop(&w);
}

static void test_another_source_or_worker_has_no_use_for_a_session(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, SUITE_MAC);
    size_t length = make_set(&w.peer, bytes);
    struct return_path path = w.peer.path;
    path.flow.peer.bytes[15] ^= 1;
    CU_ASSERT(refused(&w, &w.nodes[0], &path, bytes, length));
    path = w.peer.path;
    path.flow.peer_port ^= RTE_BE16(1);
    CU_ASSERT(refused(&w, &w.nodes[0], &path, bytes, length));
    path = w.peer.path;
    path.flow.local.bytes[15] ^= 1;
    CU_ASSERT(refused(&w, &w.nodes[0], &path, bytes, length));
    path = w.peer.path;
    path.flow.local_port ^= RTE_BE16(1);
    CU_ASSERT(refused(&w, &w.nodes[0], &path, bytes, length));
    CU_ASSERT_EQUAL(native_counter(&w.nodes[0], COUNTER_native_drop_wrong_peer), 4);
    CU_ASSERT(refused(&w, &w.nodes[1], &w.peer.path, bytes, length));
    CU_ASSERT_EQUAL(native_counter(&w.nodes[1], COUNTER_native_drop_unknown_session), 1);
    CU_ASSERT(accepted(&w, bytes, length)); /* and the window did not move for any of them */
    stop(&w);
}

static void test_a_confirm_from_elsewhere_opens_nothing(void)
{
    struct world w;
    start(&w, 0);
    CU_ASSERT_FATAL(native_peer_respond(&w.peer, SUITE_MAC));
    struct return_path path = w.peer.path;
    path.flow.peer_port ^= RTE_BE16(1);
    CU_ASSERT(refused(&w, &w.nodes[0], &path, w.peer.confirm, sizeof(w.peer.confirm)));
    CU_ASSERT(refused(&w, &w.nodes[1], &w.peer.path, w.peer.confirm, sizeof(w.peer.confirm)));
    CU_ASSERT(native_peer_confirm(&w.peer));
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_what_the_node_said_is_refused_when_it_comes_back(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, 0);
    CU_ASSERT_FATAL(native_peer_respond(&w.peer, SUITE_MAC));
    const struct native_sent *response = native_peer_response(&w.peer);
    CU_ASSERT(refused_here(&w, response->bytes, response->length));
    memcpy(bytes, w.peer.confirm, sizeof(w.peer.confirm));
    size_t length = native_exchange(&w.nodes[0], &w.peer.path, bytes, sizeof(w.peer.confirm));
    CU_ASSERT(refused_here(&w, bytes, length)); /* READY */
    length = make_set(&w.peer, bytes);
    length = native_exchange(&w.nodes[0], &w.peer.path, bytes, length);
    CU_ASSERT(length > 0);
    CU_ASSERT(refused_here(&w, bytes, length)); /* a reply: the other direction's key */
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_one_sessions_datagram_is_not_anothers(void)
{
    struct world w;
    static struct native_peer other;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, SUITE_MAC);
    native_peer_init(&other, &w.nodes[0], NATIVE_PEER_SECRET, 2, 40000);
    CU_ASSERT_FATAL(native_peer_connect(&other, SUITE_MAC));
    size_t length = make_set(&w.peer, bytes);
    /* with the other's id and from the other's address */
    memcpy(bytes + 4, &other.session.session, sizeof(uint32_t));
    CU_ASSERT(refused(&w, &w.nodes[0], &other.path, bytes, length));
    CU_ASSERT_EQUAL(native_counter(&w.nodes[0], COUNTER_native_drop_tag), 1);
    stop(&w);
}

/* The replica's key signs an INIT that says "client", and the other way round. */
static void test_a_role_cannot_speak_for_another(void)
{
    struct world w;
    start(&w, 0);
    native_peer_begin(&w.peer, SUITE_MAC);
    uint8_t *init = w.peer.handshake.init;
    crypto_shorthash_siphashx24(init + 64, init, 64, w.peer.keys.mac1[ROLE_REPLICA]);
    CU_ASSERT(refused_here(&w, init, HANDSHAKE_INIT_BYTES));
    init[4] = ROLE_REPLICA;
    crypto_shorthash_siphashx24(init + 64, init, 64, w.peer.keys.mac1[ROLE_CLIENT]);
    CU_ASSERT(refused_here(&w, init, HANDSHAKE_INIT_BYTES));
    handshake_end(&w.peer.handshake);
    stop(&w);
}

/* Somebody on the path takes the suites that hide data out of the INIT, or changes what the node chose. */
static void test_a_downgrade_ends_in_no_session(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, 0);
    native_peer_begin(&w.peer, SUITE_CHACHA20_POLY1305);
    memcpy(bytes, w.peer.handshake.init, HANDSHAKE_INIT_BYTES);
    bytes[6] = SUITE_MAC;
    CU_ASSERT(refused_here(&w, bytes, HANDSHAKE_INIT_BYTES));

    native_peer_begin(&w.peer, SUITE_ALL);
    native_peer_send_init(&w.peer, bytes);
    native_turn(&w.nodes[0]);
    const struct native_sent *response = native_peer_response(&w.peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(response);
    memcpy(bytes, response->bytes, HANDSHAKE_RESPONSE_BYTES);
    bytes[3] = SUITE_CHACHA20_POLY1305;
    CU_ASSERT_FALSE(native_peer_take_response(&w.peer, bytes, HANDSHAKE_RESPONSE_BYTES));
    CU_ASSERT(native_peer_take_response(&w.peer, response->bytes, HANDSHAKE_RESPONSE_BYTES));
    /* a session of one suite takes no datagram of another's kind */
    CU_ASSERT(native_peer_confirm(&w.peer));
    size_t length = make_set(&w.peer, bytes);
    bytes[1] = DATAGRAM_SEALED;
    CU_ASSERT(refused_here(&w, bytes, length));
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_every_other_length_is_refused(void)
{
    struct world w;
    uint8_t good[NATIVE_ROOM], bytes[NATIVE_ROOM];
    start(&w, SUITE_MAC);
    size_t length = make_set(&w.peer, good);
    for (size_t cut = 0; cut <= 1500; cut++) {
        if (cut == length)
            continue;
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, good, cut < length ? cut : length);
        CU_ASSERT_FATAL(refused_here(&w, bytes, cut));
    }
    CU_ASSERT(accepted(&w, good, length));

    native_peer_begin(&w.peer, SUITE_MAC);
    for (size_t cut = 0; cut <= 1500; cut++) {
        if (cut == HANDSHAKE_INIT_BYTES)
            continue;
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, w.peer.handshake.init, cut < HANDSHAKE_INIT_BYTES ? cut : HANDSHAKE_INIT_BYTES);
        CU_ASSERT_FATAL(refused_here(&w, bytes, cut));
    }
    handshake_end(&w.peer.handshake);
    stop(&w);
}

/* Any kind, any length, any bytes: a stranger never gets more than it sent, and nothing reaches the table. */
static void test_random_bytes_of_a_stranger_get_nothing_larger(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    uint64_t seed = seeded_from_environment(8), random = seeded_start(seed);
    printf("seed %llu ", (unsigned long long)seed);
    start(&w, 0);
    uint64_t lsn = native_lsn(&w.shared);
    for (unsigned i = 0; i < 200000; i++) {
        size_t length =
            seeded_below(&random, 4) == 0 ? seeded_below(&random, 1500) : 16 * seeded_below(&random, 8);
        seeded_fill(&random, bytes, length < 32 ? length : 32);
        bytes[0] = DATAGRAM_MAGIC;
        bytes[1] = (uint8_t)seeded_below(&random, 14);
        bytes[2] = 1;
        bytes[3] = 0;
        size_t reply = native_exchange(&w.nodes[0], &w.peer.path, bytes, length);
        CU_ASSERT_FATAL(reply <= length);
    }
    CU_ASSERT_EQUAL(native_drops(&w.nodes[0]) + native_counter(&w.nodes[0], COUNTER_native_init_cookie),
                    200000);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    stop(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a flipped bit in DATA is refused", test_a_flipped_bit_in_data_is_refused},
        {"a flipped bit in SEALED is refused", test_a_flipped_bit_in_sealed_data_is_refused},
        {"a flipped bit in INIT is refused or asked for a cookie",
         test_a_flipped_bit_in_init_is_refused_or_asked_for_a_cookie},
        {"a flipped bit in CONFIRM is refused", test_a_flipped_bit_in_confirm_is_refused},
        {"a flipped bit in CLOSE is refused", test_a_flipped_bit_in_close_is_refused},
        {"a replayed datagram is refused", test_a_replayed_datagram_is_refused},
        {"datagrams may overtake each other within the window",
         test_datagrams_may_overtake_each_other_within_the_window},
        {"another source or worker has no use for a session",
         test_another_source_or_worker_has_no_use_for_a_session},
        {"a CONFIRM from elsewhere opens nothing", test_a_confirm_from_elsewhere_opens_nothing},
        {"what the node said is refused when it comes back",
         test_what_the_node_said_is_refused_when_it_comes_back},
        {"one session's datagram is not another's", test_one_sessions_datagram_is_not_anothers},
        {"a role cannot speak for another", test_a_role_cannot_speak_for_another},
        {"a downgrade ends in no session", test_a_downgrade_ends_in_no_session},
        {"every other length is refused", test_every_other_length_is_refused},
        {"random bytes of a stranger get nothing larger", test_random_bytes_of_a_stranger_get_nothing_larger},
        CU_TEST_INFO_NULL,
    };
    return suite_run("hostile datagrams", tests);
}
