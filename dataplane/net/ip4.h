/*
 * ip4.h - IPv4 as an end host receives and sends it (RFC 791, RFC 1122 3.2.1, RFC 1812 5.2.2). No fragments
 * in either direction, no options in ours.
 */
#ifndef WILD_IP4_H
#define WILD_IP4_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_ip.h>

#include "counters.h"
#include "net/checksum.h"

static_assert(sizeof(struct rte_ipv4_hdr) == 20, "layout");
static_assert(offsetof(struct rte_ipv4_hdr, total_length) == 2, "layout");
static_assert(offsetof(struct rte_ipv4_hdr, fragment_offset) == 6, "layout");
static_assert(offsetof(struct rte_ipv4_hdr, next_proto_id) == 9, "layout");
static_assert(offsetof(struct rte_ipv4_hdr, src_addr) == 12, "layout");

enum {
    IP4_HEADER_BYTES = 20,
    IP4_TTL = 64,
    IP4_DATAGRAM_BYTES_MAX = 65535,
    /* RFC 791: of the fragment field, everything but the reserved and the "don't fragment" bit */
    IP4_FRAGMENT_MASK = 0x3FFF,
    /* Not a counter: the packet is good. */
    NET_ACCEPT = COUNTER_COUNT,
};

/* Who we are on a link. */
struct ip4_local {
    rte_be32_t address;
    uint32_t broadcast; /* of our network, host order; our own address where there is none (/31, /32) */
};

static inline struct ip4_local ip4_local_make(rte_be32_t address, unsigned prefix_length)
{
    uint32_t host = rte_be_to_cpu_32(address);
    uint32_t host_mask = prefix_length >= 31 ? 0 : (uint32_t)(0xFFFFFFFFu >> prefix_length);
    return (struct ip4_local){.address = address, .broadcast = host | host_mask};
}

/* RFC 1122 3.2.1.3: neither "this network", loopback, a group, the limited broadcast, our network's broadcast
 * nor ourselves. */
static inline bool ip4_source_acceptable(const struct ip4_local *local, rte_be32_t source)
{
    uint32_t host = rte_be_to_cpu_32(source);
    uint32_t top = host >> 24;
    return top - 1 < 223 && top != 127 && source != local->address && host != local->broadcast;
}

/* A packet that passed. */
struct ip4_view {
    const uint8_t *header, *payload;
    rte_be32_t source;
    uint16_t header_bytes, payload_bytes; /* padding behind the packet is not counted */
    uint8_t protocol;
};

/*
 * Validates the packet at the start of `bytes`. link_broadcast: the frame was sent to everybody (RFC 1122
 * 3.3.6: then a unicast destination inside is silently dropped). checksum_known_good: the device has verified
 * it. Returns NET_ACCEPT, or the counter that names why not. A TTL of 0 is accepted (RFC 1122 3.2.1.7).
 */
unsigned ip4_validate(struct ip4_view *out, const struct ip4_local *local, const uint8_t *bytes,
                      size_t length, bool link_broadcast, bool checksum_known_good);

/*
 * Writes a header in front of a payload: DF set, so the id means nothing (RFC 6864 4.1) and serves those who
 * read traces. checksum false: the device fills it.
 */
static inline void ip4_header_write(uint8_t *header, uint16_t total_length, uint16_t id, uint8_t protocol,
                                    rte_be32_t source, rte_be32_t destination, bool checksum)
{
    /* one 64-bit word for the first eight bytes: version and IHL, TOS 0, length, id, DF */
    uint64_t first = 0x45 | (uint64_t)rte_cpu_to_be_16(total_length) << 16 |
                     (uint64_t)rte_cpu_to_be_16(id) << 32 | (uint64_t)0x40 << 48;
    uint32_t second = IP4_TTL | (uint32_t)protocol << 8;
    if (checksum) {
        uint64_t sum = (first & 0xFFFFFFFF) + (first >> 32) + second + source + destination;
        second |= (uint32_t)checksum_finish(sum) << 16;
    }
    memcpy(header, &first, 8);
    memcpy(header + 8, &second, 4);
    memcpy(header + 12, &source, 4);
    memcpy(header + 16, &destination, 4);
}

#endif
