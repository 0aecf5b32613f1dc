#include "sim_disk_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_abort(const char *what)
{
    fprintf(stderr, "sim_disk: %s\n", what);
    abort();
}

void *sim_memory(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes != 0 ? bytes : 1);

    sim_must(memory != NULL, "no memory");
    return memory;
}

/* ---- pages ---- */

const uint8_t *map_sector(const struct map *map, uint64_t sector)
{
    static const uint8_t zeros[SECTOR];
    uint64_t number = sector / PAGE_SECTORS;

    if (number >= map->count || map->page[number] == NULL)
        return zeros;
    return map->page[number]->bytes + sector % PAGE_SECTORS * SECTOR;
}

static void page_drop(struct page *page)
{
    if (page != NULL && --page->refs == 0)
        free(page);
}

void map_put(struct map *map, uint64_t sector, const uint8_t *bytes)
{
    uint64_t number = sector / PAGE_SECTORS;
    struct page *page;

    if (number >= map->count) {
        uint64_t count = number + 1 > map->count * 2 ? number + 1 : map->count * 2;
        map->page = sim_memory(map->page, count * sizeof *map->page);
        memset(map->page + map->count, 0, (count - map->count) * sizeof *map->page);
        map->count = count;
    }
    page = map->page[number];
    if (page == NULL || page->refs > 1) {
        struct page *own = sim_memory(NULL, sizeof *own);
        own->refs = 1;
        if (page != NULL)
            memcpy(own->bytes, page->bytes, sizeof own->bytes);
        else
            memset(own->bytes, 0, sizeof own->bytes);
        page_drop(page);
        map->page[number] = page = own;
    }
    memcpy(page->bytes + sector % PAGE_SECTORS * SECTOR, bytes, SECTOR);
}

void map_share(struct map *to, const struct map *from)
{
    map_free(to);
    if (from->count == 0)
        return;
    to->count = from->count;
    to->page = sim_memory(NULL, to->count * sizeof *to->page);
    memcpy(to->page, from->page, to->count * sizeof *to->page);
    for (uint64_t i = 0; i < to->count; i++)
        if (to->page[i] != NULL)
            to->page[i]->refs++;
}

void map_clip(struct map *map, uint64_t size)
{
    uint8_t last[SECTOR] = {0};
    uint64_t sector = size / SECTOR, pages = (size + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;

    for (uint64_t i = pages; i < map->count; i++) {
        page_drop(map->page[i]);
        map->page[i] = NULL;
    }
    if (pages > map->count || pages == 0 || map->page[pages - 1] == NULL)
        return;
    for (; sector < pages * PAGE_SECTORS; sector++) {
        memset(last, 0, sizeof last);
        if (sector == size / SECTOR)
            memcpy(last, map_sector(map, sector), size % SECTOR);
        if (memcmp(last, map_sector(map, sector), SECTOR) != 0)
            map_put(map, sector, last);
    }
}

void map_free(struct map *map)
{
    for (uint64_t i = 0; i < map->count; i++)
        page_drop(map->page[i]);
    free(map->page);
    *map = (struct map){0};
}

/* ---- files ---- */

struct inode *inode_make(struct sim_disk *disk)
{
    struct inode *inode = sim_memory(NULL, sizeof *inode);

    *inode = (struct inode){.refs = 1, .slot = disk->inodes};
    disk->inode = sim_memory(disk->inode, (disk->inodes + 1) * sizeof *disk->inode);
    disk->inode[disk->inodes++] = inode;
    return inode;
}

void inode_drop(struct sim_disk *disk, struct inode *inode)
{
    if (inode == NULL || --inode->refs > 0)
        return;
    disk->inode[inode->slot] = disk->inode[--disk->inodes];
    disk->inode[inode->slot]->slot = inode->slot;
    map_free(&inode->visible);
    map_free(&inode->durable);
    free(inode->flat);
    free(inode);
}

void inode_take_flat(struct sim_disk *disk, struct inode *inode, const uint8_t *flat)
{
    uint8_t last[SECTOR] = {0};

    for (unsigned i = disk->operations; i-- > 0;)
        if (disk->operation[i].inode == inode && !disk->operation[i].in_flight &&
            !operation_is_of_names(&disk->operation[i]))
            operation_remove(disk, i);
    for (uint64_t sector = 0; sector * SECTOR < inode->size; sector++) {
        const uint8_t *bytes = flat + sector * SECTOR;
        if (inode->size - sector * SECTOR < SECTOR) {
            memcpy(last, bytes, inode->size - sector * SECTOR);
            bytes = last;
        }
        if (memcmp(bytes, map_sector(&inode->visible, sector), SECTOR) != 0)
            map_put(&inode->visible, sector, bytes);
    }
    map_share(&inode->durable, &inode->visible);
    inode->durable_size = inode->size;
}

/* ---- names ---- */

struct inode *names_find(const struct names *names, const char *text)
{
    for (unsigned i = 0; i < names->count; i++)
        if (strcmp(names->entry[i].text, text) == 0)
            return names->entry[i].inode;
    return NULL;
}

/* NULL: the name is no more. */
void names_put(struct sim_disk *disk, struct names *names, const char *text, struct inode *inode)
{
    unsigned i = 0;

    while (i < names->count && strcmp(names->entry[i].text, text) != 0)
        i++;
    if (inode != NULL)
        inode->refs++;
    if (i < names->count) {
        inode_drop(disk, names->entry[i].inode);
        if (inode == NULL)
            names->entry[i] = names->entry[--names->count];
        else
            names->entry[i].inode = inode;
    } else if (inode != NULL) {
        names->entry = sim_memory(names->entry, (names->count + 1) * sizeof *names->entry);
        names->entry[i] = (struct name){.inode = inode};
        memcpy(names->entry[i].text, text, strlen(text) + 1);
        names->count++;
    }
}

void names_clear(struct sim_disk *disk, struct names *names)
{
    for (unsigned i = 0; i < names->count; i++)
        inode_drop(disk, names->entry[i].inode);
    free(names->entry);
    *names = (struct names){0};
}

void names_copy(struct sim_disk *disk, struct names *to, const struct names *from)
{
    struct names old = *to;

    *to = (struct names){0};
    for (unsigned i = 0; i < from->count; i++)
        names_put(disk, to, from->entry[i].text, from->entry[i].inode);
    names_clear(disk, &old);
}

void names_apply(struct sim_disk *disk, struct names *names, const struct operation *operation)
{
    if (operation->kind != OPERATION_CREATE)
        sim_must(names_find(names, operation->from) == operation->inode,
                 "a name change without the one before it");
    if (operation->kind != OPERATION_REMOVE)
        names_put(disk, names, operation->to, operation->inode);
    if (operation->kind != OPERATION_CREATE)
        names_put(disk, names, operation->from, NULL);
}

/* ---- what is pending ---- */

struct operation *operation_add(struct sim_disk *disk, enum operation_kind kind, struct inode *inode)
{
    if (disk->operations == disk->operations_room) {
        disk->operations_room = disk->operations_room * 2 + 16;
        disk->operation = sim_memory(disk->operation, disk->operations_room * sizeof *disk->operation);
    }
    struct operation *operation = &disk->operation[disk->operations++];
    *operation = (struct operation){.kind = kind, .inode = inode};
    inode->refs++;
    return operation;
}

void operation_remove(struct sim_disk *disk, unsigned index)
{
    struct operation *operation = &disk->operation[index];
    struct inode *inode = operation->inode;

    if (operation->bytes != NULL && --operation->bytes->refs == 0)
        free(operation->bytes);
    free(operation->gone);
    disk->operations--;
    memmove(operation, operation + 1, (disk->operations - index) * sizeof *operation);
    inode_drop(disk, inode);
}

bool operation_is_of_names(const struct operation *operation)
{
    return operation->kind >= OPERATION_CREATE;
}

bool operation_pending(const struct operation *operation, uint64_t index)
{
    return operation->gone == NULL || !operation->gone[index];
}

void operation_forget(struct operation *operation, uint64_t index)
{
    if (operation->gone == NULL) {
        operation->gone = sim_memory(NULL, operation->sectors * sizeof *operation->gone);
        memset(operation->gone, 0, operation->sectors * sizeof *operation->gone);
    }
    operation->gone[index] = true;
}

void operation_put(const struct operation *operation, struct map *map, uint64_t sectors)
{
    for (uint64_t i = 0; i < sectors; i++)
        if (operation_pending(operation, i))
            map_put(map, operation->sector + i, operation->bytes->bytes + i * SECTOR);
}
