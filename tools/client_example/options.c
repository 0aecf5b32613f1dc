/*
 * options.c - the command line, and what one option means wherever it stands.
 */
#include "options_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL_MS_MAX (UINT64_C(366) * 24 * 3600 * 1000)

int usage(const char *format, ...)
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
    const char *arguments;
} command_table[] = {
    {"health", COMMAND_HEALTH, 0, 0, ""},
    {"get", COMMAND_GET, 1, 1, "K"},
    {"set", COMMAND_SET, 2, 2, "K V"},
    {"delete", COMMAND_DELETE, 1, 1, "K"},
    {"incr", COMMAND_INCR, 1, 2, "K [N]"},
    {"touch", COMMAND_TOUCH, 2, 2, "K MS"},
    {"flush", COMMAND_FLUSH, 0, 0, ""},
    {"load-test", COMMAND_LOAD_TEST, 0, 0, ""},
    {"verify", COMMAND_VERIFY, 0, 0, ""},
    {"replication-test", COMMAND_REPLICATION_TEST, 0, 0, ""},
    {"config-test", COMMAND_CONFIG_TEST, 0, 0, ""},
    {"stats", COMMAND_STATS, 0, 0, ""},
};

bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *rest;
    errno = 0;
    *out = strtoull(text, &rest, 10);
    return text[0] >= '0' && text[0] <= '9' && *rest == '\0' && errno == 0 && *out >= least && *out <= most;
}

char *text_keep(struct options *options, const char *text)
{
    size_t bytes = strlen(text) + 1;
    if (bytes > sizeof(options->text) - options->text_length)
        return NULL;
    char *kept = memcpy(options->text + options->text_length, text, bytes);
    options->text_length += bytes;
    return kept;
}

/* ---- secrets ---- */

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

/* One secret from each source, and the latest source's counts. */
static int secret_set(struct parse *parse, const struct option_row *row, char *value)
{
    struct options *options = parse->options;
    struct wild_options *client = &options->client;
    if (parse->secret_from == parse->source) {
        if (row->kind == KIND_SECRET)
            explicit_bzero(value, strlen(value));
        return parse->source == SOURCE_ENVIRONMENT
                   ? usage("give one of WILD_AUTH_SECRET and WILD_AUTH_SECRET_FILE")
                   : usage("give one of --auth-secret, --auth-secret-file and --insecure-no-auth");
    }
    parse->secret_from = parse->source;
    options_wipe(options);
    client->secret_file = NULL;
    client->insecure_no_auth = false;
    if (row->kind == KIND_SECRET)
        return secret_take(options, value) ? EXIT_DONE : usage("the secret is too long");
    if (row->kind == KIND_SECRET_FILE)
        client->secret_file = value;
    else
        client->insecure_no_auth = true;
    return EXIT_DONE;
}

/* ---- nodes ---- */

/* What the sources before said about the nodes is forgotten: a mixture is nobody's wish. */
static void nodes_forget(struct parse *parse)
{
    struct options *options = parse->options;
    enum source *from[] = {&parse->endpoint_from, &parse->primary_from, &parse->replicas_from};
    for (unsigned i = 0; i < 3; i++)
        if (*from[i] != parse->source)
            *from[i] = SOURCE_NONE;
    if (parse->endpoint_from == SOURCE_NONE)
        options->client.endpoint = NULL;
    if (parse->primary_from == SOURCE_NONE)
        options->primary = NULL;
    if (parse->replicas_from == SOURCE_NONE)
        options->replicas = 0;
}

static int replica_add(struct options *options, char *value)
{
    char *comma = strchr(value, ',');
    uint64_t weight = 1;
    if (comma != NULL) {
        *comma = '\0';
        if (strncmp(comma + 1, "weight=", 7) != 0 || !number_read(comma + 8, 1, 1000, &weight))
            return usage("a replica is H:P or H:P,weight=N (1 to 1000), not \"%s,%s\"", value, comma + 1);
    }
    if (options->replicas == WILD_REPLICAS_MAX)
        return usage("there may be %d replicas at most", WILD_REPLICAS_MAX);
    options->replica[options->replicas++] =
        (struct wild_replica){.endpoint = value, .weight = (uint32_t)weight};
    return EXIT_DONE;
}

static int node_set(struct parse *parse, const struct option_row *row, char *value)
{
    struct options *options = parse->options;
    nodes_forget(parse);
    bool alone = row->kind == KIND_ENDPOINT;
    if (alone ? parse->primary_from != SOURCE_NONE || parse->replicas_from != SOURCE_NONE
              : parse->endpoint_from != SOURCE_NONE)
        return usage("give either one endpoint, or a primary and replicas");
    switch (row->kind) {
    case KIND_ENDPOINT:
        parse->endpoint_from = parse->source;
        options->client.endpoint = value;
        return EXIT_DONE;
    case KIND_PRIMARY:
        parse->primary_from = parse->source;
        options->primary = value;
        return EXIT_DONE;
    default:
        parse->replicas_from = parse->source;
        return replica_add(options, value);
    }
}

/* ---- one option ---- */

static int preference_set(struct options *options, const char *value)
{
    static const char *const names[] = {"replica", "primary", "any", "nearest"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(value, names[i]) != 0)
            continue;
        options->preference = (enum wild_read_preference)i;
        return EXIT_DONE;
    }
    return usage("--read-preference is replica, primary, any or nearest, not \"%s\"", value);
}

int option_set(struct parse *parse, const struct option_row *row, char *value)
{
    struct options *options = parse->options;
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)row->target = true;
        return EXIT_DONE;
    case KIND_TEXT:
        *(const char **)row->target = value;
        return EXIT_DONE;
    case KIND_SECRET:
    case KIND_SECRET_FILE:
    case KIND_INSECURE:
        return secret_set(parse, row, value);
    case KIND_ENDPOINT:
    case KIND_PRIMARY:
    case KIND_REPLICA:
        return node_set(parse, row, value);
    case KIND_PREFERENCE:
        return preference_set(options, value);
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

const struct option_row *option_find(const struct option_row *rows, const char *name, size_t length)
{
    for (const struct option_row *row = rows; row->name != NULL; row++)
        if (strlen(row->name) == length && strncmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

/* ---- the command line ---- */

/* argv[*at] is an option: "--name value", "--name=value", or a flag. */
static int option_read(struct parse *parse, char **argv, int *at)
{
    char *name = argv[*at], *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct option_row *row = option_find(parse->rows, name, length);
    if (row == NULL)
        return usage("unknown option %.*s", (int)length, name);
    bool flag = row->kind == KIND_FLAG || row->kind == KIND_INSECURE;
    if (flag && equals != NULL)
        return usage("%s takes no value", row->name);
    char *value = equals != NULL ? equals + 1 : NULL;
    if (!flag && value == NULL) {
        value = argv[*at + 1];
        if (value == NULL)
            return usage("%s needs a value", row->name);
        ++*at;
    }
    parse->used_by &= row->commands;
    return option_set(parse, row, value);
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

static int arguments_read(struct parse *parse, int argc, char **argv)
{
    int outcome = EXIT_DONE;
    bool only_arguments = false;
    parse->source = SOURCE_ARGUMENTS;
    for (int at = 1; at < argc && outcome == EXIT_DONE; at++) {
        char *text = argv[at];
        bool negative_number = text[0] == '-' && text[1] >= '0' && text[1] <= '9';
        if (only_arguments || text[0] != '-' || text[1] == '\0' || negative_number)
            outcome = command_read(parse->options, text);
        else if (strcmp(text, "--") == 0)
            only_arguments = true;
        else
            outcome = option_read(parse, argv, &at);
    }
    return outcome;
}

/* Looked for first: what it says is weaker than all that follows. */
static const char *config_path(int argc, char **argv)
{
    for (int at = 1; at < argc && strcmp(argv[at], "--") != 0; at++) {
        if (strncmp(argv[at], "--config=", 9) == 0)
            return argv[at] + 9;
        if (strcmp(argv[at], "--config") == 0)
            return at + 1 < argc ? argv[at + 1] : NULL;
    }
    return getenv("WILD_CONFIG");
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
    const struct wild_options *client = &options->client;
    if (client->secret == NULL && client->secret_file == NULL && !client->insecure_no_auth)
        return usage("no secret: give --auth-secret-file F, --auth-secret S or WILD_AUTH_SECRET, or "
                     "--insecure-no-auth for a node in bench mode");
    return EXIT_DONE;
}

int options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){.load = {10, 10000, 32, 90, 2, 16, 0, 0}, .replication = {1000, 64, 5000}};
    struct load_options *load = &options->load;
    struct replication_options *replication = &options->replication;
    struct wild_options *client = &options->client;
    struct parse parse = {.options = options, .used_by = ANY};
    unsigned writes = ON(SET) | ON(DELETE) | ON(INCR);
    const struct option_row rows[] = {
        {"--endpoint", KIND_ENDPOINT, ANY & ~(ON(REPLICATION_TEST)), NULL, 0, 0, true},
        {"--primary", KIND_PRIMARY, ANY, NULL, 0, 0, true},
        {"--replica", KIND_REPLICA, ANY, NULL, 0, 0, true},
        {"--read-preference", KIND_PREFERENCE, ANY, NULL, 0, 0, true},
        {"--max-connections-per-endpoint", KIND_NUMBER, ANY, &options->connections_most, 1, 1000, true},
        {"--health-check-interval-ms", KIND_NUMBER, ANY, &options->check_interval_ms, 1, 24 * 3600 * 1000,
         true},
        {"--config", KIND_TEXT, ANY, &options->config, 0, 0, false},
        {"--transport", KIND_TRANSPORT, ANY, &client->transport, 0, 0, true},
        {"--auth-secret", KIND_SECRET, ANY, NULL, 0, 0, false},
        {"--auth-secret-file", KIND_SECRET_FILE, ANY, NULL, 0, 0, true},
        {"--insecure-no-auth", KIND_INSECURE, ANY, NULL, 0, 0, true},
        {"--cluster-name", KIND_TEXT, ANY, &client->cluster_name, 0, 0, true},
        {"--sealed", KIND_FLAG, ANY, &client->sealed, 0, 0, true},
        {"--timeout", KIND_NUMBER, ANY, &parse.timeout_ms, 1, 3600 * 1000, true},
        {"-j", KIND_FLAG, ANY, &options->json, 0, 0, false},
        {"--json", KIND_FLAG, ANY, &options->json, 0, 0, false},
        {"-h", KIND_FLAG, ANY, &options->help, 0, 0, false},
        {"--help", KIND_FLAG, ANY, &options->help, 0, 0, false},
        {"--ttl-ms", KIND_NUMBER, ON(SET) | ON(INCR) | ON(LOAD_TEST), &options->write.ttl_ms, 0, UINT64_MAX,
         false},
        {"--if-absent", KIND_FLAG, ON(SET) | ON(INCR), &options->write.if_absent, 0, 0, false},
        {"--if-present", KIND_FLAG, writes, &options->write.if_present, 0, 0, false},
        {"--if-version", KIND_VERSION, writes, &options->write.version, 0, UINT64_MAX, false},
        {"--seconds", KIND_NUMBER, ON(LOAD_TEST), &load->seconds, 1, 7 * 24 * 3600, false},
        {"--keys", KIND_NUMBER, ON(LOAD_TEST), &load->keys, 1, 100 * 1000 * 1000, false},
        {"--value-size", KIND_NUMBER, ON(LOAD_TEST), &load->value_size, 0, WILD_VALUE_MAX, false},
        {"--get-percent", KIND_NUMBER, ON(LOAD_TEST), &load->get_percent, 0, 100, false},
        {"--connections", KIND_NUMBER, ON(LOAD_TEST), &load->connections, 1, 1000, false},
        {"--pipeline", KIND_NUMBER, ON(LOAD_TEST), &load->pipeline, 1, WILD_PIPELINE_MAX, false},
        {"--delete-percent", KIND_NUMBER, ON(LOAD_TEST), &load->delete_percent, 0, 100, false},
        {"--journal", KIND_TEXT, ON(LOAD_TEST) | ON(VERIFY), &options->journal, 0, 0, false},
        {"--writes", KIND_NUMBER, ON(REPLICATION_TEST), &replication->writes, 1, 1000 * 1000, false},
        {"--bytes", KIND_NUMBER, ON(REPLICATION_TEST), &replication->value_size, 16, WILD_VALUE_MAX, false},
        {"--wait", KIND_NUMBER, ON(REPLICATION_TEST), &replication->wait_ms, 1, 3600 * 1000, false},
        {0},
    };
    parse.rows = rows;
    const char *path = config_path(argc, argv);
    int outcome = path != NULL ? options_from_file(&parse, path) : EXIT_DONE;
    /* The environment even after an error: the secret must not stay in it. */
    int environment = options_from_environment(&parse);
    if (outcome == EXIT_DONE)
        outcome = environment;
    if (outcome == EXIT_DONE)
        outcome = arguments_read(&parse, argc, argv);
    if (outcome != EXIT_DONE || options->help)
        return outcome;
    if (options->command == COMMAND_NONE)
        return usage("no command");
    if (!(parse.used_by & 1U << options->command))
        return usage("one of the options does not belong to this command");
    load->ttl_ms = options->write.ttl_ms;
    client->timeout_ms = (uint32_t)parse.timeout_ms;
    client->connect_timeout_ms = (uint32_t)(3 * parse.timeout_ms);
    return arguments_check(options);
}

void options_wipe(struct options *options)
{
    explicit_bzero(options->secret_copy, sizeof(options->secret_copy));
    options->client.secret = NULL;
}
