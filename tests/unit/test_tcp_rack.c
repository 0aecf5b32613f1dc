/*
 * test_tcp_rack.c - what RACK takes for lost and when, and when a tail probe is due (RFC 8985).
 */
#include "tcp_flight.h"

/* ---- RACK (RFC 8985 6) ---- */

static void test_one_that_overtook_is_given_a_quarter_of_a_round_trip(void)
{
    flight_of(3);
    sack_one(100, 200);
    CU_ASSERT_EQUAL(tcp_rack_detect(&tcp, c), 10 * TCP_MS / 4);
    CU_ASSERT_EQUAL(c->recovery.lost_bytes, 0);
    tcp.now.mono_ns += 10 * TCP_MS / 4;
    CU_ASSERT_EQUAL(tcp_rack_detect(&tcp, c), 0);
    CU_ASSERT_EQUAL(c->recovery.lost_bytes, 100); /* not the third: it was sent later than what arrived */
}

static void test_three_that_overtook_are_enough(void)
{
    flight_of(5);
    sack_one(100, 400);
    CU_ASSERT_EQUAL(tcp_rack_detect(&tcp, c), 0);
    CU_ASSERT_EQUAL(c->recovery.lost_bytes, 100);
}

static void test_not_where_reordering_has_been_seen(void)
{
    flight_of(6);
    sack_one(500, 600);
    sack_one(200, 500); /* late, and never sent again: reordered */
    CU_ASSERT(c->recovery.marks & TCP_RECOVERY_REORDERING_SEEN);
    CU_ASSERT_NOT_EQUAL(tcp_rack_detect(&tcp, c), 0);
    CU_ASSERT_EQUAL(c->recovery.lost_bytes, 0);
}

static void test_an_acknowledgement_and_blocks_behind_it_are_no_reordering(void)
{
    flight_of(6);
    acknowledge(200);
    sack_one(300, 400);
    sack_one(300, 600);
    CU_ASSERT(!(c->recovery.marks & TCP_RECOVERY_REORDERING_SEEN));
}

static void test_duplicates_at_the_peer_widen_the_reordering_window_once_a_round(void)
{
    flight_of(4);
    struct tcp_news news = {.dsack = true};
    tcp_rack_dsack(c, &news);
    tcp_rack_dsack(c, &news);
    CU_ASSERT_EQUAL(c->recovery.reordering_windows, 2);
    acknowledge(400);
    tcp_rack_dsack(c, &news);
    CU_ASSERT_EQUAL(c->recovery.reordering_windows, 3);
    for (unsigned i = 0; i < 15; i++)
        tcp_rack_recovery_over(c);
    CU_ASSERT_EQUAL(c->recovery.reordering_windows, 3);
    tcp_rack_recovery_over(c); /* RFC 8985: the sixteenth without one */
    CU_ASSERT_EQUAL(c->recovery.reordering_windows, 1);
}

/* ---- tail loss probes (RFC 8985 7) ---- */

static void test_a_probe_waits_for_two_round_trips_and_the_ack_delay(void)
{
    flight_of(1);
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 60 * TCP_MS);
    send_frame(100);
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 20 * TCP_MS);
    c->recovery.srtt_us = c->recovery.rtt_min_us = 50;
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 2 * TCP_MS);
    acknowledge(100);
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 42 * TCP_MS);
}

/* A peer that holds every acknowledgement back shows a round trip of 40 ms: the delay counts once. */
static void test_an_ack_delay_within_the_round_trip_is_not_waited_for_thrice(void)
{
    flight_of(1);
    c->recovery.rtt_min_us = 100;
    c->recovery.srtt_us = 40100;
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 42 * TCP_MS);
    c->recovery.srtt_us = 90000; /* more than a delay can be */
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 140 * TCP_MS);
    send_frame(100);
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 140 * TCP_MS);
    c->recovery.srtt_us = 15000;
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 30 * TCP_MS);
}

static void test_no_probe_while_another_is_out_or_more_is_known(void)
{
    flight_of(2);
    c->recovery.marks = TCP_RECOVERY_PROBED;
    c->recovery.tlp_end = c->snd_nxt;
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 0);
    acknowledge(200);
    send_frame(100);
    CU_ASSERT_NOT_EQUAL(tcp_tail_probe_delay(c), 0); /* the next flight may have one */
    send_frame(100);
    sack_one(300, 400);
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 0);
    acknowledge(400);
    send_frame(100);
    c->marks &= (uint16_t)~TCP_MARK_SACK;
    CU_ASSERT_EQUAL(tcp_tail_probe_delay(c), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"RACK: one that overtook is given a quarter of a round trip",
         test_one_that_overtook_is_given_a_quarter_of_a_round_trip},
        {"RACK: three that overtook are enough", test_three_that_overtook_are_enough},
        {"RACK: not where reordering has been seen", test_not_where_reordering_has_been_seen},
        {"RACK: an acknowledgement and blocks behind it are no reordering",
         test_an_acknowledgement_and_blocks_behind_it_are_no_reordering},
        {"RACK: duplicates at the peer widen the reordering window, once a round",
         test_duplicates_at_the_peer_widen_the_reordering_window_once_a_round},
        {"TLP: a probe waits for two round trips and the ACK delay",
         test_a_probe_waits_for_two_round_trips_and_the_ack_delay},
        {"TLP: an ACK delay within the round trip is not waited for thrice",
         test_an_ack_delay_within_the_round_trip_is_not_waited_for_thrice},
        {"TLP: no probe while another is out, or more is known",
         test_no_probe_while_another_is_out_or_more_is_known},
        CU_TEST_INFO_NULL,
    };
    return flight_suite("TCP RACK-TLP", tests);
}
