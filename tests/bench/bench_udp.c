/*
 * bench_udp - what a GET costs a worker beyond a bare UDP echo.
 *
 * Requests go through a net_ring port, the whole worker and the native service, on one core; only
 * worker_turn() is timed. Contenders: ECHO (the datagram returned as it came), GET without a MAC (PLAIN), GET
 * with MACs both ways (DATA); same port, same buffers, same request length, keys drawn uniformly from a table
 * of WILD_BENCH_TABLE_MIB (24) that is filled to 0.5 and then 0.9. Contenders take turns in windows of a few
 * milliseconds; a round's ratio is of neighbouring windows, and the median of rounds is printed. Lines that
 * start with '#' give cycles per request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "bench_window.h"
#include "frames.h"
#include "native_peer.h"
#include "net/checksum.h"
#include "test_eal.h"
#include "worker.h"

enum {
    KEY_BYTES = 8,
    VALUE_BYTES = 32,
    SESSIONS = 64,
    MBUFS = 4096,
    RING_FRAMES = 64,
    HEADERS_BYTES = 14 + 28,
    /* the largest of the contenders' requests: a PLAIN one is padded to its reply's length */
    REPLY_BYTES = DATAGRAM_HEADER_BYTES + MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + VALUE_BYTES,
    FRAMES_PER_WINDOW = 65536,
    ROUNDS = 41,
};

enum contender { ECHO, PLAIN, MAC, CONTENDERS };
static const char *const contender_name[CONTENDERS] = {"echo", "get_plain", "get_mac"};

static struct bench {
    struct rte_mempool *pool;
    struct rte_ring *rx, *tx;
    struct port port;
    struct native_shared shared;
    struct native_node node;
    struct native_peer peers[SESSIONS];
    struct worker *worker;
    struct frame template[SESSIONS]; /* Ethernet, IPv4 and UDP headers of each client */
    uint64_t entropy, keys, counter;
    unsigned next_peer;
} bench;

static void fail(const char *what)
{
    fprintf(stderr, "bench_udp: %s\n", what);
    exit(1);
}

/* ---- the node ---- */

static void open_port(void)
{
    char error[256], text[PORT_DESCRIPTION_BYTES];
    bench.rx = rte_ring_create("rx", RING_FRAMES, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    bench.tx = rte_ring_create("tx", RING_FRAMES, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    int port_id = rte_eth_from_rings("bench", &bench.rx, 1, &bench.tx, 1, 0);
    if (port_id < 0)
        fail("no net_ring port");
    struct port_config config = {.port_id = (uint16_t)port_id, .workers = 1, .pool = bench.pool};
    if (port_open(&bench.port, &config, error, sizeof error) != 0)
        fail(error);
    port_describe(&bench.port, text);
    printf("# %s\n", text);
}

static void start_node(void)
{
    const char *mib = getenv("WILD_BENCH_TABLE_MIB");
    struct native_options options = {
        .sessions_max = 2 * SESSIONS,
        .capacity = table_capacity_for((mib ? strtoull(mib, NULL, 0) : 24) << 20),
        .bench_mode = true,
        .huge_pages = true,
    };
    native_start(&bench.shared, &bench.node, &options);
    struct worker_config config = {
        .ports = 1, .udp_port = 7878, .pool = bench.pool, .counters = &bench.node.counters};
    config.port[0] = (struct worker_port){
        .queue = bench.port.queue[0],
        .mac = bench.port.mac,
        .address = address_from_ip4(RTE_BE32(0xC6120001)),
        .prefix_length = 15,
        .mtu = bench.port.mtu,
    };
    bench.worker = worker_create(&config, SOCKET_ID_ANY);
    if (bench.worker == NULL)
        fail("no worker");
    worker_set_service(bench.worker, bench.node.face);
}

static void connect_clients(void)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct native_peer *peer = &bench.peers[i];
        native_peer_init(peer, &bench.node, NATIVE_PEER_SECRET, i, (uint16_t)(20000 + i));
        memcpy(peer->path.peer_mac, "\x02\x00\x00\x00\x00\x99", 6);
        if (!native_peer_connect(peer, SUITE_MAC))
            fail("handshake");
        struct frame_fields fields = {
            .vlan_tci = FRAME_UNTAGGED,
            .source = rte_be_to_cpu_32(address_ip4(&peer->path.flow.peer)),
            .destination = 0xC6120001,
            .source_port = (uint16_t)(20000 + i),
            .destination_port = 7878,
        };
        memcpy(fields.to, bench.port.mac.addr_bytes, 6);
        memcpy(fields.from, peer->path.peer_mac, 6);
        frame_udp(&bench.template[i], &fields, NULL, 0);
    }
}

static void key_of(uint64_t number, uint8_t key[KEY_BYTES])
{
    number *= 0x9E3779B97F4A7C15; /* odd: one to one */
    memcpy(key, &number, KEY_BYTES);
}

static void fill_table(double load)
{
    struct table_counts counts;
    table_counts(bench.shared.table, &counts);
    uint64_t target = (uint64_t)((double)counts.capacity * load);
    for (; bench.keys < target; bench.keys++) {
        uint8_t key[KEY_BYTES], value[VALUE_BYTES] = {0};
        key_of(bench.keys, key);
        memcpy(value, &bench.keys, sizeof bench.keys);
        struct operation set = {
            .opcode = OPCODE_SET,
            .key = key,
            .key_length = KEY_BYTES,
            .value = value,
            .value_length = VALUE_BYTES,
        };
        struct result result = {.value = value, .room = 0};
        uint64_t hash = table_hash(bench.shared.table, key, KEY_BYTES);
        if (execute(bench.node.execute, &set, hash, bench.shared.now.wall_ms, &result) != STATUS_OK)
            fail("SET while filling");
        native_discard_log(&bench.node);
    }
}

/* ---- requests ---- */

/* Writes a request's payload; returns its length. The key's number goes out with it, as the request id. */
static size_t write_payload(uint8_t *payload, enum contender contender, struct native_peer *peer,
                            size_t echo_bytes)
{
    if (contender == ECHO) {
        memset(payload, 0, echo_bytes);
        payload[0] = DATAGRAM_MAGIC;
        payload[1] = DATAGRAM_ECHO;
        return echo_bytes;
    }
    uint8_t key[KEY_BYTES];
    uint64_t number = seeded_below(&bench.entropy, bench.keys);
    key_of(number, key);
    struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = KEY_BYTES, .request_id = number};
    if (contender == MAC)
        return native_peer_seal(peer, &get, 1, payload);
    struct message_writer writer;
    struct message_header header = {.version = PROTOCOL_VERSION_MAX, .count = 1};
    message_begin(&writer, payload + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, &get);
    size_t length = datagram_plain(payload, 0, bench.counter++, message_finish(&writer, &header));
    memset(payload + length, 0, REPLY_BYTES - length);
    return REPLY_BYTES;
}

static struct rte_mbuf *make_request(enum contender contender, size_t echo_bytes)
{
    unsigned who = bench.next_peer++ % SESSIONS;
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(bench.pool);
    if (mbuf == NULL)
        fail("pool is empty");
    uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *), *ip4 = frame + 14, *udp = ip4 + 20;
    memcpy(frame, bench.template[who].bytes, HEADERS_BYTES);
    size_t length = write_payload(udp + 8, contender, &bench.peers[who], echo_bytes);
    frame_set16(ip4 + 2, (unsigned)(28 + length));
    frame_set16(ip4 + 10, 0);
    uint16_t checksum = checksum_finish(checksum_ip4_header(ip4));
    memcpy(ip4 + 10, &checksum, 2);
    frame_set16(udp + 4, (unsigned)(8 + length));
    frame_set16(udp + 6, 0);
    uint64_t sum = checksum_ip4_pseudo(ip4 + 12, 17, (uint16_t)(8 + length));
    checksum = checksum_finish(checksum_add_bytes(sum, udp, 8 + length));
    memcpy(udp + 6, &checksum, 2);
    mbuf->data_len = (uint16_t)(HEADERS_BYTES + length);
    mbuf->pkt_len = mbuf->data_len;
    return mbuf;
}

/* The answers of a turn are right: the first of each is looked into, all are counted. */
static void check_answer(enum contender contender, const struct rte_mbuf *mbuf)
{
    const uint8_t *payload = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, HEADERS_BYTES);
    if (contender == ECHO) {
        if (payload[1] != DATAGRAM_ECHO_REPLY)
            fail("not an echo");
        return;
    }
    struct message_header header;
    struct message_reader reader;
    struct reply reply;
    uint64_t number;
    size_t length = mbuf->data_len - HEADERS_BYTES - DATAGRAM_HEADER_BYTES;
    length -= contender == MAC ? DATAGRAM_TAG_BYTES : 0;
    if (message_open(&reader, &header, payload + DATAGRAM_HEADER_BYTES, length, false) != 0 ||
        message_next_reply(&reader, &reply) != 1 || reply.status != STATUS_OK ||
        reply.value_length != VALUE_BYTES)
        fail("GET was not answered with its value");
    memcpy(&number, reply.value, sizeof number);
    if (number != reply.request_id)
        fail("wrong value");
}

/* Cycles per request over one window; negative if others took the core meanwhile. */
static double window(enum contender contender, unsigned burst, unsigned frames, size_t echo_bytes)
{
    struct rte_mbuf *mbufs[PORT_BURST_MAX];
    struct timespec cpu[2], wall[2];
    uint64_t cycles = 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu[0]);
    clock_gettime(CLOCK_MONOTONIC, &wall[0]);
    for (unsigned done = 0; done < frames; done += burst) {
        for (unsigned i = 0; i < burst; i++)
            mbufs[i] = make_request(contender, echo_bytes);
        if (rte_ring_enqueue_bulk(bench.rx, (void **)mbufs, burst, NULL) != burst)
            fail("ring");
        uint64_t start = rte_rdtsc_precise();
        worker_turn(bench.worker, bench.shared.now);
        cycles += rte_rdtsc_precise() - start;
        if (rte_ring_dequeue_bulk(bench.tx, (void **)mbufs, burst, NULL) != burst)
            fail("a request was not answered");
        check_answer(contender, mbufs[0]);
        rte_pktmbuf_free_bulk(mbufs, burst);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu[1]);
    clock_gettime(CLOCK_MONOTONIC, &wall[1]);
    double used = (double)(cpu[1].tv_sec - cpu[0].tv_sec) * 1e9 + (double)(cpu[1].tv_nsec - cpu[0].tv_nsec);
    double passed =
        (double)(wall[1].tv_sec - wall[0].tv_sec) * 1e9 + (double)(wall[1].tv_nsec - wall[0].tv_nsec);
    double per_request = (double)cycles / frames;
    return used < 0.97 * passed ? -per_request : per_request;
}

/* ---- what is printed ---- */

static void compare(unsigned burst, double load)
{
    static double cycles[CONTENDERS][BENCH_WINDOWS_MAX], ratio[CONTENDERS][BENCH_WINDOWS_MAX];
    unsigned frames = burst == 1 ? FRAMES_PER_WINDOW / 4 : FRAMES_PER_WINDOW, kept = 0;
    for (unsigned round = 0; round < 4 * ROUNDS && kept < ROUNDS; round++) {
        bool clean = true;
        for (unsigned c = 0; c < CONTENDERS; c++) {
            cycles[c][kept] = window((enum contender)c, burst, frames, REPLY_BYTES);
            clean = clean && cycles[c][kept] > 0;
        }
        /* on a crowded machine the last rounds count as they are */
        if (!clean && round < 3 * ROUNDS)
            continue;
        for (unsigned c = 0; c < CONTENDERS; c++) {
            cycles[c][kept] = cycles[c][kept] < 0 ? -cycles[c][kept] : cycles[c][kept];
            ratio[c][kept] = cycles[c][kept] / cycles[ECHO][kept];
        }
        kept++;
    }
    printf("# burst %u, load %.1f, cycles per request:", burst, load);
    for (unsigned c = 0; c < CONTENDERS; c++)
        printf(" %s %.0f", contender_name[c], bench_quantile(cycles[c], kept, 0.5));
    printf("\n");
    for (unsigned c = PLAIN; c < CONTENDERS; c++) {
        char name[64];
        snprintf(name, sizeof name, "udp_%s_over_echo_burst%u_load%.1f", contender_name[c], burst, load);
        double bar = burst == 1 ? (c == MAC ? 3.5 : 2.0) : (c == MAC ? 2.0 : 1.5);
        bench_print(name, bench_quantile(ratio[c], kept, 0.5), bar);
    }
}

static void cost_per_byte(void)
{
    static double per_byte[BENCH_WINDOWS_MAX];
    enum { SHORT = 64, LONG = 1088 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        double small = window(ECHO, PORT_BURST_MAX, FRAMES_PER_WINDOW / 2, SHORT);
        double large = window(ECHO, PORT_BURST_MAX, FRAMES_PER_WINDOW / 2, LONG);
        small = small < 0 ? -small : small;
        large = large < 0 ? -large : large;
        per_byte[round] = (large - small) / (LONG - SHORT);
    }
    bench_print("udp_echo_cycles_per_byte", bench_quantile(per_byte, ROUNDS, 0.5), 0.5);
}

int main(void)
{
    static const double loads[] = {0.5, 0.9};
    test_eal_start();
    bench.pool = test_eal_pool("bench", MBUFS);
    bench.entropy = seeded_start(seeded_from_environment(1));
    open_port();
    start_node();
    connect_clients();
    for (unsigned i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        fill_table(loads[i]);
        compare(PORT_BURST_MAX, loads[i]);
        compare(1, loads[i]);
    }
    cost_per_byte();
    worker_destroy(bench.worker);
    native_stop(&bench.shared, &bench.node, 1);
    port_close(&bench.port);
    return 0;
}
