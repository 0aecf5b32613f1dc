/*
 * wal_blocks.h - blocks of the log made by hand, for tests: with records that say their LSN, in order or with
 * whatever a test changes, the crc made anew.
 */
#ifndef WILD_TESTS_WAL_BLOCKS_H
#define WILD_TESTS_WAL_BLOCKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal_block.h"
#include "wire.h"

enum { BLOCK_CRC = 4 }; /* offset of the crc, which covers all behind it */

/* One encoded record, its key made of the LSN; value_length bytes of value. Returns its length. */
static inline size_t numbered_record(uint8_t *out, uint64_t lsn, unsigned value_length)
{
    static const uint8_t value[VALUE_BYTES_MAX] = "value";
    char key[24];
    int length = snprintf(key, sizeof key, "key-%llu", (unsigned long long)(lsn & 0xffffff));
    struct log_record record = {.lsn = lsn,
                                .type = LOG_SET,
                                .key = (const uint8_t *)key,
                                .key_length = (uint8_t)length,
                                .value = value,
                                .value_length = (uint16_t)value_length};
    return log_record_encode(out, &record);
}

/* A block with block->count such records: the padded bytes. `bytes` has room for WAL_BLOCK_BYTES_MAX. */
static inline size_t make_block(uint8_t *bytes, struct wal_block *block, unsigned value_length)
{
    block->records_bytes = 0;
    for (uint32_t i = 0; i < block->count; i++)
        block->records_bytes += numbered_record(bytes + WAL_BLOCK_HEADER_BYTES + block->records_bytes,
                                                block->first_lsn + i, value_length);
    return wal_block_encode(bytes, block);
}

/* Makes the crc right for whatever else stands there. */
static inline void fix_crc(uint8_t *bytes, size_t padded)
{
    wire_put_u32(bytes + BLOCK_CRC, wal_crc(0, bytes + BLOCK_CRC + 4, padded - BLOCK_CRC - 4));
}

#endif
