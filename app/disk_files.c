/*
 * disk_files.c - the blocking face of a real folder. Files are opened relative to the folder's descriptor
 * and never through a symbolic link.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "check.h"
#include "disk_folder_internal.h"

static int check_name(const char *name)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strcmp(name, DISK_LOCK_NAME) == 0)
        return -EINVAL;
    return strlen(name) < DISK_NAME_BYTES ? 0 : -ENAMETOOLONG;
}

/* As check_name(), of a call that changes something. */
static int check_change(const struct disk_folder *folder, const char *name)
{
    return folder->access == DISK_FOLDER_READ ? -EROFS : check_name(name);
}

/* ---- opening ---- */

/* Nothing but plain files is opened; O_NONBLOCK, so that a pipe of that name does not keep us waiting, and
 * gone afterwards, because io_uring would take it for "never wait" in writes. */
static int open_plain(const struct disk_folder *folder, const char *name, int flags)
{
    struct stat status;
    int fd = openat(folder->fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600), error = 0;

    if (fd < 0)
        return errno == ELOOP || errno == ENXIO || errno == EISDIR ? -EINVAL : -errno;
    if (fstat(fd, &status) != 0 || fcntl(fd, F_SETFL, flags & O_DIRECT) != 0)
        error = -errno;
    else if (!S_ISREG(status.st_mode))
        error = -EINVAL;
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

static int write_all(int fd, const void *bytes, size_t length, uint64_t offset)
{
    for (size_t done = 0; done < length;) {
        ssize_t written = pwrite(fd, (const uint8_t *)bytes + done, length - done, (off_t)(offset + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? disk_write_error(-errno) : -EIO;
        done += (size_t)written;
    }
    return 0;
}

static bool makes(enum disk_open how)
{
    return how == DISK_CREATE || how == DISK_RESERVE;
}

/* 1: done; 0: not possible here, zeros allocate, too; -errno. */
static int reserve(const struct disk_file *file, uint64_t bytes)
{
    while (fallocate(file->fd, 0, 0, (off_t)bytes) != 0)
        if (errno != EINTR)
            return errno == EOPNOTSUPP ? 0 : disk_write_error(-errno);
    return 1;
}

/*
 * Allocated, and written once with zeros: a write into space that is only reserved must also record that
 * it is no longer empty, which makes every synced write wait for the filesystem's journal (measured on
 * ext4: 1.6 times as long). In pieces, so that the log's own writes come through in between.
 */
static int allocate(const struct disk_folder *folder, const struct disk_file *file, enum disk_open how,
                    uint64_t bytes)
{
    uint64_t aligned = bytes / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES, offset = 0;
    int error = bytes == 0 ? 1 : reserve(file, bytes);

    if (bytes == 0 || error < 0 || (how == DISK_RESERVE && error == 1))
        return error < 0 ? error : 0;
    error = 0;
    for (; offset < aligned && error == 0; offset += DISK_ZEROS_BYTES) {
        uint64_t part = aligned - offset < DISK_ZEROS_BYTES ? aligned - offset : DISK_ZEROS_BYTES;
        error = write_all(file->queue_fd, folder->zeros, part, offset);
    }
    return error != 0 ? error : write_all(file->fd, folder->zeros, bytes - aligned, aligned);
}

/*
 * Until its last write has ended, an open file is marked: writes that were queued live on for a moment
 * when their process is killed, and the kernel lets go of the mark only after them. No process hinders
 * itself by it.
 */
static int mark_in_use(int fd)
{
    struct flock mark = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &mark) == 0 ? 0 : -errno;
}

static int open_file(struct disk_folder *folder, struct disk_file *file, const char *name, enum disk_open how)
{
    file->fd = open_plain(folder, name,
                          makes(how)          ? O_RDWR | O_CREAT | O_EXCL
                          : how == DISK_WRITE ? O_RDWR
                                              : O_RDONLY);
    if (file->fd < 0)
        return file->fd;
    if (how == DISK_READ)
        return 0;
    file->queue_fd = folder->direct ? open_plain(folder, name, O_RDWR | O_DIRECT) : file->fd;
    return file->queue_fd < 0 ? file->queue_fd : mark_in_use(file->queue_fd);
}

static void close_file(struct disk_file *file)
{
    if (file->queue_fd >= 0 && file->queue_fd != file->fd)
        close(file->queue_fd);
    if (file->fd >= 0)
        close(file->fd);
    *file = (struct disk_file){.fd = -1, .queue_fd = -1};
}

static int files_open(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    struct disk_folder *folder = state;
    int error = how == DISK_READ ? check_name(name) : check_change(folder, name), number = 0;
    struct disk_file file = {.fd = -1, .queue_fd = -1};

    if (error != 0)
        return error;
    while (number < DISK_FILES_MAX && folder->file[number].fd >= 0)
        number++;
    if (number == DISK_FILES_MAX)
        return -EMFILE;
    error = open_file(folder, &file, name, how);
    if (error == 0 && makes(how))
        error = allocate(folder, &file, how, bytes);
    if (error != 0) {
        if (makes(how) && file.fd >= 0)
            unlinkat(folder->fd, name, 0);
        close_file(&file);
        return error;
    }
    folder->file[number] = file;
    return number;
}

static struct disk_file *opened(struct disk_folder *folder, int file)
{
    CHECK(file >= 0 && file < DISK_FILES_MAX && folder->file[file].fd >= 0);
    return &folder->file[file];
}

static void files_close(void *state, int file)
{
    close_file(opened(state, file));
}

/* ---- bytes ---- */

static int64_t files_size(void *state, int file)
{
    struct stat status;

    return fstat(opened(state, file)->fd, &status) == 0 ? (int64_t)status.st_size : -errno;
}

static int64_t files_read(void *state, int file, uint64_t offset, void *out, size_t length)
{
    int fd = opened(state, file)->fd;
    size_t done = 0;

    while (done < length) {
        ssize_t got = pread(fd, (uint8_t *)out + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int files_write(void *state, int file, uint64_t offset, const void *bytes, size_t length)
{
    const struct disk_file *to = opened(state, file);
    bool whole_blocks = ((uintptr_t)bytes | offset | length) % DISK_BLOCK_BYTES == 0;

    if (to->queue_fd < 0)
        return -EBADF;
    /* Whole blocks go past the kernel's memory: they neither fill it nor leave it in one burst at sync(). */
    return write_all(whole_blocks ? to->queue_fd : to->fd, bytes, length, offset);
}

static int files_sync(void *state, int file)
{
    return fdatasync(opened(state, file)->fd) == 0 ? 0 : disk_write_error(-errno);
}

/* ---- names ---- */

static int files_rename(void *state, const char *from, const char *to)
{
    struct disk_folder *folder = state;
    int error = check_change(folder, from);

    if (error == 0)
        error = check_change(folder, to);
    if (error == 0 && renameat(folder->fd, from, folder->fd, to) != 0)
        error = -errno;
    return error;
}

static int files_remove(void *state, const char *name)
{
    struct disk_folder *folder = state;
    int error = check_change(folder, name);

    return error != 0 ? error : unlinkat(folder->fd, name, 0) == 0 ? 0 : -errno;
}

static int files_sync_folder(void *state)
{
    const struct disk_folder *folder = state;

    return fsync(folder->fd) == 0 ? 0 : disk_write_error(-errno);
}

/* What is no plain file, or has a name that cannot be ours, is not seen. */
static int files_list(void *state, void (*each)(void *context, const char *name, uint64_t bytes),
                      void *context)
{
    struct disk_folder *folder = state;
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat status;

    if (entries == NULL) {
        error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    while (errno = 0, (entry = readdir(entries)) != NULL) {
        if (check_name(entry->d_name) != 0)
            continue;
        if (fstatat(folder->fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT)
                continue;
            break;
        }
        if (S_ISREG(status.st_mode))
            each(context, entry->d_name, (uint64_t)status.st_size);
    }
    error = -errno;
    closedir(entries);
    return error;
}

/* ---- what a process that is gone has left under way ---- */

struct wait {
    struct disk_folder *folder;
    char *name; /* of the file that was waited for in vain */
    int error;
};

static void wait_for_file(void *context, const char *name, uint64_t bytes)
{
    struct wait *wait = context;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = wait->error == 0 ? open_plain(wait->folder, name, O_RDWR) : -1;

    (void)bytes;
    if (fd < 0) /* nor could another process of this user */
        return;
    for (unsigned ms = 0; fcntl(fd, F_OFD_SETLK, &lock) != 0; ms++) {
        if ((errno == EAGAIN || errno == EACCES) && ms < DISK_WAIT_MS) {
            usleep(1000);
            continue;
        }
        wait->error = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
        snprintf(wait->name, DISK_NAME_BYTES, "%.*s", DISK_NAME_BYTES - 1, name);
        break;
    }
    close(fd);
}

int disk_files_wait(struct disk_folder *folder, char name[DISK_NAME_BYTES])
{
    struct wait wait = {.folder = folder, .name = name};
    int error = files_list(folder, wait_for_file, &wait);

    return wait.error != 0 ? wait.error : error;
}

static uint64_t files_space(void *state)
{
    const struct disk_folder *folder = state;
    struct statvfs status;

    return fstatvfs(folder->fd, &status) == 0 ? (uint64_t)status.f_bavail * status.f_frsize : UINT64_MAX;
}

static int files_found(void *state, const char *name)
{
    const struct disk_folder *folder = state;
    struct stat ours, there;

    if (fstat(folder->fd, &ours) != 0)
        return 0;
    if (stat(folder->path, &there) != 0)
        return errno == ENOENT || errno == ENOTDIR ? -ENOENT : 0;
    if (there.st_dev != ours.st_dev || there.st_ino != ours.st_ino)
        return -ENOENT;
    return fstatat(folder->fd, name, &there, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT ? -ENOENT : 0;
}

const struct disk_calls disk_files_calls = {
    .open = files_open,
    .close = files_close,
    .size = files_size,
    .read = files_read,
    .write = files_write,
    .sync = files_sync,
    .rename = files_rename,
    .remove = files_remove,
    .sync_folder = files_sync_folder,
    .list = files_list,
    .space = files_space,
    .found = files_found,
};
