/*
 * endpoint.h - who sent a datagram, and how an answer gets back to them.
 *
 * Addresses take 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so nothing above net/ knows which
 * version it is.
 */
#ifndef WILD_ENDPOINT_H
#define WILD_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>

struct address {
    uint8_t bytes[16];
};

struct flow {
    struct address peer, local;
    rte_be16_t peer_port, local_port;
};

/*
 * Everything an unprompted answer needs. Replies go back to the station that delivered the request (its MAC
 * and VLAN): right on a link and behind routers, without a look-up, and a request can never make the node ask
 * ARP for strangers.
 */
struct return_path {
    struct flow flow;
    uint8_t peer_mac[6];
    uint16_t vlan_tci; /* host order; 0xFFFF: untagged */
};

enum { VLAN_NONE = 0xFFFF };

static inline struct address address_from_ip4(rte_be32_t ip4)
{
    struct address a = {.bytes = {[10] = 0xFF, [11] = 0xFF}};
    memcpy(a.bytes + 12, &ip4, 4);
    return a;
}

static inline bool address_is_ip4(const struct address *a)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

static inline rte_be32_t address_ip4(const struct address *a)
{
    rte_be32_t ip4;
    memcpy(&ip4, a->bytes + 12, 4);
    return ip4;
}

#endif
