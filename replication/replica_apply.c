/*
 * replica_apply.c - what comes from the primary is applied: snapshots to a table that is hidden from readers,
 * blocks of the log to one that they read. And what readers may be told meanwhile.
 */
#include "replica_internal.h"

#include <string.h>

#include "check.h"
#include "log_record.h"
#include "snapshot.h"
#include "wal_block.h"

/* ---- what readers may be told ---- */

/* NULL: it is none of the primary's, or one that its list has no room for any more. */
static const struct history *history_in(const struct meta *histories, uint64_t id)
{
    for (unsigned i = histories->count; i-- > 0;)
        if (histories->history[i].id == id)
            return &histories->history[i];
    return NULL;
}

void replica_publish(struct replica *replica)
{
    const struct history *history = history_in(&replica->histories, replica->at.history);
    struct replica_view view = {.history = replica->at.history,
                                .epoch = history != NULL ? history->epoch : 0,
                                .serving = replica->serving};

    if (replica->published && view.history == replica->view.history && view.epoch == replica->view.epoch &&
        view.serving == replica->view.serving)
        return;
    replica->published = true;
    replica->view = view;
    replica->config.host.publish(replica->config.host.state, &view);
}

static void tell_point(struct replica *replica, uint64_t lsn)
{
    replica->point_lsn = lsn;
    replica->config.host.point(replica->config.host.state, lsn);
}

/* Something was applied, or the primary has said more: who may read, and how far. */
static void look_anew(struct replica *replica)
{
    uint64_t reached = replica_reached_lsn(replica);
    uint64_t told =
        replica->primary_lsn > replica->acknowledged_lsn ? replica->primary_lsn : replica->acknowledged_lsn;
    uint64_t point = reached < replica->acknowledged_lsn ? reached : replica->acknowledged_lsn;

    if (reached >= told)
        replica->behind_ns = 0;
    else if (replica->behind_ns == 0)
        replica->behind_ns = replica->now_ns;
    if (!replica_is_whole(replica))
        return;
    if (replica->serving) {
        if (point > replica->point_lsn)
            tell_point(replica, point);
    } else if (replica->welcomed && replica->phase == REPLICA_FOLLOWING && reached >= replica->catch_up_lsn &&
               replica->acknowledged_lsn >= replica->floor_lsn) {
        /* What was removed by the floor has left no trace to wait by: by now that is acknowledged. The point first: by
         * what was the point before, nobody may read this table. */
        tell_point(replica, point);
        replica->serving = true;
    }
    replica_publish(replica);
}

static void hear_acknowledged(struct replica *replica, uint64_t lsn)
{
    if (lsn > replica->acknowledged_lsn)
        replica->acknowledged_lsn = lsn;
}

/* The table is of no use any more. */
static void lose_data(struct replica *replica)
{
    replica->data = REPLICA_DATA_NONE;
    replica->at = (struct replica_place){.next_lsn = 1};
    replica->serving = false;
    replica_publish(replica);
}

/* ---- beginning ---- */

/* Where the log goes on for who has all of it up to that LSN, which may be the last before a history. */
static struct replica_place place_of(const struct meta *histories, uint64_t lsn)
{
    struct replica_place at = {.last_lsn = meta_last_lsn(histories, lsn + 1), .next_lsn = lsn + 1};
    const struct history *history = meta_history_of(histories, at.next_lsn);

    at.history = history != NULL ? history->id : 0;
    return at;
}

void replica_resume(struct replica *replica)
{
    /* A history that was opened and had no change yet may not have come to anything. */
    if (history_in(&replica->histories, replica->at.history) == NULL && replica->at.last_lsn > 0)
        replica->at = place_of(&replica->histories, replica->at.last_lsn);
    replica->entering = true;
    replica_own_resume(replica);
    replica_begin_following(replica);
    look_anew(replica);
}

void replica_hide(struct replica *replica)
{
    replica->phase = REPLICA_HIDING;
    replica->served = replica->serving;
    replica->serving = false;
    replica_publish(replica);
}

static void begin_clearing(struct replica *replica)
{
    replica->phase = REPLICA_CLEARING;
    replica->begin_anew = false;
    replica->behind_ns = 0;
    lose_data(replica);
    tell_point(replica, 0);
    replica_own_give_up(replica);
}

/* The table is empty: told to the primary by an ACK. */
static void begin_loading(struct replica *replica)
{
    struct execute_context *apply = replica->config.apply;

    /* Perhaps again, after a snapshot that did not come to its end. */
    if (apply_begin(apply) != 0) {
        replica_end(replica, REPLICA_END_NO_MEMORY);
        return;
    }
    replica->data = REPLICA_DATA_LOADING;
    replica->phase = REPLICA_LOADING;
    replica->loading = LOADING_BEGIN;
    replica->loaded_bytes = 0;
    replica->snapshot = (struct replication_snapshot_begin){0};
    replica->floor_lsn = 0;
    replica->echo_ns = 0;
    replica->ack_due = true;
}

unsigned replica_clear(struct replica *replica)
{
    if (replica->phase == REPLICA_HIDING) {
        if (!replica->config.host.quiescent(replica->config.host.state))
            return 0;
        begin_clearing(replica);
    }
    if (!replica_own_given_up(replica))
        return 0;
    if (apply_clear(replica->config.apply, REPLICA_CLEAR_BUCKETS))
        begin_loading(replica);
    return 1;
}

void replica_apply_ends(struct replica *replica)
{
    if (replica->data == REPLICA_DATA_LOADING)
        lose_data(replica);
    if (replica->phase == REPLICA_HIDING && replica->served) {
        replica->serving = true;
        replica_publish(replica);
    }
    replica->ack_due = false;
}

/* ---- a snapshot ---- */

static bool wants(const struct replica *replica, enum replica_loading what)
{
    return replica->phase == REPLICA_LOADING && replica->loading == what;
}

void replica_on_snapshot_begin(struct replica *replica, const struct replication_snapshot_begin *begin)
{
    if (!wants(replica, LOADING_BEGIN) || begin->start_lsn > SNAPSHOT_LSN_MAX ||
        begin->flush_lsn > SNAPSHOT_LSN_MAX || (begin->start_lsn == 0 && begin->flush_lsn != 0)) {
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
        return;
    }
    replica->snapshot = *begin;
    replica->floor_lsn = begin->start_lsn;
    replica->snapshot_items = 0;
    replica->snapshot_highest_lsn = 0;
    replica->loading = LOADING_CHUNKS;
    apply_clock(replica->config.apply, begin->wall_ms);
    if (begin->flush_lsn > 0)
        CHECK(apply_record(replica->config.apply,
                           &(struct log_record){.lsn = begin->flush_lsn, .type = LOG_FLUSH}) == 0);
}

/* As snapshot.h has it; counts in what is there. */
static bool chunk_valid(struct replica *replica, const uint8_t *records, uint32_t bytes)
{
    for (uint32_t at = 0; at < bytes;) {
        struct log_record record;
        int whole = log_record_decode(&record, records + at, bytes - at);
        if (whole < 0 || record.type != LOG_SET || record.lsn < replica->snapshot.flush_lsn)
            return false;
        if (record.lsn > replica->snapshot_highest_lsn)
            replica->snapshot_highest_lsn = record.lsn;
        replica->snapshot_items++;
        at += (uint32_t)whole;
    }
    return bytes > 0 && replica->snapshot_highest_lsn <= SNAPSHOT_LSN_MAX;
}

void replica_on_snapshot_chunk(struct replica *replica, const uint8_t *records, uint32_t bytes)
{
    if (!wants(replica, LOADING_CHUNKS) || replica->snapshot.start_lsn == 0 ||
        !chunk_valid(replica, records, bytes))
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
    else if (apply_records(replica->config.apply, records, bytes) != 0)
        replica_end(replica, REPLICA_END_NO_ROOM);
    else
        replica->loaded_bytes += bytes;
}

/* All of the log up to the snapshot's end is applied: the table is what the primary's was there, once all of it has found
 * its place, while the log goes on. */
static void end_loading_if_whole(struct replica *replica)
{
    if (replica_reached_lsn(replica) < replica->snapshot_end_lsn)
        return;
    int outcome = apply_end_step(replica->config.apply, REPLICA_MOVE_BUCKETS);
    if (outcome != 0) {
        replica->loading = LOADING_PLACES;
        if (outcome < 0)
            replica_end(replica, REPLICA_END_NO_ROOM);
        return;
    }
    if (!replica_own_adopt(replica)) {
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
        return;
    }
    replica->data = REPLICA_DATA_WHOLE;
    replica->ack_due = true;
    replication_count(replica->config.counters, REPLICATION_bootstraps, 1);
    replica_begin_following(replica);
}

unsigned replica_end_loading(struct replica *replica)
{
    if (!wants(replica, LOADING_PLACES))
        return 0;
    end_loading_if_whole(replica);
    look_anew(replica);
    return 1;
}

void replica_on_snapshot_end(struct replica *replica, const struct replication_snapshot_end *end)
{
    if (!wants(replica, LOADING_CHUNKS) || end->items != replica->snapshot_items ||
        end->end_lsn > SNAPSHOT_LSN_MAX || end->end_lsn < replica->snapshot.start_lsn ||
        end->end_lsn < replica->snapshot.flush_lsn || end->end_lsn < replica->snapshot_highest_lsn ||
        (replica->snapshot.start_lsn == 0 && end->end_lsn != 0)) {
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
        return;
    }
    replica->snapshot_end_lsn = end->end_lsn;
    replica->loading = LOADING_LOG;
    replica->at = place_of(&replica->histories, replica->snapshot.start_lsn);
    replica->entering = true;
    replica->ack_due = true;
    end_loading_if_whole(replica);
    look_anew(replica);
}

/* ---- the log ---- */

/* Whether the block is what comes next; where `entering`, it may begin with what is applied. */
static bool continues(const struct replica *replica, const struct wal_block *block)
{
    const struct replica_place *at = &replica->at;

    if (block->history == at->history)
        return block->first_lsn == at->next_lsn || (replica->entering && block->first_lsn < at->next_lsn &&
                                                    block->first_lsn + block->count > at->next_lsn);
    const struct history *history = meta_history_of(&replica->histories, block->first_lsn);
    if (history != NULL)
        return history->id == block->history && history->first_lsn == block->first_lsn &&
               history->first_lsn >= at->next_lsn && history->before_lsn == at->last_lsn;
    /* Of more starts ago than the primary can tell. */
    return (meta_is_forgotten(&replica->histories, block->first_lsn) && block->first_lsn >= at->next_lsn) ||
           (at->history == 0 && at->last_lsn != 0 && block->first_lsn == at->next_lsn);
}

/* The block's records above what is applied. The others must not be applied twice: readers would see, for a
 * moment, what is gone. */
static const uint8_t *new_records(const struct replica *replica, const struct wal_block *block, size_t *bytes)
{
    const uint8_t *records = block->records;

    for (uint64_t lsn = block->first_lsn; lsn < replica->at.next_lsn && lsn < block->first_lsn + block->count;
         lsn++)
        records += log_record_encoded_bytes(records);
    *bytes = block->records_bytes - (size_t)(records - block->records);
    return records;
}

/* Lists of members are nothing of the table's. */
static void tell_members(const struct replica *replica, const uint8_t *records, size_t bytes)
{
    const struct replica_host *host = &replica->config.host;
    struct log_record record;

    if (host->member == NULL)
        return;
    for (size_t at = 0; at < bytes; at += log_record_encoded_bytes(records + at))
        if (log_record_encoded_type(records + at) == LOG_MEMBER) {
            CHECK(log_record_decode(&record, records + at, bytes - at) > 0);
            host->member(host->state, &record);
        }
}

/* A block that continues. False: it could not be, and the session has ended. */
static bool apply_block(struct replica *replica, const struct wal_block *block)
{
    struct replication_counters *counters = replica->config.counters;
    uint64_t next_lsn = block->first_lsn + block->count;
    uint64_t first_lsn = replica->at.next_lsn > block->first_lsn ? replica->at.next_lsn
                                                                 : block->first_lsn; /* of the new ones */
    size_t bytes;
    const uint8_t *records = new_records(replica, block, &bytes);

    if (block->count > 0 && replica->phase == REPLICA_FOLLOWING &&
        !replica_own_append(replica, block->history, first_lsn, records, bytes,
                            (uint32_t)(next_lsn - first_lsn))) {
        replica_end(replica, REPLICA_END_LOG);
        return false;
    }
    apply_clock(replica->config.apply, block->wall_ms);
    if (apply_records(replica->config.apply, records, bytes) != 0) {
        /* They were valid: there is no room for what the primary had room for. */
        lose_data(replica);
        replica_end(replica, REPLICA_END_NO_ROOM);
        return false;
    }
    replication_count(counters, REPLICATION_applied_blocks, 1);
    if (block->count > 0) {
        replication_count(counters, REPLICATION_applied_records, next_lsn - first_lsn);
        replica->at.last_lsn = next_lsn - 1;
        replica->entering = false;
    }
    replica->at.history = block->history;
    replica->at.next_lsn = next_lsn;
    if (next_lsn - 1 > replica->primary_lsn)
        replica->primary_lsn = next_lsn - 1;
    tell_members(replica, records, bytes);
    return true;
}

void replica_on_batch(struct replica *replica, const struct replication_message *message)
{
    struct wal_block block;

    if ((replica->phase != REPLICA_FOLLOWING && !wants(replica, LOADING_LOG) &&
         !wants(replica, LOADING_PLACES)) ||
        wal_block_decode_bare(&block, message->payload, message->payload_bytes) != WAL_WHOLE) {
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
        return;
    }
    if (replica->entering && block.count == 0 && block.first_lsn < replica->at.next_lsn)
        return; /* who has all up to the last change is told again what histories were opened since */
    if (!continues(replica, &block)) {
        replica_end(replica, REPLICA_END_GAP);
        return;
    }
    if (!apply_block(replica, &block))
        return;
    hear_acknowledged(replica, message->batch.acknowledged_lsn);
    replica->echo_ns = message->batch.sent_ns;
    replica->ack_due = true;
    if (wants(replica, LOADING_LOG)) /* each turn does it after that */
        end_loading_if_whole(replica);
    look_anew(replica);
}

void replica_on_heartbeat(struct replica *replica, const struct replication_heartbeat *heartbeat)
{
    if (heartbeat->durable_lsn > replica->primary_lsn)
        replica->primary_lsn = heartbeat->durable_lsn;
    hear_acknowledged(replica, heartbeat->acknowledged_lsn);
    apply_clock(replica->config.apply, heartbeat->wall_ms);
    replica->echo_ns = heartbeat->sent_ns;
    /* before the table is empty an ACK would say that it is */
    replica->ack_due |= replica->phase == REPLICA_LOADING || replica->phase == REPLICA_FOLLOWING;
    look_anew(replica);
}

struct replication_message replica_ack(const struct replica *replica)
{
    return (struct replication_message){
        .type = REPLICATION_ACK,
        .ack = {.applied_lsn = replica_is_whole(replica) ? replica_reached_lsn(replica) : 0,
                .durable_lsn = replica_own_durable(replica),
                .echo_ns = replica->echo_ns,
                .state = replica->serving ? REPLICA_SERVING : REPLICA_CATCHING_UP}};
}
