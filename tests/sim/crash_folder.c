#include "crash_folder.h"

#include <inttypes.h>
#include <string.h>

#include "snapshot.h"

static void note_snapshot(struct crash_folder *folder, uint64_t lsn)
{
    folder->snapshots++;
    if (folder->snapshots == 1 || lsn > folder->snapshot) {
        folder->older = folder->snapshot;
        folder->snapshot = lsn;
    } else if (lsn > folder->older) {
        folder->older = lsn;
    }
}

static void note_file(void *context, const char *name, uint64_t bytes)
{
    struct crash_folder *folder = context;
    uint64_t number;

    (void)bytes;
    if (meta_is_segment(name, &number)) {
        folder->oldest = folder->segments == 0 || number < folder->oldest ? number : folder->oldest;
        folder->newest = number > folder->newest ? number : folder->newest;
        folder->segments++;
    } else if (meta_is_snapshot(name, &number)) {
        note_snapshot(folder, number);
    } else if (strcmp(name, "snapshot.tmp") == 0) {
        folder->snapshot_tmp = true;
    } else if (strcmp(name, META_FILE ".tmp") == 0) {
        folder->meta_tmp = true;
    } else if (strcmp(name, "meta") != 0 && strncmp(name, "kept-", 5) != 0) {
        memcpy(folder->stray, name, strlen(name) + 1);
    }
}

void crash_folder_look(struct crash_folder *out, struct sim_disk *sim)
{
    struct disk disk = sim_disk_disk(sim);

    memset(out, 0, sizeof *out);
    disk.call->list(disk.state, note_file, out);
}

void crash_folder_measure(struct sim_disk *sim, const struct trail *trail)
{
    struct disk disk = sim_disk_disk(sim);
    struct crash_folder folder;
    struct snapshot_reader *reader;
    char name[DISK_NAME_BYTES];

    crash_folder_look(&folder, sim);
    if (folder.meta_tmp)
        trail_fail(trail, META_FILE ".tmp was left behind");
    if (folder.stray[0] != '\0' || folder.snapshot_tmp)
        trail_fail(trail, "%s was left behind", folder.snapshot_tmp ? "snapshot.tmp" : folder.stray);
    if (folder.snapshots != SNAPSHOTS_KEPT)
        trail_fail(trail, "%" PRIu64 " snapshots are kept", folder.snapshots);
    meta_snapshot_name(name, folder.older);
    if (snapshot_reader_open(&reader, &disk, name) != 0)
        trail_fail(trail, "%s cannot be read", name);
    uint64_t needed = snapshot_reader_facts(reader).position.segment;
    snapshot_reader_close(reader);
    if (folder.oldest > needed || folder.oldest + 1 < needed ||
        folder.newest - folder.oldest + 1 != folder.segments)
        trail_fail(trail,
                   "%" PRIu64 " segments are kept, from %" PRIu64 " to %" PRIu64
                   "; the older snapshot needs %" PRIu64,
                   folder.segments, folder.oldest, folder.newest, needed);
}

bool crash_folder_spoil(struct sim_disk *sim, uint64_t seed)
{
    struct crash_folder folder;
    char name[DISK_NAME_BYTES];
    uint64_t length;

    crash_folder_look(&folder, sim);
    if (folder.snapshots < 2)
        return false;
    meta_snapshot_name(name, folder.snapshot);
    uint8_t *bytes = sim_disk_bytes(sim, name, &length);
    bytes[seed % length] ^= (uint8_t)(1 << seed / length % 8);
    return true;
}
