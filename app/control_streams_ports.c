/*
 * control_streams_ports.c - the control lcore's streams over ports: a worker and a TCP of its own. Frames come from the
 * workers, by rings, and from the device's control queue where it has one and takes a rule; they leave by that queue, or
 * by worker 0's.
 *
 * ICMP errors about these streams come to worker and TCP as they come to all others: by a ring from whoever gets them.
 */
#include "control_streams_internal.h"

#include <stdio.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "net/arp_control.h"
#include "node_internal.h"

/* The next hop is asked for three times, a second apart (neighbour.h). */
#define SEEKING_NS UINT64_C(4000000000)

/* ---- queues ---- */

static uint16_t receive(void *state, struct rte_mbuf **frames, uint16_t room)
{
    const struct control_streams_link *link = state;
    uint16_t count = 0;

    if (link->queue.receive != NULL)
        count = link->queue.receive(link->queue.state, frames, room);
    if (count < room)
        count += (uint16_t)rte_ring_dequeue_burst(link->control->to_streams, (void **)frames + count,
                                                  room - count, NULL);
    return count;
}

static uint16_t transmit(void *state, struct rte_mbuf **frames, uint16_t count)
{
    const struct control_streams_link *link = state;

    if (link->queue.transmit != NULL)
        return link->queue.transmit(link->queue.state, frames, count);
    return (uint16_t)rte_ring_enqueue_burst(link->control->by_worker, (void **)frames, count, NULL);
}

/* A port for streams alone is the control lcore's whole. */
static struct port_queue queue_of(const struct node_port *port)
{
    if (port->streams_only)
        return port->port.queue[0];
    return port->port.control_queue ? port->port.queue[port->port.workers]
                                    : (struct port_queue){NULL, NULL, NULL};
}

/* There is such a port, and the others' networks see nothing of replication. Those are the last (node.h). */
static bool has_port_of_its_own(const struct node_config *config)
{
    return config->port[config->ports - 1].streams_only;
}

/* ---- rules of the devices ---- */

/* Tier 1, or why not. */
static void steer_listener(struct control_streams *streams, unsigned i)
{
    const struct node_config *config = &streams->node->config;
    struct port_steering_wish wish = {.own_port = rte_cpu_to_be_16(streams->config.port)};
    char reason[PORT_STEERING_REASON_BYTES];

    if (!port_steering_begin(&streams->link[i].listens, &config->port[i].port, &wish, streams->steering,
                             reason))
        logger_line(&config->logger, LOG_LEVEL_INFO, "port %u: replication comes by the workers: %s", i,
                    reason);
}

/* One rule a port: of the peer that this node followed last. */
static void steer_opening(struct control_streams *streams, unsigned i, const struct flow *flow)
{
    const struct node_config *config = &streams->node->config;
    struct port_steering *rule = &streams->link[i].opens;
    struct port_steering_wish wish = {.peer = address_ip4(&flow->peer), .peer_port = flow->peer_port};
    char reason[PORT_STEERING_REASON_BYTES];

    if (!config->port[i].port.control_queue || has_port_of_its_own(config))
        return;
    if (rule->wish.peer == wish.peer && rule->wish.peer_port == wish.peer_port)
        return; /* it is in force, or was refused */
    port_steering_end(rule);
    if (!port_steering_begin(rule, &config->port[i].port, &wish, streams->steering, reason))
        logger_line(&config->logger, LOG_LEVEL_INFO, "port %u: replication comes by the workers: %s", i,
                    reason);
}

const char *control_ports_tier(const struct control_streams *streams)
{
    const struct node_config *config = &streams->node->config;

    if (has_port_of_its_own(config))
        return "port";
    for (unsigned i = 0; i < config->ports; i++) {
        const struct control_streams_link *link = &streams->link[i];

        if (link->listens.rule == NULL && link->opens.rule == NULL)
            return "ring";
    }
    return "flow";
}

/* ---- start ---- */

static bool owns_port(void *state, const struct flow *flow)
{
    const struct control_streams *streams = state;

    return flow->local_port != rte_cpu_to_be_16(streams->node->config.udp_port); /* the workers' */
}

static struct worker_port port_of(struct control_streams *streams, unsigned i)
{
    const struct node_port *from = &streams->node->config.port[i];
    struct control_streams_link *link = &streams->link[i];

    link->control = &streams->node->control.link[i];
    link->queue = queue_of(from);
    return (struct worker_port){
        .queue = {link, receive, transmit},
        .mac = from->port.mac,
        .address = from->address,
        .prefix_length = from->prefix_length,
        .rx_checksum_offload = from->port.rx_checksum_offload,
        .tx_checksum_offload = from->port.tx_checksum_offload,
        .mtu = from->port.mtu,
        .rx_relayed = link->listens.rule == NULL && !from->streams_only,
        .tx_relayed = link->queue.transmit == NULL,
    };
}

static int start_worker(struct control_streams *streams)
{
    struct node *node = streams->node;
    unsigned id = node->config.workers;
    struct worker_config config = {.id = id,
                                   .ports = node->config.ports,
                                   .udp_port = 0, /* no service */
                                   .pool = node->config.pool,
                                   .to_control = node->control.from_workers,
                                   .workers = id + 1,
                                   .counters = &node->control.counters};

    config.icmp_errors_of[id] = node->control.icmp_errors;
    for (unsigned i = 0; i < config.ports; i++)
        config.port[i] = port_of(streams, i);
    streams->worker = worker_create(&config, node->config.numa_node);
    return streams->worker != NULL ? 0 : -1;
}

static int start_tcp(struct control_streams *streams)
{
    struct node *node = streams->node;
    unsigned streams_max = streams->config.streams_max;
    struct tcp_config config = {
        .pool = node->config.pool,
        .output = worker_tcp_output(streams->worker),
        .counters = &node->control.counters,
        .random = &node->config.random,
        .connections_max = streams_max + NODE_STREAMS_HALF_OPEN,
        .time_wait_max = streams_max,
        .half_open_max = NODE_STREAMS_HALF_OPEN,
        .send_frames_max = NODE_STREAMS_SEND_FRAMES,
        .receive_frames_max = NODE_STREAMS_RECEIVE_FRAMES,
        .send_bytes_max = streams->config.send_bytes_max,
        .receive_bytes_max = streams->config.receive_bytes_max,
        .keepalive = true,
        .port_is_ours = owns_port,
        .port_is_ours_state = streams,
        .numa_node = node->config.numa_node,
    };

    streams->tcp = tcp_create(&config, node->started);
    if (streams->tcp == NULL)
        return -1;
    worker_set_tcp(streams->worker, streams->tcp);
    return streams->config.port != 0
               ? tcp_listen(streams->tcp, streams->config.port, streams->config.acceptor)
               : 0;
}

/* From here on the workers hand over. */
static void listen_to_workers(struct control_streams *streams)
{
    const struct node_config *config = &streams->node->config;
    rte_be16_t port = rte_cpu_to_be_16(streams->config.port);

    if (has_port_of_its_own(config))
        return;
    /* relaxed: see worker_handover.c */
    atomic_store_explicit(&streams->node->control.handover.port, port, memory_order_relaxed);
}

int control_ports_start(struct control_streams *streams, char *error, size_t error_bytes)
{
    const struct node_config *config = &streams->node->config;

    if (streams->config.acceptor.accepted == NULL)
        streams->config.port = 0;
    if (streams->config.port != 0 && streams->config.port == config->udp_port) {
        snprintf(error, error_bytes, "port %u is the clients': choose another --replication-port",
                 config->udp_port);
        return -1;
    }
    for (unsigned i = 0; i < config->ports && streams->config.port != 0 && !has_port_of_its_own(config); i++)
        steer_listener(streams, i);
    if (start_worker(streams) != 0 || start_tcp(streams) != 0) {
        control_ports_stop(streams);
        snprintf(error, error_bytes, "no memory for replication");
        return -1;
    }
    listen_to_workers(streams);
    return 0;
}

void control_ports_stop(struct control_streams *streams)
{
    struct worker_handover *handover = &streams->node->control.handover;

    atomic_store_explicit(&handover->port, 0, memory_order_relaxed);
    for (unsigned i = 0; i < WORKER_HANDOVER_FLOWS; i++)
        atomic_store_explicit(&handover->flow[i], 0, memory_order_relaxed);
    for (unsigned i = 0; i < NODE_PORTS_MAX; i++) {
        port_steering_end(&streams->link[i].listens);
        port_steering_end(&streams->link[i].opens);
    }
    if (streams->tcp != NULL)
        tcp_destroy(streams->tcp);
    worker_destroy(streams->worker);
}

/* ---- openings ---- */

/* The port towards an address: of its own network, else one with a gateway. NODE_PORTS_MAX: there is no way. */
static unsigned port_towards(const struct control_streams *streams, rte_be32_t peer)
{
    const struct node_config *config = &streams->node->config;
    unsigned found = NODE_PORTS_MAX;

    for (unsigned i = config->ports; i-- > 0;) {
        rte_be32_t hop;

        if (has_port_of_its_own(config) && !config->port[i].streams_only)
            break;
        hop = arp_control_next_hop(streams->link[i].control->arp, peer);
        if (hop == peer)
            return i;
        if (hop != 0)
            found = i;
    }
    return found;
}

/*
 * A place whose flow TCP knows no more; else the oldest of those in TIME-WAIT, whose peer is reset by a worker if it has
 * not heard the last of it. So who is refused again and again can come again at once.
 */
static struct control_streams_opening *free_opening(struct control_streams *streams)
{
    struct control_streams_opening *oldest = NULL;

    for (unsigned i = 0; i < WORKER_HANDOVER_FLOWS; i++) {
        struct control_streams_opening *opening = &streams->opening[i];
        enum tcp_flow_state state = TCP_FLOW_OPEN;

        if (opening->state == OPENING_FREE)
            return opening;
        if (opening->state == OPENING_OPENED)
            state = tcp_flow_state(streams->tcp, &opening->flow);
        if (state == TCP_FLOW_NONE)
            return opening;
        if (state == TCP_FLOW_TIME_WAIT && (oldest == NULL || opening->began_ns < oldest->began_ns))
            oldest = opening;
    }
    return oldest;
}

static bool find_station(const struct control_streams *streams, unsigned link, rte_be32_t peer,
                         uint8_t mac[6])
{
    const struct arp_control *arp = streams->link[link].control->arp;

    return neighbour_lookup(arp_control_neighbours(arp), arp_control_next_hop(arp, peer), mac);
}

struct stream *control_ports_connect(struct control_streams *streams, const struct flow *flow,
                                     const struct stream_events *events, void *user, struct instant now)
{
    struct return_path path = {.flow = {.peer = flow->peer, .peer_port = flow->peer_port},
                               .vlan_tci = VLAN_NONE};
    struct control_streams_opening *opening = free_opening(streams);
    rte_be32_t peer = address_ip4(&flow->peer);
    unsigned link = port_towards(streams, peer);
    struct stream *stream;
    bool known;

    if (opening == NULL || link == NODE_PORTS_MAX ||
        !arp_control_resolve(streams->link[link].control->arp, peer, now.mono_ns)) {
        counter_add(&streams->node->control.counters, COUNTER_tcp_connect_failed, 1);
        return NULL;
    }
    path.flow.local = streams->node->config.port[link].address;
    known = find_station(streams, link, peer, path.peer_mac);
    stream = (known ? tcp_connect : tcp_connect_later)(streams->tcp, &path, events, user, now);
    if (stream == NULL)
        return NULL;
    *opening = (struct control_streams_opening){.state = known ? OPENING_OPENED : OPENING_SEEKING,
                                                .flow = stream->flow,
                                                .link = link,
                                                .began_ns = now.mono_ns};
    streams->seeking += !known;
    steer_opening(streams, link, &stream->flow);
    if (!streams->node->config.port[link].streams_only)
        /* relaxed: see worker_handover.c. The SYN leaves with the next turn. */
        atomic_store_explicit(&streams->node->control.handover.flow[opening - streams->opening],
                              worker_handover_flow(peer, stream->flow.peer_port, stream->flow.local_port),
                              memory_order_relaxed);
    return stream;
}

static void seek(struct control_streams *streams, struct control_streams_opening *opening, struct instant now)
{
    rte_be32_t peer = address_ip4(&opening->flow.peer);
    uint8_t mac[6];

    if (find_station(streams, opening->link, peer, mac))
        tcp_station_found(streams->tcp, &opening->flow, mac, now);
    else if (now.mono_ns >= opening->began_ns + SEEKING_NS)
        tcp_station_absent(streams->tcp, &opening->flow, now);
    else if (tcp_flow_state(streams->tcp, &opening->flow) == TCP_FLOW_OPEN)
        return;
    opening->state = OPENING_OPENED;
    streams->seeking--;
}

/* ---- turns ---- */

unsigned control_ports_turn(struct control_streams *streams, struct instant now)
{
    streams->turned_ns = now.mono_ns;
    for (unsigned i = 0; streams->seeking > 0 && i < WORKER_HANDOVER_FLOWS; i++)
        if (streams->opening[i].state == OPENING_SEEKING)
            seek(streams, &streams->opening[i], now);
    return worker_turn(streams->worker, now);
}

uint64_t control_ports_next_ns(const struct control_streams *streams)
{
    uint64_t next_ns = tcp_next_ns(streams->tcp), look_ns = streams->turned_ns + NODE_STREAMS_NAP_NS;

    for (unsigned i = 0; i < streams->node->config.ports; i++) {
        const struct control_streams_link *link = &streams->link[i];

        if ((link->listens.rule != NULL || link->opens.rule != NULL ||
             streams->node->config.port[i].streams_only) &&
            look_ns < next_ns)
            next_ns = look_ns;
    }
    return next_ns;
}
