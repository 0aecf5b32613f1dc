/*
 * replication_lag.h - for bench_replication: how long until readers of a replica may see a SET, where the
 * primary's worker, its control lcore and the replica's poll, each as if on a core of its own.
 *
 * Each has a clock, which passes as its turns take CPU time, and whoever is behind the others has the next
 * turn: so what it may see has happened. A burst of SETs comes every interval; its lag is the replica's clock
 * when it may be shown, less when it came.
 */
#ifndef WILD_BENCH_REPLICATION_LAG_H
#define WILD_BENCH_REPLICATION_LAG_H

#include "replication_cluster.h"
#include "seeded.h"

enum {
    LAG_ROUNDS = 7,
    LAG_BURSTS = 8 * 1000,
    LAG_DISK_NS = 100 * 1000,
    LAG_WIRE_NS = 10 * 1000,
    LAG_STEPS_MAX = 100 * 1000 * 1000,
};

static inline uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

enum lag_actor { LAG_WORKER, LAG_CONTROL, LAG_REPLICA, LAG_ACTORS };

struct lag {
    struct cluster *cluster;
    uint64_t *entropy;
    uint64_t clock_ns[LAG_ACTORS];
    uint64_t begin_ns, interval_ns, first_lsn; /* a burst of SETs comes every interval */
    unsigned asked, seen;
};

static inline uint64_t lag_comes_ns(const struct lag *lag, unsigned number)
{
    return lag->begin_ns + number * lag->interval_ns;
}

static inline void lag_worker(struct lag *lag)
{
    struct cluster *c = lag->cluster;
    struct station *primary = &c->station[0];
    uint64_t now_ns = RTE_MAX(lag->clock_ns[LAG_WORKER], lag_comes_ns(lag, lag->asked));
    struct instant now = {now_ns, CLUSTER_WALL_MS + now_ns / 1000000};

    for (unsigned i = 0; i < CLUSTER_BURST; i++)
        log_node_ask(&primary->n, OPCODE_SET, seeded_below(lag->entropy, c->keys));
    uint64_t begin = cpu_ns();
    node_worker_turn(primary->n.node, 0, now);
    lag->clock_ns[LAG_WORKER] = now_ns + cpu_ns() - begin;
    log_node_take(&primary->n);
    lag->asked++;
}

static inline void lag_control(struct lag *lag, unsigned station)
{
    struct station *s = &lag->cluster->station[station];
    uint64_t *clock_ns = &lag->clock_ns[station == 0 ? LAG_CONTROL : LAG_REPLICA];

    s->clock_ns = *clock_ns;
    uint64_t begin = cpu_ns();
    node_control_turn(s->n.node, station_now(s));
    *clock_ns += cpu_ns() - begin;
    cluster_switch(lag->cluster, station, *clock_ns + LAG_WIRE_NS);
}

static inline void lag_step(struct lag *lag)
{
    uint64_t worker_ns = RTE_MAX(lag->clock_ns[LAG_WORKER], lag_comes_ns(lag, lag->asked));
    uint64_t control_ns = lag->clock_ns[LAG_CONTROL], replica_ns = lag->clock_ns[LAG_REPLICA];

    if (lag->asked < LAG_BURSTS && worker_ns <= control_ns && worker_ns <= replica_ns)
        lag_worker(lag);
    else if (control_ns <= replica_ns)
        lag_control(lag, 0);
    else
        lag_control(lag, 1);
}

static inline void lag_round(struct cluster *c, uint64_t *entropy, double ns_a_set, double ms[LAG_BURSTS])
{
    struct lag lag = {
        .cluster = c, .entropy = entropy, .interval_ns = (uint64_t)(2 * CLUSTER_BURST * ns_a_set)};
    struct node_facts facts;

    cluster_settle(c);
    node_facts(c->station[0].n.node, &facts);
    lag.first_lsn = facts.lsn;
    lag.begin_ns = c->station[0].clock_ns;
    for (unsigned i = 0; i < LAG_ACTORS; i++)
        lag.clock_ns[i] = lag.begin_ns;
    for (unsigned steps = 0; lag.seen < LAG_BURSTS; steps++) {
        lag_step(&lag);
        if (steps % 256 == 0)
            node_housekeeping_step(c->station[0].n.node);
        uint64_t shown = c->station[1].n.node->replication.following.lsn;
        for (; lag.seen < lag.asked && shown >= lag.first_lsn + (lag.seen + 1) * CLUSTER_BURST; lag.seen++)
            ms[lag.seen] = (double)(lag.clock_ns[LAG_REPLICA] - lag_comes_ns(&lag, lag.seen)) / 1e6;
        log_node_must(steps < LAG_STEPS_MAX, "the replica does not keep up");
    }
    log_node_must(c->station[0].n.refused == 0 && c->lost == 0, "a SET was refused, or the switch was full");
    c->station[0].clock_ns = c->station[1].clock_ns =
        RTE_MAX(lag.clock_ns[LAG_CONTROL], lag.clock_ns[LAG_REPLICA]);
}

/* Several rounds: a turn in which the machine beneath had no time for this one is long, and a percentile
 * remembers it. */
static inline void lag(struct cluster *c, uint64_t *entropy, double ns_a_set)
{
    static double ms[LAG_BURSTS];
    double p50[LAG_ROUNDS], p99[LAG_ROUNDS];

    c->station[0].disk.write_ns = LAG_DISK_NS;
    for (unsigned i = 0; i < LAG_ROUNDS; i++) {
        lag_round(c, entropy, ns_a_set, ms);
        p50[i] = bench_quantile(ms, LAG_BURSTS, 0.5);
        p99[i] = bench_quantile(ms, LAG_BURSTS, 0.99);
    }
    printf("# lag at %.2f M SETs/s: p50 %.3f ms, p99 of the best round %.3f ms, of the worst %.3f ms\n",
           1e3 / (2 * ns_a_set), bench_quantile(p50, LAG_ROUNDS, 0.5), bench_quantile(p99, LAG_ROUNDS, 0),
           bench_quantile(p99, LAG_ROUNDS, 1));
    bench_print("replication_lag_p99", bench_quantile(p99, LAG_ROUNDS, 0.5), 1);
}

#endif
