/*
 * tcp_internal.h - one lcore's TCP, and what its files ask of each other. Nobody else includes it.
 *
 *   tcp.c            life, listeners, tcp_turn, deferred events
 *   tcp_input.c      a burst's segments to their connections; the fast path: established, in order, nothing odd
 *   tcp_slow_path.c  every other segment (RFC 9293 3.10.7), state by state
 *   tcp_open.c       SYN, SYN+ACK, cookies, ISN, ports: how connections begin
 *   tcp_close.c      FIN, RST, TIME-WAIT: how they end
 *   tcp_stream.c     stream.h's functions and the delivery of events
 *   tcp_output.c     what may leave, leaves: data, acknowledgements, probes, resets
 *   tcp_recovery.c   RTO, RACK-TLP, SACK scoreboard, congestion window
 *   tcp_reassembly.c out-of-order segments
 *   tcp_path.c       path MTU and ICMP
 *   tcp_demux.c tcp_timers.c tcp_segment.c tcp_time_wait.c   structures and codecs that know nothing of the rest
 */
#ifndef WILD_TCP_INTERNAL_H
#define WILD_TCP_INTERNAL_H

#include <string.h>

#include <rte_common.h>

#include "siphash13.h"
#include "tcp/tcp.h"
#include "tcp/tcp_connection.h"
#include "tcp/tcp_demux.h"
#include "tcp/tcp_sequence.h"
#include "tcp/tcp_time_wait.h"

struct tcp_listener {
    uint16_t port; /* host order */
    struct stream_acceptor acceptor;
};

struct tcp {
    struct tcp_config config;
    struct instant now; /* of the call that is under way */
    struct tcp_connection *connections;
    struct tcp_connection *free;  /* by dirty_next */
    struct tcp_connection *dirty; /* something may have to be sent when this call ends */
    struct tcp_connection *dead;  /* TCP_MARK_CLOSING: `closed` to be told, then freed */
    struct tcp_demux demux;
    struct tcp_timers timers;
    struct tcp_time_waits time_waits;
    struct tcp_listener listener[TCP_LISTENERS_MAX];
    unsigned listeners, connections_used, half_open, send_frames, receive_frames;
    unsigned segments_sent; /* in this call */
    bool listening, in_event;
    struct siphash_key isn_key, cookie_key, port_key, source_key;
    uint32_t port_counter;
};

static inline struct tcp_connection *tcp_connection_of(struct stream *stream)
{
    return (struct tcp_connection *)stream;
}

static inline uint32_t tcp_timestamp(const struct tcp *tcp, const struct tcp_connection *c)
{
    return (uint32_t)(tcp->now.mono_ns / TCP_MS) + c->ts_offset; /* RFC 7323 5.4: a tick of 1 ms */
}

static inline struct return_path tcp_path_back(const struct tcp_connection *c)
{
    struct return_path path = {.flow = c->stream.flow, .vlan_tci = c->vlan_tci};
    memcpy(path.peer_mac, c->peer_mac, sizeof path.peer_mac);
    return path;
}

/*
 * Accounts. A frame enters the send queue in tcp_stream.c (commit) and leaves it by tcp_sent_free(), a received one
 * is kept by tcp_received_keep() and leaves by tcp_received_free().
 */
static inline void tcp_sent_free(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame)
{
    tcp->send_frames--;
    c->send_frames--;
    c->send_bytes -= frame->length;
    rte_pktmbuf_free(tcp_frame_mbuf(frame));
}

/* Room for one more is checked before: receive_frames < config.receive_frames_max. Links nothing. */
static inline struct tcp_frame *tcp_received_keep(struct tcp *tcp, struct tcp_segment *segment)
{
    struct tcp_frame *frame = tcp_frame_of(segment->frame);
    *frame = (struct tcp_frame){
        .seq = segment->seq,
        .offset = (uint16_t)(segment->payload - (const uint8_t *)segment->frame->buf_addr),
        .length = segment->payload_bytes,
        .marks = segment->flags & TCP_FIN ? TCP_FRAME_FIN : 0,
    };
    segment->frame = NULL;
    tcp->receive_frames++;
    return frame;
}

static inline void tcp_received_free(struct tcp *tcp, struct tcp_frame *frame)
{
    tcp->receive_frames--;
    rte_pktmbuf_free(tcp_frame_mbuf(frame));
}

static inline void tcp_count(const struct tcp *tcp, enum counter which)
{
    counter_add(tcp->config.counters, which, 1);
}

/* At its earliest deadline the wheel calls; setting one later than that is a store. */
static inline void tcp_arm(struct tcp *tcp, struct tcp_connection *c, enum tcp_timer which, uint64_t at_ns)
{
    c->timer_at[which] = at_ns;
    if (at_ns != 0 && at_ns < c->timer.at_ns)
        tcp_timers_arm(&tcp->timers, &c->timer, at_ns);
}

/* It will be looked at when this call ends: tcp_output_connection(). */
static inline void tcp_dirty(struct tcp *tcp, struct tcp_connection *c)
{
    if (!(c->marks & TCP_MARK_DIRTY)) {
        c->marks |= TCP_MARK_DIRTY;
        c->dirty_next = tcp->dirty;
        tcp->dirty = c;
    }
}

/* ---- tcp_slow_path.c, tcp_open.c, tcp_close.c ---- */

/* A connection's segment that the fast path does not take. `arrival` says who sent it. */
void tcp_slow_path(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment,
                   const struct tcp_arrival *arrival);
/* A segment that no connection and no TIME-WAIT owns: a SYN, the ACK of a cookie, or answered by RST. */
void tcp_segment_of_none(struct tcp *tcp, struct tcp_segment *segment, const struct tcp_arrival *arrival);

struct tcp_connection *tcp_connection_new(struct tcp *tcp, const struct return_path *path); /* or NULL */
/* The connection has ended: no segment finds it any more; `closed` is told when events are over. */
void tcp_connection_end(struct tcp *tcp, struct tcp_connection *c, enum stream_end end);
/* RST to the peer (RFC 9293 3.10.5), then as above. */
void tcp_connection_abort(struct tcp *tcp, struct tcp_connection *c, enum stream_end end);
/* What the peer's options and this path allow: mss, scales, SACK, time stamps. */
void tcp_negotiate(struct tcp *tcp, struct tcp_connection *c, const struct tcp_options *options);
/* ESTABLISHED: tells acceptor or opener. False: nobody wants it, it was aborted. */
bool tcp_established(struct tcp *tcp, struct tcp_connection *c);
/* The peer's FIN is at rcv_nxt: acknowledged, state moves on, `ended` is told once all before it is delivered. */
void tcp_fin_received(struct tcp *tcp, struct tcp_connection *c);

/* ---- tcp_stream.c ---- */

extern const struct stream_functions tcp_stream_functions;
/*
 * In-order payload at rcv_nxt, trimmed to the window: given to the user or held; rcv_nxt moves. Takes the
 * frame if it has to be held (segment->frame = NULL then), else the caller frees it.
 */
void tcp_deliver(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment);
/* What was held, then what became in order behind it; then `ended` if FIN is due. */
void tcp_deliver_held(struct tcp *tcp, struct tcp_connection *c);
uint32_t tcp_receive_window(const struct tcp *tcp, const struct tcp_connection *c); /* bytes to offer now */

/* ---- tcp_reassembly.c ---- */

/* Out of order, inside the window: kept (segment->frame = NULL), merged, or dropped and counted. */
void tcp_gap_store(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment);
/* The next frame whose first new byte (or FIN, of a frame with no payload left) is at rcv_nxt, trimmed to it, or
 * NULL; the caller has it then: gaps and gaps_cost no longer count it, receive_frames does. */
struct tcp_frame *tcp_gap_next(struct tcp *tcp, struct tcp_connection *c);
/* Blocks for a SACK option, the most recently changed first (RFC 2018 4). Returns how many. */
unsigned tcp_gap_blocks(const struct tcp_connection *c, struct tcp_sack_block *blocks, unsigned room);
void tcp_gaps_drop(struct tcp *tcp, struct tcp_connection *c);

/* ---- tcp_recovery.c ---- */

enum tcp_recovery_phase { TCP_OPEN = 0, TCP_DISORDER, TCP_RECOVERY, TCP_LOSS };
enum tcp_retransmit_kind { TCP_RETRANSMIT_RTO = 0, TCP_RETRANSMIT_PROBE, TCP_RETRANSMIT_REORDERING };

void tcp_recovery_start(struct tcp *tcp, struct tcp_connection *c); /* established: initial window, RTO */
/*
 * An acceptable ACK (snd_una < ack <= snd_nxt), or one that repeats snd_una with news (SACK) or without
 * (duplicate). Frees what is acknowledged, marks what is sacked, samples RTT, finds losses, moves the window, arms timers.
 */
void tcp_recovery_ack(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment,
                      bool duplicate);
/* The fast path's part of it: all of this ACK is new, no SACK, phase TCP_OPEN. */
void tcp_recovery_ack_plain(struct tcp *tcp, struct tcp_connection *c, const struct tcp_segment *segment);
void tcp_recovery_sent(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame); /* arms timers */
/* The retransmit timer fired: RTO, probe or reordering window. Ends the connection after R2. */
void tcp_recovery_timeout(struct tcp *tcp, struct tcp_connection *c);
/* The next frame to send again, or NULL; and how many bytes the congestion window lets out now. */
struct tcp_frame *tcp_recovery_next_lost(struct tcp_connection *c);
uint32_t tcp_recovery_allowance(const struct tcp_connection *c);
/* After an idle time: RFC 5681 4.1. */
void tcp_recovery_idle(struct tcp *tcp, struct tcp_connection *c);
/* SYN, SYN+ACK, FIN without data: their own back-off, by the same timer. */
void tcp_recovery_arm_control(struct tcp *tcp, struct tcp_connection *c);

/* ---- tcp_output.c ---- */

/*
 * Every segment with ACK that leaves: window = tcp_receive_window() (scaled but in a SYN), rcv_adv follows it,
 * last_ack_sent = rcv_nxt, ACK_NOW, ACK_DELAYED, acks_owed and TCP_TIMER_ACK are cleared. tcp.c calls tcp_output_connection
 * in states from ESTABLISHED on and arms TCP_TIMER_ACK when an acknowledgement is still delayed after it.
 * A frame may be longer than mss (path MTU fell; a peer's MSS below STREAM_RESERVE_MAX): then it goes in pieces.
 */
/* Everything that may leave now: lost data, new data, FIN, and an acknowledgement if one is owed still. */
void tcp_output_connection(struct tcp *tcp, struct tcp_connection *c);
void tcp_send_ack(struct tcp *tcp, struct tcp_connection *c);
/* RFC 5961: at most TCP_CHALLENGE_ACKS_PER_SECOND. */
void tcp_send_challenge(struct tcp *tcp, struct tcp_connection *c);
/* SYN or SYN+ACK, as the state wants, with the options that SCALE (rcv_shift), SACK and TIMESTAMPS say. Sets snd_nxt
 * = iss + 1, arms its timer. */
void tcp_send_syn(struct tcp *tcp, struct tcp_connection *c);
void tcp_send_probe(struct tcp *tcp,
                    struct tcp_connection *c); /* window or keepalive: one byte before snd_una */
bool tcp_send_frame(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame); /* first or again */
void tcp_persist_timeout(struct tcp *tcp, struct tcp_connection *c);
/* Without a connection: RST, or SYN+ACK with a cookie; answers `arrival`. */
void tcp_send_reset(struct tcp *tcp, const struct tcp_segment *segment, const struct tcp_arrival *arrival);
void tcp_send_segment(struct tcp *tcp, const struct return_path *path, const struct tcp_header *header,
                      const struct tcp_options *options);

/* ---- tcp_path.c ---- */

void tcp_path_start(struct tcp *tcp, struct tcp_connection *c);
void tcp_path_set_mss(struct tcp *tcp, struct tcp_connection *c); /* from path_mtu, peer_mss and options */
/* Repeated time-outs of full segments: RFC 1191 8 / RFC 4821's lesson. */
void tcp_path_suspect(struct tcp *tcp, struct tcp_connection *c);

#endif
