/*
 * bench_replication - what replication costs a primary, and how fast a replica is.
 *
 *   replication_worker_set        cycles of the primary's worker for a SET while one replica is streamed to ÷ without
 *                                 one; its frames come to the control lcore by a queue of its own
 *   replication_worker_set_ring   the same where the worker hands them over (no such queue, or no rule for it)
 *   replication_frozen_set, _get  SETs and GETs a second of the primary's worker with a replica that is connected and
 *                                 takes nothing, its send buffer full ÷ with a healthy one
 *   replication_replica_get       GETs a second of a replica's worker while the control lcore applies ÷ of its
 *                                 primary's while that writes the same
 *   replication_apply             records a second that a replica's control lcore applies ÷ SETs a second of one
 *                                 worker of its primary's
 *   replication_apply_most        the same ÷ what its primary's control lcore can log and stream to it, however many
 *                                 workers there are
 *   replication_bootstrap         seconds from WELCOME until an empty replica serves a full table of 32 MiB, both
 *                                 nodes on one core
 *   replication_lag_p99           ms until readers of a replica may see a SET, at half of the rate that one worker and
 *                                 the control lcore of the primary can do
 *
 * The worker that is timed has one core; everything else has the other one, and they take turns: neither is
 * timed while the other one runs, and each has its own caches. The log is on a disk in memory and
 * acknowledged at once.
 *
 * The last two are in the cluster's time, as one core cannot be three: it passes as turns take CPU time, so
 * what else the machine does is not in it. Bootstrap: the sum of all turns, and the housekeeper's pauses.
 * Lag: worker, control and the replica's control poll, each as if on a core of its own; a write to the disk
 * takes 100 us, a frame's way 10 us.
 *
 * 8-byte keys, 32-byte values, keys drawn uniformly, tables of 12 MiB half full but for the bootstrap.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include <rte_lcore.h>

#include "replication_cluster.h"
#include "replication_lag.h"
#include "seeded.h"

enum {
    TABLE_MIB = 12,
    WINDOWS = 61,
    HAND_OVERS = 32, /* a window */
    BURSTS = 16,     /* SETs in between: 512, and as many GETs */
    POOL_FRAMES = 32767,
    BOOTSTRAP_MIB = 32,
    BOOTSTRAPS = 5,
    BOOTSTRAP_IDLE_NS = 5 * 1000,
};

static struct rte_mempool *pool;
static uint64_t entropy;

static void pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* with one core all share it */
}

/* ---- the other core ---- */

struct elsewhere {
    pthread_t thread;
    sem_t go, done;
    void (*work)(struct cluster *c); /* NULL: the end */
    struct cluster *cluster;
};

static void *elsewhere_thread(void *argument)
{
    struct elsewhere *e = argument;

    pin(1);
    rte_thread_register(); /* frames from a cache of its own, as lcores have them */
    for (sem_wait(&e->go); e->work != NULL; sem_wait(&e->go)) {
        e->work(e->cluster);
        sem_post(&e->done);
    }
    rte_thread_unregister();
    return NULL;
}

static void elsewhere_start(struct elsewhere *e)
{
    sem_init(&e->go, 0, 0);
    sem_init(&e->done, 0, 0);
    log_node_must(pthread_create(&e->thread, NULL, elsewhere_thread, e) == 0, "no thread");
}

static void elsewhere_do(struct elsewhere *e, void (*work)(struct cluster *c), struct cluster *c)
{
    e->work = work;
    e->cluster = c;
    sem_post(&e->go);
    while (sem_wait(&e->done) != 0)
        ;
}

static void elsewhere_stop(struct elsewhere *e)
{
    e->work = NULL;
    sem_post(&e->go);
    pthread_join(e->thread, NULL);
}

/* ---- windows ---- */

struct cost {
    uint64_t cycles, requests;
};

static double each(uint64_t cycles, uint64_t of)
{
    return of > 0 ? (double)cycles / (double)of : 0;
}

static double cost_each(const struct cost *cost)
{
    log_node_must(cost->requests > 0, "no turn was alone on its core");
    return each(cost->cycles, cost->requests);
}

/* One turn of a node's worker. Its cycles; 0: others had the core. */
static uint64_t turn(struct cluster *c, struct station *s)
{
    uint64_t cycles = station_worker_turn(s);

    if (c->ring)
        cluster_switch(c, (unsigned)(s - c->station), 0);
    log_node_take(&s->n);
    cluster_pass_time(c, cycles * 1000 / (rte_get_tsc_hz() / 1000000));
    return cycles;
}

/* Frames of replication that have come by the worker: a part of what its SETs cost. */
static void hand_over(struct cluster *c, struct station *s, struct cost *cost)
{
    while (cluster_hand_in(c, s))
        cost->cycles += turn(c, s);
}

/* One burst of requests at a node's worker. */
static void burst(struct cluster *c, struct station *s, enum opcode opcode, struct cost *cost)
{
    for (unsigned i = 0; i < CLUSTER_BURST; i++)
        log_node_ask(&s->n, opcode, seeded_below(&entropy, c->keys));
    uint64_t cycles = turn(c, s);
    cost->cycles += cycles;
    cost->requests += cycles > 0 ? CLUSTER_BURST : 0;
}

struct window {
    double set, get, control, apply; /* cycles each: the worker's two, a record on the two control lcores */
};

static unsigned answers(const struct log_node *n)
{
    log_node_must(n->refused == 0, "a request was refused");
    return n->sets + n->gets;
}

static struct window primary_window(struct cluster *c, struct elsewhere *e)
{
    struct station *primary = &c->station[0];
    struct cost set = {0}, get = {0};
    unsigned before = answers(&primary->n);

    c->primary_cycles = c->primary_records = c->replica_cycles = c->replica_records = 0;
    for (unsigned i = 0; i < HAND_OVERS; i++) {
        hand_over(c, primary, &set);
        for (unsigned j = 0; j < BURSTS; j++) {
            burst(c, primary, OPCODE_GET, &get);
            burst(c, primary, OPCODE_SET, &set);
        }
        elsewhere_do(e, cluster_others, c);
    }
    log_node_must(answers(&primary->n) - before == 2 * HAND_OVERS * BURSTS * CLUSTER_BURST,
                  "a request was not answered");
    return (struct window){cost_each(&set), cost_each(&get), each(c->primary_cycles, c->primary_records),
                           each(c->replica_cycles, c->replica_records)};
}

static void writes_and_others(struct cluster *c)
{
    struct cost unused = {0};

    for (unsigned j = 0; j < BURSTS; j++)
        burst(c, &c->station[0], OPCODE_SET, &unused);
    cluster_others(c);
}

/* Cycles of a GET at the first replica while it applies as much as in primary_window(). Every other burst
 * counts, as there: what the caches have lost while the other core worked weighs the same. */
static double replica_window(struct cluster *c, struct elsewhere *e)
{
    struct station *replica = &c->station[1];
    struct cost get = {0}, unused = {0};
    unsigned before = answers(&replica->n);

    for (unsigned i = 0; i < HAND_OVERS; i++) {
        elsewhere_do(e, writes_and_others, c);
        for (unsigned j = 0; j < 2 * BURSTS; j++)
            burst(c, replica, OPCODE_GET, j % 2 == 0 ? &get : &unused);
    }
    log_node_must(answers(&replica->n) - before == 2 * HAND_OVERS * BURSTS * CLUSTER_BURST,
                  "a GET was not answered at the replica");
    return cost_each(&get);
}

/* Each window comes behind one like it that does not count: caches are of what is measured then. */
static struct window warm_window(struct cluster *c, struct elsewhere *e)
{
    primary_window(c, e);
    return primary_window(c, e);
}

static uint64_t sent_bytes(const struct cluster *c)
{
    return replication_counted(&c->station[0].n.node->replication.counters, REPLICATION_sent_bytes);
}

/* The replica takes nothing until the window is over. What fits between the two is on its way when that which
 * counts begins. */
static struct window frozen_window(struct cluster *c, struct elsewhere *e)
{
    c->station[1].frozen = true;
    warm_window(c, e);
    uint64_t sent = sent_bytes(c);
    struct window window = primary_window(c, e);
    log_node_must(c->replica_records == 0 && sent_bytes(c) == sent, "a frozen replica is sent more");
    c->station[1].frozen = false;
    cluster_settle(c);
    return window;
}

static void check_sessions(const struct cluster *c)
{
    const struct replication_counters *counters = &c->station[0].n.node->replication.counters;

    log_node_must(replication_counted(counters, REPLICATION_sessions) == c->count - 1 &&
                      replication_counted(counters, REPLICATION_timed_out) == 0 &&
                      replication_counted(counters, REPLICATION_cut) == 0 &&
                      replication_counted(counters, REPLICATION_too_slow) == 0 && c->lost == 0,
                  "a session has ended meanwhile, or the switch was full");
}

/* ---- a bootstrap ---- */

/* As lcores.c has it. */
static uint64_t housekeeper_pause_ns(enum node_housekeeping step)
{
    return step == NODE_HOUSEKEEPING_WORKED ? 0 : step == NODE_HOUSEKEEPING_THROTTLE ? 500000 : 2000000;
}

struct took {
    double all_s, cpu_s;
};

static struct took bootstrap_once(struct cluster *c)
{
    struct station *primary = &c->station[0], *replica = &c->station[1];
    uint64_t start_ns = primary->clock_ns, cpu_start = cpu_ns(), idle_ns = 0, step_due_ns = 0;
    uint64_t welcome_ns = 0, welcome_cpu = 0, all = 0, cpu;
    struct node_facts ours, theirs;
    struct replica_facts facts;

    cluster_add(c);
    node_facts(primary->n.node, &ours);
    do {
        uint64_t now_ns = start_ns + (cpu = cpu_ns() - cpu_start) + idle_ns, unused = 0;
        cluster_pass_time(c, now_ns - primary->clock_ns);
        replica->clock_ns = now_ns;
        unsigned done = station_control_turn(primary, &unused, &unused);
        if (now_ns >= step_due_ns)
            step_due_ns = now_ns + housekeeper_pause_ns(node_housekeeping_step(primary->n.node));
        cluster_switch(c, 0, 0);
        done += node_worker_turn(replica->n.node, 0, station_now(replica));
        done += station_control_turn(replica, &unused, &unused);
        cluster_switch(c, 1, 0);
        if (done == 0 && step_due_ns > now_ns)
            idle_ns += BOOTSTRAP_IDLE_NS;
        replica_facts(replica->n.node->replication.following.replica, &facts);
        if (welcome_ns == 0 && facts.phase >= REPLICA_HIDING) {
            welcome_ns = now_ns;
            welcome_cpu = cpu;
        }
        all = now_ns - welcome_ns;
        log_node_must(cpu < UINT64_C(60000000000), "a replica does not get its snapshot");
    } while (!station_follows(replica, ours.lsn));
    node_facts(replica->n.node, &theirs);
    log_node_must(theirs.items == ours.items, "the replica's table is not the primary's");
    cluster_remove(c);
    return (struct took){(double)all / 1e9, (double)(cpu - welcome_cpu) / 1e9};
}

static void bootstrap(void)
{
    static struct cluster c;
    double all[BOOTSTRAPS], cpu[BOOTSTRAPS];
    uint64_t capacity = table_capacity_for((uint64_t)BOOTSTRAP_MIB << 20);

    cluster_start(&c, pool, 0, false, capacity, capacity);
    log_node_must(node_snapshot(c.station[0].n.node), "there is no log");
    while (c.station[0].n.node->log.shown.snapshots == 0)
        cluster_turn(&c);
    for (unsigned i = 0; i < BOOTSTRAPS; i++) {
        struct took took = bootstrap_once(&c);
        all[i] = took.all_s;
        cpu[i] = took.cpu_s;
    }
    printf("# bootstrap of %llu items: %.3f s, of which %.3f s are CPU time of both nodes\n",
           (unsigned long long)capacity, bench_quantile(all, BOOTSTRAPS, 0.5),
           bench_quantile(cpu, BOOTSTRAPS, 0.5));
    bench_print("replication_bootstrap", bench_quantile(all, BOOTSTRAPS, 0.5), 2);
    cluster_stop(&c);
}

/* ---- all of it ---- */

struct figures {
    double set[WINDOWS], get[WINDOWS], control[WINDOWS], apply[WINDOWS];
};

static void note(struct figures *figures, unsigned i, struct window window)
{
    figures->set[i] = window.set;
    figures->get[i] = window.get;
    figures->control[i] = window.control;
    figures->apply[i] = window.apply;
}

static double median(const double *values)
{
    double sorted[WINDOWS];

    memcpy(sorted, values, sizeof sorted);
    return bench_quantile(sorted, WINDOWS, 0.5);
}

/* Of the ratios of each turn. */
static double median_ratio(const double *above, const double *below)
{
    double ratio[WINDOWS];

    for (unsigned i = 0; i < WINDOWS; i++)
        ratio[i] = above[i] / below[i];
    return bench_quantile(ratio, WINDOWS, 0.5);
}

enum { NONE, ONE, FROZEN, RING, THREE, CLUSTERS };

static void print_all(const struct figures *figures, const double *replica_get)
{
    static const char *const names[] = {"no replica", "one", "one, frozen", "one, by the workers", "three"};

    for (unsigned i = 0; i < CLUSTERS; i++)
        printf("# %s: worker %.0f cycles a SET, %.0f a GET; control lcore %.0f a record\n", names[i],
               median(figures[i].set), median(figures[i].get), median(figures[i].control));
    printf("# streaming: %.0f cycles of the control lcore a record for one replica, %.0f for three\n",
           median(figures[ONE].control) - median(figures[NONE].control),
           median(figures[THREE].control) - median(figures[NONE].control));
    printf("# replica: %.0f cycles a record applied, %.0f a GET\n", median(figures[ONE].apply),
           median(replica_get));
    bench_print("replication_worker_set", median_ratio(figures[ONE].set, figures[NONE].set), 1.05);
    bench_print("replication_worker_set_ring", median_ratio(figures[RING].set, figures[NONE].set), 1.05);
    bench_print_rate("replication_frozen_set", median_ratio(figures[ONE].set, figures[FROZEN].set), 0.99);
    bench_print_rate("replication_frozen_get", median_ratio(figures[ONE].get, figures[FROZEN].get), 0.99);
    bench_print_rate("replication_replica_get", median_ratio(figures[ONE].get, replica_get), 0.95);
    bench_print_rate("replication_apply", median_ratio(figures[ONE].set, figures[ONE].apply), 1);
    bench_print_rate("replication_apply_most", median_ratio(figures[ONE].control, figures[ONE].apply), 1);
}

int main(void)
{
    static const unsigned replicas[CLUSTERS] = {0, 1, 1, 1, 3};
    static struct cluster cluster[CLUSTERS];
    static struct figures figures[CLUSTERS];
    static double replica_get[WINDOWS];
    static struct elsewhere elsewhere;
    uint64_t capacity = table_capacity_for((uint64_t)TABLE_MIB << 20);

    test_eal_start_with(1024);
    pin(0);
    pool = rte_pktmbuf_pool_create("bench", POOL_FRAMES, 256, TEST_EAL_PRIVATE_BYTES,
                                   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    log_node_must(pool != NULL, "no memory for frames");
    entropy = seeded_start(seeded_from_environment(1));
    elsewhere_start(&elsewhere);
    for (unsigned i = 0; i < CLUSTERS; i++)
        cluster_start(&cluster[i], pool, replicas[i], i == RING, capacity, capacity / 2);
    for (unsigned i = 0; i < WINDOWS; i++) {
        note(&figures[NONE], i, warm_window(&cluster[NONE], &elsewhere));
        note(&figures[ONE], i, warm_window(&cluster[ONE], &elsewhere));
        replica_window(&cluster[ONE], &elsewhere);
        replica_get[i] = replica_window(&cluster[ONE], &elsewhere);
        note(&figures[FROZEN], i, frozen_window(&cluster[FROZEN], &elsewhere));
        note(&figures[RING], i, warm_window(&cluster[RING], &elsewhere));
        note(&figures[THREE], i, warm_window(&cluster[THREE], &elsewhere));
    }
    elsewhere_stop(&elsewhere);
    for (unsigned i = 0; i < CLUSTERS; i++)
        check_sessions(&cluster[i]);
    print_all(figures, replica_get);
    lag(&cluster[ONE], &entropy,
        1e9 / (double)rte_get_tsc_hz() * RTE_MAX(median(figures[ONE].set), median(figures[ONE].control)));
    for (unsigned i = 0; i < CLUSTERS; i++)
        cluster_stop(&cluster[i]);
    bootstrap();
    return 0;
}
