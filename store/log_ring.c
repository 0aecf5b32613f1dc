#include "log_ring.h"

#include <stdatomic.h>

#include "check.h"
#include "region.h"
#include "wire.h"

/*
 * Positions are bytes since creation; position & mask is the place in the buffer. Records are multiples of 8
 * bytes, so a record that would not fit before the end leaves at least 8 bytes there: a skip mark, which no
 * record begins with because no LSN is that high.
 */
static const uint64_t skip_mark = UINT64_MAX;

enum { CACHE_LINE = 64 };

struct log_ring {
    struct region region;
    uint8_t *buffer;
    size_t size;

    /* producer */
    _Alignas(CACHE_LINE) _Atomic uint64_t written; /* read by the consumer */
    uint64_t consumed_seen;                        /* the producer's last look at `consumed` */
    uint64_t reserved_bytes;

    /* consumer */
    _Alignas(CACHE_LINE) _Atomic uint64_t consumed; /* read by the producer */
    uint64_t written_seen;
    size_t peeked; /* bytes that log_ring_pop() takes */
};

struct log_ring *log_ring_create(size_t bytes, int numa_node)
{
    if (bytes < LOG_RING_BYTES_MIN || (bytes & (bytes - 1)) != 0)
        return NULL;
    /* The struct's lines stand in front of the buffer, in the same memory. */
    size_t head = (sizeof(struct log_ring) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    struct region region;
    struct region_config config = {.bytes = head + bytes, .numa_node = numa_node};
    if (region_create(&region, &config) != 0)
        return NULL;
    struct log_ring *ring = (struct log_ring *)region.start;
    ring->region = region;
    ring->buffer = region.start + head;
    ring->size = bytes;
    return ring;
}

void log_ring_destroy(struct log_ring *ring)
{
    if (ring == NULL)
        return;
    struct region region = ring->region;
    region_destroy(&region);
}

/* Bytes from this position to the buffer's end. */
static size_t to_end(const struct log_ring *ring, uint64_t position)
{
    return ring->size - (position & (ring->size - 1));
}

bool log_ring_reserve(struct log_ring *ring, size_t records, size_t total_bytes)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    /* If a record must skip the rest of the buffer, what it leaves unused is less than the record. */
    size_t needed = total_bytes, end = to_end(ring, written);
    if (total_bytes > end) {
        size_t largest = total_bytes - (records - 1) * LOG_RECORD_HEADER_BYTES;
        if (largest > LOG_RECORD_BYTES_MAX)
            largest = LOG_RECORD_BYTES_MAX;
        needed += end < largest ? end : largest;
    }
    if (written + needed - ring->consumed_seen > ring->size) {
        /* acquire: pairs with release in log_ring_pop() */
        ring->consumed_seen = atomic_load_explicit(&ring->consumed, memory_order_acquire);
        if (written + needed - ring->consumed_seen > ring->size)
            return false;
    }
    ring->reserved_bytes = needed;
    return true;
}

void log_ring_append(struct log_ring *ring, const struct log_record *record)
{
    uint64_t start = atomic_load_explicit(&ring->written, memory_order_relaxed), at = start;
    size_t bytes = log_record_bytes(record->key_length, record->value_length), end = to_end(ring, at);
    if (bytes > end) {
        wire_put_u64(ring->buffer + (at & (ring->size - 1)), skip_mark);
        at += end;
    }
    log_record_encode(ring->buffer + (at & (ring->size - 1)), record);
    at += bytes;
    CHECK(at - start <= ring->reserved_bytes);
    ring->reserved_bytes -= at - start;
    /* release: pairs with acquire in log_ring_peek() */
    atomic_store_explicit(&ring->written, at, memory_order_release);
}

const uint8_t *log_ring_peek(struct log_ring *ring, size_t *length)
{
    uint64_t at = atomic_load_explicit(&ring->consumed, memory_order_relaxed);
    if (at == ring->written_seen) {
        /* acquire: pairs with release in log_ring_append() */
        ring->written_seen = atomic_load_explicit(&ring->written, memory_order_acquire);
        if (at == ring->written_seen)
            return NULL;
    }
    size_t skipped = 0;
    const uint8_t *record = ring->buffer + (at & (ring->size - 1));
    if (wire_u64(record) == skip_mark) {
        skipped = to_end(ring, at);
        record = ring->buffer;
    }
    *length = log_record_encoded_bytes(record);
    ring->peeked = skipped + *length;
    return record;
}

void log_ring_pop(struct log_ring *ring)
{
    CHECK(ring->peeked != 0);
    uint64_t at = atomic_load_explicit(&ring->consumed, memory_order_relaxed) + ring->peeked;
    ring->peeked = 0;
    /* release: pairs with acquire in log_ring_reserve(): the bytes may be overwritten */
    atomic_store_explicit(&ring->consumed, at, memory_order_release);
}

uint64_t log_ring_used_bytes(const struct log_ring *ring)
{
    uint64_t consumed = atomic_load_explicit(&ring->consumed, memory_order_relaxed);
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    return written > consumed ? written - consumed : 0;
}
