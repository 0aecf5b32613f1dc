/* meta.c - histories, and names. */
#include "meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LSN_BITS = 32 }; /* of a history's first LSN that are zero */

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
    if (meta->count == 0 || meta->history[meta->count - 1].node_id != meta->node_id)
        return 0;
    return meta->history[meta->count - 1].before_lsn;
}

bool meta_give_up_after(struct meta *meta, uint64_t lsn)
{
    bool news = false;
    for (unsigned i = 0; i < meta->count; i++) {
        struct history *history = &meta->history[i];

        if (history->before_lsn <= lsn || history->node_id != meta->node_id)
            continue;
        history->before_lsn = lsn;
        news = true;
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

uint64_t meta_next_first_lsn(const struct meta *meta, uint64_t last_lsn, uint32_t epoch)
{
    uint64_t next, own = (uint64_t)epoch << LSN_BITS;

    if (meta->count > 0 && meta->history[meta->count - 1].first_lsn > last_lsn)
        last_lsn = meta->history[meta->count - 1].first_lsn;
    next = ((last_lsn >> LSN_BITS) + 1) << LSN_BITS;
    return next != 0 && next < own ? own : next;
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
