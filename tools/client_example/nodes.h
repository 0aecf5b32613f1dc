/*
 * nodes.h - what a command talks to: one node, or a router over several.
 */
#ifndef WILD_EXAMPLE_NODES_H
#define WILD_EXAMPLE_NODES_H

#include "options.h"

#define DEFAULT_PRIMARY "127.0.0.1:7878"
#define DEFAULT_REPLICA "127.0.0.1:7879"

/* Exactly one of the two is there. */
struct nodes {
    struct wild_client *client;
    struct wild_router *router;
};

/* Whether the options name a primary or replicas. */
bool nodes_are_routed(const struct options *options);
/* Neither they nor an endpoint: then DEFAULT_REPLICA becomes a replica if a node answers there. Says what was
 * found on stderr. */
void nodes_find_defaults(struct options *options);

/* A router over the options' nodes (a lone endpoint counts as primary); NULL after one line on stderr. */
struct wild_router *nodes_route(const struct options *options, bool may_start_alone);
/* A client of one of them; NULL with one line. */
struct wild_client *nodes_connect(const struct options *options, const char *endpoint,
                                  char error[WILD_ERROR_BYTES]);

/* One request; its value goes to `value`, WILD_VALUE_MAX bytes. */
enum wild_status nodes_call(const struct nodes *nodes, const struct wild_request *request, void *value,
                            struct wild_result *result);

#endif
