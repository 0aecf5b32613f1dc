#include "wal_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "wire.h"

/*
 * Blocks are numbered since creation; number % WAL_BLOCKS is a block's buffer, its number the write's token.
 *
 *   oldest <= submitted <= open
 *
 *   oldest .. submitted - 1   have a place, are encoded, were submitted: FLYING, DONE or REFUSED
 *   submitted .. open - 1     closed: take no more records. Encoded when their turn comes, so that each says
 *                             what is durable by then
 *   open                      takes records; has a buffer if open - oldest < WAL_BLOCKS
 *
 * A block is announced, and its buffer free, when it is DONE and the oldest: so durable_lsn is in order.
 */
enum block_state {
    BLOCK_WAITS,   /* open or closed */
    BLOCK_ENCODED, /* has its place and its bytes, the queue had no room yet */
    BLOCK_FLYING,
    BLOCK_DONE,    /* on stable storage */
    BLOCK_REFUSED, /* -ENOSPC: to be submitted again as it is */
};

struct buffer {
    uint8_t *bytes;
    struct wal_block block;
    struct wal_position after; /* encoded: where the log goes on behind it */
    size_t padded;
    uint64_t enters_lsn; /* first of the history that this mark opens; 0: it goes on */
    int file;
    enum block_state state;
    bool again; /* submitted again after -ENOSPC */
};

/* A file that was left, until its last block is durable and somebody asks for it. */
struct left_file {
    uint64_t last_block;
    int file;
};

enum { SUBMITS_A_TURN = 2 /* a full block's crc takes 30 us: other tasks wait meanwhile */ };

struct wal_writer {
    struct wal_writer_config config;
    struct wal_writer_facts facts;
    struct buffer buffer[WAL_BLOCKS];
    uint64_t oldest, submitted, open;
    unsigned refused;                /* blocks that are REFUSED, or FLYING again */
    struct wal_position at, durable; /* behind the last block that was encoded, that was announced */
    uint64_t said_lsn;               /* durable_lsn of the last block that was encoded */
    uint64_t last_record_lsn;        /* that was taken; 0: none was */
    uint64_t quiet_since_ns, retry_ns;
    uint64_t wanted; /* the segment to come: at.segment + 1 */
    int file, next_file;
    struct left_file left[WAL_BLOCKS];
    unsigned left_count;
    int denied; /* -errno: no segment could be allocated */
    bool quiet, finishing;
    uint8_t *memory;
};

static struct buffer *buffer_of(struct wal_writer *writer, uint64_t number)
{
    return &writer->buffer[number % WAL_BLOCKS];
}

/* ---- life ---- */

/* The open block, if it has a buffer: empty. */
static void begin_block(struct wal_writer *writer)
{
    struct buffer *buffer = buffer_of(writer, writer->open);
    if (writer->open - writer->oldest == WAL_BLOCKS)
        return;
    buffer->block = (struct wal_block){.history = writer->facts.history};
    buffer->enters_lsn = 0;
    buffer->state = BLOCK_WAITS;
    buffer->again = false;
}

/* The open block takes no more; the next one begins as soon as it has a buffer. */
static void close_block(struct wal_writer *writer)
{
    writer->open++;
    begin_block(writer);
}

/* The mark that opens a history: the open block, which is empty and has a buffer. */
static void put_first_mark(struct wal_writer *writer, uint64_t history, uint64_t first_lsn)
{
    struct buffer *buffer = buffer_of(writer, writer->open);
    writer->facts.history = history;
    buffer->block.history = history;
    buffer->enters_lsn = first_lsn;
    writer->facts.appended_lsn = first_lsn - 1;
    close_block(writer);
}

/* All but its memory is zero. */
static void begin(struct wal_writer *writer, const struct wal_writer_config *config)
{
    CHECK(config->segment_bytes >= WAL_BLOCK_BYTES_MAX && config->segment_bytes <= UINT32_MAX);
    CHECK(config->segment_bytes % DISK_BLOCK_BYTES == 0);
    CHECK(config->history != 0 && config->durable_lsn < config->first_lsn);
    CHECK(config->history != config->start.history || config->first_lsn == config->start.next_lsn);
    writer->config = *config;
    for (unsigned i = 0; i < WAL_BLOCKS; i++)
        writer->buffer[i].bytes = writer->memory + (size_t)i * WAL_BLOCK_BYTES_MAX;
    writer->facts.durable_lsn = config->durable_lsn;
    writer->at = writer->durable = config->start;
    writer->wanted = config->start.segment + 1;
    writer->file = writer->next_file = -1;
    writer->finishing = false;
    begin_block(writer);
    put_first_mark(writer, config->history, config->first_lsn);
}

struct wal_writer *wal_writer_create(const struct wal_writer_config *config)
{
    struct wal_writer *writer = calloc(1, sizeof *writer);
    uint8_t *memory = aligned_alloc(DISK_BLOCK_BYTES, (size_t)WAL_BLOCKS * WAL_BLOCK_BYTES_MAX);
    if (writer == NULL || memory == NULL) {
        free(writer);
        free(memory);
        return NULL;
    }
    memset(memory, 0,
           (size_t)WAL_BLOCKS * WAL_BLOCK_BYTES_MAX); /* its pages are there before the first record */
    writer->memory = memory;
    writer->config = *config;
    writer->file = writer->next_file = -1;
    writer->finishing = true;
    if (config->history != 0)
        begin(writer, config);
    return writer;
}

void wal_writer_restart(struct wal_writer *writer, const struct wal_writer_config *config)
{
    const struct wal_writer_facts before = writer->facts;
    CHECK(wal_writer_ended(writer) && writer->left_count == 0 && writer->file < 0 && writer->next_file < 0);
    *writer = (struct wal_writer){.memory = writer->memory};
    writer->facts.blocks = before.blocks;
    writer->facts.bytes = before.bytes;
    writer->facts.marks = before.marks;
    writer->facts.records = before.records;
    begin(writer, config);
}

void wal_writer_destroy(struct wal_writer *writer)
{
    if (writer == NULL)
        return;
    free(writer->memory);
    free(writer);
}

/* ---- states ---- */

static void update_state(struct wal_writer *writer)
{
    struct wal_writer_facts *facts = &writer->facts;
    if (facts->state == WAL_FAILED)
        return;
    bool full = writer->refused > 0 || writer->denied != 0;
    facts->state = full ? WAL_DISK_FULL : WAL_RUNNING;
    facts->error = full ? -ENOSPC : 0;
}

/* For good: nothing that was not announced by now ever will be. */
static void fail(struct wal_writer *writer, int error)
{
    if (writer->facts.state == WAL_FAILED)
        return;
    writer->facts.state = WAL_FAILED;
    writer->facts.error = error;
}

/* ---- segments ---- */

uint64_t wal_writer_wants(const struct wal_writer *writer)
{
    bool over = writer->facts.state == WAL_FAILED || wal_writer_ended(writer);
    return writer->next_file >= 0 || over ? 0 : writer->wanted;
}

void wal_writer_give(struct wal_writer *writer, int file)
{
    CHECK(writer->next_file < 0 && file >= 0);
    writer->next_file = file;
    writer->denied = 0;
    update_state(writer);
}

void wal_writer_deny(struct wal_writer *writer, int error)
{
    if (error == -ENOSPC)
        writer->denied = error;
    else
        fail(writer, error);
    update_state(writer);
}

static int take(int *file)
{
    int taken = *file;
    *file = -1;
    return taken;
}

int wal_writer_done_with(struct wal_writer *writer)
{
    bool ended = wal_writer_ended(writer);
    if (writer->left_count == 0)
        return ended ? take(writer->file >= 0 ? &writer->file : &writer->next_file) : -1;
    if (!ended && writer->left[0].last_block >= writer->oldest)
        return -1;
    int file = writer->left[0].file;
    writer->left_count--;
    memmove(&writer->left[0], &writer->left[1], writer->left_count * sizeof writer->left[0]);
    return file;
}

static bool fits_current(const struct wal_writer *writer, size_t padded)
{
    return writer->file >= 0 && writer->at.offset + padded <= writer->config.segment_bytes;
}

/* Whether there is a place for a block of that many bytes. */
static bool has_place(const struct wal_writer *writer, size_t padded)
{
    return fits_current(writer, padded) || (writer->next_file >= 0 && writer->left_count < WAL_BLOCKS);
}

static void enter_next_segment(struct wal_writer *writer)
{
    if (writer->file >= 0)
        writer->left[writer->left_count++] = (struct left_file){writer->submitted - 1, writer->file};
    writer->file = writer->next_file;
    writer->next_file = -1;
    writer->at.segment = writer->wanted++;
    writer->at.offset = 0;
}

/* ---- records ---- */

static bool has_buffer(const struct wal_writer *writer)
{
    return writer->open - writer->oldest < WAL_BLOCKS;
}

bool wal_writer_append(struct wal_writer *writer, const uint8_t *record, size_t length)
{
    uint64_t lsn = writer->facts.appended_lsn + 1;
    CHECK(length <= LOG_RECORD_BYTES_MAX && wire_u64(record) == lsn);
    if (writer->facts.state == WAL_FAILED) {
        writer->facts.appended_lsn = lsn;
        return true;
    }
    if (writer->finishing || !has_buffer(writer))
        return false;
    struct buffer *buffer = buffer_of(writer, writer->open);
    if (WAL_BLOCK_HEADER_BYTES + buffer->block.records_bytes + length > WAL_BLOCK_BYTES_MAX) {
        close_block(writer);
        if (!has_buffer(writer))
            return false;
        buffer = buffer_of(writer, writer->open);
    }
    memcpy(buffer->bytes + WAL_BLOCK_HEADER_BYTES + buffer->block.records_bytes, record, length);
    buffer->block.records_bytes += length;
    buffer->block.count++;
    writer->facts.appended_lsn = writer->last_record_lsn = lsn;
    writer->quiet = false;
    return true;
}

bool wal_writer_enter(struct wal_writer *writer, uint64_t history, uint64_t first_lsn)
{
    CHECK(history != 0 && history != writer->facts.history && first_lsn > writer->facts.appended_lsn);
    if (writer->facts.state == WAL_FAILED) {
        writer->facts.history = history;
        writer->facts.appended_lsn = first_lsn - 1;
        return true;
    }
    if (writer->finishing || !has_buffer(writer))
        return false;
    if (buffer_of(writer, writer->open)->block.count > 0)
        close_block(writer);
    if (!has_buffer(writer))
        return false;
    put_first_mark(writer, history, first_lsn);
    writer->quiet = false;
    return true;
}

unsigned wal_writer_room(const struct wal_writer *writer)
{
    if (writer->facts.state == WAL_FAILED)
        return WAL_BLOCKS;
    return writer->finishing ? 0 : WAL_BLOCKS - (unsigned)(writer->open - writer->oldest);
}

/* ---- blocks out ---- */

static size_t padded_bytes(const struct buffer *buffer)
{
    return wal_block_padded(WAL_BLOCK_HEADER_BYTES + buffer->block.records_bytes);
}

/* Gives the block its place, its link to the one before it, and what is durable by now. */
static void encode(struct wal_writer *writer, struct buffer *buffer, uint64_t wall_ms)
{
    struct wal_block *block = &buffer->block;
    if (!fits_current(writer, padded_bytes(buffer)))
        enter_next_segment(writer);
    struct wal_position *at = &writer->at;
    if (buffer->enters_lsn != 0)
        at->next_lsn = buffer->enters_lsn;
    block->first_lsn = at->next_lsn;
    block->wall_ms = wall_ms;
    block->durable_lsn = writer->facts.durable_lsn;
    block->segment = at->segment;
    block->offset = at->offset;
    block->stamp = writer->config.stamp;
    block->previous_crc = at->previous_crc;
    buffer->padded = wal_block_encode(buffer->bytes, block);
    buffer->file = writer->file;
    buffer->state = BLOCK_ENCODED;
    at->next_lsn += block->count;
    at->history = block->history;
    at->offset += (uint32_t)buffer->padded;
    at->previous_crc = block->crc;
    buffer->after = *at;
    writer->said_lsn = block->durable_lsn;
}

static bool submit(struct wal_writer *writer, uint64_t number)
{
    struct buffer *buffer = buffer_of(writer, number);
    struct disk_write write = {.bytes = buffer->bytes,
                               .offset = buffer->block.offset,
                               .token = number,
                               .length = buffer->padded,
                               .file = buffer->file};
    if (!writer->config.queue.call->submit(writer->config.queue.state, &write))
        return false;
    buffer->state = BLOCK_FLYING;
    writer->facts.in_flight++;
    return true;
}

/* The same bytes to the same places, in their order. */
static unsigned submit_refused(struct wal_writer *writer)
{
    unsigned done = 0;
    for (uint64_t number = writer->oldest; number < writer->submitted; number++) {
        struct buffer *buffer = buffer_of(writer, number);
        if (buffer->state != BLOCK_REFUSED)
            continue;
        if (!submit(writer, number))
            break;
        buffer->again = true;
        done++;
    }
    return done;
}

/* What is closed, in order; then the open block if the disk has little to do. */
static unsigned submit_new(struct wal_writer *writer, uint64_t wall_ms)
{
    unsigned done = 0;
    for (; done < SUBMITS_A_TURN; done++) {
        struct buffer *buffer = buffer_of(writer, writer->submitted);
        bool open = writer->submitted == writer->open;
        if (open && (!has_buffer(writer) || buffer->block.count == 0 ||
                     (writer->facts.in_flight >= WAL_EAGER_BLOCKS && !writer->finishing)))
            break;
        if (buffer->state == BLOCK_WAITS) {
            if (!has_place(writer, padded_bytes(buffer)))
                break;
            if (open)
                close_block(writer);
            encode(writer, buffer, wall_ms);
        }
        if (!submit(writer, writer->submitted))
            break;
        writer->submitted++;
    }
    return done;
}

/* ---- blocks done ---- */

static void complete(struct wal_writer *writer, const struct disk_completion *completion, uint64_t mono_ns)
{
    struct buffer *buffer = buffer_of(writer, completion->token);
    CHECK(completion->token >= writer->oldest && completion->token < writer->submitted);
    CHECK(buffer->state == BLOCK_FLYING);
    writer->facts.in_flight--;
    if (completion->result == 0) {
        writer->refused -= buffer->again;
        buffer->state = BLOCK_DONE;
    } else if (completion->result == -ENOSPC) {
        writer->refused += !buffer->again;
        buffer->again = true;
        buffer->state = BLOCK_REFUSED;
        writer->retry_ns = mono_ns + WAL_RETRY_NS;
    } else {
        buffer->state = BLOCK_DONE; /* never announced */
        fail(writer, completion->result);
    }
}

static void announce(struct wal_writer *writer)
{
    struct wal_writer_facts *facts = &writer->facts;
    while (writer->oldest < writer->submitted && buffer_of(writer, writer->oldest)->state == BLOCK_DONE) {
        const struct buffer *buffer = buffer_of(writer, writer->oldest);
        bool had_buffer = has_buffer(writer);
        facts->started = true;
        facts->durable_lsn = buffer->after.next_lsn - 1;
        facts->blocks++;
        facts->bytes += buffer->padded;
        facts->records += buffer->block.count;
        facts->marks += buffer->block.count == 0;
        writer->durable = buffer->after;
        if (writer->config.durable != NULL)
            writer->config.durable(writer->config.durable_state, &buffer->block, buffer->bytes);
        writer->oldest++;
        if (!had_buffer)
            begin_block(writer);
    }
}

/* ---- marks ---- */

/* Every record is durable, and nothing else is under way. */
static bool all_durable(const struct wal_writer *writer)
{
    return writer->oldest == writer->open && writer->buffer[writer->open % WAL_BLOCKS].block.count == 0;
}

/* The last block on disk does not say that the last record is durable. */
static bool lacks_mark(const struct wal_writer *writer)
{
    return writer->said_lsn < writer->last_record_lsn;
}

static void mind_mark(struct wal_writer *writer, uint64_t mono_ns)
{
    if (!all_durable(writer)) {
        writer->quiet = false;
        return;
    }
    if (!writer->quiet) {
        writer->quiet = true;
        writer->quiet_since_ns = mono_ns;
    }
    bool due = writer->finishing || mono_ns - writer->quiet_since_ns >= WAL_MARK_IDLE_NS;
    if (due && lacks_mark(writer) && has_place(writer, DISK_BLOCK_BYTES))
        close_block(writer);
}

/* ---- turns ---- */

unsigned wal_writer_turn(struct wal_writer *writer, uint64_t mono_ns, uint64_t wall_ms)
{
    struct disk_completion completion[WAL_BLOCKS];
    unsigned count =
        writer->config.queue.call->completions(writer->config.queue.state, completion, WAL_BLOCKS);
    for (unsigned i = 0; i < count; i++)
        complete(writer, &completion[i], mono_ns);
    if (writer->facts.state == WAL_FAILED)
        return count;
    announce(writer);
    update_state(writer);
    if (writer->refused > 0)
        return count + (mono_ns >= writer->retry_ns ? submit_refused(writer) : 0);
    mind_mark(writer, mono_ns);
    return count + submit_new(writer, wall_ms);
}

void wal_writer_finish(struct wal_writer *writer)
{
    writer->finishing = true;
}

bool wal_writer_idle(const struct wal_writer *writer)
{
    if (writer->facts.state == WAL_FAILED)
        return writer->facts.in_flight == 0;
    return all_durable(writer) && !(writer->finishing && lacks_mark(writer));
}

bool wal_writer_ended(const struct wal_writer *writer)
{
    return (writer->finishing || writer->facts.state == WAL_FAILED) && wal_writer_idle(writer);
}

struct wal_writer_facts wal_writer_facts(const struct wal_writer *writer)
{
    return writer->facts;
}

struct wal_position wal_writer_position(const struct wal_writer *writer)
{
    return writer->durable;
}
