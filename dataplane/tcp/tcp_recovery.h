/*
 * tcp_recovery.h - what the files of loss recovery ask of each other; of the others, what decides what leaves
 * (tcp_output.c) and how large (tcp_path.c).
 *
 *   tcp_recovery.c    an acknowledgement, a time-out: what they mean, and which phase follows; RTO (RFC 6298)
 *   tcp_scoreboard.c  the send queue: what has arrived, what has not (RFC 2018, RFC 6675), pieces
 *   tcp_rack.c        losses by time (RFC 8985 6)
 *   tcp_tail_probe.c  losses at the end of a flight (RFC 8985 7)
 *   tcp_congestion.c  the congestion window (RFC 5681, 3465, 6928, 6937)
 *
 *                losses found                 snd_una >= recover
 *   OPEN ---------------------> RECOVERY ----------------------------> OPEN
 *    |  ^                          ^  |
 *    |  | all arrived in order     |  | RTO
 *    v  |         losses found     |  v            snd_una >= recover
 *   DISORDER ----------------------+ LOSS ---------------------------> OPEN    (LOSS: from any phase, by RTO)
 *
 *   OPEN      nothing is known to have been overtaken: sacked_bytes = assumed_bytes = 0
 *   DISORDER  something has arrived out of order, or a duplicate ACK has; nothing is deemed lost
 *   RECOVERY  the congestion window has been reduced once for the losses below `recover`
 *   LOSS      a time-out; slow start from one segment until all that was out then has arrived
 *
 * A frame in flight is at each moment one of: on its way, SACKED, or LOST (and not sent again since). So
 * what the network holds (RFC 6675 4: pipe) = flight - sacked_bytes - lost_bytes. Without SACK no frame is
 * marked SACKED, and assumed_bytes, one segment for each duplicate ACK, stand in for sacked_bytes.
 */
#ifndef WILD_TCP_RECOVERY_H
#define WILD_TCP_RECOVERY_H

#include "tcp/tcp_internal.h"

enum tcp_recovery_mark {
    TCP_RECOVERY_PROBED = 0x01,          /* a tail probe is out: tlp_end */
    TCP_RECOVERY_PROBED_AGAIN = 0x02,    /* ... and it was data that had been sent before */
    TCP_RECOVERY_REORDERING_SEEN = 0x04, /* RFC 8985 6.2, step 3 */
    TCP_RECOVERY_DSACK_ROUND = 0x08,     /* dsack_round is set */
    TCP_RECOVERY_RACK = 0x10,            /* something has arrived: rack_* are set */
    TCP_RECOVERY_FIN_LOST = 0x20,        /* FIN is to be sent again */
    TCP_RECOVERY_BACKED_OFF = 0x40,      /* rto_ns is: no round trip was measured since a time-out */
};

/* What one acknowledgement told. */
struct tcp_news {
    const struct tcp_segment *segment;
    uint32_t una;       /* snd_una before it */
    uint32_t acked;     /* bytes by the cumulative number */
    uint32_t delivered; /* bytes now known to have arrived that were not before (RFC 6937 DeliveredData) */
    uint64_t first_sent_ns; /* of the oldest newly acknowledged frame that was never sent again; 0: none */
    uint64_t sent_again_ns; /* last time, of those that were; 0: none */
    bool dsack;             /* the first SACK block reports a duplicate (RFC 2883) */
    uint32_t dsack_end;
};

static inline uint32_t tcp_flight(const struct tcp_connection *c)
{
    return c->snd_nxt - c->snd_una;
}

static inline uint32_t tcp_pipe(const struct tcp_connection *c)
{
    const struct tcp_recovery *r = &c->recovery;
    uint32_t gone = r->sacked_bytes + r->assumed_bytes + r->lost_bytes, flight = tcp_flight(c);
    return gone < flight ? flight - gone : 0;
}

static inline bool tcp_fin_sent(const struct tcp_connection *c)
{
    return c->snd_nxt == c->snd_end + 1;
}

/* ---- tcp_recovery.c ---- */

/* What the retransmit timer stands for next. restart: RTO begins anew; fresh: so does the tail probe's time;
 * reordering_ns: RACK looks again then (0: no need). */
void tcp_recovery_timer(struct tcp *tcp, struct tcp_connection *c, bool restart, bool fresh,
                        uint64_t reordering_ns);

/* ---- tcp_scoreboard.c ---- */

/* segment->ack is new: frees what it covers, moves snd_una. */
void tcp_scoreboard_acknowledge(struct tcp *tcp, struct tcp_connection *c, struct tcp_news *news);
void tcp_scoreboard_sack(struct tcp *tcp, struct tcp_connection *c, struct tcp_news *news);
void tcp_scoreboard_forget_sack(struct tcp_connection *c);
void tcp_scoreboard_mark_lost(struct tcp_connection *c, struct tcp_frame *frame);
/* `frame` keeps its first `at` bytes, a new frame behind it has the rest. False: there is no frame. */
bool tcp_scoreboard_split(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame, uint16_t at);
struct tcp_frame *tcp_scoreboard_last_sent(const struct tcp_connection *c); /* or NULL */

/* ---- tcp_rack.c ---- */

void tcp_rack_arrived(struct tcp *tcp, struct tcp_connection *c, const struct tcp_frame *frame,
                      const struct tcp_news *news);
void tcp_rack_dsack(struct tcp_connection *c, const struct tcp_news *news);
void tcp_rack_recovery_over(struct tcp_connection *c);
/* Marks losses; returns after how many ns it may find more, 0: none. */
uint64_t tcp_rack_detect(struct tcp *tcp, struct tcp_connection *c);
void tcp_rack_detect_at_timeout(struct tcp *tcp, struct tcp_connection *c);

/* ---- tcp_tail_probe.c ---- */

uint64_t tcp_tail_probe_delay(const struct tcp_connection *c); /* 0: no probe is due in this situation */
void tcp_tail_probe_send(struct tcp *tcp, struct tcp_connection *c);
/* True: the probe repaired a loss, for which the window is to be reduced (RFC 8985 7.4). */
bool tcp_tail_probe_acknowledged(struct tcp_connection *c, const struct tcp_news *news);

/* ---- tcp_congestion.c ---- */

void tcp_congestion_start(struct tcp_connection *c, bool syn_was_lost);
void tcp_congestion_grow(struct tcp_connection *c, const struct tcp_news *news);
/* RECOVERY begins, proceeds with each ACK, ends. */
void tcp_congestion_reduce(struct tcp_connection *c);
void tcp_congestion_proportional(struct tcp_connection *c, uint32_t delivered, bool first);
void tcp_congestion_recovered(struct tcp_connection *c);
void tcp_congestion_timeout(struct tcp_connection *c, bool first);

#endif
