/*
 * node_status.h - what operators may know of a node, in one piece: `wildctl status`, `replicas`, pages. The control lcore
 * fills it in now and then and never waits; any other thread may take a copy.
 */
#ifndef WILD_NODE_STATUS_H
#define WILD_NODE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "meta.h"
#include "node_order.h"
#include "primary.h"
#include "replica.h"

enum { NODE_STATUS_WHY_BYTES = 256, NODE_STATUS_ADDRESS_BYTES = 264 };

/* A node with a log that the cluster counts on, as this node's log lists it. */
struct node_status_member {
    struct member member;
    bool primary, self;
    bool counts;          /* the list that has it is acknowledged, and it is not only about to join */
    uint64_t durable_lsn; /* of its log, as far as is known here; 0: it is not */
};

struct node_status {
    uint8_t mode, state; /* enum mode, enum serving_state */
    uint32_t epoch;
    uint64_t history, node_id, lsn, durable_lsn, replicated_lsn, items, capacity, uptime_ms;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char name[REPLICATION_NAME_BYTES]; /* WILD_REPLICA_ID, or what was made up */
    char why[NODE_STATUS_WHY_BYTES];   /* of the state, where its name does not say it; "" */
    char version[32];
    char order[NODE_ORDER_TEXT_BYTES]; /* the last that it was given, and what came of it; "" */
    bool log;                          /* it has one */
    unsigned min_replicas;
    unsigned members;
    struct node_status_member member[MEMBERS_MAX];
    /* primary */
    unsigned replicas;
    struct primary_replica replica[PRIMARY_REPLICAS_MAX];
    uint64_t replica_lag_lsn[PRIMARY_REPLICAS_MAX]; /* changes that it has not said it has */
    /* replica */
    char primary[NODE_STATUS_ADDRESS_BYTES]; /* "host:port" that it asks */
    struct replica_facts following;
    uint64_t lag_lsn, lag_ms;
};

struct node;

/* Any thread but the control lcore: a copy of what was there a moment ago. False: the node has not filled it in yet. */
bool node_status_take(struct node *node, struct node_status *out);

#endif
