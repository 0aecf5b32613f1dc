/*
 * recovery.c - the steps up to the log's end: look around, choose a snapshot, load it, replay the log.
 */
#include "recovery_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "log_record.h"
#include "wire.h"

enum { BLOCKS_A_STEP = 16 };

struct recovery *recovery_create(const struct recovery_config *config)
{
    struct recovery *recovery = calloc(1, sizeof *recovery);

    if (recovery != NULL)
        recovery->config = *config;
    return recovery;
}

void recovery_destroy(struct recovery *recovery)
{
    if (recovery == NULL)
        return;
    if (recovery->snapshot != NULL)
        snapshot_reader_close(recovery->snapshot);
    if (recovery->log != NULL)
        wal_reader_destroy(recovery->log);
    free(recovery);
}

const struct recovery_facts *recovery_facts(const struct recovery *recovery)
{
    return &recovery->facts;
}

const char *recovery_error(const struct recovery *recovery)
{
    return recovery->error;
}

const char *recovery_notice(struct recovery *recovery)
{
    const char *notice = recovery->notice_waits ? recovery->notice : NULL;

    recovery->notice_waits = false;
    return notice;
}

/* ---- telling ---- */

const char *recovery_segment_text(char out[DISK_NAME_BYTES], uint64_t segment)
{
    meta_segment_name(out, segment);
    return out;
}

static void put_text(const struct recovery *recovery, char out[RECOVERY_TEXT_BYTES], const char *format,
                     va_list arguments)
{
    int length = snprintf(out, RECOVERY_TEXT_BYTES, "%s: ", recovery->config.folder);

    if (length < 0 || length >= RECOVERY_TEXT_BYTES)
        length = 0;
    vsnprintf(out + length, (size_t)(RECOVERY_TEXT_BYTES - length), format, arguments);
}

int recovery_refuse(struct recovery *recovery, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_text(recovery, recovery->error, format, arguments);
    va_end(arguments);
    return error;
}

int recovery_refuse_disk(struct recovery *recovery, int error, const char *what)
{
    return recovery_refuse(recovery, error, "%s: %s", what, strerrordesc_np(-error));
}

int recovery_refuse_capacity(struct recovery *recovery)
{
    if (recovery->loaded.capacity > 0)
        return recovery_refuse(recovery, -ENOSPC,
                               "holds more than --capacity has room for: it was written with --capacity %llu",
                               (unsigned long long)recovery->loaded.capacity);
    return recovery_refuse(
        recovery, -ENOSPC,
        "holds more than --capacity has room for: start with the capacity it was written with");
}

void recovery_tell(struct recovery *recovery, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_text(recovery, recovery->notice, format, arguments);
    va_end(arguments);
    recovery->notice_waits = true;
}

/* ---- LOOK: what is there ---- */

static void add_snapshot(struct recovery_facts *facts, uint64_t lsn)
{
    unsigned at = 0;

    while (at < facts->snapshots && facts->snapshot[at].lsn > lsn)
        at++;
    if (at == RECOVERY_SNAPSHOTS_MAX)
        return;
    if (facts->snapshots == RECOVERY_SNAPSHOTS_MAX)
        facts->snapshots--;
    memmove(&facts->snapshot[at + 1], &facts->snapshot[at],
            (facts->snapshots - at) * sizeof facts->snapshot[0]);
    facts->snapshot[at].lsn = lsn;
    facts->snapshots++;
}

static void look_at(void *context, const char *name, uint64_t bytes)
{
    struct recovery_facts *facts = context;
    uint64_t number;

    (void)bytes;
    if (meta_is_segment(name, &number) && number > 0) {
        if (facts->oldest_segment == 0 || number < facts->oldest_segment)
            facts->oldest_segment = number;
        if (number > facts->newest_segment)
            facts->newest_segment = number;
    } else if (meta_is_snapshot(name, &number)) {
        add_snapshot(facts, number);
    }
}

/* Whether a log ever began in segment 1: -errno, 0 or 1. */
static int first_segment_used(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    static const uint8_t zeros[WAL_BLOCK_HEADER_BYTES];
    uint8_t head[WAL_BLOCK_HEADER_BYTES] = {0};
    char name[DISK_NAME_BYTES];
    int file;

    meta_segment_name(name, 1);
    file = disk->call->open(disk->state, name, DISK_READ, 0);
    if (file < 0)
        return file == -ENOENT ? 0 : file;
    int64_t got = disk->call->read(disk->state, file, 0, head, sizeof head);
    disk->call->close(disk->state, file);
    return got < 0 ? (int)got : memcmp(head, zeros, sizeof head) != 0;
}

static int make_meta(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;
    int used = facts->snapshots != 0 || facts->newest_segment > 1 ? 1 : first_segment_used(recovery);

    if (used < 0)
        return recovery_refuse_disk(recovery, used, "segment 1");
    if (used)
        return recovery_refuse(
            recovery, -EBADMSG,
            "`meta` is missing, but segments or snapshots are there: bring it back from a backup, or"
            " start with an empty folder");
    memset(&facts->meta, 0, sizeof facts->meta);
    do
        random_fill(&recovery->config.random, &facts->meta.node_id, sizeof facts->meta.node_id);
    while (facts->meta.node_id == 0);
    random_fill(&recovery->config.random, &facts->meta.stamp, sizeof facts->meta.stamp);
    facts->meta.base_segment = 1;
    recovery->meta_changed = true;
    return 0;
}

int recovery_list(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    struct recovery_facts *facts = &recovery->facts;

    facts->oldest_segment = facts->newest_segment = 0;
    facts->snapshots = 0;
    int failed = disk->call->list(disk->state, look_at, facts);
    return failed < 0 ? recovery_refuse_disk(recovery, failed, "cannot be listed") : 0;
}

int recovery_refuse_empty(struct recovery *recovery)
{
    return recovery_refuse(
        recovery, -EBADMSG,
        "`meta` is there but no segment of the log: bring the folder back from a backup, or start"
        " with an empty one");
}

/* A primary that has no history is the first node of a cluster: whom it promised what in another does not count there. */
static void found_cluster(struct recovery *recovery)
{
    struct meta *meta = &recovery->facts.meta;

    do
        random_fill(&recovery->config.random, meta->cluster_id, sizeof meta->cluster_id);
    while (wire_is_zero(meta->cluster_id, sizeof meta->cluster_id));
    meta->sealed_node = meta->sealed_epoch = 0;
}

static int look(struct recovery *recovery)
{
    const struct disk *disk = &recovery->config.disk;
    int failed = recovery_list(recovery);

    if (failed < 0)
        return failed;
    failed = meta_read(&recovery->facts.meta, disk);
    switch (failed) {
    case 0:
        if (recovery->facts.newest_segment == 0)
            return recovery_refuse_empty(recovery);
        break;
    case -ENOENT:
        failed = make_meta(recovery);
        if (failed != 0)
            return failed;
        break;
    case -EBADMSG:
        return recovery_refuse(
            recovery, failed,
            "`meta` is damaged: bring it back from a backup, or start with an empty folder");
    case -EPROTONOSUPPORT:
        return recovery_refuse(recovery, failed,
                               "written by another version of wild, which this one cannot read");
    default:
        return recovery_refuse_disk(recovery, failed, "meta");
    }
    if (recovery->facts.meta.count == 0 && !recovery->config.follows)
        found_cluster(recovery);
    failed = apply_begin(recovery->config.apply);
    if (failed != 0)
        return recovery_refuse_disk(recovery, failed, "recovery");
    recovery->phase = ADOPTED;
    return 1;
}

/* ---- CHOOSE and LOAD: the newest snapshot that is whole ---- */

static void forget_snapshot(struct recovery_facts *facts, unsigned i)
{
    facts->snapshots--;
    memmove(&facts->snapshot[i], &facts->snapshot[i + 1], (facts->snapshots - i) * sizeof facts->snapshot[0]);
}

/* Nobody tries it again, and it stays for whoever wants to know why. */
static int set_snapshot_aside(struct recovery *recovery, unsigned i, const char *name)
{
    const struct disk *disk = &recovery->config.disk;
    char kept[DISK_NAME_BYTES + 8];
    int failed;

    snprintf(kept, sizeof kept, "kept-%s", name);
    failed = disk->call->rename(disk->state, name, kept);
    if (failed == 0)
        failed = disk->call->sync_folder(disk->state);
    if (failed < 0)
        return recovery_refuse_disk(recovery, failed, name);
    recovery_tell(recovery, "%s is damaged and now named %s; an older one and more of the log are used", name,
                  kept);
    recovery->facts.snapshots_broken++;
    forget_snapshot(&recovery->facts, i);
    return 1;
}

/* 1: on to the next phase or try; -errno. */
static int try_snapshot(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;
    char name[DISK_NAME_BYTES];
    int failed;

    meta_snapshot_name(name, facts->snapshot[0].lsn);
    failed = snapshot_reader_open(&recovery->snapshot, &recovery->config.disk, name);
    if (failed == 0) {
        recovery->loaded = snapshot_reader_facts(recovery->snapshot);
        failed = snapshot_reader_check(recovery->snapshot);
    }
    if (failed == 0 && recovery->loaded.position.next_lsn != facts->snapshot[0].lsn + 1)
        failed = -EBADMSG; /* under another's name */
    if (failed == 0 &&
        memcmp(recovery->loaded.cluster_id, facts->meta.cluster_id, sizeof facts->meta.cluster_id) != 0)
        return recovery_refuse(recovery, -EBADMSG, "%s belongs to another cluster: take it out of the folder",
                               name);
    if (failed == 0) {
        recovery->loaded = snapshot_reader_facts(recovery->snapshot);
        facts->snapshot[0].segment = recovery->loaded.position.segment;
        facts->snapshot_lsn = facts->snapshot[0].lsn;
        facts->bytes_total = recovery->loaded.bytes;
        recovery->phase = LOAD;
        return 1;
    }
    if (recovery->snapshot != NULL)
        snapshot_reader_close(recovery->snapshot);
    recovery->snapshot = NULL;
    memset(&recovery->loaded, 0, sizeof recovery->loaded);
    if (failed == -EPROTONOSUPPORT)
        return recovery_refuse(recovery, failed,
                               "%s was written by another version of wild, which this one cannot read", name);
    return failed == -EBADMSG ? set_snapshot_aside(recovery, 0, name)
                              : recovery_refuse_disk(recovery, failed, name);
}

/* Where the older ones start: the log is kept from there. One whose head cannot be read does not count. */
static void look_at_older(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;

    for (unsigned i = 1; i < facts->snapshots;) {
        struct snapshot_reader *reader;
        char name[DISK_NAME_BYTES];

        meta_snapshot_name(name, facts->snapshot[i].lsn);
        if (snapshot_reader_open(&reader, &recovery->config.disk, name) != 0) {
            forget_snapshot(facts, i);
            continue;
        }
        facts->snapshot[i].segment = snapshot_reader_facts(reader).position.segment;
        snapshot_reader_close(reader);
        i++;
    }
}

/* A file of the log that is to be replayed. */
static void measure(void *context, const char *name, uint64_t bytes)
{
    struct recovery *recovery = context;
    uint64_t number, first = recovery->loaded.position.segment;

    if (!meta_is_segment(name, &number) || number < first)
        return;
    recovery->facts.bytes_total += bytes;
    if (number == first)
        recovery->first_bytes = bytes;
}

static int start_replay(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;
    const struct disk *disk = &recovery->config.disk;
    const struct wal_position *from = &recovery->loaded.position;
    int failed = disk->call->list(disk->state, measure, recovery);
    char name[DISK_NAME_BYTES];

    if (failed < 0)
        return recovery_refuse_disk(recovery, failed, "cannot be listed");
    /* What the snapshot has of it was durable: a log that is not there cannot be told from one that ends. */
    if (from->offset > recovery->first_bytes)
        return recovery_refuse(
            recovery, -EBADMSG,
            "%s is missing or cut short, and the snapshot needs the log from its offset %u on: bring the file"
            " back from a backup, or copy from a replica",
            recovery_segment_text(name, from->segment), from->offset);
    recovery->log = wal_reader_create(disk, &facts->meta, from);
    if (recovery->log == NULL)
        return recovery_refuse_disk(recovery, -ENOMEM, "recovery");
    recovery->phase = REPLAY;
    return 1;
}

static int choose(struct recovery *recovery)
{
    struct recovery_facts *facts = &recovery->facts;

    if (facts->snapshots > 0) {
        int tried = try_snapshot(recovery);
        if (tried > 0 && recovery->phase == LOAD)
            look_at_older(recovery);
        return tried;
    }
    if (facts->oldest_segment > 1 &&
        (facts->oldest_segment > facts->meta.base_segment || facts->meta.adopted_lsn != 0))
        return recovery_refuse(
            recovery, -EBADMSG,
            "no snapshot can be read, and the log before segment %llu is gone: bring a snapshot back from"
            " a backup, or copy from a replica",
            (unsigned long long)facts->oldest_segment);
    if (facts->meta.base_segment > 0)
        recovery->loaded.position.segment = facts->meta.base_segment - 1; /* the log begins in the next */
    return start_replay(recovery);
}

static int apply_all(struct recovery *recovery, const uint8_t *records, size_t bytes, uint32_t count)
{
    int failed = apply_records(recovery->config.apply, records, bytes);

    if (failed == -ENOSPC)
        return recovery_refuse_capacity(recovery);
    if (failed != 0)
        return recovery_refuse_disk(recovery, failed, "records");
    recovery->facts.records += count;
    return 0;
}

static int load(struct recovery *recovery)
{
    const struct snapshot_facts *facts = &recovery->loaded;
    const uint8_t *records;
    size_t bytes;
    int more, failed;

    if (recovery->facts.bytes_read == 0) {
        apply_clock(recovery->config.apply, facts->wall_ms);
        if (facts->flush_lsn > 0)
            apply_record(recovery->config.apply,
                         &(struct log_record){.lsn = facts->flush_lsn, .type = LOG_FLUSH});
    }
    more = snapshot_reader_next(recovery->snapshot, &records, &bytes);
    if (more == 1) {
        failed = apply_all(recovery, records, bytes, 0);
        recovery->facts.bytes_read += bytes;
        return failed != 0 ? failed : 1;
    }
    if (more != 0)
        return recovery_refuse_disk(recovery, more, "the snapshot changed while it was read");
    snapshot_reader_close(recovery->snapshot);
    recovery->snapshot = NULL;
    return start_replay(recovery);
}

/* ---- REPLAY and JUDGE ---- */

/* Lists of members that are later than meta's. */
static void collect_members(struct recovery *recovery, const struct wal_block *block)
{
    struct member_list *known = &recovery->facts.meta.members;
    struct member_list list;

    for (size_t at = 0; at < block->records_bytes;) {
        const uint8_t *bytes = block->records + at;
        struct log_record record;

        at += log_record_encoded_bytes(bytes);
        if (log_record_encoded_type(bytes) != LOG_MEMBER || log_record_decode(&record, bytes, SIZE_MAX) < 0 ||
            !member_collect(&recovery->facts.collecting, &record, &list) || list.last_lsn <= known->last_lsn)
            continue;
        *known = list;
        recovery->meta_changed = true;
    }
}

static int replay(struct recovery *recovery)
{
    for (unsigned i = 0; i < BLOCKS_A_STEP; i++) {
        struct wal_block block;

        if (wal_reader_next(recovery->log, &block) == 0) {
            recovery->phase = JUDGE;
            return 1;
        }
        apply_clock(recovery->config.apply, block.wall_ms);
        int failed = apply_all(recovery, block.records, block.records_bytes, block.count);
        if (failed != 0)
            return failed;
        collect_members(recovery, &block);
        recovery->facts.bytes_read += wal_block_padded(block.length);
    }
    return 1;
}

int recovery_step(struct recovery *recovery)
{
    static int (*const steps[])(struct recovery *) = {[LOOK] = look,
                                                      [ADOPTED] = recovery_adopted,
                                                      [CHOOSE] = choose,
                                                      [LOAD] = load,
                                                      [REPLAY] = replay,
                                                      [JUDGE] = recovery_judge,
                                                      [SYNC] = recovery_sync,
                                                      [DISCARD] = recovery_discard,
                                                      [COMMIT] = recovery_commit};

    return recovery->phase == DONE ? 0 : steps[recovery->phase](recovery);
}
