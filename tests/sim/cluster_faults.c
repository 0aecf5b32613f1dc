#include <errno.h>
#include <string.h>

#include "cluster.h"

enum { LATENCY_MAX = 4, FALL_CALLS = 40 };

static struct sim_disk *disk_of(const struct cluster *c, unsigned node)
{
    return c->hub.nodes[node].disk;
}

/* ---- links ---- */

void bad_links(struct cluster *c)
{
    struct hub_faults *faults = &c->hub.faults;

    *faults = (struct hub_faults){.lose_percent = (unsigned)below(c, 12),
                                  .repeat_percent = (unsigned)below(c, 12),
                                  .delay_steps_max = (unsigned)below(c, 30),
                                  .corrupt_percent = (unsigned)below(c, 4)};
    tell(c, "links: %u %% lost, %u %% repeated, up to %u steps, %u %% corrupted", faults->lose_percent,
         faults->repeat_percent, faults->delay_steps_max, faults->corrupt_percent);
}

void cut_links(struct cluster *c)
{
    unsigned a = (unsigned)below(c, c->nodes), b = (a + 1 + (unsigned)below(c, c->nodes - 1)) % c->nodes;
    bool both = below(c, 2) == 0, alone = below(c, 3) == 0;

    c->counts.cuts++;
    for (unsigned i = 0; i < c->nodes; i++)
        if (i != a && (alone || i == b)) {
            c->hub.cut[a][i] = true;
            c->hub.cut[i][a] |= both;
        }
    if (alone)
        tell(c, "cut: %u from all other nodes, %s", a, both ? "both ways" : "what it sends");
    else
        tell(c, "cut: %u %s %u", a, both ? "and" : "to", b);
}

/* ---- disks ---- */

void disk_trouble(struct cluster *c)
{
    unsigned node = (unsigned)below(c, c->nodes);

    if (disk_of(c, node) == NULL || !watch_runs(c, node))
        return;
    if (below(c, 4) == 0) {
        tell(c, "node %u's disk fails", node);
        c->counts.disk_errors++;
        if (below(c, 2) == 0)
            sim_disk_fail_write(disk_of(c, node), 1 + (unsigned)below(c, 8), EIO, true);
        else
            sim_disk_fail_sync(disk_of(c, node), 1 + (unsigned)below(c, 4), EIO, true);
        return;
    }
    tell(c, "node %u's disk is full", node);
    c->counts.full++;
    sim_disk_set_space(disk_of(c, node), 0);
}

void heal(struct cluster *c)
{
    c->hub.faults = (struct hub_faults){0};
    memset(c->hub.cut, 0, sizeof c->hub.cut);
    for (unsigned i = 0; i < c->nodes; i++) {
        c->hub.nodes[i].paused = false;
        if (disk_of(c, i) == NULL)
            continue;
        sim_disk_set_space(disk_of(c, i), SPACE);
        sim_disk_fail_write(disk_of(c, i), 0, 0, false);
        sim_disk_fail_sync(disk_of(c, i), 0, 0, false);
        if (c->hub.nodes[i].falls && !c->hub.nodes[i].fell) { /* not it, after all */
            sim_disk_crash_at(disk_of(c, i), UINT64_MAX);
            c->hub.nodes[i].falls = false;
        }
    }
}

/* ---- deaths ---- */

static void kill_node(struct cluster *c, unsigned node, unsigned ms)
{
    enum sim_crash crash = (enum sim_crash)below(c, SIM_CRASHES);

    tell(c, "node %u dies (%u) for %u ms", node, (unsigned)crash, ms);
    watch_add_counts(c, node);
    hub_kill(&c->hub, node, crash);
    clients_note_death(c, node);
    c->counts.died_on_order += c->watch[node].ordered;
    c->watch[node].ordered = false;
    c->watch[node].revive_ns = c->hub.now.mono_ns + UINT64_C(1000000) * ms;
}

void revive(struct cluster *c, unsigned node)
{
    const struct hub_part *part = &c->hub.nodes[node].part;

    if (disk_of(c, node) !=
        NULL) { /* a full disk cannot start a node (docs/durability.md): the operator makes room first */
        sim_disk_set_space(disk_of(c, node), SPACE);
        sim_disk_set_latency(disk_of(c, node), (unsigned)below(c, LATENCY_MAX));
    }
    if (part->mode == MODE_REPLICA)
        tell(c, "node %u starts, to follow %u", node, part->leader);
    else
        tell(c, "node %u starts as a primary", node);
    hub_revive(&c->hub, node);
}

void die(struct cluster *c, unsigned node, unsigned ms)
{
    if (c->hub.nodes[node].node == NULL)
        return;
    c->counts.deaths++;
    kill_node(c, node, ms);
    if (ms == 0)
        revive(c, node);
}

void die_soon(struct cluster *c, unsigned node)
{
    if (disk_of(c, node) == NULL || !watch_runs(c, node))
        return;
    tell(c, "node %u is about to fall", node);
    hub_crash_soon(&c->hub, node, (unsigned)below(c, FALL_CALLS));
}

void faults_turn(struct cluster *c)
{
    for (unsigned i = 0; i < c->nodes; i++) {
        struct hub_node *node = &c->hub.nodes[i];

        if (node->fell) {
            c->counts.falls++;
            kill_node(c, i, (unsigned)below(c, 500));
        } else if (node->node == NULL && c->hub.now.mono_ns >= c->watch[i].revive_ns) {
            revive(c, i);
        }
    }
}

void stop_for_a_while(struct cluster *c, unsigned node)
{
    unsigned ms = 1 + (unsigned)below(c, below(c, 3) == 0 ? 3000 : 300);

    tell(c, "node %u stops for %u ms", node, ms);
    c->counts.pauses++;
    c->hub.nodes[node].paused = true;
    pass_ms(c, ms);
    c->hub.nodes[node].paused = false;
}
