/*
 * test_control_streams_port.c - a port for the control lcore's streams alone: two nodes whose clients' ports lead nowhere,
 * and whose last ports, made of rings, are joined.
 */
#include <stdio.h>
#include <string.h>

#include <rte_ring.h>

#include "control_streams.h"
#include "frames.h"
#include "node_internal.h"
#include "suite.h"
#include "talker.h"
#include "test_eal.h"

enum {
    PORT = 9001,
    POOL_FRAMES = 4096,
    RING_FRAMES = 1024,
    BULK_BYTES = 1 << 20,
    TURNS_MAX = 1000000,
    TURN_NS = 20000
};

struct side {
    struct node *node;
    struct control_streams *streams;
    struct talker talker;
    struct rte_ring *in, *out;
    struct frame_port clients;
    struct port_queue queue; /* of the joined port */
};

static struct rte_mempool *pool;
static struct rte_ring *wire[2];
static struct side near, far;
static struct instant now;
static uint64_t entropy;

static uint16_t from_wire(void *state, struct rte_mbuf **frames, uint16_t room)
{
    return (uint16_t)rte_ring_dequeue_burst(((struct side *)state)->in, (void **)frames, room, NULL);
}

static uint16_t to_wire(void *state, struct rte_mbuf **frames, uint16_t count)
{
    return (uint16_t)rte_ring_enqueue_burst(((struct side *)state)->out, (void **)frames, count, NULL);
}

static struct node_port make_port(unsigned network, unsigned station, struct port_queue queue)
{
    struct node_port port = {.port = {.mac.addr_bytes = {2, 0, 0, 0, (uint8_t)network, (uint8_t)station},
                                      .mtu = 1500,
                                      .workers = 1,
                                      .queue = {queue}},
                             .address =
                                 address_from_ip4(rte_cpu_to_be_32(frame_ip4(10, 0, network, station))),
                             .prefix_length = 24};
    return port;
}

static void start(struct side *side, unsigned station, bool listens)
{
    struct node_config config = {.workers = 1,
                                 .ports = 2,
                                 .udp_port = 7878,
                                 .capacity = 1000,
                                 .sessions = NODE_SESSIONS_MIN,
                                 .connections = NODE_CONNECTIONS_MIN,
                                 .cluster_name = "wild",
                                 .pool = pool,
                                 .random = seeded_source(&entropy),
                                 .numa_node = -1};
    struct control_streams_config streams = {
        .port = PORT, .streams_max = 4, .send_bytes_max = 256 * 1024, .receive_bytes_max = 256 * 1024};
    char error[256] = "";

    *side = (struct side){.in = wire[station - 1], .out = wire[2 - station]};
    config.port[0] = make_port(0, station, frame_port_queue(&side->clients));
    config.port[1] = make_port(1, station, (struct port_queue){side, from_wire, to_wire});
    config.port[1].streams_only = true;
    CU_ASSERT_EQUAL_FATAL(node_start(&side->node, &config, now, error, sizeof error), 0);
    if (listens)
        streams.acceptor = (struct stream_acceptor){.state = &side->talker, .accepted = talker_accepted};
    CU_ASSERT_EQUAL_FATAL(control_streams_create(&side->streams, side->node, &streams, error, sizeof error),
                          0);
}

static void set_up(void)
{
    now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    start(&near, 1, false);
    start(&far, 2, true);
}

static void stop(struct side *side)
{
    control_streams_destroy(side->streams);
    node_stop(side->node);
    frame_port_clear(&side->clients);
}

static void tear_down(void)
{
    void *frame;

    stop(&near);
    stop(&far);
    for (unsigned i = 0; i < 2; i++)
        while (rte_ring_dequeue(wire[i], &frame) == 0)
            rte_pktmbuf_free(frame);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL_FRAMES - 1);
}

static void turn(void)
{
    now.mono_ns += TURN_NS;
    node_control_turn(near.node, now);
    node_control_turn(far.node, now);
    node_worker_turn(near.node, 0, now);
    node_worker_turn(far.node, 0, now);
    frame_port_clear(&near.clients); /* announcements */
    frame_port_clear(&far.clients);
}

#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        for (unsigned turns = 0; !(condition) && turns < TURNS_MAX; turns++)                                 \
            turn();                                                                                          \
        CU_ASSERT_FATAL(condition);                                                                          \
    } while (0)

static struct stream *open_to(unsigned network)
{
    struct flow flow = {.peer = address_from_ip4(rte_cpu_to_be_32(frame_ip4(10, 0, network, 2))),
                        .peer_port = rte_cpu_to_be_16(PORT)};

    near.talker.stream = control_streams_connect(near.streams, &flow, talker_events(), &near.talker, now);
    return near.talker.stream;
}

static void its_bytes_go_by_it_and_no_worker_sees_them(void)
{
    near.talker.to_send = far.talker.to_send = BULK_BYTES;
    near.talker.close_at_sent = far.talker.close_at_sent = true;
    CU_ASSERT_STRING_EQUAL(control_streams_tier(near.streams), "port");
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(1));
    UNTIL(near.talker.closed == 1 && far.talker.closed == 1);
    CU_ASSERT_EQUAL(near.talker.received, BULK_BYTES);
    CU_ASSERT_EQUAL(far.talker.received, BULK_BYTES);
    CU_ASSERT_FALSE(near.talker.wrong || far.talker.wrong);
    CU_ASSERT_EQUAL(node_counter(far.node, COUNTER_handed_over), 0);
    CU_ASSERT_EQUAL(counter_get(&far.node->worker[0].counters, COUNTER_rx_frames), 0);
    CU_ASSERT_TRUE(node_counter(far.node, COUNTER_rx_frames) > BULK_BYTES / 1500);
    CU_ASSERT_TRUE(node_counter(far.node, COUNTER_tx_frames) > BULK_BYTES / 1500);
    CU_ASSERT_EQUAL(node_counter(far.node, COUNTER_arp_answered), 1); /* the control lcore's worker did */
}

static void the_clients_network_carries_none(void)
{
    struct frame_fields fields = {.vlan_tci = FRAME_UNTAGGED,
                                  .source = frame_ip4(10, 0, 0, 9),
                                  .destination = frame_ip4(10, 0, 0, 2),
                                  .source_port = 41000,
                                  .destination_port = PORT,
                                  .to = {2, 0, 0, 0, 0, 2},
                                  .from = {2, 0, 0, 0, 0, 9}};
    struct frame frame;

    CU_ASSERT_PTR_NULL(open_to(0));
    frame_tcp(&frame, &fields, &(struct frame_segment){.seq = 1, .flags = 0x02, .window = 1000}, NULL, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(frame_port_push(&far.clients, pool, frame.bytes, frame.length));
    turn();
    CU_ASSERT_EQUAL(node_counter(far.node, COUNTER_tcp_closed_port), 1);
    CU_ASSERT_EQUAL(node_counter(far.node, COUNTER_handed_over), 0);
}

/* Its queue wakes nobody. */
static void the_control_lcore_looks_at_it_often(void)
{
    turn();
    CU_ASSERT_TRUE(node_control_next_ns(far.node) <= now.mono_ns + NODE_STREAMS_NAP_NS);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"its_bytes_go_by_it_and_no_worker_sees_them", its_bytes_go_by_it_and_no_worker_sees_them},
        {"the_clients_network_carries_none", the_clients_network_carries_none},
        {"the_control_lcore_looks_at_it_often", the_control_lcore_looks_at_it_often},
        CU_TEST_INFO_NULL,
    };

    entropy = seeded_start(seeded_from_environment(42));
    if (keys_start() != 0)
        return 1;
    test_eal_start();
    pool = test_eal_pool("streams", POOL_FRAMES - 1);
    for (unsigned i = 0; i < 2; i++)
        wire[i] = rte_ring_create(i == 0 ? "wire0" : "wire1", RING_FRAMES, SOCKET_ID_ANY, 0);
    return suite_run_each("control_streams_port", set_up, tear_down, tests);
}
