/*
 * node_log.c - whole nodes with a log on a disk that crashes: what a client was answered is there afterwards, whatever
 * the crash left; and what it is told while the log is read, full or broken. Virtual time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../unit/seeded.h"
#include "../unit/suite.h"
#include "../unit/test_eal.h"
#include "hub.h"
#include "request_tests.h"

enum { KEYS = 24, ROUNDS = 12, WRITES = 60, SPACE = 16 << 20 };

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const struct durability_rules sync_rules = {.log = true, .writes_wait = true, .reads_wait = true};

static struct rte_mempool *pool;
static uint64_t seed, entropy;
static struct hub hub;
static struct test_client client;
static uint64_t known[KEYS]; /* the value that was acknowledged; 0: none */
static uint64_t tried[KEYS]; /* a later one that was not answered; 0: none */
static uint64_t next_value;

static void connect(void)
{
    struct datagram_link link = hub_link(&hub);

    hub.inbox_count = 0;
    CU_ASSERT_FATAL(test_client_connect(&client, &link, secret, SUITE_MAC, seeded_source(&entropy)));
}

static enum status ask(struct operation operation, struct reply *reply)
{
    struct reply replies[TEST_CLIENT_OPERATIONS];

    if (test_client_request(&client, &operation, 1, replies) != 1)
        return STATUS_TIMEOUT;
    if (reply != NULL)
        *reply = replies[0];
    return replies[0].status;
}

static enum status set(const char *key, const void *value, size_t length)
{
    return ask((struct operation){.opcode = OPCODE_SET,
                                  .key = (const uint8_t *)key,
                                  .key_length = (uint8_t)strlen(key),
                                  .value = value,
                                  .value_length = (uint16_t)length},
               NULL);
}

static enum status get(const char *key, struct reply *reply)
{
    return ask((struct operation){.opcode = OPCODE_GET,
                                  .key = (const uint8_t *)key,
                                  .key_length = (uint8_t)strlen(key)},
               reply);
}

static void pause_ms(unsigned ms)
{
    struct datagram_link link = hub_link(&hub);

    link.pass_time(link.state, ms);
}

static void serves(void)
{
    if (!hub_serves(&hub, 0)) {
        fprintf(stderr, "WILD_SEED=%llu: %s\n", (unsigned long long)seed, hub.error);
        CU_FAIL_FATAL("the node serves again");
    }
}

static void start_with(struct durability_rules rules)
{
    entropy = seeded_start(seed);
    memset(known, 0, sizeof known);
    memset(tried, 0, sizeof tried);
    next_value = 1;
    hub_start_logged(&hub, pool, 1, seed, secret, rules, SPACE);
    serves();
    connect();
}

static void start(void)
{
    start_with(sync_rules);
}

static const char *key_of(unsigned i)
{
    static char key[16];

    snprintf(key, sizeof key, "key%u", i);
    return key;
}

/* Some writes; the last may be on its way when the node dies. */
static void write_some(void)
{
    uint8_t value[1000];

    for (unsigned i = 0; i < WRITES; i++) {
        unsigned which = (unsigned)seeded_below(&entropy, KEYS);

        memset(value, (int)which, sizeof value);
        memcpy(value, &next_value, sizeof next_value);
        tried[which] = next_value;
        if (set(key_of(which), value, 8 + seeded_below(&entropy, sizeof value - 8)) == STATUS_OK) {
            known[which] = next_value;
            tried[which] = 0;
        }
        next_value++;
    }
}

static void everything_known_is_there(enum sim_crash crash)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct reply reply;
        enum status status = get(key_of(i), &reply);
        uint64_t value = 0;

        CU_ASSERT_FATAL(status == STATUS_OK || status == STATUS_NOT_FOUND);
        if (status == STATUS_OK)
            memcpy(&value, reply.value, sizeof value);
        if (value != known[i] && (tried[i] == 0 || value != tried[i])) {
            fprintf(stderr, "WILD_SEED=%llu crash %d: %s is %llu, %llu was acknowledged\n",
                    (unsigned long long)seed, (int)crash, key_of(i), (unsigned long long)value,
                    (unsigned long long)known[i]);
            CU_FAIL("an acknowledged write is there");
        }
        known[i] = value;
        tried[i] = 0;
    }
}

static void what_was_acknowledged_survives_every_kind_of_crash(void)
{
    start();
    for (unsigned round = 0; round < ROUNDS; round++) {
        enum sim_crash crash = (enum sim_crash)(round % SIM_CRASHES);

        write_some();
        if (round % 3 == 1)
            node_snapshot(hub.nodes[0].node);
        for (uint64_t steps = seeded_below(&entropy, 200); steps > 0; steps--)
            hub_step(&hub);
        hub_crash(&hub, 0, crash);
        serves();
        connect();
        everything_known_is_there(crash);
    }
    hub_stop(&hub);
}

static void the_request_tests_pass_on_a_node_with_a_log(void)
{
    start();
    for (unsigned i = 0; i < request_tests_count; i++) {
        CU_ASSERT_EQUAL(ask((struct operation){.opcode = OPCODE_FLUSH}, NULL), STATUS_OK);
        const char *wrong = request_tests[i].run(&client);

        if (wrong != NULL) {
            fprintf(stderr, "%s: not so: %s (WILD_SEED=%llu)\n", request_tests[i].name, wrong,
                    (unsigned long long)seed);
            CU_FAIL("a request test");
        }
    }
    hub_stop(&hub);
}

/* A node that has found "k" in its folder, and does not get on with reading it. */
static void start_on_a_log_that_nobody_reads(void)
{
    start();
    CU_ASSERT_EQUAL(set("k", "v", 1), STATUS_OK);
    hub_crash(&hub, 0, SIM_CRASH_KILL);
    hub.nodes[0].paused_disk = true;
    connect();
}

static void while_the_log_is_read_reads_are_stale_and_writes_busy(void)
{
    start_on_a_log_that_nobody_reads();
    CU_ASSERT_EQUAL(get("k", NULL), STATUS_STALE);
    CU_ASSERT_EQUAL(set("k", "w", 1), STATUS_BUSY);
    hub.nodes[0].paused_disk = false;
    serves();
    struct reply reply;
    CU_ASSERT_EQUAL(get("k", &reply), STATUS_OK);
    CU_ASSERT_EQUAL(reply.value[0], 'v');
    CU_ASSERT_EQUAL(set("k", "w", 1), STATUS_OK);
    hub_stop(&hub);
}

/* A stop, or a folder that is refused: the table is incomplete to the last, and stays so. */
static void a_node_that_stops_while_the_log_is_read_tells_nothing_of_it(void)
{
    start_on_a_log_that_nobody_reads();
    node_drain(hub.nodes[0].node);
    for (unsigned i = 0; i < 3; i++) {
        enum status status = get("k", NULL);
        CU_ASSERT(status == STATUS_STALE || status == STATUS_TIMEOUT);
        status = set("other", "w", 1);
        CU_ASSERT(status == STATUS_BUSY || status == STATUS_TIMEOUT);
    }
    pause_ms(500);
    CU_ASSERT(node_drained(hub.nodes[0].node));
    hub_stop(&hub);
}

/* The log is read to its end all the same, before the workers are done: nobody begins to serve then. */
static void a_node_that_was_told_to_stop_does_not_begin_to_serve(void)
{
    start_on_a_log_that_nobody_reads();
    node_drain(hub.nodes[0].node);
    hub.nodes[0].paused_disk = false;
    for (unsigned i = 0; i < 3; i++) {
        enum status status = set("other", "w", 1);
        CU_ASSERT(status == STATUS_BUSY || status == STATUS_TIMEOUT);
    }
    pause_ms(500);
    CU_ASSERT(node_drained(hub.nodes[0].node));
    hub_stop(&hub);
}

/* Without waiting for the disk: what is acknowledged while the log ends would be lost. */
static void a_node_that_stops_acknowledges_nothing_once_its_log_ends(void)
{
    unsigned acknowledged = 0;
    struct reply reply;
    uint64_t value;

    start_with((struct durability_rules){.log = true});
    node_drain(hub.nodes[0].node);
    for (value = 1; value < 2000 && !node_drained(hub.nodes[0].node); value++)
        if (set("k", &value, sizeof value) == STATUS_OK)
            acknowledged = (unsigned)value;
    CU_ASSERT(node_drained(hub.nodes[0].node));
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_NOT_EQUAL(set("late", "w", 1), STATUS_OK);
    hub_crash(&hub, 0, SIM_CRASH_NOTHING);
    serves();
    connect();
    CU_ASSERT_FATAL(acknowledged > 0 && get("k", &reply) == STATUS_OK);
    memcpy(&value, reply.value, sizeof value);
    CU_ASSERT_EQUAL(value, acknowledged);
    hub_stop(&hub);
}

/* The node starts anew, and comes to where its own log begins. */
static void read_the_log_only(void)
{
    hub_crash(&hub, 0, SIM_CRASH_KILL);
    hub.nodes[0].paused_disk = true;
    while (node_housekeeping_step(hub.nodes[0].node) != NODE_HOUSEKEEPING_IDLE)
        ;
}

static void a_log_that_cannot_be_begun_is_a_folder_that_is_refused(void)
{
    start();
    read_the_log_only();
    sim_disk_fail_write(hub.nodes[0].disk, 1, EIO, true);
    hub.nodes[0].paused_disk = false;
    CU_ASSERT(!hub_serves(&hub, 0));
    CU_ASSERT_PTR_NOT_NULL(strstr(hub.error, "cannot be written"));
    hub_stop(&hub);
}

static void a_node_that_starts_on_a_full_disk_says_so_before_it_serves(void)
{
    enum status status;

    start();
    read_the_log_only();
    /* Its first block takes long enough for the segment after that to be refused before. */
    sim_disk_set_latency(hub.nodes[0].disk, 1000);
    sim_disk_set_space(hub.nodes[0].disk, 0);
    hub.nodes[0].paused_disk = false;
    serves();
    connect();
    status = set("k", "v", 1);
    CU_ASSERT_EQUAL(status, STATUS_READ_ONLY);
    sim_disk_set_latency(hub.nodes[0].disk, 0);
    sim_disk_set_space(hub.nodes[0].disk, SPACE);
    for (unsigned i = 0; i < 20 && status != STATUS_OK; i++) {
        pause_ms(100);
        status = set("k", "v", 1);
    }
    CU_ASSERT_EQUAL(status, STATUS_OK);
    hub_stop(&hub);
}

/* Without waiting for the disk a client may be told of what is gone after a crash: it must hear of that. */
static void a_read_behind_a_change_that_was_lost_says_so(void)
{
    struct operation behind = {
        .opcode = OPCODE_GET, .flags = FLAG_MIN_LSN, .key = (const uint8_t *)"k", .key_length = 1};
    struct operation change = {
        .opcode = OPCODE_SET, .key = behind.key, .key_length = 1, .value = behind.key, .value_length = 1};
    struct reply reply = {0};
    uint64_t kept;

    start_with((struct durability_rules){.log = true});
    CU_ASSERT_EQUAL(ask(change, &reply), STATUS_OK);
    kept = reply.version;
    pause_ms(100); /* it is on the disk */
    sim_disk_crash_at(hub.nodes[0].disk, sim_disk_boundaries(hub.nodes[0].disk));
    CU_ASSERT_EQUAL(ask(change, &reply), STATUS_OK);
    hub_crash(&hub, 0, SIM_CRASH_NOTHING);
    serves();
    connect();
    for (unsigned i = 0; i < 2; i++) {
        struct reply now = {0};

        behind.version = kept;
        CU_ASSERT_EQUAL(ask(behind, &now), STATUS_OK);
        CU_ASSERT_EQUAL(now.version, kept);
        behind.version = reply.version;
        CU_ASSERT_EQUAL(ask(behind, &now), STATUS_LOST);
        CU_ASSERT_EQUAL(ask((struct operation){.opcode = OPCODE_HEALTH}, &now), STATUS_OK);
        struct health health;
        CU_ASSERT_FATAL(health_decode(now.value, now.value_length, &health));
        behind.version = health.lsn;
        CU_ASSERT_EQUAL(ask(behind, &now), STATUS_OK);
        hub_crash(&hub, 0, SIM_CRASH_KILL); /* and after any later start */
        serves();
        connect();
    }
    hub_stop(&hub);
}

static uint64_t health_lsn(void)
{
    struct health health = {0};
    struct reply reply = {0};

    CU_ASSERT_EQUAL_FATAL(ask((struct operation){.opcode = OPCODE_HEALTH}, &reply), STATUS_OK);
    CU_ASSERT_FATAL(health_decode(reply.value, reply.value_length, &health));
    return health.lsn;
}

static void a_node_that_has_changed_nothing_yet_tells_the_last_change_before_it(void)
{
    struct reply reply;

    start();
    CU_ASSERT_EQUAL(health_lsn(), 0);
    CU_ASSERT_EQUAL(set("k", "v", 1), STATUS_OK);
    CU_ASSERT_EQUAL(get("k", &reply), STATUS_OK);
    CU_ASSERT_EQUAL(health_lsn(), reply.version);
    for (unsigned i = 0; i < 2; i++) {
        hub_crash(&hub, 0, SIM_CRASH_KILL);
        serves();
        connect();
        CU_ASSERT_EQUAL(health_lsn(), reply.version);
    }
    hub_stop(&hub);
}

static void a_disk_that_fails_makes_the_node_read_only_until_it_is_started_again(void)
{
    start();
    CU_ASSERT_EQUAL(set("k", "v", 1), STATUS_OK);
    sim_disk_fail_write(hub.nodes[0].disk, 1, EIO, true);
    CU_ASSERT_EQUAL(set("k", "w", 1), STATUS_TIMEOUT);
    CU_ASSERT_EQUAL(set("k", "x", 1), STATUS_READ_ONLY);
    CU_ASSERT_EQUAL(get("k", NULL), STATUS_STALE); /* "w" is there, and may be gone tomorrow */
    CU_ASSERT_EQUAL(get("other", NULL), STATUS_NOT_FOUND);
    hub_crash(&hub, 0, SIM_CRASH_NOTHING);
    serves();
    connect();
    struct reply reply;
    CU_ASSERT_EQUAL(get("k", &reply), STATUS_OK);
    CU_ASSERT(reply.value[0] == 'v' || reply.value[0] == 'w');
    CU_ASSERT_EQUAL(set("k", "y", 1), STATUS_OK);
    hub_stop(&hub);
}

/* Acknowledged at once, or only when it is on the disk: the first is lost with a disk that takes no more. */
static void stop_on_a_failed_disk(struct durability_rules rules)
{
    start_with(rules);
    CU_ASSERT_EQUAL(set("k", "v", 1), STATUS_OK);
    pause_ms(100);
    sim_disk_fail_write(hub.nodes[0].disk, 1, EIO, true);
    enum status status = set("k", "w", 1);
    CU_ASSERT_EQUAL(status, rules.writes_wait ? STATUS_TIMEOUT : STATUS_OK);
    node_drain(hub.nodes[0].node);
    pause_ms(3000);
    CU_ASSERT(node_drained(hub.nodes[0].node));
    CU_ASSERT_EQUAL(node_lost_changes(hub.nodes[0].node), !rules.writes_wait);
    hub_stop(&hub);
}

static void a_node_that_stops_without_what_it_acknowledged_says_so(void)
{
    stop_on_a_failed_disk((struct durability_rules){.log = true});
    stop_on_a_failed_disk(sync_rules);
    start_with((struct durability_rules){.log = true});
    CU_ASSERT_EQUAL(set("k", "v", 1), STATUS_OK);
    node_drain(hub.nodes[0].node);
    pause_ms(3000);
    CU_ASSERT(node_drained(hub.nodes[0].node) && !node_lost_changes(hub.nodes[0].node));
    hub_stop(&hub);
}

static void a_full_disk_makes_the_node_read_only_until_there_is_space(void)
{
    uint8_t value[1000] = {0};
    enum status status = STATUS_OK;

    start();
    sim_disk_set_space(hub.nodes[0].disk, 0);
    for (unsigned i = 0; i < 2000 && status == STATUS_OK; i++)
        status = set(key_of(i % KEYS), value, sizeof value);
    CU_ASSERT(status == STATUS_READ_ONLY || status == STATUS_TIMEOUT || status == STATUS_BUSY);
    for (unsigned i = 0; i < 20 && set("k", "v", 1) != STATUS_READ_ONLY; i++)
        pause_ms(100);
    CU_ASSERT_EQUAL(set("k", "v", 1), STATUS_READ_ONLY);
    sim_disk_set_space(hub.nodes[0].disk, SPACE);
    for (unsigned i = 0; i < 20 && status != STATUS_OK; i++) {
        pause_ms(100);
        status = set("k", "v", 1);
    }
    CU_ASSERT_EQUAL(status, STATUS_OK);
    hub_stop(&hub);
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(the_request_tests_pass_on_a_node_with_a_log),
        TEST(what_was_acknowledged_survives_every_kind_of_crash),
        TEST(while_the_log_is_read_reads_are_stale_and_writes_busy),
        TEST(a_node_that_stops_while_the_log_is_read_tells_nothing_of_it),
        TEST(a_node_that_was_told_to_stop_does_not_begin_to_serve),
        TEST(a_node_that_stops_acknowledges_nothing_once_its_log_ends),
        TEST(a_log_that_cannot_be_begun_is_a_folder_that_is_refused),
        TEST(a_node_that_starts_on_a_full_disk_says_so_before_it_serves),
        TEST(a_read_behind_a_change_that_was_lost_says_so),
        TEST(a_node_that_has_changed_nothing_yet_tells_the_last_change_before_it),
        TEST(a_disk_that_fails_makes_the_node_read_only_until_it_is_started_again),
        TEST(a_node_that_stops_without_what_it_acknowledged_says_so),
        TEST(a_full_disk_makes_the_node_read_only_until_there_is_space),
#undef TEST
        CU_TEST_INFO_NULL,
    };

    seed = seeded_from_environment(42);
    printf("WILD_SEED=%llu\n", (unsigned long long)seed);
    if (keys_start() != 0)
        return 1;
    test_eal_start();
    pool = test_eal_pool("node_log", 8192);
    return suite_run("node_log", tests);
}
