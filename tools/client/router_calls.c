/*
 * router_calls.c - one request through a router: at one node after the other, until one answers or its time
 * is over.
 */
#include <errno.h>
#include <string.h>

#include "router.h"

struct route {
    struct wild_router *router;
    const struct wild_request *request;
    struct wild_token *token; /* the caller's; NULL: the router's */
    struct operation operation;
    uint8_t operands[INCR_OPERAND_BYTES];
    struct wild_token least;
    bool write;
    uint64_t deadline_ns;
    void *value; /* where a GET's goes */

    struct endpoint_set tried;
    unsigned endpoint, left;
    uint32_t epoch;
    uint64_t pause_ns;
    struct wild_result *result;
};

/* A node's own share of the time that is left, while there is another. */
static uint64_t share_ns(const struct route *route, uint64_t now)
{
    return now < route->deadline_ns ? now + (route->deadline_ns - now) / 2 : now;
}

/* At one node, without the lock. The result's value is copied, but for a hint, which is the client's. */
static void ask(struct route *route, struct wild_client *client)
{
    uint64_t now = client_now(), share = share_ns(route, now);
    bool others = !route->write && route->left > 0;
    struct call_terms terms = {
        .history = route->least.history,
        .deadline_ns = others ? share : route->deadline_ns,
        .unsent_ns = share,
        .busy_tries = others ? BUSY_TRIES : 0,
        .gives_up = true,
    };
    if (route->epoch > client->epoch)
        client->epoch = route->epoch;
    client_call_with(client, &route->operation, &terms, route->result);
    if (route->result->status == WILD_OK && route->result->value != NULL) {
        if (route->value != NULL && route->result->value_length > 0)
            memcpy(route->value, route->result->value, route->result->value_length);
        route->result->value = route->value;
    }
}

/* With the lock held, and held again when it returns. */
static enum verdict attempt(struct route *route)
{
    struct wild_router *router = route->router;
    struct wild_pool *pool = router->endpoint[route->endpoint]->pool;
    struct wild_client *client = NULL;
    uint64_t begun_ns = client_now();
    route->epoch = router->epoch;
    pthread_mutex_unlock(&router->lock);

    *route->result = (struct wild_result){.status = WILD_UNREACHABLE};
    int outcome = pool_take(pool, share_ns(route, begun_ns), &client);
    if (outcome == 0)
        ask(route, client);
    else if (outcome == -EAGAIN)
        route->result->status = WILD_BUSY;

    struct attempt attempt = {
        .endpoint = route->endpoint,
        .write = route->write,
        .asked_min_lsn = route->operation.flags & FLAG_MIN_LSN,
        .epoch = client != NULL ? client->epoch : 0,
        .failure = client != NULL ? client->failure : outcome,
        .result = route->result,
    };
    uint64_t now = client_now();
    attempt.latency_ns = now - begun_ns;
    pthread_mutex_lock(&router->lock);
    enum verdict verdict = router_judge(router, &attempt, now);
    pthread_mutex_unlock(&router->lock);
    /* A client that has met silence has no more to say for itself than a new one. */
    bool silent = route->result->status == WILD_NO_ANSWER || route->result->status == WILD_UNREACHABLE;
    if (client != NULL && silent)
        pool_discard(pool, client);
    else
        wild_pool_give(pool, client);
    if (route->result->status != WILD_OK) {
        route->result->value = NULL;
        route->result->value_length = 0;
    }
    pthread_mutex_lock(&router->lock);
    return verdict;
}

/* Waits a little for what the checks bring. False: the time is over. */
static bool wait_for_change(struct route *route)
{
    struct wild_router *router = route->router;
    uint64_t now = client_now();
    if (now >= route->deadline_ns || atomic_load_explicit(&router->stop, memory_order_relaxed))
        return false;
    route->pause_ns = min_u64(max_u64(2 * route->pause_ns, PRIMARY_PAUSE_MIN_NS), PRIMARY_PAUSE_MAX_NS);
    unsigned primary = router->primary;
    uint64_t until_ns = min_u64(now + route->pause_ns, route->deadline_ns);
    router_check_all(router, now);
    while (router->primary == primary && client_now() < until_ns &&
           !atomic_load_explicit(&router->stop, memory_order_relaxed))
        router_wait(router, until_ns);
    return client_now() < route->deadline_ns;
}

static void write_route(struct route *route)
{
    do
        route->endpoint = route->router->primary;
    while (attempt(route) == VERDICT_PRIMARY && wait_for_change(route));
}

/* One after the other; true: none could be asked at all, and it may go better in a moment. */
static bool read_round(struct route *route)
{
    struct wild_router *router = route->router;
    unsigned before = ENDPOINT_NONE;
    memset(&route->tried, 0, sizeof(route->tried));
    for (;;) {
        unsigned next = router_reader(router, &route->tried, &route->left);
        if (next == ENDPOINT_NONE)
            break;
        if (before != ENDPOINT_NONE)
            router->endpoint[before]->failovers++;
        route->endpoint = before = next;
        endpoint_set_add(&route->tried, next);
        if (attempt(route) == VERDICT_FINAL)
            return false;
        if (client_now() >= route->deadline_ns || atomic_load_explicit(&router->stop, memory_order_relaxed))
            return false;
    }
    return route->result->status == WILD_UNREACHABLE || route->result->status == WILD_NO_ANSWER;
}

enum wild_status wild_router_call(struct wild_router *router, const struct wild_request *request,
                                  struct wild_token *token, void *value, struct wild_result *result)
{
    struct wild_result unused;
    struct route route = {
        .router = router,
        .request = request,
        .token = token,
        .write = request_is_write(request),
        .value = value,
        .result = result != NULL ? result : &unused,
    };
    *route.result = (struct wild_result){.tag = request->tag};
    enum wild_status status = client_request_encode(&route.operation, route.operands, request);
    if (status == WILD_OK)
        status = (enum wild_status)operation_check(&route.operation);
    if (status == WILD_OK && !router_enter(router))
        status = WILD_NO_ANSWER;
    if (status != WILD_OK)
        return route.result->status = status;

    uint64_t begun_ns = client_now();
    route.deadline_ns = begun_ns + router->timeout_ns;
    if (route.write) {
        write_route(&route);
    } else {
        route.least = router_least(router, request, token);
        if (route.least.lsn != 0) {
            route.operation.flags = FLAG_MIN_LSN;
            route.operation.version = route.least.lsn;
        }
        while (read_round(&route) && wait_for_change(&route))
            ;
    }
    route.result->tag = request->tag;
    route.result->latency_ns = client_now() - begun_ns;
    router_finished(router, route.write, route.least.lsn, route.endpoint, route.result, token);
    status = route.result->status;
    router_leave(router);
    return status;
}

enum wild_status wild_router_get(struct wild_router *router, const void *key, size_t key_length, void *value,
                                 struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_GET, .key = key, .key_length = key_length};
    return wild_router_call(router, &request, NULL, value, result);
}

enum wild_status wild_router_set(struct wild_router *router, const void *key, size_t key_length,
                                 const void *value, size_t value_length,
                                 const struct wild_write_options *options, struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_SET,
                                   .key = key,
                                   .key_length = key_length,
                                   .value = value,
                                   .value_length = value_length};
    if (options != NULL)
        request.options = *options;
    return wild_router_call(router, &request, NULL, NULL, result);
}

enum wild_status wild_router_delete(struct wild_router *router, const void *key, size_t key_length,
                                    const struct wild_write_options *options, struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_DELETE, .key = key, .key_length = key_length};
    if (options != NULL)
        request.options = *options;
    return wild_router_call(router, &request, NULL, NULL, result);
}

enum wild_status wild_router_incr(struct wild_router *router, const void *key, size_t key_length,
                                  int64_t delta, int64_t initial, const struct wild_write_options *options,
                                  struct wild_result *result)
{
    struct wild_request request = {
        .operation = WILD_OP_INCR, .key = key, .key_length = key_length, .delta = delta, .initial = initial};
    if (options != NULL)
        request.options = *options;
    return wild_router_call(router, &request, NULL, NULL, result);
}

enum wild_status wild_router_touch(struct wild_router *router, const void *key, size_t key_length,
                                   uint64_t ttl_ms, struct wild_result *result)
{
    struct wild_request request = {
        .operation = WILD_OP_TOUCH, .key = key, .key_length = key_length, .options = {.ttl_ms = ttl_ms}};
    return wild_router_call(router, &request, NULL, NULL, result);
}

enum wild_status wild_router_flush(struct wild_router *router, struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_FLUSH};
    return wild_router_call(router, &request, NULL, NULL, result);
}
