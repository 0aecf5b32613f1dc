/* The worker's turn: datagrams to the service and back, deferred answers, full rings, odd buffers. */
#include <CUnit/Basic.h>

#include "worker_fixture.h"
#include "suite.h"

/* Addresses swapped at every layer, both checksums right by the second opinion, payload as given. */
static void check_reply(const uint8_t *reply, size_t length, const struct frame *request, const void *payload,
                        size_t payload_bytes)
{
    size_t l3 = frame_l3(request);
    const uint8_t *ip4 = reply + l3, *udp = ip4 + 20, *asked = request->bytes + l3;
    const uint8_t *asked_udp = asked + (asked[0] & 15u) * 4;
    CU_ASSERT_EQUAL_FATAL(length, l3 + 28 + payload_bytes);
    CU_ASSERT(memcmp(reply, request->bytes + 6, 6) == 0);
    CU_ASSERT(memcmp(reply + 6, request->bytes, 6) == 0);
    CU_ASSERT(memcmp(reply + 12, request->bytes + 12, l3 - 12) == 0);
    CU_ASSERT_EQUAL(ip4[0], 0x45);
    CU_ASSERT_EQUAL(frame_get16(ip4 + 2), 28 + payload_bytes);
    CU_ASSERT_EQUAL(frame_get16(ip4 + 6), 0x4000);
    CU_ASSERT_EQUAL(ip4[8], 64);
    CU_ASSERT_EQUAL(ip4[9], 17);
    CU_ASSERT_EQUAL(frame_sum(0, ip4, 20), 0xFFFF);
    CU_ASSERT(memcmp(ip4 + 12, asked + 16, 4) == 0);
    CU_ASSERT(memcmp(ip4 + 16, asked + 12, 4) == 0);
    CU_ASSERT(memcmp(udp, asked_udp + 2, 2) == 0);
    CU_ASSERT(memcmp(udp + 2, asked_udp, 2) == 0);
    CU_ASSERT_EQUAL(frame_get16(udp + 4), 8 + payload_bytes);
    CU_ASSERT_NOT_EQUAL(frame_get16(udp + 6), 0);
    CU_ASSERT_EQUAL(frame_udp_sum(ip4, udp, 8 + payload_bytes), 0xFFFF);
    CU_ASSERT(memcmp(udp + 8, payload, payload_bytes) == 0);
}

static void test_answers_a_datagram_with_swapped_addresses(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    frame_udp(&request, &fields, "hello", 5);
    const uint8_t *reply = expect_answer(&request, &length);
    check_reply(reply, length, &request, "hello", 5);
    CU_ASSERT_EQUAL(fx.echo.last.length, 5);
    CU_ASSERT(fx.echo.last.room >= 1372);
    CU_ASSERT_EQUAL(fx.echo.last.path.vlan_tci, VLAN_NONE);
    CU_ASSERT_EQUAL(fx.echo.last.path.flow.peer_port, rte_cpu_to_be_16(40000));
    CU_ASSERT_EQUAL(address_ip4(&fx.echo.last.path.flow.peer), rte_cpu_to_be_32(fields.source));
    CU_ASSERT_EQUAL(count(COUNTER_udp_datagrams), 1);
    CU_ASSERT_EQUAL(count(COUNTER_udp_replies), 1);
    CU_ASSERT_EQUAL(count(COUNTER_rx_frames), 1);
    CU_ASSERT_EQUAL(count(COUNTER_rx_bytes), request.length);
    CU_ASSERT_EQUAL(count(COUNTER_tx_frames), 1);
    CU_ASSERT_EQUAL(count(COUNTER_tx_bytes), length);
}

static void test_answers_every_payload_length(void)
{
    uint8_t payload[1472];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 31 + (i >> 8));
    struct frame_fields fields = usual_fields();
    for (size_t n = 0; n <= sizeof payload; n++) {
        struct frame request;
        size_t length;
        if (n == 0) {
            /* nothing to echo: silence */
            frame_udp(&request, &fields, payload, 0);
            push(&request);
            turn();
            CU_ASSERT_EQUAL(count(COUNTER_udp_unanswered), 1);
            continue;
        }
        frame_udp(&request, &fields, payload, n);
        const uint8_t *reply = expect_answer(&request, &length);
        check_reply(reply, length, &request, payload, n);
    }
}

static void test_answers_under_the_tag_of_the_request(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    for (int tci = 0; tci < 0xFFFF; tci += 0x0FFB) {
        fields.vlan_tci = tci;
        frame_udp(&request, &fields, "tagged", 6);
        const uint8_t *reply = expect_answer(&request, &length);
        check_reply(reply, length, &request, "tagged", 6);
        CU_ASSERT_EQUAL(fx.echo.last.path.vlan_tci, tci);
    }
}

static void test_answers_under_a_tag_that_the_device_took_out(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request, tagged;
    frame_udp(&request, &fields, "stripped", 8);
    fields.vlan_tci = 0x2064;
    frame_udp(&tagged, &fields, "stripped", 8);
    struct rte_mbuf *mbuf = push(&request);
    mbuf->vlan_tci = 0x2064;
    mbuf->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    turn();
    CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 1);
    check_reply(rte_pktmbuf_mtod(fx.port.out[0], const uint8_t *), fx.port.out[0]->pkt_len, &tagged,
                "stripped", 8);
    CU_ASSERT_EQUAL(fx.port.out[0]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED, 0);
}

static void test_skips_ip_options_and_answers_without_them(void)
{
    static const uint8_t options[8] = {1, 7, 7, 4, 0, 0, 0, 0}; /* NOP, record route, end */
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    fields.options = options;
    fields.options_bytes = sizeof options;
    frame_udp(&request, &fields, "options", 7);
    request.bytes[14 + 20 + 2] = 7;
    frame_fix_ip4(&request);
    const uint8_t *reply = expect_answer(&request, &length);
    check_reply(reply, length, &request, "options", 7);
}

static void test_ignores_padding_behind_the_packet(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    frame_udp(&request, &fields, "x", 1);
    memset(request.bytes + request.length, 0xA5, 60 - request.length);
    request.length = 60;
    const uint8_t *reply = expect_answer(&request, &length);
    check_reply(reply, length, &request, "x", 1);
}

static void test_gathers_a_burst_into_one_call(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    for (unsigned i = 0; i < 40; i++) {
        fields.source_port = (uint16_t)(1000 + i);
        frame_udp(&frame, &fields, &i, sizeof i);
        push(&frame);
    }
    CU_ASSERT_EQUAL(turn(), 32);
    CU_ASSERT_EQUAL(fx.echo.bursts, 1);
    CU_ASSERT_EQUAL(turn(), 8);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(fx.echo.bursts, 2);
    CU_ASSERT_EQUAL(fx.echo.turns, 3);
    CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 40);
    for (unsigned i = 0; i < 40; i++) {
        const uint8_t *reply = rte_pktmbuf_mtod(fx.port.out[i], const uint8_t *);
        CU_ASSERT_EQUAL(frame_get16(reply + 14 + 22), 1000 + i);
    }
}

static void test_frees_what_the_service_leaves_unanswered(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fx.echo.silent = true;
    frame_udp(&frame, &fields, "quiet", 5);
    push(&frame);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(fx.port.out_count, 0);
    CU_ASSERT_EQUAL(count(COUNTER_udp_unanswered), 1);
}

static void test_reply_may_be_longer_than_the_request(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    fx.echo.answer_bytes = 1372;
    frame_udp(&request, &fields, "short", 5);
    const uint8_t *reply = expect_answer(&request, &length);
    CU_ASSERT_EQUAL(length, 14 + 28 + 1372);
    CU_ASSERT_EQUAL(frame_udp_sum(reply + 14, reply + 34, 8 + 1372), 0xFFFF);
}

static void test_counts_and_frees_what_a_full_ring_refuses(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    frame_udp(&frame, &fields, "full", 4);
    for (unsigned i = 0; i < 10; i++)
        push(&frame);
    fx.port.out_room = 4;
    CU_ASSERT_EQUAL(turn(), 10);
    CU_ASSERT_EQUAL(count(COUNTER_tx_frames), 4);
    CU_ASSERT_EQUAL(count(COUNTER_tx_bytes), 4 * frame.length);
    CU_ASSERT_EQUAL(count(COUNTER_tx_ring_full), 6);
}

/* ---- deferred answers ---- */

static struct return_path deferred_path(uint16_t vlan_tci)
{
    struct return_path path = {
        .flow = {.peer = address_from_ip4(rte_cpu_to_be_32(frame_ip4(198, 18, 0, 9))),
                 .local = address_from_ip4(rte_cpu_to_be_32(frame_ip4(198, 18, 0, 1))),
                 .peer_port = rte_cpu_to_be_16(40000),
                 .local_port = rte_cpu_to_be_16(FIXTURE_UDP_PORT)},
        .vlan_tci = vlan_tci,
    };
    memcpy(path.peer_mac, peer_mac, 6);
    return path;
}

static void test_sends_a_deferred_answer_at_the_end_of_the_turn(void)
{
    struct udp_transmit transmit = worker_transmit(fx.worker, 0);
    const uint16_t tags[2] = {VLAN_NONE, 0x0123};
    for (unsigned i = 0; i < 2; i++) {
        struct frame_fields fields = usual_fields();
        struct frame request;
        struct return_path path = deferred_path(tags[i]);
        fields.vlan_tci = tags[i] == VLAN_NONE ? FRAME_UNTAGGED : tags[i];
        frame_udp(&request, &fields, "whatever", 8);
        frame_port_clear(&fx.port);
        CU_ASSERT(transmit.send(transmit.state, &path, (const uint8_t *)"later", 5));
        CU_ASSERT_EQUAL(fx.port.out_count, 0);
        turn();
        CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 1);
        check_reply(rte_pktmbuf_mtod(fx.port.out[0], const uint8_t *), fx.port.out[0]->pkt_len, &request,
                    "later", 5);
    }
    CU_ASSERT_EQUAL(count(COUNTER_udp_replies), 2);
}

static void test_deferred_answers_beyond_one_burst_all_leave(void)
{
    struct udp_transmit transmit = worker_transmit(fx.worker, 0);
    struct return_path path = deferred_path(VLAN_NONE);
    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT(transmit.send(transmit.state, &path, (const uint8_t *)"x", 1));
    turn();
    CU_ASSERT_EQUAL(fx.port.out_count, 100);
}

static void test_deferred_answer_without_a_buffer_is_refused(void)
{
    static struct rte_mbuf *all[FIXTURE_POOL_MBUFS];
    struct udp_transmit transmit = worker_transmit(fx.worker, 0);
    struct return_path path = deferred_path(VLAN_NONE);
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(fx.pool, all, FIXTURE_POOL_MBUFS), 0);
    CU_ASSERT_FALSE(transmit.send(transmit.state, &path, (const uint8_t *)"x", 1));
    CU_ASSERT_EQUAL(count(COUNTER_tx_no_buffer), 1);
    rte_pktmbuf_free_bulk(all, FIXTURE_POOL_MBUFS);
}

static void test_deferred_answer_longer_than_the_mtu_is_counted_and_forgotten(void)
{
    static const uint8_t payload[1473];
    struct udp_transmit transmit = worker_transmit(fx.worker, 0);
    struct return_path path = deferred_path(0x0123);
    CU_ASSERT(transmit.send(transmit.state, &path, payload, 1472));
    CU_ASSERT(transmit.send(transmit.state, &path, payload, 1473)); /* trying again would not help */
    CU_ASSERT_EQUAL(count(COUNTER_tx_too_long), 1);
    turn();
    CU_ASSERT_EQUAL(fx.port.out_count, 1);
}

static void test_deferred_answer_leaves_by_the_port_of_its_local_address(void)
{
    static struct frame_port second;
    second = (struct frame_port){.in_count = 0};
    fx.config.ports = 2;
    fx.config.port[1] = fx.config.port[0];
    fx.config.port[1].queue = frame_port_queue(&second);
    fx.config.port[1].address = address_from_ip4(rte_cpu_to_be_32(frame_ip4(198, 19, 0, 1)));
    fx.config.port[1].mac.addr_bytes[5] = 0x02;
    fixture_restart_worker();
    struct udp_transmit transmit = worker_transmit(fx.worker, 0);
    struct return_path path = deferred_path(VLAN_NONE);
    path.flow.local = fx.config.port[1].address;
    CU_ASSERT(transmit.send(transmit.state, &path, (const uint8_t *)"x", 1));
    turn();
    CU_ASSERT_EQUAL(fx.port.out_count, 0);
    CU_ASSERT_EQUAL_FATAL(second.out_count, 1);
    CU_ASSERT_EQUAL(rte_pktmbuf_mtod(second.out[0], const uint8_t *)[11], 0x02);
    frame_port_clear(&second);
}

static void test_forwards_what_control_sends(void)
{
    struct frame frame = {.length = 60};
    struct rte_mbuf *mbuf = push(&frame);
    fx.port.in_count = 0;
    CU_ASSERT_EQUAL(rte_ring_enqueue(fx.from_control, mbuf), 0);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 1);
    CU_ASSERT_PTR_EQUAL(fx.port.out[0], mbuf);
}

/* ---- buffers and offloads ---- */

/* The frame's bytes from `split` on move to a second segment. */
static void split_frame(struct rte_mbuf *mbuf, uint16_t split)
{
    struct rte_mbuf *rest = rte_pktmbuf_alloc(fx.pool);
    uint16_t rest_bytes = (uint16_t)(mbuf->data_len - split);
    memcpy(rte_pktmbuf_append(rest, rest_bytes), rte_pktmbuf_mtod_offset(mbuf, void *, split), rest_bytes);
    CU_ASSERT_EQUAL(rte_pktmbuf_trim(mbuf, rest_bytes), 0);
    CU_ASSERT_EQUAL(rte_pktmbuf_chain(mbuf, rest), 0);
}

static void test_joins_segments_at_every_split(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    frame_udp(&request, &fields, "in two pieces", 13);
    for (uint16_t split = 0; split < request.length; split++) {
        frame_port_clear(&fx.port);
        split_frame(push(&request), split);
        turn();
        CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 1);
        CU_ASSERT_EQUAL(fx.port.out[0]->nb_segs, 1);
        check_reply(rte_pktmbuf_mtod(fx.port.out[0], const uint8_t *), fx.port.out[0]->pkt_len, &request,
                    "in two pieces", 13);
    }
}

static void test_drops_segments_that_do_not_fit_one_buffer(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    uint8_t payload[1400] = {0};
    frame_udp(&request, &fields, payload, sizeof payload);
    struct rte_mbuf *mbuf = push(&request);
    split_frame(mbuf, 700);
    /* no tailroom in the first segment */
    uint16_t shift = (uint16_t)(rte_pktmbuf_tailroom(mbuf) - 10);
    memmove(rte_pktmbuf_mtod_offset(mbuf, uint8_t *, shift), rte_pktmbuf_mtod(mbuf, uint8_t *), 700);
    mbuf->data_off = (uint16_t)(mbuf->data_off + shift);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(count(COUNTER_rx_multi_segment), 1);
}

static void test_leaves_checksums_to_a_device_that_fills_them(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    fx.config.port[0].tx_checksum_offload = true;
    fixture_restart_worker();
    frame_udp(&request, &fields, "offload", 7);
    const uint8_t *reply = expect_answer(&request, &length);
    const struct rte_mbuf *mbuf = fx.port.out[0];
    CU_ASSERT_EQUAL(mbuf->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
    CU_ASSERT_EQUAL(mbuf->l2_len, 14);
    CU_ASSERT_EQUAL(mbuf->l3_len, 20);
    CU_ASSERT_EQUAL(frame_get16(reply + 14 + 10), 0);
    /* what the device continues from: the pseudo-header's sum */
    CU_ASSERT_EQUAL(frame_get16(reply + 34 + 6), frame_sum(17 + 15, reply + 14 + 12, 8));
}

static void test_believes_a_device_only_when_it_was_asked(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    frame_udp(&request, &fields, "checksum", 8);
    request.bytes[14 + 28] ^= 1;
    const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    const uint64_t bad = RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD;

    push(&request)->ol_flags |= good;
    turn();
    CU_ASSERT_EQUAL(count(COUNTER_udp_bad_checksum), 1);

    fx.config.port[0].rx_checksum_offload = true;
    fixture_restart_worker();
    push(&request)->ol_flags |= good;
    turn();
    CU_ASSERT_EQUAL(count(COUNTER_udp_bad_checksum), 1);
    CU_ASSERT_EQUAL(fx.echo.datagrams, 1);

    push(&request)->ol_flags |= bad;
    push(&request); /* unknown */
    turn();
    CU_ASSERT_EQUAL(count(COUNTER_udp_bad_checksum), 3);
    CU_ASSERT_EQUAL(fx.echo.datagrams, 1);
}

static void test_a_computed_zero_checksum_goes_out_as_ones(void)
{
    /* one word of payload chosen so that the reply's sum is all ones before it is complemented */
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    uint8_t payload[2] = {0, 0};
    frame_udp(&request, &fields, payload, 2);
    frame_set16(payload, frame_get16(request.bytes + 34 + 6));
    frame_udp(&request, &fields, payload, 2);
    CU_ASSERT_EQUAL(frame_get16(request.bytes + 34 + 6), 0xFFFF);
    const uint8_t *reply = expect_answer(&request, &length);
    CU_ASSERT_EQUAL(frame_get16(reply + 34 + 6), 0xFFFF);
}

static void test_answers_nothing_before_a_service_is_set(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    frame_udp(&frame, &fields, "early", 5);
    worker_destroy(fx.worker);
    fx.worker = worker_create(&fx.config, SOCKET_ID_ANY);
    push(&frame);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(fx.port.out_count, 0);
    CU_ASSERT_EQUAL(count(COUNTER_udp_unanswered), 1);
}

int main(void)
{
    fixture_create();
    static CU_TestInfo tests[] = {
#define TEST(name) {(char *)#name, name}
        TEST(test_answers_a_datagram_with_swapped_addresses),
        TEST(test_answers_every_payload_length),
        TEST(test_answers_under_the_tag_of_the_request),
        TEST(test_answers_under_a_tag_that_the_device_took_out),
        TEST(test_skips_ip_options_and_answers_without_them),
        TEST(test_ignores_padding_behind_the_packet),
        TEST(test_gathers_a_burst_into_one_call),
        TEST(test_frees_what_the_service_leaves_unanswered),
        TEST(test_reply_may_be_longer_than_the_request),
        TEST(test_counts_and_frees_what_a_full_ring_refuses),
        TEST(test_sends_a_deferred_answer_at_the_end_of_the_turn),
        TEST(test_deferred_answers_beyond_one_burst_all_leave),
        TEST(test_deferred_answer_without_a_buffer_is_refused),
        TEST(test_deferred_answer_longer_than_the_mtu_is_counted_and_forgotten),
        TEST(test_deferred_answer_leaves_by_the_port_of_its_local_address),
        TEST(test_forwards_what_control_sends),
        TEST(test_joins_segments_at_every_split),
        TEST(test_drops_segments_that_do_not_fit_one_buffer),
        TEST(test_leaves_checksums_to_a_device_that_fills_them),
        TEST(test_believes_a_device_only_when_it_was_asked),
        TEST(test_a_computed_zero_checksum_goes_out_as_ones),
        TEST(test_answers_nothing_before_a_service_is_set),
        CU_TEST_INFO_NULL,
    };
    return suite_run_each("worker", fixture_reset, fixture_check_no_leak, tests);
}
