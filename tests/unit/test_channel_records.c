/*
 * test_channel_records.c - what is not in order on an open channel ends it, and nothing wrong comes.
 */
#include "channel_two.h"
#include "wire.h"

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

int main(void)
{
    CU_TestInfo tests[] = {
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
        CU_TEST_INFO_NULL,
    };
    return two_start() ? suite_run("records of channels", tests) : 1;
}
