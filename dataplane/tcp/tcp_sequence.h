/*
 * tcp_sequence.h - sequence numbers and time stamps, compared modulo 2^32 (RFC 9293 3.4, RFC 7323 5.2).
 */
#ifndef WILD_TCP_SEQUENCE_H
#define WILD_TCP_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

static inline bool seq_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_at_or_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_later(uint32_t a, uint32_t b)
{
    return seq_before(a, b) ? b : a;
}

/* Whether at <= seq < at + length. */
static inline bool seq_in(uint32_t seq, uint32_t at, uint32_t length)
{
    return seq - at < length;
}

#endif
