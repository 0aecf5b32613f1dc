/*
 * udp.h - UDP over IPv4 (RFC 768, RFC 1122 4.1).
 */
#ifndef WILD_UDP_H
#define WILD_UDP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_udp.h>

#include "net/endpoint.h"
#include "net/eth.h"
#include "net/ip4.h"

static_assert(sizeof(struct rte_udp_hdr) == 8 && offsetof(struct rte_udp_hdr, dgram_cksum) == 6, "layout");

enum {
    UDP_HEADER_BYTES = 8,
    IP4_PROTOCOL_UDP = 17,
    UDP_IP4_HEADERS_BYTES = IP4_HEADER_BYTES + UDP_HEADER_BYTES,
};

/*
 * Validates the datagram in an IPv4 payload. checksum_known_good: the device has verified it. A zero checksum
 * means none (RFC 768). Returns NET_ACCEPT with the payload's length, or the counter that names why not.
 */
unsigned udp_validate(const uint8_t *datagram, size_t room, const uint8_t *ip4_addresses,
                      bool checksum_known_good, uint16_t *payload_bytes);

/* Sum over pseudo-header, UDP header (whose checksum field counts as it is) and payload. */
static inline uint64_t udp_ip4_sum(const uint8_t *ip4_addresses, const uint8_t *datagram, uint16_t length)
{
    uint64_t sum = checksum_ip4_pseudo(ip4_addresses, IP4_PROTOCOL_UDP, length);
    sum = checksum_add(sum, checksum_load64(datagram));
    return checksum_add_bytes(sum, datagram + UDP_HEADER_BYTES, length - UDP_HEADER_BYTES);
}

/*
 * Writes UDP, IPv4 and Ethernet headers in front of a payload, which needs UDP_IP4_HEADERS_BYTES and the
 * Ethernet header's bytes before it. offload: the device computes both checksums, and the UDP field carries
 * the pseudo-header's sum for it. Returns where the frame starts.
 */
static inline uint8_t *udp_ip4_headers_write(uint8_t *payload, uint16_t payload_bytes,
                                             const struct return_path *path, const uint8_t own_mac[6],
                                             uint16_t id, bool offload)
{
    uint8_t *udp = payload - UDP_HEADER_BYTES;
    uint8_t *ip4 = udp - IP4_HEADER_BYTES;
    uint16_t udp_bytes = (uint16_t)(UDP_HEADER_BYTES + payload_bytes);
    rte_be32_t source = address_ip4(&path->flow.local), destination = address_ip4(&path->flow.peer);

    uint64_t ports_and_length = path->flow.local_port | (uint64_t)path->flow.peer_port << 16 |
                                (uint64_t)rte_cpu_to_be_16(udp_bytes) << 32;
    uint64_t sum =
        (uint64_t)source + destination + ((uint64_t)IP4_PROTOCOL_UDP << 8) + rte_cpu_to_be_16(udp_bytes);
    uint16_t checksum;
    if (offload) {
        checksum = checksum_fold(sum);
    } else {
        sum += (ports_and_length & 0xFFFFFFFF) + (ports_and_length >> 32);
        checksum = checksum_finish(checksum_add_bytes(sum, payload, payload_bytes));
        /* RFC 768: a computed zero goes out as all ones */
        checksum = checksum ? checksum : 0xFFFF;
    }
    ports_and_length |= (uint64_t)checksum << 48;
    memcpy(udp, &ports_and_length, 8);
    ip4_header_write(ip4, (uint16_t)(IP4_HEADER_BYTES + udp_bytes), id, IP4_PROTOCOL_UDP, source, destination,
                     !offload);
    return eth_header_write(ip4, path->peer_mac, own_mac, path->vlan_tci, RTE_ETHER_TYPE_IPV4);
}

#endif
