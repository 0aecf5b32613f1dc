/* What a worker takes, answers and drops, layer by layer: each reason provoked, each counter checked. */
#include <CUnit/Basic.h>

#include "worker_fixture.h"
#include "suite.h"

static const uint8_t broadcast_mac[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, no_mac[6];

static struct frame usual_datagram(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    frame_udp(&frame, &fields, "0123456789abcdef", 16);
    return frame;
}

/* ---- Ethernet ---- */

static void test_drops_frames_by_ethernet_rules(void)
{
    struct frame good = usual_datagram(), frame = good;
    frame.bytes[5] ^= 1;
    expect_dropped(&frame, COUNTER_eth_not_ours);
    frame = good;
    memcpy(frame.bytes, "\x01\x00\x5e\x00\x00\x01", 6);
    expect_dropped(&frame, COUNTER_eth_multicast);
    frame = good;
    memcpy(frame.bytes, broadcast_mac, 6);
    expect_dropped(&frame, COUNTER_ip4_broadcast);
    frame = good;
    frame.bytes[6] |= 1;
    expect_dropped(&frame, COUNTER_eth_bad_source);
    frame = good;
    memcpy(frame.bytes + 6, node_mac, 6);
    expect_dropped(&frame, COUNTER_eth_bad_source);
    frame = good;
    frame_set16(frame.bytes + 12, 0x86DD);
    expect_dropped(&frame, COUNTER_eth_unknown_type);
    frame_set16(frame.bytes + 12, 46); /* an 802.3 length */
    expect_dropped(&frame, COUNTER_eth_unknown_type);
    frame_set16(frame.bytes + 12, 0x88A8);
    expect_dropped(&frame, COUNTER_eth_unknown_type);
}

static void test_drops_frames_by_vlan_rules(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fields.vlan_tci = 0x0064;
    frame_udp(&frame, &fields, "x", 1);
    frame_set16(frame.bytes + 16, 0x8100);
    expect_dropped(&frame, COUNTER_vlan_nested);
    frame_set16(frame.bytes + 16, 0x88A8);
    expect_dropped(&frame, COUNTER_vlan_nested);
    frame_udp(&frame, &fields, "x", 1);
    frame_set16(frame.bytes + 14, 0xFFFF);
    expect_dropped(&frame, COUNTER_vlan_nested);
    frame_udp(&frame, &fields, "x", 1);
    frame.length = 17;
    expect_dropped(&frame, COUNTER_vlan_truncated);
}

static void test_drops_frames_longer_than_the_mtu(void)
{
    static const uint8_t payload[1500];
    struct frame_fields fields = usual_fields();
    for (int tagged = 0; tagged < 2; tagged++) {
        struct frame frame;
        fields.vlan_tci = tagged ? 7 : FRAME_UNTAGGED;
        frame_udp(&frame, &fields, payload, 1472);
        push(&frame);
        turn();
        CU_ASSERT_EQUAL(fx.port.out_count, 1u + (unsigned)tagged);
        frame_udp(&frame, &fields, payload, 1473);
        expect_dropped(&frame, COUNTER_eth_oversized);
    }
}

/* The first reason, from the outside in, for a frame cut after `length` bytes. */
static enum counter truncation_reason(size_t length, size_t l3, bool udp)
{
    if (length < 14)
        return COUNTER_eth_runt;
    if (length < l3)
        return COUNTER_vlan_truncated;
    if (!udp)
        return COUNTER_arp_truncated;
    return length < l3 + 20 ? COUNTER_ip4_truncated : COUNTER_ip4_bad_total_length;
}

static void test_drops_frames_truncated_at_every_length(void)
{
    struct frame_fields fields = usual_fields();
    for (int shape = 0; shape < 4; shape++) {
        struct frame frame;
        bool udp = shape & 1;
        fields.vlan_tci = shape & 2 ? 0x0064 : FRAME_UNTAGGED;
        if (udp)
            frame_udp(&frame, &fields, "0123456789abcdef", 16);
        else
            frame_arp(&frame, &fields, 1, peer_mac, fields.source, no_mac, fields.destination);
        for (size_t length = 0; length < frame.length; length++) {
            struct frame cut = frame;
            cut.length = length;
            expect_dropped(&cut, truncation_reason(length, frame_l3(&frame), udp));
        }
    }
}

/* ---- ARP ---- */

static void check_arp_reply(const uint8_t *reply, size_t length, size_t l3)
{
    static const uint8_t fixed[8] = {0, 1, 8, 0, 6, 4, 0, 2};
    CU_ASSERT_EQUAL(length, l3 + 28);
    CU_ASSERT(memcmp(reply, peer_mac, 6) == 0);
    CU_ASSERT(memcmp(reply + 6, node_mac, 6) == 0);
    CU_ASSERT_EQUAL(frame_get16(reply + l3 - 2), 0x0806);
    CU_ASSERT(memcmp(reply + l3, fixed, sizeof fixed) == 0);
    CU_ASSERT(memcmp(reply + l3 + 8, node_mac, 6) == 0);
    CU_ASSERT_EQUAL(frame_get32(reply + l3 + 14), frame_ip4(198, 18, 0, 1));
    CU_ASSERT(memcmp(reply + l3 + 18, peer_mac, 6) == 0);
}

static void test_answers_arp_requests_for_our_address(void)
{
    struct frame_fields fields = usual_fields();
    struct frame request;
    size_t length;
    for (int shape = 0; shape < 8; shape++) {
        fields.vlan_tci = shape & 1 ? 0xA064 : FRAME_UNTAGGED;
        memcpy(fields.to, shape & 2 ? broadcast_mac : node_mac, 6);
        uint32_t sender = shape & 4 ? 0 : fields.source; /* 0: an RFC 5227 probe */
        frame_arp(&request, &fields, 1, peer_mac, sender, no_mac, fields.destination);
        memset(request.bytes + request.length, 0xAA, 60 - request.length); /* padding */
        request.length = 60;
        const uint8_t *reply = expect_answer(&request, &length);
        check_arp_reply(reply, length, frame_l3(&request));
        CU_ASSERT_EQUAL(frame_get32(reply + frame_l3(&request) + 24), sender);
        if (shape & 1)
            CU_ASSERT_EQUAL(frame_get16(reply + 14), 0xA064);
    }
    CU_ASSERT_EQUAL(count(COUNTER_arp_answered), 8);
}

static void test_hands_arp_that_concerns_us_to_control(void)
{
    struct frame_fields fields = usual_fields();
    uint32_t us = fields.destination, peer = fields.source;
    struct frame frames[4];
    frame_arp(&frames[0], &fields, 2, peer_mac, peer, node_mac, us);        /* an answer */
    frame_arp(&frames[1], &fields, 1, peer_mac, peer, no_mac, peer);        /* gratuitous request */
    frame_arp(&frames[2], &fields, 2, peer_mac, peer, broadcast_mac, peer); /* gratuitous reply */
    frame_arp(&frames[3], &fields, 1, peer_mac, us, no_mac, us);            /* a conflict */
    for (unsigned i = 0; i < 4; i++) {
        struct rte_mbuf *mbuf = push(&frames[i]);
        turn();
        void *handed = NULL;
        CU_ASSERT_EQUAL(rte_ring_dequeue(fx.to_control, &handed), 0);
        CU_ASSERT_PTR_EQUAL(handed, mbuf);
        CU_ASSERT_EQUAL(mbuf->port, 0);
        CU_ASSERT_EQUAL(mbuf->pkt_len, frames[i].length);
        CU_ASSERT(memcmp(rte_pktmbuf_mtod(mbuf, void *), frames[i].bytes, frames[i].length) == 0);
        rte_pktmbuf_free(mbuf);
    }
    CU_ASSERT_EQUAL(fx.port.out_count, 0);
    CU_ASSERT_EQUAL(count(COUNTER_arp_to_control), 4);
}

static void test_drops_arp_that_is_malformed_or_about_others(void)
{
    struct frame_fields fields = usual_fields();
    struct frame good, frame;
    uint32_t us = fields.destination, peer = fields.source;
    frame_arp(&good, &fields, 1, peer_mac, peer, no_mac, us);
    static const struct {
        size_t at;
        uint8_t value;
        enum counter reason;
    } changes[] = {
        {14 + 1, 2, COUNTER_arp_bad_format},    {14 + 2, 9, COUNTER_arp_bad_format},
        {14 + 4, 8, COUNTER_arp_bad_format},    {14 + 5, 16, COUNTER_arp_bad_format},
        {14 + 7, 0, COUNTER_arp_bad_format},    {14 + 7, 3, COUNTER_arp_bad_format},
        {14 + 8, 1, COUNTER_arp_bad_sender},    {14 + 14, 127, COUNTER_arp_bad_sender},
        {14 + 14, 224, COUNTER_arp_bad_sender}, {14 + 14, 0, COUNTER_arp_bad_sender},
        {14 + 27, 2, COUNTER_arp_not_ours},
    };
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        frame = good;
        frame.bytes[changes[i].at] = changes[i].value;
        expect_dropped(&frame, changes[i].reason);
    }
    frame_arp(&frame, &fields, 1, no_mac, peer, no_mac, us);
    expect_dropped(&frame, COUNTER_arp_bad_sender);
    frame_arp(&frame, &fields, 2, peer_mac, 0, node_mac, us);
    expect_dropped(&frame, COUNTER_arp_bad_sender);
    fields.vlan_tci = 5;
    frame_arp(&frame, &fields, 2, peer_mac, peer, node_mac, us);
    expect_dropped(&frame, COUNTER_arp_tagged);
}

static void test_drops_arp_when_control_does_not_keep_up(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    frame_arp(&frame, &fields, 2, peer_mac, fields.source, node_mac, fields.destination);
    for (unsigned i = 0; i < 15; i++) {
        push(&frame);
        turn();
    }
    CU_ASSERT_EQUAL(count(COUNTER_arp_to_control), 15);
    expect_dropped(&frame, COUNTER_arp_control_full);
    fx.config.to_control = NULL;
    fixture_restart_worker();
    expect_dropped(&frame, COUNTER_arp_control_full);
}

/* ---- IPv4 ---- */

/* Each row changes one byte of a good datagram; the header checksum is put right again unless the row is about it.
 * `tagged` frames take the same rules. */
static void test_validates_ip4_headers(void)
{
    static const struct {
        size_t at;
        uint8_t value;
        bool keep_checksum;
        unsigned reason; /* COUNTER_COUNT: accepted */
    } rows[] = {
        {0, 0x55, false, COUNTER_ip4_bad_version},
        {0, 0x65, false, COUNTER_ip4_bad_version},
        {0, 0x44, true, COUNTER_ip4_bad_header_length},
        {0, 0x40, true, COUNTER_ip4_bad_header_length},
        {0, 0x4F, true, COUNTER_ip4_truncated},
        {1, 0xB8, false, COUNTER_COUNT}, /* TOS does not matter */
        {2, 0x01, false, COUNTER_ip4_bad_total_length},
        {3, 19, false, COUNTER_ip4_bad_total_length},
        {3, 45, false, COUNTER_ip4_bad_total_length},
        {3, 27, false, COUNTER_udp_truncated},
        {3, 43, false, COUNTER_udp_bad_length},
        {4, 0xFF, false, COUNTER_COUNT}, /* nor the id */
        {6, 0x20, false, COUNTER_ip4_fragment},
        {6, 0x01, false, COUNTER_ip4_fragment},
        {7, 0x01, false, COUNTER_ip4_fragment},
        {6, 0x00, false, COUNTER_COUNT},
        {6, 0x80, false, COUNTER_COUNT}, /* the reserved bit is ignored */
        {8, 0, false, COUNTER_COUNT},    /* RFC 1122 3.2.1.7 */
        {9, 41, false, COUNTER_ip4_unknown_protocol},
        {9, 6, false, COUNTER_tcp_bad_checksum},
        {9, 47, false, COUNTER_ip4_unknown_protocol},
        {10, 0x00, true, COUNTER_ip4_bad_checksum},
        {11, 0x00, true, COUNTER_ip4_bad_checksum},
        {12, 0, false, COUNTER_ip4_bad_source},
        {12, 127, false, COUNTER_ip4_bad_source},
        {12, 224, false, COUNTER_ip4_bad_source},
        {12, 240, false, COUNTER_ip4_bad_source},
        {12, 255, false, COUNTER_ip4_bad_source},
        {12, 223, false, COUNTER_udp_bad_checksum}, /* a unicast source, but not the one summed */
        {15, 1, false, COUNTER_ip4_bad_source},     /* ourselves */
        {15, 255, false, COUNTER_ip4_bad_source},   /* our network's broadcast */
        {19, 2, false, COUNTER_ip4_not_ours},
        {19, 255, false, COUNTER_ip4_broadcast},
        {16, 224, false, COUNTER_ip4_multicast},
        {16, 239, false, COUNTER_ip4_multicast},
        {16, 240, false, COUNTER_ip4_not_ours},
    };
    struct frame_fields fields = usual_fields();
    for (unsigned i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        unsigned row = i / 2;
        struct frame frame;
        fields.vlan_tci = i & 1 ? 100 : FRAME_UNTAGGED;
        frame_udp(&frame, &fields, "0123456789abcdef", 16);
        frame.bytes[frame_l3(&frame) + rows[row].at] = rows[row].value;
        if (!rows[row].keep_checksum)
            frame_fix_ip4(&frame);
        if (rows[row].reason == COUNTER_COUNT) {
            size_t length;
            expect_answer(&frame, &length);
            frame_port_clear(&fx.port);
        } else {
            expect_dropped(&frame, (enum counter)rows[row].reason);
        }
    }
}

static void test_drops_broadcasts_of_the_limited_kind(void)
{
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fields.destination = 0xFFFFFFFF;
    frame_udp(&frame, &fields, "x", 1);
    expect_dropped(&frame, COUNTER_ip4_broadcast);
}

static void test_a_point_to_point_prefix_has_no_broadcast(void)
{
    struct frame_fields fields = usual_fields();
    fx.config.port[0].prefix_length = 31;
    fixture_restart_worker();
    struct frame frame;
    size_t length;
    fields.source = frame_ip4(198, 18, 0, 0);
    frame_udp(&frame, &fields, "x", 1);
    expect_answer(&frame, &length);
    CU_ASSERT_EQUAL(length, 14 + 28 + 1);
}

static void test_judges_ip4_options(void)
{
    static const struct {
        uint8_t options[8];
        unsigned reason;
    } rows[] = {
        {{0}, COUNTER_COUNT},
        {{1, 1, 1, 1, 1, 1, 1, 1}, COUNTER_COUNT},
        {{148, 4, 0, 0, 0}, COUNTER_COUNT},         /* router alert */
        {{68, 8, 5, 0, 0, 0, 0, 0}, COUNTER_COUNT}, /* time stamp */
        {{0, 131, 7, 4}, COUNTER_COUNT},            /* what follows the end does not matter */
        {{131, 7, 4, 1, 2, 3, 4, 0}, COUNTER_ip4_source_route},
        {{1, 137, 7, 4, 1, 2, 3, 4}, COUNTER_ip4_source_route},
        {{7, 0, 4, 0, 0, 0, 0, 0}, COUNTER_ip4_bad_options}, /* length 0 and 1: no progress */
        {{7, 1, 4, 0, 0, 0, 0, 0}, COUNTER_ip4_bad_options},
        {{7, 9, 4, 0, 0, 0, 0, 0}, COUNTER_ip4_bad_options}, /* beyond the header */
        {{1, 1, 1, 1, 1, 1, 1, 7}, COUNTER_ip4_bad_options}, /* no room for a length */
    };
    struct frame_fields fields = usual_fields();
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct frame frame;
        size_t length;
        fields.options = rows[i].options;
        fields.options_bytes = 8;
        frame_udp(&frame, &fields, "x", 1);
        if (rows[i].reason == COUNTER_COUNT)
            expect_answer(&frame, &length);
        else
            expect_dropped(&frame, (enum counter)rows[i].reason);
        frame_port_clear(&fx.port);
    }
}

/* ---- ICMP ---- */

static void test_answers_echo_requests(void)
{
    static uint8_t data[1472];
    static const size_t lengths[] = {0, 1, 7, 56, 1472};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    struct frame_fields fields = usual_fields();
    for (unsigned i = 0; i < 10; i++) {
        struct frame request;
        size_t length, n = lengths[i / 2];
        fields.vlan_tci = i & 1 ? 100 : FRAME_UNTAGGED;
        frame_echo_request(&request, &fields, data, n);
        const uint8_t *reply = expect_answer(&request, &length);
        const uint8_t *ip4 = reply + frame_l3(&request), *icmp = ip4 + 20;
        CU_ASSERT_EQUAL(length, request.length);
        CU_ASSERT(memcmp(reply, peer_mac, 6) == 0 && memcmp(reply + 6, node_mac, 6) == 0);
        CU_ASSERT_EQUAL(frame_sum(0, ip4, 20), 0xFFFF);
        CU_ASSERT_EQUAL(frame_get32(ip4 + 12), fields.destination);
        CU_ASSERT_EQUAL(frame_get32(ip4 + 16), fields.source);
        CU_ASSERT_EQUAL(frame_get16(icmp), 0);
        CU_ASSERT_EQUAL(frame_get32(icmp + 4), 0xBEEF0001);
        CU_ASSERT_EQUAL(frame_sum(0, icmp, 8 + n), 0xFFFF);
        CU_ASSERT(memcmp(icmp + 8, data, n) == 0);
    }
    CU_ASSERT_EQUAL(count(COUNTER_icmp_echo_answered), 10);
}

static void test_drops_icmp_that_is_broken_or_not_a_question(void)
{
    struct frame_fields fields = usual_fields();
    struct frame good, frame;
    frame_echo_request(&good, &fields, "data", 4);
    frame = good;
    frame.bytes[14 + 20 + 9] ^= 1;
    expect_dropped(&frame, COUNTER_icmp_bad_checksum);
    for (unsigned type = 0; type < 256; type++) {
        frame = good;
        uint8_t *icmp = frame.bytes + 34;
        icmp[0] = (uint8_t)type;
        frame_set16(icmp + 2, 0);
        frame_set16(icmp + 2, frame_checksum(frame_sum(0, icmp, 12)));
        bool error = type == 3 || type == 11 || type == 12; /* and quotes nothing */
        if (type != 8)
            expect_dropped(&frame, error ? COUNTER_icmp_truncated : COUNTER_icmp_unhandled);
    }
    frame = good;
    frame_set16(frame.bytes + 16, 27);
    frame_fix_ip4(&frame);
    expect_dropped(&frame, COUNTER_icmp_truncated);
}

static void test_does_not_answer_giant_echo_requests(void)
{
    static const uint8_t data[1473];
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fx.config.port[0].mtu = 2000;
    fixture_restart_worker();
    frame_echo_request(&frame, &fields, data, sizeof data);
    expect_dropped(&frame, COUNTER_icmp_too_long);
}

/* Pushes the frame `attempts` times at one instant; returns how many were answered. */
static unsigned answered_of(const struct frame *frame, unsigned attempts)
{
    unsigned answered = 0;
    for (unsigned i = 0; i < attempts; i++) {
        frame_port_clear(&fx.port);
        push(frame);
        turn();
        answered += fx.port.out_count;
    }
    frame_port_clear(&fx.port);
    return answered;
}

static void test_limits_the_rate_of_icmp_answers(void)
{
    struct frame_fields fields = usual_fields();
    struct frame echo, closed;
    frame_echo_request(&echo, &fields, "data", 4);
    fields.destination_port = 9;
    frame_udp(&closed, &fields, "0123456789012345678901234567890123456789", 40);

    CU_ASSERT_EQUAL(answered_of(&echo, 300), 256);
    CU_ASSERT_EQUAL(count(COUNTER_icmp_rate_limited), 44);
    CU_ASSERT_EQUAL(answered_of(&closed, 60), 50);
    CU_ASSERT_EQUAL(count(COUNTER_icmp_rate_limited), 54);
    fx.now.mono_ns += 100000000; /* 0.1 s: 10 tokens at 100 a second */
    CU_ASSERT_EQUAL(answered_of(&closed, 20), 10);
    fx.now.mono_ns -= 50000000; /* a clock that goes back gives nothing */
    CU_ASSERT_EQUAL(answered_of(&closed, 20), 0);
}

static void test_refuses_closed_ports_with_a_quote(void)
{
    static uint8_t payload[1400];
    static const size_t lengths[] = {28, 29, 100, 548, 549, 1400};
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i ^ 0x5A);
    struct frame_fields fields = usual_fields();
    fields.destination_port = 9;
    for (unsigned i = 0; i < 12; i++) {
        struct frame request;
        size_t length, n = lengths[i / 2];
        fields.vlan_tci = i & 1 ? 100 : FRAME_UNTAGGED;
        frame_udp(&request, &fields, payload, n);
        const uint8_t *reply = expect_answer(&request, &length);
        size_t l3 = frame_l3(&request), packet = request.length - l3;
        size_t quote = (packet < 576 ? packet : 576) - 28;
        const uint8_t *ip4 = reply + l3, *icmp = ip4 + 20;
        CU_ASSERT_EQUAL_FATAL(length, l3 + 28 + quote);
        CU_ASSERT(length <= request.length);
        CU_ASSERT(memcmp(reply, peer_mac, 6) == 0 && memcmp(reply + 6, node_mac, 6) == 0);
        CU_ASSERT(memcmp(reply + 12, request.bytes + 12, l3 - 12) == 0);
        CU_ASSERT_EQUAL(frame_sum(0, ip4, 20), 0xFFFF);
        CU_ASSERT_EQUAL(ip4[9], 1);
        CU_ASSERT_EQUAL(frame_get32(ip4 + 16), fields.source);
        CU_ASSERT_EQUAL(frame_get16(icmp), 0x0303);
        CU_ASSERT_EQUAL(frame_get32(icmp + 4), 0);
        CU_ASSERT_EQUAL(frame_sum(0, icmp, 8 + quote), 0xFFFF);
        CU_ASSERT(memcmp(icmp + 8, request.bytes + l3, quote) == 0);
    }
    CU_ASSERT_EQUAL(count(COUNTER_icmp_unreachable_sent), 12);
    CU_ASSERT_EQUAL(count(COUNTER_udp_closed_port), 12);
}

static void test_never_refuses_with_more_bytes_than_were_sent(void)
{
    static const uint8_t options[8] = {0};
    static const uint8_t payload[64];
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fields.destination_port = 9;
    for (size_t n = 0; n < 28; n++) {
        frame_udp(&frame, &fields, payload, n);
        expect_dropped(&frame, COUNTER_icmp_suppressed);
    }
    fields.options = options;
    fields.options_bytes = sizeof options;
    frame_udp(&frame, &fields, payload, 27);
    expect_dropped(&frame, COUNTER_icmp_suppressed);
    CU_ASSERT_EQUAL(count(COUNTER_udp_closed_port), 29);
}

static void test_refuses_no_port_without_headroom(void)
{
    static const uint8_t payload[100];
    struct frame_fields fields = usual_fields();
    struct frame frame;
    fields.destination_port = 9;
    frame_udp(&frame, &fields, payload, sizeof payload);
    struct rte_mbuf *mbuf = push(&frame);
    memmove(mbuf->buf_addr, rte_pktmbuf_mtod(mbuf, void *), frame.length);
    mbuf->data_off = 0;
    turn();
    CU_ASSERT_EQUAL(fx.port.out_count, 0);
    CU_ASSERT_EQUAL(count(COUNTER_tx_no_buffer), 1);
    /* the same for a tag that has no room to be put back */
    mbuf = push(&frame);
    memmove(mbuf->buf_addr, rte_pktmbuf_mtod(mbuf, void *), frame.length);
    mbuf->data_off = 0;
    mbuf->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    turn();
    CU_ASSERT_EQUAL(fx.port.out_count, 0);
    CU_ASSERT_EQUAL(count(COUNTER_rx_multi_segment), 1);
}

/* ---- UDP ---- */

static void test_validates_udp(void)
{
    struct frame_fields fields = usual_fields();
    struct frame good = usual_datagram(), frame;
    size_t length;
    static const uint8_t lengths[] = {0, 7, 25, 255};
    for (unsigned i = 0; i < sizeof lengths; i++) {
        frame = good;
        frame_set16(frame.bytes + 34 + 4, lengths[i]);
        expect_dropped(&frame, COUNTER_udp_bad_length);
    }
    /* shorter than the IPv4 payload: the rest is not ours */
    frame = good;
    frame_set16(frame.bytes + 34 + 4, 8 + 10);
    frame_fix_udp(&frame);
    expect_answer(&frame, &length);
    CU_ASSERT_EQUAL(length, 14 + 28 + 10);
    frame_port_clear(&fx.port);

    fields.no_udp_checksum = true;
    frame_udp(&frame, &fields, "no checksum", 11);
    expect_answer(&frame, &length);
    frame_port_clear(&fx.port);

    fields.no_udp_checksum = false;
    fields.source_port = 0;
    frame_udp(&frame, &fields, "x", 1);
    expect_dropped(&frame, COUNTER_udp_no_source_port);
}

static void test_detects_every_flipped_bit(void)
{
    struct frame good = usual_datagram();
    for (size_t bit = 14 * 8; bit < good.length * 8; bit++) {
        struct frame frame = good;
        frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        unsigned seen = fx.echo.datagrams;
        push(&frame);
        turn();
        CU_ASSERT_EQUAL(fx.echo.datagrams, seen);
        CU_ASSERT_EQUAL(fx.port.out_count, 0);
    }
}

/* Frames of every kind in one burst: what one deserves does not change what another gets. */
static void test_judges_each_frame_of_a_burst_by_itself(void)
{
    struct frame_fields fields = usual_fields();
    struct frame good = usual_datagram(), bad = good, echo, arp;
    bad.bytes[40] ^= 1;
    frame_echo_request(&echo, &fields, "data", 4);
    frame_arp(&arp, &fields, 1, peer_mac, fields.source, no_mac, fields.destination);
    const struct frame *mix[] = {&good, &bad, &echo, &good, &arp, &bad, &good};
    for (unsigned i = 0; i < 28; i++)
        push(mix[i % 7]);
    CU_ASSERT_EQUAL(turn(), 28);
    CU_ASSERT_EQUAL(fx.echo.bursts, 1);
    CU_ASSERT_EQUAL(fx.echo.datagrams, 12);
    CU_ASSERT_EQUAL(fx.port.out_count, 20);
    CU_ASSERT_EQUAL(count(COUNTER_udp_bad_checksum), 8);
}

static void test_every_counter_has_a_name_and_a_help_text(void)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        CU_ASSERT(strlen(counter_name((enum counter)i)) > 0);
        CU_ASSERT(strlen(counter_help((enum counter)i)) > 0);
        for (unsigned j = 0; j < i; j++)
            CU_ASSERT(strcmp(counter_name((enum counter)i), counter_name((enum counter)j)) != 0);
    }
    CU_ASSERT_PTR_NULL(counter_name(COUNTER_COUNT));
    CU_ASSERT_PTR_NULL(counter_help(COUNTER_COUNT));
}

int main(void)
{
    fixture_create();
    static CU_TestInfo tests[] = {
#define TEST(name) {(char *)#name, name}
        TEST(test_drops_frames_by_ethernet_rules),
        TEST(test_drops_frames_by_vlan_rules),
        TEST(test_drops_frames_longer_than_the_mtu),
        TEST(test_drops_frames_truncated_at_every_length),
        TEST(test_answers_arp_requests_for_our_address),
        TEST(test_hands_arp_that_concerns_us_to_control),
        TEST(test_drops_arp_that_is_malformed_or_about_others),
        TEST(test_drops_arp_when_control_does_not_keep_up),
        TEST(test_validates_ip4_headers),
        TEST(test_drops_broadcasts_of_the_limited_kind),
        TEST(test_a_point_to_point_prefix_has_no_broadcast),
        TEST(test_judges_ip4_options),
        TEST(test_answers_echo_requests),
        TEST(test_drops_icmp_that_is_broken_or_not_a_question),
        TEST(test_does_not_answer_giant_echo_requests),
        TEST(test_limits_the_rate_of_icmp_answers),
        TEST(test_refuses_closed_ports_with_a_quote),
        TEST(test_never_refuses_with_more_bytes_than_were_sent),
        TEST(test_refuses_no_port_without_headroom),
        TEST(test_validates_udp),
        TEST(test_detects_every_flipped_bit),
        TEST(test_judges_each_frame_of_a_burst_by_itself),
        TEST(test_every_counter_has_a_name_and_a_help_text),
        CU_TEST_INFO_NULL,
    };
    return suite_run_each("net rules", fixture_reset, fixture_check_no_leak, tests);
}
