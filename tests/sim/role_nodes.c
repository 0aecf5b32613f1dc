/*
 * role_nodes.c - two nodes with logs of their own on simulated disks, whole, in one process, over loopback under
 * a virtual clock: what becomes of promises, promotions and orders where a node's part changes at the wrong
 * moment.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/seeded.h"
#include "../unit/suite.h"
#include "../unit/test_eal.h"
#include "epoch.h"
#include "node_internal.h"
#include "node_worker.h"
#include "sim_disk.h"

enum { STEP_NS = 100 * 1000, SPACE = 64 << 20, SEGMENT_BYTES = 1 << 20, RIVAL = 77 };

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct party {
    const char *name;
    struct kernel_port port;
    struct sim_disk *disk;
    struct name_lookup *lookup;
    struct node *node;
    uint16_t replication_port;
    bool hangs, disk_hangs;
};

static struct party a = {.name = "a"}, b = {.name = "b"};
static struct instant now;
static uint64_t entropy;

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "role_nodes: %s\n", what);
        exit(1);
    }
}

/* ---- the two ---- */

static void turn(struct party *party)
{
    if (party->node == NULL || party->hangs)
        return;
    node_worker_turn(party->node, 0, now);
    node_control_turn(party->node, now);
    node_helper_step(party->node);
    if (!party->disk_hangs)
        node_housekeeping_step(party->node);
}

static void step(void)
{
    now.mono_ns += STEP_NS;
    now.wall_ms = UINT64_C(1700000000000) + now.mono_ns / 1000000;
    turn(&a);
    turn(&b);
}

/* Until it holds, for fifteen seconds of the nodes' at most. */
#define UNTIL(holds)                                                                                         \
    do {                                                                                                     \
        uint64_t until_ns_ = now.mono_ns + UINT64_C(15000000000);                                            \
        while (!(holds) && now.mono_ns < until_ns_)                                                          \
            step();                                                                                          \
        CU_ASSERT_FATAL(holds);                                                                              \
    } while (0)

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(bind(holder, (struct sockaddr *)&at, sizeof at) == 0 &&
             getsockname(holder, (struct sockaddr *)&at, &length) == 0,
         "a port of this machine's");
    close(holder);
    return ntohs(at.sin_port);
}

static void start(struct party *party, enum mode mode, uint16_t primary_port)
{
    char error[256] = "";
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = 1, .streams = true};
    struct secret_option text = {.length = strlen(secret)};

    memcpy(text.text, secret, text.length);
    must(kernel_port_open(&party->port, &port, error, sizeof error) == 0, error);
    if (party->replication_port == 0) /* others are told */
        party->replication_port = free_port();
    if (party->disk == NULL)
        party->disk = sim_disk_create(7, SPACE);
    party->lookup = name_lookup_create("127.0.0.1", error, sizeof error);
    must(party->lookup != NULL, error);
    struct node_config config = {
        .log = {.folder = "sim",
                .disk = sim_disk_disk(party->disk),
                .queue = sim_disk_queue(party->disk),
                .rules = {.log = true, .writes_wait = true, .reads_wait = true},
                .segment_bytes = SEGMENT_BYTES},
        .replication = {.mode = mode,
                        .port = party->replication_port,
                        .primary = party->lookup,
                        .primary_name = "127.0.0.1",
                        .primary_port = primary_port,
                        .name = party->name,
                        .heartbeat_ms = 100,
                        .timeout_ms = 1000},
        .workers = 1,
        .kernel = &party->port,
        .udp_port = party->port.port,
        .capacity = 1024,
        .sessions = NODE_SESSIONS_MIN,
        .connections = NODE_CONNECTIONS_MIN,
        .secrets = &text,
        .secret_count = 1,
        .cluster_name = "wild",
        .random = seeded_source(&entropy),
        .numa_node = -1,
    };
    must(node_start(&party->node, &config, now, error, sizeof error) == 0, error);
}

/* Its disk stays; nothing is on its way there. */
static void stop(struct party *party)
{
    party->hangs = party->disk_hangs = false;
    for (unsigned i = 0; i < 100; i++)
        turn(party);
    node_stop(party->node);
    kernel_port_close(&party->port);
    name_lookup_destroy(party->lookup);
    party->node = NULL;
}

static struct node_role *role(const struct party *party)
{
    return &party->node->replication.role;
}

static struct replica_facts following(const struct party *party)
{
    struct replica_facts facts;

    replica_facts(party->node->replication.following.replica, &facts);
    return facts;
}

static void change(const char *key)
{
    struct node *node = a.node;
    struct operation set = {.opcode = OPCODE_SET,
                            .key = (const uint8_t *)key,
                            .key_length = (uint8_t)strlen(key),
                            .value = (const uint8_t *)"v",
                            .value_length = 1};
    uint8_t room[VALUE_BYTES_MAX];
    struct result result = {.value = room, .room = sizeof room};

    must(execute(node->worker[0].execute, &set, table_hash(node->table, set.key, set.key_length), now.wall_ms,
                 &result) == STATUS_OK,
         "a change is refused");
}

static bool is_listed(const struct party *party)
{
    const struct member_list *list = &party->node->log.meta.now.members;

    return list->count == 2 && member_list_is_settled(list);
}

static void end(void);

static void begin_alone(void)
{
    end(); /* of a test that has failed */
    entropy = seeded_start(1);
    now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    start(&a, MODE_PRIMARY, 0);
    UNTIL(role(&a)->part == PART_LEADS);
    change("one");
}

/* a leads, b follows and is a member. */
static void begin(void)
{
    begin_alone();
    start(&b, MODE_REPLICA, a.replication_port);
    UNTIL(is_listed(&a) && is_listed(&b) && !following(&b).adopting &&
          following(&b).applied_lsn == following(&b).primary_lsn);
}

static void end_party(struct party *party)
{
    if (party->node != NULL)
        stop(party);
    if (party->disk != NULL)
        sim_disk_destroy(party->disk);
    *party = (struct party){.name = party->name};
}

static void end(void)
{
    end_party(&a);
    end_party(&b);
}

/* ---- orders, promises ---- */

static struct node_order_answer told(struct party *party, const struct node_order *order)
{
    struct node_order_answer answer = {.ok = false, .text = "it has not ended"};
    uint64_t until_ns = now.mono_ns + UINT64_C(15000000000);

    CU_ASSERT_EQUAL_FATAL(node_order_begin(party->node, order), 0);
    while (!node_order_ended(party->node, &answer) && now.mono_ns < until_ns)
        step();
    return answer;
}

/* As primary.h asks for it: again and again, until it is decided. */
static bool seals(struct party *party, uint32_t epoch)
{
    struct primary_seat seat = node_role_seat(party->node);

    return seat.seal(seat.state, epoch, RIVAL);
}

static bool has_promised(const struct party *party, uint32_t epoch)
{
    const struct meta *meta = &party->node->log.meta.now;

    return meta->sealed_epoch == epoch && meta->sealed_node == RIVAL &&
           node_meta_durable(&party->node->log.meta);
}

static uint32_t next_epoch(const struct party *party)
{
    return epoch_of_promotion(node_role_epoch(party->node)) + (1u << EPOCH_START_BITS);
}

static const struct node_order promote = {.kind = NODE_ORDER_PROMOTE, .force = true};

/* Somebody who takes no connection, and does not refuse it: a host that has lost its power. */
static uint16_t silent_port(int holder[4])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;

    for (unsigned i = 0; i < 4; i++)
        holder[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(bind(holder[0], (struct sockaddr *)&at, sizeof at) == 0 &&
             getsockname(holder[0], (struct sockaddr *)&at, &length) == 0 && listen(holder[0], 0) == 0,
         "a port of this machine's");
    for (unsigned i = 1; i < 4; i++) /* they fill its queue */
        (void)connect(holder[i], (struct sockaddr *)&at, sizeof at);
    return ntohs(at.sin_port);
}

static void a_promotion_does_not_wait_for_a_primary_that_does_not_answer(void)
{
    struct address loopback = address_from_ip4(htonl(INADDR_LOOPBACK));
    struct node_order_answer answer;
    int holder[4];

    begin();
    a.hangs = true;
    node_following_ask_address(b.node, &loopback, silent_port(holder));
    UNTIL(following(&b).phase == REPLICA_CONNECTING && b.node->replication.following.stream != NULL);
    answer = told(&b, &promote);
    CU_ASSERT(answer.ok);
    CU_ASSERT_EQUAL(role(&b)->part, PART_LEADS);
    for (unsigned i = 0; i < 4; i++)
        close(holder[i]);
    end();
}

static void a_log_whose_adoption_ended_without_a_session_can_lead(void)
{
    struct node_order_answer answer;

    begin_alone();
    start(&b, MODE_REPLICA, a.replication_port);
    UNTIL(b.node->log.following.adopting == ADOPTING_ASKED);
    b.disk_hangs = true;
    stop(&a);
    UNTIL(!following(&b).link_there);
    b.disk_hangs = false;
    UNTIL(b.node->log.following.adopting == ADOPTING_NOT);
    answer = told(&b, &promote);
    CU_ASSERT(answer.ok);
    end();
}

/* The two have parted: a is to be loaded from b, which is gone when a has given its own log up. */
static void a_promise_is_given_by_who_is_left_halfway_loaded(void)
{
    begin();
    b.hangs = true;
    change("two"); /* b never has it */
    UNTIL(primary_replica_count(a.node->replication.leading.primary) == 0);
    a.hangs = true;
    b.hangs = false;
    CU_ASSERT(told(&b, &promote).ok);
    a.hangs = false;
    UNTIL(a.node->log.following.giving_up);
    uint64_t tail_lsn = node_log_tail_lsn(&a.node->log);
    b.hangs = true;
    uint32_t epoch = next_epoch(&b);
    UNTIL(seals(&a, epoch) && has_promised(&a, epoch));
    CU_ASSERT(tail_lsn != 0 && node_log_tail_lsn(&a.node->log) == tail_lsn);
    CU_ASSERT(is_listed(&a)); /* the folder has the old log, and its list */
    CU_ASSERT_EQUAL(role(&a)->promise.epoch, 0);
    UNTIL(following(&a).phase != REPLICA_WAITING); /* it asks for a primary again */
    end();
}

static void an_order_to_yield_ends_when_another_is_promised(void)
{
    struct node_order order = {.kind = NODE_ORDER_DEMOTE, .node = "b"};
    struct node_order_answer answer;

    begin();
    b.hangs = true;
    change("two");
    CU_ASSERT_EQUAL_FATAL(node_order_begin(a.node, &order), 0);
    UNTIL(role(&a)->part == PART_YIELDS);
    uint32_t epoch = next_epoch(&a);
    UNTIL(seals(&a, epoch) && has_promised(&a, epoch));
    CU_ASSERT_FATAL(node_order_ended(a.node, &answer));
    CU_ASSERT_FALSE(answer.ok);
    CU_ASSERT_FALSE(role(&a)->ordered);
    end();
}

/* A start as primary asks how the others stand; a promise that is asked for meanwhile comes when it leads. */
static void who_promises_while_it_opens_does_not_lead_by_then(void)
{
    begin();
    b.hangs = true;
    stop(&a);
    start(&a, MODE_PRIMARY, 0);
    UNTIL(node_log_is_read(&a.node->log));
    CU_ASSERT_EQUAL(role(&a)->part, PART_OPENS);
    uint32_t epoch = next_epoch(&a);
    UNTIL(seals(&a, epoch) && has_promised(&a, epoch));
    CU_ASSERT(role(&a)->part == PART_FENCED || role(&a)->part == PART_FOLLOWS);
    CU_ASSERT_FALSE(node_role_acknowledges(a.node));
    CU_ASSERT_NOT_EQUAL(published_state_get(&a.node->published).state, STATE_SERVING);
    end();
}

/* b has led since: the history that a opens at its start is on nobody's line. */
static void who_was_overtaken_at_its_start_starts_again(void)
{
    begin();
    a.hangs = true;
    CU_ASSERT(told(&b, &promote).ok);
    for (unsigned i = 0; i < 3; i++) {
        stop(&a);
        start(&a, MODE_PRIMARY, 0);
        if (i == 2)
            break;
        UNTIL(role(&a)->part == PART_FENCED && role(&a)->settled);
        if (i == 1) {
            UNTIL(role(&a)->part == PART_FOLLOWS);
            b.hangs = true;
        }
    }
    b.hangs = false;
    UNTIL(following(&a).serving);
    end();
}

/* Who has promised himself to another does not lead without asking, and shows nothing that may be taken back. */
static void reads_do_not_wait_on_who_may_not_lead(void)
{
    begin();
    b.hangs = true;
    uint32_t epoch = next_epoch(&a);
    UNTIL(seals(&a, epoch) && has_promised(&a, epoch));
    stop(&a);
    start(&a, MODE_PRIMARY, 0);
    UNTIL(node_log_is_read(&a.node->log) && role(&a)->part == PART_FENCED);
    CU_ASSERT_EQUAL(published_state_get(&a.node->published).state, STATE_FENCED);
    CU_ASSERT(durable_point_get(&a.node->log.durable).failed);
    CU_ASSERT_FALSE(node_role_acknowledges(a.node));
    end();
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(a_promotion_does_not_wait_for_a_primary_that_does_not_answer),
        TEST(a_log_whose_adoption_ended_without_a_session_can_lead),
        TEST(a_promise_is_given_by_who_is_left_halfway_loaded),
        TEST(an_order_to_yield_ends_when_another_is_promised),
        TEST(who_promises_while_it_opens_does_not_lead_by_then),
        TEST(who_was_overtaken_at_its_start_starts_again),
        TEST(reads_do_not_wait_on_who_may_not_lead),
        CU_TEST_INFO_NULL,
    };

    if (keys_start() != 0)
        return 1;
    test_eal_start();
    return suite_run("role_nodes", tests);
}
