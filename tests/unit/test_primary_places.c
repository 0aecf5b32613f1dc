/*
 * test_primary_places.c - who gets a place at a primary: newcomers by source, replicas up to 64, and how
 * often hands are shaken.
 */
#include "scripted_feeder.h"

#include "primary_fixture.h"

static struct feeder feeder;

static void start(void)
{
    memset(&feeder, 0, sizeof feeder);
    fixture_start(&feeder);
}

static bool is_there(const struct peer *peer)
{
    link_pair_run(peer->link);
    return peer->session != NULL;
}

static void who_says_nothing_gives_its_place_up_in_time(void)
{
    start();
    struct peer *mute = peer_connect_from(1), *shaken = peer_open(2);
    struct peer *both[] = {mute, shaken};

    fixture_pass(PRIMARY_HELLO_NS / MS - 1, both, 2);
    CU_ASSERT_TRUE(is_there(mute));
    CU_ASSERT_TRUE(is_there(shaken));
    fixture_pass(1, both, 2);
    CU_ASSERT_FALSE(is_there(mute));
    CU_ASSERT_FALSE(is_there(shaken));
    CU_ASSERT_EQUAL(counted(REPLICATION_silent), 2);
    CU_ASSERT_EQUAL(counted(REPLICATION_sessions), 0);
    peer_free(mute);
    peer_free(shaken);
    fixture_stop();
}

static void garbage_and_other_secrets_are_cut_off_and_counted(void)
{
    start();
    struct peer *garbage = peer_connect_from(1), *stranger = peer_connect_from(2);

    link_pair_inject(garbage->link, 1, "GET / HTTP/1.1\r\n\r\n", 18);
    CU_ASSERT_FALSE(is_there(garbage));
    peer_begin(stranger, &fixture.other_keys);
    CU_ASSERT_FALSE(is_there(stranger));
    CU_ASSERT_EQUAL(counted(REPLICATION_bad_key), 2);
    CU_ASSERT_EQUAL(garbage->link->end[0].committed, 0);
    CU_ASSERT_EQUAL(stranger->link->end[0].committed, 0);
    CU_ASSERT_EQUAL(fixture.lines, 0);
    peer_free(garbage);
    peer_free(stranger);
    fixture_stop();
}

static void a_second_secret_in_force_opens_as_well(void)
{
    start();
    primary_destroy(fixture.primary);
    struct primary_config config = fixture_config();
    config.keys[1] = &fixture.other_keys;
    fixture.primary = primary_create(&config);
    fixture_turn();
    struct peer *peer = peer_connect_from(1);
    peer_begin(peer, &fixture.other_keys);
    CU_ASSERT_TRUE(is_there(peer));
    CU_ASSERT_TRUE(peer->opened);
    peer_free(peer);
    fixture_stop();
}

static void one_source_has_few_places_and_its_oldest_newcomer_makes_room(void)
{
    start();
    struct peer *peer[PRIMARY_SOURCE_MAX], *late;

    for (unsigned i = 0; i < PRIMARY_SOURCE_MAX; i++) {
        peer[i] = peer_connect_from(1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer[i]);
        fixture.now_ns += MS;
    }
    /* Who has just come has its chance first. */
    CU_ASSERT_PTR_NULL(peer_connect_from(1));
    CU_ASSERT_EQUAL(counted(REPLICATION_crowded), 1);
    late = peer_connect_from(2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(late);
    peer_free(late);
    fixture.now_ns += 250 * MS;
    late = peer_connect_from(1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(late);
    CU_ASSERT_FALSE(is_there(peer[0]));
    CU_ASSERT_TRUE(is_there(peer[1]));
    CU_ASSERT_EQUAL(counted(REPLICATION_crowded), 2);
    peer_free(late);
    for (unsigned i = 0; i < PRIMARY_SOURCE_MAX; i++)
        peer_free(peer[i]);
    fixture_stop();
}

static void a_crowd_of_few_sources_does_not_keep_another_out(void)
{
    start();
    struct peer *crowd[PRIMARY_SHAKING_MAX], *peer;

    for (unsigned i = 0; i < PRIMARY_SHAKING_MAX; i++) {
        crowd[i] = peer_connect_from((uint8_t)(100 + i / PRIMARY_SOURCE_MAX));
        CU_ASSERT_PTR_NOT_NULL_FATAL(crowd[i]);
        fixture.now_ns++;
    }
    peer = peer_open(1);
    CU_ASSERT_FALSE(is_there(crowd[0]));
    CU_ASSERT_TRUE(is_there(crowd[1]));
    /* The others go on coming: it is theirs that make room, of the source that has most. */
    struct peer *more[8];
    for (unsigned i = 0; i < 8; i++) {
        fixture.now_ns += 10;
        more[i] = peer_connect_from((uint8_t)(150 + i));
        CU_ASSERT_PTR_NOT_NULL_FATAL(more[i]);
    }
    CU_ASSERT_TRUE(is_there(peer));
    struct replication_message hello = peer_hello(1);
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL(peer->welcomes, 1);
    peer_free(peer);
    for (unsigned i = 0; i < 8; i++)
        peer_free(more[i]);
    for (unsigned i = 0; i < PRIMARY_SHAKING_MAX; i++)
        peer_free(crowd[i]);
    fixture_stop();
}

static void an_ip6_network_is_one_source(void)
{
    start();
    struct peer *peer[PRIMARY_SOURCE_MAX + 1];
    struct link_pair *link;

    for (unsigned i = 0; i <= PRIMARY_SOURCE_MAX; i++) {
        peer[i] = calloc(1, sizeof *peer[i]);
        peer[i]->link = link = link_pair_new(1000);
        memcpy(link->end[0].link.peer_address, "\x20\x01\x0d\xb8\0\0\0\1whatever", 16);
        link->end[0].link.peer_address[15] = (uint8_t)i;
        link_pair_user(link, 0, &primary_end, peer[i]);
        peer[i]->session = primary_accept(fixture.primary, &link->end[0].link, fixture.now_ns);
        CU_ASSERT_EQUAL(peer[i]->session != NULL, i < PRIMARY_SOURCE_MAX);
    }
    for (unsigned i = 0; i < PRIMARY_SOURCE_MAX; i++)
        peer_free(peer[i]);
    link_pair_free(peer[PRIMARY_SOURCE_MAX]->link);
    free(peer[PRIMARY_SOURCE_MAX]);
    fixture_stop();
}

static void places_of_sessions_whose_links_linger_do_not_run_out_before_others(void)
{
    start();
    struct peer *peer[PRIMARY_SESSIONS_MAX];
    unsigned there = 0;

    /* Newcomers that are displaced and whose links do not go. */
    for (unsigned i = 0; i < PRIMARY_SESSIONS_MAX; i++) {
        peer[i] = peer_connect_from((uint8_t)i);
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer[i]);
        fixture.now_ns++;
    }
    CU_ASSERT_PTR_NULL(peer_connect_from(200));
    for (unsigned i = 0; i < PRIMARY_SESSIONS_MAX; i++)
        there += is_there(peer[i]);
    CU_ASSERT_EQUAL(there, PRIMARY_SHAKING_MAX);
    struct peer *late = peer_connect_from(200);
    CU_ASSERT_PTR_NOT_NULL_FATAL(late);
    peer_free(late);
    for (unsigned i = 0; i < PRIMARY_SESSIONS_MAX; i++)
        peer_free(peer[i]);
    fixture_stop();
}

/* As peer_streams(), whose handshakes would be too many at once. */
static struct peer *join(uint64_t node_id)
{
    fixture.now_ns += 10 * MS;
    fixture_turn();
    return peer_streams(node_id);
}

static void sixty_four_replicas_follow_and_the_next_is_turned_away(void)
{
    start();
    struct peer *peer[PRIMARY_REPLICAS_MAX];
    struct primary_replica facts[PRIMARY_REPLICAS_MAX + 1];

    for (unsigned i = 0; i < PRIMARY_REPLICAS_MAX; i++)
        peer[i] = join(i + 1);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), PRIMARY_REPLICAS_MAX);

    fixture.now_ns += 10 * MS;
    struct peer *another = peer_open(99);
    struct replication_message hello = peer_hello(99);
    peer_says(another, &hello);
    CU_ASSERT_EQUAL(another->refusals, 1);
    CU_ASSERT_EQUAL(another->refuse.reason, REFUSE_CROWDED);
    peer_free(another);

    fixture_block(5, 5);
    for (unsigned i = 0; i < PRIMARY_REPLICAS_MAX; i++) {
        peer_settle(peer[i]);
        CU_ASSERT_EQUAL(peer[i]->batches, 1);
    }
    CU_ASSERT_EQUAL(primary_replicas(fixture.primary, fixture.now_ns, facts, PRIMARY_REPLICAS_MAX + 1),
                    PRIMARY_REPLICAS_MAX);
    CU_ASSERT_EQUAL(primary_replicas(fixture.primary, fixture.now_ns, facts, 10), 10);
    /* One of them that comes again has a place. */
    struct peer *again = join(7);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), PRIMARY_REPLICAS_MAX);
    CU_ASSERT_FALSE(is_there(peer[6]));
    peer_free(again);
    for (unsigned i = 0; i < PRIMARY_REPLICAS_MAX; i++)
        peer_free(peer[i]);
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), 0);
    fixture_stop();
}

static void hands_are_shaken_so_often_and_no_more(void)
{
    start();
    unsigned shaken = 0, refused = 0;

    for (unsigned i = 0; i < 1000; i++) { /* in one second */
        fixture.now_ns += MS;
        fixture_turn();
        struct peer *peer = peer_connect_from((uint8_t)i);
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer);
        peer_begin(peer, &fixture.keys);
        link_pair_run(peer->link);
        shaken += peer->opened;
        refused += !peer->opened;
        CU_ASSERT_EQUAL(peer->session == NULL, !peer->opened);
        peer_free(peer);
    }
    CU_ASSERT_TRUE(shaken >= PRIMARY_HANDSHAKES_S && shaken <= PRIMARY_HANDSHAKES_S + 17);
    CU_ASSERT_EQUAL(counted(REPLICATION_hurried), refused);
    fixture_stop();
}

/* Every millisecond of a second one from there, and each fifth of a second one from elsewhere: how many of each got
 * through. */
static void shake_all_the_time(uint8_t host, unsigned *shaken, unsigned *others)
{
    *shaken = *others = 0;
    for (unsigned i = 1; i <= 1000; i++) {
        bool other = i % 200 == 0;
        fixture.now_ns += MS;
        fixture_turn();
        struct peer *peer = peer_connect_from(other ? 99 : host);
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer);
        peer_begin(peer, &fixture.keys);
        link_pair_run(peer->link);
        *(other ? others : shaken) += peer->opened;
        peer_free(peer);
    }
}

static void one_source_shakes_hands_so_often_and_leaves_the_rest_to_others(void)
{
    start();
    unsigned shaken, others;

    shake_all_the_time(1, &shaken, &others);
    CU_ASSERT_EQUAL(others, 5);
    CU_ASSERT_TRUE(shaken >= PRIMARY_SOURCE_HANDSHAKES_S &&
                   shaken <= PRIMARY_SOURCE_HANDSHAKES_S + PRIMARY_SOURCE_MAX);
    /* ... also where so many have come since that it is forgotten and found again. */
    for (unsigned round = 0; round < 3; round++) {
        for (uint8_t host = 100; host < 200; host++) {
            fixture.now_ns += 10 * MS;
            fixture_turn();
            peer_free(peer_open(host));
        }
        shake_all_the_time(1, &shaken, &others);
        CU_ASSERT_EQUAL(others, 5);
        CU_ASSERT_TRUE(shaken <= PRIMARY_SOURCE_HANDSHAKES_S + PRIMARY_SOURCE_MAX);
    }
    fixture_stop();
}

static void lines_that_come_too_fast_are_left_out_and_counted(void)
{
    start();
    for (unsigned i = 0; i < 100; i++) {
        struct peer *peer = join(1 + i);
        peer_free(peer);
    }
    CU_ASSERT_TRUE(fixture.lines < 40);
    unsigned before = fixture_said("lines left out) ");
    fixture.now_ns += 60 * 1000 * MS;
    peer_free(join(1));
    CU_ASSERT_EQUAL(fixture_said("lines left out) "), before + 1);
    fixture_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"who says nothing gives its place up in time", who_says_nothing_gives_its_place_up_in_time},
        {"garbage and other secrets are cut off and counted",
         garbage_and_other_secrets_are_cut_off_and_counted},
        {"a second secret in force opens as well", a_second_secret_in_force_opens_as_well},
        {"one source has few places, and its oldest newcomer makes room",
         one_source_has_few_places_and_its_oldest_newcomer_makes_room},
        {"a crowd of few sources does not keep another out",
         a_crowd_of_few_sources_does_not_keep_another_out},
        {"an IPv6 network is one source", an_ip6_network_is_one_source},
        {"places of sessions whose links linger do not run out before others",
         places_of_sessions_whose_links_linger_do_not_run_out_before_others},
        {"64 replicas follow, and the next is turned away",
         sixty_four_replicas_follow_and_the_next_is_turned_away},
        {"hands are shaken so often, and no more", hands_are_shaken_so_often_and_no_more},
        {"one source shakes hands so often, and leaves the rest to others",
         one_source_shakes_hands_so_often_and_leaves_the_rest_to_others},
        {"lines that come too fast are left out and counted",
         lines_that_come_too_fast_are_left_out_and_counted},
        CU_TEST_INFO_NULL};
    return suite_run("primary_places", tests);
}
