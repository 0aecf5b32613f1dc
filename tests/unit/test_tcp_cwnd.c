/*
 * test_tcp_cwnd.c - how the congestion window grows, and is reduced in proportion (RFC 5681, 3465, 6937).
 */
#include "tcp_flight.h"

static void acknowledged_while_limited(uint32_t bytes)
{
    struct tcp_news news = {.una = c->snd_una, .acked = bytes};
    c->recovery.limited_end = c->snd_una + 1;
    tcp_congestion_grow(c, &news);
}

static void test_slow_start_grows_by_what_is_acknowledged_two_segments_at_most(void)
{
    acknowledged_while_limited(MSS);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 11 * MSS);
    acknowledged_while_limited(100);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 11 * MSS + 100);
    acknowledged_while_limited(9 * MSS);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 13 * MSS + 100);
    c->recovery.phase = TCP_LOSS; /* RFC 3465 2.3 */
    acknowledged_while_limited(9 * MSS);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 14 * MSS + 100);
}

static void test_avoidance_grows_by_a_segment_a_window_however_it_is_acknowledged(void)
{
    static const uint32_t steps[] = {1, 10, 999, 1000, 2500, 60000};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        c->recovery.cwnd = c->recovery.ssthresh = 10 * MSS;
        c->recovery.bytes_acked = 0;
        for (uint32_t acked = 0; acked < 10 * MSS; acked += steps[i]) {
            CU_ASSERT_EQUAL_FATAL(c->recovery.cwnd, 10 * MSS);
            acknowledged_while_limited(steps[i]);
        }
        CU_ASSERT_EQUAL(c->recovery.cwnd, 11 * MSS);
    }
}

static void test_a_window_that_was_not_used_does_not_grow(void)
{
    struct tcp_news news = {.una = c->snd_una, .acked = MSS};
    c->recovery.limited_end = c->snd_una;
    tcp_congestion_grow(c, &news);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 10 * MSS);
}

static void test_an_idle_window_falls_back_to_the_initial_one(void)
{
    c->recovery.cwnd = 100 * MSS;
    c->recovery.rto_ns = TCP_RTO_MIN_NS;
    c->recovery.sent_ns = tcp.now.mono_ns - TCP_RTO_MIN_NS;
    tcp_recovery_idle(&tcp, c);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 100 * MSS);
    tcp.now.mono_ns++;
    tcp_recovery_idle(&tcp, c);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 10 * MSS);
    c->recovery.cwnd = 3 * MSS;
    tcp_recovery_idle(&tcp, c);
    CU_ASSERT_EQUAL(c->recovery.cwnd, 3 * MSS);
}

/* RFC 6937: `lost` segments of a full window are lost, every other is SACKed by itself. What leaves
 * meanwhile is in proportion, and when it is over the window is ssthresh. */
static void recovery_with_losses(unsigned window, unsigned lost)
{
    struct tcp_recovery *r = &c->recovery;
    r->cwnd = window * MSS;
    r->ssthresh = UINT32_MAX;
    for (unsigned i = 0; i < window; i++)
        send_frame(MSS);
    for (unsigned i = 0; i < lost; i++)
        tcp_scoreboard_mark_lost(c, frame_number(i));
    tcp_congestion_reduce(c);
    CU_ASSERT_EQUAL(r->ssthresh, window / 2 * MSS);
    unsigned sent = 0;
    for (unsigned i = lost; i < window; i++) {
        struct tcp_news news = {.una = c->snd_una};
        uint32_t start = (uint32_t)i * MSS;
        news = sack_one(start, start + MSS);
        tcp_congestion_proportional(c, news.delivered, i == lost);
        unsigned before = sent;
        for (uint32_t left = tcp_recovery_allowance(c); left >= MSS; left -= MSS) {
            struct tcp_frame *frame = tcp_recovery_next_lost(c);
            if (frame != NULL) {
                frame->marks &= (uint8_t)~TCP_FRAME_LOST;
                r->lost_bytes -= MSS;
            } else {
                send_frame(MSS);
            }
            r->prr_sent += MSS;
            sent++;
        }
        CU_ASSERT_FATAL(sent > 0); /* the first leaves at once */
        CU_ASSERT_FATAL(tcp_pipe(c) <= RTE_MAX(r->ssthresh, (window - lost) * (uint32_t)MSS));
        CU_ASSERT_FATAL(sent - before <= 2); /* as slow start would */
    }
    CU_ASSERT(tcp_pipe(c) <= r->ssthresh);
    CU_ASSERT(tcp_pipe(c) + 2 * MSS >= RTE_MIN(r->ssthresh, sent * (uint32_t)MSS));
    tcp_congestion_recovered(c);
    CU_ASSERT_EQUAL(r->cwnd, r->ssthresh);
}

static void test_recovery_sends_in_proportion_to_what_arrives(void)
{
    recovery_with_losses(20, 1);
}

static void test_recovery_from_many_losses_does_not_burst(void)
{
    recovery_with_losses(20, 15);
}

static void test_a_time_out_halves_once_for_the_same_segment(void)
{
    for (unsigned i = 0; i < 10; i++)
        send_frame(MSS);
    tcp_congestion_timeout(c, true);
    CU_ASSERT_EQUAL(c->recovery.cwnd, MSS);
    CU_ASSERT_EQUAL(c->recovery.ssthresh, 5 * MSS);
    tcp_congestion_timeout(c, false);
    CU_ASSERT_EQUAL(c->recovery.ssthresh, 5 * MSS);
    c->recovery.cwnd = 10 * MSS;
    acknowledge(9 * MSS);
    tcp_congestion_timeout(c, true);
    CU_ASSERT_EQUAL(c->recovery.ssthresh, 2 * MSS); /* RFC 5681 (4) */
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"slow start grows by what is acknowledged, two segments at most",
         test_slow_start_grows_by_what_is_acknowledged_two_segments_at_most},
        {"avoidance grows by a segment a window, however it is acknowledged",
         test_avoidance_grows_by_a_segment_a_window_however_it_is_acknowledged},
        {"a window that was not used does not grow", test_a_window_that_was_not_used_does_not_grow},
        {"an idle window falls back to the initial one", test_an_idle_window_falls_back_to_the_initial_one},
        {"recovery sends in proportion to what arrives", test_recovery_sends_in_proportion_to_what_arrives},
        {"recovery from many losses does not burst", test_recovery_from_many_losses_does_not_burst},
        {"a time-out halves once for the same segment", test_a_time_out_halves_once_for_the_same_segment},
        CU_TEST_INFO_NULL,
    };
    return flight_suite("TCP congestion window", tests);
}
