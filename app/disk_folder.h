/*
 * disk_folder.h - a real folder as disk.h, with O_DIRECT: the queue is a thread that calls pwrite and fdatasync,
 * or io_uring. Both take as long where the disk is what they wait for; but synced writes to a file go through
 * the kernel's own worker threads under io_uring, and where cores are scarce those were seen to stand still for
 * up to a second (docs/durability.md). So the thread is what is used unless io_uring is asked for.
 *
 * DISK_CREATE allocates and writes zeros once, which takes its time (64 MiB: about 0.1 s): writes that are
 * waited for are faster into space that was written before. The file `lock` is the folder's own: it is not
 * listed, and cannot be opened by that name.
 *
 * The folder is made if it is not there (0700, its parent must be), must belong to the process's user and
 * must not be writable by others, and is locked: a second process is refused, and told the first one's pid.
 * Opening waits for writes that a killed process left under way, so that what is read then stays so.
 */
#ifndef WILD_DISK_FOLDER_H
#define WILD_DISK_FOLDER_H

#include "disk.h"

struct disk_folder; /* opaque */

enum disk_folder_queue {
    DISK_QUEUE_THREAD,
    DISK_QUEUE_URING,
    DISK_QUEUE_NONE, /* tools: only the blocking face */
};
enum disk_folder_access {
    DISK_FOLDER_OWN,
    DISK_FOLDER_READ, /* nothing is made, locked or changed (-EROFS); whoever owns it; no queue */
};

/* 0 and *out, or -errno with one line in `error` that says what to do. -EBUSY: another process has it. */
int disk_folder_open(struct disk_folder **out, const char *path, enum disk_folder_access access,
                     enum disk_folder_queue queue, char *error, size_t error_bytes);
/* Waits for writes in flight (which only the queue's thread can: nothing may be, if it is another that
 * closes), closes all files, unlocks. NULL is fine. */
void disk_folder_close(struct disk_folder *folder);

/* The process that has the folder, when it was opened to be read; 0: none has, or it cannot be told. */
long disk_folder_user(const struct disk_folder *folder);

struct disk disk_folder_disk(struct disk_folder *folder);
/* The control lcore's: the first call of completions() or submit() fixes the thread. */
struct disk_queue disk_folder_queue(struct disk_folder *folder);
/*
 * An eventfd that rises with every write that ends: who has nothing else to do sleeps on it, reads it, and then asks for
 * completions(). Others may raise it, too. -1 without a queue. The folder's to close.
 */
int disk_folder_wake_fd(const struct disk_folder *folder);
/* For the start-up line: "io_uring", "thread", or "none", and whether O_DIRECT is in use; some filesystems
 * refuse it, and queued writes go through the page cache then, and are synced. */
const char *disk_folder_queue_name(const struct disk_folder *folder);
bool disk_folder_is_direct(const struct disk_folder *folder);

#endif
