/*
 * arp_control.h - ARP on the control lcore: resolves what this node wants to reach, announces its address,
 * and watches for others who claim it. One a port. The workers answer requests for our address by themselves
 * and hand every other packet that concerns us to arp_control_frame().
 */
#ifndef WILD_ARP_CONTROL_H
#define WILD_ARP_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "counters.h"
#include "net/neighbour.h"
#include "port.h"

/* RFC 5227 1.1: ANNOUNCE_NUM, ANNOUNCE_INTERVAL, DEFEND_INTERVAL */
enum { ARP_ANNOUNCEMENTS = 2 };
#define ARP_ANNOUNCE_INTERVAL_NS 2000000000ull
#define ARP_DEFEND_INTERVAL_NS   10000000000ull

struct arp_control_config {
    struct rte_ether_addr mac;
    rte_be32_t address, gateway; /* gateway 0: none */
    uint8_t prefix_length;
    struct port_queue queue;  /* transmit is used */
    struct rte_mempool *pool; /* borrowed, like the counters, which are the control lcore's */
    struct counters *counters;
    int numa_node;
};

struct arp_control;

struct arp_control *arp_control_create(const struct arp_control_config *config); /* NULL: memory is short */
void arp_control_destroy(struct arp_control *control);

/* Consumes a received frame, whatever is in it. */
void arp_control_frame(struct arp_control *control, struct rte_mbuf *frame, uint64_t now_ns);
/* Sends what is due; returns how many frames. Cheap when nothing is. */
unsigned arp_control_turn(struct arp_control *control, uint64_t now_ns);
/* Gratuitous ARP in the next turns: at start (by itself), and for the caller to ask for at link-up and
 * promotion. */
void arp_control_announce(struct arp_control *control);
/* Somebody else claims our address: true once for each DEFEND_INTERVAL in which it happened, for the log. */
bool arp_control_conflict(struct arp_control *control, struct rte_ether_addr *claimant);

/* Wants the next hop towards an address resolved. False: off-link without a gateway, or no room. */
bool arp_control_resolve(struct arp_control *control, rte_be32_t destination, uint64_t now_ns);
/* The station to send to: the destination itself on our network, else the gateway; 0: no way. Any thread. */
rte_be32_t arp_control_next_hop(const struct arp_control *control, rte_be32_t destination);
/* For neighbour_lookup() by any thread. */
const struct neighbour_table *arp_control_neighbours(const struct arp_control *control);

#endif
