/*
 * housekeeper.c - mailboxes, and the housekeeper's steps: close, segments, snapshots, removal. One small job a
 * step, the urgent first.
 */
#include "housekeeper.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "wal_block.h"

enum {
    NO_FILE = -1,
    FILL_BYTES = 256 * 1024,   /* zeros a step */
    FILL_SYNC_BYTES = 1 << 20, /* so that no sync of the log's waits for many of them */
    SPACE_STEPS = 512,         /* idle ones between two looks at the space that is left */
    FOLDER_STEPS = 64, /* between two looks at whether the folder is there: steps and naps are short */
};

/* A snapshot that is there, newest first. */
struct kept_snapshot {
    uint64_t lsn, segment;
};

struct housekeeper {
    struct housekeeper_config config;

    /* Writer: control. */
    _Alignas(64) _Atomic uint64_t wanted; /* segment; 0: none */
    _Atomic uint64_t durable_lsn;
    _Atomic int to_close;         /* file; NO_FILE: none. Control fills it, the housekeeper empties it */
    _Atomic bool look_wanted;     /* likewise: a look at the folder */
    _Atomic bool snapshot_wanted; /* likewise; `asked` stands before it is set (release) */
    struct snapshot_facts asked;

    /* Writer: the housekeeper. */
    _Alignas(64) _Atomic uint64_t answered; /* wanted segment that `answer` is about; 0: taken by control */
    _Atomic int answer;                     /* its file, or -errno */
    _Atomic uint64_t snapshots, snapshots_failed, snapshot_lsn, snapshot_segment, oldest;
    _Atomic uint64_t free_bytes;
    _Atomic int snapshot_error, removal_error, folder_error;
    _Atomic bool snapshot_running;

    /* The housekeeper's own. */
    struct snapshot_writer *writer;
    unsigned snapshot_count;
    struct kept_snapshot snapshot[RECOVERY_SNAPSHOTS_MAX + 1];
    unsigned steps, idle_steps;
    uint64_t oldest_segment;        /* that has a file */
    uint64_t newest_segment;        /* that was made, or is `ready` */
    uint64_t ready;                 /* made and never asked for: recovery's */
    bool open_file[DISK_FILES_MAX]; /* given to control and not back yet */
    struct {
        int file; /* NO_FILE: none */
        uint64_t segment, offset;
        uint8_t *zeros; /* FILL_BYTES, aligned */
    } fill; /* a new segment that is being written once: the log's writes into it are faster then (disk.h) */
};

static void publish_kept(struct housekeeper *h)
{
    if (h->snapshot_count > 0) {
        atomic_store_explicit(&h->snapshot_lsn, h->snapshot[0].lsn, memory_order_relaxed);
        atomic_store_explicit(&h->snapshot_segment, h->snapshot[0].segment, memory_order_relaxed);
    }
    atomic_store_explicit(&h->oldest, h->oldest_segment, memory_order_relaxed);
}

/*
 * 0, or -ENOENT. Looked at now, and by every job before it makes, names or removes anything: a folder that was removed or
 * renamed goes on taking what is written, which no start will find. One that comes back may be a copy of another time, or
 * have been changed by others meanwhile, so once is for good.
 */
static int folder_error(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;
    int failed = atomic_load_explicit(&h->folder_error, memory_order_relaxed);

    if (failed != 0)
        return failed;
    failed = disk->call->found(disk->state, META_FILE);
    atomic_store_explicit(&h->folder_error, failed, memory_order_relaxed);
    return failed;
}

/* What it has begun is its own to remove, but not from a folder that nobody looks for any more. */
static void end_writer(struct housekeeper *h)
{
    if (h->writer == NULL)
        return;
    if (folder_error(h) != 0)
        snapshot_writer_leave(h->writer);
    snapshot_writer_destroy(h->writer);
    h->writer = NULL;
}

struct housekeeper *housekeeper_create(const struct housekeeper_config *config)
{
    struct housekeeper *h = aligned_alloc(64, (sizeof *h + 63) / 64 * 64);
    const struct recovery_facts *found = config->found;

    if (h == NULL)
        return NULL;
    memset(h, 0, sizeof *h);
    h->config = *config;
    h->config.found = NULL;
    h->fill.file = NO_FILE;
    h->fill.zeros = aligned_alloc(DISK_BLOCK_BYTES, FILL_BYTES);
    if (h->fill.zeros == NULL) {
        free(h);
        return NULL;
    }
    memset(h->fill.zeros, 0, FILL_BYTES);
    atomic_init(&h->to_close, NO_FILE);
    atomic_init(&h->free_bytes, UINT64_MAX);
    h->snapshot_count = found->snapshots;
    for (unsigned i = 0; i < found->snapshots; i++)
        h->snapshot[i] = (struct kept_snapshot){found->snapshot[i].lsn, found->snapshot[i].segment};
    h->oldest_segment = found->oldest_segment;
    h->ready = h->newest_segment = found->end.segment + 1;
    publish_kept(h);
    return h;
}

void housekeeper_destroy(struct housekeeper *h)
{
    if (h == NULL)
        return;
    const struct disk *disk = &h->config.disk;
    end_writer(h);
    for (int file = 0; file < DISK_FILES_MAX; file++)
        if (h->open_file[file])
            disk->call->close(disk->state, file);
    if (h->fill.file != NO_FILE)
        disk->call->close(disk->state, h->fill.file);
    free(h->fill.zeros);
    free(h);
}

/* ---- segments ---- */

static int remove_name(struct housekeeper *h, const char *name)
{
    const struct disk *disk = &h->config.disk;
    int failed = disk->call->remove(disk->state, name);

    return failed == -ENOENT ? 0 : failed;
}

static int remove_segment(struct housekeeper *h, uint64_t segment)
{
    char name[DISK_NAME_BYTES];

    meta_segment_name(name, segment);
    return remove_name(h, name);
}

/* The first segment that somebody may still want. */
static uint64_t first_kept(const struct housekeeper *h)
{
    const struct housekeeper_config *config = &h->config;
    uint64_t kept =
        h->snapshot_count < SNAPSHOTS_KEPT ? h->oldest_segment : h->snapshot[SNAPSHOTS_KEPT - 1].segment;
    uint64_t needed = config->needs_segment != NULL ? config->needs_segment(config->readers) : UINT64_MAX;

    return needed < kept ? needed : kept;
}

/* The oldest snapshot that nobody wants any more, by its place; 0: none (the newest is always wanted). */
static unsigned unwanted_snapshot(const struct housekeeper *h)
{
    const struct housekeeper_config *config = &h->config;
    unsigned i = h->snapshot_count;

    while (i-- > SNAPSHOTS_KEPT)
        if (config->needs_snapshot == NULL || !config->needs_snapshot(config->readers, h->snapshot[i].lsn))
            return i;
    return 0;
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
    publish_kept(h);
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
    failed = remove_name(h, name);
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
    uint64_t left = h->config.segment_bytes - h->fill.offset, bytes = left < FILL_BYTES ? left : FILL_BYTES;
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
    remove_segment(h, h->fill.segment); /* its space may be what others lack */
    return failed;
}

static enum housekeeper_step segment_step(struct housekeeper *h)
{
    /* acquire: pairs with release in housekeeper_want_segment() */
    uint64_t wanted = atomic_load_explicit(&h->wanted, memory_order_acquire);
    int file, gone;

    if (wanted == 0 || atomic_load_explicit(&h->answered, memory_order_acquire) != 0)
        return HOUSEKEEPER_IDLE;
    gone = folder_error(h);
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

static bool close_step(struct housekeeper *h)
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

/* What is no longer kept, one file a step; one segment stays to be used again. */
static bool removal_step(struct housekeeper *h)
{
    unsigned unwanted = unwanted_snapshot(h);
    int failed;

    if (unwanted == 0 && h->oldest_segment + 1 >= first_kept(h))
        return false;
    if (folder_error(h) != 0)
        return false;
    if (unwanted != 0) {
        char name[DISK_NAME_BYTES];

        meta_snapshot_name(name, h->snapshot[unwanted].lsn);
        failed = remove_name(h, name);
        if (failed >= 0) {
            h->snapshot_count--;
            memmove(&h->snapshot[unwanted], &h->snapshot[unwanted + 1],
                    (h->snapshot_count - unwanted) * sizeof h->snapshot[0]);
        }
    } else {
        failed = remove_segment(h, h->oldest_segment);
        h->oldest_segment += failed >= 0;
        publish_kept(h);
    }
    atomic_store_explicit(&h->removal_error, failed < 0 ? failed : 0, memory_order_relaxed);
    return failed >= 0;
}

/* Now and then while nothing else is to be done. */
static void look_at_space(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;

    if (h->idle_steps++ % SPACE_STEPS == 0)
        atomic_store_explicit(&h->free_bytes, disk->call->space(disk->state), memory_order_relaxed);
}

/* Now and then, whatever else is to be done, and when control wants it. */
static void look_at_folder(struct housekeeper *h)
{
    bool wanted = atomic_load_explicit(&h->look_wanted, memory_order_relaxed);

    if (h->steps++ % FOLDER_STEPS == 0 || wanted)
        (void)folder_error(h);
    if (wanted) /* release: pairs with acquire in housekeeper_facts() */
        atomic_store_explicit(&h->look_wanted, false, memory_order_release);
}

/* ---- snapshots ---- */

static void snapshot_end(struct housekeeper *h, int error)
{
    struct snapshot_facts facts = h->writer != NULL ? snapshot_writer_facts(h->writer) : h->asked;

    end_writer(h);
    if (error == 0) {
        if (h->snapshot_count >
            RECOVERY_SNAPSHOTS_MAX) /* the oldest cannot be removed: left to the next start */
            h->snapshot_count = RECOVERY_SNAPSHOTS_MAX;
        memmove(&h->snapshot[1], &h->snapshot[0], h->snapshot_count * sizeof h->snapshot[0]);
        h->snapshot[0] = (struct kept_snapshot){facts.position.next_lsn - 1, facts.position.segment};
        h->snapshot_count++;
        atomic_fetch_add_explicit(&h->snapshots, 1, memory_order_relaxed);
        publish_kept(h);
    } else {
        atomic_fetch_add_explicit(&h->snapshots_failed, 1, memory_order_relaxed);
    }
    atomic_store_explicit(&h->snapshot_error, error, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_snapshot() and housekeeper_facts() */
    atomic_store_explicit(&h->snapshot_running, false, memory_order_release);
}

static enum housekeeper_step snapshot_step(struct housekeeper *h)
{
    uint64_t durable = atomic_load_explicit(&h->durable_lsn, memory_order_acquire);
    int progress;

    if (h->writer == NULL) {
        if (!atomic_load_explicit(&h->snapshot_wanted, memory_order_acquire))
            return HOUSEKEEPER_IDLE;
        atomic_store_explicit(&h->snapshot_wanted, false, memory_order_relaxed);
        if (h->snapshot_count > 0 && h->snapshot[0].lsn == h->asked.position.next_lsn - 1) {
            /* Nothing was written since: that one is as good. */
            atomic_store_explicit(&h->snapshot_running, false, memory_order_release);
            return HOUSEKEEPER_WORKED;
        }
        h->writer = snapshot_writer_create(&h->config.disk, h->config.table, &h->asked);
        if (h->writer == NULL)
            snapshot_end(h, -ENOMEM);
        return HOUSEKEEPER_WORKED;
    }
    progress = folder_error(h);
    if (progress == 0)
        progress = snapshot_writer_step(h->writer, h->config.snapshot_buckets, durable);
    if (progress == SNAPSHOT_PUBLISHED || progress < 0) {
        snapshot_end(h, progress < 0 ? progress : 0);
        return HOUSEKEEPER_WORKED;
    }
    return progress == SNAPSHOT_WALKED ? HOUSEKEEPER_IDLE : HOUSEKEEPER_PAUSE;
}

enum housekeeper_step housekeeper_step(struct housekeeper *h)
{
    look_at_folder(h);
    if (close_step(h))
        return HOUSEKEEPER_WORKED;
    enum housekeeper_step step = segment_step(h);
    if (step == HOUSEKEEPER_IDLE)
        step = snapshot_step(h);
    if (step != HOUSEKEEPER_IDLE)
        return step;
    if (removal_step(h))
        return HOUSEKEEPER_WORKED;
    look_at_space(h);
    return HOUSEKEEPER_IDLE;
}

void housekeeper_segments(const struct housekeeper *h, uint64_t *oldest, uint64_t *newest)
{
    *oldest = h->oldest_segment;
    *newest = h->newest_segment;
}

/* ---- the control lcore ---- */

void housekeeper_want_segment(struct housekeeper *h, uint64_t number)
{
    /* release: pairs with acquire in segment_step() */
    atomic_store_explicit(&h->wanted, number, memory_order_release);
}

bool housekeeper_take_segment(struct housekeeper *h, uint64_t number, int *file)
{
    if (atomic_load_explicit(&h->answered, memory_order_acquire) != number)
        return false;
    *file = atomic_load_explicit(&h->answer, memory_order_relaxed);
    /* release: pairs with acquire in segment_step() */
    atomic_store_explicit(&h->answered, 0, memory_order_release);
    return true;
}

bool housekeeper_close_file(struct housekeeper *h, int file)
{
    if (atomic_load_explicit(&h->to_close, memory_order_acquire) != NO_FILE)
        return false;
    atomic_store_explicit(&h->to_close, file, memory_order_release);
    return true;
}

void housekeeper_tell_durable(struct housekeeper *h, uint64_t durable_lsn)
{
    atomic_store_explicit(&h->durable_lsn, durable_lsn, memory_order_release);
}

bool housekeeper_snapshot(struct housekeeper *h, const struct snapshot_facts *facts)
{
    if (atomic_load_explicit(&h->snapshot_running, memory_order_acquire))
        return false;
    h->asked = *facts;
    atomic_store_explicit(&h->snapshot_running, true, memory_order_relaxed);
    /* release: pairs with acquire in snapshot_step() */
    atomic_store_explicit(&h->snapshot_wanted, true, memory_order_release);
    return true;
}

void housekeeper_look_at_folder(struct housekeeper *h)
{
    atomic_store_explicit(&h->look_wanted, true, memory_order_relaxed);
}

struct housekeeper_facts housekeeper_facts(const struct housekeeper *h)
{
    /* acquire: pairs with release in look_at_folder(): what that look found is seen */
    bool looking = atomic_load_explicit(&h->look_wanted, memory_order_acquire);
    bool running = atomic_load_explicit(&h->snapshot_running, memory_order_acquire);

    return (struct housekeeper_facts){
        .snapshots = atomic_load_explicit(&h->snapshots, memory_order_relaxed),
        .snapshots_failed = atomic_load_explicit(&h->snapshots_failed, memory_order_relaxed),
        .snapshot_lsn = atomic_load_explicit(&h->snapshot_lsn, memory_order_relaxed),
        .snapshot_segment = atomic_load_explicit(&h->snapshot_segment, memory_order_relaxed),
        .oldest_segment = atomic_load_explicit(&h->oldest, memory_order_relaxed),
        .snapshot_error = atomic_load_explicit(&h->snapshot_error, memory_order_relaxed),
        .folder_error = atomic_load_explicit(&h->folder_error, memory_order_relaxed),
        .removal_error = atomic_load_explicit(&h->removal_error, memory_order_relaxed),
        .free_bytes = atomic_load_explicit(&h->free_bytes, memory_order_relaxed),
        .snapshot_running = running,
        .look_pending = looking,
    };
}
