/*
 * replica_own.c - a replica's own log: what comes is written there first, and a bootstrap begins another.
 *
 * What is given up. The folder holds `own` until a log has been adopted; the table may be of another line long before. A
 * bootstrap may end halfway and the next be another primary's; an adoption may have come to its end without our having seen
 * that. So a tail that any WELCOME has shown is kept until an adoption has ended, from the lowest place on.
 */
#include "lineage.h"
#include "replica_internal.h"

#include <string.h>

#include "check.h"

/* ---- what it begins with ---- */

void replica_recovered(struct replica *replica, const struct meta *meta, const struct replica_place *at)
{
    const struct history *last = meta->count > 0 ? &meta->history[meta->count - 1] : NULL;
    bool whole = at->history != 0;

    CHECK(replica->phase == REPLICA_WAITING && !replica->link_there);
    replica->config.node_id = meta->node_id;
    memcpy(replica->cluster_id, meta->cluster_id, CLUSTER_ID_BYTES);
    replica->histories = *meta;
    replica->epoch = last != NULL ? last->epoch : 0;
    replica->epoch_node = last != NULL ? last->node_id : 0;
    replica_sealed(replica, meta->sealed_epoch, meta->sealed_node);
    replica->begin_anew = false;
    replica->refusal[0] = '\0';
    replica->data = whole ? REPLICA_DATA_WHOLE : REPLICA_DATA_NONE;
    replica->at = whole ? *at : (struct replica_place){.next_lsn = 1};
    replica->floor_lsn = replica->at.last_lsn;
    replica->primary_lsn = replica->acknowledged_lsn = replica->point_lsn = replica->behind_ns = 0;
    replica->serving = replica->published = false;
    replica->adopting = replica->keep_tail = false;
    replica->own.held = replica_has_log(replica) && meta->count > 0;
    replica->own.line = *meta;
    replica->own.last_lsn = replica->at.last_lsn;
}

struct replica_place replica_place(const struct replica *replica)
{
    return replica->at;
}

void replica_own_resume(struct replica *replica)
{
    replica->learning = replica_has_log(replica);
}

/* ---- giving up ---- */

static void judge_one(struct replica *replica, const struct meta *ours, uint64_t last_lsn,
                      const struct meta *theirs, uint64_t durable_lsn)
{
    uint64_t common_lsn = lineage_common(ours, last_lsn, theirs, durable_lsn);

    if (last_lsn <= common_lsn || (replica->keep_tail && replica->tail_lsn <= common_lsn))
        return;
    replica->keep_tail = true;
    replica->tail_lsn = common_lsn;
}

void replica_own_judge(struct replica *replica, const struct meta *theirs, uint64_t durable_lsn)
{
    if (replica->own.held)
        judge_one(replica, &replica->own.line, replica->own.last_lsn, theirs, durable_lsn);
    if (replica->adopting && replica_is_whole(replica))
        judge_one(replica, &replica->histories, replica->at.last_lsn, theirs, durable_lsn);
}

void replica_own_give_up(struct replica *replica)
{
    const struct replica_log *log = &replica->config.log;

    if (!replica_has_log(replica))
        return;
    replica->adopting = false;
    if (replica->keep_tail)
        replica_tell_tail(replica);
    log->give_up(log->state, replica->keep_tail, replica->tail_lsn);
}

bool replica_own_given_up(struct replica *replica)
{
    const struct replica_log *log = &replica->config.log;

    return !replica_has_log(replica) || log->given_up(log->state);
}

/* ---- beginning another ---- */

bool replica_own_adopt(struct replica *replica)
{
    const struct replica_log *log = &replica->config.log;
    struct replica_place at = replica->at;

    if (!replica_has_log(replica))
        return true;
    if (at.history == 0) {
        const struct history *oldest = &replica->histories.history[0];
        if (at.last_lsn != 0)
            return false; /* of a history that the primary has no room to name: a log cannot begin with it */
        at = (struct replica_place){.history = oldest->id, .next_lsn = oldest->first_lsn};
    }
    replica->adopting = true;
    log->adopt(log->state, &replica->histories, at.history, at.last_lsn, at.next_lsn);
    return true;
}

void replica_own_look(struct replica *replica)
{
    const struct replica_log *log = &replica->config.log;

    if (!replica->adopting || log->durable(log->state) == 0)
        return;
    replica->adopting = replica->keep_tail = false;
    replica->own.held = true;
    replica->own.line = replica->histories;
    replica->own.last_lsn = replica->at.last_lsn;
}

/* ---- going on ---- */

bool replica_may_take(struct replica *replica)
{
    const struct replica_log *log = &replica->config.log;
    bool may = true;

    if (replica_has_log(replica) && replica->phase == REPLICA_FOLLOWING) {
        replica_own_look(replica);
        if (replica->learning && log->learn(log->state, &replica->histories)) {
            replica->learning = false;
            replica->own.line = replica->histories;
            replica->own.held = true;
        }
        may = !replica->learning && log->room(log->state);
    }
    if (!may && !replica->waits)
        replication_count(replica->config.counters, REPLICATION_log_waits, 1);
    replica->waits = !may;
    return may;
}

bool replica_own_append(struct replica *replica, uint64_t history, uint64_t first_lsn, const uint8_t *records,
                        size_t bytes, uint32_t count)
{
    const struct replica_log *log = &replica->config.log;

    if (!replica_has_log(replica))
        return true;
    if (!log->append(log->state, history, first_lsn, records, bytes, count))
        return false;
    if (!replica->adopting)
        replica->own.last_lsn = first_lsn + count - 1;
    return true;
}

/*
 * All of the log is durable: so is what goes before the history that it is in. What was told in this session stays true: a log
 * that is adopted from the table as it is says 0, but the folder keeps the old one until it has been switched.
 */
uint64_t replica_own_durable(const struct replica *replica)
{
    const struct replica_log *log = &replica->config.log;
    uint64_t lsn = replica_has_log(replica) && replica_is_whole(replica) ? log->durable(log->state) : 0;

    if (lsn != 0 && lsn >= replica->at.last_lsn)
        lsn = replica_reached_lsn(replica);
    return lsn > replica->acked_durable_lsn ? lsn : replica->acked_durable_lsn;
}

void replica_own_turn(struct replica *replica)
{
    if (!replica_has_log(replica))
        return;
    replica_own_look(replica);
    if (replica->learning) /* whether anything has come or not */
        (void)replica_may_take(replica);
    if (replica->phase == REPLICA_FOLLOWING && !replica->learning)
        replica->ack_due |= replica_own_durable(replica) > replica->acked_durable_lsn;
}
