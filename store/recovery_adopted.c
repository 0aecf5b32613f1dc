/*
 * recovery_adopted.c - what the adoption of a log (housekeeper.h) has left in the folder. By meta it is known whether the
 * switch has happened: if so it is brought to its end here, if not what it had begun is removed.
 */
#include "recovery_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint64_t base_segment(const struct recovery *recovery)
{
    uint64_t base = recovery->facts.meta.base_segment;

    return base > 0 ? base : 1;
}

/* ---- ADOPTED: behind the switch ---- */

/* It may live in the kernel's memory only, and with it what says that the old log is of no use. */
static int sync_switch(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    int file = disk->call->open(disk->state, META_FILE, DISK_READ, 0), failed = file;

    if (file >= 0) {
        failed = disk->call->sync(disk->state, file);
        disk->call->close(disk->state, file);
    }
    if (failed >= 0)
        failed = disk->call->sync_folder(disk->state);
    return failed < 0 ? recovery_refuse_disk(recovery, failed, META_FILE) : 0;
}

/* Whether snapshot.tmp is the one that the log begins with: -errno, 0 or 1. */
static int is_adopted(const struct recovery *recovery)
{
    const struct meta *meta = &recovery->facts.meta;
    struct snapshot_reader *reader = NULL;
    int failed = snapshot_reader_open(&reader, &recovery->config.disk, SNAPSHOT_TEMPORARY);

    if (failed == 0) {
        struct snapshot_facts facts = snapshot_reader_facts(reader);
        if (facts.position.next_lsn - 1 != meta->adopted_lsn || facts.position.segment != meta->base_segment)
            failed = -ENOENT;
        else
            failed = snapshot_reader_check(reader);
        snapshot_reader_close(reader);
    }
    if (failed == -ENOENT || failed == -EBADMSG || failed == -EPROTONOSUPPORT)
        return 0;
    return failed < 0 ? failed : 1;
}

/* It gets its name. */
static int publish_snapshot(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    char name[DISK_NAME_BYTES];
    int failed = recovery->facts.meta.adopted_lsn != 0 ? is_adopted(recovery) : 0;

    if (failed > 0) {
        meta_snapshot_name(name, recovery->facts.meta.adopted_lsn);
        failed = disk->call->rename(disk->state, SNAPSHOT_TEMPORARY, name);
        if (failed >= 0)
            failed = disk->call->sync_folder(disk->state);
    }
    return failed < 0 ? recovery_refuse_disk(recovery, failed, SNAPSHOT_TEMPORARY) : 0;
}

/* 1: one file of the tail has been set aside; 0: there is none to be; -errno. */
static int set_tail_aside(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    struct kept_tail *tail = &recovery->tail;
    int more = 1;

    if (tail->first == 0) {
        more = kept_tail_find(tail, disk);
        if (more > 0 && tail->stamp == recovery->facts.meta.stamp) {
            *tail = (struct kept_tail){0};
            more = kept_tail_unmark(disk); /* the log did not come to be given up */
        }
    } else {
        more = kept_tail_step(disk, tail, base_segment(recovery));
        if (more == 0)
            recovery_tell(recovery,
                          "what it had that its primary lacks was set aside: %" PRIu64
                          " segments, kept-tail-%016" PRIx64 "-*",
                          tail->kept, tail->stamp);
    }
    return more < 0 ? recovery_refuse_disk(recovery, more, "kept-tail") : more;
}

/* Of the log that was given up. 1: one was removed; 0: there is none; -errno. */
static int remove_snapshot(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;

    for (unsigned i = 0; i < recovery->facts.snapshots; i++) {
        struct snapshot_reader *reader;
        char name[DISK_NAME_BYTES];

        meta_snapshot_name(name, recovery->facts.snapshot[i].lsn);
        if (snapshot_reader_open(&reader, disk, name) != 0)
            continue; /* told of when it is its turn */
        bool old = snapshot_reader_facts(reader).position.segment < base_segment(recovery);
        snapshot_reader_close(reader);
        if (!old)
            continue;
        int failed = disk->call->remove(disk->state, name);
        return failed < 0 ? recovery_refuse_disk(recovery, failed, name) : 1;
    }
    return 0;
}

static int remove_segment(struct recovery *recovery, uint64_t segment)
{
    const struct disk *disk = &recovery->config.disk;
    char name[DISK_NAME_BYTES];

    meta_segment_name(name, segment);
    int failed = disk->call->remove(disk->state, name);
    return failed < 0 ? recovery_refuse_disk(recovery, failed, name) : 1;
}

/* One file: 1; 0: nothing is left of it; -errno. */
static int remove_old(struct recovery *recovery)
{
    int removed = recovery_list(recovery);

    if (removed == 0)
        removed = remove_snapshot(recovery);
    if (removed == 0 && recovery->facts.oldest_segment != 0 &&
        recovery->facts.oldest_segment < base_segment(recovery))
        removed = remove_segment(recovery, recovery->facts.oldest_segment);
    return removed;
}

int recovery_adopted(struct recovery *recovery)
{
    int more = 0;

    if (base_segment(recovery) > 1 && !recovery->switched) {
        more = sync_switch(recovery);
        if (more == 0)
            more = publish_snapshot(recovery);
        recovery->switched = more == 0;
    }
    if (more == 0)
        more = set_tail_aside(recovery);
    if (more == 0 && recovery->switched)
        more = remove_old(recovery);
    if (more != 0)
        return more;
    if (recovery->facts.newest_segment == 0 && recovery->facts.meta.count > 0)
        return recovery_refuse_empty(recovery);
    recovery->phase = CHOOSE;
    return 1;
}

/* ---- DISCARD: before the switch ---- */

static void note_highest(void *context, const char *name, uint64_t bytes)
{
    uint64_t number, *highest = context;

    (void)bytes;
    if (meta_is_segment(name, &number) && number > *highest)
        *highest = number;
}

/*
 * The log ends: what has a higher number than the segment that it goes on in is no part of it, be it of a log that was to be
 * adopted, or of its own tail: where the log goes on in the same history (a replica's), that would be taken for a tail once
 * more when the log comes to that segment.
 */
int recovery_discard(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    struct recovery_facts *facts = &recovery->facts;
    uint64_t highest = facts->end.segment + 1;
    int failed = disk->call->list(disk->state, note_highest, &highest);

    if (failed < 0)
        return recovery_refuse_disk(recovery, failed, "cannot be listed");
    if (highest > facts->end.segment + 1)
        return remove_segment(recovery, highest);
    if (facts->newest_segment > highest)
        facts->newest_segment = highest;
    failed = disk->call->remove(disk->state, SNAPSHOT_TEMPORARY);
    if (failed < 0 && failed != -ENOENT)
        return recovery_refuse_disk(recovery, failed, SNAPSHOT_TEMPORARY);
    recovery->phase = COMMIT;
    return 1;
}
