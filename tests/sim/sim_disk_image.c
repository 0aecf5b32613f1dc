#include "sim_disk_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- a copy, which shares the bytes ---- */

static void copy_operation(struct sim_disk *copy, const struct operation *from, struct inode *inode)
{
    struct operation *to = operation_add(copy, from->kind, inode);

    *to = *from;
    to->inode = inode;
    if (to->bytes != NULL)
        to->bytes->refs++;
    if (from->gone != NULL) {
        to->gone = sim_memory(NULL, from->sectors * sizeof *to->gone);
        memcpy(to->gone, from->gone, from->sectors * sizeof *to->gone);
    }
}

static struct sim_disk *copy_disk(const struct sim_disk *disk, uint64_t seed)
{
    struct sim_disk *copy = sim_disk_create(seed, disk->space);

    copy->latency_max = disk->latency_max;
    for (unsigned i = 0; i < disk->inodes; i++) { /* each into the same slot */
        const struct inode *from = disk->inode[i];
        struct inode *to = inode_make(copy);
        map_share(&to->visible, &from->visible);
        map_share(&to->durable, &from->durable);
        to->size = from->size;
        to->durable_size = from->durable_size;
    }
    for (unsigned i = 0; i < disk->visible.count; i++)
        names_put(copy, &copy->visible, disk->visible.entry[i].text,
                  copy->inode[disk->visible.entry[i].inode->slot]);
    for (unsigned i = 0; i < disk->durable.count; i++)
        names_put(copy, &copy->durable, disk->durable.entry[i].text,
                  copy->inode[disk->durable.entry[i].inode->slot]);
    for (unsigned i = 0; i < disk->operations; i++)
        copy_operation(copy, &disk->operation[i], copy->inode[disk->operation[i].inode->slot]);
    for (unsigned i = 0; i < disk->inodes; i++)
        if (disk->inode[i]->flat != NULL)
            inode_take_flat(copy, copy->inode[i], disk->inode[i]->flat);
    return copy;
}

/* The copy's makers let go: what neither a name nor a pending operation holds goes. */
static void let_go(struct sim_disk *copy)
{
    for (unsigned i = copy->inodes; i-- > 0;)
        inode_drop(copy, copy->inode[i]); /* the last takes its slot: seen already */
}

/* ---- what survives of each operation ---- */

/* The first `sectors` of them, and the size only if it survives too. */
static void survive(struct sim_disk *image, const struct operation *operation, uint64_t sectors, bool size)
{
    struct inode *inode = operation->inode;

    if (operation_is_of_names(operation)) {
        names_apply(image, &image->durable, operation);
        return;
    }
    operation_put(operation, &inode->durable, sectors);
    if (size && operation->size_after > inode->durable_size)
        inode->durable_size = operation->size_after;
}

static void keep_prefix(struct sim_disk *image, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        survive(image, &image->operation[i], image->operation[i].sectors, true);
}

static void keep_torn(struct sim_disk *image)
{
    unsigned writes = 0, last = 0;
    uint64_t pick, whole;
    struct operation *torn;

    for (unsigned i = 0; i < image->operations; i++)
        writes += image->operation[i].kind == OPERATION_WRITE;
    if (writes == 0) {
        keep_prefix(image, (unsigned)seeded_below(&image->random, image->operations + 1));
        return;
    }
    pick = seeded_below(&image->random, writes);
    while (image->operation[last].kind != OPERATION_WRITE || pick-- > 0)
        last++;
    keep_prefix(image, last);
    torn = &image->operation[last];
    whole = seeded_below(&image->random, torn->sectors);
    survive(image, torn, whole, false);
    if (torn->size_after > torn->inode->durable_size) {
        uint64_t end = (torn->sector + whole) * SECTOR;
        if (seeded_below(&image->random, 2) == 0)
            torn->inode->durable_size = torn->size_after;
        else if (whole > 0 && end > torn->inode->durable_size)
            torn->inode->durable_size = end;
    }
    if (seeded_below(&image->random, 2) == 0) {
        static const uint8_t zeros[SECTOR];
        for (uint64_t i = whole; i < torn->sectors; i++)
            if (operation_pending(torn, i))
                map_put(&torn->inode->durable, torn->sector + i, zeros);
    }
}

/* A change of a name needs those before it that had to do with one of its names. */
static bool follows_lost(const struct sim_disk *image, const bool *kept, unsigned index)
{
    const struct operation *late = &image->operation[index];
    const char *of_late[] = {late->from, late->to};

    for (unsigned i = 0; i < index; i++) {
        const struct operation *early = &image->operation[i];
        if (kept[i] || !operation_is_of_names(early))
            continue;
        for (unsigned k = 0; k < 2; k++)
            if (of_late[k][0] != '\0' &&
                (strcmp(of_late[k], early->from) == 0 || strcmp(of_late[k], early->to) == 0))
                return true;
    }
    return false;
}

static void keep_subset(struct sim_disk *image)
{
    bool *kept = sim_memory(NULL, image->operations * sizeof *kept);

    for (unsigned i = 0; i < image->operations; i++) {
        struct operation *operation = &image->operation[i];
        uint64_t fate = seeded_below(&image->random, 4);
        kept[i] = fate != 0;
        if (operation_is_of_names(operation)) {
            kept[i] = seeded_below(&image->random, 2) == 0 && !follows_lost(image, kept, i);
            if (kept[i])
                survive(image, operation, 0, true);
            continue;
        }
        if (fate == 0) /* nothing of it; 1: all of it */
            continue;
        uint64_t lost_of_16 = fate == 1 ? 0 : 1 + seeded_below(&image->random, 15);
        for (uint64_t k = 0; lost_of_16 != 0 && k < operation->sectors; k++)
            if (seeded_below(&image->random, 16) < lost_of_16)
                operation_forget(operation, k);
        survive(image, operation, operation->sectors, fate == 1 || seeded_below(&image->random, 2) == 0);
    }
    free(kept);
}

/* ---- crashes ---- */

/* The process is gone, its queued writes happened or not; the rest lives on in the kernel's cache. */
static void kill_process(struct sim_disk *image)
{
    for (unsigned i = image->operations; i-- > 0;) {
        struct operation *write = &image->operation[i];
        uint64_t fate = seeded_below(&image->random, 3), whole = write->sectors;
        if (!write->in_flight)
            continue;
        if (fate == 0 || write->result == -ENOSPC) {
            operation_remove(image, i);
            continue;
        }
        if (fate == 1)
            whole = 1 + seeded_below(&image->random, write->sectors);
        write->in_flight = false;
        write->sectors = whole;
        if (write->size_after > (write->sector + whole) * SECTOR)
            write->size_after = (write->sector + whole) * SECTOR;
        operation_put(write, &write->inode->visible, whole);
        if (write->size_after > write->inode->size)
            write->inode->size = write->size_after;
    }
}

static void cut_power(struct sim_disk *image, enum sim_crash crash)
{
    if (crash == SIM_CRASH_PREFIX)
        keep_prefix(image, (unsigned)seeded_below(&image->random, image->operations + 1));
    else if (crash == SIM_CRASH_SUBSET)
        keep_subset(image);
    else if (crash == SIM_CRASH_TORN)
        keep_torn(image);
    while (image->operations > 0)
        operation_remove(image, image->operations - 1);
    names_copy(image, &image->visible, &image->durable);
    for (unsigned i = 0; i < image->inodes; i++) {
        struct inode *inode = image->inode[i];
        map_clip(&inode->durable, inode->durable_size);
        map_share(&inode->visible, &inode->durable);
        inode->size = inode->durable_size;
    }
}

struct sim_disk *sim_disk_image(const struct sim_disk *disk, enum sim_crash crash, uint64_t seed)
{
    struct sim_disk *image = copy_disk(disk, seed);

    if (crash == SIM_CRASH_KILL)
        kill_process(image);
    else
        cut_power(image, crash);
    let_go(image);
    return image;
}
