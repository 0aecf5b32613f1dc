/*
 * test_native_tcp.c - sessions over streams: made, used, and told from HTTP and from PLAIN records.
 */
#include "native_tcp_fixture.h"
#include "suite.h"

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
        CU_TEST_INFO_NULL,
    };
    large_value_fill();
    return suite_run("native_tcp", tests);
}
