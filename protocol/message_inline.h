/*
 * message_inline.h - the codec's half that a server runs for every operation, as inline functions: for
 * callers that answer millions a second. All others call the functions of message.h, which message.c makes
 * from these; what each does stands there.
 */
#ifndef WILD_MESSAGE_INLINE_H
#define WILD_MESSAGE_INLINE_H

#include <errno.h>

#include "message.h"
#include "wire.h"

/* message.h's offset tables, checked against the sizes in protocol_limits.h */
enum {
    MESSAGE_VERSION = 0,
    MESSAGE_RESERVED = 1,
    MESSAGE_COUNT = 2,
    MESSAGE_EPOCH = 4,
    MESSAGE_HISTORY = 8,
    MESSAGE_END = 16,
};
enum {
    OPERATION_OPCODE = 0,
    OPERATION_FLAGS = 1,
    OPERATION_KEY_LENGTH = 2,
    OPERATION_DURABILITY = 3,
    OPERATION_VALUE_LENGTH = 4,
    OPERATION_RESERVED = 6,
    OPERATION_REQUEST_ID = 8,
    OPERATION_TTL_MS = 16,
    OPERATION_VERSION = 24,
    OPERATION_END = 32,
};
enum {
    REPLY_OPCODE = 0,
    REPLY_STATUS = 1,
    REPLY_VALUE_LENGTH = 2,
    REPLY_RESERVED = 4,
    REPLY_REQUEST_ID = 8,
    REPLY_VERSION = 16,
    REPLY_END = 24,
};
static_assert((int)MESSAGE_END == (int)MESSAGE_HEADER_BYTES, "offset table");
static_assert((int)OPERATION_END == (int)OPERATION_HEADER_BYTES, "offset table");
static_assert((int)REPLY_END == (int)REPLY_HEADER_BYTES, "offset table");

/* ---- reading ---- */

static inline int message_reader_fail(struct message_reader *reader)
{
    reader->at = NULL; /* and it stays so */
    return -EBADMSG;
}

/* No entry is left: the message is well-formed if nothing, or padding where that is allowed, follows. */
static inline int message_reader_end(struct message_reader *reader)
{
    size_t rest = (size_t)(reader->end - reader->at);
    if (rest == 0)
        return 0;
    if (!reader->allow_padding || !wire_is_zero(reader->at, rest))
        return message_reader_fail(reader);
    reader->at = reader->end;
    return 0;
}

static inline int message_open_inline(struct message_reader *reader, struct message_header *header,
                                      const uint8_t *bytes, size_t length, bool allow_padding)
{
    *reader = (struct message_reader){.at = bytes, .end = bytes + length, .allow_padding = allow_padding};

    const uint8_t *h = wire_take(&reader->at, reader->end, MESSAGE_HEADER_BYTES);
    if (h == NULL)
        return message_reader_fail(reader);
    header->version = h[MESSAGE_VERSION];
    header->count = wire_u16(h + MESSAGE_COUNT);
    header->epoch = wire_u32(h + MESSAGE_EPOCH);
    header->history = wire_u64(h + MESSAGE_HISTORY);
    if (header->version < PROTOCOL_VERSION_MIN || header->version > PROTOCOL_VERSION_MAX)
        return message_reader_fail(reader);
    if (h[MESSAGE_RESERVED] != 0 || header->count == 0 || header->count > MESSAGE_OPERATIONS_MAX)
        return message_reader_fail(reader);
    reader->left = header->count;
    return 0;
}

static inline int message_next_operation_inline(struct message_reader *reader, struct operation *out)
{
    if (reader->at == NULL)
        return -EBADMSG;
    if (reader->left == 0)
        return message_reader_end(reader);

    const uint8_t *h = wire_take(&reader->at, reader->end, OPERATION_HEADER_BYTES);
    if (h == NULL)
        return message_reader_fail(reader);
    out->opcode = h[OPERATION_OPCODE];
    out->flags = h[OPERATION_FLAGS];
    out->key_length = h[OPERATION_KEY_LENGTH];
    out->durability = h[OPERATION_DURABILITY];
    out->value_length = wire_u16(h + OPERATION_VALUE_LENGTH);
    out->reserved = wire_u16(h + OPERATION_RESERVED);
    out->request_id = wire_u64(h + OPERATION_REQUEST_ID);
    out->ttl_ms = wire_u64(h + OPERATION_TTL_MS);
    out->version = wire_u64(h + OPERATION_VERSION);

    out->key = wire_take(&reader->at, reader->end, (size_t)out->key_length + out->value_length);
    if (out->key == NULL)
        return message_reader_fail(reader);
    out->value = out->key + out->key_length;
    reader->left--;
    return 1;
}

/* ---- what each opcode takes ---- */

struct operation_rule {
    uint16_t value_min, value_max;
    uint8_t key_min, key_max;
    uint8_t flags; /* allowed; 0 lengths and 0 flags with known = false: no such opcode */
    bool known;
};

#define TAKES_KEY .key_min = KEY_BYTES_MIN, .key_max = KEY_BYTES_MAX

static const struct operation_rule operation_rules[] = {
    [OPCODE_GET] = {.known = true, TAKES_KEY, .flags = FLAG_MIN_LSN | FLAG_READ_MEMORY},
    [OPCODE_SET] = {.known = true, TAKES_KEY, .value_max = VALUE_BYTES_MAX, .flags = FLAG_CONDITIONS},
    [OPCODE_DELETE] = {.known = true, TAKES_KEY, .flags = FLAG_IF_PRESENT | FLAG_IF_VERSION},
    [OPCODE_INCR] = {.known = true,
                     TAKES_KEY,
                     .value_min = INCR_OPERAND_BYTES,
                     .value_max = INCR_OPERAND_BYTES,
                     .flags = FLAG_CONDITIONS},
    [OPCODE_TOUCH] = {.known = true, TAKES_KEY, .flags = FLAG_IF_PRESENT | FLAG_IF_VERSION},
    [OPCODE_FLUSH] = {.known = true},
    [OPCODE_ECHO] = {.known = true, .value_max = VALUE_BYTES_MAX},
    [OPCODE_HEALTH] = {.known = true},
};

#undef TAKES_KEY

static inline enum status operation_check_inline(const struct operation *operation)
{
    if (operation->opcode >= sizeof operation_rules / sizeof operation_rules[0])
        return STATUS_BAD_REQUEST;
    const struct operation_rule *rule = &operation_rules[operation->opcode];
    unsigned condition = operation->flags & FLAG_CONDITIONS;

    if (!rule->known || (operation->flags & ~rule->flags) != 0 || (condition & (condition - 1)) != 0)
        return STATUS_BAD_REQUEST;
    if (operation->durability > DURABILITY_REPLICATED || operation->reserved != 0)
        return STATUS_BAD_REQUEST;
    if (operation->key_length > KEY_BYTES_MAX || operation->value_length > VALUE_BYTES_MAX)
        return STATUS_TOO_LARGE;
    if (operation->key_length < rule->key_min || operation->key_length > rule->key_max)
        return STATUS_BAD_REQUEST;
    if (operation->value_length < rule->value_min || operation->value_length > rule->value_max)
        return STATUS_BAD_REQUEST;
    return STATUS_OK;
}

/* ---- one GET and nothing else: most messages ---- */

enum {
    LONE_GET_KEY = MESSAGE_HEADER_BYTES + OPERATION_HEADER_BYTES, /* offsets in the message */
    LONE_REPLY_VALUE = MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES,
};
static_assert((int)OPERATION_REQUEST_ID == (int)REPLY_REQUEST_ID, "a reply in place keeps the request's id");

/*
 * Whether the message is valid and is one GET without flags and of no particular durability, so that
 * message_open(), message_next_operation() and operation_check() would find no fault. Returns the length of
 * the key, which stands at message + LONE_GET_KEY; 0: it may be anything else.
 */
static inline unsigned message_lone_get(const uint8_t *message, size_t length, uint8_t version,
                                        bool allow_padding)
{
    if (length < LONE_GET_KEY + KEY_BYTES_MIN)
        return 0;
    const uint8_t *operation = message + MESSAGE_HEADER_BYTES;
    unsigned key_length = operation[OPERATION_KEY_LENGTH];
    /* version, reserved and count; then all of the operation's fields before the request id */
    if (wire_u32(message) != ((uint32_t)version << 8 * MESSAGE_VERSION | 1u << 8 * MESSAGE_COUNT) ||
        wire_u64(operation) !=
            (OPCODE_GET << 8 * OPERATION_OPCODE | (uint64_t)key_length << 8 * OPERATION_KEY_LENGTH) ||
        key_length - KEY_BYTES_MIN > KEY_BYTES_MAX - KEY_BYTES_MIN)
        return 0;
    size_t end = LONE_GET_KEY + (size_t)key_length;
    if (length == end)
        return key_length;
    return allow_padding && length > end && wire_is_zero(message + end, length - end) ? key_length : 0;
}

/*
 * The reply over the lone GET that it answers: version, count and request id stay as they stand. The value
 * stands at message + LONE_REPLY_VALUE. Returns the reply's bytes.
 */
static inline size_t message_lone_reply(uint8_t *message, const struct message_header *header,
                                        const struct reply *reply)
{
    uint8_t *h = message + MESSAGE_HEADER_BYTES;
    wire_put_u64(message, wire_u32(message) | (uint64_t)header->epoch << 8 * MESSAGE_EPOCH);
    wire_put_u64(message + MESSAGE_HISTORY, header->history);
    wire_put_u64(h, (uint64_t)OPCODE_GET << 8 * REPLY_OPCODE | (uint64_t)reply->status << 8 * REPLY_STATUS |
                        (uint64_t)reply->value_length << 8 * REPLY_VALUE_LENGTH);
    wire_put_u64(h + REPLY_VERSION, reply->version);
    return LONE_REPLY_VALUE + (size_t)reply->value_length;
}

/* ---- writing ---- */

static inline int message_begin_inline(struct message_writer *writer, uint8_t *out, size_t room)
{
    *writer = (struct message_writer){.start = out, .at = out, .end = out + room};
    return wire_place(&writer->at, writer->end, MESSAGE_HEADER_BYTES) != NULL ? 0 : -ENOSPC;
}

static inline uint8_t *message_writer_place(struct message_writer *writer, size_t bytes)
{
    if (writer->count == MESSAGE_OPERATIONS_MAX)
        return NULL;
    return wire_place(&writer->at, writer->end, bytes);
}

static inline int message_add_reply_inline(struct message_writer *writer, const struct reply *reply)
{
    uint8_t *h = message_writer_place(writer, reply_bytes(reply->value_length));
    if (h == NULL)
        return -ENOSPC;

    /* The value first: it may already stand here, or overlap the header's place (see message_reply_value). */
    if (reply->value_length > 0 && reply->value != h + REPLY_HEADER_BYTES)
        memmove(h + REPLY_HEADER_BYTES, reply->value, reply->value_length);
    /* Whole words, as the MAC will load them: a load that spans several recent stores waits for them all. */
    wire_put_u64(h, (uint64_t)reply->opcode << 8 * REPLY_OPCODE |
                        (uint64_t)reply->status << 8 * REPLY_STATUS |
                        (uint64_t)reply->value_length << 8 * REPLY_VALUE_LENGTH);
    wire_put_u64(h + REPLY_REQUEST_ID, reply->request_id);
    wire_put_u64(h + REPLY_VERSION, reply->version);
    writer->count++;
    return 0;
}

static inline uint8_t *message_reply_value_inline(const struct message_writer *writer, size_t *room)
{
    size_t left = (size_t)(writer->end - writer->at);
    if (writer->count == MESSAGE_OPERATIONS_MAX || left < REPLY_HEADER_BYTES)
        return NULL;
    left -= REPLY_HEADER_BYTES;
    *room = left < VALUE_BYTES_MAX ? left : VALUE_BYTES_MAX;
    return writer->at + REPLY_HEADER_BYTES;
}

static inline size_t message_finish_inline(struct message_writer *writer, const struct message_header *header)
{
    uint8_t *h = writer->start;
    wire_put_u64(h, (uint64_t)header->version << 8 * MESSAGE_VERSION |
                        (uint64_t)writer->count << 8 * MESSAGE_COUNT |
                        (uint64_t)header->epoch << 8 * MESSAGE_EPOCH);
    wire_put_u64(h + MESSAGE_HISTORY, header->history);
    return (size_t)(writer->at - writer->start);
}

#endif
