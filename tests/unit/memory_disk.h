/*
 * memory_disk.h - a folder in memory as disk.h, for tests that arrange by hand its bytes, its faults and the
 * order in which queued writes complete. It forgets nothing and never crashes: that is tests/sim/sim_disk.h.
 */
#ifndef WILD_TESTS_MEMORY_DISK_H
#define WILD_TESTS_MEMORY_DISK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

enum { MEMORY_FILES = 24, MEMORY_CALLS = 64 };

struct memory_file {
    char name[DISK_NAME_BYTES]; /* "": free */
    uint8_t *bytes;
    uint64_t size;
    bool dirty;
};

struct memory_disk {
    struct memory_file file[MEMORY_FILES];
    struct disk_write queued[DISK_QUEUE_WRITES_MAX]; /* not completed yet, in the order submitted */
    unsigned queued_count, queue_room; /* queue_room: below DISK_QUEUE_WRITES_MAX if a test says so */
    struct disk_completion completed[DISK_QUEUE_WRITES_MAX];
    unsigned completed_count;
    int open_files;
    /* Faults: the call with that letter fails with that errno once `fail_after` of them have succeeded. */
    char fail_call;
    unsigned fail_after;
    int fail_error;
    char calls[MEMORY_CALLS]; /* letters of the calls so far that change something, and of sync */
};

/* Open Size Read Write sYnc reName rEmove Folder List */
static inline int memory_fault(struct memory_disk *disk, char call)
{
    size_t length = strlen(disk->calls);
    if (strchr("WYNEF", call) != NULL && length + 1 < MEMORY_CALLS)
        disk->calls[length] = call;
    if (call != disk->fail_call)
        return 0;
    if (disk->fail_after > 0) {
        disk->fail_after--;
        return 0;
    }
    return disk->fail_error;
}

static inline int memory_find(const struct memory_disk *disk, const char *name)
{
    for (int i = 0; i < MEMORY_FILES; i++)
        if (strcmp(disk->file[i].name, name) == 0)
            return i;
    return -ENOENT;
}

/* A file of that size, zeros; an old one of the name is replaced. */
static inline int memory_make(struct memory_disk *disk, const char *name, uint64_t size)
{
    int file = memory_find(disk, name);
    if (file < 0)
        file = memory_find(disk, "");
    if (file < 0)
        return -EMFILE;
    struct memory_file *made = &disk->file[file];
    free(made->bytes);
    *made = (struct memory_file){.bytes = calloc(1, size > 0 ? size : 1), .size = size};
    if (made->bytes == NULL)
        abort();
    snprintf(made->name, sizeof made->name, "%s", name);
    return file;
}

static inline void memory_resize(struct memory_file *file, uint64_t size)
{
    uint8_t *bytes = calloc(1, size > 0 ? size : 1);
    if (bytes == NULL)
        abort();
    memcpy(bytes, file->bytes, size < file->size ? size : file->size);
    free(file->bytes);
    file->bytes = bytes;
    file->size = size;
}

static inline int memory_open(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'O'), file = memory_find(disk, name);
    if (error != 0)
        return error;
    if (how == DISK_CREATE || how == DISK_RESERVE)
        file = file >= 0 ? -EEXIST : memory_make(disk, name, bytes);
    if (file >= 0)
        disk->open_files++;
    return file;
}

static inline void memory_close(void *state, int file)
{
    (void)file;
    ((struct memory_disk *)state)->open_files--;
}

static inline int64_t memory_size(void *state, int file)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'S');
    return error != 0 ? error : (int64_t)disk->file[file].size;
}

static inline int64_t memory_read(void *state, int file, uint64_t offset, void *out, size_t length)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'R');
    uint64_t size = disk->file[file].size;
    if (error != 0)
        return error;
    if (offset >= size)
        return 0;
    if (length > size - offset)
        length = size - offset;
    memcpy(out, disk->file[file].bytes + offset, length);
    return (int64_t)length;
}

static inline int memory_write(void *state, int file, uint64_t offset, const void *bytes, size_t length)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'W');
    if (error != 0)
        return error;
    if (offset + length > disk->file[file].size)
        memory_resize(&disk->file[file], offset + length);
    memcpy(disk->file[file].bytes + offset, bytes, length);
    disk->file[file].dirty = true;
    return 0;
}

static inline int memory_sync(void *state, int file)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'Y');
    if (error == 0)
        disk->file[file].dirty = false;
    return error;
}

static inline int memory_remove(void *state, const char *name)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'E'), file = memory_find(disk, name);
    if (error != 0 || file < 0)
        return error != 0 ? error : file;
    free(disk->file[file].bytes);
    disk->file[file] = (struct memory_file){0};
    return 0;
}

static inline int memory_rename(void *state, const char *from, const char *to)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'N'), file = memory_find(disk, from), old = memory_find(disk, to);
    if (error != 0 || file < 0)
        return error != 0 ? error : file;
    if (old >= 0) {
        free(disk->file[old].bytes);
        disk->file[old] = (struct memory_file){0};
    }
    snprintf(disk->file[file].name, DISK_NAME_BYTES, "%s", to);
    return 0;
}

static inline int memory_sync_folder(void *state)
{
    return memory_fault(state, 'F');
}

static inline int memory_list(void *state, void (*each)(void *context, const char *name, uint64_t bytes),
                              void *context)
{
    struct memory_disk *disk = state;
    int error = memory_fault(disk, 'L');
    for (int i = MEMORY_FILES; error == 0 && i-- > 0;)
        if (disk->file[i].name[0] != '\0')
            each(context, disk->file[i].name, disk->file[i].size);
    return error;
}

static inline uint64_t memory_space(void *state)
{
    (void)state;
    return UINT64_MAX;
}

static inline int memory_found(void *state, const char *name)
{
    int file = memory_find(state, name);
    return file < 0 ? file : 0;
}

static inline struct disk memory_disk(struct memory_disk *disk)
{
    static const struct disk_calls calls = {
        .open = memory_open,
        .close = memory_close,
        .size = memory_size,
        .read = memory_read,
        .write = memory_write,
        .sync = memory_sync,
        .rename = memory_rename,
        .remove = memory_remove,
        .sync_folder = memory_sync_folder,
        .list = memory_list,
        .space = memory_space,
        .found = memory_found,
    };
    return (struct disk){.state = disk, .call = &calls};
}

static inline void memory_disk_free(struct memory_disk *disk)
{
    for (int i = 0; i < MEMORY_FILES; i++)
        free(disk->file[i].bytes);
    memset(disk, 0, sizeof *disk);
}

/* ---- the queue: writes wait until the test completes them ---- */

static inline bool memory_submit(void *state, const struct disk_write *write)
{
    struct memory_disk *disk = state;
    unsigned room = disk->queue_room > 0 ? disk->queue_room : DISK_QUEUE_WRITES_MAX;
    if (disk->queued_count + disk->completed_count >= room)
        return false;
    disk->queued[disk->queued_count++] = *write;
    return true;
}

static inline unsigned memory_completions(void *state, struct disk_completion *out, unsigned room)
{
    struct memory_disk *disk = state;
    unsigned count = disk->completed_count < room ? disk->completed_count : room;
    memcpy(out, disk->completed, count * sizeof *out);
    memmove(disk->completed, disk->completed + count, (disk->completed_count - count) * sizeof *out);
    disk->completed_count -= count;
    return count;
}

/* The n-th of those that wait, counted from the oldest: written (result 0) or not, and told. */
static inline void memory_complete(struct memory_disk *disk, unsigned n, int result)
{
    struct disk_write write = disk->queued[n];
    struct memory_file *file = &disk->file[write.file];
    memmove(disk->queued + n, disk->queued + n + 1, (disk->queued_count - n - 1) * sizeof write);
    disk->queued_count--;
    if (result == 0) {
        if (write.offset + write.length > file->size)
            memory_resize(file, write.offset + write.length);
        memcpy(file->bytes + write.offset, write.bytes, write.length);
    }
    disk->completed[disk->completed_count++] = (struct disk_completion){write.token, result};
}

static inline struct disk_queue memory_queue(struct memory_disk *disk)
{
    static const struct disk_queue_calls calls = {.submit = memory_submit, .completions = memory_completions};
    return (struct disk_queue){.state = disk, .call = &calls};
}

#endif
