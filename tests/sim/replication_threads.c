/*
 * replication_threads.c - a primary with a log and a replica, whole nodes in one process, each part of each on
 * a thread of its own as in the program, joined by kernel sockets over loopback. Clients write to the one and
 * read from both all the while. Made for ThreadSanitizer, and useful without it.
 *
 *   replication_threads [--operations N]     of a writer in a part; WILD_SEED=S
 *
 * The parts of the story:
 *   begins        the replica loads the table while it is written to
 *   follows       it is told to follow anew, again and again: sessions end and begin
 *   waits for it  the primary comes back (another history), and its writes wait for the replica
 *   left behind   the replica's control lcore hangs, the primary writes, comes back, and writes until its log
 *                 begins after what the replica has: that loads the table anew, under its readers' hands
 */
#include <arpa/inet.h>
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
#include "node_internal.h"
#include "node_order.h"
#include "table_load.h"
#include "wal_block.h"
#include "wild.h"

enum {
    WORKERS = 2,
    WRITERS = 3,
    READERS = 2, /* at each node */
    KEYS = 40,   /* a writer: each is written again and again */
    OPERATIONS = 80,
    SEGMENT_BYTES = 4 * WAL_BLOCK_BYTES_MAX,
    FOLLOW_ORDERS = 5,
    ANSWER_MS = 60000, /* for a machine that is busy with others */
    WAIT_S = 300,
    PAUSE_NS = 50 * 1000,
    NAP_MS = 1,
};

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct party;

struct party_worker {
    struct party *party;
    unsigned index;
    pthread_t thread;
};

/* A node and its threads. */
struct party {
    const char *name;
    struct clock *clock;
    struct kernel_port port;
    struct disk_folder *folder; /* a primary's */
    struct name_lookup *lookup; /* a replica's */
    struct node *node;
    pthread_t control, helper, housekeeper;
    struct party_worker worker[WORKERS];
    _Atomic bool drain, snapshot, over; /* control is told; control tells */
    _Atomic bool hang, hangs;           /* control is to do nothing; it does nothing */
};

struct world {
    char folder[64];
    uint64_t seed, operations;
    struct clock clock;
    struct party primary, replica;
    uint16_t replication_port;
    _Atomic bool end_reading; /* at the replica */
    _Atomic bool end_reading_at_primary;
    _Atomic uint64_t
        acknowledged[WRITERS][KEYS]; /* the nonce. Writer: the writer; readers: who reads at the primary */
    _Atomic uint64_t issued[WRITERS][KEYS];
    _Atomic uint64_t found, stale; /* reads at the replica */
    _Atomic uint64_t unknown;      /* writes whose outcome was not told */
};

struct client {
    struct world *world;
    struct party *party;
    unsigned index;
    pthread_t thread;
    uint64_t random;
    uint64_t seen[WRITERS][KEYS]; /* a reader: what it has seen at its node, which does not go back */
};

static void nap(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- a node's threads ---- */

static void *worker_main(void *argument)
{
    const struct party_worker *worker = argument;
    struct party *p = worker->party;

    while (!atomic_load(&p->over))
        if (node_worker_turn(p->node, worker->index, clock_now(p->clock)) == 0)
            node_worker_wait(p->node, worker->index, NAP_MS);
    return NULL;
}

static void *control_main(void *argument)
{
    struct party *p = argument;
    bool draining = false;

    while (!draining || !node_drained(p->node)) {
        if (atomic_exchange(&p->snapshot, false))
            (void)node_snapshot(p->node);
        if (!draining && atomic_load(&p->drain)) {
            node_drain(p->node);
            draining = true;
        }
        atomic_store(&p->hangs, atomic_load(&p->hang));
        if (atomic_load(&p->hangs) || node_control_turn(p->node, clock_now(p->clock)) == 0)
            nap(PAUSE_NS);
    }
    atomic_store(&p->over, true);
    return NULL;
}

static void *helper_main(void *argument)
{
    struct party *p = argument;

    while (!atomic_load(&p->over))
        if (!node_helper_step(p->node))
            nap(PAUSE_NS);
    return NULL;
}

static void *housekeeper_main(void *argument)
{
    struct party *p = argument;

    while (!atomic_load(&p->over))
        if (node_housekeeping_step(p->node) != NODE_HOUSEKEEPING_WORKED)
            nap(PAUSE_NS);
    return NULL;
}

static void start_threads(struct party *p)
{
    atomic_store(&p->drain, false);
    atomic_store(&p->over, false);
    EXPECT(pthread_create(&p->control, NULL, control_main, p) == 0);
    EXPECT(pthread_create(&p->helper, NULL, helper_main, p) == 0);
    EXPECT(p->folder == NULL || pthread_create(&p->housekeeper, NULL, housekeeper_main, p) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        p->worker[i] = (struct party_worker){.party = p, .index = i};
        EXPECT(pthread_create(&p->worker[i].thread, NULL, worker_main, &p->worker[i]) == 0);
    }
}

/* ---- nodes ---- */

static void start_node(struct party *p, struct node_config *config)
{
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = WORKERS, .streams = true};
    struct secret_option text = {.length = strlen(secret)};
    char error[512] = "";

    memcpy(text.text, secret, text.length);
    config->workers = WORKERS;
    config->kernel = &p->port;
    config->capacity = 4096;
    config->sessions = NODE_SESSIONS_MIN;
    config->connections = NODE_CONNECTIONS_MIN;
    config->secrets = &text;
    config->secret_count = 1;
    config->cluster_name = "wild";
    config->random = random_system();
    config->logger = (struct logger){.out = stderr, .level = LOG_LEVEL_ERROR};
    config->numa_node = -1;
    if (kernel_port_open(&p->port, &port, error, sizeof error) != 0 ||
        (config->udp_port = p->port.port,
         node_start(&p->node, config, clock_now(p->clock), error, sizeof error)) != 0)
        fprintf(stderr, "%s: %s\n", p->name, error);
    EXPECT(error[0] == '\0');
    start_threads(p);
}

static void stop_party(struct party *p)
{
    atomic_store(&p->drain, true);
    EXPECT(pthread_join(p->control, NULL) == 0);
    EXPECT(pthread_join(p->helper, NULL) == 0);
    EXPECT(p->folder == NULL || pthread_join(p->housekeeper, NULL) == 0);
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT(pthread_join(p->worker[i].thread, NULL) == 0);
    EXPECT(!node_lost_changes(p->node));
    node_stop(p->node);
    kernel_port_close(&p->port);
    disk_folder_close(p->folder);
    name_lookup_destroy(p->lookup);
    p->folder = NULL;
    p->lookup = NULL;
}

static void start_primary(struct world *w, unsigned min_replicas)
{
    struct party *p = &w->primary;
    struct node_recovery_progress progress;
    char error[512] = "";

    EXPECT(disk_folder_open(&p->folder, w->folder, DISK_FOLDER_OWN, DISK_QUEUE_THREAD, error, sizeof error) ==
           0);
    struct node_config config = {
        .log =
            {.folder = w->folder,
             .disk = disk_folder_disk(p->folder),
             .queue = disk_folder_queue(p->folder),
             .rules = {.log = true, .writes_wait = true, .reads_wait = true, .replicated = min_replicas > 0},
             .segment_bytes = SEGMENT_BYTES,
             .snapshot_segments = 1},
        .replication = {.mode = MODE_PRIMARY,
                        .port = w->replication_port,
                        .name = "primary",
                        .min_replicas = min_replicas,
                        .ack_applied = true,
                        .heartbeat_ms = 100,
                        .timeout_ms = 5000},
    };
    start_node(p, &config);
    w->replication_port = control_streams_port(p->node->streams);
    while (node_readiness(p->node, &progress, error, sizeof error) == NODE_RECOVERING)
        nap(PAUSE_NS);
    EXPECT(node_readiness(p->node, &progress, error, sizeof error) == NODE_READY);
}

static void start_replica(struct world *w)
{
    struct party *p = &w->replica;
    char error[128];

    p->lookup = name_lookup_create("127.0.0.1", error, sizeof error);
    EXPECT(p->lookup != NULL);
    struct node_config config = {.log.rules.reads_wait = true,
                                 .replication = {.mode = MODE_REPLICA,
                                                 .primary = p->lookup,
                                                 .primary_name = "127.0.0.1",
                                                 .primary_port = w->replication_port,
                                                 .name = "replica"}};
    start_node(p, &config);
}

/* ---- what is known of them, on this thread ---- */

static uint64_t counted(const struct party *p, enum replication_counter which)
{
    return replication_counted(&p->node->replication.counters, which);
}

static bool serves(const struct party *p)
{
    return published_state_get(&p->node->published).state == STATE_SERVING;
}

#define UNTIL(holds)                                                                                         \
    do {                                                                                                     \
        time_t until_ = time(NULL) + WAIT_S;                                                                 \
        while (!(holds) && time(NULL) < until_)                                                              \
            nap(PAUSE_NS);                                                                                   \
        EXPECT(holds);                                                                                       \
    } while (0)

/* ---- clients ---- */

static struct wild_client *meet(const struct party *p, bool datagrams)
{
    char error[WILD_ERROR_BYTES], endpoint[64];
    struct wild_options options = {.secret = secret,
                                   .endpoint = endpoint,
                                   .timeout_ms = ANSWER_MS,
                                   .connect_timeout_ms = ANSWER_MS,
                                   .transport = datagrams ? WILD_TRANSPORT_UDP : WILD_TRANSPORT_TCP};

    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", (unsigned)p->port.port);
    struct wild_client *client = wild_connect(&options, error);
    if (client == NULL)
        fprintf(stderr, "%s: %s\n", p->name, error);
    EXPECT(client != NULL);
    return client;
}

static size_t name_of(unsigned writer, unsigned key, char out[32])
{
    return (size_t)snprintf(out, 32, "writer %u key %u", writer, key);
}

static void *writer_main(void *argument)
{
    struct client *client = argument;
    struct world *w = client->world;
    struct wild_client *wild = meet(client->party, client->index == 0);

    for (uint64_t i = 0; i < w->operations; i++) {
        uint64_t random = next_random(&client->random);
        unsigned key = (unsigned)(random >> 8) % KEYS;
        uint64_t nonce = atomic_load(&w->issued[client->index][key]) + 1;
        unsigned bytes = VALUE_MIN + (unsigned)(random >> 20) % (WILD_VALUE_MAX - VALUE_MIN);
        uint8_t value[WILD_VALUE_MAX];
        char name[32];

        atomic_store(&w->issued[client->index][key], nonce);
        make_value(key, nonce, value, bytes);
        enum wild_status status =
            wild_set(wild, name, name_of(client->index, key, name), value, bytes, NULL, NULL);
        if (status == WILD_OK) {
            atomic_store(&w->acknowledged[client->index][key], nonce);
        } else {
            /* A disk may take longer for a sync than a reply waits. */
            if (status != WILD_TIMEOUT && status != WILD_UNKNOWN)
                fprintf(stderr, "writer %u: %s\n", client->index, wild_status_text(status));
            EXPECT(status == WILD_TIMEOUT || status == WILD_UNKNOWN);
            atomic_fetch_add(&w->unknown, 1);
        }
        if (i % 100 == client->index)
            atomic_store(&client->party->snapshot, true);
    }
    wild_close(wild);
    return NULL;
}

/* One read: a value that its writer has written, and none older than what this node has shown before. */
static void read_one(struct client *client, struct wild_client *wild, unsigned writer, unsigned key)
{
    struct world *w = client->world;
    bool at_primary = client->party == &w->primary;
    uint64_t least = at_primary ? atomic_load(&w->acknowledged[writer][key]) : client->seen[writer][key],
             nonce = 0;
    struct wild_result result;
    char name[32];
    enum wild_status status = wild_get(wild, name, name_of(writer, key, name), &result);

    if (status == WILD_STALE) {
        EXPECT(!at_primary);
        atomic_fetch_add(&w->stale, 1);
        return;
    }
    if (status != WILD_OK && status != WILD_NOT_FOUND)
        fprintf(stderr, "reader at the %s: %s\n", client->party->name, wild_status_text(status));
    EXPECT(status == WILD_OK || status == WILD_NOT_FOUND);
    if (status == WILD_OK) {
        EXPECT(value_is_whole(key, result.value, (unsigned)result.value_length));
        memcpy(&nonce, result.value, sizeof nonce);
    }
    EXPECT(nonce >= least && nonce <= atomic_load(&w->issued[writer][key]));
    client->seen[writer][key] = nonce;
    if (!at_primary)
        atomic_fetch_add(&w->found, status == WILD_OK);
}

static void *reader_main(void *argument)
{
    struct client *client = argument;
    struct wild_client *wild = meet(client->party, client->index == 0);

    _Atomic bool *end = client->party == &client->world->primary ? &client->world->end_reading_at_primary
                                                                 : &client->world->end_reading;

    while (!atomic_load(end)) {
        uint64_t random = next_random(&client->random);

        read_one(client, wild, (unsigned)random % WRITERS, (unsigned)(random >> 8) % KEYS);
    }
    wild_close(wild);
    return NULL;
}

/* ---- the story ---- */

static struct client writers[WRITERS], primary_readers[READERS], replica_readers[READERS];

static void begin_clients(struct world *w, struct client *clients, unsigned count, struct party *party,
                          void *(*run)(void *))
{
    for (unsigned i = 0; i < count; i++) {
        clients[i].world = w;
        clients[i].party = party;
        clients[i].index = i;
        if (clients[i].random == 0)
            clients[i].random = (w->seed * 1000 + (uint64_t)(&clients[i] - clients)) | 1;
        EXPECT(pthread_create(&clients[i].thread, NULL, run, &clients[i]) == 0);
    }
}

static void end_clients(struct client *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        EXPECT(pthread_join(clients[i].thread, NULL) == 0);
}

/* The writers' operations, with readers at the primary. */
static void write_all(struct world *w)
{
    begin_clients(w, writers, WRITERS, &w->primary, writer_main);
    begin_clients(w, primary_readers, 1, &w->primary, reader_main);
    end_clients(writers, WRITERS);
}

static void end_primary_readers(struct world *w)
{
    atomic_store(&w->end_reading_at_primary, true);
    end_clients(primary_readers, 1);
    atomic_store(&w->end_reading_at_primary, false);
}

static uint64_t shown_lsn(const struct party *p)
{
    return durable_point_get(&p->node->log.durable).lsn;
}

/* The replica has what the primary has, item by item. */
static void expect_equal(struct world *w)
{
    struct client at_primary = {.world = w, .party = &w->primary},
                  at_replica = {.world = w, .party = &w->replica};

    UNTIL(serves(&w->replica) && shown_lsn(&w->replica) >= shown_lsn(&w->primary));
    struct wild_client *one = meet(&w->primary, false), *other = meet(&w->replica, false);
    for (unsigned writer = 0; writer < WRITERS; writer++)
        for (unsigned key = 0; key < KEYS; key++) {
            read_one(&at_primary, one, writer, key);
            read_one(&at_replica, other, writer, key);
            EXPECT(at_primary.seen[writer][key] == at_replica.seen[writer][key]);
        }
    wild_close(one);
    wild_close(other);
}

static void tell(struct world *w, const char *part)
{
    printf("  %-14s epoch %u, lsn %" PRIu64 "; replica: %" PRIu64 " bootstraps, %" PRIu64
           " sessions, %" PRIu64 " reads, %" PRIu64 " stale; %" PRIu64 " writes unknown\n",
           part, published_state_get(&w->primary.node->published).epoch, shown_lsn(&w->primary),
           counted(&w->replica, REPLICATION_bootstraps), counted(&w->replica, REPLICATION_sessions),
           atomic_load(&w->found), atomic_load(&w->stale), atomic_load(&w->unknown));
    fflush(stdout);
}

static void begins(struct world *w)
{
    start_primary(w, 0);
    write_all(w); /* something is there to load */
    end_primary_readers(w);
    begin_clients(w, writers, WRITERS, &w->primary, writer_main);
    start_replica(w);
    begin_clients(w, replica_readers, READERS, &w->replica, reader_main);
    end_clients(writers, WRITERS);
    UNTIL(serves(&w->replica));
    EXPECT(counted(&w->replica, REPLICATION_bootstraps) == 1);
    expect_equal(w);
    tell(w, "begins");
}

static void follows(struct world *w)
{
    begin_clients(w, writers, WRITERS, &w->primary, writer_main);
    for (unsigned i = 0; i < FOLLOW_ORDERS; i++) {
        struct node_order order = {
            .kind = NODE_ORDER_FOLLOW, .port = w->replication_port, .host = "127.0.0.1"};
        struct node_order_answer answer;
        uint64_t sessions = counted(&w->replica, REPLICATION_sessions);
        char error[128];

        order.lookup = name_lookup_create(order.host, error, sizeof error);
        EXPECT(order.lookup != NULL && node_order_give(w->replica.node, &order, ANSWER_MS, &answer) == 0 &&
               answer.ok);
        UNTIL(counted(&w->replica, REPLICATION_sessions) > sessions);
    }
    end_clients(writers, WRITERS);
    expect_equal(w);
    EXPECT(counted(&w->replica, REPLICATION_bootstraps) == 1);
    tell(w, "follows");
}

static void waits_for_it(struct world *w)
{
    stop_party(&w->primary);
    start_primary(w, 1);
    UNTIL(serves(&w->primary)); /* READ_ONLY until the replica is back */
    write_all(w);
    end_primary_readers(w);
    expect_equal(w);
    EXPECT(counted(&w->replica, REPLICATION_bootstraps) == 1);
    tell(w, "waits for it");
}

struct segments {
    uint64_t oldest, newest;
};

static void note_segment(void *state, const char *name, uint64_t bytes)
{
    struct segments *segments = state;
    uint64_t number;

    (void)bytes;
    if (sscanf(name, "wal-%" SCNx64, &number) != 1)
        return;
    segments->oldest = number < segments->oldest ? number : segments->oldest;
    segments->newest = number > segments->newest ? number : segments->newest;
}

/* Of the folder. */
static struct segments segments_of(const struct world *w)
{
    struct disk disk = disk_folder_disk(w->primary.folder);
    struct segments segments = {.oldest = UINT64_MAX};

    EXPECT(disk.call->list(disk.state, note_segment, &segments) == 0);
    return segments;
}

static void left_behind(struct world *w)
{
    struct segments found;

    stop_party(&w->primary);
    start_primary(w, 0);
    atomic_store(&w->replica.hang, true);
    UNTIL(atomic_load(&w->replica.hangs));
    write_all(w); /* what it lacks */
    end_primary_readers(w);
    stop_party(&w->primary);
    start_primary(w, 0); /* which has nothing of that in memory */
    found = segments_of(w);
    while (segments_of(w).oldest <= found.newest) { /* a snapshot covers all that was there */
        write_all(w);
        end_primary_readers(w);
    }
    begin_clients(w, writers, WRITERS, &w->primary, writer_main);
    atomic_store(&w->replica.hang, false);
    UNTIL(counted(&w->replica, REPLICATION_bootstraps) == 2);
    end_clients(writers, WRITERS);
    UNTIL(serves(&w->replica));
    expect_equal(w);
    tell(w, "left behind");
}

static void remove_file(void *context, const char *name, uint64_t bytes)
{
    char path[160];

    (void)bytes;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    EXPECT(unlink(path) == 0);
}

static void end_folder(struct world *w)
{
    struct disk_folder *folder;
    char error[512];

    EXPECT(disk_folder_open(&folder, w->folder, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error) == 0);
    struct disk disk = disk_folder_disk(folder);
    EXPECT(disk.call->list(disk.state, remove_file, w->folder) == 0);
    disk_folder_close(folder);
    remove_file(w->folder, "lock", 0);
    EXPECT(rmdir(w->folder) == 0);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"operations", required_argument, NULL, 'n'}, {0}};
    static struct world w = {.folder = "/tmp/wild-replication-threads-XXXXXX",
                             .operations = OPERATIONS,
                             .primary = {.name = "primary"},
                             .replica = {.name = "replica"}};
    const char *seed = getenv("WILD_SEED");

    for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (c != 'n')
            return 2;
        w.operations = strtoull(optarg, NULL, 10);
    }
    w.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("replication_threads: WILD_SEED=%" PRIu64 "\n", w.seed);
    fflush(stdout);
    test_eal_start();
    EXPECT(keys_start() == 0 && mkdtemp(w.folder) != NULL);
    clock_start(&w.clock);
    w.primary.clock = w.replica.clock = &w.clock;
    begins(&w);
    follows(&w);
    waits_for_it(&w);
    left_behind(&w);
    atomic_store(&w.end_reading, true);
    end_clients(replica_readers, READERS);
    EXPECT(atomic_load(&w.found) > 0 && atomic_load(&w.stale) > 0);
    stop_party(&w.replica);
    stop_party(&w.primary);
    end_folder(&w);
    return 0;
}
