/*
 * test_client_server_tcp.c - libwild over TCP against the real native service, over the kernel's sockets on
 * loopback: a thread turns the worker and the service; a test changes them (restart) under the lock.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "../unit/native_tcp_peer.h"
#include "../unit/test_eal.h"
#include "client_server.h"
#include "kernel/kernel_worker.h"

enum { CONNECTIONS = 64, BLOCKS = 1024 };

struct server {
    pthread_t thread;
    pthread_mutex_t lock;
    bool stop, bench;
    char endpoint[32];
    struct kernel_port port;
    struct counters counters;
    struct kernel_worker *worker;
    struct tcp_node *node;
};

static const char *program; /* argv[1]: wild-client-example; set once, before the tests */

/* ---- the server's thread ---- */

static void no_datagrams(void *state, struct udp_datagram *datagrams, unsigned count, struct instant now)
{
    (void)state, (void)datagrams, (void)count, (void)now;
}

static void service_turn(void *state, struct instant now)
{
    struct server *server = state;
    while (handshake_helper_step(server->node->shared.helper))
        ;
    native_tcp_turn(server->node->service, now);
    tcp_discard_log(server->node);
}

static void read_clock(struct server *server)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    server->node->shared.now.mono_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *run(void *argument)
{
    struct server *server = argument;
    for (bool stop = false; !stop;) {
        pthread_mutex_lock(&server->lock);
        kernel_wait(server->worker, 1);
        read_clock(server);
        kernel_turn(server->worker, server->node->shared.now);
        stop = server->stop;
        pthread_mutex_unlock(&server->lock);
        nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL); /* whoever waits for the lock gets it */
    }
    return NULL;
}

/* ---- the tests' side ---- */

static void service_start(struct server *server)
{
    server->node =
        tcp_node_start(&(struct tcp_node_options){.connections = CONNECTIONS, .bench = server->bench});
    if (server->bench)
        keys_insecure(&server->node->shared.keys[0]);
    read_clock(server);
    struct kernel_worker_config config = {
        .sockets = server->port.sockets[0],
        .acceptor = native_tcp_acceptor(server->node->service),
        .streams_max = CONNECTIONS,
        .blocks_max = BLOCKS,
        .send_bytes_max = 128 * 1024,
        .random = &server->node->shared.random,
        .counters = &server->counters,
        .numa_node = -1,
    };
    server->worker = kernel_worker_create(&config, server->node->shared.now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(server->worker);
    kernel_worker_set_service(server->worker, (struct udp_service){server, no_datagrams, service_turn});
}

static void service_stop(struct server *server)
{
    kernel_worker_destroy(server->worker);
    tcp_node_stop(server->node);
}

static struct server *server_start(bool bench)
{
    char error[256];
    struct server *server = aligned_alloc(64, (sizeof(*server) + 63) / 64 * 64);
    memset(server, 0, sizeof(*server));
    server->bench = bench;
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = 1, .streams = true};
    CU_ASSERT_EQUAL_FATAL(kernel_port_open(&server->port, &port, error, sizeof(error)), 0);
    snprintf(server->endpoint, sizeof(server->endpoint), "127.0.0.1:%u", server->port.port);
    service_start(server);
    pthread_mutex_init(&server->lock, NULL);
    CU_ASSERT_FATAL(pthread_create(&server->thread, NULL, run, server) == 0);
    return server;
}

static void server_restart(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    service_stop(server);
    service_start(server);
    pthread_mutex_unlock(&server->lock);
}

static void server_stop(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stop = true;
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->thread, NULL);
    service_stop(server);
    kernel_port_close(&server->port);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

static struct wild_client *connect_to(const struct server *server)
{
    return connect_with((struct wild_options){.endpoint = server->endpoint,
                                              .secret = server->bench ? NULL : NATIVE_PEER_SECRET,
                                              .insecure_no_auth = server->bench});
}

/* ---- tests ---- */

/* Also against a node in bench mode: the same handshake, with the published keys. */
static void test_every_operation_works(void)
{
    for (int bench = 0; bench < 2; bench++) {
        struct server *server = server_start(bench);
        struct wild_client *client = connect_to(server);
        expect_every_operation(client);
        wild_close(client);
        server_stop(server);
    }
}

/* Key i holds bytes of the value round + i. */
static void submit_large(struct wild_client *client, bool get, unsigned round, uint64_t i)
{
    uint8_t value[WILD_VALUE_MAX], key = (uint8_t)i;
    memset(value, (int)(round + i), sizeof(value));
    struct wild_request request = {.operation = get ? WILD_OP_GET : WILD_OP_SET,
                                   .key = &key,
                                   .key_length = 1,
                                   .value = value,
                                   .value_length = get ? 0 : sizeof(value),
                                   .tag = i};
    CU_ASSERT_EQUAL(wild_submit(client, &request), WILD_OK);
}

/* Takes what has come; those that were BUSY (the log is full) are submitted again. How many are done. */
static unsigned take_large(struct wild_client *client, bool get, unsigned round)
{
    struct wild_result results[WILD_PIPELINE_MAX];
    uint8_t value[WILD_VALUE_MAX];
    size_t got = wild_poll(client, results, WILD_PIPELINE_MAX, 30000);
    unsigned done = 0, wrong = got == 0;
    for (size_t i = 0; i < got; i++) {
        memset(value, (int)(round + results[i].tag), sizeof(value));
        done += results[i].status != WILD_BUSY;
        if (get && results[i].status == WILD_OK)
            wrong += results[i].value_length != sizeof(value) ||
                     memcmp(results[i].value, value, sizeof(value)) != 0;
        wrong += results[i].status != WILD_OK && results[i].status != WILD_BUSY;
    }
    CU_ASSERT_EQUAL_FATAL(wrong, 0);
    for (size_t i = 0; i < got; i++)
        if (results[i].status == WILD_BUSY)
            submit_large(client, get, round, results[i].tag);
    return done;
}

/* Batches larger than a record, and answers larger than what a connection may leave unread. */
static void test_full_pipelines_of_large_values_come_back_whole(void)
{
    struct server *server = server_start(false);
    struct wild_client *client = connect_to(server);
    for (unsigned round = 0; round < 20; round++) {
        wild_batch_begin(client);
        for (unsigned i = 0; i < WILD_PIPELINE_MAX; i++)
            submit_large(client, round % 2, round / 2, i);
        wild_batch_end(client);
        for (unsigned done = 0; done < WILD_PIPELINE_MAX;)
            done += take_large(client, round % 2, round / 2);
    }
    struct wild_statistics statistics;
    wild_statistics(client, &statistics);
    CU_ASSERT_EQUAL(statistics.reconnects, 0);
    wild_close(client);
    server_stop(server);
}

static void test_a_thousand_clients_come_and_go(void)
{
    struct server *server = server_start(false);
    struct wild_client *first = connect_to(server);
    expect_a_thousand_clients(first);
    wild_close(first);
    server_stop(server);
}

/* Every INCR that was acknowledged happened, none twice; those of unknown fate may have, on the node they
 * were sent to: so the count is taken before each restart, which loses it. */
static void test_restarts_are_survived(void)
{
    struct server *server = server_start(false);
    struct wild_client *client = connect_to(server);
    struct wild_result results[WILD_PIPELINE_MAX], result;
    struct wild_statistics statistics;
    for (unsigned round = 0; round < 20; round++) {
        unsigned ok = 0, finished = 0;
        struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
        server_restart(server);
        CU_ASSERT_EQUAL(wild_set(client, "s", 1, "v", 1, NULL, NULL), WILD_OK);
        for (unsigned i = 0; i < 64; i++)
            CU_ASSERT_EQUAL(wild_submit(client, &incr), WILD_OK);
        if (round % 2)
            server_restart(server); /* somewhere amid these */
        int64_t highest = 0;
        while (wild_in_flight(client) > 0) {
            size_t n = wild_poll(client, results, WILD_PIPELINE_MAX, 30000);
            for (size_t i = 0; i < n; i++, finished++) {
                CU_ASSERT(results[i].status == WILD_OK || results[i].status == WILD_UNKNOWN);
                ok += results[i].status == WILD_OK;
                if (results[i].status == WILD_OK && results[i].integer > highest)
                    highest = results[i].integer;
            }
        }
        CU_ASSERT_EQUAL(finished, 64);
        /* All may have been answered before the restart: what finds that out must be safe to send again. */
        CU_ASSERT_EQUAL(wild_set(client, "s", 1, "v", 1, NULL, NULL), WILD_OK);
        CU_ASSERT_EQUAL(wild_incr(client, "n", 1, 0, 0, NULL, &result), WILD_OK);
        CU_ASSERT(round % 2 ? result.integer <= 64 : result.integer == 64 && ok == 64);
        CU_ASSERT(highest <= 64);
    }
    wild_statistics(client, &statistics);
    CU_ASSERT(statistics.reconnects >= 20);
    wild_close(client);
    server_stop(server);
}

static void test_a_wrong_secret_ends_in_one_line(void)
{
    struct server *server = server_start(false);
    char error[WILD_ERROR_BYTES];
    struct wild_options options = {.endpoint = server->endpoint, .secret = NATIVE_PEER_SECRET2};
    CU_ASSERT_PTR_NULL(wild_connect(&options, error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "ended the handshake: the secret or cluster name differs"));
    server_stop(server);
}

static void test_the_load_test_finds_no_fault(void)
{
    static const char *const variants[] = {
        "--connections 4 --keys 500 --pipeline 16 --value-size 200",
        "--connections 40 --keys 2000 --pipeline 1",
        "--connections 2 --keys 150 --pipeline 128 --value-size 1024",
    };
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        struct server *server = server_start(false);
        expect_load_test(program, "tcp", server->endpoint, variants[i]);
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
        {"full pipelines of large values come back whole",
         test_full_pipelines_of_large_values_come_back_whole},
        {"a thousand clients come and go", test_a_thousand_clients_come_and_go},
        {"restarts are survived", test_restarts_are_survived},
        {"a wrong secret ends in one line", test_a_wrong_secret_ends_in_one_line},
        {"the load test finds no fault", test_the_load_test_finds_no_fault},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("client_server_tcp", tests);
}
