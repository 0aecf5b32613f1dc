#include "meta.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "wal_block.h"
#include "wire.h"

enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_FORMAT = 8,
    AT_COUNT = 10,
    AT_RESERVED = 12,
    AT_CLUSTER_ID = 16,
    AT_NODE_ID = 32,
    AT_STAMP = 40,
    AT_RESERVED_END = 48,
    CRC_FROM = AT_CRC + 4,
};
enum { IN_ID = 0, IN_FIRST_LSN = 8, IN_NODE_ID = 16, IN_BEFORE_LSN = 24, IN_EPOCH = 32, IN_RESERVED = 36 };
static_assert(AT_RESERVED_END + 16 == META_HEADER_BYTES && IN_RESERVED + 4 == META_HISTORY_BYTES,
              "layout as in meta.h");
static_assert((int)META_BYTES % (int)DISK_BLOCK_BYTES == 0, "disk.h");

static const uint8_t magic[4] = {'W', 'M', 'T', '1'};
static const char meta_name[] = META_FILE, temporary_name[] = META_FILE ".tmp";

enum { LSN_BITS = 32 }; /* of a history's first LSN that are zero */

/* ---- the file's bytes ---- */

static void encode(uint8_t *bytes, const struct meta *meta)
{
    memset(bytes, 0, META_BYTES);
    memcpy(bytes + AT_MAGIC, magic, sizeof magic);
    wire_put_u16(bytes + AT_FORMAT, META_FORMAT);
    wire_put_u16(bytes + AT_COUNT, (uint16_t)meta->count);
    memcpy(bytes + AT_CLUSTER_ID, meta->cluster_id, META_CLUSTER_ID_BYTES);
    wire_put_u64(bytes + AT_NODE_ID, meta->node_id);
    wire_put_u64(bytes + AT_STAMP, meta->stamp);
    for (unsigned i = 0; i < meta->count; i++) {
        uint8_t *at = bytes + META_HEADER_BYTES + i * META_HISTORY_BYTES;
        wire_put_u64(at + IN_ID, meta->history[i].id);
        wire_put_u64(at + IN_FIRST_LSN, meta->history[i].first_lsn);
        wire_put_u64(at + IN_NODE_ID, meta->history[i].node_id);
        wire_put_u64(at + IN_BEFORE_LSN, meta->history[i].before_lsn);
        wire_put_u32(at + IN_EPOCH, meta->history[i].epoch);
    }
    wire_put_u32(bytes + AT_CRC, wal_crc(0, bytes + CRC_FROM, META_BYTES - CRC_FROM));
}

static bool valid(const struct meta *meta)
{
    if (meta->count < 1 || meta->count > META_HISTORIES_MAX || meta->node_id == 0 ||
        wire_is_zero(meta->cluster_id, META_CLUSTER_ID_BYTES))
        return false;
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

static int decode(struct meta *out, const uint8_t *bytes)
{
    if (memcmp(bytes + AT_MAGIC, magic, sizeof magic) != 0 ||
        wal_crc(0, bytes + CRC_FROM, META_BYTES - CRC_FROM) != wire_u32(bytes + AT_CRC))
        return -EBADMSG;
    if (wire_u16(bytes + AT_FORMAT) > META_FORMAT)
        return -EPROTONOSUPPORT;
    unsigned count = wire_u16(bytes + AT_COUNT);
    if (wire_u16(bytes + AT_FORMAT) != META_FORMAT || count > META_HISTORIES_MAX)
        return -EBADMSG;
    memset(out, 0, sizeof *out);
    memcpy(out->cluster_id, bytes + AT_CLUSTER_ID, META_CLUSTER_ID_BYTES);
    out->node_id = wire_u64(bytes + AT_NODE_ID);
    out->stamp = wire_u64(bytes + AT_STAMP);
    out->count = count;
    bool zero = wire_u32(bytes + AT_RESERVED) == 0 &&
                wire_is_zero(bytes + AT_RESERVED_END, META_HEADER_BYTES - AT_RESERVED_END);
    const uint8_t *at = bytes + META_HEADER_BYTES;
    for (unsigned i = 0; i < count; i++, at += META_HISTORY_BYTES) {
        out->history[i] = (struct history){
            .id = wire_u64(at + IN_ID),
            .first_lsn = wire_u64(at + IN_FIRST_LSN),
            .node_id = wire_u64(at + IN_NODE_ID),
            .before_lsn = wire_u64(at + IN_BEFORE_LSN),
            .epoch = wire_u32(at + IN_EPOCH),
        };
        zero &= wire_u32(at + IN_RESERVED) == 0;
    }
    zero &= wire_is_zero(at, (size_t)(bytes + META_BYTES - at));
    return zero && valid(out) ? 0 : -EBADMSG;
}

/* ---- the file ---- */

int meta_read(struct meta *out, const struct disk *disk)
{
    uint8_t bytes[META_BYTES];
    int file = disk->call->open(disk->state, meta_name, DISK_READ, 0);
    if (file < 0)
        return file;
    int64_t got = disk->call->size(disk->state, file);
    if (got == META_BYTES)
        got = disk->call->read(disk->state, file, 0, bytes, META_BYTES);
    disk->call->close(disk->state, file);
    if (got < 0)
        return (int)got;
    return got == META_BYTES ? decode(out, bytes) : -EBADMSG;
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

/* ---- histories ---- */

const struct history *meta_history_of(const struct meta *meta, uint64_t lsn)
{
    for (unsigned i = meta->count; i-- > 0;)
        if (meta->history[i].first_lsn <= lsn)
            return &meta->history[i];
    return NULL;
}

bool meta_is_forgotten(const struct meta *meta, uint64_t first_lsn)
{
    return meta->count == META_HISTORIES_MAX && first_lsn > 0 && (uint32_t)first_lsn == 0 &&
           first_lsn < meta->history[0].first_lsn;
}

bool meta_lsn_is_lost(const struct meta *meta, uint64_t lsn)
{
    for (unsigned i = 0; i < meta->count; i++)
        if (lsn > meta->history[i].before_lsn && lsn < meta->history[i].first_lsn)
            return true;
    return false;
}

uint64_t meta_found_lsn(const struct meta *meta)
{
    return meta->count > 0 ? meta->history[meta->count - 1].before_lsn : 0;
}

bool meta_give_up_after(struct meta *meta, uint64_t lsn)
{
    bool news = false;
    for (unsigned i = 0; i < meta->count; i++) {
        news |= meta->history[i].before_lsn > lsn;
        if (meta->history[i].before_lsn > lsn)
            meta->history[i].before_lsn = lsn;
    }
    return news;
}

uint64_t meta_last_lsn(const struct meta *meta, uint64_t next_lsn)
{
    for (unsigned i = 0; i < meta->count; i++)
        if (next_lsn == meta->history[i].first_lsn)
            return meta->history[i].before_lsn;
    return next_lsn > 0 ? next_lsn - 1 : 0;
}

uint64_t meta_next_first_lsn(const struct meta *meta, uint64_t last_lsn)
{
    if (meta->count > 0 && meta->history[meta->count - 1].first_lsn > last_lsn)
        last_lsn = meta->history[meta->count - 1].first_lsn;
    return ((last_lsn >> LSN_BITS) + 1) << LSN_BITS;
}

void meta_add(struct meta *meta, const struct history *history)
{
    if (meta->count == META_HISTORIES_MAX) {
        memmove(&meta->history[0], &meta->history[1], (META_HISTORIES_MAX - 1) * sizeof meta->history[0]);
        meta->count--;
    }
    meta->history[meta->count++] = *history;
}

/* ---- names ---- */

static const char segment_prefix[] = "wal-", snapshot_prefix[] = "snapshot-";
enum { NAME_DIGITS = 16 };

static void numbered_name(char out[DISK_NAME_BYTES], const char *prefix, uint64_t number)
{
    snprintf(out, DISK_NAME_BYTES, "%s%016" PRIx64, prefix, number);
}

/* Only the name that numbered_name() makes: one number has one name. */
static bool is_numbered(const char *name, const char *prefix, uint64_t *number)
{
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0 || strlen(name + length) != NAME_DIGITS)
        return false;
    *number = 0;
    for (const char *at = name + length; *at != '\0'; at++) {
        bool digit = *at >= '0' && *at <= '9';
        if (!digit && (*at < 'a' || *at > 'f'))
            return false;
        *number = *number << 4 | (uint64_t)(digit ? *at - '0' : *at - 'a' + 10);
    }
    return true;
}

void meta_segment_name(char out[DISK_NAME_BYTES], uint64_t segment)
{
    numbered_name(out, segment_prefix, segment);
}

void meta_snapshot_name(char out[DISK_NAME_BYTES], uint64_t lsn)
{
    numbered_name(out, snapshot_prefix, lsn);
}

bool meta_is_segment(const char *name, uint64_t *segment)
{
    return is_numbered(name, segment_prefix, segment);
}

bool meta_is_snapshot(const char *name, uint64_t *lsn)
{
    return is_numbered(name, snapshot_prefix, lsn);
}
