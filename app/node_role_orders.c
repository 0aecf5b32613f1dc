/*
 * node_role_orders.c - what operators order: promote, demote, follow, remove a member.
 */
#include "node_role_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct member *member_named(const struct node *node, const char *name)
{
    const struct member_list *list = &node->log.meta.now.members;
    char *rest;
    uint64_t id = strtoull(name, &rest, 16);

    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->member[i].name, name) == 0 ||
            (*rest == '\0' && rest != name && list->member[i].node_id == id))
            return &list->member[i];
    return NULL;
}

static void order_promotion(struct node *node, const struct node_order *order)
{
    struct node_role *role = node_role_of(node);

    if (role->part == PART_LEADS) {
        node_order_end(node, true, "this node is the primary already");
    } else if (order->wal_path[0] != '\0' || !node_may_lead(node)) {
        node_order_end(node, false,
                       "a node without a log of its own cannot lead: start it with --enable-wal");
    } else if (role->part != PART_FOLLOWS && !(role->part == PART_FENCED && role->settled)) {
        node_order_end(node, false, "this node is about to take another part: ask again");
    } else if (replica_place(node->replication.following.replica).history == 0) {
        node_order_end(node, false, "this node has nothing to lead with: it was never loaded whole");
    } else {
        role->ordered = true;
        node_role_ask(node, order->force);
    }
}

static void order_demotion(struct node *node, const struct node_order *order)
{
    struct node_role *role = node_role_of(node);
    const struct member *to = member_named(node, order->node);

    if (role->part != PART_LEADS) {
        node_order_end(node, false, "only a primary gives place to another");
    } else if (to == NULL || to->node_id == node->log.meta.now.node_id) {
        node_order_end(node, false, "%s is no other member: `wildctl members` shows them", order->node);
    } else if (!node_role_peer_has_all(node, to->node_id, 0)) {
        node_order_end(node, false, "%s does not follow this node, or has not caught up", order->node);
    } else {
        role->ordered = true;
        role->yields_to = to->node_id;
        role->epoch = 0;
        node_role_stop_writes(node);
        node_role_begin(node, PART_YIELDS);
    }
}

static void order_following(struct node *node, const struct node_order *order)
{
    struct node_role *role = node_role_of(node);

    if (role->part != PART_FOLLOWS && !(role->part == PART_FENCED && role->settled)) {
        node_order_end(node, false,
                       role->part == PART_LEADS ? "a primary follows nobody: `wildctl demote --to` first"
                                                : "only a replica follows another node");
        return;
    }
    node_following_order(node, order);
    if (role->part == PART_FENCED)
        node_role_follow(node);
}

static void order_removal(struct node *node, const struct node_order *order)
{
    const struct member *member = member_named(node, order->node);

    if (node_role_of(node)->part != PART_LEADS) {
        node_order_end(node, false, "only a primary has the list of members");
        return;
    }
    switch (member != NULL ? members_remove(&node->replication.leading.members, member->node_id, order->force)
                           : -1) {
    case 0:
        node_order_end(node, true, "%s leaves the list of members", order->node);
        break;
    case -EBUSY:
        node_order_end(node, false, "another change of the list is under way: ask again");
        break;
    case -EINVAL:
        node_order_end(node, false, "this node is the primary: `wildctl demote --to` another first");
        break;
    default:
        node_order_end(node, false, "%s is no member: `wildctl members` shows them", order->node);
    }
}

void node_role_order(struct node *node, const struct node_order *order)
{
    if (node_role_of(node)->ordered)
        return; /* this is the one that is under way */
    if (node->replication.role.part == PART_ALONE) {
        node_order_end(node, false, "this node stands alone: start it with --mode primary or replica");
        return;
    }
    switch (order->kind) {
    case NODE_ORDER_PROMOTE:
        order_promotion(node, order);
        break;
    case NODE_ORDER_DEMOTE:
        order_demotion(node, order);
        break;
    case NODE_ORDER_FOLLOW:
        order_following(node, order);
        break;
    case NODE_ORDER_REMOVE_MEMBER:
        order_removal(node, order);
        break;
    }
}
