/*
 * test_disk_folder_queues.c - writes queued to a folder, with io_uring and with a thread: when they are
 * there, what they tell, on disks that cut them short, fail, are full or know no O_DIRECT.
 */
#include "disk_folder_fixture.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

enum { WRITES = DISK_QUEUE_WRITES_MAX };

static _Alignas(BLOCK) uint8_t bytes[WRITES * 2 * BLOCK];

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

/* ---- other filesystems ---- */

/* The same in a folder of a filesystem mounted for it. */
static void with_each_queue_on(const char *type, const char *options, void (*test)(void))
{
    char within[sizeof path];

    if (!mounted(type, 0, options))
        return;
    memcpy(within, path, sizeof path);
    strcat(path, "/d");
    with_each_queue(test);
    memcpy(path, within, sizeof path);
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
    with_each_queue_on("tmpfs", "size=1m,mode=0700", fill_a_disk);
}

static void check_indirect(void)
{
    CU_ASSERT_FALSE(disk_folder_is_direct(folder));
    write_and_read();
}

static void without_o_direct_writes_go_through_the_page_cache(void)
{
    with_each_queue_on("ramfs", "mode=0700", check_indirect);
}

int main(void)
{
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
        {"a full disk is told, and the same write succeeds once there is room",
         a_full_disk_is_told_and_the_same_write_succeeds_once_there_is_room},
        {"without O_DIRECT writes go through the page cache",
         without_o_direct_writes_go_through_the_page_cache},
        CU_TEST_INFO_NULL,
    };

    return disk_folder_suite("disk_folder_queues", tests);
}
