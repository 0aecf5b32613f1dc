/*
 * pool.c - clients that threads share: taken by one at a time, made as they are needed up to a maximum.
 *
 * Everything below the lock belongs to it. Connecting happens outside: one thread's slow handshake keeps
 * nobody else waiting. New clients are copies of `pattern`, which has the keys but no connection, and never
 * changes; where they connect to may (a router's pools).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

enum { CONNECTIONS_DEFAULT = 8 };

struct wild_pool {
    struct wild_client *pattern;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a client came back, or there is room for another */
    struct sockaddr_storage address;
    socklen_t address_bytes; /* 0: not known yet */
    unsigned made, idle_count, most;
    struct wild_client
        *idle[]; /* the one used last goes first: its connection is the least likely to be stale */
};

struct wild_pool *pool_create(struct wild_client *pattern, unsigned most)
{
    struct wild_pool *pool = calloc(1, sizeof(*pool) + most * sizeof(pool->idle[0]));
    if (pool == NULL)
        return NULL;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, &clock);
    pthread_condattr_destroy(&clock);
    pool->pattern = pattern;
    pool->most = most;
    return pool;
}

struct wild_pool *wild_pool_create(const struct wild_options *options, char error[WILD_ERROR_BYTES])
{
    unsigned most = options->connections_max != 0 ? options->connections_max : CONNECTIONS_DEFAULT;
    struct wild_client *first = wild_connect(options, error);
    if (first == NULL)
        return NULL;
    struct wild_client *pattern = client_pattern(first, error);
    struct wild_pool *pool = pattern != NULL ? pool_create(pattern, most) : NULL;
    if (pool == NULL) {
        if (pattern != NULL)
            client_say(error, "no memory for a pool");
        wild_close(first);
        wild_close(pattern);
        return NULL;
    }
    pool->address = first->address;
    pool->address_bytes = first->address_bytes;
    pool->made = pool->idle_count = 1;
    pool->idle[0] = first;
    return pool;
}

/* Under the lock: an idle client, or NULL and a place for a new one is counted; false when time ran out. */
static bool place_take(struct wild_pool *pool, uint64_t until_ns, struct wild_client **client)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / UINT64_C(1000000000)),
                             .tv_nsec = (long)(until_ns % UINT64_C(1000000000))};
    while (pool->idle_count == 0 && pool->made == pool->most)
        if (client_is_stopped(pool->pattern) ||
            (pthread_cond_timedwait(&pool->changed, &pool->lock, &until) == ETIMEDOUT &&
             pool->idle_count == 0 && pool->made == pool->most))
            return false;
    *client = NULL;
    if (pool->idle_count > 0)
        *client = pool->idle[--pool->idle_count];
    else
        pool->made++;
    return true;
}

static void place_leave(struct wild_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->made--;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

static int client_make(struct wild_pool *pool, uint64_t deadline_ns, const struct sockaddr_storage *address,
                       socklen_t bytes, struct wild_client **out)
{
    char error[WILD_ERROR_BYTES];
    struct wild_client *client = client_pattern(pool->pattern, error);
    int outcome = client != NULL ? 0 : -ENOMEM;
    if (outcome == 0) {
        client->address = *address;
        client->address_bytes = bytes;
        outcome = bytes != 0 ? client_establish(client, deadline_ns, true) : -EADDRNOTAVAIL;
    }
    if (outcome != 0) {
        wild_close(client);
        place_leave(pool);
        return outcome;
    }
    *out = client;
    return 0;
}

int pool_take(struct wild_pool *pool, uint64_t deadline_ns, struct wild_client **out)
{
    pthread_mutex_lock(&pool->lock);
    bool taken = place_take(pool, deadline_ns, out);
    struct sockaddr_storage address = pool->address;
    socklen_t bytes = pool->address_bytes;
    pthread_mutex_unlock(&pool->lock);
    if (!taken)
        return -EAGAIN;
    return *out != NULL ? 0 : client_make(pool, deadline_ns, &address, bytes, out);
}

struct wild_client *wild_pool_take(struct wild_pool *pool, char error[WILD_ERROR_BYTES])
{
    struct wild_client *client;
    error[0] = '\0';
    int outcome = pool_take(pool, client_now() + pool->pattern->connect_timeout_ns, &client);
    if (outcome == 0)
        return client;
    if (outcome == -EAGAIN)
        client_say(error, "all %u connections to %.200s are taken", pool->most, pool->pattern->endpoint);
    else
        client_say_no_session(pool->pattern, outcome, error);
    return NULL;
}

void pool_discard(struct wild_pool *pool, struct wild_client *client)
{
    wild_close(client);
    place_leave(pool);
}

static bool is_connected_to(const struct wild_client *client, const struct sockaddr_storage *address,
                            socklen_t bytes)
{
    return client->address_bytes == bytes && memcmp(&client->address, address, bytes) == 0;
}

void wild_pool_give(struct wild_pool *pool, struct wild_client *client)
{
    if (client == NULL)
        return;
    pipeline_reclaim(client);
    client->batch = false;
    pthread_mutex_lock(&pool->lock);
    /* The next owner must not find operations that it did not begin. */
    bool useful = client->in_flight == 0 && is_connected_to(client, &pool->address, pool->address_bytes);
    if (useful) {
        pool->idle[pool->idle_count++] = client;
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!useful)
        pool_discard(pool, client);
}

void pool_address_set(struct wild_pool *pool, const struct sockaddr_storage *address, socklen_t bytes)
{
    struct wild_client *old = NULL;
    do {
        pthread_mutex_lock(&pool->lock);
        pool->address = *address;
        pool->address_bytes = bytes;
        old = NULL;
        for (unsigned i = 0; i < pool->idle_count && old == NULL; i++) {
            if (is_connected_to(pool->idle[i], address, bytes))
                continue;
            old = pool->idle[i];
            pool->idle[i] = pool->idle[--pool->idle_count];
        }
        pthread_mutex_unlock(&pool->lock);
        if (old != NULL)
            pool_discard(pool, old);
    } while (old != NULL);
}

unsigned pool_connections(struct wild_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned made = pool->made;
    pthread_mutex_unlock(&pool->lock);
    return made;
}

void pool_wake(struct wild_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

void wild_pool_destroy(struct wild_pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < pool->idle_count; i++)
        wild_close(pool->idle[i]);
    wild_close(pool->pattern);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
