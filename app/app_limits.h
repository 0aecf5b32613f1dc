/*
 * app_limits.h - the limits of one node, and how they relate to those of the layers below.
 */
#ifndef WILD_APP_LIMITS_H
#define WILD_APP_LIMITS_H

#include <assert.h>

#include "kernel/kernel_worker.h"
#include "log_ring.h"
#include "port.h"
#include "table.h"
#include "worker.h"

enum {
    NODE_WORKERS_MAX = TABLE_WORKERS_MAX,
    NODE_KERNEL_WORKERS_DEFAULT_MAX = 4, /* over kernel sockets: they leave the machine to others, too */
    NODE_PORTS_MAX = WORKER_PORTS_MAX,
    NODE_SECRETS_MAX = 2, /* the second one is for rotation */

    NODE_SESSIONS_DEFAULT = 4096, /* a worker */
    NODE_SESSIONS_MIN = 64,
    NODE_SESSIONS_MAX = 1 << 20,

    /* One ring absorbs the control lcore's longest absence: at 5 M records of 64 bytes a second, 13 ms. */
    NODE_LOG_RING_BYTES = 4 << 20,

    /* Frames on their way from the workers to the control lcore (ARP). */
    NODE_CONTROL_RING_FRAMES = 256,

    /* A control turn drains at most this many log records, so that its other tasks get their share. */
    CONTROL_LOG_RECORDS_TURN = 4096,
    CONTROL_FRAMES_TURN = 32,

    /* Housekeeping on a worker: this many buckets for expired items every so often, about 0.3 % of its time. A
     * table of 32 MiB is gone through in two seconds by one worker. */
    WORKER_SWEEP_BUCKETS = 8,
    WORKER_SWEEP_INTERVAL_NS = 200 * 1000,
    WORKER_SWEEP_ROUNDS_MAX = 32, /* one turn's, after a nap */

    /* Over kernel sockets, each worker: streams, those from one address, and blocks of 4 KiB for what clients are slow
     * to read; memory for them is taken as they come. */
    NODE_STREAMS = 16384,
    NODE_STREAMS_PER_SOURCE = 12288,
    NODE_STREAM_BLOCKS = 8192,
    NODE_STREAM_SEND_BYTES = 256 * 1024,

    /* On SIGTERM a worker answers what its queues hold: until they are empty, or for this long if clients keep
     * sending. */
    WORKER_DRAIN_NS = 50 * 1000 * 1000,

    CONTROL_LINK_INTERVAL_NS = 100 * 1000 * 1000,
};

static_assert((int)NODE_WORKERS_MAX == (int)PORT_WORKERS_MAX, "a worker has a queue on each port");
static_assert((int)NODE_WORKERS_MAX == (int)KERNEL_WORKERS_MAX, "a worker has sockets of its own");
static_assert((int)NODE_LOG_RING_BYTES >= (int)LOG_RING_BYTES_MIN, "log_ring.h");
static_assert((NODE_LOG_RING_BYTES & (NODE_LOG_RING_BYTES - 1)) == 0, "log_ring.h");
static_assert((NODE_CONTROL_RING_FRAMES & (NODE_CONTROL_RING_FRAMES - 1)) == 0, "rte_ring");

#endif
