/*
 * eth.h - Ethernet II with at most one 802.1Q tag.
 *
 *   offset size  field                  offset size  tag, between source and type
 *   0      6     destination            12     2     0x8100
 *   6      6     source                 14     2     TCI: priority (3), DEI (1), VLAN (12)
 *   12     2     type                   16     2     type
 */
#ifndef WILD_ETH_H
#define WILD_ETH_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>

#include "net/checksum.h"
#include "net/endpoint.h"

static_assert(sizeof(struct rte_ether_hdr) == 14 && offsetof(struct rte_ether_hdr, ether_type) == 12,
              "layout");
static_assert(sizeof(struct rte_vlan_hdr) == 4 && offsetof(struct rte_vlan_hdr, eth_proto) == 2, "layout");

enum { ETH_MAC_BITS = 48 };

/* A MAC as a number whose upper 16 bits are zero, for comparing in one instruction. */
static inline uint64_t eth_mac_word(const uint8_t mac[6])
{
    return checksum_load32(mac) | (uint64_t)mac[4] << 32 | (uint64_t)mac[5] << 40;
}

static inline bool eth_mac_is_group(const uint8_t mac[6])
{
    return mac[0] & 1; /* IEEE 802: the I/G bit; broadcast included */
}

static inline unsigned eth_header_bytes(uint16_t vlan_tci)
{
    return vlan_tci == VLAN_NONE ? sizeof(struct rte_ether_hdr)
                                 : sizeof(struct rte_ether_hdr) + sizeof(struct rte_vlan_hdr);
}

/* Writes the header so that it ends at `end`; returns where it starts. */
static inline uint8_t *eth_header_write(uint8_t *end, const uint8_t destination[6], const uint8_t source[6],
                                        uint16_t vlan_tci, uint16_t type)
{
    rte_be16_t be_type = rte_cpu_to_be_16(type);
    memcpy(end - 2, &be_type, 2);
    uint8_t *start = end - eth_header_bytes(vlan_tci);
    if (vlan_tci != VLAN_NONE) {
        rte_be16_t tag[2] = {RTE_BE16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(vlan_tci)};
        memcpy(start + 12, tag, 4);
    }
    memcpy(start, destination, 6);
    memcpy(start + 6, source, 6);
    return start;
}

#endif
