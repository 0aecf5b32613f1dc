/*
 * node.c - a node's start-up table, its turns and its end.
 */
#include "node_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "startup.h"
#include "worker.h"

/* LSNs of a history start at a multiple of 2^32; a first start is history number one. */
static const uint64_t first_lsn = UINT64_C(1) << 32;

/* ---- start-up steps ---- */

static int start_identity(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;
    struct state_view view = {.epoch = 1, .mode = MODE_STANDALONE, .state = STATE_SERVING};

    (void)error;
    (void)error_bytes;
    random_fill(&node->config.random, &node->identity, sizeof node->identity);
    random_fill(&node->config.random, &view.history, sizeof view.history);
    published_state_set(&node->published, &view);
    return 0;
}

size_t node_key_bytes(const struct node_config *config)
{
    /* One line a consumer: session keys, role keys (in whole lines). */
    return config->workers * native_udp_arena_bytes(config->sessions) +
           NODE_SECRETS_MAX * ((sizeof(struct role_keys) + 63) & ~(size_t)63);
}

static int start_keys(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;
    struct node_config *config = &node->config;

    if (keys_start() != 0) {
        snprintf(error, error_bytes, "libsodium does not start");
        return -1;
    }
    node->arena = key_arena_create(node_key_bytes(config), error, error_bytes);
    if (node->arena == NULL)
        return -1;
    for (unsigned i = 0; i < NODE_SECRETS_MAX && (i < config->secret_count || i == 0); i++) {
        node->keys[i] = key_arena_take(node->arena, sizeof *node->keys[i]);
        if (config->secret_count == 0)
            keys_insecure(node->keys[i]);
        else if (keys_from_secret(node->keys[i], config->secrets[i].text, config->secrets[i].length,
                                  config->cluster_name, error, error_bytes) != 0) {
            key_arena_destroy(node->arena);
            return -1;
        }
    }
    return 0;
}

static void stop_keys(void *subject)
{
    key_arena_destroy(((struct node *)subject)->arena);
}

static int start_table(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;
    struct table_config config = {
        .capacity = node->config.capacity,
        .first_lsn = first_lsn,
        .workers = node->config.workers,
        .evict = node->config.evict,
        .numa_node = node->config.numa_node,
        .huge_pages = node->config.huge_pages,
    };
    int failed;

    random_fill(&node->config.random, config.hash_key, sizeof config.hash_key);
    failed = table_create(&node->table, &config, &node->table_info);
    keys_wipe(config.hash_key, sizeof config.hash_key);
    if (failed != 0)
        snprintf(error, error_bytes, "no memory for a table of %llu items: lower --capacity",
                 (unsigned long long)node->config.capacity);
    return failed;
}

static void stop_table(void *subject)
{
    table_destroy(((struct node *)subject)->table);
}

static void stop_contexts(void *subject)
{
    struct node *node = subject;

    for (unsigned i = 0; i < node->config.workers; i++) {
        execute_context_destroy(node->worker[i].execute);
        log_ring_destroy(node->worker[i].log);
    }
}

static int start_contexts(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;

    (void)error;
    (void)error_bytes;
    for (unsigned i = 0; i < node->config.workers; i++) {
        struct node_worker *worker = &node->worker[i];

        worker->log = log_ring_create(NODE_LOG_RING_BYTES, node->config.numa_node);
        if (worker->log != NULL)
            worker->execute = execute_context_create(node->table, i, worker->log);
        if (worker->execute == NULL) {
            stop_contexts(node);
            return -1;
        }
    }
    return 0;
}

static int start_helper(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;

    (void)error;
    (void)error_bytes;
    node->helper = handshake_helper_create(node->config.workers, &node->identity, &node->config.random);
    return node->helper != NULL ? 0 : -1;
}

static void stop_helper(void *subject)
{
    handshake_helper_destroy(((struct node *)subject)->helper);
}

static int start_control(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;
    struct log_ring *rings[NODE_WORKERS_MAX];

    for (unsigned i = 0; i < node->config.workers; i++)
        rings[i] = node->worker[i].log;
    (void)error;
    (void)error_bytes;
    return control_start(&node->control, &node->config, rings, first_lsn);
}

static void stop_control(void *subject)
{
    control_stop(&((struct node *)subject)->control);
}

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
    for (unsigned p = 0; p < node->config.ports; p++) {
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
        };
    }
}

static void stop_workers(void *subject)
{
    struct node *node = subject;

    for (unsigned i = 0; i < node->config.workers; i++) {
        worker_destroy(node->worker[i].worker);
        kernel_worker_destroy(node->worker[i].kernel);
        native_udp_destroy(node->worker[i].service);
    }
}

/* What carries worker `i`'s datagrams: ports or sockets. 0, or -1: memory is short. */
static int start_transport(struct node *node, unsigned i)
{
    struct node_worker *worker = &node->worker[i];
    struct worker_config config = {
        .id = i,
        .udp_port = node->config.udp_port,
        .pool = node->config.pool,
        .to_control = node->control.from_workers,
        .counters = &worker->counters,
    };
    struct kernel_worker_config kernel = {
        .streams_max = NODE_STREAMS,
        .per_source_max = NODE_STREAMS_PER_SOURCE,
        .blocks_max = NODE_STREAM_BLOCKS,
        .send_bytes_max = NODE_STREAM_SEND_BYTES,
        .random = &node->config.random,
        .counters = &worker->counters,
        .numa_node = node->config.numa_node,
    };

    if (node->config.kernel != NULL) {
        kernel.sockets = node->config.kernel->sockets[i];
        worker->kernel = kernel_worker_create(&kernel, node->started);
        return worker->kernel != NULL ? 0 : -1;
    }
    worker_ports(node, i, &config);
    worker->worker = worker_create(&config, node->config.numa_node);
    return worker->worker != NULL ? 0 : -1;
}

static int start_worker(struct node *node, unsigned i)
{
    struct node_worker *worker = &node->worker[i];
    struct native_udp_config service = {
        .table = node->table,
        .execute = worker->execute,
        .published = &node->published,
        .keys = {node->keys[0], node->keys[1]},
        .arena = node->arena,
        .random = &node->config.random,
        .handshakes = handshake_helper_lane(node->helper, i),
        .counters = &worker->counters,
        .started_mono_ns = node->started.mono_ns,
        .sessions_max = node->config.sessions,
        .bench_mode = node->config.secret_count == 0,
    };

    if (start_transport(node, i) != 0)
        return -1;
    service.transmit =
        worker->kernel != NULL ? kernel_worker_transmit(worker->kernel) : worker_transmit(worker->worker, 0);
    worker->service = native_udp_create(&service);
    if (worker->service == NULL)
        return -1;
    if (worker->kernel != NULL)
        kernel_worker_set_service(worker->kernel, native_udp_service(worker->service));
    else
        worker_set_service(worker->worker, native_udp_service(worker->service));
    return 0;
}

/* Its handshake is done, and it may be asleep. Helper thread. */
static void wake_worker(void *state, unsigned i)
{
    kernel_wake(((struct node *)state)->worker[i].kernel);
}

static int start_workers(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;

    (void)error;
    (void)error_bytes;
    for (unsigned i = 0; i < node->config.workers; i++)
        if (start_worker(node, i) != 0) {
            stop_workers(node);
            return -1;
        }
    if (node->config.kernel != NULL)
        handshake_helper_notify(node->helper, (struct handshake_notice){node, wake_worker});
    return 0;
}

static const struct startup_step steps[] = {
    {"identity", start_identity, NULL},        {"keys", start_keys, stop_keys},
    {"table", start_table, stop_table},        {"log rings", start_contexts, stop_contexts},
    {"handshakes", start_helper, stop_helper}, {"control", start_control, stop_control},
    {"workers", start_workers, stop_workers},
};

int node_start(struct node **out, const struct node_config *config, struct instant now, char *error,
               size_t error_bytes)
{
    size_t bytes = sizeof(struct node) + config->workers * sizeof(struct node_worker);
    struct node *node = aligned_alloc(_Alignof(struct node), (bytes + 63) & ~(size_t)63);

    if (node == NULL) {
        snprintf(error, error_bytes, "not enough memory");
        return -1;
    }
    memset(node, 0, bytes);
    node->config = *config;
    node->started = now;
    if (startup_run(steps, sizeof steps / sizeof steps[0], node, &node->steps_done, error, error_bytes) !=
        0) {
        free(node);
        return -1;
    }
    node->config.secrets = NULL; /* the caller wipes them */
    *out = node;
    return 0;
}

void node_stop(struct node *node)
{
    if (node == NULL)
        return;
    startup_undo(steps, node, &node->steps_done);
    free(node);
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

unsigned node_worker_turn(struct node *node, unsigned i, struct instant now)
{
    struct node_worker *worker = &node->worker[i];
    /* acquire: pairs with release in node_drain() */
    bool draining = atomic_load_explicit(&node->draining, memory_order_acquire);
    unsigned frames =
        worker->kernel != NULL ? kernel_turn(worker->kernel, now) : worker_turn(worker->worker, now);

    if (now.mono_ns >= worker->sweep_due_ns)
        sweep(worker, now);
    if (unlikely(draining)) {
        if (worker->drain_until_ns == 0) {
            worker->drain_until_ns = now.mono_ns + WORKER_DRAIN_NS;
            if (worker->kernel != NULL)
                kernel_drain(worker->kernel);
        }
        if (frames == 0 || now.mono_ns >= worker->drain_until_ns)
            atomic_store_explicit(&worker->drained, true, memory_order_release);
    }
    return frames;
}

void node_worker_wait(struct node *node, unsigned i, unsigned timeout_ms)
{
    kernel_wait(node->worker[i].kernel, timeout_ms);
}

unsigned node_control_turn(struct node *node, struct instant now)
{
    return control_turn(&node->control, now);
}

bool node_helper_step(struct node *node)
{
    return handshake_helper_step(node->helper);
}

void node_drain(struct node *node)
{
    struct state_view view = published_state_get(&node->published);

    view.state = STATE_DRAINING;
    published_state_set(&node->published, &view);
    atomic_store_explicit(&node->draining, true, memory_order_release);
}

bool node_drained(const struct node *node)
{
    for (unsigned i = 0; i < node->config.workers; i++)
        if (!atomic_load_explicit(&node->worker[i].drained, memory_order_acquire))
            return false;
    return true;
}

/* ---- facts ---- */

void node_facts(const struct node *node, struct node_facts *out)
{
    static const char *const modes[] = {
        [MODE_STANDALONE] = "standalone", [MODE_PRIMARY] = "primary", [MODE_REPLICA] = "replica"};
    struct state_view view = published_state_get(&node->published);
    struct table_counts counts;

    table_counts(node->table, &counts);
    *out = (struct node_facts){
        .table = node->table_info,
        .lsn = counts.lsn,
        .items = counts.items,
        .epoch = view.epoch,
        .history = view.history,
        .log_records = node->control.log_records,
        .log_bytes = node->control.log_bytes,
        .mode = modes[view.mode],
    };
}

uint64_t node_counter(const struct node *node, enum counter which)
{
    uint64_t sum = counter_get(&node->control.counters, which);

    for (unsigned i = 0; i < node->config.workers; i++)
        sum += counter_get(&node->worker[i].counters, which);
    return sum;
}
