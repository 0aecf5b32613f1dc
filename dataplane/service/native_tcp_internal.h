/*
 * native_tcp_internal.h - what the files of the native TCP service share: native_tcp.c (places, events,
 * time), native_tcp_admission.c (places for newcomers), native_tcp_handshake.c (INIT to READY),
 * native_tcp_records.c (messages and replies) and native_tcp_lend.c (buffers for records in part).
 */
#ifndef WILD_NATIVE_TCP_INTERNAL_H
#define WILD_NATIVE_TCP_INTERNAL_H

#include "record.h"
#include "service/http_parser.h"
#include "service/native_buffers.h"
#include "service/native_engine.h"
#include "service/native_tcp.h"
#include "service/parked.h"
#include "service/source.h"

enum {
    NATIVE_TCP_INLINE_BYTES = 160, /* of an unfinished record: handshake messages and most small requests */
    NATIVE_TCP_BATCH_MAX = 32,     /* messages executed together */
    NATIVE_TCP_JOBS_PER_TURN = 32,
    NATIVE_TCP_HELD_PER_TURN = 16, /* held-back connections looked at */
    /* A stream that can spare so much may be given a reply that needs more, if a large buffer takes the rest.
     * Our TCP gives it to every connection that has all acknowledged, be its peer's segments the smallest
     * (tcp.h). */
    NATIVE_TCP_SPARE_BYTES = 8192,
    NOBODY = -1,

    NATIVE_TCP_PARKED_PER_TURN = 256, /* replies that leave late, and their bytes, about */
    NATIVE_TCP_PARKED_BYTES_PER_TURN = 131072,
};
static_assert((int)NATIVE_TCP_INLINE_BYTES >= (int)HANDSHAKE_INIT_BYTES, "handshakes need no buffer");

enum native_tcp_state {
    CONNECTION_FREE = 0,
    CONNECTION_SNIFF,
    CONNECTION_INIT,
    CONNECTION_COMPUTING,
    CONNECTION_CONFIRM,
    CONNECTION_LIVE,
    CONNECTION_CLOSING, /* what was answered is sent, what comes is thrown away */
    CONNECTION_ABORTED, /* the same without the sending: `closed` comes next */
    CONNECTION_GONE,    /* the stream is, but the helper or the queue still holds the place */
};

struct native_connection {
    struct native_tcp *service;
    struct stream *stream;
    struct record_reader reader;
    struct record_writer writer;
    struct native_buffer *buffer; /* the reader's, if not `inline_bytes`; lent; its `length`: opened in it */
    struct native_buffer *unsent_first, *unsent_last; /* sealed, and not taken by the stream yet */
    uint64_t since_ns;                                /* accepted; LIVE: the last message */
    uint64_t partial_ns;    /* since when a record is not whole; 0: none is, or it is held back */
    uint64_t holding_ns;    /* with a buffer: since when, or since when the record that is in it */
    uint64_t blocked_ns;    /* since when replies are not read; 0: they are */
    uint32_t id;            /* its session's: the place in the low bits, its uses in the others */
    uint32_t batch_bytes;   /* its replies in the batch take at most */
    uint32_t wants;         /* held back: bytes of the buffer that it waits for; 0: none */
    int32_t next, previous; /* FREE: the free list; in a crowd: its host's */
    int32_t holder_next, holder_previous; /* with a buffer: by holding_ns */
    int32_t held_next;                    /* the queue of those held back */
    uint8_t state;                        /* enum native_tcp_state */
    struct source source;
    uint8_t crowd;    /* enum native_crowd_kind: the one that it is in */
    bool unconfirmed; /* counted as such */
    bool computing;   /* the helper has it */
    bool held_back, queued;
    bool watched;         /* LIVE: its timer comes within NATIVE_TCP_CHECK_NS */
    bool starved, called; /* held back until buffers can be spared; they could, and its turn has come */
    bool cookie_sent, plain, retry_ready;
    uint8_t sniffed; /* bytes in inline_bytes while SNIFF */
    uint8_t inline_bytes[NATIVE_TCP_INLINE_BYTES];

    uint32_t parked, parked_bytes; /* replies that wait for the log, as records */
    bool close_follows;            /* CLOSING: a CLOSE record, behind what is parked */
};
static_assert(sizeof(struct native_connection) <= 512, "native_tcp.h says so");

/* Why a connection may have to make room. */
enum native_crowd_kind {
    CROWD_UNCONFIRMED, /* not while COMPUTING; by age */
    CROWD_LIVE,        /* in no particular order */
    CROWD_LINGERING,   /* CLOSING, by age */
    CROWD_KINDS,
    CROWD_NONE = CROWD_KINDS,
};

/* Connections of one host, in a list; oldest and newest are valid if there are any. */
struct native_crowd {
    int32_t oldest, newest;
    uint32_t count;
};

/* What one host holds; networks' hosts side by side. Lists of those who hold nothing are not touched. */
struct native_host {
    struct native_crowd crowds[CROWD_KINDS];
    uint16_t requests[2]; /* buffers, small and large */
};

/* Those who hold a buffer of one class for a record in part, the oldest record first. */
struct native_holders {
    int32_t oldest, newest;
    uint16_t each_max; /* a host's share */
};

struct native_tcp {
    struct native_tcp_config config;
    struct native_engine engine;
    bool draining; /* no new sessions */
    bool closing;  /* nor anything else: native_tcp_close_all() */
    unsigned bits; /* of a place in an id */
    unsigned used, unconfirmed, unconfirmed_max, live_max, held_back, starved;
    int32_t free;
    int32_t held_first, held_last;
    struct native_holders holders[2];                /* small and large */
    unsigned crowds[CROWD_KINDS];                    /* how many there are of each kind */
    uint32_t networks[CROWD_KINDS][SOURCE_NETWORKS]; /* the same, by network */
    struct native_host *hosts;                       /* SOURCE_HOSTS for each network */
    uint8_t displaced;                               /* where the look for the next one begins */
    struct native_connection *connections;
    struct retry_window *retries; /* a connection's, at the same place */
    struct session_keys *keys;    /* likewise; in the arena */
    struct cookie_secrets *cookies;
    struct native_buffers buffers;
    struct parked *parked; /* NULL: there is no log, nothing waits */
    uint32_t source_seed;
    uint16_t computing[SOURCE_NETWORKS]; /* jobs with the helper */
    /* A batch: messages opened and not yet executed, of whichever connections; askers: whose. */
    unsigned batch;
    unsigned probes;
    struct native_connection *asker[NATIVE_TCP_BATCH_MAX];
    struct native_request request[NATIVE_TCP_BATCH_MAX];
    struct table_probe probe[NATIVE_TCP_BATCH_MAX];
    /* A reply on its way: the message stands where a record's would. */
    _Alignas(64) uint8_t reply[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
};

static inline void native_tcp_count(const struct native_tcp *service, enum counter which)
{
    counter_add(service->config.counters, which, 1);
}

static inline int32_t native_tcp_place(const struct native_connection *c)
{
    return (int32_t)(c - c->service->connections);
}

static inline struct session_keys *native_tcp_keys(const struct native_connection *c)
{
    return &c->service->keys[native_tcp_place(c)];
}

/* ---- native_tcp.c ---- */

/* A reset, now; counted as `why`. Nothing of the connection is used after it but by its `closed`. */
void native_tcp_abort(struct native_connection *c, enum counter why);
/* Nothing more is read; the stream is closed once all that was answered is sent. */
void native_tcp_close(struct native_connection *c);
/* SNIFF, INIT or CONFIRM -> LIVE. */
void native_tcp_live(struct native_connection *c);
/* Its time limits may pass soon: they are looked at every NATIVE_TCP_CHECK_NS from now on. */
void native_tcp_watch(struct native_connection *c);
/* No more of its bytes are taken until the turn finds that it may go on. */
void native_tcp_hold_back(struct native_connection *c);
/* GONE -> FREE, once neither the helper nor the queue holds the place. */
void native_tcp_release(struct native_connection *c);

/* ---- native_tcp_admission.c ---- */

/* Whether there is a place for a newcomer; one who lingers, or is unconfirmed, may have made room for it. */
bool native_tcp_make_room(struct native_tcp *service, struct source newcomer);
/* Unconfirmed, and in that crowd. */
void native_tcp_begin_unconfirmed(struct native_connection *c);
/* In another crowd than before, or in none. */
void native_tcp_join(struct native_connection *c, enum native_crowd_kind kind);
/* In none, and not unconfirmed: it is over, or before it joins another. */
void native_tcp_leave(struct native_connection *c);
/* After the session has begun: if there are too many, one of the source that holds most is closed in order,
 * the one that was idle for longest, or this one, if its own holds no fewer. */
void native_tcp_share_out(struct native_connection *c);

/* ---- native_tcp_lend.c ---- */

/*
 * A buffer of at least `bytes` for the record that has begun. False: none is free, or its source has its
 * share, and nobody could make room.
 */
bool native_tcp_lend(struct native_connection *c, uint32_t bytes);
/* Back to the pool, if it has one. */
void native_tcp_give_back(struct native_connection *c);
/* What was opened in the buffer, if it has one, is wiped: its first `length` bytes. */
void native_tcp_wipe_opened(struct native_connection *c);
/* Another record is in part in the buffer, if it has one. */
void native_tcp_record_begun(struct native_connection *c);

/* ---- native_tcp_handshake.c ---- */

/*
 * A message of the handshake, of a kind that the state expects. It ends the connection if it is not in order.
 */
void native_tcp_handshake(struct native_connection *c, const struct record_item *item);
/* Finished jobs. True: there were some. */
bool native_tcp_responses(struct native_tcp *service);

/* ---- native_tcp_records.c ---- */

/* Seals and sends the reply message that stands in service->reply + RECORD_HEADER_BYTES. */
void native_tcp_send_reply(struct native_connection *c, size_t length);
/* The batch, as far as it has come. */
void native_tcp_execute(struct native_tcp *service);
/* Whether a reply of any size finds buffers, when no other waits for its own. */
bool native_tcp_can_spare(const struct native_connection *c);
/* Bytes in any state from INIT to LIVE; returns how many were taken. */
size_t native_tcp_take(struct native_connection *c, uint8_t *bytes, size_t length);
/*
 * Sends bytes that must be sent: what the stream does not take waits in buffers; without one it is a reset.
 */
void native_tcp_send(struct native_connection *c, const uint8_t *bytes, size_t length);
void native_tcp_send_unsent(struct native_connection *c);
/* A CLOSE record, then native_tcp_close(). */
void native_tcp_close_in_order(struct native_connection *c);
/* Gives the assembly buffer and all unsent ones back. */
void native_tcp_give_buffers(struct native_connection *c);
/*
 * Whether too much is unread or parked, by the mark for stopping or the one for going on; or there is no room
 * behind what is parked.
 */
bool native_tcp_is_blocked(const struct native_connection *c, size_t mark);

/* ---- native_tcp_parked.c ---- */

/* Whether the replies to a batch may wait. */
bool native_tcp_may_park(const struct native_tcp *service);
/* Whether the connection's source may have more there, if there is room: what it has been promised is
 * another matter. */
bool native_tcp_park_is_fair(const struct native_connection *c);
/* The reply in service->reply, behind the connection's others: until wait_lsn, 0: only for those. */
void native_tcp_park(struct native_connection *c, size_t length, uint64_t wait_lsn);
/* Those that the log has reached, and those that wait no more. True: there were some. */
bool native_tcp_send_parked(struct native_tcp *service);

#endif
