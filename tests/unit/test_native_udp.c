/* test_native_udp.c - every operation over the service face, in sessions and (bench mode) without. */
#include "native_peer.h"
#include "suite.h"

struct world {
    struct native_shared shared;
    struct native_node node;
    struct native_peer peer;
};

static void start(struct world *world, const struct native_options *options, unsigned suites)
{
    native_start(&world->shared, &world->node, options);
    native_peer_init(&world->peer, &world->node, NATIVE_PEER_SECRET, 1, 40000);
    CU_ASSERT_FATAL(native_peer_connect(&world->peer, suites));
}

static void stop(struct world *world)
{
    native_stop(&world->shared, &world->node, 1);
}

static void set_state(struct world *world, enum mode mode, enum serving_state state)
{
    published_state_set(
        &world->shared.published,
        &(struct state_view){.history = NATIVE_PEER_HISTORY, .epoch = 4, .mode = mode, .state = state});
}

/* ---- operations ---- */

static void every_operation(unsigned suites, unsigned expected_suite)
{
    struct world w;
    uint8_t operand[INCR_OPERAND_BYTES];
    int64_t result = 0;
    start(&w, &(struct native_options){.seed = 1}, suites);
    CU_ASSERT_EQUAL(w.peer.session.suite, expected_suite);

    struct reply reply = native_peer_do(&w.peer, native_get("key"));
    CU_ASSERT_EQUAL(reply.status, STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(w.peer.header.epoch, 3);
    CU_ASSERT_EQUAL(w.peer.header.history, NATIVE_PEER_HISTORY);

    reply = native_peer_do(&w.peer, native_set("key", "value"));
    CU_ASSERT_EQUAL(reply.status, STATUS_OK);
    CU_ASSERT_EQUAL(reply.version, native_lsn(&w.shared));
    uint64_t version = reply.version;
    reply = native_peer_do(&w.peer, native_get("key"));
    CU_ASSERT(native_value_is(&reply, "value"));
    CU_ASSERT_EQUAL(reply.version, version);

    reply = native_peer_do(&w.peer, native_incr("n", 5, 37, operand));
    CU_ASSERT(reply.status == STATUS_OK && incr_result_decode(reply.value, reply.value_length, &result));
    CU_ASSERT_EQUAL(result, 42);
    reply = native_peer_do(&w.peer, native_incr("key", 1, 0, operand));
    CU_ASSERT_EQUAL(reply.status, STATUS_NOT_A_NUMBER);

    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_touch("key", 50)).status, STATUS_OK);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_touch("none", 50)).status, STATUS_NOT_FOUND);
    native_pass_time(&w.shared, 60 * 1000000);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_get("key")).status, STATUS_NOT_FOUND);

    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_delete("n")).status, STATUS_OK);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_delete("n")).status, STATUS_NOT_FOUND);

    native_peer_do(&w.peer, native_set("a", "1"));
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, (struct operation){.opcode = OPCODE_FLUSH}).status, STATUS_OK);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_get("a")).status, STATUS_NOT_FOUND);

    reply = native_peer_do(
        &w.peer,
        (struct operation){.opcode = OPCODE_ECHO, .value = (const uint8_t *)"hello", .value_length = 5});
    CU_ASSERT(native_value_is(&reply, "hello"));
    stop(&w);
}

static void test_every_operation_works_in_a_mac_session(void)
{
    every_operation(SUITE_ALL, SUITE_MAC);
}

static void test_every_operation_works_sealed_with_aes(void)
{
    if (datagram_suites() & SUITE_AES_256_GCM)
        every_operation(SUITE_AES_256_GCM | SUITE_CHACHA20_POLY1305, SUITE_AES_256_GCM);
    else
        CU_ASSERT_EQUAL(datagram_suites(), SUITE_MAC | SUITE_CHACHA20_POLY1305);
}

static void test_every_operation_works_sealed_with_chacha(void)
{
    every_operation(SUITE_CHACHA20_POLY1305, SUITE_CHACHA20_POLY1305);
}

static void test_conditions_answer_with_the_items_version(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 2}, SUITE_MAC);
    struct operation set = native_set("k", "1");
    set.flags = FLAG_IF_PRESENT;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, set).status, STATUS_NOT_FOUND);
    set.flags = FLAG_IF_ABSENT;
    struct reply first = native_peer_do(&w.peer, set);
    CU_ASSERT_EQUAL(first.status, STATUS_OK);
    struct reply second = native_peer_do(&w.peer, set);
    CU_ASSERT_EQUAL(second.status, STATUS_EXISTS);
    CU_ASSERT_EQUAL(second.version, first.version);
    set.flags = FLAG_IF_VERSION;
    set.version = first.version + 1;
    second = native_peer_do(&w.peer, set);
    CU_ASSERT_EQUAL(second.status, STATUS_VERSION_MISMATCH);
    CU_ASSERT_EQUAL(second.version, first.version);
    set.version = first.version;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, set).status, STATUS_OK);
    stop(&w);
}

static void test_health_tells_mode_state_lsn_and_uptime(void)
{
    struct world w;
    struct health health;
    start(&w, &(struct native_options){.seed = 3, .capacity = 512}, SUITE_MAC);
    native_peer_do(&w.peer, native_set("a", "1"));
    native_pass_time(&w.shared, UINT64_C(1234) * 1000000);
    set_state(&w, MODE_PRIMARY, STATE_READ_ONLY);
    struct reply reply = native_peer_do(&w.peer, (struct operation){.opcode = OPCODE_HEALTH});
    CU_ASSERT_FATAL(reply.status == STATUS_OK && health_decode(reply.value, reply.value_length, &health));
    CU_ASSERT_EQUAL(health.mode, MODE_PRIMARY);
    CU_ASSERT_EQUAL(health.state, STATE_READ_ONLY);
    CU_ASSERT_EQUAL(health.epoch, 4);
    CU_ASSERT_EQUAL(health.items, 1);
    CU_ASSERT_EQUAL(health.capacity, 512);
    CU_ASSERT_EQUAL(health.lines_used, 1);
    CU_ASSERT_EQUAL(health.lsn, native_lsn(&w.shared));
    CU_ASSERT_EQUAL(health.uptime_ms, 1234);
    stop(&w);
}

/* ---- several operations in a message ---- */

static void test_a_batch_has_one_reply_each_in_order(void)
{
    struct world w;
    uint8_t operand[INCR_OPERAND_BYTES];
    start(&w, &(struct native_options){.seed = 4}, SUITE_MAC);
    struct operation unknown = {.opcode = 77, .request_id = 4};
    struct operation batch[] = {native_set("a", "1"), native_get("a"),
                                native_delete("a"),   unknown,
                                native_get("a"),      native_incr("a", 1, 0, operand)};
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    for (unsigned i = 0; i < 6; i++)
        batch[i].request_id = i + 1;
    CU_ASSERT_EQUAL_FATAL(native_peer_ask(&w.peer, batch, 6, replies), 6);
    static const uint8_t expected[] = {STATUS_OK,          STATUS_OK,        STATUS_OK,
                                       STATUS_BAD_REQUEST, STATUS_NOT_FOUND, STATUS_OK};
    for (unsigned i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(replies[i].request_id, i + 1);
        CU_ASSERT_EQUAL(replies[i].status, expected[i]);
        CU_ASSERT_EQUAL(replies[i].opcode, batch[i].opcode);
    }
    CU_ASSERT(native_value_is(&replies[1], "1"));
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_refused_request), 1);
    stop(&w);
}

static void test_the_largest_batch_is_answered(void)
{
    struct world w;
    struct operation batch[DATAGRAM_OPERATIONS_MAX];
    struct reply replies[DATAGRAM_OPERATIONS_MAX];
    start(&w, &(struct native_options){.seed = 4}, SUITE_MAC);
    for (unsigned i = 0; i < DATAGRAM_OPERATIONS_MAX; i++)
        batch[i] = (struct operation){.opcode = OPCODE_HEALTH, .request_id = i};
    CU_ASSERT_EQUAL_FATAL(native_peer_ask(&w.peer, batch, DATAGRAM_OPERATIONS_MAX, replies),
                          DATAGRAM_OPERATIONS_MAX);
    /* 48 bytes each do not all fit: the first are answered, the rest told to ask again */
    CU_ASSERT_EQUAL(replies[0].status, STATUS_OK);
    CU_ASSERT_EQUAL(replies[DATAGRAM_OPERATIONS_MAX - 1].status, STATUS_MORE);
    stop(&w);
}

static void test_what_does_not_fit_the_reply_is_not_executed_and_may_be_sent_again(void)
{
    struct world w;
    uint8_t operand[INCR_OPERAND_BYTES];
    static char large[VALUE_BYTES_MAX + 1], middle[229];
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    start(&w, &(struct native_options){.seed = 5}, SUITE_MAC);
    memset(large, 'x', VALUE_BYTES_MAX);
    memset(middle, 'y', sizeof(middle) - 1);
    native_peer_do(&w.peer, native_set("large", large));
    native_peer_do(&w.peer, native_set("middle", middle));
    struct operation batch[] = {native_get("large"), native_get("middle"), native_incr("n", 1, 0, operand)};
    for (unsigned i = 0; i < 3; i++)
        batch[i].request_id = ++w.peer.request_id;
    uint64_t lsn = native_lsn(&w.shared);
    CU_ASSERT_EQUAL_FATAL(native_peer_ask(&w.peer, batch, 3, replies), 3);
    CU_ASSERT_EQUAL(replies[0].value_length, VALUE_BYTES_MAX);
    CU_ASSERT(native_value_is(&replies[1], middle));
    CU_ASSERT_EQUAL(replies[2].status, STATUS_MORE);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_refused_more), 1);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, batch[2]).status, STATUS_OK);
    stop(&w);
}

static void test_a_large_value_does_not_take_the_room_of_later_replies(void)
{
    struct world w;
    static char large[VALUE_BYTES_MAX + 1];
    struct operation batch[13];
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    start(&w, &(struct native_options){.seed = 5}, SUITE_MAC);
    memset(large, 'x', VALUE_BYTES_MAX);
    native_peer_do(&w.peer, native_set("large", large));
    batch[0] = native_get("large");
    for (unsigned i = 1; i < 13; i++)
        batch[i] = native_delete("absent");
    for (unsigned i = 0; i < 13; i++)
        batch[i].request_id = ++w.peer.request_id;
    /* 1,024 bytes and 13 bare replies are more than a message holds; 12 are not. */
    CU_ASSERT_EQUAL_FATAL(native_peer_ask(&w.peer, batch, 13, replies), 13);
    CU_ASSERT_EQUAL(replies[0].status, STATUS_MORE);
    CU_ASSERT_EQUAL(replies[12].status, STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL_FATAL(native_peer_ask(&w.peer, batch, 12, replies), 12);
    CU_ASSERT(native_value_is(&replies[0], large));
    CU_ASSERT_EQUAL(replies[11].status, STATUS_NOT_FOUND);
    stop(&w);
}

/* A valid datagram around a message that is not: silence, and nothing of it is executed. */
static void test_a_malformed_message_is_met_with_silence_and_executes_nothing(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM], message[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 6}, SUITE_MAC);
    struct operation batch[] = {native_set("a", "1"), native_set("b", "2")};
    batch[0].request_id = 1;
    batch[1].request_id = 2;
    size_t length = native_peer_seal(&w.peer, batch, 2, bytes) - DATAGRAM_OVERHEAD_BYTES;
    memcpy(message, bytes + DATAGRAM_HEADER_BYTES, length);
    uint64_t lsn = native_lsn(&w.shared), refused = 0;
    for (size_t cut = 0; cut <= length + 1; cut++) {
        if (cut == length)
            continue; /* that one is good */
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes + DATAGRAM_HEADER_BYTES, message, cut < length ? cut : length);
        size_t sealed = datagram_seal(&w.peer.session.send, 0, w.peer.session.version, w.peer.session.session,
                                      w.peer.counter++, bytes, cut);
        CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, sealed), 0);
        CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_drop_message), ++refused);
    }
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    stop(&w);
}

static void test_wrong_operations_are_refused_alone(void)
{
    struct world w;
    static char value[1100];
    start(&w, &(struct native_options){.seed = 7}, SUITE_MAC);
    memset(value, 'v', 1025);
    struct operation both = native_set("k", "v");
    both.flags = FLAG_IF_ABSENT | FLAG_IF_PRESENT;
    struct operation keyless = {.opcode = OPCODE_GET};
    struct operation durable = native_set("k", "v");
    durable.durability = DURABILITY_LOCAL;
    uint64_t lsn = native_lsn(&w.shared);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, both).status, STATUS_BAD_REQUEST);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, keyless).status, STATUS_BAD_REQUEST);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_set("k", value)).status, STATUS_TOO_LARGE);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, durable).status, STATUS_BAD_REQUEST);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_refused_durability), 1);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    durable.durability = DURABILITY_MEMORY;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, durable).status, STATUS_OK);
    stop(&w);
}

/* ---- retries ---- */

static void test_a_repeated_write_has_its_first_outcome(void)
{
    struct world w;
    uint8_t operand[INCR_OPERAND_BYTES];
    int64_t result;
    start(&w, &(struct native_options){.seed = 8}, SUITE_MAC);
    struct operation incr = native_incr("n", 7, 0, operand);
    incr.request_id = ++w.peer.request_id;
    uint64_t version = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct reply reply = native_peer_do(&w.peer, incr);
        CU_ASSERT(reply.status == STATUS_OK && incr_result_decode(reply.value, reply.value_length, &result));
        CU_ASSERT_EQUAL(result, 7);
        CU_ASSERT(version == 0 || version == reply.version);
        version = reply.version;
        native_peer_do(&w.peer, native_set("other", "x")); /* the repetition is not the latest */
    }
    struct operation deletion = native_delete("n");
    deletion.request_id = ++w.peer.request_id;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, deletion).status, STATUS_OK);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, deletion).status, STATUS_OK); /* not NOT_FOUND */
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_retry_repeated), 5);
    stop(&w);
}

static void test_an_id_below_the_window_is_never_executed(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 9}, SUITE_MAC);
    struct operation late = native_set("late", "x");
    late.request_id = ++w.peer.request_id;
    for (unsigned i = 0; i < RETRY_WINDOW_IDS; i++)
        native_peer_do(&w.peer, native_set("k", "v"));
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, late).status, STATUS_TIMEOUT);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_get("late")).status, STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_retry_too_old), 1);
    stop(&w);
}

static void test_a_write_told_busy_may_be_sent_again_with_its_id(void)
{
    struct world w;
    static char value[VALUE_BYTES_MAX + 1];
    uint8_t bytes[NATIVE_ROOM];
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    start(&w, &(struct native_options){.seed = 10}, SUITE_MAC);
    memset(value, 'v', VALUE_BYTES_MAX);
    /* Nobody takes the log's records: the ring fills up. */
    for (unsigned i = 0; i < 1000; i++) {
        struct operation set = native_set("k", value);
        set.request_id = ++w.peer.request_id;
        struct udp_datagram datagram = {.payload = bytes,
                                        .length = (uint16_t)native_peer_seal(&w.peer, &set, 1, bytes),
                                        .room = NATIVE_ROOM,
                                        .path = w.peer.path};
        w.node.face.burst(w.node.face.state, &datagram, 1, w.shared.now);
        CU_ASSERT_EQUAL_FATAL(native_peer_open(&w.peer, bytes, datagram.length, replies, 1), 1);
        if (replies[0].status != STATUS_BUSY)
            continue;
        uint64_t lsn = native_lsn(&w.shared);
        CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_refused_busy), 1);
        native_discard_log(&w.node);
        CU_ASSERT_EQUAL(native_peer_do(&w.peer, set).status, STATUS_OK);
        CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn + 1);
        stop(&w);
        return;
    }
    CU_FAIL("the ring never filled");
    stop(&w);
}

/* ---- consistency and state ---- */

static void test_min_lsn_is_reached_stale_or_lost(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 11}, SUITE_MAC);
    uint64_t version = native_peer_do(&w.peer, native_set("k", "v")).version;
    struct operation get = native_get("k");
    get.flags = FLAG_MIN_LSN;
    get.version = version;
    struct reply reply = native_peer_do(&w.peer, get);
    CU_ASSERT(native_value_is(&reply, "v"));
    get.version = version + 1;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_STALE);
    w.peer.min_lsn_history = NATIVE_PEER_HISTORY;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_STALE);
    w.peer.min_lsn_history = NATIVE_PEER_HISTORY + 1;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_LOST);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_refused_stale), 2);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_refused_lost), 1);
    w.peer.min_lsn_history = 0;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_set("other", "v")).version, version + 1);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_OK);
    stop(&w);
}

static void test_mode_and_state_decide_what_is_answered(void)
{
    static const struct {
        enum mode mode;
        enum serving_state state;
        enum status read, write;
    } rows[] = {
        {MODE_STANDALONE, STATE_SERVING, STATUS_OK, STATUS_OK},
        {MODE_PRIMARY, STATE_SERVING, STATUS_OK, STATUS_OK},
        {MODE_REPLICA, STATE_SERVING, STATUS_OK, STATUS_NOT_PRIMARY},
        {MODE_PRIMARY, STATE_RECOVERING, STATUS_STALE, STATUS_BUSY},
        {MODE_REPLICA, STATE_CATCHING_UP, STATUS_STALE, STATUS_NOT_PRIMARY},
        {MODE_PRIMARY, STATE_READ_ONLY, STATUS_OK, STATUS_READ_ONLY},
        {MODE_PRIMARY, STATE_FENCED, STATUS_OK, STATUS_NOT_PRIMARY},
        {MODE_STANDALONE, STATE_DRAINING, STATUS_OK, STATUS_OK},
    };
    struct world w;
    start(&w, &(struct native_options){.seed = 12}, SUITE_MAC);
    native_peer_do(&w.peer, native_set("k", "v"));
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_state(&w, rows[i].mode, rows[i].state);
        uint64_t lsn = native_lsn(&w.shared);
        CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_get("k")).status, rows[i].read);
        CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_set("k", "v")).status, rows[i].write);
        CU_ASSERT_EQUAL(native_lsn(&w.shared) != lsn, rows[i].write == STATUS_OK);
        CU_ASSERT_EQUAL(native_peer_do(&w.peer, (struct operation){.opcode = OPCODE_HEALTH}).status,
                        STATUS_OK);
    }
    stop(&w);
}

static void test_a_write_that_happened_is_still_told_after_a_demotion(void)
{
    struct world w;
    start(&w, &(struct native_options){.seed = 13}, SUITE_MAC);
    struct operation set = native_set("k", "v");
    set.request_id = ++w.peer.request_id;
    struct reply first = native_peer_do(&w.peer, set);
    set_state(&w, MODE_REPLICA, STATE_SERVING);
    struct reply again = native_peer_do(&w.peer, set);
    CU_ASSERT_EQUAL(again.status, STATUS_OK);
    CU_ASSERT_EQUAL(again.version, first.version);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, native_set("k", "w")).status, STATUS_NOT_PRIMARY);
    /* NOT_PRIMARY is no outcome: back in office, the same id is executed. */
    set_state(&w, MODE_PRIMARY, STATE_SERVING);
    struct operation refused = native_set("k", "w");
    refused.request_id = w.peer.request_id;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, refused).status, STATUS_OK);
    stop(&w);
}

/* ---- bursts ---- */

static void test_a_burst_of_many_sessions_is_answered_in_order_of_arrival(void)
{
    enum { PEERS = 8, EACH = 8 };
    static struct world w;
    static struct native_peer peers[PEERS];
    static uint8_t bytes[PEERS * EACH][NATIVE_ROOM];
    struct udp_datagram datagrams[PEERS * EACH];
    static uint8_t operand[INCR_OPERAND_BYTES];
    struct reply reply;
    start(&w, &(struct native_options){.seed = 14, .sessions_max = 64}, SUITE_MAC);
    for (unsigned p = 0; p < PEERS; p++) {
        native_peer_init(&peers[p], &w.node, NATIVE_PEER_SECRET, p + 2, 41000);
        CU_ASSERT_FATAL(native_peer_connect(&peers[p], p % 2 ? SUITE_MAC : SUITE_CHACHA20_POLY1305));
    }
    for (unsigned i = 0; i < PEERS * EACH; i++) {
        struct native_peer *peer = &peers[i % PEERS];
        struct operation incr = native_incr("n", 1, 0, operand);
        incr.request_id = ++peer->request_id;
        datagrams[i] = (struct udp_datagram){.payload = bytes[i],
                                             .length = (uint16_t)native_peer_seal(peer, &incr, 1, bytes[i]),
                                             .room = NATIVE_ROOM,
                                             .path = peer->path};
    }
    w.node.face.burst(w.node.face.state, datagrams, PEERS * EACH, w.shared.now);
    for (unsigned i = 0; i < PEERS * EACH; i++) {
        int64_t result = 0;
        CU_ASSERT_EQUAL_FATAL(native_peer_open(&peers[i % PEERS], bytes[i], datagrams[i].length, &reply, 1),
                              1);
        CU_ASSERT(incr_result_decode(reply.value, reply.value_length, &result));
        CU_ASSERT_EQUAL(result, (int64_t)i + 1);
    }
    stop(&w);
}

static void test_data_behind_a_close_in_the_same_burst_is_dropped(void)
{
    struct world w;
    uint8_t bytes[3][NATIVE_ROOM];
    struct udp_datagram datagrams[3];
    start(&w, &(struct native_options){.seed = 15}, SUITE_MAC);
    struct operation set = native_set("k", "1");
    set.request_id = 1;
    size_t lengths[3];
    lengths[0] = native_peer_seal(&w.peer, &set, 1, bytes[0]);
    lengths[1] = datagram_seal(&w.peer.session.send, DATAGRAM_CLOSE, w.peer.session.version,
                               w.peer.session.session, w.peer.counter++, bytes[1], 0);
    set.request_id = 2;
    lengths[2] = native_peer_seal(&w.peer, &set, 1, bytes[2]);
    for (unsigned i = 0; i < 3; i++)
        datagrams[i] = (struct udp_datagram){
            .payload = bytes[i], .length = (uint16_t)lengths[i], .room = NATIVE_ROOM, .path = w.peer.path};
    uint64_t lsn = native_lsn(&w.shared);
    w.node.face.burst(w.node.face.state, datagrams, 3, w.shared.now);
    struct reply reply; /* sealed with the session's keys, though they were wiped in the same burst */
    CU_ASSERT_EQUAL(native_peer_open(&w.peer, bytes[0], datagrams[0].length, &reply, 1), 1);
    CU_ASSERT_EQUAL(datagrams[1].length, 0);
    CU_ASSERT_EQUAL(datagrams[2].length, 0);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn + 1);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_session_closed), 1);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_drop_unknown_session), 1);
    stop(&w);
}

static void test_data_may_follow_the_confirm_in_the_same_burst(void)
{
    struct world w;
    struct native_peer peer;
    uint8_t bytes[2][NATIVE_ROOM];
    struct reply reply;
    start(&w, &(struct native_options){.seed = 16}, SUITE_MAC);
    native_peer_init(&peer, &w.node, NATIVE_PEER_SECRET, 2, 40000);
    CU_ASSERT_FATAL(native_peer_respond(&peer, SUITE_MAC));
    memcpy(bytes[0], peer.confirm, sizeof(peer.confirm));
    struct operation set = native_set("k", "1");
    set.request_id = 1;
    struct udp_datagram datagrams[] = {
        {.payload = bytes[0], .length = sizeof(peer.confirm), .room = NATIVE_ROOM, .path = peer.path},
        {.payload = bytes[1],
         .length = (uint16_t)native_peer_seal(&peer, &set, 1, bytes[1]),
         .room = NATIVE_ROOM,
         .path = peer.path}};
    w.node.face.burst(w.node.face.state, datagrams, 2, w.shared.now);
    CU_ASSERT_EQUAL(handshake_ready_check(&peer.session, bytes[0], datagrams[0].length), 0);
    CU_ASSERT_EQUAL(native_peer_open(&peer, bytes[1], datagrams[1].length, &reply, 1), 1);
    CU_ASSERT_EQUAL(reply.status, STATUS_OK);
    handshake_end(&peer.handshake);
    stop(&w);
}

/* ---- bench mode ---- */

/* A PLAIN message padded to `length` bytes of datagram. */
static size_t plain(const struct operation *operation, size_t length, uint8_t out[NATIVE_ROOM])
{
    struct message_writer writer;
    const struct message_header header = {.version = PROTOCOL_VERSION_MAX, .count = 1};
    memset(out, 0, NATIVE_ROOM);
    message_begin(&writer, out + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, operation);
    size_t used = datagram_plain(out, 0xABCD, 99, message_finish(&writer, &header));
    return used > length ? used : length;
}

static void test_plain_is_answered_in_bench_mode_and_never_larger(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 17, .bench_mode = true}, SUITE_MAC);
    native_peer_do(&w.peer, native_set("key", "0123456789abcdef0123456789abcdef"));
    struct operation get = native_get("key");
    get.request_id = 5;
    size_t needed = DATAGRAM_HEADER_BYTES + MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + 32;
    for (size_t length = 0; length <= 200; length++) {
        size_t sent = plain(&get, length, bytes);
        size_t got = native_exchange(&w.node, &w.peer.path, bytes, sent);
        CU_ASSERT(got > 0 && got <= sent);
        CU_ASSERT_EQUAL(bytes[1], DATAGRAM_PLAIN);
        struct datagram_header header;
        CU_ASSERT(datagram_peek(&header, bytes, got));
        CU_ASSERT(header.session == 0xABCD && header.counter == 99);
        struct message_reader reader;
        struct message_header message;
        struct reply reply;
        CU_ASSERT_EQUAL(message_open(&reader, &message, bytes + DATAGRAM_HEADER_BYTES,
                                     got - DATAGRAM_HEADER_BYTES, false),
                        0);
        CU_ASSERT_EQUAL(message_next_reply(&reader, &reply), 1);
        CU_ASSERT_EQUAL(reply.status, sent >= needed ? STATUS_OK : STATUS_MORE);
        CU_ASSERT_EQUAL(reply.request_id, 5);
    }
    stop(&w);
}

static void test_echo_returns_the_same_bytes_in_bench_mode(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM], sent[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 18, .bench_mode = true}, SUITE_MAC);
    for (size_t length = DATAGRAM_HEADER_BYTES; length <= DATAGRAM_BYTES_MAX; length += 113) {
        for (size_t i = 0; i < length; i++)
            sent[i] = (uint8_t)(i * 7);
        sent[0] = DATAGRAM_MAGIC;
        sent[1] = DATAGRAM_ECHO;
        memcpy(bytes, sent, length);
        CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, length), length);
        CU_ASSERT_EQUAL(bytes[1], DATAGRAM_ECHO_REPLY);
        bytes[1] = DATAGRAM_ECHO;
        CU_ASSERT_EQUAL(memcmp(bytes, sent, length), 0);
        /* and an echo's echo is never answered */
        bytes[1] = DATAGRAM_ECHO_REPLY;
        CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, length), 0);
    }
    stop(&w);
}

static void test_plain_and_echo_are_met_with_silence_otherwise(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 19}, SUITE_MAC);
    struct operation set = native_set("k", "v");
    uint64_t lsn = native_lsn(&w.shared);
    CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, plain(&set, 100, bytes)), 0);
    bytes[0] = DATAGRAM_MAGIC;
    bytes[1] = DATAGRAM_ECHO;
    CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, 100), 0);
    CU_ASSERT_EQUAL(native_counter(&w.node, COUNTER_native_drop_bench_off), 2);
    CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn);
    stop(&w);
}

static void test_a_plain_write_is_executed_each_time(void)
{
    struct world w;
    uint8_t bytes[NATIVE_ROOM];
    start(&w, &(struct native_options){.seed = 20, .bench_mode = true}, SUITE_MAC);
    struct operation set = native_set("k", "v");
    uint64_t lsn = native_lsn(&w.shared);
    for (unsigned i = 1; i <= 3; i++) {
        CU_ASSERT(native_exchange(&w.node, &w.peer.path, bytes, plain(&set, 0, bytes)) > 0);
        CU_ASSERT_EQUAL(native_lsn(&w.shared), lsn + i);
    }
    stop(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every operation works in a MAC session", test_every_operation_works_in_a_mac_session},
        {"every operation works sealed with AES", test_every_operation_works_sealed_with_aes},
        {"every operation works sealed with ChaCha20", test_every_operation_works_sealed_with_chacha},
        {"conditions answer with the item's version", test_conditions_answer_with_the_items_version},
        {"HEALTH tells mode, state, LSN and uptime", test_health_tells_mode_state_lsn_and_uptime},
        {"a batch has one reply each, in order", test_a_batch_has_one_reply_each_in_order},
        {"the largest batch is answered", test_the_largest_batch_is_answered},
        {"what does not fit the reply is not executed and may be sent again",
         test_what_does_not_fit_the_reply_is_not_executed_and_may_be_sent_again},
        {"a large value does not take the room of later replies",
         test_a_large_value_does_not_take_the_room_of_later_replies},
        {"a malformed message is met with silence and executes nothing",
         test_a_malformed_message_is_met_with_silence_and_executes_nothing},
        {"wrong operations are refused alone", test_wrong_operations_are_refused_alone},
        {"a repeated write has its first outcome", test_a_repeated_write_has_its_first_outcome},
        {"an id below the window is never executed", test_an_id_below_the_window_is_never_executed},
        {"a write told BUSY may be sent again with its id",
         test_a_write_told_busy_may_be_sent_again_with_its_id},
        {"min_lsn is reached, STALE or LOST", test_min_lsn_is_reached_stale_or_lost},
        {"mode and state decide what is answered", test_mode_and_state_decide_what_is_answered},
        {"a write that happened is still told after a demotion",
         test_a_write_that_happened_is_still_told_after_a_demotion},
        {"a burst of many sessions is answered in order of arrival",
         test_a_burst_of_many_sessions_is_answered_in_order_of_arrival},
        {"data behind a CLOSE in the same burst is dropped",
         test_data_behind_a_close_in_the_same_burst_is_dropped},
        {"data may follow the CONFIRM in the same burst", test_data_may_follow_the_confirm_in_the_same_burst},
        {"PLAIN is answered in bench mode and never larger",
         test_plain_is_answered_in_bench_mode_and_never_larger},
        {"ECHO returns the same bytes in bench mode", test_echo_returns_the_same_bytes_in_bench_mode},
        {"PLAIN and ECHO are met with silence otherwise", test_plain_and_echo_are_met_with_silence_otherwise},
        {"a PLAIN write is executed each time", test_a_plain_write_is_executed_each_time},
        CU_TEST_INFO_NULL,
    };
    return suite_run("native UDP service", tests);
}
