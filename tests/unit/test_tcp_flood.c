/*
 * test_tcp_flood.c - who may open how much: the backlog and SYN cookies (RFC 4987), limits per source and
 * in all, memory that is short.
 */
#include "tcp_script.h"

/* The backlog of two is full of peers 11 and 12; peer 1 is answered by a cookie. */
#define FULL                                                                                                 \
    "config half_open 2\nlisten\npeer 11\n< S 0 <mss 1460>\n> S. 0 ack 1\n"                                  \
    "peer 12\n< S 0 <mss 1460>\n> S. 0 ack 1\n"                                                              \
    "counts half_open 2\npeer 1\n"
#define COOKIE FULL "< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\ncounts half_open 2\nstate CLOSED\n"

/* Established, and the peer takes nothing. */
#define SCRIPT_CLOSED_WINDOW SCRIPT_LISTEN "< . 1 ack 1 win 0\naccepted\n"

static const struct tcp_script scripts[] = {
    {"a full backlog is answered by cookies, which keep nothing", COOKIE "counts connections 2\n"},
    {"a cookie is completed by its ACK",
     COOKIE "< . 1 ack 1 win 65535\naccepted\nstate ESTABLISHED\nsend 100\n> . 1:101 ack 1\n"
            "counter tcp_cookie_sent 1\ncounter tcp_cookie_accepted 1\n"},
    {"a cookie is completed by an ACK with data",
     COOKIE "< P. 1:101 ack 1 win 65535\naccepted\nreceived 100\n~0..40ms > . 1 ack 101\n"},
    {"a cookie is completed by an ACK with data and FIN",
     COOKIE "< FP. 1:101 ack 1 win 65535\naccepted\nreceived 100\nended\n> . 1 ack 102\nstate CLOSE_WAIT\n"},
    {"a cookie whose ACK was lost is completed by the data behind it, sent again",
     COOKIE "+500ms\n< P. 1:101 ack 1 win 65535\naccepted\nreceived 100\n~0..40ms > . 1 ack 101\n"},
    {"RST+ACK does not complete a cookie (a known bug elsewhere)",
     COOKIE "< R. 1 ack 1\nnothing\nnot accepted\ncounts connections 2\n"},
    {"SYN+ACK does not complete a cookie",
     COOKIE "< S. 1 ack 1\n> R 1\nnot accepted\ncounts connections 2\n"},
    {"a segment without ACK does not complete a cookie",
     COOKIE "< P 1:101\nnothing\n< - 1\nnothing\nnot accepted\n"},
    {"a forged cookie is reset",
     COOKIE "< . 1 ack 2\n> R 2\n< . 1 ack 1000000\n> R 1000000\nnot accepted\ncounts connections 2\n"
            "counter tcp_cookie_refused 2\n"},
    {"a cookie holds for the peer's initial number alone",
     COOKIE "< . 2 ack 1\n> R 1\n< . 77777 ack 1\n> R 1\nnot accepted\n"},
    {"a cookie holds for its peer alone",
     COOKIE "peer 2\n< . 1 ack =3000000\ndiscard 1\nnot accepted\ncounts connections 2\n"},
    {"a cookie expires", COOKIE "+200s\ndiscard\n< . 1 ack 1 win 65535\n> R 1\nnot accepted\n"},
    {"a cookie holds for half a minute at least", COOKIE "+31s\ndiscard\n< . 1 ack 1 win 65535\naccepted\n"},
    {"without a flood an ACK from nowhere is no cookie",
     "listen\n< . 1 ack 12345\n> R 12345\ncounts connections 0\n"},
    {"a cookie's connection keeps to the peer's MSS",
     FULL "< S 0 win 65535 <mss 600>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\nsend 1000\n> any\ndiscard\n"
          "< . 1 ack 537\ndiscard\n< . 1 ack 1001\nunsent 0\n"},
    {"a cookie for a peer without MSS: 536",
     FULL "< S 0 win 65535\n> S. 0 ack 1\n< . 1 ack 1\naccepted\nsend 1000\n> . 1:537 ack 1\n"
          "> . 537:1001 ack 1\n"},
    {"a cookie's connection without time stamps has no options",
     FULL "< S 0 win 65535 <mss 1460,sackOK,wscale 7>\n> S. 0 ack 1\n< . 1 ack 1 win 1000\naccepted\n"
          "send 100\n> . 1:101 ack 1 < >\n"},
    {"a SYN that is repeated is answered each time",
     COOKIE "again\n< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},
    {"one cookie opens one connection",
     COOKIE "< . 1 ack 1\naccepted\ncounts connections 3\n< . 1 ack 1\nnothing\ncounts connections 3\n"},
    {"when the backlog has room again, SYNs are kept again",
     FULL "peer 11\n< R 1\ncounts half_open 1\npeer 1\n< S 0 <mss 1460>\n> S. 0 ack 1\ncounts half_open 2\n"
          "state SYN_RECEIVED\n"},
    {"half-open connections end by themselves", FULL "+16s\ndiscard 6\ncounts half_open 0 connections 0\n"},
    {"five hundred SYNs from nowhere: a good peer is served",
     "config half_open 8 connections 16\nlisten\nrepeat 500\npeer next\n< S 0 win 65535 <mss 1460>\n"
     "> S. 0 ack 1\nend\ncounts half_open 8 connections 8\npeer 1\n< S 0 win 65535 <mss 1460>\n"
     "> S. 0 ack 1\n< P. 1:101 ack 1\naccepted\nreceived 100\n~0..40ms > . 1 ack 101\n+20s\ndiscard\n"
     "counts half_open 0 connections 1\n"},
    {"a flood with time stamps and every option",
     "config half_open 4\nlisten\nrepeat 100\npeer next\n"
     "< S 0 win 65535 <mss 1460,sackOK,ts 5 0,wscale 9>\n> S. 0 ack 1\nend\ncounts half_open 4\n"},
    {"a cookie with time stamps: whatever was agreed on, both sides say the same",
     FULL "< S 0 win 65535 <mss 1460,sackOK,ts 100 0,wscale 7>\n> S. 0 ack 1\n"
          "< . 1 ack 1 win 512 <ts 101 0>\naccepted\nsend 100\n> . 1:101 ack 1\n"
          "< . 1 ack 101 win 512 <ts 102 0>\nunsent 0\n"},

    /* tcp_config.per_source_max */
    {"a source has its share and no more",
     "config per_source 2\nlisten\npeer 1 host 5\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"
     "peer 2 host 5\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\npeer 3 host 5\n"
     "< S 0 <mss 1460>\ndiscard 1\n< . 1 ack 1\ndiscard 1\nnot accepted\ncounts connections 2\n"
     "peer 4 host 6\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},
    {"a source's place is free again when its connection ends",
     "config per_source 1\nlisten\npeer 1 host 5\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"
     "< R 1\nclosed RESET\npeer 2 host 5\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},
    {"half-open connections do not count for their source, else spoofed SYNs would shut it out",
     "config per_source 2\nlisten\npeer 1 host 5\n< S 0\n> S. 0 ack 1\npeer 2 host 5\n< S 0\n> S. 0 ack 1\n"
     "peer 3 host 5\n< S 0\n> S. 0 ack 1\n< . 1 ack 1\naccepted\npeer 1 host 5\n< . 1 ack 1\naccepted\n"
     "peer 2 host 5\n< . 1 ack 1\n> R? 1\nnot accepted\n"},

    /* all connections in use */
    {"no connection left: new ones are not accepted, old ones go on",
     "config connections 1\nlisten\n< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"
     "peer 2\n< S 0 <mss 1460>\ndiscard 1\n< . 1 ack 1\ndiscard 1\nnot accepted\npeer 1\nsend 100\n"
     "> . 1:101 ack 1\n< P. 1:11 ack 101\nreceived 10\n~40ms > . 101 ack 11\n"},
    {"a connection that ended makes room",
     "config connections 1\nlisten\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n< R 1\n"
     "closed RESET\npeer 2\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},
    {"a connection that closed in order makes room at once",
     "config connections 1\n" SCRIPT_TIME_WAIT "peer 2\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\n"
     "accepted\n"},

    /* frames are short */
    {"no frame for a SYN+ACK: the SYN that comes again is answered",
     "listen\nstarve 1\n< S 0 <mss 1460>\nnothing\nfeed\n+1s\ndiscard 2\n< S 0 <mss 1460>\ndiscard 1\n"
     "< . 1 ack 1\ndiscard 1\n"},
    {"no frame for an acknowledgement: it follows the next segment",
     SCRIPT_ESTABLISHED "starve 1\n< . 2:3 ack 1\nnothing\nfeed\n+100ms\ndiscard\n< . 1:2 ack 1\n"
                        "discard 1\nreceived 2\n"},
    {"no frame for a reset: silence", "starve 1\n< S 0\nnothing\nfeed\n< S 0\n> R. 0 ack 1\n"},
    {"no frame for a FIN: it leaves later",
     SCRIPT_ESTABLISHED "starve 0\nclose\nnothing\nfeed\n~0..1003ms > F. 1 ack 1\n< . 1 ack 2\n"
                        "state FIN_WAIT_2\n"},
    {"no frame for a SYN: tcp_connect says so or tries again",
     "starve 1\n< S 0\nnothing\nfeed\nconnect\n> S 0\n"},

    /* whose peer takes nothing must not have all frames: 40 here, of which the last 5 are others' */
    {"frames are short: who holds many gets no more, who holds few does",
     "config send_frames 40\n" SCRIPT_CLOSED_WINDOW "send 100000 takes 51100\ncounter tcp_send_share 1\n"
     "peer 2\n< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1 win 65535\nsend 7300\n"
     ">> . 1:7301 ack 1\n< . 1 ack 7301 win 65535\n"},
    {"frames are short: who holds many may write again once enough was taken",
     "config send_frames 40\n" SCRIPT_CLOSED_WINDOW "send 100000 takes 51100\nnot writable\n"
     "< . 1 ack 1 win 1460\n> . 1:1461 ack 1\nnot writable\n< . 1 ack 1461 win 0\nwritable\n"},
    {"frames are short: a window that stays closed ends the connection that holds many",
     "config send_frames 40\n" SCRIPT_CLOSED_WINDOW "send 100000 takes 51100\n"
     "repeat 3\n~180..900ms > . 0:1 ack 1\n< . 1 ack 1 win 0\nend\n~1500..1700ms > R? 1\nclosed ABORTED\n"
     "counter tcp_hogs 1\ncounts connections 0 send_frames 0\n"},
    {"frames are plenty: a window may stay closed",
     "config send_frames 400\n" SCRIPT_CLOSED_WINDOW "send 51100\n"
     "repeat 5\n~180..3300ms > . 0:1 ack 1\n< . 1 ack 1 win 0\nend\nopen\ncounter tcp_hogs 0\n"},
    {"frames are short: a closed window does not end a connection that holds few",
     "config send_frames 12\n" SCRIPT_CLOSED_WINDOW "send 17520\n"
     "repeat 5\n~180..3300ms > . 0:1 ack 1\n< . 1 ack 1 win 0\nend\nopen\ncounter tcp_hogs 0\n"},
    {"frames are short: silence ends a connection that holds many",
     "config send_frames 40\n" SCRIPT_ESTABLISHED
     "send 100000 takes 51100\n>> . 1:14601 ack 1\n+2900ms\ndiscard 20\n"
     "open\n~0..300ms > R? 14601\nclosed ABORTED\ncounter tcp_hogs 1\ncounts send_frames 0\n"},
    {"frames are short: who holds many has them cut up for a smaller path only as it takes them",
     "config send_frames 40\n" SCRIPT_ESTABLISHED "send 100000 takes 51100\n>> . 1:14601 ack 1\n"
     "icmp 3.4 seq 1 mtu 296\n~0..303ms > . 1:257 ack 1\ndiscard\ncounts send_frames 36\n"
     "< . 1 ack 257 win 65535\n~0..303ms > . 257:513 ack 1\ndiscard\ncounts send_frames 36\nopen\n"},
    {"frames are short: who holds few has them cut up as far as there are any",
     "config send_frames 12\n" SCRIPT_ESTABLISHED "send 14600\n>> . 1:14601 ack 1\n"
     "icmp 3.4 seq 1 mtu 296\n~0..303ms > . 1:257 ack 1\ndiscard\ncounts send_frames 12\n"
     "< . 1 ack 2921 win 65535\ndiscard\n+1s\ndiscard\n< . 1 ack 14601 win 65535\nunsent 0\nopen\n"
     "counts send_frames 0\n"},
    {"frames for received data are short: holes leave a quarter to others",
     "config receive_frames 8\n" SCRIPT_ESTABLISHED
     "< . 2:3 ack 1\ndiscard 1\n< . 4:5 ack 1\ndiscard 1\n< . 6:7 ack 1\ndiscard 1\n< . 8:9 ack 1\ndiscard 1\n< . 10:11 ack 1\ndiscard 1\n< . 12:13 ack 1\ndiscard 1\n< . 14:15 ack 1\ndiscard 1\n< . 16:17 ack 1\ndiscard 1\ncounts receive_frames 6\n"
     "counter tcp_gap_dropped_frames 2\npeer 2\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: floods and limits", scripts, sizeof scripts / sizeof scripts[0], argc,
                            argv);
}
