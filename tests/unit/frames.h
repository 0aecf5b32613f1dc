/*
 * frames.h - builds Ethernet frames byte by byte, with no code of the tree's own net/, so that what a test
 * sends and expects is a second opinion. Also a port that is two arrays.
 */
#ifndef WILD_TEST_FRAMES_H
#define WILD_TEST_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

#include "port.h"

enum { FRAME_ROOM = 2048, FRAME_UNTAGGED = -1 };

struct frame {
    uint8_t bytes[FRAME_ROOM];
    size_t length;
};

/* The usual conversation: fields that a test changes before it builds. */
struct frame_fields {
    uint8_t to[6], from[6];
    int vlan_tci;                 /* FRAME_UNTAGGED */
    uint32_t source, destination; /* host order */
    uint16_t source_port, destination_port;
    const uint8_t *options; /* IPv4 options, a multiple of 4 bytes */
    size_t options_bytes;
    bool no_udp_checksum;
};

static inline uint32_t frame_ip4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return a << 24 | b << 16 | c << 8 | d;
}

static inline void frame_put8(struct frame *frame, unsigned value)
{
    frame->bytes[frame->length++] = (uint8_t)value;
}

static inline void frame_put16(struct frame *frame, unsigned value)
{
    frame_put8(frame, value >> 8);
    frame_put8(frame, value & 255);
}

static inline void frame_put32(struct frame *frame, uint32_t value)
{
    frame_put16(frame, value >> 16);
    frame_put16(frame, value & 0xFFFF);
}

static inline void frame_put(struct frame *frame, const void *bytes, size_t length)
{
    if (length > 0)
        memcpy(frame->bytes + frame->length, bytes, length);
    frame->length += length;
}

static inline unsigned frame_get16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static inline uint32_t frame_get32(const uint8_t *bytes)
{
    return (uint32_t)frame_get16(bytes) << 16 | frame_get16(bytes + 2);
}

static inline void frame_set16(uint8_t *bytes, unsigned value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

/* RFC 1071's own example, the slow and plain way: big-endian words. */
static inline uint32_t frame_sum(uint32_t sum, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i + 1 < length; i += 2)
        sum += frame_get16(bytes + i);
    if (length & 1)
        sum += (uint32_t)bytes[length - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return sum;
}

static inline unsigned frame_checksum(uint32_t sum)
{
    return ~sum & 0xFFFF;
}

static inline uint32_t frame_udp_sum(const uint8_t *ip4, const uint8_t *udp, size_t length)
{
    uint32_t sum = frame_sum(17 + (uint32_t)length, ip4 + 12, 8);
    return frame_sum(sum, udp, length);
}

static inline void frame_ethernet(struct frame *frame, const struct frame_fields *fields, unsigned type)
{
    frame->length = 0;
    frame_put(frame, fields->to, 6);
    frame_put(frame, fields->from, 6);
    if (fields->vlan_tci != FRAME_UNTAGGED) {
        frame_put16(frame, 0x8100);
        frame_put16(frame, (unsigned)fields->vlan_tci);
    }
    frame_put16(frame, type);
}

/* Where the IPv4 header or ARP packet starts. */
static inline size_t frame_l3(const struct frame *frame)
{
    return frame_get16(frame->bytes + 12) == 0x8100 ? 18 : 14;
}

/* Recomputes the IPv4 header checksum after a test changed the header. */
static inline void frame_fix_ip4(struct frame *frame)
{
    uint8_t *ip4 = frame->bytes + frame_l3(frame);
    frame_set16(ip4 + 10, 0);
    frame_set16(ip4 + 10, frame_checksum(frame_sum(0, ip4, (ip4[0] & 15u) * 4)));
}

/* Recomputes the UDP checksum after a test changed the datagram. */
static inline void frame_fix_udp(struct frame *frame)
{
    uint8_t *ip4 = frame->bytes + frame_l3(frame), *udp = ip4 + (ip4[0] & 15u) * 4;
    frame_set16(udp + 6, 0);
    unsigned checksum = frame_checksum(frame_udp_sum(ip4, udp, frame_get16(udp + 4)));
    frame_set16(udp + 6, checksum ? checksum : 0xFFFF);
}

static inline void frame_ip4_header(struct frame *frame, const struct frame_fields *fields, unsigned protocol,
                                    size_t payload_bytes)
{
    frame_ethernet(frame, fields, 0x0800);
    frame_put8(frame, 0x40 | (unsigned)(5 + fields->options_bytes / 4));
    frame_put8(frame, 0);
    frame_put16(frame, (unsigned)(20 + fields->options_bytes + payload_bytes));
    frame_put16(frame, 0x1234);
    frame_put16(frame, 0x4000);
    frame_put8(frame, 61);
    frame_put8(frame, protocol);
    frame_put16(frame, 0);
    frame_put32(frame, fields->source);
    frame_put32(frame, fields->destination);
    frame_put(frame, fields->options, fields->options_bytes);
    frame_fix_ip4(frame);
}

static inline void frame_udp(struct frame *frame, const struct frame_fields *fields, const void *payload,
                             size_t length)
{
    frame_ip4_header(frame, fields, 17, 8 + length);
    frame_put16(frame, fields->source_port);
    frame_put16(frame, fields->destination_port);
    frame_put16(frame, (unsigned)(8 + length));
    frame_put16(frame, 0);
    frame_put(frame, payload, length);
    if (!fields->no_udp_checksum)
        frame_fix_udp(frame);
}

/* Recomputes the checksum of a TCP segment that fills the rest of the frame. */
static inline void frame_fix_tcp(struct frame *frame)
{
    uint8_t *ip4 = frame->bytes + frame_l3(frame), *tcp = ip4 + (ip4[0] & 15u) * 4;
    size_t length = (size_t)(frame->bytes + frame->length - tcp);
    frame_set16(tcp + 16, 0);
    uint32_t sum = frame_sum(6 + (uint32_t)length, ip4 + 12, 8);
    frame_set16(tcp + 16, frame_checksum(frame_sum(sum, tcp, length)));
}

struct frame_segment {
    uint32_t seq, ack;
    unsigned flags, window;
};

/* Without options. */
static inline void frame_tcp(struct frame *frame, const struct frame_fields *fields,
                             const struct frame_segment *segment, const void *payload, size_t length)
{
    frame_ip4_header(frame, fields, 6, 20 + length);
    frame_put16(frame, fields->source_port);
    frame_put16(frame, fields->destination_port);
    frame_put32(frame, segment->seq);
    frame_put32(frame, segment->ack);
    frame_put16(frame, 0x5000 | segment->flags);
    frame_put16(frame, segment->window);
    frame_put32(frame, 0);
    frame_put(frame, payload, length);
    frame_fix_tcp(frame);
}

static inline void frame_echo_request(struct frame *frame, const struct frame_fields *fields,
                                      const void *data, size_t length)
{
    frame_ip4_header(frame, fields, 1, 8 + length);
    uint8_t *icmp = frame->bytes + frame->length;
    frame_put16(frame, 0x0800);
    frame_put16(frame, 0);
    frame_put32(frame, 0xBEEF0001);
    frame_put(frame, data, length);
    frame_set16(icmp + 2, frame_checksum(frame_sum(0, icmp, 8 + length)));
}

/* The Ethernet addresses come from `fields`, the packet's own from the arguments. */
static inline void frame_arp(struct frame *frame, const struct frame_fields *fields, unsigned operation,
                             const uint8_t sender_mac[6], uint32_t sender, const uint8_t target_mac[6],
                             uint32_t target)
{
    frame_ethernet(frame, fields, 0x0806);
    frame_put16(frame, 1);
    frame_put16(frame, 0x0800);
    frame_put8(frame, 6);
    frame_put8(frame, 4);
    frame_put16(frame, operation);
    frame_put(frame, sender_mac, 6);
    frame_put32(frame, sender);
    frame_put(frame, target_mac, 6);
    frame_put32(frame, target);
}

/* ---- a port made of arrays ---- */

enum { FRAME_PORT_ROOM = 128 };

struct frame_port {
    struct rte_mbuf *in[FRAME_PORT_ROOM], *out[FRAME_PORT_ROOM];
    unsigned in_count, in_taken, out_count;
    unsigned out_room; /* frames that transmit still accepts */
};

static inline uint16_t frame_port_receive(void *state, struct rte_mbuf **frames, uint16_t room)
{
    struct frame_port *port = state;
    uint16_t count = 0;
    while (count < room && port->in_taken < port->in_count)
        frames[count++] = port->in[port->in_taken++];
    if (port->in_taken == port->in_count)
        port->in_taken = port->in_count = 0;
    return count;
}

static inline uint16_t frame_port_transmit(void *state, struct rte_mbuf **frames, uint16_t count)
{
    struct frame_port *port = state;
    uint16_t taken = 0;
    while (taken < count && port->out_count < port->out_room)
        port->out[port->out_count++] = frames[taken++];
    return taken;
}

static inline struct port_queue frame_port_queue(struct frame_port *port)
{
    port->out_room = FRAME_PORT_ROOM;
    return (struct port_queue){.state = port, .receive = frame_port_receive, .transmit = frame_port_transmit};
}

/* The frame as the port will deliver it; NULL when the pool or the port is full. */
static inline struct rte_mbuf *frame_port_push(struct frame_port *port, struct rte_mempool *pool,
                                               const uint8_t *bytes, size_t length)
{
    if (port->in_count == FRAME_PORT_ROOM)
        return NULL;
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    if (mbuf == NULL)
        return NULL;
    char *place = rte_pktmbuf_append(mbuf, (uint16_t)length);
    if (place == NULL) {
        rte_pktmbuf_free(mbuf);
        return NULL;
    }
    if (length > 0)
        memcpy(place, bytes, length);
    port->in[port->in_count++] = mbuf;
    return mbuf;
}

/* Frees what was sent. */
static inline void frame_port_clear(struct frame_port *port)
{
    for (unsigned i = 0; i < port->out_count; i++)
        rte_pktmbuf_free(port->out[i]);
    port->out_count = 0;
}

#endif
