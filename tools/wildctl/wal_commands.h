/*
 * wal_commands.h - wildctl wal info|check|dump|repair: on a disk.h folder, so that tests run them on one that
 * crashes. Each prints its result to `out`, complaints to stderr, and returns the exit code.
 */
#ifndef WILDCTL_WAL_COMMANDS_H
#define WILDCTL_WAL_COMMANDS_H

#include "wal_folder.h"

enum { EXIT_FINE = 0, EXIT_DAMAGE = 1, EXIT_USAGE = 2 };

struct wal_options {
    const char *path; /* as the operator named it */
    bool json, values, yes, progress;
    uint64_t from_lsn, to_lsn; /* dump */
    uint64_t wall_ms;          /* now, for ages */
    long used_by;              /* process that has the folder; 0: none */
    const struct disk *keep;   /* repair: where copies go; NULL: the folder itself */
    FILE *out;
};

int wal_info(const struct disk *disk, const struct wal_options *options);
int wal_check(const struct disk *disk, const struct wal_options *options);
int wal_dump(const struct disk *disk, const struct wal_options *options);
/* disk: owned by this process, as is `keep`. */
int wal_repair(const struct disk *disk, const struct wal_options *options);

/* ---- shared ---- */

/* EXIT_FINE, or EXIT_DAMAGE after a line. */
int wal_begin(struct wal_folder *folder, const struct disk *disk, const struct wal_options *options);
const char *wal_snapshot_words(const struct wal_snapshot *snapshot); /* "whole", or what is wrong */
const char *wal_meta_words(int meta_state);

/* Last LSN of a log that ends there, as snapshots' end_lsn is held against it. */
static inline uint64_t wal_end_lsn(const struct wal_position *end)
{
    return end->next_lsn > 0 ? end->next_lsn - 1 : 0;
}

/* And as it is shown: of its last record, when a history that has none yet begins there. */
static inline uint64_t wal_last_lsn(const struct wal_folder *folder, const struct wal_position *end)
{
    return meta_last_lsn(&folder->meta, end->next_lsn);
}

#endif
