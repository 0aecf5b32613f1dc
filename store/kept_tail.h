/*
 * kept_tail.h - the end of a log that was given up, set aside for whoever wants to look at it: what this node
 * had beyond the last LSN that it has in common with its primary. Used by the housekeeper, and by recovery,
 * which goes on with it.
 *
 *   tail-STAMP-FIRST         the marker: a copy of that log's meta; the segments from FIRST on are to be kept. Made before the
 *                            switch (housekeeper_adopt.c), so it counts only where meta has another stamp
 *   kept-tail-STAMP-wal-N    what becomes of them
 *   kept-tail-STAMP-meta     and, last of all, of the marker
 *
 * Numbers in 16 hexadecimal digits. Calls block.
 */
#ifndef WILD_KEPT_TAIL_H
#define WILD_KEPT_TAIL_H

#include "disk.h"
#include "meta.h"

struct kept_tail {
    uint64_t stamp, marked; /* as the marker's name has them */
    uint64_t first;         /* segment to be looked at next; 0: there is nothing to do */
    uint64_t kept;          /* segments that got their new name by now */
};

/*
 * Makes the marker: what `log` has behind common_lsn, in segments from `oldest` on and below `base`. 0 and
 * *out, or -errno. Its name is durable after the next sync_folder().
 */
int kept_tail_mark(struct kept_tail *out, const struct disk *disk, const struct meta *log, uint64_t oldest,
                   uint64_t base, uint64_t common_lsn);
/* 1 and *out: there is a marker; 0; -errno. */
int kept_tail_find(struct kept_tail *out, const struct disk *disk);
/* Removes every marker: of what did not come to be. 0 or -errno. */
int kept_tail_unmark(const struct disk *disk);
/* One file. 1: more; 0: all is done, durably, and the marker is gone; -errno: try again. base: as above. */
int kept_tail_step(const struct disk *disk, struct kept_tail *tail, uint64_t base);

#endif
