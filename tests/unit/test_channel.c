/*
 * test_channel.c - two channels over a pair of links: what is sent arrives, whole and in order, or the channel ends; and
 * who has not our key gets nothing.
 */
#include "channel.h"

#include <stdio.h>

#include "channel_fixture.h"
#include "handshake_internal.h"
#include "suite.h"
#include "wire.h"

enum { LARGEST = REPLICATION_PAYLOAD_BYTES_MAX, WIDE = 1 << 20 };

static struct role_keys keys_a, keys_b, keys_c, keys_client;
static const struct handshake_identity identity = {.cluster_id = "0123456789abcde", .node_id = 77};

/* Both ends. */
struct two {
    struct link_pair *pair;
    struct channel_side *server, *client;
};

static struct two two_new(const struct role_keys *server_keys[2], const struct role_keys *client_keys[2])
{
    return (struct two){
        .server = side_new(0, server_keys[0], server_keys[1], &identity, REPLICATION_MESSAGE_BYTES_MAX),
        .client = side_new(1, client_keys[0], client_keys[1], NULL, REPLICATION_MESSAGE_BYTES_MAX)};
}

static struct two two_of_one_secret(void)
{
    const struct role_keys *keys[2] = {&keys_a, NULL};
    return two_new(keys, keys);
}

static void two_meet(struct two *t, size_t limit)
{
    if (t->pair != NULL)
        link_pair_free(t->pair);
    t->pair = link_pair_new(limit);
    side_start(t->server, t->pair, t->client);
    side_start(t->client, t->pair, t->server);
}

static void two_free(struct two *t)
{
    link_pair_free(t->pair);
    side_free(t->server);
    side_free(t->client);
}

/* Both are open, on a link of this room. */
static struct two two_open(size_t limit)
{
    struct two t = two_of_one_secret();
    two_meet(&t, limit);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL_FATAL(t.server->channel.state, CHANNEL_OPEN);
    CU_ASSERT_EQUAL_FATAL(t.client->channel.state, CHANNEL_OPEN);
    return t;
}

/* Nothing has come that was not sent, in that order, or after the end. */
static bool is_clean(const struct two *t)
{
    return t->server->wrong + t->server->late + t->client->wrong + t->client->late == 0;
}

static bool all_came(const struct two *t)
{
    return is_clean(t) && t->server->came == t->client->queued && t->client->came == t->server->queued;
}

static bool has_ended(const struct channel_side *s, enum channel_end end)
{
    return s->channel.state == CHANNEL_ENDED && s->channel.end == end && side_is_wiped(s) &&
           !channel_sending(&s->channel);
}

static void send_now(struct channel_side *s, uint32_t size)
{
    side_queue(s, size);
    side_turn(s);
}

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

/* ---- secrets ---- */

static void either_of_two_secrets_opens_and_the_client_tries_both(void)
{
    static const struct {
        const struct role_keys *server[2], *client[2];
        unsigned attempts; /* 0: never */
        unsigned server_key, client_key;
    } rows[] = {
        {{&keys_a, NULL}, {&keys_a, NULL}, 1, 0, 0},    {{&keys_a, &keys_b}, {&keys_a, NULL}, 1, 0, 0},
        {{&keys_b, &keys_a}, {&keys_a, NULL}, 1, 1, 0}, {{&keys_a, NULL}, {&keys_b, &keys_a}, 2, 0, 1},
        {{&keys_a, NULL}, {&keys_a, &keys_b}, 1, 0, 0}, {{&keys_c, &keys_b}, {&keys_a, &keys_b}, 2, 1, 1},
        {{&keys_a, NULL}, {&keys_b, NULL}, 0, 0, 0},    {{&keys_a, &keys_b}, {&keys_c, NULL}, 0, 0, 0},
        {{&keys_a, NULL}, {&keys_b, &keys_c}, 0, 0, 0},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct two t = two_new((const struct role_keys **)(uintptr_t)rows[r].server,
                               (const struct role_keys **)(uintptr_t)rows[r].client);
        for (unsigned attempt = 1; attempt <= 5; attempt++) {
            two_meet(&t, WIDE);
            link_pair_run(t.pair);
            bool opens =
                rows[r].attempts != 0 && attempt >= rows[r].attempts; /* and keeps to what was good */
            CU_ASSERT_EQUAL(t.client->channel.state, opens ? CHANNEL_OPEN : CHANNEL_ENDED);
            CU_ASSERT_EQUAL(t.client->channel.shaken, opens);
            CU_ASSERT_EQUAL(t.client->channel.end == CHANNEL_LIVES, opens);
            if (opens) {
                CU_ASSERT_EQUAL(t.server->channel.key_index, rows[r].server_key);
                CU_ASSERT_EQUAL(t.client->channel.key_index, rows[r].client_key);
                channel_close(&t.client->channel);
                link_pair_run(t.pair);
                CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
            } else {
                CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
                CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
                CU_ASSERT_EQUAL(t.pair->end[0].committed, 0);
                CU_ASSERT_EQUAL(t.server->asked, 0);
            }
            CU_ASSERT_EQUAL(t.client->gone, 1);
            CU_ASSERT_EQUAL(t.server->gone, 1);
        }
        two_free(&t);
    }
}

static void a_client_follows_when_the_secret_is_changed(void)
{
    const struct role_keys *server_keys[2] = {&keys_a, NULL}, *client_keys[2] = {&keys_a, &keys_b};
    struct two t = two_new(server_keys, client_keys);
    for (unsigned round = 0; round < 6; round++) {
        bool changed = round == 2 || round == 4; /* once it has been open */
        t.server->config.keys[0] = round < 2 || round >= 4 ? &keys_a : &keys_b;
        two_meet(&t, WIDE);
        link_pair_run(t.pair);
        CU_ASSERT_EQUAL(t.client->channel.state, changed ? CHANNEL_ENDED : CHANNEL_OPEN);
        CU_ASSERT_EQUAL(t.server->channel.state, changed ? CHANNEL_ENDED : CHANNEL_OPEN);
        channel_abort(&t.client->channel);
        link_pair_run(t.pair);
    }
    two_free(&t);
}

/* A server alone, to which the test speaks for the client. */
static struct two server_alone(void)
{
    const struct role_keys *both[2] = {&keys_a, &keys_b};
    struct two t = two_new(both, both);
    t.pair = link_pair_new(WIDE);
    side_start(t.server, t.pair, t.client);
    return t;
}

static void garbage_gets_no_answer_and_is_aborted(void)
{
    uint64_t random = seeded_start(seeded_from_environment(21));
    for (unsigned i = 0; i < 400; i++) {
        struct two t = server_alone();
        uint8_t bytes[300];
        seeded_fill(&random, bytes, sizeof bytes);
        if (i % 4 == 1)
            bytes[0] = DATAGRAM_MAGIC;
        if (i % 4 >= 2)
            bytes[0] = DATAGRAM_MAGIC, bytes[1] = DATAGRAM_INIT;
        if (i % 4 == 3) /* all in order but for the MAC */
            handshake_start(&t.client->channel.client, &keys_c, ROLE_REPLICA, TRANSPORT_TCP, SUITE_ALL,
                            &t.client->random),
                memcpy(bytes, t.client->channel.client.init, HANDSHAKE_INIT_BYTES);
        link_pair_inject(t.pair, 1, bytes, sizeof bytes);
        link_pair_run(t.pair);
        CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
        CU_ASSERT_TRUE(t.pair->end[0].aborted);
        CU_ASSERT_EQUAL(t.pair->end[0].committed, 0);
        CU_ASSERT_EQUAL(t.server->asked + t.server->opened, 0);
        two_free(&t);
    }
}

static void nothing_costs_nothing_and_waits(void)
{
    struct two t = server_alone();
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_SHAKING);
    CU_ASSERT_EQUAL(channel_turn(&t.server->channel), 0);
    link_pair_inject(t.pair, 1, "\xf7", 1);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_SHAKING);
    link_pair_cut(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_CUT));
    two_free(&t);
}

/* An INIT of keys and role; `versions`: what it offers. */
static void init_of(struct two *t, const struct role_keys *keys, enum role role, uint8_t versions)
{
    struct handshake_client *client = &t->client->channel.client;
    CU_ASSERT_EQUAL_FATAL(handshake_start(client, keys, role, TRANSPORT_TCP, SUITE_ALL, &t->client->random),
                          0);
    client->init[INIT_VERSION_MIN] = client->init[INIT_VERSION_MAX] = versions;
    handshake_tag(client->init + INIT_MAC1, keys->mac1[role], client->init, INIT_MAC1);
    link_pair_inject(t->pair, 1, client->init, HANDSHAKE_INIT_BYTES);
    link_pair_run(t->pair);
}

static void only_replicas_are_served(void)
{
    struct two t = server_alone();
    init_of(&t, &keys_a, ROLE_CLIENT, PROTOCOL_VERSION_MAX);
    CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
    CU_ASSERT_EQUAL(t.pair->end[0].committed + t.server->asked, 0);
    two_free(&t);

    t = server_alone(); /* the client key of the second secret */
    init_of(&t, &keys_b, ROLE_CLIENT, PROTOCOL_VERSION_MAX);
    CU_ASSERT(has_ended(t.server, CHANNEL_BAD_KEY));
    two_free(&t);

    const struct role_keys *client_keys[2] = {&keys_client, NULL}, *server_keys[2] = {&keys_a, NULL};
    t = two_new(server_keys, client_keys); /* a client's token cannot even begin */
    two_meet(&t, WIDE);
    CU_ASSERT(has_ended(t.client, CHANNEL_BAD_KEY));
    CU_ASSERT_EQUAL(t.pair->end[1].committed, 0);
    two_free(&t);
}

static void who_has_the_key_and_no_common_version_is_not_in_order(void)
{
    struct two t = server_alone();
    init_of(&t, &keys_b, ROLE_REPLICA, PROTOCOL_VERSION_MAX + 1);
    CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
    CU_ASSERT_EQUAL(t.pair->end[0].committed + t.server->asked, 0);
    two_free(&t);
}

static void a_server_that_may_not_compute_aborts(void)
{
    struct two t = two_of_one_secret();
    t.server->refuses = true;
    two_meet(&t, WIDE);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.server->asked, 1);
    CU_ASSERT(has_ended(t.server, CHANNEL_REFUSED));
    CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
    CU_ASSERT_EQUAL(t.pair->end[0].committed, 0);
    two_free(&t);
}

/* ---- handshakes that somebody changes ---- */

/* Which message of the handshake: 0 INIT, 1 RESPONSE, 2 CONFIRM, 3 READY; all before it have come. */
static struct two shaken_until(unsigned message)
{
    struct two t = two_of_one_secret();
    two_meet(&t, WIDE);
    for (unsigned i = 0; i < message; i++)
        link_pair_move(t.pair, i % 2 == 0, SIZE_MAX);
    return t;
}

static void a_handshake_with_a_changed_byte_never_opens(void)
{
    static const unsigned bytes[] = {INIT_MAC2, HANDSHAKE_RESPONSE_BYTES, HANDSHAKE_CONFIRM_BYTES,
                                     HANDSHAKE_READY_BYTES};
    for (unsigned message = 0; message < 4; message++)
        for (unsigned at = 0; at < bytes[message]; at++) {
            struct two t = shaken_until(message);
            unsigned from = message % 2 == 0, to = !from;
            CU_ASSERT_TRUE(link_pair_corrupt(t.pair, from, at, (uint8_t)(1u << at % 8)));
            link_pair_run(t.pair);
            struct channel_side *taker = to == 0 ? t.server : t.client;
            CU_ASSERT_TRUE(has_ended(taker, message < 2 ? CHANNEL_BAD_KEY : CHANNEL_NOT_IN_ORDER));
            CU_ASSERT_TRUE(t.pair->end[to].aborted);
            CU_ASSERT_EQUAL(taker->opened, 0);
            CU_ASSERT_EQUAL(t.server->opened, message == 3);
            CU_ASSERT_EQUAL(t.client->opened, 0);
            CU_ASSERT(is_clean(&t));
            two_free(&t);
        }
}

static void a_handshake_that_is_cut_anywhere_ends_as_cut(void)
{
    for (unsigned message = 0; message < 4; message++)
        for (unsigned at = 0; at < 32; at += 31) {
            struct two t = shaken_until(message);
            link_pair_move(t.pair, message % 2 == 0, at);
            link_pair_cut(t.pair);
            CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
            CU_ASSERT(has_ended(t.server, CHANNEL_CUT));
            CU_ASSERT_EQUAL(t.client->opened, 0);
            CU_ASSERT_EQUAL(t.server->opened, message == 3);
            two_free(&t);
        }
}

/* What the client says instead of what comes next. */
static void what_is_not_expected_in_a_handshake_ends_it(void)
{
    uint8_t kinds[] = {DATAGRAM_INIT,
                       DATAGRAM_COOKIE,
                       DATAGRAM_RESPONSE,
                       DATAGRAM_CONFIRM,
                       DATAGRAM_READY,
                       DATAGRAM_DATA,
                       RECORD_DATA,
                       RECORD_CLOSE,
                       RECORD_REKEY,
                       RECORD_PLAIN,
                       0,
                       255};
    for (unsigned message = 0; message < 4; message++)
        for (unsigned k = 0; k < sizeof kinds; k++) {
            struct two t = shaken_until(message);
            unsigned from = message % 2 == 0;
            uint8_t bytes[128] = {DATAGRAM_MAGIC, kinds[k], 1, 0};
            t.pair->end[from].length = 0;
            link_pair_inject(t.pair, from, bytes, sizeof bytes);
            link_pair_move(t.pair, from, SIZE_MAX);
            struct channel_side *taker = from ? t.server : t.client;
            CU_ASSERT(has_ended(taker, message < 2 ? CHANNEL_BAD_KEY : CHANNEL_NOT_IN_ORDER));
            CU_ASSERT_EQUAL(taker->opened, 0);
            two_free(&t);
        }
}

/* The client knows the keys as soon as it has the RESPONSE: it may not skip its CONFIRM. */
static void a_record_before_confirm_ends_the_channel(void)
{
    struct two t = shaken_until(2);
    struct direction_key key = t.client->session.send;
    struct record_writer writer = record_writer_start(&key, &record_limits_default);
    struct replication_message hello = {.type = REPLICATION_HELLO, .hello = {.version = REPLICATION_VERSION}};
    uint8_t head[REPLICATION_UPSTREAM_BYTES_MAX], record[sizeof head + RECORD_ROOM_BYTES];
    size_t length = record_seal(&writer, head, replication_encode(head, &hello, NULL), record);
    t.pair->end[1].length = 0;
    link_pair_inject(t.pair, 1, record, length);
    link_pair_run(t.pair);
    CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
    CU_ASSERT_EQUAL(t.server->opened + t.server->came, 0);
    two_free(&t);
}

static void records_may_follow_confirm_in_the_same_piece(void)
{
    struct two t = shaken_until(2);
    struct direction_key key = t.client->session.send;
    struct record_writer writer = record_writer_start(&key, &record_limits_default);
    side_queue(t.client, 0);
    t.client->begun = 1;
    struct replication_message message = side_message(t.client, 0);
    uint8_t head[REPLICATION_UPSTREAM_BYTES_MAX], record[sizeof head + RECORD_ROOM_BYTES];
    size_t length = record_seal(&writer, head, replication_encode(head, &message, NULL), record);
    link_pair_inject(t.pair, 1, record, length);
    link_pair_move(t.pair, 1, SIZE_MAX);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_OPEN);
    CU_ASSERT_EQUAL(t.server->came, 1);
    CU_ASSERT(is_clean(&t));
    two_free(&t);
}

static void a_client_answers_one_cookie(void)
{
    struct two t = two_of_one_secret();
    struct cookie_secrets secrets = {0};
    const uint8_t source[COOKIE_SOURCE_BYTES] = {1};
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES];
    cookie_secrets_refresh(&secrets, &t.server->random, 1);
    t.pair = link_pair_new(WIDE);
    side_start(t.client, t.pair, t.server);
    handshake_cookie_reply(&keys_a, ROLE_REPLICA, &secrets, source, t.pair->end[1].out, cookie);
    t.pair->end[1].length = 0;
    link_pair_inject(t.pair, 0, cookie, sizeof cookie);
    link_pair_move(t.pair, 0, SIZE_MAX);
    CU_ASSERT_EQUAL(t.pair->end[1].length, HANDSHAKE_INIT_BYTES);
    CU_ASSERT_TRUE(handshake_cookie_valid(&secrets, source, t.pair->end[1].out));
    side_start(t.server, t.pair, t.client);
    link_pair_run(t.pair);
    CU_ASSERT_EQUAL(t.client->channel.state, CHANNEL_OPEN);
    CU_ASSERT_EQUAL(t.server->channel.state, CHANNEL_OPEN);
    two_free(&t);

    for (unsigned wrong = 0; wrong < 2; wrong++) { /* a second one; one that another secret made */
        t = two_of_one_secret();
        t.pair = link_pair_new(WIDE);
        side_start(t.client, t.pair, t.server);
        handshake_cookie_reply(wrong ? &keys_b : &keys_a, ROLE_REPLICA, &secrets, source, t.pair->end[1].out,
                               cookie);
        for (unsigned i = 0; i < 2 - wrong; i++)
            link_pair_inject(t.pair, 0, cookie, sizeof cookie);
        link_pair_move(t.pair, 0, SIZE_MAX);
        CU_ASSERT(has_ended(t.client, CHANNEL_BAD_KEY));
        two_free(&t);
    }
}

/* ---- what is not in order once it is open ---- */

/* Sealed with the client's key, as a peer that holds the secret could. */
static void seal_and_send(struct two *t, const uint8_t *content, size_t length)
{
    uint8_t *record = malloc(length + RECORD_ROOM_BYTES);
    link_pair_inject(t->pair, 1, record, record_seal(&t->client->channel.writer, content, length, record));
    free(record);
}

/* Our own sender gives each message a record of its own; the format does not ask for that. */
static void messages_begin_and_end_anywhere_in_records(void)
{
    uint64_t random = seeded_start(seeded_from_environment(23));
    for (unsigned round = 0; round < 40; round++) {
        struct two t = two_open(WIDE);
        uint8_t *content = malloc(WIDE);
        size_t length = 0, most = round % 4 == 0 ? 12 : round % 4 == 1 ? 60 : 9000;
        for (unsigned n = 0; n < 60; n++) {
            side_queue(t.client, (uint32_t)(n % 3 ? 0 : seeded_below(&random, n % 9 ? 40 : 3000)));
            struct replication_message message = side_message(t.client, n);
            length += replication_encode(content + length, &message, NULL);
            for (uint32_t i = 0; i < message.payload_bytes; i++)
                content[length++] = side_byte(1, n, i);
        }
        t.client->begun = t.client->queued;
        for (size_t at = 0, piece; at < length; at += piece) {
            piece = 1 + seeded_below(&random, most);
            if (piece > length - at)
                piece = length - at;
            seal_and_send(&t, content + at, piece);
        }
        if (round < 20)
            link_pair_run(t.pair);
        else
            while (link_pair_move(t.pair, 1, 1 + seeded_below(&random, 100)) > 0)
                ;
        CU_ASSERT_EQUAL(t.server->came, 60);
        CU_ASSERT(is_clean(&t));
        free(content);
        two_free(&t);
    }
}

static void what_shares_a_record_with_the_message_that_made_the_owner_end_it_does_not_come(void)
{
    uint8_t content[5 * (REPLICATION_HEADER_BYTES + REPLICATION_ACK_BYTES)];
    for (unsigned act = SIDE_CLOSES; act <= SIDE_ABORTS; act++) {
        struct two t = two_open(WIDE);
        size_t length = 0;
        for (unsigned n = 0; n < 5; n++) {
            side_queue(t.client, 0);
            struct replication_message message = side_message(t.client, n);
            length += replication_encode(content + length, &message, NULL);
        }
        t.client->begun = t.client->queued;
        t.server->when_came = act;
        t.server->at_message = 1;
        seal_and_send(&t, content, length);
        link_pair_run(t.pair);
        CU_ASSERT_EQUAL(t.server->came, 2);
        CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED));
        CU_ASSERT(is_clean(&t));
        two_free(&t);
    }
}

static void a_message_that_is_not_valid_ends_the_channel(void)
{
    uint8_t good[REPLICATION_UPSTREAM_BYTES_MAX], bytes[sizeof good];
    struct replication_message ack = {.type = REPLICATION_ACK, .ack = {.state = REPLICA_SERVING}};
    size_t length = replication_encode(good, &ack, NULL);
    for (unsigned wrong = 0; wrong < 5; wrong++)
        for (unsigned pieces = 0; pieces < 2; pieces++) {
            struct two t = two_open(WIDE);
            memcpy(bytes, good, length);
            switch (wrong) {
            case 0: /* no such type */
                bytes[4] = 99;
                break;
            case 1: /* no such length */
                wire_put_u32(bytes, 0);
                break;
            case 2:
                wire_put_u32(bytes, UINT32_MAX);
                break;
            case 3: /* reserved */
                bytes[7] = 1;
                break;
            default: /* the body */
                bytes[8 + 24] = 9;
                break;
            }
            if (pieces)
                seal_and_send(&t, bytes, 3);
            seal_and_send(&t, bytes + (pieces ? 3 : 0), length - (pieces ? 3 : 0));
            seal_and_send(&t, good, length); /* too late */
            link_pair_run(t.pair);
            CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
            CU_ASSERT_TRUE(t.pair->end[0].aborted);
            CU_ASSERT_EQUAL(t.server->came, 0);
            CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
            two_free(&t);
        }
}

static void a_message_above_receive_bytes_ends_the_channel_before_it_is_taken_in(void)
{
    for (uint32_t over = 0; over < 2; over++) {
        struct two t = two_of_one_secret();
        t.server->config.receive_bytes = REPLICATION_UPSTREAM_BYTES_MAX;
        t.server->receive = realloc(t.server->receive, REPLICATION_UPSTREAM_BYTES_MAX);
        t.server->config.receive = t.server->receive;
        two_meet(&t, WIDE);
        side_queue(t.client, 0);
        side_queue(t.client, REPLICATION_UPSTREAM_BYTES_MAX - REPLICATION_HEADER_BYTES -
                                 REPLICATION_BATCH_BYTES + over);
        side_queue(t.client, 0);
        link_pair_run_for(t.pair, 4);
        side_turn(t.client);
        while (link_pair_move(t.pair, 1, 50) > 0)
            ;
        CU_ASSERT_EQUAL(t.server->came, over ? 1 : 3);
        CU_ASSERT(is_clean(&t));
        if (over)
            CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
        two_free(&t);
    }
}

static void a_changed_byte_anywhere_ends_the_channel_and_nothing_wrong_comes(void)
{
    uint64_t random = seeded_start(seeded_from_environment(22));
    for (unsigned i = 0; i < 500; i++) {
        struct two t = two_open(WIDE);
        for (unsigned n = 0; n < 4; n++)
            side_queue(t.server, (uint32_t)seeded_below(&random, 700));
        side_turn(t.server);
        size_t length = t.pair->end[0].length, at = i < 250 ? i % length : seeded_below(&random, length);
        link_pair_corrupt(t.pair, 0, at, (uint8_t)(1u << seeded_below(&random, 8)));
        link_pair_run(t.pair);
        /* a length that has grown waits for bytes that never come: the owner's time-out is for that */
        if (t.client->channel.state != CHANNEL_OPEN)
            CU_ASSERT(has_ended(t.client, CHANNEL_NOT_IN_ORDER));
        CU_ASSERT_TRUE(t.client->came < 4);
        CU_ASSERT(is_clean(&t));
        two_free(&t);
    }
}

static void a_record_that_is_left_out_or_comes_twice_ends_the_channel(void)
{
    for (unsigned twice = 0; twice < 2; twice++) {
        struct two t = two_open(WIDE);
        uint8_t first[128];
        send_now(t.client, 0);
        size_t length = t.pair->end[1].length;
        memcpy(first, t.pair->end[1].out, length);
        if (!twice)
            t.pair->end[1].length = 0;
        else
            link_pair_inject(t.pair, 1, first, length);
        send_now(t.client, 0);
        link_pair_run(t.pair);
        CU_ASSERT_EQUAL(t.server->came, twice);
        CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
        CU_ASSERT(is_clean(&t));
        two_free(&t);
    }
}

static void what_we_sent_ourselves_is_not_taken(void)
{
    struct two t = two_open(WIDE);
    uint8_t mine[128];
    send_now(t.server, 0);
    size_t length = t.pair->end[0].length;
    memcpy(mine, t.pair->end[0].out, length);
    link_pair_inject(t.pair, 1, mine, length);
    link_pair_move(t.pair, 1, SIZE_MAX);
    CU_ASSERT_EQUAL(t.server->came, 0);
    CU_ASSERT(has_ended(t.server, CHANNEL_NOT_IN_ORDER));
    two_free(&t);
}

static void a_stream_that_is_cut_anywhere_gives_what_came_whole_and_ends_as_cut(void)
{
    for (size_t at = 0;; at += at < 200 ? 1 : 37) {
        struct two t = two_open(WIDE);
        for (unsigned n = 0; n < 5; n++)
            send_now(t.server, n * 50);
        size_t length = t.pair->end[0].length;
        link_pair_move(t.pair, 0, at);
        unsigned came = t.client->came;
        link_pair_cut(t.pair);
        CU_ASSERT(has_ended(t.client, CHANNEL_CUT));
        CU_ASSERT(has_ended(t.server, CHANNEL_CUT));
        CU_ASSERT_EQUAL(t.client->came, came);
        CU_ASSERT(is_clean(&t));
        CU_ASSERT(at < length ? came < 5 : came == 5);
        two_free(&t);
        if (at >= length)
            break;
    }
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

static void derive(struct role_keys *keys, const char *secret)
{
    char error[256];
    if (keys_from_secret(keys, secret, strlen(secret), "wild", error, sizeof error) != 0)
        abort();
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
        {"either of two secrets opens, and the client tries both",
         either_of_two_secrets_opens_and_the_client_tries_both},
        {"a client follows when the secret is changed", a_client_follows_when_the_secret_is_changed},
        {"garbage gets no answer and is aborted", garbage_gets_no_answer_and_is_aborted},
        {"nothing costs nothing, and waits", nothing_costs_nothing_and_waits},
        {"only replicas are served", only_replicas_are_served},
        {"who has the key and no common version is not in order",
         who_has_the_key_and_no_common_version_is_not_in_order},
        {"a server that may not compute aborts", a_server_that_may_not_compute_aborts},
        {"a handshake with a changed byte never opens", a_handshake_with_a_changed_byte_never_opens},
        {"a handshake that is cut anywhere ends as cut", a_handshake_that_is_cut_anywhere_ends_as_cut},
        {"what is not expected in a handshake ends it", what_is_not_expected_in_a_handshake_ends_it},
        {"a record before CONFIRM ends the channel", a_record_before_confirm_ends_the_channel},
        {"records may follow CONFIRM in the same piece", records_may_follow_confirm_in_the_same_piece},
        {"a client answers one cookie", a_client_answers_one_cookie},
        {"messages begin and end anywhere in records", messages_begin_and_end_anywhere_in_records},
        {"what shares a record with the message that made the owner end it does not come",
         what_shares_a_record_with_the_message_that_made_the_owner_end_it_does_not_come},
        {"a message that is not valid ends the channel", a_message_that_is_not_valid_ends_the_channel},
        {"a message above receive_bytes ends the channel before it is taken in",
         a_message_above_receive_bytes_ends_the_channel_before_it_is_taken_in},
        {"a changed byte anywhere ends the channel, and nothing wrong comes",
         a_changed_byte_anywhere_ends_the_channel_and_nothing_wrong_comes},
        {"a record that is left out or comes twice ends the channel",
         a_record_that_is_left_out_or_comes_twice_ends_the_channel},
        {"what we sent ourselves is not taken", what_we_sent_ourselves_is_not_taken},
        {"a stream that is cut anywhere gives what came whole, and ends as cut",
         a_stream_that_is_cut_anywhere_gives_what_came_whole_and_ends_as_cut},
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
    if (keys_start() != 0)
        return 1;
    derive(&keys_a, "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    derive(&keys_b, "wild1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    derive(&keys_c, "wild1:ee0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    derive(&keys_client, "wildc1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    return suite_run("channels", tests);
}
