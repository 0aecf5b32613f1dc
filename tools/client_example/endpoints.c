/*
 * endpoints.c - how nodes are: one in lines, several in a table, all as JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

/* ---- one node ---- */

int health_run(struct wild_client *client, const struct options *options)
{
    struct wild_health health;
    enum wild_status status = wild_health(client, &health);
    if (status != WILD_OK) {
        fprintf(stderr, "wild-client-example: health: %s\n", wild_status_text(status));
        return EXIT_FAILED;
    }
    if (options->json) {
        print_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "mode", health.mode, "state",
                             health.state, "epoch", (json_int_t)health.epoch, "lsn", (json_int_t)health.lsn,
                             "items", (json_int_t)health.items, "capacity", (json_int_t)health.capacity,
                             "lines_used", (json_int_t)health.lines_used, "uptime_ms",
                             (json_int_t)health.uptime_ms));
    } else {
        printf("mode %s\nstate %s\nepoch %" PRIu32 "\nlsn %" PRIu64 "\nitems %" PRIu64 "\ncapacity %" PRIu64
               "\nlines_used %" PRIu64 "\nuptime_ms %" PRIu64 "\n",
               health.mode, health.state, health.epoch, health.lsn, health.items, health.capacity,
               health.lines_used, health.uptime_ms);
    }
    return strcmp(health.state, "serving") == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- several ---- */

static bool is_well(const struct wild_endpoint *e)
{
    return e->healthy && e->serves && e->why[0] == '\0' && strcmp(e->state, "serving") == 0;
}

static json_t *health_json(const struct wild_endpoint *e)
{
    json_t *object = json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "endpoint",
                               e->endpoint, "primary", e->is_primary, "healthy", is_well(e), "why", e->why,
                               "mode", e->mode, "state", e->state, "epoch", (json_int_t)e->epoch, "lsn",
                               (json_int_t)e->lsn, "lag_lsn", (json_int_t)e->lag_lsn, "lag_us",
                               (json_int_t)e->lag_us, "latency_us", (json_int_t)e->check_us);
    json_object_set_new(object, "items", json_integer((json_int_t)e->items));
    json_object_set_new(object, "capacity", json_integer((json_int_t)e->capacity));
    json_object_set_new(object, "uptime_ms", json_integer((json_int_t)e->uptime_ms));
    return object;
}

static void print_health(const struct wild_endpoint *e, size_t n)
{
    printf("%-28s %-8s %-11s %-12s %6s %12s %10s %9s %10s\n", "ENDPOINT", "ROLE", "MODE", "STATE", "EPOCH",
           "LSN", "LAG_LSN", "LAG_US", "LATENCY_US");
    for (size_t i = 0; i < n; i++) {
        printf("%-28s %-8s ", e[i].endpoint, e[i].is_primary ? "primary" : "replica");
        if (e[i].checked && e[i].healthy)
            printf("%-11s %-12s %6" PRIu32 " %12" PRIu64 " %10" PRIu64 " %9" PRIu64 " %10" PRIu64 "\n",
                   e[i].mode, e[i].state, e[i].epoch, e[i].lsn, e[i].lag_lsn, e[i].lag_us, e[i].check_us);
        else
            printf("%-11s %-12s %6s %12s %10s %9s %10s\n", "-", "down", "-", "-", "-", "-", "-");
        if (e[i].why[0] != '\0')
            printf("    %s\n", e[i].why);
    }
}

static size_t endpoints_now(struct wild_router *router, struct wild_endpoint *out)
{
    size_t n = wild_router_endpoints(router, out, WILD_ENDPOINTS_MAX);
    return n < WILD_ENDPOINTS_MAX ? n : WILD_ENDPOINTS_MAX;
}

int cluster_health_run(struct wild_router *router, const struct options *options)
{
    struct wild_endpoint e[WILD_ENDPOINTS_MAX];
    size_t n = endpoints_now(router, e), well = 0;
    for (size_t i = 0; i < n; i++)
        well += is_well(&e[i]);
    if (options->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, health_json(&e[i]));
        print_json(json_pack("{s:b, s:o}", "healthy", well == n, "endpoints", list));
    } else {
        print_health(e, n);
        printf("health: %zu of %zu endpoints are healthy\n", well, n);
    }
    return well == n ? EXIT_DONE : EXIT_FAILED;
}

/* ---- statistics ---- */

static json_t *stats_json(const struct wild_endpoint *e)
{
    json_t *object = health_json(e);
    json_object_update_new(
        object, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "weight", (json_int_t)e->weight,
                          "connections", (json_int_t)e->connections, "requests", (json_int_t)e->requests,
                          "errors", (json_int_t)e->errors, "stale", (json_int_t)e->stale, "failovers",
                          (json_int_t)e->failovers, "checks", (json_int_t)e->checks, "checks_failed",
                          (json_int_t)e->checks_failed, "lines_used", (json_int_t)e->lines_used));
    json_object_update_new(object,
                           json_pack("{s:I, s:I, s:I, s:I, s:I}", "p50_us", (json_int_t)e->p50_us, "p90_us",
                                     (json_int_t)e->p90_us, "p99_us", (json_int_t)e->p99_us, "p999_us",
                                     (json_int_t)e->p999_us, "max_us", (json_int_t)e->max_us));
    return object;
}

static void print_stats(const struct wild_endpoint *e)
{
    printf("endpoint %s\n  role %s\n  healthy %s\n", e->endpoint, e->is_primary ? "primary" : "replica",
           is_well(e) ? "yes" : "no");
    if (e->why[0] != '\0')
        printf("  why %s\n", e->why);
    printf("  mode %s\n  state %s\n  epoch %" PRIu32 "\n  node_id %016" PRIx64 "\n  lsn %" PRIu64
           "\n  lag_lsn %" PRIu64 "\n  lag_us %" PRIu64 "\n  items %" PRIu64 "\n  capacity %" PRIu64
           "\n  lines_used %" PRIu64 "\n  uptime_ms %" PRIu64 "\n",
           e->mode, e->state, e->epoch, e->node.node_id, e->lsn, e->lag_lsn, e->lag_us, e->items, e->capacity,
           e->lines_used, e->uptime_ms);
    printf("  weight %" PRIu32 "\n  connections %" PRIu32 "\n  requests %" PRIu64 "\n  errors %" PRIu64
           "\n  stale %" PRIu64 "\n  failovers %" PRIu64 "\n  checks %" PRIu64 "\n  checks_failed %" PRIu64
           "\n  check_us %" PRIu64 "\n  p50_us %" PRIu64 "\n  p90_us %" PRIu64 "\n  p99_us %" PRIu64
           "\n  p999_us %" PRIu64 "\n  max_us %" PRIu64 "\n",
           e->weight, e->connections, e->requests, e->errors, e->stale, e->failovers, e->checks,
           e->checks_failed, e->check_us, e->p50_us, e->p90_us, e->p99_us, e->p999_us, e->max_us);
}

enum { SAMPLES = 20 };

/* So that there are figures: a few reads of a key that need not be there, at every node that serves. */
static void sample(struct wild_router *router, const struct wild_endpoint *endpoints, size_t count)
{
    static const char key[] = "wild-client-example:stats";
    for (size_t i = 0; i < count; i++)
        for (unsigned reads = 0; endpoints[i].serves && reads < SAMPLES; reads++)
            wild_router_get(router, key, sizeof(key) - 1, NULL, NULL);
}

int stats_run(struct wild_router *router, const struct options *options)
{
    struct wild_endpoint e[WILD_ENDPOINTS_MAX];
    struct wild_router_statistics s;
    sample(router, e, endpoints_now(router, e));
    size_t n = endpoints_now(router, e), well = 0;
    wild_router_statistics(router, &s);
    for (size_t i = 0; i < n; i++)
        well += e[i].serves;
    if (options->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, stats_json(&e[i]));
        print_json(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "reads", (json_int_t)s.reads,
                             "writes", (json_int_t)s.writes, "failed", (json_int_t)s.failed, "fallbacks",
                             (json_int_t)s.fallbacks, "primary_changes", (json_int_t)s.primary_changes,
                             "primaries_refused", (json_int_t)s.primaries_refused, "epoch",
                             (json_int_t)s.epoch, "endpoints", list));
    } else {
        printf("router\n  reads %" PRIu64 "\n  writes %" PRIu64 "\n  failed %" PRIu64 "\n  fallbacks %" PRIu64
               "\n  primary_changes %" PRIu64 "\n  primaries_refused %" PRIu64 "\n  epoch %" PRIu32 "\n",
               s.reads, s.writes, s.failed, s.fallbacks, s.primary_changes, s.primaries_refused, s.epoch);
        for (size_t i = 0; i < n; i++)
            print_stats(&e[i]);
    }
    return well == n ? EXIT_DONE : EXIT_FAILED;
}

void endpoints_print_reads(struct wild_router *router)
{
    struct wild_endpoint e[WILD_ENDPOINTS_MAX];
    size_t n = endpoints_now(router, e);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr,
                "load-test: %s %s: %" PRIu64 " requests, %" PRIu64 " errors, %" PRIu64 " stale, %" PRIu64
                " failovers, p50 %" PRIu64 " us, p99 %" PRIu64 " us%s%s\n",
                e[i].is_primary ? "primary" : "replica", e[i].endpoint, e[i].requests, e[i].errors,
                e[i].stale, e[i].failovers, e[i].p50_us, e[i].p99_us, e[i].why[0] != '\0' ? "; " : "",
                e[i].why);
}
