#include "sim_disk_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- boundaries, faults, space ---- */

/* Before anything else in every call: bytes that were handed out are taken back. -EIO once it has crashed. */
static int begin(struct sim_disk *disk)
{
    for (unsigned i = 0; i < disk->inodes; i++) {
        struct inode *inode = disk->inode[i];
        uint8_t *flat = inode->flat;
        if (flat == NULL)
            continue;
        inode->flat = NULL;
        inode_take_flat(disk, inode, flat);
        free(flat);
    }
    return disk->crashed ? -EIO : 0;
}

/* As begin(), of a call that changes something. */
static int boundary(struct sim_disk *disk)
{
    int error = begin(disk);

    if (error == 0 && disk->boundaries >= disk->crash_at) {
        disk->crashed = true;
        error = -EIO;
    }
    if (error == 0)
        disk->boundaries++;
    return error;
}

/* What the next one of its kind ends with. */
static int fault_next(struct fault *fault)
{
    if (fault->n == 0 || --fault->n > 0)
        return 0;
    if (fault->sticky)
        fault->n = 1;
    return fault->error;
}

static uint64_t allocated(uint64_t size)
{
    return (size + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
}

/* Open, or with a name. */
static bool in_use(const struct sim_disk *disk, const struct inode *inode)
{
    for (unsigned i = 0; i < DISK_FILES_MAX; i++)
        if (disk->file[i].inode == inode)
            return true;
    for (unsigned i = 0; i < disk->visible.count; i++)
        if (disk->visible.entry[i].inode == inode)
            return true;
    return false;
}

static uint64_t space_left(const struct sim_disk *disk)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < disk->inodes; i++)
        if (in_use(disk, disk->inode[i]))
            used += allocated(disk->inode[i]->size);
    return used < disk->space ? disk->space - used : 0;
}

static bool fits(const struct sim_disk *disk, const struct inode *inode, uint64_t end)
{
    return end <= inode->size || allocated(end) - allocated(inode->size) <= space_left(disk);
}

/* ---- names ---- */

static int check_name(const char *name)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    return strlen(name) < DISK_NAME_BYTES ? 0 : -ENAMETOOLONG;
}

static void change_name(struct sim_disk *disk, enum operation_kind kind, struct inode *inode,
                        const char *from, const char *to)
{
    struct operation *operation = operation_add(disk, kind, inode);

    if (from != NULL)
        memcpy(operation->from, from, strlen(from) + 1);
    if (to != NULL)
        memcpy(operation->to, to, strlen(to) + 1);
    names_apply(disk, &disk->visible, operation);
}

static int create_file(struct sim_disk *disk, const char *name, uint64_t bytes, struct inode **out)
{
    int error = boundary(disk);

    if (error != 0)
        return error;
    if (names_find(&disk->visible, name) != NULL)
        return -EEXIST;
    if (allocated(bytes) > space_left(disk))
        return -ENOSPC;
    *out = inode_make(disk);
    (*out)->size = bytes;
    change_name(disk, OPERATION_CREATE, *out, NULL, name);
    if (bytes != 0)
        operation_add(disk, OPERATION_SIZE, *out)->size_after = bytes;
    inode_drop(disk, *out); /* its name holds it */
    return 0;
}

static int disk_open(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    struct sim_disk *disk = state;
    struct inode *inode = NULL;
    int error = begin(disk), file = 0;

    if (error == 0)
        error = check_name(name);
    if (error != 0)
        return error;
    while (file < DISK_FILES_MAX && disk->file[file].inode != NULL)
        file++;
    if (file == DISK_FILES_MAX)
        return -EMFILE;
    if (how == DISK_CREATE || how == DISK_RESERVE)
        error = create_file(disk, name, bytes, &inode);
    else if ((inode = names_find(&disk->visible, name)) == NULL)
        error = -ENOENT;
    if (error != 0)
        return error;
    inode->refs++;
    disk->file[file] = (struct open_file){.inode = inode, .writable = how != DISK_READ};
    return file;
}

static struct inode *opened(struct sim_disk *disk, int file)
{
    sim_must(file >= 0 && file < DISK_FILES_MAX && disk->file[file].inode != NULL, "a file that is not open");
    return disk->file[file].inode;
}

static void disk_close(void *state, int file)
{
    struct sim_disk *disk = state;
    struct inode *inode = opened(disk, file);

    for (unsigned i = 0; i < disk->operations; i++)
        sim_must(!disk->operation[i].in_flight || disk->operation[i].inode != inode || disk->crashed ||
                     !disk->file[file].writable, /* another one's writes */
                 "a file is closed while writes to it are in flight");
    disk->file[file] = (struct open_file){0};
    inode_drop(disk, inode);
}

static int disk_rename(void *state, const char *from, const char *to)
{
    struct sim_disk *disk = state;
    struct inode *inode;
    int error = check_name(from) != 0 ? check_name(from) : check_name(to);

    if (error == 0)
        error = boundary(disk);
    if (error != 0)
        return error;
    inode = names_find(&disk->visible, from);
    if (inode == NULL)
        return -ENOENT;
    if (names_find(&disk->visible, to) != inode)
        change_name(disk, OPERATION_RENAME, inode, from, to);
    return 0;
}

static int disk_remove(void *state, const char *name)
{
    struct sim_disk *disk = state;
    struct inode *inode;
    int error = check_name(name);

    if (error == 0)
        error = boundary(disk);
    if (error != 0)
        return error;
    inode = names_find(&disk->visible, name);
    if (inode == NULL)
        return -ENOENT;
    change_name(disk, OPERATION_REMOVE, inode, name, NULL);
    return 0;
}

/* A failed one leaves the changes pending, as a journal that could not be written does. */
static int disk_sync_folder(void *state)
{
    struct sim_disk *disk = state;
    int error = boundary(disk);

    if (error == 0)
        error = fault_next(&disk->sync_fault);
    if (error != 0)
        return error;
    for (unsigned i = disk->operations; i-- > 0;)
        if (operation_is_of_names(&disk->operation[i]) || !in_use(disk, disk->operation[i].inode))
            operation_remove(disk, i);
    names_copy(disk, &disk->durable, &disk->visible);
    return 0;
}

static int disk_list(void *state, void (*each)(void *context, const char *name, uint64_t bytes),
                     void *context)
{
    struct sim_disk *disk = state;
    int error = begin(disk);

    for (unsigned i = 0; error == 0 && i < disk->visible.count; i++)
        each(context, disk->visible.entry[i].text, disk->visible.entry[i].inode->size);
    return error;
}

static uint64_t disk_space(void *state)
{
    return begin(state) == 0 ? space_left(state) : 0;
}

/* Whoever comes next finds the folder: it has no path. */
static int disk_found(void *state, const char *name)
{
    (void)state;
    (void)name;
    return 0;
}

/* ---- bytes ---- */

static int64_t disk_size(void *state, int file)
{
    int error = begin(state);

    return error != 0 ? error : (int64_t)opened(state, file)->size;
}

static int64_t disk_read(void *state, int file, uint64_t offset, void *out, size_t length)
{
    struct sim_disk *disk = state;
    int error = begin(disk);
    const struct inode *inode = opened(disk, file);

    if (error != 0)
        return error;
    if (offset >= inode->size)
        return 0;
    if (length > inode->size - offset)
        length = inode->size - offset;
    for (size_t done = 0, part; done < length; done += part) {
        uint64_t at = offset + done;
        part = SECTOR - at % SECTOR;
        part = part < length - done ? part : length - done;
        memcpy((uint8_t *)out + done, map_sector(&inode->visible, at / SECTOR) + at % SECTOR, part);
    }
    return (int64_t)length;
}

/* What the file's cache holds after these bytes were written: whole sectors. */
static struct operation *add_write(struct sim_disk *disk, struct inode *inode, uint64_t offset,
                                   const void *bytes, size_t length)
{
    struct operation *write = operation_add(disk, OPERATION_WRITE, inode);
    uint64_t end = offset + length;

    write->sector = offset / SECTOR;
    write->sectors = (end + SECTOR - 1) / SECTOR - write->sector;
    write->size_after = end > inode->size ? end : 0;
    write->bytes = sim_memory(NULL, sizeof *write->bytes + write->sectors * SECTOR);
    write->bytes->refs = 1;
    if (write->sectors != 0) {
        memcpy(write->bytes->bytes, map_sector(&inode->visible, write->sector), SECTOR);
        memcpy(write->bytes->bytes + (write->sectors - 1) * SECTOR,
               map_sector(&inode->visible, write->sector + write->sectors - 1), SECTOR);
    }
    memcpy(write->bytes->bytes + offset % SECTOR, bytes, length);
    return write;
}

static void make_visible(const struct operation *write)
{
    operation_put(write, &write->inode->visible, write->sectors);
    if (write->size_after > write->inode->size)
        write->inode->size = write->size_after;
}

static int disk_write(void *state, int file, uint64_t offset, const void *bytes, size_t length)
{
    struct sim_disk *disk = state;
    int error = boundary(disk);
    struct inode *inode = opened(disk, file);

    if (error != 0)
        return error;
    if (!disk->file[file].writable)
        return -EBADF;
    error = fault_next(&disk->write_fault);
    if (error == 0 && !fits(disk, inode, offset + length))
        error = -ENOSPC;
    if (error != 0)
        length = seeded_below(&disk->random, length + 1);
    if (error != 0 && !fits(disk, inode, offset + length))
        length = 0;
    if (length != 0)
        make_visible(add_write(disk, inode, offset, bytes, length));
    return error;
}

/*
 * One that fails is the kernel's trap: some of the bytes reached the disk, of the others it thinks so too.
 * They stay visible, but a later sync that succeeds has nothing to write.
 */
static void sync_partly(struct sim_disk *disk, struct operation *operation)
{
    for (uint64_t i = 0; i < operation->sectors; i++)
        if (seeded_below(&disk->random, 2) == 0)
            operation_forget(operation, i);
    if (operation->kind == OPERATION_WRITE)
        operation_put(operation, &operation->inode->durable, operation->sectors);
}

static int disk_sync(void *state, int file)
{
    struct sim_disk *disk = state;
    int error = boundary(disk);
    struct inode *inode = opened(disk, file);

    if (error != 0)
        return error;
    error = fault_next(&disk->sync_fault);
    for (unsigned i = 0; i < disk->operations;) {
        struct operation *operation = &disk->operation[i];
        if (operation->inode != inode || operation_is_of_names(operation) || operation->in_flight) {
            i++;
            continue;
        }
        if (error != 0)
            sync_partly(disk, operation);
        else if (operation->kind == OPERATION_WRITE)
            operation_put(operation, &inode->durable, operation->sectors);
        operation_remove(disk, i);
    }
    if (error == 0)
        inode->durable_size = inode->size;
    else
        map_clip(&inode->durable, inode->durable_size);
    return error;
}

/* ---- queue ---- */

static bool queue_submit(void *state, const struct disk_write *write)
{
    struct sim_disk *disk = state;
    int error = boundary(disk);
    struct inode *inode;
    struct operation *operation;

    sim_must((uintptr_t)write->bytes % DISK_BLOCK_BYTES == 0 && write->offset % DISK_BLOCK_BYTES == 0 &&
                 write->length % DISK_BLOCK_BYTES == 0 && write->length != 0,
             "a queued write that is not aligned");
    if (error != 0)
        return true; /* it will never be heard of */
    if (disk->in_flight == DISK_QUEUE_WRITES_MAX)
        return false;
    inode = opened(disk, write->file);
    sim_must(disk->file[write->file].writable, "a queued write to a file that was opened to be read");
    error = fault_next(&disk->write_fault);
    if (error == 0 && !fits(disk, inode, write->offset + write->length))
        error = -ENOSPC;
    operation = add_write(disk, inode, write->offset, write->bytes, write->length);
    operation->caller_bytes = write->bytes;
    operation->token = write->token;
    operation->turns_left = (unsigned)seeded_below(&disk->random, disk->latency_max + 1);
    operation->result = error;
    operation->in_flight = true;
    disk->in_flight++;
    return true;
}

/* Of a failed write any part may have happened; of one without space nothing. */
static void fail_queued(struct sim_disk *disk, unsigned index)
{
    struct operation *write = &disk->operation[index];
    uint64_t limit = fits(disk, write->inode, write->size_after) ? write->sectors : 0;

    if (write->result == -ENOSPC || limit == 0) {
        operation_remove(disk, index);
        return;
    }
    for (uint64_t i = 0; i < write->sectors; i++)
        if (seeded_below(&disk->random, 2) == 0)
            operation_forget(write, i);
    make_visible(write);
}

/* Durable, whatever older writes to the same place still were to come: they are not written over it. */
static void finish_queued(struct sim_disk *disk, unsigned index)
{
    struct operation *write = &disk->operation[index];
    struct inode *inode = write->inode;
    uint64_t end = (write->sector + write->sectors) * SECTOR;

    make_visible(write);
    operation_put(write, &inode->durable, write->sectors);
    if (end > inode->durable_size)
        inode->durable_size = end;
    for (unsigned i = 0; i < disk->operations; i++) {
        struct operation *other = &disk->operation[i];
        if (other->in_flight || i == index || other->kind != OPERATION_WRITE || other->inode != inode)
            continue;
        for (uint64_t k = 0; k < other->sectors; k++)
            if (other->sector + k >= write->sector && other->sector + k < write->sector + write->sectors)
                operation_forget(other, k);
    }
    operation_remove(disk, index);
}

static unsigned queue_completions(void *state, struct disk_completion *out, unsigned room)
{
    struct sim_disk *disk = state;
    unsigned due[DISK_QUEUE_WRITES_MAX], count = 0, given = 0;

    if (begin(disk) != 0)
        return 0;
    for (unsigned i = 0; i < disk->operations; i++) {
        struct operation *write = &disk->operation[i];
        if (!write->in_flight)
            continue;
        if (write->turns_left > 0)
            write->turns_left--;
        else
            due[count++] = i;
    }
    for (; given < room && count > 0; given++) {
        unsigned pick = (unsigned)seeded_below(&disk->random, count), index = due[pick];
        struct operation *write = &disk->operation[index];

        if (boundary(disk) != 0)
            break;
        sim_must(memcmp(write->caller_bytes, write->bytes->bytes, write->sectors * SECTOR) == 0,
                 "bytes were changed while their write was in flight");
        out[given] = (struct disk_completion){.token = write->token, .result = write->result};
        write->in_flight = false;
        disk->in_flight--;
        unsigned before = disk->operations;
        if (write->result == 0)
            finish_queued(disk, index);
        else
            fail_queued(disk, index);
        due[pick] = due[--count];
        for (unsigned i = 0; i < count; i++) /* those behind it moved up, if it was removed */
            due[i] -= due[i] > index ? before - disk->operations : 0;
    }
    return given;
}

/* ---- the test's side ---- */

struct sim_disk *sim_disk_create(uint64_t seed, uint64_t space_bytes)
{
    struct sim_disk *disk = sim_memory(NULL, sizeof *disk);

    *disk = (struct sim_disk){.random = seeded_start(seed), .space = space_bytes, .crash_at = UINT64_MAX};
    return disk;
}

void sim_disk_destroy(struct sim_disk *disk)
{
    while (disk->operations > 0)
        operation_remove(disk, disk->operations - 1);
    for (unsigned i = 0; i < DISK_FILES_MAX; i++)
        inode_drop(disk, disk->file[i].inode);
    names_clear(disk, &disk->visible);
    names_clear(disk, &disk->durable);
    sim_must(disk->inodes == 0, "a file that nobody holds");
    free(disk->inode);
    free(disk->operation);
    free(disk);
}

struct disk sim_disk_disk(struct sim_disk *disk)
{
    static const struct disk_calls calls = {
        .open = disk_open,
        .close = disk_close,
        .size = disk_size,
        .read = disk_read,
        .write = disk_write,
        .sync = disk_sync,
        .rename = disk_rename,
        .remove = disk_remove,
        .sync_folder = disk_sync_folder,
        .list = disk_list,
        .space = disk_space,
        .found = disk_found,
    };

    return (struct disk){.state = disk, .call = &calls};
}

struct disk_queue sim_disk_queue(struct sim_disk *disk)
{
    static const struct disk_queue_calls calls = {.submit = queue_submit, .completions = queue_completions};

    return (struct disk_queue){.state = disk, .call = &calls};
}

void sim_disk_set_latency(struct sim_disk *disk, unsigned latency_max)
{
    disk->latency_max = latency_max;
}

uint64_t sim_disk_boundaries(const struct sim_disk *disk)
{
    return disk->boundaries;
}

void sim_disk_crash_at(struct sim_disk *disk, uint64_t boundary_number)
{
    disk->crash_at = boundary_number;
}

bool sim_disk_crashed(const struct sim_disk *disk)
{
    return disk->crashed;
}

void sim_disk_fail_write(struct sim_disk *disk, unsigned n, int error, bool sticky)
{
    disk->write_fault = (struct fault){.n = n, .error = error > 0 ? -error : error, .sticky = sticky};
}

void sim_disk_fail_sync(struct sim_disk *disk, unsigned n, int error, bool sticky)
{
    disk->sync_fault = (struct fault){.n = n, .error = error > 0 ? -error : error, .sticky = sticky};
}

void sim_disk_set_space(struct sim_disk *disk, uint64_t bytes)
{
    disk->space = bytes;
}

uint8_t *sim_disk_bytes(struct sim_disk *disk, const char *name, uint64_t *length)
{
    struct inode *inode = names_find(&disk->visible, name);

    if (inode == NULL)
        return NULL;
    *length = inode->size;
    if (inode->flat == NULL) {
        inode->flat = sim_memory(NULL, (inode->size + SECTOR) / SECTOR * SECTOR);
        for (uint64_t sector = 0; sector * SECTOR < inode->size; sector++)
            memcpy(inode->flat + sector * SECTOR, map_sector(&inode->visible, sector), SECTOR);
    }
    return inode->flat;
}
