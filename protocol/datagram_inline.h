/*
 * datagram_inline.h - what needs no key of datagram.h, as inline functions: for callers that take millions of
 * datagrams a second. datagram.c makes the functions of datagram.h from these; what each does stands there.
 */
#ifndef WILD_DATAGRAM_INLINE_H
#define WILD_DATAGRAM_INLINE_H

#include <errno.h>

#include "datagram.h"
#include "wire.h"

enum {
    DATAGRAM_AT_MAGIC = 0,
    DATAGRAM_AT_KIND = 1,
    DATAGRAM_AT_VERSION = 2,
    DATAGRAM_AT_RESERVED = 3,
    DATAGRAM_AT_SESSION = 4,
    DATAGRAM_AT_COUNTER = 8,
    DATAGRAM_AT_MESSAGE = 16,
};
static_assert((int)DATAGRAM_AT_MESSAGE == (int)DATAGRAM_HEADER_BYTES, "offset table");

static inline bool datagram_peek_inline(struct datagram_header *out, const uint8_t *bytes, size_t length)
{
    if (length < DATAGRAM_HEADER_BYTES || bytes[DATAGRAM_AT_MAGIC] != DATAGRAM_MAGIC)
        return false;
    out->kind = bytes[DATAGRAM_AT_KIND];
    out->version = bytes[DATAGRAM_AT_VERSION];
    out->session = wire_u32(bytes + DATAGRAM_AT_SESSION);
    out->counter = wire_u64(bytes + DATAGRAM_AT_COUNTER);
    return true;
}

static inline void datagram_put_header(uint8_t *out, unsigned kind, uint8_t version, uint32_t session,
                                       uint64_t counter)
{
    /* One store for the first eight bytes: the MAC loads them as one word right after. */
    wire_put_u64(
        out, (uint64_t)DATAGRAM_MAGIC << 8 * DATAGRAM_AT_MAGIC | (uint64_t)kind << 8 * DATAGRAM_AT_KIND |
                 (uint64_t)version << 8 * DATAGRAM_AT_VERSION | (uint64_t)session << 8 * DATAGRAM_AT_SESSION);
    wire_put_u64(out + DATAGRAM_AT_COUNTER, counter);
}

static inline size_t datagram_plain_inline(uint8_t *out, uint32_t session, uint64_t counter,
                                           size_t message_length)
{
    datagram_put_header(out, DATAGRAM_PLAIN, PROTOCOL_VERSION_MAX, session, counter);
    return DATAGRAM_HEADER_BYTES + message_length;
}

static inline int datagram_plain_open_inline(uint8_t *bytes, size_t length, uint8_t **message,
                                             size_t *message_length)
{
    if (length < DATAGRAM_HEADER_BYTES || length > DATAGRAM_BYTES_MAX)
        return -EBADMSG;
    if (bytes[DATAGRAM_AT_MAGIC] != DATAGRAM_MAGIC || bytes[DATAGRAM_AT_KIND] != DATAGRAM_PLAIN ||
        bytes[DATAGRAM_AT_RESERVED] != 0)
        return -EBADMSG;
    if (bytes[DATAGRAM_AT_VERSION] < PROTOCOL_VERSION_MIN ||
        bytes[DATAGRAM_AT_VERSION] > PROTOCOL_VERSION_MAX)
        return -EBADMSG;
    *message = bytes + DATAGRAM_AT_MESSAGE;
    *message_length = length - DATAGRAM_HEADER_BYTES;
    return 0;
}

#endif
