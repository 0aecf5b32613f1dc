/*
 * test_disk_folder.c - the files of a real folder, by the blocking face: made, read, written, renamed,
 * removed, as many and by such names as are allowed; and a tool that only reads.
 */
#include "disk_folder_fixture.h"

#include <errno.h>

static void files_are_made_read_written_renamed_and_removed(void)
{
    uint8_t out[64];

    own(DISK_QUEUE_NONE);
    int file = created("a", 3 * BLOCK + 100);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, file), 3 * BLOCK + 100);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_CREATE, 1), -EEXIST);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_WRITE, 0), -ENOENT);
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, 3 * BLOCK + 98, "hello", 5), 0);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 3 * BLOCK + 97, out, sizeof out), 6);
    CU_ASSERT_EQUAL(memcmp(out, "\0hello", 6), 0);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 4 * BLOCK, out, sizeof out), 0);
    disk.call->close(disk.state, created("b", 0));
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "b"), 0);
    CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), 0);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), -ENOENT);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "c"), -ENOENT);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, disk.call->open(disk.state, "b", DISK_WRITE, 0)),
                    3 * BLOCK + 103);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "b"), 0);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "b"), -ENOENT);
    CU_ASSERT(disk.call->space(disk.state) > 0);
    close_folder(path);
}

static int found(const char *name)
{
    return disk.call->found(disk.state, name);
}

static void a_folder_that_is_removed_renamed_or_covered_is_noticed(void)
{
    char moved[128], lock[128];

    snprintf(moved, sizeof moved, "%s.moved", path);
    own(DISK_QUEUE_NONE);
    disk.call->close(disk.state, created("a", 10));
    CU_ASSERT_EQUAL(found("a"), 0);
    CU_ASSERT_EQUAL(found("b"), -ENOENT);
    CU_ASSERT_EQUAL_FATAL(rename(path, moved), 0);
    CU_ASSERT_EQUAL(found("a"), -ENOENT);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0); /* another in its place */
    CU_ASSERT_EQUAL(found("a"), -ENOENT);
    CU_ASSERT_EQUAL(rmdir(path), 0);
    CU_ASSERT_EQUAL(symlink(moved, path), 0); /* the same by another way */
    CU_ASSERT_EQUAL(found("a"), 0);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL_FATAL(rename(moved, path), 0);
    CU_ASSERT_EQUAL(found("a"), 0);
    if (mounts) {
        CU_ASSERT_EQUAL_FATAL(mount("none", path, "tmpfs", 0, NULL), 0);
        CU_ASSERT_EQUAL(found("a"), -ENOENT);
        CU_ASSERT_EQUAL(umount(path), 0);
    }
    CU_ASSERT_EQUAL(found("a"), 0);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "a"), 0);
    snprintf(lock, sizeof lock, "%s/lock", path);
    CU_ASSERT_EQUAL(unlink(lock), 0);
    CU_ASSERT_EQUAL(rmdir(path), 0);
    CU_ASSERT_EQUAL(found("a"), -ENOENT);
    disk_folder_close(folder);
}

static void count_files(void *context, const char *name, uint64_t size)
{
    CU_ASSERT(strcmp(name, "plain") == 0 && size == 10);
    ++*(unsigned *)context;
}

static void only_plain_files_with_proper_names_are_seen(void)
{
    static const char *const refused[] = {"", ".", "..", "a/b", "lock", "/"};
    char name[DISK_NAME_BYTES + 1] = "";
    unsigned files = 0;

    own(DISK_QUEUE_NONE);
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        CU_ASSERT_EQUAL(disk.call->open(disk.state, refused[i], DISK_READ, 0), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->open(disk.state, refused[i], DISK_CREATE, 0), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->rename(disk.state, refused[i], "x"), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->rename(disk.state, "x", refused[i]), -EINVAL);
        CU_ASSERT_EQUAL(disk.call->remove(disk.state, refused[i]), -EINVAL);
    }
    memset(name, 'x', DISK_NAME_BYTES);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, name, DISK_CREATE, 0), -ENAMETOOLONG);
    disk.call->close(disk.state, created("plain", 10));
    CU_ASSERT_EQUAL(chdir(path), 0);
    CU_ASSERT(symlink("plain", "link") == 0 && mkfifo("pipe", 0600) == 0 && mkdir("folder", 0700) == 0);
    CU_ASSERT_EQUAL(disk.call->list(disk.state, count_files, &files), 0);
    CU_ASSERT_EQUAL(files, 1);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "link", DISK_READ, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "pipe", DISK_READ, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "pipe", DISK_WRITE, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "folder", DISK_READ, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "link", DISK_CREATE, 0), -EEXIST);
    CU_ASSERT(unlink("link") == 0 && unlink("pipe") == 0 && rmdir("folder") == 0 && chdir("/") == 0);
    close_folder(path);
}

static void files_are_open_up_to_the_limit(void)
{
    int file[DISK_FILES_MAX];

    own(DISK_QUEUE_NONE);
    disk.call->close(disk.state, created("a", 1));
    for (unsigned i = 0; i < DISK_FILES_MAX; i++)
        CU_ASSERT((file[i] = disk.call->open(disk.state, "a", DISK_WRITE, 0)) >= 0);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), -EMFILE);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_CREATE, 0), -EMFILE);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    disk.call->close(disk.state, file[3]);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), file[3]);
    close_folder(path);
}

static void a_tool_may_read_beside_the_owner_and_changes_nothing(void)
{
    struct disk_folder *owner;

    own(DISK_QUEUE_NONE);
    disk.call->close(disk.state, created("a", 10));
    owner = folder;
    CU_ASSERT_EQUAL_FATAL(open_folder(path, DISK_FOLDER_READ, DISK_QUEUE_NONE), 0);
    int file = disk.call->open(disk.state, "a", DISK_READ, 0);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, file), 10);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_WRITE, 0), -EROFS);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_CREATE, 0), -EROFS);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "b"), -EROFS);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "a"), -EROFS);
    disk_folder_close(folder);
    folder = owner;
    disk = disk_folder_disk(owner);
    close_folder(path);
    CU_ASSERT_EQUAL(open_folder(path, DISK_FOLDER_READ, DISK_QUEUE_NONE), -ENOENT);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"files are made, read, written, renamed and removed",
         files_are_made_read_written_renamed_and_removed},
        {"only plain files with proper names are seen", only_plain_files_with_proper_names_are_seen},
        {"a folder that is removed, renamed or covered is noticed",
         a_folder_that_is_removed_renamed_or_covered_is_noticed},
        {"files are open up to the limit", files_are_open_up_to_the_limit},
        {"a tool may read beside the owner, and changes nothing",
         a_tool_may_read_beside_the_owner_and_changes_nothing},
        CU_TEST_INFO_NULL,
    };

    return disk_folder_suite("disk_folder", tests);
}
