/*
 * test_kernel_begins.c - how streams over kernel sockets begin: who is let in, and those that we open.
 */
#include <sys/resource.h>

#include "kernel_fixture.h"
#include "suite.h"

static struct fixture fixture;

/* ---- who is let in ---- */

static void a_stream_that_the_service_does_not_want_is_reset(void)
{
    fixture_start(&fixture, &(struct fixture_options){0});
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
    fixture_start(&fixture, &(struct fixture_options){.streams_max = 4});
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
    fixture_start(&fixture, &(struct fixture_options){.per_source_max = 2});
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
    fixture_start(&fixture, &(struct fixture_options){0});
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
    fixture_start(&fixture, &(struct fixture_options){.streams_max = PEERS});
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
    fixture_start(&fixture, &(struct fixture_options){0});
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
    fixture_start(&fixture, &(struct fixture_options){0});
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
    fixture_start(&fixture, &(struct fixture_options){0});
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
    fixture_start(&fixture, &(struct fixture_options){0});
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
    fixture_start(&fixture, &(struct fixture_options){.streams_max = 1});
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

int main(void)
{
    CU_TestInfo tests[] = {
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
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("kernel_begins", tests);
}
