/*
 * test_tcp_listen.c - segments that find no connection (RFC 9293 3.10.7.1), a listener (3.10.7.2), or a
 * connection in SYN-RECEIVED that came from one.
 */
#include "tcp_script.h"

static const struct tcp_script scripts[] = {
    /* 3.10.7.1: "An incoming segment containing a RST is discarded. An incoming segment not containing a
     * RST causes a RST to be sent in response." */
    {"CLOSED: RST is discarded", "< R 5\nnothing\n< R. 5 ack 900\nnothing\n"},
    {"CLOSED: SYN is answered by RST+ACK of SEQ 0", "< S 5 win 65535 <mss 1460>\n> R. 0 ack 6\n"},
    {"CLOSED: RST+ACK counts payload", "< P 5:15\n> R. 0 ack 15\n"},
    {"CLOSED: RST+ACK counts FIN", "< F 5:15\n> R. 0 ack 16\n"},
    {"CLOSED: RST+ACK counts SYN and FIN", "< SF 5:15\n> R. 0 ack 17\n"},
    {"CLOSED: no flags at all", "< - 5\n> R. 0 ack 5\n"},
    {"CLOSED: ACK is answered by RST at its acknowledgement", "< . 5 ack 900\n> R 900\n"},
    {"CLOSED: SYN+ACK", "< S. 5 ack 900\n> R 900\n"},
    {"CLOSED: FIN+ACK with data", "< FP. 5:50 ack 900\n> R 900\n"},
    {"CLOSED: acknowledgement number 0", "< . 5 ack 0\n> R 0\n"},
    {"CLOSED: every reset has its own counter of nothing kept",
     "< S 5\n> R. 0 ack 6\ncounts connections 0 half_open 0 time_wait 0\n"},
    {"CLOSED: another port than the listener's", "listen 80\npeer 2\n< S 0\n> R. 0 ack 1\n"},

    /* 3.10.7.2 */
    {"LISTEN: first, RST is ignored", "listen\n< R 5\nnothing\n< R. 5 ack 900\nnothing\n< SR 5\nnothing\n"},
    {"LISTEN: second, ACK is answered by RST", "listen\n< . 5 ack 900\n> R 900\ncounts connections 0\n"},
    {"LISTEN: second, SYN+ACK is answered by RST", "listen\n< S. 5 ack 900\n> R 900\ncounts connections 0\n"},
    {"LISTEN: second, data with ACK is answered by RST", "listen\n< P. 5:10 ack 900\n> R 900\n"},
    {"LISTEN: third, SYN is answered by SYN+ACK", SCRIPT_LISTEN "state SYN_RECEIVED\nnot accepted\n"},
    {"LISTEN: fourth, anything else is dropped",
     "listen\n< - 5\nnothing\n< F 5\nnothing\n< P 5:10\nnothing\n< U 5:9 urg 3\nnothing\n"
     "counts connections 0\n"},
    {"LISTEN: data on the SYN arrives, at once or when it is sent again",
     "listen\n< S 0:10 win 65535 <mss 1460>\n> S. 0 ack *\n< . 1:11 ack 1\n~0..41ms > . 1 ack 11\n"
     "accepted\nreceived 10\n"},
    {"LISTEN: SYN with FIN is a scan, not an opening",
     "listen\n< SF 0 <mss 1460>\nnothing\ncounter tcp_syn_odd 1\n"
     "counts connections 0\n"},
    {"LISTEN: two ports, both serve",
     "listen 80\n< S 0 <mss 1460>\n> S. 0 ack 1\nlisten 7878\npeer 2\n< S 0 <mss 1460>\n> S. 0 ack 1\n"},
    {"LISTEN: who stopped listening drops SYNs in silence",
     "listen\nstop\n< S 0 <mss 1460>\nnothing\ncounts connections 0\n"},
    {"LISTEN: stopping leaves connections alone",
     SCRIPT_ESTABLISHED "stop\nsend 10\n> . 1:11 ack 1\n< . 1 ack 11\nunsent 0\n"},
    {"LISTEN: a peer whom the service does not want is reset",
     "listen\nrefuse\n< S 0 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\n> R? 1\nstate CLOSED\n"
     "counts connections 0\n"},
    {"LISTEN: SYN with PSH, URG, ECE and CWR is a SYN",
     "listen\n< SPUEW 0 urg 7 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},

    /* 3.10.7.4, SYN-RECEIVED */
    {"SYN-RECEIVED: the ACK establishes", SCRIPT_ESTABLISHED "counts connections 1 half_open 0\n"},
    {"SYN-RECEIVED: the ACK may carry data",
     SCRIPT_LISTEN "< P. 1:101 ack 1\naccepted\nreceived 100\n~40ms > . 1 ack 101\n"},
    {"SYN-RECEIVED: the lost ACK is made good by data",
     SCRIPT_LISTEN "state SYN_RECEIVED\n+300ms\n< P. 1:101 ack 1\naccepted\nreceived 100\n"
                   "~0..40ms > . 1 ack 101\n"},
    {"SYN-RECEIVED: the ACK may carry data and FIN",
     SCRIPT_LISTEN "< FP. 1:101 ack 1\n> . 1 ack 102\naccepted\nreceived 100\nended\nstate CLOSE_WAIT\n"},
    {"SYN-RECEIVED: first, a segment out of the window is acknowledged and dropped",
     SCRIPT_LISTEN "< . 70001:70011 ack 1\n> . 1 ack 1\nstate SYN_RECEIVED\n"},
    {"SYN-RECEIVED: second, RST at RCV.NXT returns to LISTEN in silence",
     SCRIPT_LISTEN "< R 1\nstate CLOSED\ncounts connections 0 half_open 0\nnot accepted\n"},
    {"SYN-RECEIVED: after RST the same peer may try again",
     SCRIPT_LISTEN "< R 1\nagain\n< S 5000 <mss 1460>\n> S. 0 ack 5001\n< . 5001 ack 1\naccepted\n"},
    {"SYN-RECEIVED: second, RST elsewhere in the window is challenged (RFC 5961 3.2)",
     SCRIPT_LISTEN "< R 100\n> . 1 ack 1\nstate SYN_RECEIVED\n"},
    {"SYN-RECEIVED: second, RST out of the window is dropped",
     SCRIPT_LISTEN "< R 0\nnothing\n< R 70001\nnothing\nstate SYN_RECEIVED\n"},
    {"SYN-RECEIVED: a repeated SYN is answered, the SYN+ACK is the same",
     SCRIPT_LISTEN "+500ms\n< S 0 win 65535 <mss 1460>\ndiscard 1 unreset\nstate SYN_RECEIVED\n"
                   "< . 1 ack 1\naccepted\n"},
    {"SYN-RECEIVED: fifth, no ACK bit, dropped",
     SCRIPT_LISTEN "< P 1:11\nnothing\n< - 1\nnothing\nstate SYN_RECEIVED\n"},
    {"SYN-RECEIVED: fifth, an ACK of nothing we sent is answered by RST",
     SCRIPT_LISTEN "< . 1 ack 5\n> R 5\nstate SYN_RECEIVED\n< . 1 ack 0\n> R 0\nstate SYN_RECEIVED\n"
                   "not accepted\n"},
    {"SYN-RECEIVED: the window of the ACK counts",
     "listen\n< S 0 win 150 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1 win 100\naccepted\nsend 200\n"
     "> . 1:101 ack 1\n"},
    {"SYN-RECEIVED: SYN+ACK is sent again after 1, 2 and 4 s, then forgotten",
     SCRIPT_LISTEN "~1s > S. 0 ack 1\n~2s > S. 0 ack 1\n~4s > S. 0 ack 1\n+7900ms\nstate SYN_RECEIVED\n"
                   "+200ms\nstate CLOSED\ncounts connections 0 half_open 0\nnot accepted\n"},
    {"SYN-RECEIVED: SYN+ACK is sent again with all its options",
     "listen\n< S 0 win 65535 <mss 1460,sackOK,ts 100 0,wscale 7>\n"
     "> S. 0 ack 1 <mss 1460,sackOK,ts 0 100,wscale 0>\n"
     "~1s > S. 0 ack 1 <mss 1460,sackOK,ts * 100,wscale 0>\n"},
    {"SYN-RECEIVED: established after the second SYN+ACK",
     SCRIPT_LISTEN "~1s > S. 0 ack 1\n< . 1 ack 1\naccepted\n+3s\nnothing\n"},
    {"SYN-RECEIVED: FIN without ACK is dropped", SCRIPT_LISTEN "< F 1\nnothing\nstate SYN_RECEIVED\n"},
    {"ESTABLISHED from its first event: a greeting leaves with the burst",
     SCRIPT_LISTEN "on accepted send 30\n< . 1 ack 1\n> . 1:31 ack 1\n"},
    {"ESTABLISHED: a service may close in accepted",
     SCRIPT_LISTEN "on accepted close\n< . 1 ack 1\n> F. 1 ack 1\nstate FIN_WAIT_1\n"},
    {"ESTABLISHED: a service may abort in accepted",
     SCRIPT_LISTEN "on accepted abort\n< . 1 ack 1\n> R? 1\nclosed ABORTED\nstate CLOSED\n"},
    {"ESTABLISHED and data in one burst",
     SCRIPT_LISTEN "on received send 50\n<+ . 1 ack 1\n< P. 1:101 ack 1\n> . 1:51 ack 101\nreceived 100\n"},
    {"SYN and ACK of two peers in one burst",
     "listen\n<+ S 0 <mss 1460>\npeer 2\n< S 0 <mss 1460>\npeer 1\n> S. 0 ack 1\npeer 2\n> S. 0 ack 1\n"
     "<+ . 1 ack 1\npeer 1\n< . 1 ack 1\naccepted\npeer 2\naccepted\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: nobody, listeners, SYN-RECEIVED", scripts,
                            sizeof scripts / sizeof scripts[0], argc, argv);
}
