/*
 * test_native_tcp_shares.c - places, shared out by source among those who have a session and those whose session is over
 * and who have not hung up: whoever holds most makes room, and newcomers never wait for those who linger.
 */
#include "native_tcp_fixture.h"
#include "service/native_tcp_internal.h"
#include "suite.h"

enum { PLACES = 64, LIVE_MAX = 56, HEAVY = 0xC6150002, HEAVY_TOO = 0xC6160002, LIGHT = 0xC6170002 };

/* Whether the node has closed it; a client that notices closes, too. */
static bool is_closed(struct tcp_client *c)
{
    tcp_client_rest(c);
    if (c->closed && !c->stream->peer_ended)
        fake_end(c->stream);
    tcp_node_turn(c->node);
    return c->closed;
}

/* A session from there; it may be closed at once. */
static struct tcp_client *session_from(struct tcp_node *node, uint32_t ip4, unsigned port)
{
    struct tcp_client *c = tcp_client_open_from(node, ip4, (uint16_t)port);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    CU_ASSERT_TRUE(tcp_client_connect(c));
    is_closed(c);
    return c;
}

/* Every place for sessions: the first so many of ip4[0], the next of ip4[1], the others of ip4[2]; 10 ms apart. */
static struct tcp_node *full_house_of_three(struct tcp_client *c[LIVE_MAX], const uint32_t ip4[3],
                                            unsigned of_first, unsigned of_second)
{
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = PLACES});
    for (unsigned i = 0; i < LIVE_MAX; i++) {
        c[i] = session_from(node, ip4[(i >= of_first) + (i >= of_first + of_second)], 1000 + i);
        tcp_node_pass(node, 10000000);
    }
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).live, LIVE_MAX);
    return node;
}

static struct tcp_node *full_house(struct tcp_client *c[LIVE_MAX], const uint32_t ip4[2], unsigned of_first)
{
    return full_house_of_three(c, (const uint32_t[]){ip4[0], ip4[1], 0}, of_first, LIVE_MAX - of_first);
}

static void empty_house(struct tcp_node *node, struct tcp_client *c[LIVE_MAX])
{
    for (unsigned i = 0; i < LIVE_MAX; i++)
        tcp_client_free(c[i]);
    tcp_node_stop(node);
}

static unsigned closed_of(struct tcp_client *c[], unsigned count)
{
    unsigned closed = 0;
    for (unsigned i = 0; i < count; i++)
        closed += is_closed(c[i]);
    return closed;
}

static unsigned closed_streams(struct tcp_client *c[], unsigned count)
{
    unsigned closed = 0;
    for (unsigned i = 0; i < count; i++)
        closed += is_gone(c[i]);
    return closed;
}

static void the_source_with_most_sessions_makes_room_for_one_with_few(void)
{
    struct tcp_client *c[LIVE_MAX], *few[3];
    struct tcp_node *node = full_house(c, (const uint32_t[]){HEAVY, HEAVY_TOO}, 30);
    for (unsigned i = 0; i < 28; i++) /* the first two have been idle for longest now */
        CU_ASSERT_EQUAL(tcp_client_do(c[i < 1 ? 0 : i + 2], native_get("k")).status, STATUS_NOT_FOUND);
    few[0] = session_from(node, LIGHT, 1);
    CU_ASSERT_TRUE(is_closed(c[1]) && closed_of(c, LIVE_MAX) == 1);
    few[1] = session_from(node, LIGHT, 2);
    CU_ASSERT_TRUE(is_closed(c[2]) && closed_of(c, LIVE_MAX) == 2);
    few[2] = session_from(node, LIGHT + 1, 3); /* another host of it */
    CU_ASSERT_EQUAL(closed_of(c, LIVE_MAX), 3);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(tcp_client_do(few[i], native_get("k")).status, STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_made_room), 3);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).live, LIVE_MAX);
    for (unsigned i = 0; i < 3; i++)
        tcp_client_free(few[i]);
    empty_house(node, c);
}

static void a_source_that_holds_most_gets_no_more(void)
{
    struct tcp_client *c[LIVE_MAX];
    struct tcp_node *node = full_house(c, (const uint32_t[]){HEAVY, HEAVY_TOO}, LIVE_MAX / 2);
    for (unsigned i = 0; i < 10; i++) {
        struct tcp_client *more = session_from(node, i % 2 == 0 ? HEAVY : HEAVY_TOO, 5000 + i);
        CU_ASSERT_TRUE(more->closed && more->count == 0);
        tcp_client_free(more);
    }
    CU_ASSERT_EQUAL(closed_of(c, LIVE_MAX), 0);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_no_share), 10);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_made_room), 0);
    empty_house(node, c);
}

static void within_a_network_hosts_share_alike(void)
{
    struct tcp_client *c[LIVE_MAX], *few[LIVE_MAX];
    unsigned stayed = 0;
    struct tcp_node *node = full_house(c, (const uint32_t[]){HEAVY, HEAVY}, LIVE_MAX);
    for (unsigned i = 0; i < LIVE_MAX; i++) {
        few[i] = session_from(node, HEAVY + 1, 5000 + i);
        stayed += !few[i]->closed;
        closed_of(c, LIVE_MAX);
    }
    CU_ASSERT_EQUAL(stayed, LIVE_MAX / 2);
    CU_ASSERT_EQUAL(closed_of(c, LIVE_MAX), LIVE_MAX / 2);
    for (unsigned i = 0; i < LIVE_MAX; i++)
        tcp_client_free(few[i]);
    empty_house(node, c);
}

/* Every session of a network that fills the node asks without end; whoever comes is served all the same. */
static void sessions_that_are_never_idle_make_room_too(void)
{
    struct tcp_client *c[LIVE_MAX], *few[10];
    struct tcp_node *node = full_house(c, (const uint32_t[]){HEAVY, HEAVY + 1}, 20);
    for (unsigned k = 0; k < 10; k++) {
        unsigned expected[LIVE_MAX];
        for (unsigned i = 0; i < LIVE_MAX; i++) {
            expected[i] = c[i]->count + !c[i]->closed;
            if (c[i]->closed)
                continue;
            tcp_client_say(c[i], &(struct operation){.opcode = OPCODE_HEALTH}, 1);
        }
        few[k] = session_from(node, LIGHT + 256 * k, 1);
        CU_ASSERT_FALSE(few[k]->closed);
        closed_of(c, LIVE_MAX);
        for (unsigned i = 0; i < LIVE_MAX; i++)
            CU_ASSERT_EQUAL(c[i]->count, expected[i]); /* CLOSE comes behind what was asked */
    }
    CU_ASSERT_EQUAL(closed_of(c, LIVE_MAX), 10);
    for (unsigned k = 0; k < 10; k++)
        tcp_client_free(few[k]);
    empty_house(node, c);
}

/* Clients of the source that fills the node come again and again, and none ever hangs up. */
static void who_does_not_hang_up_keeps_nobody_out(void)
{
    struct tcp_client *c[LIVE_MAX], *more[200], *few[20];
    struct tcp_node *node = full_house(c, (const uint32_t[]){HEAVY, HEAVY}, LIVE_MAX);
    for (unsigned i = 0; i < 200; i++) {
        more[i] = tcp_client_open_from(node, HEAVY, (uint16_t)(5000 + i));
        CU_ASSERT_FATAL(more[i] != NULL);
        tcp_client_connect(more[i]);
    }
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_no_share), 200);
    for (unsigned i = 0; i < 20; i++) {
        few[i] = tcp_client_open_from(node, LIGHT, (uint16_t)(1000 + i));
        CU_ASSERT_FATAL(few[i] != NULL);
        CU_ASSERT_TRUE(tcp_client_connect(few[i]));
        CU_ASSERT_EQUAL(tcp_client_do(few[i], native_get("k")).status, STATUS_NOT_FOUND);
    }
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_made_room), 20);
    for (unsigned i = 0; i < 200; i++)
        tcp_client_free(more[i]);
    for (unsigned i = 0; i < 20; i++)
        tcp_client_free(few[i]);
    empty_house(node, c);
}

/* Nobody without the secret ends a session, however many come. */
static void the_unconfirmed_end_no_session(void)
{
    struct tcp_client *c[LIVE_MAX], *crowd[300];
    unsigned count = 0;
    struct tcp_node *node = full_house(c, (const uint32_t[]){HEAVY, HEAVY}, LIVE_MAX);
    for (unsigned i = 0; i < 300; i++) {
        crowd[count] = tcp_client_open_from(node, LIGHT + i % 7, (uint16_t)(1000 + i));
        if (crowd[count] == NULL)
            continue;
        tcp_client_start(crowd[count]);
        tcp_client_send(crowd[count], crowd[count]->handshake.init, HANDSHAKE_INIT_BYTES);
        tcp_node_turn(node);
        count++;
    }
    CU_ASSERT_EQUAL(closed_of(c, LIVE_MAX), 0);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_made_room), 0);
    while (count > 0)
        tcp_client_free(crowd[--count]);
    empty_house(node, c);
}

/* ---- networks that hold the same ---- */

/*
 * A host that fills its network, and another network that holds as much when a second host of the first comes: that
 * one holds less than anybody.
 */
static void light_host_beside(uint32_t network, uint32_t other)
{
    struct tcp_client *c[LIVE_MAX], *few[10];
    struct tcp_node *node = full_house_of_three(c, (const uint32_t[]){other, network, LIGHT}, 20, 19);
    for (unsigned i = 0; i < 9; i++) {
        few[i] = session_from(node, network + 1, 5000 + i);
        CU_ASSERT_FALSE(few[i]->closed);
        CU_ASSERT_EQUAL(closed_of(c + 20, 19), i + 1); /* their neighbour gives way */
    }
    CU_ASSERT_EQUAL(closed_of(c, LIVE_MAX), 9);
    few[9] = session_from(node, network + 1, 6000); /* as many as their neighbour, by now */
    CU_ASSERT_TRUE(few[9]->closed);
    CU_ASSERT_EQUAL(closed_of(c, LIVE_MAX) + closed_of(few, 9), 9);
    for (unsigned i = 0; i < 10; i++)
        tcp_client_free(few[i]);
    empty_house(node, c);
}

/* Which of networks that hold the same is looked at first is chance: both ways round. */
static void a_light_host_is_let_in_whichever_networks_hold_the_same(void)
{
    light_host_beside(HEAVY, HEAVY_TOO);
    light_host_beside(HEAVY_TOO, HEAVY);
}

/* ---- those who do not hang up ---- */

/* CLOSE, in order, and then nothing: its end of the stream stays open. */
static void say_close(struct tcp_client *c)
{
    uint8_t record[RECORD_OVERHEAD_BYTES];
    tcp_client_send(c, record, record_close(&c->writer, record));
    tcp_client_rest(c);
    CU_ASSERT_TRUE(c->closed);
}

/* Two addresses hold every place for sessions, and end one and begin another again and again. */
static void who_closes_sessions_and_does_not_hang_up_keeps_nobody_out(void)
{
    static const uint32_t heavy[] = {HEAVY, HEAVY_TOO};
    struct tcp_client *c[LIVE_MAX], *more[300], *few[15], *slow;
    struct tcp_node *node = full_house(c, heavy, LIVE_MAX / 2);
    slow = tcp_client_open_from(node, LIGHT + 256, 1); /* is in the middle of its handshake all the time */
    tcp_client_respond(slow);
    for (unsigned i = 0; i < 300; i++) {
        say_close(i < LIVE_MAX ? c[i] : more[i - LIVE_MAX]);
        more[i] = tcp_client_open_from(node, heavy[i % 2], (uint16_t)(5000 + i));
        CU_ASSERT_FATAL(more[i] != NULL);
        CU_ASSERT_TRUE(tcp_client_connect(more[i]));
    }
    CU_ASSERT_TRUE(tcp_counted(node, COUNTER_native_tcp_linger_displaced) > 290);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_pending_displaced), 0);
    for (unsigned i = 0; i < 15; i++) {
        few[i] = tcp_client_open_from(node, LIGHT, (uint16_t)(1000 + i));
        CU_ASSERT_FATAL(few[i] != NULL);
        CU_ASSERT_TRUE(tcp_client_connect(few[i]));
        CU_ASSERT_EQUAL(tcp_client_do(few[i], native_get("k")).status, STATUS_NOT_FOUND);
    }
    tcp_client_send(slow, slow->confirm, sizeof slow->confirm);
    tcp_client_rest(slow);
    CU_ASSERT_TRUE(slow->ready);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_full), 0);
    tcp_client_free(slow);
    for (unsigned i = 0; i < 300; i++)
        tcp_client_free(more[i]);
    for (unsigned i = 0; i < 15; i++)
        tcp_client_free(few[i]);
    empty_house(node, c);
}

/* As many as can come between two turns, none of whose places is free before the next. */
static void a_burst_of_newcomers_finds_places_among_those_who_linger(void)
{
    struct tcp_client *c[LIVE_MAX], *more[200], *crowd[32];
    struct tcp_node *node =
        tcp_node_start(&(struct tcp_node_options){.connections = 512}); /* 64 of newcomers */
    for (unsigned i = 0; i < 200; i++) {
        more[i] = session_from(node, HEAVY, 5000 + i);
        say_close(more[i]);
    }
    for (unsigned i = 0; i < 200; i++)
        CU_ASSERT_FALSE(is_gone(more[i])); /* there is room: they have their time */
    for (unsigned i = 0; i < LIVE_MAX; i++)
        c[i] = session_from(node, HEAVY_TOO, 1000 + i);
    unsigned before = native_tcp_counts(node->service).connections;
    CU_ASSERT_EQUAL(before, 200 + LIVE_MAX);
    while (native_tcp_counts(node->service).connections < 512 - 32) {
        struct tcp_client *filler = session_from(node, HEAVY_TOO + 1, before++);
        tcp_client_free(filler);
    }
    for (unsigned i = 0; i < 32; i++) {
        crowd[i] = tcp_client_open_from(node, LIGHT + (i << 8), 1); /* no turn between them */
        CU_ASSERT_FATAL(crowd[i] != NULL);
    }
    tcp_node_turn(node);
    CU_ASSERT_EQUAL(closed_streams(more, 200), 32);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).connections, 512 - 32);
    for (unsigned i = 0; i < 32; i++) {
        CU_ASSERT_TRUE(tcp_client_connect(crowd[i]));
        tcp_client_free(crowd[i]);
    }
    for (unsigned i = 0; i < 200; i++)
        tcp_client_free(more[i]);
    empty_house(node, c);
}

/* Of those who linger, the source that has most loses its oldest; who has few reads its last replies in peace. */
static void of_those_who_linger_the_source_with_most_makes_room(void)
{
    struct tcp_client *c[LIVE_MAX], *light, *few[12];
    struct tcp_node *node = full_house(c, (const uint32_t[]){HEAVY, HEAVY_TOO}, LIVE_MAX / 2);
    light = c[LIVE_MAX - 1];
    say_close(light); /* the first of all */
    for (unsigned i = 0; i < 12; i++)
        say_close(c[i]);
    for (unsigned i = 0; i < 12; i++) {
        few[i] = session_from(node, LIGHT + (i << 8), 1);
        CU_ASSERT_FALSE(few[i]->closed);
    }
    CU_ASSERT_FALSE(is_gone(light));
    unsigned gone = closed_streams(c, 12);
    CU_ASSERT_EQUAL(
        gone, 8); /* 64 places, 4 of which are kept free: 43 sessions and 12 more, light's, 4 that linger */
    for (unsigned i = 0; i < 12; i++)
        CU_ASSERT_EQUAL(is_gone(c[i]), i < gone); /* by age */
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_linger_displaced), gone);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).lingering, 13 - gone);
    tcp_node_pass(node, NATIVE_TCP_CLOSING_NS);
    CU_ASSERT_TRUE(was_reset(light));
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).lingering, 0);
    for (unsigned i = 0; i < 12; i++)
        tcp_client_free(few[i]);
    empty_house(node, c);
}

/* Who has no secret and all that the unconfirmed may have takes no more from those who linger. */
static void a_flood_of_the_unconfirmed_hurries_few_who_linger(void)
{
    enum { SESSIONS = 38, LINGERING = 9, UNCONFIRMED = (PLACES - SESSIONS) / 2 };
    struct tcp_client *c[SESSIONS + LINGERING], *crowd[UNCONFIRMED + 100];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.connections = PLACES});
    unsigned count = 0;
    for (unsigned i = 0; i < SESSIONS + LINGERING; i++)
        c[i] = session_from(node, HEAVY, 1000 + i);
    for (unsigned i = 0; i < LINGERING; i++)
        say_close(c[i]);
    for (unsigned i = 0; i < UNCONFIRMED + 100; i++) {
        crowd[count] = tcp_client_open_from(node, LIGHT, (uint16_t)(1000 + i));
        count += crowd[count] != NULL;
        tcp_node_turn(node);
    }
    CU_ASSERT_EQUAL(count, UNCONFIRMED);
    CU_ASSERT_EQUAL(native_tcp_counts(node->service).connections, PLACES - 4);
    CU_ASSERT_EQUAL(closed_streams(c, SESSIONS + LINGERING), 0);
    CU_ASSERT_EQUAL(tcp_counted(node, COUNTER_native_tcp_linger_displaced), 0);
    while (count > 0)
        tcp_client_free(crowd[--count]);
    for (unsigned i = 0; i < SESSIONS + LINGERING; i++)
        tcp_client_free(c[i]);
    tcp_node_stop(node);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the source with most sessions makes room for one with few",
         the_source_with_most_sessions_makes_room_for_one_with_few},
        {"a source that holds most gets no more", a_source_that_holds_most_gets_no_more},
        {"within a network hosts share alike", within_a_network_hosts_share_alike},
        {"sessions that are never idle make room too", sessions_that_are_never_idle_make_room_too},
        {"who does not hang up keeps nobody out", who_does_not_hang_up_keeps_nobody_out},
        {"the unconfirmed end no session", the_unconfirmed_end_no_session},
        {"a light host is let in, whichever networks hold the same",
         a_light_host_is_let_in_whichever_networks_hold_the_same},
        {"who closes sessions and does not hang up keeps nobody out",
         who_closes_sessions_and_does_not_hang_up_keeps_nobody_out},
        {"a burst of newcomers finds places among those who linger",
         a_burst_of_newcomers_finds_places_among_those_who_linger},
        {"of those who linger, the source with most makes room",
         of_those_who_linger_the_source_with_most_makes_room},
        {"a flood of the unconfirmed hurries few who linger",
         a_flood_of_the_unconfirmed_hurries_few_who_linger},
        CU_TEST_INFO_NULL,
    };
    return suite_run("native_tcp_shares", tests);
}
