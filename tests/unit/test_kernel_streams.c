/*
 * test_kernel_streams.c - bytes through streams over kernel sockets: however they are split, held or slow to
 * be read, they come once and in order. How streams begin is
 * test_kernel_begins.c, how they end test_kernel_ends.c.
 */
#include "kernel_fixture.h"
#include "suite.h"

static struct fixture fixture;
static uint8_t big[4 << 20], came[4 << 20];

static void start(const struct fixture_options *options)
{
    fixture_start(&fixture, options);
}

/* ---- input ---- */

static void a_request_is_answered_and_the_flow_is_known(void)
{
    struct record *record;
    struct sockaddr_in own;
    socklen_t length = sizeof(own);
    uint8_t bytes[8];
    int outcome;
    start(&(struct fixture_options){.any_address = true});
    fixture.orders.echo = true;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "request", 7, 0), 7);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, bytes, 7, &outcome), 7);
    CU_ASSERT_EQUAL(memcmp(bytes, "request", 7), 0);
    CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    const struct flow *flow = &record->stream->flow;
    CU_ASSERT_EQUAL(address_ip4(&flow->peer), own.sin_addr.s_addr);
    CU_ASSERT_EQUAL(flow->peer_port, own.sin_port);
    CU_ASSERT_EQUAL(address_ip4(&flow->local), htonl(INADDR_LOOPBACK));
    CU_ASSERT_EQUAL(flow->local_port, htons(fixture.port.port));
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_accepted), 1);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_rx_bytes), 7);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_tx_bytes), 7);
    close(fd);
    fixture_stop(&fixture);
}

/* Sends all of `bytes` while the node's turns go on. */
static void send_all(int fd, const uint8_t *bytes, size_t length)
{
    size_t sent = 0;
    for (unsigned turns = 0; sent < length && turns < FIXTURE_TURNS_MAX; turns++) {
        ssize_t n = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        CU_ASSERT_FATAL(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        if (n < 0)
            fixture_turn(&fixture);
    }
    CU_ASSERT_EQUAL(sent, length);
}

static void a_request_may_come_byte_by_byte(void)
{
    struct record *record;
    uint8_t bytes[300];
    int outcome;
    start(&(struct fixture_options){0});
    fixture.orders.echo = true;
    int fd = peer_open(&fixture, &record);
    pattern_fill(big, 0, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        CU_ASSERT_EQUAL(send(fd, big + i, 1, 0), 1);
        FIXTURE_UNTIL(&fixture, record->length == i + 1);
    }
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, bytes, sizeof(bytes), &outcome), sizeof(bytes));
    CU_ASSERT_TRUE(pattern_holds(bytes, 0, sizeof(bytes)));
    close(fd);
    fixture_stop(&fixture);
}

static void what_a_service_leaves_comes_again_once_it_resumes_with_what_followed(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    fixture.orders.take_max = 3;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "abcdef", 6, 0), 6);
    FIXTURE_UNTIL(&fixture, record->received == 1);
    CU_ASSERT_EQUAL(send(fd, "ghi", 3, 0), 3);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 1); /* held: nothing comes by itself */
    stream_resume(record->stream);
    CU_ASSERT_EQUAL(record->received, 1); /* nor from inside resume */
    fixture_turn(&fixture);
    CU_ASSERT_EQUAL(record->received, 2);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 2);
    record->take_max = 0; /* all of it is left */
    stream_resume(record->stream);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 3);
    record->take_max = SIZE_MAX;
    stream_resume(record->stream);
    stream_resume(record->stream);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->length, 9);
    CU_ASSERT_EQUAL(memcmp(record->bytes, "abcdefghi", 9), 0);
    CU_ASSERT_EQUAL(record->received, 4);
    stream_resume(record->stream); /* nothing was left */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 4);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_held), 3);
    close(fd);
    fixture_stop(&fixture);
}

static void resume_in_received(struct record *record, const char *event)
{
    if (strcmp(event, "received") == 0)
        stream_resume(record->stream);
}

static void resume_from_inside_received_takes_effect_in_the_next_turn(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    fixture.orders.take_max = 1;
    fixture.orders.at = resume_in_received;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "abcdef", 6, 0), 6);
    FIXTURE_UNTIL(&fixture, record->received == 1);
    for (unsigned i = 2; i <= 6; i++) {
        fixture_turn(&fixture);
        CU_ASSERT_EQUAL(record->received, i);
    }
    CU_ASSERT_EQUAL(memcmp(record->bytes, "abcdef", 6), 0);
    close(fd);
    fixture_stop(&fixture);
}

static void the_window_closes_while_input_is_held_and_others_go_on(void)
{
    struct record *held, *other;
    size_t sent = 0, before;
    uint8_t byte;
    int outcome;
    start(&(struct fixture_options){0});
    fixture.orders.echo = true;
    int fd2 = peer_open(&fixture, &other);
    fixture.orders.echo = false;
    fixture.orders.take_max = 0;
    int fd = peer_open(&fixture, &held), room_bytes = 128 * 1024;
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room_bytes, sizeof(room_bytes)), 0);
    pattern_fill(big, 0, sizeof(big));
    do { /* until the peer finds no room, and none comes */
        before = sent;
        for (ssize_t n; sent < sizeof(big) && (n = send(fd, big + sent, sizeof(big) - sent, 0)) > 0;)
            sent += (size_t)n;
        fixture_settle(&fixture);
    } while (sent > before);
    CU_ASSERT_TRUE(sent > 64 * 1024 && sent < sizeof(big));
    CU_ASSERT_EQUAL(held->received, 1);
    CU_ASSERT_EQUAL(send(fd2, "x", 1, 0), 1);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd2, &byte, 1, &outcome), 1);
    held->take_max = SIZE_MAX;
    stream_resume(held->stream);
    send_all(fd, big + sent, sizeof(big) - sent);
    FIXTURE_UNTIL(&fixture, held->length == sizeof(big));
    CU_ASSERT_TRUE(pattern_holds(held->bytes, 0, sizeof(big)));
    close(fd);
    close(fd2);
    fixture_stop(&fixture);
}

static void urgent_bytes_come_in_line(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "ab", 2, 0), 2);
    CU_ASSERT_EQUAL(send(fd, "cd", 2, MSG_OOB), 2);
    CU_ASSERT_EQUAL(send(fd, "ef", 2, 0), 2);
    FIXTURE_UNTIL(&fixture, record->length == 6);
    CU_ASSERT_EQUAL(memcmp(record->bytes, "abcdef", 6), 0);
    close(fd);
    fixture_stop(&fixture);
}

/* ---- output ---- */

static void many_small_writes_of_one_turn_leave_as_one(void)
{
    struct record *record;
    uint8_t bytes[1000];
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    pattern_fill(big, 0, 1000);
    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(record_send(record, big + 10 * i, 10), 10);
    CU_ASSERT_EQUAL(recv(fd, bytes, sizeof(bytes), 0), -1); /* the burst is not over */
    CU_ASSERT_EQUAL(stream_unsent(record->stream), 1000);
    fixture_turn(&fixture);
    CU_ASSERT_EQUAL(recv(fd, bytes, sizeof(bytes), 0), 1000);
    CU_ASSERT_TRUE(pattern_holds(bytes, 0, 1000));
    FIXTURE_UNTIL(&fixture, stream_unsent(record->stream) == 0);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
    close(fd);
    fixture_stop(&fixture);
}

/* Whoever waits for unsent() must not wait for the peer's kernel, which puts acknowledgements off by 40 ms. */
static void what_has_left_is_not_unsent_though_nobody_has_acknowledged_it(void)
{
    struct record *record;
    uint8_t bytes[300];
    int outcome, put_off = 0;
    start(&(struct fixture_options){0});
    fixture.orders.echo = true;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &put_off, sizeof(put_off)), 0);
    pattern_fill(big, 0, sizeof(bytes));
    for (unsigned i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(send(fd, big, sizeof(bytes), 0), sizeof(bytes));
        CU_ASSERT_EQUAL(peer_read(&fixture, fd, bytes, sizeof(bytes), &outcome), sizeof(bytes));
        CU_ASSERT_EQUAL(stream_unsent(record->stream), 0);
    }
    close(fd);
    fixture_stop(&fixture);
}

/* What `at` sends on, for the slow reader. */
static size_t offered;

static void offer_more(struct record *record, const char *event)
{
    if (strcmp(event, "writable") == 0)
        offered += record_send(record, big + offered, sizeof(big) - offered);
}

static void a_slow_reader_holds_up_itself_alone_and_gets_every_byte(void)
{
    struct record *slow, *other;
    uint8_t byte;
    int outcome;
    enum { LIMIT = 64 * 1024 };
    start(&(struct fixture_options){.send_bytes_max = LIMIT});
    int fd = peer_open(&fixture, &slow);
    fixture.orders.echo = true;
    int fd2 = peer_open(&fixture, &other);
    slow->at = offer_more;
    pattern_fill(big, 0, sizeof(big));
    offered = record_send(slow, big, sizeof(big));
    CU_ASSERT_TRUE(offered <= LIMIT && offered > LIMIT - STREAM_RESERVE_MAX);
    fixture_settle(&fixture);
    CU_ASSERT_TRUE(slow->writable > 0); /* the kernel took the first ones */
    CU_ASSERT_TRUE(offered < sizeof(big));
    CU_ASSERT_TRUE(kernel_counts(fixture.worker[0]).blocks <= LIMIT / 4080 + 1);
    CU_ASSERT_TRUE(stream_unsent(slow->stream) > LIMIT / 2);
    unsigned writable = slow->writable;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(slow->writable, writable); /* nothing changes while the peer does not read */
    CU_ASSERT_TRUE(fixture_counter(&fixture, COUNTER_kernel_stream_blocked) > 0);
    CU_ASSERT_EQUAL(send(fd2, "x", 1, 0), 1);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd2, &byte, 1, &outcome), 1);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, came, sizeof(came), &outcome), sizeof(came));
    CU_ASSERT_EQUAL(memcmp(came, big, sizeof(big)), 0);
    FIXTURE_UNTIL(&fixture, stream_unsent(slow->stream) == 0);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
    close(fd);
    close(fd2);
    fixture_stop(&fixture);
}

static void streams_that_do_not_read_leave_blocks_for_those_that_hold_none(void)
{
    struct record *greedy, *modest, *late[8];
    int fd[10];
    uint8_t byte;
    int outcome;
    start(&(struct fixture_options){.blocks_max = 8, .send_bytes_max = 1 << 20});
    fd[0] = peer_open(&fixture, &greedy);
    fd[1] = peer_open(&fixture, &modest);
    for (unsigned i = 0; i < 8; i++)
        fd[2 + i] = peer_open(&fixture, &late[i]);
    /* The kernel takes from the greedy one until it takes no more. */
    pattern_fill(big, 0, sizeof(big));
    greedy->at = offer_more;
    offered = record_send(greedy, big, sizeof(big));
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 6); /* three quarters */
    /* The last blocks are for those that hold none, one each. */
    CU_ASSERT_EQUAL(record_send(modest, big, 6000), 4080);
    CU_ASSERT_EQUAL(record_send(late[0], big, 1), 1);
    CU_ASSERT_EQUAL(record_send(late[1], big, 1), 0);
    CU_ASSERT_EQUAL(record_send(late[2], big, 1), 0);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 8);
    stream_abort(late[2]->stream); /* waits no more */
    FIXTURE_UNTIL(&fixture, late[1]->writable == 1 && modest->writable == 1);
    CU_ASSERT_EQUAL(record_send(late[1], big, 1), 1);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd[3], &byte, 1, &outcome), 1);
    CU_ASSERT_EQUAL(late[2]->writable, 0);
    CU_ASSERT_EQUAL(late[3]->writable, 0); /* never asked */
    CU_ASSERT_TRUE(fixture_counter(&fixture, COUNTER_kernel_blocks_short) > 0);
    stream_abort(greedy->stream);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
    for (unsigned i = 0; i < 10; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

static void a_reservation_that_nothing_comes_of_is_given_back(void)
{
    struct record *record;
    size_t room = 0;
    uint8_t byte;
    int outcome;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_PTR_NOT_NULL(stream_reserve(record->stream, STREAM_RESERVE_MAX, &room));
    CU_ASSERT_TRUE(room >= STREAM_RESERVE_MAX);
    stream_commit(record->stream, 0);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 1);
    fixture_turn(&fixture);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
    CU_ASSERT_EQUAL(record_send(record, big, 1), 1);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, &byte, 1, &outcome), 1);
    close(fd);
    fixture_stop(&fixture);
}

/* ---- both ---- */

/* What a stream of the test of many has still to do. */
struct talker {
    int fd;
    size_t sent, got, total;
    bool told_end;
};

/* A service that takes as much as it likes, echoes as much as there is room for, and forgets nothing. */
static uint64_t whims;

static size_t taken_of(const struct record *record)
{
    return record->length;
}

/* Echo without a buffer of its own: what is received stays in record->bytes; `echoed` of it is sent. */
static size_t echoed[FIXTURE_STREAMS];

static void echo_on(struct record *record)
{
    size_t *done = &echoed[record - fixture.record];
    *done += record_send(record, record->bytes + *done, taken_of(record) - *done);
}

static void echo_by_whim(struct record *record, const char *event)
{
    record->take_max = seeded_below(&whims, 4) == 0 ? seeded_below(&whims, 5000) : SIZE_MAX;
    if (strcmp(event, "received") == 0 && record->take_max != SIZE_MAX)
        stream_resume(record->stream);
    if (strcmp(event, "closed") != 0)
        echo_on(record);
}

static bool talk(struct talker *talker)
{
    size_t chunk = 1 + seeded_below(&whims, 20000);
    ssize_t n;
    if (talker->sent < talker->total) {
        chunk = chunk < talker->total - talker->sent ? chunk : talker->total - talker->sent;
        n = send(talker->fd, big + talker->sent, chunk, MSG_NOSIGNAL);
        CU_ASSERT_FATAL(n > 0 || errno == EAGAIN);
        talker->sent += n > 0 ? (size_t)n : 0;
    } else if (!talker->told_end) {
        talker->told_end = shutdown(talker->fd, SHUT_WR) == 0;
    }
    if (seeded_below(&whims, 3) == 0)
        return false; /* slow to read */
    n = recv(talker->fd, came, 1 + seeded_below(&whims, 30000), 0);
    if (n > 0) {
        CU_ASSERT_TRUE(pattern_holds(came, talker->got, (size_t)n));
        talker->got += (size_t)n;
    }
    CU_ASSERT_FATAL(n >= 0 || errno == EAGAIN);
    return n == 0;
}

/* All that came is echoed, and then the stream is closed, though its peer ended long before. */
static void close_what_is_done(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct record *record = &fixture.record[i];
        if (record->stream == NULL)
            continue;
        echo_on(record);
        if (record->ended && echoed[i] == record->length)
            stream_close(record->stream);
    }
}

static void many_streams_at_once_are_byte_exact_both_ways(void)
{
    enum { TALKERS = 40 };
    struct talker talkers[TALKERS];
    uint64_t seed = seeded_from_environment(7);
    unsigned done = 0;
    whims = seeded_start(seed);
    memset(echoed, 0, sizeof(echoed));
    pattern_fill(big, 0, sizeof(big));
    start(&(struct fixture_options){.blocks_max = 64, .send_bytes_max = 16 * 1024, .workers = 2});
    fixture.orders.at = echo_by_whim;
    for (unsigned i = 0; i < TALKERS; i++)
        talkers[i] = (struct talker){.fd = peer_connect(&fixture),
                                     .total = i % 8 == 0 ? 300000 : seeded_below(&whims, 20000)};
    for (unsigned turns = 0; done < TALKERS && turns < FIXTURE_TURNS_MAX; turns++) {
        for (unsigned i = 0; i < TALKERS; i++)
            if (talkers[i].fd >= 0 && talk(&talkers[i])) {
                CU_ASSERT_EQUAL(talkers[i].got, talkers[i].total);
                close(talkers[i].fd);
                talkers[i].fd = -1;
                done++;
            }
        fixture_turn(&fixture);
        close_what_is_done(fixture.records);
    }
    if (done < TALKERS)
        fprintf(stderr, "%u of %u streams are done (WILD_SEED=%llu)\n", done, TALKERS,
                (unsigned long long)seed);
    CU_ASSERT_EQUAL(done, TALKERS);
    fixture_settle(&fixture);
    for (unsigned i = 0; i < fixture.records; i++) {
        CU_ASSERT_EQUAL(fixture.record[i].closed, 1);
        CU_ASSERT_EQUAL(fixture.record[i].end, STREAM_END_CLOSED);
    }
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(kernel_counts(fixture.worker[i]).streams, 0);
        CU_ASSERT_EQUAL(kernel_counts(fixture.worker[i]).blocks, 0);
    }
    fixture_stop(&fixture);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a_request_is_answered_and_the_flow_is_known", a_request_is_answered_and_the_flow_is_known},
        {"a_request_may_come_byte_by_byte", a_request_may_come_byte_by_byte},
        {"what_a_service_leaves_comes_again_once_it_resumes_with_what_followed",
         what_a_service_leaves_comes_again_once_it_resumes_with_what_followed},
        {"resume_from_inside_received_takes_effect_in_the_next_turn",
         resume_from_inside_received_takes_effect_in_the_next_turn},
        {"the_window_closes_while_input_is_held_and_others_go_on",
         the_window_closes_while_input_is_held_and_others_go_on},
        {"urgent_bytes_come_in_line", urgent_bytes_come_in_line},
        {"many_small_writes_of_one_turn_leave_as_one", many_small_writes_of_one_turn_leave_as_one},
        {"what has left is not unsent though nobody has acknowledged it",
         what_has_left_is_not_unsent_though_nobody_has_acknowledged_it},
        {"a_slow_reader_holds_up_itself_alone_and_gets_every_byte",
         a_slow_reader_holds_up_itself_alone_and_gets_every_byte},
        {"streams_that_do_not_read_leave_blocks_for_those_that_hold_none",
         streams_that_do_not_read_leave_blocks_for_those_that_hold_none},
        {"a_reservation_that_nothing_comes_of_is_given_back",
         a_reservation_that_nothing_comes_of_is_given_back},
        {"many_streams_at_once_are_byte_exact_both_ways", many_streams_at_once_are_byte_exact_both_ways},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("kernel_streams", tests);
}
