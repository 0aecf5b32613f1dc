/* handshake_internal.h - what both sides of the handshake share: offsets, tags, the key schedule. */
#ifndef WILD_HANDSHAKE_INTERNAL_H
#define WILD_HANDSHAKE_INTERNAL_H

#include "handshake.h"

/* handshake.h's offset tables */
enum {
    AT_MAGIC = 0,
    AT_KIND = 1,
};
enum {
    INIT_VERSION_MIN = 2,
    INIT_VERSION_MAX = 3,
    INIT_ROLE = 4,
    INIT_TRANSPORT = 5,
    INIT_SUITES = 6,
    INIT_RESERVED_7 = 7,
    INIT_CLIENT_INDEX = 8,
    INIT_RESERVED_12 = 12,
    INIT_EPHEMERAL = 16,
    INIT_RESERVED_48 = 48,
    INIT_MAC1 = 64,
    INIT_MAC2 = 80,
    INIT_END = 96,
};
enum {
    COOKIE_RESERVED_2 = 2,
    COOKIE_CLIENT_INDEX = 4,
    COOKIE_RESERVED_8 = 8,
    COOKIE_COOKIE = 16,
    COOKIE_TAG = 32,
    COOKIE_END = 48,
};
enum {
    RESPONSE_VERSION = 2,
    RESPONSE_SUITE = 3,
    RESPONSE_CLIENT_INDEX = 4,
    RESPONSE_SESSION = 8,
    RESPONSE_RESERVED_12 = 12,
    RESPONSE_EPHEMERAL = 16,
    RESPONSE_CLUSTER_ID = 48,
    RESPONSE_NODE_ID = 64,
    RESPONSE_RESERVED_72 = 72,
    RESPONSE_CONFIRMATION = 80,
    RESPONSE_END = 96,
};
enum {
    CONFIRM_VERSION = 2,
    CONFIRM_SUITE = 3,
    CONFIRM_SESSION = 4,
    CONFIRM_RESERVED_8 = 8,
    CONFIRM_CONFIRMATION = 16,
    CONFIRM_END = 32,
};
enum {
    READY_VERSION = 2,
    READY_RESERVED = 3,
    READY_SESSION = 4,
    READY_COUNTER = 8,
    READY_TAG = 16,
    READY_END = 32,
};
static_assert((int)INIT_END == (int)HANDSHAKE_INIT_BYTES, "offset table");
static_assert((int)COOKIE_END == (int)HANDSHAKE_COOKIE_BYTES, "offset table");
static_assert((int)RESPONSE_END == (int)HANDSHAKE_RESPONSE_BYTES, "offset table");
static_assert((int)CONFIRM_END == (int)HANDSHAKE_CONFIRM_BYTES, "offset table");
static_assert((int)READY_END == (int)HANDSHAKE_READY_BYTES, "offset table");

enum { TAG_BYTES = 16, EPHEMERAL_BYTES = 32 };

/* Suites that this machine can run and the transport allows: over TCP only those that seal. */
unsigned handshake_suites(unsigned transport);

/* SipHash-2-4-128, and its comparison in constant time. */
void handshake_tag(uint8_t out[TAG_BYTES], const uint8_t key[16], const uint8_t *bytes, size_t length);
bool handshake_tag_is(const uint8_t expected[TAG_BYTES], const uint8_t key[16], const uint8_t *bytes,
                      size_t length);
/* COOKIE's tag: over its first 32 bytes and the mac1 of the INIT that it answers. */
void handshake_cookie_tag(uint8_t out[TAG_BYTES], const uint8_t mac1_key[MAC1_KEY_BYTES],
                          const uint8_t cookie[HANDSHAKE_COOKIE_BYTES],
                          const uint8_t init[HANDSHAKE_INIT_BYTES]);

/* The steps of the key schedule. Numbers of subkeys are part of the contract (handshake.h). */
enum subkey {
    SUBKEY_CLIENT_TO_SERVER = 1,
    SUBKEY_SERVER_TO_CLIENT = 2,
    SUBKEY_SERVER_CONFIRMATION = 3,
    SUBKEY_CLIENT_CONFIRMATION = 4,
    SUBKEY_READY = 5,
};
enum { HASH_BYTES = 32, SUBKEY_BYTES = 32 };

struct handshake_secrets {
    uint8_t dh[EPHEMERAL_BYTES], transcript[HASH_BYTES], master[HASH_BYTES];
};

/* 0, or -EBADMSG for a `peer` ephemeral of low order. The caller wipes `out`. */
int handshake_secrets_make(struct handshake_secrets *out, const uint8_t role_key[ROLE_KEY_BYTES],
                           const uint8_t own_secret[EPHEMERAL_BYTES], const uint8_t peer[EPHEMERAL_BYTES],
                           const uint8_t init[HANDSHAKE_INIT_BYTES],
                           const uint8_t response[HANDSHAKE_RESPONSE_BYTES]);
void handshake_subkey(uint8_t out[SUBKEY_BYTES], const struct handshake_secrets *secrets, enum subkey number);

/*
 * The whole key schedule, once the peer's ephemeral is known: 0 with the session and both confirmations, or
 * -EBADMSG for an ephemeral of low order. `response` needs its first 80 bytes only. Version, suite and
 * session id are taken from it, the role from `init`.
 */
int handshake_schedule(struct session_keys *out, bool is_server, const uint8_t role_key[ROLE_KEY_BYTES],
                       const uint8_t own_secret[EPHEMERAL_BYTES], const uint8_t init[HANDSHAKE_INIT_BYTES],
                       const uint8_t response[HANDSHAKE_RESPONSE_BYTES],
                       uint8_t server_confirmation[TAG_BYTES]);

#endif
