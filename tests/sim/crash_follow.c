/*
 * crash_follow.c - crashes of a log that follows, leads and follows again, and that enters history after history meanwhile: at
 * every I/O boundary, in every way the disk can, a start finds a prefix of what was taken, whole, with all that was told to be
 * durable; as a replica's or as a primary's.
 *
 *   crash_follow [--images N] [--seed S]         WILD_SEED=S is as good as --seed
 *
 * A run is a chain of lives on one folder: each begins with a recovery, of either kind, and ends in a crash. Images are taken on
 * the way, of the recovery too, and recovered by themselves. Crashes in deeper nests: crash_log.c.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apply.h"
#include "crash_disk.h"
#include "crash_journal.h"
#include "durable_log.h"
#include "epoch.h"
#include "seeded.h"
#include "snapshot.h"

enum {
    LIVES = 8, /* of a run */
    STEPS = 600,
    ALWAYS = 4096, /* odds of an image */
    ODDS_WORK = ALWAYS / 40,
    ODDS_RECOVERY = ALWAYS / 4,
    RING_BYTES = 65536,
    PENDING_BYTES = 4 * WAL_BLOCK_BYTES_MAX, /* appended, not applied yet */
    RECORDS_MAX = 60,
    KEYS = 64,
};

struct statistics {
    uint64_t runs, lives, images, images_in_recovery, records, torn, with_snapshot;
    uint64_t followed, entered, led, back, primaries, snapshots, refused;
};

struct life {
    struct trail *trail;
    struct statistics *statistics;
    struct crash_disk disk;
    struct table *table;
    struct execute_context *apply;
    struct recovery *recovery;
    struct housekeeper *housekeeper;
    struct durable_log *log;
    struct log_ring *ring;
    struct log_merge merge;
    struct journal
        *journal; /* of the folder: what was taken, by all lives; while recovering, not to be changed */
    uint8_t *pending;
    size_t pending_bytes;
    struct meta meta; /* as it will be once a change that is under way is durable */
    enum { NO_CHANGE, ENTERS, BEGINS_TO_LEAD } change;
    uint64_t metas_written; /* before the change */
    uint64_t history, next_lsn, promised, random, now_ns, odds, boundary;
    uint64_t apply_odds; /* one of so many steps that may apply does */
    bool is_image, follows_again;
};

static void check_image(struct life *life, enum sim_crash kind);

/* ---- crashes ---- */

static void before_call(void *context, enum crash_call call, uint64_t boundary)
{
    struct life *life = context;

    (void)call;
    if (life->is_image || boundary < life->boundary)
        return;
    life->boundary = boundary + 1;
    for (unsigned kind = 0; kind < SIM_CRASHES; kind++)
        if (seeded_below(&life->random, ALWAYS) < life->odds)
            check_image(life, (enum sim_crash)kind);
}

/* ---- recovery ---- */

static void open_life(struct life *life, struct sim_disk *sim)
{
    struct table_config config = {
        .capacity = 4096, .first_lsn = 1, .workers = 1, .evict = EVICT_NONE, .numa_node = -1};
    struct table_info info;

    crash_disk_init(&life->disk, sim);
    life->disk.before = before_call;
    life->disk.context = life;
    life->boundary = sim_disk_boundaries(sim);
    seeded_fill(&life->random, config.hash_key, sizeof config.hash_key);
    crash_must(table_create(&life->table, &config, &info) == 0, "no table");
    life->apply = execute_context_create(life->table, 0, NULL);
    crash_must(life->apply != NULL, "no memory");
}

static void close_life(struct life *life)
{
    if (life->log != NULL) {
        struct disk disk = sim_disk_disk(life->disk.sim);
        sim_disk_crash_at(life->disk.sim, 0);
        disk.call->remove(disk.state, "nothing");
        durable_log_destroy(life->log);
        housekeeper_destroy(life->housekeeper);
    }
    recovery_destroy(life->recovery);
    log_ring_destroy(life->ring);
    execute_context_destroy(life->apply);
    table_destroy(life->table);
    free(life->pending);
}

/* The whole of it, and what was found is a prefix. The journal may be of a life that is going on. */
static void recover(struct life *life, bool follows)
{
    struct recovery_config config = {.disk = crash_disk_disk(&life->disk),
                                     .apply = life->apply,
                                     .random = seeded_source(&life->random),
                                     .folder = "wal",
                                     .segment_bytes = WAL_BLOCK_BYTES_MAX,
                                     .follows = follows};
    struct oracle oracle;
    int more;

    life->recovery = recovery_create(&config);
    crash_must(life->recovery != NULL, "no memory");
    do
        more = recovery_step(life->recovery);
    while (more > 0);
    if (more != 0)
        trail_fail(life->trail, "recovery: %d: %s", more, recovery_error(life->recovery));
    const struct recovery_facts *found = recovery_facts(life->recovery);
    size_t count = journal_count_to(life->journal, found->lsn);
    if (found->lsn < life->promised)
        trail_fail(life->trail, "recovered up to lsn %" PRIu64 ", but %" PRIu64 " was durable", found->lsn,
                   life->promised);
    if (found->lsn != (count > 0 ? life->journal->entry[count - 1].lsn : 0))
        trail_fail(life->trail, "recovered up to lsn %" PRIu64 ", which there never was", found->lsn);
    if (follows && found->history != found->end.history)
        trail_fail(life->trail, "goes on with another history than the log's");
    oracle_at(&oracle, life->journal, count);
    oracle_compare(&oracle, life->table, life->trail);
    life->statistics->records += found->records;
    life->statistics->torn += found->dropped_bytes > 0;
    life->statistics->with_snapshot += found->snapshot_lsn != 0;
}

/* A crash here: what a start would find. */
static void check_image(struct life *life, enum sim_crash kind)
{
    uint64_t seed = seeded_next(&life->random);
    struct sim_disk *sim = sim_disk_image(life->disk.sim, kind, seed);
    struct life *image = crash_memory(NULL, sizeof *image);

    memset(image, 0, sizeof *image);
    image->trail = life->trail;
    image->statistics = life->statistics;
    image->journal = life->journal;
    image->promised = life->promised;
    image->random = seed;
    image->is_image = true;
    life->statistics->images++;
    life->statistics->images_in_recovery += life->log == NULL;
    open_life(image, sim);
    recover(image, seed % 4 != 0);
    close_life(image);
    sim_disk_destroy(sim);
    free(image);
}

/* ---- records ---- */

static size_t make_record(struct life *life, uint8_t *out, uint64_t lsn)
{
    uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
    uint64_t pick = seeded_below(&life->random, 400);
    struct log_record record = {.lsn = lsn, .type = pick == 0 ? LOG_FLUSH : LOG_SET};

    if (pick > 0) {
        record.key = key;
        record.key_length = journal_key(key, (unsigned)seeded_below(&life->random, KEYS));
    }
    if (pick > 0 && pick < 100) {
        record.type = LOG_DELETE;
        record.reason = LOG_REASON_REQUEST;
    } else if (pick >= 100) {
        record.value_length = (uint16_t)seeded_below(&life->random, pick < 300 ? 40 : VALUE_BYTES_MAX);
        seeded_fill(&life->random, value, record.value_length);
        record.value = value;
    }
    return log_record_encode(out, &record);
}

static void into_journal(struct life *life, const uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        struct log_record record;
        int taken = log_record_decode(&record, bytes + at, length - at);
        crash_must(taken > 0, "a record that is not valid");
        journal_add(life->journal, life->trail, &record);
        at += (size_t)taken;
    }
}

static void append(struct life *life)
{
    uint8_t *bytes = life->pending + life->pending_bytes;
    unsigned count = (unsigned)seeded_below(&life->random, RECORDS_MAX);
    size_t length = 0;

    if (life->pending_bytes + (size_t)RECORDS_MAX * LOG_RECORD_BYTES_MAX > PENDING_BYTES ||
        life->history == 0)
        return;
    for (unsigned i = 0; i < count; i++)
        length += make_record(life, bytes + length, life->next_lsn + i);
    if (!durable_log_append(life->log, life->history, life->next_lsn, bytes, length, count)) {
        life->statistics->refused++;
        return;
    }
    into_journal(life, bytes, length);
    life->pending_bytes += length;
    life->next_lsn += count;
    life->statistics->followed += count;
}

static void apply_pending(struct life *life)
{
    crash_must(apply_records(life->apply, life->pending, life->pending_bytes) == 0, "cannot be applied");
    life->pending_bytes = 0;
}

static void write_to_ring(struct life *life)
{
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    struct log_record record;

    for (unsigned i = (unsigned)seeded_below(&life->random, RECORDS_MAX); i > 0; i--) {
        size_t length = make_record(life, bytes, life->next_lsn);
        if (!log_ring_reserve(life->ring, 1, length))
            return;
        crash_must(log_record_decode(&record, bytes, length) > 0, "a record that is not valid");
        log_ring_append(life->ring, &record);
        journal_add(life->journal, life->trail, &record);
        crash_must(apply_record(life->apply, &record) == 0, "cannot be applied");
        life->next_lsn++;
        life->statistics->led++;
    }
}

/* ---- changes of history ---- */

/* All that was taken is durable: what is asked of who opens a history (meta.h). */
static bool is_durable(const struct life *life)
{
    size_t count = life->journal->count;

    return count == 0 || life->journal->entry[count - 1].lsn <= durable_log_facts(life->log).durable_lsn;
}

/* Nothing of it is written before the folder's meta has it. */
static void learn(struct life *life, bool own)
{
    struct meta *meta = &life->meta;
    uint64_t last = life->journal->count > 0 ? life->journal->entry[life->journal->count - 1].lsn : 0;
    struct history history = {.id = seeded_next(&life->random) | 1, .before_lsn = last, .epoch = 1};

    history.node_id = own ? meta->node_id : meta->node_id + 1 + seeded_below(&life->random, 3);
    if (meta->count > 0)
        history.epoch = epoch_of_promotion(meta->history[meta->count - 1].epoch);
    history.first_lsn = meta_next_first_lsn(meta, last, history.epoch);
    if (meta->count == 0)
        meta->cluster_id[0] = 1;
    meta_add(meta, &history);
    life->metas_written = housekeeper_facts(life->housekeeper).metas_written;
    crash_must(housekeeper_write_meta(life->housekeeper, meta), "meta cannot be written");
    life->change = own ? BEGINS_TO_LEAD : ENTERS;
}

static void mind_change(struct life *life)
{
    const struct history *last = &life->meta.history[life->meta.count > 0 ? life->meta.count - 1 : 0];

    if (life->change == NO_CHANGE ||
        housekeeper_facts(life->housekeeper).metas_written == life->metas_written)
        return;
    if (life->change == BEGINS_TO_LEAD) {
        apply_pending(life);
        if (!durable_log_lead(life->log, last))
            return;
        apply_next_lsn(life->apply, last->first_lsn);
    } else if (durable_log_facts(life->log).history == 0) {
        struct durable_log_begin begin = {
            .history = last->id, .next_lsn = last->first_lsn, .stamp = life->meta.stamp};
        memcpy(begin.cluster_id, life->meta.cluster_id, sizeof begin.cluster_id);
        crash_must(durable_log_begin(life->log, &begin), "the log does not begin");
    }
    life->change = NO_CHANGE;
    life->history = last->id;
    life->next_lsn = last->first_lsn;
    life->statistics->entered++;
}

static void change(struct life *life)
{
    if (life->change != NO_CHANGE)
        return;
    if (!durable_log_leads(life->log))
        learn(life, life->history != 0 && is_durable(life) && seeded_below(&life->random, 2) == 0);
    else
        life->follows_again = true;
}

static void follow_again(struct life *life)
{
    if (!durable_log_drained(life->log) || log_ring_used_bytes(life->ring) > 0)
        return;
    durable_log_follow(life->log);
    life->follows_again = false;
    life->statistics->back++;
}

/* ---- a life ---- */

static void start(struct life *life, bool follows)
{
    const struct recovery_facts *found = recovery_facts(life->recovery);
    struct housekeeper_config keeper = {.disk = crash_disk_disk(&life->disk),
                                        .table = life->table,
                                        .found = found,
                                        .segment_bytes = WAL_BLOCK_BYTES_MAX,
                                        .snapshot_buckets = 32};
    struct durable_log_config log = {.queue = crash_disk_queue(&life->disk),
                                     .merge = &life->merge,
                                     .found = found,
                                     .table = life->table,
                                     .follows = follows,
                                     .segment_bytes = WAL_BLOCK_BYTES_MAX,
                                     .snapshot_segments = 1 + seeded_below(&life->random, 3)};

    life->journal->count = journal_count_to(life->journal, found->lsn); /* others never were */
    life->meta = found->meta;
    life->history = found->history;
    life->next_lsn = found->next_lsn;
    life->pending = crash_memory(NULL, PENDING_BYTES);
    life->ring = log_ring_create(RING_BYTES, -1);
    log_merge_init(&life->merge, &life->ring, 1, found->next_lsn);
    life->housekeeper = log.housekeeper = housekeeper_create(&keeper);
    life->log = durable_log_create(&log);
    crash_must(life->ring != NULL && life->housekeeper != NULL && life->log != NULL, "no memory");
    life->statistics->primaries += !follows;
}

static void control(struct life *life)
{
    life->now_ns += seeded_below(&life->random, 12) == 0 ? 2 * (uint64_t)WAL_MARK_IDLE_NS : 100000;
    durable_log_turn(life->log, (unsigned)seeded_below(&life->random, 100), life->now_ns, 1000);
    uint64_t durable_lsn = durable_log_facts(life->log).durable_lsn;
    size_t count = journal_count_to(life->journal, durable_lsn);
    if (durable_log_facts(life->log).state != WAL_RUNNING)
        trail_fail(life->trail, "the log does not run");
    if (durable_log_facts(life->log).started && count > 0)
        life->promised = life->journal->entry[count - 1].lsn;
}

static void step(struct life *life)
{
    bool leads = durable_log_leads(life->log);

    switch (seeded_below(&life->random, 8)) {
    case 0:
    case 1:
        if (!leads && life->change == NO_CHANGE)
            append(life);
        if (leads && !life->follows_again)
            write_to_ring(life);
        break;
    case 2:
        if (!leads && seeded_below(&life->random, life->apply_odds) == 0)
            apply_pending(life);
        break;
    case 3:
        if (seeded_below(&life->random, 8) == 0 || life->history == 0)
            change(life);
        if (seeded_below(&life->random, 20) == 0)
            durable_log_snapshot(life->log);
        break;
    case 4:
    case 5:
        control(life);
        if (life->follows_again)
            follow_again(life);
        mind_change(life);
        break;
    default:
        housekeeper_step(life->housekeeper);
        break;
    }
}

/* The disk as the crash at its end leaves it. */
static struct sim_disk *live(struct trail *trail, struct statistics *statistics, struct sim_disk *sim,
                             struct journal *journal, uint64_t *promised, uint64_t seed)
{
    struct life *life = crash_memory(NULL, sizeof *life);
    bool follows = seed % 3 != 0;

    memset(life, 0, sizeof *life);
    life->trail = trail;
    life->statistics = statistics;
    life->journal = journal;
    life->promised = *promised;
    life->random = seeded_start(seed);
    life->apply_odds = seed % 5 < 3 ? 1 : 60;
    life->odds = ODDS_RECOVERY;
    statistics->lives++;
    sim_disk_set_latency(sim, (unsigned)seeded_below(&life->random, seed % 4 == 0 ? 200 : 12));
    open_life(life, sim);
    recover(life, follows);
    start(life, follows);
    life->odds = ODDS_WORK;
    for (unsigned i = 0, steps = (unsigned)seeded_below(&life->random, 2 * STEPS); i < steps; i++)
        step(life);
    *promised = life->promised;
    statistics->snapshots += housekeeper_facts(life->housekeeper).snapshots;
    struct sim_disk *image =
        sim_disk_image(sim, (enum sim_crash)seeded_below(&life->random, SIM_CRASHES), seed);
    close_life(life);
    sim_disk_destroy(sim);
    free(life);
    return image;
}

static void run_once(struct trail *trail, struct statistics *statistics)
{
    struct sim_disk *sim = sim_disk_create(trail->seed, UINT64_MAX);
    struct journal journal = {0};
    uint64_t promised = 0, random = seeded_start(trail->seed);

    statistics->runs++;
    for (unsigned i = 0; i < LIVES; i++)
        sim = live(trail, statistics, sim, &journal, &promised, seeded_next(&random));
    sim_disk_destroy(sim);
    journal_free(&journal);
}

static void print_statistics(const struct statistics *s)
{
    printf("%" PRIu64 " images of %" PRIu64 " lives of %" PRIu64 " runs, %" PRIu64
           " of them during recovery\n",
           s->images, s->lives, s->runs, s->images_in_recovery);
    printf("  recovered         %" PRIu64 " records, %" PRIu64 " times from a snapshot; %" PRIu64
           " torn tails\n",
           s->records, s->with_snapshot, s->torn);
    printf("  logs              %" PRIu64 " histories entered, %" PRIu64 " times followed again; %" PRIu64
           " started as primaries; %" PRIu64 " snapshots\n",
           s->entered, s->back, s->primaries, s->snapshots);
    printf("  records           %" PRIu64 " followed, %" PRIu64 " led; %" PRIu64 " times without room\n",
           s->followed, s->led, s->refused);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"images", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'}, {0}};
    uint64_t images = 2000, seed = seeded_from_environment((uint64_t)time(NULL));
    struct statistics statistics = {0};
    struct trail trail = {.program = "crash_follow"};
    bool one = false;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n') {
            images = strtoull(optarg, NULL, 10);
        } else if (c == 's') {
            seed = strtoull(optarg, NULL, 0);
            one = true;
        } else {
            fprintf(stderr, "usage: crash_follow [--images N] [--seed S]\n");
            return 2;
        }
    }
    printf("crash_follow: WILD_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    do {
        trail.seed = seed++;
        run_once(&trail, &statistics);
    } while (!one && statistics.images < images);
    print_statistics(&statistics);
    return 0;
}
