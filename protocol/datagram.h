/*
 * datagram.h - WILD over UDP: one datagram is a 16-byte header, a payload, and (in a session) a 16-byte tag.
 *
 *   offset size  field
 *   0      1     magic     0xF7
 *   1      1     kind      enum datagram_kind
 *   2      1     version   protocol version; in the handshake see handshake.h
 *   3      1     reserved  MUST be zero (DATA, SEALED, PLAIN, CLOSE)
 *   4      4     session   id that the server chose; PLAIN: any
 *   8      8     counter   per direction, starts at 0, never repeats within a session, below 2^64 - 1; each
 *                          datagram sent has the next one, a retransmission too; PLAIN: any, echoed
 *   16     n     message   message.h; CLOSE: empty
 *   16+n   16    tag       suite MAC: SipHash-2-4-128 over everything before it, with the first 16 bytes of
 *                          the direction's key; AEAD suites: the AEAD's tag; PLAIN: none
 *
 * Integers are little-endian. SipHash-2-4-128 is the 128-bit form of SipHash-2-4 in its authors' reference
 * implementation (https://github.com/veorq/SipHash, outlen 16).
 *
 * A session's suite, chosen in the handshake, says which kind it speaks. MAC: DATA, authenticated but not
 * secret. AES_256_GCM (NIST SP 800-38D) and CHACHA20_POLY1305 (RFC 8439): SEALED, the message is encrypted,
 * the header is additional data, the nonce is 4 zero bytes then the counter as it stands in the header (RFC
 * 5116 3.2). CLOSE has the tag of its session's suite, over an empty message. Keys differ per direction, so a
 * datagram sent back to its sender fails.
 *
 * A datagram of a session is accepted, by either side, if and only if: its length is between 32 and 1372;
 * magic, version and reserved are right; kind is the suite's own, or CLOSE with a length of 32; the tag
 * verifies; its counter is new: not seen, above (highest seen - 1024), below 2^64 - 1. The replay window
 * moves only after the tag verified. Everything else is dropped in silence and counted. A server also wants
 * it from the address, port and worker that confirmed the session.
 *
 * PLAIN has no session, no tag, no replay window and no retry window; only a node in bench mode
 * (--insecure-no-auth) answers it: length 16 to 1372, version one that the node speaks, reserved zero. Its
 * message may end in zero padding, and the reply is never larger than the request (else operations are
 * answered with MORE). ECHO (same condition) is returned byte for byte except that kind becomes ECHO_REPLY,
 * which is never answered: load generators stamp times into it. Its payload is free from offset 2 on (a
 * 24-byte stamp at frame offset 48 is payload offset 6..29).
 */
#ifndef WILD_DATAGRAM_H
#define WILD_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol_limits.h"

enum { DATAGRAM_MAGIC = 0xF7 };
/* READY's counter; refused in every other datagram, so that one above the highest is always a number. */
#define DATAGRAM_COUNTER_NEVER UINT64_MAX

enum datagram_kind {
    DATAGRAM_INIT = 1,     /* client -> server, handshake.h */
    DATAGRAM_COOKIE = 2,   /* server -> client */
    DATAGRAM_RESPONSE = 3, /* server -> client */
    DATAGRAM_CONFIRM = 4,  /* client -> server */
    DATAGRAM_READY = 5,    /* server -> client */
    DATAGRAM_DATA = 6,     /* both: message and MAC */
    DATAGRAM_SEALED = 7,   /* both: encrypted message */
    DATAGRAM_CLOSE = 8,    /* client -> server: empty message and MAC; the session ends, no answer */
    DATAGRAM_PLAIN = 9,    /* both: bench mode only */
    DATAGRAM_ECHO = 10,    /* client -> server: bench mode only */
    DATAGRAM_ECHO_REPLY = 11,
};

/* Bit values: the handshake offers a set and chooses one. */
enum suite {
    SUITE_MAC = 1,               /* DATA: SipHash-2-4-128 */
    SUITE_AES_256_GCM = 2,       /* SEALED, where the CPU has AES */
    SUITE_CHACHA20_POLY1305 = 4, /* SEALED, everywhere (IETF form) */
    SUITE_ALL = 7,
};

/* Suites this machine can run (AES-256-GCM needs the CPU's help). */
unsigned datagram_suites(void);

/* One direction's key: opaque, made by datagram_key_init() (for AES: the expanded key). Lives in a key arena.
 */
enum { DIRECTION_KEY_BYTES = 32 };
struct direction_key {
    _Alignas(64) uint32_t suite;      /* enum suite; on one line with all that SUITE_MAC needs */
    _Alignas(16) uint8_t state[512];  /* AES: crypto_aead_aes256gcm_state; others: the raw key in front */
    uint8_t raw[DIRECTION_KEY_BYTES]; /* what the next key is derived from (record.h) */
};
static_assert(sizeof(struct direction_key) == 576, "the raw key stands where padding would");
void datagram_key_init(struct direction_key *key, enum suite suite, const uint8_t raw[DIRECTION_KEY_BYTES]);

/* Sliding window over a peer's counters (RFC 4303 3.4.3's idea, with a ring of words). Zeroed = nothing seen.
 */
struct replay_window {
    uint64_t next; /* one above the highest counter accepted; 0 = none yet */
    uint64_t seen[REPLAY_WINDOW_COUNTERS / 64];
};
bool replay_window_is_new(const struct replay_window *window, uint64_t counter);
void replay_window_accept(struct replay_window *window, uint64_t counter); /* only after verification */

struct datagram_header {
    uint64_t counter;
    uint32_t session;
    uint8_t kind, version;
};

/*
 * The header alone, before any key is known: false if shorter than a header or the magic is wrong. `kind`
 * holds for every datagram, `session` for CONFIRM, READY, DATA, SEALED, CLOSE and PLAIN; the other kinds have
 * forms of their own. Nothing of it is proven yet.
 */
bool datagram_peek(struct datagram_header *out, const uint8_t *bytes, size_t length);

/*
 * Verifies (and for SEALED decrypts, in place) a DATA, SEALED or CLOSE datagram of `key`'s suite, and
 * advances the window. 0 and the message's place and length; -EBADMSG wrong form or tag; -EALREADY right tag,
 * but its counter was seen, is too old or is 2^64 - 1. On error the window has not moved, and the message's
 * bytes are not to be used (those of a SEALED datagram have been overwritten). Which kind it was stands in
 * the header: a CLOSE is the caller's to recognise (datagram_peek()). datagram_inline.h has the same in
 * parts, for bursts of datagrams.
 */
int datagram_open(const struct direction_key *key, struct replay_window *window, uint8_t version,
                  uint8_t *bytes, size_t length, uint8_t **message, size_t *message_length);

/*
 * Makes a datagram around a message that stands already at out + DATAGRAM_HEADER_BYTES (in place; room for
 * the tag is the caller's). kind: DATAGRAM_CLOSE, or 0 for the suite's own (DATA or SEALED). Returns the
 * datagram's bytes.
 */
size_t datagram_seal(const struct direction_key *key, unsigned kind, uint8_t version, uint32_t session,
                     uint64_t counter, uint8_t *out, size_t message_length);

/* PLAIN header; the message stands at out + DATAGRAM_HEADER_BYTES. Returns the datagram's bytes. */
size_t datagram_plain(uint8_t *out, uint32_t session, uint64_t counter, size_t message_length);
/* Checks a PLAIN datagram's header and length: 0 and the message's place and length, or -EBADMSG. */
int datagram_plain_open(uint8_t *bytes, size_t length, uint8_t **message, size_t *message_length);

#endif
