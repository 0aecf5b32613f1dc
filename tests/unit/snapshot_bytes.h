/*
 * snapshot_bytes.h - snapshots as bytes, for tests that damage them: what a part's header says, sums made
 * right again, files put on a disk.
 */
#ifndef WILD_TESTS_SNAPSHOT_BYTES_H
#define WILD_TESTS_SNAPSHOT_BYTES_H

#include <stdlib.h>

#include "snapshot.h"
#include "wal_block.h"
#include "wire.h"

/* As in snapshot.h. */
enum { SNAPSHOT_AT_CRC = 4, SNAPSHOT_AT_LENGTH = 8, SNAPSHOT_AT_FORMAT = 16, SNAPSHOT_FOOT_AT_CRCS = 48 };

/* Bytes of the part at `bytes` with padding, as its header says, if they are there; else what is there. */
static inline size_t snapshot_bytes_part(const uint8_t *bytes, size_t left)
{
    if (left < SNAPSHOT_HEADER_BYTES)
        return left;
    size_t length = wire_u32(bytes + SNAPSHOT_AT_LENGTH);
    size_t padded = (length + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    return padded < DISK_BLOCK_BYTES || padded > left ? left : padded;
}

/* Every part's crc, and the foot's over all of them, as if whoever changed something had been the writer. */
static inline void snapshot_bytes_sum(uint8_t *bytes, size_t length)
{
    uint32_t crcs = 0;
    for (size_t at = 0; at + SNAPSHOT_HEADER_BYTES <= length;) {
        uint8_t *part = bytes + at;
        size_t padded = snapshot_bytes_part(part, length - at);
        at += padded;
        if (at == length && padded >= SNAPSHOT_FOOT_AT_CRCS + 4)
            wire_put_u32(part + SNAPSHOT_FOOT_AT_CRCS, crcs);
        wire_put_u32(part + SNAPSHOT_AT_CRC,
                     wal_crc(0, part + SNAPSHOT_AT_LENGTH, padded - SNAPSHOT_AT_LENGTH));
        crcs = wal_crc(crcs, part + SNAPSHOT_AT_CRC, 4);
    }
}

/* The file has these bytes, whatever it was. */
static inline void snapshot_bytes_put(const struct disk *disk, const char *name, const uint8_t *bytes,
                                      size_t length)
{
    (void)disk->call->remove(disk->state, name);
    int file = disk->call->open(disk->state, name, DISK_CREATE, 0);
    if (file < 0 || disk->call->write(disk->state, file, 0, bytes, length) != 0)
        abort();
    disk->call->close(disk->state, file);
}

/* 0, or the error with which it was noticed that the file is not valid. */
static inline int snapshot_bytes_judge(const struct disk *disk, const char *name)
{
    struct snapshot_reader *reader;
    int outcome = snapshot_reader_open(&reader, disk, name);
    if (outcome == 0) {
        outcome = snapshot_reader_check(reader);
        snapshot_reader_close(reader);
    }
    return outcome;
}

#endif
