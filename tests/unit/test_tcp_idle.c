/*
 * test_tcp_idle.c - keepalive (RFC 9293 3.8.4, RFC 1122 4.2.3.6), deadlines of users, and long silences.
 */
#include "tcp_script.h"

#define KEPT "config keepalive 1\n" SCRIPT_ESTABLISHED

static const struct tcp_script scripts[] = {
    {"keepalive: off unless it is asked for", SCRIPT_ESTABLISHED "+60min\nnothing\nopen\n"},
    {"keepalive: after two minutes, below SND.NXT, so that it is answered",
     KEPT "~120..121s > . 0:1 ack 1\n< . 1 ack 1\nopen\n"},
    {"keepalive: answered, the time starts anew",
     KEPT "~120..121s > . 0:1 ack 1\n< . 1 ack 1\n+119s\nnothing\n~0..2s > . 0:1 ack 1\n"},
    {"keepalive: eight probes unanswered, 15 s apart: it is over",
     KEPT "~120..121s > . 0:1 ack 1\n~15..16s > . 0:1 ack 1\n~15..16s > . 0:1 ack 1\n"
          "~15..16s > . 0:1 ack 1\n~15..16s > . 0:1 ack 1\n~15..16s > . 0:1 ack 1\n~15..16s > . 0:1 ack 1\n"
          "~15..16s > . 0:1 ack 1\n+14s\nopen\n+2s\ndiscard 1\nclosed TIMED_OUT\ncounts connections 0\n"},
    {"keepalive: an answer to the last probe saves it",
     KEPT "+226s\ndiscard 8\n< . 1 ack 1\n+100s\nnothing\nopen\n"},
    {"keepalive: data from the peer puts it off",
     KEPT "+100s\n< P. 1:11 ack 1\n~40ms > . 1 ack 11\n+100s\nnothing\n~0..21s > . 0:1 ack 11\n"},
    {"keepalive: not while data is in flight: that has its own limits",
     KEPT "send 10\n> . 1:11 ack 1\n+3s\ndiscard 4\n< . 1 ack 11\n+119s\nnothing\n~0..3s > . 10:11 ack 1\n"},
    {"keepalive: a reset in answer ends it", KEPT "~120..121s > . 0:1 ack 1\n< R 1\nclosed RESET\n"},
    {"keepalive: in CLOSE-WAIT, too", "config keepalive 1\n" SCRIPT_CLOSE_WAIT "~120..121s > . 0:1 ack 2\n"},
    {"keepalive: a peer's probe is answered (one below RCV.NXT)",
     SCRIPT_ESTABLISHED "< . 0 ack 1\n> . 1 ack 1\nopen\n"},
    {"keepalive: a peer's probe with a byte of garbage is answered",
     SCRIPT_ESTABLISHED "< . 0:1 ack 1 junk\n> . 1 ack 1\nreceived 0\n"},
    {"keepalive: many probes of a peer are each answered within reason",
     SCRIPT_ESTABLISHED "repeat 30\n+10s\n< . 0 ack 1\n> . 1 ack 1\nend\n"},
    {"deadline: told once, at its time",
     SCRIPT_ESTABLISHED "deadline 5ms\n+4900us\nnot expired\n+3ms\nexpired\n+10s\nnot expired\nopen\n"},
    {"deadline: put off",
     SCRIPT_ESTABLISHED "deadline 5ms\n+3ms\ndeadline 20ms\n+10ms\nnot expired\n+13ms\nexpired\n"},
    {"deadline: brought forward", SCRIPT_ESTABLISHED "deadline 10s\n+1ms\ndeadline 5ms\n+8ms\nexpired\n"},
    {"deadline: taken back", SCRIPT_ESTABLISHED "deadline 5ms\ndeadline off\n+10s\nnot expired\n"},
    {"deadline: far away", SCRIPT_ESTABLISHED "deadline 600min\n+599min\nnot expired\n+61s\nexpired\n"},
    {"deadline: set again from inside its event or acted upon",
     SCRIPT_ESTABLISHED "deadline 5ms\non expired close\n~5..9ms > F. 1 ack 1\nexpired\nstate FIN_WAIT_1\n"},
    {"deadline: abort in it",
     SCRIPT_ESTABLISHED "deadline 5ms\non expired abort\n~5..9ms > R? 1\nexpired\nclosed ABORTED\n"},
    {"deadline: gone with its stream",
     SCRIPT_ESTABLISHED "deadline 50ms\n< R 1\nclosed RESET\n+1s\nnot expired\n"},
    {"deadline: beside a retransmission",
     SCRIPT_ESTABLISHED "send 10\n> . 1:11 ack 1\ndeadline 300ms\n~200ms > . 1:11 ack 1\n+103ms\nexpired\n"
                        "~200..303ms > . 1:11 ack 1\n"},
    {"deadline: no segment, no timer, nothing to do: the clock may jump",
     SCRIPT_ESTABLISHED "+36000min\nnothing\nopen\nsend 5\n> . 1:6 ack 1\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: idle connections", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
