/*
 * feeder_snapshot.c - a bootstrap: the newest snapshot that is whole, or nothing where there is none.
 *
 * A snapshot is read twice: whether it is valid is known at its end only, and a replica must not be sent a
 * part of a broken one. The second time it comes from the kernel's memory.
 */
#include "feeder_internal.h"

#include <errno.h>
#include <string.h>

/* The newest below one. */
struct newest {
    uint64_t below, lsn;
    bool any;
};

static void note_snapshot(void *context, const char *name, uint64_t bytes)
{
    struct newest *newest = context;
    uint64_t lsn;

    (void)bytes;
    if (!meta_is_snapshot(name, &lsn) || lsn >= newest->below || (newest->any && lsn < newest->lsn))
        return;
    newest->lsn = lsn;
    newest->any = true;
}

/* Not one of ours, or of no use: the log from its position on is gone. */
static bool is_foreign(const struct feeder *feeder, const struct feed *feed)
{
    const struct snapshot_facts *facts = &feed->facts;

    return memcmp(facts->cluster_id, feeder->config.meta->cluster_id, sizeof facts->cluster_id) != 0 ||
           facts->position.next_lsn != feed->snapshot_lsn + 1 ||
           facts->position.segment < feeder->oldest_segment;
}

/* There is none: all that ever happened is in the log. */
static bool begin_with_nothing(struct feeder *feeder, struct feed *feed)
{
    const struct meta *meta = feeder->config.meta;
    uint64_t base = meta->base_segment > 1 ? meta->base_segment : 1;
    uint8_t *buffer;

    /* Can only be if they were all broken: while there are none the log keeps its first segment
     * (housekeeper.h); or if they are gone with their folder. */
    if (feeder->oldest_segment > base || meta->adopted_lsn != 0 || feed_misses_folder(feeder)) {
        feed_over(feeder, feed, -ENOENT);
        return true;
    }
    struct feed_item *item = feed_item(feed, &buffer);
    item->type = FEED_BEGIN;
    item->begin.capacity = feeder->config.capacity;
    feed_publish(feed);
    feed->phase = FEED_PHASE_NOTHING;
    return true;
}

bool feed_choose(struct feeder *feeder, struct feed *feed)
{
    const struct disk *disk = &feeder->config.disk;
    struct newest newest = {.below = feed->snapshot_lsn};
    char name[DISK_NAME_BYTES];

    int error = disk->call->list(disk->state, note_snapshot, &newest);
    if (error < 0) {
        feed_over(feeder, feed, error);
        return true;
    }
    if (!newest.any)
        return begin_with_nothing(feeder, feed);
    feed->snapshot_lsn = newest.lsn;
    meta_snapshot_name(name, newest.lsn);
    error = snapshot_reader_open(&feed->snapshot, disk, name);
    if (error == -EBADMSG || error == -EPROTONOSUPPORT)
        return true; /* the next older one */
    if (error != 0) {
        feed->snapshot = NULL;
        feed_over(feeder, feed, error);
        return true;
    }
    feed->facts = snapshot_reader_facts(feed->snapshot);
    feed->phase = FEED_PHASE_CHECK;
    if (is_foreign(feeder, feed)) {
        snapshot_reader_close(feed->snapshot);
        feed->snapshot = NULL;
        feed->phase = FEED_PHASE_CHOOSE;
    }
    return true;
}

bool feed_check(struct feeder *feeder, struct feed *feed)
{
    const uint8_t *records;
    uint8_t *buffer;
    size_t bytes;

    int outcome = snapshot_reader_next(feed->snapshot, &records, &bytes);
    if (outcome > 0)
        return true;
    feed->facts = snapshot_reader_facts(feed->snapshot);
    /* It is published when the log is durable to its end; control may not have told us yet: then an older one
     * is as good. */
    if (outcome == -EBADMSG || (outcome == 0 && feed->facts.end_lsn > feeder_durable(feeder))) {
        snapshot_reader_close(feed->snapshot);
        feed->snapshot = NULL;
        feed->phase = FEED_PHASE_CHOOSE;
        return true;
    }
    if (outcome < 0) {
        feed_over(feeder, feed, outcome);
        return true;
    }
    snapshot_reader_rewind(feed->snapshot);
    struct feed_item *item = feed_item(feed, &buffer);
    item->type = FEED_BEGIN;
    item->begin = (struct replication_snapshot_begin){.start_lsn = feed->snapshot_lsn,
                                                      .flush_lsn = feed->facts.flush_lsn,
                                                      .capacity = feed->facts.capacity,
                                                      .wall_ms = feed->facts.wall_ms,
                                                      .bytes = feed->facts.bytes};
    feed_publish(feed);
    feed->phase = FEED_PHASE_SEND;
    return true;
}

bool feed_send(struct feeder *feeder, struct feed *feed)
{
    const uint8_t *records;
    uint8_t *buffer;
    size_t bytes;

    int outcome = snapshot_reader_next(feed->snapshot, &records, &bytes);
    if (outcome < 0) { /* it was whole a moment ago */
        feed_over(feeder, feed, outcome);
        return true;
    }
    struct feed_item *item = feed_item(feed, &buffer);
    if (outcome > 0) {
        memcpy(buffer, records, bytes);
        item->type = FEED_CHUNK;
        item->bytes = buffer;
        item->length = (uint32_t)bytes;
        feed_publish(feed);
        return true;
    }
    item->type = FEED_END;
    item->end = (struct replication_snapshot_end){.end_lsn = feed->facts.end_lsn, .items = feed->facts.items};
    feed_publish(feed);
    snapshot_reader_close(feed->snapshot);
    feed->snapshot = NULL;
    feed_begin_log(feeder, feed, &feed->facts.position, feed->snapshot_lsn);
    return true;
}

bool feed_nothing(struct feeder *feeder, struct feed *feed)
{
    static const struct wal_position start = {.segment = 1, .next_lsn = 1};
    uint8_t *buffer;

    feed_item(feed, &buffer)->type = FEED_END;
    feed_publish(feed);
    feed_begin_log(feeder, feed, &start, 0);
    return true;
}
