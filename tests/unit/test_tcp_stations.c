/* Openings that wait until somebody knows which station leads to their peer. */
#include "tcp_pair.h"
#include "talker.h"

static struct rte_mempool *pool;
static struct pair pair;
static struct talker opener, listener;
static unsigned left; /* segments of the opener's */

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};

static bool count_segments(struct pair_side *from, const struct tcp_segment *segment)
{
    (void)segment;
    left += from == &pair.side[1];
    return true;
}

static void begin(void)
{
    memset(&pair, 0, sizeof pair);
    pair.pool = pool;
    pair.now_ns = 1000 * PAIR_MS;
    pair.random = seeded_start(1);
    pair.delay_ns = PAIR_MS;
    pair.mtu = 1500;
    pair.watch = count_segments;
    opener = listener = (struct talker){.closed = 0};
    left = 0;
    pair_start(&pair, NULL);
    tcp_listen(pair.side[0].tcp, PAIR_PORT,
               (struct stream_acceptor){.state = &listener, .accepted = talker_accepted});
}

static void end(void)
{
    pair_stop(&pair);
    CU_ASSERT(opener.stream == NULL && listener.stream == NULL);
}

static struct stream *open_later(void)
{
    struct return_path path = {.flow = {.peer = address_from_ip4(rte_cpu_to_be_32(0xC6120001)),
                                        .local = address_from_ip4(rte_cpu_to_be_32(0xC6120002)),
                                        .peer_port = rte_cpu_to_be_16(PAIR_PORT)},
                               .vlan_tci = VLAN_NONE};

    opener.stream = tcp_connect_later(pair.side[1].tcp, &path, talker_events(), &opener, pair_now(&pair));
    CU_ASSERT_PTR_NOT_NULL_FATAL(opener.stream);
    return opener.stream;
}

static void test_nothing_leaves_and_nothing_times_out_before_the_station_is_found(void)
{
    struct flow flow = open_later()->flow;

    opener.to_send = 1000; /* what is written meanwhile is kept */
    talker_send(&opener);
    pair_run(&pair, 300000 * PAIR_MS);
    CU_ASSERT_EQUAL(left, 0);
    CU_ASSERT_EQUAL(opener.closed, 0);
    CU_ASSERT_EQUAL(tcp_flow_state(pair.side[1].tcp, &flow), TCP_FLOW_OPEN);
    CU_ASSERT_TRUE(tcp_station_found(pair.side[1].tcp, &flow, mac, pair_now(&pair)));
    CU_ASSERT_EQUAL(left, 1);
    CU_ASSERT_FALSE(tcp_station_found(pair.side[1].tcp, &flow, mac, pair_now(&pair)));
    CU_ASSERT_FALSE(tcp_station_absent(pair.side[1].tcp, &flow, pair_now(&pair)));
    CU_ASSERT_EQUAL(left, 1);
    pair_run(&pair, 100 * PAIR_MS);
    CU_ASSERT_EQUAL(opener.connected, 1);
    CU_ASSERT_EQUAL(listener.received, 1000);
    CU_ASSERT_FALSE(listener.wrong);
    stream_close(opener.stream);
    stream_close(listener.stream);
    pair_run(&pair, 100 * PAIR_MS);
    CU_ASSERT_TRUE(opener.closed == 1 && listener.closed == 1);
    CU_ASSERT_TRUE(tcp_flow_state(pair.side[1].tcp, &flow) == TCP_FLOW_TIME_WAIT);
    pair_run(&pair, 61000 * PAIR_MS);
    CU_ASSERT_TRUE(tcp_flow_state(pair.side[1].tcp, &flow) == TCP_FLOW_NONE);
}

static void test_who_has_no_station_is_unreachable(void)
{
    struct flow flow = open_later()->flow;

    CU_ASSERT_TRUE(tcp_station_absent(pair.side[1].tcp, &flow, pair_now(&pair)));
    CU_ASSERT_EQUAL(opener.closed, 0); /* never from inside */
    pair_run(&pair, PAIR_MS);
    CU_ASSERT_EQUAL(opener.closed, 1);
    CU_ASSERT_EQUAL(opener.end, STREAM_END_UNREACHABLE);
    CU_ASSERT_EQUAL(left, 0);
    CU_ASSERT_EQUAL(tcp_flow_state(pair.side[1].tcp, &flow), TCP_FLOW_NONE);
    CU_ASSERT_FALSE(tcp_station_found(pair.side[1].tcp, &flow, mac, pair_now(&pair)));
}

static void give_up(void (*how)(struct stream *stream))
{
    struct flow flow = open_later()->flow;

    how(opener.stream);
    CU_ASSERT_FALSE(tcp_station_found(pair.side[1].tcp, &flow, mac, pair_now(&pair)));
    pair_run(&pair, PAIR_MS);
    CU_ASSERT_EQUAL(opener.closed, 1);
    CU_ASSERT_EQUAL(opener.end, STREAM_END_ABORTED);
    CU_ASSERT_EQUAL(left, 0);
    opener = (struct talker){.closed = 0};
}

static void test_its_user_may_give_it_up_and_nobody_is_told(void)
{
    give_up(stream_abort);
    give_up(stream_close);
}

/* Somebody guesses the flow: a SYN of theirs, and acknowledgements of all kinds. */
static void test_segments_before_the_syn_has_left_mean_nothing(void)
{
    struct flow flow = open_later()->flow;

    for (unsigned flags = 0; flags < 64; flags++) {
        struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
        struct rte_tcp_hdr *header = (struct rte_tcp_hdr *)rte_pktmbuf_append(frame, sizeof *header);
        struct tcp_arrival arrival = {
            .frame = frame, .header = (uint8_t *)header, .length = sizeof *header, .path.flow = flow};

        *header = (struct rte_tcp_hdr){.src_port = flow.peer_port,
                                       .dst_port = flow.local_port,
                                       .data_off = 5 << 4,
                                       .tcp_flags = (uint8_t)flags,
                                       .rx_win = 1000};
        tcp_input(pair.side[1].tcp, &arrival, 1, pair_now(&pair));
    }
    CU_ASSERT_EQUAL(left, 0);
    CU_ASSERT_EQUAL(opener.connected + opener.closed, 0);
    CU_ASSERT_TRUE(tcp_station_found(pair.side[1].tcp, &flow, mac, pair_now(&pair)));
    pair_run(&pair, 100 * PAIR_MS);
    CU_ASSERT_EQUAL(opener.connected, 1);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"nothing leaves and nothing times out before the station is found",
         test_nothing_leaves_and_nothing_times_out_before_the_station_is_found},
        {"who has no station is unreachable", test_who_has_no_station_is_unreachable},
        {"its user may give it up, and nobody is told", test_its_user_may_give_it_up_and_nobody_is_told},
        {"segments before the SYN has left mean nothing", test_segments_before_the_syn_has_left_mean_nothing},
        CU_TEST_INFO_NULL,
    };

    test_eal_start();
    pool = test_eal_pool("stations", PAIR_MBUFS);
    return suite_run_each("tcp_stations", begin, end, tests);
}
