/*
 * node_status.c - the node in one piece, for those who look at it from outside.
 */
#include "node_status.h"

#include <stdio.h>
#include <string.h>

#include "node_internal.h"
#include "node_status_lag.h"

static void show(_Atomic uint64_t *shown, uint64_t value)
{
    atomic_store_explicit(shown, value, memory_order_relaxed);
}

static const struct meta *histories(const struct node *node)
{
    return atomic_load_explicit(&node->log.durable.histories,
                                memory_order_relaxed); /* written by this thread */
}

/* A primary's replicas; its lag is the last one's. */
static void look_at_replicas(struct node *node, struct node_status *out)
{
    struct node_replication *replication = &node->replication;
    struct primary *primary = replication->leading.primary;
    uint64_t serving = 0;

    out->replicated_lsn = node_log_last_lsn(&node->log, replication->leading.acknowledged_lsn);
    if (primary == NULL)
        return;
    out->replicas =
        primary_replicas(primary, replication->now.mono_ns, replication->replica, PRIMARY_REPLICAS_MAX);
    memcpy(out->replica, replication->replica, out->replicas * sizeof out->replica[0]);
    for (unsigned i = 0; i < out->replicas; i++) {
        const struct primary_replica *replica = &out->replica[i];
        uint64_t lag_lsn = changes_between(histories(node), replica->applied_lsn, out->durable_lsn);

        out->replica_lag_lsn[i] = lag_lsn;
        serving += replica->serving;
        out->lag_lsn = lag_lsn > out->lag_lsn ? lag_lsn : out->lag_lsn;
        if (replica->lag_ns / 1000000 > out->lag_ms)
            out->lag_ms = replica->lag_ns / 1000000;
    }
    show(&replication->shown.replicas_serving, serving);
}

static void look_at_primary(struct node *node, struct node_status *out)
{
    const struct node_replication *replication = &node->replication;

    replica_facts(replication->following.replica, &out->following);
    snprintf(out->primary, sizeof out->primary, "%s:%u", replication->following.primary,
             replication->following.primary_port);
    out->lsn = out->following.applied_lsn;
    out->durable_lsn = RTE_MIN(node->log.following.durable_lsn, out->lsn); /* 0: nothing survives it */
    out->replicated_lsn = replication->following.lsn;
    if (out->following.has_data)
        out->lag_lsn =
            changes_between(histories(node), out->following.applied_lsn, out->following.primary_lsn);
    if (out->following.behind_ns != 0)
        out->lag_ms = (replication->now.mono_ns - out->following.behind_ns) / 1000000;
    if (out->state == STATE_CATCHING_UP && out->following.refusal[0] != '\0')
        snprintf(out->why, sizeof out->why, "%s", out->following.refusal);
}

/* Those of the log's last whole list. After everything else: what is known of each is there then. */
static void look_at_members(const struct node *node, struct node_status *out)
{
    const struct meta *meta = &node->log.meta.now;

    if (meta->count == 0)
        return;
    out->members = meta->members.count;
    for (unsigned i = 0; i < out->members; i++) {
        const struct member *member = &meta->members.member[i];
        struct node_status_member *shown = &out->member[i];

        *shown = (struct node_status_member){
            .member = *member,
            .primary = member->node_id == meta->history[meta->count - 1].node_id,
            .self = member->node_id == out->node_id,
            .counts = members_counts(&meta->members, member->node_id) &&
                      meta->members.last_lsn <= out->replicated_lsn,
        };
        if (shown->self)
            shown->durable_lsn = out->durable_lsn;
        for (unsigned j = 0; j < out->replicas; j++)
            if (out->replica[j].node_id == member->node_id)
                shown->durable_lsn = out->replica[j].durable_lsn;
    }
}

static void look(struct node *node, struct node_status *out)
{
    const struct node_config *config = &node->config;
    struct node_replication *replication = &node->replication;
    struct state_view view = published_state_get(&node->published);
    const char *why = node_why(node);
    struct table_counts counts;

    table_counts(node->table, &counts);
    *out = (struct node_status){
        .mode = view.mode,
        .state = view.state,
        .epoch = view.epoch,
        .history = view.history,
        .node_id = node->identity.node_id,
        .lsn = node_log_last_lsn(&node->log, counts.lsn),
        .items = counts.items,
        .capacity = counts.capacity,
        .uptime_ms = (replication->now.mono_ns - node->started.mono_ns) / 1000000,
        .log = config->log.folder != NULL,
        .min_replicas = config->replication.min_replicas,
    };
    out->durable_lsn =
        out->log ? atomic_load_explicit(&node->log.shown.durable_lsn, memory_order_relaxed) : out->lsn;
    out->replicated_lsn = out->durable_lsn;
    memcpy(out->cluster_id, node->identity.cluster_id, sizeof out->cluster_id);
    snprintf(out->name, sizeof out->name, "%s",
             config->replication.name != NULL ? config->replication.name : "");
    snprintf(out->version, sizeof out->version, "%s", config->version != NULL ? config->version : "");
    snprintf(out->why, sizeof out->why, "%s", why != NULL ? why : "");
    snprintf(out->order, sizeof out->order, "%s", node_order_told(node));
    if (view.mode == MODE_PRIMARY)
        look_at_replicas(node, out);
    if (view.mode == MODE_REPLICA)
        look_at_primary(node, out);
    if (node->replication.role.why[0] != '\0')
        snprintf(out->why, sizeof out->why, "%.*s", NODE_STATUS_WHY_BYTES - 1, node->replication.role.why);
    look_at_members(node, out);
    show(&replication->shown.replicas, out->replicas);
    show(&replication->shown.replicated_lsn, out->replicated_lsn);
    show(&replication->shown.lag_lsn, out->lag_lsn);
    show(&replication->shown.lag_ms, out->lag_ms);
}

void node_status_turn(struct node *node)
{
    struct node_replication *replication = &node->replication;

    if (replication->now.mono_ns < replication->status_due_ns)
        return;
    /* Whoever takes a copy just now has an older one. */
    if (pthread_mutex_trylock(&replication->status_lock) != 0)
        return;
    look(node, &replication->status);
    replication->status_filled = true;
    pthread_mutex_unlock(&replication->status_lock);
    replication->status_due_ns = replication->now.mono_ns + NODE_STATUS_INTERVAL_NS;
}

bool node_status_take(struct node *node, struct node_status *out)
{
    struct node_replication *replication = &node->replication;
    bool filled;

    pthread_mutex_lock(&replication->status_lock);
    filled = replication->status_filled;
    if (filled)
        *out = replication->status;
    pthread_mutex_unlock(&replication->status_lock);
    return filled;
}
