/*
 * tcp_segment.h - one TCP segment: its header (RFC 9293 3.1) and options, read and written. The only TCP
 * option parser of the tree.
 *
 *   offset size  field                    offset size  field
 *   0      2     source port              12     1     data offset (4 bits, in words) | reserved
 *   2      2     destination port         13     1     CWR ECE URG ACK PSH RST SYN FIN
 *   4      4     sequence number          14     2     window
 *   8      4     acknowledgement number   16     2     checksum
 *                                         18     2     urgent pointer (ignored: RFC 6093)
 *   20     ...   options, to 4 * data offset
 *
 *   kind length  option            accepted if and only if
 *   0    1       end               whatever follows is ignored
 *   1    1       no operation
 *   2    4       MSS               on a SYN
 *   3    3       window scale      on a SYN; above 14 counts as 14 (RFC 7323 2.3)
 *   4    2       SACK permitted    on a SYN
 *   5    2 + 8n  SACK, n = 1..4    without SYN
 *   8    10      time stamps
 * Others are skipped by their length. A length below 2 or beyond the header ends the reading (of options, not
 * of the segment): what was read before counts. A known kind with another length is skipped.
 */
#ifndef WILD_TCP_SEGMENT_H
#define WILD_TCP_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "net/endpoint.h"
#include "tcp/tcp_limits.h"

static_assert(sizeof(struct rte_tcp_hdr) == 20 && offsetof(struct rte_tcp_hdr, tcp_flags) == 13, "layout");

enum tcp_flag {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};

/* As the layer below hands it over: the checksum has been verified, `path` leads back to the sender. */
struct tcp_arrival {
    struct rte_mbuf *frame; /* one segment; consumed with the arrival */
    uint8_t *header;        /* in the frame */
    uint16_t length;        /* header and payload */
    struct return_path path;
};

struct tcp_sack_block {
    uint32_t start, end; /* [start, end) */
};

struct tcp_options {
    uint16_t mss;         /* 0: none */
    uint8_t window_shift; /* if has_window_scale */
    uint8_t sack_blocks;
    bool has_window_scale, has_timestamps, sack_permitted;
    uint32_t ts_value, ts_echo;
    struct tcp_sack_block sack[TCP_SACK_BLOCKS_RECEIVED_MAX]; /* in the order received; not validated */
};

/* Decoded. Numbers in host order. payload points into the frame. */
struct tcp_segment {
    uint32_t seq, ack;
    uint16_t window; /* unscaled */
    uint16_t payload_bytes;
    uint8_t flags; /* enum tcp_flag */
    uint8_t header_bytes;
    uint8_t *payload;
    struct rte_mbuf *frame; /* NULL once somebody has taken it */
    struct tcp_options options;
};

/* Sequence space that it takes (RFC 9293 3.4): payload, SYN and FIN. */
static inline uint32_t tcp_segment_length(const struct tcp_segment *segment)
{
    return segment->payload_bytes + ((segment->flags & TCP_SYN) != 0) + ((segment->flags & TCP_FIN) != 0);
}

/* False: shorter than its header, or the data offset is wrong. Options are read by the next function. */
bool tcp_segment_decode(struct tcp_segment *out, const struct tcp_arrival *arrival);
void tcp_options_decode(struct tcp_options *out, const struct tcp_segment *segment, const uint8_t *header);

/* What an outgoing header says. */
struct tcp_header {
    uint32_t seq, ack;
    uint16_t window; /* as it stands in the header: scaled down already */
    uint8_t flags;
};

/*
 * Writes header and options so that they end at `end`; returns where they start. The checksum field is left
 * zero (whoever sends knows the addresses). Options are written in the order MSS, SACK permitted, time
 * stamps, window scale, SACK, padded with NOPs; SACK blocks that do not fit are left out.
 */
uint8_t *tcp_header_write(uint8_t *end, const struct flow *flow, const struct tcp_header *header,
                          const struct tcp_options *options);
/* Bytes that these options will take. */
unsigned tcp_options_bytes(const struct tcp_options *options);

#endif
