#include "disk_folder.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_folder_internal.h"

/* Where the line goes that says what is wrong. */
struct complaint {
    const char *path;
    char *error;
    size_t error_bytes;
};

/* Returns `result`. */
__attribute__((format(printf, 3, 4))) static int complain(const struct complaint *complaint, int result,
                                                          const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(complaint->error, complaint->error_bytes, format, arguments);
    va_end(arguments);
    return result;
}

/* Length of the path of what it lies in; 0: it has no slash. */
static int parent_length(const char *path)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    return (int)length;
}

static int complain_errno(const struct complaint *complaint, int error)
{
    const char *path = complaint->path;

    switch (error) {
    case -ENOENT:
        if (complaint->path[0] == '\0')
            return complain(complaint, error, "the folder's path is empty: name one");
        return complain(complaint, error,
                        "%s: the folder that it is to lie in is missing: make it (mkdir -p '%.*s')", path,
                        parent_length(path), path);
    case -ENOTDIR:
        return complain(complaint, error,
                        "%s is not a folder, or lies in something that is none: name a folder", path);
    case -EROFS:
        return complain(complaint, error,
                        "%s: its filesystem is mounted read-only: mount it writable, or name another folder",
                        path);
    case -EACCES:
    case -EPERM:
        return complain(complaint, error,
                        "%s: user %u has no permission to use it: name a folder of that user's, or chown it",
                        path, (unsigned)geteuid());
    case -ENOSPC:
    case -EDQUOT:
        return complain(complaint, error, "%s: its filesystem is full: make room", path);
    default:
        return complain(complaint, error, "%s: %s", path, strerror(-error));
    }
}

/* ---- opening ---- */

static int make_folder(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

/* A node that was killed here may have left the name in memory only, so whoever made it: it is synced. A
 * parent that may not be read is somebody else's to look after. */
static int sync_parent(const struct disk_folder *folder)
{
    int fd = openat(folder->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

    if (fd < 0)
        return errno == EACCES ? 0 : -errno;
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        error = -errno;
    close(fd);
    return error;
}

static int check_owner(const struct disk_folder *folder, const struct complaint *complaint)
{
    struct stat status;

    if (fstat(folder->fd, &status) != 0)
        return complain_errno(complaint, -errno);
    if (status.st_uid != geteuid())
        return complain(complaint, -EPERM,
                        "%s belongs to user %u, this process to user %u: start it as that user,"
                        " or chown the folder with its files",
                        complaint->path, (unsigned)status.st_uid, (unsigned)geteuid());
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return complain(complaint, -EPERM, "%s can be written to by other users (mode %04o): chmod go-w '%s'",
                        complaint->path, (unsigned)(status.st_mode & 07777), complaint->path);
    return 0;
}

/* ---- the lock ---- */

/* What stands in the lock file; 0: nothing of use. */
static long read_pid(int fd)
{
    char text[16] = "";
    ssize_t length = pread(fd, text, sizeof text - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    return strtol(text, NULL, 10);
}

static int complain_locked(const struct disk_folder *folder, const struct complaint *complaint)
{
    long pid = read_pid(folder->lock_fd);

    if (pid <= 0)
        return complain(complaint, -EBUSY,
                        "%s is in use by another process: stop that one, or name another folder",
                        complaint->path);
    return complain(complaint, -EBUSY, "%s is in use by process %ld: stop that one, or name another folder",
                    complaint->path, pid);
}

/* The lock belongs to the open file, so it ends with the process, however that ends. */
static int take_lock(struct disk_folder *folder, const struct complaint *complaint)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat status;
    char text[16];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    folder->lock_fd =
        openat(folder->fd, DISK_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (folder->lock_fd < 0 && errno != ELOOP && errno != ENXIO && errno != EISDIR)
        return complain_errno(complaint, -errno);
    if (folder->lock_fd < 0 || fstat(folder->lock_fd, &status) != 0 || !S_ISREG(status.st_mode))
        return complain(complaint, -EINVAL, "%s/" DISK_LOCK_NAME " is not a plain file: remove it",
                        complaint->path);
    if (fcntl(folder->lock_fd, F_OFD_SETLK, &lock) != 0)
        return errno == EAGAIN || errno == EACCES ? complain_locked(folder, complaint)
                                                  : complain_errno(complaint, -errno);
    if (ftruncate(folder->lock_fd, 0) != 0 || pwrite(folder->lock_fd, text, (size_t)length, 0) != length)
        return complain_errno(complaint, errno != 0 ? -errno : -EIO);
    return 0;
}

long disk_folder_user(const struct disk_folder *folder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = openat(folder->fd, DISK_LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    long pid = 0;

    if (fd < 0)
        return 0;
    if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        pid = read_pid(fd);
    close(fd);
    return pid;
}

/* ---- the whole ---- */

static int wait_for_predecessor(struct disk_folder *folder, const struct complaint *complaint)
{
    char name[DISK_NAME_BYTES] = "";
    int error = disk_files_wait(folder, name);

    if (error != -EBUSY)
        return error != 0 ? complain_errno(complaint, error) : 0;
    return complain(
        complaint, error,
        "%s/%s: writes of a process that is gone are still under way: see to the device, or wait and"
        " start again",
        complaint->path, name);
}

static bool can_be_direct(const struct disk_folder *folder)
{
    int fd = openat(folder->fd, DISK_LOCK_NAME, O_RDWR | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int start_queue(struct disk_folder *folder, enum disk_folder_queue queue,
                       const struct complaint *complaint)
{
    int error;

    if (queue == DISK_QUEUE_NONE)
        return 0;
    folder->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (folder->wake_fd < 0)
        return complain_errno(complaint, -errno);
    folder->kind = queue == DISK_QUEUE_URING ? &disk_uring_kind : &disk_thread_kind;
    error = folder->kind->create(&folder->queue, folder);
    if (error == 0)
        return 0;
    complain(complaint, error, "%s cannot be had: %s", folder->kind->name, strerror(-error));
    folder->kind = NULL;
    return error;
}

static int open_own(struct disk_folder *folder, enum disk_folder_queue queue,
                    const struct complaint *complaint)
{
    int error = check_owner(folder, complaint);

    if (error == 0)
        error = take_lock(folder, complaint);
    if (error == 0)
        error = wait_for_predecessor(folder, complaint);
    if (error != 0)
        return error;
    error = sync_parent(folder);
    if (error != 0)
        return complain_errno(complaint, error);
    folder->direct = can_be_direct(folder);
    folder->zeros = aligned_alloc(DISK_BLOCK_BYTES, DISK_ZEROS_BYTES);
    if (folder->zeros == NULL)
        return complain_errno(complaint, -ENOMEM);
    memset(folder->zeros, 0, DISK_ZEROS_BYTES);
    return start_queue(folder, queue, complaint);
}

int disk_folder_open(struct disk_folder **out, const char *path, enum disk_folder_access access,
                     enum disk_folder_queue queue, char *error, size_t error_bytes)
{
    const struct complaint complaint = {.path = path, .error = error, .error_bytes = error_bytes};
    struct disk_folder *folder = malloc(sizeof *folder);
    int result = 0;

    if (folder == NULL)
        return complain_errno(&complaint, -ENOMEM);
    *folder =
        (struct disk_folder){.path = strdup(path), .fd = -1, .lock_fd = -1, .wake_fd = -1, .access = access};
    for (unsigned i = 0; i < DISK_FILES_MAX; i++)
        folder->file[i] = (struct disk_file){.fd = -1, .queue_fd = -1};
    if (folder->path == NULL)
        result = -ENOMEM;
    if (result == 0 && access == DISK_FOLDER_OWN)
        result = make_folder(path);
    if (result == 0) {
        folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        result = folder->fd < 0 ? -errno : 0;
    }
    if (result == -ENOENT && access == DISK_FOLDER_READ)
        complain(&complaint, result, "%s: there is no such folder", path);
    else if (result != 0)
        complain_errno(&complaint, result);
    else if (access == DISK_FOLDER_OWN)
        result = open_own(folder, queue, &complaint);
    if (result != 0) {
        disk_folder_close(folder);
        return result;
    }
    *out = folder;
    return 0;
}

void disk_folder_close(struct disk_folder *folder)
{
    if (folder == NULL)
        return;
    if (folder->kind != NULL)
        folder->kind->destroy(folder->queue);
    for (int i = 0; i < DISK_FILES_MAX; i++)
        if (folder->file[i].fd >= 0)
            disk_files_calls.close(folder, i);
    if (folder->wake_fd >= 0)
        close(folder->wake_fd);
    if (folder->lock_fd >= 0)
        close(folder->lock_fd);
    if (folder->fd >= 0)
        close(folder->fd);
    free(folder->zeros);
    free(folder->path);
    free(folder);
}

struct disk disk_folder_disk(struct disk_folder *folder)
{
    return (struct disk){.state = folder, .call = &disk_files_calls};
}

struct disk_queue disk_folder_queue(struct disk_folder *folder)
{
    return (struct disk_queue){.state = folder->queue,
                               .call = folder->kind != NULL ? &folder->kind->calls : NULL};
}

int disk_folder_wake_fd(const struct disk_folder *folder)
{
    return folder->wake_fd;
}

const char *disk_folder_queue_name(const struct disk_folder *folder)
{
    return folder->kind != NULL ? folder->kind->name : "none";
}

bool disk_folder_is_direct(const struct disk_folder *folder)
{
    return folder->direct;
}
