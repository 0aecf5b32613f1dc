/*
 * native_buffers.h - buffers for what does not fit at once: records that came in part, replies that cannot
 * leave yet. Two sizes in fixed numbers, taken at creation, shared by all connections of a worker.
 */
#ifndef WILD_NATIVE_BUFFERS_H
#define WILD_NATIVE_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol_limits.h"

enum {
    NATIVE_BUFFER_SMALL_BYTES = 1408, /* a record of any single operation */
    NATIVE_BUFFER_LARGE_BYTES = RECORD_BYTES_MAX,
};
static_assert(RECORD_OVERHEAD_BYTES + MESSAGE_HEADER_BYTES + OPERATION_HEADER_BYTES + KEY_BYTES_MAX +
                      VALUE_BYTES_MAX <=
                  (int)NATIVE_BUFFER_SMALL_BYTES,
              "the largest SET's record fits a small buffer");

struct native_buffer {
    struct native_buffer *next; /* the holder's */
    uint32_t size;
    uint32_t length, taken; /* the holder's: bytes in it, and how many of them have gone on */
    uint8_t bytes[];
};

struct native_buffer_class {
    uint8_t *memory;
    struct native_buffer *free;
    unsigned count, used;
};

struct native_buffers {
    struct native_buffer_class small, large;
};

bool native_buffers_init(struct native_buffers *buffers, unsigned small,
                         unsigned large);                 /* false: no memory */
void native_buffers_fini(struct native_buffers *buffers); /* wipes them: values were in there */

/* Requests that came in part leave the last quarter of the large ones to replies: clients who never complete
 * theirs cannot have others' answers thrown away. */
enum native_buffer_use { NATIVE_BUFFER_REQUEST, NATIVE_BUFFER_REPLY };

/* At least `bytes` (<= NATIVE_BUFFER_LARGE_BYTES), empty; NULL: none is free now. */
struct native_buffer *native_buffer_take(struct native_buffers *buffers, uint32_t bytes,
                                         enum native_buffer_use use);
/* How many of a class requests may hold. */
unsigned native_buffers_for_requests(const struct native_buffers *buffers, bool large);
void native_buffer_give(struct native_buffers *buffers, struct native_buffer *buffer);

#endif
