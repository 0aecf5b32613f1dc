/*
 * bench_tcp_path - what a request over TCP costs a worker in all: Ethernet frames in, through net, our TCP,
 * the native service and the table, and the replies' frames out.
 *
 * A request is a GET of a key of 8 bytes, drawn uniformly from a table of WILD_BENCH_TABLE_MIB (24) that is
 * half full, with a value of 32: a record of 60 bytes unsealed and 76 sealed; the reply has 76 and 92. Each
 * comes in a segment of its own that also acknowledges the reply before it. Only the worker's turns are
 * timed; checksums are computed and verified in software, as no device does it here. Median of windows.
 *
 * Bulk is of requests that are answered with about 15 KiB, and of such that bring as much: cycles for each
 * byte of the streams, both directions. Lines that start with '#' say more.
 */
#include "path_peer.h"

enum {
    PEERS_MAX = 10000,
    BURST = PORT_BURST_MAX,
    REQUESTS_A_WINDOW = 8192,
    WINDOWS = 41,
    BULK_OPERATIONS = 15,
    BULK_ROUNDS = 64,
};

static struct path path;
static struct path_peers peers;

/* ---- requests ---- */

/* `burst` requests of as many connections as there are, one turn; returns its cycles, 0 if it does not
 * count. */
static uint64_t ask(unsigned connections, unsigned burst)
{
    /* not the connections' order in memory: what the last one fetched ahead does not help */
    static unsigned next;
    unsigned stride = connections > 7919 ? 7919 : 1;
    peers.in_bytes = 0;
    peers.reader = next %= connections;
    uint64_t index = peers.peer[next].records, before = peers.bytes;
    for (unsigned i = 0; i < burst; i++) {
        struct path_draft draft = path_draft(&peers);
        uint64_t key = seeded_below(&path.shared.entropy, path.keys);
        size_t length = path_get(&peers, next, key, draft.payload);
        path_segment(&peers, next, &draft, TCP_ACK | TCP_PSH, (unsigned)length);
        next = (next + stride) % connections;
    }
    uint64_t cycles = path_turn(path.node);
    path_take(&peers);
    size_t reply_bytes = RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + PATH_VALUE_BYTES;
    reply_bytes += peers.peer[0].suite != 0 ? RECORD_TAG_BYTES : 0;
    native_check(peers.bytes - before == burst * reply_bytes, "a request was not answered at once");
    path_check_reply(&peers, index);
    return cycles;
}

static void requests(unsigned connections, unsigned burst, bool sealed)
{
    static double cycles[WINDOWS];
    uint64_t fast = path_counted(path.node, COUNTER_tcp_fast);
    uint64_t segments = path_counted(path.node, COUNTER_tcp_segments);
    for (unsigned w = 0; w < WINDOWS; w++) {
        uint64_t sum = 0;
        unsigned counted = 0;
        while (counted < REQUESTS_A_WINDOW) {
            uint64_t spent = ask(connections, burst);
            sum += spent;
            counted += spent > 0 ? burst : 0;
        }
        cycles[w] = (double)sum / counted;
    }
    for (unsigned i = 0; i < connections; i++)
        path_acknowledge(&peers, i);
    fast = path_counted(path.node, COUNTER_tcp_fast) - fast;
    segments = path_counted(path.node, COUNTER_tcp_segments) - segments;
    char name[64];
    snprintf(name, sizeof name, "tcp_path_%s_%u_burst_%u", sealed ? "sealed" : "unsealed", connections,
             burst);
    bench_print(name, bench_quantile(cycles, WINDOWS, 0.5), sealed ? 1700 : 900);
    printf("#   the best tenth %.0f; %.2f %% of segments took the fast path; %llu sent again\n",
           bench_quantile(cycles, WINDOWS, 0.1), 100.0 * (double)fast / (double)segments,
           (unsigned long long)peers.repeated);
}

/* What a turn without a frame costs: part of a burst of 1. */
static void idle_turns(void)
{
    static double cycles[REQUESTS_A_WINDOW];
    for (unsigned i = 0; i < REQUESTS_A_WINDOW; i++)
        cycles[i] = (double)path_turn(path.node);
    printf("# a turn without frames: %.0f cycles\n", bench_quantile(cycles, REQUESTS_A_WINDOW, 0.5));
}

/* ---- bulk ---- */

/*
 * One large request by connection 0, in full segments; what comes back is acknowledged as it comes. Returns
 * cycles, 0 if it does not count.
 */
static uint64_t bulk_exchange(const struct operation *operations, size_t reply_bytes)
{
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    size_t length = path_record(&peers.peer[0], operations, BULK_OPERATIONS, record), part;
    uint64_t cycles = 0, spent, before = peers.bytes;
    bool disturbed = false;
    for (size_t at = 0; at < length; at += part) {
        part = RTE_MIN(length - at, (size_t)PATH_SEGMENT_BYTES);
        path_send(&peers, 0, at + part == length ? TCP_ACK | TCP_PSH : TCP_ACK, record + at, (unsigned)part);
    }
    for (unsigned turns = 0; peers.bytes - before < reply_bytes; turns++) {
        native_check(turns < 16, "a large request is not answered");
        cycles += spent = path_turn(path.node);
        disturbed |= spent == 0;
        native_discard_log(path.node->udp);
        path_take(&peers);
        path_send(&peers, 0, TCP_ACK, NULL, 0);
    }
    cycles += spent = path_turn(path.node);
    path_take(&peers);
    return disturbed || spent == 0 ? 0 : cycles;
}

static void bulk(bool out, bool sealed)
{
    static uint8_t value[VALUE_BYTES_MAX];
    static double per_byte[WINDOWS];
    uint8_t key[BULK_OPERATIONS][PATH_KEY_BYTES];
    struct operation operation[BULK_OPERATIONS];
    size_t overhead = sealed ? RECORD_OVERHEAD_BYTES : RECORD_HEADER_BYTES;
    size_t reply_bytes = overhead + MESSAGE_HEADER_BYTES + BULK_OPERATIONS * REPLY_HEADER_BYTES;
    size_t request_bytes = overhead + MESSAGE_HEADER_BYTES;
    static uint64_t request_id;
    peers.reader = PATH_NOBODY;
    if (out)
        reply_bytes += BULK_OPERATIONS * sizeof value;
    for (unsigned w = 0; w < WINDOWS; w++) {
        uint64_t cycles = 0;
        unsigned counted = 0;
        while (counted < BULK_ROUNDS) {
            for (unsigned i = 0; i < BULK_OPERATIONS; i++) {
                path_key(UINT64_MAX - i, key[i]);
                operation[i] = (struct operation){.opcode = out ? OPCODE_GET : OPCODE_SET,
                                                  .key = key[i],
                                                  .key_length = PATH_KEY_BYTES,
                                                  .value = value,
                                                  .value_length = out ? 0 : sizeof value,
                                                  .request_id = ++request_id};
            }
            uint64_t spent = bulk_exchange(operation, reply_bytes);
            cycles += spent;
            counted += spent > 0;
        }
        per_byte[w] = (double)cycles / BULK_ROUNDS;
    }
    for (unsigned i = 0; i < BULK_OPERATIONS; i++)
        request_bytes += operation_bytes(&operation[i]);
    for (unsigned w = 0; w < WINDOWS; w++)
        per_byte[w] /= (double)(request_bytes + reply_bytes);
    char name[64];
    snprintf(name, sizeof name, "tcp_path_bulk_%s_%s_cycles_per_byte", out ? "get" : "set",
             sealed ? "sealed" : "unsealed");
    double value_of = bench_quantile(per_byte, WINDOWS, 0.5);
    bench_print(name, value_of, sealed ? 3.0 : 1.0);
    printf("#   %.2f bytes a cycle\n", 1 / value_of);
}

/* ---- connections of one kind ---- */

static void measure(bool sealed)
{
    static const unsigned connections[] = {1, 100, PEERS_MAX};
    unsigned opened = 0;
    path_peers_start(&peers, &path, path.node, path.node->connections);
    for (unsigned i = 0; i < RTE_DIM(connections); i++) {
        unsigned wanted = RTE_MIN(connections[i], peers.count);
        for (; opened < wanted; opened++) {
            path_connect(&peers, opened);
            if (sealed)
                path_shake_hands(&peers, opened);
            path_ask_once(&peers, opened);
        }
        requests(wanted, BURST, sealed);
        requests(wanted, 1, sealed);
        if (i == 0) {
            bulk(false, sealed);
            bulk(true, sealed);
        }
    }
    idle_turns();
}

static void abort_all(void)
{
    for (unsigned i = 0; i < peers.count; i++) {
        path_send(&peers, i, TCP_RST, NULL, 0);
        path_turn(path.node);
    }
    native_check(tcp_counts(path.node->tcp).connections == 0, "connections are left");
    free(peers.peer);
}

int main(void)
{
    path_start(&path, (const unsigned[PATH_NODES_MAX]){PEERS_MAX});
    measure(false);
    abort_all();
    measure(true);
    abort_all();
    path_stop(&path);
    return 0;
}
