/*
 * handshake.h - how a client and a node that share a role key make a session. In the spirit of Noise NNpsk0
 * (https://noiseprotocol.org/noise.html): ephemeral X25519 on both sides, the role key as pre-shared key, and
 * a cheap MAC and an address cookie in front (after WireGuard's mac1 and mac2). Pure: bytes in, bytes out.
 *
 *   client                                   server
 *     INIT (96)  ------------------------->   mac1 checked (cheap); under load: cookie
 *     <------------------------- COOKIE (48)  (only under load; client repeats INIT with mac2)
 *     <----------------------- RESPONSE (96)  X25519 done; carries the server's confirmation
 *     CONFIRM (32) ----------------------->   carries the client's confirmation: now the session lives
 *     <--------------------------- READY (32) proves that the server has it too; client may send
 *
 * Loss. The client repeats its last message, byte for byte, until the answer comes (a repeated INIT may
 * bring a second RESPONSE, the same or one for another session: the first good one counts); the server never
 * repeats by itself, and forgets a session that is not confirmed within five seconds. A message that is not
 * in order is dropped in silence, by both sides: an INIT without a common version or suite gets no answer
 * either. A client whose CONFIRM stays unanswered starts anew, with a fresh ephemeral and client index.
 *
 * Over TCP the same messages travel, one after the other and nothing between them; their kinds say how long
 * they are. Nothing is repeated (but INIT after COOKIE), and a message that is malformed or not in order ends
 * the connection. Suite MAC is not offered and not chosen: records are always sealed (record.h). A client
 * need not wait for READY: its first records may follow CONFIRM in the same segment.
 *
 * All integers little-endian. Reserved bytes MUST be zero. No answer is larger than what it answers.
 *
 * INIT, kind 1, 96 bytes                      RESPONSE, kind 3, 96 bytes
 *   0  1  magic 0xF7                            0  1  magic
 *   1  1  kind                                  1  1  kind
 *   2  1  version_min offered                   2  1  version chosen
 *   3  1  version_max offered                   3  1  suite chosen (one bit)
 *   4  1  role (enum role)                      4  4  client index (echo)
 *   5  1  transport (enum transport)            8  4  session id
 *   6  1  suites offered (bits)                 12 4  reserved
 *   7  1  reserved                              16 32 server ephemeral
 *   8  4  client index                          48 16 cluster id
 *   12 4  reserved                              64 8  node id
 *   16 32 client ephemeral                      72 8  reserved
 *   48 16 reserved                              80 16 server confirmation
 *   64 16 mac1 = SipHash-2-4-128(mac1 key, bytes 0..63)
 *   80 16 mac2 = SipHash-2-4-128(cookie, bytes 0..79), zero without cookie
 *
 * COOKIE, kind 2, 48 bytes                    CONFIRM, kind 4, 32 bytes
 *   0  1  magic                                 0  1  magic
 *   1  1  kind                                  1  1  kind
 *   2  2  reserved                              2  1  version chosen
 *   4  4  client index (echo)                   3  1  suite chosen
 *   8  8  reserved                              4  4  session id
 *   16 16 cookie                                8  8  reserved
 *   32 16 SipHash-2-4-128(mac1 key,             16 16 client confirmation
 *         bytes 0..31 || INIT's mac1)
 *
 * READY, kind 5, 32 bytes: 16-byte datagram header (kind 5, version, 0, session id, counter 2^64-1) and a
 * tag: SipHash-2-4-128 over the header, keyed with the READY key below. It may be sent again for a repeated
 * CONFIRM: it never changes.
 *
 * INIT is in order if and only if: length, magic, kind and reserved fields are right; version_min <=
 * version_max; role is 1 or 2; transport is the one it came by; mac1 verifies with the mac1 key of that role.
 * A server that demands cookies answers an INIT whose mac2 is not right with COOKIE; one that does not may
 * still do so when mac2 is not zero. Suite bits that the server does not know are no
 * obstacle. RESPONSE is in order if and only if: length, magic, kind, client index and reserved fields are
 * right; version is within what was offered; suite is exactly one of the bits offered; the ephemerals'
 * product is not zero; the server confirmation is right. CONFIRM and READY have one right form per session.
 *
 * The server takes the highest common version, and of the common suites MAC if offered (over UDP), else
 * AES-256-GCM, else ChaCha20-Poly1305. A client that wants secrecy therefore does not offer SUITE_MAC.
 *
 * Key schedule (H = BLAKE2b with 32-byte digest, RFC 7693; || joins bytes, labels without NUL; kdf: keys.h):
 *   dh         = X25519(own ephemeral secret, peer's ephemeral), RFC 7748; all-zero refused
 *   transcript = H("WILD handshake 1" || INIT[0..79] || RESPONSE[0..79])
 *   master     = H keyed with the role key ("WILD master key" || dh || transcript)
 *   key i      = kdf(master, i, "wildsess", 32); as a SipHash key: its first 16 bytes
 *                key 1 client->server traffic, key 2 server->client traffic (datagram.h), key 3 server
 *                confirmation, key 4 client confirmation, key 5 READY
 *   server confirmation = SipHash-2-4-128(key 3, transcript)
 *   client confirmation = SipHash-2-4-128(key 4, transcript)
 *   READY's tag         = SipHash-2-4-128(key 5, READY[0..15])
 * The ranges INIT[0..79] and RESPONSE[0..79] are inclusive. The transcript binds version range and choice,
 * suites offered and chosen, transport, role, cluster id, node id, session id and both ephemerals: a changed
 * byte anywhere makes the confirmations fail, so nothing can be downgraded in silence. mac2 is outside: it
 * proves an address, and nothing rests on it but the server's patience.
 *
 * The cookie is the server's own affair (here: SipHash-2-4-128 of the source address and port under a secret
 * that lives two minutes, and is honoured for two more). A client keeps none: it answers the COOKIE by
 * repeating its INIT with mac2, and a new INIT starts with mac2 zero.
 */
#ifndef WILD_HANDSHAKE_H
#define WILD_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datagram.h"
#include "keys.h"
#include "random.h"

enum {
    HANDSHAKE_INIT_BYTES = 96,
    HANDSHAKE_COOKIE_BYTES = 48,
    HANDSHAKE_RESPONSE_BYTES = 96,
    HANDSHAKE_CONFIRM_BYTES = 32,
    HANDSHAKE_READY_BYTES = 32,
    COOKIE_BYTES = 16,
    CLUSTER_ID_BYTES = 16,
};
static_assert(HANDSHAKE_COOKIE_BYTES <= HANDSHAKE_INIT_BYTES, "no amplification");
static_assert(HANDSHAKE_RESPONSE_BYTES <= HANDSHAKE_INIT_BYTES, "no amplification");
static_assert(HANDSHAKE_READY_BYTES <= HANDSHAKE_CONFIRM_BYTES, "no amplification");

enum transport { TRANSPORT_UDP = 1, TRANSPORT_TCP = 2 };

/* What both sides hold once a handshake is complete. Lives in a key arena on servers. */
struct session_keys {
    struct direction_key send, receive;
    uint8_t client_confirm_tag[16]; /* the CONFIRM that the server expects */
    uint8_t ready_key[16];
    uint32_t session;
    uint8_t version, suite, role;
};

struct handshake_identity {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t node_id;
};

/* ---- server: cheap checks on the worker, mathematics elsewhere ---- */

/*
 * The worker's part: form and mac1 of an INIT, nothing dearer than SipHash. 0 with the role and the client
 * index, or -EBADMSG (wrong form or mac1), -EACCES (these keys do not carry the role), and after mac1 has
 * verified -EPROTO (no common version), -ENOTSUP (no common suite). `transport`: the one it arrived by, must
 * equal the INIT's. With two secrets in force, the caller tries the second when the first gives -EBADMSG or
 * -EACCES.
 */
int handshake_init_check(const struct role_keys *keys, enum transport transport, const uint8_t *bytes,
                         size_t length, enum role *role, uint32_t *client_index);

/*
 * Cookies: bound to the source address, from a secret that is replaced every COOKIE_SECRET_LIFE_S; both the
 * current and the one before are good. The owner calls cookie_secrets_refresh() before each use (it does
 * nothing while the secret is young). `source` is whatever identifies the address: 16-byte IP then port.
 * `out` of handshake_cookie_reply() may be where `init` stands.
 */
enum { COOKIE_SECRET_LIFE_S = 120, COOKIE_SOURCE_BYTES = 18 };
struct cookie_secrets { /* zeroed before the first refresh, which must come before any other use */
    uint8_t key[2][16]; /* [0] current, [1] previous */
    uint64_t changed_ns;
    bool filled;
};
void cookie_secrets_refresh(struct cookie_secrets *secrets, const struct random_source *random,
                            uint64_t now_ns);
bool handshake_cookie_valid(const struct cookie_secrets *secrets, const uint8_t source[COOKIE_SOURCE_BYTES],
                            const uint8_t init[HANDSHAKE_INIT_BYTES]);
void handshake_cookie_reply(const struct role_keys *keys, enum role role,
                            const struct cookie_secrets *secrets, const uint8_t source[COOKIE_SOURCE_BYTES],
                            const uint8_t init[HANDSHAKE_INIT_BYTES], uint8_t out[HANDSHAKE_COOKIE_BYTES]);

/*
 * The helper thread's part (about 60 us): answers an INIT that passed handshake_init_check(). `session` is
 * the id the worker chose. 0; -EBADMSG for a low-order ephemeral.
 */
int handshake_respond(const struct role_keys *keys, const struct handshake_identity *identity,
                      const struct random_source *random, uint32_t session,
                      const uint8_t init[HANDSHAKE_INIT_BYTES], uint8_t response[HANDSHAKE_RESPONSE_BYTES],
                      struct session_keys *out);

/* A CONFIRM for this pending session: 0 or -EBADMSG. Cheap. */
int handshake_confirm_check(const struct session_keys *session, const uint8_t *bytes, size_t length);
void handshake_ready(const struct session_keys *session, uint8_t out[HANDSHAKE_READY_BYTES]);

/* ---- client ---- */

struct handshake_client {
    uint8_t secret[32], init[HANDSHAKE_INIT_BYTES];
    enum role role;
};

/*
 * Makes client->init, to be sent (and sent again) until an answer comes. `suites`: those the caller accepts;
 * only those that this machine can run are offered, and over TCP never SUITE_MAC. 0; -ENOTSUP none is left;
 * -EACCES the secret does not carry the role. The caller keeps one handshake_client per attempt and calls
 * handshake_end().
 */
int handshake_start(struct handshake_client *client, const struct role_keys *keys, enum role role,
                    enum transport transport, unsigned suites, const struct random_source *random);
/* A COOKIE answering our INIT: 0 and client->init carries mac2 (send it again), or -EBADMSG. */
int handshake_take_cookie(struct handshake_client *client, const struct role_keys *keys, const uint8_t *bytes,
                          size_t length);
/* A RESPONSE: 0, the CONFIRM to send (repeat it until READY comes) and the session; -EBADMSG. Wipes nothing:
 * call handshake_end(). */
int handshake_finish(struct handshake_client *client, const struct role_keys *keys, const uint8_t *bytes,
                     size_t length, uint8_t confirm[HANDSHAKE_CONFIRM_BYTES], struct session_keys *out,
                     struct handshake_identity *server);
int handshake_ready_check(const struct session_keys *session, const uint8_t *bytes,
                          size_t length);            /* 0 or -EBADMSG */
void handshake_end(struct handshake_client *client); /* wipes the ephemeral secret */

#endif
