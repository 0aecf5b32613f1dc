/*
 * primary_send.c - what each replica is sent, one message at a time: WELCOME; a snapshot and blocks of the
 * log as the feeder hands them out; blocks of the tail; heartbeats.
 *
 * From disk to memory and back. A replica that is fed joins the tail only in its newer half, and one that has
 * fallen into its last eighth is fed again if a feed can be had: so one that is about as fast as the log does
 * not go to and fro, and it takes a replica far slower than the log to be caught by the ring's turn with a
 * block half sent.
 */
#include "primary_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "wal_block.h"
#include "wire.h"

/* tail_behind() */
enum { JOIN_BEHIND_MAX = 512, LEAVE_BEHIND = 896 };

static_assert((int)PRIMARY_TURN_BYTES >= (int)REPLICATION_PAYLOAD_BYTES_MAX,
              "whatever comes next fits a turn");

/* Of a block's header (wal_block.h). */
enum { BLOCK_LENGTH_AT = 12, BLOCK_COUNT_AT = 20, BLOCK_FIRST_LSN_AT = 24 };

/* ---- one message ---- */

static void begin(struct primary_session *session, const struct replication_message *message,
                  const uint8_t *payload)
{
    const struct primary *primary = session->primary;
    bool is_welcome = message->type == REPLICATION_WELCOME;

    channel_send(&session->channel, message, payload, is_welcome ? primary->history : NULL,
                 is_welcome ? session->welcome : NULL);
    session->sending = message->type;
    session->waits = false;
    session->begun_ns = primary->now_ns;
}

/* Each BATCH and HEARTBEAT has a time of its own, so that an echo names one. */
static uint64_t stamp(struct primary_session *session)
{
    uint64_t now_ns = session->primary->now_ns;
    session->stamp_ns = now_ns > session->stamp_ns ? now_ns : session->stamp_ns + 1;
    if (session->outstanding_ns == 0)
        session->outstanding_ns = session->stamp_ns;
    session->told_lsn = session->primary->log.acknowledged_lsn;
    return session->stamp_ns;
}

static void begin_welcome(struct primary_session *session)
{
    const struct primary *primary = session->primary;
    const struct primary_config *config = &primary->config;
    const struct meta *meta = config->meta;
    struct replication_message message = {
        .type = REPLICATION_WELCOME,
        .welcome = {.node_id = meta->node_id,
                    .capacity = config->capacity,
                    .durable_lsn = primary->log.durable_lsn,
                    .acknowledged_lsn = primary->log.acknowledged_lsn,
                    .wall_ms = primary->wall_ms,
                    .epoch = meta->history[meta->count - 1].epoch,
                    .heartbeat_ms = config->heartbeat_ms,
                    .timeout_ms = config->timeout_ms,
                    .version = REPLICATION_VERSION,
                    .client_port = config->client_port,
                    .start = session->bootstrap ? WELCOME_BOOTSTRAP : WELCOME_RESUME,
                    .histories = primary->history_count}};
    memcpy(message.welcome.cluster_id, meta->cluster_id, CLUSTER_ID_BYTES);
    memcpy(message.welcome.client_address, config->client_address, REPLICATION_ADDRESS_BYTES);
    session->welcome_due = false;
    begin(session, &message, NULL);
}

static void begin_heartbeat(struct primary_session *session)
{
    const struct primary *primary = session->primary;
    struct replication_message message = {.type = REPLICATION_HEARTBEAT,
                                          .heartbeat = {.acknowledged_lsn = primary->log.acknowledged_lsn,
                                                        .durable_lsn = primary->log.durable_lsn,
                                                        .sent_ns = stamp(session),
                                                        .wall_ms = primary->wall_ms}};
    begin(session, &message, NULL);
}

static void begin_batch(struct primary_session *session, const uint8_t *block, uint32_t length,
                        uint64_t next_lsn)
{
    struct replication_message message = {.type = REPLICATION_BATCH, .payload_bytes = length};
    message.batch = (struct replication_batch){.acknowledged_lsn = session->primary->log.acknowledged_lsn,
                                               .sent_ns = stamp(session)};
    session->position_next = next_lsn - 1;
    begin(session, &message, block);
}

void primary_send_refuse(struct primary_session *session, const struct verdict *verdict)
{
    struct replication_message message = {.type = REPLICATION_REFUSE, .refuse = {.reason = verdict->refuse}};
    memcpy(message.refuse.text, verdict->text, sizeof message.refuse.text);
    begin(session, &message, NULL);
    primary_close(session);
}

void primary_send_standing(struct primary_session *session, const struct replication_standing *standing)
{
    begin(session, &(struct replication_message){.type = REPLICATION_STANDING, .standing = *standing}, NULL);
}

static void begin_handover(struct primary_session *session)
{
    struct replication_message message = {.type = REPLICATION_HANDOVER,
                                          .handover = {.epoch = session->handover_epoch}};
    session->handover_epoch = 0;
    begin(session, &message, NULL);
}

/* ---- from disk ---- */

/* From the tail, if it has what comes next and is not about to lose it. */
static bool join_tail(struct primary_session *session)
{
    const struct tail *tail = session->primary->config.tail;
    uint64_t number;

    if (session->bootstrap || !tail_find(tail, session->position, &number) ||
        tail_behind(tail, number) > JOIN_BEHIND_MAX)
        return false;
    session->cursor = number;
    session->state = SESSION_STREAMING;
    primary_end_feed(session);
    return true;
}

void primary_find_source(struct primary_session *session)
{
    if (!join_tail(session))
        primary_wait_for_feed(session);
}

static void give_item_back(struct primary_session *session)
{
    feeder_give_back(session->primary->config.feeder, session->feed);
    session->item = NULL;
    session->fed = 0;
}

static const char *feed_error_text(int error)
{
    switch (error) {
    case -ENOENT:
        return "it is not there any more";
    case -ESTALE:
        return "its folder is gone";
    default:
        return strerror(-error);
    }
}

/* The feeder has nothing more for it. */
static void feed_has_ended(struct primary_session *session, int error)
{
    struct primary *primary = session->primary;
    char who[WHO_BYTES];

    if (error == -ENOENT && !session->bootstrap && session->position >= primary->log_from_lsn)
        primary->log_from_lsn = session->position + 1; /* it will be told to begin anew when it comes again */
    replication_count(primary->config.counters, REPLICATION_feed_ended, 1);
    primary_say(primary, true, "replica %s: what comes after LSN %" PRIu64 " cannot be read from the log: %s",
                primary_who(session, who), session->position, feed_error_text(error));
    primary_close(session);
}

/* The next block of the item. */
static void begin_fed_block(struct primary_session *session)
{
    const struct feed_item *item = session->item;
    const uint8_t *block = item->bytes + session->fed;

    CHECK(item->length - session->fed >= WAL_BLOCK_HEADER_BYTES);
    uint32_t length = wire_u32(block + BLOCK_LENGTH_AT);
    CHECK(length >= WAL_BLOCK_HEADER_BYTES && length <= item->length - session->fed);
    session->sending_block = length;
    begin_batch(session, block, length,
                wire_u64(block + BLOCK_FIRST_LSN_AT) + wire_u32(block + BLOCK_COUNT_AT));
}

/* Begins the next message from the feed: false: none now, or the session has another state. */
static bool next_fed(struct primary_session *session)
{
    struct feeder *feeder = session->primary->config.feeder;

    if (join_tail(session) || session->primary->budget <= 0)
        return false;
    if (session->item == NULL)
        session->item = feeder_take(feeder, session->feed);
    const struct feed_item *item = session->item;
    if (item == NULL)
        return false;
    struct replication_message message = {.payload_bytes = 0};
    switch (item->type) {
    case FEED_BLOCKS:
        begin_fed_block(session);
        return true;
    case FEED_ENDED:
        feed_has_ended(session, item->error);
        return false;
    case FEED_BEGIN:
        message.type = REPLICATION_SNAPSHOT_BEGIN;
        message.begin = item->begin;
        session->position_next = session->snapshot_lsn = item->begin.start_lsn; /* once END is sent */
        break;
    case FEED_CHUNK:
        message.type = REPLICATION_SNAPSHOT_CHUNK;
        message.payload_bytes = item->length;
        break;
    case FEED_END:
        message.type = REPLICATION_SNAPSHOT_END;
        message.end = item->end;
        break;
    }
    begin(session, &message, message.payload_bytes > 0 ? item->bytes : NULL);
    return true;
}

/* ---- from memory ---- */

static bool next_streamed(struct primary_session *session)
{
    const struct primary *primary = session->primary;
    const struct tail *tail = primary->config.tail;
    struct tail_block block;

    if (!tail_holds(tail, session->cursor)) {
        primary_wait_for_feed(session);
        return false;
    }
    /* Of a log whose folder is gone the writer goes on saying that blocks are durable; the node does not (node_log.c). */
    if (!tail_at(tail, session->cursor, &block) || block.next_lsn - 1 > primary->told_durable_lsn) {
        if (primary->log.acknowledged_lsn == session->told_lsn)
            return false;
        begin_heartbeat(session); /* no block will carry it, and its readers wait for it */
        return true;
    }
    if (tail_behind(tail, session->cursor) >= LEAVE_BEHIND && primary_open_feed(session))
        return false;
    if (primary->budget <= 0)
        return false;
    begin_batch(session, block.bytes, block.length, block.next_lsn);
    return true;
}

/* ---- what comes next ---- */

/* Begins the next message, if there is one, and what is left of the turn's bytes allows it. */
static bool next(struct primary_session *session)
{
    const struct primary *primary = session->primary;

    if (session->welcome_due) {
        begin_welcome(session);
        return true;
    }
    if (session->handover_epoch != 0 && session->welcomed) {
        begin_handover(session);
        return true;
    }
    if (primary->now_ns >= session->stamp_ns + primary->config.heartbeat_ms * UINT64_C(1000000)) {
        begin_heartbeat(session);
        return true;
    }
    /* A feed that ends leads to the tail, and the other way round: once each. */
    for (unsigned i = 0; i < 2; i++) {
        enum session_state state = (enum session_state)session->state;
        if ((state == SESSION_FEEDING && next_fed(session)) ||
            (state == SESSION_STREAMING && next_streamed(session)))
            return true;
        if (session->state == state)
            break;
    }
    return false;
}

/* The message on its way is through. */
static void is_sent(struct primary_session *session)
{
    struct primary *primary = session->primary;

    switch ((enum replication_type)session->sending) {
    case REPLICATION_WELCOME:
        session->welcomed = true;
        break;
    case REPLICATION_SNAPSHOT_END:
        session->bootstrap = false;
        session->fed_ns = primary->now_ns;
        session->position = session->position_next;
        replication_count(primary->config.counters, REPLICATION_bootstraps, 1);
        give_item_back(session);
        break;
    case REPLICATION_SNAPSHOT_BEGIN:
    case REPLICATION_SNAPSHOT_CHUNK:
        give_item_back(session);
        break;
    case REPLICATION_BATCH:
        session->position = session->position_next;
        if (session->state == SESSION_STREAMING) {
            session->cursor++;
            replication_count(primary->config.counters, REPLICATION_tail_batches, 1);
        } else {
            session->fed += session->sending_block;
            if (session->fed == session->item->length)
                give_item_back(session);
        }
        break;
    default:
        break;
    }
    session->sending = 0;
}

bool primary_payload_holds(const struct primary_session *session)
{
    return !channel_sending(&session->channel) || session->sending != REPLICATION_BATCH ||
           session->item != NULL || tail_holds(session->primary->config.tail, session->cursor);
}

unsigned primary_send(struct primary_session *session)
{
    struct primary *primary = session->primary;
    unsigned done = 0;

    for (;;) {
        if (session->sending == 0 && (!session_is_replica(session) || !next(session)))
            return done;
        if (!primary_payload_holds(session)) {
            primary_drop(session, REPLICATION_too_slow);
            return done + 1;
        }
        if (session->waits && primary->budget <= 0)
            return done;
        size_t sent = channel_turn(&session->channel);
        replication_count(primary->config.counters, REPLICATION_sent_bytes, sent);
        session->sent_bytes += sent;
        primary->budget -= (int64_t)sent;
        done += sent > 0;
        if (primary_has_ended(session))
            return done + 1;
        if (sent > 0 && session->waits)
            session->alive_ns = primary->now_ns;
        session->waits = true;
        if (channel_sending(&session->channel))
            return done;
        is_sent(session);
        done++;
    }
}
