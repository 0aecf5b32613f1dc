/*
 * node_role_internal.h - what the files of a node's part share: node_role.c (giving place, following, promises, yielding, the
 * turn), node_role_lead.c (how the others stand, promotion, opening) and node_role_orders.c (the operator's). Not for others.
 */
#ifndef WILD_NODE_ROLE_INTERNAL_H
#define WILD_NODE_ROLE_INTERNAL_H

#include "node_internal.h"

static inline struct node_role *node_role_of(struct node *node)
{
    return &node->replication.role;
}

static inline void node_role_begin(struct node *node, enum node_part part)
{
    node_role_of(node)->part = part;
    node_role_of(node)->since_ns = node->replication.now.mono_ns;
}

static inline uint64_t node_role_since_ns(const struct node *node)
{
    return node->replication.now.mono_ns - node->replication.role.since_ns;
}

/* ---- node_role.c ---- */

/* The operator's order has come to its end; without one it is a line of the log. */
void node_role_end_order(struct node *node, bool ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Nobody writes from the workers' next turns on. */
void node_role_stop_writes(struct node *node);
/* FENCED, whatever it was. Nobody writes any more. */
void node_role_fence_now(struct node *node, const char *why);
/* FOLLOWS: whom it asks is known. */
void node_role_follow(struct node *node);
/* Likewise, and that is role->follow_next. */
unsigned node_role_follow_next(struct node *node);
/* That replica streams, and has all up to there on its stable storage. */
bool node_role_peer_has_all(struct node *node, uint64_t node_id, uint64_t lsn);

/* ---- node_role_lead.c: turns, things done ---- */

unsigned node_role_turn_following(struct node *node);
unsigned node_role_turn_leading(struct node *node);
unsigned node_role_turn_fenced(struct node *node);
unsigned node_role_turn_asking(struct node *node);
unsigned node_role_turn_opening(struct node *node);

#endif
