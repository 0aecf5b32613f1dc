/*
 * bench_log - what the log costs those who are served meanwhile.
 *
 *   log_worker_set          cycles of a worker's turn for a SET with a log whose writes are acknowledged at once, divided
 *                           by those without a log. One thread: the control turns that take the records are not timed;
 *                           the disk takes everything and keeps nothing
 *
 *   log_get_p99_sync        99th percentile of a GET, eight of which come together, beside 50,000 SETs a second that
 *                           are answered when they are on the disk, divided by the same without a log
 *   log_get_p99_snapshot    the same while snapshots are written one after the other, divided by without them
 *   durable_set             a SET with one outstanding, from frame to frame, until it is on the disk, divided by pwrite and
 *                           fdatasync of 4 KiB in the same folder; medians of turns of both
 *
 * For these three the worker has one core and polls, the control lcore and the housekeeper have the other one
 * and nap; there is nothing between frames and worker.
 *
 * 8-byte keys, 32-byte values, keys drawn uniformly.
 *
 *   bench_log [FOLDER]      where the device under test is mounted (default /var/tmp); folders are made and removed
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "durable_set.h"
#include "log_node.h"
#include "seeded.h"

#define DURABLE_NS UINT64_C(10000000000) /* a crowded machine: fewer of them */

enum { BURST = 32, BURSTS_A_WINDOW = 512, WINDOWS = 61, TABLE_MIB = 12, CONTROL_EVERY = 8 };
enum {
    TICKS = 1500, /* a window: 15 ms */
    TICK_NS = 10 * 1000,
    TICK_GETS = 8,
    TICK_LONGEST_NS = 200 * 1000,
    CONTROL_REST_NS = 5 * 1000,
    GET_WINDOWS = 21,
    SET_ROUNDS = 30,
    SET_WRITES = 20,
    BLOCK = DISK_BLOCK_BYTES,
    SPACE = SET_ROUNDS * SET_WRITES * BLOCK,
};

static struct rte_mempool *pool;
static uint64_t entropy;

/* ---- a disk that keeps nothing ---- */

struct nowhere {
    struct disk_completion done[DISK_QUEUE_WRITES_MAX];
    unsigned count;
};

static int nowhere_open(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    (void)state;
    (void)name;
    (void)bytes;
    return how == DISK_READ ? -ENOENT : 0;
}

static void nowhere_close(void *state, int file)
{
    (void)state;
    (void)file;
}

static int64_t nowhere_size(void *state, int file)
{
    (void)state;
    (void)file;
    return 0;
}

static int64_t nowhere_read(void *state, int file, uint64_t offset, void *out, size_t length)
{
    (void)state;
    (void)file;
    (void)offset;
    (void)out;
    (void)length;
    return 0;
}

static int nowhere_write(void *state, int file, uint64_t offset, const void *bytes, size_t length)
{
    (void)state;
    (void)file;
    (void)offset;
    (void)bytes;
    (void)length;
    return 0;
}

static int nowhere_sync(void *state, int file)
{
    (void)state;
    (void)file;
    return 0;
}

static int nowhere_rename(void *state, const char *from, const char *to)
{
    (void)state;
    (void)from;
    (void)to;
    return 0;
}

static int nowhere_remove(void *state, const char *name)
{
    (void)state;
    (void)name;
    return 0;
}

static int nowhere_sync_folder(void *state)
{
    (void)state;
    return 0;
}

static int nowhere_list(void *state, void (*each)(void *context, const char *name, uint64_t bytes),
                        void *context)
{
    (void)state;
    (void)each;
    (void)context;
    return 0;
}

static uint64_t nowhere_space(void *state)
{
    (void)state;
    return UINT64_MAX;
}

static int nowhere_found(void *state, const char *name)
{
    (void)state;
    (void)name;
    return 0;
}

static bool nowhere_submit(void *state, const struct disk_write *write)
{
    struct nowhere *nowhere = state;
    if (nowhere->count == DISK_QUEUE_WRITES_MAX)
        return false;
    nowhere->done[nowhere->count++] = (struct disk_completion){.token = write->token};
    return true;
}

static unsigned nowhere_completions(void *state, struct disk_completion *out, unsigned room)
{
    struct nowhere *nowhere = state;
    unsigned given = RTE_MIN(room, nowhere->count);
    memcpy(out, nowhere->done, given * sizeof *out);
    nowhere->count -= given;
    memmove(nowhere->done, nowhere->done + given, nowhere->count * sizeof *out);
    return given;
}

static const struct disk_calls nowhere_calls = {
    .open = nowhere_open,
    .close = nowhere_close,
    .size = nowhere_size,
    .read = nowhere_read,
    .write = nowhere_write,
    .sync = nowhere_sync,
    .rename = nowhere_rename,
    .remove = nowhere_remove,
    .sync_folder = nowhere_sync_folder,
    .list = nowhere_list,
    .space = nowhere_space,
    .found = nowhere_found,
};
static const struct disk_queue_calls nowhere_queue = {nowhere_submit, nowhere_completions};

/* ---- cycles of SETs ---- */

static void others_turns(struct log_node *n, bool log)
{
    struct instant now = log_node_now();
    while (node_control_turn(n->node, now) != 0)
        ;
    if (log)
        node_housekeeping_step(n->node);
}

static double window(struct log_node *n, uint64_t keys, bool log)
{
    uint64_t cycles = 0;
    unsigned counted = 0, before = n->sets;

    for (unsigned burst = 0; burst < BURSTS_A_WINDOW; burst++) {
        struct instant now = log_node_now();
        for (unsigned i = 0; i < BURST; i++)
            log_node_ask(n, OPCODE_SET, seeded_below(&entropy, keys));
        uint64_t start = rte_rdtsc_precise();
        node_worker_turn(n->node, 0, now);
        uint64_t spent = rte_rdtsc_precise() - start;
        if (spent < rte_get_tsc_hz() / 10000) { /* longer: others had the core */
            cycles += spent;
            counted += BURST;
        }
        log_node_take(n);
        if (burst % CONTROL_EVERY == CONTROL_EVERY - 1)
            others_turns(n, log);
    }
    log_node_must(n->sets - before == BURST * BURSTS_A_WINDOW && n->refused == 0, "a SET was not answered");
    return (double)cycles / counted;
}

static void worker_cycles(void)
{
    static double plain[WINDOWS], logged[WINDOWS], ratio[WINDOWS];
    static struct log_node without, with;
    static struct nowhere nowhere;
    struct node_log_config log = {.folder = "nowhere",
                                  .disk = {&nowhere, &nowhere_calls},
                                  .queue = {&nowhere, &nowhere_queue},
                                  .rules = {.log = true},
                                  .segment_bytes = WAL_SEGMENT_BYTES};
    uint64_t capacity = table_capacity_for((uint64_t)TABLE_MIB << 20), keys = capacity / 2;

    log_node_start(&without, pool, capacity, NULL);
    log_node_start(&with, pool, capacity, &log);
    window(&without, keys, false);
    window(&with, keys, true);
    for (unsigned i = 0; i < WINDOWS; i++) {
        plain[i] = window(&without, keys, false);
        logged[i] = window(&with, keys, true);
        ratio[i] = logged[i] / plain[i];
    }
    printf("# cycles per SET: %.0f without a log, %.0f with one\n", bench_quantile(plain, WINDOWS, 0.5),
           bench_quantile(logged, WINDOWS, 0.5));
    bench_print("log_worker_set", bench_quantile(ratio, WINDOWS, 0.5), 1.05);
    log_node_stop(&without);
    log_node_stop(&with);
}

/* ---- nodes whose control lcore has a core of its own ---- */

struct threaded {
    struct log_node n;
    char path[256]; /* of its log; "": none */
    uint64_t capacity;
    pthread_t control, housekeeper;
    _Atomic bool serves, active, snapshots, stop, housekeeper_stop;
};

static void pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* with one core all share it */
}

static void *housekeeper_thread(void *argument)
{
    struct threaded *t = argument;

    pin(1);
    while (!t->housekeeper_stop) {
        enum node_housekeeping step = node_housekeeping_step(t->n.node);
        if (step != NODE_HOUSEKEEPING_WORKED)
            usleep(step == NODE_HOUSEKEEPING_THROTTLE ? 500 : 2000); /* as lcores.c has it */
    }
    return NULL;
}

/* Not long, and until a write has ended. A thread that only yields keeps the kernel's own work for a
 * completion off this core, for seconds. */
static void control_rest(struct threaded *t)
{
    struct pollfd wake = {.fd = t->n.folder != NULL ? disk_folder_wake_fd(t->n.folder) : -1,
                          .events = POLLIN};
    eventfd_t count;

    if (ppoll(&wake, 1, &(struct timespec){.tv_nsec = CONTROL_REST_NS}, NULL) > 0)
        eventfd_read(wake.fd, &count);
}

static void *control_thread(void *argument)
{
    struct threaded *t = argument;
    struct durability_rules rules = {.log = true, .writes_wait = true, .reads_wait = true};
    struct node_log_config log = {0};

    pin(1);
    if (t->path[0] != '\0')
        log = log_node_folder(&t->n, t->path, rules);
    log_node_start(&t->n, pool, t->capacity, t->path[0] != '\0' ? &log : NULL);
    if (t->path[0] != '\0')
        pthread_create(&t->housekeeper, NULL, housekeeper_thread, t);
    t->serves = true;
    while (!t->stop) {
        if (t->snapshots)
            node_snapshot(t->n.node);
        if (node_control_turn(t->n.node, log_node_now()) == 0)
            control_rest(t);
        if (!t->active)
            usleep(200);
    }
    t->housekeeper_stop = true;
    if (t->path[0] != '\0')
        pthread_join(t->housekeeper, NULL);
    log_node_stop(&t->n);
    return NULL;
}

static void threaded_start(struct threaded *t, uint64_t capacity, const char *base, const char *name)
{
    t->capacity = capacity;
    if (name != NULL)
        snprintf(t->path, sizeof t->path, "%s/%s", base, name);
    t->active = true;
    log_node_must(pthread_create(&t->control, NULL, control_thread, t) == 0, "no thread");
    while (!t->serves)
        usleep(1000);
    t->active = false;
}

static void threaded_stop(struct threaded *t)
{
    char file[768];
    const struct dirent *entry;

    t->stop = true;
    pthread_join(t->control, NULL);
    DIR *entries = t->path[0] != '\0' ? opendir(t->path) : NULL;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", t->path, entry->d_name);
        unlink(file);
    }
    if (entries != NULL)
        closedir(entries);
    rmdir(t->path);
}

/* ---- GETs beside SETs ---- */

/* 99th percentile, us. */
static double get_window(struct threaded *t, uint64_t keys)
{
    static double us[TICKS * TICK_GETS];
    struct log_node *n = &t->n;

    t->active = true;
    for (uint64_t start = log_node_ns(), tick = 0; tick < TICKS; tick++) {
        while (log_node_ns() < start + tick * TICK_NS) {
            node_worker_turn(n->node, 0, log_node_now());
            log_node_take(n);
        }
        if (tick % 2 == 0)
            log_node_ask(n, OPCODE_SET, seeded_below(&entropy, keys));
        for (unsigned i = 0; i < TICK_GETS; i++)
            log_node_ask(n, OPCODE_GET, seeded_below(&entropy, keys));
        unsigned before = n->gets, answered = 0;
        uint64_t asked = log_node_ns(), took = 0;
        while (answered < TICK_GETS && took < TICK_LONGEST_NS) {
            node_worker_turn(n->node, 0, log_node_now());
            log_node_take(n);
            took = log_node_ns() - asked;
            for (; answered < TICK_GETS && answered < n->gets - before; answered++)
                us[tick * TICK_GETS + answered] = (double)took / 1e3;
        }
        for (; answered < TICK_GETS; answered++) /* of a bucket that is not on the disk yet */
            us[tick * TICK_GETS + answered] = (double)took / 1e3;
    }
    t->active = false;
    return bench_quantile(us, TICKS * TICK_GETS, 0.99);
}

static void fill(struct threaded *t, uint64_t keys)
{
    t->active = true;
    while (t->n.sets < keys) {
        if (t->n.counter - t->n.sets < FRAME_PORT_ROOM - BURST)
            for (unsigned i = 0; i < BURST; i++)
                log_node_ask(&t->n, OPCODE_SET, t->n.counter % keys);
        node_worker_turn(t->n.node, 0, log_node_now());
        log_node_take(&t->n);
    }
}

static void print_p99(const char *name, const char *what, double *off, double *on, double *ratio)
{
    printf("# GET p99 beside SETs: %.1f us, %s %.1f us\n", bench_quantile(off, GET_WINDOWS, 0.5), what,
           bench_quantile(on, GET_WINDOWS, 0.5));
    bench_print(name, bench_quantile(ratio, GET_WINDOWS, 0.5), 1.1);
}

static void get_latency(struct threaded *without, struct threaded *with, uint64_t keys)
{
    static double off[GET_WINDOWS], on[GET_WINDOWS], ratio[GET_WINDOWS];

    fill(without, keys);
    fill(with, keys);
    for (unsigned i = 0; i < GET_WINDOWS; i++) {
        off[i] = get_window(without, keys);
        on[i] = get_window(with, keys);
        ratio[i] = on[i] / off[i];
    }
    print_p99("log_get_p99_sync", "synced", off, on, ratio);
    for (unsigned i = 0; i < GET_WINDOWS; i++) {
        off[i] = get_window(with, keys);
        with->snapshots = true;
        on[i] = get_window(with, keys);
        with->snapshots = false;
        ratio[i] = on[i] / off[i];
        usleep(40 * 1000); /* for the last one to end */
    }
    print_p99("log_get_p99_snapshot", "during snapshots", off, on, ratio);
}

/* ---- durable SETs ---- */

static void durable_sets(struct threaded *t, const char *base)
{
    static _Alignas(BLOCK) uint8_t block[BLOCK];
    static double raw[SET_ROUNDS * SET_WRITES], set[SET_ROUNDS * SET_WRITES];
    char path[300];
    unsigned count = 0;

    snprintf(path, sizeof path, "%s/raw", base);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
    log_node_must(fd >= 0 && unlink(path) == 0 && fallocate(fd, 0, 0, SPACE) == 0, path);
    for (int offset = 0; offset < SPACE; offset += BLOCK)
        log_node_must(pwrite(fd, block, BLOCK, offset) == BLOCK, "pwrite");
    log_node_must(fsync(fd) == 0, "fsync");
    t->active = true;
    while (node_worker_waits(t->n.node, 0)) { /* what is left of the load is not taken for an answer */
        node_worker_turn(t->n.node, 0, log_node_now());
        log_node_take(&t->n);
    }
    uint64_t end = log_node_ns() + DURABLE_NS;
    for (unsigned round = 0; round < SET_ROUNDS && (round == 0 || log_node_ns() < end); round++) {
        t->active = false;
        for (unsigned i = 0; i < SET_WRITES; i++) {
            uint64_t begin = log_node_ns();
            log_node_must(pwrite(fd, block, BLOCK, (off_t)(count + i) * BLOCK) == BLOCK && fdatasync(fd) == 0,
                          "pwrite, fdatasync");
            raw[count + i] = (double)(log_node_ns() - begin) / 1e3;
        }
        t->active = true;
        for (unsigned i = 0; i < SET_WRITES; i++) {
            unsigned before = t->n.sets;
            uint64_t begin = log_node_ns();
            log_node_ask(&t->n, OPCODE_SET, count + i);
            while (t->n.sets == before) {
                node_worker_turn(t->n.node, 0, log_node_now());
                log_node_take(&t->n);
            }
            set[count + i] = (double)(log_node_ns() - begin) / 1e3;
        }
        count += SET_WRITES;
    }
    close(fd);
    durable_set_print("durable_set", raw, set, count);
}

int main(int argc, char **argv)
{
    static struct threaded without, with;
    uint64_t capacity = table_capacity_for((uint64_t)TABLE_MIB << 20);
    char base[128];

    test_eal_start_with(64);
    pool = test_eal_pool("bench", LOG_NODE_POOL_FRAMES);
    entropy = seeded_start(seeded_from_environment(1));
    worker_cycles();
    snprintf(base, sizeof base, "%s/bench-log-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
    log_node_must(mkdtemp(base) != NULL, base);
    pin(0);
    threaded_start(&without, capacity, base, NULL);
    threaded_start(&with, capacity, base, "log");
    get_latency(&without, &with, capacity / 2);
    durable_sets(&with, base);
    threaded_stop(&without);
    threaded_stop(&with);
    rmdir(base);
    return 0;
}
