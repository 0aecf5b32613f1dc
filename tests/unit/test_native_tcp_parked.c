/* test_native_tcp_parked.c - replies over streams that wait for the log, under a durable point that the test moves. */
#include "native_tcp_fixture.h"
#include "service/parked.h"
#include "suite.h"

static const struct durability_rules sync_rules = {.log = true, .writes_wait = true, .reads_wait = true};
static struct tcp_node *node;

static void start_with(const struct tcp_node_options *options)
{
    node = tcp_node_start(options);
    native_durable(&node->shared, native_lsn(&node->shared));
}

static void start(void)
{
    start_with(&(struct tcp_node_options){.rules = sync_rules});
}

static uint64_t lsn(void)
{
    return native_lsn(&node->shared);
}

static unsigned parked(void)
{
    return native_tcp_counts(node->service).parked;
}

/* The log gets there, and everything rests. */
static void durable(uint64_t to)
{
    native_durable(&node->shared, to);
    tcp_node_turn(node);
}

static void say(struct tcp_client *c, struct operation operation)
{
    tcp_client_say(c, &operation, 1);
}

static void a_write_is_answered_when_it_is_durable(void)
{
    start();
    struct tcp_client *c = tcp_client_new(node, 1);
    say(c, native_set("k", "v"));
    tcp_client_rest(c);
    CU_ASSERT(c->count == 0 && parked() == 1);
    durable(lsn());
    tcp_client_rest(c);
    CU_ASSERT_FATAL(c->count == 1 && parked() == 0);
    CU_ASSERT(c->replies[0].status == STATUS_OK && c->replies[0].version == lsn());
    CU_ASSERT_EQUAL(tcp_client_do(c, native_get("k")).status, STATUS_OK); /* at once */
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void later_replies_queue_behind_the_one_that_waits(void)
{
    start();
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_new(node, 2);
    struct operation echo = {.opcode = OPCODE_ECHO, .value = (const uint8_t *)"e", .value_length = 1};
    say(c, native_get("absent"));
    tcp_client_rest(c);
    CU_ASSERT_EQUAL(c->count, 1);
    say(c, native_set("k", "v"));
    uint64_t first = lsn();
    say(c, echo);
    say(c, (struct operation){.opcode = 77});
    say(c, native_set("k", "w"));
    say(c, native_get("k"));
    tcp_client_rest(c);
    CU_ASSERT(c->count == 1 && parked() == 5);
    CU_ASSERT_EQUAL(tcp_client_do(d, echo).status, STATUS_OK); /* another connection's order is its own */
    durable(first);
    tcp_client_rest(c);
    CU_ASSERT_EQUAL(c->count, 4);
    durable(first + 1);
    tcp_client_rest(c);
    CU_ASSERT_EQUAL_FATAL(c->count, 6);
    static const uint8_t opcodes[] = {OPCODE_GET, OPCODE_SET, OPCODE_ECHO, 77, OPCODE_SET, OPCODE_GET};
    for (unsigned i = 0; i < 6; i++)
        CU_ASSERT(c->replies[i].request_id == i + 1 && c->replies[i].opcode == opcodes[i]);
    CU_ASSERT(native_value_is(&c->replies[5], "w"));
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
}

/* Operations in random messages, a log that lags at random: every reply, in order, and none too early. */
static void order_and_durability_hold_in_random_conversations(void)
{
    static uint8_t records[1 << 17];
    uint64_t seed = seeded_from_environment(20), state = seeded_start(seed);
    printf("seed %llu ", (unsigned long long)seed);
    start();
    struct tcp_client *c = tcp_client_new(node, 1);
    uint64_t sent = 0;
    while (sent < 1500) {
        size_t length = 0;
        for (unsigned m = 0, messages = (unsigned)seeded_below(&state, 40); m < messages; m++) {
            struct operation batch[6];
            unsigned count = 1 + (unsigned)seeded_below(&state, 6);
            for (unsigned i = 0; i < count; i++) {
                static const char *const keys[] = {"a", "b", "c", "d"};
                const char *key = keys[seeded_below(&state, 4)];
                switch (seeded_below(&state, 4)) {
                case 0:
                    batch[i] = native_set(key, "value");
                    break;
                case 1:
                    batch[i] = native_delete(key);
                    break;
                case 2:
                    batch[i] = (struct operation){.opcode = OPCODE_HEALTH};
                    break;
                default:
                    batch[i] = native_get(key);
                    break;
                }
            }
            length += tcp_client_seal(c, batch, count, records + length);
            sent += count;
        }
        tcp_client_send(c, records, length);
        uint64_t target = lsn() - seeded_below(&state, 30);
        if (target > atomic_load(&node->shared.durable.lsn))
            durable(target);
        tcp_client_rest(c);
        for (unsigned i = 0; i < c->count; i++)
            CU_ASSERT_FATAL(c->replies[i].request_id == i + 1 &&
                            c->replies[i].version <= atomic_load(&node->shared.durable.lsn));
    }
    durable(lsn());
    tcp_client_rest(c);
    CU_ASSERT_EQUAL(c->count, sent);
    CU_ASSERT(tcp_counted(node, COUNTER_native_parked) > 50);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void a_repeated_write_joins_the_one_that_waits(void)
{
    start();
    struct tcp_client *c = tcp_client_new(node, 1);
    uint8_t operand[INCR_OPERAND_BYTES];
    struct operation incr = native_incr("n", 1, 5, operand);
    incr.request_id = 7;
    say(c, incr);
    uint64_t first = lsn();
    say(c, incr);
    tcp_client_rest(c);
    CU_ASSERT(c->count == 0 && parked() == 2 && lsn() == first);
    durable(first);
    tcp_client_rest(c);
    CU_ASSERT_FATAL(c->count == 2);
    CU_ASSERT(c->replies[0].version == first && c->replies[1].version == first);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void a_log_that_does_not_come_is_given_up_in_order(void)
{
    start();
    struct tcp_client *c = tcp_client_new(node, 1);
    say(c, native_set("k", "v"));
    say(c, native_get("k"));
    say(c, (struct operation){.opcode = OPCODE_HEALTH});
    tcp_node_pass(node, PARKED_NS_MAX - 1);
    tcp_client_rest(c);
    CU_ASSERT_EQUAL(c->count, 0);
    tcp_node_pass(node, 1);
    tcp_client_rest(c);
    CU_ASSERT_FATAL(c->count == 3);
    CU_ASSERT(c->replies[0].status == STATUS_TIMEOUT && c->replies[1].status == STATUS_STALE &&
              c->replies[2].status == STATUS_OK);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_parked_timeout), 1);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_parked_stale), 1);
    say(c, native_set("k", "w"));
    durable_point_set(&node->shared.durable, lsn() - 2, true);
    tcp_node_turn(node);
    tcp_client_rest(c);
    CU_ASSERT_FATAL(c->count == 4);
    CU_ASSERT_EQUAL(c->replies[3].status, STATUS_TIMEOUT);
    CU_ASSERT_EQUAL(tcp_client_do(c, native_get("k")).status, STATUS_STALE);
    CU_ASSERT_EQUAL(tcp_client_do(c, native_set("k", "x")).status, STATUS_READ_ONLY);
    tcp_client_free(c);
    tcp_node_stop(node);
}

/* ---- ends ---- */

static void close_is_answered_behind_the_replies_that_wait(void)
{
    start();
    struct tcp_client *c = tcp_client_new(node, 1);
    uint8_t record[RECORD_OVERHEAD_BYTES];
    say(c, native_set("k", "v"));
    say(c, (struct operation){.opcode = OPCODE_HEALTH});
    tcp_client_send(c, record, record_close(&c->writer, record));
    tcp_client_rest(c);
    CU_ASSERT(c->count == 0 && !c->closed && !c->stream->close_asked);
    durable(lsn());
    tcp_client_rest(c);
    CU_ASSERT(c->count == 2 && c->closed && c->stream->close_asked);
    fake_end(c->stream);
    tcp_node_turn(node);
    CU_ASSERT(c->stream->closed && c->stream->end == STREAM_END_CLOSED);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void a_peer_that_ended_gets_the_replies_that_wait(void)
{
    start();
    struct tcp_client *c = tcp_client_new(node, 1);
    say(c, native_set("k", "v"));
    fake_end(c->stream);
    tcp_node_turn(node);
    CU_ASSERT(!c->stream->closed && !c->stream->close_asked);
    tcp_node_pass(node, PARKED_NS_MAX - 1);
    CU_ASSERT(!c->stream->closed);
    durable(lsn());
    tcp_client_rest(c);
    CU_ASSERT(c->count == 1 && c->stream->close_asked);
    tcp_node_turn(node);
    CU_ASSERT(c->stream->closed && c->stream->end == STREAM_END_CLOSED);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void draining_waits_for_them(void)
{
    start();
    struct tcp_client *c = tcp_client_new(node, 1);
    say(c, native_set("k", "v"));
    native_tcp_close_all(node->service);
    tcp_client_rest(c);
    CU_ASSERT(c->count == 0 && !c->closed && parked() == 1);
    durable(lsn());
    tcp_client_rest(c);
    CU_ASSERT(c->count == 1 && c->closed && parked() == 0);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void who_waits_is_not_idle(void)
{
    start_with(&(struct tcp_node_options){.rules = sync_rules, .idle_ns = NATIVE_TCP_CHECK_NS});
    struct tcp_client *c = tcp_client_new(node, 1);
    say(c, native_set("k", "v"));
    tcp_node_pass(node, NATIVE_TCP_CHECK_NS);
    CU_ASSERT(tcp_counted(node, COUNTER_native_tcp_idle) == 0 && !c->closed);
    durable(lsn());
    tcp_client_rest(c);
    CU_ASSERT_EQUAL(c->count, 1);
    tcp_node_pass(node, NATIVE_TCP_CHECK_NS);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_idle), 1);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void the_next_connection_of_a_place_gets_nothing_of_the_last(void)
{
    start_with(&(struct tcp_node_options){.rules = sync_rules, .connections = 4});
    struct tcp_client *c = tcp_client_new(node, 1);
    say(c, native_set("a", "1"));
    c->stream->peer_reset = true;
    tcp_node_turn(node);
    CU_ASSERT(c->stream->closed && parked() == 1);
    struct tcp_client *d = tcp_client_new(node, 2); /* the free list's first: the same place */
    say(d, native_set("b", "1"));
    uint64_t last = lsn();
    durable(last);
    tcp_client_rest(d);
    CU_ASSERT_FATAL(d->count == 1);
    CU_ASSERT_EQUAL(d->replies[0].version, last);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_parked_dropped), 1);
    CU_ASSERT_EQUAL(parked(), 0);
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
}

static void plain_records_wait_too(void)
{
    start_with(&(struct tcp_node_options){.rules = sync_rules, .bench = true});
    struct tcp_client *c = tcp_client_open(node, 1);
    c->writer = record_writer_start(NULL, NULL);
    say(c, native_set("k", "v"));
    tcp_client_rest(c);
    CU_ASSERT(c->count == 0 && parked() == 1);
    fake_end(c->stream);
    tcp_node_turn(node);
    durable(lsn());
    tcp_client_rest(c);
    CU_ASSERT(c->count == 1 && c->stream->close_asked);
    tcp_client_free(c);
    tcp_node_stop(node);
}

/* ---- bounds ---- */

static void what_waits_counts_as_unread_and_holds_its_connection_back(void)
{
    static uint8_t records[1 << 18];
    start();
    struct tcp_client *c = tcp_client_new(node, 1), *d = tcp_client_new(node, 2);
    size_t length = 0;
    for (unsigned i = 0; i < 1500; i++) {
        struct operation set = native_set("k", "v");
        length += tcp_client_seal(c, &set, 1, records + length);
    }
    for (size_t at = 0; at < length; at += 1448)
        tcp_client_send(c, records + at, length - at < 1448 ? length - at : 1448);
    tcp_client_rest(c);
    unsigned most =
        NATIVE_TCP_SEND_BYTES / (MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + RECORD_OVERHEAD_BYTES);
    CU_ASSERT(parked() > 300 && parked() < most);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).held_back, 1);
    CU_ASSERT_EQUAL(tcp_client_do(d, (struct operation){.opcode = OPCODE_HEALTH}).status, STATUS_OK);
    for (unsigned i = 0; i < 100 && c->count < 1500; i++) {
        durable(lsn());
        tcp_client_rest(c);
    }
    CU_ASSERT_EQUAL_FATAL(c->count, 1500);
    for (unsigned i = 0; i < 1500; i++)
        CU_ASSERT_FATAL(c->replies[i].request_id == i + 1 && c->replies[i].status == STATUS_OK);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_parked_refused), 0);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).large_buffers, 0);
    tcp_client_free(c);
    tcp_client_free(d);
    tcp_node_stop(node);
}

enum { CROWD = 160, CROWD_READS = 28 };

/* Sessions of `hosts` addresses from `ip4` on, each with large reads that wait, until one is told BUSY; how many. */
static unsigned crowd_fills_its_share(struct tcp_client *crowd[CROWD], uint32_t ip4, unsigned hosts)
{
    unsigned clients = 0;
    while (tcp_counted(node, COUNTER_native_parked_refused) == 0) {
        CU_ASSERT_FATAL(clients < CROWD);
        struct tcp_client *c = tcp_client_open_from(node, ip4 + clients % hosts, (uint16_t)(1000 + clients));
        CU_ASSERT_FATAL(c != NULL && tcp_client_connect(c));
        crowd[clients++] = c;
        for (unsigned i = 0; i < CROWD_READS; i++)
            say(c, native_get("large"));
        tcp_client_rest(c);
    }
    return clients;
}

/* A source has its share: who of it waits is held back and loses nothing, who comes is told BUSY, others notice nothing. */
static void a_crowd_has_its_share_of_the_ring(unsigned hosts)
{
    static struct tcp_client *crowd[CROWD];
    unsigned gets = 0;
    large_value_fill();
    start_with(&(struct tcp_node_options){.rules = sync_rules, .connections = 1024});
    struct tcp_client *writer = tcp_client_new(node, 1);
    say(writer, native_set("large", large_value));
    unsigned clients = crowd_fills_its_share(crowd, 0xC6330002, hosts);
    CU_ASSERT(parked() > 1000);
    uint64_t before = lsn();
    struct tcp_client *late = crowd[clients - 1], *waiting = crowd[0];
    CU_ASSERT(late->count > 0 && late->replies[late->count - 1].status == STATUS_BUSY);
    say(waiting, native_set("other", "v"));
    tcp_client_rest(waiting);
    CU_ASSERT_EQUAL(waiting->count, 0);
    CU_ASSERT(lsn() == before && native_tcp_counts(node->service).held_back > 0);
    struct tcp_client *good = tcp_client_new(node, 2);
    say(good, native_set("mine", "v"));
    say(writer, native_set("mine", "w"));
    tcp_client_rest(good);
    CU_ASSERT(good->count == 0 && lsn() == before + 2);
    for (unsigned i = 0; i < 100 && parked() > 0; i++) {
        durable(lsn());
        for (unsigned j = 0; j < clients; j++)
            tcp_client_rest(crowd[j]);
    }
    tcp_client_rest(good);
    CU_ASSERT(good->count == 1 && good->replies[0].status == STATUS_OK);
    CU_ASSERT(lsn() == before + 3 && parked() == 0);
    CU_ASSERT_FATAL(waiting->count == CROWD_READS + 1);
    CU_ASSERT_EQUAL(waiting->replies[CROWD_READS].status, STATUS_OK);
    for (unsigned i = 0; i < clients; i++)
        for (unsigned j = 0; j < CROWD_READS; j++)
            gets += native_value_is(&crowd[i]->replies[j], large_value);
    CU_ASSERT(gets > 1000);
    for (unsigned i = 0; i < clients; i++)
        tcp_client_free(crowd[i]);
    tcp_client_free(writer);
    tcp_client_free(good);
    tcp_node_stop(node);
}

static void a_full_share_is_busy_for_newcomers_and_backpressure_for_the_others(void)
{
    a_crowd_has_its_share_of_the_ring(1);
    a_crowd_has_its_share_of_the_ring(50);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a write is answered when it is durable", a_write_is_answered_when_it_is_durable},
        {"later replies queue behind the one that waits", later_replies_queue_behind_the_one_that_waits},
        {"order and durability hold in random conversations",
         order_and_durability_hold_in_random_conversations},
        {"a repeated write joins the one that waits", a_repeated_write_joins_the_one_that_waits},
        {"a log that does not come is given up in order", a_log_that_does_not_come_is_given_up_in_order},
        {"CLOSE is answered behind the replies that wait", close_is_answered_behind_the_replies_that_wait},
        {"a peer that ended gets the replies that wait", a_peer_that_ended_gets_the_replies_that_wait},
        {"draining waits for them", draining_waits_for_them},
        {"who waits is not idle", who_waits_is_not_idle},
        {"the next connection of a place gets nothing of the last",
         the_next_connection_of_a_place_gets_nothing_of_the_last},
        {"PLAIN records wait too", plain_records_wait_too},
        {"what waits counts as unread and holds its connection back",
         what_waits_counts_as_unread_and_holds_its_connection_back},
        {"a full share is BUSY for newcomers and backpressure for the others",
         a_full_share_is_busy_for_newcomers_and_backpressure_for_the_others},
        CU_TEST_INFO_NULL};
    return suite_run("native_tcp_parked", tests);
}
