/*
 * node_role_lead.c - the way to lead: how the others stand, their promises, and a history of our own.
 */
#include "node_role_internal.h"

#include <stdio.h>
#include <string.h>

#include "node_worker.h"

/* Between two looks at how the others stand: of a primary that some member does not follow, and of a fenced node. */
#define SURVEY_NS UINT64_C(1000000000)
enum { TOLD_BYTES = 400 }; /* of a promotion's text: the rest of an order's is ours */

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

/* There is a cluster, and somebody of it to be asked. */
static bool knows_others(const struct node *node)
{
    const struct meta *meta = &node->log.meta.now;

    return meta->count > 0 && (meta->members.count > 1 || node->config.replication.peers > 0);
}

/* Once a while; the result, when there is one, until the next call of anything of the promotion's. */
static const struct promotion_result *survey(struct node *node)
{
    struct node_role *role = node_role_of(node);
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
    node_role_of(node)->surveys = false;
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
    struct node_role *role = node_role_of(node);
    const struct promotion_result *result;

    if (role->part != PART_OPENS || role->won[0] != '\0' || !knows_others(node))
        return role->part != PART_FENCED;
    result = survey(node);
    if (result == NULL)
        return false;
    bool overtaken = is_overtaken(node, result);
    if (overtaken) {
        role->follow_next = result->leader;
        role->to_lead = true;
        node_role_stop_writes(node);
        node_role_fence_now(node, "others have gone on without this node");
    }
    end_survey(node);
    return !overtaken;
}

/* Whom it asks may lead no more: another may have been promoted without this node's promise. */
unsigned node_role_turn_following(struct node *node)
{
    struct node_role *role = node_role_of(node);
    const struct promotion_result *result;
    struct replica_facts facts;

    if (role->promise.epoch != 0)
        return 0;
    if (role->follow_next.port != 0)
        return node_role_follow_next(node);
    if (!role->surveys) {
        if (node->replication.now.mono_ns < role->survey_due_ns)
            return 0;
        replica_facts(node->replication.following.replica, &facts);
        if (facts.phase > REPLICA_GREETING || !knows_others(node)) {
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
unsigned node_role_turn_leading(struct node *node)
{
    struct node_role *role = node_role_of(node);
    struct node_leading *leading = &node->replication.leading;
    const struct promotion_result *result;

    if (!role->surveys) {
        if (node->replication.now.mono_ns < role->survey_due_ns)
            return 0;
        if (primary_peers(leading->primary, leading->peer, PRIMARY_REPLICAS_MAX) + 1 >=
            leading->members.list.count) {
            role->survey_due_ns = node->replication.now.mono_ns + SURVEY_NS;
            return 0;
        }
    }
    result = survey(node);
    if (result == NULL)
        return 0;
    if (is_overtaken(node, result)) {
        role->follow_next = result->leader;
        node_role_fence(node, "another node leads in a higher epoch");
    }
    end_survey(node);
    return 1;
}

/* Who leads is followed. Who was started as a primary goes on from what it has, if enough promise themselves. */
unsigned node_role_turn_fenced(struct node *node)
{
    struct node_role *role = node_role_of(node);
    const struct promotion_result *result;

    if (role->promise.epoch != 0)
        return 0;
    if (role->follow_next.port != 0)
        return node_role_follow_next(node);
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
    struct node_role *role = node_role_of(node);
    char why[TOLD_BYTES + 1];

    snprintf(why, sizeof why, "%.*s", TOLD_BYTES, text); /* it is the promotion's */
    promotion_stop(node->replication.promotion.promotion);
    role->asking = false;
    role->yielded = 0;
    bool news = role->ordered || role->asked_from != PART_FENCED || strncmp(role->why, why, TOLD_BYTES) != 0;
    if (role->asked_from == PART_FENCED) {
        node_role_begin(node, PART_FENCED);
        snprintf(role->why, sizeof role->why, "%s", why);
    } else {
        node_role_begin(node, PART_FOLLOWS);
        replica_follow_again(node->replication.following.replica);
    }
    if (news)
        node_role_end_order(node, false, "not promoted: %s", why);
}

/* The next history: its block is the log's next. */
static void win(struct node *node, uint32_t epoch)
{
    struct node_role *role = node_role_of(node);

    promotion_stop(node->replication.promotion.promotion);
    role->asking = false;
    role->yielded = 0;
    role->epoch = epoch;
    node_role_begin(node, PART_OPENS);
    role->opening = OPENING_META;
    role->entered = false;
}

/* The promise that it has given last is to itself, for that epoch. */
static bool is_ours(const struct meta *meta, uint32_t epoch)
{
    return meta->sealed_epoch == epoch && meta->sealed_node == meta->node_id;
}

unsigned node_role_turn_asking(struct node *node)
{
    struct node_role *role = node_role_of(node);
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
        else if (node_role_since_ns(node) > PROMOTION_LIMIT_NS)
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

void node_role_ask(struct node *node, bool force)
{
    struct node_role *role = node_role_of(node);

    role->asked_from = role->part;
    role->force = force;
    role->asking = false;
    end_survey(node);
    node_following_pause(node);
    node_role_begin(node, PART_ASKS);
}

/* ---- opening ---- */

static bool add_history(struct node *node)
{
    struct meta *meta = &node->log.meta.now;
    uint64_t last = replica_place(node->replication.following.replica).last_lsn;
    struct history next = {.node_id = meta->node_id,
                           .before_lsn = last,
                           .epoch = node_role_of(node)->epoch,
                           .first_lsn = meta_next_first_lsn(meta, last, node_role_of(node)->epoch)};

    if (next.first_lsn == 0)
        return false;
    do
        random_fill(&node->config.random, &next.id, sizeof next.id);
    while (next.id == 0);
    meta_add(meta, &next);
    node_meta_changed(&node->log.meta);
    return true;
}

unsigned node_role_turn_opening(struct node *node)
{
    struct node_role *role = node_role_of(node);
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
    struct node_role *role = node_role_of(node);

    if (role->part == PART_ALONE)
        return;
    bool promoted = role->won[0] != '\0';
    node_role_begin(node, PART_LEADS);
    role->to_lead = false;
    role->why[0] = '\0';
    if (promoted)
        node_role_end_order(node, true, "primary in epoch %u: %s", role->epoch, role->won);
    role->won[0] = '\0';
}
