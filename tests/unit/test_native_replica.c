/* test_native_replica.c - what a replica answers: where writes are taken, and how far it may show what it has. */
#include <limits.h>

#include "apply.h"
#include "native_peer.h"
#include "suite.h"

static struct world {
    struct native_shared shared;
    struct native_node node;
    struct native_peer peer;
} w;

static void set_view(enum serving_state state, uint16_t generation)
{
    published_state_set(&w.shared.published, &(struct state_view){.history = NATIVE_PEER_HISTORY,
                                                                  .epoch = 3,
                                                                  .table_generation = generation,
                                                                  .mode = MODE_REPLICA,
                                                                  .state = state});
}

static void start(const struct durability_rules *rules)
{
    native_start(&w.shared, &w.node, &(struct native_options){.seed = 5, .rules = *rules});
    native_durable(&w.shared, native_lsn(&w.shared));
    native_peer_init(&w.peer, &w.node, NATIVE_PEER_SECRET, 1, 40000);
    CU_ASSERT_FATAL(native_peer_connect(&w.peer, SUITE_MAC));
    w.node.sent = 0;
}

static void stop(void)
{
    native_stop(&w.shared, &w.node, 1);
}

static const struct durability_rules reads_wait = {.reads_wait = true};

/* A change that came from the primary: made here while nobody looks. */
static uint64_t change(const char *key, const char *value)
{
    struct reply reply;
    published_state_set(&w.shared.published,
                        &(struct state_view){.history = NATIVE_PEER_HISTORY, .mode = MODE_PRIMARY});
    reply = native_peer_do(&w.peer, native_set(key, value));
    CU_ASSERT_EQUAL(reply.status, STATUS_OK);
    set_view(STATE_SERVING, 0);
    return reply.version;
}

static void writes_are_told_where_the_primary_is(void)
{
    struct reply reply;
    struct operation both[2];
    struct reply replies[2];

    start(&reads_wait);
    set_view(STATE_SERVING, 0);
    reply = native_peer_do(&w.peer, native_set("k", "v"));
    CU_ASSERT_EQUAL(reply.status, STATUS_NOT_PRIMARY);
    CU_ASSERT_EQUAL(reply.value_length, 0); /* nobody knows */
    published_primary_set(&w.shared.published, "198.18.0.1:7878");
    reply = native_peer_do(&w.peer, native_set("k", "v"));
    CU_ASSERT_EQUAL(reply.status, STATUS_NOT_PRIMARY);
    CU_ASSERT(native_value_is(&(struct reply){.value = reply.value, .value_length = reply.value_length},
                              "198.18.0.1:7878"));
    CU_ASSERT_EQUAL(reply.version, 0);
    set_view(STATE_CATCHING_UP, 1);
    reply = native_peer_do(&w.peer, native_get("k"));
    CU_ASSERT_EQUAL(reply.status, STATUS_STALE);
    CU_ASSERT_EQUAL(reply.value_length, 0);
    reply = native_peer_do(&w.peer, native_set("k", "v"));
    CU_ASSERT_EQUAL(reply.status, STATUS_NOT_PRIMARY);
    CU_ASSERT_EQUAL(reply.value_length, 15);
    both[0] = native_set("a", "1");
    both[1] = native_set("b", "2");
    CU_ASSERT_EQUAL_FATAL(native_peer_ask(&w.peer, both, 2, replies), 2);
    CU_ASSERT_EQUAL(replies[0].value_length, 15);
    CU_ASSERT_EQUAL(replies[1].value_length, 15);
    stop();
}

static void a_value_above_the_point_waits_for_it_and_is_stale_when_the_table_is_hidden(void)
{
    uint8_t bytes[NATIVE_ROOM];
    struct reply reply;
    uint64_t lsn;

    start(&reads_wait);
    lsn = change("k", "v");
    reply = native_peer_do(&w.peer, native_get("other"));
    CU_ASSERT_EQUAL(reply.status, STATUS_NOT_FOUND);
    struct operation get = native_get("k");
    for (unsigned round = 0; round < 2; round++) {
        get.request_id = ++w.peer.request_id;
        size_t length = native_peer_seal(&w.peer, &get, 1, bytes);
        CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, length), 0);
        CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 1);
        durable_point_set(&w.shared.durable, round == 0 ? lsn - 1 : lsn, round == 0);
        native_turn(&w.node);
        CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 0);
        CU_ASSERT_EQUAL_FATAL(w.node.sent, 1);
        CU_ASSERT_EQUAL(native_peer_open(&w.peer, w.node.outbox[0].bytes, w.node.outbox[0].length, &reply, 1),
                        1);
        CU_ASSERT_EQUAL(reply.status, round == 0 ? STATUS_STALE : STATUS_OK);
        w.node.sent = 0;
        durable_point_set(&w.shared.durable, lsn - 1, false);
    }
    get.flags = FLAG_READ_MEMORY;
    reply = native_peer_do(&w.peer, get);
    CU_ASSERT(native_value_is(&reply, "v"));
    stop();
}

static void a_min_lsn_from_a_history_it_has_not_heard_of_is_stale_and_one_of_a_lost_tail_is_lost(void)
{
    static struct meta histories;
    struct operation get = native_get("k");
    uint64_t lsn;

    start(&reads_wait);
    lsn = change("k", "v");
    native_durable(&w.shared, lsn);
    get.flags = FLAG_MIN_LSN;
    get.version = 5 * (UINT64_C(1) << 32) + 7;
    w.peer.min_lsn_history = NATIVE_PEER_HISTORY + 1;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_STALE);
    /* The primary says: the history that began above ended at lsn, and another follows. */
    histories = (struct meta){.count = 2};
    histories.history[0] = (struct history){.id = 1, .first_lsn = UINT64_C(1) << 32, .epoch = 1};
    histories.history[1] =
        (struct history){.id = 2, .first_lsn = UINT64_C(9) << 32, .before_lsn = lsn, .epoch = 2};
    atomic_store_explicit(&w.shared.durable.histories, &histories, memory_order_release);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_LOST);
    get.version = lsn;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_OK);
    stop();
}

static void what_a_worker_knew_of_a_table_is_void_when_that_is_filled_anew(void)
{
    struct operation get = native_get("k");
    struct execute_context *apply;
    uint64_t lsn;

    start(&reads_wait);
    lsn = change("k", "v");
    native_durable(&w.shared, lsn);
    get.flags = FLAG_MIN_LSN;
    get.version = lsn;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_OK);
    set_view(STATE_CATCHING_UP, 1);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_STALE);
    /* The table begins anew: it has nothing of what it had. */
    apply = w.node.execute;
    while (!apply_clear(apply, UINT_MAX))
        ;
    set_view(STATE_SERVING, 1);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_STALE);
    stop();
}

static void where_every_write_waits_for_replicas_it_may_ask_for_them(void)
{
    static const struct durability_rules log_alone = {.log = true};
    static const struct durability_rules replicated = {.log = true, .replicated = true};
    struct operation set = native_set("k", "v");

    set.durability = DURABILITY_REPLICATED;
    start(&log_alone);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, set).status, STATUS_BAD_REQUEST);
    stop();
    start(&replicated);
    native_durable(&w.shared, UINT64_MAX);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, set).status, STATUS_OK);
    uint8_t bytes[NATIVE_ROOM];
    native_durable(&w.shared, native_lsn(&w.shared));
    set.request_id = ++w.peer.request_id;
    size_t length = native_peer_seal(&w.peer, &set, 1, bytes);
    CU_ASSERT_EQUAL(native_exchange(&w.node, &w.peer.path, bytes, length), 0);
    CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 1);
    stop();
}

/* What it has not heard of may be of the primary that took its place. */
static void a_min_lsn_of_another_history_is_stale_on_who_was_a_primary(void)
{
    struct operation get = native_get("k");

    start(&reads_wait);
    native_durable(&w.shared, change("k", "v"));
    published_state_set(
        &w.shared.published,
        &(struct state_view){.history = NATIVE_PEER_HISTORY, .mode = MODE_PRIMARY, .state = STATE_FENCED});
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_OK);
    get.flags = FLAG_MIN_LSN;
    get.version = 5 * (UINT64_C(1) << 32) + 7;
    w.peer.min_lsn_history = NATIVE_PEER_HISTORY + 1;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_STALE);
    stop();
}

/* Nobody has told it yet: it calls lost only what is of a range that it has itself. */
static void a_primary_does_not_call_lost_what_may_be_of_its_successor(void)
{
    struct operation get = native_get("k");
    uint64_t lsn;

    start(&reads_wait);
    lsn = change("k", "v");
    native_durable(&w.shared, lsn);
    published_state_set(
        &w.shared.published,
        &(struct state_view){.history = NATIVE_PEER_HISTORY, .mode = MODE_PRIMARY, .state = STATE_SERVING});
    w.peer.min_lsn_history = NATIVE_PEER_HISTORY + 1;
    get.flags = FLAG_MIN_LSN;
    get.version = lsn + (UINT64_C(1) << 32);
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_STALE);
    get.version = lsn + 7;
    CU_ASSERT_EQUAL(native_peer_do(&w.peer, get).status, STATUS_LOST);
    stop();
}

/* It was a primary; another took its place without the change, and it has followed that one since. */
static void a_retried_write_that_a_tail_took_with_it_is_not_told_as_done(void)
{
    static struct meta histories;
    struct operation set = native_set("k", "v"), kept = native_set("j", "v");
    uint8_t bytes[NATIVE_ROOM];
    struct reply reply;
    uint64_t lsn, end = UINT64_C(9) << 32;

    start(&(struct durability_rules){.log = true, .writes_wait = true, .reads_wait = true});
    published_state_set(&w.shared.published,
                        &(struct state_view){.history = NATIVE_PEER_HISTORY, .mode = MODE_PRIMARY});
    kept.request_id = ++w.peer.request_id;
    native_exchange(&w.node, &w.peer.path, bytes, native_peer_seal(&w.peer, &kept, 1, bytes));
    lsn = native_lsn(&w.shared);
    set.request_id = ++w.peer.request_id;
    native_exchange(&w.node, &w.peer.path, bytes, native_peer_seal(&w.peer, &set, 1, bytes));
    CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 2);
    durable_point_set(&w.shared.durable, lsn, true); /* fenced: what waits is told so */
    native_turn(&w.node);
    CU_ASSERT_EQUAL(native_udp_parked(w.node.service), 0);

    histories = (struct meta){.count = 2};
    histories.history[0] = (struct history){.id = 1, .first_lsn = 1, .epoch = 1};
    histories.history[1] = (struct history){.id = 2, .first_lsn = end, .before_lsn = lsn, .epoch = 2};
    atomic_store_explicit(&w.shared.durable.histories, &histories, memory_order_release);
    set_view(STATE_SERVING, 1);
    durable_point_set(&w.shared.durable, end + 5, false);
    for (unsigned lost = 0; lost < 2; lost++) {
        size_t length = native_peer_seal(&w.peer, lost ? &set : &kept, 1, bytes);

        length = native_exchange(&w.node, &w.peer.path, bytes, length);
        CU_ASSERT_EQUAL(native_peer_open(&w.peer, bytes, length, &reply, 1), 1);
        CU_ASSERT_EQUAL(reply.status, lost ? STATUS_TIMEOUT : STATUS_OK);
        CU_ASSERT_EQUAL(reply.version, lost ? 0 : lsn);
    }
    stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(writes_are_told_where_the_primary_is),
        TEST(a_value_above_the_point_waits_for_it_and_is_stale_when_the_table_is_hidden),
        TEST(a_min_lsn_from_a_history_it_has_not_heard_of_is_stale_and_one_of_a_lost_tail_is_lost),
        TEST(what_a_worker_knew_of_a_table_is_void_when_that_is_filled_anew),
        TEST(where_every_write_waits_for_replicas_it_may_ask_for_them),
        TEST(a_min_lsn_of_another_history_is_stale_on_who_was_a_primary),
        TEST(a_primary_does_not_call_lost_what_may_be_of_its_successor),
        TEST(a_retried_write_that_a_tail_took_with_it_is_not_told_as_done),
        CU_TEST_INFO_NULL,
    };
    return suite_run("native replica", tests);
}
