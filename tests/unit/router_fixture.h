/*
 * router_fixture.h - a primary, its replicas and a router, for tests. The nodes are responders in this
 * process; what the primary writes, the replicas have at once unless they are ordered otherwise.
 */
#ifndef WILD_TESTS_ROUTER_FIXTURE_H
#define WILD_TESTS_ROUTER_FIXTURE_H

#include <stdio.h>
#include <time.h>

#include "client_responder.h"
#include "suite.h"
#include "wild_router.h"

#define ROUTER_SECRET "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

enum { NODES_MAX = 5 }; /* the first is the primary */

struct cluster {
    struct responder *node[NODES_MAX];
    unsigned count;
    struct wild_router *router;
    struct responder_entry log[RESPONDER_LOG_MAX];
};

/* Nobody's time-out: a slow machine is no failure. A test of time-outs sets its own. */
#define ROUTER_TIMEOUT_MS 20000

static inline struct responder_role role_of(unsigned index, uint8_t mode, uint32_t epoch)
{
    return (struct responder_role){.mode = mode, .epoch = epoch, .history = 42, .node_id = 100 + index};
}

static inline void set_role(struct cluster *c, unsigned index, uint8_t mode, uint32_t epoch)
{
    struct responder_role role = role_of(index, mode, epoch);
    responder_role(c->node[index], &role);
}

static inline void cluster_start(struct cluster *c, unsigned count, bool stream)
{
    *c = (struct cluster){.count = count};
    for (unsigned i = 0; i < count; i++) {
        c->node[i] = stream ? responder_start_stream(ROUTER_SECRET, "127.0.0.1")
                            : responder_start(ROUTER_SECRET, "127.0.0.1");
        CU_ASSERT_PTR_NOT_NULL_FATAL(c->node[i]);
        set_role(c, i, i == 0 ? MODE_PRIMARY : MODE_REPLICA, 7);
        if (i > 0)
            responder_follow(c->node[i], c->node[0]);
    }
}

/* Options for all nodes; `replicas` is where they are kept. */
static inline struct wild_router_options router_options(const struct cluster *c,
                                                        struct wild_replica replicas[NODES_MAX])
{
    for (unsigned i = 1; i < c->count; i++)
        replicas[i - 1] = (struct wild_replica){.endpoint = responder_endpoint(c->node[i])};
    return (struct wild_router_options){
        .primary = responder_endpoint(c->node[0]),
        .replicas = replicas,
        .replica_count = c->count - 1,
        .secret = ROUTER_SECRET,
        .timeout_ms = ROUTER_TIMEOUT_MS,
        .connect_timeout_ms = ROUTER_TIMEOUT_MS,
        .transport = responder_is_stream(c->node[0]) ? WILD_TRANSPORT_TCP : WILD_TRANSPORT_UDP,
    };
}

static inline void router_open(struct cluster *c, const struct wild_router_options *options)
{
    char error[WILD_ERROR_BYTES];
    c->router = wild_router_create(options, error);
    if (c->router == NULL)
        fprintf(stderr, "%s\n", error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c->router);
}

static inline void cluster_begin(struct cluster *c, unsigned count)
{
    struct wild_replica replicas[NODES_MAX];
    cluster_start(c, count, true);
    struct wild_router_options options = router_options(c, replicas);
    router_open(c, &options);
}

static inline void cluster_end(struct cluster *c)
{
    wild_router_destroy(c->router);
    for (unsigned i = 0; i < c->count; i++)
        responder_stop(c->node[i]);
}

/* Operations of a kind that a node has executed since it was asked last. */
static inline unsigned executed(struct cluster *c, unsigned node, unsigned opcode)
{
    unsigned n = responder_log(c->node[node], c->log), found = 0;
    for (unsigned i = 0; i < n; i++)
        found += c->log[i].opcode == opcode && c->log[i].executed;
    return found;
}

static inline void forget_logs(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        responder_log(c->node[i], c->log);
}

static inline struct wild_endpoint endpoint(struct cluster *c, unsigned index)
{
    struct wild_endpoint all[WILD_ENDPOINTS_MAX];
    size_t count = wild_router_endpoints(c->router, all, WILD_ENDPOINTS_MAX);
    CU_ASSERT_FATAL(index < count);
    return all[index];
}

static inline struct wild_router_statistics router_statistics(struct cluster *c)
{
    struct wild_router_statistics s;
    wild_router_statistics(c->router, &s);
    return s;
}

static inline void nap_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* Waits until the endpoint is well, or is not. */
static inline bool becomes(struct cluster *c, unsigned index, bool serves)
{
    for (unsigned i = 0; i < 4000; i++) {
        if (endpoint(c, index).serves == serves)
            return true;
        nap_ms(5);
    }
    return false;
}

static inline enum wild_status put(struct cluster *c, const char *key, const char *value)
{
    return wild_router_set(c->router, key, strlen(key), value, strlen(value), NULL, NULL);
}

static inline enum wild_status look(struct cluster *c, const char *key)
{
    return wild_router_get(c->router, key, strlen(key), NULL, NULL);
}

static inline bool reads(struct cluster *c, const char *key, const char *value)
{
    char bytes[WILD_VALUE_MAX];
    struct wild_result result;
    return wild_router_get(c->router, key, strlen(key), bytes, &result) == WILD_OK && result.value == bytes &&
           result.value_length == strlen(value) && memcmp(bytes, value, strlen(value)) == 0;
}

static inline uint64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#endif
