/*
 * replica_internal.h - the struct behind replica.h, and what its files share: replica.c (phases, the link,
 * time), replica_greeting.c (HELLO and what is answered to it), replica_apply.c (what comes is applied). Not for
 * others.
 */
#ifndef WILD_REPLICA_INTERNAL_H
#define WILD_REPLICA_INTERNAL_H

#include "replica.h"

enum {
    REPLICA_CLEAR_BUCKETS = 4096, /* a turn */
    REPLICA_DELAY_MIN_MS = 50,
    REPLICA_DELAY_MAX_MS = 2000,
    REPLICA_GREETING_MS = 3000, /* without a word, before WELCOME says how long that may last */
    REPLICA_SETTLED_MS = 1000,  /* a session that was followed so long is worth a line, and so is its end */
    REPLICA_CLOSE_MS = 1000,    /* for a session that we end in order to go elsewhere */
};

/* Why a session ended, or did not begin. A line for the operator is said when it is another than the last. */
enum replica_end {
    REPLICA_END_NONE,
    REPLICA_END_NO_LINK,
    REPLICA_END_SHAKING, /* cut before it was open */
    REPLICA_END_CLOSED,
    REPLICA_END_CUT,
    REPLICA_END_BAD_KEY,
    REPLICA_END_NOT_IN_ORDER,
    REPLICA_END_GAP,
    REPLICA_END_SILENT,
    REPLICA_END_NO_ROOM,   /* the table does not take what the primary has */
    REPLICA_END_NO_MEMORY, /* for a bootstrap's overflow region */
    REPLICA_END_OURS,      /* stop, reconnect, another attempt at once: nothing to say */
    REPLICA_END_REFUSED,   /* + enum refuse_reason */
};

/* What is in the table. */
enum replica_data {
    REPLICA_DATA_NONE,    /* nothing of use: what there is, is yet to be cleared */
    REPLICA_DATA_LOADING, /* a part of a snapshot, or more than one without the log to its end */
    REPLICA_DATA_WHOLE,   /* what the primary had at `at` */
};

/* Where in the log the table stands. */
struct replica_place {
    uint64_t history;  /* of the last block, marks included; 0: none yet */
    uint64_t last_lsn; /* of the last change; 0: none yet */
    uint64_t
        next_lsn; /* all below it is applied: last_lsn + 1, or the first of a history that has no change yet */
};

enum replica_loading { LOADING_BEGIN, LOADING_CHUNKS, LOADING_LOG }; /* what LOADING waits for */

struct replica {
    struct replica_config config;
    enum replica_phase phase;
    uint64_t now_ns; /* of the last turn */
    bool turned;     /* there was one */

    /* ---- the link: replica.c ---- */
    struct channel channel;
    bool link_there;   /* connect was begun, and replica_link_closed() is yet to come */
    bool channel_used; /* and the channel has it */
    bool stopped;
    bool heard; /* since the last turn */
    bool hello_sent;
    uint64_t due_ns;      /* WAITING: when to connect, once the last link is gone */
    uint64_t close_by_ns; /* WAITING for a link that was closed */
    uint64_t heard_ns, timeout_ns;
    uint64_t followed_ns; /* FOLLOWING since */
    uint32_t delay_ms;    /* the next one's upper bound */
    enum replica_end told_end;
    bool told_following;

    /* ---- whom it follows: replica_greeting.c ---- */
    struct meta histories; /* of the primary that said WELCOME last */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint32_t epoch;  /* the highest of that cluster */
    bool begin_anew; /* HELLO_BOOTSTRAP: what is in the table is on no primary's line */
    bool welcomed;   /* this session */
    char refusal[REPLICATION_TEXT_BYTES];

    /* ---- the table: replica_apply.c ---- */
    enum replica_data data;
    bool overflow_open; /* between apply_begin() and apply_end() */
    enum replica_loading loading;
    struct replica_place at;
    bool
        entering; /* the next block may begin below at.next_lsn: it is the first after WELCOME or the snapshot */
    struct replication_snapshot_begin snapshot;
    uint64_t snapshot_items, snapshot_highest_lsn, snapshot_end_lsn, loaded_bytes;
    uint64_t catch_up_lsn; /* serving from there on */
    uint64_t primary_lsn, acknowledged_lsn, point_lsn;
    uint64_t behind_ns;
    uint64_t echo_ns;
    bool ack_due;
    bool serving, published;
    bool served;              /* HIDING: before that */
    struct replica_view view; /* as last published */

    uint8_t receive[REPLICATION_MESSAGE_BYTES_MAX];
};

/* ---- replica.c ---- */

/* The session is over, or the attempt: WAITING. Safe at any time, from inside a message too. */
void replica_end(struct replica *replica, enum replica_end why);
void replica_begin_following(struct replica *replica);

/* ---- replica_greeting.c ---- */

struct replication_message replica_hello(const struct replica *replica);
void replica_on_welcome(struct replica *replica, const struct replication_welcome *welcome);
void replica_on_refuse(struct replica *replica, const struct replication_refuse *refuse);
/* Says why it ended, unless that was said of the last one. */
void replica_tell_end(struct replica *replica, enum replica_end why);
void replica_tell_following(struct replica *replica);

/* ---- replica_apply.c ---- */

/* WELCOME said so. */
void replica_resume(struct replica *replica);
void replica_hide(struct replica *replica);
/* HIDING and CLEARING: things done. */
unsigned replica_clear(struct replica *replica);
/* A session is over: a part of a snapshot is worth nothing; what was only hidden is shown again. */
void replica_apply_ends(struct replica *replica);

void replica_on_snapshot_begin(struct replica *replica, const struct replication_snapshot_begin *begin);
void replica_on_snapshot_chunk(struct replica *replica, const uint8_t *records, uint32_t bytes);
void replica_on_snapshot_end(struct replica *replica, const struct replication_snapshot_end *end);
void replica_on_batch(struct replica *replica, const struct replication_message *message);
void replica_on_heartbeat(struct replica *replica, const struct replication_heartbeat *heartbeat);
struct replication_message replica_ack(const struct replica *replica);

/* Tells the host what readers may be told, if that has changed. */
void replica_publish(struct replica *replica);

static inline bool replica_is_whole(const struct replica *replica)
{
    return replica->data == REPLICA_DATA_WHOLE;
}

#endif
