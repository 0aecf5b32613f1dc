/*
 * path_node.h - for benchmarks of the whole path: real workers in this process, each with net, our TCP, the
 * native services and one table shared by all; frames come from arrays and leave into them.
 *
 * Only path_turn() is timed, and a node's clock passes as its timed turns do: to its timers the node seems
 * busy all the time, and what drives it seems to cost nothing.
 */
#ifndef WILD_BENCH_PATH_NODE_H
#define WILD_BENCH_PATH_NODE_H

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "bench_window.h"
#include "frames.h"
#include "native_peer.h"
#include "service/native_tcp.h"
#include "tcp/tcp.h"
#include "test_eal.h"
#include "worker.h"

enum {
    PATH_NODES_MAX = 2,
    PATH_SESSIONS = 128, /* over UDP, each node */
    PATH_PORT = 7878,
    PATH_KEY_BYTES = 8,
    PATH_VALUE_BYTES = 32,
    PATH_MEMORY_MIB = 512, /* mapped, and used as it is touched */
    PATH_POOL_FRAMES = 16383,
    PATH_SPARE_PLACES = 64, /* the service keeps some of its places for newcomers (native_tcp_live_max()) */
    /* beside what connections hold: the node's numbers (app_limits.h) */
    PATH_SEND_FRAMES = 4096,
    PATH_RECEIVE_FRAMES = 2048,
    PATH_STREAM_BYTES = 256 * 1024,
};
#define PATH_NODE_IP4 UINT32_C(0xC6120001) /* 198.18.0.1 */

static const uint8_t path_node_mac[6] = {2, 0, 0, 0, 0, 1}, path_peer_mac[6] = {2, 0, 0, 0, 0, 0x99};

struct path_node {
    struct native_node *udp; /* its counters and execute context are the TCP service's, too */
    struct frame_port port;
    struct worker *worker;
    struct tcp *tcp;
    struct key_arena *arena;
    struct handshake_helper *helper;
    struct native_tcp *streams;
    unsigned connections; /* it may serve */
    unsigned places;      /* it has for them and for newcomers */
    struct instant now;
    double ns_a_cycle;
};

struct path {
    struct rte_mempool *pool;
    struct native_shared shared;
    struct native_node udp[PATH_NODES_MAX];
    struct path_node node[PATH_NODES_MAX];
    unsigned nodes;
    uint64_t keys; /* in the table */
};

static inline void path_start_worker(struct path *path, struct path_node *node)
{
    struct worker_config config = {
        .ports = 1, .udp_port = PATH_PORT, .pool = path->pool, .counters = &node->udp->counters};
    config.port[0] = (struct worker_port){
        .queue = frame_port_queue(&node->port),
        .address = address_from_ip4(rte_cpu_to_be_32(PATH_NODE_IP4)),
        .prefix_length = 15,
        .mtu = 1500,
    };
    memcpy(config.port[0].mac.addr_bytes, path_node_mac, 6);
    node->worker = worker_create(&config, SOCKET_ID_ANY);
    native_check(node->worker != NULL, "no memory for a worker");
    worker_set_service(node->worker, node->udp->face);
}

/* Sessions' keys are locked in memory: if not so much may be, fewer connections are served. */
static inline void path_lock_keys(struct path_node *node, unsigned connections)
{
    char error[256];
    node->places = connections + PATH_SPARE_PLACES;
    while ((node->arena = key_arena_create(native_tcp_arena_bytes(node->places), error, sizeof error)) ==
               NULL &&
           node->places > 1024)
        node->places /= 2;
    node->connections = native_tcp_live_max(node->places);
    native_check(node->arena != NULL, error);
    if (node->connections < connections)
        printf("# %u connections instead of %u: %s\n", node->connections, connections, error);
}

static inline void path_start_streams(struct path *path, struct path_node *node)
{
    struct native_shared *shared = &path->shared;
    node->helper = handshake_helper_create(1, &shared->identity, &shared->random);
    struct native_tcp_config native = {
        .table = shared->table,
        .execute = node->udp->execute,
        .published = &shared->published,
        .keys = {&shared->keys[0]},
        .arena = node->arena,
        .random = &shared->random,
        .handshakes = handshake_helper_lane(node->helper, 0),
        .counters = &node->udp->counters,
        .started_mono_ns = node->now.mono_ns,
        .connections_max = node->places,
        .small_buffers = 1024,
        .large_buffers = 128,
        .bench_mode = true,
    };
    node->streams = native_tcp_create(&native, node->now);
    struct tcp_config tcp = {
        .pool = path->pool,
        .output = worker_tcp_output(node->worker),
        .counters = &node->udp->counters,
        .random = &shared->random,
        .connections_max = node->places,
        .time_wait_max = 64,
        .half_open_max = 1024,
        .send_frames_max = PATH_SEND_FRAMES + node->places,
        .receive_frames_max = PATH_RECEIVE_FRAMES,
        .send_bytes_max = PATH_STREAM_BYTES,
        .receive_bytes_max = PATH_STREAM_BYTES,
        .keepalive = true,
        .numa_node = SOCKET_ID_ANY,
    };
    node->tcp = tcp_create(&tcp, node->now);
    native_check(node->streams != NULL && node->tcp != NULL, "no memory for connections");
    worker_set_tcp(node->worker, node->tcp);
    native_check(tcp_listen(node->tcp, PATH_PORT, native_tcp_acceptor(node->streams)) == 0, "listen");
}

static inline void path_key(uint64_t number, uint8_t key[PATH_KEY_BYTES])
{
    number *= 0x9E3779B97F4A7C15; /* odd: one to one */
    memcpy(key, &number, PATH_KEY_BYTES);
}

/* Half full of items of one line; a value begins with its key's number. */
static inline void path_fill_table(struct path *path)
{
    struct table_counts counts;
    table_counts(path->shared.table, &counts);
    for (; path->keys < counts.capacity / 2; path->keys++) {
        uint8_t key[PATH_KEY_BYTES], value[PATH_VALUE_BYTES] = {0};
        path_key(path->keys, key);
        memcpy(value, &path->keys, sizeof path->keys);
        struct operation set = {.opcode = OPCODE_SET,
                                .key = key,
                                .key_length = sizeof key,
                                .value = value,
                                .value_length = sizeof value};
        struct result result = {.value = value, .room = 0};
        uint64_t hash = table_hash(path->shared.table, key, sizeof key);
        native_check(execute(path->udp[0].execute, &set, hash, path->shared.now.wall_ms, &result) ==
                         STATUS_OK,
                     "SET while filling");
        native_discard_log(&path->udp[0]);
    }
}

/* connections: that each node may serve; 0 ends the list. Ends the process on failure. */
static inline void path_start(struct path *path, const unsigned connections[PATH_NODES_MAX])
{
    const char *mib = getenv("WILD_BENCH_TABLE_MIB");
    test_eal_start_with(PATH_MEMORY_MIB);
    path->pool = rte_pktmbuf_pool_create("path", PATH_POOL_FRAMES, 256, TCP_FRAME_PRIVATE_BYTES,
                                         RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    native_check(path->pool != NULL, "no memory for frames");
    while (path->nodes < PATH_NODES_MAX && connections[path->nodes] > 0)
        path->nodes++;
    struct native_options options = {
        .workers = path->nodes,
        .sessions_max = PATH_SESSIONS,
        .capacity = table_capacity_for((mib ? strtoull(mib, NULL, 0) : 24) << 20),
        .seed = seeded_from_environment(1),
        .bench_mode = true,
        .huge_pages = true,
    };
    native_start(&path->shared, path->udp, &options);
    for (unsigned i = 0; i < path->nodes; i++) {
        struct path_node *node = &path->node[i];
        node->udp = &path->udp[i];
        node->now = path->shared.now;
        node->ns_a_cycle = 1e9 / (double)rte_get_tsc_hz();
        path_lock_keys(node, connections[i]);
        path_start_worker(path, node);
        path_start_streams(path, node);
    }
    path_fill_table(path);
}

static inline void path_stop(struct path *path)
{
    for (unsigned i = 0; i < path->nodes; i++) {
        struct path_node *node = &path->node[i];
        tcp_destroy(node->tcp);
        worker_destroy(node->worker);
        native_tcp_destroy(node->streams);
        handshake_helper_destroy(node->helper);
        key_arena_destroy(node->arena);
        frame_port_clear(&node->port);
    }
    native_stop(&path->shared, path->udp, path->nodes);
    native_check(rte_mempool_avail_count(path->pool) == PATH_POOL_FRAMES, "frames are missing at the end");
}

static inline void path_pass_time(struct path_node *node, uint64_t ns)
{
    node->now.mono_ns += ns;
    node->now.wall_ms = UINT64_C(1700000000000) + node->now.mono_ns / 1000000;
}

/* A turn longer than this was not the worker's alone: others had the core meanwhile. */
#define PATH_TURN_NS_MAX 100000

/* One turn as node_worker_turn() has it, without its housekeeping. Returns cycles; 0: the turn does not
 * count. */
static inline uint64_t path_turn(struct path_node *node)
{
    uint64_t begin = rte_rdtsc_precise();
    native_tcp_turn(node->streams, node->now);
    worker_turn(node->worker, node->now);
    uint64_t cycles = rte_rdtsc_precise() - begin;
    uint64_t ns = (uint64_t)((double)cycles * node->ns_a_cycle) + 1;
    path_pass_time(node, RTE_MIN(ns, (uint64_t)PATH_TURN_NS_MAX));
    return ns < PATH_TURN_NS_MAX ? cycles : 0;
}

static inline uint64_t path_counted(const struct path_node *node, enum counter which)
{
    return counter_get(&node->udp->counters, which);
}

#endif
