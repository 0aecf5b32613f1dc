/*
 * test_tcp_reassembly.c - the out-of-order queue against a plain map of bytes: what is kept, what comes out,
 * what is told by SACK, and that every frame comes back.
 */
#include "suite.h"
#include "tcp/tcp_internal.h"
#include "test_eal.h"

enum {
    POOL_FRAMES = 1024,
    HEADERS_BYTES = 54, /* in front of the payload, as if it had come over Ethernet */
    SPACE = 6000,       /* bytes of stream that a model follows */
    SEGMENT_MAX = 700,
};
#define FIRST_SEQ UINT32_C(0xFFFFF800) /* so that every run of a test crosses the wrap */

static struct rte_mempool *pool;
static struct counters counters;
static struct tcp tcp;
static struct tcp_connection connection;

static void set_up(void)
{
    memset(&counters, 0, sizeof counters);
    memset(&tcp, 0, sizeof tcp);
    memset(&connection, 0, sizeof connection);
    tcp.config.pool = pool;
    tcp.config.counters = &counters;
    tcp.config.receive_bytes_max = 1 << 20;
    tcp.config.receive_frames_max = POOL_FRAMES;
    connection.rcv_nxt = FIRST_SEQ;
}

static void tear_down(void)
{
    tcp_gaps_drop(&tcp, &connection);
    CU_ASSERT_EQUAL(tcp.receive_frames, 0);
    CU_ASSERT_EQUAL(connection.gaps, 0);
    CU_ASSERT_EQUAL(connection.gaps_cost, 0);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL_FRAMES);
}

/* A segment of [at, at + length) of the stream. */
static void store_bytes(uint32_t at, const uint8_t *bytes, uint32_t length, bool fin)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    rte_pktmbuf_append(mbuf, HEADERS_BYTES);
    struct tcp_segment segment = {
        .seq = FIRST_SEQ + at,
        .payload = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)length),
        .payload_bytes = (uint16_t)length,
        .flags = fin ? TCP_ACK | TCP_FIN : TCP_ACK,
        .frame = mbuf,
    };
    memcpy(segment.payload, bytes, length);
    tcp_gap_store(&tcp, &connection, &segment);
    rte_pktmbuf_free(segment.frame); /* NULL: it was kept */
}

static void store(uint32_t at, uint32_t length, int value)
{
    uint8_t bytes[2 * SEGMENT_MAX];
    memset(bytes, value, sizeof bytes);
    store_bytes(at, bytes, length, false);
}

static void store_fin(uint32_t at, uint32_t length, int value)
{
    uint8_t bytes[SEGMENT_MAX];
    memset(bytes, value, sizeof bytes);
    store_bytes(at, bytes, length, true);
}

/* Everything that is in order now, as one text of a letter a run of equal bytes: "a100 b20 ." ( . is FIN). */
static const char *drain(void)
{
    static char text[512];
    size_t used = 0;
    int letter = -1;
    unsigned count = 0;
    struct tcp_frame *frame;
    text[0] = 0;
    while ((frame = tcp_gap_next(&tcp, &connection)) != NULL) {
        CU_ASSERT_EQUAL_FATAL(frame->seq, connection.rcv_nxt);
        for (unsigned i = 0; i < frame->length; i++, count++) {
            int byte = tcp_frame_bytes(frame)[i];
            if (byte != letter && letter >= 0) {
                used += (size_t)snprintf(text + used, sizeof text - used, "%c%u ", letter, count);
                count = 0;
            }
            letter = byte;
        }
        connection.rcv_nxt += frame->length;
        if (frame->marks & TCP_FRAME_FIN) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%c%u .", letter, count);
            letter = -1;
        }
        tcp_received_free(&tcp, frame);
    }
    if (letter >= 0)
        snprintf(text + used, sizeof text - used, "%c%u", letter, count);
    return text;
}

/* The user has received everything below `at`. */
static void advance_to(uint32_t at)
{
    connection.rcv_nxt = FIRST_SEQ + at;
}

static unsigned sack_blocks(struct tcp_sack_block *blocks, unsigned room)
{
    unsigned count = tcp_gap_blocks(&connection, blocks, room);
    for (unsigned i = 0; i < count; i++) {
        blocks[i].start -= FIRST_SEQ;
        blocks[i].end -= FIRST_SEQ;
    }
    return count;
}

/* ---- one rule each ---- */

static void test_a_segment_waits_until_what_is_before_it_has_come(void)
{
    store(100, 50, 'a');
    CU_ASSERT_STRING_EQUAL(drain(), "");
    advance_to(99);
    CU_ASSERT_STRING_EQUAL(drain(), "");
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "a50");
    CU_ASSERT_EQUAL(connection.gaps, 0);
}

static void test_neighbours_become_one_run_whatever_their_order(void)
{
    store(300, 100, 'c');
    store(100, 100, 'a');
    CU_ASSERT_EQUAL(connection.gaps, 2);
    store(200, 100, 'b');
    CU_ASSERT_EQUAL(connection.gaps, 1);
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "a100 b100 c100");
}

static void test_bytes_that_came_first_stay(void)
{
    store(200, 100, 'a');
    store(150, 100, 'b'); /* into it from before */
    store(250, 100, 'c'); /* into it from behind */
    store(200, 100, 'd'); /* the same again */
    advance_to(150);
    CU_ASSERT_STRING_EQUAL(drain(), "b50 a100 c50");
}

static void test_bytes_that_came_first_stay_inside_a_segment_that_covers_them(void)
{
    store(200, 10, 'a');
    store(300, 10, 'b');
    store(400, 10, 'c');
    CU_ASSERT_EQUAL(connection.gaps, 3);
    store(150, 400, 'd');
    CU_ASSERT_EQUAL(connection.gaps, 1);
    CU_ASSERT_EQUAL(tcp.receive_frames, 1);
    advance_to(150);
    CU_ASSERT_STRING_EQUAL(drain(), "d50 a10 d90 b10 d90 c10 d140");
}

static void test_a_segment_joins_the_run_it_follows_and_the_one_it_reaches_into(void)
{
    store(100, 700, 'a');
    store(1000, 700, 'b');
    store(750, 300, 'c');
    CU_ASSERT_EQUAL(connection.gaps, 1);
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "a700 c200 b700");
}

static void test_what_has_come_in_order_meanwhile_is_cut_off(void)
{
    store(100, 100, 'a');
    store(300, 100, 'b');
    advance_to(150);
    CU_ASSERT_STRING_EQUAL(drain(), "a50");
    advance_to(400);
    CU_ASSERT_STRING_EQUAL(drain(), "");
    CU_ASSERT_EQUAL(tcp.receive_frames, 0);
}

static void test_small_neighbours_share_a_frame(void)
{
    for (uint32_t at = 100; at < 600; at += 5)
        store(at, 5, 'a');
    CU_ASSERT_EQUAL(tcp.receive_frames, 1);
    CU_ASSERT_EQUAL(connection.gaps_cost, TCP_FRAME_COST_BYTES);
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "a500");
}

static void test_separate_runs_are_limited_and_others_still_grow(void)
{
    for (uint32_t i = 0; i < TCP_GAPS_MAX; i++)
        store(100 + i * 20, 10, 'a');
    CU_ASSERT_EQUAL(connection.gaps, TCP_GAPS_MAX);
    store(5000, 10, 'b');
    CU_ASSERT_EQUAL(connection.gaps, TCP_GAPS_MAX);
    CU_ASSERT_EQUAL(counter_get(&counters, COUNTER_tcp_gap_dropped_runs), 1);
    store(110, 10, 'c'); /* fills one gap: one run less, so there is room for one */
    CU_ASSERT_EQUAL(connection.gaps, TCP_GAPS_MAX - 1);
    store(5000, 10, 'b');
    CU_ASSERT_EQUAL(connection.gaps, TCP_GAPS_MAX);
}

static void test_cost_is_limited_a_small_frame_counts_as_a_large_one(void)
{
    tcp.config.receive_bytes_max = 4 * TCP_FRAME_COST_BYTES;
    for (uint32_t i = 0; i < 6; i++)
        store(100 + i * 20, 1, 'a');
    CU_ASSERT_EQUAL(connection.gaps, 4);
    CU_ASSERT_EQUAL(counter_get(&counters, COUNTER_tcp_gap_dropped_cost), 2);
}

static void test_what_the_user_has_not_taken_counts_too(void)
{
    tcp.config.receive_bytes_max = 4 * TCP_FRAME_COST_BYTES;
    connection.held_bytes = 3 * TCP_FRAME_COST_BYTES;
    store(100, 1, 'a');
    store(200, 1, 'a');
    CU_ASSERT_EQUAL(connection.gaps, 1);
    connection.held_bytes = 0;
}

static void test_frames_of_all_connections_are_limited(void)
{
    tcp.config.receive_frames_max = 2;
    store(100, 1, 'a');
    store(200, 1, 'a');
    store(300, 1, 'a');
    CU_ASSERT_EQUAL(tcp.receive_frames, 2);
    CU_ASSERT_EQUAL(counter_get(&counters, COUNTER_tcp_gap_dropped_frames), 1);
}

/* The peer sends single bytes, the user takes none: the scale rounds, but the window closes. */
static void test_a_scaled_window_closes_by_single_bytes(void)
{
    tcp.config.receive_bytes_max = 20000;
    connection.state = TCP_ESTABLISHED;
    connection.mss = 1460;
    connection.rcv_shift = 7;
    connection.rcv_adv = connection.rcv_nxt;
    do {
        uint32_t window = tcp_receive_window(&tcp, &connection);
        CU_ASSERT_EQUAL_FATAL(window % 128, 0);
        connection.rcv_adv = seq_later(connection.rcv_adv, connection.rcv_nxt + window);
        connection.rcv_nxt++;
        connection.held_bytes++;
        CU_ASSERT_FATAL(connection.held_bytes < 30000);
    } while (connection.rcv_nxt != connection.rcv_adv);
    CU_ASSERT(connection.held_bytes >= 20000 - 127 && connection.held_bytes <= 20000 + 128);
}

static void test_blocks_are_told_the_most_recently_changed_first(void)
{
    struct tcp_sack_block blocks[4];
    CU_ASSERT_EQUAL(sack_blocks(blocks, 3), 0);
    store(100, 10, 'a');
    store(200, 10, 'b');
    store(300, 10, 'c');
    store(400, 10, 'd');
    CU_ASSERT_EQUAL_FATAL(sack_blocks(blocks, 3), 3);
    CU_ASSERT_EQUAL(blocks[0].start, 400);
    CU_ASSERT_EQUAL(blocks[1].start, 300);
    CU_ASSERT_EQUAL(blocks[2].start, 200);
    store(110, 10, 'e');
    CU_ASSERT_EQUAL_FATAL(sack_blocks(blocks, 2), 2);
    CU_ASSERT(blocks[0].start == 100 && blocks[0].end == 120);
    CU_ASSERT(blocks[1].start == 400 && blocks[1].end == 410);
    CU_ASSERT_EQUAL(sack_blocks(blocks, 0), 0);
}

static void test_a_run_that_lost_its_first_frame_keeps_its_place_among_blocks(void)
{
    struct tcp_sack_block blocks[3];
    store(3000, 700, 'b');
    store(100, 1400, 'a');
    store(1500, 700, 'a'); /* no room for it beside the other */
    advance_to(100);
    struct tcp_frame *head = tcp_gap_next(&tcp, &connection);
    CU_ASSERT_PTR_NOT_NULL_FATAL(head);
    tcp_received_free(&tcp, head);
    CU_ASSERT_EQUAL_FATAL(sack_blocks(blocks, 3), 2);
    CU_ASSERT(blocks[0].start == 1500 && blocks[0].end == 2200);
    CU_ASSERT(blocks[1].start == 3000 && blocks[1].end == 3700);
}

static void test_a_fin_waits_for_the_data_before_it(void)
{
    struct tcp_sack_block block;
    store_fin(150, 0, 0);
    CU_ASSERT_EQUAL_FATAL(sack_blocks(&block, 1), 1);
    CU_ASSERT(block.start == 150 && block.end == 151);
    store(100, 50, 'a');
    CU_ASSERT_EQUAL(connection.gaps, 1);
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "a50 .");
}

static void test_a_fin_comes_with_its_data_or_behind_it(void)
{
    store_fin(100, 50, 'a');
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "a50 .");
    advance_to(0);
    store(100, 50, 'b');
    store_fin(150, 0, 0);
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "b50 .");
    advance_to(0);
    store(100, 50, 'c');
    store_fin(120, 30, 'd');
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "c50 .");
}

static void test_nothing_is_kept_behind_a_fin(void)
{
    store_fin(100, 50, 'a');
    store(150, 10, 'b');
    store(151, 10, 'b');
    store(300, 10, 'b');
    store(120, 100, 'b');
    store_fin(90, 200, 'b');
    CU_ASSERT_EQUAL(connection.gaps, 1);
    advance_to(90);
    CU_ASSERT_STRING_EQUAL(drain(), "b10 a50 .");
}

static void test_a_fin_in_front_of_data_is_none(void)
{
    store(200, 10, 'a');
    store_fin(100, 50, 'b');
    store_fin(150, 50, 'c');
    store_fin(190, 15, 'd');
    advance_to(100);
    CU_ASSERT_STRING_EQUAL(drain(), "b50 c50 a10");
}

static void test_an_empty_segment_is_nothing(void)
{
    store(100, 0, 'a');
    CU_ASSERT_EQUAL(connection.gaps, 0);
}

/* ---- against a map of bytes ---- */

struct model {
    int byte[SPACE]; /* -1: missing */
    uint32_t delivered, end;
    bool fin;
};

static unsigned model_runs(const struct model *m)
{
    unsigned runs = 0;
    for (uint32_t i = m->delivered; i < m->end; i++)
        runs += m->byte[i] >= 0 && (i == m->delivered || m->byte[i - 1] < 0);
    return runs + (m->fin && m->byte[m->end - 1] < 0);
}

static uint64_t kept(void)
{
    return counter_get(&counters, COUNTER_tcp_gap_kept);
}

static void model_store(struct model *m, uint64_t *random)
{
    uint32_t at = m->delivered + 1 + (uint32_t)seeded_below(random, m->end - m->delivered - 1);
    uint32_t length = 1 + (uint32_t)seeded_below(random, seeded_below(random, 2) ? 20 : SEGMENT_MAX);
    length = RTE_MIN(length, m->end - at);
    bool fin = at + length == m->end, news = fin && !m->fin;
    uint8_t bytes[SEGMENT_MAX];
    seeded_fill(random, bytes, length);
    for (uint32_t i = 0; i < length; i++)
        news |= m->byte[at + i] < 0;
    uint64_t kept_before = kept();
    uint64_t duplicates_before = counter_get(&counters, COUNTER_tcp_gap_duplicate);
    store_bytes(at, bytes, length, fin);
    CU_ASSERT_EQUAL_FATAL(counter_get(&counters, COUNTER_tcp_gap_duplicate) - duplicates_before, !news);
    if (kept() == kept_before)
        return;
    for (uint32_t i = 0; i < length; i++)
        if (m->byte[at + i] < 0)
            m->byte[at + i] = bytes[i];
    m->fin |= fin;
    struct tcp_sack_block block;
    CU_ASSERT_EQUAL_FATAL(sack_blocks(&block, 1), 1);
    CU_ASSERT_FATAL(block.start <= at && at + length <= block.end);
}

/* Some bytes come in order; whatever that completes comes out. Returns whether FIN did. */
static bool model_deliver(struct model *m, uint64_t *random)
{
    uint32_t hole = m->delivered;
    while (hole < m->end && m->byte[hole] < 0)
        hole++;
    m->delivered += 1 + (uint32_t)seeded_below(random, hole - m->delivered + 20);
    m->delivered = RTE_MIN(m->delivered, m->end);
    advance_to(m->delivered);
    bool fin = false;
    struct tcp_frame *frame;
    while ((frame = tcp_gap_next(&tcp, &connection)) != NULL) {
        CU_ASSERT_EQUAL_FATAL(frame->seq, connection.rcv_nxt);
        for (unsigned i = 0; i < frame->length; i++)
            CU_ASSERT_EQUAL_FATAL(tcp_frame_bytes(frame)[i], m->byte[m->delivered + i]);
        m->delivered += frame->length;
        connection.rcv_nxt += frame->length;
        fin = frame->marks & TCP_FRAME_FIN;
        tcp_received_free(&tcp, frame);
    }
    CU_ASSERT_FATAL(m->delivered == m->end || m->byte[m->delivered] < 0);
    return fin;
}

static void check_accounts(const struct model *m)
{
    unsigned frames = 0;
    uint32_t cost = 0;
    for (const struct tcp_frame *frame = connection.gaps_head; frame != NULL; frame = frame->next) {
        frames++;
        cost += RTE_MAX(frame->length, TCP_FRAME_COST_BYTES);
    }
    CU_ASSERT_EQUAL_FATAL(frames, tcp.receive_frames);
    CU_ASSERT_EQUAL_FATAL(cost, connection.gaps_cost);
    CU_ASSERT_FATAL(cost <= tcp.config.receive_bytes_max);
    CU_ASSERT_EQUAL_FATAL(connection.gaps, model_runs(m));
}

static void test_it_agrees_with_a_map_of_bytes(void)
{
    enum { STREAMS = 600, STEPS = 300 };
    uint64_t seed = seeded_from_environment(1), random = seeded_start(seed), segments = 0;
    printf("seed %llu ", (unsigned long long)seed);
    for (unsigned stream = 0; stream < STREAMS; stream++) {
        struct model m = {.end = 2 + (uint32_t)seeded_below(&random, SPACE - 2)};
        for (unsigned i = 0; i < SPACE; i++)
            m.byte[i] = -1;
        tcp.config.receive_bytes_max = 1u << (12 + seeded_below(&random, 5));
        uint64_t deliveries = 2 + seeded_below(&random, 30);
        for (unsigned step = 0; step < STEPS && m.end - m.delivered > 1; step++) {
            if (seeded_below(&random, deliveries) != 0)
                model_store(&m, &random);
            else if (model_deliver(&m, &random))
                CU_ASSERT_FATAL(m.delivered == m.end && m.fin);
            check_accounts(&m);
        }
        segments = kept();
        tcp_gaps_drop(&tcp, &connection);
        advance_to(0);
    }
    CU_ASSERT(segments > STREAMS);
}

int main(void)
{
    test_eal_start();
    pool = rte_pktmbuf_pool_create("reassembly", POOL_FRAMES, 0, TCP_FRAME_PRIVATE_BYTES,
                                   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == NULL)
        return 1;
    CU_TestInfo tests[] = {
        {"a segment waits until what is before it has come",
         test_a_segment_waits_until_what_is_before_it_has_come},
        {"neighbours become one run, whatever their order",
         test_neighbours_become_one_run_whatever_their_order},
        {"bytes that came first stay", test_bytes_that_came_first_stay},
        {"bytes that came first stay inside a segment that covers them",
         test_bytes_that_came_first_stay_inside_a_segment_that_covers_them},
        {"a segment joins the run it follows and the one it reaches into",
         test_a_segment_joins_the_run_it_follows_and_the_one_it_reaches_into},
        {"what has come in order meanwhile is cut off", test_what_has_come_in_order_meanwhile_is_cut_off},
        {"small neighbours share a frame", test_small_neighbours_share_a_frame},
        {"separate runs are limited, and others still grow",
         test_separate_runs_are_limited_and_others_still_grow},
        {"cost is limited: a small frame counts as a large one",
         test_cost_is_limited_a_small_frame_counts_as_a_large_one},
        {"what the user has not taken counts, too", test_what_the_user_has_not_taken_counts_too},
        {"frames of all connections are limited", test_frames_of_all_connections_are_limited},
        {"a scaled window closes by single bytes", test_a_scaled_window_closes_by_single_bytes},
        {"blocks are told, the most recently changed first",
         test_blocks_are_told_the_most_recently_changed_first},
        {"a run that lost its first frame keeps its place among blocks",
         test_a_run_that_lost_its_first_frame_keeps_its_place_among_blocks},
        {"a FIN waits for the data before it", test_a_fin_waits_for_the_data_before_it},
        {"a FIN comes with its data or behind it", test_a_fin_comes_with_its_data_or_behind_it},
        {"nothing is kept behind a FIN", test_nothing_is_kept_behind_a_fin},
        {"a FIN in front of data is none", test_a_fin_in_front_of_data_is_none},
        {"an empty segment is nothing", test_an_empty_segment_is_nothing},
        {"it agrees with a map of bytes", test_it_agrees_with_a_map_of_bytes},
        CU_TEST_INFO_NULL,
    };
    return suite_run_each("TCP reassembly", set_up, tear_down, tests);
}
