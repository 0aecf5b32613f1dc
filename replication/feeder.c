/*
 * feeder.c - the mailboxes, and whose step is next.
 *
 * Each feed has two counters that pass items (filled, given_back) and two that pass orders (asked, seen),
 * each with one writer. A number is free when its closing was seen: until then the feeder may still write its
 * buffers, but nobody reads them.
 */
#include "feeder_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

struct feeder *feeder_create(const struct feeder_config *config)
{
    struct feeder *feeder = aligned_alloc(64, sizeof *feeder);
    size_t bytes = (size_t)FEEDS_MAX * FEED_BUFFERS * FEED_BUFFER_BYTES;
    uint8_t *memory = malloc(bytes);

    if (feeder == NULL || memory == NULL) {
        free(feeder);
        free(memory);
        return NULL;
    }
    memset(feeder, 0, sizeof *feeder);
    memset(memory, 0, bytes); /* its pages are there before they are needed */
    feeder->config = *config;
    feeder->memory = memory;
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        for (unsigned k = 0; k < FEED_BUFFERS; k++, memory += FEED_BUFFER_BYTES)
            feeder->feed[i].buffer[k] = memory;
    return feeder;
}

/* ---- the thread that may wait ---- */

static void close_files(struct feed *feed)
{
    snapshot_reader_close(feed->snapshot);
    wal_reader_destroy(feed->log);
    feed->snapshot = NULL;
    feed->log = NULL;
    feed->held = false;
}

void feeder_of(struct feeder *feeder, const struct meta *meta)
{
    feeder->config.meta = meta;
}

void feeder_destroy(struct feeder *feeder)
{
    if (feeder == NULL)
        return;
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        close_files(&feeder->feed[i]);
    free(feeder->memory);
    free(feeder);
}

static bool has_room(const struct feed *feed)
{
    uint32_t filled = atomic_load_explicit(&feed->filled, memory_order_relaxed); /* written by this thread */
    /* acquire: pairs with release in feeder_give_back() */
    return filled - atomic_load_explicit(&feed->given_back, memory_order_acquire) < FEED_BUFFERS;
}

struct feed_item *feed_item(struct feed *feed, uint8_t **buffer)
{
    uint32_t place = atomic_load_explicit(&feed->filled, memory_order_relaxed) % FEED_BUFFERS;

    *buffer = feed->buffer[place];
    feed->item[place] = (struct feed_item){0};
    return &feed->item[place];
}

void feed_publish(struct feed *feed)
{
    uint32_t filled = atomic_load_explicit(&feed->filled, memory_order_relaxed);
    /* release: pairs with acquire in feeder_take() */
    atomic_store_explicit(&feed->filled, filled + 1, memory_order_release);
}

bool feed_misses_folder(struct feeder *feeder)
{
    const struct disk *disk = &feeder->config.disk;

    if (!feeder->folder_gone)
        feeder->folder_gone = disk->call->found(disk->state, META_FILE) != 0;
    return feeder->folder_gone;
}

/* What is missing together with its folder was not given up by the log: nobody is to begin anew for it. */
static bool is_missing(int error)
{
    return error == -ENOENT || error == -EBADMSG;
}

void feed_over(struct feeder *feeder, struct feed *feed, int error)
{
    uint8_t *buffer;

    close_files(feed);
    if (is_missing(error) && feed_misses_folder(feeder))
        error = -ESTALE;
    *feed_item(feed, &buffer) = (struct feed_item){.type = FEED_ENDED, .error = error};
    feed_publish(feed);
    feed->phase = FEED_PHASE_OVER;
}

/* Opened or closed since the last step? */
static bool see_order(struct feed *feed)
{
    /* acquire: pairs with release in feeder_open() and feeder_close() */
    uint32_t asked = atomic_load_explicit(&feed->asked, memory_order_acquire);

    if (asked == atomic_load_explicit(&feed->seen, memory_order_relaxed))
        return false;
    close_files(feed);
    feed->looks = 0;
    feed->look_at = 0;
    feed->snapshot_lsn = UINT64_MAX;
    feed->phase = asked % 2 == 0            ? FEED_PHASE_IDLE
                  : feed->start == FEED_LOG ? FEED_PHASE_FIND
                                            : FEED_PHASE_CHOOSE;
    /* release: pairs with acquire in feeder_open() */
    atomic_store_explicit(&feed->seen, asked, memory_order_release);
    return true;
}

static bool step_feed(struct feeder *feeder, struct feed *feed)
{
    bool (*const step[])(struct feeder * feeder, struct feed * feed) = {
        [FEED_PHASE_FIND] = feed_find, [FEED_PHASE_CHOOSE] = feed_choose,   [FEED_PHASE_CHECK] = feed_check,
        [FEED_PHASE_SEND] = feed_send, [FEED_PHASE_NOTHING] = feed_nothing, [FEED_PHASE_LOG] = feed_log,
    };

    if (see_order(feed))
        return true;
    if (feed->phase == FEED_PHASE_IDLE || feed->phase == FEED_PHASE_OVER || !has_room(feed))
        return false;
    return step[feed->phase](feeder, feed);
}

bool feeder_step(struct feeder *feeder, uint64_t oldest_segment, uint64_t newest_segment)
{
    bool done = false;

    feeder->oldest_segment = oldest_segment;
    feeder->newest_segment = newest_segment;
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        done |= step_feed(feeder, &feeder->feed[i]);
    feeder->ticks += done ? 1 : FEED_TICKS_OF_A_PAUSE;
    return done;
}

bool feeder_misses_folder(const struct feeder *feeder)
{
    return feeder->folder_gone;
}

uint64_t feeder_needs_segment(const struct feeder *feeder)
{
    uint64_t needs = UINT64_MAX, newest = feeder->newest_segment;

    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        const struct feed *feed = &feeder->feed[i];
        uint64_t segment = UINT64_MAX;
        if (feed->log != NULL)
            segment = wal_reader_position(feed->log).segment;
        else if (feed->snapshot != NULL)
            segment = feed->facts.position.segment;
        else if (feed->phase == FEED_PHASE_NOTHING)
            segment = feeder->oldest_segment;
        if (segment < needs)
            needs = segment;
    }
    if (newest > FEED_SEGMENTS_MAX && needs < newest - FEED_SEGMENTS_MAX)
        needs = newest - FEED_SEGMENTS_MAX;
    return needs;
}

bool feeder_needs_snapshot(const struct feeder *feeder, uint64_t lsn)
{
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        if (feeder->feed[i].snapshot != NULL && feeder->feed[i].snapshot_lsn == lsn)
            return true;
    return false;
}

/* ---- the control lcore ---- */

static bool is_open(const struct feed *feed)
{
    return atomic_load_explicit(&feed->asked, memory_order_relaxed) % 2 != 0; /* written by this thread */
}

static void ask(struct feed *feed)
{
    uint32_t asked = atomic_load_explicit(&feed->asked, memory_order_relaxed);
    /* release: pairs with acquire in see_order() */
    atomic_store_explicit(&feed->asked, asked + 1, memory_order_release);
}

int feeder_open(struct feeder *feeder, enum feed_start start, uint64_t lsn)
{
    for (int i = 0; i < FEEDS_MAX; i++) {
        struct feed *feed = &feeder->feed[i];
        /* acquire: pairs with release in see_order(): the feeder has closed what was there */
        uint32_t seen = atomic_load_explicit(&feed->seen, memory_order_acquire);
        if (is_open(feed) || seen != atomic_load_explicit(&feed->asked, memory_order_relaxed))
            continue;
        feed->start = start;
        feed->lsn = lsn;
        /* What was left of the feed before. */
        uint32_t filled = atomic_load_explicit(&feed->filled, memory_order_relaxed);
        atomic_store_explicit(&feed->given_back, filled, memory_order_relaxed);
        ask(feed);
        return i;
    }
    return -EBUSY;
}

void feeder_close(struct feeder *feeder, int feed)
{
    CHECK(feed >= 0 && feed < FEEDS_MAX && is_open(&feeder->feed[feed]));
    ask(&feeder->feed[feed]);
}

void feeder_tell_durable(struct feeder *feeder, uint64_t durable_lsn)
{
    /* release: pairs with acquire in feeder_durable(): the blocks were written before */
    atomic_store_explicit(&feeder->durable_lsn, durable_lsn, memory_order_release);
}

const struct feed_item *feeder_take(struct feeder *feeder, int number)
{
    CHECK(number >= 0 && number < FEEDS_MAX && is_open(&feeder->feed[number]));
    struct feed *feed = &feeder->feed[number];
    uint32_t at = atomic_load_explicit(&feed->given_back, memory_order_relaxed); /* written by this thread */

    /* acquire: pairs with release in feed_publish() */
    if (atomic_load_explicit(&feed->filled, memory_order_acquire) == at)
        return NULL;
    return &feed->item[at % FEED_BUFFERS];
}

void feeder_give_back(struct feeder *feeder, int number)
{
    CHECK(feeder_take(feeder, number) != NULL);
    struct feed *feed = &feeder->feed[number];
    uint32_t at = atomic_load_explicit(&feed->given_back, memory_order_relaxed);
    /* release: pairs with acquire in has_room() */
    atomic_store_explicit(&feed->given_back, at + 1, memory_order_release);
}
