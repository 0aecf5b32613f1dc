/* test_handshake.c - two sides that share a role key make a session, and nobody else does. */
#include "handshake_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"

/* Everything of one handshake, so that tests can bend any step of it. */
struct meeting {
    struct role_keys client_keys, server_keys;
    struct handshake_identity identity, learned;
    struct handshake_client client;
    struct cookie_secrets secrets;
    struct session_keys client_session, server_session;
    uint8_t response[HANDSHAKE_RESPONSE_BYTES], confirm[HANDSHAKE_CONFIRM_BYTES],
        ready[HANDSHAKE_READY_BYTES];
    uint64_t client_seed, server_seed;
    struct random_source client_random, server_random;
};

static void derive(struct role_keys *keys, const char *secret)
{
    char error[256];
    CU_ASSERT_EQUAL_FATAL(keys_from_secret(keys, secret, strlen(secret), "wild", error, sizeof error), 0);
}

#define SECRET_A "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECRET_B "wild1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct meeting *meeting_new(enum role role, unsigned suites)
{
    struct meeting *m = aligned_alloc(64, (sizeof *m + 63) / 64 * 64);
    memset(m, 0, sizeof *m);
    derive(&m->client_keys, SECRET_A);
    derive(&m->server_keys, SECRET_A);
    memcpy(m->identity.cluster_id, "0123456789abcdef", CLUSTER_ID_BYTES);
    m->identity.node_id = 0xFEDCBA9876543210;
    m->client_seed = 1;
    m->server_seed = 2;
    m->client_random = seeded_source(&m->client_seed);
    m->server_random = seeded_source(&m->server_seed);
    CU_ASSERT_EQUAL(
        handshake_start(&m->client, &m->client_keys, role, TRANSPORT_UDP, suites, &m->client_random), 0);
    return m;
}

static int server_takes_init(struct meeting *m)
{
    enum role role;
    uint32_t index;
    int outcome = handshake_init_check(&m->server_keys, TRANSPORT_UDP, m->client.init, HANDSHAKE_INIT_BYTES,
                                       &role, &index);
    if (outcome == 0)
        CU_ASSERT_EQUAL(role, m->client.init[4]);
    return outcome;
}

static int server_responds(struct meeting *m)
{
    return handshake_respond(&m->server_keys, &m->identity, &m->server_random, 0xA1B2C3D4, m->client.init,
                             m->response, &m->server_session);
}

static int client_finishes(struct meeting *m)
{
    return handshake_finish(&m->client, &m->client_keys, m->response, HANDSHAKE_RESPONSE_BYTES, m->confirm,
                            &m->client_session, &m->learned);
}

static void run_to_confirm(struct meeting *m)
{
    CU_ASSERT_EQUAL_FATAL(server_takes_init(m), 0);
    CU_ASSERT_EQUAL_FATAL(server_responds(m), 0);
    CU_ASSERT_EQUAL_FATAL(client_finishes(m), 0);
}

/* An INIT as it would come over TCP, with whatever suites are put in: the sender has the keys. */
static int tcp_init_with_suites(struct meeting *m, uint8_t suites)
{
    enum role role;
    uint32_t index;
    m->client.init[INIT_SUITES] = suites;
    handshake_tag(m->client.init + INIT_MAC1, m->client_keys.mac1[m->client.role], m->client.init, INIT_MAC1);
    return handshake_init_check(&m->server_keys, TRANSPORT_TCP, m->client.init, HANDSHAKE_INIT_BYTES, &role,
                                &index);
}

static void over_tcp_only_sealing_suites_are_offered_and_chosen(void)
{
    for (enum role role = ROLE_CLIENT; role < ROLE_COUNT; role++) {
        struct meeting *m = meeting_new(role, SUITE_ALL);
        CU_ASSERT_EQUAL(
            handshake_start(&m->client, &m->client_keys, role, TRANSPORT_TCP, SUITE_MAC, &m->client_random),
            -ENOTSUP);
        CU_ASSERT_EQUAL(
            handshake_start(&m->client, &m->client_keys, role, TRANSPORT_TCP, SUITE_ALL, &m->client_random),
            0);
        CU_ASSERT_EQUAL(m->client.init[INIT_SUITES] & SUITE_MAC, 0);
        CU_ASSERT_EQUAL(tcp_init_with_suites(m, SUITE_MAC), -ENOTSUP);
        CU_ASSERT_EQUAL(tcp_init_with_suites(m, SUITE_MAC | SUITE_CHACHA20_POLY1305), 0);
        CU_ASSERT_EQUAL_FATAL(server_responds(m), 0);
        CU_ASSERT_EQUAL(m->server_session.suite, SUITE_CHACHA20_POLY1305);
        CU_ASSERT_EQUAL(client_finishes(m), 0);
        CU_ASSERT_EQUAL(m->client_session.suite, SUITE_CHACHA20_POLY1305);
        free(m);
    }
}

static void check_data_flows(struct meeting *m)
{
    struct replay_window window = {0};
    uint8_t datagram[DATAGRAM_BYTES_MAX], *message;
    size_t message_length;
    const struct direction_key *senders[2] = {&m->client_session.send, &m->server_session.send};
    const struct direction_key *receivers[2] = {&m->server_session.receive, &m->client_session.receive};
    for (unsigned i = 0; i < 2; i++) {
        memcpy(datagram + DATAGRAM_HEADER_BYTES, "hello", 5);
        size_t length = datagram_seal(senders[i], 0, 1, m->server_session.session, i, datagram, 5);
        CU_ASSERT_EQUAL(datagram_open(receivers[i], &window, 1, datagram, length, &message, &message_length),
                        0);
        CU_ASSERT_EQUAL_FATAL(message_length, 5);
        CU_ASSERT_EQUAL(memcmp(message, "hello", 5), 0);
    }
}

static void both_sides_agree_for_every_role_and_suite(void)
{
    static const struct {
        unsigned offered;
        enum suite chosen;
    } rows[] = {
        {SUITE_MAC, SUITE_MAC},
        {SUITE_ALL, SUITE_MAC},
        {SUITE_CHACHA20_POLY1305, SUITE_CHACHA20_POLY1305},
        {SUITE_MAC | SUITE_CHACHA20_POLY1305, SUITE_MAC},
        {SUITE_AES_256_GCM | SUITE_CHACHA20_POLY1305, SUITE_AES_256_GCM},
    };
    for (enum role role = ROLE_CLIENT; role < ROLE_COUNT; role++)
        for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            enum suite expected = rows[i].chosen;
            if ((expected & datagram_suites()) == 0)
                expected = SUITE_CHACHA20_POLY1305;
            struct meeting *m = meeting_new(role, rows[i].offered);
            run_to_confirm(m);
            CU_ASSERT_EQUAL(m->server_session.suite, expected);
            CU_ASSERT_EQUAL(m->client_session.suite, expected);
            CU_ASSERT_EQUAL(m->server_session.version, 1);
            CU_ASSERT_EQUAL(m->client_session.version, 1);
            CU_ASSERT_EQUAL(m->server_session.role, role);
            CU_ASSERT_EQUAL(m->client_session.session, 0xA1B2C3D4);
            CU_ASSERT_EQUAL(m->learned.node_id, m->identity.node_id);
            CU_ASSERT_EQUAL(memcmp(m->learned.cluster_id, m->identity.cluster_id, CLUSTER_ID_BYTES), 0);
            CU_ASSERT_EQUAL(handshake_confirm_check(&m->server_session, m->confirm, HANDSHAKE_CONFIRM_BYTES),
                            0);
            handshake_ready(&m->server_session, m->ready);
            CU_ASSERT_EQUAL(handshake_ready_check(&m->client_session, m->ready, HANDSHAKE_READY_BYTES), 0);
            check_data_flows(m);
            free(m);
        }
}

/* ---- damage on the way ---- */

/* Calls `still_good` for every truncation, one byte more, and every single-bit flip of a message. */
static void damage_everywhere(const uint8_t *good, size_t length, struct meeting *m,
                              bool (*still_good)(struct meeting *m, const uint8_t *bytes, size_t length))
{
    uint8_t bytes[128];
    CU_ASSERT_TRUE_FATAL(length < sizeof bytes);
    for (size_t cut = 0; cut <= length + 1; cut++) {
        uint8_t *exact = calloc(1, cut + 1); /* the sanitizer sees a read beyond; + 1: never zero bytes */
        memcpy(exact + 1, good, cut < length ? cut : length);
        CU_ASSERT_EQUAL(still_good(m, exact + 1, cut), cut == length);
        free(exact);
    }
    for (size_t at = 0; at < length; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bytes, good, length);
            bytes[at] ^= (uint8_t)(1u << bit);
            CU_ASSERT_FALSE(still_good(m, bytes, length));
        }
    CU_ASSERT_TRUE(still_good(m, good, length));
}

static bool init_is_good(struct meeting *m, const uint8_t *bytes, size_t length)
{
    enum role role;
    uint32_t index;
    return handshake_init_check(&m->server_keys, TRANSPORT_UDP, bytes, length, &role, &index) == 0;
}

static void a_damaged_init_is_refused(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    uint8_t bytes[HANDSHAKE_INIT_BYTES];
    for (size_t cut = 0; cut < HANDSHAKE_INIT_BYTES; cut++)
        CU_ASSERT_FALSE(init_is_good(m, m->client.init, cut));
    for (size_t at = 0; at < 80; at++) /* beyond stands mac2, which counts under load only */
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bytes, m->client.init, sizeof bytes);
            bytes[at] ^= (uint8_t)(1u << bit);
            CU_ASSERT_FALSE(init_is_good(m, bytes, sizeof bytes));
        }
    CU_ASSERT_TRUE(init_is_good(m, m->client.init, HANDSHAKE_INIT_BYTES));
    free(m);
}

static const uint8_t source_a[COOKIE_SOURCE_BYTES] = {[10] = 0xFF, 0xFF, 198, 18, 0, 2, 0x12, 0x34};
static const uint8_t source_b[COOKIE_SOURCE_BYTES] = {[10] = 0xFF, 0xFF, 198, 18, 0, 3, 0x12, 0x34};

static bool cookie_is_good(struct meeting *m, const uint8_t *bytes, size_t length)
{
    struct handshake_client copy = m->client;
    bool good = handshake_take_cookie(&copy, &m->client_keys, bytes, length) == 0;
    if (!good) /* nothing was learned from it */
        CU_ASSERT_EQUAL(memcmp(&copy, &m->client, sizeof copy), 0);
    return good;
}

static bool mac2_is_good(struct meeting *m, const uint8_t *bytes, size_t length)
{
    return length == HANDSHAKE_INIT_BYTES && handshake_cookie_valid(&m->secrets, source_a, bytes);
}

static void a_cookie_proves_an_address_and_damage_is_refused(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES], in_place[HANDSHAKE_INIT_BYTES];
    memset(&m->secrets, 0, sizeof m->secrets);
    cookie_secrets_refresh(&m->secrets, &m->server_random, 0);

    CU_ASSERT_FALSE(handshake_cookie_valid(&m->secrets, source_a, m->client.init));
    handshake_cookie_reply(&m->server_keys, ROLE_CLIENT, &m->secrets, source_a, m->client.init, cookie);
    damage_everywhere(cookie, sizeof cookie, m, cookie_is_good);

    memcpy(in_place, m->client.init, sizeof in_place);
    handshake_cookie_reply(&m->server_keys, ROLE_CLIENT, &m->secrets, source_a, in_place, in_place);
    CU_ASSERT_EQUAL(memcmp(in_place, cookie, sizeof cookie), 0);

    CU_ASSERT_EQUAL(handshake_take_cookie(&m->client, &m->client_keys, cookie, sizeof cookie), 0);
    CU_ASSERT_FALSE(handshake_cookie_valid(&m->secrets, source_b, m->client.init));
    damage_everywhere(m->client.init, HANDSHAKE_INIT_BYTES, m, mac2_is_good);
    run_to_confirm(m); /* and the handshake goes on with it */
    free(m);
}

static void cookies_last_one_change_of_secret_and_no_longer(void)
{
    const uint64_t life = COOKIE_SECRET_LIFE_S * UINT64_C(1000000000);
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    struct cookie_secrets zero = {0}, before;
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES];

    /* after the first refresh neither secret is the known zero key */
    memset(&m->secrets, 0, sizeof m->secrets);
    cookie_secrets_refresh(&m->secrets, &m->server_random, 5);
    CU_ASSERT_NOT_EQUAL(memcmp(m->secrets.key[0], zero.key[0], 16), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(m->secrets.key[1], zero.key[1], 16), 0);

    handshake_cookie_reply(&m->server_keys, ROLE_CLIENT, &m->secrets, source_a, m->client.init, cookie);
    CU_ASSERT_EQUAL(handshake_take_cookie(&m->client, &m->client_keys, cookie, sizeof cookie), 0);
    before = m->secrets;
    cookie_secrets_refresh(&m->secrets, &m->server_random, 5 + life - 1);
    CU_ASSERT_EQUAL(memcmp(&before, &m->secrets, sizeof before), 0);
    cookie_secrets_refresh(&m->secrets, &m->server_random, 5 + life);
    CU_ASSERT_NOT_EQUAL(memcmp(before.key[0], m->secrets.key[0], 16), 0);
    CU_ASSERT_TRUE(handshake_cookie_valid(&m->secrets, source_a, m->client.init));
    cookie_secrets_refresh(&m->secrets, &m->server_random, 5 + 2 * life);
    CU_ASSERT_FALSE(handshake_cookie_valid(&m->secrets, source_a, m->client.init));

    /* a server that was idle for long does not honour what is older than two lives */
    handshake_cookie_reply(&m->server_keys, ROLE_CLIENT, &m->secrets, source_a, m->client.init, cookie);
    CU_ASSERT_EQUAL(handshake_take_cookie(&m->client, &m->client_keys, cookie, sizeof cookie), 0);
    cookie_secrets_refresh(&m->secrets, &m->server_random, 5 + 4 * life);
    CU_ASSERT_FALSE(handshake_cookie_valid(&m->secrets, source_a, m->client.init));
    free(m);
}

static bool response_is_good(struct meeting *m, const uint8_t *bytes, size_t length)
{
    static const struct session_keys none;
    struct session_keys keys;
    struct handshake_identity who;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    memset(&keys, 0, sizeof keys);
    bool good = handshake_finish(&m->client, &m->client_keys, bytes, length, confirm, &keys, &who) == 0;
    if (!good) /* no key stays behind */
        CU_ASSERT_EQUAL(memcmp(&keys, &none, sizeof keys), 0);
    return good;
}

static void a_damaged_response_is_refused(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    run_to_confirm(m);
    damage_everywhere(m->response, sizeof m->response, m, response_is_good);
    free(m);
}

static bool confirm_is_good(struct meeting *m, const uint8_t *bytes, size_t length)
{
    return handshake_confirm_check(&m->server_session, bytes, length) == 0;
}

static bool ready_is_good(struct meeting *m, const uint8_t *bytes, size_t length)
{
    return handshake_ready_check(&m->client_session, bytes, length) == 0;
}

static void damaged_confirm_and_ready_are_refused(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    run_to_confirm(m);
    handshake_ready(&m->server_session, m->ready);
    damage_everywhere(m->confirm, sizeof m->confirm, m, confirm_is_good);
    damage_everywhere(m->ready, sizeof m->ready, m, ready_is_good);
    free(m);
}

/* ---- attackers ---- */

static void a_wrong_secret_gets_no_further_than_mac1(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    derive(&m->server_keys, SECRET_B);
    CU_ASSERT_EQUAL(server_takes_init(m), -EBADMSG);

    /* and a false server, which answers all the same, does not pass as the right one */
    CU_ASSERT_EQUAL(server_responds(m), 0);
    CU_ASSERT_EQUAL(client_finishes(m), -EBADMSG);

    uint8_t cookie[HANDSHAKE_COOKIE_BYTES];
    struct cookie_secrets secrets = {0};
    cookie_secrets_refresh(&secrets, &m->server_random, 0);
    handshake_cookie_reply(&m->server_keys, ROLE_CLIENT, &secrets, source_a, m->client.init, cookie);
    CU_ASSERT_EQUAL(handshake_take_cookie(&m->client, &m->client_keys, cookie, sizeof cookie), -EBADMSG);
    free(m);
}

/* Whoever holds one role's key cannot pass for the other: relabelling fails at mac1, and with mac1 made by
 * the wrong role's key too. */
static void one_role_does_not_pass_for_the_other(void)
{
    for (enum role role = ROLE_CLIENT; role < ROLE_COUNT; role++) {
        enum role other = role == ROLE_CLIENT ? ROLE_REPLICA : ROLE_CLIENT;
        struct meeting *m = meeting_new(role, SUITE_ALL);
        m->client.init[4] = (uint8_t)other;
        CU_ASSERT_EQUAL(server_takes_init(m), -EBADMSG);
        free(m);

        /* a client that believes its role key to be the other role's */
        m = meeting_new(role, SUITE_ALL);
        struct role_keys swapped = m->client_keys;
        memcpy(swapped.role[other], m->client_keys.role[role], ROLE_KEY_BYTES);
        memcpy(swapped.mac1[other], m->client_keys.mac1[role], MAC1_KEY_BYTES);
        CU_ASSERT_EQUAL(
            handshake_start(&m->client, &swapped, other, TRANSPORT_UDP, SUITE_ALL, &m->client_random), 0);
        CU_ASSERT_EQUAL(server_takes_init(m), -EBADMSG);

        /* even past mac1, the confirmations differ */
        CU_ASSERT_EQUAL(server_responds(m), 0);
        m->client_keys = swapped;
        CU_ASSERT_EQUAL(client_finishes(m), -EBADMSG);
        free(m);
    }
}

static void an_exported_client_key_opens_the_client_role_only(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    char token[80] = "wildc1:";
    for (unsigned i = 0; i < ROLE_KEY_BYTES; i++)
        snprintf(token + 7 + 2 * i, 3, "%02x", m->server_keys.role[ROLE_CLIENT][i]);
    derive(&m->client_keys, token);

    CU_ASSERT_EQUAL(handshake_start(&m->client, &m->client_keys, ROLE_REPLICA, TRANSPORT_UDP, SUITE_ALL,
                                    &m->client_random),
                    -EACCES);
    CU_ASSERT_EQUAL(handshake_start(&m->client, &m->client_keys, ROLE_CLIENT, TRANSPORT_UDP, SUITE_ALL,
                                    &m->client_random),
                    0);
    run_to_confirm(m);
    check_data_flows(m);
    free(m);

    /* a server that holds the client role only has no replicas */
    m = meeting_new(ROLE_REPLICA, SUITE_ALL);
    derive(&m->server_keys, token);
    CU_ASSERT_EQUAL(server_takes_init(m), -EACCES);
    free(m);
}

/* mac1 anew, over whatever INIT now says: an insider's forgery, or an honest client of another build. */
static void remake_mac1(struct meeting *m)
{
    uint8_t *init = m->client.init;
    handshake_tag(init + 64, m->client_keys.mac1[init[4]], init, 64);
}

static void a_downgrade_on_the_way_is_refused_at_every_step(void)
{
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{2, 0}, {3, 0}, {3, 9}, {5, TRANSPORT_TCP}, {6, SUITE_MAC}, {6, SUITE_CHACHA20_POLY1305}};
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_AES_256_GCM | SUITE_CHACHA20_POLY1305);
        struct handshake_client honest = m->client;
        if (m->client.init[changes[i].at] == changes[i].value) {
            free(m); /* this machine has no AES: the offer is this already */
            continue;
        }
        m->client.init[changes[i].at] = changes[i].value;
        CU_ASSERT_EQUAL(server_takes_init(m), -EBADMSG);

        /* an insider who knows the role key repairs mac1: now the transcripts differ */
        remake_mac1(m);
        if (server_takes_init(m) == 0) {
            CU_ASSERT_EQUAL(server_responds(m), 0);
            m->client = honest;
            CU_ASSERT_EQUAL(client_finishes(m), -EBADMSG);
        }
        free(m);
    }
    /* a RESPONSE that chooses what was not offered */
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_CHACHA20_POLY1305);
    run_to_confirm(m);
    m->response[3] = SUITE_MAC;
    CU_ASSERT_EQUAL(client_finishes(m), -EBADMSG);
    free(m);
}

static void the_highest_common_version_is_chosen_or_none(void)
{
    static const struct {
        uint8_t low, high;
        int outcome;
    } rows[] = {{1, 1, 0},       {0, 1, 0},       {1, 200, 0},     {0, 255, 0},
                {2, 9, -EPROTO}, {0, 0, -EPROTO}, {2, 1, -EBADMSG}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_MAC);
        m->client.init[2] = rows[i].low;
        m->client.init[3] = rows[i].high;
        remake_mac1(m);
        CU_ASSERT_EQUAL(server_takes_init(m), rows[i].outcome);
        if (rows[i].outcome == 0) {
            run_to_confirm(m);
            CU_ASSERT_EQUAL(m->client_session.version, 1);
        }
        free(m);
    }
}

/* mac1 is right, but the form is not: an honest peer of a later version, or an insider. */
static void an_init_of_another_form_is_refused_though_its_mac1_is_right(void)
{
    static const uint8_t reserved[] = {7, 12, 13, 14, 15, 48, 55, 63};
    for (unsigned i = 0; i < sizeof reserved; i++) {
        struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_MAC);
        m->client.init[reserved[i]] = 1;
        remake_mac1(m);
        CU_ASSERT_EQUAL(server_takes_init(m), -EBADMSG);
        free(m);
    }
    static const uint8_t other[][2] = {{0, 0xF6}, {1, DATAGRAM_RESPONSE}, {5, TRANSPORT_TCP}, {5, 0}};
    for (unsigned i = 0; i < sizeof other / sizeof other[0]; i++) {
        struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_MAC);
        m->client.init[other[i][0]] = other[i][1];
        remake_mac1(m);
        CU_ASSERT_EQUAL(server_takes_init(m), -EBADMSG);
        free(m);
    }
    for (unsigned role = 0; role < 256;
         role++) { /* no role beyond the two, whatever lies behind the tables */
        struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_MAC);
        m->client.init[4] = (uint8_t)role;
        handshake_tag(m->client.init + 64, m->client_keys.mac1[role < ROLE_COUNT ? role : 0], m->client.init,
                      64);
        CU_ASSERT_EQUAL(server_takes_init(m), role == ROLE_CLIENT || role == ROLE_REPLICA ? 0 : -EBADMSG);
        free(m);
    }
}

/* An insider's RESPONSE, its confirmation right, its form not. */
static void a_response_of_another_form_is_refused_though_its_confirmation_is_right(void)
{
    static const uint8_t changes[][2] = {
        {0, 0xF6}, {1, DATAGRAM_READY}, {2, 2},  {2, 0},  {3, SUITE_CHACHA20_POLY1305},
        {3, 0},    {4, 0xEE},           {12, 1}, {15, 1}, {72, 1},
        {79, 1}};
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_MAC);
        struct handshake_secrets secrets;
        uint8_t key[SUBKEY_BYTES];
        run_to_confirm(m);
        m->response[changes[i][0]] = changes[i][1];
        CU_ASSERT_EQUAL(handshake_secrets_make(&secrets, m->client_keys.role[ROLE_CLIENT], m->client.secret,
                                               m->response + 16, m->client.init, m->response),
                        0);
        handshake_subkey(key, &secrets, SUBKEY_SERVER_CONFIRMATION);
        handshake_tag(m->response + 80, key, secrets.transcript, HASH_BYTES);
        CU_ASSERT_EQUAL(client_finishes(m), -EBADMSG);
        free(m);
    }
}

static void without_a_common_suite_there_is_no_session(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_MAC);
    m->client.init[6] = 0xF8; /* suites of the future only */
    remake_mac1(m);
    CU_ASSERT_EQUAL(server_takes_init(m), -ENOTSUP);
    m->client.init[6] = 0xF8 | SUITE_MAC;
    remake_mac1(m);
    run_to_confirm(m);
    CU_ASSERT_EQUAL(m->server_session.suite, SUITE_MAC);
    CU_ASSERT_EQUAL(
        handshake_start(&m->client, &m->client_keys, ROLE_CLIENT, TRANSPORT_UDP, 0, &m->client_random),
        -ENOTSUP);
    free(m);
}

static void ephemerals_of_low_order_are_refused_by_both_sides(void)
{
    /* 0, 1 and p - 1 (RFC 7748: the product is zero) */
    static const uint8_t low[3][32] = {{0}, {1}, {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}};
    for (unsigned i = 0; i < 3; i++) {
        struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_MAC);
        run_to_confirm(m);
        memcpy(m->response + 16, low[i], 32);
        CU_ASSERT_EQUAL(client_finishes(m), -EBADMSG);
        memcpy(m->client.init + 16, low[i], 32);
        remake_mac1(m);
        CU_ASSERT_EQUAL(server_takes_init(m), 0);
        CU_ASSERT_EQUAL(server_responds(m), -EBADMSG);
        free(m);
    }
}

static void messages_sent_back_to_their_sender_are_refused(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    run_to_confirm(m);
    handshake_ready(&m->server_session, m->ready);
    CU_ASSERT_FALSE(response_is_good(m, m->client.init, HANDSHAKE_INIT_BYTES));
    CU_ASSERT_FALSE(init_is_good(m, m->response, HANDSHAKE_RESPONSE_BYTES));
    CU_ASSERT_FALSE(ready_is_good(m, m->confirm, HANDSHAKE_CONFIRM_BYTES));
    CU_ASSERT_FALSE(confirm_is_good(m, m->ready, HANDSHAKE_READY_BYTES));

    for (unsigned i = 0; i < 2; i++) {
        struct session_keys *side = i == 0 ? &m->client_session : &m->server_session;
        struct replay_window window = {0};
        uint8_t datagram[64] = {0}, *message;
        size_t message_length, length = datagram_seal(&side->send, 0, 1, side->session, 0, datagram, 4);
        CU_ASSERT_EQUAL(
            datagram_open(&side->receive, &window, 1, datagram, length, &message, &message_length), -EBADMSG);
        CU_ASSERT_EQUAL(window.next, 0);
    }
    free(m);
}

static void a_replayed_init_leads_to_a_session_that_nobody_can_confirm(void)
{
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    run_to_confirm(m);
    CU_ASSERT_EQUAL(server_responds(m), 0); /* the same INIT again: fresh ephemeral, other keys */
    CU_ASSERT_EQUAL(handshake_confirm_check(&m->server_session, m->confirm, HANDSHAKE_CONFIRM_BYTES),
                    -EBADMSG);
    free(m);
}

static void sessions_of_two_handshakes_do_not_mix(void)
{
    struct meeting *a = meeting_new(ROLE_CLIENT, SUITE_ALL), *b = meeting_new(ROLE_CLIENT, SUITE_ALL);
    b->client_seed = 77;
    CU_ASSERT_EQUAL(handshake_start(&b->client, &b->client_keys, ROLE_CLIENT, TRANSPORT_UDP, SUITE_ALL,
                                    &b->client_random),
                    0);
    run_to_confirm(a);
    run_to_confirm(b);
    handshake_ready(&b->server_session, b->ready);
    CU_ASSERT_FALSE(response_is_good(a, b->response, sizeof b->response));
    CU_ASSERT_FALSE(confirm_is_good(a, b->confirm, sizeof b->confirm));
    CU_ASSERT_FALSE(ready_is_good(a, b->ready, sizeof b->ready));
    free(a);
    free(b);
}

static void ending_a_client_wipes_its_secret(void)
{
    static const struct handshake_client zero;
    struct meeting *m = meeting_new(ROLE_CLIENT, SUITE_ALL);
    handshake_end(&m->client);
    CU_ASSERT_EQUAL(memcmp(&m->client, &zero, sizeof zero), 0);
    free(m);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"both sides agree for every role and suite", both_sides_agree_for_every_role_and_suite},
        {"over TCP only sealing suites are offered and chosen",
         over_tcp_only_sealing_suites_are_offered_and_chosen},
        {"a damaged INIT is refused", a_damaged_init_is_refused},
        {"a cookie proves an address and damage is refused",
         a_cookie_proves_an_address_and_damage_is_refused},
        {"cookies last one change of secret and no longer", cookies_last_one_change_of_secret_and_no_longer},
        {"a damaged RESPONSE is refused", a_damaged_response_is_refused},
        {"damaged CONFIRM and READY are refused", damaged_confirm_and_ready_are_refused},
        {"a wrong secret gets no further than mac1", a_wrong_secret_gets_no_further_than_mac1},
        {"one role does not pass for the other", one_role_does_not_pass_for_the_other},
        {"an exported client key opens the client role only",
         an_exported_client_key_opens_the_client_role_only},
        {"a downgrade on the way is refused at every step", a_downgrade_on_the_way_is_refused_at_every_step},
        {"the highest common version is chosen, or none", the_highest_common_version_is_chosen_or_none},
        {"an INIT of another form is refused though its mac1 is right",
         an_init_of_another_form_is_refused_though_its_mac1_is_right},
        {"a RESPONSE of another form is refused though its confirmation is right",
         a_response_of_another_form_is_refused_though_its_confirmation_is_right},
        {"without a common suite there is no session", without_a_common_suite_there_is_no_session},
        {"ephemerals of low order are refused by both sides",
         ephemerals_of_low_order_are_refused_by_both_sides},
        {"messages sent back to their sender are refused", messages_sent_back_to_their_sender_are_refused},
        {"a replayed INIT leads to a session that nobody can confirm",
         a_replayed_init_leads_to_a_session_that_nobody_can_confirm},
        {"sessions of two handshakes do not mix", sessions_of_two_handshakes_do_not_mix},
        {"ending a client wipes its secret", ending_a_client_wipes_its_secret},
        CU_TEST_INFO_NULL,
    };
    if (keys_start() != 0)
        return 1;
    return suite_run("handshake", tests);
}
