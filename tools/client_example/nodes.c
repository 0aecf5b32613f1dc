/*
 * nodes.c - from options to clients and routers.
 */
#include "nodes.h"

#include <stdio.h>
#include <string.h>

bool nodes_are_routed(const struct options *options)
{
    return options->primary != NULL || options->replicas > 0;
}

struct wild_client *nodes_connect(const struct options *options, const char *endpoint,
                                  char error[WILD_ERROR_BYTES])
{
    struct wild_options client = options->client;
    client.endpoint = endpoint;
    return wild_connect(&client, error);
}

void nodes_find_defaults(struct options *options)
{
    char error[WILD_ERROR_BYTES];
    if (nodes_are_routed(options) || options->client.endpoint != NULL)
        return;
    /* Over TCP, which every node serves as well: there the host says at once that nobody listens, over UDP
     * that would only be a hint, and each test would begin with a time-out. */
    struct wild_options probe = options->client;
    probe.endpoint = DEFAULT_REPLICA;
    probe.transport = WILD_TRANSPORT_TCP;
    struct wild_client *client = wild_connect(&probe, error);
    if (client == NULL) {
        fprintf(stderr, "no nodes are named: %s alone (%s)\n", DEFAULT_PRIMARY, error);
        return;
    }
    struct wild_health health = {.mode = "silent"};
    wild_health(client, &health);
    wild_close(client);
    if (strcmp(health.mode, "replica") != 0) {
        fprintf(stderr, "no nodes are named: %s alone (%s is %s)\n", DEFAULT_PRIMARY, DEFAULT_REPLICA,
                health.mode);
        return;
    }
    fprintf(stderr, "no nodes are named: primary %s, replica %s, which answers\n", DEFAULT_PRIMARY,
            DEFAULT_REPLICA);
    options->primary = DEFAULT_PRIMARY;
    options->replica[options->replicas++] = (struct wild_replica){.endpoint = DEFAULT_REPLICA, .weight = 1};
}

struct wild_router *nodes_route(const struct options *options, bool may_start_alone)
{
    const struct wild_options *client = &options->client;
    struct wild_router_options router = {
        .primary = options->primary != NULL ? options->primary : client->endpoint,
        .replicas = options->replica,
        .replica_count = options->replicas,
        .secret = client->secret,
        .secret_file = client->secret_file,
        .insecure_no_auth = client->insecure_no_auth,
        .cluster_name = client->cluster_name,
        .transport = client->transport,
        .sealed = client->sealed,
        .timeout_ms = client->timeout_ms,
        .connect_timeout_ms = client->connect_timeout_ms,
        .max_connections_per_endpoint = (uint32_t)options->connections_most,
        .health_check_interval_ms = (uint32_t)options->check_interval_ms,
        .read_preference = options->preference,
        .may_start_alone = may_start_alone,
    };
    if (options->command == COMMAND_LOAD_TEST) {
        /* Each connection has a pipeline, which keeps one connection to each node; and knows itself what each
         * of its keys must show. */
        if (router.max_connections_per_endpoint == 0 && options->load.connections > 10)
            router.max_connections_per_endpoint = (uint32_t)options->load.connections;
        router.reads_may_be_stale = true;
    }
    char error[WILD_ERROR_BYTES];
    struct wild_router *made = wild_router_create(&router, error);
    if (made == NULL)
        fprintf(stderr, "wild-client-example: %s\n", error);
    return made;
}

static void client_call(struct wild_client *client, const struct wild_request *request,
                        struct wild_result *result)
{
    switch (request->operation) {
    case WILD_OP_GET:
        wild_get(client, request->key, request->key_length, result);
        break;
    case WILD_OP_SET:
        wild_set(client, request->key, request->key_length, request->value, request->value_length,
                 &request->options, result);
        break;
    case WILD_OP_DELETE:
        wild_delete(client, request->key, request->key_length, &request->options, result);
        break;
    case WILD_OP_INCR:
        wild_incr(client, request->key, request->key_length, request->delta, request->initial,
                  &request->options, result);
        break;
    case WILD_OP_TOUCH:
        wild_touch(client, request->key, request->key_length, request->options.ttl_ms, result);
        break;
    case WILD_OP_FLUSH:
        wild_flush(client, result);
        break;
    }
}

enum wild_status nodes_call(const struct nodes *nodes, const struct wild_request *request, void *value,
                            struct wild_result *result)
{
    if (nodes->router != NULL)
        return wild_router_call(nodes->router, request, NULL, value, result);
    client_call(nodes->client, request, result);
    if (result->status == WILD_OK && result->value != NULL) {
        memcpy(value, result->value, result->value_length);
        result->value = value;
    }
    return result->status;
}
