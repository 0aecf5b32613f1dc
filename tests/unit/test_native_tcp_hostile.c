/*
 * test_native_tcp_hostile.c - streams that must be ended: counted, nothing reaches the table, nobody else
 * notices.
 */
#include "service/native_buffers.h"
#include "native_tcp_fixture.h"
#include "service/native_tcp_internal.h"
#include "suite.h"

static void first_bytes_that_mean_nothing_are_reset(void)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum counter counter;
    } rows[] = {
        {"\0", 1, COUNTER_native_tcp_unknown},
        {"*1\r\n$4\r\nPING\r\n", 14, COUNTER_native_tcp_unknown},
        {"get / HTTP/1.1", 14, COUNTER_native_tcp_unknown},
        {"GEX", 3, COUNTER_native_tcp_unknown},
        {"\x16\x03\x01\x02\x00\x01\x00\x01", 8, COUNTER_native_tcp_unknown}, /* TLS */
        {"\xF7\x00", 2, COUNTER_native_tcp_refused},
        {"\xF7\x02", 2, COUNTER_native_tcp_refused}, /* what only servers say */
        {"\xF7\x04", 2, COUNTER_native_tcp_refused}, /* CONFIRM before INIT */
        {"\xF7\x06", 2, COUNTER_native_tcp_refused},
        {"\xF7\x10", 2, COUNTER_native_tcp_refused}, /* DATA before the handshake */
        {"\xF7\x11", 2, COUNTER_native_tcp_refused},
        {"\xF7\x13", 2, COUNTER_native_tcp_refused}, /* PLAIN, and this is no bench */
        {"\xF7\xFF", 2, COUNTER_native_tcp_refused},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.http = true});
        struct tcp_client *c = tcp_client_open(node, 1);
        for (size_t b = 0; b < rows[i].length; b++)
            tcp_client_send(c, rows[i].bytes + b, 1);
        tcp_node_turn(node);
        CU_ASSERT_TRUE(was_reset(c));
        CU_ASSERT_EQUAL(c->stream->out_length, 0);
        CU_ASSERT_EQUAL(tcp_counted(node, rows[i].counter), 1);
        tcp_client_free(c);
        tcp_node_stop(node);
    }
}

static void a_changed_bit_in_the_handshake_ends_it(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 2000});
    for (size_t bit = 0; bit < 8 * 80; bit += 3) { /* mac2 is checked by the cookie's tests */
        struct tcp_client *c = tcp_client_open(node, (unsigned)bit % 200);
        tcp_client_start(c);
        c->handshake.init[bit / 8] ^= (uint8_t)(1u << bit % 8);
        tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
        tcp_node_turn(node);
        CU_ASSERT_TRUE(was_reset(c) && c->stream->out_length == 0);
        tcp_client_free(c);
    }
    for (size_t bit = 0; bit < 8 * HANDSHAKE_CONFIRM_BYTES; bit += 3) {
        struct tcp_client *c = tcp_client_open(node, (unsigned)bit % 200);
        tcp_client_respond(c);
        c->confirm[bit / 8] ^= (uint8_t)(1u << bit % 8);
        tcp_client_send(c, c->confirm, sizeof(c->confirm));
        tcp_client_rest(c);
        CU_ASSERT_TRUE(was_reset(c) && !c->ready);
        tcp_client_free(c);
    }
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_opened), 0);
    tcp_node_stop(node);
}

/*
 * Also: what follows READY and is no record, a record too long, one changed, one sent twice, a malformed
 * message.
 */
static size_t make_bad(struct tcp_client *c, unsigned which, uint8_t *out)
{
    struct operation set = native_set("bad", "bad");
    uint8_t message[64];
    size_t length;
    switch (which) {
    case 0:
        memcpy(out, "GET / HTTP/1.1\r\n", 16);
        return 16;
    case 1:
        memcpy(out, "\xF7\x10\x01\x40", 4); /* 16,385 bytes */
        return 4;
    case 2:
        memcpy(out, "\xF7\x10\x00\x00", 4);
        return 4;
    case 3:
        memcpy(out, "\xF7\x01", 2); /* another handshake */
        return 2;
    case 4:
        length = tcp_client_seal(c, &set, 1, out);
        out[length - 1] ^= 1;
        return length;
    case 5:
        c->writer.counter++; /* one is missing */
        return tcp_client_seal(c, &set, 1, out);
    case 6:
        memset(message, 0, sizeof(message)); /* no such version */
        return record_seal(&c->writer, message, sizeof(message), out);
    case 7:
        memset(message, 0, sizeof(message));
        return record_seal(&c->writer, message, 15, out); /* shorter than a message's header */
    default:
        memcpy(out, "\xF7\x13\x01\x00", 4); /* PLAIN inside a session */
        return 4;
    }
}

static void garbage_in_a_session_ends_it_after_what_came_before(void)
{
    for (unsigned which = 0; which < 9; which++)
        for (unsigned together = 0; together < 2; together++) {
            static uint8_t bytes[4096];
            struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
            struct tcp_client *c = tcp_client_new(node, 1), *other = tcp_client_new(node, 2);
            struct operation good = native_set("good", "good");
            size_t length = tcp_client_seal(c, &good, 1, bytes);
            if (!together) {
                tcp_client_send(c, bytes, length);
                tcp_client_rest(c);
                length = 0;
            }
            length += make_bad(c, which, bytes + length);
            tcp_client_send(c, bytes, length);
            tcp_client_rest(c);
            CU_ASSERT(c->count == 1 && c->replies[0].status == STATUS_OK);
            CU_ASSERT_TRUE(c->stream->close_asked && !c->closed); /* and no CLOSE record */
            CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_refused) +
                                tcp_counted(node, COUNTER_native_drop_message),
                            1);
            uint64_t lsn = native_lsn(&node->shared);
            tcp_client_send(c, bytes, length); /* nothing more is read */
            tcp_client_rest(c);
            CU_ASSERT_EQUAL(native_lsn(&node->shared), lsn);
            CU_ASSERT_EQUAL(c->count, 1);
            CU_ASSERT_EQUAL(tcp_client_do(other, native_get("good")).status, STATUS_OK);
            CU_ASSERT_EQUAL(tcp_client_do(other, native_get("bad")).status, STATUS_NOT_FOUND);
            fake_end(c->stream);
            tcp_node_turn(node);
            CU_ASSERT_TRUE(c->stream->closed);
            tcp_client_free(c);
            tcp_client_free(other);
            tcp_node_stop(node);
        }
}

/*
 * The helper writes to a place's keys: whatever becomes of the stream meanwhile, nobody else gets that place.
 */
static void a_stream_that_goes_while_its_keys_are_made_keeps_its_place_till_then(void)
{
    for (unsigned how = 0; how < 4; how++) {
        struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 4});
        struct tcp_client *c = tcp_client_open(node, 1);
        node->helper_stopped = true;
        tcp_client_start(c);
        tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
        tcp_node_turn(node);
        if (how == 0)
            c->stream->peer_reset = true;
        else if (how == 1)
            tcp_client_send(c, "x", 1); /* nothing may come now */
        else if (how == 2)
            fake_end(c->stream);
        else
            tcp_node_pass(node, NATIVE_TCP_HANDSHAKE_NS);
        tcp_node_turn(node);
        CU_ASSERT_TRUE(c->stream->closed);
        CU_ASSERT_EQUAL(native_tcp_counts(node->service).connections, 1);
        CU_ASSERT_EQUAL(native_tcp_counts(node->service).unconfirmed, 0);
        struct tcp_client *other = tcp_client_open(node, 2);
        CU_ASSERT_PTR_NOT_NULL_FATAL(other);
        node->helper_stopped = false;
        tcp_node_turn(node);
        CU_ASSERT_EQUAL(native_tcp_counts(node->service).connections, 1);
        CU_ASSERT_TRUE(tcp_client_connect(other));
        CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_responses), 1);
        tcp_client_free(c);
        tcp_client_free(other);
        tcp_node_stop(node);
    }
}

static void when_every_place_is_taken_the_next_is_refused(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 8}); /* 7 sessions */
    struct tcp_client *c[7];
    for (unsigned i = 0; i < 7; i++)
        c[i] = tcp_client_new(node, i);
    struct tcp_client *last = tcp_client_open(node, 9);
    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    CU_ASSERT_PTR_NULL(tcp_client_open(node, 9));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_full), 1);
    tcp_client_connect(last);
    CU_ASSERT_TRUE(last->closed); /* nobody has more than it */
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_no_share), 1);
    c[3]->stream->peer_reset = true;
    tcp_node_turn(node);
    struct tcp_client *next = tcp_client_open(node, 9);
    CU_ASSERT_TRUE(next != NULL && tcp_client_connect(next));
    CU_ASSERT_TRUE(was_reset(last)); /* it had not hung up */
    for (unsigned i = 0; i < 7; i++)
        tcp_client_free(c[i]);
    tcp_client_free(last);
    tcp_client_free(next);
    tcp_node_stop(node);
}

static void under_load_a_cookie_is_asked_for(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 400});
    struct tcp_client *c[66];
    node->helper_stopped = true;
    for (unsigned i = 0; i < 66; i++) {
        c[i] = tcp_client_open(node, i);
        tcp_client_start(c[i]);
        tcp_client_send(c[i], c[i]->handshake.init, HANDSHAKE_INIT_BYTES);
        tcp_client_read(c[i], SIZE_MAX);
    }
    CU_ASSERT_EQUAL(c[64]->cookies, 0);
    CU_ASSERT_EQUAL(c[65]->cookies, 1);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_init_cookie), 1);
    /* one that answers the COOKIE with another INIT that has none */
    struct tcp_client *stubborn = tcp_client_open(node, 100);
    tcp_client_start(stubborn);
    for (unsigned i = 0; i < 2; i++)
        tcp_client_send(stubborn, stubborn->handshake.init, HANDSHAKE_INIT_BYTES);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(stubborn));
    node->helper_stopped = false;
    tcp_node_turn(node);
    for (unsigned i = 0; i < 66; i++) {
        tcp_client_rest(c[i]);
        tcp_client_send(c[i], c[i]->confirm, HANDSHAKE_CONFIRM_BYTES);
        tcp_client_rest(c[i]);
        CU_ASSERT_TRUE(c[i]->ready);
        tcp_client_free(c[i]);
    }
    tcp_client_free(stubborn);
    tcp_node_stop(node);
}

/* One prefix may have half of the lane. */
static void a_flood_from_one_prefix_leaves_room_in_the_lane(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 1024});
    node->helper_stopped = true;
    unsigned refused = 0;
    for (unsigned i = 0; i < 140; i++) {
        struct tcp_client *c = tcp_client_open(node, 1);
        c->stream->stream.flow.peer_port = rte_cpu_to_be_16((uint16_t)(1000 + i));
        tcp_client_start(c);
        tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
        tcp_client_read(c, SIZE_MAX);
        refused += c->stream->abort_asked;
        tcp_client_free(c);
    }
    CU_ASSERT_EQUAL(refused, 140 - HANDSHAKE_LANE_JOBS / 2);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_init_prefix_full), refused);
    struct tcp_client *c = tcp_client_open(node, 2);
    tcp_client_start(c);
    tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
    tcp_client_read(c, SIZE_MAX);
    CU_ASSERT_FALSE(c->stream->abort_asked);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void a_draining_node_answers_sessions_and_takes_no_more(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
    struct tcp_client *live = tcp_client_new(node, 1), *begun = tcp_client_open(node, 2);
    tcp_client_respond(begun);
    published_state_set(&node->shared.published,
                        &(struct state_view){.mode = MODE_STANDALONE, .state = STATE_DRAINING});
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(begun));
    CU_ASSERT_PTR_NULL(tcp_client_open(node, 3)); /* what could it be told? there are no pages */
    CU_ASSERT_EQUAL(tcp_client_do(live, native_set("k", "v")).status, STATUS_OK);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_init_draining), 2);
    /* its end is said in order, behind the last reply */
    struct operation get = native_get("k");
    tcp_client_say(live, &get, 1);
    native_tcp_close_all(node->service);
    tcp_client_rest(live);
    CU_ASSERT_TRUE(live->count == 2 && live->closed && live->stream->close_asked);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).live, 0);
    tcp_client_free(live);
    tcp_client_free(begun);
    tcp_node_stop(node);
}

/* Whether they want a session or a page shows with their first bytes. */
static void a_draining_node_still_shows_pages(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.http = true});
    struct tcp_client *page = tcp_client_open(node, 1), *session = tcp_client_open(node, 2);
    struct tcp_client *begun = tcp_client_open(node, 3), *silent = tcp_client_open(node, 4);
    tcp_client_send(page, "GET", 3);
    tcp_client_start(begun);
    tcp_client_send(begun, begun->handshake.init, 10);
    native_tcp_drain(node->service);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(begun));
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).unconfirmed, 3);
    tcp_client_start(session);
    tcp_client_send(session, session->handshake.init, 1);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(session));
    static const char rest[] = " /health HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";
    tcp_client_send(page, rest, sizeof rest - 1);
    tcp_node_turn(node);
    CU_ASSERT_PTR_NOT_NULL(memmem(page->stream->out, page->stream->out_length, "Connection: close",
                                  strlen("Connection: close")));
    CU_ASSERT_TRUE(page->stream->close_asked);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).unconfirmed, 1);
    struct tcp_client *late_page = tcp_client_open(node, 5), *late_session = tcp_client_open(node, 6);
    CU_ASSERT_FATAL(late_page != NULL && late_session != NULL);
    tcp_client_send(late_page, "GET", 3);
    tcp_client_send(late_page, rest, sizeof rest - 1);
    tcp_client_start(late_session);
    tcp_client_send(late_session, late_session->handshake.init, HANDSHAKE_INIT_BYTES);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(late_session));
    CU_ASSERT_PTR_NOT_NULL(memmem(late_page->stream->out, late_page->stream->out_length, "Connection: close",
                                  strlen("Connection: close")));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_responses), 0);
    native_tcp_close_all(node->service);
    tcp_node_turn(node);
    CU_ASSERT_TRUE(was_reset(silent));
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).connections, 0);
    CU_ASSERT_PTR_NULL(tcp_client_open(node, 7)); /* and that was all */
    tcp_client_free(late_page);
    tcp_client_free(late_session);
    tcp_client_free(page);
    tcp_client_free(session);
    tcp_client_free(begun);
    tcp_client_free(silent);
    tcp_node_stop(node);
}

static void keys_are_wiped_when_their_session_ends(void)
{
    static const struct session_keys none;
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 4});
    struct tcp_client *c = tcp_client_new(node, 1);
    const struct session_keys *keys = node->service->keys; /* the first place's */
    CU_ASSERT_EQUAL(memcmp(keys->send.raw, c->session.receive.raw, DIRECTION_KEY_BYTES), 0);
    c->stream->peer_reset = true;
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(memcmp(keys, &none, sizeof(none)), 0);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static bool memory_holds(const uint8_t *memory, size_t bytes, const char *text)
{
    return memmem(memory, bytes, text, strlen(text)) != NULL;
}

/* A record that came in part is opened in a buffer, which stays with the node for as long as nobody needs it. */
static void an_opened_record_leaves_nothing_in_the_buffer_that_it_came_in(void)
{
    static char value[600];
    for (unsigned length = 60; length <= 600;
         length += 540) { /* less than a connection's own bytes, then more */
        struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){0});
        struct tcp_client *c = tcp_client_new(node, 1);
        const struct native_buffer_class *small = &node->service->buffers.small;
        memset(value, 'v', length - 1);
        value[length - 1] = '\0';
        struct operation set = native_set("key of nobody's concern", value);
        uint8_t record[2048];
        size_t bytes = tcp_client_seal(c, &set, 1, record);
        tcp_client_send(c, record, bytes - 1);
        CU_ASSERT_EQUAL(native_tcp_counts(node->service).small_buffers, length > 160);
        tcp_client_send(c, record + bytes - 1, 1);
        tcp_client_rest(c);
        CU_ASSERT_EQUAL(c->count, 1);
        CU_ASSERT_FALSE(memory_holds(small->memory, small->count * NATIVE_BUFFER_SMALL_BYTES, "of nobody's"));
        CU_ASSERT_FALSE(memory_holds(small->memory, small->count * NATIVE_BUFFER_SMALL_BYTES, "vvvvvvvv"));
        CU_ASSERT_FALSE(memory_holds((const uint8_t *)node->service->connections,
                                     sizeof(struct native_connection), "vvvvvvvv"));
        tcp_client_free(c);
        tcp_node_stop(node);
    }
}

/*
 * One client's record is opened in the only buffer, but its connection ends by what it asked before, and the buffer is
 * another's at once: with a reply that is yet to leave.
 */
static void what_is_wiped_is_not_what_another_has_yet_to_send(void)
{
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    static char value[1000];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.large_buffers = 1});
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_new(node, 2);
    struct stream_acceptor acceptor = native_tcp_acceptor(node->service);
    const struct native_buffer_class *large = &node->service->buffers.large;
    memset(value, 'v', sizeof value - 1);
    tcp_client_do(d, native_set("k", value));
    struct operation get = native_get("k"), sets[12];
    for (unsigned i = 0; i < 12; i++)
        sets[i] = native_set("key of nobody's concern", value);
    c->stream->no_buffers = d->stream->no_buffers = true;
    c->stream->stream.lasting = d->stream->stream.lasting = true;
    tcp_client_say(c, &get, 1);
    size_t length = tcp_client_seal(c, sets, 12, record);
    tcp_client_send(c, record, 5000);
    tcp_client_say(d, &get, 1);
    tcp_client_send(c, record + 5000, length - 5000);
    acceptor.delivered(acceptor.state);
    fake_delivered(c->stream);
    fake_delivered(d->stream);
    CU_ASSERT_TRUE(c->stream->abort_asked);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).large_buffers, 1);
    d->stream->no_buffers = false;
    tcp_client_rest(d);
    CU_ASSERT_FALSE(d->refused);
    CU_ASSERT_EQUAL_FATAL(d->count, 2);
    CU_ASSERT_TRUE(native_value_is(&d->replies[1], value));
    CU_ASSERT_FALSE(memory_holds(large->memory, large->count * NATIVE_BUFFER_LARGE_BYTES, "of nobody's"));
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_messages), 3); /* not what was thrown away */
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
}

/* However many requests are begun and never completed, replies find room to wait in. */
static void unfinished_requests_leave_buffers_to_replies(void)
{
    struct native_buffers buffers;
    struct native_buffer *taken[9];
    unsigned requests = 0;
    CU_ASSERT_TRUE_FATAL(native_buffers_init(&buffers, 1, 8));
    while (requests < 9 &&
           (taken[requests] = native_buffer_take(&buffers, 100, NATIVE_BUFFER_REQUEST)) != NULL)
        requests++;
    CU_ASSERT_EQUAL(requests, 7); /* the small one, and six of eight large ones */
    CU_ASSERT_PTR_NULL(native_buffer_take(&buffers, 100, NATIVE_BUFFER_REQUEST));
    struct native_buffer *first =
        native_buffer_take(&buffers, NATIVE_BUFFER_LARGE_BYTES, NATIVE_BUFFER_REPLY);
    struct native_buffer *second =
        native_buffer_take(&buffers, NATIVE_BUFFER_LARGE_BYTES, NATIVE_BUFFER_REPLY);
    CU_ASSERT(first != NULL && second != NULL);
    CU_ASSERT_PTR_NULL(native_buffer_take(&buffers, NATIVE_BUFFER_LARGE_BYTES, NATIVE_BUFFER_REPLY));
    native_buffer_give(&buffers, first);
    CU_ASSERT_PTR_NULL(native_buffer_take(&buffers, NATIVE_BUFFER_LARGE_BYTES, NATIVE_BUFFER_REQUEST));
    native_buffer_give(&buffers, second);
    while (requests > 0)
        native_buffer_give(&buffers, taken[--requests]);
    CU_ASSERT_EQUAL(buffers.small.used + buffers.large.used, 0);
    native_buffers_fini(&buffers);
}

/* Connections that are open and say nothing hold no buffers, whatever they did before. */
static void idle_sessions_hold_no_buffers(void)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = 1024});
    static struct tcp_client *c[600];
    for (unsigned i = 0; i < 600; i++) {
        c[i] = tcp_client_open(node, i % 200);
        c[i]->stream->stream.flow.peer_port = rte_cpu_to_be_16((uint16_t)(1000 + i));
        CU_ASSERT_TRUE_FATAL(tcp_client_connect(c[i]));
        if (i % 3 == 0)
            CU_ASSERT_EQUAL(tcp_client_do(c[i], native_set("k", "v")).status, STATUS_OK);
    }
    struct native_tcp_counts counts = native_tcp_counts(node->service);
    CU_ASSERT_EQUAL(counts.live, 600);
    CU_ASSERT_EQUAL(counts.small_buffers + counts.large_buffers, 0);
    CU_ASSERT_EQUAL(tcp_client_do(c[599], native_get("k")).status, STATUS_OK);
    for (unsigned i = 0; i < 600; i++)
        tcp_client_free(c[i]);
    tcp_node_stop(node);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"first bytes that mean nothing are reset", first_bytes_that_mean_nothing_are_reset},
        {"a changed bit in the handshake ends it", a_changed_bit_in_the_handshake_ends_it},
        {"garbage in a session ends it after what came before",
         garbage_in_a_session_ends_it_after_what_came_before},
        {"a stream that goes while its keys are made keeps its place till then",
         a_stream_that_goes_while_its_keys_are_made_keeps_its_place_till_then},
        {"when every place is taken the next is refused", when_every_place_is_taken_the_next_is_refused},
        {"under load a cookie is asked for", under_load_a_cookie_is_asked_for},
        {"a flood from one prefix leaves room in the lane", a_flood_from_one_prefix_leaves_room_in_the_lane},
        {"a draining node answers sessions and takes no more",
         a_draining_node_answers_sessions_and_takes_no_more},
        {"a draining node still shows pages", a_draining_node_still_shows_pages},
        {"keys are wiped when their session ends", keys_are_wiped_when_their_session_ends},
        {"idle sessions hold no buffers", idle_sessions_hold_no_buffers},
        {"an opened record leaves nothing in the buffer that it came in",
         an_opened_record_leaves_nothing_in_the_buffer_that_it_came_in},
        {"what is wiped is not what another has yet to send",
         what_is_wiped_is_not_what_another_has_yet_to_send},
        {"unfinished requests leave buffers to replies", unfinished_requests_leave_buffers_to_replies},
        CU_TEST_INFO_NULL,
    };
    return suite_run("native_tcp_hostile", tests);
}
