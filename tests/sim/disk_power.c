/*
 * disk_power.c - a real folder on a filesystem that loses power: an ext4 of its own on a loop device is
 * shut down at random moments while a process writes through each of the queues, is mounted again, and
 * must have every write whose completion was seen, and every name that was synced.
 *
 * And a write that outlives its process, on a device that stands still, is waited for by whoever opens the
 * folder.
 *
 *   disk_power [ROUNDS]      seeded by WILD_SEED; exit code 77 where it cannot be tried (not root, no loop device)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk_folder.h"
#include "seeded.h"

enum {
    SKIPPED = 77,
    BLOCK = DISK_BLOCK_BYTES,
    BLOCKS_MAX = 4, /* of a write */
    FILE_BYTES = 16 << 20,
    IMAGE_BYTES = 4 * FILE_BYTES,
    ACKNOWLEDGED_MAX = FILE_BYTES / BLOCK,
    IN_FLIGHT = 8,
    NAME_EVERY = 64, /* writes */
    EXT4_NOLOGFLUSH = 2,
};
#define EXT4_SHUTDOWN _IOR('X', 125, uint32_t)

/* What the writing process has been told, for the one that checks; of the shared memory. */
struct acknowledged {
    struct {
        uint32_t offset, length;
    } write[ACKNOWLEDGED_MAX];
    _Atomic uint32_t writes; /* writer: the child; reader: the parent, after its death */
    _Atomic uint32_t name;   /* number in the file `meta` whose rename was synced */
    _Atomic bool loose;      /* the file that is never synced has been written */
};

struct place {
    char image[96], mounted[64];
};

static struct place place, outer; /* outer: carries the image of `place`, for run_frozen() */
static char folder_path[96];
static uint64_t seed;

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "disk_power: %s (seed %llu)\n", what, (unsigned long long)seed);
        exit(1);
    }
}

/* What belongs at that place of the file, whoever asks. */
static void pattern(uint8_t *out, uint32_t offset, uint32_t length)
{
    for (uint32_t at = 0; at < length; at += BLOCK) {
        uint64_t state = seeded_start(seed * 131071 + offset + at);
        for (uint32_t i = 0; i < BLOCK; i += 8) {
            uint64_t word = seeded_next(&state);
            memcpy(out + at + i, &word, 8);
        }
    }
}

/* ---- the process that writes, until it is killed ---- */

static bool put_file(const struct disk *disk, const char *name, uint32_t number, bool sync)
{
    int file = disk->call->open(disk->state, name, DISK_CREATE, 0), error;

    if (file < 0)
        return false;
    error = disk->call->write(disk->state, file, 0, &number, sizeof number);
    if (error == 0 && sync)
        error = disk->call->sync(disk->state, file);
    disk->call->close(disk->state, file);
    return error == 0;
}

/* As meta and snapshots are published. */
static void publish(const struct disk *disk, struct acknowledged *told, uint32_t number)
{
    if (put_file(disk, "meta.tmp", number, true) &&
        disk->call->rename(disk->state, "meta.tmp", "meta") == 0 && disk->call->sync_folder(disk->state) == 0)
        atomic_store(&told->name, number);
}

static void take_completions(const struct disk_queue *queue, struct acknowledged *told, unsigned *in_flight,
                             const uint32_t *lengths)
{
    struct disk_completion done[IN_FLIGHT];
    unsigned count = queue->call->completions(queue->state, done, IN_FLIGHT);

    *in_flight -= count;
    for (unsigned i = 0; i < count; i++) {
        uint32_t next = atomic_load(&told->writes), slot = (uint32_t)(done[i].token % IN_FLIGHT);
        if (done[i].result != 0)
            continue;
        told->write[next].offset = (uint32_t)(done[i].token / IN_FLIGHT);
        told->write[next].length = lengths[slot];
        atomic_store(&told->writes, next + 1);
    }
}

static void write_until_killed(struct acknowledged *told, enum disk_folder_queue kind)
{
    static _Alignas(BLOCK) uint8_t bytes[IN_FLIGHT][BLOCKS_MAX * BLOCK];
    uint32_t lengths[IN_FLIGHT], number = 0;
    struct disk_folder *folder;
    unsigned in_flight = 0;
    uint64_t state = seeded_start(seed);
    char error[256];

    must(disk_folder_open(&folder, folder_path, DISK_FOLDER_OWN, kind, error, sizeof error) == 0, error);
    must(disk_folder_is_direct(folder), "ext4 without O_DIRECT");
    struct disk disk = disk_folder_disk(folder);
    struct disk_queue queue = disk_folder_queue(folder);
    int file = disk.call->open(disk.state, "segment", DISK_CREATE, FILE_BYTES);
    must(file >= 0 && disk.call->sync(disk.state, file) == 0 && disk.call->sync_folder(disk.state) == 0,
         "a segment");
    must(put_file(&disk, "loose", 1, false), "a loose file");
    atomic_store(&told->loose, true);
    for (uint32_t offset = 0; offset + BLOCKS_MAX * BLOCK <= FILE_BYTES;) {
        for (unsigned slot = 0; slot < IN_FLIGHT && offset + BLOCKS_MAX * BLOCK <= FILE_BYTES; slot++) {
            lengths[slot] = (uint32_t)(1 + seeded_below(&state, BLOCKS_MAX)) * BLOCK;
            pattern(bytes[slot], offset, lengths[slot]);
            struct disk_write write = {.bytes = bytes[slot],
                                       .offset = offset,
                                       .token = (uint64_t)offset * IN_FLIGHT + slot,
                                       .length = lengths[slot],
                                       .file = file};
            must(queue.call->submit(queue.state, &write), "a full queue");
            in_flight++;
            offset += lengths[slot];
            if (++number % NAME_EVERY == 0)
                publish(&disk, told, number);
        }
        while (in_flight > 0)
            take_completions(&queue, told, &in_flight, lengths);
    }
    pause();
}

/* ---- the power, and what is left ---- */

static bool mount_image(const struct place *at)
{
    char command[224];

    snprintf(command, sizeof command, "mount -o loop %s %s", at->image, at->mounted);
    return system(command) == 0;
}

static void make_image(const struct place *at, off_t bytes)
{
    char command[128];
    int fd = open(at->image, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must(fd >= 0 && ftruncate(fd, bytes) == 0 && close(fd) == 0, "a file for the filesystem");
    snprintf(command, sizeof command, "mkfs.ext4 -q %s", at->image);
    must(system(command) == 0 && mount_image(at), "a filesystem");
}

/* The kernel lets go of the writes of a process that is gone a moment after it. */
static void unmount(const struct place *at)
{
    for (unsigned i = 0; umount(at->mounted) != 0; i++) {
        must(errno == EBUSY && i < 5000, "umount");
        usleep(1000);
    }
}

static void control(const char *mounted, unsigned long request, uint32_t argument)
{
    int fd = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    must(fd >= 0 && ioctl(fd, request, &argument) == 0, "an ioctl of the filesystem");
    close(fd);
}

static uint32_t number_in(const struct disk *disk, const char *name)
{
    uint32_t number = 0;
    int file = disk->call->open(disk->state, name, DISK_READ, 0);

    if (file < 0)
        return 0;
    if (disk->call->read(disk->state, file, 0, &number, sizeof number) != sizeof number)
        number = 0;
    disk->call->close(disk->state, file);
    return number;
}

/* Returns whether the loose file is gone. */
static bool check(const struct acknowledged *told)
{
    static uint8_t found[BLOCKS_MAX * BLOCK], wanted[BLOCKS_MAX * BLOCK];
    struct disk_folder *folder;
    char error[256];

    must(disk_folder_open(&folder, folder_path, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error) == 0,
         error);
    struct disk disk = disk_folder_disk(folder);
    int file = disk.call->open(disk.state, "segment", DISK_READ, 0);
    must(file >= 0 && disk.call->size(disk.state, file) == FILE_BYTES, "the segment is gone");
    for (uint32_t i = 0; i < told->writes; i++) {
        pattern(wanted, told->write[i].offset, told->write[i].length);
        must(disk.call->read(disk.state, file, told->write[i].offset, found, told->write[i].length) ==
                 told->write[i].length,
             "a write cannot be read");
        must(memcmp(found, wanted, told->write[i].length) == 0, "a completed write is lost");
    }
    must(number_in(&disk, "meta") >= told->name, "a synced rename is lost");
    bool gone = number_in(&disk, "loose") != 1;
    disk_folder_close(folder);
    return gone;
}

static bool run_round(struct acknowledged *told, enum disk_folder_queue kind, useconds_t delay)
{
    pid_t child;

    memset(told, 0, sizeof *told);
    make_image(&place, IMAGE_BYTES);
    child = fork();
    if (child == 0) {
        write_until_killed(told, kind);
        _exit(0);
    }
    while (!atomic_load(&told->loose)) {
        must(waitpid(child, NULL, WNOHANG) == 0, "the writer ended");
        usleep(100);
    }
    usleep(delay);
    control(place.mounted, EXT4_SHUTDOWN, EXT4_NOLOGFLUSH);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    unmount(&place);
    must(mount_image(&place), "mounting again");
    bool gone = check(told);
    printf("%s: cut after %u us: %u completed writes and name %u are there; the loose file is %s\n",
           kind == DISK_QUEUE_URING ? "io_uring" : "thread", delay, told->writes, told->name,
           gone ? "gone" : "there");
    unmount(&place);
    return gone;
}

/* ---- writes that outlive their process ---- */

static void queue_one_and_wait(int ready)
{
    static _Alignas(BLOCK) uint8_t bytes[BLOCK];
    struct disk_folder *folder;
    char error[256];

    if (disk_folder_open(&folder, folder_path, DISK_FOLDER_OWN, DISK_QUEUE_URING, error, sizeof error) != 0) {
        printf("io_uring: skipped: %s\n", error);
        exit(SKIPPED);
    }
    struct disk disk = disk_folder_disk(folder);
    struct disk_queue queue = disk_folder_queue(folder);
    int file = disk.call->open(disk.state, "segment", DISK_CREATE, BLOCK), fd = open(place.mounted, O_RDONLY);
    must(file >= 0 && fd >= 0 && syncfs(fd) == 0, "a segment");
    control(outer.mounted, FIFREEZE, 0);
    pattern(bytes, 0, BLOCK);
    queue.call->submit(queue.state, &(struct disk_write){.bytes = bytes, .length = BLOCK, .file = file});
    must(write(ready, "", 1) == 1, "a pipe");
    pause();
}

/* Whether nobody has that file open to write to it, be it a dead process. */
static bool is_free(const char *name)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[128];
    int fd, result;

    snprintf(path, sizeof path, "%s/%s", folder_path, name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    must(fd >= 0, path);
    result = fcntl(fd, F_OFD_SETLK, &lock);
    close(fd);
    return result == 0;
}

/* The device under the folder stands still; a process with a write in flight is killed, and is gone. Its
 * mark on the file stays until the write has landed, and whoever opens the folder meanwhile gets it after
 * that. */
static void run_frozen(void)
{
    static uint8_t wanted[BLOCK], found[BLOCK];
    struct disk_folder *folder;
    int ready[2], status;
    char error[256], byte;
    pid_t writer, thaw;

    make_image(&outer, 2 * IMAGE_BYTES);
    make_image(&place, IMAGE_BYTES);
    must(pipe2(ready, O_CLOEXEC) == 0, "pipe");
    writer = fork();
    if (writer == 0)
        queue_one_and_wait(ready[1]);
    close(ready[1]);
    if (read(ready[0], &byte, 1) == 1) {
        usleep(20000);
        thaw = fork();
        if (thaw == 0) {
            sleep(1);
            control(outer.mounted, FITHAW, 0);
            _exit(0);
        }
        must(kill(writer, SIGKILL) == 0 && waitpid(writer, NULL, 0) == writer, "kill");
        bool marked = !is_free("segment");
        bool frozen = waitpid(thaw, NULL, WNOHANG) == 0; /* on a very slow machine no more */
        must(marked || !frozen, "a dead process's write in flight leaves no mark");
        must(disk_folder_open(&folder, folder_path, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error) ==
                 0,
             error);
        struct disk disk = disk_folder_disk(folder);
        int file = disk.call->open(disk.state, "segment", DISK_READ, 0);
        pattern(wanted, 0, BLOCK);
        must(disk.call->read(disk.state, file, 0, found, BLOCK) == BLOCK && memcmp(found, wanted, BLOCK) == 0,
             "a dead process's write has not landed");
        disk_folder_close(folder);
        must(is_free("segment"), "the folder was opened before the dead process's write had landed");
        must(!frozen || waitpid(thaw, NULL, 0) == thaw, "wait");
        printf("io_uring: a write that outlived its process was waited for\n");
    } else {
        must(waitpid(writer, &status, 0) == writer && WEXITSTATUS(status) == SKIPPED, "the writer");
    }
    close(ready[0]);
    unmount(&place);
    unmount(&outer);
}

int main(int argc, char **argv)
{
    struct acknowledged *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 3, gone = 0;
    char base[] = "/tmp/wild-power-XXXXXX";
    uint64_t state;

    seed = seeded_from_environment((uint64_t)getpid());
    state = seeded_start(seed);
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        access("/dev/loop-control", R_OK | W_OK) != 0 || system("command -v mkfs.ext4 >/dev/null") != 0) {
        printf("skipped: needs root, a mount namespace, a loop device and mkfs.ext4\n");
        return SKIPPED;
    }
    must(told != MAP_FAILED && mkdtemp(base) != NULL, "a place to work");
    snprintf(outer.image, sizeof outer.image, "%s/outer.image", base);
    snprintf(outer.mounted, sizeof outer.mounted, "%s/outer", base);
    snprintf(place.image, sizeof place.image, "%s/image", base);
    snprintf(place.mounted, sizeof place.mounted, "%s/mounted", base);
    snprintf(folder_path, sizeof folder_path, "%s/folder", place.mounted);
    must(mkdir(place.mounted, 0700) == 0 && mkdir(outer.mounted, 0700) == 0, "places to mount");
    for (unsigned round = 0; round < rounds; round++) {
        gone += run_round(told, DISK_QUEUE_URING, (useconds_t)seeded_below(&state, 300000));
        gone += run_round(told, DISK_QUEUE_THREAD, (useconds_t)seeded_below(&state, 300000));
    }
    unlink(place.image);
    snprintf(place.image, sizeof place.image, "%s/image", outer.mounted);
    run_frozen();
    unlink(outer.image);
    rmdir(place.mounted);
    rmdir(outer.mounted);
    rmdir(base);
    must(gone > 0, "the power was never cut: what nobody synced is always there");
    return 0;
}
