/*
 * test_tcp_reset.c - RST and SYN in every synchronized state, challenge ACKs and their limit: RFC 9293
 * 3.10.7.4 second and fourth, RFC 5961; CVE-2016-5696.
 */
#include "tcp_script.h"

static const struct tcp_script scripts[] = {
    /* RFC 5961 3.2, 1): outside the window: dropped in silence. 2) exactly RCV.NXT: reset. 3) elsewhere in
     * the window: a challenge. */
    {"RST in ESTABLISHED at RCV.NXT",
     SCRIPT_ESTABLISHED "< R 1\nclosed RESET\nstate CLOSED\ncounts connections 0\n"},
    {"RST in ESTABLISHED in the window",
     SCRIPT_ESTABLISHED "< R 2\n> . 1 ack 1\nopen\n< R 1\nclosed RESET\n"
                        "counter tcp_reset_doubtful 1\ncounter tcp_reset 1\n"},
    {"RST in ESTABLISHED at the window's last number", SCRIPT_ESTABLISHED "< R 65535\n> . 1 ack 1\nopen\n"},
    {"RST in ESTABLISHED out of the window",
     SCRIPT_ESTABLISHED "< R 0\nnothing\n< R 65536\nnothing\n< R 2000000000\nnothing\nopen\n"
                        "counter tcp_reset_elsewhere 3\n"},
    {"RST+ACK in ESTABLISHED at RCV.NXT", SCRIPT_ESTABLISHED "< R. 1 ack 1\nclosed RESET\n"},
    {"RST+ACK with a wrong acknowledgement number is judged by its sequence number",
     SCRIPT_ESTABLISHED "< R. 1 ack 50000\nclosed RESET\n"},
    {"RST with data at RCV.NXT (RFC 1122 4.2.2.12)",
     SCRIPT_ESTABLISHED "< R 1:21\nclosed RESET\nreceived 0\n"},
    {"RST+FIN at RCV.NXT", SCRIPT_ESTABLISHED "< RF 1\nclosed RESET\nnot ended\n"},
    {"RST+SYN in ESTABLISHED at RCV.NXT", SCRIPT_ESTABLISHED "< SR 1\nclosed RESET\n"},
    {"RST with unsent and unacknowledged data",
     SCRIPT_ESTABLISHED "send 100000\ndiscard\n< R 1\nclosed RESET\n+10s\nnothing\ncounts send_frames 0\n"},
    {"RST in FIN-WAIT-1 at RCV.NXT", SCRIPT_FIN_WAIT_1 "< R 1\nclosed RESET\nstate CLOSED\n"},
    {"RST in FIN-WAIT-1 in the window", SCRIPT_FIN_WAIT_1 "< R 9\n> . 2 ack 1\nstate FIN_WAIT_1\nopen\n"},
    {"RST in FIN-WAIT-1 out of the window",
     SCRIPT_FIN_WAIT_1 "< R 0\nnothing\n< R 70000\nnothing\nstate FIN_WAIT_1\n"},
    {"RST in FIN-WAIT-2 at RCV.NXT", SCRIPT_FIN_WAIT_2 "< R 1\nclosed RESET\nstate CLOSED\n"},
    {"RST in FIN-WAIT-2 in the window", SCRIPT_FIN_WAIT_2 "< R 9\n> . 2 ack 1\nstate FIN_WAIT_2\n"},
    {"RST in FIN-WAIT-2 out of the window",
     SCRIPT_FIN_WAIT_2 "< R 0\nnothing\n< R 70000\nnothing\nstate FIN_WAIT_2\n"},
    {"RST in CLOSE-WAIT at RCV.NXT", SCRIPT_CLOSE_WAIT "< R 2\nclosed RESET\nstate CLOSED\n"},
    {"RST in CLOSE-WAIT in the window", SCRIPT_CLOSE_WAIT "< R 9\n> . 1 ack 2\nstate CLOSE_WAIT\n"},
    {"RST in CLOSE-WAIT out of the window",
     SCRIPT_CLOSE_WAIT "< R 1\nnothing\n< R 70000\nnothing\nstate CLOSE_WAIT\n"},
    {"RST in CLOSING at RCV.NXT", SCRIPT_CLOSING "< R 2\nclosed any\nstate CLOSED\ncounts time_wait 0\n"},
    {"RST in CLOSING in the window", SCRIPT_CLOSING "< R 9\n> . 2 ack 2\nstate CLOSING\n"},
    {"RST in CLOSING out of the window",
     SCRIPT_CLOSING "< R 1\nnothing\n< R 70000\nnothing\nstate CLOSING\n"},
    {"RST in LAST-ACK at RCV.NXT", SCRIPT_LAST_ACK "< R 2\nclosed any\nstate CLOSED\n"},
    {"RST in LAST-ACK in the window", SCRIPT_LAST_ACK "< R 9\n> . 2 ack 2\nstate LAST_ACK\n"},
    {"RST in LAST-ACK out of the window",
     SCRIPT_LAST_ACK "< R 1\nnothing\n< R 70000\nnothing\nstate LAST_ACK\n"},
    {"RST in TIME-WAIT is ignored (RFC 1337, fix 1)",
     SCRIPT_TIME_WAIT "< R 2\nnothing\n< R 9\nnothing\n< R. 2 ack 2\nnothing\nstate TIME_WAIT\n"},
    {"RST at RCV.NXT with a closed window still resets",
     "config receive_bytes 2920\n" SCRIPT_ESTABLISHED "hold\n<+ . 1:1461 ack 1\n< . 1461:2921 ack 1\n"
     "discard\n< R 2921\nclosed RESET\n"},
    {"RST beyond a closed window is dropped",
     "config receive_bytes 2920\n" SCRIPT_ESTABLISHED "hold\n<+ . 1:1461 ack 1\n< . 1461:2921 ack 1\n"
     "discard\n< R 2922\nnothing\nopen\n"},
    {"RST overtakes data: RCV.NXT is not reached, a challenge",
     SCRIPT_ESTABLISHED "< R 101\n> . 1 ack 1\nopen\n"},
    {"after RST, segments of the dead connection are reset",
     SCRIPT_ESTABLISHED "< R 1\nclosed RESET\n< P. 1:11 ack 1\n> R 1\n< . 11 ack 1\n> R 1\n"},
    {"held data of a reset connection is given back",
     SCRIPT_ESTABLISHED "hold\n< P. 1:101 ack 1\n< . 201:301 ack 1\ndiscard\n< R 101\nclosed RESET\n"
                        "counts receive_frames 0\n"},

    /* RFC 5961 4.2: "If the SYN bit is set, irrespective of the sequence number, TCP MUST send an ACK" */
    {"SYN in ESTABLISHED at RCV.NXT is challenged",
     SCRIPT_ESTABLISHED "< S 1 win 65535 <mss 1460>\n> . 1 ack 1\nopen\nstate ESTABLISHED\n"},
    {"SYN in ESTABLISHED in the window", SCRIPT_ESTABLISHED "< S 100\n> . 1 ack 1\nopen\n"},
    {"SYN in ESTABLISHED out of the window", SCRIPT_ESTABLISHED "< S 3000000000\n> . 1 ack 1\nopen\n"},
    {"SYN in ESTABLISHED as at the beginning (an old duplicate)",
     SCRIPT_ESTABLISHED "< S 0 win 65535 <mss 1460>\n> . 1 ack 1\nopen\n"},
    {"SYN+ACK in ESTABLISHED", SCRIPT_ESTABLISHED "< S. 1 ack 1\n> . 1 ack 1\nopen\n"},
    {"SYN with data in ESTABLISHED: nothing of it is taken",
     SCRIPT_ESTABLISHED "< S. 1:50 ack 1\n> . 1 ack 1\nreceived 0\n"},
    {"SYN in FIN-WAIT-1", SCRIPT_FIN_WAIT_1 "< S 1\n> . 2 ack 1\nstate FIN_WAIT_1\n"},
    {"SYN in FIN-WAIT-2", SCRIPT_FIN_WAIT_2 "< S 1\n> . 2 ack 1\nstate FIN_WAIT_2\n"},
    {"SYN in CLOSE-WAIT", SCRIPT_CLOSE_WAIT "< S 2\n> . 1 ack 2\nstate CLOSE_WAIT\n"},
    {"SYN in CLOSING", SCRIPT_CLOSING "< S 2\n> . 2 ack 2\nstate CLOSING\n"},
    {"SYN in LAST-ACK", SCRIPT_LAST_ACK "< S 2\n> . 2 ack 2\nstate LAST_ACK\n"},
    {"SYN's challenge lets a restarted peer reset us (RFC 5961 4.2's reason)",
     SCRIPT_ESTABLISHED "< S 70000 <mss 1460>\n> . 1 ack 1\n< R 1\nclosed RESET\n"},

    /* RFC 5961 5.2 */
    {"ACK of data that was never sent is answered by an ACK",
     SCRIPT_ESTABLISHED "< . 1 ack 2\n> . 1 ack 1\nopen\n"},
    {"data with an ACK of what was never sent is not taken",
     SCRIPT_ESTABLISHED "< P. 1:11 ack 2\n> . 1 ack 1\nreceived 0\n"},
    {"ACK older than the largest window is not believed",
     SCRIPT_ESTABLISHED "< P. 1:11 ack 4294000000\ndiscard 1 unreset\nreceived 0\n"},

    /* RFC 5961 7; CVE-2016-5696: the limit is the connection's own. 10 a second. */
    {"challenges are limited: ten a second",
     SCRIPT_ESTABLISHED "repeat 10\n< R 2\n> . 1 ack 1\nend\n< R 2\nnothing\n< S 5\nnothing\nopen\n"
                        "counter tcp_challenges_sent 10\ncounter tcp_challenges_limited 2\n"},
    {"challenges come again in the next second",
     SCRIPT_ESTABLISHED "repeat 10\n< R 2\n> . 1 ack 1\nend\n< R 2\nnothing\n+1100ms\n< R 2\n> . 1 ack 1\n"},
    {"one connection's challenges do not use up another's",
     SCRIPT_ESTABLISHED "repeat 12\n< R 2\ndiscard 1\nend\n< R 2\nnothing\npeer 2\n< S 0 <mss 1460>\n"
                        "> S. 0 ack 1\n< . 1 ack 1\naccepted\nrepeat 10\n< R 2\n> . 1 ack 1\nend\n"},
    {"the limit on challenges does not stop ordinary acknowledgements",
     SCRIPT_ESTABLISHED "repeat 12\n< R 2\ndiscard 1\nend\n< P. 1:101 ack 1\n~40ms > . 1 ack 101\n"
                        "received 100\n"},
    {"a challenge is never answered by a challenge: two stacks do not loop",
     SCRIPT_ESTABLISHED "< . 1 ack 1\nnothing\n< . 1 ack 1\nnothing\n< . 1 ack 1\nnothing\n"},
    {"old ACKs out of the window are answered a bounded number of times",
     SCRIPT_ESTABLISHED "repeat 60\n< . 4000000000 ack 1\ndiscard 1 unreset\nend\n< . 4000000000 ack 1\n"
                        "nothing\nopen\n"},

    /* RFC 9293 3.5.2: never RST for RST */
    {"RST is never answered by ACK or RST: no connection",
     "< R. 1 ack 1\nnothing\n< RP. 1:9 ack 1\nnothing\n"},
    {"RST out of the window is not acknowledged (a known bug elsewhere)",
     SCRIPT_ESTABLISHED "repeat 20\n< R 90000\nnothing\nend\nrepeat 20\n< R. 0 ack 1\nnothing\nend\nopen\n"},
    {"abort tells the peer and forgets (3.10.5)",
     SCRIPT_ESTABLISHED "abort\n> R? 1\nclosed ABORTED\ncounts connections 0 time_wait 0\n"},
    {"abort in SYN-RECEIVED's stead: refused after a reset there is nothing",
     SCRIPT_ESTABLISHED "abort\n> R? 1\nclosed ABORTED\n< . 1 ack 1\n> R 1\n"},
    {"abort with data in flight: the reset is at SND.NXT",
     SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\nabort\n> R? 101\nclosed ABORTED\ncounts send_frames 0\n"},
    {"abort in FIN-WAIT-1", SCRIPT_FIN_WAIT_1 "abort\n> R? 2\nclosed ABORTED\n"},
    {"abort in FIN-WAIT-2", SCRIPT_FIN_WAIT_2 "abort\n> R? 2\nclosed ABORTED\n"},
    {"abort in CLOSE-WAIT", SCRIPT_CLOSE_WAIT "abort\n> R? 1\nclosed ABORTED\n"},
    {"abort in CLOSING and LAST-ACK sends nothing that harms",
     SCRIPT_CLOSING "abort\ndiscard 1\nclosed ABORTED\ncounts connections 0\n"},
    {"abort in an event", SCRIPT_ESTABLISHED "on received abort\n< P. 1:101 ack 1\n> R? 1\nclosed ABORTED\n"},
    {"abort in ended", SCRIPT_ESTABLISHED "on ended abort\n< F. 1 ack 1\n> R? 1\nclosed ABORTED\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: RST, SYN, challenges", scripts, sizeof scripts / sizeof scripts[0], argc,
                            argv);
}
