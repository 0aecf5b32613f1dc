/*
 * pool.c - clients that threads share: taken by one at a time, made as they are needed up to a maximum.
 *
 * Everything below the lock belongs to it. Connecting happens outside: one thread's slow handshake keeps
 * nobody else waiting. New clients are copies of `pattern`, which has the keys and the address but no
 * connection, and never changes.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

enum { CONNECTIONS_DEFAULT = 8 };

struct wild_pool {
    struct wild_client *pattern;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a client came back, or there is room for another */
    unsigned made, idle_count, most;
    struct wild_client
        *idle[]; /* the one used last goes first: its connection is the least likely to be stale */
};

struct wild_pool *wild_pool_create(const struct wild_options *options, char error[WILD_ERROR_BYTES])
{
    unsigned most = options->connections_max != 0 ? options->connections_max : CONNECTIONS_DEFAULT;
    struct wild_client *first = wild_connect(options, error);
    if (first == NULL)
        return NULL;
    struct wild_client *pattern = client_pattern(first, error);
    struct wild_pool *pool = pattern != NULL ? calloc(1, sizeof(*pool) + most * sizeof(pool->idle[0])) : NULL;
    if (pool == NULL) {
        if (pattern != NULL)
            snprintf(error, WILD_ERROR_BYTES, "no memory for a pool");
        wild_close(first);
        wild_close(pattern);
        return NULL;
    }
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, &clock);
    pthread_condattr_destroy(&clock);
    pool->pattern = pattern;
    pool->most = most;
    pool->made = pool->idle_count = 1;
    pool->idle[0] = first;
    return pool;
}

/* Under the lock: an idle client, or NULL and a place for a new one is counted; false when time ran out. */
static bool place_take(struct wild_pool *pool, struct wild_client **client)
{
    uint64_t until_ns = client_now() + pool->pattern->connect_timeout_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / UINT64_C(1000000000)),
                             .tv_nsec = (long)(until_ns % UINT64_C(1000000000))};
    while (pool->idle_count == 0 && pool->made == pool->most)
        if (pthread_cond_timedwait(&pool->changed, &pool->lock, &until) == ETIMEDOUT &&
            pool->idle_count == 0 && pool->made == pool->most)
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

struct wild_client *wild_pool_take(struct wild_pool *pool, char error[WILD_ERROR_BYTES])
{
    struct wild_client *client;
    error[0] = '\0';
    pthread_mutex_lock(&pool->lock);
    bool taken = place_take(pool, &client);
    pthread_mutex_unlock(&pool->lock);
    if (!taken) {
        snprintf(error, WILD_ERROR_BYTES, "all %u connections to %.200s are taken", pool->most,
                 pool->pattern->endpoint);
        return NULL;
    }
    if (client == NULL)
        client = wild_duplicate(pool->pattern, error);
    if (client == NULL)
        place_leave(pool);
    return client;
}

void wild_pool_give(struct wild_pool *pool, struct wild_client *client)
{
    if (client == NULL)
        return;
    pipeline_reclaim(client);
    if (client->in_flight > 0) {
        /* The next owner must not find operations that it did not begin. */
        wild_close(client);
        place_leave(pool);
        return;
    }
    client->batch = false;
    pthread_mutex_lock(&pool->lock);
    pool->idle[pool->idle_count++] = client;
    pthread_cond_signal(&pool->changed);
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
