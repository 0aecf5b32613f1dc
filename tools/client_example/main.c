/*
 * wild-client-example - a command line for one node or several, and an example of libwild.
 */
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"

/* About nodes in general: with none named, those that the guide starts. */
static bool looks_for_nodes(enum command command)
{
    return command == COMMAND_HEALTH || command == COMMAND_LOAD_TEST || command == COMMAND_REPLICATION_TEST ||
           command == COMMAND_CONFIG_TEST || command == COMMAND_STATS;
}

/* `verify` and a lone node's commands have one connection, to the primary. */
static int run_with_client(struct options *options)
{
    char error[WILD_ERROR_BYTES];
    const char *endpoint = options->primary != NULL ? options->primary : options->client.endpoint;
    struct nodes nodes = {.client = nodes_connect(options, endpoint, error)};
    options_wipe(options);
    if (nodes.client == NULL) {
        fprintf(stderr, "wild-client-example: %s\n", error);
        return EXIT_FAILED;
    }
    int outcome;
    if (options->command == COMMAND_LOAD_TEST)
        outcome = load_test_run(&nodes, options);
    else if (options->command == COMMAND_VERIFY)
        outcome = verify_run(nodes.client, options);
    else if (options->command == COMMAND_HEALTH)
        outcome = health_run(nodes.client, options);
    else
        outcome = command_run(&nodes, options);
    wild_close(nodes.client);
    return outcome;
}

static int run_with_router(struct options *options)
{
    bool looks = options->command == COMMAND_HEALTH || options->command == COMMAND_STATS;
    struct nodes nodes = {.router = nodes_route(options, looks)};
    if (options->command != COMMAND_REPLICATION_TEST)
        options_wipe(options);
    if (nodes.router == NULL)
        return EXIT_FAILED;
    int outcome;
    switch (options->command) {
    case COMMAND_HEALTH:
        outcome = cluster_health_run(nodes.router, options);
        break;
    case COMMAND_STATS:
        outcome = stats_run(nodes.router, options);
        break;
    case COMMAND_LOAD_TEST:
        outcome = load_test_run(&nodes, options);
        break;
    case COMMAND_REPLICATION_TEST:
        outcome = replication_test_run(nodes.router, options);
        break;
    default:
        outcome = command_run(&nodes, options);
        break;
    }
    wild_router_destroy(nodes.router);
    return outcome;
}

static int run(struct options *options)
{
    if (looks_for_nodes(options->command))
        nodes_find_defaults(options);
    if (options->command == COMMAND_CONFIG_TEST)
        return config_test_run(options);
    if (options->command == COMMAND_REPLICATION_TEST && options->replicas == 0) {
        fprintf(stderr, "wild-client-example: replication-test: no replica: give --replica H:P\n");
        return EXIT_FAILED;
    }
    bool router = options->command == COMMAND_STATS ||
                  (nodes_are_routed(options) && options->command != COMMAND_VERIFY);
    return router ? run_with_router(options) : run_with_client(options);
}

int main(int argc, char **argv)
{
    struct options options;
    int outcome = options_read(&options, argc, argv);
    if (outcome == EXIT_DONE && options.help) {
        help_print(options.command);
        return EXIT_DONE;
    }
    if (outcome == EXIT_DONE)
        outcome = run(&options);
    options_wipe(&options);
    if (fflush(stdout) != 0) {
        perror("wild-client-example: stdout");
        return EXIT_FAILED;
    }
    return outcome;
}
