/*
 * test_client.h - the smallest client: one session, one request at a time, over any two functions that carry
 * datagrams. The simulator and a kernel socket are such functions, so the same tests run over both.
 */
#ifndef WILD_TEST_CLIENT_H
#define WILD_TEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handshake.h"
#include "message.h"

/* The way to a node. Datagrams may be lost, repeated and reordered. */
struct datagram_link {
    void *state;
    void (*send)(void *state, const uint8_t *bytes, size_t length);
    /* The next datagram for us, or 0 when none came within timeout_ms. */
    size_t (*receive)(void *state, uint8_t *out, size_t room, unsigned timeout_ms);
    void (*pass_time)(void *state, unsigned ms);
};

enum { TEST_CLIENT_OPERATIONS = 40, TEST_CLIENT_TRIES = 12, TEST_CLIENT_TIMEOUT_MS = 100 };

struct test_client {
    struct datagram_link link;
    struct random_source random;
    struct role_keys keys;
    struct session_keys session;
    struct replay_window replay;
    uint64_t counter, next_request_id;
    struct message_header reply_header; /* of the last reply */
    uint8_t reply[DATAGRAM_BYTES_MAX];  /* what the replies' values point into */
};

/* False: no session within TEST_CLIENT_TRIES tries. `secret` NULL: the published keys of a bench node. */
bool test_client_connect(struct test_client *client, const struct datagram_link *link, const char *secret,
                         unsigned suites, struct random_source random);
void test_client_close(struct test_client *client);

/*
 * One message, sent again until its reply comes. Operations with request_id 0 get the next one. Returns the
 * number of replies; 0: no reply came.
 */
unsigned test_client_request(struct test_client *client, struct operation *operations, unsigned count,
                             struct reply *replies);

#endif
