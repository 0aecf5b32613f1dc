/*
 * frame.h - an Ethernet frame with an IPv4 UDP datagram in it, checksums included.
 *
 *   0   14  Ethernet: destination, source, 0x0800
 *   14  20  IPv4, no options, DF, TTL 64 (RFC 791)
 *   34  8   UDP (RFC 768)
 *   42  n   payload; the frame is padded with zeros to 60 bytes
 */
#ifndef WILD_PKTGEN_FRAME_H
#define WILD_PKTGEN_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol_limits.h"

enum {
    FRAME_ETHERNET_BYTES = 14,
    FRAME_IP_BYTES = 20,
    FRAME_UDP_BYTES = 8,
    FRAME_PAYLOAD_AT = FRAME_ETHERNET_BYTES + FRAME_IP_BYTES + FRAME_UDP_BYTES,
    FRAME_BYTES_MIN = 60, /* without the check sequence */
};
#define FRAME_BYTES_MAX ((int)FRAME_PAYLOAD_AT + (int)DATAGRAM_BYTES_MAX)

struct frame_address {
    uint8_t mac[6];
    uint8_t ip[4];
    uint16_t port; /* host order */
};

/* Headers around the payload that stands already at frame + FRAME_PAYLOAD_AT. Returns the frame's bytes. */
size_t frame_finish(uint8_t *frame, const struct frame_address *from, const struct frame_address *to,
                    uint16_t ip_id, size_t payload_length);

/* The reverse, for tests: false unless the frame is exactly such a one with good checksums. */
bool frame_open(const uint8_t *frame, size_t length, struct frame_address *from, struct frame_address *to,
                const uint8_t **payload, size_t *payload_length);

#endif
