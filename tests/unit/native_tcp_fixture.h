/*
 * native_tcp_fixture.h - what tests of the native service over streams share beyond native_tcp_peer.h: how a
 * stream ended, a value that is as large as one may be, two sessions side by side.
 */
#ifndef WILD_TESTS_NATIVE_TCP_FIXTURE_H
#define WILD_TESTS_NATIVE_TCP_FIXTURE_H

#include "native_tcp_peer.h"

/* Of VALUE_BYTES_MAX bytes, once large_value_fill() has run. */
static char large_value[VALUE_BYTES_MAX + 1];

static inline void large_value_fill(void)
{
    memset(large_value, 'L', VALUE_BYTES_MAX);
}

/* A connection from there; NULL: it was not accepted. */
static inline struct tcp_client *tcp_client_open_from(struct tcp_node *node, uint32_t ip4, uint16_t port)
{
    struct tcp_client *c = tcp_client_make(node, 0);
    struct stream_acceptor acceptor = native_tcp_acceptor(node->service);
    c->stream->stream.flow.peer = address_from_ip4(rte_cpu_to_be_32(ip4));
    c->stream->stream.flow.peer_port = rte_cpu_to_be_16(port);
    if (acceptor.accepted(acceptor.state, &c->stream->stream)) {
        native_check(node->count < TCP_STREAMS_MAX, "too many streams");
        node->streams[node->count++] = c->stream;
        return c;
    }
    fake_free(c->stream);
    tcp_client_free(c);
    return NULL;
}

static inline bool is_gone(const struct tcp_client *c)
{
    return c->stream->closed;
}

static inline bool was_reset(const struct tcp_client *c)
{
    return c->stream->closed && c->stream->end == STREAM_END_ABORTED;
}

/* A node and two sessions of it. */
static inline struct tcp_node *node_with_two(const struct tcp_node_options *options,
                                             struct tcp_client **first, struct tcp_client **second)
{
    struct tcp_node *node = tcp_node_start(options);
    *first = tcp_client_new(node, 1);
    *second = tcp_client_new(node, 2);
    return node;
}

static inline void node_with_two_stop(struct tcp_node *node, struct tcp_client *first,
                                      struct tcp_client *second)
{
    tcp_client_free(first);
    tcp_client_free(second);
    tcp_node_stop(node);
}

#endif
