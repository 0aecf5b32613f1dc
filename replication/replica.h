/*
 * replica.h - a replica's side of replication: one session to the primary, kept up; what comes is applied to the
 * table, while the workers read. Owner: the control lcore. Allocates in replica_create(), and for a bootstrap's overflow
 * region (apply.h); waits for nobody.
 *
 *   WAITING --delay over--> CONNECTING --stream, handshake--> GREETING (HELLO sent)
 *   GREETING --WELCOME: RESUME--> FOLLOWING
 *            --WELCOME: BOOTSTRAP--> HIDING (CATCHING_UP is published; until no worker can still be reading under
 *                    what was published before) --> CLEARING --ACK--> LOADING --end_lsn is applied--> FOLLOWING
 *            --REFUSE--> WAITING, and a line says why
 *   any --the session ends, or nothing is heard for timeout_ms--> WAITING: 50 ms, doubled up to 2 s, each time a
 *            random half to whole of that; anew from 50 ms once it has FOLLOWED, unless it was what the primary
 *            sent that ended it
 *
 * What readers are told. SERVING: the table is a prefix of the primary's log, and stays one: also when the primary is
 * gone. CATCHING_UP: from the start, or from HIDING, to the end of LOADING and until as much is applied as the primary
 * had durable when it said WELCOME, and what the snapshot began with is acknowledged; every read is STALE. A session that ends in HIDING has taken nothing away: SERVING
 * again. host.point: what readers may be shown; later changes are in the table and reads of them wait, as they do on a
 * primary: min(applied, what the primary says is acknowledged). It never goes back, but for a bootstrap: 0 from
 * CLEARING until the moment before SERVING.
 *
 * Its own log (replica_log.h), if it has one. Whatever is applied while it FOLLOWS was given to the log before; where that
 * has no room, or has not learned the primary's histories yet, no input is taken, and the session stands still (it is kept
 * by ACKs, and is not given up as silent). A bootstrap gives the log up, and has another adopted when the table is whole.
 * ACKs tell what is applied and durable. After a start, or when it is to follow again, replica_recovered() says what the
 * log holds: that is resumed from, and shown to readers once a primary has said that all of it is acknowledged: what was
 * removed has left no trace to wait by.
 * A tail: if a bootstrap begins although the log holds changes that the primary's line does not have, give_up() says so.
 *
 * Order. A block counts if it continues what is applied: the same history and the next LSN, or a later history of the
 * primary's, from where that one goes on. The first block of a session may begin with what is applied, which is left out
 * (another primary may have cut the log into other blocks). Anything else ends the session (counted as a gap); the next
 * one resumes from what is applied. Blocks are verified whole (CRC, records) before any of it is applied.
 *
 * Whom it follows. Without data: whoever holds the secret. With data, in the table or in a log: only a node of its own
 * cluster (cluster id); no epoch below the highest that it has followed or sealed, of the same term only the node that it
 * has followed or sealed it for (epoch.h), and of an epoch that it has followed only the history that it knows it by. So a
 * primary that was emptied, or runs on a copy or an older state of the folder, cannot take its data away: it says so, keeps
 * serving what it has, and goes on trying. (Each start takes the next epoch: an older state that is started often enough is
 * followed in the end.) Of the cluster that it had data of last, all this is turned down even without.
 *
 * Lines for the operator: why there is no primary, once until the reason is another or one was followed for a second;
 * and from where on it is followed then.
 */
#ifndef WILD_REPLICA_H
#define WILD_REPLICA_H

#include "apply.h"
#include "channel.h"
#include "meta.h"
#include "primary.h"
#include "replica_log.h"
#include "replication_counters.h"

struct replica;

/* What the node does for it. */
struct replica_view {
    uint64_t history; /* that the table is of; 0: none yet */
    uint32_t epoch;   /* of that history */
    bool serving;
};

struct replica_host {
    void *state;
    /* Begins to open a stream to the primary. replica_connected() may follow; replica_link_closed() does, just once, also
     * where the replica has closed or aborted the link itself: no other is opened before. Neither from inside, nor from
     * inside any function of the link. False: not now (no address yet): as if it had failed. How long an attempt may take is the host's to mind. */
    bool (*connect)(void *state);
    void (*publish)(void *state, const struct replica_view *view);
    /* Whether every worker has ended the turn in which it may have read what was published before, and no answer that it
     * found then still waits for the point: that would be let out by a point of another table. */
    bool (*quiescent)(void *state);
    void (*point)(void *state, uint64_t lsn);
    /* The primary's histories, by which a read's min_lsn is judged, and its address for clients: from a WELCOME. */
    void (*welcomed)(void *state, const struct meta *histories, const uint8_t address[16],
                     uint16_t client_port);
    /* A record of type LOG_MEMBER (store/member.h), in the log's order, once it counts as applied. NULL: nobody asks. */
    void (*member)(void *state, const struct log_record *record);
    /* The primary we follow has promised itself to us for that epoch: we are to be promoted. Nothing of the
     * replica's is called from inside. NULL: that ends the session, as it does without a log. */
    void (*handover)(void *state, uint32_t epoch);
};

/* Where in the log the table stands. */
struct replica_place {
    uint64_t history;  /* of the last block, marks included; 0: none yet */
    uint64_t last_lsn; /* of the last change; 0: none yet */
    uint64_t
        next_lsn; /* all below it is applied: last_lsn + 1, or the first of a history that has no change yet */
};

struct replica_config {
    const struct role_keys *keys[2];
    const struct random_source *random;
    struct session_keys *session_keys; /* one, in an arena */
    struct execute_context *apply;
    struct replication_counters *counters;
    struct replication_voice voice;
    struct replica_host host;
    struct replica_log log; /* NULL functions: none */
    uint64_t node_id, capacity;
    uint8_t
        client_address[16]; /* where clients reach this node; zero: at the address that it connects from */
    uint16_t client_port;
    uint16_t
        replication_port; /* of a node with a log: where it would be followed, and is asked; 0: nowhere */
    char name[REPLICATION_NAME_BYTES];
};

struct replica *replica_create(const struct replica_config *config); /* NULL: memory is short */
void replica_destroy(struct replica *replica);

/*
 * What the table and the log hold: whose they are (the node's id is of the folder), their cluster, histories and seal, and the place where they stand (`history` 0: nothing
 * of use, the table is yet to be cleared). Before the first turn; or while nothing is followed, and no link is left
 * (REPLICA_WAITING, link_there false): of a node that was a primary meanwhile.
 */
void replica_recovered(struct replica *replica, const struct meta *meta, const struct replica_place *at);
/* Where the table stands now: of use while it is whole. */
struct replica_place replica_place(const struct replica *replica);
/* This node has promised that epoch to that node, durably: no lower one is followed any more, and of its term no other. */
void replica_sealed(struct replica *replica, uint32_t epoch, uint64_t node_id);

/* ---- the link ---- */

void replica_connected(struct replica *replica, const struct link *link);
/* How many were taken. The rest is given again, with what follows it, once replica_wants_input(), which is asked after a
 * turn. */
size_t replica_received(struct replica *replica, uint8_t *bytes, size_t length);
bool replica_wants_input(const struct replica *replica);
void replica_writable(struct replica *replica);
/* It could not be opened, or is gone, or the peer sends no more. */
void replica_link_closed(struct replica *replica);

/* Things done: 0 means idle. */
unsigned replica_turn(struct replica *replica, uint64_t mono_ns, uint64_t wall_ms);
/* The node stops: the session is told, and none is begun any more. */
void replica_stop(struct replica *replica);
/* The session is ended in order, and none is begun until replica_follow_again(): a promotion. Nothing is published and no
 * point told meanwhile, but for a session that ends while HIDING. Turns go on. Both any number of times. */
void replica_stop_following(struct replica *replica);
void replica_follow_again(struct replica *replica);
/* Another address is to be asked (the host knows it): the session ends, a new one begins at once. */
void replica_reconnect(struct replica *replica);

/* ---- facts ---- */

enum replica_phase {
    REPLICA_WAITING,
    REPLICA_CONNECTING,
    REPLICA_GREETING,
    REPLICA_HIDING,
    REPLICA_CLEARING,
    REPLICA_LOADING,
    REPLICA_FOLLOWING,
};

struct replica_facts {
    enum replica_phase phase;
    uint64_t applied_lsn, history; /* all up to it: at the start of a history, what is below its first */
    uint64_t primary_lsn;          /* its durable LSN, as last heard of */
    uint64_t acknowledged_lsn;     /* as last heard of */
    uint64_t heard_ns;             /* mono_ns when anything last came; 0: never */
    uint64_t behind_ns;            /* since when it is behind what it was told of; 0: it is not */
    uint64_t loaded_bytes, loading_bytes; /* LOADING */
    uint32_t epoch;                       /* the highest that it knows */
    bool serving, has_data;
    bool link_there; /* a link is there, or is being opened */
    bool waits;      /* no input is taken: the log has no room, or learns */
    bool adopting;   /* the log is not on disk as a whole yet */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char refusal
        [REPLICATION_TEXT_BYTES]; /* why the primary, or we, said no; "": neither did since the last WELCOME */
};
void replica_facts(const struct replica *replica, struct replica_facts *out);
const char *replica_phase_name(enum replica_phase phase);

#endif
