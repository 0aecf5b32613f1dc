/*
 * node_log.h - a node's log from start to end: recovery, the durable log, the housekeeper, and what of it
 * the workers and pages may know.
 *
 *   RECOVERING   the helper thread replays snapshot and log; workers run, reads are STALE, writes BUSY
 *   RECOVERED    the helper thread is done; the control lcore opens the log
 *   OPENING      the new history's first block is on its way to the disk
 *   SERVING      (the log may be full or failed meanwhile: the node is READ_ONLY then)
 *   FOLLOWING    a replica: what it applies goes into the log (node_log_follow.c)
 *   FINISHING    workers write no more; the last blocks and a mark are on their way
 *   CLOSED       all is on the disk
 *   REFUSED      there is no table: the node must not serve; node_log_error()
 *
 * RECOVERING ends on the helper thread, every other state on the control lcore.
 */
#ifndef WILD_NODE_LOG_H
#define WILD_NODE_LOG_H

#include <stdatomic.h>

#include "durability.h"
#include "durable_log.h"
#include "node.h"
#include "node_meta.h"
#include "replica_log.h"

enum node_log_state {
    NODE_LOG_RECOVERING,
    NODE_LOG_RECOVERED,
    NODE_LOG_OPENING,
    NODE_LOG_SERVING,
    NODE_LOG_FOLLOWING,
    NODE_LOG_FINISHING,
    NODE_LOG_CLOSED,
    NODE_LOG_REFUSED,
};

/* What pages show. Writer: the control lcore; readers: workers. */
struct node_log_shown {
    _Atomic uint64_t first_lsn, recovered_lsn; /* of the open history, and what was there before it */
    _Atomic uint64_t free_bytes;               /* of the folder */
    _Atomic uint64_t durable_lsn, bytes, blocks, snapshots, snapshots_failed, snapshot_lsn;
    _Atomic uint8_t wal_state; /* enum wal_state */
    _Atomic bool folder_gone;  /* and wal_state is WAL_FAILED: what is written is found by nobody */
    _Atomic int error;         /* -errno behind it */
};

enum node_adopting { ADOPTING_NOT, ADOPTING_TO_BEGIN, ADOPTING_TO_ASK, ADOPTING_ASKED };

/* A replica's log. */
struct node_log_following {
    bool begun;            /* the durable log is being written */
    uint64_t history;      /* of the last block that it was given */
    bool giving_up;        /* what there is ends; another begins when the table is whole again */
    bool given_up;         /* giving_up: nothing of it is on its way, and the folder's meta is ours again */
    bool straying;         /* it ends, and another begins from the table as it is */
    struct meta strays_to; /* of which histories */
    bool keep_tail;        /* of what was given up, what lies above common_lsn */
    uint64_t common_lsn;
    uint64_t told_tail; /* the last that was set aside, as last logged */
    enum node_adopting adopting;
    bool failure_told;
    uint64_t durable_lsn; /* and found by the next start */
    uint64_t tail_lsn;    /* giving_up, straying, adopting: of the log that the folder has */
    uint64_t adoption_retry_ns;
    struct adoption adoption;
    struct durable_log_begin begin; /* of the log that it is about */
};

struct node_log {
    struct node *node;
    struct instant now; /* of this turn */
    _Atomic int state;  /* enum node_log_state */
    struct durable_point durable;
    struct node_log_shown shown;
    /* progress of the recovery; writer: the helper thread */
    _Atomic uint64_t records, bytes_read, bytes_total;
    /* Owner: the helper thread until RECOVERED, then the control lcore. */
    struct execute_context *apply;
    struct recovery *recovery;
    struct housekeeper *housekeeper;
    /* Owner: the control lcore. */
    struct durable_log *log;
    struct node_meta meta;
    struct node_log_following following;
    enum wal_state told; /* the log's state as last logged */
    bool told_short;     /* of replicas; likewise */
    bool snapshot_failure_told, removal_failure_told;
    bool lost;             /* what was acknowledged at once is not on the disk, and will not be */
    uint64_t finish_by_ns; /* FINISHING */
    bool
        last_look; /* FINISHING: all is written, and the housekeeper was asked whether the folder is still there */
};

/* 0, or -1 with one line in `error`. Without a log in the node's configuration nothing but the rules is set. */
int node_log_start(struct node *node, char *error, size_t error_bytes);
void node_log_stop(struct node *node);

/* ---- the control lcore ---- */

unsigned node_log_turn(struct node_log *log, struct instant now);
/* After the workers' last change. */
void node_log_finish(struct node_log *log, struct instant now);
bool node_log_closed(const struct node_log *log); /* also when there is none */
/* What the folder held is in the table; also where there is no log. */
bool node_log_is_read(const struct node_log *log);

/* Everything that was given to the log is on stable storage, where the next start finds it. */
bool node_log_all_durable(const struct node_log *log);
/* All that the next start finds is known, and the folder's meta can be written: a promise can be given. */
bool node_log_rests(const struct node_log *log);
/* The last change that the next start finds; while another log is adopted, the old one's. */
uint64_t node_log_tail_lsn(const struct node_log *log);
/* All of it is durable, and so is the folder's meta, with this history: from now on the log is what the workers write.
 * node_role_leads() follows. False: not now. */
bool node_log_lead(struct node_log *log, const struct history *next);
/* All that the workers wrote is durable, and they write no more: what is applied goes into it from now on. */
void node_log_follow(struct node_log *log);

/* ---- node_log_follow.c: a replica's ---- */

/* For replica_create(). */
struct replica_log node_log_of_replica(struct node_log *log);
/* What was found is gone on with, or nothing is begun until a snapshot is adopted. */
void node_log_open_following(struct node_log *log, const struct recovery_facts *found);
/* Adoptions, the folder's meta. Things done. */
unsigned node_log_following_turn(struct node_log *log);
/* Nothing is followed any more. False: no log is being written. */
bool node_log_end_following(struct node_log *log);

/* ---- any thread ---- */

/* The node's last change, from the table's last LSN: what a history began with is none. */
uint64_t node_log_last_lsn(const struct node_log *log, uint64_t table_lsn);
/* Why the log keeps the node READ_ONLY; NULL: it does not. */
const char *node_log_why(const struct node_log *log);

#endif
