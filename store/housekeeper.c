/*
 * housekeeper.c - mailboxes, and the housekeeper's steps: close, meta, segments, snapshots or an adoption, removal. One
 * small job a step, the urgent first.
 */
#include "housekeeper_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum {
    NO_FILE = HOUSEKEEPER_NO_FILE,
    SPACE_STEPS = 512, /* idle ones between two looks at the space that is left */
    FOLDER_STEPS = 64, /* between two looks at whether the folder is there: steps and naps are short */
};

void housekeeper_publish_kept(struct housekeeper *h)
{
    bool any = h->snapshot_count > 0 && h->snapshot[0].segment >= housekeeper_base(h);

    atomic_store_explicit(&h->snapshot_lsn, any ? h->snapshot[0].lsn : 0, memory_order_relaxed);
    atomic_store_explicit(&h->snapshot_segment, any ? h->snapshot[0].segment : 0, memory_order_relaxed);
    atomic_store_explicit(&h->oldest, housekeeper_oldest(h), memory_order_relaxed);
}

/*
 * 0, or -ENOENT. Looked at now, and by every job before it makes, names or removes anything: a folder that was removed or
 * renamed goes on taking what is written, which no start will find. One that comes back may be a copy of another time, or
 * have been changed by others meanwhile, so once is for good.
 */
int housekeeper_folder_error(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;
    int failed = atomic_load_explicit(&h->folder_error, memory_order_relaxed);

    if (failed != 0)
        return failed;
    failed = disk->call->found(disk->state, META_FILE);
    atomic_store_explicit(&h->folder_error, failed, memory_order_relaxed);
    return failed;
}

int housekeeper_remove(struct housekeeper *h, const char *name)
{
    const struct disk *disk = &h->config.disk;
    int failed = disk->call->remove(disk->state, name);

    return failed == -ENOENT ? 0 : failed;
}

int housekeeper_remove_segment(struct housekeeper *h, uint64_t segment)
{
    char name[DISK_NAME_BYTES];

    meta_segment_name(name, segment);
    return housekeeper_remove(h, name);
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
    h->meta = found->meta;
    atomic_init(&h->stamp, found->meta.stamp);
    h->fill.file = NO_FILE;
    h->fill.zeros = aligned_alloc(DISK_BLOCK_BYTES, HOUSEKEEPER_FILL_BYTES);
    if (h->fill.zeros == NULL) {
        free(h);
        return NULL;
    }
    memset(h->fill.zeros, 0, HOUSEKEEPER_FILL_BYTES);
    atomic_init(&h->to_close, NO_FILE);
    atomic_init(&h->acknowledged_lsn, UINT64_MAX);
    atomic_init(&h->free_bytes, UINT64_MAX);
    h->snapshot_count = found->snapshots;
    for (unsigned i = 0; i < found->snapshots; i++)
        h->snapshot[i] = (struct kept_snapshot){found->snapshot[i].lsn, found->snapshot[i].segment};
    h->oldest_segment = found->oldest_segment;
    h->ready = h->newest_segment = found->end.segment + 1;
    h->highest_segment = found->newest_segment > h->ready ? found->newest_segment : h->ready;
    housekeeper_publish_kept(h);
    return h;
}

void housekeeper_destroy(struct housekeeper *h)
{
    if (h == NULL)
        return;
    const struct disk *disk = &h->config.disk;
    housekeeper_end_writer(h);
    for (int file = 0; file < DISK_FILES_MAX; file++)
        if (h->open_file[file])
            disk->call->close(disk->state, file);
    if (h->fill.file != NO_FILE)
        disk->call->close(disk->state, h->fill.file);
    free(h->fill.zeros);
    free(h);
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
        (void)housekeeper_folder_error(h);
    if (wanted) /* release: pairs with acquire in housekeeper_facts() */
        atomic_store_explicit(&h->look_wanted, false, memory_order_release);
}

enum housekeeper_step housekeeper_step(struct housekeeper *h)
{
    look_at_folder(h);
    housekeeper_adopt_take(h);
    if (housekeeper_close_step(h) || housekeeper_meta_step(h) || housekeeper_give_up_step(h))
        return HOUSEKEEPER_WORKED;
    enum housekeeper_step step = housekeeper_segment_step(h);
    if (step == HOUSEKEEPER_IDLE)
        step = h->adopt.phase != ADOPT_NONE ? housekeeper_adopt_step(h) : housekeeper_snapshot_step(h);
    if (step != HOUSEKEEPER_IDLE)
        return step;
    if (housekeeper_removal_step(h))
        return HOUSEKEEPER_WORKED;
    look_at_space(h);
    return HOUSEKEEPER_IDLE;
}

void housekeeper_segments(const struct housekeeper *h, uint64_t *oldest, uint64_t *newest)
{
    *oldest = housekeeper_oldest(h);
    *newest = h->newest_segment;
}

const struct meta *housekeeper_meta(const struct housekeeper *h)
{
    return &h->meta;
}

/* ---- the control lcore ---- */

void housekeeper_want_segment(struct housekeeper *h, uint64_t number)
{
    if (number > h->highest_segment)
        h->highest_segment = number;
    /* release: pairs with acquire in housekeeper_segment_step() */
    atomic_store_explicit(&h->wanted, number, memory_order_release);
}

bool housekeeper_take_segment(struct housekeeper *h, uint64_t number, int *file)
{
    if (atomic_load_explicit(&h->answered, memory_order_acquire) != number)
        return false;
    *file = atomic_load_explicit(&h->answer, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_segment_step() */
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

void housekeeper_tell_acknowledged(struct housekeeper *h, uint64_t lsn)
{
    atomic_store_explicit(&h->acknowledged_lsn, lsn, memory_order_relaxed); /* a number, and nothing else */
}

/* And stays so: nothing was asked for that would change it. */
static bool log_is_the_folders(const struct housekeeper *h)
{
    int adoption = atomic_load_explicit(&h->adoption, memory_order_acquire);

    return (adoption == ADOPTION_NONE || adoption == ADOPTION_DONE) &&
           !atomic_load_explicit(&h->give_up_wanted, memory_order_relaxed);
}

bool housekeeper_snapshot(struct housekeeper *h, const struct snapshot_facts *facts)
{
    if (atomic_load_explicit(&h->snapshot_running, memory_order_acquire) || !log_is_the_folders(h))
        return false;
    h->asked = *facts;
    atomic_store_explicit(&h->snapshot_running, true, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_snapshot_step() */
    atomic_store_explicit(&h->snapshot_wanted, true, memory_order_release);
    return true;
}

void housekeeper_look_at_folder(struct housekeeper *h)
{
    atomic_store_explicit(&h->look_wanted, true, memory_order_relaxed);
}

bool housekeeper_write_meta(struct housekeeper *h, const struct meta *meta)
{
    if (atomic_load_explicit(&h->meta_wanted, memory_order_acquire))
        return false;
    h->meta_asked = *meta;
    /* release: pairs with acquire in housekeeper_meta_step() */
    atomic_store_explicit(&h->meta_wanted, true, memory_order_release);
    return true;
}

bool housekeeper_give_up(struct housekeeper *h)
{
    if (atomic_load_explicit(&h->give_up_wanted, memory_order_acquire))
        return false;
    if (atomic_load_explicit(&h->adoption, memory_order_acquire) == ADOPTION_AWAITED)
        return true;
    atomic_store_explicit(&h->give_up_wanted, true, memory_order_release);
    return false;
}

uint64_t housekeeper_next_base(const struct housekeeper *h)
{
    return h->highest_segment + 1;
}

bool housekeeper_adopt(struct housekeeper *h, const struct adoption *adoption)
{
    bool failed = atomic_load_explicit(&h->adoption, memory_order_acquire) == ADOPTION_FAILED;

    CHECK(adoption->start.segment > 0 && adoption->start.next_lsn > 0);
    if (atomic_load_explicit(&h->give_up_wanted, memory_order_acquire) ||
        (!failed && !housekeeper_give_up(h)))
        return false;
    h->adopt_asked = *adoption;
    /* What the log that was given up had reached says nothing of the new one. */
    housekeeper_tell_durable(h, adoption->start.next_lsn - 1);
    atomic_store_explicit(&h->adoption, ADOPTION_RUNNING, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_adopt_take() */
    atomic_store_explicit(&h->adopt_wanted, true, memory_order_release);
    return true;
}

struct housekeeper_facts housekeeper_facts(const struct housekeeper *h)
{
    /* acquire: pairs with release in look_at_folder(): what that look found is seen */
    bool looking = atomic_load_explicit(&h->look_wanted, memory_order_acquire);
    bool running = atomic_load_explicit(&h->snapshot_running, memory_order_acquire);
    /* acquire: pairs with release in housekeeper_adopt.c: what came of it is seen */
    int adoption = atomic_load_explicit(&h->adoption, memory_order_acquire);
    bool writing = atomic_load_explicit(&h->meta_wanted, memory_order_acquire);
    uint64_t tail_stamp = atomic_load_explicit(&h->tail_stamp, memory_order_acquire);

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
        .metas_written = atomic_load_explicit(&h->metas_written, memory_order_relaxed),
        .metas_failed = atomic_load_explicit(&h->metas_failed, memory_order_relaxed),
        .stamp = atomic_load_explicit(&h->stamp, memory_order_relaxed),
        .meta_error = atomic_load_explicit(&h->meta_error, memory_order_relaxed),
        .adoption = (enum adoption_state)adoption,
        .adoption_error = atomic_load_explicit(&h->adoption_error, memory_order_relaxed),
        .tail_stamp = tail_stamp,
        .tail_segments = atomic_load_explicit(&h->tail_segments, memory_order_relaxed),
        .meta_pending = writing,
        .snapshot_running = running,
        .look_pending = looking,
    };
}
