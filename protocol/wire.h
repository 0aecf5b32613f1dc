/*
 * wire.h - bounded little-endian reading and writing, for every format of WILD that is not a packet header.
 *
 * A cursor is a pair: `at`, which moves, and `end`, which does not. wire_take() and wire_place() are the only
 * ways forward; they fail (NULL, nothing moves) when fewer bytes are left than asked for. A fixed header is
 * taken whole, then its fields are read at their offsets with wire_u16() and friends, so that one comparison
 * guards a header and the offsets stand in the code as they stand in the format's table.
 */
#ifndef WILD_WIRE_H
#define WILD_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The next `bytes` bytes to read, or NULL. */
static inline const uint8_t *wire_take(const uint8_t **at, const uint8_t *end, size_t bytes)
{
    const uint8_t *taken = *at;
    if ((size_t)(end - taken) < bytes)
        return NULL;
    *at = taken + bytes;
    return taken;
}

/* Room for the next `bytes` bytes to write, or NULL. */
static inline uint8_t *wire_place(uint8_t **at, const uint8_t *end, size_t bytes)
{
    uint8_t *place = *at;
    if ((size_t)(end - place) < bytes)
        return NULL;
    *at = place + bytes;
    return place;
}

static inline uint16_t wire_u16(const uint8_t *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof v);
    return le16toh(v);
}

static inline uint32_t wire_u32(const uint8_t *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof v);
    return le32toh(v);
}

static inline uint64_t wire_u64(const uint8_t *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return le64toh(v);
}

static inline void wire_put_u16(uint8_t *to, uint16_t v)
{
    v = htole16(v);
    memcpy(to, &v, sizeof v);
}

static inline void wire_put_u32(uint8_t *to, uint32_t v)
{
    v = htole32(v);
    memcpy(to, &v, sizeof v);
}

static inline void wire_put_u64(uint8_t *to, uint64_t v)
{
    v = htole64(v);
    memcpy(to, &v, sizeof v);
}

/* Reserved bytes and padding: whether all are zero. */
static inline bool wire_is_zero(const uint8_t *from, size_t bytes)
{
    for (; bytes >= 8; bytes -= 8, from += 8)
        if (wire_u64(from) != 0)
            return false;
    for (; bytes > 0; bytes--)
        if (*from++ != 0)
            return false;
    return true;
}

#endif
