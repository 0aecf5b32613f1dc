/*
 * node_worker.c - one worker: services above, ports or sockets below, and its turn.
 */
#include "node_worker.h"

#include <stdio.h>

#include "node_stats.h"

/* In the place of a queue on a device that has too few for every worker. */
static uint16_t no_frames(void *state, struct rte_mbuf **frames, uint16_t count)
{
    (void)state;
    (void)frames;
    (void)count;
    return 0;
}

/* The ports as worker `i` sees them. */
static void worker_ports(const struct node *node, unsigned i, struct worker_config *out)
{
    for (unsigned p = 0; p < node->config.ports && !node->config.port[p].streams_only; p++) {
        const struct node_port *from = &node->config.port[p];

        out->port[out->ports++] = (struct worker_port){
            .queue = i < from->port.workers ? from->port.queue[i]
                                            : (struct port_queue){NULL, no_frames, no_frames},
            .mac = from->port.mac,
            .address = from->address,
            .prefix_length = from->prefix_length,
            .rx_checksum_offload = from->port.rx_checksum_offload,
            .tx_checksum_offload = from->port.tx_checksum_offload,
            .mtu = from->port.mtu,
            .from_control = i == 0 ? node->control.link[p].by_worker : NULL,
            .to_streams = node->control.link[p].to_streams,
        };
    }
}

/* Of the log, or of the primary's; NULL: neither is there. */
static const struct durable_point *node_durable_point(const struct node *node)
{
    bool any = node->config.log.folder != NULL || node->config.replication.mode == MODE_REPLICA;
    return any ? &node->log.durable : NULL;
}

/* ---- start ---- */

/* What answers streams: native protocol and pages. */
static int start_streams(struct node *node, unsigned i)
{
    const struct node_config *config = &node->config;
    struct node_worker *worker = &node->worker[i];
    struct http_config pages = {.source = &node->stats,
                                .counters = &worker->counters,
                                .hosts = config->http_hosts,
                                .hosts_count = config->http_host_count,
                                .connections_max = NODE_HTTP_CONNECTIONS};
    struct native_tcp_config native = {
        .table = node->table,
        .execute = worker->execute,
        .published = &node->published,
        .keys = {node->keys[0], node->keys[1]},
        .arena = node->arena,
        .random = &config->random,
        .handshakes = handshake_helper_lane(node->helper, NODE_HANDSHAKE_LANE_TCP(config->workers, i)),
        .counters = &worker->counters,
        .started_mono_ns = node->started.mono_ns,
        .connections_max = config->connections,
        .small_buffers = NODE_SMALL_BUFFERS,
        .large_buffers = NODE_LARGE_BUFFERS,
        .bench_mode = config->secret_count == 0,
        .durability = config->log.rules,
        .durable = node_durable_point(node),
        .numa_node = config->numa_node,
    };

    random_fill(&config->random, &pages.source_seed, sizeof pages.source_seed);
    if (!config->http_off) {
        worker->http = http_create(&pages, node->started);
        if (worker->http == NULL)
            return -1;
    }
    native.http = worker->http;
    worker->streams = native_tcp_create(&native, node->started);
    return worker->streams != NULL ? 0 : -1;
}

static int start_sockets(struct node *node, unsigned i)
{
    struct node_worker *worker = &node->worker[i];
    struct kernel_worker_config config = {
        .sockets = node->config.kernel->sockets[i],
        .acceptor = native_tcp_acceptor(worker->streams),
        .streams_max = NODE_STREAMS(node->config.connections),
        .per_source_max = NODE_PER_SOURCE(node->config.connections),
        .blocks_max = NODE_STREAM_BLOCKS,
        .send_bytes_max = NODE_STREAM_SEND_BYTES,
        .random = &node->config.random,
        .counters = &worker->counters,
        .numa_node = node->config.numa_node,
    };

    worker->kernel = kernel_worker_create(&config, node->started);
    return worker->kernel != NULL ? 0 : -1;
}

static int start_tcp(struct node *node, unsigned i)
{
    struct node_worker *worker = &node->worker[i];
    struct tcp_config config = {
        .pool = node->config.pool,
        .output = worker_tcp_output(worker->worker),
        .counters = &worker->counters,
        .random = &node->config.random,
        .connections_max = NODE_TCP_CONNECTIONS(node->config.connections),
        .time_wait_max = node->config.connections,
        .half_open_max = NODE_HALF_OPEN,
        .per_source_max = NODE_PER_SOURCE(node->config.connections),
        .send_frames_max = NODE_TCP_SEND_FRAMES(node->config.connections),
        .receive_frames_max = NODE_TCP_RECEIVE_FRAMES,
        .send_bytes_max = NODE_STREAM_SEND_BYTES,
        .receive_bytes_max = NODE_STREAM_RECEIVE_BYTES,
        .keepalive = true,
        .numa_node = node->config.numa_node,
    };

    worker->tcp = tcp_create(&config, node->started);
    if (worker->tcp == NULL)
        return -1;
    worker_set_tcp(worker->worker, worker->tcp);
    return tcp_listen(worker->tcp, node->config.udp_port, native_tcp_acceptor(worker->streams));
}

static int start_ports(struct node *node, unsigned i)
{
    struct node_worker *worker = &node->worker[i];
    struct worker_config config = {
        .id = i,
        .udp_port = node->config.udp_port,
        .pool = node->config.pool,
        .to_control = node->control.from_workers,
        .handover = &node->control.handover,
        .workers = node->config.workers + 1,
        .counters = &worker->counters,
    };

    worker_ports(node, i, &config);
    for (unsigned j = 0; j < node->config.workers; j++)
        config.icmp_errors_of[j] = node->worker[j].icmp_errors;
    config.icmp_errors_of[node->config.workers] = node->control.icmp_errors;
    worker->worker = worker_create(&config, node->config.numa_node);
    return worker->worker != NULL ? start_tcp(node, i) : -1;
}

static int start_datagrams(struct node *node, unsigned i)
{
    struct node_worker *worker = &node->worker[i];
    struct native_udp_config config = {
        .table = node->table,
        .execute = worker->execute,
        .published = &node->published,
        .keys = {node->keys[0], node->keys[1]},
        .arena = node->arena,
        .random = &node->config.random,
        .handshakes = handshake_helper_lane(node->helper, i),
        .counters = &worker->counters,
        .transmit = worker->kernel != NULL ? kernel_worker_transmit(worker->kernel)
                                           : worker_transmit(worker->worker, 0),
        .started_mono_ns = node->started.mono_ns,
        .sessions_max = node->config.sessions,
        .bench_mode = node->config.secret_count == 0,
        .durability = node->config.log.rules,
        .durable = node_durable_point(node),
        .numa_node = node->config.numa_node,
    };

    worker->service = native_udp_create(&config);
    if (worker->service == NULL)
        return -1;
    if (worker->kernel != NULL)
        kernel_worker_set_service(worker->kernel, native_udp_service(worker->service));
    else
        worker_set_service(worker->worker, native_udp_service(worker->service));
    return 0;
}

int node_worker_start(struct node *node, unsigned i)
{
    if (start_streams(node, i) != 0)
        return -1;
    if ((node->config.kernel != NULL ? start_sockets(node, i) : start_ports(node, i)) != 0)
        return -1;
    return start_datagrams(node, i);
}

void node_worker_stop(struct node *node, unsigned i)
{
    struct node_worker *worker = &node->worker[i];

    /* Streams end before what they are told to, and frames leave by the worker. */
    if (worker->tcp != NULL)
        tcp_destroy(worker->tcp);
    kernel_worker_destroy(worker->kernel);
    worker_destroy(worker->worker);
    if (worker->streams != NULL)
        native_tcp_destroy(worker->streams);
    if (worker->http != NULL)
        http_destroy(worker->http);
    native_udp_destroy(worker->service);
}

/* ---- turns ---- */

/* A worker that has slept makes up for the rounds that it slept through, as far as one turn may take. */
static void sweep(struct node_worker *worker, struct instant now)
{
    uint64_t missed = (now.mono_ns - worker->sweep_due_ns) / WORKER_SWEEP_INTERVAL_NS;
    unsigned rounds = missed < WORKER_SWEEP_ROUNDS_MAX ? 1 + (unsigned)missed : WORKER_SWEEP_ROUNDS_MAX;

    worker->sweep_due_ns = now.mono_ns + WORKER_SWEEP_INTERVAL_NS;
    execute_sweep(worker->execute, rounds * WORKER_SWEEP_BUCKETS, now.wall_ms);
}

/* Replies that wait for the log. */
static unsigned parked(const struct node_worker *worker)
{
    return native_udp_parked(worker->service) + native_tcp_counts(worker->streams).parked;
}

static unsigned http_count(const struct node_worker *worker, unsigned (*count)(const struct http *http))
{
    return worker->http != NULL ? count(worker->http) : 0;
}

/* Connections that begin; the kernel keeps its own to itself. */
static unsigned half_open(const struct node_worker *worker)
{
    return worker->tcp != NULL ? tcp_counts(worker->tcp).half_open : 0;
}

/* Something is answered, or somebody may be about to ask: a load balancer's look at /health, say. */
static bool is_busy(const struct node_worker *worker, unsigned frames)
{
    return frames > 0 || half_open(worker) > 0 || native_tcp_counts(worker->streams).unconfirmed > 0 ||
           http_count(worker, http_busy) > 0;
}

static void stop_listening(struct node_worker *worker)
{
    if (worker->kernel != NULL)
        kernel_drain(worker->kernel);
    else
        tcp_listen_stop(worker->tcp);
}

/*
 * What was received is answered, connections are ended in order, and then the worker is done. Until that end begins
 * whoever comes is let in, to be told by /health or turned away as a client: that the node stops, not that it is gone.
 * Nobody who comes moves that moment: both parts have their time, from when they begin.
 */
static void drain(struct node_worker *worker, unsigned frames, struct instant now)
{
    if (worker->drain_until_ns == 0) {
        worker->drain_until_ns = now.mono_ns + WORKER_DRAIN_NS;
        native_udp_drain(worker->service);
        native_tcp_drain(worker->streams);
    }
    bool waits = parked(worker) > 0;
    bool late = now.mono_ns >= worker->drain_until_ns + (waits ? WORKER_DRAIN_PARKED_NS : 0);
    if (!worker->sessions_closed) {
        if ((is_busy(worker, frames) || waits) && !late)
            return;
        stop_listening(worker);
        native_tcp_close_all(worker->streams);
        worker->sessions_closed = true;
        worker->drain_until_ns = now.mono_ns + WORKER_CLOSE_NS;
        return;
    }
    unsigned connections =
        native_tcp_counts(worker->streams).connections + http_count(worker, http_connections);
    if ((connections > 0 || waits) && !late)
        return; /* the last replies may wait for acknowledgements before they can leave */
    /* release: pairs with acquire in node_drained() */
    atomic_store_explicit(&worker->drained, true, memory_order_release);
}

/* A replica that hides its table: what waits was read of it, and becomes STALE first (durability.h, failed). */
static void note_generation(struct node *node, struct node_worker *worker)
{
    uint64_t generation = atomic_load_explicit(&node->generation, memory_order_acquire);

    if (likely(generation == atomic_load_explicit(&worker->noted, memory_order_relaxed)))
        return;
    if (parked(worker) > 0 && published_state_get(&node->published).state == STATE_CATCHING_UP)
        return;
    atomic_store_explicit(&worker->noted, generation, memory_order_release);
}

unsigned node_worker_turn(struct node *node, unsigned i, struct instant now)
{
    struct node_worker *worker = &node->worker[i];
    /* acquire: pairs with release in node_drain() */
    bool draining = atomic_load_explicit(&node->draining, memory_order_acquire);
    unsigned frames;

    note_generation(node, worker);
    /* The log ends behind what this worker has written: no more of that, whoever goes on asking. */
    if (unlikely(draining) && atomic_load_explicit(&worker->drained, memory_order_relaxed))
        return 0;
    frames = native_tcp_turn(worker->streams, now);

    frames += worker->kernel != NULL ? kernel_turn(worker->kernel, now) : worker_turn(worker->worker, now);
    if (now.mono_ns >= worker->sweep_due_ns) {
        struct state_view view = published_state_get(&node->published);

        /* What has expired on a replica is removed when the primary's log says so. */
        if (view.state == STATE_SERVING && view.mode != MODE_REPLICA)
            sweep(worker, now);
        node_stats_publish(worker, now);
    }
    if (unlikely(draining))
        drain(worker, frames, now);
    return frames;
}

bool node_worker_waits(const struct node *node, unsigned i)
{
    return parked(&node->worker[i]) > 0;
}

bool node_worker_logged(const struct node *node, unsigned i)
{
    return log_ring_used_bytes(node->worker[i].log) > 0;
}

void node_worker_wait(struct node *node, unsigned i, unsigned timeout_ms)
{
    struct node_worker *worker = &node->worker[i];
    /* What a peer takes wakes nobody, and a connection that was held back until then may be free. */
    if (timeout_ms > 1 && native_tcp_counts(worker->streams).held_back > 0)
        timeout_ms = 1;
    if (parked(worker) > 0) {
        /* If the log gets there between the turn and this, nobody wakes it: rare, and 1 ms is the price.
         * relaxed: a hint, see above */
        atomic_store_explicit(&worker->waits_for_log, true, memory_order_relaxed);
        timeout_ms = timeout_ms > 1 ? 1 : timeout_ms;
    }
    kernel_wait(worker->kernel, timeout_ms);
    atomic_store_explicit(&worker->waits_for_log, false, memory_order_relaxed);
}

void node_workers_wake(struct node *node)
{
    for (unsigned i = 0; node->config.kernel != NULL && i < node->config.workers; i++)
        if (atomic_load_explicit(&node->worker[i].waits_for_log, memory_order_relaxed))
            kernel_wake(node->worker[i].kernel);
}

uint64_t node_new_generation(struct node *node)
{
    uint64_t generation = atomic_load_explicit(&node->generation, memory_order_relaxed) + 1;

    atomic_store_explicit(&node->generation, generation, memory_order_release);
    for (unsigned i = 0; i < node->config.workers; i++)
        if (node->worker[i].kernel !=
            NULL) /* over ports they do not sleep for long; not yet started: none does */
            kernel_wake(node->worker[i].kernel);
    return generation;
}

bool node_quiescent(const struct node *node, uint64_t generation)
{
    for (unsigned i = 0; i < node->config.workers; i++)
        if (atomic_load_explicit(&node->worker[i].noted, memory_order_acquire) < generation)
            return false;
    return true;
}
