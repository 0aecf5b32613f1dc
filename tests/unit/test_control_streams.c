/*
 * test_control_streams.c - streams of the control lcore over kernel sockets: two nodes on loopback, under a virtual clock.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "control_streams.h"
#include "node_internal.h"
#include "suite.h"
#include "talker.h"
#include "test_eal.h"

enum { STREAMS = 4, STREAM_BYTES = 256 * 1024, BULK_BYTES = 3 << 20, TURNS_MAX = 100000 };

struct side {
    struct kernel_port port;
    struct node *node;
    struct control_streams *streams;
    struct talker talker;
};

static struct side near, far;
static struct instant now;
static uint64_t entropy;

static void start_node(struct side *side)
{
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = 1, .streams = true};
    struct node_config config = {.workers = 1,
                                 .kernel = &side->port,
                                 .capacity = 1000,
                                 .sessions = NODE_SESSIONS_MIN,
                                 .connections = NODE_CONNECTIONS_MIN,
                                 .cluster_name = "wild",
                                 .random = seeded_source(&entropy),
                                 .numa_node = -1};
    char error[256] = "";

    *side = (struct side){.node = NULL};
    CU_ASSERT_EQUAL_FATAL(kernel_port_open(&side->port, &port, error, sizeof error), 0);
    config.udp_port = side->port.port;
    CU_ASSERT_EQUAL_FATAL(node_start(&side->node, &config, now, error, sizeof error), 0);
}

static int create(struct side *side, bool listens, uint16_t port, char *error, size_t error_bytes)
{
    struct control_streams_config config = {.port = port,
                                            .streams_max = STREAMS,
                                            .send_bytes_max = STREAM_BYTES,
                                            .receive_bytes_max = STREAM_BYTES};

    if (listens)
        config.acceptor = (struct stream_acceptor){.state = &side->talker, .accepted = talker_accepted};
    return control_streams_create(&side->streams, side->node, &config, error, error_bytes);
}

static void stop_node(struct side *side)
{
    control_streams_destroy(side->streams);
    node_stop(side->node);
    kernel_port_close(&side->port);
}

/* The far side listens, at any port. */
static void set_up(void)
{
    char error[256] = "";

    now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    start_node(&near);
    start_node(&far);
    CU_ASSERT_EQUAL_FATAL(create(&near, false, 0, error, sizeof error), 0);
    CU_ASSERT_EQUAL_FATAL(create(&far, true, 0, error, sizeof error), 0);
}

static void tear_down(void)
{
    stop_node(&near);
    stop_node(&far);
}

static unsigned turn(struct side *side)
{
    return node_worker_turn(side->node, 0, now) + node_control_turn(side->node, now);
}

#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        for (unsigned turns = 0; !(condition) && turns < TURNS_MAX; turns++) {                               \
            turn(&near);                                                                                     \
            turn(&far);                                                                                      \
        }                                                                                                    \
        CU_ASSERT_FATAL(condition);                                                                          \
    } while (0)

/* From the near side. */
static void open_to(uint16_t port)
{
    struct flow flow = {.peer = address_from_ip4(htonl(INADDR_LOOPBACK)), .peer_port = htons(port)};

    near.talker.stream = control_streams_connect(near.streams, &flow, talker_events(), &near.talker, now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(near.talker.stream);
}

static void expect_ends(enum stream_end near_end, enum stream_end far_end)
{
    UNTIL(near.talker.closed > 0 && far.talker.closed > 0);
    CU_ASSERT_EQUAL(near.talker.end, near_end);
    CU_ASSERT_EQUAL(far.talker.end, far_end);
}

static void much_goes_both_ways_at_once_and_the_end_is_in_order(void)
{
    near.talker.to_send = far.talker.to_send = BULK_BYTES;
    near.talker.close_at_sent = far.talker.close_at_sent = true;
    far.talker.take_max = 5000;
    open_to(control_streams_port(far.streams));
    UNTIL(near.talker.received == BULK_BYTES && far.talker.received == BULK_BYTES);
    expect_ends(STREAM_END_CLOSED, STREAM_END_CLOSED);
    CU_ASSERT_FALSE(near.talker.wrong || far.talker.wrong);
    CU_ASSERT_EQUAL(near.talker.connected, 1);
    CU_ASSERT_EQUAL(far.talker.ended, 1);
    CU_ASSERT_STRING_EQUAL(control_streams_tier(near.streams), "sockets");
    CU_ASSERT_EQUAL(node_counter(far.node, COUNTER_kernel_accepted), 1);
    CU_ASSERT_EQUAL(node_counter(near.node, COUNTER_kernel_connects), 1);
}

static void who_does_not_listen_has_no_port_and_may_still_connect(void)
{
    CU_ASSERT_EQUAL(control_streams_port(near.streams), 0);
    open_to(control_streams_port(far.streams));
    UNTIL(near.talker.connected == 1 && far.talker.accepted == 1);
    stream_abort(near.talker.stream);
    expect_ends(STREAM_END_ABORTED, STREAM_END_RESET);
}

static void where_nobody_listens_the_stream_is_refused(void)
{
    uint16_t port = control_streams_port(far.streams);

    control_streams_destroy(far.streams);
    far.streams = NULL;
    open_to(port);
    for (unsigned turns = 0; near.talker.closed == 0 && turns < TURNS_MAX; turns++)
        turn(&near);
    CU_ASSERT_EQUAL(near.talker.closed, 1);
    CU_ASSERT_EQUAL(near.talker.end, STREAM_END_REFUSED);
    CU_ASSERT_EQUAL(near.talker.connected, 0);
}

static void whom_the_acceptor_does_not_want_is_reset(void)
{
    far.talker.accepted = 1; /* it wants one */
    open_to(control_streams_port(far.streams));
    for (unsigned turns = 0; near.talker.closed == 0 && turns < TURNS_MAX; turns++) {
        turn(&near);
        turn(&far);
    }
    CU_ASSERT_EQUAL(near.talker.closed, 1);
    CU_ASSERT_EQUAL(near.talker.end, STREAM_END_RESET);
}

static void a_port_that_is_taken_is_refused_by_its_options_name(void)
{
    char error[256] = "";

    control_streams_destroy(near.streams);
    near.streams = NULL;
    CU_ASSERT_EQUAL(create(&near, true, control_streams_port(far.streams), error, sizeof error), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "is in use"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "--replication-port"));
    CU_ASSERT_PTR_NULL(strchr(error, '\n'));
    CU_ASSERT_EQUAL(node_control_wait_fd(near.node), -1);
}

static void the_end_of_all_streams_tells_every_user(void)
{
    open_to(control_streams_port(far.streams));
    UNTIL(near.talker.connected == 1 && far.talker.accepted == 1);
    control_streams_destroy(far.streams);
    far.streams = NULL;
    CU_ASSERT_EQUAL(far.talker.closed, 1);
    CU_ASSERT_EQUAL(far.talker.end, STREAM_END_ABORTED);
    for (unsigned turns = 0; near.talker.ended == 0 && turns < TURNS_MAX; turns++)
        turn(&near);
    CU_ASSERT_EQUAL(near.talker.ended, 1);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, timeout_ms) == 1;
}

/* What the control thread's nap is ended by: a connection, bytes; and what keeps it from napping. */
static void who_sleeps_is_woken_by_what_comes_and_kept_awake_by_what_is_to_be_done(void)
{
    CU_ASSERT_EQUAL(node_control_wait_fd(far.node), control_streams_wait_fd(far.streams));
    CU_ASSERT_FALSE(readable(node_control_wait_fd(far.node), 0));
    CU_ASSERT_EQUAL(node_control_next_ns(far.node), UINT64_MAX);
    open_to(control_streams_port(far.streams));
    CU_ASSERT_TRUE(readable(node_control_wait_fd(far.node), 5000));
    UNTIL(near.talker.connected == 1 && far.talker.accepted == 1);
    for (unsigned i = 0; i < 3; i++)
        turn(&far);
    CU_ASSERT_FALSE(readable(node_control_wait_fd(far.node), 0));
    CU_ASSERT_EQUAL(node_control_next_ns(far.node), UINT64_MAX);
    near.talker.to_send = 100;
    talker_send(&near.talker);
    CU_ASSERT_EQUAL(node_control_next_ns(near.node), 0); /* it is yet to be given to the kernel */
    turn(&near);
    CU_ASSERT_EQUAL(node_control_next_ns(near.node), UINT64_MAX);
    CU_ASSERT_TRUE(readable(node_control_wait_fd(far.node), 5000));
    UNTIL(far.talker.received == 100);
    stream_set_deadline(near.talker.stream, now.mono_ns + 1000000);
    CU_ASSERT_TRUE(node_control_next_ns(near.node) >= now.mono_ns + 1000000 &&
                   node_control_next_ns(near.node) < now.mono_ns + 10000000);
    stream_set_deadline(near.talker.stream, 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"much_goes_both_ways_at_once_and_the_end_is_in_order",
         much_goes_both_ways_at_once_and_the_end_is_in_order},
        {"who_does_not_listen_has_no_port_and_may_still_connect",
         who_does_not_listen_has_no_port_and_may_still_connect},
        {"where_nobody_listens_the_stream_is_refused", where_nobody_listens_the_stream_is_refused},
        {"whom_the_acceptor_does_not_want_is_reset", whom_the_acceptor_does_not_want_is_reset},
        {"a_port_that_is_taken_is_refused_by_its_options_name",
         a_port_that_is_taken_is_refused_by_its_options_name},
        {"the_end_of_all_streams_tells_every_user", the_end_of_all_streams_tells_every_user},
        {"who_sleeps_is_woken_by_what_comes_and_kept_awake_by_what_is_to_be_done",
         who_sleeps_is_woken_by_what_comes_and_kept_awake_by_what_is_to_be_done},
        CU_TEST_INFO_NULL,
    };

    entropy = seeded_start(seeded_from_environment(42));
    test_eal_start();
    return suite_run_each("control_streams", set_up, tear_down, tests);
}
