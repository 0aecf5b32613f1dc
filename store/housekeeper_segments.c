/*
 * housekeeper_segments.c - segments made ready, files closed, what is no longer kept removed or used again.
 */
#include "housekeeper_internal.h"

#include <errno.h>
#include <string.h>

enum {
    NO_FILE = HOUSEKEEPER_NO_FILE,
    FILL_SYNC_BYTES = 1 << 20, /* so that no sync of the log's waits for many of them */
};

/* ---- segments ---- */

/* Nothing of it is removed: the log that is being written is not the folder's, or a tail waits to be set aside. */
static bool is_whole(const struct housekeeper *h)
{
    int adoption = atomic_load_explicit(&h->adoption, memory_order_relaxed);

    return (adoption != ADOPTION_NONE && adoption != ADOPTION_DONE) || h->tail.first != 0;
}

/* The first segment that somebody may still want. */
static uint64_t first_kept(const struct housekeeper *h)
{
    const struct housekeeper_config *config = &h->config;
    uint64_t kept =
        h->snapshot_count < SNAPSHOTS_KEPT ? h->oldest_segment : h->snapshot[SNAPSHOTS_KEPT - 1].segment;
    uint64_t needed = config->needs_segment != NULL ? config->needs_segment(config->readers) : UINT64_MAX;

    if (is_whole(h))
        return h->oldest_segment;
    if (kept < housekeeper_base(h))
        kept = housekeeper_base(h);
    return needed < kept ? needed : kept;
}

/* The oldest snapshot that nobody wants any more, by its place; -1: none (the newest of this log is always wanted). */
static int unwanted_snapshot(const struct housekeeper *h)
{
    const struct housekeeper_config *config = &h->config;

    if (is_whole(h))
        return -1;
    for (int i = (int)h->snapshot_count - 1; i >= 0; i--) {
        bool kept = i < SNAPSHOTS_KEPT && h->snapshot[i].segment >= housekeeper_base(h);
        if (!kept &&
            (config->needs_snapshot == NULL || !config->needs_snapshot(config->readers, h->snapshot[i].lsn)))
            return i;
    }
    return -1;
}

/* An old segment takes the new name: its bytes are allocated already, and never continue the log. */
static int use_again(struct housekeeper *h, const char *name)
{
    const struct disk *disk = &h->config.disk;
    char old[DISK_NAME_BYTES];
    int failed, file;

    meta_segment_name(old, h->oldest_segment);
    file = disk->call->open(disk->state, old, DISK_READ, 0);
    if (file < 0)
        return file;
    int64_t bytes = disk->call->size(disk->state, file);
    disk->call->close(disk->state, file);
    if (bytes != (int64_t)h->config.segment_bytes)
        return -ENOENT; /* of another size: to be removed */
    failed = disk->call->rename(disk->state, old, name);
    if (failed >= 0)
        h->oldest_segment++;
    return failed;
}

/* Its name and its bytes are there to stay. */
static int finish_segment(struct housekeeper *h, int file)
{
    const struct disk *disk = &h->config.disk;
    int failed = disk->call->sync(disk->state, file);

    if (failed >= 0)
        failed = disk->call->sync_folder(disk->state);
    if (failed < 0) {
        disk->call->close(disk->state, file);
        return failed;
    }
    housekeeper_publish_kept(h);
    return file;
}

/* Its file; -errno; -EINPROGRESS: fill_step() goes on with it. */
static int make_segment(struct housekeeper *h, uint64_t segment)
{
    const struct disk *disk = &h->config.disk;
    char name[DISK_NAME_BYTES];
    int file, failed;

    meta_segment_name(name, segment);
    if (segment == h->ready)
        return disk->call->open(disk->state, name, DISK_WRITE, 0);
    /* Of a tail that did not count, or of a try before this one. */
    failed = housekeeper_remove(h, name);
    if (failed < 0)
        return failed;
    if (h->oldest_segment < first_kept(h) && use_again(h, name) >= 0) {
        file = disk->call->open(disk->state, name, DISK_WRITE, 0);
        return file >= 0 ? finish_segment(h, file) : file;
    }
    file = disk->call->open(disk->state, name, DISK_RESERVE, h->config.segment_bytes);
    if (file < 0)
        return file;
    h->fill.file = file;
    h->fill.segment = segment;
    h->fill.offset = 0;
    return -EINPROGRESS;
}

static int fill_some(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;
    uint64_t left = h->config.segment_bytes - h->fill.offset,
             bytes = left < HOUSEKEEPER_FILL_BYTES ? left : HOUSEKEEPER_FILL_BYTES;
    int failed = disk->call->write(disk->state, h->fill.file, h->fill.offset, h->fill.zeros, bytes);

    h->fill.offset += bytes;
    if (failed >= 0 && h->fill.offset % FILL_SYNC_BYTES == 0)
        failed = disk->call->sync(disk->state, h->fill.file);
    return failed;
}

/* As make_segment(). */
static int fill_step(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;
    int file = h->fill.file, failed = fill_some(h);

    if (failed >= 0 && h->fill.offset < h->config.segment_bytes)
        return -EINPROGRESS;
    h->fill.file = NO_FILE;
    if (failed >= 0)
        return finish_segment(h, file);
    disk->call->close(disk->state, file);
    housekeeper_remove_segment(h, h->fill.segment); /* its space may be what others lack */
    return failed;
}

enum housekeeper_step housekeeper_segment_step(struct housekeeper *h)
{
    /* acquire: pairs with release in housekeeper_want_segment() */
    uint64_t wanted = atomic_load_explicit(&h->wanted, memory_order_acquire);
    int file, gone;

    if (wanted == 0 || atomic_load_explicit(&h->answered, memory_order_acquire) != 0)
        return HOUSEKEEPER_IDLE;
    gone = housekeeper_folder_error(h);
    file = gone != 0 ? gone : h->fill.file != NO_FILE ? fill_step(h) : make_segment(h, wanted);
    if (file == -EINPROGRESS)
        return HOUSEKEEPER_PAUSE;
    if (file >= 0) {
        h->open_file[file] = true;
        h->newest_segment = wanted;
    }
    atomic_store_explicit(&h->wanted, 0, memory_order_relaxed);
    atomic_store_explicit(&h->answer, file, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_take_segment() */
    atomic_store_explicit(&h->answered, wanted, memory_order_release);
    return HOUSEKEEPER_WORKED;
}

bool housekeeper_close_step(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;
    int file = atomic_load_explicit(&h->to_close, memory_order_acquire);

    if (file == NO_FILE)
        return false;
    disk->call->close(disk->state, file);
    h->open_file[file] = false;
    /* release: pairs with acquire in housekeeper_close_file() */
    atomic_store_explicit(&h->to_close, NO_FILE, memory_order_release);
    return true;
}

static int remove_snapshot(struct housekeeper *h, unsigned place)
{
    char name[DISK_NAME_BYTES];

    meta_snapshot_name(name, h->snapshot[place].lsn);
    int failed = housekeeper_remove(h, name);
    if (failed < 0)
        return failed;
    h->snapshot_count--;
    memmove(&h->snapshot[place], &h->snapshot[place + 1],
            (h->snapshot_count - place) * sizeof h->snapshot[0]);
    return 0;
}

/* One file of a log that was given up. */
static int set_tail_aside(struct housekeeper *h)
{
    int more = kept_tail_step(&h->config.disk, &h->tail, housekeeper_base(h));

    if (more == 0) {
        atomic_store_explicit(&h->tail_segments, h->tail.kept, memory_order_relaxed);
        /* release: pairs with acquire in housekeeper_facts() */
        atomic_store_explicit(&h->tail_stamp, h->tail.stamp, memory_order_release);
        h->tail = (struct kept_tail){0};
    }
    return more;
}

/* What is no longer kept, one file a step; one segment stays to be used again. */
bool housekeeper_removal_step(struct housekeeper *h)
{
    int unwanted = unwanted_snapshot(h), failed;

    if (h->tail.first == 0 && unwanted < 0 && h->oldest_segment + 1 >= first_kept(h))
        return false;
    if (housekeeper_folder_error(h) != 0)
        return false;
    if (h->tail.first != 0) {
        failed = set_tail_aside(h);
    } else if (unwanted >= 0) {
        failed = remove_snapshot(h, (unsigned)unwanted);
    } else {
        failed = housekeeper_remove_segment(h, h->oldest_segment);
        h->oldest_segment += failed >= 0;
        housekeeper_publish_kept(h);
    }
    atomic_store_explicit(&h->removal_error, failed < 0 ? failed : 0, memory_order_relaxed);
    return failed >= 0;
}
