/*
 * tcp.c - the life of one lcore's TCP: creation, listeners, turns, and the end of every call, when what has
 * to leave leaves and connections that ended are buried.
 */
#include "tcp/tcp.h"

#include <errno.h>

#include <rte_malloc.h>

#include "check.h"
#include "tcp/tcp_internal.h"

static bool config_is_sound(const struct tcp_config *config)
{
    return config->connections_max > 0 && config->connections_max <= TCP_CONNECTIONS_LIMIT &&
           config->time_wait_max <= TCP_CONNECTIONS_LIMIT && config->send_bytes_max >= STREAM_RESERVE_MAX &&
           config->receive_bytes_max >= TCP_MSS_MIN &&
           rte_pktmbuf_priv_size(config->pool) >= TCP_FRAME_PRIVATE_BYTES;
}

static struct siphash_key draw_key(const struct tcp_config *config)
{
    struct siphash_key key;
    random_fill(config->random, &key, sizeof key);
    return key;
}

struct tcp *tcp_create(const struct tcp_config *config, struct instant now)
{
    if (!config_is_sound(config))
        return NULL;
    struct tcp *tcp = rte_zmalloc_socket("tcp", sizeof *tcp, 64, config->numa_node);
    if (tcp == NULL)
        return NULL;
    tcp->config = *config;
    tcp->now = now;
    tcp->listening = true;
    tcp->isn_key = draw_key(config);
    tcp->cookie_key = draw_key(config);
    tcp->port_key = draw_key(config);
    random_fill(config->random, &tcp->port_counter, sizeof tcp->port_counter);
    tcp_timers_init(&tcp->timers, now.mono_ns);

    struct siphash_key demux_key = draw_key(config), source_key = draw_key(config);
    tcp->connections = rte_zmalloc_socket(
        "tcp_connections", config->connections_max * sizeof *tcp->connections, 64, config->numa_node);
    if (tcp->connections == NULL ||
        tcp_demux_init(&tcp->demux, config->connections_max + config->time_wait_max, &demux_key,
                       config->numa_node) < 0 ||
        tcp_sources_init(&tcp->sources, config->connections_max, config->per_source_max, &source_key,
                         config->numa_node) < 0 ||
        tcp_time_waits_init(&tcp->time_waits, config->time_wait_max, config->numa_node) < 0) {
        tcp_destroy(tcp);
        return NULL;
    }
    for (uint32_t i = config->connections_max; i-- > 0;) {
        tcp->connections[i].dirty_next = tcp->free;
        tcp->free = &tcp->connections[i];
    }
    return tcp;
}

static bool in_use(const struct tcp_connection *c)
{
    return c->stream.functions != NULL;
}

void tcp_destroy(struct tcp *tcp)
{
    tcp->ending = true; /* whatever users do in `closed`: nothing new begins */
    if (tcp->connections != NULL) {
        for (uint32_t i = 0; i < tcp->config.connections_max; i++) {
            if (in_use(&tcp->connections[i]))
                tcp_connection_end(tcp, &tcp->connections[i], STREAM_END_ABORTED);
        }
        tcp_finish(tcp);
    }
    tcp_time_waits_fini(&tcp->time_waits);
    tcp_sources_fini(&tcp->sources);
    tcp_demux_fini(&tcp->demux);
    rte_free(tcp->connections);
    rte_free(tcp);
}

const struct tcp_listener *tcp_listener_at(const struct tcp *tcp, rte_be16_t local_port)
{
    uint16_t port = rte_be_to_cpu_16(local_port);
    for (unsigned i = 0; i < tcp->listeners; i++) {
        if (tcp->listener[i].port == port)
            return &tcp->listener[i];
    }
    return NULL;
}

int tcp_listen(struct tcp *tcp, uint16_t port, struct stream_acceptor acceptor)
{
    if (tcp_listener_at(tcp, rte_cpu_to_be_16(port)) != NULL)
        return -EEXIST;
    if (tcp->listeners == TCP_LISTENERS_MAX)
        return -ENOSPC;
    tcp->listener[tcp->listeners++] = (struct tcp_listener){.port = port, .acceptor = acceptor};
    return 0;
}

void tcp_listen_stop(struct tcp *tcp)
{
    tcp->listening = false;
}

enum tcp_memory tcp_memory(const struct tcp *tcp)
{
    const struct tcp_config *config = &tcp->config;
    /* a new connection needs frames to answer; received ones are kept for services that do not read */
    if (tcp->free == NULL || tcp->send_frames >= config->send_frames_max)
        return TCP_MEMORY_NONE;
    /* the last eighth is for connections that are there */
    if (tcp->half_open >= config->half_open_max ||
        tcp->send_frames >= config->send_frames_max - config->send_frames_max / 8 ||
        tcp->receive_frames >= config->receive_frames_max - config->receive_frames_max / 8)
        return TCP_MEMORY_FEW;
    return TCP_MEMORY_PLENTY;
}

struct tcp_connection *tcp_connection_new(struct tcp *tcp, const struct return_path *path)
{
    struct tcp_connection *c = tcp->free;
    if (c == NULL || tcp->ending)
        return NULL;
    tcp->free = c->dirty_next;
    memset(c, 0, sizeof *c);
    c->tcp = tcp;
    c->stream.functions = &tcp_stream_functions;
    c->stream.flow = path->flow;
    memcpy(c->peer_mac, path->peer_mac, sizeof c->peer_mac);
    c->vlan_tci = path->vlan_tci;
    c->timer.at_ns = UINT64_MAX;
    c->received_ns = tcp->now.mono_ns;
    c->hash = tcp_flow_hash(&tcp->demux, &path->flow);
    tcp_demux_add(&tcp->demux, c->hash, tcp_number(tcp, c));
    tcp->connections_used++;
    tcp_path_start(tcp, c);
    return c;
}

static void connection_free(struct tcp *tcp, struct tcp_connection *c)
{
    tcp_frames_drop(tcp, c);
    if ((c->marks & TCP_MARK_PASSIVE) && (c->marks & TCP_MARK_ACCEPTED))
        tcp_source_give_back(&tcp->sources, &c->stream.flow.peer);
    c->stream.functions = NULL;
    c->dirty_next = tcp->free;
    tcp->free = c;
}

static void output(struct tcp *tcp, struct tcp_connection *c)
{
    if (c->reserved != NULL) {
        rte_pktmbuf_free(tcp_frame_mbuf(c->reserved));
        c->reserved = NULL;
    }
    if (c->state >= TCP_SYN_RECEIVED)
        tcp_output_connection(tcp, c);
    /* RFC 1122 4.2.3.2: nothing left that could carry the acknowledgement; it waits for something that can */
    if ((c->marks & TCP_MARK_ACK_DELAYED) && c->timer_at[TCP_TIMER_ACK] == 0)
        tcp_arm(tcp, c, TCP_TIMER_ACK, tcp->now.mono_ns + TCP_DELAYED_ACK_NS);
}

/* A connection waits for at most one thing by dirty_next: output, then its burial, then its next life. */
static void flush(struct tcp *tcp)
{
    struct tcp_connection *c = tcp->dirty;
    tcp->dirty = NULL;
    while (c != NULL) {
        struct tcp_connection *next = c->dirty_next;
        c->marks &= (uint16_t)~TCP_MARK_DIRTY;
        if (c->marks & TCP_MARK_CLOSING) {
            c->dirty_next = tcp->dead;
            tcp->dead = c;
        } else {
            output(tcp, c);
            if (c->marks & TCP_MARK_RESUME) /* not before the next turn */
                tcp_dirty(tcp, c);
        }
        c = next;
    }
}

void tcp_finish(struct tcp *tcp)
{
    flush(tcp);
    struct tcp_connection *c = tcp->dead;
    if (likely(c == NULL))
        return;
    tcp->dead = NULL;
    while (c != NULL) {
        struct tcp_connection *next = c->dirty_next;
        if (c->marks & TCP_MARK_ACCEPTED)
            c->stream.events->closed(&c->stream, (enum stream_end)c->end);
        connection_free(tcp, c);
        c = next;
    }
    /* What users of others wrote when they were told leaves now. Whom they aborted is buried by the next
     * call: users who abort each other cannot keep this one from ending. */
    flush(tcp);
}

static void fire(struct tcp *tcp, struct tcp_connection *c, enum tcp_timer which)
{
    switch (which) {
    case TCP_TIMER_RETRANSMIT:
        tcp_recovery_timeout(tcp, c);
        break;
    case TCP_TIMER_PERSIST:
        tcp_persist_timeout(tcp, c);
        break;
    case TCP_TIMER_ACK:
        if (c->marks & TCP_MARK_ACK_DELAYED)
            c->marks |= TCP_MARK_ACK_NOW;
        break;
    case TCP_TIMER_IDLE:
        tcp_idle_timeout(tcp, c);
        break;
    case TCP_TIMER_USER:
        c->stream.events->expired(&c->stream);
        break;
    case TCP_TIMER_STARVED:
        tcp_starved_timeout(tcp, c);
        break;
    case TCP_TIMERS:
        break;
    }
}

/* The wheel has called: deadlines that have passed are served, the earliest of the others is where it calls
 * next. */
static void connection_due(struct tcp *tcp, struct tcp_connection *c)
{
    for (unsigned i = 0; i < TCP_TIMERS; i++) {
        if (c->timer_at[i] == 0 || c->timer_at[i] > tcp->now.mono_ns)
            continue;
        c->timer_at[i] = 0;
        tcp_dirty(tcp, c);
        fire(tcp, c, (enum tcp_timer)i);
        if (c->marks & TCP_MARK_CLOSING)
            return;
    }
    uint64_t earliest = UINT64_MAX;
    for (unsigned i = 0; i < TCP_TIMERS; i++) {
        if (c->timer_at[i] != 0 && c->timer_at[i] < earliest)
            earliest = c->timer_at[i];
    }
    if (earliest < c->timer.at_ns)
        tcp_timers_arm(&tcp->timers, &c->timer, earliest);
}

static void serve_timers(struct tcp *tcp)
{
    for (unsigned i = 0; i < TCP_TIMERS_PER_TURN; i++) {
        uint32_t record = tcp_time_wait_due(&tcp->time_waits, tcp->now.mono_ns);
        if (record == UINT32_MAX)
            break;
        tcp_time_wait_end(tcp, record);
    }
    for (unsigned i = 0; i < TCP_TIMERS_PER_TURN; i++) {
        struct tcp_timer_entry *entry = tcp_timers_next(&tcp->timers, tcp->now.mono_ns);
        if (likely(entry == NULL))
            break;
        connection_due(tcp, RTE_PTR_SUB(entry, offsetof(struct tcp_connection, timer)));
    }
}

/* Users who asked for what they had left. Whoever asks again meanwhile is served by the next turn. */
static void serve_resumed(struct tcp *tcp)
{
    struct tcp_connection *c = tcp->dirty;
    tcp->dirty = NULL;
    while (c != NULL) {
        struct tcp_connection *next = c->dirty_next;
        c->marks &= (uint16_t)~TCP_MARK_DIRTY;
        tcp_dirty(tcp, c);
        if ((c->marks & TCP_MARK_RESUME) && !(c->marks & TCP_MARK_CLOSING)) {
            c->marks &= (uint16_t) ~(TCP_MARK_RESUME | TCP_MARK_HELD);
            tcp_deliver_held(tcp, c);
        }
        c = next;
    }
}

unsigned tcp_turn(struct tcp *tcp, struct instant now)
{
    tcp->now = now;
    tcp->segments_sent = 0;
    if (tcp->dirty != NULL)
        serve_resumed(tcp);
    serve_timers(tcp);
    tcp_finish(tcp);
    return tcp->segments_sent;
}

uint64_t tcp_next_ns(const struct tcp *tcp)
{
    if (tcp->dirty != NULL || tcp->dead != NULL)
        return tcp->now.mono_ns;
    uint64_t next = tcp_timers_earliest(&tcp->timers);
    if (tcp->time_waits.oldest != UINT32_MAX)
        next = RTE_MIN(next, tcp->time_waits.record[tcp->time_waits.oldest].ends_ns);
    return next;
}

struct tcp_counts tcp_counts(const struct tcp *tcp)
{
    return (struct tcp_counts){
        .connections = tcp->connections_used,
        .half_open = tcp->half_open,
        .time_wait = tcp->time_waits.used,
        .send_frames = tcp->send_frames,
        .receive_frames = tcp->receive_frames,
    };
}
