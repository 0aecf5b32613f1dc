/* primary.c - sessions: how they begin, what comes, how they end; and the turn. */
#include "primary_internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { LINES_A_SECOND = 2, LINES_BURST = 32, LINE_BYTES = 512 };

/* How long a replica that was turned away comes back without a line. */
#define REFUSAL_NS UINT64_C(60000000000)

static const struct channel_events events;

/* ---- lines ---- */

void primary_say(struct primary *primary, bool warning, const char *format, ...)
{
    char line[LINE_BYTES], before[64] = "";
    va_list arguments;

    if (!allowance_take(&primary->lines, primary->now_ns, LINES_A_SECOND, LINES_BURST)) {
        primary->lines_left_out++;
        return;
    }
    if (primary->lines_left_out > 0)
        snprintf(before, sizeof before, "(%" PRIu64 " lines left out) ", primary->lines_left_out);
    primary->lines_left_out = 0;
    int length = snprintf(line, sizeof line, "%s", before);
    va_start(arguments, format);
    vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
    va_end(arguments);
    primary->config.voice.say(primary->config.voice.state, warning, line);
}

const char *primary_who(const struct primary_session *session, char out[WHO_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const struct link *link = &session->link;
    char address[INET6_ADDRSTRLEN] = "?";
    bool is_ip4 = memcmp(link->peer_address, mapped, sizeof mapped) == 0;

    inet_ntop(is_ip4 ? AF_INET : AF_INET6, link->peer_address + (is_ip4 ? sizeof mapped : 0), address,
              sizeof address);
    snprintf(out, WHO_BYTES, is_ip4 ? "%s (%s:%u)" : "%s ([%s]:%u)",
             session->hello.name[0] != '\0' ? session->hello.name : "without a name", address,
             link->peer_port);
    return out;
}

/* Why a session is over, for the line about it. */
static const char *why_text(enum replication_counter why)
{
    switch (why) {
    case REPLICATION_timed_out:
        return "nothing was heard of it in time";
    case REPLICATION_too_slow:
        return "it is so slow that the log went past what was being sent, or others wait; it may come again";
    case REPLICATION_replaced:
        return "the same node came again";
    case REPLICATION_not_in_order:
        return "what it sent is not valid";
    default:
        return "the connection ended";
    }
}

/* ---- life ---- */

struct primary *primary_create(const struct primary_config *config)
{
    struct primary *primary = calloc(1, sizeof *primary);
    if (primary == NULL)
        return NULL;
    primary->config = *config;
    for (unsigned i = 0; i < PRIMARY_SESSIONS_MAX; i++)
        primary->session[i].primary = primary;
    if (config->meta != NULL)
        primary_lead(primary, config->meta);
    return primary;
}

void primary_lead(struct primary *primary, const struct meta *meta)
{
    unsigned forgotten =
        meta->count > REPLICATION_HISTORIES_MAX ? meta->count - REPLICATION_HISTORIES_MAX : 0;
    primary->config.meta = meta;
    primary->leads = true;
    primary->log = (struct primary_log){.durable_lsn = 0};
    primary->told_durable_lsn = primary->log_from_lsn = 0;
    primary->history_count = 0;
    for (unsigned i = forgotten; i < meta->count; i++) {
        const struct history *history = &meta->history[i];
        primary->history[primary->history_count++] =
            (struct replication_history){.id = history->id,
                                         .first_lsn = history->first_lsn,
                                         .node_id = history->node_id,
                                         .before_lsn = history->before_lsn,
                                         .epoch = history->epoch};
    }
}

void primary_stop_leading(struct primary *primary)
{
    primary->leads = false;
    for (unsigned i = 0; i < primary->used_count; i++)
        if (session_is_replica(&primary->session[primary->used[i]]))
            primary_close(&primary->session[primary->used[i]]);
}

bool primary_is_settled(const struct primary *primary)
{
    for (unsigned i = 0; i < primary->used_count; i++) {
        const struct primary_session *session = &primary->session[primary->used[i]];
        if (session_is_replica(session) || session->feed != NO_FEED ||
            (session->sending == REPLICATION_BATCH && channel_sending(&session->channel)))
            return false;
    }
    return true;
}

static unsigned number_of(const struct primary_session *session)
{
    return (unsigned)(session - session->primary->session);
}

static void give_place_back(struct primary_session *session)
{
    struct primary *primary = session->primary;

    channel_gone(&session->channel);
    primary_end_feed(session);
    for (unsigned i = 0; i < primary->used_count; i++)
        if (primary->used[i] == number_of(session)) {
            primary->used[i] = primary->used[--primary->used_count];
            break;
        }
    session->state = SESSION_FREE;
}

void primary_destroy(struct primary *primary)
{
    if (primary == NULL)
        return;
    while (primary->used_count > 0) {
        struct primary_session *session = &primary->session[primary->used[0]];
        if (!session->link_aborted)
            session->link.functions->abort(session->link.stream);
        give_place_back(session);
    }
    free(primary);
}

/* ---- how a session ends ---- */

static void begin_ending(struct primary_session *session)
{
    session->state = SESSION_ENDING;
    session->since_ns = session->primary->now_ns;
}

static void say_gone(const struct primary_session *session, bool warning, const char *why)
{
    char who[WHO_BYTES];
    if (session_is_replica(session))
        primary_say(session->primary, warning, "replica %s is gone: %s", primary_who(session, who), why);
}

static void cut_link(struct primary_session *session)
{
    if (session->channel.state != CHANNEL_ENDED)
        channel_abort(&session->channel);
    else if (!session->link_aborted)
        session->link.functions->abort(session->link.stream);
    session->link_aborted = true;
    primary_end_feed(session);
}

void primary_drop(struct primary_session *session, enum replication_counter why)
{
    CHECK(session->state != SESSION_FREE && session->state != SESSION_ENDING);
    replication_count(session->primary->config.counters, why, 1);
    say_gone(session, true, why_text(why));
    cut_link(session);
    begin_ending(session);
}

void primary_close(struct primary_session *session)
{
    if (session->state == SESSION_ENDING)
        return;
    if (session->channel.state == CHANNEL_OPEN && primary_payload_holds(session))
        channel_close(&session->channel); /* which goes on with what is on its way */
    else
        cut_link(session);
    begin_ending(session);
    if (!channel_sending(&session->channel))
        primary_end_feed(session);
}

bool primary_has_ended(struct primary_session *session)
{
    struct replication_counters *counters = session->primary->config.counters;

    if (session->channel.state != CHANNEL_ENDED)
        return false;
    if (session->state == SESSION_ENDING)
        return true;
    switch ((enum channel_end)session->channel.end) {
    case CHANNEL_CLOSED:
        say_gone(session, false, "it has said goodbye");
        break;
    case CHANNEL_CUT:
        if (session_is_replica(session))
            replication_count(counters, REPLICATION_cut, 1);
        say_gone(session, true, "the connection ended without a word");
        break;
    case CHANNEL_BAD_KEY:
        replication_count(counters, REPLICATION_bad_key, 1);
        break;
    case CHANNEL_REFUSED:
        replication_count(counters, REPLICATION_hurried, 1);
        break;
    case CHANNEL_NOT_IN_ORDER:
    case CHANNEL_LIVES:
        replication_count(counters, REPLICATION_not_in_order, 1);
        say_gone(session, true, why_text(REPLICATION_not_in_order));
        break;
    }
    primary_end_feed(session);
    begin_ending(session);
    return true;
}

/* Goes on with what is on its way, then waits for the link to go, but not for ever. */
static unsigned ending_turn(struct primary_session *session)
{
    struct primary *primary = session->primary;
    unsigned done = 0;

    if (session->channel.state != CHANNEL_ENDED) {
        if (!primary_payload_holds(session)) {
            replication_count(primary->config.counters, REPLICATION_too_slow, 1);
            cut_link(session);
            return 1;
        }
        done = channel_turn(&session->channel) > 0;
        if (!channel_sending(&session->channel))
            primary_end_feed(session);
    }
    if (primary->now_ns - session->since_ns < PRIMARY_END_NS || session->link_aborted)
        return done;
    cut_link(session);
    return 1;
}

/* ---- what comes ---- */

static bool may_compute(void *owner)
{
    struct primary_session *session = owner;
    return primary_may_shake(session->primary, session->link.peer_address);
}

/* Hands are shaken: what counts is its HELLO, for which it has its time. */
static void opened(void *owner)
{
    (void)owner;
}

/* What a replica has: false: it cannot have that. */
static bool take_ack(struct primary_session *session, const struct replication_ack *ack)
{
    const struct replication_ack *last = &session->ack;
    uint64_t now_ns = session->primary->now_ns;
    uint64_t highest_lsn = ack->applied_lsn > ack->durable_lsn ? ack->applied_lsn : ack->durable_lsn;

    if (!session->welcomed || ack->echo_ns > session->stamp_ns)
        return false;
    if (highest_lsn > session->position &&
        (session->bootstrap || highest_lsn > primary_reach(session->primary->config.meta, session->position)))
        return false;
    if (ack->applied_lsn < last->applied_lsn || ack->durable_lsn < last->durable_lsn ||
        ack->echo_ns < last->echo_ns)
        return false;
    if (ack->durable_lsn != 0 && (session->hello.flags & HELLO_HAS_LOG) == 0)
        return false;
    if (ack->echo_ns > last->echo_ns) {
        session->lag_ns = now_ns > ack->echo_ns ? now_ns - ack->echo_ns : 0;
        session->outstanding_ns = ack->echo_ns == session->stamp_ns ? 0 : ack->echo_ns;
    }
    session->ack = *ack;
    if (session->state == SESSION_EMPTYING)
        primary_find_source(session);
    return true;
}

static void message(void *owner, const struct replication_message *message)
{
    struct primary_session *session = owner;

    if (session->out_of_order || session->state == SESSION_ENDING)
        return;
    session->alive_ns = session->primary->now_ns;
    if (message->type == REPLICATION_HELLO && session->state == SESSION_NEWCOMER && !session->said_hello) {
        session->hello = message->hello;
        session->said_hello = true;
    } else if (message->type == REPLICATION_PROBE || message->type == REPLICATION_SEAL) {
        session->out_of_order = !primary_take_call(session, message);
    } else if (message->type != REPLICATION_ACK || !session_is_replica(session) ||
               !take_ack(session, &message->ack)) {
        session->out_of_order = true;
    }
}

static const struct channel_events events = {
    .may_compute = may_compute, .opened = opened, .message = message};

/* ---- links ---- */

struct primary_session *primary_accept(struct primary *primary, const struct link *link, uint64_t mono_ns)
{
    primary->now_ns = mono_ns;
    struct primary_session *session = primary_place(primary, link->peer_address);
    if (session == NULL) {
        replication_count(primary->config.counters, REPLICATION_crowded, 1);
        return NULL;
    }
    /* But for the rooms, which are written before they are read. */
    memset(session, 0, offsetof(struct primary_session, channel));
    session->primary = primary;
    session->state = SESSION_NEWCOMER;
    session->since_ns = mono_ns;
    session->feed = NO_FEED;
    session->link = *link;
    primary->used[primary->used_count++] = (uint8_t)number_of(session);

    struct channel_config config = {.events = &events,
                                    .owner = session,
                                    .keys = {primary->config.keys[0], primary->config.keys[1]},
                                    .identity = primary->config.identity,
                                    .random = primary->config.random,
                                    .session = &primary->config.session_keys[number_of(session)],
                                    .receive = session->receive,
                                    .receive_bytes = sizeof session->receive,
                                    .server = true};
    channel_start(&session->channel, &config, link);
    return session;
}

void primary_received(struct primary_session *session, uint8_t *bytes, size_t length)
{
    if (session->channel.state == CHANNEL_ENDED)
        return;
    channel_received(&session->channel, bytes, length);
    if (!primary_has_ended(session) && session->out_of_order && session->state != SESSION_ENDING)
        primary_drop(session, REPLICATION_not_in_order);
}

void primary_writable(struct primary_session *session)
{
    if (session_is_replica(session))
        primary_send(session);
}

bool primary_may_close(const struct primary_session *session)
{
    return session->channel.shaken;
}

void primary_link_closed(struct primary_session *session)
{
    if (session->state != SESSION_ENDING) {
        if (session_is_replica(session))
            replication_count(session->primary->config.counters, REPLICATION_cut, 1);
        say_gone(session, true, "the connection ended without a word");
    }
    give_place_back(session);
}

/* ---- the turn ---- */

static struct primary_session *replica_with_id(struct primary *primary, uint64_t node_id)
{
    for (unsigned i = 0; i < primary->used_count; i++) {
        struct primary_session *session = &primary->session[primary->used[i]];
        if (session_is_replica(session) && session->hello.node_id == node_id)
            return session;
    }
    return NULL;
}

/* Whether the operator has not heard of it lately. */
static bool is_news(struct primary *primary, uint64_t node_id, uint16_t reason)
{
    struct refusal *place = NULL;
    for (unsigned i = 0; i < REFUSALS_REMEMBERED; i++) {
        struct refusal *refusal = &primary->refusals[i];
        bool over = refusal->reason == 0 || refusal->until_ns <= primary->now_ns;
        if (!over && refusal->node_id == node_id && refusal->reason == reason)
            return false;
        if (over && place == NULL)
            place = refusal;
    }
    if (place == NULL)
        return false; /* so many of them are not worth a line each */
    *place = (struct refusal){node_id, primary->now_ns + REFUSAL_NS, reason};
    return true;
}

static void turn_away(struct primary_session *session, const struct verdict *verdict)
{
    struct primary *primary = session->primary;
    char who[WHO_BYTES];

    replication_count(primary->config.counters, REPLICATION_refused, 1);
    if (is_news(primary, session->hello.node_id, verdict->refuse))
        primary_say(primary, true, "replica %s is turned away: %s", primary_who(session, who), verdict->text);
    primary_send_refuse(session, verdict);
}

/*
 * Whether who says the same node id is another node, and the one that is there lives: a folder was copied, and if each
 * took the other's place they would do so for ever. Who comes from the same place under the same name has come again.
 * A node that has moved waits until its former session has timed out.
 */
static bool is_another_node(const struct primary_session *session, const struct primary_session *former)
{
    const struct primary *primary = session->primary;
    const struct replication_hello *mine = &session->hello, *theirs = &former->hello;

    if (primary->now_ns - former->alive_ns >= primary->config.timeout_ms * UINT64_C(1000000))
        return false;
    return !primary_same_source(session, former) || mine->client_port != theirs->client_port ||
           strncmp(mine->name, theirs->name, sizeof mine->name) != 0;
}

/* It has said HELLO. */
static void greet(struct primary_session *session)
{
    struct primary *primary = session->primary;
    const struct replication_hello *hello = &session->hello;
    struct primary_session *former = replica_with_id(primary, hello->node_id);
    struct verdict verdict = {.refuse = 0};
    char who[WHO_BYTES];

    if (primary->leads)
        primary_judge(primary, hello, &verdict);
    else
        primary_refuse(&verdict, REFUSE_NOT_PRIMARY, "it is a replica, or is yet to be promoted");
    if (verdict.refuse == REFUSE_STALE_EPOCH && primary->config.seat.heard != NULL)
        primary->config.seat.heard(primary->config.seat.state, hello->epoch);
    if (verdict.refuse == 0 && former != NULL && is_another_node(session, former)) {
        verdict.refuse = REFUSE_SAME_NODE;
        snprintf(verdict.text, sizeof verdict.text, "node id %016" PRIx64 " is that of %s", hello->node_id,
                 primary_who(former, who));
    }
    if (verdict.refuse == 0 && former == NULL && primary_replica_count(primary) >= PRIMARY_REPLICAS_MAX) {
        verdict.refuse = REFUSE_CROWDED;
        snprintf(verdict.text, sizeof verdict.text, "%u are there", (unsigned)PRIMARY_REPLICAS_MAX);
    }
    if (verdict.refuse != 0) {
        turn_away(session, &verdict);
        return;
    }
    if (former != NULL)
        primary_drop(former, REPLICATION_replaced);
    replication_count(primary->config.counters, REPLICATION_sessions, 1);
    session->since_ns = session->alive_ns = primary->now_ns;
    session->welcome_lsn = primary->log.durable_lsn;
    session->welcome_due = true;
    session->bootstrap = verdict.start == WELCOME_BOOTSTRAP;
    session->state = SESSION_EMPTYING;
    if (session->bootstrap) {
        primary_say(primary, false, "replica %s begins anew, with a snapshot", primary_who(session, who));
    } else {
        primary_say(primary, false, "replica %s goes on after LSN %" PRIu64, primary_who(session, who),
                    hello->lsn);
        session->position = hello->lsn;
        primary_find_source(session);
    }
}

static unsigned newcomer_turn(struct primary_session *session)
{
    const struct primary *primary = session->primary;

    if (session->said_hello) {
        greet(session);
        return 1;
    }
    if (primary->now_ns - session->since_ns >= PRIMARY_HELLO_NS) {
        primary_drop(session, REPLICATION_silent);
        return 1;
    }
    unsigned done = channel_turn(&session->channel) > 0; /* of the handshake */
    primary_has_ended(session);
    return done;
}

static bool is_overdue(const struct primary_session *session)
{
    const struct primary *primary = session->primary;
    uint64_t limit_ns = session->state == SESSION_EMPTYING ? PRIMARY_EMPTY_NS
                                                           : primary->config.timeout_ms * UINT64_C(1000000);
    return primary->now_ns - session->alive_ns >= limit_ns;
}

static unsigned session_turn(struct primary_session *session)
{
    switch ((enum session_state)session->state) {
    case SESSION_FREE:
        return 0;
    case SESSION_NEWCOMER: {
        unsigned done = newcomer_turn(session);
        return session_is_replica(session) ? done + primary_send(session) : done;
    }
    case SESSION_CALLER:
        return primary_caller_turn(session);
    case SESSION_ENDING:
        return ending_turn(session);
    case SESSION_EMPTYING:
    case SESSION_WAITING:
    case SESSION_FEEDING:
    case SESSION_STREAMING:
        break;
    }
    if (is_overdue(session)) {
        primary_drop(session, REPLICATION_timed_out);
        return 1;
    }
    return primary_send(session);
}

/* Who was not there for so long cannot say that nobody was heard: what came meanwhile is dated before it. */
static void forgive_silence(struct primary *primary, uint64_t mono_ns)
{
    if (mono_ns - primary->now_ns <= primary->config.timeout_ms * UINT64_C(1000000) / 2)
        return;
    for (unsigned i = 0; i < primary->used_count; i++) {
        struct primary_session *session = &primary->session[primary->used[i]];
        session->alive_ns = session->begun_ns = mono_ns;
    }
}

unsigned primary_turn(struct primary *primary, const struct primary_log *log, uint64_t mono_ns,
                      uint64_t wall_ms)
{
    forgive_silence(primary, mono_ns);
    primary->log = *log;
    primary->now_ns = mono_ns;
    primary->wall_ms = wall_ms;
    if (primary->leads && log->durable_lsn > primary->told_durable_lsn) {
        primary->told_durable_lsn = log->durable_lsn;
        feeder_tell_durable(primary->config.feeder, log->durable_lsn);
    }
    primary->budget = PRIMARY_TURN_BYTES;
    unsigned done = primary_open_feeds(primary), count = primary->used_count, first = primary->first;
    bool used_up = false;
    /* Places are given back by the links' ends only, not from in here. */
    for (unsigned i = 0; i < count; i++) {
        done += session_turn(&primary->session[primary->used[(first + i) % count]]);
        if (!used_up && primary->budget <= 0) {
            used_up = true;
            primary->first = (first + i + 1) % count;
        }
    }
    return done;
}

bool primary_hand_over(struct primary *primary, uint64_t node_id, uint32_t epoch)
{
    struct primary_session *session = replica_with_id(primary, node_id);
    if (session == NULL || session->state != SESSION_STREAMING)
        return false;
    session->handover_epoch = epoch;
    return true;
}

void primary_close_all(struct primary *primary)
{
    primary->closed = true;
    for (unsigned i = 0; i < primary->used_count; i++)
        primary_close(&primary->session[primary->used[i]]);
}
