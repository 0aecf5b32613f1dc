/*
 * log_ring.h - hand-over of log records from one worker to the control lcore: a single-producer
 * single-consumer ring of bytes, in which the producer reserves room before it commits to write.
 *
 * A record lies contiguous; where it would not fit before the end, the producer skips to the start
 * (reservations count the worst case, so a reserve that succeeded always holds). A full ring is backpressure:
 * the operation answers BUSY. Nothing is dropped.
 */
#ifndef WILD_LOG_RING_H
#define WILD_LOG_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log_record.h"

enum { LOG_RING_BYTES_MIN = 16384 };

struct log_ring; /* producer's and consumer's words on lines of their own */

/* bytes: a power of two >= LOG_RING_BYTES_MIN. NULL when memory is short or bytes is not right. */
struct log_ring *log_ring_create(size_t bytes, int numa_node);
void log_ring_destroy(struct log_ring *ring);

/* Producer. Whether records of these encoded sizes, in total, are sure to fit now. Holds until the next
 * append. */
bool log_ring_reserve(struct log_ring *ring, size_t records, size_t total_bytes);
/* Producer. Writes and publishes one record (release: pairs with acquire in log_ring_peek()). Needs a
 * reservation. */
void log_ring_append(struct log_ring *ring, const struct log_record *record);

/* Consumer. The oldest record's encoded bytes, or NULL when empty. Valid until log_ring_pop(). */
const uint8_t *log_ring_peek(struct log_ring *ring, size_t *length);
void log_ring_pop(struct log_ring *ring);

uint64_t log_ring_used_bytes(const struct log_ring *ring); /* any thread, approximate */

#endif
