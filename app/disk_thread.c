/*
 * disk_thread.c - queued writes without io_uring: a thread that writes what it is handed and syncs it, as
 * many writes at once as have come. Between it and the control lcore lies one ring that goes there and
 * back: entries are handed over by one counter and handed back by another. The control lcore makes no call
 * that could wait (sem_post() wakes the thread if it sleeps).
 */
#include <pthread.h>
#include <rte_lcore.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "disk_folder_internal.h"

enum { ROOM = DISK_QUEUE_WRITES_MAX };

struct thread_write {
    struct disk_write write;
    int fd, result;
};

struct disk_thread {
    const struct disk_folder *folder;
    pthread_t thread;
    uint32_t asked, taken; /* writes ever asked for, completions ever taken: the control lcore's own counts */
    /* A write's entry is the thread's from `submitted` to `completed`, else the control lcore's. */
    struct thread_write write[ROOM];
    sem_t work; /* one post a write, one for the end */
    /* Writer: control; reader: the thread. Release pairs with acquire in run(), as that of `stop`. */
    _Alignas(64) _Atomic uint32_t submitted;
    _Atomic bool stop;
    /* Writer: the thread; reader: control. Release pairs with acquire in thread_completions(). */
    _Alignas(64) _Atomic uint32_t completed;
};

static int write_all(const struct thread_write *write)
{
    for (size_t done = 0; done < write->write.length;) {
        ssize_t written = pwrite(write->fd, (const uint8_t *)write->write.bytes + done,
                                 write->write.length - done, (off_t)(write->write.offset + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        done += (size_t)written;
    }
    return 0;
}

/* One sync for all writes from `first` on that went to the same file: one that fails is every one's
 * failure, because the next would succeed without having written anything. */
static void sync_with(struct disk_thread *thread, uint32_t first, uint32_t end)
{
    int fd = thread->write[first % ROOM].fd, error = fdatasync(fd) == 0 ? 0 : -errno;

    for (uint32_t i = first; i != end; i++) {
        struct thread_write *write = &thread->write[i % ROOM];
        if (write->fd != fd)
            continue;
        write->fd = -1;
        if (write->result == 0)
            write->result = error;
    }
}

static void *run(void *context)
{
    struct disk_thread *thread = context;
    uint32_t next = 0, end;

    for (;;) {
        while (sem_wait(&thread->work) != 0)
            ; /* interrupted */
        end = atomic_load_explicit(&thread->submitted, memory_order_acquire);
        if (next == end && atomic_load_explicit(&thread->stop, memory_order_acquire))
            return NULL;
        for (uint32_t i = next; i != end; i++)
            thread->write[i % ROOM].result = thread->write[i % ROOM].fd < 0
                                                 ? thread->write[i % ROOM].fd
                                                 : write_all(&thread->write[i % ROOM]);
        for (uint32_t i = next; i != end; i++)
            if (thread->write[i % ROOM].fd >= 0)
                sync_with(thread, i, end);
        next = end;
        atomic_store_explicit(&thread->completed, end, memory_order_release);
        eventfd_write(thread->folder->wake_fd, 1);
    }
}

/* On a node this is a control thread of DPDK's, which keeps it off the workers' cores. Signals are the main
 * thread's. */
static int start(struct disk_thread *thread)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rte_lcore_count() > 0)
        error = rte_ctrl_thread_create(&thread->thread, "wild-disk", NULL, run, thread);
    else
        error = -pthread_create(&thread->thread, NULL, run, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static int thread_create(void **out, const struct disk_folder *folder)
{
    struct disk_thread *thread = aligned_alloc(64, sizeof *thread);
    int error;

    if (thread == NULL)
        return -ENOMEM;
    *thread = (struct disk_thread){.folder = folder};
    sem_init(&thread->work, 0, 0);
    error = start(thread);
    if (error != 0) {
        sem_destroy(&thread->work);
        free(thread);
        return error;
    }
    *out = thread;
    return 0;
}

static void thread_destroy(void *state)
{
    struct disk_thread *thread = state;

    atomic_store_explicit(&thread->stop, true, memory_order_release);
    sem_post(&thread->work);
    pthread_join(thread->thread, NULL);
    sem_destroy(&thread->work);
    free(thread);
}

static bool thread_submit(void *state, const struct disk_write *write)
{
    struct disk_thread *thread = state;

    if (thread->asked - thread->taken == ROOM)
        return false;
    thread->write[thread->asked % ROOM] =
        (struct thread_write){.write = *write, .fd = disk_folder_queue_fd(thread->folder, write->file)};
    atomic_store_explicit(&thread->submitted, ++thread->asked, memory_order_release);
    sem_post(&thread->work);
    return true;
}

static unsigned thread_completions(void *state, struct disk_completion *out, unsigned room)
{
    struct disk_thread *thread = state;
    uint32_t end = atomic_load_explicit(&thread->completed, memory_order_acquire);
    unsigned given = 0;

    while (thread->taken != end && given < room) {
        const struct thread_write *write = &thread->write[thread->taken++ % ROOM];
        out[given++] =
            (struct disk_completion){.token = write->write.token, .result = disk_write_error(write->result)};
    }
    return given;
}

const struct disk_queue_kind disk_thread_kind = {
    .name = "thread",
    .create = thread_create,
    .destroy = thread_destroy,
    .calls = {.submit = thread_submit, .completions = thread_completions},
};
