/*
 * node_role.h - the part that a running node plays, and how it comes to play another. Owner: the control lcore, whose turn
 * it is one step of; nothing waits.
 *
 *   ALONE     no replication
 *   FOLLOWS   a replica
 *   ASKS      a promotion: nobody is followed; members promise themselves, or do not (promotion.h)
 *   OPENS     the new history is made durable: in the folder's meta, then as the log's next block
 *   LEADS     a primary
 *   YIELDS    no more writes; the last ones are acknowledged, and whom the operator named has them all; it is told to
 *             promote itself
 *   FENCED    another was promised a higher epoch: nothing is acknowledged any more. Once nothing of ours is on its way it
 *             is settled: what the log holds is known, and it may follow
 *
 *   FOLLOWS --promote--> ASKS --enough promises--> OPENS --durable--> LEADS
 *              ^          |--not enough--> FOLLOWS, or FENCED where it led before
 *              |
 *   LEADS --demote--> YIELDS --who was named seals--> FENCED --settled--> FOLLOWS (the one who sealed)
 *     ^                 |--it does not, in time--> LEADS
 *     '-- any LEADS, YIELDS --sealed by another, or heard of a higher epoch--> FENCED
 *   FENCED --follow, or who sealed leads--> FOLLOWS        FENCED --promote--> ASKS
 *
 * Clients keep their sessions through all of it. Workers see published_state: the mode and the state change in one word, and
 * a step that depends on their having seen it waits until each has begun another turn.
 */
#ifndef WILD_NODE_ROLE_H
#define WILD_NODE_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include "instant.h"
#include "meta.h"
#include "primary.h"
#include "promotion.h"
#include "recovery.h"

struct node;
struct node_order;

enum node_part {
    PART_ALONE,
    PART_FOLLOWS,
    PART_ASKS,
    PART_OPENS,
    PART_LEADS,
    PART_YIELDS,
    PART_FENCED,
};

enum { NODE_ROLE_WHY_BYTES = 512 };

/* OPENS: what is waited for. */
enum node_opening { OPENING_META, OPENING_LOG, OPENING_BLOCK };

/* A promise that is asked of us (SEAL). */
struct node_promise {
    uint32_t epoch; /* 0: none is */
    uint64_t node_id;
    bool asked; /* the folder's meta has it, not durably yet */
};

struct node_role {
    enum node_part part;
    uint64_t since_ns;   /* mono_ns when it began */
    uint64_t generation; /* of the workers', when no more writes were allowed; node_quiescent() */
    enum node_opening opening;
    bool entered;       /* OPENS: the folder's meta is to have the history */
    uint32_t epoch;     /* OPENS: of the history. YIELDS: that was promised; 0: none yet */
    bool settled;       /* FENCED */
    bool ordered;       /* an order of the operator's waits for how it ends */
    bool asking, force; /* ASKS: the promotion runs; as it was ordered */
    bool to_lead;       /* FENCED from its start, though started as a primary: it asks again and again */
    enum node_part asked_from;
    uint64_t yields_to; /* YIELDS: a node id */
    uint64_t yielded;   /* the primary that has told us to take its place: a node id; 0: none */
    bool handed_over;   /* YIELDS: it was told */
    struct node_promise promise;
    struct promotion_node
        follow_next; /* who has our promise, or leads, is to be asked for its log; port 0: nobody */
    bool surveys;    /* members are being asked how they stand */
    uint64_t survey_due_ns;
    char why[NODE_ROLE_WHY_BYTES]; /* FENCED, and why it does not lead; "" */
    char won[NODE_ROLE_WHY_BYTES]; /* OPENS: who has promised; "": nobody was asked */
};

/* Before the node's log is read. */
void node_role_start(struct node *node);
/* The log is begun where recovery says. */
void node_role_recovered(struct node *node, const struct recovery_facts *found);
/* Things done: 0 means idle. */
unsigned node_role_turn(struct node *node);

/* Its log is another's: what is applied goes into it. (OPENS: until its own history is entered.) */
bool node_role_follows(const struct node *node);
/* The history is open; false: whether others have led since is being asked, or they have. */
bool node_role_may_serve(struct node *node);
/* What is durable may be acknowledged. */
bool node_role_acknowledges(const struct node *node);

/* PROMOTE, DEMOTE, FOLLOW, REMOVE_MEMBER. */
void node_role_order(struct node *node, const struct node_order *order);
/* The log's new history is durable: it leads. */
void node_role_leads(struct node *node);

/* It asks for promises; what comes of it ends the order, or is a line of the log. FOLLOWS, or FENCED and settled. */
void node_role_ask(struct node *node, bool force);
/* It acknowledges nothing any more, if it did. */
void node_role_fence(struct node *node, const char *why);
/* A promise that may be given: true once it is durable, and all that it says holds. Again every turn. */
bool node_role_promise(struct node *node, uint32_t epoch, uint64_t node_id);

/* ---- node_role_seat.c ---- */

/* What this node answers to one that wants to be primary. */
struct primary_seat node_role_seat(struct node *node);
/* Where our log ends, on stable storage. */
struct promotion_tail node_role_tail(const struct node *node);
/* Of the last history that is known here; 0: none. */
uint32_t node_role_epoch(const struct node *node);

#endif
