/*
 * test_native_tcp_crowds.c - many who want what is scarce, places for newcomers and buffers for records in part:
 * whoever wants little gets it, at once or nearly so, whatever the crowd does.
 */
#include "native_tcp_fixture.h"
#include "service/native_tcp_internal.h"
#include "suite.h"

static void the_unconfirmed_have_a_share_and_the_oldest_makes_room_at_once(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 16}); /* 4 unconfirmed */
    struct tcp_client *c[4], *live = tcp_client_new(node, 9);
    for (unsigned i = 0; i < 4; i++)
        c[i] = tcp_client_open_from(node, 0xC6120702, (uint16_t)(1000 + i));
    struct tcp_client *other = tcp_client_open_from(node, 0xC6120802, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(c[0]));
    CU_ASSERT_FALSE(c[1]->stream->closed);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_pending_displaced), 1);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).unconfirmed, 4);
    CU_ASSERT_TRUE(tcp_client_connect(other));
    CU_ASSERT_EQUAL(tcp_client_do(live, native_get("k")).status, STATUS_NOT_FOUND);
    for (unsigned i = 0; i < 4; i++)
        tcp_client_free(c[i]);
    tcp_client_free(other);
    tcp_client_free(live);
    tcp_node_stop(node);
}

/* Among its own, each gets its chance: newcomers wait while all are young. */
static void a_source_that_fills_the_share_waits_for_its_own(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 16});
    struct tcp_client *c[5];
    for (unsigned i = 0; i < 4; i++)
        c[i] = tcp_client_open_from(node, 0xC6120702, (uint16_t)(1000 + i));
    CU_ASSERT_PTR_NULL(tcp_client_open_from(node, 0xC6120702, 1004));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_full), 1);
    tcp_node_pass(node, NATIVE_TCP_GRACE_NS);
    c[4] = tcp_client_open_from(node, 0xC6120702, 1004);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c[4]);
    tcp_node_turn(node);
    CU_ASSERT(was_reset(c[0]) && !c[1]->stream->closed);
    for (unsigned i = 0; i < 5; i++)
        tcp_client_free(c[i]);
    tcp_node_stop(node);
}

/*
 * Before each step of a handshake `burst` connections come from `hosts` addresses of one network, as fast as they
 * can: all at the same time. The client that shakes hands is at `ip4`.
 */
static bool shakes_hands_in_a_crowd(uint32_t ip4, unsigned hosts, unsigned burst)
{
    struct tcp_node *node =
        tcp_node_start(&(struct tcp_node_options){.connections = 64}); /* 16 unconfirmed */
    struct tcp_client *good = NULL, *crowd[1000];
    unsigned crowd_count = 0;
    for (unsigned step = 0; step < 4; step++) {
        for (unsigned i = 0; i < burst; i++) {
            struct tcp_client *c =
                tcp_client_open_from(node, 0xC6120500 + i % hosts, (uint16_t)(1000 + 100 * step + i));
            if (c != NULL)
                crowd[crowd_count++] = c;
            if (i % 8 == 7)
                tcp_node_turn(node);
        }
        if (step == 0) {
            good = tcp_client_open_from(node, ip4, 40000);
            if (good == NULL)
                break;
        } else if (step == 1) {
            tcp_client_start(good);
            tcp_client_send(good, good->handshake.init, HANDSHAKE_INIT_BYTES);
        } else if (step == 2) {
            tcp_client_rest(good);
        } else {
            tcp_client_send(good, good->confirm, sizeof(good->confirm));
            tcp_client_rest(good);
        }
    }
    bool ready = good != NULL && good->ready;
    if (good != NULL)
        tcp_client_free(good);
    while (crowd_count > 0)
        tcp_client_free(crowd[--crowd_count]);
    tcp_node_stop(node);
    return ready;
}

static void a_fast_connector_keeps_nobody_from_shaking_hands(void)
{
    CU_ASSERT_TRUE(shakes_hands_in_a_crowd(0xC6120902, 1, 100));   /* of another network */
    CU_ASSERT_TRUE(shakes_hands_in_a_crowd(0xC6120977, 200, 100)); /* nor do all addresses of one */
    CU_ASSERT_TRUE(shakes_hands_in_a_crowd(0xC61205F0, 1, 100));   /* of its own network */
    CU_ASSERT_TRUE(shakes_hands_in_a_crowd(0xC61205F0, 5, 100));
}

/* Sessions have taken nearly every place: what is left is shared out as well. */
static void the_last_places_are_shared_out_too(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 64});
    struct tcp_client *live[56], *crowd[200];
    unsigned crowd_count = 0;
    for (unsigned i = 0; i < 56; i++)
        live[i] = tcp_client_new(node, i);
    for (unsigned i = 0; i < 200; i++) {
        struct tcp_client *c = tcp_client_open_from(node, 0xC6130502, (uint16_t)(1000 + i));
        if (c != NULL)
            crowd[crowd_count++] = c;
    }
    struct tcp_client *good = tcp_client_open_from(node, 0xC6130602, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(good);
    CU_ASSERT_TRUE(tcp_client_connect(good));
    for (unsigned i = 0; i < 56; i++)
        tcp_client_free(live[i]);
    while (crowd_count > 0)
        tcp_client_free(crowd[--crowd_count]);
    tcp_client_free(good);
    tcp_node_stop(node);
}

enum { SLOW_SENDERS = 1050, SLOW_NODE_SMALL = 1024, SLOW_NODE_LARGE = 128 }; /* as a node has them */

/* Sessions of `hosts` hosts begin a record each - every 8th a large one - and say no more. */
static struct tcp_node *slow_senders(struct tcp_client *slow[SLOW_SENDERS], unsigned hosts)
{
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 5000,
                                                                      .small_buffers = SLOW_NODE_SMALL,
                                                                      .large_buffers = SLOW_NODE_LARGE,
                                                                      .bench = true});
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    struct operation sets[12];
    for (unsigned i = 0; i < 12; i++)
        sets[i] = native_set("k", value);
    for (unsigned i = 0; i < SLOW_SENDERS; i++) {
        slow[i] = tcp_client_open_from(node, 0xC6130002 + (i % hosts << 8), (uint16_t)(1000 + i));
        native_check(slow[i] != NULL, "a place");
        slow[i]->writer = record_writer_start(NULL, NULL);
        tcp_client_seal(slow[i], sets, i % 8 == 0 ? 12 : 1, record);
        tcp_client_send(slow[i], record, 500);
    }
    tcp_node_turn(node);
    return node;
}

static struct reply ask_in_two_parts(struct tcp_client *c, const char *key)
{
    uint8_t record[2048];
    static char value[1000];
    memset(value, 'w', sizeof value - 1);
    struct operation set = native_set(key, value);
    size_t length = tcp_client_seal(c, &set, 1, record);
    unsigned before = c->count;
    tcp_client_send(c, record, 400);
    tcp_client_rest(c);
    tcp_client_send(c, record + 400, length - 400);
    tcp_client_rest(c);
    return c->count == before + 1 ? c->replies[before] : (struct reply){.status = 255};
}

static void a_thousand_slow_senders_leave_buffers_to_others(void)
{
    static struct tcp_client *slow[SLOW_SENDERS];
    struct tcp_node *node = slow_senders(slow, 1);
    struct native_tcp_counts counts = native_tcp_counts(node->service);
    CU_ASSERT_EQUAL(counts.small_buffers, SLOW_NODE_SMALL / 2);
    CU_ASSERT_EQUAL(counts.large_buffers, SLOW_NODE_LARGE * 3 / 4 / 2);
    struct tcp_client *good = tcp_client_open_from(node, 0xC6140002, 1);
    good->writer = record_writer_start(NULL, NULL);
    CU_ASSERT_EQUAL(ask_in_two_parts(good, "k").status, STATUS_OK); /* no time has passed */
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    static char value[1000];
    memset(value, 'x', sizeof value - 1);
    struct operation sets[12];
    for (unsigned i = 0; i < 12; i++)
        sets[i] = native_set("l", value);
    size_t length = tcp_client_seal(good, sets, 12, record);
    tcp_client_send(good, record, 5000);
    tcp_client_send(good, record + 5000, length - 5000);
    tcp_client_rest(good);
    CU_ASSERT_EQUAL(good->count, 13);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_displaced), 0);
    /* those who were held back are held back, and nobody's record waits for longer than it may */
    tcp_node_pass(node, NATIVE_TCP_RECORD_NS + NATIVE_TCP_CHECK_NS);
    for (unsigned i = 0; i < SLOW_SENDERS; i++)
        tcp_client_free(slow[i]);
    tcp_client_free(good);
    tcp_node_stop(node);
}

static void slow_senders_of_many_sources_make_room(void)
{
    static struct tcp_client *slow[SLOW_SENDERS];
    struct tcp_node *node = slow_senders(slow, 100);
    struct native_tcp_counts counts = native_tcp_counts(node->service);
    CU_ASSERT(counts.large_buffers == SLOW_NODE_LARGE * 3 / 4 && counts.held_back > 0);
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    static char value[1000];
    memset(value, 'x', sizeof value - 1);
    struct operation sets[12];
    for (unsigned i = 0; i < 12; i++)
        sets[i] = native_set("l", value);
    struct tcp_client *good = tcp_client_open_from(node, 0xC6FF0002, 1);
    good->writer = record_writer_start(NULL, NULL);
    size_t length = tcp_client_seal(good, sets, 12, record);
    tcp_client_send(good, record, 5000);
    tcp_client_send(good, record + 5000, length - 5000);
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(good->count, 0);
    tcp_node_pass(node, NATIVE_TCP_RECORD_GRACE_NS);
    for (unsigned i = 0; i < SLOW_SENDERS / NATIVE_TCP_HELD_PER_TURN + 1; i++) /* its turn comes */
        tcp_node_turn(node);
    tcp_client_rest(good);
    CU_ASSERT_EQUAL(good->count, 12);
    CU_ASSERT(tcp_counted(node, COUNTER_native_tcp_displaced) > 0);
    CU_ASSERT_EQUAL(ask_in_two_parts(good, "m").status, STATUS_OK);
    for (unsigned i = 0; i < SLOW_SENDERS; i++)
        tcp_client_free(slow[i]);
    tcp_client_free(good);
    tcp_node_stop(node);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the unconfirmed have a share and the oldest makes room at once",
         the_unconfirmed_have_a_share_and_the_oldest_makes_room_at_once},
        {"a source that fills the share waits for its own", a_source_that_fills_the_share_waits_for_its_own},
        {"a fast connector keeps nobody from shaking hands",
         a_fast_connector_keeps_nobody_from_shaking_hands},
        {"the last places are shared out too", the_last_places_are_shared_out_too},
        {"a thousand slow senders leave buffers to others", a_thousand_slow_senders_leave_buffers_to_others},
        {"slow senders of many sources make room", slow_senders_of_many_sources_make_room},
        CU_TEST_INFO_NULL,
    };
    return suite_run("native_tcp_crowds", tests);
}
