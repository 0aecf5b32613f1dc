/*
 * worker_internal.h - what worker.c (hot) and worker_slow.c (cold) share. Nobody else includes it.
 */
#ifndef WILD_WORKER_INTERNAL_H
#define WILD_WORKER_INTERNAL_H

#include "net/tcp_ip4.h"
#include "net/token_bucket.h"
#include "net/udp.h"
#include "tcp/tcp.h"
#include "worker.h"

enum {
    /* One answer per received frame, or one burst of deferred answers. */
    WORKER_TX_FRAMES = 2 * PORT_BURST_MAX,
    /* How often a full transmit ring is offered the rest before it is dropped. */
    WORKER_TX_RETRIES_MAX = 16,
    WORKER_ECHO_PER_SECOND = 10000,
    WORKER_ECHO_BURST = 256,
    WORKER_UNREACHABLE_PER_SECOND = 100,
    WORKER_UNREACHABLE_BURST = 50,
    WORKER_ICMP_ERRORS_PER_SECOND = 1000,
    WORKER_ICMP_ERRORS_BURST = 100,
};

/* One port from this worker's side. */
struct worker_link {
    uint64_t mac_word; /* eth_mac_word() of `mac` */
    struct ip4_local ip4;
    uint8_t mac[6];
    bool rx_checksum_offload, tx_checksum_offload;
    bool rx_relayed, tx_relayed;
    uint16_t mtu;
    uint32_t plain_bytes_max; /* an untagged frame that the MTU allows */
    struct address address;
    struct port_queue queue;
    unsigned tx_count;
    struct rte_mbuf *tx[WORKER_TX_FRAMES];
    struct rte_ring *from_control, *to_streams;
};

struct worker;
struct worker_transmit_handle {
    struct worker *worker;
    unsigned link;
};

struct worker {
    _Alignas(64) struct udp_service service;
    struct counters *counters;
    rte_be16_t udp_port;
    uint16_t ip4_id; /* of the next packet */
    /* Bits of a segment's port that must be udp_port's for it to be plain: none where nothing is handed
     * over. */
    rte_be16_t own_port_mask;
    unsigned links;
    struct udp_datagram datagram[PORT_BURST_MAX];
    struct rte_mbuf *datagram_frame[PORT_BURST_MAX];
    struct tcp *tcp; /* NULL: every segment is dropped */
    struct tcp_arrival arrival[PORT_BURST_MAX];
    struct worker_link link[WORKER_PORTS_MAX];

    struct instant now; /* of this turn */
    unsigned deferred;  /* frames originated in this turn */
    struct token_bucket echo_limit, unreachable_limit, icmp_error_limit;
    struct rte_mempool *pool;
    struct rte_ring *to_control;
    const struct worker_handover *handover;
    /* ICMP errors come by any queue: each goes to every worker. Elements: struct tcp_icmp_error; many
     * producers, this worker consumes its own, NULL where it is the only one. */
    struct rte_ring *icmp_errors;
    unsigned workers;
    struct rte_ring *icmp_errors_of[PORT_WORKERS_MAX + 1];
    struct worker_transmit_handle transmit[WORKER_PORTS_MAX];
};

/* Takes the frame: it leaves with the next flush. */
void worker_send(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame);
void worker_flush(struct worker *worker, struct worker_link *link);
/* Frees the frame and counts why. */
void worker_drop(struct worker *worker, struct rte_mbuf *frame, unsigned reason);

/* Whose a frame turned out to be. */
enum frame_owner {
    FRAME_CONSUMED, /* answered, passed on or dropped */
    FRAME_DATAGRAM, /* the service's: the frame is the caller's until it is answered */
    FRAME_SEGMENT,  /* TCP's: it is in *arrival */
};
/*
 * Any frame that is neither a plain datagram for the service nor a plain segment (see the predicates in
 * worker.c). It may be one after all (tagged, with options, ...): then `datagram` or `arrival` is filled.
 */
enum frame_owner worker_slow_frame(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame,
                                   struct udp_datagram *datagram, struct tcp_arrival *arrival);
/* ---- worker_handover.c ---- */

/* Whether this segment, of which the ports are there at least, is the control lcore's, and of whom it
 * comes. */
enum worker_handover_rank worker_handover_of(const struct worker *worker, rte_be32_t source,
                                             const uint8_t *segment);
/* Takes the frame: handed over, or dropped and counted. */
void worker_hand_over(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame,
                      enum worker_handover_rank rank);

/* ---- worker_slow.c ---- */

/* What other workers received for connections that may be this one's. */
void worker_take_icmp_errors(struct worker *worker);

/* Gives a frame whose headers were rewritten in front of `start` its place, length and offload requests. */
static inline void frame_finish(struct rte_mbuf *frame, const uint8_t *start, uint32_t length,
                                uint64_t tx_flags, unsigned l2_bytes)
{
    frame->data_off = (uint16_t)(start - (const uint8_t *)frame->buf_addr);
    frame->data_len = (uint16_t)length;
    frame->pkt_len = length;
    /* the flags of reception end here; those that say who owns the buffer stay */
    frame->ol_flags = (frame->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) | tx_flags;
    frame->tx_offload = 0;
    frame->l2_len = l2_bytes;
    frame->l3_len = IP4_HEADER_BYTES;
}

/* Headers around a payload that stands in the frame's buffer; then the frame is ready to go. */
static inline void frame_finish_datagram(struct worker *worker, const struct worker_link *link,
                                         struct rte_mbuf *frame, uint8_t *payload, uint16_t payload_bytes,
                                         const struct return_path *path)
{
    bool offload = link->tx_checksum_offload;
    uint8_t *start =
        udp_ip4_headers_write(payload, payload_bytes, path, link->mac, worker->ip4_id++, offload);
    frame_finish(frame, start, (uint32_t)(payload + payload_bytes - start),
                 offload ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM : 0,
                 eth_header_bytes(path->vlan_tci));
}

/* Bytes that a UDP payload starting at `payload` may take in this frame. */
static inline uint16_t frame_payload_room(const struct worker_link *link, const struct rte_mbuf *frame,
                                          const uint8_t *payload)
{
    size_t buffer = (size_t)((const uint8_t *)frame->buf_addr + frame->buf_len - payload);
    size_t wire = link->mtu - UDP_IP4_HEADERS_BYTES;
    return (uint16_t)(buffer < wire ? buffer : wire);
}

#endif
