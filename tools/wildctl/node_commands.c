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

/* An order is answered when it is done, or after 10 s. */
enum { ANSWER_S = 15, ANSWER_BYTES = 1 << 20 };

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

/* An order's: what was done. */
static void print_done(FILE *out, json_t *object)
{
    const char *done = json_string_value(json_object_get(object, "done"));

    fprintf(out, "%s\n", done != NULL ? done : "done");
}

struct column {
    const char *name;
    int width;
};

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

static void print_table(FILE *out, json_t *list, const struct column *columns, unsigned count)
{
    size_t i;
    json_t *row;

    for (unsigned c = 0; c < count; c++)
        fprintf(out, "%-*s ", columns[c].width, columns[c].name);
    fputc('\n', out);
    json_array_foreach(list, i, row)
    {
        for (unsigned c = 0; c < count; c++)
            print_cell(out, json_object_get(row, columns[c].name), columns[c].width);
        fputc('\n', out);
    }
}

static void print_replicas(FILE *out, json_t *list)
{
    static const struct column columns[] = {{"name", 24}, {"address", 22}, {"state", 10},  {"serving", 8},
                                            {"lsn", 16},  {"lag_lsn", 10}, {"lag_ms", 10}, {"log", 4}};

    if (json_array_size(list) == 0)
        fputs("no replica follows this node\n", out);
    else
        print_table(out, list, columns, sizeof columns / sizeof columns[0]);
}

static void print_members(FILE *out, json_t *list)
{
    static const struct column columns[] = {{"name", 24},        {"node", 16},  {"address", 22},
                                            {"replication", 22}, {"part", 6},   {"primary", 8},
                                            {"this", 5},         {"counts", 7}, {"durable_lsn", 16}};

    if (json_is_object(list)) /* of `members remove` */
        print_done(out, list);
    else if (json_array_size(list) == 0)
        fputs("this node knows of no members\n", out);
    else
        print_table(out, list, columns, sizeof columns / sizeof columns[0]);
}

/* ---- requests ---- */

static int node_usage(const char *what, const char *word)
{
    fprintf(stderr, "wildctl: %s%s; see --help\n", what, word);
    return EXIT_USAGE;
}

/* What JSON cannot say is not left out: EXIT_USAGE. */
static int say(json_t *request, const char *name, json_t *value)
{
    return json_object_set_new(request, name, value) == 0
               ? EXIT_FINE
               : node_usage("not text in UTF-8: the value for ", name);
}

/* What a command's request says besides its name, and what the command may be given: EXIT_FINE or
 * EXIT_USAGE. */
static int plain_request(const struct node_options *options, json_t *request)
{
    (void)request;
    return options->words == 1 ? EXIT_FINE : node_usage("one command, not as well: ", options->word[1]);
}

static int promote_request(const struct node_options *options, json_t *request)
{
    if (options->wal_path != NULL && say(request, "wal_path", json_string(options->wal_path)) != EXIT_FINE)
        return EXIT_USAGE;
    say(request, "force", json_boolean(options->force));
    return plain_request(options, request);
}

static int demote_request(const struct node_options *options, json_t *request)
{
    if (options->to == NULL)
        return node_usage("demote in favour of whom? --to NODE", "");
    return say(request, "to", json_string(options->to)) == EXIT_FINE ? plain_request(options, request)
                                                                     : EXIT_USAGE;
}

static int follow_request(const struct node_options *options, json_t *request)
{
    const char *where = options->word[1], *colon = where != NULL ? strrchr(where, ':') : NULL;
    char *rest;
    unsigned long port;

    if (where == NULL || options->words > 2)
        return node_usage("follow whom? HOST:PORT", "");
    port = colon != NULL && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &rest, 10) : 0;
    if (port == 0 || port > 65535 || *rest != '\0' || colon == where)
        return node_usage("HOST:PORT is a name or an address and a port, not ", where);
    say(request, "port", json_integer((json_int_t)port));
    return say(request, "host", json_stringn(where, (size_t)(colon - where)));
}

static int members_request(const struct node_options *options, json_t *request)
{
    if (options->words == 1)
        return EXIT_FINE;
    if (strcmp(options->word[1], "remove") != 0)
        return node_usage("members, or members remove NODE; not ", options->word[1]);
    if (options->words != 3)
        return node_usage("remove whom? members remove NODE", "");
    say(request, "command", json_string("members_remove"));
    return say(request, "node", json_string(options->word[2]));
}

/* ---- commands ---- */

enum { TAKES_FORCE = 1, TAKES_WAL_PATH = 2, TAKES_TO = 4 };

static const struct node_command {
    const char *name;
    void (*print)(FILE *out, json_t *answer);
    int (*request)(const struct node_options *options, json_t *request);
    unsigned takes; /* options of its own */
    const char *help;
} node_commands[] = {
    {"status", print_object, plain_request, 0,
     "usage: wildctl -s SOCKET [-j] status\n\n"
     "What the node is: mode, state and why, epoch, LSNs (last assigned, on stable storage, on replicas), items; a\n"
     "replica's primary, phase and lag too; the last order that it was given, and what came of it."},
    {"replicas", print_replicas, plain_request, 0,
     "usage: wildctl -s SOCKET [-j] replicas\n\n"
     "Who follows this node: name, address for clients, state (bootstrap, catch_up, streaming), whether it serves\n"
     "reads, the last LSN that it has applied, and how far that is behind: in LSNs, and in milliseconds between the\n"
     "sending of a change and the news that it is applied."},
    {"snapshot", print_object, plain_request, 0,
     "usage: wildctl -s SOCKET snapshot\n\n"
     "A snapshot of the table, as soon as none is being taken; `status` and /metrics tell when it is there."},
    {"drain", print_object, plain_request, 0,
     "usage: wildctl -s SOCKET drain\n\n"
     "Stops the node in order, as SIGTERM does: no new sessions, what was received is answered, the log is closed."},
    {"members", print_members, members_request, 0,
     "usage: wildctl -s SOCKET [-j] members\n"
     "       wildctl -s SOCKET members remove NODE\n\n"
     "The nodes with a log that the cluster counts on, as this node's log lists them: name, node id, address for\n"
     "clients and for other nodes, whether it stays, joins or leaves, whether it is the primary, whether it is the node\n"
     "that is asked, whether it counts for --min-replicas already, and how far its log is known to be on stable storage.\n\n"
     "remove, asked of the primary: the cluster no longer counts on NODE (its name, or its node id). It takes no part in a\n"
     "promotion any more, so remove only what is gone for good, or is about to be."},
    {"promote", print_done, promote_request, TAKES_FORCE | TAKES_WAL_PATH,
     "usage: wildctl -s SOCKET promote [--force] [--wal-path FOLDER]\n\n"
     "Makes a replica the primary. It asks as many members as it takes to know of every acknowledged write, has them\n"
     "refuse the primary before, and leads if no member has more of the log than it; else it says who has.\n"
     "--wal-path: of a replica without a log, and refused as yet: restart it with --enable-wal --wal-path FOLDER.\n"
     "--force: leads also without the members that it cannot reach, and while the old primary may be alive. What was\n"
     "acknowledged and is on those members alone may be LOST, and two primaries may take writes until the old one is\n"
     "stopped or is reached again; its own tail is set aside then. For when the others are gone for good."},
    {"demote", print_done, demote_request, TAKES_TO,
     "usage: wildctl -s SOCKET demote --to NODE\n\n"
     "Asked of the primary: hands the lead to NODE (its name, or its node id), a replica with a log, and follows it.\n"
     "Writes wait until NODE has all of the log; nothing is lost. If NODE does not take over, this node leads on."},
    {"follow", print_done, follow_request, 0,
     "usage: wildctl -s SOCKET follow HOST:PORT\n\n"
     "Asked of a replica: it follows the primary whose --replication-port is at HOST:PORT from now on. It keeps what it\n"
     "has, and goes on from there if that primary is of its cluster and its log has it; `status` tells. A restart\n"
     "follows --primary-address again."},
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
          "  members   on which nodes with a log the cluster counts\n"
          "  snapshot  take one now\n"
          "  promote   make a replica the primary\n"
          "  demote    hand the lead to another node\n"
          "  follow    have a replica follow another primary\n"
          "  drain     stop in order\n\n"
          "SOCKET: what `wild --control-socket` says. `wildctl -s SOCKET COMMAND --help` says more.\n",
          out);
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

static bool send_request(int node, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    bool sent = text != NULL && send_all(node, text) && send_all(node, "\n");

    free(text);
    return sent;
}

/* The answer, a new reference; NULL after a line on stderr. */
static json_t *ask(const struct node_options *options, const json_t *request)
{
    json_t *reply = NULL, *answer;
    char *text = NULL;
    int node = reach(options->socket);

    if (node < 0) {
        fprintf(stderr, "wildctl: %s: %s; is the node running, with --control-socket?\n", options->socket,
                strerror(errno));
        return NULL;
    }
    if (send_request(node, request))
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
        else if (strcmp(word, "--force") == 0)
            options->force = true;
        else if (strcmp(word, "--wal-path") == 0 && at + 1 < argc)
            options->wal_path = argv[++at];
        else if (strcmp(word, "--to") == 0 && at + 1 < argc)
            options->to = argv[++at];
        else if (word[0] == '-')
            return node_usage("unknown option, or one without its value: ", word);
        else if (options->words == NODE_WORDS_MAX)
            return node_usage("one command, not as well: ", word);
        else
            options->word[options->words++] = word;
    }
    return EXIT_FINE;
}

static const struct node_command *command_of(const struct node_options *options)
{
    for (unsigned i = 0; options->words > 0 && i < NODE_COMMANDS; i++)
        if (strcmp(node_commands[i].name, options->word[0]) == 0)
            return &node_commands[i];
    return NULL;
}

/* The request, a new reference; NULL after a line on stderr: it is not one. */
static json_t *request_of(const struct node_options *options, const struct node_command *command)
{
    json_t *request;

    if ((options->force && (command->takes & TAKES_FORCE) == 0) ||
        (options->wal_path != NULL && (command->takes & TAKES_WAL_PATH) == 0) ||
        (options->to != NULL && (command->takes & TAKES_TO) == 0)) {
        node_usage("an option that is not one of ", command->name);
        return NULL;
    }
    request = json_pack("{s:s}", "command", command->name);
    if (request != NULL && command->request(options, request) == EXIT_FINE)
        return request;
    json_decref(request);
    return NULL;
}

int node_command_main(int argc, char **argv, FILE *out)
{
    struct node_options options = {.out = out};
    int outcome = read_options(&options, argc, argv);
    const struct node_command *command = command_of(&options);
    json_t *request, *answer;

    if (outcome != EXIT_FINE)
        return outcome;
    if (options.words > 0 && command == NULL)
        return node_usage("unknown command: ", options.word[0]);
    if (options.help) {
        node_help(command, out);
        return EXIT_FINE;
    }
    if (command == NULL)
        return node_usage("no command", "");
    if (options.socket == NULL)
        return node_usage("which node? -s SOCKET", "");
    request = request_of(&options, command);
    if (request == NULL)
        return EXIT_USAGE;
    answer = ask(&options, request);
    json_decref(request);
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
