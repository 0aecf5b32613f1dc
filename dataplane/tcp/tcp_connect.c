/*
 * tcp_connect.c - active opens (RFC 9293 3.10.1), the choice of their local port (RFC 6056), and those that
 * wait for a station to send to.
 */
#include "tcp/tcp_internal.h"

static bool port_is_free(struct tcp *tcp, const struct flow *flow)
{
    return tcp_listener_at(tcp, flow->local_port) == NULL &&
           tcp_find(tcp, flow, tcp_flow_hash(&tcp->demux, flow)) == TCP_DEMUX_NONE &&
           (tcp->config.port_is_ours == NULL ||
            tcp->config.port_is_ours(tcp->config.port_is_ours_state, flow));
}

/* RFC 6056 3.3.3, algorithm 3: from a place that depends, under a key, on the destination, ports in turn. */
static bool choose_port(struct tcp *tcp, struct flow *flow)
{
    struct {
        struct address peer, local;
        rte_be16_t peer_port;
        uint16_t zero;
    } destination = {flow->peer, flow->local, flow->peer_port, 0};
    uint32_t offset =
        (uint32_t)siphash(&tcp->port_key, (const uint8_t *)&destination, sizeof destination, 2, 4);
    uint32_t ports = UINT16_MAX + 1 - TCP_PORT_FIRST;
    for (unsigned i = 0; i < TCP_PORT_TRIES; i++) {
        uint32_t port = TCP_PORT_FIRST + (offset + tcp->port_counter++) % ports;
        flow->local_port = rte_cpu_to_be_16((uint16_t)port);
        if (port_is_free(tcp, flow))
            return true;
    }
    return false;
}

/* A connection in SYN_SENT whose SYN has not left, or NULL. */
static struct tcp_connection *begin(struct tcp *tcp, const struct return_path *path,
                                    const struct stream_events *events, void *user, struct instant now)
{
    tcp->now = now;
    struct return_path chosen = *path;
    bool port =
        chosen.flow.local_port != 0 ? port_is_free(tcp, &chosen.flow) : choose_port(tcp, &chosen.flow);
    struct tcp_connection *c = NULL;
    /* whether a frame for the SYN is to be had: so NULL says at once that there is none */
    struct rte_mbuf *frame = port ? rte_pktmbuf_alloc(tcp->config.pool) : NULL;
    if (frame != NULL) {
        rte_pktmbuf_free(frame);
        c = tcp_connection_new(tcp, &chosen);
    }
    if (c == NULL) {
        tcp_count(tcp, COUNTER_tcp_connect_failed);
        return NULL;
    }
    c->stream.events = events;
    c->stream.user = user;
    c->state = TCP_SYN_SENT;
    c->marks = TCP_MARK_ACCEPTED | TCP_MARK_TIMESTAMPS | TCP_MARK_SACK | TCP_MARK_SCALE;
    tcp_connection_begin(c, tcp_initial_sequence(tcp, &chosen.flow, &c->ts_offset), 0);
    c->rcv_shift = tcp_window_shift(tcp);
    c->peer_mss = TCP_MSS_DEFAULT;
    tcp_path_set_mss(tcp, c);
    return c;
}

struct stream *tcp_connect(struct tcp *tcp, const struct return_path *path,
                           const struct stream_events *events, void *user, struct instant now)
{
    struct tcp_connection *c = begin(tcp, path, events, user, now);
    if (c == NULL)
        return NULL;
    tcp_send_syn(tcp, c);
    return &c->stream;
}

/* ---- openings whose station is yet to be found ---- */

struct stream *tcp_connect_later(struct tcp *tcp, const struct return_path *path,
                                 const struct stream_events *events, void *user, struct instant now)
{
    struct tcp_connection *c = begin(tcp, path, events, user, now);
    return c != NULL ? &c->stream : NULL;
}

/* NULL: it has ended meanwhile. */
static struct tcp_connection *find_waiting(struct tcp *tcp, const struct flow *flow)
{
    uint32_t number = tcp_find(tcp, flow, tcp_flow_hash(&tcp->demux, flow));
    if (number >= tcp->config.connections_max) /* none, too, is above */
        return NULL;
    struct tcp_connection *c = &tcp->connections[number];
    return c->state == TCP_SYN_SENT && !tcp_syn_left(c) ? c : NULL;
}

bool tcp_station_found(struct tcp *tcp, const struct flow *flow, const uint8_t mac[6], struct instant now)
{
    struct tcp_connection *c = find_waiting(tcp, flow);
    if (c == NULL)
        return false;
    tcp->now = now;
    memcpy(c->peer_mac, mac, sizeof c->peer_mac);
    tcp_send_syn(tcp, c);
    return true;
}

bool tcp_station_absent(struct tcp *tcp, const struct flow *flow, struct instant now)
{
    struct tcp_connection *c = find_waiting(tcp, flow);
    if (c == NULL)
        return false;
    tcp->now = now;
    tcp_count(tcp, COUNTER_tcp_connect_failed);
    tcp_connection_end(tcp, c, STREAM_END_UNREACHABLE);
    return true;
}

enum tcp_flow_state tcp_flow_state(const struct tcp *tcp, const struct flow *flow)
{
    uint32_t number = tcp_find(tcp, flow, tcp_flow_hash(&tcp->demux, flow));
    if (number == TCP_DEMUX_NONE)
        return TCP_FLOW_NONE;
    return number < tcp->config.connections_max ? TCP_FLOW_OPEN : TCP_FLOW_TIME_WAIT;
}
