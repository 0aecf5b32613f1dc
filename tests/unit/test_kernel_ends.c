/*
 * test_kernel_ends.c - how streams over kernel sockets begin and end, in every order: closed comes exactly
 * once, is the last event, and never from inside anything.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "kernel_fixture.h"
#include "suite.h"

static struct fixture fixture;
static uint8_t big[1 << 20], came[1 << 20];

static void start(const struct fixture_options *options)
{
    fixture_start(&fixture, options);
}

static void expect_closed(const struct record *record, enum stream_end end)
{
    FIXTURE_UNTIL(&fixture, record->closed > 0);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->closed, 1);
    CU_ASSERT_EQUAL(record->end, end);
}

/* ---- in order ---- */

static void the_peer_ends_first_and_is_still_answered(void)
{
    struct record *record;
    uint8_t bytes[8];
    int outcome;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "last", 4, 0), 4);
    CU_ASSERT_EQUAL(shutdown(fd, SHUT_WR), 0);
    FIXTURE_UNTIL(&fixture, record->ended == 1);
    CU_ASSERT_EQUAL(record->length, 4); /* before the end */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->ended, 1);
    CU_ASSERT_EQUAL(record_send(record, (const uint8_t *)"reply", 5), 5);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, bytes, 5, &outcome), 5);
    CU_ASSERT_EQUAL(record->closed, 0);
    stream_close(record->stream);
    CU_ASSERT_EQUAL(record->closed, 0); /* not from inside close */
    peer_expect_end(&fixture, fd, 1);
    expect_closed(record, STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_closed), 1);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).streams, 0);
    close(fd);
    fixture_stop(&fixture);
}

static void we_end_first_and_still_receive(void)
{
    struct record *record;
    size_t room;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    stream_close(record->stream);
    stream_close(record->stream);
    CU_ASSERT_PTR_NULL(stream_reserve(record->stream, 1, &room));
    peer_expect_end(&fixture, fd, 1);
    CU_ASSERT_EQUAL(send(fd, "more", 4, 0), 4);
    FIXTURE_UNTIL(&fixture, record->length == 4);
    CU_ASSERT_EQUAL(record->writable, 0);
    CU_ASSERT_EQUAL(stream_unsent(record->stream), 0);
    close(fd);
    expect_closed(record, STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(record->ended, 1);
    fixture_stop(&fixture);
}

static void close_sends_what_was_committed_first(void)
{
    struct record *record;
    int outcome;
    start(&(struct fixture_options){.send_bytes_max = 1 << 20, .blocks_max = 512});
    int fd = peer_open(&fixture, &record);
    pattern_fill(big, 0, sizeof(big));
    CU_ASSERT_EQUAL(record_send(record, big, sizeof(big)), sizeof(big));
    stream_close(record->stream);
    fixture_settle(&fixture);
    CU_ASSERT_TRUE(kernel_counts(fixture.worker[0]).blocks > 0); /* the kernel did not take it all */
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, came, sizeof(came), &outcome), sizeof(came));
    CU_ASSERT_EQUAL(memcmp(came, big, sizeof(big)), 0);
    peer_expect_end(&fixture, fd, 1);
    close(fd);
    expect_closed(record, STREAM_END_CLOSED);
    fixture_stop(&fixture);
}

static void the_end_comes_after_input_that_was_held(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    fixture.orders.take_max = 2;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "abcd", 4, 0), 4);
    stream_close(record->stream);
    fixture_settle(&fixture);
    close(fd); /* both directions have ended, input is left */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 1);
    CU_ASSERT_EQUAL(record->ended + record->closed, 0);
    CU_ASSERT_EQUAL(fixture_turn(&fixture), 0); /* and nothing keeps the worker busy */
    stream_resume(record->stream);
    expect_closed(record, STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(record->length, 4);
    CU_ASSERT_EQUAL(record->ended, 1);
    fixture_stop(&fixture);
}

static void a_peer_that_does_not_end_when_we_have_is_given_up(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    stream_close(record->stream);
    fixture_settle(&fixture);
    fixture.now.mono_ns += KERNEL_LINGER_NS / 2;
    CU_ASSERT_EQUAL(send(fd, "x", 1, 0), 1); /* alive: it has that long again */
    FIXTURE_UNTIL(&fixture, record->length == 1);
    fixture.now.mono_ns += KERNEL_LINGER_NS - 1;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->closed, 0);
    fixture.now.mono_ns += 1 + FIXTURE_TICK_NS;
    expect_closed(record, STREAM_END_TIMED_OUT);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_timed_out), 1);
    close(fd);
    fixture_stop(&fixture);
}

static void a_peer_may_take_its_time_while_our_user_waits_for_it(void)
{
    for (unsigned how = 0; how < 2;
         how++) { /* with a deadline of its own, or with input that it holds back */
        struct record *record;
        start(&(struct fixture_options){0});
        fixture.orders.take_max = how == 0 ? SIZE_MAX : 0;
        int fd = peer_open(&fixture, &record);
        stream_close(record->stream);
        if (how == 0)
            stream_set_deadline(record->stream, fixture.now.mono_ns + 100 * KERNEL_LINGER_NS);
        CU_ASSERT_EQUAL(send(fd, "x", 1, 0), 1);
        FIXTURE_UNTIL(&fixture, record->received == 1);
        for (unsigned i = 0; i < 5; i++) {
            fixture.now.mono_ns += KERNEL_LINGER_NS;
            fixture_settle(&fixture);
            CU_ASSERT_EQUAL(record->closed + record->expired, 0);
        }
        if (how == 0) {
            stream_set_deadline(record->stream, 0);
        } else {
            record->take_max = SIZE_MAX;
            stream_resume(record->stream);
            FIXTURE_UNTIL(&fixture, record->length == 1);
        }
        fixture.now.mono_ns += KERNEL_LINGER_NS + FIXTURE_TICK_NS;
        expect_closed(record, STREAM_END_TIMED_OUT);
        close(fd);
        fixture_stop(&fixture);
    }
}

/* ---- out of order ---- */

static void abort_resets_the_peer_at_once(void)
{
    struct record *record;
    size_t room;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(record_send(record, big, 100), 100);
    stream_set_deadline(record->stream, fixture.now.mono_ns + 1);
    stream_abort(record->stream);
    CU_ASSERT_EQUAL(record->closed, 0); /* not from inside abort */
    /* until then everything may be called, and does nothing */
    CU_ASSERT_PTR_NULL(stream_reserve(record->stream, 1, &room));
    stream_commit(record->stream, 0);
    stream_resume(record->stream);
    stream_close(record->stream);
    stream_abort(record->stream);
    stream_set_deadline(record->stream, 1);
    CU_ASSERT_EQUAL(stream_unsent(record->stream), 0);
    peer_expect_end(&fixture, fd, -ECONNRESET); /* what was not sent yet is not sent */
    expect_closed(record, STREAM_END_ABORTED);
    CU_ASSERT_EQUAL(record->expired + record->writable, 0);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_aborted), 1);
    close(fd);
    fixture_stop(&fixture);
}

static void what_came_before_a_reset_is_delivered_before_it(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "abc", 3, 0), 3);
    peer_reset(fd);
    expect_closed(record, STREAM_END_RESET);
    CU_ASSERT_EQUAL(record->length, 3);
    CU_ASSERT_EQUAL(record->ended, 0);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_reset), 1);
    fixture_stop(&fixture);
}

static void a_reset_ends_streams_whose_input_is_held_or_whose_output_waits(void)
{
    struct record *held, *slow;
    start(&(struct fixture_options){.send_bytes_max = 1 << 20, .blocks_max = 512});
    fixture.orders.take_max = 0;
    int fd = peer_open(&fixture, &held);
    fixture.orders.take_max = SIZE_MAX;
    int fd2 = peer_open(&fixture, &slow);
    CU_ASSERT_EQUAL(send(fd, "abc", 3, 0), 3);
    CU_ASSERT_EQUAL(record_send(slow, big, sizeof(big)), sizeof(big));
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(held->received, 1);
    peer_reset(fd);
    peer_reset(fd2);
    expect_closed(held, STREAM_END_RESET);
    expect_closed(slow, STREAM_END_RESET);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
    fixture_stop(&fixture);
}

static void writing_to_a_peer_that_has_gone_is_a_reset_and_no_signal(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    close(fd);
    FIXTURE_UNTIL(&fixture, record->ended == 1);
    for (unsigned i = 0; i < 100 && record->stream != NULL; i++) {
        record_send(record, big, 1000);
        fixture_turn(&fixture);
    }
    expect_closed(record, STREAM_END_RESET);
    fixture_stop(&fixture);
}

/* ---- from inside events ---- */

static const char *do_it_in;
static void (*what_to_do)(struct stream *stream);

static void do_it(struct record *record, const char *event)
{
    if (strcmp(event, do_it_in) == 0) {
        record->fixture->inside++;
        what_to_do(record->stream);
        record->fixture->inside--;
    }
}

/* A stream in which every event happens, in one of which the service closes or aborts. */
static void end_inside(const char *event, void (*what)(struct stream *stream), enum stream_end end)
{
    struct record *record;
    do_it_in = event;
    what_to_do = what;
    fixture.orders = (struct record){.at = do_it, .take_max = 4};
    int fd = peer_open(&fixture, &record);
    if (record->stream != NULL) {
        record_send(record, big, sizeof(big));
        stream_set_deadline(record->stream, fixture.now.mono_ns);
        fixture.now.mono_ns += FIXTURE_TICK_NS;
    }
    send(fd, "abcdef", 6, MSG_NOSIGNAL);
    for (unsigned turns = 0; turns < FIXTURE_TURNS_MAX && record->expired == 0 && record->closed == 0;
         turns++)
        fixture_turn(&fixture);
    bool over = false; /* as the peer sees it */
    for (unsigned turns = 0;
         turns < FIXTURE_TURNS_MAX && !over && record->closed == 0 && record->writable == 0; turns++) {
        fixture_turn(&fixture);
        ssize_t n = recv(fd, came, 1000, 0);
        over = n == 0 || (n < 0 && errno != EAGAIN);
    }
    shutdown(fd, SHUT_WR);
    if (record->stream != NULL)
        stream_resume(record->stream);
    record->take_max = SIZE_MAX;
    fixture_settle(&fixture);
    if (record->stream != NULL && record->ended) /* else what we left would be answered by a reset */
        for (int outcome = 0; outcome == 0;)
            peer_read(&fixture, fd, came, sizeof(came), &outcome);
    close(fd);
    FIXTURE_UNTIL(&fixture, record->closed == 1);
    CU_ASSERT_EQUAL(record->end, end);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).streams, 0);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
}

static void a_service_may_close_or_abort_in_any_event(void)
{
    static const char *const events[] = {"accepted", "received", "ended", "writable", "expired"};
    start(&(struct fixture_options){0});
    for (unsigned i = 0; i < 5; i++) {
        end_inside(events[i], stream_abort, STREAM_END_ABORTED);
        end_inside(events[i], stream_close, STREAM_END_CLOSED);
    }
    fixture_stop(&fixture);
}

static struct record *victim;

static void abort_victim(struct record *record, const char *event)
{
    if (strcmp(event, "closed") == 0 && victim != NULL && victim->stream != NULL && victim != record)
        stream_abort(victim->stream);
}

static void one_streams_end_may_end_another(void)
{
    struct record *first;
    start(&(struct fixture_options){0});
    fixture.orders.at = abort_victim;
    int fd = peer_open(&fixture, &first);
    int fd2 = peer_open(&fixture, &victim);
    peer_reset(fd);
    expect_closed(first, STREAM_END_RESET);
    expect_closed(victim, STREAM_END_ABORTED);
    victim = NULL;
    close(fd2);
    fixture_stop(&fixture);
}

/* ---- deadlines ---- */

static void again_at_once(struct record *record, const char *event)
{
    if (strcmp(event, "expired") == 0)
        stream_set_deadline(record->stream, 1);
}

static void a_deadline_passes_once_and_not_before_its_time(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    uint64_t at_ns = fixture.now.mono_ns + 5 * FIXTURE_MS;
    stream_set_deadline(record->stream, at_ns);
    fixture.now.mono_ns = at_ns - 1;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->expired, 0);
    fixture.now.mono_ns = at_ns + FIXTURE_TICK_NS;
    fixture_turn(&fixture);
    CU_ASSERT_EQUAL(record->expired, 1);
    fixture.now.mono_ns += 1000 * FIXTURE_MS;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->expired, 1); /* it is off */
    stream_set_deadline(record->stream, fixture.now.mono_ns + 1);
    stream_set_deadline(record->stream, 0);
    fixture.now.mono_ns += 1000 * FIXTURE_MS;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->expired, 1);
    record->at = again_at_once; /* one that is set into the past comes once a tick */
    stream_set_deadline(record->stream, 1);
    for (unsigned i = 2; i < 6; i++) {
        fixture.now.mono_ns += FIXTURE_TICK_NS;
        fixture_turn(&fixture);
        fixture_turn(&fixture);
        CU_ASSERT_EQUAL(record->expired, i);
    }
    close(fd);
    fixture_stop(&fixture);
}

static void deadlines_of_many_streams_pass_each_at_its_time(void)
{
    enum { STREAMS = 50, ROUNDS = 400 };
    int fd[STREAMS];
    uint64_t due_ns[STREAMS] = {0}, entropy = seeded_start(seeded_from_environment(3));
    unsigned expired[STREAMS] = {0};
    start(&(struct fixture_options){0});
    for (unsigned i = 0; i < STREAMS; i++) {
        struct record *record;
        fd[i] = peer_open(&fixture, &record);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < 10; n++) {
            unsigned i = (unsigned)seeded_below(&entropy, STREAMS);
            due_ns[i] = seeded_below(&entropy, 5) == 0
                            ? 0
                            : fixture.now.mono_ns + 1 + seeded_below(&entropy, 100 * FIXTURE_MS);
            stream_set_deadline(fixture.record[i].stream, due_ns[i]);
        }
        fixture.now.mono_ns += seeded_below(&entropy, 10 * FIXTURE_MS);
        kernel_turn(fixture.worker[0], fixture.now);
        for (unsigned i = 0; i < STREAMS; i++) {
            bool came_now = fixture.record[i].expired > expired[i];
            CU_ASSERT_TRUE(came_now ? due_ns[i] != 0 && due_ns[i] <= fixture.now.mono_ns
                                    : due_ns[i] == 0 || due_ns[i] + FIXTURE_TICK_NS > fixture.now.mono_ns);
            CU_ASSERT_EQUAL(fixture.record[i].expired, expired[i] + came_now);
            due_ns[i] = came_now ? 0 : due_ns[i];
            expired[i] = fixture.record[i].expired;
        }
    }
    for (unsigned i = 0; i < STREAMS; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

/* ---- who is let in ---- */

static void a_stream_that_the_service_does_not_want_is_reset(void)
{
    start(&(struct fixture_options){0});
    fixture.refuse = true;
    int fd = peer_connect(&fixture);
    peer_expect_end(&fixture, fd, -ECONNRESET);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(fixture.records, 0);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_accept_refused), 1);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_accepted), 0);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).streams, 0);
    close(fd);
    fixture_stop(&fixture);
}

static void more_streams_than_there_may_be_are_reset_and_those_there_are_go_on(void)
{
    struct record *record[4], *next;
    int fd[4];
    start(&(struct fixture_options){.streams_max = 4});
    for (unsigned i = 0; i < 4; i++)
        fd[i] = peer_open(&fixture, &record[i]);
    int extra = peer_connect(&fixture);
    peer_expect_end(&fixture, extra, -ECONNRESET);
    close(extra);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_accept_limit), 1);
    CU_ASSERT_EQUAL(send(fd[3], "x", 1, 0), 1);
    FIXTURE_UNTIL(&fixture, record[3]->length == 1);
    peer_reset(fd[0]);
    FIXTURE_UNTIL(&fixture, record[0]->closed);
    fd[0] = peer_open(&fixture, &next);
    CU_ASSERT_PTR_NOT_NULL(next->stream);
    for (unsigned i = 0; i < 4; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

/* From one of loopback's many addresses. */
static int connect_from(uint32_t ip4)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip4)};
    struct sockaddr_in to = fixture_address(&fixture, INADDR_LOOPBACK);
    int fd = peer_socket(SOCK_STREAM);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void one_address_may_not_have_all_the_streams(void)
{
    int fd[6];
    start(&(struct fixture_options){.per_source_max = 2});
    for (unsigned i = 0; i < 6; i++)
        fd[i] = connect_from(0x7F000101 + i % 2); /* three from each of two */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(fixture.records, 4);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_accept_source_limit), 2);
    peer_expect_end(&fixture, fd[4], -ECONNRESET);
    peer_expect_end(&fixture, fd[5], -ECONNRESET);
    close(fd[0]); /* its place is free again once the stream has ended */
    FIXTURE_UNTIL(&fixture, fixture.record[0].ended);
    stream_close(fixture.record[0].stream);
    FIXTURE_UNTIL(&fixture, fixture.record[0].closed);
    fd[0] = connect_from(0x7F000101);
    FIXTURE_UNTIL(&fixture, fixture.records == 5);
    for (unsigned i = 0; i < 6; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

static void accepting_pauses_while_there_are_no_descriptors(void)
{
    enum { PEERS = 6 };
    struct rlimit limit, low;
    struct record *record;
    int fd[PEERS];
    start(&(struct fixture_options){0});
    int old = peer_open(&fixture, &record);
    for (unsigned i = 0; i < PEERS; i++)
        fd[i] = peer_connect(&fixture);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)fd[PEERS - 1] + 1; /* not one more */
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &low), 0);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(fixture.records, 1);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_accept_paused), 1);
    CU_ASSERT_EQUAL(send(old, "x", 1, 0), 1); /* those inside do not notice */
    FIXTURE_UNTIL(&fixture, record->length == 1);
    stream_abort(record->stream); /* gives one back: the first of those outside comes in at once */
    FIXTURE_UNTIL(&fixture, fixture.records == 2);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(fixture.records, 2);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(fixture.records, 2); /* nothing says so: it is tried again after the pause */
    fixture.now.mono_ns += KERNEL_ACCEPT_PAUSE_MS * FIXTURE_MS;
    FIXTURE_UNTIL(&fixture, fixture.records == 1 + PEERS);
    close(old);
    for (unsigned i = 0; i < PEERS; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

static void hundreds_of_connections_are_opened_used_and_closed(void)
{
    enum { PEERS = 300 };
    int fd[PEERS], outcome;
    uint8_t bytes[8];
    start(&(struct fixture_options){.streams_max = PEERS});
    for (unsigned round = 0; round < 3; round++) {
        fixture.orders = (struct record){.take_max = SIZE_MAX, .echo = true, .close_at_end = true};
        for (unsigned i = 0; i < PEERS; i++) {
            fd[i] = peer_connect(&fixture);
            CU_ASSERT_EQUAL(send(fd[i], "hello", 5, 0), 5);
        }
        for (unsigned i = 0; i < PEERS; i++)
            CU_ASSERT_EQUAL(peer_read(&fixture, fd[i], bytes, 5, &outcome), 5);
        CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).streams, PEERS);
        for (unsigned i = 0; i < PEERS; i++)
            close(fd[i]);
        FIXTURE_UNTIL(&fixture, kernel_counts(fixture.worker[0]).streams == 0);
    }
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_closed), 3 * PEERS);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
    fixture_stop(&fixture);
}

static void a_draining_worker_lets_nobody_in_and_goes_on_with_the_others(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    kernel_drain(fixture.worker[0]);
    int late = peer_connect(&fixture);
    CU_ASSERT_EQUAL(send(fd, "x", 1, 0), 1);
    FIXTURE_UNTIL(&fixture, record->length == 1);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(fixture.records, 1);
    close(late);
    close(fd);
    fixture_stop(&fixture); /* with a stream open: it is told */
    CU_ASSERT_EQUAL(fixture.record[0].end, STREAM_END_ABORTED);
}

/* ---- opening ---- */

static struct flow flow_to(uint16_t port)
{
    return (struct flow){.peer = address_from_ip4(htonl(INADDR_LOOPBACK)), .peer_port = htons(port)};
}

static struct record *connect_to(uint16_t port)
{
    struct flow flow = flow_to(port);
    struct record *record = fixture_record(&fixture, 0, NULL);
    record->stream = kernel_connect(fixture.worker[0], &flow, fixture_events(), record);
    return record;
}

static void a_stream_that_we_open_is_connected_and_carries_bytes_both_ways(void)
{
    struct record *ours, *theirs;
    start(&(struct fixture_options){0});
    fixture.orders.echo = true;
    fixture.orders.close_at_end = true;
    ours = connect_to(fixture.port.port); /* to the same worker */
    ours->echo = false;
    CU_ASSERT_PTR_NOT_NULL_FATAL(ours->stream);
    CU_ASSERT_EQUAL(ours->connected, 0);
    CU_ASSERT_EQUAL(record_send(ours, (const uint8_t *)"early", 5), 5); /* waits for the connection */
    FIXTURE_UNTIL(&fixture, ours->length == 5);
    CU_ASSERT_EQUAL(ours->connected, 1);
    theirs = &fixture.record[1];
    CU_ASSERT_EQUAL(memcmp(theirs->bytes, "early", 5), 0);
    CU_ASSERT_EQUAL(theirs->stream->flow.peer_port, ours->stream->flow.local_port);
    CU_ASSERT_EQUAL(memcmp(&theirs->stream->flow.peer, &ours->stream->flow.local, 16), 0);
    stream_close(ours->stream);
    expect_closed(ours, STREAM_END_CLOSED);
    expect_closed(theirs, STREAM_END_CLOSED);
    fixture_stop(&fixture);
}

static void a_stream_to_where_nobody_listens_is_refused(void)
{
    struct sockaddr_in free_port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(free_port);
    int fd = peer_socket(SOCK_STREAM); /* holds the port, does not listen */
    start(&(struct fixture_options){0});
    CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&free_port, length), 0);
    CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&free_port, &length), 0);
    struct record *record = connect_to(ntohs(free_port.sin_port));
    CU_ASSERT_PTR_NOT_NULL_FATAL(record->stream);
    CU_ASSERT_EQUAL(record->closed, 0);
    expect_closed(record, STREAM_END_REFUSED);
    CU_ASSERT_EQUAL(record->connected, 0);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_connect_failed), 1);
    close(fd);
    fixture_stop(&fixture);
}

static void a_stream_may_be_closed_while_it_opens(void)
{
    start(&(struct fixture_options){0});
    for (unsigned i = 0; i < 2; i++) {
        struct record *record = connect_to(fixture.port.port);
        CU_ASSERT_PTR_NOT_NULL_FATAL(record->stream);
        (i == 0 ? stream_close : stream_abort)(record->stream);
        expect_closed(record, STREAM_END_ABORTED);
        CU_ASSERT_EQUAL(record->connected, 0);
    }
    fixture_stop(&fixture);
}

static void there_is_no_stream_without_a_place_for_it(void)
{
    struct flow flow = flow_to(1);
    start(&(struct fixture_options){.streams_max = 1});
    struct record *record;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_PTR_NULL(kernel_connect(fixture.worker[0], &flow, fixture_events(), NULL));
    peer_reset(fd);
    FIXTURE_UNTIL(&fixture, record->closed);
    flow.local = address_from_ip4(htonl(0xC6120A0B)); /* nor from an address that is not ours */
    CU_ASSERT_PTR_NULL(kernel_connect(fixture.worker[0], &flow, fixture_events(), NULL));
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).streams, 0);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_connect_failed), 2);
    fixture_stop(&fixture);
}

/* ---- waiting ---- */

static void *wake(void *worker)
{
    kernel_wake(worker);
    kernel_wake(worker);
    return NULL;
}

static void a_wait_ends_when_another_thread_wakes_the_worker(void)
{
    pthread_t thread;
    start(&(struct fixture_options){0});
    for (unsigned round = 0; round < 3; round++) {
        CU_ASSERT_EQUAL(kernel_turn(fixture.worker[0], fixture.now), 0);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, wake, fixture.worker[0]), 0);
        kernel_wait(fixture.worker[0], 60 * 1000); /* a minute, if nobody woke it */
        CU_ASSERT_TRUE(kernel_turn(fixture.worker[0], fixture.now) > 0);
        pthread_join(thread, NULL);
        kernel_turn(fixture.worker[0], fixture.now); /* the second one may come after */
    }
    fixture_stop(&fixture);
}

static void a_wait_does_not_outlast_a_deadline_nor_hold_up_what_was_put_off(void)
{
    struct record *record;
    start(&(struct fixture_options){0});
    fixture.orders.take_max = 0;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "x", 1, 0), 1);
    FIXTURE_UNTIL(&fixture, record->received == 1);
    fixture_settle(&fixture);
    stream_resume(record->stream);
    kernel_wait(fixture.worker[0], 3600 * 1000); /* not an hour */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 2);
    stream_set_deadline(record->stream, fixture.now.mono_ns + FIXTURE_MS / 2);
    kernel_wait(fixture.worker[0], 3600 * 1000);
    fixture.now.mono_ns += 2 * FIXTURE_TICK_NS;
    kernel_turn(fixture.worker[0], fixture.now);
    CU_ASSERT_EQUAL(record->expired, 1);
    close(fd);
    fixture_stop(&fixture);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the_peer_ends_first_and_is_still_answered", the_peer_ends_first_and_is_still_answered},
        {"we_end_first_and_still_receive", we_end_first_and_still_receive},
        {"close_sends_what_was_committed_first", close_sends_what_was_committed_first},
        {"the_end_comes_after_input_that_was_held", the_end_comes_after_input_that_was_held},
        {"a_peer_that_does_not_end_when_we_have_is_given_up",
         a_peer_that_does_not_end_when_we_have_is_given_up},
        {"a peer may take its time while our user waits for it",
         a_peer_may_take_its_time_while_our_user_waits_for_it},
        {"abort_resets_the_peer_at_once", abort_resets_the_peer_at_once},
        {"what_came_before_a_reset_is_delivered_before_it", what_came_before_a_reset_is_delivered_before_it},
        {"a_reset_ends_streams_whose_input_is_held_or_whose_output_waits",
         a_reset_ends_streams_whose_input_is_held_or_whose_output_waits},
        {"writing_to_a_peer_that_has_gone_is_a_reset_and_no_signal",
         writing_to_a_peer_that_has_gone_is_a_reset_and_no_signal},
        {"a_service_may_close_or_abort_in_any_event", a_service_may_close_or_abort_in_any_event},
        {"one_streams_end_may_end_another", one_streams_end_may_end_another},
        {"a_deadline_passes_once_and_not_before_its_time", a_deadline_passes_once_and_not_before_its_time},
        {"deadlines_of_many_streams_pass_each_at_its_time", deadlines_of_many_streams_pass_each_at_its_time},
        {"a_stream_that_the_service_does_not_want_is_reset",
         a_stream_that_the_service_does_not_want_is_reset},
        {"more_streams_than_there_may_be_are_reset_and_those_there_are_go_on",
         more_streams_than_there_may_be_are_reset_and_those_there_are_go_on},
        {"one_address_may_not_have_all_the_streams", one_address_may_not_have_all_the_streams},
        {"accepting_pauses_while_there_are_no_descriptors", accepting_pauses_while_there_are_no_descriptors},
        {"hundreds_of_connections_are_opened_used_and_closed",
         hundreds_of_connections_are_opened_used_and_closed},
        {"a_draining_worker_lets_nobody_in_and_goes_on_with_the_others",
         a_draining_worker_lets_nobody_in_and_goes_on_with_the_others},
        {"a_stream_that_we_open_is_connected_and_carries_bytes_both_ways",
         a_stream_that_we_open_is_connected_and_carries_bytes_both_ways},
        {"a_stream_to_where_nobody_listens_is_refused", a_stream_to_where_nobody_listens_is_refused},
        {"a_stream_may_be_closed_while_it_opens", a_stream_may_be_closed_while_it_opens},
        {"there_is_no_stream_without_a_place_for_it", there_is_no_stream_without_a_place_for_it},
        {"a_wait_ends_when_another_thread_wakes_the_worker",
         a_wait_ends_when_another_thread_wakes_the_worker},
        {"a_wait_does_not_outlast_a_deadline_nor_hold_up_what_was_put_off",
         a_wait_does_not_outlast_a_deadline_nor_hold_up_what_was_put_off},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("kernel_ends", tests);
}
