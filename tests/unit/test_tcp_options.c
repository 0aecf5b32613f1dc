/*
 * test_tcp_options.c - options on SYN and elsewhere: RFC 9293 3.1, 3.2 and 3.7.1, RFC 7323 2, RFC 2018 2;
 * lists that are malformed on purpose.
 */
#include "tcp_script.h"

/* 40 bytes */
#define FULL_LIST    "mss 1000,sackOK,ts 9 0,wscale 2,hex fe130000000000000000000000000000000000"
#define NOPS         "01010101010101010101"
#define ZEROES       "00000000000000000000"
#define SYN(options) "listen\n< S 0 win 65535 <" options ">\n"
/* What a connection's segments are like then. */
#define DATA(first) "< . 1 ack 1 win 65535\naccepted\nsend 3000\n> . 1:" first " ack 1\n"

static const struct tcp_script scripts[] = {
    {"none: none in the answer but MSS", SYN(" ") "> S. 0 ack 1 <mss 1460>\n"},
    {"no MSS: 536 is assumed (RFC 9293 3.7.1)", SYN(" ") "> S. 0 ack 1\n" DATA("537") "discard\n"},
    {"MSS 1000", SYN("mss 1000") "> S. 0 ack 1 <mss 1460>\n" DATA("1001") "discard\n"},
    {"MSS above the link's: the link's",
     SYN("mss 9000") "> S. 0 ack 1 <mss 1460>\n" DATA("1461") "discard\n"},
    {"MSS 65535", SYN("mss 65535") "> S. 0 ack 1\n" DATA("1461") "discard\n"},
    {"a tiny MSS is raised to 216 (CVE-2019-11479)", SYN("mss 48") "> S. 0 ack 1\n" DATA("217") "discard\n"},
    {"MSS 1", SYN("mss 1") "> S. 0 ack 1\n" DATA("217") "discard\n"},
    {"MSS 0 does not stop the stream",
     SYN("mss 0") "> S. 0 ack 1\n< . 1 ack 1\naccepted\nsend 1000\n>> . 1:1001 ack 1\n"},
    {"tiny MSS with SACK and time stamps: segments stay above the floor, options deducted (CVE-2019-11478)",
     SYN("mss 48,sackOK,ts 1 0") "> S. 0 ack 1\n< . 1 ack 1 <ts 2 0>\naccepted\nsend 400\n> . 1:205 ack 1\n"
                                 "> . 205:401 ack 1\n"},
    {"time stamps are deducted from a full segment (RFC 6691)",
     SYN("mss 1460,ts 1 0") "> S. 0 ack 1\n< . 1 ack 1 <ts 2 0>\nsend 2000\n> . 1:1449 ack 1\n"
                            "> . 1449:2001 ack 1\n"},
    {"the link's MTU makes our MSS", "mtu 9000\n" SYN("mss 1460") "> S. 0 ack 1 <mss 8960>\n"},
    {"a small link's MTU", "mtu 576\n" SYN("mss 1460") "> S. 0 ack 1 <mss 536>\n" DATA("537") "discard\n"},
    {"each for itself: SACK", SYN("sackOK") "> S. 0 ack 1 <mss 1460,sackOK>\n"},
    {"each for itself: time stamps", SYN("ts 77 0") "> S. 0 ack 1 <mss 1460,ts * 77>\n"},
    {"each for itself: window scale", SYN("wscale 3") "> S. 0 ack 1 <mss 1460,wscale 0>\n"},
    {"window scale of 0 is an offer as well", SYN("wscale 0") "> S. 0 ack 1 <mss 1460,wscale 0>\n"},
    {"a large receive window is offered with a scale",
     "config receive_bytes 262144\n" SYN("mss 1460,wscale 0") "> S. 0 ack 1 win 65535 <mss 1460,wscale 3>\n"},
    {"no scale from the peer, none from us: 65535 is the end of it",
     "config receive_bytes 262144\n" SYN("mss 1460") "> S. 0 ack 1 win 65535 <mss 1460>\n"
                                                     "< P. 1:11 ack 1\n"
                                                     "~40ms > . 1 ack 11 win 65525\n"},
    {"a SYN's window is never scaled (RFC 7323 2.2)",
     "listen\n< S 0 win 1000 <mss 1460,wscale 7>\n> S. 0 ack 1\n< . 1 ack 1 win 8\nsend 2000\n"
     "> . 1:1025 ack 1\n"},
    {"a scale above 14 counts as 14 (RFC 7323 2.3)",
     SYN("mss 1460,wscale 255") "> S. 0 ack 1\n< . 1 ack 1 win 1\nsend 17000\n>> . 1:14601 ack 1\n"},
    {"a scale of 14",
     SYN("mss 1460,wscale 14") "> S. 0 ack 1\n< . 1 ack 1 win 1\nsend 3000\n>> . 1:3001 ack 1\n"},
    {"the first window of a SYN bounds nothing after the ACK's",
     "listen\n< S 0 win 10 <mss 1460>\n> S. 0 ack 1\n< . 1 ack 1 win 65535\nsend 100\n> . 1:101 ack 1\n"},
    {"MSS on an ordinary segment is ignored",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 65535 <mss 300>\nsend 1460\n> . 1:1461 ack 1\n"},
    {"window scale on an ordinary segment is ignored",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 1460 <wscale 7>\nsend 3000\n> . 1:1461 ack 1\n"},
    {"SACK permitted on an ordinary segment is ignored",
     SCRIPT_ESTABLISHED "< . 1 ack 1 win 65535 <sackOK>\n< . 101:201 ack 1\n> . 1 ack 1\n"},
    {"time stamps that were not agreed on are ignored",
     SCRIPT_ESTABLISHED "< P. 1:101 ack 1 <ts 5 5>\n~40ms > . 1 ack 101 < >\n"},
    {"SACK on a SYN is ignored",
     SYN("sackOK,hex 050a0000000100000002") "> S. 0 ack 1\n< . 1 ack 1\naccepted\n"},
    {"SACK blocks that were not agreed on are ignored",
     SCRIPT_ESTABLISHED "send 3000\n>> . 1:3001 ack 1\n< . 1 ack 1 <sack 1461-2921>\nnothing\n"
                        "< . 1 ack 3001\nunsent 0\n"},

    /* RFC 9293 3.1; DESIGN 7: option length 0 or 1, an endless loop elsewhere */
    {"length 0 ends the reading", SYN("mss 1000,hex fe00ffff") "> S. 0 ack 1\n" DATA("1001") "discard\n"},
    {"length 1 ends the reading", SYN("mss 1000,hex fe01ffff") "> S. 0 ack 1\n" DATA("1001") "discard\n"},
    {"length 0 first", SYN("hex 0200") "> S. 0 ack 1 <mss 1460>\n" DATA("537") "discard\n"},
    {"length 0 on a segment of a connection",
     SCRIPT_ESTABLISHED "< P. 1:101 ack 1 <hex 0800>\nreceived 100\n~40ms > . 1 ack 101\n"},
    {"length beyond the header ends the reading",
     SYN("mss 1000,hex 080affff") "> S. 0 ack 1 <mss 1460>\n" DATA("1001") "discard\n"},
    {"a kind without a length at the very end",
     SYN("mss 1000,hex 01010108") "> S. 0 ack 1 <mss 1460>\n" DATA("1001") "discard\n"},
    {"an unknown kind is skipped by its length",
     SYN("hex fe0401020204012c") "> S. 0 ack 1\n" DATA("301") "discard\n"},
    {"nothing behind the end of the list counts",
     SYN("hex 0002040064") "> S. 0 ack 1\n" DATA("537") "discard\n"},
    {"padding everywhere",
     SYN("hex 010101010204012c0101010104020101") "> S. 0 ack 1 <mss 1460,sackOK>\n" DATA("301") "discard\n"},
    {"MSS of a wrong length is skipped", SYN("hex 02030501040204020101") "> S. 0 ack 1\n"},
    {"window scale of a wrong length is skipped",
     SYN("hex 0304070104020101") "> S. 0 ack 1 <mss 1460,sackOK>\n"},
    {"SACK permitted of a wrong length is skipped", SYN("hex 04030101") "> S. 0 ack 1 <mss 1460>\n"},
    {"time stamps of a wrong length are skipped",
     SYN("hex 0809000000010000000101010101") "> S. 0 ack 1 <mss 1460>\n"},
    {"forty bytes of options", SYN(FULL_LIST) "> S. 0 ack 1 <mss 1460,sackOK,ts * 9,wscale 0>\n"},
    {"forty bytes of padding", SYN("hex " NOPS NOPS NOPS NOPS) "> S. 0 ack 1 <mss 1460>\n"},
    {"forty zero bytes", SYN("hex " ZEROES ZEROES ZEROES ZEROES) "> S. 0 ack 1 <mss 1460>\n"},
    {"TCP fast open, MD5 and multipath requests are skipped (RFC 7413, 2385, 8684)",
     SYN("mss 1000,hex 220a01020304050607081e0401001313") "> S. 0 ack 1 <mss 1460>\n"},
    {"SACK of an odd length is skipped",
     "listen\n< S 0 win 65535 <mss 1460,sackOK>\n> S. 0 ack 1\n< . 1 ack 1\nsend 3000\n>> . 1:3001 ack 1\n"
     "< . 1 ack 1 <hex 0507000000010000>\ndiscard\n< . 1 ack 3001\nunsent 0\n"},
    {"SACK without a block is skipped",
     "listen\n< S 0 win 65535 <mss 1460,sackOK>\n> S. 0 ack 1\n< . 1 ack 1\nsend 3000\n>> . 1:3001 ack 1\n"
     "< . 1 ack 1 <hex 05020101>\ndiscard\n< . 1 ack 3001\nunsent 0\n"},
};

int main(int argc, char **argv)
{
    return tcp_script_suite("TCP: options", scripts, sizeof scripts / sizeof scripts[0], argc, argv);
}
