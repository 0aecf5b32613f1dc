/*
 * disk_folder_internal.h - a real folder's parts: disk_folder.c opens, checks and locks it, disk_files.c
 * is its blocking face, disk_uring.c and disk_thread.c are its queues.
 *
 * An open file has two descriptors: one through the page cache, for the blocking face (any offset and
 * length), and for writable files one with O_DIRECT for the queue. The kernel keeps the two coherent: a
 * direct write drops the cached pages that it covers.
 */
#ifndef WILD_DISK_FOLDER_INTERNAL_H
#define WILD_DISK_FOLDER_INTERNAL_H

#include <errno.h>

#include "disk_folder.h"

#define DISK_LOCK_NAME "lock" /* the folder's own: unknown to disk.h's users */

struct disk_file {
    int fd;       /* -1: the number is free */
    int queue_fd; /* O_DIRECT, or the same as fd; -1: opened to be read */
};

struct disk_queue_kind; /* below */

struct disk_folder {
    char *path; /* as it was given */
    int fd, lock_fd;
    int wake_fd; /* the queue's completions raise it */
    enum disk_folder_access access;
    bool direct;
    /* Entries: written by the blocking face's thread in open() and close(); read by the queue's for files
     * that were handed to it, which orders the two. */
    struct disk_file file[DISK_FILES_MAX];
    const struct disk_queue_kind *kind; /* NULL: no queue */
    void *queue;
    uint8_t *zeros; /* DISK_ZEROS_BYTES, aligned; NULL: nothing can be made here */
};

enum {
    DISK_ZEROS_BYTES = 256 * 1024,
    DISK_WAIT_MS =
        10 * 1000, /* for writes of a process that is gone; a device that is slower is in trouble */
};

struct disk_queue_kind {
    const char *name;
    int (*create)(void **out, const struct disk_folder *folder); /* 0 or -errno */
    void (*destroy)(void *queue);
    struct disk_queue_calls calls; /* their state: what create() made */
};

extern const struct disk_queue_kind disk_uring_kind, disk_thread_kind;
extern const struct disk_calls disk_files_calls; /* state: the folder */

/* Returns once no write is under way that a killed process had queued: who reads before that may see it
 * appear later. 0, -EBUSY after DISK_WAIT_MS, or another -errno; `name`: of the file. */
int disk_files_wait(struct disk_folder *folder, char name[DISK_NAME_BYTES]);

/* Descriptor that the queue writes to, or -EBADF. */
static inline int disk_folder_queue_fd(const struct disk_folder *folder, int file)
{
    return file >= 0 && file < DISK_FILES_MAX && folder->file[file].queue_fd >= 0
               ? folder->file[file].queue_fd
               : -EBADF;
}

/* What a write that ended so is told as. A quota that is used up is a full disk: it may end, too. */
static inline int disk_write_error(int error)
{
    return error == -EDQUOT ? -ENOSPC : error;
}

#endif
