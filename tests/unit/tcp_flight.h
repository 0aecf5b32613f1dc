/*
 * tcp_flight.h - a connection with frames in flight and nothing around it, for tests of the parts of loss
 * recovery that stand alone. Whole conversations are the scripts' (test_tcp_sack.c and others).
 */
#ifndef WILD_TEST_TCP_FLIGHT_H
#define WILD_TEST_TCP_FLIGHT_H

#include "suite.h"
#include "tcp/tcp_recovery.h"
#include "test_eal.h"

enum { POOL_FRAMES = 512, MSS = 1000 };
#define FIRST_SEQ UINT32_C(0xFFFFE000) /* longer runs cross the wrap */
#define START_NS  UINT64_C(1000000000)

static struct rte_mempool *pool;
static struct counters counters;
static struct tcp tcp;
static struct tcp_connection connection, *const c = &connection;

static inline void set_up(void)
{
    memset(&counters, 0, sizeof counters);
    memset(&tcp, 0, sizeof tcp);
    memset(c, 0, sizeof *c);
    tcp.config.pool = pool;
    tcp.config.counters = &counters;
    tcp.config.send_frames_max = 4096;
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

static inline void drop_all(void)
{
    while (c->send_head != NULL) {
        struct tcp_frame *frame = c->send_head;
        c->send_head = frame->next;
        tcp_sent_free(&tcp, c, frame);
    }
    c->send_next = c->send_tail = NULL;
}

static inline void tear_down(void)
{
    drop_all();
    CU_ASSERT_EQUAL(tcp.send_frames, 0);
    CU_ASSERT_EQUAL(c->send_frames, 0);
    CU_ASSERT_EQUAL(c->send_bytes, 0);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL_FRAMES);
}

static inline uint8_t byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 167 >> 3);
}

/* What the user commits, and what sending would do to it. */
static inline void send_frame(uint16_t length)
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

static inline struct tcp_frame *frame_number(unsigned n)
{
    struct tcp_frame *frame = c->send_head;
    while (n-- > 0)
        frame = frame->next;
    return frame;
}

static inline struct tcp_news acknowledge(uint32_t ack)
{
    struct tcp_segment segment = {.ack = FIRST_SEQ + ack, .flags = TCP_ACK};
    struct tcp_news news = {.segment = &segment, .una = c->snd_una};
    tcp_scoreboard_acknowledge(&tcp, c, &news);
    news.segment = NULL;
    return news;
}

static inline struct tcp_news sack(const struct tcp_sack_block *blocks, unsigned count)
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

static inline struct tcp_news sack_one(uint32_t start, uint32_t end)
{
    return sack(&(struct tcp_sack_block){start, end}, 1);
}

static inline void flight_of(unsigned frames)
{
    for (unsigned i = 0; i < frames; i++)
        send_frame(100);
    tcp.now.mono_ns += 10 * TCP_MS;
    c->recovery.srtt_us = 10000;
    c->recovery.rtt_min_us = 10000;
}

static inline int flight_suite(const char *name, CU_TestInfo *tests)
{
    test_eal_start();
    pool = rte_pktmbuf_pool_create("flight", POOL_FRAMES, 0, TCP_FRAME_PRIVATE_BYTES,
                                   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    return pool == NULL ? 1 : suite_run_each(name, set_up, tear_down, tests);
}

#endif
