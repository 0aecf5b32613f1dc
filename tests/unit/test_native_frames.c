/*
 * test_native_frames.c - more connections with an unacknowledged reply than TCP has frames: thousands of clients over two
 * stacks in virtual time.
 */
#include "native_tcp_peer.h"
#include "tcp_pair.h"

enum { CROWD = 7000, FRAMES = 4096, MBUFS = 20000, GROUP = 250 };

struct asker {
    struct stream *stream; /* NULL: gone */
    size_t bytes;          /* that came */
};

static struct world {
    struct pair pair;
    struct tcp_node *node;
    struct asker asker[CROWD];
    uint8_t request[128];
    size_t request_bytes;
    unsigned lost, blocked;
} world;

/* A PLAIN record that asks for a key that is not there: its reply is one segment. */
static void make_request(void)
{
    struct operation get = native_get("k");
    struct record_writer writer = record_writer_start(NULL, NULL);
    struct message_writer message;
    message_begin(&message, world.request + RECORD_HEADER_BYTES,
                  sizeof world.request - RECORD_OVERHEAD_BYTES);
    CU_ASSERT_EQUAL_FATAL(message_add_operation(&message, &get), 0);
    size_t length = message_finish(&message, &(struct message_header){.version = PROTOCOL_VERSION_MAX});
    world.request_bytes = record_seal(&writer, world.request + RECORD_HEADER_BYTES, length, world.request);
}

static void ask(struct stream *stream)
{
    world.blocked += stream_write(stream, world.request, world.request_bytes) < world.request_bytes;
}

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    (void)bytes;
    ((struct asker *)stream->user)->bytes += length;
    return length;
}

static void nothing(struct stream *stream)
{
    (void)stream;
}

static void closed(struct stream *stream, enum stream_end end)
{
    ((struct asker *)stream->user)->stream = NULL;
    world.lost += end != STREAM_END_ABORTED; /* that is our own, when the test is over */
}

static const struct stream_events events = {.connected = ask,
                                            .received = received,
                                            .ended = nothing,
                                            .writable = nothing,
                                            .expired = nothing,
                                            .closed = closed};

static void run(uint64_t ns)
{
    for (uint64_t end_ns = world.pair.now_ns + ns; world.pair.now_ns < end_ns;) {
        world.node->shared.now.mono_ns = world.pair.now_ns;
        native_tcp_turn(world.node->service, world.node->shared.now);
        pair_run(&world.pair, 100000);
        tcp_discard_log(world.node);
    }
}

static void start(void)
{
    struct rte_mempool *pool = world.pair.pool;
    memset(&world, 0, sizeof world);
    world.pair = (struct pair){.pool = pool,
                               .now_ns = UINT64_C(1000000000),
                               .random = seeded_start(1),
                               .delay_ns = 50000,
                               .mtu = 1500};
    world.node = tcp_node_start(&(struct tcp_node_options){
        .bench = true, .connections = CROWD + 64, .small_buffers = 1024, .large_buffers = 128});
    make_request();
    struct random_source random = seeded_source(&world.pair.random);
    struct tcp_config configs[2];
    for (unsigned i = 0; i < 2; i++) {
        configs[i] = pair_config(&world.pair, i, &random);
        configs[i].connections_max = CROWD;
        configs[i].half_open_max = GROUP;
        configs[i].send_frames_max = i == 0 ? FRAMES : CROWD + 64;
        configs[i].receive_frames_max = i == 0 ? 2048 : CROWD;
        configs[i].send_bytes_max = NATIVE_TCP_SEND_BYTES;
    }
    pair_start(&world.pair, configs);
    CU_ASSERT_EQUAL(tcp_listen(world.pair.side[0].tcp, PAIR_PORT, native_tcp_acceptor(world.node->service)),
                    0);
}

static void stop(void)
{
    pair_stop(&world.pair);
    tcp_node_stop(world.node);
}

/* They connect and ask for the first time, a few at once: a session in its beginning has no promise. */
static size_t gather(void)
{
    for (unsigned i = 0; i < CROWD; i++) {
        struct return_path path = pair_path(i);
        struct asker *asker = &world.asker[i];
        asker->stream = tcp_connect(world.pair.side[1].tcp, &path, &events, asker, pair_now(&world.pair));
        CU_ASSERT_PTR_NOT_NULL_FATAL(asker->stream);
        if (i % GROUP == GROUP - 1)
            run(20 * PAIR_MS);
    }
    run(100 * PAIR_MS);
    CU_ASSERT_EQUAL(native_tcp_counts(world.node->service).live, CROWD);
    CU_ASSERT_EQUAL(tcp_counts(world.pair.side[0].tcp).send_frames, 0);
    return world.asker[0].bytes;
}

static unsigned answered(size_t bytes)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CROWD; i++)
        count += world.asker[i].bytes == bytes;
    return count;
}

static void replies_that_nobody_acknowledges_reset_no_connection(void)
{
    start();
    size_t reply_bytes = gather();
    CU_ASSERT(reply_bytes > 0);
    CU_ASSERT_EQUAL(answered(reply_bytes), CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        ask(world.asker[i].stream);
        if (i % GROUP == GROUP - 1)
            run(200000);
    }
    /* acknowledgements come after 40 ms: the frames are out, and the others wait */
    unsigned first = answered(2 * reply_bytes);
    CU_ASSERT(first > FRAMES - 64 && first <= FRAMES);
    CU_ASSERT(native_tcp_counts(world.node->service).held_back > 1000);
    CU_ASSERT(tcp_counted(world.node, COUNTER_native_tcp_starved) > 1000);
    for (unsigned i = 0; i < 50 && answered(2 * reply_bytes) < CROWD; i++)
        run(100 * PAIR_MS);
    CU_ASSERT_EQUAL(answered(2 * reply_bytes), CROWD);
    CU_ASSERT_EQUAL(world.lost, 0);
    CU_ASSERT_EQUAL(world.blocked, 0);
    CU_ASSERT_EQUAL(tcp_counted(world.node, COUNTER_native_tcp_no_buffer), 0);
    struct native_tcp_counts counts = native_tcp_counts(world.node->service);
    CU_ASSERT(counts.live == CROWD && counts.held_back == 0 && counts.large_buffers == 0);
    stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"replies that nobody acknowledges reset no connection",
         replies_that_nobody_acknowledges_reset_no_connection},
        CU_TEST_INFO_NULL,
    };
    test_eal_start_with(128);
    world.pair.pool = rte_pktmbuf_pool_create("crowd", MBUFS, 0, TCP_FRAME_PRIVATE_BYTES,
                                              RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (world.pair.pool == NULL)
        return 1;
    return suite_run("native_frames", tests);
}
