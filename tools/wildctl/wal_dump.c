/* wal_dump.c - the log's records, a line each. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "member.h"
#include "wal_commands.h"

/* Printable ASCII but for quote and backslash as it is, all else as \xNN. */
static void print_escaped(FILE *out, const uint8_t *bytes, size_t length)
{
    fputc('"', out);
    for (size_t i = 0; i < length; i++)
        if (bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
            fputc(bytes[i], out);
        else
            fprintf(out, "\\x%02x", bytes[i]);
    fputc('"', out);
}

static const char *type_name(unsigned type)
{
    static const char *const names[] = {[LOG_SET] = "set",
                                        [LOG_DELETE] = "delete",
                                        [LOG_FLUSH] = "flush",
                                        [LOG_NOP] = "nop",
                                        [LOG_MEMBER] = "member"};
    return type < sizeof names / sizeof names[0] && names[type] != NULL ? names[type] : "?";
}

static const char *reason_name(unsigned reason)
{
    static const char *const names[] = {[LOG_REASON_NONE] = "",
                                        [LOG_REASON_REQUEST] = "request",
                                        [LOG_REASON_EXPIRED] = "expired",
                                        [LOG_REASON_EVICTED] = "evicted"};
    return reason < sizeof names / sizeof names[0] ? names[reason] : "?";
}

static void print_member(FILE *out, const struct log_record *record)
{
    struct member_list list;
    struct member member;
    unsigned index;
    if (!member_decode(&member, &list, &index, record))
        return;
    fprintf(out, " %016" PRIx64 " %s, %u of %u, min-replicas %u (before: %u), name ", member.node_id,
            member_part_text(member.part), index + 1, list.count, list.min_replicas,
            list.min_replicas_before);
    print_escaped(out, (const uint8_t *)member.name, strlen(member.name));
}

static void add_member(json_t *object, const struct log_record *record)
{
    struct member_list list;
    struct member member;
    char node[17];
    unsigned index;
    if (!member_decode(&member, &list, &index, record))
        return;
    snprintf(node, sizeof node, "%016" PRIx64, member.node_id);
    json_object_set_new(object, "node", json_string(node));
    json_object_set_new(object, "part", json_string(member_part_text(member.part)));
    json_object_set_new(object, "name", json_string(member.name));
    json_object_set_new(object, "index", json_integer(index));
    json_object_set_new(object, "count", json_integer(list.count));
    json_object_set_new(object, "min_replicas", json_integer(list.min_replicas));
    json_object_set_new(object, "min_replicas_before", json_integer(list.min_replicas_before));
}

static void print_text(const struct wal_options *options, const struct log_record *record)
{
    FILE *out = options->out;
    fprintf(out, "%" PRIu64 " %s", record->lsn, type_name(record->type));
    if (record->type == LOG_SET || record->type == LOG_DELETE) {
        fputc(' ', out);
        print_escaped(out, record->key, record->key_length);
    }
    if (record->type == LOG_DELETE)
        fprintf(out, " %s", reason_name(record->reason));
    if (record->type == LOG_SET) {
        fputc(' ', out);
        if (options->values)
            print_escaped(out, record->value, record->value_length);
        else
            fprintf(out, "%u bytes", record->value_length);
        if (record->expiry_ms != 0)
            fprintf(out, " expires %" PRIu64, record->expiry_ms);
    }
    if (record->type == LOG_MEMBER)
        print_member(out, record);
    fputc('\n', out);
}

/* Bytes as JSON text where they are UTF-8, else in hexadecimal under another name. */
static void add_bytes(json_t *object, const char *name, const char *hex_name, const uint8_t *bytes,
                      size_t length)
{
    char hex[2 * VALUE_BYTES_MAX + 1] = "";
    json_t *text = json_stringn((const char *)bytes, length);
    if (text == NULL) {
        for (size_t i = 0; i < length; i++)
            snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
        text = json_string(hex);
        name = hex_name;
    }
    json_object_set_new(object, name, text);
}

static void print_json(const struct wal_options *options, const struct log_record *record)
{
    json_t *object = json_pack("{s:I, s:s}", "lsn", (json_int_t)record->lsn, "type", type_name(record->type));
    if (record->type == LOG_SET || record->type == LOG_DELETE)
        add_bytes(object, "key", "key_hex", record->key, record->key_length);
    if (record->type == LOG_DELETE)
        json_object_set_new(object, "reason", json_string(reason_name(record->reason)));
    if (record->type == LOG_SET) {
        json_object_set_new(object, "bytes", json_integer(record->value_length));
        json_object_set_new(object, "expiry_ms", json_integer((json_int_t)record->expiry_ms));
        if (options->values)
            add_bytes(object, "value", "value_hex", record->value, record->value_length);
    }
    if (record->type == LOG_MEMBER)
        add_member(object, record);
    json_dumpf(object, options->out, JSON_COMPACT);
    fputc('\n', options->out);
    json_decref(object);
}

static bool dump_block(void *context, const struct wal_block *block)
{
    const struct wal_options *options = context;
    struct log_record record;
    if (block->first_lsn > options->to_lsn)
        return false;
    for (size_t at = 0; at < block->records_bytes;) {
        int taken = log_record_decode(&record, block->records + at, block->records_bytes - at);
        if (taken <= 0)
            break;
        at += (size_t)taken;
        if (record.lsn < options->from_lsn || record.lsn > options->to_lsn)
            continue;
        if (options->json)
            print_json(options, &record);
        else
            print_text(options, &record);
    }
    return !ferror(options->out);
}

int wal_dump(const struct disk *disk, const struct wal_options *options)
{
    struct wal_folder folder;
    struct wal_walk walk;
    struct wal_options copy = *options;
    int outcome = wal_begin(&folder, disk, options);
    if (outcome != EXIT_FINE)
        return outcome;
    folder.any_start = true;
    int failed = wal_walk(&folder, options->from_lsn, dump_block, &copy, &walk);
    const struct wal_piece *last = walk.pieces > 0 ? &walk.piece[walk.pieces - 1] : NULL;
    if (failed != 0) {
        fprintf(stderr, "wildctl: %s: %s\n", options->path, strerror(-failed));
        outcome = EXIT_DAMAGE;
    } else if (last == NULL || walk.pieces > 1 || last->end.end > WAL_END_TORN) {
        fprintf(stderr, "wildctl: %s: the log is damaged, and this was not all of it: wildctl wal check\n",
                options->path);
        outcome = EXIT_DAMAGE;
    }
    if (walk.cut_off && outcome == EXIT_FINE) {
        fprintf(stderr, "wildctl: %s: the log begins before its first segment that is here\n", options->path);
        outcome = EXIT_DAMAGE;
    }
    wal_folder_free(&folder);
    return outcome;
}
