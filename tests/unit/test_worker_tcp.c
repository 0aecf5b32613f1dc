/* TCP through a whole worker: which frames reach it, how its segments leave, and who hears ICMP errors. */
#include <CUnit/Basic.h>

#include "suite.h"
#include "worker_fixture.h"

enum { SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, POOL_MBUFS = 255 };

/* A service that sends back what it gets. */
static size_t echo_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    return stream_write(stream, bytes, length);
}

static void echo_ended(struct stream *stream)
{
    stream_close(stream);
}

static void nothing_to_do(struct stream *stream)
{
    (void)stream;
}

static void echo_closed(struct stream *stream, enum stream_end end)
{
    (void)stream, (void)end;
}

static const struct stream_events echo_events = {
    .received = echo_received,
    .ended = echo_ended,
    .writable = nothing_to_do,
    .expired = nothing_to_do,
    .closed = echo_closed,
};

static bool echo_accepted(void *state, struct stream *stream)
{
    (void)state;
    stream->events = &echo_events;
    return true;
}

static uint64_t entropy;
static struct rte_mempool *pool;
static struct tcp *tcp;

static void attach_tcp(void)
{
    struct random_source random = seeded_source(&entropy);
    struct tcp_config config = {
        .pool = pool,
        .output = worker_tcp_output(fx.worker),
        .counters = fx.counters,
        .random = &random,
        .connections_max = 16,
        .time_wait_max = 16,
        .half_open_max = 8,
        .send_frames_max = 64,
        .receive_frames_max = 64,
        .send_bytes_max = 65536,
        .receive_bytes_max = 65536,
        .numa_node = SOCKET_ID_ANY,
    };
    tcp = tcp_create(&config, fx.now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tcp);
    tcp_listen(tcp, FIXTURE_UDP_PORT, (struct stream_acceptor){.accepted = echo_accepted});
    worker_set_tcp(fx.worker, tcp);
}

static void begin(void)
{
    fixture_reset();
    attach_tcp();
}

static void restart(void)
{
    tcp_destroy(tcp);
    fixture_restart_worker();
    attach_tcp();
}

static void end(void)
{
    tcp_destroy(tcp);
    fixture_check_no_leak();
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL_MBUFS);
}

/* The one frame that left is whole: to the peer's station, lengths and both checksums right. Returns its TCP header. */
static const uint8_t *expect_segment(size_t *payload_bytes)
{
    CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 1);
    const struct rte_mbuf *mbuf = fx.port.out[0];
    const uint8_t *bytes = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    const uint8_t *ip4 = bytes + (frame_get16(bytes + 12) == 0x8100 ? 18 : 14), *segment = ip4 + 20;
    size_t length = (size_t)(bytes + mbuf->data_len - segment);
    CU_ASSERT(memcmp(bytes, peer_mac, 6) == 0 && memcmp(bytes + 6, node_mac, 6) == 0);
    CU_ASSERT_EQUAL(frame_get16(ip4 + 2), 20 + length);
    CU_ASSERT_EQUAL(ip4[9], 6);
    CU_ASSERT_EQUAL(frame_sum(0, ip4, 20), 0xFFFF);
    CU_ASSERT_EQUAL(frame_get32(ip4 + 12), usual_fields().destination);
    CU_ASSERT_EQUAL(frame_get32(ip4 + 16), usual_fields().source);
    if (!(mbuf->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM)) {
        uint32_t sum = frame_sum(6 + (uint32_t)length, ip4 + 12, 8);
        CU_ASSERT_EQUAL(frame_sum(sum, segment, length), 0xFFFF);
    }
    *payload_bytes = length - (segment[12] >> 4) * 4u;
    return segment;
}

static const uint8_t *answer_to(const struct frame *frame, size_t *payload_bytes)
{
    frame_port_clear(&fx.port);
    push(frame);
    turn();
    return expect_segment(payload_bytes);
}

/* Opens a connection; returns the node's initial sequence number. */
static uint32_t open_connection(const struct frame_fields *fields)
{
    struct frame frame;
    size_t payload_bytes;
    frame_tcp(&frame, fields, &(struct frame_segment){.seq = 999, .flags = SYN, .window = 60000}, NULL, 0);
    const uint8_t *segment = answer_to(&frame, &payload_bytes);
    CU_ASSERT_EQUAL(segment[13], SYN | ACK);
    CU_ASSERT_EQUAL(frame_get32(segment + 8), 1000);
    uint32_t iss = frame_get32(segment + 4);
    frame_tcp(&frame, fields,
              &(struct frame_segment){.seq = 1000, .ack = iss + 1, .flags = ACK, .window = 60000}, NULL, 0);
    frame_port_clear(&fx.port);
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(fx.port.out_count, 0);
    return iss;
}

/* The node says "hello" back, and is told that it arrived. */
static void talk(const struct frame_fields *fields, uint32_t iss)
{
    struct frame frame;
    size_t payload_bytes;
    struct frame_segment request = {.seq = 1000, .ack = iss + 1, .flags = PSH | ACK, .window = 60000};
    frame_tcp(&frame, fields, &request, "hello", 5);
    const uint8_t *segment = answer_to(&frame, &payload_bytes);
    CU_ASSERT_EQUAL(payload_bytes, 5);
    CU_ASSERT_EQUAL(frame_get32(segment + 8), 1005);
    CU_ASSERT(memcmp(segment + (segment[12] >> 4) * 4, "hello", 5) == 0);
    CU_ASSERT_EQUAL(tcp_counts(tcp).send_frames, 1);
    struct frame_segment acknowledgement = {.seq = 1005, .ack = iss + 6, .flags = ACK, .window = 60000};
    frame_tcp(&frame, fields, &acknowledgement, NULL, 0);
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(tcp_counts(tcp).send_frames, 0);
}

/* ---- which frames reach it ---- */

static void test_plain_segments_are_answered(void)
{
    struct frame_fields fields = usual_fields();
    talk(&fields, open_connection(&fields));
    CU_ASSERT_EQUAL(count(COUNTER_tcp_arrivals), 4);
    CU_ASSERT_EQUAL(count(COUNTER_tcp_fast), 2);
}

static void test_tagged_segments_and_ip_options_are_answered(void)
{
    static const uint8_t options[4] = {1, 1, 1, 0};
    struct frame_fields fields = usual_fields();
    fields.vlan_tci = 7;
    fields.options = options;
    fields.options_bytes = sizeof options;
    talk(&fields, open_connection(&fields));
    const uint8_t *bytes = rte_pktmbuf_mtod(fx.port.out[0], const uint8_t *);
    CU_ASSERT_EQUAL(frame_get32(bytes + 12), 0x81000007);
}

static void test_short_frames_are_padded_by_the_link_and_cut(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    size_t payload_bytes;
    frame_tcp(&frame, &fields, &(struct frame_segment){.seq = 999, .flags = SYN, .window = 60000}, NULL, 0);
    frame_put(&frame, "padded", 6);
    CU_ASSERT_EQUAL(frame_get32(answer_to(&frame, &payload_bytes) + 8), 1000);
}

static void test_damaged_segments_are_dropped(void)
{
    struct frame_fields fields = usual_fields();
    struct frame_segment syn = {.seq = 999, .flags = SYN, .window = 60000};
    struct frame good, frame;
    frame_tcp(&good, &fields, &syn, "data", 4);
    for (size_t i = 34; i < good.length; i++) {
        frame = good;
        frame.bytes[i] ^= 0x10;
        expect_dropped(&frame, COUNTER_tcp_bad_checksum);
    }
    for (unsigned length = 20; length < 40; length++) {
        frame = good;
        frame_set16(frame.bytes + 16, length);
        frame_fix_ip4(&frame);
        expect_dropped(&frame, COUNTER_tcp_truncated);
    }
    fields.source_port = 0;
    frame_tcp(&frame, &fields, &syn, NULL, 0);
    expect_dropped(&frame, COUNTER_tcp_no_port);
    fields.source_port = 40000, fields.destination_port = 0;
    frame_tcp(&frame, &fields, &syn, NULL, 0);
    expect_dropped(&frame, COUNTER_tcp_no_port);
}

static void test_a_node_without_tcp_is_silent(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    worker_set_tcp(fx.worker, NULL);
    frame_tcp(&frame, &fields, &(struct frame_segment){.seq = 999, .flags = SYN, .window = 60000}, NULL, 0);
    expect_dropped(&frame, COUNTER_tcp_absent);
}

/* ---- what the device says and does ---- */

static void test_the_device_s_word_counts_where_it_was_asked(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fx.config.port[0].rx_checksum_offload = true;
    restart();
    frame_tcp(&frame, &fields, &(struct frame_segment){.seq = 999, .flags = SYN, .window = 60000}, NULL, 0);
    frame.bytes[34 + 16] ^= 1;
    push(&frame)->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD;
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(count(COUNTER_tcp_bad_checksum), 2);
    push(&frame)->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    turn();
    CU_ASSERT_EQUAL(count(COUNTER_tcp_bad_checksum), 2);
    CU_ASSERT_EQUAL(fx.port.out_count, 1);
}

static void test_the_device_is_asked_for_checksums_where_it_can(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fx.config.port[0].tx_checksum_offload = true;
    restart();
    frame_tcp(&frame, &fields, &(struct frame_segment){.seq = 999, .flags = SYN, .window = 60000}, NULL, 0);
    frame_port_clear(&fx.port);
    push(&frame);
    turn();
    CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 1);
    const struct rte_mbuf *mbuf = fx.port.out[0];
    uint64_t wanted = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
    CU_ASSERT_EQUAL(mbuf->ol_flags & wanted, wanted);
    CU_ASSERT(mbuf->l2_len == 14 && mbuf->l3_len == 20);
    const uint8_t *ip4 = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, 14);
    uint32_t length = (uint32_t)mbuf->data_len - 34;
    CU_ASSERT_EQUAL(frame_get16(ip4 + 20 + 16), frame_sum(6 + length, ip4 + 12, 8));
}

/* ---- ICMP errors ---- */

struct quoted {
    uint32_t source, destination;
    uint16_t source_port, destination_port;
    uint32_t seq;
    unsigned protocol, version_and_length;
};

static void frame_icmp_error(struct frame *frame, unsigned type, unsigned code, unsigned mtu,
                             const struct quoted *quoted)
{
    struct frame_fields fields = usual_fields();
    frame_ip4_header(frame, &fields, 1, 8 + 28);
    uint8_t *icmp = frame->bytes + frame->length;
    frame_put16(frame, type << 8 | code);
    frame_put16(frame, 0);
    frame_put32(frame, mtu);
    frame_put8(frame, quoted->version_and_length);
    frame_put8(frame, 0);
    frame_put16(frame, 1500);
    frame_put32(frame, 0x12344000);
    frame_put8(frame, 60);
    frame_put8(frame, quoted->protocol);
    frame_put16(frame, 0);
    frame_put32(frame, quoted->source);
    frame_put32(frame, quoted->destination);
    frame_put16(frame, quoted->source_port);
    frame_put16(frame, quoted->destination_port);
    frame_put32(frame, quoted->seq);
    frame_set16(icmp + 2, frame_checksum(frame_sum(0, icmp, 36)));
}

static struct quoted usual_quote(uint32_t seq)
{
    struct frame_fields fields = usual_fields();
    return (struct quoted){.source = fields.destination,
                           .destination = fields.source,
                           .source_port = FIXTURE_UDP_PORT,
                           .destination_port = 40000,
                           .seq = seq,
                           .protocol = 6,
                           .version_and_length = 0x45};
}

static void test_icmp_errors_about_others_are_dropped(void)
{
    struct frame frame;
    struct quoted quoted = usual_quote(1);
    quoted.protocol = 17;
    frame_icmp_error(&frame, 3, 4, 576, &quoted);
    expect_dropped(&frame, COUNTER_icmp_not_ours);
    quoted = usual_quote(1);
    quoted.source++;
    frame_icmp_error(&frame, 3, 4, 576, &quoted);
    expect_dropped(&frame, COUNTER_icmp_not_ours);
    for (unsigned i = 0; i < 3; i++) {
        quoted = usual_quote(1);
        quoted.version_and_length = (unsigned[]){0x65, 0x44, 0x4F}[i];
        frame_icmp_error(&frame, 3, 4, 576, &quoted);
        expect_dropped(&frame, COUNTER_icmp_bad_quote);
    }
    quoted = usual_quote(1);
    frame_icmp_error(&frame, 3, 4, 576, &quoted);
    frame.bytes[50] ^= 1;
    expect_dropped(&frame, COUNTER_icmp_bad_checksum);
}

static void test_the_rate_of_icmp_errors_is_limited(void)
{
    struct frame frame;
    struct quoted quoted = usual_quote(1);
    frame_icmp_error(&frame, 3, 4, 576, &quoted);
    for (unsigned i = 0; i < 120; i++) {
        push(&frame);
        turn();
    }
    CU_ASSERT_EQUAL(count(COUNTER_icmp_errors), 100);
    CU_ASSERT_EQUAL(count(COUNTER_icmp_rate_limited), 20);
}

/* Sends 1,400 bytes that the peer's echo makes the node send back; returns how long the answer's segment was. */
static size_t echoed_at_once(const struct frame_fields *fields, uint32_t iss)
{
    static const uint8_t data[1400];
    struct frame frame;
    size_t payload_bytes;
    frame_tcp(&frame, fields,
              &(struct frame_segment){.seq = 1000, .ack = iss + 1, .flags = ACK, .window = 60000}, data,
              1400);
    frame_port_clear(&fx.port);
    push(&frame);
    turn();
    CU_ASSERT_FATAL(fx.port.out_count >= 1);
    const uint8_t *ip4 = rte_pktmbuf_mtod_offset(fx.port.out[0], const uint8_t *, 14);
    payload_bytes = frame_get16(ip4 + 2) - 20u - (ip4[32] >> 4) * 4u;
    return payload_bytes;
}

static void test_an_icmp_error_reaches_the_connection_it_is_about(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    uint32_t iss = open_connection(&fields);
    size_t before = echoed_at_once(&fields, iss);
    CU_ASSERT_EQUAL(before, 536); /* the peer's SYN had no MSS option: RFC 9293 3.7.1 */
    struct quoted quoted = usual_quote(iss + 1);
    frame_icmp_error(&frame, 3, 4, 400, &quoted);
    frame_port_clear(&fx.port);
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(count(COUNTER_icmp_errors), 1);
    CU_ASSERT_FATAL(fx.port.out_count >= 1); /* what was too long is sent again, in pieces */
    for (unsigned i = 0; i < fx.port.out_count; i++)
        CU_ASSERT(fx.port.out[i]->data_len <= 14 + 400);
}

static void test_icmp_errors_are_given_to_every_worker(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    struct tcp_icmp_error error = {.type = 99};
    struct rte_ring *own = rte_ring_create_elem("own", sizeof error, 16, SOCKET_ID_ANY, RING_F_SC_DEQ);
    struct rte_ring *other = rte_ring_create_elem("other", sizeof error, 16, SOCKET_ID_ANY, RING_F_SC_DEQ);
    fx.config.workers = 2;
    fx.config.icmp_errors_of[0] = own;
    fx.config.icmp_errors_of[1] = other;
    restart();
    uint32_t iss = open_connection(&fields);
    echoed_at_once(&fields, iss);
    struct quoted quoted = usual_quote(iss + 1);
    frame_icmp_error(&frame, 3, 4, 400, &quoted);
    push(&frame);
    turn();
    CU_ASSERT_EQUAL(rte_ring_count(own), 0);
    CU_ASSERT_EQUAL_FATAL(rte_ring_dequeue_elem(other, &error, sizeof error), 0);
    CU_ASSERT(error.type == 3 && error.code == 4 && error.mtu == 400 && error.seq == iss + 1);
    CU_ASSERT_EQUAL(error.flow.peer_port, rte_cpu_to_be_16(40000));
    /* and one that another worker has received is taken */
    error.mtu = 300;
    CU_ASSERT_EQUAL(rte_ring_enqueue_elem(own, &error, sizeof error), 0);
    frame_port_clear(&fx.port);
    turn();
    CU_ASSERT_EQUAL(rte_ring_count(own), 0);
    CU_ASSERT_FATAL(fx.port.out_count >= 1);
    CU_ASSERT(fx.port.out[0]->data_len <= 14 + 300);
    fx.config.workers = 0;
    memset(fx.config.icmp_errors_of, 0, sizeof fx.config.icmp_errors_of);
    restart();
    rte_ring_free(own);
    rte_ring_free(other);
}

int main(void)
{
    static CU_TestInfo tests[] = {
#define TEST(name) {(char *)#name, name}
        TEST(test_plain_segments_are_answered),
        TEST(test_tagged_segments_and_ip_options_are_answered),
        TEST(test_short_frames_are_padded_by_the_link_and_cut),
        TEST(test_damaged_segments_are_dropped),
        TEST(test_a_node_without_tcp_is_silent),
        TEST(test_the_device_s_word_counts_where_it_was_asked),
        TEST(test_the_device_is_asked_for_checksums_where_it_can),
        TEST(test_icmp_errors_about_others_are_dropped),
        TEST(test_the_rate_of_icmp_errors_is_limited),
        TEST(test_an_icmp_error_reaches_the_connection_it_is_about),
        TEST(test_icmp_errors_are_given_to_every_worker),
        CU_TEST_INFO_NULL,
    };
    fixture_create();
    pool = rte_pktmbuf_pool_create("tcp", POOL_MBUFS, 0, TCP_FRAME_PRIVATE_BYTES, RTE_MBUF_DEFAULT_BUF_SIZE,
                                   SOCKET_ID_ANY);
    entropy = seeded_start(seeded_from_environment(5));
    return suite_run_each("worker tcp", begin, end, tests);
}
