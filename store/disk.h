/*
 * disk.h - one folder of files as the log, snapshots and recovery see it: a table of functions, so that the
 * same code runs on a real folder (app/disk_folder.h) and on a simulated one that crashes at will
 * (tests/sim/sim_disk.h).
 *
 * Two faces, used by different threads at the same time:
 *   struct disk        calls that may block: recovery, the housekeeper's thread, tools. One thread at a time.
 *   struct disk_queue  writes that do not block: the control lcore alone.
 *
 * Names are plain file names of at most DISK_NAME_BYTES - 1 bytes without a slash. Files are numbers >= 0, of
 * which at most DISK_FILES_MAX are open. Unless it says otherwise a call returns >= 0, or -errno.
 *
 * What is durable: bytes after sync() or after the completion of a queued write; a file's name (created,
 * renamed or removed) after sync_folder(). Anything else may or may not survive a power cut, in sectors of
 * DISK_SECTOR_BYTES, in any order. After the death of the process alone everything written is still visible,
 * and no more durable than before: who wants to build on it calls sync().
 */
#ifndef WILD_DISK_H
#define WILD_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DISK_SECTOR_BYTES = 512, /* the least that is written whole or not at all */
    DISK_BLOCK_BYTES = 4096, /* queued writes are aligned to this: memory, offset and length */
    DISK_NAME_BYTES = 64,    /* with the terminator */
    DISK_FILES_MAX = 32,
    DISK_QUEUE_WRITES_MAX = 16, /* in flight */
};

enum disk_open {
    DISK_READ,   /* must exist */
    DISK_WRITE,  /* must exist; for reading too, and for queued writes */
    DISK_CREATE, /* must not exist (-EEXIST); otherwise as WRITE. `bytes` are allocated and read as zeros */
    DISK_RESERVE, /* the same, but the bytes are only set aside: queued writes are as fast as after CREATE once they
                     have been written */
};

struct disk_calls {
    int (*open)(void *state, const char *name, enum disk_open how, uint64_t bytes);
    void (*close)(void *state, int file);
    int64_t (*size)(void *state, int file);
    /* Bytes read: fewer than `length` only at the file's end. */
    int64_t (*read)(void *state, int file, uint64_t offset, void *out, size_t length);
    /* All bytes, or -errno with any part of them written. Extends the file where needed. */
    int (*write)(void *state, int file, uint64_t offset, const void *bytes, size_t length);
    int (*sync)(void *state, int file);
    int (*rename)(void *state, const char *from, const char *to); /* replaces `to` */
    int (*remove)(void *state, const char *name);
    int (*sync_folder)(void *state);
    /* Every file of the folder, in no order. `each` must not open, rename or remove. */
    int (*list)(void *state, void (*each)(void *context, const char *name, uint64_t bytes), void *context);
    /* Bytes that can still be allocated; UINT64_MAX if that is not known. */
    uint64_t (*space)(void *state);
    /* Whether who opens the folder by its path now finds this one, and that file in it: 0, or -ENOENT if it
     * was removed, renamed or covered by another. 0, too, where that cannot be told. */
    int (*found)(void *state, const char *name);
};

struct disk {
    void *state;
    const struct disk_calls *call;
};

struct disk_write {
    const void *bytes; /* DISK_BLOCK_BYTES-aligned, as are offset and length; stays until the completion */
    uint64_t offset, token;
    size_t length;
    int file;
};

struct disk_completion {
    uint64_t token;
    /* 0: all of it is on stable storage. -errno: any part may be; -ENOSPC: likewise, but nothing else has
     * suffered, and the same write may be tried again. */
    int result;
};

struct disk_queue_calls {
    /* False: DISK_QUEUE_WRITES_MAX are in flight. Errors come as completions. */
    bool (*submit)(void *state, const struct disk_write *write);
    /* Finished writes, in any order. Also gives the queue its time: to be called every turn. */
    unsigned (*completions)(void *state, struct disk_completion *out, unsigned room);
};

struct disk_queue {
    void *state;
    const struct disk_queue_calls *call;
};

#endif
