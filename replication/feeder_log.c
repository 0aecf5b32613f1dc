/*
 * feeder_log.c - the log's blocks, from a place on, as far as they are durable.
 *
 * The log is written to the same files meanwhile, past the kernel's pages that are read here. What is durable
 * was written before it was told, and the kernel drops pages that are out of date when such a write ends; but
 * a page that was read while the write went on may serve a little longer. So a block that must be there and is not
 * is looked for again, LOOKS_MAX times, before it counts as damage. (No wrong block can come of it: wal_block.h.)
 * How slow the disk is does not matter, for nothing is waited for that is still on its way there; but it takes time,
 * not reading. So there is a pause between two looks or, where other feeds leave none, as many of their steps as make
 * up for one.
 */
#include "feeder_internal.h"

#include <errno.h>
#include <string.h>

#include "wal_find.h"

enum {
    LOOKS_MAX = 64,
    STEP_BYTES = 512 * 1024, /* read a step */
};

void feed_begin_log(struct feeder *feeder, struct feed *feed, const struct wal_position *from, uint64_t lsn)
{
    feed->lsn = lsn;
    feed->held = false;
    feed->looks = 0;
    feed->look_at = 0;
    feed->log = wal_reader_create(&feeder->config.disk, feeder->config.meta, from);
    feed->phase = FEED_PHASE_LOG; /* which knows what it means that there is no reader */
}

bool feed_find(struct feeder *feeder, struct feed *feed)
{
    struct wal_position from;
    int error = wal_find(&from, &feeder->config.disk, feeder->config.meta, feeder->oldest_segment,
                         feeder->newest_segment, feed->lsn);

    if (error != 0)
        feed_over(feeder, feed, error);
    else
        feed_begin_log(feeder, feed, &from, feed->lsn);
    return true;
}

/* 1: feed->block is the next block; 0: it is not there; -errno. */
static int read_block(struct feeder *feeder, struct feed *feed)
{
    struct wal_position at = wal_reader_position(feed->log);

    /* Twice: the reader may have read on to this place when there was nothing yet. */
    if (wal_reader_next(feed->log, &feed->block) == 1 || wal_reader_next(feed->log, &feed->block) == 1) {
        feed->held = true;
        feed->looks = 0;
        feed->look_at = 0;
        return 1;
    }
    if (wal_reader_error(feed->log) != 0)
        return wal_reader_error(feed->log);
    feed->look_at = feeder->ticks + FEED_TICKS_OF_A_PAUSE;
    if (++feed->looks < LOOKS_MAX)
        return 0;
    /* Removed underneath (feeder.h), or the log does not begin where a log begins. */
    return at.segment < feeder->oldest_segment || at.history == 0 ? -ENOENT : -EBADMSG;
}

bool feed_log(struct feeder *feeder, struct feed *feed)
{
    uint64_t durable = feeder_durable(feeder);
    uint32_t used = 0;
    size_t padded, read = 0;
    int outcome = 1;
    uint8_t *buffer;

    if (feed->log == NULL) {
        feed_over(feeder, feed, -ENOMEM);
        return true;
    }
    struct feed_item *item = feed_item(feed, &buffer);
    while (read < STEP_BYTES) {
        const struct wal_block *block = &feed->block;
        if (!feed->held) {
            /* Nothing is known to be there: a mark at the log's end can wait for what follows it. */
            if (wal_reader_position(feed->log).next_lsn > durable)
                break;
            if (feeder->ticks < feed->look_at)
                break;
            outcome = read_block(feeder, feed);
            if (outcome != 1)
                break;
        }
        const uint8_t *bytes = wal_reader_bytes(feed->log, &padded);
        uint64_t last = block->first_lsn + block->count - 1;
        if (last > durable) /* in part, or a stale page: it is not there yet */
            break;
        if (last > feed->lsn) {
            if (block->length > FEED_BUFFER_BYTES - used)
                break;
            memcpy(buffer + used, bytes, block->length);
            used += block->length;
            item->next_lsn = last + 1;
        }
        feed->held = false;
        read += padded;
    }
    if (used > 0) {
        item->type = FEED_BLOCKS;
        item->bytes = buffer;
        item->length = used;
        feed_publish(feed);
    } else if (outcome < 0) {
        feed_over(feeder, feed, outcome);
    }
    return read > 0 || outcome < 0;
}
