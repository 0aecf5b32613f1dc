/* test_session.c - the session table: ids, shares, fairness, expiry, wiping. No cryptography, no table. */
#include <errno.h>
#include <stdlib.h>

#include "seeded.h"
#include "service/session.h"
#include "suite.h"

enum { PLACES = 64, UNCONFIRMED = PLACES / 4, LIVE = PLACES - UNCONFIRMED };

#define SECOND UINT64_C(1000000000)

struct fixture {
    struct session_table table;
    struct session_keys *keys;
    struct counters counters;
    uint64_t entropy;
    uint32_t inits; /* makes every INIT different */
};

static void start(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->entropy = seeded_start(5);
    fixture->keys = aligned_alloc(64, PLACES * sizeof(struct session_keys));
    memset(fixture->keys, 0, PLACES * sizeof(struct session_keys));
    struct random_source random = seeded_source(&fixture->entropy);
    CU_ASSERT_EQUAL_FATAL(
        session_table_init(&fixture->table, PLACES, fixture->keys, &random, &fixture->counters), 0);
}

static bool all_zero(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++)
        if (at[i] != 0)
            return false;
    return true;
}

static void stop(struct fixture *fixture)
{
    session_table_fini(&fixture->table);
    CU_ASSERT(all_zero(fixture->keys, PLACES * sizeof(struct session_keys)));
    free(fixture->keys);
}

/* 198.18.prefix.host */
static struct flow flow_from(unsigned prefix, unsigned host, uint16_t port)
{
    return (struct flow){.peer = address_from_ip4(rte_cpu_to_be_32(0xC6120000 | prefix << 8 | host)),
                         .local = address_from_ip4(RTE_BE32(0xC6130001)),
                         .peer_port = rte_cpu_to_be_16(port),
                         .local_port = RTE_BE16(7878)};
}

static struct session *begin(struct fixture *fixture, const struct flow *flow, uint64_t now_ns)
{
    uint8_t init[SESSION_INIT_BYTES] = {0};
    fixture->inits++;
    memcpy(init, &fixture->inits, sizeof(fixture->inits));
    struct session *session = session_begin(&fixture->table, flow, init, now_ns);
    if (session != NULL) /* as the helper does */
        memset(session_keys_of(&fixture->table, session), 0xAA, sizeof(struct session_keys));
    return session;
}

static struct session *pend(struct fixture *fixture, const struct flow *flow, uint64_t now_ns)
{
    static const uint8_t response[HANDSHAKE_RESPONSE_BYTES];
    struct session *session = begin(fixture, flow, now_ns);
    if (session != NULL)
        session_responded(&fixture->table, session, response, now_ns);
    return session;
}

static struct session *open_live(struct fixture *fixture, const struct flow *flow, uint64_t now_ns)
{
    struct session *session = pend(fixture, flow, now_ns);
    return session != NULL && session_confirm(&fixture->table, session, now_ns) ? session : NULL;
}

static uint64_t count(const struct fixture *fixture, enum counter which)
{
    return counter_get(&fixture->counters, which);
}

static void sweep_round(struct fixture *fixture, uint64_t now_ns)
{
    for (unsigned i = 0; i < PLACES; i++)
        session_sweep(&fixture->table, now_ns + i * SECOND / PLACES);
}

static void test_sizes_that_cannot_be_are_refused(void)
{
    struct session_table table;
    uint64_t entropy = seeded_start(1);
    struct random_source random = seeded_source(&entropy);
    CU_ASSERT_EQUAL(session_table_init(&table, 0, NULL, &random, NULL), -EINVAL);
    CU_ASSERT_EQUAL(session_table_init(&table, 2, NULL, &random, NULL), -EINVAL);
    CU_ASSERT_EQUAL(session_table_init(&table, 48, NULL, &random, NULL), -EINVAL);
    CU_ASSERT_EQUAL(session_table_init(&table, 2u * SESSIONS_LIMIT, NULL, &random, NULL), -EINVAL);
}

static void test_an_ended_session_is_not_found_by_its_id_and_its_keys_are_gone(void)
{
    struct fixture f;
    start(&f);
    struct flow flow = flow_from(1, 1, 1000);
    struct session *session = open_live(&f, &flow, SECOND);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session);
    uint32_t id = session->id;
    CU_ASSERT_PTR_EQUAL(session_place(&f.table, id), session);
    CU_ASSERT_FALSE(all_zero(session_keys_of(&f.table, session), sizeof(struct session_keys)));
    session_end(&f.table, session);
    CU_ASSERT_NOT_EQUAL(session_place(&f.table, id)->id, id);
    CU_ASSERT(all_zero(session_keys_of(&f.table, session), sizeof(struct session_keys)));
    CU_ASSERT_PTR_EQUAL(open_live(&f, &flow, SECOND), session); /* the same place, another id */
    CU_ASSERT_NOT_EQUAL(session->id, id);
    stop(&f);
}

static void test_a_new_session_starts_with_empty_windows(void)
{
    struct fixture f;
    start(&f);
    struct flow flow = flow_from(1, 1, 1000);
    struct session *session = open_live(&f, &flow, SECOND);
    replay_window_accept(&session->replay, 77);
    session->send_counter = 12;
    retry_window_record(&session->retry, 9, &(struct retry_outcome){.status = STATUS_OK});
    session_end(&f.table, session);
    struct session *again = open_live(&f, &flow, SECOND);
    CU_ASSERT_PTR_EQUAL_FATAL(again, session);
    CU_ASSERT(replay_window_is_new(&again->replay, 77));
    CU_ASSERT_EQUAL(again->send_counter, 0);
    struct retry_outcome outcome;
    CU_ASSERT_EQUAL(retry_window_check(&again->retry, 9, &outcome), RETRY_NEW);
    stop(&f);
}

static void test_a_repeated_init_is_found_by_flow_and_bytes(void)
{
    struct fixture f;
    start(&f);
    struct flow flow = flow_from(1, 1, 1000), other = flow_from(1, 1, 1001);
    struct session *session = begin(&f, &flow, SECOND);
    uint8_t init[SESSION_INIT_BYTES];
    memcpy(init, session->init, sizeof(init));
    CU_ASSERT_PTR_EQUAL(session_find_init(&f.table, &flow, init), session);
    CU_ASSERT_PTR_NULL(session_find_init(&f.table, &other, init));
    init[63] ^= 1;
    CU_ASSERT_PTR_NULL(session_find_init(&f.table, &flow, init));
    stop(&f);
}

static void test_a_flow_that_confirms_again_replaces_its_session(void)
{
    struct fixture f;
    start(&f);
    struct flow flow = flow_from(1, 1, 1000);
    struct session *old = open_live(&f, &flow, SECOND);
    struct session *pending = pend(&f, &flow, SECOND);
    CU_ASSERT_EQUAL(old->state, SESSION_LIVE); /* not before the new one is confirmed */
    CU_ASSERT(session_confirm(&f.table, pending, SECOND));
    CU_ASSERT_EQUAL(old->state, SESSION_FREE);
    CU_ASSERT_EQUAL(f.table.live, 1);
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_session_replaced), 1);
    stop(&f);
}

static void test_unconfirmed_sessions_never_take_a_live_place(void)
{
    struct fixture f;
    start(&f);
    for (unsigned i = 0; i < LIVE; i++) {
        struct flow flow = flow_from(1, 1, (uint16_t)(1000 + i));
        CU_ASSERT_PTR_NOT_NULL_FATAL(open_live(&f, &flow, SECOND));
    }
    for (unsigned i = 0; i < 10 * PLACES; i++) {
        struct flow flow = flow_from(i % 256, 2, (uint16_t)(2000 + i));
        pend(&f, &flow, SECOND);
    }
    CU_ASSERT_EQUAL(f.table.live, LIVE);
    CU_ASSERT_EQUAL(f.table.unconfirmed, UNCONFIRMED);
    stop(&f);
}

static void test_the_oldest_idle_session_makes_room_and_a_busy_one_never(void)
{
    struct fixture f;
    start(&f);
    struct session *sessions[LIVE];
    for (unsigned i = 0; i < LIVE; i++) {
        struct flow flow = flow_from(1, 1, (uint16_t)(1000 + i));
        sessions[i] = open_live(&f, &flow, SECOND);
    }
    struct flow flow = flow_from(2, 1, 1), second = flow_from(2, 1, 2);
    struct session *session = pend(&f, &flow, 2 * SECOND);
    CU_ASSERT_FALSE(session_confirm(&f.table, session, 2 * SECOND)); /* all are in use */
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_confirm_no_place), 1);
    CU_ASSERT_EQUAL(session->state, SESSION_PENDING);

    uint64_t later = SECOND + SESSION_RECYCLE_IDLE_NS;
    for (unsigned i = 0; i < LIVE; i++)
        sessions[i]->used_ns = i == 7 ? SECOND : later - 1;
    uint32_t seventh = sessions[7]->id;
    CU_ASSERT(session_confirm(&f.table, session, later));
    CU_ASSERT_NOT_EQUAL(sessions[7]->id, seventh);
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_session_recycled), 1);
    session = pend(&f, &second, later);
    CU_ASSERT_FALSE(session_confirm(&f.table, session, later));
    CU_ASSERT_EQUAL(f.table.live, LIVE);
    stop(&f);
}

/* Clients that come back all at once, each finding the places taken by sessions of its time before. */
static void test_many_recycled_at_once_cost_few_walks_and_go_in_order(void)
{
    struct fixture f;
    start(&f);
    struct session *sessions[LIVE];
    uint64_t random = seeded_start(11), later = 100 * SECOND;
    for (unsigned i = 0; i < LIVE; i++) {
        struct flow flow = flow_from(1, 1, (uint16_t)(1000 + i));
        sessions[i] = open_live(&f, &flow, SECOND);
        CU_ASSERT_PTR_NOT_NULL_FATAL(sessions[i]);
        sessions[i]->used_ns = SECOND + seeded_below(&random, 50 * SECOND);
    }
    sessions[3]->used_ns = SECOND - 1;
    for (unsigned n = 0; n < LIVE; n++) {
        uint64_t oldest = UINT64_MAX;
        for (uint32_t i = 0; i < PLACES; i++)
            if (f.table.sessions[i].state == SESSION_LIVE && f.table.sessions[i].used_ns < oldest)
                oldest = f.table.sessions[i].used_ns;
        struct flow flow = flow_from(2, 1, (uint16_t)(1000 + n));
        CU_ASSERT_PTR_NOT_NULL(open_live(&f, &flow, later));
        for (uint32_t i = 0; i < PLACES; i++)
            CU_ASSERT(f.table.sessions[i].state != SESSION_LIVE || f.table.sessions[i].used_ns > oldest);
        if (n == 10) /* one that was next in turn is used again: it stays to the end */
            for (uint32_t i = 0, passed = 0; i < PLACES && !passed; i++)
                if (f.table.sessions[i].state == SESSION_LIVE && f.table.sessions[i].used_ns < later)
                    f.table.sessions[i].used_ns = later - SESSION_RECYCLE_IDLE_NS, passed = 1;
    }
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_session_recycled), LIVE);
    uint64_t walks = count(&f, COUNTER_native_session_walks);
    CU_ASSERT(walks >= 1 && walks <= 2 + LIVE / SESSION_RECYCLE_BATCH);
    struct flow flow = flow_from(3, 1, 1);
    CU_ASSERT_PTR_NULL(open_live(&f, &flow, later));
    stop(&f);
}

static void test_one_flow_has_few_unconfirmed_sessions(void)
{
    struct fixture f;
    start(&f);
    struct flow flow = flow_from(1, 1, 1000), other = flow_from(1, 1, 1001);
    struct session *live = open_live(&f, &flow, SECOND), *first = pend(&f, &flow, SECOND);
    uint32_t first_id = first->id;
    for (unsigned i = 0; i < 10; i++)
        begin(&f, &flow, SECOND);
    CU_ASSERT_EQUAL(f.table.unconfirmed, SESSION_FLOW_UNCONFIRMED_MAX);
    CU_ASSERT_PTR_NOT_NULL(begin(&f, &other, SECOND));
    CU_ASSERT_EQUAL(first->id, first_id);
    /* The first has had its chance to confirm; the others are being computed and stay. */
    CU_ASSERT_PTR_NOT_NULL(begin(&f, &flow, SECOND + SESSION_PENDING_GRACE_NS));
    CU_ASSERT_PTR_NULL(begin(&f, &flow, SECOND + SESSION_PENDING_GRACE_NS));
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_pending_displaced), 1);
    CU_ASSERT_EQUAL(live->state, SESSION_LIVE);
    CU_ASSERT_EQUAL(f.table.unconfirmed, SESSION_FLOW_UNCONFIRMED_MAX + 1);
    stop(&f);
}

static void test_a_crowded_prefix_gives_way_to_a_new_one(void)
{
    struct fixture f;
    start(&f);
    for (unsigned i = 0; i < UNCONFIRMED; i++) {
        struct flow flow = flow_from(1, i, 1000);
        CU_ASSERT_PTR_NOT_NULL(pend(&f, &flow, SECOND));
    }
    struct flow crowd = flow_from(1, 200, 1), stranger = flow_from(77, 1, 1);
    CU_ASSERT_NOT_EQUAL_FATAL(session_prefix_of(&f.table, &crowd.peer),
                              session_prefix_of(&f.table, &stranger.peer));
    CU_ASSERT_PTR_NULL(pend(&f, &crowd, SECOND)); /* its own had no time to confirm yet */
    struct session *session = pend(&f, &stranger, SECOND);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session);
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_pending_displaced), 1);
    /* The crowd grows on, also past the grace time: the stranger stays. */
    for (unsigned i = 0; i < 10 * UNCONFIRMED; i++) {
        struct flow flow = flow_from(1, i % 250, (uint16_t)(3000 + i));
        pend(&f, &flow, SECOND + SESSION_PENDING_GRACE_NS + i);
    }
    CU_ASSERT_EQUAL(session->state, SESSION_PENDING);
    CU_ASSERT(flow_equal(&session->flow, &stranger));
    CU_ASSERT(session_confirm(&f.table, session, 2 * SECOND));
    stop(&f);
}

static void test_a_session_being_computed_is_never_taken_away(void)
{
    struct fixture f;
    start(&f);
    struct session *sessions[UNCONFIRMED];
    for (unsigned i = 0; i < UNCONFIRMED; i++) {
        struct flow flow = flow_from(1, i, 1000);
        sessions[i] = begin(&f, &flow, SECOND);
    }
    struct flow stranger = flow_from(77, 1, 1);
    CU_ASSERT_PTR_NULL(begin(&f, &stranger, 3 * SECOND));
    session_end_pending(&f.table);
    sweep_round(&f, 100 * SECOND);
    for (unsigned i = 0; i < UNCONFIRMED; i++)
        CU_ASSERT_EQUAL(sessions[i]->state, SESSION_COMPUTING);
    stop(&f);
}

static void test_prefixes_are_a_24_of_ipv4_and_a_64_of_ipv6(void)
{
    struct fixture f;
    start(&f);
    struct flow a = flow_from(1, 1, 1), b = flow_from(1, 254, 1);
    CU_ASSERT_EQUAL(session_prefix_of(&f.table, &a.peer), session_prefix_of(&f.table, &b.peer));
    unsigned same = 0;
    for (unsigned i = 0; i < 256; i++) {
        struct flow c = flow_from(i, 1, 1);
        same += session_prefix_of(&f.table, &c.peer) == session_prefix_of(&f.table, &a.peer);
    }
    CU_ASSERT(same < 16); /* itself and a few that share its place */
    struct address six = {.bytes = {0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 1}}, neighbour = six;
    neighbour.bytes[8] = 0xFF;
    neighbour.bytes[15] = 1;
    CU_ASSERT_EQUAL(session_prefix_of(&f.table, &six), session_prefix_of(&f.table, &neighbour));
    same = 0;
    for (unsigned i = 0; i < 256; i++) {
        struct address other = six;
        other.bytes[7] = (uint8_t)i;
        same += session_prefix_of(&f.table, &six) == session_prefix_of(&f.table, &other);
    }
    CU_ASSERT(same < 16);
    stop(&f);
}

static void test_late_pending_and_idle_live_sessions_are_swept(void)
{
    struct fixture f;
    start(&f);
    struct flow one = flow_from(1, 1, 1), two = flow_from(1, 1, 2), three = flow_from(1, 1, 3);
    struct session *pending = pend(&f, &one, SECOND);
    struct session *live = open_live(&f, &two, SECOND);
    struct session *busy = open_live(&f, &three, SECOND);
    sweep_round(&f, 4 * SECOND);
    CU_ASSERT_EQUAL(pending->state, SESSION_PENDING);
    sweep_round(&f, SECOND + SESSION_PENDING_NS + 1);
    CU_ASSERT_EQUAL(pending->state, SESSION_FREE);
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_pending_expired), 1);
    CU_ASSERT_EQUAL(live->state, SESSION_LIVE);
    busy->used_ns = SESSION_IDLE_NS;
    sweep_round(&f, SECOND + SESSION_IDLE_NS + 1);
    CU_ASSERT_EQUAL(live->state, SESSION_FREE);
    CU_ASSERT_EQUAL(busy->state, SESSION_LIVE);
    CU_ASSERT_EQUAL(count(&f, COUNTER_native_session_expired), 1);
    stop(&f);
}

/* Random steps; after each, the table's own counts must equal what its places say. */
static void test_random_life_keeps_the_counts_right(void)
{
    struct fixture f;
    start(&f);
    uint64_t seed = seeded_from_environment(3), random = seeded_start(seed), now = SECOND;
    printf("seed %llu ", (unsigned long long)seed);
    for (unsigned step = 0; step < 20000; step++) {
        now += seeded_below(&random, SECOND / 50);
        struct flow flow = flow_from((unsigned)seeded_below(&random, 5), (unsigned)seeded_below(&random, 3),
                                     (uint16_t)seeded_below(&random, 50));
        struct session *place = &f.table.sessions[seeded_below(&random, PLACES)];
        static const uint8_t response[HANDSHAKE_RESPONSE_BYTES];
        switch (seeded_below(&random, 6)) {
        case 0:
        case 1:
            begin(&f, &flow, now);
            break;
        case 2:
            if (place->state == SESSION_COMPUTING)
                session_responded(&f.table, place, response, now);
            break;
        case 3:
            if (place->state == SESSION_PENDING)
                session_confirm(&f.table, place, now);
            break;
        case 4:
            if (place->state == SESSION_LIVE || place->state == SESSION_PENDING)
                session_end(&f.table, place);
            break;
        default:
            session_sweep(&f.table, now);
        }
        unsigned live = 0, unconfirmed = 0, computing = 0, listed = 0, in_prefix = 0, free_places = 0;
        for (unsigned i = 0; i < PLACES; i++) {
            live += f.table.sessions[i].state == SESSION_LIVE;
            computing += f.table.sessions[i].state == SESSION_COMPUTING;
            unconfirmed += f.table.sessions[i].state == SESSION_COMPUTING ||
                           f.table.sessions[i].state == SESSION_PENDING;
        }
        for (unsigned i = 0; i < SESSION_PREFIXES; i++) {
            listed += f.table.prefixes[i].unconfirmed;
            computing -= f.table.prefixes[i].computing;
            for (int32_t at = f.table.prefixes[i].oldest; at != SESSION_NONE; at = f.table.sessions[at].next)
                in_prefix++;
        }
        for (int32_t at = f.table.free; at != SESSION_NONE; at = f.table.sessions[at].next)
            free_places++;
        CU_ASSERT_FATAL(live == f.table.live && unconfirmed == f.table.unconfirmed && computing == 0 &&
                        listed == unconfirmed && in_prefix == unconfirmed &&
                        free_places + live + unconfirmed == PLACES && live <= LIVE &&
                        unconfirmed <= UNCONFIRMED);
    }
    CU_ASSERT(count(&f, COUNTER_native_session_opened) > 100);
    stop(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"sizes that cannot be are refused", test_sizes_that_cannot_be_are_refused},
        {"an ended session's id misses and its keys are gone",
         test_an_ended_session_is_not_found_by_its_id_and_its_keys_are_gone},
        {"a new session starts with empty windows", test_a_new_session_starts_with_empty_windows},
        {"a repeated INIT is found by flow and bytes", test_a_repeated_init_is_found_by_flow_and_bytes},
        {"a flow that confirms again replaces its session",
         test_a_flow_that_confirms_again_replaces_its_session},
        {"unconfirmed sessions never take a live place", test_unconfirmed_sessions_never_take_a_live_place},
        {"the oldest idle session makes room and a busy one never",
         test_the_oldest_idle_session_makes_room_and_a_busy_one_never},
        {"many recycled at once cost few walks and go in order",
         test_many_recycled_at_once_cost_few_walks_and_go_in_order},
        {"one flow has few unconfirmed sessions", test_one_flow_has_few_unconfirmed_sessions},
        {"a crowded prefix gives way to a new one", test_a_crowded_prefix_gives_way_to_a_new_one},
        {"a session being computed is never taken away", test_a_session_being_computed_is_never_taken_away},
        {"prefixes are a /24 of IPv4 and a /64 of IPv6", test_prefixes_are_a_24_of_ipv4_and_a_64_of_ipv6},
        {"late pending and idle live sessions are swept", test_late_pending_and_idle_live_sessions_are_swept},
        {"random life keeps the counts right", test_random_life_keeps_the_counts_right},
        CU_TEST_INFO_NULL,
    };
    return suite_run("sessions", tests);
}
