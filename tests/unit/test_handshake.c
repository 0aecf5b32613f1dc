/* test_handshake.c - two sides that share a role key make a session, and nobody else does. */
#include "handshake.h"

#include <errno.h>
#include <stdlib.h>

#include "suite.h"

/* Everything of one handshake, so that tests can bend any step of it. */
struct meeting {
    struct role_keys client_keys, server_keys;
    struct handshake_identity identity, learned;
    struct handshake_client client;
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

int main(void)
{
    CU_TestInfo tests[] = {
        {"both sides agree for every role and suite", both_sides_agree_for_every_role_and_suite},
        CU_TEST_INFO_NULL,
    };
    if (keys_start() != 0)
        return 1;
    return suite_run("handshake", tests);
}
