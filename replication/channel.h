/*
 * channel.h - the messages of one replication session on a link: handshake, sealed records, messages whole. Both ends.
 *
 *   server   INIT --> (mac1 checked, then may_compute asked) --> RESPONSE --> CONFIRM --> OPEN, READY
 *   client   INIT --> RESPONSE --> CONFIRM --> READY --> OPEN
 *   OPEN --channel_close()--> CLOSING --all is sent--> ENDED
 *   any --channel_abort(), ended by the peer, or what came is not in order--> ENDED
 *
 * IDLE     nothing has begun
 * SHAKING  no message goes or comes
 * OPEN     both keys are there
 * CLOSING  no event comes; what was being sent still goes, then CLOSE; then the link is closed. How long that may
 *          take is the owner's to mind
 * ENDED    the link is closed or aborted, keys are wiped; no event comes; channel_gone() is all that is left
 *
 * Cost of a handshake: 60 us on the thread that owns the channel, on both sides; so a server's owner says how often. A
 * peer without the role's key costs a SipHash; it gets no answer, and the link is aborted.
 *
 * Input. Messages come whole, in order, by `message`, in memory that is good until it returns. A message above
 * `receive_bytes` ends the channel. An owner with `ready` is asked before each; when it is not, the channel holds what is
 * there (of one record, and a message), and takes nothing more until channel_resume() finds that it is.
 *
 * Output. One message at a time: its head is copied, its payload is borrowed until channel_sending() says that it is
 * through: the owner must keep those bytes as they are till then, or end the channel. Records are sealed straight into
 * the stream's room: the one copy that they get (what shares a record with the head has two).
 *
 * The owner learns of an end by `state` and `end`, after each call. It may close or abort the channel from inside an
 * event; the channel's memory stays until that call has returned.
 *
 * Nothing here allocates, waits, or reads a clock.
 */
#ifndef WILD_CHANNEL_H
#define WILD_CHANNEL_H

#include <stdbool.h>

#include "handshake.h"
#include "link.h"
#include "record.h"
#include "replication_message.h"

struct channel;

struct channel_events {
    /* Server: a peer that holds the key wants to shake hands, now. False: the link is aborted. */
    bool (*may_compute)(void *owner);
    void (*opened)(void *owner);
    void (*message)(void *owner, const struct replication_message *message);
    bool (*ready)(void *owner); /* for the next message; NULL: always */
};

struct channel_config {
    const struct channel_events *events;
    void *owner;
    /* Secrets in force; keys[1] may be NULL. A server takes either; a client uses one, and the other at its next start
     * if the handshake did not come to its end. */
    const struct role_keys *keys[2];
    const struct handshake_identity *identity; /* server: ours */
    const struct random_source *random;
    struct session_keys *session; /* in an arena; the channel's as long as it lives, wiped at its end */
    uint8_t *receive;             /* of the owner: receive_bytes of room for messages that come in pieces */
    uint32_t receive_bytes;       /* at least REPLICATION_UPSTREAM_BYTES_MAX */
    uint8_t *held;                /* of an owner with `ready`: RECORD_MESSAGE_BYTES_MAX of room; else NULL */
    bool server;
    const struct record_limits *limits; /* NULL: record_limits_default */
};

enum channel_state { CHANNEL_IDLE, CHANNEL_SHAKING, CHANNEL_OPEN, CHANNEL_CLOSING, CHANNEL_ENDED };

/* Why a channel has ended, for logs and counters. */
enum channel_end {
    CHANNEL_LIVES,
    CHANNEL_CLOSED,       /* by an authenticated CLOSE, or by us */
    CHANNEL_CUT,          /* the stream ended without a word */
    CHANNEL_BAD_KEY,      /* what came first was not made with our key: garbage, or another secret */
    CHANNEL_NOT_IN_ORDER, /* later: a record or message that is not valid, or not expected */
    CHANNEL_REFUSED,      /* may_compute said no */
};

struct channel { /* zeroed before its first start */
    struct channel_config config;
    struct link link;
    uint8_t state, end; /* enum channel_state, enum channel_end */
    uint8_t key_index;  /* of config.keys: the one in use */
    bool shaken;        /* the handshake came to its end */
    struct record_reader reader;
    struct record_writer writer;
    struct handshake_client client;
    /* A record that came in part. */
    uint8_t record[RECORD_BYTES_MAX];
    /* The message that is coming: `have` of `need` bytes (all: the owner was not ready); need 0: its length is not there
     * yet. */
    uint32_t have, need;
    /* The owner was not ready: what a record brought behind the message that it was asked for, in config.held. */
    bool holding;
    uint32_t held_at, held_end;
    /* A message of the handshake that is yet to be sent. */
    uint8_t shake[HANDSHAKE_INIT_BYTES];
    uint32_t shake_bytes; /* 0: none */
    /* The message that is going: head, then payload, `sent` of both. */
    uint8_t head[REPLICATION_UPSTREAM_BYTES_MAX];
    const uint8_t *payload;
    uint32_t head_bytes, payload_bytes, sent;
    const uint8_t *long_head; /* a WELCOME's, of the owner's */
    size_t fresh_bytes;       /* given to the link since channel_turn() last told */
};

/*
 * Begins on a link that is open. A client's first message leaves at once. The channel is IDLE, or ENDED and its link
 * gone; config is copied.
 */
void channel_start(struct channel *channel, const struct channel_config *config, const struct link *link);
/* What the link brought. How much of it was taken: all, but where the owner is not ready; the rest is given again, with
 * what follows it. */
size_t channel_received(struct channel *channel, uint8_t *bytes, size_t length);
/* Goes on with what is held, if the owner is ready. True: nothing is held (any more). */
bool channel_resume(struct channel *channel);
/*
 * The link has room again, or time has passed: goes on sending until there is no room or nothing to send. Returns the
 * bytes that were given to the link since it last returned, channel_send()'s and the handshake's among them.
 */
size_t channel_turn(struct channel *channel);

/* A message is on its way out, and its payload is borrowed. */
static inline bool channel_sending(const struct channel *channel)
{
    return channel->head_bytes != 0;
}

/* The payload that is borrowed is still wanted from this offset on. */
uint32_t channel_payload_sent(const struct channel *channel);

/*
 * Begins to send: as much as there is room for now, the rest by channel_turn(). OPEN, and nothing is being sent.
 * message: as replication_encode() takes it; payload: message's payload_bytes, borrowed. histories: of a WELCOME, whose
 * bytes are written to `long_head`, the owner's, with room for replication_welcome_bytes() and borrowed too; else NULL.
 */
void channel_send(struct channel *channel, const struct replication_message *message, const uint8_t *payload,
                  const struct replication_history *histories, uint8_t *long_head);

/*
 * Ends in order, once what is being sent is (nothing is: at once, if there is room): channel_turn() goes on till then.
 * No more events come. SHAKING: now, for there is nothing to end yet.
 */
void channel_close(struct channel *channel);
/* Ends now. No more events come. */
void channel_abort(struct channel *channel);
/* The link is gone, whoever ended it: nothing of it is used any more. Keys are wiped. */
void channel_gone(struct channel *channel);

#endif
