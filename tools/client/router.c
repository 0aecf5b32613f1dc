/*
 * router.c - a router's options, its beginning and its end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "router.h"

enum { CONNECTIONS_DEFAULT = 10, CONNECTIONS_MAX = 1000, INTERVAL_MS_DEFAULT = 30000 };

/* ---- below the lock ---- */

void router_wake_monitor(struct wild_router *router)
{
    uint64_t one = 1;
    (void)!write(router->wake_fd, &one, sizeof(one)); /* full: it is awake */
}

void router_wait(struct wild_router *router, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / UINT64_C(1000000000)),
                             .tv_nsec = (long)(until_ns % UINT64_C(1000000000))};
    if (!atomic_load_explicit(&router->stop, memory_order_relaxed))
        pthread_cond_timedwait(&router->changed, &router->lock, &until);
}

bool router_enter(struct wild_router *router)
{
    if (!router_is_ours(router))
        return false;
    pthread_mutex_lock(&router->lock);
    router->calls++;
    return true;
}

void router_leave(struct wild_router *router)
{
    if (--router->calls == 0 && atomic_load_explicit(&router->stop, memory_order_relaxed))
        pthread_cond_broadcast(&router->changed);
    pthread_mutex_unlock(&router->lock);
}

unsigned router_add(struct wild_router *router, const char *text, uint32_t weight, bool learned)
{
    char error[WILD_ERROR_BYTES];
    struct endpoint *e = router->endpoint_count < ENDPOINTS_MAX ? calloc(1, sizeof(*e)) : NULL;
    struct wild_client *pattern = e != NULL ? client_pattern(router->pattern, error) : NULL;
    if (pattern != NULL) {
        snprintf(pattern->endpoint, sizeof(pattern->endpoint), "%s", text);
        e->pool = pool_create(pattern, router->connections);
    }
    if (e == NULL || e->pool == NULL) {
        wild_close(pattern);
        free(e);
        return ENDPOINT_NONE;
    }
    snprintf(e->text, sizeof(e->text), "%s", text);
    e->weight = weight;
    e->learned = learned;
    e->wanted = 1;
    router->endpoint[router->endpoint_count] = e;
    return router->endpoint_count++;
}

/* ---- options ---- */

static bool option_number(uint32_t *out, const char *name, uint32_t value, uint32_t otherwise, uint32_t most,
                          char error[WILD_ERROR_BYTES])
{
    *out = value != 0 ? value : otherwise;
    if (*out <= most)
        return true;
    client_say(error, "%s is %u; it may be %u at most", name, value, most);
    return false;
}

static bool endpoint_add(struct wild_router *router, const char *role, const char *text, uint32_t weight,
                         char error[WILD_ERROR_BYTES])
{
    if (text == NULL || !endpoint_is_valid(text)) {
        client_say(error, "%s \"%.150s\" is not HOST:PORT or [IPv6]:PORT", role, text != NULL ? text : "");
        return false;
    }
    if (weight > WEIGHT_MAX) {
        client_say(error, "the weight of %s %.150s is %u; it may be %d at most", role, text, weight,
                   WEIGHT_MAX);
        return false;
    }
    for (unsigned i = 0; i < router->endpoint_count; i++) {
        if (strcmp(router->endpoint[i]->text, text) != 0)
            continue;
        client_say(error, "%.150s is given twice: as %s and as replica", text,
                   i == 0 ? "primary" : "replica");
        return false;
    }
    if (router_add(router, text, weight != 0 ? weight : 1, false) != ENDPOINT_NONE)
        return true;
    client_say(error, "no memory for a router");
    return false;
}

static bool options_take(struct wild_router *router, const struct wild_router_options *options,
                         char error[WILD_ERROR_BYTES])
{
    uint32_t interval_ms;
    if (!option_number(&router->connections, "max_connections_per_endpoint",
                       options->max_connections_per_endpoint, CONNECTIONS_DEFAULT, CONNECTIONS_MAX, error) ||
        !option_number(&interval_ms, "health_check_interval_ms", options->health_check_interval_ms,
                       INTERVAL_MS_DEFAULT, 24 * 3600 * 1000, error))
        return false;
    router->interval_ns = interval_ms * MS_NS;
    router->timeout_ns = router->pattern->timeout_ns;
    router->reads_may_be_stale = options->reads_may_be_stale;
    router->preference = options->read_preference;
    if ((unsigned)options->read_preference > WILD_READ_NEAREST) {
        client_say(error, "read_preference %u is none of replica, primary, any and nearest",
                   (unsigned)options->read_preference);
        return false;
    }
    if (options->replica_count > WILD_REPLICAS_MAX) {
        client_say(error, "%u replicas are given; there may be %d at most", options->replica_count,
                   WILD_REPLICAS_MAX);
        return false;
    }
    if (!endpoint_add(router, "primary", options->primary != NULL ? options->primary : "127.0.0.1:7878", 1,
                      error))
        return false;
    router->endpoint[0]->configured_primary = true;
    for (unsigned i = 0; i < options->replica_count; i++)
        if (!endpoint_add(router, "replica", options->replicas[i].endpoint, options->replicas[i].weight,
                          error))
            return false;
    return true;
}

/* ---- routers ---- */

static struct wild_router *router_new(const struct wild_router_options *options, char error[WILD_ERROR_BYTES])
{
    struct wild_options client = {
        .endpoint = "router", /* of the pattern alone; each endpoint has its own */
        .secret = options->secret,
        .secret_file = options->secret_file,
        .insecure_no_auth = options->insecure_no_auth,
        .cluster_name = options->cluster_name,
        .sealed = options->sealed,
        .timeout_ms = options->timeout_ms,
        .connect_timeout_ms = options->connect_timeout_ms,
        .transport = options->transport,
    };
    struct wild_router *router = calloc(1, sizeof(*router));
    if (router == NULL) {
        client_say(error, "no memory for a router");
        return NULL;
    }
    router->pattern = client_new(&client, error);
    if (router->pattern == NULL) {
        free(router);
        return NULL;
    }
    router->pattern->stop = &router->stop;
    router->random = random_system();
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&router->lock, NULL);
    pthread_cond_init(&router->changed, &clock);
    pthread_condattr_destroy(&clock);
    router->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (router->wake_fd < 0) {
        client_say(error, "cannot make a router: %s", strerror(errno));
        wild_router_destroy(router);
        return NULL;
    }
    return router;
}

static bool all_checked(const struct wild_router *router, const uint64_t wanted[ENDPOINTS_MAX],
                        unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!router->endpoint[i]->alias && router->endpoint[i]->checked < wanted[i])
            return false;
    return true;
}

/* Below the lock: waits until every endpoint has been checked as often as was asked for by now. */
static bool checks_await(struct wild_router *router, uint64_t until_ns)
{
    uint64_t wanted[ENDPOINTS_MAX];
    unsigned count = router->endpoint_count;
    for (unsigned i = 0; i < count; i++)
        wanted[i] = router->endpoint[i]->wanted;
    while (!all_checked(router, wanted, count) && client_now() < until_ns &&
           !atomic_load_explicit(&router->stop, memory_order_relaxed))
        router_wait(router, until_ns);
    return all_checked(router, wanted, count);
}

bool wild_router_check(struct wild_router *router, uint32_t timeout_ms)
{
    if (!router_enter(router))
        return false;
    uint64_t now = client_now();
    router_check_all(router, now);
    bool all = checks_await(router, now + timeout_ms * MS_NS);
    router_leave(router);
    return all;
}

/* Once all were asked: whether one of them answers; else one line about the primary, and how many others
 * there are. */
static bool reaches_a_node(struct wild_router *router, char error[WILD_ERROR_BYTES])
{
    unsigned up = 0;
    pthread_mutex_lock(&router->lock);
    checks_await(router, client_now() + router->pattern->connect_timeout_ns);
    for (unsigned i = 0; i < router->endpoint_count; i++)
        up += router->endpoint[i]->state == ENDPOINT_UP;
    if (up == 0) {
        const char *why = router->endpoint[0]->why;
        client_say(error, "%.200s", why[0] != '\0' ? why : "no node has answered yet");
        size_t length = strlen(error);
        if (router->endpoint_count > 1)
            snprintf(error + length, WILD_ERROR_BYTES - length, "; nor do the %u replicas",
                     router->endpoint_count - 1);
    }
    pthread_mutex_unlock(&router->lock);
    return up > 0;
}

/* Signals are the program's affair: none is delivered to a thread that it does not know. */
static int monitor_start(struct wild_router *router)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int outcome = pthread_create(&router->thread, NULL, router_monitor, router);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return outcome;
}

struct wild_router *wild_router_create(const struct wild_router_options *options,
                                       char error[WILD_ERROR_BYTES])
{
    error[0] = '\0';
    struct wild_router *router = router_new(options, error);
    if (router == NULL)
        return NULL;
    if (!options_take(router, options, error)) {
        wild_router_destroy(router);
        return NULL;
    }
    int outcome = monitor_start(router);
    router->has_thread = outcome == 0;
    if (outcome != 0)
        client_say(error, "cannot start the router's thread: %s", strerror(outcome));
    if (outcome == 0 && (reaches_a_node(router, error) || options->may_start_alone))
        return router;
    wild_router_destroy(router);
    return NULL;
}

void wild_router_destroy(struct wild_router *router)
{
    if (router == NULL || !router_is_ours(router))
        return;
    pthread_mutex_lock(&router->lock);
    atomic_store_explicit(&router->stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < router->endpoint_count; i++)
        pool_wake(router->endpoint[i]->pool);
    pthread_cond_broadcast(&router->changed);
    while (router->calls > 0)
        pthread_cond_wait(&router->changed, &router->lock);
    pthread_mutex_unlock(&router->lock);
    if (router->has_thread) {
        router_wake_monitor(router);
        pthread_join(router->thread, NULL);
    }
    if (router->has_names)
        pthread_join(router->names, NULL);
    for (unsigned i = 0; i < router->endpoint_count; i++) {
        wild_close(router->endpoint[i]->check.client);
        wild_pool_destroy(router->endpoint[i]->pool);
        free(router->endpoint[i]);
    }
    if (router->wake_fd >= 0)
        close(router->wake_fd);
    pthread_cond_destroy(&router->changed);
    pthread_mutex_destroy(&router->lock);
    wild_close(router->pattern);
    free(router);
}
