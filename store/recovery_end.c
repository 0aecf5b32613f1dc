/*
 * recovery_end.c - the last steps: judge the log's end, make all that was read durable, open the next history or go on with
 * the last.
 */
#include "recovery_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apply.h"
#include "epoch.h"

/* ---- JUDGE ---- */

static int refuse_damage(struct recovery *recovery, const struct wal_verdict_at_end *at_end)
{
    const struct wal_position *end = &at_end->position;
    char name[DISK_NAME_BYTES], where[3 * DISK_NAME_BYTES] = "";
    int length = 0;

    if (end->segment > 0 && end->segment >= recovery->facts.meta.base_segment)
        length = snprintf(where, sizeof where, "%s at offset %u%s", recovery_segment_text(name, end->segment),
                          end->offset, at_end->same_segment ? "" : " or ");
    if (!at_end->same_segment)
        snprintf(where + length, sizeof where - (size_t)length, "%s at offset 0",
                 recovery_segment_text(name, end->segment + 1));
    return recovery_refuse(
        recovery, -EBADMSG,
        "%s is damaged: the log ends there at lsn %llu, but was on the disk up to lsn %llu. Bring the file"
        " back from a backup, or copy from a replica, or give up what follows: wildctl wal check, wildctl wal"
        " repair",
        where, (unsigned long long)(end->next_lsn > 0 ? end->next_lsn - 1 : 0),
        (unsigned long long)at_end->watermark);
}

int recovery_judge(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;
    struct wal_verdict_at_end at_end = wal_reader_judge(recovery->log);
    const struct wal_position *end = &at_end.position;
    char name[DISK_NAME_BYTES];
    uint64_t lsn = end->next_lsn > 0 ? end->next_lsn - 1 : 0;

    if ((at_end.end == WAL_END_CLEAN || at_end.end == WAL_END_TORN) && lsn < recovery->loaded.end_lsn) {
        /* A snapshot is published only when the log is durable to its end. */
        at_end.end = WAL_END_DAMAGED;
        at_end.watermark = recovery->loaded.end_lsn;
    }
    switch (at_end.end) {
    case WAL_END_ERROR:
        return recovery_refuse_disk(recovery, at_end.error, recovery_segment_text(name, end->segment));
    case WAL_END_FORMAT:
        return recovery_refuse(recovery, -EPROTONOSUPPORT,
                               "the log goes on behind %s in a format of a later version of wild",
                               recovery_segment_text(name, end->segment));
    case WAL_END_DAMAGED:
        return refuse_damage(recovery, &at_end);
    case WAL_END_TORN:
        facts->dropped_bytes = at_end.bytes_behind;
        recovery_tell(
            recovery,
            "%s: the log ends at offset %u with lsn %llu; behind it are %llu bytes that were being written when"
            " the node stopped, and that nobody was told of",
            recovery_segment_text(name, end->segment), end->offset, (unsigned long long)lsn,
            (unsigned long long)at_end.bytes_behind);
        break;
    case WAL_END_CLEAN:
        recovery->clean = true;
        break;
    }
    facts->end = *end;
    facts->lsn = meta_last_lsn(&facts->meta, end->next_lsn);
    if (facts->lsn < meta_found_lsn(&facts->meta))
        return recovery_refuse(
            recovery, -EBADMSG,
            "the log ends at lsn %llu in %s, but an earlier start found it up to lsn %llu: bring the segments behind"
            " it back from a backup, or copy from a replica, or give up what is missing: wildctl wal repair",
            (unsigned long long)facts->lsn, recovery_segment_text(name, end->segment),
            (unsigned long long)meta_found_lsn(&facts->meta));
    if (apply_end(recovery->config.apply) != 0)
        return recovery_refuse_capacity(recovery);
    wal_reader_destroy(recovery->log);
    recovery->log = NULL;
    recovery->sync_segment = recovery->loaded.position.segment;
    recovery->phase = SYNC;
    return 1;
}

/* ---- SYNC and COMMIT ---- */

static int sync_file(struct recovery *recovery, const char *name)
{
    const struct disk *disk = &recovery->config.disk;
    int file = disk->call->open(disk->state, name, DISK_READ, 0), failed;

    if (file == -ENOENT)
        return 0;
    failed = file;
    if (file >= 0) {
        failed = disk->call->sync(disk->state, file);
        disk->call->close(disk->state, file);
    }
    return failed < 0 ? recovery_refuse_disk(recovery, failed, name) : 0;
}

/* A segment a step: what is read may live in the kernel's memory only. */
int recovery_sync(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    char name[DISK_NAME_BYTES];
    int failed;

    if (recovery->sync_segment <= recovery->facts.end.segment) {
        meta_segment_name(name, recovery->sync_segment++);
        failed = sync_file(recovery, name);
        return failed != 0 ? failed : 1;
    }
    if (recovery->facts.snapshots > 0) {
        meta_snapshot_name(name, recovery->facts.snapshot[0].lsn);
        failed = sync_file(recovery, name);
        if (failed != 0)
            return failed;
    }
    failed = disk->call->sync_folder(disk->state);
    if (failed < 0)
        return recovery_refuse_disk(recovery, failed, "sync");
    recovery->phase = DISCARD;
    return 1;
}

/* 0 or -errno. A file that has the name was never acknowledged, and makes room; but the only segment that
 * there is gets replaced in one step, since a folder without any looks like a damaged one. */
static int replace_segment(struct recovery *recovery, const char *name)
{
    static const char temporary[] = "segment.tmp";
    const struct disk *disk = &recovery->config.disk;
    int failed = 0, file;

    if (recovery->facts.oldest_segment <= recovery->facts.end.segment)
        failed = disk->call->remove(disk->state, name);
    /* Of a start that did not get far: its room may be what lacks. */
    if (failed >= 0 || failed == -ENOENT)
        failed = disk->call->remove(disk->state, temporary);
    if (failed < 0 && failed != -ENOENT)
        return failed;
    file = disk->call->open(disk->state, temporary, DISK_CREATE, recovery->config.segment_bytes);
    if (file < 0)
        return file;
    failed = disk->call->sync(disk->state, file);
    disk->call->close(disk->state, file);
    if (failed >= 0)
        failed = disk->call->rename(disk->state, temporary, name);
    return failed < 0 ? failed : disk->call->sync_folder(disk->state);
}

/*
 * The segment that was ready for its turn when the node stopped is so still, if it has its size and no block is in it: 64
 * MiB need not be written first. 1: it is durable; 0: there is none; -errno.
 */
static int keep_segment(struct recovery *recovery, const char *name)
{
    const struct disk *disk = &recovery->config.disk;
    int file = recovery->clean ? disk->call->open(disk->state, name, DISK_WRITE, 0) : -ENOENT;

    if (file < 0)
        return file == -ENOENT ? 0 : file;
    bool whole = disk->call->size(disk->state, file) == (int64_t)recovery->config.segment_bytes;
    int failed = whole ? disk->call->sync(disk->state, file) : 0;
    disk->call->close(disk->state, file);
    if (failed >= 0 && whole)
        failed = disk->call->sync_folder(disk->state);
    return failed < 0 ? failed : whole;
}

/* What the next history needs cannot be written. */
static int refuse_write(struct recovery *recovery, int error, const char *name)
{
    if (error != -ENOSPC)
        return recovery_refuse_disk(recovery, error, name);
    return recovery_refuse(
        recovery, error,
        "%s cannot be made: the disk is full. Make room for %llu MiB and start again: nothing is lost", name,
        (unsigned long long)(recovery->config.segment_bytes >> 20));
}

static int make_segment(struct recovery *recovery, uint64_t segment)
{
    char name[DISK_NAME_BYTES];

    meta_segment_name(name, segment);
    int failed = keep_segment(recovery, name);
    if (failed == 0)
        failed = replace_segment(recovery, name);
    if (failed < 0)
        return refuse_write(recovery, failed, name);
    if (recovery->facts.newest_segment < segment)
        recovery->facts.newest_segment = segment;
    if (recovery->facts.oldest_segment == 0)
        recovery->facts.oldest_segment = segment;
    return 0;
}

static int write_meta(struct recovery *recovery)
{
    int failed = meta_write(&recovery->facts.meta, &recovery->config.disk);

    return failed != 0 ? refuse_write(recovery, failed, META_FILE) : 0;
}

/*
 * epoch.h: a start counts within the term of who was promoted, whoever else has been promised what meanwhile; where others have
 * led since, or nobody else is a member, it is a promotion. 0: there is none left.
 */
static uint32_t next_epoch(const struct meta *meta)
{
    const struct history *last = &meta->history[meta->count > 0 ? meta->count - 1 : 0];
    uint32_t highest = meta->sealed_epoch > last->epoch ? meta->sealed_epoch : last->epoch;
    uint32_t next = epoch_of_start(last->epoch);

    if (meta->count == 0)
        return 1;
    return last->node_id == meta->node_id && (next != 0 || meta->members.count > 1)
               ? next
               : epoch_of_promotion(highest);
}

/* A primary's. */
static int open_history(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;
    struct meta *meta = &facts->meta;
    struct history history = {.node_id = meta->node_id, .before_lsn = facts->lsn, .epoch = next_epoch(meta)};

    history.first_lsn = meta_next_first_lsn(meta, facts->lsn, history.epoch);
    do
        random_fill(&recovery->config.random, &history.id, sizeof history.id);
    while (history.id == 0);
    if (history.first_lsn == 0)
        return recovery_refuse(recovery, -EOVERFLOW, "its log sequence numbers are used up");
    if (history.epoch == 0)
        return recovery_refuse(
            recovery, -EOVERFLOW,
            "was started as a primary as often as it may be without the other members: start it"
            " as a replica, and promote it or another one");
    meta_add(meta, &history);
    facts->history = history.id;
    facts->next_lsn = history.first_lsn;
    return write_meta(recovery);
}

/* A replica's: the history that its log ends in. */
static int go_on(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;

    facts->history = facts->end.history;
    facts->next_lsn = facts->history != 0 ? facts->end.next_lsn : 0;
    return recovery->meta_changed ? write_meta(recovery) : 0;
}

int recovery_commit(struct recovery *recovery)
{
    const struct recovery_config *config = &recovery->config;
    struct recovery_facts *facts = &recovery->facts;
    int failed = make_segment(recovery, facts->end.segment + 1);

    facts->follows = config->follows || (config->may_lead != NULL && !config->may_lead(&facts->meta));
    if (failed == 0)
        failed = facts->follows ? go_on(recovery) : open_history(recovery);
    if (failed != 0)
        return failed;
    /* What a replica's log ends in may be a history that nobody follows, of a start as primary that changed nothing. */
    if (facts->next_lsn > 0)
        apply_next_lsn(recovery->config.apply, recovery->config.follows ? facts->lsn + 1 : facts->next_lsn);
    recovery->phase = DONE;
    return 0;
}
