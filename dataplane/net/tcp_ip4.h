/*
 * tcp_ip4.h - TCP segments inside IPv4: checksum and headers (RFC 9293 3.1). What a segment means is tcp/'s
 * affair.
 */
#ifndef WILD_TCP_IP4_H
#define WILD_TCP_IP4_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_tcp.h>

#include "net/endpoint.h"
#include "net/eth.h"
#include "net/ip4.h"

enum {
    IP4_PROTOCOL_TCP = 6,
    TCP_HEADER_BYTES_MIN = 20,
    TCP_CHECKSUM_OFFSET = 16,
};
static_assert(offsetof(struct rte_tcp_hdr, cksum) == TCP_CHECKSUM_OFFSET, "layout");

/* Sum over pseudo-header and segment (whose checksum field counts as it is). */
static inline uint64_t tcp_ip4_sum(const uint8_t *ip4_addresses, const uint8_t *segment, uint16_t length)
{
    return checksum_add_bytes(checksum_ip4_pseudo(ip4_addresses, IP4_PROTOCOL_TCP, length), segment, length);
}

/*
 * Validates the segment in an IPv4 payload as far as IPv4 is concerned: it has a header, ports and, unless
 * the device has said so, a right checksum. Returns NET_ACCEPT, or the counter that names why not.
 */
unsigned tcp_ip4_validate(const uint8_t *segment, size_t length, const uint8_t *ip4_addresses,
                          bool checksum_known_good);

/*
 * Fills in the checksum of a segment whose checksum field is zero, and writes IPv4 and Ethernet headers in
 * front of it. offload: the device computes both sums, and the TCP field carries the pseudo-header's for it.
 * Returns where the frame starts.
 */
static inline uint8_t *tcp_ip4_headers_write(uint8_t *segment, uint16_t segment_bytes,
                                             const struct return_path *path, const uint8_t own_mac[6],
                                             uint16_t id, bool offload)
{
    uint8_t *ip4 = segment - IP4_HEADER_BYTES;
    ip4_header_write(ip4, (uint16_t)(IP4_HEADER_BYTES + segment_bytes), id, IP4_PROTOCOL_TCP,
                     address_ip4(&path->flow.local), address_ip4(&path->flow.peer), !offload);
    uint16_t checksum = offload
                            ? checksum_fold(checksum_ip4_pseudo(ip4 + 12, IP4_PROTOCOL_TCP, segment_bytes))
                            : checksum_finish(tcp_ip4_sum(ip4 + 12, segment, segment_bytes));
    memcpy(segment + TCP_CHECKSUM_OFFSET, &checksum, 2);
    return eth_header_write(ip4, path->peer_mac, own_mac, path->vlan_tci, RTE_ETHER_TYPE_IPV4);
}

#endif
