/*
 * node_internal.h - the struct behind node.h, shared by node.c (start and stop), control.c (the control
 * lcore's turn) and worker_turn in node.c.
 */
#ifndef WILD_NODE_INTERNAL_H
#define WILD_NODE_INTERNAL_H

#include <stdatomic.h>

#include <rte_ring.h>

#include "control.h"
#include "execute.h"
#include "kernel/kernel_worker.h"
#include "node.h"
#include "node_log.h"
#include "node_order.h"
#include "node_replication.h"
#include "service/handshake_helper.h"
#include "service/native_tcp.h"
#include "service/native_udp.h"
#include "worker.h"

/* What one worker's lcore touches. Owner: that lcore, except where noted. */
struct node_worker {
    /* One of the two, as the node has ports or sockets. */
    _Alignas(64) struct worker *worker;
    struct kernel_worker *kernel;
    struct execute_context *execute;
    struct native_udp *service;
    struct native_tcp *streams;
    struct http *http;            /* NULL: --http off */
    struct tcp *tcp;              /* NULL over kernel sockets */
    struct rte_ring *icmp_errors; /* consumer: this worker; producers: the others */
    struct log_ring *log;         /* producer; consumer: control */
    uint64_t sweep_due_ns;
    uint64_t drain_until_ns;    /* 0: not draining yet */
    bool sessions_closed;       /* draining: those over TCP have been told */
    _Atomic bool drained;       /* writer: the worker; reader: control */
    _Atomic bool waits_for_log; /* over kernel sockets, asleep. Writer: the worker; reader: control */
    /* Of node.generation, at the beginning of its last turn. Writer: the worker (release); reader: control (acquire), so
     * that what the turns before it read has been read. */
    _Atomic uint64_t noted;
    struct counters counters;
    /* What pages say of this worker, now and then. Writer: the worker; readers: whichever worker shows a page. */
    _Atomic uint32_t tcp_connections, tcp_half_open, tcp_time_wait;
    _Atomic uint64_t seen_ns;
};

struct node {
    struct node_config config;
    unsigned steps_done; /* of the start-up table */
    struct instant started;
    /* Told in handshakes. Of the log, or the cluster that a replica follows, once they are known; made up before. Writer: the
     * control lcore, which tells it to the helper. */
    struct handshake_identity identity;
    bool identity_untold;
    struct key_arena *arena;
    struct role_keys *keys[NODE_SECRETS_MAX];
    struct table *table;
    struct table_info table_info;
    struct log_ring
        *control_log; /* what the control lcore itself logs, and takes; NULL: the node never leads */
    struct handshake_helper *helper;
    struct published_state published; /* writer: control; readers: workers */
    _Atomic bool draining;            /* writer: control; readers: workers */
    /* Rises with what is published: who has noted it has ended every turn that saw what was published before
     * (node_quiescent()). Writer: control (release); readers: workers (acquire). */
    _Atomic uint64_t generation;
    struct control control;
    struct control_streams *streams; /* NULL: none (control_streams.h) */
    struct node_log log;
    struct node_replication replication;
    struct node_order_box order;
    struct stats_source stats;   /* of the workers' pages */
    struct node_worker worker[]; /* config.workers */
};

/* It has a log, and replicas or a primary: whatever it does now, it may lead, and it may follow. */
static inline bool node_may_lead(const struct node *node)
{
    return node->config.log.folder != NULL && node->config.replication.mode != MODE_STANDALONE;
}

/* Who it is, from now on. Control thread. */
void node_identify(struct node *node, const uint8_t cluster_id[CLUSTER_ID_BYTES], uint64_t node_id);
/* Why the node is READ_ONLY; NULL: it is not. Any thread. */
const char *node_why(const struct node *node);
/* Every worker has answered what it had received. */
bool node_workers_drained(const struct node *node);

#endif
