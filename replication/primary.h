/*
 * primary.h - a primary's side of replication: who may follow, from where on, and what each is sent; and
 * what any node with a log answers to one that wants to be primary. It is there from the node's start,
 * leading or not. Owner: the control lcore; nothing here waits for the disk, a replica or anybody, or
 * allocates after primary_create().
 *
 * A session:
 *   SHAKING --handshake--> HELLO_AWAITED --HELLO--> (WELCOME | REFUSE)
 *   WELCOMED: RESUME              FEEDING or STREAMING, as the memory tail has what comes next or not
 *             BOOTSTRAP --ACK-->  FEEDING: snapshot, then log, from disk (feeder.h)
 *   FEEDING --the memory tail goes on from there--> STREAMING --it has gone past--> FEEDING
 *
 *   HELLO_AWAITED --PROBE or SEAL--> a caller (promotion.h): each is answered by STANDING, until it ends the
 *             session, PRIMARY_CALLER_NS at the most. Other clusters' callers are refused
 *
 * What may follow (HELLO against our histories, meta.h):
 *   no data, or HELLO_BOOTSTRAP             BOOTSTRAP, if its cluster id is ours or zero
 *   data of our cluster, on our line        RESUME: its history is one of ours, its lsn not above where that
 *                                           ended. BOOTSTRAP, if the log does not reach back so far
 *   ... not on our line                     REFUSE_DIVERGED; REFUSE_RIVAL if it knows our epoch: from another
 *   another cluster's data                  REFUSE_FOREIGN_CLUSTER
 *   a smaller table                         REFUSE_CAPACITY
 *   BOOTSTRAP, and the folder is gone       REFUSE_NOT_READY
 *   our node id, or that of a session that  REFUSE_SAME_NODE
 *   lives, from elsewhere
 *   anything, while this node does not lead REFUSE_NOT_PRIMARY
 *   another version; an epoch above ours    REFUSE_VERSION; REFUSE_STALE_EPOCH, and seat.heard() is told
 *
 * Who is slow. Each session has a cursor in the shared tail and one message on its way; nothing is queued
 * for it. When the tail goes past the cursor it is fed from disk; past a block that is half sent: the
 * session ends, and the replica comes again. Who is fed while others wait for a feed gives way in time. So
 * no replica costs memory or time beyond its own place.
 *
 * Limits. PRIMARY_SESSIONS_MAX places; PRIMARY_SHAKING_MAX of them for those who have not said HELLO,
 * PRIMARY_SOURCE_MAX of those from one address: a place is given up after PRIMARY_HELLO_NS, and the oldest
 * of the source that holds most makes room for a newcomer. PRIMARY_HANDSHAKES_S a second, in bursts of 16;
 * PRIMARY_SOURCE_HANDSHAKES_S of those from one address, in bursts of PRIMARY_SOURCE_MAX: whoever has seen
 * the first message of a handshake can say it again, and must not use up what others need.
 */
#ifndef WILD_PRIMARY_H
#define WILD_PRIMARY_H

#include "channel.h"
#include "feeder.h"
#include "members.h"
#include "meta.h"
#include "replication_counters.h"
#include "tail.h"

enum {
    PRIMARY_REPLICAS_MAX = 64,
    PRIMARY_SHAKING_MAX = 32,
    PRIMARY_CALLERS_MAX = 16,
    PRIMARY_ENDING_MAX = 32, /* spare: sessions that are over, whose links are not gone yet */
    PRIMARY_SESSIONS_MAX =
        PRIMARY_REPLICAS_MAX + PRIMARY_SHAKING_MAX + PRIMARY_CALLERS_MAX + PRIMARY_ENDING_MAX,
    PRIMARY_SOURCE_MAX = 8,
    PRIMARY_HANDSHAKES_S = 200,
    PRIMARY_SOURCE_HANDSHAKES_S = 25,
    /* Bytes for all sessions in one turn, or one message more: to seal them is time that the log waits for.
     * Who had none of them is the first in the next turn. */
    PRIMARY_TURN_BYTES = 256 * 1024,
};
#define PRIMARY_HELLO_NS UINT64_C(3000000000)
/* From the first word to the last. */
#define PRIMARY_CALLER_NS UINT64_C(10000000000)
/* For a replica that empties its table: until then it has nothing to say. */
#define PRIMARY_EMPTY_NS UINT64_C(60000000000)
/* While others wait for a feed: one of the log is kept so long, and a message of it, or of a snapshot, may
 * be on its way so long (primary_feeds.c). */
#define PRIMARY_FEED_NS           UINT64_C(4000000000)
#define PRIMARY_FEED_STALL_NS     UINT64_C(10000000000)
#define PRIMARY_SNAPSHOT_STALL_NS UINT64_C(30000000000)
/* For a link to go once its session is over; then it is aborted. */
#define PRIMARY_END_NS UINT64_C(2000000000)

/* One line for the operator. */
struct replication_voice {
    void *state;
    void (*say)(void *state, bool warning, const char *line);
};

struct primary;
struct primary_session;

/* What this node answers to one that wants to be primary. NULL functions: nothing, it has no say. */
struct primary_seat {
    void *state;
    uint64_t node_id;
    /* This node's cluster id, and all of a STANDING but version and node id, as it is at this moment. The
     * tail is what a restart would find: of what was appended only what is durable; while a log is given up
     * or adopted, the old one's. False: there is nothing to tell yet. */
    bool (*standing)(void *state, struct replication_standing *out, uint8_t cluster_id[CLUSTER_ID_BYTES]);
    /*
     * Asks for a promise (epoch_may_promise()), which is for good. Asked again every turn until it is true:
     * then standing() tells how it stands: promised, and durable; nobody of a lower epoch is followed any
     * more, or acknowledges by this node what it did not have by then, and nothing is acknowledged as a
     * primary; or not promised.
     */
    bool (*seal)(void *state, uint32_t epoch, uint64_t node_id);
    /* Somebody of our cluster, a holder of the secret, knows an epoch above the one that we lead in, or
     * last followed. */
    void (*heard)(void *state, uint32_t epoch);
};

struct primary_config {
    const struct role_keys *keys[2]; /* borrowed, as all pointers here; keys[1] may be NULL */
    const struct handshake_identity *identity;
    const struct random_source *random;
    struct session_keys *session_keys; /* PRIMARY_SESSIONS_MAX, in an arena */
    const struct meta *meta;           /* primary_lead() with this; NULL: it does not lead yet */
    struct tail *tail;
    struct feeder *feeder;
    struct replication_counters *counters;
    struct replication_voice voice;
    struct primary_seat seat;
    uint64_t capacity;
    uint32_t heartbeat_ms, timeout_ms;
    /* Where clients reach this node; address zero: where its replicas do. */
    uint8_t client_address[REPLICATION_ADDRESS_BYTES];
    uint16_t client_port;
};

struct primary *primary_create(const struct primary_config *config); /* NULL: memory is short */
/* Ends every session (their links are aborted). */
void primary_destroy(struct primary *primary);

/* Replicas may come: meta: the histories of the log that is written; borrowed, and does not change until
 * primary_stop_leading(). */
void primary_lead(struct primary *primary, const struct meta *meta);
/* The replicas' sessions are ended in order, HELLO is answered REFUSE_NOT_PRIMARY. The tail and the feeder
 * may be given another log once primary_replica_count() is 0 and no session holds anything of theirs:
 * primary_is_settled(). */
void primary_stop_leading(struct primary *primary);
bool primary_is_settled(const struct primary *primary);

/* ---- links ---- */

/* A link that a peer has opened. NULL: no place for it; the caller aborts it. */
struct primary_session *primary_accept(struct primary *primary, const struct link *link, uint64_t mono_ns);
void primary_received(struct primary_session *session, uint8_t *bytes, size_t length);
void primary_writable(struct primary_session *session);
/* The peer sends no more: whether the session was told, or has said itself, that it is over. If not, the
 * link is worth no farewell: who has no key could keep a place of the TCP's by not answering it. */
bool primary_may_close(const struct primary_session *session);
/* The peer sends no more, or the link is gone: nothing of it is used any more after this. */
void primary_link_closed(struct primary_session *session);

/* ---- the log ---- */

struct primary_log {
    uint64_t durable_lsn;      /* on our stable storage */
    uint64_t acknowledged_lsn; /* and on as many replicas' as --min-replicas asks */
    /* Nothing can be read from disk any more: nobody is to give up what he has for a snapshot of it. */
    bool folder_gone;
};
/* Sends what there is to send, minds time-outs. Things done: 0 means idle. */
unsigned primary_turn(struct primary *primary, const struct primary_log *log, uint64_t mono_ns,
                      uint64_t wall_ms);

/*
 * The highest LSN that at least `count` replicas with different node ids have, on stable storage or, where
 * applied_counts, in memory. 0: fewer replicas are there. count 0: UINT64_MAX.
 */
uint64_t primary_replicated_lsn(const struct primary *primary, unsigned count, bool applied_counts);

/* The replicas with a log, for members.h; how many were written to `out`. */
unsigned primary_peers(const struct primary *primary, struct members_peer *out, unsigned room);
/* Tells the replica with that node id to promote itself, in that epoch. False: it is not streaming. */
bool primary_hand_over(struct primary *primary, uint64_t node_id, uint32_t epoch);

/* No session goes on: the node stops. They are told in order. */
void primary_close_all(struct primary *primary);

/* ---- facts ---- */

enum primary_replica_state {
    PRIMARY_REPLICA_BOOTSTRAP = 1,
    PRIMARY_REPLICA_CATCH_UP,
    PRIMARY_REPLICA_STREAMING
};

struct primary_replica {
    char name[REPLICATION_NAME_BYTES];
    uint64_t node_id, applied_lsn, durable_lsn; /* as its last ACK says; durable 0: it has no log */
    /* Age of the oldest change or heartbeat that it has not said it has applied; all are: what that age was
     * of the newest when it said so. Round trip included. Before its first word of that kind: time since it
     * was welcomed. */
    uint64_t lag_ns;
    uint64_t sent_bytes, since_ns;
    uint8_t address[16], client_address[16]; /* that it connects from; that its clients reach it at */
    uint16_t port, client_port;              /* of each */
    uint8_t state;                           /* enum primary_replica_state */
    bool has_log, serving;
};
/* Those who have been welcomed; how many were written to `out`. */
unsigned primary_replicas(const struct primary *primary, uint64_t mono_ns, struct primary_replica *out,
                          unsigned room);
/* Sessions that are welcomed. */
unsigned primary_replica_count(const struct primary *primary);

#endif
