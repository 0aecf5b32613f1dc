/*
 * wal_position.h - a place between two blocks of the log. The next block is found at `offset` of `segment`,
 * or at the start of segment + 1: whichever continues the log (wal_block.h). One of the two does at most,
 * since a block's crc chains it to one predecessor.
 */
#ifndef WILD_WAL_POSITION_H
#define WILD_WAL_POSITION_H

#include <stdint.h>

struct wal_position {
    uint64_t segment;
    uint64_t next_lsn; /* of the record that comes next, at the least; 1 at the log's start */
    uint64_t history;  /* of the block before; 0: none, the log starts here */
    uint32_t offset;
    uint32_t previous_crc; /* of the block before; 0 at the log's start */
};

#endif
