/*
 * test_native_tcp_unfinished.c - streams that do not finish what they began, or have nothing more to say:
 * each has its time, and is ended after it.
 */
#include "native_tcp_fixture.h"
#include "suite.h"

static size_t seal_large(struct tcp_client *c, uint8_t *out)
{
    struct operation sets[12];
    for (unsigned i = 0; i < 12; i++)
        sets[i] = native_set("large", large_value);
    return tcp_client_seal(c, sets, 12, out);
}

static void records_in_part_wait_for_buffers_in_turn(void)
{
    static uint8_t bytes[3][RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    struct tcp_node *node =
        tcp_node_start(&(struct tcp_node_options){.large_buffers = 1, .small_buffers = 1});
    struct tcp_client *c[3];
    size_t length[3];
    for (unsigned i = 0; i < 3; i++) {
        c[i] = tcp_client_new(node, i);
        length[i] = seal_large(c[i], bytes[i]);
        tcp_client_send(c[i], bytes[i], 5000);
        tcp_node_turn(node);
    }
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).large_buffers, 1);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 2);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_buffer_waits), 2);
    struct tcp_client *small = tcp_client_new(node, 4); /* a small one has its own */
    CU_ASSERT_EQUAL(tcp_client_do(small, native_get("k")).status, STATUS_NOT_FOUND);
    for (unsigned i = 0; i < 3; i++) {
        tcp_client_send(c[i], bytes[i] + 5000, length[i] - 5000);
        tcp_client_rest(c[i]);
        CU_ASSERT_EQUAL(c[i]->count, 12);
    }
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).large_buffers, 0);
    for (unsigned i = 0; i < 3; i++)
        tcp_client_free(c[i]);
    tcp_client_free(small);
    tcp_node_stop(node);
}

/* A byte now and then does not keep a record, its buffer, and those who wait for it. */
static void a_record_that_never_completes_is_reset_in_time(void)
{
    static uint8_t bytes[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.large_buffers = 1});
    struct tcp_client *slow = tcp_client_new(node, 1);
    seal_large(slow, bytes);
    tcp_client_send(slow, bytes, 3000);
    tcp_node_turn(node);
    unsigned seconds = 0;
    while (!is_gone(slow) && seconds < 60) {
        tcp_client_send(slow, bytes + 3000 + seconds, 1);
        tcp_node_pass(node, 1000000000);
        seconds++;
    }
    CU_ASSERT(seconds >= 10 && seconds <= 13);
    CU_ASSERT_TRUE(was_reset(slow));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_unfinished), 1);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).large_buffers, 0);
    tcp_client_free(slow);
    tcp_node_stop(node);
}

/* Sooner if somebody waits for the buffer; who began last is not the one to go. */
static void a_record_that_does_not_complete_makes_room_for_one_that_waits(void)
{
    static uint8_t bytes[4][RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    struct tcp_node *node =
        tcp_node_start(&(struct tcp_node_options){.large_buffers = 4}); /* 3 for requests */
    struct tcp_client *c[4];
    size_t length[4];
    for (unsigned i = 0; i < 4; i++) {
        c[i] = tcp_client_new(node, i);
        length[i] = seal_large(c[i], bytes[i]);
        tcp_client_send(c[i], bytes[i], 3000);
        tcp_node_pass(node, 1000000);
    }
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    tcp_client_send(c[0], bytes[0] + 3000, length[0] - 3000); /* is done, and begins another one */
    tcp_client_rest(c[0]);
    CU_ASSERT_EQUAL(c[0]->count, 12);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 0);
    seal_large(c[0], bytes[0]);
    tcp_client_send(c[0], bytes[0], 3000);
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    tcp_client_send(c[0], bytes[0] + 3000, 1); /* waits, and is not to be blamed for it */
    tcp_node_pass(node, NATIVE_TCP_RECORD_GRACE_NS);
    CU_ASSERT_TRUE(is_gone(c[1]) && was_reset(c[1]));
    CU_ASSERT_FALSE(is_gone(c[0]) || is_gone(c[2]) || is_gone(c[3]));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_displaced), 1);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 0);
    for (unsigned i = 0; i < 4; i++)
        tcp_client_free(c[i]);
    tcp_node_stop(node);
}

static void connections_that_say_too_little_are_reset_in_time(void)
{
    static const struct {
        size_t bytes; /* of an INIT */
        uint64_t limit_ns;
        enum counter counter;
    } rows[] = {
        {0, NATIVE_TCP_SNIFF_NS, COUNTER_native_tcp_silent},
        {1, NATIVE_TCP_HANDSHAKE_NS, COUNTER_native_pending_expired},
        {95, NATIVE_TCP_HANDSHAKE_NS, COUNTER_native_pending_expired},
        {96, NATIVE_TCP_HANDSHAKE_NS, COUNTER_native_pending_expired}, /* RESPONSE sent, no CONFIRM */
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
        struct tcp_client *c = tcp_client_open(node, 1);
        tcp_client_start(c);
        tcp_client_send(c, c->handshake.init, rows[i].bytes);
        tcp_node_turn(node);
        tcp_node_pass(node, rows[i].limit_ns - 1);
        CU_ASSERT_FALSE(is_gone(c));
        tcp_node_pass(node, 1);
        CU_ASSERT_TRUE(was_reset(c));
        CU_ASSERT_EQUAL(tcp_counted(node, rows[i].counter), 1);
        tcp_client_free(c);
        tcp_node_stop(node);
    }
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.http = true});
    struct tcp_client *c = tcp_client_open(node, 1);
    tcp_client_send(c, "GE", 2);
    tcp_node_pass(node, NATIVE_TCP_SNIFF_NS);
    CU_ASSERT_TRUE(was_reset(c));
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void an_idle_session_is_closed_in_order(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1);
    for (uint64_t passed = 0; passed < NATIVE_TCP_IDLE_NS - NATIVE_TCP_CHECK_NS;
         passed += NATIVE_TCP_CHECK_NS)
        tcp_node_pass(node, NATIVE_TCP_CHECK_NS);
    tcp_client_rest(c);
    CU_ASSERT_FALSE(c->closed);
    CU_ASSERT_EQUAL(tcp_client_do(c, native_get("k")).status, STATUS_NOT_FOUND);
    for (uint64_t passed = 0; passed < NATIVE_TCP_IDLE_NS; passed += NATIVE_TCP_CHECK_NS) {
        CU_ASSERT_FALSE(c->stream->close_asked);
        tcp_node_pass(node, NATIVE_TCP_CHECK_NS);
    }
    tcp_client_rest(c);
    CU_ASSERT_TRUE(c->closed && c->stream->close_asked);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_idle), 1);
    tcp_node_pass(node, NATIVE_TCP_CLOSING_NS); /* the peer does not end its side */
    CU_ASSERT_TRUE(was_reset(c));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_lingered), 1);
    tcp_client_free(c);
    tcp_node_stop(node);
}

/* Thousands of idle sessions must not keep a worker busy with their timers. */
static void an_idle_session_has_no_timer_before_it_may_end(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1);
    uint64_t *deadline_ns = &c->stream->deadline_ns, *now_ns = &node->shared.now.mono_ns;
    CU_ASSERT_EQUAL(*deadline_ns, *now_ns + NATIVE_TCP_IDLE_NS);
    /* a record in part has a limit of its own */
    struct operation get = native_get("k");
    uint8_t bytes[256];
    size_t length = tcp_client_seal(c, &get, 1, bytes);
    tcp_client_send(c, bytes, length - 1);
    CU_ASSERT_EQUAL(*deadline_ns, *now_ns + NATIVE_TCP_CHECK_NS);
    tcp_node_pass(node, NATIVE_TCP_CHECK_NS);
    CU_ASSERT_EQUAL(*deadline_ns, *now_ns + NATIVE_TCP_CHECK_NS);
    tcp_client_send(c, bytes + length - 1, 1);
    uint64_t last_ns = *now_ns;
    tcp_client_rest(c);
    CU_ASSERT_EQUAL(c->count, 1);
    tcp_node_pass(node, NATIVE_TCP_CHECK_NS);
    CU_ASSERT_EQUAL(*deadline_ns, last_ns + NATIVE_TCP_IDLE_NS);
    CU_ASSERT_FALSE(is_gone(c));
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void a_stream_that_ends_without_close_was_cut_off(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_open(node, 2);
    struct operation get = native_get("k");
    tcp_client_say(c, &get, 1);
    fake_end(c->stream);
    fake_end(d->stream);
    tcp_client_rest(c);
    CU_ASSERT_EQUAL(c->count, 1); /* what was asked is answered */
    CU_ASSERT_FALSE(c->closed);
    CU_ASSERT_TRUE(is_gone(c) && c->stream->end == STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_truncated), 1);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_left), 1);
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"records in part wait for buffers in turn", records_in_part_wait_for_buffers_in_turn},
        {"a record that never completes is reset in time", a_record_that_never_completes_is_reset_in_time},
        {"a record that does not complete makes room for one that waits",
         a_record_that_does_not_complete_makes_room_for_one_that_waits},
        {"connections that say too little are reset in time",
         connections_that_say_too_little_are_reset_in_time},
        {"an idle session is closed in order", an_idle_session_is_closed_in_order},
        {"an idle session has no timer before it may end", an_idle_session_has_no_timer_before_it_may_end},
        {"a stream that ends without CLOSE was cut off", a_stream_that_ends_without_close_was_cut_off},
        CU_TEST_INFO_NULL,
    };
    large_value_fill();
    return suite_run("native_tcp_unfinished", tests);
}
