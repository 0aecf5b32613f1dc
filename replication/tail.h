/*
 * tail.h - the end of the log in memory: the last blocks that have become durable, one copy for all replicas. Owner:
 * the control lcore. All memory is taken at creation.
 *
 * Blocks are numbered as they come; the ring forgets the oldest as it needs room.
 */
#ifndef WILD_TAIL_H
#define WILD_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tail;

enum { TAIL_BYTES_DEFAULT = 16 << 20 };

/* bytes: at least four times REPLICATION_PAYLOAD_BYTES_MAX. last_lsn: the log's last before the first block that will be
 * put in. NULL: memory is short. */
struct tail *tail_create(size_t bytes, uint64_t last_lsn);
void tail_destroy(struct tail *tail);
/* Forgets all blocks: the log goes on elsewhere (a node that followed begins to lead), after last_lsn. Numbers go on
 * rising; nobody uses one from before. */
void tail_restart(struct tail *tail, uint64_t last_lsn);

struct tail_block {
    const uint8_t
        *bytes; /* header and records, without padding (wal_block.h); good while tail_holds() its number */
    uint64_t first_lsn, next_lsn, history;
    uint32_t length;
};

/* The next durable block, marks included. Blocks come in the order of the log without a gap. */
void tail_append(struct tail *tail, const uint8_t *bytes, uint32_t length, uint64_t history,
                 uint64_t first_lsn, uint32_t count);

/*
 * Where to go on for who has everything up to `lsn`: the number of the first block that holds lsn + 1 or opens a later
 * history; with all that there is, the one that comes next. False: it is not in here any more, or above all that was
 * ever put in.
 */
bool tail_find(const struct tail *tail, uint64_t lsn, uint64_t *number);
/* The block of that number, which must be held: false: it is yet to come. */
bool tail_at(const struct tail *tail, uint64_t number, struct tail_block *out);
/*
 * How near the block of that number, which must be held, is to being forgotten: in 1/1024 of the ring, what has come since
 * it began. 0: the next to come.
 */
unsigned tail_behind(const struct tail *tail, uint64_t number);
/* Whether it is still here, or the next to come. */
bool tail_holds(const struct tail *tail, uint64_t number);

#endif
