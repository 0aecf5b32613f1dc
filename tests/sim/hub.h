/*
 * hub.h - a network of nodes and one client in this process, under a virtual clock: every frame that one
 * station sends reaches all others, after a delay, unless the seeded faults lose or repeat it.
 *
 * Nodes are joined by net_ring ports: the hub holds the other ends of their rings. One call of hub_step()
 * moves frames, gives every part of every node a turn, and lets HUB_STEP_NS pass (a cluster: CLUSTER_STEP_NS).
 *
 * A cluster: node 0 is a primary with a log, the others are replicas of it without one.
 */
#ifndef WILD_HUB_H
#define WILD_HUB_H

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "node.h"
#include "sim_disk.h"
#include "test_client.h"

enum {
    HUB_NODES_MAX = 3,
    HUB_FLIGHT_MAX = 4096,
    HUB_INBOX_MAX = 64,
    HUB_STEP_NS = 20 * 1000,
    CLUSTER_STEP_NS = 100 * 1000
};

struct hub_faults {
    unsigned lose_percent, repeat_percent, delay_steps_max; /* a frame waits 1 + 0..delay_steps_max steps */
    unsigned corrupt_percent; /* a bit is turned over; not in frames for the client */
};

/* How many times each was done. */
struct hub_fault_counts {
    uint64_t lost, repeated, delayed, corrupted, cut;
};

struct hub_frame {
    struct rte_mbuf *mbuf;
    unsigned to; /* station: 0..nodes-1, or HUB_NODES_MAX for the client */
    uint64_t due_step;
};

struct hub_node {
    struct node *node;
    struct port port;
    struct rte_ring *to, *from;  /* as the node sees them: its receive ring, its transmit ring */
    struct sim_disk *disk;       /* of its log; NULL: it has none */
    bool paused_disk;            /* nobody does what may wait for the disk: recovery, segments, snapshots */
    bool paused;                 /* it gets no turns at all, as if stopped by a signal */
    struct name_lookup *primary; /* of a replica */
    uint32_t ip4;
    uint8_t mac[6];
};

struct hub {
    struct rte_mempool *pool;
    const char *secret;
    struct durability_rules rules; /* of nodes with a log */
    bool cluster;                  /* see above; frames go to the station that they name alone */
    unsigned min_replicas;         /* of its primary */
    uint64_t step_ns;
    struct hub_node nodes[HUB_NODES_MAX];
    unsigned count;
    struct hub_faults faults;
    struct hub_fault_counts counts;
    bool no_tcp;                                    /* none gets from node to node; ARP does */
    bool cut[HUB_NODES_MAX + 1][HUB_NODES_MAX + 1]; /* no frame gets from the first to the second station */
    uint64_t entropy, steps, trace;                 /* trace: a hash of every frame that entered the hub */
    struct instant now;
    struct hub_frame flight[HUB_FLIGHT_MAX];
    unsigned flying;
    uint32_t client_ip4;
    uint8_t client_mac[6];
    unsigned talks_to; /* the node that the client's datagrams go to */
    struct {
        uint8_t bytes[DATAGRAM_BYTES_MAX];
        size_t length;
    } inbox[HUB_INBOX_MAX];
    unsigned inbox_first, inbox_count;
    char error[512];            /* of hub_serves() */
    uint64_t unexpected_frames; /* reached the client and are neither ours nor broadcast */
};

/* Starts `count` nodes of `workers` workers with one secret (NULL: bench mode). Ends the process on failure. */
void hub_start(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed, const char *secret);
/* The same with a log each, on disks of `space` bytes. The nodes recover: they serve some steps later. */
void hub_start_logged(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed,
                      const char *secret, struct durability_rules rules, uint64_t space);
/* A primary and count - 1 replicas. Frames are lost, and repeated, and so on, between nodes and client alike. */
void hub_start_cluster(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed,
                       const char *secret, unsigned min_replicas, uint64_t space);
/* The node dies, and starts on what that crash leaves of its disk, if it has one. */
void hub_crash(struct hub *hub, unsigned i, enum sim_crash crash);
/* Steps until node i serves. False: it has refused its folder (hub->error) or does not within a virtual second. */
bool hub_serves(struct hub *hub, unsigned i);
void hub_stop(struct hub *hub);
void hub_step(struct hub *hub);
/* The way to hub->nodes[hub->talks_to]. */
struct datagram_link hub_link(struct hub *hub);
/* Any frame of the test's own making goes to every node. */
void hub_inject(struct hub *hub, const uint8_t *bytes, size_t length);

#endif
