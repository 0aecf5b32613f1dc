/*
 * icmp.h - the ICMP messages that a node sends (RFC 792, RFC 1122 3.2.2), echo reply and port unreachable,
 * and the errors that it listens to. Pure functions over bytes; rate limits are the worker's.
 *
 *   offset size  field
 *   0      1     type
 *   1      1     code
 *   2      2     checksum over the whole message
 *   4      4     rest: identifier and sequence number; fragmentation needed: zero, then the next hop's MTU
 *                (RFC 1191 4); else zero
 *   8      n     echo data, or the start of the packet that the error is about
 */
#ifndef WILD_ICMP_H
#define WILD_ICMP_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "net/ip4.h"

enum {
    IP4_PROTOCOL_ICMP = 1,
    ICMP_HEADER_BYTES = 8,
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_ECHO_REQUEST = 8,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER_PROBLEM = 12,
    ICMP_UNREACHABLE_PORT = 3,
    ICMP_UNREACHABLE_FRAGMENTATION = 4,
    /* An echo is answered up to what an ordinary Ethernet carries; larger ones only serve floods. */
    ICMP_ECHO_BYTES_MAX = 1480,
    /* RFC 1812 4.3.2.3: as much of the original as fits 576 bytes */
    ICMP_ERROR_PACKET_BYTES_MAX = 576,
    /* RFC 1122 3.2.2: at least the IP header and 8 bytes */
    ICMP_QUOTE_BYTES_MIN = IP4_HEADER_BYTES + 8,
};

/* NET_ACCEPT if this ICMP message is an echo request that we answer, or the counter that names why not. */
unsigned icmp_echo_check(const uint8_t *message, size_t length);
/* Turns a checked request into its reply, in place. */
void icmp_echo_reply(uint8_t *message);

static inline bool icmp_is_error(uint8_t type)
{
    return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/* An error about a packet that this node is said to have sent. Nothing in it is proven but its checksum:
 * anybody can send one. */
struct icmp_error {
    rte_be32_t source, destination; /* of the quoted packet: source is this node */
    rte_be16_t source_port, destination_port;
    uint32_t seq; /* quoted TCP's, host order */
    uint16_t mtu; /* fragmentation needed; 0: a router older than RFC 1191 */
    uint8_t type, code, protocol;
};

/* NET_ACCEPT if the message is an error that quotes enough, or the counter that names why not. */
unsigned icmp_error_decode(struct icmp_error *out, const uint8_t *message, size_t length);

/*
 * How many bytes of a packet of `packet_bytes` a port unreachable about it quotes, so that the answer is no
 * larger than what it answers. 0: no answer is small enough.
 */
size_t icmp_unreachable_quote(size_t packet_bytes, size_t header_bytes);
/* Writes the message around a quote that stands already at message + ICMP_HEADER_BYTES. */
void icmp_unreachable_port(uint8_t *message, size_t quote_bytes);

#endif
