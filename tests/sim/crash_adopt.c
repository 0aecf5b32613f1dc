/*
 * crash_adopt.c - crashes of a replica that begins anew: at every I/O boundary of a run, in every way the disk can, what is
 * found there is the log that it had or the one that it was adopting, whole: a prefix of it, with all that was promised.
 * Never a mixture, never damage; and nothing is left of what was not to be.
 *
 *   crash_adopt [--images N] [--seed S]         WILD_SEED=S is as good as --seed
 *   crash_adopt --seed S --replay PATH          one image again, as a failure prints it
 *
 * As crash_log.c does it: a life (crash_follower.h) is recovery from an image, and maybe some work. Before each of its
 * calls that change the disk, images of what a crash there would leave are taken, and each is the beginning of another life.
 * Every eighth run is crashed at each boundary of an adoption in every way, and at a seeded sample of the others.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crash_folder.h"
#include "crash_follower.h"
#include "seeded.h"
#include "snapshot.h"

enum {
    FIRST_BOUNDARIES = 900, /* of a run's first life */
    LATER_BOUNDARIES = 200, /* of one that goes on after recovery, on average */
    STEPS_MAX = 60000,
    RUNS_FULL = 8,
    ALWAYS = 65536, /* odds */
    TAIL_FILES_MAX = 64,
};

struct statistics {
    uint64_t images, runs, of_kind[SIM_CRASHES], at_depth[TRAIL_DEPTH_MAX + 1];
    uint64_t in_recovery, in_adoption;      /* crashes */
    uint64_t found_old, found_new, nothing; /* with an adoption on its way; no log yet */
    uint64_t tails, torn, went_on, ended;
    struct follower_counts follower;
};

struct explorer {
    struct trail trail;
    const struct trail *replay; /* NULL: everywhere */
    struct follower_plan plan;
    struct statistics statistics;
    bool everywhere; /* this run */
};

struct life {
    struct explorer *explorer;
    struct follower follower;
    struct copy folder, other; /* before it */
    struct copy found;         /* by recovery */
    uint64_t seed, boundary;   /* boundary: seen last + 1 */
    uint64_t odds, adopt_odds; /* of ALWAYS, for each boundary and kind; while a log is adopted */
    bool working;              /* recovery is over */
};

static uint64_t mixed(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t state = seeded_start(a ^ seeded_start(b ^ seeded_start(c)));

    return seeded_next(&state);
}

static void live(struct explorer *explorer, struct sim_disk *disk, const struct copy *folder,
                 const struct copy *other, uint64_t wall_ms, uint64_t seed);

/* ---- crashes ---- */

static bool adopts(const struct life *life)
{
    return life->working ? life->follower.other.stamp != 0 : life->other.stamp != 0;
}

static bool is_wanted(const struct life *life, uint64_t boundary, enum sim_crash kind)
{
    const struct explorer *explorer = life->explorer;
    unsigned depth = explorer->trail.depth;

    if (depth == TRAIL_DEPTH_MAX)
        return false;
    if (explorer->replay != NULL)
        return depth < explorer->replay->depth && explorer->replay->crash[depth].boundary == boundary &&
               explorer->replay->crash[depth].kind == kind;
    return mixed(life->seed, boundary, kind) % ALWAYS < (adopts(life) ? life->adopt_odds : life->odds);
}

static void crash_here(struct life *life, uint64_t boundary, enum sim_crash kind)
{
    struct explorer *explorer = life->explorer;
    struct statistics *statistics = &explorer->statistics;
    const struct follower *f = &life->follower;
    unsigned depth = explorer->trail.depth;
    uint64_t seed = mixed(life->seed, boundary, kind + 100u);
    struct sim_disk *image = sim_disk_image(f->disk.sim, kind, seed);

    explorer->trail.crash[depth] = (struct trail_crash){boundary, kind};
    explorer->trail.depth++;
    statistics->images++;
    statistics->of_kind[kind]++;
    statistics->at_depth[depth]++;
    statistics->in_recovery += !life->working;
    statistics->in_adoption += adopts(life);
    sim_disk_set_space(image, UINT64_MAX);
    live(explorer, image, life->working ? &f->folder : &life->folder,
         life->working ? &f->other : &life->other, f->wall_ms, seed);
    explorer->trail.depth = depth;
}

static void before_call(void *context, enum crash_call call, uint64_t boundary)
{
    struct life *life = context;

    (void)call;
    if (boundary < life->boundary) /* a look for completions that found none */
        return;
    life->boundary = boundary + 1;
    for (unsigned kind = 0; kind < SIM_CRASHES; kind++)
        if (is_wanted(life, boundary, (enum sim_crash)kind))
            crash_here(life, boundary, (enum sim_crash)kind);
}

/* ---- what was recovered ---- */

static void add_entry(void *context, const uint8_t *bytes, size_t length)
{
    struct life *life = ((void **)context)[0];
    struct journal *journal = ((void **)context)[1];
    struct log_record record;

    crash_must(log_record_decode(&record, bytes, length) == (int)length, "a record that is not valid");
    journal_add(journal, &life->explorer->trail, &record);
}

static void compare_table(struct life *life, const struct line *line, uint64_t lsn)
{
    struct journal journal = {0};
    struct oracle oracle;
    void *context[2] = {life, &journal};

    line_each(line, lsn, life->explorer->plan.keys, add_entry, context);
    oracle_at(&oracle, &journal, journal.count);
    oracle_compare(&oracle, life->follower.table, &life->explorer->trail);
    journal_free(&journal);
}

/* Which of the two it is. */
static const struct copy *which(struct life *life, const struct meta *meta)
{
    if (life->other.stamp != 0 && meta->stamp == life->other.stamp)
        return &life->other;
    if (life->folder.stamp != 0 && meta->stamp != life->folder.stamp)
        trail_fail(&life->explorer->trail, "the folder is of a log that there never was");
    return &life->folder;
}

struct tail {
    const struct trail *trail;
    char prefix[DISK_NAME_BYTES];
    char name[TAIL_FILES_MAX][DISK_NAME_BYTES];
    unsigned files;
    bool meta;
};

static void note_tail(void *context, const char *name, uint64_t bytes)
{
    struct tail *tail = context;
    size_t length = strlen(tail->prefix);

    (void)bytes;
    if (strncmp(name, tail->prefix, length) != 0)
        return;
    if (strcmp(name + length, "meta") == 0) {
        tail->meta = true;
        return;
    }
    if (tail->files == TAIL_FILES_MAX)
        trail_fail(tail->trail, "more is kept of a tail than there was");
    memcpy(tail->name[tail->files++], name, strlen(name) + 1);
}

/* Records of that segment that lie above `above` and up to `most`. */
static uint64_t count_kept(struct sim_disk *sim, const char *name, const char *segment_name, uint64_t stamp,
                           uint64_t above, uint64_t most)
{
    uint64_t segment, length, count = 0;
    const uint8_t *bytes = sim_disk_bytes(sim, name, &length);
    struct wal_block block;

    if (bytes == NULL || !meta_is_segment(segment_name, &segment))
        return 0;
    for (uint64_t at = 0; at < length; at += wal_block_padded(block.length)) {
        if (wal_block_decode(&block, bytes + at, length - at, segment, (uint32_t)at) != WAL_WHOLE ||
            block.stamp != stamp)
            break;
        for (uint64_t lsn = block.first_lsn; lsn < block.first_lsn + block.count; lsn++)
            count += lsn > above && lsn <= most;
    }
    return count;
}

/* What was promised of the old log, and the new one lacks, is set aside. */
static void check_tail(struct life *life)
{
    const struct copy *old = &life->folder;
    struct tail tail = {.trail = &life->explorer->trail};
    struct sim_disk *image = sim_disk_image(life->follower.disk.sim, SIM_CRASH_KILL, 1);
    struct disk disk = sim_disk_disk(image);
    uint64_t kept = 0, wanted = line_count(&old->line, life->other.tail_lsn - 1, old->least);

    snprintf(tail.prefix, sizeof tail.prefix, "kept-tail-%016" PRIx64 "-", old->stamp);
    disk.call->list(disk.state, note_tail, &tail);
    for (unsigned i = 0; i < tail.files; i++)
        kept += count_kept(image, tail.name[i], tail.name[i] + strlen(tail.prefix), old->stamp,
                           life->other.tail_lsn - 1, old->least);
    sim_disk_destroy(image);
    if (kept != wanted || !tail.meta)
        trail_fail(tail.trail, "%" PRIu64 " records of the tail are kept, %" PRIu64 " were promised%s", kept,
                   wanted, tail.meta ? "" : "; meta is not");
    life->explorer->statistics.tails++;
}

/* Nothing is left of the other log. */
static void check_folder(struct life *life)
{
    const struct recovery_facts *facts = recovery_facts(life->follower.recovery);
    const struct trail *trail = &life->explorer->trail;
    struct crash_folder folder;

    crash_folder_look(&folder, life->follower.disk.sim);
    if (folder.stray[0] != '\0' || folder.snapshot_tmp)
        trail_fail(trail, "%s was left behind", folder.snapshot_tmp ? SNAPSHOT_TEMPORARY : folder.stray);
    if (folder.oldest < facts->meta.base_segment || folder.newest != facts->end.segment + 1)
        trail_fail(trail,
                   "segments from %" PRIu64 " to %" PRIu64 "; the log goes from %" PRIu64 " to %" PRIu64,
                   folder.oldest, folder.newest, facts->meta.base_segment, facts->end.segment);
    for (unsigned i = 0; i < facts->snapshots; i++)
        if (facts->snapshot[i].segment < facts->meta.base_segment)
            trail_fail(trail, "a snapshot of a log that was given up is still there");
}

static void check_recovered(struct life *life)
{
    const struct recovery_facts *facts = recovery_facts(life->follower.recovery);
    struct statistics *statistics = &life->explorer->statistics;
    const struct trail *trail = &life->explorer->trail;
    const struct copy *copy = which(life, &facts->meta);

    if (facts->lsn < copy->least || facts->lsn > copy->most)
        trail_fail(trail, "recovered up to lsn %" PRIu64 " of %s log, which had from %" PRIu64 " to %" PRIu64,
                   facts->lsn, copy == &life->other ? "the new" : "the folder's", copy->least, copy->most);
    if (facts->lsn != 0 && line_at(&copy->line, facts->lsn).lsn != facts->lsn)
        trail_fail(trail, "recovered up to lsn %" PRIu64 ", which there never was", facts->lsn);
    if (facts->snapshots_broken > 0)
        trail_fail(trail, "%u snapshots were found broken", facts->snapshots_broken);
    compare_table(life, &copy->line, facts->lsn);
    check_folder(life);
    if (copy == &life->other && copy->keeps_tail)
        check_tail(life);
    if (life->follower.disk.open != 0)
        trail_fail(trail, "recovery left %u files open", life->follower.disk.open);
    statistics->found_old += life->other.stamp != 0 && copy == &life->folder;
    statistics->found_new += copy == &life->other;
    statistics->nothing += facts->history == 0;
    statistics->torn += facts->dropped_bytes > 0;
    life->found = *copy;
    life->found.least = life->found.most = facts->lsn;
}

/* ---- a life ---- */

static void recover(struct life *life)
{
    int outcome = follower_recover(&life->follower);

    if (outcome != 0)
        trail_fail(&life->explorer->trail, "recovery: %d: %s", outcome,
                   recovery_error(life->follower.recovery));
    check_recovered(life);
}

static void work(struct life *life, uint64_t boundaries)
{
    struct follower *f = &life->follower;

    boundaries += sim_disk_boundaries(f->disk.sim);
    while (sim_disk_boundaries(f->disk.sim) < boundaries && f->steps < STEPS_MAX)
        follower_step(f);
}

static void count_life(struct life *life)
{
    struct follower_counts *sum = &life->explorer->statistics.follower;
    const struct follower_counts *counts = &life->follower.counts;

    sum->records += counts->records;
    sum->histories += counts->histories;
    sum->begun_anew += counts->begun_anew;
    sum->forks += counts->forks;
    sum->adopted += counts->adopted;
    sum->from_nothing += counts->from_nothing;
    sum->failed += counts->failed;
    sum->given_up += counts->given_up;
    sum->learned += counts->learned;
}

static void end_in_order(struct life *life)
{
    struct explorer *explorer = life->explorer;
    unsigned depth = explorer->trail.depth;

    follower_finish(&life->follower);
    explorer->statistics.ended++;
    if (depth < TRAIL_DEPTH_MAX &&
        (explorer->replay == NULL || is_wanted(life, TRAIL_END, SIM_CRASH_NOTHING)))
        crash_here(life, TRAIL_END, SIM_CRASH_NOTHING);
}

/* How much a life is looked into: less, the deeper it is. */
static void choose_odds(struct life *life)
{
    const struct explorer *explorer = life->explorer;

    if (explorer->trail.depth == 0) {
        life->odds = ALWAYS / 60;
        life->adopt_odds = explorer->everywhere ? ALWAYS : ALWAYS / 12;
    } else {
        life->odds = ALWAYS / 300;
        life->adopt_odds = life->working ? ALWAYS / 120 : ALWAYS / 60;
    }
}

static void live(struct explorer *explorer, struct sim_disk *disk, const struct copy *folder,
                 const struct copy *other, uint64_t wall_ms, uint64_t seed)
{
    struct life *life = crash_memory(NULL, sizeof *life);
    unsigned depth = explorer->trail.depth;
    bool goes_on = depth == 0 || (depth < TRAIL_DEPTH_MAX && mixed(seed, 2, 2) % 12 == 0);

    memset(life, 0, sizeof *life);
    life->explorer = explorer;
    life->folder = *folder;
    life->other = *other;
    life->seed = seed;
    if (explorer->replay != NULL)
        goes_on |= depth < explorer->replay->depth;
    choose_odds(life);
    follower_open(&life->follower, &explorer->plan, &explorer->trail, disk, seed, wall_ms);
    life->follower.disk.before = before_call;
    life->follower.disk.context = life;
    life->boundary = sim_disk_boundaries(disk);
    recover(life);
    if (goes_on) {
        follower_start(&life->follower, &life->found);
        life->working = true;
        explorer->statistics.went_on++;
        choose_odds(life);
        work(life, depth == 0 ? FIRST_BOUNDARIES : 1 + mixed(seed, 4, 4) % (2 * LATER_BOUNDARIES));
        if (depth == 0 || mixed(seed, 5, 5) % 2 == 0)
            end_in_order(life);
    }
    count_life(life);
    follower_close(&life->follower);
    sim_disk_destroy(disk);
    free(life);
}

/* ---- runs ---- */

static void make_plan(struct follower_plan *plan, uint64_t seed)
{
    uint64_t random = seeded_start(seed ^ 0x41444f50);

    *plan = (struct follower_plan){
        .segment_bytes = WAL_BLOCK_BYTES_MAX,
        .keys = 8 + (unsigned)seeded_below(&random, 100),
        .batch_max = 1u << seeded_below(&random, 7),
        .snapshot_segments = (unsigned)seeded_below(&random, 4),
        .snapshot_buckets = 1 + (unsigned)seeded_below(&random, 16),
        .latency_max = (unsigned)seeded_below(&random, 12),
        .anew_odds = 200 + (unsigned)seeded_below(&random, 2000),
        .space = seed % 4 == 3,
    };
    plan->capacity = 64 + 12 * plan->keys;
}

static void run_once(struct explorer *explorer, uint64_t seed)
{
    static const struct copy nothing;

    explorer->trail.seed = seed;
    explorer->trail.depth = 0;
    explorer->everywhere = seed % RUNS_FULL == 0;
    make_plan(&explorer->plan, seed);
    explorer->statistics.runs++;
    live(explorer, sim_disk_create(seed, UINT64_MAX), &nothing, &nothing, 1000000, seed);
}

static void print_statistics(const struct statistics *s)
{
    const struct follower_counts *f = &s->follower;

    printf("%" PRIu64 " images of %" PRIu64 " runs, in depth", s->images, s->runs);
    for (unsigned i = 0; i < TRAIL_DEPTH_MAX; i++)
        printf(" %" PRIu64, s->at_depth[i]);
    printf("\n  crashes          ");
    for (unsigned i = 0; i < SIM_CRASHES; i++)
        printf(" %s %" PRIu64, trail_crash_name((enum sim_crash)i), s->of_kind[i]);
    printf("; %" PRIu64 " during recovery, %" PRIu64 " with an adoption on its way\n", s->in_recovery,
           s->in_adoption);
    printf("  found             the old log %" PRIu64 " times, the new one %" PRIu64
           " times (tails set aside: %" PRIu64 "); no log %" PRIu64 "; torn tails %" PRIu64 "\n",
           s->found_old, s->found_new, s->tails, s->nothing, s->torn);
    printf("  went on           %" PRIu64 " lives, %" PRIu64 " ended in order: %" PRIu64 " records, %" PRIu64
           " histories, %" PRIu64 " learned\n",
           s->went_on, s->ended, f->records, f->histories, f->learned);
    printf("  begun anew        %" PRIu64 " times, %" PRIu64 " of them from another line, %" PRIu64
           " from nothing: adopted %" PRIu64 ", given up %" PRIu64 ", failed and tried again %" PRIu64 "\n",
           f->begun_anew, f->forks, f->from_nothing, f->adopted, f->given_up, f->failed);
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
    explorer->trail.program = "crash_adopt";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n') {
            images = strtoull(optarg, NULL, 10);
        } else if (c == 's') {
            seed = strtoull(optarg, NULL, 0);
        } else if (c == 'r' && trail_parse(&replay, optarg) == 0) {
            explorer->replay = &replay;
        } else {
            fprintf(stderr, "usage: crash_adopt [--images N] [--seed S [--replay PATH]]\n");
            return 2;
        }
    }
    printf("crash_adopt: WILD_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    do
        run_once(explorer, seed++);
    while (explorer->replay == NULL && explorer->statistics.images < images);
    print_statistics(&explorer->statistics);
    free(explorer);
    return 0;
}
