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
#include "net/endpoint.h"

struct node;
struct promotion;

enum node_part {
    PART_ALONE,
    PART_FOLLOWS,
    PART_ASKS,
    PART_OPENS,
    PART_LEADS,
    PART_YIELDS,
    PART_FENCED,
};

/* OPENS: what is waited for. */
enum node_opening { OPENING_META, OPENING_LOG, OPENING_BLOCK };

struct node_role {
    enum node_part part;
    uint64_t since_ns;   /* mono_ns when it began */
    uint64_t generation; /* of the workers', when no more writes were allowed; node_quiescent() */
    enum node_opening opening;
    uint32_t epoch;     /* OPENS */
    bool settled;       /* FENCED */
    bool ordered;       /* an order of the operator's waits for how it ends */
    uint64_t yields_to; /* YIELDS: a node id */
    /* Whom to follow, once FENCED is settled, or a sealed replica's session has ended: who has sealed us. */
    struct address next;
    uint16_t next_port; /* host order; 0: not known */
};

#endif
