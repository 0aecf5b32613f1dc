#include "port_steering.h"

#include <stdio.h>
#include <string.h>

#include <rte_errno.h>

const struct port_steering_functions port_steering_functions = {
    .validate = rte_flow_validate, .create = rte_flow_create, .destroy = rte_flow_destroy};

/* A rule as rte_flow wants it. */
struct rule {
    struct rte_flow_attr attr;
    struct rte_flow_item_ipv4 ip4, ip4_mask;
    struct rte_flow_item_tcp tcp, tcp_mask;
    struct rte_flow_item pattern[4];
    struct rte_flow_action_queue queue;
    struct rte_flow_action actions[2];
};

static void build(struct rule *rule, const struct port *port, const struct port_steering_wish *wish)
{
    *rule = (struct rule){
        .attr = {.ingress = 1},
        .ip4 = {.hdr.src_addr = wish->peer},
        .ip4_mask = {.hdr.src_addr = wish->peer != 0 ? UINT32_MAX : 0},
        .tcp = {.hdr = {.src_port = wish->peer_port, .dst_port = wish->own_port}},
        .tcp_mask = {.hdr = {.src_port = wish->peer_port != 0 ? UINT16_MAX : 0,
                             .dst_port = wish->own_port != 0 ? UINT16_MAX : 0}},
        .pattern = {{.type = RTE_FLOW_ITEM_TYPE_ETH},
                    {.type = RTE_FLOW_ITEM_TYPE_IPV4},
                    {.type = RTE_FLOW_ITEM_TYPE_TCP},
                    {.type = RTE_FLOW_ITEM_TYPE_END}},
        .queue = {.index = (uint16_t)port->workers},
        .actions = {{.type = RTE_FLOW_ACTION_TYPE_QUEUE}, {.type = RTE_FLOW_ACTION_TYPE_END}},
    };
    if (wish->peer != 0) {
        rule->pattern[1].spec = &rule->ip4;
        rule->pattern[1].mask = &rule->ip4_mask;
    }
    rule->pattern[2].spec = &rule->tcp;
    rule->pattern[2].mask = &rule->tcp_mask;
    rule->actions[0].conf = &rule->queue;
}

static void explain(char reason[PORT_STEERING_REASON_BYTES], const struct rte_flow_error *error, int why)
{
    snprintf(reason, PORT_STEERING_REASON_BYTES, "the device refuses the rule: %s",
             error->message != NULL ? error->message : strerror(why));
}

bool port_steering_begin(struct port_steering *out, const struct port *port,
                         const struct port_steering_wish *wish,
                         const struct port_steering_functions *functions,
                         char reason[PORT_STEERING_REASON_BYTES])
{
    struct rte_flow_error error = {.message = NULL};
    struct rule rule;
    *out = (struct port_steering){.functions = functions, .wish = *wish, .port_id = port->port_id};
    if (!port->control_queue) {
        snprintf(reason, PORT_STEERING_REASON_BYTES, "the device has no queue for the control lcore");
        return false;
    }
    build(&rule, port, wish);
    int refused = functions->validate(port->port_id, &rule.attr, rule.pattern, rule.actions, &error);
    if (refused != 0) {
        explain(reason, &error, refused < 0 ? -refused : refused);
        return false;
    }
    error.message = NULL;
    out->rule = functions->create(port->port_id, &rule.attr, rule.pattern, rule.actions, &error);
    if (out->rule == NULL)
        explain(reason, &error, rte_errno);
    return out->rule != NULL;
}

void port_steering_end(struct port_steering *steering)
{
    struct rte_flow_error error;
    if (steering->rule != NULL)
        (void)steering->functions->destroy(steering->port_id, steering->rule, &error);
    steering->rule = NULL;
}
