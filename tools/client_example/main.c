/*
 * wild-client-example - a command line for a node, and an example of libwild.
 */
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"

int main(int argc, char **argv)
{
    struct options options;
    int outcome = options_read(&options, argc, argv);
    if (outcome == EXIT_DONE && options.help) {
        options_help();
        return EXIT_DONE;
    }
    if (outcome != EXIT_DONE) {
        options_wipe(&options);
        return outcome;
    }

    char error[WILD_ERROR_BYTES];
    struct wild_client *client = wild_connect(&options.client, error);
    options_wipe(&options);
    if (client == NULL) {
        fprintf(stderr, "wild-client-example: %s\n", error);
        return EXIT_FAILED;
    }
    if (options.command == COMMAND_LOAD_TEST)
        outcome = load_test_run(client, &options);
    else if (options.command == COMMAND_VERIFY)
        outcome = verify_run(client, &options);
    else
        outcome = command_run(client, &options);
    wild_close(client);
    if (fflush(stdout) != 0) {
        perror("wild-client-example: stdout");
        return EXIT_FAILED;
    }
    return outcome;
}
