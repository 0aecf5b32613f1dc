/*
 * node_role_seat.c - what this node answers to one that wants to be primary (primary.h): how it stands, and its promise.
 */
#include <string.h>

#include "epoch.h"
#include "node_internal.h"

/* ---- how it stands ---- */

static uint8_t standing_state(const struct node *node)
{
    switch (published_state_get(&node->published).state) {
    case STATE_FENCED:
        return STANDING_FENCED;
    case STATE_READ_ONLY:
        return STANDING_READ_ONLY;
    case STATE_SERVING:
    case STATE_DRAINING:
        return STANDING_SERVING;
    default: /* it has heard of no primary yet: what it has may be whole for all that */
        return replica_place(node->replication.following.replica).history != 0 ? STANDING_SERVING
                                                                               : STANDING_CATCHING_UP;
    }
}

struct promotion_tail node_role_tail(const struct node *node)
{
    const struct node_log *log = &node->log;
    const struct meta *meta = &log->meta.now;
    struct promotion_tail tail = {.lsn = node_log_tail_lsn(log)};

    /* A replica's log ends in the history of its last change; what it was told of is in no log. */
    const struct history *history =
        node_role_follows(node) ? meta_history_of(meta, tail.lsn) : &meta->history[meta->count - 1];
    if (history == NULL)
        return (struct promotion_tail){0};
    tail.epoch = history->epoch;
    tail.history = history->id;
    return tail;
}

uint32_t node_role_epoch(const struct node *node)
{
    const struct meta *meta = &node->log.meta.now;

    return meta->count > 0 ? meta->history[meta->count - 1].epoch : 0;
}

static bool standing(void *state, struct replication_standing *out, uint8_t cluster_id[CLUSTER_ID_BYTES])
{
    const struct node *node = state;
    const struct meta *meta = &node->log.meta.now;
    struct promotion_tail tail;

    if (meta->count == 0)
        return false;
    tail = node_role_tail(node);
    out->mode = node->replication.role.part == PART_LEADS ? STANDING_LEADS : STANDING_FOLLOWS;
    out->state = standing_state(node);
    out->epoch = node_role_epoch(node);
    out->sealed_node = meta->sealed_node;
    out->sealed_epoch = meta->sealed_epoch;
    out->tail_epoch = tail.epoch;
    out->tail_history = tail.history;
    out->tail_lsn = tail.lsn;
    memcpy(cluster_id, meta->cluster_id, CLUSTER_ID_BYTES);
    return true;
}

/* ---- its promise ---- */

static bool seal(void *state, uint32_t epoch, uint64_t node_id)
{
    struct node *node = state;
    const struct meta *meta = &node->log.meta.now;
    struct node_promise *promise = &node->replication.role.promise;

    if (meta->count == 0)
        return true;
    if (promise->epoch != 0 && (promise->epoch != epoch || promise->node_id != node_id))
        return false; /* one at a time */
    if (promise->epoch == 0 &&
        (!epoch_may_promise(node_role_epoch(node), meta->sealed_epoch, meta->sealed_node, epoch, node_id) ||
         (meta->sealed_epoch == epoch && node_meta_durable(&node->log.meta))))
        return true;
    (void)node_role_promise(node, epoch, node_id); /* goes on by itself, whoever asks again */
    return false;
}

static void heard(void *state, uint32_t epoch)
{
    struct node *node = state;

    if (epoch > node_role_epoch(node))
        node_role_fence(node, "a node of the cluster knows a primary of a higher epoch");
}

struct primary_seat node_role_seat(struct node *node)
{
    return (struct primary_seat){.state = node, .standing = standing, .seal = seal, .heard = heard};
}
