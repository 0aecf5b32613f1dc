/*
 * bench_tcp - what a request of 64 bytes on an established connection costs the TCP core, and a byte of bulk.
 *
 * Segments are handed to tcp_input() in bursts as a worker does, from as many peers as there are connections;
 * the service echoes; what leaves goes into an array. Only tcp_input() is timed: decoding, demultiplexing,
 * the acknowledgement of the last reply, delivery, the service's write, the reply's headers; not the
 * checksums nor the headers below TCP. Every request has time stamps and acknowledges the last reply. 10th
 * percentile of windows.
 */
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "bench_window.h"
#include "seeded.h"
#include "tcp/tcp.h"
#include "test_eal.h"

enum {
    CONNECTIONS_MAX = 10000,
    MBUFS = 16384,
    ROOM_BYTES = RTE_PKTMBUF_HEADROOM + 768, /* 10,000 replies are kept until they are acknowledged */
    BURST = 32,
    REQUEST_BYTES = 64,
    FULL_BYTES = 1448,
    BURSTS = 20000,
    MTU = 1500,
    PORT = 7878,
};

struct peer {
    struct return_path path;
    uint32_t snd_nxt, rcv_nxt, ts_echo;
};

static struct bench {
    struct rte_mempool *pool;
    struct counters *counters;
    struct tcp *tcp;
    struct peer peer[CONNECTIONS_MAX];
    struct rte_mbuf *out[1024];
    struct return_path out_path[1024];
    unsigned out_count, accepted;
    enum { ECHO, SINK, SOURCE } service;
    uint64_t now_ns, entropy;
} bench;

static void fail(const char *what)
{
    fprintf(stderr, "bench_tcp: %s\n", what);
    exit(1);
}

/* ---- below ---- */

static void segment_leaves(void *state, struct rte_mbuf *frame, const struct return_path *path)
{
    struct bench *b = state;
    if (b->out_count == RTE_DIM(b->out))
        fail("too many segments leave");
    b->out_path[b->out_count] = *path;
    b->out[b->out_count++] = frame;
}

static uint16_t link_mtu(void *state, const struct return_path *path)
{
    (void)state, (void)path;
    return MTU;
}

/* ---- above: a service that echoes, takes, or writes as much as it may ---- */

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    size_t room;
    if (bench.service != ECHO)
        return length;
    uint8_t *place = stream_reserve(stream, length, &room);
    if (place == NULL)
        fail("no room for a reply");
    memcpy(place, bytes, length);
    stream_commit(stream, length);
    return length;
}

static void nothing(struct stream *stream)
{
    (void)stream;
}

static void writable(struct stream *stream)
{
    static const uint8_t bytes[4096];
    while (stream_write(stream, bytes, sizeof bytes) == sizeof bytes)
        continue;
}

static void closed(struct stream *stream, enum stream_end end)
{
    (void)stream, (void)end;
}

static const struct stream_events events = {
    .received = received, .ended = nothing, .writable = writable, .expired = nothing, .closed = closed};

static bool accepted(void *state, struct stream *stream)
{
    struct bench *b = state;
    stream->events = &events;
    b->accepted++;
    if (b->service == SOURCE)
        writable(stream);
    return true;
}

/* ---- peers ---- */

static void peer_segment(struct peer *peer, struct tcp_arrival *arrival, uint8_t flags,
                         unsigned payload_bytes)
{
    struct rte_mbuf *frame = rte_pktmbuf_alloc(bench.pool);
    if (frame == NULL)
        fail("the pool is empty");
    uint8_t *payload = rte_pktmbuf_mtod(frame, uint8_t *) + 128;
    memset(payload, 'x', payload_bytes);
    struct flow reversed = {.peer_port = peer->path.flow.local_port, .local_port = peer->path.flow.peer_port};
    struct tcp_header header = {.seq = peer->snd_nxt, .ack = peer->rcv_nxt, .window = 65000, .flags = flags};
    struct tcp_options options = {
        .mss = flags & TCP_SYN ? 1460 : 0,
        .has_timestamps = true,
        .ts_value = (uint32_t)(bench.now_ns / 1000000) + 1,
        .ts_echo = peer->ts_echo,
        .sack_permitted = flags & TCP_SYN,
        .has_window_scale = flags & TCP_SYN,
    };
    uint8_t *start = tcp_header_write(payload, &reversed, &header, &options);
    *arrival = (struct tcp_arrival){.frame = frame,
                                    .header = start,
                                    .length = (uint16_t)(payload + payload_bytes - start),
                                    .path = peer->path};
    peer->snd_nxt += payload_bytes + ((flags & TCP_SYN) != 0);
}

static struct peer *peer_of(const struct return_path *path)
{
    return &bench.peer[address_ip4(&path->flow.peer)];
}

/* What left is noted by its peer and freed, as a device does. */
static void peers_take(void)
{
    for (unsigned i = 0; i < bench.out_count; i++) {
        struct rte_mbuf *frame = bench.out[i];
        struct tcp_arrival arrival = {.frame = frame,
                                      .header = rte_pktmbuf_mtod(frame, uint8_t *),
                                      .length = frame->data_len,
                                      .path = bench.out_path[i]};
        struct tcp_segment segment;
        if (!tcp_segment_decode(&segment, &arrival))
            fail("a segment that left is malformed");
        tcp_options_decode(&segment.options, &segment, arrival.header);
        struct peer *peer = peer_of(&arrival.path);
        if (segment.flags & TCP_RST)
            fail("a reset left");
        peer->rcv_nxt = segment.seq + tcp_segment_length(&segment);
        peer->ts_echo = segment.options.ts_value;
        rte_pktmbuf_free(frame);
    }
    bench.out_count = 0;
}

static uint64_t input(struct tcp_arrival *arrivals, unsigned count)
{
    struct instant now = {.mono_ns = bench.now_ns};
    uint64_t begin = rte_rdtsc_precise();
    tcp_input(bench.tcp, arrivals, count, now);
    uint64_t end = rte_rdtsc_precise();
    peers_take();
    bench.now_ns += 20000;
    tcp_turn(bench.tcp, (struct instant){.mono_ns = bench.now_ns});
    peers_take();
    return end - begin;
}

static void open_connections(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct peer *peer = &bench.peer[i];
        *peer = (struct peer){.snd_nxt = i * 1000003u};
        peer->path.vlan_tci = VLAN_NONE;
        peer->path.flow.peer = address_from_ip4(i);
        peer->path.flow.local = address_from_ip4(RTE_BE32(0xC6120001));
        peer->path.flow.peer_port = rte_cpu_to_be_16((uint16_t)(1024 + i % 50000));
        peer->path.flow.local_port = rte_cpu_to_be_16(PORT);
        struct tcp_arrival arrival;
        peer_segment(peer, &arrival, TCP_SYN, 0);
        input(&arrival, 1);
        peer_segment(peer, &arrival, TCP_ACK, 0);
        input(&arrival, 1);
    }
    if (bench.accepted != count)
        fail("not all connections were accepted");
}

/* ---- measurements ---- */

/* Median of bursts: what others do on this machine disturbs whole time slices, few bursts. */
static double requests(unsigned connections, unsigned burst)
{
    static double cycles[BURSTS];
    struct tcp_arrival arrivals[BURST];
    /* not the connections' order in memory: what the last one fetched ahead does not help */
    unsigned next = 0, stride = connections > 7919 ? 7919 : 1;
    for (unsigned b = 0; b < BURSTS; b++) {
        for (unsigned i = 0; i < burst; i++) {
            peer_segment(&bench.peer[next], &arrivals[i], TCP_ACK | TCP_PSH, REQUEST_BYTES);
            next = (next + stride) % connections;
        }
        cycles[b] = (double)input(arrivals, burst) / burst;
    }
    return bench_quantile(cycles, BURSTS, 0.5);
}

static void start(unsigned connections)
{
    bench.accepted = 0;
    struct random_source random = seeded_source(&bench.entropy);
    struct tcp_config config = {
        .pool = bench.pool,
        .output = {.state = &bench, .send = segment_leaves, .mtu = link_mtu},
        .counters = bench.counters,
        .random = &random,
        .connections_max = connections,
        .time_wait_max = 16,
        .half_open_max = 1024,
        .send_frames_max = CONNECTIONS_MAX + 1024,
        .receive_frames_max = MBUFS / 4,
        .send_bytes_max = 131072,
        .receive_bytes_max = 65535,
        .keepalive = true,
        .numa_node = SOCKET_ID_ANY,
    };
    bench.tcp = tcp_create(&config, (struct instant){.mono_ns = bench.now_ns});
    if (bench.tcp == NULL ||
        tcp_listen(bench.tcp, PORT, (struct stream_acceptor){.state = &bench, .accepted = accepted}) != 0)
        fail("no TCP");
    open_connections(connections);
}

static void stop(void)
{
    tcp_destroy(bench.tcp);
    peers_take();
}

static void run_requests(unsigned connections, unsigned burst, double bar)
{
    char name[64];
    start(connections);
    uint64_t fast = counter_get(bench.counters, COUNTER_tcp_fast);
    uint64_t segments = counter_get(bench.counters, COUNTER_tcp_segments);
    double cycles = requests(connections, burst);
    fast = counter_get(bench.counters, COUNTER_tcp_fast) - fast;
    segments = counter_get(bench.counters, COUNTER_tcp_segments) - segments;
    printf("# %u connections, bursts of %u: %.2f %% of segments took the fast path\n", connections, burst,
           100.0 * (double)fast / (double)segments);
    snprintf(name, sizeof name, "tcp_request_%u_burst_%u", connections, burst);
    bench_print(name, cycles, bar);
    stop();
    if (rte_mempool_avail_count(bench.pool) != MBUFS)
        fail("frames were lost");
}

/* Cycles a byte: full segments in bursts, all taken by the service; and as much as a window of 65,000 lets
 * out for each acknowledgement, copied into frames by the service. */
static void run_bulk(bool send)
{
    static double cycles[BURSTS / 10];
    struct peer *peer = &bench.peer[0];
    struct tcp_arrival arrivals[BURST];
    bench.service = send ? SOURCE : SINK;
    start(1);
    for (unsigned b = 0; b < RTE_DIM(cycles); b++) {
        uint32_t before = peer->rcv_nxt;
        unsigned count = send ? 1 : BURST;
        for (unsigned i = 0; i < count; i++)
            peer_segment(peer, &arrivals[i], TCP_ACK, send ? 0 : FULL_BYTES);
        double spent = (double)input(arrivals, count);
        cycles[b] = spent / (send ? peer->rcv_nxt - before : BURST * FULL_BYTES);
    }
    printf("# bulk, %s: %.2f cycles a byte\n", send ? "sent" : "received",
           bench_quantile(cycles, RTE_DIM(cycles), 0.5));
    stop();
    bench.service = ECHO;
}

int main(void)
{
    test_eal_start();
    bench.entropy = seeded_start(1);
    bench.now_ns = 1000000000;
    bench.pool =
        rte_pktmbuf_pool_create("bench", MBUFS, 256, TCP_FRAME_PRIVATE_BYTES, ROOM_BYTES, SOCKET_ID_ANY);
    bench.counters = rte_zmalloc("counters", sizeof *bench.counters, 64);
    if (bench.pool == NULL || bench.counters == NULL)
        fail("memory");
    run_requests(1, 1, 900);
    run_requests(100, BURST, 900);
    run_requests(CONNECTIONS_MAX, BURST, 900);
    run_requests(CONNECTIONS_MAX, 1, 1500);
    bench.pool = rte_pktmbuf_pool_create("bulk", MBUFS / 16, 256, TCP_FRAME_PRIVATE_BYTES,
                                         RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (bench.pool == NULL)
        fail("memory");
    run_bulk(false);
    run_bulk(true);
    return 0;
}
