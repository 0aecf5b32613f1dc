/*
 * hub.h - a network of nodes and one client in this process, under a virtual clock: every frame that one
 * station sends reaches all others, after a delay, unless the seeded faults lose or repeat it.
 *
 * Nodes are joined by net_ring ports: the hub holds the other ends of their rings. One call of hub_step()
 * moves frames, gives every part of every node a turn, and lets HUB_STEP_NS pass (a cluster: CLUSTER_STEP_NS).
 *
 * A cluster: nodes that are primaries and replicas, as each one's part says; that may be changed before it starts
 * again.
 */
#ifndef WILD_HUB_H
#define WILD_HUB_H

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "node.h"
#include "sim_disk.h"
#include "test_client.h"

enum {
    HUB_NODES_MAX = 5,
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

/* How a node of a cluster is started. */
struct hub_part {
    enum mode mode;
    unsigned leader; /* a replica: whom it asks */
    bool log;        /* it has one, on a disk of its own */
    unsigned min_replicas;
    bool ack_applied;
};

struct hub_node {
    struct node *node; /* NULL: it is dead */
    struct hub_part part;
    struct port port;
    struct rte_ring *to, *from;  /* as the node sees them: its receive ring, its transmit ring */
    struct sim_disk *disk;       /* of its log; NULL: it has none */
    bool paused_disk;            /* nobody does what may wait for the disk: recovery, segments, snapshots */
    bool paused;                 /* it gets no turns at all, as if stopped by a signal */
    bool falls, fell;            /* hub_crash_soon(): when its disk crashes it gets no more turns; it has */
    struct name_lookup *primary; /* of a replica */
    unsigned asks;               /* whom that finds */
    uint32_t ip4;
    uint8_t mac[6];
};

struct hub {
    struct rte_mempool *pool;
    const char *secret;
    struct durability_rules rules; /* of nodes with a log */
    bool cluster;                  /* see above; frames go to the station that they name alone */
    uint64_t space;                /* of a disk */
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
    /* Told of datagrams for the client at any other port than that of hub_link(); NULL: nobody is. */
    void (*listener)(void *state, unsigned node, uint16_t port, const uint8_t *bytes, size_t length);
    void *listener_state;
    char error[512];            /* of hub_serves() */
    uint64_t unexpected_frames; /* reached the client and are neither ours nor broadcast */
};

/* Starts `count` nodes of `workers` workers with one secret (NULL: bench mode). Ends the process on failure. */
void hub_start(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed, const char *secret);
/* The same with a log each, on disks of `space` bytes. The nodes recover: they serve some steps later. */
void hub_start_logged(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed,
                      const char *secret, struct durability_rules rules, uint64_t space);
/* A node for each part. Frames are lost, and repeated, and so on, between nodes and client alike. */
void hub_start_cluster(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed,
                       const char *secret, const struct hub_part *parts, uint64_t space);
/* The node dies; what that crash leaves of its disk, if it has one, is there when it starts again. */
void hub_kill(struct hub *hub, unsigned i, enum sim_crash crash);
void hub_revive(struct hub *hub, unsigned i);
void hub_crash(struct hub *hub, unsigned i, enum sim_crash crash); /* both */
/* The node's disk crashes after so many more of its calls, and the node does nothing any more: hub_node.fell. */
void hub_crash_soon(struct hub *hub, unsigned i, unsigned calls);
/* Steps until node i serves. False: it has refused its folder (hub->error) or does not within three virtual
 * seconds. */
bool hub_serves(struct hub *hub, unsigned i);
void hub_stop(struct hub *hub);
void hub_step(struct hub *hub);
/* The way to hub->nodes[hub->talks_to]. */
struct datagram_link hub_link(struct hub *hub);
/* A datagram from one of the client's ports to a node. */
void hub_client_send(struct hub *hub, unsigned node, uint16_t port, const uint8_t *bytes, size_t length);
/* Any frame of the test's own making goes to every node. */
void hub_inject(struct hub *hub, const uint8_t *bytes, size_t length);

#endif
