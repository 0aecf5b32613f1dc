/* control_streams.c - the streams of the control lcore: over sockets or ports, as the node has them. */
#include "control_streams_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_internal.h"

static bool over_sockets(const struct control_streams *streams)
{
    return streams->node->config.kernel != NULL;
}

int control_streams_create(struct control_streams **out, struct node *node,
                           const struct control_streams_config *config, char *error, size_t error_bytes)
{
    struct control_streams *streams = calloc(1, sizeof *streams);

    if (streams == NULL) {
        snprintf(error, error_bytes, "not enough memory");
        return -1;
    }
    streams->node = node;
    streams->config = *config;
    streams->steering = config->steering != NULL ? config->steering : &port_steering_functions;
    if ((over_sockets(streams) ? control_sockets_start : control_ports_start)(streams, error, error_bytes) !=
        0) {
        free(streams);
        return -1;
    }
    node->streams = *out = streams;
    return 0;
}

void control_streams_destroy(struct control_streams *streams)
{
    if (streams == NULL)
        return;
    streams->node->streams = NULL;
    if (over_sockets(streams))
        control_sockets_stop(streams);
    else
        control_ports_stop(streams);
    free(streams);
}

struct stream *control_streams_connect(struct control_streams *streams, const struct flow *flow,
                                       const struct stream_events *events, void *user, struct instant now)
{
    const struct node_replication_config *replication = &streams->node->config.replication;
    struct flow to = {.peer = flow->peer,
                      .local = replication->own_address ? replication->address : address_from_ip4(0),
                      .peer_port = flow->peer_port};

    if (!over_sockets(streams))
        return control_ports_connect(streams, flow, events, user, now);
    return kernel_connect(streams->sockets, &to, events, user);
}

void control_streams_peer(struct control_streams *streams, const struct stream *stream,
                          enum control_streams_peer peer)
{
    static const enum worker_handover_rank rank[] = {[CONTROL_PEER_GONE] = HANDOVER_STRANGER,
                                                     [CONTROL_PEER_ACCEPTED] = HANDOVER_ACCEPTED,
                                                     [CONTROL_PEER_TRUSTED] = HANDOVER_TRUSTED};

    if (!over_sockets(streams))
        worker_handover_set(&streams->node->control.handover, address_ip4(&stream->flow.peer),
                            stream->flow.peer_port, rank[peer]);
}

unsigned control_streams_turn(struct control_streams *streams, struct instant now)
{
    return over_sockets(streams) ? kernel_turn(streams->sockets, now) : control_ports_turn(streams, now);
}

uint16_t control_streams_port(const struct control_streams *streams)
{
    return streams->config.port;
}

const char *control_streams_tier(const struct control_streams *streams)
{
    return over_sockets(streams) ? "sockets" : control_ports_tier(streams);
}

int control_streams_wait_fd(const struct control_streams *streams)
{
    return over_sockets(streams) ? kernel_wait_fd(streams->sockets) : -1;
}

uint64_t control_streams_next_ns(const struct control_streams *streams)
{
    return over_sockets(streams) ? kernel_next_ns(streams->sockets) : control_ports_next_ns(streams);
}
