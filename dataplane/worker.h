/*
 * worker.h - one poll-mode lcore: frames in, answers out, run to completion.
 *
 * worker_turn() is one round: receive a burst from each port, Ethernet > ARP/IPv4 > ICMP/UDP/TCP > service,
 * transmit. It neither blocks, nor allocates, nor makes a system call, nor reads a clock. The caller loops
 * (app/) or steps (tests).
 */
#ifndef WILD_WORKER_H
#define WILD_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "counters.h"
#include "instant.h"
#include "port.h"
#include "service/udp_service.h"
#include "tcp/tcp.h"

enum { WORKER_PORTS_MAX = 4 };

enum { WORKER_HANDOVER_FLOWS = 16, WORKER_HANDOVER_SETS = 64, WORKER_HANDOVER_WAYS = 8 };

/*
 * Whose a segment is that is handed over, and so how much of the ring it may fill: who can write any address
 * into a frame leaves room for those whom a handshake of TCP has found at theirs, and those for who has shown
 * our secret.
 */
enum worker_handover_rank {
    HANDOVER_NONE,     /* a worker's own */
    HANDOVER_STRANGER, /* to the port: a quarter */
    HANDOVER_ACCEPTED, /* half */
    HANDOVER_TRUSTED,  /* and of flows that this node has opened: all of it */
};

struct neighbour_table;
struct rte_ring;

/*
 * Segments that are for another TCP of this node's, the control lcore's: they are handed over, as the frames
 * that they came in. Only those of the port where that one listens, and of flows that it has opened. Writer:
 * control; readers: the workers, which look here when a segment is not for their own port
 * (worker_config.udp_port).
 */
struct worker_handover {
    _Atomic rte_be16_t port;                      /* 0: nobody listens */
    _Atomic uint64_t flow[WORKER_HANDOVER_FLOWS]; /* worker_handover_flow(); 0: none */
    /* Peers of the port, each in a way of its set: the flow, with its rank in place of the port; 0: none. */
    _Alignas(64) _Atomic uint64_t peer[WORKER_HANDOVER_SETS][WORKER_HANDOVER_WAYS];
};

/* An IPv4 flow in one word, as the one that opened it sees it. Its own address does not count. */
static inline uint64_t worker_handover_flow(rte_be32_t peer, rte_be16_t peer_port, rte_be16_t local_port)
{
    return (uint64_t)peer << 32 | (uint64_t)peer_port << 16 | local_port;
}

/*
 * Control: the peer of a stream at the port is this from now on; HANDOVER_STRANGER: nobody any more. A set
 * that is full gives up an accepted peer for a trusted one; else whoever comes stays a stranger, who has his
 * share, too.
 */
void worker_handover_set(struct worker_handover *handover, rte_be32_t peer, rte_be16_t peer_port,
                         enum worker_handover_rank rank);

/* One port as this worker sees it. */
struct worker_port {
    struct port_queue queue;
    struct rte_ether_addr mac;
    struct address address; /* the node's address on this port */
    uint8_t prefix_length;  /* of the IPv4 network */
    bool rx_checksum_offload, tx_checksum_offload;
    uint16_t mtu;
    /* Frames that the control lcore sends through this queue, where the device has none for it (ring of
     * mbufs, any number of producers, consumer: this worker). NULL: none. */
    struct rte_ring *from_control;
    /* Where segments that are handed over go (many producers, consumer: the control lcore), with a
     * handover below. */
    struct rte_ring *to_streams;
    /* The frames come from another worker, or leave by one, which counts them. */
    bool rx_relayed, tx_relayed;
};

struct worker_config {
    unsigned id;
    unsigned ports;
    struct worker_port port[WORKER_PORTS_MAX];
    uint16_t udp_port;        /* host order: where the service listens */
    struct rte_mempool *pool; /* for frames the worker originates */
    /* ARP frames that the control lcore must see, untagged; mbuf->port is the index in port[] above. NULL:
     * freed and counted. */
    struct rte_ring *to_control;
    const struct worker_handover *handover; /* borrowed; NULL: every segment is this worker's */
    /*
     * Where the workers give each other ICMP errors about TCP segments, for those come by any queue: one ring
     * of struct tcp_icmp_error a worker (rte_ring_create_elem(), RING_F_SC_DEQ), at its id. `workers` of
     * them, the one of the control lcore's streams included; NULL where there is nobody, or nobody else.
     */
    unsigned workers;
    struct rte_ring *icmp_errors_of[PORT_WORKERS_MAX + 1];
    struct counters *counters;
};

struct worker; /* one cache-aligned struct, allocated on `numa_node` */

/* NULL: memory is short. The config is copied; what it points to is borrowed. */
struct worker *worker_create(const struct worker_config *config, int numa_node);
void worker_destroy(struct worker *worker);
/* Once, before the first turn; state is destroyed by its owner after the worker. */
void worker_set_service(struct worker *worker, struct udp_service service);
/*
 * For deferred answers. A frame leaves by the port that owns the path's local address, else by `port`, at the
 * end of the turn. Call it on the worker's lcore, from within worker_turn() (a service's burst or turn).
 */
struct udp_transmit worker_transmit(struct worker *worker, unsigned port);
/* As worker_set_service(). Without it every TCP segment is dropped and counted. */
void worker_set_tcp(struct worker *worker, struct tcp *tcp);
/* What that TCP sends by: the frames leave by the port that owns the path's local address. */
struct tcp_output worker_tcp_output(struct worker *worker);
/* Returns frames handled: 0 means idle. */
unsigned worker_turn(struct worker *worker, struct instant now);

#endif
