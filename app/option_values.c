/*
 * option_values.c - what the value of each option may be, and which options go together.
 */
#include "options_internal.h"

#include <arpa/inet.h>
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

static int set_nic(struct parse *parse, const char *value)
{
    static const struct {
        const char *prefix;
        enum nic_kind kind;
        unsigned name_max; /* interface names: IFNAMSIZ - 1 */
        /* A comma would be read as further device arguments; in an interface's name the kernel takes % for a
         * pattern and refuses the others. */
        const char *never;
    } kinds[] = {{"tap:", NIC_TAP, 15, ", %/:"},
                 {"af_packet:", NIC_AF_PACKET, 15, ", %/:"},
                 {"memif:", NIC_MEMIF, NIC_NAME_BYTES - 1, ", "},
                 {"pci:", NIC_PCI, 15, ", /"},
                 {"port:", NIC_PORT, 3, ", "}};
    struct options *out = parse->out;

    if (parse->kernel || (strcmp(value, "kernel") == 0 && out->nics > 0))
        return option_wrong(parse,
                            "--nic kernel goes alone: one socket serves every interface (--bind-address)");
    if (strcmp(value, "kernel") == 0) {
        parse->kernel = true;
        return 0;
    }
    if (out->nics == NODE_PORTS_MAX)
        return option_wrong(parse, "at most %d ports (--nic)", NODE_PORTS_MAX);
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t prefix = strlen(kinds[i].prefix), length;
        const char *name = value + prefix;

        if (strncmp(value, kinds[i].prefix, prefix) != 0)
            continue;
        length = strlen(name);
        if (length == 0 || length > kinds[i].name_max || strpbrk(name, kinds[i].never) != NULL ||
            (kinds[i].kind == NIC_PORT && strspn(name, "0123456789") != length))
            return option_wrong(parse, "--nic %.40s: '%.40s' is not a name for that kind of port", value,
                                name);
        for (unsigned j = 0; j < out->nics; j++)
            if (out->nic[j].kind == kinds[i].kind && strcmp(out->nic[j].name, name) == 0)
                return option_wrong(parse, "--nic %.60s is given twice", value);
        out->nic[out->nics].kind = kinds[i].kind;
        memcpy(out->nic[out->nics].name, name, length + 1);
        out->nics++;
        return 0;
    }
    return option_wrong(
        parse, "--nic takes tap:NAME, af_packet:IF, memif:SOCKET, pci:ADDR, port:N or kernel, not '%.60s'",
        value);
}

/* An address that a station may have: RFC 1122 3.2.1.3 excludes these as sources. */
static bool is_station_address(uint32_t ip4, unsigned prefix_length)
{
    uint32_t host_mask = prefix_length >= 31 ? 0 : UINT32_MAX >> prefix_length;

    if (ip4 >> 24 == 0 || ip4 >> 24 == 127 || ip4 >> 28 >= 14)
        return false;
    return host_mask == 0 || ((ip4 & host_mask) != 0 && (ip4 & host_mask) != host_mask);
}

static int set_address(struct parse *parse, const char *value)
{
    char text[INET_ADDRSTRLEN] = "";
    const char *slash = strchr(value, '/');
    struct in_addr ip4;
    char *end = NULL;
    unsigned long prefix_length = 0;

    if (parse->addresses == NODE_PORTS_MAX)
        return option_wrong(parse, "at most %d addresses (--address)", NODE_PORTS_MAX);
    if (slash != NULL && (size_t)(slash - value) < sizeof text && slash[1] >= '0' && slash[1] <= '9') {
        memcpy(text, value, (size_t)(slash - value));
        prefix_length = strtoul(slash + 1, &end, 10);
    }
    if (end == NULL || *end != '\0' || prefix_length < 1 || prefix_length > 32 ||
        inet_pton(AF_INET, text, &ip4) != 1 ||
        !is_station_address(ntohl(ip4.s_addr), (unsigned)prefix_length))
        return option_wrong(
            parse, "--address takes a host's ADDRESS/PREFIX such as 198.18.0.1/24, not '%.40s'", value);
    parse->address[parse->addresses].ip4 = ntohl(ip4.s_addr);
    parse->address[parse->addresses].prefix_length = (uint8_t)prefix_length;
    parse->addresses++;
    return 0;
}

static int set_bind_address(struct parse *parse, const char *value)
{
    struct in_addr ip4;
    uint32_t host;

    if (inet_pton(AF_INET, value, &ip4) != 1)
        return option_wrong(parse, "--bind-address takes an IPv4 address, not '%.40s'", value);
    host = ntohl(ip4.s_addr);
    if (IN_MULTICAST(host) || host >> 28 == 15)
        return option_wrong(parse, "--bind-address %s is no machine's address", value);
    parse->out->bind_ip4 = host;
    return 0;
}

static int set_gateway(struct parse *parse, const char *value)
{
    struct in_addr ip4;

    if (inet_pton(AF_INET, value, &ip4) != 1 || !is_station_address(ntohl(ip4.s_addr), 32))
        return option_wrong(parse, "--gateway takes an IPv4 address, not '%.40s'", value);
    parse->out->gateway_ip4 = ntohl(ip4.s_addr);
    return 0;
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

    if (failed <= 0)
        return failed;

    switch (id) {
    case OPTION_nic:
        return set_nic(parse, value);
    case OPTION_address:
        return set_address(parse, value);
    case OPTION_bind_address:
        return set_bind_address(parse, value);
    case OPTION_gateway:
        return set_gateway(parse, value);
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

/* Kernel sockets: what belongs to ports of DPDK's would have no effect. */
static int check_kernel(struct parse *parse)
{
    parse->out->kernel_by_default = !parse->kernel;
    if (parse->addresses > 0)
        return option_wrong(parse, "--address is a DPDK port's: kernel sockets take --bind-address");
    if (parse->out->gateway_ip4 != 0)
        return option_wrong(parse, "--gateway is for DPDK ports: kernel sockets use the kernel's routes");
    return 0;
}

static int check_nics(struct parse *parse)
{
    struct options *out = parse->out;

    if (parse->kernel || (out->nics == 0 && parse->addresses == 0))
        return check_kernel(parse);
    if (parse->given[OPTION_bind_address] != SOURCE_NONE)
        return option_wrong(parse, "--bind-address is for kernel sockets: a DPDK port takes --address");
    if (out->nics == 0) /* devices that are bound to DPDK, to be found when the machine is looked at */
        for (; out->nics < parse->addresses; out->nics++)
            out->nic[out->nics] = (struct nic_option){.kind = NIC_PCI};
    if (parse->addresses != out->nics)
        return option_wrong(parse, "%u ports but %u addresses: give one --address for each --nic", out->nics,
                            parse->addresses);
    for (unsigned i = 0; i < out->nics; i++) {
        out->nic[i].ip4 = parse->address[i].ip4;
        out->nic[i].prefix_length = parse->address[i].prefix_length;
        for (unsigned j = 0; j < i; j++)
            if (out->nic[j].ip4 == out->nic[i].ip4)
                return option_wrong(parse, "two ports have the same --address");
        if (out->nic[i].kind == NIC_PORT && out->eals == 0)
            return option_wrong(parse, "--nic port:%s needs raw EAL arguments after -- that make the port",
                                out->nic[i].name);
    }
    for (unsigned i = 0; out->gateway_ip4 != 0 && i < out->nics; i++) {
        uint32_t mask = UINT32_MAX << (32 - out->nic[i].prefix_length);

        if (out->gateway_ip4 == out->nic[i].ip4)
            return option_wrong(parse, "--gateway is this node's own --address");
        if (((out->gateway_ip4 ^ out->nic[i].ip4) & mask) == 0)
            return 0;
    }
    return out->gateway_ip4 == 0 ? 0 : option_wrong(parse, "--gateway lies in no port's network (--address)");
}

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
    return check_nics(parse);
}
