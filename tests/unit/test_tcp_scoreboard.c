/*
 * test_tcp_scoreboard.c - the parts of loss recovery that stand alone: the send queue under
 * acknowledgements, SACK blocks good and hostile, losses and cuts, against a plain recount; RACK's
 * judgements; how the congestion window grows, and is reduced in proportion. Whole conversations are the
 * scripts' (test_tcp_sack.c and others).
 */
#include "suite.h"
#include "tcp/tcp_recovery.h"
#include "test_eal.h"

enum { POOL_FRAMES = 512, MSS = 1000, FRAME_MAX = 1400 };
#define FIRST_SEQ UINT32_C(0xFFFFE000) /* longer runs cross the wrap */
#define START_NS  UINT64_C(1000000000)

static struct rte_mempool *pool;
static struct counters counters;
static struct tcp tcp;
static struct tcp_connection connection, *const c = &connection;

static void set_up(void)
{
    memset(&counters, 0, sizeof counters);
    memset(&tcp, 0, sizeof tcp);
    memset(c, 0, sizeof *c);
    tcp.config.pool = pool;
    tcp.config.counters = &counters;
    tcp.now.mono_ns = START_NS;
    c->state = TCP_ESTABLISHED;
    c->marks = TCP_MARK_SACK;
    c->mss = MSS;
    c->snd_una = c->snd_nxt = c->snd_end = FIRST_SEQ;
    c->recovery.fack = FIRST_SEQ;
    c->recovery.reordering_windows = 1;
    c->recovery.cwnd = 10 * MSS;
    c->recovery.ssthresh = UINT32_MAX;
}

static void drop_all(void)
{
    while (c->send_head != NULL) {
        struct tcp_frame *frame = c->send_head;
        c->send_head = frame->next;
        tcp_sent_free(&tcp, c, frame);
    }
    c->send_next = c->send_tail = NULL;
}

static void tear_down(void)
{
    drop_all();
    CU_ASSERT_EQUAL(tcp.send_frames, 0);
    CU_ASSERT_EQUAL(c->send_frames, 0);
    CU_ASSERT_EQUAL(c->send_bytes, 0);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL_FRAMES);
}

static uint8_t byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 167 >> 3);
}

/* What the user commits, and what sending would do to it. */
static void send_frame(uint16_t length)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    struct tcp_frame *frame = tcp_frame_of(mbuf);
    *frame = (struct tcp_frame){.seq = c->snd_end,
                                .offset = RTE_PKTMBUF_HEADROOM,
                                .length = length,
                                .marks = TCP_FRAME_SENT,
                                .sent_ns = tcp.now.mono_ns};
    for (unsigned i = 0; i < length; i++)
        tcp_frame_bytes(frame)[i] = byte_at(frame->seq + i);
    if (c->send_tail != NULL)
        c->send_tail->next = frame;
    else
        c->send_head = frame;
    c->send_tail = frame;
    c->send_frames++;
    tcp.send_frames++;
    c->send_bytes += length;
    c->snd_end += length;
    c->snd_nxt = c->snd_end;
    c->recovery.sent_frames++;
}

static struct tcp_frame *frame_number(unsigned n)
{
    struct tcp_frame *frame = c->send_head;
    while (n-- > 0)
        frame = frame->next;
    return frame;
}

static struct tcp_news acknowledge(uint32_t ack)
{
    struct tcp_segment segment = {.ack = FIRST_SEQ + ack, .flags = TCP_ACK};
    struct tcp_news news = {.segment = &segment, .una = c->snd_una};
    tcp_scoreboard_acknowledge(&tcp, c, &news);
    news.segment = NULL;
    return news;
}

static struct tcp_news sack(const struct tcp_sack_block *blocks, unsigned count)
{
    struct tcp_segment segment = {.ack = c->snd_una, .flags = TCP_ACK};
    segment.options.sack_blocks = (uint8_t)count;
    for (unsigned i = 0; i < count; i++)
        segment.options.sack[i] =
            (struct tcp_sack_block){FIRST_SEQ + blocks[i].start, FIRST_SEQ + blocks[i].end};
    struct tcp_news news = {.segment = &segment, .una = c->snd_una};
    tcp_scoreboard_sack(&tcp, c, &news);
    news.segment = NULL;
    return news;
}

static struct tcp_news sack_one(uint32_t start, uint32_t end)
{
    return sack(&(struct tcp_sack_block){start, end}, 1);
}

/* ---- the scoreboard ---- */

static void test_a_frame_is_sacked_as_a_whole_or_not_at_all(void)
{
    for (unsigned i = 0; i < 4; i++)
        send_frame(100);
    CU_ASSERT_EQUAL(sack_one(150, 350).delivered, 100);
    CU_ASSERT(!(frame_number(1)->marks & TCP_FRAME_SACKED));
    CU_ASSERT(frame_number(2)->marks & TCP_FRAME_SACKED);
    CU_ASSERT(!(frame_number(3)->marks & TCP_FRAME_SACKED));
    CU_ASSERT_EQUAL(sack_one(200, 300).delivered, 0);
    CU_ASSERT_EQUAL(c->recovery.sacked_bytes, 100);
    CU_ASSERT_EQUAL(c->recovery.sacked_frames, 1);
}

static void test_what_was_sacked_is_not_delivered_again_when_it_is_acknowledged(void)
{
    for (unsigned i = 0; i < 3; i++)
        send_frame(100);
    sack_one(100, 300);
    struct tcp_news news = acknowledge(250);
    CU_ASSERT_EQUAL(news.acked, 250);
    CU_ASSERT_EQUAL(news.delivered, 100);
    CU_ASSERT_EQUAL(c->recovery.sacked_bytes, 50);
    CU_ASSERT_EQUAL(c->send_bytes, 50);
    CU_ASSERT_EQUAL(c->send_head->seq, FIRST_SEQ + 250);
}

static void test_blocks_outside_the_flight_are_ignored(void)
{
    static const struct tcp_sack_block bad[] = {{0, 0},     {300, 100},        {0x80000000, 100}, {100, 401},
                                                {400, 500}, {100, 0x80000100}, {200, 100000}};
    for (unsigned i = 0; i < 4; i++)
        send_frame(100);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(sack(&bad[i], 1).delivered, 0);
    CU_ASSERT_EQUAL(c->recovery.sacked_bytes, 0);
    CU_ASSERT_EQUAL(counter_get(&counters, COUNTER_tcp_sack_ignored), sizeof bad / sizeof bad[0]);
}

static void test_a_duplicate_is_told_from_news(void)
{
    for (unsigned i = 0; i < 10; i++)
        send_frame(100);
    acknowledge(300);
    struct tcp_news news = sack_one(100, 200);
    CU_ASSERT(news.dsack && news.dsack_end == FIRST_SEQ + 200);
    CU_ASSERT_EQUAL(news.delivered, 0);
    news = sack((struct tcp_sack_block[]){{500, 600}, {400, 800}}, 2); /* within the second */
    CU_ASSERT(news.dsack);
    CU_ASSERT_EQUAL(news.delivered, 400);
    news = sack((struct tcp_sack_block[]){{900, 1000}, {400, 800}}, 2);
    CU_ASSERT(!news.dsack);
    CU_ASSERT_EQUAL(news.delivered, 100);
}

static void test_a_cut_changes_no_sum_and_no_byte(void)
{
    send_frame(1000);
    send_frame(500);
    tcp_scoreboard_mark_lost(c, frame_number(0));
    CU_ASSERT(tcp_scoreboard_split(&tcp, c, frame_number(0), 300));
    CU_ASSERT_EQUAL(c->recovery.lost_bytes, 1000);
    CU_ASSERT_EQUAL(frame_number(0)->length, 300);
    CU_ASSERT_EQUAL(frame_number(1)->seq, FIRST_SEQ + 300);
    CU_ASSERT_EQUAL(frame_number(1)->length, 700);
    CU_ASSERT_EQUAL(c->recovery.sent_frames, 3);
    CU_ASSERT_EQUAL(c->send_frames, 3);
    for (unsigned i = 0; i < 700; i++)
        CU_ASSERT_EQUAL_FATAL(tcp_frame_bytes(frame_number(1))[i], byte_at(FIRST_SEQ + 300 + i));
    CU_ASSERT(tcp_scoreboard_split(&tcp, c, frame_number(2), 1));
    CU_ASSERT_PTR_EQUAL(c->send_tail, frame_number(3));
}

static void recount(void)
{
    uint32_t sacked = 0, lost = 0, bytes = 0, seq = c->snd_una;
    unsigned frames = 0, sacked_frames = 0;
    const struct tcp_frame *first_lost = NULL;
    for (struct tcp_frame *frame = c->send_head; frame != NULL; frame = frame->next) {
        CU_ASSERT_EQUAL_FATAL(frame->seq, seq);
        CU_ASSERT_FATAL(frame->length > 0);
        CU_ASSERT_EQUAL_FATAL(tcp_frame_bytes(frame)[0], byte_at(frame->seq));
        CU_ASSERT_EQUAL_FATAL(tcp_frame_bytes(frame)[frame->length - 1], byte_at(tcp_frame_end(frame) - 1));
        seq = tcp_frame_end(frame);
        bytes += frame->length;
        frames++;
        if (frame->marks & TCP_FRAME_SACKED) {
            sacked += frame->length;
            sacked_frames++;
        }
        if (frame->marks & TCP_FRAME_LOST) {
            lost += frame->length;
            first_lost = first_lost != NULL ? first_lost : frame;
        }
        CU_ASSERT_FATAL(!(frame->marks & TCP_FRAME_SACKED) || !(frame->marks & TCP_FRAME_LOST));
    }
    CU_ASSERT_EQUAL_FATAL(seq, c->snd_end);
    CU_ASSERT_EQUAL_FATAL(sacked, c->recovery.sacked_bytes);
    CU_ASSERT_EQUAL_FATAL(sacked_frames, c->recovery.sacked_frames);
    CU_ASSERT_EQUAL_FATAL(lost, c->recovery.lost_bytes);
    CU_ASSERT_EQUAL_FATAL(frames, c->recovery.sent_frames);
    CU_ASSERT_EQUAL_FATAL(frames, c->send_frames);
    CU_ASSERT_EQUAL_FATAL(bytes, c->send_bytes);
    CU_ASSERT_PTR_EQUAL_FATAL(tcp_recovery_next_lost(c), first_lost);
    CU_ASSERT_EQUAL_FATAL(tcp_pipe(c), bytes - sacked - lost);
}

/* Blocks in order, apart from each other, as an honest peer has them, told in any order. */
static void honest_sack(uint64_t *random)
{
    struct tcp_sack_block block[TCP_SACK_BLOCKS_RECEIVED_MAX];
    uint32_t at = c->snd_una - FIRST_SEQ, end = c->snd_nxt - FIRST_SEQ, expected = 0;
    unsigned count = 0;
    while (count < TCP_SACK_BLOCKS_RECEIVED_MAX) {
        block[count].start = at + 1 + (uint32_t)seeded_below(random, 3000);
        block[count].end = block[count].start + 1 + (uint32_t)seeded_below(random, 3000);
        if (block[count].end > end)
            break;
        at = block[count++].end;
    }
    for (struct tcp_frame *frame = c->send_head; frame != NULL; frame = frame->next) {
        uint32_t start = frame->seq - FIRST_SEQ;
        for (unsigned i = 0; i < count; i++)
            if (!(frame->marks & TCP_FRAME_SACKED) && start >= block[i].start &&
                start + frame->length <= block[i].end)
                expected += frame->length;
    }
    for (unsigned i = 1; i < count; i++) {
        unsigned other = (unsigned)seeded_below(random, i + 1);
        struct tcp_sack_block swap = block[i];
        block[i] = block[other];
        block[other] = swap;
    }
    CU_ASSERT_EQUAL_FATAL(sack(block, count).delivered, expected);
}

static void hostile_sack(uint64_t *random)
{
    struct tcp_sack_block block[TCP_SACK_BLOCKS_RECEIVED_MAX];
    unsigned count = 1 + (unsigned)seeded_below(random, TCP_SACK_BLOCKS_RECEIVED_MAX);
    for (unsigned i = 0; i < count; i++) {
        uint32_t around = (seeded_below(random, 2) ? c->snd_una : c->snd_nxt) - FIRST_SEQ;
        block[i].start = around + (uint32_t)seeded_below(random, 8000) - 4000;
        block[i].end = block[i].start + (uint32_t)seeded_below(random, 8000) - 1000;
        if (seeded_below(random, 8) == 0)
            block[i].end = (uint32_t)seeded_next(random);
    }
    sack(block, count);
}

static void test_sums_hold_under_anything_a_peer_says(void)
{
    enum { STEPS = 40000 };
    uint64_t seed = seeded_from_environment(3), random = seeded_start(seed);
    printf("seed %llu ", (unsigned long long)seed);
    for (unsigned step = 0; step < STEPS; step++) {
        tcp.now.mono_ns += seeded_below(&random, 1000000);
        struct tcp_frame *some = NULL;
        if (c->send_frames > 0)
            some = frame_number((unsigned)seeded_below(&random, c->send_frames));
        switch (seeded_below(&random, 8)) {
        case 0:
        case 1:
            if (c->send_frames < 60)
                send_frame((uint16_t)(1 + seeded_below(&random, FRAME_MAX)));
            break;
        case 2:
            honest_sack(&random);
            break;
        case 3:
            hostile_sack(&random);
            break;
        case 4:
            acknowledge(c->snd_una - FIRST_SEQ +
                        (uint32_t)seeded_below(&random, RTE_MIN(tcp_flight(c), 3000u) + 1));
            break;
        case 5:
            if (some != NULL)
                tcp_scoreboard_mark_lost(c, some);
            break;
        case 6:
            if (some != NULL && some->length > 1 && c->send_frames < 100)
                CU_ASSERT_FATAL(tcp_scoreboard_split(
                    &tcp, c, some, (uint16_t)(1 + seeded_below(&random, some->length - 1u))));
            break;
        default:
            if (seeded_below(&random, 10) == 0)
                tcp_scoreboard_forget_sack(c);
            tcp_rack_detect(&tcp, c);
        }
        recount();
    }
    acknowledge(c->snd_nxt - FIRST_SEQ);
    recount();
    CU_ASSERT_EQUAL(c->send_frames, 0);
}

/* ---- RACK (RFC 8985 6) ---- */

static void flight_of(unsigned frames)
{
    for (unsigned i = 0; i < frames; i++)
        send_frame(100);
    tcp.now.mono_ns += 10 * TCP_MS;
    c->recovery.srtt_us = 10000;
    c->recovery.rtt_min_us = 10000;
}

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

/* ---- the congestion window ---- */

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
    test_eal_start();
    pool = rte_pktmbuf_pool_create("scoreboard", POOL_FRAMES, 0, TCP_FRAME_PRIVATE_BYTES,
                                   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == NULL)
        return 1;
    CU_TestInfo tests[] = {
        {"a frame is SACKed as a whole or not at all", test_a_frame_is_sacked_as_a_whole_or_not_at_all},
        {"what was SACKed is not delivered again when it is acknowledged",
         test_what_was_sacked_is_not_delivered_again_when_it_is_acknowledged},
        {"blocks outside the flight are ignored", test_blocks_outside_the_flight_are_ignored},
        {"a duplicate is told from news", test_a_duplicate_is_told_from_news},
        {"a cut changes no sum and no byte", test_a_cut_changes_no_sum_and_no_byte},
        {"sums hold under anything a peer says", test_sums_hold_under_anything_a_peer_says},
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
    return suite_run_each("TCP scoreboard", set_up, tear_down, tests);
}
