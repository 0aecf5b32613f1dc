/*
 * node_log_follow.c - a replica's own log: what replication/ wants of one (replica_log.h), by the durable log, the
 * housekeeper and the folder's meta.
 */
#include <string.h>

#include "node_internal.h"

#define ADOPTION_RETRY_NS UINT64_C(1000000000)

/* ---- histories ---- */

static bool same_histories(const struct meta *a, const struct meta *b)
{
    return a->count == b->count && memcmp(a->cluster_id, b->cluster_id, sizeof a->cluster_id) == 0 &&
           memcmp(a->history, b->history, a->count * sizeof a->history[0]) == 0;
}

static bool has_history(const struct meta *meta, uint64_t id)
{
    for (unsigned i = 0; i < meta->count; i++)
        if (meta->history[i].id == id)
            return true;
    return false;
}

/*
 * Whether our log ends in a history that is on no primary's line: one that this node has opened as a primary, and changed
 * nothing in. Its readers know a log by its histories, so that log cannot go on with theirs.
 */
static bool strays(const struct node_log *log, const struct meta *theirs)
{
    const struct meta *ours = &log->meta.now;

    if (has_history(theirs, log->following.history))
        return false;
    for (unsigned i = 0; i < ours->count; i++)
        if (ours->history[i].id == log->following.history)
            return ours->history[i].first_lsn >= theirs->history[0].first_lsn;
    return false; /* of more starts ago than anybody can tell */
}

/* What the primary has told, in a folder that stays ours. */
static void take_histories(struct meta *meta, const struct meta *theirs)
{
    memcpy(meta->cluster_id, theirs->cluster_id, sizeof meta->cluster_id);
    meta->count = theirs->count;
    memcpy(meta->history, theirs->history, sizeof meta->history);
}

/* ---- an adoption ---- */

static void begin_adoption(struct node_log *log, const struct meta *histories, uint64_t history,
                           uint64_t last_lsn, uint64_t next_lsn)
{
    struct node_log_following *following = &log->following;
    struct adoption *order = &following->adoption;
    uint64_t base = housekeeper_next_base(log->housekeeper);

    *order = (struct adoption){.meta = log->meta.now,
                               .start = {.segment = base, .next_lsn = next_lsn, .history = history},
                               .wall_ms = log->now.wall_ms,
                               .keep_tail = following->keep_tail,
                               .common_lsn = following->common_lsn};
    take_histories(&order->meta, histories);
    do
        random_fill(&log->node->config.random, &order->meta.stamp, sizeof order->meta.stamp);
    while (order->meta.stamp == 0);
    /* The writer begins in the segment behind `start`. */
    following->begin = (struct durable_log_begin){.start = {.segment = base - 1},
                                                  .history = history,
                                                  .next_lsn = next_lsn,
                                                  .durable_lsn = last_lsn,
                                                  .stamp = order->meta.stamp};
    memcpy(following->begin.cluster_id, order->meta.cluster_id, sizeof following->begin.cluster_id);
    following->history = history;
    following->adopting = ADOPTING_TO_BEGIN;
    following->adoption_retry_ns = 0;
}

/* An adoption was given up, and may have come to its end before that was known. */
static void note_switch(struct node_log *log)
{
    struct meta *now = &log->meta.now;
    const struct meta *then = &log->following.adoption.meta;
    uint64_t stamp = housekeeper_facts(log->housekeeper).stamp;

    if (stamp == now->stamp || stamp != then->stamp)
        return;
    now->stamp = stamp;
    take_histories(now, then);
}

/* The folder is switched to the new log. Sealed and members are ours, and may have changed meanwhile. */
static void adopted(struct node_log *log)
{
    struct node_log_following *following = &log->following;
    struct meta *now = &log->meta.now;
    const struct meta *then = &following->adoption.meta;

    now->stamp = then->stamp;
    take_histories(now, then);
    following->adopting = ADOPTING_NOT;
    following->keep_tail = false;
    logger_line(&log->node->config.logger, LOG_LEVEL_INFO, "%s: a log of our own goes on from lsn %llu",
                log->node->config.log.folder, (unsigned long long)following->begin.durable_lsn);
}

/* A tail that nobody follows was set aside. */
static void tell_tail(struct node_log *log)
{
    struct housekeeper_facts facts = housekeeper_facts(log->housekeeper);

    if (facts.tail_stamp == log->following.told_tail)
        return;
    log->following.told_tail = facts.tail_stamp;
    logger_line(
        &log->node->config.logger, LOG_LEVEL_WARNING,
        "%s: changes after lsn %llu, which no primary has, are set aside: kept-tail-%016llx-..., %llu segments",
        log->node->config.log.folder, (unsigned long long)log->following.common_lsn,
        (unsigned long long)facts.tail_stamp, (unsigned long long)facts.tail_segments);
}

/* It is asked for until it has come to something: a disk that is full has room one day. */
static unsigned mind_adoption(struct node_log *log)
{
    struct node_log_following *following = &log->following;
    struct housekeeper_facts facts = housekeeper_facts(log->housekeeper);

    switch (following->adopting) {
    case ADOPTING_TO_BEGIN:
        following->begun = durable_log_begin(log->log, &following->begin);
        if (following->begun)
            following->adopting = ADOPTING_TO_ASK;
        return following->begun;
    case ADOPTING_TO_ASK:
        if (log->now.mono_ns < following->adoption_retry_ns)
            return 0;
        /* Again: from where the log is by now, so that what the first try has waited for need not be replayed. */
        if (following->adoption_retry_ns != 0 && !durable_log_position(log->log, &following->adoption.start))
            return 0;
        if (!housekeeper_adopt(log->housekeeper, &following->adoption))
            return 0;
        following->adopting = ADOPTING_ASKED;
        return 1;
    case ADOPTING_ASKED:
        if (facts.adoption == ADOPTION_DONE) {
            adopted(log);
        } else if (facts.adoption == ADOPTION_FAILED) {
            if (!following->failure_told)
                logger_line(&log->node->config.logger, LOG_LEVEL_ERROR,
                            "%s: what the primary has sent cannot be kept here: %s; it is tried again",
                            log->node->config.log.folder, strerrordesc_np(-facts.adoption_error));
            following->failure_told = true;
            following->adopting = ADOPTING_TO_ASK;
            following->adoption_retry_ns = log->now.mono_ns + ADOPTION_RETRY_NS;
        } else {
            return 0;
        }
        return 1;
    default:
        return 0;
    }
}

/* ---- where it ends, and begins ---- */

uint64_t node_log_tail_lsn(const struct node_log *log)
{
    const struct node_log_following *following = &log->following;

    if (following->giving_up || following->straying || following->adopting != ADOPTING_NOT)
        return following->tail_lsn;
    return following->durable_lsn != 0 ? meta_last_lsn(&log->meta.now, following->durable_lsn + 1) : 0;
}

void node_log_open_following(struct node_log *log, const struct recovery_facts *found)
{
    struct node *node = log->node;
    struct replica_place at = {
        .history = found->history, .last_lsn = found->lsn, .next_lsn = found->next_lsn};

    node_identify(node, found->meta.cluster_id, found->meta.node_id);
    log->following.begun = found->history != 0;
    log->following.history = found->history;
    if (found->history == 0)
        at = (struct replica_place){.next_lsn = 1};
    replica_recovered(node->replication.following.replica, &found->meta, &at);
}

bool node_log_rests(const struct node_log *log)
{
    const struct node_log_following *following = &log->following;

    if (following->giving_up)
        return following->given_up;
    return following->adopting == ADOPTING_NOT && !following->straying && node_log_all_durable(log);
}

bool node_log_end_following(struct node_log *log)
{
    replica_stop(log->node->replication.following.replica);
    return log->following.begun;
}

/* ---- replica_log.h ---- */

static bool ended(struct node_log *log)
{
    struct node_log_following *following = &log->following;

    if (following->begun && durable_log_finished(log->log))
        following->begun = false;
    return !following->begun;
}

/* In two steps, where the log cannot go on: it is ended, then another is begun from the table as it is,
 * whether the session that asked for it is still there or not: nothing can be written in between. */
static void begin_to_stray(struct node_log *log, const struct meta *theirs)
{
    struct node_log_following *following = &log->following;

    following->strays_to = *theirs;
    following->tail_lsn = node_log_tail_lsn(log);
    following->straying = true;
    if (following->begun)
        durable_log_finish(log->log);
}

static void mind_straying(struct node_log *log)
{
    struct node_log_following *following = &log->following;

    if (!following->straying || !ended(log) || !housekeeper_give_up(log->housekeeper))
        return;
    following->straying = false;
    struct replica_place at = replica_place(log->node->replication.following.replica);
    apply_take_back(log->node->replication.following.apply,
                    at.next_lsn); /* or its snapshot would wait for that */
    begin_adoption(log, &following->strays_to, at.history, at.last_lsn, at.next_lsn);
}

static bool learn(void *state, const struct meta *theirs)
{
    struct node_log *log = state;

    if (log->following.adopting != ADOPTING_NOT || log->following.giving_up || log->following.straying)
        return false;
    if (same_histories(&log->meta.now, theirs))
        return node_meta_durable(&log->meta);
    if (strays(log, theirs)) {
        begin_to_stray(log, theirs);
        return false;
    }
    take_histories(&log->meta.now, theirs);
    node_meta_changed(&log->meta);
    return false;
}

static bool room(void *state)
{
    const struct node_log *log = state;

    return log->following.begun && !log->following.giving_up && durable_log_room(log->log);
}

static bool append(void *state, uint64_t history, uint64_t first_lsn, const uint8_t *records, size_t bytes,
                   uint32_t count)
{
    struct node_log *log = state;

    if (!room(state) || !durable_log_append(log->log, history, first_lsn, records, bytes, count))
        return false;
    log->following.history = history;
    return true;
}

static void give_up(void *state, bool keep_tail, uint64_t common_lsn)
{
    struct node_log *log = state;
    struct node_log_following *following = &log->following;

    following->tail_lsn = node_log_tail_lsn(log);
    members_forget(&log->node->replication.leading.members); /* the folder's log has its list still */
    /* Of an adoption that has not come to its end the folder still has the tail: whoever has begun anew since does not know. */
    if (keep_tail && (!following->keep_tail || common_lsn < following->common_lsn))
        following->common_lsn = common_lsn;
    following->keep_tail |= keep_tail;
    following->straying = false;
    following->giving_up = true;
    following->given_up = false;
    following->adopting = ADOPTING_NOT;
    if (following->begun)
        durable_log_finish(log->log);
}

static bool given_up(void *state)
{
    struct node_log *log = state;
    struct node_log_following *following = &log->following;

    if (following->giving_up && !following->given_up && ended(log) && housekeeper_give_up(log->housekeeper)) {
        note_switch(log);
        following->given_up = true;
    }
    return following->given_up;
}

static void adopt(void *state, const struct meta *histories, uint64_t history, uint64_t last_lsn,
                  uint64_t next_lsn)
{
    struct node_log *log = state;
    const struct members *members = &log->node->replication.leading.members;

    log->following.giving_up = false;
    log->meta.now.members = members->list.count > 0 ? members->list : (struct member_list){0};
    begin_adoption(log, histories, history, last_lsn, next_lsn);
}

static uint64_t durable(void *state)
{
    return ((const struct node_log *)state)->following.durable_lsn;
}

struct replica_log node_log_of_replica(struct node_log *log)
{
    return (struct replica_log){.state = log,
                                .learn = learn,
                                .room = room,
                                .append = append,
                                .give_up = give_up,
                                .given_up = given_up,
                                .adopt = adopt,
                                .durable = durable};
}

/* ---- ... and its turn ---- */

/* What is written to a folder that was not in its place once is found by no start. */
static void mind_durable(struct node_log *log)
{
    struct node_log_following *following = &log->following;

    if (following->adopting != ADOPTING_NOT || !following->begun)
        following->durable_lsn = 0;
    else if (!atomic_load_explicit(&log->shown.folder_gone, memory_order_relaxed))
        following->durable_lsn = durable_log_facts(log->log).durable_lsn;
}

unsigned node_log_following_turn(struct node_log *log)
{
    const struct node_log_following *following = &log->following;

    mind_durable(log);
    tell_tail(log);
    mind_straying(log);
    (void)given_up(log); /* also where the bootstrap that asked for it has been broken off */
    unsigned done = mind_adoption(log);
    bool folder_is_ours =
        following->adopting == ADOPTING_NOT && (!following->giving_up || following->given_up);
    return done + node_meta_turn(&log->meta, log->housekeeper, !folder_is_ours, log->now.mono_ns);
}
