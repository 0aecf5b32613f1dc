/*
 * crash_log.c - crashes of the whole log: at every I/O boundary of a run, in every way the disk can, what a
 * node finds there must be a prefix of what happened, and nothing that anybody was told may be gone.
 *
 *   crash_log [--images N] [--seed S]         WILD_SEED=S is as good as --seed
 *   crash_log --seed S --replay PATH          one image again, as a failure prints it
 *
 * A life of a node (crash_node.h) is: recovery from an image, and maybe some work. Before each of its calls
 * that change the disk, images of what a crash there would leave are taken, and each is the beginning of
 * another life, down to TRAIL_DEPTH_MAX: so crashes during recovery and of nodes that have crashed before
 * come by themselves. The runs' first lives are of different kinds (make_plan()); every sixteenth one is
 * crashed at each boundary in every way, the others at a seeded sample.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crash_folder.h"
#include "crash_node.h"
#include "seeded.h"
#include "snapshot.h"

enum {
    FIRST_BOUNDARIES = 320, /* of a run's first life */
    LATER_BOUNDARIES = 80,  /* of one that goes on after recovery, on average */
    STEPS_MAX = 30000,      /* of a life: one whose log has failed has no boundaries any more */
    RUNS_FULL = 16,         /* every such run is crashed everywhere */
    ALWAYS = 65536,         /* odds */
};

struct statistics {
    uint64_t images, of_kind[SIM_CRASHES], at_call[CRASH_CALLS_COUNT], at_depth[TRAIL_DEPTH_MAX + 1];
    uint64_t in_recovery, after_kill; /* crashes during recovery; power cuts during one after a kill */
    uint64_t torn, torn_bytes, with_snapshot, records, lsns_lost;
    uint64_t went_on, ended, failed_recoveries, full_recoveries, runs;
    uint64_t reused, created, published, removed, folders, spoiled;
    struct node_counts node;
};

struct explorer {
    struct trail trail;         /* where it is */
    const struct trail *replay; /* where it has to go; NULL: everywhere */
    struct node_plan plan;
    struct statistics statistics;
    bool everywhere; /* this run */
    bool spoiled;    /* a snapshot on the way here: one of two, so that is enough */
};

struct life {
    struct explorer *explorer;
    struct node node;
    const struct journal *before; /* what happened before it */
    uint64_t promised;            /* and what was promised */
    uint64_t seed, boundary;      /* boundary: seen last + 1 */
    uint64_t odds;                /* of ALWAYS, for each boundary and kind */
    bool working;                 /* recovery is over */
};

/* Plain hashing of what a decision depends on: the same in every run, whatever else was looked at. */
static uint64_t mixed(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t state = seeded_start(a ^ seeded_start(b ^ seeded_start(c)));

    return seeded_next(&state);
}

static void live(struct explorer *explorer, struct sim_disk *disk, const struct journal *before,
                 uint64_t promised, uint64_t wall_ms, uint64_t seed);

/* ---- crashes ---- */

static bool is_wanted(const struct life *life, uint64_t boundary, enum sim_crash kind)
{
    const struct explorer *explorer = life->explorer;
    unsigned depth = explorer->trail.depth;

    if (depth == TRAIL_DEPTH_MAX)
        return false;
    if (explorer->replay != NULL)
        return depth < explorer->replay->depth && explorer->replay->crash[depth].boundary == boundary &&
               explorer->replay->crash[depth].kind == kind;
    return mixed(life->seed, boundary, kind) % ALWAYS < life->odds;
}

static void crash_here(struct life *life, uint64_t boundary, enum sim_crash kind)
{
    struct explorer *explorer = life->explorer;
    struct statistics *statistics = &explorer->statistics;
    unsigned depth = explorer->trail.depth;
    uint64_t seed = mixed(life->seed, boundary, kind + 100u);
    bool killed = depth > 0 && explorer->trail.crash[depth - 1].kind == SIM_CRASH_KILL;
    struct sim_disk *image = sim_disk_image(life->node.disk.sim, kind, seed);

    explorer->trail.crash[depth] = (struct trail_crash){boundary, kind};
    explorer->trail.depth++;
    statistics->images++;
    statistics->of_kind[kind]++;
    statistics->at_depth[depth]++;
    statistics->in_recovery += !life->working;
    statistics->after_kill += !life->working && killed && kind != SIM_CRASH_KILL;
    sim_disk_set_space(image, UINT64_MAX);
    live(explorer, image, life->working ? &life->node.journal : life->before,
         life->working ? life->node.promised : life->promised, life->node.wall_ms, seed);
    explorer->trail.depth = depth;
}

static void before_call(void *context, enum crash_call call, uint64_t boundary)
{
    struct life *life = context;

    if (boundary < life->boundary) /* a look for completions that found none */
        return;
    life->boundary = boundary + 1;
    for (unsigned kind = 0; kind < SIM_CRASHES; kind++) {
        if (!is_wanted(life, boundary, (enum sim_crash)kind))
            continue;
        life->explorer->statistics.at_call[call]++;
        crash_here(life, boundary, (enum sim_crash)kind);
    }
}

/* ---- recovery ---- */

static void open_node(struct life *life, struct sim_disk *disk, uint64_t wall_ms)
{
    struct explorer *explorer = life->explorer;

    node_open(&life->node, &explorer->plan, &explorer->trail, disk, life->seed, wall_ms);
    life->node.disk.before = before_call;
    life->node.disk.context = life;
    life->boundary = sim_disk_boundaries(disk);
}

/*
 * A disk that says no meanwhile: recovery must refuse, and find everything the next time. After an error of
 * I/O that is after the machine was started anew, since what its cache then says is not to be relied on.
 */
static struct sim_disk *recover_in_trouble(struct life *life, struct sim_disk *disk, uint64_t wall_ms)
{
    struct statistics *statistics = &life->explorer->statistics;
    uint64_t pick = mixed(life->seed, 1, 1);
    bool space = pick % 2 == 0;
    unsigned n = 1 + (unsigned)(pick / 2 % 10);

    if (space)
        sim_disk_set_space(disk, 0);
    else if (pick / 32 % 2 == 0)
        sim_disk_fail_sync(disk, n, EIO, false);
    else
        sim_disk_fail_write(disk, n, EIO, false);
    open_node(life, disk, wall_ms);
    int outcome = node_recover(&life->node);
    if (outcome != 0 && outcome != (space ? -ENOSPC : -EIO))
        trail_fail(&life->explorer->trail, "recovery in trouble: %d: %s", outcome,
                   recovery_error(life->node.recovery));
    if (outcome != 0 && recovery_error(life->node.recovery)[0] == '\0')
        trail_fail(&life->explorer->trail, "recovery failed with %d and did not say why", outcome);
    node_close(&life->node);
    if (space) {
        statistics->full_recoveries += outcome != 0;
        sim_disk_set_space(disk, UINT64_MAX);
        return disk;
    }
    statistics->failed_recoveries += outcome != 0;
    enum sim_crash kind = (enum sim_crash)(1 + pick / 64 % (SIM_CRASHES - 1));
    struct sim_disk *image = sim_disk_image(disk, kind, life->seed);
    sim_disk_destroy(disk);
    return image;
}

/* What was recovered: a prefix, exactly, with all that was promised. */
static void check_recovered(struct life *life)
{
    const struct recovery_facts *facts = recovery_facts(life->node.recovery);
    const struct trail *trail = &life->explorer->trail;
    struct statistics *statistics = &life->explorer->statistics;
    size_t count = journal_count_to(life->before, facts->lsn);
    struct oracle oracle;

    if (facts->lsn < life->promised)
        trail_fail(trail, "recovered up to lsn %" PRIu64 ", but somebody was told of lsn %" PRIu64,
                   facts->lsn, life->promised);
    if ((count == 0 && facts->lsn != 0) || (count > 0 && life->before->entry[count - 1].lsn != facts->lsn))
        trail_fail(trail, "recovered up to lsn %" PRIu64 ", which there never was", facts->lsn);
    if (trail->depth > 0 && trail->crash[trail->depth - 1].boundary == TRAIL_END && facts->dropped_bytes > 0)
        trail_fail(trail, "a log that ended in order has a torn tail of %" PRIu64 " bytes",
                   facts->dropped_bytes);
    if (facts->snapshots_broken > life->explorer->spoiled)
        trail_fail(trail, "%u snapshots were found broken", facts->snapshots_broken);
    oracle_at(&oracle, life->before, count);
    oracle_compare(&oracle, life->node.table, trail);
    if (life->node.disk.open != 0)
        trail_fail(trail, "recovery left %u files open", life->node.disk.open);
    statistics->torn += facts->dropped_bytes > 0;
    statistics->torn_bytes += facts->dropped_bytes;
    statistics->with_snapshot += facts->snapshot_lsn != 0;
    statistics->records += facts->records;
    statistics->lsns_lost += life->before->count - count;
}

static void recover(struct life *life)
{
    int outcome = node_recover(&life->node);

    if (outcome != 0)
        trail_fail(&life->explorer->trail, "recovery: %d: %s", outcome, recovery_error(life->node.recovery));
    check_recovered(life);
}

/* ---- work ---- */

static void work(struct life *life, uint64_t boundaries)
{
    struct node *node = &life->node;

    boundaries += sim_disk_boundaries(node->disk.sim);
    while (sim_disk_boundaries(node->disk.sim) < boundaries && node->steps < STEPS_MAX)
        node_step(node);
}

static void count_life(struct life *life)
{
    struct statistics *statistics = &life->explorer->statistics;
    const struct node_counts *counts = &life->node.counts;

    statistics->node.operations += counts->operations;
    statistics->node.reads += counts->reads;
    statistics->node.writes += counts->writes;
    statistics->node.waited += counts->waited;
    statistics->node.flushes += counts->flushes;
    statistics->node.refused += counts->refused;
    statistics->node.full += counts->full;
    statistics->node.failed += counts->failed;
    statistics->reused += life->node.disk.reused;
    statistics->created += life->node.disk.created;
    statistics->published += life->node.disk.published;
    statistics->removed += life->node.disk.removed;
}

/* Stops in order; after that a power cut takes nothing, and the log has no torn tail. */
static void end_in_order(struct life *life)
{
    struct explorer *explorer = life->explorer;
    unsigned depth = explorer->trail.depth;

    if (!node_finish(&life->node))
        return;
    if (explorer->plan.trouble == TROUBLE_NONE && life->node.disk.published >= SNAPSHOTS_KEPT) {
        explorer->statistics.folders++;
        crash_folder_measure(life->node.disk.sim, &explorer->trail);
    }
    explorer->statistics.ended++;
    if (depth == TRAIL_DEPTH_MAX ||
        (explorer->replay != NULL && !is_wanted(life, TRAIL_END, SIM_CRASH_NOTHING)))
        return;
    crash_here(life, TRAIL_END, SIM_CRASH_NOTHING);
}

/* How much a life is looked into, and whether it goes on after recovery: less, the deeper it is. */
static void choose_odds(struct life *life, bool *goes_on)
{
    const struct explorer *explorer = life->explorer;
    unsigned depth = explorer->trail.depth;

    *goes_on = depth == 0 || (depth < TRAIL_DEPTH_MAX && mixed(life->seed, 2, 2) % 12 == 0);
    if (depth == 0)
        life->odds = explorer->everywhere ? ALWAYS : ALWAYS / 8;
    else
        life->odds = life->working ? ALWAYS / 100 : ALWAYS / 200;
}

static void live(struct explorer *explorer, struct sim_disk *disk, const struct journal *before,
                 uint64_t promised, uint64_t wall_ms, uint64_t seed)
{
    struct life *life = crash_memory(NULL, sizeof *life);
    unsigned depth = explorer->trail.depth;
    bool goes_on, spoiled = explorer->spoiled;

    *life = (struct life){.explorer = explorer, .before = before, .promised = promised, .seed = seed};
    choose_odds(life, &goes_on);
    if (explorer->replay != NULL)
        goes_on |= depth < explorer->replay->depth;
    if (depth > 0 && mixed(seed, 3, 3) % 20 == 0)
        disk = recover_in_trouble(life, disk, wall_ms);
    if (depth > 0 && !spoiled && mixed(seed, 6, 6) % 8 == 0)
        explorer->spoiled = crash_folder_spoil(disk, mixed(seed, 7, 7));
    explorer->statistics.spoiled += explorer->spoiled && !spoiled;
    open_node(life, disk, wall_ms);
    recover(life);
    if (goes_on) {
        node_start(&life->node, before);
        life->working = true;
        explorer->statistics.went_on++;
        choose_odds(life, &goes_on);
        work(life, depth == 0 ? FIRST_BOUNDARIES : 1 + mixed(seed, 4, 4) % (2 * LATER_BOUNDARIES));
        if (depth == 0 || mixed(seed, 5, 5) % 2 == 0)
            end_in_order(life);
    }
    count_life(life);
    node_close(&life->node);
    sim_disk_destroy(disk);
    free(life);
    explorer->spoiled = spoiled;
}

/* ---- runs ---- */

/* Of the seed alone. Neighbouring seeds are of different kinds. */
static void make_plan(struct node_plan *plan, uint64_t seed)
{
    uint64_t random = seeded_start(seed ^ 0x504c414e);

    *plan = (struct node_plan){
        .capacity = UINT64_C(64) << seeded_below(&random, 4),
        .segment_bytes = WAL_BLOCK_BYTES_MAX,
        .keys = 8 + (unsigned)seeded_below(&random, 56),
        .value_max = seed % 2 == 0 ? VALUE_BYTES_MAX : 200,
        .burst_max = 4u << seeded_below(&random, 5),
        .snapshot_segments = 1 + (unsigned)seeded_below(&random, 3),
        .snapshot_buckets = 1 + (unsigned)seeded_below(&random, 16),
        .latency_max = (unsigned)seeded_below(&random, 12),
        .evict = seed % 3 == 1 ? EVICT_CLOCK : EVICT_NONE,
        .trouble = seed % 8 == 3   ? TROUBLE_SPACE
                   : seed % 8 == 6 ? TROUBLE_ERROR
                                   : TROUBLE_NONE,
        .async = seed % 8 == 5,
    };
    if (seed % 16 == 8) { /* a snapshot of several chunks */
        plan->capacity = 16384;
        plan->keys = JOURNAL_KEYS_MAX;
        plan->snapshot_buckets = 128;
        plan->burst_max = 128;
    }
}

static void run_once(struct explorer *explorer, uint64_t seed)
{
    static const struct journal nothing;

    explorer->trail.seed = seed;
    explorer->trail.depth = 0;
    explorer->everywhere = seed % RUNS_FULL == 0;
    make_plan(&explorer->plan, seed);
    explorer->statistics.runs++;
    live(explorer, sim_disk_create(seed, UINT64_MAX), &nothing, 0, 1000000, seed);
}

static void print_statistics(const struct statistics *s)
{
    static const char *const calls[] = {
#define CRASH_NAME(name) #name,
        CRASH_CALLS(CRASH_NAME)
#undef CRASH_NAME
    };

    printf("%" PRIu64 " images of %" PRIu64 " runs, in depth", s->images, s->runs);
    for (unsigned i = 0; i < TRAIL_DEPTH_MAX; i++)
        printf(" %" PRIu64, s->at_depth[i]);
    printf("\n  crashes          ");
    for (unsigned i = 0; i < SIM_CRASHES; i++)
        printf(" %s %" PRIu64, trail_crash_name((enum sim_crash)i), s->of_kind[i]);
    printf("\n  before           ");
    for (unsigned i = 0; i < CRASH_CALLS_COUNT; i++)
        printf(" %s %" PRIu64, calls[i], s->at_call[i]);
    printf("\n  during recovery   %" PRIu64 ", %" PRIu64
           " of them power cuts after a kill; refused for EIO %" PRIu64 ", for ENOSPC %" PRIu64 "\n",
           s->in_recovery, s->after_kill, s->failed_recoveries, s->full_recoveries);
    printf("  recovered         %" PRIu64 " records, %" PRIu64 " times from a snapshot, %" PRIu64
           " from the older one; %" PRIu64 " torn tails of %" PRIu64 " KiB; %" PRIu64
           " lsns gone that nobody was told of\n",
           s->records, s->with_snapshot, s->spoiled, s->torn, s->torn_bytes / 1024, s->lsns_lost);
    printf("  went on           %" PRIu64 " lives: %" PRIu64 " segments made, %" PRIu64
           " used again, %" PRIu64 " snapshots, %" PRIu64 " files removed; %" PRIu64
           " ended in order, %" PRIu64 " folders measured\n",
           s->went_on, s->created, s->reused, s->published, s->removed, s->ended, s->folders);
    printf("  operations        %" PRIu64 ": %" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64
           " FLUSHes, %" PRIu64 " refused; %" PRIu64 " answers waited\n",
           s->node.operations, s->node.reads, s->node.writes, s->node.flushes, s->node.refused,
           s->node.waited);
    printf("  disk              full in %" PRIu64 " turns, failed for good %" PRIu64 " times\n", s->node.full,
           s->node.failed);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"images", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"replay", required_argument, NULL, 'r'},
                                            {0}};
    struct explorer *explorer = crash_memory(NULL, sizeof *explorer);
    struct trail replay = {0};
    uint64_t images = 5000, seed = seeded_from_environment((uint64_t)time(NULL));

    memset(explorer, 0, sizeof *explorer);
    explorer->trail.program = "crash_log";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n') {
            images = strtoull(optarg, NULL, 10);
        } else if (c == 's') {
            seed = strtoull(optarg, NULL, 0);
        } else if (c == 'r' && trail_parse(&replay, optarg) == 0) {
            explorer->replay = &replay;
        } else {
            fprintf(stderr, "usage: crash_log [--images N] [--seed S [--replay PATH]]\n");
            return 2;
        }
    }
    printf("crash_log: WILD_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    do
        run_once(explorer, seed++);
    while (explorer->replay == NULL && explorer->statistics.images < images);
    print_statistics(&explorer->statistics);
    free(explorer);
    return 0;
}
