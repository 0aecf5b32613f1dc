/*
 * replication_nodes.c - a primary with a log on a simulated disk and a replica, whole nodes in one process, joined over
 * loopback under a virtual clock: what workers are told of replication, and when.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/seeded.h"
#include "../unit/suite.h"
#include "../unit/test_eal.h"
#include "node_internal.h"
#include "node_worker.h"
#include "sim_disk.h"

enum { WORKERS = 2, STEP_NS = 50 * 1000, SPACE = 64 << 20, SEGMENT_BYTES = 1 << 20, KEYS = 500 };

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct party {
    struct kernel_port port;
    struct sim_disk *disk; /* a primary's */
    struct name_lookup *lookup;
    struct node *node;
    unsigned workers; /* that turn */
};

static struct party primary, replica;
static struct instant now;
static uint64_t entropy;
static uint16_t replication_port;
static bool folder_gone; /* the primary's */

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "replication_nodes: %s\n", what);
        exit(1);
    }
}

/* ---- the two ---- */

static void turn(struct party *member)
{
    if (member->node == NULL)
        return;
    for (unsigned i = 0; i < member->workers; i++)
        node_worker_turn(member->node, i, now);
    node_control_turn(member->node, now);
    node_helper_step(member->node);
    if (member->disk != NULL)
        node_housekeeping_step(member->node);
}

static void step(void)
{
    now.mono_ns += STEP_NS;
    now.wall_ms = UINT64_C(1700000000000) + now.mono_ns / 1000000;
    turn(&primary);
    turn(&replica);
}

static void pass_ms(unsigned ms)
{
    for (uint64_t until_ns = now.mono_ns + ms * UINT64_C(1000000); now.mono_ns < until_ns;)
        step();
}

/* Until it holds, for ten seconds of the nodes' at most. */
#define UNTIL(holds)                                                                                         \
    do {                                                                                                     \
        uint64_t until_ns_ = now.mono_ns + UINT64_C(10000000000);                                            \
        while (!(holds) && now.mono_ns < until_ns_)                                                          \
            step();                                                                                          \
        CU_ASSERT_FATAL(holds);                                                                              \
    } while (0)

static void start_member(struct party *member, struct node_config *config)
{
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = WORKERS, .streams = true};
    struct secret_option text = {.length = strlen(secret)};
    char error[256] = "";

    memcpy(text.text, secret, text.length);
    must(kernel_port_open(&member->port, &port, error, sizeof error) == 0, error);
    config->workers = member->workers = WORKERS;
    config->kernel = &member->port;
    config->udp_port = member->port.port;
    config->capacity = 4096;
    config->sessions = NODE_SESSIONS_MIN;
    config->connections = NODE_CONNECTIONS_MIN;
    config->secrets = &text;
    config->secret_count = 1;
    config->cluster_name = "wild";
    config->random = seeded_source(&entropy);
    config->numa_node = -1;
    must(node_start(&member->node, config, now, error, sizeof error) == 0, error);
}

static int find_folder(void *state, const char *name)
{
    (void)state;
    (void)name;
    return folder_gone ? -ENOENT : 0;
}

/* The simulated one, whose folder may go. */
static struct disk disk_of(struct sim_disk *simulated)
{
    static struct disk_calls calls;
    struct disk disk = sim_disk_disk(simulated);

    calls = *disk.call;
    calls.found = find_folder;
    disk.call = &calls;
    return disk;
}

/* disk: what is found; NULL: an empty one. */
static void start_primary(struct sim_disk *disk, unsigned min_replicas)
{
    primary.disk = disk != NULL ? disk : sim_disk_create(7, SPACE);
    struct node_config config = {
        .log =
            {.folder = "sim",
             .disk = disk_of(primary.disk),
             .queue = sim_disk_queue(primary.disk),
             .rules = {.log = true, .writes_wait = true, .reads_wait = true, .replicated = min_replicas > 0},
             .segment_bytes = SEGMENT_BYTES},
        .replication = {.mode = MODE_PRIMARY,
                        .port = replication_port,
                        .name = "primary",
                        .min_replicas = min_replicas,
                        .ack_applied = true,
                        .heartbeat_ms = 100,
                        .timeout_ms = 1000},
    };

    start_member(&primary, &config);
    replication_port = control_streams_port(primary.node->streams);
}

static void start_replica(void)
{
    char error[128];
    replica.lookup = name_lookup_create("127.0.0.1", error, sizeof error);
    struct node_config config = {
        .log.rules.reads_wait = true,
        .replication = {.mode = MODE_REPLICA,
                        .primary = replica.lookup,
                        .primary_name = "127.0.0.1",
                        .primary_port = replication_port,
                        .name = "replica"},
    };

    must(replica.lookup != NULL, error);
    start_member(&replica, &config);
}

static void stop_member(struct party *member)
{
    node_stop(member->node);
    kernel_port_close(&member->port);
    name_lookup_destroy(member->lookup);
    if (member->disk != NULL)
        sim_disk_destroy(member->disk);
    *member = (struct party){.node = NULL};
}

static void begin(unsigned min_replicas)
{
    entropy = seeded_start(1);
    now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    replication_port = 0;
    folder_gone = false;
    start_primary(NULL, min_replicas);
}

static void end(void)
{
    stop_member(&replica);
    stop_member(&primary);
}

static struct state_view view_of(const struct party *member)
{
    return published_state_get(&member->node->published);
}

static bool serves(const struct party *member)
{
    return view_of(member).state == STATE_SERVING;
}

/* ---- what is in them ---- */

static uint64_t change(const char *key, const char *value)
{
    struct node *node = primary.node;
    struct operation set = {.opcode = OPCODE_SET,
                            .key = (const uint8_t *)key,
                            .key_length = (uint8_t)strlen(key),
                            .value = (const uint8_t *)value,
                            .value_length = (uint16_t)strlen(value)};
    uint8_t room[VALUE_BYTES_MAX];
    struct result result = {.value = room, .room = sizeof room};

    must(execute(node->worker[0].execute, &set, table_hash(node->table, set.key, set.key_length), now.wall_ms,
                 &result) == STATUS_OK,
         "a change is refused");
    return result.version;
}

static bool has(const struct party *member, const char *key, const char *value)
{
    struct operation get = {
        .opcode = OPCODE_GET, .key = (const uint8_t *)key, .key_length = (uint8_t)strlen(key)};
    uint8_t room[VALUE_BYTES_MAX];
    struct result result = {.value = room, .room = sizeof room};
    struct node *node = member->node;

    return execute(node->worker[0].execute, &get, table_hash(node->table, get.key, get.key_length),
                   now.wall_ms, &result) == STATUS_OK &&
           result.value_length == strlen(value) && memcmp(room, value, result.value_length) == 0;
}

static void change_many(const char *value)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];

        snprintf(key, sizeof key, "key%u", i);
        change(key, value);
        if (i % 16 == 0)
            step();
    }
}

static uint64_t point_of(const struct party *member)
{
    return durable_point_get(&member->node->log.durable).lsn;
}

static uint64_t counted(const struct party *member, enum replication_counter which)
{
    return replication_counted(&member->node->replication.counters, which);
}

/* ---- tests ---- */

static void a_replica_serves_when_it_has_what_the_primary_had_and_knows_where_that_is(void)
{
    static struct node_status status;
    char text[PUBLISHED_PRIMARY_BYTES];
    uint64_t lsn;

    begin(0);
    UNTIL(serves(&primary));
    change_many("one");
    CU_ASSERT(node_snapshot(primary.node));
    change_many("two");
    pass_ms(100);
    start_replica();
    CU_ASSERT_EQUAL(view_of(&replica).state, STATE_CATCHING_UP);
    CU_ASSERT_EQUAL(view_of(&replica).mode, MODE_REPLICA);
    CU_ASSERT_PTR_NULL(published_primary(&replica.node->published));
    UNTIL(serves(&replica));
    CU_ASSERT(has(&replica, "key0", "two") && has(&replica, "key499", "two"));
    CU_ASSERT_EQUAL(view_of(&replica).epoch, view_of(&primary).epoch);
    lsn = change("key7", "three");
    UNTIL(has(&replica, "key7", "three") && point_of(&replica) >= lsn);
    CU_ASSERT_EQUAL(view_of(&replica).history, view_of(&primary).history);
    snprintf(text, sizeof text, "127.0.0.1:%u", primary.port.port);
    CU_ASSERT_STRING_EQUAL(published_primary(&replica.node->published), text);
    CU_ASSERT_EQUAL(
        memcmp(replica.node->identity.cluster_id, primary.node->identity.cluster_id, CLUSTER_ID_BYTES), 0);
    CU_ASSERT_NOT_EQUAL(replica.node->identity.node_id, primary.node->identity.node_id);

    pass_ms(300);
    CU_ASSERT(node_status_take(primary.node, &status));
    CU_ASSERT_EQUAL(status.replicas, 1);
    CU_ASSERT_STRING_EQUAL(status.replica[0].name, "replica");
    CU_ASSERT(status.replica[0].serving && status.replica[0].applied_lsn == lsn && status.lsn == lsn);
    CU_ASSERT_EQUAL(status.lag_lsn, 0);
    CU_ASSERT(node_status_take(replica.node, &status));
    CU_ASSERT(status.mode == MODE_REPLICA && status.state == STATE_SERVING && status.lsn == lsn);
    CU_ASSERT_STRING_EQUAL(status.name, "replica");
    end();
}

static void a_generation_is_noted_when_every_worker_has_begun_another_turn(void)
{
    uint64_t generation;

    begin(0);
    UNTIL(serves(&primary));
    pass_ms(10); /* what was published when it began to serve is noted */
    generation = node_new_generation(primary.node);
    CU_ASSERT_FALSE(node_quiescent(primary.node, generation));
    primary.workers = 1; /* the other is in a turn that takes its time */
    pass_ms(10);
    CU_ASSERT_FALSE(node_quiescent(primary.node, generation));
    CU_ASSERT(node_quiescent(primary.node, generation - 1));
    primary.workers = WORKERS;
    step();
    CU_ASSERT(node_quiescent(primary.node, generation));
    end();
}

/* A replica's view is not cleared under a worker that may be reading it. */
static void a_bootstrap_waits_for_the_workers(void)
{
    static struct node_status status;

    begin(0);
    UNTIL(serves(&primary));
    change_many("one");
    start_replica();
    replica.workers = 1;
    pass_ms(500);
    CU_ASSERT_EQUAL(view_of(&replica).state, STATE_CATCHING_UP);
    CU_ASSERT_EQUAL(counted(&replica, REPLICATION_applied_records), 0);
    CU_ASSERT(node_status_take(primary.node, &status) && status.replicas == 1);
    CU_ASSERT_EQUAL(status.replica_lag_lsn[0],
                    1 + KEYS); /* the list of members is the first, with LSN 2^32 */
    replica.workers = WORKERS;
    UNTIL(serves(&replica));
    CU_ASSERT(has(&replica, "key499", "one"));
    end();
}

static void a_primary_that_returns_from_a_crash_is_followed_in_its_new_history(void)
{
    struct sim_disk *found;
    uint64_t before, lsn;

    begin(0);
    UNTIL(serves(&primary));
    change_many("one");
    start_replica();
    UNTIL(serves(&replica));
    before = view_of(&replica).history;
    lsn = change("k", "last");
    UNTIL(point_of(&replica) >= lsn);
    found = sim_disk_image(primary.disk, SIM_CRASH_NOTHING, 3);
    stop_member(&primary);
    pass_ms(3000);
    CU_ASSERT(serves(&replica) && has(&replica, "k", "last"));
    start_primary(found, 0);
    UNTIL(serves(&primary));
    CU_ASSERT(has(&primary, "k", "last"));
    lsn = change("k", "new");
    UNTIL(has(&replica, "k", "new") && point_of(&replica) >= lsn);
    CU_ASSERT_NOT_EQUAL(view_of(&replica).history, before);
    CU_ASSERT_EQUAL(view_of(&replica).epoch, 2);
    CU_ASSERT_EQUAL(counted(&replica, REPLICATION_bootstraps), 1);
    /* What the first history had above its end was given to none that is known. */
    CU_ASSERT(durable_point_lost(&replica.node->log.durable, (UINT64_C(1) << 32) + 100000));
    end();
}

static void writes_wait_for_replicas_and_are_refused_without_them(void)
{
    uint64_t lsn, point;

    begin(1);
    UNTIL(serves(&primary));
    lsn = change("k", "v");
    pass_ms(500);
    CU_ASSERT(point_of(&primary) < lsn); /* durable, and nobody else has it */
    UNTIL(view_of(&primary).state == STATE_READ_ONLY);
    CU_ASSERT(durable_point_get(&primary.node->log.durable).failed);
    CU_ASSERT_PTR_NOT_NULL(strstr(node_why(primary.node), "--min-replicas"));
    start_replica();
    UNTIL(serves(&primary));
    CU_ASSERT_PTR_NULL(node_why(primary.node));
    CU_ASSERT_FALSE(durable_point_get(&primary.node->log.durable).failed);
    UNTIL(point_of(&primary) >= lsn && serves(&replica));
    lsn = change("k", "w");
    UNTIL(point_of(&primary) >= lsn);
    CU_ASSERT(has(&replica, "k", "w"));
    UNTIL(point_of(&replica) >= lsn);
    /* It falls silent: what was acknowledged stays so, and no more is. */
    point = point_of(&primary);
    struct node *silent = replica.node;
    replica.node = NULL;
    lsn = change("k", "x");
    UNTIL(view_of(&primary).state == STATE_READ_ONLY);
    CU_ASSERT_EQUAL(point_of(&primary), point);
    replica.node = silent;
    UNTIL(serves(&primary) && point_of(&primary) >= lsn);
    CU_ASSERT(has(&replica, "k", "x"));
    end();
}

static void a_primary_that_stops_gives_its_replicas_the_end_and_tells_them(void)
{
    uint64_t lsn, begun_ns;

    begin(0);
    UNTIL(serves(&primary));
    start_replica();
    UNTIL(serves(&replica));
    lsn = change("k", "last");
    node_drain(primary.node);
    begun_ns = now.mono_ns;
    UNTIL(node_drained(primary.node));
    CU_ASSERT(now.mono_ns - begun_ns < UINT64_C(1500000000));
    CU_ASSERT(has(&replica, "k", "last") && point_of(&replica) >= lsn);
    CU_ASSERT_EQUAL(counted(&replica, REPLICATION_cut), 0);
    CU_ASSERT_EQUAL(counted(&primary, REPLICATION_cut), 0);
    CU_ASSERT(serves(&replica));
    end();
}

/* Nobody is loaded from a folder that no start will find. */
static void a_primary_whose_folder_is_gone_loads_nobody(void)
{
    static struct node_status status;

    begin(0);
    UNTIL(serves(&primary));
    change_many("one");
    folder_gone = true;
    UNTIL(view_of(&primary).state == STATE_READ_ONLY);
    start_replica();
    pass_ms(500);
    CU_ASSERT(counted(&primary, REPLICATION_refused) > 0 && counted(&primary, REPLICATION_sessions) == 0);
    CU_ASSERT(node_status_take(replica.node, &status) && status.state == STATE_CATCHING_UP);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.why, "folder"));
    end();
}

/* Who has no key gets no farewell that he could leave unanswered: each would take a replica's place meanwhile. */
static void a_stranger_that_hangs_up_is_reset(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int stranger = socket(AF_INET, SOCK_STREAM, 0);
    char byte;

    begin(0);
    UNTIL(serves(&primary));
    address.sin_port = htons(replication_port);
    must(stranger >= 0 && connect(stranger, (struct sockaddr *)&address, sizeof address) == 0,
         "no connection");
    UNTIL(primary.node->replication.links == 1);
    CU_ASSERT_EQUAL(shutdown(stranger, SHUT_WR), 0);
    UNTIL(primary.node->replication.links == 0);
    CU_ASSERT(recv(stranger, &byte, 1, MSG_DONTWAIT) == -1 && errno == ECONNRESET);
    close(stranger);
    end();
}

static void a_replica_that_stops_tells_its_primary_and_one_that_hangs_does_not_keep_the_primary(void)
{
    uint64_t begun_ns;

    begin(0);
    UNTIL(serves(&primary));
    start_replica();
    UNTIL(serves(&replica));
    node_drain(replica.node);
    begun_ns = now.mono_ns;
    UNTIL(node_drained(replica.node));
    CU_ASSERT(now.mono_ns - begun_ns < UINT64_C(1000000000));
    UNTIL(primary_replica_count(primary.node->replication.leading.primary) == 0);
    CU_ASSERT_EQUAL(counted(&primary, REPLICATION_cut) + counted(&primary, REPLICATION_timed_out), 0);
    stop_member(&replica);

    start_replica();
    UNTIL(serves(&replica));
    struct node *hangs = replica.node;
    replica.node = NULL;
    change("k", "not for it");
    node_drain(primary.node);
    begun_ns = now.mono_ns;
    UNTIL(node_drained(primary.node));
    CU_ASSERT(now.mono_ns - begun_ns < UINT64_C(2000000000));
    replica.node = hangs;
    end();
}

/* ---- orders ---- */

static struct node_order_answer told(struct node *node, const struct node_order *order)
{
    struct node_order_answer answer = {.ok = false};
    uint64_t until_ns = now.mono_ns + UINT64_C(10000000000);

    CU_ASSERT_EQUAL_FATAL(node_order_begin(node, order), 0);
    while (!node_order_ended(node, &answer) && now.mono_ns < until_ns)
        step();
    return answer;
}

static struct node_order to_follow(const char *host, uint16_t port)
{
    struct node_order order = {.kind = NODE_ORDER_FOLLOW, .port = port};
    char error[128];

    snprintf(order.host, sizeof order.host, "%s", host);
    order.lookup = name_lookup_create(host, error, sizeof error);
    must(order.lookup != NULL, error);
    return order;
}

/* A port of this machine's where nobody listens, or somebody who says nothing. */
static uint16_t other_port(int *holder, bool listens)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;

    *holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(*holder, (struct sockaddr *)&at, sizeof at) == 0 &&
             getsockname(*holder, (struct sockaddr *)&at, &length) == 0 &&
             (!listens || listen(*holder, 1) == 0),
         "a port of this machine's");
    return ntohs(at.sin_port);
}

static void a_replica_follows_whom_it_is_told_to(void)
{
    static struct node_status status;
    struct node_order order;
    struct node_order_answer answer;
    int nobody, silent;
    uint16_t leads, wrong;

    begin(0);
    UNTIL(serves(&primary));
    change_many("one");
    leads = replication_port;
    replication_port = other_port(&nobody, false);
    start_replica();
    pass_ms(300);
    CU_ASSERT_EQUAL(view_of(&replica).state, STATE_CATCHING_UP);
    order = to_follow("localhost", leads); /* a name: its thread answers in its own time */
    CU_ASSERT(told(replica.node, &order).ok);
    for (unsigned i = 0; i < 1000 && !serves(&replica); i++) {
        pass_ms(10);
        usleep(1000);
    }
    CU_ASSERT_FATAL(serves(&replica));

    /* Away from it, to somebody who says nothing, and back while that is being waited for. */
    wrong = other_port(&silent, true);
    order = to_follow("127.0.0.1", wrong);
    answer = told(replica.node, &order);
    CU_ASSERT(answer.ok && strstr(answer.text, "127.0.0.1:") != NULL);
    UNTIL(primary_replica_count(primary.node->replication.leading.primary) == 0);
    CU_ASSERT(serves(&replica)); /* what it has */
    pass_ms(100);
    CU_ASSERT(node_status_take(replica.node, &status));
    CU_ASSERT_EQUAL(strtoul(strrchr(status.primary, ':') + 1, NULL, 10), wrong);
    change("key7", "two");
    struct address loopback = address_from_ip4(htonl(INADDR_LOOPBACK));
    node_following_ask_address(replica.node, &loopback, leads);
    UNTIL(has(&replica, "key7", "two"));
    pass_ms(100);
    CU_ASSERT(node_status_take(replica.node, &status));
    CU_ASSERT_EQUAL(strncmp(status.primary, "127.0.0.1:", 10), 0);
    CU_ASSERT_EQUAL(counted(&replica, REPLICATION_cut), 0);
    close(nobody);
    close(silent);
    end();
}

/* Wherever the replica is with the one it asks: looking it up, connecting, shaking hands, loading, following. */
static void an_order_to_follow_is_obeyed_at_any_moment(void)
{
    begin(0);
    UNTIL(serves(&primary));
    change_many("one");
    start_replica();
    for (unsigned i = 0; i < 60; i++) {
        struct node_order order = to_follow(i % 5 == 0 ? "localhost" : "127.0.0.1", replication_port);

        CU_ASSERT(told(replica.node, &order).ok);
        for (unsigned steps = i; steps > 0; steps--)
            step();
        CU_ASSERT(replica.node->replication.links <= NODE_REPLICA_STREAMS);
    }
    for (unsigned i = 0; i < 1000 && !serves(&replica); i++)
        pass_ms(10);
    CU_ASSERT(serves(&replica) && has(&replica, "key499", "one"));
    end();
}

/* The list as the log's histories have it; who streams has said how far its log is. */
static void members_are_shown_with_what_is_known_of_them(void)
{
    static struct node_status status;
    struct member_list *listed;
    struct node *node;

    begin(0);
    UNTIL(serves(&primary));
    start_replica();
    UNTIL(serves(&replica));
    node = primary.node;
    UNTIL(node_status_take(node, &status) && status.members == 1); /* the primary alone has a log */
    change("k", "v");
    pass_ms(200);
    CU_ASSERT(node_status_take(node, &status));
    listed = &node->log.meta.now.members;
    *listed = (struct member_list){
        .last_lsn = status.lsn,
        .count = 3,
        .member = {{.node_id = node->identity.node_id, .part = MEMBER_STAYS, .name = "primary"},
                   {.node_id = replica.node->identity.node_id, .part = MEMBER_LEAVES, .name = "replica"},
                   {.node_id = 77, .part = MEMBER_JOINS, .name = "afar"}}};
    pass_ms(100);
    CU_ASSERT(node_status_take(node, &status));
    CU_ASSERT_EQUAL_FATAL(status.members, 3);
    CU_ASSERT(status.member[0].primary && status.member[0].self && status.member[0].counts);
    CU_ASSERT_EQUAL(status.member[0].durable_lsn, status.durable_lsn);
    CU_ASSERT(!status.member[1].primary && !status.member[1].self && status.member[1].counts);
    CU_ASSERT_EQUAL(status.member[1].durable_lsn, 0); /* it has no log */
    CU_ASSERT(!status.member[2].counts && strcmp(status.member[2].member.name, "afar") == 0);
    listed->last_lsn = status.lsn + 1; /* not acknowledged */
    pass_ms(100);
    CU_ASSERT(node_status_take(node, &status));
    CU_ASSERT_FALSE(status.member[0].counts);
    end();
}

static void only_a_replica_follows(void)
{
    static struct node_status status;
    struct node_order order;
    struct node_order_answer answer;

    begin(0);
    UNTIL(serves(&primary));
    order = to_follow("127.0.0.1", replication_port);
    answer = told(primary.node, &order);
    CU_ASSERT_FALSE(answer.ok);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer.text, "follows nobody"));
    CU_ASSERT(serves(&primary));
    pass_ms(100);
    CU_ASSERT(node_status_take(primary.node, &status));
    CU_ASSERT_EQUAL(strncmp(status.order, "follow: not done: a primary", 27), 0);
    end();
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(a_replica_serves_when_it_has_what_the_primary_had_and_knows_where_that_is),
        TEST(a_generation_is_noted_when_every_worker_has_begun_another_turn),
        TEST(a_bootstrap_waits_for_the_workers),
        TEST(a_primary_that_returns_from_a_crash_is_followed_in_its_new_history),
        TEST(writes_wait_for_replicas_and_are_refused_without_them),
        TEST(a_primary_that_stops_gives_its_replicas_the_end_and_tells_them),
        TEST(a_replica_that_stops_tells_its_primary_and_one_that_hangs_does_not_keep_the_primary),
        TEST(a_primary_whose_folder_is_gone_loads_nobody),
        TEST(a_stranger_that_hangs_up_is_reset),
        TEST(a_replica_follows_whom_it_is_told_to),
        TEST(an_order_to_follow_is_obeyed_at_any_moment),
        TEST(only_a_replica_follows),
        TEST(members_are_shown_with_what_is_known_of_them),
        CU_TEST_INFO_NULL,
    };

    if (keys_start() != 0)
        return 1;
    test_eal_start();
    return suite_run("replication_nodes", tests);
}
