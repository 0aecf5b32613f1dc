/*
 * test_tcp_close.c - FIN in every state, half-close both ways, simultaneous close, TIME-WAIT: RFC 9293
 * 3.6, 3.10.4, 3.10.7.4 eighth; RFC 1122 4.2.2.13; RFC 1337; RFC 6191.
 */
#include "tcp_script.h"

static const struct tcp_script scripts[] = {
    {"normal close, ours first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT (figure 12)",
     SCRIPT_TIME_WAIT "ended\ncounts connections 0 time_wait 1\n"},
    {"normal close, the peer's first: CLOSE-WAIT, LAST-ACK, CLOSED",
     SCRIPT_LAST_ACK "< . 2 ack 2\nclosed CLOSED\nstate CLOSED\ncounts connections 0 time_wait 0\n"},
    {"simultaneous close: CLOSING, TIME-WAIT (figure 13)",
     SCRIPT_CLOSING "< . 2 ack 2\nclosed CLOSED\nstate TIME_WAIT\ncounts connections 0 time_wait 1\n"},
    {"FIN-WAIT-1: FIN and the ACK of ours in one segment: TIME-WAIT",
     SCRIPT_FIN_WAIT_1 "< F. 1 ack 2\n> . 2 ack 2\nclosed CLOSED\nstate TIME_WAIT\n"},
    {"FIN-WAIT-1: data, FIN and the ACK of ours in one segment",
     SCRIPT_FIN_WAIT_1 "< FP. 1:101 ack 2\n> . 2 ack 102\nreceived 100\nended\nclosed CLOSED\n"
                       "state TIME_WAIT\n"},
    {"FIN-WAIT-1: data is still received",
     SCRIPT_FIN_WAIT_1 "< P. 1:101 ack 1\nreceived 100\n~40ms > . 2 ack 101\nstate FIN_WAIT_1\n"},
    {"FIN-WAIT-2: data is still received (half-close)",
     SCRIPT_FIN_WAIT_2 "< P. 1:101 ack 2\nreceived 100\n~40ms > . 2 ack 101\n< F. 101 ack 2\n"
                       "> . 2 ack 102\nclosed CLOSED\n"},
    {"FIN-WAIT-2: a peer that never closes is forgotten after a minute",
     SCRIPT_FIN_WAIT_2 "+59s\nopen\n+2s\ndiscard 1\nclosed any\nstate CLOSED\ncounts connections 0\n"},
    {"FIN-WAIT-2: not while its user is yet to take what came (half-close)", SCRIPT_FIN_WAIT_2
     "hold\n< P. 1:101 ack 2\n~40ms > . 2 ack 101\n+10min\nopen\nstate FIN_WAIT_2\nresume\n"
     "received 100\n< P. 101:201 ack 2\n~40ms > . 2 ack 201\nreceived 200\n+59s\nopen\n+2s\n"
     "closed TIMED_OUT\ncounter tcp_fin_wait_ended 1\n"},
    {"FIN-WAIT-2: not while its user's deadline runs: a peer may think for long before it answers",
     SCRIPT_FIN_WAIT_2 "deadline 10min\n+9min\nopen\n< FP. 1:101 ack 2\n> . 2 ack 102\nreceived 100\nended\n"
                       "closed CLOSED\n"},
    {"FIN-WAIT-2: whose user has no deadline any more ends like others",
     SCRIPT_FIN_WAIT_2 "deadline 70s\n+69s\nopen\n+2s\nexpired\nopen\n+1min\nclosed TIMED_OUT\n"},
    {"FIN-WAIT-2: a peer that is gone is noticed though a deadline runs, where keepalive is on",
     "config keepalive 1\n" SCRIPT_FIN_WAIT_2 "deadline 60min\n~120..121s > . 1:2 ack 1\n+130s\ndiscard 8\n"
     "closed TIMED_OUT\n"},
    {"CLOSE-WAIT: we may go on sending (half-close)",
     SCRIPT_CLOSE_WAIT "send 100\n> . 1:101 ack 2\n< . 2 ack 101\nunsent 0\nclose\n> F. 101 ack 2\n"
                       "< . 2 ack 102\nclosed CLOSED\n"},
    {"CLOSE-WAIT: no time limit of its own",
     SCRIPT_CLOSE_WAIT "+10min\nopen\nstate CLOSE_WAIT\nsend 5\n> . 1:6 ack 2\n"},
    {"FIN leaves behind all data",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 1460\nsend 2000\n> . 1:1461 ack 1\nclose\nnothing\n"
                        "< . 1 ack 1461 win 1460\n> F. 1461:2001 ack 1\nstate FIN_WAIT_1\n"},
    {"FIN rides on the last data of a burst",
     SCRIPT_ESTABLISHED "on received send 20\non ended close\n< FP. 1:101 ack 1\n> F. 1:21 ack 102\n"
                        "state LAST_ACK\n"},
    {"FIN is sent though the window is closed behind data",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 100\nsend 100\n> . 1:101 ack 1\nclose\ndiscard 1\n"
                        "< . 1 ack 101 win 100\ndiscard 1\nstate FIN_WAIT_1\n"},
    {"close with nothing sent yet in ESTABLISHED", SCRIPT_ESTABLISHED "close\n> F. 1 ack 1\n"},
    {"close twice is close once",
     SCRIPT_FIN_WAIT_1 "close\nnothing\n< . 1 ack 2\nclose\nnothing\nstate FIN_WAIT_2\n"},
    {"writing after close takes nothing", SCRIPT_FIN_WAIT_1 "send 10 takes 0\nnothing\n"},
    {"a connection opened by us closes as well",
     SCRIPT_CONNECTED "close\n> F. 1 ack 1\n< F. 1 ack 2\n> . 2 ack 2\nclosed CLOSED\nstate TIME_WAIT\n"},

    /* retransmission of FIN */
    {"FIN alone is sent again until acknowledged",
     SCRIPT_FIN_WAIT_1 "~0..1003ms > F. 1 ack 1\n+5s\ndiscard\n< . 1 ack 2\nstate FIN_WAIT_2\n+1s\n"
                       "nothing\n"},
    {"data and FIN are sent again together or in order",
     SCRIPT_ESTABLISHED "on received send 10\non ended close\n< FP. 1:11 ack 1\n> F. 1:11 ack 12\n"
                        "~0..1003ms > any\n+500ms\ndiscard\n< . 12 ack 12\nclosed CLOSED\n"},
    {"data acknowledged, FIN lost",
     SCRIPT_ESTABLISHED "send 10\n> . 1:11 ack 1\nclose\n> F. 11 ack 1\n< . 1 ack 11\nstate FIN_WAIT_1\n"
                        "~0..1003ms > F. 11 ack 1\n< . 1 ack 12\nstate FIN_WAIT_2\n"},
    {"LAST-ACK: FIN is sent again", SCRIPT_LAST_ACK "~0..1003ms > F. 1 ack 2\n< . 2 ack 2\nclosed CLOSED\n"},
    {"LAST-ACK: a silent peer is given up (R2)",
     SCRIPT_LAST_ACK "+10min\ndiscard 12\nclosed TIMED_OUT\ncounts connections 0\n"},
    {"FIN-WAIT-1: a silent peer is given up (R2)",
     SCRIPT_FIN_WAIT_1 "+10min\ndiscard 12\nclosed TIMED_OUT\ncounts connections 0\n"},
    {"CLOSING: FIN is sent again", SCRIPT_CLOSING "~0..1003ms > F. 1 ack 2\n< . 2 ack 2\nclosed CLOSED\n"},

    /* the peer's FIN */
    {"FIN with data: ended comes after the last byte",
     SCRIPT_ESTABLISHED "< FP. 1:101 ack 1\n> . 1 ack 102\nreceived 100\nended\nstate CLOSE_WAIT\n"},
    {"FIN out of order waits for the data before it",
     SCRIPT_ESTABLISHED "< F. 101 ack 1\n> . 1 ack 1\nnot ended\nstate ESTABLISHED\n< . 1:101 ack 1\n"
                        "received 100\ndiscard 1\n< F. 101 ack 1\ndiscard 1\nended\nstate CLOSE_WAIT\n"},
    {"FIN out of order with data",
     SCRIPT_ESTABLISHED "< F. 101:201 ack 1\n> . 1 ack 1\nnot ended\n< . 1:101 ack 1\n> . 1 ack 202\n"
                        "received 200\nended\n"},
    {"FIN out of order, covered by a later retransmission",
     SCRIPT_ESTABLISHED "< F. 101:201 ack 1\n> . 1 ack 1\n< F. 1:201 ack 1\n> . 1 ack 202\nreceived 200\n"
                        "ended\nstate CLOSE_WAIT\n"},
    {"FIN again is acknowledged again (its ACK was lost)",
     SCRIPT_CLOSE_WAIT "< F. 1 ack 1\n> . 1 ack 2\nstate CLOSE_WAIT\nnot ended\n"},
    {"FIN again in LAST-ACK", SCRIPT_LAST_ACK "< F. 1 ack 1\n> . 2 ack 2\nstate LAST_ACK\n"},
    {"FIN again in CLOSING", SCRIPT_CLOSING "< F. 1 ack 1\n> . 2 ack 2\nstate CLOSING\n"},
    {"FIN at the end of a full window is taken",
     "config receive_bytes 2920\n" SCRIPT_ESTABLISHED "hold\n<+ . 1:1461 ack 1\n< . 1461:2920 ack 1\n"
     "discard\n< F. 2920 ack 1\n> . 1 ack 2921\nresume\n"
     "ended\nreceived 2919\ndiscard\n"},
    {"FIN beyond a closed window is not taken until it opens",
     "config receive_bytes 2920\n" SCRIPT_ESTABLISHED "hold\n<+ . 1:1461 ack 1\n< . 1461:2921 ack 1\n"
     "discard\n< F. 2921 ack 1\ndiscard 1\nnot ended\n"
     "resume\nreceived 2920\ndiscard\n< F. 2921 ack 1\n"
     "discard 1\nended\n"},
    {"ended waits until a holding user has taken all",
     SCRIPT_ESTABLISHED "hold\n< FP. 1:101 ack 1\n> . 1 ack 102\nnot ended\nstate CLOSE_WAIT\nresume\n"
                        "received 100\nended\n"},
    {"data behind the peer's FIN is not delivered",
     SCRIPT_CLOSE_WAIT "< P. 2:102 ack 1\ndiscard 1\nreceived 0\nopen\n"},
    {"data that begins before the peer's FIN and runs over it",
     SCRIPT_ESTABLISHED "< FP. 1:101 ack 1\n> . 1 ack 102\n< P. 1:201 ack 1\ndiscard 1\nreceived 100\n"},
    {"closed comes after both, once the user has taken what it held",
     SCRIPT_FIN_WAIT_2 "hold\n< FP. 1:101 ack 2\n> . 2 ack 102\nresume\nreceived 100\nended\n"
                       "closed CLOSED\n"},

    /* RFC 1122 4.2.2.13: data after close finds nobody */
    {"data after an abort is reset",
     SCRIPT_ESTABLISHED "abort\n> R? 1\nclosed ABORTED\n< P. 1:101 ack 1\n> R 1\n"},
    {"data in LAST-ACK is not delivered",
     SCRIPT_LAST_ACK "< P. 2:102 ack 1\ndiscard 1\nreceived 0\nstate LAST_ACK\n"},
    {"ACK of an unsent FIN is not believed",
     SCRIPT_ESTABLISHED "< . 1 ack 2\n> . 1 ack 1\nstate ESTABLISHED\n"},
    {"old ACK in LAST-ACK changes nothing", SCRIPT_LAST_ACK "< . 2 ack 1\nnothing\nstate LAST_ACK\n"},
    {"old ACK in CLOSING changes nothing", SCRIPT_CLOSING "< . 2 ack 1\nnothing\nstate CLOSING\n"},
    {"old ACK in FIN-WAIT-1 changes nothing", SCRIPT_FIN_WAIT_1 "< . 1 ack 1\nnothing\nstate FIN_WAIT_1\n"},
    {"closed by a service in received: FIN goes with the acknowledgement",
     SCRIPT_ESTABLISHED "on received close\n< P. 1:101 ack 1\n> F. 1 ack 101\nstate FIN_WAIT_1\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: closing", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
