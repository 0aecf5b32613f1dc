/*
 * disk_folder_fixture.h - a folder of this run that a test opens, fills and closes; and other filesystems
 * mounted in its place, which only root can try (in a mount namespace), so that without it a test says that
 * it is skipped.
 */
#ifndef WILD_TESTS_DISK_FOLDER_FIXTURE_H
#define WILD_TESTS_DISK_FOLDER_FIXTURE_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_folder.h"
#include "suite.h"

enum { BLOCK = DISK_BLOCK_BYTES, ERROR_BYTES = 256 };

static char base[64], path[96]; /* of this run; of the folder in it that most tests use */
static bool mounts;             /* root, in a mount namespace of its own */
static struct disk_folder *folder;
static struct disk disk;
static struct disk_queue queue;
static char error[ERROR_BYTES];

/* ---- opening ---- */

static inline int open_folder(const char *at, enum disk_folder_access access, enum disk_folder_queue kind)
{
    struct disk_folder *opened = NULL;
    int result = disk_folder_open(&opened, at, access, kind, error, sizeof error);

    if (result != 0) {
        CU_ASSERT(error[0] != '\0' && strchr(error, '\n') == NULL && strlen(error) < sizeof error - 1);
        return result;
    }
    folder = opened;
    disk = disk_folder_disk(folder);
    queue = disk_folder_queue(folder);
    return 0;
}

static inline void own(enum disk_folder_queue kind)
{
    CU_ASSERT_EQUAL_FATAL(open_folder(path, DISK_FOLDER_OWN, kind), 0);
}

static inline void empty_folder(void *context, const char *name, uint64_t size)
{
    char file[256];

    (void)size;
    snprintf(file, sizeof file, "%s/%s", (const char *)context, name);
    CU_ASSERT_EQUAL(unlink(file), 0);
}

/* Closes it and removes it with its plain files. */
static inline void close_folder(const char *at)
{
    char lock[128];

    CU_ASSERT_EQUAL(disk.call->list(disk.state, empty_folder, (void *)(uintptr_t)at), 0);
    disk_folder_close(folder);
    folder = NULL;
    snprintf(lock, sizeof lock, "%s/lock", at);
    CU_ASSERT_EQUAL(unlink(lock), 0);
    CU_ASSERT_EQUAL(rmdir(at), 0);
}

static inline int created(const char *name, uint64_t size)
{
    int file = disk.call->open(disk.state, name, DISK_CREATE, size);

    CU_ASSERT_FATAL(file >= 0);
    return file;
}

/* ---- other filesystems ---- */

/* A place to mount on, and `path` in it. False: cannot be tried here. */
static inline bool mounted(const char *type, unsigned long flags, const char *options)
{
    if (!mounts) {
        printf("skipped: no mounting here ");
        return false;
    }
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT_EQUAL_FATAL(mount("none", path, type, flags, options), 0);
    return true;
}

static inline void unmounted(void)
{
    CU_ASSERT_EQUAL(umount(path), 0);
    CU_ASSERT_EQUAL(rmdir(path), 0);
}

/* Those tests in a place of this run; what main() returns. */
static inline int disk_folder_suite(const char *name, CU_TestInfo *tests)
{
    const char *temporary = getenv("TMPDIR");
    int failed;

    snprintf(base, sizeof base, "%.30s/wild-disk-XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 1;
    }
    snprintf(path, sizeof path, "%s/f", base);
    umask(0022);
    mounts = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
             mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    failed = suite_run(name, tests);
    rmdir(base);
    return failed;
}

#endif
