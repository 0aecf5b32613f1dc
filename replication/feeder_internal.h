/*
 * feeder_internal.h - one feed, as the files of the feeder share it. Not for others.
 *
 *   phase      what a step does                                        then
 *   IDLE       nothing: the number is free
 *   FIND       finds the place in the log                              LOG
 *   CHOOSE     looks for the newest snapshot below the last tried      CHECK, or NOTHING where there is none
 *   CHECK      reads a chunk of it; at the end, all is valid: BEGIN    SEND, or CHOOSE if it is not
 *   SEND       a CHUNK; at the end: END                                LOG
 *   NOTHING    END: the log alone, from its start                      LOG
 *   LOG        BLOCKS
 *   OVER       nothing: ENDED is the last item
 *
 * Any of them goes to OVER on an error, and to IDLE once it is closed.
 */
#ifndef WILD_FEEDER_INTERNAL_H
#define WILD_FEEDER_INTERNAL_H

#include <stdatomic.h>

#include "feeder.h"
#include "snapshot.h"
#include "wal_reader.h"

static_assert((int)FEED_BUFFER_BYTES >= (int)WAL_BLOCK_BYTES_MAX, "any block fits");
static_assert((int)FEED_BUFFER_BYTES >= (int)SNAPSHOT_CHUNK_BYTES_MAX, "any chunk fits");

enum feed_phase {
    FEED_PHASE_IDLE,
    FEED_PHASE_FIND,
    FEED_PHASE_CHOOSE,
    FEED_PHASE_CHECK,
    FEED_PHASE_SEND,
    FEED_PHASE_NOTHING,
    FEED_PHASE_LOG,
    FEED_PHASE_OVER,
};

/* A step in which nothing is done is followed by a pause, for which these are counted. */
enum { FEED_TICKS_OF_A_PAUSE = 64 };

struct feed {
    /* Writer: control. */
    _Alignas(64) _Atomic uint32_t asked; /* odd: open, even: closed; one more each time */
    _Atomic uint32_t given_back;         /* items that control is done with */
    enum feed_start start;               /* control's while the number is free, then the feeder's */
    uint64_t lsn;

    /* Writer: the feeder. */
    _Alignas(64) _Atomic uint32_t seen; /* the last `asked` that it has acted upon */
    _Atomic uint32_t filled;            /* items handed out: filled - given_back of them are control's */
    struct feed_item item[FEED_BUFFERS];
    uint8_t *buffer[FEED_BUFFERS]; /* FEED_BUFFER_BYTES; with the item of the same place */

    /* The feeder's own. */
    enum feed_phase phase;
    struct snapshot_reader *snapshot; /* CHECK, SEND */
    struct snapshot_facts facts;      /* its; position: where the log goes on */
    uint64_t snapshot_lsn;            /* the last one tried; UINT64_MAX: none yet */
    struct wal_reader *log;           /* LOG */
    struct wal_block block;           /* if `held`: read, and not handed out yet */
    bool held;
    unsigned looks;   /* in vain, for a block that must be there */
    uint64_t look_at; /* the next one, in ticks */
};

struct feeder {
    struct feeder_config config;
    uint8_t *memory; /* of all buffers */

    _Alignas(64) _Atomic uint64_t durable_lsn; /* writer: control; reader: the feeder */

    /* The feeder's own: as its last step was told. */
    _Alignas(64) uint64_t oldest_segment;
    uint64_t newest_segment;
    uint64_t ticks; /* time, as far as the feeder has any: each step's one, or many for the pause after it */
    bool folder_gone; /* once is for good (housekeeper.h) */
    struct feed feed[FEEDS_MAX];
};

static inline uint64_t feeder_durable(const struct feeder *feeder)
{
    /* acquire: pairs with release in feeder_tell_durable() */
    return atomic_load_explicit(&feeder->durable_lsn, memory_order_acquire);
}

/* The next item's place, its buffer beside it; there must be room (feeder.c: before every step). */
struct feed_item *feed_item(struct feed *feed, uint8_t **buffer);
/* Hands it out. */
void feed_publish(struct feed *feed);
/* No more comes: publishes ENDED, closes what is open. */
void feed_over(struct feeder *feeder, struct feed *feed, int error);
/* Looks whether the log's folder is still where it was. */
bool feed_misses_folder(struct feeder *feeder);

/* Steps by phase; true: something was done. */
bool feed_choose(struct feeder *feeder, struct feed *feed);
bool feed_check(struct feeder *feeder, struct feed *feed);
bool feed_send(struct feeder *feeder, struct feed *feed);
bool feed_nothing(struct feeder *feeder, struct feed *feed);
bool feed_find(struct feeder *feeder, struct feed *feed);
bool feed_log(struct feeder *feeder, struct feed *feed);

/* On to LOG, or OVER. lsn: what comes after it is wanted. */
void feed_begin_log(struct feeder *feeder, struct feed *feed, const struct wal_position *from, uint64_t lsn);

#endif
