/*
 * replica_internal.h - the struct behind replica.h, and what its files share: replica.c (phases, the link,
 * time), replica_greeting.c (HELLO and what is answered to it), replica_apply.c (what comes is applied), replica_own.c (the
 * replica's own log). Not for others.
 */
#ifndef WILD_REPLICA_INTERNAL_H
#define WILD_REPLICA_INTERNAL_H

#include "replica.h"

enum {
    REPLICA_CLEAR_BUCKETS = 4096, /* a turn */
    REPLICA_MOVE_BUCKETS = 1024,  /* a turn, at the end of loading */
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
    REPLICA_END_LOG,       /* our own log did not take what the primary sent */
    REPLICA_END_OURS,      /* stop, reconnect, another attempt at once: nothing to say */
    REPLICA_END_REFUSED,   /* + enum refuse_reason */
};

/* What is in the table. */
enum replica_data {
    REPLICA_DATA_NONE,    /* nothing of use: what there is, is yet to be cleared */
    REPLICA_DATA_LOADING, /* a part of a snapshot, or more than one without the log to its end */
    REPLICA_DATA_WHOLE,   /* what the primary had at `at` */
};

/* What the folder of our own log holds, so that none of it is given up unseen; the table may be of another line. */
struct replica_own {
    bool held; /* anything of a cluster */
    uint64_t last_lsn;
    struct meta line;
};

/* What LOADING waits for; PLACES: until what lies in the overflow region has found its place in the table. */
enum replica_loading { LOADING_BEGIN, LOADING_CHUNKS, LOADING_LOG, LOADING_PLACES };

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
    bool paused; /* until replica_follow_again() */
    bool heard;  /* since the last turn */
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
    uint32_t epoch;      /* the highest of that cluster, followed or sealed */
    uint64_t epoch_node; /* whose it is */
    bool begin_anew;     /* HELLO_BOOTSTRAP: what is in the table is on no primary's line */
    bool welcomed;       /* this session */
    char refusal[REPLICATION_TEXT_BYTES];

    /* ---- the table: replica_apply.c ---- */
    enum replica_data data;
    enum replica_loading loading;
    struct replica_place at;
    bool
        entering; /* the next block may begin below at.next_lsn: it is the first after WELCOME or the snapshot */
    struct replication_snapshot_begin snapshot;
    uint64_t snapshot_items, snapshot_highest_lsn, snapshot_end_lsn, loaded_bytes;
    uint64_t catch_up_lsn; /* serving from there on */
    uint64_t floor_lsn; /* and not before so much is acknowledged: what was removed below has left no trace */
    uint64_t primary_lsn, acknowledged_lsn, point_lsn;
    uint64_t behind_ns;
    uint64_t echo_ns;
    bool ack_due;
    bool serving, published;
    bool served;              /* HIDING: before that */
    struct replica_view view; /* as last published */

    /* ---- its own log: replica_own.c ---- */
    struct replica_own own;
    bool learning; /* the log does not know this session's histories yet */
    bool adopting; /* a log that is not durable as a whole yet; what the folder holds is `own` until it is */
    bool waits;    /* no input was taken when it was last asked */
    bool
        keep_tail; /* since a log was last adopted: of what is to be given up, what is above tail_lsn is on no line */
    uint64_t tail_lsn;
    uint64_t acked_durable_lsn, acked_ns; /* in this session; when the last ACK was sent */

    uint8_t receive[REPLICATION_MESSAGE_BYTES_MAX];
    uint8_t held[RECORD_MESSAGE_BYTES_MAX];
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
/* What the folder holds is on no primary's line from there on: it is going to be set aside. */
void replica_tell_tail(struct replica *replica);

/* ---- replica_apply.c ---- */

/* WELCOME said so. */
void replica_resume(struct replica *replica);
void replica_hide(struct replica *replica);
/* HIDING and CLEARING: things done. */
unsigned replica_clear(struct replica *replica);
/* The last part of LOADING: things done. */
unsigned replica_end_loading(struct replica *replica);
/* A session is over: a part of a snapshot is worth nothing; what was only hidden is shown again. */
void replica_apply_ends(struct replica *replica);

void replica_on_snapshot_begin(struct replica *replica, const struct replication_snapshot_begin *begin);
void replica_on_snapshot_chunk(struct replica *replica, const uint8_t *records, uint32_t bytes);
void replica_on_snapshot_end(struct replica *replica, const struct replication_snapshot_end *end);
void replica_on_batch(struct replica *replica, const struct replication_message *message);
void replica_on_heartbeat(struct replica *replica, const struct replication_heartbeat *heartbeat);
struct replication_message replica_ack(const struct replica *replica);

/* All up to it is applied. */
static inline uint64_t replica_reached_lsn(const struct replica *replica)
{
    return replica->at.next_lsn - 1;
}

/* ---- replica_own.c: nothing of it does anything without a log ---- */

/* Whether the next message may come. */
bool replica_may_take(struct replica *replica);
/* A WELCOME says RESUME: the log is to know the histories before anything of them comes. */
void replica_own_resume(struct replica *replica);
/* A WELCOME says BOOTSTRAP, of this line, durable up to that LSN: what of ours is not on it? */
void replica_own_judge(struct replica *replica, const struct meta *theirs, uint64_t durable_lsn);
void replica_own_give_up(struct replica *replica);
bool replica_own_given_up(struct replica *replica);
/* False: it cannot be adopted as it stands. */
bool replica_own_adopt(struct replica *replica);
/* Whether it has been adopted, session or none: a promotion waits for it. */
void replica_own_look(struct replica *replica);
bool replica_own_append(struct replica *replica, uint64_t history, uint64_t first_lsn, const uint8_t *records,
                        size_t bytes, uint32_t count);
/* For an ACK. */
uint64_t replica_own_durable(const struct replica *replica);
/* Once a turn: what became durable is to be told, an adoption has ended. */
void replica_own_turn(struct replica *replica);

static inline bool replica_has_log(const struct replica *replica)
{
    return replica->config.log.append != NULL;
}

/* Tells the host what readers may be told, if that has changed. */
void replica_publish(struct replica *replica);

static inline bool replica_is_whole(const struct replica *replica)
{
    return replica->data == REPLICA_DATA_WHOLE;
}

#endif
