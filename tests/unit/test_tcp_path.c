/*
 * test_tcp_path.c - path MTU: RFC 1191 with the checks of RFC 5927, black holes without ICMP (RFC 2923),
 * and what fits.
 */
#include "tcp_script.h"

#define THREE_OUT SCRIPT_ESTABLISHED "send 4380\n>> . 1:4381 ack 1\n"
/* Nothing passes for 600 ms, then all does. */
#define OUTAGE                                                                                               \
    SCRIPT_ESTABLISHED                                                                                       \
    "send 1460\n> . 1:1461 ack 1\n~200ms > . 1:1461 ack 1\n~400ms > . 1:537 ack 1\n< . 1 ack 537\n"          \
    ">> . 537:1461 ack 1\n< . 1 ack 1461\n"
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
     SCRIPT_ESTABLISHED "send 1460\n> . 1:1461 ack 1\n~200ms > . 1:1461 ack 1\n~400ms > . 1:537 ack 1\n"
                        "< . 1 ack 537\n>> . 537:1461 ack 1\n"
                        "< . 1 ack 1461\nunsent 0\nsend 1000\n> . 1461:1997 ack 1\ndiscard\n"},
    {"an outage is no black hole: full segments leave again two seconds later, and when one has arrived that is that",
     OUTAGE "+2s\nsend 10\n> . 1461:1471 ack 1\n< . 1 ack 1471\nsend 1460\n> . 1471:2931 ack 1\n"
            "< . 1 ack 2931\ncounter tcp_path_raised 1\n"
            "send 1460\n> . 2931:4391 ack 1\n~180..450ms > . 2931:4391 ack 1\n< . 1 ack 4391\nsend 1460\n"
            "> . 4391:5851 ack 1\ncounter tcp_path_black_hole 1\n"},
    {"an outage in which all was sent that arrives after it: full segments leave again at once", THREE_OUT
     "~200ms > . 1:1461 ack 1\n~400ms > . 1:537 ack 1\n+100ms\n< . 1 ack 4381\nunsent 0\nsend 1460\n"
     "> . 4381:5841 ack 1\ncounter tcp_path_raised 1\n"},
    {"an outage that SACK tells to be over: full segments leave again at once", SCRIPT_ESTABLISHED_SACK
     "+10ms\nsend 4380\n>> . 1:4381 ack 1\n+1500ms\ndiscard\ncounter tcp_path_black_hole 1\n"
     "< . 1 ack 1461 <sack 2921-4381>\ndiscard\n< . 1 ack 4381\nsend 1460\n"
     "> . 4381:5841 ack 1\ncounter tcp_path_raised 1\n"},
    {"an outage of a minute: small segments as long as nothing is acknowledged",
     SCRIPT_ESTABLISHED "send 4380\n>> . 1:4381 ack 1\n~200ms > . 1:1461 ack 1\n~400ms > . 1:537 ack 1\n"
                        "~800ms > . 1:537 ack 1\n~1600ms > . 1:537 ack 1\n~3200ms > . 1:537 ack 1\n"
                        "~6400ms > . 1:537 ack 1\ncounter tcp_path_raised 0\n< . 1 ack 4381\n"
                        "send 1460\n> . 4381:5841 ack 1\n"},
    {"a black hole: the larger size is tried again, and given up with the first time-out, for twice as long",
     OUTAGE "+2s\nsend 10\n> . 1461:1471 ack 1\n< . 1 ack 1471\nsend 1460\n> . 1471:2931 ack 1\n"
            "~200ms > . 1471:2007 ack 1\n< . 1 ack 2931\ncounter tcp_path_black_hole 2\n"
            "+700ms\nsend 10\n> . 2931:2941 ack 1\n< . 1 ack 2941\nsend 536\n> . 2941:3477 ack 1\n"
            "< . 1 ack 3477\ncounter tcp_path_raised 1\n"
            "+3s\nsend 10\n> . 3477:3487 ack 1\n< . 1 ack 3487\nsend 1460\n> . 3487:4947 ack 1\n"
            "~200ms > . 3487:4023 ack 1\n< . 1 ack 4947\n+2s\nsend 10\n> . 4947:4957 ack 1\n"
            "< . 1 ack 4957\nsend 1460\n> . 4957:5493 ack 1\ndiscard\n"},
    {"a black hole: small segments until a round trip was measured again, else the attempt costs a backed-off RTO",
     SCRIPT_ESTABLISHED "send 2920\n>> . 1:2921 ack 1\n~200ms > . 1:1461 ack 1\n~400ms > . 1:537 ack 1\n"
                        "< . 1 ack 537\n>> . 537:1461 ack 1\n~800ms > . 537:1073 ack 1\n+1500ms\n"
                        "< . 1 ack 1461\n>> . 1461:2533 ack 1\n< . 1 ack 2921\ncounter tcp_path_raised 0\n"
                        "send 536\n> . 2921:3457 ack 1\n< . 1 ack 3457\nsend 1460\n> . 3457:4917 ack 1\n"
                        "counter tcp_path_raised 1\n"},
    {"a black hole: segments of another size that arrive prove nothing",
     OUTAGE "+2s\nsend 10\n> . 1461:1471 ack 1\n< . 1 ack 1471\nsend 1000\n> . 1471:2471 ack 1\n"
            "< . 1 ack 2471\nsend 1460\n> . 2471:3931 ack 1\n~180..300ms > . 2471:3007 ack 1\n"
            "counter tcp_path_black_hole 2\ndiscard\n"},
    {"what a router says about the size is not put in doubt by an outage before",
     OUTAGE "+2s\nsend 10\n> . 1461:1471 ack 1\n< . 1 ack 1471\nsend 1460\n> . 1471:2931 ack 1\n"
            "icmp 3.4 seq 1471 mtu 1000\n> . 1471:2431 ack 1\ndiscard\n< . 1 ack 2931\n+1min\nsend 10\n"
            "> . 2931:2941 ack 1\n< . 1 ack 2941\nsend 1460\n> . 2941:3901 ack 1\ndiscard\n"},
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
