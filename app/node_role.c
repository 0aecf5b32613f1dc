/*
 * node_role.c - from one part to another, a step a turn: giving place, following, promises, and the order of it all.
 */
#include "node_role_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "epoch.h"
#include "node_worker.h"

/* To give place in order: until all is written and acknowledged, and the other has it. */
#define YIELD_NS UINT64_C(5000000000)
/* For who was told to take our place to ask for it, before its session is ended. */
#define HANDED_OVER_NS UINT64_C(500000000)

void node_role_end_order(struct node *node, bool ok, const char *format, ...)
{
    char text[NODE_ORDER_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (node_role_of(node)->ordered)
        node_order_end(node, ok, "%s", text);
    else
        logger_line(&node->config.logger, ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "%s", text);
    node_role_of(node)->ordered = false;
}

bool node_role_follows(const struct node *node)
{
    const struct node_role *role = &node->replication.role;

    switch (role->part) {
    case PART_FOLLOWS:
    case PART_ASKS:
        return true;
    case PART_FENCED:
        return role->settled;
    case PART_OPENS:
        return role->opening != OPENING_BLOCK;
    default:
        return false;
    }
}

bool node_role_acknowledges(const struct node *node)
{
    const struct node_role *role = &node->replication.role;

    return role->part == PART_ALONE || role->part == PART_LEADS || role->part == PART_YIELDS ||
           (role->part == PART_OPENS && role->opening == OPENING_BLOCK);
}

static bool has_led(const struct node *node)
{
    enum node_part part = node->replication.role.part;

    return part == PART_LEADS || part == PART_YIELDS;
}

/* ---- giving place ---- */

void node_role_stop_writes(struct node *node)
{
    struct state_view view = published_state_get(&node->published);

    view.state = STATE_FENCED;
    published_state_set(&node->published, &view);
    node_role_of(node)->generation = node_new_generation(node);
}

static void allow_writes(struct node *node)
{
    struct state_view view = published_state_get(&node->published);

    view.state = node_why(node) != NULL ? STATE_READ_ONLY : STATE_SERVING;
    published_state_set(&node->published, &view);
}

/* All that the workers wrote is in the log, and durable there. */
static bool all_written(const struct node *node)
{
    return node_quiescent(node, node->replication.role.generation) && durable_log_drained(node->log.log) &&
           node_log_all_durable(&node->log);
}

void node_role_fence_now(struct node *node, const char *why)
{
    struct node_role *role = node_role_of(node);

    node_role_begin(node, PART_FENCED);
    role->settled = false;
    snprintf(role->why, sizeof role->why, "%s: nothing is written here any more", why);
    logger_line(&node->config.logger, LOG_LEVEL_WARNING, "fenced: %s", role->why);
}

void node_role_fence(struct node *node, const char *why)
{
    if (!has_led(node))
        return;
    if (node_role_of(node)->part == PART_LEADS)
        node_role_stop_writes(node);
    node_role_fence_now(node, why);
    if (node_role_of(node)->ordered) /* to yield to somebody */
        node_role_end_order(node, false, "%s meanwhile: this node is fenced", why);
}

/* Nothing of ours is on its way: what the log holds is known, and the table is a replica's that stands there. */
static unsigned settle(struct node *node)
{
    struct node_role *role = node_role_of(node);
    struct node_log *log = &node->log;
    const struct meta *meta = &log->meta.now;
    struct table_counts counts;

    /* Who was told to take our place hears it before its session ends. */
    if (role->handed_over && node_role_since_ns(node) < HANDED_OVER_NS && role->promise.epoch == 0)
        return 0;
    if (node->replication.leading.feeds_tail)
        node_leading_end(node);
    if (!all_written(node) || !node_leading_is_settled(node))
        return 0;
    node_log_follow(log);
    table_counts(node->table, &counts);
    struct replica_place at = {.history = meta->history[meta->count - 1].id,
                               .last_lsn = meta_last_lsn(meta, counts.lsn + 1),
                               .next_lsn = counts.lsn + 1};
    replica_recovered(node->replication.following.replica, meta, &at);
    replica_stop_following(node->replication.following.replica);
    node->replication.following.lsn = 0;
    role->settled = true;
    role->handed_over = false;
    return 1;
}

/* ---- following ---- */

void node_role_follow(struct node *node)
{
    struct node_role *role = node_role_of(node);
    struct state_view view = published_state_get(&node->published);

    if (view.mode != MODE_REPLICA || view.state == STATE_FENCED) {
        view.mode = MODE_REPLICA;
        view.state = STATE_CATCHING_UP;
        durable_point_set(&node->log.durable, node->replication.following.lsn, true);
        published_state_set(&node->published, &view);
        node_new_generation(node);
    }
    role->why[0] = '\0';
    role->to_lead = false;
    node_role_begin(node, PART_FOLLOWS);
    replica_follow_again(node->replication.following.replica);
}

/* A member's replication port, as the list has it. */
static void follow_member(struct node *node, uint64_t node_id)
{
    struct node_role *role = node_role_of(node);
    const struct member *member = member_find(&node->log.meta.now.members, node_id);
    struct address address;

    if (member == NULL || member->node_id == node->log.meta.now.node_id)
        return;
    memcpy(address.bytes, member->address, sizeof address.bytes);
    if (address_ip4(&address) == 0)
        return;
    role->follow_next = (struct promotion_node){.node_id = node_id, .port = member->replication_port};
    memcpy(role->follow_next.address, member->address, sizeof role->follow_next.address);
}

/* If that one does not lead after all, it is asked for nevertheless until the operator, or a survey, says otherwise. */
unsigned node_role_follow_next(struct node *node)
{
    struct node_role *role = node_role_of(node);
    struct address address;

    memcpy(address.bytes, role->follow_next.address, sizeof address.bytes);
    node_following_ask_address(node, &address, role->follow_next.port);
    role->follow_next.port = 0;
    if (role->part != PART_FOLLOWS)
        node_role_follow(node);
    return 1;
}

/* ---- a promise ---- */

bool node_role_promise(struct node *node, uint32_t epoch, uint64_t node_id)
{
    struct node_role *role = node_role_of(node);
    struct node_promise *promise = &role->promise;
    struct replica *replica = node->replication.following.replica;
    struct node_log *log = &node->log;

    if (promise->epoch == 0)
        *promise = (struct node_promise){.epoch = epoch, .node_id = node_id};
    /* Each time: while it was not to be had, what this node had begun may have come to its end. */
    node_role_fence(node, "another node is to lead");
    if (role->part == PART_FOLLOWS)
        node_following_pause(node);
    if (role->part == PART_OPENS || (role->part == PART_FENCED && !role->settled) || !node_log_rests(log))
        return false;
    if (!promise->asked) {
        log->meta.now.sealed_epoch = epoch;
        log->meta.now.sealed_node = node_id;
        node_meta_changed(&log->meta);
        promise->asked = true;
    }
    if (!node_meta_durable(&log->meta))
        return false;
    replica_sealed(replica, epoch, node_id);
    if (role->part == PART_ASKS)
        promotion_overruled(node->replication.promotion.promotion, epoch, node_id);
    logger_line(&node->config.logger, LOG_LEVEL_WARNING, "promised to node %016" PRIx64 ", for epoch %u",
                node_id, epoch);
    *promise = (struct node_promise){0};
    follow_member(node, node_id);
    if (role->part == PART_FOLLOWS)
        replica_follow_again(replica);
    return true;
}

/* ---- yielding ---- */

bool node_role_peer_has_all(struct node *node, uint64_t node_id, uint64_t lsn)
{
    struct node_leading *leading = &node->replication.leading;
    unsigned count = primary_peers(leading->primary, leading->peer, PRIMARY_REPLICAS_MAX);

    for (unsigned i = 0; i < count; i++)
        if (leading->peer[i].member.node_id == node_id)
            return leading->peer[i].has_all && leading->peer[i].durable_lsn >= lsn;
    return false;
}

static unsigned turn_yielding(struct node *node)
{
    struct node_role *role = node_role_of(node);
    struct node_log *log = &node->log;
    struct node_leading *leading = &node->replication.leading;
    uint64_t last = node_log_last_lsn(log, durable_log_facts(log->log).appended_lsn);
    uint32_t highest = log->meta.now.sealed_epoch > node_role_epoch(node) ? log->meta.now.sealed_epoch
                                                                          : node_role_epoch(node);

    if (role->epoch == 0 && node_role_since_ns(node) > YIELD_NS) {
        allow_writes(node);
        node_role_begin(node, PART_LEADS);
        node_role_end_order(node, false,
                            "the other node does not have all in time: this one goes on leading");
        return 1;
    }
    if (role->epoch == 0) {
        if (!all_written(node) || leading->acknowledged_lsn < last ||
            !node_role_peer_has_all(node, role->yields_to, last))
            return 0;
        role->epoch = epoch_of_promotion(highest);
        log->meta.now.sealed_epoch = role->epoch;
        log->meta.now.sealed_node = role->yields_to;
        node_meta_changed(&log->meta);
        return 1;
    }
    if (!node_meta_durable(&log->meta))
        return 0;
    role->handed_over = primary_hand_over(leading->primary, role->yields_to, role->epoch);
    follow_member(node, role->yields_to);
    node_role_end_order(node, role->handed_over,
                        role->handed_over
                            ? "the other node takes this one's place, and is followed"
                            : "the other node has gone, and this one is fenced: promote one of them");
    node_role_fence(node, "another node takes this one's place");
    return 1;
}

/* ---- start and turn ---- */

/* Others have led since, or may: it goes on from what it has only if enough of them promise themselves. */
void node_role_recovered(struct node *node, const struct recovery_facts *found)
{
    struct node_role *role = node_role_of(node);

    if (node->config.replication.mode != MODE_PRIMARY || !found->follows)
        return;
    role->part = PART_FENCED;
    role->settled = true;
    /* How much of it is acknowledged nobody knows here: no read waits for that, it is STALE. */
    durable_point_set(&node->log.durable, 0, true);
    node_role_stop_writes(node);
    role->to_lead = true;
    node_role_ask(node, false);
}

void node_role_start(struct node *node)
{
    struct node_role *role = node_role_of(node);

    switch (node->config.replication.mode) {
    case MODE_REPLICA:
        role->part = PART_FOLLOWS;
        break;
    case MODE_PRIMARY:
        role->part = PART_OPENS;
        role->opening = OPENING_BLOCK;
        break;
    default:
        role->part = PART_ALONE;
    }
}

unsigned node_role_turn(struct node *node)
{
    struct node_role *role = node_role_of(node);

    if (!node_may_lead(node) || !node_log_is_read(&node->log))
        return 0;
    if (atomic_load_explicit(&node->draining, memory_order_relaxed)) {
        if (node_order_pending(node) != NULL)
            node_order_end(node, false, "the node is stopping");
        role->ordered = false;
        return 0;
    }
    if (role->promise.epoch != 0)
        (void)node_role_promise(node, role->promise.epoch, role->promise.node_id);
    switch (role->part) {
    case PART_FOLLOWS:
        if (role->yielded != 0) {
            node_role_ask(node, false);
            return 1;
        }
        return node_role_turn_following(node);
    case PART_ASKS:
        return node_role_turn_asking(node);
    case PART_OPENS:
        return node_role_turn_opening(node);
    case PART_LEADS:
        return node_role_turn_leading(node);
    case PART_YIELDS:
        return turn_yielding(node);
    case PART_FENCED:
        return role->settled ? node_role_turn_fenced(node) : settle(node);
    default:
        return 0;
    }
}
