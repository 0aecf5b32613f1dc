/*
 * replication_cluster.h - for benchmarks of replication: a primary and its replicas as whole nodes in this
 * process, each with one worker whose clients are log_node.h's. The primary's log is on a disk in memory;
 * replicas have none.
 *
 * How frames of replication travel is the benchmark's to choose: by a port of their own, which the control
 * lcore polls (as a device does it that steers them), or by the workers (ring). Between nodes there is a
 * switch that copies frames, as two devices would; who calls it does that outside of what is timed. Sessions
 * are sealed; clients are not.
 *
 * Time is the cluster's own and passes when the benchmark says so. A station may have another clock than the
 * others.
 */
#ifndef WILD_BENCH_REPLICATION_CLUSTER_H
#define WILD_BENCH_REPLICATION_CLUSTER_H

#include "log_node.h"
#include "memory_disk.h"
#include "node_internal.h"

enum {
    CLUSTER_STATIONS_MAX = 4,
    CLUSTER_REPLICATION_PORT = 9001,
    CLUSTER_PASSES_MAX = 64,
    CLUSTER_SETTLES_MAX = 200 * 1000,
    CLUSTER_SETTLE_NS = 100 * 1000,
    CLUSTER_BURST = 32,
    WIRE_FRAMES = 4096,
};
#define WIRE_TO_WORKER  32u /* frames at a time: what a turn takes */
#define CLUSTER_WALL_MS UINT64_C(1700000000000)
/* Longer than this a turn was not alone on its core. */
#define CLUSTER_TURN_NS_MAX         100000
#define CLUSTER_CONTROL_TURN_NS_MAX 1000000

/* A station's end of its cable. */
struct wire {
    const uint64_t *clock_ns;
    struct {
        struct rte_mbuf *mbuf;
        uint64_t due_ns;
    } in[WIRE_FRAMES];
    unsigned in_first, in_count;
    struct rte_mbuf *out[WIRE_FRAMES];
    unsigned out_count;
};

struct station {
    struct log_node n;
    struct memory_disk disk;
    struct wire wire;
    struct name_lookup *lookup;
    char name[32];
    uint64_t clock_ns;
    bool frozen; /* it has no turns, and frames for it are lost */
};

struct cluster {
    struct station station[CLUSTER_STATIONS_MAX]; /* the first is the primary */
    unsigned count;
    struct rte_mempool *pool;
    uint64_t capacity, keys; /* keys: 0..keys - 1 are asked for */
    bool ring;
    uint64_t lost; /* frames that the switch had no room for */
    /* What the control lcores have used, in turns that were theirs alone, and for how many records. */
    uint64_t primary_cycles, primary_records, replica_cycles, replica_records;
};

/* ---- wires ---- */

static inline uint16_t wire_receive(void *state, struct rte_mbuf **frames, uint16_t room)
{
    struct wire *wire = state;
    uint16_t count = 0;

    while (count < room && wire->in_count > 0 && wire->in[wire->in_first].due_ns <= *wire->clock_ns) {
        frames[count++] = wire->in[wire->in_first].mbuf;
        wire->in_first = (wire->in_first + 1) % WIRE_FRAMES;
        wire->in_count--;
    }
    return count;
}

static inline uint16_t wire_transmit(void *state, struct rte_mbuf **frames, uint16_t count)
{
    struct wire *wire = state;
    uint16_t taken = 0;

    while (taken < count && wire->out_count < WIRE_FRAMES)
        wire->out[wire->out_count++] = frames[taken++];
    return taken;
}

static inline bool wire_is_for(const struct cluster *c, unsigned to, const uint8_t *frame)
{
    const uint8_t mac[6] = {2, 0, 0, 0, !c->ring, (uint8_t)(1 + to)};

    return (frame[0] & 1) != 0 || memcmp(frame, mac, sizeof mac) == 0;
}

static inline void wire_put(struct cluster *c, unsigned to, const struct rte_mbuf *frame, uint64_t due_ns)
{
    struct wire *wire = &c->station[to].wire;
    struct rte_mbuf *copy =
        wire->in_count < WIRE_FRAMES ? rte_pktmbuf_copy(frame, c->pool, 0, UINT32_MAX) : NULL;
    unsigned place = (wire->in_first + wire->in_count) % WIRE_FRAMES;

    if (copy == NULL) {
        c->lost++;
        return;
    }
    wire->in[place].mbuf = copy;
    wire->in[place].due_ns = due_ns;
    wire->in_count++;
}

/* Takes the frame. */
static inline void wire_carry(struct cluster *c, unsigned from, struct rte_mbuf *frame, uint64_t due_ns)
{
    for (unsigned to = 0; to < c->count; to++)
        if (to != from && !c->station[to].frozen &&
            wire_is_for(c, to, rte_pktmbuf_mtod(frame, const uint8_t *)))
            wire_put(c, to, frame, due_ns);
    rte_pktmbuf_free(frame);
}

static inline bool wire_is_answer(const struct rte_mbuf *frame)
{
    return memcmp(rte_pktmbuf_mtod(frame, const uint8_t *), log_node_client_mac, 6) == 0;
}

/* What a station has sent reaches the others; they see it at due_ns of their clocks. Answers stay for
 * log_node_take(). */
static inline void cluster_switch(struct cluster *c, unsigned from, uint64_t due_ns)
{
    struct station *s = &c->station[from];
    struct frame_port *port = &s->n.port;
    unsigned kept = 0;

    for (unsigned i = 0; i < s->wire.out_count; i++)
        wire_carry(c, from, s->wire.out[i], due_ns);
    s->wire.out_count = 0;
    if (!c->ring)
        return;
    for (unsigned i = 0; i < port->out_count; i++)
        if (wire_is_answer(port->out[i]))
            port->out[kept++] = port->out[i];
        else
            wire_carry(c, from, port->out[i], due_ns);
    port->out_count = kept;
}

/* Where frames come by the worker: it gets some of those that have arrived. False: there are none. */
static inline bool cluster_hand_in(struct cluster *c, struct station *s)
{
    unsigned free = FRAME_PORT_ROOM - s->n.port.in_count;
    unsigned count =
        c->ring ? wire_receive(&s->wire, s->n.port.in + s->n.port.in_count, RTE_MIN(free, WIRE_TO_WORKER))
                : 0;

    s->n.port.in_count += count;
    return count > 0;
}

/* ---- turns ---- */

static inline struct instant station_now(const struct station *s)
{
    return (struct instant){s->clock_ns, CLUSTER_WALL_MS + s->clock_ns / 1000000};
}

static inline void cluster_pass_time(struct cluster *c, uint64_t ns)
{
    for (unsigned i = 0; i < c->count; i++)
        c->station[i].clock_ns += ns;
}

/* Cycles; 0: others had the core meanwhile. */
static inline uint64_t station_worker_turn(struct station *s)
{
    uint64_t begin = rte_rdtsc_precise();
    node_worker_turn(s->n.node, 0, station_now(s));
    uint64_t cycles = rte_rdtsc_precise() - begin;
    return cycles * 1000 / (rte_get_tsc_hz() / 1000000) < CLUSTER_TURN_NS_MAX ? cycles : 0;
}

static inline uint64_t station_records(const struct station *s)
{
    return s->n.node->replication.leading.durable_lsn +
           replication_counted(&s->n.node->replication.counters, REPLICATION_applied_records);
}

/* Adds to cycles and records, unless others had the core meanwhile. Things done. */
static inline unsigned station_control_turn(struct station *s, uint64_t *cycles, uint64_t *records)
{
    uint64_t before = station_records(s), begin = rte_rdtsc_precise();
    unsigned done = node_control_turn(s->n.node, station_now(s));
    uint64_t spent = rte_rdtsc_precise() - begin;

    if (spent * 1000 / (rte_get_tsc_hz() / 1000000) < CLUSTER_CONTROL_TURN_NS_MAX) {
        *cycles += spent;
        *records += station_records(s) - before;
    }
    return done;
}

/* Everything but the primary's worker, until there is nothing to do. Time stands still. */
static inline void cluster_others(struct cluster *c)
{
    unsigned done = 1;

    for (unsigned pass = 0; pass < CLUSTER_PASSES_MAX && done > 0; pass++) {
        done = station_control_turn(&c->station[0], &c->primary_cycles, &c->primary_records);
        node_housekeeping_step(c->station[0].n.node);
        cluster_switch(c, 0, 0);
        for (unsigned i = 1; i < c->count; i++) {
            struct station *s = &c->station[i];

            if (s->frozen)
                continue;
            if (c->ring) {
                cluster_hand_in(c, s);
                node_worker_turn(s->n.node, 0, station_now(s));
            }
            done += station_control_turn(s, &c->replica_cycles, &c->replica_records);
            cluster_switch(c, i, 0);
        }
    }
}

static inline void cluster_turn(struct cluster *c)
{
    cluster_pass_time(c, CLUSTER_SETTLE_NS);
    for (unsigned i = 0; i < c->count; i++) {
        struct station *s = &c->station[i];

        if (s->frozen)
            continue;
        cluster_hand_in(c, s);
        node_worker_turn(s->n.node, 0, station_now(s));
        cluster_switch(c, i, 0);
        log_node_take(&s->n);
    }
    cluster_others(c);
}

static inline bool station_follows(const struct station *s, uint64_t lsn)
{
    struct replica_facts facts;

    replica_facts(s->n.node->replication.following.replica, &facts);
    return facts.serving && s->n.node->replication.following.lsn >= lsn;
}

/* Until every replica shows all that the primary has. */
static inline void cluster_settle(struct cluster *c)
{
    unsigned following = 0;

    for (unsigned i = 0; i < CLUSTER_SETTLES_MAX && following < c->count - 1; i++) {
        struct node_facts facts;

        cluster_turn(c);
        node_facts(c->station[0].n.node, &facts);
        following = 0;
        for (unsigned s = 1; s < c->count; s++)
            following += !c->station[s].frozen && station_follows(&c->station[s], facts.lsn);
    }
    log_node_must(following == c->count - 1, "a replica does not follow");
}

/* ---- start and end ---- */

static inline void cluster_add(struct cluster *c)
{
    unsigned i = c->count++;
    struct station *s = &c->station[i];
    struct secret_option secret = {.text = "a secret of the bench's, as long as any", .length = 39};
    const char *address = c->ring ? "198.18.0.1" : "10.0.1.1"; /* the primary's */
    char error[512];
    struct node_log_config log = {.folder = "memory",
                                  .disk = memory_disk_disk(&s->disk),
                                  .queue = memory_disk_queue(&s->disk),
                                  .rules = {.log = true},
                                  .segment_bytes = WAL_SEGMENT_BYTES};
    struct node_config config = log_node_config(&s->n, c->pool, c->capacity, i, i == 0 ? &log : NULL);

    config.log.rules.reads_wait = i > 0; /* as replicas have it by default */
    s->clock_ns = i > 0 ? c->station[0].clock_ns : UINT64_C(1000000000);
    s->wire.clock_ns = s->disk.clock_ns = &s->clock_ns;
    if (!c->ring) {
        config.ports = 2;
        config.port[1] = (struct node_port){
            .port = {.mac.addr_bytes = {2, 0, 0, 0, 1, (uint8_t)(1 + i)},
                     .workers = 1,
                     .mtu = 1500,
                     .queue = {{&s->wire, wire_receive, wire_transmit}}},
            .address = address_from_ip4(rte_cpu_to_be_32(frame_ip4(10, 0, 1, (uint8_t)(1 + i)))),
            .prefix_length = 24,
            .streams_only = true};
    }
    snprintf(s->name, sizeof s->name, "station%u", i);
    if (i > 0) {
        s->lookup = name_lookup_create(address, error, sizeof error);
        log_node_must(s->lookup != NULL, error);
    }
    config.replication = (struct node_replication_config){.mode = i == 0 ? MODE_PRIMARY : MODE_REPLICA,
                                                          .port = CLUSTER_REPLICATION_PORT,
                                                          .primary_port = CLUSTER_REPLICATION_PORT,
                                                          .primary = s->lookup,
                                                          .primary_name = address,
                                                          .name = s->name,
                                                          .ack_applied = true,
                                                          .heartbeat_ms = REPLICATION_HEARTBEAT_DEFAULT_MS,
                                                          .timeout_ms = REPLICATION_TIMEOUT_MAX_MS,
                                                          .secrets = &secret,
                                                          .secret_count = 1};
    log_node_must(node_start(&s->n.node, &config, station_now(s), error, sizeof error) == 0, error);
}

static inline void cluster_remove(struct cluster *c)
{
    struct station *s = &c->station[--c->count];

    node_stop(s->n.node);
    name_lookup_destroy(s->lookup);
    memory_disk_free(&s->disk);
    log_node_clear(&s->n);
    while (s->n.port.in_taken < s->n.port.in_count)
        rte_pktmbuf_free(s->n.port.in[s->n.port.in_taken++]);
    for (; s->wire.in_count > 0; s->wire.in_count--) {
        rte_pktmbuf_free(s->wire.in[s->wire.in_first].mbuf);
        s->wire.in_first = (s->wire.in_first + 1) % WIRE_FRAMES;
    }
    for (unsigned i = 0; i < s->wire.out_count; i++)
        rte_pktmbuf_free(s->wire.out[i]);
    memset(s, 0, sizeof *s);
}

/* Keys 0..keys - 1 are there when it returns, and the replicas have them. */
static inline void cluster_start(struct cluster *c, struct rte_mempool *pool, unsigned replicas, bool ring,
                                 uint64_t capacity, uint64_t keys)
{
    struct log_node *n = &c->station[0].n;
    struct node_recovery_progress progress;
    enum node_readiness readiness;
    char error[512];

    c->pool = pool;
    c->ring = ring;
    c->capacity = capacity;
    c->keys = keys;
    cluster_add(c);
    while ((readiness = node_readiness(n->node, &progress, error, sizeof error)) == NODE_RECOVERING)
        cluster_turn(c);
    log_node_must(readiness == NODE_READY, error);
    for (unsigned done = 0; done < keys;) {
        for (unsigned i = 0; i < CLUSTER_BURST && done < keys; i++)
            log_node_ask(n, OPCODE_SET, done++);
        cluster_turn(c);
    }
    log_node_must(n->sets == keys && n->refused == 0, "a SET while filling was not answered");
    while (c->count < 1 + replicas)
        cluster_add(c);
    cluster_settle(c);
}

static inline void cluster_stop(struct cluster *c)
{
    while (c->count > 0)
        cluster_remove(c);
}

#endif
