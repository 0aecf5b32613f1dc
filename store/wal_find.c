#include "wal_find.h"

#include <errno.h>
#include <stdlib.h>

#include "wal_block.h"

/* What a segment begins with. */
struct first {
    struct wal_position position; /* before its first block */
    uint64_t lsn;                 /* what lies below it the log has before this segment, if at all */
};

struct search {
    const struct disk *disk;
    const struct meta *meta;
    uint8_t *bytes; /* WAL_BLOCK_BYTES_MAX */
};

static bool lies_behind(const struct first *first, uint64_t lsn)
{
    return first->lsn > lsn && first->lsn - lsn > 1;
}

/* Bytes of the segment's first block and of what follows, or -errno. */
static int64_t read_first(const struct search *search, uint64_t segment)
{
    const struct disk *disk = search->disk;
    char name[DISK_NAME_BYTES];

    meta_segment_name(name, segment);
    int file = disk->call->open(disk->state, name, DISK_READ, 0);
    if (file < 0)
        return file;
    int64_t got = disk->call->read(disk->state, file, 0, search->bytes, WAL_BLOCK_BYTES_MAX);
    disk->call->close(disk->state, file);
    return got;
}

/* 1: it begins with a block of this log; 0: it does not; -ENOENT: there is no such segment; -errno. */
static int look(const struct search *search, uint64_t segment, struct first *out)
{
    struct wal_block block;
    int64_t got = read_first(search, segment);

    if (got < 0)
        return (int)got;
    if (wal_block_decode(&block, search->bytes, (size_t)got, segment, 0) != WAL_WHOLE ||
        block.stamp != search->meta->stamp)
        return 0;
    const struct history *history = meta_history_of(search->meta, block.first_lsn);
    bool opens = history != NULL && history->first_lsn == block.first_lsn;
    uint64_t lsn = block.count > 0 ? block.first_lsn : block.first_lsn - 1; /* a mark follows its own */
    if (!opens && meta_lsn_is_lost(search->meta, lsn))                      /* of a tail that was cut off */
        return 0;
    *out = (struct first){.position = {.segment = segment,
                                       .next_lsn = block.first_lsn,
                                       .history = block.history,
                                       .previous_crc = block.previous_crc},
                          .lsn = opens ? history->before_lsn + 1 : block.first_lsn};
    return 1;
}

/* The last segment that begins with a block: 1; 0: none does; -errno. */
static int find_last(const struct search *search, uint64_t oldest, uint64_t newest, struct first *out)
{
    for (uint64_t segment = newest; segment >= oldest && segment > 0; segment--) {
        int found = look(search, segment, out);
        if (found != 0 && found != -ENOENT)
            return found;
    }
    return 0;
}

/* `out` is the last segment's first block, and behind lsn + 1: the last one before it that is not; 0 or
 * -errno. */
static int find_before(const struct search *search, uint64_t oldest, uint64_t lsn, struct first *out)
{
    uint64_t low = oldest, high = out->position.segment;
    bool any = false;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct first first;
        int found = look(search, middle, &first);
        if (found == -ENOENT) {
            low = middle + 1; /* removal begins with the oldest */
            continue;
        }
        if (found < 0)
            return found;
        if (found == 1 && !lies_behind(&first, lsn)) {
            *out = first;
            any = true;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return any ? 0 : -ENOENT;
}

int wal_find(struct wal_position *out, const struct disk *disk, const struct meta *meta, uint64_t oldest,
             uint64_t newest, uint64_t lsn)
{
    struct search search = {.disk = disk, .meta = meta};
    struct first first;

    search.bytes = aligned_alloc(DISK_BLOCK_BYTES, WAL_BLOCK_BYTES_MAX);
    if (search.bytes == NULL)
        return -ENOMEM;
    int error = find_last(&search, oldest, newest, &first);
    if (error == 1)
        error = !lies_behind(&first, lsn) ? 0 : find_before(&search, oldest, lsn, &first);
    else if (error == 0)
        error = -ENOENT;
    free(search.bytes);
    if (error == 0)
        *out = first.position;
    return error;
}
