/*
 * commands.h - what wild-client-example does. Each returns the exit code.
 */
#ifndef WILD_EXAMPLE_COMMANDS_H
#define WILD_EXAMPLE_COMMANDS_H

#include <jansson.h>

#include "nodes.h"

int command_run(const struct nodes *nodes, const struct options *options); /* one request */
int load_test_run(const struct nodes *nodes, const struct options *options);
int verify_run(struct wild_client *client, const struct options *options);

/* endpoints.c: how nodes are */
int health_run(struct wild_client *client, const struct options *options); /* one */
int cluster_health_run(struct wild_router *router, const struct options *options);
int stats_run(struct wild_router *router, const struct options *options);
void endpoints_print_reads(struct wild_router *router); /* a few lines on stderr */

int replication_test_run(struct wild_router *router, const struct options *options);
int config_test_run(const struct options *options);

void print_json(json_t *object); /* on one line; takes it */

#endif
