/*
 * option_values.c - what the value of each option may be, and which options go together.
 */
#include "options_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct option_row option_rows[OPTION_COUNT] = {
#define OPTION_ROW(identifier, name, argument, repeats, help)                                                \
    [OPTION_##identifier] = {name, argument, help, repeats},
    OPTION_LIST(OPTION_ROW)
#undef OPTION_ROW
};

int option_wrong(struct parse *parse, const char *format, ...)
{
    char text[OPTIONS_ERROR_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (parse->file != NULL)
        snprintf(parse->error, OPTIONS_ERROR_BYTES, "%.100s line %d: %.140s", parse->file, parse->file_line,
                 text);
    else
        snprintf(parse->error, OPTIONS_ERROR_BYTES, "%s", text);
    return -1;
}

/* ---- values ---- */

int option_number(struct parse *parse, enum option_id id, const char *value, uint64_t low, uint64_t high,
                  uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || *out < low || *out > high)
        return option_wrong(parse, "--%s takes a number from %llu to %llu, not '%.40s'", option_rows[id].name,
                            (unsigned long long)low, (unsigned long long)high, value);
    return 0;
}

int option_choice(struct parse *parse, enum option_id id, const char *value, const char *const *choices,
                  unsigned count, unsigned *out)
{
    for (*out = 0; *out < count; (*out)++)
        if (strcmp(value, choices[*out]) == 0)
            return 0;
    return option_wrong(parse, "--%s takes %s, not '%.40s'", option_rows[id].name, option_rows[id].argument,
                        value);
}

static int set_cluster_name(struct parse *parse, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || length >= CLUSTER_NAME_BYTES)
        return option_wrong(parse, "--cluster-name takes 1 to %d characters", CLUSTER_NAME_BYTES - 1);
    memcpy(parse->out->cluster_name, value, length + 1);
    return 0;
}

/* The secret that was put into the next place: a damaged one is found here, not when ports are open. */
static int accept_secret(struct parse *parse, struct secret_list list, size_t length)
{
    struct secret_option *secret = &list.secret[*list.count];
    char why[OPTIONS_ERROR_BYTES];

    if (keys_start() != 0)
        return option_wrong(parse, "libsodium does not start");
    if (keys_check_node_secret(secret->text, length, why, sizeof why) != 0)
        return option_wrong(parse, "%s", why);
    secret->length = length;
    (*list.count)++;
    return 0;
}

int option_secret(struct parse *parse, struct secret_list list, const char *text)
{
    size_t length = strlen(text);

    if (*list.count == NODE_SECRETS_MAX)
        return option_wrong(parse, "at most %d secrets are valid at once", NODE_SECRETS_MAX);
    if (length == 0 || length > SECRET_TEXT_BYTES_MAX)
        return option_wrong(parse, "a secret has 1 to %d bytes", SECRET_TEXT_BYTES_MAX);
    memcpy(list.secret[*list.count].text, text, length);
    return accept_secret(parse, list, length);
}

int option_secret_file(struct parse *parse, struct secret_list list, const char *path)
{
    char why[OPTIONS_ERROR_BYTES];
    int length;

    if (*list.count == NODE_SECRETS_MAX)
        return option_wrong(parse, "at most %d secrets are valid at once", NODE_SECRETS_MAX);
    length = keys_read_secret_file(path, list.secret[*list.count].text, why, sizeof why);
    if (length < 0)
        return option_wrong(parse, "%s", why);
    return accept_secret(parse, list, (size_t)length);
}

static int add_http_host(struct parse *parse, const char *value)
{
    struct options *out = parse->out;
    size_t length = strlen(value);

    if (out->http_hosts == NODE_HTTP_HOSTS_MAX)
        return option_wrong(parse, "at most %d names (--http-host)", NODE_HTTP_HOSTS_MAX);
    if (length == 0 || length >= HTTP_HOST_NAME_BYTES || strpbrk(value, "/:@ \t") != NULL)
        return option_wrong(parse, "--http-host %.60s: a host name, without scheme and port", value);
    memcpy(out->http_host_text[out->http_hosts], value, length + 1);
    out->http_host[out->http_hosts] = out->http_host_text[out->http_hosts];
    out->http_hosts++;
    return 0;
}

static int set_wal_path(struct parse *parse, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || length >= LOG_PATH_BYTES)
        return option_wrong(parse, "--wal-path takes a folder's name of 1 to %d bytes", LOG_PATH_BYTES - 1);
    memcpy(parse->out->log.path, value, length + 1);
    return 0;
}

static int set_control_socket(struct parse *parse, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || length >= CONTROL_PATH_BYTES)
        return option_wrong(parse, "--control-socket takes a path of 1 to %d bytes", CONTROL_PATH_BYTES - 1);
    memcpy(parse->out->control_socket, value, length + 1);
    return 0;
}

int option_set(struct parse *parse, enum option_id id, const char *value)
{
    static const char *const idles[] = {[IDLE_ADAPTIVE] = "adaptive", [IDLE_POLL] = "poll"};
    static const char *const evicts[] = {[EVICT_NONE] = "none", [EVICT_CLOCK] = "clock"};
    static const char *const switches[] = {"on", "off"};
    static const char *const durabilities[] = {"sync", "async"};
    static const char *const reads[] = {"durable", "memory"};
    static const char *const ios[] = {[DISK_QUEUE_THREAD] = "thread", [DISK_QUEUE_URING] = "uring"};
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    struct options *out = parse->out;
    struct secret_list secrets = {out->secret, &out->secrets};
    unsigned chosen = 0;
    uint64_t n = 0;
    int failed = option_set_replication(parse, id, value);

    if (failed > 0)
        failed = option_set_nics(parse, id, value);
    if (failed <= 0)
        return failed;

    switch (id) {
    case OPTION_port:
        failed = option_number(parse, id, value, 1, UINT16_MAX, &n);
        out->port = (uint16_t)n;
        return failed;
    case OPTION_workers:
        failed = option_number(parse, id, value, 1, NODE_WORKERS_MAX, &n);
        out->workers = (unsigned)n;
        return failed;
    case OPTION_idle:
        failed = option_choice(parse, id, value, idles, 2, &chosen);
        out->idle = chosen;
        return failed;
    case OPTION_capacity:
        /* Item lines are numbered in 32 bits. */
        return option_number(parse, id, value, TABLE_CAPACITY_MIN, TABLE_CAPACITY_MAX, &out->capacity);
    case OPTION_evict:
        failed = option_choice(parse, id, value, evicts, 2, &chosen);
        out->evict = chosen;
        return failed;
    case OPTION_auth_secret:
        return option_secret(parse, secrets, value);
    case OPTION_auth_secret_file:
        return option_secret_file(parse, secrets, value);
    case OPTION_insecure_no_auth:
        out->insecure_no_auth = true;
        return 0;
    case OPTION_cluster_name:
        return set_cluster_name(parse, value);
    case OPTION_sessions:
        failed = option_number(parse, id, value, NODE_SESSIONS_MIN, NODE_SESSIONS_MAX, &n);
        for (out->sessions = NODE_SESSIONS_MIN; out->sessions < n;)
            out->sessions *= 2;
        return failed;
    case OPTION_connections:
        failed = option_number(parse, id, value, NODE_CONNECTIONS_MIN, NODE_CONNECTIONS_MAX, &n);
        out->connections = (unsigned)n;
        return failed;
    case OPTION_http:
        failed = option_choice(parse, id, value, switches, 2, &chosen);
        out->http_off = chosen == 1;
        return failed;
    case OPTION_http_host:
        return add_http_host(parse, value);
    case OPTION_enable_wal:
        out->log.enabled = true;
        return 0;
    case OPTION_wal_path:
        return set_wal_path(parse, value);
    case OPTION_control_socket:
        return set_control_socket(parse, value);
    case OPTION_durability:
        failed = option_choice(parse, id, value, durabilities, 2, &chosen);
        out->log.async = chosen == 1;
        return failed;
    case OPTION_reads:
        failed = option_choice(parse, id, value, reads, 2, &chosen);
        out->log.reads_memory = chosen == 1;
        return failed;
    case OPTION_snapshot_interval:
        failed = option_number(parse, id, value, 0, SNAPSHOT_INTERVAL_MAX_S, &n);
        out->log.snapshot_interval_s = (unsigned)n;
        return failed;
    case OPTION_snapshot_log:
        failed = option_number(parse, id, value, 0, SNAPSHOT_LOG_MAX_MIB, &n);
        out->log.snapshot_mib = (unsigned)n;
        return failed;
    case OPTION_wal_io:
        failed = option_choice(parse, id, value, ios, 2, &chosen);
        out->log.io = chosen;
        return failed;
    case OPTION_config:
        parse->config = value;
        return 0;
    case OPTION_log_level:
        failed = option_choice(parse, id, value, levels, 4, &chosen);
        out->log_level = chosen;
        return failed;
    case OPTION_help:
        parse->help = true;
        return 0;
    case OPTION_version:
        parse->version = true;
        return 0;
    default:
        break;
    }
    return option_wrong(parse, "no such option");
}

/* ---- the whole ---- */

static int check_log(struct parse *parse)
{
    static const enum option_id needs_log[] = {
        OPTION_wal_path, OPTION_durability,        OPTION_reads,
        OPTION_wal_io,   OPTION_snapshot_interval, OPTION_snapshot_log};
    const struct log_options *log = &parse->out->log;

    if (log->enabled && log->path[0] == '\0')
        return option_wrong(parse, "--enable-wal needs --wal-path FOLDER");
    for (unsigned i = 0; !log->enabled && i < sizeof needs_log / sizeof needs_log[0]; i++)
        if (parse->given[needs_log[i]] != SOURCE_NONE &&
            (needs_log[i] != OPTION_reads || parse->out->replication.mode != MODE_REPLICA))
            return option_wrong(parse, "--%s is of no use without --enable-wal",
                                option_rows[needs_log[i]].name);
    if (log->async && parse->given[OPTION_reads] != SOURCE_NONE && !log->reads_memory)
        return option_wrong(parse, "--reads durable needs --durability sync");
    return 0;
}

int options_check(struct parse *parse)
{
    struct options *out = parse->out;

    if (out->insecure_no_auth && out->secrets > 0)
        return option_wrong(parse, "--insecure-no-auth and a secret contradict each other");
    if (!out->insecure_no_auth && out->secrets == 0)
        return option_wrong(
            parse, "a secret is needed: --auth-secret-file FILE, --auth-secret TEXT or WILD_AUTH_SECRET"
                   " (--insecure-no-auth for a bench)");
    if (options_check_replication(parse) != 0 || check_log(parse) != 0)
        return -1;
    return options_check_nics(parse);
}
