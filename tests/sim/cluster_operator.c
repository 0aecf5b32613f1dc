#include <stdio.h>
#include <string.h>

#include "cluster.h"
#include "epoch.h"

enum {
    REPLICATION_PORT = 9001,
    STEP_MS = 20,
    READY_MS = 4000,
    MEND_MS = 120000, /* till somebody leads */
};

static bool has_log(const struct cluster *c, unsigned node)
{
    return c->hub.nodes[node].part.log;
}

/* ---- orders ---- */

static void give(struct cluster *c, unsigned node, struct node_order order)
{
    struct node_watch *watch = &c->watch[node];

    if (!watch_runs(c, node) || watch->ordered || node_order_begin(c->hub.nodes[node].node, &order) != 0) {
        name_lookup_destroy(order.lookup);
        return;
    }
    watch->ordered = true;
    watch->order = order.kind;
    watch->forced = order.force;
}

static void tell_promote(struct cluster *c, unsigned node, bool force)
{
    tell(c, "node %u is told to promote itself%s", node, force ? ", --force" : "");
    give(c, node, (struct node_order){.kind = NODE_ORDER_PROMOTE, .force = force});
}

static void tell_demote(struct cluster *c, unsigned node, unsigned to)
{
    struct node_order order = {.kind = NODE_ORDER_DEMOTE};

    tell(c, "node %u is told to hand over to %u", node, to);
    snprintf(order.node, sizeof order.node, "node%u", to);
    give(c, node, order);
}

static void tell_follow(struct cluster *c, unsigned node, unsigned leader)
{
    struct node_order order = {.kind = NODE_ORDER_FOLLOW, .port = REPLICATION_PORT};
    char error[NAME_LOOKUP_ERROR_BYTES];

    tell(c, "node %u is told to follow %u", node, leader);
    snprintf(order.host, sizeof order.host, "198.18.0.%u", 1 + leader);
    order.lookup = name_lookup_create(order.host, error, sizeof error);
    must(c, order.lookup != NULL, "an address needs no name server");
    give(c, node, order);
}

/* The unit files, from now on: this one leads, and whoever starts as a replica asks it. */
static void configure(struct cluster *c, unsigned leader, bool old_too)
{
    for (unsigned i = 0; i < c->nodes; i++) {
        struct hub_part *part = &c->hub.nodes[i].part;

        part->leader = leader;
        if (i == leader)
            part->mode = MODE_PRIMARY;
        else if (i != c->leader || old_too)
            part->mode = MODE_REPLICA;
    }
    c->leader = leader;
}

static void others_follow(struct cluster *c, unsigned leader)
{
    for (unsigned i = 0; i < c->nodes; i++)
        if (i != leader && watch_runs(c, i) && watch_view(c, i).mode == MODE_REPLICA)
            tell_follow(c, i, leader);
}

static void count(struct cluster *c, const struct node_watch *watch, bool ok)
{
    struct cluster_counts *counts = &c->counts;

    switch (watch->order) {
    case NODE_ORDER_PROMOTE:
        if (watch->forced)
            ok ? counts->forced++ : counts->force_refused++;
        else
            ok ? counts->promoted++ : counts->promote_refused++;
        break;
    case NODE_ORDER_DEMOTE:
        ok ? counts->demoted++ : counts->demote_refused++;
        break;
    default:
        ok ? counts->followed++ : counts->follow_refused++;
        break;
    }
}

static void order_ended(struct cluster *c, unsigned node, const struct node_order_answer *answer)
{
    struct node_watch *watch = &c->watch[node];

    watch->ordered = false;
    tell(c, "node %u answers: %s: %s", node, answer->ok ? "done" : "refused", answer->text);
    count(c, watch, answer->ok);
    if (!answer->ok || watch->order != NODE_ORDER_PROMOTE)
        return;
    /* The operator may forget the old primary's unit file, or all of them till later. */
    if (c->hands_off || below(c, 4) != 0) {
        configure(c, node, c->hands_off || below(c, 3) != 0);
        if (c->hands_off || below(c, 2) == 0)
            others_follow(c, node);
    }
}

void operator_turn(struct cluster *c)
{
    struct node_order_answer answer;

    for (unsigned i = 0; i < c->nodes; i++)
        if (c->watch[i].ordered && watch_runs(c, i) && node_order_ended(c->hub.nodes[i].node, &answer))
            order_ended(c, i, &answer);
}

/* ---- a replica's folder, started as a primary: the guide's manual failover ---- */

/* Its own disk has all that was acknowledged. */
static bool holds_all(const struct cluster *c, unsigned node)
{
    struct node_facts facts;

    if (!has_log(c, node) || !watch_runs(c, node) || c->lines == 0)
        return false;
    const struct line *last = &c->line[c->lines - 1];
    node_facts(c->hub.nodes[node].node, &facts);
    return watch_view(c, node).mode == MODE_REPLICA && facts.history == last->history &&
           facts.durable_lsn >= last->acknowledged;
}

static void restart_as_primary(struct cluster *c, unsigned node)
{
    unsigned old = c->leader;

    if (node == old || !has_log(c, node) || (c->strict && !holds_all(c, node)))
        return;
    if (!watch_runs(c, node) ||
        watch_view(c, node).history == 0) /* an empty folder is a cluster of its own */
        return;
    tell(c, "manual failover from %u to %u", old, node);
    c->counts.restarts++;
    c->may_lose |= !c->strict;
    if (c->strict || below(c, 2) == 0)
        die(c, old, 200 + (unsigned)below(c, 2000));
    /* The old one must not lead again beside the new one: nobody was asked. */
    configure(c, node, c->strict || below(c, 2) == 0);
    die(c, node, 0);
    others_follow(c, node);
}

/* ---- what the operator does in a round ---- */

static unsigned any_logged(struct cluster *c)
{
    unsigned node;

    do
        node = (unsigned)below(c, c->nodes);
    while (!has_log(c, node));
    return node;
}

void operate(struct cluster *c)
{
    unsigned node = any_logged(c), other = (node + 1 + (unsigned)below(c, c->nodes - 1)) % c->nodes;

    if (c->logged < 2)
        return;
    switch (below(c, 10)) {
    case 0: /* two at once */
        tell_promote(c, node, false);
        if (has_log(c, other))
            tell_promote(c, other, false);
        break;
    case 1:
    case 2:
        if (!c->strict) {
            c->may_lose = true;
            tell_promote(c, node, true);
            break;
        }
        /* fall through */
    case 3: /* just so */
        tell_promote(c, node, false);
        break;
    case 4: /* the primary dies first */
    case 5:
        die(c, c->leader, (unsigned)below(c, 3000));
        pass_ms(c, (unsigned)below(c, 1500));
        if (node != c->leader)
            tell_promote(c, node, false);
        break;
    case 6:
    case 7:
        if (node != c->leader)
            tell_demote(c, c->leader, node);
        break;
    case 8:
        tell_follow(c, other, node);
        break;
    default:
        restart_as_primary(c, node);
        break;
    }
}

/* ---- all becomes well ---- */

static void wait_orders(struct cluster *c)
{
    for (bool any = true; any;) {
        any = false;
        for (unsigned i = 0; i < c->nodes; i++)
            any |= c->watch[i].ordered;
        if (any)
            pass_ms(c, STEP_MS);
    }
}

/* It has read its folder, or refuses it; where it is to lead, it may have to ask others first. */
static enum node_readiness wait_ready(struct cluster *c, unsigned node)
{
    enum node_readiness readiness = NODE_RECOVERING;

    for (unsigned ms = 0; ms < READY_MS && readiness == NODE_RECOVERING; ms += STEP_MS) {
        struct node_recovery_progress progress;

        pass_ms(c, STEP_MS);
        if (watch_runs(c, node))
            readiness = node_readiness(c->hub.nodes[node].node, &progress, c->hub.error, sizeof c->hub.error);
    }
    return readiness;
}

/* It runs, has read its folder, and its disk takes what it writes. */
static void make_run(struct cluster *c, unsigned node)
{
    unsigned tries = 0;

    if (c->hub.nodes[node].node == NULL)
        revive(c, node);
    while (wait_ready(c, node) == NODE_REFUSED) { /* the disk was full, or failed, when it started */
        must(c, tries++ < 5, "node %u does not start: %s", node, c->hub.error);
        die(c, node, 0);
    }
    if (has_log(c, node) && atomic_load(&c->hub.nodes[node].node->log.shown.wal_state) == WAL_FAILED) {
        die(c, node, 0);
        make_run(c, node);
    }
}

/* Who has been heard of by the highest epoch that was acknowledged in, if it leads still; NODES_MAX: nobody.
 * */
static unsigned find_leader(const struct cluster *c)
{
    unsigned best = NODES_MAX;

    for (unsigned i = 0; i < c->nodes; i++)
        if (watch_runs(c, i) && watch_view(c, i).mode == MODE_PRIMARY &&
            watch_view(c, i).state != STATE_FENCED &&
            (best == NODES_MAX || watch_view(c, i).epoch > watch_view(c, best).epoch ||
             (watch_view(c, i).epoch == watch_view(c, best).epoch && c->lines > 0 &&
              c->line[c->lines - 1].node == i)))
            best = i;
    return best;
}

/* The others ask it: those who lead as well are started as replicas. */
static void gather(struct cluster *c, unsigned leader)
{
    configure(c, leader, true);
    for (unsigned i = 0; i < c->nodes; i++) {
        c->hub.nodes[i].part.mode = i == leader ? MODE_PRIMARY : MODE_REPLICA;
        if (i != leader && watch_view(c, i).mode != MODE_REPLICA)
            die(c, i, 0);
    }
    others_follow(c, leader);
    wait_orders(c);
}

unsigned operator_mends(struct cluster *c)
{
    uint64_t until_ns = c->hub.now.mono_ns + UINT64_C(1000000) * MEND_MS;
    unsigned next = 0;

    c->hands_off = true;
    wait_orders(c);
    for (unsigned i = 0; i < c->nodes; i++)
        make_run(c, i);
    for (;;) {
        unsigned leader = find_leader(c);

        if (leader != NODES_MAX) {
            gather(c, leader);
            for (unsigned waits = 0; waits < 250 && !watch_leads(c, leader); waits++)
                pass_ms(c, STEP_MS);
            if (watch_leads(c, leader))
                return leader;
            if (has_log(c, (leader + 1) % c->nodes)) {
                /* Nobody follows it: another has won the same term (with so many --min-replicas one promise
                 * is enough). */
                c->counts.untied++;
                c->hub.nodes[leader].part = c->hub.nodes[(leader + 1) % c->nodes].part;
                c->hub.nodes[leader].part.leader = (leader + 1) % c->nodes;
                die(c, leader, 0);
                pass_ms(c, READY_MS);
                tell_promote(c, leader, false);
                wait_orders(c);
                continue;
            }
        }
        if (c->hub.now.mono_ns >= until_ns)
            watch_tell(c);
        must(c, c->hub.now.mono_ns < until_ns, "nobody can be made to lead");
        if (has_log(c, next)) {
            tell_promote(c, next, false);
            wait_orders(c);
        }
        next = (next + 1) % c->nodes;
        pass_ms(c, STEP_MS);
    }
}

/*
 * Of two promotions at once one may have won, and who had promised himself to the other follows nobody of
 * that term: until the next one, which the operator brings about by giving the lead to another. The leader
 * then; nothing to do: the same.
 */
unsigned operator_unties(struct cluster *c, unsigned leader)
{
    unsigned bound = NODES_MAX, to = NODES_MAX;

    for (unsigned i = 0; i < c->nodes; i++) {
        const struct meta *meta;

        if (i == leader || !has_log(c, i) || !watch_runs(c, i))
            continue;
        meta = &c->hub.nodes[i].node->log.meta.now;
        if (epoch_term(meta->sealed_epoch) == epoch_term(watch_view(c, leader).epoch) &&
            meta->sealed_node != 0 && meta->sealed_node != c->hub.nodes[leader].node->log.meta.now.node_id)
            bound = i;
        else if (watch_is_level(c, i, leader))
            to = i;
    }
    if (bound == NODES_MAX)
        return leader;
    c->counts.untied++;
    if (to != NODES_MAX) {
        tell_demote(c, leader, to);
    } else { /* there is no third */
        configure(c, bound, true);
        c->hub.nodes[leader].part.mode = MODE_REPLICA;
        die(c, leader, 0);
        pass_ms(c, READY_MS);
        tell_promote(c, bound, false);
    }
    wait_orders(c);
    return operator_mends(c);
}
