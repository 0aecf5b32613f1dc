/*
 * test_replication_pair.c - a primary and a replica as nodes have them, but for threads: workers' changes go to a log on a
 * simulated disk, what is durable of it to the memory tail, feeds and snapshots to whoever needs them, and over a link
 * that is cut now and then to the replica's table. Whatever happens in between, in the end both tables are the same item
 * for item, with versions and expiry. WILD_SEED=S
 */
#include "durable_log.h"
#include "link_pair.h"
#include "primary.h"
#include "replica.h"
#include "sim_disk.h"
#include "suite.h"
#include "table_fixture.h"
#include "table_walk.h"

enum {
    CAPACITY = 600,
    KEYS = 700, /* some are refused: the table is full now and then */
    SEGMENT_BYTES = 512 * 1024,
    RING_BYTES = 1 << 20,
    TAIL_BYTES = 1 << 20,
    COPY_BYTES = 1 << 16,
    SETTLE_TURNS = 20000,
    LINK_BYTES = 64 * 1024,
    PRIMARY_END = 0,
    REPLICA_END = 1,
};
#define TURN_NS UINT64_C(1000000)
#define FIRST   (UINT64_C(1) << 32)

struct primary_node {
    struct table *table;
    struct execute_context *context;
    struct log_ring *ring;
    struct log_merge merge;
    struct recovery *recovery;
    struct housekeeper *housekeeper;
    struct durable_log *log;
    struct tail *tail;
    struct feeder *feeder;
    struct primary *primary;
    struct primary_session *session; /* of the link, if it is there */
    struct replication_counters counters;
};

static struct pair {
    _Alignas(64) struct session_keys replica_session;
    struct session_keys sessions[PRIMARY_SESSIONS_MAX];
    uint64_t seed, now_ns, wall_ms;
    struct random_source random;
    struct role_keys keys;
    struct handshake_identity identity;
    struct sim_disk *sim;
    struct primary_node p;
    bool primary_up;
    /* the replica */
    struct fixture table;
    struct replica *replica;
    struct replication_counters counters;
    struct replica_view view;
    uint64_t point, durable_lsn; /* durable_lsn: the highest that the primary ever had */
    bool connecting, linked, frozen;
    struct link_pair *link;
} w;

static uint64_t below(uint64_t bound)
{
    return seeded_below(&w.seed, bound);
}

/* ---- the primary ---- */

static void on_durable(void *state, const struct wal_block *block, const uint8_t *bytes)
{
    (void)state;
    tail_append(w.p.tail, bytes, block->length, block->history, block->first_lsn, block->count);
}

static uint64_t needs_segment(const void *readers)
{
    return feeder_needs_segment(readers);
}

static bool needs_snapshot(const void *readers, uint64_t lsn)
{
    return feeder_needs_snapshot(readers, lsn);
}

static void recover(struct execute_context *apply)
{
    struct recovery_config config = {.disk = sim_disk_disk(w.sim),
                                     .apply = apply,
                                     .random = w.random,
                                     .folder = "folder",
                                     .segment_bytes = SEGMENT_BYTES};
    int step;
    w.p.recovery = recovery_create(&config);
    while ((step = recovery_step(w.p.recovery)) == 1)
        ;
    CU_ASSERT_EQUAL_FATAL(step, 0);
}

static void open_log(const struct recovery_facts *found)
{
    struct feeder_config feeder = {.disk = sim_disk_disk(w.sim), .meta = &found->meta, .capacity = CAPACITY};
    w.p.feeder = feeder_create(&feeder);
    struct housekeeper_config housekeeper = {.disk = sim_disk_disk(w.sim),
                                             .table = w.p.table,
                                             .found = found,
                                             .segment_bytes = SEGMENT_BYTES,
                                             .snapshot_buckets = 64,
                                             .needs_segment = needs_segment,
                                             .needs_snapshot = needs_snapshot,
                                             .readers = w.p.feeder};
    w.p.housekeeper = housekeeper_create(&housekeeper);
    log_merge_init(&w.p.merge, &w.p.ring, 1, found->meta.history[found->meta.count - 1].first_lsn);
    struct durable_log_config log = {.queue = sim_disk_queue(w.sim),
                                     .merge = &w.p.merge,
                                     .housekeeper = w.p.housekeeper,
                                     .found = found,
                                     .segment_bytes = SEGMENT_BYTES,
                                     .snapshot_segments = 2,
                                     .durable = on_durable};
    w.p.log = durable_log_create(&log);
    w.p.tail = tail_create(TAIL_BYTES, found->lsn);
    CU_ASSERT_FATAL(w.p.feeder != NULL && w.p.housekeeper != NULL && w.p.log != NULL && w.p.tail != NULL);
}

static void say(void *state, bool warning, const char *line)
{
    (void)state;
    if (getenv("WILD_VERBOSE") != NULL)
        printf("%s%s\n", warning ? "! " : "", line);
}

static void start_primary(void)
{
    struct table_config table = {.capacity = CAPACITY, .first_lsn = FIRST, .workers = 2, .numa_node = -1};
    w.p = (struct primary_node){0};
    CU_ASSERT_EQUAL_FATAL(table_create(&w.p.table, &table, NULL), 0);
    w.p.ring = log_ring_create(RING_BYTES, -1);
    w.p.context = execute_context_create(w.p.table, 0, w.p.ring);
    struct execute_context *apply = execute_context_create(w.p.table, 1, NULL);
    recover(apply);
    execute_context_destroy(apply);
    const struct recovery_facts *found = recovery_facts(w.p.recovery);
    open_log(found);
    w.identity.node_id = found->meta.node_id;
    memcpy(w.identity.cluster_id, found->meta.cluster_id, CLUSTER_ID_BYTES);
    struct primary_config config = {.keys = {&w.keys},
                                    .identity = &w.identity,
                                    .random = &w.random,
                                    .session_keys = w.sessions,
                                    .meta = &found->meta,
                                    .tail = w.p.tail,
                                    .feeder = w.p.feeder,
                                    .counters = &w.p.counters,
                                    .voice = {.say = say},
                                    .capacity = CAPACITY,
                                    .heartbeat_ms = 20,
                                    .timeout_ms = 400,
                                    .client_port = 7878};
    w.p.primary = primary_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.p.primary);
    w.primary_up = true;
}

/* The process dies; what its kernel had is found again. */
static void kill_primary(void)
{
    w.primary_up = false;
    primary_destroy(w.p.primary);
    if (w.link != NULL)
        link_pair_user(w.link, PRIMARY_END, NULL, NULL);
    struct disk disk = sim_disk_disk(w.sim);
    sim_disk_crash_at(w.sim, sim_disk_boundaries(w.sim));
    CU_ASSERT(disk.call->sync_folder(disk.state) < 0 && sim_disk_crashed(w.sim));
    struct sim_disk *found = sim_disk_image(w.sim, SIM_CRASH_KILL, seeded_next(&w.seed));
    durable_log_destroy(w.p.log);
    housekeeper_destroy(w.p.housekeeper);
    feeder_destroy(w.p.feeder);
    recovery_destroy(w.p.recovery);
    tail_destroy(w.p.tail);
    execute_context_destroy(w.p.context);
    log_ring_destroy(w.p.ring);
    table_destroy(w.p.table);
    sim_disk_destroy(w.sim);
    w.sim = found;
}

/* What workers do. */
static void write_something(void)
{
    static const uint8_t filler[VALUE_BYTES_MAX] = "value";
    static const uint8_t opcodes[] = {OPCODE_SET, OPCODE_SET, OPCODE_SET, OPCODE_DELETE, OPCODE_TOUCH};
    uint8_t value[VALUE_BYTES_MAX];
    char key[24];
    struct operation operation = {.opcode = opcodes[below(sizeof opcodes)], .key = (const uint8_t *)key};
    operation.key_length =
        (uint8_t)snprintf(key, sizeof key, "%skey-%u", below(9) ? "" : "a-longer-", (unsigned)below(KEYS));
    if (operation.opcode == OPCODE_SET) {
        operation.value = filler;
        operation.value_length = (uint16_t)below(below(10) ? 40 : 300);
    }
    if (operation.opcode == OPCODE_SET || operation.opcode == OPCODE_TOUCH)
        operation.ttl_ms = below(3) ? 0 : 1 + below(3000);
    if (below(400) == 0)
        operation = (struct operation){.opcode = OPCODE_FLUSH};
    struct result result = {.value = value, .room = sizeof value};
    execute(w.p.context, &operation, table_hash(w.p.table, operation.key, operation.key_length), w.wall_ms,
            &result);
    if (below(4) == 0)
        execute_sweep(w.p.context, 4, w.wall_ms);
}

static void turn_primary(void)
{
    uint64_t oldest, newest;
    durable_log_turn(w.p.log, 64, w.now_ns, w.wall_ms);
    housekeeper_step(w.p.housekeeper);
    housekeeper_segments(w.p.housekeeper, &oldest, &newest);
    feeder_step(w.p.feeder, oldest, newest);
    uint64_t durable = durable_log_facts(w.p.log).durable_lsn;
    if (durable > w.durable_lsn)
        w.durable_lsn = durable;
    primary_turn(w.p.primary, &(struct primary_log){.durable_lsn = durable, .acknowledged_lsn = durable},
                 w.now_ns, w.wall_ms);
}

/* ---- the replica's node ---- */

static bool host_connect(void *state)
{
    (void)state;
    w.connecting = true;
    return true;
}

static void host_publish(void *state, const struct replica_view *view)
{
    (void)state;
    w.view = *view;
}

static bool host_quiescent(void *state)
{
    (void)state;
    return below(3) == 0;
}

static void host_point(void *state, uint64_t lsn)
{
    (void)state;
    CU_ASSERT(lsn <= w.durable_lsn); /* nobody is shown what the primary could lose */
    CU_ASSERT(lsn >= w.point || !w.view.serving);
    w.point = lsn;
}

static void host_welcomed(void *state, const struct meta *histories, const uint8_t address[16],
                          uint16_t client_port)
{
    (void)state;
    CU_ASSERT(histories->count > 0 && address[12] == 198 && client_port == 7878);
}

static void start_replica(void)
{
    struct replica_config config = {.keys = {&w.keys},
                                    .random = &w.random,
                                    .session_keys = &w.replica_session,
                                    .counters = &w.counters,
                                    .voice = {.say = say},
                                    .host = {.connect = host_connect,
                                             .publish = host_publish,
                                             .quiescent = host_quiescent,
                                             .point = host_point,
                                             .welcomed = host_welcomed},
                                    .node_id = 2,
                                    .capacity = CAPACITY,
                                    .name = "replica"};
    fixture_open(&w.table, &(struct table_config){.capacity = CAPACITY});
    config.apply = w.table.context;
    w.point = 0;
    w.view = (struct replica_view){0};
    w.replica = replica_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.replica);
}

/* ---- the network ---- */

static size_t primary_end_received(void *user, uint8_t *bytes, size_t length)
{
    (void)user;
    primary_received(w.p.session, bytes, length);
    return length;
}

static void primary_end_writable(void *user)
{
    (void)user;
    primary_writable(w.p.session);
}

static void primary_end_gone(void *user)
{
    (void)user;
    primary_link_closed(w.p.session);
    w.p.session = NULL;
}

static size_t replica_end_received(void *user, uint8_t *bytes, size_t length)
{
    (void)user;
    return replica_received(w.replica, bytes, length);
}

static void replica_end_writable(void *user)
{
    (void)user;
    replica_writable(w.replica);
}

static void replica_end_gone(void *user)
{
    (void)user;
    w.linked = false;
    replica_link_closed(w.replica);
}

static void answer_connect(void)
{
    static const struct link_user primary_end = {primary_end_received, primary_end_writable,
                                                 primary_end_gone},
                                  replica_end = {replica_end_received, replica_end_writable,
                                                 replica_end_gone};
    /* the last link's other end may be yet to learn that it is gone */
    if (!w.connecting || (w.primary_up && w.p.session != NULL))
        return;
    w.connecting = false;
    if (!w.primary_up) {
        replica_link_closed(w.replica);
        return;
    }
    if (w.link != NULL)
        link_pair_free(w.link);
    w.link = link_pair_new(LINK_BYTES);
    link_pair_user(w.link, PRIMARY_END, &primary_end, NULL);
    link_pair_user(w.link, REPLICA_END, &replica_end, NULL);
    w.p.session = primary_accept(w.p.primary, &w.link->end[PRIMARY_END].link, w.now_ns);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.p.session);
    w.linked = true;
    replica_connected(w.replica, &w.link->end[REPLICA_END].link);
}

static void turn_network(void)
{
    answer_connect();
    if (w.link == NULL)
        return;
    for (unsigned side = 0; side < 2; side++) {
        if (!w.frozen || side == REPLICA_END)
            link_pair_move(w.link, side, below(4) ? SIZE_MAX : 1 + below(3000));
        link_pair_tell(w.link, side);
    }
}

static void turn(unsigned writes)
{
    w.now_ns += TURN_NS;
    w.wall_ms++;
    if (w.primary_up) {
        for (; writes > 0; writes--)
            write_something();
        turn_primary();
    }
    turn_network();
    if (!w.frozen)
        replica_turn(w.replica, w.now_ns, w.wall_ms);
}

/* ---- comparing ---- */

/* Of all items, whatever their order: buckets are each table's own. */
static uint64_t digest(const struct table *table)
{
    static uint8_t copy[COPY_BYTES];
    uint64_t sum = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++) {
        uint32_t below_slot = TABLE_COPY_ALL;
        do {
            int64_t bytes = table_copy_bucket(table, bucket, &below_slot, copy, sizeof copy);
            CU_ASSERT_FATAL(bytes >= 0);
            for (int64_t at = 0; at < bytes;) {
                size_t length = log_record_encoded_bytes(copy + at);
                uint64_t hash = UINT64_C(0xcbf29ce484222325);
                for (size_t i = 0; i < length; i++)
                    hash = (hash ^ copy[at + (int64_t)i]) * UINT64_C(0x100000001b3);
                sum += hash;
                at += (int64_t)length;
            }
        } while (below_slot != 0);
    }
    return sum;
}

/* Nothing is written any more: the replica comes to have all of it, and to serve it. */
static void settle(void)
{
    struct replica_facts facts;
    struct table_counts ours, theirs;
    w.frozen = false;
    for (unsigned i = 0; i < SETTLE_TURNS; i++) {
        turn(0);
        replica_facts(w.replica, &facts);
        table_counts(w.p.table, &ours);
        if (durable_log_facts(w.p.log).durable_lsn >= ours.lsn && facts.applied_lsn >= ours.lsn &&
            w.view.serving && w.point >= ours.lsn)
            break;
    }
    table_counts(w.table.table, &theirs);
    CU_ASSERT_TRUE_FATAL(w.view.serving);
    CU_ASSERT(facts.applied_lsn >= ours.lsn && w.point >= ours.lsn);
    CU_ASSERT(digest(w.p.table) == digest(w.table.table));
    CU_ASSERT_EQUAL(
        w.view.history,
        recovery_facts(w.p.recovery)->meta.history[recovery_facts(w.p.recovery)->meta.count - 1].id);
}

static void set_up(void)
{
    memset(&w, 0, sizeof w);
    w.seed = seeded_start(seeded_from_environment(3));
    w.random = seeded_source(&w.seed);
    w.now_ns = 1000000000;
    w.wall_ms = 100000;
    CU_ASSERT_EQUAL_FATAL(keys_start(), 0);
    keys_insecure(&w.keys);
    w.sim = sim_disk_create(w.seed, UINT64_C(1) << 30);
    start_primary();
    start_replica();
}

static void tear_down(void)
{
    replica_destroy(w.replica);
    if (w.link != NULL)
        link_pair_user(w.link, REPLICA_END, NULL, NULL);
    fixture_close(&w.table);
    kill_primary();
    sim_disk_destroy(w.sim);
    if (w.link != NULL)
        link_pair_free(w.link);
}

static uint64_t bootstraps(void)
{
    return replication_counted(&w.counters, REPLICATION_bootstraps);
}

static void a_replica_follows_what_is_written(void)
{
    for (unsigned i = 0; i < 1500; i++)
        turn((unsigned)below(20));
    settle();
    CU_ASSERT_EQUAL(bootstraps(), 1);
    CU_ASSERT_EQUAL(replication_counted(&w.counters, REPLICATION_sessions), 1);
    CU_ASSERT(replication_counted(&w.counters, REPLICATION_applied_records) > 1000);
    CU_ASSERT(replication_counted(&w.p.counters, REPLICATION_tail_batches) > 100);
}

static void a_link_that_is_cut_loses_and_repeats_nothing(void)
{
    for (unsigned i = 0; i < 3000; i++) {
        turn((unsigned)below(10));
        if (w.linked && below(60) == 0)
            link_pair_cut(w.link);
    }
    settle();
    CU_ASSERT(replication_counted(&w.counters, REPLICATION_sessions) > 10);
    CU_ASSERT_EQUAL(replication_counted(&w.counters, REPLICATION_gaps), 0);
    CU_ASSERT_EQUAL(replication_counted(&w.counters, REPLICATION_not_in_order), 0);
}

static void a_replica_that_comes_late_begins_with_a_snapshot(void)
{
    for (unsigned i = 0; i < 4000; i++) {
        w.now_ns += TURN_NS;
        w.wall_ms++;
        for (unsigned k = 0; k < 10; k++)
            write_something();
        turn_primary();
    }
    CU_ASSERT(housekeeper_facts(w.p.housekeeper).snapshots > 0);
    for (unsigned i = 0; i < 500; i++)
        turn((unsigned)below(20));
    settle();
    CU_ASSERT_EQUAL(bootstraps(), 1);
    CU_ASSERT(replication_counted(&w.p.counters, REPLICATION_bootstraps) == 1);
}

static void a_replica_that_stood_still_is_fed_from_the_disk(void)
{
    for (unsigned i = 0; i < 300; i++)
        turn(5);
    settle();
    for (unsigned round = 0; round < 3; round++) {
        w.frozen = true;
        for (unsigned i = 0; i < 3000; i++)
            turn(10);
        settle();
    }
    CU_ASSERT(replication_counted(&w.p.counters, REPLICATION_feeds) > 1);
}

static void a_primary_that_dies_is_followed_when_it_is_back(void)
{
    for (unsigned life = 0; life < 6; life++) {
        for (unsigned i = 0; i < 300; i++)
            turn((unsigned)below(15));
        if (below(2))
            settle();
        kill_primary();
        turn(0); /* what was on its way may come */
        uint64_t had = digest(w.table.table);
        for (unsigned i = 0; i < 200; i++)
            turn(0);
        CU_ASSERT(w.view.serving && digest(w.table.table) == had); /* reads go on meanwhile */
        start_primary();
        settle();
    }
    CU_ASSERT_EQUAL(bootstraps(), 1); /* it had nothing that the log had not */
    CU_ASSERT_EQUAL(replication_counted(&w.counters, REPLICATION_gaps), 0);
}

static void whatever_happens_both_are_the_same_in_the_end(void)
{
    printf("seed %llu ", (unsigned long long)seeded_from_environment(3));
    for (unsigned round = 0; round < 12; round++) {
        unsigned writes = (unsigned)below(25);
        for (unsigned i = 0; i < 800; i++) {
            turn(writes > 0 ? (unsigned)below(writes) : 0);
            uint64_t what = below(400);
            if (what == 0 && w.linked)
                link_pair_cut(w.link);
            else if (what == 1)
                w.frozen = !w.frozen;
            else if (what == 2)
                durable_log_snapshot(w.p.log);
            else if (what == 3)
                replica_reconnect(w.replica);
            else if (what == 4 && below(4) == 0) {
                kill_primary();
                start_primary();
            }
        }
        settle();
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a replica follows what is written", a_replica_follows_what_is_written},
        {"a link that is cut loses and repeats nothing", a_link_that_is_cut_loses_and_repeats_nothing},
        {"a replica that comes late begins with a snapshot",
         a_replica_that_comes_late_begins_with_a_snapshot},
        {"a replica that stood still is fed from the disk", a_replica_that_stood_still_is_fed_from_the_disk},
        {"a primary that dies is followed when it is back", a_primary_that_dies_is_followed_when_it_is_back},
        {"whatever happens, both are the same in the end", whatever_happens_both_are_the_same_in_the_end},
        CU_TEST_INFO_NULL};
    return suite_run_each("replication_pair", set_up, tear_down, tests);
}
