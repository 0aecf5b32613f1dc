/*
 * source.h - who a peer is when what is scarce is shared out. A host is an IPv4 address, or an IPv6 /64, as
 * one owner has 2^64 addresses; its network is the /24, or /48. Both are told apart by one byte each:
 * networks, by a seeded hash, may share one, but at nobody's will; IPv4 hosts of one network do not.
 *
 * Fair is: of those who hold most - the network first, then its host - what they have held for longest makes
 * room. So one peer, or one network of them, cannot keep others out, however fast it takes places.
 */
#ifndef WILD_SERVICE_SOURCE_H
#define WILD_SERVICE_SOURCE_H

#include <rte_jhash.h>

#include "net/endpoint.h"

enum { SOURCE_NETWORKS = 256, SOURCE_HOSTS = 256 /* in each */ };

struct source {
    uint8_t network, host;
};

static inline struct source source_of(const struct address *address, uint32_t seed)
{
    if (address_is_ip4(address))
        return (struct source){.network = (uint8_t)rte_jhash(address->bytes, 15, seed),
                               .host = address->bytes[15]};
    return (struct source){.network = (uint8_t)rte_jhash(address->bytes, 6, seed),
                           .host = (uint8_t)rte_jhash(address->bytes + 6, 2, seed)};
}

static inline bool source_equal(struct source a, struct source b)
{
    return a.network == b.network && a.host == b.host;
}

/* The largest of 256 numbers; of several the first from `from` on, so that whoever counts on from there is
 * fair to them all. */
static inline uint8_t source_heaviest(const uint32_t held[256], uint8_t from)
{
    uint8_t heaviest = from;
    for (unsigned i = 1; i < 256; i++) {
        uint8_t at = (uint8_t)(from + i);
        heaviest = held[at] > held[heaviest] ? at : heaviest;
    }
    return heaviest;
}

#endif
