/*
 * option_replication.c - the options of replication: what their values may be, and which go together.
 */
#include "options_internal.h"

#include <string.h>

#include "name_lookup.h"
#include "primary.h"

static int set_primary_address(struct parse *parse, const char *value)
{
    if (!name_lookup_is_name(value))
        return option_wrong(parse, "--primary-address takes a host name or an IPv4 address, not '%.60s'",
                            value);
    memcpy(parse->out->replication.primary_address, value, strlen(value) + 1);
    return 0;
}

static int add_peer(struct parse *parse, const char *value)
{
    struct replication_options *out = &parse->out->replication;
    struct peer_option *peer = &out->peer[out->peers];
    const char *colon = strrchr(value, ':');
    size_t length = colon != NULL ? (size_t)(colon - value) : 0;
    uint64_t port;

    if (out->peers == PEERS_MAX)
        return option_wrong(parse, "at most %d other nodes (--peer)", PEERS_MAX);
    snprintf(peer->host, sizeof peer->host, "%.*s", (int)length, value);
    if (length >= sizeof peer->host || !name_lookup_is_name(peer->host))
        return option_wrong(parse, "--peer takes HOST:PORT, not '%.60s'", value);
    if (option_number(parse, OPTION_peer, colon + 1, 1, UINT16_MAX, &port) != 0)
        return option_wrong(parse, "--peer takes HOST:PORT, with a port from 1 to 65535, not '%.60s'", value);
    peer->port = (uint16_t)port;
    for (unsigned i = 0; i < out->peers; i++)
        if (out->peer[i].port == peer->port && strcmp(out->peer[i].host, peer->host) == 0)
            return option_wrong(parse, "--peer %.80s is given twice", value);
    out->peers++;
    return 0;
}

int option_set_replica_id(struct parse *parse, const char *value)
{
    size_t length = strlen(value);

    for (size_t i = 0; i < length; i++)
        if (value[i] <= ' ' || value[i] > '~' || value[i] == '"' || value[i] == '\\')
            length = 0;
    if (length == 0 || length >= REPLICATION_NAME_BYTES)
        return option_wrong(parse,
                            "WILD_REPLICA_ID takes 1 to %d printable characters without blanks and quotes",
                            REPLICATION_NAME_BYTES - 1);
    memcpy(parse->out->replication.name, value, length + 1);
    return 0;
}

int option_set_replication(struct parse *parse, enum option_id id, const char *value)
{
    static const char *const modes[] = {
        [MODE_STANDALONE] = "standalone", [MODE_PRIMARY] = "primary", [MODE_REPLICA] = "replica"};
    static const char *const acks[] = {"durable", "applied"};
    struct replication_options *out = &parse->out->replication;
    unsigned chosen = 0;
    uint64_t n = 0;
    int failed;

    switch (id) {
    case OPTION_mode:
        failed = option_choice(parse, id, value, modes, 3, &chosen);
        out->mode = chosen;
        return failed;
    case OPTION_replication_port:
        failed = option_number(parse, id, value, 1, UINT16_MAX, &n);
        out->port = (uint16_t)n;
        return failed;
    case OPTION_primary_address:
        return set_primary_address(parse, value);
    case OPTION_primary_port:
        failed = option_number(parse, id, value, 1, UINT16_MAX, &n);
        out->primary_port = (uint16_t)n;
        return failed;
    case OPTION_peer:
        return add_peer(parse, value);
    case OPTION_min_replicas:
        failed = option_number(parse, id, value, 0, PRIMARY_REPLICAS_MAX, &n);
        out->min_replicas = (unsigned)n;
        return failed;
    case OPTION_replica_ack:
        failed = option_choice(parse, id, value, acks, 2, &chosen);
        out->ack_applied = chosen == 1;
        return failed;
    case OPTION_heartbeat_ms:
        failed =
            option_number(parse, id, value, REPLICATION_HEARTBEAT_MIN_MS, REPLICATION_HEARTBEAT_MAX_MS, &n);
        out->heartbeat_ms = (unsigned)n;
        return failed;
    case OPTION_replication_timeout_ms:
        failed = option_number(parse, id, value, REPLICATION_TIMEOUT_MIN_MS, REPLICATION_TIMEOUT_MAX_MS, &n);
        out->timeout_ms = (unsigned)n;
        return failed;
    case OPTION_replication_secret_file:
        return option_secret_file(parse, (struct secret_list){out->secret, &out->secrets}, value);
    default:
        return 1;
    }
}

/* ---- which go together ---- */

/* The option of `ids` that was given though the mode has no use for it; OPTION_COUNT: none. */
static enum option_id given_one_of(const struct parse *parse, const enum option_id *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (parse->given[ids[i]] != SOURCE_NONE)
            return ids[i];
    return OPTION_COUNT;
}

/* A primary, or who may become one. */
static int check_leader(struct parse *parse)
{
    const struct options *options = parse->out;
    const struct replication_options *out = &options->replication;

    if (out->port == options->port)
        return option_wrong(parse, "--replication-port and --port must differ");
    if (out->min_replicas > 0 && options->log.async)
        return option_wrong(parse, "--min-replicas needs --durability sync: async waits for nobody");
    if (out->min_replicas == 0 && parse->given[OPTION_replica_ack] != SOURCE_NONE)
        return option_wrong(parse, "--replica-ack is of no use without --min-replicas");
    if (out->timeout_ms < REPLICATION_TIMEOUT_HEARTBEATS * out->heartbeat_ms)
        return option_wrong(parse, "--replication-timeout-ms must be at least %d times --heartbeat-ms",
                            REPLICATION_TIMEOUT_HEARTBEATS);
    return 0;
}

int options_check_replication(struct parse *parse)
{
    static const enum option_id of_leader[] = {
        OPTION_replication_port, OPTION_min_replicas,           OPTION_replica_ack,
        OPTION_heartbeat_ms,     OPTION_replication_timeout_ms, OPTION_peer};
    static const enum option_id of_replica[] = {OPTION_primary_address, OPTION_primary_port};
    static const enum option_id of_both[] = {OPTION_replication_secret_file, OPTION_replication_nic,
                                             OPTION_replication_address};
    const struct options *options = parse->out;
    enum mode mode = options->replication.mode;
    bool may_lead = mode == MODE_PRIMARY || (mode == MODE_REPLICA && options->log.enabled);
    enum option_id other;

    other = given_one_of(parse, of_leader, sizeof of_leader / sizeof of_leader[0]);
    if (!may_lead && other != OPTION_COUNT)
        return option_wrong(parse, "--%s is of no use without --mode primary, or a replica's --enable-wal",
                            option_rows[other].name);
    other = given_one_of(parse, of_replica, sizeof of_replica / sizeof of_replica[0]);
    if (mode != MODE_REPLICA && other != OPTION_COUNT)
        return option_wrong(parse, "--%s is of no use without --mode replica", option_rows[other].name);
    other = given_one_of(parse, of_both, sizeof of_both / sizeof of_both[0]);
    if (mode == MODE_STANDALONE && other != OPTION_COUNT)
        return option_wrong(parse, "--%s is of no use without --mode primary or replica",
                            option_rows[other].name);
    if (mode != MODE_STANDALONE && options->insecure_no_auth)
        return option_wrong(parse,
                            "--insecure-no-auth excludes replication: nodes know each other by a secret");
    if (mode == MODE_PRIMARY && !options->log.enabled)
        return option_wrong(parse, "--mode primary needs --enable-wal: its replicas follow the log");
    if (mode == MODE_REPLICA && options->replication.primary_address[0] == '\0')
        return option_wrong(parse, "--mode replica needs --primary-address HOST");
    return may_lead ? check_leader(parse) : 0;
}
