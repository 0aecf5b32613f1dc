/*
 * test_native_over_tcp.c - the native service and HTTP on our own TCP, with a link in between that loses and
 * moves segments: the two halves of the contract in stream.h meet.
 */
#include "native_tcp_peer.h"
#include "tcp_pair.h"

enum { CLIENTS_MAX = 8 };

/* A client's fake stream is a go-between: what it is told to send goes into `stream`, and back likewise. */
struct user {
    struct tcp_client *client;
    struct stream *stream; /* NULL: gone */
    bool does_not_read;
};

static struct world {
    struct pair pair;
    struct tcp_node *node;
    struct user user[CLIENTS_MAX];
    unsigned users;
} world;

static size_t said(struct stream *fake, uint8_t *bytes, size_t length)
{
    struct user *user = fake->user;
    return user->stream != NULL ? stream_write(user->stream, bytes, length) : length;
}

static const struct stream_events fake_events = {.received = said};

/* Says what could not be said before. */
static void say_on(struct user *user)
{
    user->client->stream->paused = false;
    fake_give(user->client->stream);
}

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct user *user = stream->user;
    struct fake_stream *fake = user->client->stream;
    if (user->does_not_read)
        return 0;
    fake->out = realloc(fake->out, fake->out_length + length);
    memcpy(fake->out + fake->out_length, bytes, length);
    fake->out_length += length;
    return length;
}

static void connected(struct stream *stream)
{
    say_on(stream->user);
}

static void ended(struct stream *stream)
{
    ((struct user *)stream->user)->client->stream->ended_told = true;
    stream_close(stream);
}

static void nothing(struct stream *stream)
{
    (void)stream;
}

static void closed(struct stream *stream, enum stream_end end)
{
    struct user *user = stream->user;
    user->client->stream->end = end;
    user->stream = NULL;
}

static const struct stream_events client_events = {.connected = connected,
                                                   .received = received,
                                                   .ended = ended,
                                                   .writable = connected,
                                                   .expired = nothing,
                                                   .closed = closed};

static void start(unsigned loss_percent, uint16_t mtu, uint64_t seed)
{
    struct rte_mempool *pool = world.pair.pool;
    memset(&world, 0, sizeof world);
    world.pair = (struct pair){.pool = pool,
                               .now_ns = UINT64_C(1000000000),
                               .random = seeded_start(seed),
                               .delay_ns = 50000,
                               .jitter_ns = loss_percent > 0 ? 200000 : 0,
                               .loss_percent = loss_percent,
                               .duplicate_percent = loss_percent,
                               .mtu = mtu};
    world.node = tcp_node_start(&(struct tcp_node_options){.http = true});
    struct random_source random = seeded_source(&world.pair.random);
    struct tcp_config configs[2] = {pair_config(&world.pair, 0, &random),
                                    pair_config(&world.pair, 1, &random)};
    configs[0].send_bytes_max = NATIVE_TCP_SEND_BYTES;
    pair_start(&world.pair, configs);
    CU_ASSERT_EQUAL(tcp_listen(world.pair.side[0].tcp, PAIR_PORT, native_tcp_acceptor(world.node->service)),
                    0);
}

static void run(uint64_t ns)
{
    for (uint64_t end_ns = world.pair.now_ns + ns; world.pair.now_ns < end_ns;) {
        world.node->shared.now.mono_ns = world.pair.now_ns;
        handshake_helper_step(world.node->shared.helper);
        native_tcp_turn(world.node->service, world.node->shared.now);
        tcp_discard_log(world.node);
        pair_run(&world.pair, 100000);
        tcp_discard_log(world.node);
    }
}

static void stop(void)
{
    pair_stop(&world.pair);
    for (unsigned i = 0; i < world.users; i++) {
        fake_free(world.user[i].client->stream);
        tcp_client_free(world.user[i].client);
    }
    tcp_node_stop(world.node);
}

static struct user *user_new(void)
{
    struct user *user = &world.user[world.users];
    struct return_path path = pair_path(world.users++);
    user->client = tcp_client_make(world.node, world.users);
    user->client->stream->stream.events = &fake_events;
    user->client->stream->stream.user = user;
    user->stream = tcp_connect(world.pair.side[1].tcp, &path, &client_events, user, pair_now(&world.pair));
    CU_ASSERT_PTR_NOT_NULL_FATAL(user->stream);
    return user;
}

static struct user *user_of(const struct tcp_client *c)
{
    return c->stream->stream.user;
}

/* INIT to READY; NULL: the node lost patience, for a bad link may keep an INIT for longer than it waits. */
static struct tcp_client *try_session(void)
{
    struct user *user = user_new();
    struct tcp_client *c = user->client;
    tcp_client_start(c);
    tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
    bool confirmed = false;
    while (user->stream != NULL && !c->ready) {
        run(100000);
        tcp_client_read(c, SIZE_MAX);
        if (!confirmed && c->reader.expected == RECORD_KIND_BIT(DATAGRAM_READY)) {
            tcp_client_send(c, c->confirm, HANDSHAKE_CONFIRM_BYTES);
            confirmed = true;
        }
    }
    return c->ready ? c : NULL;
}

static struct tcp_client *session_new(void)
{
    struct tcp_client *c = NULL;
    while (c == NULL && world.users < CLIENTS_MAX)
        c = try_session();
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    return c;
}

static void wait_for(struct tcp_client *c, unsigned replies)
{
    for (unsigned i = 0; i < 60000 && c->count < replies; i++) {
        run(100000);
        tcp_client_read(c, SIZE_MAX);
    }
    CU_ASSERT_EQUAL_FATAL(c->count, replies);
}

/* Sets and gets of all sizes, single and many in a message, sent without waiting. */
static void converse(struct tcp_client *c)
{
    enum { ROUNDS = 60 };
    static char value[VALUE_BYTES_MAX + 1];
    unsigned replies = c->count;
    memset(value, 'v', VALUE_BYTES_MAX);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct operation many[8];
        value[round * 17] = 0;
        struct operation set = native_set("k", value);
        tcp_client_say(c, &set, 1);
        value[round * 17] = 'v';
        for (unsigned i = 0; i < 8; i++)
            many[i] = native_get("k");
        tcp_client_say(c, many, round % 3 == 0 ? 8 : 1);
        replies += 1 + (round % 3 == 0 ? 8 : 1);
    }
    unsigned at = c->count;
    wait_for(c, replies);
    for (unsigned round = 0; round < ROUNDS; round++) {
        CU_ASSERT_EQUAL(c->replies[at++].status, STATUS_OK);
        for (unsigned i = 0; i < (round % 3 == 0 ? 8u : 1u); i++, at++)
            CU_ASSERT(c->replies[at].status == STATUS_OK && c->replies[at].value_length == round * 17);
    }
    for (unsigned i = 1; i < c->count; i++)
        CU_ASSERT_EQUAL(c->replies[i].request_id, c->replies[i - 1].request_id + 1);
}

static void a_pipeline_is_answered_in_order_over_a_good_link(void)
{
    start(0, 1500, 1);
    converse(session_new());
    CU_ASSERT_EQUAL(tcp_counted(world.node, COUNTER_native_tcp_no_buffer), 0);
    stop();
}

static void a_pipeline_is_answered_in_order_whatever_the_link_does(void)
{
    static const uint16_t mtus[] = {1500, 576, 1400};
    uint64_t seed = seeded_from_environment(5);
    printf("(WILD_SEED=%llu) ", (unsigned long long)seed);
    for (unsigned i = 0; i < 9; i++) {
        start(2 + i % 4 * 3, mtus[i % 3], seed + i);
        struct tcp_client *c = session_new();
        converse(c);
        /* CLOSE both ways, then both streams end in order */
        uint8_t record[RECORD_OVERHEAD_BYTES];
        tcp_client_send(c, record, record_close(&c->writer, record));
        for (unsigned n = 0; n < 60000 && user_of(c)->stream != NULL; n++) {
            run(100000);
            tcp_client_read(c, SIZE_MAX);
        }
        CU_ASSERT_TRUE(c->closed);
        CU_ASSERT_PTR_NULL(user_of(c)->stream);
        CU_ASSERT_EQUAL(c->stream->end, STREAM_END_CLOSED);
        CU_ASSERT_EQUAL(tcp_counted(world.node, COUNTER_native_tcp_closed), 1);
        stop();
    }
}

static void a_client_that_does_not_read_hinders_no_other(void)
{
    static char value[VALUE_BYTES_MAX + 1];
    memset(value, 'v', VALUE_BYTES_MAX);
    start(0, 1500, 1);
    struct tcp_client *slow = session_new(), *quick = session_new();
    struct operation set = native_set("large", value);
    tcp_client_say(slow, &set, 1);
    wait_for(slow, 1);
    user_of(slow)->does_not_read = true;
    for (unsigned i = 0; i < 400; i++) {
        struct operation get = native_get("large");
        tcp_client_say(slow, &get, 1);
    }
    run(200 * PAIR_MS);
    CU_ASSERT_EQUAL(native_tcp_counts(world.node->service).held_back, 1);
    CU_ASSERT_EQUAL(slow->count, 1);
    uint64_t began_ns = world.pair.now_ns;
    struct operation get = native_get("large");
    tcp_client_say(quick, &get, 1);
    wait_for(quick, 1);
    CU_ASSERT(world.pair.now_ns - began_ns < 2 * PAIR_MS);
    user_of(slow)->does_not_read = false;
    stream_resume(user_of(slow)->stream);
    wait_for(slow, 401);
    CU_ASSERT_EQUAL(native_tcp_counts(world.node->service).held_back, 0);
    stop();
}

static void pages_are_served_over_tcp(void)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: 198.18.0.1\r\nConnection: close\r\n\r\n";
    for (unsigned loss = 0; loss < 10; loss += 9) {
        start(loss, 1500, 3);
        struct user *user = user_new();
        struct fake_stream *fake = user->client->stream;
        fake_send(fake, request, sizeof request - 1);
        for (unsigned i = 0; i < 60000 && user->stream != NULL; i++)
            run(100000);
        CU_ASSERT_PTR_NULL_FATAL(user->stream);
        CU_ASSERT_EQUAL(fake->end, STREAM_END_CLOSED);
        CU_ASSERT(fake->out_length > 20000 && memcmp(fake->out, "HTTP/1.1 200 OK\r\n", 17) == 0);
        CU_ASSERT_EQUAL(memcmp(fake->out + fake->out_length - 7, "\r\n0\r\n\r\n", 7), 0);
        CU_ASSERT_EQUAL(http_connections(world.node->http), 0);
        stop();
    }
}

/* The link goes: the session ends some day, and with it everything that was held for it. */
static void a_client_that_vanishes_leaves_nothing(void)
{
    start(0, 1500, 1);
    struct tcp_client *c = session_new();
    struct operation get = native_get("k");
    tcp_client_say(c, &get, 1);
    wait_for(c, 1);
    run(200 * PAIR_MS); /* the reply is acknowledged */
    world.pair.loss_percent = 100;
    for (unsigned i = 0; i < 1300 && native_tcp_counts(world.node->service).connections > 0; i++) {
        world.node->shared.now.mono_ns = world.pair.now_ns;
        native_tcp_turn(world.node->service, world.node->shared.now);
        pair_run(&world.pair, 1000 * PAIR_MS);
    }
    CU_ASSERT_EQUAL(native_tcp_counts(world.node->service).connections, 0);
    CU_ASSERT_EQUAL(tcp_counted(world.node, COUNTER_native_tcp_idle), 1);
    stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a pipeline is answered in order over a good link",
         a_pipeline_is_answered_in_order_over_a_good_link},
        {"a pipeline is answered in order whatever the link does",
         a_pipeline_is_answered_in_order_whatever_the_link_does},
        {"a client that does not read hinders no other", a_client_that_does_not_read_hinders_no_other},
        {"pages are served over TCP", pages_are_served_over_tcp},
        {"a client that vanishes leaves nothing", a_client_that_vanishes_leaves_nothing},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    world.pair.pool = rte_pktmbuf_pool_create("pair", PAIR_MBUFS, 0, TCP_FRAME_PRIVATE_BYTES,
                                              RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (world.pair.pool == NULL)
        return 1;
    return suite_run("native_over_tcp", tests);
}
