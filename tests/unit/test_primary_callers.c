/*
 * test_primary_callers.c - what a node answers to one that wants to be primary; a primary that begins to
 * lead and stops; what it tells of its replicas to members.h, and a place handed over.
 */
#include "scripted_feeder.h"

#include "primary_fixture.h"

#define PROMOTED UINT32_C(0x10000)

static struct feeder feeder;

/* The node behind the seat. */
static struct {
    struct replication_standing standing;
    bool ready;
    unsigned asked, decides_after; /* SEAL: the answer is there when it was asked so often */
    uint32_t heard;
} node;

static bool seat_standing(void *state, struct replication_standing *out, uint8_t cluster_id[CLUSTER_ID_BYTES])
{
    (void)state;
    struct replication_standing mine = node.standing;
    mine.version = out->version;
    mine.node_id = out->node_id;
    *out = mine;
    memcpy(cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES);
    return node.ready;
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
    node.heard = epoch;
}

static void start(void)
{
    memset(&feeder, 0, sizeof feeder);
    fixture_start(&feeder);
    memset(&node, 0, sizeof node);
    node.ready = true;
    node.standing = (struct replication_standing){.mode = STANDING_FOLLOWS,
                                                  .state = STANDING_SERVING,
                                                  .epoch = EPOCH,
                                                  .tail_epoch = EPOCH - 1,
                                                  .tail_history = OLD_HISTORY,
                                                  .tail_lsn = OLD_LAST_LSN};
    fixture.seat = (struct primary_seat){
        .node_id = PRIMARY_ID, .standing = seat_standing, .seal = seat_seal, .heard = seat_heard};
    primary_destroy(fixture.primary);
    fixture_begin();
}

static struct replication_message call(enum replication_type type, uint64_t node_id, uint32_t epoch)
{
    struct replication_message message = {
        .type = type, .call = {.version = REPLICATION_VERSION, .node_id = node_id, .epoch = epoch}};
    memcpy(message.call.cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES);
    return message;
}

static struct peer *calls(uint8_t host, enum replication_type type, uint32_t epoch)
{
    struct replication_message message = call(type, host, epoch);
    return peer_says(peer_open(host), &message);
}

static void a_probe_is_answered_as_often_as_it_is_said(void)
{
    start();
    struct peer *peer = calls(5, REPLICATION_PROBE, EPOCH);
    struct replication_message again = call(REPLICATION_PROBE, 5, EPOCH);
    CU_ASSERT_EQUAL(peer->standings, 1);
    CU_ASSERT_EQUAL(peer->standing.node_id, PRIMARY_ID);
    CU_ASSERT_EQUAL(peer->standing.mode, STANDING_FOLLOWS);
    CU_ASSERT_EQUAL(peer->standing.tail_lsn, OLD_LAST_LSN);
    CU_ASSERT_EQUAL(peer->standing.tail_history, OLD_HISTORY);
    CU_ASSERT_EQUAL(peer->standing.sealed_epoch, 0);
    node.standing.tail_lsn++;
    peer_says(peer, &again);
    CU_ASSERT_EQUAL(peer->standings, 2);
    CU_ASSERT_EQUAL(peer->standing.tail_lsn, OLD_LAST_LSN + 1);
    CU_ASSERT_EQUAL(node.heard, 0);
    CU_ASSERT_EQUAL(node.asked, 0);
    CU_ASSERT_EQUAL(counted(REPLICATION_calls), 2);
    peer_free(peer);
    fixture_stop();
}

static void a_seal_is_answered_once_it_is_decided(void)
{
    start();
    node.decides_after = 50;
    struct peer *peer = calls(5, REPLICATION_SEAL, PROMOTED);
    CU_ASSERT_EQUAL(peer->standings, 0);
    while (node.asked < 49) {
        fixture_pass(1, &peer, 1);
        CU_ASSERT_EQUAL_FATAL(peer->standings, 0);
    }
    fixture_pass(1, &peer, 1);
    CU_ASSERT_EQUAL(peer->standings, 1);
    CU_ASSERT_EQUAL(peer->standing.sealed_epoch, PROMOTED);
    CU_ASSERT_EQUAL(peer->standing.sealed_node, 5);
    unsigned asked = node.asked;
    fixture_pass(20, &peer, 1);
    CU_ASSERT_EQUAL(node.asked, asked);
    peer_free(peer);
    fixture_stop();
}

static void strangers_are_refused(void)
{
    start();
    struct replication_message messages[] = {
        call(REPLICATION_PROBE, 5, EPOCH), call(REPLICATION_SEAL, 5, PROMOTED),
        call(REPLICATION_SEAL, PRIMARY_ID, PROMOTED), call(REPLICATION_SEAL, 5, PROMOTED)};
    messages[0].call.cluster_id[0]++;
    messages[1].call.cluster_id[15]++;
    messages[3].call.version++;
    static const unsigned reasons[] = {REFUSE_FOREIGN_CLUSTER, REFUSE_FOREIGN_CLUSTER, REFUSE_SAME_NODE,
                                       REFUSE_VERSION};
    for (unsigned i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        struct peer *peer = peer_says(peer_open(5), &messages[i]);
        CU_ASSERT_EQUAL(peer->refusals, 1);
        CU_ASSERT_EQUAL(peer->refuse.reason, reasons[i]);
        CU_ASSERT_PTR_NULL(peer->session);
        peer_free(peer);
    }
    CU_ASSERT_EQUAL(node.asked, 0);
    CU_ASSERT_EQUAL(node.heard, 0);
    CU_ASSERT_EQUAL(counted(REPLICATION_calls), 0);
    fixture_stop();
}

static void a_node_without_a_log_has_no_say(void)
{
    start();
    node.ready = false;
    struct peer *peer = calls(5, REPLICATION_SEAL, PROMOTED);
    CU_ASSERT_EQUAL(peer->refuse.reason, REFUSE_NOT_READY);
    peer_free(peer);
    primary_destroy(fixture.primary);
    fixture.seat = (struct primary_seat){.node_id = PRIMARY_ID};
    fixture_begin();
    peer = calls(5, REPLICATION_PROBE, 0);
    CU_ASSERT_EQUAL(peer->refuse.reason, REFUSE_NOT_READY);
    peer_free(peer);
    CU_ASSERT_EQUAL(node.asked, 0);
    fixture_stop();
}

static void one_question_at_a_time_and_nothing_else(void)
{
    start();
    node.decides_after = UINT32_MAX;
    struct replication_message probe = call(REPLICATION_PROBE, 5, EPOCH), hello = peer_hello(5);
    struct peer *peer = calls(5, REPLICATION_SEAL, PROMOTED);
    peer_says(peer, &probe); /* while the first is not answered */
    CU_ASSERT_PTR_NULL(peer->session);
    peer_free(peer);
    peer = calls(5, REPLICATION_PROBE, EPOCH);
    peer_says(peer, &hello);
    CU_ASSERT_PTR_NULL(peer->session);
    peer_free(peer);
    peer = peer_open(5);
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL(peer->welcomes, 1);
    peer_says(peer, &probe); /* a replica asks nothing */
    CU_ASSERT_PTR_NULL(peer->session);
    peer_free(peer);
    CU_ASSERT_EQUAL(counted(REPLICATION_not_in_order), 3);
    fixture_stop();
}

static void a_caller_has_its_time_and_there_are_few(void)
{
    start();
    struct peer *peer[PRIMARY_CALLERS_MAX], *late;
    for (unsigned i = 0; i < PRIMARY_CALLERS_MAX; i++) {
        fixture.now_ns += 100 * MS; /* for the handshakes */
        peer[i] = calls((uint8_t)(i + 1), REPLICATION_PROBE, EPOCH);
        CU_ASSERT_EQUAL(peer[i]->standings, 1);
    }
    fixture.now_ns += 100 * MS;
    late = calls(100, REPLICATION_PROBE, EPOCH);
    CU_ASSERT_EQUAL(late->standings, 0);
    CU_ASSERT_PTR_NULL(late->session);
    peer_free(late);
    fixture_pass(PRIMARY_CALLER_NS / MS, peer, PRIMARY_CALLERS_MAX);
    for (unsigned i = 0; i < PRIMARY_CALLERS_MAX; i++) {
        CU_ASSERT_PTR_NULL(peer[i]->session);
        peer_free(peer[i]);
    }
    CU_ASSERT_EQUAL(counted(REPLICATION_silent), PRIMARY_CALLERS_MAX);
    late = calls(100, REPLICATION_PROBE, EPOCH);
    CU_ASSERT_EQUAL(late->standings, 1);
    peer_free(late);
    fixture_stop();
}

static void a_higher_epoch_is_heard_of(void)
{
    start();
    struct replication_message hello = peer_hello_at(5, HISTORY, FIRST_LSN - 1);
    struct peer *peer = calls(5, REPLICATION_PROBE, EPOCH);
    CU_ASSERT_EQUAL(node.heard, 0);
    peer_free(peer);
    peer = calls(5, REPLICATION_PROBE, EPOCH + 1);
    CU_ASSERT_EQUAL(node.heard, EPOCH + 1);
    CU_ASSERT_EQUAL(peer->standings, 1);
    peer_free(peer);
    hello.hello.epoch = PROMOTED;
    peer = peer_says(peer_open(5), &hello);
    CU_ASSERT_EQUAL(peer->refuse.reason, REFUSE_STALE_EPOCH);
    CU_ASSERT_EQUAL(node.heard, PROMOTED);
    peer_free(peer);
    node.heard = 0;
    hello.hello.cluster_id[3]++; /* another cluster's epochs are nothing to us */
    peer = peer_says(peer_open(5), &hello);
    CU_ASSERT_EQUAL(peer->refuse.reason, REFUSE_FOREIGN_CLUSTER);
    CU_ASSERT_EQUAL(node.heard, 0);
    peer_free(peer);
    fixture_stop();
}

/* ---- leading ---- */

static void who_does_not_lead_has_no_replicas_but_answers_callers(void)
{
    start();
    struct replication_message hello = peer_hello_at(9, HISTORY, fixture.next_lsn - 1);
    struct peer *replica = peer_streams(1), *caller = calls(5, REPLICATION_PROBE, EPOCH), *peer;
    struct replication_message probe = call(REPLICATION_PROBE, 5, EPOCH);

    CU_ASSERT_FALSE(primary_is_settled(fixture.primary));
    primary_stop_leading(fixture.primary);
    peer_settle(replica);
    CU_ASSERT_PTR_NULL(replica->session);
    CU_ASSERT_EQUAL(replica->channel.end, CHANNEL_CLOSED);
    CU_ASSERT_TRUE(primary_is_settled(fixture.primary));
    peer_says(caller, &probe);
    CU_ASSERT_EQUAL(caller->standings, 2);
    peer = peer_says(peer_open(9), &hello);
    CU_ASSERT_EQUAL(peer->refuse.reason, REFUSE_NOT_PRIMARY);
    peer_free(peer);
    peer_free(caller);
    peer_free(replica);
    fixture_stop();
}

static void who_leads_again_goes_by_other_histories(void)
{
    start();
    struct meta meta = fixture.meta;
    struct replication_message hello = peer_hello_at(9, HISTORY, fixture.next_lsn - 1);
    primary_stop_leading(fixture.primary);
    meta_add(&meta, &(struct history){.id = 0xcccc,
                                      .first_lsn = FIRST_LSN * 2,
                                      .node_id = PRIMARY_ID,
                                      .before_lsn = fixture.next_lsn - 1,
                                      .epoch = PROMOTED});
    primary_lead(fixture.primary, &meta);
    struct peer *peer = peer_says(peer_open(9), &hello);
    CU_ASSERT_EQUAL(peer->welcomes, 1);
    CU_ASSERT_EQUAL(peer->welcome.histories, 3);
    CU_ASSERT_EQUAL(peer->welcome.epoch, PROMOTED);
    CU_ASSERT_EQUAL(peer->last_history.id, 0xcccc);
    peer_free(peer);
    fixture_stop();
}

static void a_node_may_be_there_before_it_leads(void)
{
    start();
    struct replication_message hello = peer_hello_at(9, HISTORY, fixture.next_lsn - 1);
    primary_destroy(fixture.primary);
    struct primary_config config = fixture_config();
    config.meta = NULL;
    fixture.primary = primary_create(&config);
    struct peer *peer = calls(5, REPLICATION_PROBE, EPOCH);
    CU_ASSERT_EQUAL(peer->standings, 1);
    peer_free(peer);
    peer = peer_says(peer_open(9), &hello);
    CU_ASSERT_EQUAL(peer->refuse.reason, REFUSE_NOT_PRIMARY);
    peer_free(peer);
    primary_lead(fixture.primary, &fixture.meta);
    peer = peer_says(peer_open(9), &hello);
    CU_ASSERT_EQUAL(peer->welcomes, 1);
    peer_free(peer);
    fixture_stop();
}

static struct peer *streams_with_log(uint64_t node_id)
{
    struct replication_message hello = peer_hello_at(node_id, HISTORY, fixture.next_lsn - 1);
    struct peer *peer = peer_open((uint8_t)node_id);
    hello.hello.flags |= HELLO_HAS_LOG;
    hello.hello.replication_port = 9002;
    peer->next_lsn = fixture.next_lsn;
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL_FATAL(peer->welcomes, 1);
    return peer;
}

static void replicas_with_a_log_are_told_of_once_they_have_all(void)
{
    start();
    struct members_peer peers[MEMBERS_PEERS_MAX];
    fixture_block(3, 5);
    struct peer *without = peer_streams(1), *peer = streams_with_log(2);
    CU_ASSERT_EQUAL(primary_peers(fixture.primary, peers, MEMBERS_PEERS_MAX), 1);
    CU_ASSERT_EQUAL(peers[0].member.node_id, 2);
    CU_ASSERT_EQUAL(peers[0].member.replication_port, 9002);
    CU_ASSERT_EQUAL(peers[0].member.client_port, 17878);
    CU_ASSERT_EQUAL(peers[0].member.address[15], 2);
    CU_ASSERT_STRING_EQUAL(peers[0].member.name, "r");
    CU_ASSERT_FALSE(peers[0].has_all);
    CU_ASSERT_EQUAL(peers[0].durable_lsn, 0);
    peer_ack(peer, fixture.next_lsn - 1, fixture.next_lsn - 2, 0);
    peer_settle(peer);
    primary_peers(fixture.primary, peers, MEMBERS_PEERS_MAX);
    CU_ASSERT_EQUAL(peers[0].durable_lsn, fixture.next_lsn - 2);
    CU_ASSERT_FALSE(peers[0].has_all);
    /* Its readers may be waiting for what only it can help to acknowledge. */
    struct replication_message ack = {.type = REPLICATION_ACK,
                                      .ack = {.applied_lsn = fixture.next_lsn - 1,
                                              .durable_lsn = fixture.next_lsn - 1,
                                              .state = REPLICA_CATCHING_UP}};
    peer_send(peer, &ack);
    peer_settle(peer);
    fixture_block(3, 5); /* what came later does not count */
    primary_peers(fixture.primary, peers, MEMBERS_PEERS_MAX);
    CU_ASSERT_TRUE(peers[0].has_all);
    CU_ASSERT_EQUAL(peers[0].snapshot_lsn, 0);
    CU_ASSERT_EQUAL(primary_peers(fixture.primary, peers, 0), 0);
    peer_free(peer);
    peer_free(without);
    fixture_stop();
}

static void a_place_is_handed_over_to_one_that_streams(void)
{
    start();
    struct peer *peer = streams_with_log(2);
    CU_ASSERT_FALSE(primary_hand_over(fixture.primary, 3, PROMOTED));
    CU_ASSERT_TRUE(primary_hand_over(fixture.primary, 2, PROMOTED));
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->handovers, 1);
    CU_ASSERT_EQUAL(peer->handover_epoch, PROMOTED);
    fixture_block(3, 5); /* the session goes on */
    peer_settle(peer);
    CU_ASSERT_EQUAL(peer->batches, 1);
    CU_ASSERT_EQUAL(peer->handovers, 1);
    peer_free(peer);
    fixture_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a PROBE is answered as often as it is said", a_probe_is_answered_as_often_as_it_is_said},
        {"a SEAL is answered once it is decided", a_seal_is_answered_once_it_is_decided},
        {"strangers are refused", strangers_are_refused},
        {"a node without a log has no say", a_node_without_a_log_has_no_say},
        {"one question at a time, and nothing else", one_question_at_a_time_and_nothing_else},
        {"a caller has its time, and there are few", a_caller_has_its_time_and_there_are_few},
        {"a higher epoch is heard of", a_higher_epoch_is_heard_of},
        {"who does not lead has no replicas, but answers callers",
         who_does_not_lead_has_no_replicas_but_answers_callers},
        {"who leads again goes by other histories", who_leads_again_goes_by_other_histories},
        {"a node may be there before it leads", a_node_may_be_there_before_it_leads},
        {"replicas with a log are told of once they have all",
         replicas_with_a_log_are_told_of_once_they_have_all},
        {"a place is handed over to one that streams", a_place_is_handed_over_to_one_that_streams},
        CU_TEST_INFO_NULL,
    };
    return suite_run("callers of a primary", tests);
}
