/*
 * node_replication_primary.c - a primary's part: the log's blocks to the tail, streams to sessions, what is acknowledged.
 */
#include <stdio.h>
#include <string.h>

#include "node_internal.h"
#include "wal_block.h"

/* Between two looks at who joins the list of members, or leaves it. */
#define MEMBERS_NS UINT64_C(1000000)

/* ---- streams to sessions ---- */

/* At the end the streams are gone before those who used them. */
static void tell_peer(struct node *node, const struct stream *stream, enum control_streams_peer peer)
{
    if (node->streams != NULL)
        control_streams_peer(node->streams, stream, peer);
}

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct node_leading_link *link = stream->user;

    if (link->session == NULL)
        return length;
    primary_received(link->session, bytes, length);
    if (!link->trusted && link->session != NULL && primary_may_close(link->session)) {
        link->trusted = true;
        tell_peer(link->node, stream, CONTROL_PEER_TRUSTED);
    }
    return length;
}

static void writable(struct stream *stream)
{
    struct node_leading_link *link = stream->user;

    if (link->session != NULL)
        primary_writable(link->session);
}

static void leave(struct node_leading_link *link)
{
    struct primary_session *session = link->session;

    link->session = NULL;
    if (session != NULL)
        primary_link_closed(session);
}

static void ended(struct stream *stream)
{
    struct node_leading_link *link = stream->user;
    bool in_order = link->session == NULL || primary_may_close(link->session);

    leave(link);
    (in_order ? stream_close : stream_abort)(stream);
}

static void expired(struct stream *stream)
{
    (void)stream; /* sessions have no deadline: primary_turn() minds their time-outs */
}

static void closed(struct stream *stream, enum stream_end end)
{
    struct node_leading_link *link = stream->user;

    (void)end;
    leave(link);
    tell_peer(link->node, stream, CONTROL_PEER_GONE);
    link->node->replication.links--;
    link->node = NULL;
}

bool node_leading_accept(struct node *node, struct stream *stream)
{
    static const struct stream_events events = {
        .received = received,
        .ended = ended,
        .writable = writable,
        .expired = expired,
        .closed = closed,
    };
    struct node_replication *replication = &node->replication;
    struct node_leading *leading = &replication->leading;
    struct link link = node_link(stream);
    unsigned i = 0;

    if (leading->primary == NULL || replication->told_end)
        return false;
    while (i < PRIMARY_SESSIONS_MAX && leading->link[i].node != NULL)
        i++;
    if (i == PRIMARY_SESSIONS_MAX)
        return false;
    leading->link[i].session = primary_accept(leading->primary, &link, replication->now.mono_ns);
    if (leading->link[i].session == NULL)
        return false;
    leading->link[i].node = node;
    leading->link[i].trusted = false;
    tell_peer(node, stream, CONTROL_PEER_ACCEPTED);
    stream->user = &leading->link[i];
    stream->events = &events;
    replication->links++;
    return true;
}

/* ---- the log ---- */

static uint64_t needs_segment(const void *feeder)
{
    return feeder_needs_segment(feeder);
}

static bool needs_snapshot(const void *feeder, uint64_t lsn)
{
    return feeder_needs_snapshot(feeder, lsn);
}

bool node_leading_recovered(struct node *node, struct housekeeper_config *housekeeper)
{
    struct node_leading *leading = &node->replication.leading;
    struct feeder_config config = {.disk = housekeeper->disk, .capacity = node->config.capacity};

    if (!node_may_lead(node))
        return true;
    leading->feeder = feeder_create(&config);
    housekeeper->needs_segment = needs_segment;
    housekeeper->needs_snapshot = needs_snapshot;
    housekeeper->readers = leading->feeder;
    return leading->feeder != NULL;
}

bool node_leading_feed(struct node *node)
{
    struct node_leading *leading = &node->replication.leading;
    uint64_t oldest, newest;

    if (leading->feeder == NULL)
        return false;
    housekeeper_segments(node->log.housekeeper, &oldest, &newest);
    bool done = feeder_step(leading->feeder, oldest, newest);
    /* Before a replica that was told so comes again: the thread's next step is the housekeeper's. */
    if (feeder_misses_folder(leading->feeder))
        housekeeper_look_at_folder(node->log.housekeeper);
    return done;
}

static void durable(void *state, const struct wal_block *block, const uint8_t *bytes)
{
    struct node_leading *leading = state;

    if (leading->feeds_tail)
        tail_append(leading->tail, bytes, block->length, block->history, block->first_lsn, block->count);
}

bool node_leading_open(struct node *node, const struct recovery_facts *found, struct durable_log_config *log)
{
    struct node_replication *replication = &node->replication;
    struct node_leading *leading = &replication->leading;
    struct primary_config primary = {
        .keys = {replication->keys[0], replication->keys[1]},
        .identity = &node->identity,
        .random = &node->config.random,
        .session_keys = leading->session_keys,
        .feeder = leading->feeder,
        .counters = &replication->counters,
        .voice = node_voice(node),
        .seat = node_role_seat(node),
        .capacity = node->config.capacity,
        .heartbeat_ms = node->config.replication.heartbeat_ms,
        .timeout_ms = node->config.replication.timeout_ms,
        .client_port = node->config.udp_port,
    };

    if (!node_may_lead(node))
        return true;
    node_client_address(node, primary.client_address);
    primary.seat.node_id = found->meta.node_id;
    primary.tail = leading->tail = tail_create(TAIL_BYTES_DEFAULT, found->lsn);
    if (leading->tail != NULL)
        leading->primary = primary_create(&primary);
    log->durable = durable;
    log->durable_state = leading;
    members_init(&leading->members, found->meta.node_id, &found->meta.members);
    leading->members.collector = found->collecting;
    return leading->primary != NULL;
}

void node_leading_begin(struct node *node, uint64_t before_lsn)
{
    struct node_leading *leading = &node->replication.leading;

    if (leading->tail == NULL)
        return;
    tail_restart(leading->tail, before_lsn);
    leading->feeds_tail = true;
    leading->enough_ns = node->replication.now.mono_ns;
}

/* As the other members are to know it. */
static struct member self(const struct node *node)
{
    const struct node_config *config = &node->config;
    const struct address *own = NULL;
    struct member member = {.node_id = node->log.meta.now.node_id,
                            .replication_port = config->replication.port,
                            .client_port = config->udp_port,
                            .part = MEMBER_STAYS};

    if (config->replication.own_address)
        own = &config->replication.address;
    else if (config->kernel != NULL)
        own = &config->kernel->address;
    else
        own = &config->port[config->ports - 1].address;
    if (address_ip4(own) != 0) /* 0.0.0.0: at every address; others see which */
        memcpy(member.address, own->bytes, sizeof member.address);
    snprintf(member.name, sizeof member.name, "%s", config->replication.name);
    return member;
}

static bool write_list(void *state, struct member_list *list)
{
    struct node *node = state;

    return execute_members(node->replication.following.apply, list) == STATUS_OK;
}

static void mind_members(struct node *node)
{
    struct node_leading *leading = &node->replication.leading;
    struct members_log log = {node, write_list};
    unsigned count = primary_peers(leading->primary, leading->peer, PRIMARY_REPLICAS_MAX);

    if (!members_turn(&leading->members, &log, leading->durable_lsn, leading->peer, count))
        return;
    node->log.meta.now.members = leading->members.list;
    node_meta_changed(&node->log.meta);
}

void node_leading_serve(struct node *node)
{
    const struct node_replication_config *config = &node->config.replication;
    struct node_leading *leading = &node->replication.leading;
    struct member own;

    if (leading->primary == NULL)
        return;
    own = self(node);
    leading->meta = node->log.meta.now;
    primary_lead(leading->primary, &leading->meta);
    members_lead(&leading->members, &own, config->ack_applied ? 0 : (uint16_t)config->min_replicas,
                 leading->meta.history[leading->meta.count - 1].first_lsn);
    mind_members(node);
}

void node_leading_end(struct node *node)
{
    struct node_leading *leading = &node->replication.leading;

    primary_stop_leading(leading->primary);
    members_stop_leading(&leading->members);
    leading->feeds_tail = false;
    atomic_store_explicit(&node->replication.shown.short_of_replicas, false, memory_order_relaxed);
}

bool node_leading_is_settled(const struct node *node)
{
    return primary_is_settled(node->replication.leading.primary);
}

/* ---- what is acknowledged ---- */

static void tell_shortage(struct node *node, bool is_short)
{
    const struct node_replication_config *config = &node->config.replication;
    _Atomic bool *shown = &node->replication.shown.short_of_replicas;

    if (is_short == atomic_load_explicit(shown, memory_order_relaxed))
        return;
    atomic_store_explicit(shown, is_short, memory_order_relaxed);
    if (is_short)
        logger_line(
            &node->config.logger, LOG_LEVEL_ERROR,
            "fewer than %u replicas have what is written (--min-replicas): no more writes until they do",
            config->min_replicas);
    else
        logger_line(&node->config.logger, LOG_LEVEL_INFO, "%u replicas are there again: writes go on",
                    config->min_replicas);
}

/* Up to where enough replicas have it; 0: too few are there. */
static uint64_t replicated(struct node *node, uint64_t durable_lsn)
{
    const struct node_replication_config *config = &node->config.replication;
    struct node_leading *leading = &node->replication.leading;

    if (config->ack_applied)
        return primary_replicated_lsn(leading->primary, config->min_replicas, true);
    return members_acknowledged_lsn(&leading->members, durable_lsn, leading->peer,
                                    primary_peers(leading->primary, leading->peer, PRIMARY_REPLICAS_MAX));
}

uint64_t node_leading_acknowledged(struct node *node, uint64_t durable_lsn, struct instant now)
{
    const struct node_replication_config *config = &node->config.replication;
    struct node_leading *leading = &node->replication.leading;
    uint64_t lsn = durable_lsn;

    if (leading->primary == NULL)
        return durable_lsn;
    leading->durable_lsn = durable_lsn;
    if (!node_role_acknowledges(node))
        return leading->acknowledged_lsn;
    if (config->min_replicas > 0) {
        uint64_t enough = replicated(node, durable_lsn);
        if (enough != 0)
            leading->enough_ns = now.mono_ns;
        tell_shortage(node, now.mono_ns - leading->enough_ns > config->timeout_ms * UINT64_C(1000000));
        lsn = RTE_MIN(durable_lsn, enough);
    }
    /* What so many have had once stays acknowledged, also when they leave. */
    leading->acknowledged_lsn = RTE_MAX(leading->acknowledged_lsn, lsn);
    return leading->acknowledged_lsn;
}

unsigned node_leading_turn(struct node *node)
{
    struct node_leading *leading = &node->replication.leading;
    struct instant now = node->replication.now;
    struct primary_log log = {.durable_lsn = leading->durable_lsn,
                              .acknowledged_lsn = leading->acknowledged_lsn,
                              .folder_gone =
                                  atomic_load_explicit(&node->log.shown.folder_gone, memory_order_relaxed)};

    if (leading->primary == NULL)
        return 0;
    if (node->replication.role.part == PART_LEADS && now.mono_ns >= leading->members_due_ns) {
        leading->members_due_ns = now.mono_ns + MEMBERS_NS;
        mind_members(node);
    }
    return primary_turn(leading->primary, &log, now.mono_ns, now.wall_ms);
}

bool node_leading_all_there(struct node *node)
{
    struct node_replication *replication = &node->replication;
    struct node_leading *leading = &replication->leading;
    uint64_t last = node_log_last_lsn(&node->log, leading->durable_lsn);
    unsigned count;

    if (leading->primary == NULL)
        return true;
    count = primary_replicas(leading->primary, replication->now.mono_ns, replication->replica,
                             PRIMARY_REPLICAS_MAX);
    for (unsigned i = 0; i < count; i++)
        if (replication->replica[i].state == PRIMARY_REPLICA_STREAMING &&
            replication->replica[i].applied_lsn < last)
            return false;
    return true;
}
