/*
 * test_native_tcp_unread.c - replies over streams that wait, for a client that does not read or for buffers:
 * whose they are is held back, and reset in time; nobody else is.
 */
#include "native_tcp_fixture.h"
#include "suite.h"

static void a_client_that_does_not_read_is_held_back_and_no_other_is(void)
{
    static uint8_t bytes[200000];
    struct tcp_client *slow, *quick;
    struct tcp_node *node = node_with_two(&(struct tcp_node_options){0}, &slow, &quick);
    size_t length = 0, wanted = 200;
    slow->stream->send_limit = 1 << 20;
    tcp_client_do(slow, native_set("large", large_value));
    for (unsigned i = 0; i < wanted; i++) {
        struct operation get = native_get("large");
        length += tcp_client_seal(slow, &get, 1, bytes + length);
    }
    for (size_t at = 0; at < length; at += 1448)
        tcp_client_send(slow, bytes + at, length - at < 1448 ? length - at : 1448);
    tcp_node_turn(node);
    size_t unsent = slow->stream->out_length - slow->stream->out_taken;
    CU_ASSERT(unsent > NATIVE_TCP_UNSENT_MAX && unsent <= NATIVE_TCP_SEND_BYTES);
    CU_ASSERT(slow->stream->in_length > 1000);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    CU_ASSERT_EQUAL(tcp_client_do(quick, native_get("large")).status, STATUS_OK);
    /* it reads a little: still held back; then half: it goes on; then all */
    tcp_client_read(slow, 2000);
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(slow->stream->out_length - slow->stream->out_taken, unsent - 2000);
    tcp_client_read(slow, unsent - 2000 - NATIVE_TCP_UNSENT_MAX / 2);
    tcp_node_turn(node);
    CU_ASSERT(slow->stream->out_length - slow->stream->out_taken > NATIVE_TCP_UNSENT_MAX);
    tcp_client_rest(slow);
    CU_ASSERT_EQUAL_FATAL(slow->count, wanted + 1);
    for (unsigned i = 1; i <= wanted; i++)
        CU_ASSERT(slow->replies[i].request_id == i + 1 && native_value_is(&slow->replies[i], large_value));
    CU_ASSERT(tcp_counted(node, COUNTER_native_tcp_blocked) >= 2);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 0);
    node_with_two_stop(node, slow, quick);
}

static void a_client_that_never_reads_is_reset_in_time(void)
{
    struct tcp_client *slow, *quick;
    struct tcp_node *node = node_with_two(&(struct tcp_node_options){0}, &slow, &quick);
    slow->stream->send_limit = 1 << 20;
    tcp_client_do(slow, native_set("large", large_value));
    for (unsigned i = 0; i < 100; i++) {
        struct operation get = native_get("large");
        tcp_client_say(slow, &get, 1);
    }
    tcp_node_turn(node);
    for (uint64_t passed = 0; passed + 1000000000 < NATIVE_TCP_STALL_NS; passed += 1000000000) {
        tcp_node_pass(node, 1000000000);
        CU_ASSERT_FALSE(is_gone(slow));
    }
    tcp_node_pass(node, 1000000000 + NATIVE_TCP_CHECK_NS);
    CU_ASSERT_TRUE(was_reset(slow));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_stalled), 1);
    CU_ASSERT_EQUAL(tcp_client_do(quick, native_get("large")).status, STATUS_OK);
    node_with_two_stop(node, slow, quick);
}

/*
 * It waits for a buffer, too, and nobody could tell which of the two it is held back for: with `asked` replies unread,
 * more than the mark for going on, before it wants the buffer or, in one burst, with what makes them.
 */
static void never_reads_and_waits_for_a_buffer(unsigned asked, bool burst)
{
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    struct tcp_client *slow, *other;
    struct tcp_node *node = node_with_two(&(struct tcp_node_options){.large_buffers = 1}, &slow, &other);
    struct operation get = native_get("large"), sets[12];
    slow->stream->send_limit = 1 << 20;
    tcp_client_do(slow, native_set("large", large_value));
    for (unsigned i = 0; i < 12; i++)
        sets[i] = native_set("k", large_value);
    tcp_client_seal(other, sets, 12, record);
    tcp_client_send(other, record, 5000);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).large_buffers, 1);
    slow->stream->stream.lasting = burst;
    for (unsigned i = 0; i < asked; i++) {
        get.request_id = 0;
        tcp_client_say(slow, &get, 1);
    }
    tcp_client_seal(slow, sets, 12, record);
    tcp_client_send(slow, record, 5000);
    if (burst) {
        struct stream_acceptor acceptor = native_tcp_acceptor(node->service);
        acceptor.delivered(acceptor.state);
        fake_delivered(slow->stream);
    }
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    tcp_node_turn(node);
    for (uint64_t passed = 0; passed + 1000000000 < NATIVE_TCP_STALL_NS; passed += 1000000000) {
        tcp_node_pass(node, 1000000000);
        CU_ASSERT_FALSE(is_gone(slow));
    }
    tcp_node_pass(node, 1000000000 + NATIVE_TCP_CHECK_NS);
    CU_ASSERT_TRUE(was_reset(slow));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_stalled), 1);
    node_with_two_stop(node, slow, other);
}

static void a_client_that_never_reads_is_reset_though_it_waits_for_a_buffer(void)
{
    never_reads_and_waits_for_a_buffer(20, false);
    never_reads_and_waits_for_a_buffer(31, true);
}

/* Ten seconds are what a client has for a record that it may send; while it is held back it may not. */
static void a_record_in_part_may_take_longer_while_its_client_is_held_back(void)
{
    static uint8_t bytes[200000], last[4096];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *slow = tcp_client_new(node, 1);
    struct operation set = native_set("last", large_value);
    size_t length = 0;
    slow->stream->send_limit = 1 << 20;
    tcp_client_do(slow, native_set("large", large_value));
    for (unsigned i = 0; i < 31; i++) { /* too much, but not before all is taken */
        struct operation get = native_get("large");
        length += tcp_client_seal(slow, &get, 1, bytes + length);
    }
    size_t rest = tcp_client_seal(slow, &set, 1, last);
    memcpy(bytes + length, last, 500);
    tcp_client_send(slow, bytes, length + 500);
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).small_buffers, 1);
    for (unsigned seconds = 0; seconds < 20; seconds++)
        tcp_node_pass(node, 1000000000);
    CU_ASSERT_FALSE(is_gone(slow));
    tcp_client_rest(slow);
    tcp_node_pass(node, NATIVE_TCP_RECORD_NS - 1000000000);
    CU_ASSERT_FALSE(is_gone(slow));
    tcp_client_send(slow, last + 500, rest - 500);
    tcp_client_rest(slow);
    CU_ASSERT_EQUAL(slow->count, 33);
    tcp_client_free(slow);
    tcp_node_stop(node);
}

/* A stream that takes less than the service would like, or nothing for a while: no reply is lost or moved. */
static void replies_wait_in_buffers_when_the_stream_takes_none(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1);
    tcp_client_do(c, native_set("large", large_value));
    c->stream->send_limit = 700;
    struct operation gets[15];
    for (unsigned i = 0; i < 15; i++)
        gets[i] = native_get("large");
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned g = 0; g < 15; g++)
            gets[g].request_id = 0;
        tcp_client_say(c, gets, 15);
    }
    CU_ASSERT(native_tcp_counts(node->service).large_buffers > 0);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    while (c->count < 1 + 6 * 15) {
        unsigned before = c->stream->out_taken;
        tcp_client_read(c, 333);
        tcp_node_turn(node);
        CU_ASSERT_FATAL(c->stream->out_taken > before);
    }
    for (unsigned i = 1; i < c->count; i++)
        CU_ASSERT(c->replies[i].request_id == i + 1 && native_value_is(&c->replies[i], large_value));
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).large_buffers, 0);
    /* and CLOSE waits its turn behind them */
    uint8_t record[RECORD_OVERHEAD_BYTES];
    tcp_client_say(c, gets, 15);
    tcp_client_send(c, record, record_close(&c->writer, record));
    tcp_node_turn(node);
    CU_ASSERT_FALSE(c->stream->close_asked);
    for (unsigned i = 0; i < 100; i++) {
        tcp_client_read(c, 333);
        tcp_node_turn(node);
    }
    CU_ASSERT_TRUE(c->closed && c->stream->close_asked && !c->refused);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void without_a_buffer_for_a_reply_the_connection_is_reset(void)
{
    struct tcp_client *first, *second;
    struct tcp_node *node = node_with_two(&(struct tcp_node_options){.large_buffers = 1}, &first, &second);
    tcp_client_do(first, native_set("large", large_value));
    first->stream->no_buffers = second->stream->no_buffers = true;
    struct operation get = native_get("large"), again = get;
    tcp_client_say(first, &get, 1);
    tcp_client_say(second, &again, 1);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(second));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_no_buffer), 1);
    first->stream->no_buffers = false;
    tcp_client_rest(first);
    CU_ASSERT_TRUE(native_value_is(&first->replies[first->count - 1], large_value));
    node_with_two_stop(node, first, second);
}

/* The buffers for replies that all streams share are out: nobody is reset, and nobody is overtaken. */
static void who_waits_for_reply_buffers_is_answered_in_turn(void)
{
    enum { CLIENTS = 6 };
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c[CLIENTS];
    struct operation get = native_get("k");
    for (unsigned i = 0; i < CLIENTS; i++)
        c[i] = tcp_client_new(node, i + 1);
    for (unsigned i = 0; i + 1 < CLIENTS; i++) {
        c[i]->stream->spare = RECORD_BYTES_MAX - 1;
        if (i == 0) /* which does while a large buffer would take the rest */
            CU_ASSERT_EQUAL(tcp_client_do(c[i], get).status, STATUS_NOT_FOUND);
        c[i]->stream->spare = 0;
        tcp_client_say(c[i], &get, 1);
    }
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, CLIENTS - 1);
    tcp_client_say(c[CLIENTS - 1], &get, 1); /* there is enough for it, but others came first */
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, CLIENTS);
    tcp_client_read(c[CLIENTS - 1], SIZE_MAX);
    CU_ASSERT_EQUAL(c[CLIENTS - 1]->count, 0);
    tcp_node_pass(node, NATIVE_TCP_IDLE_NS); /* it is not they who keep us waiting */
    tcp_client_rest(c[CLIENTS - 1]);
    CU_ASSERT_EQUAL(c[CLIENTS - 1]->count, 1); /* nor does it wait for those who cannot go on */
    for (unsigned i = 0; i < CLIENTS; i++)
        c[i]->stream->spare = SIZE_MAX;
    tcp_node_turn(node);
    for (unsigned i = 0; i < CLIENTS; i++) {
        tcp_client_rest(c[i]);
        CU_ASSERT_EQUAL(c[i]->count, i == 0 ? 2 : 1);
        CU_ASSERT_FALSE(is_gone(c[i]));
    }
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 0);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_starved), CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++)
        tcp_client_free(c[i]);
    tcp_node_stop(node);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a client that does not read is held back and no other is",
         a_client_that_does_not_read_is_held_back_and_no_other_is},
        {"a client that never reads is reset in time", a_client_that_never_reads_is_reset_in_time},
        {"a client that never reads is reset though it waits for a buffer",
         a_client_that_never_reads_is_reset_though_it_waits_for_a_buffer},
        {"a record in part may take longer while its client is held back",
         a_record_in_part_may_take_longer_while_its_client_is_held_back},
        {"replies wait in buffers when the stream takes none",
         replies_wait_in_buffers_when_the_stream_takes_none},
        {"without a buffer for a reply the connection is reset",
         without_a_buffer_for_a_reply_the_connection_is_reset},
        {"who waits for reply buffers is answered in turn", who_waits_for_reply_buffers_is_answered_in_turn},
        CU_TEST_INFO_NULL,
    };
    large_value_fill();
    return suite_run("native_tcp_unread", tests);
}
