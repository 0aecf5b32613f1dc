/* handshake_server.c - the node's side: cheap checks for the worker, mathematics for the helper. */
#include "handshake_internal.h"

#include <errno.h>
#include <sodium.h>

#include "wire.h"

/* ---- what the node takes of what an INIT offers ---- */

/* 0: none in common. */
static uint8_t choose_version(const uint8_t *init)
{
    unsigned low = init[INIT_VERSION_MIN], high = init[INIT_VERSION_MAX];
    if (high > PROTOCOL_VERSION_MAX)
        high = PROTOCOL_VERSION_MAX;
    return high >= low && high >= PROTOCOL_VERSION_MIN ? (uint8_t)high : 0;
}

/* 0: none in common. Bits that this build does not know are no obstacle. */
static uint8_t choose_suite(const uint8_t *init)
{
    unsigned common = init[INIT_SUITES] & handshake_suites(init[INIT_TRANSPORT]);
    if (common & SUITE_MAC)
        return SUITE_MAC;
    if (common & SUITE_AES_256_GCM)
        return SUITE_AES_256_GCM;
    return common & SUITE_CHACHA20_POLY1305;
}

static bool init_has_form(const uint8_t *init, enum transport transport)
{
    return init[AT_MAGIC] == DATAGRAM_MAGIC && init[AT_KIND] == DATAGRAM_INIT &&
           init[INIT_VERSION_MIN] <= init[INIT_VERSION_MAX] && init[INIT_TRANSPORT] == transport &&
           (init[INIT_ROLE] == ROLE_CLIENT || init[INIT_ROLE] == ROLE_REPLICA) &&
           init[INIT_RESERVED_7] == 0 &&
           wire_is_zero(init + INIT_RESERVED_12, INIT_EPHEMERAL - INIT_RESERVED_12) &&
           wire_is_zero(init + INIT_RESERVED_48, INIT_MAC1 - INIT_RESERVED_48);
}

int handshake_init_check(const struct role_keys *keys, enum transport transport, const uint8_t *bytes,
                         size_t length, enum role *role, uint32_t *client_index)
{
    if (length != HANDSHAKE_INIT_BYTES || !init_has_form(bytes, transport))
        return -EBADMSG;
    enum role wanted = bytes[INIT_ROLE];
    if (!keys->held[wanted])
        return -EACCES;
    if (!handshake_tag_is(bytes + INIT_MAC1, keys->mac1[wanted], bytes, INIT_MAC1))
        return -EBADMSG;
    if (choose_version(bytes) == 0)
        return -EPROTO;
    if (choose_suite(bytes) == 0)
        return -ENOTSUP;
    *role = wanted;
    *client_index = wire_u32(bytes + INIT_CLIENT_INDEX);
    return 0;
}

/* ---- cookies ---- */

void cookie_secrets_refresh(struct cookie_secrets *secrets, const struct random_source *random,
                            uint64_t now_ns)
{
    const uint64_t life_ns = COOKIE_SECRET_LIFE_S * UINT64_C(1000000000);
    uint64_t age_ns = now_ns - secrets->changed_ns;

    if (secrets->filled && age_ns < life_ns)
        return;
    /* A first call, or one after long idling, must not leave a known or a stale secret in force. */
    if (secrets->filled && age_ns < 2 * life_ns)
        memcpy(secrets->key[1], secrets->key[0], sizeof secrets->key[1]);
    else
        random_fill(random, secrets->key[1], sizeof secrets->key[1]);
    random_fill(random, secrets->key[0], sizeof secrets->key[0]);
    secrets->changed_ns = now_ns;
    secrets->filled = true;
}

bool handshake_cookie_valid(const struct cookie_secrets *secrets, const uint8_t source[COOKIE_SOURCE_BYTES],
                            const uint8_t init[HANDSHAKE_INIT_BYTES])
{
    bool valid = false;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t cookie[COOKIE_BYTES];
        handshake_tag(cookie, secrets->key[i], source, COOKIE_SOURCE_BYTES);
        valid |= handshake_tag_is(init + INIT_MAC2, cookie, init, INIT_MAC2);
    }
    return valid;
}

void handshake_cookie_reply(const struct role_keys *keys, enum role role,
                            const struct cookie_secrets *secrets, const uint8_t source[COOKIE_SOURCE_BYTES],
                            const uint8_t init[HANDSHAKE_INIT_BYTES], uint8_t out[HANDSHAKE_COOKIE_BYTES])
{
    uint8_t tag[TAG_BYTES];
    uint8_t reply[HANDSHAKE_COOKIE_BYTES] = {[AT_MAGIC] = DATAGRAM_MAGIC, [AT_KIND] = DATAGRAM_COOKIE};

    memcpy(reply + COOKIE_CLIENT_INDEX, init + INIT_CLIENT_INDEX, sizeof(uint32_t));
    handshake_tag(reply + COOKIE_COOKIE, secrets->key[0], source, COOKIE_SOURCE_BYTES);
    handshake_cookie_tag(tag, keys->mac1[role], reply, init);
    memcpy(reply + COOKIE_TAG, tag, sizeof tag);
    memcpy(out, reply, sizeof reply); /* last: `out` may be where `init` stands */
}

/* ---- the mathematics ---- */

int handshake_respond(const struct role_keys *keys, const struct handshake_identity *identity,
                      const struct random_source *random, uint32_t session,
                      const uint8_t init[HANDSHAKE_INIT_BYTES], uint8_t response[HANDSHAKE_RESPONSE_BYTES],
                      struct session_keys *out)
{
    uint8_t secret[EPHEMERAL_BYTES];
    uint8_t r[HANDSHAKE_RESPONSE_BYTES] = {[AT_MAGIC] = DATAGRAM_MAGIC,
                                           [AT_KIND] = DATAGRAM_RESPONSE,
                                           [RESPONSE_VERSION] = choose_version(init),
                                           [RESPONSE_SUITE] = choose_suite(init)};

    memcpy(r + RESPONSE_CLIENT_INDEX, init + INIT_CLIENT_INDEX, sizeof(uint32_t));
    wire_put_u32(r + RESPONSE_SESSION, session);
    memcpy(r + RESPONSE_CLUSTER_ID, identity->cluster_id, CLUSTER_ID_BYTES);
    wire_put_u64(r + RESPONSE_NODE_ID, identity->node_id);

    random_fill(random, secret, sizeof secret);
    crypto_scalarmult_base(r + RESPONSE_EPHEMERAL, secret);
    int outcome = handshake_schedule(out, true, keys->role[init[INIT_ROLE]], secret, init, r,
                                     r + RESPONSE_CONFIRMATION);
    sodium_memzero(secret, sizeof secret);
    if (outcome == 0)
        memcpy(response, r, sizeof r);
    return outcome;
}

int handshake_confirm_check(const struct session_keys *session, const uint8_t *bytes, size_t length)
{
    if (length != HANDSHAKE_CONFIRM_BYTES || bytes[AT_MAGIC] != DATAGRAM_MAGIC ||
        bytes[AT_KIND] != DATAGRAM_CONFIRM || bytes[CONFIRM_VERSION] != session->version ||
        bytes[CONFIRM_SUITE] != session->suite || wire_u32(bytes + CONFIRM_SESSION) != session->session ||
        !wire_is_zero(bytes + CONFIRM_RESERVED_8, CONFIRM_CONFIRMATION - CONFIRM_RESERVED_8))
        return -EBADMSG;
    return crypto_verify_16(bytes + CONFIRM_CONFIRMATION, session->client_confirm_tag) == 0 ? 0 : -EBADMSG;
}

void handshake_ready(const struct session_keys *session, uint8_t out[HANDSHAKE_READY_BYTES])
{
    out[AT_MAGIC] = DATAGRAM_MAGIC;
    out[AT_KIND] = DATAGRAM_READY;
    out[READY_VERSION] = session->version;
    out[READY_RESERVED] = 0;
    wire_put_u32(out + READY_SESSION, session->session);
    wire_put_u64(out + READY_COUNTER, DATAGRAM_COUNTER_NEVER);
    handshake_tag(out + READY_TAG, session->ready_key, out, READY_TAG);
}
