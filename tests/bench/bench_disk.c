/*
 * bench_disk.c - how long a write of 4 KiB takes to stable storage: by hand (pwrite and fdatasync, into
 * space that was only reserved and into space that was written once) and through the queues of a real
 * folder, in turns.
 *
 *   bench_disk [FOLDER]      where the device under test is mounted (default /var/tmp); a folder is made and removed
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench_window.h"
#include "disk_folder.h"

enum { BLOCK = DISK_BLOCK_BYTES, ROUNDS = 100, WRITES = 20, SPACE = ROUNDS * WRITES * BLOCK, BATCH = 8 };

/* Of a queued write's 10th percentile to that by hand: whoever polls on a core that others want, too, is
 * interrupted for milliseconds, which says nothing about the queue. */
static const double queue_bar = 1.25;

struct contender {
    const char *name;
    struct disk_folder *folder; /* NULL: by hand */
    struct disk_queue queue;
    int file, batch;
    uint64_t offset;
    double us[ROUNDS * WRITES], p10;
    unsigned count;
};

static _Alignas(BLOCK) uint8_t block[BLOCK];

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void write_by_hand(struct contender *c)
{
    must(pwrite(c->file, block, BLOCK, (off_t)c->offset) == BLOCK, "pwrite");
    must(fdatasync(c->file) == 0, "fdatasync");
    c->offset += BLOCK;
}

/* `batch` of them at once. */
static void write_queued(struct contender *c)
{
    struct disk_completion done[BATCH];
    int left = c->batch;

    for (int i = 0; i < c->batch; i++, c->offset += BLOCK) {
        struct disk_write write = {.bytes = block, .offset = c->offset, .length = BLOCK, .file = c->file};
        must(c->queue.call->submit(c->queue.state, &write), "submit");
    }
    while (left > 0) {
        unsigned count = c->queue.call->completions(c->queue.state, done, BATCH);
        for (unsigned i = 0; i < count; i++)
            must(done[i].result == 0, "a queued write");
        left -= (int)count;
    }
}

static void take_turn(struct contender *c)
{
    for (int i = 0; i < WRITES; i += c->batch) {
        double start = now_us();
        if (c->folder == NULL)
            write_by_hand(c);
        else
            write_queued(c);
        c->us[c->count++] = now_us() - start;
    }
}

static void open_by_hand(struct contender *c, const char *folder, bool written)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, written ? "written" : "reserved");
    c->file = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT, 0600);
    must(c->file >= 0, path);
    must(unlink(path) == 0 && fallocate(c->file, 0, 0, SPACE) == 0, "fallocate");
    for (int offset = 0; written && offset < SPACE; offset += BLOCK)
        must(pwrite(c->file, block, BLOCK, offset) == BLOCK, "pwrite");
    must(fsync(c->file) == 0, "fsync");
}

/* False: this kernel has no such queue. */
static bool open_queued(struct contender *c, const char *path, const char *name, enum disk_folder_queue kind)
{
    char folder[256], error[256];

    snprintf(folder, sizeof folder, "%s/%s", path, name);
    if (disk_folder_open(&c->folder, folder, DISK_FOLDER_OWN, kind, error, sizeof error) != 0) {
        printf("# %s: skipped: %s\n", c->name, error);
        return false;
    }
    struct disk disk = disk_folder_disk(c->folder);
    c->queue = disk_folder_queue(c->folder);
    c->file = disk.call->open(disk.state, "segment", DISK_CREATE, SPACE);
    must(c->file >= 0 && disk.call->sync(disk.state, c->file) == 0 && disk.call->sync_folder(disk.state) == 0,
         "a segment");
    return true;
}

static void close_queued(struct contender *c, const char *path, const char *name)
{
    char file[256];

    disk_folder_disk(c->folder).call->remove(c->folder, "segment");
    disk_folder_close(c->folder);
    snprintf(file, sizeof file, "%s/%s/lock", path, name);
    unlink(file);
    snprintf(file, sizeof file, "%s/%s", path, name);
    rmdir(file);
}

int main(int argc, char **argv)
{
    static struct contender reserved = {.name = "by hand, reserved space", .batch = 1},
                            written = {.name = "by hand, written space", .batch = 1},
                            uring = {.name = "io_uring", .batch = 1}, thread = {.name = "thread", .batch = 1},
                            uring_8 = {.name = "io_uring, 8 at once", .batch = BATCH},
                            thread_8 = {.name = "thread, 8 at once", .batch = BATCH};
    struct contender *all[6] = {&reserved, &written};
    const struct {
        struct contender *contender;
        const char *folder;
        enum disk_folder_queue kind;
    } queued[] = {{&uring, "u1", DISK_QUEUE_URING},
                  {&thread, "t1", DISK_QUEUE_THREAD},
                  {&uring_8, "u8", DISK_QUEUE_URING},
                  {&thread_8, "t8", DISK_QUEUE_THREAD}};
    unsigned count = 2;
    char path[128];

    snprintf(path, sizeof path, "%s/bench-disk-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
    must(mkdtemp(path) != NULL, path);
    open_by_hand(&reserved, path, false);
    open_by_hand(&written, path, true);
    for (unsigned i = 0; i < 4; i++)
        if (open_queued(queued[i].contender, path, queued[i].folder, queued[i].kind))
            all[count++] = queued[i].contender;
    memset(block, 1, sizeof block);
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < count; i++)
            take_turn(all[i]);
    for (unsigned i = 0; i < count; i++) {
        all[i]->p10 = bench_quantile(all[i]->us, all[i]->count, 0.1);
        printf("# %-24s p10 %6.0f us  p50 %6.0f us  p90 %6.0f us\n", all[i]->name, all[i]->p10,
               bench_quantile(all[i]->us, all[i]->count, 0.5),
               bench_quantile(all[i]->us, all[i]->count, 0.9));
    }
    for (unsigned i = 0; i < 4; i++)
        if (queued[i].contender->folder != NULL)
            close_queued(queued[i].contender, path, queued[i].folder);
    rmdir(path);
    if (uring.folder != NULL)
        bench_print("disk_uring", uring.p10 / written.p10, queue_bar);
    bench_print("disk_thread", thread.p10 / written.p10, queue_bar);
    return 0;
}
