/*
 * channel_fixture.h - the owner of one end of a channel, for tests and fuzzers: it has messages to send, whose bytes follow
 * from their number, and compares what comes with what the other end's owner had to send.
 */
#ifndef WILD_TEST_CHANNEL_FIXTURE_H
#define WILD_TEST_CHANNEL_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "link_pair.h"
#include "seeded.h"

enum { SIDE_MESSAGES = 256 };

/* What an owner may do from inside an event. */
enum side_act { SIDE_GOES_ON, SIDE_CLOSES, SIDE_ABORTS };

struct channel_side {
    struct session_keys session;
    struct channel channel;
    struct channel_config config;
    struct link_pair *pair;
    struct channel_side *peer;
    unsigned number; /* of our end of the pair */
    struct random_source random;
    uint64_t seed;
    uint8_t *receive;
    /* to be sent: payload's bytes; 0: an ACK */
    uint32_t sizes[SIDE_MESSAGES];
    unsigned queued, begun; /* messages; those given to channel_send() */
    uint8_t *payload;       /* of the one that is being sent */
    uint32_t spoilt;        /* of its bytes, those that nobody may need any more */
    /* what came */
    unsigned asked, opened, came, wrong, late;
    unsigned gone;
    /* what the owner does */
    bool refuses;
    enum side_act when_asked, when_opened, when_came;
    unsigned at_message; /* when_came: at the message with this number */
    bool not_ready;      /* for messages, but for the next ready_for */
    unsigned ready_for;
    uint8_t *held;
};

static inline uint8_t side_byte(unsigned side, unsigned n, size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) + n * 13 + side * 101);
}

static inline struct replication_message side_message(const struct channel_side *s, unsigned n)
{
    if (s->sizes[n] == 0)
        return (struct replication_message){
            .type = REPLICATION_ACK,
            .ack = {.applied_lsn = n, .echo_ns = s->number, .state = REPLICA_SERVING}};
    return (struct replication_message){.type = REPLICATION_BATCH,
                                        .batch = {.acknowledged_lsn = n, .sent_ns = s->number},
                                        .payload_bytes = s->sizes[n]};
}

static inline bool side_is_right(const struct channel_side *from, unsigned n,
                                 const struct replication_message *m)
{
    if (n >= from->begun)
        return false; /* nobody sent that */
    struct replication_message sent = side_message(from, n);
    if (m->type != sent.type || m->payload_bytes != sent.payload_bytes)
        return false;
    if (m->type == REPLICATION_ACK)
        return m->ack.applied_lsn == n && m->ack.echo_ns == from->number && m->ack.state == REPLICA_SERVING;
    for (uint32_t i = 0; i < m->payload_bytes; i++)
        if (m->payload[i] != side_byte(from->number, n, i))
            return false;
    return m->batch.acknowledged_lsn == n && m->batch.sent_ns == from->number;
}

static inline void side_acts(struct channel_side *s, enum side_act act)
{
    if (act == SIDE_CLOSES)
        channel_close(&s->channel);
    else if (act == SIDE_ABORTS)
        channel_abort(&s->channel);
}

static inline bool side_may_compute(void *owner)
{
    struct channel_side *s = owner;
    s->asked++;
    s->late += s->channel.state != CHANNEL_SHAKING;
    side_acts(s, s->when_asked);
    return !s->refuses;
}

static inline void side_opened(void *owner)
{
    struct channel_side *s = owner;
    s->opened++;
    s->late += s->channel.state != CHANNEL_OPEN;
    side_acts(s, s->when_opened);
}

static inline void side_came(void *owner, const struct replication_message *message)
{
    struct channel_side *s = owner;
    s->late += s->channel.state != CHANNEL_OPEN || s->opened != 1;
    s->wrong += !side_is_right(s->peer, s->came, message);
    if (s->came++ == s->at_message)
        side_acts(s, s->when_came);
}

static inline bool side_ready(void *owner)
{
    struct channel_side *s = owner;
    s->late += s->channel.state != CHANNEL_OPEN;
    if (!s->not_ready)
        return true;
    if (s->ready_for == 0)
        return false;
    s->ready_for--;
    return true;
}

static const struct channel_events side_events = {
    .may_compute = side_may_compute, .opened = side_opened, .message = side_came, .ready = side_ready};

/* Takes what was held, and sends what there is to send; payloads are freed as soon as they may be, and spoilt where they are not needed. */
static inline size_t side_turn(struct channel_side *s)
{
    (void)channel_resume(&s->channel);
    size_t bytes = channel_turn(&s->channel);
    for (;;) {
        if (channel_sending(&s->channel)) {
            uint32_t sent = channel_payload_sent(&s->channel);
            for (; s->spoilt < sent; s->spoilt++)
                s->payload[s->spoilt] = 0xdd;
            return bytes;
        }
        free(s->payload);
        s->payload = NULL;
        s->spoilt = 0;
        if (s->channel.state != CHANNEL_OPEN || s->begun == s->queued)
            return bytes;
        unsigned n = s->begun++;
        struct replication_message message = side_message(s, n);
        if (message.payload_bytes > 0)
            s->payload = malloc(message.payload_bytes);
        for (uint32_t i = 0; i < message.payload_bytes; i++)
            s->payload[i] = side_byte(s->number, n, i);
        channel_send(&s->channel, &message, s->payload, NULL, NULL);
        bytes += channel_turn(&s->channel);
    }
}

static inline void side_queue(struct channel_side *s, uint32_t size)
{
    if (s->queued < SIDE_MESSAGES)
        s->sizes[s->queued++] = size;
}

static inline size_t side_received(void *user, uint8_t *bytes, size_t length)
{
    struct channel_side *s = user;
    size_t taken = channel_received(&s->channel, bytes, length);
    side_turn(s);
    return taken;
}

static inline void side_writable(void *user)
{
    side_turn(user);
}

static inline void side_gone(void *user)
{
    struct channel_side *s = user;
    s->gone++;
    channel_gone(&s->channel);
    side_turn(s);
}

static const struct link_user side_user = {
    .received = side_received, .writable = side_writable, .gone = side_gone};

/* A server (number 0) or a client (1) with these secrets. */
static inline struct channel_side *side_new(unsigned number, const struct role_keys *first,
                                            const struct role_keys *second,
                                            const struct handshake_identity *identity, uint32_t receive_bytes)
{
    struct channel_side *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    memset(s, 0, sizeof *s);
    s->number = number;
    s->seed = seeded_start(number + 1);
    s->random = seeded_source(&s->seed);
    s->receive = malloc(receive_bytes);
    s->held = malloc(RECORD_MESSAGE_BYTES_MAX);
    s->config = (struct channel_config){.events = &side_events,
                                        .owner = s,
                                        .keys = {first, second},
                                        .identity = identity,
                                        .random = &s->random,
                                        .session = &s->session,
                                        .receive = s->receive,
                                        .receive_bytes = receive_bytes,
                                        .held = s->held,
                                        .server = number == 0};
    return s;
}

/* (Again) on an end of a pair; what came and what was sent begins anew. */
static inline void side_start(struct channel_side *s, struct link_pair *pair, struct channel_side *peer)
{
    s->pair = pair;
    s->peer = peer;
    s->begun = s->asked = s->opened = s->came = s->wrong = s->late = s->gone = 0;
    link_pair_user(pair, s->number, &side_user, s);
    channel_start(&s->channel, &s->config, &pair->end[s->number].link);
}

/* Nothing of the keys is left. */
static inline bool side_is_wiped(const struct channel_side *s)
{
    const uint8_t *session = (const uint8_t *)&s->session;
    for (size_t i = 0; i < sizeof s->session; i++)
        if (session[i] != 0)
            return false;
    for (size_t i = 0; i < sizeof s->channel.client.secret; i++)
        if (s->channel.client.secret[i] != 0)
            return false;
    return true;
}

static inline void side_free(struct channel_side *s)
{
    free(s->payload);
    free(s->receive);
    free(s->held);
    free(s);
}

#endif
