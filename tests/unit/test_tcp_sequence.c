/*
 * test_tcp_sequence.c - RFC 9293 3.4 and 3.10.7.4 first, fifth, sixth and seventh: which segments are
 * acceptable, what of them is new, and what is delivered, when.
 */
#include "tcp_script.h"

static const struct tcp_script scripts[] = {
    /* 3.4: the four cases */
    {"length 0, window open: RCV.NXT is acceptable", SCRIPT_ESTABLISHED "< . 1 ack 1\nnothing\n"},
    {"length 0, window open: in the window is acceptable",
     SCRIPT_ESTABLISHED "< . 500 ack 1\nnothing\n< . 65535 ack 1\nnothing\n"},
    {"length 0, window open: before it is acknowledged and dropped",
     SCRIPT_ESTABLISHED "< . 0 ack 1\n> . 1 ack 1\n"},
    {"length 0, window open: far away is acknowledged and dropped",
     SCRIPT_ESTABLISHED "< . 200000 ack 1\n> . 1 ack 1\n"},
    {"length 0, window closed: RCV.NXT alone",
     "config receive_bytes 2920\n" SCRIPT_ESTABLISHED "hold\n<+ . 1:1461 ack 1\n< . 1461:2921 ack 1\n"
     "discard\n< . 2921 ack 1\nnothing\n< . 2922 ack 1\n"
     "> . 1 ack 2921 win 0\n"},
    {"length > 0, window closed: not acceptable, acknowledged; its ACK counts",
     "config receive_bytes 2920\n" SCRIPT_ESTABLISHED "send 10\n> . 1:11 ack 1\nhold\n<+ . 1:1461 ack 1\n"
     "< . 1461:2921 ack 1\ndiscard\n< . 2921:2922 ack 11\n"
     "> . 11 ack 2921 win 0\nunsent 0\n"},
    {"length > 0: ends before the window: acknowledged",
     SCRIPT_ESTABLISHED "< . 4294967200:4294967250 ack 1\n> . 1 ack 1\nreceived 0\n"},
    {"length > 0: begins beyond the window: acknowledged",
     SCRIPT_ESTABLISHED "< . 65536:65546 ack 1\n> . 1 ack 1\nreceived 0\n"},
    {"length > 0: begins in the window, ends beyond: what fits is taken",
     "config receive_bytes 3000\n" SCRIPT_ESTABLISHED "hold\n<+ . 1:1461 ack 1\n<+ . 1461:2921 ack 1\n"
     "< . 2921:4381 ack 1\n> . 1 ack 3001 win 0\nresume\n"
     "received 3000\ndiscard\n"},
    {"length > 0: begins before, ends in the window: the new part is taken",
     SCRIPT_ESTABLISHED "< . 1:101 ack 1\n< . 51:201 ack 1\nreceived 200\ndiscard\n"},
    {"data in order is delivered at once, acknowledged within 40 ms",
     SCRIPT_ESTABLISHED "< P. 1:101 ack 1\nreceived 100\nnothing\n~40ms > . 1 ack 101\n"},
    {"every second full segment is acknowledged at once (RFC 5681 4.2)",
     SCRIPT_ESTABLISHED "< . 1:1461 ack 1\nnothing\n< . 1461:2921 ack 1\n> . 1 ack 2921\n"
                        "< . 2921:4381 ack 1\nnothing\n< . 4381:5841 ack 1\n> . 1 ack 5841\n"},
    {"a reply carries the acknowledgement",
     SCRIPT_ESTABLISHED "on received send 20\n< P. 1:101 ack 1\n> . 1:21 ack 101\n+1s\ndiscard\n"
                        "< . 101 ack 21\nunsent 0\n"},
    {"a burst of requests is answered by one segment",
     SCRIPT_ESTABLISHED "on received send 20\n<+ P. 1:101 ack 1\n<+ P. 101:201 ack 1\n< P. 201:301 ack 1\n"
                        "> . 1:21 ack 301\nreceived 300\n"},
    {"an old duplicate is acknowledged, its bytes are not delivered again",
     SCRIPT_ESTABLISHED "< P. 1:101 ack 1\n~40ms > . 1 ack 101\n< P. 1:101 ack 1\n> . 1 ack 101\n"
                        "received 100\n"},
    {"a duplicate within one burst",
     SCRIPT_ESTABLISHED "<+ P. 1:101 ack 1\n< P. 1:101 ack 1\n> . 1 ack 101\nreceived 100\n"},
    {"an old duplicate with other bytes changes nothing",
     SCRIPT_ESTABLISHED "< P. 1:101 ack 1\n< P. 1:101 ack 1 junk\nreceived 100\ndiscard\n"},
    {"a segment that is old as a whole is dropped as a whole, its ACK with it (3.10.7.4, first)",
     SCRIPT_ESTABLISHED "send 50\n> . 1:51 ack 1\n< P. 1:101 ack 1\n< . 1:101 ack 51\n> . 51 ack 101\n"
                        "unsent 50\n< . 101 ack 51\nunsent 0\n"},

    /* 3.10.7.4 seventh; RFC 5681 4.2: out of order is acknowledged at once */
    {"out of order: an immediate duplicate ACK, delivered once whole",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\nreceived 0\n< . 1:101 ack 1\n> . 1 ack 201\n"
                        "received 200\n"},
    {"out of order: three pieces backwards",
     SCRIPT_ESTABLISHED "< . 201:301 ack 1\n> . 1 ack 1\n< . 101:201 ack 1\n> . 1 ack 1\n< . 1:101 ack 1\n"
                        "> . 1 ack 301\nreceived 300\n"},
    {"out of order: filling one of two gaps is acknowledged at once",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\n< . 301:401 ack 1\n> . 1 ack 1\n< . 1:101 ack 1\n"
                        "> . 1 ack 201\nreceived 200\n< . 201:301 ack 1\n> . 1 ack 401\nreceived 400\n"},
    {"out of order: the same piece twice",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\n< . 101:201 ack 1\n> . 1 ack 1\n"
                        "counts receive_frames 1\n< . 1:101 ack 1\n> . 1 ack 201\nreceived 200\n"},
    {"overlap: a later piece covers an earlier one whole",
     SCRIPT_ESTABLISHED "< . 101:151 ack 1\n> . 1 ack 1\n< . 51:301 ack 1\n> . 1 ack 1\n< . 1:51 ack 1\n"
                        "> . 1 ack 301\nreceived 300\n"},
    {"overlap: a piece lies inside an earlier one",
     SCRIPT_ESTABLISHED "< . 51:301 ack 1\n> . 1 ack 1\n< . 101:151 ack 1\n> . 1 ack 1\n< . 1:51 ack 1\n"
                        "> . 1 ack 301\nreceived 300\n"},
    {"overlap: left edge",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\n< . 51:151 ack 1\n> . 1 ack 1\n< . 1:60 ack 1\n"
                        "> . 1 ack 201\nreceived 200\n"},
    {"overlap: right edge",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\n< . 151:301 ack 1\n> . 1 ack 1\n< . 1:101 ack 1\n"
                        "> . 1 ack 301\nreceived 300\n"},
    {"overlap: one piece closes the gap between two and covers parts of both",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\n< . 301:401 ack 1\n> . 1 ack 1\n"
                        "< . 151:351 ack 1\n> . 1 ack 1\n< . 1:101 ack 1\n> . 1 ack 401\nreceived 400\n"},
    {"overlap: one piece covers five",
     SCRIPT_ESTABLISHED "<+ . 101:111 ack 1\n<+ . 121:131 ack 1\n<+ . 141:151 ack 1\n<+ . 161:171 ack 1\n"
                        "< . 181:191 ack 1\ndiscard 5\n< . 51:301 ack 1\n> . 1 ack 1\n< . 1:51 ack 1\n"
                        "> . 1 ack 301\nreceived 300\n"},
    {"overlap: the segment in order covers all that waits",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\n< . 301:401 ack 1\n> . 1 ack 1\n< . 1:501 ack 1\n"
                        "> . 1 ack 501\nreceived 500\ncounts receive_frames 0\n"},
    {"overlap: the segment in order ends inside a waiting one",
     SCRIPT_ESTABLISHED "< . 101:201 ack 1\n> . 1 ack 1\n< . 1:151 ack 1\n> . 1 ack 201\nreceived 200\n"},
    {"overlap: bytes that were received first stay when junk follows in order",
     SCRIPT_ESTABLISHED "< . 1:101 ack 1\n< . 101:201 ack 1\n> . 1 ack 201\n< . 1:151 ack 1 junk\n"
                        "received 200\ndiscard\n"},
    {"the wrap: reassembly across sequence number 0",
     SCRIPT_ESTABLISHED "< . 11:31 ack 1\n> . 1 ack 1\n< . 1:11 ack 1\n> . 1 ack 31\nreceived 30\n"},
    {"out of order at the window's end is kept, beyond it is not",
     "config receive_bytes 4000\n" SCRIPT_ESTABLISHED "< . 3001:4401 ack 1\n> . 1 ack 1\n< . 1:1461 ack 1\n"
     "discard\n< . 1461:2921 ack 1\ndiscard\n"
     "< . 2921:3001 ack 1\nreceived 4000\ndiscard\n"},
    {"gaps are bounded: small pieces cannot fill the memory (CVE-2018-5390)",
     SCRIPT_ESTABLISHED "<+ . 3:4 ack 1\n<+ . 5:6 ack 1\n<+ . 7:8 ack 1\n<+ . 9:10 ack 1\n"
                        "<+ . 11:12 ack 1\n<+ . 13:14 ack 1\n<+ . 15:16 ack 1\n<+ . 17:18 ack 1\n"
                        "<+ . 19:20 ack 1\n<+ . 21:22 ack 1\n<+ . 23:24 ack 1\n<+ . 25:26 ack 1\n"
                        "<+ . 27:28 ack 1\n<+ . 29:30 ack 1\n<+ . 31:32 ack 1\n<+ . 33:34 ack 1\n"
                        "<+ . 35:36 ack 1\n<+ . 37:38 ack 1\n<+ . 39:40 ack 1\n<+ . 41:42 ack 1\n"
                        "<+ . 43:44 ack 1\n<+ . 45:46 ack 1\n<+ . 47:48 ack 1\n<+ . 49:50 ack 1\n"
                        "<+ . 51:52 ack 1\n<+ . 53:54 ack 1\n<+ . 55:56 ack 1\n<+ . 57:58 ack 1\n"
                        "<+ . 59:60 ack 1\n<+ . 61:62 ack 1\n<+ . 63:64 ack 1\n<+ . 65:66 ack 1\n"
                        "<+ . 67:68 ack 1\n<+ . 69:70 ack 1\n< . 71:72 ack 1\ndiscard 36\n"
                        "counts receive_frames 32\n< . 1:101 ack 1\n> . 1 ack 101\nreceived 100\n"
                        "counts receive_frames 0\n"
                        "counter tcp_gap_dropped_runs 3\n"},
    {"frames for what waits are bounded; what is acknowledged is never dropped",
     "config receive_frames 3\n" SCRIPT_ESTABLISHED "<+ . 101:201 ack 1\n<+ . 301:401 ack 1\n"
     "<+ . 501:601 ack 1\n<+ . 701:801 ack 1\n"
     "< . 901:1001 ack 1\ndiscard 5\n< . 1:101 ack 1\n"
     "> . 1 ack 201\n< . 201:701 ack 1\ndiscard 1\n"
     "< . 701:1001 ack 1\ndiscard 1\nreceived 1000\n"},

    /* fifth */
    {"no ACK bit: dropped",
     SCRIPT_ESTABLISHED "< P 1:11\nnothing\n< - 1\nnothing\n< F 1\nnothing\nreceived 0\nopen\n"},
    {"an acknowledgement frees what it covers",
     SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\nunsent 100\n< . 1 ack 51\nunsent 50\n< . 1 ack 101\n"
                        "unsent 0\ncounts send_frames 0\n"},
    {"a repeated acknowledgement is ignored",
     SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\n< . 1 ack 101\n< . 1 ack 101\n< . 1 ack 1\nnothing\n"
                        "unsent 0\n"},
    {"an old segment's window does not count (SND.WL1, SND.WL2)",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 1000\n< P. 1:101 ack 1 win 2000\n< . 1 ack 1 win 0\ndiscard\n"
                        "send 1500\n>> . 1:1501 ack 101\n"},

    /* sixth; RFC 6093, RFC 9293 3.8.5: urgent data in line */
    {"urgent data is delivered in line",
     SCRIPT_ESTABLISHED "< PU. 1:101 ack 1 urg 50\nreceived 100\n~40ms > . 1 ack 101\n"},
    {"an urgent pointer beyond the segment",
     SCRIPT_ESTABLISHED "< U. 1:11 ack 1 urg 60000\nreceived 10\n< U. 11 ack 1 urg 65535\n"
                        "~40ms > . 1 ack 11\n"},
    {"an urgent pointer of 0", SCRIPT_ESTABLISHED "< U. 1:11 ack 1 urg 0\nreceived 10\ndiscard\n"},
    {"an urgent pointer without URG", SCRIPT_ESTABLISHED "< . 1:11 ack 1 urg 5\nreceived 10\ndiscard\n"},

    /* RFC 3168 6.1: not negotiated, tolerated */
    {"ECN bits on data", SCRIPT_ESTABLISHED "< PEW. 1:101 ack 1\nreceived 100\n~40ms > . 1 ack 101\n"},
    {"ECN set-up SYN is answered as an ordinary one",
     "listen\n< SEW 0 win 65535 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},

    /* whoever hands segments over trims nothing */
    {"a segment shorter than its header is dropped",
     SCRIPT_ESTABLISHED "< . 1 ack 1 cut 1\nnothing\n< . 1 ack 1 cut 19\nnothing\n< . 1 ack 1 cut 20\n"
                        "nothing\nopen\n"
                        "counter tcp_malformed 3\n"},
    {"a data offset below 5 is dropped",
     SCRIPT_ESTABLISHED "< P. 1:11 ack 1 doff 4\nnothing\n< P. 1:11 ack 1 doff 0\nnothing\nreceived 0\n"},
    {"a data offset beyond the segment is dropped",
     SCRIPT_ESTABLISHED "< . 1 ack 1 doff 6\nnothing\n< P. 1:11 ack 1 doff 15\nnothing\nreceived 0\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: sequence numbers and delivery", scripts, sizeof scripts / sizeof scripts[0],
                            argc, argv);
}
