/*
 * promotion.h - a node that wants to be primary: it asks the members of its list how they stand, promises
 * itself, gets their promises, and is told whether it may lead. Why that is safe stands in members.h; what is
 * said in replication_message.h. Owner: the control lcore; allocates in promotion_create(), waits for nobody.
 * One at a time.
 *
 *   IDLE --begin--> ASKING    PROBE to all, members and seeds: until each has answered or cannot be reached;
 *                             probe_ns at the most, half of it once there are enough
 *        only_asks: ASKED
 *        a primary lives, somebody has more than we, too few answered: LOST. Nobody has promised yet
 *   ASKING --> OWN_SEAL       the first epoch of the term after all that was heard of: the host makes our own
 *                             promise durable, before anybody else is asked for one: who promises himself
 *                             to us is not to be bound to a node that has forgotten it
 *   OWN_SEAL --> SEALING      SEAL to all who have answered, and to those who answer late; each tells what it
 *                             has now that it takes nothing more
 *   SEALING --> WON           enough have promised (members_enough()), and nobody has more than we
 *           --> LOST          until limit_ns (from the begin) too few did; or one has more. What was promised
 *                             stays so: nobody of a lower epoch is followed, and the next attempt, of any
 *                             node, takes a higher one
 *
 * Who stands above us: whose log ends in a history of a later epoch, or in ours at a higher LSN. One that
 * ends in another history of our own epoch (a rival's, of whom at most one could acknowledge) is like
 * one not heard of.
 *
 * A primary that lives, serves, and knows no lower epoch than we is left alone; also if it answers only when
 * promises are being given: then it is not asked for its own, and if that is needed, the promotion is lost.
 *
 * Two at once: who has promised himself to another says so. We go on if enough promised us and those left are
 * not enough for anybody else; otherwise both may be lost.
 *
 * force: without those who cannot be reached, in place of a primary that lives, and though somebody has more,
 * unless that one could take our place: a replica that serves. The text says what may be lost.
 *
 * A session that ends without an answer, or cannot be opened, is begun again a few times while there is time:
 * with the other secret, if there are two. What comes is judged as hostile; who refuses us, is of another
 * cluster or not in order is like one not heard of, and the text says why.
 */
#ifndef WILD_PROMOTION_H
#define WILD_PROMOTION_H

#include "channel.h"
#include "member.h"
#include "replication_counters.h"

struct promotion;

enum {
    PROMOTION_SEEDS_MAX = 16,
    PROMOTION_PEERS_MAX = MEMBERS_MAX + PROMOTION_SEEDS_MAX,
    PROMOTION_TEXT_BYTES = 1024,
};
#define PROMOTION_PROBE_NS UINT64_C(1000000000)
#define PROMOTION_LIMIT_NS UINT64_C(2000000000)

struct promotion_host {
    void *state;
    /*
     * Begins to open a stream to the replication port of peer number `index`. promotion_connected() may
     * follow; promotion_link_closed() does, just once, also where the promotion has closed or aborted the
     * link itself. Neither from inside, nor from inside any function of the link. False: not now: as if it
     * had failed. An attempt that takes longer than probe_ns, or than the promotion, is of no use any more.
     */
    bool (*connect)(void *state, unsigned index, const uint8_t address[16], uint16_t port);
};

struct promotion_config {
    const struct role_keys *keys[2]; /* borrowed, as all pointers here; keys[1] may be NULL */
    const struct random_source *random;
    struct session_keys *session_keys; /* PROMOTION_PEERS_MAX, in an arena */
    struct replication_counters *counters;
    struct promotion_host host;
    uint64_t probe_ns, limit_ns; /* 0: as above. limit_ns is the longer one */
};

struct promotion *promotion_create(const struct promotion_config *config); /* NULL: memory is short */
/* Links that are left are aborted. */
void promotion_destroy(struct promotion *promotion);

/* ---- orders ---- */

/* Where a log ends: all of it. */
struct promotion_tail {
    uint32_t epoch;        /* of its last history; 0: none */
    uint64_t history, lsn; /* that history's id, the last change */
};

/* Somebody who may be a member, or know one (--peer, the primary that was followed); node id unknown. Our own
 * address may be among them. */
struct promotion_seed {
    uint8_t address[16]; /* IPv4 mapped */
    uint16_t port;       /* replication port, host order */
};

struct promotion_order {
    uint8_t cluster_id[CLUSTER_ID_BYTES]; /* not zero */
    uint64_t own_id;
    uint32_t history_epoch, sealed_epoch; /* that this node knows, has promised; 0: none */
    /* The last whole list in our log. count 0: none is there, then it takes force, or sole. */
    const struct member_list *list; /* read in promotion_begin() only, like seed */
    bool sole;                      /* every history that is known was opened by this node */
    const struct promotion_seed *seed;
    unsigned seeds;
    /* With all that is on its way to our disk. */
    struct promotion_tail own;
    /* The primary that hands its place over to us: that it lives is not in the way. 0: none does. */
    uint64_t yields;
    bool force;
    bool only_asks;
};

/*
 * False: links of the last one are left (promotion_links()). Unless it only asks, this node follows nobody
 * and leads nobody while it runs: its log takes nothing more. Its table is whole.
 */
bool promotion_begin(struct promotion *promotion, const struct promotion_order *order, uint64_t mono_ns);
/* Ends it, whatever has come of it; IDLE. Links are closed; promotion_turn() goes on until none is left. */
void promotion_stop(struct promotion *promotion);

/* ---- this node's own promise ---- */

/* True: it is asked for, of that epoch, until promotion_sealed() or the promotion has ended. */
bool promotion_wants_seal(const struct promotion *promotion, uint32_t *epoch);
/* (epoch, own_id) is in our folder's meta, durably, and all that our log holds is durable: own. */
void promotion_sealed(struct promotion *promotion, const struct promotion_tail *own);
/* We have promised ourselves to another, of a higher epoch: from that moment on ours is worth nothing. LOST,
 * unless it only asks. (Who has WON minds that himself, until he leads.) */
void promotion_overruled(struct promotion *promotion, uint32_t epoch, uint64_t node_id);

/* ---- links ---- */

void promotion_connected(struct promotion *promotion, unsigned index, const struct link *link);
void promotion_received(struct promotion *promotion, unsigned index, uint8_t *bytes, size_t length);
void promotion_writable(struct promotion *promotion, unsigned index);
/* It could not be opened, or is gone, or the peer sends no more. */
void promotion_link_closed(struct promotion *promotion, unsigned index);
/* That are there, or being opened. */
unsigned promotion_links(const struct promotion *promotion);

/* Things done: 0 means idle. */
unsigned promotion_turn(struct promotion *promotion, uint64_t mono_ns);

/* ---- what comes of it ---- */

enum promotion_state {
    PROMOTION_IDLE,
    PROMOTION_RUNS,
    PROMOTION_ASKED, /* it only asked; why: what would be in the way */
    PROMOTION_WON,   /* this node may open a history of that epoch */
    PROMOTION_LOST,
};

enum promotion_why {
    PROMOTION_NONE,
    PROMOTION_LIVE_PRIMARY,   /* leader */
    PROMOTION_OVERTAKEN,      /* `node` knows a history of an epoch not below ours; leader, if one said so */
    PROMOTION_RIVAL,          /* `node` has promised itself to another; ASKED: an epoch above ours */
    PROMOTION_MORE_ELSEWHERE, /* `node` has more, up to lsn */
    PROMOTION_TOO_FEW,
    PROMOTION_NOT_SEALED, /* our own promise did not become durable in time */
    PROMOTION_NO_EPOCH,   /* no term is left */
};

/* A node that answered. */
struct promotion_node {
    uint64_t node_id;     /* 0: none */
    uint8_t address[16];  /* that it was asked at */
    uint16_t port;        /* and its replication port, host order */
    uint16_t client_port; /* as our list has it; 0: not known */
};

struct promotion_result {
    enum promotion_state state;
    enum promotion_why why;
    uint32_t epoch;         /* WON, and LOST after it was promised to us: of this promotion; else 0 */
    uint32_t highest_epoch; /* that was heard of, known or promised, here or elsewhere */
    uint64_t lsn;
    struct promotion_node node, leader;
    unsigned asked, heard, promised; /* nodes but for this one */
    /* One line for the operator, of printable ASCII. WON: who promised, and with force what may be lost. */
    char text[PROMOTION_TEXT_BYTES];
};
/* As it stands; good until the next call of any function here. */
const struct promotion_result *promotion_result(const struct promotion *promotion);

#endif
