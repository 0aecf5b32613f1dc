/* promotion.c - the phases of a promotion, and what comes of it; the rules stand in promotion.h. */
#include "promotion_internal.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "epoch.h"
#include "members.h"

struct promotion *promotion_create(const struct promotion_config *config)
{
    struct promotion *promotion = calloc(1, sizeof *promotion);

    if (promotion == NULL)
        return NULL;
    promotion->config = *config;
    if (config->probe_ns == 0)
        promotion->config.probe_ns = PROMOTION_PROBE_NS;
    if (config->limit_ns == 0)
        promotion->config.limit_ns = PROMOTION_LIMIT_NS;
    return promotion;
}

void promotion_destroy(struct promotion *promotion)
{
    if (promotion == NULL)
        return;
    for (unsigned i = 0; i < promotion->peers; i++)
        if (promotion->peer[i].channel_used) {
            channel_abort(&promotion->peer[i].channel);
            channel_gone(&promotion->peer[i].channel);
        }
    free(promotion);
}

/* ---- what was said so far ---- */

/* Adds it to a set; how many are in it. */
static unsigned put_id(uint64_t *ids, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++)
        if (ids[i] == id)
            return count;
    ids[count] = id;
    return count + 1;
}

static bool is_enough(const struct promotion *promotion, const uint64_t *ids, unsigned count)
{
    if (promotion->list.count == 0)
        return promotion->order.sole;
    return members_enough(&promotion->list, ids, count);
}

/* Whether all members but these could make another one primary. */
static bool is_enough_without(const struct promotion *promotion, const uint64_t *ids, unsigned count)
{
    uint64_t rest[MEMBERS_MAX];
    unsigned left = 0;

    for (unsigned i = 0; i < promotion->list.count; i++) {
        uint64_t id = promotion->list.member[i].node_id;
        bool is_in = false;
        for (unsigned k = 0; k < count; k++)
            is_in = is_in || ids[k] == id;
        if (!is_in)
            rest[left++] = id;
    }
    return members_enough(&promotion->list, rest, left);
}

static uint32_t higher(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Known before we asked. */
static uint32_t own_epoch(const struct promotion *promotion)
{
    const struct promotion_order *order = &promotion->order;
    return higher(higher(order->history_epoch, order->sealed_epoch), order->own.epoch);
}

static bool is_overtaken_by(const struct promotion_peer *peer)
{
    const struct promotion *promotion = peer->promotion;
    return promotion->epoch != 0 ? peer->standing.epoch >= promotion->epoch
                                 : peer->standing.epoch > promotion->order.history_epoch;
}

static bool is_rival_of(const struct promotion_peer *peer)
{
    const struct promotion *promotion = peer->promotion;
    const struct replication_standing *standing = &peer->standing;

    if (promotion->epoch != 0)
        return peer->sealed && !promotion_peer_promised(peer) && standing->sealed_epoch >= promotion->epoch;
    return standing->sealed_epoch > own_epoch(promotion) && standing->sealed_node != promotion->order.own_id;
}

/* Of two, the one whose log goes on longer. */
static const struct promotion_peer *longer(const struct promotion_peer *a, const struct promotion_peer *b)
{
    if (a == NULL || b->standing.tail_epoch > a->standing.tail_epoch)
        return b;
    return b->standing.tail_epoch == a->standing.tail_epoch && b->standing.tail_lsn > a->standing.tail_lsn
               ? b
               : a;
}

static void tally_heard(const struct promotion_peer *peer, struct promotion_tally *out)
{
    const struct promotion *promotion = peer->promotion;

    if (promotion_peer_lives(peer) && (out->live == NULL || peer->standing.epoch > out->live->standing.epoch))
        out->live = peer;
    if (is_overtaken_by(peer) &&
        (out->overtaken == NULL || peer->standing.epoch > out->overtaken->standing.epoch))
        out->overtaken = peer;
    if (is_rival_of(peer))
        out->rival = peer;
    if (promotion_peer_is_in_the_way(peer))
        out->above = longer(out->above, peer);
    if (promotion->phase == PHASE_SEALING && promotion_peer_may_seal(peer) && !promotion_peer_is_lost(peer))
        out->pending = true;
    if (promotion_peer_is_elsewhere(peer))
        return;
    out->heard_count = put_id(out->heard, out->heard_count, peer->standing.node_id);
    if (promotion_peer_promised(peer))
        out->promised_count = put_id(out->promised, out->promised_count, peer->standing.node_id);
}

void promotion_tally(const struct promotion *promotion, struct promotion_tally *out)
{
    memset(out, 0, sizeof *out);
    out->promised_count = put_id(out->promised, 0, promotion->order.own_id);
    out->heard_count = put_id(out->heard, 0, promotion->order.own_id);
    for (unsigned i = 0; i < promotion->peers; i++) {
        const struct promotion_peer *peer = &promotion->peer[i];
        if (peer->heard)
            tally_heard(peer, out);
        else if (!promotion_peer_is_lost(peer))
            out->late = true;
    }
    out->enough = is_enough(promotion, out->promised, out->promised_count);
    out->could_be_enough = is_enough(promotion, out->heard, out->heard_count);
}

static uint32_t highest_epoch(const struct promotion *promotion)
{
    uint32_t highest = higher(own_epoch(promotion), promotion->epoch);

    for (unsigned i = 0; i < promotion->peers; i++) {
        const struct promotion_peer *peer = &promotion->peer[i];
        const struct replication_standing *standing = &peer->standing;
        if (peer->heard)
            highest = higher(higher(highest, standing->epoch),
                             higher(standing->sealed_epoch, standing->tail_epoch));
    }
    return highest;
}

/* ---- the end ---- */

static void name_node(struct promotion_node *out, const struct promotion_peer *peer)
{
    if (peer == NULL)
        return;
    *out = (struct promotion_node){.node_id = peer->standing.node_id, .port = peer->port};
    memcpy(out->address, peer->address, sizeof out->address);
    if (peer->expected_id == peer->standing.node_id)
        out->client_port = peer->client_port;
}

static const struct promotion_peer *leader_of(const struct promotion *promotion,
                                              const struct promotion_tally *tally)
{
    const struct promotion_peer *leader = tally->live;

    for (unsigned i = 0; i < promotion->peers && promotion->result.why == PROMOTION_OVERTAKEN; i++) {
        const struct promotion_peer *peer = &promotion->peer[i];
        if (peer->heard && peer->standing.mode == STANDING_LEADS && is_overtaken_by(peer) &&
            (leader == NULL || peer->standing.epoch > leader->standing.epoch))
            leader = peer;
    }
    return leader;
}

static void end(struct promotion *promotion, enum promotion_state state, enum promotion_why why,
                const struct promotion_peer *about)
{
    struct promotion_result *result = &promotion->result;
    struct promotion_tally tally;

    promotion_tally(promotion, &tally);
    result->state = state;
    result->why = why;
    result->epoch = promotion->phase == PHASE_SEALING ? promotion->epoch : 0;
    result->highest_epoch = highest_epoch(promotion);
    result->heard = tally.heard_count - 1;
    result->promised = tally.promised_count - 1;
    for (unsigned i = 0; i < promotion->peers; i++)
        result->asked += promotion->peer[i].trouble != TROUBLE_OURSELVES;
    name_node(&result->node, about);
    name_node(&result->leader, leader_of(promotion, &tally));
    if (about != NULL)
        result->lsn = about->standing.tail_lsn;
    promotion_tell(promotion, &tally, about);
    if (!promotion->order.only_asks)
        replication_count(promotion->config.counters,
                          state == PROMOTION_WON ? REPLICATION_promotions_won : REPLICATION_promotions_lost,
                          1);
    promotion->phase = PHASE_NONE;
    promotion_peers_end(promotion);
}

static void lose(struct promotion *promotion, enum promotion_why why, const struct promotion_peer *about)
{
    end(promotion, PROMOTION_LOST, why, about);
}

/* ---- ASKING ---- */

/* What would be in the way of this node, the worst first. */
static void answer(struct promotion *promotion, const struct promotion_tally *tally)
{
    if (tally->live != NULL)
        end(promotion, PROMOTION_ASKED, PROMOTION_LIVE_PRIMARY, tally->live);
    else if (tally->overtaken != NULL)
        end(promotion, PROMOTION_ASKED, PROMOTION_OVERTAKEN, tally->overtaken);
    else if (tally->rival != NULL)
        end(promotion, PROMOTION_ASKED, PROMOTION_RIVAL, tally->rival);
    else if (tally->above != NULL)
        end(promotion, PROMOTION_ASKED, PROMOTION_MORE_ELSEWHERE, tally->above);
    else
        end(promotion, PROMOTION_ASKED, tally->could_be_enough ? PROMOTION_NONE : PROMOTION_TOO_FEW, NULL);
}

static void seal_own(struct promotion *promotion, const struct promotion_tally *tally)
{
    uint32_t epoch = epoch_of_promotion(highest_epoch(promotion));

    if (tally->above != NULL) {
        lose(promotion, PROMOTION_MORE_ELSEWHERE, tally->above);
    } else if (!tally->could_be_enough && !promotion->order.force) {
        lose(promotion, PROMOTION_TOO_FEW, NULL);
    } else if (epoch == 0) {
        lose(promotion, PROMOTION_NO_EPOCH, NULL);
    } else {
        promotion->epoch = epoch;
        promotion->phase = PHASE_OWN_SEAL;
    }
}

static unsigned turn_asking(struct promotion *promotion)
{
    const struct promotion_order *order = &promotion->order;
    uint64_t waited_ns = promotion->now_ns - promotion->begin_ns, probe_ns = promotion->config.probe_ns;
    struct promotion_tally tally;

    promotion_tally(promotion, &tally);
    if (!order->only_asks && !order->force && tally.live != NULL) {
        lose(promotion, PROMOTION_LIVE_PRIMARY, tally.live);
        return 1;
    }
    if (tally.late && waited_ns < probe_ns &&
        (order->only_asks || !tally.could_be_enough || waited_ns < probe_ns / 2))
        return 0;
    if (order->only_asks)
        answer(promotion, &tally);
    else
        seal_own(promotion, &tally);
    return 1;
}

/* ---- SEALING ---- */

/* Whether an answer is yet to come that may change what comes of it. */
static bool is_worth_waiting(const struct promotion *promotion, const struct promotion_tally *tally)
{
    bool patient = promotion->now_ns - promotion->sealing_ns < promotion->config.probe_ns / 2;

    if (promotion->now_ns - promotion->begin_ns >= promotion->config.limit_ns)
        return false;
    if (tally->enough)
        return tally->pending && patient;
    return tally->pending || (tally->late && !promotion->order.force);
}

static void conclude(struct promotion *promotion, const struct promotion_tally *tally)
{
    bool needed = !tally->enough;

    if (tally->rival != NULL &&
        (needed || is_enough_without(promotion, tally->promised, tally->promised_count)))
        lose(promotion, PROMOTION_RIVAL, tally->rival);
    else if (needed && !promotion->order.force)
        lose(promotion, tally->live != NULL ? PROMOTION_LIVE_PRIMARY : PROMOTION_TOO_FEW, tally->live);
    else if (tally->above != NULL)
        lose(promotion, PROMOTION_MORE_ELSEWHERE, tally->above);
    else
        end(promotion, PROMOTION_WON, PROMOTION_NONE, NULL);
}

static unsigned turn_sealing(struct promotion *promotion)
{
    struct promotion_tally tally;

    promotion_tally(promotion, &tally);
    if (tally.overtaken != NULL)
        lose(promotion, PROMOTION_OVERTAKEN, tally.overtaken);
    else if (is_worth_waiting(promotion, &tally))
        return 0;
    else
        conclude(promotion, &tally);
    return 1;
}

/* ---- orders, and time ---- */

bool promotion_begin(struct promotion *promotion, const struct promotion_order *order, uint64_t mono_ns)
{
    CHECK(order->seeds <= PROMOTION_SEEDS_MAX && order->list->count <= MEMBERS_MAX);
    if (promotion->phase != PHASE_NONE || promotion_links(promotion) > 0)
        return false;
    promotion->order = *order;
    promotion->list = *order->list;
    promotion->order.list = &promotion->list;
    promotion->epoch = 0;
    promotion->now_ns = promotion->begin_ns = mono_ns;
    promotion->result = (struct promotion_result){.state = PROMOTION_RUNS};
    promotion_peers_begin(promotion);
    promotion->order.seed = NULL;
    promotion->phase = PHASE_ASKING;
    return true;
}

void promotion_stop(struct promotion *promotion)
{
    promotion->phase = PHASE_NONE;
    promotion->result = (struct promotion_result){.state = PROMOTION_IDLE};
    promotion_peers_end(promotion);
}

bool promotion_wants_seal(const struct promotion *promotion, uint32_t *epoch)
{
    *epoch = promotion->epoch;
    return promotion->phase == PHASE_OWN_SEAL;
}

void promotion_sealed(struct promotion *promotion, const struct promotion_tail *own)
{
    if (promotion->phase != PHASE_OWN_SEAL)
        return;
    promotion->order.own = *own;
    promotion->sealing_ns = promotion->now_ns;
    promotion->phase = PHASE_SEALING;
    promotion_peers_seal(promotion);
}

void promotion_overruled(struct promotion *promotion, uint32_t epoch, uint64_t node_id)
{
    if (promotion->phase == PHASE_NONE || promotion->order.only_asks)
        return;
    promotion->order.sealed_epoch = higher(promotion->order.sealed_epoch, epoch);
    promotion->result.node.node_id = node_id;
    lose(promotion, PROMOTION_RIVAL, NULL);
}

unsigned promotion_turn(struct promotion *promotion, uint64_t mono_ns)
{
    unsigned done;

    promotion->now_ns = mono_ns;
    done = promotion_peers_turn(promotion);
    switch (promotion->phase) {
    case PHASE_ASKING:
        return done + turn_asking(promotion);
    case PHASE_OWN_SEAL:
        if (mono_ns - promotion->begin_ns < promotion->config.limit_ns)
            return done;
        lose(promotion, PROMOTION_NOT_SEALED, NULL);
        return done + 1;
    case PHASE_SEALING:
        return done + turn_sealing(promotion);
    default:
        return done;
    }
}

const struct promotion_result *promotion_result(const struct promotion *promotion)
{
    return &promotion->result;
}
