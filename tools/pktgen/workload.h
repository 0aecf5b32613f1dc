/*
 * workload.h - the requests that wild-pcap writes: a seeded stream of PLAIN datagrams (datagram.h), one
 * operation each.
 *
 * A key's value is a function of its number, so every SET of a key stores the same bytes and every GET has
 * one right answer. A GET is padded with zero bytes to the size of the answer it hopes for: a PLAIN reply is
 * never larger than its request.
 */
#ifndef WILD_PKTGEN_WORKLOAD_H
#define WILD_PKTGEN_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol_limits.h"
#include "zipf.h"

enum { ECHO_BYTES_MIN = 30 /* a 24-byte stamp at offset 6 fits */ };

struct workload {
    uint64_t keys;        /* numbers 0 .. keys - 1 */
    double zipf_exponent; /* 0: all keys alike; else key 0 is the hottest */
    unsigned get_percent;
    unsigned key_size, value_size;
    unsigned echo_size; /* not 0: ECHO datagrams of that many bytes instead of operations */
    uint64_t seed;

    /* of workload_start() */
    struct zipf zipf;
    uint64_t random, request;
};

/* NULL, or one line about what is wrong with the numbers. */
const char *workload_start(struct workload *workload);
/* The next datagram; its bytes. `is_get` for the caller's statistics. */
size_t workload_next(struct workload *workload, uint8_t out[DATAGRAM_BYTES_MAX], bool *is_get);
/* The SET that stores one key. */
size_t workload_preload(struct workload *workload, uint64_t number, uint8_t out[DATAGRAM_BYTES_MAX]);

void workload_key(const struct workload *workload, uint64_t number, uint8_t out[KEY_BYTES_MAX]);
void workload_value(const struct workload *workload, uint64_t number, uint8_t out[VALUE_BYTES_MAX]);
/* The number of a key that workload_key() made; false if it is none. */
bool workload_key_number(const struct workload *workload, const uint8_t *key, size_t length, uint64_t *out);

#endif
