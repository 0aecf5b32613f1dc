/*
 * node_role.c - from one part to another, a step a turn.
 */
#include "node_role.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"
#include "node_internal.h"
#include "node_worker.h"

/* To give place in order: until all is written and acknowledged, and the other has it. */
#define YIELD_NS UINT64_C(5000000000)
/* For who was told to take our place to ask for it, before its session is ended. */
#define HANDED_OVER_NS UINT64_C(500000000)

/* Between two looks at how the others stand: of a primary that some member does not follow, and of a fenced node. */
#define SURVEY_NS UINT64_C(1000000000)
enum { TOLD_BYTES = 400 }; /* of a promotion's text: the rest of an order's is ours */

static struct node_role *role_of(struct node *node)
{
    return &node->replication.role;
}

static void begin(struct node *node, enum node_part part)
{
    role_of(node)->part = part;
    role_of(node)->since_ns = node->replication.now.mono_ns;
}

static uint64_t since_ns(const struct node *node)
{
    return node->replication.now.mono_ns - node->replication.role.since_ns;
}

/* The operator's order has come to its end; without one it is a line of the log. */
__attribute__((format(printf, 3, 4))) static void end_order(struct node *node, bool ok, const char *format,
                                                            ...)
{
    char text[NODE_ORDER_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (role_of(node)->ordered)
        node_order_end(node, ok, "%s", text);
    else
        logger_line(&node->config.logger, ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "%s", text);
    role_of(node)->ordered = false;
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

/* Nobody writes from the workers' next turns on. */
static void stop_writes(struct node *node)
{
    struct state_view view = published_state_get(&node->published);

    view.state = STATE_FENCED;
    published_state_set(&node->published, &view);
    role_of(node)->generation = node_new_generation(node);
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

static void fence(struct node *node, const char *why)
{
    struct node_role *role = role_of(node);

    begin(node, PART_FENCED);
    role->settled = false;
    snprintf(role->why, sizeof role->why, "%s: nothing is written here any more", why);
    logger_line(&node->config.logger, LOG_LEVEL_WARNING, "fenced: %s", role->why);
}

void node_role_fence(struct node *node, const char *why)
{
    if (!has_led(node))
        return;
    if (role_of(node)->part == PART_LEADS)
        stop_writes(node);
    fence(node, why);
    if (role_of(node)->ordered) /* to yield to somebody */
        end_order(node, false, "%s meanwhile: this node is fenced", why);
}

/* Nothing of ours is on its way: what the log holds is known, and the table is a replica's that stands there. */
static unsigned settle(struct node *node)
{
    struct node_role *role = role_of(node);
    struct node_log *log = &node->log;
    const struct meta *meta = &log->meta.now;
    struct table_counts counts;

    /* Who was told to take our place hears it before its session ends. */
    if (role->handed_over && since_ns(node) < HANDED_OVER_NS && role->promise.epoch == 0)
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

static void follow(struct node *node)
{
    struct node_role *role = role_of(node);
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
    begin(node, PART_FOLLOWS);
    replica_follow_again(node->replication.following.replica);
}

/* A member's replication port, as the list has it. */
static void follow_member(struct node *node, uint64_t node_id)
{
    struct node_role *role = role_of(node);
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
static unsigned follow_next(struct node *node)
{
    struct node_role *role = role_of(node);
    struct address address;

    memcpy(address.bytes, role->follow_next.address, sizeof address.bytes);
    node_following_ask_address(node, &address, role->follow_next.port);
    role->follow_next.port = 0;
    if (role->part != PART_FOLLOWS)
        follow(node);
    return 1;
}

/* ---- a promise ---- */

bool node_role_promise(struct node *node, uint32_t epoch, uint64_t node_id)
{
    struct node_role *role = role_of(node);
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

/* ---- a promotion ---- */

static bool opened_all(const struct meta *meta)
{
    for (unsigned i = 0; i < meta->count; i++)
        if (meta->history[i].node_id != meta->node_id)
            return false;
    return true;
}

static void add_seed(struct promotion_seed *seed, unsigned *count, const struct node_peer *peer)
{
    memcpy(seed[*count].address, peer->address.bytes, sizeof seed[0].address);
    seed[(*count)++].port = peer->port;
}
static_assert((int)PEERS_MAX + 1 <= (int)PROMOTION_SEEDS_MAX, "promotion.h");

/* False: links of the last time are left. */
static bool begin_to_ask(struct node *node, bool force, bool only_asks)
{
    struct node_replication *replication = &node->replication;
    const struct node_replication_config *config = &node->config.replication;
    const struct meta *meta = &node->log.meta.now;
    struct promotion_seed seed[PROMOTION_SEEDS_MAX];
    struct promotion_order order = {.own_id = meta->node_id,
                                    .history_epoch = node_role_epoch(node),
                                    .sealed_epoch = meta->sealed_epoch,
                                    .list = &meta->members,
                                    .sole = opened_all(meta),
                                    .seed = seed,
                                    .own = node_role_tail(node),
                                    .yields = replication->role.yielded,
                                    .force = force,
                                    .only_asks = only_asks};

    memcpy(order.cluster_id, meta->cluster_id, sizeof order.cluster_id);
    for (unsigned i = 0; i < config->peers; i++)
        add_seed(seed, &order.seeds, &config->peer[i]);
    /* In the list its address may be missing: nobody had told it. */
    if (replication->following.leader.port != 0)
        add_seed(seed, &order.seeds, &replication->following.leader);
    return promotion_begin(replication->promotion.promotion, &order, replication->now.mono_ns);
}

/* ---- a survey: how the others stand ---- */

/* Once a while; the result, when there is one, until the next call of anything of the promotion's. */
static const struct promotion_result *survey(struct node *node)
{
    struct node_role *role = role_of(node);
    struct promotion *promotion = node->replication.promotion.promotion;
    uint64_t now_ns = node->replication.now.mono_ns;

    if (!role->surveys) {
        if (now_ns >= role->survey_due_ns)
            role->surveys = begin_to_ask(node, false, true);
        return NULL;
    }
    if (promotion_result(promotion)->state == PROMOTION_RUNS)
        return NULL;
    role->surveys = false;
    role->survey_due_ns = now_ns + SURVEY_NS;
    return promotion_result(promotion);
}

static void end_survey(struct node *node)
{
    promotion_stop(node->replication.promotion.promotion);
    role_of(node)->surveys = false;
}

/* Somebody leads, or has led, above us. */
static bool is_overtaken(const struct node *node, const struct promotion_result *result)
{
    return result->highest_epoch > node_role_epoch(node) &&
           (result->why == PROMOTION_OVERTAKEN || result->why == PROMOTION_RIVAL ||
            result->why == PROMOTION_LIVE_PRIMARY);
}

bool node_role_may_serve(struct node *node)
{
    struct node_role *role = role_of(node);
    const struct promotion_result *result;

    if (role->part != PART_OPENS || role->won[0] != '\0' || node->log.meta.now.members.count < 2)
        return role->part != PART_FENCED;
    result = survey(node);
    if (result == NULL)
        return false;
    bool overtaken = is_overtaken(node, result);
    if (overtaken) {
        role->follow_next = result->leader;
        role->to_lead = true;
        stop_writes(node);
        fence(node, "others have gone on without this node");
    }
    end_survey(node);
    return !overtaken;
}

/* Whom it asks may lead no more: another may have been promoted without this node's promise. */
static unsigned turn_following(struct node *node)
{
    struct node_role *role = role_of(node);
    const struct promotion_result *result;
    struct replica_facts facts;

    if (role->promise.epoch != 0)
        return 0;
    if (role->follow_next.port != 0)
        return follow_next(node);
    if (!role->surveys) {
        if (node->replication.now.mono_ns < role->survey_due_ns)
            return 0;
        replica_facts(node->replication.following.replica, &facts);
        if (facts.phase > REPLICA_GREETING || node->log.meta.now.members.count < 2) {
            role->survey_due_ns = node->replication.now.mono_ns + SURVEY_NS;
            return 0;
        }
    }
    result = survey(node);
    if (result == NULL)
        return 0;
    if (result->leader.port != 0)
        role->follow_next = result->leader;
    end_survey(node);
    return 1;
}

/* A member that does not follow may lead in an epoch that we know nothing of, or not know of ours. */
static unsigned turn_leading(struct node *node)
{
    struct node_leading *leading = &node->replication.leading;
    const struct promotion_result *result;

    if (!role_of(node)->surveys && primary_peers(leading->primary, leading->peer, PRIMARY_REPLICAS_MAX) + 1 >=
                                       leading->members.list.count)
        return 0;
    result = survey(node);
    if (result == NULL)
        return 0;
    if (is_overtaken(node, result)) {
        role_of(node)->follow_next = result->leader;
        node_role_fence(node, "another node leads in a higher epoch");
    }
    end_survey(node);
    return 1;
}

/* Who leads is followed. Who was started as a primary goes on from what it has, if enough promise themselves. */
static unsigned turn_fenced(struct node *node)
{
    struct node_role *role = role_of(node);
    const struct promotion_result *result;

    if (role->promise.epoch != 0)
        return 0;
    if (role->follow_next.port != 0)
        return follow_next(node);
    result = survey(node);
    if (result == NULL)
        return 0;
    role->follow_next = result->leader;
    end_survey(node);
    if (role->follow_next.port == 0 && role->to_lead)
        node_role_ask(node, false);
    return 1;
}

static void lose(struct node *node, const char *text)
{
    struct node_role *role = role_of(node);
    char why[TOLD_BYTES + 1];

    snprintf(why, sizeof why, "%.*s", TOLD_BYTES, text); /* it is the promotion's */
    promotion_stop(node->replication.promotion.promotion);
    role->asking = false;
    role->yielded = 0;
    bool news = role->ordered || role->asked_from != PART_FENCED || strncmp(role->why, why, TOLD_BYTES) != 0;
    if (role->asked_from == PART_FENCED) {
        begin(node, PART_FENCED);
        snprintf(role->why, sizeof role->why, "%s", why);
    } else {
        begin(node, PART_FOLLOWS);
        replica_follow_again(node->replication.following.replica);
    }
    if (news)
        end_order(node, false, "not promoted: %s", why);
}

/* The next history: its block is the log's next. */
static void win(struct node *node, uint32_t epoch)
{
    struct node_role *role = role_of(node);

    promotion_stop(node->replication.promotion.promotion);
    role->asking = false;
    role->yielded = 0;
    role->epoch = epoch;
    begin(node, PART_OPENS);
    role->opening = OPENING_META;
    role->entered = false;
}

/* The promise that it has given last is to itself, for that epoch. */
static bool is_ours(const struct meta *meta, uint32_t epoch)
{
    return meta->sealed_epoch == epoch && meta->sealed_node == meta->node_id;
}

static unsigned turn_asking(struct node *node)
{
    struct node_role *role = role_of(node);
    struct node_log *log = &node->log;
    struct promotion *promotion = node->replication.promotion.promotion;
    struct replica_facts facts;
    uint32_t epoch;

    replica_facts(node->replication.following.replica, &facts);
    if (!role->asking) {
        /* Nothing more comes, and what came is durable. */
        if (role->promise.epoch == 0 && !facts.link_there && !facts.adopting && !log->following.giving_up &&
            node_log_rests(log))
            role->asking = begin_to_ask(node, role->force, false);
        else if (since_ns(node) > PROMOTION_LIMIT_NS)
            lose(node, "the log does not come to rest: is its disk full?");
        return 0;
    }
    const struct promotion_result *result = promotion_result(promotion);
    if (result->state == PROMOTION_LOST) {
        lose(node, result->text);
        return 1;
    }
    if (role->promise.epoch != 0) /* to another: it is given, or not, before ours */
        return 0;
    if (result->state == PROMOTION_WON && !is_ours(&log->meta.now, result->epoch)) {
        lose(node, "this node has promised itself to another meanwhile");
        return 1;
    }
    if (result->state == PROMOTION_WON) {
        snprintf(role->won, sizeof role->won, "%.*s", (int)sizeof role->won - 1, result->text);
        win(node, result->epoch); /* the last use of the result */
        return 1;
    }
    if (!promotion_wants_seal(promotion, &epoch))
        return 0;
    if (!is_ours(&log->meta.now, epoch)) {
        log->meta.now.sealed_epoch = epoch;
        log->meta.now.sealed_node = log->meta.now.node_id;
        node_meta_changed(&log->meta);
    } else if (node_meta_durable(&log->meta)) {
        struct promotion_tail own = node_role_tail(node);
        replica_sealed(node->replication.following.replica, epoch, log->meta.now.node_id);
        promotion_sealed(promotion, &own);
    }
    return 1;
}

/* ---- opening ---- */

static bool add_history(struct node *node)
{
    struct meta *meta = &node->log.meta.now;
    uint64_t last = replica_place(node->replication.following.replica).last_lsn;
    struct history next = {.node_id = meta->node_id,
                           .before_lsn = last,
                           .epoch = role_of(node)->epoch,
                           .first_lsn = meta_next_first_lsn(meta, last, role_of(node)->epoch)};

    if (next.first_lsn == 0)
        return false;
    do
        random_fill(&node->config.random, &next.id, sizeof next.id);
    while (next.id == 0);
    meta_add(meta, &next);
    node_meta_changed(&node->log.meta);
    return true;
}

static unsigned turn_opening(struct node *node)
{
    struct node_role *role = role_of(node);
    struct node_log *log = &node->log;
    const struct meta *meta = &log->meta.now;
    const struct history *history = &meta->history[meta->count - 1];

    switch (role->opening) {
    case OPENING_META: /* what it says of the log's end must be durable before it */
        if (!role->entered) {
            role->entered = node_log_all_durable(log) && add_history(node);
            return role->entered;
        }
        if (!node_meta_durable(&log->meta))
            return 0;
        role->opening = OPENING_LOG;
        return 1;
    case OPENING_LOG:
        node_leading_begin(node, history->before_lsn);
        node->replication.leading.acknowledged_lsn = node->replication.following.lsn;
        if (!node_log_lead(log, history))
            return 0;
        apply_next_lsn(node->replication.following.apply, history->first_lsn);
        role->opening = OPENING_BLOCK;
        return 1;
    default:
        return 0; /* node_log_turn() sees it */
    }
}

void node_role_leads(struct node *node)
{
    struct node_role *role = role_of(node);

    if (role->part == PART_ALONE)
        return;
    bool promoted = role->won[0] != '\0';
    begin(node, PART_LEADS);
    role->to_lead = false;
    role->why[0] = '\0';
    if (promoted)
        end_order(node, true, "primary in epoch %u: %s", role->epoch, role->won);
    role->won[0] = '\0';
}

/* ---- yielding ---- */

static bool peer_has_all(struct node *node, uint64_t node_id, uint64_t lsn)
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
    struct node_role *role = role_of(node);
    struct node_log *log = &node->log;
    struct node_leading *leading = &node->replication.leading;
    uint64_t last = node_log_last_lsn(log, durable_log_facts(log->log).appended_lsn);
    uint32_t highest = log->meta.now.sealed_epoch > node_role_epoch(node) ? log->meta.now.sealed_epoch
                                                                          : node_role_epoch(node);

    if (role->epoch == 0 && since_ns(node) > YIELD_NS) {
        allow_writes(node);
        begin(node, PART_LEADS);
        end_order(node, false, "the other node does not have all in time: this one goes on leading");
        return 1;
    }
    if (role->epoch == 0) {
        if (!all_written(node) || leading->acknowledged_lsn < last ||
            !peer_has_all(node, role->yields_to, last))
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
    end_order(node, role->handed_over,
              role->handed_over ? "the other node takes this one's place, and is followed"
                                : "the other node has gone, and this one is fenced: promote one of them");
    node_role_fence(node, "another node takes this one's place");
    return 1;
}

/* ---- orders ---- */

static const struct member *member_named(const struct node *node, const char *name)
{
    const struct member_list *list = &node->log.meta.now.members;
    char *rest;
    uint64_t id = strtoull(name, &rest, 16);

    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->member[i].name, name) == 0 ||
            (*rest == '\0' && rest != name && list->member[i].node_id == id))
            return &list->member[i];
    return NULL;
}

static void order_promotion(struct node *node, const struct node_order *order)
{
    struct node_role *role = role_of(node);

    if (role->part == PART_LEADS) {
        node_order_end(node, true, "this node is the primary already");
    } else if (order->wal_path[0] != '\0' || !node_may_lead(node)) {
        node_order_end(node, false,
                       "a node without a log of its own cannot lead: start it with --enable-wal");
    } else if (role->part != PART_FOLLOWS && !(role->part == PART_FENCED && role->settled)) {
        node_order_end(node, false, "this node is about to take another part: ask again");
    } else if (replica_place(node->replication.following.replica).history == 0) {
        node_order_end(node, false, "this node has nothing to lead with: it was never loaded whole");
    } else {
        role->ordered = true;
        node_role_ask(node, order->force);
    }
}

void node_role_ask(struct node *node, bool force)
{
    struct node_role *role = role_of(node);

    role->asked_from = role->part;
    role->force = force;
    role->asking = false;
    end_survey(node);
    node_following_pause(node);
    begin(node, PART_ASKS);
}

static void order_demotion(struct node *node, const struct node_order *order)
{
    struct node_role *role = role_of(node);
    const struct member *to = member_named(node, order->node);

    if (role->part != PART_LEADS) {
        node_order_end(node, false, "only a primary gives place to another");
    } else if (to == NULL || to->node_id == node->log.meta.now.node_id) {
        node_order_end(node, false, "%s is no other member: `wildctl members` shows them", order->node);
    } else if (!peer_has_all(node, to->node_id, 0)) {
        node_order_end(node, false, "%s does not follow this node, or has not caught up", order->node);
    } else {
        role->ordered = true;
        role->yields_to = to->node_id;
        role->epoch = 0;
        stop_writes(node);
        begin(node, PART_YIELDS);
    }
}

static void order_following(struct node *node, const struct node_order *order)
{
    struct node_role *role = role_of(node);

    if (role->part != PART_FOLLOWS && !(role->part == PART_FENCED && role->settled)) {
        node_order_end(node, false,
                       role->part == PART_LEADS ? "a primary follows nobody: `wildctl demote --to` first"
                                                : "only a replica follows another node");
        return;
    }
    node_following_order(node, order);
    if (role->part == PART_FENCED)
        follow(node);
}

static void order_removal(struct node *node, const struct node_order *order)
{
    const struct member *member = member_named(node, order->node);

    if (role_of(node)->part != PART_LEADS) {
        node_order_end(node, false, "only a primary has the list of members");
        return;
    }
    switch (member != NULL ? members_remove(&node->replication.leading.members, member->node_id, order->force)
                           : -1) {
    case 0:
        node_order_end(node, true, "%s leaves the list of members", order->node);
        break;
    case -EBUSY:
        node_order_end(node, false, "another change of the list is under way: ask again");
        break;
    case -EINVAL:
        node_order_end(node, false, "this node is the primary: `wildctl demote --to` another first");
        break;
    default:
        node_order_end(node, false, "%s is no member: `wildctl members` shows them", order->node);
    }
}

void node_role_order(struct node *node, const struct node_order *order)
{
    if (role_of(node)->ordered)
        return; /* this is the one that is under way */
    if (node->replication.role.part == PART_ALONE) {
        node_order_end(node, false, "this node stands alone: start it with --mode primary or replica");
        return;
    }
    switch (order->kind) {
    case NODE_ORDER_PROMOTE:
        order_promotion(node, order);
        break;
    case NODE_ORDER_DEMOTE:
        order_demotion(node, order);
        break;
    case NODE_ORDER_FOLLOW:
        order_following(node, order);
        break;
    case NODE_ORDER_REMOVE_MEMBER:
        order_removal(node, order);
        break;
    }
}

/* ---- start and turn ---- */

/* Others have led since, or may: it goes on from what it has only if enough of them promise themselves. */
void node_role_recovered(struct node *node, const struct recovery_facts *found)
{
    struct node_role *role = role_of(node);

    if (node->config.replication.mode != MODE_PRIMARY || !found->follows)
        return;
    role->part = PART_FENCED;
    role->settled = true;
    /* How much of it is acknowledged nobody knows here: no read waits for that, it is STALE. */
    durable_point_set(&node->log.durable, 0, true);
    stop_writes(node);
    role->to_lead = true;
    node_role_ask(node, false);
}

void node_role_start(struct node *node)
{
    struct node_role *role = role_of(node);

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
    struct node_role *role = role_of(node);

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
        return turn_following(node);
    case PART_ASKS:
        return turn_asking(node);
    case PART_OPENS:
        return turn_opening(node);
    case PART_LEADS:
        return turn_leading(node);
    case PART_YIELDS:
        return turn_yielding(node);
    case PART_FENCED:
        return role->settled ? turn_fenced(node) : settle(node);
    default:
        return 0;
    }
}
