#include "snapshot_format.h"

#include <errno.h>
#include <string.h>

#include "wal_block.h"
#include "wire.h"

enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_LENGTH = 8, /* what the crc covers begins here */
    AT_INDEX = 12,
    AT_FORMAT = 16,
    AT_RESERVED = 18,
    AT_START_LSN = 24,

    AT_CLUSTER_ID = SNAPSHOT_HEADER_BYTES, /* head */
    AT_SEGMENT = AT_CLUSTER_ID + META_CLUSTER_ID_BYTES,
    AT_HISTORY = AT_SEGMENT + 8,
    AT_OFFSET = AT_HISTORY + 8,
    AT_PREVIOUS_CRC = AT_OFFSET + 4,
    AT_FLUSH_LSN = AT_PREVIOUS_CRC + 4,
    AT_CAPACITY = AT_FLUSH_LSN + 8,
    AT_WALL_MS = AT_CAPACITY + 8,

    AT_END_LSN = SNAPSHOT_HEADER_BYTES, /* foot */
    AT_ITEMS = AT_END_LSN + 8,
    AT_CRCS = AT_ITEMS + 8,
    AT_FOOT_RESERVED = AT_CRCS + 4,
};
static_assert((int)AT_START_LSN + 8 == (int)SNAPSHOT_HEADER_BYTES &&
                  (int)AT_WALL_MS + 8 == (int)SNAPSHOT_HEAD_BYTES &&
                  (int)AT_FOOT_RESERVED + 4 == (int)SNAPSHOT_FOOT_BYTES,
              "layout as in snapshot.h");

/* By enum snapshot_part; little-endian "WSH1", ... */
static const uint32_t magics[] = {0x31485357, 0x31435357, 0x31465357};

size_t snapshot_part_close(uint8_t *bytes, size_t length, enum snapshot_part part, struct snapshot_run *run)
{
    size_t padded = snapshot_padded(length);
    memset(bytes + length, 0, padded - length);
    wire_put_u32(bytes + AT_MAGIC, magics[part]);
    wire_put_u32(bytes + AT_LENGTH, (uint32_t)length);
    wire_put_u32(bytes + AT_INDEX, run->index);
    wire_put_u16(bytes + AT_FORMAT, SNAPSHOT_FORMAT);
    memset(bytes + AT_RESERVED, 0, AT_START_LSN - AT_RESERVED);
    wire_put_u64(bytes + AT_START_LSN, run->start_lsn);
    wire_put_u32(bytes + AT_CRC, wal_crc(0, bytes + AT_LENGTH, padded - AT_LENGTH));
    run->index++;
    run->offset += padded;
    run->crc = wal_crc(run->crc, bytes + AT_CRC, 4);
    return padded;
}

/* Whether `length` is one that such a part can have. */
static bool length_fits(enum snapshot_part part, size_t length)
{
    switch (part) {
    case SNAPSHOT_HEAD:
        return length == SNAPSHOT_HEAD_BYTES;
    case SNAPSHOT_CHUNK:
        return length > SNAPSHOT_HEADER_BYTES && length <= SNAPSHOT_CHUNK_BYTES_MAX;
    default:
        return length == SNAPSHOT_FOOT_BYTES;
    }
}

int64_t snapshot_part_open(const uint8_t *bytes, size_t there, enum snapshot_part *part,
                           struct snapshot_run *run)
{
    if (there < DISK_BLOCK_BYTES)
        return -EBADMSG;
    uint32_t magic = wire_u32(bytes + AT_MAGIC);
    *part = magic == magics[SNAPSHOT_HEAD]    ? SNAPSHOT_HEAD
            : magic == magics[SNAPSHOT_CHUNK] ? SNAPSHOT_CHUNK
                                              : SNAPSHOT_FOOT;
    size_t length = wire_u32(bytes + AT_LENGTH);
    if (magic != magics[*part] || length < SNAPSHOT_HEADER_BYTES || length > SNAPSHOT_CHUNK_BYTES_MAX)
        return -EBADMSG;
    size_t padded = snapshot_padded(length);
    if (padded > there || wire_u32(bytes + AT_CRC) != wal_crc(0, bytes + AT_LENGTH, padded - AT_LENGTH))
        return -EBADMSG;
    if (wire_u16(bytes + AT_FORMAT) > SNAPSHOT_FORMAT)
        return -EPROTONOSUPPORT;
    if (run->index == 0)
        run->start_lsn = wire_u64(bytes + AT_START_LSN);
    if (wire_u16(bytes + AT_FORMAT) != SNAPSHOT_FORMAT || (run->index == 0) != (*part == SNAPSHOT_HEAD) ||
        !length_fits(*part, length) || wire_u32(bytes + AT_INDEX) != run->index ||
        wire_u64(bytes + AT_START_LSN) != run->start_lsn ||
        !wire_is_zero(bytes + AT_RESERVED, AT_START_LSN - AT_RESERVED) ||
        !wire_is_zero(bytes + length, padded - length))
        return -EBADMSG;
    run->index++;
    run->offset += padded;
    run->crc = wal_crc(run->crc, bytes + AT_CRC, 4);
    return (int64_t)length;
}

size_t snapshot_head_encode(uint8_t *bytes, const struct snapshot_facts *facts)
{
    memcpy(bytes + AT_CLUSTER_ID, facts->cluster_id, META_CLUSTER_ID_BYTES);
    wire_put_u64(bytes + AT_SEGMENT, facts->position.segment);
    wire_put_u64(bytes + AT_HISTORY, facts->position.history);
    wire_put_u32(bytes + AT_OFFSET, facts->position.offset);
    wire_put_u32(bytes + AT_PREVIOUS_CRC, facts->position.previous_crc);
    wire_put_u64(bytes + AT_FLUSH_LSN, facts->flush_lsn);
    wire_put_u64(bytes + AT_CAPACITY, facts->capacity);
    wire_put_u64(bytes + AT_WALL_MS, facts->wall_ms);
    return SNAPSHOT_HEAD_BYTES;
}

int snapshot_head_decode(const uint8_t *bytes, struct snapshot_facts *facts)
{
    *facts = (struct snapshot_facts){
        .position = {.segment = wire_u64(bytes + AT_SEGMENT),
                     .next_lsn = wire_u64(bytes + AT_START_LSN) + 1,
                     .history = wire_u64(bytes + AT_HISTORY),
                     .offset = wire_u32(bytes + AT_OFFSET),
                     .previous_crc = wire_u32(bytes + AT_PREVIOUS_CRC)},
        .flush_lsn = wire_u64(bytes + AT_FLUSH_LSN),
        .capacity = wire_u64(bytes + AT_CAPACITY),
        .wall_ms = wire_u64(bytes + AT_WALL_MS),
    };
    memcpy(facts->cluster_id, bytes + AT_CLUSTER_ID, META_CLUSTER_ID_BYTES);
    if (wire_u64(bytes + AT_START_LSN) > SNAPSHOT_LSN_MAX || facts->flush_lsn > SNAPSHOT_LSN_MAX ||
        facts->capacity < TABLE_CAPACITY_MIN || facts->capacity > TABLE_CAPACITY_MAX)
        return -EBADMSG;
    return 0;
}

int snapshot_chunk_check(const uint8_t *bytes, size_t length, uint64_t flush_lsn, uint64_t *highest_lsn,
                         struct snapshot_run *run)
{
    for (size_t at = SNAPSHOT_HEADER_BYTES; at < length;) {
        struct log_record record;
        int whole = log_record_decode(&record, bytes + at, length - at);
        if (whole < 0 || record.type != LOG_SET || record.lsn < flush_lsn)
            return -EBADMSG;
        if (record.lsn > *highest_lsn)
            *highest_lsn = record.lsn;
        run->items++;
        at += (size_t)whole;
    }
    return *highest_lsn <= SNAPSHOT_LSN_MAX ? 0 : -EBADMSG;
}

size_t snapshot_foot_encode(uint8_t *bytes, uint64_t end_lsn, const struct snapshot_run *run)
{
    wire_put_u64(bytes + AT_END_LSN, end_lsn);
    wire_put_u64(bytes + AT_ITEMS, run->items);
    wire_put_u32(bytes + AT_CRCS, run->crc);
    wire_put_u32(bytes + AT_FOOT_RESERVED, 0);
    return SNAPSHOT_FOOT_BYTES;
}

int snapshot_foot_decode(const uint8_t *bytes, const struct snapshot_run *run, struct snapshot_facts *facts)
{
    uint64_t end_lsn = wire_u64(bytes + AT_END_LSN);
    if (end_lsn < run->start_lsn || end_lsn < facts->flush_lsn || end_lsn > SNAPSHOT_LSN_MAX ||
        wire_u64(bytes + AT_ITEMS) != run->items || wire_u32(bytes + AT_CRCS) != run->crc ||
        wire_u32(bytes + AT_FOOT_RESERVED) != 0)
        return -EBADMSG;
    facts->end_lsn = end_lsn;
    facts->items = run->items;
    return 0;
}
