#include "crash_disk.h"

#include "meta.h"

static void look(struct crash_disk *disk, enum crash_call call)
{
    if (disk->before != NULL)
        disk->before(disk->context, call, sim_disk_boundaries(disk->sim));
}

static int tap_open(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    struct crash_disk *disk = state;
    uint64_t segment;

    bool creates = how == DISK_CREATE || how == DISK_RESERVE;

    if (creates)
        look(disk, CRASH_create);
    int file = disk->real.call->open(disk->real.state, name, how, bytes);
    disk->open += file >= 0;
    disk->created += file >= 0 && creates && meta_is_segment(name, &segment);
    return file;
}

static void tap_close(void *state, int file)
{
    struct crash_disk *disk = state;

    disk->open--;
    disk->real.call->close(disk->real.state, file);
}

static int64_t tap_size(void *state, int file)
{
    struct crash_disk *disk = state;

    return disk->real.call->size(disk->real.state, file);
}

static int64_t tap_read(void *state, int file, uint64_t offset, void *out, size_t length)
{
    struct crash_disk *disk = state;

    return disk->real.call->read(disk->real.state, file, offset, out, length);
}

static int tap_write(void *state, int file, uint64_t offset, const void *bytes, size_t length)
{
    struct crash_disk *disk = state;

    look(disk, CRASH_write);
    return disk->real.call->write(disk->real.state, file, offset, bytes, length);
}

static int tap_sync(void *state, int file)
{
    struct crash_disk *disk = state;

    look(disk, CRASH_sync);
    return disk->real.call->sync(disk->real.state, file);
}

static int tap_rename(void *state, const char *from, const char *to)
{
    struct crash_disk *disk = state;
    uint64_t number;

    look(disk, CRASH_rename);
    int error = disk->real.call->rename(disk->real.state, from, to);
    disk->reused += error == 0 && meta_is_segment(from, &number);
    disk->created += error == 0 && !meta_is_segment(from, &number) && meta_is_segment(to, &number);
    disk->published += error == 0 && meta_is_snapshot(to, &number);
    return error;
}

static int tap_remove(void *state, const char *name)
{
    struct crash_disk *disk = state;
    uint64_t number;

    look(disk, CRASH_remove);
    int error = disk->real.call->remove(disk->real.state, name);
    disk->removed += error == 0 && (meta_is_segment(name, &number) || meta_is_snapshot(name, &number));
    return error;
}

static int tap_sync_folder(void *state)
{
    struct crash_disk *disk = state;

    look(disk, CRASH_sync_folder);
    return disk->real.call->sync_folder(disk->real.state);
}

static int tap_list(void *state, void (*each)(void *context, const char *name, uint64_t bytes), void *context)
{
    struct crash_disk *disk = state;

    return disk->real.call->list(disk->real.state, each, context);
}

static uint64_t tap_space(void *state)
{
    struct crash_disk *disk = state;

    return disk->real.call->space(disk->real.state);
}

static int tap_found(void *state, const char *name)
{
    struct crash_disk *disk = state;

    return disk->real.call->found(disk->real.state, name);
}

static bool tap_submit(void *state, const struct disk_write *write)
{
    struct crash_disk *disk = state;

    look(disk, CRASH_submit);
    bool taken = disk->real_queue.call->submit(disk->real_queue.state, write);
    disk->in_flight += taken;
    return taken;
}

/* One at a time: each is a boundary. */
static unsigned tap_completions(void *state, struct disk_completion *out, unsigned room)
{
    struct crash_disk *disk = state;
    unsigned given = 0;

    while (given < room && disk->in_flight > 0) {
        look(disk, CRASH_completion);
        if (disk->real_queue.call->completions(disk->real_queue.state, out + given, 1) == 0)
            break;
        disk->in_flight--;
        given++;
    }
    return given;
}

void crash_disk_init(struct crash_disk *disk, struct sim_disk *sim)
{
    *disk = (struct crash_disk){.sim = sim, .real = sim_disk_disk(sim), .real_queue = sim_disk_queue(sim)};
}

struct disk crash_disk_disk(struct crash_disk *disk)
{
    static const struct disk_calls calls = {
        .open = tap_open,
        .close = tap_close,
        .size = tap_size,
        .read = tap_read,
        .write = tap_write,
        .sync = tap_sync,
        .rename = tap_rename,
        .remove = tap_remove,
        .sync_folder = tap_sync_folder,
        .list = tap_list,
        .space = tap_space,
        .found = tap_found,
    };

    return (struct disk){.state = disk, .call = &calls};
}

struct disk_queue crash_disk_queue(struct crash_disk *disk)
{
    static const struct disk_queue_calls calls = {.submit = tap_submit, .completions = tap_completions};

    return (struct disk_queue){.state = disk, .call = &calls};
}
