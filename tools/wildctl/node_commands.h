/*
 * node_commands.h - wildctl -s SOCKET COMMAND: what a running node is asked by its control socket
 * (`wild --control-socket`), and how its answers look.
 */
#ifndef WILDCTL_NODE_COMMANDS_H
#define WILDCTL_NODE_COMMANDS_H

#include <stdbool.h>
#include <stdio.h>

enum { NODE_WORDS_MAX = 3 };

struct node_options {
    const char *socket;
    const char *word[NODE_WORDS_MAX + 1]; /* the command, and what it is about; NULL behind the last */
    unsigned words;
    const char *wal_path, *to;
    bool force, json, help;
    FILE *out;
};

/* Whether arguments from argv[1] on are such a command: -s comes before anything that is not an option. */
bool node_command_is(int argc, char **argv);
/* All of it: reads arguments, asks, prints. Returns the exit code: 0 done, 1 it cannot be reached or says
 * no, 2 usage. */
int node_command_main(int argc, char **argv, FILE *out);

#endif
