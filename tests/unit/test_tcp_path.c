/*
 * test_tcp_path.c - path MTU: RFC 1191 with the checks of RFC 5927, black holes without ICMP (RFC 2923),
 * and what fits.
 */
#include "tcp_script.h"

#define THREE_OUT SCRIPT_ESTABLISHED "send 4380\n>> . 1:4381 ack 1\n"
#define LOWERED                                                                                              \
    THREE_OUT                                                                                                \
    "icmp 3.4 seq 1 mtu 576\n~0..303ms > . 1:537 ack 1\ndiscard\n< . 1 ack 4381\ndiscard\nunsent 0\n"

static const struct tcp_script scripts[] = {
    {"fragmentation needed: sent again in smaller segments, without waiting for more time-outs",
     THREE_OUT "icmp 3.4 seq 1 mtu 576\n~0..303ms > . 1:537 ack 1\ndiscard 8\n"},
    {"what was cut up arrives whole",
     THREE_OUT "icmp 3.4 seq 1 mtu 576\n~0..303ms > . 1:537 ack 1\ndiscard\nrepeat 20\n+100ms\ndiscard\n"
               "end\n< . 1 ack 1000\ndiscard\n+1s\ndiscard\n< . 1 ack 4381\nunsent 0\ndiscard\n+2s\n"
               "nothing\n"},
    {"later segments are small from the start",
     LOWERED "send 1000\n> . 4381:4917 ack 1\n> . 4917:5381 ack 1\n"},
    {"the options are deducted",
     SCRIPT_ESTABLISHED_ALL "send 2896\n>> . 1:2897 ack 1\nicmp 3.4 seq 1 mtu 1000\n"
                            "~0..303ms > . 1:949 ack 1\ndiscard 3\n"},
    {"RFC 5927: a quoted number below what is in flight is forged",
     THREE_OUT "icmp 3.4 seq 0 mtu 576\nicmp 3.4 seq 4294960000 mtu 576\n~200ms > . 1:1461 ack 1\n"},
    {"RFC 5927: a quoted number beyond what is in flight is forged",
     THREE_OUT "icmp 3.4 seq 4381 mtu 576\nicmp 3.4 seq 9000000 mtu 576\n~200ms > . 1:1461 ack 1\n"
               "counter tcp_icmp_strange 2\n"},
    {"RFC 5927: nothing in flight, nothing to believe",
     SCRIPT_ESTABLISHED "icmp 3.4 seq 1 mtu 576\nicmp 3.4 seq 0 mtu 576\nsend 1460\n> . 1:1461 ack 1\n"},
    {"an MTU that is no smaller changes nothing",
     THREE_OUT "icmp 3.4 seq 1 mtu 1500\nicmp 3.4 seq 1 mtu 9000\nicmp 3.4 seq 1 mtu 65535\nnothing\n"
               "~200ms > . 1:1461 ack 1\n"},
    {"a tiny MTU is not believed: it would shred the stream",
     THREE_OUT "icmp 3.4 seq 1 mtu 68\nicmp 3.4 seq 1 mtu 295\nnothing\n~200ms > . 1:1461 ack 1\n"},
    {"an MTU of 1",
     THREE_OUT "icmp 3.4 seq 1 mtu 1\n+1s\ndiscard\n< . 1 ack 4381\ndiscard\nunsent 0\nopen\n"},
    {"MTU 0: an old router: the next plateau below (RFC 1191 7: 1492)",
     THREE_OUT "icmp 3.4 seq 1 mtu 0\n~0..303ms > . 1:1453 ack 1\ndiscard 5\n"},
    {"the same news twice does not halve twice",
     THREE_OUT "icmp 3.4 seq 1 mtu 1000\n> . 1:961 ack 1\ndiscard\nicmp 3.4 seq 1 mtu 1000\nnothing\n"
               "< . 1 ack 4381\ndiscard\nsend 960\n> . 4381:5341 ack 1\n"},
    {"two routers, one behind the other",
     THREE_OUT "icmp 3.4 seq 1 mtu 1400\n~0..303ms > . 1:1361 ack 1\ndiscard\nicmp 3.4 seq 1 mtu 1000\n"
               "~0..603ms > . 1:961 ack 1\ndiscard 5\n"},
    {"fragmentation needed while a SYN is out: the opening goes on",
     SCRIPT_CONNECT "icmp 3.4 seq 0 mtu 576\nopen\n+0ms\n< S. 0 ack 1 win 65535 <mss 1460>\n> . 1 ack 1\n"
                    "send 1000\n>> . 1:1001 ack 1\n"},
    {"a black hole: after two time-outs of full segments, 536 (RFC 1191, DESIGN 7)",
     THREE_OUT "~200ms > . 1:1461 ack 1\n~400ms > . 1:537 ack 1\ndiscard 2\n"},
    {"a black hole is survived without any ICMP",
     SCRIPT_ESTABLISHED "send 1460\n> . 1:1461 ack 1\n+2s\ndiscard\n< . 1 ack 537\n>> . 537:1461 ack 1\n"
                        "< . 1 ack 1461\nunsent 0\nsend 1000\n> . 1461:1997 ack 1\ndiscard\n"},
    {"small segments that are lost are no black hole",
     SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\n+2s\ndiscard\n< . 1 ack 101\nsend 1460\n"
                        "> . 101:1561 ack 1\n"},
    {"after ten minutes a larger size is tried again (RFC 1191 6.3)",
     LOWERED "+10min\n+5s\nsend 10\n> . 4381:4391 ack 1\nsend 1460\n> . 4391:5851 ack 1\n"},
    {"not before that", LOWERED "+9min\nsend 1460\n> . 4381:4917 ack 1\ndiscard\n"},
    {"a peer's MSS below the path's stays the limit",
     "listen\n< S 0 win 65535 <mss 500>\n> S. 0 ack 1\n< . 1 ack 1\nsend 1000\n>> . 1:1001 ack 1\n"
     "icmp 3.4 seq 1 mtu 1400\n~200ms > . 1:501 ack 1\n"},
    {"SACKed segments are not cut or sent again",
     "listen\n< S 0 win 65535 <mss 1460,sackOK>\n> S. 0 ack 1\n+100ms\n< . 1 ack 1\nsend 4380\n"
     ">> . 1:4381 ack 1\n+100ms\n< . 1 ack 1 <sack 2921-4381>\nicmp 3.4 seq 1 mtu 1000\n"
     "~0..100ms > . 1:961 ack 1\ndiscard\n+100ms\ndiscard\n< . 1 ack 4381\nunsent 0\n"},
    {"no segment is longer than the link allows",
     "mtu 1280\n" SCRIPT_ESTABLISHED "send 3000\n>> . 1:3001 ack 1\n"},
    {"fragmentation needed of a closed connection",
     THREE_OUT "abort\n> R? 4381\nclosed ABORTED\nicmp 3.4 seq 1 mtu 576\nnothing\n"},
    {"fragmentation needed with FIN in flight",
     SCRIPT_ESTABLISHED "send 1460\n> . 1:1461 ack 1\nclose\n> F. 1461 ack 1\nicmp 3.4 seq 1 mtu 576\n"
                        "> . 1:537 ack 1\ndiscard 3\n+300ms\ndiscard\n+3s\ndiscard\n< . 1 ack 1462\n"
                        "discard\nstate FIN_WAIT_2\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: path MTU", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
