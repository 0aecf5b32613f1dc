/* test_native_parked.c - replies over UDP that wait for the log, under a durable point that the test moves. */
#include "native_peer.h"
#include "service/parked.h"
#include "suite.h"

static const struct durability_rules sync_rules = {.log = true, .writes_wait = true, .reads_wait = true};
static const struct durability_rules async_rules = {.log = true};

static struct world {
    struct native_shared shared;
    struct native_node node;
    struct native_peer peer, other;
} w;

static void start_with(const struct durability_rules *rules, unsigned suites, bool bench, unsigned sessions)
{
    native_start(
        &w.shared, &w.node,
        &(struct native_options){.seed = 3, .rules = *rules, .bench_mode = bench, .sessions_max = sessions});
    native_durable(&w.shared, native_lsn(&w.shared));
    native_peer_init(&w.peer, &w.node, NATIVE_PEER_SECRET, 1, 40000);
    native_peer_init(&w.other, &w.node, NATIVE_PEER_SECRET, 2, 40000);
    CU_ASSERT_FATAL(native_peer_connect(&w.peer, suites));
    CU_ASSERT_FATAL(native_peer_connect(&w.other, SUITE_MAC));
    w.node.sent = 0;
}

static void start(const struct durability_rules *rules)
{
    start_with(rules, SUITE_MAC, false, 0);
}

static void stop(void)
{
    native_stop(&w.shared, &w.node, 1);
}

/* Sends; true: nothing came back at once. */
static bool waits_n(struct native_peer *peer, const struct operation *operations, unsigned count)
{
    uint8_t bytes[NATIVE_ROOM];
    unsigned before = native_udp_parked(w.node.service);
    size_t length = native_peer_seal(peer, operations, count, bytes);
    length = native_exchange(&w.node, &peer->path, bytes, length);
    return length == 0 && native_udp_parked(w.node.service) == before + 1;
}

static bool waits(struct native_peer *peer, struct operation operation)
{
    if (operation.request_id == 0)
        operation.request_id = ++peer->request_id;
    return waits_n(peer, &operation, 1);
}

/* The oldest datagram sent unprompted, which must be this peer's; how many replies it brings. */
static unsigned late_n(struct native_peer *peer, struct reply *replies)
{
    struct native_sent *sent = &w.node.outbox[0];
    if (w.node.sent == 0 || !flow_equal(&sent->path.flow, &peer->path.flow))
        return 0;
    unsigned count = native_peer_open(peer, sent->bytes, sent->length, replies, MESSAGE_OPERATIONS_MAX);
    w.node.sent--;
    memmove(sent, sent + 1, w.node.sent * sizeof(*sent));
    return count;
}

static struct reply late(struct native_peer *peer)
{
    static struct reply replies[MESSAGE_OPERATIONS_MAX];
    return late_n(peer, replies) == 1 ? replies[0] : (struct reply){.status = 255};
}

/* The log gets there, and the worker turns. */
static void durable(uint64_t lsn)
{
    native_durable(&w.shared, lsn);
    native_turn(&w.node);
}

static void durable_all(void)
{
    durable(native_lsn(&w.shared));
}

static struct operation at_level(struct operation operation, enum durability durability)
{
    operation.durability = durability;
    return operation;
}

/* ---- writes ---- */

static void a_write_is_answered_when_it_is_durable(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, native_set("k", "v")));
    uint64_t lsn = native_lsn(&w.shared);
    durable(lsn - 1);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    durable(lsn);
    struct reply reply = late(&w.peer);
    CU_ASSERT(reply.status == STATUS_OK && reply.version == lsn && reply.opcode == OPCODE_SET);
    CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 0);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked), 1);
    stop();
}

static void sealed_datagrams_wait_too(void)
{
    start_with(&sync_rules, SUITE_CHACHA20_POLY1305, false, 0);
    CU_ASSERT(waits(&w.peer, native_set("k", "v")));
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, (struct operation){.opcode = OPCODE_HEALTH}).status, STATUS_OK);
    durable_all();
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_OK);
    stop();
}

static void replies_leave_in_the_order_of_their_requests(void)
{
    start(&sync_rules);
    uint64_t first = native_lsn(&w.shared);
    for (unsigned i = 0; i < 300; i++)
        CU_ASSERT_FATAL(waits(i % 3 ? &w.peer : &w.other, native_set("k", "v")));
    durable(first + 150);
    durable(first + 150);
    CU_ASSERT_EQUAL(w.node.sent, 150);
    for (unsigned turn = 0; turn < 4; turn++)
        durable(first + 300);
    CU_ASSERT_EQUAL_FATAL(w.node.sent, 300);
    for (unsigned i = 0; i < 300; i++)
        CU_ASSERT_EQUAL_FATAL(late(i % 3 ? &w.peer : &w.other).version, first + i + 1);
    stop();
}

static void a_write_that_changes_nothing_waits_for_what_it_tells(void)
{
    start(&sync_rules);
    struct operation absent = native_set("k", "2");
    absent.flags = FLAG_IF_ABSENT;
    uint8_t operand[INCR_OPERAND_BYTES];
    CU_ASSERT(waits(&w.peer, native_set("k", "v")));
    CU_ASSERT(waits(&w.peer, absent));
    CU_ASSERT(waits(&w.peer, native_incr("k", 1, 0, operand)));
    CU_ASSERT(waits(&w.peer, native_delete("k")));
    CU_ASSERT(waits(&w.peer, native_delete("k"))); /* there is none, as far as memory goes */
    durable_all();
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_OK);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_EXISTS);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_OK);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_NOT_FOUND);
    /* and not at all once that is durable */
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_delete("k")).status, STATUS_NOT_FOUND);
    stop();
}

static void full_tells_of_a_condition_and_waits_for_it(void)
{
    start(&sync_rules);
    char key[16];
    for (unsigned i = 0; i < 1024; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        CU_ASSERT_FATAL(waits(&w.peer, native_set(key, "v")));
        durable_all();
        w.node.sent = 0;
    }
    static char large[200];
    memset(large, 'x', sizeof(large) - 1);
    struct operation grow = native_set("key 7", large);
    grow.flags = FLAG_IF_PRESENT;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, grow).status, STATUS_FULL);
    CU_ASSERT(waits(&w.other, native_touch("key 7", 100000)));
    CU_ASSERT(waits(&w.peer, grow));
    durable_all();
    CU_ASSERT_EQUAL(late(&w.other).status, STATUS_OK);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_FULL);
    stop();
}

/* ---- reads ---- */

static void a_read_of_what_is_not_durable_waits_and_others_do_not(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, native_set("a", "1")));
    durable_all();
    late(&w.peer);
    struct reply reply = native_peer_do(&w.other, native_get("a"));
    CU_ASSERT(native_value_is(&reply, "1"));
    CU_ASSERT(waits(&w.peer, native_set("a", "2")));
    CU_ASSERT(waits(&w.other, native_get("a"))); /* a lone GET */
    struct operation in_memory = native_get("a");
    in_memory.flags = FLAG_READ_MEMORY;
    reply = native_peer_do(&w.other, in_memory);
    CU_ASSERT(native_value_is(&reply, "2"));
    struct operation floor = native_get("a"); /* not a lone GET */
    floor.flags = FLAG_MIN_LSN;
    CU_ASSERT(waits(&w.other, floor));
    durable_all();
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        reply = late(&w.other);
        CU_ASSERT(native_value_is(&reply, "2"));
    }
    stop();
}

/* Two keys of one bucket: of 1,024 lines' 205 buckets. */
static void an_item_is_as_durable_as_itself_and_not_as_its_bucket(void)
{
    start(&sync_rules);
    char key[16];
    unsigned at_once = 0, later = 0;
    for (unsigned i = 0; i < 400; i++) {
        snprintf(key, sizeof(key), "old %u", i);
        waits(&w.peer, native_set(key, "v"));
        durable_all();
        w.node.sent = 0;
    }
    uint64_t before = native_lsn(&w.shared);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(key, sizeof(key), "new %u", i);
        CU_ASSERT_FATAL(waits(&w.peer, native_set(key, "v")));
    }
    for (unsigned i = 0; i < 400; i++) {
        snprintf(key, sizeof(key), "old %u", i);
        CU_ASSERT_EQUAL_FATAL(native_peer_do(&w.other, native_get(key)).status, STATUS_OK);
        snprintf(key, sizeof(key), "no %u", i);
        uint64_t parked = native_counter(&w.node, COUNTER_native_parked);
        native_peer_do(&w.other, native_get(key));
        later += native_counter(&w.node, COUNTER_native_parked) > parked;
        at_once += native_counter(&w.node, COUNTER_native_parked) == parked;
    }
    CU_ASSERT(native_lsn(&w.shared) == before + 400);
    CU_ASSERT(later > 200 && at_once > 10); /* that there is none: as durable as the bucket */
    stop();
}

static void what_a_flush_hid_is_gone_when_the_flush_is_durable(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, native_set("a", "1")));
    durable_all();
    late(&w.peer);
    CU_ASSERT_EQUAL(native_peer_do(&w.other, native_get("b")).status, STATUS_NOT_FOUND);
    CU_ASSERT(waits(&w.peer, (struct operation){.opcode = OPCODE_FLUSH}));
    uint64_t flush = native_lsn(&w.shared);
    CU_ASSERT(waits(&w.other, native_get("a")));
    CU_ASSERT(waits(&w.other, native_get("b"))); /* any bucket */
    durable(flush - 1);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    durable(flush);
    CU_ASSERT_EQUAL(late(&w.peer).version, flush);
    CU_ASSERT_EQUAL(late(&w.other).status, STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(late(&w.other).status, STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(native_peer_do(&w.other, native_get("a")).status, STATUS_NOT_FOUND);
    stop();
}

static void what_the_sweep_removed_is_gone_when_the_removal_is_durable(void)
{
    start(&sync_rules);
    struct operation set = native_set("a", "1");
    set.ttl_ms = 50;
    CU_ASSERT(waits(&w.peer, set));
    durable_all();
    native_pass_time(&w.shared, 60 * 1000000);
    CU_ASSERT_EQUAL(native_peer_do(&w.other, native_get("a")).status, STATUS_NOT_FOUND); /* time alone */
    uint64_t before = native_lsn(&w.shared);
    while (native_lsn(&w.shared) == before)
        execute_sweep(w.node.execute, 64, w.shared.now.wall_ms);
    late(&w.peer);
    CU_ASSERT(waits(&w.other, native_get("a")));
    durable_all();
    CU_ASSERT_EQUAL(late(&w.other).status, STATUS_NOT_FOUND);
    stop();
}

static void a_batch_waits_as_a_whole_for_its_highest(void)
{
    start(&sync_rules);
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    struct operation batch[] = {native_get("a"),    native_set("a", "1"), native_get("a"),
                                native_delete("b"), native_set("c", "3"), {.opcode = 77}};
    for (unsigned i = 0; i < 6; i++)
        batch[i].request_id = ++w.peer.request_id;
    CU_ASSERT(waits_n(&w.peer, batch, 6));
    uint64_t lsn = native_lsn(&w.shared);
    durable(lsn - 1);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    durable(lsn);
    CU_ASSERT_EQUAL_FATAL(late_n(&w.peer, replies), 6);
    static const uint8_t expected[] = {STATUS_NOT_FOUND, STATUS_OK, STATUS_OK,
                                       STATUS_NOT_FOUND, STATUS_OK, STATUS_BAD_REQUEST};
    for (unsigned i = 0; i < 6; i++)
        CU_ASSERT(replies[i].status == expected[i] && replies[i].request_id == batch[i].request_id);
    CU_ASSERT(native_value_is(&replies[2], "1"));
    /* all of it is durable: the same reads again wait for nothing */
    CU_ASSERT_EQUAL(native_peer_ask(&w.peer, &batch[2], 1, replies), 1);
    stop();
}

/* ---- levels ---- */

static void an_async_server_waits_for_whom_asks_for_it(void)
{
    start(&async_rules);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_set("k", "v")).status, STATUS_OK);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, at_level(native_set("k", "v"), DURABILITY_MEMORY)).status,
                    STATUS_OK);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_get("k")).status, STATUS_OK);
    CU_ASSERT(waits(&w.peer, at_level(native_set("k", "w"), DURABILITY_LOCAL)));
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_get("k")).status, STATUS_OK);
    durable_all();
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_OK);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, at_level(native_set("k", "v"), DURABILITY_REPLICATED)).status,
                    STATUS_BAD_REQUEST);
    stop();
}

static void no_request_gets_below_the_servers_level(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, at_level(native_set("k", "v"), DURABILITY_MEMORY)));
    stop();
}

static void reads_may_be_of_memory_for_a_whole_server(void)
{
    start(&(struct durability_rules){.log = true, .writes_wait = true});
    CU_ASSERT(waits(&w.peer, native_set("k", "v")));
    CU_ASSERT_EQUAL(native_peer_do(&w.other, native_get("k")).status, STATUS_OK);
    stop();
}

/* ---- retries ---- */

static void a_repeated_write_joins_the_one_that_waits(void)
{
    start(&sync_rules);
    uint8_t operand[INCR_OPERAND_BYTES];
    struct operation incr = native_incr("n", 1, 5, operand), again;
    incr.request_id = ++w.peer.request_id;
    CU_ASSERT(waits(&w.peer, incr));
    uint64_t lsn = native_lsn(&w.shared);
    CU_ASSERT(waits(&w.peer, native_set("other", "v")));
    CU_ASSERT(waits(&w.peer, incr));
    again = native_delete("other");
    again.request_id = ++w.peer.request_id;
    CU_ASSERT(waits(&w.peer, again)); /* OK */
    again = native_delete("other");
    again.request_id = ++w.peer.request_id;
    CU_ASSERT(waits(&w.peer, again)); /* NOT_FOUND has no version, but waits */
    CU_ASSERT(waits(&w.peer, again));
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn + 2);
    durable_all();
    static const uint8_t expected[] = {STATUS_OK, STATUS_OK,        STATUS_OK,
                                       STATUS_OK, STATUS_NOT_FOUND, STATUS_NOT_FOUND};
    for (unsigned i = 0; i < 6; i++) {
        struct reply reply = late(&w.peer);
        int64_t result = 0;
        CU_ASSERT_EQUAL(reply.status, expected[i]);
        if (reply.opcode == OPCODE_INCR)
            CU_ASSERT(incr_result_decode(reply.value, reply.value_length, &result) && result == 6 &&
                      reply.version == lsn);
    }
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, incr).status, STATUS_OK); /* at once by now */
    stop();
}

/* ---- the log does not come ---- */

static void after_too_long_a_write_is_unknown_and_a_read_stale(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, native_set("k", "v")));
    CU_ASSERT(waits(&w.other, native_get("k")));
    native_pass_time(&w.shared, PARKED_NS_MAX - 1);
    native_turn(&w.node);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    native_pass_time(&w.shared, 1);
    native_turn(&w.node);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_TIMEOUT);
    struct reply reply = late(&w.other);
    CU_ASSERT(reply.status == STATUS_STALE && reply.value_length == 0 && reply.version == 0);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked_timeout), 1);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked_stale), 1);
    stop();
}

static void a_failed_log_is_told_at_once(void)
{
    start(&sync_rules);
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    CU_ASSERT(waits(&w.peer, native_set("durable", "1")));
    durable_all();
    late(&w.peer);
    struct operation set = native_set("k", "v");
    set.request_id = ++w.peer.request_id;
    CU_ASSERT(waits(&w.peer, set));
    struct operation batch[] = {native_get("durable"), native_get("k"), native_set("l", "v")};
    for (unsigned i = 0; i < 3; i++)
        batch[i].request_id = ++w.peer.request_id;
    CU_ASSERT(waits_n(&w.peer, batch, 3));
    durable_point_set(&w.shared.durable, native_lsn(&w.shared) - 2, true);
    native_turn(&w.node);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_TIMEOUT);
    CU_ASSERT_EQUAL_FATAL(late_n(&w.peer, replies), 3);
    CU_ASSERT(native_value_is(&replies[0], "1"));
    CU_ASSERT(replies[1].status == STATUS_STALE && replies[2].status == STATUS_TIMEOUT);

    struct reply reply = native_peer_do(&w.peer, native_get("k"));
    CU_ASSERT(reply.status == STATUS_STALE && reply.value_length == 0 && reply.version == 0);
    struct operation floor = native_get("k");
    floor.flags = FLAG_MIN_LSN;
    reply = native_peer_do(&w.peer, floor);
    CU_ASSERT(reply.status == STATUS_STALE && reply.value_length == 0 && reply.version == 0);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_get("durable")).status, STATUS_OK);
    reply = native_peer_do(&w.peer, set); /* it may have happened */
    CU_ASSERT(reply.status == STATUS_TIMEOUT && reply.version == 0);
    uint64_t lsn = native_lsn(&w.shared);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_set("new", "v")).status, STATUS_READ_ONLY);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 0);
    stop();
}

/* ---- ends and bounds ---- */

static void a_session_that_has_ended_gets_nothing(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, native_set("a", "1")));
    CU_ASSERT(waits(&w.other, native_set("b", "1")));
    native_peer_close(&w.peer);
    durable_all();
    CU_ASSERT_EQUAL(late(&w.other).status, STATUS_OK);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked_dropped), 1);
    stop();
}

static void the_next_session_of_a_place_gets_nothing_of_the_last(void)
{
    start_with(&sync_rules, SUITE_MAC, false, 4); /* three places for live sessions */
    CU_ASSERT(waits(&w.peer, native_set("a", "1")));
    uint32_t old = w.peer.session.session;
    native_peer_close(&w.peer);
    for (unsigned i = 0; i < 8; i++) {
        CU_ASSERT_FATAL(native_peer_connect(&w.peer, SUITE_MAC));
        if ((w.peer.session.session & 3) == (old & 3))
            break;
    }
    CU_ASSERT_FATAL((w.peer.session.session & 3) == (old & 3) && w.peer.session.session != old);
    w.node.sent = 0;
    CU_ASSERT(waits(&w.peer, native_set("b", "1")));
    uint64_t lsn = native_lsn(&w.shared);
    durable_all();
    CU_ASSERT_EQUAL(late(&w.peer).version, lsn);
    CU_ASSERT_EQUAL(w.node.sent, 0);
    stop();
}

/* SETs until one is not parked; how many were. */
static unsigned fill_share(struct native_peer *peer)
{
    unsigned parked = 0;
    while (waits(peer, native_set("k", "v")))
        CU_ASSERT_FATAL(++parked < 100000);
    return parked;
}

static void a_session_with_its_share_parked_is_told_busy_before_anything_happens(void)
{
    start(&sync_rules);
    unsigned parked = fill_share(&w.peer);
    size_t each = MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES;
    CU_ASSERT(parked * parked_entry_bytes(each) <= PARKED_SESSION_BYTES &&
              (parked + 64) * parked_entry_bytes(each) > PARKED_SESSION_BYTES);
    uint64_t lsn = native_lsn(&w.shared);
    uint64_t refused = native_counter(&w.node, COUNTER_native_parked_refused);
    struct operation set = native_set("k", "w");
    set.request_id = ++w.peer.request_id;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, set).status, STATUS_BUSY);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked_refused), refused + 1);
    /* what needs no waiting is answered, and other sessions have their own share */
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, (struct operation){.opcode = OPCODE_HEALTH}).status, STATUS_OK);
    CU_ASSERT(waits(&w.other, native_get("k")));
    native_durable(&w.shared, lsn);
    while (native_udp_parked(w.node.service) > 0) {
        native_turn(&w.node);
        w.node.sent = 0;
    }
    CU_ASSERT(waits(&w.peer, set)); /* the same id, now executed */
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn + 1);
    stop();
}

enum { FLOODERS = 40 };

/* Sessions at `ip4 + i % hosts` park all that they may; then another client's writes are counted that wait as well. */
static unsigned served_beside_a_flood(uint32_t ip4, unsigned step, unsigned hosts, const char *value)
{
    static struct native_peer flooders[FLOODERS];
    unsigned served = 0, parked = 0;
    start_with(&sync_rules, SUITE_MAC, false, 64); /* 48 live */
    for (unsigned i = 0; i < FLOODERS; i++) {
        native_peer_init(&flooders[i], &w.node, NATIVE_PEER_SECRET, 3, 0);
        flooders[i].path = native_path(rte_cpu_to_be_32(ip4 + i % hosts * step), (uint16_t)(40000 + i));
        CU_ASSERT_FATAL(native_peer_connect(&flooders[i], SUITE_MAC));
    }
    w.node.sent = 0;
    CU_ASSERT(waits(&w.peer, native_set("k", value)));
    for (bool any = true; any;) {
        any = false;
        for (unsigned i = 0; i < FLOODERS; i++)
            for (unsigned k = 0; k < 50 && waits(&flooders[i], native_get("k")); k++) {
                any = true;
                parked++;
            }
    }
    CU_ASSERT(parked > 1000 && native_counter(&w.node, COUNTER_native_parked_refused) >= FLOODERS);
    while (served < 64 && waits(&w.other, native_set("mine", "v")))
        served++;
    durable_all();
    stop();
    return served;
}

static void one_client_with_many_sessions_leaves_room_to_others(void)
{
    static char large[VALUE_BYTES_MAX + 1];
    memset(large, 'x', VALUE_BYTES_MAX);
    CU_ASSERT_EQUAL(served_beside_a_flood(0xC6330002, 1, 1, "v"), 64);
    CU_ASSERT_EQUAL(served_beside_a_flood(0xC6330002, 1, 1, large), 64);
    CU_ASSERT_EQUAL(served_beside_a_flood(0xC6330002, 1, FLOODERS, large), 64);   /* a network of them */
    CU_ASSERT_EQUAL(served_beside_a_flood(0xC6330002, 256, FLOODERS, large), 64); /* as many networks */
    CU_ASSERT_EQUAL(served_beside_a_flood(0xC61202F0, 0, 1, large), 64); /* the other's own network */
}

static void a_read_without_room_to_wait_is_told_busy_and_nothing_else(void)
{
    start(&sync_rules);
    static char large[VALUE_BYTES_MAX + 1];
    memset(large, 'x', VALUE_BYTES_MAX);
    CU_ASSERT(waits(&w.other, native_set("large", large)));
    unsigned gets = 0;
    while (waits(&w.peer, native_get("large")))
        CU_ASSERT_FATAL(++gets < 1000);
    CU_ASSERT_EQUAL(gets, PARKED_SESSION_BYTES / parked_entry_bytes(VALUE_BYTES_MAX + 40));
    struct reply reply = native_peer_do(&w.peer, native_get("large"));
    CU_ASSERT(reply.status == STATUS_BUSY && reply.value_length == 0 && reply.version == 0);
    stop();
}

static void what_cannot_leave_leaves_later(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, native_set("a", "1")));
    CU_ASSERT(waits(&w.peer, native_get("a")));
    w.node.refuse_to_send = true;
    durable_all();
    durable_all();
    CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 2);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked_unsent), 2);
    w.node.refuse_to_send = false;
    native_turn(&w.node);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_OK);
    struct reply reply = late(&w.peer);
    CU_ASSERT(native_value_is(&reply, "1"));
    stop();
}

static void what_is_given_up_and_cannot_leave_is_given_up_once(void)
{
    start(&sync_rules);
    CU_ASSERT(waits(&w.peer, native_set("a", "1")));
    CU_ASSERT(waits(&w.peer, native_get("a")));
    durable_point_set(&w.shared.durable, native_lsn(&w.shared) - 1, true);
    w.node.refuse_to_send = true;
    native_turn(&w.node);
    native_turn(&w.node);
    w.node.refuse_to_send = false;
    native_turn(&w.node);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_TIMEOUT);
    CU_ASSERT_EQUAL(late(&w.peer).status, STATUS_STALE);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked_timeout), 1);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_parked_stale), 1);
    stop();
}

static void plain_datagrams_wait_too(void)
{
    uint8_t bytes[NATIVE_ROOM] = {0}, head[DATAGRAM_HEADER_BYTES];
    struct message_writer writer;
    start_with(&sync_rules, SUITE_MAC, true, 0);
    struct operation set = native_set("k", "v");
    set.request_id = 9;
    bytes[0] = DATAGRAM_MAGIC;
    bytes[1] = DATAGRAM_PLAIN;
    bytes[2] = PROTOCOL_VERSION_MAX;
    memset(bytes + 4, 0xAB, 12); /* the client's own */
    memcpy(head, bytes, sizeof(head));
    message_begin(&writer, bytes + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, &set);
    size_t length = DATAGRAM_HEADER_BYTES +
                    message_finish(&writer, &(struct message_header){.version = PROTOCOL_VERSION_MAX});
    CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, length), 0);
    CU_ASSERT_EQUAL_FATAL(native_udp_parked(w.node.service), 1);
    durable_all();
    CU_ASSERT_EQUAL_FATAL(w.node.sent, 1);
    const struct native_sent *sent = &w.node.outbox[0];
    struct message_reader reader;
    struct message_header header;
    struct reply reply = {0};
    CU_ASSERT(memcmp(sent->bytes, head, sizeof(head)) == 0 && sent->length <= length);
    CU_ASSERT(flow_equal(&sent->path.flow, &w.peer.path.flow));
    CU_ASSERT_EQUAL(message_open(&reader, &header, sent->bytes + DATAGRAM_HEADER_BYTES,
                                 (size_t)sent->length - DATAGRAM_HEADER_BYTES, false),
                    0);
    CU_ASSERT(message_next_reply(&reader, &reply) == 1 && reply.status == STATUS_OK && reply.request_id == 9);
    stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a write is answered when it is durable", a_write_is_answered_when_it_is_durable},
        {"sealed datagrams wait too", sealed_datagrams_wait_too},
        {"replies leave in the order of their requests", replies_leave_in_the_order_of_their_requests},
        {"a write that changes nothing waits for what it tells",
         a_write_that_changes_nothing_waits_for_what_it_tells},
        {"FULL tells of a condition and waits for it", full_tells_of_a_condition_and_waits_for_it},
        {"a read of what is not durable waits and others do not",
         a_read_of_what_is_not_durable_waits_and_others_do_not},
        {"an item is as durable as itself and not as its bucket",
         an_item_is_as_durable_as_itself_and_not_as_its_bucket},
        {"what a FLUSH hid is gone when the FLUSH is durable",
         what_a_flush_hid_is_gone_when_the_flush_is_durable},
        {"what the sweep removed is gone when the removal is durable",
         what_the_sweep_removed_is_gone_when_the_removal_is_durable},
        {"a batch waits as a whole for its highest", a_batch_waits_as_a_whole_for_its_highest},
        {"an async server waits for whom asks for it", an_async_server_waits_for_whom_asks_for_it},
        {"no request gets below the server's level", no_request_gets_below_the_servers_level},
        {"reads may be of memory for a whole server", reads_may_be_of_memory_for_a_whole_server},
        {"a repeated write joins the one that waits", a_repeated_write_joins_the_one_that_waits},
        {"after too long a write is unknown and a read stale",
         after_too_long_a_write_is_unknown_and_a_read_stale},
        {"a failed log is told at once", a_failed_log_is_told_at_once},
        {"a session that has ended gets nothing", a_session_that_has_ended_gets_nothing},
        {"the next session of a place gets nothing of the last",
         the_next_session_of_a_place_gets_nothing_of_the_last},
        {"a session with its share parked is told BUSY before anything happens",
         a_session_with_its_share_parked_is_told_busy_before_anything_happens},
        {"one client with many sessions leaves room to others",
         one_client_with_many_sessions_leaves_room_to_others},
        {"a read without room to wait is told BUSY and nothing else",
         a_read_without_room_to_wait_is_told_busy_and_nothing_else},
        {"what cannot leave leaves later", what_cannot_leave_leaves_later},
        {"what is given up and cannot leave is given up once",
         what_is_given_up_and_cannot_leave_is_given_up_once},
        {"PLAIN datagrams wait too", plain_datagrams_wait_too},
        CU_TEST_INFO_NULL};
    return suite_run("native_parked", tests);
}
