/*
 * wal_repair.c - ends a damaged log where it is still whole, and sets aside what is behind.
 *
 * The log is chained, so nothing behind the damage can be used. Recovery refuses it nevertheless as long as
 * a whole block lies there that says that more was durable. So everything behind the end moves away: the rest
 * of the
 * segment is copied to kept-... and zeroed, later segments are renamed to kept-..., and so are snapshots that
 * need more
 * than what is left. In this order, each step durable before the next:
 *
 *   1. the copy
 *   2. snapshots, and all but one of those that hold such a block
 *   3. that one
 *
 * So a crash in between leaves a folder that is refused, as before, or one that is repaired.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "wal_commands.h"

enum { COPY_BYTES = 256 * 1024 };
static const char copy_name[] = "kept.tmp";

struct plan {
    const struct wal_options *options;
    struct wal_folder *folder;
    struct wal_position end;    /* where the log is to end; segment >= 1 */
    uint64_t records, last_lsn; /* readable behind it; highest LSN that is given up */
    uint64_t rest;              /* bytes of end.segment that are not zero, up to here */
    bool rest_refuses;          /* a block in them does */
    uint64_t last_segment;      /* the one to go last, or 0 */
};

/* ---- what is to be done ---- */

static bool needs_more(const struct wal_snapshot *snapshot, uint64_t end_lsn)
{
    return snapshot->state == 0 && snapshot->facts.end_lsn > end_lsn;
}

/* Whether recovery could load something and get to the end of that piece. */
static bool usable(const struct wal_folder *folder, const struct wal_piece *piece)
{
    uint64_t end_lsn = wal_end_lsn(&piece->end.position);
    if (piece->snapshot == NULL)
        return true;
    for (unsigned i = 0; i < folder->snapshots; i++)
        if (folder->snapshot[i].state == 0 && folder->snapshot[i].lsn >= piece->snapshot->lsn &&
            !needs_more(&folder->snapshot[i], end_lsn))
            return true;
    return false;
}

static int scan_behind(struct plan *plan)
{
    const struct wal_folder *folder = plan->folder;
    uint64_t highest = 0;
    for (unsigned i = 0; i < folder->segments; i++) {
        struct wal_scan scan;
        uint64_t number = folder->segment[i].number;
        if (number < plan->end.segment)
            continue;
        bool rest = number == plan->end.segment;
        int failed = wal_scan(&folder->disk, folder->meta.stamp, number, rest ? plan->end.offset : 0,
                              plan->end.next_lsn, &scan);
        if (failed != 0)
            return failed;
        plan->records += scan.records;
        if (scan.last_lsn > plan->last_lsn)
            plan->last_lsn = scan.last_lsn;
        if (scan.watermark > plan->last_lsn)
            plan->last_lsn = scan.watermark;
        bool refuses = scan.watermark >= plan->end.next_lsn && scan.watermark > 0;
        if (rest) {
            plan->rest = scan.used;
            plan->rest_refuses = refuses;
        } else if (refuses && scan.watermark >= highest) {
            highest = scan.watermark;
            plan->last_segment = number;
        }
    }
    for (unsigned i = 0; i < folder->snapshots; i++)
        if (needs_more(&folder->snapshot[i], wal_end_lsn(&plan->end)) &&
            folder->snapshot[i].facts.end_lsn > plan->last_lsn)
            plan->last_lsn = folder->snapshot[i].facts.end_lsn;
    return 0;
}

/* ---- setting aside ---- */

struct search_name {
    const char *name;
    bool found;
};

static void find_name(void *context, const char *name, uint64_t bytes)
{
    struct search_name *search = context;
    (void)bytes;
    search->found |= strcmp(name, search->name) == 0;
}

/* kept-NAME, or with a number behind it if that is taken. */
static int kept_name(const struct disk *keep, const char *name, char out[DISK_NAME_BYTES])
{
    for (unsigned n = 1; n < 10000; n++) {
        struct search_name search = {.name = out};
        int length = n == 1 ? snprintf(out, DISK_NAME_BYTES, "kept-%s", name)
                            : snprintf(out, DISK_NAME_BYTES, "kept-%s.%u", name, n);
        if (length >= DISK_NAME_BYTES)
            return -ENAMETOOLONG;
        int failed = keep->call->list(keep->state, find_name, &search);
        if (failed < 0 || !search.found)
            return failed;
    }
    return -EEXIST;
}

static int copy_bytes(const struct disk *from, int source, const struct disk *to, int target)
{
    uint8_t *bytes = malloc(COPY_BYTES);
    int64_t got = bytes == NULL ? -ENOMEM : 1;
    int failed = 0;
    for (uint64_t offset = 0; got > 0 && failed >= 0; offset += (uint64_t)got) {
        got = from->call->read(from->state, source, offset, bytes, COPY_BYTES);
        if (got > 0)
            failed = to->call->write(to->state, target, offset, bytes, (size_t)got);
    }
    free(bytes);
    if (got < 0)
        return (int)got;
    return failed < 0 ? failed : to->call->sync(to->state, target);
}

/* Durable under its new name when it returns 0. */
static int copy_away(const struct disk *disk, const struct disk *keep, const char *name, const char *kept)
{
    int source = disk->call->open(disk->state, name, DISK_READ, 0);
    if (source < 0)
        return source;
    int failed = keep->call->remove(keep->state, copy_name); /* of a repair that was interrupted */
    int64_t size = disk->call->size(disk->state, source);
    int target = -1;
    if (failed == -ENOENT)
        failed = 0;
    if (failed >= 0)
        failed = size < 0 ? (int)size
                          : (target = keep->call->open(keep->state, copy_name, DISK_CREATE, (uint64_t)size));
    if (target >= 0) {
        failed = copy_bytes(disk, source, keep, target);
        keep->call->close(keep->state, target);
    }
    disk->call->close(disk->state, source);
    if (failed >= 0)
        failed = keep->call->rename(keep->state, copy_name, kept);
    return failed < 0 ? failed : keep->call->sync_folder(keep->state);
}

static int set_aside(const struct plan *plan, const char *name)
{
    const struct disk *disk = &plan->folder->disk,
                      *keep = plan->options->keep != NULL ? plan->options->keep : disk;
    char kept[DISK_NAME_BYTES];
    int failed = kept_name(keep, name, kept);
    if (failed < 0)
        return failed;
    if (keep == disk)
        return disk->call->rename(disk->state, name, kept);
    failed = copy_away(disk, keep, name, kept);
    return failed < 0 ? failed : disk->call->remove(disk->state, name);
}

/* The end's segment stays, but for what lies behind the end. */
static int copy_rest(const struct plan *plan)
{
    const struct disk *disk = &plan->folder->disk,
                      *keep = plan->options->keep != NULL ? plan->options->keep : disk;
    char name[DISK_NAME_BYTES], kept[DISK_NAME_BYTES];
    if (plan->rest <= plan->end.offset)
        return 0;
    meta_segment_name(name, plan->end.segment);
    int failed = kept_name(keep, name, kept);
    return failed < 0 ? failed : copy_away(disk, keep, name, kept);
}

static int zero_rest(const struct plan *plan)
{
    const struct disk *disk = &plan->folder->disk;
    char name[DISK_NAME_BYTES];
    if (plan->rest <= plan->end.offset)
        return 0;
    uint8_t *zeros = calloc(1, COPY_BYTES);
    if (zeros == NULL)
        return -ENOMEM;
    meta_segment_name(name, plan->end.segment);
    int file = disk->call->open(disk->state, name, DISK_WRITE, 0), failed = file;
    for (uint64_t at = plan->end.offset; failed >= 0 && at < plan->rest; at += COPY_BYTES)
        failed = disk->call->write(disk->state, file, at, zeros,
                                   plan->rest - at < COPY_BYTES ? (size_t)(plan->rest - at) : COPY_BYTES);
    if (failed >= 0)
        failed = disk->call->sync(disk->state, file);
    if (file >= 0)
        disk->call->close(disk->state, file);
    free(zeros);
    return failed;
}

static int set_aside_segment(const struct plan *plan, uint64_t number)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, number);
    return set_aside(plan, name);
}

static int carry_out(const struct plan *plan)
{
    const struct wal_folder *folder = plan->folder;
    const struct disk *disk = &folder->disk;
    uint64_t end_lsn = wal_end_lsn(&plan->end), last = plan->rest_refuses ? 0 : plan->last_segment;
    struct meta meta = folder->meta;
    int failed = copy_rest(plan);
    /* While anything else refuses a start: that the log ended further on need not, any more. */
    if (failed >= 0 && meta_give_up_after(&meta, wal_last_lsn(folder, &plan->end)))
        failed = meta_write(&meta, disk);
    for (unsigned i = 0; failed >= 0 && i < folder->snapshots; i++)
        if (needs_more(&folder->snapshot[i], end_lsn))
            failed = set_aside(plan, folder->snapshot[i].name);
    for (unsigned i = 0; failed >= 0 && i < folder->segments; i++)
        if (folder->segment[i].number > plan->end.segment && folder->segment[i].number != last)
            failed = set_aside_segment(plan, folder->segment[i].number);
    if (failed >= 0 && !plan->rest_refuses)
        failed = zero_rest(plan);
    if (failed >= 0)
        failed = disk->call->sync_folder(disk->state);
    if (failed >= 0 && plan->rest_refuses)
        failed = zero_rest(plan);
    if (failed >= 0 && last != 0)
        failed = set_aside_segment(plan, last);
    return failed < 0 ? failed : disk->call->sync_folder(disk->state);
}

/* ---- telling ---- */

static void tell(const struct plan *plan, bool done)
{
    const struct wal_options *options = plan->options;
    const struct wal_folder *folder = plan->folder;
    uint64_t end_lsn = wal_end_lsn(&plan->end), last_lsn = wal_last_lsn(folder, &plan->end);
    json_t *moved = json_array();
    char name[DISK_NAME_BYTES];
    for (unsigned i = 0; i < folder->snapshots; i++)
        if (needs_more(&folder->snapshot[i], end_lsn))
            json_array_append_new(moved, json_string(folder->snapshot[i].name));
    for (unsigned i = 0; i < folder->segments; i++)
        if (folder->segment[i].number > plan->end.segment) {
            meta_segment_name(name, folder->segment[i].number);
            json_array_append_new(moved, json_string(name));
        }
    meta_segment_name(name, plan->end.segment);
    if (options->json) {
        json_t *object = json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:O}", "repaired", done, "file", name,
                                   "offset", (json_int_t)plan->end.offset, "end_lsn", (json_int_t)last_lsn,
                                   "lost_to_lsn", (json_int_t)plan->last_lsn, "records_behind",
                                   (json_int_t)plan->records, "set_aside", moved);
        json_dumpf(object, options->out, JSON_COMPACT);
        fputc('\n', options->out);
        json_decref(object);
    } else {
        size_t i;
        json_t *file;
        fprintf(options->out, "%s: the log %s at lsn %" PRIu64 ", in %s at offset %" PRIu32 "\n",
                options->path, done ? "ends now" : "would end", last_lsn, name, plan->end.offset);
        if (plan->last_lsn > end_lsn)
            fprintf(options->out,
                    "%s: what has an lsn from %" PRIu64 " to %" PRIu64 "; %" PRIu64
                    " records of it lie in whole blocks behind that point\n",
                    done ? "given up" : "it would give up", end_lsn + 1, plan->last_lsn, plan->records);
        if (plan->rest > plan->end.offset)
            fprintf(options->out, "%s: %s as it is, then the rest of it zeroed\n",
                    done ? "copied" : "to be copied", name);
        json_array_foreach(moved, i, file) fprintf(
            options->out, "%s: %s\n", done ? "set aside" : "to be set aside", json_string_value(file));
        if (!done)
            fputs("nothing was changed: run it again with --yes to do it\n", options->out);
    }
    json_decref(moved);
}

static int refuse(const struct plan *plan, const char *why)
{
    fprintf(stderr, "wildctl: %s: cannot be repaired: %s\n", plan->options->path, why);
    return EXIT_DAMAGE;
}

/* The piece to end the log with, or NULL with the reason. */
static const struct wal_piece *choose(const struct wal_folder *folder, const struct wal_walk *walk,
                                      const char **why)
{
    *why = "no snapshot can be read, and the log does not go back to its start";
    if (folder->meta_state != 0)
        *why = "`meta` is missing or damaged: bring it back from a backup";
    for (unsigned i = walk->pieces; i-- > 0;) {
        const struct wal_verdict_at_end *end = &walk->piece[i].end;
        if (end->end == WAL_END_FORMAT || end->end == WAL_END_ERROR) {
            *why = end->end == WAL_END_FORMAT ? "a newer version of wild has written here"
                                              : strerror(-end->error);
            return NULL;
        }
        if (usable(folder, &walk->piece[i]))
            return &walk->piece[i];
    }
    return NULL;
}

static int repair(struct plan *plan)
{
    struct wal_folder *folder = plan->folder;
    struct wal_walk walk;
    const char *why;
    int failed = wal_walk(folder, 0, NULL, NULL, &walk);
    if (failed != 0)
        return refuse(plan, strerror(-failed));
    const struct wal_piece *piece = choose(folder, &walk, &why);
    if (piece == NULL)
        return refuse(plan, why);
    plan->end = piece->end.position;
    bool whole = piece == &walk.piece[walk.pieces - 1] && piece->end.end != WAL_END_DAMAGED &&
                 wal_last_lsn(folder, &plan->end) >= meta_found_lsn(&folder->meta);
    for (unsigned i = 0; i < folder->snapshots; i++) {
        if (folder->snapshot[i].state == -EPROTONOSUPPORT || folder->snapshot[i].state == -EXDEV)
            return refuse(plan, "a snapshot is of a newer version or of another cluster: wildctl wal check");
        whole = whole && !needs_more(&folder->snapshot[i], wal_end_lsn(&plan->end));
    }
    if (whole) {
        if (plan->options->json)
            fputs("{\"repaired\":false,\"nothing_to_do\":true}\n", plan->options->out);
        else
            fprintf(plan->options->out, "%s: nothing to repair\n", plan->options->path);
        return EXIT_FINE;
    }
    if (plan->end.segment <
        folder->segment[0]
            .number) /* nothing is left: the first segment stays, empty, as of a log that begins */
        plan->end.segment = folder->segment[0].number;
    plan->end.offset = (uint32_t)wal_block_padded(plan->end.offset);
    plan->last_lsn = meta_found_lsn(&folder->meta);
    failed = scan_behind(plan);
    if (failed != 0)
        return refuse(plan, strerror(-failed));
    if (!plan->options->yes) {
        tell(plan, false);
        return EXIT_DAMAGE;
    }
    failed = carry_out(plan);
    if (failed < 0) {
        fprintf(stderr, "wildctl: %s: stopped: %s; run it again\n", plan->options->path, strerror(-failed));
        return EXIT_DAMAGE;
    }
    tell(plan, true);
    return EXIT_FINE;
}

int wal_repair(const struct disk *disk, const struct wal_options *options)
{
    struct wal_folder folder;
    int outcome = wal_begin(&folder, disk, options);
    if (outcome != EXIT_FINE)
        return outcome;
    struct plan plan = {.options = options, .folder = &folder};
    outcome = repair(&plan);
    wal_folder_free(&folder);
    return outcome;
}
