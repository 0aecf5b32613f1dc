/*
 * control.h - what the control lcore does in one turn: minds neighbours and links, and where there is no log
 * (node_log.h has it otherwise) counts the workers' records and lets them go. Every task has a budget a turn.
 */
#ifndef WILD_CONTROL_H
#define WILD_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "app_limits.h"
#include "counters.h"
#include "instant.h"
#include "log_merge.h"
#include "worker.h"

struct node_config;
struct rte_ring;
struct arp_control;

struct control_link {
    struct arp_control *arp;
    struct rte_ring
        *by_worker; /* to worker 0, where the device has no queue for the control lcore; else NULL */
    struct rte_ring *to_streams; /* from the workers: frames of the control lcore's streams */
    bool up;
};

/* Owner: the control lcore; the rings' other ends are the workers'. */
struct control {
    const struct node_config *config;
    struct log_merge merge;
    uint64_t log_records, log_bytes;
    struct rte_ring *from_workers; /* ARP frames; mbuf->port is the index of the port */
    struct control_link link[NODE_PORTS_MAX];
    struct worker_handover handover; /* which segments are the streams' (control_streams.h) */
    struct rte_ring *icmp_errors;    /* from the workers, about theirs: struct tcp_icmp_error */
    uint64_t links_due_ns;
    struct counters counters;
};

/* 0, or -1: memory is short. config and the `count` log rings are borrowed. */
int control_start(struct control *control, const struct node_config *config, struct log_ring *const *logs,
                  unsigned count, uint64_t first_lsn);
void control_stop(struct control *control);
/* Workers have handed over what no turn has taken yet. A hint, on any thread. */
bool control_has_frames(const struct control *control);
/* Things done: 0 means idle. */
unsigned control_turn(struct control *control, struct instant now);

#endif
