/*
 * record.h - WILD over TCP: the handshake's messages, and after them sealed records, on one stream of bytes.
 *
 *   client                                       server
 *     INIT  -------------------------------->      handshake.h, each message as it is
 *     <------------------- COOKIE or RESPONSE      (a COOKIE is answered by INIT again)
 *     CONFIRM, records  -------------------->
 *     <----------------------- READY, records
 *
 * RECORD
 *   offset size  field
 *   0      1     magic     0xF7
 *   1      1     kind      enum record_kind
 *   2      2     length    of the message, n, little-endian
 *   4      n     message   DATA: 1..16,384 bytes, encrypted; CLOSE, REKEY: empty; PLAIN: 1..16,384, as it is
 *   4+n    16    tag       the AEAD's, of the session's suite; PLAIN: none
 *
 * The header is additional data. The nonce is 4 zero bytes, then the record's number, 64 bits little-endian:
 * it is not sent. Each direction has its own key (handshake.h: keys 1 and 2) and numbers its records from 0,
 * CLOSE and REKEY too. So a record that is changed, repeated, left out, moved, or sent back to its sender
 * fails, and the connection with it.
 *
 *   DATA   one message (message.h between client and node)
 *   CLOSE  the sender's last record. A stream that ends without one was cut off: by a crash, or by somebody
 *          who wants its last part unseen.
 *   REKEY  the sender's last record under this key. The next is kdf(key, 1, "wildrkey", 32) (kdf: keys.h),
 *          its records are numbered from 0. A sender sends it before a key has sealed 2^24 records (itself
 *          included) or 2^36 bytes of messages, and never first under a key; receivers refuse what does not
 *          keep to this.
 *   PLAIN  instead of handshake and records, from the first byte on: only to a node in bench mode
 *          (--insecure-no-auth), answered by PLAIN. Nothing else may follow on that connection.
 *
 * What is received is in order if and only if: magic is right; kind is one of those that may come next;
 * length is in its range for the kind; the tag verifies; the key has not sealed more than it may. Anything
 * else ends the connection, without an answer.
 *
 * A key must not seal two records with one number, so a record that was sealed must be sent, and when TCP
 * repeats a segment it repeats these bytes.
 */
#ifndef WILD_RECORD_H
#define WILD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datagram.h"

/* Not among enum datagram_kind: on a stream both follow each other. Below 32: sets of kinds are bits. */
enum record_kind {
    RECORD_DATA = 16,
    RECORD_CLOSE = 17,
    RECORD_REKEY = 18,
    RECORD_PLAIN = 19,
};
#define RECORD_KIND_BIT(kind) (UINT32_C(1) << (kind))
/* What a session's records are, once the handshake is over. */
#define RECORD_KINDS_SEALED                                                                                  \
    (RECORD_KIND_BIT(RECORD_DATA) | RECORD_KIND_BIT(RECORD_CLOSE) | RECORD_KIND_BIT(RECORD_REKEY))

/* How much one key may seal. Both sides must have the same: record_limits_default, but in tests. */
struct record_limits {
    uint64_t records, bytes;
};
extern const struct record_limits record_limits_default;

/* ---- writing ---- */

/* One direction's sender. The key lives in an arena and is changed by REKEY. */
struct record_writer {
    struct direction_key *key; /* NULL: PLAIN */
    const struct record_limits *limits;
    uint64_t counter, bytes; /* under this key: the next record's number, bytes sealed */
};

/* Room that record_seal() may need besides the message: its own header and tag, and a REKEY behind it. */
enum { RECORD_ROOM_BYTES = 2 * RECORD_OVERHEAD_BYTES };

static inline struct record_writer record_writer_start(struct direction_key *key,
                                                       const struct record_limits *limits)
{
    return (struct record_writer){.key = key, .limits = limits};
}

/*
 * Makes a DATA record (PLAIN: without a key) around a message of 1..RECORD_MESSAGE_BYTES_MAX bytes and
 * returns its bytes; when the key is used up by it, a REKEY follows in the same bytes. `message` stands at
 * out + RECORD_HEADER_BYTES, or does not overlap out's length + RECORD_ROOM_BYTES.
 */
size_t record_seal(struct record_writer *writer, const uint8_t *message, size_t length, uint8_t *out);

/* Makes a CLOSE record (without a key: nothing, 0 bytes). The writer's last. */
size_t record_close(struct record_writer *writer, uint8_t out[RECORD_OVERHEAD_BYTES]);

/* ---- reading ---- */

/* One direction's receiver: bytes in any pieces, whole messages out. */
struct record_reader {
    struct direction_key *key; /* NULL until the handshake has made it */
    const struct record_limits *limits;
    uint64_t counter, bytes; /* as record_writer */
    uint32_t
        expected; /* RECORD_KIND_BIT()s, of datagram_kind (handshake) and record_kind: what may come next */
    uint32_t held, room; /* bytes in the buffer, and its size */
    uint8_t *buffer;     /* the owner's; see record_reader_lend() */
    bool failed;
};

enum record_event {
    RECORD_NEEDS_BYTES,  /* all that was given is taken in; nothing is whole */
    RECORD_NEEDS_BUFFER, /* lend one of at least item.length bytes, then call again */
    RECORD_HANDSHAKE, /* a handshake message of item.kind, item.bytes and item.length: not checked but that */
    RECORD_MESSAGE,   /* a DATA (opened) or PLAIN message */
    RECORD_REKEYED,   /* the peer has gone on to its next key: nothing to do */
    RECORD_CLOSED,    /* an authenticated CLOSE; nothing may follow */
    RECORD_REFUSED,   /* not in order: end the connection. From now on nothing else comes */
};

struct record_item {
    uint8_t *bytes; /* in the given bytes or in the buffer: good until the next call */
    uint32_t length;
    uint8_t kind;
};

/*
 * The next whole thing in *at .. end, which moves *at behind what was taken. What is whole in the given bytes
 * is opened where it stands, what is not is gathered in the buffer. Call it until it needs bytes.
 */
enum record_event record_next(struct record_reader *reader, uint8_t **at, const uint8_t *end,
                              struct record_item *item);

/* `expected`: kinds that may come first. Without a buffer. */
static inline struct record_reader record_reader_start(uint32_t expected, const struct record_limits *limits)
{
    return (struct record_reader){.expected = expected, .limits = limits};
}

/* The handshake is done: from now on the session's records. */
static inline void record_reader_key(struct record_reader *reader, struct direction_key *key)
{
    reader->key = key;
    reader->expected = RECORD_KINDS_SEALED;
}

/*
 * Another buffer (or NULL, 0 when nothing is held): what is held moves over. Between messages nothing is
 * held, so buffers may come from a pool that is smaller than the number of connections.
 */
void record_reader_lend(struct record_reader *reader, uint8_t *buffer, uint32_t room);

#endif
