/*
 * disk_power.c - a real folder on a filesystem that loses power: an ext4 of its own on a loop device is
 * shut down at random moments while a process writes through each of the queues, is mounted again, and
 * must have every write whose completion was seen, and every name that was synced.
 *
 *   disk_power [ROUNDS]      seeded by WILD_SEED; exit code 77 where it cannot be tried (not root, no loop device)
 */
#include <errno.h>
#include <fcntl.h>
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

static char image[64], mounted[64], folder_path[96];
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

static bool mount_image(void)
{
    char command[192];

    snprintf(command, sizeof command, "mount -o loop %s %s", image, mounted);
    return system(command) == 0;
}

static void make_image(void)
{
    char command[128];
    int fd = open(image, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must(fd >= 0 && ftruncate(fd, IMAGE_BYTES) == 0 && close(fd) == 0, "a file for the filesystem");
    snprintf(command, sizeof command, "mkfs.ext4 -q %s", image);
    must(system(command) == 0, "mkfs.ext4");
}

static void cut_power(void)
{
    uint32_t how = EXT4_NOLOGFLUSH;
    int fd = open(mounted, O_RDONLY | O_DIRECTORY);

    must(fd >= 0 && ioctl(fd, EXT4_SHUTDOWN, &how) == 0, "EXT4_IOC_SHUTDOWN");
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
    make_image();
    must(mount_image(), "mount");
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
    cut_power();
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    /* the kernel lets go of the writes of a process that is gone a moment after it */
    for (unsigned i = 0; umount(mounted) != 0; i++) {
        must(errno == EBUSY && i < 5000, "umount");
        usleep(1000);
    }
    must(mount_image(), "mounting again");
    bool gone = check(told);
    printf("%s: cut after %u us: %u completed writes and name %u are there; the loose file is %s\n",
           kind == DISK_QUEUE_URING ? "io_uring" : "thread", delay, told->writes, told->name,
           gone ? "gone" : "there");
    must(umount(mounted) == 0, "umount");
    return gone;
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
    snprintf(image, sizeof image, "%s/image", base);
    snprintf(mounted, sizeof mounted, "%s/mounted", base);
    snprintf(folder_path, sizeof folder_path, "%s/folder", mounted);
    must(mkdir(mounted, 0700) == 0, "a place to mount");
    for (unsigned round = 0; round < rounds; round++) {
        gone += run_round(told, DISK_QUEUE_URING, (useconds_t)seeded_below(&state, 300000));
        gone += run_round(told, DISK_QUEUE_THREAD, (useconds_t)seeded_below(&state, 300000));
    }
    unlink(image);
    rmdir(mounted);
    rmdir(base);
    must(gone > 0, "the power was never cut: what nobody synced is always there");
    return 0;
}
