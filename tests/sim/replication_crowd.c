/*
 * replication_crowd.c - as many replicas as a primary serves, whole nodes in one process under a virtual clock,
 * joined over loopback: all come at once, load the table while it is written to, follow, and are equal in the end.
 * What it costs the primary is counted, not timed: bytes in a turn, and memory.
 */
#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "../unit/seeded.h"
#include "../unit/suite.h"
#include "../unit/test_eal.h"
#include "node_internal.h"
#include "sim_disk.h"

enum {
    CROWD = PRIMARY_REPLICAS_MAX,
    STEP_NS = 1000 * 1000,
    SPACE = 64 << 20,
    SEGMENT_BYTES = 1 << 20,
    CAPACITY = 8192,
    KEYS = 1000,
    VALUE_BYTES = 300,
    LOAD_S = 60,  /* of the nodes' time, for all */
    LEVEL_S = 10, /* until what is written is everywhere */
    /* Beside what it may send in a turn: the rest of the message that was begun last, and words to each. */
    TURN_MORE_BYTES = REPLICATION_MESSAGE_BYTES_MAX + CROWD * 256,
    MEMORY_MORE_BYTES = 16 << 20, /* that following takes, once all have loaded */
};

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct party {
    struct kernel_port port;
    struct name_lookup *lookup;
    struct node *node;
};

static struct party primary, replica[CROWD];
static struct sim_disk *disk;
static struct instant now;
static uint64_t entropy, written, turn_bytes_max;

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "replication_crowd: %s\n", what);
        exit(1);
    }
}

static uint64_t counted(const struct party *party, enum replication_counter which)
{
    return replication_counted(&party->node->replication.counters, which);
}

static bool serves(const struct party *party)
{
    return published_state_get(&party->node->published).state == STATE_SERVING;
}

/* ---- nodes ---- */

static void start(struct party *party, struct node_config *config)
{
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = 1, .streams = true};
    struct secret_option text = {.length = strlen(secret)};
    char error[256] = "";

    memcpy(text.text, secret, text.length);
    must(kernel_port_open(&party->port, &port, error, sizeof error) == 0, error);
    config->workers = 1;
    config->kernel = &party->port;
    config->udp_port = party->port.port;
    config->capacity = CAPACITY;
    config->sessions = NODE_SESSIONS_MIN;
    config->connections = NODE_CONNECTIONS_MIN;
    config->secrets = &text;
    config->secret_count = 1;
    config->cluster_name = "wild";
    config->random = seeded_source(&entropy);
    config->numa_node = -1;
    must(node_start(&party->node, config, now, error, sizeof error) == 0, error);
}

static void start_primary(void)
{
    disk = sim_disk_create(7, SPACE);
    struct node_config config = {
        .log = {.folder = "sim",
                .disk = sim_disk_disk(disk),
                .queue = sim_disk_queue(disk),
                .rules = {.log = true, .writes_wait = true, .reads_wait = true},
                .segment_bytes = SEGMENT_BYTES},
        .replication = {.mode = MODE_PRIMARY, .name = "primary", .heartbeat_ms = 100, .timeout_ms = 1000},
    };

    start(&primary, &config);
}

/* Each from an address of its own: one source may not take all places for newcomers. */
static void start_replica(unsigned i)
{
    char error[128], name[16];
    struct node_config config = {
        .log.rules.reads_wait = true,
        .replication = {.mode = MODE_REPLICA,
                        .primary_name = "127.0.0.1",
                        .primary_port = control_streams_port(primary.node->streams),
                        .name = name,
                        .own_address = true,
                        .address = address_from_ip4(htonl(INADDR_LOOPBACK + 256 + i))},
    };

    snprintf(name, sizeof name, "replica%u", i);
    replica[i].lookup = name_lookup_create("127.0.0.1", error, sizeof error);
    must(replica[i].lookup != NULL, error);
    config.replication.primary = replica[i].lookup;
    start(&replica[i], &config);
}

static void stop(struct party *party)
{
    node_stop(party->node);
    kernel_port_close(&party->port);
    name_lookup_destroy(party->lookup);
}

/* ---- time ---- */

static void turn(struct party *party)
{
    node_worker_turn(party->node, 0, now);
    node_control_turn(party->node, now);
    node_helper_step(party->node);
}

static void change(unsigned key, uint64_t nonce)
{
    char name[16];
    uint8_t value[VALUE_BYTES], room[VALUE_BYTES_MAX];
    struct operation set = {.opcode = OPCODE_SET,
                            .key = (const uint8_t *)name,
                            .key_length = (uint8_t)snprintf(name, sizeof name, "key%u", key),
                            .value = value,
                            .value_length = sizeof value};
    struct result result = {.value = room, .room = sizeof room};
    struct node *node = primary.node;

    memset(value, (int)nonce, sizeof value);
    memcpy(value, &nonce, sizeof nonce);
    must(execute(node->worker[0].execute, &set, table_hash(node->table, set.key, set.key_length), now.wall_ms,
                 &result) == STATUS_OK,
         "a change is refused");
}

/* A millisecond of all, with so many changes at its beginning. */
static void step(unsigned changes)
{
    uint64_t before = counted(&primary, REPLICATION_sent_bytes), sent;

    now.mono_ns += STEP_NS;
    now.wall_ms = UINT64_C(1700000000000) + now.mono_ns / 1000000;
    for (; changes > 0; changes--, written++)
        change((unsigned)(written * 7 % KEYS), written);
    turn(&primary);
    sent = counted(&primary, REPLICATION_sent_bytes) - before;
    turn_bytes_max = RTE_MAX(turn_bytes_max, sent);
    node_housekeeping_step(primary.node);
    for (unsigned i = 0; i < CROWD && replica[i].node != NULL; i++)
        turn(&replica[i]);
}

static unsigned serving(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < CROWD; i++)
        count += serves(&replica[i]);
    return count;
}

static uint64_t point_of(const struct party *party)
{
    return durable_point_get(&party->node->log.durable).lsn;
}

static unsigned level_with(uint64_t lsn)
{
    unsigned count = 0;

    for (unsigned i = 0; i < CROWD; i++)
        count += point_of(&replica[i]) >= lsn;
    return count;
}

static uint64_t until_level(void)
{
    struct node_facts facts;
    uint64_t begun_ns = now.mono_ns;

    node_facts(primary.node, &facts);
    while (level_with(facts.lsn) < CROWD && now.mono_ns < begun_ns + LEVEL_S * UINT64_C(1000000000))
        step(0);
    CU_ASSERT_EQUAL(level_with(facts.lsn), CROWD);
    return (now.mono_ns - begun_ns) / 1000000;
}

/* ---- what is in them ---- */

static unsigned read_key(struct party *party, unsigned key, uint8_t value[VALUE_BYTES_MAX], uint64_t *version)
{
    char name[16];
    struct operation get = {.opcode = OPCODE_GET,
                            .key = (const uint8_t *)name,
                            .key_length = (uint8_t)snprintf(name, sizeof name, "key%u", key)};
    struct result result = {.value = value, .room = VALUE_BYTES_MAX};
    struct node *node = party->node;

    if (execute(node->worker[0].execute, &get, table_hash(node->table, get.key, get.key_length), now.wall_ms,
                &result) != STATUS_OK)
        return 0;
    *version = result.version;
    return result.value_length;
}

static unsigned differences(struct party *party)
{
    uint8_t ours[VALUE_BYTES_MAX], theirs[VALUE_BYTES_MAX];
    unsigned count = 0;

    for (unsigned key = 0; key < KEYS; key++) {
        uint64_t version = 0, their_version = 0;
        unsigned length = read_key(&primary, key, ours, &version);

        count += length != VALUE_BYTES || read_key(party, key, theirs, &their_version) != length ||
                 memcmp(ours, theirs, length) != 0 || version != their_version;
    }
    return count;
}

static unsigned all_differences(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < CROWD; i++)
        count += differences(&replica[i]);
    return count;
}

static size_t memory_used(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* ---- the story ---- */

static void all_come_at_once_load_and_follow(void)
{
    uint64_t begun_ns, level_ms;
    size_t before, loaded;

    start_primary();
    while (!serves(&primary))
        step(0);
    while (written < 2 * KEYS)
        step(20);
    must(node_snapshot(primary.node), "no snapshot");
    for (unsigned i = 0; i < 300; i++)
        step(0);
    for (unsigned i = 0; i < CROWD; i++)
        start_replica(i);
    before = memory_used();
    begun_ns = now.mono_ns;
    while (serving() < CROWD && now.mono_ns < begun_ns + LOAD_S * UINT64_C(1000000000))
        step(now.mono_ns / STEP_NS % 4 == 0); /* written to all the while */
    CU_ASSERT_EQUAL_FATAL(serving(), CROWD);
    printf("  %u replicas loaded in %u ms, %u bytes in a turn of the primary's at most\n", CROWD,
           (unsigned)((now.mono_ns - begun_ns) / 1000000), (unsigned)turn_bytes_max);
    until_level();
    CU_ASSERT_EQUAL(all_differences(), 0);
    CU_ASSERT_EQUAL(counted(&primary, REPLICATION_bootstraps),
                    CROWD); /* once each: none had to begin again */
    CU_ASSERT_EQUAL(counted(&primary, REPLICATION_too_slow) + counted(&primary, REPLICATION_timed_out), 0);
    CU_ASSERT_EQUAL(primary_replica_count(primary.node->replication.leading.primary), CROWD);

    loaded = memory_used();
    for (unsigned i = 0; i < 1000; i++)
        step(10);
    level_ms = until_level();
    printf("  10,000 changes to each: level %u ms after the last; memory %d KiB to load, %d KiB to follow\n",
           (unsigned)level_ms, (int)((int64_t)(loaded - before) / 1024),
           (int)((int64_t)(memory_used() - loaded) / 1024));
    CU_ASSERT_EQUAL(all_differences(), 0);
    CU_ASSERT_EQUAL(counted(&primary, REPLICATION_sessions), CROWD);
    CU_ASSERT(turn_bytes_max <= PRIMARY_TURN_BYTES + TURN_MORE_BYTES);
    CU_ASSERT((int64_t)(memory_used() - loaded) <= MEMORY_MORE_BYTES);
    for (unsigned i = 0; i < CROWD; i++)
        stop(&replica[i]);
    stop(&primary);
    sim_disk_destroy(disk);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"all come at once, load, and follow", all_come_at_once_load_and_follow},
        CU_TEST_INFO_NULL,
    };
    struct rlimit files;

    now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    entropy = seeded_start(seeded_from_environment(1));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* a node has about ten */
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (keys_start() != 0)
        return 1;
    test_eal_start();
    return suite_run("replication_crowd", tests);
}
