/*
 * option_replication.c - the options of replication: what their values may be, and which go together.
 */
#include "options_internal.h"

#include <string.h>

#include "primary.h"

/* A host name (RFC 1123 2.1) or an address: the resolver says which, and whether it is there. */
static int set_primary_address(struct parse *parse, const char *value)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    size_t length = strlen(value);

    if (length == 0 || length >= PRIMARY_ADDRESS_BYTES || strspn(value, allowed) != length)
        return option_wrong(parse, "--primary-address takes a host name or an IPv4 address, not '%.60s'",
                            value);
    memcpy(parse->out->replication.primary_address, value, length + 1);
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

static int check_primary(struct parse *parse)
{
    const struct options *options = parse->out;
    const struct replication_options *out = &options->replication;

    if (!options->log.enabled)
        return option_wrong(parse, "--mode primary needs --enable-wal: its replicas follow the log");
    if (out->port == options->port)
        return option_wrong(parse, "--replication-port and --port must differ");
    if (out->min_replicas > 0 && options->log.async)
        return option_wrong(parse, "--min-replicas needs --durability sync: async waits for nobody");
    if (out->min_replicas > 0 && !out->ack_applied) /* it would be READ_ONLY for ever */
        return option_wrong(
            parse, "--min-replicas needs --replica-ack applied: replicas have no log of their own yet");
    if (out->min_replicas == 0 && parse->given[OPTION_replica_ack] != SOURCE_NONE)
        return option_wrong(parse, "--replica-ack is of no use without --min-replicas");
    if (out->timeout_ms < REPLICATION_TIMEOUT_HEARTBEATS * out->heartbeat_ms)
        return option_wrong(parse, "--replication-timeout-ms must be at least %d times --heartbeat-ms",
                            REPLICATION_TIMEOUT_HEARTBEATS);
    return 0;
}

static int check_replica(struct parse *parse)
{
    const struct options *options = parse->out;

    if (options->replication.primary_address[0] == '\0')
        return option_wrong(parse, "--mode replica needs --primary-address HOST");
    if (options->log.enabled)
        return option_wrong(parse, "--enable-wal with --mode replica is not built yet: a replica has no log");
    return 0;
}

int options_check_replication(struct parse *parse)
{
    static const enum option_id of_primary[] = {OPTION_replication_port, OPTION_min_replicas,
                                                OPTION_replica_ack, OPTION_heartbeat_ms,
                                                OPTION_replication_timeout_ms};
    static const enum option_id of_replica[] = {OPTION_primary_address, OPTION_primary_port};
    const struct options *options = parse->out;
    enum mode mode = options->replication.mode;
    enum option_id other;

    other = given_one_of(parse, of_primary, sizeof of_primary / sizeof of_primary[0]);
    if (mode != MODE_PRIMARY && other != OPTION_COUNT)
        return option_wrong(parse, "--%s is of no use without --mode primary", option_rows[other].name);
    other = given_one_of(parse, of_replica, sizeof of_replica / sizeof of_replica[0]);
    if (mode != MODE_REPLICA && other != OPTION_COUNT)
        return option_wrong(parse, "--%s is of no use without --mode replica", option_rows[other].name);
    if (mode == MODE_STANDALONE && options->replication.secrets > 0)
        return option_wrong(parse,
                            "--replication-secret-file is of no use without --mode primary or replica");
    if (mode != MODE_STANDALONE && options->insecure_no_auth)
        return option_wrong(parse,
                            "--insecure-no-auth excludes replication: nodes know each other by a secret");
    if (mode == MODE_STANDALONE)
        return 0;
    return mode == MODE_PRIMARY ? check_primary(parse) : check_replica(parse);
}
