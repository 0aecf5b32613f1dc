/*
 * primary_internal.h - the structs behind primary.h, shared by primary.c (sessions: their begin, what
 * comes, their end), primary_places.c (who gets a place, and how often hands are shaken), primary_lineage.c
 * (who may follow), primary_callers.c (who wants to be primary), primary_feeds.c (who is fed from disk),
 * primary_send.c (what each is sent) and primary_facts.c.
 */
#ifndef WILD_PRIMARY_INTERNAL_H
#define WILD_PRIMARY_INTERNAL_H

#include "primary.h"

enum { NO_FEED = -1 };

/* Room for a WELCOME with all histories. */
enum {
    WELCOME_BYTES_MAX = REPLICATION_HEADER_BYTES + REPLICATION_WELCOME_BYTES +
                        REPLICATION_HISTORIES_MAX * REPLICATION_HISTORY_BYTES
};

/*
 *   FREE --accept--> NEWCOMER --HELLO, refused: REFUSE is begun--> ENDING
 *                        |--PROBE or SEAL--> CALLER
 *                        |--BOOTSTRAP--> EMPTYING --ACK--> WAITING --a feed is free--> FEEDING
 *                        '--RESUME-----> STREAMING, or WAITING
 *   FEEDING --the tail has what comes next, not just now--> STREAMING --it is about to go past--> WAITING
 *           --others wait, and it has had its time--> WAITING
 *   any --closed, aborted, or ended by the peer--> ENDING --the link is gone--> FREE
 *
 * EMPTYING .. STREAMING: a replica, with a node id that no other has.
 */
enum session_state {
    SESSION_FREE,
    SESSION_NEWCOMER,  /* until a turn finds its HELLO */
    SESSION_CALLER,    /* it asks, and is answered */
    SESSION_EMPTYING,  /* WELCOME says BOOTSTRAP: until its table is empty */
    SESSION_WAITING,   /* for a feed */
    SESSION_FEEDING,   /* what comes next comes from disk */
    SESSION_STREAMING, /* from the tail */
    SESSION_ENDING,    /* nothing is begun any more; until the link is gone */
};

struct primary_session {
    struct primary *primary;
    uint8_t state;     /* enum session_state */
    bool said_hello;   /* `hello` is there */
    bool call_due;     /* `call` is there, of type `call_type`, and yet to be answered */
    bool welcome_due;  /* WELCOME is yet to be begun */
    bool welcomed;     /* WELCOME is sent whole */
    bool bootstrap;    /* until SNAPSHOT_END is sent */
    bool out_of_order; /* something came that must not */
    bool link_aborted;

    /* The message on its way. */
    uint8_t sending; /* enum replication_type; 0: none */
    uint8_t call_type;
    bool waits; /* it has found no room */

    uint64_t since_ns; /* NEWCOMER, CALLER: accepted; a replica: welcomed; ENDING: since then */
    uint64_t alive_ns; /* a message came, or one of ours that had waited went on */
    uint64_t stamp_ns; /* sent_ns of the last BATCH or HEARTBEAT; each has its own */
    uint64_t sent_bytes;
    uint64_t told_lsn;       /* acknowledged_lsn as last told */
    uint64_t welcome_lsn;    /* what was durable when it was welcomed */
    uint64_t snapshot_lsn;   /* start of the snapshot that it was sent; 0: none */
    uint32_t handover_epoch; /* HANDOVER is to be sent; 0: it is not */

    /* All up to this LSN is sent whole or was there before; and once the message on its way is sent. */
    uint64_t position, position_next;
    uint64_t cursor;              /* STREAMING: the number of the block that is on its way, or comes next */
    uint64_t ticket;              /* WAITING: first come, first served */
    uint64_t fed_ns;              /* FEEDING the log since */
    uint64_t begun_ns;            /* the message on its way, or the last */
    int feed;                     /* NO_FEED: none */
    uint32_t fed, sending_block;  /* BLOCKS: bytes of the item that are sent; of the block on its way */
    const struct feed_item *item; /* not given back yet */

    uint64_t lag_ns;         /* of the newest that was echoed, when it was */
    uint64_t outstanding_ns; /* sent_ns of the oldest that is not echoed, or a little before it; 0: all are */
    struct replication_ack ack;
    struct replication_hello hello;
    struct replication_call call;

    struct link link;
    struct channel channel;
    uint8_t receive[REPLICATION_UPSTREAM_BYTES_MAX];
    uint8_t welcome[WELCOME_BYTES_MAX];
};

/* A replica that was turned away, so that its next attempts are not told to the operator as well. */
struct refusal {
    uint64_t node_id, until_ns;
    uint16_t reason;
};

/* So many a second, a burst at once. */
struct allowance {
    uint64_t full_ns; /* when all of the burst will be there again */
};

/* Where hands were shaken lately. */
struct shaker {
    uint8_t address[16];
    struct allowance allowance;
};

enum { REFUSALS_REMEMBERED = 8, SHAKERS_REMEMBERED = 64, HANDSHAKES_BURST = 16 };

struct primary {
    struct primary_config config;
    struct primary_log log;
    uint64_t now_ns, wall_ms;
    uint64_t told_durable_lsn; /* the highest: to the feeder, and what is sent at the most */
    uint64_t log_from_lsn;     /* the folder's log does not reach back to below this, as far as is known */
    uint64_t tickets;          /* WAITING, given so far */
    bool one_goes;             /* a feed was given up for who waits, and nobody has it yet */
    struct allowance handshakes, lines;
    struct shaker shakers[SHAKERS_REMEMBERED];
    uint64_t lines_left_out;
    struct refusal refusals[REFUSALS_REMEMBERED];
    unsigned used_count, first; /* places in use: used[]; whose turn is first */
    int64_t budget; /* bytes that may still be sent in this turn; the last to be begun may exceed it */
    bool closed, leads;
    uint8_t used[PRIMARY_SESSIONS_MAX]; /* numbers of sessions, in no order */
    unsigned history_count;
    struct replication_history history[REPLICATION_HISTORIES_MAX];
    struct primary_session session[PRIMARY_SESSIONS_MAX];
};

static inline bool session_is_replica(const struct primary_session *session)
{
    return session->state >= SESSION_EMPTYING && session->state <= SESSION_STREAMING;
}

/* ---- primary.c ---- */

/* It ends now, and is counted. */
void primary_drop(struct primary_session *session, enum replication_counter why);
/* It ends once what is on its way is sent. */
void primary_close(struct primary_session *session);
/* Looks whether the channel has ended by itself: then so has the session. */
bool primary_has_ended(struct primary_session *session);
/* A line for the operator; too many at once are left out. */
void primary_say(struct primary *primary, bool warning, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum { WHO_BYTES = 144 };
/* "NAME (ADDRESS:PORT)", in `out`, which is returned. */
const char *primary_who(const struct primary_session *session, char out[WHO_BYTES]);

/* ---- primary_places.c ---- */

/* A free place for a newcomer from there, for whom another may have been given up; NULL: there is none. */
struct primary_session *primary_place(struct primary *primary, const uint8_t address[16]);
/* One more handshake with somebody from there now? */
bool primary_may_shake(struct primary *primary, const uint8_t address[16]);
/* Both come from one address, or one owner's network. */
bool primary_same_source(const struct primary_session *a, const struct primary_session *b);
/* One more now? */
bool allowance_take(struct allowance *allowance, uint64_t now_ns, unsigned a_second, unsigned burst);

/* ---- primary_lineage.c ---- */

struct verdict {
    uint16_t refuse; /* enum refuse_reason; 0: it may follow */
    uint8_t start;   /* enum welcome_start */
    char text[REPLICATION_TEXT_BYTES];
};
/* Who has all up to lsn has all up to there: histories may have begun after it, and LSNs between are
 * nobody's. */
uint64_t primary_reach(const struct meta *meta, uint64_t lsn);
__attribute__((format(printf, 3, 4))) void primary_refuse(struct verdict *out, enum refuse_reason reason,
                                                          const char *format, ...);
/* Of a node of another cluster. */
void primary_refuse_foreign(struct verdict *out, const uint8_t ours[CLUSTER_ID_BYTES],
                            const uint8_t theirs[CLUSTER_ID_BYTES]);
/* Whether who says this may follow, but for places. */
void primary_judge(const struct primary *primary, const struct replication_hello *hello, struct verdict *out);

/* ---- primary_callers.c ---- */

/* It has said PROBE or SEAL. False: that is not in order. */
bool primary_take_call(struct primary_session *session, const struct replication_message *message);
/* Things done. */
unsigned primary_caller_turn(struct primary_session *session);

/* ---- primary_send.c ---- */

/* Sends what there is and fits. Things done. */
unsigned primary_send(struct primary_session *session);
/* Its HELLO is answered by this, and it is closed. */
void primary_send_refuse(struct primary_session *session, const struct verdict *verdict);
/* Nothing is on its way to it. */
void primary_send_standing(struct primary_session *session, const struct replication_standing *standing);
/* Where what comes after `position` is to be had: in the tail, else WAITING for a feed. */
void primary_find_source(struct primary_session *session);
/* Whether the bytes of the message on its way are still what they were. */
bool primary_payload_holds(const struct primary_session *session);

/* ---- primary_feeds.c ---- */

/* A feed for it, if there is one: FEEDING. */
bool primary_open_feed(struct primary_session *session);
/* WAITING, at the end of the line. */
void primary_wait_for_feed(struct primary_session *session);
/* Feeds for those who wait, the first first; with none left, who has had one for long enough gives it
 * up. Things done. */
unsigned primary_open_feeds(struct primary *primary);
/* Gives back what it holds of the feeder's. Nothing of it is on its way any more. */
void primary_end_feed(struct primary_session *session);

#endif
