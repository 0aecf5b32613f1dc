/*
 * test_tcp_flags.c - every combination of flags, at, in, before and beyond the window, with good, old and
 * unsent acknowledgements, in every state: whatever it does, it answers with at most one segment; never
 * with a reset where RFC 9293 3.10.7.4 has none; never at all to a reset that is out of place; and the
 * invariants hold.
 */
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"
#include "tcp_script.h"
#include "test_eal.h"

static const struct state {
    const char *name, *beginning;
    unsigned next, sent; /* RCV.NXT, SND.NXT */
    bool may_reset;      /* an unacceptable ACK is answered by RST there */
} states[] = {
    {"CLOSED", "", 1, 1, true},
    {"LISTEN", "listen\n", 1, 1, true},
    {"SYN-SENT", SCRIPT_CONNECT, 0, 1, true},
    {"SYN-RECEIVED", SCRIPT_LISTEN, 1, 1, true},
    {"ESTABLISHED", SCRIPT_ESTABLISHED, 1, 1, false},
    {"FIN-WAIT-1", SCRIPT_FIN_WAIT_1, 1, 2, false},
    {"FIN-WAIT-2", SCRIPT_FIN_WAIT_2, 1, 2, false},
    {"CLOSE-WAIT", SCRIPT_CLOSE_WAIT, 2, 1, false},
    {"CLOSING", SCRIPT_CLOSING, 2, 2, false},
    {"LAST-ACK", SCRIPT_LAST_ACK, 2, 2, false},
    {"TIME-WAIT", SCRIPT_TIME_WAIT, 2, 2, false},
};

enum { STATES = sizeof states / sizeof states[0], TEXT_BYTES = 4096, REPORT_BYTES = 70000 };

static unsigned flags_text(char *out, unsigned flags)
{
    unsigned count = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        if (flags & 1u << bit)
            out[count++] = "FSRP.UEW"[bit];
    }
    if (count == 0)
        out[count++] = '-';
    out[count] = '\0';
    return count;
}

/* One segment, ten payload bytes or none, then a minute in which nothing may go wrong. */
static bool play(const struct state *state, unsigned flags, unsigned seq, unsigned length, unsigned ack)
{
    static char text[TEXT_BYTES], report[REPORT_BYTES];
    char letters[9];
    flags_text(letters, flags);
    bool reset = (flags & 4) != 0;
    snprintf(text, sizeof text,
             "config connections 4 time_wait 4\n%s< %s %u:%u ack %u\ndiscard %u%s\n+300ms\ndiscard 5\n",
             state->beginning, letters, seq, seq + length, ack, 1u,
             reset || !state->may_reset ? " unreset" : "");
    struct tcp_script script = {.name = state->name, .text = text};
    bool good = tcp_script_play(&script, report, sizeof report);
    if (!good)
        printf("\n%s\n%s", text, report);
    return good;
}

static void all_flags_in(const struct state *state)
{
    /* at RCV.NXT, in the window, before it, beyond it */
    const unsigned seqs[] = {state->next, state->next + 1000, state->next + 4294966296u,
                             state->next + 100000};
    const unsigned acks[] = {state->sent, state->sent + 4294967286u, state->sent + 1000};
    for (unsigned flags = 0; flags < 64; flags++) {
        for (unsigned i = 0; i < 12; i++) {
            if (!play(state, flags, seqs[i % 4], i % 2 == 0 ? 10 : 0, acks[i / 4])) {
                CU_FAIL("see above");
                return;
            }
        }
    }
    for (unsigned flags = 64; flags < 256; flags += 17)
        CU_ASSERT_TRUE(play(state, flags, seqs[0], 10, acks[0]));
}

#define STATE_TEST(number)                                                                                   \
    static void flags_##number(void)                                                                         \
    {                                                                                                        \
        all_flags_in(&states[number]);                                                                       \
    }
STATE_TEST(0)
STATE_TEST(1)
STATE_TEST(2)
STATE_TEST(3)
STATE_TEST(4)
STATE_TEST(5)
STATE_TEST(6)
STATE_TEST(7)
STATE_TEST(8)
STATE_TEST(9)
STATE_TEST(10)

int main(void)
{
    CU_TestInfo tests[] = {{"all flags in CLOSED", flags_0},      {"all flags in LISTEN", flags_1},
                           {"all flags in SYN-SENT", flags_2},    {"all flags in SYN-RECEIVED", flags_3},
                           {"all flags in ESTABLISHED", flags_4}, {"all flags in FIN-WAIT-1", flags_5},
                           {"all flags in FIN-WAIT-2", flags_6},  {"all flags in CLOSE-WAIT", flags_7},
                           {"all flags in CLOSING", flags_8},     {"all flags in LAST-ACK", flags_9},
                           {"all flags in TIME-WAIT", flags_10},  CU_TEST_INFO_NULL};
    static_assert(STATES == 11, "a test each");
    test_eal_start();
    return suite_run("TCP: all flags in all states", tests);
}
