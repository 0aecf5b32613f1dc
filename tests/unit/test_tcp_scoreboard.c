/*
 * test_tcp_scoreboard.c - the send queue under acknowledgements, SACK blocks good and hostile, losses and
 * cuts, against a plain recount.
 */
#include "tcp_flight.h"

enum { FRAME_MAX = 1400 };

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

int main(void)
{
    CU_TestInfo tests[] = {
        {"a frame is SACKed as a whole or not at all", test_a_frame_is_sacked_as_a_whole_or_not_at_all},
        {"what was SACKed is not delivered again when it is acknowledged",
         test_what_was_sacked_is_not_delivered_again_when_it_is_acknowledged},
        {"blocks outside the flight are ignored", test_blocks_outside_the_flight_are_ignored},
        {"a duplicate is told from news", test_a_duplicate_is_told_from_news},
        {"a cut changes no sum and no byte", test_a_cut_changes_no_sum_and_no_byte},
        {"sums hold under anything a peer says", test_sums_hold_under_anything_a_peer_says},
        CU_TEST_INFO_NULL,
    };
    return flight_suite("TCP scoreboard", tests);
}
