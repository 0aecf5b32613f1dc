/*
 * port.h - one DPDK port: asked for what the design wants, told what the device gives, and the difference
 * made up in software.
 *
 * port_open() configures queues (one pair a worker, one more for the control lcore where an indirection table
 * can keep requests off it), RSS for UDP and TCP over IPv4, checksum offloads and MTU. It prints nothing:
 * port_describe() says what the device is and what it lacks.
 * Everything above sees queues as two functions, so tests put arrays of frames in their place.
 */
#ifndef WILD_PORT_H
#define WILD_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "protocol_limits.h"

enum {
    PORT_WORKERS_MAX = 64,
    PORT_BURST_MAX = 32,
    /* Asked for; the device may round. A queue pair holds at most this many mbufs of the pool. */
    PORT_RX_DESCRIPTORS = 1024,
    PORT_TX_DESCRIPTORS = 1024,
    PORT_RSS_KEY_BYTES_MAX = 52,
    PORT_DESCRIPTION_BYTES = 256,
    PORT_MTU_MIN = DATAGRAM_BYTES_MAX + 28, /* one datagram with its IPv4 and UDP headers */
};

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
    uint16_t mtu;             /* 0: the device's, at most 1,500 */
    /* PORT_RSS_KEY_BYTES_MAX secret bytes, so that nobody can aim flows at one queue; NULL: the key of the
     * published test vectors. Borrowed during the call. */
    const uint8_t *rss_key;
};

/* What the device turned out to be. */
struct port {
    uint16_t port_id;
    struct rte_ether_addr mac;
    uint16_t mtu;
    unsigned workers;   /* worker queue pairs, may be fewer than asked: `rss` false means all traffic comes by
                           queue 0, or that the other side chooses the queue (memif, ring) */
    bool control_queue; /* queue `workers` exists and belongs to the control lcore; else it sends through
                           worker_port.from_control */
    bool rss;           /* UDP is spread over the worker queues */
    const char *spread; /* by whom and how, or why not: a static string */
    char driver[32];
    bool
        rx_checksum_offload; /* the device verifies IPv4, UDP and TCP checksums: bad ones carry the mbuf flags */
    bool tx_checksum_offload; /* the device fills them */
    struct port_queue queue[PORT_WORKERS_MAX + 1];
};

/* 0, or -1 with one line in `error` that says what to do. */
int port_open(struct port *out, const struct port_config *config, char *error, size_t error_bytes);
void port_close(struct port *port); /* stops and closes the device; mbufs in its queues are freed */
bool port_link_up(const struct port *port);
/* One line for the log: driver, link, speed, MAC, MTU, queues, spread, checksums. */
void port_describe(const struct port *port, char out[PORT_DESCRIPTION_BYTES]);

#endif
