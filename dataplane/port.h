/*
 * port.h - one DPDK port: asked for what the design wants, told what the device gives, and the difference
 * made up in software.
 *
 * port_open() configures queues (one pair a worker, one more for the control lcore where the device has it),
 * RSS for UDP and TCP over IPv4, checksum offloads, MTU, and logs link, MAC, MTU and what the device lacks.
 * Everything above sees queues as two functions, so tests put arrays of frames in their place.
 */
#ifndef WILD_PORT_H
#define WILD_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

enum { PORT_WORKERS_MAX = 64, PORT_BURST_MAX = 32 };

/* A receive and a transmit queue. transmit takes ownership of the mbufs it returns as sent, no others. */
struct port_queue {
    void *state;
    uint16_t (*receive)(void *state, struct rte_mbuf **frames, uint16_t room);
    uint16_t (*transmit)(void *state, struct rte_mbuf **frames, uint16_t count);
};

struct port_config {
    uint16_t port_id; /* EAL's */
    unsigned workers;
    struct rte_mempool *pool; /* for receive queues; borrowed */
    uint16_t mtu;             /* 0: the device's */
};

/* What the device turned out to be. */
struct port {
    uint16_t port_id;
    struct rte_ether_addr mac;
    uint16_t mtu;
    unsigned workers;   /* worker queue pairs, may be fewer than asked: `rss` false means all traffic comes by
                           queue 0 */
    bool control_queue; /* queue `workers` exists and belongs to the control lcore */
    bool rss;           /* UDP is spread over the worker queues */
    bool rx_checksum_offload; /* the device verifies IPv4 and UDP checksums: bad ones carry the mbuf flags */
    bool tx_checksum_offload; /* the device fills them */
    struct port_queue queue[PORT_WORKERS_MAX + 1];
};

/* 0, or -1 with one line in `error` that says what to do. */
int port_open(struct port *out, const struct port_config *config, char *error, size_t error_bytes);
void port_close(struct port *port);
bool port_link_up(const struct port *port);

#endif
