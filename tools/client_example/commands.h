/*
 * commands.h - what wild-client-example does once it is connected. Each returns the exit code.
 */
#ifndef WILD_EXAMPLE_COMMANDS_H
#define WILD_EXAMPLE_COMMANDS_H

#include "options.h"

int command_run(struct wild_client *client, const struct options *options); /* all but these two: */
int load_test_run(struct wild_client *client, const struct options *options);
int verify_run(struct wild_client *client, const struct options *options);

#endif
