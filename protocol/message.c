/* message.c - encoder beside decoder; the format and its rules stand in message.h. */
#include "message.h"

#include "message_inline.h"

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

int message_open(struct message_reader *reader, struct message_header *header, const uint8_t *bytes,
                 size_t length, bool allow_padding)
{
    return message_open_inline(reader, header, bytes, length, allow_padding);
}

int message_next_operation(struct message_reader *reader, struct operation *out)
{
    return message_next_operation_inline(reader, out);
}

int message_next_reply(struct message_reader *reader, struct reply *out)
{
    if (reader->at == NULL)
        return -EBADMSG;
    if (reader->left == 0)
        return message_reader_end(reader);

    const uint8_t *h = wire_take(&reader->at, reader->end, REPLY_HEADER_BYTES);
    if (h == NULL)
        return message_reader_fail(reader);
    out->opcode = h[REPLY_OPCODE];
    out->status = h[REPLY_STATUS];
    out->value_length = wire_u16(h + REPLY_VALUE_LENGTH);
    out->request_id = wire_u64(h + REPLY_REQUEST_ID);
    out->version = wire_u64(h + REPLY_VERSION);
    if (wire_u32(h + REPLY_RESERVED) != 0 || out->value_length > VALUE_BYTES_MAX)
        return message_reader_fail(reader);

    out->value = wire_take(&reader->at, reader->end, out->value_length);
    if (out->value == NULL)
        return message_reader_fail(reader);
    reader->left--;
    return 1;
}

enum status operation_check(const struct operation *operation)
{
    return operation_check_inline(operation);
}

/* ---- writing ---- */

int message_begin(struct message_writer *writer, uint8_t *out, size_t room)
{
    return message_begin_inline(writer, out, room);
}

int message_add_operation(struct message_writer *writer, const struct operation *operation)
{
    uint8_t *h = message_writer_place(writer, operation_bytes(operation));
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
    return message_add_reply_inline(writer, reply);
}

uint8_t *message_reply_value(const struct message_writer *writer, size_t *room)
{
    return message_reply_value_inline(writer, room);
}

size_t message_finish(struct message_writer *writer, const struct message_header *header)
{
    return message_finish_inline(writer, header);
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
