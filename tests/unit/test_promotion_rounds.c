/*
 * Whole clusters at random: nodes with logs that lead, follow, crash, lose each other and are promoted, several
 * at once.
 * Whatever happens: what was acknowledged once is in the log of everybody who wins, and stays what it was.
 *
 * The logs are lists here, and replication is one step; promises, and who may lead, are the real thing.
 */
#include "promotion_town.h"

enum {
    ROUNDS = 120,
    STEPS = 150,
    LOG_MAX = 512,
    WON_MAX = 128,
};

struct change {
    uint32_t epoch;
    uint64_t history, lsn;
};

/* What a node has beyond what the town knows of it. */
struct keeper {
    struct change log[LOG_MAX];
    unsigned count, durable;
    int follows;         /* a number; -1: nobody */
    uint32_t last_epoch; /* of the last history that it knows, */
    unsigned last_node;  /* and who opened that */
    bool leads, asks;
    uint64_t next_lsn;
};

struct round {
    struct town *town;
    unsigned nodes, min_replicas;
    struct keeper keeper[TOWN_NODES];
    struct change acknowledged[LOG_MAX];
    unsigned acknowledged_count;
    uint32_t won[WON_MAX];
    unsigned won_count;
    uint64_t seed;
};

static struct round *the_round; /* for town_node.sealed, which is given a node */

static uint64_t below(struct round *r, uint64_t bound)
{
    return seeded_below(&r->seed, bound);
}

static bool is_same(const struct change *a, const struct change *b)
{
    return a->epoch == b->epoch && a->history == b->history && a->lsn == b->lsn;
}

static unsigned common(const struct keeper *a, const struct keeper *b)
{
    unsigned n = 0;
    while (n < a->count && n < b->count && is_same(&a->log[n], &b->log[n]))
        n++;
    return n;
}

/* What is in memory is on disk. */
static void sync_log(struct round *r, unsigned number)
{
    struct keeper *keeper = &r->keeper[number];
    struct replication_standing *standing = &r->town->node[number].standing;
    const struct change *last = &keeper->log[keeper->count - 1];
    keeper->durable = keeper->count;
    standing->tail_epoch = last->epoch;
    standing->tail_history = last->history;
    standing->tail_lsn = last->lsn;
}

static void append(struct round *r, unsigned number)
{
    struct keeper *keeper = &r->keeper[number];
    if (keeper->count == LOG_MAX)
        return;
    keeper->log[keeper->count++] = (struct change){.epoch = keeper->last_epoch,
                                                   .history = (uint64_t)keeper->last_epoch << 8 | number,
                                                   .lsn = keeper->next_lsn++};
}

static void fence(struct round *r, unsigned number)
{
    r->keeper[number].leads = false;
    r->town->node[number].standing.state = STANDING_FENCED;
}

/* A promise, to whomever: nobody is led, or followed. */
static void on_sealed(struct town_node *node)
{
    struct keeper *keeper = &the_round->keeper[node->number];
    keeper->follows = -1;
    if (keeper->leads)
        fence(the_round, node->number);
    if (node->standing.sealed_node == town_id(node->number)) {
        sync_log(the_round, node->number);
        node->own = (struct promotion_tail){.epoch = node->standing.tail_epoch,
                                            .history = node->standing.tail_history,
                                            .lsn = node->standing.tail_lsn};
    }
}

static void open_history(struct round *r, unsigned number, uint32_t epoch)
{
    struct keeper *keeper = &r->keeper[number];
    struct replication_standing *standing = &r->town->node[number].standing;
    keeper->leads = true;
    keeper->follows = -1;
    keeper->last_epoch = standing->epoch = epoch;
    keeper->last_node = number;
    keeper->next_lsn = ((uint64_t)epoch << 16) + number;
    standing->mode = STANDING_LEADS;
    standing->state = STANDING_SERVING;
    append(r, number); /* the list of members */
    sync_log(r, number);
}

/* ---- what must hold ---- */

static void check_has_all(struct round *r, unsigned number)
{
    const struct keeper *keeper = &r->keeper[number];
    CU_ASSERT_FATAL(keeper->count >= r->acknowledged_count);
    for (unsigned i = 0; i < r->acknowledged_count; i++)
        CU_ASSERT_TRUE_FATAL(is_same(&keeper->log[i], &r->acknowledged[i]));
}

static void check_won(struct round *r, unsigned number, uint32_t epoch)
{
    bool is_majority = 2 * (r->nodes - r->min_replicas) > r->nodes;
    for (unsigned i = 0; i < r->won_count; i++)
        CU_ASSERT_FALSE_FATAL(is_majority && r->won[i] == epoch);
    if (r->won_count < WON_MAX)
        r->won[r->won_count++] = epoch;
    check_has_all(r, number);
}

/* ---- what happens ---- */

static bool reach(const struct round *r, unsigned a, unsigned b)
{
    return r->town->node[a].up && r->town->node[b].up && !r->town->cut[a][b];
}

static void follow(struct round *r, unsigned number, unsigned leader)
{
    struct keeper *keeper = &r->keeper[number], *from = &r->keeper[leader];
    struct replication_standing *standing = &r->town->node[number].standing;
    unsigned same;

    if (number == leader || !reach(r, number, leader) || !from->leads || keeper->leads || keeper->asks)
        return;
    if (standing->epoch > from->last_epoch || standing->sealed_epoch > from->last_epoch) {
        fence(r, leader); /* HELLO says so */
        return;
    }
    if (!epoch_may_follow(standing->sealed_epoch, standing->sealed_node, from->last_epoch, town_id(leader)) ||
        !epoch_may_follow(standing->epoch, town_id(keeper->last_node), from->last_epoch, town_id(leader)))
        return;
    keeper->follows = (int)leader;
    keeper->last_epoch = standing->epoch = from->last_epoch;
    keeper->last_node = leader;
    standing->mode = STANDING_FOLLOWS;
    standing->state = STANDING_SERVING;
    same = common(keeper, from);
    if (same < keeper->count) { /* its tail is set aside, all is loaded anew, and the folder switched */
        memcpy(keeper->log, from->log, sizeof keeper->log);
        keeper->count = from->durable;
        sync_log(r, number);
        return;
    }
    for (uint64_t n = below(r, 8); n > 0 && keeper->count < from->durable; n--, keeper->count++)
        keeper->log[keeper->count] = from->log[keeper->count];
}

static unsigned with_it(const struct round *r, unsigned leader, unsigned at)
{
    const struct keeper *from = &r->keeper[leader];
    unsigned count = 0;
    for (unsigned i = 0; i < r->nodes; i++) {
        const struct keeper *keeper = &r->keeper[i];
        count += keeper->follows == (int)leader && reach(r, i, leader) && keeper->durable > at &&
                 is_same(&keeper->log[at], &from->log[at]);
    }
    return count;
}

/* As members_acknowledged_lsn() has it. */
static void acknowledge(struct round *r, unsigned leader)
{
    const struct keeper *from = &r->keeper[leader];
    unsigned at = from->durable;
    if (!from->leads)
        return;
    while (at > 0 && from->log[at - 1].epoch == from->last_epoch &&
           with_it(r, leader, at - 1) < r->min_replicas)
        at--;
    if (at == 0 || from->log[at - 1].epoch != from->last_epoch)
        return;
    for (unsigned i = 0; i < at; i++) {
        if (i < r->acknowledged_count)
            CU_ASSERT_TRUE_FATAL(is_same(&from->log[i], &r->acknowledged[i]));
        r->acknowledged[i] = from->log[i];
    }
    CU_ASSERT_FATAL(at >= r->acknowledged_count || r->keeper[leader].durable >= r->acknowledged_count);
    if (at > r->acknowledged_count)
        r->acknowledged_count = at;
}

static void begin(struct round *r, unsigned number)
{
    struct town_node *node = &r->town->node[number];
    struct promotion_order order = town_order(r->town, number);
    struct keeper *keeper = &r->keeper[number];
    const struct change *last = &keeper->log[keeper->count - 1];

    if (!node->up || keeper->leads || keeper->asks)
        return;
    if (node->promotion != NULL && promotion_links(node->promotion) > 0)
        return;
    order.own = (struct promotion_tail){.epoch = last->epoch, .history = last->history, .lsn = last->lsn};
    keeper->asks = true;
    keeper->follows = -1;
    town_begin(r->town, number, &order);
}

static void look(struct round *r, unsigned number)
{
    struct town_node *node = &r->town->node[number];
    struct keeper *keeper = &r->keeper[number];
    const struct promotion_result *result;

    if (!keeper->asks)
        return;
    result = promotion_result(node->promotion);
    if (result->state == PROMOTION_RUNS)
        return;
    keeper->asks = false;
    if (result->state != PROMOTION_WON || node->standing.sealed_epoch != result->epoch)
        return;
    CU_ASSERT_EQUAL_FATAL(node->standing.sealed_node, town_id(number));
    check_won(r, number, result->epoch);
    open_history(r, number, result->epoch);
}

static void pass(struct round *r, unsigned ms)
{
    town_pass(r->town, ms);
    for (unsigned i = 0; i < r->nodes; i++)
        look(r, i);
}

static void crash(struct round *r, unsigned number)
{
    struct keeper *keeper = &r->keeper[number];
    if (!r->town->node[number].up)
        return;
    town_stop_node(r->town, number);
    keeper->count = keeper->durable;
    keeper->leads = keeper->asks = false;
    keeper->follows = -1;
}

/* as_primary: as the operator has it in a unit file; members_may_start() says whether it may. */
static void start(struct round *r, unsigned number, bool as_primary)
{
    struct keeper *keeper = &r->keeper[number];
    struct town_node *node = &r->town->node[number];
    if (node->up)
        return;
    node->up = true;
    node->standing.mode = STANDING_FOLLOWS;
    node->standing.state = STANDING_SERVING;
    if (as_primary && keeper->last_node == number && node->standing.sealed_epoch <= keeper->last_epoch &&
        epoch_of_start(keeper->last_epoch) != 0)
        open_history(r, number, epoch_of_start(keeper->last_epoch));
}

static void cut(struct round *r, unsigned a, unsigned b, bool is_cut)
{
    struct town *town = r->town;
    if (a == b)
        return;
    town->cut[a][b] = town->cut[b][a] = is_cut;
    for (unsigned i = 0; i < TOWN_LINKS && is_cut; i++) {
        struct town_link *link = &town->link[i];
        if (link->used && link->pair != NULL &&
            ((link->from == a && link->to == b) || (link->from == b && link->to == a)))
            town_cut_link(link);
    }
}

/* One of those who do; TOWN_NODES: nobody does. */
static unsigned leads(const struct round *r)
{
    for (unsigned i = 0; i < r->nodes; i++)
        if (r->keeper[i].leads)
            return i;
    return TOWN_NODES;
}

static void step(struct round *r)
{
    unsigned a = (unsigned)below(r, r->nodes), b = (unsigned)below(r, r->nodes);
    switch (below(r, 18)) {
    case 0:
        crash(r, below(r, 2) == 0 && leads(r) < r->nodes ? leads(r) : a);
        break;
    case 1:
    case 2:
        start(r, a, below(r, 2) == 0);
        break;
    case 3:
        cut(r, a, b, true);
        break;
    case 4:
    case 5:
        cut(r, a, b, false);
        break;
    case 6:
    case 7:
        begin(r, a);
        break;
    case 8:
        begin(r, a);
        begin(r, b);
        break;
    case 9:
    case 10:
    case 11:
        pass(r, (unsigned)below(r, 400));
        break;
    default:
        for (unsigned i = 0; i < r->nodes; i++) {
            if (r->keeper[i].leads)
                append(r, i);
            for (unsigned k = 0; k < r->nodes; k++)
                if (below(r, 2) == 0)
                    follow(r, i, k);
            if (below(r, 2) == 0)
                sync_log(r, i);
            acknowledge(r, i);
        }
    }
    r->town->node[a].seal_ms = below(r, 20);
    r->town->node[a].own_seal_ms = below(r, 20);
    r->town->node[a].answer_ms = below(r, 5);
    pass(r, 1);
}

/* ---- a round ---- */

static void new_round(struct round *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->seed = seeded_start(seed);
    r->nodes = 3 + (unsigned)below(r, 3);
    r->min_replicas = (unsigned)below(r, r->nodes);
    r->town = town_new(r->nodes, (uint16_t)r->min_replicas, seed);
    the_round = r;
    for (unsigned i = 0; i < r->nodes; i++) {
        struct keeper *keeper = &r->keeper[i];
        r->town->node[i].sealed = on_sealed;
        r->town->node[i].up = true;
        r->town->node[i].standing.mode = STANDING_FOLLOWS;
        keeper->log[0] = (struct change){.epoch = 1, .history = 0x11, .lsn = 100};
        keeper->count = 1;
        keeper->follows = -1;
        keeper->last_epoch = 1;
        sync_log(r, i);
    }
    open_history(r, 0, 2);
}

/* All are up, and reach each other: one of them can be made primary, and what it writes be acknowledged. */
static void heal(struct round *r)
{
    unsigned leader, before;
    for (unsigned i = 0; i < r->nodes; i++)
        for (unsigned k = 0; k < r->nodes; k++)
            cut(r, i, k, false);
    pass(r, 2100); /* what was begun ends */
    for (unsigned i = 0; i < r->nodes; i++) {
        crash(r, i);
        start(r, i, false);
    }
    for (unsigned attempt = 0; attempt < 2 * r->nodes && leads(r) == TOWN_NODES; attempt++) {
        begin(r, attempt % r->nodes);
        pass(r, 2100);
        pass(r, 1100); /* links */
    }
    leader = leads(r);
    CU_ASSERT_FATAL(leader < r->nodes);
    before = r->acknowledged_count;
    append(r, leader);
    sync_log(r, leader);
    for (unsigned turns = 0; turns < LOG_MAX; turns++)
        for (unsigned i = 0; i < r->nodes; i++) {
            follow(r, i, leader);
            sync_log(r, i);
        }
    acknowledge(r, leader);
    CU_ASSERT(r->acknowledged_count > before);
}

static void what_was_acknowledged_is_with_everybody_who_wins(void)
{
    static struct round r;
    uint64_t first = seeded_from_environment(1);
    unsigned won = 0, acknowledged = 0;

    printf("seed %llu ", (unsigned long long)first);
    for (unsigned n = 0; n < ROUNDS; n++) {
        new_round(&r, first + n);
        for (unsigned i = 0; i < STEPS; i++)
            step(&r);
        won += r.won_count;
        heal(&r);
        acknowledged += r.acknowledged_count;
        town_free(r.town);
    }
    printf("%u promotions won, %u changes acknowledged ", won, acknowledged);
    CU_ASSERT(won > ROUNDS / 2); /* it is about something */
    CU_ASSERT(acknowledged > 5 * ROUNDS);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"what was acknowledged is with everybody who wins",
         what_was_acknowledged_is_with_everybody_who_wins},
        CU_TEST_INFO_NULL,
    };
    return suite_run("promotion_rounds", tests);
}
