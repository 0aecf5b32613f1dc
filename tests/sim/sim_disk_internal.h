/*
 * sim_disk_internal.h - what a simulated folder is made of, shared by its three files: sim_disk_file.c
 * (bytes, names, what is pending), sim_disk.c (calls, queue, faults) and sim_disk_image.c (crashes).
 *
 * Bytes live in pages that files and images share until one of them writes (copy on write), so that an image
 * costs pointers, not bytes. A file has two maps of pages: what is visible and what is durable. What lies
 * between them are the pending operations, oldest first.
 */
#ifndef WILD_SIM_DISK_INTERNAL_H
#define WILD_SIM_DISK_INTERNAL_H

#include "../unit/seeded.h"
#include "sim_disk.h"

enum { SECTOR = DISK_SECTOR_BYTES, PAGE_SECTORS = DISK_BLOCK_BYTES / DISK_SECTOR_BYTES };

struct page {
    unsigned refs;
    uint8_t bytes[DISK_BLOCK_BYTES];
};

/* Pages by number; NULL and beyond `count`: zeros. Bytes behind the file's size are zeros too. */
struct map {
    struct page **page;
    uint64_t count;
};

struct inode {
    unsigned refs; /* names, visible and durable, open files, pending operations */
    unsigned slot; /* in sim_disk.inode */
    struct map visible, durable;
    uint64_t size, durable_size;
    uint8_t *flat; /* handed out by sim_disk_bytes(), not taken back yet */
};

struct name {
    char text[DISK_NAME_BYTES];
    struct inode *inode;
};

struct names {
    struct name *entry;
    unsigned count;
};

enum operation_kind {
    OPERATION_WRITE,
    OPERATION_SIZE, /* of a created file: its allocation */
    OPERATION_CREATE,
    OPERATION_RENAME,
    OPERATION_REMOVE,
};

struct shared_bytes {
    unsigned refs;
    uint8_t bytes[];
};

struct operation {
    enum operation_kind kind;
    struct inode *inode;
    char from[DISK_NAME_BYTES], to[DISK_NAME_BYTES]; /* CREATE: to; REMOVE: from */
    uint64_t sector, sectors;   /* WRITE: whole ones, as the file's cache would write them back */
    uint64_t size_after;        /* WRITE, SIZE: of the file, if this made it grow; else 0 */
    struct shared_bytes *bytes; /* WRITE */
    bool *gone;                 /* WRITE: sectors that are pending no more; NULL: all are pending */
    /* Of a queued write that is in flight (token_used): */
    const void *caller_bytes;
    uint64_t token;
    unsigned turns_left;
    int result; /* what it will complete with */
    bool in_flight;
};

struct open_file {
    struct inode *inode; /* NULL: the number is free */
    bool writable;
};

struct fault {
    unsigned n; /* 1: the next one; 0: none */
    int error;
    bool sticky;
};

struct sim_disk {
    uint64_t random, space, boundaries, crash_at;
    bool crashed;
    unsigned latency_max, in_flight;
    struct inode **inode;
    unsigned inodes;
    struct names visible, durable;
    struct open_file file[DISK_FILES_MAX];
    struct operation *operation; /* oldest first */
    unsigned operations, operations_room;
    struct fault write_fault, sync_fault;
};

/* ---- sim_disk_file.c ---- */

_Noreturn void sim_abort(const char *what);

static inline void sim_must(bool condition, const char *what)
{
    if (!condition)
        sim_abort(what);
}

void *sim_memory(void *old, size_t bytes); /* realloc that ends the program without memory */

const uint8_t *map_sector(const struct map *map, uint64_t sector);
void map_put(struct map *map, uint64_t sector, const uint8_t *bytes);
void map_share(struct map *to, const struct map *from);
void map_clip(struct map *map, uint64_t size); /* zeros behind it */
void map_free(struct map *map);

struct inode *inode_make(struct sim_disk *disk);
void inode_drop(struct sim_disk *disk, struct inode *inode);
/* Bytes that were handed out are the file's again, visible and durable, and nothing of it is pending. */
void inode_take_flat(struct sim_disk *disk, struct inode *inode, const uint8_t *flat);

struct inode *names_find(const struct names *names, const char *text);
void names_put(struct sim_disk *disk, struct names *names, const char *text, struct inode *inode);
void names_copy(struct sim_disk *disk, struct names *to, const struct names *from);
void names_clear(struct sim_disk *disk, struct names *names);
void names_apply(struct sim_disk *disk, struct names *names, const struct operation *operation);

/* The new last one, a reference to the inode taken. Valid until the next. */
struct operation *operation_add(struct sim_disk *disk, enum operation_kind kind, struct inode *inode);
void operation_remove(struct sim_disk *disk, unsigned index);
bool operation_is_of_names(const struct operation *operation);
bool operation_pending(const struct operation *operation, uint64_t index);
void operation_forget(struct operation *operation, uint64_t index); /* that sector is pending no more */
/* Its pending sectors [0, sectors) into the map. */
void operation_put(const struct operation *operation, struct map *map, uint64_t sectors);

#endif
