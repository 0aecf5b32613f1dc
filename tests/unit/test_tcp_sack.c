/*
 * test_tcp_sack.c - selective acknowledgement both ways: RFC 2018 as receiver; RFC 6675 and RFC 8985
 * (RACK-TLP) as sender; CVE-2019-11477 to 11479.
 */
#include "tcp_script.h"

#define RTT(t)                                                                                               \
    "listen\n< S 0 win 65535 <mss 1460,sackOK>\n> S. 0 ack 1\n+" t "\n< . 1 ack 1 win 65535\naccepted\n"
#define FOUR_OUT RTT("100ms") "send 5840\n>> . 1:5841 ack 1\n+100ms\n"
#define TEN_OUT  RTT("100ms") "send 14600\n>> . 1:14601 ack 1\n+100ms\n"

static const struct tcp_script scripts[] = {
    /* RFC 2018 4 */
    {"a hole is reported", SCRIPT_ESTABLISHED_SACK "< . 101:201 ack 1\n> . 1 ack 1 <sack 101-201>\n"},
    {"the first block is the one that has just changed",
     SCRIPT_ESTABLISHED_SACK "< . 101:201 ack 1\n> . 1 ack 1 <sack 101-201>\n< . 301:401 ack 1\n"
                             "> . 1 ack 1 <sack 301-401 101-201>\n< . 201:251 ack 1\n"
                             "> . 1 ack 1 <sack 101-251 301-401>\n"},
    {"blocks that touch are one",
     SCRIPT_ESTABLISHED_SACK "< . 101:201 ack 1\n> . 1 ack 1 <sack 101-201>\n< . 301:401 ack 1\n"
                             "> . 1 ack 1 <sack 301-401 101-201>\n< . 201:301 ack 1\n"
                             "> . 1 ack 1 <sack 101-401>\n"},
    {"a hole that is filled is reported no more",
     SCRIPT_ESTABLISHED_SACK "< . 101:201 ack 1\n> . 1 ack 1 <sack 101-201>\n< . 301:401 ack 1\n"
                             "> . 1 ack 1 <sack 301-401 101-201>\n< . 1:101 ack 1\n"
                             "> . 1 ack 201 <sack 301-401>\n< . 201:301 ack 1\n> . 1 ack 401\n"},
    {"three blocks at most beside time stamps, the latest first",
     SCRIPT_ESTABLISHED_ALL "< . 101:201 ack 1 <ts 101 0>\ndiscard 1\n< . 301:401 ack 1 <ts 101 0>\n"
                            "discard 1\n< . 501:601 ack 1 <ts 101 0>\ndiscard 1\n"
                            "< . 701:801 ack 1 <ts 101 0>\n"
                            "> . 1 ack 1 <ts * 100,sack 701-801 501-601 301-401>\n"},
    {"blocks ride on data as well",
     SCRIPT_ESTABLISHED_SACK "< . 101:201 ack 1\n> . 1 ack 1 <sack 101-201>\nsend 50\n"
                             "> . 1:51 ack 1 <sack 101-201>\n"},
    {"what is out of the window is not reported",
     SCRIPT_ESTABLISHED_SACK "< . 70001:70101 ack 1\n> . 1 ack 1\n"},
    {"what was not kept is not reported",
     "config receive_frames 1\n" SCRIPT_ESTABLISHED_SACK "< . 101:201 ack 1\n> . 1 ack 1 <sack 101-201>\n"
     "< . 301:401 ack 1\n> . 1 ack 1 <sack 101-201>\n"},
    {"blocks across the wrap",
     SCRIPT_ESTABLISHED_SACK "< . 11:31 ack 1\n> . 1 ack 1 <sack 11-31>\n< . 1:11 ack 1\n> . 1 ack 31\n"},
    {"FIN in a block takes its number",
     SCRIPT_ESTABLISHED_SACK "< . 101:201 ack 1\n> . 1 ack 1 <sack 101-201>\n< F. 201 ack 1\ndiscard 1\n"
                             "not ended\n< . 1:101 ack 1\ndiscard 1\n< F. 201 ack 1\ndiscard 1\nended\n"},

    /* RFC 6675 3: DupThresh; RFC 8985 6.2: three SACKed segments and no reordering seen: no waiting */
    {"three segments SACKed above a hole: it is sent again at once",
     FOUR_OUT "< . 1 ack 1 <sack 1461-2921>\n< . 1 ack 1 <sack 1461-4381>\n< . 1 ack 1 <sack 1461-5841>\n"
              "> . 1:1461 ack 1\n+100ms\n< . 1 ack 5841\nunsent 0\n+2s\nnothing\n"},
    {"RACK: one SACK above a hole: sent again after a quarter of the round trip (6.2: reo_wnd)",
     FOUR_OUT "< . 1 ack 1 <sack 1461-2921>\nnothing\n~25ms > . 1:1461 ack 1\n"},
    {"RACK: reordering within the window sends nothing again",
     FOUR_OUT "< . 1 ack 1 <sack 1461-2921>\n+20ms\n< . 1 ack 5841\nnothing\n+2s\nnothing\nunsent 0\n"},
    {"RACK: two segments: the first lost, found without three duplicates",
     RTT("100ms") "send 2920\n>> . 1:2921 ack 1\n+100ms\n< . 1 ack 1 <sack 1461-2921>\n"
                  "~25ms > . 1:1461 ack 1\n+100ms\n< . 1 ack 2921\nunsent 0\n"},
    {"two holes are both sent again",
     TEN_OUT "< . 1 ack 1 <sack 1461-2921>\n< . 1 ack 1 <sack 4381-5841 1461-2921>\n"
             "< . 1 ack 1 <sack 4381-14601 1461-2921>\n> . 1:1461 ack 1\n> . 2921:4381 ack 1\n+100ms\n"
             "< . 1 ack 14601\nunsent 0\n"},
    {"nothing that was SACKed is sent again",
     TEN_OUT "< . 1 ack 1 <sack 1461-14601>\n> . 1:1461 ack 1\n+100ms\n< . 1 ack 14601\nnothing\nunsent 0\n"},
    {"limited transmit: SACKed segments make room for new ones",
     RTT("100ms") "send 20440\n>> . 1:14601 ack 1\n+100ms\n< . 1 ack 1 <sack 1461-2921>\n"
                  "> . 14601:16061 ack 1\n< . 1 ack 1 <sack 1461-4381>\n> . 16061:17521 ack 1\n"},
    {"RFC 6937: the window comes down with what arrives, not at once",
     RTT("100ms") "send 29200\n>> . 1:14601 ack 1\n+100ms\n< . 1 ack 1 <sack 1461-2921>\ndiscard 1\n"
                  "< . 1 ack 1 <sack 1461-4381>\ndiscard 1\n< . 1 ack 1 <sack 1461-5841>\n"
                  "> . 1:1461 ack 1\ndiscard 1\n< . 1 ack 1 <sack 1461-7301>\ndiscard 1\n"
                  "< . 1 ack 1 <sack 1461-8761>\ndiscard 1\n< . 1 ack 1 <sack 1461-10221>\ndiscard 1\n"},
    {"RACK: a lost retransmission is found by what was sent after it",
     RTT("100ms") "send 20440\n>> . 1:14601 ack 1\n+100ms\n< . 1 ack 1 <sack 1461-5841>\ndiscard 5\n"
                  "+100ms\n< . 1 ack 1 <sack 1461-14601>\n>> . 14601:17521 ack 1\ndiscard 2\n+100ms\n"
                  "< . 1 ack 1 <sack 1461-17521>\n~0..30ms > . 1:1461 ack 1\n+100ms\n< . 1 ack 20441\n"
                  "unsent 0\n"},
    {"recovery ends with all acknowledged; later data flows",
     TEN_OUT "< . 1 ack 1 <sack 1461-14601>\n> . 1:1461 ack 1\n+100ms\n< . 1 ack 14601\nsend 2920\n"
             ">> . 14601:17521 ack 1\n+100ms\n< . 1 ack 17521\nunsent 0\n"},

    /* hostile or broken blocks */
    {"a block beyond what was sent is ignored",
     FOUR_OUT "< . 1 ack 1 <sack 5841-9000>\n< . 1 ack 1 <sack 5841-9001>\n< . 1 ack 1 <sack 5841-9002>\n"
              "discard 1\nunsent 5840\n< . 1 ack 5841\nunsent 0\n"},
    {"a block turned round is ignored",
     FOUR_OUT "< . 1 ack 1 <sack 4381-1461>\n+10ms\nnothing\n< . 1 ack 5841\nunsent 0\n"},
    {"an empty block is ignored",
     FOUR_OUT "< . 1 ack 1 <sack 1461-1461>\n+10ms\nnothing\n< . 1 ack 5841\nunsent 0\n"},
    {"a block of all the number space is ignored",
     FOUR_OUT "< . 1 ack 1 <sack 1461-1460>\n+10ms\nnothing\n< . 1 ack 5841\nunsent 0\n"},
    {"a D-SACK below the acknowledgement is no loss (RFC 2883)",
     FOUR_OUT "< . 1 ack 2921\n< . 1 ack 2921 <sack 1-1461>\n+10ms\nnothing\n< . 1 ack 5841\nunsent 0\n"},
    {"blocks in parts of segments SACK no whole one (CVE-2019-11477: shifting and splitting)",
     TEN_OUT "< . 1 ack 1 <sack 1500-1501 1600-1601 1700-1701>\n"
             "< . 1 ack 1 <sack 2000-2001 2100-2101 2200-2201>\ndiscard 1\n+1s\ndiscard\n< . 1 ack 14601\n"
             "unsent 0\n"},
    {"many ACKs with many blocks over small segments cost a bounded queue (CVE-2019-11478)",
     "listen\n< S 0 win 65535 <mss 48,sackOK>\n> S. 0 ack 1\n< . 1 ack 1 win 65535\naccepted\nsend 2160\n"
     ">> . 1:2161 ack 1\nrepeat 100\n< . 1 ack 1 <sack 433-649 865-1081 1297-1513 1729-1945>\ndiscard 10\n"
     "end\n< . 1 ack 2161\nunsent 0\n"},
    {"a block for a FIN that is in flight",
     RTT("100ms") "send 100\n> . 1:101 ack 1\nclose\n> F. 101 ack 1\n+100ms\n< . 1 ack 1 <sack 101-102>\n"
                  "~0..245ms > any\n+1s\ndiscard\n< . 1 ack 102\nstate FIN_WAIT_2\n"},
    {"RFC 2018 8: after a time-out SACKed data may have been forgotten (reneging): it is sent again in "
     "the end",
     FOUR_OUT "< . 1 ack 1 <sack 1461-2921>\n+3s\ndiscard\n< . 1 ack 1461\ndiscard\n+3s\ndiscard\n"
              "< . 1 ack 2921\ndiscard\n+3s\ndiscard\n< . 1 ack 5841\nunsent 0\n"},
    {"reneging: the acknowledgement stops below what was SACKed: it comes again",
     FOUR_OUT "< . 1 ack 1 <sack 1461-5841>\n> . 1:1461 ack 1\n+100ms\n< . 1 ack 1461\n"
              "~0..1s > . 1461:2921 ack 1\n"},

    /* RFC 8985 7: tail loss probes */
    {"TLP: the only segment: after 2 SRTT and the peer's ACK delay of 40 ms",
     RTT("10ms") "send 100\n> . 1:101 ack 1\n~60ms > . 1:101 ack 1\n+10ms\n< . 1 ack 101\nunsent 0\n+2s\n"
                 "nothing\n"},
    {"TLP: several segments: the last one, after 2 SRTT",
     RTT("100ms") "send 4380\n>> . 1:4381 ack 1\n~200ms > . 2921:4381 ack 1\n"},
    {"TLP: the last of three was lost: probed, acknowledged, done",
     RTT("100ms") "send 4380\n>> . 1:4381 ack 1\n+100ms\n< . 1 ack 2921\n~200..260ms > . 2921:4381 ack 1\n"
                  "+100ms\n< . 1 ack 4381\nunsent 0\n+3s\nnothing\n"},
    {"TLP: all were lost: the probe's SACK has RACK send the others",
     RTT("100ms") "send 4380\n>> . 1:4381 ack 1\n~200ms > . 2921:4381 ack 1\n+100ms\n"
                  "< . 1 ack 1 <sack 2921-4381>\n~0..27ms > . 1:1461 ack 1\n> . 1461:2921 ack 1\n+100ms\n"
                  "< . 1 ack 4381\nunsent 0\n"},
    {"TLP: new data if there is some",
     RTT("100ms") "send 20000\n>> . 1:14601 ack 1\n~200ms > . 14601:16061 ack 1\n"},
    {"TLP: one probe, then the RTO, which starts anew from it (7.3)",
     RTT("10ms") "send 100\n> . 1:101 ack 1\n~60ms > . 1:101 ack 1\n~200ms > . 1:101 ack 1\n"
                 "~400ms > . 1:101 ack 1\n"},
    {"TLP: not later than the RTO (7.2)",
     "listen\n< S 0 win 65535 <mss 1460,sackOK>\n> S. 0 ack 1\n+500ms\n< . 1 ack 1\nsend 100\n"
     "> . 1:101 ack 1\n~1040ms > . 1:101 ack 1\n"},
    {"TLP: the probe was not needed: its D-SACK changes nothing",
     RTT("10ms") "send 100\n> . 1:101 ack 1\n~60ms > . 1:101 ack 1\n< . 1 ack 101\n"
                 "< . 1 ack 101 <sack 1-101>\nnothing\nunsent 0\nsend 100\n> . 101:201 ack 1\n"},
    {"TLP: the probe was not needed: a plain duplicate says so, too (7.4.2, case 3): the window stays",
     RTT("10ms") "send 100\n> . 1:101 ack 1\n~60ms > . 1:101 ack 1\n< . 1 ack 101\n< . 1 ack 101\nsend 100\n> . 101:201 ack 1\n"
                 "< . 1 ack 201\nsend 20000\n>> . 201:14801 ack 1\n"},
    {"TLP: the probe was needed: the loss that it repaired halves the window (7.4.2)",
     RTT("10ms") "send 100\n> . 1:101 ack 1\n~60ms > . 1:101 ack 1\n< . 1 ack 101\nsend 100\n> . 101:201 ack 1\n"
                 "< . 1 ack 201\nsend 20000\n>> . 201:3121 ack 1\nnothing\n"},
    {"TLP: an ACK of a part starts it anew",
     RTT("100ms") "send 4380\n>> . 1:4381 ack 1\n+150ms\n< . 1 ack 1461\n~200..260ms > . 2921:4381 ack 1\n"},
    {"TLP: with FIN at the tail",
     RTT("10ms") "send 100\n> . 1:101 ack 1\nclose\n> F. 101 ack 1\n~20..201ms > any\n"},
    {"a single lost reply is there within 10 ms and the ACK delay when the round trip is short",
     RTT("1ms") "on received send 50\n< P. 1:51 ack 1\n> . 1:51 ack 51\n~0..50ms > . 1:51 ack 51\n"
                "< . 51 ack 51\nunsent 0\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: SACK, RACK, TLP", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
