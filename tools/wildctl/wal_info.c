/* wal_info.c - what lies in a folder. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <jansson.h>

#include "wal_commands.h"

int wal_begin(struct wal_folder *folder, const struct disk *disk, const struct wal_options *options)
{
    char error[WAL_FOLDER_ERROR_BYTES];
    memset(folder, 0, sizeof *folder);
    folder->disk = *disk;
    folder->progress = options->progress;
    if (wal_folder_read(folder, error) == 0)
        return EXIT_FINE;
    fprintf(stderr, "wildctl: %s: %s\n", options->path, error);
    wal_folder_free(folder);
    return EXIT_DAMAGE;
}

const char *wal_snapshot_words(const struct wal_snapshot *snapshot)
{
    switch (snapshot->state) {
    case 0:
        return "whole";
    case -EBADMSG:
        return "damaged";
    case -EPROTONOSUPPORT:
        return "of a newer version of wild";
    case -EXDEV:
        return "of another cluster";
    default:
        return strerror(-snapshot->state);
    }
}

const char *wal_meta_words(int meta_state)
{
    switch (meta_state) {
    case 0:
        return "whole";
    case -ENOENT:
        return "missing";
    case -EBADMSG:
        return "damaged";
    case -EPROTONOSUPPORT:
        return "of another version of wild";
    default:
        return strerror(-meta_state);
    }
}

static const char *end_words(const struct wal_walk *walk)
{
    static const char *const words[] = {[WAL_END_CLEAN] = "clean",
                                        [WAL_END_TORN] = "torn",
                                        [WAL_END_DAMAGED] = "damaged",
                                        [WAL_END_FORMAT] = "newer format",
                                        [WAL_END_ERROR] = "unreadable"};
    return walk->pieces == 0 ? "unreadable" : walk->pieces > 1 ? "damaged" : words[walk->piece[0].end.end];
}

static void hex(char *out, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

enum { ADDRESS_TEXT_BYTES = INET6_ADDRSTRLEN };

/* "": not known. */
static const char *address_text(char out[ADDRESS_TEXT_BYTES], const uint8_t address[MEMBER_ADDRESS_BYTES])
{
    static const uint8_t none[MEMBER_ADDRESS_BYTES], mapped[12] = {[10] = 0xff, [11] = 0xff};
    out[0] = '\0';
    if (memcmp(address, mapped, sizeof mapped) == 0)
        inet_ntop(AF_INET, address + sizeof mapped, out, ADDRESS_TEXT_BYTES);
    else if (memcmp(address, none, sizeof none) != 0)
        inet_ntop(AF_INET6, address, out, ADDRESS_TEXT_BYTES);
    return out;
}

static json_t *json_id(uint64_t id)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, id);
    return json_string(text);
}

static json_t *members_json(const struct meta *meta)
{
    json_t *members = json_array();
    for (unsigned i = 0; i < meta->members.count; i++) {
        const struct member *member = &meta->members.member[i];
        char address[ADDRESS_TEXT_BYTES];
        json_array_append_new(members,
                              json_pack("{s:o, s:s, s:s, s:s, s:i, s:i}", "node", json_id(member->node_id),
                                        "name", member->name, "part", member_part_text(member->part),
                                        "address", address_text(address, member->address), "replication_port",
                                        member->replication_port, "client_port", member->client_port));
    }
    return members;
}

static json_t *meta_json(const struct wal_folder *folder)
{
    char cluster[2 * META_CLUSTER_ID_BYTES + 1];
    const struct meta *meta = &folder->meta;
    json_t *histories = json_array();
    if (folder->meta_state != 0)
        return json_pack("{s:s, s:o}", "meta", wal_meta_words(folder->meta_state), "histories", histories);
    hex(cluster, meta->cluster_id, META_CLUSTER_ID_BYTES);
    for (unsigned i = 0; i < meta->count; i++)
        json_array_append_new(histories,
                              json_pack("{s:o, s:o, s:I, s:I, s:I}", "id", json_id(meta->history[i].id),
                                        "node", json_id(meta->history[i].node_id), "epoch",
                                        (json_int_t)meta->history[i].epoch, "first_lsn",
                                        (json_int_t)meta->history[i].first_lsn, "before_lsn",
                                        (json_int_t)meta->history[i].before_lsn));
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:o, s:I, s:o}", "meta", "whole", "cluster",
                     cluster, "node", json_id(meta->node_id), "histories", histories, "base_segment",
                     (json_int_t)meta->base_segment, "adopted_lsn", (json_int_t)meta->adopted_lsn,
                     "sealed_epoch", (json_int_t)meta->sealed_epoch, "sealed_node",
                     json_id(meta->sealed_node), "min_replicas", (json_int_t)meta->members.min_replicas,
                     "members", members_json(meta));
}

static void print_json(const struct wal_folder *folder, const struct wal_scan *scans,
                       const struct wal_walk *walk, const struct wal_options *options)
{
    json_t *object = meta_json(folder), *segments = json_array(), *snapshots = json_array();
    const struct wal_verdict_at_end *end = walk->pieces > 0 ? &walk->piece[walk->pieces - 1].end : NULL;
    for (unsigned i = 0; i < folder->segments; i++)
        json_array_append_new(
            segments,
            json_pack("{s:I, s:I, s:I, s:I, s:I}", "number", (json_int_t)folder->segment[i].number, "bytes",
                      (json_int_t)folder->segment[i].bytes, "used", (json_int_t)scans[i].used, "first_lsn",
                      (json_int_t)scans[i].first_lsn, "last_lsn", (json_int_t)scans[i].last_lsn));
    for (unsigned i = 0; i < folder->snapshots; i++) {
        const struct wal_snapshot *snapshot = &folder->snapshot[i];
        json_t *one =
            json_pack("{s:s, s:s, s:I, s:I}", "name", snapshot->name, "state", wal_snapshot_words(snapshot),
                      "start_lsn", (json_int_t)snapshot->lsn, "bytes", (json_int_t)snapshot->bytes);
        if (snapshot->state == 0) {
            json_object_set_new(one, "end_lsn", json_integer((json_int_t)snapshot->facts.end_lsn));
            json_object_set_new(one, "items", json_integer((json_int_t)snapshot->facts.items));
            json_object_set_new(one, "wall_ms", json_integer((json_int_t)snapshot->facts.wall_ms));
        }
        json_array_append_new(snapshots, one);
    }
    json_object_set_new(object, "segments", segments);
    json_object_set_new(object, "snapshots", snapshots);
    json_object_set_new(object, "kept", json_integer(folder->kept));
    json_object_set_new(object, "given_up", json_integer(folder->given_up));
    json_object_set_new(object, "used_by", json_integer(options->used_by));
    json_object_set_new(object, "end", json_string(end_words(walk)));
    if (end != NULL) {
        json_object_set_new(object, "end_segment", json_integer((json_int_t)end->position.segment));
        json_object_set_new(object, "end_offset", json_integer(end->position.offset));
        json_object_set_new(object, "end_lsn",
                            json_integer((json_int_t)wal_last_lsn(folder, &end->position)));
    }
    json_dumpf(object, options->out, JSON_COMPACT);
    fputc('\n', options->out);
    json_decref(object);
}

static void print_members(const struct meta *meta, FILE *out)
{
    if (meta->members.count > 0)
        fprintf(out, "members since lsn %" PRIu64 ", acknowledged by %u besides the primary%s:\n",
                meta->members.last_lsn, meta->members.min_replicas,
                member_list_is_settled(&meta->members) ? "" : " (a change is under way)");
    for (unsigned i = 0; i < meta->members.count; i++) {
        const struct member *member = &meta->members.member[i];
        char address[ADDRESS_TEXT_BYTES];
        address_text(address, member->address);
        fprintf(out, "member %016" PRIx64 " %s %s: %s, ports %u (replication) and %u (clients)\n",
                member->node_id, member->name, member_part_text(member->part),
                address[0] != '\0' ? address : "address not known", member->replication_port,
                member->client_port);
    }
}

static void print_meta(const struct wal_folder *folder, FILE *out)
{
    char cluster[2 * META_CLUSTER_ID_BYTES + 1];
    const struct meta *meta = &folder->meta;
    if (folder->meta_state != 0) {
        fprintf(out, "meta: %s\n", wal_meta_words(folder->meta_state));
        return;
    }
    hex(cluster, meta->cluster_id, META_CLUSTER_ID_BYTES);
    fprintf(out, "cluster %s\nnode %016" PRIx64 "\n", meta->count > 0 ? cluster : "none yet", meta->node_id);
    for (unsigned i = 0; i < meta->count; i++)
        fprintf(out,
                "history %016" PRIx64 ": epoch %" PRIu32 ", from lsn %" PRIu64
                " on, the log before it ended at lsn %" PRIu64 "\n",
                meta->history[i].id, meta->history[i].epoch, meta->history[i].first_lsn,
                meta->history[i].before_lsn);
    if (meta->adopted_lsn != 0)
        fprintf(out, "begins in segment %" PRIu64 ", with the snapshot from lsn %" PRIu64 "\n",
                meta->base_segment, meta->adopted_lsn);
    if (meta->sealed_epoch != 0)
        fprintf(out, "promised to node %016" PRIx64 " for epoch %" PRIu32 "\n", meta->sealed_node,
                meta->sealed_epoch);
    print_members(meta, out);
}

static void print_snapshot(const struct wal_snapshot *snapshot, const struct wal_options *options)
{
    const struct snapshot_facts *facts = &snapshot->facts;
    uint64_t age_ms = options->wall_ms > facts->wall_ms ? options->wall_ms - facts->wall_ms : 0;
    fprintf(options->out, "%s: %s, %" PRIu64 " bytes", snapshot->name, wal_snapshot_words(snapshot),
            snapshot->bytes);
    if (snapshot->state == 0)
        fprintf(options->out,
                ", lsn %" PRIu64 " to %" PRIu64 ", %" PRIu64 " items, %" PRIu64
                " s old, log from segment %" PRIu64,
                snapshot->lsn, facts->end_lsn, facts->items, age_ms / 1000, facts->position.segment);
    fputc('\n', options->out);
}

static void print_text(const struct wal_folder *folder, const struct wal_scan *scans,
                       const struct wal_walk *walk, const struct wal_options *options)
{
    FILE *out = options->out;
    print_meta(folder, out);
    for (unsigned i = 0; i < folder->segments; i++) {
        const struct wal_segment *segment = &folder->segment[i];
        fprintf(out, "segment %" PRIu64 ": ", segment->number);
        if (scans[i].records == 0)
            fprintf(out, "no records");
        else
            fprintf(out, "lsn %" PRIu64 " to %" PRIu64 ", %" PRIu64 " records", scans[i].first_lsn,
                    scans[i].last_lsn, scans[i].records);
        fprintf(out, ", %" PRIu64 " of %" PRIu64 " bytes used\n", scans[i].used, segment->bytes);
    }
    for (unsigned i = 0; i < folder->snapshots; i++)
        print_snapshot(&folder->snapshot[i], options);
    if (folder->given_up > 0)
        fprintf(out, "%u files of a log that was given up; the next start removes them\n", folder->given_up);
    if (folder->kept > 0)
        fprintf(out, "%u files that were set aside (kept-*)\n", folder->kept);
    if (options->used_by != 0)
        fprintf(out, "in use by process %ld: its end moves\n", options->used_by);
    if (walk->pieces > 0) {
        const struct wal_position *end = &walk->piece[walk->pieces - 1].end.position;
        fprintf(out, "end: %s, at lsn %" PRIu64 ", segment %" PRIu64 " offset %" PRIu32 "\n", end_words(walk),
                wal_last_lsn(folder, end), end->segment, end->offset);
    } else {
        fprintf(out, "end: unreadable\n");
    }
}

int wal_info(const struct disk *disk, const struct wal_options *options)
{
    struct wal_folder folder;
    struct wal_walk walk;
    int outcome = wal_begin(&folder, disk, options);
    if (outcome != EXIT_FINE)
        return outcome;
    struct wal_scan *scans = calloc(folder.segments + 1, sizeof *scans);
    int failed = scans == NULL ? -ENOMEM : wal_walk(&folder, 0, NULL, NULL, &walk);
    uint64_t least_lsn = 0; /* blocks of a tail that was cut off have lower ones than what came before */
    for (unsigned i = 0; failed == 0 && i < folder.segments; i++) {
        failed = wal_scan(disk, folder.meta.stamp, folder.segment[i].number, 0, least_lsn, &scans[i]);
        if (scans[i].last_lsn > least_lsn)
            least_lsn = scans[i].last_lsn;
    }
    if (failed != 0) {
        fprintf(stderr, "wildctl: %s: %s\n", options->path, strerror(-failed));
        outcome = EXIT_DAMAGE;
    } else if (options->json) {
        print_json(&folder, scans, &walk, options);
    } else {
        print_text(&folder, scans, &walk, options);
    }
    free(scans);
    wal_folder_free(&folder);
    return outcome;
}
