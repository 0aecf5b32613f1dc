/*
 * test_primary_facts.c - what a primary knows of its replicas: how far a change
 * has come among them, and how far each lags.
 */
#include "scripted_feeder.h"

#include "primary_fixture.h"

static struct feeder feeder;

static void start(void)
{
    memset(&feeder, 0, sizeof feeder);
    fixture_start(&feeder);
    for (unsigned i = 0; i < 10; i++)
        fixture_block(1, 10); /* FIRST_LSN .. FIRST_LSN + 9 */
}

/* A replica that has all up to the log's first block and is sent the rest. */
static struct peer *join(uint64_t node_id, bool has_log)
{
    struct peer *peer = peer_open((uint8_t)node_id);
    struct replication_message hello = peer_hello_at(node_id, HISTORY, FIRST_LSN);
    hello.hello.flags |= has_log ? HELLO_HAS_LOG : 0;
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL_FATAL(peer->welcomes, 1);
    return peer;
}

static void says(struct peer *peer, uint64_t applied_lsn, uint64_t durable_lsn)
{
    peer_ack(peer, FIRST_LSN + applied_lsn, durable_lsn > 0 ? FIRST_LSN + durable_lsn : 0, peer->stamp_ns);
    peer_settle(peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer->session);
}

static uint64_t replicated(unsigned count, bool applied_counts)
{
    uint64_t lsn = primary_replicated_lsn(fixture.primary, count, applied_counts);
    return lsn >= FIRST_LSN && lsn != UINT64_MAX ? lsn - FIRST_LSN : lsn;
}

static void how_far_a_change_has_come_is_the_kth_highest(void)
{
    start();
    struct peer *peer[4];
    static const uint64_t applied[4] = {3, 9, 5, 7}, durable[4] = {3, 2, 4, 0};

    CU_ASSERT_EQUAL(replicated(0, true), UINT64_MAX);
    CU_ASSERT_EQUAL(replicated(1, true), 0);
    for (unsigned i = 0; i < 4; i++)
        peer[i] = join(i + 1, i != 3);
    CU_ASSERT_EQUAL(replicated(1, true), 0); /* nobody has said anything yet */
    for (unsigned i = 0; i < 4; i++)
        says(peer[i], applied[i], durable[i]);
    CU_ASSERT_EQUAL(replicated(0, true), UINT64_MAX);
    CU_ASSERT_EQUAL(replicated(1, true), 9);
    CU_ASSERT_EQUAL(replicated(2, true), 7);
    CU_ASSERT_EQUAL(replicated(3, true), 5);
    CU_ASSERT_EQUAL(replicated(4, true), 3);
    CU_ASSERT_EQUAL(replicated(5, true), 0);
    CU_ASSERT_EQUAL(replicated(64, true), 0);
    CU_ASSERT_EQUAL(replicated(65, true), 0);
    CU_ASSERT_EQUAL(replicated(1, false), 4);
    CU_ASSERT_EQUAL(replicated(2, false), 3);
    CU_ASSERT_EQUAL(replicated(3, false), 2);
    CU_ASSERT_EQUAL(replicated(4, false), 0); /* the one without a log */
    /* What is durable is worth no less than what is applied. */
    says(peer[0], 3, 8);
    CU_ASSERT_EQUAL(replicated(2, true), 8);
    for (unsigned i = 0; i < 4; i++)
        peer_free(peer[i]);
    CU_ASSERT_EQUAL(replicated(1, true), 0);
    fixture_stop();
}

static void a_node_counts_once_however_often_it_comes(void)
{
    start();
    struct peer *first = join(1, true), *again;

    says(first, 9, 9);
    CU_ASSERT_EQUAL(replicated(1, false), 9);
    again = join(1, true);
    CU_ASSERT_EQUAL(replicated(1, false), 0); /* until it says so again */
    says(again, 5, 5);
    CU_ASSERT_EQUAL(replicated(1, false), 5);
    CU_ASSERT_EQUAL(replicated(2, false), 0);
    peer_free(first);
    CU_ASSERT_EQUAL(replicated(1, false), 5);
    peer_free(again);
    fixture_stop();
}

static void facts_are_those_of_the_hello_and_of_the_last_word(void)
{
    start();
    struct peer *peer = join(1, true), *other = join(2, false);
    struct primary_replica facts[2];

    says(peer, 9, 8);
    CU_ASSERT_EQUAL(primary_replicas(fixture.primary, fixture.now_ns, facts, 2), 2);
    CU_ASSERT_STRING_EQUAL(facts[0].name, "r");
    CU_ASSERT_EQUAL(facts[0].node_id, 1);
    CU_ASSERT_EQUAL(facts[0].applied_lsn, FIRST_LSN + 9);
    CU_ASSERT_EQUAL(facts[0].durable_lsn, FIRST_LSN + 8);
    CU_ASSERT_EQUAL(facts[0].address[15], 1);
    CU_ASSERT_EQUAL(facts[0].port, 9001);
    CU_ASSERT_EQUAL(facts[0].client_port, 17878);
    CU_ASSERT_EQUAL(facts[0].state, PRIMARY_REPLICA_STREAMING);
    CU_ASSERT_TRUE(facts[0].has_log);
    CU_ASSERT_TRUE(facts[0].serving);
    CU_ASSERT_EQUAL(facts[0].since_ns, fixture.now_ns);
    CU_ASSERT_TRUE(facts[0].sent_bytes > 9 * 100);
    CU_ASSERT_FALSE(facts[1].has_log);
    CU_ASSERT_FALSE(facts[1].serving);
    CU_ASSERT_EQUAL(facts[0].sent_bytes + facts[1].sent_bytes, counted(REPLICATION_sent_bytes));
    peer_free(peer);
    peer_free(other);
    fixture_stop();
}

static uint64_t lag_ms(void)
{
    struct primary_replica facts;
    CU_ASSERT_EQUAL_FATAL(primary_replicas(fixture.primary, fixture.now_ns, &facts, 1), 1);
    return facts.lag_ns / MS;
}

static void lag_is_the_age_of_what_it_has_not_said_it_has(void)
{
    start();
    struct peer *peer = peer_streams(1);

    CU_ASSERT_EQUAL(lag_ms(), 0);
    fixture.now_ns += 3 * MS; /* it has said nothing yet */
    CU_ASSERT_EQUAL(lag_ms(), 3);
    fixture_turn();
    peer_ack(peer, fixture.next_lsn - 1, 0, peer->stamp_ns); /* of the heartbeat that came with the welcome */
    peer_settle(peer);
    CU_ASSERT_EQUAL(lag_ms(), 3); /* so long it took */
    fixture.now_ns += 50 * MS;
    CU_ASSERT_EQUAL(lag_ms(), 3); /* and nothing has been sent since */

    fixture_block(1, 1);
    peer_settle(peer);
    uint64_t first = peer->stamp_ns;
    CU_ASSERT_EQUAL(lag_ms(), 3);
    fixture.now_ns += 20 * MS;
    CU_ASSERT_EQUAL(lag_ms(), 20);
    fixture_block(1, 1);
    peer_settle(peer);
    fixture.now_ns += 5 * MS;
    CU_ASSERT_EQUAL(lag_ms(), 25);
    fixture_turn();
    peer_ack(peer, fixture.next_lsn - 2, 0, first);
    peer_settle(peer);
    CU_ASSERT_EQUAL(lag_ms(), 25); /* the second may be as old as the first */
    peer_ack(peer, fixture.next_lsn - 1, 0, peer->stamp_ns);
    peer_settle(peer);
    CU_ASSERT_EQUAL(lag_ms(), 5);
    peer_free(peer);
    fixture_stop();
}

static void blocks_of_one_turn_have_stamps_of_their_own(void)
{
    start();
    struct peer *peer = peer_streams(1);

    for (unsigned i = 0; i < 5; i++)
        fixture_block(1, 1);
    peer_settle(peer); /* it checks that stamps ascend */
    CU_ASSERT_EQUAL(peer->batches, 5);
    /* And heartbeats are not late for it. */
    unsigned before = peer->heartbeats;
    fixture_pass(HEARTBEAT_MS + 1, &peer, 1);
    CU_ASSERT_EQUAL(peer->heartbeats, before + 1);
    peer_free(peer);
    fixture_stop();
}

static void clients_reach_a_replica_where_it_says_or_where_it_came_from(void)
{
    static const uint8_t theirs[REPLICATION_ADDRESS_BYTES] = {[10] = 0xff, 0xff, 198, 18, 7, 9};
    struct replication_message hello = peer_hello_at(2, HISTORY, FIRST_LSN);
    struct primary_replica facts[2];

    start();
    struct peer *peer = join(1, false), *other = peer_open(2);
    memcpy(hello.hello.client_address, theirs, sizeof theirs);
    peer_says(other, &hello);
    CU_ASSERT_EQUAL(primary_replicas(fixture.primary, fixture.now_ns, facts, 2), 2);
    CU_ASSERT_EQUAL(memcmp(facts[0].client_address, facts[0].address, sizeof facts[0].address), 0);
    CU_ASSERT_EQUAL(memcmp(facts[1].client_address, theirs, sizeof theirs), 0);
    CU_ASSERT_EQUAL(facts[1].address[15], 2);
    peer_free(peer);
    peer_free(other);
    fixture_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"how far a change has come is the K-th highest", how_far_a_change_has_come_is_the_kth_highest},
        {"a node counts once, however often it comes", a_node_counts_once_however_often_it_comes},
        {"facts are those of the HELLO and of the last word",
         facts_are_those_of_the_hello_and_of_the_last_word},
        {"lag is the age of what it has not said it has", lag_is_the_age_of_what_it_has_not_said_it_has},
        {"blocks of one turn have stamps of their own", blocks_of_one_turn_have_stamps_of_their_own},
        {"clients reach a replica where it says, or where it came from",
         clients_reach_a_replica_where_it_says_or_where_it_came_from},
        CU_TEST_INFO_NULL};
    return suite_run("primary_facts", tests);
}
