/*
 * test_client_server.c - libwild against the real native service, over loopback: a thread carries datagrams
 * between a kernel socket and the service's face, and loses, repeats and delays them when told to.
 *
 * The thread owns the service; a test changes it (restart, bad link) under the lock.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client_server.h"

enum { HELD_MAX = 32, BURST_MAX = 32 };

struct held {
    struct sockaddr_in to;
    size_t length;
    uint8_t bytes[NATIVE_ROOM];
};

struct server {
    pthread_t thread;
    pthread_mutex_t lock;
    int fd;
    bool stop;
    char endpoint[32];
    struct native_shared shared;
    struct native_node node;
    struct native_options options;
    /* the link, per cent of datagrams each way */
    unsigned loss, duplicates, late;
    uint64_t random;
    struct held held[HELD_MAX]; /* late answers */
    unsigned held_count;
};

static const char *program; /* argv[1]: wild-client-example; set once, before the tests */

/* ---- the server's thread ---- */

static bool happens(struct server *server, unsigned per_cent)
{
    return per_cent > 0 && seeded_next(&server->random) % 100 < per_cent;
}

static void transmit(struct server *server, const struct sockaddr_in *to, const uint8_t *bytes, size_t length)
{
    sendto(server->fd, bytes, length, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void send_over_link(struct server *server, const struct sockaddr_in *to, const uint8_t *bytes,
                           size_t length)
{
    if (happens(server, server->loss))
        return;
    if (happens(server, server->late) && server->held_count < HELD_MAX) {
        struct held *held = &server->held[server->held_count++];
        held->to = *to;
        held->length = length;
        memcpy(held->bytes, bytes, length);
        return;
    }
    transmit(server, to, bytes, length);
    if (happens(server, server->duplicates))
        transmit(server, to, bytes, length);
}

static void release_held(struct server *server)
{
    while (server->held_count > 0 && happens(server, 30)) {
        struct held *held = &server->held[--server->held_count];
        transmit(server, &held->to, held->bytes, held->length);
    }
}

static struct sockaddr_in peer_address(const struct return_path *path)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = address_ip4(&path->flow.peer),
                                .sin_port = path->flow.peer_port};
}

static void receive_burst(struct server *server)
{
    static _Thread_local uint8_t rooms[BURST_MAX][NATIVE_ROOM];
    struct udp_datagram datagrams[BURST_MAX];
    unsigned count = 0;
    while (count + 1 < BURST_MAX) {
        struct sockaddr_in from;
        socklen_t bytes = sizeof(from);
        ssize_t n =
            recvfrom(server->fd, rooms[count], NATIVE_ROOM, MSG_DONTWAIT, (struct sockaddr *)&from, &bytes);
        if (n < 0)
            break;
        if (happens(server, server->loss))
            continue;
        datagrams[count] = (struct udp_datagram){
            .payload = rooms[count],
            .length = (uint16_t)n,
            .room = NATIVE_ROOM,
            .path = native_path(from.sin_addr.s_addr, ntohs(from.sin_port)),
        };
        count++;
        if (happens(server, server->duplicates)) {
            memcpy(rooms[count], rooms[count - 1], (size_t)n);
            datagrams[count] = datagrams[count - 1];
            datagrams[count].payload = rooms[count];
            count++;
        }
    }
    struct native_node *node = &server->node;
    if (count > 0)
        node->face.burst(node->face.state, datagrams, count, server->shared.now);
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in to = peer_address(&datagrams[i].path);
        if (datagrams[i].length > 0)
            send_over_link(server, &to, datagrams[i].payload, datagrams[i].length);
    }
}

static void *run(void *argument)
{
    struct server *server = argument;
    for (bool stop = false; !stop;) {
        struct pollfd descriptor = {.fd = server->fd, .events = POLLIN};
        poll(&descriptor, 1, 1);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        pthread_mutex_lock(&server->lock);
        server->shared.now.mono_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
        receive_burst(server);
        native_turn(&server->node);
        for (unsigned i = 0; i < server->node.sent; i++) {
            struct sockaddr_in to = peer_address(&server->node.outbox[i].path);
            send_over_link(server, &to, server->node.outbox[i].bytes, server->node.outbox[i].length);
        }
        server->node.sent = 0;
        release_held(server);
        stop = server->stop;
        pthread_mutex_unlock(&server->lock);
    }
    return NULL;
}

/* ---- the tests' side ---- */

static struct server *server_start(uint64_t seed)
{
    struct server *server = aligned_alloc(64, (sizeof(*server) + 63) / 64 * 64);
    memset(server, 0, sizeof(*server));
    server->options = (struct native_options){.capacity = 8192, .seed = seed, .sessions_max = 32};
    server->random = seeded_start(seed);
    native_start(&server->shared, &server->node, &server->options);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(any);
    int room = 1 << 20;
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(server->fd >= 0);
    setsockopt(server->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    CU_ASSERT_FATAL(bind(server->fd, (struct sockaddr *)&any, bytes) == 0 &&
                    getsockname(server->fd, (struct sockaddr *)&any, &bytes) == 0);
    snprintf(server->endpoint, sizeof(server->endpoint), "127.0.0.1:%u", ntohs(any.sin_port));
    pthread_mutex_init(&server->lock, NULL);
    CU_ASSERT_FATAL(pthread_create(&server->thread, NULL, run, server) == 0);
    return server;
}

static void server_link(struct server *server, unsigned loss, unsigned duplicates, unsigned late)
{
    pthread_mutex_lock(&server->lock);
    server->loss = loss;
    server->duplicates = duplicates;
    server->late = late;
    pthread_mutex_unlock(&server->lock);
}

static void server_restart(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    native_stop(&server->shared, &server->node, 1);
    server->options.seed++;
    native_start(&server->shared, &server->node, &server->options);
    pthread_mutex_unlock(&server->lock);
}

static uint64_t server_count(struct server *server, enum counter which)
{
    pthread_mutex_lock(&server->lock);
    uint64_t value = native_counter(&server->node, which);
    pthread_mutex_unlock(&server->lock);
    return value;
}

static void server_stop(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stop = true;
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->thread, NULL);
    native_stop(&server->shared, &server->node, 1);
    pthread_mutex_destroy(&server->lock);
    close(server->fd);
    free(server);
}

static struct wild_client *connect_to(const struct server *server, bool sealed)
{
    return connect_with((struct wild_options){.endpoint = server->endpoint,
                                              .secret = NATIVE_PEER_SECRET,
                                              .sealed = sealed,
                                              .transport = WILD_TRANSPORT_UDP});
}

/* ---- tests ---- */

static void test_every_operation_works(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct server *server = server_start(1);
        struct wild_client *client = connect_to(server, sealed);
        expect_every_operation(client);
        wild_close(client);
        server_stop(server);
    }
}

/*
 * The counter says how often INCRs were executed: once for each that was answered, at most once for each
 * whose outcome is unknown. There are none of the latter unless the machine let the server wait so long that
 * the client gave its session up, which the test counts but does not judge.
 */
static void test_writes_happen_once_over_a_bad_link(void)
{
    enum { WRITES = 3000 };
    for (int sealed = 0; sealed < 2; sealed++) {
        struct server *server = server_start(7);
        struct wild_client *client = connect_to(server, sealed);
        struct wild_result results[WILD_PIPELINE_MAX], result;
        struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
        unsigned submitted = 0, answered = 0, unknown = 0;
        server_link(server, 10, 5, 5);
        while (answered < WRITES) {
            wild_batch_begin(client);
            while (submitted < WRITES && submitted - answered < 64 && wild_submit(client, &incr) == WILD_OK)
                submitted++;
            wild_batch_end(client);
            size_t n = wild_poll(client, results, WILD_PIPELINE_MAX, 1000);
            for (size_t i = 0; i < n; i++, answered++) {
                CU_ASSERT(results[i].status == WILD_OK || results[i].status == WILD_UNKNOWN);
                unknown += results[i].status == WILD_UNKNOWN;
            }
        }
        server_link(server, 0, 0, 0);
        CU_ASSERT_EQUAL(wild_incr(client, "n", 1, 0, 0, NULL, &result), WILD_OK);
        CU_ASSERT(result.integer <= WRITES && result.integer >= (int64_t)(WRITES - unknown));
        struct wild_statistics statistics;
        wild_statistics(client, &statistics);
        CU_ASSERT(statistics.retransmissions > 0);
        CU_ASSERT(unknown == 0 || statistics.reconnects > 0);
        printf("%u unknown outcomes, %u new sessions\n", unknown, (unsigned)statistics.reconnects);
        CU_ASSERT(server_count(server, COUNTER_native_drop_replayed) > 0);
        wild_close(client);
        server_stop(server);
    }
}

static void test_sessions_are_made_over_a_bad_link(void)
{
    struct server *server = server_start(11);
    server_link(server, 30, 20, 10);
    for (int i = 0; i < 20; i++) {
        struct wild_client *client = connect_to(server, i % 2);
        CU_ASSERT_EQUAL(wild_set(client, "k", 1, "v", 1, NULL, NULL), WILD_OK);
        wild_close(client);
    }
    server_stop(server);
}

static void test_a_thousand_clients_come_and_go(void)
{
    struct server *server = server_start(3);
    struct wild_client *first = connect_to(server, false);
    expect_a_thousand_clients(first);
    wild_close(first);
    server_stop(server);
}

static void test_a_restart_is_survived(void)
{
    struct server *server = server_start(5);
    struct wild_client *client = connect_to(server, false);
    struct wild_result result;
    CU_ASSERT_EQUAL(wild_set(client, "k", 1, "v", 1, NULL, NULL), WILD_OK);
    server_restart(server);
    CU_ASSERT_EQUAL(wild_incr(client, "n", 1, 1, 0, NULL, &result),
                    WILD_UNKNOWN); /* sent on the old session */
    CU_ASSERT_EQUAL(wild_incr(client, "n", 1, 1, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, 1);
    server_restart(server);
    CU_ASSERT_EQUAL(wild_set(client, "k", 1, "w", 1, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_get(client, "k", 1, &result), WILD_OK);
    wild_close(client);
    server_stop(server);
}

static void test_a_wrong_secret_meets_silence(void)
{
    struct server *server = server_start(6);
    char error[WILD_ERROR_BYTES];
    struct wild_options options = {.endpoint = server->endpoint,
                                   .secret = NATIVE_PEER_SECRET2,
                                   .connect_timeout_ms = 200,
                                   .transport = WILD_TRANSPORT_UDP};
    CU_ASSERT_PTR_NULL(wild_connect(&options, error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "the secret or cluster name differs"));
    CU_ASSERT(server_count(server, COUNTER_native_init_refused) > 0);
    server_stop(server);
}

static void test_the_load_test_finds_no_fault(void)
{
    static const char *const variants[] = {
        "--connections 4 --keys 1000 --pipeline 16 --value-size 200",
        "--connections 4 --keys 1000 --sealed --pipeline 1",
        "--connections 4 --keys 300 --pipeline 128 --value-size 1024",
    };
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        struct server *server = server_start(20 + i);
        server_link(server, i == 0 ? 2 : 0, 1, 1);
        expect_load_test(program, "udp", server->endpoint, variants[i]);
        server_stop(server);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    program = argv[1];
    CU_TestInfo tests[] = {
        {"every operation works", test_every_operation_works},
        {"writes happen once over a bad link", test_writes_happen_once_over_a_bad_link},
        {"sessions are made over a bad link", test_sessions_are_made_over_a_bad_link},
        {"a thousand clients come and go", test_a_thousand_clients_come_and_go},
        {"a restart is survived", test_a_restart_is_survived},
        {"a wrong secret meets silence", test_a_wrong_secret_meets_silence},
        {"the load test finds no fault", test_the_load_test_finds_no_fault},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_server", tests);
}
