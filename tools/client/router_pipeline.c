/*
 * router_pipeline.c - many requests at once through a router, on one connection to each node that they need.
 *
 *          submit             at a node             answered, or out of time
 *   FREE ----------> WAITING ----------> FLYING ---------------------------> FREE, its result handed out
 *                       ^                   |
 *                       +-------------------+
 *                        moves on (router_judge())
 *
 * WAITING: nobody has it; it goes to a node not before retry_ns. FLYING: a flight of the lent client of its
 * endpoint, whose tag is the request's index here.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "router.h"

enum { REQUESTS_MAX = WILD_PIPELINE_MAX };

#define TURN_NS (10 * MS_NS) /* clients' timers are looked at so often */

enum routed_state { ROUTED_FREE = 0, ROUTED_WAITING, ROUTED_FLYING };

struct routed {
    enum routed_state state;
    bool write;
    struct operation operation; /* its key and value stand in the body */
    struct wild_token least;
    struct endpoint_set tried;
    unsigned endpoint; /* the latest; ENDPOINT_NONE: none yet */
    uint64_t tag, submitted_ns, sent_ns, deadline_ns, retry_ns, pause_ns;
    enum wild_status status; /* the latest */
};

struct lent {
    struct wild_client *client;
    unsigned flying;
    bool silent; /* an operation ran out of time there: not for others */
};

struct wild_pipeline {
    struct wild_router *router;
    struct wild_token token;
    bool batch;
    unsigned in_flight, waiting;
    struct lent lent[ENDPOINTS_MAX];
    struct routed routed[REQUESTS_MAX];
    uint8_t body[REQUESTS_MAX][BODY_BYTES_MAX];
};

struct wild_pipeline *wild_pipeline_open(struct wild_router *router, char error[WILD_ERROR_BYTES])
{
    error[0] = '\0';
    struct wild_pipeline *pipeline = calloc(1, sizeof(*pipeline));
    if (pipeline == NULL || !router_enter(router)) {
        client_say(error, pipeline == NULL ? "no memory for a pipeline" : "this router is another process's");
        free(pipeline);
        return NULL;
    }
    pipeline->router = router;
    pipeline->token = router->token;
    router_leave(router);
    return pipeline;
}

static void give_back(struct wild_pipeline *pipeline, unsigned index)
{
    struct lent *lent = &pipeline->lent[index];
    struct wild_pool *pool = pipeline->router->endpoint[index]->pool;
    if (lent->silent)
        pool_discard(pool, lent->client);
    else
        wild_pool_give(pool, lent->client);
    *lent = (struct lent){0};
}

void wild_pipeline_close(struct wild_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    if (router_is_ours(pipeline->router))
        for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
            if (pipeline->lent[i].client != NULL)
                give_back(pipeline, i);
    free(pipeline);
}

/* ---- to a node ---- */

static uint64_t share_ns(const struct routed *routed, uint64_t now)
{
    return now < routed->deadline_ns ? now + (routed->deadline_ns - now) / 2 : now;
}

static void wait_again(struct wild_pipeline *pipeline, struct routed *routed, uint64_t retry_ns)
{
    routed->state = ROUTED_WAITING;
    routed->retry_ns = retry_ns;
    pipeline->waiting++;
}

/* It has met them all, or there is no primary: it may go better in a moment. */
static void start_over(struct wild_pipeline *pipeline, struct routed *routed, uint64_t now)
{
    memset(&routed->tried, 0, sizeof(routed->tried));
    routed->pause_ns = min_u64(max_u64(2 * routed->pause_ns, PRIMARY_PAUSE_MIN_NS), PRIMARY_PAUSE_MAX_NS);
    router_check_all(pipeline->router, now);
    wait_again(pipeline, routed, now + routed->pause_ns);
}

/* Below the lock. What one attempt says, by its result: true when that is the request's. */
static bool judge(struct wild_pipeline *pipeline, struct routed *routed, const struct wild_client *client,
                  int failure, const struct wild_result *result, uint64_t now)
{
    struct attempt attempt = {
        .endpoint = routed->endpoint,
        .write = routed->write,
        .asked_min_lsn = routed->operation.flags & FLAG_MIN_LSN,
        .epoch = client != NULL ? client->epoch : 0,
        .failure = failure,
        .latency_ns = now - routed->sent_ns,
        .result = result,
    };
    bool over = now >= routed->deadline_ns;
    routed->status = result->status;
    switch (router_judge(pipeline->router, &attempt, now)) {
    case VERDICT_FINAL:
        return true;
    case VERDICT_PRIMARY:
        if (!over)
            start_over(pipeline, routed, now);
        return over;
    case VERDICT_NEXT:
        break;
    }
    unsigned left;
    if (over)
        return true;
    if (router_reader(pipeline->router, &routed->tried, &left) != ENDPOINT_NONE) {
        pipeline->router->endpoint[routed->endpoint]->failovers++;
        wait_again(pipeline, routed, now);
        return false;
    }
    if (result->status != WILD_UNREACHABLE && result->status != WILD_NO_ANSWER)
        return true; /* all are behind, or busy */
    start_over(pipeline, routed, now);
    return false;
}

/* The pipeline's client for a node; NULL: *failure says why. */
static struct wild_client *borrow(struct wild_pipeline *pipeline, unsigned index, uint64_t deadline_ns,
                                  int *failure)
{
    struct lent *lent = &pipeline->lent[index];
    *failure = 0;
    if (lent->client != NULL && lent->silent && lent->flying == 0)
        give_back(pipeline, index);
    if (lent->client == NULL)
        *failure = pool_take(pipeline->router->endpoint[index]->pool, deadline_ns, &lent->client);
    if (*failure != 0)
        lent->client = NULL;
    return lent->client;
}

/* Chooses a node; below the lock. */
static bool choose(struct wild_pipeline *pipeline, struct routed *routed, unsigned *left)
{
    struct wild_router *router = pipeline->router;
    *left = 0;
    routed->endpoint = routed->write ? router->primary : router_reader(router, &routed->tried, left);
    if (routed->endpoint == ENDPOINT_NONE)
        return false;
    endpoint_set_add(&routed->tried, routed->endpoint);
    return true;
}

/*
 * A request that waits goes to a node. WILD_OK: it flies, or waits again; WILD_PIPELINE_FULL: the client has
 * no room for it now, it waits; another: it has ended so.
 */
static enum wild_status place(struct wild_pipeline *pipeline, unsigned index, uint64_t now)
{
    struct wild_router *router = pipeline->router;
    struct routed *routed = &pipeline->routed[index];
    unsigned left, flight;
    int failure;
    pipeline->waiting--;
    router_enter(router);
    bool chosen = choose(pipeline, routed, &left);
    uint32_t epoch = router->epoch;
    if (!chosen)
        start_over(pipeline, routed, now);
    pthread_mutex_unlock(&router->lock);
    enum wild_status status = WILD_OK;
    if (chosen) {
        struct wild_client *client = borrow(pipeline, routed->endpoint, share_ns(routed, now), &failure);
        now = client_now();
        routed->sent_ns = now;
        if (client == NULL) {
            struct wild_result result = {.status = failure == -EAGAIN ? WILD_BUSY : WILD_UNREACHABLE};
            pthread_mutex_lock(&router->lock);
            if (judge(pipeline, routed, NULL, failure, &result, now))
                status = result.status;
            pthread_mutex_unlock(&router->lock);
        } else {
            client->epoch = epoch > client->epoch ? epoch : client->epoch;
            status = pipeline_submit(client, &routed->operation, routed->least.history, index, false, now,
                                     &flight);
            if (status == WILD_OK) {
                uint64_t deadline_ns = left > 0 ? share_ns(routed, now) : routed->deadline_ns;
                client->flight[flight].deadline_ns = min_u64(client->flight[flight].deadline_ns, deadline_ns);
                client->timer_ns = min_u64(client->timer_ns, client->flight[flight].deadline_ns);
                routed->state = ROUTED_FLYING;
                pipeline->lent[routed->endpoint].flying++;
                if (!pipeline->batch)
                    client->carrier->flush(client, now);
            } else if (status == WILD_PIPELINE_FULL) {
                memset(&routed->tried, 0, sizeof(routed->tried));
                wait_again(pipeline, routed, now + MS_NS);
            }
        }
    }
    pthread_mutex_lock(&router->lock);
    router_leave(router);
    return status;
}

/* ---- the caller's side ---- */

static void reclaim_all(struct wild_pipeline *pipeline)
{
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
        if (pipeline->lent[i].client != NULL)
            pipeline_reclaim(pipeline->lent[i].client);
}

static unsigned room_find(const struct wild_pipeline *pipeline)
{
    unsigned index = 0;
    while (index < REQUESTS_MAX && pipeline->routed[index].state != ROUTED_FREE)
        index++;
    return index;
}

static void body_copy(struct wild_pipeline *pipeline, unsigned index, struct operation *operation)
{
    uint8_t *body = pipeline->body[index];
    if (operation->key_length > 0)
        memcpy(body, operation->key, operation->key_length);
    if (operation->value_length > 0)
        memcpy(body + operation->key_length, operation->value, operation->value_length);
    operation->key = body;
    operation->value = body + operation->key_length;
}

enum wild_status wild_pipeline_submit(struct wild_pipeline *pipeline, const struct wild_request *request)
{
    uint8_t operands[INCR_OPERAND_BYTES];
    struct operation operation;
    if (!router_is_ours(pipeline->router))
        return WILD_NO_ANSWER;
    reclaim_all(pipeline);
    enum wild_status status = client_request_encode(&operation, operands, request);
    if (status == WILD_OK)
        status = (enum wild_status)operation_check(&operation);
    if (status != WILD_OK)
        return status;
    unsigned index = room_find(pipeline);
    if (index == REQUESTS_MAX)
        return WILD_PIPELINE_FULL;
    uint64_t now = client_now();
    struct routed *routed = &pipeline->routed[index];
    const struct wild_token anything = {0};
    bool stale = pipeline->router->reads_may_be_stale;
    *routed = (struct routed){
        .write = request_is_write(request),
        .least = router_least(pipeline->router, request, stale ? &anything : &pipeline->token),
        .endpoint = ENDPOINT_NONE,
        .tag = request->tag,
        .submitted_ns = now,
        .deadline_ns = now + pipeline->router->timeout_ns,
        .status = WILD_UNREACHABLE,
    };
    if (!routed->write && routed->least.lsn != 0) {
        operation.flags = FLAG_MIN_LSN;
        operation.version = routed->least.lsn;
    }
    body_copy(pipeline, index, &operation);
    routed->operation = operation;
    wait_again(pipeline, routed, now);
    status = place(pipeline, index, now);
    if (status == WILD_PIPELINE_FULL) { /* as a client that is full says it: the caller takes results first */
        pipeline->waiting--;
        routed->state = ROUTED_FREE;
        return status;
    }
    pipeline->in_flight++;
    if (status != WILD_OK) { /* ended already; the next poll hands it out */
        routed->status = status;
        routed->deadline_ns = now;
        wait_again(pipeline, routed, now);
    }
    return WILD_OK;
}

void wild_pipeline_batch_begin(struct wild_pipeline *pipeline)
{
    pipeline->batch = true;
}

static void flush_all(struct wild_pipeline *pipeline)
{
    uint64_t now = client_now();
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
        if (pipeline->lent[i].flying > 0)
            pipeline->lent[i].client->carrier->flush(pipeline->lent[i].client, now);
}

void wild_pipeline_batch_end(struct wild_pipeline *pipeline)
{
    pipeline->batch = false;
    if (router_is_ours(pipeline->router))
        flush_all(pipeline);
}

size_t wild_pipeline_in_flight(const struct wild_pipeline *pipeline)
{
    return pipeline->in_flight;
}

/* Below the lock. */
static void hand_out(struct wild_pipeline *pipeline, struct routed *routed, struct wild_result *result,
                     uint64_t now)
{
    result->tag = routed->tag;
    result->latency_ns = now - routed->submitted_ns;
    router_finished(pipeline->router, routed->write, routed->least.lsn, routed->endpoint, result,
                    &pipeline->token);
    routed->state = ROUTED_FREE;
    pipeline->in_flight--;
}

/* What waits and is due goes to nodes; what waited for too long ends. */
static size_t advance(struct wild_pipeline *pipeline, struct wild_result *results, size_t room, uint64_t now,
                      uint64_t *next_ns)
{
    struct wild_router *router = pipeline->router;
    size_t count = 0;
    *next_ns = NEVER_NS;
    for (unsigned i = 0; i < REQUESTS_MAX && pipeline->waiting > 0; i++) {
        struct routed *routed = &pipeline->routed[i];
        if (routed->state != ROUTED_WAITING)
            continue;
        enum wild_status status = routed->status;
        bool over = now >= routed->deadline_ns;
        if (!over && now < routed->retry_ns) {
            *next_ns = min_u64(*next_ns, min_u64(routed->retry_ns, routed->deadline_ns));
            continue;
        }
        if (over && count == room)
            continue;
        if (over)
            pipeline->waiting--;
        else
            status = place(pipeline, i, now);
        if (!over && (status == WILD_OK || status == WILD_PIPELINE_FULL)) {
            if (routed->state == ROUTED_WAITING)
                *next_ns = min_u64(*next_ns, routed->retry_ns);
            continue;
        }
        if (count == room) { /* at the next call */
            routed->status = status;
            routed->deadline_ns = now;
            wait_again(pipeline, routed, now);
            continue;
        }
        results[count] = (struct wild_result){.status = status};
        pthread_mutex_lock(&router->lock);
        hand_out(pipeline, routed, &results[count++], now);
        pthread_mutex_unlock(&router->lock);
    }
    return count;
}

/* The finished operations of one client. */
static size_t collect(struct wild_pipeline *pipeline, unsigned endpoint, struct wild_result *results,
                      size_t room, uint64_t now)
{
    struct wild_router *router = pipeline->router;
    struct lent *lent = &pipeline->lent[endpoint];
    struct wild_client *client = lent->client;
    size_t count = 0;
    if (client->done.count == 0)
        return 0;
    pthread_mutex_lock(&router->lock);
    while (count < room && client->done.count > 0) {
        struct wild_result *result = &results[count];
        pipeline_lend(client, flight_queue_take(&client->done), result);
        struct routed *routed = &pipeline->routed[result->tag];
        lent->flying--;
        if (result->status == WILD_NO_ANSWER || result->status == WILD_UNREACHABLE)
            lent->silent = true;
        if (!judge(pipeline, routed, client, client->failure, result, now))
            continue;
        if (result->status != WILD_OK) {
            result->value = NULL;
            result->value_length = 0;
        }
        hand_out(pipeline, routed, result, now);
        count++;
    }
    pthread_mutex_unlock(&router->lock);
    return count;
}

/* One turn of every client that has something in flight. */
static size_t turn_all(struct wild_pipeline *pipeline, struct wild_result *results, size_t room)
{
    size_t count = 0;
    for (unsigned i = 0; i < ENDPOINTS_MAX && count < room; i++) {
        struct lent *lent = &pipeline->lent[i];
        if (lent->flying == 0)
            continue;
        struct wild_client *client = lent->client;
        uint64_t now = client_now();
        now = client_turn(client, now, now);
        if (client_is_unreachable(client))
            pipeline_give_up(client, now);
        count += collect(pipeline, i, results + count, room - count, now);
    }
    return count;
}

static void wait_for_any(const struct wild_pipeline *pipeline, uint64_t now, uint64_t until_ns)
{
    struct pollfd descriptors[ENDPOINTS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
        if (pipeline->lent[i].flying > 0)
            descriptors[count++] =
                (struct pollfd){.fd = wild_descriptor(pipeline->lent[i].client), .events = POLLIN};
    uint64_t wait_ns = min_u64(until_ns - now, TURN_NS);
    struct timespec wait = {.tv_nsec = (long)wait_ns};
    ppoll(descriptors, count, &wait, NULL);
}

size_t wild_pipeline_poll(struct wild_pipeline *pipeline, struct wild_result *results, size_t room,
                          uint32_t timeout_ms)
{
    size_t count = 0;
    uint64_t now = client_now(), until_ns = now + timeout_ms * MS_NS, next_ns;
    if (!router_is_ours(pipeline->router) || room == 0)
        return 0;
    reclaim_all(pipeline);
    for (;;) {
        count += advance(pipeline, results + count, room - count, now, &next_ns);
        count += turn_all(pipeline, results + count, room - count);
        now = client_now();
        if (count > 0 || pipeline->in_flight == 0 || now >= until_ns)
            return count;
        next_ns = min_u64(next_ns, until_ns);
        if (pipeline->waiting > 0)
            next_ns = min_u64(next_ns, now + MS_NS);
        if (next_ns > now)
            wait_for_any(pipeline, now, next_ns);
        now = client_now();
    }
}
