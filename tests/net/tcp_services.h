/*
 * tcp_services.h - what tcp_station offers: small services on streams, one a port, which verify what they
 * receive.
 *
 *   port service what it does
 *   7001 echo    sends back what comes
 *   7002 discard verifies that the pattern comes; at the peer's end answers "ok COUNT\n" or "bad OFFSET\n"
 *   7003 source  reads COUNT and PHASE (8 bytes each, little endian), sends as much of the pattern from there
 *                and closes; whatever else comes, then or later, must be the pattern from its start
 *   7004 request answers each 64 bytes with their complement; a request that takes REQUEST_MS ends in a reset
 *   7005 slow    as discard, but takes SLOW_BYTES every SLOW_MS only
 *
 * The pattern is PATTERN_BYTES of a seeded generator, over and over: a prime number of them, so that no
 * multiple of a segment or a buffer looks like another place of it.
 */
#ifndef WILD_TESTS_TCP_SERVICES_H
#define WILD_TESTS_TCP_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

enum {
    PATTERN_BYTES = 1048573,
    PATTERN_RUN_MAX = 65536, /* that much is in one piece wherever it starts */
    REQUEST_BYTES = 64,
    REQUEST_MS = 1500,
    SLOW_BYTES = 16384,
    SLOW_MS = 2,
    SERVICES = 5,
    SERVICES_PORT = 7001,
};

struct services;
struct service;

struct session {
    struct services *services;
    const struct service *service;
    struct session *next_free;
    uint64_t received, sent, to_send, phase;
    uint64_t bad_at; /* of what was received: the first byte that is not the pattern's; UINT64_MAX: none */
    uint32_t allowance;
    uint8_t partial[REQUEST_BYTES];
    unsigned partial_bytes;
    bool opened_by_us, peer_ended, blocked;
};

struct service {
    const char *name;
    struct stream_events events;
    bool reported; /* its sessions' ends are told on stdout */
};

struct services {
    uint8_t pattern[PATTERN_BYTES + PATTERN_RUN_MAX];
    const struct instant *now;
    struct session *free, *sessions;
    unsigned sessions_max, open;
    uint64_t opened;
};

/* NULL: memory is short. `now` is read at every event. */
struct services *services_create(uint64_t seed, unsigned sessions_max, const struct instant *now);
void services_destroy(struct services *services);
/* Acceptor of the i-th port. */
struct stream_acceptor services_acceptor(struct services *services, unsigned i);
/* NULL: no such service, or no session to be had. The stream's user is what this returns. */
struct session *services_open(struct services *services, const char *name);
void services_forget(struct services *services, struct session *session);

#endif
