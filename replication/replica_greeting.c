/*
 * replica_greeting.c - whom a replica follows: what it says of itself, what it takes for an answer, and what
 * operators are told of it.
 */
#include "replica_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "epoch.h"
#include "wire.h"

/* ---- telling ---- */

static void say(const struct replica *replica, bool warning, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct replica *replica, bool warning, const char *format, ...)
{
    const struct replication_voice *voice = &replica->config.voice;
    char line[512];
    va_list arguments;

    if (voice->say == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    voice->say(voice->state, warning, line);
}

static const char *end_text(enum replica_end why)
{
    switch (why) {
    case REPLICA_END_NO_LINK:
        return "it cannot be reached";
    case REPLICA_END_SHAKING:
        return "it ended the connection before we knew each other: is its secret ours, and is it the"
               " replication port?";
    case REPLICA_END_CLOSED:
        return "it has ended the session";
    case REPLICA_END_CUT:
        return "the connection was cut";
    case REPLICA_END_BAD_KEY:
        return "what answered does not have our secret";
    case REPLICA_END_NOT_IN_ORDER:
        return "what it sent is not valid";
    case REPLICA_END_GAP:
        return "what it sent does not continue what we have";
    case REPLICA_END_SILENT:
        return "nothing was heard of it in time";
    case REPLICA_END_NO_ROOM:
        return "what it sent does not fit our table: nothing is served until it is loaded anew";
    case REPLICA_END_NO_MEMORY:
        return "there is no memory to load a snapshot";
    case REPLICA_END_LOG:
        return "our own log did not take what it sent";
    default:
        return "unknown";
    }
}

/* What becomes of readers. */
static const char *data_text(const struct replica *replica)
{
    if (replica->serving)
        return "what we have is kept and served";
    return replica_is_whole(replica) ? "what we have is kept" : "there is nothing to serve yet";
}

void replica_tell_end(struct replica *replica, enum replica_end why)
{
    if (why == REPLICA_END_OURS || why == replica->told_end)
        return;
    replica->told_end = why;
    replica->told_following = false;
    if (why > REPLICA_END_REFUSED)
        say(replica, true, "no primary: %s; %s, and it is asked again", replica->refusal, data_text(replica));
    else
        say(replica, true, "no primary: %s; %s, and it is asked again", end_text(why), data_text(replica));
}

void replica_tell_following(struct replica *replica)
{
    if (replica->told_following)
        return;
    replica->told_following = true;
    replica->told_end = REPLICA_END_NONE;
    say(replica, false, "follows the primary from lsn %llu on, history %016llx, epoch %u",
        (unsigned long long)replica->at.last_lsn, (unsigned long long)replica->at.history, replica->epoch);
}

void replica_tell_tail(struct replica *replica)
{
    say(replica, true,
        "what the log here holds above lsn %llu is not in the primary's: it is set aside in the folder (kept-tail-...)"
        " once all is loaded anew",
        (unsigned long long)replica->tail_lsn);
}

/* ---- saying no ---- */

/* by: who says so. */
static void refuse(struct replica *replica, unsigned reason, const char *by, const char *text)
{
    snprintf(replica->refusal, sizeof replica->refusal, "%s: %s%s%.120s", by, refuse_text(reason),
             text[0] != '\0' ? ": " : "", text);
    replication_count(replica->config.counters, REPLICATION_refused, 1);
    replica_end(replica, (enum replica_end)(REPLICA_END_REFUSED + reason));
}

void replica_on_refuse(struct replica *replica, const struct replication_refuse *message)
{
    if (message->reason == REFUSE_DIVERGED && replica_is_whole(replica))
        replica->begin_anew = true;
    refuse(replica, message->reason, "the primary turned us away", message->text);
}

static struct replication_history last_history(const struct replication_welcome *welcome)
{
    return replication_history_decode(welcome, welcome->histories - 1);
}

/*
 * Whom we have followed, or promised ourselves to, is not left for another of the same term (epoch.h); and two primaries of
 * one epoch (one runs on a copy of the other's folder, or on a restored one) have a last history each: we stay with the
 * one that we have followed.
 */
static unsigned reason_of_epoch(const struct replica *replica, const struct replication_welcome *welcome)
{
    const struct meta *known = &replica->histories;
    struct replication_history last = last_history(welcome);

    if (welcome->epoch < replica->epoch)
        return REFUSE_STALE_EPOCH;
    if (!epoch_may_follow(replica->epoch, replica->epoch_node, welcome->epoch, last.node_id))
        return REFUSE_RIVAL;
    if (known->count > 0 && known->history[known->count - 1].epoch == last.epoch &&
        known->history[known->count - 1].id != last.id)
        return REFUSE_RIVAL;
    return 0;
}

/* Where a log of that cluster is, in the table or in the folder. */
static bool is_bound(const struct replica *replica)
{
    return replica_is_whole(replica) || replica->own.held;
}

/* What we turn down ourselves; 0: nothing. */
static unsigned reason_against(const struct replica *replica, const struct replication_welcome *welcome)
{
    bool ours = memcmp(welcome->cluster_id, replica->cluster_id, CLUSTER_ID_BYTES) == 0;

    if (welcome->capacity > replica->config.capacity)
        return REFUSE_CAPACITY;
    if (!ours && is_bound(replica))
        return REFUSE_FOREIGN_CLUSTER;
    return ours ? reason_of_epoch(replica, welcome) : 0;
}

void replica_sealed(struct replica *replica, uint32_t epoch, uint64_t node_id)
{
    if (epoch <= replica->epoch)
        return;
    replica->epoch = epoch;
    replica->epoch_node = node_id;
    if (replica->welcomed) /* by a lower one */
        replica_end(replica, REPLICA_END_OURS);
}

static const char *reason_text(unsigned reason)
{
    switch (reason) {
    case REFUSE_FOREIGN_CLUSTER:
        return "was it emptied? What we have of our cluster is not given up for it";
    case REFUSE_RIVAL:
        return "does it run on a copy of the folder? What we have of the other is not given up for it";
    default:
        return "";
    }
}

/* ---- WELCOME ---- */

/* As meta.h has them. */
static bool histories_valid(const struct meta *meta, const struct replication_welcome *welcome)
{
    for (unsigned i = 0; i < meta->count; i++) {
        const struct history *history = &meta->history[i];
        if (history->id == 0 || history->node_id == 0 || history->first_lsn == 0 ||
            (uint32_t)history->first_lsn != 0 || history->before_lsn >= history->first_lsn)
            return false;
        if (i > 0 && (history->first_lsn <= history[-1].first_lsn || history->epoch <= history[-1].epoch))
            return false;
    }
    return meta->count > 0 && meta->history[meta->count - 1].epoch == welcome->epoch;
}

static void read_histories(struct meta *out, const struct replication_welcome *welcome)
{
    *out = (struct meta){.node_id = welcome->node_id};
    memcpy(out->cluster_id, welcome->cluster_id, CLUSTER_ID_BYTES);
    for (unsigned i = 0; i < welcome->histories && i < META_HISTORIES_MAX; i++) {
        struct replication_history history = replication_history_decode(welcome, i);
        out->history[out->count++] = (struct history){.id = history.id,
                                                      .first_lsn = history.first_lsn,
                                                      .node_id = history.node_id,
                                                      .before_lsn = history.before_lsn,
                                                      .epoch = history.epoch};
    }
}
static_assert((int)REPLICATION_HISTORIES_MAX <= (int)META_HISTORIES_MAX, "all of them are kept");

static bool start_possible(const struct replica *replica, const struct replication_welcome *welcome)
{
    return welcome->start != WELCOME_RESUME || (replica_is_whole(replica) && !replica->begin_anew);
}

static void take_over(struct replica *replica, const struct replication_welcome *welcome)
{
    bool resume = welcome->start == WELCOME_RESUME;

    memcpy(replica->cluster_id, welcome->cluster_id, CLUSTER_ID_BYTES);
    replica->epoch = welcome->epoch;
    replica->epoch_node = last_history(welcome).node_id;
    replica->welcomed = true;
    replica->refusal[0] = '\0';
    if (welcome->timeout_ms > 0)
        replica->timeout_ns = (uint64_t)welcome->timeout_ms * 1000000;
    replica->catch_up_lsn = welcome->durable_lsn;
    replica->primary_lsn = welcome->durable_lsn;
    /* of what is given up for a snapshot nothing counts */
    if (!resume || welcome->acknowledged_lsn > replica->acknowledged_lsn)
        replica->acknowledged_lsn = welcome->acknowledged_lsn;
    replication_count(replica->config.counters, REPLICATION_sessions, 1);
}

void replica_on_welcome(struct replica *replica, const struct replication_welcome *welcome)
{
    const struct replica_host *host = &replica->config.host;
    struct meta histories;
    unsigned reason;

    read_histories(&histories, welcome);
    if (wire_is_zero(welcome->cluster_id, CLUSTER_ID_BYTES) || !histories_valid(&histories, welcome) ||
        !start_possible(replica, welcome)) {
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
        return;
    }
    reason = reason_against(replica, welcome);
    if (reason != 0) {
        refuse(replica, reason, "we turn the primary down", reason_text(reason));
        return;
    }
    if (welcome->start == WELCOME_BOOTSTRAP)
        replica_own_judge(replica, &histories, welcome->durable_lsn);
    replica->histories = histories;
    take_over(replica, welcome);
    apply_clock(replica->config.apply, welcome->wall_ms);
    if (welcome->start == WELCOME_RESUME)
        replica_resume(replica);
    else
        replica_hide(replica);
    host->welcomed(host->state, &replica->histories,
                   wire_is_zero(welcome->client_address, sizeof welcome->client_address)
                       ? replica->channel.link.peer_address
                       : welcome->client_address,
                   welcome->client_port);
}

/* ---- HELLO ---- */

/*
 * Without data nothing binds us to a cluster: who has the secret may give us his. But of the cluster that we had
 * data of last, an epoch below the highest is turned down all the same (reason_against()). A log that is yet to be given
 * up binds us as data does: that of another cluster is not to take its place.
 */
struct replication_message replica_hello(const struct replica *replica)
{
    struct replication_message message = {.type = REPLICATION_HELLO,
                                          .hello = {.version = REPLICATION_VERSION,
                                                    .client_port = replica->config.client_port,
                                                    .node_id = replica->config.node_id,
                                                    .capacity = replica->config.capacity}};
    struct replication_hello *hello = &message.hello;

    snprintf(hello->name, sizeof hello->name, "%s", replica->config.name);
    memcpy(hello->client_address, replica->config.client_address, sizeof hello->client_address);
    if (replica_has_log(replica)) {
        hello->flags = HELLO_HAS_LOG;
        hello->replication_port = replica->config.replication_port;
    }
    if (is_bound(replica)) {
        hello->epoch = replica->epoch;
        memcpy(hello->cluster_id, replica->cluster_id, CLUSTER_ID_BYTES);
    }
    if (!replica_is_whole(replica) || replica->at.history == 0)
        return message;
    const struct history *history = meta_history_of(&replica->histories, replica->at.last_lsn);
    hello->flags |= HELLO_HAS_DATA | (replica->begin_anew ? HELLO_BOOTSTRAP : 0);
    hello->lsn = replica->at.last_lsn;
    /* of a log without a change yet, that one says whose it is */
    hello->history = replica->at.last_lsn > 0 && history != NULL ? history->id : replica->at.history;
    return message;
}
