/*
 * router_monitor.c - the router's own thread: asks every node for its health, when it is due.
 *
 * Checks run side by side: a node that is silent keeps no other waiting. Each has a client of its own, of
 * which nothing is waited for but all of them together.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "router.h"

#define CLIENTS_TURN_NS (10 * MS_NS) /* their timers are looked at so often */

static uint64_t random_below(struct wild_router *router, uint64_t bound)
{
    uint64_t value;
    router->random.fill(router->random.state, &value, sizeof(value));
    return value % bound;
}

/* ---- one check ---- */

static void check_done(struct wild_router *router, unsigned index, bool well, uint64_t now)
{
    struct endpoint *e = router->endpoint[index];
    uint64_t pause_ns = router->interval_ns;
    e->check.running = false;
    e->checks++;
    e->checked = e->check.wanted;
    e->checked_ns = now;
    if (!well) {
        e->checks_failed++;
        e->pause_ns = min_u64(max_u64(2 * e->pause_ns, RECHECK_MIN_NS), min_u64(RECHECK_MAX_NS, pause_ns));
        pause_ns = e->pause_ns;
    }
    /* a quarter earlier or later: many routers must not come all at once */
    e->due_ns = now + pause_ns - pause_ns / 4 + random_below(router, pause_ns / 2 + 1);
    if (e->wanted > e->checked)
        e->due_ns = now + RECHECK_SPACING_NS; /* asked for while this one was under way */
    pthread_cond_broadcast(&router->changed);
}

static void check_failed(struct wild_router *router, unsigned index, const char *why, uint64_t now)
{
    struct check *check = &router->endpoint[index]->check;
    wild_close(check->client);
    check->client = NULL;
    pthread_mutex_lock(&router->lock);
    endpoint_failed(router, index, why, now);
    check_done(router, index, false, now);
    pthread_mutex_unlock(&router->lock);
}

/* Asks the address at hand over a connection that is there, or a new one. False: `why`. */
static bool check_ask(struct wild_router *router, struct endpoint *e, uint64_t now,
                      char why[WILD_ERROR_BYTES])
{
    struct check *check = &e->check;
    if (check->client == NULL) {
        check->client = client_pattern(router->pattern, why);
        if (check->client == NULL)
            return false;
        struct wild_client *client = check->client;
        snprintf(client->endpoint, sizeof(client->endpoint), "%s", e->text);
        client->address = check->addresses.address[check->address_at];
        client->address_bytes = check->addresses.bytes[check->address_at];
        int outcome = client->carrier->open(client);
        if (outcome != 0) {
            client_say_no_session(client, outcome, why);
            return false;
        }
        client->carrier->start(client, now);
    }
    struct operation health = {.opcode = OPCODE_HEALTH};
    pipeline_reclaim(check->client);
    /* Alone on its client, so it is accepted. */
    pipeline_submit(check->client, &health, 0, 0, true, now, &check->flight);
    return true;
}

static void check_start(struct wild_router *router, unsigned index)
{
    struct endpoint *e = router->endpoint[index];
    struct check *check = &e->check;
    char why[WILD_ERROR_BYTES];
    uint64_t now = client_now();
    check->tried = 1;
    if (check->address_at >= check->addresses.count)
        check->address_at = 0;
    if (!check_ask(router, e, now, why))
        check_failed(router, index, why, now);
}

static void check_begin(struct wild_router *router, unsigned index)
{
    struct endpoint *e = router->endpoint[index];
    struct check *check = &e->check;
    char why[WILD_ERROR_BYTES];
    /* What a name stands for may have changed where nothing answers. */
    if (check->client != NULL ||
        endpoint_resolve(e->text, router->pattern->carrier->socket_type, true, &check->addresses, why) == 0) {
        check_start(router, index);
        return;
    }
    int outcome = router_look_up(router, e);
    check->looking = outcome == 0;
    if (outcome != 0) {
        client_say(why, "its name cannot be looked up: %s", strerror(outcome));
        check_failed(router, index, why, client_now());
    }
}

static void check_looked_up(struct wild_router *router, unsigned index)
{
    struct check *check = &router->endpoint[index]->check;
    struct name name;
    if (!router_looked_up(router, router->endpoint[index], &name))
        return;
    check->looking = false;
    check->addresses = name.addresses;
    if (name.outcome == 0)
        check_start(router, index);
    else
        check_failed(router, index, name.why, client_now());
}

static void check_answered(struct wild_router *router, unsigned index, const struct health *health,
                           uint64_t now)
{
    struct endpoint *e = router->endpoint[index];
    const struct wild_client *client = e->check.client;
    pool_address_set(e->pool, &client->address, client->address_bytes);
    pthread_mutex_lock(&router->lock);
    /* without what the connection took to begin with */
    endpoint_answered(router, index, health, client, now - client->flight[e->check.flight].sent_ns, now);
    check_done(router, index, true, now);
    pthread_mutex_unlock(&router->lock);
}

/* The next address of the name, if there is one; else the node is down. */
static void check_go_on(struct wild_router *router, unsigned index, int failure, uint64_t now)
{
    struct endpoint *e = router->endpoint[index];
    struct check *check = &e->check;
    char why[WILD_ERROR_BYTES];
    client_say_no_session(check->client, failure, why);
    check->address_at = (check->address_at + 1) % check->addresses.count;
    if (check->tried++ < check->addresses.count) {
        wild_close(check->client);
        check->client = NULL;
        if (check_ask(router, e, now, why))
            return;
    }
    check_failed(router, index, why, now);
}

/* True: it is over, one way or the other. */
static bool check_turn(struct wild_router *router, unsigned index)
{
    struct check *check = &router->endpoint[index]->check;
    struct wild_result result;
    struct health health;
    if (check->looking)
        check_looked_up(router, index);
    if (check->looking || !check->running)
        return !check->running;
    struct wild_client *client = check->client;
    struct flight *flight = &client->flight[check->flight];
    uint64_t now = client_now();
    now = client_turn(client, now, now);
    if (flight->state != FLIGHT_DONE && client_is_unreachable(client))
        pipeline_give_up(client, now);
    if (flight->state != FLIGHT_DONE)
        return false;
    pipeline_lend(client, check->flight, &result);
    if (result.status == WILD_OK && health_decode(result.value, result.value_length, &health))
        check_answered(router, index, &health, now);
    else if (result.status == WILD_OK || result.status < WILD_NO_ANSWER)
        check_go_on(router, index, -EPROTO, now);
    else
        check_go_on(router, index, client->failure != 0 ? client->failure : -ETIMEDOUT, now);
    return !check->running;
}

/* ---- all of them ---- */

/* Marks those that are due as running; *next_ns: when another will be. */
static unsigned checks_due(struct wild_router *router, unsigned due[ENDPOINTS_MAX], unsigned *known,
                           uint64_t *next_ns)
{
    unsigned count = 0;
    uint64_t now = client_now();
    pthread_mutex_lock(&router->lock);
    *known = router->endpoint_count;
    for (unsigned i = 0; i < *known; i++) {
        struct endpoint *e = router->endpoint[i];
        if (e->check.running || e->alias)
            continue;
        if (e->due_ns > now) {
            *next_ns = min_u64(*next_ns, e->due_ns);
            continue;
        }
        e->check.running = true;
        e->check.wanted = e->wanted;
        e->due_ns = NEVER_NS;
        due[count++] = i;
    }
    pthread_mutex_unlock(&router->lock);
    return count;
}

static void wait_for_all(struct wild_router *router, unsigned known, uint64_t until_ns)
{
    struct pollfd descriptors[ENDPOINTS_MAX + 1] = {{.fd = router->wake_fd, .events = POLLIN}};
    unsigned count = 1;
    uint64_t now = client_now(), wait_ns, woken;
    for (unsigned i = 0; i < known; i++)
        if (router->endpoint[i]->check.running && !router->endpoint[i]->check.looking)
            descriptors[count++] =
                (struct pollfd){.fd = wild_descriptor(router->endpoint[i]->check.client), .events = POLLIN};
    if (count > 1)
        until_ns = min_u64(until_ns, now + CLIENTS_TURN_NS);
    wait_ns = until_ns > now ? until_ns - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / UINT64_C(1000000000)),
                            .tv_nsec = (long)(wait_ns % UINT64_C(1000000000))};
    ppoll(descriptors, count, until_ns == NEVER_NS ? NULL : &wait, NULL);
    if (descriptors[0].revents != 0)
        (void)!read(router->wake_fd, &woken, sizeof(woken));
}

void *router_monitor(void *argument)
{
    struct wild_router *router = argument;
    while (!atomic_load_explicit(&router->stop, memory_order_relaxed)) {
        unsigned due[ENDPOINTS_MAX], known;
        uint64_t next_ns = NEVER_NS;
        unsigned count = checks_due(router, due, &known, &next_ns);
        bool over = count > 0; /* then another check may be due earlier than was known */
        for (unsigned i = 0; i < count && !atomic_load_explicit(&router->stop, memory_order_relaxed); i++)
            check_begin(router, due[i]);
        if (atomic_load_explicit(&router->stop, memory_order_relaxed))
            break;
        for (unsigned i = 0; i < known; i++)
            if (router->endpoint[i]->check.running)
                over = check_turn(router, i) || over;
        wait_for_all(router, known, over ? 0 : next_ns);
    }
    return NULL;
}
