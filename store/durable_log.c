/*
 * durable_log.c - the control lcore's turn: rings to writer, segments, snapshots in time.
 */
#include "durable_log.h"

#include <stdlib.h>
#include <string.h>

enum { NO_FILE = -1 };

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
    uint8_t cluster_id[META_CLUSTER_ID_BYTES];
};

struct durable_log *durable_log_create(const struct durable_log_config *config)
{
    struct durable_log *log = calloc(1, sizeof *log);
    const struct meta *meta = &config->found->meta;
    const struct history *history = &meta->history[meta->count - 1];
    struct wal_writer_config writer = {.queue = config->queue,
                                       .start = config->found->end,
                                       .history = history->id,
                                       .first_lsn = history->first_lsn,
                                       .durable_lsn = config->found->lsn,
                                       .stamp = meta->stamp,
                                       .segment_bytes = config->segment_bytes,
                                       .durable = config->durable,
                                       .durable_state = config->durable_state};

    if (log == NULL)
        return NULL;
    log->config = *config;
    log->config.found = NULL;
    log->closing = NO_FILE;
    log->base_segment = config->found->oldest_segment;
    log->snapshot_lsn = config->found->snapshot_lsn;
    memcpy(log->cluster_id, meta->cluster_id, sizeof log->cluster_id);
    log->writer = wal_writer_create(&writer);
    if (log->writer == NULL) {
        free(log);
        return NULL;
    }
    return log;
}

void durable_log_destroy(struct durable_log *log)
{
    if (log == NULL)
        return;
    wal_writer_destroy(log->writer);
    free(log);
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

static void mind_segments(struct durable_log *log, uint64_t mono_ns)
{
    struct housekeeper *housekeeper = log->config.housekeeper;
    uint64_t wanted = wal_writer_wants(log->writer);
    int file;

    if (log->closing == NO_FILE)
        log->closing = wal_writer_done_with(log->writer);
    if (log->closing != NO_FILE && housekeeper_close_file(housekeeper, log->closing))
        log->closing = NO_FILE;
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

/* Whether time or growth ask for a snapshot. */
static bool snapshot_is_due(const struct durable_log *log, const struct housekeeper_facts *facts,
                            const struct wal_position *position, uint64_t mono_ns)
{
    uint64_t base = facts->snapshot_segment != 0 ? facts->snapshot_segment : log->base_segment;

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
    if (facts.snapshot_running || writer->state != WAL_RUNNING)
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
    unsigned done = take_records(log, records);
    struct wal_writer_facts facts;
    size_t length;

    /* Nothing taken is not enough: the writer may have had no room. */
    if (log->finishing && !log->finished && log_merge_peek(log->config.merge, &length) == NULL) {
        wal_writer_finish(log->writer);
        log->finished = true;
    }
    done += wal_writer_turn(log->writer, mono_ns, wall_ms);
    facts = wal_writer_facts(log->writer);
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

struct wal_writer_facts durable_log_facts(const struct durable_log *log)
{
    return wal_writer_facts(log->writer);
}
