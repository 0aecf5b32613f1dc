/*
 * fuzz_wal.c - a folder with a log, as somebody hostile may have left it. The input is a program that lays it
 * out: good blocks in their chain, then whatever changes them, with the crc made right again or not.
 *
 * The reader comes to an end, gives only blocks that are whole and continue the log, closes what it opened,
 * and its verdict is one of those that the folder allows. A log that nobody has changed is read whole.
 */
#include "fuzz.h"
#include "memory_disk.h"
#include "wal_blocks.h"
#include "wal_reader.h"

enum {
    SEGMENTS = 3,
    SEGMENT_BYTES = 12 * DISK_BLOCK_BYTES,
    STEPS_MAX = 64,
    BLOCK_ROOM = 4 * DISK_BLOCK_BYTES,
};

enum step {
    STEP_BLOCK,    /* the next one of the log: records, their size, how far back its watermark is */
    STEP_SEGMENT,  /* goes on in the next segment */
    STEP_HISTORY,  /* the next history begins */
    STEP_CHANGE,   /* a byte of a block, its crc made right, the chain going on behind it or not */
    STEP_DAMAGE,   /* a byte anywhere */
    STEP_RAW,      /* bytes from the input */
    STEP_COPY,     /* a part of one segment to a place in another */
    STEP_RESIZE,   /* a segment */
    STEP_SKIP,     /* leaves a gap */
    STEP_META,     /* a byte of the meta file, its crc made right or not */
    STEP_POSITION, /* where the reader starts: somewhere */
    STEP_REMOVE,   /* a segment */
    STEPS
};

struct world {
    struct memory_disk memory;
    struct disk disk;
    struct meta meta;
    struct wal_position at, from;
    uint64_t crc_sum; /* of good blocks, to compare */
    unsigned blocks;  /* good ones laid so far */
    struct {
        unsigned segment;
        uint32_t offset;
        size_t padded;
    } last;
    bool changed; /* something is not as a writer leaves it */
};

static struct memory_file *segment_file(struct world *w, unsigned segment)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, segment);
    int file = memory_find(&w->memory, name);
    return file >= 0 ? &w->memory.file[file] : NULL;
}

static void make_world(struct world *w, struct fuzz_input *input)
{
    char name[DISK_NAME_BYTES];
    w->disk = memory_disk(&w->memory);
    w->meta = (struct meta){.cluster_id = {1}, .node_id = 1};
    for (unsigned i = 0, count = 1 + fuzz_u8(input) % 6; i < count; i++)
        meta_add(&w->meta, &(struct history){
                               .id = i + 1, .first_lsn = (uint64_t)(i + 1) << 32, .node_id = 1, .epoch = i});
    for (unsigned i = 1; i <= SEGMENTS; i++) {
        meta_segment_name(name, i);
        MUST(memory_make(&w->memory, name, SEGMENT_BYTES) >= 0);
    }
    MUST(meta_write(&w->meta, &w->disk) == 0);
    w->at = (struct wal_position){.segment = 1, .next_lsn = (uint64_t)1 << 32, .history = 1};
    w->from = (struct wal_position){.segment = 1, .next_lsn = 1};
}

/* ---- steps ---- */

static void lay_block(struct world *w, struct fuzz_input *input)
{
    static uint8_t bytes[BLOCK_ROOM];
    unsigned count = fuzz_u8(input) % 16, value = fuzz_u16(input) % (VALUE_BYTES_MAX + 1),
             back = fuzz_u8(input);
    struct wal_block block = {.first_lsn = w->at.next_lsn,
                              .history = w->at.history,
                              .wall_ms = 1,
                              .durable_lsn = w->at.next_lsn - 1 - back,
                              .segment = w->at.segment,
                              .offset = w->at.offset,
                              .count = count,
                              .previous_crc = w->at.previous_crc};
    struct memory_file *file = segment_file(w, (unsigned)w->at.segment);
    while (block.count * log_record_bytes(16, value) > BLOCK_ROOM - WAL_BLOCK_HEADER_BYTES)
        block.count--;
    size_t padded = make_block(bytes, &block, value);
    if (file == NULL || w->at.offset + padded > file->size)
        return;
    memcpy(file->bytes + w->at.offset, bytes, padded);
    w->last.segment = (unsigned)w->at.segment;
    w->last.offset = w->at.offset;
    w->last.padded = padded;
    w->at.offset += (uint32_t)padded;
    w->at.next_lsn += block.count;
    w->at.previous_crc = block.crc;
    w->crc_sum += block.crc;
    w->blocks++;
}

static void change_block(struct world *w, struct fuzz_input *input)
{
    unsigned offset = fuzz_u16(input), value = fuzz_u8(input), follow = fuzz_u8(input);
    struct memory_file *file = segment_file(w, w->last.segment);
    if (w->last.padded == 0 || file == NULL || w->last.offset + w->last.padded > file->size)
        return;
    uint8_t *bytes = file->bytes + w->last.offset;
    /* headers of block and first record most of the time */
    bytes[offset % (follow & 2 ? w->last.padded : 112)] = (uint8_t)value;
    fix_crc(bytes, w->last.padded);
    if (follow & 1)
        w->at.previous_crc = wire_u32(bytes + BLOCK_CRC);
    w->changed = true;
}

static void copy_part(struct world *w, struct fuzz_input *input)
{
    struct memory_file *from = segment_file(w, 1 + fuzz_u8(input) % SEGMENTS);
    struct memory_file *to = segment_file(w, 1 + fuzz_u8(input) % SEGMENTS);
    uint64_t source = fuzz_u8(input) % 128 * DISK_SECTOR_BYTES,
             target = fuzz_u8(input) % 128 * DISK_SECTOR_BYTES;
    uint64_t length = fuzz_u8(input) % 32 * DISK_SECTOR_BYTES;
    w->changed = true;
    if (from != NULL && to != NULL && source + length <= from->size && target + length <= to->size)
        memmove(to->bytes + target, from->bytes + source, length);
}

static void put_raw(struct world *w, struct fuzz_input *input)
{
    struct memory_file *file = segment_file(w, 1 + fuzz_u8(input) % SEGMENTS);
    uint64_t offset = fuzz_u16(input);
    w->changed = true;
    for (unsigned left = fuzz_u8(input); left > 0; left--, offset++) {
        uint8_t byte = fuzz_u8(input);
        if (file != NULL && offset < file->size)
            file->bytes[offset] = byte;
    }
}

static void change_meta(struct world *w, struct fuzz_input *input)
{
    struct memory_file *file = &w->memory.file[memory_find(&w->memory, "meta")];
    unsigned offset = fuzz_u16(input), value = fuzz_u8(input), how = fuzz_u8(input);
    w->changed = true;
    if (how & 2)
        memory_resize(file, META_BYTES - offset % 3);
    if (file->size != META_BYTES)
        return;
    file->bytes[offset % (how & 4 ? META_BYTES : META_HEADER_BYTES + 6 * META_HISTORY_BYTES)] =
        (uint8_t)value;
    if (how & 1)
        wire_put_u32(file->bytes + 4, wal_crc(0, file->bytes + 8, META_BYTES - 8));
}

static void choose_position(struct world *w, struct fuzz_input *input)
{
    unsigned how = fuzz_u8(input);
    w->changed = true;
    w->from = w->at;
    if (how & 1)
        w->from.segment = fuzz_u64(input);
    if (how & 2)
        w->from.offset = (uint32_t)fuzz_u64(input);
    if (how & 4)
        w->from.next_lsn = fuzz_u64(input);
    if (how & 8)
        w->from.history = fuzz_u8(input);
    if (how & 16)
        w->from.previous_crc = fuzz_u8(input);
}

static void step(struct world *w, struct fuzz_input *input)
{
    char name[DISK_NAME_BYTES];
    struct memory_file *file;
    uint64_t where;
    switch ((enum step)(fuzz_u8(input) % STEPS)) {
    case STEP_BLOCK:
        lay_block(w, input);
        break;
    case STEP_SEGMENT:
        if (w->at.segment < SEGMENTS && w->at.offset > 0) {
            w->at.segment++;
            w->at.offset = 0;
        }
        break;
    case STEP_HISTORY:
        if (w->at.history < w->meta.count) {
            w->at.history++;
            w->at.next_lsn = w->at.history << 32;
        }
        break;
    case STEP_CHANGE:
        change_block(w, input);
        break;
    case STEP_DAMAGE:
        file = segment_file(w, 1 + fuzz_u8(input) % SEGMENTS);
        where = fuzz_u16(input);
        if (file != NULL && where < file->size)
            file->bytes[where] = fuzz_u8(input);
        w->changed = true;
        break;
    case STEP_RAW:
        put_raw(w, input);
        break;
    case STEP_COPY:
        copy_part(w, input);
        break;
    case STEP_RESIZE:
        file = segment_file(w, 1 + fuzz_u8(input) % SEGMENTS);
        where = fuzz_u16(input);
        if (file != NULL)
            memory_resize(file, where);
        w->changed = true;
        break;
    case STEP_SKIP:
        w->at.offset += fuzz_u8(input) % 4 * DISK_BLOCK_BYTES;
        w->changed = true;
        break;
    case STEP_META:
        change_meta(w, input);
        break;
    case STEP_POSITION:
        choose_position(w, input);
        break;
    case STEP_REMOVE:
        meta_segment_name(name, 1 + fuzz_u8(input) % SEGMENTS);
        w->disk.call->remove(w->disk.state, name);
        w->changed = true;
        break;
    default:
        break;
    }
}

/* ---- what must hold ---- */

static uint64_t bytes_there(const struct world *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < MEMORY_FILES; i++)
        sum += w->memory.file[i].size;
    return sum;
}

static void check_records(const struct wal_block *block)
{
    struct log_record record;
    size_t at = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        int used = log_record_decode(&record, block->records + at, block->records_bytes - at);
        MUST(used > 0 && record.lsn == block->first_lsn + i);
        at += (size_t)used;
    }
    MUST(at == block->records_bytes);
}

/* One block: whole, where the position says, and next in the chain. */
static void check_block(const struct wal_position *before, const struct wal_position *after,
                        const struct wal_block *block, const uint8_t *bytes, size_t padded)
{
    struct wal_block again;
    bool behind = block->segment == before->segment && block->offset == before->offset;
    MUST(behind || (block->segment == before->segment + 1 && block->offset == 0));
    MUST(wal_block_decode(&again, bytes, padded, block->segment, block->offset) == WAL_WHOLE);
    MUST(again.crc == block->crc && again.length == block->length &&
         padded == wal_block_padded(block->length));
    MUST(block->previous_crc == before->previous_crc && block->first_lsn >= before->next_lsn);
    MUST(block->history != before->history || block->first_lsn == before->next_lsn);
    MUST(after->segment == block->segment && after->offset == block->offset + padded);
    MUST(after->next_lsn == block->first_lsn + block->count && after->history == block->history);
    MUST(after->previous_crc == block->crc);
    check_records(block);
}

static void read_all(struct world *w, const struct meta *meta)
{
    struct wal_reader *reader = wal_reader_create(&w->disk, meta, &w->from);
    struct wal_position before = w->from;
    struct wal_block block;
    uint64_t crc_sum = 0, there = bytes_there(w);
    unsigned blocks = 0;
    MUST(reader != NULL);
    while (wal_reader_next(reader, &block) == 1) {
        size_t padded;
        const uint8_t *bytes = wal_reader_bytes(reader, &padded);
        struct wal_position after = wal_reader_position(reader);
        check_block(&before, &after, &block, bytes, padded);
        before = after;
        crc_sum += block.crc;
        MUST(++blocks <= there / DISK_BLOCK_BYTES);
    }
    struct wal_verdict_at_end verdict = wal_reader_judge(reader);
    MUST(verdict.error == 0 && verdict.end >= WAL_END_CLEAN && verdict.end <= WAL_END_FORMAT);
    MUST(verdict.position.segment == before.segment && verdict.position.offset == before.offset);
    MUST(verdict.position.next_lsn == before.next_lsn &&
         verdict.bytes_behind <= there + WAL_BLOCK_BYTES_MAX * 12);
    MUST(verdict.end != WAL_END_DAMAGED || verdict.watermark >= before.next_lsn);
    if (!w->changed)
        MUST(blocks == w->blocks && crc_sum == w->crc_sum && verdict.end == WAL_END_CLEAN);
    wal_reader_destroy(reader);
    MUST(w->memory.open_files == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct fuzz_input input = {data, data + size};
    struct meta found;
    memset(&world, 0, sizeof world);
    make_world(&world, &input);
    for (unsigned i = 0; i < STEPS_MAX && fuzz_left(&input) > 0; i++)
        step(&world, &input);
    int error = meta_read(&found, &world.disk);
    MUST(error == 0 || error == -EBADMSG || error == -EPROTONOSUPPORT);
    MUST(error == 0 || world.changed);
    if (error == 0) {
        MUST(found.count >= 1 && found.count <= META_HISTORIES_MAX);
        MUST(meta_write(&found, &world.disk) == 0); /* what is read is valid */
    }
    read_all(&world, error == 0 ? &found : &world.meta);
    memory_disk_free(&world.memory);
    return 0;
}
