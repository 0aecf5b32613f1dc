/* vectors.c - every derivation and message of the protocol for fixed inputs, one "name = value" a line. */
#include "vectors.h"

#include <stdlib.h>
#include <string.h>

#include "handshake_internal.h"
#include "keys_internal.h"
#include "message.h"
#include "record.h"

#define ROOT_SECRET        "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define PASSPHRASE         "correct horse battery staple"
#define PASSPHRASE_CLUSTER "wild"
#define SESSION_ID         0xA1B2C3D4

static void check(bool right)
{
    if (!right)
        abort(); /* fixed inputs: only a broken build comes here */
}

static void text(FILE *out, const char *prefix, const char *name, const char *value)
{
    fprintf(out, "%s%s = \"%s\"\n", prefix, name, value);
}

static void bytes(FILE *out, const char *prefix, const char *name, const void *value, size_t length)
{
    fprintf(out, "%s%s = ", prefix, name);
    for (size_t i = 0; i < length; i++)
        fprintf(out, "%02x", ((const uint8_t *)value)[i]);
    fputc('\n', out);
}

/* ---- secrets and role keys ---- */

static void write_roles(FILE *out, const char *prefix, const struct role_keys *keys)
{
    bytes(out, prefix, "role.client", keys->role[ROLE_CLIENT], ROLE_KEY_BYTES);
    bytes(out, prefix, "role.replica", keys->role[ROLE_REPLICA], ROLE_KEY_BYTES);
    bytes(out, prefix, "mac1.client", keys->mac1[ROLE_CLIENT], MAC1_KEY_BYTES);
    bytes(out, prefix, "mac1.replica", keys->mac1[ROLE_REPLICA], MAC1_KEY_BYTES);
}

static void derive(struct role_keys *keys, const char *secret, const char *cluster)
{
    char error[256];
    check(keys_from_secret(keys, secret, strlen(secret), cluster, error, sizeof error) == 0);
}

static void write_secrets(FILE *out)
{
    struct role_keys keys;
    uint8_t root[ROLE_KEY_BYTES];

    fputs("\n# keys.h: a generated key\n", out);
    derive(&keys, ROOT_SECRET, PASSPHRASE_CLUSTER);
    text(out, "token.", "secret", ROOT_SECRET);
    write_roles(out, "token.", &keys);

    fputs("\n# keys.h: a passphrase\n", out);
    text(out, "passphrase.", "secret", PASSPHRASE);
    text(out, "passphrase.", "cluster_name", PASSPHRASE_CLUSTER);
    check(keys_root_from_passphrase(root, PASSPHRASE, strlen(PASSPHRASE), PASSPHRASE_CLUSTER) == 0);
    bytes(out, "passphrase.", "root", root, sizeof root);
    derive(&keys, PASSPHRASE, PASSPHRASE_CLUSTER);
    write_roles(out, "passphrase.", &keys);

    fputs("\n# keys.h: the published keys of --insecure-no-auth\n", out);
    keys_insecure(&keys);
    write_roles(out, "insecure.", &keys);
}

/* ---- messages ---- */

/* One of every opcode; the fields of operation i (from 0) follow the rule that stands in vectors.txt. */
static size_t make_request(uint8_t *out, size_t room)
{
    static const struct {
        uint8_t opcode, flags;
        const char *key, *value;
    } rows[] = {
        {OPCODE_GET, FLAG_MIN_LSN | FLAG_READ_MEMORY, "key", ""},
        {OPCODE_SET, FLAG_IF_ABSENT, "key", "value"},
        {OPCODE_DELETE, FLAG_IF_VERSION, "key", ""},
        {OPCODE_INCR, FLAG_IF_PRESENT, "counter", NULL},
        {OPCODE_TOUCH, 0, "key", ""},
        {OPCODE_FLUSH, 0, "", ""},
        {OPCODE_ECHO, 0, "", "echo"},
        {OPCODE_HEALTH, 0, "", ""},
    };
    struct message_writer writer;
    uint8_t operands[INCR_OPERAND_BYTES];

    incr_operand_encode(operands, -5, INT64_MAX);
    check(message_begin(&writer, out, room) == 0);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct operation operation = {
            .key = (const uint8_t *)rows[i].key,
            .value = rows[i].value != NULL ? (const uint8_t *)rows[i].value : operands,
            .request_id = 100 + i,
            .ttl_ms = 1000 * i,
            .version = 0x0000000100000000 + i,
            .value_length = (uint16_t)(rows[i].value != NULL ? strlen(rows[i].value) : sizeof operands),
            .key_length = (uint8_t)strlen(rows[i].key),
            .opcode = rows[i].opcode,
            .flags = rows[i].flags,
            .durability = (uint8_t)(i % 4)};
        check(operation_check(&operation) == STATUS_OK && message_add_operation(&writer, &operation) == 0);
    }
    return message_finish(&writer,
                          &(struct message_header){.version = 1, .epoch = 7, .history = 0x1122334455667788});
}

static size_t make_replies(uint8_t *out, size_t room)
{
    struct message_writer writer;
    uint8_t health[HEALTH_REPLY_BYTES], result[INCR_RESULT_BYTES];
    health_encode(health, &(struct health){.lsn = 1,
                                           .items = 2,
                                           .capacity = 3,
                                           .lines_used = 4,
                                           .uptime_ms = 5,
                                           .epoch = 6,
                                           .mode = MODE_PRIMARY,
                                           .state = STATE_READ_ONLY});
    incr_result_encode(result, -42);
    const struct reply replies[] = {
        {.opcode = OPCODE_GET, .status = STATUS_OK, .value = (const uint8_t *)"value", .value_length = 5},
        {.opcode = OPCODE_SET, .status = STATUS_EXISTS},
        {.opcode = OPCODE_INCR, .status = STATUS_OK, .value = result, .value_length = sizeof result},
        {.opcode = OPCODE_HEALTH, .status = STATUS_OK, .value = health, .value_length = sizeof health},
    };
    check(message_begin(&writer, out, room) == 0);
    for (unsigned i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct reply reply = replies[i];
        reply.request_id = 100 + i;
        reply.version = 0x0000000100000000 + i;
        check(message_add_reply(&writer, &reply) == 0);
    }
    return message_finish(&writer,
                          &(struct message_header){.version = 1, .epoch = 7, .history = 0x1122334455667788});
}

static void write_messages(FILE *out)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    fputs(
        "\n# message.h: one of every opcode; operation i (from 0) has request id 100 + i, ttl_ms 1000 * i,\n"
        "# version 2^32 + i, durability i mod 4; INCR's operands are -5 and 2^63 - 1\n",
        out);
    bytes(out, "message.", "request", message, make_request(message, sizeof message));
    fputs(
        "# replies: GET OK \"value\", SET EXISTS, INCR OK -42, HEALTH OK (lsn 1, items 2, capacity 3,\n"
        "# lines 4, uptime 5, epoch 6, primary, read only); reply i has request id 100 + i, version 2^32 + i\n",
        out);
    bytes(out, "message.", "replies", message, make_replies(message, sizeof message));
}

/* ---- handshakes ---- */

/* Hands out 0, 1, 2, ... from where it was started: what the drawn bytes are is plain from the file. */
static void counting_fill(void *state, void *out, size_t length)
{
    uint8_t *next = state;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)out)[i] = (*next)++;
}

struct script {
    const char *prefix, *comment;
    enum role role;
    enum transport transport;
    unsigned suites;
};

struct scene {
    struct handshake_client client;
    struct session_keys client_session, server_session;
    struct handshake_identity identity;
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES], response[HANDSHAKE_RESPONSE_BYTES],
        confirm[HANDSHAKE_CONFIRM_BYTES], ready[HANDSHAKE_READY_BYTES], server_secret[EPHEMERAL_BYTES];
};

static void play(FILE *out, const struct script *script, const struct role_keys *keys, struct scene *scene)
{
    const char *p = script->prefix;
    static const uint8_t source[COOKIE_SOURCE_BYTES] = {[10] = 0xFF, 0xFF, 198, 18, 0, 2, 0x1E, 0xC6};
    uint8_t client_draws = 0x20, server_draws = 0x60, cookie_draws = 0xA0;
    struct random_source client_random = {counting_fill, &client_draws};
    struct random_source server_random = {counting_fill, &server_draws};
    struct random_source cookie_random = {counting_fill, &cookie_draws};
    struct cookie_secrets cookies = {0};
    struct handshake_identity learned;

    memcpy(scene->identity.cluster_id, "0123456789abcdef", CLUSTER_ID_BYTES);
    scene->identity.node_id = 0xFEDCBA9876543210;
    check(handshake_start(&scene->client, keys, script->role, script->transport, script->suites,
                          &client_random) == 0);
    bytes(out, p, "client_secret", scene->client.secret, EPHEMERAL_BYTES);
    bytes(out, p, "init", scene->client.init, HANDSHAKE_INIT_BYTES);

    cookie_secrets_refresh(&cookies, &cookie_random, 0);
    handshake_cookie_reply(keys, script->role, &cookies, source, scene->client.init, scene->cookie);
    bytes(out, p, "cookie", scene->cookie, HANDSHAKE_COOKIE_BYTES);
    check(handshake_take_cookie(&scene->client, keys, scene->cookie, HANDSHAKE_COOKIE_BYTES) == 0);
    bytes(out, p, "init_with_mac2", scene->client.init, HANDSHAKE_INIT_BYTES);

    for (unsigned i = 0; i < EPHEMERAL_BYTES; i++)
        scene->server_secret[i] = (uint8_t)(server_draws + i);
    bytes(out, p, "server_secret", scene->server_secret, EPHEMERAL_BYTES);
    check(handshake_respond(keys, &scene->identity, &server_random, SESSION_ID, scene->client.init,
                            scene->response, &scene->server_session) == 0);
    bytes(out, p, "response", scene->response, HANDSHAKE_RESPONSE_BYTES);
    check(handshake_finish(&scene->client, keys, scene->response, HANDSHAKE_RESPONSE_BYTES, scene->confirm,
                           &scene->client_session, &learned) == 0);
    check(handshake_confirm_check(&scene->server_session, scene->confirm, HANDSHAKE_CONFIRM_BYTES) == 0);
    handshake_ready(&scene->server_session, scene->ready);
    check(handshake_ready_check(&scene->client_session, scene->ready, HANDSHAKE_READY_BYTES) == 0);
}

static void write_schedule(FILE *out, const char *p, const struct role_keys *keys, const struct scene *scene)
{
    static const char *const names[] = {"",
                                        "key.client_to_server",
                                        "key.server_to_client",
                                        "key.server_confirmation",
                                        "key.client_confirmation",
                                        "key.ready"};
    struct handshake_secrets secrets;
    uint8_t key[SUBKEY_BYTES];
    check(handshake_secrets_make(&secrets, keys->role[scene->client.role], scene->server_secret,
                                 scene->client.init + INIT_EPHEMERAL, scene->client.init,
                                 scene->response) == 0);
    bytes(out, p, "dh", secrets.dh, sizeof secrets.dh);
    bytes(out, p, "transcript", secrets.transcript, sizeof secrets.transcript);
    bytes(out, p, "master", secrets.master, sizeof secrets.master);
    for (unsigned i = SUBKEY_CLIENT_TO_SERVER; i <= SUBKEY_READY; i++) {
        handshake_subkey(key, &secrets, i);
        bytes(out, p, names[i], key, sizeof key);
    }
    bytes(out, p, "confirm", scene->confirm, sizeof scene->confirm);
    bytes(out, p, "ready", scene->ready, sizeof scene->ready);
}

static void write_traffic(FILE *out, const char *p, const struct scene *scene)
{
    uint8_t datagram[DATAGRAM_BYTES_MAX], *message = datagram + DATAGRAM_HEADER_BYTES;
    size_t length = make_request(message, MESSAGE_BYTES_MAX);
    length = datagram_seal(&scene->client_session.send, 0, 1, SESSION_ID, 0, datagram, length);
    bytes(out, p, "request", datagram, length);
    length = make_replies(message, MESSAGE_BYTES_MAX);
    length =
        datagram_seal(&scene->server_session.send, 0, 1, SESSION_ID, 0x0102030405060708, datagram, length);
    bytes(out, p, "reply", datagram, length);
    length = datagram_seal(&scene->client_session.send, DATAGRAM_CLOSE, 1, SESSION_ID, 1, datagram, 0);
    bytes(out, p, "close", datagram, length);
}

/* Both directions' first records; the client's key is used up by its second, so a REKEY and a new key follow. */
static void write_records(FILE *out, const char *p, struct scene *scene)
{
    static const struct record_limits two = {.records = 3, .bytes = UINT64_C(1) << 36};
    uint8_t message[MESSAGE_BYTES_MAX], record[MESSAGE_BYTES_MAX + RECORD_ROOM_BYTES];
    struct record_writer writer = record_writer_start(&scene->client_session.send, &two);
    size_t length = make_request(message, sizeof message);
    bytes(out, p, "record.request", record, record_seal(&writer, message, length, record));
    bytes(out, p, "record.again_and_rekey", record, record_seal(&writer, message, length, record));
    bytes(out, p, "key.client_to_server.next", writer.key->raw, DIRECTION_KEY_BYTES);
    bytes(out, p, "record.after_rekey", record, record_seal(&writer, message, length, record));
    bytes(out, p, "record.close", record, record_close(&writer, record));
    writer = record_writer_start(&scene->server_session.send, &record_limits_default);
    length = make_replies(message, sizeof message);
    bytes(out, p, "record.reply", record, record_seal(&writer, message, length, record));
}

void vectors_write(FILE *out)
{
    static const struct script scripts[] = {
        {"mac.", "a client over UDP, suite MAC", ROLE_CLIENT, TRANSPORT_UDP, SUITE_MAC},
        {"chacha.", "a replica over TCP, suite ChaCha20-Poly1305", ROLE_REPLICA, TRANSPORT_TCP,
         SUITE_CHACHA20_POLY1305},
        {"aes.", "a client over UDP, suite AES-256-GCM", ROLE_CLIENT, TRANSPORT_UDP, SUITE_AES_256_GCM},
        {"aes.tcp.", "a client over TCP, suite AES-256-GCM", ROLE_CLIENT, TRANSPORT_TCP, SUITE_AES_256_GCM},
    };
    struct role_keys keys;
    fputs("# Test vectors of the WILD protocol, version 1. Made by tests/unit/print_vectors, compared with\n"
          "# what the code computes by test_vectors, and with what an independent implementation computes\n"
          "# from the headers' descriptions by check_vectors.py. Values: bytes in hex, or text in quotes.\n",
          out);
    write_secrets(out);
    write_messages(out);
    derive(&keys, ROOT_SECRET, PASSPHRASE_CLUSTER);
    for (unsigned i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct scene scene;
        memset(&scene, 0, sizeof scene);
        if ((datagram_suites() & scripts[i].suites) == 0)
            continue;
        bool tcp = scripts[i].transport == TRANSPORT_TCP;
        fprintf(out,
                "\n# handshake.h, %s: %s, with the keys of token.secret; cluster id\n"
                "# \"0123456789abcdef\", node id fedcba9876543210, session id a1b2c3d4; %s\n",
                tcp ? "record.h" : "datagram.h", scripts[i].comment,
                tcp ? "the client's records: request,\n# request and REKEY, under the next key request, CLOSE"
                    : "request has counter 0,\n# reply counter 0102030405060708, close counter 1");
        play(out, &scripts[i], &keys, &scene);
        write_schedule(out, scripts[i].prefix, &keys, &scene);
        if (tcp)
            write_records(out, scripts[i].prefix, &scene);
        else
            write_traffic(out, scripts[i].prefix, &scene);
    }
}
