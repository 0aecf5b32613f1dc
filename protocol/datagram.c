/* datagram.c - one datagram of a session: checked and opened, or sealed, in place. The format: datagram.h. */
#include "datagram.h"

#include <errno.h>
#include <stdlib.h>
#include <sodium.h>

#include "aead.h"
#include "datagram_inline.h"

static_assert(DATAGRAM_TAG_BYTES == crypto_shorthash_siphashx24_BYTES, "SipHash-2-4-128");
static_assert((int)DATAGRAM_TAG_BYTES == (int)AEAD_TAG_BYTES, "one tag size for all suites");
static_assert(DIRECTION_KEY_BYTES == crypto_aead_aes256gcm_KEYBYTES, "AES-256");
static_assert(DIRECTION_KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "ChaCha20");
static_assert(sizeof(((struct direction_key *)0)->state) == sizeof(crypto_aead_aes256gcm_state), "it fits");

unsigned datagram_suites(void)
{
    unsigned suites = SUITE_MAC | SUITE_CHACHA20_POLY1305;
    if (crypto_aead_aes256gcm_is_available())
        suites |= SUITE_AES_256_GCM;
    return suites;
}

void datagram_key_init(struct direction_key *key, enum suite suite, const uint8_t raw[DIRECTION_KEY_BYTES])
{
    sodium_memzero(key, sizeof *key);
    key->suite = suite;
    memcpy(key->raw, raw, sizeof key->raw);
    switch (suite) {
    case SUITE_MAC:
        memcpy(key->state, raw, crypto_shorthash_siphashx24_KEYBYTES);
        return;
    case SUITE_AES_256_GCM:
        crypto_aead_aes256gcm_beforenm((crypto_aead_aes256gcm_state *)(void *)key->state, raw);
        return;
    case SUITE_CHACHA20_POLY1305:
        memcpy(key->state, raw, DIRECTION_KEY_BYTES);
        return;
    case SUITE_ALL:
        break;
    }
    abort(); /* a suite is one bit that the handshake chose from datagram_suites() */
}

/* Whether the tag is right; decrypts the message if the suite hides it. */
static bool verify_and_decrypt(const struct direction_key *key, uint8_t *bytes, size_t message_length)
{
    uint8_t *message = bytes + DATAGRAM_AT_MESSAGE, *tag = message + message_length;

    if (key->suite == SUITE_MAC) {
        uint8_t expected[DATAGRAM_TAG_BYTES];
        crypto_shorthash_siphashx24(expected, bytes, DATAGRAM_HEADER_BYTES + message_length, key->state);
        return crypto_verify_16(expected, tag) == 0;
    }

    return aead_open(key, wire_u64(bytes + DATAGRAM_AT_COUNTER), bytes, DATAGRAM_HEADER_BYTES, message,
                     message_length, tag);
}

int datagram_open(const struct direction_key *key, struct replay_window *window, uint8_t version,
                  uint8_t *bytes, size_t length, uint8_t **message, size_t *message_length)
{
    if (!datagram_is_well_formed(key, version, bytes, length) ||
        !verify_and_decrypt(key, bytes, length - DATAGRAM_OVERHEAD_BYTES))
        return -EBADMSG;
    if (!replay_window_take(window, wire_u64(bytes + DATAGRAM_AT_COUNTER)))
        return -EALREADY;
    *message = bytes + DATAGRAM_AT_MESSAGE;
    *message_length = length - DATAGRAM_OVERHEAD_BYTES;
    return 0;
}

size_t datagram_seal(const struct direction_key *key, unsigned kind, uint8_t version, uint32_t session,
                     uint64_t counter, uint8_t *out, size_t message_length)
{
    uint8_t *message = out + DATAGRAM_AT_MESSAGE, *tag = message + message_length;

    if (kind == 0)
        kind = key->suite == SUITE_MAC ? DATAGRAM_DATA : DATAGRAM_SEALED;
    datagram_put_header(out, kind, version, session, counter);

    if (key->suite == SUITE_MAC)
        crypto_shorthash_siphashx24(tag, out, DATAGRAM_HEADER_BYTES + message_length, key->state);
    else
        aead_seal(key, counter, out, DATAGRAM_HEADER_BYTES, message, message_length, message, tag);
    return DATAGRAM_OVERHEAD_BYTES + message_length;
}

bool datagram_peek(struct datagram_header *out, const uint8_t *bytes, size_t length)
{
    return datagram_peek_inline(out, bytes, length);
}

size_t datagram_plain(uint8_t *out, uint32_t session, uint64_t counter, size_t message_length)
{
    return datagram_plain_inline(out, session, counter, message_length);
}

int datagram_plain_open(uint8_t *bytes, size_t length, uint8_t **message, size_t *message_length)
{
    struct datagram_header header;
    if (length > DATAGRAM_BYTES_MAX || !datagram_peek_inline(&header, bytes, length) ||
        header.kind != DATAGRAM_PLAIN || !datagram_plain_is_well_formed(&header, bytes))
        return -EBADMSG;
    *message = bytes + DATAGRAM_AT_MESSAGE;
    *message_length = length - DATAGRAM_HEADER_BYTES;
    return 0;
}
