/*
 * test_tcp_syn_sent.c - active opens: RFC 9293 3.10.1, 3.10.7.3 and 3.8.3; simultaneous open (3.5); ICMP
 * errors while opening (RFC 5461 and RFC 5927).
 */
#include "tcp_script.h"

static const struct tcp_script scripts[] = {
    {"SYN-SENT: SYN+ACK establishes and is acknowledged",
     SCRIPT_CONNECTED "counts connections 1 half_open 0\n"},
    {"SYN-SENT: first, ACK of ISS or less is reset",
     SCRIPT_CONNECT "< S. 0 ack 0\n> R 0\nstate SYN_SENT\nopen\n"},
    {"SYN-SENT: first, ACK beyond SND.NXT is reset",
     SCRIPT_CONNECT "< S. 0 ack 2\n> R 2\nstate SYN_SENT\nopen\n"},
    {"SYN-SENT: first, bare ACK beyond SND.NXT is reset",
     SCRIPT_CONNECT "< . 0 ack 9\n> R 9\nstate SYN_SENT\n"},
    {"SYN-SENT: first, unacceptable ACK with RST is dropped",
     SCRIPT_CONNECT "< R. 0 ack 0\nnothing\n< R. 0 ack 2\nnothing\nstate SYN_SENT\nopen\n"},
    {"SYN-SENT: second, RST with the right ACK: refused",
     SCRIPT_CONNECT "< R. 0 ack 1\nclosed REFUSED\nstate CLOSED\ncounts connections 0\n"},
    {"SYN-SENT: second, RST with any sequence number", SCRIPT_CONNECT "< R. 777777 ack 1\nclosed REFUSED\n"},
    {"SYN-SENT: second, RST without ACK is dropped", SCRIPT_CONNECT "< R 0\nnothing\nstate SYN_SENT\nopen\n"},
    {"SYN-SENT: RST+SYN+ACK refuses", SCRIPT_CONNECT "< SR. 0 ack 1\nclosed REFUSED\n"},
    {"SYN-SENT: fifth, neither SYN nor RST: dropped",
     SCRIPT_CONNECT "< . 0 ack 1\nnothing\n< P. 1:11 ack 1\nnothing\n< F. 1 ack 1\nnothing\n< - 0\n"
                    "nothing\nstate SYN_SENT\n"},
    {"SYN-SENT: a good SYN+ACK after a bad one",
     SCRIPT_CONNECT "< S. 0 ack 2\n> R 2\n< S. 0 ack 1\n> . 1 ack 1\nconnected\n"},
    {"SYN-SENT: data on the SYN+ACK arrives, at once or when it is sent again",
     SCRIPT_CONNECT "< S. 0:10 ack 1 win 65535 <mss 1460>\n> . 1 ack *\nconnected\n< P. 1:11 ack 1\n"
                    "~0..41ms > . 1 ack 11\nreceived 10\n"},
    {"SYN-SENT: what the user wrote before leaves with the acknowledgement",
     SCRIPT_CONNECT "send 100\n< S. 0 ack 1 win 65535 <mss 1460>\n> . 1:101 ack 1\nconnected\n"},
    {"SYN-SENT: what the user writes in connected leaves with the acknowledgement",
     SCRIPT_CONNECT "on connected send 100\n< S. 0 ack 1 win 65535 <mss 1460>\n> . 1:101 ack 1\n"},
    {"SYN-SENT: what is in the SYN+ACK's window and no more",
     SCRIPT_CONNECT "send 1000\n< S. 0 ack 1 win 300 <mss 1460>\n> . 1:301 ack 1\n"},
    {"SYN-SENT: no option in the SYN+ACK, none from us",
     SCRIPT_CONNECT "< S. 0 ack 1\n> . 1 ack 1 < >\nsend 1000\n>> . 1:1001 ack 1 < >\n"},
    {"SYN-SENT: time stamps and window scale agreed",
     SCRIPT_CONNECT "< S. 0 ack 1 win 1000 <mss 1460,sackOK,ts 500 0,wscale 2>\n> . 1 ack 1 <ts * 500>\n"
                    "connected\nsend 1000\n> . 1:1001 ack 1 <ts * 500>\n"},
    {"SYN-SENT: SYN retries after 1, 2, 4, 8 and 16 s; after 63 s it is over (3.8.3, R2)",
     SCRIPT_CONNECT "~1s > S 0\n~2s > S 0\n~4s > S 0\n~8s > S 0\n~16s > S 0\n+31900ms\nopen\n+200ms\n"
                    "closed TIMED_OUT\ncounts connections 0\n"},
    {"SYN-SENT: the SYN is sent again as it was",
     SCRIPT_CONNECT "~1s > S 0 <mss 1460,sackOK,ts * 0,wscale 0>\n"},
    {"SYN-SENT: established after a SYN was sent again",
     SCRIPT_CONNECT "~1s > S 0\n< S. 0 ack 1 win 65535 <mss 1460>\n> . 1 ack 1\nconnected\n+4s\nnothing\n"},
    {"SYN-SENT: ABORT deletes it in silence (3.10.5)",
     SCRIPT_CONNECT "abort\nclosed ABORTED\ncounts connections 0\n< S. 0 ack 1\n> R 1\n"},
    {"SYN-SENT: CLOSE before anything was written ends it (3.10.4)",
     SCRIPT_CONNECT "close\n+1500ms\ndiscard 1\n< R. 0 ack 1\nclosed any\ncounts connections 0\n"},
    {"SYN-SENT: a deadline expires while opening",
     SCRIPT_CONNECT "deadline 300ms\non expired abort\n+299ms\nnot expired\n+4ms\nexpired\nclosed ABORTED\n"},
    {"ESTABLISHED: a repeated SYN+ACK is acknowledged again (its ACK was lost)",
     SCRIPT_CONNECTED "< S. 0 ack 1 win 65535 <mss 1460>\n> . 1 ack 1\nstate ESTABLISHED\nopen\n"},

    /* 3.5, figure 7 */
    {"simultaneous open: SYN meets SYN, SYN+ACK meets SYN+ACK",
     SCRIPT_CONNECT "< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\nstate SYN_RECEIVED\n"
                    "< S. 0 ack 1 win 65535 <mss 1460>\nconnected\nstate ESTABLISHED\ndiscard 1 unreset\n"
                    "send 10\n> . 1:11 ack 1\n"},
    {"simultaneous open: an ACK completes it as well",
     SCRIPT_CONNECT "< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\nconnected\nstate ESTABLISHED\n"},
    {"simultaneous open: the options of the SYN count",
     SCRIPT_CONNECT "< S 0 win 65535 <mss 1000,sackOK,ts 70 0,wscale 3>\n"
                    "> S. 0 ack 1 <mss 1460,sackOK,ts * 70,wscale 0>\n< . 1 ack 1 win 8000 <ts 71 0>\n"
                    "connected\nsend 1500\n>> . 1:1501 ack 1 <ts * 71>\n"},
    {"simultaneous open: the SYN+ACK is sent again",
     SCRIPT_CONNECT "< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n~1s..2003ms > S. 0 ack 1\n< . 1 ack 1\n"
                    "connected\n"},
    {"simultaneous open: RST in SYN-RECEIVED that was active: refused (3.10.7.4, second)",
     SCRIPT_CONNECT "< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n< R 1\nclosed REFUSED\n"
                    "counts connections 0\n"},
    {"simultaneous open: retries of an active SYN-RECEIVED end as well",
     SCRIPT_CONNECT "< S 0 win 65535 <mss 1460>\n> S. 0 ack 1\n+120s\ndiscard 6\nclosed TIMED_OUT\n"
                    "counts connections 0 half_open 0\n"},

    /* RFC 5461 4: hard errors end what is not established yet; RFC 5927 4.1: if they quote what is out */
    {"ICMP: port unreachable ends an opening",
     SCRIPT_CONNECT "icmp 3.3 seq 0\nclosed any\ncounts connections 0\n"},
    {"ICMP: protocol unreachable ends an opening", SCRIPT_CONNECT "icmp 3.2 seq 0\nclosed any\n"},
    {"ICMP: administratively prohibited ends an opening or is noted for its time-out",
     SCRIPT_CONNECT "icmp 3.13 seq 0\n+70s\ndiscard 5\nclosed any\n"},
    {"ICMP: an error that quotes another sequence number is forged",
     SCRIPT_CONNECT "icmp 3.3 seq 1\nopen\nicmp 3.3 seq 4000000000\nopen\nicmp 3.3 seq 100000\nopen\n"
                    "state SYN_SENT\n"},
    {"ICMP: host unreachable does not end it; its time-out says so",
     SCRIPT_CONNECT "icmp 3.1 seq 0\nopen\n+70s\ndiscard 5\nclosed UNREACHABLE\n"},
    {"ICMP: time exceeded does not end it",
     SCRIPT_CONNECT "icmp 11.0 seq 0\nopen\n< S. 0 ack 1\n> . 1 ack 1\nconnected\n"},
    {"ICMP: source quench is ignored (RFC 6633)", SCRIPT_CONNECT "icmp 4.0 seq 0\nopen\nstate SYN_SENT\n"},
    {"ICMP: hard errors do not end what is established",
     SCRIPT_CONNECTED "send 100\n> . 1:101 ack 1\nicmp 3.3 seq 1\nicmp 3.2 seq 1\nicmp 3.1 seq 1\nopen\n"
                      "state ESTABLISHED\n< . 1 ack 101\nunsent 0\n"},
    {"ICMP: of no connection at all", "listen\nicmp 3.3 seq 0\nicmp 3.4 seq 1 mtu 576\nnothing\n"},
    {"ICMP: of unknown types and codes",
     SCRIPT_CONNECT "icmp 255.255 seq 0\nicmp 0.0 seq 0\nicmp 3.255 seq 0\nopen\n"},
    {"RFC 6528: the next connection's initial number lies above what this one sent",
     SCRIPT_ESTABLISHED "send 1000\n> . 1:1001 ack 1\n< R 1\nclosed RESET\n+10ms\nagain\n"
                        "< S 100000 <mss 1460>\n> S. 0 ack 100001\nisn later\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: active opens", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
