/*
 * app_limits.h - the limits of one node, and how they relate to those of the layers below.
 */
#ifndef WILD_APP_LIMITS_H
#define WILD_APP_LIMITS_H

#include <assert.h>

#include "kernel/kernel_worker.h"
#include "log_ring.h"
#include "port.h"
#include "service/native_tcp.h"
#include "table.h"
#include "tcp/tcp.h"
#include "worker.h"

enum {
    NODE_WORKERS_MAX = TABLE_WORKERS_MAX - 1,
    NODE_KERNEL_WORKERS_DEFAULT_MAX = 4, /* over kernel sockets: they leave the machine to others, too */
    NODE_PORTS_MAX = WORKER_PORTS_MAX,
    NODE_SECRETS_MAX = 2, /* the second one is for rotation */

    NODE_SESSIONS_DEFAULT = 4096, /* a worker */
    NODE_SESSIONS_MIN = 64,
    NODE_SESSIONS_MAX = 1 << 20,

    /* One ring absorbs the control lcore's longest absence: at 5 M records of 64 bytes a second, 13 ms. */
    NODE_LOG_RING_BYTES = 4 << 20,
    NODE_CONTROL_LOG_BYTES = 64 * 1024, /* the control lcore's: two lists of members at the least */

    /* Frames on their way from the workers to the control lcore (ARP). */
    NODE_CONTROL_RING_FRAMES = 256,

    /* Streams of the control lcore's, for replication. Frames of them on their way from the workers, and to worker 0 where
     * the device has no queue for the control lcore; each port. */
    NODE_STREAMS_RING_FRAMES = 1024,
    /* What its TCP holds: sent and not acknowledged, held back or out of order. */
    NODE_STREAMS_SEND_FRAMES = 4096,
    NODE_STREAMS_RECEIVE_FRAMES = 2048,
    NODE_STREAMS_HALF_OPEN = 64,
    /* A device's queue wakes nobody: the longest nap where the device steers frames to the control lcore's. */
    NODE_STREAMS_NAP_NS = 50 * 1000,

    /* A control turn drains at most this many log records, so that its other tasks get their share. */
    CONTROL_LOG_RECORDS_TURN = 4096,
    CONTROL_FRAMES_TURN = 32,

    /* Housekeeping on a worker: this many buckets for expired items every so often, about 0.3 % of its time. A
     * table of 32 MiB is gone through in two seconds by one worker. */
    WORKER_SWEEP_BUCKETS = 8,
    WORKER_SWEEP_INTERVAL_NS = 200 * 1000,
    WORKER_SWEEP_ROUNDS_MAX = 32, /* one turn's, after a nap */

    /* Streams, each worker. */
    NODE_CONNECTIONS_DEFAULT = 16384,
    NODE_CONNECTIONS_MIN = 64,
    NODE_CONNECTIONS_MAX = 1000000,
    NODE_HTTP_CONNECTIONS = 64,
    NODE_HTTP_HOSTS_MAX = 8,
    NODE_STREAM_SEND_BYTES = 256 * 1024, /* each, at most */
    NODE_STREAM_RECEIVE_BYTES = 256 * 1024,
    NODE_SMALL_BUFFERS = 1024, /* records that came in part, replies that wait (native_tcp.h) */
    NODE_LARGE_BUFFERS = 128,
    /* TCP over ports, each worker: frames that wait to be acknowledged, frames held back or out of order. Both are of
     * the pool (server.c's pool_frames()). */
    NODE_TCP_FRAME_BYTES = 4096, /* where pages are ordinary, as none lies in two; 2,496 in hugepages */
    NODE_TCP_SEND_FRAMES_BASE = 4096,
    NODE_TCP_SEND_FRAMES_MORE = 8192,
    NODE_TCP_RECEIVE_FRAMES = 2048,
    NODE_HALF_OPEN = 1024,
    NODE_ICMP_RING_ERRORS = 256,
    /* Over kernel sockets: blocks of 4 KiB for what clients are slow to read; memory is taken as they come. */
    NODE_STREAM_BLOCKS = 8192,

    /* On SIGTERM a worker answers what its queues hold, and connections that have yet to say what they want, those that
     * come now among them: until there is nothing of that, or for this long. */
    WORKER_DRAIN_NS = 50 * 1000 * 1000,
    /* And for this much longer for the log, while replies wait for it. */
    WORKER_DRAIN_PARKED_NS = 1000 * 1000 * 1000,
    /* Then its streams end; clients have this long to read the last replies and to end theirs. */
    WORKER_CLOSE_NS = 50 * 1000 * 1000,

    /* Snapshots: by time, by growth of the log. */
    SNAPSHOT_INTERVAL_DEFAULT_S = 3600,
    SNAPSHOT_INTERVAL_MAX_S = 30 * 86400,
    SNAPSHOT_LOG_DEFAULT_MIB = 256,
    SNAPSHOT_LOG_MAX_MIB = 1 << 20,
    SNAPSHOT_STEP_BUCKETS = 1024, /* copied between two pauses of the housekeeper's */

    REPLICATION_DEFAULT_PORT = 9001,
    /* A replica is no slower to notice than this, nor does a primary speak more often. */
    REPLICATION_HEARTBEAT_DEFAULT_MS = 100,
    REPLICATION_HEARTBEAT_MIN_MS = 10,
    REPLICATION_HEARTBEAT_MAX_MS = 10000,
    REPLICATION_TIMEOUT_DEFAULT_MS = 1000,
    REPLICATION_TIMEOUT_MIN_MS = 50,
    REPLICATION_TIMEOUT_MAX_MS = 60000,
    REPLICATION_TIMEOUT_HEARTBEATS = 3, /* fit the time-out at least */

    /* A stream of replication's, each way, at most: one that carries the log or a snapshot, one that acknowledges. */
    NODE_REPLICATION_BULK_BYTES = 1024 * 1024,
    NODE_REPLICATION_WORDS_BYTES = 64 * 1024,
    NODE_REPLICA_STREAMS = 4, /* one, and some that are ending */

    NODE_STATUS_INTERVAL_NS = 50 * 1000 * 1000,

    CONTROL_LINK_INTERVAL_NS = 100 * 1000 * 1000,
};

/* How long a replica tries one connection to its primary before it begins another: ARP's patience, and some. */
#define NODE_CONNECT_NS UINT64_C(5000000000)

/* What stands below the service has room for those that the service is yet to choose among. */
#define NODE_STREAMS(connections) ((connections) + NODE_HTTP_CONNECTIONS + 64)

/*
 * A reply keeps its frame until it is acknowledged, 40 ms when its client has no more to ask: one for each connection,
 * and some for long replies, up to so many that they are not most of a node's memory: by default 29 MiB a worker, 48
 * without hugepages. When they are all out connections are held back (native_tcp.h).
 */
#define NODE_TCP_SEND_FRAMES(connections)                                                                    \
    (NODE_TCP_SEND_FRAMES_BASE +                                                                             \
     ((connections) < NODE_TCP_SEND_FRAMES_MORE ? (connections) : (unsigned)NODE_TCP_SEND_FRAMES_MORE))
/* What TCP holds at most: it may cut up frames for sending. */
#define NODE_TCP_FRAMES(connections)                                                                         \
    (NODE_TCP_SEND_FRAMES(connections) + TCP_FRAMES_FOR_PIECES(NODE_TCP_SEND_FRAMES(connections)) +          \
     NODE_TCP_RECEIVE_FRAMES)

/* Frames that the control lcore's streams may have, over so many ports. */
#define NODE_STREAMS_FRAMES(ports)                                                                           \
    (NODE_STREAMS_SEND_FRAMES + TCP_FRAMES_FOR_PIECES(NODE_STREAMS_SEND_FRAMES) +                            \
     NODE_STREAMS_RECEIVE_FRAMES + (ports)*2 * NODE_STREAMS_RING_FRAMES)

/* Our own TCP keeps those that are half open as well: a flood of SYNs takes no accepted one's place. */
#define NODE_TCP_CONNECTIONS(connections) (NODE_STREAMS(connections) + NODE_HALF_OPEN)

/* One address may take three quarters of the places: a client's pools and a NAT fit, and others are not shut out. Of the
 * places for those who have not shaken hands yet it keeps only what nobody else wants (native_tcp.h). */
#define NODE_PER_SOURCE(connections) ((connections) / 4 * 3)

/* The handshake helper's lanes: each worker has one for datagrams and one for streams. */
#define NODE_HANDSHAKE_LANES(workers)       (2 * (workers))
#define NODE_HANDSHAKE_LANE_TCP(workers, i) ((workers) + (i))

static_assert((int)NODE_TCP_CONNECTIONS(NODE_CONNECTIONS_MAX) <= (int)TCP_CONNECTIONS_LIMIT &&
                  (int)NODE_CONNECTIONS_MAX <= (int)NATIVE_TCP_CONNECTIONS_LIMIT,
              "tcp.h, native_tcp.h");
static_assert((int)NODE_STREAM_SEND_BYTES >= (int)NATIVE_TCP_SEND_BYTES, "native_tcp.h");
static_assert((int)NODE_WORKERS_MAX == (int)PORT_WORKERS_MAX, "a worker has a queue on each port");
static_assert((int)NODE_WORKERS_MAX == (int)KERNEL_WORKERS_MAX, "a worker has sockets of its own");
static_assert((int)NODE_LOG_RING_BYTES >= (int)LOG_RING_BYTES_MIN, "log_ring.h");
static_assert((int)NODE_CONTROL_LOG_BYTES >= (int)LOG_RING_BYTES_MIN, "log_ring.h");
static_assert((NODE_LOG_RING_BYTES & (NODE_LOG_RING_BYTES - 1)) == 0, "log_ring.h");
static_assert((NODE_STREAMS_RING_FRAMES & (NODE_STREAMS_RING_FRAMES - 1)) == 0, "rte_ring");
static_assert((NODE_CONTROL_RING_FRAMES & (NODE_CONTROL_RING_FRAMES - 1)) == 0, "rte_ring");

#endif
