/*
 * test_native_tcp_bursts.c - what streams ask in one burst: executed together, answered at its end, in order.
 */
#include "native_tcp_fixture.h"
#include "suite.h"

/* From now until burst_ends() the client's bytes are part of one burst. */
static void burst_begins(struct tcp_client *c)
{
    c->stream->stream.lasting = true;
}

static void burst_ends(struct tcp_node *node)
{
    struct stream_acceptor acceptor = native_tcp_acceptor(node->service);
    acceptor.delivered(acceptor.state);
    for (unsigned s = 0; s < node->count; s++)
        fake_delivered(node->streams[s]);
    tcp_discard_log(node);
}

static void what_a_burst_asks_is_answered_at_its_end(void)
{
    struct tcp_client *c, *d;
    struct tcp_node *node = node_with_two(&(struct tcp_node_options){0}, &c, &d);
    struct operation set = native_set("k", "1"), get = native_get("k"), again = native_get("k"),
                     other = native_set("k", "2");
    burst_begins(c);
    burst_begins(d);
    tcp_client_say(c, &set, 1);
    tcp_client_say(d, &get, 1);
    tcp_client_say(d, &other, 1);
    tcp_client_say(c, &again, 1);
    CU_ASSERT_EQUAL(c->stream->out_length - c->stream->out_taken, 0);
    burst_ends(node);
    tcp_client_rest(c);
    tcp_client_rest(d);
    CU_ASSERT_EQUAL_FATAL(c->count, 2);
    CU_ASSERT_EQUAL_FATAL(d->count, 2);
    CU_ASSERT(c->replies[0].status == STATUS_OK && native_value_is(&c->replies[1], "2"));
    CU_ASSERT(native_value_is(&d->replies[0], "1") && d->replies[1].status == STATUS_OK);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_messages), 4);
    node_with_two_stop(node, c, d);
}

static void a_burst_may_ask_more_than_is_executed_together(void)
{
    struct tcp_client *c, *d;
    struct tcp_node *node = node_with_two(&(struct tcp_node_options){0}, &c, &d);
    tcp_client_do(d, native_set("large", large_value));
    burst_begins(c);
    burst_begins(d);
    for (unsigned i = 0; i < 60; i++) {
        struct operation get = native_get("large"), set = native_set("k", "v");
        tcp_client_say(c, &get, 1);
        tcp_client_say(d, &set, 1);
    }
    burst_ends(node);
    /* the one has not read: it is held back, and what it has asked in vain comes again */
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    size_t unsent = c->stream->out_length - c->stream->out_taken;
    CU_ASSERT(unsent > NATIVE_TCP_UNSENT_MAX && unsent <= NATIVE_TCP_SEND_BYTES);
    tcp_client_rest(d);
    CU_ASSERT_EQUAL(d->count, 61);
    tcp_client_rest(c);
    CU_ASSERT_EQUAL_FATAL(c->count, 60);
    for (unsigned i = 0; i < 60; i++)
        CU_ASSERT(c->replies[i].request_id == i + 1 && native_value_is(&c->replies[i], large_value));
    node_with_two_stop(node, c, d);
}

static void what_was_asked_before_an_end_in_the_same_burst_is_answered(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_new(node, 2),
                      *e = tcp_client_new(node, 3);
    struct operation set = native_set("k", "1"), get = native_get("k");
    uint8_t record[RECORD_OVERHEAD_BYTES], nonsense[8] = {DATAGRAM_MAGIC, RECORD_PLAIN};
    burst_begins(c);
    burst_begins(d);
    burst_begins(e);
    tcp_client_say(c, &set, 1);
    tcp_client_say(d, &get, 1);
    tcp_client_say(e, &get, 1);
    c->stream->stream.events->ended(&c->stream->stream);
    c->stream->ended_told = true;
    tcp_client_send(d, nonsense, sizeof(nonsense));
    tcp_client_send(e, record, record_close(&e->writer, record));
    burst_ends(node);
    tcp_client_rest(c);
    tcp_client_rest(d);
    tcp_client_rest(e);
    CU_ASSERT(c->count == 1 && c->replies[0].status == STATUS_OK && !c->closed);
    CU_ASSERT(d->count == 1 && native_value_is(&d->replies[0], "1") && !d->closed);
    CU_ASSERT(e->count == 1 && native_value_is(&e->replies[0], "1") && e->closed);
    CU_ASSERT(c->stream->close_asked && d->stream->close_asked && e->stream->close_asked);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).live, 0);
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_client_free(e);
    tcp_node_stop(node);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"what a burst asks is answered at its end", what_a_burst_asks_is_answered_at_its_end},
        {"a burst may ask more than is executed together", a_burst_may_ask_more_than_is_executed_together},
        {"what was asked before an end in the same burst is answered",
         what_was_asked_before_an_end_in_the_same_burst_is_answered},
        CU_TEST_INFO_NULL,
    };
    large_value_fill();
    return suite_run("native_tcp_bursts", tests);
}
