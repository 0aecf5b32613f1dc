/*
 * node_log.c - a node's log: recovery on the helper thread, then the control lcore's turns.
 */
#include "node_log.h"

#include <stdio.h>
#include <string.h>

#include "node_internal.h"
#include "node_worker.h"

/* A disk that hangs does not keep a node from stopping for longer than this. */
#define FINISH_NS UINT64_C(5000000000)

static enum node_log_state state_of(const struct node_log *log)
{
    /* acquire: pairs with release in state_set() */
    return (enum node_log_state)atomic_load_explicit(&log->state, memory_order_acquire);
}

static void state_set(struct node_log *log, enum node_log_state state)
{
    atomic_store_explicit(&log->state, (int)state, memory_order_release);
}

static void show(_Atomic uint64_t *shown, uint64_t value)
{
    atomic_store_explicit(shown, value, memory_order_relaxed);
}

/* Of a folder that is started as a primary's. */
static bool may_lead(const struct meta *meta)
{
    return members_may_start(meta) == MEMBERS_START_LEADS;
}

int node_log_start(struct node *node, char *error, size_t error_bytes)
{
    struct node_log *log = &node->log;
    const struct node_log_config *config = &node->config.log;

    log->node = node;
    /* A replica has nothing to show before its primary says so; nor a log before it is read. */
    if (config->folder == NULL && node->config.replication.mode != MODE_REPLICA)
        durable_point_set(&log->durable, UINT64_MAX, false);
    if (config->folder == NULL) {
        state_set(log, NODE_LOG_CLOSED);
        return 0;
    }
    /* One more than the workers: who replays. */
    log->apply = execute_context_create(node->table, node->config.workers, NULL);
    struct recovery_config recovery = {.disk = config->disk,
                                       .apply = log->apply,
                                       .random = node->config.random,
                                       .folder = config->folder,
                                       .segment_bytes = config->segment_bytes,
                                       .follows = node->config.replication.mode == MODE_REPLICA,
                                       .may_lead = node_may_lead(node) ? may_lead : NULL};
    if (log->apply != NULL)
        log->recovery = recovery_create(&recovery);
    if (log->recovery == NULL) {
        snprintf(error, error_bytes, "not enough memory to read %s", config->folder);
        execute_context_destroy(log->apply);
        return -1;
    }
    state_set(log, NODE_LOG_RECOVERING);
    return 0;
}

void node_log_stop(struct node *node)
{
    struct node_log *log = &node->log;

    durable_log_destroy(log->log);
    housekeeper_destroy(log->housekeeper);
    recovery_destroy(log->recovery);
    execute_context_destroy(log->apply);
}

/* ---- the helper thread ---- */

static void tell_notices(struct node_log *log)
{
    const char *notice;

    while ((notice = recovery_notice(log->recovery)) != NULL)
        logger_line(&log->node->config.logger, LOG_LEVEL_WARNING, "%s", notice);
}

static void recovered(struct node_log *log)
{
    const struct node_config *config = &log->node->config;
    struct housekeeper_config housekeeper = {.disk = config->log.disk,
                                             .table = log->node->table,
                                             .found = recovery_facts(log->recovery),
                                             .segment_bytes = config->log.segment_bytes,
                                             .snapshot_buckets = SNAPSHOT_STEP_BUCKETS};

    if (node_leading_recovered(log->node, &housekeeper))
        log->housekeeper = housekeeper_create(&housekeeper);
    if (log->housekeeper != NULL && log->node->replication.leading.feeder != NULL)
        feeder_of(log->node->replication.leading.feeder, housekeeper_meta(log->housekeeper));
    state_set(log, log->housekeeper != NULL ? NODE_LOG_RECOVERED : NODE_LOG_REFUSED);
}

enum node_housekeeping node_housekeeping_step(struct node *node)
{
    struct node_log *log = &node->log;
    const struct recovery_facts *facts;
    int step;

    switch (state_of(log)) {
    case NODE_LOG_RECOVERING:
        step = recovery_step(log->recovery);
        facts = recovery_facts(log->recovery);
        show(&log->records, facts->records);
        show(&log->bytes_read, facts->bytes_read);
        show(&log->bytes_total, facts->bytes_total);
        tell_notices(log);
        if (step == 0)
            recovered(log);
        else if (step < 0)
            state_set(log, NODE_LOG_REFUSED);
        return NODE_HOUSEKEEPING_WORKED;
    case NODE_LOG_CLOSED:
    case NODE_LOG_REFUSED:
        return NODE_HOUSEKEEPING_IDLE;
    default:
        break;
    }
    bool fed = node_leading_feed(node);
    switch (housekeeper_step(log->housekeeper)) {
    case HOUSEKEEPER_WORKED:
        return NODE_HOUSEKEEPING_WORKED;
    case HOUSEKEEPER_PAUSE:
        return NODE_HOUSEKEEPING_THROTTLE;
    default:
        return fed ? NODE_HOUSEKEEPING_WORKED : NODE_HOUSEKEEPING_IDLE;
    }
}

/* ---- the control lcore ---- */

static bool follows(const struct node_log *log)
{
    return node_role_follows(log->node);
}

static void open_log(struct node_log *log)
{
    struct node *node = log->node;
    const struct node_log_config *config = &node->config.log;
    const struct recovery_facts *found = recovery_facts(log->recovery);
    struct log_merge *merge = &node->control.merge;
    struct durable_log_config durable = {.queue = config->queue,
                                         .merge = merge,
                                         .housekeeper = log->housekeeper,
                                         .found = found,
                                         .segment_bytes = config->segment_bytes,
                                         .snapshot_segments = config->snapshot_segments,
                                         .snapshot_interval_ms = config->snapshot_interval_ms,
                                         .table = node->table,
                                         .follows = found->follows};

    node_meta_start(&log->meta, &found->meta);
    if (!found->follows) /* nobody has written anything yet */
        merge->next_lsn = found->meta.history[found->meta.count - 1].first_lsn;
    if (node_leading_open(node, found, &durable))
        log->log = durable_log_create(&durable);
    if (log->log == NULL) {
        state_set(log, NODE_LOG_REFUSED);
        return;
    }
    if (found->follows) {
        node_log_open_following(log, found);
        state_set(log, NODE_LOG_FOLLOWING);
    } else {
        node_leading_begin(node, found->lsn);
        state_set(log, NODE_LOG_OPENING);
    }
    node_role_recovered(node, found);
}

static bool draining(const struct node_log *log)
{
    return atomic_load_explicit(&log->node->draining, memory_order_relaxed); /* written by this thread */
}

/* The log's state is the node's: READ_ONLY while nothing can be written, or acknowledged. */
static uint8_t open_state(const struct node_log *log)
{
    if (node_why(log->node) != NULL)
        return STATE_READ_ONLY;
    return draining(log) ? STATE_DRAINING : STATE_SERVING;
}

/* What was written by now may be where no start finds it, and what is written from now on is: as good as a log that
 * cannot be written. */
static void note_folder(struct node_log *log, struct wal_writer_facts *facts)
{
    int error = housekeeper_facts(log->housekeeper).folder_error;

    if (error == 0)
        return;
    atomic_store_explicit(&log->shown.folder_gone, true, memory_order_relaxed);
    facts->state = WAL_FAILED;
    facts->error = error;
    /* What has reached the disk since is acknowledged no more. */
    facts->durable_lsn = durable_point_get(&log->durable).lsn;
}

static void serve(struct node_log *log)
{
    struct node *node = log->node;
    const struct meta *meta = &log->meta.now;
    const struct history *history = &meta->history[meta->count - 1];
    struct state_view view = published_state_get(&node->published);

    show(&log->shown.first_lsn, history->first_lsn);
    show(&log->shown.recovered_lsn, history->before_lsn);
    node_tell_histories(node, meta, "");
    node_leading_serve(node);
    node_identify(node, meta->cluster_id, meta->node_id);
    view.history = history->id;
    view.epoch = history->epoch;
    view.mode = node_may_lead(node) ? MODE_PRIMARY : MODE_STANDALONE;
    if (!draining(log)) /* who is about to stop does not begin */
        view.state = open_state(log);
    published_state_set(&node->published, &view);
    state_set(log, NODE_LOG_SERVING);
    node_role_leads(node);
}

/* Its first block is there: so is all that lies below the history. */
static bool is_open(const struct node_log *log)
{
    const struct meta *meta = &log->meta.now;
    struct wal_writer_facts facts = durable_log_facts(log->log);

    return facts.started && facts.durable_lsn + 1 >= meta->history[meta->count - 1].first_lsn;
}

static void tell(struct node_log *log, const struct wal_writer_facts *facts)
{
    struct node *node = log->node;
    const char *why;

    if (facts->state == log->told)
        return;
    log->told = facts->state;
    atomic_store_explicit(&log->shown.error, facts->error, memory_order_relaxed);
    atomic_store_explicit(&log->shown.wal_state, (uint8_t)facts->state, memory_order_release);
    why = node_log_why(log);
    if (why != NULL)
        logger_line(&node->config.logger, LOG_LEVEL_ERROR, "%s: %s (%s)", node->config.log.folder, why,
                    strerrordesc_np(-facts->error));
    else
        logger_line(&node->config.logger, LOG_LEVEL_INFO, "%s: the log is written again",
                    node->config.log.folder);
}

static void follow(struct node_log *log, const struct wal_writer_facts *facts)
{
    struct node *node = log->node;
    struct state_view view = published_state_get(&node->published);
    bool is_short = node_replication_why(node) != NULL;

    if (facts->state == log->told && is_short == log->told_short)
        return;
    tell(log, facts);
    log->told_short = is_short;
    if (follows(log)) /* its readers are told by replication, and nobody writes */
        return;
    if (view.state != STATE_SERVING && view.state != STATE_READ_ONLY && view.state != STATE_DRAINING)
        return;
    view.state = open_state(log);
    published_state_set(&node->published, &view);
}

static void tell_snapshots(struct node_log *log)
{
    const struct logger *logger = &log->node->config.logger;
    struct housekeeper_facts facts = housekeeper_facts(log->housekeeper);
    uint64_t before = atomic_load_explicit(&log->shown.snapshots, memory_order_relaxed);

    if (facts.snapshots != before)
        logger_line(logger, LOG_LEVEL_INFO, "snapshot from lsn %llu", (unsigned long long)facts.snapshot_lsn);
    if (facts.snapshot_error != 0 && facts.folder_error == 0 && !log->snapshot_failure_told)
        logger_line(logger, LOG_LEVEL_ERROR, "%s: no snapshot: %s; the log is kept and grows",
                    log->node->config.log.folder, strerrordesc_np(-facts.snapshot_error));
    log->snapshot_failure_told = facts.snapshot_error != 0;
    if (facts.removal_error != 0 && !log->removal_failure_told)
        logger_line(logger, LOG_LEVEL_ERROR,
                    "%s: an old snapshot or segment cannot be removed: %s; the log grows",
                    log->node->config.log.folder, strerrordesc_np(-facts.removal_error));
    log->removal_failure_told = facts.removal_error != 0;
    show(&log->shown.free_bytes, facts.free_bytes);
    show(&log->shown.snapshots, facts.snapshots);
    show(&log->shown.snapshots_failed, facts.snapshots_failed);
    show(&log->shown.snapshot_lsn, facts.snapshot_lsn);
}

static unsigned run(struct node_log *log, struct instant now)
{
    unsigned done = durable_log_turn(log->log, CONTROL_LOG_RECORDS_TURN, now.mono_ns, now.wall_ms);
    struct wal_writer_facts facts = durable_log_facts(log->log);

    struct durable_view before = durable_point_get(&log->durable);
    uint64_t lsn;
    bool failed;

    note_folder(log, &facts);
    lsn = node_leading_acknowledged(log->node, facts.durable_lsn, now);
    failed = facts.state == WAL_FAILED || node_replication_why(log->node) != NULL ||
             !node_role_acknowledges(log->node);

    /* A replica's readers are told by what its primary says. */
    if (!follows(log) && (lsn != before.lsn || failed != before.failed)) {
        durable_point_set(&log->durable, lsn, failed);
        node_workers_wake(log->node);
    }
    housekeeper_tell_acknowledged(log->housekeeper, durable_point_get(&log->durable).lsn);
    show(&log->shown.durable_lsn, node_log_last_lsn(log, facts.durable_lsn));
    show(&log->shown.bytes, facts.bytes);
    show(&log->shown.blocks, facts.blocks);
    follow(log, &facts);
    tell_snapshots(log);
    return done;
}

/*
 * The log's end, one way or the other. With --durability sync nothing was acknowledged that is missing, unless the folder
 * went away with it.
 */
static void close_log(struct node_log *log, bool complete)
{
    const struct node_log_config *config = &log->node->config.log;

    if (atomic_load_explicit(&log->shown.folder_gone, memory_order_relaxed)) { /* its line has been written */
        log->lost = true;
    } else if (!complete || log->told == WAL_FAILED) {
        logger_line(&log->node->config.logger, LOG_LEVEL_ERROR,
                    "%s: stopping without the last records: the disk does not take them", config->folder);
        log->lost = !config->rules.writes_wait;
    }
    state_set(log, NODE_LOG_CLOSED);
}

/* All is written, and that is found where the next start looks for it. */
static bool finished(struct node_log *log)
{
    if (!durable_log_finished(log->log))
        return false;
    if (!log->last_look)
        housekeeper_look_at_folder(log->housekeeper);
    log->last_look = true;
    return !housekeeper_facts(log->housekeeper).look_pending;
}

unsigned node_log_turn(struct node_log *log, struct instant now)
{
    unsigned done;
    bool ended;

    log->now = now;
    switch (state_of(log)) {
    case NODE_LOG_RECOVERED:
        if (draining(log))
            state_set(log, NODE_LOG_CLOSED); /* nothing was written */
        else
            open_log(log);
        return 1;
    case NODE_LOG_OPENING:
        done = run(log, now) + node_log_following_turn(log);
        if (is_open(log) && node_role_may_serve(log->node))
            serve(log);
        else if (log->told == WAL_FAILED)
            state_set(log, NODE_LOG_REFUSED);
        return done;
    case NODE_LOG_SERVING:
    case NODE_LOG_FOLLOWING:
        done = run(log, now);
        return done + node_log_following_turn(log);
    case NODE_LOG_FINISHING:
        /* Before the turn, which tells of what the last look has found. */
        ended = finished(log);
        done = run(log, now);
        if (ended || now.mono_ns >= log->finish_by_ns)
            close_log(log, durable_log_finished(log->log));
        return done;
    default:
        return 0;
    }
}

void node_log_finish(struct node_log *log, struct instant now)
{
    switch (state_of(log)) {
    case NODE_LOG_FOLLOWING:
        if (!node_log_end_following(log)) { /* there is none yet */
            state_set(log, NODE_LOG_CLOSED);
            break;
        }
        /* fall through */
    case NODE_LOG_SERVING:
    case NODE_LOG_OPENING:
        durable_log_finish(log->log);
        log->finish_by_ns = now.mono_ns + FINISH_NS;
        state_set(log, NODE_LOG_FINISHING);
        break;
    case NODE_LOG_RECOVERED: /* nothing was written */
        state_set(log, NODE_LOG_CLOSED);
        break;
    default: /* RECOVERING: the helper thread's to leave */
        break;
    }
}

bool node_log_closed(const struct node_log *log)
{
    enum node_log_state state = state_of(log);

    return state == NODE_LOG_CLOSED || state == NODE_LOG_REFUSED || state == NODE_LOG_RECOVERING;
}

bool node_log_all_durable(const struct node_log *log)
{
    struct wal_writer_facts facts = durable_log_facts(log->log);

    return facts.state == WAL_RUNNING && facts.durable_lsn == facts.appended_lsn &&
           !atomic_load_explicit(&log->shown.folder_gone, memory_order_relaxed);
}

bool node_log_lead(struct node_log *log, const struct history *next)
{
    if (!durable_log_lead(log->log, next))
        return false;
    state_set(log, NODE_LOG_OPENING);
    return true;
}

void node_log_follow(struct node_log *log)
{
    const struct meta *meta = &log->meta.now;

    durable_log_follow(log->log);
    log->following.begun = true;
    log->following.history = meta->history[meta->count - 1].id;
    state_set(log, NODE_LOG_FOLLOWING);
}

bool node_log_is_read(const struct node_log *log)
{
    enum node_log_state state = state_of(log);

    return state != NODE_LOG_RECOVERING && state != NODE_LOG_RECOVERED && state != NODE_LOG_REFUSED;
}

bool node_lost_changes(const struct node *node)
{
    return node->log.lost;
}

bool node_snapshot(struct node *node)
{
    enum node_log_state state = state_of(&node->log);

    if (node->config.log.folder == NULL || (state != NODE_LOG_SERVING && state != NODE_LOG_FOLLOWING))
        return false;
    durable_log_snapshot(node->log.log);
    return true;
}

/* ---- any thread ---- */

uint64_t node_log_last_lsn(const struct node_log *log, uint64_t table_lsn)
{
    uint64_t first = atomic_load_explicit(&log->shown.first_lsn, memory_order_relaxed);

    return table_lsn + 1 == first ? atomic_load_explicit(&log->shown.recovered_lsn, memory_order_relaxed)
                                  : table_lsn;
}

const char *node_log_why(const struct node_log *log)
{
    switch (atomic_load_explicit(&log->shown.wal_state, memory_order_acquire)) {
    case WAL_DISK_FULL:
        return "the disk is full: writes go on when there is space";
    case WAL_FAILED:
        return atomic_load_explicit(&log->shown.folder_gone, memory_order_relaxed)
                   ? "the log's folder is gone from its place, or was for a moment: no writes until the node is"
                     " restarted. Read what you need, put the folder back as it was, then restart"
                   : "the log cannot be written: mend the disk, then restart";
    default:
        return NULL;
    }
}

static void refused_text(const struct node_log *log, char *error, size_t error_bytes)
{
    const char *why = node_log_why(log);

    if (recovery_error(log->recovery)[0] != '\0')
        snprintf(error, error_bytes, "%s", recovery_error(log->recovery));
    else if (why != NULL)
        snprintf(error, error_bytes, "%s: %s (%s)", log->node->config.log.folder, why,
                 strerrordesc_np(-atomic_load_explicit(&log->shown.error, memory_order_relaxed)));
    else
        snprintf(error, error_bytes, "not enough memory for the log");
}

enum node_readiness node_readiness(const struct node *node, struct node_recovery_progress *progress,
                                   char *error, size_t error_bytes)
{
    const struct node_log *log = &node->log;

    progress->records = atomic_load_explicit(&log->records, memory_order_relaxed);
    progress->bytes_read = atomic_load_explicit(&log->bytes_read, memory_order_relaxed);
    progress->bytes_total = atomic_load_explicit(&log->bytes_total, memory_order_relaxed);
    switch (state_of(log)) {
    case NODE_LOG_RECOVERING:
    case NODE_LOG_RECOVERED:
    case NODE_LOG_OPENING:
        return NODE_RECOVERING;
    case NODE_LOG_REFUSED:
        refused_text(log, error, error_bytes);
        return NODE_REFUSED;
    default:
        return NODE_READY;
    }
}
