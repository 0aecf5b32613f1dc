/*
 * feeder_folder.c - a node's log on a real folder, written past the kernel's pages, and read from them by
 * feeds at the same time: segments come, are used again and go, snapshots are taken, followers are slow, go
 * away, come back, begin anew. In two threads as in a node; made for ThreadSanitizer, and useful without it.
 *
 *   feeder_folder [--operations N] [--uring]     a life; WILD_SEED=S
 *
 * Followers check that every block is whole and follows the one before it, and that nothing comes before it
 * is durable. In the end each has what the primary has, item for item.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "../unit/seeded.h"
#include "apply.h"
#include "disk_folder.h"
#include "durable_log.h"
#include "feeder.h"
#include "table_load.h"
#include "table_walk.h"
#include "wire.h"

enum {
    LIVES = 2,
    OPERATIONS = 16000, /* a life */
    CAPACITY = 40000,
    KEYS = 2000,
    SEGMENT_BYTES = 512 * 1024,
    SNAPSHOT_SEGMENTS = 3,
    RING_BYTES = 1 << 20,
    MOVES = 20, /* of followers, a turn */
    COPY_BYTES = 64 * 1024,
    PAUSE_US = 100,
    BLOCK_LENGTH_AT = 12, /* wal_block.h */
    BLOCK_SEGMENT_AT = 56,
    BLOCK_OFFSET_AT = 64,
};

struct follower {
    struct node *node;
    struct table *table;
    struct execute_context *context;
    int feed; /* -1: none */
    uint64_t lsn, end_lsn, next_lsn, history;
    uint32_t crc; /* of its last block */
    unsigned bootstraps, resumes, ended, blocks, chunks;
    bool chained, rebuilding;
    uint8_t block[WAL_BLOCK_BYTES_MAX];
};

struct node {
    struct disk_folder *folder;
    struct table *table;
    struct execute_context *context;
    struct log_ring *ring;
    struct log_merge merge;
    struct recovery *recovery;
    struct housekeeper *housekeeper;
    struct durable_log *log;
    struct feeder *feeder;
    _Atomic bool over; /* writer: main; reader: the housekeeping thread */
    uint64_t random, mono_ns, durable_lsn;
    struct follower follower[FEEDS_MAX];
};

/* ---- the folder ---- */

static uint64_t needs_segment(const void *readers)
{
    return feeder_needs_segment(readers);
}

static bool needs_snapshot(const void *readers, uint64_t lsn)
{
    return feeder_needs_snapshot(readers, lsn);
}

static void *housekeeping_main(void *argument)
{
    struct node *node = argument;
    while (!atomic_load(&node->over)) {
        uint64_t oldest, newest;
        enum housekeeper_step step = housekeeper_step(node->housekeeper);
        housekeeper_segments(node->housekeeper, &oldest, &newest);
        if (!feeder_step(node->feeder, oldest, newest) && step != HOUSEKEEPER_WORKED)
            usleep(PAUSE_US);
    }
    return NULL;
}

static void open_node(struct node *node, const char *path, bool uring)
{
    char error[RECOVERY_TEXT_BYTES];
    struct table_config table = {
        .capacity = CAPACITY, .first_lsn = (uint64_t)1 << 32, .workers = 2, .numa_node = -1};
    int failed = disk_folder_open(&node->folder, path, DISK_FOLDER_OWN,
                                  uring ? DISK_QUEUE_URING : DISK_QUEUE_THREAD, error, sizeof error);
    if (failed != 0)
        fprintf(stderr, "%s\n", error);
    EXPECT(failed == 0);
    EXPECT(table_create(&node->table, &table, NULL) == 0);
    node->ring = log_ring_create(RING_BYTES, -1);
    node->context = execute_context_create(node->table, 0, node->ring);
    struct execute_context *apply = execute_context_create(node->table, 1, NULL);
    EXPECT(node->ring != NULL && node->context != NULL && apply != NULL);
    struct recovery_config recovery = {.disk = disk_folder_disk(node->folder),
                                       .apply = apply,
                                       .random = seeded_source(&node->random),
                                       .folder = path,
                                       .segment_bytes = SEGMENT_BYTES};
    node->recovery = recovery_create(&recovery);
    EXPECT(node->recovery != NULL);
    for (int step; (step = recovery_step(node->recovery)) != 0;)
        EXPECT(step == 1);
    execute_context_destroy(apply);
    const struct recovery_facts *found = recovery_facts(node->recovery);
    struct feeder_config feeder = {
        .disk = disk_folder_disk(node->folder), .meta = &found->meta, .capacity = CAPACITY};
    node->feeder = feeder_create(&feeder);
    struct housekeeper_config housekeeper = {.disk = disk_folder_disk(node->folder),
                                             .table = node->table,
                                             .found = found,
                                             .segment_bytes = SEGMENT_BYTES,
                                             .snapshot_buckets = 256,
                                             .needs_segment = needs_segment,
                                             .needs_snapshot = needs_snapshot,
                                             .readers = node->feeder};
    node->housekeeper = housekeeper_create(&housekeeper);
    log_merge_init(&node->merge, &node->ring, 1, found->meta.history[found->meta.count - 1].first_lsn);
    struct durable_log_config log = {.queue = disk_folder_queue(node->folder),
                                     .merge = &node->merge,
                                     .housekeeper = node->housekeeper,
                                     .found = found,
                                     .segment_bytes = SEGMENT_BYTES,
                                     .snapshot_segments = SNAPSHOT_SEGMENTS};
    node->log = durable_log_create(&log);
    EXPECT(node->feeder != NULL && node->housekeeper != NULL && node->log != NULL);
    node->mono_ns = 1;
    node->durable_lsn = 0;
    atomic_store(&node->over, false);
}

static void close_node(struct node *node)
{
    feeder_destroy(node->feeder);
    durable_log_destroy(node->log);
    housekeeper_destroy(node->housekeeper);
    recovery_destroy(node->recovery);
    execute_context_destroy(node->context);
    log_ring_destroy(node->ring);
    table_destroy(node->table);
    disk_folder_close(node->folder);
}

/* ---- followers ---- */

static uint64_t digest(const struct table *table)
{
    static uint8_t copy[COPY_BYTES];
    uint64_t sum = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++) {
        for (uint32_t below = TABLE_COPY_ALL; below > 0;) {
            int64_t bytes = table_copy_bucket(table, bucket, &below, copy, sizeof copy);
            EXPECT(bytes >= 0);
            for (int64_t at = 0; at < bytes;) {
                size_t length = log_record_encoded_bytes(copy + at);
                uint64_t state = wal_crc(0, copy + at, length);
                sum += next_random(&state);
                at += (int64_t)length;
            }
        }
    }
    return sum;
}

static void follow(struct follower *follower, bool anew)
{
    struct feeder *feeder = follower->node->feeder;
    if (anew && follower->rebuilding) {
        while (!apply_clear(follower->context, 1000))
            ;
        EXPECT(apply_end(follower->context) == 0);
        follower->rebuilding = false;
    }
    while (anew && !apply_clear(follower->context, 1000))
        ;
    if (anew)
        follower->lsn = follower->end_lsn = 0;
    follower->chained = false;
    follower->feed = feeder_open(feeder, anew ? FEED_BOOTSTRAP : FEED_LOG, follower->lsn);
    if (follower->feed < 0) {
        EXPECT(follower->feed == -EBUSY);
        return;
    }
    follower->bootstraps += anew;
    follower->resumes += !anew;
}

static void leave(struct follower *follower)
{
    feeder_close(follower->node->feeder, follower->feed);
    follower->feed = -1;
}

static uint32_t apply_block(struct follower *follower, const uint8_t *bytes, uint32_t left)
{
    struct wal_block block;
    EXPECT(left >= WAL_BLOCK_HEADER_BYTES);
    uint32_t length = wire_u32(bytes + BLOCK_LENGTH_AT);
    EXPECT(length >= WAL_BLOCK_HEADER_BYTES && length <= left);
    memcpy(follower->block, bytes, length);
    memset(follower->block + length, 0, wal_block_padded(length) - length);
    EXPECT(wal_block_decode(&block, follower->block, wal_block_padded(length),
                            wire_u64(bytes + BLOCK_SEGMENT_AT),
                            wire_u32(bytes + BLOCK_OFFSET_AT)) == WAL_WHOLE);
    if (follower->chained) {
        EXPECT(block.previous_crc == follower->crc);
        EXPECT(block.history == follower->history ? block.first_lsn == follower->next_lsn
                                                  : block.first_lsn > follower->next_lsn);
    }
    follower->chained = true;
    follower->crc = block.crc;
    follower->history = block.history;
    follower->next_lsn = block.first_lsn + block.count;
    EXPECT(follower->next_lsn - 1 <= follower->node->durable_lsn);
    EXPECT(apply_records(follower->context, block.records, block.records_bytes) == 0);
    if (follower->next_lsn - 1 > follower->lsn)
        follower->lsn = follower->next_lsn - 1;
    follower->blocks++;
    return length;
}

static void apply_item(struct follower *follower, const struct feed_item *item)
{
    switch (item->type) {
    case FEED_BEGIN:
        EXPECT(apply_begin(follower->context) == 0);
        follower->rebuilding = true;
        follower->lsn = item->begin.start_lsn;
        follower->end_lsn = UINT64_MAX;
        break;
    case FEED_CHUNK:
        EXPECT(apply_records(follower->context, item->bytes, item->length) == 0);
        follower->chunks++;
        break;
    case FEED_END:
        follower->end_lsn = item->end.end_lsn;
        break;
    case FEED_BLOCKS:
        for (uint32_t at = 0; at < item->length;)
            at += apply_block(follower, item->bytes + at, item->length - at);
        EXPECT(item->next_lsn == follower->next_lsn);
        break;
    case FEED_ENDED:
        EXPECT(item->error == -ENOENT);
        follower->ended++;
        break;
    }
    if (follower->rebuilding && follower->lsn >= follower->end_lsn) {
        EXPECT(apply_end(follower->context) == 0);
        follower->rebuilding = false;
    }
}

/* One item, if there is one. */
static bool take(struct follower *follower)
{
    struct feeder *feeder = follower->node->feeder;
    const struct feed_item *item = feeder_take(feeder, follower->feed);
    if (item == NULL)
        return false;
    bool ended = item->type == FEED_ENDED;
    apply_item(follower, item);
    if (ended) {
        leave(follower);
        follow(follower, true);
    } else {
        feeder_give_back(feeder, follower->feed);
    }
    return true;
}

static void move_follower(struct node *node)
{
    uint64_t draw = next_random(&node->random);
    struct follower *follower = &node->follower[draw % FEEDS_MAX];
    unsigned what = draw >> 8 & 0xffff;
    if (follower->feed < 0) {
        if (what % 64 == 0)
            follow(follower, follower->rebuilding || follower->lsn == 0 || what % 1024 == 0);
    } else if (what % 2048 == 0) {
        leave(follower);
    } else if (what % (follower == node->follower ? 16 : 2) == 0) {
        (void)take(follower);
    }
}

/* ---- the control lcore ---- */

static void turn(struct node *node, bool wait)
{
    node->mono_ns += 10000;
    if (durable_log_turn(node->log, 1000, node->mono_ns, 1700000000000) == 0 && wait)
        usleep(PAUSE_US); /* for the disk */
    struct wal_writer_facts facts = durable_log_facts(node->log);
    EXPECT(facts.state == WAL_RUNNING);
    if (facts.started) {
        node->durable_lsn = facts.durable_lsn;
        feeder_tell_durable(node->feeder, facts.durable_lsn);
    }
    for (unsigned i = 0; i < MOVES; i++)
        move_follower(node);
}

static void write_one(struct node *node)
{
    uint64_t draw = next_random(&node->random);
    unsigned number = (unsigned)(draw >> 8) % KEYS;
    uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
    struct operation operation = {
        .opcode = draw % 16 == 0 ? OPCODE_DELETE : OPCODE_SET, .key = key, .value = value};
    struct result result = {.value = value, .room = sizeof value};
    operation.key_length = (uint8_t)make_key(number, key);
    if (operation.opcode == OPCODE_SET) {
        operation.value_length = (uint16_t)(VALUE_MIN + (draw >> 40) % 900);
        make_value(number, draw, value, operation.value_length);
    }
    uint64_t hash = table_hash(node->table, key, operation.key_length);
    while (execute(node->context, &operation, hash, 1000, &result) == STATUS_BUSY)
        turn(node, true); /* the ring is full */
}

static void expect_all(struct node *node)
{
    uint64_t primary = digest(node->table);
    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        struct follower *follower = &node->follower[i];
        if (follower->feed >= 0)
            leave(follower);
        while (follower->feed < 0)
            follow(follower, i == 0 || follower->rebuilding || follower->lsn == 0);
        while (follower->lsn < node->durable_lsn || follower->rebuilding)
            if (!take(follower))
                usleep(PAUSE_US);
        EXPECT(digest(follower->table) == primary);
        leave(follower);
        printf("  follower %u: %u bootstraps, %u resumes, %u ended, %u chunks, %u blocks\n", i,
               follower->bootstraps, follower->resumes, follower->ended, follower->chunks, follower->blocks);
    }
    EXPECT(node->follower[0].chunks > 0);
}

static void live(struct node *node, uint64_t operations)
{
    pthread_t housekeeping;
    EXPECT(pthread_create(&housekeeping, NULL, housekeeping_main, node) == 0);
    for (uint64_t i = 0; i < operations; i++) {
        write_one(node);
        if (next_random(&node->random) % 16 == 0)
            turn(node, false);
    }
    while (housekeeper_facts(node->housekeeper).snapshots == 0) {
        durable_log_snapshot(node->log);
        turn(node, true);
    }
    durable_log_finish(node->log);
    while (!durable_log_finished(node->log))
        turn(node, true);
    turn(node, true);
    expect_all(node);
    atomic_store(&node->over, true);
    EXPECT(pthread_join(housekeeping, NULL) == 0);
    struct housekeeper_facts facts = housekeeper_facts(node->housekeeper);
    uint64_t oldest, newest;
    housekeeper_segments(node->housekeeper, &oldest, &newest);
    printf("  segments %" PRIu64 " to %" PRIu64 ", %" PRIu64 " snapshots\n", oldest, newest, facts.snapshots);
    EXPECT(facts.snapshots_failed == 0 && facts.removal_error == 0);
}

static void remove_each(void *context, const char *name, uint64_t bytes)
{
    char file[256];
    (void)bytes;
    snprintf(file, sizeof file, "%s/%s", (const char *)context, name);
    EXPECT(unlink(file) == 0);
}

static void remove_folder(char *path)
{
    char error[RECOVERY_TEXT_BYTES], lock[128];
    struct disk_folder *folder;
    EXPECT(disk_folder_open(&folder, path, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error) == 0);
    struct disk disk = disk_folder_disk(folder);
    EXPECT(disk.call->list(disk.state, remove_each, path) == 0);
    disk_folder_close(folder);
    snprintf(lock, sizeof lock, "%s/lock", path);
    EXPECT(unlink(lock) == 0 && rmdir(path) == 0);
}

int main(int argc, char **argv)
{
    uint64_t operations = OPERATIONS;
    bool uring = false;
    static const struct option options[] = {
        {"operations", required_argument, NULL, 'n'}, {"uring", no_argument, NULL, 'u'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "n:u", options, NULL)) != -1;) {
        if (c == 'n')
            operations = strtoull(optarg, NULL, 10);
        else if (c == 'u')
            uring = true;
        else
            return 2;
    }
    static struct node node;
    const char *text = getenv("WILD_SEED"), *temporary = getenv("TMPDIR");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    char path[64];
    snprintf(path, sizeof path, "%.30s/wild-feeder-XXXXXX", temporary != NULL ? temporary : "/tmp");
    EXPECT(mkdtemp(path) != NULL);
    printf("feeder_folder: WILD_SEED=%" PRIu64 "\n", seed);
    node.random = seed + 1;
    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        struct follower *follower = &node.follower[i];
        struct table_config table = {
            .capacity = CAPACITY, .first_lsn = (uint64_t)1 << 32, .workers = 1, .numa_node = -1};
        *follower = (struct follower){.node = &node, .feed = -1};
        EXPECT(table_create(&follower->table, &table, NULL) == 0);
        follower->context = execute_context_create(follower->table, 0, NULL);
        EXPECT(follower->context != NULL);
    }
    for (unsigned life = 0; life < LIVES; life++) {
        open_node(&node, path, uring);
        live(&node, operations);
        close_node(&node);
    }
    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        execute_context_destroy(node.follower[i].context);
        table_destroy(node.follower[i].table);
    }
    remove_folder(path);
    return 0;
}
