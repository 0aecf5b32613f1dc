/*
 * node_commands.c - one request and its answer over the control socket, and the answer as text.
 */
#include "node_commands.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "wal_commands.h"

enum { ANSWER_S = 5, ANSWER_BYTES = 1 << 20 };

/* ---- answers as text ---- */

static void print_value(FILE *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        fputs(json_string_value(value), out);
        break;
    case JSON_TRUE:
        fputs("yes", out);
        break;
    case JSON_FALSE:
        fputs("no", out);
        break;
    case JSON_INTEGER:
        fprintf(out, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        fprintf(out, "%.3f", json_real_value(value));
        break;
    default:
        fputc('-', out);
        break;
    }
}

/* A line for each value that says something. */
static void print_object(FILE *out, json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (json_is_string(value) && json_string_length(value) == 0)
            continue;
        fprintf(out, "%-16s", name);
        print_value(out, value);
        fputc('\n', out);
    }
}

static const struct column {
    const char *name;
    int width;
} replica_columns[] = {{"name", 24}, {"address", 22}, {"state", 10},  {"serving", 8},
                       {"lsn", 16},  {"lag_lsn", 10}, {"lag_ms", 10}, {"log", 4}};
enum { REPLICA_COLUMNS = sizeof replica_columns / sizeof replica_columns[0] };

static void print_cell(FILE *out, const json_t *value, int width)
{
    char text[128] = "";
    FILE *cell = fmemopen(text, sizeof text, "w");

    if (cell != NULL) {
        print_value(cell, value);
        fclose(cell);
    }
    fprintf(out, "%-*s ", width, text);
}

static void print_replicas(FILE *out, json_t *list)
{
    size_t i;
    json_t *replica;

    if (json_array_size(list) == 0) {
        fputs("no replica follows this node\n", out);
        return;
    }
    for (unsigned c = 0; c < REPLICA_COLUMNS; c++)
        fprintf(out, "%-*s ", replica_columns[c].width, replica_columns[c].name);
    fputc('\n', out);
    json_array_foreach(list, i, replica)
    {
        for (unsigned c = 0; c < REPLICA_COLUMNS; c++)
            print_cell(out, json_object_get(replica, replica_columns[c].name), replica_columns[c].width);
        fputc('\n', out);
    }
}

/* ---- commands ---- */

static const struct node_command {
    const char *name;
    void (*print)(FILE *out, json_t *answer);
    const char *help;
} node_commands[] = {
    {"status", print_object,
     "usage: wildctl -s SOCKET [-j] status\n\n"
     "What the node is: mode, state and why, epoch, LSNs (last assigned, on stable storage, on replicas), items; a\n"
     "replica's primary, phase and lag too."},
    {"replicas", print_replicas,
     "usage: wildctl -s SOCKET [-j] replicas\n\n"
     "Who follows this node: name, address for clients, state (bootstrap, catch_up, streaming), whether it serves\n"
     "reads, the last LSN that it has applied, and how far that is behind: in LSNs, and in milliseconds between the\n"
     "sending of a change and the news that it is applied."},
    {"snapshot", print_object,
     "usage: wildctl -s SOCKET snapshot\n\n"
     "A snapshot of the table, as soon as none is being taken; `status` and /metrics tell when it is there."},
    {"drain", print_object,
     "usage: wildctl -s SOCKET drain\n\n"
     "Stops the node in order, as SIGTERM does: no new sessions, what was received is answered, the log is closed."},
};
enum { NODE_COMMANDS = sizeof node_commands / sizeof node_commands[0] };

static void node_help(const struct node_command *command, FILE *out)
{
    if (command != NULL) {
        fprintf(out, "%s\n-j: as JSON.\nexit: 0 done, 1 the node cannot be reached or says no, 2 usage\n",
                command->help);
        return;
    }
    fputs("usage: wildctl -s SOCKET [-j] COMMAND\n\n"
          "  status    what the node is, and how far it is\n"
          "  replicas  who follows it, and how far each is behind\n"
          "  snapshot  take one now\n"
          "  drain     stop in order\n\n"
          "SOCKET: what `wild --control-socket` says. `wildctl -s SOCKET COMMAND --help` says more.\n",
          out);
}

static int node_usage(const char *what, const char *word)
{
    fprintf(stderr, "wildctl: %s%s; see --help\n", what, word);
    return EXIT_USAGE;
}

/* ---- the socket ---- */

static int reach(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_S};
    int node;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    node = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (node < 0)
        return -1;
    setsockopt(node, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(node, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(node, (const struct sockaddr *)&address, sizeof address) != 0) {
        int error = errno;

        close(node);
        errno = error;
        return -1;
    }
    return node;
}

static bool send_all(int node, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t taken = send(node, text, left, MSG_NOSIGNAL);

        if (taken <= 0)
            return false;
        text += taken;
        left -= (size_t)taken;
    }
    return true;
}

/* The answer's line, to be freed; NULL: none came whole. */
static char *read_answer(int node)
{
    char *text = malloc(ANSWER_BYTES);
    size_t have = 0;
    ssize_t got = 1;

    while (text != NULL && got > 0 && have < ANSWER_BYTES - 1) {
        got = recv(node, text + have, ANSWER_BYTES - 1 - have, 0);
        have += got > 0 ? (size_t)got : 0;
    }
    if (text != NULL && have > 0 && text[have - 1] == '\n') {
        text[have - 1] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

/* The answer, a new reference; NULL after a line on stderr. */
static json_t *ask(const struct node_options *options)
{
    char request[128];
    json_t *reply = NULL, *answer;
    char *text = NULL;
    int node = reach(options->socket);

    if (node < 0) {
        fprintf(stderr, "wildctl: %s: %s; is the node running, with --control-socket?\n", options->socket,
                strerror(errno));
        return NULL;
    }
    snprintf(request, sizeof request, "{\"command\": \"%s\"}\n", options->command);
    if (send_all(node, request))
        text = read_answer(node);
    close(node);
    if (text != NULL)
        reply = json_loads(text, 0, NULL);
    free(text);
    answer = json_object_get(reply, "answer");
    if (json_is_true(json_object_get(reply, "ok")) && answer != NULL)
        json_incref(answer);
    else
        answer = NULL;
    if (answer == NULL) {
        const char *error = json_string_value(json_object_get(reply, "error"));

        fprintf(stderr, "wildctl: %s: %s\n", options->socket,
                error != NULL ? error : "no answer (only root and the node's own user are answered)");
    }
    json_decref(reply);
    return answer;
}

/* ---- arguments ---- */

bool node_command_is(int argc, char **argv)
{
    return argc > 1 && (strncmp(argv[1], "-s", 2) == 0 || strcmp(argv[1], "--socket") == 0 ||
                        (argc > 2 && (strcmp(argv[1], "-j") == 0 || strcmp(argv[1], "--json") == 0)));
}

static int read_options(struct node_options *options, int argc, char **argv)
{
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];

        if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
            options->help = true;
        else if (strcmp(word, "-j") == 0 || strcmp(word, "--json") == 0)
            options->json = true;
        else if ((strcmp(word, "-s") == 0 || strcmp(word, "--socket") == 0) && at + 1 < argc)
            options->socket = argv[++at];
        else if (word[0] == '-')
            return node_usage("unknown option, or one without its value: ", word);
        else if (options->command != NULL)
            return node_usage("one command, not as well: ", word);
        else
            options->command = word;
    }
    return EXIT_FINE;
}

static const struct node_command *command_of(const struct node_options *options)
{
    for (unsigned i = 0; options->command != NULL && i < NODE_COMMANDS; i++)
        if (strcmp(node_commands[i].name, options->command) == 0)
            return &node_commands[i];
    return NULL;
}

int node_command_main(int argc, char **argv, FILE *out)
{
    struct node_options options = {.out = out};
    int outcome = read_options(&options, argc, argv);
    const struct node_command *command = command_of(&options);
    json_t *answer;

    if (outcome != EXIT_FINE)
        return outcome;
    if (options.command != NULL && command == NULL)
        return node_usage("unknown command: ", options.command);
    if (options.help) {
        node_help(command, out);
        return EXIT_FINE;
    }
    if (command == NULL)
        return node_usage("no command", "");
    if (options.socket == NULL)
        return node_usage("which node? -s SOCKET", "");
    answer = ask(&options);
    if (answer == NULL)
        return EXIT_DAMAGE;
    if (options.json) {
        json_dumpf(answer, out, JSON_INDENT(2));
        fputc('\n', out);
    } else {
        command->print(out, answer);
    }
    json_decref(answer);
    return EXIT_FINE;
}
