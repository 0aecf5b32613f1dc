/*
 * tcp_connection.h - the state of one connection, for the files of tcp/ alone.
 *
 *                   tcp_connect                      SYN (listening)
 *        CLOSED ------------------> SYN_SENT    --------------------> SYN_RECEIVED  (or a cookie: no state)
 *           ^                          | SYN+ACK                           | ACK
 *           |                          |  (SYN: -> SYN_RECEIVED)           v
 *           |                          +-----------------------------> ESTABLISHED
 *           |                                             close |            | FIN
 *           |                                                   v            v
 *           |                          FIN_WAIT_1 <-------------+      CLOSE_WAIT
 *           |                     ACK of FIN |   \ FIN                       | close
 *           |                                v    v                          v
 *           |                         FIN_WAIT_2  CLOSING                 LAST_ACK
 *           |                            FIN \     / ACK of FIN              | ACK of FIN
 *           |                                 v   v                          |
 *           +----------------------------- TIME_WAIT (time_wait.h)           |
 *           +----------------------------------------------------------------+
 *
 * Invariants, in every state from ESTABLISHED on unless it says otherwise:
 *   snd_una <= snd_nxt <= end of the send queue (+ 1 when FIN is queued)       RFC 9293 3.4
 *   frames [snd_una, snd_nxt) are in the queue and were sent; the rest was not
 *   rcv_nxt <= rcv_adv; what the peer may send ends at rcv_adv, which never moves left (RFC 9293 3.8.6)
 *   the retransmit timer runs if and only if something is in flight, the persist timer if and only if nothing
 *   is in flight, something is to be sent and the window does not let it
 *   SYN_SENT, SYN_RECEIVED   snd_nxt = iss + 1, nothing in the queue is sent
 *   SYN_SENT, no station yet snd_nxt = iss, no timer but the user's
 *   CLOSING, LAST_ACK, FIN_WAIT_*   the stream's user has closed; FIN is queued behind all data
 */
#ifndef WILD_TCP_CONNECTION_H
#define WILD_TCP_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"
#include "tcp/tcp_frame.h"
#include "tcp/tcp_limits.h"
#include "tcp/tcp_segment.h"
#include "tcp/tcp_timers.h"

/* RFC 9293 3.3.2. LISTEN is a listener, TIME_WAIT a record of its own. */
enum tcp_state {
    TCP_CLOSED = 0, /* free, or about to be: `closed` is still to be told */
    TCP_SYN_SENT,
    TCP_SYN_RECEIVED,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_LAST_ACK,
    TCP_STATES,
};

/* One deadline each in connection.timer_at; the wheel holds the earliest (tcp_timers.h). */
enum tcp_timer {
    TCP_TIMER_RETRANSMIT, /* RTO, TLP's probe or RACK's reordering: recovery.kind says which */
    TCP_TIMER_PERSIST,
    TCP_TIMER_ACK,     /* delayed */
    TCP_TIMER_IDLE,    /* keepalive; FIN_WAIT_2's end */
    TCP_TIMER_USER,    /* stream_set_deadline() */
    TCP_TIMER_STARVED, /* reserve found no frame: look again, nobody says when there is one */
    TCP_TIMERS,
};

enum tcp_mark {
    TCP_MARK_FIN_QUEUED = 0x0001,   /* the user has closed */
    TCP_MARK_FIN_RECEIVED = 0x0002, /* in order: `ended` is told or about to be */
    TCP_MARK_ACK_NOW = 0x0004,
    TCP_MARK_ACK_DELAYED = 0x0008,
    TCP_MARK_HELD = 0x0010,    /* the user took less than it was given: nothing is delivered until resume */
    TCP_MARK_STARVED = 0x0020, /* reserve gave NULL: writable is owed */
    TCP_MARK_TIMESTAMPS = 0x0040,
    TCP_MARK_SACK = 0x0080,
    TCP_MARK_DIRTY = 0x0100,    /* on the list of those with something to send when the burst is done */
    TCP_MARK_PASSIVE = 0x0200,  /* came from a listener */
    TCP_MARK_ACCEPTED = 0x0400, /* has a user: `closed` is owed */
    TCP_MARK_CLOSING = 0x0800,  /* to be freed when events are over; connection.end says why */
    TCP_MARK_RESUME = 0x1000,   /* deliver held bytes in the next turn */
    TCP_MARK_SCALE = 0x2000, /* window scale; as TIMESTAMPS and SACK: offered by our SYN, then negotiated */
    TCP_MARK_ENDED = 0x4000, /* `ended` is told */
    TCP_MARK_DETACHED = 0x8000, /* the network side is over; held bytes are not delivered yet */
};

struct tcp_connection {
    struct stream stream; /* first: a stream is its connection */

    /* what every segment needs */
    _Alignas(64) uint32_t rcv_nxt;
    uint32_t rcv_adv; /* right edge that was advertised */
    uint32_t snd_una, snd_nxt;
    uint32_t snd_wnd; /* scaled: bytes */
    uint32_t snd_wl1, snd_wl2;
    uint32_t snd_wnd_max; /* the largest ever offered: for the sender's silly window rule */
    uint32_t snd_end;     /* end of what users have committed, FIN excluded */
    uint32_t ts_recent, ts_offset;
    uint16_t marks; /* enum tcp_mark */
    uint16_t mss;   /* payload of a full segment, options deducted */
    uint8_t state;  /* enum tcp_state */
    uint8_t snd_shift, rcv_shift;
    uint8_t acks_owed;    /* full segments received since the last acknowledgement */
    uint64_t received_ns; /* last segment: keepalive */

    struct tcp_frame *send_head; /* oldest not acknowledged */
    struct tcp_frame *send_next; /* first never sent; NULL: all was */
    struct tcp_frame *send_tail;
    struct tcp_frame *reserved;                 /* by stream_reserve(), not in the queue yet; or NULL */
    struct tcp_frame *held_head, *held_tail;    /* in order, not taken by the user yet */
    struct tcp_frame *gaps_head;                /* out of order, by sequence number (reassembly.h) */
    uint32_t held_bytes, gaps_cost, send_bytes; /* held: payload; cost: see TCP_FRAME_COST_BYTES */
    uint16_t gaps, send_frames;

    struct tcp_recovery {                    /* tcp_recovery.c and its neighbours (tcp_recovery.h) */
        uint32_t cwnd, ssthresh;             /* bytes */
        uint32_t recover;                    /* RFC 6582: snd_nxt when recovery began */
        uint32_t bytes_acked;                /* RFC 3465, congestion avoidance */
        uint32_t limited_end;                /* snd_nxt when cwnd last was what held data back */
        uint32_t sacked_bytes, lost_bytes;   /* of what is in flight (RFC 6675 4, pipe) */
        uint32_t assumed_bytes;              /* without SACK: has arrived, as duplicate ACKs say */
        uint16_t sacked_frames, sent_frames; /* of the frames in flight; and how many these are */
        uint32_t prr_delivered, prr_sent;    /* RFC 6937 */
        uint32_t recover_flight;             /* RFC 6937 RecoverFS */
        uint32_t srtt_us, rttvar_us;         /* RFC 6298; 0: no sample yet */
        uint32_t rtt_min_us;                 /* RFC 8985 6.2, step 1 */
        uint64_t rto_ns;                     /* with back-off */
        uint64_t rto_at_ns;                  /* when RTO is due, whatever the timer stands for now; 0: off */
        uint64_t sent_ns;                    /* last data sent: idle time; SYN: its round trip */
        uint64_t rack_sent_ns; /* RFC 8985: of the most recently sent frame known to have arrived */
        uint32_t rack_end, rack_rtt_us, fack; /* fack: highest number known to have arrived */
        uint32_t tlp_end;                     /* RFC 8985 7: right edge of the probe that is out */
        uint32_t dsack_round;                 /* RFC 8985 6.2, step 4 */
        uint16_t dup_acks;
        uint8_t marks;           /* enum tcp_recovery_mark */
        uint8_t phase;           /* enum tcp_recovery_phase */
        uint8_t kind;            /* enum tcp_retransmit_kind: what the retransmit timer stands for */
        uint8_t retries;         /* time-outs since the last progress */
        uint8_t persist_backoff; /* probes of a window that stays closed, answered or not */
        uint8_t reordering_windows, reordering_persist;
        /* How often in a row full segments were found not to pass, and none since that did; and how large
         * those were (tcp_path.c). */
        uint8_t path_doubts;
        uint16_t path_doubted_bytes;
    } recovery;

    uint64_t timer_at[TCP_TIMERS]; /* 0: off */
    struct tcp_timer_entry timer;  /* its place in the wheel */

    struct tcp *tcp; /* its owner, for stream.h's functions */
    struct tcp_connection *dirty_next;
    uint8_t peer_mac[6];
    uint16_t vlan_tci;
    uint16_t path_mtu;
    uint16_t peer_mss; /* as its SYN said, floored */
    uint32_t iss, irs;
    uint8_t end; /* enum stream_end, with TCP_MARK_CLOSING */
    uint8_t soft_error;
    uint8_t probes;     /* keepalive or persist, unanswered */
    uint8_t challenges; /* RFC 5961 7: sent in the second that began at challenge_ms */
    uint32_t challenge_ms;
    uint32_t path_lowered_s; /* when path_mtu was last lowered, for RFC 1191 6.3; 0: it is the link's */
    uint32_t gap_changes;    /* counts changes of the out-of-order queue: which run changed last */
    uint32_t last_ack_sent;
    uint32_t hash; /* in the demultiplexer */
};
static_assert(sizeof(struct tcp_connection) <= 512, "tcp.h promises it");

#endif
