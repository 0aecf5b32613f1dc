/*
 * test_tcp_retransmit.c - RFC 6298: the retransmission timer, its back-off and its limits; R1 and R2 (RFC
 * 9293 3.8.3); Karn's rule. Connections without SACK here: no tail loss probes (RFC 8985 7.1), so the
 * timer is alone.
 */
#include "tcp_script.h"

/* A round trip of 100 ms was measured by the handshake: SRTT 100, RTTVAR 50, RTO 300. */
#define RTT_100 SCRIPT_LISTEN "+100ms\n< . 1 ack 1 win 65535\naccepted\n"
#define RTT_100_SACK                                                                                         \
    "listen\n< S 0 win 65535 <mss 1460,sackOK>\n> S. 0 ack 1\n+100ms\n< . 1 ack 1 win 65535\naccepted\n"

/* With SACK and time stamps and no round trip to speak of: a probe, then three time-outs, the last 100 ms ago. */
#define BACKED_OFF                                                                                           \
    "send 100\n> . 1:101 ack 1\n~42ms > . 1:101 ack 1\n~200ms > . 1:101 ack 1\n"                             \
    "~400ms > . 1:101 ack 1\n~800ms > . 1:101 ack 1\n+100ms\n"

static const struct tcp_script scripts[] = {
    {"2.2: RTO is SRTT + 4 RTTVAR of the first measurement",
     RTT_100 "send 100\n> . 1:101 ack 1\n~300ms > . 1:101 ack 1\n"},
    {"2.4: not below 200 ms", SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\n~200ms > . 1:101 ack 1\n"},
    {"2.3: the second measurement is smoothed (SRTT 100, RTTVAR 37.5: 250 ms)",
     RTT_100 "send 100\n> . 1:101 ack 1\n+100ms\n< . 1 ack 101\nsend 100\n> . 101:201 ack 1\n"
             "~250ms > . 101:201 ack 1\n"},
    {"2.3: a longer round trip (SRTT 112.5, RTTVAR 62.5: 362.5 ms)",
     RTT_100 "send 100\n> . 1:101 ack 1\n+200ms\n< . 1 ack 101\nsend 100\n> . 101:201 ack 1\n"
             "~362500us > . 101:201 ack 1\n"},
    {"5.5: it doubles", RTT_100 "send 100\n> . 1:101 ack 1\n~300ms > . 1:101 ack 1\n~600ms > . 1:101 ack 1\n"
                                "~1200ms > . 1:101 ack 1\n~2400ms > . 1:101 ack 1\n"},
    {"5.1: it runs from the oldest segment in flight",
     RTT_100 "send 100\n> . 1:101 ack 1\n+200ms\nsend 100\n> . 101:201 ack 1\n~100ms > . 1:101 ack 1\n"
             "discard 1\n"},
    {"5.3: an ACK of new data starts it anew",
     RTT_100 "send 100\n> . 1:101 ack 1\nsend 100\n> . 101:201 ack 1\n+100ms\n< . 1 ack 101\n"
             "~250ms > . 101:201 ack 1\n"},
    {"5.2: off when all is acknowledged",
     RTT_100 "send 100\n> . 1:101 ack 1\n< . 1 ack 101\n+10min\nnothing\n"},
    {"dup ACKs do not start it anew (a known bug elsewhere)",
     RTT_100 "send 100\n> . 1:101 ack 1\n+100ms\n< . 1 ack 1\n+100ms\n< . 1 ack 1\n~100ms > . 1:101 ack 1\n"},
    {"window updates do not start it anew",
     RTT_100 "send 100\n> . 1:101 ack 1\n+150ms\n< . 1 ack 1 win 60000\n+100ms\n< . 1 ack 1 win 61000\n"
             "~50ms > . 1:101 ack 1\n"},
    {"the peer's data does not start it anew",
     RTT_100 "send 100\n> . 1:101 ack 1\n+250ms\n< P. 1:11 ack 1\n~40ms > . 101 ack 11\n"
             "~5..10ms > . 1:101 ack 11\n"},
    {"Karn: the ACK of what was sent twice is no measurement; the back-off stays until there is one (RFC "
     "6298 3, 5)",
     RTT_100 "send 100\n> . 1:101 ack 1\n~300ms > . 1:101 ack 1\n+10ms\n< . 1 ack 101\nsend 100\n"
             "> . 101:201 ack 1\n+299ms\nnothing\n"},
    {"a measurement ends the back-off",
     RTT_100 "send 100\n> . 1:101 ack 1\n~300ms > . 1:101 ack 1\n~600ms > . 1:101 ack 1\n< . 1 ack 101\n"
             "send 100\n> . 101:201 ack 1\n+100ms\n< . 1 ack 201\nsend 100\n> . 201:301 ack 1\n"
             "~250ms > . 201:301 ack 1\n"},
    {"Karn: nor is the ACK that had to wait for it, though what it covers besides was sent once",
     RTT_100 "send 2920\n>> . 1:2921 ack 1\n+100ms\n< . 1 ack 1\n~200ms > . 1:1461 ack 1\n"
             "~600ms > . 1:537 ack 1\ndiscard 2\n+100ms\n< . 1 ack 2921\nsend 100\n> . 2921:3021 ack 1\n"
             "~1200ms > . 2921:3021 ack 1\n"},
    {"with time stamps a segment sent twice is measured (RFC 7323 4)",
     SCRIPT_ESTABLISHED_ALL "send 100\n> . 1:101 ack 1\n+5s\ndiscard\n< . 1 ack 101 win 512 <ts 200 0>\n"
                            "unsent 0\nsend 10\n> . 101:111 ack 1\n"},
    {"its echo says that the last sending arrived: measured from there", SCRIPT_ESTABLISHED_ALL BACKED_OFF
     "< . 1 ack 101 win 512 <ts 200 1500>\nunsent 0\nsend 100\n> . 101:201 ack 1\n~65ms > . 101:201 ack 1\n~200ms > . 101:201 ack 1\n"},
    {"its echo is older: the first ACK was lost, so the time since is no measurement and the back-off stays",
     SCRIPT_ESTABLISHED_ALL BACKED_OFF
     "< . 1 ack 101 win 512 <ts 200 0>\nunsent 0\nsend 100\n> . 101:201 ack 1\n~42ms > . 101:201 ack 1\n~1600ms > . 101:201 ack 1\n"},
    {"5.4: the earliest segment alone is sent again",
     RTT_100 "send 5000\n>> . 1:5001 ack 1\n~300ms > . 1:1461 ack 1\n+500ms\nnothing\n"},
    {"after an ACK of that, the rest follows in slow start",
     RTT_100 "send 5000\n>> . 1:5001 ack 1\n~300ms > . 1:1461 ack 1\n+100ms\n< . 1 ack 1461\n"
             ">> . 1461:4381 ack 1\n+100ms\n< . 1 ack 4381\n> . 4381:5001 ack 1\n+100ms\n< . 1 ack 5001\n"
             "unsent 0\n+1s\nnothing\n"},
    {"an ACK that covers all ends it",
     RTT_100 "send 5000\n>> . 1:5001 ack 1\n~300ms > . 1:1461 ack 1\n< . 1 ack 5001\nunsent 0\n+5s\n"
             "nothing\n"},
    {"a part of a segment is acknowledged: the rest of it is sent again",
     RTT_100 "send 1000\n> . 1:1001 ack 1\n< . 1 ack 401\nunsent 600\n~250..450ms > . 401:1001 ack 1\n"},
    {"the retransmission carries the present acknowledgement",
     RTT_100 "send 100\n> . 1:101 ack 1\n+200ms\n< P. 1:51 ack 1\n~40ms > . 101 ack 51\n"
             "~55..60ms > . 1:101 ack 51\n"},
    {"sent again from a new frame, the first is still the device's",
     RTT_100 "send 500\n> . 1:501 ack 1\n~300ms > . 1:501 ack 1\n~600ms > . 1:501 ack 1\n"
             "counts send_frames 1\n"},
    {"5.7: after a SYN+ACK was sent again, data starts from 3 s",
     SCRIPT_LISTEN "~1s > S. 0 ack 1\n< . 1 ack 1\naccepted\nsend 100\n> . 1:101 ack 1\n"
                   "~3s > . 1:101 ack 1\n"},
    {"5.7: after a SYN was sent again, data starts from 3 s",
     SCRIPT_CONNECT "~1s > S 0\n< S. 0 ack 1 win 65535 <mss 1460>\n> . 1 ack 1\nsend 100\n> . 1:101 ack 1\n"
                    "~3s > . 1:101 ack 1\n"},
    {"R2: ten retransmissions, then it is over (0.2, 0.4 ... 51.2, 60, 60 s)",
     SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\n~200ms > . 1:101 ack 1\n~400ms > . 1:101 ack 1\n"
                        "~800ms > . 1:101 ack 1\n~1600ms > . 1:101 ack 1\n~3200ms > . 1:101 ack 1\n"
                        "~6400ms > . 1:101 ack 1\n~12800ms > . 1:101 ack 1\n~25600ms > . 1:101 ack 1\n"
                        "~51200ms > . 1:101 ack 1\n~60s > . 1:101 ack 1\n+59900ms\nopen\n+200ms\n"
                        "closed TIMED_OUT\ncounts connections 0 send_frames 0\n"
                        "counter tcp_timeouts 10\ncounter tcp_given_up 1\n"},
    {"R2: progress starts the count anew",
     SCRIPT_ESTABLISHED "send 3000\n>> . 1:3001 ack 1\n+100s\ndiscard 12\nopen\n< . 1 ack 1461\ndiscard\n"
                        "+100s\ndiscard 12\nopen\n< . 1 ack 3001\ndiscard\nunsent 0\n"},
    {"R2 of an unreachable peer: its end says time-out (soft errors do not end it, RFC 1122 4.2.3.9)",
     SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\nicmp 3.1 seq 1\nopen\n+10min\ndiscard 10\n"
                        "closed TIMED_OUT\n"},
    {"an RTO of 60 s at most",
     "listen\n< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\nsend 100\n> . 1:101 ack 1\n+102300ms\n"
     "discard 9\n~59..60s > . 1:101 ack 1\n+59s\nopen\n"},
    {"data and the retransmission timer survive a long idle time",
     RTT_100 "+10min\nsend 100\n> . 1:101 ack 1\n~300ms > . 1:101 ack 1\n"},
    {"user data written while backing off does not leave early",
     RTT_100 "send 500\n> . 1:501 ack 1\n~300ms > . 1:501 ack 1\nsend 1460\nnothing\n"
             "~600ms > . 1:501 ack 1\n"},
    {"a retransmission finds no frame: it is tried again, the stream goes on",
     RTT_100 "send 100\n> . 1:101 ack 1\nstarve 0\n+400ms\nnothing\nfeed\n~0..700ms > . 1:101 ack 1\n"
             "< . 1 ack 101\nunsent 0\n"},

    {"no frame to be had, and the peer is gone: R2 ends it all the same", SCRIPT_ESTABLISHED_ALL
     "send 100\n> . 1:101 ack 1\nstarve 0\n+4min\ndiscard\nclosed TIMED_OUT\nfeed\ncounts connections 0 send_frames 0\n"},

    /* RFC 8985 7.3: a tail loss probe goes before the RTO, which starts anew from it */
    {"with SACK a probe after 2 SRTT + 40 ms, then the RTO (RFC 8985 7)",
     RTT_100_SACK "send 100\n> . 1:101 ack 1\n~240ms > . 1:101 ack 1\n~300ms > . 1:101 ack 1\n"
                  "~600ms > . 1:101 ack 1\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: retransmission timer", scripts, sizeof scripts / sizeof scripts[0], argc,
                            argv);
}
