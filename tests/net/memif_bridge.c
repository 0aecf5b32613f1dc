/*
 * memif_bridge.c - the other process of a memif port: carries frames between it and a TAP interface that it makes,
 * so that Linux clients reach a node through shared memory.
 *
 *   memif_bridge SOCKET INTERFACE    prints "bridging" when both links are up; ends on SIGTERM, or after two minutes
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum {
    PORTS = 2,
    DESCRIPTORS = 512,
    FRAMES = 4095,
    BURST = 32,
    MEMORY_MB = 32,
    LIFE_S = 120,
    IDLE_NS = 20 * 1000
};

static volatile sig_atomic_t ended;

static void end(int number)
{
    (void)number;
    ended = 1;
}

static int start_eal(char *name, const char *socket, const char *interface)
{
    char memif[256], tap[64], prefix[64], memory[16];
    char *arguments[] = {name,  (char *)"--no-huge", (char *)"--no-shconf", (char *)"--no-telemetry",
                         memif, (char *)"--no-pci",  (char *)"-m",          memory,
                         tap,   (char *)"-l",        (char *)"0",           (char *)"--log-level=*:critical",
                         prefix};

    snprintf(memif, sizeof memif, "--vdev=net_memif0,role=client,socket=%s,socket-abstract=no", socket);
    snprintf(tap, sizeof tap, "--vdev=net_tap0,iface=%s", interface);
    snprintf(prefix, sizeof prefix, "--file-prefix=wildbridge%d", (int)getpid());
    snprintf(memory, sizeof memory, "%d", MEMORY_MB);
    if (rte_eal_init(sizeof arguments / sizeof arguments[0], arguments) < 0)
        return -1;
    rmdir(rte_eal_get_runtime_dir()); /* nothing is shared in it, and the EAL would leave it */
    return rte_eth_dev_count_avail() == PORTS ? 0 : -1;
}

static int start_port(uint16_t port, struct rte_mempool *pool)
{
    struct rte_eth_conf conf = {0};

    if (rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(port, 0, DESCRIPTORS, 0, NULL, pool) != 0 ||
        rte_eth_tx_queue_setup(port, 0, DESCRIPTORS, 0, NULL) != 0)
        return -1;
    return rte_eth_dev_start(port);
}

static bool both_up(void)
{
    struct rte_eth_link link;

    for (uint16_t port = 0; port < PORTS; port++)
        if (rte_eth_link_get_nowait(port, &link) != 0 || link.link_status != RTE_ETH_LINK_UP)
            return false;
    return true;
}

static unsigned carry(uint16_t from, uint16_t to)
{
    struct rte_mbuf *frames[BURST];
    uint16_t count = rte_eth_rx_burst(from, 0, frames, BURST), sent = rte_eth_tx_burst(to, 0, frames, count);

    rte_pktmbuf_free_bulk(frames + sent, count - sent);
    return count;
}

static void bridge(void)
{
    const struct timespec nap = {.tv_nsec = IDLE_NS};
    bool up = false;

    while (!ended) {
        if (!up && both_up()) {
            up = true;
            puts("bridging");
            fflush(stdout);
        }
        if (carry(0, 1) + carry(1, 0) == 0)
            nanosleep(&nap, NULL);
    }
}

int main(int argc, char **argv)
{
    struct rte_mempool *pool;

    if (argc != 3) {
        fprintf(stderr, "usage: memif_bridge SOCKET INTERFACE\n");
        return 2;
    }
    signal(SIGTERM, end);
    signal(SIGALRM, end);
    alarm(LIFE_S);
    if (start_eal(argv[0], argv[1], argv[2]) != 0) {
        fprintf(stderr, "memif_bridge: EAL does not start\n");
        return 1;
    }
    pool = rte_pktmbuf_pool_create("bridge", FRAMES, BURST, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    for (uint16_t port = 0; port < PORTS; port++)
        if (pool == NULL || start_port(port, pool) != 0) {
            fprintf(stderr, "memif_bridge: port %u does not start\n", port);
            return 1;
        }
    bridge();
    for (uint16_t port = 0; port < PORTS; port++) {
        (void)rte_eth_dev_stop(port);
        (void)rte_eth_dev_close(port);
    }
    rte_eal_cleanup();
    return 0;
}
