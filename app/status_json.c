/*
 * status_json.c - struct node_status as JSON.
 */
#include "status_json.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const modes[] = {
    [MODE_STANDALONE] = "standalone", [MODE_PRIMARY] = "primary", [MODE_REPLICA] = "replica"};

static const char *const states[] = {
    [STATE_SERVING] = "serving",     [STATE_RECOVERING] = "recovering", [STATE_CATCHING_UP] = "catching_up",
    [STATE_READ_ONLY] = "read_only", [STATE_FENCED] = "fenced",         [STATE_DRAINING] = "draining"};

static const char *const replica_states[] = {[PRIMARY_REPLICA_BOOTSTRAP] = "bootstrap",
                                             [PRIMARY_REPLICA_CATCH_UP] = "catch_up",
                                             [PRIMARY_REPLICA_STREAMING] = "streaming"};

/* Ids are 64 random bits: more than a number in JSON holds for every reader. */
static json_t *id_json(uint64_t id)
{
    char text[17];

    snprintf(text, sizeof text, "%016" PRIx64, id);
    return json_string(text);
}

static json_t *cluster_json(const uint8_t id[CLUSTER_ID_BYTES])
{
    char text[2 * CLUSTER_ID_BYTES + 1];

    for (unsigned i = 0; i < CLUSTER_ID_BYTES; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", id[i]);
    return json_string(text);
}

static json_int_t number(uint64_t value)
{
    return value <= INT64_MAX ? (json_int_t)value : INT64_MAX;
}

static int add(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value); /* NULL is an error, too */
}

static int add_following(json_t *object, const struct node_status *status)
{
    const struct replica_facts *following = &status->following;

    return add(object, "primary", json_string(status->primary)) |
           add(object, "phase", json_string(replica_phase_name(following->phase))) |
           add(object, "primary_lsn", json_integer(number(following->primary_lsn))) |
           add(object, "lag_lsn", json_integer(number(status->lag_lsn))) |
           add(object, "lag_ms", json_integer(number(status->lag_ms))) |
           add(object, "refusal", json_string(following->refusal));
}

json_t *status_json(const struct node_status *status)
{
    json_t *object = json_object();

    if (object == NULL)
        return NULL;
    int failed =
        add(object, "mode", json_string(modes[status->mode])) |
        add(object, "state", json_string(states[status->state])) |
        add(object, "why", json_string(status->why)) | add(object, "epoch", json_integer(status->epoch)) |
        add(object, "lsn", json_integer(number(status->lsn))) |
        add(object, "durable_lsn", json_integer(number(status->durable_lsn))) |
        add(object, "replicated_lsn", json_integer(number(status->replicated_lsn))) |
        add(object, "items", json_integer(number(status->items))) |
        add(object, "capacity", json_integer(number(status->capacity))) |
        add(object, "log", json_boolean(status->log)) |
        add(object, "min_replicas", json_integer(status->min_replicas)) |
        add(object, "replicas", json_integer(status->replicas)) |
        add(object, "members", json_integer(status->members)) |
        add(object, "name", json_string(status->name)) | add(object, "node", id_json(status->node_id)) |
        add(object, "cluster", cluster_json(status->cluster_id)) |
        add(object, "history", id_json(status->history)) | add(object, "order", json_string(status->order)) |
        add(object, "uptime_ms", json_integer(number(status->uptime_ms))) |
        add(object, "version", json_string(status->version));
    if (status->mode == MODE_REPLICA)
        failed |= add_following(object, status);
    if (failed != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* IPv4 mapped (net/endpoint.h), or zero: not known. */
static json_t *address_json(const uint8_t address[16], uint16_t port)
{
    static const uint8_t unknown[16];
    char ip[INET_ADDRSTRLEN], text[INET_ADDRSTRLEN + 6];

    if (memcmp(address, unknown, sizeof unknown) == 0)
        return json_string("");
    inet_ntop(AF_INET, address + 12, ip, sizeof ip);
    snprintf(text, sizeof text, "%s:%u", ip, port);
    return json_string(text);
}

static json_t *replica_json(const struct primary_replica *replica, uint64_t lag_lsn)
{
    json_t *object = json_object();

    if (object == NULL)
        return NULL;
    if ((add(object, "name", json_string(replica->name)) |
         add(object, "address", address_json(replica->client_address, replica->client_port)) |
         add(object, "state", json_string(replica_states[replica->state])) |
         add(object, "serving", json_boolean(replica->serving)) |
         add(object, "lsn", json_integer(number(replica->applied_lsn))) |
         add(object, "durable_lsn", json_integer(number(replica->durable_lsn))) |
         add(object, "lag_lsn", json_integer(number(lag_lsn))) |
         add(object, "lag_ms", json_real((double)replica->lag_ns / 1e6)) |
         add(object, "log", json_boolean(replica->has_log)) | add(object, "node", id_json(replica->node_id)) |
         add(object, "sent_bytes", json_integer(number(replica->sent_bytes)))) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *replicas_json(const struct node_status *status)
{
    json_t *list = json_array();

    for (unsigned i = 0; list != NULL && i < status->replicas; i++)
        if (json_array_append_new(list, replica_json(&status->replica[i], status->replica_lag_lsn[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static json_t *member_json(const struct node_status_member *member)
{
    const struct member *who = &member->member;
    json_t *object = json_object();

    if (object == NULL)
        return NULL;
    if ((add(object, "name", json_string(who->name)) | add(object, "node", id_json(who->node_id)) |
         add(object, "address", address_json(who->address, who->client_port)) |
         add(object, "replication", address_json(who->address, who->replication_port)) |
         add(object, "primary", json_boolean(member->primary)) |
         add(object, "this", json_boolean(member->self)) |
         add(object, "part", json_string(member_part_text(who->part))) |
         add(object, "counts", json_boolean(member->counts)) |
         add(object, "durable_lsn",
             member->durable_lsn != 0 ? json_integer(number(member->durable_lsn)) : json_null())) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *members_json(const struct node_status *status)
{
    json_t *list = json_array();

    for (unsigned i = 0; list != NULL && i < status->members; i++)
        if (json_array_append_new(list, member_json(&status->member[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}
