/*
 * node_threads.c - a whole node with a log, each of its parts on a thread of its own as in the program: workers over
 * kernel sockets, control, the helper of the handshakes, the housekeeper, and the disk's thread over a real
 * folder; clients write to it meanwhile, and snapshots are taken. Made for ThreadSanitizer, and useful without it.
 *
 *   node_threads [--operations N]     of a client in a life; WILD_SEED=S
 *
 * A node lives several times on the same folder. In the last of these lives but one the folder is moved away under
 * its clients' hands and back. Every life begins with a look at whether all that was acknowledged is there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "../unit/test_eal.h"
#include "app_limits.h"
#include "clock.h"
#include "disk_folder.h"
#include "kernel/kernel_port.h"
#include "keys.h"
#include "node.h"
#include "table_load.h"
#include "wal_block.h"
#include "wild.h"

enum {
    WORKERS = 2,
    CLIENTS = 4,
    KEYS = 40, /* a client: each is written again and again */
    OPERATIONS = 300,
    SEGMENT_BYTES = 4 * WAL_BLOCK_BYTES_MAX,
    ANSWER_MS = 30000, /* for a machine that is busy with others */
    PAUSE_NS = 50 * 1000,
    NAP_MS = 1,
};

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/* What a client knows of a key of its own. */
struct known {
    uint64_t nonce;   /* of the value that was acknowledged last; 0: there is none */
    uint64_t unknown; /* of one whose fate was not told: it may be there instead */
    bool may_be_gone; /* so was a delete's */
};

struct life {
    const char *name;
    struct durability_rules rules;
    enum disk_folder_queue queue;
    bool folder_goes;
};

static const struct life lives[] = {
    {"sync, thread", {.log = true, .writes_wait = true, .reads_wait = true}, DISK_QUEUE_THREAD, false},
    {"async, thread", {.log = true}, DISK_QUEUE_THREAD, false},
    {"sync, io_uring", {.log = true, .writes_wait = true, .reads_wait = true}, DISK_QUEUE_URING, false},
    {"the folder goes", {.log = true, .writes_wait = true, .reads_wait = true}, DISK_QUEUE_THREAD, true},
    {"afterwards", {.log = true, .writes_wait = true}, DISK_QUEUE_THREAD, false},
};
enum { LIVES = sizeof lives / sizeof lives[0] };

struct world {
    char folder[64], away[80];
    uint64_t seed, operations;
    const struct life *life;
    struct clock clock;
    struct kernel_port port;
    struct node *node;
    _Atomic bool drain, snapshot, over; /* control is told; control tells */
    _Atomic unsigned refused;           /* operations of clients, since the folder went */
    _Atomic uint64_t done;
};

struct worker {
    struct world *world;
    unsigned index;
    pthread_t thread;
};

struct client {
    struct world *world;
    struct wild_client *wild;
    unsigned index;
    pthread_t thread;
    uint64_t random;
    struct known known[KEYS];
};

static void nap(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- the node's threads ---- */

static void *worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct world *w = worker->world;

    while (!atomic_load(&w->over))
        if (node_worker_turn(w->node, worker->index, clock_now(&w->clock)) == 0)
            node_worker_wait(w->node, worker->index, NAP_MS);
    return NULL;
}

static void *control_main(void *argument)
{
    struct world *w = argument;
    bool draining = false;

    while (!draining || !node_drained(w->node)) {
        if (atomic_exchange(&w->snapshot, false))
            (void)node_snapshot(w->node);
        if (!draining && atomic_load(&w->drain)) {
            node_drain(w->node);
            draining = true;
        }
        clock_refresh_wall(&w->clock);
        if (node_control_turn(w->node, clock_now(&w->clock)) == 0)
            nap(PAUSE_NS);
    }
    atomic_store(&w->over, true);
    return NULL;
}

static void *helper_main(void *argument)
{
    struct world *w = argument;

    while (!atomic_load(&w->over))
        if (!node_helper_step(w->node))
            nap(PAUSE_NS);
    return NULL;
}

static void *housekeeper_main(void *argument)
{
    struct world *w = argument;

    while (!atomic_load(&w->over))
        if (node_housekeeping_step(w->node) != NODE_HOUSEKEEPING_WORKED)
            nap(PAUSE_NS);
    return NULL;
}

/* ---- clients ---- */

static uint64_t expect_known(struct client *client, unsigned key)
{
    struct known *known = &client->known[key];
    struct wild_result result;
    char name[32];
    size_t length = (size_t)snprintf(name, sizeof name, "client %u key %u", client->index, key);
    enum wild_status status = wild_get(client->wild, name, length, &result);

    EXPECT(status == WILD_OK || status == WILD_NOT_FOUND || status == WILD_STALE);
    if (status == WILD_STALE) { /* what is above the log's end, once that does not move any more */
        EXPECT(client->world->life->folder_goes);
        return 0;
    }
    if (status == WILD_NOT_FOUND) {
        EXPECT(known->nonce == 0 || known->may_be_gone);
        return 0;
    }
    uint64_t nonce;
    EXPECT(result.value_length >= sizeof nonce);
    memcpy(&nonce, result.value, sizeof nonce);
    EXPECT(nonce == known->nonce || nonce == known->unknown);
    EXPECT(value_is_whole(key, result.value, (unsigned)result.value_length));
    return nonce;
}

static void note(struct client *client, struct known *known, enum wild_status status, uint64_t nonce)
{
    switch (status) {
    case WILD_OK:
    case WILD_NOT_FOUND: /* a delete */
        *known = (struct known){.nonce = nonce};
        return;
    case WILD_READ_ONLY:
        EXPECT(client->world->life->folder_goes);
        atomic_fetch_add(&client->world->refused, 1);
        return;
    default:
        if (!client->world->life->folder_goes)
            fprintf(stderr, "client %u: %s\n", client->index, wild_status_text(status));
        EXPECT(client->world->life->folder_goes);
        EXPECT(status == WILD_TIMEOUT || status == WILD_NO_ANSWER || status == WILD_UNKNOWN);
        if (nonce != 0)
            known->unknown = nonce;
        else
            known->may_be_gone = true;
    }
}

static void one_operation(struct client *client)
{
    uint64_t random = next_random(&client->random);
    unsigned key = (unsigned)(random >> 8) % KEYS;
    struct known *known = &client->known[key];
    uint8_t value[WILD_VALUE_MAX];
    char name[32];
    size_t length = (size_t)snprintf(name, sizeof name, "client %u key %u", client->index, key);

    if (random % 16 < 4) {
        (void)expect_known(client, key);
    } else if (known->unknown != 0 || known->may_be_gone) {
        return; /* two fates that are not known would be too many to tell apart */
    } else if (random % 16 < 6) {
        note(client, known, wild_delete(client->wild, name, length, NULL, NULL), 0);
    } else {
        uint64_t nonce = random | 1;
        unsigned bytes = VALUE_MIN + (unsigned)(random >> 20) % (WILD_VALUE_MAX - VALUE_MIN);

        make_value(key, nonce, value, bytes);
        note(client, known, wild_set(client->wild, name, length, value, bytes, NULL, NULL), nonce);
    }
}

static void look_at_all(struct client *client)
{
    for (unsigned key = 0; key < KEYS; key++) {
        struct known *known = &client->known[key];

        *known = (struct known){.nonce = expect_known(client, key)}; /* as it is: the node was started anew */
    }
}

static void *client_main(void *argument)
{
    struct client *client = argument;
    struct world *w = client->world;
    struct wild_options options = {.secret = secret,
                                   .timeout_ms = ANSWER_MS,
                                   .connect_timeout_ms = ANSWER_MS,
                                   .sealed = client->index == 1,
                                   .transport = client->index < 2 ? WILD_TRANSPORT_UDP : WILD_TRANSPORT_TCP};
    char error[WILD_ERROR_BYTES], endpoint[64];
    struct wild_health health;

    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", (unsigned)w->port.port);
    options.endpoint = endpoint;
    client->wild = wild_connect(&options, error);
    if (client->wild == NULL)
        fprintf(stderr, "client %u: %s\n", client->index, error);
    EXPECT(client->wild != NULL);
    look_at_all(client);
    for (uint64_t i = 0; i < w->operations || (w->life->folder_goes && atomic_load(&w->refused) < CLIENTS);
         i++) {
        one_operation(client);
        atomic_fetch_add(&w->done, 1);
        if (i % 50 == 0)
            EXPECT(wild_health(client->wild, &health) == WILD_OK);
        if (i % 100 == client->index)
            atomic_store(&w->snapshot, true);
    }
    wild_close(client->wild);
    return NULL;
}

/* ---- lives ---- */

static void start_node(struct world *w, struct disk_folder *folder)
{
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = WORKERS, .streams = true};
    struct secret_option text = {.length = strlen(secret)};
    struct node_config config = {
        .workers = WORKERS,
        .kernel = &w->port,
        .capacity = 4096,
        .sessions = NODE_SESSIONS_MIN,
        .connections = NODE_CONNECTIONS_MIN,
        .secrets = &text,
        .secret_count = 1,
        .cluster_name = "wild",
        .random = random_system(),
        .logger = {.out = w->life->folder_goes ? NULL : stderr, .level = LOG_LEVEL_WARNING},
        .numa_node = -1};
    char error[512] = "";

    config.log = (struct node_log_config){.folder = w->folder,
                                          .disk = disk_folder_disk(folder),
                                          .queue = disk_folder_queue(folder),
                                          .rules = w->life->rules,
                                          .segment_bytes = SEGMENT_BYTES,
                                          .snapshot_segments = 1};
    memcpy(text.text, secret, text.length);
    if (kernel_port_open(&w->port, &port, error, sizeof error) != 0 ||
        (config.udp_port = w->port.port,
         node_start(&w->node, &config, clock_now(&w->clock), error, sizeof error)) != 0)
        fprintf(stderr, "%s\n", error);
    EXPECT(error[0] == '\0');
}

static void wait_until_ready(struct world *w)
{
    struct node_recovery_progress progress;
    char error[512] = "";
    enum node_readiness readiness;

    while ((readiness = node_readiness(w->node, &progress, error, sizeof error)) == NODE_RECOVERING)
        nap(PAUSE_NS);
    if (readiness != NODE_READY)
        fprintf(stderr, "%s\n", error);
    EXPECT(readiness == NODE_READY);
}

/* Away while the clients write, and back as soon as they were refused. */
static void move_folder(struct world *w)
{
    while (atomic_load(&w->done) < w->operations)
        nap(PAUSE_NS);
    EXPECT(rename(w->folder, w->away) == 0);
    while (atomic_load(&w->refused) == 0)
        nap(PAUSE_NS);
    EXPECT(rename(w->away, w->folder) == 0);
}

static void live(struct world *w, const struct life *life, struct client *clients)
{
    pthread_t control, helper, housekeeper;
    struct worker workers[WORKERS];
    struct disk_folder *folder;
    struct node_facts facts;
    char error[512];

    w->life = life;
    atomic_store(&w->drain, false);
    atomic_store(&w->over, false);
    atomic_store(&w->refused, 0);
    atomic_store(&w->done, 0);
    if (disk_folder_open(&folder, w->folder, DISK_FOLDER_OWN, life->queue, error, sizeof error) != 0) {
        printf("  %-16s not here: %s\n", life->name, error);
        EXPECT(life->queue == DISK_QUEUE_URING); /* which not every kernel gives to everybody */
        return;
    }
    start_node(w, folder);
    EXPECT(pthread_create(&control, NULL, control_main, w) == 0);
    EXPECT(pthread_create(&helper, NULL, helper_main, w) == 0);
    EXPECT(pthread_create(&housekeeper, NULL, housekeeper_main, w) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.world = w, .index = i};
        EXPECT(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) == 0);
    }
    wait_until_ready(w);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]) == 0);
    if (life->folder_goes)
        move_folder(w);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(pthread_join(clients[i].thread, NULL) == 0);
    atomic_store(&w->drain, true);
    EXPECT(pthread_join(control, NULL) == 0);
    EXPECT(pthread_join(helper, NULL) == 0);
    EXPECT(pthread_join(housekeeper, NULL) == 0);
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT(pthread_join(workers[i].thread, NULL) == 0);
    node_facts(w->node, &facts);
    printf("  %-16s %" PRIu64 " operations, %u refused; epoch %u, lsn %" PRIu64 ", durable %" PRIu64 "\n",
           life->name, atomic_load(&w->done), atomic_load(&w->refused), facts.epoch, facts.lsn,
           facts.durable_lsn);
    fflush(stdout);
    EXPECT(node_lost_changes(w->node) == life->folder_goes);
    EXPECT(life->folder_goes || facts.durable_lsn == facts.lsn);
    node_stop(w->node);
    kernel_port_close(&w->port);
    disk_folder_close(folder);
}

static void count_files(void *context, const char *name, uint64_t bytes)
{
    (void)bytes;
    ((unsigned *)context)[strncmp(name, "snapshot-", 9) == 0]++;
}

static void remove_file(void *context, const char *name, uint64_t bytes)
{
    char path[160];

    (void)bytes;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    EXPECT(unlink(path) == 0);
}

/* Removes it; snapshots were taken, and segments made and removed. */
static void end_folder(struct world *w)
{
    struct disk_folder *folder;
    char error[512];
    unsigned files[2] = {0, 0}; /* others, snapshots */

    EXPECT(disk_folder_open(&folder, w->folder, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error) == 0);
    struct disk disk = disk_folder_disk(folder);
    EXPECT(disk.call->list(disk.state, count_files, files) == 0);
    EXPECT(files[1] == 2);
    EXPECT(disk.call->list(disk.state, remove_file, w->folder) == 0);
    disk_folder_close(folder);
    remove_file(w->folder, "lock", 0);
    EXPECT(rmdir(w->folder) == 0);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"operations", required_argument, NULL, 'n'}, {0}};
    static struct client clients[CLIENTS];
    static struct world w = {.folder = "/tmp/wild-node-threads-XXXXXX", .operations = OPERATIONS};
    const char *seed = getenv("WILD_SEED");

    for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (c != 'n')
            return 2;
        w.operations = strtoull(optarg, NULL, 10);
    }
    w.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("node_threads: WILD_SEED=%" PRIu64 "\n", w.seed);
    fflush(stdout);
    test_eal_start();
    EXPECT(keys_start() == 0 && mkdtemp(w.folder) != NULL);
    snprintf(w.away, sizeof w.away, "%s.away", w.folder);
    clock_start(&w.clock);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = (struct client){.world = &w, .index = i, .random = w.seed * 100 + i};
    for (unsigned i = 0; i < LIVES; i++)
        live(&w, &lives[i], clients);
    end_folder(&w);
    return 0;
}
