/*
 * tcp_internal.h - one lcore's TCP, and what its files ask of each other. Nobody else includes it.
 *
 *   tcp.c            life, listeners, tcp_turn, deferred events
 *   tcp_input.c      a burst's segments to their connections; the fast path: established, in order
 *   tcp_slow_path.c  every other segment (RFC 9293 3.10.7), state by state
 *   tcp_open.c       SYN and SYN+ACK, in LISTEN and SYN_SENT: how connections begin
 *   tcp_connect.c    active opens: ports
 *   tcp_cookie.c     SYN cookies: passive opens without state; initial sequence numbers
 *   tcp_sources.c    how many connections each source has
 *   tcp_close.c      FIN, RST, TIME-WAIT: how they end
 *   tcp_stream.c     stream.h's functions and the delivery of events
 *   tcp_output.c     what may leave, leaves: data, acknowledgements, probes, resets
 *   tcp_recovery.c   what an acknowledgement means, and a time-out; with tcp_rack.c, tcp_tail_probe.c,
 *                    tcp_scoreboard.c (SACK, the send queue) and tcp_congestion.c by tcp_recovery.h
 *   tcp_reassembly.c out-of-order segments
 *   tcp_path.c       path MTU and ICMP
 *   tcp_demux.c tcp_timers.c tcp_segment.c tcp_time_wait.c   structures and codecs, which know no other
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
#include "tcp/tcp_sources.h"
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
    bool listening;
    struct tcp_sources sources;
    struct siphash_key isn_key, cookie_key, port_key;
    uint64_t cookies_until_ns; /* 0: none is out */
    uint32_t port_counter;
    bool ending; /* tcp_destroy() */
};

/* Demultiplexer numbers: connections, then TIME-WAIT records. */
static inline uint32_t tcp_number(const struct tcp *tcp, const struct tcp_connection *c)
{
    return (uint32_t)(c - tcp->connections);
}

static inline uint32_t tcp_time_wait_number(const struct tcp *tcp, uint32_t record)
{
    return tcp->config.connections_max + record;
}

static inline bool tcp_flow_equal(const struct flow *a, const struct flow *b)
{
    static_assert(sizeof(struct flow) == 36, "no padding: compared and hashed as bytes");
    return memcmp(a, b, sizeof *a) == 0;
}

static inline unsigned tcp_ip_header_bytes(const struct flow *flow)
{
    return address_is_ip4(&flow->peer) ? 20 : 40;
}

/* The MSS option of our SYNs (RFC 6691): what a segment without options may carry. */
static inline uint16_t tcp_mss_offered(const struct flow *flow, uint16_t mtu)
{
    return (uint16_t)(mtu - tcp_ip_header_bytes(flow) - TCP_HEADER_BYTES);
}

/* Numbers before our SYN leaves; irs as far as it is known. */
static inline void tcp_connection_begin(struct tcp_connection *c, uint32_t iss, uint32_t irs)
{
    c->iss = c->snd_una = c->snd_nxt = iss;
    c->snd_end = iss + 1;
    c->irs = irs;
    c->rcv_nxt = c->rcv_adv = irs + 1;
}

/* SYN_SENT: whether its SYN has left, or the station is yet to be found. */
static inline bool tcp_syn_left(const struct tcp_connection *c)
{
    return c->snd_nxt != c->iss;
}

/* The connection or TIME-WAIT record of this flow, as a demultiplexer number, or TCP_DEMUX_NONE. */
static inline uint32_t tcp_find(const struct tcp *tcp, const struct flow *flow, uint32_t hash)
{
    for (uint32_t at = 0;;) {
        uint32_t number = tcp_demux_find(&tcp->demux, hash, &at);
        if (number == TCP_DEMUX_NONE)
            return number;
        const struct flow *owner =
            number < tcp->config.connections_max
                ? &tcp->connections[number].stream.flow
                : &tcp->time_waits.record[number - tcp->config.connections_max].path.flow;
        if (tcp_flow_equal(owner, flow))
            return number;
    }
}

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
 * Accounts. A frame enters the send queue in tcp_stream.c (commit) and leaves it by tcp_sent_free(), a
 * received one is kept by tcp_received_keep() and leaves by tcp_received_free().
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

/* Frames for sending are short, and this connection holds many: what peers ask for and do not read must not
 * take them from all others. */
static inline bool tcp_hogs_frames(const struct tcp *tcp, const struct tcp_connection *c)
{
    unsigned max = tcp->config.send_frames_max;
    return c->send_frames >= TCP_HOG_FRAMES && tcp->send_frames >= max - max / 8;
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

/* ---- tcp.c ---- */

/* The last act of every call: what is dirty leaves, `closed` is told, connections that ended are freed. */
void tcp_finish(struct tcp *tcp);
/* NULL: nobody listens there. Local port as it stands in the flow. */
const struct tcp_listener *tcp_listener_at(const struct tcp *tcp, rte_be16_t local_port);
/* Half-open connections and frames are plenty; few: SYNs get cookies; none: they get nothing. */
enum tcp_memory { TCP_MEMORY_PLENTY, TCP_MEMORY_FEW, TCP_MEMORY_NONE };
enum tcp_memory tcp_memory(const struct tcp *tcp);

/* ---- tcp_slow_path.c, tcp_open.c, tcp_close.c ---- */

/* A connection's segment that the fast path does not take. `arrival` says who sent it. */
void tcp_slow_path(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment,
                   const struct tcp_arrival *arrival);
/* A segment that no connection and no TIME-WAIT owns: a SYN, the ACK of a cookie, or answered by RST. */
void tcp_segment_of_none(struct tcp *tcp, struct tcp_segment *segment, const struct tcp_arrival *arrival);

struct tcp_connection *tcp_connection_new(struct tcp *tcp, const struct return_path *path); /* or NULL */
/* SYN_SENT's segments: RFC 9293 3.10.7.3. False: nothing is left of it for an established connection. */
bool tcp_syn_sent(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment,
                  const struct tcp_arrival *arrival);
/* A SYN to a listener. iss_after: the last number that the flow's last incarnation used, or NULL. */
void tcp_listen_syn(struct tcp *tcp, const struct tcp_segment *segment, const struct tcp_arrival *arrival,
                    const uint32_t *iss_after);
uint8_t tcp_window_shift(const struct tcp *tcp); /* that our receive buffer wants */
/* The connection has ended: no segment finds it any more; `closed` is told when events are over. */
void tcp_connection_end(struct tcp *tcp, struct tcp_connection *c, enum stream_end end);
/* RST to the peer (RFC 9293 3.10.5), then as above. */
void tcp_connection_abort(struct tcp *tcp, struct tcp_connection *c, enum stream_end end);
/* What the peer's options and this path allow: mss, scales, SACK, time stamps. */
void tcp_negotiate(struct tcp *tcp, struct tcp_connection *c, const struct tcp_options *options);
/* ESTABLISHED: tells acceptor or opener. False: nobody wants it, it was aborted. */
bool tcp_established(struct tcp *tcp, struct tcp_connection *c);
/* The peer's FIN is at rcv_nxt: acknowledged, state moves on, `ended` is told once all before it is
 * delivered. */
void tcp_fin_received(struct tcp *tcp, struct tcp_connection *c);
/* Our FIN has been acknowledged. False: nothing more can come for this connection. */
bool tcp_fin_acknowledged(struct tcp *tcp, struct tcp_connection *c);
/* The user sends no more (RFC 9293 3.10.4). */
void tcp_close(struct tcp *tcp, struct tcp_connection *c);
/* The network side is over, in order; the connection ends once all is delivered. */
void tcp_connection_detach(struct tcp *tcp, struct tcp_connection *c);
void tcp_idle_timeout(struct tcp *tcp, struct tcp_connection *c); /* TCP_TIMER_IDLE */
/* RFC 9293 3.10.7.4 for TIME-WAIT; `number` of the demultiplexer. */
void tcp_time_wait_segment(struct tcp *tcp, uint32_t number, struct tcp_segment *segment,
                           const struct tcp_arrival *arrival);
void tcp_time_wait_end(struct tcp *tcp, uint32_t record);

/* ---- tcp_cookie.c ---- */

/* RFC 6528: a keyed hash of the flow and a clock. *ts_offset: RFC 7323 7.1, from the same hash. */
uint32_t tcp_initial_sequence(const struct tcp *tcp, const struct flow *flow, uint32_t *ts_offset);
void tcp_cookie_send(struct tcp *tcp, const struct tcp_segment *segment, const struct tcp_arrival *arrival);
/* The ACK of a cookie: a connection in SYN_RECEIVED that this segment completes. *ours: it is a cookie. */
struct tcp_connection *tcp_cookie_accept(struct tcp *tcp, const struct tcp_segment *segment,
                                         const struct tcp_arrival *arrival, bool *ours);

/* ---- tcp_stream.c ---- */

extern const struct stream_functions tcp_stream_functions;
/*
 * In-order payload at rcv_nxt, trimmed to the window: given to the user or held; rcv_nxt moves. Takes the
 * frame if it has to be held (segment->frame = NULL then), else the caller frees it.
 */
void tcp_deliver(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment);
/* What was held, then what became in order behind it; then `ended` if FIN is due. */
void tcp_deliver_held(struct tcp *tcp, struct tcp_connection *c);
/* What has become in order behind a segment that filled a gap, FIN included. */
void tcp_deliver_gaps(struct tcp *tcp, struct tcp_connection *c);
/* Bytes to offer now, a multiple of the scale's unit; never less than what is offered already. */
uint32_t tcp_receive_window(const struct tcp *tcp, const struct tcp_connection *c);
/* There is room again: STARVED users are told. False: the connection has ended meanwhile. */
bool tcp_tell_writable(struct tcp *tcp, struct tcp_connection *c);
/* reserve() found no frame a while ago: is there one now? */
void tcp_starved_timeout(struct tcp *tcp, struct tcp_connection *c);
/* All frames that the connection keeps go back. */
void tcp_frames_drop(struct tcp *tcp, struct tcp_connection *c);

/* ---- tcp_reassembly.c ---- */

/* Out of order, inside the window: kept (segment->frame = NULL), merged, or dropped and counted. */
void tcp_gap_store(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment);
/* The next frame whose first new byte (or FIN, of a frame with no payload left) is at rcv_nxt, trimmed to it,
 * or NULL; the caller has it then: gaps and gaps_cost no longer count it, receive_frames does. */
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
 * (duplicate). Frees what is acknowledged, marks what is sacked, samples RTT, finds losses, moves the window,
 * arms timers.
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
 * Every segment with ACK that leaves: window = tcp_receive_window() (scaled but in a SYN), rcv_adv follows
 * it, last_ack_sent = rcv_nxt, ACK_NOW, ACK_DELAYED, acks_owed and TCP_TIMER_ACK are cleared. tcp.c calls
 * tcp_output_connection in states from SYN_RECEIVED on and arms TCP_TIMER_ACK when an acknowledgement is
 * still delayed after it. A frame may be longer than mss (path MTU fell; a peer's MSS below
 * STREAM_RESERVE_MAX): then it goes in pieces.
 */
/* Everything that may leave now: lost data, new data, FIN, and an acknowledgement if one is owed still. */
void tcp_output_connection(struct tcp *tcp, struct tcp_connection *c);
void tcp_send_ack(struct tcp *tcp, struct tcp_connection *c);
/* RFC 5961: at most TCP_CHALLENGE_ACKS_PER_SECOND. */
void tcp_send_challenge(struct tcp *tcp, struct tcp_connection *c);
/* SYN or SYN+ACK, as the state wants, with the options that SCALE (rcv_shift), SACK and TIMESTAMPS say. Sets
 * snd_nxt = iss + 1, arms its timer. */
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
/* A time-out: is it that full segments do not pass (RFC 1191 8, RFC 4821)? Then they are small ones until
 * something new was acknowledged, and for a while. */
void tcp_path_suspect(struct tcp *tcp, struct tcp_connection *c);
/* With recovery.path_doubts: this frame has arrived; if it is of the size in doubt, it was an outage. */
void tcp_path_arrived(struct tcp *tcp, struct tcp_connection *c, const struct tcp_frame *frame);
void tcp_path_raise(struct tcp *tcp, struct tcp_connection *c); /* if it was lowered long enough ago */

#endif
