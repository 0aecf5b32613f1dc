/*
 * options.c - where options come from: the configuration file, the environment, the command line.
 */
#include "options_internal.h"

#include <errno.h>
#include <ini.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

static const char secret_environment[] = "WILD_AUTH_SECRET", name_environment[] = "WILD_REPLICA_ID";

static bool is_secret(enum option_id id)
{
    return id == OPTION_auth_secret || id == OPTION_auth_secret_file;
}

/* Forgets what a lower source said about `id`. */
static void forget(struct parse *parse, enum option_id id)
{
    if (id == OPTION_nic) {
        parse->out->nics = 0;
        parse->kernel = false;
    }
    if (id == OPTION_address)
        parse->addresses = 0;
    if (id == OPTION_http_host)
        parse->out->http_hosts = 0;
    if (id == OPTION_peer)
        parse->out->replication.peers = 0;
    if (id == OPTION_replication_secret_file) {
        keys_wipe(parse->out->replication.secret, sizeof parse->out->replication.secret);
        parse->out->replication.secrets = 0;
    }
    if (is_secret(id)) {
        keys_wipe(parse->out->secret, sizeof parse->out->secret);
        parse->out->secrets = 0;
        parse->given[OPTION_auth_secret] = SOURCE_NONE;
        parse->given[OPTION_auth_secret_file] = SOURCE_NONE;
        if (parse->given[OPTION_insecure_no_auth] < parse->source)
            parse->out->insecure_no_auth = false;
    }
}

static int take(struct parse *parse, enum option_id id, const char *value)
{
    enum source before = parse->given[id];

    if (before == parse->source && !option_rows[id].repeats)
        return option_wrong(parse, "--%s is given twice", option_rows[id].name);
    if (is_secret(id)) {
        enum option_id other = id == OPTION_auth_secret ? OPTION_auth_secret_file : OPTION_auth_secret;

        if (parse->given[other] == parse->source)
            return option_wrong(
                parse, "--auth-secret and --auth-secret-file contradict each other (two secrets: give"
                       " --auth-secret-file twice)");
        if (parse->given[other] > before)
            before = parse->given[other];
    }
    if (before < parse->source)
        forget(parse, id);
    parse->given[id] = parse->source;
    return option_set(parse, id, value);
}

static int find(const char *name, size_t length)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (strlen(option_rows[id].name) == length && memcmp(option_rows[id].name, name, length) == 0)
            return id;
    return -1;
}

/*
 * One argument (and its value, if that is the next one). Returns how many were used, 0 at `--`, -1 when
 * wrong. A secret's bytes are overwritten at once.
 */
static int take_argument(struct parse *parse, int argc, char **argv, int i)
{
    const char *name = argv[i] + 2;
    char *value = NULL;
    size_t length;
    int id, used = 1, failed;

    if (strcmp(argv[i], "--") == 0)
        return 0;
    if (strncmp(argv[i], "--", 2) != 0)
        return option_wrong(parse, "'%.60s' is not an option (wild --help lists them)", argv[i]);
    length = strcspn(name, "=");
    id = find(name, length);
    if (id < 0)
        return option_wrong(parse, "unknown option '--%.*s' (wild --help lists them)",
                            (int)(length < 60 ? length : 60), name);
    if (name[length] == '=')
        value = argv[i] + 2 + length + 1;
    if (option_rows[id].argument == NULL && value != NULL)
        return option_wrong(parse, "--%s takes no value", option_rows[id].name);
    if (option_rows[id].argument != NULL && value == NULL) {
        if (i + 1 >= argc)
            return option_wrong(parse, "--%s needs a value: %s", option_rows[id].name,
                                option_rows[id].argument);
        value = argv[i + 1];
        used = 2;
    }
    failed = take(parse, (enum option_id)id, value != NULL ? value : "");
    if (id == OPTION_auth_secret)
        keys_wipe(value, strlen(value));
    return failed != 0 ? -1 : used;
}

static int take_command_line(struct parse *parse, int argc, char **argv)
{
    int i = 1, used = 1;

    parse->source = SOURCE_COMMAND_LINE;
    while (i < argc && used > 0) {
        used = take_argument(parse, argc, argv, i);
        i += used > 0 ? used : 0;
    }
    if (used < 0)
        return -1;
    for (i++; i < argc; i++) {
        if (parse->out->eals == OPTIONS_EAL_MAX)
            return option_wrong(parse, "at most %d raw EAL arguments", OPTIONS_EAL_MAX);
        parse->out->eal[parse->out->eals++] = argv[i];
    }
    return 0;
}

static char *in_environment(char **environ_list, const char *name)
{
    size_t length = strlen(name);

    for (; environ_list != NULL && *environ_list != NULL; environ_list++)
        if (strncmp(*environ_list, name, length) == 0 && (*environ_list)[length] == '=')
            return *environ_list + length + 1;
    return NULL;
}

static int take_environment(struct parse *parse, char **environ_list)
{
    char *secret = in_environment(environ_list, secret_environment);
    char *name = in_environment(environ_list, name_environment);
    int failed = 0;

    parse->source = SOURCE_ENVIRONMENT;
    if (secret != NULL) {
        failed = take(parse, OPTION_auth_secret, secret);
        keys_wipe(secret, strlen(secret));
    }
    if (failed == 0 && name != NULL)
        failed = option_set_replica_id(parse, name);
    return failed;
}

static int take_file_entry(void *user, const char *section, const char *name, const char *value)
{
    struct parse *parse = user;
    int id = find(name, strlen(name)), failed = 0;

    if (parse->file_failed)
        return 0;
    if (section[0] != '\0')
        failed = option_wrong(parse, "sections such as [%.40s] are not used", section);
    else if (id < 0 || id == OPTION_config || id == OPTION_help || id == OPTION_version)
        failed = option_wrong(parse, "unknown option '%.60s'", name);
    else if (option_rows[id].argument != NULL)
        failed = take(parse, (enum option_id)id, value);
    else if (strcmp(value, "true") == 0)
        failed = take(parse, (enum option_id)id, "");
    else if (strcmp(value, "false") != 0)
        failed = option_wrong(parse, "%s takes true or false", option_rows[id].name);
    if (id == OPTION_auth_secret)
        parse->file_has_secret = true;
    parse->file_failed = failed != 0;
    return failed == 0;
}

/* The parser's line buffer is fixed, and it would take the rest of a long line for a line of its own. */
static char *read_file_line(char *line, int room, void *user)
{
    struct parse *parse = user;
    char *got = parse->file_failed ? NULL : fgets(line, room, parse->stream);

    parse->file_line++;
    if (got == NULL)
        return NULL;
    if (strchr(line, '\n') == NULL && !feof(parse->stream)) {
        option_wrong(parse, "the line is longer than %d bytes", room - 2);
        parse->file_failed = true;
        return NULL;
    }
    /* Nor may an indented line continue the one before: an option is one line. */
    memmove(line, line + strspn(line, " \t"), strlen(line + strspn(line, " \t")) + 1);
    return got;
}

static int take_file(struct parse *parse, const char *path)
{
    struct stat status;
    int outcome;

    parse->stream = fopen(path, "re");
    if (parse->stream == NULL || fstat(fileno(parse->stream), &status) != 0) {
        if (parse->stream != NULL)
            fclose(parse->stream);
        return option_wrong(parse, "--config %.100s: %s", path, strerror(errno));
    }
    parse->source = SOURCE_FILE;
    parse->file = path;
    parse->file_line = 0;
    outcome = ini_parse_stream(read_file_line, parse, take_file_entry, parse);
    /* A folder opens too, and only reading it fails: part of a file must not pass for all of it. */
    if (!parse->file_failed && ferror(parse->stream)) {
        option_wrong(parse, "cannot be read: %s", strerror(errno));
        parse->file_failed = true;
    }
    fclose(parse->stream);
    parse->stream = NULL;
    if (!parse->file_failed && outcome != 0) {
        parse->file_line = outcome;
        option_wrong(parse, "not a `name = value` line");
        parse->file_failed = true;
    }
    parse->file = NULL;
    if (parse->file_failed)
        return -1;
    if (parse->file_has_secret && (status.st_mode & 077) != 0)
        return option_wrong(parse, "%.100s holds a secret but others may read it: chmod 600 it", path);
    return 0;
}

static void print_help(FILE *print)
{
    fprintf(print, "usage: wild [option...] [-- raw EAL arguments]\n\n");
    for (int id = 0; id < OPTION_COUNT; id++) {
        char left[64];

        snprintf(left, sizeof left, "--%s %s", option_rows[id].name,
                 option_rows[id].argument != NULL ? option_rows[id].argument : "");
        fprintf(print, "  %-36s %s\n", left, option_rows[id].help);
    }
    fprintf(print,
            "\nThe secret may also be in the environment: %s. What other nodes call this one: %s\n"
            "(default: host name and port).\n",
            secret_environment, name_environment);
}

/* --config must be known before the command line is taken in order: the file is the lowest source. */
static const char *config_path(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            return argv[i + 1];
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        int id = strncmp(argv[i], "--", 2) == 0 ? find(argv[i] + 2, strlen(argv[i] + 2)) : -1;
        i += id >= 0 && option_rows[id].argument != NULL; /* skip the value */
    }
    return NULL;
}

enum options_outcome options_parse(struct options *out, int argc, char **argv, char **environ_list,
                                   FILE *print, char error[OPTIONS_ERROR_BYTES])
{
    struct parse parse = {.out = out, .error = error};
    const char *config = config_path(argc, argv);
    int failed = 0;

    *out = (struct options){
        .port = PROTOCOL_DEFAULT_PORT,
        .bind_ip4 = INADDR_LOOPBACK,
        .cluster_name = "wild",
        .replication = {.port = REPLICATION_DEFAULT_PORT,
                        .primary_port = REPLICATION_DEFAULT_PORT,
                        .heartbeat_ms = REPLICATION_HEARTBEAT_DEFAULT_MS,
                        .timeout_ms = REPLICATION_TIMEOUT_DEFAULT_MS},
        .log = {.snapshot_interval_s = SNAPSHOT_INTERVAL_DEFAULT_S, .snapshot_mib = SNAPSHOT_LOG_DEFAULT_MIB},
        .log_level = LOG_LEVEL_INFO};
    error[0] = '\0';
    if (config != NULL)
        failed = take_file(&parse, config);
    if (failed == 0)
        failed = take_environment(&parse, environ_list);
    if (failed == 0)
        failed = take_command_line(&parse, argc, argv);
    if (failed == 0 && (parse.help || parse.version)) {
        if (parse.help)
            print_help(print);
        else
            fprintf(print, "wild %s\n", WILD_VERSION);
        options_wipe(out);
        return OPTIONS_DONE;
    }
    if (failed == 0)
        failed = options_check(&parse);
    if (failed != 0)
        options_wipe(out);
    return failed == 0 ? OPTIONS_RUN : OPTIONS_WRONG;
}

void options_wipe(struct options *options)
{
    keys_wipe(options->secret, sizeof options->secret);
    options->secrets = 0;
    keys_wipe(options->replication.secret, sizeof options->replication.secret);
    options->replication.secrets = 0;
}
