/* native_init.c - see native_init.h. */
#include "service/native_init.h"

#include <errno.h>

const struct role_keys *native_init_check(const struct role_keys *const keys[2], enum transport transport,
                                          const uint8_t *bytes, size_t length, struct counters *counters)
{
    enum role role = ROLE_NONE;
    uint32_t client_index;
    int error = -EBADMSG;
    for (unsigned i = 0; i < 2 && keys[i] != NULL; i++) {
        int outcome = handshake_init_check(keys[i], transport, bytes, length, &role, &client_index);
        if (outcome == 0 && role == ROLE_CLIENT)
            return keys[i];
        /* Replicas have a port of their own. */
        if (outcome == 0)
            outcome = -EACCES;
        if (outcome != -EBADMSG)
            error = outcome;
    }
    counter_add(counters,
                error == -EPROTO    ? COUNTER_native_init_no_version
                : error == -ENOTSUP ? COUNTER_native_init_no_suite
                : error == -EACCES  ? COUNTER_native_init_role
                                    : COUNTER_native_init_refused,
                1);
    return NULL;
}

static void cookie_source(uint8_t out[COOKIE_SOURCE_BYTES], const struct flow *flow)
{
    static_assert(COOKIE_SOURCE_BYTES == sizeof(flow->peer) + sizeof(flow->peer_port), "address, port");
    memcpy(out, &flow->peer, sizeof(flow->peer));
    memcpy(out + sizeof(flow->peer), &flow->peer_port, sizeof(flow->peer_port));
}

static bool carries_cookie(const uint8_t *init)
{
    static const uint8_t none[DATAGRAM_TAG_BYTES];
    return memcmp(init + HANDSHAKE_INIT_BYTES - sizeof(none), none, sizeof(none)) != 0;
}

bool native_init_proven(const struct role_keys *keys, const struct cookie_secrets *cookies,
                        const struct flow *flow, bool load, const uint8_t init[HANDSHAKE_INIT_BYTES],
                        uint8_t reply[HANDSHAKE_COOKIE_BYTES], struct counters *counters)
{
    if (!load && !carries_cookie(init))
        return true;
    uint8_t source[COOKIE_SOURCE_BYTES];
    cookie_source(source, flow);
    if (handshake_cookie_valid(cookies, source, init))
        return true;
    handshake_cookie_reply(keys, ROLE_CLIENT, cookies, source, init, reply);
    counter_add(counters, COUNTER_native_init_cookie, 1);
    return false;
}
