/*
 * replica_log_fixture.h - a replica's own log, as a test plays it: slow, full, failing, and strict about the order in which
 * it is called.
 */
#ifndef WILD_TESTS_REPLICA_LOG_FIXTURE_H
#define WILD_TESTS_REPLICA_LOG_FIXTURE_H

#include "replica_fixture.h"

struct own_log {
    struct stage *stage;
    /* what it answers */
    bool learns, has_room, takes, gives_up;
    bool lazy; /* nothing becomes durable by itself */
    /* what it was told */
    struct meta histories;
    bool learned; /* since the last WELCOME that a test has seen */
    unsigned learn_asked, appends, records, give_ups, adopts;
    bool room_told; /* room() said true, and nothing was appended since */
    bool ended;     /* given up, and none adopted yet */
    bool adopting;
    bool keep_tail;
    uint64_t common_lsn;
    uint64_t history, next_lsn; /* of what comes next; next_lsn 0: anything */
    struct replica_place adopted;
    uint64_t durable_lsn;
};

static inline bool own_learn(void *state, const struct meta *histories)
{
    struct own_log *log = state;
    CU_ASSERT_FALSE(log->ended);
    log->learn_asked++;
    if (!log->learns)
        return false;
    log->histories = *histories;
    return true;
}

static inline bool own_room(void *state)
{
    struct own_log *log = state;
    CU_ASSERT_FALSE(log->ended);
    log->room_told = log->has_room;
    return log->has_room;
}

/* The records are those that follow, whole, and nobody can read them yet. */
static inline bool own_append(void *state, uint64_t history, uint64_t first_lsn, const uint8_t *records,
                              size_t bytes, uint32_t count)
{
    struct own_log *log = state;
    uint64_t lsn = first_lsn;
    CU_ASSERT(log->room_told && !log->ended && count > 0);
    log->room_told = false;
    if (!log->takes)
        return false;
    if (history == log->history)
        CU_ASSERT_EQUAL(first_lsn, log->next_lsn);
    CU_ASSERT(first_lsn >= log->next_lsn);
    for (size_t at = 0; at < bytes; lsn++) {
        struct log_record record;
        int whole = log_record_decode(&record, records + at, bytes - at);
        CU_ASSERT_FATAL(whole > 0);
        CU_ASSERT(record.lsn == lsn && !stage_has(log->stage, lsn));
        at += (size_t)whole;
    }
    CU_ASSERT_EQUAL(lsn - first_lsn, count);
    log->appends++;
    log->records += count;
    log->history = history;
    log->next_lsn = lsn;
    if (!log->lazy && !log->adopting)
        log->durable_lsn = lsn - 1;
    return true;
}

static inline void own_give_up(void *state, bool keep_tail, uint64_t common_lsn)
{
    struct own_log *log = state;
    log->give_ups++;
    log->ended = true;
    log->adopting = false;
    log->keep_tail = keep_tail;
    log->common_lsn = common_lsn;
    log->durable_lsn = 0;
}

static inline bool own_given_up(void *state)
{
    struct own_log *log = state;
    CU_ASSERT_TRUE(log->ended);
    return log->gives_up;
}

static inline void own_adopt(void *state, const struct meta *histories, uint64_t history, uint64_t last_lsn,
                             uint64_t next_lsn)
{
    struct own_log *log = state;
    CU_ASSERT(log->ended && log->gives_up && history != 0 && last_lsn < next_lsn);
    log->adopts++;
    log->ended = false;
    log->adopting = true;
    log->histories = *histories;
    log->adopted = (struct replica_place){history, last_lsn, next_lsn};
    log->history = history;
    log->next_lsn = next_lsn;
}

static inline uint64_t own_durable(void *state)
{
    struct own_log *log = state;
    return log->adopting ? 0 : log->durable_lsn;
}

/* The folder has been switched to the adopted log, which is durable to its end. */
static inline void own_switch(struct own_log *log)
{
    CU_ASSERT_TRUE_FATAL(log->adopting);
    log->adopting = false;
    log->durable_lsn = log->next_lsn - 1;
}

/* In place of stage_open(): the replica has this log. */
static inline void own_open(struct own_log *log, struct stage *s)
{
    stage_open(s);
    *log = (struct own_log){.stage = s, .learns = true, .has_room = true, .takes = true, .gives_up = true};
    replica_destroy(s->replica);
    s->config.log = (struct replica_log){.state = log,
                                         .learn = own_learn,
                                         .room = own_room,
                                         .append = own_append,
                                         .give_up = own_give_up,
                                         .given_up = own_given_up,
                                         .adopt = own_adopt,
                                         .durable = own_durable};
    s->replica = replica_create(&s->config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s->replica);
}

/* The folder had this much of the cluster's histories when the node started; of the first, the table has all. */
static inline void own_recovered(struct own_log *log, uint64_t history, uint64_t last_lsn)
{
    struct stage *s = log->stage;
    struct meta meta = {.node_id = 55, .stamp = 1, .count = s->welcome.histories};
    struct replica_place at = {history, last_lsn, last_lsn + 1};
    memcpy(meta.cluster_id, s->welcome.cluster_id, CLUSTER_ID_BYTES);
    for (unsigned i = 0; i < meta.count; i++)
        meta.history[i] = (struct history){.id = s->history[i].id,
                                           .first_lsn = s->history[i].first_lsn,
                                           .node_id = s->history[i].node_id,
                                           .before_lsn = s->history[i].before_lsn,
                                           .epoch = s->history[i].epoch};
    for (uint64_t lsn = STAGE_FIRST; lsn <= last_lsn && last_lsn < STAGE_SECOND; lsn++) {
        uint8_t bytes[LOG_RECORD_BYTES_MAX];
        size_t length = numbered_record(bytes, lsn, 20);
        CU_ASSERT_EQUAL_FATAL(apply_records(s->table.context, bytes, length), 0);
    }
    log->histories = meta;
    log->history = history;
    log->next_lsn = last_lsn + 1;
    log->durable_lsn = last_lsn;
    replica_recovered(s->replica, &meta, &at);
}

#endif
