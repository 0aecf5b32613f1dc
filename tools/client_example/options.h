/*
 * options.h - the command line of wild-client-example, read once.
 */
#ifndef WILD_EXAMPLE_OPTIONS_H
#define WILD_EXAMPLE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wild.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum command {
    COMMAND_NONE,
    COMMAND_HEALTH,
    COMMAND_GET,
    COMMAND_SET,
    COMMAND_DELETE,
    COMMAND_INCR,
    COMMAND_TOUCH,
    COMMAND_FLUSH,
    COMMAND_LOAD_TEST,
    COMMAND_VERIFY,
};

struct load_options {
    uint64_t seconds, keys, value_size, get_percent, connections, pipeline, delete_percent, ttl_ms;
};

struct options {
    enum command command;
    const char *argument[2]; /* key, then value or number */
    unsigned arguments;

    struct wild_options client; /* secret points to secret_copy */
    char secret_copy[1025];
    struct wild_write_options write;
    struct load_options load;
    int64_t delta;
    uint64_t ttl_ms;     /* touch */
    const char *journal; /* load-test, verify; NULL: none */
    bool json, help;
};

/*
 * Reads argv and WILD_AUTH_SECRET; the secret's bytes in both are overwritten once copied, so that ps and
 * /proc show nothing. EXIT_DONE, or EXIT_USAGE after one line on stderr.
 */
int options_read(struct options *options, int argc, char **argv);
void options_wipe(struct options *options); /* as soon as the client is connected */
void options_help(void);

#endif
