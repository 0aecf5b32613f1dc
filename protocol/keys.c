/* keys.c - from a secret's text to the keys that it carries. The derivations: keys.h. */
#include "keys_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_HEX_DIGITS = 64, PASSPHRASE_PASSES = 3, PASSPHRASE_MEMORY_BYTES = 64 << 20 };
static_assert((int)ROLE_KEY_BYTES == (int)crypto_kdf_KEYBYTES, "root and role keys are kdf keys");
static_assert((int)TOKEN_HEX_DIGITS == 2 * (int)ROLE_KEY_BYTES, "a token is one key in hex");

int keys_start(void)
{
    return sodium_init() < 0 ? -1 : 0;
}

void keys_wipe(void *bytes, size_t length)
{
    sodium_memzero(bytes, length);
}

/* One line for the operator; never with a byte of the secret in it. Returns `outcome`. */
__attribute__((format(printf, 4, 5))) static int fail(int outcome, char *error, size_t error_bytes,
                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    return outcome;
}

/* ---- derivation ---- */

static void derive_mac1(struct role_keys *keys, enum role role)
{
    crypto_kdf_derive_from_key(keys->mac1[role], MAC1_KEY_BYTES, 1, "wildmac1", keys->role[role]);
    keys->held[role] = true;
}

static void derive_every_role(struct role_keys *keys, const uint8_t root[ROLE_KEY_BYTES])
{
    for (enum role role = ROLE_CLIENT; role < ROLE_COUNT; role++) {
        crypto_kdf_derive_from_key(keys->role[role], ROLE_KEY_BYTES, role, "wildrole", root);
        derive_mac1(keys, role);
    }
}

int keys_root_from_passphrase(uint8_t root[ROLE_KEY_BYTES], const char *text, size_t length,
                              const char *cluster_name)
{
    static const char label[] = "wild passphrase salt";
    uint8_t salt[crypto_pwhash_SALTBYTES];
    crypto_generichash_state hash;

    crypto_generichash_init(&hash, NULL, 0, sizeof salt);
    crypto_generichash_update(&hash, (const uint8_t *)label, sizeof label - 1);
    crypto_generichash_update(&hash, (const uint8_t *)cluster_name, strlen(cluster_name));
    crypto_generichash_final(&hash, salt, sizeof salt);
    return crypto_pwhash(root, ROLE_KEY_BYTES, text, length, salt, PASSPHRASE_PASSES, PASSPHRASE_MEMORY_BYTES,
                         crypto_pwhash_ALG_ARGON2ID13);
}

void keys_insecure(struct role_keys *out)
{
    static const uint8_t published_root[ROLE_KEY_BYTES];
    memset(out, 0, sizeof *out);
    derive_every_role(out, published_root);
}

/* ---- secret texts ---- */

/*
 * Length of the prefix "wild", lower-case letters, digits, ':' that marks a token; 0 for a passphrase. A
 * token that this build does not know is refused rather than taken for a passphrase that nobody chose.
 */
static size_t token_prefix(const char *text, size_t length)
{
    size_t i = 4, digits;
    if (length < i || memcmp(text, "wild", 4) != 0)
        return 0;
    while (i < length && text[i] >= 'a' && text[i] <= 'z')
        i++;
    for (digits = i; i < length && text[i] >= '0' && text[i] <= '9';)
        i++;
    return i > digits && i < length && text[i] == ':' ? i + 1 : 0;
}

static bool prefix_is(const char *text, size_t prefix, const char *wanted)
{
    return prefix == strlen(wanted) && memcmp(text, wanted, prefix) == 0;
}

static int keys_from_token(struct role_keys *out, const char *text, size_t length, size_t prefix, char *error,
                           size_t error_bytes)
{
    bool full = prefix_is(text, prefix, "wild1:");
    if (!full && !prefix_is(text, prefix, "wildc1:"))
        return fail(-EINVAL, error, error_bytes,
                    "the secret is a token of a kind that this version does not know");

    uint8_t key[ROLE_KEY_BYTES];
    if (length - prefix != TOKEN_HEX_DIGITS ||
        sodium_hex2bin(key, sizeof key, text + prefix, TOKEN_HEX_DIGITS, NULL, NULL, NULL) != 0) {
        sodium_memzero(key, sizeof key);
        return fail(-EINVAL, error, error_bytes, "the secret is damaged: %d hex digits must follow \"%.*s\"",
                    TOKEN_HEX_DIGITS, (int)prefix, text);
    }
    if (full) {
        derive_every_role(out, key);
    } else {
        memcpy(out->role[ROLE_CLIENT], key, sizeof key);
        derive_mac1(out, ROLE_CLIENT);
    }
    sodium_memzero(key, sizeof key);
    return 0;
}

static int check_length(size_t length, char *error, size_t error_bytes)
{
    if (length == 0)
        return fail(-EINVAL, error, error_bytes, "the secret is empty");
    if (length > SECRET_TEXT_BYTES_MAX)
        return fail(-EINVAL, error, error_bytes, "the secret is longer than %d bytes", SECRET_TEXT_BYTES_MAX);
    return 0;
}

int keys_check_node_secret(const char *text, size_t length, char *error, size_t error_bytes)
{
    struct role_keys keys = {0};
    size_t prefix = token_prefix(text, length);
    int outcome = check_length(length, error, error_bytes);
    if (outcome == 0 && prefix > 0) {
        outcome = keys_from_token(&keys, text, length, prefix, error, error_bytes);
        if (outcome == 0 && !keys.held[ROLE_REPLICA])
            outcome = fail(-EINVAL, error, error_bytes,
                           "the secret is a client's token: a node needs the secret it was made from");
        sodium_memzero(&keys, sizeof keys);
    }
    return outcome;
}

int keys_from_secret(struct role_keys *out, const char *text, size_t length, const char *cluster_name,
                     char *error, size_t error_bytes)
{
    sodium_memzero(out, sizeof *out);
    if (check_length(length, error, error_bytes) != 0)
        return -EINVAL;

    size_t prefix = token_prefix(text, length);
    if (prefix > 0)
        return keys_from_token(out, text, length, prefix, error, error_bytes);

    uint8_t root[ROLE_KEY_BYTES];
    if (keys_root_from_passphrase(root, text, length, cluster_name) != 0) {
        sodium_memzero(root, sizeof root);
        return fail(-ENOMEM, error, error_bytes,
                    "a passphrase needs %d MiB of memory once, and there is less",
                    PASSPHRASE_MEMORY_BYTES >> 20);
    }
    derive_every_role(out, root);
    sodium_memzero(root, sizeof root);
    return 0;
}

/* ---- secret files ---- */

/* Bytes read, at most `room`; -1 with errno. */
static ssize_t read_whole(int file, char *out, size_t room)
{
    size_t have = 0;
    while (have < room) {
        ssize_t got = read(file, out + have, room - have);
        if (got == 0)
            break;
        if (got > 0)
            have += (size_t)got;
        else if (errno != EINTR)
            return -1;
    }
    return (ssize_t)have;
}

static int check_secret_file(int file, const char *path, char *error, size_t error_bytes)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return fail(-1, error, error_bytes, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fail(-1, error, error_bytes, "%s is not a regular file", path);
    if ((status.st_mode & 077) != 0)
        return fail(-1, error, error_bytes, "%s is open to others (mode %03o): chmod 600 it", path,
                    status.st_mode & 0777);
    return 0;
}

int keys_read_secret_file(const char *path, char out[SECRET_TEXT_BYTES_MAX], char *error, size_t error_bytes)
{
    /* O_NONBLOCK: a FIFO is refused below instead of waited for */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return fail(-1, error, error_bytes, "%s: %s", path, strerror(errno));
    if (check_secret_file(file, path, error, error_bytes) != 0) {
        close(file);
        return -1;
    }

    char text[SECRET_TEXT_BYTES_MAX + 2]; /* a newline, and one byte more to see that a file is too long */
    ssize_t length = read_whole(file, text, sizeof text);
    int reason = errno;
    close(file);

    if (length > 0 && text[length - 1] == '\n')
        length--;
    if (length > 0 && length <= SECRET_TEXT_BYTES_MAX)
        memcpy(out, text, (size_t)length);
    sodium_memzero(text, sizeof text);

    if (length < 0)
        return fail(-1, error, error_bytes, "%s: %s", path, strerror(reason));
    if (length == 0)
        return fail(-1, error, error_bytes, "%s is empty", path);
    if (length > SECRET_TEXT_BYTES_MAX)
        return fail(-1, error, error_bytes, "%s is longer than %d bytes", path, SECRET_TEXT_BYTES_MAX);
    return (int)length;
}
