#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "net/arp_control.h"
#include "node.h"

/* Rings live in the node's own memory: names in the EAL would be shared by all nodes of a process. */
static struct rte_ring *ring_create_elements(unsigned bytes_each, unsigned elements, unsigned flags)
{
    ssize_t bytes = rte_ring_get_memsize_elem(bytes_each, elements);
    struct rte_ring *ring = bytes < 0 ? NULL : aligned_alloc(64, ((size_t)bytes + 63) & ~(size_t)63);

    if (ring != NULL && rte_ring_init(ring, "control", elements, flags) != 0) {
        free(ring);
        return NULL;
    }
    return ring;
}

static struct rte_ring *ring_create(unsigned frames, unsigned flags)
{
    return ring_create_elements(sizeof(struct rte_mbuf *), frames, flags);
}

static void ring_destroy(struct rte_ring *ring)
{
    void *frame;

    if (ring == NULL)
        return;
    while (rte_ring_dequeue(ring, &frame) == 0)
        rte_pktmbuf_free(frame);
    free(ring);
}

/* A transmit function for a device without a queue of the control lcore's: worker 0 sends. */
static uint16_t transmit_by_worker(void *state, struct rte_mbuf **frames, uint16_t count)
{
    return (uint16_t)rte_ring_enqueue_burst(state, (void **)frames, count, NULL);
}

static uint16_t receive_nothing(void *state, struct rte_mbuf **frames, uint16_t room)
{
    (void)state;
    (void)frames;
    (void)room;
    return 0;
}

static int start_link(struct control *control, unsigned i)
{
    const struct node_config *config = control->config;
    const struct node_port *port = &config->port[i];
    struct control_link *link = &control->link[i];
    uint32_t mask = port->prefix_length == 0 ? 0 : UINT32_MAX << (32 - port->prefix_length);
    uint32_t ip4 = rte_be_to_cpu_32(address_ip4(&port->address));
    struct arp_control_config arp = {
        .mac = port->port.mac,
        .address = address_ip4(&port->address),
        .prefix_length = port->prefix_length,
        .pool = config->pool,
        .counters = &control->counters,
        .numa_node = config->numa_node,
    };

    /* The gateway is asked for on the one network that it lies in. */
    if (config->gateway_ip4 != 0 && ((config->gateway_ip4 ^ ip4) & mask) == 0)
        arp.gateway = rte_cpu_to_be_32(config->gateway_ip4);
    if (port->streams_only) {
        arp.queue = port->port.queue[0];
    } else if (port->port.control_queue) {
        arp.queue = port->port.queue[port->port.workers];
    } else {
        link->by_worker = ring_create(NODE_STREAMS_RING_FRAMES, RING_F_SP_ENQ | RING_F_SC_DEQ);
        if (link->by_worker == NULL)
            return -1;
        arp.queue = (struct port_queue){link->by_worker, receive_nothing, transmit_by_worker};
    }
    link->to_streams = ring_create(NODE_STREAMS_RING_FRAMES, RING_F_SC_DEQ);
    if (link->to_streams == NULL)
        return -1;
    link->arp = arp_control_create(&arp);
    link->up = port->link_up == NULL || port->link_up(&port->port);
    return link->arp != NULL ? 0 : -1;
}

int control_start(struct control *control, const struct node_config *config, struct log_ring *const *logs,
                  unsigned count, uint64_t first_lsn)
{
    control->config = config;
    log_merge_init(&control->merge, logs, count, first_lsn);
    control->from_workers = ring_create(NODE_CONTROL_RING_FRAMES, RING_F_SC_DEQ);
    if (control->from_workers == NULL)
        return -1;
    if (config->ports > 0) {
        control->icmp_errors =
            ring_create_elements(sizeof(struct tcp_icmp_error), NODE_ICMP_RING_ERRORS, RING_F_SC_DEQ);
        if (control->icmp_errors == NULL) {
            control_stop(control);
            return -1;
        }
    }
    for (unsigned i = 0; i < config->ports; i++)
        if (start_link(control, i) != 0) {
            control_stop(control);
            return -1;
        }
    return 0;
}

void control_stop(struct control *control)
{
    ring_destroy(control->from_workers);
    control->from_workers = NULL;
    free(control->icmp_errors);
    control->icmp_errors = NULL;
    for (unsigned i = 0; i < NODE_PORTS_MAX; i++) {
        if (control->link[i].arp != NULL)
            arp_control_destroy(control->link[i].arp);
        ring_destroy(control->link[i].by_worker);
        ring_destroy(control->link[i].to_streams);
        control->link[i] = (struct control_link){0};
    }
}

bool control_has_frames(const struct control *control)
{
    for (unsigned i = 0; i < control->config->ports; i++)
        if (!rte_ring_empty(control->link[i].to_streams))
            return true;
    return false;
}

/* ---- tasks ---- */

static unsigned discard_log(struct control *control)
{
    unsigned records = 0;
    size_t length;

    while (records < CONTROL_LOG_RECORDS_TURN && log_merge_peek(&control->merge, &length) != NULL) {
        control->log_bytes += length;
        log_merge_pop(&control->merge);
        records++;
    }
    control->log_records += records;
    return records;
}

static unsigned take_frames(struct control *control, struct instant now)
{
    struct rte_mbuf *frames[CONTROL_FRAMES_TURN];
    unsigned count =
        rte_ring_sc_dequeue_burst(control->from_workers, (void **)frames, CONTROL_FRAMES_TURN, NULL);

    for (unsigned i = 0; i < count; i++)
        arp_control_frame(control->link[frames[i]->port].arp, frames[i], now.mono_ns);
    return count;
}

static void look_at_links(struct control *control)
{
    const struct node_config *config = control->config;

    for (unsigned i = 0; i < config->ports; i++) {
        const struct node_port *port = &config->port[i];
        struct control_link *link = &control->link[i];
        struct rte_ether_addr claimant;
        bool up = port->link_up == NULL || port->link_up(&port->port);

        if (up != link->up)
            logger_line(&config->logger, up ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "port %u: link %s", i,
                        up ? "up" : "down");
        if (up && !link->up)
            arp_control_announce(link->arp);
        link->up = up;
        if (arp_control_conflict(link->arp, &claimant))
            logger_line(&config->logger, LOG_LEVEL_ERROR,
                        "port %u: " RTE_ETHER_ADDR_PRT_FMT " claims this node's address too", i,
                        RTE_ETHER_ADDR_BYTES(&claimant));
    }
}

unsigned control_turn(struct control *control, struct instant now)
{
    unsigned done = take_frames(control, now);

    if (control->config->log.folder == NULL)
        done += discard_log(control);

    for (unsigned i = 0; i < control->config->ports; i++)
        done += arp_control_turn(control->link[i].arp, now.mono_ns);
    if (now.mono_ns >= control->links_due_ns) {
        control->links_due_ns = now.mono_ns + CONTROL_LINK_INTERVAL_NS;
        look_at_links(control);
    }
    return done;
}
