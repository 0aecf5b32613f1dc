/* handshake_schedule.c - from two ephemerals and a role key to the session's keys, and READY and CONFIRM,
 * which are nothing but their proof. */
#include "handshake_internal.h"

#include <errno.h>
#include <sodium.h>

#include "wire.h"

static_assert(EPHEMERAL_BYTES == crypto_scalarmult_BYTES, "X25519");
static_assert(EPHEMERAL_BYTES == crypto_scalarmult_SCALARBYTES, "X25519");
static_assert(TAG_BYTES == crypto_shorthash_siphashx24_BYTES, "SipHash-2-4-128");
static_assert(HASH_BYTES == crypto_kdf_KEYBYTES, "the master key is a kdf key");

unsigned handshake_suites(unsigned transport)
{
    unsigned suites = datagram_suites();
    return transport == TRANSPORT_TCP ? suites & ~(unsigned)SUITE_MAC : suites;
}

void handshake_tag(uint8_t out[TAG_BYTES], const uint8_t key[16], const uint8_t *bytes, size_t length)
{
    crypto_shorthash_siphashx24(out, bytes, length, key);
}

bool handshake_tag_is(const uint8_t expected[TAG_BYTES], const uint8_t key[16], const uint8_t *bytes,
                      size_t length)
{
    uint8_t tag[TAG_BYTES];
    handshake_tag(tag, key, bytes, length);
    return crypto_verify_16(tag, expected) == 0;
}

void handshake_cookie_tag(uint8_t out[TAG_BYTES], const uint8_t mac1_key[MAC1_KEY_BYTES],
                          const uint8_t cookie[HANDSHAKE_COOKIE_BYTES],
                          const uint8_t init[HANDSHAKE_INIT_BYTES])
{
    uint8_t covered[COOKIE_TAG + TAG_BYTES];
    memcpy(covered, cookie, COOKIE_TAG);
    memcpy(covered + COOKIE_TAG, init + INIT_MAC1, TAG_BYTES);
    handshake_tag(out, mac1_key, covered, sizeof covered);
}

static void make_transcript(uint8_t out[HASH_BYTES], const uint8_t *init, const uint8_t *response)
{
    static const char label[] = "WILD handshake 1";
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, HASH_BYTES);
    crypto_generichash_update(&hash, (const uint8_t *)label, sizeof label - 1);
    crypto_generichash_update(&hash, init, INIT_MAC2);
    crypto_generichash_update(&hash, response, RESPONSE_CONFIRMATION);
    crypto_generichash_final(&hash, out, HASH_BYTES);
}

static void make_master(uint8_t out[HASH_BYTES], const uint8_t role_key[ROLE_KEY_BYTES],
                        const uint8_t dh[crypto_scalarmult_BYTES], const uint8_t transcript[HASH_BYTES])
{
    static const char label[] = "WILD master key";
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, role_key, ROLE_KEY_BYTES, HASH_BYTES);
    crypto_generichash_update(&hash, (const uint8_t *)label, sizeof label - 1);
    crypto_generichash_update(&hash, dh, crypto_scalarmult_BYTES);
    crypto_generichash_update(&hash, transcript, HASH_BYTES);
    crypto_generichash_final(&hash, out, HASH_BYTES);
    sodium_memzero(&hash, sizeof hash);
}

int handshake_secrets_make(struct handshake_secrets *out, const uint8_t role_key[ROLE_KEY_BYTES],
                           const uint8_t own_secret[EPHEMERAL_BYTES], const uint8_t peer[EPHEMERAL_BYTES],
                           const uint8_t init[HANDSHAKE_INIT_BYTES],
                           const uint8_t response[HANDSHAKE_RESPONSE_BYTES])
{
    /* fails when the result is all zero: RFC 7748 6.1 */
    if (crypto_scalarmult(out->dh, own_secret, peer) != 0)
        return -EBADMSG;
    make_transcript(out->transcript, init, response);
    make_master(out->master, role_key, out->dh, out->transcript);
    return 0;
}

void handshake_subkey(uint8_t out[SUBKEY_BYTES], const struct handshake_secrets *secrets, enum subkey number)
{
    crypto_kdf_derive_from_key(out, SUBKEY_BYTES, number, "wildsess", secrets->master);
}

static void make_session(struct session_keys *out, bool is_server, const struct handshake_secrets *secrets,
                         uint8_t server_confirmation[TAG_BYTES])
{
    uint8_t key[SUBKEY_BYTES];
    struct direction_key *from_client = is_server ? &out->receive : &out->send;
    struct direction_key *from_server = is_server ? &out->send : &out->receive;

    handshake_subkey(key, secrets, SUBKEY_CLIENT_TO_SERVER);
    datagram_key_init(from_client, out->suite, key);
    handshake_subkey(key, secrets, SUBKEY_SERVER_TO_CLIENT);
    datagram_key_init(from_server, out->suite, key);
    handshake_subkey(key, secrets, SUBKEY_SERVER_CONFIRMATION);
    handshake_tag(server_confirmation, key, secrets->transcript, HASH_BYTES);
    handshake_subkey(key, secrets, SUBKEY_CLIENT_CONFIRMATION);
    handshake_tag(out->client_confirm_tag, key, secrets->transcript, HASH_BYTES);
    handshake_subkey(key, secrets, SUBKEY_READY);
    memcpy(out->ready_key, key, sizeof out->ready_key);
    sodium_memzero(key, sizeof key);
}

int handshake_schedule(struct session_keys *out, bool is_server, const uint8_t role_key[ROLE_KEY_BYTES],
                       const uint8_t own_secret[EPHEMERAL_BYTES], const uint8_t init[HANDSHAKE_INIT_BYTES],
                       const uint8_t response[HANDSHAKE_RESPONSE_BYTES],
                       uint8_t server_confirmation[TAG_BYTES])
{
    const uint8_t *peer = is_server ? init + INIT_EPHEMERAL : response + RESPONSE_EPHEMERAL;
    struct handshake_secrets secrets;

    int outcome = handshake_secrets_make(&secrets, role_key, own_secret, peer, init, response);
    if (outcome == 0) {
        out->version = response[RESPONSE_VERSION];
        out->suite = response[RESPONSE_SUITE];
        out->session = wire_u32(response + RESPONSE_SESSION);
        out->role = init[INIT_ROLE];
        make_session(out, is_server, &secrets, server_confirmation);
    }
    sodium_memzero(&secrets, sizeof secrets);
    return outcome;
}
