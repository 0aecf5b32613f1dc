/*
 * recovery_internal.h - what the files of the recovery share: recovery.c (up to the last block that is replayed),
 * recovery_end.c (the log's end, and what must be on the disk before anybody is served), recovery_adopted.c (what the adoption
 * of a log has left).
 */
#ifndef WILD_RECOVERY_INTERNAL_H
#define WILD_RECOVERY_INTERNAL_H

#include "kept_tail.h"
#include "recovery.h"
#include "snapshot.h"
#include "wal_reader.h"

enum phase { LOOK, ADOPTED, CHOOSE, LOAD, REPLAY, JUDGE, SYNC, DISCARD, COMMIT, DONE };

struct recovery {
    struct recovery_config config;
    struct recovery_facts facts;
    enum phase phase;
    struct snapshot_reader *snapshot;
    struct snapshot_facts loaded; /* all zero: none */
    struct wal_reader *log;
    uint64_t sync_segment;
    uint64_t first_bytes; /* of the segment that the replay begins in */
    struct kept_tail tail;
    bool switched;     /* by an adoption, and that is durable */
    bool clean;        /* nothing lies behind the log's end */
    bool meta_changed; /* it is not what is on the disk */
    bool notice_waits;
    char error[RECOVERY_TEXT_BYTES], notice[RECOVERY_TEXT_BYTES];
};

/* The error's text; returns `error`. */
int recovery_refuse(struct recovery *recovery, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int recovery_refuse_disk(struct recovery *recovery, int error, const char *what);
int recovery_refuse_capacity(struct recovery *recovery);
int recovery_refuse_empty(struct recovery *recovery);
void recovery_tell(struct recovery *recovery, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *recovery_segment_text(char out[DISK_NAME_BYTES], uint64_t segment);

/* What is there, into facts: 0 or -errno. */
int recovery_list(struct recovery *recovery);

/* Phases of recovery_adopted.c: 1 more to do, -errno refused. */
int recovery_adopted(struct recovery *recovery);
int recovery_discard(struct recovery *recovery);

/* Phases of recovery_end.c: 1 more to do, 0 done, -errno refused. */
int recovery_judge(struct recovery *recovery);
int recovery_sync(struct recovery *recovery);
int recovery_commit(struct recovery *recovery);

#endif
