/* aead.c - see aead.h. */
#include "aead.h"

#include <sodium.h>

#include "wire.h"

static_assert(AEAD_TAG_BYTES == crypto_aead_aes256gcm_ABYTES, "one tag size for all suites");
static_assert(AEAD_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "one tag size for all suites");

enum { NONCE_BYTES = 12 };
static_assert(NONCE_BYTES == crypto_aead_aes256gcm_NPUBBYTES, "nonce");
static_assert(NONCE_BYTES == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "nonce");

static void make_nonce(uint8_t nonce[NONCE_BYTES], uint64_t counter)
{
    memset(nonce, 0, 4);
    wire_put_u64(nonce + 4, counter);
}

static const crypto_aead_aes256gcm_state *aes_state(const struct direction_key *key)
{
    return (const crypto_aead_aes256gcm_state *)(const void *)key->state;
}

void aead_seal(const struct direction_key *key, uint64_t counter, const uint8_t *header, size_t header_length,
               const uint8_t *message, size_t length, uint8_t *out, uint8_t tag[AEAD_TAG_BYTES])
{
    uint8_t nonce[NONCE_BYTES];
    make_nonce(nonce, counter);
    if (key->suite == SUITE_AES_256_GCM)
        crypto_aead_aes256gcm_encrypt_detached_afternm(out, tag, NULL, message, length, header, header_length,
                                                       NULL, nonce, aes_state(key));
    else
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(out, tag, NULL, message, length, header,
                                                           header_length, NULL, nonce, key->state);
}

bool aead_open(const struct direction_key *key, uint64_t counter, const uint8_t *header, size_t header_length,
               uint8_t *message, size_t length, const uint8_t tag[AEAD_TAG_BYTES])
{
    uint8_t nonce[NONCE_BYTES];
    make_nonce(nonce, counter);
    if (key->suite == SUITE_AES_256_GCM)
        return crypto_aead_aes256gcm_decrypt_detached_afternm(message, NULL, message, length, tag, header,
                                                              header_length, nonce, aes_state(key)) == 0;
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(message, NULL, message, length, tag, header,
                                                              header_length, nonce, key->state) == 0;
}
