/*
 * promotion_town.h - a few nodes of one cluster, each with a real promotion and a real channel for those who
 * ask it; what they have, promise, and how they reach each other is the test's.
 *
 * town_run() lets everything happen that happens by itself, town_pass() lets time pass meanwhile.
 */
#ifndef WILD_TESTS_PROMOTION_TOWN_H
#define WILD_TESTS_PROMOTION_TOWN_H

#include <stdio.h>

#include "epoch.h"
#include "link_pair.h"
#include "promotion.h"
#include "suite.h"

enum {
    TOWN_NODES = 5,
    TOWN_LINKS = 96,
    TOWN_CONNECT_MS = 1000, /* a host's patience with one that does not answer */
};
#define TOWN_SECRET       "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TOWN_OTHER_SECRET "wild1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TOWN_MS           UINT64_C(1000000)
#define TOWN_NEVER        UINT64_MAX

enum town_reach { TOWN_OPEN, TOWN_SILENT, TOWN_CLOSED };

struct town;

struct town_node {
    struct town *town;
    unsigned number;
    bool up;
    enum town_reach reach;
    /* as it answers: node id, version, and */
    struct replication_standing standing;
    uint64_t answer_ms, seal_ms; /* after PROBE, after SEAL; TOWN_NEVER */
    bool promises_nothing;
    unsigned refuses;             /* enum refuse_reason; 0: it does not */
    uint8_t says;                 /* a message of that type in place of STANDING; 0: no */
    bool hangs_up;                /* in place of any answer */
    unsigned probes, seals;       /* asked */
    uint32_t probed_epoch;        /* by the last one */
    const struct role_keys *keys; /* of its sessions */
    /* the one that wants to lead */
    struct promotion *promotion;
    struct session_keys session[PROMOTION_PEERS_MAX];
    uint64_t own_seal_ms; /* TOWN_NEVER */
    uint64_t own_seal_at; /* 0: it is not asked for */
    struct promotion_tail own;
    void (*sealed)(struct town_node *node); /* it has promised itself to somebody, or NULL */
};

struct town_link {
    struct town *town;
    struct link_pair *pair; /* NULL: not open yet */
    bool used, server_there, client_there;
    unsigned from, index, to;
    uint64_t give_up_ns; /* that long nobody answered */
    struct channel server;
    uint8_t receive[REPLICATION_UPSTREAM_BYTES_MAX];
    struct session_keys session;
    uint8_t asked; /* 0: nothing */
    struct replication_call call;
    uint64_t answer_ns;
};

struct town {
    struct town_node node[TOWN_NODES];
    struct town_link link[TOWN_LINKS];
    bool cut[TOWN_NODES][TOWN_NODES]; /* they do not reach each other */
    struct role_keys keys, other_keys;
    struct handshake_identity identity;
    struct replication_counters counters;
    uint64_t seed, now_ns;
    struct random_source random;
    struct member_list list;
};

static inline uint64_t town_id(unsigned number)
{
    return UINT64_C(0xa000) + number;
}

static inline void town_address(uint8_t out[16], unsigned number)
{
    const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 198, 18, 0, (uint8_t)(1 + number)};
    memcpy(out, address, sizeof address);
}

/* ---- a node that is asked ---- */

static inline bool town_may_compute(void *owner)
{
    (void)owner;
    return true;
}

static inline void town_opened(void *owner)
{
    (void)owner;
}

static inline void town_asked(void *owner, const struct replication_message *message)
{
    struct town_link *link = owner;
    struct town_node *node = &link->town->node[link->to];
    bool seal = message->type == REPLICATION_SEAL;
    uint64_t after_ms = seal ? node->seal_ms : node->answer_ms;

    CU_ASSERT_FATAL(seal || message->type == REPLICATION_PROBE);
    CU_ASSERT_EQUAL(link->asked, 0);
    CU_ASSERT_EQUAL(message->call.version, REPLICATION_VERSION);
    CU_ASSERT_EQUAL(memcmp(message->call.cluster_id, link->town->identity.cluster_id, CLUSTER_ID_BYTES), 0);
    link->asked = message->type;
    link->call = message->call;
    link->answer_ns = after_ms == TOWN_NEVER ? TOWN_NEVER : link->town->now_ns + after_ms * TOWN_MS;
    node->probes += !seal;
    node->seals += seal;
    if (!seal)
        node->probed_epoch = message->call.epoch;
}

static inline void town_promise(struct town_node *node, uint32_t epoch, uint64_t to)
{
    struct replication_standing *standing = &node->standing;

    if (node->promises_nothing ||
        !epoch_may_promise(standing->epoch, standing->sealed_epoch, standing->sealed_node, epoch, to))
        return;
    standing->sealed_epoch = epoch;
    standing->sealed_node = to;
    if (standing->mode == STANDING_LEADS)
        standing->state = STANDING_FENCED;
    if (to != town_id(node->number) && node->promotion != NULL)
        promotion_overruled(node->promotion, epoch, to);
    if (node->sealed != NULL)
        node->sealed(node);
}

static inline void town_say_refuse(struct town_link *link, unsigned reason)
{
    struct replication_message message = {.type = REPLICATION_REFUSE, .refuse = {.reason = (uint16_t)reason}};
    snprintf(message.refuse.text, sizeof message.refuse.text, "because");
    channel_send(&link->server, &message, NULL, NULL, NULL);
    channel_close(&link->server);
}

static inline void town_answer(struct town_link *link)
{
    struct town_node *node = &link->town->node[link->to];
    struct replication_message message = {.type = REPLICATION_STANDING};

    if (link->asked == REPLICATION_SEAL)
        town_promise(node, link->call.epoch, link->call.node_id);
    link->asked = 0;
    message.standing = node->standing;
    if (node->hangs_up) {
        channel_close(&link->server);
    } else if (link->call.node_id == node->standing.node_id) {
        town_say_refuse(link, REFUSE_SAME_NODE);
    } else if (node->refuses != 0) {
        town_say_refuse(link, node->refuses);
    } else {
        if (node->says != 0)
            message = (struct replication_message){.type = node->says, .handover = {.epoch = 1}};
        channel_send(&link->server, &message, NULL, NULL, NULL);
    }
}

/* ---- links ---- */

static inline size_t town_server_received(void *user, uint8_t *bytes, size_t length)
{
    return channel_received(&((struct town_link *)user)->server, bytes, length);
}

static inline void town_server_gone(void *user)
{
    struct town_link *link = user;
    link->server_there = false;
    link->asked = 0;
    channel_gone(&link->server);
}

static inline size_t town_client_received(void *user, uint8_t *bytes, size_t length)
{
    struct town_link *link = user;
    promotion_received(link->town->node[link->from].promotion, link->index, bytes, length);
    return length;
}

static inline void town_client_writable(void *user)
{
    struct town_link *link = user;
    promotion_writable(link->town->node[link->from].promotion, link->index);
}

static inline void town_client_gone(void *user)
{
    struct town_link *link = user;
    link->client_there = false;
    promotion_link_closed(link->town->node[link->from].promotion, link->index);
}

static inline bool town_connect(void *state, unsigned index, const uint8_t address[16], uint16_t port)
{
    struct town_node *node = state;
    struct town *town = node->town;

    CU_ASSERT_FATAL(port == 9001 && address[15] >= 1 && address[15] <= TOWN_NODES);
    for (unsigned i = 0; i < TOWN_LINKS; i++) {
        struct town_link *link = &town->link[i];
        if (link->used)
            continue;
        memset(link, 0, sizeof *link);
        link->town = town;
        link->used = link->client_there = true;
        link->from = node->number;
        link->index = index;
        link->to = address[15] - 1u;
        link->give_up_ns = town->now_ns + TOWN_CONNECT_MS * TOWN_MS;
        return true;
    }
    return false;
}

static inline void town_open_link(struct town_link *link)
{
    static const struct channel_events events = {
        .may_compute = town_may_compute, .opened = town_opened, .message = town_asked};
    static const struct link_user server = {.received = town_server_received, .gone = town_server_gone};
    static const struct link_user client = {
        .received = town_client_received, .writable = town_client_writable, .gone = town_client_gone};
    struct town *town = link->town;
    struct channel_config config = {.events = &events,
                                    .owner = link,
                                    .keys = {town->node[link->to].keys},
                                    .identity = &town->identity,
                                    .random = &town->random,
                                    .session = &link->session,
                                    .receive = link->receive,
                                    .receive_bytes = sizeof link->receive,
                                    .server = true};

    link->pair = link_pair_new(65536);
    link->server_there = true;
    link_pair_user(link->pair, 0, &server, link);
    link_pair_user(link->pair, 1, &client, link);
    channel_start(&link->server, &config, &link->pair->end[0].link);
    promotion_connected(town->node[link->from].promotion, link->index, &link->pair->end[1].link);
}

/* The link is gone, at once, for both. */
static inline void town_cut_link(struct town_link *link)
{
    if (link->pair != NULL) {
        link_pair_cut(link->pair);
    } else if (link->client_there) {
        link->client_there = false;
        promotion_link_closed(link->town->node[link->from].promotion, link->index);
    }
}

static inline bool town_try_link(struct town_link *link)
{
    struct town *town = link->town;
    const struct town_node *to = &town->node[link->to];

    if (town->cut[link->from][link->to] || to->reach == TOWN_SILENT) {
        if (town->now_ns < link->give_up_ns)
            return false;
        town_cut_link(link);
    } else if (!to->up || to->reach == TOWN_CLOSED) {
        town_cut_link(link);
    } else {
        town_open_link(link);
    }
    return true;
}

static inline bool town_move_link(struct town_link *link)
{
    bool more = link_pair_move(link->pair, 0, SIZE_MAX) > 0;
    more |= link_pair_move(link->pair, 1, SIZE_MAX) > 0;
    if (link->server_there && link->asked != 0 && link->server.state == CHANNEL_OPEN &&
        link->town->now_ns >= link->answer_ns) {
        town_answer(link);
        more = true;
    }
    more |= link_pair_tell(link->pair, 0);
    more |= link_pair_tell(link->pair, 1);
    return more;
}

static inline bool town_turn_link(struct town_link *link)
{
    bool more = link->pair == NULL ? link->client_there && town_try_link(link) : town_move_link(link);
    if (!link->server_there && !link->client_there) {
        if (link->pair != NULL)
            link_pair_free(link->pair);
        link->used = false;
    }
    return more;
}

/* ---- a node that wants to lead ---- */

static inline bool town_turn_own_seal(struct town_node *node)
{
    struct replication_standing *standing = &node->standing;
    uint32_t epoch;

    if (!promotion_wants_seal(node->promotion, &epoch)) {
        node->own_seal_at = 0;
        return false;
    }
    if (node->own_seal_ms == TOWN_NEVER ||
        !epoch_may_promise(standing->epoch, standing->sealed_epoch, standing->sealed_node, epoch,
                           standing->node_id))
        return false;
    if (node->own_seal_at == 0)
        node->own_seal_at = node->town->now_ns + node->own_seal_ms * TOWN_MS;
    if (node->town->now_ns < node->own_seal_at)
        return false;
    town_promise(node, epoch, standing->node_id);
    promotion_sealed(node->promotion, &node->own);
    return true;
}

/* Until nothing happens by itself any more. */
static inline void town_run(struct town *town)
{
    for (unsigned round = 0; round < 20000; round++) {
        bool more = false;
        for (unsigned i = 0; i < TOWN_NODES; i++) {
            struct town_node *node = &town->node[i];
            if (node->promotion == NULL)
                continue;
            more |= promotion_turn(node->promotion, town->now_ns) > 0;
            more |= town_turn_own_seal(node);
        }
        for (unsigned i = 0; i < TOWN_LINKS; i++)
            if (town->link[i].used)
                more |= town_turn_link(&town->link[i]);
        if (!more)
            return;
    }
    CU_FAIL_FATAL("it never rests");
}

static inline void town_pass(struct town *town, unsigned ms)
{
    for (; ms > 0; ms--) {
        town->now_ns += TOWN_MS;
        town_run(town);
    }
}

static inline void town_new_promotion(struct town_node *node, const struct role_keys *other_keys)
{
    struct town *town = node->town;
    struct promotion_config config = {.keys = {node->keys, other_keys},
                                      .random = &town->random,
                                      .session_keys = node->session,
                                      .counters = &town->counters,
                                      .host = {.state = node, .connect = town_connect}};
    node->promotion = promotion_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(node->promotion);
}

/* What that node would ask, of the town's list. */
static inline struct promotion_order town_order(struct town *town, unsigned number)
{
    struct town_node *node = &town->node[number];
    const struct replication_standing *standing = &node->standing;
    struct promotion_order order = {
        .own_id = town_id(number),
        .history_epoch = standing->epoch,
        .sealed_epoch = standing->sealed_epoch,
        .list = &town->list,
        .own = {.epoch = standing->tail_epoch, .history = standing->tail_history, .lsn = standing->tail_lsn}};
    memcpy(order.cluster_id, town->identity.cluster_id, sizeof order.cluster_id);
    node->own = order.own;
    return order;
}

static inline void town_begin(struct town *town, unsigned number, const struct promotion_order *order)
{
    struct town_node *node = &town->node[number];
    if (node->promotion == NULL)
        town_new_promotion(node, NULL);
    CU_ASSERT_TRUE_FATAL(promotion_begin(node->promotion, order, town->now_ns));
    town_run(town);
}

static inline const struct promotion_result *town_result(const struct town *town, unsigned number)
{
    return promotion_result(town->node[number].promotion);
}

/* The process is gone: what it had not made durable, and all that it asked. */
static inline void town_stop_node(struct town *town, unsigned number)
{
    struct town_node *node = &town->node[number];
    for (unsigned i = 0; i < TOWN_LINKS; i++)
        if (town->link[i].used && (town->link[i].from == number || town->link[i].to == number))
            town_cut_link(&town->link[i]);
    for (unsigned i = 0; i < TOWN_LINKS; i++)
        if (town->link[i].used)
            town_turn_link(&town->link[i]);
    promotion_destroy(node->promotion);
    node->promotion = NULL;
    node->own_seal_at = 0;
    node->up = false;
}

/* ---- beginning and ending ---- */

static inline void town_keys(struct role_keys *out, const char *secret)
{
    char error[256];
    CU_ASSERT_EQUAL_FATAL(keys_start(), 0);
    CU_ASSERT_EQUAL_FATAL(keys_from_secret(out, secret, strlen(secret), "wild", error, sizeof error), 0);
}

/* The first `members` nodes are those of the list, node 0 led last, in epoch 1, and is down; all have the
 * same log, to lsn 100, and serve. */
static inline struct town *town_new(unsigned members, uint16_t min_replicas, uint64_t seed)
{
    struct town *town = calloc(1, sizeof *town);
    CU_ASSERT_PTR_NOT_NULL_FATAL(town);
    town->seed = seeded_start(seed);
    town->random = seeded_source(&town->seed);
    town->now_ns = 1000 * TOWN_MS;
    memcpy(town->identity.cluster_id, "cluster of test", CLUSTER_ID_BYTES);
    town_keys(&town->keys, TOWN_SECRET);
    town_keys(&town->other_keys, TOWN_OTHER_SECRET);
    town->list.min_replicas = town->list.min_replicas_before = min_replicas;
    town->list.count = members;
    for (unsigned i = 0; i < members; i++) {
        struct town_node *node = &town->node[i];
        struct member *member = &town->list.member[i];
        *node = (struct town_node){.town = town,
                                   .number = i,
                                   .up = i != 0,
                                   .keys = &town->keys,
                                   .standing = {.version = REPLICATION_VERSION,
                                                .node_id = town_id(i),
                                                .mode = i == 0 ? STANDING_LEADS : STANDING_FOLLOWS,
                                                .state = STANDING_SERVING,
                                                .epoch = 1,
                                                .tail_epoch = 1,
                                                .tail_history = 0x11,
                                                .tail_lsn = 100}};
        *member = (struct member){.node_id = town_id(i),
                                  .replication_port = 9001,
                                  .client_port = (uint16_t)(7000 + i),
                                  .part = MEMBER_STAYS};
        town_address(member->address, i);
        snprintf(member->name, sizeof member->name, "%c", 'a' + (int)i);
    }
    return town;
}

/* Every promotion ends, and leaves nothing behind. */
static inline void town_free(struct town *town)
{
    for (unsigned i = 0; i < TOWN_NODES; i++)
        if (town->node[i].promotion != NULL)
            promotion_stop(town->node[i].promotion);
    town_pass(town, 1100);
    for (unsigned i = 0; i < TOWN_NODES; i++) {
        struct town_node *node = &town->node[i];
        if (node->promotion == NULL)
            continue;
        CU_ASSERT_EQUAL(promotion_links(node->promotion), 0);
        promotion_destroy(node->promotion);
    }
    for (unsigned i = 0; i < TOWN_LINKS; i++)
        CU_ASSERT_FALSE(town->link[i].used);
    free(town);
}

#endif
