#include "port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>

static const uint64_t rss_wanted = RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t rx_checksums =
    RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
/* Never FAST_FREE: what TCP has sent it keeps until it is acknowledged. */
static const uint64_t tx_checksums =
    RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

/* The key of Microsoft's RSS verification suite, repeated to the longest that devices take. */
static const uint8_t rss_key_published[PORT_RSS_KEY_BYTES_MAX] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43,
    0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb,
    0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01,
    0xfa, 0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d,
};

/* One way to configure the device, from the best down. */
struct attempt {
    bool rss, control_queue;
};

struct opening {
    const struct port_config *config;
    struct rte_eth_dev_info info;
    struct port *port;
    char *error;
    size_t error_bytes;
};

/* ---- queues as functions: the state is two numbers, so a struct port may be copied ---- */

static void *queue_state(uint16_t port_id, unsigned queue)
{
    return (void *)((uintptr_t)port_id << 16 | queue);
}

static uint16_t queue_receive(void *state, struct rte_mbuf **frames, uint16_t room)
{
    return rte_eth_rx_burst((uint16_t)((uintptr_t)state >> 16), (uint16_t)(uintptr_t)state, frames, room);
}

static uint16_t queue_transmit(void *state, struct rte_mbuf **frames, uint16_t count)
{
    return rte_eth_tx_burst((uint16_t)((uintptr_t)state >> 16), (uint16_t)(uintptr_t)state, frames, count);
}

/* ---- opening ---- */

/* -1, with the line in opening->error. */
static int refuse(struct opening *opening, const char *what, int error, const char *remedy)
{
    snprintf(opening->error, opening->error_bytes, "port %u (%s): %s: %s; %s", opening->config->port_id,
             opening->port->driver, what, strerror(error < 0 ? -error : error), remedy);
    return -1;
}

static int choose_mtu(struct opening *opening)
{
    struct port *port = opening->port;
    const struct rte_eth_dev_info *info = &opening->info;
    uint16_t mtu = opening->config->mtu, max = info->max_mtu;
    if (mtu == 0 && rte_eth_dev_get_mtu(port->port_id, &mtu) == 0)
        mtu = mtu < max ? mtu : max;
    if (mtu < PORT_MTU_MIN || mtu > max) {
        snprintf(opening->error, opening->error_bytes,
                 "port %u (%s): MTU %u: this device and the protocol allow %u to %u; choose one of these",
                 port->port_id, port->driver, mtu, PORT_MTU_MIN, max);
        return -1;
    }
    unsigned room = rte_pktmbuf_data_room_size(opening->config->pool) - RTE_PKTMBUF_HEADROOM;
    unsigned l2_bytes = RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
    if (mtu + l2_bytes > room) {
        snprintf(opening->error, opening->error_bytes,
                 "port %u (%s): MTU %u: buffers hold frames of %u bytes; choose an MTU up to %u",
                 port->port_id, port->driver, mtu, room, room - l2_bytes);
        return -1;
    }
    port->mtu = mtu;
    return 0;
}

static int setup_queues(struct opening *opening, const struct rte_eth_conf *conf, unsigned queues)
{
    struct port *port = opening->port;
    uint16_t rx_descriptors = PORT_RX_DESCRIPTORS, tx_descriptors = PORT_TX_DESCRIPTORS;
    int result = rte_eth_dev_adjust_nb_rx_tx_desc(port->port_id, &rx_descriptors, &tx_descriptors);
    if (result != 0)
        return refuse(opening, "descriptors", result, "the device cannot be used");
    struct rte_eth_rxconf rx = opening->info.default_rxconf;
    struct rte_eth_txconf tx = opening->info.default_txconf;
    rx.offloads = conf->rxmode.offloads;
    tx.offloads = conf->txmode.offloads;
    int socket = rte_eth_dev_socket_id(port->port_id);
    for (unsigned i = 0; i < queues; i++) {
        result = rte_eth_rx_queue_setup(port->port_id, (uint16_t)i, rx_descriptors, (unsigned)socket, &rx,
                                        opening->config->pool);
        if (result != 0)
            return refuse(opening, "receive queue", result, "give it more memory or fewer workers");
        result = rte_eth_tx_queue_setup(port->port_id, (uint16_t)i, tx_descriptors, (unsigned)socket, &tx);
        if (result != 0)
            return refuse(opening, "transmit queue", result, "give it more memory or fewer workers");
        port->queue[i] = (struct port_queue){
            .state = queue_state(port->port_id, i), .receive = queue_receive, .transmit = queue_transmit};
    }
    return 0;
}

/* The indirection table names worker queues only, so the control lcore's sees no requests. */
static int spread_over_workers(struct opening *opening)
{
    struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE] = {0};
    unsigned size = opening->info.reta_size;
    if (size == 0)
        return 0;
    if (size > RTE_ETH_RSS_RETA_SIZE_512)
        return -EINVAL;
    for (unsigned i = 0; i < size; i++) {
        reta[i / RTE_ETH_RETA_GROUP_SIZE].mask |= 1ULL << i % RTE_ETH_RETA_GROUP_SIZE;
        reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] =
            (uint16_t)(i % opening->port->workers);
    }
    return rte_eth_dev_rss_reta_update(opening->port->port_id, reta, (uint16_t)size);
}

static int attempt_open(struct opening *opening, struct attempt attempt)
{
    struct port *port = opening->port;
    uint8_t key[PORT_RSS_KEY_BYTES_MAX];
    memcpy(key, opening->config->rss_key ? opening->config->rss_key : rss_key_published, sizeof key);
    struct rte_eth_conf conf = {
        .rxmode = {.mtu = port->mtu, .offloads = port->rx_checksum_offload ? rx_checksums : 0},
        .txmode = {.offloads = port->tx_checksum_offload ? tx_checksums : 0},
    };
    if (attempt.rss) {
        uint8_t key_bytes = opening->info.hash_key_size;
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = rss_wanted & opening->info.flow_type_rss_offloads;
        bool fits = key_bytes > 0 && key_bytes <= sizeof key; /* else the driver's own key */
        conf.rx_adv_conf.rss_conf.rss_key = fits ? key : NULL;
        conf.rx_adv_conf.rss_conf.rss_key_len = fits ? key_bytes : 0;
    }
    port->rss = attempt.rss;
    port->control_queue = attempt.control_queue;
    unsigned queues = port->workers + (attempt.control_queue ? 1 : 0);
    int result = rte_eth_dev_configure(port->port_id, (uint16_t)queues, (uint16_t)queues, &conf);
    if (result != 0)
        return refuse(opening, "configuration", result, "try fewer workers or the default MTU");
    if (opening->config->mtu != 0) {
        result = rte_eth_dev_set_mtu(port->port_id, port->mtu);
        if (result != 0 && result != -ENOTSUP)
            return refuse(opening, "MTU", result, "set it where the interface is made");
    }
    if (setup_queues(opening, &conf, queues) != 0)
        return -1;
    result = rte_eth_dev_start(port->port_id);
    if (result != 0)
        return refuse(opening, "start", result, "is the interface up, and may this user open it?");
    if (attempt.rss && (result = spread_over_workers(opening)) != 0) {
        (void)rte_eth_dev_stop(port->port_id);
        return refuse(opening, "RSS indirection table", result, "the device cannot spread requests");
    }
    return 0;
}

/* Behind TAP and packet sockets it is the kernel that chooses a queue, by its own flow hash; what the drivers
 * say about RSS means flow rules that they emulate. */
static bool spread_by_kernel(const struct port *port)
{
    return !strcmp(port->driver, "net_tap") || !strcmp(port->driver, "net_af_packet");
}

/* Who decides by which queue a request comes, for the log. */
static const char *describe_spread(const struct port *port)
{
    if (port->workers == 1)
        return "one queue";
    if (spread_by_kernel(port))
        return "spread over the queues by the kernel's flow hash";
    if (port->rss)
        return "spread by RSS over addresses and ports";
    if (!strcmp(port->driver, "net_memif") || !strcmp(port->driver, "net_ring"))
        return "the other side chooses the queue";
    return "the device refuses RSS for UDP: all UDP on worker 0";
}

static int open_device(struct opening *opening)
{
    struct port *port = opening->port;
    const struct rte_eth_dev_info *info = &opening->info;
    unsigned queues_max =
        info->max_rx_queues < info->max_tx_queues ? info->max_rx_queues : info->max_tx_queues;
    /* The driver says 16, but at its start writes a descriptor for each receive and each transmit queue into
     * an array of this size on its stack. */
    if (!strcmp(port->driver, "net_tap") && queues_max > RTE_MP_MAX_FD_NUM / 2)
        queues_max = RTE_MP_MAX_FD_NUM / 2;
    if (queues_max == 0 || opening->config->workers == 0 || opening->config->workers > PORT_WORKERS_MAX) {
        snprintf(opening->error, opening->error_bytes,
                 "port %u (%s): %u workers and %u queue pairs; choose 1 to %u workers", port->port_id,
                 port->driver, opening->config->workers, queues_max, PORT_WORKERS_MAX);
        return -1;
    }
    port->workers = opening->config->workers < queues_max ? opening->config->workers : queues_max;
    bool hashes = (info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_UDP) && !spread_by_kernel(port);
    bool rss = hashes && port->workers > 1;
    /* a queue of its own only where an indirection table can keep requests off it */
    bool control = hashes && queues_max > port->workers && info->reta_size > 0;
    const struct attempt attempts[] = {{true, true}, {rss, false}, {false, false}};
    int result = -1;
    for (unsigned i = control ? 0 : 1; i < RTE_DIM(attempts) && result != 0; i++)
        result = attempt_open(opening, attempts[i]);
    if (result != 0)
        return -1;
    port->rss |= spread_by_kernel(port) && port->workers > 1;
    port->spread = describe_spread(port);
    return 0;
}

int port_open(struct port *out, const struct port_config *config, char *error, size_t error_bytes)
{
    struct opening opening = {.config = config, .port = out, .error = error, .error_bytes = error_bytes};
    *out = (struct port){.port_id = config->port_id, .driver = "?"};
    int result = rte_eth_dev_info_get(config->port_id, &opening.info);
    if (result != 0)
        return refuse(&opening, "no such device", result, "check --nic");
    snprintf(out->driver, sizeof out->driver, "%s", opening.info.driver_name);
    out->rx_checksum_offload = (opening.info.rx_offload_capa & rx_checksums) == rx_checksums;
    out->tx_checksum_offload = (opening.info.tx_offload_capa & tx_checksums) == tx_checksums;
    if (choose_mtu(&opening) != 0 || open_device(&opening) != 0)
        return -1;
    result = rte_eth_macaddr_get(config->port_id, &out->mac);
    if (result != 0) {
        port_close(out);
        return refuse(&opening, "MAC address", result, "the device cannot be used");
    }
    return 0;
}

void port_close(struct port *port)
{
    (void)rte_eth_dev_stop(port->port_id);
    (void)rte_eth_dev_close(port->port_id);
}

bool port_link_up(const struct port *port)
{
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(port->port_id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

void port_describe(const struct port *port, char out[PORT_DESCRIPTION_BYTES])
{
    struct rte_eth_link link = {0};
    char speed[32] = "", mac[RTE_ETHER_ADDR_FMT_SIZE];
    bool up = rte_eth_link_get_nowait(port->port_id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
    if (up && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
        snprintf(speed, sizeof speed, " at %u Mbit/s", link.link_speed);
    rte_ether_format_addr(mac, sizeof mac, &port->mac);
    snprintf(
        out, PORT_DESCRIPTION_BYTES,
        "port %u (%s) MAC %s, link %s%s, MTU %u, %u worker queue%s%s, UDP: %s, checksums: in by %s, out by %s",
        port->port_id, port->driver, mac, up ? "up" : "down", speed, port->mtu, port->workers,
        port->workers == 1 ? "" : "s", port->control_queue ? " and one for control" : "", port->spread,
        port->rx_checksum_offload ? "device" : "software", port->tx_checksum_offload ? "device" : "software");
}
