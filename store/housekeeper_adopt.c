/*
 * housekeeper_adopt.c - the folder's meta, and its switch from one log to another (housekeeper_internal.h has the steps).
 *
 * Until meta is replaced the folder is what it was, and what the new log and its snapshot have left in it is known for what
 * it is: blocks of another stamp, in segments above the end of the log, and a snapshot without a name. From then on it is
 * the new log's: its snapshot is whole, durable under the name snapshot.tmp, the log durable to that one's end; what is
 * still to be done is done by this thread, or by the next start (recovery_adopted.c).
 */
#include "housekeeper_internal.h"

#include <errno.h>
#include <string.h>

enum { RETRY_STEPS = 256 };

/* ---- meta ---- */

/* What was promised is promised for good, whatever control knows of it. */
static void carry_seal(struct meta *to, const struct meta *from)
{
    if (to->sealed_epoch >= from->sealed_epoch)
        return;
    to->sealed_epoch = from->sealed_epoch;
    to->sealed_node = from->sealed_node;
}

static int write_meta(struct housekeeper *h, struct meta *meta)
{
    int failed = housekeeper_folder_error(h);

    carry_seal(meta, &h->meta);
    if (failed == 0)
        failed = meta_write(meta, &h->config.disk);
    if (failed == 0) {
        h->meta = *meta;
        atomic_store_explicit(&h->stamp, meta->stamp, memory_order_relaxed);
    }
    return failed;
}

/* Where its log begins is not control's to say. */
static int take_meta(struct housekeeper *h)
{
    struct meta *asked = &h->meta_asked;

    if (asked->stamp == h->meta.stamp) {
        asked->base_segment = h->meta.base_segment;
        asked->adopted_lsn = h->meta.adopted_lsn;
        return write_meta(h, asked);
    }
    if (h->adopt.base == 0 || asked->stamp != h->adopt.stamp)
        return -ESTALE;
    asked->base_segment = h->adopt.order.meta.base_segment;
    asked->adopted_lsn = h->adopt.order.meta.adopted_lsn;
    h->adopt.order.meta = *asked;
    return 0;
}

bool housekeeper_meta_step(struct housekeeper *h)
{
    if (!atomic_load_explicit(&h->meta_wanted, memory_order_acquire))
        return false;
    int failed = take_meta(h);
    atomic_fetch_add_explicit(failed == 0 ? &h->metas_written : &h->metas_failed, 1, memory_order_relaxed);
    atomic_store_explicit(&h->meta_error, failed, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_write_meta() and housekeeper_facts() */
    atomic_store_explicit(&h->meta_wanted, false, memory_order_release);
    return true;
}

/* ---- begin and end ---- */

void housekeeper_adopt_take(struct housekeeper *h)
{
    if (!atomic_load_explicit(&h->adopt_wanted, memory_order_acquire))
        return;
    atomic_store_explicit(&h->adopt_wanted, false, memory_order_relaxed);
    struct adoption *order = &h->adopt.order;
    *order = h->adopt_asked;
    order->meta.base_segment = order->start.segment;
    order->meta.adopted_lsn = order->start.next_lsn - 1;
    /* Asked again of the same log, what lies below is that log's: it goes with the old one's. */
    if (h->adopt.stamp != order->meta.stamp) {
        if (h->adopt.discard == 0)
            h->adopt.discard = h->adopt.base;
        h->adopt.base = order->start.segment;
        h->adopt.stamp = order->meta.stamp;
    }
    h->adopt.rest = 0;
    h->adopt.phase = ADOPT_DISCARD;
}

static void end(struct housekeeper *h, enum adoption_state state, int error)
{
    h->adopt.phase = ADOPT_NONE;
    atomic_store_explicit(&h->adoption_error, error, memory_order_relaxed);
    /* release: pairs with acquire in housekeeper_facts(), housekeeper_give_up(), housekeeper_adopt() */
    atomic_store_explicit(&h->adoption, state, memory_order_release);
}

static void fail(struct housekeeper *h, int error)
{
    housekeeper_end_writer(h);
    end(h, ADOPTION_FAILED, error);
}

bool housekeeper_give_up_step(struct housekeeper *h)
{
    if (!atomic_load_explicit(&h->give_up_wanted, memory_order_acquire) || h->adopt.phase >= ADOPT_SWITCH)
        return false;
    housekeeper_drop_snapshot(h);
    end(h, ADOPTION_AWAITED, 0);
    /* release: pairs with acquire in housekeeper_give_up(): the state is seen */
    atomic_store_explicit(&h->give_up_wanted, false, memory_order_release);
    return true;
}

/* ---- the steps ---- */

/* Their room may be what the new ones lack. One that cannot be removed is the next start's. */
static enum housekeeper_step discard(struct housekeeper *h)
{
    uint64_t *segment = &h->adopt.discard;

    if (*segment == 0 || *segment >= h->adopt.order.start.segment) {
        h->adopt.phase = h->adopt.order.meta.adopted_lsn != 0 ? ADOPT_WALK : ADOPT_WAIT;
        *segment = 0;
        return HOUSEKEEPER_WORKED;
    }
    int failed = housekeeper_remove_segment(h, (*segment)++);
    atomic_store_explicit(&h->removal_error, failed < 0 ? failed : 0, memory_order_relaxed);
    return HOUSEKEEPER_WORKED;
}

static enum housekeeper_step walk(struct housekeeper *h)
{
    const struct adoption *order = &h->adopt.order;
    struct snapshot_facts facts = {.position = order->start, .wall_ms = order->wall_ms};

    if (h->writer == NULL) {
        memcpy(facts.cluster_id, order->meta.cluster_id, sizeof facts.cluster_id);
        h->writer = snapshot_writer_create(&h->config.disk, h->config.table, &facts);
        if (h->writer == NULL)
            fail(h, -ENOMEM);
        return HOUSEKEEPER_WORKED;
    }
    /* Nothing is durable as far as it is told: it is not to be published before the switch. */
    int progress = snapshot_writer_step(h->writer, h->config.snapshot_buckets, 0);
    if (progress < 0) {
        fail(h, progress);
        return HOUSEKEEPER_WORKED;
    }
    if (progress == SNAPSHOT_WALKED) {
        h->adopt.end_lsn = snapshot_writer_facts(h->writer).end_lsn;
        h->adopt.phase = ADOPT_WAIT;
    }
    return HOUSEKEEPER_PAUSE;
}

/* For the log to be durable to the snapshot's end, in a segment that is there; and for the last tail's marker to be gone. */
static enum housekeeper_step wait(struct housekeeper *h)
{
    uint64_t durable = atomic_load_explicit(&h->durable_lsn, memory_order_acquire);
    bool walked = h->writer != NULL;

    if ((walked && durable < h->adopt.end_lsn) || h->newest_segment < h->adopt.order.start.segment ||
        h->tail.first != 0)
        return HOUSEKEEPER_IDLE;
    h->adopt.phase = ADOPT_MARK;
    return HOUSEKEEPER_WORKED;
}

static int mark_tail(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;
    const struct adoption *order = &h->adopt.order;
    struct kept_tail tail = {0};
    int failed = kept_tail_unmark(disk);

    if (failed == 0 && order->keep_tail)
        failed = kept_tail_mark(&tail, disk, &h->meta, housekeeper_oldest(h), order->start.segment,
                                order->common_lsn);
    if (failed >= 0) /* snapshot.tmp's name, too */
        failed = disk->call->sync_folder(disk->state);
    if (failed < 0) {
        (void)kept_tail_unmark(disk);
        return failed;
    }
    h->adopt.tail = tail;
    return 0;
}

static enum housekeeper_step mark(struct housekeeper *h)
{
    int failed = mark_tail(h);

    if (failed < 0) {
        fail(h, failed);
        return HOUSEKEEPER_WORKED;
    }
    if (h->writer != NULL) {
        snapshot_writer_leave(h->writer);
        housekeeper_end_writer(h);
    }
    h->adopt.phase = ADOPT_SWITCH;
    return HOUSEKEEPER_WORKED;
}

/* Where there is no way back it is tried until it is done. */
static enum housekeeper_step again(struct housekeeper *h, int error)
{
    atomic_store_explicit(&h->adoption_error, error, memory_order_relaxed);
    h->adopt.rest = RETRY_STEPS;
    return HOUSEKEEPER_WORKED;
}

static enum housekeeper_step switch_log(struct housekeeper *h)
{
    int failed = write_meta(h, &h->adopt.order.meta);

    if (failed < 0)
        return again(h, failed);
    h->tail = h->adopt.tail;
    h->adopt.base = h->adopt.stamp = 0;
    h->adopt.phase = ADOPT_PUBLISH;
    return HOUSEKEEPER_WORKED;
}

static enum housekeeper_step publish(struct housekeeper *h)
{
    const struct disk *disk = &h->config.disk;
    const struct wal_position *start = &h->adopt.order.start;
    uint64_t lsn = h->adopt.order.meta.adopted_lsn;
    char name[DISK_NAME_BYTES];
    int failed = 0;

    meta_snapshot_name(name, lsn);
    if (lsn != 0)
        failed = disk->call->rename(disk->state, SNAPSHOT_TEMPORARY, name);
    if (failed == -ENOENT) /* the last try got so far */
        failed = disk->call->found(disk->state, name);
    if (failed >= 0)
        failed = disk->call->sync_folder(disk->state);
    if (failed < 0)
        return again(h, failed);
    if (lsn != 0)
        housekeeper_note_snapshot(h, lsn, start->segment);
    housekeeper_publish_kept(h);
    end(h, ADOPTION_DONE, 0);
    return HOUSEKEEPER_WORKED;
}

enum housekeeper_step housekeeper_adopt_step(struct housekeeper *h)
{
    static enum housekeeper_step (*const steps[])(struct housekeeper *) = {
        [ADOPT_DISCARD] = discard, [ADOPT_WALK] = walk,         [ADOPT_WAIT] = wait,
        [ADOPT_MARK] = mark,       [ADOPT_SWITCH] = switch_log, [ADOPT_PUBLISH] = publish};
    int gone = housekeeper_folder_error(h);

    if (gone != 0) {
        fail(h, gone);
        return HOUSEKEEPER_WORKED;
    }
    if (h->adopt.rest > 0) {
        h->adopt.rest--;
        return HOUSEKEEPER_IDLE;
    }
    return steps[h->adopt.phase](h);
}
