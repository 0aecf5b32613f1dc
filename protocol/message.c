/* message.c - encoder beside decoder; the format and its rules stand in message.h. */
#include "message.h"

#include <errno.h>

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
enum {
    HEALTH_MODE = 0,
    HEALTH_STATE = 1,
    HEALTH_RESERVED = 2,
    HEALTH_EPOCH = 4,
    HEALTH_LSN = 8,
    HEALTH_ITEMS = 16,
    HEALTH_CAPACITY = 24,
    HEALTH_LINES_USED = 32,
    HEALTH_UPTIME_MS = 40,
    HEALTH_END = 48,
};
static_assert((int)MESSAGE_END == (int)MESSAGE_HEADER_BYTES, "offset table");
static_assert((int)OPERATION_END == (int)OPERATION_HEADER_BYTES, "offset table");
static_assert((int)REPLY_END == (int)REPLY_HEADER_BYTES, "offset table");
static_assert((int)HEALTH_END == (int)HEALTH_REPLY_BYTES, "offset table");

/* ---- names ---- */

static const char *const status_names[] = {
#define STATUS_NAME(name, number, meaning) [number] = #name,
    STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
};
static const char *const status_meanings[] = {
#define STATUS_MEANING(name, number, meaning) [number] = meaning,
    STATUS_LIST(STATUS_MEANING)
#undef STATUS_MEANING
};
static_assert(sizeof status_names / sizeof status_names[0] == STATUS_COUNT, "numbered without gaps");

const char *status_name(unsigned status)
{
    return status < STATUS_COUNT ? status_names[status] : "?";
}

const char *status_meaning(unsigned status)
{
    return status < STATUS_COUNT ? status_meanings[status] : "?";
}

/* ---- reading ---- */

static int reader_fail(struct message_reader *reader)
{
    reader->at = NULL; /* and it stays so */
    return -EBADMSG;
}

/* No entry is left: the message is well-formed if nothing, or padding where that is allowed, follows. */
static int reader_end(struct message_reader *reader)
{
    size_t rest = (size_t)(reader->end - reader->at);
    if (rest == 0)
        return 0;
    if (!reader->allow_padding || !wire_is_zero(reader->at, rest))
        return reader_fail(reader);
    reader->at = reader->end;
    return 0;
}

int message_open(struct message_reader *reader, struct message_header *header, const uint8_t *bytes,
                 size_t length, bool allow_padding)
{
    *reader = (struct message_reader){.at = bytes, .end = bytes + length, .allow_padding = allow_padding};

    const uint8_t *h = wire_take(&reader->at, reader->end, MESSAGE_HEADER_BYTES);
    if (h == NULL)
        return reader_fail(reader);
    header->version = h[MESSAGE_VERSION];
    header->count = wire_u16(h + MESSAGE_COUNT);
    header->epoch = wire_u32(h + MESSAGE_EPOCH);
    header->history = wire_u64(h + MESSAGE_HISTORY);
    if (header->version < PROTOCOL_VERSION_MIN || header->version > PROTOCOL_VERSION_MAX)
        return reader_fail(reader);
    if (h[MESSAGE_RESERVED] != 0 || header->count == 0 || header->count > MESSAGE_OPERATIONS_MAX)
        return reader_fail(reader);
    reader->left = header->count;
    return 0;
}

int message_next_operation(struct message_reader *reader, struct operation *out)
{
    if (reader->at == NULL)
        return -EBADMSG;
    if (reader->left == 0)
        return reader_end(reader);

    const uint8_t *h = wire_take(&reader->at, reader->end, OPERATION_HEADER_BYTES);
    if (h == NULL)
        return reader_fail(reader);
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
        return reader_fail(reader);
    out->value = out->key + out->key_length;
    reader->left--;
    return 1;
}

int message_next_reply(struct message_reader *reader, struct reply *out)
{
    if (reader->at == NULL)
        return -EBADMSG;
    if (reader->left == 0)
        return reader_end(reader);

    const uint8_t *h = wire_take(&reader->at, reader->end, REPLY_HEADER_BYTES);
    if (h == NULL)
        return reader_fail(reader);
    out->opcode = h[REPLY_OPCODE];
    out->status = h[REPLY_STATUS];
    out->value_length = wire_u16(h + REPLY_VALUE_LENGTH);
    out->request_id = wire_u64(h + REPLY_REQUEST_ID);
    out->version = wire_u64(h + REPLY_VERSION);
    if (wire_u32(h + REPLY_RESERVED) != 0 || out->value_length > VALUE_BYTES_MAX)
        return reader_fail(reader);

    out->value = wire_take(&reader->at, reader->end, out->value_length);
    if (out->value == NULL)
        return reader_fail(reader);
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

enum status operation_check(const struct operation *operation)
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

/* ---- writing ---- */

int message_begin(struct message_writer *writer, uint8_t *out, size_t room)
{
    *writer = (struct message_writer){.start = out, .at = out, .end = out + room};
    return wire_place(&writer->at, writer->end, MESSAGE_HEADER_BYTES) != NULL ? 0 : -ENOSPC;
}

static uint8_t *writer_place(struct message_writer *writer, size_t bytes)
{
    if (writer->count == MESSAGE_OPERATIONS_MAX)
        return NULL;
    return wire_place(&writer->at, writer->end, bytes);
}

int message_add_operation(struct message_writer *writer, const struct operation *operation)
{
    uint8_t *h = writer_place(writer, operation_bytes(operation));
    if (h == NULL)
        return -ENOSPC;

    h[OPERATION_OPCODE] = operation->opcode;
    h[OPERATION_FLAGS] = operation->flags;
    h[OPERATION_KEY_LENGTH] = operation->key_length;
    h[OPERATION_DURABILITY] = operation->durability;
    wire_put_u16(h + OPERATION_VALUE_LENGTH, operation->value_length);
    wire_put_u16(h + OPERATION_RESERVED, operation->reserved);
    wire_put_u64(h + OPERATION_REQUEST_ID, operation->request_id);
    wire_put_u64(h + OPERATION_TTL_MS, operation->ttl_ms);
    wire_put_u64(h + OPERATION_VERSION, operation->version);
    if (operation->key_length > 0)
        memcpy(h + OPERATION_HEADER_BYTES, operation->key, operation->key_length);
    if (operation->value_length > 0)
        memcpy(h + OPERATION_HEADER_BYTES + operation->key_length, operation->value, operation->value_length);
    writer->count++;
    return 0;
}

int message_add_reply(struct message_writer *writer, const struct reply *reply)
{
    uint8_t *h = writer_place(writer, reply_bytes(reply->value_length));
    if (h == NULL)
        return -ENOSPC;

    /* The value first: it may already stand here, or overlap the header's place (see message_reply_value). */
    if (reply->value_length > 0 && reply->value != h + REPLY_HEADER_BYTES)
        memmove(h + REPLY_HEADER_BYTES, reply->value, reply->value_length);
    h[REPLY_OPCODE] = reply->opcode;
    h[REPLY_STATUS] = reply->status;
    wire_put_u16(h + REPLY_VALUE_LENGTH, reply->value_length);
    wire_put_u32(h + REPLY_RESERVED, 0);
    wire_put_u64(h + REPLY_REQUEST_ID, reply->request_id);
    wire_put_u64(h + REPLY_VERSION, reply->version);
    writer->count++;
    return 0;
}

uint8_t *message_reply_value(const struct message_writer *writer, size_t *room)
{
    size_t left = (size_t)(writer->end - writer->at);
    if (writer->count == MESSAGE_OPERATIONS_MAX || left < REPLY_HEADER_BYTES)
        return NULL;
    left -= REPLY_HEADER_BYTES;
    *room = left < VALUE_BYTES_MAX ? left : VALUE_BYTES_MAX;
    return writer->at + REPLY_HEADER_BYTES;
}

size_t message_finish(struct message_writer *writer, const struct message_header *header)
{
    uint8_t *h = writer->start;
    h[MESSAGE_VERSION] = header->version;
    h[MESSAGE_RESERVED] = 0;
    wire_put_u16(h + MESSAGE_COUNT, writer->count);
    wire_put_u32(h + MESSAGE_EPOCH, header->epoch);
    wire_put_u64(h + MESSAGE_HISTORY, header->history);
    return (size_t)(writer->at - writer->start);
}

/* ---- values with a form of their own ---- */

void incr_operand_encode(uint8_t out[INCR_OPERAND_BYTES], int64_t delta, int64_t initial)
{
    wire_put_u64(out, (uint64_t)delta);
    wire_put_u64(out + 8, (uint64_t)initial);
}

bool incr_operand_decode(const uint8_t *value, size_t length, int64_t *delta, int64_t *initial)
{
    if (length != INCR_OPERAND_BYTES)
        return false;
    *delta = (int64_t)wire_u64(value);
    *initial = (int64_t)wire_u64(value + 8);
    return true;
}

void incr_result_encode(uint8_t out[INCR_RESULT_BYTES], int64_t result)
{
    wire_put_u64(out, (uint64_t)result);
}

bool incr_result_decode(const uint8_t *value, size_t length, int64_t *result)
{
    if (length != INCR_RESULT_BYTES)
        return false;
    *result = (int64_t)wire_u64(value);
    return true;
}

void health_encode(uint8_t out[HEALTH_REPLY_BYTES], const struct health *health)
{
    out[HEALTH_MODE] = health->mode;
    out[HEALTH_STATE] = health->state;
    wire_put_u16(out + HEALTH_RESERVED, 0);
    wire_put_u32(out + HEALTH_EPOCH, health->epoch);
    wire_put_u64(out + HEALTH_LSN, health->lsn);
    wire_put_u64(out + HEALTH_ITEMS, health->items);
    wire_put_u64(out + HEALTH_CAPACITY, health->capacity);
    wire_put_u64(out + HEALTH_LINES_USED, health->lines_used);
    wire_put_u64(out + HEALTH_UPTIME_MS, health->uptime_ms);
}

bool health_decode(const uint8_t *value, size_t length, struct health *health)
{
    if (length != HEALTH_REPLY_BYTES || wire_u16(value + HEALTH_RESERVED) != 0)
        return false;
    health->mode = value[HEALTH_MODE];
    health->state = value[HEALTH_STATE];
    health->epoch = wire_u32(value + HEALTH_EPOCH);
    health->lsn = wire_u64(value + HEALTH_LSN);
    health->items = wire_u64(value + HEALTH_ITEMS);
    health->capacity = wire_u64(value + HEALTH_CAPACITY);
    health->lines_used = wire_u64(value + HEALTH_LINES_USED);
    health->uptime_ms = wire_u64(value + HEALTH_UPTIME_MS);
    return true;
}
