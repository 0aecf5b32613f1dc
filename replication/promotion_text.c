/* promotion_text.c - what came of a promotion, in one line for the operator. */
#include "promotion_internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

static void add(struct promotion *promotion, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends; what has no room is left out. */
static void add(struct promotion *promotion, const char *format, ...)
{
    char *text = promotion->result.text;
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, sizeof promotion->result.text - used, format, arguments);
    va_end(arguments);
}

static void add_name(struct promotion *promotion, uint64_t node_id)
{
    const struct member *member = member_find(&promotion->list, node_id);

    if (node_id == promotion->order.own_id)
        add(promotion, "this node");
    else if (member != NULL && member->name[0] != '\0')
        add(promotion, "\"%s\"", member->name);
    else
        add(promotion, "node %016" PRIx64, node_id);
}

static void add_address(struct promotion *promotion, const struct promotion_peer *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_ip4 = memcmp(peer->address, mapped, sizeof mapped) == 0;
    char address[INET6_ADDRSTRLEN] = "?";

    inet_ntop(is_ip4 ? AF_INET : AF_INET6, peer->address + (is_ip4 ? sizeof mapped : 0), address,
              sizeof address);
    add(promotion, is_ip4 ? "%s:%u" : "[%s]:%u", address, peer->port);
}

/* Of one who has answered. */
static void add_peer(struct promotion *promotion, const struct promotion_peer *peer)
{
    add_name(promotion, peer->standing.node_id);
    add(promotion, " (");
    add_address(promotion, peer);
    add(promotion, ")");
}

/* ---- members ---- */

static const struct promotion_peer *peer_of(const struct promotion *promotion, uint64_t node_id)
{
    const struct promotion_peer *found = NULL;

    for (unsigned i = 0; i < promotion->peers; i++) {
        const struct promotion_peer *peer = &promotion->peer[i];
        if (peer->heard && peer->standing.node_id == node_id)
            return peer;
        if (peer->expected_id == node_id)
            found = peer;
    }
    return found;
}

static const char *trouble_text(const struct promotion_peer *peer)
{
    switch (peer->trouble) {
    case TROUBLE_NO_LINK:
        return "it cannot be reached";
    case TROUBLE_SHAKING:
        return "it ended the connection before we knew each other: is its secret ours?";
    case TROUBLE_BAD_KEY:
        return "what answered does not have our secret";
    case TROUBLE_CUT:
        return "the connection was cut";
    case TROUBLE_NOT_IN_ORDER:
        return "what it sent is not valid";
    case TROUBLE_VERSION:
        return "it speaks another version";
    case TROUBLE_REFUSED:
        return peer->refusal;
    case TROUBLE_OURSELVES:
        return "that address is our own";
    default:
        return "it did not answer in time";
    }
}

/* Why a member does not count among those who have answered, or promised. */
static void add_why_not(struct promotion *promotion, uint64_t node_id)
{
    const struct promotion_peer *peer = peer_of(promotion, node_id);

    add_name(promotion, node_id);
    if (peer == NULL) {
        add(promotion, ": its address is not known");
        return;
    }
    add(promotion, " (");
    add_address(promotion, peer);
    if (!peer->heard)
        add(promotion, "): %s", trouble_text(peer));
    else if (peer->standing.node_id != node_id)
        add(promotion, "): another node answers there");
    else if (promotion_peer_is_elsewhere(peer))
        add(promotion, "): its log is of another history of epoch %u", peer->standing.tail_epoch);
    else if (peer->sealed)
        add(promotion, "): it did not promise itself");
    else
        add(promotion, "): %s", trouble_text(peer));
}

static bool is_among(const uint64_t *ids, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* "2 of 3 members", which is left out of them: those of the list as it shall be. */
static void add_share(struct promotion *promotion, const uint64_t *ids, unsigned count)
{
    unsigned all = 0, in = 0;

    for (unsigned i = 0; i < promotion->list.count; i++) {
        const struct member *member = &promotion->list.member[i];
        if (member->part == MEMBER_LEAVES)
            continue;
        all++;
        in += is_among(ids, count, member->node_id);
    }
    add(promotion, "%u of %u members", in, all);
}

/* Those members that are not among them, and why. */
static void add_missing(struct promotion *promotion, const char *before, const uint64_t *ids, unsigned count)
{
    for (unsigned i = 0; i < promotion->list.count; i++) {
        uint64_t node_id = promotion->list.member[i].node_id;
        if (node_id == promotion->order.own_id || is_among(ids, count, node_id))
            continue;
        add(promotion, "%s", before);
        add_why_not(promotion, node_id);
        before = "; ";
    }
}

/* ---- outcomes ---- */

static void tell_too_few(struct promotion *promotion, const struct promotion_tally *tally)
{
    const struct member_list *list = &promotion->list;
    bool promised = promotion->phase == PHASE_SEALING;
    const uint64_t *ids = promised ? tally->promised : tally->heard;
    unsigned count = promised ? tally->promised_count : tally->heard_count;

    if (list->count == 0) {
        add(promotion, "the log here has no list of members yet: whether others have more cannot be known");
    } else {
        add_share(promotion, ids, count);
        add(promotion, " %s, this node counted, too few with min-replicas %u%s",
            promised ? "have promised themselves to it" : "answered", list->min_replicas,
            member_list_is_settled(list) ? "" : " and while the list of members is changing");
        add_missing(promotion, ": ", ids, count);
    }
    if (!promotion->order.only_asks)
        add(promotion, ". --force goes on without those who are missing");
}

static void tell_more(struct promotion *promotion, const struct promotion_peer *peer)
{
    add_peer(promotion, peer);
    add(promotion,
        " has more than this node: up to lsn %" PRIu64 " of epoch %u, here it is %" PRIu64 " of %u",
        peer->standing.tail_lsn, peer->standing.tail_epoch, promotion->order.own.lsn,
        promotion->order.own.epoch);
    if (!promotion->order.only_asks)
        add(promotion, promotion_peer_could_lead(peer) ? ". Promote that one" : ". --force gives that up");
}

static void tell_rival(struct promotion *promotion, const struct promotion_peer *peer)
{
    if (peer == NULL) { /* promotion_overruled() */
        add(promotion, "this node has promised itself to ");
        add_name(promotion, promotion->result.node.node_id);
        add(promotion, " for epoch %u meanwhile", promotion->order.sealed_epoch);
        return;
    }
    add_peer(promotion, peer);
    add(promotion, " has promised itself to ");
    add_name(promotion, peer->standing.sealed_node);
    add(promotion, " for epoch %u", peer->standing.sealed_epoch);
    if (!promotion->order.only_asks)
        add(promotion, ": another promotion is under way. Try again if it fails");
}

/* What force has passed over: whose changes may be given up. */
static void add_losses(struct promotion *promotion, const struct promotion_tally *tally)
{
    const char *before = "; what only these have is lost: ";

    if (promotion->list.count == 0) {
        add(promotion, "; the log here has no list of members yet: what others have may be lost");
        before = "; lost is what only these have: ";
    }
    for (unsigned i = 0; i < promotion->peers; i++) {
        const struct promotion_peer *peer = &promotion->peer[i];
        if (!peer->heard || !promotion_peer_stands_above(peer))
            continue;
        add(promotion, "%s", before);
        add_peer(promotion, peer);
        add(promotion, " up to lsn %" PRIu64 " of epoch %u, here it is %" PRIu64 " of %u",
            peer->standing.tail_lsn, peer->standing.tail_epoch, promotion->order.own.lsn,
            promotion->order.own.epoch);
        before = "; ";
    }
    if (!tally->enough)
        add_missing(promotion, "; what these have acknowledged may be lost: ", tally->promised,
                    tally->promised_count);
}

static void tell_won(struct promotion *promotion, const struct promotion_tally *tally)
{
    add(promotion, "epoch %u is promised to this node", promotion->epoch);
    if (promotion->list.count > 0) {
        add(promotion, " by ");
        add_share(promotion, tally->promised, tally->promised_count);
        add(promotion, ", itself counted");
    }
    if (promotion->order.force)
        add_losses(promotion, tally);
}

void promotion_tell(struct promotion *promotion, const struct promotion_tally *tally,
                    const struct promotion_peer *about)
{
    struct promotion_result *result = &promotion->result;

    result->text[0] = '\0';
    switch (result->why) {
    case PROMOTION_LIVE_PRIMARY:
        add(promotion, "the primary is alive: ");
        add_peer(promotion, about);
        if (!promotion->order.only_asks)
            add(promotion, ". Demote it, or --force");
        break;
    case PROMOTION_OVERTAKEN:
        add_peer(promotion, about);
        add(promotion, " knows epoch %u: another node has become primary meanwhile", about->standing.epoch);
        break;
    case PROMOTION_RIVAL:
        tell_rival(promotion, about);
        break;
    case PROMOTION_MORE_ELSEWHERE:
        tell_more(promotion, about);
        break;
    case PROMOTION_TOO_FEW:
        tell_too_few(promotion, tally);
        break;
    case PROMOTION_NOT_SEALED:
        add(promotion, "this node's own promise, of epoch %u, did not become durable in time",
            promotion->epoch);
        break;
    case PROMOTION_NO_EPOCH:
        add(promotion, "no epoch is left above %u", result->highest_epoch);
        break;
    default:
        if (result->state == PROMOTION_WON)
            tell_won(promotion, tally);
        else
            add(promotion, "nothing is in the way");
    }
    if (result->state == PROMOTION_LOST && result->epoch != 0)
        add(promotion, ". Those who have promised epoch %u follow nobody of a lower one", result->epoch);
}
