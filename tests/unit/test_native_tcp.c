/* test_native_tcp.c - sessions over streams: made, used, kept in bounds and ended in order. */
#include "native_tcp_peer.h"
#include "suite.h"

static char large_value[VALUE_BYTES_MAX + 1];

static bool is_gone(const struct tcp_client *c)
{
    return c->stream->closed;
}

static bool was_reset(const struct tcp_client *c)
{
    return c->stream->closed && c->stream->end == STREAM_END_ABORTED;
}

/* ---- sessions ---- */

static void a_session_is_made_and_answers(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_open(node, 1);
    uint8_t operand[INCR_OPERAND_BYTES];
    CU_ASSERT_TRUE(tcp_client_connect(c));
    CU_ASSERT_EQUAL(c->session.suite & SUITE_MAC, 0);
    CU_ASSERT_EQUAL(tcp_client_do(c, native_set("k", "value")).status, STATUS_OK);
    struct reply got = tcp_client_do(c, native_get("k"));
    CU_ASSERT_TRUE(native_value_is(&got, "value"));
    CU_ASSERT_EQUAL(tcp_client_do(c, native_get("absent")).status, STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(tcp_client_do(c, native_incr("n", 5, 1, operand)).status, STATUS_OK);
    CU_ASSERT_EQUAL(tcp_client_do(c, (struct operation){.opcode = OPCODE_HEALTH}).value_length,
                    HEALTH_REPLY_BYTES);
    CU_ASSERT_EQUAL(tcp_client_do(c, (struct operation){.opcode = 77}).status, STATUS_BAD_REQUEST);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_opened), 1);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_messages), 6);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_operations), 6);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).live, 1);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void the_second_secret_opens_sessions_too_and_others_do_not(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.second_secret = true});
    struct tcp_client *c = tcp_client_open(node, 1), *d = tcp_client_open(node, 2);
    c->keys = node->shared.keys[1];
    CU_ASSERT_TRUE(tcp_client_connect(c));
    keys_insecure(&d->keys);
    tcp_client_start(d);
    tcp_client_send(d, d->handshake.init, HANDSHAKE_INIT_BYTES);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(d));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_init_refused), 1);
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
}

/* The same conversation whatever the pieces: a message of several, single ones, a large one, CLOSE. */
static size_t make_script(struct tcp_client *c, uint8_t *out)
{
    static uint8_t operand[INCR_OPERAND_BYTES];
    struct operation several[] = {native_set("a", "1"), native_get("a"), native_incr("n", 2, 40, operand),
                                  native_delete("a"), native_get("a")};
    struct operation one = native_get("n"), large = native_set("l", large_value), back = native_get("l");
    size_t length = tcp_client_seal(c, several, 5, out);
    length += tcp_client_seal(c, &one, 1, out + length);
    length += tcp_client_seal(c, &large, 1, out + length);
    length += tcp_client_seal(c, &back, 1, out + length);
    length += record_close(&c->writer, out + length);
    return length;
}

static bool script_was_answered(const struct tcp_client *c)
{
    static const uint8_t statuses[] = {STATUS_OK,        STATUS_OK, STATUS_OK, STATUS_OK,
                                       STATUS_NOT_FOUND, STATUS_OK, STATUS_OK, STATUS_OK};
    if (c->count != 8 || c->messages != 4 || !c->closed)
        return false;
    for (unsigned i = 0; i < 8; i++)
        if (c->replies[i].status != statuses[i] || c->replies[i].request_id != i + 1)
            return false;
    return native_value_is(&c->replies[5], "42") && native_value_is(&c->replies[7], large_value);
}

static void a_conversation_may_be_split_anywhere(void)
{
    static uint8_t script[8192];
    size_t length = HANDSHAKE_INIT_BYTES + HANDSHAKE_CONFIRM_BYTES + 1; /* grows with the first round */
    for (size_t split = 0; split < length; split += split < 600 ? 1 : 7) {
        struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 4});
        struct tcp_client *c = tcp_client_open(node, 1);
        tcp_client_start(c);
        size_t first = split < HANDSHAKE_INIT_BYTES ? split : 0;
        tcp_client_send(c, c->handshake.init, first);
        tcp_node_turn(node);
        tcp_client_send(c, c->handshake.init + first, HANDSHAKE_INIT_BYTES - first);
        tcp_client_rest(c);
        memcpy(script, c->confirm, HANDSHAKE_CONFIRM_BYTES);
        size_t bytes = HANDSHAKE_CONFIRM_BYTES + make_script(c, script + HANDSHAKE_CONFIRM_BYTES);
        length = HANDSHAKE_INIT_BYTES + bytes;
        size_t at = split < HANDSHAKE_INIT_BYTES ? 0 : split - HANDSHAKE_INIT_BYTES;
        tcp_client_send(c, script, at); /* records follow CONFIRM without waiting for READY */
        if (split % 2)
            tcp_client_rest(c);
        tcp_client_send(c, script + at, bytes - at);
        tcp_client_rest(c);
        CU_ASSERT_TRUE_FATAL(script_was_answered(c));
        fake_end(c->stream);
        tcp_node_turn(node);
        CU_ASSERT_TRUE(is_gone(c) && c->stream->end == STREAM_END_CLOSED);
        CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_closed), 1);
        CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_truncated), 0);
        tcp_client_free(c);
        tcp_node_stop(node);
    }
    CU_ASSERT(length > 1500);
}

static void a_conversation_in_single_bytes_is_answered(void)
{
    static uint8_t script[8192];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 4});
    struct tcp_client *c = tcp_client_new(node, 1);
    size_t length = make_script(c, script);
    for (size_t i = 0; i < length; i++)
        tcp_client_send(c, script + i, 1);
    tcp_client_rest(c);
    CU_ASSERT_TRUE(script_was_answered(c));
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void pipelined_requests_are_answered_in_order(void)
{
    static uint8_t bytes[200000];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1);
    size_t length = 0;
    char key[16], value[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key %u", i / 2);
        snprintf(value, sizeof(value), "value %u", i / 2);
        struct operation operation = i % 2 ? native_get(key) : native_set(key, value);
        length += tcp_client_seal(c, &operation, 1, bytes + length);
    }
    for (size_t at = 0; at < length; at += 1448) {
        tcp_client_send(c, bytes + at, length - at < 1448 ? length - at : 1448);
        tcp_client_rest(c);
    }
    CU_ASSERT_EQUAL_FATAL(c->count, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(value, sizeof(value), "value %u", i / 2);
        CU_ASSERT_EQUAL(c->replies[i].request_id, i + 1);
        CU_ASSERT_TRUE(i % 2 ? native_value_is(&c->replies[i], value) : c->replies[i].status == STATUS_OK);
    }
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void the_largest_messages_are_answered_whole(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1);
    struct operation operations[MESSAGE_OPERATIONS_MAX] = {{0}};
    for (unsigned i = 0; i < MESSAGE_OPERATIONS_MAX; i++)
        operations[i].opcode = i % 2 ? OPCODE_HEALTH : OPCODE_FLUSH;
    tcp_client_say(c, operations, MESSAGE_OPERATIONS_MAX);
    tcp_client_rest(c);
    CU_ASSERT_EQUAL_FATAL(c->count, MESSAGE_OPERATIONS_MAX);
    CU_ASSERT_EQUAL(c->replies[0].status, STATUS_OK);
    CU_ASSERT_EQUAL(c->replies[MESSAGE_OPERATIONS_MAX - 1].status, STATUS_OK); /* FLUSH: a bare reply */
    CU_ASSERT_EQUAL(c->replies[MESSAGE_OPERATIONS_MAX - 2].status, STATUS_MORE);
    unsigned before = c->count, whole = 0, more = 0;
    tcp_client_do(c, native_set("large", large_value));
    for (unsigned i = 0; i < 100; i++)
        operations[i] = native_get("large");
    tcp_client_say(c, operations, 100);
    tcp_client_rest(c);
    for (unsigned i = before + 1; i < c->count; i++) {
        whole += native_value_is(&c->replies[i], large_value);
        more += c->replies[i].status == STATUS_MORE;
    }
    CU_ASSERT_EQUAL(whole + more, 100);
    CU_ASSERT_EQUAL(whole, 13); /* (16,384 - 16 - 100 * 24) / 1,024 */
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void a_repeated_write_happens_once_within_its_connection(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_new(node, 2);
    uint8_t operand[INCR_OPERAND_BYTES];
    struct operation incr = native_incr("n", 1, 1, operand);
    incr.request_id = 7;
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(tcp_client_do(c, incr).version, c->replies[0].version);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_retry_repeated), 2);
    CU_ASSERT_EQUAL(tcp_client_do(d, incr).status, STATUS_OK); /* another session, another window */
    struct reply got = tcp_client_do(d, native_get("n"));
    CU_ASSERT_TRUE(native_value_is(&got, "3")); /* 1 and 1 and 1 */
    tcp_client_free(c);
    /* the place is used again: with an empty window */
    node->streams[0]->peer_reset = true;
    tcp_node_turn(node);
    struct tcp_client *e = tcp_client_new(node, 3);
    CU_ASSERT_EQUAL(tcp_client_do(e, incr).status, STATUS_OK);
    got = tcp_client_do(d, native_get("n"));
    CU_ASSERT_TRUE(native_value_is(&got, "4"));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_lost), 1);
    tcp_client_free(d);
    tcp_client_free(e);
    tcp_node_stop(node);
}

static void a_client_may_go_on_to_its_next_key(void)
{
    static const struct record_limits often = {.records = 3, .bytes = UINT64_C(1) << 36};
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1);
    c->writer.limits = &often;
    for (unsigned i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(tcp_client_do(c, native_set("k", "v")).status, STATUS_OK);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_rekeys), 10);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void the_published_state_decides_what_is_answered(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1);
    published_state_set(&node->shared.published,
                        &(struct state_view){.mode = MODE_PRIMARY, .state = STATE_READ_ONLY});
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(tcp_client_do(c, native_set("k", "v")).status, STATUS_READ_ONLY);
    CU_ASSERT_EQUAL(tcp_client_do(c, native_get("k")).status, STATUS_NOT_FOUND);
    tcp_client_free(c);
    tcp_node_stop(node);
}

/* ---- bench mode and HTTP ---- */

static void plain_records_are_answered_in_bench_mode_only(void)
{
    for (unsigned bench = 0; bench < 2; bench++) {
        struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.bench = bench});
        struct tcp_client *c = tcp_client_open(node, 1);
        c->writer = record_writer_start(NULL, NULL);
        if (bench) {
            CU_ASSERT_EQUAL(tcp_client_do(c, native_set("k", "v")).status, STATUS_OK);
            struct reply got = tcp_client_do(c, native_get("k"));
            CU_ASSERT_TRUE(native_value_is(&got, "v"));
            CU_ASSERT_EQUAL(c->stream->out_length - c->stream->out_taken, 0);
            tcp_client_start(c); /* no way back to a handshake */
            tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
            CU_ASSERT_TRUE(c->stream->close_asked);
            struct tcp_client *sealed = tcp_client_new(node, 2); /* handshakes work as well */
            CU_ASSERT_EQUAL(tcp_client_do(sealed, native_get("k")).status, STATUS_OK);
            tcp_client_free(sealed);
        } else {
            CU_ASSERT_EQUAL(tcp_client_do(c, native_set("k", "v")).status, 255);
            CU_ASSERT_TRUE(was_reset(c));
        }
        tcp_client_free(c);
        tcp_node_stop(node);
    }
}

static void http_is_told_by_its_first_bytes(void)
{
    static const char request[] = "GET /health HTTP/1.1\r\nHost: 198.18.0.1:7878\r\n\r\n";
    for (size_t split = 0; split < sizeof request - 1; split++) {
        struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.http = true});
        struct tcp_client *c = tcp_client_open(node, 1);
        tcp_client_send(c, request, split);
        tcp_node_turn(node);
        tcp_client_send(c, request + split, sizeof request - 1 - split);
        tcp_node_turn(node);
        CU_ASSERT_FATAL(c->stream->out_length > 17 && memcmp(c->stream->out, "HTTP/1.1 200 OK\r\n", 17) == 0);
        CU_ASSERT_EQUAL(native_tcp_counts(node->service).connections, 0); /* its place is free */
        CU_ASSERT_EQUAL(http_connections(node->http), 1);
        c->stream->peer_reset = true;
        tcp_client_free(c);
        tcp_node_turn(node);
        tcp_node_stop(node);
    }
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_open(node, 1);
    tcp_client_send(c, request, sizeof request - 1);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(c) && c->stream->out_length == 0);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_unknown), 1);
    tcp_client_free(c);
    tcp_node_stop(node);
}

/* ---- those who do not read ---- */

static void a_client_that_does_not_read_is_held_back_and_no_other_is(void)
{
    static uint8_t bytes[200000];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *slow = tcp_client_new(node, 1), *quick = tcp_client_new(node, 2);
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
    tcp_client_free(slow);
    tcp_client_free(quick);
    tcp_node_stop(node);
}

static void a_client_that_never_reads_is_reset_in_time(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *slow = tcp_client_new(node, 1), *quick = tcp_client_new(node, 2);
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
    tcp_client_free(slow);
    tcp_client_free(quick);
    tcp_node_stop(node);
}

/*
 * It waits for a buffer, too, and nobody could tell which of the two it is held back for: with `asked` replies unread,
 * more than the mark for going on, before it wants the buffer or, in one burst, with what makes them.
 */
static void never_reads_and_waits_for_a_buffer(unsigned asked, bool burst)
{
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.large_buffers = 1});
    struct tcp_client *slow = tcp_client_new(node, 1), *other = tcp_client_new(node, 2);
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
    tcp_client_free(slow);
    tcp_client_free(other);
    tcp_node_stop(node);
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
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.large_buffers = 1});
    struct tcp_client *first = tcp_client_new(node, 1), *second = tcp_client_new(node, 2);
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
    tcp_client_free(first);
    tcp_client_free(second);
    tcp_node_stop(node);
}

/* ---- those who do not finish ---- */

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

/* ---- bursts ---- */

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
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_new(node, 2);
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
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
}

static void a_burst_may_ask_more_than_is_executed_together(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_new(node, 2);
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
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
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
        {"a session is made and answers", a_session_is_made_and_answers},
        {"the second secret opens sessions too and others do not",
         the_second_secret_opens_sessions_too_and_others_do_not},
        {"a conversation may be split anywhere", a_conversation_may_be_split_anywhere},
        {"a conversation in single bytes is answered", a_conversation_in_single_bytes_is_answered},
        {"pipelined requests are answered in order", pipelined_requests_are_answered_in_order},
        {"the largest messages are answered whole", the_largest_messages_are_answered_whole},
        {"a repeated write happens once within its connection",
         a_repeated_write_happens_once_within_its_connection},
        {"a client may go on to its next key", a_client_may_go_on_to_its_next_key},
        {"the published state decides what is answered", the_published_state_decides_what_is_answered},
        {"PLAIN records are answered in bench mode only", plain_records_are_answered_in_bench_mode_only},
        {"HTTP is told by its first bytes", http_is_told_by_its_first_bytes},
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
        {"records in part wait for buffers in turn", records_in_part_wait_for_buffers_in_turn},
        {"a record that never completes is reset in time", a_record_that_never_completes_is_reset_in_time},
        {"a record that does not complete makes room for one that waits",
         a_record_that_does_not_complete_makes_room_for_one_that_waits},
        {"connections that say too little are reset in time",
         connections_that_say_too_little_are_reset_in_time},
        {"an idle session is closed in order", an_idle_session_is_closed_in_order},
        {"an idle session has no timer before it may end", an_idle_session_has_no_timer_before_it_may_end},
        {"who waits for reply buffers is answered in turn", who_waits_for_reply_buffers_is_answered_in_turn},
        {"a stream that ends without CLOSE was cut off", a_stream_that_ends_without_close_was_cut_off},
        {"what a burst asks is answered at its end", what_a_burst_asks_is_answered_at_its_end},
        {"a burst may ask more than is executed together", a_burst_may_ask_more_than_is_executed_together},
        {"what was asked before an end in the same burst is answered",
         what_was_asked_before_an_end_in_the_same_burst_is_answered},
        CU_TEST_INFO_NULL,
    };
    memset(large_value, 'L', VALUE_BYTES_MAX);
    return suite_run("native_tcp", tests);
}
