/*
 * feeder_fixture.h - a feeder on a log that a real writer writes, the table that this log makes, snapshots of
 * it, and followers: each has a table of its own and checks that what it is fed is what went to disk, in
 * order, and durable.
 */
#ifndef WILD_TESTS_FEEDER_FIXTURE_H
#define WILD_TESTS_FEEDER_FIXTURE_H

#include "apply.h"
#include "feeder.h"
#include "log_lives.h"
#include "snapshot.h"
#include "snapshot_bytes.h"
#include "table_walk.h"

enum {
    FED_SEGMENT_BYTES = 2 * WAL_BLOCK_BYTES_MAX,
    FED_CAPACITY = 60000,
    FED_STEPS_MAX = 20000,
    FED_COPY_BYTES = 64 * 1024,
};

struct fed_table {
    struct table *table;
    struct execute_context *context;
};

struct fed {
    struct log_lives lives;
    struct fed_table primary;
    struct feeder *feeder;
    uint64_t told_lsn; /* what the feeder was told to be durable */
};

struct follower {
    struct fed *fed;
    struct fed_table mine;
    int feed;
    uint64_t lsn; /* has everything up to it */
    unsigned at;  /* the block that comes next; block_count: the first one tells */
    unsigned begins, chunks, ends, items;
    bool placed, ended, rebuilding;
    int error;
    struct replication_snapshot_begin begin;
    struct replication_snapshot_end end;
};

static inline struct fed_table fed_table_open(void)
{
    struct table_config config = {
        .capacity = FED_CAPACITY, .first_lsn = (uint64_t)1 << 32, .workers = 1, .numa_node = -1};
    struct fed_table made;
    CU_ASSERT_EQUAL_FATAL(table_create(&made.table, &config, NULL), 0);
    made.context = execute_context_create(made.table, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(made.context);
    return made;
}

static inline void fed_table_close(struct fed_table *table)
{
    execute_context_destroy(table->context);
    table_destroy(table->table);
}

/* Of all items, in whatever order they lie. */
static inline uint64_t fed_digest(const struct table *table)
{
    static uint8_t copy[FED_COPY_BYTES];
    uint64_t sum = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++) {
        for (uint32_t below = TABLE_COPY_ALL; below > 0;) {
            int64_t bytes = table_copy_bucket(table, bucket, &below, copy, sizeof copy);
            CU_ASSERT_FATAL(bytes >= 0);
            for (int64_t at = 0; at < bytes;) {
                size_t length = log_record_encoded_bytes(copy + at);
                uint64_t state = wal_crc(0, copy + at, length) + 1;
                sum += seeded_next(&state);
                at += (int64_t)length;
            }
        }
    }
    return sum;
}

static inline void fed_apply(void *state, const uint8_t *record, size_t length)
{
    struct fed *fed = state;
    CU_ASSERT_EQUAL_FATAL(apply_records(fed->primary.context, record, length), 0);
}

static inline void fed_open(struct fed *fed, uint64_t seed)
{
    lives_open(&fed->lives, seed, FED_SEGMENT_BYTES);
    fed->lives.appended = fed_apply;
    fed->lives.appended_state = fed;
    fed->primary = fed_table_open();
    fed->told_lsn = 0;
    fed->feeder = NULL;
}

/* On the disk as it is now: after a life that ended, anew. */
static inline void fed_start(struct fed *fed)
{
    struct feeder_config config = {
        .disk = fed->lives.disk, .meta = &fed->lives.meta, .capacity = FED_CAPACITY};
    feeder_destroy(fed->feeder);
    fed->feeder = feeder_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fed->feeder);
    fed->told_lsn = 0;
}

static inline void fed_close(struct fed *fed)
{
    feeder_destroy(fed->feeder);
    fed_table_close(&fed->primary);
    lives_close(&fed->lives);
}

static inline void fed_tell(struct fed *fed)
{
    fed->told_lsn = fed->lives.durable_lsn;
    feeder_tell_durable(fed->feeder, fed->told_lsn);
}

static inline bool fed_step(struct fed *fed)
{
    return feeder_step(fed->feeder, fed->lives.oldest, fed->lives.newest);
}

/* A snapshot of now; its name's LSN. */
static inline uint64_t fed_snapshot(struct fed *fed)
{
    struct snapshot_facts facts = {.position = wal_writer_position(fed->lives.writer), .wall_ms = 1234};
    memcpy(facts.cluster_id, fed->lives.meta.cluster_id, sizeof facts.cluster_id);
    struct snapshot_writer *writer = snapshot_writer_create(&fed->lives.disk, fed->primary.table, &facts);
    int progress;
    CU_ASSERT_PTR_NOT_NULL_FATAL(writer);
    while ((progress = snapshot_writer_step(writer, 500, fed->lives.durable_lsn)) != SNAPSHOT_PUBLISHED) {
        CU_ASSERT_FATAL(progress > 0);
        (void)lives_turn(&fed->lives);
    }
    snapshot_writer_destroy(writer);
    return facts.position.next_lsn - 1;
}

static inline struct follower follower_open(struct fed *fed, enum feed_start start, uint64_t lsn)
{
    struct follower follower = {.fed = fed, .mine = fed_table_open(), .lsn = lsn};
    follower.feed = feeder_open(fed->feeder, start, lsn);
    CU_ASSERT_FATAL(follower.feed >= 0);
    return follower;
}

static inline void follower_close(struct follower *follower)
{
    feeder_close(follower->fed->feeder, follower->feed);
    fed_table_close(&follower->mine);
}

/* The first block of a feed: what lies before it the follower has, or it was never anything. */
static inline void follower_place(struct follower *follower, const uint8_t *bytes)
{
    const struct log_lives *lives = &follower->fed->lives;
    follower->placed = true;
    while (follower->at < lives->block_count &&
           memcmp(lives->block[follower->at].bytes, bytes, WAL_BLOCK_HEADER_BYTES) != 0) {
        const struct lived_block *passed = &lives->block[follower->at++];
        CU_ASSERT(passed->count == 0 || passed->next_lsn - 1 <= follower->lsn);
    }
}

static inline void follower_blocks(struct follower *follower, const struct feed_item *item)
{
    const struct log_lives *lives = &follower->fed->lives;
    uint64_t next_lsn = 0;
    if (!follower->placed)
        follower_place(follower, item->bytes);
    CU_ASSERT_FATAL(item->length > 0 && item->length <= FEED_BUFFER_BYTES);
    for (uint32_t at = 0; at < item->length; follower->at++) {
        CU_ASSERT_FATAL(follower->at < lives->block_count);
        const struct lived_block *block = &lives->block[follower->at];
        CU_ASSERT_FATAL(block->length <= item->length - at);
        CU_ASSERT_FATAL(memcmp(item->bytes + at, block->bytes, block->length) == 0);
        CU_ASSERT_EQUAL_FATAL(apply_records(follower->mine.context, item->bytes + at + WAL_BLOCK_HEADER_BYTES,
                                            block->length - WAL_BLOCK_HEADER_BYTES),
                              0);
        next_lsn = block->next_lsn;
        CU_ASSERT(next_lsn - 1 > follower->lsn || block->count == 0);
        follower->lsn = next_lsn - 1;
        at += block->length;
    }
    CU_ASSERT_EQUAL(item->next_lsn, next_lsn);
    CU_ASSERT(next_lsn - 1 <= follower->fed->told_lsn);
}

static inline void follower_item(struct follower *follower, const struct feed_item *item)
{
    CU_ASSERT_FALSE_FATAL(follower->ended);
    follower->items++;
    switch (item->type) {
    case FEED_BEGIN:
        CU_ASSERT(follower->begins++ == 0 && follower->items == 1);
        follower->begin = item->begin;
        follower->rebuilding = true;
        CU_ASSERT_EQUAL_FATAL(apply_begin(follower->mine.context), 0);
        break;
    case FEED_CHUNK:
        CU_ASSERT(follower->begins == 1 && follower->ends == 0 && item->length > 0);
        follower->chunks++;
        CU_ASSERT_EQUAL_FATAL(apply_records(follower->mine.context, item->bytes, item->length), 0);
        break;
    case FEED_END:
        CU_ASSERT(follower->begins == 1 && follower->ends++ == 0);
        follower->end = item->end;
        follower->lsn = follower->begin.start_lsn;
        break;
    case FEED_BLOCKS:
        CU_ASSERT(follower->begins == follower->ends);
        follower_blocks(follower, item);
        break;
    case FEED_ENDED:
        follower->ended = true;
        follower->error = item->error;
        break;
    }
}

/* Takes what is there; true: anything. */
static inline bool follower_take(struct follower *follower)
{
    const struct feed_item *item;
    bool any = false;
    while (!follower->ended && (item = feeder_take(follower->fed->feeder, follower->feed)) != NULL) {
        follower_item(follower, item);
        feeder_give_back(follower->fed->feeder, follower->feed);
        any = true;
    }
    return any;
}

/* Until nothing comes any more. */
static inline void follower_settle(struct follower *follower)
{
    unsigned idle = 0;
    for (unsigned steps = 0; idle < 200 && !follower->ended; steps++) {
        bool worked = fed_step(follower->fed);
        worked |= follower_take(follower);
        idle = worked ? 0 : idle + 1;
        CU_ASSERT_FATAL(steps < FED_STEPS_MAX);
    }
}

/* It has all that is durable, and that is what the primary has. */
static inline void follower_expect_all(struct follower *follower)
{
    CU_ASSERT_FALSE(follower->ended);
    CU_ASSERT_EQUAL(follower->lsn, follower->fed->told_lsn);
    if (follower->rebuilding)
        CU_ASSERT_EQUAL(apply_end(follower->mine.context), 0);
    follower->rebuilding = false;
    CU_ASSERT_EQUAL(fed_digest(follower->mine.table), fed_digest(follower->fed->primary.table));
}

#endif
