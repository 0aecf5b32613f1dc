/*
 * test_channel.c - two channels over a pair of links: what is sent arrives, whole and in order; and how they end.
 */
#include <stdio.h>

#include "channel_two.h"
#include "wire.h"

/* ---- what is in order ---- */

static void both_ends_open_and_messages_go_both_ways(void)
{
    struct two t = two_open(WIDE);
    CU_ASSERT_EQUAL(t.server->asked, 1);
    CU_ASSERT_EQUAL(t.server->opened, 1);
    CU_ASSERT_EQUAL(t.client->opened, 1);
    send_now(t.client, 0);
    send_now(t.server, 1000);
    send_now(t.server, 0);
    send_now(t.client, 77);
    link_pair_run(t.pair);
    CU_ASSERT(all_came(&t));
    CU_ASSERT_EQUAL(t.server->came, 2);
    CU_ASSERT_EQUAL(t.client->came, 2);
    two_free(&t);
}

static void messages_of_every_size_arrive_in_any_pieces(void)
{
    uint64_t seed = seeded_from_environment(20), random = seeded_start(seed);
    static const uint32_t sizes[] = {0,     1,     2,     483,   484,    485,         1383,
                                     1384,  1385,  16343, 16344, 16360,  16361,       16384,
                                     32768, 65535, 65536, 99999, 131072, LARGEST - 1, LARGEST};
    static const size_t limits[] = {536, 600, 1448, 3000, 16384, WIDE};
    printf("(seed %llu) ", (unsigned long long)seed);
    for (unsigned l = 0; l < sizeof limits / sizeof limits[0]; l++)
        for (unsigned whole = 0; whole < 2; whole++) { /* in pieces, or as much as there is */
            struct two t = two_open(limits[l]);
            t.pair->end[0].segment = t.pair->end[1].segment = l % 2 ? WIDE : 1448; /* > a record's most */
            for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                side_queue(t.server, sizes[i]);
                side_queue(t.client, sizes[seeded_below(&random, 12)]);
            }
            for (unsigned i = 0; i < 150; i++)
                side_queue(t.server, (uint32_t)seeded_below(&random, i % 10 ? 700 : 20000));
            side_turn(t.server);
            side_turn(t.client);
            bool busy = true;
            while (busy) {
                busy = false;
                for (unsigned side = 0; side < 2; side++) {
                    size_t most = whole ? SIZE_MAX : 1 + seeded_below(&random, 4000);
                    busy |= link_pair_move(t.pair, side, most) > 0;
                    busy |= link_pair_tell(t.pair, side);
                }
            }
            CU_ASSERT(all_came(&t));
            CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_OPEN);
            two_free(&t);
        }
}

static void a_byte_at_a_time_is_enough(void)
{
    struct two t = two_of_one_secret();
    two_meet(&t, 600);
    for (uint32_t size = 0; size < 60; size++) {
        side_queue(t.client, size * 5 % 61);
        side_queue(t.server, size * 40);
    }
    bool busy = true;
    while (busy) {
        busy = false;
        for (unsigned side = 0; side < 2; side++)
            busy |= link_pair_move(t.pair, side, 1) > 0 || link_pair_tell(t.pair, side);
    }
    CU_ASSERT(all_came(&t));
    CU_ASSERT_EQUAL(t.client->came, 60);
    two_free(&t);
}

static struct replication_history some_history(unsigned n)
{
    return (struct replication_history){
        .id = n + 1, .first_lsn = (uint64_t)n << 32, .node_id = n * 3, .before_lsn = n * 5, .epoch = n};
}

static void welcome_came(void *owner, const struct replication_message *message)
{
    struct channel_side *s = owner;
    s->came++;
    s->wrong += message->type != REPLICATION_WELCOME || message->welcome.wall_ms != 99 ||
                message->welcome.histories != REPLICATION_HISTORIES_MAX;
    for (unsigned i = 0; s->wrong == 0 && i < REPLICATION_HISTORIES_MAX; i++) {
        struct replication_history sent = some_history(i),
                                   got = replication_history_decode(&message->welcome, i);
        s->wrong += sent.id != got.id || sent.first_lsn != got.first_lsn || sent.node_id != got.node_id ||
                    sent.before_lsn != got.before_lsn || sent.epoch != got.epoch;
    }
}

static void a_welcome_with_every_history_goes_out_of_its_owners_memory(void)
{
    static const struct channel_events events = {.opened = side_opened, .message = welcome_came};
    static struct replication_history histories[REPLICATION_HISTORIES_MAX];
    struct replication_message welcome = {.type = REPLICATION_WELCOME,
                                          .welcome = {.version = REPLICATION_VERSION,
                                                      .start = WELCOME_RESUME,
                                                      .wall_ms = 99,
                                                      .histories = REPLICATION_HISTORIES_MAX}};
    for (unsigned i = 0; i < REPLICATION_HISTORIES_MAX; i++)
        histories[i] = some_history(i);
    uint8_t *head = malloc(replication_welcome_bytes(REPLICATION_HISTORIES_MAX));
    struct two t = two_of_one_secret();
    t.client->config.events = &events;
    two_meet(&t, 536);
    link_pair_run(t.pair);
    channel_send(&t.server->channel, &welcome, NULL, histories, head);
    memset(histories, 0, sizeof histories); /* they are in the head now */
    CU_ASSERT_TRUE(channel_sending(&t.server->channel));
    CU_ASSERT_EQUAL(channel_payload_sent(&t.server->channel), 0);
    link_pair_run(t.pair);
    CU_ASSERT_FALSE(channel_sending(&t.server->channel));
    CU_ASSERT_EQUAL(t.client->came, 1);
    CU_ASSERT(is_clean(&t));
    free(head);
    two_free(&t);
}

static void keys_are_changed_in_the_middle_of_messages(void)
{
    static const struct record_limits often = {.records = 4, .bytes = UINT64_C(1) << 36};
    static const struct record_limits small = {.records = UINT64_C(1) << 24, .bytes = 40000};
    for (unsigned i = 0; i < 2; i++) {
        struct two t = two_of_one_secret();
        t.server->config.limits = t.client->config.limits = i ? &often : &small;
        two_meet(&t, 3000);
        for (unsigned n = 0; n < 20; n++) {
            side_queue(t.server, n * 5000);
            side_queue(t.client, n % 3 ? 0 : n * 300);
        }
        link_pair_run(t.pair);
        CU_ASSERT(all_came(&t));
        CU_ASSERT_TRUE(t.client->channel.reader.counter < 4 || i == 0);
        CU_ASSERT_TRUE(t.client->channel.reader.bytes <= 40000 || i == 1);
        channel_close(&t.client->channel);
        link_pair_run(t.pair);
        CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
        two_free(&t);
    }
}

/* ---- room ---- */

static void nothing_is_lost_while_there_is_no_room(void)
{
    struct two t = two_of_one_secret();
    t.pair = link_pair_new(WIDE);
    t.pair->end[0].no_room = t.pair->end[1].no_room = true;
    side_start(t.server, t.pair, t.client);
    side_start(t.client, t.pair, t.server);
    side_queue(t.client, 300);
    side_queue(t.server, 30000);
    side_turn(t.client);
    CU_ASSERT_EQUAL(t.pair->end[1].committed, 0);
    for (unsigned i = 0; i < 300;
         i++) { /* each in its turn has room once: all of the handshake waits for it */
        struct link_end *end = &t.pair->end[i % 2];
        uint64_t before = end->committed;
        link_pair_move(t.pair, 0, SIZE_MAX);
        link_pair_move(t.pair, 1, SIZE_MAX);
        CU_ASSERT_EQUAL(end->committed, before);
        end->no_room = false;
        end->limit = 700;
        side_turn(i % 2 ? t.client : t.server);
        CU_ASSERT_TRUE(end->committed - before <= 700);
        end->no_room = true;
    }
    CU_ASSERT(all_came(&t));
    two_free(&t);
}

static void a_turn_tells_what_it_gave_and_stops_without_room(void)
{
    struct two t = two_open(5000);
    channel_turn(&t.server->channel);
    uint64_t before = t.pair->end[0].committed;
    side_queue(t.server, 100000);
    size_t bytes = side_turn(t.server);
    CU_ASSERT_EQUAL(bytes, t.pair->end[0].committed - before);
    CU_ASSERT_TRUE(bytes > 5000 - 524 && bytes <= 5000);
    CU_ASSERT_EQUAL(channel_turn(&t.server->channel), 0);
    CU_ASSERT_TRUE(channel_payload_sent(&t.server->channel) > 4000);
    link_pair_move(t.pair, 0, 2000);
    bytes += channel_turn(&t.server->channel);
    CU_ASSERT_EQUAL(bytes, t.pair->end[0].committed - before);
    CU_ASSERT_TRUE(bytes > 7000 - 524);
    link_pair_run(t.pair);
    CU_ASSERT(all_came(&t));
    two_free(&t);
}

/* ---- ends ---- */

static void a_close_sends_the_rest_first(void)
{
    for (unsigned by = 0; by < 2; by++) {
        struct two t = two_open(2000);
        struct channel_side *closer = by ? t.client : t.server, *other = by ? t.server : t.client;
        side_queue(closer, 100000);
        side_turn(closer);
        CU_ASSERT_TRUE(channel_sending(&closer->channel));
        channel_close(&closer->channel);
        CU_ASSERT_EQUAL(closer->channel.state, CHANNEL_CLOSING);
        CU_ASSERT_TRUE(channel_sending(&closer->channel));
        CU_ASSERT_FALSE(side_is_wiped(closer));
        send_now(other, 500); /* crosses it: nobody looks any more */
        link_pair_run(t.pair);
        CU_ASSERT_EQUAL(other->came, 1);
        CU_ASSERT_EQUAL(closer->came, 0);
        CU_ASSERT(is_clean(&t));
        CU_ASSERT(has_ended(closer, CHANNEL_CLOSED));
        CU_ASSERT(has_ended(other, CHANNEL_CLOSED));
        CU_ASSERT_TRUE(t.pair->end[by].closed && !t.pair->end[by].aborted);
        CU_ASSERT_EQUAL(t.server->gone + t.client->gone, 2);
        two_free(&t);
    }
}

static void a_close_of_an_idle_channel_is_at_once(void)
{
    struct two t = two_open(WIDE);
    channel_close(&t.server->channel);
    CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
    channel_close(&t.server->channel); /* once is enough */
    channel_abort(&t.server->channel);
    CU_ASSERT_FALSE(t.pair->end[0].aborted);
    link_pair_run(t.pair);
    CU_ASSERT(has_ended(t.client, CHANNEL_CLOSED));
    two_free(&t);
}

static void a_close_waits_for_room(void)
{
    struct two t = two_open(WIDE);
    t.pair->end[0].no_room = true;
    channel_close(&t.server->channel);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_CLOSING);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.client->channel.state, CHANNEL_OPEN);
    t.pair->end[0].no_room = false;
    link_pair_run(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
    CU_ASSERT(has_ended(t.client, CHANNEL_CLOSED));
    two_free(&t);
}

static void a_close_that_the_network_cuts_is_not_taken_for_one(void)
{
    struct two t = two_open(2000);
    send_now(t.server, 100000);
    channel_close(&t.server->channel);
    link_pair_move(t.pair, 0, SIZE_MAX);
    link_pair_cut(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
    CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
    CU_ASSERT_EQUAL(t.client->came, 0);
    two_free(&t);
}

static void what_comes_while_it_closes_is_not_looked_at(void)
{
    struct two t = two_open(2000);
    send_now(t.server, 100000);
    channel_close(&t.server->channel);
    link_pair_inject(t.pair, 1, "no record at all", 16);
    link_pair_run(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
    CU_ASSERT_FALSE(t.pair->end[0].aborted);
    CU_ASSERT_EQUAL(t.client->came, 1);
    CU_ASSERT(has_ended(t.client, CHANNEL_CLOSED));
    two_free(&t);
}

static void two_closes_may_cross(void)
{
    struct two t = two_open(2000);
    send_now(t.server, 100000);
    send_now(t.client, 5000);
    channel_close(&t.server->channel);
    channel_close(&t.client->channel);
    link_pair_run(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
    CU_ASSERT(has_ended(t.client, CHANNEL_CLOSED));
    CU_ASSERT_EQUAL(t.server->came + t.client->came, 0);
    CU_ASSERT_EQUAL(t.server->gone + t.client->gone, 2);
    two_free(&t);
}

static void an_abort_sends_nothing_more(void)
{
    struct two t = two_open(2000);
    send_now(t.server, 100000);
    uint64_t committed = t.pair->end[0].committed;
    channel_abort(&t.server->channel);
    CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
    CU_ASSERT_TRUE(t.pair->end[0].aborted);
    CU_ASSERT_EQUAL(channel_turn(&t.server->channel), 0);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.pair->end[0].committed, committed);
    CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
    CU_ASSERT_EQUAL(t.client->came, 0);
    two_free(&t);
}

static void a_handshake_is_closed_or_aborted_at_once(void)
{
    for (unsigned message = 0; message < 4; message++)
        for (unsigned how = 0; how < 4; how++) {
            struct two t = shaken_until(message);
            struct channel_side *s = how % 2 ? t.server : t.client;
            bool open = s->channel.state == CHANNEL_OPEN;
            if (how < 2)
                channel_close(&s->channel);
            else
                channel_abort(&s->channel);
            CU_ASSERT(has_ended(s, CHANNEL_CLOSED));
            CU_ASSERT_EQUAL(t.pair->end[s->number].closed, how < 2);
            CU_ASSERT_EQUAL(t.pair->end[s->number].aborted, how >= 2);
            CU_ASSERT(!open || message == 3);
            link_pair_run(t.pair);
            CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_ENDED);
            CU_ASSERT_EQUAL(t.client->channel.state, CHANNEL_ENDED);
            two_free(&t);
        }
}

static void an_owner_may_end_it_from_inside_any_event(void)
{
    for (unsigned act = SIDE_CLOSES; act <= SIDE_ABORTS; act++)
        for (unsigned event = 0; event < 4; event++) {
            struct two t = two_of_one_secret();
            struct channel_side *s = event == 3 ? t.client : t.server;
            s->when_asked = event == 0 ? act : SIDE_GOES_ON;
            s->when_opened = event == 1 ? act : SIDE_GOES_ON;
            s->when_came = event >= 2 ? act : SIDE_GOES_ON;
            s->at_message = 1;
            for (unsigned n = 0; n < 5; n++) {
                side_queue(t.server, 0); /* all in one piece */
                side_queue(t.client, 0);
            }
            two_meet(&t, WIDE);
            link_pair_run(t.pair);
            CU_ASSERT(has_ended(s, CHANNEL_CLOSED));
            CU_ASSERT_EQUAL(s->came, event >= 2 ? 2 : 0);
            CU_ASSERT_EQUAL(s->opened, event > 0);
            CU_ASSERT(is_clean(&t));
            CU_ASSERT_EQUAL(s->peer->channel.state, CHANNEL_ENDED);
            CU_ASSERT(side_is_wiped(s->peer));
            two_free(&t);
        }
}

static void a_message_that_came_in_part_is_forgotten_with_its_session(void)
{
    struct two t = two_open(WIDE);
    send_now(t.server, 50000);
    link_pair_move(t.pair, 0, 20000);
    link_pair_cut(t.pair);
    CU_ASSERT_EQUAL(t.client->came, 0);
    two_meet(&t, WIDE);
    link_pair_run(t.pair);
    CU_ASSERT(all_came(&t));
    CU_ASSERT_EQUAL(t.client->came, 1);
    two_free(&t);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"both ends open, and messages go both ways", both_ends_open_and_messages_go_both_ways},
        {"messages of every size arrive, in any pieces", messages_of_every_size_arrive_in_any_pieces},
        {"a byte at a time is enough", a_byte_at_a_time_is_enough},
        {"a WELCOME with every history goes out of its owner's memory",
         a_welcome_with_every_history_goes_out_of_its_owners_memory},
        {"keys are changed in the middle of messages", keys_are_changed_in_the_middle_of_messages},
        {"nothing is lost while there is no room", nothing_is_lost_while_there_is_no_room},
        {"a turn tells what it gave, and stops without room",
         a_turn_tells_what_it_gave_and_stops_without_room},
        {"a close sends the rest first", a_close_sends_the_rest_first},
        {"a close of an idle channel is at once", a_close_of_an_idle_channel_is_at_once},
        {"a close waits for room", a_close_waits_for_room},
        {"a close that the network cuts is not taken for one",
         a_close_that_the_network_cuts_is_not_taken_for_one},
        {"what comes while it closes is not looked at", what_comes_while_it_closes_is_not_looked_at},
        {"two closes may cross", two_closes_may_cross},
        {"an abort sends nothing more", an_abort_sends_nothing_more},
        {"a handshake is closed or aborted at once", a_handshake_is_closed_or_aborted_at_once},
        {"an owner may end it from inside any event", an_owner_may_end_it_from_inside_any_event},
        {"a message that came in part is forgotten with its session",
         a_message_that_came_in_part_is_forgotten_with_its_session},
        CU_TEST_INFO_NULL,
    };
    return two_start() ? suite_run("channels", tests) : 1;
}
