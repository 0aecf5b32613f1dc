/*
 * damage_blocks.h - the blocks of a simulated folder's log, where they lie, and ways to damage them.
 */
#ifndef WILD_TESTS_DAMAGE_BLOCKS_H
#define WILD_TESTS_DAMAGE_BLOCKS_H

#include "crash_trail.h"
#include "wal_position.h"

struct listed_block {
    uint64_t segment, first_lsn;
    uint64_t behind_segment; /* the position before it */
    uint32_t behind_offset;
    uint64_t next_lsn;   /* of the position before it */
    uint64_t before_lsn; /* the log's last LSN without it and all that follows */
    uint32_t offset, length, padded;
};

/* From the older snapshot's position (or the log's start) to the end. */
struct block_list {
    struct listed_block *block;
    unsigned count;
    unsigned replayed; /* the first one behind the newest snapshot's position */
    uint64_t lsn;      /* the last one */
    uint64_t needed;   /* the newest snapshot's end: the log was durable up to there */
    struct wal_position end;
};

void block_list_read(struct block_list *list, struct sim_disk *sim);
void block_list_free(struct block_list *list);

#define DAMAGE_LIST(X)                                                                                       \
    X(FLIP, "a flipped bit")                                                                                 \
    X(HEADER, "a flipped bit of the header")                                                                 \
    X(PADDING, "a flipped bit of the padding")                                                               \
    X(ZERO_SECTOR, "a zeroed sector")                                                                        \
    X(ZERO, "a zeroed block")                                                                                \
    X(STALE, "what another segment has there")                                                               \
    X(STALE_SECTOR, "a sector that another segment has there")                                               \
    X(SWAPPED, "two blocks exchanged")                                                                       \
    X(OVERWRITTEN, "another block written there")
enum damage {
#define DAMAGE_ENUM(name, text) DAMAGE_##name,
    DAMAGE_LIST(DAMAGE_ENUM)
#undef DAMAGE_ENUM
        DAMAGES
};
const char *damage_name(enum damage damage);
/* The blocks that are not what they were: none, one or two. */
struct damaged {
    unsigned count, index[2];
};
/* Damages that block, durably. None: that cannot be done to it. */
struct damaged block_damage(struct sim_disk *sim, const struct block_list *list, unsigned index,
                            enum damage damage, uint64_t *random);

struct block_search {
    uint64_t watermark; /* the highest durable_lsn of any whole block */
    uint64_t first_lsn; /* and the highest of these */
};
/* Looks at every place behind the position before that block (index == list->count: behind the end). */
struct block_search block_search(struct sim_disk *sim, const struct block_list *list, unsigned index);

#endif
