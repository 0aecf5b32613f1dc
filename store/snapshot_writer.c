/*
 * snapshot_writer.c - one snapshot, step by step:
 *
 *   BEGIN -> WALK -> FOOT -> SYNC -> WAIT (for the log to be durable to end_lsn) -> DONE
 *      \_______\_______\________\_______\-> FAILED: an error of the disk; said at every step from then on
 *
 * snapshot.tmp is there from BEGIN's step on; DONE has renamed it.
 */
#include "snapshot_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>

enum {
    BUSY_TRIES = 16,     /* of a bucket in one step */
    BUSY_STEPS = 4,      /* in which a bucket may be busy, before it is locked */
    LOCKED_BYTES = 4096, /* copied in one go under a bucket's lock: about a microsecond */
};
static_assert((int)LOCKED_BYTES >= (int)LOG_RECORD_BYTES_MAX, "any record can be copied");

static const char temporary_name[] = SNAPSHOT_TEMPORARY;

struct snapshot_writer {
    struct disk disk;
    const struct table *table;
    struct snapshot_facts facts;
    struct snapshot_run run;
    enum { BEGIN, WALK, FOOT, SYNC, WAIT, DONE, FAILED } state;
    int error;           /* FAILED */
    int file;            /* -1: not open */
    bool temporary;      /* the temporary file may be there, and is ours */
    uint32_t bucket;     /* comes next */
    uint32_t below;      /* of its slots are left to copy */
    unsigned busy_steps; /* that have not got on with it */
    size_t used;         /* of the open chunk, header included */
    uint8_t *bytes;      /* SNAPSHOT_CHUNK_BYTES_MAX */
};

struct snapshot_writer *snapshot_writer_create(const struct disk *disk, const struct table *table,
                                               const struct snapshot_facts *facts)
{
    struct snapshot_writer *writer = calloc(1, sizeof *writer);
    uint8_t *bytes = aligned_alloc(DISK_BLOCK_BYTES, SNAPSHOT_CHUNK_BYTES_MAX);
    if (writer == NULL || bytes == NULL) {
        free(writer);
        free(bytes);
        return NULL;
    }
    /* The header's unwritten bytes too: nothing of this process's memory gets to disk. */
    memset(bytes, 0, SNAPSHOT_CHUNK_BYTES_MAX);
    *writer =
        (struct snapshot_writer){.disk = *disk, .table = table, .facts = *facts, .file = -1, .bytes = bytes};
    writer->run.start_lsn = facts->position.next_lsn - 1;
    return writer;
}

static void close_file(struct snapshot_writer *writer)
{
    if (writer->file >= 0)
        writer->disk.call->close(writer->disk.state, writer->file);
    writer->file = -1;
}

void snapshot_writer_destroy(struct snapshot_writer *writer)
{
    if (writer == NULL)
        return;
    close_file(writer);
    if (writer->temporary)
        (void)writer->disk.call->remove(writer->disk.state, temporary_name);
    free(writer->bytes);
    free(writer);
}

void snapshot_writer_leave(struct snapshot_writer *writer)
{
    writer->temporary = false;
}

static int write_part(struct snapshot_writer *writer, size_t length, enum snapshot_part part)
{
    uint64_t offset = writer->run.offset;
    size_t padded = snapshot_part_close(writer->bytes, length, part, &writer->run);
    writer->used = SNAPSHOT_HEADER_BYTES;
    return writer->disk.call->write(writer->disk.state, writer->file, offset, writer->bytes, padded);
}

/* The table's facts are taken here: what a FLUSH hides from here on, the log behind the position says. */
static int begin(struct snapshot_writer *writer)
{
    const struct disk *disk = &writer->disk;
    struct table_counts counts;
    int error = disk->call->remove(disk->state, temporary_name); /* of a walk that a crash ended */
    if (error < 0 && error != -ENOENT)
        return error;
    /* The size is a beginning: parts extend it. */
    writer->file = disk->call->open(disk->state, temporary_name, DISK_CREATE, DISK_BLOCK_BYTES);
    if (writer->file < 0)
        return writer->file;
    writer->temporary = true;
    table_counts(writer->table, &counts);
    writer->facts.flush_lsn = counts.flush_lsn;
    writer->facts.capacity = counts.capacity;
    writer->below = TABLE_COPY_ALL;
    writer->state = WALK;
    return write_part(writer, snapshot_head_encode(writer->bytes, &writer->facts), SNAPSHOT_HEAD);
}

static unsigned count_records(const uint8_t *bytes, size_t length)
{
    unsigned count = 0;
    for (size_t at = 0; at < length; count++)
        at += log_record_encoded_bytes(bytes + at);
    return count;
}

static int64_t copy_bucket(struct snapshot_writer *writer, uint8_t *out, size_t room)
{
    int64_t bytes = -EAGAIN;
    if (writer->busy_steps >= BUSY_STEPS)
        return table_copy_bucket_locked(writer->table, writer->bucket, &writer->below, out,
                                        room < LOCKED_BYTES ? room : LOCKED_BYTES);
    for (unsigned i = 0; i < BUSY_TRIES && bytes == -EAGAIN; i++) {
        if (i > 0)
            rte_pause();
        bytes = table_copy_bucket(writer->table, writer->bucket, &writer->below, out, room);
    }
    return bytes;
}

/* One bucket, or a part of it. 1: that is over; 0: later; -errno. */
static int walk_bucket(struct snapshot_writer *writer)
{
    uint8_t *out = writer->bytes + writer->used;
    int64_t bytes = copy_bucket(writer, out, SNAPSHOT_CHUNK_BYTES_MAX - writer->used);
    if (bytes == -EAGAIN) {
        writer->busy_steps++;
        return 0;
    }
    if (bytes == -ENOBUFS) {
        int error = write_part(writer, writer->used, SNAPSHOT_CHUNK);
        return error < 0 ? error : 1;
    }
    writer->run.items += count_records(out, (size_t)bytes);
    writer->used += (size_t)bytes;
    if (writer->below == 0) {
        writer->bucket++;
        writer->below = TABLE_COPY_ALL;
        writer->busy_steps = 0;
    }
    return 1;
}

static int walk(struct snapshot_writer *writer, unsigned buckets)
{
    uint32_t count = table_bucket_count(writer->table);
    for (; buckets > 0 && writer->bucket < count; buckets--) {
        int went = walk_bucket(writer);
        if (went <= 0)
            return went;
    }
    if (writer->bucket == count)
        writer->state = FOOT;
    return 0;
}

static int write_foot(struct snapshot_writer *writer)
{
    struct table_counts counts;
    int error = 0;
    if (writer->used > SNAPSHOT_HEADER_BYTES)
        error = write_part(writer, writer->used, SNAPSHOT_CHUNK);
    if (error < 0)
        return error;
    /* After the last copy, which came after (acquire) all that it saw: no LSN in the file is higher. */
    table_counts(writer->table, &counts);
    writer->facts.end_lsn =
        counts.highest_lsn > writer->run.start_lsn ? counts.highest_lsn : writer->run.start_lsn;
    writer->facts.items = writer->run.items;
    writer->state = SYNC;
    return write_part(writer, snapshot_foot_encode(writer->bytes, writer->facts.end_lsn, &writer->run),
                      SNAPSHOT_FOOT);
}

static int sync_file(struct snapshot_writer *writer)
{
    int error = writer->disk.call->sync(writer->disk.state, writer->file);
    close_file(writer);
    writer->state = WAIT;
    return error;
}

static int publish(struct snapshot_writer *writer, uint64_t durable_lsn)
{
    const struct disk *disk = &writer->disk;
    char name[DISK_NAME_BYTES];
    if (durable_lsn < writer->facts.end_lsn)
        return 0;
    meta_snapshot_name(name, writer->run.start_lsn);
    int error = disk->call->rename(disk->state, temporary_name, name);
    if (error < 0)
        return error;
    writer->temporary = false;
    writer->state = DONE;
    return disk->call->sync_folder(disk->state);
}

int snapshot_writer_step(struct snapshot_writer *writer, unsigned buckets, uint64_t durable_lsn)
{
    int error = 0;
    switch (writer->state) {
    case BEGIN:
        error = begin(writer);
        break;
    case WALK:
        error = walk(writer, buckets);
        break;
    case FOOT:
        error = write_foot(writer);
        break;
    case SYNC:
        error = sync_file(writer);
        break;
    case WAIT:
        error = publish(writer, durable_lsn);
        break;
    case DONE:
        break;
    case FAILED:
        return writer->error;
    }
    if (error < 0) {
        writer->state = FAILED;
        writer->error = error;
        return error;
    }
    if (writer->state == DONE)
        return SNAPSHOT_PUBLISHED;
    return writer->state == WAIT ? SNAPSHOT_WALKED : SNAPSHOT_GOING_ON;
}

struct snapshot_facts snapshot_writer_facts(const struct snapshot_writer *writer)
{
    struct snapshot_facts facts = writer->facts;
    facts.items = writer->run.items;
    facts.bytes = writer->run.offset;
    return facts;
}
