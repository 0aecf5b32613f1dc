/*
 * bench_recovery - how fast a node comes back from a real folder whose files are in the page cache.
 *
 *   recovery_log     million records a second of CPU time of a whole recovery: looking around, reading, checking and replaying the
 *                    log, judging its end, syncing, making the next segment, opening the next history
 *
 * 8-byte keys, 32-byte values, keys drawn uniformly from a table of 32 MiB; the log is written by a node.
 *
 *   bench_recovery [FOLDER]      where the device under test is mounted (default /var/tmp); a folder is made and removed
 */
#include <unistd.h>

#include "log_node.h"
#include "meta.h"
#include "recovery.h"
#include "seeded.h"

enum { BURST = 32, RECORDS = 4 * 1000 * 1000, TABLE_MIB = 32, ROUNDS = 5 };

static uint64_t entropy, capacity;
static char path[256];

static uint64_t write_log(void)
{
    static struct log_node n;
    struct rte_mempool *pool = test_eal_pool("bench", LOG_NODE_POOL_FRAMES);
    struct node_log_config log = log_node_folder(&n, path, (struct durability_rules){.log = true});
    uint64_t begin = log_node_ns();

    log_node_start(&n, pool, capacity, &log);
    while (n.sets < RECORDS) {
        struct instant now = log_node_now();
        for (unsigned i = 0; i < BURST; i++)
            log_node_ask(&n, OPCODE_SET, seeded_below(&entropy, capacity * 9 / 10));
        node_worker_turn(n.node, 0, now);
        log_node_take(&n);
        n.sets -= n.refused; /* BUSY: the disk is behind */
        if (n.refused > 0)
            node_housekeeping_step(n.node);
        n.refused = 0;
        node_control_turn(n.node, now);
        if (n.sets % 4096 < BURST)
            node_housekeeping_step(n.node);
    }
    log_node_stop(&n);
    printf("# a log of %llu records was written in %.1f s\n", (unsigned long long)n.sets,
           (double)(log_node_ns() - begin) / 1e9);
    return n.sets;
}

struct took {
    double replay_ms, rest_ms; /* that passed */
    double cpu_ms;             /* of the thread, of both */
    uint64_t records, bytes;
};

static double thread_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static struct took recover(void)
{
    struct disk_folder *folder;
    struct table *table;
    struct took took = {0};
    char error[512];
    struct table_config config = {.capacity = capacity,
                                  .first_lsn = (uint64_t)1 << 32,
                                  .workers = 1,
                                  .numa_node = SOCKET_ID_ANY,
                                  .huge_pages = true};
    int step;

    log_node_must(disk_folder_open(&folder, path, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error) == 0,
                  error);
    memcpy(config.hash_key, &entropy, sizeof entropy);
    log_node_must(table_create(&table, &config, NULL) == 0, "no memory for a table");
    struct execute_context *apply = execute_context_create(table, 0, NULL);
    struct recovery_config recovery_config = {.disk = disk_folder_disk(folder),
                                              .apply = apply,
                                              .random = random_system(),
                                              .folder = path,
                                              .segment_bytes = WAL_SEGMENT_BYTES};
    struct recovery *recovery = recovery_create(&recovery_config);
    log_node_must(apply != NULL && recovery != NULL, "no memory for a recovery");
    uint64_t begin = log_node_ns(), replayed = begin, records = 0;
    took.cpu_ms = -thread_ms();
    while ((step = recovery_step(recovery)) > 0)
        if (recovery_facts(recovery)->records > records) {
            records = recovery_facts(recovery)->records;
            replayed = log_node_ns();
        }
    log_node_must(step == 0, recovery_error(recovery));
    took.cpu_ms += thread_ms();
    took.replay_ms = (double)(replayed - begin) / 1e6;
    took.rest_ms = (double)(log_node_ns() - replayed) / 1e6;
    took.records = records;
    took.bytes = recovery_facts(recovery)->bytes_read;
    recovery_destroy(recovery);
    execute_context_destroy(apply);
    table_destroy(table);
    disk_folder_close(folder);
    return took;
}

static void remove_file(void *context, const char *name, uint64_t bytes)
{
    char file[512];

    (void)context;
    (void)bytes;
    snprintf(file, sizeof file, "%s/%s", path, name);
    unlink(file);
}

static void clean_up(void)
{
    struct disk_folder *folder;
    char error[512];

    if (disk_folder_open(&folder, path, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error) == 0) {
        struct disk disk = disk_folder_disk(folder);
        disk.call->list(disk.state, remove_file, NULL);
        disk_folder_close(folder);
    }
    remove_file(NULL, "lock", 0);
    rmdir(path);
}

int main(int argc, char **argv)
{
    double rate[ROUNDS], replay[ROUNDS], rest[ROUNDS];

    test_eal_start_with(64);
    entropy = seeded_start(seeded_from_environment(1));
    capacity = table_capacity_for((uint64_t)TABLE_MIB << 20);
    snprintf(path, sizeof path, "%s/bench-recovery-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
    log_node_must(mkdtemp(path) != NULL, "no folder for the log");
    uint64_t written = write_log();
    recover(); /* reads it into the page cache */
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct took took = recover();
        log_node_must(took.records == written, "records are missing");
        replay[i] = took.replay_ms;
        rest[i] = took.rest_ms;
        rate[i] = (double)written / 1e3 / took.cpu_ms;
        printf("# %llu MiB replayed in %.0f ms, the rest %.0f ms; CPU %.0f ms\n",
               (unsigned long long)took.bytes >> 20, took.replay_ms, took.rest_ms, took.cpu_ms);
    }
    clean_up();
    printf("# the replay alone: %.1f M records/s; the rest takes %.0f ms\n",
           (double)written / 1e3 / bench_quantile(replay, ROUNDS, 0.5), bench_quantile(rest, ROUNDS, 0.5));
    bench_print_rate("recovery_log", bench_quantile(rate, ROUNDS, 0.5), 5);
    return 0;
}
