/*
 * test_members_model.c - members.h's argument, tried: five nodes with logs that are lists of entries, a
 * network that is cut at random, crashes, promotions that run at the same time, members that come and go,
 * another K at each start. What a primary acknowledged is a log of its own: each acknowledgement must go on
 * with it, whoever says it. Promises, ACKs and decisions are those of the rules (members.c, store/epoch.h);
 * what carries them is left out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "epoch.h"
#include "members.h"
#include "suite.h"

enum { NODES = 5, ENTRIES_MAX = 600, LISTS_MAX = 600, STEPS = 800, RUNS = 150 };

struct entry {
    uint64_t lsn, node; /* of the history's node */
    uint32_t epoch;
    uint16_t list; /* of model.list; 0: none */
    bool mark;     /* a history begins: its lsn is the one before its first */
};

struct log {
    unsigned count;
    struct entry entry[ENTRIES_MAX];
};

enum part { FOLLOWS, LEADS, FENCED };
enum asking { ASKS_NOBODY, PROBING, SEALING };

struct node {
    bool alive;
    enum part part;
    struct log log;
    unsigned durable; /* entries */
    unsigned from;    /* its log goes back to there: what is before came with a snapshot */
    uint32_t epoch;   /* of the last history that it has opened or followed, and its node: in its meta */
    uint64_t epoch_node;
    uint32_t sealed;
    uint64_t sealed_node;
    struct members members;
    int primary; /* that it follows; -1: none */
    /* leading */
    uint64_t next_lsn;
    unsigned acknowledged;
    struct members_peer peer[NODES];
    unsigned session[NODES]; /* how much of the log was sent; 0: none is there */
    uint64_t snapshot_lsn[NODES];
    /* a promotion */
    enum asking asking;
    uint32_t wants;
    bool asked[NODES], promised[NODES], stands_above;
};

static struct {
    struct node node[NODES];
    struct member_list list[LISTS_MAX];
    unsigned lists;
    struct log acknowledged;               /* by anybody, ever */
    uint32_t acknowledged_in[ENTRIES_MAX]; /* the epoch of who did */
    bool cut[NODES][NODES];
    uint64_t seed, next_history;
    unsigned promotions, acknowledgements, restarts, lists_logged;
    const char *broken; /* what must not be */
} model;

static uint64_t id_of(unsigned n)
{
    return 1 + n;
}

static unsigned below(unsigned bound)
{
    return (unsigned)seeded_below(&model.seed, bound);
}

static bool reaches(unsigned a, unsigned b)
{
    return model.node[a].alive && model.node[b].alive && !model.cut[a][b] && !model.cut[b][a];
}

/* ---- logs ---- */

static const struct entry *last(const struct log *log, unsigned count)
{
    static const struct entry none;
    return count > 0 ? &log->entry[count - 1] : &none;
}

static bool entry_equal(const struct entry *a, const struct entry *b)
{
    return a->lsn == b->lsn && a->node == b->node && a->epoch == b->epoch;
}

/* Whether b goes on with a's first `count` entries. An entry with the one before it in one place: so has
 * the line. */
static bool goes_on(const struct log *a, unsigned count, const struct log *b)
{
    if (b->count < count)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!entry_equal(&a->entry[i], &b->entry[i]))
            return false;
    return true;
}

static void append(struct node *node, unsigned list)
{
    struct log *log = &node->log;
    if (log->count == ENTRIES_MAX)
        return;
    log->entry[log->count++] = (struct entry){
        .lsn = node->next_lsn++, .node = node->epoch_node, .epoch = node->epoch, .list = (uint16_t)list};
}

/* The list that a node goes by: the last one in its own log, of what it has of it itself. */
static void find_list(struct node *node)
{
    struct member_list none = {.count = 0};
    unsigned at = node->log.count;
    while (at > node->from && node->log.entry[at - 1].list == 0)
        at--;
    unsigned found = at > node->from ? node->log.entry[at - 1].list : 0;
    members_init(&node->members, id_of((unsigned)(node - model.node)),
                 found != 0 ? &model.list[found] : &none);
}

/* ---- leading ---- */

static bool write_list(void *state, struct member_list *list)
{
    struct node *node = state;
    if (model.lists == LISTS_MAX || node->log.count == ENTRIES_MAX)
        return false;
    list->first_lsn = list->last_lsn = node->next_lsn;
    model.list[model.lists] = *list;
    append(node, model.lists++);
    model.lists_logged++;
    return true;
}

static void lead(unsigned n, uint32_t epoch)
{
    struct node *node = &model.node[n];
    struct member self = {.node_id = id_of(n), .replication_port = 9001};
    node->part = LEADS;
    node->primary = -1;
    node->epoch = epoch;
    node->epoch_node = id_of(n);
    node->next_lsn = ++model.next_history << 32;
    node->acknowledged = 0;
    /* Its first block is durable before anybody is served. */
    if (node->log.count < ENTRIES_MAX)
        node->log.entry[node->log.count++] =
            (struct entry){.lsn = node->next_lsn - 1, .node = node->epoch_node, .epoch = epoch, .mark = true};
    node->durable = node->log.count;
    memset(node->session, 0, sizeof node->session);
    memset(node->snapshot_lsn, 0, sizeof node->snapshot_lsn);
    find_list(node);
    members_lead(&node->members, &self, (uint16_t)below(3), node->next_lsn);
}

static unsigned peers_of(const struct node *node, struct members_peer out[NODES])
{
    unsigned count = 0;
    for (unsigned i = 0; i < NODES; i++)
        if (node->session[i] > 0)
            out[count++] = node->peer[i];
    return count;
}

/* All up to the n-th entry is acknowledged by this node: whoever was before must have said nothing else. */
static void acknowledge(struct node *node, unsigned count)
{
    struct log *all = &model.acknowledged;
    unsigned common = count < all->count ? count : all->count;

    for (unsigned i = 0; i < common; i++)
        if (!entry_equal(&all->entry[i], &node->log.entry[i]))
            model.broken = "two acknowledged what cannot both be";
    for (; all->count < count; all->count++) {
        all->entry[all->count] = node->log.entry[all->count];
        model.acknowledged_in[all->count] = node->epoch;
    }
    model.acknowledgements += count > node->acknowledged;
    if (count > node->acknowledged)
        node->acknowledged = count;
}

static void lead_on(unsigned n)
{
    struct node *node = &model.node[n];
    struct members_log log = {node, write_list};
    struct members_peer peers[NODES];
    unsigned count = peers_of(node, peers);
    uint64_t durable_lsn = last(&node->log, node->durable)->lsn, lsn;

    members_turn(&node->members, &log, durable_lsn, peers, count);
    lsn = members_acknowledged_lsn(&node->members, durable_lsn, peers, count);
    unsigned upto = node->log.count;
    while (upto > 0 && node->log.entry[upto - 1].lsn > lsn)
        upto--;
    acknowledge(node, upto);
    if (below(3) == 0)
        append(node, 0);
    if (below(60) == 0)
        members_remove(&node->members, id_of(below(NODES)), false);
}

/* ---- following ---- */

static bool may_follow(const struct node *node, const struct node *primary)
{
    return epoch_may_follow(node->epoch, node->epoch_node, primary->epoch, primary->epoch_node) &&
           epoch_may_follow(node->sealed, node->sealed_node, primary->epoch, primary->epoch_node);
}

static void leave(unsigned n)
{
    struct node *node = &model.node[n];
    if (node->primary >= 0)
        model.node[node->primary].session[n] = 0;
    node->primary = -1;
}

/* A session: what is on the primary's line goes on; else all begins anew with its table, and with no
 * list from before. */
static void begin_following(unsigned n, unsigned to)
{
    struct node *node = &model.node[n], *primary = &model.node[to];
    if (primary->epoch > node->epoch && primary->part != LEADS)
        return;
    if (node->epoch > primary->epoch || node->sealed > primary->epoch)
        primary->part = FENCED; /* it hears of that */
    if (primary->part != LEADS || !may_follow(node, primary))
        return;
    leave(n);
    node->epoch = primary->epoch;
    node->epoch_node = primary->epoch_node;
    node->primary = (int)to;
    primary->snapshot_lsn[n] = 0;
    if (!goes_on(&node->log, node->log.count, &primary->log)) {
        /* the folder is switched at once here: what is durable is another log */
        node->log = primary->log;
        node->log.count = node->durable = node->from = primary->durable;
        primary->snapshot_lsn[n] = last(&node->log, node->log.count)->lsn;
    }
    primary->session[n] = node->log.count + 1;
    primary->peer[n] = (struct members_peer){.member = {.node_id = id_of(n), .replication_port = 9001}};
    find_list(node);
}

static void follow_on(unsigned n)
{
    struct node *node = &model.node[n];
    if (node->primary < 0 || !reaches(n, (unsigned)node->primary) ||
        model.node[node->primary].part != LEADS) {
        leave(n);
        return;
    }
    struct node *primary = &model.node[node->primary];
    /* what is durable at the primary comes */
    for (unsigned more = below(4); more > 0 && node->log.count < primary->durable; more--) {
        /* a replica enters a history with its first change */
        unsigned at = node->log.count, entries = 1;
        while (at + entries < primary->durable && primary->log.entry[at + entries - 1].mark)
            entries++;
        if (primary->log.entry[at + entries - 1].mark)
            break;
        memcpy(&node->log.entry[at], &primary->log.entry[at], entries * sizeof node->log.entry[0]);
        node->log.count += entries;
    }
    find_list(node);
    if (below(2) == 0)
        node->durable += below(node->log.count - node->durable + 1);
    if (below(2) == 0) {
        struct members_peer *peer = &primary->peer[n];
        peer->durable_lsn = last(&node->log, node->durable)->lsn;
        peer->has_all = node->durable + 3 >= primary->durable;
        peer->snapshot_lsn = primary->snapshot_lsn[n];
    }
}

/* ---- promotions ---- */

static bool seal(unsigned n, uint32_t epoch, uint64_t node_id)
{
    struct node *node = &model.node[n];
    if (!epoch_may_promise(node->epoch, node->sealed, node->sealed_node, epoch, node_id))
        return false;
    node->sealed = epoch;
    node->sealed_node = node_id;
    if (node->part == LEADS)
        node->part = FENCED;
    leave(n);
    return true;
}

static bool stands_above(unsigned other, unsigned n)
{
    const struct entry *a = last(&model.node[other].log, model.node[other].durable);
    const struct entry *b = last(&model.node[n].log, model.node[n].durable);
    if (a->epoch != b->epoch)
        return a->epoch > b->epoch;
    return a->node != b->node ? a->node > b->node : a->lsn > b->lsn;
}

static void begin_promotion(unsigned n)
{
    struct node *node = &model.node[n];
    if (node->asking != ASKS_NOBODY || node->part == LEADS)
        return;
    leave(n);
    node->asking = PROBING;
    node->stands_above = false;
    node->durable = node->log.count; /* its log is at rest */
    node->wants = node->epoch > node->sealed ? node->epoch : node->sealed;
    memset(node->asked, 0, sizeof node->asked);
    memset(node->promised, 0, sizeof node->promised);
}

static void decide(unsigned n)
{
    struct node *node = &model.node[n];
    uint64_t ids[NODES];
    unsigned count = 0;
    for (unsigned i = 0; i < NODES; i++)
        if (node->promised[i])
            ids[count++] = id_of(i);
    node->asking = ASKS_NOBODY;
    if (node->stands_above || !members_enough(&node->members.list, ids, count) ||
        node->wants != node->sealed || node->sealed_node != id_of(n))
        return;
    model.promotions++;
    /* Who was overtaken by another promotion while he counted has no say: he is a primary that nobody
     * follows. */
    unsigned before = 0;
    while (before < model.acknowledged.count && model.acknowledged_in[before] < node->wants)
        before++;
    if (!goes_on(&model.acknowledged, before, &node->log))
        model.broken = "one was promoted that lacks what was acknowledged";
    lead(n, node->wants);
}

static void ask_on(unsigned n)
{
    struct node *node = &model.node[n];
    unsigned other = below(NODES);
    if (node->asking == PROBING && other != n && reaches(n, other)) {
        const struct node *answers = &model.node[other];
        uint32_t known = answers->epoch > answers->sealed ? answers->epoch : answers->sealed;
        node->wants = known > node->wants ? known : node->wants;
    }
    if (node->asking == PROBING && below(6) == 0) {
        node->wants = epoch_of_promotion(node->wants);
        node->asking = SEALING;
        node->promised[n] = seal(n, node->wants, id_of(n));
    } else if (node->asking == SEALING && other != n && !node->asked[other] && reaches(n, other)) {
        node->asked[other] = true;
        node->promised[other] = seal(other, node->wants, id_of(n));
        node->stands_above |= node->promised[other] && stands_above(other, n);
    } else if (node->asking == SEALING && below(8) == 0) {
        decide(n);
    }
}

/* ---- life ---- */

static void crash(unsigned n)
{
    struct node *node = &model.node[n];
    if (!node->alive)
        return;
    leave(n);
    for (unsigned i = 0; i < NODES; i++)
        if (model.node[i].primary == (int)n)
            leave(i);
    node->alive = false;
    node->asking = ASKS_NOBODY;
    node->log.count = node->durable + below(node->log.count - node->durable + 1);
    node->durable = node->log.count;
}

static void start(unsigned n)
{
    struct node *node = &model.node[n];
    struct meta meta = {.node_id = id_of(n), .sealed_epoch = node->sealed, .sealed_node = node->sealed_node};
    if (node->alive)
        return;
    node->alive = true;
    node->part = FOLLOWS;
    find_list(node);
    meta.members = node->members.list;
    if (node->epoch != 0)
        meta_add(&meta, &(struct history){.id = 1, .node_id = node->epoch_node, .epoch = node->epoch});
    if (below(2) == 0 && node->epoch_node == id_of(n) && members_may_start(&meta) == MEMBERS_START_LEADS) {
        model.restarts++;
        lead(n, epoch_of_start(node->epoch));
    }
}

static void step(void)
{
    unsigned n = below(NODES), other = below(NODES);
    struct node *node = &model.node[n];

    switch (below(40)) {
    case 0:
        if (below(3) == 0)
            crash(n);
        return;
    case 1:
    case 2:
        start(n);
        return;
    case 3:
        model.cut[n][other] = n != other && below(2) == 0;
        return;
    case 4:
        memset(model.cut, 0, sizeof model.cut);
        return;
    default:
        break;
    }
    if (!node->alive)
        return;
    if (node->asking != ASKS_NOBODY)
        ask_on(n);
    else if (node->part == LEADS)
        lead_on(n);
    else if (node->primary >= 0)
        follow_on(n);
    else if (below(40) == 0)
        begin_promotion(n);
    else if (other != n && reaches(n, other) && model.node[other].part == LEADS)
        begin_following(n, other);
    if (node->part == LEADS && below(2) == 0)
        node->durable += below(node->log.count - node->durable + 1);
}

static void begin_run(uint64_t seed)
{
    memset(&model, 0, sizeof model);
    model.seed = seeded_start(seed);
    model.lists = 1;
    for (unsigned i = 0; i < NODES; i++) {
        model.node[i].alive = true;
        model.node[i].primary = -1;
        find_list(&model.node[i]);
    }
    model.node[0].epoch_node = id_of(0);
    lead(0, 1);
}

static void nothing_acknowledged_is_lost_and_no_two_acknowledge(void)
{
    uint64_t first = seeded_from_environment(1);
    unsigned promotions = 0, acknowledgements = 0, restarts = 0, lists = 0;

    for (uint64_t seed = first; seed < first + RUNS; seed++) {
        begin_run(seed);
        for (unsigned i = 0; i < STEPS * NODES && model.broken == NULL; i++)
            step();
        if (model.broken != NULL)
            printf("\n  WILD_SEED=%" PRIu64 ": %s\n", seed, model.broken);
        CU_ASSERT_PTR_NULL(model.broken);
        promotions += model.promotions;
        acknowledgements += model.acknowledgements;
        restarts += model.restarts;
        lists += model.lists_logged;
    }
    printf("(%u runs: %u promotions, %u restarts, %u lists, %u acknowledgements) ", RUNS, promotions,
           restarts, lists, acknowledgements);
    CU_ASSERT(promotions > RUNS && restarts > RUNS / 3 && acknowledgements > 10 * RUNS && lists > 5 * RUNS);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"nothing acknowledged is lost, and no two acknowledge",
         nothing_acknowledged_is_lost_and_no_two_acknowledge},
        CU_TEST_INFO_NULL,
    };
    return suite_run("members, tried", tests);
}
