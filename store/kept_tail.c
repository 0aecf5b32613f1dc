#include "kept_tail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal_block.h"
#include "wal_find.h"

static const char marker_prefix[] = "tail-";
enum {
    NUMBER_DIGITS = 16,
    MARKER_NAME_LENGTH = sizeof marker_prefix - 1 + NUMBER_DIGITS + 1 + NUMBER_DIGITS,
};

/* ---- the marker ---- */

static void marker_name(char out[DISK_NAME_BYTES], uint64_t stamp, uint64_t first)
{
    snprintf(out, DISK_NAME_BYTES, "%s%016" PRIx64 "-%016" PRIx64, marker_prefix, stamp, first);
}

/* Whether it is such a name. */
static bool is_marker(const char *name, struct kept_tail *out)
{
    char again[DISK_NAME_BYTES];

    if (strncmp(name, marker_prefix, sizeof marker_prefix - 1) != 0 || strlen(name) != MARKER_NAME_LENGTH)
        return false;
    const char *stamp = name + sizeof marker_prefix - 1, *first = stamp + NUMBER_DIGITS + 1;
    *out = (struct kept_tail){.stamp = strtoull(stamp, NULL, 16), .marked = strtoull(first, NULL, 16)};
    out->first = out->marked;
    marker_name(again, out->stamp, out->marked);
    return out->marked > 0 && strcmp(name, again) == 0;
}

static void note_marker(void *context, const char *name, uint64_t bytes)
{
    struct kept_tail *found = context, tail;

    (void)bytes;
    if (is_marker(name, &tail))
        *found = tail;
}

int kept_tail_find(struct kept_tail *out, const struct disk *disk)
{
    *out = (struct kept_tail){0};
    int failed = disk->call->list(disk->state, note_marker, out);

    return failed < 0 ? failed : out->first != 0;
}

int kept_tail_unmark(const struct disk *disk)
{
    struct kept_tail tail;
    char name[DISK_NAME_BYTES];
    int found;

    while ((found = kept_tail_find(&tail, disk)) > 0) {
        marker_name(name, tail.stamp, tail.marked);
        int failed = disk->call->remove(disk->state, name);
        if (failed < 0)
            return failed;
    }
    return found;
}

/* A durable copy of `meta` under that name, which is not durable yet. */
static int copy_meta(const struct disk *disk, const char *name)
{
    uint8_t bytes[META_BYTES];
    int file = disk->call->open(disk->state, META_FILE, DISK_READ, 0);

    if (file < 0)
        return file;
    int64_t got = disk->call->read(disk->state, file, 0, bytes, META_BYTES);
    disk->call->close(disk->state, file);
    if (got != META_BYTES)
        return got < 0 ? (int)got : -EBADMSG;
    file = disk->call->open(disk->state, name, DISK_CREATE, META_BYTES);
    if (file < 0)
        return file;
    int failed = disk->call->write(disk->state, file, 0, bytes, META_BYTES);
    if (failed >= 0)
        failed = disk->call->sync(disk->state, file);
    disk->call->close(disk->state, file);
    return failed < 0 ? failed : 0;
}

int kept_tail_mark(struct kept_tail *out, const struct disk *disk, const struct meta *log, uint64_t oldest,
                   uint64_t base, uint64_t common_lsn)
{
    struct wal_position from;
    char name[DISK_NAME_BYTES];
    int failed = wal_find(&from, disk, log, oldest, base - 1, common_lsn);

    if (failed == -ENOENT) /* what it has of the log does not reach back so far: all of it, then */
        from.segment = oldest;
    else if (failed < 0)
        return failed;
    *out = (struct kept_tail){.stamp = log->stamp, .marked = from.segment, .first = from.segment};
    marker_name(name, out->stamp, out->marked);
    return copy_meta(disk, name);
}

/* ---- what it is about ---- */

/* Whether that segment is of this log: 0 or 1; -ENOENT. One that cannot be read is. */
static int is_of(const struct disk *disk, const char *name, uint64_t segment, uint64_t stamp)
{
    uint8_t *bytes = aligned_alloc(DISK_BLOCK_BYTES, WAL_BLOCK_BYTES_MAX);
    int file = disk->call->open(disk->state, name, DISK_READ, 0);
    struct wal_block block;
    int is = 1;

    if (file >= 0 && bytes != NULL) {
        int64_t got = disk->call->read(disk->state, file, 0, bytes, WAL_BLOCK_BYTES_MAX);
        if (got >= 0)
            is =
                wal_block_decode(&block, bytes, (size_t)got, segment, 0) == WAL_WHOLE && block.stamp == stamp;
    }
    if (file >= 0)
        disk->call->close(disk->state, file);
    free(bytes);
    return file == -ENOENT ? file : is;
}

static int set_aside(const struct disk *disk, struct kept_tail *tail)
{
    char name[DISK_NAME_BYTES], kept[DISK_NAME_BYTES + 32];
    int failed;

    meta_segment_name(name, tail->first);
    int is = is_of(disk, name, tail->first, tail->stamp);
    if (is < 0)
        return 0;
    snprintf(kept, sizeof kept, "kept-tail-%016" PRIx64 "-%s", tail->stamp, name);
    failed = is ? disk->call->rename(disk->state, name, kept) : disk->call->remove(disk->state, name);
    tail->kept += failed >= 0 && is;
    return failed;
}

/* What was renamed is durable before the marker, by which that is found out, is gone. */
static int unmark(const struct disk *disk, const struct kept_tail *tail)
{
    char name[DISK_NAME_BYTES], kept[DISK_NAME_BYTES];
    int failed = disk->call->sync_folder(disk->state);

    if (failed < 0)
        return failed;
    marker_name(name, tail->stamp, tail->marked);
    snprintf(kept, sizeof kept, "kept-tail-%016" PRIx64 "-meta", tail->stamp);
    failed = disk->call->rename(disk->state, name, kept);
    return failed < 0 && failed != -ENOENT ? failed : disk->call->sync_folder(disk->state);
}

int kept_tail_step(const struct disk *disk, struct kept_tail *tail, uint64_t base)
{
    int failed = tail->first < base ? set_aside(disk, tail) : unmark(disk, tail);

    if (failed < 0)
        return failed;
    return tail->first < base ? (tail->first++, 1) : 0;
}
