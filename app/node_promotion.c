/*
 * node_promotion.c - the streams of one that wants to lead: to each member that is asked (promotion.h).
 */
#include <string.h>

#include "node_internal.h"

/* ---- streams ---- */

static unsigned index_of(const struct node_promotion_link *link)
{
    return (unsigned)(link - link->node->replication.promotion.link);
}

static struct promotion *promotion_of(const struct node_promotion_link *link)
{
    return link->node->replication.promotion.promotion;
}

static void connected(struct stream *stream)
{
    struct node_promotion_link *link = stream->user;
    struct link as_link = node_link(stream);

    stream_set_deadline(stream, 0); /* from now on promotion_turn() minds time */
    promotion_connected(promotion_of(link), index_of(link), &as_link);
}

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct node_promotion_link *link = stream->user;

    if (link->stream == stream)
        promotion_received(promotion_of(link), index_of(link), bytes, length);
    return length;
}

static void writable(struct stream *stream)
{
    struct node_promotion_link *link = stream->user;

    if (link->stream == stream)
        promotion_writable(promotion_of(link), index_of(link));
}

static void expired(struct stream *stream)
{
    stream_abort(stream);
}

static void leave(struct node_promotion_link *link, const struct stream *stream)
{
    if (link->stream != stream)
        return;
    link->stream = NULL;
    promotion_link_closed(promotion_of(link), index_of(link));
}

static void ended(struct stream *stream)
{
    leave(stream->user, stream);
    stream_close(stream);
}

static void closed(struct stream *stream, enum stream_end end)
{
    struct node_promotion_link *link = stream->user;

    (void)end;
    link->node->replication.links--;
    leave(link, stream);
}

static bool begin_to_connect(void *state, unsigned index, const uint8_t address[16], uint16_t port)
{
    static const struct stream_events events = {
        .connected = connected,
        .received = received,
        .ended = ended,
        .writable = writable,
        .expired = expired,
        .closed = closed,
    };
    struct node *node = state;
    struct node_replication *replication = &node->replication;
    struct node_promotion_link *link = &replication->promotion.link[index];
    struct flow flow = {.local = address_from_ip4(0), .peer_port = rte_cpu_to_be_16(port)};

    memcpy(flow.peer.bytes, address, sizeof flow.peer.bytes);
    link->node = node;
    link->stream = control_streams_connect(node->streams, &flow, &events, link, replication->now);
    if (link->stream == NULL)
        return false;
    replication->links++;
    stream_set_deadline(link->stream, replication->now.mono_ns + PROMOTION_PROBE_NS);
    return true;
}

/* ---- start, turn, stop ---- */

int node_promotion_start(struct node *node)
{
    struct node_replication *replication = &node->replication;
    struct promotion_config config = {
        .keys = {replication->keys[0], replication->keys[1]},
        .random = &node->config.random,
        .session_keys = replication->promotion.session_keys,
        .counters = &replication->counters,
        .host = {.state = node, .connect = begin_to_connect},
    };

    replication->promotion.promotion = promotion_create(&config);
    return replication->promotion.promotion != NULL ? 0 : -1;
}

void node_promotion_stop(struct node *node)
{
    promotion_destroy(node->replication.promotion.promotion);
    node->replication.promotion.promotion = NULL;
}

unsigned node_promotion_turn(struct node *node)
{
    struct promotion *promotion = node->replication.promotion.promotion;

    return promotion != NULL ? promotion_turn(promotion, node->replication.now.mono_ns) : 0;
}
