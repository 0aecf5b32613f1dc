/*
 * health.c - how a node is, and numbers as words.
 */
#include <string.h>

#include "client.h"

const char *mode_text(unsigned mode)
{
    switch (mode) {
    case MODE_STANDALONE:
        return "standalone";
    case MODE_PRIMARY:
        return "primary";
    case MODE_REPLICA:
        return "replica";
    default:
        return "?";
    }
}

const char *state_text(unsigned state)
{
    switch (state) {
    case STATE_SERVING:
        return "serving";
    case STATE_RECOVERING:
        return "recovering";
    case STATE_CATCHING_UP:
        return "catching up";
    case STATE_READ_ONLY:
        return "read only";
    case STATE_FENCED:
        return "fenced";
    case STATE_DRAINING:
        return "draining";
    default:
        return "?";
    }
}

enum wild_status wild_health(struct wild_client *client, struct wild_health *out)
{
    struct operation operation = {.opcode = OPCODE_HEALTH};
    struct wild_result result;
    struct health health;
    enum wild_status status = client_call(client, &operation, &result);
    if (status != WILD_OK)
        return status;
    if (!health_decode(result.value, result.value_length, &health))
        return WILD_BAD_REQUEST;
    *out = (struct wild_health){
        .lsn = health.lsn,
        .items = health.items,
        .capacity = health.capacity,
        .lines_used = health.lines_used,
        .uptime_ms = health.uptime_ms,
        .epoch = health.epoch,
        .mode = mode_text(health.mode),
        .state = state_text(health.state),
    };
    return WILD_OK;
}

void wild_node(const struct wild_client *client, struct wild_node *out)
{
    memcpy(out->cluster_id, client->node.cluster_id, sizeof(out->cluster_id));
    out->node_id = client->node.node_id;
}

const char *wild_status_text(enum wild_status status)
{
    switch (status) {
    case WILD_NO_ANSWER:
        return "no answer before the time-out; a write may have happened";
    case WILD_UNKNOWN:
        return "the session was lost meanwhile; the write may have happened";
    case WILD_PIPELINE_FULL:
        return "too many operations in flight";
    case WILD_UNREACHABLE:
        return "no node could be reached for it; it has not happened";
    default:
        return status_meaning((unsigned)status);
    }
}
