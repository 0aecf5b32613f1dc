/*
 * test_tcp_script.c - the script player itself: what it refuses to read, and that it fails scripts that
 * ought to fail. (A player that lets everything pass would make every other TCP test worthless.)
 */
#include <stdio.h>

#include "suite.h"
#include "tcp_script.h"
#include "test_eal.h"

enum { REPORT_BYTES = 70000 };
static char report[REPORT_BYTES];

static bool reads(const char *text)
{
    struct tcp_script script = {.name = "reads", .text = text};
    return tcp_script_check(&script, report, sizeof report);
}

static void test_reads_what_the_language_has(void)
{
    CU_ASSERT_TRUE(reads(SCRIPT_TIME_WAIT));
    CU_ASSERT_TRUE(reads("< SFRP.UEW 0:10 ack =5 win 3 urg 2 junk doff 4 cut 1 "
                         "<mss 1,sackOK,ts 1 2,wscale 3,hex 0102,nop>\n"));
    CU_ASSERT_TRUE(reads("> . 1 ack * <ts * 100,sack 1-2 3-4>\n>> . 1:5 ack 1 < >\n> any\n"));
    CU_ASSERT_TRUE(reads("+1.5s # a comment\n~20..50ms > . 1\n\n   # nothing\nrepeat 3\nnothing\nend\n"));
}

static void test_refuses_nonsense(void)
{
    static const char *const texts[] = {
        "nonsense\n",
        "< X 0\n",
        "< S zero\n",
        "< S 0 win\n",
        "< S 0 <mss>\n",
        "< S 0 <colour 3>\n",
        "< S 0 <mss 1\n",
        "+40\n",
        "~40ms\n",
        "~40ms nothing\n",
        "state SLEEPING\n",
        "closed SOMEHOW\n",
        "send\n",
        "end\n",
        "repeat 3\n",
        "repeat 2\nrepeat 2\nend\nend\n",
        "listen 80 81\n",
        "on closed abort\n",
        "on received dance\n",
        "icmp 3 seq 1\n",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CU_ASSERT_FALSE(reads(texts[i]));
        if (strstr(report, "line") == NULL)
            CU_FAIL("the report does not name the line");
    }
}

/* It fails, and the report says `why`. */
static void fails(const char *text, const char *why)
{
    struct tcp_script script = {.name = "fails", .text = text};
    report[0] = '\0';
    bool good = tcp_script_play(&script, report, sizeof report);
    CU_ASSERT_FALSE(good);
    if (strstr(report, why) == NULL) {
        printf("\nwanted: %s\n%s", why, report);
        CU_FAIL("another failure than wanted");
    }
}

static void test_fails_what_ought_to_fail(void)
{
    fails("listen\n< S 0 <mss 1460>\nlisten 80\n", "expected  nothing");
    fails("listen\n< S 0 <mss 1460>\n", "expected  nothing");
    fails("listen\n> S. 0\n", "got       nothing");
    fails("listen\n< S 0 <mss 1460>\n> R 0\n", "differs   flags");
    fails("listen\n< S 0 <mss 1460>\n> S. 0 ack 2\n", "differs   acknowledgement");
    fails("listen\n< S 0 <mss 1460>\n> S. 0 ack 1 win 1\n", "differs   window");
    fails("listen\n< S 0 <mss 1460>\n> S. 0 ack 1 <mss 1400>\n", "differs   MSS option");
    fails("listen\n< S 0 <mss 1460>\n> S. 0 ack 1 <mss 1460,sackOK>\n", "differs   SACK permitted");
    fails("listen\n< S 0 <mss 1460>\n> S. 0 ack 1\n~500ms > S. 0 ack 1\n", "got       nothing");
    fails("listen\n< S 0 <mss 1460>\n> S. 0 ack 1\n~2s > S. 0 ack 1\n", "differs   time");
    fails(SCRIPT_ESTABLISHED "send 10\n> . 1:10 ack 1\n", "differs   length");
    fails(SCRIPT_ESTABLISHED "send 10\n> . 2:12 ack 1\n", "differs   sequence number");
    fails(SCRIPT_ESTABLISHED "< P. 1:11 ack 1 junk\n", "is not the peer's");
    fails(SCRIPT_ESTABLISHED "< P. 1:11 ack 1\nreceived 11\n", "got       10");
    fails(SCRIPT_ESTABLISHED "state CLOSE_WAIT\n", "expected  6");
    fails(SCRIPT_ESTABLISHED "ended\n", "not told");
    fails(SCRIPT_ESTABLISHED "< R 1\nclosed ABORTED\n", "end");
    fails(SCRIPT_ESTABLISHED "counter no_such_thing 1\n", "no such counter");
    fails(SCRIPT_ESTABLISHED "discard\nabort\ndiscard 0\n", "segments left");
    fails(SCRIPT_ESTABLISHED "abort\ndiscard 1 unreset\n", "a reset left");
}

int main(void)
{
    CU_TestInfo tests[] = {{"reads what the language has", test_reads_what_the_language_has},
                           {"refuses nonsense", test_refuses_nonsense},
                           {"fails what ought to fail", test_fails_what_ought_to_fail},
                           CU_TEST_INFO_NULL};
    test_eal_start();
    return suite_run("TCP: the script player", tests);
}
