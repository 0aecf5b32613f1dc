/*
 * cluster.c - a primary with a log on a disk that crashes and two replicas, whole nodes in one process under a virtual
 * clock, over links that lose, repeat, delay, corrupt and are cut, one way or both. A seeded client writes and reads; nodes
 * die, restart, stop and go on. Seed by seed; checked are
 *
 *   - an acknowledged write is there ever after: on the primary, and on a replica asked with its LSN
 *   - what a replica has shown no later read of anybody takes back; each replica's versions of a key only rise
 *   - a counter has counted every acknowledged INCR once, and no other more than once
 *   - once all is well again everything converges in bounded time: replicas serve, at the primary's LSN, and their tables
 *     are the primary's, item by item, version by version
 *   - nothing is left behind: frames
 *
 *   WILD_SEED=N       that seed alone, with its steps; WILD_SEEDS=M: so many from 1 (or WILD_SEED) on
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/seeded.h"
#include "../unit/test_eal.h"
#include "hub.h"
#include "node_internal.h"
#include "table_walk.h"

enum {
    NODES = 3,
    REPLICAS = NODES - 1,
    CLIENT = HUB_NODES_MAX, /* as a station */
    KEYS = 24,
    COUNTERS = 4,
    ROUNDS = 40,
#ifdef __SANITIZE_ADDRESS__
    SEEDS = 40, /* its cost is five times as high, and the seeds are the same */
#else
    SEEDS = 200,
#endif
    SPACE = 24 << 20,
    VALUE_MAX = 900,
    TRIED_MAX = 64,
    POOL_FRAMES = 16383,
    /* An ARP answer, which has no checksum, is believed for 30 s (neighbour.h) though a bit of it was turned over; then come
     * probes, one connection that times out, and the back-off. */
    CONVERGE_MS = 30000 + 15000,
    COPY_BYTES = 1 << 20,
};

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/* What is known of a key. Values are numbers, no two alike; 0: absent. */
struct known_key {
    uint64_t value, version;   /* acknowledged, or seen by anybody: it stays or is followed by a later one */
    uint64_t tried[TRIED_MAX]; /* later ones that were not answered: each may have happened */
    unsigned tries;
    uint64_t shown[NODES]; /* the version that this node has shown last */
};

struct known_counter {
    uint64_t acknowledged, unanswered;
};

struct totals {
    uint64_t writes, unanswered, refused, reads, stale, incrs, crashes, restarts, pauses, cuts, full, rounds;
    uint64_t waited_ms; /* for all to be well, in sum */
    uint64_t disk_feeds, tail_batches, gaps;
    struct hub_fault_counts faults;
};

static struct {
    struct hub hub;
    struct rte_mempool *pool;
    uint64_t seed, entropy, next_value;
    bool tell;
    struct test_client client[NODES];
    bool connected[NODES];
    struct known_key key[KEYS];
    struct known_counter counter[COUNTERS];
    struct totals totals;
} run;

static uint64_t below(uint64_t bound)
{
    return seeded_below(&run.entropy, bound);
}

__attribute__((format(printf, 2, 3))) static void must(bool holds, const char *format, ...)
{
    va_list arguments;

    if (holds)
        return;
    fprintf(stderr, "cluster: seed %llu at %.3f s: ", (unsigned long long)run.seed,
            (double)run.hub.now.mono_ns / 1e9);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (WILD_SEED=%llu replays it)\n", (unsigned long long)run.seed);
    exit(1);
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    va_list arguments;

    if (!run.tell)
        return;
    printf("%10.3f ", (double)run.hub.now.mono_ns / 1e9);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static void pass_ms(unsigned ms)
{
    struct datagram_link link = hub_link(&run.hub);

    link.pass_time(link.state, ms);
}

/* ---- the client ---- */

/* A session with that node, if it can be had. */
static bool reach(unsigned node)
{
    struct datagram_link link;

    run.hub.talks_to = node;
    run.hub.inbox_count = 0;
    link = hub_link(&run.hub);
    if (!run.connected[node])
        run.connected[node] =
            test_client_connect(&run.client[node], &link, secret, SUITE_MAC, seeded_source(&run.hub.entropy));
    return run.connected[node];
}

/* One operation; false: no answer. Nothing of it is on its way any more then, but what the node has not looked at. */
static bool ask(unsigned node, struct operation operation, struct reply *reply)
{
    struct reply replies[TEST_CLIENT_OPERATIONS];

    if (!reach(node))
        return false;
    if (test_client_request(&run.client[node], &operation, 1, replies) == 1) {
        *reply = replies[0];
        return true;
    }
    run.connected[node] = false;
    pass_ms(1 + run.hub.faults.delay_steps_max * CLUSTER_STEP_NS / 1000000);
    return false;
}

static const char *key_of(unsigned i)
{
    static char key[16];

    snprintf(key, sizeof key, "key%u", i);
    return key;
}

static struct operation about(enum opcode opcode, const char *key)
{
    return (struct operation){
        .opcode = (uint8_t)opcode, .key = (const uint8_t *)key, .key_length = (uint8_t)strlen(key)};
}

/* ---- what is known ---- */

/* Somebody has been shown this: from now on nobody may be shown what was before. */
static void settle(struct known_key *key, uint64_t value, uint64_t version)
{
    if (version < key->version)
        return;
    key->value = value;
    key->version = version;
    for (unsigned i = 0; i < key->tries; i++)
        if (key->tried[i] == value) {
            /* What was tried before it is either below it or never was. */
            memmove(&key->tried[0], &key->tried[i + 1], (key->tries - i - 1) * sizeof key->tried[0]);
            key->tries -= i + 1;
            return;
        }
}

static bool was_tried(const struct known_key *key, uint64_t value)
{
    for (unsigned i = 0; i < key->tries; i++)
        if (key->tried[i] == value)
            return true;
    return false;
}

static uint64_t value_of(const struct reply *reply)
{
    uint64_t value = 0;

    if (reply->status == STATUS_OK) {
        must(reply->value_length >= sizeof value, "a value is too short");
        memcpy(&value, reply->value, sizeof value);
    }
    return value;
}

/* ---- operations ---- */

static void write_key(unsigned i)
{
    static uint8_t value[VALUE_MAX];
    struct known_key *key = &run.key[i];
    bool delete = below(8) == 0, may_be_absent = key->value == 0 || was_tried(key, 0);
    struct operation operation = about(delete ? OPCODE_DELETE : OPCODE_SET, key_of(i));
    uint64_t number = delete ? 0 : run.next_value++;
    struct reply reply;

    if (key->tries == TRIED_MAX)
        return;
    if (!delete) {
        memset(value, (int)number, sizeof value);
        memcpy(value, &number, sizeof number);
        operation.value = value;
        operation.value_length = (uint16_t)(sizeof number + below(VALUE_MAX - sizeof number));
        operation.ttl_ms = below(4) == 0 ? 3600000 : 0;
    }
    run.totals.writes++;
    if (!reach(0))
        return;
    key->tried[key->tries++] = number;
    if (!ask(0, operation, &reply) || reply.status == STATUS_TIMEOUT) {
        run.totals.unanswered++;
        return;
    }
    if (reply.status == STATUS_OK) {
        settle(key, number, reply.version);
    } else if (delete &&reply.status == STATUS_NOT_FOUND) {
        must(may_be_absent, "DELETE finds no %s, which had been acknowledged", key_of(i));
        key->tries--;
    } else {
        must(reply.status == STATUS_BUSY || reply.status == STATUS_READ_ONLY || reply.status == STATUS_STALE,
             "a write is answered %u", reply.status);
        /* An earlier copy of the request may have been executed all the same: it stays as tried. */
        run.totals.refused++;
    }
}

static void count_up(unsigned i)
{
    static const uint8_t one[16] = {1}; /* delta 1, initial 0 */
    struct known_counter *counter = &run.counter[i];
    char name[16];
    struct operation operation;
    struct reply reply;

    snprintf(name, sizeof name, "counter%u", i);
    operation = about(OPCODE_INCR, name);
    operation.value = one;
    operation.value_length = sizeof one;
    run.totals.incrs++;
    if (!reach(0))
        return;
    if (ask(0, operation, &reply) && reply.status == STATUS_OK)
        counter->acknowledged++;
    else
        counter->unanswered++;
}

/* min_lsn: of what is known, if `fresh`. */
static void read_key(unsigned node, unsigned i, bool fresh)
{
    struct known_key *key = &run.key[i];
    struct operation operation = about(OPCODE_GET, key_of(i));
    uint64_t known = key->version, value;
    struct reply reply;

    if (fresh) {
        operation.flags = FLAG_MIN_LSN;
        operation.version = known;
    }
    run.totals.reads++;
    if (!ask(node, operation, &reply))
        return;
    if (reply.status == STATUS_STALE || reply.status == STATUS_BUSY) {
        run.totals.stale++;
        return;
    }
    must(reply.status == STATUS_OK || reply.status == STATUS_NOT_FOUND, "a read on node %u is answered %u",
         node, reply.status);
    value = value_of(&reply);
    if (reply.status == STATUS_OK) {
        must(reply.version >= key->shown[node], "node %u shows version %llu of %s, after %llu", node,
             (unsigned long long)reply.version, key_of(i), (unsigned long long)key->shown[node]);
        key->shown[node] = reply.version;
    }
    if (reply.status == STATUS_OK && reply.version < known) {
        must(node != 0 && !fresh, "node %u shows %s as of %llu, which was changed by %llu", node, key_of(i),
             (unsigned long long)reply.version, (unsigned long long)known);
        return; /* a replica that is behind */
    }
    if (value == key->value)
        return;
    if (node != 0 && !fresh && value == 0)
        return; /* behind: there was none then */
    must(was_tried(key, value), "node %u shows %llu of %s, not %llu", node, (unsigned long long)value,
         key_of(i), (unsigned long long)key->value);
    if (value != 0)
        settle(key, value, reply.version);
}

/* ---- trouble ---- */

static void heal(void)
{
    run.hub.faults = (struct hub_faults){0};
    memset(run.hub.cut, 0, sizeof run.hub.cut);
    for (unsigned i = 0; i < NODES; i++)
        run.hub.nodes[i].paused = false;
    sim_disk_set_space(run.hub.nodes[0].disk, SPACE);
}

static void bad_links(void)
{
    run.hub.faults = (struct hub_faults){.lose_percent = (unsigned)below(12),
                                         .repeat_percent = (unsigned)below(12),
                                         .delay_steps_max = (unsigned)below(30),
                                         .corrupt_percent = (unsigned)below(4)};
    tell("links: %u %% lost, %u %% repeated, up to %u steps, %u %% corrupted", run.hub.faults.lose_percent,
         run.hub.faults.repeat_percent, run.hub.faults.delay_steps_max, run.hub.faults.corrupt_percent);
}

static void cut_links(void)
{
    unsigned a = (unsigned)below(NODES), b = (a + 1 + (unsigned)below(NODES - 1)) % NODES;
    bool both = below(2) == 0;

    run.totals.cuts++;
    run.hub.cut[a][b] = true;
    run.hub.cut[b][a] |= both;
    tell("cut: %u %s %u", a, both ? "and" : "to", b);
}

static void die(unsigned node)
{
    enum sim_crash crash = (enum sim_crash)below(SIM_CRASHES);

    tell("node %u dies (%u) and starts again", node, (unsigned)crash);
    run.totals.crashes += node == 0;
    run.totals.restarts += node != 0;
    if (node == 0) /* a full disk cannot start a node (docs/durability.md): the operator makes room first */
        sim_disk_set_space(run.hub.nodes[0].disk, SPACE);
    hub_crash(&run.hub, node, crash);
    run.connected[node] = false;
}

static void disk_fills(void)
{
    tell("the disk is full");
    run.totals.full++;
    sim_disk_set_space(run.hub.nodes[0].disk, 0);
}

static void stop_for_a_while(unsigned node)
{
    unsigned ms = 1 + (unsigned)below(below(3) == 0 ? 3000 : 300);

    tell("node %u stops for %u ms", node, ms);
    run.totals.pauses++;
    run.hub.nodes[node].paused = true;
    pass_ms(ms);
    run.hub.nodes[node].paused = false;
}

static void write_many(void)
{
    unsigned count = 1 + (unsigned)below(60);

    tell("%u writes", count);
    for (unsigned i = 0; i < count; i++)
        if (below(8) == 0)
            count_up((unsigned)below(COUNTERS));
        else
            write_key((unsigned)below(KEYS));
}

static void read_many(void)
{
    unsigned node = (unsigned)below(NODES), count = 1 + (unsigned)below(20);

    tell("%u reads at node %u", count, node);
    for (unsigned i = 0; i < count; i++)
        read_key(node, (unsigned)below(KEYS), below(2) == 0);
}

static void one_round(void)
{
    run.totals.rounds++;
    switch (below(20)) {
    case 0:
        bad_links();
        break;
    case 1:
        cut_links();
        break;
    case 2:
    case 3:
        heal();
        tell("all is well");
        break;
    case 4:
        die(0);
        break;
    case 5:
        die(1 + (unsigned)below(REPLICAS));
        break;
    case 6:
        stop_for_a_while((unsigned)below(NODES));
        break;
    case 7:
        if (below(3) == 0)
            disk_fills();
        break;
    case 8:
    case 9:
        pass_ms(1 + (unsigned)below(1500));
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        read_many();
        break;
    default:
        write_many();
        break;
    }
}

/* ---- all is well again ---- */

static uint8_t state_of(unsigned node)
{
    return published_state_get(&run.hub.nodes[node].node->published).state;
}

/* It serves, and has all that is durable at the primary, where a history's beginning counts as well as a change. */
static bool is_level(unsigned node, uint64_t durable_lsn)
{
    struct replica_facts facts;

    replica_facts(run.hub.nodes[node].node->replication.following.replica, &facts);
    return facts.applied_lsn == durable_lsn && state_of(node) == STATE_SERVING;
}

static void tell_replicas(void)
{
    for (unsigned i = 1; i < NODES; i++) {
        const struct node *node = run.hub.nodes[i].node;
        struct replica_facts facts;

        replica_facts(node->replication.following.replica, &facts);
        fprintf(stderr, "node %u: state %u, %s, applied %llu, its primary at %llu, \"%s\"\n", i, state_of(i),
                replica_phase_name(facts.phase), (unsigned long long)facts.applied_lsn,
                (unsigned long long)facts.primary_lsn, facts.refusal);
    }
}

static uint64_t digest(const struct node *node, uint64_t *items)
{
    static uint8_t records[COPY_BYTES];
    uint64_t sum = 0;

    *items = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(node->table); bucket++) {
        uint32_t rest = TABLE_COPY_ALL;

        while (rest != 0) {
            int64_t length = table_copy_bucket(node->table, bucket, &rest, records, sizeof records);

            must(length >= 0, "a table cannot be read");
            for (int64_t at = 0; at < length;) {
                size_t bytes = log_record_encoded_bytes(records + at);
                uint64_t hash = UINT64_C(0xCBF29CE484222325);

                for (size_t i = 0; i < bytes; i++)
                    hash = (hash ^ records[at + (int64_t)i]) * UINT64_C(0x100000001B3);
                sum += hash;
                ++*items;
                at += (int64_t)bytes;
            }
        }
    }
    return sum;
}

static void converge(void)
{
    uint64_t began_ns = run.hub.now.mono_ns, items, replica_items;
    struct node_facts facts;

    heal();
    tell("all is well, for good");
    if (!hub_serves(&run.hub, 0)) { /* the disk was full when it started: it is started again */
        must(strstr(run.hub.error, "the disk is full") != NULL, "the primary does not start: %s",
             run.hub.error);
        die(0);
        must(hub_serves(&run.hub, 0), "the primary does not serve again: %s", run.hub.error);
    }
    for (;;) {
        node_facts(run.hub.nodes[0].node, &facts);
        bool level = state_of(0) == STATE_SERVING && facts.durable_lsn >= facts.lsn;
        for (unsigned i = 1; i < NODES; i++)
            level &= is_level(i, facts.durable_lsn);
        if (level)
            break;
        if (run.hub.now.mono_ns - began_ns >= UINT64_C(1000000) * CONVERGE_MS)
            tell_replicas();
        must(run.hub.now.mono_ns - began_ns < UINT64_C(1000000) * CONVERGE_MS,
             "the nodes do not converge (primary lsn %llu, durable %llu)", (unsigned long long)facts.lsn,
             (unsigned long long)facts.durable_lsn);
        pass_ms(10);
    }
    run.totals.waited_ms += (run.hub.now.mono_ns - began_ns) / 1000000;
    uint64_t sum = digest(run.hub.nodes[0].node, &items);
    for (unsigned i = 1; i < NODES; i++)
        must(digest(run.hub.nodes[i].node, &replica_items) == sum && replica_items == items,
             "node %u has %llu items, the primary %llu, or other ones", i, (unsigned long long)replica_items,
             (unsigned long long)items);
}

/* Everything that was ever acknowledged or shown, once more, at every node. */
static void verify(void)
{
    for (unsigned node = 0; node < NODES; node++) {
        run.connected[node] = false;
        must(reach(node), "node %u cannot be reached", node);
        for (unsigned i = 0; i < KEYS; i++)
            read_key(node, i, true);
        for (unsigned i = 0; i < COUNTERS; i++) {
            const struct known_counter *counter = &run.counter[i];
            struct reply reply = {0};
            char name[16], text[32];
            int64_t value;

            snprintf(name, sizeof name, "counter%u", i);
            must(ask(node, about(OPCODE_GET, name), &reply), "node %u does not answer", node);
            memset(text, 0, sizeof text);
            if (reply.status == STATUS_OK && reply.value_length < sizeof text)
                memcpy(text, reply.value, reply.value_length);
            value = strtoll(text, NULL, 10);
            must((uint64_t)value >= counter->acknowledged &&
                     (uint64_t)value <= counter->acknowledged + counter->unanswered,
                 "%s is %lld at node %u: %llu were acknowledged, %llu not answered", name, (long long)value,
                 node, (unsigned long long)counter->acknowledged, (unsigned long long)counter->unanswered);
        }
    }
}

static void add_counts(void)
{
    const struct replication_counters *primary = &run.hub.nodes[0].node->replication.counters;
    struct hub_fault_counts *sum = &run.totals.faults;

    run.totals.disk_feeds += replication_counted(primary, REPLICATION_feeds);
    run.totals.tail_batches += replication_counted(primary, REPLICATION_tail_batches);
    for (unsigned i = 1; i < NODES; i++)
        run.totals.gaps +=
            replication_counted(&run.hub.nodes[i].node->replication.counters, REPLICATION_gaps);
    sum->lost += run.hub.counts.lost;
    sum->repeated += run.hub.counts.repeated;
    sum->delayed += run.hub.counts.delayed;
    sum->corrupted += run.hub.counts.corrupted;
    sum->cut += run.hub.counts.cut;
}

static uint64_t one_seed(uint64_t seed)
{
    unsigned before = rte_mempool_avail_count(run.pool);

    run.seed = seed;
    run.entropy = seeded_start(seed);
    run.next_value = 1;
    memset(run.connected, 0, sizeof run.connected);
    memset(run.key, 0, sizeof run.key);
    memset(run.counter, 0, sizeof run.counter);
    hub_start_cluster(&run.hub, run.pool, NODES, seed, secret, (unsigned)below(2), SPACE);
    must(hub_serves(&run.hub, 0), "the primary does not serve: %s", run.hub.error);
    for (unsigned i = 0; i < ROUNDS; i++)
        one_round();
    converge();
    verify();
    add_counts();
    uint64_t trace = run.hub.trace;
    hub_stop(&run.hub);
    must(rte_mempool_avail_count(run.pool) == before, "frames are missing");
    return trace;
}

/* ---- one story that needs no dice ---- */

/*
 * A replica begins to connect, and its SYNs get nowhere; TCP sends them ever more rarely. When the way is there again it is
 * not TCP's patience that counts.
 */
static void a_way_that_is_there_again_is_found_soon(void)
{
    enum { AWAY_MS = 8000, SOON_MS = 5000 };
    uint64_t back_ns;

    run.seed = 0;
    run.entropy = seeded_start(0);
    hub_start_cluster(&run.hub, run.pool, NODES, 0, secret, 0, SPACE);
    must(hub_serves(&run.hub, 0), "the primary does not serve: %s", run.hub.error);
    run.hub.no_tcp = true;
    hub_crash(&run.hub, 1, SIM_CRASH_KILL);
    pass_ms(AWAY_MS);
    must(state_of(1) == STATE_CATCHING_UP, "a replica without a primary serves");
    run.hub.no_tcp = false;
    back_ns = run.hub.now.mono_ns;
    while (state_of(1) != STATE_SERVING) {
        must(run.hub.now.mono_ns - back_ns < UINT64_C(1000000) * SOON_MS,
             "the way is there again, and not taken");
        pass_ms(10);
    }
    hub_stop(&run.hub);
}

static void print_totals(uint64_t seeds, uint64_t trace)
{
    const struct totals *t = &run.totals;

    printf("%llu seeds: %llu writes (%llu unanswered, %llu refused), %llu INCRs, %llu reads (%llu STALE)\n",
           (unsigned long long)seeds, (unsigned long long)t->writes, (unsigned long long)t->unanswered,
           (unsigned long long)t->refused, (unsigned long long)t->incrs, (unsigned long long)t->reads,
           (unsigned long long)t->stale);
    printf("primary crashes %llu, replica restarts %llu, pauses %llu, cuts %llu, disk full %llu\n",
           (unsigned long long)t->crashes, (unsigned long long)t->restarts, (unsigned long long)t->pauses,
           (unsigned long long)t->cuts, (unsigned long long)t->full);
    printf("frames lost %llu, repeated %llu, delayed %llu, corrupted %llu, cut %llu\n",
           (unsigned long long)t->faults.lost, (unsigned long long)t->faults.repeated,
           (unsigned long long)t->faults.delayed, (unsigned long long)t->faults.corrupted,
           (unsigned long long)t->faults.cut);
    printf(
        "catch-ups from disk %llu, blocks from memory %llu, gaps %llu; converged in %llu ms on average; trace "
        "%016llx\n",
        (unsigned long long)t->disk_feeds, (unsigned long long)t->tail_batches, (unsigned long long)t->gaps,
        (unsigned long long)(t->waited_ms / seeds), (unsigned long long)trace);
}

int main(void)
{
    const char *count_text = getenv("WILD_SEEDS");
    bool one = getenv("WILD_SEED") != NULL && count_text == NULL;
    uint64_t first = seeded_from_environment(1), trace = 0;
    uint64_t count = one ? 1 : count_text != NULL ? strtoull(count_text, NULL, 0) : SEEDS;

    if (keys_start() != 0)
        return 1;
    test_eal_start_with(256);
    run.pool = test_eal_pool("cluster", POOL_FRAMES);
    run.tell = one;
    a_way_that_is_there_again_is_found_soon();
    for (uint64_t seed = first; seed < first + count; seed++) {
        uint64_t this_trace = one_seed(seed);

        trace ^= this_trace;
        if (seed % 50 == 0) {
            struct totals totals = run.totals;

            must(one_seed(seed) == this_trace, "it went otherwise the second time");
            run.totals = totals;
        }
    }
    print_totals(count, trace);
    return 0;
}
