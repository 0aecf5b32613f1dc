#include "damage_blocks.h"

#include <stdlib.h>
#include <string.h>

#include "crash_folder.h"
#include "seeded.h"
#include "snapshot.h"
#include "wal_reader.h"

/* ---- where they are ---- */

/* Of the snapshot that starts there; lsn 0: of none, the log's start. */
static struct snapshot_facts snapshot_facts_of(const struct disk *disk, uint64_t lsn)
{
    struct snapshot_facts facts = {0};
    struct snapshot_reader *reader;
    char name[DISK_NAME_BYTES];

    if (lsn == 0)
        return facts;
    meta_snapshot_name(name, lsn);
    crash_must(snapshot_reader_open(&reader, disk, name) == 0, "a snapshot that cannot be read");
    crash_must(snapshot_reader_check(reader) == 0, "a snapshot that is damaged");
    facts = snapshot_reader_facts(reader);
    snapshot_reader_close(reader);
    return facts;
}

static void add(struct block_list *list, const struct meta *meta, const struct wal_position *before,
                const struct wal_block *block)
{
    list->block = crash_memory(list->block, (list->count + 1) * sizeof *list->block);
    list->block[list->count++] = (struct listed_block){
        .segment = block->segment,
        .first_lsn = block->first_lsn,
        .behind_segment = before->segment,
        .behind_offset = before->offset,
        .next_lsn = before->next_lsn,
        .before_lsn = meta_last_lsn(meta, before->next_lsn),
        .offset = block->offset,
        .length = block->length,
        .padded = (uint32_t)wal_block_padded(block->length),
    };
}

void block_list_read(struct block_list *list, struct sim_disk *sim)
{
    struct disk disk = sim_disk_disk(sim);
    struct crash_folder folder;
    struct meta *meta = crash_memory(NULL, sizeof *meta);
    struct wal_block block;

    memset(list, 0, sizeof *list);
    crash_folder_look(&folder, sim);
    crash_must(meta_read(meta, &disk) == 0, "a meta that cannot be read");
    struct wal_position from = snapshot_facts_of(&disk, folder.older).position;
    struct snapshot_facts snapshot = snapshot_facts_of(&disk, folder.snapshot);
    const struct wal_position *newest = &snapshot.position;
    list->needed = snapshot.end_lsn;
    struct wal_reader *reader = wal_reader_create(&disk, meta, &from);
    crash_must(reader != NULL, "no memory");
    for (;;) {
        struct wal_position before = wal_reader_position(reader);
        if (before.segment == newest->segment && before.offset == newest->offset)
            list->replayed = list->count;
        if (wal_reader_next(reader, &block) == 0)
            break;
        add(list, meta, &before, &block);
    }
    list->end = wal_reader_position(reader);
    list->lsn = meta_last_lsn(meta, list->end.next_lsn);
    wal_reader_destroy(reader);
    free(meta);
}

void block_list_free(struct block_list *list)
{
    free(list->block);
    *list = (struct block_list){0};
}

/* ---- damage ---- */

const char *damage_name(enum damage damage)
{
    static const char *const names[] = {
#define DAMAGE_NAME(name, text) text,
        DAMAGE_LIST(DAMAGE_NAME)
#undef DAMAGE_NAME
    };
    return names[damage];
}

static const struct damaged nothing;

static uint8_t *segment_bytes(struct sim_disk *sim, uint64_t segment, uint64_t *length)
{
    char name[DISK_NAME_BYTES];

    meta_segment_name(name, segment);
    return sim_disk_bytes(sim, name, length);
}

static uint8_t *place_of(struct sim_disk *sim, const struct listed_block *block)
{
    uint64_t length;
    uint8_t *bytes = segment_bytes(sim, block->segment, &length);

    crash_must(bytes != NULL && block->offset + block->padded <= length, "a block that is not there");
    return bytes + block->offset;
}

static struct damaged flip(uint8_t *place, uint64_t from, uint64_t to, unsigned index, uint64_t *random)
{
    if (from >= to)
        return nothing;
    place[from + seeded_below(random, to - from)] ^= (uint8_t)(1 << seeded_below(random, 8));
    return (struct damaged){1, {index}};
}

/* `bytes` instead of what is there: if that is anything else. */
static struct damaged replace(uint8_t *place, const uint8_t *bytes, size_t length, unsigned index)
{
    if (memcmp(place, bytes, length) == 0)
        return nothing;
    memcpy(place, bytes, length);
    return (struct damaged){1, {index}};
}

/* What another segment of the folder holds at the same offset: what a file that is used again held before. */
static struct damaged make_stale(struct sim_disk *sim, const struct block_list *list, unsigned index,
                                 bool sector, uint64_t *random)
{
    const struct listed_block *block = &list->block[index];
    uint64_t length, from = block->segment > list->block[0].segment ? block->segment - 1 : block->segment + 1;
    uint64_t skip = sector
                        ? seeded_below(random, (block->length + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES) *
                              DISK_SECTOR_BYTES
                        : 0;
    uint8_t *other = segment_bytes(sim, from, &length);

    if (other == NULL)
        return nothing;
    return replace(place_of(sim, block) + skip, other + block->offset + skip,
                   sector ? DISK_SECTOR_BYTES : block->padded, index);
}

/* Another block of the same size; NULL: there is none. */
static const struct listed_block *twin_of(const struct block_list *list, unsigned index, uint64_t *random,
                                          unsigned *twin)
{
    unsigned start = (unsigned)seeded_below(random, list->count);

    for (unsigned i = 0; i < list->count; i++) {
        *twin = (start + i) % list->count;
        if (*twin != index && list->block[*twin].padded == list->block[index].padded)
            return &list->block[*twin];
    }
    return NULL;
}

static struct damaged exchange(struct sim_disk *sim, const struct block_list *list, unsigned index, bool both,
                               uint64_t *random)
{
    const struct listed_block *block = &list->block[index];
    unsigned twin;
    const struct listed_block *other = twin_of(list, index, random, &twin);

    if (other == NULL)
        return nothing;
    uint8_t *here = place_of(sim, block), *there = place_of(sim, other);
    for (uint32_t i = 0; i < block->padded; i++) {
        uint8_t byte = here[i];
        here[i] = there[i];
        if (both)
            there[i] = byte;
    }
    return (struct damaged){both ? 2 : 1, {index, twin}};
}

struct damaged block_damage(struct sim_disk *sim, const struct block_list *list, unsigned index,
                            enum damage damage, uint64_t *random)
{
    static const uint8_t zeros[WAL_BLOCK_BYTES_MAX];
    const struct listed_block *block = &list->block[index];
    uint8_t *place = place_of(sim, block);
    uint64_t sectors = (block->length + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;

    switch (damage) {
    case DAMAGE_FLIP:
        return flip(place, 0, block->length, index, random);
    case DAMAGE_HEADER:
        return flip(place, 0, WAL_BLOCK_HEADER_BYTES, index, random);
    case DAMAGE_PADDING:
        return flip(place, block->length, block->padded, index, random);
    case DAMAGE_ZERO_SECTOR:
        return replace(place + seeded_below(random, sectors) * DISK_SECTOR_BYTES, zeros, DISK_SECTOR_BYTES,
                       index);
    case DAMAGE_ZERO:
        return replace(place, zeros, block->padded, index);
    case DAMAGE_STALE:
    case DAMAGE_STALE_SECTOR:
        return make_stale(sim, list, index, damage == DAMAGE_STALE_SECTOR, random);
    case DAMAGE_SWAPPED:
    case DAMAGE_OVERWRITTEN:
        return exchange(sim, list, index, damage == DAMAGE_SWAPPED, random);
    default:
        return nothing;
    }
}

/* ---- what lies behind ---- */

struct block_search block_search(struct sim_disk *sim, const struct block_list *list, unsigned index)
{
    bool end = index == list->count;
    uint64_t segment = end ? list->end.segment : list->block[index].behind_segment;
    uint64_t from = end ? list->end.offset : list->block[index].behind_offset;
    struct block_search search = {0};
    struct crash_folder folder;

    crash_folder_look(&folder, sim);
    for (; segment <= folder.newest; segment++, from = 0) {
        uint64_t length = 0;
        uint8_t *bytes = segment_bytes(sim, segment, &length);
        for (uint64_t at = from; bytes != NULL && at < length; at += DISK_BLOCK_BYTES) {
            struct wal_block found;
            if (wal_block_decode(&found, bytes + at, length - at, segment, (uint32_t)at) != WAL_WHOLE)
                continue;
            search.watermark = found.durable_lsn > search.watermark ? found.durable_lsn : search.watermark;
            search.first_lsn = found.first_lsn > search.first_lsn ? found.first_lsn : search.first_lsn;
        }
    }
    return search;
}
