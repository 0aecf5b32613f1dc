/*
 * members.h - the members of a cluster: who counts for --min-replicas K, and for a promotion. The list is
 * in the log (store/member.h); the primary's control lcore writes it, everybody goes by the last whole one
 * in his own log, from the moment it is there.
 *
 * A write is acknowledged when the primary and K more members of N have it on stable storage; a promotion
 * needs the promises (SEAL) of N-K, the node itself included. Two such sets have a member in common, who
 * either promised first, and then said no more to the old primary, or has the write, and then stands above
 * a node that lacks it, which is not promoted. Why that holds while the list or K changes:
 *
 *   1. A list that differs says so: it carries the nodes and the K of both, old and new (JOINS, LEAVES). While it
 *      is the last, acknowledging takes K+1 of N in the new AND in the old; promising N-K in both. So any two
 *      sets meet if their lists are neighbours in the log, or the same: they share old or new.
 *   2. The list in which all STAY follows only when that one is acknowledged, by both; the next change only after
 *      that. So who goes by a list two or more behind finds, among those whom he asks, one that has a later
 *      list: it stands above him. One change at a time is enough, and K may change like the nodes.
 *   3. Of a list with N <= K no write can be acknowledged. Its own record, so that a cluster can begin and be
 *      mended, takes all N then (and N-K is 1 at the least): these sets meet, too.
 *   4. What was there before a history began counts once something of that history is on K+1 (of the primary itself,
 *      where no other is needed, its first mark is): a node whose log ends in a later history stands above, whatever
 *      LSN it has. Older changes that counted only by where they lie could be overruled by one that was primary in
 *      between.
 *   5. Epochs (store/epoch.h). A promotion's term is promised to one node, durably, before that is said: two at
 *      once hinder each other, never both acknowledge; what was promised holds after a crash. A partitioned
 *      primary finds no K members that still follow it; its restarts stay within its term, below every promise.
 *      At K = 0 it may go on alone until it is reached: a promotion without it takes --force, and says so.
 *   6. members_may_start(): who starts as primary without asking must be the one whom the last term belongs to,
 *      and has promised nothing since, not to himself either: all that was acknowledged in that term is in its log.
 *
 * A removal by force counts at once: the operator vouches that the node will never be heard of again.
 * With --replica-ack applied nothing is promised about promotions: the list's K is 0.
 */
#ifndef WILD_MEMBERS_H
#define WILD_MEMBERS_H

#include "meta.h"

enum { MEMBERS_PEERS_MAX = MEMBERS_MAX - 1, MEMBERS_LEFT_MAX = 8 };

/* A replica with a log, as the primary's session with it says. */
struct members_peer {
    struct member member; /* part is not used */
    uint64_t durable_lsn; /* of our log, on its stable storage */
    uint64_t
        snapshot_lsn; /* its session began with our snapshot from there: it has no list from before. 0: it has */
    bool has_all;     /* it has caught up: it may be a member */
};

struct members_removal {
    uint64_t node_id; /* 0: none is asked for */
    bool force;
};

/* Owner: the control lcore. No pointers: it may be copied. */
struct members {
    struct member_list list; /* the last whole one in our log; count 0: none */
    struct member_collector collector;
    uint64_t own_id;
    /* leading */
    bool leads;
    struct member self;
    uint16_t min_replicas; /* as the operator wants it */
    uint64_t first_lsn;    /* of the history that we write */
    struct members_removal removal;
    uint64_t left[MEMBERS_LEFT_MAX]; /* removed while their sessions were there: they do not join by those */
};

/* list: as meta has it. */
void members_init(struct members *members, uint64_t own_id, const struct member_list *list);
/* A record of type LOG_MEMBER of the log that is followed. True: the list is another; meta is to have
 * it. */
bool members_take(struct members *members, const struct log_record *record);
/* The log is given up for a snapshot: no list is known until one comes with the log. */
void members_forget(struct members *members);

/* ---- leading ---- */

/* A history of ours begins, with that LSN. self: as the list shall have it, K as it shall be. */
void members_lead(struct members *members, const struct member *self, uint16_t min_replicas,
                  uint64_t first_lsn);
void members_stop_leading(struct members *members);

/* execute_members() of a context of the caller's: false: not now. */
struct members_log {
    void *state;
    bool (*write)(void *state, struct member_list *list);
};
/*
 * Writes the list that is due, if there is one: the first of the history, at the first turn, which must
 * come before any client's change; then what changes, one thing at a time. True: the list is another; meta
 * is to have it before a snapshot that begins after list.first_lsn is published.
 */
bool members_turn(struct members *members, const struct members_log *log, uint64_t durable_lsn,
                  const struct members_peer *peers, unsigned count);
/*
 * Up to where changes are acknowledged. durable_lsn: here. 0: too few members are there, or nothing of this
 * history is with enough of them yet; the caller keeps what was acknowledged before.
 */
uint64_t members_acknowledged_lsn(const struct members *members, uint64_t durable_lsn,
                                  const struct members_peer *peers, unsigned count);
/* Asks for a removal. 0: at one of the next turns; -ENOENT: not a member; -EINVAL: this node; -EBUSY:
 * another change is under way, and it is no removal by force. */
int members_remove(struct members *members, uint64_t node_id, bool force);

/* ---- promises ---- */

/* How many of those count in the list: the promises of `ids` (each once, the promoted node included) are
 * enough. */
bool members_enough(const struct member_list *list, const uint64_t *ids, unsigned count);
/* Whether it counts: it is not on its way in. */
bool members_counts(const struct member_list *list, uint64_t node_id);

enum members_start {
    MEMBERS_START_LEADS, /* a history of the next start (epoch_of_start()) */
    MEMBERS_START_ASKS,  /* only by promotion */
};
/* What a node may do that is started as primary on a folder with this meta. Its own id stands there. */
enum members_start members_may_start(const struct meta *meta);

#endif
