/*
 * tcp_station.c - the worker and its TCP on a packet socket, with small services instead of a table: what
 * Linux's TCP is tested against.
 *
 *   tcp_station INTERFACE ADDRESS/PREFIX [SEED]
 *
 * prints "ready", then obeys lines on stdin:
 *   connect ADDRESS PORT MAC SERVICE [COUNT]   opens; a service of tcp_services.h, COUNT bytes to send
 *   counts                                     prints "counts NAME=N ..." of connections, frames, counters
 * and tells how sessions end ("session SERVICE END received N sent N good|bad"). It ends at the end of stdin,
 * on SIGTERM, or after STATION_LIFE_S: prints counts, gives everything back, and ends with 1 if something is
 * missing.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#include "port.h"
#include "tcp/tcp.h"
#include "worker.h"

#include "tcp_services.h"

enum {
    STATION_LIFE_S = 900,
    CONNECTIONS_MAX = 16384,
    HALF_OPEN_MAX = 512,
    TIME_WAIT_MAX = 4096,
    SEND_FRAMES_MAX = 16384,
    RECEIVE_FRAMES_MAX = 8192,
    WINDOW_BYTES = 512 << 10, /* of each connection, either way */
    POOL_FRAMES = SEND_FRAMES_MAX + RECEIVE_FRAMES_MAX + 4095,
    MEMORY_MB = 192,
    IDLE_TURNS = 400,
    IDLE_NAP_NS = 20 * 1000,
    COMMAND_TURNS = 64, /* between looks at stdin */
};
static_assert(POOL_FRAMES * UINT64_C(2500) < (MEMORY_MB << 20), "the pool fits");

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

struct station {
    struct rte_mempool *pool;
    struct counters *counters;
    struct port port;
    struct worker *worker;
    struct tcp *tcp;
    struct services *services;
    struct address address;
    struct instant now;
    char input[512];
    size_t input_bytes;
};

static struct instant instant_now(void)
{
    struct timespec mono;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    return (struct instant){.mono_ns = (uint64_t)mono.tv_sec * UINT64_C(1000000000) + (uint64_t)mono.tv_nsec};
}

static void random_bytes(void *state, void *out, size_t bytes)
{
    (void)state;
    if (getrandom(out, bytes, 0) != (ssize_t)bytes)
        abort();
}

static _Noreturn void give_up(const char *what, const char *why)
{
    fprintf(stderr, "tcp_station: %s: %s\n", what, why);
    exit(1);
}

/* ---- start ---- */

static void start_eal(char *name, const char *interface)
{
    char vdev[128], prefix[64], memory[16], lcores[1024];
    char *arguments[] = {name,
                         (char *)"--no-huge",
                         (char *)"--no-shconf",
                         (char *)"--no-telemetry",
                         (char *)"--no-pci",
                         (char *)"-m",
                         memory,
                         (char *)"--log-level=*:critical",
                         vdev,
                         prefix,
                         lcores};
    cpu_set_t set;
    size_t used = (size_t)snprintf(lcores, sizeof lcores, "--lcores=0@(");

    sched_getaffinity(0, sizeof set, &set); /* any of them: machines share cores with their tests' clients */
    for (int cpu = 0; cpu < CPU_SETSIZE && used < sizeof lcores - 16; cpu++)
        if (CPU_ISSET(cpu, &set))
            used += (size_t)snprintf(lcores + used, sizeof lcores - used, "%d,", cpu);
    lcores[used - 1] = ')';
    snprintf(vdev, sizeof vdev, "--vdev=net_af_packet0,iface=%s,qdisc_bypass=1,framecnt=4096", interface);
    snprintf(prefix, sizeof prefix, "--file-prefix=wildstation%d", (int)getpid());
    snprintf(memory, sizeof memory, "%d", MEMORY_MB);
    if (rte_eal_init(sizeof arguments / sizeof arguments[0], arguments) < 0)
        give_up("EAL", rte_strerror(rte_errno));
    rmdir(rte_eal_get_runtime_dir()); /* nothing is shared in it, and the EAL would leave it */
}

static void start_worker(struct station *station, struct address address, unsigned prefix_length)
{
    struct port_config port_config = {.port_id = 0, .workers = 1, .pool = station->pool};
    char error[256];

    if (port_open(&station->port, &port_config, error, sizeof error) != 0)
        give_up("port", error);
    struct worker_config config = {.ports = 1, .pool = station->pool, .counters = station->counters};
    config.port[0] = (struct worker_port){
        .queue = station->port.queue[0],
        .mac = station->port.mac,
        .address = address,
        .prefix_length = (uint8_t)prefix_length,
        .rx_checksum_offload = station->port.rx_checksum_offload,
        .tx_checksum_offload = station->port.tx_checksum_offload,
        .mtu = station->port.mtu,
    };
    station->address = address;
    station->worker = worker_create(&config, SOCKET_ID_ANY);
    if (station->worker == NULL)
        give_up("worker", "no memory");
}

static void start_tcp(struct station *station, uint64_t seed)
{
    struct random_source random = {.fill = random_bytes};
    struct tcp_config config = {
        .pool = station->pool,
        .output = worker_tcp_output(station->worker),
        .counters = station->counters,
        .random = &random,
        .connections_max = CONNECTIONS_MAX,
        .time_wait_max = TIME_WAIT_MAX,
        .half_open_max = HALF_OPEN_MAX,
        .send_frames_max = SEND_FRAMES_MAX,
        .receive_frames_max = RECEIVE_FRAMES_MAX,
        .send_bytes_max = WINDOW_BYTES,
        .receive_bytes_max = WINDOW_BYTES,
        .keepalive = true,
        .numa_node = SOCKET_ID_ANY,
    };

    station->now = instant_now();
    station->tcp = tcp_create(&config, station->now);
    station->services = services_create(seed, CONNECTIONS_MAX, &station->now);
    if (station->tcp == NULL || station->services == NULL)
        give_up("tcp", "no memory");
    for (unsigned i = 0; i < SERVICES; i++)
        if (tcp_listen(station->tcp, (uint16_t)(SERVICES_PORT + i),
                       services_acceptor(station->services, i)) != 0)
            give_up("tcp", "cannot listen");
    worker_set_tcp(station->worker, station->tcp);
}

static void start(struct station *station, char **argv, uint64_t seed)
{
    unsigned prefix_length = 0;
    char text[32] = "";
    rte_be32_t ip4;

    if (sscanf(argv[2], "%31[0-9.]/%u", text, &prefix_length) != 2 || inet_pton(AF_INET, text, &ip4) != 1)
        give_up("address", argv[2]);
    start_eal(argv[0], argv[1]);
    station->pool = rte_pktmbuf_pool_create("station", POOL_FRAMES, 0, TCP_FRAME_PRIVATE_BYTES,
                                            RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    station->counters = rte_zmalloc("counters", sizeof *station->counters, 64);
    if (station->pool == NULL || station->counters == NULL)
        give_up("memory", rte_strerror(rte_errno));
    start_worker(station, address_from_ip4(ip4), prefix_length);
    start_tcp(station, seed);
}

/* ---- commands ---- */

static void print_counts(const struct station *station)
{
    struct tcp_counts counts = tcp_counts(station->tcp);

    printf("counts connections=%u half_open=%u time_wait=%u send_frames=%u receive_frames=%u",
           counts.connections, counts.half_open, counts.time_wait, counts.send_frames, counts.receive_frames);
    printf(" open=%u opened=%" PRIu64, station->services->open, station->services->opened);
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        if (counter_get(station->counters, (enum counter)i) != 0)
            printf(" %s=%" PRIu64, counter_name((enum counter)i),
                   counter_get(station->counters, (enum counter)i));
    putchar('\n');
}

static bool connect_to(struct station *station, const char *line)
{
    struct return_path path = {.flow.local = station->address, .vlan_tci = VLAN_NONE};
    char address[32], mac[32], service[16];
    unsigned port;
    uint64_t count = 0;
    struct rte_ether_addr ether;
    rte_be32_t ip4;

    if (sscanf(line, "connect %31s %u %31s %15s %" SCNu64, address, &port, mac, service, &count) < 4 ||
        inet_pton(AF_INET, address, &ip4) != 1 || rte_ether_unformat_addr(mac, &ether) != 0)
        return false;
    path.flow.peer = address_from_ip4(ip4);
    path.flow.peer_port = rte_cpu_to_be_16((uint16_t)port);
    memcpy(path.peer_mac, ether.addr_bytes, sizeof path.peer_mac);
    struct session *session = services_open(station->services, service);
    if (session == NULL)
        return false;
    session->to_send = count;
    if (tcp_connect(station->tcp, &path, &session->service->events, session, station->now) == NULL) {
        services_forget(station->services, session);
        return false;
    }
    return true;
}

static void obey(struct station *station, const char *line)
{
    if (!strcmp(line, "counts"))
        print_counts(station);
    else if (!connect_to(station, line))
        printf("cannot %s\n", line);
    fflush(stdout);
}

/* Whole lines of what stdin has. */
static void read_commands(struct station *station)
{
    ssize_t got = read(STDIN_FILENO, station->input + station->input_bytes,
                       sizeof station->input - 1 - station->input_bytes);
    char *newline;

    if (got == 0)
        stopped = 1;
    if (got <= 0)
        return;
    station->input_bytes += (size_t)got;
    station->input[station->input_bytes] = '\0';
    while ((newline = strchr(station->input, '\n')) != NULL) {
        *newline = '\0';
        obey(station, station->input);
        station->input_bytes -= (size_t)(newline + 1 - station->input);
        memmove(station->input, newline + 1, station->input_bytes + 1);
    }
}

/* ---- life ---- */

static void serve(struct station *station)
{
    const struct timespec nap = {.tv_nsec = IDLE_NAP_NS};
    unsigned idle = 0;

    for (unsigned turn = 0; !stopped; turn++) {
        if (turn % COMMAND_TURNS == 0) {
            read_commands(station);
            fflush(stdout);
        }
        station->now = instant_now();
        idle = worker_turn(station->worker, station->now) > 0 ? 0 : idle + 1;
        if (idle > IDLE_TURNS)
            nanosleep(&nap, NULL);
    }
}

/* Returns the exit code. */
static int end(struct station *station)
{
    print_counts(station);
    tcp_destroy(station->tcp);
    unsigned sessions = station->services->open;
    services_destroy(station->services);
    worker_destroy(station->worker);
    port_close(&station->port);
    unsigned missing = rte_mempool_in_use_count(station->pool);
    printf("ended sessions=%u frames=%u\n", sessions, missing);
    rte_eal_cleanup();
    return sessions != 0 || missing != 0;
}

int main(int argc, char **argv)
{
    struct station station = {.input_bytes = 0};

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: tcp_station INTERFACE ADDRESS/PREFIX [SEED]\n");
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGALRM, stop);
    signal(SIGINT, SIG_IGN);
    alarm(STATION_LIFE_S);
    prctl(PR_SET_TIMERSLACK, 1);
    start(&station, argv, argc == 4 ? strtoull(argv[3], NULL, 0) : 0);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    puts("ready");
    fflush(stdout);
    serve(&station);
    return end(&station);
}
