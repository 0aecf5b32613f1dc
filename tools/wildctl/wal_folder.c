#include "wal_folder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wal_find.h"

/* ---- what is there ---- */

struct listing {
    struct wal_folder *folder;
    unsigned room;
    bool no_memory;
};

static void add_snapshot(struct wal_folder *folder, const char *name, uint64_t lsn, uint64_t bytes)
{
    unsigned at = 0;
    if (folder->snapshots == WAL_FOLDER_SNAPSHOTS_MAX) {
        if (folder->snapshot[0].lsn > lsn)
            return;
        memmove(&folder->snapshot[0], &folder->snapshot[1], --folder->snapshots * sizeof folder->snapshot[0]);
    }
    while (at < folder->snapshots && folder->snapshot[at].lsn < lsn)
        at++;
    memmove(&folder->snapshot[at + 1], &folder->snapshot[at],
            (folder->snapshots++ - at) * sizeof folder->snapshot[0]);
    folder->snapshot[at] = (struct wal_snapshot){.lsn = lsn, .bytes = bytes};
    snprintf(folder->snapshot[at].name, DISK_NAME_BYTES, "%s", name);
}

static void look_at(void *context, const char *name, uint64_t bytes)
{
    struct listing *listing = context;
    struct wal_folder *folder = listing->folder;
    uint64_t number;
    if (strncmp(name, "kept-", 5) == 0)
        folder->kept++;
    if (meta_is_snapshot(name, &number))
        add_snapshot(folder, name, number, bytes);
    if (!meta_is_segment(name, &number))
        return;
    if (folder->segments == listing->room) {
        unsigned room = 2 * listing->room + 16;
        struct wal_segment *more = reallocarray(folder->segment, room, sizeof *more);
        if (more == NULL) {
            listing->no_memory = true;
            return;
        }
        folder->segment = more;
        listing->room = room;
    }
    folder->segment[folder->segments++] = (struct wal_segment){.number = number, .bytes = bytes};
}

static int by_number(const void *a, const void *b)
{
    const struct wal_segment *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static void read_snapshot(struct wal_folder *folder, struct wal_snapshot *snapshot)
{
    struct snapshot_reader *reader;
    if (folder->progress)
        fprintf(stderr, "reading %s\n", snapshot->name);
    snapshot->state = snapshot_reader_open(&reader, &folder->disk, snapshot->name);
    if (snapshot->state != 0)
        return;
    snapshot->state = snapshot_reader_check(reader);
    snapshot->facts = snapshot_reader_facts(reader);
    snapshot_reader_close(reader);
    if (snapshot->state == 0 && snapshot->facts.position.next_lsn != snapshot->lsn + 1)
        snapshot->state = -EBADMSG; /* under another's name */
    if (snapshot->state == 0 && folder->meta_state == 0 &&
        memcmp(snapshot->facts.cluster_id, folder->meta.cluster_id, META_CLUSTER_ID_BYTES) != 0)
        snapshot->state = -EXDEV;
}

/* meta.h: the log begins there. */
static uint64_t base_of(const struct wal_folder *folder)
{
    return folder->meta_state == 0 && folder->meta.base_segment > 0 ? folder->meta.base_segment : 1;
}

bool wal_folder_goes_back(const struct wal_folder *folder)
{
    bool adopted = folder->meta_state == 0 && folder->meta.adopted_lsn != 0;
    return folder->segments > 0 && folder->segment[0].number <= base_of(folder) && !adopted;
}

/* The log's first snapshot may not have got its name yet (housekeeper.h): the next start gives it. */
static void add_unnamed(struct wal_folder *folder)
{
    struct snapshot_reader *reader;
    for (unsigned i = 0; i < folder->snapshots; i++)
        if (folder->snapshot[i].lsn == folder->meta.adopted_lsn)
            return;
    if (snapshot_reader_open(&reader, &folder->disk, SNAPSHOT_TEMPORARY) != 0)
        return;
    struct snapshot_facts facts = snapshot_reader_facts(reader);
    snapshot_reader_close(reader);
    if (facts.position.next_lsn - 1 == folder->meta.adopted_lsn &&
        facts.position.segment == folder->meta.base_segment)
        add_snapshot(folder, SNAPSHOT_TEMPORARY, folder->meta.adopted_lsn, facts.bytes);
}

static void leave_out_segments(struct wal_folder *folder)
{
    unsigned out = 0;

    while (out < folder->segments && folder->segment[out].number < base_of(folder))
        out++;
    if (out == 0)
        return;
    folder->given_up += out;
    folder->segments -= out;
    memmove(folder->segment, folder->segment + out, folder->segments * sizeof *folder->segment);
}

static void leave_out_snapshots(struct wal_folder *folder)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < folder->snapshots; i++)
        if (folder->snapshot[i].state != 0 || folder->snapshot[i].facts.position.segment >= base_of(folder))
            folder->snapshot[kept++] = folder->snapshot[i];
    folder->given_up += folder->snapshots - kept;
    folder->snapshots = kept;
}

int wal_folder_read(struct wal_folder *folder, char error[WAL_FOLDER_ERROR_BYTES])
{
    struct listing listing = {.folder = folder};
    int failed = folder->disk.call->list(folder->disk.state, look_at, &listing);
    if (failed >= 0 && listing.no_memory)
        failed = -ENOMEM;
    if (failed < 0) {
        snprintf(error, WAL_FOLDER_ERROR_BYTES, "cannot be listed: %s", strerror(-failed));
        return failed;
    }
    if (folder->segments > 0)
        qsort(folder->segment, folder->segments, sizeof *folder->segment, by_number);
    folder->meta_state = meta_read(&folder->meta, &folder->disk);
    if (folder->meta_state == -ENOENT && folder->segments == 0 && folder->snapshots == 0) {
        snprintf(error, WAL_FOLDER_ERROR_BYTES, "there is no log in it");
        return -ENOENT;
    }
    if (folder->meta_state == 0 && folder->meta.adopted_lsn != 0)
        add_unnamed(folder);
    for (unsigned i = 0; i < folder->snapshots; i++)
        read_snapshot(folder, &folder->snapshot[i]);
    if (folder->meta_state == 0) {
        leave_out_segments(folder);
        leave_out_snapshots(folder);
    }
    return 0;
}

void wal_folder_free(struct wal_folder *folder)
{
    free(folder->segment);
    folder->segment = NULL;
    folder->segments = 0;
}

/* ---- the log from end to end ---- */

static void show_progress(const struct wal_folder *folder, const struct wal_position *at, uint64_t *shown)
{
    if (!folder->progress || at->segment == *shown)
        return;
    *shown = at->segment;
    fprintf(stderr, "reading segment %" PRIu64 " of %" PRIu64 "\n", at->segment,
            folder->segment[folder->segments - 1].number);
}

/* 1: on to the end; 0: `each` had enough; -ENOMEM. */
static int read_piece(const struct wal_folder *folder, struct wal_piece *piece, wal_walk_block each,
                      void *context)
{
    struct wal_reader *reader = wal_reader_create(&folder->disk, &folder->meta, &piece->from);
    struct wal_block block;
    uint64_t shown = 0;
    bool more = true;
    if (reader == NULL)
        return -ENOMEM;
    do {
        while (more && wal_reader_next(reader, &block) == 1) {
            struct wal_position at = wal_reader_position(reader);
            piece->records += block.count;
            piece->blocks++;
            more = each == NULL || each(context, &block);
            show_progress(folder, &at, &shown);
        }
        if (more)
            piece->end = wal_reader_judge(reader);
        /* a node that is running has written more meanwhile */
        if (more && piece->end.end != WAL_END_ERROR && wal_reader_next(reader, &block) == 1) {
            piece->records += block.count;
            piece->blocks++;
            more = each == NULL || each(context, &block);
            piece->end.end = 0;
        }
    } while (more && piece->end.end == 0);
    wal_reader_destroy(reader);
    return more;
}

int wal_walk(const struct wal_folder *folder, uint64_t from_lsn, wal_walk_block each, void *context,
             struct wal_walk *out)
{
    const struct wal_snapshot *start = NULL;
    bool any = wal_folder_goes_back(folder);
    memset(out, 0, sizeof *out);
    if (folder->meta_state != 0 || folder->segments == 0)
        return 0;
    for (unsigned i = 0; i < folder->snapshots; i++)
        if (folder->snapshot[i].state == 0 && (!any || folder->snapshot[i].lsn < from_lsn)) {
            start = &folder->snapshot[i];
            any = true;
        }
    struct wal_position first = {.segment = base_of(folder) - 1}; /* it begins in the next */
    if (!any && folder->any_start) {
        uint64_t segment = folder->segment[0].number;
        any = out->cut_off =
            wal_find(&first, &folder->disk, &folder->meta, segment, segment, UINT64_MAX - 1) == 0;
    }
    while (any) {
        struct wal_piece *piece = &out->piece[out->pieces++];
        piece->snapshot = start;
        piece->from = start != NULL ? start->facts.position : first;
        int outcome = read_piece(folder, piece, each, context);
        if (outcome <= 0)
            return outcome;
        any = false;
        for (unsigned i = 0; i < folder->snapshots && !any; i++) {
            start = &folder->snapshot[i];
            any = start->state == 0 && start->facts.position.next_lsn > piece->end.position.next_lsn;
        }
    }
    return 0;
}

/* ---- what lies there, chain or not ---- */

enum { SCAN_BYTES = 1024 * 1024 };

static void scan_block(struct wal_scan *scan, const struct wal_block *block)
{
    uint64_t last = block->first_lsn + block->count;
    scan->blocks++;
    scan->records += block->count;
    if (block->durable_lsn > scan->watermark)
        scan->watermark = block->durable_lsn;
    if (block->count == 0)
        return;
    if (scan->first_lsn == 0 || block->first_lsn < scan->first_lsn)
        scan->first_lsn = block->first_lsn;
    if (last - 1 > scan->last_lsn)
        scan->last_lsn = last - 1;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static int scan_file(const struct disk *disk, int file, uint64_t stamp, uint64_t segment, uint64_t from,
                     uint64_t least_lsn, uint8_t *bytes, struct wal_scan *out)
{
    uint64_t offset = from / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    for (int64_t got; offset <= UINT32_MAX;) {
        got = disk->call->read(disk->state, file, offset, bytes, SCAN_BYTES);
        if (got <= 0)
            return (int)got;
        size_t at = 0;
        while (at < (size_t)got) {
            struct wal_block block;
            size_t left = (size_t)got - at, step = left < DISK_BLOCK_BYTES ? left : DISK_BLOCK_BYTES;
            /* near the window's end a block may be cut off: the next window begins with it */
            if (at > 0 && left < WAL_BLOCK_BYTES_MAX && got == SCAN_BYTES)
                break;
            if (wal_block_decode(&block, bytes + at, left, segment, (uint32_t)(offset + at)) == WAL_WHOLE &&
                block.stamp == stamp) {
                step = wal_block_padded(block.length);
                if (block.first_lsn >= least_lsn)
                    scan_block(out, &block);
            }
            if (!is_zero(bytes + at, step))
                out->used = offset + at + step;
            at += step;
        }
        offset += at;
    }
    return 0;
}

int wal_scan(const struct disk *disk, uint64_t stamp, uint64_t segment, uint64_t from, uint64_t least_lsn,
             struct wal_scan *out)
{
    char name[DISK_NAME_BYTES];
    uint8_t *bytes = malloc(SCAN_BYTES);
    memset(out, 0, sizeof *out);
    if (bytes == NULL)
        return -ENOMEM;
    meta_segment_name(name, segment);
    int file = disk->call->open(disk->state, name, DISK_READ, 0), failed = file;
    if (file >= 0) {
        failed = scan_file(disk, file, stamp, segment, from, least_lsn, bytes, out);
        disk->call->close(disk->state, file);
    }
    free(bytes);
    return failed < 0 ? failed : 0;
}

/* enum wal_verdict, or -errno (-ENOENT: no such file). */
static int look_at_place(const struct disk *disk, uint64_t segment, uint32_t offset)
{
    char name[DISK_NAME_BYTES];
    struct wal_block block;
    int64_t got;
    uint8_t *bytes = malloc(WAL_BLOCK_BYTES_MAX);
    if (bytes == NULL)
        return -ENOMEM;
    meta_segment_name(name, segment);
    int file = disk->call->open(disk->state, name, DISK_READ, 0);
    if (file < 0) {
        free(bytes);
        return file;
    }
    got = disk->call->read(disk->state, file, offset, bytes, WAL_BLOCK_BYTES_MAX);
    int verdict = got < 0 ? (int)got : (int)wal_block_decode(&block, bytes, (size_t)got, segment, offset);
    disk->call->close(disk->state, file);
    free(bytes);
    return verdict;
}

static const char *place_words(int verdict)
{
    switch (verdict) {
    case WAL_WHOLE:
        return "a whole block that does not continue the log: of another time, or misplaced";
    case WAL_NO_BLOCK:
        return "no block where one should be";
    case WAL_NEWER_FORMAT:
        return "a block of a newer format";
    case WAL_SHORT:
        return "a block that the file cuts off";
    case WAL_BROKEN:
        return "a broken block: its checksum or its header is wrong";
    case -ENOENT:
        return "the segment is missing";
    default:
        return "it cannot be read";
    }
}

const char *wal_end_words(const struct wal_folder *folder, const struct wal_position *end,
                          char name[DISK_NAME_BYTES], uint32_t *offset)
{
    bool before = end->segment < base_of(folder);
    int here = before ? WAL_NO_BLOCK : look_at_place(&folder->disk, end->segment, end->offset);
    *offset = end->offset;
    meta_segment_name(name, end->segment);
    if (here != WAL_NO_BLOCK && here != WAL_SHORT)
        return place_words(here);
    /* it may go on in the next one as well */
    int next = look_at_place(&folder->disk, end->segment + 1, 0);
    bool last = folder->segments == 0 || folder->segment[folder->segments - 1].number <= end->segment;
    if (!before && (last || next == WAL_NO_BLOCK))
        return place_words(here);
    *offset = 0;
    meta_segment_name(name, end->segment + 1);
    return place_words(next);
}
