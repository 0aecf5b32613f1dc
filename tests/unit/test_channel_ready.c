/*
 * test_channel_ready.c - an owner that is not ready gets no message until it is, and then all of them, whole and in order.
 */
#include "channel_two.h"

/* Sealed with the client's key, in one record: messages of any length, some begun in the record before. */
static void seal_and_send(struct two *t, const uint8_t *content, size_t length)
{
    uint8_t *record = malloc(length + RECORD_ROOM_BYTES);
    link_pair_inject(t->pair, 1, record, record_seal(&t->client->channel.writer, content, length, record));
    free(record);
}

/* `count` messages of up to `most` bytes of payload, in records of up to `piece`. */
static void send_messages(struct two *t, uint64_t *random, unsigned count, unsigned most, unsigned piece)
{
    size_t room = count * (size_t)(most + 64), length = 0;
    uint8_t *content = malloc(room);
    for (unsigned n = 0; n < count; n++) {
        side_queue(t->client, (uint32_t)(n % 3 ? 0 : seeded_below(random, most)));
        struct replication_message message = side_message(t->client, n);
        length += replication_encode(content + length, &message, NULL);
        for (uint32_t i = 0; i < message.payload_bytes; i++)
            content[length++] = side_byte(1, n, i);
    }
    t->client->begun = t->client->queued;
    for (size_t at = 0, bytes; at < length; at += bytes) {
        bytes = 1 + seeded_below(random, piece);
        if (bytes > length - at)
            bytes = length - at;
        seal_and_send(t, content + at, bytes);
    }
    free(content);
}

static bool move(struct two *t, size_t most)
{
    return link_pair_move(t->pair, 1, most) > 0;
}

static void messages_wait_until_the_owner_is_ready_for_them(void)
{
    uint64_t random = seeded_start(seeded_from_environment(29));
    for (unsigned round = 0; round < 12; round++) {
        struct two t = two_open(WIDE);
        unsigned piece = round % 4 == 0 ? 7 : round % 4 == 1 ? 200 : RECORD_MESSAGE_BYTES_MAX;
        send_messages(&t, &random, 60, round % 3 ? 1500 : 100, piece);
        t.server->not_ready = true;
        while (move(&t, round % 2 ? SIZE_MAX : 1 + seeded_below(&random, 900)))
            ;
        CU_ASSERT(t.server->came == 0 && t.server->channel.holding);
        while (t.server->came < 60) {
            unsigned came = t.server->came;
            t.server->ready_for = 1 + (unsigned)seeded_below(&random, 4); /* so many, and no more */
            unsigned may = t.server->ready_for;
            (void)channel_resume(&t.server->channel);
            while (move(&t, round % 2 ? SIZE_MAX : 1 + seeded_below(&random, 900)))
                ;
            CU_ASSERT_EQUAL_FATAL(t.server->came, came + may < 60 ? came + may : 60);
        }
        CU_ASSERT(is_clean(&t) && t.server->channel.state == CHANNEL_OPEN);
        t.server->not_ready = false;
        CU_ASSERT(channel_resume(&t.server->channel) && !t.server->channel.holding);
        two_free(&t);
    }
}

/* The largest messages, as our own sender cuts them, both ways. */
static void the_link_fills_meanwhile_and_goes_on_after(void)
{
    struct two t = two_open(40000);
    t.server->not_ready = t.client->not_ready = true;
    for (unsigned i = 0; i < 3; i++) {
        side_queue(t.client, LARGEST);
        side_queue(t.server, LARGEST);
        side_queue(t.client, 0);
    }
    side_turn(t.client);
    side_turn(t.server);
    link_pair_run(t.pair);
    CU_ASSERT(t.server->came == 0 && t.client->came == 0);
    t.server->not_ready = t.client->not_ready = false;
    side_turn(t.client);
    side_turn(t.server);
    link_pair_run(t.pair);
    CU_ASSERT_TRUE(all_came(&t));
    two_free(&t);
}

/* Closed or aborted by its owner, cut, or followed by what is not in order: of what is held nothing comes. */
static void what_is_held_does_not_come_after_the_end(void)
{
    for (unsigned way = 0; way < 3; way++) {
        struct two t = two_open(WIDE);
        uint64_t random = seeded_start(7);
        t.server->not_ready = true;
        send_messages(&t, &random, 20, 300, 2000);
        while (move(&t, SIZE_MAX))
            ;
        CU_ASSERT_TRUE(t.server->channel.holding);
        if (way == 0)
            channel_close(&t.server->channel);
        else if (way == 1)
            channel_abort(&t.server->channel);
        else
            link_pair_cut(t.pair);
        t.server->not_ready = false;
        CU_ASSERT_TRUE(channel_resume(&t.server->channel));
        link_pair_run(t.pair);
        CU_ASSERT(has_ended(t.server, way == 2 ? CHANNEL_CUT : CHANNEL_CLOSED));
        CU_ASSERT(t.server->came == 0 && is_clean(&t));
        two_free(&t);
    }
}

static void an_owner_may_end_it_from_a_message_that_was_held(void)
{
    for (unsigned act = SIDE_CLOSES; act <= SIDE_ABORTS; act++)
        for (unsigned piece = 10; piece <= 10000; piece *= 1000) {
            struct two t = two_open(WIDE);
            uint64_t random = seeded_start(7);
            t.server->not_ready = true;
            send_messages(&t, &random, 20, 300, piece);
            while (move(&t, SIZE_MAX))
                ;
            t.server->when_came = act;
            t.server->at_message = 3;
            t.server->not_ready = false;
            side_turn(t.server);
            link_pair_run(t.pair);
            CU_ASSERT(has_ended(t.server, CHANNEL_CLOSED) && t.server->came == 4 && is_clean(&t));
            two_free(&t);
        }
}

static void it_begins_anew_with_nothing_held(void)
{
    struct two t = two_open(WIDE);
    uint64_t random = seeded_start(7);
    t.server->not_ready = true;
    send_messages(&t, &random, 20, 300, 2000);
    while (move(&t, SIZE_MAX))
        ;
    link_pair_cut(t.pair);
    two_meet(&t, WIDE);
    t.server->not_ready = false;
    t.client->queued = 0;
    link_pair_run(t.pair);
    send_now(t.client, 5000);
    link_pair_run(t.pair);
    CU_ASSERT(t.server->came == 1 && is_clean(&t));
    two_free(&t);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"messages wait until the owner is ready for them", messages_wait_until_the_owner_is_ready_for_them},
        {"the link fills meanwhile, and goes on after", the_link_fills_meanwhile_and_goes_on_after},
        {"what is held does not come after the end", what_is_held_does_not_come_after_the_end},
        {"an owner may end it from a message that was held",
         an_owner_may_end_it_from_a_message_that_was_held},
        {"it begins anew with nothing held", it_begins_anew_with_nothing_held},
        CU_TEST_INFO_NULL};
    return two_start() ? suite_run("channel_ready", tests) : 1;
}
