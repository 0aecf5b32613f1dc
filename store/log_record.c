#include "log_record.h"

#include <errno.h>
#include <string.h>

#include "member.h"
#include "wire.h"

enum {
    AT_LSN = 0,
    AT_EXPIRY = 8,
    AT_TYPE = 16,
    AT_KEY_LENGTH = 17,
    AT_VALUE_LENGTH = 18,
    AT_REASON = 20,
    AT_RESERVED = 21,
};
static_assert(AT_RESERVED + 3 == LOG_RECORD_HEADER_BYTES, "layout as in log_record.h");

size_t log_record_encode(uint8_t *out, const struct log_record *record)
{
    size_t payload = (size_t)record->key_length + record->value_length;
    size_t bytes = log_record_bytes(record->key_length, record->value_length);
    wire_put_u64(out + AT_LSN, record->lsn);
    wire_put_u64(out + AT_EXPIRY, record->expiry_ms);
    out[AT_TYPE] = record->type;
    out[AT_KEY_LENGTH] = record->key_length;
    wire_put_u16(out + AT_VALUE_LENGTH, record->value_length);
    out[AT_REASON] = record->reason;
    memset(out + AT_RESERVED, 0, LOG_RECORD_HEADER_BYTES - AT_RESERVED);
    uint8_t *at = out + LOG_RECORD_HEADER_BYTES;
    if (record->key_length)
        memcpy(at, record->key, record->key_length);
    if (record->value_length)
        memcpy(at + record->key_length, record->value, record->value_length);
    memset(at + payload, 0, bytes - LOG_RECORD_HEADER_BYTES - payload);
    return bytes;
}

/* What each type may carry. */
static bool fields_valid(const struct log_record *record)
{
    bool key = record->key_length >= KEY_BYTES_MIN && record->key_length <= KEY_BYTES_MAX;
    bool plain = record->expiry_ms == 0 && record->value_length == 0;

    switch (record->type) {
    case LOG_SET:
        return key && record->value_length <= VALUE_BYTES_MAX && record->reason == LOG_REASON_NONE;
    case LOG_DELETE:
        return key && plain && record->reason >= LOG_REASON_REQUEST && record->reason <= LOG_REASON_EVICTED;
    case LOG_FLUSH:
    case LOG_NOP:
        return record->key_length == 0 && plain && record->reason == LOG_REASON_NONE;
    case LOG_MEMBER:
        return record->key_length == MEMBER_KEY_BYTES && record->value_length >= MEMBER_VALUE_BYTES &&
               record->value_length <= MEMBER_VALUE_BYTES_MAX && record->expiry_ms == 0 &&
               record->reason == LOG_REASON_NONE;
    default:
        return false;
    }
}

int log_record_decode(struct log_record *out, const uint8_t *bytes, size_t length)
{
    if (length < LOG_RECORD_HEADER_BYTES)
        return -EBADMSG;
    *out = (struct log_record){
        .lsn = wire_u64(bytes + AT_LSN),
        .expiry_ms = wire_u64(bytes + AT_EXPIRY),
        .type = bytes[AT_TYPE],
        .key_length = bytes[AT_KEY_LENGTH],
        .value_length = wire_u16(bytes + AT_VALUE_LENGTH),
        .reason = bytes[AT_REASON],
    };
    size_t payload = (size_t)out->key_length + out->value_length;
    size_t whole = log_record_bytes(out->key_length, out->value_length);
    if (!fields_valid(out) || length < whole)
        return -EBADMSG;
    out->key = bytes + LOG_RECORD_HEADER_BYTES;
    out->value = out->key + out->key_length;
    for (size_t i = AT_RESERVED; i < LOG_RECORD_HEADER_BYTES; i++)
        if (bytes[i] != 0)
            return -EBADMSG;
    for (size_t i = LOG_RECORD_HEADER_BYTES + payload; i < whole; i++)
        if (bytes[i] != 0)
            return -EBADMSG;
    return (int)whole;
}
