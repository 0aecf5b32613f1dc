/* test_native_handshake.c - INIT to READY over the service face: load, loss, repetition, exhaustion. */
#include <sodium.h>

#include "native_peer.h"
#include "suite.h"

#define SECOND UINT64_C(1000000000)

enum { PEERS_MAX = 400 };

struct world {
    struct native_shared shared;
    struct native_node node;
    struct native_peer peer;
};

/* Static: peers are large. */
static struct native_peer crowd[PEERS_MAX];

static void start(struct world *world, const struct native_options *options)
{
    native_start(&world->shared, &world->node, options);
    native_peer_init(&world->peer, &world->node, NATIVE_PEER_SECRET, 1, 40000);
}

static void stop(struct world *world)
{
    native_stop(&world->shared, &world->node, 1);
}

static uint64_t count(const struct world *world, enum counter which)
{
    return native_counter(&world->node, which);
}

/* After a change to an INIT: a mac1 that verifies, as a holder of the secret could make. */
static void sign_init(uint8_t *init, const struct role_keys *keys, enum role role)
{
    crypto_shorthash_siphashx24(init + 64, init, 64, keys->mac1[role]);
}

static bool can_write(struct native_peer *peer)
{
    return native_peer_do(peer, native_set("k", "v")).status == STATUS_OK;
}

static void test_a_client_with_the_secret_gets_a_session(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 1});
    CU_ASSERT(native_peer_connect(&w.peer, SUITE_ALL));
    CU_ASSERT(can_write(&w.peer));
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_session_opened), 1);
    CU_ASSERT_EQUAL(native_drops(&w.node), 0);
    stop(&w);
}

static void test_a_wrong_secret_is_met_with_silence(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 2});
    native_peer_init(&w.peer, &w.node, NATIVE_PEER_SECRET2, 1, 40000);
    native_peer_begin(&w.peer, SUITE_ALL);
    CU_ASSERT_EQUAL(native_peer_send_init(&w.peer, bytes), 0);
    native_turn(&w.node);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_refused), 1);
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_two_secrets_are_good_during_a_rotation(void)
{
    struct world w;
    static struct native_peer second;
    start(&w, &(struct native_options){.seed = 3, .second_secret = true});
    native_peer_init(&second, &w.node, NATIVE_PEER_SECRET2, 2, 40000);
    CU_ASSERT(native_peer_connect(&w.peer, SUITE_MAC));
    CU_ASSERT(native_peer_connect(&second, SUITE_MAC));
    CU_ASSERT(can_write(&w.peer));
    CU_ASSERT(can_write(&second));
    stop(&w);
}

static void test_replicas_other_versions_and_suites_are_refused_by_name(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 4, .second_secret = true});
    static const struct {
        unsigned at;
        uint8_t value;
        enum role role;
        enum counter counter;
    } rows[] = {
        {4, ROLE_REPLICA, ROLE_REPLICA, COUNTER_native_init_role},
        {3, 0, ROLE_CLIENT, COUNTER_native_init_refused},             /* range upside down */
        {6, 0, ROLE_CLIENT, COUNTER_native_init_no_suite},            /* offers none */
        {6, 0x80, ROLE_CLIENT, COUNTER_native_init_no_suite},         /* an unknown one */
        {5, TRANSPORT_TCP, ROLE_CLIENT, COUNTER_native_init_refused}, /* meant for TCP */
        {7, 1, ROLE_CLIENT, COUNTER_native_init_refused},             /* reserved */
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t before = count(&w, rows[i].counter);
        native_peer_begin(&w.peer, SUITE_ALL);
        w.peer.handshake.init[rows[i].at] = rows[i].value;
        sign_init(w.peer.handshake.init, &w.peer.keys, rows[i].role);
        CU_ASSERT_EQUAL(native_peer_send_init(&w.peer, bytes), 0);
        CU_ASSERT_EQUAL(count(&w, rows[i].counter), before + 1);
    }
    native_peer_begin(&w.peer, SUITE_ALL);
    w.peer.handshake.init[2] = w.peer.handshake.init[3] = PROTOCOL_VERSION_MAX + 1;
    sign_init(w.peer.handshake.init, &w.peer.keys, ROLE_CLIENT);
    CU_ASSERT_EQUAL(native_peer_send_init(&w.peer, bytes), 0);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_no_version), 1);
    native_turn(&w.node);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_a_repeated_init_has_the_same_response_without_new_mathematics(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM], first[HANDSHAKE_RESPONSE_BYTES];
    start(&w, &(struct native_options){.seed = 5});
    native_peer_begin(&w.peer, SUITE_MAC);
    CU_ASSERT_EQUAL(native_peer_send_init(&w.peer, bytes), 0);
    CU_ASSERT_EQUAL(native_peer_send_init(&w.peer, bytes), 0); /* being computed: one answer is enough */
    native_turn(&w.node);
    CU_ASSERT_EQUAL_FATAL(w.node.sent, 1);
    memcpy(first, w.node.outbox[0].bytes, sizeof(first));
    CU_ASSERT_EQUAL(native_peer_send_init(&w.peer, bytes), HANDSHAKE_RESPONSE_BYTES);
    CU_ASSERT_EQUAL(memcmp(bytes, first, sizeof(first)), 0);
    CU_ASSERT_FATAL(native_peer_take_response(&w.peer, first, sizeof(first)));
    CU_ASSERT(native_peer_confirm(&w.peer));
    /* even when it was delayed until the session lives, which it does not disturb */
    CU_ASSERT(can_write(&w.peer));
    CU_ASSERT_EQUAL(native_peer_send_init(&w.peer, bytes), HANDSHAKE_RESPONSE_BYTES);
    CU_ASSERT_EQUAL(memcmp(bytes, first, sizeof(first)), 0);
    CU_ASSERT(can_write(&w.peer));
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_repeated), 3);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_responses), 1);
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_a_response_that_could_not_be_sent_is_fetched_by_the_next_init(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 6});
    native_peer_begin(&w.peer, SUITE_MAC);
    native_peer_send_init(&w.peer, bytes);
    w.node.refuse_to_send = true;
    native_turn(&w.node);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_response_unsent), 1);
    size_t length = native_peer_send_init(&w.peer, bytes);
    CU_ASSERT_FATAL(native_peer_take_response(&w.peer, bytes, length));
    CU_ASSERT(native_peer_confirm(&w.peer));
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_confirm_may_be_repeated(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 7});
    CU_ASSERT_FATAL(native_peer_connect(&w.peer, SUITE_MAC));
    CU_ASSERT(can_write(&w.peer));
    CU_ASSERT(native_peer_confirm(&w.peer));
    CU_ASSERT(can_write(&w.peer)); /* its windows and counters went on */
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_session_opened), 1);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_ready), 2);
    stop(&w);
}

static void test_data_before_confirm_is_met_with_silence(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 8});
    CU_ASSERT_FATAL(native_peer_respond(&w.peer, SUITE_MAC));
    uint64_t lsn = native_lsn(&w.shared);
    CU_ASSERT_FALSE(can_write(&w.peer));
    native_peer_close(&w.peer);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_drop_unconfirmed), 2);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    CU_ASSERT(native_peer_confirm(&w.peer));
    CU_ASSERT(can_write(&w.peer));
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_a_confirm_that_comes_too_late_is_refused(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 9});
    CU_ASSERT_FATAL(native_peer_respond(&w.peer, SUITE_MAC));
    native_pass_time(&w.shared, SESSION_PENDING_NS + 1);
    CU_ASSERT_FALSE(native_peer_confirm(&w.peer));
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_confirm_expired), 1);
    for (unsigned i = 0; i < 20; i++) {
        native_pass_time(&w.shared, SECOND / 10);
        native_turn(&w.node);
    }
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_pending_expired), 1);
    CU_ASSERT_FALSE(native_peer_confirm(&w.peer));
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_drop_unknown_session), 1);
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_a_low_order_ephemeral_is_refused_and_leaves_nothing(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 10});
    native_peer_begin(&w.peer, SUITE_MAC);
    memset(w.peer.handshake.init + 16, 0, 32);
    sign_init(w.peer.handshake.init, &w.peer.keys, ROLE_CLIENT);
    native_peer_send_init(&w.peer, bytes);
    native_turn(&w.node);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_ephemeral), 1);
    CU_ASSERT(native_peer_connect(&w.peer, SUITE_MAC));
    stop(&w);
}

/* ---- load ---- */

/* `peers` clients, each from a /24 of its own, send an INIT; nobody computes. */
static unsigned flood(struct world *w, unsigned first, unsigned peers, unsigned *cookies)
{
    uint8_t bytes[NATIVE_ROOM];
    unsigned queued = 0;
    *cookies = 0;
    for (unsigned i = 0; i < peers; i++) {
        native_peer_init(&crowd[i], &w->node, NATIVE_PEER_SECRET, (first + i) % 256,
                         (uint16_t)(1000 + (first + i) / 256));
        native_peer_begin(&crowd[i], SUITE_MAC);
        memcpy(bytes, crowd[i].handshake.init, HANDSHAKE_INIT_BYTES);
        size_t length = native_exchange(&w->node, &crowd[i].path, bytes, HANDSHAKE_INIT_BYTES);
        CU_ASSERT(length <= HANDSHAKE_INIT_BYTES);
        queued += length == 0;
        if (length == HANDSHAKE_COOKIE_BYTES) {
            (*cookies)++;
            CU_ASSERT_EQUAL(handshake_take_cookie(&crowd[i].handshake, &crowd[i].keys, bytes, length), 0);
        }
    }
    return queued;
}

static size_t send_init_once(struct native_peer *peer, uint8_t bytes[NATIVE_ROOM])
{
    memcpy(bytes, peer->handshake.init, HANDSHAKE_INIT_BYTES);
    return native_exchange(peer->node, &peer->path, bytes, HANDSHAKE_INIT_BYTES);
}

static void test_a_flood_is_asked_for_cookies_and_a_cookie_opens_the_door(void)
{
    struct world w;
    unsigned cookies;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 11, .sessions_max = 1024});
    CU_ASSERT_EQUAL(flood(&w, 0, 200, &cookies), HANDSHAKE_COOKIE_THRESHOLD + 1);
    CU_ASSERT_EQUAL(cookies, 200 - HANDSHAKE_COOKIE_THRESHOLD - 1);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_cookie), cookies);
    /* The last of them comes back with its cookie, and from another address with the same one. */
    struct native_peer *last = &crowd[199];
    struct return_path elsewhere = native_path(RTE_BE32(0xC6130102), 1000);
    memcpy(bytes, last->handshake.init, HANDSHAKE_INIT_BYTES);
    CU_ASSERT_EQUAL(native_exchange(&w.node, &elsewhere, bytes, HANDSHAKE_INIT_BYTES),
                    HANDSHAKE_COOKIE_BYTES);
    struct return_path other_port = last->path;
    other_port.flow.peer_port ^= RTE_BE16(1);
    memcpy(bytes, last->handshake.init, HANDSHAKE_INIT_BYTES);
    CU_ASSERT_EQUAL(native_exchange(&w.node, &other_port, bytes, HANDSHAKE_INIT_BYTES),
                    HANDSHAKE_COOKIE_BYTES);
    CU_ASSERT_EQUAL(send_init_once(last, bytes), 0);
    for (unsigned i = 0; i < 10; i++)
        native_turn(&w.node);
    const struct native_sent *response = native_peer_response(last);
    CU_ASSERT_PTR_NOT_NULL_FATAL(response);
    CU_ASSERT_FATAL(native_peer_take_response(last, response->bytes, response->length));
    CU_ASSERT(native_peer_confirm(last));
    CU_ASSERT(can_write(last));
    stop(&w);
}

static void test_a_cookie_outlives_one_change_of_the_secret_and_not_two(void)
{
    struct world w;
    unsigned cookies;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 12, .sessions_max = 1024});
    flood(&w, 0, 70, &cookies);
    CU_ASSERT_FATAL(cookies >= 2);
    native_pass_time(&w.shared, COOKIE_SECRET_LIFE_S * SECOND);
    w.node.face.turn(w.node.face.state, w.shared.now);
    CU_ASSERT_EQUAL(send_init_once(&crowd[69], bytes), 0);
    native_pass_time(&w.shared, COOKIE_SECRET_LIFE_S * SECOND);
    w.node.face.turn(w.node.face.state, w.shared.now);
    CU_ASSERT_EQUAL(send_init_once(&crowd[68], bytes), HANDSHAKE_COOKIE_BYTES);
    stop(&w);
}

static void test_many_unconfirmed_sessions_ask_for_cookies_too(void)
{
    struct world w;
    unsigned cookies, queued = 0;
    start(&w, &(struct native_options){.seed = 13, .sessions_max = 256});
    /* The helper keeps up, but nobody confirms: half of the 64 places, and the doors are guarded. */
    for (unsigned i = 0; i < 8; i++) {
        queued += flood(&w, 10 * i, 10, &cookies);
        native_turn(&w.node);
    }
    CU_ASSERT_EQUAL(queued, 33);
    stop(&w);
}

static void test_one_prefix_takes_at_most_half_of_the_lane(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 14, .sessions_max = 4096});
    for (unsigned i = 0; i < 300; i++) {
        native_peer_init(&crowd[i], &w.node, NATIVE_PEER_SECRET, 9, (uint16_t)(1000 + i));
        native_peer_begin(&crowd[i], SUITE_MAC);
        native_peer_send_init(&crowd[i], bytes);
    }
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_prefix_full), 300 - HANDSHAKE_LANE_JOBS / 2);
    native_peer_begin(&w.peer, SUITE_MAC);
    native_peer_send_init(&w.peer, bytes);
    for (unsigned i = 0; i < 10; i++)
        native_turn(&w.node);
    const struct native_sent *response = native_peer_response(&w.peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(response);
    CU_ASSERT(native_peer_take_response(&w.peer, response->bytes, response->length));
    CU_ASSERT(native_peer_confirm(&w.peer));
    handshake_end(&w.peer.handshake);
    stop(&w);
}

static void test_a_full_lane_refuses_and_works_again_when_it_is_empty(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 15, .sessions_max = 4096});
    for (unsigned i = 0; i < 300; i++) {
        native_peer_init(&crowd[i], &w.node, NATIVE_PEER_SECRET, i % 250, (uint16_t)(1000 + i));
        native_peer_begin(&crowd[i], SUITE_MAC);
        native_peer_send_init(&crowd[i], bytes);
    }
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_lane_full), 300 - HANDSHAKE_LANE_JOBS);
    for (unsigned i = 0; i < 10; i++)
        native_turn(&w.node);
    CU_ASSERT(native_peer_connect(&w.peer, SUITE_MAC));
    stop(&w);
}

/* ---- exhaustion ---- */

static void test_when_all_live_places_are_busy_a_newcomer_waits_until_one_is_idle(void)
{
    struct world w;
    enum { LIVE = 12 }; /* of 16 places */
    start(&w, &(struct native_options){.seed = 16});
    for (unsigned i = 0; i < LIVE; i++) {
        native_peer_init(&crowd[i], &w.node, NATIVE_PEER_SECRET, i + 2, 1000);
        CU_ASSERT_FATAL(native_peer_connect(&crowd[i], SUITE_MAC));
    }
    CU_ASSERT_FATAL(native_peer_respond(&w.peer, SUITE_MAC));
    CU_ASSERT_FALSE(native_peer_confirm(&w.peer));
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_confirm_no_place), 1);
    for (unsigned i = 0; i < LIVE; i++)
        CU_ASSERT(can_write(&crowd[i]));
    handshake_end(&w.peer.handshake);

    native_pass_time(&w.shared, SESSION_RECYCLE_IDLE_NS);
    for (unsigned i = 1; i < LIVE; i++)
        CU_ASSERT(can_write(&crowd[i]));
    CU_ASSERT(native_peer_connect(&w.peer, SUITE_MAC));
    CU_ASSERT(can_write(&w.peer));
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_session_recycled), 1);
    CU_ASSERT_FALSE(can_write(&crowd[0])); /* the idle one: its client shakes hands again */
    for (unsigned i = 1; i < LIVE; i++)
        CU_ASSERT(can_write(&crowd[i]));
    stop(&w);
}

static void test_a_thousand_rounds_leave_no_session_behind(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 17});
    for (unsigned i = 0; i < 1000; i++) {
        native_peer_init(&w.peer, &w.node, NATIVE_PEER_SECRET, i % 3, (uint16_t)(1000 + i % 7));
        CU_ASSERT_FATAL(native_peer_connect(&w.peer, i % 2 ? SUITE_MAC : SUITE_CHACHA20_POLY1305));
        CU_ASSERT_FATAL(can_write(&w.peer));
        native_peer_close(&w.peer);
        CU_ASSERT_FALSE(can_write(&w.peer));
    }
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_session_opened), 1000);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_session_closed), 1000);
    /* So all places are free: as many clients as there are live places get in at once. */
    for (unsigned i = 0; i < 12; i++) {
        native_peer_init(&crowd[i], &w.node, NATIVE_PEER_SECRET, i + 2, 1000);
        CU_ASSERT(native_peer_connect(&crowd[i], SUITE_MAC));
    }
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_confirm_no_place), 0);
    stop(&w);
}

/* ---- draining ---- */

static void test_a_draining_node_opens_no_session_and_answers_those_it_has(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 18});
    CU_ASSERT_FATAL(native_peer_connect(&w.peer, SUITE_MAC));
    native_peer_init(&crowd[0], &w.node, NATIVE_PEER_SECRET, 2, 1000); /* not confirmed yet */
    CU_ASSERT_FATAL(native_peer_respond(&crowd[0], SUITE_MAC));
    native_peer_init(&crowd[1], &w.node, NATIVE_PEER_SECRET, 3, 1000); /* being computed */
    native_peer_begin(&crowd[1], SUITE_MAC);
    native_peer_send_init(&crowd[1], bytes);
    native_peer_init(&crowd[2], &w.node, NATIVE_PEER_SECRET, 4, 1000); /* comes later */
    native_peer_begin(&crowd[2], SUITE_MAC);
    w.node.sent = 0;
    published_state_set(&w.shared.published, &(struct state_view){.history = NATIVE_PEER_HISTORY,
                                                                  .epoch = 3,
                                                                  .mode = MODE_STANDALONE,
                                                                  .state = STATE_DRAINING});
    native_turn(&w.node);
    CU_ASSERT_EQUAL(native_peer_send_init(&crowd[2], bytes), 0);
    CU_ASSERT_FALSE(native_peer_confirm(&crowd[0]));
    native_turn(&w.node);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    CU_ASSERT_EQUAL(count(&w, COUNTER_native_init_draining), 2);
    CU_ASSERT(can_write(&w.peer));
    for (unsigned i = 0; i < 3; i++)
        handshake_end(&crowd[i].handshake);
    stop(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a client with the secret gets a session", test_a_client_with_the_secret_gets_a_session},
        {"a wrong secret is met with silence", test_a_wrong_secret_is_met_with_silence},
        {"two secrets are good during a rotation", test_two_secrets_are_good_during_a_rotation},
        {"replicas, other versions and suites are refused by name",
         test_replicas_other_versions_and_suites_are_refused_by_name},
        {"a repeated INIT has the same RESPONSE without new mathematics",
         test_a_repeated_init_has_the_same_response_without_new_mathematics},
        {"a RESPONSE that could not be sent is fetched by the next INIT",
         test_a_response_that_could_not_be_sent_is_fetched_by_the_next_init},
        {"CONFIRM may be repeated", test_confirm_may_be_repeated},
        {"data before CONFIRM is met with silence", test_data_before_confirm_is_met_with_silence},
        {"a CONFIRM that comes too late is refused", test_a_confirm_that_comes_too_late_is_refused},
        {"a low-order ephemeral is refused and leaves nothing",
         test_a_low_order_ephemeral_is_refused_and_leaves_nothing},
        {"a flood is asked for cookies and a cookie opens the door",
         test_a_flood_is_asked_for_cookies_and_a_cookie_opens_the_door},
        {"a cookie outlives one change of the secret and not two",
         test_a_cookie_outlives_one_change_of_the_secret_and_not_two},
        {"many unconfirmed sessions ask for cookies too", test_many_unconfirmed_sessions_ask_for_cookies_too},
        {"one prefix takes at most half of the lane", test_one_prefix_takes_at_most_half_of_the_lane},
        {"a full lane refuses and works again when it is empty",
         test_a_full_lane_refuses_and_works_again_when_it_is_empty},
        {"when all live places are busy a newcomer waits until one is idle",
         test_when_all_live_places_are_busy_a_newcomer_waits_until_one_is_idle},
        {"a thousand rounds leave no session behind", test_a_thousand_rounds_leave_no_session_behind},
        {"a draining node opens no session and answers those it has",
         test_a_draining_node_opens_no_session_and_answers_those_it_has},
        CU_TEST_INFO_NULL,
    };
    return suite_run("native handshake", tests);
}
