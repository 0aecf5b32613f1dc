/*
 * node_replication.h - a node's part in replication: joins replication/ (primary.h, replica.h) with the control lcore's
 * streams, the log, and what workers are told. Everything here is the control lcore's, except where noted.
 *
 *   a primary   the log's blocks go into the tail as they become durable; a feeder, stepped by the housekeeper's thread,
 *               reads what the tail has no more; sessions from --replication-port on
 *   a replica   one session to --primary-address, whose name is looked up for each; what comes is applied to the table,
 *               the workers are told how far they may show it
 *
 * What is acknowledged (durability.h): on a primary what is durable here and, with --min-replicas K, on K replicas. While
 * fewer than K are there, for longer than the time-out, the node is READ_ONLY: what waits is told TIMEOUT, and it goes on
 * when they are back.
 */
#ifndef WILD_NODE_REPLICATION_H
#define WILD_NODE_REPLICATION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "control_streams.h"
#include "durable_log.h"
#include "feeder.h"
#include "link.h"
#include "node.h"
#include "members.h"
#include "node_order.h"
#include "node_role.h"
#include "node_status.h"
#include "primary.h"
#include "promotion.h"
#include "replica.h"
#include "replication_counters.h"
#include "tail.h"

/* What pages show. Writer: the control lcore; readers: workers. */
struct node_replication_shown {
    _Atomic uint64_t replicas, replicas_serving, replicated_lsn, lag_lsn, lag_ms;
    _Atomic bool short_of_replicas; /* primary: READ_ONLY for that */
};

/* A stream that a session of ours uses. */
struct node_leading_link {
    struct node *node;               /* NULL: free */
    struct primary_session *session; /* NULL: it has left, and the stream is about to close */
    bool trusted;                    /* control_streams_peer() */
};

struct node_leading {
    struct session_keys *session_keys;
    struct tail *tail;
    struct feeder *feeder; /* its other end: the housekeeper's thread */
    struct primary *primary;
    struct node_leading_link link[PRIMARY_SESSIONS_MAX];
    struct members members;
    struct members_peer peer[PRIMARY_REPLICAS_MAX]; /* room for one look at them */
    struct meta meta;                               /* of the log that is written, while it leads */
    uint64_t members_due_ns;                        /* the next look at who joins the list */
    bool feeds_tail;                                /* from the history's first block on */
    uint64_t durable_lsn, acknowledged_lsn;
    uint64_t enough_ns; /* when as many replicas as it takes were last there */
};

enum { NODE_PRIMARY_TEXTS = 2 };

struct node_following {
    struct session_keys *session_keys;
    struct execute_context *apply;
    struct replica *replica;
    /* Whom it asks. */
    char primary
        [PRIMARY_ADDRESS_BYTES];    /* as the operator named it, for messages and status; or its address */
    uint16_t primary_port;          /* host order */
    struct name_lookup *lookup;     /* finds it; NULL: it is at `address` */
    struct name_lookup *own_lookup; /* that one, if it is the node's to destroy */
    struct address address;
    struct stream *stream; /* NULL: none */
    bool resolving, connected;
    struct node_peer leader; /* the last one that was followed, as it was reached; port 0: none */
    bool input_held;         /* by the stream: the replica did not take all */
    char trouble[NAME_LOOKUP_ERROR_BYTES]; /* with the connection, as last told */
    uint64_t hidden_generation; /* of the workers', when this view was published; see node_quiescent() */
    uint64_t lsn;               /* that readers may be shown */
    bool serving;
    /* What the primary says of its histories and of itself: published by turns, and a place is written again when every
     * worker has begun another turn since it was left. */
    struct meta histories[NODE_PRIMARY_TEXTS], told_histories;
    char text[NODE_PRIMARY_TEXTS][PUBLISHED_PRIMARY_BYTES], told_text[PUBLISHED_PRIMARY_BYTES];
    unsigned place;
    uint64_t placed_generation;
    bool told; /* something waits for its place */
};

/* A stream to a member that is asked for its promise. */
struct node_promotion_link {
    struct node *node;     /* NULL: free */
    struct stream *stream; /* NULL: it has been left, and is about to close */
};

struct node_promotion {
    struct session_keys *session_keys;
    struct promotion *promotion;
    struct node_promotion_link link[PROMOTION_PEERS_MAX];
};

struct node_replication {
    struct node *node;
    struct instant now; /* of this turn */
    const struct role_keys *keys[NODE_SECRETS_MAX];
    struct replication_counters counters; /* readers: any thread */
    unsigned links;                       /* streams of ours that are open */
    struct node_role role;
    struct node_leading leading;
    struct node_following following;
    struct node_promotion promotion;
    struct node_replication_shown shown;
    uint64_t drain_until_ns; /* 0: not draining yet */
    bool told_end, drained;
    uint64_t status_due_ns;
    bool status_filled;
    pthread_mutex_t status_lock; /* of `status`; the control lcore only ever tries it */
    struct node_status status;
    struct primary_replica replica[PRIMARY_REPLICAS_MAX]; /* room for one look at them */
};

/* Memory that it locks for its keys. */
size_t node_replication_key_bytes(const struct node_config *config);
/* 0, or -1 with one line in `error`. Takes from the arena; secrets are read now. */
int node_replication_start(struct node *node, char *error, size_t error_bytes);
void node_replication_stop(struct node *node);
/* Things done: 0 means idle. */
unsigned node_replication_turn(struct node *node, struct instant now);
/* Sessions have been told that the node stops, or it took too long. */
bool node_replication_drained(const struct node *node);

/* The stream as replication/ sees it. */
struct link node_link(struct stream *stream);
/* Where clients reach this node if replication has a network of its own; zero: where other nodes do. */
void node_client_address(const struct node *node, uint8_t out[REPLICATION_ADDRESS_BYTES]);
/* For replication/ to speak by. */
struct replication_voice node_voice(struct node *node);

/* ---- a primary ---- */

/* The folder is read: what else is to be kept of it. Helper thread; false: memory is short. True where there is nothing to
 * do. */
bool node_leading_recovered(struct node *node, struct housekeeper_config *housekeeper);
/* A small job for each replica that is fed from disk; false: nothing to do. Helper thread. */
bool node_leading_feed(struct node *node);
/* Before the log writes its first block: what is to be told of durable ones. False: memory is short. */
bool node_leading_open(struct node *node, const struct recovery_facts *found, struct durable_log_config *log);
/* The log goes on with a history of ours: its blocks are kept for replicas from now on. */
void node_leading_begin(struct node *node, uint64_t before_lsn);
/* That history is durable: the list of members is written, replicas may come. */
void node_leading_serve(struct node *node);
/* Replicas are sent away, nothing is acknowledged any more. */
void node_leading_end(struct node *node);
/* Nothing holds the log's blocks any more. */
bool node_leading_is_settled(const struct node *node);
/* What is acknowledged of what is durable. */
uint64_t node_leading_acknowledged(struct node *node, uint64_t durable_lsn, struct instant now);
unsigned node_leading_turn(struct node *node);
bool node_leading_accept(struct node *node, struct stream *stream);
/* Every replica that is streaming has what is durable. */
bool node_leading_all_there(struct node *node);

/* ---- a replica ---- */

int node_following_start(struct node *node, char *error, size_t error_bytes);
void node_following_stop(struct node *node);
unsigned node_following_turn(struct node *node);
/*
 * Whom the replica asks from now on: a session with another ends. The lookup becomes the node's; returned is the
 * one that it had of its own before, for a thread that may free it (NULL: none).
 */
struct name_lookup *node_following_ask(struct node *node, struct name_lookup *lookup, const char *host,
                                       uint16_t port);
/* Likewise, where the address is known. Allocates and frees nothing: the lookup stays until the next order. */
void node_following_ask_address(struct node *node, const struct address *address, uint16_t port);
/* replica_stop_following(), which does not wait for a primary that does not answer. */
void node_following_pause(struct node *node);
/* NODE_ORDER_FOLLOW: done at once, and ended. */
void node_following_order(struct node *node, const struct node_order *order);
/* What readers may be told of, by which histories, and where writes are taken ("": here). */
void node_tell_histories(struct node *node, const struct meta *histories, const char *primary);

/* ---- node_promotion.c: one that wants to lead ---- */

int node_promotion_start(struct node *node);
void node_promotion_stop(struct node *node);
unsigned node_promotion_turn(struct node *node);

/* ---- any thread ---- */

/* Why replication keeps the node READ_ONLY; NULL: it does not. */
const char *node_replication_why(const struct node *node);

/* node_status.c: fills in what node_status_take() gives, now and then. */
void node_status_turn(struct node *node);

#endif
