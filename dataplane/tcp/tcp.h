/*
 * tcp.h - TCP for one lcore (RFC 9293): segments and time in, segments and stream events out.
 *
 * A pure core: no device, no clock, no globals, no table. Whoever drives it hands over what arrived
 * (tcp_input), says what time it is (tcp_turn), and takes what leaves (tcp_output.send). Users sit on
 * stream.h.
 *
 * RFCs: 9293 (whole), 6298 (RTO), 8985 (RACK-TLP), 5681 and 6582 and 6675 (congestion, recovery), 3042, 6928,
 * 7323 (time stamps, window scale, PAWS), 2018 (SACK), 5961 (blind attacks), 6528 (ISN), 6056 (ports), 4987
 * (SYN cookies), 1122 (keepalive, R1 and R2), 6191 and 1337 (TIME-WAIT), 1191 and 5927 (path MTU and ICMP).
 * ECN (3168) is not negotiated, its bits are tolerated. Urgent data is delivered in line (RFC 6093).
 *
 * Memory. All of it is taken at creation but frames:
 *   connection   sizeof(struct tcp_connection) <= 512 bytes, idle or not
 *   TIME-WAIT    a small record of its own pool; when it is full the oldest ends early
 *   sent data    stays in the frame it was written into until acknowledged (one frame a segment); each
 *                connection at most send_bytes_max, all together at most send_frames_max
 *   received     in order: given to the user at once; held back or out of order: frames, each connection at
 *                most receive_bytes_max (a frame counts TCP_FRAME_COST_BYTES at least), all together
 *                receive_frames_max
 * Short of frames: new connections are refused first (SYNs are answered by cookies, then dropped), and
 * out-of-order segments are dropped (they will be sent again), never data that was acknowledged. Connections
 * that hold many frames for peers who do not take them get no more, and are reset after about 3 s (counted).
 *
 * Frames. What is sent first leaves in the very frame it was written into, headers in the frame's headroom;
 * the core keeps a reference, so the layer below and devices must not change it nor hold it as theirs alone
 * (no FAST_FREE). What is sent again while a device still holds the first frame is copied into a new one.
 * Frames need TCP_FRAME_PRIVATE_BYTES of private area (rte_pktmbuf_pool_create).
 */
#ifndef WILD_TCP_H
#define WILD_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "counters.h"
#include "instant.h"
#include "net/endpoint.h"
#include "random.h"
#include "stream.h"
#include "tcp/tcp_segment.h"

enum {
    TCP_FRAME_PRIVATE_BYTES = 32, /* tcp_frame.h: what the core notes about a frame it keeps */
    TCP_FRAME_COST_BYTES = 512,
};

struct tcp_output {
    void *state;
    /*
     * A segment leaves: frame data starts at the TCP header, its checksum field is zero. The frame is the
     * callee's to send and free (the core may hold a reference of its own: read only from here on, except
     * for headers in front of the TCP header and the checksum field, which it writes once, now).
     */
    void (*send)(void *state, struct rte_mbuf *frame, const struct return_path *path);
    uint16_t (*mtu)(void *state, const struct return_path *path); /* of the link: IP header and all */
};

/* What is cut up for a path of small segments may take so many frames beyond send_frames_max. */
#define TCP_FRAMES_FOR_PIECES(send_frames_max) ((send_frames_max) / 16)

struct tcp_config {
    struct rte_mempool *pool; /* borrowed, like every pointer here */
    struct tcp_output output;
    struct counters *counters;
    const struct random_source *random; /* keys, drawn at creation; nothing later */
    unsigned connections_max;           /* all states but TIME-WAIT */
    unsigned time_wait_max;
    unsigned half_open_max; /* SYN_RECEIVED; beyond it cookies */
    /* Accepted connections from one address (IPv4) or /64 (IPv6), beyond it SYNs are answered by RST; 0: no
     * limit. Half-open ones do not count: whoever spoofs an address must not use up its share. */
    unsigned per_source_max;
    unsigned send_frames_max, receive_frames_max; /* and TCP_FRAMES_FOR_PIECES() */
    /* Each connection; receive: also the largest window. At least STREAM_RESERVE_MAX and TCP_MSS_MIN. */
    uint32_t send_bytes_max, receive_bytes_max;
    bool keepalive;
    /* Whether an active open's local port is one whose replies come to this lcore. NULL: any. */
    bool (*port_is_ours)(void *state, const struct flow *flow);
    void *port_is_ours_state;
    int numa_node;
};

struct tcp;

struct tcp *tcp_create(const struct tcp_config *config, struct instant now); /* NULL: memory is short */
/* Every connection ends without a word (their `closed` is called); frames go back to their pools. */
void tcp_destroy(struct tcp *tcp);

/* -ENOSPC beyond TCP_LISTENERS_MAX, -EEXIST. port in host order, any local address. */
int tcp_listen(struct tcp *tcp, uint16_t port, struct stream_acceptor acceptor);
/* No new connections from now on (SYNs are dropped, not refused: a restart follows). Those there are stay. */
void tcp_listen_stop(struct tcp *tcp);

/*
 * Opens. path: where to, by which station, from which local address; local_port 0 lets the core choose (RFC
 * 6056). The SYN leaves now; `connected` or `closed` follows. NULL: no connection, frame or port to be had.
 */
struct stream *tcp_connect(struct tcp *tcp, const struct return_path *path,
                           const struct stream_events *events, void *user, struct instant now);

/*
 * The same where the station is yet to be found: path->peer_mac does not count, and the SYN leaves once it
 * is, with no time-out until then. Both: of the opening of that flow; false: none waits any more. Absent: it
 * ends, unreachable.
 */
struct stream *tcp_connect_later(struct tcp *tcp, const struct return_path *path,
                                 const struct stream_events *events, void *user, struct instant now);
bool tcp_station_found(struct tcp *tcp, const struct flow *flow, const uint8_t mac[6], struct instant now);
bool tcp_station_absent(struct tcp *tcp, const struct flow *flow, struct instant now);
/* What segments of this flow would find. */
enum tcp_flow_state { TCP_FLOW_NONE, TCP_FLOW_TIME_WAIT, TCP_FLOW_OPEN };
enum tcp_flow_state tcp_flow_state(const struct tcp *tcp, const struct flow *flow);

/*
 * What arrived, in order; count <= TCP_BURST_MAX. Consumes the frames. Everything that these segments cause
 * has happened when it returns: events, answers, acknowledgements that cannot wait.
 */
void tcp_input(struct tcp *tcp, struct tcp_arrival *arrivals, unsigned count, struct instant now);

/*
 * An ICMP error about a segment of ours (RFC 5927: believed only if the quoted sequence number is in flight).
 * A fragmentation-needed lowers the path MTU, a hard error ends an opening, all else is noted as a reason for
 * a time-out.
 */
struct tcp_icmp_error {
    struct flow flow; /* as we know it: peer and local are not swapped */
    uint32_t seq;     /* quoted */
    uint8_t type, code;
    uint16_t mtu; /* fragmentation needed: the next hop's; 0: an old router's */
};
void tcp_icmp(struct tcp *tcp, const struct tcp_icmp_error *error, struct instant now);

/* Timers, deferred events, what users wrote outside events. Call it once a turn. Returns segments sent. */
unsigned tcp_turn(struct tcp *tcp, struct instant now);
/* When tcp_turn() has something to do next, UINT64_MAX: never (virtual clocks jump there). */
uint64_t tcp_next_ns(const struct tcp *tcp);

struct tcp_counts {
    unsigned connections, half_open, time_wait;
    unsigned send_frames, receive_frames; /* held */
};
struct tcp_counts tcp_counts(const struct tcp *tcp);

#endif
