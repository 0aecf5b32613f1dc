/*
 * test_disk_folder.c - a real folder: both queues, the blocking face, the lock, and every refusal. What
 * only root can try (other users, filesystems that are full, read-only or without O_DIRECT, in a mount
 * namespace) is skipped with a line otherwise.
 */
#include "disk_folder.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = DISK_BLOCK_BYTES, WRITES = DISK_QUEUE_WRITES_MAX, NOBODY = 65534, ERROR_BYTES = 256 };

static char base[64], path[96]; /* of this run; of the folder in it that most tests use */
static bool mounts;             /* root, in a mount namespace of its own */
static _Alignas(BLOCK) uint8_t bytes[WRITES * 2 * BLOCK];
static struct disk_folder *folder;
static struct disk disk;
static struct disk_queue queue;
static char error[ERROR_BYTES];

/* ---- faults ---- */

static struct {
    bool short_writes; /* about half is written, at least a block */
    int sync_error, uring_error;
    unsigned syncs;
} fault;

static size_t cut(size_t length)
{
    return fault.short_writes && length > BLOCK ? (length / 2 + BLOCK - 1) / BLOCK * BLOCK : length;
}

ssize_t __real_pwrite64(int fd, const void *from, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t length, off_t offset)
{
    return __real_pwrite64(fd, from, cut(length), offset);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    fault.syncs++;
    if (fault.sync_error == 0)
        return __real_fdatasync(fd);
    errno = fault.sync_error;
    return -1;
}

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *entry = &ring->sq.sqes[i & *ring->sq.kring_mask];
        entry->len = (unsigned)cut(entry->len);
        if (fault.sync_error != 0)
            entry->fd = -1;
    }
    return __real_io_uring_submit(ring);
}

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    return fault.uring_error != 0 ? -fault.uring_error
                                  : __real_io_uring_queue_init_params(entries, ring, params);
}

/* ---- opening ---- */

static int open_folder(const char *at, enum disk_folder_access access, enum disk_folder_queue kind)
{
    struct disk_folder *opened = NULL;
    int result = disk_folder_open(&opened, at, access, kind, error, sizeof error);

    if (result != 0) {
        CU_ASSERT(error[0] != '\0' && strchr(error, '\n') == NULL && strlen(error) < sizeof error - 1);
        return result;
    }
    folder = opened;
    disk = disk_folder_disk(folder);
    queue = disk_folder_queue(folder);
    return 0;
}

static void own(enum disk_folder_queue kind)
{
    CU_ASSERT_EQUAL_FATAL(open_folder(path, DISK_FOLDER_OWN, kind), 0);
}

static void empty_folder(void *context, const char *name, uint64_t size)
{
    char file[256];

    (void)size;
    snprintf(file, sizeof file, "%s/%s", (const char *)context, name);
    CU_ASSERT_EQUAL(unlink(file), 0);
}

/* Closes it and removes it with its plain files. */
static void close_folder(const char *at)
{
    char lock[128];

    CU_ASSERT_EQUAL(disk.call->list(disk.state, empty_folder, (void *)(uintptr_t)at), 0);
    disk_folder_close(folder);
    folder = NULL;
    snprintf(lock, sizeof lock, "%s/lock", at);
    CU_ASSERT_EQUAL(unlink(lock), 0);
    CU_ASSERT_EQUAL(rmdir(at), 0);
}

/* The test with each queue that this kernel has. */
static void with_each_queue(void (*test)(void))
{
    static const enum disk_folder_queue kinds[] = {DISK_QUEUE_URING, DISK_QUEUE_THREAD};

    memset(&fault, 0, sizeof fault);
    for (unsigned i = 0; i < 2; i++) {
        if (open_folder(path, DISK_FOLDER_OWN, kinds[i]) != 0) {
            CU_ASSERT_EQUAL(kinds[i], DISK_QUEUE_URING);
            printf("skipped with io_uring (%s) ", error);
            continue;
        }
        CU_ASSERT_STRING_EQUAL(disk_folder_queue_name(folder), i == 0 ? "io_uring" : "thread");
        test();
        close_folder(path);
    }
}

/* ---- writing ---- */

static int created(const char *name, uint64_t size)
{
    int file = disk.call->open(disk.state, name, DISK_CREATE, size);

    CU_ASSERT_FATAL(file >= 0);
    return file;
}

static bool submit(int file, uint64_t token, unsigned blocks)
{
    struct disk_write write = {.bytes = bytes + token * 2 * BLOCK,
                               .offset = token * 2 * BLOCK,
                               .token = token,
                               .length = blocks * BLOCK,
                               .file = file};

    return queue.call->submit(queue.state, &write);
}

/* Waits for that many; returns how many of them ended with `result`. */
static unsigned complete(unsigned count, int result)
{
    struct disk_completion got[3];
    unsigned as_wanted = 0, n;

    for (unsigned turns = 0; count > 0; turns++) {
        n = queue.call->completions(queue.state, got, 3);
        CU_ASSERT_FATAL(n <= count && n <= 3 && turns < 1000000);
        for (unsigned i = 0; i < n; i++)
            as_wanted += got[i].result == result;
        count -= n;
        if (n == 0)
            usleep(10);
    }
    return as_wanted;
}

static void check_content(int file, size_t length)
{
    static uint8_t read[sizeof bytes];

    memset(read, 0xEE, sizeof read);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 0, read, length), (int64_t)length);
    CU_ASSERT_EQUAL(memcmp(read, bytes, length), 0);
}

static void fill_bytes(uint64_t seed)
{
    uint64_t state = seeded_start(seed);

    seeded_fill(&state, bytes, sizeof bytes);
}

static void write_and_read(void)
{
    int file = created("a", sizeof bytes);
    uint8_t byte = 1;

    CU_ASSERT(disk.call->read(disk.state, file, sizeof bytes - 1, &byte, 1) == 1 && byte == 0);
    for (unsigned round = 0; round < 3; round++) {
        fill_bytes(round);
        for (unsigned i = 0; i < WRITES; i++)
            CU_ASSERT(submit(file, i, 2));
        CU_ASSERT_FALSE(submit(file, 0, 1));
        CU_ASSERT_EQUAL(complete(WRITES, 0), WRITES);
        check_content(file, sizeof bytes); /* also right after the same pages were read */
    }
    CU_ASSERT_EQUAL(queue.call->completions(queue.state, &(struct disk_completion){0}, 1), 0);
}

static void queued_writes_are_there_once_completed(void)
{
    with_each_queue(write_and_read);
}

static void sleep_on_a_write(void)
{
    struct pollfd wake = {.fd = disk_folder_wake_fd(folder), .events = POLLIN};
    int file = created("a", sizeof bytes);
    eventfd_t count;

    CU_ASSERT_EQUAL(poll(&wake, 1, 0), 0);
    for (unsigned round = 0; round < 3; round++) {
        CU_ASSERT(submit(file, round, 2));
        CU_ASSERT_EQUAL(poll(&wake, 1, 10 * 1000), 1);
        CU_ASSERT_EQUAL(eventfd_read(wake.fd, &count), 0);
        CU_ASSERT_EQUAL(complete(1, 0), 1);
    }
}

static void a_write_that_ends_wakes_who_sleeps_on_it(void)
{
    with_each_queue(sleep_on_a_write);
}

static void write_cut_short(void)
{
    int file = created("a", 0); /* which they extend, too */

    fault.short_writes = true;
    fill_bytes(7);
    for (unsigned i = 0; i < WRITES; i++)
        CU_ASSERT(submit(file, i, 2));
    CU_ASSERT_EQUAL(complete(WRITES, 0), WRITES);
    check_content(file, sizeof bytes);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, file), sizeof bytes);
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, 5, bytes + 5, sizeof bytes - 5), 0);
    fault.short_writes = false;
}

static void short_writes_go_on_where_they_ended(void)
{
    with_each_queue(write_cut_short);
}

static void write_in_vain(void)
{
    struct rlimit before, limit;
    int file = created("a", sizeof bytes), readable;
    bool uring = strcmp(disk_folder_queue_name(folder), "io_uring") == 0;

    fault.sync_error = EIO;
    CU_ASSERT(submit(file, 0, 1) && submit(file, 1, 1));
    CU_ASSERT_EQUAL(complete(2, uring ? -EBADF : -EIO), 2);
    if (!uring)
        CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), -EIO);
    fault.sync_error = 0;
    CU_ASSERT(submit(file, 0, 1));
    CU_ASSERT_EQUAL(complete(1, 0), 1);

    /* what was opened to be read, and what was not opened */
    readable = disk.call->open(disk.state, "a", DISK_READ, 0);
    CU_ASSERT(submit(readable, 0, 1) && submit(DISK_FILES_MAX - 1, 1, 1) && submit(-1, 2, 1));
    CU_ASSERT_EQUAL(complete(3, -EBADF), 3);
    CU_ASSERT_EQUAL(disk.call->write(disk.state, readable, 0, bytes, 1), -EBADF);

    /* the kernel's own refusal */
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = sizeof bytes, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CU_ASSERT(queue.call->submit(
        queue.state,
        &(struct disk_write){.bytes = bytes, .offset = sizeof bytes, .length = BLOCK, .file = file}));
    CU_ASSERT_EQUAL(complete(1, -EFBIG), 1);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static void errors_are_told_as_they_are(void)
{
    signal(SIGXFSZ, SIG_IGN);
    with_each_queue(write_in_vain);
}

static void one_sync_of_the_thread_serves_the_writes_that_wait(void)
{
    memset(&fault, 0, sizeof fault);
    own(DISK_QUEUE_THREAD);
    int a = created("a", sizeof bytes), b = created("b", sizeof bytes);
    unsigned before = fault.syncs;
    for (unsigned i = 0; i < WRITES; i++)
        CU_ASSERT(submit(i % 2 == 0 ? a : b, i, 1));
    CU_ASSERT_EQUAL(complete(WRITES, 0), WRITES);
    CU_ASSERT(fault.syncs - before >= 2 && fault.syncs - before <= WRITES);
    close_folder(path);
}

static void closing_waits_for_writes_in_flight(void)
{
    static const enum disk_folder_queue kinds[] = {DISK_QUEUE_URING, DISK_QUEUE_THREAD};

    memset(&fault, 0, sizeof fault);
    for (unsigned i = 0; i < 2; i++) {
        if (open_folder(path, DISK_FOLDER_OWN, kinds[i]) != 0)
            continue;
        int file = created("a", sizeof bytes);
        fill_bytes(i);
        for (unsigned k = 0; k < WRITES; k++)
            CU_ASSERT(submit(file, k, 2));
        disk_folder_close(folder);
        own(DISK_QUEUE_NONE);
        check_content(disk.call->open(disk.state, "a", DISK_READ, 0), sizeof bytes);
        close_folder(path);
    }
}

static void where_io_uring_is_forbidden_the_thread_still_is_there(void)
{
    fault.uring_error = EPERM;
    CU_ASSERT_EQUAL(open_folder(path, DISK_FOLDER_OWN, DISK_QUEUE_URING), -EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "io_uring"));
    disk_folder_close(NULL);
    own(DISK_QUEUE_THREAD);
    CU_ASSERT_STRING_EQUAL(disk_folder_queue_name(folder), "thread");
    close_folder(path);
    fault.uring_error = 0;
    own(DISK_QUEUE_NONE);
    CU_ASSERT_STRING_EQUAL(disk_folder_queue_name(folder), "none");
    CU_ASSERT_PTR_NULL(queue.call);
    close_folder(path);
}

/* ---- the blocking face ---- */

static void files_are_made_read_written_renamed_and_removed(void)
{
    uint8_t out[64];

    own(DISK_QUEUE_NONE);
    int file = created("a", 3 * BLOCK + 100);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, file), 3 * BLOCK + 100);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_CREATE, 1), -EEXIST);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_WRITE, 0), -ENOENT);
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, 3 * BLOCK + 98, "hello", 5), 0);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 3 * BLOCK + 97, out, sizeof out), 6);
    CU_ASSERT_EQUAL(memcmp(out, "\0hello", 6), 0);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 4 * BLOCK, out, sizeof out), 0);
    disk.call->close(disk.state, created("b", 0));
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "b"), 0);
    CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), 0);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), -ENOENT);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "c"), -ENOENT);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, disk.call->open(disk.state, "b", DISK_WRITE, 0)),
                    3 * BLOCK + 103);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "b"), 0);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "b"), -ENOENT);
    CU_ASSERT(disk.call->space(disk.state) > 0);
    close_folder(path);
}

static void count_files(void *context, const char *name, uint64_t size)
{
    CU_ASSERT(strcmp(name, "plain") == 0 && size == 10);
    ++*(unsigned *)context;
}

static void only_plain_files_with_proper_names_are_seen(void)
{
    static const char *const refused[] = {"", ".", "..", "a/b", "lock", "/"};
    char name[DISK_NAME_BYTES + 1] = "";
    unsigned files = 0;

    own(DISK_QUEUE_NONE);
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        CU_ASSERT_EQUAL(disk.call->open(disk.state, refused[i], DISK_READ, 0), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->open(disk.state, refused[i], DISK_CREATE, 0), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->rename(disk.state, refused[i], "x"), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->rename(disk.state, "x", refused[i]), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->remove(disk.state, refused[i]), -EINVAL);
    }
    memset(name, 'x', DISK_NAME_BYTES);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, name, DISK_CREATE, 0), -ENAMETOOLONG);
    disk.call->close(disk.state, created("plain", 10));
    CU_ASSERT_EQUAL(chdir(path), 0);
    CU_ASSERT(symlink("plain", "link") == 0 && mkfifo("pipe", 0600) == 0 && mkdir("folder", 0700) == 0);
    CU_ASSERT_EQUAL(disk.call->list(disk.state, count_files, &files), 0);
    CU_ASSERT_EQUAL(files, 1);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "link", DISK_READ, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "pipe", DISK_READ, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "pipe", DISK_WRITE, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "folder", DISK_READ, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "link", DISK_CREATE, 0), -EEXIST);
    CU_ASSERT(unlink("link") == 0 && unlink("pipe") == 0 && rmdir("folder") == 0 && chdir("/") == 0);
    close_folder(path);
}

static void files_are_open_up_to_the_limit(void)
{
    int file[DISK_FILES_MAX];

    own(DISK_QUEUE_NONE);
    disk.call->close(disk.state, created("a", 1));
    for (unsigned i = 0; i < DISK_FILES_MAX; i++)
        CU_ASSERT((file[i] = disk.call->open(disk.state, "a", DISK_WRITE, 0)) >= 0);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), -EMFILE);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_CREATE, 0), -EMFILE);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    disk.call->close(disk.state, file[3]);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), file[3]);
    close_folder(path);
}

static void a_tool_may_read_beside_the_owner_and_changes_nothing(void)
{
    struct disk_folder *owner;

    own(DISK_QUEUE_NONE);
    disk.call->close(disk.state, created("a", 10));
    owner = folder;
    CU_ASSERT_EQUAL_FATAL(open_folder(path, DISK_FOLDER_READ, DISK_QUEUE_NONE), 0);
    int file = disk.call->open(disk.state, "a", DISK_READ, 0);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, file), 10);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_WRITE, 0), -EROFS);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_CREATE, 0), -EROFS);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "b"), -EROFS);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "a"), -EROFS);
    disk_folder_close(folder);
    folder = owner;
    disk = disk_folder_disk(owner);
    close_folder(path);
    CU_ASSERT_EQUAL(open_folder(path, DISK_FOLDER_READ, DISK_QUEUE_NONE), -ENOENT);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

/* ---- refusals ---- */

/* Opens it as that user in a process of its own: the result, and `error`. */
static int open_as(unsigned user, const char *at)
{
    struct answer {
        int result;
        char error[ERROR_BYTES];
    } *answer = mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int result;
    pid_t child = fork();

    if (child == 0) {
        struct disk_folder *opened;
        if (setgid(user) != 0 || setuid(user) != 0)
            _exit(1);
        answer->result = disk_folder_open(&opened, at, DISK_FOLDER_OWN, DISK_QUEUE_NONE, answer->error,
                                          sizeof answer->error);
        _exit(0);
    }
    CU_ASSERT(child > 0 && waitpid(child, &result, 0) == child && result == 0);
    result = answer->result;
    memcpy(error, answer->error, sizeof error);
    munmap(answer, sizeof *answer);
    return result;
}

static void check_refused(const char *at, int wanted, const char *says)
{
    int result = open_folder(at, DISK_FOLDER_OWN, DISK_QUEUE_NONE);

    CU_ASSERT_EQUAL(result, wanted);
    if (strstr(error, says) == NULL)
        printf("\n    got: %s\n", error);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, says));
}

static void a_second_process_is_refused_and_told_the_first_ones_pid(void)
{
    int ready[2];
    char pid[32], byte;
    pid_t child;

    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        if (open_folder(path, DISK_FOLDER_OWN, DISK_QUEUE_THREAD) == 0 && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    snprintf(pid, sizeof pid, "process %ld:", (long)child);
    check_refused(path, -EBUSY, pid);
    CU_ASSERT(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    own(DISK_QUEUE_NONE); /* what a killed process held is free */
    check_refused(path, -EBUSY, "is in use by process");
    close_folder(path);
    close(ready[0]);
    close(ready[1]);
}

/* The mark of a write that lives on, held by a process that has the file open but not the folder's lock. */
static void writes_that_a_killed_process_left_under_way_are_waited_for(void)
{
    struct flock mark = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char file[128], byte;
    int ready[2], fd, status;
    pid_t child;

    own(DISK_QUEUE_NONE);
    int written = created("a", BLOCK);
    snprintf(file, sizeof file, "%s/a", path);
    fd = open(file, O_RDWR | O_CLOEXEC);
    CU_ASSERT(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}) != 0);
    disk.call->close(disk.state, written);
    CU_ASSERT_EQUAL(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}), 0);
    close(fd);
    disk_folder_close(folder);
    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        fd = open(file, O_RDWR);
        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &mark) != 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        usleep(100 * 1000);
        _exit(pwrite(fd, "late", 4, 0) == 4 ? 0 : 1);
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    own(DISK_QUEUE_NONE);
    int again = disk.call->open(disk.state, "a", DISK_READ, 0);
    CU_ASSERT(disk.call->read(disk.state, again, 0, &byte, 1) == 1 && byte == 'l');
    CU_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    close_folder(path);
    close(ready[0]);
    close(ready[1]);
}

static void what_cannot_be_its_folder_is_refused_with_what_to_do(void)
{
    char at[128], lock[140];

    check_refused("", -ENOENT, "name one");
    snprintf(at, sizeof at, "%s/missing/folder/", base);
    snprintf(lock, sizeof lock, "mkdir -p '%s/missing'", base);
    check_refused(at, -ENOENT, lock);

    snprintf(at, sizeof at, "%s/file", base);
    close(open(at, O_CREAT | O_WRONLY, 0600));
    check_refused(at, -ENOTDIR, "not a folder");
    snprintf(lock, sizeof lock, "%s/below", at);
    check_refused(lock, -ENOTDIR, "not a folder");
    CU_ASSERT_EQUAL(unlink(at), 0);

    CU_ASSERT(mkdir(path, 0700) == 0 && chmod(path, 0720) == 0);
    check_refused(path, -EPERM, "chmod go-w");
    CU_ASSERT_EQUAL(chmod(path, 0702), 0);
    check_refused(path, -EPERM, "(mode 0702)");
    CU_ASSERT_EQUAL(chmod(path, 0755), 0);
    snprintf(lock, sizeof lock, "%s/lock", path);
    CU_ASSERT_EQUAL(symlink("/etc/passwd", lock), 0);
    check_refused(path, -EINVAL, "not a plain file: remove it");
    CU_ASSERT(unlink(lock) == 0 && mkdir(lock, 0700) == 0);
    check_refused(path, -EINVAL, "not a plain file: remove it");
    CU_ASSERT(rmdir(lock) == 0 && mkfifo(lock, 0600) == 0);
    check_refused(path, -EINVAL, "not a plain file: remove it");
    CU_ASSERT_EQUAL(unlink(lock), 0);
    own(DISK_QUEUE_NONE);
    close_folder(path);
}

static void another_users_folder_is_refused(void)
{
    char at[128];

    if (geteuid() != 0) {
        printf("skipped: not root ");
        return;
    }
    CU_ASSERT(mkdir(path, 0755) == 0 && chmod(base, 0755) == 0);
    CU_ASSERT_EQUAL(open_as(NOBODY, path), -EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "belongs to user 0, this process to user 65534"));
    snprintf(at, sizeof at, "%s/new", path);
    CU_ASSERT_EQUAL(open_as(NOBODY, at), -EACCES);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "user 65534 has no permission"));
    CU_ASSERT_EQUAL(chown(path, NOBODY, NOBODY), 0);
    check_refused(path, -EPERM, "belongs to user 65534, this process to user 0");
    CU_ASSERT_EQUAL(open_as(NOBODY, path), 0);
    CU_ASSERT_EQUAL(chmod(path, 0500), 0);
    snprintf(at, sizeof at, "%s/lock", path);
    CU_ASSERT_EQUAL(unlink(at), 0);
    CU_ASSERT_EQUAL(open_as(NOBODY, path), -EACCES);
    CU_ASSERT_EQUAL(open_folder(path, DISK_FOLDER_READ, DISK_QUEUE_NONE), 0);
    disk_folder_close(folder);
    CU_ASSERT_EQUAL(rmdir(path), 0);
}

/* ---- other filesystems ---- */

/* A place to mount on, and `path` in it. False: cannot be tried here. */
static bool mounted(const char *type, unsigned long flags, const char *options)
{
    if (!mounts) {
        printf("skipped: no mounting here ");
        return false;
    }
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT_EQUAL_FATAL(mount("none", path, type, flags, options), 0);
    return true;
}

static void unmounted(void)
{
    CU_ASSERT_EQUAL(umount(path), 0);
    CU_ASSERT_EQUAL(rmdir(path), 0);
}

static void a_read_only_filesystem_is_refused(void)
{
    char at[128];

    if (!mounted("tmpfs", MS_RDONLY, "mode=0700"))
        return;
    check_refused(path, -EROFS, "mounted read-only");
    snprintf(at, sizeof at, "%s/new", path);
    check_refused(at, -EROFS, "mounted read-only");
    unmounted();
}

static void fill_a_disk(void)
{
    uint64_t space;
    int file, filler;

    file = created("a", BLOCK);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_CREATE, 2 << 20), -ENOSPC);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_READ, 0), -ENOENT);
    space = disk.call->space(disk.state);
    CU_ASSERT(space > 0 && space < 1 << 20);
    filler = created("filler", space);
    disk.call->close(disk.state, filler);
    CU_ASSERT(disk.call->space(disk.state) < BLOCK);
    fill_bytes(3);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT(submit(file, 1, 2));
        CU_ASSERT_EQUAL(complete(1, -ENOSPC), 1);
    }
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, 4 * BLOCK, bytes, BLOCK), -ENOSPC);
    CU_ASSERT(submit(file, 0, 1)); /* into what it has */
    CU_ASSERT_EQUAL(complete(1, 0), 1);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "filler"), 0);
    CU_ASSERT(submit(file, 1, 2));
    CU_ASSERT(submit(file, 0, 2));
    CU_ASSERT_EQUAL(complete(2, 0), 2);
    check_content(file, 4 * BLOCK);
}

static void a_full_disk_is_told_and_the_same_write_succeeds_once_there_is_room(void)
{
    char within[sizeof path];

    if (!mounted("tmpfs", 0, "size=1m,mode=0700"))
        return;
    memcpy(within, path, sizeof path);
    strcat(path, "/d");
    with_each_queue(fill_a_disk);
    memcpy(path, within, sizeof path);
    unmounted();
}

static void check_indirect(void)
{
    CU_ASSERT_FALSE(disk_folder_is_direct(folder));
    write_and_read();
}

static void without_o_direct_writes_go_through_the_page_cache(void)
{
    char within[sizeof path];

    if (!mounted("ramfs", 0, "mode=0700"))
        return;
    memcpy(within, path, sizeof path);
    strcat(path, "/d");
    with_each_queue(check_indirect);
    memcpy(path, within, sizeof path);
    unmounted();
}

int main(void)
{
    const char *temporary = getenv("TMPDIR");
    int failed;
    CU_TestInfo tests[] = {
        {"queued writes are there once completed", queued_writes_are_there_once_completed},
        {"a write that ends wakes who sleeps on it", a_write_that_ends_wakes_who_sleeps_on_it},
        {"short writes go on where they ended", short_writes_go_on_where_they_ended},
        {"errors are told as they are", errors_are_told_as_they_are},
        {"one sync of the thread serves the writes that wait",
         one_sync_of_the_thread_serves_the_writes_that_wait},
        {"closing waits for writes in flight", closing_waits_for_writes_in_flight},
        {"where io_uring is forbidden the thread still is there",
         where_io_uring_is_forbidden_the_thread_still_is_there},
        {"files are made, read, written, renamed and removed",
         files_are_made_read_written_renamed_and_removed},
        {"only plain files with proper names are seen", only_plain_files_with_proper_names_are_seen},
        {"files are open up to the limit", files_are_open_up_to_the_limit},
        {"a tool may read beside the owner, and changes nothing",
         a_tool_may_read_beside_the_owner_and_changes_nothing},
        {"a second process is refused, and told the first one's pid",
         a_second_process_is_refused_and_told_the_first_ones_pid},
        {"writes that a killed process left under way are waited for",
         writes_that_a_killed_process_left_under_way_are_waited_for},
        {"what cannot be its folder is refused with what to do",
         what_cannot_be_its_folder_is_refused_with_what_to_do},
        {"another user's folder is refused", another_users_folder_is_refused},
        {"a read-only filesystem is refused", a_read_only_filesystem_is_refused},
        {"a full disk is told, and the same write succeeds once there is room",
         a_full_disk_is_told_and_the_same_write_succeeds_once_there_is_room},
        {"without O_DIRECT writes go through the page cache",
         without_o_direct_writes_go_through_the_page_cache},
        CU_TEST_INFO_NULL,
    };

    snprintf(base, sizeof base, "%.30s/wild-disk-XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 1;
    }
    snprintf(path, sizeof path, "%s/f", base);
    umask(0022);
    mounts = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
             mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    failed = suite_run("disk_folder", tests);
    rmdir(base);
    return failed;
}
