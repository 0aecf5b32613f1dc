/*
 * housekeeper_snapshot.c - ordinary snapshots, one at a time.
 */
#include "housekeeper_internal.h"

#include <errno.h>
#include <string.h>

void housekeeper_end_writer(struct housekeeper *h)
{
    if (h->writer == NULL)
        return;
    if (housekeeper_folder_error(h) != 0)
        snapshot_writer_leave(h->writer);
    snapshot_writer_destroy(h->writer);
    h->writer = NULL;
}

void housekeeper_note_snapshot(struct housekeeper *h, uint64_t lsn, uint64_t segment)
{
    unsigned same = 0;

    /* Of a log that was given up there may be one of the same name: it has been replaced. */
    while (same < h->snapshot_count && h->snapshot[same].lsn != lsn)
        same++;
    if (same < h->snapshot_count)
        h->snapshot_count--;
    else if (h->snapshot_count > RECOVERY_SNAPSHOTS_MAX)
        same = h->snapshot_count =
            RECOVERY_SNAPSHOTS_MAX; /* the oldest cannot be removed: the next start's */
    else
        same = h->snapshot_count;
    memmove(&h->snapshot[same], &h->snapshot[same + 1], (h->snapshot_count - same) * sizeof h->snapshot[0]);
    memmove(&h->snapshot[1], &h->snapshot[0], h->snapshot_count * sizeof h->snapshot[0]);
    h->snapshot[0] = (struct kept_snapshot){lsn, segment};
    h->snapshot_count++;
    housekeeper_publish_kept(h);
}

void housekeeper_drop_snapshot(struct housekeeper *h)
{
    housekeeper_end_writer(h);
    atomic_store_explicit(&h->snapshot_wanted, false, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_snapshot() and housekeeper_facts() */
    atomic_store_explicit(&h->snapshot_running, false, memory_order_release);
}

static void snapshot_end(struct housekeeper *h, int error)
{
    struct snapshot_facts facts = h->writer != NULL ? snapshot_writer_facts(h->writer) : h->asked;

    housekeeper_end_writer(h);
    if (error == 0) {
        housekeeper_note_snapshot(h, facts.position.next_lsn - 1, facts.position.segment);
        atomic_fetch_add_explicit(&h->snapshots, 1, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&h->snapshots_failed, 1, memory_order_relaxed);
    }
    atomic_store_explicit(&h->snapshot_error, error, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_snapshot() and housekeeper_facts() */
    atomic_store_explicit(&h->snapshot_running, false, memory_order_release);
}

enum housekeeper_step housekeeper_snapshot_step(struct housekeeper *h)
{
    uint64_t durable = atomic_load_explicit(&h->durable_lsn, memory_order_acquire);
    uint64_t acknowledged = atomic_load_explicit(&h->acknowledged_lsn, memory_order_relaxed);
    int progress;

    if (h->writer == NULL) {
        if (!atomic_load_explicit(&h->snapshot_wanted, memory_order_acquire))
            return HOUSEKEEPER_IDLE;
        atomic_store_explicit(&h->snapshot_wanted, false, memory_order_relaxed);
        if (h->snapshot_count > 0 && h->snapshot[0].lsn == h->asked.position.next_lsn - 1 &&
            h->snapshot[0].segment >= housekeeper_base(h)) {
            /* Nothing was written since: that one is as good. */
            atomic_store_explicit(&h->snapshot_running, false, memory_order_release);
            return HOUSEKEEPER_WORKED;
        }
        h->writer = snapshot_writer_create(&h->config.disk, h->config.table, &h->asked);
        if (h->writer == NULL)
            snapshot_end(h, -ENOMEM);
        return HOUSEKEEPER_WORKED;
    }
    progress = housekeeper_folder_error(h);
    if (progress == 0)
        progress = snapshot_writer_step(h->writer, h->config.snapshot_buckets,
                                        durable < acknowledged ? durable : acknowledged);
    if (progress == SNAPSHOT_PUBLISHED || progress < 0) {
        snapshot_end(h, progress < 0 ? progress : 0);
        return HOUSEKEEPER_WORKED;
    }
    return progress == SNAPSHOT_WALKED ? HOUSEKEEPER_IDLE : HOUSEKEEPER_PAUSE;
}
