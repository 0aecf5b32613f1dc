/*
 * test_tcp_stream.c - streams as their users see them, between two stacks: bytes arrive as they were written,
 * users do whatever they like in any event, and everything that was taken is given back.
 */
#include "stream.h"

#include <stdio.h>

#include "tcp/tcp_internal.h"
#include "tcp_pair.h"

enum { USERS = 128 };

enum told { CONNECTED, ACCEPTED, RECEIVED, ENDED, WRITABLE, EXPIRED, CLOSED, TOLD };

/* The user of one stream. It sends `to_send` bytes of a pattern, checks what comes, and closes at its end. */
struct user {
    struct stream *stream; /* NULL: none (any more) */
    uint64_t sent, to_send, received;
    unsigned told[TOLD], salt;
    enum stream_end end;
    bool greedy;          /* takes all it is given */
    unsigned take_max;    /* else: at most this much at once */
    bool close_when_sent; /* and not before the peer's end otherwise */
    void (*act)(struct user *user, enum told event);
};

static struct world {
    struct pair pair;
    struct user user[2][USERS];
    unsigned users[2];
    struct user template[2]; /* what new users are like: 0 servers', 1 clients' */
    bool refuse;
    bool pending;       /* bytes that last were given, and `delivered` has not come yet */
    unsigned delivered; /* how often it came after some */
} world;

static uint8_t pattern(uint64_t at, unsigned salt)
{
    return (uint8_t)((at * 2654435761u >> 11) ^ salt);
}

/* Writes what there is to write until there is no room. */
static void user_write(struct user *user)
{
    while (user->stream != NULL && user->sent < user->to_send) {
        size_t room, least = 1 + seeded_below(&world.pair.random, 300);
        uint8_t *place = stream_reserve(user->stream, least, &room);
        if (place == NULL)
            return;
        CU_ASSERT_FATAL(room >= least);
        size_t length = RTE_MIN(user->to_send - user->sent, room);
        if (seeded_below(&world.pair.random, 2) == 0)
            length = RTE_MIN(length, least);
        for (size_t i = 0; i < length; i++)
            place[i] = pattern(user->sent + i, user->salt);
        stream_commit(user->stream, length);
        user->sent += length;
    }
    if (user->stream != NULL && user->close_when_sent)
        stream_close(user->stream);
}

static void tell(struct user *user, enum told event)
{
    CU_ASSERT_EQUAL(user->told[CLOSED], 0); /* nothing comes after it */
    CU_ASSERT(event != CLOSED || !world.pending);
    user->told[event]++;
    if (user->act != NULL)
        user->act(user, event);
}

static void connected(struct stream *stream)
{
    struct user *user = stream->user;
    tell(user, CONNECTED);
    user_write(user);
}

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct user *user = stream->user;
    CU_ASSERT(length > 0);
    CU_ASSERT_EQUAL(user->told[ENDED], 0);
    world.pending |= stream->lasting;
    CU_ASSERT(!stream->lasting || user < world.user[1]); /* who opens has no acceptor */
    size_t taken = length;
    if (!user->greedy)
        taken = RTE_MIN(length, seeded_below(&world.pair.random, user->take_max + 1));
    unsigned wrong = 0;
    for (size_t i = 0; i < taken; i++)
        wrong += bytes[i] != pattern(user->received + i, user->salt ^ 1);
    CU_ASSERT_EQUAL(wrong, 0);
    memset(bytes, 0xEE, taken); /* records are decrypted in place */
    user->received += taken;
    if (taken < length && seeded_below(&world.pair.random, 2) == 0)
        stream_resume(stream);
    else if (taken < length)
        stream_set_deadline(stream, world.pair.now_ns + seeded_below(&world.pair.random, 3 * PAIR_MS));
    tell(user, RECEIVED);
    return taken;
}

static void ended(struct stream *stream)
{
    struct user *user = stream->user;
    CU_ASSERT_EQUAL(user->told[ENDED], 0);
    tell(user, ENDED);
    if (user->stream != NULL && user->sent == user->to_send)
        stream_close(stream);
    else
        user->close_when_sent = true;
}

static void writable(struct stream *stream)
{
    tell(stream->user, WRITABLE);
    user_write(stream->user);
}

static void expired(struct stream *stream)
{
    tell(stream->user, EXPIRED);
    stream_resume(stream);
}

static void closed(struct stream *stream, enum stream_end end)
{
    struct user *user = stream->user;
    user->end = end;
    tell(user, CLOSED);
    user->stream = NULL;
}

static const struct stream_events events = {.connected = connected,
                                            .received = received,
                                            .ended = ended,
                                            .writable = writable,
                                            .expired = expired,
                                            .closed = closed};

static struct user *user_new(unsigned side)
{
    CU_ASSERT_FATAL(world.users[side] < USERS);
    struct user *user = &world.user[side][world.users[side]++];
    *user = world.template[side];
    user->salt = 0x50 + side;
    return user;
}

static bool accepted(void *state, struct stream *stream)
{
    (void)state;
    if (world.refuse)
        return false;
    struct user *user = user_new(0);
    user->stream = stream;
    stream->events = &events;
    stream->user = user;
    tell(user, ACCEPTED);
    user_write(user);
    return true;
}

static void delivered(void *state)
{
    (void)state;
    world.delivered += world.pending;
    world.pending = false;
}

static struct user *open_one(unsigned client)
{
    struct return_path path = pair_path(client);
    struct user *user = user_new(1);
    user->stream = tcp_connect(world.pair.side[1].tcp, &path, &events, user, pair_now(&world.pair));
    return user;
}

static void world_start(uint64_t seed, const struct tcp_config *configs)
{
    struct rte_mempool *pool = world.pair.pool;
    memset(&world, 0, sizeof world);
    world.pair.pool = pool;
    world.pair.random = seeded_start(seed);
    world.pair.now_ns = 1000 * PAIR_MS;
    world.pair.delay_ns = PAIR_MS / 20;
    world.pair.mtu = 1500;
    world.template[0].greedy = world.template[1].greedy = true;
    pair_start(&world.pair, configs);
    struct stream_acceptor acceptor = {.accepted = accepted, .delivered = delivered};
    CU_ASSERT_EQUAL_FATAL(tcp_listen(world.pair.side[0].tcp, PAIR_PORT, acceptor), 0);
}

static void world_stop(void)
{
    pair_stop(&world.pair);
    CU_ASSERT_FALSE(world.pending);
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 0; i < world.users[side]; i++) {
            struct user *user = &world.user[side][i];
            bool opened = user->told[ACCEPTED] > 0 || side == 1;
            CU_ASSERT_EQUAL(user->told[CLOSED], opened ? 1 : 0);
        }
    }
}

static struct tcp_counts counts(unsigned side)
{
    return tcp_counts(world.pair.side[side].tcp);
}

/* ---- tests ---- */

static void a_request_is_answered_and_both_ends_close(void)
{
    world_start(1, NULL);
    world.template[0].to_send = 100;
    world.template[1].to_send = 50;
    world.template[1].close_when_sent = true;
    struct user *client = open_one(0);
    pair_run(&world.pair, 1000 * PAIR_MS);
    const struct user *server = &world.user[0][0];
    CU_ASSERT_EQUAL(client->received, 100);
    CU_ASSERT_EQUAL(server->received, 50);
    CU_ASSERT_EQUAL(world.delivered, 1);
    CU_ASSERT_EQUAL(client->told[CONNECTED], 1);
    CU_ASSERT(client->told[ENDED] == 1 && server->told[ENDED] == 1);
    CU_ASSERT(client->told[CLOSED] == 1 && client->end == STREAM_END_CLOSED);
    CU_ASSERT(server->told[CLOSED] == 1 && server->end == STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(counts(0).connections + counts(1).connections, 0);
    CU_ASSERT_EQUAL(counts(0).time_wait + counts(1).time_wait, 1);
    pair_run(&world.pair, 61000 * PAIR_MS);
    CU_ASSERT_EQUAL(counts(0).time_wait + counts(1).time_wait, 0);
    CU_ASSERT_EQUAL(tcp_next_ns(world.pair.side[0].tcp), UINT64_MAX);
    world_stop();
}

static bool somebody_is_left(void)
{
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 0; i < world.users[side]; i++) {
            if (world.user[side][i].told[CLOSED] == 0)
                return true;
        }
    }
    return false;
}

/* Every direction full, the receivers slow, the link as given: all arrives, in order, and nothing is kept. On
 * a link that loses much a connection may be given up, but nobody is left waiting. */
static void transfer(uint64_t seed, unsigned loss, unsigned duplicates, uint64_t jitter_ns, unsigned streams)
{
    world_start(seed, NULL);
    world.pair.loss_percent = loss;
    world.pair.duplicate_percent = duplicates;
    world.pair.jitter_ns = jitter_ns;
    for (unsigned side = 0; side < 2; side++) {
        world.template[side].to_send = 40000 + seeded_below(&world.pair.random, 40000);
        world.template[side].close_when_sent = true;
        world.template[side].greedy = seeded_below(&world.pair.random, 3) == 0;
        world.template[side].take_max = 200 + (unsigned)seeded_below(&world.pair.random, 3000);
    }
    for (unsigned i = 0; i < streams; i++)
        open_one(i);
    for (unsigned s = 0; s < 1000 && somebody_is_left(); s++)
        pair_run(&world.pair, 1000 * PAIR_MS);
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 0; i < world.users[side]; i++) {
            const struct user *user = &world.user[side][i];
            CU_ASSERT_EQUAL(user->told[CLOSED], 1);
            bool given_up = user->end == STREAM_END_TIMED_OUT || user->end == STREAM_END_RESET;
            CU_ASSERT(user->end == STREAM_END_CLOSED || (loss >= 10 && given_up));
            if (user->end == STREAM_END_CLOSED) {
                CU_ASSERT_EQUAL(user->received, world.template[1 - side].to_send);
            }
        }
        CU_ASSERT_EQUAL(counts(side).send_frames + counts(side).receive_frames, 0);
    }
    world_stop();
}

static void what_is_written_arrives_over_a_good_link(void)
{
    transfer(1, 0, 0, 0, 4);
}

static void what_is_written_arrives_whatever_the_link_does(void)
{
    uint64_t seed = seeded_from_environment(1);
    printf("seeds %llu.. ", (unsigned long long)seed);
    for (unsigned i = 0; i < 12; i++)
        transfer(seed + i, i % 4 * 5, i % 3 * 20, i % 2 * 2 * PAIR_MS, 3);
}

static void abort_in_turn(struct user *user, enum told event)
{
    /* the n-th event of everybody aborts one's own stream and the last one's */
    if (seeded_below(&world.pair.random, 20) == 0 && event != CLOSED && user->stream != NULL)
        stream_abort(user->stream);
    if (seeded_below(&world.pair.random, 30) == 0) {
        unsigned side = user < world.user[1] ? 0 : 1;
        struct user *other = &world.user[side][seeded_below(&world.pair.random, world.users[side])];
        if (other->stream != NULL && seeded_below(&world.pair.random, 2) == 0)
            stream_abort(other->stream);
        else if (other->stream != NULL)
            stream_close(other->stream);
    }
    if (user->stream != NULL && seeded_below(&world.pair.random, 10) == 0)
        stream_set_deadline(user->stream, seeded_below(&world.pair.random, 2) ? 1 : world.pair.now_ns);
}

static void users_may_abort_and_close_anything_in_any_event(void)
{
    for (unsigned round = 0; round < 20; round++) {
        world_start(round, NULL);
        for (unsigned side = 0; side < 2; side++) {
            world.template[side].to_send = 20000;
            world.template[side].act = abort_in_turn;
            world.template[side].greedy = false;
            world.template[side].take_max = 2000;
        }
        for (unsigned i = 0; i < 30; i++) {
            open_one(i);
            pair_run(&world.pair, PAIR_MS);
        }
        pair_run(&world.pair, 100 * PAIR_MS);
        world_stop();
    }
}

static void a_stream_that_ends_may_be_opened_anew_in_closed(struct user *user, enum told event)
{
    if (event == CLOSED && world.users[1] < 20 && user >= world.user[1])
        open_one(world.users[1]);
}

static void closed_may_open_the_next_stream(void)
{
    world_start(3, NULL);
    world.refuse = true;
    world.template[1].act = a_stream_that_ends_may_be_opened_anew_in_closed;
    open_one(0);
    pair_run(&world.pair, 1000 * PAIR_MS);
    CU_ASSERT_EQUAL(world.users[1], 20);
    for (unsigned i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(world.user[1][i].end, STREAM_END_RESET);
    CU_ASSERT_EQUAL(pair_counter(&world.pair, 0, COUNTER_tcp_unwanted), 20);
    world_stop();
}

static void a_port_that_nobody_listens_on_refuses(void)
{
    world_start(3, NULL);
    struct return_path path = pair_path(0);
    path.flow.peer_port = RTE_BE16(PAIR_PORT + 1);
    struct user *user = user_new(1);
    user->stream = tcp_connect(world.pair.side[1].tcp, &path, &events, user, pair_now(&world.pair));
    CU_ASSERT_PTR_NOT_NULL(user->stream);
    pair_run(&world.pair, 10 * PAIR_MS);
    CU_ASSERT_EQUAL(user->end, STREAM_END_REFUSED);
    CU_ASSERT_EQUAL(user->told[CONNECTED], 0);
    world_stop();
}

static void cookies_keep_scale_sack_and_data(void)
{
    struct random_source random = seeded_source(&world.pair.random);
    struct rte_mempool *pool = world.pair.pool;
    struct tcp_config configs[2] = {pair_config(&world.pair, 0, &random),
                                    pair_config(&world.pair, 1, &random)};
    configs[0].pool = configs[1].pool = pool;
    configs[0].half_open_max = 0;
    configs[0].receive_bytes_max = configs[1].receive_bytes_max = 1 << 20;
    world_start(4, configs);
    for (unsigned side = 0; side < 2; side++) {
        world.template[side].to_send = 200000;
        world.template[side].close_when_sent = true;
    }
    struct user *client = open_one(0);
    pair_run(&world.pair, PAIR_MS);
    CU_ASSERT_EQUAL(world.users[0], 1);
    const struct tcp_connection *c = (const struct tcp_connection *)world.user[0][0].stream;
    CU_ASSERT_FATAL(c != NULL);
    CU_ASSERT_EQUAL(c->marks & (TCP_MARK_SACK | TCP_MARK_SCALE | TCP_MARK_TIMESTAMPS),
                    TCP_MARK_SACK | TCP_MARK_SCALE | TCP_MARK_TIMESTAMPS);
    CU_ASSERT_EQUAL(c->snd_shift, 5);
    CU_ASSERT_EQUAL(c->rcv_shift, 5);
    CU_ASSERT_EQUAL(c->peer_mss, 1460);
    pair_run(&world.pair, 10000 * PAIR_MS);
    CU_ASSERT_EQUAL(client->received, 200000);
    CU_ASSERT_EQUAL(world.user[0][0].received, 200000);
    CU_ASSERT_EQUAL(pair_counter(&world.pair, 0, COUNTER_tcp_cookie_accepted), 1);
    world_stop();
}

static void a_source_has_its_share_and_others_have_theirs(void)
{
    struct random_source random = seeded_source(&world.pair.random);
    struct tcp_config configs[2] = {pair_config(&world.pair, 0, &random),
                                    pair_config(&world.pair, 1, &random)};
    configs[0].per_source_max = 3;
    world_start(5, configs);
    for (unsigned i = 0; i < 5; i++)
        open_one(0);
    pair_run(&world.pair, 10 * PAIR_MS);
    struct user *other = open_one(1);
    pair_run(&world.pair, 10 * PAIR_MS);
    unsigned open = 0;
    for (unsigned i = 0; i < 5; i++)
        open += world.user[1][i].stream != NULL;
    CU_ASSERT_EQUAL(open, 3);
    CU_ASSERT(other->stream != NULL && other->told[CONNECTED] == 1);
    for (unsigned i = 0; i < 5; i++) { /* one gives its place back */
        if (world.user[1][i].stream != NULL) {
            stream_abort(world.user[1][i].stream);
            break;
        }
    }
    pair_run(&world.pair, 10 * PAIR_MS);
    struct user *next = open_one(0);
    pair_run(&world.pair, 10 * PAIR_MS);
    CU_ASSERT(next->stream != NULL && next->told[CONNECTED] == 1);
    world_stop();
}

static void bytes_held_when_both_ends_have_closed_are_still_delivered(void)
{
    world_start(6, NULL);
    world.template[0].greedy = false; /* takes nothing, and asks again at its deadline */
    world.template[0].take_max = 0;
    world.template[1].to_send = 5000;
    world.template[1].close_when_sent = true;
    struct user *client = open_one(0);
    pair_run(&world.pair, 5 * PAIR_MS);
    struct user *server = &world.user[0][0];
    CU_ASSERT_PTR_NOT_NULL_FATAL(server->stream);
    stream_close(server->stream);
    pair_run(&world.pair, 5 * PAIR_MS);
    CU_ASSERT_EQUAL(client->told[CLOSED], 1);
    CU_ASSERT_EQUAL(server->told[CLOSED], 0);
    CU_ASSERT_EQUAL(server->told[ENDED], 0);
    server->take_max = 1000;
    pair_run(&world.pair, 1000 * PAIR_MS);
    CU_ASSERT_EQUAL(server->received, 5000);
    CU_ASSERT_EQUAL(server->told[ENDED], 1);
    CU_ASSERT(server->told[CLOSED] == 1 && server->end == STREAM_END_CLOSED);
    world_stop();
}

/* A window in units of 4 bytes and segments of 101: each acknowledgement could round the offer up. */
static void a_window_that_is_rounded_holds_no_more_than_there_is_room_for(void)
{
    enum { BUFFER = 131072, UNIT = 4, PIECE = 101 };
    struct random_source random = seeded_source(&world.pair.random);
    struct tcp_config configs[2] = {pair_config(&world.pair, 0, &random),
                                    pair_config(&world.pair, 1, &random)};
    configs[0].receive_bytes_max = BUFFER;
    configs[1].send_bytes_max = 2 * BUFFER;
    world_start(11, configs);
    world.template[0].greedy = false;
    world.template[0].take_max = 0;
    struct user *client = open_one(0);
    pair_run(&world.pair, PAIR_MS);
    const struct tcp_connection *c = (const struct tcp_connection *)world.user[0][0].stream;
    CU_ASSERT_FATAL(c != NULL);
    CU_ASSERT_EQUAL(1u << c->rcv_shift, UNIT);
    uint32_t edge = c->rcv_adv;
    uint8_t bytes[PIECE];
    for (unsigned i = 0; i < BUFFER / PIECE + 100; i++) {
        for (unsigned k = 0; k < PIECE; k++)
            bytes[k] = pattern((uint64_t)i * PIECE + k, client->salt);
        CU_ASSERT_EQUAL_FATAL(stream_write(client->stream, bytes, PIECE), PIECE);
        pair_run(&world.pair, PAIR_MS);
        CU_ASSERT_FATAL(!seq_before(c->rcv_adv, edge)); /* RFC 9293 3.8.6 */
        edge = c->rcv_adv;
    }
    CU_ASSERT(c->held_bytes > BUFFER - 2 * PIECE && c->held_bytes < BUFFER + UNIT);
    world.user[0][0].greedy = true;
    pair_run(&world.pair, 10000 * PAIR_MS);
    CU_ASSERT_EQUAL(world.user[0][0].received, (BUFFER / PIECE + 100) * PIECE);
    world_stop();
}

/* Ten peers whose bytes nobody reads; the eleventh is served all the same, and they are once they are read.
 * */
static void peers_that_are_not_read_leave_frames_to_others(void)
{
    enum { IGNORED = 10, FRAMES = 64 };
    struct random_source random = seeded_source(&world.pair.random);
    struct tcp_config configs[2] = {pair_config(&world.pair, 0, &random),
                                    pair_config(&world.pair, 1, &random)};
    configs[0].receive_frames_max = FRAMES;
    world_start(13, configs);
    world.template[0].greedy = false;
    world.template[0].take_max = 0;
    world.template[1].to_send = 30000;
    for (unsigned i = 0; i < IGNORED; i++)
        open_one(i);
    pair_run(&world.pair, 300 * PAIR_MS);
    CU_ASSERT(counts(0).receive_frames > FRAMES * 3 / 4 && counts(0).receive_frames <= FRAMES);
    CU_ASSERT(pair_counter(&world.pair, 0, COUNTER_tcp_held_no_frame) > 0);

    world.template[0].greedy = true;
    world.template[0].to_send = 5000;
    struct user *served = open_one(IGNORED);
    pair_run(&world.pair, 1000 * PAIR_MS);
    CU_ASSERT_EQUAL(served->received, 5000);
    CU_ASSERT_EQUAL_FATAL(world.users[0], IGNORED + 1);
    CU_ASSERT_EQUAL(world.user[0][IGNORED].received, 30000);

    for (unsigned i = 0; i < IGNORED; i++)
        world.user[0][i].greedy = true;
    pair_run(&world.pair, 60000 * PAIR_MS);
    for (unsigned i = 0; i < IGNORED; i++)
        CU_ASSERT_EQUAL(world.user[0][i].received, 30000);
    CU_ASSERT_EQUAL(counts(0).receive_frames, 0);
    world_stop();
}

static void what_is_reserved_and_not_committed_goes_back(void)
{
    world_start(7, NULL);
    struct user *client = open_one(0);
    pair_run(&world.pair, 5 * PAIR_MS);
    unsigned before = rte_mempool_avail_count(world.pair.pool);
    size_t room;
    CU_ASSERT_PTR_NOT_NULL(stream_reserve(client->stream, 100, &room));
    CU_ASSERT(room >= STREAM_RESERVE_MAX);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(world.pair.pool), before - 1);
    pair_run(&world.pair, 5 * PAIR_MS);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(world.pair.pool), before);
    CU_ASSERT_EQUAL(stream_unsent(client->stream), 0);
    world_stop();
}

static void a_smaller_reserve_after_one_that_was_given_up_is_what_is_committed(void)
{
    world_start(12, NULL);
    struct user *client = open_one(0);
    pair_run(&world.pair, 5 * PAIR_MS);
    uint8_t bytes[1010];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = pattern(i, client->salt);
    size_t room;
    CU_ASSERT_EQUAL(stream_write(client->stream, bytes, 1000), 1000);
    CU_ASSERT_PTR_NOT_NULL(stream_reserve(client->stream, 500, &room)); /* the open frame has less */
    uint8_t *place = stream_reserve(client->stream, 10, &room);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    memcpy(place, bytes + 1000, 10);
    stream_commit(client->stream, 10);
    pair_run(&world.pair, 100 * PAIR_MS);
    CU_ASSERT_EQUAL(world.user[0][0].received, sizeof bytes); /* and each is what was written */
    world_stop();
}

static void writes_before_a_connection_is_there_leave_when_it_is(void)
{
    world_start(8, NULL);
    struct user *client = open_one(0);
    static uint8_t bytes[3000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = pattern(i, client->salt);
    CU_ASSERT_EQUAL(stream_write(client->stream, bytes, sizeof bytes), sizeof bytes);
    CU_ASSERT_EQUAL(stream_unsent(client->stream), sizeof bytes);
    pair_run(&world.pair, 100 * PAIR_MS);
    CU_ASSERT_EQUAL(world.user[0][0].received, sizeof bytes);
    CU_ASSERT_EQUAL(stream_unsent(client->stream), 0);
    world_stop();
}

/* The pool is empty for a while: nobody is told of room that is not there, and all goes on when it is. */
static void users_are_told_when_there_are_frames_again(void)
{
    world_start(9, NULL);
    struct user *client = open_one(0);
    pair_run(&world.pair, 5 * PAIR_MS);
    static struct rte_mbuf *taken[PAIR_MBUFS + 1];
    unsigned count = 0;
    while ((taken[count] = rte_pktmbuf_alloc(world.pair.pool)) != NULL)
        count++;
    client->to_send = 10000;
    user_write(client);
    CU_ASSERT_EQUAL(client->sent, 0);
    pair_run(&world.pair, 100 * PAIR_MS);
    CU_ASSERT_EQUAL(client->told[WRITABLE], 0);
    rte_pktmbuf_free_bulk(taken, count);
    pair_run(&world.pair, 100 * PAIR_MS);
    CU_ASSERT(client->told[WRITABLE] > 0);
    CU_ASSERT_EQUAL(world.user[0][0].received, 10000);
    world_stop();
}

static void the_deadline_comes_once_and_not_early(void)
{
    world_start(10, NULL);
    struct user *client = open_one(0);
    pair_run(&world.pair, 5 * PAIR_MS);
    stream_set_deadline(client->stream, world.pair.now_ns + 50 * PAIR_MS);
    pair_run(&world.pair, 49 * PAIR_MS);
    CU_ASSERT_EQUAL(client->told[EXPIRED], 0);
    pair_run(&world.pair, 4 * PAIR_MS);
    CU_ASSERT_EQUAL(client->told[EXPIRED], 1);
    stream_set_deadline(client->stream, world.pair.now_ns + 10 * PAIR_MS);
    stream_set_deadline(client->stream, 0);
    pair_run(&world.pair, 100 * PAIR_MS);
    CU_ASSERT_EQUAL(client->told[EXPIRED], 1);
    world_stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a request is answered and both ends close", a_request_is_answered_and_both_ends_close},
        {"what is written arrives over a good link", what_is_written_arrives_over_a_good_link},
        {"what is written arrives whatever the link does", what_is_written_arrives_whatever_the_link_does},
        {"users may abort and close anything in any event", users_may_abort_and_close_anything_in_any_event},
        {"closed may open the next stream", closed_may_open_the_next_stream},
        {"a port that nobody listens on refuses", a_port_that_nobody_listens_on_refuses},
        {"cookies keep scale, SACK and data", cookies_keep_scale_sack_and_data},
        {"a source has its share and others have theirs", a_source_has_its_share_and_others_have_theirs},
        {"bytes held when both ends have closed are still delivered",
         bytes_held_when_both_ends_have_closed_are_still_delivered},
        {"a window that is rounded holds no more than there is room for",
         a_window_that_is_rounded_holds_no_more_than_there_is_room_for},
        {"peers that are not read leave frames to others", peers_that_are_not_read_leave_frames_to_others},
        {"what is reserved and not committed goes back", what_is_reserved_and_not_committed_goes_back},
        {"a smaller reserve after one that was given up is what is committed",
         a_smaller_reserve_after_one_that_was_given_up_is_what_is_committed},
        {"writes before a connection is there leave when it is",
         writes_before_a_connection_is_there_leave_when_it_is},
        {"users are told when there are frames again", users_are_told_when_there_are_frames_again},
        {"the deadline comes once and not early", the_deadline_comes_once_and_not_early},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    world.pair.pool = rte_pktmbuf_pool_create("pair", PAIR_MBUFS, 0, TCP_FRAME_PRIVATE_BYTES,
                                              RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (world.pair.pool == NULL)
        return 1;
    return suite_run("tcp stream", tests);
}
