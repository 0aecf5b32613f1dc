/*
 * node.h - a whole node as one struct: table, keys, log rings, sessions, workers, control.
 *
 * A node reads no clock, opens no device and draws no randomness: ports, time and the random source are
 * given to it, and it moves only when one of the turns is called. server.c does that with lcores, threads and
 * real devices; a simulation does it with arrays of frames and a virtual clock, for several nodes in one
 * process.
 *
 *   node_worker_turn(node, i, now)   only ever from one thread for each i
 *   node_control_turn(node, now)     one thread: the control lcore
 *   node_helper_step(node)           one thread: handshake mathematics
 *   node_housekeeping_step(node)     one thread, with a log: recovery, segments, snapshots
 *
 * Shutdown: node_drain(), then keep calling the turns until node_drained(), stop the threads, node_stop().
 */
#ifndef WILD_NODE_H
#define WILD_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app_limits.h"
#include "counters.h"
#include "disk.h"
#include "durability.h"
#include "instant.h"
#include "log.h"
#include "name_lookup.h"
#include "options.h"
#include "published_state.h"
#include "random.h"

struct node_port {
    struct port port; /* queues, MAC, MTU, offloads; the caller opened it and closes it after the node */
    struct address address; /* the node's own on this port */
    uint8_t prefix_length;
    /* The control lcore's whole, for its streams (control_streams.h): queue 0, no worker sees it. These are the last. */
    bool streams_only;
    /* Whether the link is up now; NULL: always. */
    bool (*link_up)(const struct port *port);
};

/* The write-ahead log: its folder, and what it promises. */
struct node_log_config {
    const char *folder; /* as the operator named it, for messages; NULL: no log */
    struct disk disk;
    struct disk_queue queue;
    struct durability_rules rules;
    uint64_t segment_bytes;
    uint64_t snapshot_segments, snapshot_interval_ms; /* durable_log.h */
};

/* Another node's replication port. */
struct node_peer {
    struct address address;
    uint16_t port; /* host order */
};

/* Who leads, who follows. All zero: the node stands alone. */
struct node_replication_config {
    enum mode mode;
    uint16_t port; /* primary: where replicas connect. This and the next: host order */
    uint16_t primary_port;
    struct name_lookup
        *primary;             /* replica: finds the primary's address, until it is told to follow another */
    const char *primary_name; /* as the operator named it, for messages and status */
    const char *name;         /* what other nodes call this one */
    unsigned min_replicas;    /* a write waits for so many */
    bool ack_applied;         /* what is in their memory counts */
    uint32_t heartbeat_ms, timeout_ms; /* primary */
    /* Over sockets: where a primary listens and a replica connects from, if that is not the clients' address. */
    bool own_address;
    struct address address;
    struct node_peer peer[PEERS_MAX]; /* to be asked, besides the members, by one that wants to lead */
    unsigned peers;
    const struct secret_option *secrets; /* between nodes; none: the node's own */
    unsigned secret_count;
};

/* Everything here is copied; what it points to is borrowed for the node's life, except secrets (only read
 * during node_start()). */
struct node_config {
    unsigned workers, ports;
    struct node_port port[NODE_PORTS_MAX];
    /* In the place of ports (`ports` is 0): sockets of the kernel's for each worker, which the caller opened
     * and closes after the node. NULL: none. */
    const struct kernel_port *kernel;
    uint32_t gateway_ip4; /* host order; 0: none */
    uint16_t udp_port;
    uint64_t capacity;
    enum evict evict;
    unsigned sessions;             /* a worker; a power of two */
    unsigned connections;          /* streams a worker serves */
    bool http_off;                 /* no pages */
    const char *const *http_hosts; /* names that pages may be asked for by, besides addresses */
    unsigned http_host_count;
    const char *version;                 /* of the program, for pages */
    const struct secret_option *secrets; /* none: insecure_no_auth */
    unsigned secret_count;
    const char *cluster_name;
    struct node_log_config log;
    struct node_replication_config replication;
    struct rte_mempool *pool; /* frames that the node originates */
    struct random_source random;
    struct logger logger;
    int numa_node; /* -1: wherever */
    bool huge_pages;
};

struct node;

/* Memory that such a node locks for its keys. */
size_t node_key_bytes(const struct node_config *config);

/* 0 and *out, or -1 with one line in `error`. */
int node_start(struct node **out, const struct node_config *config, struct instant now, char *error,
               size_t error_bytes);
void node_stop(struct node *node); /* NULL is fine; wipes every key */

/* Frames handled: 0 means idle. */
unsigned node_worker_turn(struct node *node, unsigned worker, struct instant now);
/* Over kernel sockets: rests until that worker has something to do, at most so long. Between its turns. */
void node_worker_wait(struct node *node, unsigned worker, unsigned timeout_ms);
/* Things done: 0 means idle. */
unsigned node_control_turn(struct node *node, struct instant now);
/* For control's nap: a descriptor that is readable when something has arrived for its turn, -1: none; and when that has
 * something to do anyway, UINT64_MAX: it cannot say. Control thread. */
int node_control_wait_fd(const struct node *node);
uint64_t node_control_next_ns(const struct node *node);
/* Whether workers hand the control lcore frames of its streams, and whether there are some that no control turn has taken
 * yet: a hint, on any thread. */
bool node_control_takes_frames(const struct node *node);
bool node_control_has_frames(const struct node *node);
/* The worker has replies that wait for the log. */
bool node_worker_waits(const struct node *node, unsigned worker);
/* The worker has written to the log what no control turn has taken yet. On the worker's thread, or on control's. */
bool node_worker_logged(const struct node *node, unsigned worker);
/* One handshake at most; false: there was none. */
bool node_helper_step(struct node *node);

enum node_housekeeping {
    NODE_HOUSEKEEPING_IDLE,     /* nothing to do for now */
    NODE_HOUSEKEEPING_WORKED,   /* there may be more */
    NODE_HOUSEKEEPING_THROTTLE, /* a part of a snapshot: pause, so that others get their share */
};
/* Recovery, then segments and snapshots: what may wait for the disk. A thread of its own; only with a log. */
enum node_housekeeping node_housekeeping_step(struct node *node);

/* Whether it serves. A node with a log recovers first: from node_start() on its turns run, and answer STALE and BUSY. */
enum node_readiness { NODE_RECOVERING, NODE_READY, NODE_REFUSED };
struct node_recovery_progress {
    uint64_t records, bytes_read, bytes_total;
};
/* REFUSED: the folder cannot be used, `error` says why and what to do. */
enum node_readiness node_readiness(const struct node *node, struct node_recovery_progress *progress,
                                   char *error, size_t error_bytes);
/* A snapshot as soon as none is running; false: there is no log. Control thread. */
bool node_snapshot(struct node *node);

/* No new session and no new work from now on; what was received is answered. Control thread. */
void node_drain(struct node *node);
/* Every worker has answered what it had received, and the log, if there is one, is on the disk. */
bool node_drained(const struct node *node);
/* After that: whether changes that were acknowledged may not be there at the next start (--durability async, and a disk
 * that takes no more; or the log's folder was not in its place once). */
bool node_lost_changes(const struct node *node);

/* How frames of replication come to the control lcore (control_streams.h), for the start-up line; "none": it has none. */
const char *node_replication_tier(const struct node *node);

/* What the node is, for the start-up lines and tests. */
struct node_facts {
    struct table_info table;
    uint64_t lsn;         /* last assigned */
    uint64_t durable_lsn; /* on stable storage; without a log: lsn */
    uint64_t items;
    uint32_t epoch;
    uint64_t history;
    uint64_t log_records, log_bytes; /* handed over by the workers, in LSN order */
    const char *mode, *state;
};
void node_facts(const struct node *node, struct node_facts *out);
/* One counter summed over the workers. */
uint64_t node_counter(const struct node *node, enum counter which);

#endif
