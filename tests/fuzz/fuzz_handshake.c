/*
 * fuzz_handshake.c - both sides of a handshake, fed with damaged and forged messages.
 *
 * First byte: which message is attacked, and whether the attacker is an insider who can make the keyed
 * fields right again (mac1 of INIT, the confirmation of RESPONSE), so that what lies behind them is reached.
 * The rest is a list of changes to the genuine message, or the message itself. A message that differs from
 * the genuine one must be refused, unless an insider made it; then what comes of it must be in order.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "handshake_internal.h"
#include "wire.h"

enum { BYTES_MAX = 256 };

/* A genuine handshake, and the secrets of both sides. */
struct genuine {
    struct role_keys keys;
    struct handshake_client fresh, client; /* before and after the COOKIE */
    struct session_keys client_session, server_session;
    struct cookie_secrets cookies;
    uint8_t source[COOKIE_SOURCE_BYTES], cookie[HANDSHAKE_COOKIE_BYTES], response[HANDSHAKE_RESPONSE_BYTES],
        confirm[HANDSHAKE_CONFIRM_BYTES], ready[HANDSHAKE_READY_BYTES], server_secret[EPHEMERAL_BYTES];
};

static void repeat_fill(void *state, void *out, size_t bytes)
{
    memset(out, *(uint8_t *)state, bytes);
}

static const struct handshake_identity identity = {.cluster_id = "0123456789abcde", .node_id = 77};

static void make_genuine(struct genuine *g)
{
    char error[128];
    static const char secret[] = "wild1:f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    uint8_t client_draws = 0x11, server_draws = 0x22;
    struct random_source client_random = {repeat_fill, &client_draws};
    struct random_source server_random = {repeat_fill, &server_draws};
    struct handshake_identity learned;

    MUST(keys_from_secret(&g->keys, secret, sizeof secret - 1, "wild", error, sizeof error) == 0);
    memset(g->server_secret, server_draws, sizeof g->server_secret);
    MUST(handshake_start(&g->fresh, &g->keys, ROLE_CLIENT, TRANSPORT_UDP, SUITE_ALL, &client_random) == 0);
    cookie_secrets_refresh(&g->cookies, &server_random, 0);
    handshake_cookie_reply(&g->keys, ROLE_CLIENT, &g->cookies, g->source, g->fresh.init, g->cookie);
    g->client = g->fresh;
    MUST(handshake_take_cookie(&g->client, &g->keys, g->cookie, sizeof g->cookie) == 0);
    MUST(handshake_respond(&g->keys, &identity, &server_random, 0x01020304, g->client.init, g->response,
                           &g->server_session) == 0);
    MUST(handshake_finish(&g->client, &g->keys, g->response, sizeof g->response, g->confirm,
                          &g->client_session, &learned) == 0);
    handshake_ready(&g->server_session, g->ready);
}

/* Made once: the mathematics would be most of the time. It is not changed afterwards. */
static const struct genuine *the_genuine(void)
{
    static struct genuine genuine;
    static bool made;
    if (!made) {
        if (keys_start() != 0)
            abort();
        make_genuine(&genuine);
        made = true;
    }
    return &genuine;
}

/* A message under attack: starts as the genuine one. */
struct forgery {
    uint8_t bytes[BYTES_MAX];
    size_t length;
    const uint8_t *good;
    size_t good_length;
};

static struct forgery forge(struct fuzz_input *input, const uint8_t *good, size_t good_length)
{
    struct forgery f = {.length = good_length, .good = good, .good_length = good_length};
    memcpy(f.bytes, good, good_length);
    while (fuzz_left(input) > 0) {
        unsigned what = fuzz_u8(input);
        if (what < 200) {
            f.bytes[what % good_length] = fuzz_u8(input);
        } else if (what < 220) {
            f.bytes[what % good_length] ^= (uint8_t)(1u << (fuzz_u8(input) % 8));
        } else if (what < 230) {
            f.length = fuzz_u8(input);
        } else { /* the rest is the message */
            f.length = fuzz_left(input) < BYTES_MAX ? fuzz_left(input) : BYTES_MAX;
            memcpy(f.bytes, input->at, f.length);
            break;
        }
    }
    return f;
}

static bool differs(const struct forgery *f, size_t up_to)
{
    return f->length != f->good_length || memcmp(f->bytes, f->good, up_to) != 0;
}

/* An insider's INIT leads to a session for a client that knows the ephemeral's secret, and for no other. */
static void follow_init(const struct genuine *g, const struct forgery *f)
{
    uint8_t response[HANDSHAKE_RESPONSE_BYTES], confirm[HANDSHAKE_CONFIRM_BYTES], draws = 0x33;
    struct random_source random = {repeat_fill, &draws};
    struct session_keys server, client;
    struct handshake_identity learned;
    struct handshake_client honest = g->client, insider = g->client;

    int outcome = handshake_respond(&g->keys, &identity, &random, 9, f->bytes, response, &server);
    MUST(outcome == 0 || outcome == -EBADMSG);
    if (outcome != 0)
        return;
    MUST((server.suite & f->bytes[6] & datagram_suites()) == server.suite);
    MUST(server.version >= f->bytes[2] && server.version <= f->bytes[3]);
    MUST(server.version >= PROTOCOL_VERSION_MIN && server.version <= PROTOCOL_VERSION_MAX);
    MUST(server.role == f->bytes[4] && server.session == 9);

    outcome = handshake_finish(&honest, &g->keys, response, sizeof response, confirm, &client, &learned);
    MUST((outcome == 0) == !differs(f, INIT_MAC2));
    memcpy(insider.init, f->bytes, HANDSHAKE_INIT_BYTES);
    insider.role = f->bytes[4];
    outcome = handshake_finish(&insider, &g->keys, response, sizeof response, confirm, &client, &learned);
    /* RFC 7748 5: the top bit of the last byte is not part of the point, so both values are the same key. The
     * transcript holds the bytes as sent, so it matters to nobody but the one who owns the secret. */
    const uint8_t *sent = f->bytes + INIT_EPHEMERAL, *own = g->client.init + INIT_EPHEMERAL;
    bool own_ephemeral = memcmp(sent, own, 31) == 0 && ((sent[31] ^ own[31]) & 0x7F) == 0;
    MUST((outcome == 0) == own_ephemeral);
    if (outcome == 0)
        MUST(handshake_confirm_check(&server, confirm, sizeof confirm) == 0);
}

static void attack_init(const struct genuine *g, struct fuzz_input *input, bool insider)
{
    struct forgery f = forge(input, g->client.init, HANDSHAKE_INIT_BYTES);
    enum role role = ROLE_NONE;
    uint32_t index;
    if (insider) /* a role beyond the table has no key to make it right with */
        handshake_tag(f.bytes + INIT_MAC1, g->keys.mac1[f.bytes[4] % ROLE_COUNT], f.bytes, INIT_MAC1);

    int outcome = handshake_init_check(&g->keys, TRANSPORT_UDP, f.bytes, f.length, &role, &index);
    MUST(outcome == 0 || outcome == -EBADMSG || outcome == -EPROTO || outcome == -ENOTSUP ||
         outcome == -EACCES);
    if (!insider)
        MUST((outcome == 0) == !differs(&f, INIT_MAC2));
    if (f.length == HANDSHAKE_INIT_BYTES)
        MUST(handshake_cookie_valid(&g->cookies, g->source, f.bytes) == !differs(&f, INIT_END));
    if (outcome != 0)
        return;
    MUST(f.length == HANDSHAKE_INIT_BYTES && role == f.bytes[4] && g->keys.held[role]);
    MUST(index == wire_u32(f.bytes + 8));
    follow_init(g, &f);
}

static void attack_cookie(const struct genuine *g, struct fuzz_input *input)
{
    struct forgery f = forge(input, g->cookie, HANDSHAKE_COOKIE_BYTES);
    struct handshake_client client = g->fresh;
    int outcome = handshake_take_cookie(&client, &g->keys, f.bytes, f.length);
    MUST(outcome == (differs(&f, COOKIE_END) ? -EBADMSG : 0));
    MUST(memcmp(&client, outcome == 0 ? &g->client : &g->fresh, sizeof client) == 0);
}

static void attack_response(const struct genuine *g, struct fuzz_input *input, bool insider)
{
    static const struct session_keys none;
    struct forgery f = forge(input, g->response, HANDSHAKE_RESPONSE_BYTES);
    struct handshake_client client = g->client;
    struct handshake_identity learned;
    struct handshake_secrets secrets;
    struct session_keys session;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES], key[SUBKEY_BYTES];

    if (insider && handshake_secrets_make(&secrets, g->keys.role[ROLE_CLIENT], client.secret,
                                          f.bytes + RESPONSE_EPHEMERAL, client.init, f.bytes) == 0) {
        handshake_subkey(key, &secrets, SUBKEY_SERVER_CONFIRMATION);
        handshake_tag(f.bytes + RESPONSE_CONFIRMATION, key, secrets.transcript, HASH_BYTES);
    }
    memset(&session, 0, sizeof session);
    int outcome = handshake_finish(&client, &g->keys, f.bytes, f.length, confirm, &session, &learned);
    MUST(outcome == 0 || outcome == -EBADMSG);
    MUST(memcmp(&client, &g->client, sizeof client) == 0);
    if (outcome != 0) {
        MUST(memcmp(&session, &none, sizeof session) == 0);
        MUST(differs(&f, RESPONSE_END));
        return;
    }
    MUST(insider || !differs(&f, RESPONSE_END));
    MUST(session.version == 1 && (session.suite & client.init[6]) == session.suite);
    MUST(session.session == wire_u32(f.bytes + 8) && wire_is_zero(f.bytes + 72, 8));
    MUST(handshake_confirm_check(&session, confirm, sizeof confirm) == 0);
}

static void attack_proofs(const struct genuine *g, struct fuzz_input *input, bool ready)
{
    struct forgery f = ready ? forge(input, g->ready, HANDSHAKE_READY_BYTES)
                             : forge(input, g->confirm, HANDSHAKE_CONFIRM_BYTES);
    int outcome = ready ? handshake_ready_check(&g->client_session, f.bytes, f.length)
                        : handshake_confirm_check(&g->server_session, f.bytes, f.length);
    MUST(outcome == (differs(&f, f.good_length) ? -EBADMSG : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct genuine *g = the_genuine();
    struct fuzz_input input = {data, data + size};
    unsigned what = fuzz_u8(&input);
    bool insider = what & 8;

    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        attack_init(g, &input, insider);
        break;
    case 3:
        attack_cookie(g, &input);
        break;
    case 4:
    case 5:
        attack_response(g, &input, insider);
        break;
    default:
        attack_proofs(g, &input, insider);
        break;
    }
    return 0;
}
