/*
 * durable_log.c - the control lcore's turn: records to writer, segments, snapshots in time.
 */
#include "durable_log.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum {
    NO_FILE = -1,
    /* What append() may fill: the open block's rest, a mark, and two blocks, since records do not end where a block does. */
    APPEND_BLOCKS = 4,
};
static_assert((int)APPEND_BLOCKS <= (int)WAL_BLOCKS, "there are as many");

/* After a segment or a snapshot could not be made. */
#define SEGMENT_RETRY_NS  UINT64_C(500000000)
#define SNAPSHOT_RETRY_NS UINT64_C(10000000000)

struct durable_log {
    struct durable_log_config config;
    struct wal_writer *writer;
    uint64_t asked_segment;    /* of the housekeeper; 0: none */
    uint64_t segment_retry_ns; /* not asked again before */
    int closing;               /* a file on its way back; NO_FILE: none */
    uint64_t base_segment;     /* what growth is counted from without a snapshot */
    uint64_t snapshot_due_ns, snapshot_lsn;
    uint64_t snapshots_failed;
    bool snapshot_asked, finishing, finished;
    bool follows;
    uint64_t entered_lsn,
        before_lsn; /* the last history's first LSN, and the last that was appended before it */
    uint8_t cluster_id[META_CLUSTER_ID_BYTES];
};

static struct wal_writer_config writer_config(const struct durable_log *log,
                                              const struct durable_log_begin *begin)
{
    return (struct wal_writer_config){.queue = log->config.queue,
                                      .start = begin->start,
                                      .history = begin->history,
                                      .first_lsn = begin->next_lsn,
                                      .durable_lsn = begin->durable_lsn,
                                      .stamp = begin->stamp,
                                      .segment_bytes = log->config.segment_bytes,
                                      .durable = log->config.durable,
                                      .durable_state = log->config.durable_state};
}

/* What the writer does not know. */
static void note_begin(struct durable_log *log, const struct durable_log_begin *begin)
{
    memcpy(log->cluster_id, begin->cluster_id, sizeof log->cluster_id);
    log->entered_lsn = begin->next_lsn;
    log->before_lsn = begin->durable_lsn;
}

struct durable_log *durable_log_create(const struct durable_log_config *config)
{
    struct durable_log *log = calloc(1, sizeof *log);
    const struct recovery_facts *found = config->found;
    struct durable_log_begin begin = {.start = found->end,
                                      .history = found->history,
                                      .next_lsn = found->next_lsn,
                                      .durable_lsn = found->lsn,
                                      .stamp = found->meta.stamp};

    if (log == NULL)
        return NULL;
    CHECK(!config->follows || config->table != NULL);
    log->config = *config;
    log->config.found = NULL;
    log->follows = config->follows;
    log->closing = NO_FILE;
    log->base_segment = found->oldest_segment;
    log->snapshot_lsn = found->snapshot_lsn;
    memcpy(begin.cluster_id, found->meta.cluster_id, sizeof begin.cluster_id);
    note_begin(log, &begin);
    struct wal_writer_config writer = writer_config(log, &begin);
    log->writer = wal_writer_create(&writer);
    if (log->writer == NULL) {
        free(log);
        return NULL;
    }
    log->finishing = log->finished = found->history == 0; /* nothing has begun */
    return log;
}

void durable_log_destroy(struct durable_log *log)
{
    if (log == NULL)
        return;
    wal_writer_destroy(log->writer);
    free(log);
}

/* ---- where records come from ---- */

bool durable_log_begin(struct durable_log *log, const struct durable_log_begin *begin)
{
    CHECK(begin->history != 0 && log->finishing && log->config.table != NULL);
    if (!durable_log_finished(log) || log->asked_segment != 0 || log->closing != NO_FILE)
        return false;
    log->closing = wal_writer_done_with(log->writer);
    if (log->closing != NO_FILE)
        return false;
    struct wal_writer_config writer = writer_config(log, begin);
    wal_writer_restart(log->writer, &writer);
    log->follows = true;
    log->finishing = log->finished = false;
    log->base_segment = begin->start.segment + 1;
    log->snapshot_lsn = begin->next_lsn - 1;
    log->snapshot_due_ns = 0;
    log->segment_retry_ns = 0;
    note_begin(log, begin);
    return true;
}

bool durable_log_room(const struct durable_log *log)
{
    return log->follows && !log->finishing && wal_writer_room(log->writer) >= APPEND_BLOCKS;
}

bool durable_log_append(struct durable_log *log, uint64_t history, uint64_t first_lsn, const uint8_t *records,
                        size_t bytes, uint32_t count)
{
    struct wal_writer_facts facts = wal_writer_facts(log->writer);

    CHECK(bytes <= WAL_BLOCK_BYTES_MAX);
    if (!durable_log_room(log))
        return false;
    if (history != facts.history) {
        CHECK(wal_writer_enter(log->writer, history, first_lsn));
        log->entered_lsn = first_lsn;
        log->before_lsn = facts.appended_lsn;
    }
    for (size_t at = 0; count > 0; count--) {
        size_t length = log_record_encoded_bytes(records + at);

        CHECK(length <= bytes - at && wal_writer_append(log->writer, records + at, length));
        at += length;
    }
    return true;
}

bool durable_log_lead(struct durable_log *log, const struct history *next)
{
    CHECK(log->follows && log->config.merge != NULL);
    if (log->finishing || !wal_writer_enter(log->writer, next->id, next->first_lsn))
        return false;
    log->config.merge->next_lsn = next->first_lsn;
    log->follows = false;
    return true;
}

bool durable_log_drained(const struct durable_log *log)
{
    size_t length;

    return log_merge_peek(log->config.merge, &length) == NULL;
}

void durable_log_follow(struct durable_log *log)
{
    CHECK(!log->follows && durable_log_drained(log) && log->config.table != NULL);
    log->follows = true;
    log->entered_lsn = 0; /* all that was taken is in the table */
}

bool durable_log_leads(const struct durable_log *log)
{
    return !log->follows;
}

static unsigned take_records(struct durable_log *log, unsigned records)
{
    struct log_merge *merge = log->config.merge;
    unsigned taken = 0;
    size_t length;

    while (taken < records) {
        const uint8_t *record = log_merge_peek(merge, &length);

        if (record == NULL || !wal_writer_append(log->writer, record, length))
            break;
        log_merge_pop(merge);
        taken++;
    }
    return taken;
}

static void mind_files(struct durable_log *log)
{
    struct housekeeper *housekeeper = log->config.housekeeper;

    if (log->closing == NO_FILE)
        log->closing = wal_writer_done_with(log->writer);
    if (log->closing != NO_FILE && housekeeper_close_file(housekeeper, log->closing))
        log->closing = NO_FILE;
}

/* What was asked for before the log ended: nobody writes to it. */
static void return_segment(struct durable_log *log)
{
    int file;

    if (log->asked_segment == 0 || log->closing != NO_FILE ||
        !housekeeper_take_segment(log->config.housekeeper, log->asked_segment, &file))
        return;
    log->asked_segment = 0;
    if (file >= 0)
        log->closing = file;
}

static void mind_segments(struct durable_log *log, uint64_t mono_ns)
{
    struct housekeeper *housekeeper = log->config.housekeeper;
    uint64_t wanted = wal_writer_wants(log->writer);
    int file;

    mind_files(log);
    if (wal_writer_ended(log->writer))
        return_segment(log);
    if (wanted == 0)
        return;
    if (log->asked_segment == 0 && mono_ns >= log->segment_retry_ns) {
        housekeeper_want_segment(housekeeper, wanted);
        log->asked_segment = wanted;
    }
    if (log->asked_segment == 0 || !housekeeper_take_segment(housekeeper, log->asked_segment, &file))
        return;
    log->asked_segment = 0;
    if (file >= 0) {
        wal_writer_give(log->writer, file);
    } else {
        wal_writer_deny(log->writer, file);
        log->segment_retry_ns = mono_ns + SEGMENT_RETRY_NS;
    }
}

/* What lies before the position is in the table. */
static bool is_applied(const struct durable_log *log, const struct wal_position *position)
{
    struct table_counts counts;

    if (!log->follows)
        return true;
    table_counts(log->config.table, &counts);
    return counts.lsn >= (position->next_lsn == log->entered_lsn ? log->before_lsn : position->next_lsn - 1);
}

/* Whether time or growth ask for a snapshot. */
static bool snapshot_is_due(const struct durable_log *log, const struct housekeeper_facts *facts,
                            const struct wal_position *position, uint64_t mono_ns)
{
    uint64_t base = facts->snapshot_segment > log->base_segment ? facts->snapshot_segment : log->base_segment;

    if (position->next_lsn - 1 <= log->snapshot_lsn)
        return false; /* nothing new */
    if (log->config.snapshot_segments != 0 && position->segment >= base + log->config.snapshot_segments)
        return true;
    return log->config.snapshot_interval_ms != 0 && mono_ns >= log->snapshot_due_ns;
}

static void mind_snapshots(struct durable_log *log, const struct wal_writer_facts *writer, uint64_t mono_ns,
                           uint64_t wall_ms)
{
    struct housekeeper_facts facts = housekeeper_facts(log->config.housekeeper);
    struct snapshot_facts asked = {.position = wal_writer_position(log->writer), .wall_ms = wall_ms};

    if (log->snapshot_due_ns == 0)
        log->snapshot_due_ns = mono_ns + log->config.snapshot_interval_ms * 1000000;
    if (facts.snapshot_running || writer->state != WAL_RUNNING || !is_applied(log, &asked.position))
        return;
    if (facts.snapshots_failed != log->snapshots_failed) {
        log->snapshots_failed = facts.snapshots_failed;
        log->snapshot_due_ns = mono_ns + SNAPSHOT_RETRY_NS;
        log->snapshot_lsn = asked.position.next_lsn - 1; /* not before something new is there */
        return;
    }
    if (!log->snapshot_asked && !snapshot_is_due(log, &facts, &asked.position, mono_ns))
        return;
    memcpy(asked.cluster_id, log->cluster_id, sizeof asked.cluster_id);
    if (!housekeeper_snapshot(log->config.housekeeper, &asked))
        return;
    log->snapshot_asked = false;
    log->snapshot_lsn = asked.position.next_lsn - 1;
    log->snapshot_due_ns = mono_ns + log->config.snapshot_interval_ms * 1000000;
}

unsigned durable_log_turn(struct durable_log *log, unsigned records, uint64_t mono_ns, uint64_t wall_ms)
{
    unsigned done = log->follows ? 0 : take_records(log, records);
    struct wal_writer_facts facts;

    /* Nothing taken is not enough: the writer may have had no room. */
    if (log->finishing && !log->finished && (log->follows || durable_log_drained(log))) {
        wal_writer_finish(log->writer);
        log->finished = true;
    }
    done += wal_writer_turn(log->writer, mono_ns, wall_ms);
    facts = wal_writer_facts(log->writer);
    if (facts.history != 0)
        housekeeper_tell_durable(log->config.housekeeper, facts.durable_lsn);
    mind_segments(log, mono_ns);
    if (!log->finishing)
        mind_snapshots(log, &facts, mono_ns, wall_ms);
    return done;
}

void durable_log_snapshot(struct durable_log *log)
{
    log->snapshot_asked = true;
}

void durable_log_finish(struct durable_log *log)
{
    log->finishing = true;
}

bool durable_log_finished(const struct durable_log *log)
{
    return log->finished && wal_writer_idle(log->writer);
}

bool durable_log_position(const struct durable_log *log, struct wal_position *out)
{
    *out = wal_writer_position(log->writer);
    return is_applied(log, out);
}

struct wal_writer_facts durable_log_facts(const struct durable_log *log)
{
    return wal_writer_facts(log->writer);
}
