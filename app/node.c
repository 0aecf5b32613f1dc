/*
 * node.c - a node's start-up table, its turns and its end.
 */
#include "node_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control_streams.h"
#include "node_stats.h"
#include "node_worker.h"
#include "startup.h"

/* LSNs of a history start at a multiple of 2^32; a first start is history number one. */
static const uint64_t first_lsn = UINT64_C(1) << 32;

/* ---- start-up steps ---- */

static int start_identity(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;
    struct state_view view = {.epoch = 1, .mode = node->config.replication.mode};

    (void)error;
    (void)error_bytes;
    random_fill(&node->config.random, &node->identity, sizeof node->identity);
    random_fill(&node->config.random, &view.history, sizeof view.history);
    view.state = node->config.log.folder != NULL ? STATE_RECOVERING : STATE_SERVING;
    if (view.mode == MODE_REPLICA) {
        view.history = view.epoch = 0; /* its primary's, once it has it */
        view.state = STATE_CATCHING_UP;
    }
    published_state_set(&node->published, &view);
    node->stats = node_stats(node);
    return 0;
}

size_t node_key_bytes(const struct node_config *config)
{
    /* One line a consumer: keys of sessions and of connections, role keys (in whole lines), replication. */
    return config->workers * native_udp_arena_bytes(config->sessions) +
           config->workers * native_tcp_arena_bytes(config->connections) +
           NODE_SECRETS_MAX * ((sizeof(struct role_keys) + 63) & ~(size_t)63) +
           node_replication_key_bytes(config);
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
        .first_lsn =
            node->config.replication.mode == MODE_REPLICA ? 1 : first_lsn, /* it has none of its own */
        /* Who replays a log, or applies the primary's, is one too. */
        .workers = node->config.workers +
                   (node->config.log.folder != NULL || node->config.replication.mode == MODE_REPLICA),
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
    log_ring_destroy(node->control_log);
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
    if (!node_may_lead(node))
        return 0;
    node->control_log = log_ring_create(NODE_CONTROL_LOG_BYTES, node->config.numa_node);
    if (node->control_log != NULL)
        return 0;
    stop_contexts(node);
    return -1;
}

static int start_helper(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;

    (void)error;
    (void)error_bytes;
    node->helper = handshake_helper_create(NODE_HANDSHAKE_LANES(node->config.workers), &node->identity,
                                           &node->config.random);
    return node->helper != NULL ? 0 : -1;
}

static void stop_helper(void *subject)
{
    handshake_helper_destroy(((struct node *)subject)->helper);
}

static int start_control(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;
    struct log_ring *rings[NODE_WORKERS_MAX + 1];
    unsigned count = node->config.workers;

    for (unsigned i = 0; i < count; i++)
        rings[i] = node->worker[i].log;
    if (node->control_log != NULL)
        rings[count++] = node->control_log;
    (void)error;
    (void)error_bytes;
    return control_start(&node->control, &node->config, rings, count, first_lsn);
}

static void stop_control(void *subject)
{
    control_stop(&((struct node *)subject)->control);
}

static int start_log(void *subject, char *error, size_t error_bytes)
{
    return node_log_start(subject, error, error_bytes);
}

static void stop_log(void *subject)
{
    node_log_stop(subject);
}

static int start_replication(void *subject, char *error, size_t error_bytes)
{
    return node_replication_start(subject, error, error_bytes);
}

static void stop_replication(void *subject)
{
    node_replication_stop(subject);
    node_order_stop(subject);
}

static void stop_workers(void *subject)
{
    struct node *node = subject;

    for (unsigned i = 0; i < node->config.workers; i++)
        node_worker_stop(node, i);
    for (unsigned i = 0; i < node->config.workers; i++)
        rte_ring_free(node->worker[i].icmp_errors);
}

/* ICMP errors come by any queue: each worker gives them to all the others. */
static int start_icmp_rings(struct node *node)
{
    for (unsigned i = 0; node->config.workers > 1 && node->config.kernel == NULL && i < node->config.workers;
         i++) {
        char name[RTE_RING_NAMESIZE];

        snprintf(name, sizeof name, "icmp%u-%p", i, (void *)node);
        node->worker[i].icmp_errors =
            rte_ring_create_elem(name, sizeof(struct tcp_icmp_error), NODE_ICMP_RING_ERRORS,
                                 node->config.numa_node, RING_F_SC_DEQ);
        if (node->worker[i].icmp_errors == NULL)
            return -1;
    }
    return 0;
}

/* Its handshake is done, and it may be asleep. Helper thread. */
static void wake_worker(void *state, unsigned lane)
{
    struct node *node = state;

    kernel_wake(node->worker[lane % node->config.workers].kernel);
}

static int start_workers(void *subject, char *error, size_t error_bytes)
{
    struct node *node = subject;
    int failed = start_icmp_rings(node);

    (void)error;
    (void)error_bytes;
    for (unsigned i = 0; i < node->config.workers && failed == 0; i++)
        failed = node_worker_start(node, i);
    if (failed != 0) {
        stop_workers(node);
        return -1;
    }
    if (node->config.kernel != NULL)
        handshake_helper_notify(node->helper, (struct handshake_notice){node, wake_worker});
    return 0;
}

static const struct startup_step steps[] = {
    {"identity", start_identity, NULL},
    {"keys", start_keys, stop_keys},
    {"table", start_table, stop_table},
    {"log rings", start_contexts, stop_contexts},
    {"handshakes", start_helper, stop_helper},
    {"control", start_control, stop_control},
    {"log", start_log, stop_log},
    {"replication", start_replication, stop_replication},
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
    node->config.secrets = node->config.replication.secrets = NULL; /* the caller wipes them */
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

static void tell_identity(struct node *node)
{
    if (node->identity_untold)
        node->identity_untold = !handshake_helper_identify(node->helper, &node->identity);
}

void node_identify(struct node *node, const uint8_t cluster_id[CLUSTER_ID_BYTES], uint64_t node_id)
{
    memcpy(node->identity.cluster_id, cluster_id, sizeof node->identity.cluster_id);
    node->identity.node_id = node_id;
    node->identity_untold = true;
    tell_identity(node);
}

const char *node_why(const struct node *node)
{
    const char *why = node_log_why(&node->log);

    return why != NULL ? why : node_replication_why(node);
}

bool node_workers_drained(const struct node *node)
{
    for (unsigned i = 0; i < node->config.workers; i++)
        if (!atomic_load_explicit(&node->worker[i].drained, memory_order_acquire))
            return false;
    return true;
}

/* What roles there are is decided at the start: whom a replica asks may change. */
static unsigned obey(struct node *node)
{
    const struct node_order *order = node_order_pending(node);

    if (order == NULL)
        return 0;
    node_role_order(node, order);
    return 1;
}

unsigned node_control_turn(struct node *node, struct instant now)
{
    unsigned done = control_turn(&node->control, now) + obey(node);

    if (node->streams != NULL)
        done += control_streams_turn(node->streams, now);
    done += node_log_turn(&node->log, now);
    done += node_replication_turn(node, now);
    tell_identity(node);
    if (atomic_load_explicit(&node->draining, memory_order_relaxed) && node_workers_drained(node))
        node_log_finish(&node->log, now);
    return done;
}

int node_control_wait_fd(const struct node *node)
{
    return node->streams != NULL ? control_streams_wait_fd(node->streams) : -1;
}

bool node_control_takes_frames(const struct node *node)
{
    return node->streams != NULL && node->config.kernel == NULL;
}

bool node_control_has_frames(const struct node *node)
{
    return control_has_frames(&node->control);
}

uint64_t node_control_next_ns(const struct node *node)
{
    return node->streams != NULL ? control_streams_next_ns(node->streams) : UINT64_MAX;
}

bool node_helper_step(struct node *node)
{
    return handshake_helper_step(node->helper);
}

void node_drain(struct node *node)
{
    struct state_view view = published_state_get(&node->published);

    /* A node that may not answer, or not write, may not because it stops either: DRAINING allows both. */
    if (view.state == STATE_SERVING) {
        view.state = STATE_DRAINING;
        published_state_set(&node->published, &view);
    }
    atomic_store_explicit(&node->draining, true, memory_order_release);
}

bool node_drained(const struct node *node)
{
    return node_workers_drained(node) && node_log_closed(&node->log) && node_replication_drained(node);
}

/* ---- facts ---- */

void node_facts(const struct node *node, struct node_facts *out)
{
    static const char *const modes[] = {
        [MODE_STANDALONE] = "standalone", [MODE_PRIMARY] = "primary", [MODE_REPLICA] = "replica"};
    static const char *const states[] = {
        [STATE_SERVING] = "serving",         [STATE_RECOVERING] = "recovering",
        [STATE_CATCHING_UP] = "catching_up", [STATE_READ_ONLY] = "read_only",
        [STATE_FENCED] = "fenced",           [STATE_DRAINING] = "draining"};
    struct state_view view = published_state_get(&node->published);
    struct table_counts counts;

    table_counts(node->table, &counts);
    *out = (struct node_facts){
        .table = node->table_info,
        .lsn = node_log_last_lsn(&node->log, counts.lsn),
        .durable_lsn = node->log.log != NULL ? durable_log_facts(node->log.log).durable_lsn : counts.lsn,
        .items = counts.items,
        .epoch = view.epoch,
        .history = view.history,
        .log_records = node->control.log_records,
        .log_bytes = node->control.log_bytes,
        .mode = modes[view.mode],
        .state = states[view.state],
    };
}

uint64_t node_counter(const struct node *node, enum counter which)
{
    uint64_t sum = counter_get(&node->control.counters, which);

    for (unsigned i = 0; i < node->config.workers; i++)
        sum += counter_get(&node->worker[i].counters, which);
    return sum;
}
