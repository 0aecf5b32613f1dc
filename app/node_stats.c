/*
 * node_stats.c - counters summed over the workers, and the gauges. Any worker asks; nothing blocks.
 */
#include "node_stats.h"

static uint64_t counter(void *state, enum counter which)
{
    return node_counter(state, which);
}

static uint64_t sum_connections(const struct node *node, enum stats_gauge which)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < node->config.workers; i++) {
        const struct node_worker *worker = &node->worker[i];
        const _Atomic uint32_t *count = which == STATS_tcp_connections ? &worker->tcp_connections
                                        : which == STATS_tcp_half_open ? &worker->tcp_half_open
                                                                       : &worker->tcp_time_wait;

        sum += atomic_load_explicit(count, memory_order_relaxed);
    }
    return sum;
}

static uint64_t uptime_seconds(const struct node *node)
{
    uint64_t latest = node->started.mono_ns;

    for (unsigned i = 0; i < node->config.workers; i++) {
        uint64_t seen = atomic_load_explicit(&node->worker[i].seen_ns, memory_order_relaxed);

        latest = seen > latest ? seen : latest;
    }
    return (latest - node->started.mono_ns) / 1000000000;
}

static uint64_t sum_executed(const struct node *node, enum stats_gauge which)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < node->config.workers; i++) {
        const struct execute_counters *counters = execute_counters(node->worker[i].execute);
        const _Atomic uint64_t *count = which == STATS_busy_log_full    ? &counters->busy_log_full
                                        : which == STATS_busy_contended ? &counters->busy_contended
                                        : which == STATS_busy_readers   ? &counters->busy_readers
                                        : which == STATS_evicted        ? &counters->evicted
                                                                        : &counters->expired;

        sum += atomic_load_explicit(count, memory_order_relaxed);
    }
    return sum;
}

static uint64_t free_bytes(const struct node_log_shown *shown)
{
    uint64_t bytes = atomic_load_explicit(&shown->free_bytes, memory_order_relaxed);

    return bytes != UINT64_MAX ? bytes : 0;
}

static uint64_t log_gauge(const struct node *node, enum stats_gauge which, uint64_t lsn)
{
    const struct node_log_shown *shown = &node->log.shown;
    bool has_log = node->config.log.folder != NULL;

    switch (which) {
    case STATS_durable_lsn:
        return has_log ? atomic_load_explicit(&shown->durable_lsn, memory_order_relaxed) : lsn;
    case STATS_log_state:
        return has_log ? 1u + atomic_load_explicit(&shown->wal_state, memory_order_relaxed) : 0;
    case STATS_log_free_bytes:
        return free_bytes(shown);
    case STATS_log_bytes:
        return atomic_load_explicit(&shown->bytes, memory_order_relaxed);
    case STATS_log_blocks:
        return atomic_load_explicit(&shown->blocks, memory_order_relaxed);
    case STATS_snapshots:
        return atomic_load_explicit(&shown->snapshots, memory_order_relaxed);
    case STATS_snapshots_failed:
        return atomic_load_explicit(&shown->snapshots_failed, memory_order_relaxed);
    default:
        return atomic_load_explicit(&shown->snapshot_lsn, memory_order_relaxed);
    }
}

static uint64_t shown(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static uint64_t gauge(void *state, enum stats_gauge which)
{
    struct node *node = state;
    struct table_counts counts;

    table_counts(node->table, &counts);
    switch (which) {
    case STATS_items:
        return counts.items;
    case STATS_capacity_items:
        return counts.capacity;
    case STATS_lines_used:
        return counts.lines_used;
    case STATS_lsn:
        return node_log_last_lsn(&node->log, counts.lsn);
    case STATS_busy_log_full:
    case STATS_busy_contended:
    case STATS_busy_readers:
    case STATS_evicted:
    case STATS_expired:
        return sum_executed(node, which);
    case STATS_durable_lsn:
    case STATS_log_state:
    case STATS_log_bytes:
    case STATS_log_free_bytes:
    case STATS_log_blocks:
    case STATS_snapshots:
    case STATS_snapshots_failed:
    case STATS_snapshot_lsn:
        return log_gauge(node, which, counts.lsn);
    case STATS_epoch:
        return published_state_get(&node->published).epoch;
    case STATS_replicas:
        return shown(&node->replication.shown.replicas);
    case STATS_replicas_serving:
        return shown(&node->replication.shown.replicas_serving);
    case STATS_replicated_lsn:
        return shown(&node->replication.shown.replicated_lsn);
    case STATS_lag_lsn:
        return shown(&node->replication.shown.lag_lsn);
    case STATS_lag_ms:
        return shown(&node->replication.shown.lag_ms);
    case STATS_workers:
        return node->config.workers;
    case STATS_tcp_connections:
    case STATS_tcp_half_open:
    case STATS_tcp_time_wait:
        return sum_connections(node, which);
    case STATS_uptime_seconds:
        return uptime_seconds(node);
    case STATS_GAUGE_COUNT:
        break;
    }
    return 0;
}

static struct stats_node describe(void *state)
{
    const struct node *node = state;
    struct state_view view = published_state_get(&node->published);

    return (struct stats_node){
        .mode = view.mode, .state = view.state, .why = view.state == STATE_READ_ONLY ? node_why(node) : NULL};
}

static struct stats_more replication_counter(void *state, unsigned which)
{
    static const struct stats_more rows[] = {
#define ROW(name, help) {"replication_" #name, help, 0},
        REPLICATION_COUNTER_LIST(ROW)
#undef ROW
    };
    const struct node *node = state;
    struct stats_more more = rows[which];

    more.value = replication_counted(&node->replication.counters, which);
    return more;
}

struct stats_source node_stats(struct node *node)
{
    struct stats_source source = {
        .state = node, .version = node->config.version, .counter = counter, .gauge = gauge, .node = describe};

    if (node->config.replication.mode != MODE_STANDALONE) {
        source.more_count = REPLICATION_COUNTERS;
        source.more = replication_counter;
    }
    return source;
}

void node_stats_publish(struct node_worker *worker, struct instant now)
{
    struct tcp_counts counts = {0};

    if (worker->tcp != NULL)
        counts = tcp_counts(worker->tcp);
    else if (worker->kernel != NULL)
        counts.connections = kernel_counts(worker->kernel).streams;
    atomic_store_explicit(&worker->tcp_connections, counts.connections, memory_order_relaxed);
    atomic_store_explicit(&worker->tcp_half_open, counts.half_open, memory_order_relaxed);
    atomic_store_explicit(&worker->tcp_time_wait, counts.time_wait, memory_order_relaxed);
    atomic_store_explicit(&worker->seen_ns, now.mono_ns, memory_order_relaxed);
}
