/*
 * client_responder.h - a node for client tests: a thread on a loopback socket that speaks the protocol's
 * server side over a tiny store, and misbehaves on order.
 *
 * It is no model of the product's server: it answers one client over UDP, a few over TCP, keeps what the
 * retry window asks for, and records what it was sent.
 */
#ifndef WILD_TESTS_CLIENT_RESPONDER_H
#define WILD_TESTS_CLIENT_RESPONDER_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"

enum { RESPONDER_LOG_MAX = 4096 };

/* What the next datagrams meet with. Counts go down as they are used; set them with responder_order(). */
struct responder_orders {
    unsigned lose_requests, lose_replies; /* of sessions */
    unsigned lose_handshake;              /* of the handshake's datagrams, both ways, every second one */
    unsigned duplicate_replies;           /* the identical bytes again */
    unsigned forge_replies;               /* damaged copies go first */
    unsigned garbage;                     /* before each answer so many with true tags and damaged contents */
    unsigned busy;                        /* operations answered with BUSY */
    unsigned wrong_values;                /* GETs answered with a damaged value, once 100 went well */
    unsigned hold_replies;                /* kept back until more are to be sent */
    bool silent;                          /* loses everything */
    unsigned late_ms;                     /* what comes is looked at so much later */
    unsigned silent_after;                /* so many operations: that is, with the answer to the last */
    bool reverse;                         /* answers of the datagrams at hand leave in reverse order */
    bool cookie;                          /* INIT needs a cookie */
    bool park_writes;                     /* executed, but not answered: as if not durable yet */
    bool park_first_write;                /* the first write from now on alone; datagrams only */

    /* Streams only. A reply is a record; `at` says where in it. */
    unsigned drop_records; /* requests: the connection ends, they are not executed */
    unsigned cut_replies;  /* `at` bytes of it are sent, then the connection ends */
    unsigned flip_replies; /* byte `at` is changed */
    unsigned
        swap_replies; /* the next two change places, each sealed in its new one; one waits for the other */
    unsigned close_replies; /* a CLOSE in its place, and the end */
    unsigned at;
    unsigned end_handshakes; /* the connection ends once INIT has come */
    unsigned end_sessions;   /* and when READY has been sent */
    unsigned read_bytes;     /* at a time; 0: as many as there are */
    bool deaf;               /* nothing is read */
    bool always_split;       /* everything that is sent, after `at` bytes */
    bool resets;             /* connections end with RST, not FIN */
    bool down;               /* nobody listens, and every connection is gone */

    /* Of a follower: what its primary has written comes in so many cases not at all, or with a byte
     * changed. */
    unsigned lose_replicated, damage_replicated;
    unsigned lost; /* GETs that ask for an LSN, answered with LOST */
};

/* What the node says it is; at first standalone, serving, epoch 7, history 42, node 3. */
struct responder_role {
    uint8_t mode,
        state; /* a replica answers writes with NOT_PRIMARY; one that is catching up reads with STALE */
    uint32_t epoch;
    uint64_t history, node_id;
    uint8_t cluster;  /* every byte of its cluster's id */
    char primary[64]; /* NOT_PRIMARY's hint */
};

/* One operation that came, first or again. */
struct responder_entry {
    uint64_t request_id, datagram; /* number of the datagram or record it came in */
    uint8_t opcode, kind;          /* of the datagram or record */
    bool executed;
    uint8_t flags;
    uint32_t epoch; /* of the message */
    uint64_t version;
};

struct responder;

struct responder *responder_start(const char *secret,
                                  const char *address); /* NULL: the address is not there */
struct responder *responder_start_stream(const char *secret, const char *address);
bool responder_is_stream(const struct responder *responder);
void responder_stop(struct responder *responder);
const char *responder_endpoint(const struct responder *responder);
void responder_order(struct responder *responder, struct responder_orders orders);
struct responder_orders responder_orders_left(struct responder *responder);
/* From the next connection on. */
struct record_limits;
void responder_limits(struct responder *responder, const struct record_limits *limits);
void responder_role(struct responder *responder, const struct responder_role *role);
/* Its last change's, so far. */
void responder_lsn(struct responder *responder, uint64_t lsn);
/* From now on every write of `primary` is applied by `replica` as well (one of at most 8), before it is
 * answered. Followers are stopped after their primary. */
void responder_follow(struct responder *replica, struct responder *primary);
/* A new process of the same node: sessions, retry window and items are gone. */
void responder_restart(struct responder *responder);
/* Copies what came since the last call; the number of entries. */
unsigned responder_log(struct responder *responder, struct responder_entry out[RESPONDER_LOG_MAX]);
unsigned responder_sessions(struct responder *responder); /* confirmed so far */
unsigned responder_closes(struct responder *responder);   /* CLOSE datagrams and records that verified */

#endif
