/*
 * test_tcp_reuse.c - TIME-WAIT: RFC 9293 3.6.1 and 3.10.7.4, its assassination (RFC 1337), its reuse (RFC
 * 6191), and the pool of its records.
 */
#include "tcp_script.h"

/* TIME-WAIT of a connection with time stamps: the peer's last is 300, its last number 1. */
#define TIME_WAIT_STAMPED                                                                                    \
    SCRIPT_ESTABLISHED_ALL                                                                                   \
    "close\n> F. 1 ack 1\n< . 1 ack 2 win 512 <ts 200 0>\n< F. 1 ack 2 win 512 <ts 300 0>\n"                 \
    "> . 2 ack 2 <ts * 300>\nclosed CLOSED\nstate TIME_WAIT\n"

static const struct tcp_script scripts[] = {
    {"it lasts a minute",
     SCRIPT_TIME_WAIT "+59s\nstate TIME_WAIT\n+1100ms\nstate CLOSED\ncounts time_wait 0\nnothing\n"},
    {"a repeated FIN is acknowledged and starts the time anew",
     SCRIPT_TIME_WAIT "+30s\n< F. 1 ack 2\n> . 2 ack 2\n+59s\nstate TIME_WAIT\n+1100ms\nstate CLOSED\n"},
    {"it takes no connection's place",
     "config connections 1\n" SCRIPT_TIME_WAIT "peer 2\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\n"
     "accepted\n"},
    {"RFC 1337: RST does not end it",
     SCRIPT_TIME_WAIT "< R 2\nnothing\n< R 1\nnothing\n< R 50\nnothing\nstate TIME_WAIT\n"
                      "counter tcp_time_wait_reset 3\n"},
    {"RFC 1337: old data is acknowledged, does not come to life",
     SCRIPT_TIME_WAIT "< P. 1:101 ack 1\n> . 2 ack 2\nstate TIME_WAIT\nreceived 0\n"},
    {"old data, again and again, is answered a bounded number of times or each time by one ACK, never by "
     "RST",
     SCRIPT_TIME_WAIT "repeat 30\n< P. 1:101 ack 1\ndiscard 1 unreset\nend\nstate TIME_WAIT\n"},
    {"a bare ACK of everything is silent", SCRIPT_TIME_WAIT "< . 2 ack 2\nnothing\nstate TIME_WAIT\n"},
    {"no ACK bit: dropped", SCRIPT_TIME_WAIT "< P 2:12\nnothing\n< F 2\nnothing\nstate TIME_WAIT\n"},
    {"SYN+ACK is not a new connection",
     SCRIPT_TIME_WAIT "< S. 100000 ack 2\ndiscard 1 unreset\nstate TIME_WAIT\nnot accepted\n"},

    /* RFC 6191 2 without time stamps: a larger initial number may pass */
    {"RFC 6191: SYN with a larger initial number opens a new connection",
     SCRIPT_TIME_WAIT "again\n< S 100000 win 65535 <mss 1460>\n> S. 0 ack 100001\nisn later\n"
                      "state SYN_RECEIVED\n< . 100001 ack 1\naccepted\ncounts time_wait 0\n"
                      "< P. 100001:100101 ack 1\nreceived 100\n~40ms > . 1 ack 100101\n"},
    {"RFC 6191: SYN with an older initial number does not",
     SCRIPT_TIME_WAIT "< S 1 win 65535 <mss 1460>\n> . 2 ack 2\nstate TIME_WAIT\n"
                      "< S 4294900000 <mss 1460>\n> . 2 ack 2\nstate TIME_WAIT\n"},
    {"RFC 6191: SYN at RCV.NXT itself: not beyond the last, an ACK or a new connection, never a reset",
     SCRIPT_TIME_WAIT "again\n< S 2 win 65535 <mss 1460>\ndiscard 1 unreset\n"},
    {"RFC 6191: an ACK for an old SYN makes a restarted peer reset; we stay (RFC 1337), then it may come "
     "with a new number",
     SCRIPT_TIME_WAIT "< S 1 <mss 1460>\n> . 2 ack 2\n< R 2\nnothing\nagain\n< S 200000 <mss 1460>\n"
                      "> S. 0 ack 200001\n"},

    /* with time stamps: a later stamp may pass, whatever the number */
    {"RFC 6191: a later time stamp opens a new connection, the number being smaller",
     TIME_WAIT_STAMPED "again\n< S 4294900000 win 65535 <mss 1460,sackOK,ts 301 0,wscale 7>\n"
                       "> S. 0 ack 4294900001\nstate SYN_RECEIVED\n"},
    {"RFC 6191: the same time stamp and a larger number open a new connection",
     TIME_WAIT_STAMPED "again\n< S 100000 win 65535 <mss 1460,sackOK,ts 300 0,wscale 7>\n"
                       "> S. 0 ack 100001\nisn later\n"},
    {"RFC 6191: the same time stamp and a smaller number do not",
     TIME_WAIT_STAMPED "< S 4294900000 win 65535 <mss 1460,ts 300 0>\n> . 2 ack 2\nstate TIME_WAIT\n"},
    {"RFC 6191: an earlier time stamp does not",
     TIME_WAIT_STAMPED "< S 100000 win 65535 <mss 1460,ts 299 0>\n> . 2 ack 2\nstate TIME_WAIT\n"},
    {"RFC 6191: no time stamp after a connection with them, a larger number opens a new one",
     TIME_WAIT_STAMPED "again\n< S 100000 win 65535 <mss 1460>\n> S. 0 ack 100001 <mss 1460>\n"},
    {"a new connection out of TIME-WAIT needs a listener",
     SCRIPT_TIME_WAIT "stop\nagain\n< S 100000 <mss 1460>\ndiscard 1 unreset\nnot accepted\n"},
    {"segments of the old connection do not reach the new one",
     SCRIPT_TIME_WAIT "again\n< S 100000 win 65535 <mss 1460>\n> S. 0 ack 100001\n< . 100001 ack 1\n"
                      "accepted\n< P. 2:102 ack 1\ndiscard 1 unreset\nreceived 0\n< R 2\nnothing\nopen\n"},
    {"PAWS in TIME-WAIT: a repeated FIN with its stamp is acknowledged",
     TIME_WAIT_STAMPED "< F. 1 ack 2 win 512 <ts 300 0>\n> . 2 ack 2 <ts * 300>\nstate TIME_WAIT\n"},
    {"records are bounded: the oldest ends early",
     "config time_wait 2\n" SCRIPT_TIME_WAIT "peer 2\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\nclose\n"
     "> F. 1 ack 1\n< F. 1 ack 2\n> . 2 ack 2\nstate TIME_WAIT\n"
     "peer 3\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\nclose\n"
     "> F. 1 ack 1\n< F. 1 ack 2\n> . 2 ack 2\nstate TIME_WAIT\n"
     "counts time_wait 2\npeer 1\nstate CLOSED\n< F. 1 ack 2\n"
     "> R 2\npeer 2\nstate TIME_WAIT\n"},
    {"they end one after the other",
     SCRIPT_TIME_WAIT "+10s\npeer 2\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\nclose\n> F. 1 ack 1\n"
                      "< F. 1 ack 2\n> . 2 ack 2\n+51s\ncounts time_wait 1\nstate TIME_WAIT\n+10s\n"
                      "counts time_wait 0\n"},
    {"no record at all: the connection is simply over",
     "config time_wait 0\n" SCRIPT_FIN_WAIT_2 "< F. 1 ack 2\n> . 2 ack 2\nclosed CLOSED\nstate CLOSED\n"},
    {"opened by us, TIME-WAIT: another active open of the same peer takes another port or a later number",
     SCRIPT_CONNECTED "close\n> F. 1 ack 1\n< F. 1 ack 2\n> . 2 ack 2\nclosed CLOSED\nagain\nconnect\n"
                      "> S 0\n< S. 0 ack 1\n> . 1 ack 1\nconnected\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: TIME-WAIT", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
