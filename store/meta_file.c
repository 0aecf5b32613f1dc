/* meta_file.c - the file `meta`: its bytes, how it is read and replaced. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "check.h"
#include "meta.h"
#include "wal_block.h"
#include "wire.h"

enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_FORMAT = 8,
    AT_COUNT = 10,
    AT_MEMBERS = 12,
    AT_MIN_REPLICAS = 14,
    AT_CLUSTER_ID = 16,
    AT_NODE_ID = 32,
    AT_STAMP = 40,
    AT_BASE_SEGMENT = 48,
    AT_ADOPTED_LSN = 56,
    AT_SEALED_NODE = 64,
    AT_SEALED_EPOCH = 72,
    AT_MIN_REPLICAS_BEFORE = 76,
    AT_RESERVED = 78,
    AT_MEMBERS_LSN = 80,
    AT_RESERVED_END = 88,
    CRC_FROM = AT_CRC + 4,
};
/* A history. */
enum { IN_ID = 0, IN_FIRST_LSN = 8, IN_NODE_ID = 16, IN_BEFORE_LSN = 24, IN_EPOCH = 32, IN_RESERVED = 36 };
/* A member. */
enum {
    OF_NODE_ID = 0,
    OF_ADDRESS = 8,
    OF_REPLICATION_PORT = 24,
    OF_CLIENT_PORT = 26,
    OF_PART = 28,
    OF_RESERVED = 29,
    OF_NAME = 32,
};
static_assert(AT_RESERVED_END + 40 == META_HEADER_BYTES && IN_RESERVED + 4 == META_HISTORY_BYTES &&
                  OF_NAME + MEMBER_NAME_BYTES - 1 == META_MEMBER_BYTES && META_MEMBERS_AT == 16128,
              "layout as in meta.h");
static_assert((int)META_MEMBERS_AT + (int)MEMBERS_MAX * (int)META_MEMBER_BYTES <= (int)META_BYTES,
              "all members fit");
static_assert((int)META_BYTES % (int)DISK_BLOCK_BYTES == 0, "disk.h");

static const uint8_t magic[4] = {'W', 'M', 'T', '1'};
static const char meta_name[] = META_FILE, temporary_name[] = META_FILE ".tmp";

/* ---- what is valid ---- */

static bool histories_valid(const struct meta *meta)
{
    for (unsigned i = 0; i < meta->count; i++) {
        const struct history *history = &meta->history[i];

        if (history->id == 0 || history->node_id == 0 || history->first_lsn == 0 ||
            (uint32_t)history->first_lsn != 0 || history->before_lsn >= history->first_lsn)
            return false;
        if (i > 0 && (history->first_lsn <= history[-1].first_lsn || history->epoch <= history[-1].epoch))
            return false;
    }
    return true;
}

static bool members_valid(const struct member_list *members)
{
    if (members->count == 0)
        return members->last_lsn == 0 && members->min_replicas == 0 && members->min_replicas_before == 0;
    return members->last_lsn != 0 && member_list_valid(members);
}

static bool valid(const struct meta *meta)
{
    bool empty = meta->count == 0;

    if (meta->count > META_HISTORIES_MAX || meta->node_id == 0)
        return false;
    if (wire_is_zero(meta->cluster_id, META_CLUSTER_ID_BYTES) != empty || (empty && meta->adopted_lsn != 0))
        return false;
    return (meta->sealed_epoch == 0) == (meta->sealed_node == 0) && histories_valid(meta) &&
           members_valid(&meta->members);
}

/* ---- the file's bytes ---- */

static void encode_header(uint8_t *bytes, const struct meta *meta)
{
    memcpy(bytes + AT_MAGIC, magic, sizeof magic);
    wire_put_u16(bytes + AT_FORMAT, META_FORMAT);
    wire_put_u16(bytes + AT_COUNT, (uint16_t)meta->count);
    wire_put_u16(bytes + AT_MEMBERS, (uint16_t)meta->members.count);
    wire_put_u16(bytes + AT_MIN_REPLICAS, meta->members.min_replicas);
    memcpy(bytes + AT_CLUSTER_ID, meta->cluster_id, META_CLUSTER_ID_BYTES);
    wire_put_u64(bytes + AT_NODE_ID, meta->node_id);
    wire_put_u64(bytes + AT_STAMP, meta->stamp);
    wire_put_u64(bytes + AT_BASE_SEGMENT, meta->base_segment);
    wire_put_u64(bytes + AT_ADOPTED_LSN, meta->adopted_lsn);
    wire_put_u64(bytes + AT_SEALED_NODE, meta->sealed_node);
    wire_put_u32(bytes + AT_SEALED_EPOCH, meta->sealed_epoch);
    wire_put_u16(bytes + AT_MIN_REPLICAS_BEFORE, meta->members.min_replicas_before);
    wire_put_u64(bytes + AT_MEMBERS_LSN, meta->members.last_lsn);
}

static void encode(uint8_t *bytes, const struct meta *meta)
{
    memset(bytes, 0, META_BYTES);
    encode_header(bytes, meta);
    for (unsigned i = 0; i < meta->count; i++) {
        uint8_t *at = bytes + META_HEADER_BYTES + i * META_HISTORY_BYTES;
        const struct history *history = &meta->history[i];

        wire_put_u64(at + IN_ID, history->id);
        wire_put_u64(at + IN_FIRST_LSN, history->first_lsn);
        wire_put_u64(at + IN_NODE_ID, history->node_id);
        wire_put_u64(at + IN_BEFORE_LSN, history->before_lsn);
        wire_put_u32(at + IN_EPOCH, history->epoch);
    }
    for (unsigned i = 0; i < meta->members.count; i++) {
        uint8_t *at = bytes + META_MEMBERS_AT + i * META_MEMBER_BYTES;
        const struct member *member = &meta->members.member[i];

        wire_put_u64(at + OF_NODE_ID, member->node_id);
        memcpy(at + OF_ADDRESS, member->address, sizeof member->address);
        wire_put_u16(at + OF_REPLICATION_PORT, member->replication_port);
        wire_put_u16(at + OF_CLIENT_PORT, member->client_port);
        wire_put_u32(at + OF_PART, member->part); /* and the reserved bytes behind it */
        memcpy(at + OF_NAME, member->name, strlen(member->name));
    }
    wire_put_u32(bytes + AT_CRC, wal_crc(0, bytes + CRC_FROM, META_BYTES - CRC_FROM));
}

/* Counts are within limits; false: bytes that must be zero are not. */
static bool decode_histories(struct meta *out, const uint8_t *bytes)
{
    const uint8_t *at = bytes + META_HEADER_BYTES;
    bool zero = true;

    for (unsigned i = 0; i < out->count; i++, at += META_HISTORY_BYTES) {
        out->history[i] = (struct history){
            .id = wire_u64(at + IN_ID),
            .first_lsn = wire_u64(at + IN_FIRST_LSN),
            .node_id = wire_u64(at + IN_NODE_ID),
            .before_lsn = wire_u64(at + IN_BEFORE_LSN),
            .epoch = wire_u32(at + IN_EPOCH),
        };
        zero &= wire_u32(at + IN_RESERVED) == 0;
    }
    return zero && wire_is_zero(at, (size_t)(bytes + META_MEMBERS_AT - at));
}

static bool decode_members(struct meta *out, const uint8_t *bytes)
{
    const uint8_t *at = bytes + META_MEMBERS_AT;
    bool zero = true;

    for (unsigned i = 0; i < out->members.count; i++, at += META_MEMBER_BYTES) {
        struct member *member = &out->members.member[i];
        size_t length = strnlen((const char *)at + OF_NAME, MEMBER_NAME_BYTES - 1);

        member->node_id = wire_u64(at + OF_NODE_ID);
        memcpy(member->address, at + OF_ADDRESS, sizeof member->address);
        member->replication_port = wire_u16(at + OF_REPLICATION_PORT);
        member->client_port = wire_u16(at + OF_CLIENT_PORT);
        member->part = at[OF_PART];
        memcpy(member->name, at + OF_NAME, length);
        zero &= wire_is_zero(at + OF_RESERVED, OF_NAME - OF_RESERVED) &&
                wire_is_zero(at + OF_NAME + length, MEMBER_NAME_BYTES - 1 - length);
    }
    return zero && wire_is_zero(at, (size_t)(bytes + META_BYTES - at));
}

/* Magic, crc and format are right. */
static int decode(struct meta *out, const uint8_t *bytes)
{
    memset(out, 0, sizeof *out);
    out->count = wire_u16(bytes + AT_COUNT);
    out->members.count = wire_u16(bytes + AT_MEMBERS);
    if (out->count > META_HISTORIES_MAX || out->members.count > MEMBERS_MAX)
        return -EBADMSG;
    out->members.min_replicas = wire_u16(bytes + AT_MIN_REPLICAS);
    out->members.min_replicas_before = wire_u16(bytes + AT_MIN_REPLICAS_BEFORE);
    memcpy(out->cluster_id, bytes + AT_CLUSTER_ID, META_CLUSTER_ID_BYTES);
    out->node_id = wire_u64(bytes + AT_NODE_ID);
    out->stamp = wire_u64(bytes + AT_STAMP);
    out->base_segment = wire_u64(bytes + AT_BASE_SEGMENT);
    out->adopted_lsn = wire_u64(bytes + AT_ADOPTED_LSN);
    out->sealed_node = wire_u64(bytes + AT_SEALED_NODE);
    out->sealed_epoch = wire_u32(bytes + AT_SEALED_EPOCH);
    out->members.last_lsn = wire_u64(bytes + AT_MEMBERS_LSN);
    bool zero = wire_u16(bytes + AT_RESERVED) == 0 &&
                wire_is_zero(bytes + AT_RESERVED_END, META_HEADER_BYTES - AT_RESERVED_END);
    zero &= decode_histories(out, bytes);
    zero &= decode_members(out, bytes);
    return zero && valid(out) ? 0 : -EBADMSG;
}

/* ---- the file ---- */

/* Any format's: reads all of it, and leaves its first META_BYTES in `bytes`. 0: magic and crc are right; or -errno. */
static int read_whole(const struct disk *disk, int file, uint64_t size, uint8_t *bytes)
{
    uint8_t more[DISK_BLOCK_BYTES];
    uint32_t crc = 0;

    for (uint64_t at = 0; at < size; at += DISK_BLOCK_BYTES) {
        uint8_t *part = at < META_BYTES ? bytes + at : more;
        size_t from = at == 0 ? CRC_FROM : 0;
        int64_t got = disk->call->read(disk->state, file, at, part, DISK_BLOCK_BYTES);

        if (got < 0)
            return (int)got;
        if (got != DISK_BLOCK_BYTES)
            return -EBADMSG;
        crc = wal_crc(crc, part + from, DISK_BLOCK_BYTES - from);
    }
    bool right = memcmp(bytes + AT_MAGIC, magic, sizeof magic) == 0 && crc == wire_u32(bytes + AT_CRC);
    return right ? 0 : -EBADMSG;
}

int meta_read(struct meta *out, const struct disk *disk)
{
    uint8_t bytes[META_BYTES];
    int file = disk->call->open(disk->state, meta_name, DISK_READ, 0);
    if (file < 0)
        return file;
    int64_t size = disk->call->size(disk->state, file);
    bool sized = size > 0 && size <= META_BYTES_OTHER_MAX && size % DISK_BLOCK_BYTES == 0;
    int error = size < 0 ? (int)size : -EBADMSG;
    if (sized)
        error = read_whole(disk, file, (uint64_t)size, bytes);
    disk->call->close(disk->state, file);
    if (error != 0)
        return error;
    if (wire_u16(bytes + AT_FORMAT) != META_FORMAT)
        return -EPROTONOSUPPORT;
    return size == META_BYTES ? decode(out, bytes) : -EBADMSG;
}

int meta_write(const struct meta *meta, const struct disk *disk)
{
    uint8_t bytes[META_BYTES];
    CHECK(valid(meta));
    encode(bytes, meta);
    int error = disk->call->remove(disk->state, temporary_name); /* of a start that did not get far */
    if (error < 0 && error != -ENOENT)
        return error;
    int file = disk->call->open(disk->state, temporary_name, DISK_CREATE, META_BYTES);
    if (file < 0)
        return file;
    error = disk->call->write(disk->state, file, 0, bytes, META_BYTES);
    if (error >= 0)
        error = disk->call->sync(disk->state, file);
    disk->call->close(disk->state, file);
    if (error >= 0)
        error = disk->call->rename(disk->state, temporary_name, meta_name);
    if (error >= 0)
        error = disk->call->sync_folder(disk->state);
    return error < 0 ? error : 0;
}
