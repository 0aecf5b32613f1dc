/*
 * arp.h - ARP for IPv4 over Ethernet (RFC 826, RFC 5227): decoder and encoder.
 *
 *   offset size  field                      offset size  field
 *   0      2     hardware type, 1           8      6     sender MAC
 *   2      2     protocol type, 0x0800      14     4     sender IPv4
 *   4      1     hardware length, 6         18     6     target MAC
 *   5      1     protocol length, 4         24     4     target IPv4
 *   6      2     operation
 */
#ifndef WILD_ARP_H
#define WILD_ARP_H

#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>

enum { ARP_BYTES = 28, ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp_packet {
    uint16_t operation;
    uint8_t sender_mac[6], target_mac[6];
    rte_be32_t sender, target; /* sender 0: a probe for a free address (RFC 5227 1.1) */
};

/* NET_ACCEPT (net/ip4.h), or the counter that names what is wrong. */
unsigned arp_decode(struct arp_packet *out, const uint8_t *bytes, size_t length);
void arp_encode(uint8_t out[ARP_BYTES], const struct arp_packet *packet);

#endif
