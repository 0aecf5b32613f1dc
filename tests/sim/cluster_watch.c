#include <stdio.h>
#include <string.h>

#include "cluster.h"
#include "table_walk.h"

enum { COPY_BYTES = 1 << 20 };

struct state_view watch_view(const struct cluster *c, unsigned node)
{
    return published_state_get(&c->hub.nodes[node].node->published);
}

bool watch_runs(const struct cluster *c, unsigned node)
{
    const struct hub_node *n = &c->hub.nodes[node];

    return n->node != NULL && !n->fell;
}

/* ---- who led ---- */

const struct line *watch_line(const struct cluster *c, uint64_t history)
{
    for (unsigned i = c->lines; i-- > 0;)
        if (c->line[i].history == history)
            return &c->line[i];
    return NULL;
}

static const struct history *last_of(const struct meta *meta)
{
    return &meta->history[meta->count - 1];
}

static unsigned place_of(const struct meta *meta, uint64_t history)
{
    unsigned i = 0;

    while (i < meta->count && meta->history[i].id != history)
        i++;
    return i;
}

bool watch_on_line(const struct meta *meta, const struct meta *own, uint64_t lsn)
{
    const struct history *of;
    unsigned place;

    lsn = (uint32_t)(lsn + 1) == 0 ? meta_last_lsn(own, lsn + 1)
                                   : lsn; /* what a history began with is no change */
    of = meta_history_of(own, lsn);
    if (of == NULL)
        return true;
    place = place_of(meta, of->id);
    return place < meta->count && (place + 1 == meta->count || lsn <= meta->history[place + 1].before_lsn);
}

static unsigned count_lost(const struct cluster *c, const struct meta *own)
{
    unsigned lost = 0;

    for (unsigned i = 0; i < c->calls; i++)
        lost += c->call[i].end == CALL_ANSWERED && c->call[i].status == STATUS_OK &&
                c->call[i].kind != CALL_GET && c->call[i].kind < CALL_INCR &&
                !watch_on_line(&c->newest, own, c->call[i].version);
    return lost;
}

/* A history's beginning is acknowledged, and with it all that lies before it. */
static void new_line(struct cluster *c, unsigned node, const struct meta *meta, uint64_t lsn)
{
    const struct line *last = c->lines > 0 ? &c->line[c->lines - 1] : NULL;
    struct meta before = c->newest;
    bool whole = last == NULL || watch_on_line(meta, &c->newest, last->acknowledged);

    must(c, c->lines < LINES_MAX, "too many histories");
    must(c, whole || c->may_lose,
         "node %u acknowledges in a history that lacks what was acknowledged up to %llu", node,
         (unsigned long long)last->acknowledged);
    c->line[c->lines++] = (struct line){.history = last_of(meta)->id,
                                        .acknowledged = lsn,
                                        .began = c->hub.steps,
                                        .node = node,
                                        .stretch = last == NULL ? 0 : last->stretch + !whole};
    c->newest = *meta;
    c->counts.lines++;
    if (!whole) {
        unsigned lost = count_lost(c, &before);

        c->counts.losses++;
        c->counts.lost_writes += lost;
        tell(c, "%u acknowledged writes are lost", lost);
    }
    tell(c, "node %u leads: epoch %u, history %llx, from lsn %llu on, before it %llu", node,
         last_of(meta)->epoch, (unsigned long long)last_of(meta)->id,
         (unsigned long long)last_of(meta)->first_lsn, (unsigned long long)last_of(meta)->before_lsn);
}

static void watch_node(struct cluster *c, unsigned i)
{
    struct node *node = c->hub.nodes[i].node;
    const struct meta *meta = atomic_load(&node->log.durable.histories);
    struct durable_view point = durable_point_get(&node->log.durable);
    struct state_view view = watch_view(c, i);
    struct line *line;

    if (meta == NULL || meta->count == 0 || point.lsn == UINT64_MAX || point.lsn == 0)
        return;
    line = (struct line *)watch_line(c, last_of(meta)->id);
    if (view.mode == MODE_PRIMARY && view.history == last_of(meta)->id &&
        point.lsn + 1 >= last_of(meta)->first_lsn) {
        if (line == NULL)
            new_line(c, i, meta, point.lsn);
        else if (point.lsn > line->acknowledged && line->node == i)
            line->acknowledged = point.lsn;
    }
    /* Where no other node has a log, whatever is on the disk of the one that has leads again. */
    if (c->strict && c->lines > 0 && c->logged > 1 && view.state != STATE_CATCHING_UP &&
        view.state != STATE_RECOVERING)
        must(c, watch_on_line(&c->newest, meta, point.lsn),
             "node %u shows what was changed up to %llu, which is not on the line of history %llx", i,
             (unsigned long long)point.lsn, (unsigned long long)last_of(&c->newest)->id);
}

void watch_turn(struct cluster *c)
{
    for (unsigned i = 0; i < c->nodes; i++)
        if (watch_runs(c, i))
            watch_node(c, i);
}

bool watch_leads(const struct cluster *c, unsigned node)
{
    struct state_view view;

    if (!watch_runs(c, node))
        return false;
    view = watch_view(c, node);
    return view.mode == MODE_PRIMARY && view.state == STATE_SERVING;
}

/* ---- where each stands ---- */

bool watch_is_level(const struct cluster *c, unsigned node, unsigned leader)
{
    struct state_view view, leading;
    struct replica_facts facts;
    struct node_facts lead;

    if (!watch_runs(c, node) || !watch_runs(c, leader))
        return false;
    view = watch_view(c, node);
    leading = watch_view(c, leader);
    if (view.mode != MODE_REPLICA || view.state != STATE_SERVING || view.history != leading.history)
        return false;
    node_facts(c->hub.nodes[leader].node, &lead);
    replica_facts(c->hub.nodes[node].node->replication.following.replica, &facts);
    /* A history's beginning counts as well as a change. */
    return lead.durable_lsn >= lead.lsn && facts.applied_lsn == lead.durable_lsn;
}

void watch_tell(const struct cluster *c)
{
    for (unsigned i = 0; i < c->nodes; i++) {
        struct replica_facts facts = {0};
        struct node_facts node;

        if (!watch_runs(c, i)) {
            fprintf(stderr, "node %u: dead\n", i);
            continue;
        }
        node_facts(c->hub.nodes[i].node, &node);
        if (c->hub.nodes[i].node->replication.following.replica != NULL)
            replica_facts(c->hub.nodes[i].node->replication.following.replica, &facts);
        fprintf(stderr,
                "node %u: %s, %s, epoch %u, history %llx, lsn %llu, durable %llu; "
                "%s, applied %llu of %llu, \"%s\"; %s\n",
                i, node.mode, node.state, node.epoch, (unsigned long long)node.history,
                (unsigned long long)node.lsn, (unsigned long long)node.durable_lsn,
                replica_phase_name(facts.phase), (unsigned long long)facts.applied_lsn,
                (unsigned long long)facts.primary_lsn, facts.refusal, node_order_told(c->hub.nodes[i].node));
        if (node_why(c->hub.nodes[i].node) != NULL)
            fprintf(stderr, "        %s\n", node_why(c->hub.nodes[i].node));
    }
}

/* ---- tables ---- */

static uint64_t digest(struct cluster *c, unsigned i, uint64_t *items)
{
    static uint8_t records[COPY_BYTES];
    const struct table *table = c->hub.nodes[i].node->table;
    uint64_t sum = 0;

    *items = 0;
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++) {
        uint32_t rest = TABLE_COPY_ALL;

        while (rest != 0) {
            int64_t length = table_copy_bucket(table, bucket, &rest, records, sizeof records);

            must(c, length >= 0, "a table cannot be read");
            for (int64_t at = 0; at < length;) {
                size_t bytes = log_record_encoded_bytes(records + at);
                uint64_t hash = UINT64_C(0xCBF29CE484222325);

                for (size_t j = 0; j < bytes; j++)
                    hash = (hash ^ records[at + (int64_t)j]) * UINT64_C(0x100000001B3);
                sum += hash;
                ++*items;
                at += (int64_t)bytes;
            }
        }
    }
    return sum;
}

void watch_compare_tables(struct cluster *c, unsigned leader)
{
    uint64_t items, own, sum = digest(c, leader, &items);

    for (unsigned i = 0; i < c->nodes; i++)
        must(c, digest(c, i, &own) == sum && own == items,
             "node %u has %llu items, node %u, which leads, %llu, or other ones", i, (unsigned long long)own,
             leader, (unsigned long long)items);
}

void watch_add_counts(struct cluster *c, unsigned node)
{
    const struct replication_counters *counted = &c->hub.nodes[node].node->replication.counters;

    c->counts.disk_feeds += replication_counted(counted, REPLICATION_feeds);
    c->counts.tail_batches += replication_counted(counted, REPLICATION_tail_batches);
    c->counts.bootstraps += replication_counted(counted, REPLICATION_bootstraps);
    c->counts.gaps += replication_counted(counted, REPLICATION_gaps);
}
