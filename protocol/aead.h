/*
 * aead.h - the two AEADs behind datagrams and records: AES-256-GCM (NIST SP 800-38D) and ChaCha20-Poly1305
 * (RFC 8439), with a counter for a nonce. Of this folder alone: others see datagram.h and record.h.
 */
#ifndef WILD_AEAD_H
#define WILD_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datagram.h"

enum { AEAD_TAG_BYTES = 16 };

/*
 * The nonce is 4 zero bytes, then the counter, little-endian (RFC 5116 3.2: a fixed field - zero, for keys
 * differ per session and direction - then a counter). key->suite must be an AEAD's. `out` is `message`, or
 * does not overlap it.
 */
void aead_seal(const struct direction_key *key, uint64_t counter, const uint8_t *header, size_t header_length,
               const uint8_t *message, size_t length, uint8_t *out, uint8_t tag[AEAD_TAG_BYTES]);

/* Decrypts in place. False: the tag is wrong, and the message's bytes have been overwritten. */
bool aead_open(const struct direction_key *key, uint64_t counter, const uint8_t *header, size_t header_length,
               uint8_t *message, size_t length, const uint8_t tag[AEAD_TAG_BYTES]);

#endif
