/*
 * parked.h - replies that wait for the log. One queue a worker and service; first in, first out, so that the order of
 * replies on a connection is kept by itself: an entry waits for the highest LSN that any entry before it
 * waits for. That costs a read at most the commit that was on its way already.
 *
 * An entry is the reply message as it would have been sent (unsealed) and whom it is for, packed in a ring of
 * bytes: no frame of a device's is held. Room is reserved before an operation is executed, since nothing may
 * fail after it has its LSN; a session has a share of its own (PARKED_SESSION_BYTES), so that one that floods
 * is told BUSY and not the others.
 *
 * Outcomes of an entry: the log gets there -> as it is. The log failed, or PARKED_NS_MAX have gone by -> every reply
 * in it that waited is made to say what is known: TIMEOUT for a write (it may or may not survive), STALE for a
 * read (nobody may see what could be taken back).
 */
#ifndef WILD_PARKED_H
#define WILD_PARKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PARKED_RING_BYTES = 4 * 1024 * 1024, /* a worker and service: 40,000 replies to SETs */
    PARKED_SESSION_BYTES = 256 * 1024,
    PARKED_OWNER_BYTES_MAX = 64, /* whom it is for, the service's own struct */
};
#define PARKED_NS_MAX UINT64_C(5000000000)

struct parked;

struct parked *parked_create(size_t bytes, int numa_node); /* a power of two; NULL: memory is short */
void parked_destroy(struct parked *parked);

/* Whether an entry with a message of that many bytes fits now. Holds until the next parked_add(). */
bool parked_room(const struct parked *parked, size_t message_bytes);
/* Needs parked_room(). owner: copied. */
void parked_add(struct parked *parked, uint64_t wait_lsn, uint64_t now_ns, const void *owner, size_t owner_bytes,
                const uint8_t *message, size_t message_bytes);

struct parked_entry {
    const void *owner;
    uint8_t *message; /* may be changed in place */
    size_t message_bytes;
    uint64_t wait_lsn;
    bool overdue; /* its time is over and the log has not come */
};
/* The oldest entry if the log has reached it, or it is overdue, or `failed`; false: none. */
bool parked_next(struct parked *parked, uint64_t durable_lsn, bool failed, uint64_t now_ns,
                 struct parked_entry *out);
void parked_pop(struct parked *parked);
/* Lowest LSN that the oldest entry waits for; 0: empty. */
uint64_t parked_oldest_lsn(const struct parked *parked);
size_t parked_bytes(const struct parked *parked);

/* Rewrites the replies of a message that waited for more than durable_lsn, see above. Returns its new length. */
size_t parked_give_up(uint8_t *message, size_t message_bytes, uint64_t durable_lsn);

#endif
