/*
 * log_node.h - for benchmarks of the log: whole nodes in this process, with one worker each whose port is
 * arrays of frames, and the requests of a client that needs no session (bench mode). Real time; who drives
 * the node's turns is the benchmark's to say.
 */
#ifndef WILD_BENCH_LOG_NODE_H
#define WILD_BENCH_LOG_NODE_H

#include <time.h>

#include <rte_cycles.h>

#include "bench_window.h"
#include "datagram.h"
#include "disk_folder.h"
#include "frames.h"
#include "message.h"
#include "node.h"
#include "test_eal.h"
#include "wal_block.h"

enum {
    LOG_NODE_KEY_BYTES = 8,
    LOG_NODE_VALUE_BYTES = 32,
    LOG_NODE_HEADERS_BYTES = 14 + 28,
    LOG_NODE_REQUEST_BYTES = DATAGRAM_HEADER_BYTES + MESSAGE_HEADER_BYTES + OPERATION_HEADER_BYTES +
                             LOG_NODE_KEY_BYTES + LOG_NODE_VALUE_BYTES,
    /* A GET is padded to its reply's length; both to the same, so that one set of headers does. */
    LOG_NODE_REPLY_BYTES =
        DATAGRAM_HEADER_BYTES + MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + LOG_NODE_VALUE_BYTES,
    LOG_NODE_POOL_FRAMES = 4095,
};

#define LOG_NODE_IP4        UINT32_C(0xC6120001) /* 198.18.0.1 */
#define LOG_NODE_CLIENT_IP4 UINT32_C(0xC6120002)

static const uint8_t log_node_client_mac[6] = {2, 0, 0, 0, 0, 0x99};

struct log_node {
    struct node *node;
    struct frame_port port;
    struct disk_folder *folder; /* NULL: no log, or none on a disk */
    struct rte_mempool *pool;
    struct frame set_headers, get_headers;
    uint64_t counter;
    unsigned gets, sets, refused; /* answered so far */
};

static inline void log_node_must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "log_node: %s\n", what);
        exit(1);
    }
}

static inline uint64_t log_node_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline struct instant log_node_now(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME_COARSE, &wall);
    return (struct instant){log_node_ns(), (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000};
}

/* ---- start and end ---- */

/* What a node starts with: client frames at its only port, station 0, 1, ... of one network. log: NULL, or
 * what it is to be; its rules and disk. */
static inline struct node_config log_node_config(struct log_node *n, struct rte_mempool *pool,
                                                 uint64_t capacity, unsigned station,
                                                 const struct node_log_config *log)
{
    const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)(1 + station)};
    uint32_t ip4 = LOG_NODE_IP4 + (station << 8);
    struct frame_fields fields = {.vlan_tci = FRAME_UNTAGGED,
                                  .source = LOG_NODE_CLIENT_IP4,
                                  .destination = ip4,
                                  .source_port = 20000,
                                  .destination_port = 7878,
                                  .no_udp_checksum = true};
    struct node_config config = {.workers = 1,
                                 .ports = 1,
                                 .udp_port = 7878,
                                 .capacity = capacity,
                                 .sessions = 64,
                                 .connections = 64,
                                 .http_off = true,
                                 .version = "bench",
                                 .cluster_name = "wild",
                                 .pool = pool,
                                 .random = random_system(),
                                 .logger = {.out = stderr, .level = LOG_LEVEL_ERROR},
                                 .numa_node = SOCKET_ID_ANY,
                                 .huge_pages = true};
    static const uint8_t zeros[LOG_NODE_REQUEST_BYTES];

    n->pool = pool;
    memcpy(fields.to, mac, 6);
    memcpy(fields.from, log_node_client_mac, 6);
    frame_udp(&n->set_headers, &fields, zeros, LOG_NODE_REQUEST_BYTES);
    frame_udp(&n->get_headers, &fields, zeros, LOG_NODE_REPLY_BYTES);
    config.port[0] = (struct node_port){
        .port = {.workers = 1, .mtu = 1500, .queue = {frame_port_queue(&n->port)}},
        .address = address_from_ip4(rte_cpu_to_be_32(ip4)),
        .prefix_length = 15,
    };
    memcpy(config.port[0].port.mac.addr_bytes, mac, 6);
    if (log != NULL)
        config.log = *log;
    return config;
}

/* Serves when it returns; ends the process otherwise. */
static inline void log_node_start(struct log_node *n, struct rte_mempool *pool, uint64_t capacity,
                                  const struct node_log_config *log)
{
    struct node_config config = log_node_config(n, pool, capacity, 0, log);
    struct node_recovery_progress progress;
    enum node_readiness readiness;
    char error[512];

    log_node_must(node_start(&n->node, &config, log_node_now(), error, sizeof error) == 0, error);
    while ((readiness = node_readiness(n->node, &progress, error, sizeof error)) == NODE_RECOVERING) {
        node_housekeeping_step(n->node);
        node_control_turn(n->node, log_node_now());
    }
    log_node_must(readiness == NODE_READY, error);
}

/* A log in a folder of its own under `path`. */
static inline struct node_log_config log_node_folder(struct log_node *n, const char *path,
                                                     struct durability_rules rules)
{
    char error[512];
    log_node_must(
        disk_folder_open(&n->folder, path, DISK_FOLDER_OWN, DISK_QUEUE_THREAD, error, sizeof error) == 0,
        error);
    return (struct node_log_config){.folder = path,
                                    .disk = disk_folder_disk(n->folder),
                                    .queue = disk_folder_queue(n->folder),
                                    .rules = rules,
                                    .segment_bytes = WAL_SEGMENT_BYTES};
}

static inline void log_node_clear(struct log_node *n)
{
    frame_port_clear(&n->port);
}

/* By the thread that had the control turns, which no longer runs elsewhere. */
static inline void log_node_stop(struct log_node *n)
{
    node_drain(n->node);
    while (!node_drained(n->node)) {
        node_worker_turn(n->node, 0, log_node_now());
        log_node_clear(n);
        node_control_turn(n->node, log_node_now());
        if (n->folder != NULL)
            node_housekeeping_step(n->node);
    }
    node_stop(n->node);
    if (n->folder != NULL)
        disk_folder_close(n->folder);
}

/* ---- requests ---- */

/* A request at the node's port. */
static inline void log_node_ask(struct log_node *n, enum opcode opcode, uint64_t number)
{
    uint64_t key = (number + 1) * UINT64_C(0x9E3779B97F4A7C15); /* odd: one to one */
    uint8_t value[LOG_NODE_VALUE_BYTES] = {0};
    bool set = opcode == OPCODE_SET;
    struct operation operation = {.opcode = (uint8_t)opcode,
                                  .key = (const uint8_t *)&key,
                                  .key_length = LOG_NODE_KEY_BYTES,
                                  .value = value,
                                  .value_length = set ? LOG_NODE_VALUE_BYTES : 0,
                                  .request_id = ++n->counter};
    struct message_header header = {.version = PROTOCOL_VERSION_MAX, .count = 1};
    struct message_writer writer;
    const struct frame *headers = set ? &n->set_headers : &n->get_headers;
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(n->pool);

    log_node_must(mbuf != NULL && n->port.in_count < FRAME_PORT_ROOM, "no room for a frame");
    uint8_t *frame = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)headers->length);
    uint8_t *payload = frame + LOG_NODE_HEADERS_BYTES;
    memcpy(frame, headers->bytes, headers->length);
    memcpy(value, &number, sizeof number);
    message_begin(&writer, payload + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, &operation);
    datagram_plain(payload, 0, n->counter, message_finish(&writer, &header));
    n->port.in[n->port.in_count++] = mbuf;
}

/* Counts the answers that left. */
static inline void log_node_take(struct log_node *n)
{
    for (unsigned i = 0; i < n->port.out_count; i++) {
        const struct rte_mbuf *mbuf = n->port.out[i];
        const uint8_t *payload = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, LOG_NODE_HEADERS_BYTES);
        struct message_header header;
        struct message_reader reader;
        struct reply reply;

        if (mbuf->data_len < LOG_NODE_HEADERS_BYTES + DATAGRAM_HEADER_BYTES + MESSAGE_HEADER_BYTES)
            continue; /* ARP */
        log_node_must(message_open(&reader, &header, payload + DATAGRAM_HEADER_BYTES,
                                   mbuf->data_len - LOG_NODE_HEADERS_BYTES - DATAGRAM_HEADER_BYTES,
                                   false) == 0 &&
                          message_next_reply(&reader, &reply) == 1,
                      "not a reply");
        n->refused += reply.status != STATUS_OK;
        n->gets += reply.opcode == OPCODE_GET;
        n->sets += reply.opcode == OPCODE_SET;
    }
    log_node_clear(n);
}

#endif
