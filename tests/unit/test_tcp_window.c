/*
 * test_tcp_window.c - windows: RFC 9293 3.8.6 (closing, probing, updates, silly windows on both sides),
 * delayed acknowledgements (3.8.6.3), users who hold.
 */
#include "tcp_script.h"

#define SMALL "config receive_bytes 2920\n" SCRIPT_ESTABLISHED
/* Our window is closed: 2920 bytes are held. */
#define OURS_CLOSED SMALL "hold\n<+ . 1:1461 ack 1\n< . 1461:2921 ack 1\n> . 1 ack 2921 win 0\n"
/* The peer's is, and we have something to send. */
#define THEIRS_CLOSED SCRIPT_ESTABLISHED "< . 1 ack 1 win 0\nsend 100\nnothing\n"

static const struct tcp_script scripts[] = {
    /* receiver */
    {"a window of all there is, when the user takes all",
     SMALL "< . 1:1461 ack 1\n< . 1461:2921 ack 1\n> . 1 ack 2921 win 2920\n"},
    {"held bytes close the window", OURS_CLOSED "received 0\nopen\n"},
    {"the window does not shrink: its right edge stays (3.8.6)",
     SMALL "hold\n< . 1:1461 ack 1\n~0..40ms > . 1 ack 1461 win 1460\n"},
    {"resume opens it again and says so at once",
     OURS_CLOSED "resume\n> . 1 ack 2921 win 2920\nreceived 2920\n"},
    {"silly window, receiver (3.8.6.2.2): a small step is not offered",
     OURS_CLOSED "resume 100\nreceived 100\nnothing\n+10s\nnothing\n"},
    {"silly window, receiver: a segment's worth is",
     OURS_CLOSED "resume 1460\nreceived 1460\n> . 1 ack 2921 win 1460\n"},
    {"silly window, receiver: small steps add up",
     OURS_CLOSED "resume 700\nnothing\nresume 700\nnothing\nresume 700\n> . 1 ack 2921\nreceived 2100\n"},
    {"a window probe of one byte is acknowledged, not taken (3.8.6.1)",
     OURS_CLOSED "< . 2921:2922 ack 1\n> . 1 ack 2921 win 0\n+1s\n< . 2921:2922 ack 1\n"
                 "> . 1 ack 2921 win 0\nreceived 0\n"},
    {"a window probe without payload, one below RCV.NXT, is acknowledged (a known bug elsewhere)",
     OURS_CLOSED "< . 2920 ack 1\n> . 1 ack 2921 win 0\n+1s\n< . 2920 ack 1\n> . 1 ack 2921 win 0\n"},
    {"a probe after the window has opened is data",
     OURS_CLOSED "resume\n> . 1 ack 2921 win 2920\n< . 2921:2922 ack 1\n~40ms > . 1 ack 2922\n"
                 "received 2921\n"},
    {"held data is delivered in order with what follows",
     SMALL "hold\n< . 1:101 ack 1\n< . 101:201 ack 1\n> . 1 ack 201\nresume\nreceived 200\ndiscard\n"
           "< . 201:301 ack 1\nreceived 300\ndiscard\n"},
    {"a user who takes a part gets the rest again with what followed",
     SMALL "hold 30\n< P. 1:101 ack 1\nreceived 30\n< P. 101:151 ack 1\n> . 1 ack 151\nreceived 30\n"
           "resume\nreceived 150\ndiscard\n"},
    {"a user who takes one byte of each",
     SMALL "hold 1\n< P. 1:101 ack 1\nresume 1\nreceived 2\nresume 1\nreceived 3\nresume\nreceived 100\n"
           "discard\n"},
    {"out-of-order data behind held data waits its turn",
     SMALL "hold\n< . 101:201 ack 1\n> . 1 ack 1\n< . 1:101 ack 1\n> . 1 ack 201\nreceived 0\nresume\n"
           "received 200\n"},
    {"many small segments held cost what they take: the peer's data is refused before memory ends",
     "config receive_frames 4\n" SCRIPT_ESTABLISHED "hold\n<+ P. 1:2 ack 1\n<+ P. 2:3 ack 1\n"
     "<+ P. 3:4 ack 1\n<+ P. 4:5 ack 1\n<+ P. 5:6 ack 1\n"
     "< P. 6:7 ack 1\ndiscard 3\nresume\ndiscard\n"
     "< P. 1:7 ack 1\nreceived 6\ndiscard\n"},
    {"a resume with nothing held is nothing",
     SCRIPT_ESTABLISHED "resume\nnothing\n< P. 1:11 ack 1\nreceived 10\ndiscard\n"},
    {"hold, then abort: all is given back",
     OURS_CLOSED "abort\n> R? 1\nclosed ABORTED\ncounts receive_frames 0\n"},
    {"hold, then close: the peer's data still comes",
     SMALL "hold\n< P. 1:101 ack 1\n~40ms > . 1 ack 101\nclose\n> F. 1 ack 101\nresume\nreceived 100\n"
           "open\n"},

    /* delayed acknowledgements: RFC 9293 3.8.6.3, RFC 5681 4.2 */
    {"delayed: 40 ms and no longer", SCRIPT_ESTABLISHED "< P. 1:2 ack 1\n~40ms > . 1 ack 2\n+10s\nnothing\n"},
    {"delayed: a second segment is acknowledged at once, whatever its size",
     SCRIPT_ESTABLISHED "< P. 1:2 ack 1\n+30ms\n< P. 2:3 ack 1\n> . 1 ack 3\n"},
    {"delayed: what leaves anyway carries it",
     SCRIPT_ESTABLISHED "< P. 1:101 ack 1\n+20ms\nsend 10\n> . 1:11 ack 101\n+30ms\ndiscard 1\n"},
    {"delayed: out of order is not delayed", SCRIPT_ESTABLISHED "< P. 2:3 ack 1\n> . 1 ack 1\n"},
    {"no acknowledgement of an acknowledgement",
     SCRIPT_ESTABLISHED "send 10\n> . 1:11 ack 1\n< . 1 ack 11\n+10s\nnothing\n"},

    /* sender: 3.8.6.1 */
    {"a closed window is probed after an RTO", THEIRS_CLOSED "~200ms > any\nopen\n"},
    {"probes back off, 60 s at most",
     THEIRS_CLOSED "~200ms > any\n~400ms > any\n~800ms > any\n~1600ms > any\n~3200ms > any\n~6400ms > any\n"
                   "~12800ms > any\n~25600ms > any\n~51200ms > any\n~60s > any\n"},
    {"a probe's answer does not open it; the connection stays as long as the peer answers (RFC 1122 "
     "4.2.2.17)",
     THEIRS_CLOSED "repeat 60\n~0..60003ms > any\n< . 1 ack 1 win 0\nend\nopen\nstate ESTABLISHED\n"
                   "< . 1 ack 1 win 65535\n> . 1:101 ack 1\n"},
    {"a peer that no longer answers probes is given up",
     THEIRS_CLOSED "+60min\ndiscard\nclosed TIMED_OUT\ncounts connections 0\n"},
    {"the window's update lets the data out at once",
     THEIRS_CLOSED "< . 1 ack 1 win 65535\n> . 1:101 ack 1\n+150ms\n< . 1 ack 101 win 65535\nunsent 0\n"
                   "+10s\nnothing\n"},
    {"the window's update was lost: the probe's answer brings it",
     THEIRS_CLOSED "~200ms > any\n< . 1 ack 1 win 1000\n> . 1:101 ack 1\n"},
    {"the window closes behind data in flight",
     SCRIPT_ESTABLISHED "send 1000\n> . 1:1001 ack 1\n< . 1 ack 1001 win 0\nsend 100\nnothing\n"
                        "~0..201ms > any\n< . 1 ack 1001 win 5000\n> . 1001:1101 ack 1\n"},
    {"FIN waits behind the data for the window",
     THEIRS_CLOSED "close\n+150ms\nnothing\n< . 1 ack 1 win 65535\n> F. 1:101 ack 1\nstate FIN_WAIT_1\n"},
    {"nothing to send, nothing to probe", SCRIPT_ESTABLISHED "< . 1 ack 1 win 0\n+10min\nnothing\nopen\n"},
    {"the peer shrinks its window below what is in flight: no harm (3.8.6)",
     SCRIPT_ESTABLISHED "send 5840\n>> . 1:5841 ack 1\n< . 1 ack 1 win 1000\n+1s\ndiscard\n"
                        "< . 1 ack 1461 win 65535\ndiscard\n+2s\ndiscard\n< . 1 ack 5841 win 65535\n"
                        "unsent 0\n"},
    {"the peer shrinks its window to zero with data in flight: it is sent again, never given up while "
     "answers come",
     SCRIPT_ESTABLISHED "send 100\n> . 1:101 ack 1\n< . 1 ack 1 win 0\n~0..403ms > any\n< . 1 ack 1 win 0\n"
                        "~0..1203ms > any\n< . 1 ack 101 win 1000\nunsent 0\n"},
    {"both windows closed: a bare ACK opens the peer's (a known bug elsewhere)",
     OURS_CLOSED "< . 2921 ack 1 win 0\nsend 100\nnothing\n< . 2921 ack 1 win 1000\n"
                 "> . 1:101 ack 2921 win 0\n< . 2921 ack 101 win 1000\nunsent 0\n"},
    {"both windows closed: the peer's probe opens it, too",
     OURS_CLOSED "< . 2921 ack 1 win 0\nsend 100\nnothing\n< . 2921:2922 ack 1 win 1000\n"
                 "> . 1:101 ack 2921 win 0\ndiscard 1\n"},
    {"both windows closed: both probe, neither storms",
     OURS_CLOSED "< . 2921 ack 1 win 0\nsend 100\nnothing\nrepeat 10\n< . 2920 ack 1 win 0\ndiscard 1\n"
                 "+500ms\ndiscard 2\nend\nopen\n"},

    /* 3.8.6.2.1: silly window, sender; Nagle's algorithm is off */
    {"silly window, sender: a sliver of a large window is not used",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 2000\nsend 5000\n> . 1:1461 ack 1\nnothing\n"},
    {"silly window, sender: at half of the largest window it is",
     "listen\n< S 0 win 1000 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1 win 500\nsend 2000\n> . 1:501 ack 1\n"},
    {"silly window, sender: not at less, until its timer",
     "listen\n< S 0 win 1000 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1 win 100\nsend 2000\nnothing\n"
     "~100..1003ms > any\n"},
    {"silly window, sender: all that is left may go",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 100\nsend 100\n> . 1:101 ack 1\n"},
    {"silly window, sender: acknowledged in small steps, the window reopens in large ones",
     "listen\n< S 0 win 2920 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1 win 2920\nsend 6000\n>> . 1:2921 ack 1\n"
     "< . 1 ack 1461 win 100\nnothing\n< . 1 ack 2921 win 2920\n>> . 2921:5841 ack 1\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: windows", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
