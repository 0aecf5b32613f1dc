/*
 * housekeeper_internal.h - what the housekeeper's files share: housekeeper.c (life, mailboxes, the order of its jobs),
 * housekeeper_segments.c, housekeeper_snapshot.c, housekeeper_adopt.c.
 */
#ifndef WILD_HOUSEKEEPER_INTERNAL_H
#define WILD_HOUSEKEEPER_INTERNAL_H

#include <stdatomic.h>

#include "housekeeper.h"
#include "kept_tail.h"

enum {
    HOUSEKEEPER_NO_FILE = -1,
    HOUSEKEEPER_FILL_BYTES = 256 * 1024, /* zeros a step */
};

/* A snapshot that is there, newest first. */
struct kept_snapshot {
    uint64_t lsn, segment;
};

/*
 * The steps of an adoption.
 *
 *   NONE -> DISCARD -> WALK -> WAIT -> MARK -> SWITCH -> PUBLISH -> NONE
 *              \_________\_______\_______\-> NONE: failed, or given up; the folder's log is the old one
 *
 * DISCARD  segments of an adoption that was given up are removed
 * WALK     the table is copied to snapshot.tmp
 * WAIT     snapshot.tmp is durable; the new log has to be, to the snapshot's end
 * MARK     snapshot.tmp's name is made durable, and the marker of the tail that is to be kept
 * SWITCH   meta is replaced. One that could not be may be there all the same: from here on there is no way back
 * PUBLISH  the snapshot gets its name
 */
enum adopt_phase {
    ADOPT_NONE,
    ADOPT_DISCARD,
    ADOPT_WALK,
    ADOPT_WAIT,
    ADOPT_MARK,
    ADOPT_SWITCH,
    ADOPT_PUBLISH
};

struct housekeeper {
    struct housekeeper_config config;

    /* Writer: control. */
    _Alignas(64) _Atomic uint64_t wanted; /* segment; 0: none */
    _Atomic uint64_t durable_lsn, acknowledged_lsn;
    _Atomic int to_close;         /* file; NO_FILE: none. Control fills it, the housekeeper empties it */
    _Atomic bool look_wanted;     /* likewise: a look at the folder */
    _Atomic bool snapshot_wanted; /* likewise; `asked` stands before it is set (release) */
    _Atomic bool meta_wanted;     /* likewise, `meta_asked` */
    _Atomic bool give_up_wanted;  /* likewise */
    _Atomic bool adopt_wanted;    /* likewise, `adopt_asked` */
    struct snapshot_facts asked;
    struct meta meta_asked;
    struct adoption adopt_asked;
    uint64_t highest_segment; /* control's own: that there was, or was asked for */

    /* Writer: the housekeeper. */
    _Alignas(64) _Atomic uint64_t answered; /* wanted segment that `answer` is about; 0: taken by control */
    _Atomic int answer;                     /* its file, or -errno */
    _Atomic uint64_t snapshots, snapshots_failed, snapshot_lsn, snapshot_segment, oldest;
    _Atomic uint64_t free_bytes;
    _Atomic uint64_t metas_written, metas_failed, stamp;
    _Atomic uint64_t tail_stamp, tail_segments;
    _Atomic int snapshot_error, removal_error, folder_error, meta_error, adoption_error;
    _Atomic bool snapshot_running;
    _Atomic int adoption; /* enum adoption_state; control's to write while nothing of it runs */

    /* The housekeeper's own. */
    struct meta meta; /* as last written */
    struct snapshot_writer *writer;
    unsigned snapshot_count;
    struct kept_snapshot snapshot[RECOVERY_SNAPSHOTS_MAX + 1];
    unsigned steps, idle_steps;
    uint64_t oldest_segment;        /* that has a file */
    uint64_t newest_segment;        /* that was made, or is `ready` */
    uint64_t ready;                 /* made and never asked for: recovery's */
    bool open_file[DISK_FILES_MAX]; /* given to control and not back yet */
    struct {
        int file; /* NO_FILE: none */
        uint64_t segment, offset;
        uint8_t *zeros; /* FILL_BYTES, aligned */
    } fill; /* a new segment that is being written once: the log's writes into it are faster then (disk.h) */
    struct {
        enum adopt_phase phase;
        struct adoption order;
        struct kept_tail tail; /* once it is switched; first 0: none */
        uint64_t end_lsn;      /* of its snapshot */
        uint64_t discard;      /* segments from here to its own: of one that was given up; 0: none */
        uint64_t base, stamp;  /* of the log that was begun last and is not the folder's; 0: none */
        unsigned rest;         /* steps until something is tried again */
    } adopt;
    struct kept_tail tail; /* being set aside; first 0: none */
};

/* 0, or -ENOENT. Looked at now, and by every job before it makes, names or removes anything. */
int housekeeper_folder_error(struct housekeeper *h);
void housekeeper_publish_kept(struct housekeeper *h);
/* 0 too where it is not there. */
int housekeeper_remove(struct housekeeper *h, const char *name);
int housekeeper_remove_segment(struct housekeeper *h, uint64_t segment);

/* The log's first segment: what lies below it was given up. */
static inline uint64_t housekeeper_base(const struct housekeeper *h)
{
    return h->meta.base_segment > 0 ? h->meta.base_segment : 1;
}

/* The oldest segment of the log that counts; below it may be what is left of one that was given up. */
static inline uint64_t housekeeper_oldest(const struct housekeeper *h)
{
    return h->oldest_segment > housekeeper_base(h) ? h->oldest_segment : housekeeper_base(h);
}

/* housekeeper_segments.c */
enum housekeeper_step housekeeper_segment_step(struct housekeeper *h);
bool housekeeper_close_step(struct housekeeper *h);
bool housekeeper_removal_step(struct housekeeper *h);

/* housekeeper_snapshot.c */
enum housekeeper_step housekeeper_snapshot_step(struct housekeeper *h);
/* Drops the one that runs: it counts neither as taken nor as failed. */
void housekeeper_drop_snapshot(struct housekeeper *h);
void housekeeper_note_snapshot(struct housekeeper *h, uint64_t lsn, uint64_t segment);
/* What it has begun is its own to remove, but not from a folder that nobody looks for any more. */
void housekeeper_end_writer(struct housekeeper *h);

/* housekeeper_adopt.c */
void housekeeper_adopt_take(struct housekeeper *h);
bool housekeeper_meta_step(struct housekeeper *h);
bool housekeeper_give_up_step(struct housekeeper *h);
enum housekeeper_step housekeeper_adopt_step(struct housekeeper *h);

#endif
