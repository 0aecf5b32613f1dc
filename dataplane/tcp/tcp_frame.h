/*
 * tcp_frame.h - what the core notes about a frame that it keeps, in the frame's private area: data sent and
 * not acknowledged, data received and not delivered.
 */
#ifndef WILD_TCP_FRAME_H
#define WILD_TCP_FRAME_H

#include <assert.h>
#include <stdint.h>

#include <rte_mbuf.h>

enum tcp_frame_mark {
    TCP_FRAME_SENT = 0x01,
    TCP_FRAME_SACKED = 0x02,
    TCP_FRAME_LOST = 0x04,          /* and not sent again since */
    TCP_FRAME_RETRANSMITTED = 0x08, /* at least once: no RTT sample without time stamps (Karn) */
    TCP_FRAME_FIN = 0x10,           /* received with FIN */
};

struct tcp_frame {
    struct tcp_frame *next;
    union {
        uint64_t sent_ns;           /* sent: last time */
        struct tcp_frame *run_last; /* out of order: in the first frame of a run, the last one of it */
    };
    uint32_t seq;    /* of its first payload byte */
    uint16_t offset; /* of that byte in the buffer: data_off may stand at headers */
    uint16_t length; /* payload */
    uint8_t marks;
    uint32_t run_change; /* out of order: in the first frame of a run, gap_changes at its last change */
};
static_assert(sizeof(struct tcp_frame) <= 32, "TCP_FRAME_PRIVATE_BYTES");

static inline struct tcp_frame *tcp_frame_of(struct rte_mbuf *mbuf)
{
    return rte_mbuf_to_priv(mbuf);
}

static inline struct rte_mbuf *tcp_frame_mbuf(struct tcp_frame *frame)
{
    return (struct rte_mbuf *)frame - 1;
}

static inline uint8_t *tcp_frame_bytes(struct tcp_frame *frame)
{
    return (uint8_t *)tcp_frame_mbuf(frame)->buf_addr + frame->offset;
}

static inline uint32_t tcp_frame_end(const struct tcp_frame *frame)
{
    return frame->seq + frame->length;
}

#endif
