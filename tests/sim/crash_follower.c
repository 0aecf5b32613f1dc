#include "crash_follower.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "seeded.h"

enum { BATCH_BYTES_MAX = 32 * 1024, FINISH_TURNS_MAX = 20000, CLEAR_BUCKETS = 64 };

/* ---- life ---- */

void follower_open(struct follower *f, const struct follower_plan *plan, const struct trail *trail,
                   struct sim_disk *disk, uint64_t seed, uint64_t wall_ms)
{
    struct table_config config = {
        .capacity = plan->capacity, .first_lsn = 1, .workers = 1, .evict = EVICT_NONE, .numa_node = -1};
    struct table_info info;

    memset(f, 0, sizeof *f);
    f->plan = plan;
    f->trail = trail;
    f->random = seeded_start(seed);
    f->mono_ns = 1;
    f->wall_ms = wall_ms;
    crash_disk_init(&f->disk, disk);
    sim_disk_set_latency(disk, plan->latency_max);
    seeded_fill(&f->random, config.hash_key, sizeof config.hash_key);
    crash_must(table_create(&f->table, &config, &info) == 0, "no table");
    f->context = execute_context_create(f->table, 0, NULL);
    crash_must(f->context != NULL, "no memory");
}

int follower_recover(struct follower *f)
{
    struct recovery_config config = {.disk = crash_disk_disk(&f->disk),
                                     .apply = f->context,
                                     .random = seeded_source(&f->random),
                                     .folder = "wal",
                                     .segment_bytes = f->plan->segment_bytes,
                                     .follows = true};
    int more;

    f->recovery = recovery_create(&config);
    crash_must(f->recovery != NULL, "no memory");
    do
        more = recovery_step(f->recovery);
    while (more > 0);
    return more;
}

void follower_start(struct follower *f, const struct copy *found)
{
    const struct recovery_facts *facts = recovery_facts(f->recovery);
    struct housekeeper_config keeper = {.disk = crash_disk_disk(&f->disk),
                                        .table = f->table,
                                        .found = facts,
                                        .segment_bytes = f->plan->segment_bytes,
                                        .snapshot_buckets = f->plan->snapshot_buckets};
    struct durable_log_config log = {.queue = crash_disk_queue(&f->disk),
                                     .found = facts,
                                     .table = f->table,
                                     .follows = true,
                                     .segment_bytes = f->plan->segment_bytes,
                                     .snapshot_segments = f->plan->snapshot_segments};

    f->meta = facts->meta;
    f->folder = *found;
    f->folder.stamp = facts->meta.stamp;
    f->line = found->line;
    f->at = line_at(&f->line, facts->lsn);
    f->learned = facts->meta.count;
    f->nothing = facts->history == 0;
    f->state = FOLLOWS;
    f->housekeeper = log.housekeeper = housekeeper_create(&keeper);
    f->log = durable_log_create(&log);
    crash_must(f->housekeeper != NULL && f->log != NULL, "no memory");
}

static void stop_log(struct follower *f)
{
    durable_log_destroy(f->log);
    housekeeper_destroy(f->housekeeper);
    f->log = NULL;
    f->housekeeper = NULL;
}

void follower_close(struct follower *f)
{
    if (f->log != NULL) {
        struct disk disk = sim_disk_disk(f->disk.sim);
        sim_disk_crash_at(f->disk.sim, 0);
        disk.call->remove(disk.state, "nothing");
        stop_log(f);
    }
    recovery_destroy(f->recovery);
    execute_context_destroy(f->context);
    table_destroy(f->table);
}

/* ---- the stream ---- */

static uint64_t new_id(struct follower *f)
{
    return seeded_next(&f->random) | 1;
}

/* The copy whose log is written. */
static struct copy *written(struct follower *f)
{
    return f->other.stamp != 0 ? &f->other : &f->folder;
}

/* The primary is started anew, where the replica is or a little further on. */
static void part_line(struct follower *f)
{
    uint64_t last = f->at.lsn, first = f->line.era[f->line.eras - 1].first_lsn;

    if (f->at.era + 1 != f->line.eras)
        return; /* it is far behind */
    if (last < first)
        last = first - 1;
    f->counts.histories += line_part(&f->line, last + seeded_below(&f->random, 30), new_id(f));
    written(f)->line = f->line;
}

static void learn(struct follower *f)
{
    line_meta(&f->meta, &f->line, f->at.era + 2);
    if (housekeeper_write_meta(f->housekeeper, &f->meta))
        f->state = LEARNS;
}

/* Up to `count` records of one history: applied if the log takes them. */
static void append(struct follower *f, unsigned count)
{
    static uint8_t bytes[BATCH_BYTES_MAX];
    uint64_t lsn = line_next(&f->line, f->at), first = lsn;
    unsigned era = f->at.era, taken = 0;
    size_t used = 0;

    if (lsn == 0) {
        if (era + 2 > f->learned) {
            learn(f);
            return;
        }
        first = lsn = f->line.era[++era].first_lsn;
    }
    for (; taken < count && used + LOG_RECORD_BYTES_MAX <= sizeof bytes; taken++, lsn++) {
        if (lsn > f->line.era[era].last_lsn)
            break;
        used += line_record(bytes + used, f->line.era[era].history, lsn, f->plan->keys);
    }
    if (!durable_log_append(f->log, f->line.era[era].history, first, bytes, used, taken))
        return;
    crash_must(apply_records(f->context, bytes, used) == 0, "what fits the primary does not fit");
    f->counts.records += taken;
    f->at.era = era;
    if (taken > 0)
        f->at.lsn = lsn - 1;
    written(f)->most = f->at.lsn;
}

static void stream(struct follower *f)
{
    if (f->state != FOLLOWS || f->nothing)
        return;
    if (seeded_below(&f->random, 40) == 0)
        part_line(f);
    append(f, (unsigned)seeded_below(&f->random, f->plan->batch_max + 1));
}

/* ---- beginning anew ---- */

/* The first record that the folder's log has on disk: before it there is a snapshot, or nothing. */
static uint64_t first_on_disk(struct follower *f)
{
    struct disk disk = sim_disk_disk(f->disk.sim);
    uint64_t oldest, newest, first = UINT64_MAX;
    struct wal_block block;

    housekeeper_segments(f->housekeeper, &oldest, &newest);
    uint8_t *bytes = crash_memory(NULL, WAL_BLOCK_BYTES_MAX);
    for (; oldest <= newest && first == UINT64_MAX; oldest++) {
        char name[DISK_NAME_BYTES];
        meta_segment_name(name, oldest);
        int file = disk.call->open(disk.state, name, DISK_READ, 0);
        if (file < 0)
            continue;
        int64_t got = disk.call->read(disk.state, file, 0, bytes, WAL_BLOCK_BYTES_MAX);
        disk.call->close(disk.state, file);
        if (wal_block_decode(&block, bytes, (size_t)got, oldest, 0) == WAL_WHOLE &&
            block.stamp == f->folder.stamp)
            first = block.first_lsn;
    }
    free(bytes);
    return first;
}

/* Where the primary's snapshot will have brought it: on the line from now on. */
static void choose_line(struct follower *f)
{
    struct copy *other = &f->other;
    struct copy *copy = &f->folder;
    uint64_t pick = seeded_below(&f->random, 8);

    *other = (struct copy){.stamp = new_id(f)};
    other->line = f->line;
    if (other->line.eras == 0)
        line_begin(&other->line, new_id(f));
    if (copy->line.eras > 0 && pick < 4) {
        uint64_t back = seeded_below(&f->random, 400);
        uint64_t first = f->line.era[f->at.era].first_lsn;
        uint64_t lsn = f->at.lsn > first + back ? f->at.lsn - back : f->at.lsn;
        struct line fork;
        if (line_fork(&fork, &f->line, lsn, new_id(f))) {
            other->line = fork;
            f->counts.forks++;
        }
    }
    const struct era *last = &other->line.era[other->line.eras - 1];
    uint64_t from = f->at.lsn > last->first_lsn ? f->at.lsn : last->first_lsn;
    other->least = other->most = from + seeded_below(&f->random, 300);
    if (pick == 7) { /* of a primary that never took a snapshot */
        other->least = other->most = 0;
        f->counts.from_nothing++;
    }
    other->common_lsn = line_common(&copy->line, &other->line);
    other->keeps_tail = copy->most > other->common_lsn;
    other->tail_lsn = first_on_disk(f);
    if (other->tail_lsn <= other->common_lsn)
        other->tail_lsn = other->common_lsn + 1;
}

static void begin_anew(struct follower *f)
{
    durable_log_finish(f->log);
    f->state = GIVES_UP;
    f->counts.begun_anew++;
}

static void apply_one(void *context, const uint8_t *record, size_t length)
{
    struct follower *f = context;

    crash_must(apply_records(f->context, record, length) == 0, "what fits the primary does not fit");
}

/* As the primary's snapshot and what follows it bring it in. */
static void fill_table(struct follower *f)
{
    while (!apply_clear(f->context, CLEAR_BUCKETS))
        ;
    crash_must(apply_begin(f->context) == 0, "no memory");
    line_each(&f->other.line, f->other.least, f->plan->keys, apply_one, f);
    crash_must(apply_end(f->context) == 0, "what fits the primary does not fit");
}

/* The folder is the one's or the other's, for sure: nothing is under way. */
static void settle(struct follower *f)
{
    if (f->other.stamp != 0 && housekeeper_meta(f->housekeeper)->stamp == f->other.stamp) {
        f->folder = f->other;
        f->counts.adopted++;
    }
    f->other.stamp = 0;
}

static void give_up(struct follower *f)
{
    if (!housekeeper_give_up(f->housekeeper) || !durable_log_finished(f->log))
        return;
    f->counts.given_up += f->other.stamp != 0;
    settle(f);
    choose_line(f);
    fill_table(f);
    f->line = f->other.line;
    f->at = line_at(&f->line, f->other.least);
    f->learned = f->other.least > 0 ? f->at.era + 1 : 1;
    f->meta.stamp = f->other.stamp;
    line_meta(&f->meta, &f->line, f->learned);
    f->state = BEGINS;
}

static void begin_log(struct follower *f)
{
    const struct era *era = &f->line.era[f->at.era];
    bool any = f->at.lsn != 0;
    struct durable_log_begin begin = {.start = {.segment = housekeeper_next_base(f->housekeeper) - 1,
                                                .next_lsn = any ? f->at.lsn + 1 : 1,
                                                .history = any ? era->history : 0},
                                      .history = era->history,
                                      .next_lsn = any ? f->at.lsn + 1 : era->first_lsn,
                                      .durable_lsn = f->at.lsn,
                                      .stamp = f->other.stamp};

    memcpy(begin.cluster_id, f->meta.cluster_id, sizeof begin.cluster_id);
    if (!durable_log_begin(f->log, &begin))
        return;
    f->begin = begin.start;
    f->begin.segment++;
    f->nothing = false;
    f->state = ADOPTS;
}

/* From the log's begin, or from where it is by now. */
static void adopt(struct follower *f, const struct wal_position *start)
{
    struct adoption adoption = {.meta = f->meta,
                                .start = *start,
                                .wall_ms = f->wall_ms,
                                .keep_tail = f->other.keeps_tail,
                                .common_lsn = f->other.common_lsn};

    if (housekeeper_adopt(f->housekeeper, &adoption) && f->state == ADOPTS)
        f->state = FOLLOWS;
}

/* ---- control ---- */

static void mind_adoption(struct follower *f)
{
    struct housekeeper_facts facts = housekeeper_facts(f->housekeeper);
    struct wal_position position;

    if (f->other.stamp == 0 || f->state == GIVES_UP || f->state == BEGINS || f->state == ADOPTS)
        return;
    if (facts.adoption == ADOPTION_DONE) {
        settle(f);
    } else if (facts.adoption == ADOPTION_FAILED && durable_log_position(f->log, &position)) {
        f->counts.failed++;
        adopt(f, seeded_below(&f->random, 2) ? &position : &f->begin);
    }
}

/* Told to the primary: what is durable of the folder's log. */
static void promise(struct follower *f)
{
    uint64_t durable = durable_log_facts(f->log).durable_lsn;

    if (f->other.stamp != 0 || f->nothing || f->state == GIVES_UP)
        return;
    durable = line_at(&f->line, durable < f->at.lsn ? durable : f->at.lsn).lsn;
    if (durable > f->folder.least)
        f->folder.least = durable;
}

static void mind_learning(struct follower *f)
{
    struct housekeeper_facts facts = housekeeper_facts(f->housekeeper);

    if (f->state != LEARNS || facts.meta_pending)
        return;
    f->state = FOLLOWS;
    if (facts.meta_error == 0 && facts.metas_written > f->metas) {
        f->learned = f->meta.count;
        f->counts.learned++;
    }
    f->metas = facts.metas_written;
}

static void control(struct follower *f)
{
    f->mono_ns += seeded_below(&f->random, 1000000);
    if (seeded_below(&f->random, 16) == 0)
        f->mono_ns += 2 * (uint64_t)WAL_MARK_IDLE_NS;
    if (durable_log_facts(f->log).state == WAL_DISK_FULL)
        f->mono_ns += WAL_RETRY_NS / 4;
    f->wall_ms += seeded_below(&f->random, 3);
    mind_learning(f);
    mind_adoption(f);
    if (f->state == GIVES_UP)
        give_up(f);
    else if (f->state == BEGINS)
        begin_log(f);
    if (f->state == ADOPTS)
        adopt(f, &f->begin);
    durable_log_turn(f->log, 0, f->mono_ns, f->wall_ms);
    if (durable_log_facts(f->log).state == WAL_FAILED)
        trail_fail(f->trail, "the log failed");
    promise(f);
}

/* ---- steps ---- */

static void trouble(struct follower *f)
{
    if (!f->plan->space || seeded_below(&f->random, f->filled ? 60 : 400) != 0)
        return;
    f->filled = !f->filled;
    sim_disk_set_space(f->disk.sim, f->filled ? 0 : UINT64_MAX);
}

void follower_step(struct follower *f)
{
    unsigned sum = 0;

    if (f->steps++ % 64 == 0)
        for (unsigned i = 0; i < 3; i++)
            f->weight[i] = 1 + (unsigned)seeded_below(&f->random, 8);
    trouble(f);
    if (f->plan->snapshot_segments > 0 && seeded_below(&f->random, 300) == 0)
        durable_log_snapshot(f->log);
    if (f->state == FOLLOWS && (f->nothing || seeded_below(&f->random, f->plan->anew_odds) == 0))
        begin_anew(f);
    for (unsigned i = 0; i < 3; i++)
        sum += f->weight[i];
    unsigned pick = (unsigned)seeded_below(&f->random, sum);
    if (pick < f->weight[0])
        stream(f);
    else if (pick < f->weight[0] + f->weight[1])
        control(f);
    else
        (void)housekeeper_step(f->housekeeper);
}

/* ---- the end in order ---- */

void follower_finish(struct follower *f)
{
    unsigned quiet = 0;

    sim_disk_set_space(f->disk.sim, UINT64_MAX);
    for (unsigned turn = 0; f->state != FOLLOWS || f->other.stamp != 0; turn++) {
        control(f);
        (void)housekeeper_step(f->housekeeper);
        if (turn == FINISH_TURNS_MAX)
            trail_fail(f->trail, "a log is not adopted");
    }
    durable_log_finish(f->log);
    for (unsigned turn = 0; !durable_log_finished(f->log) || quiet < 8; turn++) {
        control(f);
        quiet = housekeeper_step(f->housekeeper) == HOUSEKEEPER_IDLE ? quiet + 1 : 0;
        if (turn == FINISH_TURNS_MAX)
            trail_fail(f->trail, "the log does not come to its end");
    }
    stop_log(f);
    if (f->disk.open != 0)
        trail_fail(f->trail, "%u files were left open", f->disk.open);
    if (f->folder.least != f->folder.most)
        trail_fail(f->trail, "ended with durable lsn %" PRIu64 " of %" PRIu64, f->folder.least,
                   f->folder.most);
}
