/*
 * disk_uring.c - queued writes by io_uring, each with RWF_DSYNC: its completion says that it is on stable
 * storage.
 *
 * The ring is polled, never waited for. By default the kernel finishes a completion's work when the thread
 * next enters it for some other reason, at worst at the timer's tick: 4 ms late. With DEFER_TASKRUN that
 * work waits for us, and TASKRUN_FLAG lets a look at the ring (in memory) tell whether there is any, so
 * that only then the kernel is called: 80 us where the default took milliseconds. Such a ring has one
 * thread: it is made disabled, and enabled by the thread that uses it first. The folder's eventfd rises as
 * soon as there is such work, so that the thread may sleep meanwhile.
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "disk_folder_internal.h"

struct uring_write {
    struct disk_write write;
    size_t done;
    int result;
    bool used, finished; /* finished: only to be told */
};

struct disk_uring {
    const struct disk_folder *folder;
    struct io_uring ring;
    bool enabled;
    int broken; /* -errno: the ring could not be enabled */
    pid_t thread;
    unsigned in_flight, finished;
    struct uring_write slot[DISK_QUEUE_WRITES_MAX];
};

static int uring_create(void **out, const struct disk_folder *folder)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED};
    struct disk_uring *uring = calloc(1, sizeof *uring);
    int error =
        uring == NULL ? -ENOMEM : io_uring_queue_init_params(DISK_QUEUE_WRITES_MAX, &uring->ring, &params);

    if (error == 0) {
        error = io_uring_register_eventfd(&uring->ring, folder->wake_fd);
        if (error != 0)
            io_uring_queue_exit(&uring->ring);
    }
    if (error != 0) {
        free(uring);
        return error;
    }
    uring->folder = folder;
    *out = uring;
    return 0;
}

static void enable(struct disk_uring *uring)
{
    if (uring->enabled)
        return;
    uring->enabled = true;
    uring->thread = gettid();
    /* liburing 2.3 declares io_uring_enable_rings(), and does not export it */
    if (syscall(__NR_io_uring_register, uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        uring->broken = -errno;
}

static void finish(struct disk_uring *uring, struct uring_write *slot, int result)
{
    slot->result = disk_write_error(result);
    slot->finished = true;
    uring->finished++;
}

/* Hands what is prepared to the kernel. What it does not take now (-EAGAIN, -EBUSY) stays in the ring
 * until the next turn. */
static void send_prepared(struct disk_uring *uring)
{
    if (io_uring_sq_ready(&uring->ring) > 0)
        io_uring_submit(&uring->ring);
}

/* What is left of that write. */
static void prepare(struct disk_uring *uring, struct uring_write *slot)
{
    int fd = disk_folder_queue_fd(uring->folder, slot->write.file);
    struct io_uring_sqe *entry;

    if (fd < 0 || uring->broken != 0) {
        finish(uring, slot, fd < 0 ? fd : uring->broken);
        return;
    }
    entry = io_uring_get_sqe(&uring->ring);
    CHECK(entry != NULL); /* the ring has an entry for every slot */
    io_uring_prep_write(entry, fd, (const uint8_t *)slot->write.bytes + slot->done,
                        (unsigned)(slot->write.length - slot->done), slot->write.offset + slot->done);
    entry->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data64(entry, (uint64_t)(slot - uring->slot));
}

static bool uring_submit(void *state, const struct disk_write *write)
{
    struct disk_uring *uring = state;
    unsigned i = 0;

    enable(uring);
    while (i < DISK_QUEUE_WRITES_MAX && uring->slot[i].used)
        i++;
    if (i == DISK_QUEUE_WRITES_MAX)
        return false;
    uring->slot[i] = (struct uring_write){.write = *write, .used = true};
    uring->in_flight++;
    prepare(uring, &uring->slot[i]);
    send_prepared(uring);
    return true;
}

/* Short writes go on where they ended; so does one that was interrupted before it began. */
static void take(struct disk_uring *uring, const struct io_uring_cqe *entry)
{
    struct uring_write *slot = &uring->slot[io_uring_cqe_get_data64(entry)];

    if (entry->res > 0)
        slot->done += (size_t)entry->res;
    if (entry->res == 0)
        finish(uring, slot, -EIO);
    else if (entry->res < 0 && entry->res != -EINTR && entry->res != -EAGAIN)
        finish(uring, slot, entry->res);
    else if (slot->done < slot->write.length)
        prepare(uring, slot);
    else
        finish(uring, slot, 0);
}

static unsigned uring_completions(void *state, struct disk_completion *out, unsigned room)
{
    struct disk_uring *uring = state;
    struct io_uring_cqe *entry;
    unsigned given = 0;

    enable(uring);
    if (uring->in_flight == 0)
        return 0;
    for (unsigned i = 0; i < DISK_QUEUE_WRITES_MAX && io_uring_peek_cqe(&uring->ring, &entry) == 0; i++) {
        take(uring, entry);
        io_uring_cqe_seen(&uring->ring, entry);
    }
    send_prepared(uring);
    for (unsigned i = 0; uring->finished > 0 && given < room && i < DISK_QUEUE_WRITES_MAX; i++) {
        struct uring_write *slot = &uring->slot[i];
        if (!slot->finished)
            continue;
        out[given++] = (struct disk_completion){.token = slot->write.token, .result = slot->result};
        slot->used = slot->finished = false;
        uring->finished--;
        uring->in_flight--;
    }
    return given;
}

static void uring_destroy(void *state)
{
    struct disk_uring *uring = state;
    struct disk_completion ignored[DISK_QUEUE_WRITES_MAX];

    /* Another thread's ring cannot be waited for; header: nothing is in flight then. */
    while (uring->in_flight > 0 && uring->thread == gettid()) {
        if (uring->finished == 0 && uring->broken == 0)
            io_uring_submit_and_wait(&uring->ring, 1);
        uring_completions(uring, ignored, DISK_QUEUE_WRITES_MAX);
    }
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

const struct disk_queue_kind disk_uring_kind = {
    .name = "io_uring",
    .create = uring_create,
    .destroy = uring_destroy,
    .calls = {.submit = uring_submit, .completions = uring_completions},
};
