/*
 * bench_log - what the log costs those who are served meanwhile.
 *
 *   log_worker_set          cycles of a worker's turn for a SET with a log whose writes are acknowledged at once, divided
 *                           by those without a log. One thread: the control turns that take the records are not timed;
 *                           the disk takes everything and keeps nothing
 *
 * 8-byte keys, 32-byte values, keys drawn uniformly.
 */
#include "log_node.h"
#include "seeded.h"

enum { BURST = 32, BURSTS_A_WINDOW = 512, WINDOWS = 61, TABLE_MIB = 8, CONTROL_EVERY = 8 };

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
};
static const struct disk_queue_calls nowhere_queue = {nowhere_submit, nowhere_completions};

/* ---- cycles of SETs ---- */

static void others_turns(struct log_node *n, bool log)
{
    struct instant now = log_node_now();
    while (node_control_turn(n->node, now) != 0)
        ;
    if (log)
        node_housekeeping_step(n->node, now);
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

int main(void)
{
    test_eal_start_with(64);
    pool = test_eal_pool("bench", LOG_NODE_POOL_FRAMES);
    entropy = seeded_start(seeded_from_environment(1));
    worker_cycles();
    return 0;
}
