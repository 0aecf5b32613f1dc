#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ON(command) (1U << COMMAND_##command)
#define ANY         (~0U)
#define TTL_MS_MAX  (UINT64_C(366) * 24 * 3600 * 1000)

__attribute__((format(printf, 1, 2))) static int usage(const char *format, ...)
{
    va_list arguments;
    fputs("wild-client-example: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("; see --help\n", stderr);
    return EXIT_USAGE;
}

static const struct command_row {
    const char *name;
    enum command command;
    unsigned least, most; /* arguments */
    const char *arguments, *help;
} command_table[] = {
    {"health", COMMAND_HEALTH, 0, 0, "", "how the node is; exit 0 if it is serving"},
    {"get", COMMAND_GET, 1, 1, "K", "print the value; exit 1 if there is none"},
    {"set", COMMAND_SET, 2, 2, "K V", "store a value"},
    {"delete", COMMAND_DELETE, 1, 1, "K", "remove a key; exit 1 if there is none"},
    {"incr", COMMAND_INCR, 1, 2, "K [N]", "add N (1) to a number; an absent one counts as 0"},
    {"touch", COMMAND_TOUCH, 2, 2, "K MS", "let a key expire in MS milliseconds, 0 = never"},
    {"flush", COMMAND_FLUSH, 0, 0, "", "remove every item"},
    {"load-test", COMMAND_LOAD_TEST, 0, 0, "", "load the node, verify every value read, print the figures"},
    {"verify", COMMAND_VERIFY, 0, 0, "",
     "hold the node to what it told load-test --journal; exit 0 if it keeps it"},
};

void options_help(void)
{
    puts("usage: wild-client-example [OPTION]... COMMAND\n\ncommands:");
    for (size_t i = 0; i < sizeof(command_table) / sizeof(command_table[0]); i++) {
        const struct command_row *row = &command_table[i];
        printf("  %-9s %-6s %s\n", row->name, row->arguments, row->help);
    }
    puts(
        "\noptions:\n"
        "  --endpoint H:P          the node (127.0.0.1:7878)\n"
        "  --transport tcp|udp     how to talk to it (tcp)\n"
        "  --auth-secret S         the secret; better in a file or in WILD_AUTH_SECRET\n"
        "  --auth-secret-file F    a file that holds it, readable by its owner alone\n"
        "  --insecure-no-auth      the node runs in bench mode, without a secret\n"
        "  --cluster-name NAME     what passphrases are salted with (wild)\n"
        "  --sealed                over udp: encrypt requests and answers, not only authenticate them\n"
        "                          (over tcp they always are)\n"
        "  --timeout MS            per operation, retries included (1000); three times that to connect\n"
        "  -j, --json              one JSON object on stdout\n"
        "  -h, --help\n"
        "of set, delete and incr:\n"
        "  --ttl-ms MS             set, incr: the item expires in MS milliseconds\n"
        "  --if-absent --if-present --if-version V\n"
        "of load-test:\n"
        "  --seconds S (10)  --keys N (10000)  --value-size B (32)  --get-percent P (90)\n"
        "  --connections C (2)     each is a session and a thread with keys of its own\n"
        "  --pipeline D (16)       operations in flight per connection, at most 128\n"
        "  --delete-percent P (0)  of the writes, so many remove the key\n"
        "  --ttl-ms MS             every second SET expires after so long (its checks allow for a second)\n"
        "  --journal FILE          append every write to FILE before it is sent, and what the node answered;\n"
        "                          a node that dies ends the test, with its figures and exit code 1\n"
        "of verify:\n"
        "  --journal FILE          read every key that FILE names (of any number of load tests one after the\n"
        "                          other) and compare: the last line is `verify: N keys, N lost, N wrong`.\n"
        "                          An unanswered write may have happened or not. Not for nodes that evict,\n"
        "                          nor after other writes to these keys.\n\n"
        "A journal is text, a line an event, KEY RUN.NUMBER naming a write:\n"
        "  set load:00000000042 5f3a91c2.17 32 -          about to store 32 bytes; - or the earliest expiry\n"
        "  delete load:00000000042 5f3a91c2.18            about to remove it\n"
        "  ok load:00000000042 5f3a91c2.17 4294967312 -   acknowledged with this LSN; - or the latest expiry\n"
        "  unanswered load:00000000042 5f3a91c2.18        may have happened\n"
        "  refused load:00000000042 5f3a91c2.18           did not happen\n"
        "It is not synced: it survives the node's death, not the death of the machine that it is on.\n\n"
        "exit: 0 done, 1 not found or failed, 2 usage");
}

enum option_kind { KIND_FLAG, KIND_NUMBER, KIND_TEXT, KIND_SECRET, KIND_TRANSPORT, KIND_VERSION };

struct option_row {
    const char *name;
    enum option_kind kind;
    unsigned commands; /* that take it */
    void *target;
    uint64_t least, most;
};

static bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *rest;
    errno = 0;
    *out = strtoull(text, &rest, 10);
    return text[0] >= '0' && text[0] <= '9' && *rest == '\0' && errno == 0 && *out >= least && *out <= most;
}

static bool secret_take(struct options *options, char *text)
{
    size_t length = strlen(text);
    bool fits = length < sizeof(options->secret_copy);
    if (fits)
        memcpy(options->secret_copy, text, length + 1);
    explicit_bzero(text, length);
    options->client.secret = options->secret_copy;
    return fits;
}

static int option_set(struct options *options, const struct option_row *row, char *value)
{
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)row->target = true;
        return EXIT_DONE;
    case KIND_TEXT:
        *(const char **)row->target = value;
        return EXIT_DONE;
    case KIND_SECRET:
        return secret_take(options, value) ? EXIT_DONE : usage("the secret is too long");
    case KIND_TRANSPORT:
        if (strcmp(value, "tcp") != 0 && strcmp(value, "udp") != 0)
            return usage("--transport is tcp or udp, not \"%s\"", value);
        *(enum wild_transport *)row->target = value[0] == 't' ? WILD_TRANSPORT_TCP : WILD_TRANSPORT_UDP;
        return EXIT_DONE;
    case KIND_VERSION:
        options->write.if_version = true;
        break;
    case KIND_NUMBER:
        break;
    }
    if (!number_read(value, row->least, row->most, row->target))
        return usage("%s takes a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"", row->name, row->least,
                     row->most, value);
    return EXIT_DONE;
}

/* argv[*at] is an option: "--name value", "--name=value", or a flag. */
static int option_read(struct options *options, const struct option_row *rows, char **argv, int *at,
                       unsigned *used_by)
{
    char *name = argv[*at], *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    for (const struct option_row *row = rows; row->name != NULL; row++) {
        if (strlen(row->name) != length || strncmp(row->name, name, length) != 0)
            continue;
        if (row->kind == KIND_FLAG && equals != NULL)
            return usage("%s takes no value", row->name);
        char *value = equals != NULL ? equals + 1 : NULL;
        if (row->kind != KIND_FLAG && value == NULL) {
            value = argv[*at + 1];
            if (value == NULL)
                return usage("%s needs a value", row->name);
            ++*at;
        }
        *used_by &= row->commands;
        return option_set(options, row, value);
    }
    return usage("unknown option %.*s", (int)length, name);
}

static int command_read(struct options *options, const char *text)
{
    if (options->command == COMMAND_NONE) {
        for (size_t i = 0; i < sizeof(command_table) / sizeof(command_table[0]); i++)
            if (strcmp(command_table[i].name, text) == 0)
                options->command = command_table[i].command;
        return options->command != COMMAND_NONE ? EXIT_DONE : usage("unknown command \"%s\"", text);
    }
    if (options->arguments == 2)
        return usage("one argument too many: \"%s\"", text);
    options->argument[options->arguments++] = text;
    return EXIT_DONE;
}

static int arguments_check(struct options *options)
{
    const struct command_row *row = command_table;
    while (row->command != options->command)
        row++;
    if (options->arguments < row->least || options->arguments > row->most)
        return usage("%s takes: %s %s", row->name, row->name, row->arguments);
    if (options->command == COMMAND_TOUCH &&
        !number_read(options->argument[1], 0, UINT64_MAX, &options->ttl_ms))
        return usage("touch takes milliseconds, not \"%s\"", options->argument[1]);
    if (options->command == COMMAND_LOAD_TEST && options->write.ttl_ms > TTL_MS_MAX)
        return usage("load-test takes a --ttl-ms of a year at most");
    if (options->command == COMMAND_VERIFY && options->journal == NULL)
        return usage("verify needs --journal FILE");
    options->delta = 1;
    if (options->command == COMMAND_INCR && options->arguments == 2) {
        char *rest;
        errno = 0;
        options->delta = strtoll(options->argument[1], &rest, 10);
        if (*options->argument[1] == '\0' || *rest != '\0' || errno != 0)
            return usage("incr takes a signed 64-bit number, not \"%s\"", options->argument[1]);
    }
    return EXIT_DONE;
}

static int secret_check(struct options *options)
{
    struct wild_options *client = &options->client;
    unsigned given = (client->secret != NULL) + (client->secret_file != NULL) + client->insecure_no_auth;
    if (given > 1)
        return usage("give one of --auth-secret, --auth-secret-file and --insecure-no-auth");
    /* Read even when it is not needed: it must not stay in the environment. */
    char *environment = getenv("WILD_AUTH_SECRET");
    if (environment != NULL && given == 0) {
        if (!secret_take(options, environment))
            return usage("the secret in WILD_AUTH_SECRET is too long");
        given = 1;
    } else if (environment != NULL) {
        explicit_bzero(environment, strlen(environment));
    }
    unsetenv("WILD_AUTH_SECRET");
    if (given == 0)
        return usage("no secret: give --auth-secret-file F, --auth-secret S or WILD_AUTH_SECRET, or "
                     "--insecure-no-auth for a node in bench mode");
    return EXIT_DONE;
}

int options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){.load = {10, 10000, 32, 90, 2, 16, 0, 0}};
    struct load_options *load = &options->load;
    uint64_t timeout_ms = 0;
    unsigned writes = ON(SET) | ON(DELETE) | ON(INCR), used_by = ANY;
    const struct option_row rows[] = {
        {"--endpoint", KIND_TEXT, ANY, &options->client.endpoint, 0, 0},
        {"--transport", KIND_TRANSPORT, ANY, &options->client.transport, 0, 0},
        {"--auth-secret", KIND_SECRET, ANY, NULL, 0, 0},
        {"--auth-secret-file", KIND_TEXT, ANY, &options->client.secret_file, 0, 0},
        {"--insecure-no-auth", KIND_FLAG, ANY, &options->client.insecure_no_auth, 0, 0},
        {"--cluster-name", KIND_TEXT, ANY, &options->client.cluster_name, 0, 0},
        {"--sealed", KIND_FLAG, ANY, &options->client.sealed, 0, 0},
        {"--timeout", KIND_NUMBER, ANY, &timeout_ms, 1, 3600 * 1000},
        {"-j", KIND_FLAG, ANY, &options->json, 0, 0},
        {"--json", KIND_FLAG, ANY, &options->json, 0, 0},
        {"-h", KIND_FLAG, ANY, &options->help, 0, 0},
        {"--help", KIND_FLAG, ANY, &options->help, 0, 0},
        {"--ttl-ms", KIND_NUMBER, ON(SET) | ON(INCR) | ON(LOAD_TEST), &options->write.ttl_ms, 0, UINT64_MAX},
        {"--if-absent", KIND_FLAG, ON(SET) | ON(INCR), &options->write.if_absent, 0, 0},
        {"--if-present", KIND_FLAG, writes, &options->write.if_present, 0, 0},
        {"--if-version", KIND_VERSION, writes, &options->write.version, 0, UINT64_MAX},
        {"--seconds", KIND_NUMBER, ON(LOAD_TEST), &load->seconds, 1, 7 * 24 * 3600},
        {"--keys", KIND_NUMBER, ON(LOAD_TEST), &load->keys, 1, 100 * 1000 * 1000},
        {"--value-size", KIND_NUMBER, ON(LOAD_TEST), &load->value_size, 0, WILD_VALUE_MAX},
        {"--get-percent", KIND_NUMBER, ON(LOAD_TEST), &load->get_percent, 0, 100},
        {"--connections", KIND_NUMBER, ON(LOAD_TEST), &load->connections, 1, 1000},
        {"--pipeline", KIND_NUMBER, ON(LOAD_TEST), &load->pipeline, 1, WILD_PIPELINE_MAX},
        {"--delete-percent", KIND_NUMBER, ON(LOAD_TEST), &load->delete_percent, 0, 100},
        {"--journal", KIND_TEXT, ON(LOAD_TEST) | ON(VERIFY), &options->journal, 0, 0},
        {0},
    };

    int outcome = EXIT_DONE;
    bool only_arguments = false;
    for (int at = 1; at < argc && outcome == EXIT_DONE; at++) {
        char *text = argv[at];
        bool negative_number = text[0] == '-' && text[1] >= '0' && text[1] <= '9';
        if (only_arguments || text[0] != '-' || text[1] == '\0' || negative_number)
            outcome = command_read(options, text);
        else if (strcmp(text, "--") == 0)
            only_arguments = true;
        else
            outcome = option_read(options, rows, argv, &at, &used_by);
    }
    if (outcome != EXIT_DONE || options->help)
        return outcome;
    if (options->command == COMMAND_NONE)
        return usage("no command");
    if (!(used_by & 1U << options->command))
        return usage("one of the options does not belong to this command");
    load->ttl_ms = options->write.ttl_ms;
    options->client.timeout_ms = (uint32_t)timeout_ms;
    options->client.connect_timeout_ms = (uint32_t)(3 * timeout_ms);
    outcome = arguments_check(options);
    return outcome == EXIT_DONE ? secret_check(options) : outcome;
}

void options_wipe(struct options *options)
{
    explicit_bzero(options->secret_copy, sizeof(options->secret_copy));
    options->client.secret = NULL;
}
