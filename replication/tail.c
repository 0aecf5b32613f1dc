/*
 * tail.c - a ring of bytes in which no block is cut in two, and a ring of entries that say where each stands.
 */
#include "tail.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "replication_message.h"
#include "wal_block.h"

static_assert((int)WAL_BLOCK_BYTES_MAX <= (int)REPLICATION_PAYLOAD_BYTES_MAX, "any block fits a message");

/* The least that a block takes: so many entries are enough for a ring that is full of small blocks. */
enum { BLOCK_BYTES_MIN = 128 };

struct entry {
    uint64_t position; /* of its bytes; position % bytes is where they stand */
    uint64_t first_lsn, next_lsn, history;
    uint32_t length;
};

struct tail {
    size_t bytes;
    uint64_t end;           /* position behind the last block's bytes */
    uint64_t oldest, count; /* entries: numbers oldest .. count - 1 are held */
    uint64_t entries;       /* a power of two */
    uint64_t last_lsn;      /* of the log before the oldest entry */
    uint8_t *ring;
    struct entry *entry;
};

static struct entry *entry_of(const struct tail *tail, uint64_t number)
{
    return &tail->entry[number & (tail->entries - 1)];
}

struct tail *tail_create(size_t bytes, uint64_t last_lsn)
{
    CHECK(bytes >= 4 * (size_t)REPLICATION_PAYLOAD_BYTES_MAX);
    struct tail *tail = calloc(1, sizeof *tail);
    if (tail == NULL)
        return NULL;
    tail->bytes = bytes;
    tail->last_lsn = last_lsn;
    for (tail->entries = 1; tail->entries < bytes / BLOCK_BYTES_MIN; tail->entries *= 2)
        ;
    tail->ring = malloc(bytes);
    tail->entry = calloc(tail->entries, sizeof *tail->entry);
    if (tail->ring == NULL || tail->entry == NULL) {
        tail_destroy(tail);
        return NULL;
    }
    memset(tail->ring, 0, bytes); /* its pages are there before the first block */
    return tail;
}

void tail_destroy(struct tail *tail)
{
    if (tail == NULL)
        return;
    free(tail->ring);
    free(tail->entry);
    free(tail);
}

void tail_restart(struct tail *tail, uint64_t last_lsn)
{
    tail->oldest = tail->count;
    tail->last_lsn = last_lsn;
}

static void forget_oldest(struct tail *tail)
{
    tail->last_lsn = entry_of(tail, tail->oldest)->next_lsn - 1;
    tail->oldest++;
}

void tail_append(struct tail *tail, const uint8_t *bytes, uint32_t length, uint64_t history,
                 uint64_t first_lsn, uint32_t count)
{
    CHECK(length >= WAL_BLOCK_HEADER_BYTES && length <= WAL_BLOCK_BYTES_MAX);
    size_t at = tail->end % tail->bytes;
    uint64_t position = at + length <= tail->bytes ? tail->end : tail->end + (tail->bytes - at);

    while (tail->oldest < tail->count &&
           (tail->count - tail->oldest == tail->entries ||
            position + length - entry_of(tail, tail->oldest)->position > tail->bytes))
        forget_oldest(tail);
    memcpy(tail->ring + position % tail->bytes, bytes, length);
    *entry_of(tail, tail->count++) = (struct entry){.position = position,
                                                    .first_lsn = first_lsn,
                                                    .next_lsn = first_lsn + count,
                                                    .history = history,
                                                    .length = length};
    tail->end = position + length;
}

bool tail_find(const struct tail *tail, uint64_t lsn, uint64_t *number)
{
    uint64_t low = tail->oldest, high = tail->count;

    if (lsn < tail->last_lsn)
        return false;
    /* The first block that leads beyond lsn; entries ascend. A mark leads nowhere, unless it opens a history. */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (entry_of(tail, middle)->next_lsn - 1 > lsn)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == tail->count &&
        lsn > (tail->count > tail->oldest ? entry_of(tail, tail->count - 1)->next_lsn - 1 : tail->last_lsn))
        return false;
    *number = low;
    return true;
}

bool tail_at(const struct tail *tail, uint64_t number, struct tail_block *out)
{
    CHECK(tail_holds(tail, number));
    if (number == tail->count)
        return false;
    const struct entry *entry = entry_of(tail, number);
    *out = (struct tail_block){.bytes = tail->ring + entry->position % tail->bytes,
                               .first_lsn = entry->first_lsn,
                               .next_lsn = entry->next_lsn,
                               .history = entry->history,
                               .length = entry->length};
    return true;
}

bool tail_holds(const struct tail *tail, uint64_t number)
{
    return number >= tail->oldest && number <= tail->count;
}

unsigned tail_behind(const struct tail *tail, uint64_t number)
{
    CHECK(tail_holds(tail, number));
    if (number == tail->count)
        return 0;
    /* Whichever runs out first, bytes or entries. */
    uint64_t of_bytes = (tail->end - entry_of(tail, number)->position) * 1024 / tail->bytes;
    uint64_t of_entries = (tail->count - number) * 1024 / tail->entries;
    return (unsigned)(of_bytes > of_entries ? of_bytes : of_entries);
}
