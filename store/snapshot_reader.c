/*
 * snapshot_reader.c - reads a snapshot part by part. Whatever the file holds, nothing is handed out that was
 * not found valid so far.
 */
#include "snapshot_format.h"

#include <errno.h>
#include <stdlib.h>

struct snapshot_reader {
    struct disk disk;
    int file;
    struct snapshot_facts facts;
    struct snapshot_run run, behind_head; /* run: of the next part */
    uint64_t size, highest_lsn;
    int ended;      /* 0: not yet; 1: valid to the end; -errno */
    uint8_t *bytes; /* SNAPSHOT_CHUNK_BYTES_MAX: the part that was read last */
};

/* The next part: its length, or -errno. */
static int64_t read_part(struct snapshot_reader *reader, enum snapshot_part *part)
{
    const struct disk *disk = &reader->disk;
    uint64_t left = reader->size - reader->run.offset;
    size_t wanted = left < SNAPSHOT_CHUNK_BYTES_MAX ? (size_t)left : SNAPSHOT_CHUNK_BYTES_MAX;
    int64_t there = disk->call->read(disk->state, reader->file, reader->run.offset, reader->bytes, wanted);
    return there < 0 ? there : snapshot_part_open(reader->bytes, (size_t)there, part, &reader->run);
}

static int open_file(struct snapshot_reader *reader, const char *name)
{
    const struct disk *disk = &reader->disk;
    enum snapshot_part part;
    reader->file = disk->call->open(disk->state, name, DISK_READ, 0);
    if (reader->file < 0)
        return reader->file;
    int64_t size = disk->call->size(disk->state, reader->file);
    if (size < 0)
        return (int)size;
    reader->size = (uint64_t)size;
    int64_t length = read_part(reader, &part);
    if (length < 0)
        return (int)length;
    reader->behind_head = reader->run;
    int error = snapshot_head_decode(reader->bytes, &reader->facts);
    reader->facts.bytes = reader->size;
    return error;
}

int snapshot_reader_open(struct snapshot_reader **out, const struct disk *disk, const char *name)
{
    struct snapshot_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return -ENOMEM;
    reader->disk = *disk;
    reader->file = -1;
    reader->bytes = aligned_alloc(DISK_BLOCK_BYTES, SNAPSHOT_CHUNK_BYTES_MAX);
    int error = reader->bytes == NULL ? -ENOMEM : open_file(reader, name);
    if (error != 0) {
        snapshot_reader_close(reader);
        return error;
    }
    *out = reader;
    return 0;
}

void snapshot_reader_close(struct snapshot_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->file >= 0)
        reader->disk.call->close(reader->disk.state, reader->file);
    free(reader->bytes);
    free(reader);
}

struct snapshot_facts snapshot_reader_facts(const struct snapshot_reader *reader)
{
    return reader->facts;
}

/* 1 and a chunk, 0: the foot was read and is right; -errno. */
static int next_part(struct snapshot_reader *reader, const uint8_t **records, size_t *bytes)
{
    enum snapshot_part part;
    struct snapshot_run before = reader->run;
    int64_t length = read_part(reader, &part);
    if (length < 0)
        return (int)length;
    if (part == SNAPSHOT_CHUNK) {
        int error = snapshot_chunk_check(reader->bytes, (size_t)length, reader->facts.flush_lsn,
                                         &reader->highest_lsn, &reader->run);
        *records = reader->bytes + SNAPSHOT_HEADER_BYTES;
        *bytes = (size_t)length - SNAPSHOT_HEADER_BYTES;
        return error != 0 ? error : 1;
    }
    int error = snapshot_foot_decode(reader->bytes, &before, &reader->facts);
    if (error != 0)
        return error;
    return reader->run.offset == reader->size && reader->highest_lsn <= reader->facts.end_lsn ? 0 : -EBADMSG;
}

int snapshot_reader_next(struct snapshot_reader *reader, const uint8_t **records, size_t *bytes)
{
    if (reader->ended == 0) {
        int outcome = next_part(reader, records, bytes);
        if (outcome > 0)
            return outcome;
        reader->ended = outcome < 0 ? outcome : 1;
    }
    return reader->ended < 0 ? reader->ended : 0;
}

void snapshot_reader_rewind(struct snapshot_reader *reader)
{
    reader->run = reader->behind_head;
    reader->highest_lsn = 0;
    reader->ended = 0;
}

int snapshot_reader_check(struct snapshot_reader *reader)
{
    const uint8_t *records;
    size_t bytes;
    int outcome;
    snapshot_reader_rewind(reader);
    while ((outcome = snapshot_reader_next(reader, &records, &bytes)) > 0)
        ;
    snapshot_reader_rewind(reader);
    return outcome;
}
