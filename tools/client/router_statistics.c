/*
 * router_statistics.c - what a router knows of its nodes and has done, as numbers for people.
 */
#include <stdio.h>
#include <string.h>

#include "router.h"

/* Where the primary was at that time: the last sample before it, or the first after. */
static const struct lag_sample *primary_at(const struct wild_router *router, uint64_t ns)
{
    const struct lag_sample *found = NULL;
    for (unsigned i = 0; i < router->lag_count; i++) {
        const struct lag_sample *sample = &router->lag[(router->lag_head + i) % LAG_SAMPLES];
        if (found == NULL || sample->ns <= ns)
            found = sample;
    }
    return found;
}

/* When the primary was first seen past that LSN; `ns` if it was not before then. */
static uint64_t passed_ns(const struct wild_router *router, uint64_t lsn, uint64_t ns)
{
    for (unsigned i = 0; i < router->lag_count; i++) {
        const struct lag_sample *sample = &router->lag[(router->lag_head + i) % LAG_SAMPLES];
        if (sample->lsn > lsn)
            return min_u64(sample->ns, ns);
    }
    return ns;
}

/*
 * Changes above `from` up to `to`, at least. Histories begin at multiples of 2^32, far above where the one
 * before ended: from one to the next nobody but the nodes can tell how many there were, but for those of the
 * last.
 */
static uint64_t changes_between(uint64_t from, uint64_t to, bool one_history)
{
    return one_history || from >> 32 == to >> 32 ? to - from : (uint64_t)(uint32_t)to + 1;
}

static void health_copy(const struct wild_router *router, const struct endpoint *e, uint64_t now,
                        struct wild_endpoint *out)
{
    const struct health *health = &e->health;
    const struct lag_sample *primary = primary_at(router, e->health_ns);
    out->checked = true;
    out->mode = mode_text(health->mode);
    out->state = state_text(health->state);
    out->epoch = health->epoch;
    out->node = e->node;
    out->lsn = health->lsn;
    out->items = health->items;
    out->capacity = health->capacity;
    out->lines_used = health->lines_used;
    out->uptime_ms = health->uptime_ms;
    out->age_ms = (now - e->health_ns) / MS_NS;
    out->check_us = e->check_ns / 1000;
    if (out->is_primary || primary == NULL || health->lsn >= primary->lsn)
        return;
    /* each history has an epoch of its own */
    bool one_history = router->endpoint[router->primary]->has_health &&
                       router->endpoint[router->primary]->health.epoch == health->epoch;
    out->lag_lsn = changes_between(health->lsn, primary->lsn, one_history);
    out->lag_us = (e->health_ns - passed_ns(router, health->lsn, e->health_ns)) / 1000;
}

static void endpoint_copy(const struct wild_router *router, unsigned index, uint64_t now,
                          struct wild_endpoint *out)
{
    const struct endpoint *e = router->endpoint[index];
    const char *useless = endpoint_useless(router, index);
    *out = (struct wild_endpoint){
        .weight = e->weight,
        .is_primary = index == router->primary,
        .learned = e->learned,
        .healthy = e->state == ENDPOINT_UP,
        .serves = useless == NULL,
        .mode = "?",
        .state = "?",
        .connections = pool_connections(e->pool),
        .requests = e->requests,
        .errors = e->errors,
        .stale = e->stale,
        .failovers = e->failovers,
        .checks = e->checks,
        .checks_failed = e->checks_failed,
        .p50_us = histogram_quantile(&e->latency, 500) / 1000,
        .p90_us = histogram_quantile(&e->latency, 900) / 1000,
        .p99_us = histogram_quantile(&e->latency, 990) / 1000,
        .p999_us = histogram_quantile(&e->latency, 999) / 1000,
        .max_us = e->latency.max_ns / 1000,
    };
    snprintf(out->endpoint, sizeof(out->endpoint), "%s", e->text);
    snprintf(out->why, sizeof(out->why), "%s", useless != NULL ? useless : "");
    if (useless == NULL && out->is_primary && e->health.mode == MODE_REPLICA)
        snprintf(out->why, sizeof(out->why), "a replica; no primary is known");
    if (e->has_health)
        health_copy(router, e, now, out);
}

size_t wild_router_endpoints(struct wild_router *router, struct wild_endpoint *out, size_t room)
{
    if (!router_enter(router))
        return 0;
    size_t count = router->endpoint_count;
    uint64_t now = client_now();
    for (unsigned i = 0; i < count && i < room; i++)
        endpoint_copy(router, i, now, &out[i]);
    router_leave(router);
    return count;
}

void wild_router_statistics(struct wild_router *router, struct wild_router_statistics *out)
{
    *out = (struct wild_router_statistics){0};
    if (!router_enter(router))
        return;
    *out = router->statistics;
    router_leave(router);
}
