/*
 * damage_log.c - disks that do not keep what they were given: bits flipped, sectors and blocks zeroed,
 * swapped, old ones come back, ones written to the wrong place; in the log, in snapshots, in meta. What a
 * node then finds is right, or it refuses and says where; a block that had been durable is never missing in
 * silence.
 *
 *   damage_log [--seed S]         WILD_SEED=S is as good as --seed
 *
 * A folder is made by a node at work (crash_node.h) and stopped, in order or by a crash. Every block of its
 * log is damaged in every way, each in a fresh image, and what recovery has to say follows from
 * wal_reader.h's rule, worked out here by looking at every place of every segment: damaged if anything behind
 * says that what is missing had been durable, a torn tail if nothing does.
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
#include "damage_blocks.h"
#include "seeded.h"
#include "snapshot.h"

enum { BOUNDARIES = 260, SNAPSHOT_ROUNDS = 60, META_ROUNDS = 40, FOLDERS = 6, WALL_MS = 1000000 };

struct statistics {
    uint64_t folders, images, refused, cut, harmless, of_damage[DAMAGES], fell_back, all_broken, meta,
        torn_first;
};

struct damager {
    struct trail trail;
    struct node_plan plan;
    struct journal journal; /* what happened in the folder's making */
    uint64_t wall_ms, random;
    struct sim_disk *disk;
    struct block_list blocks;
    struct statistics statistics;
};

/* ---- a folder ---- */

static void choose_plan(struct damager *d)
{
    d->plan = (struct node_plan){
        .capacity = UINT64_C(64) << seeded_below(&d->random, 4),
        .segment_bytes = WAL_BLOCK_BYTES_MAX,
        .keys = 8 + (unsigned)seeded_below(&d->random, 56),
        .value_max = 600,
        .burst_max = 4u << seeded_below(&d->random, 5),
        .snapshot_segments = 2 + (unsigned)seeded_below(&d->random, 3),
        .snapshot_buckets = 8,
        .latency_max = (unsigned)seeded_below(&d->random, 12),
    };
}

/* Works for a while, from what the folder holds to a number of boundaries. */
static void work(struct damager *d, uint64_t boundaries, bool in_order)
{
    struct node *node = crash_memory(NULL, sizeof *node);

    node_open(node, &d->plan, &d->trail, d->disk, seeded_next(&d->random), d->wall_ms);
    if (node_recover(node) != 0)
        trail_fail(&d->trail, "recovery: %s", recovery_error(node->recovery));
    node_start(node, &d->journal);
    boundaries += sim_disk_boundaries(d->disk);
    while (sim_disk_boundaries(d->disk) < boundaries)
        node_step(node);
    if (in_order && !node_finish(node))
        trail_fail(&d->trail, "the log failed without a reason");
    journal_free(&d->journal);
    journal_copy(&d->journal, &node->journal, node->journal.count);
    d->wall_ms = node->wall_ms;
    node_close(node);
    free(node);
}

/* Two lives, so that there are several histories; the second ends in order or not. */
static void make_folder(struct damager *d)
{
    bool in_order = seeded_below(&d->random, 2) == 0;

    choose_plan(d);
    d->wall_ms = WALL_MS;
    d->disk = sim_disk_create(seeded_next(&d->random), UINT64_MAX);
    for (unsigned life = 0; life < 2; life++) {
        work(d, life == 0 ? BOUNDARIES / 2 : BOUNDARIES, life == 1 && in_order);
        struct sim_disk *image = sim_disk_image(
            d->disk, life == 1 && in_order ? SIM_CRASH_NOTHING : SIM_CRASH_SUBSET, seeded_next(&d->random));
        sim_disk_destroy(d->disk);
        d->disk = image;
    }
    block_list_read(&d->blocks, d->disk);
    d->statistics.folders++;
}

static void free_folder(struct damager *d)
{
    block_list_free(&d->blocks);
    journal_free(&d->journal);
    sim_disk_destroy(d->disk);
}

/* ---- what a node finds ---- */

struct outcome {
    int error;
    uint64_t lsn;
    unsigned snapshots_broken;
    char text[RECOVERY_TEXT_BYTES];
};

/* What it finds is exact, if it finds anything. The image is gone after that. */
static struct outcome recover(struct damager *d, struct sim_disk *image)
{
    struct node *node = crash_memory(NULL, sizeof *node);
    struct outcome outcome = {0};

    node_open(node, &d->plan, &d->trail, image, seeded_next(&d->random), d->wall_ms);
    outcome.error = node_recover(node);
    snprintf(outcome.text, sizeof outcome.text, "%s", recovery_error(node->recovery));
    if (node->disk.open > 0 && outcome.error == 0)
        trail_fail(&d->trail, "recovery left %u files open", node->disk.open);
    if (outcome.error == 0) {
        const struct recovery_facts *facts = recovery_facts(node->recovery);
        struct oracle oracle;
        oracle_at(&oracle, &d->journal, journal_count_to(&d->journal, facts->lsn));
        oracle_compare(&oracle, node->table, &d->trail);
        outcome.lsn = facts->lsn;
        outcome.snapshots_broken = facts->snapshots_broken;
    }
    node_close(node);
    free(node);
    if (outcome.error != 0) { /* files of a recovery that was given up are closed with it */
        struct disk disk = sim_disk_disk(image);
        int files = 0;
        while (disk.call->open(disk.state, "meta", DISK_READ, 0) >= 0)
            files++;
        if (files != 0 && files != DISK_FILES_MAX)
            trail_fail(&d->trail, "a recovery that failed left %d files open", DISK_FILES_MAX - files);
    }
    sim_disk_destroy(image);
    d->statistics.images++;
    return outcome;
}

static struct sim_disk *copy(struct damager *d)
{
    return sim_disk_image(d->disk, SIM_CRASH_NOTHING, seeded_next(&d->random));
}

static void expect_refusal(const struct damager *d, const struct outcome *outcome, const char *what)
{
    if (outcome->error != -EBADMSG)
        trail_fail(&d->trail, "%s: %d instead of a refusal, lsn %" PRIu64, what, outcome->error,
                   outcome->lsn);
    if (strstr(outcome->text, what) == NULL)
        trail_fail(&d->trail, "\"%s\" does not name %s", outcome->text, what);
}

/* ---- the log ---- */

/* The node's answer to a log that ends before that block, of which there are more signs behind it or not. */
static void expect_end(struct damager *d, const struct outcome *outcome, const struct listed_block *block,
                       bool durable, const char *what)
{
    char where[96];

    if (!durable) {
        d->statistics.cut++;
        if (outcome->error != 0)
            trail_fail(&d->trail, "%s, of the tail: %s", what, outcome->text);
        if (outcome->lsn != block->before_lsn)
            trail_fail(&d->trail, "%s: recovered up to %" PRIu64 " instead of %" PRIu64, what, outcome->lsn,
                       block->before_lsn);
        return;
    }
    d->statistics.refused++;
    if (outcome->error != -EBADMSG)
        trail_fail(&d->trail, "%s, lsn %" PRIu64 " had been durable: %d, recovered up to %" PRIu64, what,
                   block->first_lsn, outcome->error, outcome->lsn);
    snprintf(where, sizeof where, "wal-%016" PRIx64 " at offset %" PRIu32, block->segment, block->offset);
    if (strstr(outcome->text, where) == NULL)
        trail_fail(&d->trail, "%s at %s: \"%s\"", what, where, outcome->text);
}

/* The first block that is damaged and read; `count` of the list: none. */
static unsigned first_read(const struct block_list *list, const struct damaged *damaged)
{
    unsigned first = list->count;

    for (unsigned i = 0; i < damaged->count; i++)
        if (damaged->index[i] >= list->replayed && damaged->index[i] < first)
            first = damaged->index[i];
    return first;
}

static void damage_block(struct damager *d, unsigned index, enum damage damage)
{
    const struct block_list *list = &d->blocks;
    struct sim_disk *image = copy(d);
    struct damaged damaged = block_damage(image, list, index, damage, &d->random);

    if (damaged.count == 0) {
        sim_disk_destroy(image);
        return;
    }
    d->statistics.of_damage[damage]++;
    unsigned first = first_read(list, &damaged);
    if (first < list->count) {
        bool durable = block_search(image, list, first).watermark >= list->block[first].next_lsn ||
                       list->needed >= list->block[first].next_lsn;
        struct outcome outcome = recover(d, image);
        expect_end(d, &outcome, &list->block[first], durable, damage_name(damage));
        return;
    }
    struct outcome outcome = recover(d, image);
    d->statistics.harmless++;
    if (outcome.error != 0 || outcome.lsn != list->lsn)
        trail_fail(&d->trail, "%s before the snapshot: %d, %s, up to %" PRIu64, damage_name(damage),
                   outcome.error, outcome.text, outcome.lsn);
}

static void damage_log(struct damager *d)
{
    for (unsigned i = 0; i < d->blocks.count; i++)
        for (unsigned damage = 0; damage < DAMAGES; damage++)
            damage_block(d, i, (enum damage)damage);
}

/* ---- snapshots and meta ---- */

/* One of the ways, somewhere in the file. */
static void damage_file(struct damager *d, struct sim_disk *image, const char *name)
{
    uint64_t length, at, other;
    uint8_t *bytes = sim_disk_bytes(image, name, &length), page[DISK_BLOCK_BYTES];

    crash_must(bytes != NULL && length >= DISK_BLOCK_BYTES, "a file that is not there");
    uint64_t pages = length / DISK_BLOCK_BYTES;
    at = seeded_below(&d->random, 3) == 0   ? 0
         : seeded_below(&d->random, 2) == 0 ? pages - 1
                                            : seeded_below(&d->random, pages);
    other = seeded_below(&d->random, pages);
    uint8_t *here = bytes + at * DISK_BLOCK_BYTES, *there = bytes + other * DISK_BLOCK_BYTES;
    if (seeded_below(&d->random, 2) == 0 && memcmp(here, there, sizeof page) != 0) {
        memcpy(page, here, sizeof page);
        memcpy(here, there, sizeof page);
        if (seeded_below(&d->random, 2) == 0) /* swapped; else one is there twice */
            memcpy(there, page, sizeof page);
        return;
    }
    memset(page, 0, sizeof page);
    if (seeded_below(&d->random, 4) == 0 && memcmp(here, page, sizeof page) != 0)
        memset(here, 0, sizeof page);
    else
        here[seeded_below(&d->random, sizeof page)] ^= (uint8_t)(1 << seeded_below(&d->random, 8));
}

/* The newest: the older one and more of the log. Both: refused, unless all of the log is there. */
static void damage_snapshots(struct damager *d)
{
    struct crash_folder folder;
    char newest[DISK_NAME_BYTES], older[DISK_NAME_BYTES];

    crash_folder_look(&folder, d->disk);
    meta_snapshot_name(newest, folder.snapshot);
    meta_snapshot_name(older, folder.older);
    if (folder.snapshots != 2) /* a third one may be back after the crash, its segments or not */
        return;
    for (unsigned i = 0; i < SNAPSHOT_ROUNDS; i++) {
        struct sim_disk *image = copy(d);
        unsigned which = i % 4;
        if (which != 1)
            damage_file(d, image, newest);
        if (which == 1 || which == 2)
            damage_file(d, image, older);
        unsigned index = d->blocks.replayed > 0 ? (unsigned)seeded_below(&d->random, d->blocks.replayed) : 0;
        if (which == 3 && d->blocks.replayed > 0) /* and a block that only the older one needs */
            (void)block_damage(image, &d->blocks, index, DAMAGE_FLIP, &d->random);
        struct outcome outcome = recover(d, image);
        d->statistics.fell_back += which == 0;
        d->statistics.all_broken += which == 2;
        if (which == 2 && folder.oldest > 1)
            expect_refusal(d, &outcome, "snapshot");
        else if (which == 3 && d->blocks.replayed > 0)
            expect_end(d, &outcome, &d->blocks.block[index], true,
                       "the newest snapshot, and a block before it");
        else if (outcome.error != 0 || outcome.lsn != d->blocks.lsn)
            trail_fail(&d->trail, "snapshot damaged (%u): %d, %s, up to %" PRIu64 " instead of %" PRIu64,
                       which, outcome.error, outcome.text, outcome.lsn, d->blocks.lsn);
        else if (outcome.snapshots_broken != (which == 1 ? 0u : which == 2 ? 2u : 1u))
            trail_fail(&d->trail, "snapshot damaged (%u): %u were found broken", which,
                       outcome.snapshots_broken);
    }
}

static void damage_meta(struct damager *d)
{
    for (unsigned i = 0; i < META_ROUNDS; i++) {
        struct sim_disk *image = copy(d);
        damage_file(d, image, "meta");
        struct outcome outcome = recover(d, image);
        expect_refusal(d, &outcome, "meta");
        d->statistics.meta++;
    }
}

/* ---- torn, and the same later ---- */

enum { TORN_MAX = 8 };

/* A block that a crash left torn while a later one was whole. */
struct torn_block {
    uint64_t segment;
    uint32_t offset;
    uint8_t bytes[DISK_BLOCK_BYTES]; /* its first ones, with the damage in them */
};

struct torn_watch {
    struct damager *damager;
    struct node *node;
    uint64_t boundary; /* seen last + 1 */
    unsigned count;
    struct torn_block torn[TORN_MAX];
};

/* Whether the image's log ends before a block that is torn, and a later one is whole. */
static bool find_torn(struct sim_disk *image, struct torn_block *torn, uint64_t *lsn)
{
    struct block_list list;
    char name[DISK_NAME_BYTES];
    uint64_t length;
    bool found = false;

    block_list_read(&list, image);
    torn->segment = list.end.segment;
    torn->offset = list.end.offset;
    *lsn = list.lsn;
    if (block_search(image, &list, list.count).first_lsn > list.end.next_lsn) {
        meta_segment_name(name, torn->segment);
        uint8_t *bytes = sim_disk_bytes(image, name, &length);
        found = bytes != NULL && torn->offset + sizeof torn->bytes <= length;
        if (found)
            memcpy(torn->bytes, bytes + torn->offset, sizeof torn->bytes);
    }
    block_list_free(&list);
    return found;
}

/* Such an image starts, at the lsn before the torn block. */
static void watch(void *context, enum crash_call call, uint64_t boundary)
{
    struct torn_watch *watch = context;
    struct damager *d = watch->damager;
    uint64_t lsn;

    (void)call;
    if (boundary < watch->boundary || watch->node->disk.in_flight < 2 || watch->count == TORN_MAX)
        return;
    watch->boundary = boundary + 1;
    struct sim_disk *image = sim_disk_image(d->disk, SIM_CRASH_SUBSET, seeded_next(&d->random));
    if (!find_torn(image, &watch->torn[watch->count], &lsn)) {
        sim_disk_destroy(image);
        return;
    }
    struct journal journal = d->journal;
    d->journal = watch->node->journal;
    d->wall_ms = watch->node->wall_ms;
    struct outcome outcome = recover(d, image);
    d->journal = journal;
    if (outcome.error != 0 || outcome.lsn != lsn)
        trail_fail(&d->trail, "block n torn, n + 1 whole: %d, %s, up to %" PRIu64 " instead of %" PRIu64,
                   outcome.error, outcome.text, outcome.lsn, lsn);
    watch->count++;
}

/* The same bytes in the folder that the log's end is durable in. */
static void refuse_torn(struct damager *d, const struct torn_block *torn)
{
    struct sim_disk *image = copy(d);
    char name[DISK_NAME_BYTES];
    uint64_t length;

    meta_segment_name(name, torn->segment);
    uint8_t *bytes = sim_disk_bytes(image, name, &length);
    if (memcmp(bytes + torn->offset, torn->bytes, sizeof torn->bytes) == 0) { /* it was torn further behind */
        sim_disk_destroy(image);
        return;
    }
    memcpy(bytes + torn->offset, torn->bytes, sizeof torn->bytes);
    for (unsigned i = 0; i < d->blocks.count; i++) {
        if (d->blocks.block[i].segment != torn->segment || d->blocks.block[i].offset != torn->offset)
            continue;
        struct outcome outcome = recover(d, image);
        expect_end(d, &outcome, &d->blocks.block[i], true, "what a crash had left of it");
        d->statistics.torn_first++;
        return;
    }
    sim_disk_destroy(image); /* the log went on in the next segment instead */
}

static void damage_torn(struct damager *d)
{
    struct torn_watch *torn = crash_memory(NULL, sizeof *torn);
    struct node *node = crash_memory(NULL, sizeof *node);

    choose_plan(d);
    d->plan.snapshot_segments = 0;
    d->plan.latency_max = 4 + (unsigned)seeded_below(&d->random, 8);
    d->wall_ms = WALL_MS;
    d->disk = sim_disk_create(seeded_next(&d->random), UINT64_MAX);
    node_open(node, &d->plan, &d->trail, d->disk, seeded_next(&d->random), d->wall_ms);
    crash_must(node_recover(node) == 0, "an empty disk");
    node_start(node, &d->journal);
    *torn = (struct torn_watch){.damager = d, .node = node};
    node->disk.before = watch;
    node->disk.context = torn;
    while (sim_disk_boundaries(d->disk) < BOUNDARIES)
        node_step(node);
    node->disk.before = NULL;
    crash_must(node_finish(node), "no fault");
    journal_copy(&d->journal, &node->journal, node->journal.count);
    d->wall_ms = node->wall_ms;
    node_close(node);
    block_list_read(&d->blocks, d->disk);
    for (unsigned i = 0; i < torn->count; i++)
        refuse_torn(d, &torn->torn[i]);
    free(node);
    free(torn);
    free_folder(d);
}

/* ---- all of it ---- */

static void print_statistics(const struct statistics *s)
{
    printf("%" PRIu64 " images of %" PRIu64 " folders\n  the log           refused %" PRIu64
           ", tail cut %" PRIu64 ", not read %" PRIu64 "\n",
           s->images, s->folders, s->refused, s->cut, s->harmless);
    for (unsigned i = 0; i < DAMAGES; i++)
        printf("    %6" PRIu64 " %s\n", s->of_damage[i], damage_name((enum damage)i));
    printf("  snapshots         fell back %" PRIu64 ", none left %" PRIu64 "; meta %" PRIu64 "\n",
           s->fell_back, s->all_broken, s->meta);
    printf("  torn blocks       %" PRIu64 " were no hindrance at first, and damage later\n", s->torn_first);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'}, {0}};
    uint64_t seed = seeded_from_environment((uint64_t)time(NULL));
    struct damager *d = crash_memory(NULL, sizeof *d);

    memset(d, 0, sizeof *d);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c != 's') {
            fprintf(stderr, "usage: damage_log [--seed S]\n");
            return 2;
        }
        seed = strtoull(optarg, NULL, 0);
    }
    d->trail = (struct trail){.program = "damage_log", .seed = seed};
    d->random = seeded_start(seed);
    printf("damage_log: WILD_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    for (unsigned i = 0; i < FOLDERS; i++) {
        make_folder(d);
        damage_log(d);
        damage_snapshots(d);
        damage_meta(d);
        free_folder(d);
        damage_torn(d);
    }
    print_statistics(&d->statistics);
    free(d);
    return 0;
}
