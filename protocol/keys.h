/*
 * keys.h - secrets, the keys derived from them, and the one place in memory where keys live.
 *
 *   secret text --> root key (32) --> role keys (32 each) --> mac1 key (16)
 *                                                         \--> traffic keys per session (handshake.h)
 *
 * Secret texts, at most 1,024 bytes:
 *   wild1:<64 hex digits>    generated root key, 32 random bytes: full trust, every role
 *   wildc1:<64 hex digits>   exported client role key: client only
 *   wild<a-z...><0-9...>:    (at least one digit) any other such beginning is reserved and refused
 *   anything else            a passphrase: root = Argon2id(passphrase; version 1.3, 3 passes, 64 MiB, 1 lane,
 *                            32 bytes, salt), where salt = BLAKE2b-128("wild passphrase salt" || cluster
 *                            name), RFC 9106 and RFC 7693. Passphrases can be guessed offline from captured
 *                            traffic; prefer generated keys.
 * Hex digits in either case, nothing before or after them.
 *
 * Derivations. kdf(key, number, context, bytes) is libsodium's crypto_kdf: BLAKE2b of the empty message with
 * that key, digest length = bytes, salt = number as 8 bytes little-endian then 8 zero bytes, personalisation
 * = the context's 8 characters then 8 zero bytes.
 *   role key = kdf(root, role, "wildrole", 32)      role: enum role
 *   mac1 key = kdf(role key, 1, "wildmac1", 16)
 * An `--insecure-no-auth` node and its clients use the published root of 32 zero bytes: no secret, the same
 * path.
 *
 * tests/unit/vectors.txt holds fixed examples of all of it.
 */
#ifndef WILD_KEYS_H
#define WILD_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROLE_KEY_BYTES = 32, MAC1_KEY_BYTES = 16, SECRET_TEXT_BYTES_MAX = 1024 };

enum role { ROLE_NONE = 0, ROLE_CLIENT = 1, ROLE_REPLICA = 2, ROLE_COUNT = 3 };

/* What one secret gives. `held[role]` is false for a role that the secret does not carry. */
struct role_keys {
    uint8_t role[ROLE_COUNT][ROLE_KEY_BYTES];
    uint8_t mac1[ROLE_COUNT][MAC1_KEY_BYTES];
    bool held[ROLE_COUNT];
};

/* Must be called once before anything else of this folder; safe to repeat. 0, or -1 if libsodium cannot
 * start. */
int keys_start(void);

/*
 * Derives every key that `text` carries. Takes about 0.3 s for a passphrase (Argon2id), no time otherwise.
 * `text` need not end in NUL; the caller wipes it. Returns 0; -EINVAL with one line in `error` (empty, too
 * long, a damaged or unknown token); -ENOMEM with one line when Argon2id finds no memory. On error `out` is
 * all zero. `out` should live in a key arena.
 */
int keys_from_secret(struct role_keys *out, const char *text, size_t length, const char *cluster_name,
                     char *error, size_t error_bytes);

/*
 * Whether a node may take this secret, without the cost of deriving: 0, or -EINVAL with one line in `error`
 * (as keys_from_secret(), and for a client's token, which cannot prove a node to other nodes).
 */
int keys_check_node_secret(const char *text, size_t length, char *error, size_t error_bytes);

/* The published keys of --insecure-no-auth. */
void keys_insecure(struct role_keys *out);

/*
 * Reads a secret file: one trailing newline is stripped; refused are what is not a regular file, a file that
 * group or others have any access to (mode & 077), an empty one, and one above SECRET_TEXT_BYTES_MAX. Returns
 * the length (no NUL is appended), or -1 with one line in `error`. The caller wipes `out`.
 */
int keys_read_secret_file(const char *path, char out[SECRET_TEXT_BYTES_MAX], char *error, size_t error_bytes);

/* sodium_memzero under the layering: only protocol/ sees libsodium. */
void keys_wipe(void *bytes, size_t length);

/*
 * Key arena: one locked region (mlock, MADV_DONTDUMP), made at start, handed out in 64-byte aligned pieces,
 * never given back piecewise; destroying it wipes it. One thread makes and destroys it; taking is not
 * thread-safe: take everything at start.
 */
struct key_arena;

/* NULL with one line in `error` (typically: what RLIMIT_MEMLOCK is, what it would have to be, how to raise
 * it). */
struct key_arena *key_arena_create(size_t bytes, char *error, size_t error_bytes);
void *key_arena_take(struct key_arena *arena, size_t bytes); /* zeroed; NULL when the arena is used up */
void key_arena_destroy(struct key_arena *arena);             /* NULL is fine */

#endif
