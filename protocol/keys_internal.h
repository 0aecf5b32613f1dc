/* keys_internal.h - a step of keys_from_secret() that the test vectors show. */
#ifndef WILD_KEYS_INTERNAL_H
#define WILD_KEYS_INTERNAL_H

#include "keys.h"

/* Argon2id: 0, or -1 without memory. */
int keys_root_from_passphrase(uint8_t root[ROLE_KEY_BYTES], const char *text, size_t length,
                              const char *cluster_name);

#endif
