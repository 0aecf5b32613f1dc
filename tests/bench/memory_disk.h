/*
 * memory_disk.h - a folder in memory as disk.h, for benchmarks that mean everything but the disk: what is
 * written is there to be read, and stays written. A queued write is complete a fixed time after it was
 * submitted, by a clock that the benchmark passes. One thread at a time. Ends the process when memory is
 * short.
 */
#ifndef WILD_BENCH_MEMORY_DISK_H
#define WILD_BENCH_MEMORY_DISK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

enum { MEMORY_DISK_FILES = 64 };

/* It lives while it has a name or is open. */
struct memory_file {
    char name[DISK_NAME_BYTES];
    uint8_t *bytes; /* NULL: free */
    uint64_t size, room;
    unsigned opened;
};

struct memory_disk {
    const uint64_t *clock_ns;
    uint64_t write_ns; /* a queued write takes so long */
    struct memory_file file[MEMORY_DISK_FILES];
    struct memory_file *open[DISK_FILES_MAX];
    struct {
        struct disk_completion done;
        uint64_t due_ns;
    } write[DISK_QUEUE_WRITES_MAX];
    unsigned writes;
};

/* ---- files ---- */

static inline struct memory_file *memory_disk_find(struct memory_disk *disk, const char *name)
{
    for (unsigned i = 0; i < MEMORY_DISK_FILES; i++)
        if (disk->file[i].bytes != NULL && strcmp(disk->file[i].name, name) == 0)
            return &disk->file[i];
    return NULL;
}

static inline void memory_disk_grow(struct memory_file *file, uint64_t size)
{
    if (size > file->room) {
        uint64_t room = size > 2 * file->room ? size : 2 * file->room;
        uint8_t *bytes = calloc(1, room); /* of a segment only what is written is ever touched */

        if (bytes == NULL) {
            fprintf(stderr, "memory_disk: no memory\n");
            exit(1);
        }
        if (file->size > 0)
            memcpy(bytes, file->bytes, file->size);
        free(file->bytes);
        file->bytes = bytes;
        file->room = room;
    }
    if (size > file->size)
        file->size = size;
}

static inline void memory_disk_drop(struct memory_file *file)
{
    if (file->opened > 0 || file->name[0] != '\0')
        return;
    free(file->bytes);
    *file = (struct memory_file){0};
}

static inline int memory_disk_open(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    struct memory_disk *disk = state;
    struct memory_file *file = memory_disk_find(disk, name);
    bool creates = how == DISK_CREATE || how == DISK_RESERVE;
    unsigned i = 0;

    if (creates == (file != NULL))
        return creates ? -EEXIST : -ENOENT;
    for (unsigned j = 0; file == NULL && j < MEMORY_DISK_FILES; j++)
        if (disk->file[j].bytes == NULL)
            file = &disk->file[j];
    while (i < DISK_FILES_MAX && disk->open[i] != NULL)
        i++;
    if (file == NULL || i == DISK_FILES_MAX)
        return -EMFILE;
    if (creates) {
        snprintf(file->name, sizeof file->name, "%s", name);
        memory_disk_grow(file, bytes > 0 ? bytes : 1);
        file->size = bytes;
    }
    file->opened++;
    disk->open[i] = file;
    return (int)i;
}

static inline void memory_disk_close(void *state, int file)
{
    struct memory_disk *disk = state;

    disk->open[file]->opened--;
    memory_disk_drop(disk->open[file]);
    disk->open[file] = NULL;
}

static inline int64_t memory_disk_size(void *state, int file)
{
    return (int64_t)((struct memory_disk *)state)->open[file]->size;
}

static inline int64_t memory_disk_read(void *state, int file, uint64_t offset, void *out, size_t length)
{
    const struct memory_file *from = ((struct memory_disk *)state)->open[file];

    if (offset >= from->size)
        return 0;
    if (length > from->size - offset)
        length = from->size - offset;
    memcpy(out, from->bytes + offset, length);
    return (int64_t)length;
}

static inline int memory_disk_write(void *state, int file, uint64_t offset, const void *bytes, size_t length)
{
    struct memory_file *to = ((struct memory_disk *)state)->open[file];

    memory_disk_grow(to, offset + length);
    memcpy(to->bytes + offset, bytes, length);
    return 0;
}

static inline int memory_disk_sync(void *state, int file)
{
    (void)state;
    (void)file;
    return 0;
}

/* ---- names ---- */

static inline int memory_disk_remove(void *state, const char *name)
{
    struct memory_file *file = memory_disk_find(state, name);

    if (file == NULL)
        return -ENOENT;
    file->name[0] = '\0';
    memory_disk_drop(file);
    return 0;
}

static inline int memory_disk_rename(void *state, const char *from, const char *to)
{
    struct memory_file *file = memory_disk_find(state, from);

    if (file == NULL)
        return -ENOENT;
    if (strcmp(from, to) != 0)
        memory_disk_remove(state, to);
    snprintf(file->name, sizeof file->name, "%s", to);
    return 0;
}

static inline int memory_disk_sync_folder(void *state)
{
    (void)state;
    return 0;
}

static inline int memory_disk_list(void *state, void (*each)(void *context, const char *name, uint64_t bytes),
                                   void *context)
{
    const struct memory_disk *disk = state;

    for (unsigned i = 0; i < MEMORY_DISK_FILES; i++)
        if (disk->file[i].name[0] != '\0')
            each(context, disk->file[i].name, disk->file[i].size);
    return 0;
}

static inline uint64_t memory_disk_space(void *state)
{
    (void)state;
    return UINT64_MAX;
}

static inline int memory_disk_found(void *state, const char *name)
{
    (void)state;
    (void)name;
    return 0;
}

/* ---- the queue ---- */

static inline bool memory_disk_submit(void *state, const struct disk_write *write)
{
    struct memory_disk *disk = state;

    if (disk->writes == DISK_QUEUE_WRITES_MAX)
        return false;
    memory_disk_write(disk, write->file, write->offset, write->bytes, write->length);
    disk->write[disk->writes].done = (struct disk_completion){.token = write->token};
    disk->write[disk->writes++].due_ns = *disk->clock_ns + disk->write_ns;
    return true;
}

static inline unsigned memory_disk_completions(void *state, struct disk_completion *out, unsigned room)
{
    struct memory_disk *disk = state;
    unsigned given = 0;

    while (given < room && given < disk->writes && disk->write[given].due_ns <= *disk->clock_ns) {
        out[given] = disk->write[given].done;
        given++;
    }
    disk->writes -= given;
    memmove(disk->write, disk->write + given, disk->writes * sizeof disk->write[0]);
    return given;
}

static inline struct disk memory_disk_disk(struct memory_disk *disk)
{
    static const struct disk_calls calls = {
        .open = memory_disk_open,
        .close = memory_disk_close,
        .size = memory_disk_size,
        .read = memory_disk_read,
        .write = memory_disk_write,
        .sync = memory_disk_sync,
        .rename = memory_disk_rename,
        .remove = memory_disk_remove,
        .sync_folder = memory_disk_sync_folder,
        .list = memory_disk_list,
        .space = memory_disk_space,
        .found = memory_disk_found,
    };
    return (struct disk){disk, &calls};
}

static inline struct disk_queue memory_disk_queue(struct memory_disk *disk)
{
    static const struct disk_queue_calls calls = {memory_disk_submit, memory_disk_completions};
    return (struct disk_queue){disk, &calls};
}

static inline void memory_disk_free(struct memory_disk *disk)
{
    for (unsigned i = 0; i < MEMORY_DISK_FILES; i++)
        free(disk->file[i].bytes);
}

#endif
