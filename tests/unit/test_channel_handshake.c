/*
 * test_channel_handshake.c - how a channel opens: who has not our key gets nothing, and nobody changes a handshake unseen.
 */
#include "channel_two.h"
#include "handshake_internal.h"

/* ---- secrets ---- */

static void either_of_two_secrets_opens_and_the_client_tries_both(void)
{
    static const struct {
        const struct role_keys *server[2], *client[2];
        unsigned attempts; /* 0: never */
        unsigned server_key, client_key;
    } rows[] = {
        {{&keys_a, NULL}, {&keys_a, NULL}, 1, 0, 0},    {{&keys_a, &keys_b}, {&keys_a, NULL}, 1, 0, 0},
        {{&keys_b, &keys_a}, {&keys_a, NULL}, 1, 1, 0}, {{&keys_a, NULL}, {&keys_b, &keys_a}, 2, 0, 1},
        {{&keys_a, NULL}, {&keys_a, &keys_b}, 1, 0, 0}, {{&keys_c, &keys_b}, {&keys_a, &keys_b}, 2, 1, 1},
        {{&keys_a, NULL}, {&keys_b, NULL}, 0, 0, 0},    {{&keys_a, &keys_b}, {&keys_c, NULL}, 0, 0, 0},
        {{&keys_a, NULL}, {&keys_b, &keys_c}, 0, 0, 0},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct two t = two_new((const struct role_keys **)(uintptr_t)rows[r].server,
                               (const struct role_keys **)(uintptr_t)rows[r].client);
        for (unsigned attempt = 1; attempt <= 5; attempt++) {
            two_meet(&t, WIDE);
            link_pair_run(t.pair);
            bool opens =
                rows[r].attempts != 0 && attempt >= rows[r].attempts; /* and keeps to what was good */
            CU_ASSERT_EQUAL(t.client->channel.state, opens ? CHANNEL_OPEN : CHANNEL_ENDED);
            CU_ASSERT_EQUAL(t.client->channel.shaken, opens);
            CU_ASSERT_EQUAL(t.client->channel.end == CHANNEL_LIVES, opens);
            if (opens) {
                CU_ASSERT_EQUAL(t.server->channel.key_index, rows[r].server_key);
                CU_ASSERT_EQUAL(t.client->channel.key_index, rows[r].client_key);
                channel_close(&t.client->channel);
                link_pair_run(t.pair);
                CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
            } else {
                CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
                CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
                CU_ASSERT_EQUAL(t.pair->end[0].committed, 0);
                CU_ASSERT_EQUAL(t.server->asked, 0);
            }
            CU_ASSERT_EQUAL(t.client->gone, 1);
            CU_ASSERT_EQUAL(t.server->gone, 1);
        }
        two_free(&t);
    }
}

static void a_client_follows_when_the_secret_is_changed(void)
{
    const struct role_keys *server_keys[2] = {&keys_a, NULL}, *client_keys[2] = {&keys_a, &keys_b};
    struct two t = two_new(server_keys, client_keys);
    for (unsigned round = 0; round < 6; round++) {
        bool changed = round == 2 || round == 4; /* once it has been open */
        t.server->config.keys[0] = round < 2 || round >= 4 ? &keys_a : &keys_b;
        two_meet(&t, WIDE);
        link_pair_run(t.pair);
        CU_ASSERT_EQUAL(t.client->channel.state, changed ? CHANNEL_ENDED : CHANNEL_OPEN);
        CU_ASSERT_EQUAL(t.server->channel.state, changed ? CHANNEL_ENDED : CHANNEL_OPEN);
        channel_abort(&t.client->channel);
        link_pair_run(t.pair);
    }
    two_free(&t);
}

/* A server alone, to which the test speaks for the client. */
static struct two server_alone(void)
{
    const struct role_keys *both[2] = {&keys_a, &keys_b};
    struct two t = two_new(both, both);
    t.pair = link_pair_new(WIDE);
    side_start(t.server, t.pair, t.client);
    return t;
}

static void garbage_gets_no_answer_and_is_aborted(void)
{
    uint64_t random = seeded_start(seeded_from_environment(21));
    for (unsigned i = 0; i < 400; i++) {
        struct two t = server_alone();
        uint8_t bytes[300];
        seeded_fill(&random, bytes, sizeof bytes);
        if (i % 4 == 1)
            bytes[0] = DATAGRAM_MAGIC;
        if (i % 4 >= 2)
            bytes[0] = DATAGRAM_MAGIC, bytes[1] = DATAGRAM_INIT;
        if (i % 4 == 3) /* all in order but for the MAC */
            handshake_start(&t.client->channel.client, &keys_c, ROLE_REPLICA, TRANSPORT_TCP, SUITE_ALL,
                            &t.client->random),
                memcpy(bytes, t.client->channel.client.init, HANDSHAKE_INIT_BYTES);
        link_pair_inject(t.pair, 1, bytes, sizeof bytes);
        link_pair_run(t.pair);
        CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
        CU_ASSERT_TRUE(t.pair->end[0].aborted);
        CU_ASSERT_EQUAL(t.pair->end[0].committed, 0);
        CU_ASSERT_EQUAL(t.server->asked + t.server->opened, 0);
        two_free(&t);
    }
}

static void nothing_costs_nothing_and_waits(void)
{
    struct two t = server_alone();
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_SHAKING);
    CU_ASSERT_EQUAL(channel_turn(&t.server->channel), 0);
    link_pair_inject(t.pair, 1, "\xf7", 1);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_SHAKING);
    link_pair_cut(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_CUT));
    two_free(&t);
}

/* An INIT of keys and role; `versions`: what it offers. */
static void init_of(struct two *t, const struct role_keys *keys, enum role role, uint8_t versions)
{
    struct handshake_client *client = &t->client->channel.client;
    CU_ASSERT_EQUAL_FATAL(handshake_start(client, keys, role, TRANSPORT_TCP, SUITE_ALL, &t->client->random),
                          0);
    client->init[INIT_VERSION_MIN] = client->init[INIT_VERSION_MAX] = versions;
    handshake_tag(client->init + INIT_MAC1, keys->mac1[role], client->init, INIT_MAC1);
    link_pair_inject(t->pair, 1, client->init, HANDSHAKE_INIT_BYTES);
    link_pair_run(t->pair);
}

static void only_replicas_are_served(void)
{
    struct two t = server_alone();
    init_of(&t, &keys_a, ROLE_CLIENT, PROTOCOL_VERSION_MAX);
    CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
    CU_ASSERT_EQUAL(t.pair->end[0].committed + t.server->asked, 0);
    two_free(&t);

    t = server_alone(); /* the client key of the second secret */
    init_of(&t, &keys_b, ROLE_CLIENT, PROTOCOL_VERSION_MAX);
    CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
    two_free(&t);

    const struct role_keys *client_keys[2] = {&keys_client, NULL}, *server_keys[2] = {&keys_a, NULL};
    t = two_new(server_keys, client_keys); /* a client's token cannot even begin */
    two_meet(&t, WIDE);
    CU_ASSERT(has_ended(t.client, CHANNEL_BAD_KEY));
    CU_ASSERT_EQUAL(t.pair->end[1].committed, 0);
    two_free(&t);
}

static void who_has_the_key_and_no_common_version_is_not_in_order(void)
{
    struct two t = server_alone();
    init_of(&t, &keys_b, ROLE_REPLICA, PROTOCOL_VERSION_MAX + 1);
    CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
    CU_ASSERT_EQUAL(t.pair->end[0].committed + t.server->asked, 0);
    two_free(&t);
}

static void a_server_that_may_not_compute_aborts(void)
{
    struct two t = two_of_one_secret();
    t.server->refuses = true;
    two_meet(&t, WIDE);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.server->asked, 1);
    CU_ASSERT(has_ended(t.server, CHANNEL_REFUSED));
    CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
    CU_ASSERT_EQUAL(t.pair->end[0].committed, 0);
    two_free(&t);
}

/* ---- handshakes that somebody changes ---- */

static void a_handshake_with_a_changed_byte_never_opens(void)
{
    static const unsigned bytes[] = {INIT_MAC2, HANDSHAKE_RESPONSE_BYTES, HANDSHAKE_CONFIRM_BYTES,
                                     HANDSHAKE_READY_BYTES};
    for (unsigned message = 0; message < 4; message++)
        for (unsigned at = 0; at < bytes[message]; at++) {
            struct two t = shaken_until(message);
            unsigned from = message % 2 == 0, to = !from;
            CU_ASSERT_TRUE(link_pair_corrupt(t.pair, from, at, (uint8_t)(1u << at % 8)));
            link_pair_run(t.pair);
            struct channel_side *taker = to == 0 ? t.server : t.client;
            CU_ASSERT_TRUE(has_ended(taker, message < 2 ? CHANNEL_BAD_KEY : CHANNEL_NOT_IN_ORDER));
            CU_ASSERT_TRUE(t.pair->end[to].aborted);
            CU_ASSERT_EQUAL(taker->opened, 0);
            CU_ASSERT_EQUAL(t.server->opened, message == 3);
            CU_ASSERT_EQUAL(t.client->opened, 0);
            CU_ASSERT(is_clean(&t));
            two_free(&t);
        }
}

static void a_handshake_that_is_cut_anywhere_ends_as_cut(void)
{
    for (unsigned message = 0; message < 4; message++)
        for (unsigned at = 0; at < 32; at += 31) {
            struct two t = shaken_until(message);
            link_pair_move(t.pair, message % 2 == 0, at);
            link_pair_cut(t.pair);
            CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
            CU_ASSERT(has_ended(t.server, CHANNEL_CUT));
            CU_ASSERT_EQUAL(t.client->opened, 0);
            CU_ASSERT_EQUAL(t.server->opened, message == 3);
            two_free(&t);
        }
}

/* What the client says instead of what comes next. */
static void what_is_not_expected_in_a_handshake_ends_it(void)
{
    uint8_t kinds[] = {DATAGRAM_INIT,
                       DATAGRAM_COOKIE,
                       DATAGRAM_RESPONSE,
                       DATAGRAM_CONFIRM,
                       DATAGRAM_READY,
                       DATAGRAM_DATA,
                       RECORD_DATA,
                       RECORD_CLOSE,
                       RECORD_REKEY,
                       RECORD_PLAIN,
                       0,
                       255};
    for (unsigned message = 0; message < 4; message++)
        for (unsigned k = 0; k < sizeof kinds; k++) {
            struct two t = shaken_until(message);
            unsigned from = message % 2 == 0;
            uint8_t bytes[128] = {DATAGRAM_MAGIC, kinds[k], 1, 0};
            t.pair->end[from].length = 0;
            link_pair_inject(t.pair, from, bytes, sizeof bytes);
            link_pair_move(t.pair, from, SIZE_MAX);
            struct channel_side *taker = from ? t.server : t.client;
            CU_ASSERT(has_ended(taker, message < 2 ? CHANNEL_BAD_KEY : CHANNEL_NOT_IN_ORDER));
            CU_ASSERT_EQUAL(taker->opened, 0);
            two_free(&t);
        }
}

/* The client knows the keys as soon as it has the RESPONSE: it may not skip its CONFIRM. */
static void a_record_before_confirm_ends_the_channel(void)
{
    struct two t = shaken_until(2);
    struct direction_key key = t.client->session.send;
    struct record_writer writer = record_writer_start(&key, &record_limits_default);
    struct replication_message hello = {.type = REPLICATION_HELLO, .hello = {.version = REPLICATION_VERSION}};
    uint8_t head[REPLICATION_UPSTREAM_BYTES_MAX], record[sizeof head + RECORD_ROOM_BYTES];
    size_t length = record_seal(&writer, head, replication_encode(head, &hello, NULL), record);
    t.pair->end[1].length = 0;
    link_pair_inject(t.pair, 1, record, length);
    link_pair_run(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
    CU_ASSERT_EQUAL(t.server->opened + t.server->came, 0);
    two_free(&t);
}

static void records_may_follow_confirm_in_the_same_piece(void)
{
    struct two t = shaken_until(2);
    struct direction_key key = t.client->session.send;
    struct record_writer writer = record_writer_start(&key, &record_limits_default);
    side_queue(t.client, 0);
    t.client->begun = 1;
    struct replication_message message = side_message(t.client, 0);
    uint8_t head[REPLICATION_UPSTREAM_BYTES_MAX], record[sizeof head + RECORD_ROOM_BYTES];
    size_t length = record_seal(&writer, head, replication_encode(head, &message, NULL), record);
    link_pair_inject(t.pair, 1, record, length);
    link_pair_move(t.pair, 1, SIZE_MAX);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_OPEN);
    CU_ASSERT_EQUAL(t.server->came, 1);
    CU_ASSERT(is_clean(&t));
    two_free(&t);
}

static void a_client_answers_one_cookie(void)
{
    struct two t = two_of_one_secret();
    struct cookie_secrets secrets = {0};
    const uint8_t source[COOKIE_SOURCE_BYTES] = {1};
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES];
    cookie_secrets_refresh(&secrets, &t.server->random, 1);
    t.pair = link_pair_new(WIDE);
    side_start(t.client, t.pair, t.server);
    handshake_cookie_reply(&keys_a, ROLE_REPLICA, &secrets, source, t.pair->end[1].out, cookie);
    t.pair->end[1].length = 0;
    link_pair_inject(t.pair, 0, cookie, sizeof cookie);
    link_pair_move(t.pair, 0, SIZE_MAX);
    CU_ASSERT_EQUAL(t.pair->end[1].length, HANDSHAKE_INIT_BYTES);
    CU_ASSERT_TRUE(handshake_cookie_valid(&secrets, source, t.pair->end[1].out));
    side_start(t.server, t.pair, t.client);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.client->channel.state, CHANNEL_OPEN);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_OPEN);
    two_free(&t);

    for (unsigned wrong = 0; wrong < 2; wrong++) { /* a second one; one that another secret made */
        t = two_of_one_secret();
        t.pair = link_pair_new(WIDE);
        side_start(t.client, t.pair, t.server);
        handshake_cookie_reply(wrong ? &keys_b : &keys_a, ROLE_REPLICA, &secrets, source, t.pair->end[1].out,
                               cookie);
        for (unsigned i = 0; i < 2 - wrong; i++)
            link_pair_inject(t.pair, 0, cookie, sizeof cookie);
        link_pair_move(t.pair, 0, SIZE_MAX);
        CU_ASSERT(has_ended(t.client, CHANNEL_BAD_KEY));
        two_free(&t);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"either of two secrets opens, and the client tries both",
         either_of_two_secrets_opens_and_the_client_tries_both},
        {"a client follows when the secret is changed", a_client_follows_when_the_secret_is_changed},
        {"garbage gets no answer and is aborted", garbage_gets_no_answer_and_is_aborted},
        {"nothing costs nothing, and waits", nothing_costs_nothing_and_waits},
        {"only replicas are served", only_replicas_are_served},
        {"who has the key and no common version is not in order",
         who_has_the_key_and_no_common_version_is_not_in_order},
        {"a server that may not compute aborts", a_server_that_may_not_compute_aborts},
        {"a handshake with a changed byte never opens", a_handshake_with_a_changed_byte_never_opens},
        {"a handshake that is cut anywhere ends as cut", a_handshake_that_is_cut_anywhere_ends_as_cut},
        {"what is not expected in a handshake ends it", what_is_not_expected_in_a_handshake_ends_it},
        {"a record before CONFIRM ends the channel", a_record_before_confirm_ends_the_channel},
        {"records may follow CONFIRM in the same piece", records_may_follow_confirm_in_the_same_piece},
        {"a client answers one cookie", a_client_answers_one_cookie},
        CU_TEST_INFO_NULL,
    };
    return two_start() ? suite_run("handshakes of channels", tests) : 1;
}
