/* wal_check.c - reads everything, and says what is wrong with it and what to do. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "wal_commands.h"

struct findings {
    const struct wal_options *options;
    json_t *json; /* NULL: text */
    unsigned damages;
};

static void tell(struct findings *findings, const char *file, uint64_t offset, const char *what,
                 const char *remedy)
{
    findings->damages++;
    if (findings->json != NULL)
        json_array_append_new(findings->json, json_pack("{s:s, s:I, s:s, s:s}", "file", file, "offset",
                                                        (json_int_t)offset, "what", what, "remedy", remedy));
    else
        fprintf(findings->options->out, "damage: %s at offset %" PRIu64 ": %s. %s\n", file, offset, what,
                remedy);
}

static void check_meta(struct findings *findings, const struct wal_folder *folder)
{
    static const char backup[] = "Bring the file back from a backup, or copy from a replica";
    if (folder->meta_state == -EPROTONOSUPPORT)
        tell(findings, "meta", 0, wal_meta_words(folder->meta_state), "Use that version");
    else if (folder->meta_state != 0)
        tell(findings, "meta", 0, wal_meta_words(folder->meta_state), backup);
    else if (folder->segments == 0)
        tell(findings, "wal-*", 0, "no segment is there", backup);
    else if (!wal_folder_goes_back(folder) && folder->snapshots == 0)
        tell(findings, "snapshot-*", 0, "no snapshot, and the log does not go back to its start", backup);
}

static void check_snapshot(struct findings *findings, const struct wal_snapshot *snapshot, uint64_t end_lsn)
{
    char what[128];
    if (snapshot->state == -EPROTONOSUPPORT)
        tell(findings, snapshot->name, 0, wal_snapshot_words(snapshot), "Use that version");
    else if (snapshot->state == -EXDEV)
        tell(findings, snapshot->name, 0, wal_snapshot_words(snapshot), "Take it out of the folder");
    else if (snapshot->state != 0)
        tell(findings, snapshot->name, 0, wal_snapshot_words(snapshot),
             "The node sets it aside when it starts, and uses an older one with more of the log");
    if (snapshot->state != 0 || snapshot->facts.end_lsn <= end_lsn)
        return;
    snprintf(what, sizeof what, "it needs the log up to lsn %" PRIu64 ", which ends at lsn %" PRIu64,
             snapshot->facts.end_lsn, end_lsn);
    tell(
        findings, snapshot->name, 0, what,
        "Bring segments back from a backup, or copy from a replica, or use an older snapshot: wildctl wal repair");
}

static void check_end(struct findings *findings, const struct wal_folder *folder,
                      const struct wal_piece *piece, bool last)
{
    const struct wal_verdict_at_end *end = &piece->end;
    char name[DISK_NAME_BYTES], what[256];
    uint32_t offset;
    if (end->end == WAL_END_CLEAN && last)
        return;
    const char *words = wal_end_words(folder, &end->position, name, &offset);
    if (end->end == WAL_END_ERROR) {
        tell(findings, name, offset, strerror(-end->error), "See to the device");
        return;
    }
    if (end->end == WAL_END_FORMAT) {
        tell(findings, name, offset, "the log goes on in a newer format", "Use that version of wild");
        return;
    }
    if (end->end == WAL_END_TORN && last) {
        if (findings->json == NULL)
            fprintf(findings->options->out,
                    "torn tail: %s at offset %" PRIu32 ": %" PRIu64
                    " bytes that were being written when the node stopped, and that nobody was told of\n",
                    name, offset, end->bytes_behind);
        return;
    }
    snprintf(what, sizeof what,
             "%s; the log ends there at lsn %" PRIu64 ", but was on the disk up to lsn %" PRIu64, words,
             wal_last_lsn(folder, &end->position), end->watermark);
    tell(
        findings, name, offset, what,
        last
            ? "Bring the file back from a backup, or copy from a replica, or give up what follows: wildctl wal repair"
            : "A newer snapshot makes up for it, and the node starts; take another one soon");
}

/* Where nothing lies behind the end, meta may know of more. */
static void check_found(struct findings *findings, const struct wal_folder *folder,
                        const struct wal_verdict_at_end *end)
{
    char name[DISK_NAME_BYTES], what[128];
    uint64_t last_lsn = wal_last_lsn(folder, &end->position), found = meta_found_lsn(&folder->meta);
    if (folder->meta_state != 0 || last_lsn >= found ||
        (end->end != WAL_END_CLEAN && end->end != WAL_END_TORN))
        return;
    snprintf(what, sizeof what,
             "the log ends there at lsn %" PRIu64 ", but an earlier start found it up to lsn %" PRIu64,
             last_lsn, found);
    meta_segment_name(name, end->position.segment);
    tell(
        findings, name, end->position.offset, what,
        "Bring the segments behind it back from a backup, or copy from a replica, or give them up: wildctl wal repair");
}

int wal_check(const struct disk *disk, const struct wal_options *options)
{
    struct wal_folder folder;
    struct wal_walk walk;
    int outcome = wal_begin(&folder, disk, options);
    if (outcome != EXIT_FINE)
        return outcome;
    struct findings findings = {.options = options, .json = options->json ? json_array() : NULL};
    int failed = wal_walk(&folder, 0, NULL, NULL, &walk);
    if (failed != 0)
        tell(&findings, "wal-*", 0, strerror(-failed), "Try again");
    uint64_t end_lsn = walk.pieces > 0 ? wal_end_lsn(&walk.piece[walk.pieces - 1].end.position) : 0;
    uint64_t last_lsn =
        walk.pieces > 0 ? wal_last_lsn(&folder, &walk.piece[walk.pieces - 1].end.position) : 0;
    uint64_t records = 0, blocks = 0;
    check_meta(&findings, &folder);
    for (unsigned i = 0; i < walk.pieces; i++) {
        records += walk.piece[i].records;
        blocks += walk.piece[i].blocks;
        check_end(&findings, &folder, &walk.piece[i], i + 1 == walk.pieces);
    }
    if (walk.pieces > 0)
        check_found(&findings, &folder, &walk.piece[walk.pieces - 1].end);
    for (unsigned i = 0; i < folder.snapshots; i++)
        check_snapshot(&findings, &folder.snapshot[i], walk.pieces > 0 ? end_lsn : UINT64_MAX);
    if (options->json) {
        json_t *object = json_pack("{s:b, s:o, s:I, s:I, s:I, s:i, s:I}", "fine", findings.damages == 0,
                                   "damage", findings.json, "end_lsn", (json_int_t)last_lsn, "blocks",
                                   (json_int_t)blocks, "records", (json_int_t)records, "snapshots",
                                   (int)folder.snapshots, "used_by", (json_int_t)options->used_by);
        json_dumpf(object, options->out, JSON_COMPACT);
        fputc('\n', options->out);
        json_decref(object);
    } else {
        fprintf(options->out,
                "%s: %" PRIu64 " blocks with %" PRIu64 " records, %u snapshots, end at lsn %" PRIu64 ": %s\n",
                options->path, blocks, records, folder.snapshots, last_lsn,
                findings.damages == 0 ? "fine" : "damaged");
    }
    wal_folder_free(&folder);
    return findings.damages == 0 ? EXIT_FINE : EXIT_DAMAGE;
}
