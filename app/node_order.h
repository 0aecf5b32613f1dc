/*
 * node_order.h - what operators tell a running node to do: promote, demote, follow, remove a member. A box for
 * one order at a time, between threads that may wait (the control socket's) and the control lcore, which never
 * does.
 *
 *             giver                    control lcore             giver
 *   FREE --node_order_begin()--> PENDING --node_order_end()--> ENDED --node_order_ended()--> FREE
 *                                   |                                                         ^
 *                                   +--the giver waits no more--> ABANDONED --end--> FORGOTTEN+ the next begin
 *
 * Whoever moves the box by compare-and-exchange owns its contents until it leaves it by a release store: the
 * giver while it fills it in (FILLING) and empties it (EMPTYING), the control lcore from PENDING to ENDED.
 */
#ifndef WILD_NODE_ORDER_H
#define WILD_NODE_ORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "name_lookup.h"
#include "options.h"

enum node_order_kind {
    NODE_ORDER_PROMOTE,
    NODE_ORDER_DEMOTE,
    NODE_ORDER_FOLLOW,
    NODE_ORDER_REMOVE_MEMBER,
};

enum { NODE_ORDER_NODE_BYTES = 65, NODE_ORDER_TEXT_BYTES = 512 };

struct node_order {
    enum node_order_kind kind;
    bool force;                       /* PROMOTE */
    uint16_t port;                    /* FOLLOW: the primary's --replication-port, host order */
    char node[NODE_ORDER_NODE_BYTES]; /* DEMOTE, REMOVE_MEMBER: a name, or a node id in hex */
    char host[PRIMARY_ADDRESS_BYTES]; /* FOLLOW: name or address, as the operator wrote it */
    char wal_path[LOG_PATH_BYTES];    /* PROMOTE; "": none was named */
    struct name_lookup *lookup;       /* FOLLOW: finds `host` */
};

struct node_order_answer {
    bool ok;
    char text[NODE_ORDER_TEXT_BYTES]; /* one line: what was done, or why not */
};

/* In struct node; all zero: free. */
struct node_order_box {
    _Atomic int state;   /* enum in node_order.c */
    _Atomic bool closed; /* writer: node_order_close(); readers: givers */
    struct node_order order;
    struct node_order_answer answer;
    /* Owner: the control lcore. */
    bool seen;
    char told[NODE_ORDER_TEXT_BYTES]; /* the last order and what came of it, for status */
};

struct node;

/* ---- givers: any thread but the control lcore, several at once ---- */

/*
 * Never waits. 0: the order is in the box, and order->lookup is the box's. -EBUSY: another order is under way,
 * -ESHUTDOWN: the node stops; the lookup is still the caller's then.
 */
int node_order_begin(struct node *node, const struct node_order *order);
/* Whether it has ended; *out then, once: it is taken by this. Only who began the order asks. */
bool node_order_ended(struct node *node, struct node_order_answer *out);
/* Begins it, and waits in small naps. 0 and *out; -EBUSY as above; -ETIMEDOUT: it goes on, and status tells how
 * it ends; -ESHUTDOWN: the node stops. The lookup is gone in every case. */
int node_order_give(struct node *node, const struct node_order *order, unsigned timeout_ms,
                    struct node_order_answer *out);
/* The node stops: who waits is let go, and nobody gives orders any more. */
void node_order_close(struct node *node);
/* After every thread of the node's: what is left in the box is destroyed. */
void node_order_stop(struct node *node);

/* ---- the control lcore ---- */

/* The order that has not ended, the same one each time; NULL: none. */
const struct node_order *node_order_pending(struct node *node);
/* FOLLOW: takes the order's lookup, and leaves the one that was in use for the giver to destroy (NULL: none). */
struct name_lookup *node_order_swap_lookup(struct node *node, struct name_lookup *had);
/* Ends the pending one, with one line for the operator, and for the log. */
void node_order_end(struct node *node, bool ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The last order and what came of it, or that it is under way; "": there was none. */
const char *node_order_told(const struct node *node);

#endif
