/*
 * crash_folder.h - the files of a simulated folder, as somebody sees them from outside.
 */
#ifndef WILD_TESTS_CRASH_FOLDER_H
#define WILD_TESTS_CRASH_FOLDER_H

#include "crash_trail.h"

struct crash_folder {
    uint64_t segments, oldest, newest;   /* how many; their numbers */
    uint64_t snapshots, snapshot, older; /* how many; start of the newest, and of the one before it */
    char stray[DISK_NAME_BYTES];         /* a file that is none of the known ones; "": none */
    bool snapshot_tmp;
    bool meta_tmp; /* the next that is written removes it */
};

void crash_folder_look(struct crash_folder *out, struct sim_disk *sim);
/* What housekeeping promises after two snapshots: they are kept, what the older one needs, and one spare. */
void crash_folder_measure(struct sim_disk *sim, const struct trail *trail);
/* Flips a bit of the newest snapshot if there is another one: that and its part of the log must do. */
bool crash_folder_spoil(struct sim_disk *sim, uint64_t seed);

#endif
