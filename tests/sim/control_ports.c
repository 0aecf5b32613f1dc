/*
 * control_ports.c - streams of the control lcore over ports: two whole nodes joined by net_ring ports, under a virtual clock,
 * over links good and bad, while both serve a client. Addresses, rings and openings; nothing is left behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/frames.h"
#include "../unit/seeded.h"
#include "../unit/suite.h"
#include "../unit/talker.h"
#include "../unit/test_eal.h"
#include "app_limits.h"
#include "control_streams.h"
#include "hub.h"
#include "node_internal.h"

enum {
    PORT = 9001,
    STREAMS = 2 * WORKER_HANDOVER_FLOWS,
    STREAM_BYTES = 256 * 1024,
    BULK_BYTES = 1 << 20,
    STEPS_MAX = 2000000
};

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

static struct rte_mempool *pool;
static uint64_t seed;
static struct hub hub;
static struct side {
    struct control_streams *streams;
    struct talker talker;
} near, far;

static uint64_t near_counter(enum counter which)
{
    return node_counter(hub.nodes[0].node, which);
}

static uint64_t far_counter(enum counter which)
{
    return node_counter(hub.nodes[1].node, which);
}

static void create(struct side *side, unsigned node, bool listens)
{
    struct control_streams_config config = {.port = PORT,
                                            .streams_max = STREAMS,
                                            .send_bytes_max = STREAM_BYTES,
                                            .receive_bytes_max = STREAM_BYTES};
    char error[256] = "";

    if (listens)
        config.acceptor = (struct stream_acceptor){.state = &side->talker, .accepted = talker_accepted};
    CU_ASSERT_EQUAL_FATAL(
        control_streams_create(&side->streams, hub.nodes[node].node, &config, error, sizeof error), 0);
}

/* The far node listens. What is in use before is in use after. */
static void with_two_nodes(const struct hub_faults *faults, void (*test)(void))
{
    unsigned before = rte_mempool_avail_count(pool);

    hub_start(&hub, pool, 2, seed, secret);
    hub.faults = *faults;
    near = far = (struct side){.streams = NULL};
    create(&near, 0, false);
    create(&far, 1, true);
    test();
    control_streams_destroy(near.streams);
    control_streams_destroy(far.streams);
    CU_ASSERT_EQUAL(near.talker.stream, NULL);
    CU_ASSERT_EQUAL(far.talker.stream, NULL);
    hub_stop(&hub);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), before);
}

#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        for (unsigned steps = 0; !(condition) && steps < STEPS_MAX; steps++)                                 \
            hub_step(&hub);                                                                                  \
        CU_ASSERT_FATAL(condition);                                                                          \
    } while (0)

static struct stream *open_to(uint32_t ip4)
{
    struct flow flow = {.peer = address_from_ip4(rte_cpu_to_be_32(ip4)), .peer_port = rte_cpu_to_be_16(PORT)};

    near.talker.stream = control_streams_connect(near.streams, &flow, talker_events(), &near.talker, hub.now);
    return near.talker.stream;
}

static void expect_ends(enum stream_end near_end, enum stream_end far_end)
{
    UNTIL(near.talker.closed > 0 && far.talker.closed > 0);
    CU_ASSERT_EQUAL(near.talker.end, near_end);
    CU_ASSERT_EQUAL(far.talker.end, far_end);
}

/* ---- bytes ---- */

/* A client's writes and reads on both nodes for as long as the streams are busy. */
static void serve_clients(void)
{
    uint64_t entropy = seeded_start(seed + 7);
    struct datagram_link link = hub_link(&hub);
    struct test_client client;
    unsigned served = 0, which = 0;

    while (near.talker.closed == 0 || far.talker.closed == 0) {
        struct operation operation = {.opcode = OPCODE_SET, .key = (const uint8_t *)"k", .key_length = 1};
        struct reply replies[TEST_CLIENT_OPERATIONS];

        hub.talks_to = which;
        hub.inbox_count = 0;
        CU_ASSERT_FATAL(test_client_connect(&client, &link, secret, SUITE_MAC, seeded_source(&entropy)));
        for (unsigned i = 0; i < 20; i++) {
            operation.request_id = 0;
            CU_ASSERT_EQUAL_FATAL(test_client_request(&client, &operation, 1, replies), 1);
            CU_ASSERT_EQUAL(replies[0].status, STATUS_OK);
            served += near.talker.closed == 0 || far.talker.closed == 0;
        }
        test_client_close(&client);
        which = 1 - which;
        CU_ASSERT_FATAL(served < 100000);
    }
    CU_ASSERT_TRUE(served > 10);
}

static void bulk(void)
{
    near.talker.to_send = far.talker.to_send = BULK_BYTES;
    near.talker.close_at_sent = far.talker.close_at_sent = true;
    far.talker.take_max = 5000;
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    serve_clients();
    expect_ends(STREAM_END_CLOSED, STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(near.talker.received, BULK_BYTES);
    CU_ASSERT_EQUAL(far.talker.received, BULK_BYTES);
    CU_ASSERT_FALSE(near.talker.wrong || far.talker.wrong);
    CU_ASSERT_STRING_EQUAL(control_streams_tier(far.streams), "ring");
    CU_ASSERT_TRUE(far_counter(COUNTER_handed_over) > BULK_BYTES / 1500);
    CU_ASSERT_TRUE(near_counter(COUNTER_handed_over) > BULK_BYTES / 1500);
    /* Nothing of it was taken for a stranger's. */
    CU_ASSERT_EQUAL(far_counter(COUNTER_tcp_closed_port), 0);
    CU_ASSERT_EQUAL(near_counter(COUNTER_tcp_closed_port), 0);
}

static void much_goes_both_ways_while_clients_are_served(void)
{
    with_two_nodes(&(struct hub_faults){0}, bulk);
}

static void and_over_a_bad_link(void)
{
    with_two_nodes(&(struct hub_faults){.lose_percent = 2, .repeat_percent = 2, .delay_steps_max = 8}, bulk);
}

/* Every frame counts once, on whichever lcores it was handled. */
static void counted_once(void)
{
    uint64_t near_sent, far_received;

    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(near.talker.connected == 1 && far.talker.accepted == 1);
    near_sent = near_counter(COUNTER_tx_frames);
    far_received = far_counter(COUNTER_rx_frames);
    near.talker.to_send = 100;
    talker_send(&near.talker);
    UNTIL(far.talker.received == 100);
    CU_ASSERT_EQUAL(near_counter(COUNTER_tx_frames) - near_sent, 1);
    CU_ASSERT_EQUAL(far_counter(COUNTER_rx_frames) - far_received, 1);
}

static void a_frame_that_goes_by_two_lcores_is_counted_once(void)
{
    with_two_nodes(&(struct hub_faults){0}, counted_once);
}

/* ---- openings ---- */

static void resolve(void)
{
    uint64_t asked = near_counter(COUNTER_arp_requested), began_ns = hub.now.mono_ns;

    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(near.talker.connected == 1);
    CU_ASSERT_EQUAL(near_counter(COUNTER_arp_requested), asked + 1);
    /* The SYN left when the answer was there, not a time-out later. */
    CU_ASSERT_TRUE(hub.now.mono_ns - began_ns < UINT64_C(100000000));
    stream_abort(near.talker.stream);
    expect_ends(STREAM_END_ABORTED, STREAM_END_RESET);
    /* Now it is known. */
    near.talker = far.talker = (struct talker){.closed = 0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(near.talker.connected == 1);
    CU_ASSERT_EQUAL(near_counter(COUNTER_arp_requested), asked + 1);
}

static void the_next_hop_is_asked_for_once_and_the_syn_follows_its_answer(void)
{
    with_two_nodes(&(struct hub_faults){0}, resolve);
}

static void absent(void)
{
    uint64_t began_ns = hub.now.mono_ns;

    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(frame_ip4(198, 18, 0, 77)));
    UNTIL(near.talker.closed == 1);
    CU_ASSERT_EQUAL(near.talker.end, STREAM_END_UNREACHABLE);
    CU_ASSERT_TRUE(hub.now.mono_ns - began_ns < UINT64_C(5000000000));
    near.talker = (struct talker){.closed = 0};
    CU_ASSERT_PTR_NULL(open_to(frame_ip4(203, 0, 113, 1))); /* no gateway */
    /* Given up by its user while the station is asked for. */
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(frame_ip4(198, 18, 0, 78)));
    stream_abort(near.talker.stream);
    UNTIL(near.talker.closed == 1);
    CU_ASSERT_EQUAL(near.talker.end, STREAM_END_ABORTED);
}

static void whom_nobody_answers_for_is_unreachable(void)
{
    with_two_nodes(&(struct hub_faults){0}, absent);
}

static void refused(void)
{
    control_streams_destroy(far.streams);
    far.streams = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(near.talker.closed == 1);
    CU_ASSERT_EQUAL(near.talker.end, STREAM_END_REFUSED);
    CU_ASSERT_EQUAL(far_counter(COUNTER_handed_over), 0);
    /* Who listens again is found again. */
    create(&far, 1, true);
    near.talker = (struct talker){.closed = 0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(near.talker.connected == 1 && far.talker.accepted == 1);
}

static void where_nobody_listens_the_stream_is_refused(void)
{
    with_two_nodes(&(struct hub_faults){0}, refused);
}

/* One after the other: the places for flows are used again. */
static void many(void)
{
    for (unsigned i = 0; i < 3 * WORKER_HANDOVER_FLOWS; i++) {
        near.talker = (struct talker){.to_send = 1000};
        far.talker = (struct talker){.to_send = 1000};
        CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
        UNTIL(near.talker.received == 1000 && far.talker.received == 1000);
        stream_abort(i % 2 == 0 ? near.talker.stream : far.talker.stream);
        UNTIL(near.talker.closed == 1 && far.talker.closed == 1);
    }
}

/* In order, and by this node first: each leaves a TIME-WAIT of a minute, which no later opening waits for. */
static void many_in_time_wait(void)
{
    for (unsigned i = 0; i < 3 * WORKER_HANDOVER_FLOWS; i++) {
        near.talker = (struct talker){.to_send = 1000, .close_at_sent = true};
        far.talker = (struct talker){.close_at_end = true};
        CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
        UNTIL(near.talker.closed == 1 && far.talker.closed == 1);
        CU_ASSERT_EQUAL(near.talker.end, STREAM_END_CLOSED);
        CU_ASSERT_EQUAL(far.talker.received, 1000);
    }
    near.talker = (struct talker){.closed = 0};
}

static void openings_do_not_wait_for_those_that_have_ended(void)
{
    with_two_nodes(&(struct hub_faults){0}, many_in_time_wait);
}

static void openings_one_after_the_other_use_their_places_again(void)
{
    with_two_nodes(&(struct hub_faults){0}, many);
}

/* ---- strangers ---- */

static void inject_syn(uint16_t port)
{
    struct frame_fields fields = {.vlan_tci = FRAME_UNTAGGED,
                                  .source = hub.client_ip4,
                                  .destination = hub.nodes[1].ip4,
                                  .source_port = 41000,
                                  .destination_port = port};
    struct frame_segment syn = {.seq = 1, .flags = 0x02, .window = 1000};
    struct frame frame;

    memcpy(fields.to, hub.nodes[1].mac, 6);
    memcpy(fields.from, hub.client_mac, 6);
    frame_tcp(&frame, &fields, &syn, NULL, 0);
    hub_inject(&hub, frame.bytes, frame.length);
    for (unsigned i = 0; i < 10; i++)
        hub_step(&hub);
}

static void strangers(void)
{
    inject_syn(PORT - 1);
    CU_ASSERT_EQUAL(far_counter(COUNTER_handed_over), 0);
    CU_ASSERT_EQUAL(far_counter(COUNTER_tcp_closed_port), 1);
    inject_syn(PORT);
    CU_ASSERT_EQUAL(far_counter(COUNTER_handed_over), 1);
    CU_ASSERT_EQUAL(far_counter(COUNTER_tcp_syn), 1);
    inject_syn(PROTOCOL_DEFAULT_PORT);
    CU_ASSERT_EQUAL(far_counter(COUNTER_handed_over), 1);
    CU_ASSERT_EQUAL(far_counter(COUNTER_tcp_syn), 2);
    CU_ASSERT_EQUAL(far_counter(COUNTER_tcp_closed_port), 1);
}

static void only_the_port_s_segments_are_handed_over(void)
{
    with_two_nodes(&(struct hub_faults){0}, strangers);
}

static uint64_t replication_counter(unsigned i, enum replication_counter which)
{
    return replication_counted(&hub.nodes[i].node->replication.counters, which);
}

/* So many SYNs from everywhere to the primary's replication port, which one worker hands over before anything else comes. */
static void flood(unsigned frames, uint16_t port)
{
    static uint32_t source;
    struct hub_node *primary = &hub.nodes[0];

    for (unsigned i = 0; i < frames; i++, source++) {
        struct frame_fields fields = {.vlan_tci = FRAME_UNTAGGED,
                                      .source = hub.client_ip4 + source % 50000 * 7 + 1000,
                                      .destination = primary->ip4,
                                      .source_port = (uint16_t)(1024 + source % 60000),
                                      .destination_port = port};
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
        struct frame frame;

        CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
        memcpy(fields.to, primary->mac, 6);
        memcpy(fields.from, hub.client_mac, 6);
        frame_tcp(&frame, &fields, &(struct frame_segment){.seq = source, .flags = 0x02, .window = 1000},
                  NULL, 0);
        memcpy(rte_pktmbuf_append(mbuf, frame.length), frame.bytes, frame.length);
        CU_ASSERT_EQUAL_FATAL(rte_ring_enqueue(primary->to, mbuf), 0);
        if (i % 32 == 31)
            node_worker_turn(primary->node, 0, hub.now);
    }
}

/* Of which there is always more than a turn takes. */
static void a_session_goes_on_beside_a_flood(void)
{
    static const struct hub_part parts[] = {
        {.mode = MODE_PRIMARY, .log = true, .min_replicas = 1, .ack_applied = true}, {.mode = MODE_REPLICA}};
    unsigned before = rte_mempool_avail_count(pool);

    hub_start_cluster(&hub, pool, 2, seed, secret, parts, 64 << 20);
    uint16_t port = control_streams_port(hub.nodes[0].node->streams);
    CU_ASSERT_TRUE_FATAL(hub_serves(&hub, 0));
    UNTIL(replication_counter(0, REPLICATION_sessions) == 1 && hub_serves(&hub, 1));
    CU_ASSERT_STRING_EQUAL(control_streams_tier(hub.nodes[0].node->streams), "ring");
    flood(2048, port);
    for (uint64_t until_ns = hub.now.mono_ns + UINT64_C(2500000000); hub.now.mono_ns < until_ns;) {
        flood(64, port);
        hub_step(&hub);
    }
    CU_ASSERT_TRUE(node_counter(hub.nodes[0].node, COUNTER_handed_over_full) > 100000);
    CU_ASSERT_EQUAL(replication_counter(0, REPLICATION_sessions), 1); /* it is the same */
    CU_ASSERT_EQUAL(replication_counter(0, REPLICATION_timed_out), 0);
    CU_ASSERT_PTR_NULL(node_replication_why(hub.nodes[0].node)); /* nor is it short of its replica */
    hub_stop(&hub);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), before);
}

/* "Port unreachable" about a segment of the opening's, which nobody has seen: both TCPs look at it. */
static void icmp(void)
{
    struct frame_fields fields = {.vlan_tci = FRAME_UNTAGGED,
                                  .source = hub.client_ip4,
                                  .destination = hub.nodes[0].ip4,
                                  .source_port = PORT,
                                  .destination_port = PORT};
    struct frame quoted, frame;
    uint8_t message[8 + 28] = {3, 3};

    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(near.talker.connected == 1);
    memcpy(fields.to, hub.nodes[0].mac, 6);
    memcpy(fields.from, hub.client_mac, 6);
    fields.source = hub.nodes[0].ip4, fields.destination = hub.nodes[1].ip4;
    frame_tcp(&quoted, &fields, &(struct frame_segment){.seq = 1, .flags = 0x10, .window = 1}, NULL, 0);
    memcpy(message + 8, quoted.bytes + frame_l3(&quoted), 28);
    frame_set16(message + 2, frame_checksum(frame_sum(0, message, sizeof message)));
    fields.source = hub.client_ip4, fields.destination = hub.nodes[0].ip4;
    frame.length = 0;
    frame_ethernet(&frame, &fields, 0x0800);
    frame_ip4_header(&frame, &fields, 1, sizeof message);
    frame_put(&frame, message, sizeof message);
    hub_inject(&hub, frame.bytes, frame.length);
    for (unsigned i = 0; i < 10; i++)
        hub_step(&hub);
    CU_ASSERT_EQUAL(near_counter(COUNTER_icmp_errors), 1);
    CU_ASSERT_EQUAL(near_counter(COUNTER_tcp_icmp_strange), 2);
}

static void icmp_errors_reach_the_streams_too(void)
{
    with_two_nodes(&(struct hub_faults){0}, icmp);
}

/* ---- naps, and the end ---- */

static void naps(void)
{
    struct node *node = hub.nodes[1].node;

    CU_ASSERT_EQUAL(node_control_wait_fd(node), -1);
    CU_ASSERT_TRUE(node_control_takes_frames(node));
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(near.talker.connected == 1 && far.talker.accepted == 1);
    for (unsigned i = 0; i < 10000; i++)
        hub_step(&hub);
    CU_ASSERT_FALSE(node_control_has_frames(node));
    CU_ASSERT_TRUE(node_control_next_ns(node) > hub.now.mono_ns + 1000000);
    near.talker.to_send = 100;
    talker_send(&near.talker);
    CU_ASSERT_TRUE(node_control_next_ns(hub.nodes[0].node) <= hub.now.mono_ns);
    hub_step(&hub);
    hub_step(&hub);
    /* The worker alone. */
    hub.now.mono_ns += HUB_STEP_NS;
    for (unsigned i = 0; i < 100 && !node_control_has_frames(node); i++) {
        hub_step(&hub);
        inject_syn(PORT);
        node_worker_turn(node, 0, hub.now);
    }
    UNTIL(far.talker.received == 100);
}

static void who_sleeps_is_told_what_is_to_be_done(void)
{
    with_two_nodes(&(struct hub_faults){0}, naps);
}

static void destroyed(void)
{
    near.talker.to_send = far.talker.to_send = BULK_BYTES;
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
    UNTIL(far.talker.received > 100000);
    control_streams_destroy(far.streams);
    far.streams = NULL;
    CU_ASSERT_EQUAL(far.talker.closed, 1);
    CU_ASSERT_EQUAL(far.talker.end, STREAM_END_ABORTED);
    UNTIL(near.talker.closed == 1); /* a worker resets what it knows nothing of */
    CU_ASSERT_EQUAL(near.talker.end, STREAM_END_RESET);
    /* One that has just begun, in the middle of a turn. */
    near.talker = (struct talker){.closed = 0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(open_to(hub.nodes[1].ip4));
}

static void the_end_in_the_middle_of_it_leaves_nothing_behind(void)
{
    with_two_nodes(&(struct hub_faults){0}, destroyed);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"much_goes_both_ways_while_clients_are_served", much_goes_both_ways_while_clients_are_served},
        {"and_over_a_bad_link", and_over_a_bad_link},
        {"a_frame_that_goes_by_two_lcores_is_counted_once", a_frame_that_goes_by_two_lcores_is_counted_once},
        {"the_next_hop_is_asked_for_once_and_the_syn_follows_its_answer",
         the_next_hop_is_asked_for_once_and_the_syn_follows_its_answer},
        {"whom_nobody_answers_for_is_unreachable", whom_nobody_answers_for_is_unreachable},
        {"where_nobody_listens_the_stream_is_refused", where_nobody_listens_the_stream_is_refused},
        {"openings_one_after_the_other_use_their_places_again",
         openings_one_after_the_other_use_their_places_again},
        {"openings_do_not_wait_for_those_that_have_ended", openings_do_not_wait_for_those_that_have_ended},
        {"only_the_port_s_segments_are_handed_over", only_the_port_s_segments_are_handed_over},
        {"a_session_goes_on_beside_a_flood", a_session_goes_on_beside_a_flood},
        {"icmp_errors_reach_the_streams_too", icmp_errors_reach_the_streams_too},
        {"who_sleeps_is_told_what_is_to_be_done", who_sleeps_is_told_what_is_to_be_done},
        {"the_end_in_the_middle_of_it_leaves_nothing_behind",
         the_end_in_the_middle_of_it_leaves_nothing_behind},
        CU_TEST_INFO_NULL,
    };

    seed = seeded_from_environment(42);
    printf("WILD_SEED=%llu\n", (unsigned long long)seed);
    if (keys_start() != 0)
        return 1;
    test_eal_start();
    pool = test_eal_pool("control_ports", 12000);
    return suite_run("control_ports", tests);
}
