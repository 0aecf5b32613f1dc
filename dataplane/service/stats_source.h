/*
 * stats_source.h - where pages get their numbers from. app/ fills it in: counters summed over the workers,
 * and what else is known about the node. Everything may be called from any worker; nothing blocks.
 */
#ifndef WILD_STATS_SOURCE_H
#define WILD_STATS_SOURCE_H

#include <stdint.h>

#include "counters.h"
#include "message.h"

/* X(name, help): what goes up and down. Units stand in the name. */
#define STATS_GAUGE_LIST(X)                                                                                  \
    X(items, "items in the table, expired ones not yet removed included")                                    \
    X(capacity_items, "one-line items that the table has room for")                                          \
    X(lines_used, "lines of 64 bytes that items take")                                                       \
    X(lsn, "log sequence number of the latest change")                                                       \
    X(durable_lsn, "last LSN on stable storage; without a log: lsn")                                         \
    X(busy_log_full, "operations answered BUSY as the log did not take more, since the start")               \
    X(busy_contended, "operations answered BUSY as a bucket was taken each time, since the start")           \
    X(busy_readers, "reads answered BUSY as a bucket changed each time, since the start")                    \
    X(evicted, "items evicted since the start")                                                              \
    X(expired, "expired items removed since the start")                                                      \
    X(log_state, "the write-ahead log: 0 none, 1 written, 2 disk full, 3 failed")                            \
    X(log_bytes, "bytes written to the log since the start")                                                 \
    X(log_free_bytes, "bytes that the log's folder can still take, as of a while ago; 0: not known")         \
    X(log_blocks, "blocks written to the log since the start")                                               \
    X(snapshots, "snapshots published since the start")                                                      \
    X(snapshots_failed, "snapshots given up since the start")                                                \
    X(snapshot_lsn, "LSN that the newest snapshot starts from, 0 if there is none")                          \
    X(epoch, "epoch of the history that this node writes or follows")                                        \
    X(workers, "worker threads")                                                                             \
    X(tcp_connections, "TCP connections, all states but TIME-WAIT")                                          \
    X(tcp_half_open, "TCP connections whose handshake is not complete")                                      \
    X(tcp_time_wait, "TCP connections in TIME-WAIT")                                                         \
    X(replicas, "replicas that follow this node")                                                            \
    X(replicas_serving, "of these, those that answer reads")                                                 \
    X(replicated_lsn, "last LSN that is acknowledged: durable here, and on --min-replicas replicas")         \
    X(lag_lsn, "changes of the primary's that this node has not applied; on a primary, the last replica")    \
    X(lag_ms, "age of the newest change that this node has not applied; on a primary, the last replica")     \
    X(uptime_seconds, "seconds since the node began to serve")

enum stats_gauge {
#define STATS_GAUGE_ENUM(name, help) STATS_##name,
    STATS_GAUGE_LIST(STATS_GAUGE_ENUM)
#undef STATS_GAUGE_ENUM
        STATS_GAUGE_COUNT
};

struct stats_node {
    uint8_t mode, state; /* enum mode, enum serving_state */
    const char *why; /* one short sentence when the state needs one that its name does not give, or NULL */
};

/* A counter that is not of the list in counters.h. */
struct stats_more {
    const char *name, *help;
    uint64_t value;
};

struct stats_source {
    void *state;
    const char *version; /* of the program */
    uint64_t (*counter)(void *state, enum counter which);
    uint64_t (*gauge)(void *state, enum stats_gauge which);
    struct stats_node (*node)(void *state);
    unsigned more_count; /* counters of app/'s own, shown behind the others */
    struct stats_more (*more)(void *state, unsigned which);
};

#endif
