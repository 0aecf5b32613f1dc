/*
 * kernel_node.c - a whole node over kernel sockets, on loopback and under a virtual clock: it passes the
 * request tests that nodes on ports pass, sleeps while there is nothing to do, and stops in order.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/seeded.h"
#include "../unit/suite.h"
#include "../unit/test_eal.h"
#include "app_limits.h"
#include "kernel/kernel_port.h"
#include "node.h"
#include "record.h"
#include "request_tests.h"

#include <netinet/tcp.h> /* behind ours: it takes names of theirs */

enum { WORKERS = 2, STEP_NS = 20 * 1000, CLIENTS = 8 };

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

static struct kernel_port port;
static unsigned workers;
static struct node *node;
static struct instant now;
static uint64_t entropy;

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "kernel_node: %s\n", what);
        exit(1);
    }
}

/* Without secrets: in bench mode. */
static void start_with(unsigned count, unsigned secrets)
{
    struct kernel_port_config config = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = count, .streams = true};
    struct secret_option text = {.length = strlen(secret)};
    struct node_config node_config = {.workers = count,
                                      .kernel = &port,
                                      .capacity = 4096,
                                      .sessions = NODE_SESSIONS_MIN,
                                      .connections = NODE_CONNECTIONS_MIN,
                                      .secrets = &text,
                                      .secret_count = secrets,
                                      .cluster_name = "wild",
                                      .random = seeded_source(&entropy),
                                      .numa_node = -1};
    char error[256] = "";

    workers = count;
    memcpy(text.text, secret, text.length);
    entropy = seeded_start(1);
    now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    must(kernel_port_open(&port, &config, error, sizeof error) == 0, error);
    node_config.udp_port = port.port;
    must(node_start(&node, &node_config, now, error, sizeof error) == 0, error);
}

static void start(unsigned count)
{
    start_with(count, 1);
}

static void stop(void)
{
    node_stop(node);
    kernel_port_close(&port);
}

static unsigned workers_turn(void)
{
    unsigned done = 0;

    now.mono_ns += STEP_NS;
    now.wall_ms = UINT64_C(1700000000000) + now.mono_ns / 1000000;
    for (unsigned i = 0; i < workers; i++)
        done += node_worker_turn(node, i, now);
    return done;
}

static void step(void)
{
    workers_turn();
    node_control_turn(node, now);
    node_helper_step(node);
}

/* ---- a client's link: an ordinary socket; time passes when the client waits ---- */

static void link_send(void *state, const uint8_t *bytes, size_t length)
{
    CU_ASSERT_EQUAL(send(*(int *)state, bytes, length, 0), (ssize_t)length);
}

static size_t link_receive(void *state, uint8_t *out, size_t room, unsigned timeout_ms)
{
    uint64_t until_ns = now.mono_ns + UINT64_C(1000000) * timeout_ms;
    ssize_t length;

    do {
        step();
        length = recv(*(int *)state, out, room, MSG_DONTWAIT);
    } while (length <= 0 && now.mono_ns < until_ns);
    return length > 0 ? (size_t)length : 0;
}

static void link_pass_time(void *state, unsigned ms)
{
    (void)state;
    for (uint64_t until_ns = now.mono_ns + UINT64_C(1000000) * ms; now.mono_ns < until_ns;)
        step();
}

static int client_socket(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0, "no socket");
    return fd;
}

static struct datagram_link link_over(int *fd)
{
    return (struct datagram_link){
        .state = fd, .send = link_send, .receive = link_receive, .pass_time = link_pass_time};
}

static bool flush(struct test_client *client)
{
    struct operation operation = {.opcode = OPCODE_FLUSH};
    struct reply replies[TEST_CLIENT_OPERATIONS];

    return test_client_request(client, &operation, 1, replies) == 1 && replies[0].status == STATUS_OK;
}

/* ---- tests ---- */

/* Several clients, so that both workers get some. */
static void a_node_over_kernel_sockets_passes_the_request_tests(void)
{
    uint64_t random = seeded_start(2);
    struct node_facts facts;

    start(WORKERS);
    for (unsigned n = 0; n < CLIENTS; n++) {
        int fd = client_socket();
        struct datagram_link link = link_over(&fd);
        struct test_client client;

        CU_ASSERT_FATAL(test_client_connect(
            &client, &link, secret, n % 2 == 0 ? SUITE_MAC : SUITE_AES_256_GCM | SUITE_CHACHA20_POLY1305,
            seeded_source(&random)));
        for (unsigned i = 0; i < request_tests_count; i++) {
            const char *wrong = flush(&client) ? request_tests[i].run(&client) : "FLUSH was not answered";

            if (wrong != NULL) {
                fprintf(stderr, "%s: not so: %s\n", request_tests[i].name, wrong);
                CU_FAIL("a request test");
            }
        }
        test_client_close(&client);
        link_pass_time(NULL, 1);
        close(fd);
    }
    node_facts(node, &facts);
    CU_ASSERT_EQUAL(facts.lsn + 1 - (UINT64_C(1) << 32), facts.log_records);
    CU_ASSERT_TRUE(facts.log_records > 0);
    CU_ASSERT_EQUAL(node_counter(node, COUNTER_native_session_opened), CLIENTS);
    CU_ASSERT_EQUAL(node_counter(node, COUNTER_native_session_closed), CLIENTS);
    stop();
}

static bool sends_within(int fd, unsigned turns)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];

    while (turns-- > 0) {
        workers_turn();
        if (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            return true;
    }
    return false;
}

/* The handshake's mathematics end while the worker sleeps: it is woken, and answers. */
static void a_sleeping_worker_is_woken_by_the_helper(void)
{
    struct handshake_client handshake;
    struct role_keys keys;
    uint64_t random = seeded_start(3);
    struct random_source source = seeded_source(&random);
    char error[256];
    int fd;

    start(1);
    fd = client_socket();
    CU_ASSERT_EQUAL(keys_from_secret(&keys, secret, strlen(secret), "wild", error, sizeof error), 0);
    CU_ASSERT_EQUAL(handshake_start(&handshake, &keys, ROLE_CLIENT, TRANSPORT_UDP, SUITE_MAC, &source), 0);
    CU_ASSERT_EQUAL(send(fd, handshake.init, HANDSHAKE_INIT_BYTES, 0), HANDSHAKE_INIT_BYTES);
    CU_ASSERT_FALSE(sends_within(fd, 50)); /* the helper has not had a turn */
    CU_ASSERT_EQUAL(workers_turn(), 0);
    CU_ASSERT_TRUE(node_helper_step(node));
    node_worker_wait(node, 0, 3600 * 1000); /* not an hour */
    node_worker_turn(node, 0, now);
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&answer, 1, 0), 1);
    handshake_end(&handshake);
    close(fd);
    stop();
}

static void a_draining_node_answers_what_it_received_and_takes_no_one_new(void)
{
    struct test_client client, late;
    struct operation operation = {.opcode = OPCODE_SET, .key = (const uint8_t *)"k", .key_length = 1};
    struct reply replies[TEST_CLIENT_OPERATIONS];
    uint64_t random = seeded_start(4);
    int fd, late_fd;

    start(WORKERS);
    fd = client_socket();
    late_fd = client_socket();
    struct datagram_link link = link_over(&fd), late_link = link_over(&late_fd);
    CU_ASSERT_FATAL(test_client_connect(&client, &link, secret, SUITE_MAC, seeded_source(&random)));
    node_drain(node);
    CU_ASSERT_EQUAL(test_client_request(&client, &operation, 1, replies), 1);
    CU_ASSERT_EQUAL(replies[0].status, STATUS_OK);
    for (unsigned i = 0; i < 3; i++)
        step();
    CU_ASSERT_TRUE(node_drained(node));
    CU_ASSERT_FALSE(test_client_connect(&late, &late_link, secret, SUITE_MAC, seeded_source(&random)));
    close(fd);
    close(late_fd);
    stop();
}

/* A stream to the node in bench mode, and the bytes of a record that is answered. */
static int open_stream_from(uint32_t address)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    must(fd >= 0 && bind(fd, (const struct sockaddr *)&from, sizeof from) == 0, "no address");
    must(fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0, "no stream");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* its delay would not be of our clock */
    return fd;
}

static int open_stream(void)
{
    return open_stream_from(INADDR_LOOPBACK);
}

static void ask(int fd)
{
    struct operation health = {.opcode = OPCODE_HEALTH, .request_id = 1};
    struct record_writer plain = record_writer_start(NULL, NULL);
    struct message_writer writer;
    uint8_t bytes[512];

    message_begin(&writer, bytes + RECORD_HEADER_BYTES, sizeof bytes - RECORD_HEADER_BYTES);
    CU_ASSERT_EQUAL(message_add_operation(&writer, &health), 0);
    size_t length = message_finish(&writer, &(struct message_header){.version = 1, .count = 1});
    length = record_seal(&plain, bytes + RECORD_HEADER_BYTES, length, bytes);
    CU_ASSERT_EQUAL(send(fd, bytes, length, 0), (ssize_t)length);
}

static void steps(unsigned count)
{
    while (count-- > 0)
        step();
}

/* The end is seen while the node still turns: one that is destroyed says nothing to anybody. */
static void a_draining_node_ends_its_streams_after_the_last_reply(void)
{
    uint8_t byte;

    start_with(1, 0);
    int fd = open_stream();
    ask(fd);
    CU_ASSERT_TRUE(sends_within(fd, 100));
    ask(fd);
    node_drain(node);
    CU_ASSERT_TRUE(sends_within(fd, 100));
    steps(100);
    CU_ASSERT_FALSE(node_drained(node)); /* we have not ended ours */
    CU_ASSERT_EQUAL(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
    close(fd);
    steps(100);
    CU_ASSERT_TRUE(node_drained(node));
    stop();
}

static void a_draining_node_does_not_wait_for_ever(void)
{
    start_with(1, 0);
    int fd = open_stream();
    ask(fd);
    CU_ASSERT_TRUE(sends_within(fd, 100));
    node_drain(node);
    steps((WORKER_DRAIN_NS + WORKER_CLOSE_NS) / STEP_NS + 10);
    CU_ASSERT_TRUE(node_drained(node));
    close(fd);
    stop();
}

enum { HOLDERS = 40, COMERS = 6 };

static void hang_up_if_closed(int *fd)
{
    uint8_t bytes[512];
    ssize_t got = 1;

    while (*fd >= 0 && got > 0)
        got = recv(*fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (*fd < 0 || got < 0)
        return;
    close(*fd);
    *fd = -1;
}

/* Two addresses hold every place there is for sessions; others that come are served, and keep their places. */
static void two_addresses_do_not_keep_others_out(void)
{
    int holder[2 * HOLDERS], comer[COMERS];

    start_with(1, 0);
    for (unsigned i = 0; i < 2 * HOLDERS; i++) {
        holder[i] = open_stream_from(i % 2 == 0 ? 0x7F000102 : 0x7F000202);
        ask(holder[i]);
        steps(2);
    }
    for (unsigned i = 0; i < COMERS; i++) {
        comer[i] = open_stream_from(0x7F000302 + (i << 8));
        ask(comer[i]);
        CU_ASSERT_TRUE(sends_within(comer[i], 100));
        for (unsigned k = 0; k < 2 * HOLDERS; k++)
            hang_up_if_closed(&holder[k]);
        steps(10);
    }
    for (unsigned i = 0; i < COMERS; i++) {
        ask(comer[i]);
        CU_ASSERT_TRUE(sends_within(comer[i], 100));
        close(comer[i]);
    }
    CU_ASSERT_EQUAL(node_counter(node, COUNTER_native_tcp_made_room), COMERS);
    for (unsigned k = 0; k < 2 * HOLDERS; k++)
        if (holder[k] >= 0)
            close(holder[k]);
    steps(100);
    stop();
}

/* What comes until the stream ends; NUL behind it. */
static void read_all(int fd, char *out, size_t room)
{
    size_t length = 0;
    ssize_t got = -1;

    for (unsigned turns = 0; turns < 1000 && got != 0; turns++) {
        workers_turn();
        got = recv(fd, out + length, room - 1 - length, MSG_DONTWAIT);
        length += got > 0 ? (size_t)got : 0;
    }
    CU_ASSERT_EQUAL(got, 0);
    out[length] = 0;
}

static void say_text(int fd, const char *text)
{
    CU_ASSERT_EQUAL(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static const char get[] = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/* One had come in when draining began and had said nothing, the second had asked before, and the third comes then. */
static void a_draining_node_says_so_in_health(void)
{
    char answer[3][2048];
    int fd[3];

    start_with(1, 0);
    fd[0] = open_stream();
    fd[1] = open_stream();
    say_text(fd[1], get);
    CU_ASSERT_TRUE(sends_within(fd[1], 100));
    say_text(fd[1], "GET ");
    steps(10);
    node_drain(node);
    steps(10);
    CU_ASSERT_FALSE(node_drained(node));
    fd[2] = open_stream();
    say_text(fd[0], get);
    say_text(fd[1], get + strlen("GET "));
    say_text(fd[2], get);
    for (unsigned i = 0; i < 3; i++) {
        read_all(fd[i], answer[i], sizeof answer[i]);
        CU_ASSERT_PTR_EQUAL(strstr(answer[i], "HTTP/1.1 503 "), answer[i]);
        CU_ASSERT_PTR_NOT_NULL(strstr(answer[i], "\r\nConnection: close\r\n"));
        CU_ASSERT_PTR_NOT_NULL(strstr(answer[i], "\"why\":\"the node is shutting down\""));
        close(fd[i]);
    }
    steps(100);
    CU_ASSERT_TRUE(node_drained(node));
    stop();
}

static void a_draining_node_does_not_wait_long_for_those_that_say_nothing(void)
{
    uint8_t byte;

    start_with(1, 0);
    int silent = open_stream(), slow = open_stream();
    say_text(slow, "GET /health HTTP/1.1\r\n");
    steps(10);
    node_drain(node);
    steps(WORKER_DRAIN_NS / STEP_NS - 10);
    CU_ASSERT_FALSE(node_drained(node));
    steps(20);
    CU_ASSERT_EQUAL(recv(silent, &byte, 1, MSG_DONTWAIT), -1);
    CU_ASSERT_EQUAL(errno, ECONNRESET);
    CU_ASSERT_EQUAL(recv(slow, &byte, 1, MSG_DONTWAIT), 0);
    steps(WORKER_CLOSE_NS / STEP_NS);
    CU_ASSERT_TRUE(node_drained(node));
    close(silent);
    close(slow);
    stop();
}

/* They come without end: pages, clients, and who says nothing. Each is told, and the node ends when it would have. */
static void who_comes_does_not_keep_a_draining_node(void)
{
    enum { DRAIN_TURNS = WORKER_DRAIN_NS / STEP_NS, EVERY = 8, ROUNDS = (DRAIN_TURNS + EVERY - 1) / EVERY };
    static int fd[3 * ROUNDS];
    unsigned count = 0, answered = 0, turns = 0;

    start_with(1, 0);
    steps(2);
    node_drain(node);
    for (; !node_drained(node) && turns < 10 * DRAIN_TURNS; turns++) {
        uint8_t bytes[16];
        for (unsigned i = 0; i < 3 && turns < DRAIN_TURNS && turns % EVERY == 0; i++) {
            fd[count] = open_stream_from(0x7F000002 + (count % 5 << 8));
            if (i == 0)
                say_text(fd[count], get);
            else if (i == 1)
                ask(fd[count]);
            count++;
        }
        step();
        if (turns >= DRAIN_TURNS || turns % EVERY != EVERY - 1)
            continue;
        answered +=
            recv(fd[count - 3], bytes, 12, MSG_DONTWAIT) == 12 && memcmp(bytes, "HTTP/1.1 503", 12) == 0;
        close(fd[count - 3]); /* the others stay */
        fd[count - 3] = -1;
    }
    CU_ASSERT_TRUE(node_drained(node));
    CU_ASSERT_TRUE(turns >= DRAIN_TURNS);
    CU_ASSERT_TRUE(turns <= DRAIN_TURNS + WORKER_CLOSE_NS / STEP_NS + 10);
    CU_ASSERT_EQUAL(answered, DRAIN_TURNS / EVERY);
    CU_ASSERT_EQUAL(node_counter(node, COUNTER_native_tcp_opened), 0);
    while (count > 0)
        close(fd[--count]);
    stop();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a_node_over_kernel_sockets_passes_the_request_tests",
         a_node_over_kernel_sockets_passes_the_request_tests},
        {"a_sleeping_worker_is_woken_by_the_helper", a_sleeping_worker_is_woken_by_the_helper},
        {"a_draining_node_answers_what_it_received_and_takes_no_one_new",
         a_draining_node_answers_what_it_received_and_takes_no_one_new},
        {"a_draining_node_ends_its_streams_after_the_last_reply",
         a_draining_node_ends_its_streams_after_the_last_reply},
        {"a_draining_node_does_not_wait_for_ever", a_draining_node_does_not_wait_for_ever},
        {"two_addresses_do_not_keep_others_out", two_addresses_do_not_keep_others_out},
        {"a_draining_node_says_so_in_health", a_draining_node_says_so_in_health},
        {"a_draining_node_does_not_wait_long_for_those_that_say_nothing",
         a_draining_node_does_not_wait_long_for_those_that_say_nothing},
        {"who_comes_does_not_keep_a_draining_node", who_comes_does_not_keep_a_draining_node},
        CU_TEST_INFO_NULL,
    };

    if (keys_start() != 0)
        return 1;
    test_eal_start();
    return suite_run("kernel_node", tests);
}
