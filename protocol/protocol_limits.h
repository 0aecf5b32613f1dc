/*
 * protocol_limits.h - every limit of the WILD protocol in one place, with the relations between them.
 *
 * All sizes are in bytes unless the name says otherwise. Clients and servers must agree on every number
 * here: they are part of the contract.
 */
#ifndef WILD_PROTOCOL_LIMITS_H
#define WILD_PROTOCOL_LIMITS_H

#include <assert.h>

enum {
    PROTOCOL_VERSION_MIN = 1, /* range that this build speaks, offered in the handshake */
    PROTOCOL_VERSION_MAX = 1,

    PROTOCOL_DEFAULT_PORT = 7878,

    KEY_BYTES_MIN = 1,
    KEY_BYTES_MAX = 250,
    VALUE_BYTES_MAX = 1024,

    /* One datagram fits an Ethernet path with room for tunnels: 1,500 - 40 (IPv6) - 8 (UDP) - 80. */
    DATAGRAM_BYTES_MAX = 1372,
    DATAGRAM_HEADER_BYTES = 16,
    DATAGRAM_TAG_BYTES = 16,
    DATAGRAM_OVERHEAD_BYTES = DATAGRAM_HEADER_BYTES + DATAGRAM_TAG_BYTES,

    MESSAGE_HEADER_BYTES = 16,
    OPERATION_HEADER_BYTES = 32,
    REPLY_HEADER_BYTES = 24,
    MESSAGE_BYTES_MAX = DATAGRAM_BYTES_MAX - DATAGRAM_OVERHEAD_BYTES, /* in a datagram */

    /* One record over TCP: a few segments at most, so that no client makes the others wait for long. */
    RECORD_HEADER_BYTES = 4,
    RECORD_TAG_BYTES = 16,
    RECORD_OVERHEAD_BYTES = RECORD_HEADER_BYTES + RECORD_TAG_BYTES,
    RECORD_MESSAGE_BYTES_MAX = 16384,
    RECORD_BYTES_MAX = RECORD_MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES,

    /* Bounded by size: the smallest operation is a bare header (FLUSH, HEALTH). */
    DATAGRAM_OPERATIONS_MAX = (MESSAGE_BYTES_MAX - MESSAGE_HEADER_BYTES) / OPERATION_HEADER_BYTES,
    MESSAGE_OPERATIONS_MAX = (RECORD_MESSAGE_BYTES_MAX - MESSAGE_HEADER_BYTES) / OPERATION_HEADER_BYTES,

    INCR_OPERAND_BYTES = 16, /* delta and initial value, both signed 64-bit */
    INCR_RESULT_BYTES = 8,
    DECIMAL_BYTES_MAX = 20, /* "-9223372036854775808" */
    HEALTH_REPLY_BYTES = 48,

    /* Retries: how many of a session's latest request ids keep their outcome (see message.h). */
    RETRY_WINDOW_IDS = 256,
    /* Replay: how far behind the highest counter a datagram may arrive, on both sides. */
    REPLAY_WINDOW_COUNTERS = 1024,
};

static_assert(MESSAGE_HEADER_BYTES + OPERATION_HEADER_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX <=
                  MESSAGE_BYTES_MAX,
              "the largest SET fits one datagram");
static_assert(MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + VALUE_BYTES_MAX <= MESSAGE_BYTES_MAX,
              "the largest reply fits one datagram");
static_assert((int)MESSAGE_BYTES_MAX <= (int)RECORD_MESSAGE_BYTES_MAX,
              "what fits a datagram fits a record: one buffer serves both");
static_assert(RECORD_MESSAGE_BYTES_MAX <= 0xFFFF && MESSAGE_OPERATIONS_MAX <= 0xFFFF,
              "a record's length and a message's count are 16 bits");
static_assert(REPLY_HEADER_BYTES <= OPERATION_HEADER_BYTES,
              "a bare reply is no larger than its request: a message of operations can always be answered");
static_assert((REPLAY_WINDOW_COUNTERS & (REPLAY_WINDOW_COUNTERS - 1)) == 0, "indexed by mask");
static_assert((RETRY_WINDOW_IDS & (RETRY_WINDOW_IDS - 1)) == 0, "indexed by mask");

#endif
