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
 *   tail-*                    a marker of the housekeeper's (kept_tail.h)
 *   kept-*                    what repair and recovery set aside; never read, never removed
 *   lock                      held by the process that owns the folder (app/disk_folder.h)
 *
 *   offset size  field                                     META_BYTES = 24576
 *   0      4     magic        "WMT1"
 *   4      4     crc          CRC32C of everything after it
 *   8      2     format       META_FORMAT
 *   10     2     count        histories, 0..META_HISTORIES_MAX
 *   12     2     members      0..MEMBERS_MAX
 *   14     2     min_replicas as the list of members has it (member.h), likewise
 *   16     16    cluster_id   random, made with the first history; zero until then
 *   32     8     node_id      random, made with the folder
 *   40     8     stamp        random, made with the log: in every block of it, and told to no client
 *   48     8     base_segment the log's first; 0: as 1
 *   56     8     adopted_lsn  start of the snapshot that the log at base_segment goes on from; 0: none
 *   64     8     sealed_node  to whom the epoch was promised; 0: none was
 *   72     4     sealed_epoch the highest that this node has promised itself to
 *   76     2     min_replicas_before
 *   78     2     reserved     zero
 *   80     8     members_lsn  of the list's last record; 0: there is no list
 *   88     40    reserved     zero
 *   128    40*n  histories, oldest first:
 *                  0 id u64 | 8 first_lsn u64 | 16 node_id u64 | 24 before_lsn u64 | 32 epoch u32
 *                  | 36 reserved u32
 *   ...          zeros
 *   16128  96*n  members:
 *                  0 node_id u64 | 8 address 16 bytes | 24 replication_port u16 | 26 client_port u16
 *                  | 28 part u8 | 29 reserved 3 bytes | 32 name 64 bytes, padded with zeros
 *   ...          zeros
 *
 * Valid if and only if: length, magic, crc and format are right; reserved bytes are zero; node ids are not zero, those of
 * members and ids of histories neither; first LSNs are multiples of 2^32, not zero, and ascend; epochs ascend (both: no two
 * are equal); before_lsn is below first_lsn (and may be below that of the history before, where a repair gave up the end of
 * the log); the cluster id is zero if and only if there is no history, and then adopted_lsn is zero; sealed_epoch is zero
 * if and only if sealed_node is; members_lsn is zero if and only if there are no members, and then both min_replicas are
 * zero; the list of members is valid as member.h has it.
 * Other formats keep magic, crc (over all that follows it in the file) and format where they are, and are of
 * DISK_BLOCK_BYTES to META_BYTES_OTHER_MAX. There is none that this program reads.
 *
 * History (DESIGN 9): every start as primary opens one; its first LSN is the next multiple of 2^32, and not below its
 * epoch times 2^32. An epoch is one node's (epoch.h), so LSNs never repeat, though two nodes that do not know of each
 * other go on from the same log. before_lsn is the log's last LSN before it: what an earlier history had above that was lost with a tail. Who
 * opens a history writes it here once his log is durable up to there: a start that finds less takes it for damage.
 * A folder keeps the last META_HISTORIES_MAX. One without any has no log yet: a replica's that has been told of nothing, or one
 * that was never started.
 *
 * Base: a replica that sets out anew from its primary's snapshot gives up the log that it has. Segments below base_segment
 * and snapshots whose position lies below it belong to the one that was given up: nobody reads them, and they are removed.
 */
#ifndef WILD_META_H
#define WILD_META_H

#include "disk.h"
#include "member.h"

enum {
    META_FORMAT = 2,
    META_BYTES = 24576,
    META_BYTES_OTHER_MAX = 1 << 20,
    META_HEADER_BYTES = 128,
    META_HISTORY_BYTES = 40,
    META_HISTORIES_MAX = 400,
    META_MEMBER_BYTES = 96,
    META_MEMBERS_AT = META_HEADER_BYTES + META_HISTORIES_MAX * META_HISTORY_BYTES,
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
    uint64_t base_segment, adopted_lsn;
    uint64_t sealed_node; /* DESIGN 9: from then on it follows nobody of a lower epoch; 0: none */
    uint32_t sealed_epoch;
    unsigned count;
    struct history history[META_HISTORIES_MAX];
    struct member_list members; /* the last whole list in the log */
};

#define META_FILE "meta"

/* 0; -ENOENT: none there; -EBADMSG: not valid; -EPROTONOSUPPORT: of another format; other -errno. */
int meta_read(struct meta *out, const struct disk *disk);
/* Durable when it returns 0. Otherwise the old one or the new one is there. meta: valid as above. */
int meta_write(const struct meta *meta, const struct disk *disk);

/* The history whose LSNs `lsn` belongs to; NULL: older than those that are known. */
const struct history *meta_history_of(const struct meta *meta, uint64_t lsn);
/* Whether a history may have begun with that LSN that meta had no room to remember. */
bool meta_is_forgotten(const struct meta *meta, uint64_t first_lsn);
/* Whether that LSN fell off with a tail: a later history began below it. */
bool meta_lsn_is_lost(const struct meta *meta, uint64_t lsn);
/* What the last start found, if it was as a primary: durable then, so a log that ends below has lost some of it. 0:
 * nothing, or that others began histories since: what they say of their logs says nothing of this one. */
uint64_t meta_found_lsn(const struct meta *meta);
/* The log was made to end there: no start has found more. True if that was news. */
bool meta_give_up_after(struct meta *meta, uint64_t lsn);
/* The last LSN of a log whose next is `next_lsn`, which may be a history's first. */
uint64_t meta_last_lsn(const struct meta *meta, uint64_t next_lsn);
/* The first LSN of the next history, of that epoch: above last_lsn and every history so far. 0: LSNs are used up. */
uint64_t meta_next_first_lsn(const struct meta *meta, uint64_t last_lsn, uint32_t epoch);
/* Appends a history (forgetting the oldest when full). */
void meta_add(struct meta *meta, const struct history *history);

void meta_segment_name(char out[DISK_NAME_BYTES], uint64_t segment);
void meta_snapshot_name(char out[DISK_NAME_BYTES], uint64_t lsn);
/* Whether it is such a name, and its number. */
bool meta_is_segment(const char *name, uint64_t *segment);
bool meta_is_snapshot(const char *name, uint64_t *lsn);

#endif
