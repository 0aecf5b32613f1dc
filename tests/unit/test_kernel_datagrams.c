/*
 * test_kernel_datagrams.c - datagrams over kernel sockets, on loopback: in bursts, answered in place, from
 * the address that was asked, by the worker that the flow belongs to; and the port that all that happens on.
 */
#include <sys/wait.h>

#include "kernel_fixture.h"
#include "suite.h"

enum { CLIENTS = 64, BURST = 100 };

static struct fixture fixture;

/* ---- a service: says what is told, to whom, and how ---- */

static struct {
    unsigned bursts, datagrams, largest_burst, workers_seen;
    uint16_t last_length;
    struct return_path last_path;
    struct instant last_now;
    bool silent;
    unsigned worker_of_port[65536]; /* the peer's port -> 1 + worker */
    bool moved;                     /* a flow came to two workers */
    const char *deferred;
    struct udp_transmit transmit;
    bool transmitted;
} service;

static void burst(void *state, struct udp_datagram *datagrams, unsigned count, struct instant now)
{
    unsigned worker = 1 + (unsigned)(uintptr_t)state;
    service.bursts++;
    service.datagrams += count;
    service.largest_burst = count > service.largest_burst ? count : service.largest_burst;
    service.last_now = now;
    for (unsigned i = 0; i < count; i++) {
        struct udp_datagram *datagram = &datagrams[i];
        unsigned *at = &service.worker_of_port[ntohs(datagram->path.flow.peer_port)];
        service.moved |= *at != 0 && *at != worker;
        *at = worker;
        service.last_length = datagram->length;
        service.last_path = datagram->path;
        if (service.silent)
            datagram->length = 0;
        else if (datagram->length > 0)
            datagram->payload[0] ^= 0xFF;
        if (service.deferred != NULL)
            service.transmitted =
                service.transmit.send(service.transmit.state, &datagram->path,
                                      (const uint8_t *)service.deferred, (uint16_t)strlen(service.deferred));
    }
}

static void turn(void *state, struct instant now)
{
    (void)state, (void)now;
}

static void start(const struct fixture_options *options)
{
    fixture_start(&fixture, options);
    memset(&service, 0, sizeof(service));
    for (unsigned i = 0; i < fixture.workers; i++)
        kernel_worker_set_service(
            fixture.worker[i],
            (struct udp_service){.state = (void *)(uintptr_t)i, .burst = burst, .turn = turn});
    service.transmit = kernel_worker_transmit(fixture.worker[0]);
}

/* A socket that talks to the node at this address; its answers come only from there. */
static int client_to(uint32_t ip4)
{
    struct sockaddr_in to = fixture_address(&fixture, ip4);
    int fd = peer_socket(SOCK_DGRAM | SOCK_NONBLOCK);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static ssize_t answer(int fd, uint8_t *bytes, size_t room)
{
    ssize_t got = -1;
    for (unsigned turns = 0; turns < 200 && got < 0; turns++) {
        fixture_turn(&fixture);
        got = recv(fd, bytes, room, 0);
    }
    return got;
}

static void send_text(int fd, const char *text)
{
    CU_ASSERT_EQUAL(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* ---- tests ---- */

static void a_datagram_is_answered_in_place_from_the_address_that_was_asked(void)
{
    static const uint32_t asked[] = {0x7F000001, 0x7F000002, 0x7F0A0B0C};
    start(&(struct fixture_options){.any_address = true});
    for (unsigned i = 0; i < 3; i++) {
        uint8_t bytes[64];
        struct sockaddr_in own;
        socklen_t length = sizeof(own);
        int fd = client_to(asked[i]);
        send_text(fd, "hello");
        CU_ASSERT_EQUAL_FATAL(answer(fd, bytes, sizeof(bytes)), 5);
        CU_ASSERT_EQUAL(memcmp(bytes,
                               "\x97"
                               "ello",
                               5),
                        0);
        CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&own, &length), 0);
        const struct flow *flow = &service.last_path.flow;
        CU_ASSERT_EQUAL(address_ip4(&flow->local), htonl(asked[i]));
        CU_ASSERT_EQUAL(address_ip4(&flow->peer), own.sin_addr.s_addr);
        CU_ASSERT_EQUAL(flow->peer_port, own.sin_port);
        CU_ASSERT_EQUAL(flow->local_port, htons(fixture.port.port));
        CU_ASSERT_EQUAL(service.last_path.vlan_tci, VLAN_NONE);
        CU_ASSERT_EQUAL(memcmp(service.last_path.peer_mac, "\0\0\0\0\0\0", 6), 0);
        CU_ASSERT_EQUAL(service.last_now.mono_ns, fixture.now.mono_ns);
        close(fd);
    }
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_udp_datagrams), 3);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_udp_replies), 3);
    fixture_stop(&fixture);
}

static void a_burst_is_taken_whole_and_every_datagram_gets_its_own_answer(void)
{
    uint8_t bytes[2][1472], came[2048];
    unsigned seen[BURST] = {0};
    start(&(struct fixture_options){0});
    int fd = client_to(INADDR_LOOPBACK);
    for (unsigned i = 0; i < BURST; i++) {
        size_t length = 8 + i * 3;
        pattern_fill(bytes[0], i, length);
        bytes[0][4] = (uint8_t)i;
        CU_ASSERT_EQUAL(send(fd, bytes[0], length, 0), (ssize_t)length);
    }
    for (unsigned i = 0; i < BURST; i++) {
        ssize_t got = answer(fd, came, sizeof(came));
        CU_ASSERT_FATAL(got >= 8);
        unsigned which = came[4];
        pattern_fill(bytes[1], which, (size_t)got);
        bytes[1][4] = (uint8_t)which;
        bytes[1][0] ^= 0xFF;
        CU_ASSERT_EQUAL((size_t)got, 8 + which * 3);
        CU_ASSERT_EQUAL(memcmp(came, bytes[1], (size_t)got), 0);
        seen[which]++;
    }
    for (unsigned i = 0; i < BURST; i++)
        CU_ASSERT_EQUAL(seen[i], 1);
    CU_ASSERT_EQUAL(service.largest_burst, 64);
    close(fd);
    fixture_stop(&fixture);
}

static void what_the_service_does_not_answer_is_met_with_silence(void)
{
    uint8_t byte;
    start(&(struct fixture_options){0});
    int fd = client_to(INADDR_LOOPBACK);
    service.silent = true;
    send_text(fd, "x");
    CU_ASSERT_EQUAL(send(fd, "", 0, 0), 0); /* an empty one too */
    FIXTURE_UNTIL(&fixture, service.datagrams == 2);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(recv(fd, &byte, 1, 0), -1);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_udp_unanswered), 2);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_udp_replies), 0);
    close(fd);
    fixture_stop(&fixture);
}

static void without_a_service_nothing_is_answered(void)
{
    uint8_t byte;
    fixture_start(&fixture, &(struct fixture_options){.datagrams_only = true});
    CU_ASSERT_EQUAL(fixture.port.sockets[0].listener, -1);
    int fd = client_to(INADDR_LOOPBACK);
    send_text(fd, "x");
    FIXTURE_UNTIL(&fixture, fixture_counter(&fixture, COUNTER_udp_unanswered) == 1);
    CU_ASSERT_EQUAL(recv(fd, &byte, 1, 0), -1);
    close(fd);
    fixture_stop(&fixture);
}

static void what_is_longer_than_any_datagram_of_ours_is_dropped_and_counted(void)
{
    static uint8_t bytes[9000], came[2048];
    start(&(struct fixture_options){0});
    int fd = client_to(INADDR_LOOPBACK);
    CU_ASSERT_EQUAL(send(fd, bytes, 2049, 0), 2049);
    CU_ASSERT_EQUAL(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    CU_ASSERT_EQUAL(send(fd, bytes, 1472, 0), 1472);
    CU_ASSERT_EQUAL(answer(fd, came, sizeof(came)), 1472);
    CU_ASSERT_EQUAL(service.datagrams, 1);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_datagram_truncated), 2);
    close(fd);
    fixture_stop(&fixture);
}

static void an_answer_may_be_sent_later_and_from_the_same_address(void)
{
    uint8_t bytes[64];
    start(&(struct fixture_options){.any_address = true});
    int fd = client_to(0x7F000003);
    service.silent = true;
    service.deferred = "later";
    send_text(fd, "now");
    CU_ASSERT_EQUAL_FATAL(answer(fd, bytes, sizeof(bytes)), 5);
    CU_ASSERT_EQUAL(memcmp(bytes, "later", 5), 0);
    CU_ASSERT_TRUE(service.transmitted);
    /* nobody can be reached at port 0, and trying again would not help */
    struct return_path nowhere = service.last_path;
    nowhere.flow.peer_port = 0;
    CU_ASSERT_TRUE(service.transmit.send(service.transmit.state, &nowhere, bytes, 5));
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_reply_failed), 1);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_udp_replies), 1);
    close(fd);
    fixture_stop(&fixture);
}

static void a_broadcast_is_dropped_and_counted(void)
{
    struct sockaddr_in everyone;
    int fd = peer_socket(SOCK_DGRAM), one = 1;
    start(&(struct fixture_options){.any_address = true});
    everyone = fixture_address(&fixture, 0x7FFFFFFF);
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)), 0);
    CU_ASSERT_EQUAL(sendto(fd, "x", 1, 0, (const struct sockaddr *)&everyone, sizeof(everyone)), 1);
    FIXTURE_UNTIL(&fixture, fixture_counter(&fixture, COUNTER_ip4_broadcast) == 1);
    CU_ASSERT_EQUAL(service.datagrams, 0);
    close(fd);
    fixture_stop(&fixture);
}

static void what_the_kernel_had_no_room_for_is_counted(void)
{
    static uint8_t bytes[1400];
    uint64_t lost;
    int room = 16 * 1024;
    start(&(struct fixture_options){0});
    service.silent = true;
    CU_ASSERT_EQUAL(setsockopt(fixture.port.sockets[0].datagrams, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)),
                    0);
    int fd = client_to(INADDR_LOOPBACK);
    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    fixture_settle(&fixture);
    send_text(fd, "the next one says how many were lost");
    FIXTURE_UNTIL(&fixture, service.last_length < 100);
    lost = fixture_counter(&fixture, COUNTER_kernel_datagram_overflow);
    CU_ASSERT_TRUE(lost > 0);
    CU_ASSERT_EQUAL(lost + service.datagrams, 101);
    close(fd);
    fixture_stop(&fixture);
}

static void flows_are_spread_over_workers_and_stay_with_theirs(void)
{
    int fd[CLIENTS];
    bool seen[FIXTURE_WORKERS_MAX] = {false};
    unsigned used = 0;
    start(&(struct fixture_options){.workers = FIXTURE_WORKERS_MAX});
    for (unsigned i = 0; i < CLIENTS; i++)
        fd[i] = client_to(INADDR_LOOPBACK);
    for (unsigned round = 0; round < 5; round++) {
        uint8_t bytes[8];
        for (unsigned i = 0; i < CLIENTS; i++)
            send_text(fd[i], "spread");
        for (unsigned i = 0; i < CLIENTS; i++)
            CU_ASSERT_EQUAL(answer(fd[i], bytes, sizeof(bytes)), 6);
    }
    CU_ASSERT_FALSE(service.moved);
    for (unsigned port = 0; port < 65536; port++)
        if (service.worker_of_port[port] != 0)
            seen[service.worker_of_port[port] - 1] = true;
    for (unsigned i = 0; i < FIXTURE_WORKERS_MAX; i++)
        used += seen[i];
    CU_ASSERT_EQUAL(used, FIXTURE_WORKERS_MAX); /* all but certain: 4 * (3/4)^64 */
    for (unsigned i = 0; i < CLIENTS; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

/* ---- the port ---- */

static bool refused(const struct kernel_port_config *config, const char *says)
{
    struct kernel_port port;
    char error[256] = "";
    if (kernel_port_open(&port, config, error, sizeof(error)) == 0) {
        kernel_port_close(&port);
        return false;
    }
    if (strstr(error, says) == NULL || strchr(error, '\n') != NULL)
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", error, says);
    return strstr(error, says) != NULL;
}

static void a_port_that_another_node_uses_is_refused(void)
{
    for (unsigned workers = 1; workers <= 3; workers++)
        for (unsigned streams = 0; streams < 2; streams++) {
            fixture_start(&fixture,
                          &(struct fixture_options){.workers = workers, .datagrams_only = !streams});
            for (unsigned others = 1; others <= 3; others++) {
                struct kernel_port_config config = {.address = fixture.port.address,
                                                    .port = fixture.port.port,
                                                    .workers = others,
                                                    .streams = streams};
                CU_ASSERT_TRUE(refused(&config, "is in use"));
                config.address = address_from_ip4(0);
                CU_ASSERT_TRUE(refused(&config, "is in use"));
            }
            fixture_stop(&fixture);
        }
}

static void a_port_is_free_again_at_once_though_connections_linger(void)
{
    struct kernel_port port;
    char error[256];
    struct record *record;
    fixture_start(&fixture, &(struct fixture_options){.workers = 2});
    struct kernel_port_config config = {
        .address = fixture.port.address, .port = fixture.port.port, .workers = 2, .streams = true};
    int fd = peer_open(&fixture, &record);
    stream_close(record->stream); /* TIME-WAIT will be on our side */
    peer_expect_end(&fixture, fd, 1);
    close(fd);
    FIXTURE_UNTIL(&fixture, record->closed);
    fixture_stop(&fixture);
    CU_ASSERT_EQUAL(kernel_port_open(&port, &config, error, sizeof(error)), 0);
    kernel_port_close(&port);
}

static void an_address_of_another_machine_is_refused(void)
{
    struct kernel_port_config config = {
        .address = address_from_ip4(htonl(0xC6120A0B)), .workers = 1, .streams = true};
    CU_ASSERT_TRUE(refused(&config, "198.18.10.11 is no address of this machine"));
}

/* The lowest port that anyone may use; 1 and below: all. */
static unsigned unprivileged_port_start(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    unsigned start_at = 1024;
    if (file != NULL) {
        CU_ASSERT_EQUAL(fscanf(file, "%u", &start_at), 1);
        fclose(file);
    }
    return start_at;
}

static void a_privileged_port_is_refused_to_ordinary_users(void)
{
    unsigned first = unprivileged_port_start();
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        struct kernel_port_config config = {.address = address_from_ip4(htonl(INADDR_LOOPBACK)),
                                            .port = (uint16_t)(first - 1),
                                            .workers = 1,
                                            .streams = true};
        bool dropped = geteuid() != 0 || setuid(65534) == 0;
        _exit(dropped && (first <= 1 || refused(&config, "needs root or CAP_NET_BIND_SERVICE")) ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a_datagram_is_answered_in_place_from_the_address_that_was_asked",
         a_datagram_is_answered_in_place_from_the_address_that_was_asked},
        {"a_burst_is_taken_whole_and_every_datagram_gets_its_own_answer",
         a_burst_is_taken_whole_and_every_datagram_gets_its_own_answer},
        {"what_the_service_does_not_answer_is_met_with_silence",
         what_the_service_does_not_answer_is_met_with_silence},
        {"without_a_service_nothing_is_answered", without_a_service_nothing_is_answered},
        {"what_is_longer_than_any_datagram_of_ours_is_dropped_and_counted",
         what_is_longer_than_any_datagram_of_ours_is_dropped_and_counted},
        {"an_answer_may_be_sent_later_and_from_the_same_address",
         an_answer_may_be_sent_later_and_from_the_same_address},
        {"a_broadcast_is_dropped_and_counted", a_broadcast_is_dropped_and_counted},
        {"what_the_kernel_had_no_room_for_is_counted", what_the_kernel_had_no_room_for_is_counted},
        {"flows_are_spread_over_workers_and_stay_with_theirs",
         flows_are_spread_over_workers_and_stay_with_theirs},
        {"a_port_that_another_node_uses_is_refused", a_port_that_another_node_uses_is_refused},
        {"a_port_is_free_again_at_once_though_connections_linger",
         a_port_is_free_again_at_once_though_connections_linger},
        {"an_address_of_another_machine_is_refused", an_address_of_another_machine_is_refused},
        {"a_privileged_port_is_refused_to_ordinary_users", a_privileged_port_is_refused_to_ordinary_users},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("kernel_datagrams", tests);
}
