#include "crash_node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crash_worker.h"
#include "seeded.h"

enum { RING_BYTES = 65536, FINISH_TURNS_MAX = 20000 };

static const uint64_t first_lsn = UINT64_C(1) << 32;

/* ---- life ---- */

static void make_table(struct node *node)
{
    struct table_config config = {.capacity = node->plan->capacity,
                                  .first_lsn = first_lsn,
                                  .workers = NODE_WORKERS + 1,
                                  .evict = node->plan->evict,
                                  .numa_node = -1};
    struct table_info info;

    seeded_fill(&node->random, config.hash_key, sizeof config.hash_key);
    crash_must(table_create(&node->table, &config, &info) == 0, "no table");
    for (unsigned i = 0; i <= NODE_WORKERS; i++) {
        if (i < NODE_WORKERS)
            node->own[i] = log_ring_create(RING_BYTES, -1);
        node->context[i] = execute_context_create(node->table, i, i < NODE_WORKERS ? node->own[i] : NULL);
        crash_must(node->context[i] != NULL && (i == NODE_WORKERS || node->own[i] != NULL), "no memory");
    }
}

void node_open(struct node *node, const struct node_plan *plan, const struct trail *trail,
               struct sim_disk *disk, uint64_t seed, uint64_t wall_ms)
{
    memset(node, 0, sizeof *node);
    node->plan = plan;
    node->trail = trail;
    node->random = seeded_start(seed);
    node->mono_ns = 1 + seeded_below(&node->random, 1000000);
    node->wall_ms = wall_ms;
    crash_disk_init(&node->disk, disk);
    sim_disk_set_latency(disk, plan->latency_max);
    make_table(node);
}

int node_recover(struct node *node)
{
    struct recovery_config config = {.disk = crash_disk_disk(&node->disk),
                                     .apply = node->context[NODE_WORKERS],
                                     .random = seeded_source(&node->random),
                                     .folder = "wal",
                                     .segment_bytes = node->plan->segment_bytes};
    int more;

    node->recovery = recovery_create(&config);
    crash_must(node->recovery != NULL, "no memory");
    do
        more = recovery_step(node->recovery);
    while (more > 0);
    return more;
}

void node_start(struct node *node, const struct journal *journal)
{
    const struct recovery_facts *found = recovery_facts(node->recovery);
    const struct meta *meta = &found->meta;
    struct housekeeper_config keeper = {.disk = crash_disk_disk(&node->disk),
                                        .table = node->table,
                                        .found = found,
                                        .segment_bytes = node->plan->segment_bytes,
                                        .snapshot_buckets = node->plan->snapshot_buckets};
    struct durable_log_config log = {.queue = crash_disk_queue(&node->disk),
                                     .merge = &node->merge,
                                     .found = found,
                                     .segment_bytes = node->plan->segment_bytes,
                                     .snapshot_segments = node->plan->snapshot_segments};

    journal_copy(&node->journal, journal, journal_count_to(journal, found->lsn));
    oracle_at(&node->oracle, &node->journal, node->journal.count);
    node->durable_lsn = node->promised = found->lsn;
    for (unsigned i = 0; i < NODE_WORKERS; i++) {
        node->shared[i] = log_ring_create(RING_BYTES, -1);
        crash_must(node->shared[i] != NULL, "no memory");
        node->held[i].bytes = crash_memory(NULL, NODE_HELD_BYTES);
    }
    node->answer = crash_memory(NULL, NODE_ANSWERS_MAX * sizeof *node->answer);
    log_merge_init(&node->merge, node->shared, NODE_WORKERS, meta->history[meta->count - 1].first_lsn);
    node->housekeeper = log.housekeeper = housekeeper_create(&keeper);
    node->log = durable_log_create(&log);
    crash_must(node->housekeeper != NULL && node->log != NULL, "no memory");
}

/* Files and what lives in them; the table stays. */
static void stop_log(struct node *node)
{
    durable_log_destroy(node->log);
    housekeeper_destroy(node->housekeeper);
    node->log = NULL;
    node->housekeeper = NULL;
}

void node_close(struct node *node)
{
    if (node->log != NULL) {
        struct disk disk = sim_disk_disk(node->disk.sim);
        sim_disk_crash_at(node->disk.sim, 0);
        disk.call->remove(disk.state, "nothing");
        stop_log(node);
    }
    recovery_destroy(node->recovery);
    for (unsigned i = 0; i < NODE_WORKERS; i++) {
        free(node->held[i].bytes);
        log_ring_destroy(node->shared[i]);
    }
    for (unsigned i = 0; i <= NODE_WORKERS; i++) {
        execute_context_destroy(node->context[i]);
        if (i < NODE_WORKERS)
            log_ring_destroy(node->own[i]);
    }
    free(node->answer);
    journal_free(&node->journal);
    table_destroy(node->table);
}

/* ---- steps ---- */

/* Hands over up to `records` of a worker's. */
static void publish(struct node *node, unsigned worker, unsigned records)
{
    struct node_held *held = &node->held[worker];
    size_t at = 0;

    for (; records > 0 && at < held->used; records--) {
        struct log_record record;
        int taken = log_record_decode(&record, held->bytes + at, held->used - at);
        crash_must(taken > 0, "a record that is not valid");
        if (!log_ring_reserve(node->shared[worker], 1, (size_t)taken))
            break;
        log_ring_append(node->shared[worker], &record);
        at += (size_t)taken;
    }
    held->used -= at;
    memmove(held->bytes, held->bytes + at, held->used);
}

/* Answers that need wait no more are given. */
static void answer_all(struct node *node)
{
    unsigned left = 0;

    for (unsigned i = 0; i < node->answers; i++) {
        struct node_answer answer = node->answer[i];
        if (answer.waits_for > node->durable_lsn) {
            node->answer[left++] = answer;
            continue;
        }
        node->counts.waited++;
        if (answer.depends_on > node->promised)
            node->promised = answer.depends_on;
    }
    node->answers = left;
}

static void control(struct node *node, unsigned records)
{
    struct wal_writer_facts facts = durable_log_facts(node->log);
    bool was_failed = facts.state == WAL_FAILED;

    node->mono_ns += seeded_below(&node->random, 1000000);
    if (seeded_below(&node->random, 16) == 0)
        node->mono_ns += 2 * (uint64_t)WAL_MARK_IDLE_NS;
    if (facts.state == WAL_DISK_FULL)
        node->mono_ns += WAL_RETRY_NS / 4;
    node->wall_ms += seeded_below(&node->random, 3);
    durable_log_turn(node->log, records, node->mono_ns, node->wall_ms);
    facts = durable_log_facts(node->log);
    if (facts.durable_lsn < node->durable_lsn)
        trail_fail(node->trail, "durable_lsn went back to %" PRIu64, facts.durable_lsn);
    if (was_failed && facts.durable_lsn != node->durable_lsn)
        trail_fail(node->trail, "a log that had failed went on");
    node->counts.full += facts.state == WAL_DISK_FULL;
    node->counts.failed += facts.state == WAL_FAILED && !was_failed;
    if (facts.durable_lsn == node->durable_lsn)
        return;
    node->durable_lsn = facts.durable_lsn;
    answer_all(node);
}

/* Now and then, something with the disk. */
static void trouble(struct node *node)
{
    struct sim_disk *sim = node->disk.sim;
    bool sticky = seeded_below(&node->random, 2) == 0;
    unsigned n = 1 + (unsigned)seeded_below(&node->random, 6);

    if (node->plan->trouble == TROUBLE_SPACE && seeded_below(&node->random, node->filled ? 40 : 250) == 0) {
        node->filled = !node->filled;
        sim_disk_set_space(sim, node->filled && seeded_below(&node->random, 3) != 0 ? 0 : UINT64_MAX);
        sim_disk_fail_write(sim, node->filled && seeded_below(&node->random, 2) == 0 ? n : 0, ENOSPC, sticky);
    }
    if (node->plan->trouble == TROUBLE_ERROR && !node->broken && node->steps > 200 &&
        seeded_below(&node->random, 300) == 0) {
        node->broken = true;
        if (seeded_below(&node->random, 3) != 0)
            sim_disk_fail_write(sim, n, EIO, sticky);
        else
            sim_disk_fail_sync(sim, n, EIO, sticky);
    }
    if (node->plan->trouble != TROUBLE_NONE && seeded_below(&node->random, 300) == 0)
        node->mono_ns += UINT64_C(10000000000);
}

void node_step(struct node *node)
{
    unsigned sum = 0, worker = (unsigned)seeded_below(&node->random, NODE_WORKERS);

    if (node->steps++ % 64 == 0) /* some of them get little time for a while */
        for (unsigned i = 0; i < 4; i++)
            node->weight[i] = 1 + (unsigned)seeded_below(&node->random, 8);
    trouble(node);
    if (node->plan->snapshot_segments > 0 && seeded_below(&node->random, 400) == 0)
        durable_log_snapshot(node->log);
    for (unsigned i = 0; i < 4; i++)
        sum += node->weight[i];
    unsigned pick = (unsigned)seeded_below(&node->random, sum);
    if (pick < node->weight[0]) {
        worker_step(node, worker);
    } else if (pick < node->weight[0] + node->weight[1]) {
        publish(node, worker, 1 + (unsigned)seeded_below(&node->random, 64));
    } else if (pick < node->weight[0] + node->weight[1] + node->weight[2]) {
        control(node, 1 + (unsigned)seeded_below(&node->random, 200));
    } else {
        (void)housekeeper_step(node->housekeeper);
    }
}

/* ---- the end in order ---- */

bool node_finish(struct node *node)
{
    uint64_t last_lsn = node->journal.count > 0 ? node->journal.entry[node->journal.count - 1].lsn : 0;
    unsigned quiet = 0;

    sim_disk_set_space(node->disk.sim, UINT64_MAX);
    sim_disk_fail_write(node->disk.sim, 0, 0, false);
    sim_disk_fail_sync(node->disk.sim, 0, 0, false);
    for (unsigned turn = 0; !durable_log_finished(node->log); turn++) {
        for (unsigned i = 0; i < NODE_WORKERS; i++)
            publish(node, i, UINT32_MAX);
        if (node->held[0].used + node->held[1].used + node->held[2].used == 0)
            durable_log_finish(node->log);
        control(node, 200);
        (void)housekeeper_step(node->housekeeper);
        if (turn == FINISH_TURNS_MAX)
            trail_fail(node->trail, "the log does not come to its end");
    }
    struct wal_writer_facts facts = durable_log_facts(node->log);
    for (unsigned turn = 0; quiet < 8 && turn < FINISH_TURNS_MAX; turn++) { /* files are closed, or removed */
        control(node, 1);
        quiet = housekeeper_step(node->housekeeper) == HOUSEKEEPER_IDLE ? quiet + 1 : 0;
    }
    stop_log(node);
    if (node->disk.open != 0)
        trail_fail(node->trail, "%u files were left open", node->disk.open);
    if (facts.state == WAL_FAILED)
        return false;
    if (node->durable_lsn < last_lsn)
        trail_fail(node->trail, "ended with durable lsn %" PRIu64 " of %" PRIu64, node->durable_lsn,
                   last_lsn);
    node->promised = last_lsn > node->promised ? last_lsn : node->promised;
    return true;
}
