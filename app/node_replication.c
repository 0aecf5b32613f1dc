/*
 * node_replication.c - what a primary and a replica have in common: keys, streams, the turn, the end.
 */
#include "node_replication.h"

#include <stdio.h>
#include <string.h>

#include "node_internal.h"

/* A replica that is connected gets the log's last blocks; then sessions are ended in order. */
#define DRAIN_SEND_NS  UINT64_C(500000000)
#define DRAIN_CLOSE_NS UINT64_C(200000000)

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* One that we follow; with a log also those who follow us, and those who are asked for their promise. */
static size_t sessions(const struct node_config *config)
{
    return config->log.folder != NULL ? 1 + PRIMARY_SESSIONS_MAX + PROMOTION_PEERS_MAX : 1;
}

size_t node_replication_key_bytes(const struct node_config *config)
{
    const struct node_replication_config *replication = &config->replication;

    if (replication->mode == MODE_STANDALONE)
        return 0;
    return whole_lines(sessions(config) * sizeof(struct session_keys)) +
           replication->secret_count * whole_lines(sizeof(struct role_keys));
}

/* Between nodes the secrets of their own count, if there are any. */
static int take_keys(struct node *node, char *error, size_t error_bytes)
{
    const struct node_replication_config *config = &node->config.replication;

    for (unsigned i = 0; i < NODE_SECRETS_MAX; i++)
        node->replication.keys[i] = config->secret_count == 0 ? node->keys[i] : NULL;
    for (unsigned i = 0; i < config->secret_count; i++) {
        struct role_keys *keys = key_arena_take(node->arena, sizeof *keys);

        if (keys == NULL || keys_from_secret(keys, config->secrets[i].text, config->secrets[i].length,
                                             node->config.cluster_name, error, error_bytes) != 0)
            return -1;
        node->replication.keys[i] = keys;
    }
    return 0;
}

/* ---- streams as replication/ sees them ---- */

static uint8_t *link_reserve(void *stream, size_t least, size_t *room)
{
    return stream_reserve(stream, least, room);
}

static void link_commit(void *stream, size_t length)
{
    stream_commit(stream, length);
}

static size_t link_unsent(const void *stream)
{
    return stream_unsent(stream);
}

static void link_close(void *stream)
{
    stream_close(stream);
}

static void link_abort(void *stream)
{
    stream_abort(stream);
}

struct link node_link(struct stream *stream)
{
    static const struct link_functions functions = {
        .reserve = link_reserve,
        .commit = link_commit,
        .unsent = link_unsent,
        .close = link_close,
        .abort = link_abort,
    };
    struct link link = {
        .functions = &functions, .stream = stream, .peer_port = rte_be_to_cpu_16(stream->flow.peer_port)};

    memcpy(link.peer_address, stream->flow.peer.bytes, sizeof link.peer_address);
    return link;
}

void node_client_address(const struct node *node, uint8_t out[REPLICATION_ADDRESS_BYTES])
{
    const struct node_config *config = &node->config;
    const struct address *clients = NULL;

    if (config->kernel != NULL && config->replication.own_address)
        clients = &config->kernel->address;
    else if (config->kernel == NULL && config->port[config->ports - 1].streams_only)
        clients = &config->port[0].address;
    /* 0.0.0.0: clients reach it at every address that it has, the other nodes' way among them. */
    if (clients != NULL && address_ip4(clients) != 0)
        memcpy(out, clients->bytes, REPLICATION_ADDRESS_BYTES);
    else
        memset(out, 0, REPLICATION_ADDRESS_BYTES);
}

static void say(void *state, bool warning, const char *line)
{
    const struct node *node = state;

    logger_line(&node->config.logger, warning ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "replication: %s", line);
}

struct replication_voice node_voice(struct node *node)
{
    return (struct replication_voice){.state = node, .say = say};
}

static bool accepted(void *state, struct stream *stream)
{
    return node_leading_accept(state, stream);
}

/* ---- start and stop ---- */

static int open_streams(struct node *node, char *error, size_t error_bytes)
{
    bool leads = node_may_lead(node);
    struct control_streams_config config = {
        .acceptor = {.state = node, .accepted = leads ? accepted : NULL},
        .port = node->config.replication.port,
        .streams_max = NODE_REPLICA_STREAMS + (leads ? PRIMARY_SESSIONS_MAX + PROMOTION_PEERS_MAX : 0),
        .send_bytes_max = leads ? NODE_REPLICATION_BULK_BYTES : NODE_REPLICATION_WORDS_BYTES,
        .receive_bytes_max = NODE_REPLICATION_BULK_BYTES,
    };

    return control_streams_create(&node->streams, node, &config, error, error_bytes);
}

int node_replication_start(struct node *node, char *error, size_t error_bytes)
{
    struct node_replication *replication = &node->replication;
    enum mode mode = node->config.replication.mode;
    struct session_keys *session_keys;

    replication->node = node;
    node_role_start(node);
    replication->following.lookup = node->config.replication.primary; /* borrowed */
    replication->following.primary_port = node->config.replication.primary_port;
    if (node->config.replication.primary_name != NULL)
        snprintf(replication->following.primary, sizeof replication->following.primary, "%s",
                 node->config.replication.primary_name);
    replication->now = node->started;
    pthread_mutex_init(&replication->status_lock, NULL);
    if (mode == MODE_STANDALONE)
        return 0;
    session_keys = key_arena_take(node->arena, sessions(&node->config) * sizeof *session_keys);
    if (session_keys == NULL || take_keys(node, error, error_bytes) != 0)
        return -1;
    replication->following.session_keys = session_keys;
    replication->leading.session_keys = session_keys + 1;
    replication->promotion.session_keys = session_keys + 1 + PRIMARY_SESSIONS_MAX;
    if (node_following_start(node, error, error_bytes) != 0)
        return -1;
    if (node_may_lead(node) && node_promotion_start(node) != 0)
        snprintf(error, error_bytes, "not enough memory for replication");
    else if (open_streams(node, error, error_bytes) == 0)
        return 0;
    node_promotion_stop(node);
    node_following_stop(node);
    return -1;
}

void node_replication_stop(struct node *node)
{
    struct node_replication *replication = &node->replication;

    /* Their last event goes to sessions that are still there. */
    control_streams_destroy(node->streams);
    if (replication->leading.primary != NULL)
        primary_destroy(replication->leading.primary);
    node_promotion_stop(node);
    node_following_stop(node);
    feeder_destroy(replication->leading.feeder);
    tail_destroy(replication->leading.tail);
    pthread_mutex_destroy(&replication->status_lock);
}

/* ---- the turn ---- */

/* Once the workers are done and the log is whole: who follows gets its end, then sessions are ended in order. A replica's
 * ends at once. */
static void drain(struct node *node)
{
    struct node_replication *replication = &node->replication;
    bool primary = replication->role.part == PART_LEADS;
    uint64_t now_ns = replication->now.mono_ns;

    if (replication->drain_until_ns == 0)
        replication->drain_until_ns = now_ns + (primary ? DRAIN_SEND_NS : 0);
    if (!replication->told_end) {
        if (primary && !node_leading_all_there(node) && now_ns < replication->drain_until_ns)
            return;
        if (replication->leading.primary != NULL)
            primary_close_all(replication->leading.primary);
        if (replication->following.replica != NULL)
            replica_stop(replication->following.replica);
        replication->told_end = true;
        replication->drain_until_ns = now_ns + DRAIN_CLOSE_NS;
        return;
    }
    replication->drained = replication->links == 0 || now_ns >= replication->drain_until_ns;
}

unsigned node_replication_turn(struct node *node, struct instant now)
{
    struct node_replication *replication = &node->replication;
    unsigned done;

    replication->now = now;
    if (node->streams == NULL) {
        node_status_turn(node);
        return 0;
    }
    done = node_leading_turn(node) + node_following_turn(node) + node_promotion_turn(node) +
           node_role_turn(node);
    if (atomic_load_explicit(&node->draining, memory_order_relaxed) && node_workers_drained(node) &&
        node_log_closed(&node->log))
        drain(node);
    node_status_turn(node);
    return done;
}

bool node_replication_drained(const struct node *node)
{
    return node->streams == NULL || node->replication.drained;
}

const char *node_replication_why(const struct node *node)
{
    if (!atomic_load_explicit(&node->replication.shown.short_of_replicas, memory_order_relaxed))
        return NULL;
    return node->config.replication.ack_applied
               ? "fewer replicas than --min-replicas are connected: writes go on when they are"
               : "fewer replicas with a log than --min-replicas are connected: writes go on when they are";
}

const char *node_replication_tier(const struct node *node)
{
    return node->streams != NULL ? control_streams_tier(node->streams) : "none";
}
