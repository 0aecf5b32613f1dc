/*
 * parked.h - replies that wait for the log. One queue a worker and service; first in, first out, so that the
 * order of replies on a connection is kept by itself: an entry waits for the highest LSN that any entry
 * before it waits for. That costs a read at most the commit that was on its way already.
 *
 * An entry is the reply message as it would have been sent (unsealed) and whom it is for, packed in a ring of
 * bytes: no frame of a device's is held. Room is made sure of before a write is executed, since nothing may
 * fail after it has its LSN.
 *
 * Shares. Nothing in the ring can make room for a newcomer: its write is done. So who is over a share is told
 * BUSY (or held back) while there is room left: a session over PARKED_SESSION_BYTES, where there are
 * sessions, and a source (source.h) by what is free. A host may hold as much as is free less what its network
 * holds. One host alone gets a third of the ring; any number of one network less than half, alike; and what n
 * networks of one host each leave free is 2 / (n + 2). So a newcomer finds room, whoever floods.
 *
 * Outcomes of an entry: the log gets there -> as it is. The log failed, or PARKED_NS_MAX have gone by ->
 * every reply in it that may have waited is made to say what is known: TIMEOUT for a write (it may or may not
 * survive), STALE for a read (nobody may see what could be taken back).
 *
 * The ring: positions count bytes since creation, an entry is a header, its owner and its message, each in
 * whole words; one that would not fit before the buffer's end starts at the buffer's start, and a mark says
 * so.
 */
#ifndef WILD_PARKED_H
#define WILD_PARKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/source.h"

enum {
    PARKED_RING_BYTES = 4 * 1024 * 1024, /* a worker and service: 30,000 replies to SETs */
    PARKED_SESSION_BYTES = 256 * 1024,   /* of the ring: 2,000 of them */
    PARKED_OWNER_BYTES_MAX = 80,         /* whom it is for, the service's own struct */
    PARKED_RING_BYTES_MIN = 65536,
};
#define PARKED_NS_MAX UINT64_C(5000000000)

struct parked;

/* bytes: a power of two, PARKED_RING_BYTES_MIN at least. NULL: memory is short. */
struct parked *parked_create(size_t bytes, int numa_node);
void parked_destroy(struct parked *parked); /* wipes it: values were in there. NULL is fine */

/* Whether an entry with a message of that many bytes, or fewer, fits now. Holds until the next
 * parked_add(). */
bool parked_room(const struct parked *parked, size_t message_bytes);
/* Whether `entries` with messages of that many bytes in total, none above RECORD_MESSAGE_BYTES_MAX, fit
 * now. */
bool parked_room_for(const struct parked *parked, unsigned entries, size_t message_bytes);
/* Bytes of the ring that an entry with such a message takes at most, but for what it skips. */
size_t parked_entry_bytes(size_t message_bytes);
/* Whether the source may have one more entry, with a message of that many bytes, of all but `spare` bytes
 * of what is free. */
bool parked_fair(const struct parked *parked, struct source source, size_t message_bytes, size_t spare);
/* Needs parked_room(). owner: copied. wait_lsn 0: only for what stands before it. */
void parked_add(struct parked *parked, uint64_t wait_lsn, uint64_t now_ns, struct source source,
                const void *owner, size_t owner_bytes, const uint8_t *message, size_t message_bytes);

struct parked_entry {
    const void *owner; /* in whole words of memory, so of any alignment up to 8 */
    const uint8_t *message;
    size_t message_bytes;
    uint64_t wait_lsn;
    bool
        given_up; /* the log has not come, and is waited for no more: parked_give_up() on a copy of the message */
};
/* The oldest entry if the log has reached it, or it is overdue, or `failed`; false: none. */
bool parked_next(const struct parked *parked, uint64_t durable_lsn, bool failed, uint64_t now_ns,
                 struct parked_entry *out);
void parked_pop(struct parked *parked);
unsigned parked_count(const struct parked *parked); /* entries */
size_t parked_bytes(const struct parked *parked);   /* of the ring that are in use */

/*
 * Rewrites, in place, the replies of a message that may have waited for more than durable_lsn, see above; a
 * reply without a version (NOT_FOUND, FULL) does not say what it depends on, and is among them. Replies that
 * say nothing of the table stay. Returns the message's new length.
 */
struct parked_given_up {
    unsigned writes, reads; /* replies rewritten */
};
size_t parked_give_up(uint8_t *message, size_t message_bytes, uint64_t durable_lsn,
                      struct parked_given_up *out);

#endif
