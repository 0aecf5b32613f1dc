/* The neighbour table and ARP on the control lcore, under a virtual clock. */
#include <CUnit/Basic.h>

#include <rte_malloc.h>

#include "frames.h"
#include "net/arp_control.h"
#include "net/token_bucket.h"
#include "test_eal.h"
#include "suite.h"

enum { POOL_MBUFS = 127 };
#define SECOND 1000000000ull

static const uint8_t us_mac[6] = {2, 0, 0, 0, 0, 1}, old_mac[6] = {2, 0, 0, 0, 0, 7},
                     new_mac[6] = {2, 0, 0, 0, 0, 8}, everybody[6] = {255, 255, 255, 255, 255, 255};

static struct {
    struct rte_mempool *pool;
    struct counters *counters;
    struct frame_port port;
    struct neighbour_table *table;
    struct arp_control *control;
    uint64_t now_ns;
} fx;

static rte_be32_t address(unsigned last)
{
    return rte_cpu_to_be_32(frame_ip4(198, 18, 0, last));
}

static void set_up(void)
{
    memset(fx.counters, 0, sizeof *fx.counters);
    fx.port = (struct frame_port){.in_count = 0};
    fx.now_ns = 100 * SECOND;
    fx.table = neighbour_table_create(SOCKET_ID_ANY);
    struct arp_control_config config = {
        .address = address(1),
        .gateway = address(254),
        .prefix_length = 24,
        .queue = frame_port_queue(&fx.port),
        .pool = fx.pool,
        .counters = fx.counters,
        .numa_node = SOCKET_ID_ANY,
    };
    memcpy(config.mac.addr_bytes, us_mac, 6);
    fx.control = arp_control_create(&config);
}

static void tear_down(void)
{
    neighbour_table_destroy(fx.table);
    arp_control_destroy(fx.control);
    frame_port_clear(&fx.port);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(fx.pool), POOL_MBUFS);
}

/* ---- the table ---- */

static struct arp_packet arp_from(unsigned last, const uint8_t mac[6], uint16_t operation)
{
    struct arp_packet arp = {.operation = operation, .sender = address(last), .target = address(1)};
    memcpy(arp.sender_mac, mac, 6);
    return arp;
}

static enum neighbour_effect hear(unsigned last, const uint8_t mac[6], bool answer)
{
    struct arp_packet arp = arp_from(last, mac, answer ? ARP_REPLY : ARP_REQUEST);
    return neighbour_heard(fx.table, &arp, answer, fx.now_ns);
}

/* Requests that are due now. */
static unsigned due(struct neighbour_request *last)
{
    struct neighbour_request request = {0};
    unsigned count = 0;
    while (neighbour_due(fx.table, fx.now_ns, &request)) {
        *last = request;
        count++;
    }
    return count;
}

static bool known_as(unsigned last, const uint8_t mac[6])
{
    uint8_t found[6];
    return neighbour_lookup(fx.table, address(last), found) && memcmp(found, mac, 6) == 0;
}

static bool known(unsigned last)
{
    uint8_t found[6];
    return neighbour_lookup(fx.table, address(last), found);
}

static void make_reachable(unsigned last, const uint8_t mac[6], bool pinned)
{
    struct neighbour_request request = {0};
    CU_ASSERT(neighbour_want(fx.table, address(last), pinned, fx.now_ns));
    CU_ASSERT_EQUAL(due(&request), 1);
    CU_ASSERT_EQUAL(hear(last, mac, true), NEIGHBOUR_CONFIRMED);
    CU_ASSERT_EQUAL(neighbour_state(fx.table, address(last)), NEIGHBOUR_REACHABLE);
    CU_ASSERT(known_as(last, mac));
}

static void test_resolves_a_wanted_address(void)
{
    struct neighbour_request request = {0};
    CU_ASSERT_FALSE(known(9));
    CU_ASSERT(neighbour_want(fx.table, address(9), false, fx.now_ns));
    CU_ASSERT_EQUAL(neighbour_state(fx.table, address(9)), NEIGHBOUR_INCOMPLETE);
    CU_ASSERT_FALSE(known(9));
    CU_ASSERT_EQUAL(hear(9, old_mac, true), NEIGHBOUR_IGNORED); /* not asked yet */
    CU_ASSERT_EQUAL(due(&request), 1);
    CU_ASSERT(request.broadcast && request.address == address(9));
    CU_ASSERT(memcmp(request.mac, everybody, 6) == 0);
    CU_ASSERT_EQUAL(hear(9, old_mac, false), NEIGHBOUR_IGNORED); /* not an answer */
    CU_ASSERT_EQUAL(hear(9, old_mac, true), NEIGHBOUR_CONFIRMED);
    CU_ASSERT(known_as(9, old_mac));
    CU_ASSERT_FALSE(known(10));
}

static void test_learns_nothing_about_addresses_it_does_not_want(void)
{
    for (unsigned last = 2; last < 250; last++) {
        CU_ASSERT_EQUAL(hear(last, old_mac, true), NEIGHBOUR_IGNORED);
        CU_ASSERT_EQUAL(hear(last, old_mac, false), NEIGHBOUR_IGNORED);
        CU_ASSERT_FALSE(known(last));
    }
}

static void test_gives_up_on_an_address_that_does_not_answer(void)
{
    struct neighbour_request request = {0};
    neighbour_want(fx.table, address(9), false, fx.now_ns);
    unsigned asked = 0;
    for (unsigned i = 0; i < 100; i++, fx.now_ns += SECOND / 10)
        asked += due(&request);
    CU_ASSERT_EQUAL(asked, 3);
    CU_ASSERT_EQUAL(neighbour_state(fx.table, address(9)), NEIGHBOUR_FREE);
}

static void test_keeps_asking_for_a_pinned_address_ever_more_slowly(void)
{
    struct neighbour_request request = {0};
    neighbour_want(fx.table, address(254), true, fx.now_ns);
    unsigned first_minute = 0, later = 0;
    for (unsigned i = 0; i < 600; i++, fx.now_ns += SECOND / 10)
        first_minute += due(&request);
    for (unsigned i = 0; i < 32000; i++, fx.now_ns += SECOND / 10)
        later += due(&request);
    CU_ASSERT(first_minute >= 5 && first_minute <= 10);
    CU_ASSERT(later >= 95 && later <= 105); /* every 32 s */
    CU_ASSERT_EQUAL(hear(254, old_mac, true), NEIGHBOUR_CONFIRMED);
    CU_ASSERT(known_as(254, old_mac));
}

static void test_unasked_arp_only_triggers_a_probe(void)
{
    struct neighbour_request request = {0};
    make_reachable(9, old_mac, false);
    CU_ASSERT_EQUAL(hear(9, old_mac, false), NEIGHBOUR_IGNORED); /* the same again is no news */
    CU_ASSERT_EQUAL(hear(9, new_mac, false), NEIGHBOUR_PROBED);
    CU_ASSERT(known_as(9, old_mac));
    CU_ASSERT_EQUAL(hear(9, new_mac, true), NEIGHBOUR_IGNORED);
    CU_ASSERT_EQUAL(due(&request), 1);
    CU_ASSERT(!request.broadcast && memcmp(request.mac, old_mac, 6) == 0);
    CU_ASSERT_EQUAL(hear(9, new_mac, true), NEIGHBOUR_IGNORED); /* only the old one can confirm itself */
    CU_ASSERT_EQUAL(hear(9, old_mac, true), NEIGHBOUR_CONFIRMED);
    CU_ASSERT(known_as(9, old_mac));
    /* an unasked reply is no better than a request */
    CU_ASSERT_EQUAL(hear(9, new_mac, true), NEIGHBOUR_PROBED);
    CU_ASSERT(known_as(9, old_mac));
}

static void test_an_address_moves_when_its_old_station_is_silent(void)
{
    struct neighbour_request request = {0};
    make_reachable(9, old_mac, false);
    CU_ASSERT_EQUAL(hear(9, new_mac, false), NEIGHBOUR_PROBED);
    unsigned unicast = 0;
    while (neighbour_state(fx.table, address(9)) == NEIGHBOUR_PROBE) {
        unicast += due(&request) && !request.broadcast;
        fx.now_ns += SECOND / 10;
        CU_ASSERT_FATAL(unicast < 10);
    }
    CU_ASSERT_EQUAL(unicast, 3);
    CU_ASSERT(request.broadcast);
    CU_ASSERT_FALSE(known(9));
    CU_ASSERT_EQUAL(hear(9, new_mac, true), NEIGHBOUR_CONFIRMED);
    CU_ASSERT(known_as(9, new_mac));
    CU_ASSERT(fx.now_ns < 102 * SECOND);
}

static void test_ages_unused_entries_and_refreshes_used_ones(void)
{
    struct neighbour_request request = {0};
    make_reachable(9, old_mac, false);
    fx.now_ns += 31 * SECOND;
    CU_ASSERT_EQUAL(due(&request), 0);
    CU_ASSERT_EQUAL(neighbour_state(fx.table, address(9)), NEIGHBOUR_STALE);
    CU_ASSERT(known_as(9, old_mac)); /* still used */
    neighbour_want(fx.table, address(9), false, fx.now_ns);
    CU_ASSERT_EQUAL(due(&request), 1);
    CU_ASSERT_FALSE(request.broadcast);
    CU_ASSERT_EQUAL(hear(9, old_mac, true), NEIGHBOUR_CONFIRMED);
    for (unsigned i = 0; i < 640; i++, fx.now_ns += SECOND)
        CU_ASSERT_EQUAL(due(&request), 0);
    CU_ASSERT_EQUAL(neighbour_state(fx.table, address(9)), NEIGHBOUR_FREE);
    CU_ASSERT_FALSE(known(9));
}

static void test_refreshes_pinned_entries_by_itself(void)
{
    struct neighbour_request request = {0};
    make_reachable(254, old_mac, true);
    unsigned asked = 0;
    for (unsigned i = 0; i < 3000; i++, fx.now_ns += SECOND) {
        unsigned now = due(&request);
        asked += now;
        if (now)
            CU_ASSERT_EQUAL(hear(254, old_mac, true), NEIGHBOUR_CONFIRMED);
        CU_ASSERT(known_as(254, old_mac));
    }
    CU_ASSERT(asked >= 95 && asked <= 105);
}

static void test_bounds_entries_and_requests(void)
{
    struct neighbour_request request = {0};
    unsigned wanted = 0, asked = 0;
    for (unsigned i = 0; i < 5000; i++)
        wanted += neighbour_want(fx.table, rte_cpu_to_be_32(frame_ip4(198, 19, i / 250, i % 250)), false,
                                 fx.now_ns);
    CU_ASSERT_EQUAL(wanted, 5000); /* the newest displace the oldest */
    CU_ASSERT_EQUAL(due(&request), 16);
    for (unsigned i = 0; i < 100; i++, fx.now_ns += SECOND / 100)
        asked += due(&request);
    CU_ASSERT(asked <= 50);
}

static void test_pinned_entries_are_not_displaced(void)
{
    unsigned pinned = 0;
    for (unsigned i = 0; i < 5000; i++)
        pinned +=
            neighbour_want(fx.table, rte_cpu_to_be_32(frame_ip4(198, 19, i / 250, i % 250)), true, fx.now_ns);
    CU_ASSERT(pinned <= NEIGHBOURS_MAX);
    CU_ASSERT(pinned > NEIGHBOURS_MAX / 2);
    CU_ASSERT_FALSE(neighbour_want(fx.table, rte_cpu_to_be_32(frame_ip4(198, 18, 77, 1)), false, fx.now_ns));
}

static void test_a_displaced_entry_is_not_found_under_its_old_address(void)
{
    make_reachable(9, old_mac, false);
    for (unsigned i = 0; i < 5000; i++) {
        fx.now_ns++;
        neighbour_want(fx.table, rte_cpu_to_be_32(frame_ip4(198, 19, i / 250, i % 250)), false, fx.now_ns);
    }
    CU_ASSERT_FALSE(known(9));
    CU_ASSERT_EQUAL(neighbour_state(fx.table, address(9)), NEIGHBOUR_FREE);
}

/* ---- ARP on the control lcore ---- */

static struct frame_fields arp_fields(const uint8_t to[6], const uint8_t from[6])
{
    struct frame_fields fields = {.vlan_tci = FRAME_UNTAGGED};
    memcpy(fields.to, to, 6);
    memcpy(fields.from, from, 6);
    return fields;
}

static void give(const struct frame *frame)
{
    struct rte_mbuf *mbuf = frame_port_push(&fx.port, fx.pool, frame->bytes, frame->length);
    fx.port.in_count = 0;
    arp_control_frame(fx.control, mbuf, fx.now_ns);
}

static void give_reply(unsigned last, const uint8_t mac[6], const uint8_t to[6])
{
    struct frame_fields fields = arp_fields(to, mac);
    struct frame frame;
    frame_arp(&frame, &fields, 2, mac, rte_be_to_cpu_32(address(last)), us_mac, rte_be_to_cpu_32(address(1)));
    give(&frame);
}

static void test_announces_itself_and_asks_for_the_gateway(void)
{
    CU_ASSERT_EQUAL(arp_control_turn(fx.control, fx.now_ns), 2);
    CU_ASSERT_EQUAL(arp_control_turn(fx.control, fx.now_ns), 0);
    CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 2);
    const uint8_t *announcement = rte_pktmbuf_mtod(fx.port.out[0], const uint8_t *);
    struct frame expected;
    struct frame_fields fields = arp_fields(everybody, us_mac);
    static const uint8_t nobody[6];
    uint32_t us = rte_be_to_cpu_32(address(1));
    frame_arp(&expected, &fields, 1, us_mac, us, nobody, us);
    CU_ASSERT_EQUAL(fx.port.out[0]->pkt_len, expected.length);
    CU_ASSERT(memcmp(announcement, expected.bytes, expected.length) == 0);
    frame_arp(&expected, &fields, 1, us_mac, us, nobody, rte_be_to_cpu_32(address(254)));
    CU_ASSERT(memcmp(rte_pktmbuf_mtod(fx.port.out[1], void *), expected.bytes, expected.length) == 0);
    give_reply(254, old_mac, us_mac);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_neighbour_confirmed), 1);
    /* RFC 5227: two announcements, two seconds apart */
    for (unsigned i = 0; i < 20; i++, fx.now_ns += SECOND)
        arp_control_turn(fx.control, fx.now_ns);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_announced), 2);
    arp_control_announce(fx.control); /* link-up */
    CU_ASSERT_EQUAL(arp_control_turn(fx.control, fx.now_ns), 1);
}

static void test_resolves_next_hops(void)
{
    uint8_t mac[6];
    rte_be32_t far = rte_cpu_to_be_32(frame_ip4(203, 0, 113, 5));
    CU_ASSERT_EQUAL(arp_control_next_hop(fx.control, address(9)), address(9));
    CU_ASSERT_EQUAL(arp_control_next_hop(fx.control, far), address(254));
    CU_ASSERT(arp_control_resolve(fx.control, far, fx.now_ns));
    CU_ASSERT(arp_control_resolve(fx.control, address(9), fx.now_ns));
    arp_control_turn(fx.control, fx.now_ns);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_requested), 2);
    give_reply(9, new_mac, us_mac);
    CU_ASSERT(neighbour_lookup(arp_control_neighbours(fx.control), address(9), mac));
    CU_ASSERT(memcmp(mac, new_mac, 6) == 0);
}

static void test_a_probe_is_sent_to_the_station_itself(void)
{
    arp_control_resolve(fx.control, address(9), fx.now_ns);
    arp_control_turn(fx.control, fx.now_ns);
    give_reply(9, old_mac, us_mac);
    give_reply(9, new_mac, us_mac);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_neighbour_probed), 1);
    frame_port_clear(&fx.port);
    CU_ASSERT_EQUAL(arp_control_turn(fx.control, fx.now_ns), 1);
    const uint8_t *probe = rte_pktmbuf_mtod(fx.port.out[0], const uint8_t *);
    CU_ASSERT(memcmp(probe, old_mac, 6) == 0);
    CU_ASSERT(memcmp(probe + 14 + 18, old_mac, 6) == 0);
}

static void test_a_broadcast_reply_confirms_nothing(void)
{
    uint8_t mac[6];
    arp_control_resolve(fx.control, address(9), fx.now_ns);
    arp_control_turn(fx.control, fx.now_ns);
    give_reply(9, new_mac, everybody);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_ignored), 1);
    CU_ASSERT_FALSE(neighbour_lookup(arp_control_neighbours(fx.control), address(9), mac));
}

static void test_defends_its_address_and_reports_the_claimant(void)
{
    struct rte_ether_addr claimant;
    for (unsigned i = 0; i < 3; i++, fx.now_ns += 3 * SECOND)
        arp_control_turn(fx.control, fx.now_ns);
    frame_port_clear(&fx.port);
    CU_ASSERT_FALSE(arp_control_conflict(fx.control, &claimant));
    for (unsigned i = 0; i < 100; i++)
        give_reply(1, new_mac, us_mac);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_conflict), 100);
    CU_ASSERT(arp_control_conflict(fx.control, &claimant));
    CU_ASSERT(memcmp(claimant.addr_bytes, new_mac, 6) == 0);
    CU_ASSERT_FALSE(arp_control_conflict(fx.control, &claimant));
    uint64_t before = counter_get(fx.counters, COUNTER_arp_announced);
    for (unsigned i = 0; i < 9; i++, fx.now_ns += SECOND) {
        give_reply(1, new_mac, us_mac);
        arp_control_turn(fx.control, fx.now_ns);
    }
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_announced), before + 1);
    fx.now_ns += 2 * SECOND;
    give_reply(1, new_mac, us_mac);
    CU_ASSERT(arp_control_conflict(fx.control, &claimant));
}

static void test_drops_what_is_not_arp_for_it(void)
{
    struct frame_fields fields = arp_fields(us_mac, old_mac);
    struct frame frame;
    frame_arp(&frame, &fields, 2, us_mac, rte_be_to_cpu_32(address(1)), us_mac, 0);
    give(&frame);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_eth_bad_source), 1);
    frame.length = 41;
    give(&frame);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_truncated), 1);
    frame.length = 13;
    give(&frame);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_eth_runt), 1);
    frame_ethernet(&frame, &fields, 0x0800);
    give(&frame);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_eth_unknown_type), 1);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_arp_conflict), 0);
}

static void test_survives_a_full_queue_and_an_empty_pool(void)
{
    static struct rte_mbuf *all[POOL_MBUFS];
    fx.port.out_room = 0;
    CU_ASSERT_EQUAL(arp_control_turn(fx.control, fx.now_ns), 0);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_tx_ring_full), 2);
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(fx.pool, all, POOL_MBUFS), 0);
    fx.now_ns += 2 * SECOND;
    CU_ASSERT_EQUAL(arp_control_turn(fx.control, fx.now_ns), 0);
    CU_ASSERT_EQUAL(counter_get(fx.counters, COUNTER_tx_no_buffer), 2);
    rte_pktmbuf_free_bulk(all, POOL_MBUFS);
}

static void test_without_a_gateway_off_link_is_unreachable(void)
{
    struct arp_control_config config = {
        .address = address(1),
        .prefix_length = 24,
        .queue = frame_port_queue(&fx.port),
        .pool = fx.pool,
        .counters = fx.counters,
        .numa_node = SOCKET_ID_ANY,
    };
    struct arp_control *control = arp_control_create(&config);
    rte_be32_t far = rte_cpu_to_be_32(frame_ip4(203, 0, 113, 5));
    CU_ASSERT_EQUAL(arp_control_next_hop(control, far), 0);
    CU_ASSERT_FALSE(arp_control_resolve(control, far, fx.now_ns));
    CU_ASSERT_EQUAL(arp_control_turn(control, fx.now_ns), 1); /* the announcement alone */
    arp_control_destroy(control);
}

/* ---- rate limits ---- */

static void test_token_bucket_allows_its_burst_and_its_rate(void)
{
    for (uint64_t start = 0; start < 20 * SECOND; start += 7 * SECOND) {
        struct token_bucket bucket = token_bucket_make(10, 5);
        unsigned taken = 0;
        for (unsigned i = 0; i < 100; i++)
            taken += token_bucket_take(&bucket, start);
        CU_ASSERT_EQUAL(taken, 5);
        for (unsigned i = 1; i <= 1000; i++)
            taken += token_bucket_take(&bucket, start + i * (SECOND / 100));
        CU_ASSERT(taken >= 5 + 95 && taken <= 5 + 100);
    }
}

int main(void)
{
    test_eal_start();
    fx.pool = test_eal_pool("neighbour", POOL_MBUFS);
    fx.counters = rte_zmalloc("counters", sizeof *fx.counters, 64);
    static CU_TestInfo tests[] = {
#define TEST(name) {(char *)#name, name}
        TEST(test_resolves_a_wanted_address),
        TEST(test_learns_nothing_about_addresses_it_does_not_want),
        TEST(test_gives_up_on_an_address_that_does_not_answer),
        TEST(test_keeps_asking_for_a_pinned_address_ever_more_slowly),
        TEST(test_unasked_arp_only_triggers_a_probe),
        TEST(test_an_address_moves_when_its_old_station_is_silent),
        TEST(test_ages_unused_entries_and_refreshes_used_ones),
        TEST(test_refreshes_pinned_entries_by_itself),
        TEST(test_bounds_entries_and_requests),
        TEST(test_pinned_entries_are_not_displaced),
        TEST(test_a_displaced_entry_is_not_found_under_its_old_address),
        TEST(test_announces_itself_and_asks_for_the_gateway),
        TEST(test_resolves_next_hops),
        TEST(test_a_probe_is_sent_to_the_station_itself),
        TEST(test_a_broadcast_reply_confirms_nothing),
        TEST(test_defends_its_address_and_reports_the_claimant),
        TEST(test_drops_what_is_not_arp_for_it),
        TEST(test_survives_a_full_queue_and_an_empty_pool),
        TEST(test_without_a_gateway_off_link_is_unreachable),
        TEST(test_token_bucket_allows_its_burst_and_its_rate),
        CU_TEST_INFO_NULL,
    };
    return suite_run_each("neighbour", set_up, tear_down, tests);
}
