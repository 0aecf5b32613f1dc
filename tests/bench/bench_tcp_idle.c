/*
 * bench_tcp_idle - what connections that say nothing cost those that do.
 *
 * Two workers over one table: one with idle connections, one without. A busy client talks to either in turns,
 * in windows of some milliseconds; a round's ratio is of neighbouring windows, and the median of rounds is
 * printed, divided by the same median of before the idle connections were opened, for two workers do not lie
 * alike in the caches.
 *
 *   tcp_idle_authenticated_N   N sealed sessions over TCP; the busy client has another, and asks for 32-byte values
 *   tcp_idle_udp_get_N         N sessions over TCP; the busy clients are 64 sessions over UDP (MACs both ways)
 *
 * The worker's clock passes as its own cycles do, so the idle connections' timers come as often as on a
 * worker that is busy all the time; they were opened evenly over the time between two of their keep-alive
 * probes, which they answer.
 */
#include "net/udp.h"
#include "path_peer.h"
#include "tcp/tcp_limits.h"

enum {
    SEALED_IDLE = 10000,
    UDP_IDLE = 100000,
    CLIENTS = 64, /* over UDP */
    BURST = PORT_BURST_MAX,
    ROUNDS = 61,
    DATAGRAM_AT = 14 + 28,
};

static struct path path;
static struct path_peers peers[PATH_NODES_MAX];
static struct native_peer clients[PATH_NODES_MAX][CLIENTS];

/* ---- busy clients ---- */

/* The turn that answers to probes take, if there are any: before the next requests, which fill a burst. */
static uint64_t hear_answers(unsigned node)
{
    if (path.node[node].port.in_count == 0)
        return 0;
    uint64_t cycles = path_turn(&path.node[node]);
    native_check(path_take(&peers[node]) == 0, "nothing but TCP");
    return cycles;
}

/* One turn with `burst` requests of the busy connection, the last of the peers; its cycles, 0 if it does
 * not count. */
static uint64_t ask_by_tcp(unsigned node, unsigned burst)
{
    struct path_peers *p = &peers[node];
    unsigned busy = p->count - 1;
    uint64_t index = p->peer[busy].records, answers = hear_answers(node);
    p->reader = busy;
    p->in_bytes = 0;
    for (unsigned i = 0; i < burst; i++) {
        struct path_draft draft = path_draft(p);
        uint64_t key = seeded_below(&path.shared.entropy, path.keys);
        size_t length = path_get(p, busy, key, draft.payload);
        path_segment(p, busy, &draft, TCP_ACK | TCP_PSH, (unsigned)length);
    }
    uint64_t cycles = path_turn(p->node);
    path_take(p);
    path_check_reply(p, index);
    return cycles > 0 ? cycles + answers : 0;
}

static void push_datagram(unsigned node, struct native_peer *client)
{
    struct path_node *to = &path.node[node];
    struct rte_mbuf *frame = rte_pktmbuf_alloc(path.pool);
    native_check(frame != NULL, "the pool is empty");
    uint8_t *payload = rte_pktmbuf_mtod(frame, uint8_t *) + DATAGRAM_AT, key[PATH_KEY_BYTES];
    uint64_t number = seeded_below(&path.shared.entropy, path.keys);
    path_key(number, key);
    struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = sizeof key, .request_id = number};
    uint16_t length = (uint16_t)native_peer_seal(client, &get, 1, payload);
    struct return_path way = client->path;
    way.flow.peer = client->path.flow.local, way.flow.local = client->path.flow.peer;
    way.flow.peer_port = client->path.flow.local_port, way.flow.local_port = client->path.flow.peer_port;
    memcpy(way.peer_mac, path_node_mac, 6);
    udp_ip4_headers_write(payload, length, &way, path_peer_mac, 1, false);
    frame->data_len = (uint16_t)(DATAGRAM_AT + length);
    frame->pkt_len = frame->data_len;
    to->port.in[to->port.in_count++] = frame;
}

static uint64_t ask_by_udp(unsigned node, unsigned burst)
{
    static unsigned next;
    uint64_t answers = hear_answers(node);
    for (unsigned i = 0; i < burst; i++)
        push_datagram(node, &clients[node][next++ % CLIENTS]);
    uint64_t cycles = path_turn(&path.node[node]);
    native_check(path_take(&peers[node]) == burst, "a datagram was not answered");
    return cycles > 0 ? cycles + answers : 0;
}

static void connect_clients(void)
{
    for (unsigned n = 0; n < path.nodes; n++)
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct native_peer *client = &clients[n][i];
            native_peer_init(client, &path.udp[n], NATIVE_PEER_SECRET, i, (uint16_t)(20000 + i));
            memcpy(client->path.peer_mac, path_peer_mac, 6);
            native_check(native_peer_connect(client, SUITE_MAC), "a session over UDP");
        }
}

/* ---- ratios ---- */

typedef uint64_t ask_function(unsigned node, unsigned burst);

/* Node 0 ÷ node 1, the median of rounds; *cycles: of a request to node 1. */
static double ratio(ask_function *ask, unsigned burst, unsigned requests, double *cycles)
{
    static double ratios[ROUNDS], plain[ROUNDS];
    for (unsigned r = 0; r < ROUNDS; r++) {
        double each[PATH_NODES_MAX];
        for (unsigned n = 0; n < PATH_NODES_MAX; n++) {
            unsigned node = (n + r) % PATH_NODES_MAX, counted = 0; /* each goes first as often */
            uint64_t sum = 0;
            while (counted < requests) {
                uint64_t spent = ask(node, burst);
                sum += spent;
                counted += spent > 0 ? burst : 0;
            }
            each[node] = (double)sum / counted;
        }
        ratios[r] = each[0] / each[1];
        plain[r] = each[1];
    }
    for (unsigned n = 0; n < PATH_NODES_MAX; n++)
        path_acknowledge(&peers[n], peers[n].count - 1);
    *cycles = bench_quantile(plain, ROUNDS, 0.5);
    return bench_quantile(ratios, ROUNDS, 0.5);
}

enum { BURSTS = 2 };
static const struct {
    unsigned burst, requests;
} window[BURSTS] = {{BURST, 16384}, {1, 8192}};

static void ratios(ask_function *ask, double out[BURSTS], double cycles[BURSTS])
{
    for (unsigned b = 0; b < BURSTS; b++)
        out[b] = ratio(ask, window[b].burst, window[b].requests, &cycles[b]);
}

static void print_ratios(const char *what, unsigned idle, ask_function *ask, const double before[BURSTS],
                         double bar)
{
    double after[BURSTS], cycles[BURSTS];
    char name[64];
    ratios(ask, after, cycles);
    for (unsigned b = 0; b < BURSTS; b++) {
        snprintf(name, sizeof name, "%s_%u_burst_%u", what, idle, window[b].burst);
        bench_print(name, after[b] / before[b], bar);
        printf("#   with %.3f, before them %.3f; %.0f cycles a request without\n", after[b], before[b],
               cycles[b]);
    }
}

/* ---- idle connections, on node 0 ---- */

static void open_idle(unsigned count, bool sealed)
{
    for (unsigned i = 0; i < count; i++) {
        path_connect(&peers[0], i);
        if (sealed)
            path_shake_hands(&peers[0], i);
        else
            path_ask_once(&peers[0], i);
        path_pass_time(peers[0].node, TCP_KEEPALIVE_IDLE_NS / count);
    }
    native_check(native_tcp_counts(peers[0].node->streams).live >= count, "idle connections are live");
}

static void abort_idle(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        path_send(&peers[0], i, TCP_RST, NULL, 0);
        path_turn(peers[0].node);
        path_take(&peers[0]);
    }
}

static void print_memory(unsigned idle)
{
    double each = (double)native_tcp_arena_bytes(1 << 20) / (1 << 20);
    printf("# a sealed session's keys take %.0f bytes of locked memory: %.0f MiB for %u\n", each,
           each * idle / (1 << 20), idle);
}

int main(void)
{
    double before[BURSTS], cycles[BURSTS];
    path_start(&path, (const unsigned[PATH_NODES_MAX]){UDP_IDLE + 1, 1024});
    for (unsigned n = 0; n < path.nodes; n++) {
        path_peers_start(&peers[n], &path, &path.node[n], n == 0 ? path.node[0].connections : 1);
        unsigned busy = peers[n].count - 1;
        path_connect(&peers[n], busy);
        path_shake_hands(&peers[n], busy);
        path_ask_once(&peers[n], busy);
    }
    connect_clients();

    unsigned idle = RTE_MIN((unsigned)SEALED_IDLE, peers[0].count - 1);
    ratios(ask_by_tcp, before, cycles);
    open_idle(idle, true);
    print_ratios("tcp_idle_authenticated", idle, ask_by_tcp, before, 1.05);
    abort_idle(idle);

    idle = RTE_MIN((unsigned)UDP_IDLE, peers[0].count - 1);
    ratios(ask_by_udp, before, cycles);
    open_idle(idle, false);
    print_ratios("tcp_idle_udp_get", idle, ask_by_udp, before, 1.02);
    printf("# the idle connections answered %llu probes\n", (unsigned long long)peers[0].probes);
    print_memory(idle);
    for (unsigned n = 0; n < path.nodes; n++)
        free(peers[n].peer);
    path_stop(&path);
    return 0;
}
