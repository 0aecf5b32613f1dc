/*
 * log_record.h - one change of the table, as the log, the WAL and replicas carry it.
 *
 *   offset size  field
 *   0      8     lsn
 *   8      8     expiry_ms     absolute wall clock, 0 = never (SET); else 0
 *   16     1     type          enum log_record_type
 *   17     1     key_length
 *   18     2     value_length
 *   20     1     reason        enum log_reason (DELETE; else 0)
 *   21     3     reserved      zero
 *   24     k     key
 *   24+k   v     value
 *   ...          zero padding to a multiple of 8
 *
 * Little-endian. Valid if and only if: the type is known, lengths are within limits and what the type takes
 * (SET: key and value; DELETE: key; FLUSH, NOP: neither; MEMBER: member.h), reserved and padding are zero,
 * and it lies whole inside its container.
 */
#ifndef WILD_LOG_RECORD_H
#define WILD_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol_limits.h"

enum { LOG_RECORD_HEADER_BYTES = 24 };
enum { LOG_RECORD_BYTES_MAX = (LOG_RECORD_HEADER_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX + 7) / 8 * 8 };

enum log_record_type {
    LOG_SET = 1, /* the item's whole new state; version = lsn */
    LOG_DELETE = 2,
    LOG_FLUSH = 3,  /* everything with version < lsn is gone */
    LOG_NOP = 4,    /* an LSN that changed nothing */
    LOG_MEMBER = 5, /* of the list of members: nothing of the table's */
};
enum log_reason {
    LOG_REASON_NONE = 0,
    LOG_REASON_REQUEST = 1,
    LOG_REASON_EXPIRED = 2,
    LOG_REASON_EVICTED = 3
};

struct log_record {
    const uint8_t *key, *value; /* into the encoded bytes */
    uint64_t lsn, expiry_ms;
    uint16_t value_length;
    uint8_t type, key_length, reason;
};

static inline size_t log_record_bytes(size_t key_length, size_t value_length)
{
    return (LOG_RECORD_HEADER_BYTES + key_length + value_length + 7) & ~(size_t)7;
}

/* Bytes of an encoded record that is known to be whole and valid, from its header. */
static inline size_t log_record_encoded_bytes(const uint8_t *record)
{
    return log_record_bytes(record[17], record[18] | (size_t)record[19] << 8);
}

/* Likewise its type. */
static inline uint8_t log_record_encoded_type(const uint8_t *record)
{
    return record[16];
}

/* out has log_record_bytes() of room; returns them. */
size_t log_record_encode(uint8_t *out, const struct log_record *record);
/* Bytes consumed (> 0), or -EBADMSG. */
int log_record_decode(struct log_record *out, const uint8_t *bytes, size_t length);

#endif
