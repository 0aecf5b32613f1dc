#include "wal_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * What was read last is kept as a window into one segment: `window_bytes` from window_offset on. Blocks are
 * decoded where they lie in it; a block that it does not hold whole makes it begin anew with that block.
 */
struct wal_reader {
    struct disk disk;
    const struct meta *meta;
    struct wal_position at;
    uint8_t *buffer;      /* WAL_READ_BYTES */
    const uint8_t *block; /* in it: the last one given */
    size_t block_bytes, window_bytes;
    uint64_t segment, window_offset, wall_ms;
    int file; /* of `segment`; -1: none is open */
    int error;
};
static_assert((int)WAL_READ_BYTES >= (int)WAL_BLOCK_BYTES_MAX && WAL_READ_BYTES % DISK_BLOCK_BYTES == 0,
              "any block fits the window");

struct wal_reader *wal_reader_create(const struct disk *disk, const struct meta *meta,
                                     const struct wal_position *from)
{
    struct wal_reader *reader = malloc(sizeof *reader);
    uint8_t *buffer = aligned_alloc(DISK_BLOCK_BYTES, WAL_READ_BYTES);
    if (reader == NULL || buffer == NULL) {
        free(reader);
        free(buffer);
        return NULL;
    }
    *reader = (struct wal_reader){.disk = *disk, .meta = meta, .at = *from, .buffer = buffer, .file = -1};
    return reader;
}

static void leave_segment(struct wal_reader *reader)
{
    if (reader->file >= 0)
        reader->disk.call->close(reader->disk.state, reader->file);
    reader->file = -1;
    reader->window_bytes = 0;
}

void wal_reader_destroy(struct wal_reader *reader)
{
    if (reader == NULL)
        return;
    leave_segment(reader);
    free(reader->buffer);
    free(reader);
}

/* 0, or -errno; -ENOENT: there is no such segment. */
static int enter_segment(struct wal_reader *reader, uint64_t segment)
{
    char name[DISK_NAME_BYTES];
    if (reader->file >= 0 && reader->segment == segment)
        return 0;
    leave_segment(reader);
    meta_segment_name(name, segment);
    int file = reader->disk.call->open(reader->disk.state, name, DISK_READ, 0);
    if (file < 0)
        return file;
    reader->file = file;
    reader->segment = segment;
    return 0;
}

static int fill_window(struct wal_reader *reader, uint64_t offset)
{
    reader->window_bytes = 0;
    int64_t got =
        reader->disk.call->read(reader->disk.state, reader->file, offset, reader->buffer, WAL_READ_BYTES);
    if (got < 0)
        return (int)got;
    reader->window_offset = offset;
    reader->window_bytes = (size_t)got;
    return 0;
}

/*
 * Judges what stands at that place: enum wal_verdict, or -errno. Its bytes: reader->block. *out is zero where
 * wal_block_decode() leaves it alone.
 */
static int look(struct wal_reader *reader, struct wal_block *out, uint64_t segment, uint32_t offset)
{
    memset(out, 0, sizeof *out);
    if (offset % DISK_BLOCK_BYTES != 0)
        return WAL_NO_BLOCK;
    int error = enter_segment(reader, segment);
    if (error != 0)
        return error == -ENOENT ? (int)WAL_NO_BLOCK : error;
    for (bool filled = false;; filled = true) {
        uint64_t skip = offset - reader->window_offset;
        if (offset >= reader->window_offset && skip < reader->window_bytes) {
            reader->block = reader->buffer + skip;
            enum wal_verdict verdict =
                wal_block_decode(out, reader->block, reader->window_bytes - skip, segment, offset);
            if (verdict != WAL_SHORT || skip == 0)
                return verdict;
        } else if (filled) {
            return WAL_NO_BLOCK; /* the file's end */
        }
        error = fill_window(reader, offset);
        if (error != 0)
            return error;
    }
}

/* ---- forward ---- */

/* Whether a block that is whole comes next: by its link, its history and its first LSN. */
static bool continues(const struct wal_reader *reader, const struct wal_block *block)
{
    const struct wal_position *at = &reader->at;
    if (block->previous_crc != at->previous_crc || block->stamp != reader->meta->stamp)
        return false;
    if (block->history == at->history)
        return block->first_lsn == at->next_lsn;
    const struct history *history = meta_history_of(reader->meta, block->first_lsn);
    if (history == NULL) /* of more starts ago than meta can tell: the chain has to do */
        return meta_is_forgotten(reader->meta, block->first_lsn) && block->first_lsn >= at->next_lsn;
    return history->id == block->history && history->first_lsn == block->first_lsn &&
           history->first_lsn >= at->next_lsn;
}

/* 1: the block there continues the log, and the position is behind it; 0, or -errno. */
static int try_place(struct wal_reader *reader, struct wal_block *out, uint64_t segment, uint32_t offset)
{
    int verdict = look(reader, out, segment, offset);
    if (verdict != WAL_WHOLE)
        return verdict < 0 ? verdict : 0;
    size_t padded = wal_block_padded(out->length);
    if (padded > UINT32_MAX - offset || !continues(reader, out))
        return 0;
    reader->block_bytes = padded;
    reader->wall_ms = out->wall_ms;
    reader->at = (struct wal_position){.segment = segment,
                                       .next_lsn = out->first_lsn + out->count,
                                       .history = out->history,
                                       .offset = offset + (uint32_t)padded,
                                       .previous_crc = out->crc};
    return 1;
}

int wal_reader_next(struct wal_reader *reader, struct wal_block *out)
{
    if (reader->error != 0)
        return 0;
    int found = try_place(reader, out, reader->at.segment, reader->at.offset);
    if (found == 0 && reader->at.segment < UINT64_MAX)
        found = try_place(reader, out, reader->at.segment + 1, 0);
    if (found == 1)
        return 1;
    reader->error = found;
    leave_segment(reader); /* what is kept of it may be out of date when it is asked for again */
    return 0;
}

int wal_reader_error(const struct wal_reader *reader)
{
    return reader->error;
}

const uint8_t *wal_reader_bytes(const struct wal_reader *reader, size_t *padded_length)
{
    *padded_length = reader->block_bytes;
    return reader->block;
}

struct wal_position wal_reader_position(const struct wal_reader *reader)
{
    return reader->at;
}

/* ---- behind the end ---- */

struct search {
    uint64_t watermark, bytes;
    bool newer_format, same_segment;
};

/* Bytes to go on by: a whole block is not looked into. What looks like a block without the stamp is bytes. */
static size_t take_in(const struct wal_reader *reader, struct search *search, int verdict,
                      const struct wal_block *block, uint64_t segment, uint32_t offset)
{
    if (verdict == WAL_NO_BLOCK || block->stamp != reader->meta->stamp)
        return DISK_BLOCK_BYTES;
    bool here = block->segment == segment && block->offset == offset;
    bool sized = block->length >= WAL_BLOCK_HEADER_BYTES && block->length <= WAL_BLOCK_BYTES_MAX;
    size_t padded = sized ? wal_block_padded(block->length) : DISK_BLOCK_BYTES;
    if (verdict == WAL_NEWER_FORMAT)
        search->newer_format = true;
    if (verdict == WAL_WHOLE && block->durable_lsn > search->watermark)
        search->watermark = block->durable_lsn;
    if (here && block->first_lsn >= reader->at.next_lsn)
        search->bytes += padded;
    return verdict == WAL_WHOLE || verdict == WAL_NEWER_FORMAT ? padded : DISK_BLOCK_BYTES;
}

/* 0 or -errno. */
static int search_segment(struct wal_reader *reader, struct search *search, uint64_t segment, uint64_t from)
{
    int error = enter_segment(reader, segment);
    if (error != 0)
        return error == -ENOENT ? 0 : error;
    int64_t size = reader->disk.call->size(reader->disk.state, reader->file);
    if (size < 0)
        return (int)size;
    for (uint64_t offset = from; offset < (uint64_t)size && offset <= UINT32_MAX;) {
        struct wal_block block;
        int verdict = look(reader, &block, segment, (uint32_t)offset);
        if (verdict < 0)
            return verdict;
        offset += take_in(reader, search, verdict, &block, segment, (uint32_t)offset);
    }
    return 0;
}

struct next_segment {
    uint64_t above, found;
    bool any;
};

static void note_segment(void *context, const char *name, uint64_t bytes)
{
    struct next_segment *next = context;
    uint64_t number;
    (void)bytes;
    if (!meta_is_segment(name, &number) || number <= next->above || (next->any && number >= next->found))
        return;
    next->found = number;
    next->any = true;
}

/* That segment from there on, and all later ones; 0 or -errno. */
static int search_behind(struct wal_reader *reader, struct search *search)
{
    uint64_t from = wal_block_padded(reader->at.offset);
    for (struct next_segment next = {.found = reader->at.segment, .any = true}; next.any; from = 0) {
        int error = search_segment(reader, search, next.found, from);
        if (error != 0)
            return error;
        if (next.found == reader->at.segment)
            search->same_segment = search->bytes > 0;
        next = (struct next_segment){.above = next.found};
        error = reader->disk.call->list(reader->disk.state, note_segment, &next);
        if (error < 0)
            return error;
    }
    return 0;
}

struct wal_verdict_at_end wal_reader_judge(struct wal_reader *reader)
{
    struct search search = {0};
    if (reader->error == 0)
        reader->error = search_behind(reader, &search);
    leave_segment(reader);
    struct wal_verdict_at_end verdict = {.error = reader->error,
                                         .position = reader->at,
                                         .watermark = search.watermark,
                                         .bytes_behind = search.bytes,
                                         .wall_ms = reader->wall_ms,
                                         .same_segment = search.same_segment};
    if (reader->error != 0)
        verdict.end = WAL_END_ERROR;
    else if (search.newer_format)
        verdict.end = WAL_END_FORMAT;
    else if (search.watermark > 0 && search.watermark >= reader->at.next_lsn)
        verdict.end = WAL_END_DAMAGED;
    else
        verdict.end = search.bytes > 0 ? WAL_END_TORN : WAL_END_CLEAN;
    return verdict;
}
