/*
 * port_steering.h - asks a device to put some TCP segments into the control lcore's queue (rte_flow). A rule
 * is created only after the device has said that it would take it.
 */
#ifndef WILD_PORT_STEERING_H
#define WILD_PORT_STEERING_H

#include <stddef.h>
#include <stdint.h>

#include <rte_flow.h>

#include "port.h"

enum { PORT_STEERING_REASON_BYTES = 128 };

/* rte_flow's own, or a test's. */
struct port_steering_functions {
    int (*validate)(uint16_t port_id, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
                    const struct rte_flow_action actions[], struct rte_flow_error *error);
    struct rte_flow *(*create)(uint16_t port_id, const struct rte_flow_attr *attr,
                               const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
                               struct rte_flow_error *error);
    int (*destroy)(uint16_t port_id, struct rte_flow *rule, struct rte_flow_error *error);
};
extern const struct port_steering_functions port_steering_functions;

/* Which segments: IPv4, to this port, from this peer. 0: any. */
struct port_steering_wish {
    rte_be32_t peer;
    rte_be16_t peer_port, own_port;
};

struct port_steering {
    const struct port_steering_functions *functions;
    struct rte_flow *rule; /* NULL: none is in force */
    struct port_steering_wish wish;
    uint16_t port_id;
};

/* True: the rule is in force until port_steering_end(). False: why not, in one line without an end. */
bool port_steering_begin(struct port_steering *out, const struct port *port,
                         const struct port_steering_wish *wish,
                         const struct port_steering_functions *functions,
                         char reason[PORT_STEERING_REASON_BYTES]);
void port_steering_end(struct port_steering *steering); /* nothing where no rule is in force */

#endif
