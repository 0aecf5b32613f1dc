/* Which segments a worker hands over to the control lcore's TCP, and which stay its own. */
#include <CUnit/Basic.h>

#include "suite.h"
#include "worker_fixture.h"

enum { STREAMS_PORT = 9001, OPENED_PORT = 50000, RING_FRAMES = 16 };

static struct rte_ring *to_streams;
static struct worker_handover handover;

static void begin(void)
{
    fixture_reset();
    memset(&handover, 0, sizeof handover);
    fx.config.handover = &handover;
    fx.config.port[0].to_streams = to_streams;
    fixture_restart_worker();
}

static void end(void)
{
    void *frame;

    while (rte_ring_dequeue(to_streams, &frame) == 0)
        rte_pktmbuf_free(frame);
    fixture_check_no_leak();
}

static void listen_at(uint16_t port)
{
    atomic_store(&handover.port, rte_cpu_to_be_16(port));
}

/* From the usual peer's port to the one that this node opened from. */
static void open_flow(unsigned place, uint32_t peer, uint16_t peer_port)
{
    atomic_store(&handover.flow[place],
                 worker_handover_flow(rte_cpu_to_be_32(peer), rte_cpu_to_be_16(peer_port),
                                      rte_cpu_to_be_16(OPENED_PORT)));
}

static struct frame segment_to(const struct frame_fields *fields)
{
    struct frame frame;

    frame_tcp(&frame, fields, &(struct frame_segment){.seq = 1, .flags = 0x02, .window = 100}, "data", 4);
    return frame;
}

/* Handed over as it came (a tag that the device took out is back), or for this worker, which has no TCP. */
static void expect(const struct frame_fields *fields, bool handed_over)
{
    uint64_t own = counter_get(fx.counters, COUNTER_tcp_absent),
             others = counter_get(fx.counters, COUNTER_handed_over);
    struct frame frame = segment_to(fields);
    struct rte_mbuf *mbuf = NULL;

    push(&frame);
    turn();
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_tcp_absent), own + !handed_over);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_handed_over), others + handed_over);
    CU_ASSERT_EQUAL_FATAL(rte_ring_dequeue(to_streams, (void **)&mbuf) == 0, handed_over);
    if (!handed_over)
        return;
    CU_ASSERT_EQUAL_FATAL(mbuf->data_len, frame.length);
    CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(mbuf, void *), frame.bytes, frame.length), 0);
    rte_pktmbuf_free(mbuf);
}

static void test_segments_of_the_port_are_handed_over(void)
{
    struct frame_fields fields = usual_fields();

    fields.destination_port = STREAMS_PORT;
    expect(&fields, false);
    listen_at(STREAMS_PORT);
    expect(&fields, true);
    fields.destination_port = STREAMS_PORT + 1;
    expect(&fields, false);
    fields.destination_port = FIXTURE_UDP_PORT;
    expect(&fields, false);
}

static void test_segments_of_opened_flows_are_handed_over(void)
{
    struct frame_fields fields = usual_fields();

    fields.destination_port = OPENED_PORT;
    expect(&fields, false);
    for (unsigned place = 0; place < WORKER_HANDOVER_FLOWS; place++) {
        memset(&handover, 0, sizeof handover);
        open_flow(place, fields.source, 40000);
        expect(&fields, true);
    }
    fields.source_port++;
    expect(&fields, false);
    fields.source_port--;
    fields.source++;
    expect(&fields, false);
    fields.source--;
    fields.destination_port++;
    expect(&fields, false);
}

/* A rule of the clients' port would take their segments away. */
static void test_the_worker_s_own_port_is_never_handed_over(void)
{
    struct frame_fields fields = usual_fields();

    listen_at(FIXTURE_UDP_PORT);
    expect(&fields, false);
    atomic_store(&handover.flow[0],
                 worker_handover_flow(rte_cpu_to_be_32(fields.source), rte_cpu_to_be_16(40000),
                                      rte_cpu_to_be_16(FIXTURE_UDP_PORT)));
    expect(&fields, false);
}

static void test_tagged_segments_and_ip_options_are_handed_over(void)
{
    static const uint8_t options[4] = {1, 1, 1, 0};
    struct frame_fields fields = usual_fields();

    listen_at(STREAMS_PORT);
    fields.destination_port = STREAMS_PORT;
    fields.vlan_tci = 7;
    expect(&fields, true);
    fields.options = options;
    fields.options_bytes = sizeof options;
    expect(&fields, true);
}

/* Not for us, or no TCP: judged as ever. */
static void test_nothing_else_is_handed_over(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;

    listen_at(STREAMS_PORT);
    fields.destination_port = STREAMS_PORT;
    frame_udp(&frame, &fields, "data", 4);
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_udp_closed_port), 1);
    frame = segment_to(&fields);
    frame.bytes[5] ^= 1;
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_eth_not_ours), 1);
    frame = segment_to(&fields);
    frame.bytes[24] ^= 1; /* the IPv4 checksum */
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_ip4_bad_checksum), 1);
    frame = segment_to(&fields);
    frame_set16(frame.bytes + 16, 20 + 19); /* no whole TCP header */
    frame_fix_ip4(&frame);
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_tcp_truncated), 1);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_handed_over), 0);
    CU_ASSERT_EQUAL(rte_ring_count(to_streams), 0);
}

/* Segments of that peer until no more are taken: how many were. */
static unsigned fill(uint32_t source, uint16_t source_port)
{
    struct frame_fields fields = usual_fields();
    uint64_t before = counter_get(fx.counters, COUNTER_handed_over), full;

    fields.source = source;
    fields.source_port = source_port;
    fields.destination_port = STREAMS_PORT;
    struct frame frame = segment_to(&fields);
    do {
        full = counter_get(fx.counters, COUNTER_handed_over_full);
        push(&frame);
        turn();
    } while (counter_get(fx.counters, COUNTER_handed_over_full) == full);
    return (unsigned)(counter_get(fx.counters, COUNTER_handed_over) - before);
}

static void rank(uint32_t source, uint16_t source_port, enum worker_handover_rank rank)
{
    worker_handover_set(&handover, rte_cpu_to_be_32(source), rte_cpu_to_be_16(source_port), rank);
}

static void test_strangers_leave_room_for_who_is_known(void)
{
    uint32_t source = usual_fields().source;

    listen_at(STREAMS_PORT);
    rank(source, 1000, HANDOVER_ACCEPTED);
    rank(source, 1001, HANDOVER_TRUSTED);
    CU_ASSERT_EQUAL(fill(source, 999), (RING_FRAMES - 1) / 4);
    CU_ASSERT_EQUAL(fill(source + 1, 1001), 0); /* another at that port is another */
    CU_ASSERT_EQUAL(fill(source, 1000), (RING_FRAMES - 1) / 2 - (RING_FRAMES - 1) / 4);
    CU_ASSERT_EQUAL(fill(source, 999), 0);
    CU_ASSERT_EQUAL(fill(source, 1001), RING_FRAMES - 1 - (RING_FRAMES - 1) / 2);
    CU_ASSERT_EQUAL(rte_ring_count(to_streams), RING_FRAMES - 1);
}

static void test_who_has_gone_is_a_stranger_again(void)
{
    uint32_t source = usual_fields().source;

    listen_at(STREAMS_PORT);
    rank(source, 1000, HANDOVER_ACCEPTED);
    rank(source, 1000, HANDOVER_TRUSTED);
    rank(source, 1000, HANDOVER_STRANGER);
    rank(source, 1000, HANDOVER_STRANGER); /* nobody's place is taken by it */
    CU_ASSERT_EQUAL(fill(source, 1000), (RING_FRAMES - 1) / 4);
    for (unsigned i = 0; i < WORKER_HANDOVER_SETS * WORKER_HANDOVER_WAYS; i++)
        CU_ASSERT_EQUAL((&handover.peer[0][0])[i], 0);
}

/* However many are accepted, also such as were chosen for their places. */
static void test_who_is_trusted_finds_a_place_among_those_who_are_not(void)
{
    uint32_t source = usual_fields().source;
    unsigned accepted = 0;

    listen_at(STREAMS_PORT);
    for (unsigned i = 0; i < 64; i++)
        rank(source, (uint16_t)(100 + i), HANDOVER_TRUSTED);
    for (unsigned i = 0; i < 60000; i++)
        rank(source + 1, (uint16_t)i, HANDOVER_ACCEPTED);
    for (unsigned i = 64; i < 128; i++)
        rank(source, (uint16_t)(100 + i), HANDOVER_TRUSTED);
    for (unsigned i = 0; i < WORKER_HANDOVER_SETS * WORKER_HANDOVER_WAYS; i++) {
        CU_ASSERT_NOT_EQUAL((&handover.peer[0][0])[i], 0);
        accepted += ((&handover.peer[0][0])[i] & 0xffff) == HANDOVER_ACCEPTED;
    }
    CU_ASSERT_EQUAL(accepted, WORKER_HANDOVER_SETS * WORKER_HANDOVER_WAYS - 128);
    CU_ASSERT_EQUAL(fill(source, 100 + 127), RING_FRAMES - 1);
    CU_ASSERT_EQUAL(rte_ring_count(to_streams), RING_FRAMES - 1);
}

static void test_what_the_ring_does_not_hold_is_dropped_and_counted(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;

    open_flow(0, fields.source, 40000);
    fields.destination_port = OPENED_PORT;
    frame = segment_to(&fields);
    for (unsigned i = 0; i < RING_FRAMES + 5; i++) {
        push(&frame);
        turn();
    }
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_handed_over), RING_FRAMES - 1);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_handed_over_full), 6);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"segments of the port are handed over", test_segments_of_the_port_are_handed_over},
        {"segments of opened flows are handed over", test_segments_of_opened_flows_are_handed_over},
        {"the worker's own port is never handed over", test_the_worker_s_own_port_is_never_handed_over},
        {"tagged segments and IP options are handed over",
         test_tagged_segments_and_ip_options_are_handed_over},
        {"nothing else is handed over", test_nothing_else_is_handed_over},
        {"strangers leave room for who is known", test_strangers_leave_room_for_who_is_known},
        {"who has gone is a stranger again", test_who_has_gone_is_a_stranger_again},
        {"who is trusted finds a place among those who are not",
         test_who_is_trusted_finds_a_place_among_those_who_are_not},
        {"what the ring does not hold is dropped and counted",
         test_what_the_ring_does_not_hold_is_dropped_and_counted},
        CU_TEST_INFO_NULL,
    };

    fixture_create();
    to_streams = rte_ring_create("to_streams", RING_FRAMES, SOCKET_ID_ANY, RING_F_SC_DEQ);
    return suite_run_each("worker_handover", begin, end, tests);
}
