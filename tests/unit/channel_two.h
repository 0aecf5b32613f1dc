/*
 * channel_two.h - both ends of a channel on a pair of links, and the secrets of their tests.
 */
#ifndef WILD_TESTS_CHANNEL_TWO_H
#define WILD_TESTS_CHANNEL_TWO_H

#include "channel.h"
#include "channel_fixture.h"
#include "suite.h"

enum { LARGEST = REPLICATION_PAYLOAD_BYTES_MAX, WIDE = 1 << 20 };

static struct role_keys keys_a, keys_b, keys_c, keys_client;
static const struct handshake_identity identity = {.cluster_id = "0123456789abcde", .node_id = 77};

/* Both ends. */
struct two {
    struct link_pair *pair;
    struct channel_side *server, *client;
};

static inline struct two two_new(const struct role_keys *server_keys[2],
                                 const struct role_keys *client_keys[2])
{
    return (struct two){
        .server = side_new(0, server_keys[0], server_keys[1], &identity, REPLICATION_MESSAGE_BYTES_MAX),
        .client = side_new(1, client_keys[0], client_keys[1], NULL, REPLICATION_MESSAGE_BYTES_MAX)};
}

static inline struct two two_of_one_secret(void)
{
    const struct role_keys *keys[2] = {&keys_a, NULL};
    return two_new(keys, keys);
}

static inline void two_meet(struct two *t, size_t limit)
{
    if (t->pair != NULL)
        link_pair_free(t->pair);
    t->pair = link_pair_new(limit);
    side_start(t->server, t->pair, t->client);
    side_start(t->client, t->pair, t->server);
}

static inline void two_free(struct two *t)
{
    link_pair_free(t->pair);
    side_free(t->server);
    side_free(t->client);
}

/* Both are open, on a link of this room. */
static inline struct two two_open(size_t limit)
{
    struct two t = two_of_one_secret();
    two_meet(&t, limit);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL_FATAL(t.server->channel.state, CHANNEL_OPEN);
    CU_ASSERT_EQUAL_FATAL(t.client->channel.state, CHANNEL_OPEN);
    return t;
}

/* Nothing has come that was not sent, in that order, or after the end. */
static inline bool is_clean(const struct two *t)
{
    return t->server->wrong + t->server->late + t->client->wrong + t->client->late == 0;
}

static inline bool all_came(const struct two *t)
{
    return is_clean(t) && t->server->came == t->client->queued && t->client->came == t->server->queued;
}

static inline bool has_ended(const struct channel_side *s, enum channel_end end)
{
    return s->channel.state == CHANNEL_ENDED && s->channel.end == end && side_is_wiped(s) &&
           !channel_sending(&s->channel);
}

static inline void send_now(struct channel_side *s, uint32_t size)
{
    side_queue(s, size);
    side_turn(s);
}

/* Which message of the handshake: 0 INIT, 1 RESPONSE, 2 CONFIRM, 3 READY; all before it have come. */
static inline struct two shaken_until(unsigned message)
{
    struct two t = two_of_one_secret();
    two_meet(&t, WIDE);
    for (unsigned i = 0; i < message; i++)
        link_pair_move(t.pair, i % 2 == 0, SIZE_MAX);
    return t;
}

static inline void two_derive(struct role_keys *keys, const char *secret)
{
    char error[256];
    if (keys_from_secret(keys, secret, strlen(secret), "wild", error, sizeof error) != 0)
        abort();
}

/* Once, before the tests. False: libsodium does not start. */
static inline bool two_start(void)
{
    if (keys_start() != 0)
        return false;
    two_derive(&keys_a, "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    two_derive(&keys_b, "wild1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    two_derive(&keys_c, "wild1:ee0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    two_derive(&keys_client, "wildc1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    return true;
}

#endif
