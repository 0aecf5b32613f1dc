/*
 * tcp_script.h - plays small textual scripts against one struct tcp in virtual time: what arrives, what must
 * leave, what the user does and is told, when. Whatever leaves and is not expected by the next lines fails
 * the script, with both sides, the line and all that happened so far.
 *
 * One step a line; # begins a comment. Sequence numbers are relative to each side's initial one, as in packet
 * dumps; =N is absolute. The peer's initial number lies 16 below the wrap unless `isn` says otherwise, so
 * every longer script crosses it.
 *
 *   segments
 *     < FLAGS SEQ [ack N] [win N] [urg N] [junk] [doff N] [cut N] [<options>]    arrives
 *     <+ ...                  arrives in one burst with the next < line
 *     > FLAGS SEQ [ack N] [win N] [<options>]    must leave; ack and win are compared if given. Without
 *                             <options>: no SACK, others are not compared; with: exactly these
 *     >> FLAGS FROM:TO ...    one or more segments, in order, that carry exactly this range
 *     > any                   whatever it is
 *     FLAGS: S F R P . U E W, - for none; . is ACK, ? with or without ACK; PSH is not compared
 *     SEQ: N, or FROM:TO with payload
 *     options: mss N, wscale N, sackOK, ts VALUE ECHO (* for any), sack A-B [C-D ...], nop, hex 0102..
 *              our time stamps are relative to the first one that left (before that: as they stand)
 *     junk: other bytes than the stream's; doff: a wrong data offset; cut: that many bytes short
 *   time
 *     +40ms                   passes, serving every timer on its way (ns us ms s min)
 *     ~40ms > ...             the segment leaves after 40 ms, not earlier, at most 3 ms later
 *     ~20..50ms > ...         or in this range; ~0.. counts what has left already
 *   user
 *     listen [PORT] | stop | connect | refuse | send N [takes M] | close | abort
 *     hold [N]                takes nothing from now on (N bytes more)
 *     resume [N]              takes all again (N bytes more)
 *     deadline T | deadline off
 *     on accepted|connected|received|ended|writable|expired  send N|close|abort|hold
 *   told
 *     accepted | connected | received N (in all) | ended | writable | expired | closed END|any
 *     open (not closed) | not accepted|connected|ended|writable|expired
 *   state NAME | unsent N | nothing | counter NAME N | counts NAME N ... (of struct tcp_counts)
 *   isn later                 our last initial number lies above all that the last connection sent
 *   icmp TYPE.CODE seq N [mtu N]    an ICMP error that quotes this sequence number of ours
 *   world
 *     config NAME N ...       first; struct tcp_config's connections half_open time_wait per_source
 *                             send_frames receive_frames send_bytes receive_bytes keepalive
 *     mtu N | isn N | starve N (frames that remain) | feed
 *     discard [N [unreset]]   what left is of no interest: at most N segments, no RST
 *     again                   a new connection of the same flow: our next SYN shows a new initial number
 *     peer N [host H] | peer next    who is meant from now on
 *     repeat N ... end
 *
 * Every payload byte is a function of its relative number, so that what is sent and delivered is checked to
 * the byte. After every step the connections' invariants hold; frames that left are kept a while and must not
 * change; in the end everything is destroyed and the pool is full again.
 */
#ifndef WILD_TEST_TCP_SCRIPT_H
#define WILD_TEST_TCP_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

struct tcp_script {
    const char *name; /* what holds */
    const char *text;
};

/*
 * The main() of a file of scripts: each is a CUnit test. Arguments: names of the scripts to play (default:
 * all);
 * --check only reads them. WILD_TCP_TRACE in the environment prints all that happens.
 */
int tcp_script_suite(const char *name, const struct tcp_script *scripts, size_t count, int argc, char **argv);

/* One script. False: *report (of report_bytes) says why. */
bool tcp_script_play(const struct tcp_script *script, char *report, size_t report_bytes);
/* Only reads it. */
bool tcp_script_check(const struct tcp_script *script, char *report, size_t report_bytes);

/* The usual beginnings. No options but MSS; with SACK; with everything (peer's window scale 7, its clock at
 * 100). */
#define SCRIPT_LISTEN                                                                                        \
    "listen\n"                                                                                               \
    "< S 0 win 65535 <mss 1460>\n"                                                                           \
    "> S. 0 ack 1\n"
#define SCRIPT_ESTABLISHED                                                                                   \
    SCRIPT_LISTEN "< . 1 ack 1 win 65535\n"                                                                  \
                  "accepted\n"                                                                               \
                  "state ESTABLISHED\n"
#define SCRIPT_ESTABLISHED_SACK                                                                              \
    "listen\n"                                                                                               \
    "< S 0 win 65535 <mss 1460,sackOK>\n"                                                                    \
    "> S. 0 ack 1 <mss 1460,sackOK>\n"                                                                       \
    "< . 1 ack 1 win 65535\n"                                                                                \
    "accepted\n"
#define SCRIPT_ESTABLISHED_ALL                                                                               \
    "listen\n"                                                                                               \
    "< S 0 win 65535 <mss 1460,sackOK,ts 100 0,wscale 7>\n"                                                  \
    "> S. 0 ack 1 <mss 1460,sackOK,ts * 100,wscale 0>\n"                                                     \
    "< . 1 ack 1 win 512 <ts 100 0>\n"                                                                       \
    "accepted\n"
/* The other states, from ESTABLISHED: the peer's next number is 1 before its FIN and 2 after. */
#define SCRIPT_FIN_WAIT_1 SCRIPT_ESTABLISHED "close\n> F. 1 ack 1\nstate FIN_WAIT_1\n"
#define SCRIPT_FIN_WAIT_2 SCRIPT_FIN_WAIT_1 "< . 1 ack 2\nstate FIN_WAIT_2\n"
#define SCRIPT_CLOSE_WAIT SCRIPT_ESTABLISHED "< F. 1 ack 1\n> . 1 ack 2\nended\nstate CLOSE_WAIT\n"
#define SCRIPT_CLOSING    SCRIPT_FIN_WAIT_1 "< F. 1 ack 1\n> . 2 ack 2\nstate CLOSING\n"
#define SCRIPT_LAST_ACK   SCRIPT_CLOSE_WAIT "close\n> F. 1 ack 2\nstate LAST_ACK\n"
#define SCRIPT_TIME_WAIT  SCRIPT_FIN_WAIT_2 "< F. 1 ack 2\n> . 2 ack 2\nclosed CLOSED\nstate TIME_WAIT\n"
/* Opened by us. */
#define SCRIPT_CONNECT                                                                                       \
    "connect\n"                                                                                              \
    "> S 0 <mss 1460,sackOK,ts * 0,wscale 0>\n"                                                              \
    "state SYN_SENT\n"
#define SCRIPT_CONNECTED                                                                                     \
    SCRIPT_CONNECT "< S. 0 ack 1 win 65535 <mss 1460>\n"                                                     \
                   "> . 1 ack 1\n"                                                                           \
                   "connected\n"                                                                             \
                   "state ESTABLISHED\n"

#endif
