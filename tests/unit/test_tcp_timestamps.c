/*
 * test_tcp_timestamps.c - RFC 7323: the time stamps option, which one is echoed, PAWS; window scaling at
 * work.
 */
#include "tcp_script.h"

static const struct tcp_script scripts[] = {
    {"3.2: on every segment once agreed",
     SCRIPT_ESTABLISHED_ALL "send 100\n> . 1:101 ack 1 <ts 0 100>\n+50ms\ndiscard\n"
                            "< P. 1:11 ack 101 win 512 <ts 150 0>\n~40ms > . 101 ack 11 <ts * 150>\n"},
    {"our clock ticks in milliseconds",
     SCRIPT_ESTABLISHED_ALL "+1234ms\nsend 1\n> . 1:2 ack 1 <ts 1234 100>\n"},
    {"3.2: in a reset, if there is one, the echo is right", SCRIPT_ESTABLISHED_ALL "abort\n> R? 1\n"},
    {"on SYN the echo of a SYN+ACK is the SYN's",
     "listen\n< S 0 <mss 1460,ts 4000000000 0>\n> S. 0 ack 1 <mss 1460,ts 0 4000000000>\n"},
    {"on SYN the echo field is zero", SCRIPT_CONNECT},

    /* 4.3: "(2) If: SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent then SEG.TSval is copied" */
    {"4.3: the echo follows segments in order",
     SCRIPT_ESTABLISHED_ALL "< P. 1:11 ack 1 win 512 <ts 110 0>\n~40ms > . 1 ack 11 <ts * 110>\n"
                            "< P. 11:21 ack 1 win 512 <ts 120 0>\n~40ms > . 1 ack 21 <ts * 120>\n"},
    {"4.3: delayed ACKs echo the earliest unacknowledged",
     SCRIPT_ESTABLISHED_ALL "< . 1:101 ack 1 win 512 <ts 110 0>\n< . 101:201 ack 1 win 512 <ts 120 0>\n"
                            "~0..40ms > . 1 ack 201 <ts * 110>\n"},
    {"4.3: a hole: the echo is of the last in order",
     SCRIPT_ESTABLISHED_ALL "< . 1:101 ack 1 win 512 <ts 110 0>\n~40ms > . 1 ack 101 <ts * 110>\n"
                            "< . 201:301 ack 1 win 512 <ts 120 0>\n> . 1 ack 101 <ts * 110,sack 201-301>\n"},
    {"4.3: filling the hole: the echo is of the segment that filled it",
     SCRIPT_ESTABLISHED_ALL "< . 101:201 ack 1 win 512 <ts 120 0>\n> . 1 ack 1 <ts * 100,sack 101-201>\n"
                            "< . 1:101 ack 1 win 512 <ts 130 0>\n> . 1 ack 201 <ts * 130>\n"},
    {"4.3: a keepalive's stamp is echoed (SEG.SEQ below RCV.NXT, not acceptable: not taken)",
     SCRIPT_ESTABLISHED_ALL "< . 0 ack 1 win 512 <ts 150 0>\n> . 1 ack 1\n"},

    /* 5.3 */
    {"PAWS: an older stamp: acknowledged and dropped (R1)",
     SCRIPT_ESTABLISHED_ALL "< P. 1:101 ack 1 win 512 <ts 99 0>\n> . 1 ack 1 <ts * 100>\nreceived 0\n"
                            "counter tcp_old_time_stamp 1\n"},
    {"PAWS: an equal stamp passes",
     SCRIPT_ESTABLISHED_ALL "< P. 1:101 ack 1 win 512 <ts 100 0>\nreceived 100\n~40ms > . 1 ack 101\n"},
    {"PAWS: RST with an old stamp at RCV.NXT still resets (5.2: RST is not subject to PAWS)",
     SCRIPT_ESTABLISHED_ALL "< R 1 <ts 50 0>\nclosed RESET\n"},
    {"PAWS: RST without a stamp resets (3.2)", SCRIPT_ESTABLISHED_ALL "< R 1\nclosed RESET\n"},
    {"PAWS: the stamp of an old FIN",
     SCRIPT_ESTABLISHED_ALL "< F. 1 ack 1 win 512 <ts 3 0>\n> . 1 ack 1\nnot ended\n"},
    {"PAWS: stamps wrap",
     "listen\n< S 0 <mss 1460,ts 4294967295 0>\n> S. 0 ack 1\n< . 1 ack 1 <ts 4294967295 0>\n"
     "< P. 1:101 ack 1 <ts 5 0>\nreceived 100\n~40ms > . 1 ack 101 <ts * 5>\n"},
    {"PAWS: half of the number space away is old",
     SCRIPT_ESTABLISHED_ALL "< P. 1:11 ack 1 <ts 2147483800 0>\n> . 1 ack 1\nreceived 0\n"},
    {"PAWS: a segment out of the window does not move TS.Recent",
     SCRIPT_ESTABLISHED_ALL "< P. 90000:90010 ack 1 <ts 500 0>\n> . 1 ack 1 <ts * 100>\n"
                            "< P. 1:11 ack 1 <ts 101 0>\nreceived 10\ndiscard\n"},
    {"PAWS: after 24 days of silence any stamp is taken (5.5)",
     SCRIPT_ESTABLISHED_ALL "+35791min\n< P. 1:11 ack 1 <ts 50 0>\nreceived 10\ndiscard\n"},
    {"PAWS: in SYN-RECEIVED",
     "listen\n< S 0 <mss 1460,ts 100 0>\n> S. 0 ack 1\n< . 1 ack 1 <ts 99 0>\ndiscard 1 unreset\n"
     "not accepted\n< . 1 ack 1 <ts 100 0>\naccepted\n"},
    {"PAWS: old duplicates are answered a bounded number of times",
     SCRIPT_ESTABLISHED_ALL "repeat 60\n< . 1 ack 1 <ts 99 0>\ndiscard 1 unreset\nend\n"
                            "< . 1 ack 1 <ts 99 0>\nnothing\n"},

    /* 3.2: "If a non-<RST> segment is received without a TSopt, a TCP SHOULD silently drop the segment." */
    {"a segment without its stamp is dropped in silence, others follow (3.2)",
     SCRIPT_ESTABLISHED_ALL "< P. 1:101 ack 1 win 512\nreceived 0\nnothing\n"
                            "< P. 1:101 ack 1 win 512 <ts 101 0>\nreceived 100\ndiscard\n"
                            "counter tcp_no_time_stamp 1\n"},
    {"the handshake's ACK without stamps (a known bug elsewhere): the peer that omits them once is served "
     "when it sends again with them",
     "listen\n< S 0 win 65535 <mss 1460,sackOK,ts 100 0,wscale 7>\n> S. 0 ack 1\n< . 1 ack 1 win 512\n"
     "discard 1 unreset\n< P. 1:11 ack 1 win 512 <ts 105 0>\naccepted\nreceived 10\ndiscard\n"},
    {"an echo that was never sent does not poison the round-trip time",
     SCRIPT_ESTABLISHED_ALL "send 100\n> . 1:101 ack 1\n< . 1 ack 101 win 512 <ts 101 =77>\nunsent 0\n"
                            "send 100\n> . 101:201 ack 1\n~0..1003ms > . 101:201 ack 1\n"},

    /* 2 */
    {"the peer's scale multiplies its windows",
     "listen\n< S 0 win 600 <mss 1460,ts 100 0,wscale 7>\n> S. 0 ack 1\n< . 1 ack 1 win 4 <ts 100 0>\n"
     "send 1000\n> . 1:513 ack 1\n"},
    {"our scale divides our windows",
     "config receive_bytes 262144\nlisten\n< S 0 win 65535 <mss 1460,wscale 0>\n"
     "> S. 0 ack 1 win 65535 <mss 1460,wscale 3>\n< P. 1:11 ack 1\n~40ms > . 1 ack 11 win 32768\n"},
    {"with a scale, data beyond 64 KiB is in the window",
     "config receive_bytes 262144\nlisten\n< S 0 win 65535 <mss 1460,wscale 0>\n> S. 0 ack 1\n"
     "< P. 1:11 ack 1\n~40ms > . 1 ack 11\n< . 200011:200021 ack 1\n> . 1 ack 11\ncounts receive_frames 1\n"},
    {"the right edge never moves left by rounding (2.4)",
     "config receive_bytes 262144\nlisten\n< S 0 win 65535 <mss 1460,wscale 0>\n> S. 0 ack 1\n"
     "on accepted hold\n< P. 1:4 ack 1\n~0..50ms > . 1 ack 4 win 32767\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: time stamps and window scale", scripts, sizeof scripts / sizeof scripts[0],
                            argc, argv);
}
