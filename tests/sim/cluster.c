/*
 * cluster.c - whole nodes in one process under a virtual clock: a primary with a log and its replicas, with
 * logs of their own or without, on disks that crash, tear, fill up and fail, over links that lose, repeat,
 * delay, corrupt and are cut, one way or both. Clients write and read at once; nodes die, in the middle of a
 * disk's call too, restart, stop and go on; an operator promotes, demotes, points replicas elsewhere, and
 * starts folders in another part. Seed by seed; checked are
 *
 *   - nothing that was acknowledged is lost, at any instant, but where the operator gave it up (cluster.h:
 *     strict), and then it is LOST or absent
 *   - what clients saw of each key can have happened one call after the other (linear.h), across crashes and
 *     promotions
 *   - a read with min_lsn shows no less, whoever answers; what somebody was shown nobody takes back
 *   - a counter has counted every acknowledged INCR once, and no other more than once
 *   - once all is well again somebody leads and everybody follows it, in bounded time; the tables are alike,
 *     item by item
 *   - nothing is left behind: frames
 *
 *   WILD_SEED=N       that seed alone, with its steps; WILD_SEEDS=M: so many from 1 (or WILD_SEED) on
 */
#include "cluster.h"

#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/seeded.h"
#include "../unit/test_eal.h"

enum {
    ROUNDS = 40,
#ifdef __SANITIZE_ADDRESS__
    SEEDS = 40, /* its cost is five times as high, and the seeds are the same */
#else
    SEEDS = 200,
#endif
    POOL_FRAMES = 16383,
    /* An ARP answer, which has no checksum, is believed for 30 s (neighbour.h) though a bit of it was turned
     * over; then come probes, one connection that times out, and the back-off. */
    CONVERGE_MS = 30000 + 15000,
    UNTIE_ROUNDS = 500, /* of ten ms */
};

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

uint64_t below(struct cluster *c, uint64_t bound)
{
    return seeded_below(&c->entropy, bound);
}

void fail(const struct cluster *c, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "cluster: seed %llu at %.3f s: ", (unsigned long long)c->seed,
            (double)c->hub.now.mono_ns / 1e9);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (WILD_SEED=%llu replays it)\n", (unsigned long long)c->seed);
    exit(1);
}

void tell(const struct cluster *c, const char *format, ...)
{
    va_list arguments;

    if (!c->tell)
        return;
    printf("%10.3f ", (double)c->hub.now.mono_ns / 1e9);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void pass_ms(struct cluster *c, unsigned ms)
{
    for (uint64_t until_ns = c->hub.now.mono_ns + UINT64_C(1000000) * ms; c->hub.now.mono_ns < until_ns;) {
        hub_step(&c->hub);
        watch_turn(c);
        faults_turn(c);
        clients_turn(c);
        operator_turn(c);
    }
}

/* ---- rounds ---- */

static void work(struct cluster *c)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        c->client[i].left += 1 + (unsigned)below(c, 24);
}

static unsigned any_node(struct cluster *c)
{
    return (unsigned)below(c, c->nodes);
}

static void one_round(struct cluster *c)
{
    switch (below(c, 24)) {
    case 0:
        bad_links(c);
        break;
    case 1:
        cut_links(c);
        break;
    case 2:
    case 3:
        heal(c);
        tell(c, "all is well");
        break;
    case 4:
        die(c, c->leader, below(c, 2) == 0 ? 0 : (unsigned)below(c, 2000));
        break;
    case 5:
        die(c, any_node(c), below(c, 2) == 0 ? 0 : (unsigned)below(c, 2000));
        break;
    case 6:
        stop_for_a_while(c, any_node(c));
        break;
    case 7:
        if (below(c, 2) == 0)
            disk_trouble(c);
        break;
    case 8:
        die_soon(c, any_node(c));
        break;
    case 9:
    case 10:
        pass_ms(c, 1 + (unsigned)below(c, 1500));
        break;
    case 11:
    case 12:
    case 13:
        operate(c);
        break;
    default:
        work(c);
        pass_ms(c, 1 + (unsigned)below(c, below(c, 4) == 0 ? 1000 : 100));
        break;
    }
}

/* ---- all is well again ---- */

static unsigned converge(struct cluster *c)
{
    uint64_t began_ns = c->hub.now.mono_ns;
    unsigned leader, rounds = 0;

    heal(c);
    tell(c, "all is well, for good");
    leader = operator_mends(c);
    tell(c, "node %u leads at last", leader);
    for (bool level = false; !level;) {
        level = clients_idle(c) && watch_leads(c, leader);
        for (unsigned i = 0; i < c->nodes; i++)
            level &= i == leader || watch_is_level(c, i, leader);
        if (c->hub.now.mono_ns - began_ns >= UINT64_C(1000000) * CONVERGE_MS)
            watch_tell(c);
        must(c, c->hub.now.mono_ns - began_ns < UINT64_C(1000000) * CONVERGE_MS, "the nodes do not converge");
        if (!level)
            pass_ms(c, 10);
        if (!level && ++rounds % UNTIE_ROUNDS == 0)
            leader = operator_unties(c, leader);
    }
    c->counts.waited_ms += (c->hub.now.mono_ns - began_ns) / 1000000;
    return leader;
}

/* Everything once more, at every node. */
static void verify(struct cluster *c, unsigned leader)
{
    uint64_t counter[COUNTERS];

    watch_compare_tables(c, leader);
    for (unsigned i = 0; i < c->nodes; i++)
        for (unsigned key = 0; key < KEYS; key++)
            clients_read(c, i, key);
    for (unsigned i = 0; i < COUNTERS; i++)
        counter[i] = clients_count(c, leader, i);
    journal_check(c, counter);
}

/* ---- seeds ---- */

/* Three nodes, sometimes two or five; replicas with a log, some of them, or none. */
static void make_plan(struct cluster *c, struct hub_part parts[NODES_MAX])
{
    unsigned dice = (unsigned)below(c, 8), kind = (unsigned)below(c, 6), logged;

    c->nodes = dice == 0 ? 2 : dice == 1 ? 5 : 3;
    c->strict = below(c, 3) != 0;
    logged = kind == 0 ? 1 : kind == 1 && c->nodes > 2 ? c->nodes - 1 : c->nodes;
    for (unsigned i = 0; i < c->nodes; i++) {
        parts[i] = (struct hub_part){.mode = i == 0 ? MODE_PRIMARY : MODE_REPLICA};
        parts[i].log = i < logged;
        c->logged += parts[i].log;
    }
    c->ack_applied = c->logged == 1;
    c->min_replicas = (unsigned)below(c, c->ack_applied ? 2 : 3);
    if (!c->ack_applied && c->min_replicas > c->logged - 1)
        c->min_replicas = c->logged - 1;
    for (unsigned i = 0; i < c->nodes; i++) {
        parts[i].min_replicas = c->min_replicas;
        parts[i].ack_applied = c->ack_applied;
    }
    tell(c, "%u nodes, %u with a log, K = %u%s, %s", c->nodes, c->logged, c->min_replicas,
         c->ack_applied ? " applied" : "", c->strict ? "strict" : "not strict");
}

static struct cluster *new_cluster(struct rte_mempool *pool, uint64_t seed, bool tell)
{
    struct cluster *c = calloc(1, sizeof *c);

    if (c == NULL)
        abort();
    c->pool = pool;
    c->seed = seed;
    c->tell = tell;
    c->entropy = seeded_start(seed);
    c->next_value = 1;
    return c;
}

static void begin(struct cluster *c, const struct hub_part *parts)
{
    hub_start_cluster(&c->hub, c->pool, c->nodes, c->seed, secret, parts, SPACE);
    clients_start(c, secret);
    must(c, hub_serves(&c->hub, 0), "the primary does not serve: %s", c->hub.error);
}

static struct cluster *start(struct rte_mempool *pool, uint64_t seed, bool tell)
{
    struct cluster *c = new_cluster(pool, seed, tell);
    struct hub_part parts[NODES_MAX];

    make_plan(c, parts);
    begin(c, parts);
    return c;
}

static void stop(struct cluster *c)
{
    hub_stop(&c->hub);
    for (unsigned i = 0; i < KEYS; i++)
        free(c->known[i]);
    free(c->call);
    free(c);
}

static void add_up(struct cluster_counts *sum, const struct cluster_counts *counts)
{
#define CLUSTER_ADD(name, text) sum->name += counts->name;
    CLUSTER_COUNTS(CLUSTER_ADD)
#undef CLUSTER_ADD
}

static void add_faults(struct hub_fault_counts *sum, const struct hub_fault_counts *counts)
{
    sum->lost += counts->lost;
    sum->repeated += counts->repeated;
    sum->delayed += counts->delayed;
    sum->corrupted += counts->corrupted;
    sum->cut += counts->cut;
}

struct totals {
    struct cluster_counts counts;
    struct hub_fault_counts faults;
    uint64_t seeds, strict, trace;
};

static uint64_t one_seed(struct rte_mempool *pool, uint64_t seed, bool tell, struct totals *totals)
{
    unsigned before = rte_mempool_avail_count(pool), leader;
    struct cluster *c = start(pool, seed, tell);
    uint64_t trace;

    for (unsigned i = 0; i < ROUNDS; i++)
        one_round(c);
    leader = converge(c);
    verify(c, leader);
    for (unsigned i = 0; i < c->nodes; i++)
        watch_add_counts(c, i);
    trace = c->hub.trace;
    add_up(&totals->counts, &c->counts);
    add_faults(&totals->faults, &c->hub.counts);
    totals->seeds++;
    totals->strict += c->strict;
    totals->trace ^= trace;
    stop(c);
    if (rte_mempool_avail_count(pool) != before) {
        fprintf(stderr, "cluster: seed %llu: frames are missing\n", (unsigned long long)seed);
        exit(1);
    }
    return trace;
}

/* ---- stories that need no dice ---- */

/*
 * A replica begins to connect, and its SYNs get nowhere; TCP sends them ever more rarely. When the way is
 * there again it is not TCP's patience that counts.
 */
static void a_way_that_is_there_again_is_found_soon(struct rte_mempool *pool)
{
    enum { AWAY_MS = 8000, SOON_MS = 5000 };
    struct cluster *c = start(pool, 0, false);
    uint64_t back_ns;

    c->hub.no_tcp = true;
    hub_crash(&c->hub, 1, SIM_CRASH_KILL);
    pass_ms(c, AWAY_MS);
    must(c, watch_view(c, 1).state == STATE_CATCHING_UP, "a replica without a primary serves");
    c->hub.no_tcp = false;
    back_ns = c->hub.now.mono_ns;
    while (watch_view(c, 1).state != STATE_SERVING) {
        must(c, c->hub.now.mono_ns - back_ns < UINT64_C(1000000) * SOON_MS,
             "the way is there again, and not taken");
        pass_ms(c, 10);
    }
    stop(c);
}

/*
 * The old primary has opened a history and changed nothing in it; as a replica of the new one it sets out
 * anew. Nobody writes anything that would help it on.
 */
static void an_old_primary_that_changed_nothing_follows_the_new_one(struct rte_mempool *pool)
{
    enum { SOON_MS = 5000 };
    struct hub_part parts[2] = {{.mode = MODE_PRIMARY, .log = true}, {.mode = MODE_REPLICA, .log = true}};
    struct cluster *c = new_cluster(pool, 0, false);

    c->nodes = c->logged = 2;
    c->may_lose = true;
    begin(c, parts);
    c->client[0].left = 10;
    pass_ms(c, 500);
    hub_kill(&c->hub, 1, SIM_CRASH_KILL);
    hub_crash(&c->hub, 0, SIM_CRASH_KILL);
    must(c, hub_serves(&c->hub, 0), "the primary does not serve: %s", c->hub.error);
    hub_kill(&c->hub, 0, SIM_CRASH_KILL);
    c->hub.nodes[0].part = (struct hub_part){.mode = MODE_REPLICA, .leader = 1, .log = true};
    c->hub.nodes[1].part.mode = MODE_PRIMARY;
    hub_revive(&c->hub, 1);
    hub_revive(&c->hub, 0);
    for (unsigned ms = 0; !watch_is_level(c, 0, 1); ms += 10) {
        if (ms >= SOON_MS)
            watch_tell(c);
        must(c, ms < SOON_MS, "the old primary does not follow the new one");
        pass_ms(c, 10);
    }
    stop(c);
}

static void print_totals(const struct totals *totals)
{
    const struct {
        const char *text;
        uint64_t count;
    } row[] = {
#define CLUSTER_ROW(name, text) {text, totals->counts.name},
        CLUSTER_COUNTS(CLUSTER_ROW)
#undef CLUSTER_ROW
            {"frames lost", totals->faults.lost},
        {"frames repeated", totals->faults.repeated},
        {"frames delayed", totals->faults.delayed},
        {"frames corrupted", totals->faults.corrupted},
        {"frames cut", totals->faults.cut}};

    printf("%llu seeds, %llu of them strict; trace %016llx\n", (unsigned long long)totals->seeds,
           (unsigned long long)totals->strict, (unsigned long long)totals->trace);
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++)
        printf("%10llu %s\n", (unsigned long long)row[i].count, row[i].text);
}

int main(void)
{
    const char *count_text = getenv("WILD_SEEDS");
    bool one = getenv("WILD_SEED") != NULL && count_text == NULL;
    uint64_t first = seeded_from_environment(1);
    uint64_t count = one ? 1 : count_text != NULL ? strtoull(count_text, NULL, 0) : SEEDS;
    struct totals totals = {0}, again = {0};
    struct rte_mempool *pool;

    /* Nodes come and go: their memory is not to be asked of the kernel, and cleared, each time. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    if (keys_start() != 0)
        return 1;
    test_eal_start_with(256);
    pool = test_eal_pool("cluster", POOL_FRAMES);
    a_way_that_is_there_again_is_found_soon(pool);
    an_old_primary_that_changed_nothing_follows_the_new_one(pool);
    for (uint64_t seed = first; seed < first + count; seed++) {
        uint64_t trace = one_seed(pool, seed, one, &totals);

        if (seed % 50 == 0 && one_seed(pool, seed, false, &again) != trace) {
            fprintf(stderr, "cluster: seed %llu: it went otherwise the second time\n",
                    (unsigned long long)seed);
            return 1;
        }
    }
    print_totals(&totals);
    return 0;
}
