/*
 * node_replication_replica.c - a replica's part: the session's stream, and what its workers are told.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "node_internal.h"
#include "node_worker.h"

/* ---- what workers are told ---- */

static void publish(void *state, const struct replica_view *view)
{
    struct node *node = state;
    struct node_following *following = &node->replication.following;
    struct state_view now = published_state_get(&node->published);
    bool draining = atomic_load_explicit(&node->draining, memory_order_relaxed);

    now.history = view->history;
    now.epoch = view->epoch;
    now.state = !view->serving ? STATE_CATCHING_UP : draining ? STATE_DRAINING : STATE_SERVING;
    if (!view->serving)
        now.table_generation++;
    following->serving = view->serving;
    /* Before the state: who is served again finds the point of the table that it is served from. */
    durable_point_set(&node->log.durable, following->lsn, !view->serving);
    published_state_set(&node->published, &now);
    following->hidden_generation = node_new_generation(node);
    node_workers_wake(node);
}

static bool quiescent(void *state)
{
    const struct node *node = state;

    return node_quiescent(node, node->replication.following.hidden_generation);
}

static void point(void *state, uint64_t lsn)
{
    struct node *node = state;
    struct node_following *following = &node->replication.following;

    if (lsn == following->lsn)
        return;
    following->lsn = lsn;
    durable_point_set(&node->log.durable, lsn, !following->serving);
    node_workers_wake(node);
}

/* Puts what the primary has said of itself where workers read it, when none can be reading what was there. */
static void place(struct node *node)
{
    struct node_following *following = &node->replication.following;
    unsigned next = (following->place + 1) % NODE_PRIMARY_TEXTS;

    if (!following->told || !node_quiescent(node, following->placed_generation))
        return;
    following->histories[next] = following->told_histories;
    memcpy(following->text[next], following->told_text, sizeof following->text[next]);
    /* release: pairs with acquire in durable_point_lost() */
    atomic_store_explicit(&node->log.durable.histories, &following->histories[next], memory_order_release);
    published_primary_set(&node->published, following->text[next][0] != '\0' ? following->text[next] : NULL);
    following->place = next;
    following->told = false;
    following->placed_generation = node_new_generation(node);
}

void node_tell_histories(struct node *node, const struct meta *histories, const char *primary)
{
    struct node_following *following = &node->replication.following;

    following->told_histories = *histories;
    snprintf(following->told_text, sizeof following->told_text, "%s", primary);
    following->told = true;
    place(node);
}

/* The list of members goes with the log. */
static void member(void *state, const struct log_record *record)
{
    struct node *node = state;
    struct members *members = &node->replication.leading.members;

    if (node->log.log == NULL || !members_take(members, record))
        return;
    if (node->log.following.giving_up) /* it goes to the folder with the log that it is in */
        return;
    node->log.meta.now.members = members->list;
    node_meta_changed(&node->log.meta);
}

static void handover(void *state, uint32_t epoch)
{
    struct node *node = state;

    (void)epoch; /* what was promised there is above all that it knew: we go above that */
    node->replication.role.yielded = node->replication.following.told_histories.node_id;
}

static void welcomed(void *state, const struct meta *histories, const uint8_t address[16],
                     uint16_t client_port)
{
    struct node *node = state;
    char ip[INET_ADDRSTRLEN], text[PUBLISHED_PRIMARY_BYTES];

    inet_ntop(AF_INET, address + 12, ip, sizeof ip); /* IPv4 mapped */
    snprintf(text, sizeof text, "%s:%u", ip, client_port);
    node_tell_histories(node, histories, text);
    memcpy(node->replication.following.leader.address.bytes, address,
           sizeof node->replication.following.leader.address.bytes);
    node->replication.following.leader.port = node->replication.following.primary_port;
    node_identify(node, histories->cluster_id, node->identity.node_id);
    node->replication.following.trouble[0] = '\0';
}

/* ---- the stream ---- */

/* Once for each trouble, however often it is tried. */
static void tell_trouble(struct node *node, const char *what)
{
    struct node_following *following = &node->replication.following;

    if (strncmp(following->trouble, what, sizeof following->trouble - 1) == 0)
        return;
    snprintf(following->trouble, sizeof following->trouble, "%s", what);
    logger_line(&node->config.logger, LOG_LEVEL_WARNING, "replication: primary %s:%u: %s; trying again",
                following->primary, following->primary_port, what);
}

static void connected(struct stream *stream)
{
    struct node *node = stream->user;
    struct link link = node_link(stream);

    node->replication.following.connected = true;
    stream_set_deadline(stream, 0); /* from now on replica_turn() minds time */
    replica_connected(node->replication.following.replica, &link);
}

/* The session's stream: one that has been left is no longer that. */
static bool is_ours(const struct node *node, const struct stream *stream)
{
    return node->replication.following.stream == stream;
}

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct node *node = stream->user;
    struct node_following *following = &node->replication.following;
    size_t taken = length;

    if (is_ours(node, stream))
        taken = replica_received(following->replica, bytes, length);
    following->input_held |= taken < length;
    return taken;
}

static void writable(struct stream *stream)
{
    struct node *node = stream->user;

    if (is_ours(node, stream))
        replica_writable(node->replication.following.replica);
}

/* Connecting: TCP would go on for minutes, ever more rarely, by the station that it has once found. */
static void expired(struct stream *stream)
{
    struct node *node = stream->user;

    if (is_ours(node, stream))
        tell_trouble(node, "it does not answer");
    stream_abort(stream);
}

static void leave(struct node *node, struct stream *stream)
{
    struct node_following *following = &node->replication.following;

    if (!is_ours(node, stream))
        return;
    following->stream = NULL;
    replica_link_closed(following->replica);
}

static void ended(struct stream *stream)
{
    leave(stream->user, stream);
    stream_close(stream);
}

static void closed(struct stream *stream, enum stream_end end)
{
    static const char *const ends[] = {
        [STREAM_END_CLOSED] = "it hung up",
        [STREAM_END_RESET] = "it cut the connection: it is not ready, or has another secret",
        [STREAM_END_TIMED_OUT] = "it does not answer",
        [STREAM_END_REFUSED] = "nobody listens there",
        [STREAM_END_UNREACHABLE] = "the network does not reach it",
        [STREAM_END_ABORTED] = NULL, /* our own doing: who did it has said why */
    };
    struct node *node = stream->user;

    node->replication.links--;
    if (is_ours(node, stream) && ends[end] != NULL)
        tell_trouble(node, ends[end]);
    leave(node, stream);
}

static bool begin_to_connect(void *state)
{
    struct node *node = state;
    struct node_following *following = &node->replication.following;

    if (following->lookup != NULL)
        name_lookup_ask(following->lookup);
    following->resolving = true;
    return true;
}

static void open_stream(struct node *node, const struct address *address)
{
    static const struct stream_events events = {
        .connected = connected,
        .received = received,
        .ended = ended,
        .writable = writable,
        .expired = expired,
        .closed = closed,
    };
    struct node_following *following = &node->replication.following;
    struct flow flow = {.peer = *address,
                        .local = address_from_ip4(0),
                        .peer_port = rte_cpu_to_be_16(following->primary_port)};

    following->connected = false;
    following->stream = control_streams_connect(node->streams, &flow, &events, node, node->replication.now);
    if (following->stream == NULL) {
        replica_link_closed(following->replica);
        return;
    }
    node->replication.links++;
    stream_set_deadline(following->stream, node->replication.now.mono_ns + NODE_CONNECT_NS);
}

/* The answer to the name that was asked for. */
static void resolve(struct node *node)
{
    struct node_following *following = &node->replication.following;
    char why[NAME_LOOKUP_ERROR_BYTES];
    struct address address;

    if (!following->resolving)
        return;
    if (following->lookup == NULL) {
        following->resolving = false;
        open_stream(node, &following->address);
        return;
    }
    switch (name_lookup_take(following->lookup, &address, why)) {
    case NAME_LOOKUP_FOUND:
        following->resolving = false;
        open_stream(node, &address);
        break;
    case NAME_LOOKUP_FAILED:
        following->resolving = false;
        tell_trouble(node, why);
        replica_link_closed(following->replica);
        break;
    default:
        break;
    }
}

/* ---- whom it asks ---- */

/* What is being looked up, or does not answer, is not waited for. */
static void leave_attempt(struct node_following *following)
{
    if (following->resolving) {
        following->resolving = false;
        replica_link_closed(following->replica);
    } else if (following->stream != NULL && !following->connected) {
        stream_abort(following->stream);
    }
}

/* The one it asked before is left, however far it had come. */
static void ask_anew(struct node *node)
{
    struct node_following *following = &node->replication.following;

    following->trouble[0] = '\0';
    if (following->replica == NULL)
        return;
    leave_attempt(following);
    replica_reconnect(following->replica);
}

void node_following_pause(struct node *node)
{
    struct node_following *following = &node->replication.following;

    replica_stop_following(following->replica);
    leave_attempt(following);
}

struct name_lookup *node_following_ask(struct node *node, struct name_lookup *lookup, const char *host,
                                       uint16_t port)
{
    struct node_following *following = &node->replication.following;
    struct name_lookup *had = following->own_lookup;

    following->lookup = following->own_lookup = lookup;
    following->primary_port = port;
    snprintf(following->primary, sizeof following->primary, "%s", host);
    ask_anew(node);
    return had;
}

void node_following_ask_address(struct node *node, const struct address *address, uint16_t port)
{
    struct node_following *following = &node->replication.following;

    following->lookup = NULL;
    following->address = *address;
    following->primary_port = port;
    inet_ntop(AF_INET, address->bytes + 12, following->primary, sizeof following->primary); /* IPv4 mapped */
    ask_anew(node);
}

void node_following_order(struct node *node, const struct node_order *order)
{
    struct node_following *following = &node->replication.following;
    struct name_lookup *had;

    had = node_following_ask(node, order->lookup, order->host, order->port);
    node_order_swap_lookup(node, had);
    node_order_end(node, true, "it asks %s:%u from now on", following->primary, following->primary_port);
}

/* ---- start, turn, stop ---- */

int node_following_start(struct node *node, char *error, size_t error_bytes)
{
    struct node_replication *replication = &node->replication;
    struct node_following *following = &replication->following;
    struct replica_config config = {
        .keys = {replication->keys[0], replication->keys[1]},
        .random = &node->config.random,
        .session_keys = following->session_keys,
        .counters = &replication->counters,
        .voice = node_voice(node),
        .host = {.state = node,
                 .connect = begin_to_connect,
                 .publish = publish,
                 .quiescent = quiescent,
                 .point = point,
                 .member = member,
                 .handover = handover,
                 .welcomed = welcomed},
        .node_id = node->identity.node_id,
        .capacity = node->config.capacity,
        .client_port = node->config.udp_port,
    };

    if (node_may_lead(node)) {
        config.log = node_log_of_replica(&node->log);
        config.replication_port = node->config.replication.port;
    }
    node_client_address(node, config.client_address);
    snprintf(config.name, sizeof config.name, "%s", node->config.replication.name);
    /* One more than the workers: who applies. */
    config.apply = following->apply =
        execute_context_create(node->table, node->config.workers, node->control_log);
    if (following->apply != NULL)
        following->replica = replica_create(&config);
    if (following->replica != NULL)
        return 0;
    snprintf(error, error_bytes, "not enough memory to follow a primary");
    node_following_stop(node);
    return -1;
}

void node_following_stop(struct node *node)
{
    struct node_following *following = &node->replication.following;

    if (following->replica != NULL)
        replica_destroy(following->replica);
    following->replica = NULL;
    name_lookup_destroy(following->own_lookup);
    following->lookup = following->own_lookup = NULL;
    execute_context_destroy(following->apply);
    following->apply = NULL;
}

unsigned node_following_turn(struct node *node)
{
    struct node_following *following = &node->replication.following;
    struct instant now = node->replication.now;

    place(node);
    if (following->replica == NULL || !node_log_is_read(&node->log) || !node_role_follows(node))
        return 0;
    resolve(node);
    unsigned done = replica_turn(following->replica, now.mono_ns, now.wall_ms);
    if (following->input_held && replica_wants_input(following->replica)) {
        following->input_held = false;
        if (following->stream != NULL)
            stream_resume(following->stream);
        done++;
    }
    return done;
}
