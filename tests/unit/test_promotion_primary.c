/* A promotion and the primary.h of another node: both sides of what they say to each other are real. */
#include "promotion.h"
#include "scripted_feeder.h"

#include "primary_fixture.h"

#define PROMOTED UINT32_C(0x10000)

enum { OWN_ID = 55 };

static struct feeder feeder;

/* The node that is asked. */
static struct {
    struct replication_standing standing;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    unsigned asked, decides_after; /* SEAL: the answer is there when it was asked so often */
} node;

/* The one that asks. */
static struct {
    struct promotion *promotion;
    struct session_keys session[PROMOTION_PEERS_MAX];
    struct replication_counters counters;
    struct member_list list;
    struct promotion_order order;
    struct link_pair *pair;
    struct primary_session *session_there;
    bool connecting;
} caller;

static bool seat_standing(void *state, struct replication_standing *out, uint8_t cluster_id[CLUSTER_ID_BYTES])
{
    (void)state;
    uint16_t version = out->version;
    uint64_t node_id = out->node_id;
    *out = node.standing;
    out->version = version;
    out->node_id = node_id;
    memcpy(cluster_id, node.cluster_id, CLUSTER_ID_BYTES);
    return true;
}

static bool seat_seal(void *state, uint32_t epoch, uint64_t node_id)
{
    (void)state;
    if (++node.asked < node.decides_after)
        return false;
    node.standing.sealed_epoch = epoch;
    node.standing.sealed_node = node_id;
    return true;
}

static void seat_heard(void *state, uint32_t epoch)
{
    (void)state;
    (void)epoch;
}

static bool connect_there(void *state, unsigned index, const uint8_t address[16], uint16_t port)
{
    (void)state;
    CU_ASSERT(index == 0 && address[15] == 7 && port == 9001);
    caller.connecting = true;
    return true;
}

static size_t there_received(void *user, uint8_t *bytes, size_t length)
{
    (void)user;
    primary_received(caller.session_there, bytes, length);
    return length;
}

static void there_writable(void *user)
{
    (void)user;
    primary_writable(caller.session_there);
}

static void there_gone(void *user)
{
    (void)user;
    primary_link_closed(caller.session_there);
    caller.session_there = NULL;
}

static size_t here_received(void *user, uint8_t *bytes, size_t length)
{
    (void)user;
    promotion_received(caller.promotion, 0, bytes, length);
    return length;
}

static void here_writable(void *user)
{
    (void)user;
    promotion_writable(caller.promotion, 0);
}

static void here_gone(void *user)
{
    (void)user;
    promotion_link_closed(caller.promotion, 0);
}

static void open_link(void)
{
    static const struct link_user there = {there_received, there_writable, there_gone};
    static const struct link_user here = {here_received, here_writable, here_gone};
    caller.connecting = false;
    if (caller.pair != NULL)
        link_pair_free(caller.pair);
    caller.pair = link_pair_new(1 << 16);
    link_pair_user(caller.pair, 0, &there, NULL);
    link_pair_user(caller.pair, 1, &here, NULL);
    caller.session_there = primary_accept(fixture.primary, &caller.pair->end[0].link, fixture.now_ns);
    CU_ASSERT_PTR_NOT_NULL_FATAL(caller.session_there);
    promotion_connected(caller.promotion, 0, &caller.pair->end[1].link);
}

static void start(void)
{
    struct promotion_config config = {.keys = {&fixture.keys},
                                      .random = &fixture.random,
                                      .session_keys = caller.session,
                                      .counters = &caller.counters,
                                      .host = {.connect = connect_there}};
    memset(&feeder, 0, sizeof feeder);
    memset(&node, 0, sizeof node);
    memset(&caller, 0, sizeof caller);
    fixture_start(&feeder);
    memcpy(node.cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES);
    node.standing = (struct replication_standing){.mode = STANDING_FOLLOWS,
                                                  .state = STANDING_SERVING,
                                                  .epoch = EPOCH,
                                                  .tail_epoch = EPOCH,
                                                  .tail_history = HISTORY,
                                                  .tail_lsn = FIRST_LSN};
    fixture.seat = (struct primary_seat){
        .node_id = PRIMARY_ID, .standing = seat_standing, .seal = seat_seal, .heard = seat_heard};
    primary_destroy(fixture.primary);
    fixture_begin();
    caller.promotion = promotion_create(&config);
    caller.list = (struct member_list){.count = 2,
                                       .member = {{.node_id = PRIMARY_ID,
                                                   .address = {[10] = 0xff, 0xff, 198, 18, 0, 7},
                                                   .replication_port = 9001,
                                                   .part = MEMBER_STAYS,
                                                   .name = "other"},
                                                  {.node_id = OWN_ID, .part = MEMBER_STAYS, .name = "own"}}};
    caller.order = (struct promotion_order){.own_id = OWN_ID,
                                            .history_epoch = EPOCH,
                                            .list = &caller.list,
                                            .own = {.epoch = EPOCH, .history = HISTORY, .lsn = FIRST_LSN}};
    memcpy(caller.order.cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES);
}

static void stop(void)
{
    promotion_destroy(caller.promotion);
    if (caller.session_there != NULL)
        primary_link_closed(caller.session_there);
    if (caller.pair != NULL)
        link_pair_free(caller.pair);
    fixture_stop();
}

/* Both nodes, for that long. */
static void pass(unsigned ms)
{
    uint32_t epoch;
    for (; ms > 0; ms--) {
        fixture.now_ns += MS;
        for (unsigned i = 0; i < 20; i++) {
            promotion_turn(caller.promotion, fixture.now_ns);
            if (caller.connecting)
                open_link();
            if (promotion_wants_seal(caller.promotion, &epoch))
                promotion_sealed(caller.promotion, &caller.order.own);
            fixture_turn();
            if (caller.pair != NULL)
                link_pair_run(caller.pair);
        }
    }
}

static const struct promotion_result *promote(void)
{
    CU_ASSERT_TRUE_FATAL(promotion_begin(caller.promotion, &caller.order, fixture.now_ns));
    pass(100);
    return promotion_result(caller.promotion);
}

static void a_node_that_is_asked_promises_itself(void)
{
    node.decides_after = 30;
    const struct promotion_result *result = promote();
    CU_ASSERT_EQUAL(result->state, PROMOTION_WON);
    CU_ASSERT_EQUAL(result->epoch, PROMOTED);
    CU_ASSERT_EQUAL(node.asked, 30);
    CU_ASSERT_EQUAL(node.standing.sealed_epoch, PROMOTED);
    CU_ASSERT_EQUAL(node.standing.sealed_node, OWN_ID);
    CU_ASSERT_EQUAL(promotion_links(caller.promotion), 0); /* it has said goodbye */
    CU_ASSERT_PTR_NULL(caller.session_there);
    CU_ASSERT_EQUAL(counted(REPLICATION_calls), 2);
    CU_ASSERT_EQUAL(replication_counted(&caller.counters, REPLICATION_connects), 1);
}

static void a_primary_that_leads_says_so(void)
{
    node.standing.mode = STANDING_LEADS;
    const struct promotion_result *result = promote();
    CU_ASSERT_EQUAL(result->state, PROMOTION_LOST);
    CU_ASSERT_EQUAL(result->why, PROMOTION_LIVE_PRIMARY);
    CU_ASSERT_EQUAL(node.asked, 0);
    CU_ASSERT_EQUAL(promotion_links(caller.promotion), 0);
}

static void another_cluster_is_told_apart(void)
{
    node.cluster_id[0] ^= 1;
    const struct promotion_result *result = promote();
    CU_ASSERT_EQUAL(result->state, PROMOTION_LOST);
    CU_ASSERT_EQUAL(result->why, PROMOTION_TOO_FEW);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->text, refuse_text(REFUSE_FOREIGN_CLUSTER)));
    CU_ASSERT_EQUAL(replication_counted(&caller.counters, REPLICATION_connects), 1); /* once is enough */
}

static void who_has_our_node_id_is_told_apart(void)
{
    caller.order.own_id = PRIMARY_ID;
    caller.list.member[0].node_id = OWN_ID;
    caller.list.member[1].node_id = PRIMARY_ID;
    const struct promotion_result *result = promote();
    CU_ASSERT_EQUAL(result->why, PROMOTION_TOO_FEW);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->text, refuse_text(REFUSE_SAME_NODE)));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a node that is asked promises itself", a_node_that_is_asked_promises_itself},
        {"a primary that leads says so", a_primary_that_leads_says_so},
        {"another cluster is told apart", another_cluster_is_told_apart},
        {"who has our node id is told apart", who_has_our_node_id_is_told_apart},
        CU_TEST_INFO_NULL,
    };
    return suite_run_each("promotion_primary", start, stop, tests);
}
