/*
 * options.h - what wild-client-example is told: by its command line, the environment and a file.
 */
#ifndef WILD_EXAMPLE_OPTIONS_H
#define WILD_EXAMPLE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wild_router.h"

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
    COMMAND_REPLICATION_TEST,
    COMMAND_CONFIG_TEST,
    COMMAND_STATS,
};

struct load_options {
    uint64_t seconds, keys, value_size, get_percent, connections, pipeline, delete_percent, ttl_ms;
};

struct replication_options {
    uint64_t writes, value_size, wait_ms;
};

struct options {
    enum command command;
    const char *argument[2]; /* key, then value or number */
    unsigned arguments;

    struct wild_options client; /* secret points to secret_copy */
    char secret_copy[1025];
    /* The nodes: either client.endpoint alone, or these; neither: the defaults. */
    const char *primary;
    struct wild_replica replica[WILD_REPLICAS_MAX];
    unsigned replicas;
    enum wild_read_preference preference;
    uint64_t connections_most, check_interval_ms;

    struct wild_write_options write;
    struct load_options load;
    struct replication_options replication;
    int64_t delta;
    uint64_t ttl_ms;     /* touch */
    const char *journal; /* load-test, verify; NULL: none */
    const char *config;  /* file */
    bool json, help;

    size_t text_length;
    char text[16384]; /* what the file said */
};

/*
 * Reads the configuration file, the environment and argv: the later ones win. The secret's bytes in
 * environment and argv are overwritten once copied, so that ps and /proc show nothing. EXIT_DONE, or
 * EXIT_USAGE after one line on stderr.
 */
int options_read(struct options *options, int argc, char **argv);
void options_wipe(struct options *options); /* as soon as the client is connected */

/* help.c: about everything, or a command */
void help_print(enum command command);

#endif
