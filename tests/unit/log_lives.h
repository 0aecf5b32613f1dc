/*
 * log_lives.h - a folder through its lives, for tests of who reads the log while it is written: each life is
 * a history that a real writer writes to a simulated disk; it ends in order or by a crash, and what is found
 * of it is read back as a start does. Every block that became durable is remembered as it went to disk.
 */
#ifndef WILD_TESTS_LOG_LIVES_H
#define WILD_TESTS_LOG_LIVES_H

#include <stdlib.h>

#include "sim_disk.h"
#include "suite.h"
#include "wal_blocks.h"
#include "wal_reader.h"
#include "wal_writer.h"

enum { LIVES_BLOCKS_MAX = 4000, LIVES_TURN_NS = 1000, LIVES_TURNS_MAX = 20000 };

struct lived_block {
    uint64_t segment, first_lsn, next_lsn, history;
    uint64_t before_lsn; /* last one of the log before this block */
    uint8_t *bytes;      /* header and records */
    uint32_t length, count;
};

struct log_lives {
    struct sim_disk *sim;
    struct disk disk;
    struct meta meta;
    struct wal_writer *writer; /* NULL between lives */
    struct wal_position begin; /* of this life: where the log ended before */
    uint64_t segment_bytes, seed, now_ns;
    uint64_t next_lsn, durable_lsn; /* of the record to be written; as the writer says */
    uint64_t oldest, newest;        /* segments that the folder has */
    bool use_again;                 /* the oldest segment becomes the next one */
    uint64_t kept;                  /* but not this one, or later ones */
    /* Every record that is taken; NULL: nobody asks. */
    void (*appended)(void *state, const uint8_t *record, size_t length);
    void *appended_state;
    unsigned block_count;
    struct lived_block block[LIVES_BLOCKS_MAX];
};

static inline void lives_open(struct log_lives *lives, uint64_t seed, uint64_t segment_bytes)
{
    memset(lives, 0, sizeof *lives);
    lives->seed = seeded_start(seed);
    lives->sim = sim_disk_create(seed, UINT64_C(1) << 32);
    lives->disk = sim_disk_disk(lives->sim);
    lives->meta = (struct meta){.cluster_id = {1}, .node_id = 1000, .stamp = 0x5eed};
    lives->begin = (struct wal_position){.next_lsn = 1};
    lives->segment_bytes = segment_bytes;
    lives->now_ns = 1;
    lives->oldest = 1;
    lives->kept = UINT64_MAX;
}

static inline void lives_forget(struct log_lives *lives, unsigned from)
{
    for (unsigned i = from; i < lives->block_count; i++)
        free(lives->block[i].bytes);
    if (lives->block_count > from)
        lives->block_count = from;
}

static inline void lives_close(struct log_lives *lives)
{
    wal_writer_destroy(lives->writer);
    lives_forget(lives, 0);
    sim_disk_destroy(lives->sim);
}

static inline void lives_remember(void *state, const struct wal_block *block, const uint8_t *bytes)
{
    struct log_lives *lives = state;
    CU_ASSERT_FATAL(lives->block_count < LIVES_BLOCKS_MAX);
    uint64_t next = lives->block_count > 0 ? lives->block[lives->block_count - 1].next_lsn : 0;
    struct lived_block *new = &lives->block[lives->block_count++];
    *new = (struct lived_block){.segment = block->segment,
                                .first_lsn = block->first_lsn,
                                .next_lsn = block->first_lsn + block->count,
                                .history = block->history,
                                .before_lsn = meta_last_lsn(&lives->meta, next),
                                .bytes = malloc(block->length),
                                .length = block->length,
                                .count = block->count};
    CU_ASSERT_PTR_NOT_NULL_FATAL(new->bytes);
    memcpy(new->bytes, bytes, block->length);
}

static inline int lives_make_segment(struct log_lives *lives, uint64_t number)
{
    const struct disk *disk = &lives->disk;
    char name[DISK_NAME_BYTES], old[DISK_NAME_BYTES];
    meta_segment_name(name, number);
    meta_segment_name(old, lives->oldest);
    (void)disk->call->remove(disk->state, name);
    if (lives->use_again && lives->oldest < lives->kept && lives->oldest + 2 < number) {
        CU_ASSERT(disk->call->rename(disk->state, old, name) >= 0);
        lives->oldest++;
    }
    int file = disk->call->open(disk->state, name, DISK_WRITE, 0);
    if (file < 0)
        file = disk->call->open(disk->state, name, DISK_CREATE, lives->segment_bytes);
    if (file >= 0) {
        (void)disk->call->sync(disk->state, file);
        (void)disk->call->sync_folder(disk->state);
    }
    if (number > lives->newest)
        lives->newest = number;
    return file;
}

static inline void lives_remove_oldest(struct log_lives *lives)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, lives->oldest++);
    CU_ASSERT(lives->disk.call->remove(lives->disk.state, name) >= 0);
}

static inline unsigned lives_turn(struct log_lives *lives)
{
    lives->now_ns += LIVES_TURN_NS;
    unsigned done = wal_writer_turn(lives->writer, lives->now_ns, 1700000000000 + lives->now_ns);
    uint64_t wanted = wal_writer_wants(lives->writer);
    int file = wanted != 0 ? lives_make_segment(lives, wanted) : -1;
    if (file >= 0)
        wal_writer_give(lives->writer, file);
    while ((file = wal_writer_done_with(lives->writer)) >= 0)
        lives->disk.call->close(lives->disk.state, file);
    struct wal_writer_facts facts = wal_writer_facts(lives->writer);
    if (facts.started)
        lives->durable_lsn = facts.durable_lsn;
    return done;
}

/* A start: a new history behind what was found. */
static inline void lives_begin(struct log_lives *lives)
{
    uint64_t first_lsn = meta_next_first_lsn(&lives->meta, lives->begin.next_lsn - 1, 1);
    meta_add(&lives->meta, &(struct history){.id = first_lsn >> 24,
                                             .first_lsn = first_lsn,
                                             .node_id = lives->meta.node_id,
                                             .before_lsn = meta_last_lsn(&lives->meta, lives->begin.next_lsn),
                                             .epoch = (uint32_t)(first_lsn >> 32)});
    struct wal_writer_config config = {.queue = sim_disk_queue(lives->sim),
                                       .start = lives->begin,
                                       .history = lives->meta.history[lives->meta.count - 1].id,
                                       .first_lsn = first_lsn,
                                       .durable_lsn = lives->begin.next_lsn - 1,
                                       .stamp = lives->meta.stamp,
                                       .segment_bytes = lives->segment_bytes,
                                       .durable = lives_remember,
                                       .durable_state = lives};
    lives->writer = wal_writer_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(lives->writer);
    lives->next_lsn = first_lsn;
}

static inline bool lives_append(struct log_lives *lives, unsigned value_length)
{
    uint8_t record[LOG_RECORD_BYTES_MAX];
    size_t length = numbered_record(record, lives->next_lsn, value_length);
    bool taken = wal_writer_append(lives->writer, record, length);
    lives->next_lsn += taken;
    if (taken && lives->appended != NULL)
        lives->appended(lives->appended_state, record, length);
    return taken;
}

/* Until all that was written is durable; the clock stands too still for a mark. */
static inline void lives_settle(struct log_lives *lives)
{
    for (unsigned turns = 0;
         lives->durable_lsn + 1 < lives->next_lsn || !wal_writer_facts(lives->writer).started; turns++) {
        (void)lives_turn(lives);
        CU_ASSERT_FATAL(turns < LIVES_TURNS_MAX);
    }
}

/* Records of all lengths, in blocks as they come; settled. */
static inline void lives_write(struct log_lives *lives, unsigned records)
{
    for (unsigned turns = 0; records > 0; turns++) {
        unsigned length = (unsigned)seeded_below(&lives->seed, VALUE_BYTES_MAX + 1);
        for (uint64_t burst = seeded_below(&lives->seed, 150); burst > 0 && records > 0; burst--)
            records -= lives_append(lives, length);
        (void)lives_turn(lives);
        CU_ASSERT_FATAL(turns < LIVES_TURNS_MAX);
    }
    lives_settle(lives);
}

/* Nothing comes for a while: a mark. */
static inline void lives_idle(struct log_lives *lives)
{
    lives_settle(lives);
    for (unsigned i = 0; i < 30; i++) {
        lives->now_ns += WAL_MARK_IDLE_NS;
        (void)lives_turn(lives);
    }
}

/* What a start finds of the life: blocks that were never announced, too. */
static inline void lives_recover(struct log_lives *lives)
{
    struct wal_reader *reader = wal_reader_create(&lives->disk, &lives->meta, &lives->begin);
    struct wal_block block;
    unsigned keep = lives->block_count;
    CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
    while (keep > 0 && lives->block[keep - 1].segment > lives->begin.segment)
        keep--;
    lives_forget(lives, keep);
    while (wal_reader_next(reader, &block) == 1) {
        size_t padded;
        lives_remember(lives, &block, wal_reader_bytes(reader, &padded));
    }
    lives->begin = wal_reader_position(reader);
    wal_reader_destroy(reader);
    lives->durable_lsn = lives->begin.next_lsn - 1;
    lives->newest = lives->begin.segment; /* those above are to be made anew */
}

/* The life ends in order, with a mark. */
static inline void lives_end(struct log_lives *lives)
{
    wal_writer_finish(lives->writer);
    for (unsigned turns = 0; !wal_writer_idle(lives->writer); turns++) {
        (void)lives_turn(lives);
        CU_ASSERT_FATAL(turns < LIVES_TURNS_MAX);
    }
    lives->begin = wal_writer_position(lives->writer);
    wal_writer_destroy(lives->writer);
    lives->writer = NULL;
    /* As the death of the process: files are open still. */
    struct sim_disk *image = sim_disk_image(lives->sim, SIM_CRASH_KILL, 1);
    sim_disk_destroy(lives->sim);
    lives->sim = image;
    lives->disk = sim_disk_disk(image);
}

/* The life ends by a crash, with writes in flight: the log's tail is cut where it tears. */
static inline void lives_crash(struct log_lives *lives, enum sim_crash crash)
{
    for (unsigned i = 0; i < 300 && lives_append(lives, VALUE_BYTES_MAX); i++)
        if (i % 40 == 0)
            (void)lives_turn(lives);
    wal_writer_destroy(lives->writer);
    lives->writer = NULL;
    struct sim_disk *image = sim_disk_image(lives->sim, crash, seeded_next(&lives->seed));
    sim_disk_destroy(lives->sim);
    lives->sim = image;
    lives->disk = sim_disk_disk(image);
    lives_recover(lives);
}

#endif
