/*
 * wal_crc.c - CRC32C (Castagnoli), by the CPU's own instruction: every x86-64-v2 has it. RFC 3720 B.4 has the
 * vectors.
 */
#include <nmmintrin.h>

#include "load_bytes.h"
#include "wal_block.h"

uint32_t wal_crc(uint32_t crc, const void *bytes, size_t length)
{
    const uint8_t *at = bytes, *end = at + length;
    uint64_t state = ~crc;
    for (; end - at >= 8; at += 8)
        state = _mm_crc32_u64(state, load_8(at));
    for (; at < end; at++)
        state = _mm_crc32_u8((uint32_t)state, *at);
    return ~(uint32_t)state;
}
