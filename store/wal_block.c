#include "wal_block.h"

#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "wire.h"

enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_PREVIOUS_CRC = 8,
    AT_LENGTH = 12,
    AT_FORMAT = 16,
    AT_RESERVED = 18,
    AT_COUNT = 20,
    AT_FIRST_LSN = 24,
    AT_HISTORY = 32,
    AT_WALL = 40,
    AT_DURABLE_LSN = 48,
    AT_SEGMENT = 56,
    AT_OFFSET = 64,
    AT_RESERVED_END = 68,
    AT_STAMP = 72,
    CRC_FROM = AT_CRC + 4,
};
static_assert(AT_STAMP + 8 == WAL_BLOCK_HEADER_BYTES && WAL_BLOCK_HEADER_BYTES % 8 == 0,
              "layout as in wal_block.h");

static const uint8_t magic[4] = {'W', 'L', 'B', '1'};

size_t wal_block_encode(uint8_t *bytes, struct wal_block *block)
{
    size_t length = WAL_BLOCK_HEADER_BYTES + block->records_bytes, padded = wal_block_padded(length);
    CHECK(length <= WAL_BLOCK_BYTES_MAX && (block->count == 0) == (block->records_bytes == 0));
    block->records = bytes + WAL_BLOCK_HEADER_BYTES;
    block->length = (uint32_t)length;
    memset(bytes, 0, WAL_BLOCK_HEADER_BYTES);
    memset(bytes + length, 0, padded - length);
    memcpy(bytes + AT_MAGIC, magic, sizeof magic);
    wire_put_u32(bytes + AT_PREVIOUS_CRC, block->previous_crc);
    wire_put_u32(bytes + AT_LENGTH, block->length);
    wire_put_u16(bytes + AT_FORMAT, WAL_FORMAT);
    wire_put_u32(bytes + AT_COUNT, block->count);
    wire_put_u64(bytes + AT_FIRST_LSN, block->first_lsn);
    wire_put_u64(bytes + AT_HISTORY, block->history);
    wire_put_u64(bytes + AT_WALL, block->wall_ms);
    wire_put_u64(bytes + AT_DURABLE_LSN, block->durable_lsn);
    wire_put_u64(bytes + AT_SEGMENT, block->segment);
    wire_put_u32(bytes + AT_OFFSET, block->offset);
    wire_put_u64(bytes + AT_STAMP, block->stamp);
    block->crc = wal_crc(0, bytes + CRC_FROM, padded - CRC_FROM);
    wire_put_u32(bytes + AT_CRC, block->crc);
    return padded;
}

/* Exactly `count` valid records fill the block, their LSNs without a gap. */
static bool records_valid(const struct wal_block *block)
{
    struct log_record record;
    size_t at = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        int used = log_record_decode(&record, block->records + at, block->records_bytes - at);
        if (used < 0 || record.lsn != block->first_lsn + i)
            return false;
        at += (size_t)used;
    }
    return at == block->records_bytes;
}

/* What can be said of a header alone. */
static void decode_header(struct wal_block *out, const uint8_t *bytes)
{
    *out = (struct wal_block){
        .first_lsn = wire_u64(bytes + AT_FIRST_LSN),
        .history = wire_u64(bytes + AT_HISTORY),
        .wall_ms = wire_u64(bytes + AT_WALL),
        .durable_lsn = wire_u64(bytes + AT_DURABLE_LSN),
        .segment = wire_u64(bytes + AT_SEGMENT),
        .stamp = wire_u64(bytes + AT_STAMP),
        .offset = wire_u32(bytes + AT_OFFSET),
        .count = wire_u32(bytes + AT_COUNT),
        .length = wire_u32(bytes + AT_LENGTH),
        .crc = wire_u32(bytes + AT_CRC),
        .previous_crc = wire_u32(bytes + AT_PREVIOUS_CRC),
        .records = bytes + WAL_BLOCK_HEADER_BYTES,
    };
    if (out->length >= WAL_BLOCK_HEADER_BYTES)
        out->records_bytes = out->length - WAL_BLOCK_HEADER_BYTES;
}

static bool length_valid(const struct wal_block *block)
{
    return block->length >= WAL_BLOCK_HEADER_BYTES && block->length <= WAL_BLOCK_BYTES_MAX;
}

/* Of a block whose crc is right. */
static enum wal_verdict judge_fields(const struct wal_block *block, const uint8_t *bytes)
{
    if (wire_u16(bytes + AT_FORMAT) > WAL_FORMAT)
        return WAL_NEWER_FORMAT;
    bool valid = wire_u16(bytes + AT_FORMAT) == WAL_FORMAT && wire_u16(bytes + AT_RESERVED) == 0 &&
                 wire_is_zero(bytes + AT_RESERVED_END, AT_STAMP - AT_RESERVED_END) && block->history != 0 &&
                 block->first_lsn <= UINT64_MAX - block->count &&
                 block->durable_lsn < block->first_lsn + block->count && records_valid(block);
    return valid ? WAL_WHOLE : WAL_BROKEN;
}

enum wal_verdict wal_block_decode(struct wal_block *out, const uint8_t *bytes, size_t length,
                                  uint64_t segment, uint32_t offset)
{
    if (length < sizeof magic)
        return WAL_SHORT;
    if (memcmp(bytes + AT_MAGIC, magic, sizeof magic) != 0)
        return WAL_NO_BLOCK;
    if (length < WAL_BLOCK_HEADER_BYTES)
        return WAL_SHORT;
    decode_header(out, bytes);
    /* Place before crc: in a file that is used again nearly every block is out of place. */
    if (out->segment != segment || out->offset != offset || !length_valid(out))
        return WAL_BROKEN;
    size_t padded = wal_block_padded(out->length);
    if (length < padded)
        return WAL_SHORT;
    if (wal_crc(0, bytes + CRC_FROM, padded - CRC_FROM) != out->crc)
        return WAL_BROKEN;
    enum wal_verdict verdict = judge_fields(out, bytes);
    /* a later format may have something behind its length */
    return verdict == WAL_WHOLE && !wire_is_zero(bytes + out->length, padded - out->length) ? WAL_BROKEN
                                                                                            : verdict;
}

enum wal_verdict wal_block_decode_bare(struct wal_block *out, const uint8_t *bytes, size_t length)
{
    static const uint8_t padding[DISK_BLOCK_BYTES];
    if (length < sizeof magic)
        return WAL_SHORT;
    if (memcmp(bytes + AT_MAGIC, magic, sizeof magic) != 0)
        return WAL_NO_BLOCK;
    if (length < WAL_BLOCK_HEADER_BYTES)
        return WAL_SHORT;
    decode_header(out, bytes);
    if (!length_valid(out) || length > out->length)
        return WAL_BROKEN;
    if (length < out->length)
        return WAL_SHORT;
    uint32_t crc = wal_crc(0, bytes + CRC_FROM, length - CRC_FROM);
    if (wal_crc(crc, padding, wal_block_padded(length) - length) != out->crc)
        return WAL_BROKEN;
    return judge_fields(out, bytes);
}
