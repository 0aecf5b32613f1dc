/*
 * wal_folder.h - a folder of the log as the offline commands see it: what lies in it, and the log from end to
 * end.
 * Reads alone. What is damaged is part of the answer, not an error.
 */
#ifndef WILDCTL_WAL_FOLDER_H
#define WILDCTL_WAL_FOLDER_H

#include <stdio.h>

#include "snapshot.h"
#include "wal_reader.h"

enum { WAL_FOLDER_SNAPSHOTS_MAX = 16, WAL_FOLDER_ERROR_BYTES = 512 };

struct wal_snapshot {
    char name[DISK_NAME_BYTES];
    uint64_t lsn, bytes;
    int state; /* 0: whole and ours; -EBADMSG, -EPROTONOSUPPORT, -EXDEV: another cluster's; others: the disk's */
    struct snapshot_facts facts; /* of a whole one */
};

struct wal_segment {
    uint64_t number, bytes;
};

struct wal_folder {
    struct disk disk;
    struct meta meta;
    int meta_state; /* as meta_read() */
    unsigned segments, snapshots, kept;
    unsigned
        given_up; /* segments and snapshots of a log that was given up: not read, and removed by the next start */
    struct wal_segment *segment;                            /* ascending */
    struct wal_snapshot snapshot[WAL_FOLDER_SNAPSHOTS_MAX]; /* the newest ones, ascending */
    bool progress;                                          /* a line on stderr for what takes long */
    bool any_start; /* where the log's start is gone and no snapshot there: from its first segment on */
};

/* Looks around and reads every snapshot: 0, or -errno with one line. `disk` is borrowed, and set before. */
int wal_folder_read(struct wal_folder *folder, char error[WAL_FOLDER_ERROR_BYTES]);
void wal_folder_free(struct wal_folder *folder);
/* Whether the log is there from its very begin, so that no snapshot is needed. */
bool wal_folder_goes_back(const struct wal_folder *folder);

/* A part of the log without a gap: from its start or a snapshot's position to where nothing continues it. */
struct wal_piece {
    struct wal_position from;
    const struct wal_snapshot *snapshot; /* it begins at its position; NULL: at the log's start */
    struct wal_verdict_at_end end;
    uint64_t records, blocks;
};
enum { WAL_PIECES_MAX = WAL_FOLDER_SNAPSHOTS_MAX + 1 };
struct wal_walk {
    bool cut_off;    /* it did not begin at the log's start or a snapshot's position: any_start */
    unsigned pieces; /* more than one: damage in between. 0: there is nothing to begin with */
    struct wal_piece piece[WAL_PIECES_MAX];
};
/* Called with every good block in order; false ends the walk (the last piece's end.end is 0 then). */
typedef bool (*wal_walk_block)(void *context, const struct wal_block *block);
/*
 * Reads the log from its start, or from the newest snapshot's position that is not behind from_lsn; behind
 * damage it goes on from the next snapshot's. 0 or -errno. `each` may be NULL.
 */
int wal_walk(const struct wal_folder *folder, uint64_t from_lsn, wal_walk_block each, void *context,
             struct wal_walk *out);

/* Whole blocks of a segment from an offset on, whether they continue anything or not. */
struct wal_scan {
    uint64_t blocks, records, first_lsn, last_lsn, watermark;
    uint64_t used; /* bytes up to the last one that is not zero, to a multiple of DISK_BLOCK_BYTES */
};
/* Blocks below least_lsn are stale and do not count, nor do those without the log's stamp (meta.h). */
int wal_scan(const struct disk *disk, uint64_t stamp, uint64_t segment, uint64_t from, uint64_t least_lsn,
             struct wal_scan *out);

/* What stands where the log should go on: a few words, and the place (`name`, `offset`). */
const char *wal_end_words(const struct wal_folder *folder, const struct wal_position *end,
                          char name[DISK_NAME_BYTES], uint32_t *offset);

#endif
