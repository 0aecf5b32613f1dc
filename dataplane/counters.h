/*
 * counters.h - every event worth counting on a worker, once: the row gives the name, the kind and the help
 * that /stats, /metrics, telemetry and wildctl show. One writer (the worker), relaxed readers.
 */
#ifndef WILD_COUNTERS_H
#define WILD_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Lists of X(name, help), one a layer. */

/* net/ and the worker (on the control lcore: the arp_ rows from arp_requested on). Everything that is not
 * sent, answered or handed on is dropped under exactly one of these names. */
#define COUNTER_LIST_NET(X)                                                                                  \
    X(rx_frames, "frames received")                                                                          \
    X(rx_bytes, "bytes of frames received")                                                                  \
    X(tx_frames, "frames sent")                                                                              \
    X(tx_bytes, "bytes of frames sent")                                                                      \
    X(udp_datagrams, "UDP datagrams given to the service")                                                   \
    X(udp_replies, "UDP datagrams sent by the service, prompt and deferred")                                 \
    X(udp_unanswered, "UDP datagrams to which the service gave no prompt answer")                            \
    X(tx_ring_full, "frames dropped: the device's transmit ring stayed full")                                \
    X(tx_no_buffer, "frames not sent: no free buffer")                                                       \
    X(tx_too_long, "frames not sent: longer than a buffer or the MTU")                                       \
    X(rx_multi_segment, "frames dropped: in pieces that do not fit one buffer")                              \
    X(eth_runt, "frames dropped: shorter than an Ethernet header")                                           \
    X(eth_oversized, "frames dropped: longer than the MTU allows")                                           \
    X(eth_not_ours, "frames dropped: another station's address")                                             \
    X(eth_multicast, "frames dropped: Ethernet multicast")                                                   \
    X(eth_bad_source, "frames dropped: source address is a group's or our own")                              \
    X(eth_unknown_type, "frames dropped: neither ARP nor IPv4")                                              \
    X(vlan_truncated, "frames dropped: shorter than their 802.1Q tag")                                       \
    X(vlan_nested, "frames dropped: more than one 802.1Q tag")                                               \
    X(arp_truncated, "ARP dropped: shorter than a packet")                                                   \
    X(arp_bad_format, "ARP dropped: not IPv4 over Ethernet, or neither request nor reply")                   \
    X(arp_bad_sender, "ARP dropped: sender cannot be a station")                                             \
    X(arp_not_ours, "ARP dropped: about other stations")                                                     \
    X(arp_tagged, "ARP dropped: under a VLAN tag, where this node resolves nothing")                         \
    X(arp_answered, "ARP requests answered")                                                                 \
    X(arp_to_control, "ARP packets handed to the control lcore")                                             \
    X(arp_control_full, "ARP dropped: the control lcore's ring is full or absent")                           \
    X(arp_requested, "ARP requests sent")                                                                    \
    X(handed_over, "TCP segments handed to the control lcore, for replication")                              \
    X(handed_over_full, "TCP segments dropped: the control lcore's ring was full")                           \
    X(arp_announced, "gratuitous ARP sent")                                                                  \
    X(arp_conflict, "ARP in which another station claims our address")                                       \
    X(arp_neighbour_confirmed, "ARP answers that confirmed a neighbour")                                     \
    X(arp_neighbour_probed, "ARP that made us ask a neighbour again")                                        \
    X(arp_ignored, "ARP that changed nothing: unknown neighbour, unasked, or no news")                       \
    X(arp_no_room, "next hops not resolved: their places in the table are pinned")                           \
    X(ip4_truncated, "IPv4 dropped: shorter than its header")                                                \
    X(ip4_bad_version, "IPv4 dropped: version is not 4")                                                     \
    X(ip4_bad_header_length, "IPv4 dropped: header length below 20")                                         \
    X(ip4_bad_total_length, "IPv4 dropped: total length below the header or beyond the frame")               \
    X(ip4_bad_checksum, "IPv4 dropped: header checksum")                                                     \
    X(ip4_bad_source, "IPv4 dropped: source is a group, loopback, broadcast or this node")                   \
    X(ip4_not_ours, "IPv4 dropped: another node's address")                                                  \
    X(ip4_broadcast, "IPv4 dropped: broadcast, of the network or the link")                                  \
    X(ip4_multicast, "IPv4 dropped: multicast")                                                              \
    X(ip4_fragment, "IPv4 dropped: fragment")                                                                \
    X(ip4_source_route, "IPv4 dropped: source route option")                                                 \
    X(ip4_bad_options, "IPv4 dropped: malformed options")                                                    \
    X(ip4_unknown_protocol, "IPv4 dropped: neither ICMP, TCP nor UDP")                                       \
    X(icmp_truncated, "ICMP dropped: shorter than its header")                                               \
    X(icmp_bad_checksum, "ICMP dropped: checksum")                                                           \
    X(icmp_unhandled, "ICMP dropped: neither an echo request nor an error")                                  \
    X(icmp_bad_quote, "ICMP dropped: an error that quotes no IPv4 packet")                                   \
    X(icmp_not_ours, "ICMP dropped: an error about a packet that is not ours or not TCP")                    \
    X(icmp_errors, "ICMP errors about TCP segments given to TCP")                                            \
    X(icmp_too_long, "ICMP echo dropped: longer than this node answers")                                     \
    X(icmp_rate_limited, "ICMP answers not sent: too many")                                                  \
    X(icmp_suppressed, "ICMP port unreachable not sent: it would be larger than what it answers")            \
    X(icmp_echo_answered, "ICMP echo requests answered")                                                     \
    X(icmp_unreachable_sent, "ICMP port unreachable sent")                                                   \
    X(udp_truncated, "UDP dropped: shorter than its header")                                                 \
    X(udp_bad_length, "UDP dropped: length below the header or beyond the packet")                           \
    X(udp_bad_checksum, "UDP dropped: checksum")                                                             \
    X(udp_no_source_port, "UDP dropped: source port 0 cannot be answered")                                   \
    X(udp_closed_port, "UDP dropped: nothing listens on the port")                                           \
    X(tcp_arrivals, "TCP segments given to TCP")                                                             \
    X(tcp_truncated, "TCP dropped: shorter than its header")                                                 \
    X(tcp_bad_checksum, "TCP dropped: checksum")                                                             \
    X(tcp_no_port, "TCP dropped: port 0")                                                                    \
    X(tcp_absent, "TCP dropped: this node speaks UDP alone")

/* The native service (service/native_udp.h). */
#define COUNTER_LIST_NATIVE(X)                                                                               \
    X(native_datagrams, "datagrams handed to the native service")                                            \
    X(native_replies, "datagrams answered at once")                                                          \
    X(native_operations, "operations in accepted messages")                                                  \
    X(native_echoes, "ECHO datagrams returned (bench mode)")                                                 \
    X(native_drop_length, "dropped: shorter than a header or longer than any datagram")                      \
    X(native_drop_magic, "dropped: wrong magic")                                                             \
    X(native_drop_kind, "dropped: unknown kind, or one that only servers send (reflection)")                 \
    X(native_drop_bench_off, "dropped: PLAIN or ECHO at a node that is not in bench mode")                   \
    X(native_drop_plain_header, "dropped: PLAIN with a wrong version or reserved byte")                      \
    X(native_drop_unknown_session, "dropped: no such session here (any more)")                               \
    X(native_drop_wrong_peer, "dropped: another 4-tuple's session")                                          \
    X(native_drop_unconfirmed, "dropped: data or CLOSE before the session was confirmed")                    \
    X(native_drop_tag, "dropped: wrong tag, kind, version or length for the session")                        \
    X(native_drop_replayed, "dropped: counter seen before or too old")                                       \
    X(native_drop_message, "dropped: malformed message")                                                     \
    X(native_init_refused, "INIT dropped: wrong form or mac1 (wrong secret)")                                \
    X(native_init_no_version, "INIT dropped: no common protocol version")                                    \
    X(native_init_no_suite, "INIT dropped: no common suite")                                                 \
    X(native_init_role, "INIT dropped: role not held, or not a client")                                      \
    X(native_init_repeated, "INIT repeated: answered without new mathematics")                               \
    X(native_init_cookie, "INIT answered with a COOKIE (under load)")                                        \
    X(native_init_lane_full, "INIT dropped: the helper's lane is full")                                      \
    X(native_init_prefix_full, "INIT dropped: its source prefix has its share of the helper's lane")         \
    X(native_init_no_place, "INIT dropped: no pending session to be had")                                    \
    X(native_init_draining, "INIT or CONFIRM dropped: the node is draining")                                 \
    X(native_init_ephemeral, "INIT dropped: low-order ephemeral")                                            \
    X(native_responses, "RESPONSE sent")                                                                     \
    X(native_response_unsent, "RESPONSE not sent: no buffer or queue room (the client asks again)")          \
    X(native_confirm_refused, "CONFIRM dropped: wrong form or confirmation")                                 \
    X(native_confirm_expired, "CONFIRM dropped: it came too late")                                           \
    X(native_confirm_no_place, "CONFIRM dropped: every live session is in use")                              \
    X(native_ready, "READY sent")                                                                            \
    X(native_session_opened, "sessions confirmed")                                                           \
    X(native_session_closed, "sessions ended by CLOSE")                                                      \
    X(native_session_expired, "sessions ended: idle for too long")                                           \
    X(native_session_recycled, "sessions ended: the oldest idle one made room")                              \
    X(native_session_walks, "walks over all sessions for those idle for longest")                            \
    X(native_session_replaced, "sessions ended: the same 4-tuple confirmed a new one")                       \
    X(native_session_drained, "sessions ended: the service was destroyed")                                   \
    X(native_pending_expired, "handshakes not confirmed in time")                                            \
    X(native_pending_displaced, "handshakes not confirmed, displaced by newer ones")                         \
    X(native_refused_request, "operations answered BAD_REQUEST")                                             \
    X(native_refused_large, "operations answered TOO_LARGE")                                                 \
    X(native_refused_more, "operations answered MORE")                                                       \
    X(native_refused_busy, "operations answered BUSY")                                                       \
    X(native_refused_full, "operations answered FULL")                                                       \
    X(native_refused_not_primary, "writes answered NOT_PRIMARY")                                             \
    X(native_refused_read_only, "writes answered READ_ONLY")                                                 \
    X(native_refused_stale, "reads answered STALE")                                                          \
    X(native_refused_lost, "reads answered LOST")                                                            \
    X(native_refused_durability, "writes answered BAD_REQUEST: this node has no such durability")            \
    X(native_retry_repeated, "writes repeated: the first outcome was sent again")                            \
    X(native_retry_too_old, "writes answered TIMEOUT: their id is below the retry window")                   \
    X(native_parked, "replies that waited for the log")                                                      \
    X(native_parked_refused, "operations answered BUSY: no room for a reply that waits for the log")         \
    X(native_parked_timeout, "writes answered TIMEOUT: the log has failed or took too long")                 \
    X(native_parked_stale, "reads answered STALE: the log has failed or took too long")                      \
    X(native_parked_dropped, "replies that waited for the log when their session or connection ended")       \
    X(native_parked_unsent, "times a reply that had waited could not leave yet: no buffer or queue room")

/* Sockets of the kernel in the place of ports (kernel/). Datagrams count under the udp_ rows of net/, too. */
#define COUNTER_LIST_KERNEL(X)                                                                               \
    X(kernel_datagram_truncated, "datagrams dropped: longer than any of the protocol's")                     \
    X(kernel_datagram_overflow, "datagrams dropped by the kernel: the socket's buffer was full")             \
    X(kernel_reply_full, "datagrams not sent: the kernel had no room")                                       \
    X(kernel_reply_failed, "datagrams not sent: the kernel refused them")                                    \
    X(kernel_accepted, "streams accepted")                                                                   \
    X(kernel_accept_limit, "connections reset: as many streams as there may be")                             \
    X(kernel_accept_source_limit, "connections reset: as many as one address may have")                      \
    X(kernel_accept_refused, "connections reset: the service did not want them")                             \
    X(kernel_accept_paused, "times that accepting paused: no descriptors or memory")                         \
    X(kernel_accept_failed, "connections lost before they were accepted, or not watchable")                  \
    X(kernel_connects, "streams that this node began to open")                                               \
    X(kernel_connect_failed, "streams that could not be opened")                                             \
    X(kernel_stream_closed, "streams ended in order")                                                        \
    X(kernel_stream_reset, "streams reset by the peer")                                                      \
    X(kernel_stream_timed_out, "streams ended: the peer did not answer, or did not end when we had")         \
    X(kernel_stream_aborted, "streams aborted by this node")                                                 \
    X(kernel_stream_held, "times that a service left input")                                                 \
    X(kernel_stream_blocked, "times that the kernel had no room for output")                                 \
    X(kernel_blocks_short, "times that a stream got no block for output")                                    \
    X(kernel_rx_bytes, "bytes of streams received")                                                          \
    X(kernel_tx_bytes, "bytes of streams handed to the kernel")

/* How TCP connections begin, receive and end (tcp/). */
#define COUNTER_LIST_TCP(X)                                                                                  \
    X(tcp_segments, "TCP segments received")                                                                 \
    X(tcp_fast, "TCP segments that the fast path took")                                                      \
    X(tcp_malformed, "TCP dropped: shorter than its header, or a wrong data offset")                         \
    X(tcp_reset_ignored, "TCP RSTs dropped: they belong to no connection")                                   \
    X(tcp_closed_port, "TCP answered with RST: nothing listens on the port")                                 \
    X(tcp_stray, "TCP dropped or answered with RST: of no connection on a port that listens")                \
    X(tcp_syn, "TCP SYNs that opened half a connection")                                                     \
    X(tcp_syn_odd, "TCP SYNs dropped: with FIN, or from port 0")                                             \
    X(tcp_syn_draining, "TCP SYNs dropped: no new connections from now on")                                  \
    X(tcp_syn_no_room, "TCP SYNs dropped: no connection or no frames to be had")                             \
    X(tcp_syn_repeated, "TCP SYNs repeated: SYN+ACK sent again")                                             \
    X(tcp_source_full, "TCP connections refused: their source has its share")                                \
    X(tcp_cookie_sent, "TCP SYNs answered with cookies")                                                     \
    X(tcp_cookie_accepted, "TCP cookies that became connections")                                            \
    X(tcp_cookie_refused, "TCP cookies refused: forged or too old")                                          \
    X(tcp_cookie_no_room, "TCP cookies dropped: no connection to be had")                                    \
    X(tcp_accepted, "TCP connections established by peers")                                                  \
    X(tcp_connected, "TCP connections established by us")                                                    \
    X(tcp_unwanted, "TCP connections reset: the service does not want them")                                 \
    X(tcp_connect_failed, "TCP connections not opened: no connection, frame, port or station to be had")     \
    X(tcp_bad_syn_ack, "TCP dropped while opening: an ACK of something never sent")                          \
    X(tcp_refused, "TCP openings refused by peers")                                                          \
    X(tcp_reset, "TCP connections reset by peers")                                                           \
    X(tcp_reset_elsewhere, "TCP RSTs dropped: out of the window")                                            \
    X(tcp_reset_doubtful, "TCP RSTs in the window but not at its start: challenged")                         \
    X(tcp_syn_in_connection, "TCP SYNs in synchronised states: challenged")                                  \
    X(tcp_ack_unacceptable, "TCP dropped: acknowledges what was never sent or long ago; challenged")         \
    X(tcp_out_of_window, "TCP dropped: out of the window; acknowledged")                                     \
    X(tcp_beyond_window, "TCP segments trimmed: their end is beyond the window")                             \
    X(tcp_old_time_stamp, "TCP dropped: an older time stamp (PAWS); acknowledged")                           \
    X(tcp_no_time_stamp, "TCP dropped: no time stamp where they were negotiated")                            \
    X(tcp_no_ack, "TCP dropped: no ACK bit")                                                                 \
    X(tcp_after_fin, "TCP payload dropped: behind the peer's FIN")                                           \
    X(tcp_held_no_frame, "TCP payload dropped: the service does not read and no frame may be kept")          \
    X(tcp_send_full, "TCP writes put off: the send limit is reached")                                        \
    X(tcp_send_share, "TCP writes put off: frames are short, and the connection holds many")                 \
    X(tcp_send_no_frame, "TCP writes put off: no free buffer")                                               \
    X(tcp_moved, "TCP connections whose peer now comes by another station")                                  \
    X(tcp_time_waits, "TCP connections that went into TIME-WAIT")                                            \
    X(tcp_time_wait_displaced, "TCP TIME-WAITs ended early: newer ones needed the place")                    \
    X(tcp_time_wait_reset, "TCP RSTs to TIME-WAIT dropped (RFC 1337)")                                       \
    X(tcp_time_wait_reused, "TCP TIME-WAITs ended by a new SYN")                                             \
    X(tcp_time_wait_acked, "TCP segments to TIME-WAIT acknowledged again")                                   \
    X(tcp_time_wait_dropped, "TCP segments to TIME-WAIT dropped")                                            \
    X(tcp_keepalives, "TCP keepalive probes sent")                                                           \
    X(tcp_dead, "TCP connections ended: keepalive probes were not answered")                                 \
    X(tcp_fin_wait_ended, "TCP connections ended: we closed and the peer did not")

/* What TCP sends, sends again and keeps for later. */
#define COUNTER_LIST_TCP_RECOVERY(X)                                                                         \
    X(tcp_data_sent, "TCP segments with data sent, the first time")                                          \
    X(tcp_data_sent_again, "TCP segments with data sent again")                                              \
    X(tcp_acks_sent, "TCP segments sent that only acknowledge")                                              \
    X(tcp_resets_sent, "TCP resets sent to segments that belong to no connection")                           \
    X(tcp_challenges_sent, "TCP challenge acknowledgements sent")                                            \
    X(tcp_challenges_limited, "TCP challenge acknowledgements not sent: enough in this second")              \
    X(tcp_window_probes, "TCP probes of a window that stays closed")                                         \
    X(tcp_no_frame, "TCP segments not sent yet: no free buffer")                                             \
    X(tcp_timeouts, "TCP retransmission time-outs")                                                          \
    X(tcp_recoveries, "TCP losses found without a time-out: the congestion window was reduced")              \
    X(tcp_tail_probes, "TCP tail loss probes sent")                                                          \
    X(tcp_given_up, "TCP connections ended: the peer no longer answered")                                    \
    X(tcp_hogs, "TCP connections reset: frames were short, and the peer took none of the many they held")    \
    X(tcp_sack_ignored, "TCP SACK blocks ignored: not within what is in flight")                             \
    X(tcp_sack_forgotten, "TCP time-outs that forgot what was sacked")                                       \
    X(tcp_dsacks, "TCP acknowledgements that reported a duplicate")                                          \
    X(tcp_gap_kept, "TCP segments kept out of order")                                                        \
    X(tcp_gap_duplicate, "TCP segments dropped: all of it is kept out of order already")                     \
    X(tcp_gap_dropped_cost, "TCP segments out of order dropped: the connection's bytes are used up")         \
    X(tcp_gap_dropped_runs, "TCP segments out of order dropped: too many separate gaps")                     \
    X(tcp_gap_dropped_frames, "TCP segments out of order dropped: frames for received data are used up")     \
    X(tcp_path_lowered, "TCP path MTUs lowered by ICMP")                                                     \
    X(tcp_path_black_hole, "TCP path MTUs lowered because full segments timed out")                          \
    X(tcp_path_raised, "TCP path MTUs set back to the link's")                                               \
    X(tcp_icmp_strange, "ICMP errors dropped: about no connection, or nothing that it has in flight")        \
    X(tcp_icmp_refused, "ICMP fragmentation needed not believed: too small, or no such segment is out")      \
    X(tcp_icmp_soft, "ICMP errors noted as a reason for a time-out")                                         \
    X(tcp_icmp_hard, "TCP openings ended by ICMP")

/* The native service over streams (service/native_tcp.h); handshakes and operations count as above. */
#define COUNTER_LIST_NATIVE_TCP(X)                                                                           \
    X(native_tcp_connections, "connections accepted on the native port")                                     \
    X(native_tcp_full, "connections refused: every place is taken")                                          \
    X(native_tcp_unknown, "connections reset: their first bytes are neither native nor HTTP")                \
    X(native_tcp_silent, "connections reset: no first bytes for a second")                                   \
    X(native_tcp_left, "connections that their peer ended before there was a session")                       \
    X(native_tcp_refused, "connections ended: bytes that are not in order")                                  \
    X(native_tcp_opened, "sessions over TCP confirmed, or begun by PLAIN")                                   \
    X(native_tcp_messages, "messages executed and answered over TCP")                                        \
    X(native_tcp_rekeys, "REKEY records taken")                                                              \
    X(native_tcp_closed, "sessions over TCP ended by CLOSE")                                                 \
    X(native_tcp_truncated, "sessions over TCP ended without CLOSE")                                         \
    X(native_tcp_lost, "sessions over TCP whose connection was reset or timed out")                          \
    X(native_tcp_idle, "sessions over TCP ended: idle for too long")                                         \
    X(native_tcp_made_room, "sessions over TCP ended: too many, and their source held most")                 \
    X(native_tcp_no_share, "sessions over TCP ended at once: too many, and no source held more")             \
    X(native_tcp_blocked, "times a connection was held back: its replies are not read")                      \
    X(native_tcp_stalled, "connections reset: replies were not read for too long")                           \
    X(native_tcp_unfinished, "connections reset: a record was not whole in time")                            \
    X(native_tcp_displaced, "connections reset: a record in part made room for others'")                     \
    X(native_tcp_starved, "times a connection was held back: no buffers to spare for its replies")           \
    X(native_tcp_buffer_waits, "times a connection was held back: no buffer for a record in part")           \
    X(native_tcp_no_buffer, "connections reset: neither segment nor buffer for a reply")                     \
    X(native_tcp_lingered, "connections reset: closed by us, and the peer did not end")                      \
    X(native_tcp_linger_displaced, "connections reset: the same, at once, to make room for newcomers")

/* Pages (service/http.h). */
#define COUNTER_LIST_HTTP(X)                                                                                 \
    X(http_connections, "HTTP connections taken")                                                            \
    X(http_connections_full, "HTTP connections reset: every place was taken")                                \
    X(http_displaced, "HTTP connections reset: of the source that holds most, to make room")                 \
    X(http_requests, "HTTP requests read whole")                                                             \
    X(http_not_found, "HTTP requests answered 404")                                                          \
    X(http_refused_method, "HTTP requests answered 405: neither GET nor HEAD")                               \
    X(http_refused_request, "HTTP requests answered 400, 414, 431 or 505: malformed or too long")            \
    X(http_refused_body, "HTTP requests answered 413: they carry a body")                                    \
    X(http_browser_refused, "HTTP connections closed without an answer: POST, Origin or a foreign Host")     \
    X(http_timed_out, "HTTP connections reset: a request or its answer took too long")

#define COUNTER_LIST(X)                                                                                      \
    COUNTER_LIST_NET(X)                                                                                      \
    COUNTER_LIST_KERNEL(X)                                                                                   \
    COUNTER_LIST_NATIVE(X)                                                                                   \
    COUNTER_LIST_TCP(X)                                                                                      \
    COUNTER_LIST_TCP_RECOVERY(X)                                                                             \
    COUNTER_LIST_NATIVE_TCP(X)                                                                               \
    COUNTER_LIST_HTTP(X)

enum counter {
#define COUNTER_ENUM(name, help) COUNTER_##name,
    COUNTER_LIST(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

struct counters {
    _Alignas(64) _Atomic uint64_t value[COUNTER_COUNT];
};

static inline void counter_add(struct counters *counters, enum counter which, uint64_t n)
{
    /* one writer: a plain add, no locked instruction */
    uint64_t v = atomic_load_explicit(&counters->value[which], memory_order_relaxed);
    atomic_store_explicit(&counters->value[which], v + n, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counters *counters, enum counter which)
{
    return atomic_load_explicit(&counters->value[which], memory_order_relaxed);
}

const char *counter_name(enum counter which);
const char *counter_help(enum counter which);

#endif
