/*
 * meta.h - what a folder is: whose log, which histories. And what its files are called.
 *
 *   meta                      this file; replaced whole (meta.tmp, rename, folder sync)
 *   wal-%016x                 a segment, by number. Numbers ascend without a gap: the log goes from the end
 *                             of one (wherever its last block ends) to the start of the next. A file that is
 *                             ready for its turn has the name already, so that nothing is renamed when the
 *                             log arrives there. (By number, not by first LSN: that is not known before.)
 *   snapshot-%016x            a snapshot, by the LSN it starts from; snapshot.tmp while it is written
 *   segment.tmp               the segment that a start makes, before it gets its name
 *   kept-*                    what repair and recovery set aside; never read, never removed
 *   lock                      held by the process that owns the folder (app/disk_folder.h)
 *
 *   offset size  field                                     META_BYTES = 16384
 *   0      4     magic        "WMT1"
 *   4      4     crc          CRC32C of everything after it
 *   8      2     format       META_FORMAT
 *   10     2     count        histories, 1..META_HISTORIES_MAX
 *   12     4     reserved     zero
 *   16     16    cluster_id   random, made with the folder
 *   32     8     node_id      random, made with the folder
 *   40     8     stamp        random, made with the folder: in every block of its log, and told to no client
 *   48     16    reserved     zero
 *   64     40*n  histories, oldest first:
 *                  0 id u64 | 8 first_lsn u64 | 16 node_id u64 | 24 before_lsn u64 | 32 epoch u32
 *                  | 36 reserved u32
 *   ...          zeros
 *
 * Valid if and only if: length, magic, crc and format are right; reserved bytes are zero; ids are not zero;
 * first LSNs are multiples of 2^32, not zero, and ascend; epochs ascend (both: no two are equal); before_lsn
 * is below first_lsn (and may be below that of the history before, where a repair gave up the end of the log). A later format keeps length, magic, crc and format as they are.
 *
 * History (DESIGN 9): every start as primary opens one; its first LSN is the next multiple of 2^32, so LSNs
 * never repeat. before_lsn is the log's last LSN before it: what an earlier history had above that was lost with
 * a tail. A folder keeps the last META_HISTORIES_MAX.
 */
#ifndef WILD_META_H
#define WILD_META_H

#include "disk.h"

enum {
    META_FORMAT = 1,
    META_BYTES = 16384,
    META_HEADER_BYTES = 64,
    META_HISTORY_BYTES = 40,
    META_HISTORIES_MAX = (META_BYTES - META_HEADER_BYTES) / META_HISTORY_BYTES,
    META_CLUSTER_ID_BYTES = 16,
};

struct history {
    uint64_t id, first_lsn, node_id;
    uint64_t before_lsn; /* last one of the log before this history; 0: none */
    uint32_t epoch;
};

struct meta {
    uint8_t cluster_id[META_CLUSTER_ID_BYTES];
    uint64_t node_id;
    uint64_t stamp; /* wal_block.h */
    unsigned count;
    struct history history[META_HISTORIES_MAX];
};

#define META_FILE "meta"

/* 0; -ENOENT: none there; -EBADMSG: not valid; -EPROTONOSUPPORT: of a newer format; other -errno. */
int meta_read(struct meta *out, const struct disk *disk);
/* Durable when it returns 0. Otherwise the old one or the new one is there. meta: valid as above. */
int meta_write(const struct meta *meta, const struct disk *disk);

/* The history whose LSNs `lsn` belongs to; NULL: older than those that are known. */
const struct history *meta_history_of(const struct meta *meta, uint64_t lsn);
/* Whether a history may have begun with that LSN that meta had no room to remember. */
bool meta_is_forgotten(const struct meta *meta, uint64_t first_lsn);
/* Whether that LSN fell off with a tail: a later history began below it. */
bool meta_lsn_is_lost(const struct meta *meta, uint64_t lsn);
/* What the last start found: durable then, so a log that ends below has lost some of it. 0: nothing. */
uint64_t meta_found_lsn(const struct meta *meta);
/* The log was made to end there: no start has found more. True if that was news. */
bool meta_give_up_after(struct meta *meta, uint64_t lsn);
/* The last LSN of a log whose next is `next_lsn`, which may be a history's first. */
uint64_t meta_last_lsn(const struct meta *meta, uint64_t next_lsn);
/* The next history's first LSN: above last_lsn and every history so far. 0: LSNs are used up. */
uint64_t meta_next_first_lsn(const struct meta *meta, uint64_t last_lsn);
/* Appends a history (forgetting the oldest when full). */
void meta_add(struct meta *meta, const struct history *history);

void meta_segment_name(char out[DISK_NAME_BYTES], uint64_t segment);
void meta_snapshot_name(char out[DISK_NAME_BYTES], uint64_t lsn);
/* Whether it is such a name, and its number. */
bool meta_is_segment(const char *name, uint64_t *segment);
bool meta_is_snapshot(const char *name, uint64_t *lsn);

#endif
