/*
 * crash_node.h - everything of a node that has to do with the log, in one thread and without ports: a table
 * with workers, rings, merge, log, housekeeper and recovery on a simulated disk. A seeded scheduler steps
 * them.
 *
 * Workers execute into rings of their own that are emptied at once into the journal; `publish` steps hand the
 * records over to the rings that the log is merged from, later and in any order among the workers: that is
 * what it looks like when a worker is put to sleep between an operation's LSN and its publication.
 *
 * What clients were told is told only when the rules of the service say so (DESIGN 5 and 8): an answer waits
 * until durable_lsn has reached what the node says that it depends on; what it really depends on is the
 * journal's business. `promised` is the highest LSN of which anybody was told anything: no crash may take it
 * back.
 */
#ifndef WILD_TESTS_CRASH_NODE_H
#define WILD_TESTS_CRASH_NODE_H

#include "crash_disk.h"
#include "crash_journal.h"
#include "durable_log.h"
#include "recovery.h"

enum { NODE_WORKERS = 3, NODE_HELD_BYTES = 65536, NODE_ANSWERS_MAX = 4096 };

enum node_trouble {
    TROUBLE_NONE,
    TROUBLE_SPACE, /* the disk fills up and is emptied again */
    TROUBLE_ERROR, /* an I/O error, some time */
    TROUBLES
};

/* What kind of node it is, for a whole run. */
struct node_plan {
    uint64_t capacity, segment_bytes;
    unsigned keys, value_max;
    unsigned burst_max;                           /* operations of a worker's step */
    unsigned snapshot_segments, snapshot_buckets; /* as durable_log.h, housekeeper.h; 0: none at all */
    unsigned latency_max;
    enum evict evict;
    enum node_trouble trouble;
    bool async;
};

struct node_held {
    uint8_t *bytes; /* records that are in the journal and not published: NODE_HELD_BYTES */
    size_t used;
};

struct node_answer {
    uint64_t waits_for, depends_on;
};

struct node_counts {
    uint64_t operations, reads, writes, waited, flushes, refused; /* waited: answers given after a wait */
    uint64_t full, failed;                                        /* turns in DISK_FULL; lives that FAILED */
};

struct node {
    const struct node_plan *plan;
    const struct trail *trail;
    struct crash_disk disk;
    struct table *table;
    struct execute_context *context[NODE_WORKERS + 1];
    struct log_ring *own[NODE_WORKERS], *shared[NODE_WORKERS];
    struct node_held held[NODE_WORKERS];
    struct log_merge merge;
    struct recovery *recovery;
    struct housekeeper *housekeeper;
    struct durable_log *log;
    struct journal journal;
    struct oracle oracle;
    struct node_answer *answer;
    unsigned answers;
    uint64_t random, mono_ns, wall_ms, durable_lsn, promised, steps;
    bool filled, broken; /* trouble has begun */
    struct node_counts counts;
    unsigned weight[4]; /* the scheduler's */
};

/* Makes the table. disk: stays the caller's. wall_ms: not below any that an earlier life had. */
void node_open(struct node *node, const struct node_plan *plan, const struct trail *trail,
               struct sim_disk *disk, uint64_t seed, uint64_t wall_ms);
/* Frees everything; if the log runs, the disk crashes first. */
void node_close(struct node *node);

/* From the disk to the table, to the end: 0, or what recovery_step() said. */
int node_recover(struct node *node);
/* After that: writes are taken. journal: what really happened before; it is copied up to what was
 * recovered. */
void node_start(struct node *node, const struct journal *journal);
/* One step of one of the actors. */
void node_step(struct node *node);
/* Stops in order. True: the log's end is durable, and every file closed; false: the log had failed. */
bool node_finish(struct node *node);

#endif
