/*
 * router_choice.c - what a router knows of its nodes: whom a read goes to, who is the primary, and what each
 * answer adds to that. All below the router's lock.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "router.h"

/* ---- reads ---- */

static bool state_serves(unsigned state)
{
    return state == STATE_SERVING || state == STATE_READ_ONLY;
}

const char *endpoint_useless(const struct wild_router *router, unsigned index)
{
    const struct endpoint *e = router->endpoint[index];
    if (e->alias)
        return "another name of a node that is there already";
    if (e->state != ENDPOINT_UP)
        return e->why[0] != '\0' ? e->why : "not checked yet";
    if (!state_serves(e->health.state))
        return "it does not serve now";
    if (index == router->primary)
        return NULL;
    if (e->health.mode == MODE_PRIMARY)
        return e->health.epoch < router->epoch ? "a primary of an epoch that is over"
                                               : "a primary, but not the one that is followed";
    if (e->health.mode != MODE_REPLICA)
        return "not a replica: it has data of its own";
    return NULL;
}

bool endpoint_serves(const struct wild_router *router, unsigned index)
{
    return endpoint_useless(router, index) == NULL;
}

static bool is_candidate(const struct wild_router *router, unsigned index, const struct endpoint_set *tried)
{
    if (endpoint_set_has(tried, index) || !endpoint_serves(router, index))
        return false;
    return index != router->primary || router->preference == WILD_READ_ANY ||
           router->preference == WILD_READ_NEAREST;
}

/* Drops the candidates that are not about as fast as the fastest. One without a figure is given a chance. */
static void keep_nearest(const struct wild_router *router, unsigned *candidates, unsigned *count)
{
    uint64_t best_ns = NEVER_NS;
    unsigned kept = 0;
    for (unsigned i = 0; i < *count; i++)
        best_ns = min_u64(best_ns, router->endpoint[candidates[i]]->latency_ns);
    for (unsigned i = 0; i < *count; i++)
        if (router->endpoint[candidates[i]]->latency_ns <= best_ns + best_ns / 4 + NEAREST_SLACK_NS)
            candidates[kept++] = candidates[i];
    *count = kept;
}

/* Smooth weighted round robin: each has as many turns as its weight says, and they are spread evenly. */
static unsigned take_turn(struct wild_router *router, const unsigned *candidates, unsigned count)
{
    struct endpoint *best = NULL;
    int64_t total = 0;
    unsigned chosen = ENDPOINT_NONE;
    for (unsigned i = 0; i < count; i++) {
        struct endpoint *e = router->endpoint[candidates[i]];
        e->turn += e->weight;
        total += e->weight;
        if (best == NULL || e->turn > best->turn) {
            best = e;
            chosen = candidates[i];
        }
    }
    if (best != NULL)
        best->turn -= total;
    return chosen;
}

unsigned router_reader(struct wild_router *router, const struct endpoint_set *tried, unsigned *left)
{
    unsigned candidates[ENDPOINTS_MAX], count = 0;
    bool primary_left = !endpoint_set_has(tried, router->primary);
    if (router->preference != WILD_READ_PRIMARY)
        for (unsigned i = 0; i < router->endpoint_count; i++)
            if (is_candidate(router, i, tried))
                candidates[count++] = i;
    *left = 0;
    if (count == 0) /* the primary even if it was not well when it was looked at last */
        return primary_left ? router->primary : ENDPOINT_NONE;
    *left = count - 1 + (primary_left && !is_candidate(router, router->primary, tried));
    if (router->preference == WILD_READ_NEAREST)
        keep_nearest(router, candidates, &count);
    return take_turn(router, candidates, count);
}

/* ---- the primary ---- */

static bool may_lead(const struct wild_router *router, unsigned index)
{
    const struct endpoint *e = router->endpoint[index];
    if (e->alias || e->state != ENDPOINT_UP || e->health.state == STATE_FENCED ||
        e->health.epoch < router->epoch)
        return false;
    /* A standalone node says nothing of who else there is: it leads where the options say so. */
    return e->health.mode == MODE_PRIMARY || (e->health.mode == MODE_STANDALONE && e->configured_primary);
}

/* The highest epoch; at equal epochs the present one, so that two who claim it cannot take turns. */
static void elect(struct wild_router *router)
{
    unsigned best = may_lead(router, router->primary) ? router->primary : ENDPOINT_NONE;
    for (unsigned i = 0; i < router->endpoint_count; i++)
        if (may_lead(router, i) && (best == ENDPOINT_NONE ||
                                    router->endpoint[i]->health.epoch > router->endpoint[best]->health.epoch))
            best = i;
    if (best == ENDPOINT_NONE || best == router->primary)
        return;
    router->primary = best;
    router->statistics.primary_changes++;
    router->lag_count = router->lag_head = 0;
}

static bool is_of_the_cluster(const struct wild_router *router, unsigned index)
{
    const struct endpoint *e = router->endpoint[index];
    return e->has_health &&
           (index == router->primary || e->configured_primary || e->health.mode != MODE_STANDALONE);
}

static void see_epoch(struct wild_router *router, unsigned index, uint32_t epoch)
{
    if (epoch > router->epoch && is_of_the_cluster(router, index))
        router->epoch = router->statistics.epoch = epoch;
}

static void see_primary_lsn(struct wild_router *router, uint64_t lsn, uint64_t now)
{
    if (router->lag_count > 0) {
        const struct lag_sample *last =
            &router->lag[(router->lag_head + router->lag_count - 1) % LAG_SAMPLES];
        if (lsn <= last->lsn || now < last->ns + LAG_SPACING_NS)
            return;
    }
    if (router->lag_count == LAG_SAMPLES) {
        router->lag_head = (router->lag_head + 1) % LAG_SAMPLES;
        router->lag_count--;
    }
    router->lag[(router->lag_head + router->lag_count++) % LAG_SAMPLES] =
        (struct lag_sample){.ns = now, .lsn = lsn};
}

/* ---- health ---- */

void endpoint_check_soon(struct wild_router *router, unsigned index, uint64_t now)
{
    struct endpoint *e = router->endpoint[index];
    uint64_t due_ns = max_u64(now, e->checked_ns + RECHECK_SPACING_NS);
    if (e->due_ns <= due_ns)
        return;
    e->due_ns = due_ns;
    router_wake_monitor(router);
}

void router_check_all(struct wild_router *router, uint64_t now)
{
    for (unsigned i = 0; i < router->endpoint_count; i++) {
        router->endpoint[i]->wanted++;
        endpoint_check_soon(router, i, now);
    }
}

/* A learned primary may be a node of the options under the name that it gives itself. */
static void note_aliases(struct wild_router *router, unsigned index)
{
    struct endpoint *e = router->endpoint[index];
    for (unsigned i = 0; i < router->endpoint_count; i++) {
        struct endpoint *other = router->endpoint[i];
        if (i == index || other->alias || other->address_bytes != e->address_bytes ||
            memcmp(&other->address, &e->address, e->address_bytes) != 0)
            continue;
        if (e->learned)
            e->alias = true;
        else if (other->learned && router->primary != i)
            other->alias = true;
    }
}

void endpoint_answered(struct wild_router *router, unsigned index, const struct health *health,
                       const struct wild_client *client, uint64_t took_ns, uint64_t now)
{
    struct endpoint *e = router->endpoint[index];
    if (e->state != ENDPOINT_UP)
        e->turn = 0;
    e->state = ENDPOINT_UP;
    e->why[0] = '\0';
    e->has_health = true;
    e->health = *health;
    e->health_ns = now;
    e->check_ns = took_ns;
    wild_node(client, &e->node);
    e->address = client->address;
    e->address_bytes = client->address_bytes;
    if (e->requests == e->requests_before)
        e->latency_ns = took_ns; /* else nobody would notice that a node has become the nearest */
    e->requests_before = e->requests;
    e->pause_ns = 0;
    note_aliases(router, index);
    see_epoch(router, index, health->epoch);
    if (health->mode == MODE_PRIMARY && health->epoch < router->epoch)
        router->statistics.primaries_refused++;
    elect(router);
    if (index == router->primary)
        see_primary_lsn(router, health->lsn, now);
    pthread_cond_broadcast(&router->changed);
}

void endpoint_failed(struct wild_router *router, unsigned index, const char *why, uint64_t now)
{
    struct endpoint *e = router->endpoint[index];
    if (e->state == ENDPOINT_UP)
        e->pause_ns = 0;
    e->state = ENDPOINT_DOWN;
    snprintf(e->why, sizeof(e->why), "%s", why);
    if (e->pause_ns == 0)
        endpoint_check_soon(router, index, now);
    pthread_cond_broadcast(&router->changed);
}

void router_hint(struct wild_router *router, const char *text, size_t length, uint64_t now)
{
    char endpoint[WILD_ENDPOINT_BYTES];
    if (length == 0 || length >= sizeof(endpoint) || memchr(text, '\0', length) != NULL)
        return;
    memcpy(endpoint, text, length);
    endpoint[length] = '\0';
    if (!endpoint_is_valid(endpoint))
        return;
    unsigned index = 0;
    while (index < router->endpoint_count && strcmp(router->endpoint[index]->text, endpoint) != 0)
        index++;
    if (index == router->endpoint_count)
        index = router_add(router, endpoint, 1, true);
    if (index != ENDPOINT_NONE)
        endpoint_check_soon(router, index, now);
}

/* ---- answers ---- */

static void take_latency(struct endpoint *e, uint64_t latency_ns)
{
    histogram_record(&e->latency, latency_ns);
    e->latency_ns = e->latency_ns == 0 ? latency_ns : e->latency_ns - e->latency_ns / 8 + latency_ns / 8;
}

static void attempt_failed(struct wild_router *router, const struct attempt *attempt, uint64_t now)
{
    char why[WILD_ERROR_BYTES];
    struct endpoint *e = router->endpoint[attempt->endpoint];
    e->errors++;
    if (atomic_load_explicit(&router->stop, memory_order_relaxed))
        return; /* that is why */
    if (attempt->result->status == WILD_NO_ANSWER)
        client_say(why, "a request was not answered in time");
    else
        client_say(why, "a request could not be sent: %s",
                   strerror(attempt->failure != 0 ? -attempt->failure : ETIMEDOUT));
    endpoint_failed(router, attempt->endpoint, why, now);
}

enum verdict router_judge(struct wild_router *router, const struct attempt *attempt, uint64_t now)
{
    struct endpoint *e = router->endpoint[attempt->endpoint];
    const struct wild_result *result = attempt->result;
    e->requests++;
    see_epoch(router, attempt->endpoint, attempt->epoch);
    switch (result->status) {
    case WILD_UNREACHABLE:
        attempt_failed(router, attempt, now);
        return attempt->write ? VERDICT_PRIMARY : VERDICT_NEXT;
    case WILD_NO_ANSWER:
        attempt_failed(router, attempt, now);
        return attempt->write ? VERDICT_FINAL : VERDICT_NEXT;
    case WILD_UNKNOWN:
        e->errors++;
        endpoint_check_soon(router, attempt->endpoint, now);
        return VERDICT_FINAL;
    default:
        break;
    }
    take_latency(e, attempt->latency_ns);
    switch (result->status) {
    case WILD_NOT_PRIMARY:
        e->errors++;
        router_hint(router, result->value, result->value != NULL ? result->value_length : 0, now);
        router_check_all(router, now);
        return attempt->write ? VERDICT_PRIMARY : VERDICT_NEXT;
    case WILD_STALE:
        e->stale++;
        if (!attempt->asked_min_lsn) {
            /* it has no whole table to read from; the next check says when it has */
            e->health.state = STATE_CATCHING_UP;
            endpoint_check_soon(router, attempt->endpoint, now);
        }
        return VERDICT_NEXT;
    case WILD_BUSY:
        e->errors++;
        return attempt->write ? VERDICT_FINAL : VERDICT_NEXT;
    case WILD_READ_ONLY:
        router_check_all(router, now); /* its operator may have another for us */
        e->errors++;
        return VERDICT_FINAL;
    case WILD_TIMEOUT:
    case WILD_AUTH:
        e->errors++;
        return VERDICT_FINAL;
    default:
        return VERDICT_FINAL;
    }
}

struct wild_token router_least(const struct wild_router *router, const struct wild_request *request,
                               const struct wild_token *token)
{
    if (request->min_lsn != 0)
        return (struct wild_token){.lsn = request->min_lsn, .history = request->min_history};
    if (token != NULL)
        return *token;
    return router->reads_may_be_stale ? (struct wild_token){0} : router->token;
}

/* LSNs never repeat and grow from history to history, so the highest is the latest. */
static void token_advance(struct wild_token *token, const struct wild_result *result)
{
    if (result->version > token->lsn)
        *token = (struct wild_token){.lsn = result->version, .history = result->history};
}

static void token_drop(struct wild_token *token, uint64_t lsn)
{
    if (token->lsn == lsn)
        *token = (struct wild_token){0};
}

void router_finished(struct wild_router *router, bool write, uint64_t asked_lsn, unsigned endpoint,
                     const struct wild_result *result, struct wild_token *token)
{
    struct wild_router_statistics *statistics = &router->statistics;
    *(write ? &statistics->writes : &statistics->reads) += 1;
    if (result->status == WILD_NO_ANSWER || result->status == WILD_UNREACHABLE ||
        result->status == WILD_UNKNOWN)
        statistics->failed++;
    else if (!write && endpoint == router->primary && router->preference == WILD_READ_REPLICA)
        statistics->fallbacks++;
    if (result->status == WILD_LOST) {
        /* Said once; else nothing could ever be read again. */
        token_drop(&router->token, asked_lsn);
        if (token != NULL)
            token_drop(token, asked_lsn);
    }
    if (!write || result->status != WILD_OK)
        return;
    token_advance(&router->token, result);
    if (token != NULL)
        token_advance(token, result);
    if (endpoint == router->primary)
        see_primary_lsn(router, result->version, client_now());
}
