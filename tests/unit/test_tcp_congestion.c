/*
 * test_tcp_congestion.c - how much leaves: RFC 6928, RFC 5681, RFC 6582, RFC 3042; connections without
 * SACK.
 */
#include "tcp_script.h"

#define RTT_100 SCRIPT_LISTEN "+100ms\n< . 1 ack 1 win 65535\naccepted\n"
/* Ten segments in flight, four more wait. */
#define TEN_OUT RTT_100 "send 20440\n>> . 1:14601 ack 1\n"
/* Three duplicates: limited transmit, then the retransmission. */
#define RECOVERING                                                                                           \
    TEN_OUT                                                                                                  \
    "+100ms\n< . 1 ack 1\n> . 14601:16061 ack 1\n< . 1 ack 1\n> . 16061:17521 ack 1\n"                       \
    "< . 1 ack 1\n> . 1:1461 ack 1\n"

static const struct tcp_script scripts[] = {
    {"RFC 6928: ten segments at first", TEN_OUT "nothing\n"},
    {"RFC 6928: ten segments of 536",
     "listen\n< S 0 win 65535\n> S. 0 ack 1\n< . 1 ack 1\nsend 20000\n>> . 1:5361 ack 1\nnothing\n"},
    {"RFC 6928 2, RFC 5681 3.1: one when the SYN+ACK had to be sent again, twice",
     SCRIPT_LISTEN "~1s > S. 0 ack 1\n~2s > S. 0 ack 1\n< . 1 ack 1\nsend 20000\n> . 1:1461 ack 1\n"
                   "nothing\n"},
    {"RFC 5681 3.1: slow start: an ACK of one segment lets two out",
     TEN_OUT "+100ms\n< . 1 ack 1461\n>> . 14601:17521 ack 1\nnothing\n"},
    {"RFC 5681 3.1: slow start: an ACK of two lets at least three out, at most four (RFC 3465)",
     TEN_OUT "+100ms\n< . 1 ack 2921\n>> . 14601:18981 ack 1\ndiscard 1\n"},
    {"an ACK of part of a segment is no invitation (ACK division, RFC 3465)",
     TEN_OUT "+100ms\n< . 1 ack 101\n< . 1 ack 201\n< . 1 ack 301\n< . 1 ack 401\ndiscard 1\n"},
    {"dup ACKs that ack nothing do not grow the window before the third (3042: one each)",
     TEN_OUT "< . 1 ack 1\n> . 14601:16061 ack 1\n< . 1 ack 1\n> . 16061:17521 ack 1\n"},
    {"RFC 3042: limited transmit needs new data",
     RTT_100 "send 14600\n>> . 1:14601 ack 1\n< . 1 ack 1\nnothing\n< . 1 ack 1\nnothing\n"},
    {"RFC 3042: limited transmit respects the peer's window",
     RTT_100 "< . 1 ack 1 win 14600\nsend 20440\n>> . 1:14601 ack 1\n< . 1 ack 1 win 14600\nnothing\n"
             "< . 1 ack 1 win 14600\nnothing\n"},
    {"RFC 5681 3.2: the third duplicate sends the missing segment again", RECOVERING "nothing\n"},
    {"RFC 5681 3.2: two duplicates do not",
     RTT_100 "send 5840\n>> . 1:5841 ack 1\n< . 1 ack 1\n< . 1 ack 1\nnothing\n"},
    {"RFC 5681 2: an ACK with data is no duplicate",
     RTT_100 "send 5840\n>> . 1:5841 ack 1\n< P. 1:2 ack 1\n< P. 2:3 ack 1\n> . 5841 ack 3\n"
             "< P. 3:4 ack 1\n< P. 4:5 ack 1\n> . 5841 ack 5\n"},
    {"RFC 5681 2: an ACK that moves the window is no duplicate",
     RTT_100 "send 5840\n>> . 1:5841 ack 1\n< . 1 ack 1 win 60000\n< . 1 ack 1 win 61000\n"
             "< . 1 ack 1 win 62000\n< . 1 ack 1 win 63000\nnothing\n"},
    {"RFC 5681 2: nothing in flight, no duplicate",
     RTT_100 "repeat 10\n< . 1 ack 1\nnothing\nend\nsend 100\n> . 1:101 ack 1\n"},
    {"dup ACKs of a peer that answers old segments: not thrice the same retransmission",
     RECOVERING "< . 1 ack 1\ndiscard 1\n< . 1 ack 1\ndiscard 1\n< . 1 ack 1\ndiscard 1\n"},
    {"RFC 6582: a partial ACK sends the next hole again at once",
     RECOVERING "+100ms\n< . 1 ack 2921\n> . 2921:4381 ack 1\ndiscard 3\n"},
    {"RFC 6582: the full ACK ends recovery; half the window is left",
     RECOVERING "+100ms\n< . 1 ack 17521\n> . 17521:18981 ack 1\n> . 18981:20441 ack 1\nunsent 2920\n"
                "+100ms\n< . 1 ack 20441\nunsent 0\n"},
    {"RFC 6582: after a fast retransmit no second one for the same window",
     RECOVERING "< . 1 ack 1461\n> . 1461:2921 ack 1\ndiscard 3\n< . 1 ack 17521\ndiscard 2\n"
                "< . 1 ack 17521\n< . 1 ack 17521\n< . 1 ack 17521\ndiscard 1\n"},
    {"recovery whose retransmission is lost falls back on the timer (RFC 6582, RFC 6298)",
     RECOVERING "~0..400ms > . 1:1461 ack 1\n+100ms\n< . 1 ack 17521\ndiscard\n+100ms\n< . 1 ack 20441\n"
                "unsent 0\n"},
    {"RFC 5681 3.1 (4): after a time-out one segment, then slow start up to half",
     TEN_OUT "~300ms > . 1:1461 ack 1\n+100ms\n< . 1 ack 1461\n>> . 1461:4381 ack 1\n+100ms\n"
             "< . 1 ack 4381\ndiscard 4\n"},
    {"RFC 5681 3.1: congestion avoidance: about one segment each round trip",
     RECOVERING "+100ms\n< . 1 ack 17521\ndiscard 2\n< . 1 ack 20441\nsend 60000\ndiscard 6\nnothing\n"},
    {"RFC 5681 4.1: after an idle time, ten segments at most",
     TEN_OUT "+100ms\n< . 1 ack 14601\ndiscard\n< . 1 ack 20441\nunsent 0\n+10s\nsend 60000\n"
             ">> . 20441:35041 ack 1\nnothing\n"},
    {"RFC 7661's reason: a window that was not used does not grow",
     RTT_100 "send 100\n> . 1:101 ack 1\n+100ms\n< . 1 ack 101\nsend 100\n> . 101:201 ack 1\n+100ms\n"
             "< . 1 ack 201\nsend 100\n> . 201:301 ack 1\n+100ms\n< . 1 ack 301\nsend 30000\n"
             ">> . 301:14901 ack 1\ndiscard 3\n"},
    {"misbehaving receivers: ACKs of what was not sent do not open the window (Savage et al., 1999)",
     TEN_OUT "repeat 5\n< . 1 ack 14602\ndiscard 1\nend\nunsent 20440\n"},
    {"the peer's window is the limit where it is the smaller",
     "listen\n< S 0 win 4380 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1 win 4380\nsend 10000\n"
     ">> . 1:4381 ack 1\nnothing\n< . 1 ack 1461 win 4380\n> . 4381:5841 ack 1\n"},
    {"reordering of one segment by two: no retransmission",
     RTT_100 "send 5840\n>> . 1:5841 ack 1\n+50ms\n< . 1 ack 1\n< . 1 ack 1\n< . 1 ack 5841\nnothing\n"
             "unsent 0\n+2s\nnothing\n"},
    {"the send limit holds, writable follows",
     "config send_bytes 14600\n" SCRIPT_ESTABLISHED "send 20000 takes 14600\n>> . 1:14601 ack 1\n"
     "send 1 takes 0\nnot writable\n< . 1 ack 14601\n"
     "writable\nsend 100\n> . 14601:14701 ack 1\n"},
    {"frames for what is sent are bounded",
     "config send_frames 3\n" SCRIPT_ESTABLISHED "send 10000 takes 4380\n>> . 1:4381 ack 1\n"
     "counts send_frames 3\n< . 1 ack 4381\nwritable\n"
     "send 1460\n> . 4381:5841 ack 1\n"},
    {"no frame to be had: nothing is taken, writable follows",
     SCRIPT_ESTABLISHED "starve 0\nsend 100 takes 0\nfeed\n+1s\nwritable\nsend 100\n> . 1:101 ack 1\n"},
    {"small writes of one burst share a segment",
     SCRIPT_ESTABLISHED "on received send 10\n<+ P. 1:2 ack 1\n< P. 2:3 ack 1\n> . 1:11 ack 3\n"},
    {"no Nagle: a small write leaves while another is in flight",
     SCRIPT_ESTABLISHED "send 10\n> . 1:11 ack 1\nsend 10\n> . 11:21 ack 1\nsend 10\n> . 21:31 ack 1\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: congestion", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
