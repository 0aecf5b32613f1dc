/* promotion_peers.c - whom a promotion asks: a session with each, and what its answers are worth. */
#include "promotion_internal.h"

#include <stdio.h>
#include <string.h>

#include "wire.h"

#define MS UINT64_C(1000000)

/* ---- who is asked ---- */

static bool is_asked(const struct promotion *promotion, const uint8_t address[16], uint16_t port)
{
    for (unsigned i = 0; i < promotion->peers; i++)
        if (promotion->peer[i].port == port && memcmp(promotion->peer[i].address, address, 16) == 0)
            return true;
    return false;
}

static struct promotion_peer *add(struct promotion *promotion, const uint8_t address[16], uint16_t port)
{
    struct promotion_peer *peer;

    if (port == 0 || wire_is_zero(address, 16) || promotion->peers == PROMOTION_PEERS_MAX ||
        is_asked(promotion, address, port))
        return NULL;
    peer = &promotion->peer[promotion->peers++];
    peer->promotion = promotion;
    peer->expected_id = 0;
    memcpy(peer->address, address, sizeof peer->address);
    peer->port = port;
    peer->client_port = 0;
    peer->name[0] = '\0';
    peer->over = peer->turned_away = peer->heard = peer->sealed = false;
    peer->question = 0;
    peer->attempts = 0;
    peer->due_ns = promotion->now_ns;
    peer->trouble = TROUBLE_SILENT;
    return peer;
}

void promotion_peers_begin(struct promotion *promotion)
{
    const struct promotion_order *order = &promotion->order;

    promotion->peers = 0;
    for (unsigned i = 0; i < promotion->list.count; i++) {
        const struct member *member = &promotion->list.member[i];
        struct promotion_peer *peer = member->node_id != order->own_id
                                          ? add(promotion, member->address, member->replication_port)
                                          : NULL;
        if (peer == NULL)
            continue;
        peer->expected_id = member->node_id;
        peer->client_port = member->client_port;
        memcpy(peer->name, member->name, sizeof peer->name);
    }
    for (unsigned i = 0; i < order->seeds; i++)
        add(promotion, order->seed[i].address, order->seed[i].port);
}

/* ---- what its answers are worth ---- */

bool promotion_peer_is_lost(const struct promotion_peer *peer)
{
    return (!peer->link_there || peer->over) && (peer->turned_away || peer->attempts >= PROMOTION_ATTEMPTS);
}

bool promotion_peer_lives(const struct promotion_peer *peer)
{
    const struct promotion_order *order = &peer->promotion->order;
    const struct replication_standing *standing = &peer->standing;

    return peer->heard && standing->mode == STANDING_LEADS && standing->state == STANDING_SERVING &&
           standing->epoch >= order->history_epoch && standing->node_id != order->yields;
}

bool promotion_peer_promised(const struct promotion_peer *peer)
{
    const struct promotion *promotion = peer->promotion;

    return peer->sealed && peer->standing.sealed_epoch == promotion->epoch &&
           peer->standing.sealed_node == promotion->order.own_id;
}

bool promotion_peer_is_elsewhere(const struct promotion_peer *peer)
{
    const struct promotion_tail *own = &peer->promotion->order.own;

    return peer->standing.tail_epoch == own->epoch && peer->standing.tail_history != own->history;
}

bool promotion_peer_stands_above(const struct promotion_peer *peer)
{
    const struct promotion_tail *own = &peer->promotion->order.own;
    const struct replication_standing *standing = &peer->standing;

    return standing->tail_epoch > own->epoch ||
           (standing->tail_epoch == own->epoch && standing->tail_history == own->history &&
            standing->tail_lsn > own->lsn);
}

bool promotion_peer_could_lead(const struct promotion_peer *peer)
{
    return peer->standing.mode == STANDING_FOLLOWS && peer->standing.state == STANDING_SERVING;
}

bool promotion_peer_is_in_the_way(const struct promotion_peer *peer)
{
    if (!promotion_peer_stands_above(peer))
        return false;
    /* What a primary has that is left alone, and nobody of those who promise, was never acknowledged. */
    return peer->promotion->order.force ? promotion_peer_could_lead(peer) : !promotion_peer_lives(peer);
}

bool promotion_peer_may_seal(const struct promotion_peer *peer)
{
    return peer->heard && !peer->sealed && (peer->promotion->order.force || !promotion_peer_lives(peer));
}

/* ---- the session ---- */

static bool is_sealing(const struct promotion *promotion)
{
    return promotion->phase == PHASE_SEALING;
}

/* What it is to be asked next; 0: nothing. */
static uint8_t next_question(const struct promotion_peer *peer)
{
    if (!peer->heard)
        return REPLICATION_PROBE;
    return is_sealing(peer->promotion) && promotion_peer_may_seal(peer) ? REPLICATION_SEAL : 0;
}

static void speak(struct promotion_peer *peer)
{
    const struct promotion *promotion = peer->promotion;
    const struct promotion_order *order = &promotion->order;
    struct replication_message message = {.call = {.version = REPLICATION_VERSION, .node_id = order->own_id}};

    if (peer->over || !peer->channel_used || peer->channel.state != CHANNEL_OPEN || peer->question != 0 ||
        channel_sending(&peer->channel))
        return;
    message.type = next_question(peer);
    if (message.type == 0)
        return;
    message.call.epoch = message.type == REPLICATION_SEAL ? promotion->epoch : order->history_epoch;
    memcpy(message.call.cluster_id, order->cluster_id, CLUSTER_ID_BYTES);
    peer->question = message.type;
    channel_send(&peer->channel, &message, NULL, NULL, NULL);
    channel_turn(&peer->channel);
}

/* This attempt has come to its end: nothing more is asked, or taken, on it. */
static void end_attempt(struct promotion_peer *peer, enum peer_trouble trouble)
{
    struct promotion *promotion = peer->promotion;

    if (peer->over)
        return;
    peer->over = true;
    peer->question = 0;
    peer->trouble = trouble;
    peer->due_ns = promotion->now_ns + PROMOTION_AGAIN_MS * MS;
    peer->close_by_ns = promotion->now_ns + PROMOTION_CLOSE_MS * MS;
    if (trouble == TROUBLE_BAD_KEY)
        replication_count(promotion->config.counters, REPLICATION_bad_key, 1);
    else if (trouble == TROUBLE_NOT_IN_ORDER)
        replication_count(promotion->config.counters, REPLICATION_not_in_order, 1);
    else if (trouble == TROUBLE_CUT || trouble == TROUBLE_SHAKING)
        replication_count(promotion->config.counters, REPLICATION_cut, 1);
}

static void turn_away(struct promotion_peer *peer, enum peer_trouble trouble)
{
    peer->turned_away = true;
    end_attempt(peer, trouble);
    channel_close(&peer->channel);
}

static void on_refuse(struct promotion_peer *peer, const struct replication_refuse *refuse)
{
    bool is_ourselves = refuse->reason == REFUSE_SAME_NODE && peer->expected_id == 0;

    snprintf(peer->refusal, sizeof peer->refusal, "%s%s%s", refuse_text(refuse->reason),
             refuse->text[0] != '\0' ? ": " : "", refuse->text);
    turn_away(peer, is_ourselves ? TROUBLE_OURSELVES : TROUBLE_REFUSED);
}

static void on_standing(struct promotion_peer *peer, const struct replication_standing *standing)
{
    if (standing->version != REPLICATION_VERSION) {
        turn_away(peer, TROUBLE_VERSION);
        return;
    }
    if (standing->node_id == peer->promotion->order.own_id) {
        snprintf(peer->refusal, sizeof peer->refusal, "%s", refuse_text(REFUSE_SAME_NODE));
        turn_away(peer, TROUBLE_REFUSED);
        return;
    }
    peer->sealed = peer->question == REPLICATION_SEAL;
    peer->standing = *standing;
    peer->heard = true;
    peer->question = 0;
}

static void on_message(void *owner, const struct replication_message *message)
{
    struct promotion_peer *peer = owner;

    if (peer->over)
        return;
    if (peer->question != 0 && message->type == REPLICATION_REFUSE) {
        on_refuse(peer, &message->refuse);
    } else if (peer->question != 0 && message->type == REPLICATION_STANDING &&
               message->standing.node_id != 0) {
        on_standing(peer, &message->standing);
        speak(peer);
    } else {
        end_attempt(peer, TROUBLE_NOT_IN_ORDER);
        channel_abort(&peer->channel);
    }
}

static void on_opened(void *owner)
{
    speak(owner);
}

static const struct channel_events channel_events = {.opened = on_opened, .message = on_message};

/* The channel may have ended in whatever was done with it. */
static void look_at_channel(struct promotion_peer *peer)
{
    if (!peer->channel_used || peer->channel.state != CHANNEL_ENDED)
        return;
    switch ((enum channel_end)peer->channel.end) {
    case CHANNEL_BAD_KEY:
        end_attempt(peer, TROUBLE_BAD_KEY);
        break;
    case CHANNEL_NOT_IN_ORDER:
        end_attempt(peer, TROUBLE_NOT_IN_ORDER);
        break;
    default:
        end_attempt(peer, peer->channel.shaken ? TROUBLE_CUT : TROUBLE_SHAKING);
    }
}

/* ---- the link ---- */

void promotion_connected(struct promotion *promotion, unsigned index, const struct link *link)
{
    struct promotion_peer *peer = &promotion->peer[index];
    const struct promotion_config *config = &promotion->config;
    struct channel_config channel = {.events = &channel_events,
                                     .owner = peer,
                                     .keys = {config->keys[0], config->keys[1]},
                                     .random = config->random,
                                     .session = &config->session_keys[index],
                                     .receive = peer->receive,
                                     .receive_bytes = sizeof peer->receive};

    if (promotion->phase == PHASE_NONE || peer->over) {
        link->functions->abort(link->stream);
        return;
    }
    peer->channel_used = true;
    channel_start(&peer->channel, &channel, link);
    look_at_channel(peer);
}

void promotion_received(struct promotion *promotion, unsigned index, uint8_t *bytes, size_t length)
{
    struct promotion_peer *peer = &promotion->peer[index];

    if (!peer->channel_used)
        return;
    channel_received(&peer->channel, bytes, length);
    look_at_channel(peer);
}

void promotion_writable(struct promotion *promotion, unsigned index)
{
    struct promotion_peer *peer = &promotion->peer[index];

    if (!peer->channel_used)
        return;
    channel_turn(&peer->channel);
    speak(peer);
    look_at_channel(peer);
}

void promotion_link_closed(struct promotion *promotion, unsigned index)
{
    struct promotion_peer *peer = &promotion->peer[index];

    if (peer->channel_used) {
        channel_gone(&peer->channel);
        look_at_channel(peer);
    }
    end_attempt(peer, TROUBLE_NO_LINK);
    peer->link_there = peer->channel_used = false;
}

unsigned promotion_links(const struct promotion *promotion)
{
    unsigned count = 0;
    for (unsigned i = 0; i < promotion->peers; i++)
        count += promotion->peer[i].link_there;
    return count;
}

static void connect(struct promotion_peer *peer)
{
    struct promotion *promotion = peer->promotion;
    const struct promotion_host *host = &promotion->config.host;

    peer->attempts++;
    peer->over = false;
    peer->link_there = true;
    replication_count(promotion->config.counters, REPLICATION_connects, 1);
    if (!host->connect(host->state, (unsigned)(peer - promotion->peer), peer->address, peer->port)) {
        peer->link_there = false;
        end_attempt(peer, TROUBLE_NO_LINK);
    }
}

/* ---- all of them ---- */

void promotion_peers_seal(struct promotion *promotion)
{
    for (unsigned i = 0; i < promotion->peers; i++)
        promotion->peer[i].attempts = 0;
}

void promotion_peers_end(struct promotion *promotion)
{
    for (unsigned i = 0; i < promotion->peers; i++) {
        struct promotion_peer *peer = &promotion->peer[i];
        enum peer_trouble trouble = peer->trouble;
        if (!peer->link_there || peer->over)
            continue;
        end_attempt(peer, trouble);
        if (peer->channel_used)
            channel_close(&peer->channel);
    }
}

static bool is_to_be_asked(const struct promotion_peer *peer)
{
    return peer->promotion->phase != PHASE_NONE && !peer->link_there && !peer->turned_away &&
           peer->attempts < PROMOTION_ATTEMPTS && peer->promotion->now_ns >= peer->due_ns &&
           next_question(peer) != 0;
}

static unsigned turn_session(struct promotion_peer *peer)
{
    unsigned done = channel_turn(&peer->channel) > 0;

    speak(peer);
    look_at_channel(peer);
    if (peer->over && peer->promotion->now_ns > peer->close_by_ns) {
        /* Also if our last word has left: a peer that hangs does not end its half of the link. */
        peer->close_by_ns = UINT64_MAX;
        peer->channel.link.functions->abort(peer->channel.link.stream);
    }
    return done;
}

unsigned promotion_peers_turn(struct promotion *promotion)
{
    unsigned done = 0, connects = 0;

    for (unsigned i = 0; i < promotion->peers; i++) {
        struct promotion_peer *peer = &promotion->peer[i];
        if (peer->channel_used)
            done += turn_session(peer);
        if (connects < PROMOTION_CONNECTS && is_to_be_asked(peer)) {
            connects++;
            connect(peer);
        }
    }
    return done + connects;
}
