#include "hub.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eth_ring.h>

#include "../unit/frames.h"
#include "../unit/seeded.h"

/* A primary asks how others stand before it serves. */
#define SERVES_NS UINT64_C(3000000000)
enum { CLIENT_PORT = 40000, REPLICATION_PORT = 9001, RING_FRAMES = 1024, HUB_SEGMENT_BYTES = 256 * 1024 };

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "hub: %s\n", what);
        exit(1);
    }
}

/* ---- nodes ---- */

static struct rte_ring *make_ring(const char *what, unsigned number)
{
    char name[32];
    struct rte_ring *ring;

    snprintf(name, sizeof name, "%s%u", what, number);
    ring = rte_ring_create(name, RING_FRAMES, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    must(ring != NULL, "no memory for a ring");
    return ring;
}

static void open_port(struct hub *hub, unsigned i)
{
    struct hub_node *node = &hub->nodes[i];
    struct port_config port = {.workers = 1, .pool = hub->pool};
    char error[256], name[32];
    static unsigned devices; /* a closed device's name stays taken */
    int id;

    snprintf(name, sizeof name, "node%u", devices++);
    node->to = make_ring("to", i);
    node->from = make_ring("from", i);
    id = rte_eth_from_rings(name, &node->to, 1, &node->from, 1, SOCKET_ID_ANY);
    must(id >= 0, "rte_eth_from_rings");
    port.port_id = (uint16_t)id;
    must(port_open(&node->port, &port, error, sizeof error) == 0, error);
    node->ip4 = frame_ip4(198, 18, 0, 1 + i);
    memcpy(node->mac, (const uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(1 + i)}, 6);
    /* Ring ports have no MAC of their own. */
    memcpy(node->port.mac.addr_bytes, node->mac, 6);
}

static void take_part(struct hub *hub, unsigned i, struct node_replication_config *out)
{
    static const char *const names[HUB_NODES_MAX] = {"node0", "node1", "node2", "node3", "node4"};
    static const char *const addresses[HUB_NODES_MAX] = {"198.18.0.1", "198.18.0.2", "198.18.0.3",
                                                         "198.18.0.4", "198.18.0.5"};
    struct hub_node *node = &hub->nodes[i];
    const struct hub_part *part = &node->part;
    char error[NAME_LOOKUP_ERROR_BYTES];

    *out = (struct node_replication_config){.mode = part->mode,
                                            .port = REPLICATION_PORT,
                                            .primary_port = REPLICATION_PORT,
                                            .primary_name = addresses[part->leader],
                                            .name = names[i],
                                            .min_replicas = part->min_replicas,
                                            .ack_applied = part->ack_applied,
                                            .heartbeat_ms = 100,
                                            .timeout_ms = 1000};
    if (part->mode != MODE_REPLICA)
        return;
    if (node->primary != NULL && node->asks != part->leader) {
        name_lookup_destroy(node->primary);
        node->primary = NULL;
    }
    node->asks = part->leader;
    if (node->primary == NULL)
        node->primary = name_lookup_create(out->primary_name, error, sizeof error);
    must(node->primary != NULL, "an address needs no name server");
    out->primary = node->primary;
}

static void start_node(struct hub *hub, unsigned i)
{
    struct hub_node *node = &hub->nodes[i];
    struct secret_option text = {.length = hub->secret != NULL ? strlen(hub->secret) : 0};
    struct node_config config = {.workers = 1,
                                 .ports = 1,
                                 .udp_port = PROTOCOL_DEFAULT_PORT,
                                 .capacity = 4096,
                                 .sessions = NODE_SESSIONS_MIN,
                                 .connections = NODE_CONNECTIONS_MIN,
                                 .secrets = &text,
                                 .secret_count = hub->secret != NULL,
                                 .cluster_name = "wild",
                                 .pool = hub->pool,
                                 .random = seeded_source(&hub->entropy),
                                 .numa_node = -1};
    char error[256];

    if (hub->cluster)
        take_part(hub, i, &config.replication);
    if (hub->secret != NULL)
        memcpy(text.text, hub->secret, text.length);
    config.port[0] = (struct node_port){
        .port = node->port, .address = address_from_ip4(rte_cpu_to_be_32(node->ip4)), .prefix_length = 24};
    node->paused = false;
    if (node->disk != NULL)
        config.log = (struct node_log_config){.folder = "folder",
                                              .disk = sim_disk_disk(node->disk),
                                              .queue = sim_disk_queue(node->disk),
                                              .rules = hub->rules,
                                              .segment_bytes = HUB_SEGMENT_BYTES,
                                              .snapshot_segments = 2};
    else if (config.replication.mode == MODE_REPLICA)
        config.log.rules.reads_wait = hub->rules.reads_wait;
    config.log.rules.replicated = config.replication.min_replicas > 0;
    must(node_start(&node->node, &config, hub->now, error, sizeof error) == 0, error);
}

/* The rest of what *hub is, then its nodes. */
static void start_all(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed,
                      const struct hub_part *parts)
{
    hub->pool = pool;
    hub->count = count;
    hub->entropy = seeded_start(seed);
    hub->now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    hub->client_ip4 = frame_ip4(198, 18, 0, 100);
    memcpy(hub->client_mac, (const uint8_t[]){2, 0, 0, 0, 0, 100}, 6);
    for (unsigned i = 0; i < count; i++) {
        open_port(hub, i);
        hub->nodes[i].part = parts[i];
        if (parts[i].log)
            hub->nodes[i].disk = sim_disk_create(seed + i, hub->space);
        start_node(hub, i);
    }
}

void hub_start_logged(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed,
                      const char *secret, struct durability_rules rules, uint64_t space)
{
    struct hub_part parts[HUB_NODES_MAX] = {0};

    *hub = (struct hub){.secret = secret, .rules = rules, .step_ns = HUB_STEP_NS, .space = space};
    for (unsigned i = 0; i < count; i++)
        parts[i].log = rules.log;
    start_all(hub, pool, count, seed, parts);
}

void hub_start_cluster(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed,
                       const char *secret, const struct hub_part *parts, uint64_t space)
{
    *hub = (struct hub){.secret = secret,
                        .rules = {.log = true, .writes_wait = true, .reads_wait = true},
                        .cluster = true,
                        .space = space,
                        .step_ns = CLUSTER_STEP_NS};
    start_all(hub, pool, count, seed, parts);
}

void hub_start(struct hub *hub, struct rte_mempool *pool, unsigned count, uint64_t seed, const char *secret)
{
    hub_start_logged(hub, pool, count, seed, secret, (struct durability_rules){0}, 0);
}

/* Frames that the node had not taken, or that nobody had taken of its own. */
static void empty_rings(struct hub_node *node)
{
    struct rte_mbuf *mbuf;

    while (rte_ring_dequeue(node->to, (void **)&mbuf) == 0)
        rte_pktmbuf_free(mbuf);
    while (rte_ring_dequeue(node->from, (void **)&mbuf) == 0)
        rte_pktmbuf_free(mbuf);
}

/* From now on its disk does nothing for the node, whose end is a kill: what was in flight is so for ever. The
 * crash comes with the next call that changes something: this one. */
static void kill_disk(struct sim_disk *disk)
{
    struct disk calls = sim_disk_disk(disk);

    sim_disk_crash_at(disk, sim_disk_boundaries(disk));
    must(calls.call->sync_folder(calls.state) < 0 && sim_disk_crashed(disk), "the disk has crashed");
}

void hub_kill(struct hub *hub, unsigned i, enum sim_crash crash)
{
    struct hub_node *node = &hub->nodes[i];
    struct sim_disk *found = NULL;

    if (node->disk != NULL) {
        kill_disk(node->disk);
        found = sim_disk_image(node->disk, crash, seeded_next(&hub->entropy));
    }
    node_stop(node->node);
    node->node = NULL;
    node->falls = node->fell = false;
    empty_rings(node);
    if (node->disk != NULL)
        sim_disk_destroy(node->disk);
    node->disk = found;
}

void hub_revive(struct hub *hub, unsigned i)
{
    start_node(hub, i);
}

void hub_crash(struct hub *hub, unsigned i, enum sim_crash crash)
{
    hub_kill(hub, i, crash);
    hub_revive(hub, i);
}

void hub_crash_soon(struct hub *hub, unsigned i, unsigned calls)
{
    struct sim_disk *disk = hub->nodes[i].disk;

    sim_disk_crash_at(disk, sim_disk_boundaries(disk) + calls);
    hub->nodes[i].falls = true;
}

bool hub_serves(struct hub *hub, unsigned i)
{
    for (unsigned steps = 0; steps < SERVES_NS / hub->step_ns; steps++) {
        struct node_recovery_progress progress;

        if (hub->nodes[i].fell)
            break;
        switch (node_readiness(hub->nodes[i].node, &progress, hub->error, sizeof hub->error)) {
        case NODE_READY:
            return true;
        case NODE_REFUSED:
            return false;
        case NODE_RECOVERING:
            hub_step(hub);
        }
    }
    snprintf(hub->error, sizeof hub->error, "it takes too long");
    return false;
}

void hub_stop(struct hub *hub)
{
    for (unsigned i = 0; i < hub->count; i++) {
        struct hub_node *node = &hub->nodes[i];

        if (node->disk != NULL && node->node != NULL)
            kill_disk(node->disk);
        node_stop(node->node);
        name_lookup_destroy(node->primary);
        port_close(&node->port);
        if (node->disk != NULL)
            sim_disk_destroy(node->disk);
        empty_rings(node);
        rte_ring_free(node->to);
        rte_ring_free(node->from);
    }
    for (unsigned i = 0; i < hub->flying; i++)
        rte_pktmbuf_free(hub->flight[i].mbuf);
}

/* ---- frames ---- */

static void trace_frame(struct hub *hub, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hub->trace = (hub->trace ^ bytes[i]) * UINT64_C(0x100000001B3);
}

static bool happens(struct hub *hub, unsigned percent, uint64_t *count)
{
    bool yes = seeded_below(&hub->entropy, 100) < percent;

    *count += yes;
    return yes;
}

static void corrupt(struct hub *hub, struct rte_mbuf *mbuf)
{
    uint64_t bit = seeded_below(&hub->entropy, 8 * (uint64_t)rte_pktmbuf_data_len(mbuf));

    rte_pktmbuf_mtod(mbuf, uint8_t *)[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

/* A copy of the frame on its way to one station. */
static void send_copy(struct hub *hub, unsigned to, const uint8_t *bytes, size_t length)
{
    unsigned copies = 1;

    if (happens(hub, hub->faults.lose_percent, &hub->counts.lost))
        return;
    copies += happens(hub, hub->faults.repeat_percent, &hub->counts.repeated);
    while (copies-- > 0) {
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(hub->pool);
        uint64_t delay = seeded_below(&hub->entropy, hub->faults.delay_steps_max + 1);

        must(mbuf != NULL && hub->flying < HUB_FLIGHT_MAX, "more frames are on their way than the hub holds");
        memcpy(rte_pktmbuf_append(mbuf, (uint16_t)length), bytes, length);
        if (hub->faults.corrupt_percent > 0 && to != HUB_NODES_MAX &&
            happens(hub, hub->faults.corrupt_percent, &hub->counts.corrupted))
            corrupt(hub, mbuf);
        hub->counts.delayed += delay > 0;
        hub->flight[hub->flying++] =
            (struct hub_frame){.mbuf = mbuf, .to = to, .due_step = hub->steps + 1 + delay};
    }
}

/* Whether a frame of this destination goes that way: a hub's goes everywhere, a cluster's to whom it names. */
static bool goes_to(const struct hub *hub, unsigned to, const uint8_t *bytes)
{
    if (!hub->cluster || (bytes[0] & 1) != 0)
        return true;
    return memcmp(bytes, to == HUB_NODES_MAX ? hub->client_mac : hub->nodes[to].mac, 6) == 0;
}

static void send_unless_cut(struct hub *hub, unsigned from, unsigned to, const uint8_t *bytes, size_t length)
{
    if (!goes_to(hub, to, bytes))
        return;
    bool tcp = length > 14 + 9 && frame_get16(bytes + 12) == 0x0800 && bytes[14 + 9] == IPPROTO_TCP;
    if (hub->cut[from][to] || (hub->no_tcp && tcp && from != HUB_NODES_MAX && to != HUB_NODES_MAX))
        hub->counts.cut++;
    else
        send_copy(hub, to, bytes, length);
}

/* from: the sending station, HUB_NODES_MAX for the client. */
static void enter(struct hub *hub, unsigned from, const uint8_t *bytes, size_t length)
{
    trace_frame(hub, bytes, length);
    for (unsigned to = 0; to < hub->count; to++)
        if (to != from)
            send_unless_cut(hub, from, to, bytes, length);
    if (from != HUB_NODES_MAX)
        send_unless_cut(hub, from, HUB_NODES_MAX, bytes, length);
}

void hub_inject(struct hub *hub, const uint8_t *bytes, size_t length)
{
    enter(hub, HUB_NODES_MAX, bytes, length);
}

static unsigned node_at(const struct hub *hub, uint32_t ip4)
{
    for (unsigned i = 0; i < hub->count; i++)
        if (hub->nodes[i].ip4 == ip4)
            return i;
    must(false, "a frame comes from nobody");
    return 0;
}

/* A frame reaches the client: datagrams from the node that it talks to are kept. */
static void client_takes(struct hub *hub, const uint8_t *bytes, size_t length)
{
    const struct hub_node *node = &hub->nodes[hub->talks_to];
    const uint8_t *ip4 = bytes + 14, *udp = ip4 + 20;
    size_t payload;

    if (memcmp(bytes, hub->client_mac, 6) != 0) {
        hub->unexpected_frames +=
            (bytes[0] & 1) == 0; /* a hub shows us our neighbours' frames; nodes are silent */
        return;
    }
    if (frame_get16(bytes + 12) != 0x0800 || ip4[9] != 17)
        return;
    must(frame_sum(0, ip4, 20) == 0xFFFF, "a node sent a wrong IPv4 checksum");
    must(frame_udp_sum(ip4, udp, frame_get16(udp + 4)) == 0xFFFF, "a node sent a wrong UDP checksum");
    payload = frame_get16(udp + 4) - 8u;
    must(14 + 28 + payload <= length && payload <= DATAGRAM_BYTES_MAX, "a node sent a wrong length");
    if (frame_get16(udp + 2) != CLIENT_PORT) {
        if (hub->listener != NULL)
            hub->listener(hub->listener_state, node_at(hub, frame_get32(ip4 + 12)), frame_get16(udp + 2),
                          udp + 8, payload);
        return;
    }
    if (memcmp(bytes + 6, node->mac, 6) != 0 || frame_get32(ip4 + 12) != node->ip4 ||
        hub->inbox_count == HUB_INBOX_MAX)
        return;
    unsigned place = (hub->inbox_first + hub->inbox_count++) % HUB_INBOX_MAX;
    memcpy(hub->inbox[place].bytes, udp + 8, payload);
    hub->inbox[place].length = payload;
}

static void deliver_due(struct hub *hub)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < hub->flying; i++) {
        struct hub_frame *frame = &hub->flight[i];

        if (frame->due_step > hub->steps) {
            hub->flight[kept++] = *frame;
        } else if (frame->to != HUB_NODES_MAX) {
            if (hub->nodes[frame->to].node == NULL ||
                rte_ring_enqueue(hub->nodes[frame->to].to, frame->mbuf) != 0)
                rte_pktmbuf_free(frame->mbuf);
        } else {
            client_takes(hub, rte_pktmbuf_mtod(frame->mbuf, const uint8_t *),
                         rte_pktmbuf_data_len(frame->mbuf));
            rte_pktmbuf_free(frame->mbuf);
        }
    }
    hub->flying = kept;
}

/* Every part of a node has its turn. */
static void turn_node(struct hub *hub, unsigned i)
{
    struct hub_node *node = &hub->nodes[i];
    struct rte_mbuf *mbuf;

    node_worker_turn(node->node, 0, hub->now);
    node_control_turn(node->node, hub->now);
    node_helper_step(node->node);
    if (node->disk != NULL && !node->paused_disk)
        node_housekeeping_step(node->node);
    node->fell = node->falls && sim_disk_crashed(node->disk);
    while (rte_ring_dequeue(node->from, (void **)&mbuf) == 0) {
        /* What it says in the turn in which it fell may have been said after that. */
        if (!node->fell)
            enter(hub, i, rte_pktmbuf_mtod(mbuf, const uint8_t *), rte_pktmbuf_data_len(mbuf));
        rte_pktmbuf_free(mbuf);
    }
}

void hub_step(struct hub *hub)
{
    hub->steps++;
    hub->now.mono_ns += hub->step_ns;
    hub->now.wall_ms = UINT64_C(1700000000000) + hub->now.mono_ns / 1000000;
    deliver_due(hub);
    for (unsigned i = 0; i < hub->count; i++)
        if (hub->nodes[i].node != NULL && !hub->nodes[i].paused && !hub->nodes[i].fell)
            turn_node(hub, i);
}

/* ---- the client's link ---- */

void hub_client_send(struct hub *hub, unsigned node, uint16_t port, const uint8_t *bytes, size_t length)
{
    struct frame_fields fields = {.vlan_tci = FRAME_UNTAGGED,
                                  .source = hub->client_ip4,
                                  .destination = hub->nodes[node].ip4,
                                  .source_port = port,
                                  .destination_port = PROTOCOL_DEFAULT_PORT};
    struct frame frame;

    memcpy(fields.to, hub->nodes[node].mac, 6);
    memcpy(fields.from, hub->client_mac, 6);
    frame_udp(&frame, &fields, bytes, length);
    enter(hub, HUB_NODES_MAX, frame.bytes, frame.length);
}

static void link_send(void *state, const uint8_t *bytes, size_t length)
{
    struct hub *hub = state;

    hub_client_send(hub, hub->talks_to, CLIENT_PORT, bytes, length);
}

static size_t link_receive(void *state, uint8_t *out, size_t room, unsigned timeout_ms)
{
    struct hub *hub = state;
    uint64_t until_ns = hub->now.mono_ns + UINT64_C(1000000) * timeout_ms;
    size_t length;

    while (hub->inbox_count == 0 && hub->now.mono_ns < until_ns)
        hub_step(hub);
    if (hub->inbox_count == 0)
        return 0;
    length = hub->inbox[hub->inbox_first].length;
    must(length <= room, "a datagram is larger than the protocol allows");
    memcpy(out, hub->inbox[hub->inbox_first].bytes, length);
    hub->inbox_first = (hub->inbox_first + 1) % HUB_INBOX_MAX;
    hub->inbox_count--;
    return length;
}

static void link_pass_time(void *state, unsigned ms)
{
    struct hub *hub = state;

    for (uint64_t until_ns = hub->now.mono_ns + UINT64_C(1000000) * ms; hub->now.mono_ns < until_ns;)
        hub_step(hub);
}

struct datagram_link hub_link(struct hub *hub)
{
    return (struct datagram_link){
        .state = hub, .send = link_send, .receive = link_receive, .pass_time = link_pass_time};
}
