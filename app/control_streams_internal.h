/*
 * control_streams_internal.h - what the files of control_streams share. Nobody else includes it.
 *
 *   control_streams.c          which of the two a node has
 *   control_streams_sockets.c  over kernel sockets
 *   control_streams_ports.c    over our own TCP: a worker whose queues are rings, or the device's control queue
 */
#ifndef WILD_CONTROL_STREAMS_INTERNAL_H
#define WILD_CONTROL_STREAMS_INTERNAL_H

#include "app_limits.h"
#include "control_streams.h"
#include "kernel/kernel_worker.h"
#include "net/endpoint.h"
#include "port_steering.h"
#include "worker.h"

struct control_link;

/* A port's frames as the control lcore's worker gets and sends them. */
struct control_streams_link {
    const struct control_link *control;
    struct port_queue queue; /* the device's; receive NULL: it has none for the control lcore */
    struct port_steering listens,
        opens; /* rules in force: of the listener, of the last opening that took this port */
};

/*
 * A flow that this node has opened.
 *     FREE -> SEEKING (its next hop has no MAC yet) -> OPENED -> FREE once its connection is gone and the place is wanted
 */
struct control_streams_opening {
    enum { OPENING_FREE, OPENING_SEEKING, OPENING_OPENED } state;
    struct flow flow;
    unsigned link;
    uint64_t began_ns;
};

struct control_streams {
    struct node *node;
    struct control_streams_config config;

    /* sockets */
    struct kernel_port listener; /* where somebody listens; else it has no workers */
    struct kernel_worker *sockets;

    /* ports */
    struct worker *worker;
    struct tcp *tcp;
    const struct port_steering_functions *steering;
    struct control_streams_link link[NODE_PORTS_MAX];
    struct control_streams_opening opening[WORKER_HANDOVER_FLOWS];
    unsigned seeking;
    uint64_t turned_ns; /* the last turn */
};

/* 0 or -1, as control_streams_create(). */
int control_sockets_start(struct control_streams *streams, char *error, size_t error_bytes);
void control_sockets_stop(struct control_streams *streams);

int control_ports_start(struct control_streams *streams, char *error, size_t error_bytes);
void control_ports_stop(struct control_streams *streams);
struct stream *control_ports_connect(struct control_streams *streams, const struct flow *flow,
                                     const struct stream_events *events, void *user, struct instant now);
unsigned control_ports_turn(struct control_streams *streams, struct instant now);
uint64_t control_ports_next_ns(const struct control_streams *streams);
const char *control_ports_tier(const struct control_streams *streams);

#endif
