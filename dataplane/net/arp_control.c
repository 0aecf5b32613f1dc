#include "net/arp_control.h"

#include <rte_malloc.h>

#include "net/arp.h"
#include "net/eth.h"
#include "net/ip4.h"

struct arp_control {
    struct arp_control_config config;
    struct neighbour_table *neighbours;
    unsigned announcements_left;
    uint64_t announce_due_ns;
    /* conflicts: at most one defence and one report an interval */
    uint64_t defended_until_ns;
    bool conflict_unreported;
    struct rte_ether_addr claimant;
};

struct arp_control *arp_control_create(const struct arp_control_config *config)
{
    struct arp_control *control = rte_zmalloc_socket("arp_control", sizeof *control, 64, config->numa_node);
    if (control == NULL)
        return NULL;
    control->config = *config;
    control->neighbours = neighbour_table_create(config->numa_node);
    if (control->neighbours == NULL) {
        rte_free(control);
        return NULL;
    }
    arp_control_announce(control);
    return control;
}

void arp_control_destroy(struct arp_control *control)
{
    if (control == NULL)
        return;
    neighbour_table_destroy(control->neighbours);
    rte_free(control);
}

static unsigned send_packet(struct arp_control *control, const struct arp_packet *arp, const uint8_t to[6],
                            enum counter sent)
{
    const struct arp_control_config *config = &control->config;
    struct rte_mbuf *frame = rte_pktmbuf_alloc(config->pool);
    uint8_t *start = NULL;
    if (frame != NULL)
        start = (uint8_t *)rte_pktmbuf_append(frame, sizeof(struct rte_ether_hdr) + ARP_BYTES);
    if (start == NULL) {
        rte_pktmbuf_free(frame);
        counter_add(config->counters, COUNTER_tx_no_buffer, 1);
        return 0;
    }
    uint8_t *packet = start + sizeof(struct rte_ether_hdr);
    eth_header_write(packet, to, config->mac.addr_bytes, VLAN_NONE, RTE_ETHER_TYPE_ARP);
    arp_encode(packet, arp);
    if (config->queue.transmit(config->queue.state, &frame, 1) != 1) {
        rte_pktmbuf_free(frame);
        counter_add(config->counters, COUNTER_tx_ring_full, 1);
        return 0;
    }
    counter_add(config->counters, sent, 1);
    return 1;
}

static struct arp_packet packet_from_us(const struct arp_control *control, rte_be32_t target)
{
    struct arp_packet arp = {.operation = ARP_REQUEST, .sender = control->config.address, .target = target};
    memcpy(arp.sender_mac, control->config.mac.addr_bytes, 6);
    return arp;
}

/* ---- received ---- */

/* RFC 5227 2.4 (c): an appliance keeps its address and says so, but not in a storm. */
static void defend(struct arp_control *control, const struct arp_packet *arp, uint64_t now_ns)
{
    counter_add(control->config.counters, COUNTER_arp_conflict, 1);
    if (now_ns < control->defended_until_ns)
        return;
    control->defended_until_ns = now_ns + ARP_DEFEND_INTERVAL_NS;
    control->conflict_unreported = true;
    memcpy(control->claimant.addr_bytes, arp->sender_mac, 6);
    if (control->announcements_left == 0)
        control->announcements_left = 1;
}

static unsigned judge(struct arp_control *control, const uint8_t *bytes, size_t length, uint64_t now_ns)
{
    const struct arp_control_config *config = &control->config;
    struct arp_packet arp;
    rte_be16_t type;
    if (length < sizeof(struct rte_ether_hdr))
        return COUNTER_eth_runt;
    memcpy(&type, bytes + 12, 2);
    if (type != RTE_BE16(RTE_ETHER_TYPE_ARP))
        return COUNTER_eth_unknown_type;
    unsigned verdict =
        arp_decode(&arp, bytes + sizeof(struct rte_ether_hdr), length - sizeof(struct rte_ether_hdr));
    if (verdict != NET_ACCEPT)
        return verdict;
    if (eth_mac_word(arp.sender_mac) == eth_mac_word(config->mac.addr_bytes))
        return COUNTER_eth_bad_source; /* our own, come round */
    if (arp.sender == config->address) {
        defend(control, &arp, now_ns);
        return NET_ACCEPT;
    }
    bool answer = arp.operation == ARP_REPLY && arp.target == config->address &&
                  eth_mac_word(bytes) == eth_mac_word(config->mac.addr_bytes);
    switch (neighbour_heard(control->neighbours, &arp, answer, now_ns)) {
    case NEIGHBOUR_CONFIRMED:
        return COUNTER_arp_neighbour_confirmed;
    case NEIGHBOUR_PROBED:
        return COUNTER_arp_neighbour_probed;
    default:
        return COUNTER_arp_ignored;
    }
}

void arp_control_frame(struct arp_control *control, struct rte_mbuf *frame, uint64_t now_ns)
{
    unsigned verdict = judge(control, rte_pktmbuf_mtod(frame, const uint8_t *), frame->data_len, now_ns);
    if (verdict != NET_ACCEPT)
        counter_add(control->config.counters, (enum counter)verdict, 1);
    rte_pktmbuf_free(frame);
}

/* ---- sent ---- */

void arp_control_announce(struct arp_control *control)
{
    control->announcements_left = ARP_ANNOUNCEMENTS;
    control->announce_due_ns = 0;
}

static unsigned announce(struct arp_control *control, uint64_t now_ns)
{
    if (control->announcements_left == 0 || now_ns < control->announce_due_ns)
        return 0;
    control->announcements_left--;
    control->announce_due_ns = now_ns + ARP_ANNOUNCE_INTERVAL_NS;
    /* RFC 5227 2.3: a request in which sender and target are our address */
    struct arp_packet arp = packet_from_us(control, control->config.address);
    static const uint8_t everybody[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    return send_packet(control, &arp, everybody, COUNTER_arp_announced);
}

unsigned arp_control_turn(struct arp_control *control, uint64_t now_ns)
{
    unsigned sent = announce(control, now_ns);
    if (control->config.gateway != 0 &&
        neighbour_state(control->neighbours, control->config.gateway) == NEIGHBOUR_FREE)
        (void)neighbour_want(control->neighbours, control->config.gateway, true, now_ns);
    struct neighbour_request request;
    /* bounded by the table's own rate limit */
    while (neighbour_due(control->neighbours, now_ns, &request)) {
        struct arp_packet arp = packet_from_us(control, request.address);
        if (!request.broadcast)
            memcpy(arp.target_mac, request.mac, 6);
        sent += send_packet(control, &arp, request.mac, COUNTER_arp_requested);
    }
    return sent;
}

bool arp_control_conflict(struct arp_control *control, struct rte_ether_addr *claimant)
{
    bool news = control->conflict_unreported;
    control->conflict_unreported = false;
    *claimant = control->claimant;
    return news;
}

/* ---- next hops ---- */

rte_be32_t arp_control_next_hop(const struct arp_control *control, rte_be32_t destination)
{
    unsigned prefix = control->config.prefix_length;
    uint32_t mask = prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
    bool on_link = ((destination ^ control->config.address) & rte_cpu_to_be_32(mask)) == 0;
    return on_link ? destination : control->config.gateway;
}

bool arp_control_resolve(struct arp_control *control, rte_be32_t destination, uint64_t now_ns)
{
    rte_be32_t hop = arp_control_next_hop(control, destination);
    if (hop == 0)
        return false;
    bool wanted = neighbour_want(control->neighbours, hop, hop == control->config.gateway, now_ns);
    if (!wanted)
        counter_add(control->config.counters, COUNTER_arp_no_room, 1);
    return wanted;
}

const struct neighbour_table *arp_control_neighbours(const struct arp_control *control)
{
    return control->neighbours;
}
