/*
 * message.h - the codec of WILD's native protocol: one message of 1..n operations, and its reply.
 *
 * The same bytes travel in UDP datagrams (datagram.h) and in sealed TCP records (record.h). All integers are
 * little-endian. "MUST be zero" fields are refused when they are not, so that they can gain a meaning.
 *
 * MESSAGE (request and reply)                     MESSAGE_HEADER_BYTES = 16
 *   offset size  field
 *   0      1     version      protocol version chosen in the handshake (1)
 *   1      1     reserved     MUST be zero
 *   2      2     count        operations that follow, 1..MESSAGE_OPERATIONS_MAX (a datagram has room for
 *                             DATAGRAM_OPERATIONS_MAX)
 *   4      4     epoch        request: highest epoch the client has seen (0 = none); reply: the node's
 *   8      8     history      request: history that the min_lsn values belong to (0 = none); reply: own
 *   16     ...   operations   packed, no padding
 *
 * OPERATION (request)                             OPERATION_HEADER_BYTES = 32
 *   0      1     opcode       enum opcode
 *   1      1     flags        enum operation_flag
 *   2      1     key_length   see the table below
 *   3      1     durability   enum durability: least level before the reply leaves; never below the server's
 *   4      2     value_length see the table below
 *   6      2     reserved     MUST be zero
 *   8      8     request_id   chosen by the client; see "Retries"
 *   16     8     ttl_ms       SET, INCR (when it creates), TOUCH: lifetime from now; 0 = does not expire;
 *                             other opcodes ignore it
 *   24     8     version      IF_VERSION: the version that must match; MIN_LSN: the LSN to have reached;
 *                             ignored without these flags
 *   32     k     key
 *   32+k   v     value        SET, ECHO: the value; INCR: delta (i64), initial (i64); else empty
 *
 *   opcode      key     value     flags (of the conditions at most one)
 *   1 GET       1..250  0         MIN_LSN, READ_MEMORY
 *   2 SET       1..250  0..1024   IF_ABSENT, IF_PRESENT, IF_VERSION
 *   3 DELETE    1..250  0         IF_PRESENT, IF_VERSION
 *   4 INCR      1..250  16        IF_ABSENT, IF_PRESENT, IF_VERSION
 *   5 TOUCH     1..250  0         IF_PRESENT, IF_VERSION
 *   6 FLUSH     0       0
 *   7 ECHO      0       0..1024
 *   8 HEALTH    0       0
 *
 * REPLY                                           REPLY_HEADER_BYTES = 24
 *   0      1     opcode       of the operation answered
 *   1      1     status       enum status
 *   2      2     value_length 0..1024
 *   4      4     reserved     MUST be zero
 *   8      8     request_id   of the operation answered
 *   16     8     version      the item's version (= LSN of its last change); DELETE, FLUSH: the change's LSN
 *   24     v     value        GET: the value; ECHO: the request's; INCR: the result (i64); HEALTH: see below;
 *                             with NOT_PRIMARY: the primary's client address as text "host:port", empty when
 *                             it is not known, or does not fit
 *
 * A message is valid if and only if: it is at least 16 bytes; version is the session's; reserved is zero;
 * count is in its range; exactly count operations (or replies) follow, each whole inside the message, replies
 * with reserved zero and a value within its range; and nothing follows the last one (requests in
 * unauthenticated PLAIN datagrams may end in zero bytes, see datagram.h). An invalid message is answered by
 * silence (UDP) or by closing (TCP), and none of its operations is executed: read all before acting on any.
 *
 * Inside a valid message, judged for each operation alone and in this order: an unknown opcode, a flag that
 * the opcode does not take, two conditions, an unknown durability or a reserved field that is not zero is
 * answered with BAD_REQUEST; a key above 250 or a value above 1024 bytes with TOO_LARGE; any other length
 * that the opcode does not take with BAD_REQUEST.
 *
 * Every operation of a message gets one reply, in the same order, in one reply message. An operation whose
 * reply would not fit that message is answered with MORE and was not executed.
 *
 * Retries. request_id is what makes a retry safe. Within a session a client gives every new write an id
 * above all before, and repeats an unanswered one with its old id (the datagram's counter is new). The
 * server keeps the outcome of the last RETRY_WINDOW_IDS ids: a repeated write is not executed again, its
 * first outcome is sent (status, version, INCR's result). An id at or below (highest - RETRY_WINDOW_IDS) is
 * answered with TIMEOUT and never executed. So a client keeps all its unanswered ids within one window. GET,
 * ECHO and HEALTH may be repeated freely.
 *
 * Kept are outcomes that the table decided: OK, NOT_FOUND, EXISTS, VERSION_MISMATCH, FULL, NOT_A_NUMBER. The
 * other statuses say that this attempt changed nothing, and the id may be tried again. Hence a client that
 * has sent a write more than once and reads BUSY does not know yet that nothing happened: an earlier copy
 * may still be on its way; it repeats the id until it reads an outcome.
 */
#ifndef WILD_MESSAGE_H
#define WILD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol_limits.h"

enum opcode {
    OPCODE_GET = 1,    /* OK with the value, or NOT_FOUND */
    OPCODE_SET = 2,    /* OK; with conditions EXISTS, NOT_FOUND or VERSION_MISMATCH; FULL */
    OPCODE_DELETE = 3, /* OK or NOT_FOUND; with conditions VERSION_MISMATCH */
    /* OK with the result; an absent item counts as `initial`; NOT_A_NUMBER, also on overflow */
    OPCODE_INCR = 4,
    OPCODE_TOUCH = 5,  /* OK: expiry is now + ttl_ms (0: never); NOT_FOUND */
    OPCODE_FLUSH = 6,  /* OK: every item older than this LSN is gone at once */
    OPCODE_ECHO = 7,   /* OK with the request's value; touches nothing */
    OPCODE_HEALTH = 8, /* OK with struct health; touches nothing */
};

/* Conditions apply to SET, DELETE, INCR and TOUCH; at most one may be set. */
enum operation_flag {
    FLAG_IF_ABSENT = 0x01,   /* SET, INCR: else EXISTS (with the item's version) */
    FLAG_IF_PRESENT = 0x02,  /* SET, DELETE, INCR, TOUCH: else NOT_FOUND */
    FLAG_IF_VERSION = 0x04,  /* item's version must equal `version`: else VERSION_MISMATCH (with the item's),
                                NOT_FOUND if there is none */
    FLAG_MIN_LSN = 0x08,     /* GET: the node must have reached `version`: else STALE or LOST */
    FLAG_READ_MEMORY = 0x10, /* GET: do not wait for the durability of what is read */
    FLAG_CONDITIONS = FLAG_IF_ABSENT | FLAG_IF_PRESENT | FLAG_IF_VERSION,
    FLAG_ALL = FLAG_CONDITIONS | FLAG_MIN_LSN | FLAG_READ_MEMORY,
};

enum durability {
    DURABILITY_DEFAULT = 0, /* the server's own */
    DURABILITY_MEMORY = 1,
    DURABILITY_LOCAL = 2,      /* on the node's stable storage */
    DURABILITY_REPLICATED = 3, /* and on min-replicas members' */
};

/* X-macro: name, number, meaning. The one list of statuses for the server, clients and documents. */
#define STATUS_LIST(X)                                                                                       \
    X(OK, 0, "done")                                                                                         \
    X(NOT_FOUND, 1, "no such key")                                                                           \
    X(EXISTS, 2, "the key exists already")                                                                   \
    X(VERSION_MISMATCH, 3, "the item has another version")                                                   \
    X(FULL, 4, "the table has no room")                                                                      \
    X(TOO_LARGE, 5, "key or value exceeds the limits")                                                       \
    X(NOT_A_NUMBER, 6, "the value is not a signed 64-bit decimal, or the result would overflow")             \
    X(NOT_PRIMARY, 7, "this node does not accept writes; ask the primary")                                   \
    X(STALE, 8, "this node has not reached the wanted LSN; ask another")                                     \
    X(LOST, 9, "the wanted LSN belongs to a lost tail")                                                      \
    X(BUSY, 10, "not executed: a bounded resource is taken; retry")                                          \
    X(READ_ONLY, 11, "this node accepts no writes until an operator helps it")                               \
    X(TIMEOUT, 12, "outcome unknown: it may have happened")                                                  \
    X(MORE, 13, "not executed: the reply would not fit the message")                                         \
    X(BAD_REQUEST, 14, "unknown opcode or flag, or lengths that do not fit the opcode")                      \
    X(AUTH, 15, "the session's role may not do this")

enum status {
#define STATUS_ENUM(name, number, meaning) STATUS_##name = (number),
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
        STATUS_COUNT
};

/* "OK", "NOT_FOUND", ...; "?" for a number that is no status. */
const char *status_name(unsigned status);
const char *status_meaning(unsigned status);

/* One decoded operation. key and value point into the message that was decoded: valid as long as it is. */
struct operation {
    const uint8_t *key;
    const uint8_t *value;
    uint64_t request_id;
    uint64_t ttl_ms;
    uint64_t version;
    uint16_t value_length;
    uint16_t reserved; /* as received: operation_check() refuses all but zero */
    uint8_t key_length;
    uint8_t opcode; /* any byte: the peer chose it */
    uint8_t flags;
    uint8_t durability;
};

/* One decoded or to-be-encoded reply; value as above. */
struct reply {
    const uint8_t *value;
    uint64_t request_id;
    uint64_t version;
    uint16_t value_length;
    uint8_t opcode;
    uint8_t status;
};

struct message_header {
    uint64_t history;
    uint32_t epoch;
    uint16_t count;
    uint8_t version;
};

enum mode { MODE_STANDALONE = 0, MODE_PRIMARY = 1, MODE_REPLICA = 2 };
enum serving_state {
    STATE_SERVING = 0,
    STATE_RECOVERING = 1,
    STATE_CATCHING_UP = 2,
    STATE_READ_ONLY = 3,
    STATE_FENCED = 4,
    STATE_DRAINING = 5
};

/*
 * Value of a HEALTH reply, HEALTH_REPLY_BYTES, little-endian:
 *   0 mode u8 | 1 state u8 | 2 reserved u16 | 4 epoch u32 | 8 lsn u64 | 16 items u64 | 24 capacity u64
 *   | 32 lines_used u64 | 40 uptime_ms u64
 */
struct health {
    uint64_t lsn, items, capacity, lines_used, uptime_ms;
    uint32_t epoch;
    uint8_t mode, state;
};

/*
 * Bounded reading. message_open() checks the message header: 0, or -EBADMSG (too short, reserved, count, a
 * version that this build does not speak; a caller whose session has a version of its own compares
 * header->version with it). Each message_next_*() then yields one entry: 1 an entry, 0 the end (all `count`
 * entries read and no byte left), -EBADMSG malformed. After an error the reader stays at the error.
 * `allow_padding`: zero bytes may follow the last entry. Only the 0 at the end proves the message valid.
 */
struct message_reader {
    const uint8_t *at, *end;
    uint16_t left; /* entries still to come */
    bool allow_padding;
};

int message_open(struct message_reader *reader, struct message_header *header, const uint8_t *bytes,
                 size_t length, bool allow_padding);
int message_next_operation(struct message_reader *reader, struct operation *out);
int message_next_reply(struct message_reader *reader, struct reply *out);

/*
 * Whether the operation's own fields are in order: STATUS_OK, STATUS_TOO_LARGE or STATUS_BAD_REQUEST.
 * Everything that executes operations relies on it having been called.
 */
enum status operation_check(const struct operation *operation);

/*
 * Bounded writing, encoder beside decoder. message_begin() leaves room for the header; message_add_*()
 * appends (-ENOSPC: nothing was written); message_finish() writes the header (count is the writer's own,
 * header->count is not read) and returns the message's bytes.
 */
struct message_writer {
    uint8_t *start, *at, *end;
    uint16_t count;
};

int message_begin(struct message_writer *writer, uint8_t *out, size_t room); /* 0 or -ENOSPC */
int message_add_operation(struct message_writer *writer, const struct operation *operation);
int message_add_reply(struct message_writer *writer, const struct reply *reply);
size_t message_finish(struct message_writer *writer, const struct message_header *header);

/*
 * Where the next reply's value will stand, and the room for it there (at most VALUE_BYTES_MAX); NULL if not
 * even a bare reply fits. A value that was written there is not copied by message_add_reply(). A value
 * elsewhere may overlap the place: it is moved before the header is written.
 */
uint8_t *message_reply_value(const struct message_writer *writer, size_t *room);

/* Bytes an operation or a reply takes inside a message. */
static inline size_t operation_bytes(const struct operation *operation)
{
    return (size_t)OPERATION_HEADER_BYTES + operation->key_length + operation->value_length;
}

static inline size_t reply_bytes(size_t value_length)
{
    return REPLY_HEADER_BYTES + value_length;
}

/* INCR's operands and result, and HEALTH's value. The decoders return false unless length is exact. */
void incr_operand_encode(uint8_t out[INCR_OPERAND_BYTES], int64_t delta, int64_t initial);
bool incr_operand_decode(const uint8_t *value, size_t length, int64_t *delta, int64_t *initial);
void incr_result_encode(uint8_t out[INCR_RESULT_BYTES], int64_t result);
bool incr_result_decode(const uint8_t *value, size_t length, int64_t *result);
void health_encode(uint8_t out[HEALTH_REPLY_BYTES], const struct health *health);
bool health_decode(const uint8_t *value, size_t length, struct health *health);

#endif
