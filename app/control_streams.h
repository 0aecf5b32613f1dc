/*
 * control_streams.h - byte streams of the control lcore's own, for replication: over our own TCP where the node has
 * ports, over kernel sockets where it has those. Above it (stream.h) nobody can tell.
 *
 * Over ports the control lcore runs a worker of its own (worker.h) whose queues are rings. What arrives:
 *   tier 1, flow    the device steers frames of the replication port to the control lcore's queue (rte_flow), where it
 *                   has such a queue and accepts such a rule
 *   tier 2, ring    a worker that receives a frame for the replication port, or of a flow that this node has opened, hands
 *                   it over by a ring, which is bounded: what it does not hold is dropped and counted. Of strangers it
 *                   holds a quarter (control_streams_peer())
 * What leaves goes by the control lcore's queue, else by worker 0's, as ARP does (control.h). A port that is for streams
 * alone (node_port.streams_only) is polled by the control lcore itself; then the others carry none.
 *
 * Owner: the control lcore.
 */
#ifndef WILD_CONTROL_STREAMS_H
#define WILD_CONTROL_STREAMS_H

#include <stdbool.h>

#include "instant.h"
#include "stream.h"

struct node;
struct port_steering_functions;
struct control_streams;

struct control_streams_config {
    struct stream_acceptor acceptor; /* accepted NULL: nobody listens */
    /* Host order; where the acceptor listens, at the address that the node's clients use or, if replication has one of its
     * own (node.h), at that. 0: any that is free (over sockets). */
    uint16_t port;
    unsigned streams_max;
    uint32_t send_bytes_max, receive_bytes_max;     /* each */
    const struct port_steering_functions *steering; /* NULL: the devices' own (port_steering.h) */
};

/* 0 and *out; -1 with one line in `error`. node: its ports or sockets are open; borrowed. One a node. */
int control_streams_create(struct control_streams **out, struct node *node,
                           const struct control_streams_config *config, char *error, size_t error_bytes);
void control_streams_destroy(
    struct control_streams *streams); /* NULL is fine; every stream's `closed` is called */

/* Opens: peer and peer_port of *flow. `connected` or `closed` follow, never from inside. NULL: not now, or no way there.
 * Over ports it waits until the next hop is known; who is not found within seconds is unreachable. */
struct stream *control_streams_connect(struct control_streams *streams, const struct flow *flow,
                                       const struct stream_events *events, void *user, struct instant now);

/*
 * Of a stream that was accepted: the peer has been found at its address; has our secret; has gone. Where frames come by the
 * workers' ring a flood from elsewhere leaves room for it (worker.h).
 */
enum control_streams_peer { CONTROL_PEER_GONE, CONTROL_PEER_ACCEPTED, CONTROL_PEER_TRUSTED };
void control_streams_peer(struct control_streams *streams, const struct stream *stream,
                          enum control_streams_peer peer);

/* Things done: 0 means idle. node_control_turn() calls it; what is written to streams later in that leaves with the next
 * one. */
unsigned control_streams_turn(struct control_streams *streams, struct instant now);

/* The port that is listened at, host order; 0: none. */
uint16_t control_streams_port(const struct control_streams *streams);
/* How frames of streams come: "flow", "ring", "port" (one for them alone) or "sockets". A device's reason to want no rule is a line of the log. */
const char *control_streams_tier(const struct control_streams *streams);

/*
 * For the nap of who calls the turns: readable (poll(2)) when something has arrived, -1: there is no such descriptor;
 * and when the next turn has something to do anyway, UINT64_MAX: never.
 */
int control_streams_wait_fd(const struct control_streams *streams);
uint64_t control_streams_next_ns(const struct control_streams *streams);

#endif
