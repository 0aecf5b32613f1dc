/* handshake_client.c - the client's side of the handshake. */
#include "handshake_internal.h"

#include <errno.h>
#include <sodium.h>

#include "wire.h"

int handshake_start(struct handshake_client *client, const struct role_keys *keys, enum role role,
                    enum transport transport, unsigned suites, const struct random_source *random)
{
    memset(client, 0, sizeof *client);
    suites &= handshake_suites(transport);
    if (suites == 0)
        return -ENOTSUP;
    if (!keys->held[role])
        return -EACCES;

    uint8_t *init = client->init;
    client->role = role;
    init[AT_MAGIC] = DATAGRAM_MAGIC;
    init[AT_KIND] = DATAGRAM_INIT;
    init[INIT_VERSION_MIN] = PROTOCOL_VERSION_MIN;
    init[INIT_VERSION_MAX] = PROTOCOL_VERSION_MAX;
    init[INIT_ROLE] = (uint8_t)role;
    init[INIT_TRANSPORT] = (uint8_t)transport;
    init[INIT_SUITES] = (uint8_t)suites;
    random_fill(random, init + INIT_CLIENT_INDEX, sizeof(uint32_t));
    random_fill(random, client->secret, sizeof client->secret);
    crypto_scalarmult_base(init + INIT_EPHEMERAL, client->secret);
    handshake_tag(init + INIT_MAC1, keys->mac1[role], init, INIT_MAC1);
    return 0;
}

static bool echoes_client_index(const struct handshake_client *client, const uint8_t *answer, size_t offset)
{
    return memcmp(answer + offset, client->init + INIT_CLIENT_INDEX, sizeof(uint32_t)) == 0;
}

int handshake_take_cookie(struct handshake_client *client, const struct role_keys *keys, const uint8_t *bytes,
                          size_t length)
{
    if (length != HANDSHAKE_COOKIE_BYTES || bytes[AT_MAGIC] != DATAGRAM_MAGIC ||
        bytes[AT_KIND] != DATAGRAM_COOKIE || !wire_is_zero(bytes + COOKIE_RESERVED_2, 2) ||
        !wire_is_zero(bytes + COOKIE_RESERVED_8, COOKIE_COOKIE - COOKIE_RESERVED_8) ||
        !echoes_client_index(client, bytes, COOKIE_CLIENT_INDEX))
        return -EBADMSG;

    uint8_t tag[TAG_BYTES];
    handshake_cookie_tag(tag, keys->mac1[client->role], bytes, client->init);
    if (crypto_verify_16(tag, bytes + COOKIE_TAG) != 0)
        return -EBADMSG;
    handshake_tag(client->init + INIT_MAC2, bytes + COOKIE_COOKIE, client->init, INIT_MAC2);
    return 0;
}

/* Whether the answer is one to our INIT, and chose from what we offered. */
static bool response_has_form(const struct handshake_client *client, const uint8_t *bytes)
{
    unsigned suite = bytes[RESPONSE_SUITE], version = bytes[RESPONSE_VERSION];
    return bytes[AT_MAGIC] == DATAGRAM_MAGIC && bytes[AT_KIND] == DATAGRAM_RESPONSE &&
           version >= client->init[INIT_VERSION_MIN] && version <= client->init[INIT_VERSION_MAX] &&
           (suite & client->init[INIT_SUITES]) == suite && suite != 0 && (suite & (suite - 1)) == 0 &&
           echoes_client_index(client, bytes, RESPONSE_CLIENT_INDEX) &&
           wire_is_zero(bytes + RESPONSE_RESERVED_12, RESPONSE_EPHEMERAL - RESPONSE_RESERVED_12) &&
           wire_is_zero(bytes + RESPONSE_RESERVED_72, RESPONSE_CONFIRMATION - RESPONSE_RESERVED_72);
}

static void make_confirm(uint8_t out[HANDSHAKE_CONFIRM_BYTES], const struct session_keys *session)
{
    memset(out, 0, HANDSHAKE_CONFIRM_BYTES);
    out[AT_MAGIC] = DATAGRAM_MAGIC;
    out[AT_KIND] = DATAGRAM_CONFIRM;
    out[CONFIRM_VERSION] = session->version;
    out[CONFIRM_SUITE] = session->suite;
    wire_put_u32(out + CONFIRM_SESSION, session->session);
    memcpy(out + CONFIRM_CONFIRMATION, session->client_confirm_tag, TAG_BYTES);
}

int handshake_finish(struct handshake_client *client, const struct role_keys *keys, const uint8_t *bytes,
                     size_t length, uint8_t confirm[HANDSHAKE_CONFIRM_BYTES], struct session_keys *out,
                     struct handshake_identity *server)
{
    if (length != HANDSHAKE_RESPONSE_BYTES || !response_has_form(client, bytes))
        return -EBADMSG;

    uint8_t confirmation[TAG_BYTES];
    int outcome = handshake_schedule(out, false, keys->role[client->role], client->secret, client->init,
                                     bytes, confirmation);
    if (outcome == 0 && crypto_verify_16(confirmation, bytes + RESPONSE_CONFIRMATION) != 0)
        outcome = -EBADMSG;
    if (outcome != 0) {
        sodium_memzero(out, sizeof *out);
        return outcome;
    }
    make_confirm(confirm, out);
    memcpy(server->cluster_id, bytes + RESPONSE_CLUSTER_ID, CLUSTER_ID_BYTES);
    server->node_id = wire_u64(bytes + RESPONSE_NODE_ID);
    return 0;
}

int handshake_ready_check(const struct session_keys *session, const uint8_t *bytes, size_t length)
{
    uint8_t expected[HANDSHAKE_READY_BYTES];
    if (length != HANDSHAKE_READY_BYTES)
        return -EBADMSG;
    handshake_ready(session, expected); /* it has one form only */
    return sodium_memcmp(bytes, expected, sizeof expected) == 0 ? 0 : -EBADMSG;
}

void handshake_end(struct handshake_client *client)
{
    sodium_memzero(client, sizeof *client);
}
